//! The table of builtins: one row each, from which the resolver, the type checker and the documentation read. Those of mathematics have a
//! table of their own, [`crate::math`], and are among [`all`] of them.
//!
//! In: a name as written in a call. Out: its [`Builtin`] row, or what to write instead ([`later`]).
//! Holds: a user's function of the same name wins over a builtin; names of types and constants are not in this table.

use crate::math;
use crate::samplers::{self, Sampler};
use crate::tree::{MathFn, ReduceKind, Variate};
use std::collections::HashMap;
use std::sync::OnceLock;

/// One builtin function.
#[derive(Clone, Copy, Debug)]
pub struct Builtin {
    /// As called.
    pub name: &'static str,
    /// How it is checked.
    pub kind: Kind,
    /// Names of the parameters, for keyword arguments; empty if the number of arguments varies.
    pub params: &'static [&'static str],
    /// How to write a call.
    pub usage: &'static str,
    /// What it does, in one line.
    pub doc: &'static str,
}

/// How a builtin is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// On scalars, without effects.
    Math(MathFn, Operands),
    /// Of two or more scalars, or over a generator or an array.
    Extreme(MathFn, ReduceKind),
    /// Over a generator or an array.
    Reduce(ReduceKind),
    /// Writes a line.
    Print,
    /// Reads an array from a file.
    Load,
    /// Writes an array to a file.
    Save,
    /// Size along the first axis.
    Len,
    /// Sizes.
    Shape,
    /// A fresh array with the same elements.
    Copy,
    /// A fresh array of zeros.
    Zeros,
    /// A fresh array of ones.
    Ones,
    /// A fresh array of one value.
    Full,
    /// A fresh array of equally spaced numbers, by step.
    Arange,
    /// A fresh array of equally spaced numbers, by count.
    Linspace,
    /// A random float.
    Draw(Variate),
    /// A random integer.
    RandInt,
    /// A random distribution with a body in Kiln.
    Sample(Sampler),
    /// An explicit random stream.
    Rng,
}

/// What a mathematical builtin takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operands {
    /// Floats; ints widen to f64.
    Float,
    /// Ints or floats, joined; bools widen to i64.
    Number,
    /// A float; the result is a bool.
    ToTruth,
    /// A float; the result is the unsigned int of its width.
    ToBits,
    /// u32 or u64; the result is the float of its width.
    FromBits,
    /// u64.
    Wide,
}

const fn other(name: &'static str, kind: Kind, usage: &'static str, doc: &'static str) -> Builtin {
    Builtin { name, kind, params: &[], usage, doc }
}

/// All but mathematics.
const BUILTINS: &[Builtin] = &[
    other("sum", Kind::Reduce(ReduceKind::Sum), "sum(x), sum(e for i in 0..n)", "the sum, in a fixed order"),
    other(
        "prod",
        Kind::Reduce(ReduceKind::Prod),
        "prod(x), prod(e for i in 0..n)",
        "the product, in a fixed order",
    ),
    other(
        "mean",
        Kind::Reduce(ReduceKind::Mean),
        "mean(x), mean(e for i in 0..n)",
        "sum / count; NaN for none",
    ),
    other("any", Kind::Reduce(ReduceKind::Any), "any(x), any(c for i in 0..n)", "is one of them true?"),
    other("all", Kind::Reduce(ReduceKind::All), "all(x), all(c for i in 0..n)", "are all of them true?"),
    other(
        "argmin",
        Kind::Reduce(ReduceKind::Argmin),
        "argmin(x), argmin(e for i in 0..n)",
        "where the least is: its ordinal, row-major; the lowest among equals",
    ),
    other(
        "argmax",
        Kind::Reduce(ReduceKind::Argmax),
        "argmax(x), argmax(e for i in 0..n)",
        "where the greatest is: its ordinal, row-major; the lowest among equals",
    ),
    other("print", Kind::Print, "print(\"text\", x)", "writes a line"),
    other("load", Kind::Load, "let x = load(\"x.npy\")", "reads an array from a .npy file"),
    other("save", Kind::Save, "save(\"x.npy\", x)", "writes an array to a .npy file"),
    other("len", Kind::Len, "len(x)", "the size along the first axis"),
    other("shape", Kind::Shape, "shape(x), shape(x, 0)", "all sizes as a tuple, or the size along one axis"),
    other("copy", Kind::Copy, "copy(x)", "a fresh array with the same elements"),
    other("zeros", Kind::Zeros, "zeros(n, m), zeros(f32, n, m)", "a fresh array of zeros"),
    other("ones", Kind::Ones, "ones(n, m), ones(f32, n, m)", "a fresh array of ones"),
    other("full", Kind::Full, "full(v, n, m), full(f32, v, n, m)", "a fresh array, each element v"),
    other(
        "arange",
        Kind::Arange,
        "arange(hi), arange(lo, hi), arange(lo, hi, step), arange(f32, lo, hi, step)",
        "lo, lo + step, … below hi",
    ),
    other(
        "linspace",
        Kind::Linspace,
        "linspace(lo, hi, n), linspace(f32, lo, hi, n)",
        "n numbers from lo to hi, both ends included",
    ),
    other(
        "rand",
        Kind::Draw(Variate::Uniform),
        "rand(), rand(f32), rand(s), rand(s, f32)",
        "a uniform number between 0 and 1",
    ),
    other(
        "randn",
        Kind::Draw(Variate::Normal),
        "randn(), randn(f32), randn(s), randn(s, f32)",
        "a normal number: mean 0, variance 1",
    ),
    other(
        "rand_exp",
        Kind::Draw(Variate::Exponential),
        "rand_exp(), rand_exp(f32), rand_exp(s), rand_exp(s, f32)",
        "an exponential number: mean 1",
    ),
    other(
        "rand_int",
        Kind::RandInt,
        "rand_int(lo, hi), rand_int(s, lo, hi)",
        "a random integer, lo included, hi not",
    ),
    other(
        "rand_gamma",
        Kind::Sample(samplers::GAMMA),
        "rand_gamma(shape), rand_gamma(shape, scale)",
        "a gamma number: mean shape * scale",
    ),
    other(
        "rand_poisson",
        Kind::Sample(samplers::POISSON),
        "rand_poisson(lambda)",
        "a Poisson count: mean lambda",
    ),
    other(
        "rand_binomial",
        Kind::Sample(samplers::BINOMIAL),
        "rand_binomial(n, p)",
        "successes in n tries with probability p",
    ),
    other(
        "rand_choice",
        Kind::Sample(Sampler::Choice),
        "rand_choice(x), rand_choice(x, weights)",
        "an element of an array, all alike or by weights",
    ),
    other(
        "shuffle",
        Kind::Sample(Sampler::Shuffle),
        "shuffle(x)",
        "puts an array's elements in random order",
    ),
    other(
        "permutation",
        Kind::Sample(Sampler::Permutation),
        "permutation(n), permutation(x)",
        "0..n in random order, or a copy of an array in random order",
    ),
    other(
        "rng",
        Kind::Rng,
        "let s = rng(i), let s = rng(i, j)",
        "a random stream of its own, the same for equal arguments",
    ),
];

/// All that can be called.
pub fn all() -> impl Iterator<Item = &'static Builtin> {
    let called = math::rows().filter(|row| row.spelling == math::Spelling::Call);
    called.map(|row| &row.builtin).chain(BUILTINS)
}

/// The builtin of that name.
pub fn lookup(name: &str) -> Option<&'static Builtin> {
    static TABLE: OnceLock<HashMap<&'static str, &'static Builtin>> = OnceLock::new();
    TABLE.get_or_init(|| all().map(|row| (row.name, row)).collect()).get(name).copied()
}

/// Builtin constants: they adapt like float literals.
pub fn constant(name: &str) -> Option<f64> {
    match name {
        "pi" => Some(std::f64::consts::PI),
        "inf" => Some(f64::INFINITY),
        "nan" => Some(f64::NAN),
        _ => None,
    }
}

/// What to write today instead of a function that is planned, but not there yet.
pub fn later(name: &str) -> Option<&'static str> {
    const LATER: &[(&str, &str)] = &[
        ("tan", "`sin(x) / cos(x)`"),
        ("asin", "a series or Newton's method in a function of your own"),
        ("acos", "a series or Newton's method in a function of your own"),
        ("atan", "a series or Newton's method in a function of your own"),
        ("atan2", "a series or Newton's method in a function of your own"),
        ("sinh", "`(exp(x) - exp(-x)) / 2`"),
        ("cosh", "`(exp(x) + exp(-x)) / 2`"),
        ("asinh", "`log(x + sqrt(x*x + 1))`"),
        ("acosh", "`log(x + sqrt(x*x - 1))`"),
        ("atanh", "`0.5 * log((1 + x) / (1 - x))`"),
        ("exp2", "`2.0 ** x`"),
        ("expm1", "`exp(x) - 1`"),
        ("log2", "`log(x) / log(2)`"),
        ("log10", "`log(x) / log(10)`"),
        ("log1p", "`log(1 + x)`"),
        ("cbrt", "`sign(x) * abs(x) ** (1/3)`"),
        ("hypot", "`sqrt(x*x + y*y)`"),
        ("copysign", "`if y < 0 { -abs(x) } else { abs(x) }`"),
        ("erf", "a polynomial in a function of your own"),
        ("erfc", "a polynomial in a function of your own"),
        ("gamma", "a series in a function of your own"),
        ("lgamma", "a series in a function of your own"),
        ("estimate", "two sums: `var s = 0.0`, `var q = 0.0`, and in the loop `s += x` and `q += x*x`"),
        ("dot", "`sum(a[i] * b[i] for i in 0..len(a))`"),
        ("norm", "`sqrt(sum(x[i] * x[i] for i in 0..len(x)))`"),
        ("var_of", "two sums in a loop"),
        ("std", "two sums in a loop"),
        (
            "matmul",
            "three loops: `for i in 0..n { for p in 0..k { for j in 0..m { c[i, j] += a[i, p] * b[p, j] } } }`",
        ),
        ("transpose", "a loop: `for i in 0..n, j in 0..m { b[j, i] = a[i, j] }`"),
        ("cumsum", "a loop: `var s = 0.0`, then `for i in 0..n { s += x[i]; y[i] = s }`"),
        ("where", "`if c { a } else { b }` in a loop over the elements"),
        ("sort", "a loop of your own"),
        ("unique", "a loop of your own"),
        ("histogram", "a loop: `for i in 0..n { h[bin(x[i])] += 1 }`"),
        ("reshape", "a loop: `for i in 0..n, j in 0..m { y[i, j] = x[i*m + j] }`"),
        ("complex", "two floats, one for each part"),
        ("plot", "`save(\"x.npy\", x)` and a plotting program"),
    ];
    LATER.iter().find(|(row, _)| *row == name).map(|(_, instead)| *instead)
}
