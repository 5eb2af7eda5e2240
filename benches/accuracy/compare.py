"""Measures how far mathematics is from correctly rounded: Kiln's, glibc's, SLEEF's and NumPy's, on the same arguments.

In: the paths of `kiln` and of the compiled `reference.c`. Out: a table in Markdown. Holds: arguments are random with a fixed seed, half of them spread
over exponents, half evenly over the function's busy range; what a library does not have is a dash.
"""

import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

KILN, REFERENCE, TABLE, COUNT = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
MAX = {"f64": 1.7e308, "f32": 3.4e38}
TINY = {"f64": 5e-324, "f32": 1e-45}
BIG = {"f64": (-745.1, 709.7), "f32": (-103.9, 88.7)}
# Function, busy range, whole range, NumPy's name.
ONE = [
    ("sqrt", (0, 100), (0, None), "sqrt"),
    ("exp", "exp", "exp", "exp"),
    ("exp2", "exp2", "exp2", "exp2"),
    ("expm1", (-2, 2), "exp", "expm1"),
    ("log", (0.5, 2), (0, None), "log"),
    ("log2", (0.5, 2), (0, None), "log2"),
    ("log10", (0.5, 2), (0, None), "log10"),
    ("log1p", (-0.5, 1), (-1, None), "log1p"),
    ("sin", (-10, 10), (None, None), "sin"),
    ("cos", (-10, 10), (None, None), "cos"),
    ("tan", (-10, 10), (None, None), "tan"),
    ("asin", (-1, 1), (-1, 1), "arcsin"),
    ("acos", (-1, 1), (-1, 1), "arccos"),
    ("atan", (-5, 5), (None, None), "arctan"),
    ("sinpi", (-2, 2), (-1e6, 1e6), None),
    ("cospi", (-2, 2), (-1e6, 1e6), None),
    ("sinh", (-3, 3), "sinh", "sinh"),
    ("cosh", (-3, 3), "sinh", "cosh"),
    ("tanh", (-3, 3), (-25, 25), "tanh"),
    ("asinh", (-5, 5), (None, None), "arcsinh"),
    ("acosh", (1, 5), (1, None), "arccosh"),
    ("atanh", (-1, 1), (-1, 1), "arctanh"),
    ("cbrt", (-100, 100), (None, None), "cbrt"),
    ("erf", (-6, 6), (-6, 6), None),
    ("erfc", (-6, 9), (-6, 26), None),
    ("normcdf", (-6, 6), (-36, 9), None),
    ("norminv", (0.001, 0.999), (0, 1), None),
    ("gamma", (0.1, 10), (0.01, 34), None),
    ("lgamma", (0.1, 10), (0.01, None), None),
]
TWO = [("pow", "power"), ("atan2", "arctan2"), ("hypot", "hypot")]


PAGE = """# Accuracy

How far results are from the correctly rounded ones, in representable numbers: 0 is right, 1 is the right number or a neighbour. The largest found over
{count} arguments per function and type, half of them evenly over the function's busy range, half spread over all exponents; the truth is MPFR's, rounded once. Beside
Kiln: glibc {glibc}'s scalar functions, SLEEF's most accurate scalar ones (`u10`, `u05`), NumPy {numpy}'s on arrays. A dash: there is no such function. Made by

    benches/accuracy/run > docs/accuracy.md

which prints this page. The *promise* is the bound of [docs/math.md](math.md), held by the tests: `cargo test` looks at every 1009th f32 and at random f64 of every exponent,
`KILN_EXHAUSTIVE=1 cargo test accuracy` at all 2^32 f32.
"""


def limits(name, spread, kind):
    low, high = BIG[kind]
    named = {"exp": (low, high), "exp2": (low * 1.4426, high * 1.4426), "sinh": (-high, high)}
    if isinstance(spread, str):
        return named[spread]
    low, high = spread
    return (-MAX[kind] if low is None else low, MAX[kind] if high is None else high)


def spread_over_exponents(rng, low, high, count, kind):
    """Random numbers in [low, high] whose exponents are even, of both signs where the range has both."""
    def positive(top, number):
        start = np.log2(TINY[kind] * 4)
        return np.exp2(rng.uniform(start, min(np.log2(top), 1023.9 if kind == "f64" else 127.9), number))
    if low >= 0:
        return np.clip(low + positive(max(high - low, 1e-9), count), low, high)
    values = positive(high, count)
    signs = rng.integers(0, 2, count) * 2 - 1
    return np.clip(values * signs, low, high)


def arguments(rng, name, busy, whole, kind, count):
    dtype = {"f64": np.float64, "f32": np.float32}[kind]
    low, high = limits(name, busy, kind)
    evenly = rng.uniform(low, high, count // 2)
    low, high = limits(name, whole, kind)
    spread = spread_over_exponents(rng, low, high, count - count // 2, kind)
    return np.concatenate([evenly, spread]).astype(dtype)


def pairs(rng, name, kind, count):
    dtype = {"f64": np.float64, "f32": np.float32}[kind]
    if name == "pow":
        x = np.exp2(rng.uniform(-20, 20, count))
        y = rng.uniform(-1, 1, count) * BIG[kind][1] / np.maximum(np.abs(np.log(x)), 1e-3)
        x[: count // 2] = rng.uniform(0.5, 2, count // 2)
        y[: count // 2] = rng.uniform(-50, 50, count // 2)
    else:
        x = rng.uniform(-1, 1, count) * np.exp2(rng.uniform(-30, 30, count))
        y = rng.uniform(-1, 1, count) * np.exp2(rng.uniform(-30, 30, count))
    return x.astype(dtype), y.astype(dtype)


def promises():
    """Function and its promise, from the table in the manual."""
    found = {}
    for line in Path(TABLE).read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        names = re.findall(r"`(?:x \*\* y|([a-z0-9]+)\()", cells[1]) if len(cells) > 7 else []
        if names:
            name = names[0] or "pow"
            found[name, "f64"], found[name, "f32"] = cells[5], cells[6]
    return found


def measure(folder, name, kind, files, results):
    results.tofile(folder / "results")
    line = subprocess.run([REFERENCE, "measure", name, kind, folder / "results", *files], check=True, capture_output=True, text=True)
    worst, at, mean = line.stdout.split()
    # What is off by millions is another number altogether: an overflow inside, most often.
    return worst if float(worst) < 1e6 else f"{float(worst):.0e}", float(at), float(mean)


def kiln_results(folder, name, values):
    for letter, array in zip("xy", values):
        np.save(folder / f"{letter}.npy", array)
    call = {"pow": "x[i] ** y[i]"}.get(name, f"{name}(x[i], y[i])" if len(values) == 2 else f"{name}(x[i])")
    (folder / "apply.kiln").write_text(f"""
fn apply(x: [T; n], y: [T; n]) -> [T; n] {{
    var r = zeros(n)
    @parallel @vectorize for i in 0..n {{ r[i] = {call} }}
    return r
}}
let x = load("x.npy")
let y = load("{'xy'[len(values) - 1]}.npy")
save("r.npy", apply(x, y))
""")
    done = subprocess.run([KILN, "run", folder / "apply.kiln"], capture_output=True, text=True)
    if done.returncode != 0:
        print(f"{name}: {done.stderr}", file=sys.stderr)
        return None
    return np.load(folder / "r.npy")


def main():
    folder = Path(tempfile.mkdtemp())
    rng = np.random.default_rng(20240607)
    print(PAGE.format(count=COUNT, numpy=np.__version__, glibc=platform.libc_ver()[1]))
    print("| function | type | promise | Kiln | glibc | SLEEF | NumPy | Kiln's worst at | Kiln's mean |")
    print("|---|---|---|---|---|---|---|---|---|")
    promised = promises()
    for name, numpy_name, ranges in [(n, m, (b, w)) for n, b, w, m in ONE] + [(n, m, None) for n, m in TWO]:
        for kind in ("f64", "f32"):
            values = pairs(rng, name, kind, COUNT) if ranges is None else (arguments(rng, name, *ranges, kind, COUNT),)
            files = []
            for letter, array in zip("xy", values):
                array.tofile(folder / letter)
                files.append(folder / letter)
            cells = []
            ours = kiln_results(folder, name, values)
            worst, at, mean = ("-", float("nan"), float("nan")) if ours is None else measure(folder, name, kind, files, ours)
            cells.append(worst)
            for library in ("glibc", "sleef"):
                done = subprocess.run([REFERENCE, library, name, kind, folder / "theirs", *files])
                if done.returncode == 3:
                    cells.append("-")
                    continue
                theirs = np.fromfile(folder / "theirs", dtype=values[0].dtype)
                cells.append(measure(folder, name, kind, files, theirs)[0])
            if numpy_name is None:
                cells.append("-")
            else:
                with np.errstate(all="ignore"):
                    cells.append(measure(folder, name, kind, files, getattr(np, numpy_name)(*values))[0])
            print(f"| `{name}` | {kind} | {promised.get((name, kind), '-')} | {' | '.join(cells)} | {at:.9g} | {mean:.3f} |", flush=True)


main()
