//! Values that go in and come out.
//!
//! In: what a host has. Out: [`Arg`]s of a call, [`Value`]s of a result. Holds: arrays are borrowed on the way in, owned on the way out.

use kiln_abi::show;
use kiln_compiler::ir::{const_bits, const_from_bits, const_scalar, kind_of, scalar_of};
use kiln_lang::tree::Const;
use kiln_lang::types::{Layout, Scalar, Type};
use kiln_runtime::{Array, ArrayMut, ArrayRef};
use std::fmt;

/// What a kernel returns.
///
/// ```
/// # use kiln::Value;
/// assert_eq!(Value::Tuple(vec![Value::I64(1), Value::F64(0.5)]).to_string(), "(1, 0.5)");
/// ```
#[derive(Debug)]
pub enum Value {
    /// Nothing.
    Unit,
    /// `bool`
    Bool(bool),
    /// `i32`
    I32(i32),
    /// `i64`
    I64(i64),
    /// `u32`
    U32(u32),
    /// `u64`
    U64(u64),
    /// `f32`
    F32(f32),
    /// `f64`
    F64(f64),
    /// A contiguous array.
    Array(Array),
    /// Several values.
    Tuple(Vec<Value>),
}

/// One argument of a call.
pub enum Arg<'a> {
    /// A number or truth value.
    Scalar(Const),
    /// An array that the kernel reads.
    Array(ArrayRef<'a>),
    /// An array that the kernel may write: for a `mut` parameter.
    ArrayMut(ArrayMut<'a>),
    /// Several arguments for one parameter that is a tuple.
    Tuple(Vec<Arg<'a>>),
}

impl Value {
    /// The type of the value.
    pub fn ty(&self) -> Type {
        match self {
            Value::Unit => Type::Unit,
            Value::Array(array) => Type::array(scalar_of(array.kind()), array.dims().len()),
            Value::Tuple(items) => Type::Tuple(items.iter().map(Value::ty).collect()),
            Value::Bool(_) => Type::Scalar(Scalar::Bool),
            Value::I32(_) => Type::Scalar(Scalar::I32),
            Value::I64(_) => Type::Scalar(Scalar::I64),
            Value::U32(_) => Type::Scalar(Scalar::U32),
            Value::U64(_) => Type::Scalar(Scalar::U64),
            Value::F32(_) => Type::Scalar(Scalar::F32),
            Value::F64(_) => Type::Scalar(Scalar::F64),
        }
    }

    /// The value as a scalar constant, if it is one.
    pub fn as_const(&self) -> Option<Const> {
        Some(match *self {
            Value::Bool(value) => Const::Bool(value),
            Value::I32(value) => Const::I32(value),
            Value::I64(value) => Const::I64(value),
            Value::U32(value) => Const::U32(value),
            Value::U64(value) => Const::U64(value),
            Value::F32(value) => Const::F32(value),
            Value::F64(value) => Const::F64(value),
            Value::Unit | Value::Array(_) | Value::Tuple(_) => return None,
        })
    }

    /// The number as `f64`, if it is a number.
    pub fn as_f64(&self) -> Option<f64> {
        Some(match *self {
            Value::I32(value) => value.into(),
            Value::I64(value) => value as f64,
            Value::U32(value) => value.into(),
            Value::U64(value) => value as f64,
            Value::F32(value) => value.into(),
            Value::F64(value) => value,
            Value::Bool(_) | Value::Unit | Value::Array(_) | Value::Tuple(_) => return None,
        })
    }

    /// The scalar of this type with these raw bits.
    pub(crate) fn from_bits(scalar: Scalar, bits: u64) -> Value {
        match const_from_bits(bits, scalar) {
            Const::Bool(value) => Value::Bool(value),
            Const::I32(value) => Value::I32(value),
            Const::I64(value) => Value::I64(value),
            Const::U32(value) => Value::U32(value),
            Const::U64(value) => Value::U64(value),
            Const::F32(value) => Value::F32(value),
            Const::F64(value) => Value::F64(value),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Unit => f.write_str("()"),
            Value::Array(array) => f.write_str(&show::array(array.kind(), array.dims(), &|at| array.get(at))),
            Value::Tuple(items) => {
                f.write_str("(")?;
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{item}")?;
                }
                f.write_str(")")
            }
            scalar => {
                let constant = scalar.as_const().expect("the other variants are scalars");
                f.write_str(&show::scalar(kind_of(const_scalar(constant)), const_bits(constant)))
            }
        }
    }
}

impl Arg<'_> {
    /// The type that the call specialises on.
    pub fn ty(&self) -> Type {
        match self {
            Arg::Scalar(constant) => Type::Scalar(const_scalar(*constant)),
            Arg::Array(array) => array_type(array),
            Arg::ArrayMut(array) => array_type(&array.as_ref()),
            Arg::Tuple(items) => Type::Tuple(items.iter().map(Arg::ty).collect()),
        }
    }
}

fn array_type(array: &ArrayRef<'_>) -> Type {
    let layout = if array.is_contiguous() { Layout::Contiguous } else { Layout::Strided };
    Type::Array { elem: scalar_of(array.kind()), rank: array.dims().len() as u8, layout }
}

macro_rules! scalar_args {
    ($($ty:ty => $variant:ident),*) => { $(
        impl From<$ty> for Arg<'_> {
            fn from(value: $ty) -> Self {
                Arg::Scalar(Const::$variant(value))
            }
        }
        impl From<$ty> for Value {
            fn from(value: $ty) -> Self {
                Value::$variant(value)
            }
        }
        impl<'a> From<&'a [$ty]> for Arg<'a> {
            fn from(values: &'a [$ty]) -> Self {
                Arg::Array(ArrayRef::from_slice(&[values.len()], values).expect("one size, the length"))
            }
        }
        impl<'a> From<&'a mut [$ty]> for Arg<'a> {
            fn from(values: &'a mut [$ty]) -> Self {
                Arg::ArrayMut(ArrayMut::from_slice(&[values.len()], values).expect("one size, the length"))
            }
        }
    )* };
}

scalar_args!(bool => Bool, i32 => I32, i64 => I64, u32 => U32, u64 => U64, f32 => F32, f64 => F64);

impl<'a> From<&'a Array> for Arg<'a> {
    fn from(array: &'a Array) -> Self {
        Arg::Array(array.view())
    }
}

impl<'a> From<&'a mut Array> for Arg<'a> {
    fn from(array: &'a mut Array) -> Self {
        Arg::ArrayMut(array.view_mut())
    }
}

/// Widens a constant to the type of a parameter: ints to wider ints and floats, f32 to f64.
pub(crate) fn widen(constant: Const, to: Scalar) -> Option<Const> {
    let from = const_scalar(constant);
    if from == to {
        return Some(constant);
    }
    if from.join(to) != Some(to) {
        return None;
    }
    let int = match constant {
        Const::Bool(value) => i128::from(value),
        Const::I32(value) => value.into(),
        Const::I64(value) => value.into(),
        Const::U32(value) => value.into(),
        Const::U64(value) => value.into(),
        Const::F32(value) => return Some(Const::F64(value.into())),
        Const::F64(_) => return None,
    };
    Some(match to {
        Scalar::Bool => return None,
        Scalar::I32 => Const::I32(int as i32),
        Scalar::I64 => Const::I64(int as i64),
        Scalar::U32 => Const::U32(int as u32),
        Scalar::U64 => Const::U64(int as u64),
        Scalar::F32 => Const::F32(int as f32),
        Scalar::F64 => Const::F64(int as f64),
    })
}
