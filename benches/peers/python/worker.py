"""The worker of the Python peers: reads commands on standard input, answers each with one line (protocol: ../README.md).

In: `numba`, `numba-strict` or `numpy` as the argument; then commands. Out: nanoseconds and results. Holds: inputs are the same bits as in the
other workers; the clock covers the call alone, or in the `fresh` form also the freeing of what it returned.
"""

import gc
import sys
import time
from importlib import import_module

import numpy as np

TYPES = {"i64": np.int64, "f32": np.float32, "f64": np.float64}


def fill(array, role, seed=0, low=0.0, high=0.0):
    """Element i of a seed: splitmix64's mixer of a counter, as a fraction of the range."""
    if role == "output":
        array[...] = 0
        return
    with np.errstate(over="ignore"):
        z = (np.uint64(seed << 32) + np.arange(array.size, dtype=np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    x = low + (high - low) * ((z >> np.uint64(11)).astype(np.float64) * 2.0**-53)
    array[...] = x.reshape(array.shape)


class Arg:
    def __init__(self, text):
        words = text.split(" ")
        self.role, ty = words[0], TYPES[words[1]]
        if self.role == "scalar":
            # Python's own numbers, except for f32, which Python has not.
            self.value = {"i64": int, "f32": np.float32, "f64": float}[words[1]](words[2])
            return
        self.contents = [int(words[2]), float(words[3]), float(words[4])] if self.role != "output" else []
        self.value = np.empty([int(size) for size in words[-1].split(",")], dtype=ty)
        self.reset()

    def reset(self):
        if self.role != "scalar":
            fill(self.value, self.role, *self.contents)

    def written(self):
        return self.role in ("output", "update")


def probe(array):
    """A few elements added up: proof that the work was done."""
    flat = array.reshape(-1)
    step = flat.size // 61 + 1
    total = 0.0
    for x in flat[flat.size // 2 % step :: step]:
        total += float(x)
    return total


class Worker:
    def __init__(self, peer):
        self.peer = peer
        self.module = import_module("numpy_kernels" if peer == "numpy" else "numba_kernels")
        if peer != "numpy":
            import numba

            self.numba = numba
            # The process is warm: what comes later pays for itself only.
            self.build("axpy").compile((numba.float64, numba.float64[::1], numba.float64[::1]))
        self.kernel = None

    def build(self, name):
        function = getattr(self.module, name)
        if self.peer == "numpy":
            return function
        return self.numba.njit(parallel=True, fastmath=self.peer == "numba")(function)

    def about(self):
        if self.peer == "numpy":
            return f"ok NumPy {np.__version__}"
        from llvmlite import binding

        llvm = ".".join(map(str, binding.llvm_version_info))
        axpy = self.build("axpy")
        axpy(2.0, np.zeros(4), np.zeros(4))
        layer, python = self.numba.threading_layer(), sys.version.split()[0]
        return f"ok Numba {self.numba.__version__} (LLVM {llvm}, threads by {layer}), NumPy {np.__version__}, Python {python}"

    def prepare(self, text):
        self.release()
        name, *specs = text.split(";")
        if not hasattr(self.module, name):
            return "it has no such function" if self.peer == "numpy" else "no kernel of that name"
        self.args = [Arg(spec) for spec in specs]
        self.name = name
        self.kernel = self.build(name)
        fresh = name + "_fresh"
        self.fresh_kernel = self.build(fresh) if hasattr(self.module, fresh) else None
        return "ok"

    def run(self):
        values = [arg.value for arg in self.args]
        start = time.perf_counter_ns()
        result = self.kernel(*values)
        elapsed = time.perf_counter_ns() - start
        outputs = [arg.value for arg in self.args if arg.written()]
        return f"{elapsed} {probe(outputs[0]) if outputs else float(result)!r}"

    def fresh(self):
        if self.fresh_kernel is None:
            return "the kernel has no fresh form"
        values = [arg.value for arg in self.args if not arg.written()]
        start = time.perf_counter_ns()
        result = self.fresh_kernel(*values)
        elapsed = time.perf_counter_ns() - start
        proof = probe(result[0] if isinstance(result, tuple) else result)
        start = time.perf_counter_ns()
        del result
        elapsed += time.perf_counter_ns() - start
        return f"{elapsed} {proof!r}"

    def dump(self, path):
        for arg in self.args:
            arg.reset()
        result = self.kernel(*[arg.value for arg in self.args])
        outputs = [arg.value for arg in self.args if arg.written()]
        with open(path, "wb") as file:
            for output in outputs or [np.array([result], dtype=np.float64)]:
                output.tofile(file)
        return "ok"

    def compile(self, count):
        """The compilation that a first call waits for, so many times, each of a new dispatcher: `ok NS NS …`."""
        if self.peer == "numpy":
            return "NumPy does not compile"
        times = []
        for _ in range(int(count)):
            kernel = self.build(self.name)
            types = tuple(self.numba.typeof(arg.value) for arg in self.args)
            start = time.perf_counter_ns()
            kernel.compile(types)
            times.append(time.perf_counter_ns() - start)
        return " ".join(["ok", *map(str, times)])

    def listing(self, path):
        """Machine code of the prepared kernel, as text."""
        if self.peer == "numpy":
            return "NumPy does not compile"
        with open(path, "w") as file:
            file.write("\n".join(self.kernel.inspect_asm().values()))
        return "ok"

    def release(self):
        self.args, self.kernel = [], None
        return "ok"

    def answer(self, line):
        command, _, rest = line.partition(" ")
        if command == "about":
            return self.about()
        if command == "prepare":
            return self.prepare(rest)
        if command == "release":
            return self.release()
        if self.kernel is None:
            return "prepare a kernel first"
        if command in ("run", "fresh"):
            return getattr(self, command)()
        if command in ("dump", "compile", "listing"):
            return getattr(self, command)(rest)
        return "unknown command"


def main():
    worker = Worker(sys.argv[1])
    gc.disable()
    for line in sys.stdin:
        try:
            answer = worker.answer(line.rstrip("\n"))
        except Exception as error:  # An answer of one line, whatever it is.
            answer = " ".join(f"{type(error).__name__}: {error}".split())
        print(answer, flush=True)


main()
