// The kernels that the C peer offers; see kernels.c.
#ifndef KERNELS_H
#define KERNELS_H

#include <stdint.h>

double pi(int64_t n);
double pi_lanes(int64_t n);
double asian(int64_t paths, int64_t steps, double start, double strike, double rate, double sigma, double years);
void rbf(int64_t n, int64_t m, const double *a, const double *b, double gamma, double *k);
void black_scholes(int64_t n, const double *spot, const double *strike, const double *years, double rate,
                   double sigma, double *call, double *put);
void mandelbrot(int64_t width, int64_t height, int64_t limit, int64_t *image);
void forces(int64_t n, const float *x, const float *y, const float *z, const float *mass, float softening,
            float *ax, float *ay, float *az);
void axpy(int64_t n, double a, const double *x, double *y);
void triad(int64_t n, const double *b, const double *c, double s, double *a);
double total(int64_t n, const double *x);
double dot(int64_t n, const double *x, const double *y);
void distances(int64_t n, int64_t m, const double *a, const double *b, double *k);
void jacobi(int64_t n, int64_t m, const double *u, double *v);

#endif
