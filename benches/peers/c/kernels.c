// The kernels as a good C programmer writes them for speed: OpenMP threads, simd pragmas, -O3 -march=native -ffast-math, the vector
// mathematics of libmvec, sizes and pointers as parameters, `restrict` where it holds.
//
// In: sizes and arrays. Out: results by value or in the caller's arrays. Holds: nothing is allocated here but what a thread keeps on its
// stack; this file is compiled apart from the worker that times it, so no size is known to the compiler.

#include "kernels.h"

#include <math.h>
#include <omp.h>
#include <string.h>

// Random numbers: xoshiro256+ (Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2021), one per thread.

struct xoshiro {
    uint64_t s[4];
};

static inline uint64_t splitmix64(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static struct xoshiro xoshiro_seed(uint64_t seed) {
    struct xoshiro rng;
    uint64_t state = seed << 32;
    for (int i = 0; i < 4; i++) rng.s[i] = splitmix64(&state);
    return rng;
}

static inline double uniform(struct xoshiro *rng) {
    uint64_t *s = rng->s;
    const uint64_t word = s[0] + s[3];
    const uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = s[3] << 45 | s[3] >> 19;
    return (double)(word >> 11) * 0x1p-53;
}

double pi(int64_t n) {
    int64_t hits = 0;
#pragma omp parallel reduction(+ : hits)
    {
        struct xoshiro rng = xoshiro_seed(1 + (uint64_t)omp_get_thread_num());
#pragma omp for schedule(static)
        for (int64_t i = 0; i < n; i++) {
            const double x = uniform(&rng);
            const double y = uniform(&rng);
            hits += x * x + y * y < 1;
        }
    }
    return 4.0 * (double)hits / (double)n;
}

// The same with eight generators side by side in a vector, by hand, and four such vectors in flight: beyond what most users write.

typedef uint64_t u64x8 __attribute__((vector_size(64)));
typedef int64_t i64x8 __attribute__((vector_size(64)));
typedef double f64x8 __attribute__((vector_size(64)));

struct xoshiro_lanes {
    u64x8 s[4];
};

static struct xoshiro_lanes xoshiro_lanes_seed(uint64_t seed) {
    struct xoshiro_lanes rng;
    uint64_t state = seed << 32;
    for (int i = 0; i < 4; i++)
        for (int lane = 0; lane < 8; lane++) rng.s[i][lane] = splitmix64(&state);
    return rng;
}

static inline f64x8 uniform_lanes(struct xoshiro_lanes *rng) {
    u64x8 *s = rng->s;
    const u64x8 word = s[0] + s[3];
    const u64x8 t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = s[3] << 45 | s[3] >> 19;
    return (f64x8)(word >> 12 | 0x3ff0000000000000) - 1.0;
}

double pi_lanes(int64_t n) {
    enum { FLIGHT = 2 };
    int64_t hits = 0;
    const int64_t groups = n / (8 * FLIGHT);
#pragma omp parallel reduction(+ : hits)
    {
        struct xoshiro_lanes rng[2 * FLIGHT];
        for (int i = 0; i < 2 * FLIGHT; i++)
            rng[i] = xoshiro_lanes_seed(1 + (uint64_t)(2 * FLIGHT * omp_get_thread_num() + i));
        i64x8 count[FLIGHT] = {0};
#pragma omp for schedule(static)
        for (int64_t group = 0; group < groups; group++) {
#pragma GCC unroll 2
            for (int i = 0; i < FLIGHT; i++) {
                const f64x8 x = uniform_lanes(&rng[2 * i]);
                const f64x8 y = uniform_lanes(&rng[2 * i + 1]);
                count[i] -= x * x + y * y < 1.0;
            }
        }
        for (int i = 0; i < FLIGHT; i++)
            for (int lane = 0; lane < 8; lane++) hits += count[i][lane];
#pragma omp single
        {
            struct xoshiro rest = xoshiro_seed(1 << 20);
            for (int64_t i = groups * 8 * FLIGHT; i < n; i++) {
                const double x = uniform(&rest);
                const double y = uniform(&rest);
                hits += x * x + y * y < 1;
            }
        }
    }
    return 4.0 * (double)hits / (double)n;
}

// A block of paths advances together, so that generator and mathematics run in lanes: one xoshiro256+ and one Box-Muller pair per path.
double asian(int64_t paths, int64_t steps, double start, double strike, double rate, double sigma, double years) {
    enum { BLOCK = 256 };
    const double dt = years / (double)steps;
    const double drift = (rate - 0.5 * sigma * sigma) * dt;
    const double vol = sigma * sqrt(dt);
    double payoffs = 0;
#pragma omp parallel reduction(+ : payoffs)
    {
        uint64_t s0[BLOCK], s1[BLOCK], s2[BLOCK], s3[BLOCK];
        double price[BLOCK], sum[BLOCK], second[BLOCK];
        uint64_t state = (uint64_t)(1 + omp_get_thread_num()) << 32;
        for (int p = 0; p < BLOCK; p++) {
            s0[p] = splitmix64(&state);
            s1[p] = splitmix64(&state);
            s2[p] = splitmix64(&state);
            s3[p] = splitmix64(&state);
        }
#pragma omp for schedule(static)
        for (int64_t first = 0; first < paths; first += BLOCK) {
            for (int p = 0; p < BLOCK; p++) {
                price[p] = start;
                sum[p] = 0;
            }
            for (int64_t step = 0; step < steps; step++) {
                // Box-Muller gives two normals; the odd step uses what the even one left.
                if (step % 2 == 0) {
#pragma omp simd
                    for (int p = 0; p < BLOCK; p++) {
                        double u[2];
                        for (int draw = 0; draw < 2; draw++) {
                            const uint64_t word = s0[p] + s3[p];
                            const uint64_t t = s1[p] << 17;
                            s2[p] ^= s0[p];
                            s3[p] ^= s1[p];
                            s1[p] ^= s2[p];
                            s0[p] ^= s3[p];
                            s2[p] ^= t;
                            s3[p] = s3[p] << 45 | s3[p] >> 19;
                            u[draw] = ((double)(int64_t)(word >> 12) + 0.5) * 0x1p-52;
                        }
                        const double radius = sqrt(-2 * log(u[0]));
                        const double angle = 6.283185307179586 * u[1];
                        // A cosine of another angle, as gcc would join sine and cosine of one into a call that has no vector form.
                        second[p] = radius * cos(angle - 1.5707963267948966);
                        price[p] *= exp(drift + vol * radius * cos(angle));
                        sum[p] += price[p];
                    }
                } else {
#pragma omp simd
                    for (int p = 0; p < BLOCK; p++) {
                        price[p] *= exp(drift + vol * second[p]);
                        sum[p] += price[p];
                    }
                }
            }
            const int64_t count = paths - first < BLOCK ? paths - first : BLOCK;
#pragma omp simd reduction(+ : payoffs)
            for (int64_t p = 0; p < count; p++) payoffs += fmax(sum[p] / (double)steps - strike, 0);
        }
    }
    return exp(-rate * years) * payoffs / (double)paths;
}

void rbf(int64_t n, int64_t m, const double *restrict a, const double *restrict b, double gamma,
         double *restrict k) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) {
#pragma omp simd
        for (int64_t j = 0; j < m; j++) {
            const double d = a[i] - b[j];
            k[i * m + j] = exp(-gamma * (d * d));
        }
    }
}

void black_scholes(int64_t n, const double *restrict spot, const double *restrict strike,
                   const double *restrict years, double rate, double sigma, double *restrict call,
                   double *restrict put) {
    const double half = 0.7071067811865476;
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n; i++) {
        const double spread = sigma * sqrt(years[i]);
        const double d1 = (log(spot[i] / strike[i]) + (rate + 0.5 * sigma * sigma) * years[i]) / spread;
        const double d2 = d1 - spread;
        const double discounted = strike[i] * exp(-rate * years[i]);
        const double price = 0.5 * (spot[i] * erfc(-half * d1) - discounted * erfc(-half * d2));
        call[i] = price;
        put[i] = price - spot[i] + discounted;
    }
}

void mandelbrot(int64_t width, int64_t height, int64_t limit, int64_t *restrict image) {
#pragma omp parallel for schedule(dynamic)
    for (int64_t row = 0; row < height; row++) {
        const double cy = -1.2 + 2.4 * (double)row / (double)height;
        for (int64_t column = 0; column < width; column++) {
            const double cx = -2.2 + 3.2 * (double)column / (double)width;
            double x = 0, y = 0;
            int64_t steps = 0;
            while (steps < limit) {
                const double xx = x * x, yy = y * y;
                if (xx + yy > 4) break;
                y = 2 * x * y + cy;
                x = xx - yy + cx;
                steps++;
            }
            image[row * width + column] = steps;
        }
    }
}

void forces(int64_t n, const float *restrict x, const float *restrict y, const float *restrict z,
            const float *restrict mass, float softening, float *restrict ax, float *restrict ay,
            float *restrict az) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) {
        float fx = 0, fy = 0, fz = 0;
#pragma omp simd reduction(+ : fx, fy, fz)
        for (int64_t j = 0; j < n; j++) {
            const float dx = x[j] - x[i], dy = y[j] - y[i], dz = z[j] - z[i];
            const float d2 = dx * dx + dy * dy + dz * dz + softening;
            const float weight = mass[j] / (d2 * sqrtf(d2));
            fx += weight * dx;
            fy += weight * dy;
            fz += weight * dz;
        }
        ax[i] = fx;
        ay[i] = fy;
        az[i] = fz;
    }
}

void axpy(int64_t n, double a, const double *restrict x, double *restrict y) {
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n; i++) y[i] += a * x[i];
}

void triad(int64_t n, const double *restrict b, const double *restrict c, double s, double *restrict a) {
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n; i++) a[i] = b[i] + s * c[i];
}

double total(int64_t n, const double *x) {
    double sum = 0;
#pragma omp parallel for simd schedule(static) reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) sum += x[i];
    return sum;
}

double dot(int64_t n, const double *x, const double *y) {
    double sum = 0;
#pragma omp parallel for simd schedule(static) reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) sum += x[i] * y[i];
    return sum;
}

void distances(int64_t n, int64_t m, const double *restrict a, const double *restrict b, double *restrict k) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) {
#pragma omp simd
        for (int64_t j = 0; j < m; j++) k[i * m + j] = fabs(a[i] - b[j]);
    }
}

void jacobi(int64_t n, int64_t m, const double *restrict u, double *restrict v) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 1; i < n - 1; i++) {
#pragma omp simd
        for (int64_t j = 1; j < m - 1; j++)
            v[i * m + j] = 0.25 * (u[(i - 1) * m + j] + u[(i + 1) * m + j] + u[i * m + j - 1] + u[i * m + j + 1]);
    }
}
