"""The kernels as NumPy's users write them for speed: whole arrays, `out=` where the outputs are given, blocks that stay in cache where
an intermediate would not fit. One thread, but for what the BLAS does in `dot`."""

import numpy as np

BLOCK = 1 << 16


def pi(n):
    rng = np.random.default_rng()
    hits = 0
    for first in range(0, n, BLOCK):
        count = min(BLOCK, n - first)
        x = rng.random(count)
        y = rng.random(count)
        hits += np.count_nonzero(x * x + y * y < 1)
    return 4 * hits / n


def asian(paths, steps, start, strike, rate, sigma, years):
    rng = np.random.default_rng()
    dt = years / steps
    drift = (rate - 0.5 * sigma**2) * dt
    vol = sigma * np.sqrt(dt)
    payoffs = 0.0
    rows = max(1, BLOCK // steps)
    for first in range(0, paths, rows):
        z = rng.standard_normal((min(rows, paths - first), steps))
        price = start * np.exp(np.cumsum(drift + vol * z, axis=1))
        payoffs += np.maximum(price.mean(axis=1) - strike, 0).sum()
    return np.exp(-rate * years) * payoffs / paths


def rbf(a, b, gamma, k):
    for row, x in zip(k, a):
        np.subtract(x, b, out=row)
        np.multiply(row, row, out=row)
        np.multiply(row, -gamma, out=row)
        np.exp(row, out=row)


def rbf_fresh(a, b, gamma):
    k = np.empty((a.size, b.size))
    rbf(a, b, gamma, k)
    return k


def mandelbrot(width, height, limit, image):
    column = -2.2 + 3.2 * np.arange(width) / width
    row = -1.2 + 2.4 * np.arange(height) / height
    for line, y in zip(image, row):
        # Only the points that have not left yet are moved.
        c = column + 1j * y
        at = np.arange(width)
        z = np.zeros(width, dtype=complex)
        line[:] = limit
        for step in range(limit):
            left = z.real * z.real + z.imag * z.imag > 4
            if left.any():
                line[at[left]] = step
                stay = ~left
                at, z, c = at[stay], z[stay], c[stay]
            z *= z
            z += c


def mandelbrot_fresh(width, height, limit):
    image = np.empty((height, width), dtype=np.int64)
    mandelbrot(width, height, limit, image)
    return image


def forces(x, y, z, mass, softening, ax, ay, az):
    rows = max(1, BLOCK // x.size)
    for first in range(0, x.size, rows):
        part = slice(first, first + rows)
        dx = x - x[part, None]
        dy = y - y[part, None]
        dz = z - z[part, None]
        d2 = dx * dx + dy * dy + dz * dz + softening
        weight = mass / (d2 * np.sqrt(d2))
        ax[part] = np.einsum("ij,ij->i", weight, dx)
        ay[part] = np.einsum("ij,ij->i", weight, dy)
        az[part] = np.einsum("ij,ij->i", weight, dz)


def forces_fresh(x, y, z, mass, softening):
    ax, ay, az = np.empty_like(x), np.empty_like(x), np.empty_like(x)
    forces(x, y, z, mass, softening, ax, ay, az)
    return ax, ay, az


def axpy(a, x, y):
    for first in range(0, x.size, BLOCK):
        part = slice(first, first + BLOCK)
        y[part] += a * x[part]


def triad(b, c, s, a):
    for first in range(0, a.size, BLOCK):
        part = slice(first, first + BLOCK)
        np.multiply(c[part], s, out=a[part])
        np.add(a[part], b[part], out=a[part])


def triad_fresh(b, c, s):
    return b + s * c


def total(x):
    return x.sum()


def dot(x, y):
    return x.dot(y)


def distances(a, b, k):
    for row, x in zip(k, a):
        np.subtract(x, b, out=row)
        np.abs(row, out=row)


def distances_fresh(a, b):
    return np.abs(a[:, None] - b)


def jacobi(u, v):
    inner = v[1:-1, 1:-1]
    np.add(u[:-2, 1:-1], u[2:, 1:-1], out=inner)
    np.add(inner, u[1:-1, :-2], out=inner)
    np.add(inner, u[1:-1, 2:], out=inner)
    np.multiply(inner, 0.25, out=inner)


def jacobi_fresh(u):
    v = np.zeros_like(u)
    v[1:-1, 1:-1] = 0.25 * (u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:])
    return v
