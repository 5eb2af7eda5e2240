"""The kernels as Numba's users write them for speed; the worker compiles them with parallel=True, with fastmath=True or without.

Outputs are parameters, except in the functions that end in `_fresh`, which make and return them.
"""

import math

import numpy as np
from numba import njit, prange


def pi(n):
    hits = 0
    for i in prange(n):
        x = np.random.random()
        y = np.random.random()
        if x * x + y * y < 1:
            hits += 1
    return 4 * hits / n


def asian(paths, steps, start, strike, rate, sigma, years):
    dt = years / steps
    drift = (rate - 0.5 * sigma**2) * dt
    vol = sigma * math.sqrt(dt)
    payoffs = 0.0
    for path in prange(paths):
        price = start
        total = 0.0
        for step in range(steps):
            price *= math.exp(drift + vol * np.random.standard_normal())
            total += price
        payoffs += max(total / steps - strike, 0.0)
    return math.exp(-rate * years) * payoffs / paths


def rbf(a, b, gamma, k):
    for i in prange(k.shape[0]):
        for j in range(k.shape[1]):
            k[i, j] = math.exp(-gamma * (a[i] - b[j]) ** 2)


def rbf_fresh(a, b, gamma):
    k = np.empty((a.size, b.size))
    for i in prange(k.shape[0]):
        for j in range(k.shape[1]):
            k[i, j] = math.exp(-gamma * (a[i] - b[j]) ** 2)
    return k


@njit(inline="always")
def option(spot, strike, years, rate, sigma):
    half = 0.7071067811865476
    spread = sigma * math.sqrt(years)
    d1 = (math.log(spot / strike) + (rate + 0.5 * sigma * sigma) * years) / spread
    d2 = d1 - spread
    discounted = strike * math.exp(-rate * years)
    price = 0.5 * (spot * math.erfc(-half * d1) - discounted * math.erfc(-half * d2))
    return price, price - spot + discounted


def black_scholes(spot, strike, years, rate, sigma, call, put):
    for i in prange(spot.size):
        call[i], put[i] = option(spot[i], strike[i], years[i], rate, sigma)


def black_scholes_fresh(spot, strike, years, rate, sigma):
    call = np.empty(spot.size)
    put = np.empty(spot.size)
    for i in prange(spot.size):
        call[i], put[i] = option(spot[i], strike[i], years[i], rate, sigma)
    return call, put


@njit(inline="always")
def escape(cx, cy, limit):
    x = 0.0
    y = 0.0
    steps = 0
    while steps < limit:
        xx = x * x
        yy = y * y
        if xx + yy > 4:
            break
        y = 2 * x * y + cy
        x = xx - yy + cx
        steps += 1
    return steps


def mandelbrot(width, height, limit, image):
    for row in prange(height):
        cy = -1.2 + 2.4 * row / height
        for column in range(width):
            cx = -2.2 + 3.2 * column / width
            image[row, column] = escape(cx, cy, limit)


def mandelbrot_fresh(width, height, limit):
    image = np.empty((height, width), dtype=np.int64)
    for row in prange(height):
        cy = -1.2 + 2.4 * row / height
        for column in range(width):
            cx = -2.2 + 3.2 * column / width
            image[row, column] = escape(cx, cy, limit)
    return image


@njit(inline="always")
def pull(x, y, z, mass, softening, i):
    # Accumulators of the arrays' type: a literal 0.0 would make the sums f64.
    fx = x.dtype.type(0)
    fy = x.dtype.type(0)
    fz = x.dtype.type(0)
    for j in range(x.size):
        dx = x[j] - x[i]
        dy = y[j] - y[i]
        dz = z[j] - z[i]
        d2 = dx * dx + dy * dy + dz * dz + softening
        weight = mass[j] / (d2 * np.sqrt(d2))
        fx += weight * dx
        fy += weight * dy
        fz += weight * dz
    return fx, fy, fz


def forces(x, y, z, mass, softening, ax, ay, az):
    for i in prange(x.size):
        ax[i], ay[i], az[i] = pull(x, y, z, mass, softening, i)


def forces_fresh(x, y, z, mass, softening):
    ax = np.empty_like(x)
    ay = np.empty_like(x)
    az = np.empty_like(x)
    for i in prange(x.size):
        ax[i], ay[i], az[i] = pull(x, y, z, mass, softening, i)
    return ax, ay, az


def axpy(a, x, y):
    for i in prange(x.size):
        y[i] += a * x[i]


def triad(b, c, s, a):
    for i in prange(a.size):
        a[i] = b[i] + s * c[i]


def triad_fresh(b, c, s):
    a = np.empty_like(b)
    for i in prange(a.size):
        a[i] = b[i] + s * c[i]
    return a


def total(x):
    s = 0.0
    for i in prange(x.size):
        s += x[i]
    return s


def dot(x, y):
    s = 0.0
    for i in prange(x.size):
        s += x[i] * y[i]
    return s


def distances(a, b, k):
    for i in prange(k.shape[0]):
        for j in range(k.shape[1]):
            k[i, j] = abs(a[i] - b[j])


def distances_fresh(a, b):
    k = np.empty((a.size, b.size))
    for i in prange(k.shape[0]):
        for j in range(k.shape[1]):
            k[i, j] = abs(a[i] - b[j])
    return k


def jacobi(u, v):
    n, m = u.shape
    for i in prange(1, n - 1):
        for j in range(1, m - 1):
            v[i, j] = 0.25 * (u[i - 1, j] + u[i + 1, j] + u[i, j - 1] + u[i, j + 1])


def jacobi_fresh(u):
    n, m = u.shape
    v = np.zeros_like(u)
    for i in prange(1, n - 1):
        for j in range(1, m - 1):
            v[i, j] = 0.25 * (u[i - 1, j] + u[i + 1, j] + u[i, j - 1] + u[i, j + 1])
    return v
