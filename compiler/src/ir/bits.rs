//! Scalars as raw 64-bit words, and the two numberings of their types.
//!
//! In: constants and words. Out: words and constants. Holds: a word has 32-bit numbers in the low half and zeros above, bools as 0 or 1;
//! it is what the oracle computes with, what arrays and error values are exchanged as, and what the contract with the runtime stores.

use kiln_abi::ScalarKind;
use kiln_lang::tree::Const;
use kiln_lang::types::Scalar;

/// The type of a constant.
pub fn const_scalar(constant: Const) -> Scalar {
    match constant {
        Const::Bool(_) => Scalar::Bool,
        Const::I32(_) => Scalar::I32,
        Const::I64(_) => Scalar::I64,
        Const::U32(_) => Scalar::U32,
        Const::U64(_) => Scalar::U64,
        Const::F32(_) => Scalar::F32,
        Const::F64(_) => Scalar::F64,
    }
}

/// The word of a constant.
pub fn const_bits(constant: Const) -> u64 {
    match constant {
        Const::Bool(value) => u64::from(value),
        Const::I32(value) => u64::from(value as u32),
        Const::I64(value) => value as u64,
        Const::U32(value) => u64::from(value),
        Const::U64(value) => value,
        Const::F32(value) => u64::from(value.to_bits()),
        Const::F64(value) => value.to_bits(),
    }
}

/// The constant of a word.
pub fn const_from_bits(bits: u64, scalar: Scalar) -> Const {
    match scalar {
        Scalar::Bool => Const::Bool(bits & 1 != 0),
        Scalar::I32 => Const::I32(bits as i32),
        Scalar::I64 => Const::I64(bits as i64),
        Scalar::U32 => Const::U32(bits as u32),
        Scalar::U64 => Const::U64(bits),
        Scalar::F32 => Const::F32(f32::from_bits(bits as u32)),
        Scalar::F64 => Const::F64(f64::from_bits(bits)),
    }
}

/// Are two words the same value? NaN is one value.
pub fn same_bits(a: u64, b: u64, scalar: Scalar) -> bool {
    match scalar {
        Scalar::F32 => a == b || f32::from_bits(a as u32).is_nan() && f32::from_bits(b as u32).is_nan(),
        Scalar::F64 => a == b || f64::from_bits(a).is_nan() && f64::from_bits(b).is_nan(),
        Scalar::Bool | Scalar::I32 | Scalar::I64 | Scalar::U32 | Scalar::U64 => a == b,
    }
}

/// The type that the contract with the runtime numbers so.
pub fn scalar_of(kind: ScalarKind) -> Scalar {
    match kind {
        ScalarKind::Bool => Scalar::Bool,
        ScalarKind::I32 => Scalar::I32,
        ScalarKind::I64 => Scalar::I64,
        ScalarKind::U32 => Scalar::U32,
        ScalarKind::U64 => Scalar::U64,
        ScalarKind::F32 => Scalar::F32,
        ScalarKind::F64 => Scalar::F64,
    }
}

/// The contract's number of a type.
pub fn kind_of(scalar: Scalar) -> ScalarKind {
    match scalar {
        Scalar::Bool => ScalarKind::Bool,
        Scalar::I32 => ScalarKind::I32,
        Scalar::I64 => ScalarKind::I64,
        Scalar::U32 => ScalarKind::U32,
        Scalar::U64 => ScalarKind::U64,
        Scalar::F32 => ScalarKind::F32,
        Scalar::F64 => ScalarKind::F64,
    }
}
