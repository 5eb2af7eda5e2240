//! Arithmetic on integers and truth values in general registers, and what becomes of comparisons.
//!
//! In: scalar ops. Out: branch-free code with the exact bits of SEMANTICS section 2. Holds: nothing here can trap; 32-bit values lie in the low halves of their
//! registers and what lies above them is not looked at; a truth value is 0 or 1.
//!
//! An instruction that sets flags for another stands right before it: the allocator's moves in between leave flags alone.

use super::code::Cond;
use super::func::Selector;
use super::lanes::{family, float_predicate};
use super::settle::Level;
use super::shape::{Group, Shape};
use super::table::{Op, Size};
use crate::backend::CompileError;
use crate::ir::{self, OpCode, Type};
use kiln_abi::ReduceOp;
use kiln_lang::types::Scalar;
use regalloc2::VReg;

/// The operand size of a scalar type.
pub(super) fn size_of(ty: Scalar) -> Size {
    if ty.bits() == 64 { Size::Q } else { Size::D }
}

impl Selector<'_> {
    /// The value of an op on integers or truth values.
    pub(super) fn general(&mut self, op: &ir::Op) -> Result<VReg, CompileError> {
        let func = self.func;
        let ty = func.ty(op.args[0]).scalar();
        let size = size_of(ty);
        let binary = |s: &mut Self, row: Op, immediate: Op| {
            for (value, other) in [(op.args[0], op.args[1]), (op.args[1], op.args[0])] {
                if let Some(imm) = s.immediate(other) {
                    let value = s.scalar(value);
                    return s.m.op_imm(immediate, size, &[value.into()], imm);
                }
            }
            let (a, b) = (s.scalar(op.args[0]), s.scalar(op.args[1]));
            s.m.op(row, size, &[a.into(), b.into()])
        };
        Ok(match &op.code {
            OpCode::Add => binary(self, Op::Add, Op::AddImm),
            OpCode::Mul => binary(self, Op::Imul, Op::ImulImm),
            OpCode::And => binary(self, Op::And, Op::AndImm),
            OpCode::Or => binary(self, Op::Or, Op::OrImm),
            OpCode::Xor => binary(self, Op::Xor, Op::XorImm),
            OpCode::Sub => match self.immediate(op.args[1]).and_then(i32::checked_neg) {
                Some(imm) => {
                    let a = self.scalar(op.args[0]);
                    self.m.op_imm(Op::AddImm, size, &[a.into()], imm)
                }
                None => {
                    let (a, b) = (self.scalar(op.args[0]), self.scalar(op.args[1]));
                    self.m.op(Op::Sub, size, &[a.into(), b.into()])
                }
            },
            OpCode::Neg => {
                let a = self.scalar(op.args[0]);
                self.m.op(Op::Neg, size, &[a.into()])
            }
            OpCode::Not => {
                let a = self.scalar(op.args[0]);
                match ty {
                    Scalar::Bool => self.m.op_imm(Op::XorImm, Size::D, &[a.into()], 1),
                    _ => self.m.op(Op::Not, size, &[a.into()]),
                }
            }
            OpCode::Abs => {
                let a = self.scalar(op.args[0]);
                if ty.is_signed_int() {
                    let sign = self.m.op_imm(Op::SarImm, size, &[a.into()], ty.bits() as i32 - 1);
                    let flipped = self.m.op(Op::Xor, size, &[a.into(), sign.into()]);
                    self.m.op(Op::Sub, size, &[flipped.into(), sign.into()])
                } else {
                    a
                }
            }
            OpCode::Min => {
                let (a, b) = (self.scalar(op.args[0]), self.scalar(op.args[1]));
                self.least(ty, a, b)
            }
            OpCode::Max => {
                let (a, b) = (self.scalar(op.args[0]), self.scalar(op.args[1]));
                self.greatest(ty, a, b)
            }
            OpCode::Shl | OpCode::Shr => self.shift_general(op, ty),
            OpCode::MulHi => {
                let (a, b) = (self.scalar(op.args[0]), self.scalar(op.args[1]));
                self.m.multiply_high(a, b)
            }
            OpCode::FloorDiv => self.floor_div(op, ty),
            OpCode::Rem => self.remainder(op, ty),
            _ => return Err(self.unsupported(op)),
        })
    }

    fn shift_general(&mut self, op: &ir::Op, ty: Scalar) -> VReg {
        let size = size_of(ty);
        let a = self.scalar(op.args[0]);
        let left = op.code == OpCode::Shl;
        if let Some(count) = self.known_int(op.args[1]) {
            let count = (count as u64 % u64::from(ty.bits())) as i32;
            let row = match (left, ty.is_signed_int()) {
                (true, _) => Op::ShlImm,
                (false, true) => Op::SarImm,
                (false, false) => Op::ShrImm,
            };
            return if count == 0 { a } else { self.m.op_imm(row, size, &[a.into()], count) };
        }
        // The machine masks the count to the width, as the language does.
        let row = match (left, ty.is_signed_int()) {
            (true, _) => Op::Shlx,
            (false, true) => Op::Sarx,
            (false, false) => Op::Shrx,
        };
        let count = self.scalar(op.args[1]);
        self.m.op(row, size, &[count.into(), a.into()])
    }

    pub(super) fn least(&mut self, ty: Scalar, a: VReg, b: VReg) -> VReg {
        let cond = if ty.is_signed_int() { Cond::Less } else { Cond::Below };
        self.pick(size_of(ty), cond, a, b)
    }

    pub(super) fn greatest(&mut self, ty: Scalar, a: VReg, b: VReg) -> VReg {
        let cond = if ty.is_signed_int() { Cond::Greater } else { Cond::Above };
        self.pick(size_of(ty), cond, a, b)
    }

    /// `a` if the comparison of `a` with `b` gives the condition, else `b`.
    fn pick(&mut self, size: Size, cond: Cond, a: VReg, b: VReg) -> VReg {
        self.m.op(Op::Cmp, size, &[a.into(), b.into()]);
        self.m.op_imm(Op::Cmovcc, size, &[b.into(), a.into()], cond as i32)
    }

    /// `a op b` of a reduction.
    pub(super) fn combine_scalars(&mut self, op: ReduceOp, ty: Scalar, a: VReg, b: VReg) -> VReg {
        if ty.is_float() {
            let shape = Shape::new(ty, 0, self.level);
            return self.combine_lanes(op, shape, &Group::one(a), &Group::one(b))[0];
        }
        let size = size_of(ty);
        let row = match op {
            ReduceOp::Sum => Op::Add,
            ReduceOp::Prod => Op::Imul,
            ReduceOp::Min => return self.least(ty, a, b),
            ReduceOp::Max => return self.greatest(ty, a, b),
            ReduceOp::And => Op::And,
            ReduceOp::Or => Op::Or,
            ReduceOp::Xor => Op::Xor,
        };
        self.m.op(row, size, &[a.into(), b.into()])
    }

    // Truth

    /// Sets the flags by a truth value; gives the condition that holds if it is true.
    pub(super) fn condition(&mut self, value: ir::Value) -> Cond {
        let func = self.func;
        let compared = func.def_op(value).filter(|_| self.bound(value).is_none()).map(|op| func.op(op));
        match compared {
            Some(op) if matches!(op.code, OpCode::Any | OpCode::All) => self.mask_test(op),
            Some(op) if comparison(&op.code) => self.compare_scalars(op),
            _ => {
                let flag = self.scalar(value);
                self.m.op(Op::Test, Size::D, &[flag.into(), flag.into()]);
                Cond::NotEqual
            }
        }
    }

    /// The flags as a truth value.
    pub(super) fn truth(&mut self, cond: Cond) -> VReg {
        let byte = self.m.op_imm(Op::Setcc, Size::D, &[], cond as i32);
        self.m.op(Op::MovzxByte, Size::D, &[byte.into()])
    }

    pub(super) fn compare_scalars(&mut self, op: &ir::Op) -> Cond {
        let func = self.func;
        let ty = func.ty(op.args[0]).scalar();
        if ty.is_float() {
            return self.compare_floats(op, ty);
        }
        let size = size_of(ty);
        let a = self.scalar(op.args[0]);
        match self.immediate(op.args[1]) {
            Some(0) if matches!(op.code, OpCode::Eq | OpCode::Ne) => {
                self.m.op(Op::Test, size, &[a.into(), a.into()]);
            }
            Some(imm) => {
                self.m.op_imm(Op::CmpImm, size, &[a.into()], imm);
            }
            None => {
                let b = self.scalar(op.args[1]);
                self.m.op(Op::Cmp, size, &[a.into(), b.into()]);
            }
        }
        match (&op.code, ty.is_signed_int()) {
            (OpCode::Eq, _) => Cond::Equal,
            (OpCode::Ne, _) => Cond::NotEqual,
            (OpCode::Lt, true) => Cond::Less,
            (OpCode::Le, true) => Cond::LessEqual,
            (OpCode::Gt, true) => Cond::Greater,
            (_, true) => Cond::GreaterEqual,
            (OpCode::Lt, false) => Cond::Below,
            (OpCode::Le, false) => Cond::BelowEqual,
            (OpCode::Gt, false) => Cond::Above,
            (_, false) => Cond::AboveEqual,
        }
    }

    /// UCOMIS sets the carry flag for "less" and for NaN, so "greater" is the comparison that it can say; for equality it takes a mask.
    fn compare_floats(&mut self, op: &ir::Op, ty: Scalar) -> Cond {
        let (a, b) = (self.scalar(op.args[0]), self.scalar(op.args[1]));
        let row = if ty == Scalar::F64 { Op::Vucomisd } else { Op::Vucomiss };
        let (left, right, cond) = match op.code {
            OpCode::Gt => (a, b, Cond::Above),
            OpCode::Ge => (a, b, Cond::AboveEqual),
            OpCode::Lt => (b, a, Cond::Above),
            OpCode::Le => (b, a, Cond::AboveEqual),
            _ => {
                let bits = self.float_truth(op, ty, a, b);
                self.m.op(Op::Test, Size::D, &[bits.into(), bits.into()]);
                return Cond::NotEqual;
            }
        };
        self.m.op(row, Size::X, &[left.into(), right.into()]);
        cond
    }

    /// A comparison of floats: not 0 if it holds.
    fn float_truth(&mut self, op: &ir::Op, ty: Scalar, a: VReg, b: VReg) -> VReg {
        let mask = self.float_mask(&op.code, ty, a, b);
        match self.level {
            Level::Avx512 => self.m.op(Op::KmovbToG, Size::X, &[mask.into()]),
            Level::Avx2 => self.m.op(Op::VmovdToG, Size::X, &[mask.into()]),
        }
    }

    /// The same as a mask of one lane.
    fn float_mask(&mut self, code: &OpCode, ty: Scalar, a: VReg, b: VReg) -> VReg {
        let row = match (self.level, ty) {
            (Level::Avx512, Scalar::F64) => Op::Vcmpsd,
            (Level::Avx512, _) => Op::Vcmpss,
            (Level::Avx2, Scalar::F64) => Op::VcmpsdV,
            (Level::Avx2, _) => Op::VcmpssV,
        };
        self.m.op_imm(row, Size::X, &[a.into(), b.into()], float_predicate(code))
    }

    /// A choice between scalars, without a branch.
    pub(super) fn select_scalar(&mut self, op: &ir::Op) -> VReg {
        let func = self.func;
        let ty = func.ty(op.results[0]).scalar();
        let (yes, no) = (self.scalar(op.args[1]), self.scalar(op.args[2]));
        if !ty.is_float() {
            let cond = self.condition(op.args[0]);
            return self.m.op_imm(Op::Cmovcc, size_of(ty), &[no.into(), yes.into()], cond as i32);
        }
        let mask = self.truth_mask(op.args[0]);
        let shape = Shape::new(ty, 0, self.level);
        self.blend_piece(shape, mask, yes, no)
    }

    /// A truth value as a mask of one lane of a float.
    fn truth_mask(&mut self, value: ir::Value) -> VReg {
        let func = self.func;
        let compared = func.def_op(value).map(|op| func.op(op)).filter(|op| comparison(&op.code));
        if let Some(op) = compared
            && let Type::Scalar(ty) = func.ty(op.args[0])
            && ty.is_float()
        {
            // AVX2 looks at the sign of the lane that is chosen: elements of 8 bytes, whatever was compared.
            let (a, b) = (self.scalar(op.args[0]), self.scalar(op.args[1]));
            let mask = self.float_mask(&op.code, ty, a, b);
            return match (self.level, ty) {
                (Level::Avx2, Scalar::F32) => self.m.op(Op::Vpmovsxdq, Size::X, &[mask.into()]),
                _ => mask,
            };
        }
        let flag = self.scalar(value);
        match self.level {
            Level::Avx512 => self.m.op(Op::KmovdFromG, Size::X, &[flag.into()]),
            Level::Avx2 => {
                let all = self.m.op(Op::Neg, Size::Q, &[flag.into()]);
                self.m.op(Op::VmovqFromG, Size::X, &[all.into()])
            }
        }
    }

    /// Same bits, another type.
    pub(super) fn bitcast(&mut self, op: &ir::Op) {
        let func = self.func;
        let (value, result) = (op.args[0], op.results[0]);
        let (from, to) = (func.ty(value), func.ty(result));
        if from.lanes() > 0 {
            let group = self.group(value);
            return self.bind(result, &group);
        }
        let value = self.scalar(value);
        let wide = to.scalar().bits() == 64;
        let cast = match (from.scalar().is_float(), to.scalar().is_float()) {
            (true, false) => {
                let row = if wide { Op::VmovqToG } else { Op::VmovdToG };
                self.m.op(row, Size::X, &[value.into()])
            }
            (false, true) => {
                let row = if wide { Op::VmovqFromG } else { Op::VmovdFromG };
                self.m.op(row, Size::X, &[value.into()])
            }
            _ => value,
        };
        self.bind(result, &[cast]);
    }

    /// A scalar as 64 raw bits: signed integers keep their value, floats their bits in the low half.
    pub(super) fn raw_bits(&mut self, ty: Scalar, value: VReg) -> VReg {
        match ty {
            Scalar::I64 | Scalar::U64 => value,
            Scalar::I32 => self.m.op(Op::Movsxd, Size::Q, &[value.into()]),
            // A move of 32 bits clears the rest.
            Scalar::Bool | Scalar::U32 => self.m.op(Op::Mov, Size::D, &[value.into()]),
            Scalar::F64 => self.m.op(Op::VmovqToG, Size::X, &[value.into()]),
            Scalar::F32 => self.m.op(Op::VmovdToG, Size::X, &[value.into()]),
        }
    }

    /// An operation on scalar floats; `row` is its packed double row.
    pub(super) fn float_scalar(&mut self, row: Op, ty: Scalar, a: VReg, b: VReg) -> VReg {
        let shape = Shape::new(ty, 0, self.level);
        self.m.op(family(row, shape), Size::X, &[a.into(), b.into()])
    }

    /// `a * b + c` on scalar floats.
    pub(super) fn fma_scalar(&mut self, ty: Scalar, a: VReg, b: VReg, c: VReg) -> VReg {
        let shape = Shape::new(ty, 0, self.level);
        self.fma_group(Op::Vfmadd132pd, shape, &Group::one(a), &Group::one(b), &Group::one(c))[0]
    }
}

/// One of the six comparisons?
pub(super) fn comparison(code: &OpCode) -> bool {
    matches!(code, OpCode::Eq | OpCode::Ne | OpCode::Lt | OpCode::Le | OpCode::Gt | OpCode::Ge)
}
