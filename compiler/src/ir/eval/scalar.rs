//! The arithmetic of the language, one scalar at a time.
//!
//! In: an op and the types it is on. Out: a function on raw words (see [`const_bits`]) that computes it, or `None` where the op is not
//! scalar arithmetic. Holds: SEMANTICS section 2 to the bit; constant folding and the oracle both use this and nothing else.

use super::draw_block;
use crate::ir::{OpCode, const_bits, const_from_bits, const_scalar};
use kiln_abi::ReduceOp;
use kiln_lang::tree::Const;
use kiln_lang::types::Scalar;

/// Computes one op on words; those that it does not need are ignored.
pub type Function = fn(u64, u64, u64) -> u64;

/// A scalar type as Rust has it.
trait Word: Copy {
    fn of(word: u64) -> Self;
    fn word(self) -> u64;
}

macro_rules! words {
    ($($ty:ty: $of:expr, $to:expr;)*) => {
        $(impl Word for $ty {
            fn of(word: u64) -> $ty {
                let of: fn(u64) -> $ty = $of;
                of(word)
            }
            fn word(self) -> u64 {
                let to: fn($ty) -> u64 = $to;
                to(self)
            }
        })*
    };
}

words! {
    bool: |word| word & 1 != 0, u64::from;
    i32: |word| word as i32, |value| u64::from(value as u32);
    i64: |word| word as i64, |value| value as u64;
    u32: |word| word as u32, u64::from;
    u64: |word| word, |value| value;
    f32: |word| f32::from_bits(word as u32), |value| u64::from(value.to_bits());
    f64: f64::from_bits, f64::to_bits;
}

/// Binds the names that stand in for the operands.
macro_rules! operands {
    ($ty:ty, [$x:ident, $y:ident, $z:ident], ($a:ident)) => {
        let ($a, _, _) = (<$ty as Word>::of($x), $y, $z);
    };
    ($ty:ty, [$x:ident, $y:ident, $z:ident], ($a:ident, $b:ident)) => {
        let ($a, $b, _) = (<$ty as Word>::of($x), <$ty as Word>::of($y), $z);
    };
    ($ty:ty, [$x:ident, $y:ident, $z:ident], ($a:ident, $b:ident, $c:ident)) => {
        let ($a, $b, $c) = (<$ty as Word>::of($x), <$ty as Word>::of($y), <$ty as Word>::of($z));
    };
}

/// A function for each of some types, by the scalar at hand; `None` for the others.
macro_rules! for_types {
    ($scalar:expr, [$($name:ident $ty:ty),*], $args:tt $body:expr) => {
        match $scalar {
            $(Scalar::$name => {
                let function: Function = |x, y, z| {
                    operands!($ty, [x, y, z], $args);
                    Word::word($body)
                };
                Some(function)
            })*
            #[allow(unreachable_patterns)]
            _ => None,
        }
    };
}

macro_rules! ints {
    ($scalar:expr, $args:tt $body:expr) => {
        for_types!($scalar, [I32 i32, I64 i64, U32 u32, U64 u64], $args $body)
    };
}

macro_rules! signed {
    ($scalar:expr, $args:tt $body:expr) => {
        for_types!($scalar, [I32 i32, I64 i64], $args $body)
    };
}

macro_rules! unsigned {
    ($scalar:expr, $args:tt $body:expr) => {
        for_types!($scalar, [U32 u32, U64 u64], $args $body)
    };
}

macro_rules! floats {
    ($scalar:expr, $args:tt $body:expr) => {
        for_types!($scalar, [F32 f32, F64 f64], $args $body)
    };
}

macro_rules! bits {
    ($scalar:expr, $args:tt $body:expr) => {
        for_types!($scalar, [Bool bool, I32 i32, I64 i64, U32 u32, U64 u64], $args $body)
    };
}

macro_rules! all {
    ($scalar:expr, $args:tt $body:expr) => {
        for_types!($scalar, [Bool bool, I32 i32, I64 i64, U32 u32, U64 u64, F32 f32, F64 f64], $args $body)
    };
}

/// The function of an elementwise op whose operands (for `Select`, the last two) are of type `scalar`.
#[allow(clippy::bool_comparison)] // one text for all types
pub fn function(code: &OpCode, scalar: Scalar) -> Option<Function> {
    match code {
        OpCode::Add => ints!(scalar, (a, b) a.wrapping_add(b)).or(floats!(scalar, (a, b) a + b)),
        OpCode::Sub => ints!(scalar, (a, b) a.wrapping_sub(b)).or(floats!(scalar, (a, b) a - b)),
        OpCode::Mul => ints!(scalar, (a, b) a.wrapping_mul(b)).or(floats!(scalar, (a, b) a * b)),
        OpCode::Div => floats!(scalar, (a, b) a / b),
        OpCode::FloorDiv => signed!(scalar, (a, b) if b == 0 {
            0
        } else {
            let quotient = a.wrapping_div(b);
            if a.wrapping_rem(b) != 0 && (a < 0) != (b < 0) { quotient - 1 } else { quotient }
        })
        .or(unsigned!(scalar, (a, b) a.checked_div(b).unwrap_or(0))),
        OpCode::Rem => signed!(scalar, (a, b) if b == 0 {
            0
        } else {
            let rest = a.wrapping_rem(b);
            if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }
        })
        .or(unsigned!(scalar, (a, b) a.checked_rem(b).unwrap_or(0))),
        OpCode::Neg => ints!(scalar, (a) a.wrapping_neg()).or(floats!(scalar, (a) - a)),
        OpCode::Abs => signed!(scalar, (a) a.wrapping_abs())
            .or(unsigned!(scalar, (a) a))
            .or(floats!(scalar, (a) a.abs())),
        OpCode::Min => least(scalar),
        OpCode::Max => greatest(scalar),
        OpCode::Fma => floats!(scalar, (a, b, c) a.mul_add(b, c)),
        OpCode::Sqrt => floats!(scalar, (a) a.sqrt()),
        OpCode::Floor => floats!(scalar, (a) a.floor()),
        OpCode::Ceil => floats!(scalar, (a) a.ceil()),
        OpCode::Trunc => floats!(scalar, (a) a.trunc()),
        OpCode::Nearest => floats!(scalar, (a) a.round_ties_even()),
        OpCode::And => bits!(scalar, (a, b) a & b),
        OpCode::Or => bits!(scalar, (a, b) a | b),
        OpCode::Xor => bits!(scalar, (a, b) a ^ b),
        OpCode::Not => bits!(scalar, (a) !a),
        OpCode::Shl => ints!(scalar, (a, b) a.wrapping_shl(b as u32)),
        OpCode::Shr => ints!(scalar, (a, b) a.wrapping_shr(b as u32)),
        OpCode::MulHi => {
            for_types!(scalar, [U64 u64], (a, b) ((u128::from(a) * u128::from(b)) >> 64) as u64)
        }
        OpCode::Eq => all!(scalar, (a, b) a == b),
        OpCode::Ne => all!(scalar, (a, b) a != b),
        OpCode::Lt => all!(scalar, (a, b) a < b),
        OpCode::Le => all!(scalar, (a, b) a <= b),
        OpCode::Gt => all!(scalar, (a, b) a > b),
        OpCode::Ge => all!(scalar, (a, b) a >= b),
        OpCode::Select => Some(|chosen, a, b| if chosen & 1 != 0 { a } else { b }),
        OpCode::Bitcast | OpCode::Splat | OpCode::Extract { .. } => Some(|a, _, _| a),
        OpCode::Const(_)
        | OpCode::Seed
        | OpCode::Convert
        | OpCode::Math(_)
        | OpCode::Draw { .. }
        | OpCode::Iota
        | OpCode::Any
        | OpCode::All
        | OpCode::Dim { .. }
        | OpCode::Load
        | OpCode::Store
        | OpCode::LoadMasked
        | OpCode::StoreMasked
        | OpCode::Update(_)
        | OpCode::UpdateFma
        | OpCode::UpdateMasked(_)
        | OpCode::UpdateFmaMasked
        | OpCode::Alloc
        | OpCode::AllocUninit
        | OpCode::Free
        | OpCode::Check(_)
        | OpCode::Send { .. }
        | OpCode::SendFma { .. }
        | OpCode::SendMasked { .. }
        | OpCode::If
        | OpCode::For(_)
        | OpCode::While
        | OpCode::Call(_)
        | OpCode::Print(_)
        | OpCode::RunLoop { .. } => None,
    }
}

/// IEEE 754-2019 minimum on floats: NaN wins, and -0 is less than +0.
fn least(scalar: Scalar) -> Option<Function> {
    bits!(scalar, (a, b) a.min(b)).or(floats!(scalar, (a, b) if a.is_nan() || a < b {
        a
    } else if b.is_nan() || b < a {
        b
    } else if a.is_sign_negative() {
        a
    } else {
        b
    }))
}

/// IEEE 754-2019 maximum on floats.
fn greatest(scalar: Scalar) -> Option<Function> {
    bits!(scalar, (a, b) a.max(b)).or(floats!(scalar, (a, b) if a.is_nan() || a > b {
        a
    } else if b.is_nan() || b > a {
        b
    } else if a.is_sign_positive() {
        a
    } else {
        b
    }))
}

/// `total op term` of a reduction.
pub fn reduce_function(op: ReduceOp, scalar: Scalar) -> Option<Function> {
    match op {
        ReduceOp::Sum => function(&OpCode::Add, scalar),
        ReduceOp::Prod => function(&OpCode::Mul, scalar),
        ReduceOp::Min => function(&OpCode::Min, scalar).or_else(|| least(scalar)),
        ReduceOp::Max => function(&OpCode::Max, scalar).or_else(|| greatest(scalar)),
        ReduceOp::And => function(&OpCode::And, scalar),
        ReduceOp::Or => function(&OpCode::Or, scalar),
        ReduceOp::Xor => function(&OpCode::Xor, scalar),
    }
}

/// The word that a reduction's total begins with.
pub fn reduce_identity(op: ReduceOp, scalar: Scalar) -> u64 {
    let (least, greatest) = match scalar {
        Scalar::Bool => (Const::Bool(false), Const::Bool(true)),
        Scalar::I32 => (Const::I32(i32::MIN), Const::I32(i32::MAX)),
        Scalar::I64 => (Const::I64(i64::MIN), Const::I64(i64::MAX)),
        Scalar::U32 => (Const::U32(0), Const::U32(u32::MAX)),
        Scalar::U64 => (Const::U64(0), Const::U64(u64::MAX)),
        Scalar::F32 => (Const::F32(f32::NEG_INFINITY), Const::F32(f32::INFINITY)),
        Scalar::F64 => (Const::F64(f64::NEG_INFINITY), Const::F64(f64::INFINITY)),
    };
    match op {
        ReduceOp::Sum => match scalar {
            Scalar::F32 => (-0.0f32).word(),
            Scalar::F64 => (-0.0f64).word(),
            Scalar::Bool | Scalar::I32 | Scalar::I64 | Scalar::U32 | Scalar::U64 => 0,
        },
        ReduceOp::Prod => match scalar {
            Scalar::F32 => 1.0f32.word(),
            Scalar::F64 => 1.0f64.word(),
            Scalar::Bool | Scalar::I32 | Scalar::I64 | Scalar::U32 | Scalar::U64 => 1,
        },
        ReduceOp::Min => const_bits(greatest),
        ReduceOp::Max => const_bits(least),
        ReduceOp::And => match scalar {
            Scalar::Bool => 1,
            Scalar::I32 | Scalar::U32 => u64::from(u32::MAX),
            Scalar::I64 | Scalar::U64 | Scalar::F32 | Scalar::F64 => u64::MAX,
        },
        ReduceOp::Or | ReduceOp::Xor => 0,
    }
}

/// Conversion: ints wrap or extend, to float rounds once, to int truncates and saturates (NaN to 0), to bool is `!= 0`.
pub fn conversion(from: Scalar, to: Scalar) -> Function {
    // `as` is the language's rule for every pair of numbers.
    macro_rules! to {
        ($from:ty) => {
            match to {
                Scalar::Bool => |a, _, _| (<$from as Word>::of(a) != (0 as $from)).word(),
                Scalar::I32 => |a, _, _| (<$from as Word>::of(a) as i32).word(),
                Scalar::I64 => |a, _, _| (<$from as Word>::of(a) as i64).word(),
                Scalar::U32 => |a, _, _| (<$from as Word>::of(a) as u32).word(),
                Scalar::U64 => |a, _, _| (<$from as Word>::of(a) as u64).word(),
                Scalar::F32 => |a, _, _| (<$from as Word>::of(a) as f32).word(),
                Scalar::F64 => |a, _, _| (<$from as Word>::of(a) as f64).word(),
            }
        };
    }
    match from {
        // Its word is 0 or 1, as an unsigned number.
        Scalar::Bool | Scalar::U64 => to!(u64),
        Scalar::I32 => to!(i32),
        Scalar::I64 => to!(i64),
        Scalar::U32 => to!(u32),
        Scalar::F32 => to!(f32),
        Scalar::F64 => to!(f64),
    }
}

/// What a scalar op gives for constant operands: one constant per result; `result` is the type of its first. `None` if the op is not scalar arithmetic
/// (or a math function, whose body decides).
pub fn fold(code: &OpCode, args: &[Const], result: Scalar) -> Option<Vec<Const>> {
    let word = |position: usize| args.get(position).map_or(0, |&arg| const_bits(arg));
    if let OpCode::Draw { generator, kind } = *code {
        let (low, high) = draw_block(generator, kind, word(0), word(1), word(2));
        return Some(vec![Const::U64(low), Const::U64(high)]);
    }
    let operand = const_scalar(*args.last()?);
    let function = match code {
        OpCode::Splat | OpCode::Extract { .. } => return None,
        OpCode::Convert => conversion(operand, result),
        _ => function(code, operand)?,
    };
    Some(vec![const_from_bits(function(word(0), word(1), word(2)), result)])
}
