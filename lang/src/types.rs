//! The types of the language, and how they join.
//!
//! In: nothing. Out: [`Scalar`], [`Type`]. Holds: SEMANTICS section 2: bool < i32 < i64; u32 < i64, u64; any int with f32 gives f32.

use std::fmt;

/// A number or truth value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scalar {
    /// `bool`
    Bool,
    /// `i32`
    I32,
    /// `i64`
    I64,
    /// `u32`
    U32,
    /// `u64`
    U64,
    /// `f32`
    F32,
    /// `f64`
    F64,
}

impl Scalar {
    /// All of them, in the order of their ABI numbers.
    pub const ALL: [Scalar; 7] =
        [Scalar::Bool, Scalar::I32, Scalar::I64, Scalar::U32, Scalar::U64, Scalar::F32, Scalar::F64];

    /// As written in source.
    pub fn name(self) -> &'static str {
        match self {
            Scalar::Bool => "bool",
            Scalar::I32 => "i32",
            Scalar::I64 => "i64",
            Scalar::U32 => "u32",
            Scalar::U64 => "u64",
            Scalar::F32 => "f32",
            Scalar::F64 => "f64",
        }
    }

    /// The type of that name.
    pub fn from_name(name: &str) -> Option<Scalar> {
        Scalar::ALL.into_iter().find(|scalar| scalar.name() == name)
    }

    /// f32 or f64.
    pub fn is_float(self) -> bool {
        matches!(self, Scalar::F32 | Scalar::F64)
    }

    /// i32, i64, u32 or u64.
    pub fn is_int(self) -> bool {
        matches!(self, Scalar::I32 | Scalar::I64 | Scalar::U32 | Scalar::U64)
    }

    /// i32 or i64.
    pub fn is_signed_int(self) -> bool {
        matches!(self, Scalar::I32 | Scalar::I64)
    }

    /// Width in bits; bool is 8 as an array element.
    pub fn bits(self) -> u32 {
        match self {
            Scalar::Bool => 8,
            Scalar::I32 | Scalar::U32 | Scalar::F32 => 32,
            Scalar::I64 | Scalar::U64 | Scalar::F64 => 64,
        }
    }

    /// The common type of two operands, if there is one: `None` for i64 with u64, i32 with u64.
    pub fn join(self, other: Scalar) -> Option<Scalar> {
        use Scalar::*;
        if self == other {
            return Some(self);
        }
        let (low, high) = if self < other { (self, other) } else { (other, self) };
        match (low, high) {
            (Bool, _) => Some(high),
            (I32, I64) => Some(I64),
            (I32, U32) | (I64, U32) => Some(I64),
            (U32, U64) => Some(U64),
            (I32 | I64, U64) => None,
            (_, F64) => Some(F64),
            (_, F32) => Some(F32),
            _ => None,
        }
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How the elements of an array lie in memory; part of a specialisation's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Layout {
    /// Row-major, without gaps.
    Contiguous,
    /// Any strides.
    Strided,
}

/// The type of a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// No value.
    Unit,
    /// One number.
    Scalar(Scalar),
    /// A dense array.
    Array {
        /// Type of the elements.
        elem: Scalar,
        /// Number of dimensions, 1 to [`MAX_RANK`].
        rank: u8,
        /// Layout class.
        layout: Layout,
    },
    /// A few values together; elements may be scalars, arrays, tuples, streams.
    Tuple(Vec<Type>),
    /// A random stream, from `rng(…)`, and what makes its blocks.
    Stream(Generator),
}

/// Where random bits come from: a function of a stream's key and counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Generator {
    /// Philox4x32-10.
    #[default]
    Philox,
    /// ARS-7: `@rng(ars)`.
    Ars,
}

impl Generator {
    /// As written in `@rng(…)` and in the IR.
    pub fn name(self) -> &'static str {
        match self {
            Generator::Philox => "philox",
            Generator::Ars => "ars",
        }
    }

    /// The generator of that name.
    pub fn from_name(name: &str) -> Option<Generator> {
        [Generator::Philox, Generator::Ars].into_iter().find(|generator| generator.name() == name)
    }
}

/// The highest rank of an array.
pub const MAX_RANK: usize = 8;
/// The most elements that a tuple has, nested ones counted.
pub const MAX_TUPLE: usize = 64;

impl Type {
    /// A contiguous array.
    pub fn array(elem: Scalar, rank: usize) -> Type {
        Type::Array { elem, rank: rank as u8, layout: Layout::Contiguous }
    }

    /// The scalar, if it is one.
    pub fn as_scalar(&self) -> Option<Scalar> {
        match self {
            Type::Scalar(scalar) => Some(*scalar),
            _ => None,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Unit => f.write_str("()"),
            Type::Scalar(scalar) => write!(f, "{scalar}"),
            Type::Array { elem, rank, .. } => {
                write!(f, "[{elem}; ")?;
                for axis in 0..*rank {
                    f.write_str(if axis == 0 { "_" } else { ", _" })?;
                }
                f.write_str("]")
            }
            Type::Tuple(items) => {
                f.write_str("(")?;
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{item}")?;
                }
                f.write_str(")")
            }
            Type::Stream(_) => f.write_str("rng"),
        }
    }
}
