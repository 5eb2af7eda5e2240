//! Arguments of the rows, the same bits on every side.
//!
//! In: a row's arguments as data. Out: their text for the workers' protocol, and the contents of arrays. Holds: element i of a seed is a pure
//! function of both, so that a worker in any language makes the same array.

use std::fmt;

/// Types of elements and scalars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elem {
    /// `i64`
    I64,
    /// `f32`
    F32,
    /// `f64`
    F64,
}

/// A scalar argument.
#[derive(Clone, Copy, Debug)]
pub enum Number {
    /// `i64`
    I64(i64),
    /// `f32`
    F32(f32),
    /// `f64`
    F64(f64),
}

/// One argument of a kernel.
#[derive(Clone, Debug)]
pub enum Spec {
    /// A number.
    Scalar(Number),
    /// An array that is read: elements of this seed between `low` and `high`.
    Input { elem: Elem, seed: u64, low: f64, high: f64, dims: Vec<i64> },
    /// The same, but read and written.
    Update { elem: Elem, seed: u64, low: f64, high: f64, dims: Vec<i64> },
    /// An array that is written, zero before.
    Output { elem: Elem, dims: Vec<i64> },
}

impl Elem {
    /// As written in Kiln.
    pub fn name(self) -> &'static str {
        match self {
            Elem::I64 => "i64",
            Elem::F32 => "f32",
            Elem::F64 => "f64",
        }
    }
}

/// Element `i` of an array: splitmix64's mixer of a counter, as a fraction of the range.
pub fn element(seed: u64, i: usize, low: f64, high: f64) -> f64 {
    let mut z = (seed << 32).wrapping_add(i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    low + (high - low) * ((z >> 11) as f64 * (-53f64).exp2())
}

/// The text of the protocol.
impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dims = |dims: &[i64]| dims.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
        match self {
            Spec::Scalar(Number::I64(value)) => write!(f, "scalar i64 {value}"),
            Spec::Scalar(Number::F32(value)) => write!(f, "scalar f32 {value}"),
            Spec::Scalar(Number::F64(value)) => write!(f, "scalar f64 {value}"),
            Spec::Input { elem, seed, low, high, dims: sizes } => {
                write!(f, "input {} {seed} {low} {high} {}", elem.name(), dims(sizes))
            }
            Spec::Update { elem, seed, low, high, dims: sizes } => {
                write!(f, "update {} {seed} {low} {high} {}", elem.name(), dims(sizes))
            }
            Spec::Output { elem, dims: sizes } => write!(f, "output {} {}", elem.name(), dims(sizes)),
        }
    }
}
