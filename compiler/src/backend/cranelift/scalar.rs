//! Arithmetic on numbers and truth values.
//!
//! In: scalar ops. Out: branch-free Cranelift code with the exact bits of SEMANTICS section 2. Holds: nothing here can trap.
//!
//! On x86-64 Cranelift makes branches of `select`, `fmin` and `fmax` on scalar floats; the sequences here use the forms that it turns into single
//! instructions, and rely on NaN being one value. Other CPUs have instructions with the meaning that is wanted.

use super::func::{Emitter, clif_type};
use crate::backend::CompileError;
use crate::ir::{self, OpCode};
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{self as clif, Endianness, InstBuilder, MemFlagsData, types};
use kiln_abi::{HostFn, ReduceOp};
use kiln_lang::types::Scalar;

impl Emitter<'_> {
    /// The value of a scalar op without effects.
    pub(super) fn arithmetic(&mut self, op: &ir::Op) -> Result<clif::Value, CompileError> {
        let func = self.func;
        let ty = func.ty(op.args[0]).scalar();
        let float = ty.is_float();
        let signed = ty.is_signed_int();
        let a = self.scalar(op.args[0]);
        let b = op.args.get(1).map_or(a, |&arg| self.scalar(arg));
        let value = match &op.code {
            OpCode::Add if float => self.b.ins().fadd(a, b),
            OpCode::Add => self.b.ins().iadd(a, b),
            OpCode::Sub if float => self.b.ins().fsub(a, b),
            OpCode::Sub => self.b.ins().isub(a, b),
            OpCode::Mul if float => self.b.ins().fmul(a, b),
            OpCode::Mul => self.b.ins().imul(a, b),
            OpCode::Div => self.b.ins().fdiv(a, b),
            OpCode::FloorDiv if ty.is_int() => self.floor_div(ty, op.args[1], a, b),
            OpCode::Rem if ty.is_int() => self.remainder(ty, op.args[1], a, b),
            OpCode::FloorDiv | OpCode::Rem => return Err(self.unsupported(op)),
            OpCode::Neg if float => self.b.ins().fneg(a),
            OpCode::Neg => self.b.ins().ineg(a),
            OpCode::Abs if float => self.b.ins().fabs(a),
            OpCode::Abs if signed => self.b.ins().iabs(a),
            OpCode::Abs => a,
            OpCode::Min => self.min(ty, a, b),
            OpCode::Max => self.max(ty, a, b),
            OpCode::Fma => {
                let c = self.scalar(op.args[2]);
                self.fma(ty, a, b, c)
            }
            OpCode::Sqrt => self.b.ins().sqrt(a),
            OpCode::Floor if self.target.rounds() => self.b.ins().floor(a),
            OpCode::Ceil if self.target.rounds() => self.b.ins().ceil(a),
            OpCode::Trunc if self.target.rounds() => self.b.ins().trunc(a),
            OpCode::Nearest if self.target.rounds() => self.b.ins().nearest(a),
            OpCode::Floor => self.host_float(HostFn::Floor64, HostFn::Floor32, ty, &[a]),
            OpCode::Ceil => self.host_float(HostFn::Ceil64, HostFn::Ceil32, ty, &[a]),
            OpCode::Trunc => self.host_float(HostFn::Trunc64, HostFn::Trunc32, ty, &[a]),
            OpCode::Nearest => self.host_float(HostFn::Nearest64, HostFn::Nearest32, ty, &[a]),
            OpCode::And => self.b.ins().band(a, b),
            OpCode::Or => self.b.ins().bor(a, b),
            OpCode::Xor => self.b.ins().bxor(a, b),
            OpCode::Not if ty == Scalar::Bool => self.b.ins().bxor_imm_u(a, 1),
            OpCode::Not => self.b.ins().bnot(a),
            OpCode::Shl => self.b.ins().ishl(a, b),
            OpCode::Shr if signed => self.b.ins().sshr(a, b),
            OpCode::Shr => self.b.ins().ushr(a, b),
            OpCode::MulHi => self.b.ins().umulhi(a, b),
            OpCode::Eq | OpCode::Ne | OpCode::Lt | OpCode::Le | OpCode::Gt | OpCode::Ge => {
                let comparison = comparison(&op.code).expect("one of the six");
                match float {
                    true => self.b.ins().fcmp(comparison.float(), a, b),
                    false => self.b.ins().icmp(comparison.int(signed), a, b),
                }
            }
            OpCode::Select => {
                let c = self.scalar(op.args[2]);
                self.select(op.args[0], func.ty(op.results[0]).scalar(), b, c)
            }
            OpCode::Convert => self.convert(ty, func.ty(op.results[0]).scalar(), a),
            OpCode::Bitcast => {
                let to = clif_type(func.ty(op.results[0]).scalar());
                if to == clif_type(ty) { a } else { self.b.ins().bitcast(to, MemFlagsData::new(), a) }
            }
            code => return Err(self.internal(&format!("{code:?} is not arithmetic"))),
        };
        Ok(value)
    }

    /// `a op b` of a reduction.
    pub(super) fn combine(
        &mut self,
        op: ReduceOp,
        ty: Scalar,
        a: clif::Value,
        b: clif::Value,
    ) -> clif::Value {
        match (op, ty.is_float()) {
            (ReduceOp::Sum, true) => self.b.ins().fadd(a, b),
            (ReduceOp::Sum, false) => self.b.ins().iadd(a, b),
            (ReduceOp::Prod, true) => self.b.ins().fmul(a, b),
            (ReduceOp::Prod, false) => self.b.ins().imul(a, b),
            (ReduceOp::Min, _) => self.min(ty, a, b),
            (ReduceOp::Max, _) => self.max(ty, a, b),
            (ReduceOp::And, _) => self.b.ins().band(a, b),
            (ReduceOp::Or, _) => self.b.ins().bor(a, b),
            (ReduceOp::Xor, _) => self.b.ins().bxor(a, b),
        }
    }

    /// `a * b + c`, rounded once.
    pub(super) fn fma(&mut self, ty: Scalar, a: clif::Value, b: clif::Value, c: clif::Value) -> clif::Value {
        if self.target.fuses_multiply_add() {
            self.b.ins().fma(a, b, c)
        } else {
            self.host_float(HostFn::Fma64, HostFn::Fma32, ty, &[a, b, c])
        }
    }

    pub(super) fn host_float(
        &mut self,
        f64_fn: HostFn,
        f32_fn: HostFn,
        ty: Scalar,
        args: &[clif::Value],
    ) -> clif::Value {
        let which = if ty == Scalar::F32 { f32_fn } else { f64_fn };
        self.host(which, args, Some(clif_type(ty))).expect("a float function has a result")
    }

    pub(super) fn min(&mut self, ty: Scalar, a: clif::Value, b: clif::Value) -> clif::Value {
        match ty {
            Scalar::F32 | Scalar::F64 if !self.target.is_x64() => self.b.ins().fmin(a, b),
            Scalar::F32 | Scalar::F64 => {
                // MINSD gives its second operand for NaN and for two zeros, so the two orders differ only there: or-ing them keeps -0 (sign bit) and NaN
                // (all exponent bits and some mantissa bit).
                let first = self.lesser(a, b);
                let second = self.lesser(b, a);
                self.b.ins().bor(first, second)
            }
            Scalar::I32 | Scalar::I64 => self.b.ins().smin(a, b),
            Scalar::Bool | Scalar::U32 | Scalar::U64 => self.b.ins().umin(a, b),
        }
    }

    pub(super) fn max(&mut self, ty: Scalar, a: clif::Value, b: clif::Value) -> clif::Value {
        match ty {
            Scalar::F32 | Scalar::F64 if !self.target.is_x64() => self.b.ins().fmax(a, b),
            Scalar::F32 | Scalar::F64 => {
                // As for `min`, the two orders differ only for NaN and two zeros. d = first ^ second is +0 if they agree: then r - d = first.
                // Two zeros: d = r = -0, and -0 - -0 = +0. NaN: first | second is NaN, and stays so.
                let first = self.greater(a, b);
                let second = self.greater(b, a);
                let d = self.b.ins().bxor(first, second);
                let r = self.b.ins().bor(first, second);
                self.b.ins().fsub(r, d)
            }
            Scalar::I32 | Scalar::I64 => self.b.ins().smax(a, b),
            Scalar::Bool | Scalar::U32 | Scalar::U64 => self.b.ins().umax(a, b),
        }
    }

    /// `a < b ? a : b`: MINSD.
    fn lesser(&mut self, a: clif::Value, b: clif::Value) -> clif::Value {
        let less = self.b.ins().fcmp(FloatCC::LessThan, a, b);
        self.b.ins().select(less, a, b)
    }

    /// `b < a ? a : b`: MAXSD.
    fn greater(&mut self, a: clif::Value, b: clif::Value) -> clif::Value {
        let less = self.b.ins().fcmp(FloatCC::LessThan, b, a);
        self.b.ins().select(less, a, b)
    }

    /// Branch-free choice.
    pub(super) fn select(
        &mut self,
        condition: ir::Value,
        ty: Scalar,
        a: clif::Value,
        b: clif::Value,
    ) -> clif::Value {
        let func = self.func;
        let flag = self.scalar(condition);
        if !ty.is_float() || !self.target.is_x64() {
            return self.b.ins().select(flag, a, b);
        }
        // A comparison of floats of the same width can be made as a mask, in the registers where the operands are.
        let compared = func.def_op(condition).map(|op| func.op(op));
        if let Some(op) = compared
            && let Some(comparison) = comparison(&op.code)
            && func.ty(op.args[0]) == ir::Type::Scalar(ty)
        {
            let vector = if ty == Scalar::F32 { types::F32X4 } else { types::F64X2 };
            let (x, y) = (self.scalar(op.args[0]), self.scalar(op.args[1]));
            let [x, y, a, b] = [x, y, a, b].map(|value| self.b.ins().splat(vector, value));
            let mask = self.b.ins().fcmp(comparison.float(), x, y);
            let flags = MemFlagsData::new().with_endianness(Endianness::Little);
            let mask = self.b.ins().bitcast(vector, flags, mask);
            let chosen = self.b.ins().bitselect(mask, a, b);
            return self.b.ins().extractlane(chosen, 0);
        }
        let bits = if ty == Scalar::F32 { types::I32 } else { types::I64 };
        let a = self.b.ins().bitcast(bits, MemFlagsData::new(), a);
        let b = self.b.ins().bitcast(bits, MemFlagsData::new(), b);
        let chosen = self.b.ins().select(flag, a, b);
        self.b.ins().bitcast(clif_type(ty), MemFlagsData::new(), chosen)
    }

    /// To another scalar type: ints wrap or extend, int to float rounds once, float to int saturates with NaN as 0, to bool is `!= 0`.
    pub(super) fn convert(&mut self, from: Scalar, to: Scalar, value: clif::Value) -> clif::Value {
        let (from_ty, to_ty) = (clif_type(from), clif_type(to));
        if from == to {
            return value;
        }
        match (from, to) {
            (Scalar::F32 | Scalar::F64, Scalar::Bool) => {
                let zero = self.constant_bits(from, 0);
                self.b.ins().fcmp(FloatCC::NotEqual, value, zero)
            }
            (_, Scalar::Bool) => self.b.ins().icmp_imm_s(IntCC::NotEqual, value, 0),
            (Scalar::F32, Scalar::F64) => self.b.ins().fpromote(to_ty, value),
            (Scalar::F64, Scalar::F32) => self.b.ins().fdemote(to_ty, value),
            (Scalar::F32 | Scalar::F64, Scalar::I32 | Scalar::I64) => {
                self.b.ins().fcvt_to_sint_sat(to_ty, value)
            }
            (Scalar::F32 | Scalar::F64, _) => self.b.ins().fcvt_to_uint_sat(to_ty, value),
            (Scalar::Bool, Scalar::F32 | Scalar::F64) => {
                let value = self.b.ins().uextend(types::I32, value);
                self.b.ins().fcvt_from_sint(to_ty, value)
            }
            (Scalar::I32 | Scalar::I64, Scalar::F32 | Scalar::F64) => {
                self.b.ins().fcvt_from_sint(to_ty, value)
            }
            (_, Scalar::F32 | Scalar::F64) => self.b.ins().fcvt_from_uint(to_ty, value),
            (_, _) if to_ty == from_ty => value,
            (_, _) if to_ty.bits() < from_ty.bits() => self.b.ins().ireduce(to_ty, value),
            (Scalar::I32, _) => self.b.ins().sextend(to_ty, value),
            (_, _) => self.b.ins().uextend(to_ty, value),
        }
    }

    /// A scalar as 64 raw bits: signed integers keep their value, floats their bits in the low half.
    pub(super) fn widen(&mut self, ty: Scalar, value: clif::Value) -> clif::Value {
        match ty {
            Scalar::I64 | Scalar::U64 => value,
            Scalar::I32 => self.b.ins().sextend(types::I64, value),
            Scalar::Bool | Scalar::U32 => self.b.ins().uextend(types::I64, value),
            Scalar::F64 => self.b.ins().bitcast(types::I64, MemFlagsData::new(), value),
            Scalar::F32 => {
                let bits = self.b.ins().bitcast(types::I32, MemFlagsData::new(), value);
                self.b.ins().uextend(types::I64, bits)
            }
        }
    }
}

/// One of the six comparisons.
#[derive(Clone, Copy)]
pub(super) enum Comparison {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

pub(super) fn comparison(code: &OpCode) -> Option<Comparison> {
    match code {
        OpCode::Eq => Some(Comparison::Eq),
        OpCode::Ne => Some(Comparison::Ne),
        OpCode::Lt => Some(Comparison::Lt),
        OpCode::Le => Some(Comparison::Le),
        OpCode::Gt => Some(Comparison::Gt),
        OpCode::Ge => Some(Comparison::Ge),
        _ => None,
    }
}

impl Comparison {
    /// False for NaN, except `Ne`.
    pub(super) fn float(self) -> FloatCC {
        match self {
            Comparison::Eq => FloatCC::Equal,
            Comparison::Ne => FloatCC::NotEqual,
            Comparison::Lt => FloatCC::LessThan,
            Comparison::Le => FloatCC::LessThanOrEqual,
            Comparison::Gt => FloatCC::GreaterThan,
            Comparison::Ge => FloatCC::GreaterThanOrEqual,
        }
    }

    pub(super) fn int(self, signed: bool) -> IntCC {
        match (self, signed) {
            (Comparison::Eq, _) => IntCC::Equal,
            (Comparison::Ne, _) => IntCC::NotEqual,
            (Comparison::Lt, true) => IntCC::SignedLessThan,
            (Comparison::Le, true) => IntCC::SignedLessThanOrEqual,
            (Comparison::Gt, true) => IntCC::SignedGreaterThan,
            (Comparison::Ge, true) => IntCC::SignedGreaterThanOrEqual,
            (Comparison::Lt, false) => IntCC::UnsignedLessThan,
            (Comparison::Le, false) => IntCC::UnsignedLessThanOrEqual,
            (Comparison::Gt, false) => IntCC::UnsignedGreaterThan,
            (Comparison::Ge, false) => IntCC::UnsignedGreaterThanOrEqual,
        }
    }
}
