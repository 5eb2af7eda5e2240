//! Numbers as the runtime handles them: in slots, in arrays, and combined by reductions.
//!
//! In: raw 64-bit slots and their [`ScalarKind`]. Out: raw slots. Holds: integers wrap; `min` and `max` are IEEE 754-2019 minimum and maximum;
//! a float sum or product is one plain operation, so that its bits depend on the order of the operands alone.

use kiln_abi::{ReduceOp, ScalarKind};

/// A Rust type that can be an element of an array.
///
/// # Safety
/// The type has the size of `KIND`'s elements, no padding, and every value that an array of that kind holds is valid for it.
pub unsafe trait Element: Copy + Send + Sync + 'static {
    /// The element type that it stands for.
    const KIND: ScalarKind;
    /// From a slot.
    fn from_slot(slot: u64) -> Self;
    /// Into a slot.
    fn to_slot(self) -> u64;
}

/// The operators of reductions. What an operator does not define for a type (bits of floats) the checker has refused; it leaves `self`.
pub(crate) trait Number: Element + PartialEq {
    fn sum(self, other: Self) -> Self;
    fn prod(self, other: Self) -> Self;
    fn min(self, other: Self) -> Self;
    fn max(self, other: Self) -> Self;
    fn and(self, other: Self) -> Self;
    fn or(self, other: Self) -> Self;
    fn xor(self, other: Self) -> Self;
}

/// A bool in an array: any byte but 0 is true, so that no host can hand in an invalid one.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Bit(u8);

macro_rules! integer {
    ($ty:ident, $bits:ident, $kind:ident) => {
        // SAFETY: an integer as wide as its kind; all bit patterns are valid.
        unsafe impl Element for $ty {
            const KIND: ScalarKind = ScalarKind::$kind;
            fn from_slot(slot: u64) -> $ty {
                slot as $ty
            }
            fn to_slot(self) -> u64 {
                self as $bits as u64
            }
        }
        impl Number for $ty {
            fn sum(self, other: $ty) -> $ty {
                self.wrapping_add(other)
            }
            fn prod(self, other: $ty) -> $ty {
                self.wrapping_mul(other)
            }
            fn min(self, other: $ty) -> $ty {
                Ord::min(self, other)
            }
            fn max(self, other: $ty) -> $ty {
                Ord::max(self, other)
            }
            fn and(self, other: $ty) -> $ty {
                self & other
            }
            fn or(self, other: $ty) -> $ty {
                self | other
            }
            fn xor(self, other: $ty) -> $ty {
                self ^ other
            }
        }
    };
}

integer!(i32, u32, I32);
integer!(i64, u64, I64);
integer!(u32, u32, U32);
integer!(u64, u64, U64);

macro_rules! float {
    ($ty:ident, $bits:ident, $kind:ident) => {
        // SAFETY: a float as wide as its kind; all bit patterns are valid.
        unsafe impl Element for $ty {
            const KIND: ScalarKind = ScalarKind::$kind;
            fn from_slot(slot: u64) -> $ty {
                $ty::from_bits(slot as $bits)
            }
            fn to_slot(self) -> u64 {
                u64::from(self.to_bits())
            }
        }
        impl Number for $ty {
            fn sum(self, other: $ty) -> $ty {
                self + other
            }
            fn prod(self, other: $ty) -> $ty {
                self * other
            }
            fn min(self, other: $ty) -> $ty {
                if self.is_nan() || other.is_nan() {
                    $ty::NAN
                } else if self < other || (self == other && self.is_sign_negative()) {
                    self
                } else {
                    other
                }
            }
            fn max(self, other: $ty) -> $ty {
                if self.is_nan() || other.is_nan() {
                    $ty::NAN
                } else if self > other || (self == other && self.is_sign_positive()) {
                    self
                } else {
                    other
                }
            }
            fn and(self, _: $ty) -> $ty {
                self
            }
            fn or(self, _: $ty) -> $ty {
                self
            }
            fn xor(self, _: $ty) -> $ty {
                self
            }
        }
    };
}

float!(f32, u32, F32);
float!(f64, u64, F64);

// SAFETY: one byte; arrays of bools that Rust sees as `bool` hold 0 or 1 (`ArrayRef::from_raw` asks for it, compiled code stores nothing else,
// and one-byte elements are always allocated zeroed).
unsafe impl Element for bool {
    const KIND: ScalarKind = ScalarKind::Bool;
    fn from_slot(slot: u64) -> bool {
        slot as u8 != 0
    }
    fn to_slot(self) -> u64 {
        u64::from(self)
    }
}

// SAFETY: one byte; all bit patterns are valid.
unsafe impl Element for Bit {
    const KIND: ScalarKind = ScalarKind::Bool;
    fn from_slot(slot: u64) -> Bit {
        Bit(u8::from(slot as u8 != 0))
    }
    fn to_slot(self) -> u64 {
        u64::from(self.0 != 0)
    }
}

impl Number for Bit {
    fn sum(self, other: Bit) -> Bit {
        self.or(other)
    }
    fn prod(self, other: Bit) -> Bit {
        self.and(other)
    }
    fn min(self, other: Bit) -> Bit {
        self.and(other)
    }
    fn max(self, other: Bit) -> Bit {
        self.or(other)
    }
    fn and(self, other: Bit) -> Bit {
        Bit(u8::from(self.0 != 0 && other.0 != 0))
    }
    fn or(self, other: Bit) -> Bit {
        Bit(u8::from(self.0 != 0 || other.0 != 0))
    }
    fn xor(self, other: Bit) -> Bit {
        Bit(u8::from((self.0 != 0) != (other.0 != 0)))
    }
}

/// Runs `$body` with `$ty` standing for the Rust type of `$kind`.
macro_rules! with_type {
    ($kind:expr, $ty:ident => $body:expr) => {
        match $kind {
            kiln_abi::ScalarKind::Bool => {
                type $ty = $crate::number::Bit;
                $body
            }
            kiln_abi::ScalarKind::I32 => {
                type $ty = i32;
                $body
            }
            kiln_abi::ScalarKind::I64 => {
                type $ty = i64;
                $body
            }
            kiln_abi::ScalarKind::U32 => {
                type $ty = u32;
                $body
            }
            kiln_abi::ScalarKind::U64 => {
                type $ty = u64;
                $body
            }
            kiln_abi::ScalarKind::F32 => {
                type $ty = f32;
                $body
            }
            kiln_abi::ScalarKind::F64 => {
                type $ty = f64;
                $body
            }
        }
    };
}
pub(crate) use with_type;

/// Runs `$body` with `$apply` standing for the operator as a function of two `$ty`: chosen once, not once per element.
macro_rules! with_op {
    ($op:expr, $ty:ident, $apply:ident => $body:expr) => {{
        use $crate::number::Number;
        match $op {
            kiln_abi::ReduceOp::Sum => {
                let $apply = <$ty as Number>::sum;
                $body
            }
            kiln_abi::ReduceOp::Prod => {
                let $apply = <$ty as Number>::prod;
                $body
            }
            kiln_abi::ReduceOp::Min => {
                let $apply = <$ty as Number>::min;
                $body
            }
            kiln_abi::ReduceOp::Max => {
                let $apply = <$ty as Number>::max;
                $body
            }
            kiln_abi::ReduceOp::And => {
                let $apply = <$ty as Number>::and;
                $body
            }
            kiln_abi::ReduceOp::Or => {
                let $apply = <$ty as Number>::or;
                $body
            }
            kiln_abi::ReduceOp::Xor => {
                let $apply = <$ty as Number>::xor;
                $body
            }
        }
    }};
}
pub(crate) use with_op;

/// `a op b`, on slots.
pub(crate) fn combine(op: ReduceOp, ty: ScalarKind, a: u64, b: u64) -> u64 {
    with_type!(ty, T => with_op!(op, T, apply => apply(T::from_slot(a), T::from_slot(b)).to_slot()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minimum_and_maximum_follow_ieee_754_2019() {
        let min = |a: f64, b: f64| {
            f64::from_bits(combine(ReduceOp::Min, ScalarKind::F64, a.to_bits(), b.to_bits()))
        };
        let max = |a: f64, b: f64| {
            f64::from_bits(combine(ReduceOp::Max, ScalarKind::F64, a.to_bits(), b.to_bits()))
        };
        assert!(min(f64::NAN, 1.0).is_nan() && min(1.0, f64::NAN).is_nan());
        assert!(max(f64::NAN, 1.0).is_nan() && max(1.0, f64::NAN).is_nan());
        for (a, b) in [(0.0, -0.0), (-0.0, 0.0)] {
            assert!(min(a, b).is_sign_negative());
            assert!(max(a, b).is_sign_positive());
        }
        assert_eq!((min(1.0, 2.0), max(1.0, 2.0)), (1.0, 2.0));
    }

    #[test]
    fn narrow_types_ignore_the_high_half_of_their_slot() {
        let noise = 0xdead_beef_0000_0000;
        let five = combine(ReduceOp::Sum, ScalarKind::I32, 2 | noise, 3 | noise);
        assert_eq!(five as u32, 5);
        let one = u64::from(1.0f32.to_bits());
        assert_eq!(combine(ReduceOp::Sum, ScalarKind::F32, one | noise, one), u64::from(2.0f32.to_bits()));
        assert_eq!(combine(ReduceOp::Sum, ScalarKind::I64, u64::MAX, 1), 0);
    }
}
