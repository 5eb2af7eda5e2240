"""Checks tests/kernels/random_known_answers.kiln against the definitions: python3 tests/random/answers.py (needs mpmath).

In: the file's expected lines. Out: per line, the largest distance in units in the last place of the largest number; a failure if it is more than a few.
Holds: every number is computed again by streams.py, which shares nothing with Kiln.
"""
import math
import pathlib
import re
import sys
from mpmath import mpf
from streams import Stream, rng, statement

FILE = pathlib.Path(__file__).parent.parent / "kernels" / "random_known_answers.kiln"
ALLOWED = 6


def explicit(draw, *keys, generator="philox"):
    """Draws from an explicit stream; the seed of the call is that of the script's statement."""
    return lambda root: draw(rng(*keys, seed=root.key, generator=generator))


def steps(s):
    values = [s.randn() for _ in range(9)]
    return sum(values), values[-1]


def paths(root):
    key = root.child()
    streams = [Stream(key, index) for index in range(10)]
    return (sum(stream.randn() for stream in streams for _ in range(5)),)


LINES = [
    explicit(lambda s: [s.rand() for _ in range(3)], 1),
    explicit(lambda s: [s.rand("f32") for _ in range(3)], 1),
    explicit(lambda s: [s.randn() for _ in range(4)], 2),
    explicit(lambda s: [s.randn("f32") for _ in range(3)], 2),
    explicit(lambda s: [s.randn(), s.rand(), s.randn(), s.rand()], 3, 4),
    explicit(lambda s: [s.rand_exp() for _ in range(3)], 5),
    explicit(lambda s: [s.rand_int(0, 10), s.rand_int(-5, 5), s.rand_int(0, 10**12)], 6),
    explicit(steps, -7),
    explicit(lambda s: [s.rand(), s.randn(), s.randn()], 8, generator="ars"),
    paths,
    explicit(lambda s: [s.gamma(mpf("2.5")), s.gamma(mpf("2.5"), 3), s.gamma(mpf(0.3))], 9),
    explicit(lambda s: [s.poisson(3) for _ in range(8)], 10),
    explicit(lambda s: [s.poisson(mpf("250.25")) for _ in range(8)], 10),
    explicit(lambda s: [s.binomial(20, mpf("0.25")) for _ in range(8)], 11),
    explicit(lambda s: [s.binomial(1000, mpf("0.75")) for _ in range(8)], 11),
    explicit(lambda s: s.shuffle(list(range(10))), 12),
    explicit(lambda s: [s.choice([10, 20, 30, 40]) for _ in range(8)], 13),
    explicit(lambda s: [s.choice([10, 20, 30, 40], [0, 1, 0.5, 2.5]) for _ in range(8)], 13),
]


def main():
    wanted = [line[3:] for line in FILE.read_text().splitlines() if line.startswith("#> ")]
    assert len(wanted) == len(LINES), (len(wanted), len(LINES))
    worst = 0
    for number, (line, make) in enumerate(zip(wanted, LINES)):
        found = [float(text) for text in re.findall(r"-?[\d.]+(?:e-?\d+)?", line)]
        # f32 numbers are the ones that are written shorter.
        single = number in (1, 3)
        right = [float(value) for value in make(statement(number))]
        unit = max(math.ulp(value) for value in right) * (2**29 if single else 1)
        distance = max(abs(a - b) for a, b in zip(found, right, strict=True)) / unit
        print(f"{distance:4.1f}  {line}")
        worst = max(worst, distance)
    if worst > ALLOWED:
        sys.exit(f"{worst} units off")


main()
