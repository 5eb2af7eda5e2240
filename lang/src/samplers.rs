//! The table of random distributions: one row each, with its body in Kiln.
//!
//! In: nothing. Out: [`Sampler`] rows, which the resolver and the type checker read; `checked`, the bodies. Holds: a body draws from its caller's
//! stream; what a row demands of the arguments is checked where the call stands, so that an error shows the user's text.

use crate::resolve::{Checked, resolve};
use crate::span::SourceId;
use std::sync::OnceLock;

/// The bodies, in Kiln.
const TEXT: &str = include_str!("prelude/random.kiln");

/// A distribution, or something else that is drawn by a function written in Kiln.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampler {
    /// The function of this name with scalar parameters.
    Numbers(&'static [Parameter]),
    /// An element of an array, or one by weights.
    Choice,
    /// An array's elements, in place.
    Shuffle,
    /// `0..n`, or a copy of an array.
    Permutation,
}

/// A parameter, and what a call may pass for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parameter {
    /// For keyword arguments.
    pub name: &'static str,
    /// A whole number.
    pub whole: bool,
    /// Least value.
    pub least: f64,
    /// Greatest value.
    pub greatest: f64,
    /// What is passed where the call says nothing.
    pub default: Option<f64>,
    /// The range in words.
    pub range: &'static str,
}

impl Eq for Parameter {}

const fn real(name: &'static str, least: f64, greatest: f64, range: &'static str) -> Parameter {
    Parameter { name, whole: false, least, greatest, default: None, range }
}

/// Above this, results would not fit an i64: NumPy's limit.
const LARGEST_MEAN: f64 = 9.223372006484771e18;
/// Whole numbers up to here are exact as floats.
const LARGEST_COUNT: f64 = 9007199254740992.0;

/// `rand_gamma`
pub const GAMMA: Sampler = Sampler::Numbers(&[
    real("shape", 0.0, f64::MAX, "shape >= 0"),
    Parameter { default: Some(1.0), ..real("scale", 0.0, f64::MAX, "scale >= 0") },
]);
/// `rand_poisson`
pub const POISSON: Sampler =
    Sampler::Numbers(&[real("lambda", 0.0, LARGEST_MEAN, "0 <= lambda <= 9.223372006484771e18")]);
/// `rand_binomial`
pub const BINOMIAL: Sampler = Sampler::Numbers(&[
    Parameter { whole: true, ..real("n", 0.0, LARGEST_COUNT, "0 <= n <= 2**53") },
    real("p", 0.0, 1.0, "0 <= p <= 1"),
]);
/// The count of `permutation`.
pub const COUNT: Parameter = Parameter { whole: true, ..real("n", 0.0, LARGEST_COUNT, "n >= 0") };

impl Sampler {
    /// Names of the parameters, without the stream.
    pub fn params(self) -> Vec<&'static str> {
        match self {
            Sampler::Numbers(params) => params.iter().map(|param| param.name).collect(),
            Sampler::Choice => vec!["x", "weights"],
            Sampler::Shuffle => vec!["x"],
            Sampler::Permutation => vec!["n"],
        }
    }

    /// How many of them must be given.
    pub fn needed(self) -> usize {
        match self {
            Sampler::Numbers(params) => params.iter().filter(|param| param.default.is_none()).count(),
            Sampler::Choice | Sampler::Shuffle | Sampler::Permutation => 1,
        }
    }
}

/// The bodies, checked once per process.
pub(crate) fn checked() -> &'static Checked {
    static CHECKED: OnceLock<Checked> = OnceLock::new();
    CHECKED.get_or_init(|| {
        let (module, found) = crate::parser::parse(SourceId::PRELUDE, TEXT);
        assert!(found.is_empty(), "bug: the distributions do not parse: {found:?}");
        resolve(module, SourceId::PRELUDE)
            .unwrap_or_else(|found| panic!("bug: the distributions do not resolve: {found:?}"))
    })
}
