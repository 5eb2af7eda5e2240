//! Integer division.
//!
//! In: `//` and `%` on ints. Out: floored quotient and remainder; 0 for divisor 0, and MIN // -1 wraps. Holds: no division here can trap, because the divisor of
//! the machine's instruction is never 0 and never -1.
//!
//! In lanes: by a known power of two a shift or a mask; 32-bit numbers through f64, whose quotients are exact enough (see [`Selector::divide_lanes`]); the rest
//! element by element.

use super::code::Cond;
use super::func::Selector;
use super::lanes::{Bitwise, FLOOR, Integer};
use super::scalar::size_of;
use super::settle::Level;
use super::shape::{Group, Shape};
use super::table::{Op, Size};
use crate::ir::{self, OpCode};
use kiln_lang::types::Scalar;
use regalloc2::VReg;

impl Selector<'_> {
    /// `a // b` on scalars.
    pub(super) fn floor_div(&mut self, op: &ir::Op, ty: Scalar) -> VReg {
        let a = self.scalar(op.args[0]);
        if let Some(shift) = self.power_of_two(op.args[1]) {
            let row = if ty.is_signed_int() { Op::SarImm } else { Op::ShrImm };
            return if shift == 0 { a } else { self.m.op_imm(row, size_of(ty), &[a.into()], shift) };
        }
        let b = self.scalar(op.args[1]);
        self.quotient(ty, a, b)
    }

    /// `a % b` on scalars, with the sign of `b`.
    pub(super) fn remainder(&mut self, op: &ir::Op, ty: Scalar) -> VReg {
        let a = self.scalar(op.args[0]);
        if let Some(shift) = self.power_of_two(op.args[1]) {
            // Floored, this is right for negative `a` too.
            let mask = (1i64 << shift) - 1;
            return match i32::try_from(mask) {
                Ok(mask) => self.m.op_imm(Op::AndImm, size_of(ty), &[a.into()], mask),
                Err(_) => {
                    let mask = self.m.imm64(mask);
                    self.m.op(Op::And, size_of(ty), &[a.into(), mask.into()])
                }
            };
        }
        let b = self.scalar(op.args[1]);
        self.rest(ty, a, b)
    }

    /// The exponent of a known divisor that is a power of two, and not the sign bit.
    fn power_of_two(&self, divisor: ir::Value) -> Option<i32> {
        let known = self.known_int(divisor)?;
        (known > 0 && known & (known - 1) == 0).then(|| known.trailing_zeros() as i32)
    }

    fn quotient(&mut self, ty: Scalar, a: VReg, b: VReg) -> VReg {
        let size = size_of(ty);
        let none = self.m.imm64(0);
        if !ty.is_signed_int() {
            let safe = self.unsigned_safe(size, b);
            let high = self.m.imm64(0);
            let (quotient, _) = self.m.divide(Op::Div, size, (high, a), safe);
            self.m.op(Op::Test, size, &[b.into(), b.into()]);
            return self.m.op_imm(Op::Cmovcc, size, &[quotient.into(), none.into()], Cond::Equal as i32);
        }
        let safe = self.signed_safe(size, b);
        let high = self.m.sign_extend(size, a);
        let (quotient, rest) = self.m.divide(Op::Idiv, size, (high, a), safe);
        // Truncation went up where the rest is not 0 and its sign is not the divisor's.
        let down = self.m.op_imm(Op::AddImm, size, &[quotient.into()], -1);
        let signs = self.m.op(Op::Xor, size, &[rest.into(), safe.into()]);
        self.m.op(Op::Test, size, &[signs.into(), signs.into()]);
        let floored = self.m.op_imm(Op::Cmovcc, size, &[quotient.into(), down.into()], Cond::Less as i32);
        self.m.op(Op::Test, size, &[rest.into(), rest.into()]);
        let floored = self.m.op_imm(Op::Cmovcc, size, &[floored.into(), quotient.into()], Cond::Equal as i32);
        // b = -1: -a; b = 0: 0.
        let product = self.m.op(Op::Imul, size, &[a.into(), b.into()]);
        self.m.op(Op::Cmp, size, &[b.into(), safe.into()]);
        self.m.op_imm(Op::Cmovcc, size, &[floored.into(), product.into()], Cond::NotEqual as i32)
    }

    fn rest(&mut self, ty: Scalar, a: VReg, b: VReg) -> VReg {
        let size = size_of(ty);
        if !ty.is_signed_int() {
            // Modulo 1 is 0, which is what divisor 0 gives.
            let safe = self.unsigned_safe(size, b);
            let high = self.m.imm64(0);
            return self.m.divide(Op::Div, size, (high, a), safe).1;
        }
        // As above: modulo 1 is right for -1 and 0 too.
        let safe = self.signed_safe(size, b);
        let high = self.m.sign_extend(size, a);
        let (_, rest) = self.m.divide(Op::Idiv, size, (high, a), safe);
        let raised = self.m.op(Op::Add, size, &[rest.into(), safe.into()]);
        let signs = self.m.op(Op::Xor, size, &[rest.into(), safe.into()]);
        self.m.op(Op::Test, size, &[signs.into(), signs.into()]);
        let floored = self.m.op_imm(Op::Cmovcc, size, &[rest.into(), raised.into()], Cond::Less as i32);
        self.m.op(Op::Test, size, &[rest.into(), rest.into()]);
        self.m.op_imm(Op::Cmovcc, size, &[floored.into(), rest.into()], Cond::Equal as i32)
    }

    /// A divisor that is `b`, or 1 where `b` is 0.
    fn unsigned_safe(&mut self, size: Size, b: VReg) -> VReg {
        let one = self.m.imm64(1);
        self.m.op(Op::Test, size, &[b.into(), b.into()]);
        self.m.op_imm(Op::Cmovcc, size, &[b.into(), one.into()], Cond::Equal as i32)
    }

    /// A divisor that is `b`, or 1 where `b` is 0 or -1.
    fn signed_safe(&mut self, size: Size, b: VReg) -> VReg {
        let one = self.m.imm64(1);
        let next = self.m.op_imm(Op::AddImm, size, &[b.into()], 1);
        self.m.op_imm(Op::CmpImm, size, &[next.into()], 1);
        self.m.op_imm(Op::Cmovcc, size, &[b.into(), one.into()], Cond::BelowEqual as i32)
    }

    // Lanes

    /// `//` and `%` in lanes.
    ///
    /// Numbers of 32 bits: a / b in f64, rounded down. The quotient q = a / b, if it is no integer, lies at least 1/|b| from one; f64 rounds it by at most
    /// |q| * 2^-53 <= 2^32 / |b| * 2^-53, which is less; so the floor of the rounded quotient is that of the quotient.
    pub(super) fn divide_lanes(&mut self, op: &ir::Op) {
        let shape = self.shape(op.args[0]);
        let quotient = op.code == OpCode::FloorDiv;
        let known = self.known_splat(op.args[1]).and_then(|scalar| self.power_of_two(scalar));
        let group = if let Some(shift) = known {
            let a = self.group(op.args[0]);
            if quotient {
                self.shift_by(shape, false, &a, shift)
            } else {
                let mask = self.splat_group(shape, (1 << shift) - 1);
                self.bitwise(Bitwise::And, shape, &a, &mask)
            }
        } else if shape.bytes() == 4 {
            self.divide_by_doubles(op, shape, quotient)
        } else {
            self.divide_one_by_one(op, shape, quotient)
        };
        self.bind(op.results[0], &group);
    }

    /// The scalar whose splat a value is.
    pub(super) fn known_splat(&self, value: ir::Value) -> Option<ir::Value> {
        let op = self.func.op(self.func.def_op(value)?);
        (op.code == OpCode::Splat).then(|| op.args[0])
    }

    fn divide_by_doubles(&mut self, op: &ir::Op, shape: Shape, quotient: bool) -> Group {
        let (a, b) = (self.group(op.args[0]), self.group(op.args[1]));
        let doubles = shape.with(Scalar::F64);
        let wide = [&a, &b].map(|group| self.convert_lanes(shape, Scalar::F64, group));
        let divided = self.float(Op::Vdivpd, doubles, &wide[0], &wide[1]);
        let floored = self.round(doubles, &divided, FLOOR);
        let whole = match (shape.elem, self.level) {
            // MIN // -1 = 2^31 does not fit; the machine's answer to that is MIN.
            (Scalar::I32, _) => self.narrow(Op::Vcvttpd2dq, doubles, &floored),
            (_, Level::Avx512) => self.narrow(Op::Vcvttpd2udq, doubles, &floored),
            (_, Level::Avx2) => {
                // Below 2^52 the low bits of x + 2^52 are the number.
                let magic = self.splat_group(doubles, 4503599627370496f64.to_bits());
                let bits = self.float(Op::Vaddpd, doubles, &floored, &magic);
                self.truncate_lanes(&bits, doubles)
            }
        };
        let zeros = self.splat_group(shape, 0);
        let valid = self.compare(&OpCode::Ne, shape, &b, &zeros);
        let result = if quotient {
            whole
        } else {
            let product = self.integer(Integer::Mul, shape, &whole, &b);
            self.integer(Integer::Sub, shape, &a, &product)
        };
        self.keep(shape, &valid, &result)
    }

    fn divide_one_by_one(&mut self, op: &ir::Op, shape: Shape, quotient: bool) -> Group {
        let ty = shape.elem;
        self.per_lane(None, shape.lanes, &op.args, Some(shape), |s, values| {
            Some(if quotient {
                s.quotient(ty, values[0], values[1])
            } else {
                s.rest(ty, values[0], values[1])
            })
        })
        .unwrap_or_else(|| Group::repeat(VReg::invalid(), shape.pieces()))
    }
}
