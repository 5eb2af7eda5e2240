//! The rows of the comparison: kernels, sizes, rivals, and what is to be reached against each.
//!
//! In: nothing. Out: [`ROWS`], read by the driver, by the Kiln worker and by the tests. Holds: a row's name is its file in `kernels/` and the
//! function in it; all rivals take the row's arguments, in this order.

use super::inputs::Number::{F32, F64, I64};
use super::inputs::{Elem, Spec};
use Spec::Scalar;

/// A kernel compared with its rivals.
pub struct Row {
    /// File and function; `NAME_fresh` is the form that makes its outputs.
    pub name: &'static str,
    /// For a person.
    pub title: &'static str,
    /// Sizes that are measured.
    pub full: &'static [i64],
    /// The arguments at given sizes.
    pub args: fn(&[i64]) -> Vec<Spec>,
    /// When are two results the same?
    pub agree: Agree,
    /// Has it a form that makes its outputs?
    pub fresh: bool,
    /// Is it bound by arithmetic? Then it is also measured on capped instruction sets.
    pub compute_bound: bool,
    /// Who else runs it.
    pub rivals: &'static [Rival],
}

/// When results of two peers count as the same.
#[derive(Clone, Copy, Debug)]
pub enum Agree {
    /// No element differs by more than this times the largest element.
    Within(f64),
    /// At most this share of the elements differs at all: a chaotic iteration that each rounds in its own way.
    Share(f64),
    /// The numbers are random; they differ by no more than this, about five standard errors.
    Random(f64),
}

impl Agree {
    /// How far two results are apart, in the unit of the tolerance, and whether that is near enough.
    pub fn judge(self, one: &[f64], other: &[f64]) -> (f64, bool) {
        if one.len() != other.len() || one.is_empty() {
            return (f64::INFINITY, false);
        }
        let largest = one.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
        let furthest = one.iter().zip(other).map(|(&a, &b)| distance(a, b)).fold(0.0, f64::max);
        let (apart, tolerance) = match self {
            Agree::Within(tolerance) if furthest == 0.0 => (0.0, tolerance),
            Agree::Within(tolerance) => (furthest / largest, tolerance),
            Agree::Share(tolerance) => {
                let differ = one.iter().zip(other).filter(|&(&a, &b)| distance(a, b) > 0.0).count();
                (differ as f64 / one.len() as f64, tolerance)
            }
            Agree::Random(tolerance) => (furthest, tolerance),
        };
        (apart, apart <= tolerance)
    }
}

/// How far two numbers are apart; NaN is only near to NaN.
pub fn distance(a: f64, b: f64) -> f64 {
    let distance = (a - b).abs();
    if a == b || (a.is_nan() && b.is_nan()) {
        0.0
    } else if distance.is_nan() {
        f64::INFINITY
    } else {
        distance
    }
}

/// A peer's program for a row.
pub struct Rival {
    /// Whose.
    pub who: Who,
    /// Its name there.
    pub kernel: &'static str,
    /// How many times as fast Kiln is to be; `None` is shown for comparison.
    pub figure: Option<f64>,
}

/// Kinds of peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Parallel, fastmath.
    Numba,
    /// Parallel, without fastmath.
    NumbaStrict,
    /// One thread but for the BLAS.
    Numpy,
    /// OpenMP, by each compiler there is.
    C,
}

const fn rival(who: Who, kernel: &'static str, figure: f64) -> Rival {
    Rival { who, kernel, figure: Some(figure) }
}

const fn shown(who: Who, kernel: &'static str) -> Rival {
    Rival { who, kernel, figure: None }
}

fn input(seed: u64, low: f64, high: f64, dims: &[i64]) -> Spec {
    Spec::Input { elem: Elem::F64, seed, low, high, dims: dims.to_vec() }
}

fn input_f32(seed: u64, low: f64, high: f64, dims: &[i64]) -> Spec {
    Spec::Input { elem: Elem::F32, seed, low, high, dims: dims.to_vec() }
}

fn update(seed: u64, low: f64, high: f64, dims: &[i64]) -> Spec {
    Spec::Update { elem: Elem::F64, seed, low, high, dims: dims.to_vec() }
}

fn output(elem: Elem, dims: &[i64]) -> Spec {
    Spec::Output { elem, dims: dims.to_vec() }
}

/// All rows, in the order of the report.
pub const ROWS: &[Row] = &[
    Row {
        name: "pi",
        title: "π, 1e8 darts, Philox",
        full: &[100_000_000],
        args: |size| vec![Scalar(I64(size[0]))],
        agree: Agree::Random(1e-3),
        fresh: false,
        compute_bound: true,
        rivals: &[
            rival(Who::Numba, "pi", 8.0),
            rival(Who::C, "pi", 1.1),
            shown(Who::C, "pi_lanes"),
            shown(Who::Numpy, "pi"),
        ],
    },
    Row {
        name: "pi_ars",
        title: "π, 1e8 darts, ARS-7",
        full: &[100_000_000],
        args: |size| vec![Scalar(I64(size[0]))],
        agree: Agree::Random(1e-3),
        fresh: false,
        compute_bound: true,
        rivals: &[rival(Who::C, "pi", 2.5), shown(Who::C, "pi_lanes"), shown(Who::Numba, "pi")],
    },
    Row {
        name: "asian",
        title: "Asian option, 200 000 × 64",
        full: &[200_000, 64],
        args: |size| {
            vec![
                Scalar(I64(size[0])),
                Scalar(I64(size[1])),
                Scalar(F64(100.0)),
                Scalar(F64(100.0)),
                Scalar(F64(0.05)),
                Scalar(F64(0.2)),
                Scalar(F64(1.0)),
            ]
        },
        agree: Agree::Random(0.12),
        fresh: false,
        compute_bound: true,
        rivals: &[rival(Who::Numba, "asian", 10.0), shown(Who::C, "asian"), shown(Who::Numpy, "asian")],
    },
    Row {
        name: "rbf",
        title: "RBF matrix, 4000 × 4000",
        full: &[4000, 4000],
        args: |size| {
            vec![
                input(1, -1.0, 1.0, &size[..1]),
                input(2, -1.0, 1.0, &size[1..]),
                Scalar(F64(0.5)),
                output(Elem::F64, size),
            ]
        },
        agree: Agree::Within(4e-15),
        fresh: true,
        compute_bound: true,
        rivals: &[rival(Who::Numba, "rbf", 2.0), rival(Who::C, "rbf", 1.0), shown(Who::Numpy, "rbf")],
    },
    Row {
        name: "black_scholes",
        title: "Black–Scholes, 1 M options",
        full: &[1_000_000],
        args: |size| {
            vec![
                input(1, 50.0, 150.0, size),
                input(2, 50.0, 150.0, size),
                input(3, 0.1, 2.0, size),
                Scalar(F64(0.05)),
                Scalar(F64(0.2)),
                output(Elem::F64, size),
                output(Elem::F64, size),
            ]
        },
        agree: Agree::Within(1e-14),
        fresh: true,
        compute_bound: true,
        rivals: &[rival(Who::Numba, "black_scholes", 4.0), rival(Who::C, "black_scholes", 2.0)],
    },
    Row {
        name: "mandelbrot",
        title: "Mandelbrot, 1200 × 800 × 256",
        full: &[1200, 800, 256],
        args: |size| {
            vec![
                Scalar(I64(size[0])),
                Scalar(I64(size[1])),
                Scalar(I64(size[2])),
                output(Elem::I64, &[size[1], size[0]]),
            ]
        },
        agree: Agree::Share(0.01),
        fresh: true,
        compute_bound: true,
        rivals: &[
            rival(Who::Numba, "mandelbrot", 4.0),
            rival(Who::C, "mandelbrot", 4.0),
            shown(Who::Numpy, "mandelbrot"),
        ],
    },
    Row {
        name: "forces",
        title: "n-body forces, f32, 4096",
        full: &[4096],
        args: |size| {
            vec![
                input_f32(1, -1.0, 1.0, size),
                input_f32(2, -1.0, 1.0, size),
                input_f32(3, -1.0, 1.0, size),
                input_f32(4, 0.5, 1.0, size),
                Scalar(F32(0.01)),
                output(Elem::F32, size),
                output(Elem::F32, size),
                output(Elem::F32, size),
            ]
        },
        agree: Agree::Within(3e-4),
        fresh: true,
        compute_bound: true,
        rivals: &[
            rival(Who::Numba, "forces", 0.9),
            rival(Who::NumbaStrict, "forces", 8.0),
            shown(Who::C, "forces"),
            shown(Who::Numpy, "forces"),
        ],
    },
    Row {
        name: "axpy",
        title: "axpy, 20 M",
        full: &[20_000_000],
        args: |size| vec![Scalar(F64(0.001)), input(1, 0.0, 1.0, size), update(2, 0.0, 1.0, size)],
        agree: Agree::Within(1e-15),
        fresh: false,
        compute_bound: false,
        rivals: &[rival(Who::Numba, "axpy", 0.95), rival(Who::C, "axpy", 0.95), shown(Who::Numpy, "axpy")],
    },
    Row {
        name: "triad",
        title: "triad, 20 M",
        full: &[20_000_000],
        args: |size| {
            vec![
                input(1, 0.0, 1.0, size),
                input(2, 0.0, 1.0, size),
                Scalar(F64(3.0)),
                output(Elem::F64, size),
            ]
        },
        agree: Agree::Within(1e-15),
        fresh: true,
        compute_bound: false,
        rivals: &[rival(Who::Numba, "triad", 0.95), rival(Who::C, "triad", 0.95), shown(Who::Numpy, "triad")],
    },
    Row {
        name: "total",
        title: "sum, 20 M",
        full: &[20_000_000],
        args: |size| vec![input(1, 0.0, 1.0, size)],
        agree: Agree::Within(1e-12),
        fresh: false,
        compute_bound: false,
        rivals: &[rival(Who::Numba, "total", 0.95), rival(Who::C, "total", 0.95), shown(Who::Numpy, "total")],
    },
    Row {
        name: "dot",
        title: "dot, 20 M",
        full: &[20_000_000],
        args: |size| vec![input(1, 0.0, 1.0, size), input(2, 0.0, 1.0, size)],
        agree: Agree::Within(1e-12),
        fresh: false,
        compute_bound: false,
        rivals: &[rival(Who::Numba, "dot", 0.95), rival(Who::C, "dot", 0.95), shown(Who::Numpy, "dot")],
    },
    Row {
        name: "distances",
        title: "|a - b| matrix, 4000 × 4000",
        full: &[4000, 4000],
        args: |size| {
            vec![input(1, -1.0, 1.0, &size[..1]), input(2, -1.0, 1.0, &size[1..]), output(Elem::F64, size)]
        },
        agree: Agree::Within(0.0),
        fresh: true,
        compute_bound: false,
        rivals: &[
            rival(Who::Numba, "distances", 0.95),
            rival(Who::C, "distances", 0.95),
            shown(Who::Numpy, "distances"),
        ],
    },
    Row {
        name: "jacobi",
        title: "Jacobi sweep, 4000 × 4000",
        full: &[4000, 4000],
        args: |size| vec![input(1, 0.0, 1.0, size), output(Elem::F64, size)],
        agree: Agree::Within(1e-15),
        fresh: true,
        compute_bound: false,
        rivals: &[
            rival(Who::Numba, "jacobi", 0.95),
            rival(Who::C, "jacobi", 0.95),
            shown(Who::Numpy, "jacobi"),
        ],
    },
];
