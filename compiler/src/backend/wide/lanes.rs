//! Arithmetic on floats, and on integers in lanes.
//!
//! In: ops on lanes and on scalar floats (lane 0 of a vector register). Out: instructions, one piece of a group after the other, so that chains of several pieces
//! run side by side. Holds: SEMANTICS section 2 to the bit; rows of one operation stand in the table in the order packed double, packed single, double, single.

use super::code::{Arg, Const, Mask};
use super::func::Selector;
use super::mask::MaskForm;
use super::settle::Level;
use super::shape::{Group, Shape};
use super::table::{Op, Size};
use crate::backend::CompileError;
use crate::ir::{self, OpCode, Type};
use kiln_abi::ReduceOp;
use kiln_lang::types::Scalar;
use regalloc2::VReg;

/// Rounding modes of VROUND and VRNDSCALE, without the inexact exception.
const NEAREST: i32 = 8;
pub(super) const FLOOR: i32 = 9;
const CEIL: i32 = 10;
const TRUNC: i32 = 11;

impl Selector<'_> {
    /// An op without effects.
    pub(super) fn arithmetic(&mut self, op: &ir::Op) -> Result<(), CompileError> {
        let func = self.func;
        let ty = func.ty(op.args[0]);
        let result = op.results[0];
        match (&op.code, ty) {
            (OpCode::Select, _) => {
                self.select(op);
                return Ok(());
            }
            (OpCode::Convert, _) => {
                self.convert(op);
                return Ok(());
            }
            (OpCode::And | OpCode::Or | OpCode::Xor | OpCode::Not, Type::Mask(_)) => {
                self.mask_logic(op);
                return Ok(());
            }
            (OpCode::Eq | OpCode::Ne | OpCode::Lt | OpCode::Le | OpCode::Gt | OpCode::Ge, Type::Mask(_)) => {
                self.compare_masks(op);
                return Ok(());
            }
            (
                OpCode::Eq | OpCode::Ne | OpCode::Lt | OpCode::Le | OpCode::Gt | OpCode::Ge,
                Type::Lanes(..),
            ) => {
                self.compare_lanes(op);
                return Ok(());
            }
            (OpCode::Eq | OpCode::Ne | OpCode::Lt | OpCode::Le | OpCode::Gt | OpCode::Ge, _) => {
                let cond = self.compare_scalars(op);
                let value = self.truth(cond);
                self.bind(result, &[value]);
                return Ok(());
            }
            (OpCode::FloorDiv | OpCode::Rem, _) if ty.scalar().is_float() => return Err(self.unsupported(op)),
            (OpCode::FloorDiv | OpCode::Rem, Type::Lanes(..)) => {
                self.divide_lanes(op);
                return Ok(());
            }
            (OpCode::Bitcast, _) => {
                self.bitcast(op);
                return Ok(());
            }
            _ => {}
        }
        if ty.lanes() == 0 && !ty.scalar().is_float() {
            let value = self.general(op)?;
            self.bind(result, &[value]);
            return Ok(());
        }
        let shape = self.shape(op.args[0]);
        let group = match &op.code {
            OpCode::Fma => self.fma(op, shape),
            OpCode::And | OpCode::Or | OpCode::Xor if let Some(group) = self.ternary(op, shape) => group,
            _ if op.args.len() == 1 => {
                let a = self.group(op.args[0]);
                self.unary(op, shape, &a)?
            }
            OpCode::Shl | OpCode::Shr => self.shift(op, shape),
            _ => {
                let (a, b) = (self.group(op.args[0]), self.group(op.args[1]));
                self.binary(op, shape, &a, &b)?
            }
        };
        self.bind(result, &group);
        Ok(())
    }

    fn unary(&mut self, op: &ir::Op, shape: Shape, a: &Group) -> Result<Group, CompileError> {
        Ok(match op.code {
            OpCode::Neg if shape.elem.is_float() => self.flip_signs(shape, a),
            OpCode::Neg => {
                let zero = Group::repeat(self.zero(), a.len());
                self.integer(Integer::Sub, shape, &zero, a)
            }
            OpCode::Abs if shape.elem.is_float() => {
                let mask = self.splat_bits(shape, sign_bit(shape) - 1);
                self.bitwise(Bitwise::And, shape, a, &Group::repeat(mask, a.len()))
            }
            OpCode::Abs if shape.elem.is_signed_int() => self.absolute(shape, a),
            OpCode::Abs => *a,
            OpCode::Sqrt => {
                let row = family(Op::Vsqrtpd, shape);
                self.each(a, |s, a| match shape.is_scalar() {
                    true => s.m.op(row, shape.size(), &[a.into(), a.into()]),
                    false => s.m.op(row, shape.size(), &[a.into()]),
                })
            }
            OpCode::Floor => self.round(shape, a, FLOOR),
            OpCode::Ceil => self.round(shape, a, CEIL),
            OpCode::Trunc => self.round(shape, a, TRUNC),
            OpCode::Nearest => self.round(shape, a, NEAREST),
            OpCode::Not => {
                let ones = self.all_ones();
                self.bitwise(Bitwise::Xor, shape, a, &Group::repeat(ones, a.len()))
            }
            _ => return Err(self.unsupported(op)),
        })
    }

    fn binary(&mut self, op: &ir::Op, shape: Shape, a: &Group, b: &Group) -> Result<Group, CompileError> {
        let float = shape.elem.is_float();
        Ok(match op.code {
            OpCode::Add if float => self.float(Op::Vaddpd, shape, a, b),
            OpCode::Sub if float => self.float(Op::Vsubpd, shape, a, b),
            OpCode::Mul if float => self.float(Op::Vmulpd, shape, a, b),
            OpCode::Div => self.float(Op::Vdivpd, shape, a, b),
            OpCode::Add => self.integer(Integer::Add, shape, a, b),
            OpCode::Sub => self.integer(Integer::Sub, shape, a, b),
            OpCode::Mul => self.integer(Integer::Mul, shape, a, b),
            OpCode::Min => self.minimum(shape, a, b),
            OpCode::Max => self.maximum(shape, a, b),
            OpCode::And => self.bitwise(Bitwise::And, shape, a, b),
            OpCode::Or => self.bitwise(Bitwise::Or, shape, a, b),
            OpCode::Xor => self.bitwise(Bitwise::Xor, shape, a, b),
            OpCode::MulHi => self.multiply_high_lanes(shape, a, b),
            _ => return Err(self.unsupported(op)),
        })
    }

    // Pieces

    /// An instruction per piece.
    pub(super) fn each(&mut self, a: &Group, mut make: impl FnMut(&mut Self, VReg) -> VReg) -> Group {
        Group::from_fn(a.len(), |k| make(self, a[k]))
    }

    /// An instruction with two operands per piece.
    pub(super) fn each2(&mut self, op: Op, size: Size, a: &Group, b: &Group) -> Group {
        Group::from_fn(a.len(), |k| self.m.op(op, size, &[a[k].into(), b[k].into()]))
    }

    /// The same with an immediate.
    pub(super) fn each2_imm(&mut self, op: Op, size: Size, a: &Group, b: &Group, imm: i32) -> Group {
        Group::from_fn(a.len(), |k| self.m.op_imm(op, size, &[a[k].into(), b[k].into()], imm))
    }

    /// An instruction with an immediate per piece.
    pub(super) fn each_imm(&mut self, op: Op, size: Size, a: &Group, imm: i32) -> Group {
        Group::from_fn(a.len(), |k| self.m.op_imm(op, size, &[a[k].into()], imm))
    }

    // Constants

    /// All bits zero.
    pub(super) fn zero(&mut self) -> VReg {
        self.m.constant(Const::Splat { bits: 0, bytes: 8 })
    }

    /// All bits one.
    pub(super) fn all_ones(&mut self) -> VReg {
        self.m.constant(Const::Splat { bits: u64::MAX, bytes: 8 })
    }

    /// The same bits in all lanes.
    pub(super) fn splat_bits(&mut self, shape: Shape, bits: u64) -> VReg {
        match bits {
            0 => self.zero(),
            _ => self.m.constant(Const::Splat { bits, bytes: shape.bytes() }),
        }
    }

    /// The same bits in all lanes of all pieces.
    pub(super) fn splat_group(&mut self, shape: Shape, bits: u64) -> Group {
        Group::repeat(self.splat_bits(shape, bits), shape.pieces())
    }

    /// Other bits in every lane.
    pub(super) fn lane_constants(&mut self, shape: Shape, bits: impl Fn(usize) -> u64) -> Group {
        let (per, bytes) = (shape.per_piece(), usize::from(shape.bytes()));
        Group::from_fn(shape.pieces(), |piece| {
            let mut words = [0u64; 8];
            for lane in 0..per {
                let at = lane * bytes;
                let value = bits(piece * per + lane) & (u64::MAX >> (64 - 8 * bytes));
                words[at / 8] |= value << (8 * (at % 8));
            }
            self.m.constant(Const::Vector(words))
        })
    }

    /// 0, 1, 2, … in integer lanes.
    pub(super) fn lane_numbers(&mut self, shape: Shape) -> Group {
        self.lane_constants(shape, |lane| lane as u64)
    }

    // Splat, iota, extract

    pub(super) fn splat(&mut self, op: &ir::Op) {
        let result = op.results[0];
        if let Type::Mask(lanes) = self.func.ty(result) {
            let (form, group) = self.splat_mask(op.args[0], lanes);
            self.bind_mask(result, form, &group);
            return;
        }
        let shape = self.shape(result);
        let value = self.scalar(op.args[0]);
        let reg = self.broadcast(value, shape);
        self.bind(result, &Group::repeat(reg, shape.pieces()));
    }

    /// A scalar in all lanes of a register.
    pub(super) fn broadcast(&mut self, value: VReg, shape: Shape) -> VReg {
        let wide = shape.bytes() == 8;
        let size = shape.size();
        let from_vector = if wide { Op::Vpbroadcastq } else { Op::Vpbroadcastd };
        if value.class() == super::code::V {
            return self.m.op(from_vector, size, &[value.into()]);
        }
        if self.level == Level::Avx512 {
            let op = if wide { Op::VpbroadcastqFromG } else { Op::VpbroadcastdFromG };
            return self.m.op(op, size, &[value.into()]);
        }
        let op = if wide { Op::VmovqFromG } else { Op::VmovdFromG };
        let low = self.m.op(op, Size::X, &[value.into()]);
        self.m.op(from_vector, size, &[low.into()])
    }

    pub(super) fn iota(&mut self, op: &ir::Op) {
        let shape = self.shape(op.results[0]);
        let group = self.make_iota(op, shape);
        self.bind(op.results[0], &group);
    }

    /// `base + lane number`
    pub(super) fn make_iota(&mut self, op: &ir::Op, shape: Shape) -> Group {
        let base = self.scalar(op.args[0]);
        let all = self.broadcast(base, shape);
        let numbers = self.lane_numbers(shape);
        self.integer(Integer::Add, shape, &Group::repeat(all, numbers.len()), &numbers)
    }

    pub(super) fn extract(&mut self, op: &ir::Op, lane: u8) {
        if let Type::Mask(_) = self.func.ty(op.args[0]) {
            let value = self.extract_mask(op.args[0], lane);
            return self.bind(op.results[0], &[value]);
        }
        let shape = self.shape(op.args[0]);
        let group = self.group(op.args[0]);
        let value = self.lane_of(shape, &group, usize::from(lane));
        self.bind(op.results[0], &[value]);
    }

    /// One lane, as a scalar.
    pub(super) fn lane_of(&mut self, shape: Shape, group: &Group, lane: usize) -> VReg {
        let piece = group[lane / shape.per_piece()];
        let at = lane % shape.per_piece();
        let per_quarter = 16 / usize::from(shape.bytes());
        let (quarter, at) = (at / per_quarter, at % per_quarter);
        let low = match (quarter, shape.size()) {
            (0, _) => piece,
            (1, Size::Y) if self.level == Level::Avx2 => {
                self.m.op_imm(Op::Vextracti128, Size::Y, &[piece.into()], 1)
            }
            (quarter, size) => self.m.op_imm(Op::Vextracti32x4, size, &[piece.into()], quarter as i32),
        };
        let wide = shape.bytes() == 8;
        if shape.elem.is_float() {
            return match (at, wide) {
                (0, _) => low,
                (_, true) => self.m.op_imm(Op::Vpshufd, Size::X, &[low.into()], 0b1110),
                (at, false) => self.m.op_imm(Op::Vpshufd, Size::X, &[low.into()], at as i32),
            };
        }
        match (at, wide) {
            (0, true) => self.m.op(Op::VmovqToG, Size::X, &[low.into()]),
            (0, false) => self.m.op(Op::VmovdToG, Size::X, &[low.into()]),
            (at, true) => self.m.op_imm(Op::Vpextrq, Size::X, &[low.into()], at as i32),
            (at, false) => self.m.op_imm(Op::Vpextrd, Size::X, &[low.into()], at as i32),
        }
    }

    // Floats

    /// An operation on floats; `row` is its packed double row.
    pub(super) fn float(&mut self, row: Op, shape: Shape, a: &Group, b: &Group) -> Group {
        self.each2(family(row, shape), shape.size(), a, b)
    }

    fn flip_signs(&mut self, shape: Shape, a: &Group) -> Group {
        let signs = self.splat_bits(shape, sign_bit(shape));
        self.bitwise(Bitwise::Xor, shape, a, &Group::repeat(signs, a.len()))
    }

    pub(super) fn round(&mut self, shape: Shape, a: &Group, mode: i32) -> Group {
        let row = match self.level {
            Level::Avx512 => family(Op::Vrndscalepd, shape),
            Level::Avx2 => family(Op::Vroundpd, shape),
        };
        self.each(a, |s, a| match shape.is_scalar() {
            true => s.m.op_imm(row, shape.size(), &[a.into(), a.into()], mode),
            false => s.m.op_imm(row, shape.size(), &[a.into()], mode),
        })
    }

    /// `a * b + c` with the signs of negated operands taken into the instruction.
    fn fma(&mut self, op: &ir::Op, shape: Shape) -> Group {
        let (product, factors) = self.negated_product(op.args[0], op.args[1]);
        let (addend, negative) = self.without_sign(op.args[2]);
        let row = match (product, negative) {
            (false, false) => Op::Vfmadd132pd,
            (false, true) => Op::Vfmsub132pd,
            (true, false) => Op::Vfnmadd132pd,
            (true, true) => Op::Vfnmsub132pd,
        };
        let [a, b, c] = [factors[0], factors[1], addend].map(|value| self.group(value));
        self.fma_group(row, shape, &a, &b, &c)
    }

    /// `row` is the 132 form of the packed double row: a * b + c.
    pub(super) fn fma_group(&mut self, row: Op, shape: Shape, a: &Group, b: &Group, c: &Group) -> Group {
        let row = fma_family(row, shape);
        Group::from_fn(a.len(), |k| self.m.op(row, shape.size(), &[a[k].into(), c[k].into(), b[k].into()]))
    }

    fn negated_product(&self, a: ir::Value, b: ir::Value) -> (bool, [ir::Value; 2]) {
        let ((a, first), (b, second)) = (self.without_sign(a), self.without_sign(b));
        (first != second, [a, b])
    }

    /// The operand of a negation that nobody else wants.
    fn without_sign(&self, value: ir::Value) -> (ir::Value, bool) {
        let func = self.func;
        match func.def_op(value).map(|op| func.op(op)) {
            Some(op) if op.code == OpCode::Neg && self.uses.is_single(value) => (op.args[0], true),
            _ => (value, false),
        }
    }

    // Integers

    pub(super) fn integer(&mut self, what: Integer, shape: Shape, a: &Group, b: &Group) -> Group {
        let wide = shape.bytes() == 8;
        let row = match (what, wide) {
            (Integer::Add, true) => Op::Vpaddq,
            (Integer::Add, false) => Op::Vpaddd,
            (Integer::Sub, true) => Op::Vpsubq,
            (Integer::Sub, false) => Op::Vpsubd,
            (Integer::Mul, true) if self.level == Level::Avx512 => Op::Vpmullq,
            (Integer::Mul, true) => return self.multiply_wide(shape, a, b),
            (Integer::Mul, false) => Op::Vpmulld,
        };
        self.each2(row, shape.size(), a, b)
    }

    /// 64-bit products out of 32-bit ones: low * low + ((low * high + high * low) << 32).
    fn multiply_wide(&mut self, shape: Shape, a: &Group, b: &Group) -> Group {
        let size = shape.size();
        let swapped = self.each_imm(Op::Vpshufd, size, b, 0b1011_0001);
        let crossed = self.each2(Op::Vpmulld, size, a, &swapped);
        let shifted = self.each_imm(Op::Vpsllq, size, &crossed, 32);
        let both = self.each2(Op::Vpaddd, size, &crossed, &shifted);
        // The sum of the two cross products lies in the high half.
        let mask = self.splat_bits(shape, 0xffff_ffff_0000_0000);
        let high = self.bitwise(Bitwise::And, shape, &both, &Group::repeat(mask, a.len()));
        let low = self.each2(Op::Vpmuludq, size, a, b);
        self.each2(Op::Vpaddq, size, &low, &high)
    }

    /// High halves of unsigned 64-bit products (Warren, Hacker's Delight, 8-2).
    fn multiply_high_lanes(&mut self, shape: Shape, a: &Group, b: &Group) -> Group {
        let size = shape.size();
        let mask = Group::repeat(self.splat_bits(shape, 0xffff_ffff), a.len());
        let (a_high, b_high) =
            (self.each_imm(Op::Vpsrlq, size, a, 32), self.each_imm(Op::Vpsrlq, size, b, 32));
        let low = self.each2(Op::Vpmuludq, size, a, b);
        let cross = self.each2(Op::Vpmuludq, size, &a_high, b);
        let other = self.each2(Op::Vpmuludq, size, a, &b_high);
        let high = self.each2(Op::Vpmuludq, size, &a_high, &b_high);
        let low = self.each_imm(Op::Vpsrlq, size, &low, 32);
        let cross = self.each2(Op::Vpaddq, size, &cross, &low);
        let cross_low = self.bitwise(Bitwise::And, shape, &cross, &mask);
        let other = self.each2(Op::Vpaddq, size, &other, &cross_low);
        let cross_high = self.each_imm(Op::Vpsrlq, size, &cross, 32);
        let other_high = self.each_imm(Op::Vpsrlq, size, &other, 32);
        let high = self.each2(Op::Vpaddq, size, &high, &cross_high);
        self.each2(Op::Vpaddq, size, &high, &other_high)
    }

    fn absolute(&mut self, shape: Shape, a: &Group) -> Group {
        let size = shape.size();
        match (shape.bytes(), self.level) {
            (4, _) => self.each(a, |s, a| s.m.op(Op::Vpabsd, size, &[a.into()])),
            (_, Level::Avx512) => self.each(a, |s, a| s.m.op(Op::Vpabsq, size, &[a.into()])),
            (_, Level::Avx2) => {
                let signs = self.signs(shape, a);
                let flipped = self.bitwise(Bitwise::Xor, shape, a, &signs);
                self.integer(Integer::Sub, shape, &flipped, &signs)
            }
        }
    }

    /// All bits of a lane equal to its sign.
    pub(super) fn signs(&mut self, shape: Shape, a: &Group) -> Group {
        let size = shape.size();
        match (shape.bytes(), self.level) {
            (4, _) => self.each_imm(Op::Vpsrad, size, a, 31),
            (_, Level::Avx512) => self.each_imm(Op::Vpsraq, size, a, 63),
            (_, Level::Avx2) => {
                let zero = Group::repeat(self.zero(), a.len());
                self.each2(Op::Vpcmpgtq, size, &zero, a)
            }
        }
    }

    pub(super) fn bitwise(&mut self, what: Bitwise, shape: Shape, a: &Group, b: &Group) -> Group {
        let row = self.bitwise_row(what, shape);
        // Scalars are lane 0; the other lanes do no harm.
        self.each2(row, shape.size(), a, b)
    }

    fn bitwise_row(&self, what: Bitwise, shape: Shape) -> Op {
        match (what, self.level, shape.bytes()) {
            (Bitwise::And, Level::Avx2, _) => Op::Vpand,
            (Bitwise::Or, Level::Avx2, _) => Op::Vpor,
            (Bitwise::Xor, Level::Avx2, _) => Op::Vpxor,
            (Bitwise::AndNot, Level::Avx2, _) => Op::Vpandn,
            (Bitwise::And, Level::Avx512, 4) => Op::Vpandd,
            (Bitwise::Or, Level::Avx512, 4) => Op::Vpord,
            (Bitwise::Xor, Level::Avx512, 4) => Op::Vpxord,
            (Bitwise::AndNot, Level::Avx512, 4) => Op::Vpandnd,
            (Bitwise::And, Level::Avx512, _) => Op::Vpandq,
            (Bitwise::Or, Level::Avx512, _) => Op::Vporq,
            (Bitwise::Xor, Level::Avx512, _) => Op::Vpxorq,
            (Bitwise::AndNot, Level::Avx512, _) => Op::Vpandnq,
        }
    }

    /// Two bitwise ops as one VPTERNLOG, if the inner one has no other user.
    fn ternary(&mut self, op: &ir::Op, shape: Shape) -> Option<Group> {
        let func = self.func;
        if self.level != Level::Avx512 || shape.is_scalar() {
            return None;
        }
        // Truth tables of the three operands: bit number 4a + 2b + c.
        const A: u8 = 0b1111_0000;
        const B: u8 = 0b1100_1100;
        const C: u8 = 0b1010_1010;
        let combine = |code: &OpCode, x: u8, y: u8| match code {
            OpCode::And => Some(x & y),
            OpCode::Or => Some(x | y),
            OpCode::Xor => Some(x ^ y),
            _ => None,
        };
        for (inner, other) in [(op.args[0], op.args[1]), (op.args[1], op.args[0])] {
            let Some(from) = func.def_op(inner).map(|op| func.op(op)) else { continue };
            if !self.uses.is_single(inner) || inner == other {
                continue;
            }
            let (operands, table) = match from.code {
                OpCode::Not => ([from.args[0], from.args[0], other], combine(&op.code, !A, C)),
                _ if from.args.len() == 2 => {
                    let inner = combine(&from.code, A, B);
                    ([from.args[0], from.args[1], other], inner.and_then(|inner| combine(&op.code, inner, C)))
                }
                _ => continue,
            };
            let Some(table) = table else { continue };
            let [a, b, c] = operands.map(|value| self.group(value));
            return Some(self.ternary_group(shape, table, &a, &b, &c));
        }
        None
    }

    pub(super) fn ternary_group(
        &mut self,
        shape: Shape,
        table: u8,
        a: &Group,
        b: &Group,
        c: &Group,
    ) -> Group {
        let row = if shape.bytes() == 4 { Op::Vpternlogd } else { Op::Vpternlogq };
        Group::from_fn(a.len(), |k| {
            self.m.op_imm(row, shape.size(), &[a[k].into(), b[k].into(), c[k].into()], i32::from(table as i8))
        })
    }

    fn shift(&mut self, op: &ir::Op, shape: Shape) -> Group {
        let func = self.func;
        let a = self.group(op.args[0]);
        let left = op.code == OpCode::Shl;
        let width = 8 * u64::from(shape.bytes());
        let count = func.def_op(op.args[1]).map(|op| func.op(op));
        let known =
            count.filter(|count| count.code == OpCode::Splat).and_then(|count| self.known_int(count.args[0]));
        if let Some(known) = known {
            return self.shift_by(shape, left, &a, (known as u64 % width) as i32);
        }
        let counts = self.group(op.args[1]);
        let mask = self.splat_group(shape, width - 1);
        let counts = self.bitwise(Bitwise::And, shape, &counts, &mask);
        let size = shape.size();
        let row = match (left, shape.elem) {
            (true, Scalar::I64 | Scalar::U64) => Op::Vpsllvq,
            (true, _) => Op::Vpsllvd,
            (false, Scalar::U64) => Op::Vpsrlvq,
            (false, Scalar::U32) => Op::Vpsrlvd,
            (false, Scalar::I32) => Op::Vpsravd,
            (false, _) if self.level == Level::Avx512 => Op::Vpsravq,
            (false, _) => {
                // Negative numbers are shifted as their complements, which are not.
                let signs = self.signs(shape, &a);
                let positive = self.bitwise(Bitwise::Xor, shape, &a, &signs);
                let shifted = self.each2(Op::Vpsrlvq, size, &positive, &counts);
                return self.bitwise(Bitwise::Xor, shape, &shifted, &signs);
            }
        };
        self.each2(row, size, &a, &counts)
    }

    /// A shift by a known count below the width.
    pub(super) fn shift_by(&mut self, shape: Shape, left: bool, a: &Group, count: i32) -> Group {
        if count == 0 {
            return *a;
        }
        let size = shape.size();
        let row = match (left, shape.elem) {
            (true, Scalar::I64 | Scalar::U64) => Op::Vpsllq,
            (true, _) => Op::Vpslld,
            (false, Scalar::U64) => Op::Vpsrlq,
            (false, Scalar::U32) => Op::Vpsrld,
            (false, Scalar::I32) => Op::Vpsrad,
            (false, _) if self.level == Level::Avx512 => Op::Vpsraq,
            (false, _) => {
                let signs = self.signs(shape, a);
                let shifted = self.each_imm(Op::Vpsrlq, size, a, count);
                let top = self.each_imm(Op::Vpsllq, size, &signs, 64 - count);
                return self.bitwise(Bitwise::Or, shape, &shifted, &top);
            }
        };
        self.each_imm(row, size, a, count)
    }

    // Least and greatest

    pub(super) fn minimum(&mut self, shape: Shape, a: &Group, b: &Group) -> Group {
        if !shape.elem.is_float() {
            return self.extreme(shape, a, b, false);
        }
        // VMIN gives its second operand for NaN and for two zeros, so the two orders differ only there: or-ing them keeps -0 (the sign bit) and NaN (all exponent
        // bits and some mantissa bit).
        let first = self.float(Op::Vminpd, shape, a, b);
        let second = self.float(Op::Vminpd, shape, b, a);
        self.bitwise(Bitwise::Or, shape, &first, &second)
    }

    pub(super) fn maximum(&mut self, shape: Shape, a: &Group, b: &Group) -> Group {
        if !shape.elem.is_float() {
            return self.extreme(shape, a, b, true);
        }
        if self.level == Level::Avx512 && !shape.is_scalar() {
            // VRANGE knows that +0 is above -0 and prefers numbers to NaN; where the operands are unordered, their sum is the NaN that is wanted.
            let wide = shape.bytes() == 8;
            let (range, add) = if wide { (Op::Vrangepd, Op::Vaddpd) } else { (Op::Vrangeps, Op::Vaddps) };
            let size = shape.size();
            let most = self.each2_imm(range, size, a, b, 0b0101);
            let compare = if wide { Op::Vcmppd } else { Op::Vcmpps };
            let unordered = self.each2_imm(compare, size, a, b, 3);
            return Group::from_fn(a.len(), |k| {
                self.m.full(add, size, Mask::Merge(unordered[k], most[k]), &[a[k].into(), b[k].into()], 0)
            });
        }
        // As for `minimum`, the two orders differ only for NaN and two zeros. d = first ^ second is +0 if they agree: then r - d = first. Two zeros: d = r = -0,
        // and -0 - -0 = +0. NaN: first | second is NaN, and stays so.
        let first = self.float(Op::Vmaxpd, shape, a, b);
        let second = self.float(Op::Vmaxpd, shape, b, a);
        let d = self.bitwise(Bitwise::Xor, shape, &first, &second);
        let r = self.bitwise(Bitwise::Or, shape, &first, &second);
        self.float(Op::Vsubpd, shape, &r, &d)
    }

    fn extreme(&mut self, shape: Shape, a: &Group, b: &Group, greatest: bool) -> Group {
        let row = match (shape.elem, greatest) {
            (Scalar::I32, false) => Op::Vpminsd,
            (Scalar::I32, true) => Op::Vpmaxsd,
            (Scalar::U32, false) => Op::Vpminud,
            (Scalar::U32, true) => Op::Vpmaxud,
            (_, _) if self.level == Level::Avx2 => {
                let greater = self.greater(shape, a, b);
                let (yes, no) = if greatest { (a, b) } else { (b, a) };
                return self.blend(shape, &greater, yes, no);
            }
            (Scalar::I64, false) => Op::Vpminsq,
            (Scalar::I64, true) => Op::Vpmaxsq,
            (_, false) => Op::Vpminuq,
            (_, true) => Op::Vpmaxuq,
        };
        self.each2(row, shape.size(), a, b)
    }

    /// `a op b` of a reduction, piece by piece.
    pub(super) fn combine_lanes(&mut self, op: ReduceOp, shape: Shape, a: &Group, b: &Group) -> Group {
        let float = shape.elem.is_float();
        match op {
            ReduceOp::Sum if float => self.float(Op::Vaddpd, shape, a, b),
            ReduceOp::Prod if float => self.float(Op::Vmulpd, shape, a, b),
            ReduceOp::Sum => self.integer(Integer::Add, shape, a, b),
            ReduceOp::Prod => self.integer(Integer::Mul, shape, a, b),
            ReduceOp::Min => self.minimum(shape, a, b),
            ReduceOp::Max => self.maximum(shape, a, b),
            ReduceOp::And => self.bitwise(Bitwise::And, shape, a, b),
            ReduceOp::Or => self.bitwise(Bitwise::Or, shape, a, b),
            ReduceOp::Xor => self.bitwise(Bitwise::Xor, shape, a, b),
        }
    }

    // Comparisons and choices

    fn compare_lanes(&mut self, op: &ir::Op) {
        let shape = self.shape(op.args[0]);
        let (a, b) = (self.group(op.args[0]), self.group(op.args[1]));
        let group = self.compare(&op.code, shape, &a, &b);
        let form = self.form_for(shape.lanes, shape.bytes());
        self.bind_mask(op.results[0], form, &group);
    }

    /// A mask, in the form for the compared elements.
    pub(super) fn compare(&mut self, code: &OpCode, shape: Shape, a: &Group, b: &Group) -> Group {
        let size = shape.size();
        if shape.elem.is_float() {
            let predicate = float_predicate(code);
            let row = match (self.level, shape.bytes()) {
                (Level::Avx512, 8) => Op::Vcmppd,
                (Level::Avx512, _) => Op::Vcmpps,
                (Level::Avx2, 8) => Op::VcmppdV,
                (Level::Avx2, _) => Op::VcmppsV,
            };
            return self.each2_imm(row, size, a, b, predicate);
        }
        if self.level == Level::Avx512 {
            let predicate = match code {
                OpCode::Eq => 0,
                OpCode::Lt => 1,
                OpCode::Le => 2,
                OpCode::Ne => 4,
                OpCode::Ge => 5,
                _ => 6,
            };
            let row = match shape.elem {
                Scalar::I32 => Op::Vpcmpd,
                Scalar::U32 => Op::Vpcmpud,
                Scalar::I64 => Op::Vpcmpq,
                _ => Op::Vpcmpuq,
            };
            return self.each2_imm(row, size, a, b, predicate);
        }
        let equal = if shape.bytes() == 8 { Op::Vpcmpeqq } else { Op::Vpcmpeqd };
        let (group, inverted) = match code {
            OpCode::Eq => (self.each2(equal, size, a, b), false),
            OpCode::Ne => (self.each2(equal, size, a, b), true),
            OpCode::Gt => (self.greater(shape, a, b), false),
            OpCode::Le => (self.greater(shape, a, b), true),
            OpCode::Lt => (self.greater(shape, b, a), false),
            _ => (self.greater(shape, b, a), true),
        };
        if !inverted {
            return group;
        }
        let ones = Group::repeat(self.all_ones(), group.len());
        self.bitwise(Bitwise::Xor, shape, &group, &ones)
    }

    /// `a > b` on integers, on AVX2: unsigned ones have their signs flipped first.
    fn greater(&mut self, shape: Shape, a: &Group, b: &Group) -> Group {
        let row = if shape.bytes() == 8 { Op::Vpcmpgtq } else { Op::Vpcmpgtd };
        if shape.elem.is_signed_int() {
            return self.each2(row, shape.size(), a, b);
        }
        let (a, b) = (self.flip_top(shape, a), self.flip_top(shape, b));
        self.each2(row, shape.size(), &a, &b)
    }

    fn flip_top(&mut self, shape: Shape, a: &Group) -> Group {
        // Of a constant it is another constant.
        let flipped: Option<Vec<Const>> = a
            .iter()
            .map(|&reg| match self.m.as_constant(reg) {
                Some(Const::Splat { bits, bytes }) if bytes == shape.bytes() || bits == 0 => {
                    Some(Const::Splat { bits: bits ^ sign_bit(shape), bytes: shape.bytes() })
                }
                _ => None,
            })
            .collect();
        if let Some(flipped) = flipped {
            return Group::from_fn(a.len(), |k| self.m.constant(flipped[k]));
        }
        let signs = self.splat_bits(shape, sign_bit(shape));
        self.bitwise(Bitwise::Xor, shape, a, &Group::repeat(signs, a.len()))
    }

    fn select(&mut self, op: &ir::Op) {
        let func = self.func;
        let result = op.results[0];
        let ty = func.ty(result);
        let condition = op.args[0];
        match (ty, func.ty(condition)) {
            (Type::Mask(_), _) => self.select_mask(op),
            (Type::Lanes(..), Type::Mask(_)) => {
                let shape = self.shape(result);
                let group = match self.merged(op, shape) {
                    Some(group) => group,
                    None => {
                        let mask = self.mask_for(condition, shape.bytes());
                        let (a, b) = (self.group(op.args[1]), self.group(op.args[2]));
                        self.choose(shape, &mask, &a, &b)
                    }
                };
                self.bind(result, &group);
            }
            (Type::Lanes(..), _) => {
                // One truth value for all lanes.
                let shape = self.shape(result);
                let (form, all) = self.splat_mask(condition, shape.lanes);
                let wanted = self.form_for(shape.lanes, shape.bytes());
                debug_assert!(matches!(form, MaskForm::Bits(_) | MaskForm::Elements(_)));
                let mask = Group::repeat(all[0], wanted.pieces(shape.lanes, self.level));
                let (a, b) = (self.group(op.args[1]), self.group(op.args[2]));
                let group = self.choose(shape, &mask, &a, &b);
                self.bind(result, &group);
            }
            (_, _) => {
                let value = self.select_scalar(op);
                self.bind(result, &[value]);
            }
        }
    }

    /// `mask ? a : b`; zeros need no blend.
    fn choose(&mut self, shape: Shape, mask: &Group, a: &Group, b: &Group) -> Group {
        let is_zero = |reg: &VReg| matches!(self.m.as_constant(*reg), Some(Const::Splat { bits: 0, .. }));
        if b.iter().all(is_zero) {
            return self.keep(shape, mask, a);
        }
        self.blend(shape, mask, a, b)
    }

    /// A choice between a result and what it was made of, as an instruction that leaves lanes alone: `select m, (add x, y), z`.
    fn merged(&mut self, op: &ir::Op, shape: Shape) -> Option<Group> {
        let func = self.func;
        let value = op.args[1];
        if self.level != Level::Avx512 || !self.uses.is_single(value) {
            return None;
        }
        let from = func.op(func.def_op(value)?);
        let float = shape.elem.is_float();
        let wide = shape.bytes() == 8;
        let row = match from.code {
            OpCode::Add if float => family(Op::Vaddpd, shape),
            OpCode::Sub if float => family(Op::Vsubpd, shape),
            OpCode::Mul if float => family(Op::Vmulpd, shape),
            OpCode::Div => family(Op::Vdivpd, shape),
            OpCode::Add if wide => Op::Vpaddq,
            OpCode::Add => Op::Vpaddd,
            OpCode::Sub if wide => Op::Vpsubq,
            OpCode::Sub => Op::Vpsubd,
            _ => return None,
        };
        let mask = self.mask_for(op.args[0], shape.bytes());
        let [a, b, old] = [from.args[0], from.args[1], op.args[2]].map(|value| self.group(value));
        let size = shape.size();
        Some(Group::from_fn(old.len(), |k| {
            self.m.full(row, size, Mask::Merge(mask[k], old[k]), &[a[k].into(), b[k].into()], 0)
        }))
    }

    // Halves

    /// Registers of half the size: the halves of each.
    pub(super) fn halves(&mut self, group: &Group, pieces: usize) -> Group {
        Group::from_fn(pieces, |k| {
            let whole = group[k / 2];
            match (k % 2, self.level) {
                (0, _) => whole,
                (_, Level::Avx512) => self.m.op_imm(Op::Vextracti64x4, Size::Z, &[whole.into()], 1),
                (_, Level::Avx2) => self.m.op_imm(Op::Vextracti128, Size::Y, &[whole.into()], 1),
            }
        })
    }

    /// Pairs of half registers as whole ones.
    pub(super) fn join_halves(&mut self, halves: &[VReg]) -> Group {
        if halves.len() == 1 {
            return Group::one(halves[0]);
        }
        Group::from_fn(halves.len() / 2, |k| {
            let args: [Arg; 2] = [halves[2 * k].into(), halves[2 * k + 1].into()];
            match self.level {
                Level::Avx512 => self.m.op_imm(Op::Vinserti64x4, Size::Z, &args, 1),
                Level::Avx2 => self.m.op_imm(Op::Vinserti128, Size::Y, &args, 1),
            }
        })
    }

    /// Signed 32-bit lanes as 64-bit ones. `shape` is that of the source.
    pub(super) fn sign_extend_lanes(&mut self, group: &Group, shape: Shape) -> Group {
        let wide = shape.with(Scalar::I64);
        let halves = self.halves(group, wide.pieces());
        self.each(&halves, |s, half| s.m.op(Op::Vpmovsxdq, wide.size(), &[half.into()]))
    }

    /// Unsigned 32-bit lanes as 64-bit ones.
    pub(super) fn zero_extend_lanes(&mut self, group: &Group, shape: Shape) -> Group {
        let wide = shape.with(Scalar::I64);
        let halves = self.halves(group, wide.pieces());
        self.each(&halves, |s, half| s.m.op(Op::Vpmovzxdq, wide.size(), &[half.into()]))
    }

    /// Low halves of 64-bit lanes. `shape` is that of the source.
    pub(super) fn truncate_lanes(&mut self, group: &Group, shape: Shape) -> Group {
        if self.level == Level::Avx512 {
            let halves = self.each(group, |s, whole| s.m.op(Op::Vpmovqd, shape.size(), &[whole.into()]));
            return self.join_halves(&halves);
        }
        match shape.size() {
            Size::X => self.each_imm(Op::Vpshufd, Size::X, group, 0b1000),
            _ if group.len() == 1 => {
                let high = self.m.op_imm(Op::Vextracti128, Size::Y, &[group[0].into()], 1);
                Group::one(self.m.op_imm(Op::Vshufps, Size::X, &[group[0].into(), high.into()], 0b1000_1000))
            }
            _ => Group::from_fn(group.len() / 2, |k| {
                let args: [Arg; 2] = [group[2 * k].into(), group[2 * k + 1].into()];
                let crossed = self.m.op_imm(Op::Vshufps, Size::Y, &args, 0b1000_1000);
                self.m.op_imm(Op::Vpermq, Size::Y, &[crossed.into()], 0b1101_1000)
            }),
        }
    }
}

/// Operations on integer lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Integer {
    Add,
    Sub,
    Mul,
}

/// Bitwise operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bitwise {
    And,
    Or,
    Xor,
    /// The second without the bits of the first.
    AndNot,
}

/// The row of an operation for a shape, from its packed double row.
pub(super) fn family(row: Op, shape: Shape) -> Op {
    let single = usize::from(shape.bytes() == 4);
    Op::ALL[row as usize + single + if shape.is_scalar() { 2 } else { 0 }]
}

/// The same for multiply-adds, of which every form has a row.
pub(super) fn fma_family(row: Op, shape: Shape) -> Op {
    let single = usize::from(shape.bytes() == 4);
    Op::ALL[row as usize + 3 * (single + if shape.is_scalar() { 2 } else { 0 })]
}

pub(super) fn sign_bit(shape: Shape) -> u64 {
    1 << (8 * shape.bytes() - 1)
}

/// Predicates of VCMP, quiet: false for NaN, except `Ne`.
pub(super) fn float_predicate(code: &OpCode) -> i32 {
    match code {
        OpCode::Eq => 0x00,
        OpCode::Ne => 0x04,
        OpCode::Lt => 0x11,
        OpCode::Le => 0x12,
        OpCode::Gt => 0x1E,
        _ => 0x1D,
    }
}
