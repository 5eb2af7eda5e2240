/* Mathematics beside ours, and the truth about it.
 *
 * In: a function's name, "f64" or "f32", files of raw numbers. Out: with `glibc` or `sleef`, a file of that library's results; with `measure`, one
 * line: the largest distance, in representable numbers, between the results in a file and the correctly rounded ones, and the argument where it is.
 * Holds: the right results are MPFR's (https://www.mpfr.org), rounded once to the type, denormals included; a NaN where a number belongs is infinitely wrong.
 *
 *     reference glibc|sleef FN TYPE OUT X [Y]
 *     reference measure     FN TYPE RESULTS X [Y]
 *
 * Exit code 3: the library has no such function. */
#define _GNU_SOURCE
#include <math.h>
#include <mpfr.h>
#include <sleef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef double (*fn64)(double, double);
typedef float (*fn32)(float, float);

#define ONE(name, g, s64, s32)                                            \
    static double g64_##name(double x, double y) { (void)y; return g(x); } \
    static float g32_##name(float x, float y) { (void)y; return g##f(x); } \
    static double s64_##name(double x, double y) { (void)y; return s64(x); } \
    static float s32_##name(float x, float y) { (void)y; return s32(x); }
#define TWO(name, g, s64, s32)                                   \
    static double g64_##name(double x, double y) { return g(x, y); } \
    static float g32_##name(float x, float y) { return g##f(x, y); } \
    static double s64_##name(double x, double y) { return s64(x, y); } \
    static float s32_##name(float x, float y) { return s32(x, y); }
#define ONE_SLEEF(name, s64, s32)                                          \
    static double s64_##name(double x, double y) { (void)y; return s64(x); } \
    static float s32_##name(float x, float y) { (void)y; return s32(x); }

ONE(sqrt, sqrt, Sleef_sqrt_u05, Sleef_sqrtf_u05)
ONE(exp, exp, Sleef_exp_u10, Sleef_expf_u10)
ONE(exp2, exp2, Sleef_exp2_u10, Sleef_exp2f_u10)
ONE(expm1, expm1, Sleef_expm1_u10, Sleef_expm1f_u10)
ONE(log, log, Sleef_log_u10, Sleef_logf_u10)
ONE(log2, log2, Sleef_log2_u10, Sleef_log2f_u10)
ONE(log10, log10, Sleef_log10_u10, Sleef_log10f_u10)
ONE(log1p, log1p, Sleef_log1p_u10, Sleef_log1pf_u10)
ONE(sin, sin, Sleef_sin_u10, Sleef_sinf_u10)
ONE(cos, cos, Sleef_cos_u10, Sleef_cosf_u10)
ONE(tan, tan, Sleef_tan_u10, Sleef_tanf_u10)
ONE(asin, asin, Sleef_asin_u10, Sleef_asinf_u10)
ONE(acos, acos, Sleef_acos_u10, Sleef_acosf_u10)
ONE(atan, atan, Sleef_atan_u10, Sleef_atanf_u10)
ONE(sinh, sinh, Sleef_sinh_u10, Sleef_sinhf_u10)
ONE(cosh, cosh, Sleef_cosh_u10, Sleef_coshf_u10)
ONE(tanh, tanh, Sleef_tanh_u10, Sleef_tanhf_u10)
ONE(asinh, asinh, Sleef_asinh_u10, Sleef_asinhf_u10)
ONE(acosh, acosh, Sleef_acosh_u10, Sleef_acoshf_u10)
ONE(atanh, atanh, Sleef_atanh_u10, Sleef_atanhf_u10)
ONE(cbrt, cbrt, Sleef_cbrt_u10, Sleef_cbrtf_u10)
ONE(erf, erf, Sleef_erf_u10, Sleef_erff_u10)
ONE(erfc, erfc, Sleef_erfc_u15, Sleef_erfcf_u15)
ONE(gamma, tgamma, Sleef_tgamma_u10, Sleef_tgammaf_u10)
ONE(lgamma, lgamma, Sleef_lgamma_u10, Sleef_lgammaf_u10)
ONE_SLEEF(sinpi, Sleef_sinpi_u05, Sleef_sinpif_u05)
ONE_SLEEF(cospi, Sleef_cospi_u05, Sleef_cospif_u05)
TWO(pow, pow, Sleef_pow_u10, Sleef_powf_u10)
TWO(atan2, atan2, Sleef_atan2_u10, Sleef_atan2f_u10)
TWO(hypot, hypot, Sleef_hypot_u05, Sleef_hypotf_u05)

/* The exact functions: each sets `r` from `x` (and `y`) and returns MPFR's ternary value. Compositions compute with bits to spare. */
typedef int (*exact)(mpfr_t r, const mpfr_t x, const mpfr_t y);
#define EXACT(name, f) \
    static int e_##name(mpfr_t r, const mpfr_t x, const mpfr_t y) { (void)y; return f(r, x, MPFR_RNDN); }
EXACT(sqrt, mpfr_sqrt) EXACT(exp, mpfr_exp) EXACT(exp2, mpfr_exp2) EXACT(expm1, mpfr_expm1)
EXACT(log, mpfr_log) EXACT(log2, mpfr_log2) EXACT(log10, mpfr_log10) EXACT(log1p, mpfr_log1p)
EXACT(sin, mpfr_sin) EXACT(cos, mpfr_cos) EXACT(tan, mpfr_tan) EXACT(asin, mpfr_asin) EXACT(acos, mpfr_acos)
EXACT(atan, mpfr_atan) EXACT(sinh, mpfr_sinh) EXACT(cosh, mpfr_cosh) EXACT(tanh, mpfr_tanh) EXACT(asinh, mpfr_asinh)
EXACT(acosh, mpfr_acosh) EXACT(atanh, mpfr_atanh) EXACT(cbrt, mpfr_cbrt) EXACT(erf, mpfr_erf) EXACT(erfc, mpfr_erfc)
EXACT(gamma, mpfr_gamma) EXACT(lgamma, mpfr_lngamma) EXACT(sinpi, mpfr_sinpi) EXACT(cospi, mpfr_cospi)
static int e_pow(mpfr_t r, const mpfr_t x, const mpfr_t y) { return mpfr_pow(r, x, y, MPFR_RNDN); }
static int e_atan2(mpfr_t r, const mpfr_t x, const mpfr_t y) { return mpfr_atan2(r, x, y, MPFR_RNDN); }
static int e_hypot(mpfr_t r, const mpfr_t x, const mpfr_t y) { return mpfr_hypot(r, x, y, MPFR_RNDN); }

enum { SPARE = 400 };

/* erfc(-x / sqrt 2) / 2 */
static void normcdf_to(mpfr_t r, const mpfr_t x) {
    mpfr_t half;
    mpfr_init2(half, SPARE);
    mpfr_set_d(half, 0.5, MPFR_RNDN);
    mpfr_sqrt(half, half, MPFR_RNDN);
    mpfr_mul(half, half, x, MPFR_RNDN);
    mpfr_neg(half, half, MPFR_RNDN);
    mpfr_erfc(r, half, MPFR_RNDN);
    mpfr_div_2ui(r, r, 1, MPFR_RNDN);
    mpfr_clear(half);
}

static int e_normcdf(mpfr_t r, const mpfr_t x, const mpfr_t y) {
    (void)y;
    mpfr_t value;
    mpfr_init2(value, SPARE);
    normcdf_to(value, x);
    int ternary = mpfr_set(r, value, MPFR_RNDN);
    mpfr_clear(value);
    return ternary;
}

/* Newton's method on normcdf: x -= (normcdf(x) - p) / density(x), from a start good to a few digits (Abramowitz and Stegun 26.2.23). */
static int e_norminv(mpfr_t r, const mpfr_t x, const mpfr_t y) {
    (void)y;
    double p = mpfr_get_d(x, MPFR_RNDN);
    if (!(p > 0 && p < 1)) {
        if (p == 0) mpfr_set_inf(r, -1);
        else if (p == 1) mpfr_set_inf(r, 1);
        else mpfr_set_nan(r);
        return 0;
    }
    double q = p < 0.5 ? p : 1 - p;
    double t = sqrt(-2 * log(q));
    double start = t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308)));
    if (p < 0.5) start = -start;
    mpfr_t z, f, d, tau;
    mpfr_inits2(SPARE, z, f, d, tau, (mpfr_ptr)0);
    mpfr_set_d(z, start, MPFR_RNDN);
    mpfr_const_pi(tau, MPFR_RNDN);
    mpfr_mul_2ui(tau, tau, 1, MPFR_RNDN);
    mpfr_sqrt(tau, tau, MPFR_RNDN);
    for (int step = 0; step < 9; step++) {
        normcdf_to(f, z);
        mpfr_sub(f, f, x, MPFR_RNDN);
        mpfr_sqr(d, z, MPFR_RNDN);
        mpfr_div_si(d, d, 2, MPFR_RNDN);
        mpfr_exp(d, d, MPFR_RNDN);
        mpfr_mul(d, d, tau, MPFR_RNDN);
        mpfr_mul(f, f, d, MPFR_RNDN);
        mpfr_sub(z, z, f, MPFR_RNDN);
    }
    int ternary = mpfr_set(r, z, MPFR_RNDN);
    mpfr_clears(z, f, d, tau, (mpfr_ptr)0);
    return ternary;
}

static const struct row {
    const char *name;
    int operands;
    exact truth;
    fn64 glibc64;
    fn32 glibc32;
    fn64 sleef64;
    fn32 sleef32;
} ROWS[] = {
#define ALL(name, operands) {#name, operands, e_##name, g64_##name, g32_##name, s64_##name, s32_##name}
    ALL(sqrt, 1), ALL(exp, 1), ALL(exp2, 1), ALL(expm1, 1), ALL(log, 1), ALL(log2, 1), ALL(log10, 1), ALL(log1p, 1),
    ALL(sin, 1), ALL(cos, 1), ALL(tan, 1), ALL(asin, 1), ALL(acos, 1), ALL(atan, 1), ALL(sinh, 1), ALL(cosh, 1),
    ALL(tanh, 1), ALL(asinh, 1), ALL(acosh, 1), ALL(atanh, 1), ALL(cbrt, 1), ALL(erf, 1), ALL(erfc, 1), ALL(gamma, 1),
    ALL(lgamma, 1), ALL(pow, 2), ALL(atan2, 2), ALL(hypot, 2),
    {"sinpi", 1, e_sinpi, NULL, NULL, s64_sinpi, s32_sinpi},
    {"cospi", 1, e_cospi, NULL, NULL, s64_cospi, s32_cospi},
    {"normcdf", 1, e_normcdf, NULL, NULL, NULL, NULL},
    {"norminv", 1, e_norminv, NULL, NULL, NULL, NULL},
};

static void *read_all(const char *path, size_t size, size_t *count) {
    FILE *file = fopen(path, "rb");
    if (!file) { perror(path); exit(1); }
    fseek(file, 0, SEEK_END);
    long bytes = ftell(file);
    rewind(file);
    void *data = malloc((size_t)bytes + 8);
    if (!data || fread(data, 1, (size_t)bytes, file) != (size_t)bytes) { fprintf(stderr, "%s: cannot be read\n", path); exit(1); }
    fclose(file);
    *count = (size_t)bytes / size;
    return data;
}

/* Numbers in their order as integers: neighbours differ by 1, both zeros are 0. */
static int64_t order64(double x) {
    int64_t bits;
    memcpy(&bits, &x, 8);
    return bits < 0 ? INT64_MIN - bits : bits;
}
static int64_t order32(float x) {
    int32_t bits;
    memcpy(&bits, &x, 4);
    return bits < 0 ? (int64_t)INT32_MIN - bits : bits;
}

int main(int argc, char **argv) {
    if (argc < 6) { fprintf(stderr, "usage: reference glibc|sleef|measure FN f64|f32 FILE X [Y]\n"); return 2; }
    const struct row *row = NULL;
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++)
        if (!strcmp(ROWS[i].name, argv[2])) row = &ROWS[i];
    if (!row) { fprintf(stderr, "no function %s\n", argv[2]); return 2; }
    int wide = !strcmp(argv[3], "f64");
    size_t size = wide ? 8 : 4, count, again;
    void *x = read_all(argv[5], size, &count);
    void *y = argc > 6 ? read_all(argv[6], size, &again) : x;
    double *x64 = x, *y64 = y;
    float *x32 = x, *y32 = y;
    if (strcmp(argv[1], "measure")) {
        int sleef = !strcmp(argv[1], "sleef");
        fn64 f64 = sleef ? row->sleef64 : row->glibc64;
        fn32 f32 = sleef ? row->sleef32 : row->glibc32;
        if (!f64) return 3;
        FILE *file = fopen(argv[4], "wb");
        if (!file) { perror(argv[4]); return 1; }
        for (size_t i = 0; i < count; i++) {
            double wide_result = wide ? f64(x64[i], y64[i]) : 0;
            float narrow_result = wide ? 0 : f32(x32[i], y32[i]);
            fwrite(wide ? (void *)&wide_result : (void *)&narrow_result, size, 1, file);
        }
        return fclose(file);
    }
    void *found = read_all(argv[4], size, &again);
    if (again != count) { fprintf(stderr, "%zu results for %zu arguments\n", again, count); return 1; }
    mpfr_t a, b, r;
    mpfr_inits2(53, a, b, (mpfr_ptr)0);
    mpfr_init2(r, wide ? 53 : 24);
    double worst = 0, at = 0, total = 0;
    for (size_t i = 0; i < count; i++) {
        double argument = wide ? x64[i] : x32[i];
        mpfr_set_emin(mpfr_get_emin_min());
        mpfr_set_emax(mpfr_get_emax_max());
        mpfr_set_d(a, argument, MPFR_RNDN);
        mpfr_set_d(b, wide ? y64[i] : y32[i], MPFR_RNDN);
        /* The type's range: compositions need more while they compute, so it holds only for the last rounding. */
        int ternary;
        if (row->truth == e_normcdf || row->truth == e_norminv) {
            ternary = row->truth(r, a, b);
            mpfr_set_emin(wide ? -1073 : -148);
            mpfr_set_emax(wide ? 1024 : 128);
            ternary = mpfr_check_range(r, ternary, MPFR_RNDN);
        } else {
            mpfr_set_emin(wide ? -1073 : -148);
            mpfr_set_emax(wide ? 1024 : 128);
            ternary = row->truth(r, a, b);
        }
        mpfr_subnormalize(r, ternary, MPFR_RNDN);
        double right = mpfr_get_d(r, MPFR_RNDN);
        double here = wide ? ((double *)found)[i] : ((float *)found)[i];
        double distance;
        if (isnan(right) || isnan(here)) distance = isnan(right) && isnan(here) ? 0 : INFINITY;
        else if (wide) distance = fabs((double)((__int128)order64(here) - order64(right)));
        else distance = (double)llabs(order32((float)here) - order32((float)right));
        total += distance;
        if (distance > worst) { worst = distance; at = argument; }
    }
    printf("%.0f %.17g %.4f\n", worst, at, total / (double)count);
    return 0;
}
