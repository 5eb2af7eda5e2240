"""Kiln's random streams, written down a second time from their definition (docs/random.md), for checking.

In: seeds and keys. Out: the words, uniforms, normals and exponentials of a stream, with mpmath where a logarithm or a cosine is needed.
Holds: nothing here was taken from Kiln's sources; floats are rounded once, so Kiln's may differ in the last bits where its functions do.
"""
import struct
from mpmath import mp, mpf, cospi, exp, floor, log, loggamma, sinpi, sqrt

mp.prec = 200
M32, M64 = (1 << 32) - 1, (1 << 64) - 1


def philox(counter, key):
    """Philox4x32-10: four 32-bit words of counter, two of key."""
    (c0, c1, c2, c3), (k0, k1) = counter, key
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & M32, (p0 >> 32) ^ c3 ^ k1, p0 & M32
        k0, k1 = (k0 + 0x9E3779B9) & M32, (k1 + 0xBB67AE85) & M32
    return c0, c1, c2, c3


def times(a, b):
    """Product in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1."""
    total = 0
    while b:
        if b & 1:
            total ^= a
        a = (a << 1) ^ (0x11B if a & 0x80 else 0)
        b >>= 1
    return total


INVERSE = [0] + [next(y for y in range(256) if times(x, y) == 1) for x in range(1, 256)]
SBOX = [
    x ^ (x << 1 | x >> 7) & 255 ^ (x << 2 | x >> 6) & 255 ^ (x << 3 | x >> 5) & 255 ^ (x << 4 | x >> 4) & 255 ^ 0x63
    for x in INVERSE
]


def ars(counter, key):
    """ARS-7: seven AES rounds, each half of the key stepping by a constant instead of the key schedule."""
    pack = lambda words: [byte for word in words for byte in word.to_bytes(4, "little")]
    halves = [key[0] | key[1] << 32, key[2] | key[3] << 32]
    state = [a ^ b for a, b in zip(pack(counter), pack(key))]
    for turn in range(1, 8):
        state = [SBOX[byte] for byte in state]
        state = [state[(place + 4 * (place % 4)) % 16] for place in range(16)]
        if turn < 7:
            mixed = []
            for column in range(0, 16, 4):
                a = state[column : column + 4]
                mixed += [times(a[r], 2) ^ times(a[(r + 1) % 4], 3) ^ a[(r + 2) % 4] ^ a[(r + 3) % 4] for r in range(4)]
            state = mixed
        low = (halves[0] + turn * 0x9E3779B97F4A7C15) & M64
        high = (halves[1] + turn * 0xBB67AE8584CAA73B) & M64
        state = [a ^ b for a, b in zip(state, low.to_bytes(8, "little") + high.to_bytes(8, "little"))]
    return struct.unpack("<4I", bytes(state))


def block(generator, kind, key, index, number):
    """X0 and X1 of a block."""
    counter = (index & M32, index >> 32, number & M32, kind << 28 | number >> 32)
    if generator == "philox":
        words = philox(counter, (key & M32, key >> 32))
    else:
        words = ars(counter, (key & M32, key >> 32, 0, 0))
    return words[0] | words[1] << 32, words[2] | words[3] << 32


def unit(word, kind="f64"):
    """The float in (0, 1) that a word stands for."""
    if kind == "f64":
        return ((word >> 12) + mpf(0.5)) / 2**52
    return ((word >> 41) + mpf(0.5)) / 2**23


class Stream:
    def __init__(self, key, index, generator="philox"):
        self.key, self.index, self.generator = key, index, generator
        self.uniforms = self.normals = self.children = 0

    def word(self):
        number = self.uniforms
        self.uniforms += 1
        return block(self.generator, 0, self.key, self.index, number // 2)[number % 2]

    def child(self):
        """The key of the next loop that opens streams."""
        self.children += 1
        return block(self.generator, 2, self.key, self.index, self.children - 1)[0]

    def rand(self, kind="f64"):
        return unit(self.word(), kind)

    def randn(self, kind="f64"):
        number = self.normals
        self.normals += 1
        x0, x1 = block(self.generator, 1, self.key, self.index, number // 2)
        turn = 2 * unit(x1, kind)
        return sqrt(-2 * log(unit(x0, kind))) * (sinpi(turn) if number % 2 else cospi(turn))

    def rand_exp(self, kind="f64"):
        return -log(self.rand(kind))

    def rand_int(self, lo, hi):
        return lo + (self.word() * (hi - lo) >> 64)


    def gamma(self, shape, scale=1):
        """Marsaglia and Tsang 2000."""
        shape, scale = mpf(shape), mpf(scale)
        if shape < 1:
            x = self.gamma(shape + 1)
            return scale * x * self.rand() ** (1 / shape)
        d = shape - mpf(1) / 3
        c = 1 / sqrt(9 * d)
        while True:
            x = self.randn()
            v = (1 + c * x) ** 3
            if v > 0:
                u = self.rand()
                if u < 1 - mpf("0.0331") * x**4 or log(u) < x * x / 2 + d * (1 - v + log(v)):
                    return scale * d * v

    def poisson(self, mean):
        """Knuth below 10, Hörmann's PTRS (1993) from there."""
        mean = mpf(mean)
        if mean < 10:
            product, count = self.rand(), 0
            while product > exp(-mean):
                product *= self.rand()
                count += 1
            return count
        b = mpf("0.931") + mpf("2.53") * sqrt(mean)
        a = mpf("-0.059") + mpf("0.02483") * b
        while True:
            u = self.rand() - mpf("0.5")
            v = self.rand()
            us = mpf("0.5") - abs(u)
            k = floor((2 * a / us + b) * u + mean + mpf("0.43"))
            if us >= mpf("0.07") and v <= mpf("0.9277") - mpf("3.6224") / (b - 2):
                return int(k)
            if k < 0 or (us < mpf("0.013") and v > us):
                continue
            left = log(v * (mpf("1.1239") + mpf("1.1328") / (b - mpf("3.4"))) / (a / us**2 + b))
            if left <= k * log(mean) - mean - loggamma(k + 1):
                return int(k)

    def binomial(self, n, p):
        """Inversion below a mean of 10, Hörmann's BTRS (1993) from there."""
        p = mpf(p)
        if p > mpf("0.5"):
            return n - self.binomial(n, 1 - p)
        q = 1 - p
        if n * p < 10:
            k, probability, u = 0, q**n, self.rand()
            while u > probability:
                u -= probability
                k += 1
                probability *= (n + 1 - k) * p / (k * q)
            return k
        root = sqrt(n * p * q)
        b = mpf("1.15") + mpf("2.53") * root
        a = mpf("-0.0873") + mpf("0.0248") * b + mpf("0.01") * p
        m = floor((n + 1) * p)
        height = lambda k: (k - m) * log(p / q) - loggamma(k + 1) - loggamma(n - k + 1)
        while True:
            u = self.rand() - mpf("0.5")
            v = self.rand()
            us = mpf("0.5") - abs(u)
            k = floor((2 * a / us + b) * u + n * p + mpf("0.5"))
            if us >= mpf("0.07") and v <= mpf("0.92") - mpf("4.2") / b:
                return int(k)
            if k < 0 or k > n:
                continue
            if log(v * (mpf("2.83") + mpf("5.1") / b) * root / (a / us**2 + b)) <= height(k) - height(m):
                return int(k)

    def shuffle(self, items):
        for i in range(len(items) - 1, 0, -1):
            j = self.rand_int(0, i + 1)
            items[i], items[j] = items[j], items[i]
        return items

    def choice(self, items, weights=None):
        if weights is None:
            return items[self.rand_int(0, len(items))]
        goal = self.rand() * sum(weights)
        for item, weight in zip(items, weights):
            goal -= weight
            if goal < 0:
                return item


def statement(number, seed=0):
    """The root stream of a script's statement."""
    return Stream(block("philox", 2, seed, 0, number)[0], 0)


def rng(a, b=None, seed=0, generator="philox"):
    """An explicit stream, in a call with that seed."""
    a &= M64
    key = block(generator, 3, seed, 0, 0)[0]
    if b is None:
        return Stream(key, a, generator)
    return Stream(block(generator, 3, key, a, 1)[0], b & M64, generator)


def check():
    """The published vectors of Random123."""
    pi = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)
    assert philox((0,) * 4, (0,) * 2) == (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)
    assert philox((M32,) * 4, (M32,) * 2) == (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)
    assert philox(pi, (0xA4093822, 0x299F31D0)) == (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)
    assert ars((0,) * 4, (0,) * 4) == (0xDACF61FF, 0xC45798F3, 0x113C7EEB, 0x101E27F3)
    assert ars((1, 0, 0, 0), (1, 0, 0, 0)) == (0x3523162B, 0xDC14D20C, 0x79184077, 0x72184193)


check()
