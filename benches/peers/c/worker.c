// The C peer's worker: reads commands on standard input, answers each with one line on standard output (protocol: ../README.md).
//
// In: the name of a kernel and its arguments as text. Out: nanoseconds and results. Holds: inputs are the same bits as in the other
// workers (compile this file without -ffast-math); the clock covers the call alone, or in the `fresh` form also the making and freeing of
// outputs.

#define _DEFAULT_SOURCE
#include "kernels.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { MAX_ARGS = 16 };

struct arg {
    enum { SCALAR, INPUT, OUTPUT, UPDATE } role;
    enum { I64, F32, F64 } type;
    int64_t count;       // elements
    uint64_t seed;       // of the contents
    double low, high;    // their range
    union {
        int64_t i64;
        float f32;
        double f64;
        void *data;
    };
};

static struct arg args[MAX_ARGS];
static int arg_count;
static const char *const types[] = {"i64", "f32", "f64"};

static size_t bytes_of(const struct arg *arg) { return (size_t)arg->count * (arg->type == F32 ? 4 : 8); }

// At a boundary of 64 bytes; large arrays ask for huge pages, as NumPy's and Kiln's do.
static void *allocate(const struct arg *arg) {
    const size_t huge = 2 << 20;
    const size_t alignment = bytes_of(arg) >= 2 * huge ? huge : 64;
    const size_t bytes = (bytes_of(arg) + alignment - 1) / alignment * alignment;
    void *data = aligned_alloc(alignment, bytes);
    if (!data) {
        puts("no memory");
        exit(1);
    }
    if (alignment == huge) madvise(data, bytes, MADV_HUGEPAGE);
    return data;
}

// Element i of a seed: splitmix64's mixer of a counter, as a fraction of the range.
static void fill(struct arg *arg) {
    if (arg->role == OUTPUT) memset(arg->data, 0, bytes_of(arg));
    if (arg->role != INPUT && arg->role != UPDATE) return;
    for (int64_t i = 0; i < arg->count; i++) {
        uint64_t z = ((arg->seed << 32) + (uint64_t)i) * 0x9e3779b97f4a7c15;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
        z = (z ^ z >> 27) * 0x94d049bb133111eb;
        z ^= z >> 31;
        const double x = arg->low + (arg->high - arg->low) * ((double)(z >> 11) * 0x1p-53);
        if (arg->type == F32)
            ((float *)arg->data)[i] = (float)x;
        else
            ((double *)arg->data)[i] = x;
    }
}

// Kernels by name. Each takes the arguments in the order of the table in ../rows.rs, and gives its result if that is a number.

#define I(at) (args[at].i64)
#define S(at) (args[at].f64)
#define F(at) (args[at].f32)
#define P(at) (args[at].data)

static double run_pi(void) { return pi(I(0)); }
static double run_pi_lanes(void) { return pi_lanes(I(0)); }
static double run_asian(void) { return asian(I(0), I(1), S(2), S(3), S(4), S(5), S(6)); }
static double run_rbf(void) { return rbf(args[0].count, args[1].count, P(0), P(1), S(2), P(3)), 0; }
static double run_black_scholes(void) {
    return black_scholes(args[0].count, P(0), P(1), P(2), S(3), S(4), P(5), P(6)), 0;
}
static double run_mandelbrot(void) { return mandelbrot(I(0), I(1), I(2), P(3)), 0; }
static double run_forces(void) {
    return forces(args[0].count, P(0), P(1), P(2), P(3), F(4), P(5), P(6), P(7)), 0;
}
static double run_axpy(void) { return axpy(args[1].count, S(0), P(1), P(2)), 0; }
static double run_triad(void) { return triad(args[0].count, P(0), P(1), S(2), P(3)), 0; }
static double run_total(void) { return total(args[0].count, P(0)); }
static double run_dot(void) { return dot(args[0].count, P(0), P(1)); }
static double run_distances(void) { return distances(args[0].count, args[1].count, P(0), P(1), P(2)), 0; }
static double run_jacobi(void) {
    // The plate is square.
    int64_t n = 1;
    while (n * n < args[0].count) n++;
    return jacobi(n, n, P(0), P(1)), 0;
}

static const struct kernel {
    const char *name;
    double (*run)(void);
} kernels[] = {
    {"pi", run_pi},
    {"pi_lanes", run_pi_lanes},
    {"asian", run_asian},
    {"rbf", run_rbf},
    {"black_scholes", run_black_scholes},
    {"mandelbrot", run_mandelbrot},
    {"forces", run_forces},
    {"axpy", run_axpy},
    {"triad", run_triad},
    {"total", run_total},
    {"dot", run_dot},
    {"distances", run_distances},
    {"jacobi", run_jacobi},
};

static const struct kernel *kernel;

static void release(void) {
    for (int i = 0; i < arg_count; i++)
        if (args[i].role != SCALAR) free(args[i].data);
    arg_count = 0;
}

// `input f64 SEED LOW HIGH DIMS`, `update …` the same, `output f64 DIMS`, `scalar f64 VALUE`. Gives 0 if it is none of these.
static int read_arg(const char *text, struct arg *arg) {
    char role[16], type[8], rest[128], dims[64];
    if (sscanf(text, "%15s %7s %127[^\n]", role, type, rest) != 3) return 0;
    memset(arg, 0, sizeof *arg);
    for (int i = 0; i < 3; i++)
        if (!strcmp(type, types[i])) arg->type = i;
    if (!strcmp(role, "scalar")) {
        arg->role = SCALAR;
        if (arg->type == I64) arg->i64 = strtoll(rest, NULL, 10);
        if (arg->type == F32) arg->f32 = strtof(rest, NULL);
        if (arg->type == F64) arg->f64 = strtod(rest, NULL);
        return 1;
    }
    if (!strcmp(role, "output")) {
        arg->role = OUTPUT;
        if (sscanf(rest, "%63s", dims) != 1) return 0;
    } else {
        arg->role = strcmp(role, "update") ? INPUT : UPDATE;
        unsigned long long seed;
        if (sscanf(rest, "%llu %lf %lf %63s", &seed, &arg->low, &arg->high, dims) != 4) return 0;
        arg->seed = seed;
    }
    arg->count = 1;
    for (char *at = strtok(dims, ","); at; at = strtok(NULL, ",")) arg->count *= strtoll(at, NULL, 10);
    arg->data = allocate(arg);
    fill(arg);
    return 1;
}

static void prepare(char *line) {
    release();
    char *state;
    const char *name = strtok_r(line, ";", &state);
    kernel = NULL;
    for (size_t i = 0; name && i < sizeof kernels / sizeof *kernels; i++)
        if (!strcmp(name, kernels[i].name)) kernel = &kernels[i];
    if (!kernel) {
        printf("no kernel of that name\n");
        return;
    }
    struct arg read[MAX_ARGS];
    for (char *text; (text = strtok_r(NULL, ";", &state)) && arg_count < MAX_ARGS; arg_count++) {
        if (!read_arg(text, &read[arg_count])) {
            printf("no argument: %s\n", text);
            return;
        }
        args[arg_count] = read[arg_count];
    }
    printf("ok\n");
}

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000 + time.tv_nsec;
}

// The number, or a few elements of the first output: proof that the work was done.
static double probe(double result) {
    for (int i = 0; i < arg_count; i++) {
        if (args[i].role != OUTPUT && args[i].role != UPDATE) continue;
        double sum = 0;
        const int64_t step = args[i].count / 61 + 1;
        for (int64_t at = args[i].count / 2 % step; at < args[i].count; at += step)
            sum += args[i].type == F64   ? ((double *)args[i].data)[at]
                   : args[i].type == F32 ? ((float *)args[i].data)[at]
                                         : (double)((int64_t *)args[i].data)[at];
        return sum;
    }
    return result;
}

static void run(void) {
    const int64_t start = now();
    const double result = kernel->run();
    const int64_t time = now() - start;
    printf("%lld %.17g\n", (long long)time, probe(result));
}

// The same with outputs made and freed inside.
static void run_fresh(void) {
    for (int i = 0; i < arg_count; i++)
        if (args[i].role == OUTPUT) free(args[i].data);
    const int64_t start = now();
    for (int i = 0; i < arg_count; i++)
        if (args[i].role == OUTPUT) args[i].data = allocate(&args[i]);
    const double result = kernel->run();
    const int64_t middle = now();
    const double proof = probe(result);
    const int64_t again = now();
    for (int i = 0; i < arg_count; i++)
        if (args[i].role == OUTPUT) free(args[i].data);
    const int64_t time = now() - again + middle - start;
    for (int i = 0; i < arg_count; i++)
        if (args[i].role == OUTPUT) args[i].data = allocate(&args[i]);
    printf("%lld %.17g\n", (long long)time, proof);
}

// One run on fresh inputs; all outputs, or the number, go to a file as they lie in memory.
static void dump(const char *path) {
    for (int i = 0; i < arg_count; i++) fill(&args[i]);
    const double result = kernel->run();
    FILE *file = fopen(path, "wb");
    int outputs = 0;
    for (int i = 0; file && i < arg_count; i++)
        if (args[i].role == OUTPUT || args[i].role == UPDATE) {
            fwrite(args[i].data, 1, bytes_of(&args[i]), file);
            outputs++;
        }
    if (file && !outputs) fwrite(&result, 1, sizeof result, file);
    puts(file && !fclose(file) ? "ok" : "the file cannot be written");
}

int main(void) {
    static char line[4096];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        char *rest = strchr(line, ' ');
        rest = rest ? rest + 1 : line + strlen(line);
        if (!strncmp(line, "prepare ", 8))
            prepare(rest);
        else if (!strcmp(line, "about"))
            printf("ok %s, %d threads\n", __VERSION__, omp_get_max_threads());
        else if (!kernel)
            puts("prepare a kernel first");
        else if (!strcmp(line, "run"))
            run();
        else if (!strcmp(line, "fresh"))
            run_fresh();
        else if (!strncmp(line, "dump ", 5))
            dump(rest);
        else if (!strcmp(line, "release")) {
            release();
            kernel = NULL;
            puts("ok");
        } else
            puts("unknown command");
        fflush(stdout);
    }
    return 0;
}
