//! Masks: one truth value per lane.
//!
//! In: mask ops. Out: mask registers (AVX-512), or vectors whose elements are all ones or zero (AVX2). Holds: a mask has the form that its definition gives it, and
//! is converted where it is used in another; bits of a mask register above its lanes hold anything.
//!
//! Forms: `Bits(n)`, n lanes to a mask register, as comparisons of elements of `width / n` bytes make them; `Elements(b)`, elements of b bytes.

use super::code::{Cond, Mask};
use super::func::Selector;
use super::settle::Level;
use super::shape::{Group, Shape};
use super::table::{Op, Size};
use crate::ir::{self, OpCode, Type};
use kiln_lang::types::Scalar;
use regalloc2::VReg;

/// How a mask lies in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum MaskForm {
    /// Mask registers of so many lanes.
    Bits(u8),
    /// Vectors of elements of so many bytes.
    Elements(u8),
}

impl MaskForm {
    /// Number of registers.
    pub(super) fn pieces(self, lanes: u8, level: Level) -> usize {
        match self {
            MaskForm::Bits(per) => usize::from(lanes).div_ceil(usize::from(per)),
            MaskForm::Elements(bytes) => (usize::from(lanes) * usize::from(bytes)).div_ceil(level.bytes()),
        }
    }
}

impl Selector<'_> {
    /// The form in which a mask goes with elements of so many bytes.
    pub(super) fn form_for(&self, lanes: u8, bytes: u8) -> MaskForm {
        match self.level {
            Level::Avx512 => MaskForm::Bits(lanes.min(64 / bytes)),
            Level::Avx2 => MaskForm::Elements(bytes),
        }
    }

    /// The form of masks without a comparison of their own: what goes with the widest elements in so many lanes.
    pub(super) fn natural_form(&self, lanes: u8) -> MaskForm {
        self.form_for(lanes, self.uses.widest(lanes))
    }

    /// The form that a mask has.
    pub(super) fn own_form(&self, value: ir::Value) -> MaskForm {
        self.form(value).unwrap_or_else(|| self.natural_form(self.func.ty(value).lanes()))
    }

    /// The registers of a mask, for elements of so many bytes.
    pub(super) fn mask_for(&mut self, value: ir::Value, bytes: u8) -> Group {
        let form = self.form_for(self.func.ty(value).lanes(), bytes);
        self.mask_as(value, form)
    }

    /// The registers of a mask in a form.
    pub(super) fn mask_as(&mut self, value: ir::Value, form: MaskForm) -> Group {
        let lanes = self.func.ty(value).lanes();
        let Some(own) = self.form(value).filter(|_| self.bound(value).is_some()) else {
            unreachable!("a mask has registers from its definition on")
        };
        let group = Group::new(self.regs(value));
        if own == form {
            return group;
        }
        if let Some(known) = self.known.mask(value, form) {
            return known;
        }
        let made = self.convert_mask(&group, own, form, lanes);
        self.known.add_mask(value, form, made);
        made
    }

    fn convert_mask(&mut self, group: &Group, from: MaskForm, to: MaskForm, lanes: u8) -> Group {
        if from == to {
            return *group;
        }
        let pieces = to.pieces(lanes, self.level);
        match (from, to) {
            (MaskForm::Bits(from), MaskForm::Bits(to)) if from > to => {
                // The bits above are nobody's business, so the lowest part is the register itself.
                let parts = usize::from(from / to);
                Group::from_fn(pieces, |k| {
                    let whole = group[k / parts];
                    match (k % parts) as i32 * i32::from(to) {
                        0 => whole,
                        shift => self.m.op_imm(Op::Kshiftrd, Size::X, &[whole.into()], shift),
                    }
                })
            }
            (MaskForm::Bits(from), MaskForm::Bits(to)) => {
                let mut group = *group;
                let mut width = from;
                while width < to {
                    group = Group::from_fn(group.len() / 2, |k| {
                        self.join_bits(group[2 * k], group[2 * k + 1], width)
                    });
                    width *= 2;
                }
                group
            }
            (MaskForm::Elements(from), MaskForm::Elements(to)) if from < to => {
                let shape = Shape::new(Scalar::I32, lanes, self.level);
                self.sign_extend_lanes(group, shape)
            }
            (MaskForm::Elements(_), MaskForm::Elements(_)) => {
                let shape = Shape::new(Scalar::I64, lanes, self.level);
                self.truncate_lanes(group, shape)
            }
            (MaskForm::Bits(_), MaskForm::Elements(_)) | (MaskForm::Elements(_), MaskForm::Bits(_)) => {
                unreachable!("a machine has one kind of masks")
            }
        }
    }

    /// Two masks of `width` lanes as one.
    fn join_bits(&mut self, low: VReg, high: VReg, width: u8) -> VReg {
        match width {
            8 => self.m.op(Op::Kunpckbw, Size::Y, &[high.into(), low.into()]),
            16 => self.m.op(Op::Kunpckwd, Size::Y, &[high.into(), low.into()]),
            // Bits above the lanes have to go.
            _ => {
                let top = self.m.op_imm(Op::Kshiftld, Size::X, &[high.into()], i32::from(width));
                let raised = self.m.op_imm(Op::Kshiftld, Size::X, &[low.into()], 32 - i32::from(width));
                let clean = self.m.op_imm(Op::Kshiftrd, Size::X, &[raised.into()], 32 - i32::from(width));
                self.m.op(Op::Kord, Size::Y, &[top.into(), clean.into()])
            }
        }
    }

    /// `and`, `or`, `xor`, `not` of masks.
    pub(super) fn mask_logic(&mut self, op: &ir::Op) {
        let lanes = self.func.ty(op.results[0]).lanes();
        let own = self.own_form(op.args[0]);
        let form = match op.args.get(1) {
            Some(&other) if self.own_form(other) != own => self.natural_form(lanes),
            _ => own,
        };
        let a = self.mask_as(op.args[0], form);
        let b = op.args.get(1).map(|&arg| self.mask_as(arg, form));
        let group = self.logic(&op.code, form, lanes, &a, b.as_ref());
        self.bind_mask(op.results[0], form, &group);
    }

    pub(super) fn logic(
        &mut self,
        code: &OpCode,
        form: MaskForm,
        lanes: u8,
        a: &Group,
        b: Option<&Group>,
    ) -> Group {
        let size = self.vector_size(form, lanes);
        let ones = self.all_ones();
        Group::from_fn(a.len(), |k| {
            let (a, b) = (a[k], b.map_or(a[k], |b| b[k]));
            match (form, code) {
                (MaskForm::Bits(_), OpCode::And) => self.m.op(Op::Kandd, Size::Y, &[a.into(), b.into()]),
                (MaskForm::Bits(_), OpCode::Or) => self.m.op(Op::Kord, Size::Y, &[a.into(), b.into()]),
                (MaskForm::Bits(_), OpCode::Xor) => self.m.op(Op::Kxord, Size::Y, &[a.into(), b.into()]),
                (MaskForm::Bits(_), _) => self.m.op(Op::Knotd, Size::X, &[a.into()]),
                (MaskForm::Elements(_), OpCode::And) => self.m.op(Op::Vpand, size, &[a.into(), b.into()]),
                (MaskForm::Elements(_), OpCode::Or) => self.m.op(Op::Vpor, size, &[a.into(), b.into()]),
                (MaskForm::Elements(_), OpCode::Xor) => self.m.op(Op::Vpxor, size, &[a.into(), b.into()]),
                (MaskForm::Elements(_), _) => self.m.op(Op::Vpxor, size, &[a.into(), ones.into()]),
            }
        })
    }

    /// Size of the registers of a mask in vectors.
    fn vector_size(&self, form: MaskForm, lanes: u8) -> Size {
        match form {
            MaskForm::Bits(_) => Size::X,
            MaskForm::Elements(bytes) => Shape::new(mask_elem(bytes), lanes, self.level).size(),
        }
    }

    /// A mask with the same truth value in all lanes.
    pub(super) fn splat_mask(&mut self, value: ir::Value, lanes: u8) -> (MaskForm, Group) {
        let form = self.natural_form(lanes);
        let pieces = form.pieces(lanes, self.level);
        let flag = self.scalar(value);
        let all = self.m.op(Op::Neg, Size::D, &[flag.into()]);
        let reg = match form {
            MaskForm::Bits(_) => self.m.op(Op::KmovdFromG, Size::X, &[all.into()]),
            MaskForm::Elements(_) => {
                let low = self.m.op(Op::VmovdFromG, Size::X, &[all.into()]);
                self.m.op(Op::Vpbroadcastd, self.level.size(), &[low.into()])
            }
        };
        (form, Group::repeat(reg, pieces))
    }

    /// The mask of the first `count` lanes, or of all if there are more. `count` is not negative.
    pub(super) fn first_lanes(&mut self, count: VReg, lanes: u8) -> (MaskForm, Group) {
        let form = self.natural_form(lanes);
        match form {
            MaskForm::Bits(per) => {
                // BZHI keeps all bits from a count of 32 on; a larger count is cut to its low byte, so it must not be larger than 255.
                let most = self.m.imm64(i64::from(lanes));
                self.m.op(Op::Cmp, Size::Q, &[count.into(), most.into()]);
                let count =
                    self.m.op_imm(Op::Cmovcc, Size::Q, &[count.into(), most.into()], Cond::Greater as i32);
                let ones = self.m.op_imm(Op::MovImm, Size::D, &[], -1);
                let bits = self.m.op(Op::Bzhi, Size::D, &[count.into(), ones.into()]);
                let whole = self.m.op(Op::KmovdFromG, Size::X, &[bits.into()]);
                let all =
                    self.convert_mask(&Group::one(whole), MaskForm::Bits(lanes), MaskForm::Bits(per), lanes);
                (form, all)
            }
            MaskForm::Elements(bytes) => {
                let shape = Shape::new(mask_elem(bytes), lanes, self.level);
                let count = if bytes == 4 {
                    // As a number of 32 bits.
                    let most = self.m.imm64(i64::from(lanes));
                    self.m.op(Op::Cmp, Size::Q, &[count.into(), most.into()]);
                    self.m.op_imm(Op::Cmovcc, Size::Q, &[count.into(), most.into()], Cond::Greater as i32)
                } else {
                    count
                };
                let counts = self.broadcast(count, shape);
                let numbers = self.lane_numbers(shape);
                let op = if bytes == 4 { Op::Vpcmpgtd } else { Op::Vpcmpgtq };
                let group = Group::from_fn(shape.pieces(), |k| {
                    self.m.op(op, shape.size(), &[counts.into(), numbers[k].into()])
                });
                (form, group)
            }
        }
    }

    /// Sets the flags by `any` or `all`; gives the condition that holds if it is true.
    pub(super) fn mask_test(&mut self, op: &ir::Op) -> Cond {
        let value = op.args[0];
        let lanes = self.func.ty(value).lanes();
        let form = self.own_form(value);
        let group = self.mask_as(value, form);
        match op.code {
            OpCode::Any => self.any(form, lanes, &group),
            _ => self.all(form, lanes, &group),
        }
    }

    pub(super) fn any(&mut self, form: MaskForm, lanes: u8, group: &Group) -> Cond {
        let distinct: Vec<VReg> = if group.is_uniform() { vec![group[0]] } else { group.to_vec() };
        match form {
            MaskForm::Bits(per) if per >= 8 => {
                // KORTEST takes the last two together.
                let (a, b) = match distinct[..] {
                    [one] => (one, one),
                    _ => {
                        let half = distinct.len() / 2;
                        (
                            self.combine(Op::Kord, Size::Y, &distinct[..half]),
                            self.combine(Op::Kord, Size::Y, &distinct[half..]),
                        )
                    }
                };
                self.m.op(kortest(per), Size::X, &[a.into(), b.into()]);
            }
            MaskForm::Bits(_) => {
                let all = self.combine(Op::Kord, Size::Y, &distinct);
                let bits = self.m.op(Op::KmovbToG, Size::X, &[all.into()]);
                self.m.op_imm(Op::TestImm, Size::D, &[bits.into()], (1 << lanes) - 1);
            }
            MaskForm::Elements(bytes) => {
                let size = self.vector_size(form, lanes);
                let all = self.combine(Op::Vpor, size, &distinct);
                let bits = self.sign_bits(all, size, bytes);
                let used = self.lanes_in_piece(bytes, lanes);
                self.m.op_imm(Op::TestImm, Size::D, &[bits.into()], (1 << used) - 1);
            }
        }
        Cond::NotEqual
    }

    pub(super) fn all(&mut self, form: MaskForm, lanes: u8, group: &Group) -> Cond {
        let distinct: Vec<VReg> = if group.is_uniform() { vec![group[0]] } else { group.to_vec() };
        let (bits, used) = match form {
            MaskForm::Bits(per) if per >= 8 => {
                let all = self.combine(Op::Kandd, Size::Y, &distinct);
                self.m.op(kortest(per), Size::X, &[all.into(), all.into()]);
                // The carry flag: nothing but ones.
                return Cond::Below;
            }
            MaskForm::Bits(per) => {
                let all = self.combine(Op::Kandd, Size::Y, &distinct);
                (self.m.op(Op::KmovbToG, Size::X, &[all.into()]), per)
            }
            MaskForm::Elements(bytes) => {
                let size = self.vector_size(form, lanes);
                let all = self.combine(Op::Vpand, size, &distinct);
                (self.sign_bits(all, size, bytes), self.lanes_in_piece(bytes, lanes))
            }
        };
        let full = (1 << used) - 1;
        let bits = self.m.op_imm(Op::AndImm, Size::D, &[bits.into()], full);
        self.m.op_imm(Op::CmpImm, Size::D, &[bits.into()], full);
        Cond::Equal
    }

    fn lanes_in_piece(&self, bytes: u8, lanes: u8) -> u8 {
        Shape::new(mask_elem(bytes), lanes, self.level).per_piece() as u8
    }

    fn sign_bits(&mut self, mask: VReg, size: Size, bytes: u8) -> VReg {
        let op = if bytes == 8 { Op::Vmovmskpd } else { Op::Vmovmskps };
        self.m.op(op, size, &[mask.into()])
    }

    /// Registers combined pairwise into one.
    pub(super) fn combine(&mut self, op: Op, size: Size, regs: &[VReg]) -> VReg {
        match regs {
            [one] => *one,
            _ => {
                let (left, right) = regs.split_at(regs.len() / 2);
                let (left, right) = (self.combine(op, size, left), self.combine(op, size, right));
                self.m.op(op, size, &[left.into(), right.into()])
            }
        }
    }

    /// One lane of a mask, as a truth value.
    pub(super) fn extract_mask(&mut self, value: ir::Value, lane: u8) -> VReg {
        let lanes = self.func.ty(value).lanes();
        let form = self.own_form(value);
        let group = self.mask_as(value, form);
        let (bits, at) = match form {
            MaskForm::Bits(per) => {
                let piece = group[usize::from(lane / per)];
                (self.m.op(Op::KmovdToG, Size::X, &[piece.into()]), lane % per)
            }
            MaskForm::Elements(bytes) => {
                let per = self.lanes_in_piece(bytes, lanes);
                let size = self.vector_size(form, lanes);
                (self.sign_bits(group[usize::from(lane / per)], size, bytes), lane % per)
            }
        };
        let bits = match at {
            0 => bits,
            at => self.m.op_imm(Op::ShrImm, Size::D, &[bits.into()], i32::from(at)),
        };
        self.m.op_imm(Op::AndImm, Size::D, &[bits.into()], 1)
    }

    /// All lanes of a mask, as the low bits of a general register; what lies above is zero.
    pub(super) fn mask_bits(&mut self, value: ir::Value) -> VReg {
        let lanes = self.func.ty(value).lanes();
        let form = self.own_form(value);
        let group = self.mask_as(value, form);
        self.bits_of(form, lanes, &group)
    }

    pub(super) fn bits_of(&mut self, form: MaskForm, lanes: u8, group: &Group) -> VReg {
        let (bits, per) = match form {
            MaskForm::Bits(per) => {
                let whole = self.convert_mask(group, MaskForm::Bits(per), MaskForm::Bits(lanes), lanes);
                let bits = self.m.op(Op::KmovdToG, Size::X, &[whole[0].into()]);
                (vec![bits], lanes)
            }
            MaskForm::Elements(bytes) => {
                let size = self.vector_size(form, lanes);
                let bits = group.iter().map(|&piece| self.sign_bits(piece, size, bytes)).collect();
                (bits, self.lanes_in_piece(bytes, lanes))
            }
        };
        let mut all = bits[0];
        for (k, &more) in bits.iter().enumerate().skip(1) {
            let shift = k as i32 * i32::from(per);
            let raised = self.m.op_imm(Op::ShlImm, Size::D, &[more.into()], shift);
            all = self.m.op(Op::Or, Size::D, &[all.into(), raised.into()]);
        }
        if lanes == 32 {
            return all;
        }
        self.m.op_imm(Op::AndImm, Size::D, &[all.into()], (1 << lanes) - 1)
    }

    /// A mask from the low bits of a general register.
    pub(super) fn mask_from_bits(&mut self, bits: VReg, lanes: u8) -> (MaskForm, Group) {
        let form = self.natural_form(lanes);
        match form {
            MaskForm::Bits(per) => {
                let whole = self.m.op(Op::KmovdFromG, Size::X, &[bits.into()]);
                (
                    form,
                    self.convert_mask(&Group::one(whole), MaskForm::Bits(lanes), MaskForm::Bits(per), lanes),
                )
            }
            MaskForm::Elements(bytes) => {
                // Every lane takes its bit to the sign.
                let shape = Shape::new(mask_elem(bytes), lanes, self.level);
                let all = self.broadcast(bits, shape);
                let size = shape.size();
                let width = 8 * u64::from(bytes);
                let counts = self.lane_constants(shape, |lane| width - 1 - lane as u64);
                let group = Group::from_fn(shape.pieces(), |k| {
                    if bytes == 4 {
                        let raised = self.m.op(Op::Vpsllvd, size, &[all.into(), counts[k].into()]);
                        self.m.op_imm(Op::Vpsrad, size, &[raised.into()], 31)
                    } else {
                        let raised = self.m.op(Op::Vpsllvq, size, &[all.into(), counts[k].into()]);
                        let zero = self.zero();
                        self.m.op(Op::Vpcmpgtq, size, &[zero.into(), raised.into()])
                    }
                });
                (form, group)
            }
        }
    }

    /// `mask ? a : b`, piece by piece; the mask in the form for these elements.
    pub(super) fn blend(&mut self, shape: Shape, mask: &Group, a: &Group, b: &Group) -> Group {
        Group::from_fn(a.len(), |k| self.blend_piece(shape, mask[k], a[k], b[k]))
    }

    pub(super) fn blend_piece(&mut self, shape: Shape, mask: VReg, a: VReg, b: VReg) -> VReg {
        let wide = shape.bytes() == 8;
        match self.level {
            Level::Avx512 => {
                let op = if wide { Op::Vblendmpd } else { Op::Vblendmps };
                self.m.full(op, shape.size(), Mask::Plain(mask), &[b.into(), a.into()], 0)
            }
            Level::Avx2 => {
                let op = if wide { Op::Vblendvpd } else { Op::Vblendvps };
                self.m.op(op, shape.size(), &[b.into(), a.into(), mask.into()])
            }
        }
    }

    /// `mask ? a : 0`
    pub(super) fn keep(&mut self, shape: Shape, mask: &Group, a: &Group) -> Group {
        Group::from_fn(a.len(), |k| match self.level {
            Level::Avx512 => {
                let op = if shape.bytes() == 8 { Op::Vmovupd } else { Op::Vmovups };
                self.m.full(op, shape.size(), Mask::Zero(mask[k]), &[a[k].into()], 0)
            }
            Level::Avx2 => self.m.op(Op::Vpand, shape.size(), &[mask[k].into(), a[k].into()]),
        })
    }

    /// The same choice between masks.
    pub(super) fn select_mask(&mut self, op: &ir::Op) {
        let lanes = self.func.ty(op.results[0]).lanes();
        let form = self.natural_form(lanes);
        let [chosen, a, b] = [0, 1, 2].map(|k| op.args[k]);
        let chosen = if let Type::Mask(_) = self.func.ty(chosen) {
            self.mask_as(chosen, form)
        } else {
            self.splat_mask(chosen, lanes).1
        };
        let (a, b) = (self.mask_as(a, form), self.mask_as(b, form));
        // b ^ (chosen & (a ^ b))
        let differ = self.logic(&OpCode::Xor, form, lanes, &a, Some(&b));
        let flip = self.logic(&OpCode::And, form, lanes, &chosen, Some(&differ));
        let group = self.logic(&OpCode::Xor, form, lanes, &b, Some(&flip));
        self.bind_mask(op.results[0], form, &group);
    }

    /// Comparisons of masks: false is less than true.
    pub(super) fn compare_masks(&mut self, op: &ir::Op) {
        let lanes = self.func.ty(op.results[0]).lanes();
        let form = self.natural_form(lanes);
        let (a, b) = (self.mask_as(op.args[0], form), self.mask_as(op.args[1], form));
        let not = |s: &mut Self, x: &Group| s.logic(&OpCode::Not, form, lanes, x, None);
        let group = match op.code {
            OpCode::Ne => self.logic(&OpCode::Xor, form, lanes, &a, Some(&b)),
            OpCode::Eq => {
                let differ = self.logic(&OpCode::Xor, form, lanes, &a, Some(&b));
                not(self, &differ)
            }
            OpCode::Lt | OpCode::Ge => {
                let other = not(self, &a);
                let less = self.logic(&OpCode::And, form, lanes, &other, Some(&b));
                if op.code == OpCode::Lt { less } else { not(self, &less) }
            }
            _ => {
                let other = not(self, &b);
                let greater = self.logic(&OpCode::And, form, lanes, &other, Some(&a));
                if op.code == OpCode::Gt { greater } else { not(self, &greater) }
            }
        };
        self.bind_mask(op.results[0], form, &group);
    }
}

/// An integer type of so many bytes.
pub(super) fn mask_elem(bytes: u8) -> Scalar {
    if bytes == 8 { Scalar::I64 } else { Scalar::I32 }
}

fn kortest(lanes: u8) -> Op {
    match lanes {
        8 => Op::Kortestb,
        16 => Op::Kortestw,
        _ => Op::Kortestd,
    }
}
