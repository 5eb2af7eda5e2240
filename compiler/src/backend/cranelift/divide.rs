//! Integer division.
//!
//! In: `//` and `%` on ints. Out: floored quotient and remainder; 0 for divisor 0, and MIN // -1 wraps. Holds: no division here can trap, because the
//! divisor of the machine's instruction is never 0 and never -1; a known divisor costs a shift or a multiplication.

use super::func::{Emitter, clif_type};
use crate::ir;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{self as clif, InstBuilder};
use kiln_lang::tree::Const;
use kiln_lang::types::Scalar;

impl Emitter<'_> {
    /// `a // b`; `divisor` is `b` in the IR.
    pub(super) fn floor_div(
        &mut self,
        ty: Scalar,
        divisor: ir::Value,
        a: clif::Value,
        b: clif::Value,
    ) -> clif::Value {
        if let Some(known) = self.known(divisor) {
            return self.floor_div_known(ty, a, known);
        }
        if !ty.is_signed_int() {
            let zero = self.b.ins().icmp_imm_s(IntCC::Equal, b, 0);
            let safe = self.unsigned_safe(ty, b, zero);
            let quotient = self.b.ins().udiv(a, safe);
            let none = self.iconst(clif_type(ty), 0);
            return self.b.ins().select(zero, none, quotient);
        }
        let (safe, special) = self.signed_safe(ty, b);
        let (quotient, rest) = self.truncated(a, safe);
        // Truncation went up where the rest is not 0 and its sign is not the divisor's.
        let up = self.rounded_up(rest, safe);
        let up = self.b.ins().uextend(clif_type(ty), up);
        let floored = self.b.ins().isub(quotient, up);
        // b = -1: -a; b = 0: 0.
        let product = self.b.ins().imul(a, b);
        self.b.ins().select(special, product, floored)
    }

    /// `a % b`, with the sign of `b`.
    pub(super) fn remainder(
        &mut self,
        ty: Scalar,
        divisor: ir::Value,
        a: clif::Value,
        b: clif::Value,
    ) -> clif::Value {
        if let Some(known) = self.known(divisor) {
            return self.remainder_known(ty, a, known);
        }
        if !ty.is_signed_int() {
            let zero = self.b.ins().icmp_imm_s(IntCC::Equal, b, 0);
            // Modulo 1 is 0, which is what divisor 0 gives.
            let safe = self.unsigned_safe(ty, b, zero);
            return self.b.ins().urem(a, safe);
        }
        // As above: modulo 1 is right for -1 and 0 too.
        let (safe, _) = self.signed_safe(ty, b);
        let (_, rest) = self.truncated(a, safe);
        let up = self.rounded_up(rest, safe);
        let none = self.iconst(clif_type(ty), 0);
        let correction = self.b.ins().select(up, safe, none);
        self.b.ins().iadd(rest, correction)
    }

    fn known(&self, divisor: ir::Value) -> Option<i128> {
        let constant = self.func.as_const(divisor)?;
        match constant {
            Const::I32(d) => Some(i128::from(d)),
            Const::I64(d) => Some(i128::from(d)),
            Const::U32(d) => Some(i128::from(d)),
            Const::U64(d) => Some(i128::from(d)),
            Const::Bool(_) | Const::F32(_) | Const::F64(_) => None,
        }
    }

    fn floor_div_known(&mut self, ty: Scalar, a: clif::Value, divisor: i128) -> clif::Value {
        let signed = ty.is_signed_int();
        match divisor {
            0 => self.iconst(clif_type(ty), 0),
            1 => a,
            -1 => self.b.ins().ineg(a),
            d if d > 0 && (d as u128).is_power_of_two() => {
                let shift = i64::from(d.trailing_zeros());
                if signed { self.b.ins().sshr_imm_u(a, shift) } else { self.b.ins().ushr_imm_u(a, shift) }
            }
            d if !signed => {
                let d = self.iconst(clif_type(ty), d as i64);
                self.b.ins().udiv(a, d)
            }
            d => {
                let safe = self.iconst(clif_type(ty), d as i64);
                let (quotient, rest) = self.truncated(a, safe);
                let up = self.rounded_up_known(rest, d);
                let up = self.b.ins().uextend(clif_type(ty), up);
                self.b.ins().isub(quotient, up)
            }
        }
    }

    fn remainder_known(&mut self, ty: Scalar, a: clif::Value, divisor: i128) -> clif::Value {
        match divisor {
            -1..=1 => self.iconst(clif_type(ty), 0),
            // Floored, this is right for negative `a` too.
            d if d > 0 && (d as u128).is_power_of_two() => {
                let mask = self.iconst(clif_type(ty), (d - 1) as i64);
                self.b.ins().band(a, mask)
            }
            d if !ty.is_signed_int() => {
                let d = self.iconst(clif_type(ty), d as i64);
                self.b.ins().urem(a, d)
            }
            d => {
                let safe = self.iconst(clif_type(ty), d as i64);
                let (_, rest) = self.truncated(a, safe);
                let up = self.rounded_up_known(rest, d);
                let none = self.iconst(clif_type(ty), 0);
                let correction = self.b.ins().select(up, safe, none);
                self.b.ins().iadd(rest, correction)
            }
        }
    }

    /// A divisor that is `b`, or 1 where `b` is 0.
    fn unsigned_safe(&mut self, ty: Scalar, b: clif::Value, zero: clif::Value) -> clif::Value {
        let one = self.b.ins().uextend(clif_type(ty), zero);
        self.b.ins().bor(b, one)
    }

    /// A divisor that is `b`, or 1 where `b` is 0 or -1; and whether it is one of the two.
    fn signed_safe(&mut self, ty: Scalar, b: clif::Value) -> (clif::Value, clif::Value) {
        let next = self.b.ins().iadd_imm_s(b, 1);
        let special = self.b.ins().icmp_imm_u(IntCC::UnsignedLessThanOrEqual, next, 1);
        let one = self.iconst(clif_type(ty), 1);
        (self.b.ins().select(special, one, b), special)
    }

    /// Quotient rounded towards zero, and the rest: one division for both.
    fn truncated(&mut self, a: clif::Value, safe: clif::Value) -> (clif::Value, clif::Value) {
        let quotient = self.b.ins().sdiv(a, safe);
        let product = self.b.ins().imul(quotient, safe);
        (quotient, self.b.ins().isub(a, product))
    }

    fn rounded_up(&mut self, rest: clif::Value, divisor: clif::Value) -> clif::Value {
        let signs = self.b.ins().bxor(rest, divisor);
        let differ = self.b.ins().icmp_imm_s(IntCC::SignedLessThan, signs, 0);
        let inexact = self.b.ins().icmp_imm_s(IntCC::NotEqual, rest, 0);
        self.b.ins().band(differ, inexact)
    }

    fn rounded_up_known(&mut self, rest: clif::Value, divisor: i128) -> clif::Value {
        let code = if divisor > 0 { IntCC::SignedLessThan } else { IntCC::SignedGreaterThan };
        self.b.ins().icmp_imm_s(code, rest, 0)
    }
}
