//! Arrays: addresses, loads, stores, updates.
//!
//! In: an array and one index per dimension, in bounds; indices may be lanes. Out: consecutive, broadcast, gathering and scattering accesses, or lane by lane.
//! Holds: nothing outside the elements named is touched, by a masked access neither; lanes touch memory in ascending order where two of them may meet.
//!
//! The start of a row (the address that all indices but the last give) is computed where the row's indices are known, which is outside the loop over the last one;
//! a loop over another index moves it along by adding.

use super::code::{Addr, AddrBase, Cond, Const, G, Mask};
use super::func::Selector;
use super::lanes::Integer;
use super::mask::MaskForm;
use super::settle::Level;
use super::shape::{Group, Shape};
use super::table::{Op, Size};
use crate::backend::CompileError;
use crate::ir::{self, OpCode, Type};
use kiln_abi::ReduceOp;
use kiln_lang::types::{Generator, Layout, Scalar};
use regalloc2::VReg;

/// Pointers that a loop moves along at most: general registers are few.
const MOVING: usize = 4;

/// What was made when it was first needed, innermost region last.
#[derive(Default)]
pub(super) struct Known {
    /// Masks in other forms than their own.
    masks: Vec<(ir::Value, MaskForm, Group)>,
    /// Starts of rows.
    rows: Vec<(Row, VReg)>,
    /// Tables of round keys, and where in the frame.
    keys: Vec<(ir::Value, i32)>,
}

/// A row of an array: all indices but the last. Of a strided array, none is left out.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Row {
    array: ir::Value,
    indices: Vec<ir::Value>,
}

/// A place in the lists of [`Known`].
#[derive(Clone, Copy)]
pub(super) struct Mark {
    masks: usize,
    rows: usize,
    keys: usize,
}

impl Known {
    pub(super) fn mask(&self, value: ir::Value, form: MaskForm) -> Option<Group> {
        self.masks.iter().rev().find(|known| known.0 == value && known.1 == form).map(|known| known.2)
    }

    pub(super) fn add_mask(&mut self, value: ir::Value, form: MaskForm, group: Group) {
        self.masks.push((value, form, group));
    }

    pub(super) fn key(&self, key: ir::Value) -> Option<i32> {
        self.keys.iter().rev().find(|known| known.0 == key).map(|known| known.1)
    }

    pub(super) fn add_key(&mut self, key: ir::Value, start: i32) {
        self.keys.push((key, start));
    }

    fn row(&self, row: &Row) -> Option<VReg> {
        self.rows.iter().rev().find(|known| known.0 == *row).map(|known| known.1)
    }

    /// What is made from now on is forgotten by [`Known::restore`].
    pub(super) fn mark(&self) -> Mark {
        Mark { masks: self.masks.len(), rows: self.rows.len(), keys: self.keys.len() }
    }

    pub(super) fn restore(&mut self, mark: Mark) {
        self.masks.truncate(mark.masks);
        self.rows.truncate(mark.rows);
        self.keys.truncate(mark.keys);
    }

    pub(super) fn clear(&mut self) {
        *self = Known::default();
    }
}

/// A pointer that a loop moves along.
pub(super) struct Moving {
    row: Row,
    /// Where it begins, and how far it moves per ordinal, in bytes.
    pub(super) start: VReg,
    pub(super) stride: VReg,
}

/// Where the lanes of an access are.
enum Place {
    /// One behind the other.
    Consecutive(Addr),
    /// All at one element.
    Uniform(Addr),
    /// At a base plus so many elements (or bytes, if the shift is 0) each.
    Scattered { base: VReg, shift: u8, offsets: Group },
}

impl<'a> Selector<'a> {
    // Accesses

    pub(super) fn load(&mut self, op: &ir::Op, mask: Option<ir::Value>) -> Result<(), CompileError> {
        let func = self.func;
        let (array, result) = (op.args[0], op.results[0]);
        let indices = &op.args[if mask.is_some() { 2 } else { 1 }..];
        let elem = func.ty(array).scalar();
        let lanes = func.ty(result).lanes();
        if lanes == 0 {
            let addr = self.element(array, indices);
            let value = self.load_scalar(elem, addr);
            self.bind(result, &[value]);
            return Ok(());
        }
        if elem == Scalar::Bool {
            self.load_truths(op, mask, indices);
            return Ok(());
        }
        let shape = Shape::new(elem, lanes, self.level);
        let place = self.place(array, indices, shape);
        let group = match place {
            Place::Consecutive(addr) => self.load_consecutive(shape, addr, mask),
            Place::Uniform(addr) => match mask {
                None => {
                    let row = if shape.bytes() == 8 { Op::Vpbroadcastq } else { Op::Vpbroadcastd };
                    Group::repeat(self.m.op(row, shape.size(), &[addr.into()]), shape.pieces())
                }
                Some(_) => self.load_lane_by_lane(op, mask, indices, shape),
            },
            Place::Scattered { base, shift, offsets } => self.gather(shape, base, shift, &offsets, mask),
        };
        self.bind(result, &group);
        Ok(())
    }

    pub(super) fn store(&mut self, op: &ir::Op, mask: Option<ir::Value>) -> Result<(), CompileError> {
        let func = self.func;
        let (array, value) = (op.args[0], op.args[op.args.len() - 1]);
        let indices = &op.args[if mask.is_some() { 2 } else { 1 }..op.args.len() - 1];
        let elem = func.ty(array).scalar();
        let lanes = func.ty(value).lanes();
        if lanes == 0 {
            let addr = self.element(array, indices);
            let value = self.scalar(value);
            self.store_scalar(elem, addr, value);
            return Ok(());
        }
        if elem == Scalar::Bool {
            self.store_truths(op, mask, indices);
            return Ok(());
        }
        let shape = Shape::new(elem, lanes, self.level);
        let group = self.group(value);
        match self.place(array, indices, shape) {
            Place::Consecutive(addr) => self.store_consecutive(shape, addr, mask, &group),
            Place::Scattered { base, shift, offsets } if self.level == Level::Avx512 => {
                self.scatter(shape, base, shift, &offsets, mask, &group);
            }
            Place::Uniform(_) | Place::Scattered { .. } => {
                let mut operands = indices.to_vec();
                operands.push(value);
                self.per_lane(mask, lanes, &operands, None, |s, regs| {
                    let (value, indices) = regs.split_last()?;
                    let addr = s.element_at(array, indices);
                    s.store_scalar(elem, addr, *value);
                    None
                });
            }
        }
        Ok(())
    }

    /// `element = element op value`
    pub(super) fn update(
        &mut self,
        op: &ir::Op,
        reduce: ReduceOp,
        mask: Option<ir::Value>,
    ) -> Result<(), CompileError> {
        let (array, term) = (op.args[0], op.args[op.args.len() - 1]);
        let indices = &op.args[if mask.is_some() { 2 } else { 1 }..op.args.len() - 1];
        let elem = self.func.ty(array).scalar();
        let lanes = self.func.ty(term).lanes();
        if lanes == 0 {
            let addr = self.element(array, indices);
            let term = self.scalar(term);
            let old = self.load_scalar(elem, addr);
            let new = self.combine_scalars(reduce, elem, old, term);
            self.store_scalar(elem, addr, new);
            return Ok(());
        }
        let shape = Shape::new(elem, lanes, self.level);
        if elem != Scalar::Bool
            && let Place::Consecutive(addr) = self.place(array, indices, shape)
        {
            let term = self.group(term);
            let old = self.load_consecutive(shape, addr, mask);
            let new = self.combine_lanes(reduce, shape, &old, &term);
            self.store_consecutive(shape, addr, mask, &new);
            return Ok(());
        }
        let mut operands = indices.to_vec();
        operands.push(term);
        self.per_lane(mask, lanes, &operands, None, |s, regs| {
            let (term, indices) = regs.split_last()?;
            let addr = s.element_at(array, indices);
            let old = s.load_scalar(elem, addr);
            let new = s.combine_scalars(reduce, elem, old, *term);
            s.store_scalar(elem, addr, new);
            None
        });
        Ok(())
    }

    /// `element = fma(a, b, element)`
    pub(super) fn update_fma(&mut self, op: &ir::Op, mask: Option<ir::Value>) -> Result<(), CompileError> {
        let array = op.args[0];
        let (indices, factors) = op.args[if mask.is_some() { 2 } else { 1 }..]
            .split_at(op.args.len() - if mask.is_some() { 4 } else { 3 });
        let elem = self.func.ty(array).scalar();
        let lanes = self.func.ty(factors[0]).lanes();
        if lanes == 0 {
            let addr = self.element(array, indices);
            let (a, b) = (self.scalar(factors[0]), self.scalar(factors[1]));
            let old = self.load_scalar(elem, addr);
            let new = self.fma_scalar(elem, a, b, old);
            self.store_scalar(elem, addr, new);
            return Ok(());
        }
        let shape = Shape::new(elem, lanes, self.level);
        if let Place::Consecutive(addr) = self.place(array, indices, shape) {
            let (a, b) = (self.group(factors[0]), self.group(factors[1]));
            let old = self.load_consecutive(shape, addr, mask);
            let new = self.fma_group(Op::Vfmadd132pd, shape, &a, &b, &old);
            self.store_consecutive(shape, addr, mask, &new);
            return Ok(());
        }
        let mut operands = indices.to_vec();
        operands.extend_from_slice(factors);
        self.per_lane(mask, lanes, &operands, None, |s, regs| {
            let (indices, factors) = regs.split_at(regs.len() - 2);
            let addr = s.element_at(array, indices);
            let old = s.load_scalar(elem, addr);
            let new = s.fma_scalar(elem, factors[0], factors[1], old);
            s.store_scalar(elem, addr, new);
            None
        });
        Ok(())
    }

    // Consecutive elements

    fn load_consecutive(&mut self, shape: Shape, addr: Addr, mask: Option<ir::Value>) -> Group {
        let mask = mask.map(|mask| self.access_mask(mask, shape));
        self.load_pieces(shape, addr, mask.as_ref())
    }

    pub(super) fn load_pieces(&mut self, shape: Shape, addr: Addr, mask: Option<&Group>) -> Group {
        let (size, bytes) = (shape.size(), shape.piece_bytes());
        let wide = shape.bytes() == 8;
        Group::from_fn(shape.pieces(), |k| {
            let at = addr.plus((k * bytes) as i32);
            match (mask, self.level) {
                (None, _) => self.m.op(load_row(shape), size, &[at.into()]),
                (Some(mask), Level::Avx512) => {
                    let row = if wide { Op::Vmovupd } else { Op::Vmovups };
                    self.m.full(row, size, Mask::Zero(mask[k]), &[at.into()], 0)
                }
                (Some(mask), Level::Avx2) => {
                    let row = if wide { Op::Vmaskmovpd } else { Op::Vmaskmovps };
                    self.m.op(row, size, &[mask[k].into(), at.into()])
                }
            }
        })
    }

    fn store_consecutive(&mut self, shape: Shape, addr: Addr, mask: Option<ir::Value>, group: &Group) {
        let mask = mask.map(|mask| self.access_mask(mask, shape));
        self.store_pieces(shape, addr, mask.as_ref(), group);
    }

    pub(super) fn store_pieces(&mut self, shape: Shape, addr: Addr, mask: Option<&Group>, group: &Group) {
        let (size, bytes) = (shape.size(), shape.piece_bytes());
        let wide = shape.bytes() == 8;
        for (k, &piece) in group.iter().enumerate() {
            let at = addr.plus((k * bytes) as i32);
            match (mask, self.level) {
                (None, _) => {
                    self.m.op(store_row(shape), size, &[piece.into(), at.into()]);
                }
                (Some(mask), Level::Avx512) => {
                    let row = if wide { Op::VmovupdStore } else { Op::VmovupsStore };
                    self.m.full(row, size, Mask::Plain(mask[k]), &[piece.into(), at.into()], 0);
                }
                (Some(mask), Level::Avx2) => {
                    let row = if wide { Op::VmaskmovpdStore } else { Op::VmaskmovpsStore };
                    self.m.op(row, size, &[piece.into(), mask[k].into(), at.into()]);
                }
            }
        }
    }

    /// A mask for memory: in vectors, lanes that are only there because a register is larger are off.
    fn access_mask(&mut self, mask: ir::Value, shape: Shape) -> Group {
        let group = self.mask_for(mask, shape.bytes());
        if self.level == Level::Avx512 || shape.piece_bytes() >= 16 {
            return group;
        }
        let used = self.m.constant(Const::Vector([u64::MAX, 0, 0, 0, 0, 0, 0, 0]));
        self.each(&group, |s, mask| s.m.op(Op::Vpand, Size::X, &[mask.into(), used.into()]))
    }

    // Scattered elements

    fn gather(
        &mut self,
        shape: Shape,
        base: VReg,
        shift: u8,
        offsets: &Group,
        mask: Option<ir::Value>,
    ) -> Group {
        let long = shape.with(Scalar::I64);
        let wide = shape.bytes() == 8;
        let size = long.size();
        // As many masks as there are pieces of offsets.
        let masks = match (mask, self.level) {
            (Some(mask), Level::Avx512) => self.mask_for(mask, 8),
            (Some(mask), Level::Avx2) if wide => self.access_mask(mask, shape),
            (Some(mask), Level::Avx2) => {
                let group = self.access_mask(mask, shape);
                self.halves(&group, offsets.len())
            }
            (None, Level::Avx512) => Group::repeat(self.m.all_mask(), offsets.len()),
            (None, Level::Avx2) => {
                let ones = self.all_ones();
                let used = match shape.lanes {
                    2 if !wide => self.m.constant(Const::Vector([u64::MAX, 0, 0, 0, 0, 0, 0, 0])),
                    _ => ones,
                };
                Group::repeat(used, offsets.len())
            }
        };
        let zero = self.zero();
        let pieces = Group::from_fn(offsets.len(), |k| {
            let from = Addr { index: Some((offsets[k], shift)), ..Addr::at(base, 0) };
            match self.level {
                Level::Avx512 => {
                    let row = if wide { Op::Vgatherqpd } else { Op::Vgatherqps };
                    self.m.full(row, size, Mask::Plain(masks[k]), &[zero.into(), from.into()], 0)
                }
                Level::Avx2 => {
                    let row = if wide { Op::VgatherqpdV } else { Op::VgatherqpsV };
                    self.m.op(row, size, &[zero.into(), masks[k].into(), from.into()])
                }
            }
        });
        // 32-bit elements fill half a register per register of offsets.
        if wide { pieces } else { self.join_halves(&pieces) }
    }

    fn scatter(
        &mut self,
        shape: Shape,
        base: VReg,
        shift: u8,
        offsets: &Group,
        mask: Option<ir::Value>,
        group: &Group,
    ) {
        let wide = shape.bytes() == 8;
        let size = shape.with(Scalar::I64).size();
        let masks = match mask {
            Some(mask) => self.mask_for(mask, 8),
            None => Group::repeat(self.m.all_mask(), offsets.len()),
        };
        let values = if wide { *group } else { self.halves(group, offsets.len()) };
        let row = if wide { Op::Vscatterqpd } else { Op::Vscatterqps };
        for k in 0..offsets.len() {
            let to = Addr { index: Some((offsets[k], shift)), ..Addr::at(base, 0) };
            self.m.full(row, size, Mask::Plain(masks[k]), &[values[k].into(), to.into()], 0);
        }
    }

    fn load_lane_by_lane(
        &mut self,
        op: &ir::Op,
        mask: Option<ir::Value>,
        indices: &[ir::Value],
        shape: Shape,
    ) -> Group {
        let array = op.args[0];
        let loaded = self.per_lane(mask, shape.lanes, indices, Some(shape), |s, indices| {
            let addr = s.element_at(array, indices);
            Some(s.load_scalar(shape.elem, addr))
        });
        loaded.unwrap_or_else(|| self.splat_group(shape, 0))
    }

    /// Code per lane, in a loop over the lanes that are on: the operands' lanes come as scalars; what the body gives becomes the lane of the result, 0 where the mask
    /// is off.
    pub(super) fn per_lane(
        &mut self,
        mask: Option<ir::Value>,
        lanes: u8,
        operands: &[ir::Value],
        result: Option<Shape>,
        body: impl FnOnce(&mut Self, &[VReg]) -> Option<VReg>,
    ) -> Option<Group> {
        // Lanes go through the frame; what is the same in all lanes stays where it is.
        enum Source {
            Frame(i32, Shape),
            Bits(VReg),
            Same(VReg),
        }
        let sources: Vec<Source> = operands
            .iter()
            .map(|&value| match self.func.ty(value) {
                Type::Lanes(..) => match self.known_splat(value) {
                    Some(scalar) => Source::Same(self.scalar(scalar)),
                    None => {
                        let (shape, group) = (self.shape(value), self.group(value));
                        let start = self.m.take_frame((shape.pieces() * shape.piece_bytes()) as i32);
                        self.store_pieces(shape, Addr::frame(start), None, &group);
                        Source::Frame(start, shape)
                    }
                },
                Type::Mask(_) => Source::Bits(self.mask_bits(value)),
                Type::Scalar(_) | Type::Array { .. } => Source::Same(self.scalar(value)),
            })
            .collect();
        let out = result.map(|shape| {
            let start = self.m.take_frame((shape.pieces() * shape.piece_bytes()) as i32);
            if mask.is_some() {
                let zero = self.splat_group(shape, 0);
                self.store_pieces(shape, Addr::frame(start), None, &zero);
            }
            start
        });
        let bits = mask.map(|mask| self.mask_bits(mask));
        let first = self.m.imm64(0);
        self.m.enter_loop();
        let head = self.m.block(&[G]);
        self.m.jump(head, &[first]);
        self.m.begin(head);
        let lane = self.m.params(head)[0];
        let next = self.m.block(&[]);
        if let Some(bits) = bits {
            let on = self.m.block(&[]);
            let own = self.m.op(Op::Shrx, Size::D, &[lane.into(), bits.into()]);
            self.m.op_imm(Op::TestImm, Size::D, &[own.into()], 1);
            self.m.branch(Cond::NotEqual, (on, &[]), (next, &[]));
            self.m.begin(on);
        }
        let scalars: Vec<VReg> = sources
            .iter()
            .map(|source| match *source {
                Source::Frame(start, shape) => {
                    let shift = shape.bytes().trailing_zeros() as u8;
                    let addr = Addr { index: Some((lane, shift)), ..Addr::frame(start) };
                    self.load_scalar(shape.elem, addr)
                }
                Source::Bits(bits) => {
                    let own = self.m.op(Op::Shrx, Size::D, &[lane.into(), bits.into()]);
                    self.m.op_imm(Op::AndImm, Size::D, &[own.into()], 1)
                }
                Source::Same(reg) => reg,
            })
            .collect();
        let value = body(self, &scalars);
        if let (Some(value), Some(shape), Some(start)) = (value, result, out) {
            let shift = shape.bytes().trailing_zeros() as u8;
            let addr = Addr { index: Some((lane, shift)), ..Addr::frame(start) };
            self.store_scalar(shape.elem, addr, value);
        }
        self.m.jump(next, &[]);
        self.m.begin(next);
        let following = self.m.op_imm(Op::AddImm, Size::Q, &[lane.into()], 1);
        self.m.op_imm(Op::CmpImm, Size::Q, &[following.into()], i32::from(lanes));
        let done = self.m.block(&[]);
        self.m.branch(Cond::Less, (head, &[following]), (done, &[]));
        self.m.leave_loop();
        self.m.begin(done);
        let (shape, start) = (result?, out?);
        Some(self.load_pieces(shape, Addr::frame(start), None))
    }

    // Truth values: one byte each

    fn load_truths(&mut self, op: &ir::Op, mask: Option<ir::Value>, indices: &[ir::Value]) {
        let (array, result) = (op.args[0], op.results[0]);
        let lanes = self.func.ty(result).lanes();
        let consecutive = self.consecutive(array, indices);
        let (form, group) = match (consecutive, self.level) {
            (Some(addr), Level::Avx512) => {
                let whole = MaskForm::Bits(lanes);
                let on = match mask {
                    Some(mask) => self.mask_as(mask, whole)[0],
                    None => {
                        let ones = self.m.op_imm(Op::MovImm, Size::D, &[], lane_bits(lanes));
                        self.m.op(Op::KmovdFromG, Size::X, &[ones.into()])
                    }
                };
                let size = if lanes == 32 { Size::Y } else { Size::X };
                let bytes = self.m.full(Op::Vmovdqu8, size, Mask::Zero(on), &[addr.into()], 0);
                let bits = self.m.op(Op::Vptestmb, size, &[bytes.into(), bytes.into()]);
                (whole, Group::one(bits))
            }
            (Some(addr), Level::Avx2) if mask.is_none() => {
                let bits = self.pack_truths(addr, lanes);
                self.mask_from_bits(bits, lanes)
            }
            _ => {
                // Lane by lane, as numbers.
                let shape = Shape::new(Scalar::I32, lanes, self.level);
                let loaded = self.per_lane(mask, lanes, indices, Some(shape), |s, indices| {
                    let addr = s.element_at(array, indices);
                    Some(s.load_scalar(Scalar::Bool, addr))
                });
                let numbers = loaded.unwrap_or_else(|| self.splat_group(shape, 0));
                let zeros = self.splat_group(shape, 0);
                let group = self.compare(&OpCode::Ne, shape, &numbers, &zeros);
                (self.form_for(lanes, 4), group)
            }
        };
        self.bind_mask(result, form, &group);
    }

    /// Bytes that are 0 or 1 as bits.
    fn pack_truths(&mut self, addr: Addr, lanes: u8) -> VReg {
        let lowest = |s: &mut Self| s.m.imm64(0x0101_0101_0101_0101);
        let mut all: Option<VReg> = None;
        for start in (0..lanes).step_by(8) {
            let at = addr.plus(i32::from(start));
            let bits = match lanes {
                2 => {
                    let (a, b) =
                        (self.load_scalar(Scalar::Bool, at), self.load_scalar(Scalar::Bool, at.plus(1)));
                    let b = self.m.op_imm(Op::ShlImm, Size::D, &[b.into()], 1);
                    self.m.op(Op::Or, Size::D, &[a.into(), b.into()])
                }
                _ => {
                    let size = if lanes == 4 { Size::D } else { Size::Q };
                    let bytes = self.m.op(Op::Mov, size, &[at.into()]);
                    let mask = lowest(self);
                    self.m.op(Op::Pext, Size::Q, &[bytes.into(), mask.into()])
                }
            };
            all = Some(match all {
                None => bits,
                Some(all) => {
                    let raised = self.m.op_imm(Op::ShlImm, Size::D, &[bits.into()], i32::from(start));
                    self.m.op(Op::Or, Size::D, &[all.into(), raised.into()])
                }
            });
        }
        all.unwrap_or_else(|| self.m.imm64(0))
    }

    fn store_truths(&mut self, op: &ir::Op, mask: Option<ir::Value>, indices: &[ir::Value]) {
        let (array, value) = (op.args[0], op.args[op.args.len() - 1]);
        let lanes = self.func.ty(value).lanes();
        let consecutive = self.consecutive(array, indices);
        match (consecutive, self.level) {
            (Some(addr), Level::Avx512) => {
                let whole = MaskForm::Bits(lanes);
                let truths = self.mask_as(value, whole)[0];
                let on = match mask {
                    Some(mask) => self.mask_as(mask, whole)[0],
                    None => {
                        let ones = self.m.op_imm(Op::MovImm, Size::D, &[], lane_bits(lanes));
                        self.m.op(Op::KmovdFromG, Size::X, &[ones.into()])
                    }
                };
                let size = if lanes == 32 { Size::Y } else { Size::X };
                let one = self.m.constant(Const::Splat { bits: 0x0101_0101_0101_0101, bytes: 8 });
                let bytes = self.m.full(Op::Vmovdqu8, size, Mask::Zero(truths), &[one.into()], 0);
                self.m.full(Op::Vmovdqu8Store, size, Mask::Plain(on), &[bytes.into(), addr.into()], 0);
            }
            (Some(addr), Level::Avx2) if mask.is_none() => {
                let bits = self.mask_bits(value);
                for start in (0..lanes).step_by(8) {
                    let part = match start {
                        0 => bits,
                        start => self.m.op_imm(Op::ShrImm, Size::D, &[bits.into()], i32::from(start)),
                    };
                    let places = self.m.imm64(0x0101_0101_0101_0101);
                    let bytes = self.m.op(Op::Pdep, Size::Q, &[part.into(), places.into()]);
                    let at = addr.plus(i32::from(start));
                    match lanes {
                        2 => {
                            let second = self.m.op_imm(Op::ShrImm, Size::Q, &[bytes.into()], 8);
                            self.store_scalar(Scalar::Bool, at, bytes);
                            self.store_scalar(Scalar::Bool, at.plus(1), second);
                        }
                        4 => self.store_scalar(Scalar::I32, at, bytes),
                        _ => self.store_scalar(Scalar::I64, at, bytes),
                    }
                }
            }
            _ => {
                let mut operands = indices.to_vec();
                operands.push(value);
                self.per_lane(mask, lanes, &operands, None, |s, regs| {
                    let (value, indices) = regs.split_last()?;
                    let addr = s.element_at(array, indices);
                    s.store_scalar(Scalar::Bool, addr, *value);
                    None
                });
            }
        }
    }

    // Addresses

    /// What the lanes of an access have to do with each other.
    fn place(&mut self, array: ir::Value, indices: &[ir::Value], shape: Shape) -> Place {
        if let Some(addr) = self.consecutive(array, indices) {
            return Place::Consecutive(addr);
        }
        let uniform: Option<Vec<ir::Value>> = indices.iter().map(|&index| self.uniform(index)).collect();
        if let Some(indices) = uniform {
            return Place::Uniform(self.element(array, &indices));
        }
        self.scattered(array, indices, shape)
    }

    /// The scalar that an index is in all lanes.
    fn uniform(&self, index: ir::Value) -> Option<ir::Value> {
        match self.func.ty(index) {
            Type::Scalar(_) => Some(index),
            _ => self.known_splat(index),
        }
    }

    /// The address of lane 0, if the lanes follow each other.
    fn consecutive(&mut self, array: ir::Value, indices: &[ir::Value]) -> Option<Addr> {
        let func = self.func;
        let (&last, outer) = indices.split_last()?;
        let is_contiguous = matches!(func.ty(array), Type::Array { layout: Layout::Contiguous, .. });
        let first = func.op(func.def_op(last)?);
        if !is_contiguous || first.code != OpCode::Iota {
            return None;
        }
        let mut uniform: Vec<ir::Value> =
            outer.iter().map(|&index| self.uniform(index)).collect::<Option<_>>()?;
        uniform.push(first.args[0]);
        Some(self.element(array, &uniform))
    }

    /// Offsets per lane. Of a contiguous array they count elements, of a strided one bytes.
    fn scattered(&mut self, array: ir::Value, indices: &[ir::Value], shape: Shape) -> Place {
        let func = self.func;
        let Type::Array { elem, rank, layout } = func.ty(array) else {
            unreachable!("verified: only arrays are indexed")
        };
        let rank = usize::from(rank);
        let regs = self.regs(array).to_vec();
        let strides: Vec<Option<VReg>> = match layout {
            Layout::Strided => regs[1 + rank..].iter().map(|&stride| Some(stride)).collect(),
            Layout::Contiguous => {
                // Elements per step: the product of the sizes behind.
                let mut strides: Vec<Option<VReg>> = vec![None; rank];
                for axis in (0..rank - 1).rev() {
                    let size = regs[2 + axis];
                    strides[axis] = Some(match strides[axis + 1] {
                        None => size,
                        Some(inner) => self.m.op(Op::Imul, Size::Q, &[inner.into(), size.into()]),
                    });
                }
                strides
            }
        };
        let shift = if layout == Layout::Contiguous { elem_shift(elem) } else { 0 };
        let long = shape.with(Scalar::I64);
        let mut base = regs[0];
        let mut lanes: Option<Group> = None;
        for (&index, &stride) in indices.iter().zip(&strides) {
            let (uniform, varying) = match func.def_op(index).map(|op| func.op(op)) {
                _ if func.ty(index).lanes() == 0 => (Some(index), None),
                Some(op) if op.code == OpCode::Splat => (Some(op.args[0]), None),
                Some(op) if op.code == OpCode::Iota => (Some(op.args[0]), Some(self.lane_numbers(long))),
                _ => (None, Some(self.group(index))),
            };
            if let Some(uniform) = uniform {
                let index = self.scalar(uniform);
                let scaled = match stride {
                    None => index,
                    Some(stride) => self.m.op(Op::Imul, Size::Q, &[index.into(), stride.into()]),
                };
                let address = Addr { index: Some((scaled, shift)), ..Addr::at(base, 0) };
                base = self.m.op(Op::Lea, Size::Q, &[address.into()]);
            }
            if let Some(varying) = varying {
                let scaled = match stride {
                    None => varying,
                    Some(stride) => {
                        let stride = Group::repeat(self.broadcast(stride, long), varying.len());
                        self.integer(Integer::Mul, long, &varying, &stride)
                    }
                };
                lanes = Some(match lanes {
                    None => scaled,
                    Some(lanes) => self.integer(Integer::Add, long, &lanes, &scaled),
                });
            }
        }
        let offsets = lanes.unwrap_or_else(|| self.splat_group(long, 0));
        Place::Scattered { base, shift, offsets }
    }

    /// The address of an element.
    pub(super) fn element(&mut self, array: ir::Value, indices: &[ir::Value]) -> Addr {
        let Type::Array { elem, layout, .. } = self.func.ty(array) else {
            unreachable!("verified: only arrays are indexed")
        };
        if layout == Layout::Strided {
            return Addr::at(self.row_start(array, indices), 0);
        }
        let (&last, outer) = indices.split_last().expect("an array has a dimension");
        let start = self.row_start(array, outer);
        let (index, disp) = self.index_and_offset(last, elem);
        let index = index.map(|index| (self.scalar(index), elem_shift(elem)));
        Addr { index, ..Addr::at(start, disp) }
    }

    /// The same for indices in registers.
    fn element_at(&mut self, array: ir::Value, indices: &[VReg]) -> Addr {
        let Type::Array { elem, rank, layout } = self.func.ty(array) else {
            unreachable!("verified: only arrays are indexed")
        };
        let rank = usize::from(rank);
        let regs = self.regs(array).to_vec();
        if layout == Layout::Strided {
            let mut address = regs[0];
            for (&index, &stride) in indices.iter().zip(&regs[1 + rank..]) {
                let distance = self.m.op(Op::Imul, Size::Q, &[index.into(), stride.into()]);
                address = self.m.op(Op::Add, Size::Q, &[address.into(), distance.into()]);
            }
            return Addr::at(address, 0);
        }
        let mut place = indices[0];
        for (&index, &size) in indices[1..].iter().zip(&regs[2..]) {
            place = self.m.op(Op::Imul, Size::Q, &[place.into(), size.into()]);
            place = self.m.op(Op::Add, Size::Q, &[place.into(), index.into()]);
        }
        Addr { index: Some((place, elem_shift(elem))), ..Addr::at(regs[0], 0) }
    }

    /// The start of a row.
    fn row_start(&mut self, array: ir::Value, indices: &[ir::Value]) -> VReg {
        let pointer = self.regs(array)[0];
        if indices.is_empty() {
            return pointer;
        }
        let row = Row { array, indices: indices.to_vec() };
        if let Some(known) = self.known.row(&row) {
            return known;
        }
        let indices: Vec<VReg> = indices.iter().map(|&index| self.scalar(index)).collect();
        let start = self.row_at(array, &indices);
        self.known.rows.push((row, start));
        start
    }

    fn row_at(&mut self, array: ir::Value, indices: &[VReg]) -> VReg {
        let Type::Array { elem, rank, layout } = self.func.ty(array) else {
            unreachable!("verified: only arrays are indexed")
        };
        let rank = usize::from(rank);
        if layout == Layout::Strided {
            let addr = self.element_at(array, indices);
            return match addr.base {
                AddrBase::Reg(reg) => reg,
                AddrBase::Frame => unreachable!("arrays do not lie in frames"),
            };
        }
        let regs = self.regs(array).to_vec();
        let mut place = indices[0];
        for (&index, &size) in indices[1..].iter().zip(&regs[2..]) {
            place = self.m.op(Op::Imul, Size::Q, &[place.into(), size.into()]);
            place = self.m.op(Op::Add, Size::Q, &[place.into(), index.into()]);
        }
        let place = self.m.op(Op::Imul, Size::Q, &[place.into(), regs[rank].into()]);
        let addr = Addr { index: Some((place, elem_shift(elem))), ..Addr::at(regs[0], 0) };
        self.m.op(Op::Lea, Size::Q, &[addr.into()])
    }

    /// `i + c` as `i` and the bytes of `c`: neighbours of an element share one address register. Addresses wrap as integers do.
    fn index_and_offset(&mut self, index: ir::Value, elem: Scalar) -> (Option<ir::Value>, i32) {
        let func = self.func;
        let (mut rest, mut constant) = (index, 0i64);
        for _ in 0..4 {
            if let Some(known) = self.known_int(rest) {
                let total = constant.wrapping_add(known);
                return match byte_offset(total, elem) {
                    Some(offset) => (None, offset),
                    None => (Some(index), 0),
                };
            }
            let Some(op) = func.def_op(rest).map(|op| func.op(op)) else { break };
            (rest, constant) = match &op.code {
                OpCode::Add => match (self.known_int(op.args[0]), self.known_int(op.args[1])) {
                    (_, Some(c)) => (op.args[0], constant.wrapping_add(c)),
                    (Some(c), None) => (op.args[1], constant.wrapping_add(c)),
                    (None, None) => break,
                },
                OpCode::Sub => match self.known_int(op.args[1]) {
                    Some(c) => (op.args[0], constant.wrapping_sub(c)),
                    None => break,
                },
                _ => break,
            };
        }
        match byte_offset(constant, elem) {
            Some(offset) => (Some(rest), offset),
            None => (Some(index), 0),
        }
    }

    /// Strides in bytes of a contiguous array of these sizes.
    pub(super) fn contiguous_strides(&mut self, elem: Scalar, sizes: &[VReg]) -> Vec<VReg> {
        let mut stride = self.m.imm64(i64::from(elem.bits() / 8));
        let mut strides = vec![stride];
        for &size in sizes[1..].iter().rev() {
            stride = self.m.op(Op::Imul, Size::Q, &[stride.into(), size.into()]);
            strides.push(stride);
        }
        strides.reverse();
        strides
    }

    // What leaves a loop

    /// Before a loop: computes what its body needs and what does not change in it. `index` is the loop's own; pointers that it moves along are given back.
    pub(super) fn prepare_loop(&mut self, body: ir::RegionId, index: Option<ir::Value>) -> Vec<Moving> {
        let mut moving = Vec::new();
        self.prepare_region(body, index, &mut moving);
        moving
    }

    fn prepare_region(&mut self, region: ir::RegionId, index: Option<ir::Value>, moving: &mut Vec<Moving>) {
        let func = self.func;
        for &id in &func.region(region).ops {
            let op = func.op(id);
            self.m.from = id.0;
            let indices = match op.code {
                OpCode::Load | OpCode::Update(_) | OpCode::UpdateFma | OpCode::Store => {
                    let values = match op.code {
                        OpCode::Load => 0,
                        OpCode::UpdateFma => 2,
                        _ => 1,
                    };
                    &op.args[1..op.args.len() - values]
                }
                OpCode::LoadMasked => &op.args[2..],
                OpCode::StoreMasked => &op.args[2..op.args.len() - 1],
                OpCode::Draw { generator: Generator::Philox, .. } => {
                    let key = self.known_splat(op.args[0]).filter(|&key| func.as_const(key).is_none());
                    if let Some(key) = key.filter(|&key| self.bound(key).is_some()) {
                        self.key_table(key);
                    }
                    continue;
                }
                _ => {
                    for &inner in &op.regions {
                        self.prepare_region(inner, index, moving);
                    }
                    continue;
                }
            };
            self.prepare_row(op.args[0], indices, index, moving);
        }
    }

    fn prepare_row(
        &mut self,
        array: ir::Value,
        indices: &[ir::Value],
        index: Option<ir::Value>,
        moving: &mut Vec<Moving>,
    ) {
        let Type::Array { layout, .. } = self.func.ty(array) else { return };
        let count = if layout == Layout::Contiguous { indices.len() - 1 } else { indices.len() };
        let outer: Option<Vec<ir::Value>> =
            indices[..count].iter().map(|&index| self.uniform(index)).collect();
        let Some(outer) = outer.filter(|outer| !outer.is_empty()) else { return };
        if self.bound(array).is_none() {
            return;
        }
        let row = Row { array, indices: outer };
        if self.known.row(&row).is_some() || moving.iter().any(|known| known.row == row) {
            return;
        }
        let is_here =
            |s: &Self, value: ir::Value| s.bound(value).is_some() || s.func.as_const(value).is_some();
        if row.indices.iter().all(|&value| is_here(self, value)) {
            self.row_start(array, &row.indices);
            return;
        }
        // One index follows the loop's: index, or index + something known here.
        let Some(index) = index else { return };
        if moving.len() >= MOVING {
            return;
        }
        let mut axis = None;
        let mut start = Vec::new();
        for (k, &value) in row.indices.iter().enumerate() {
            let at_start = if is_here(self, value) {
                self.scalar(value)
            } else if axis.is_none()
                && let Some(at_start) = self.at_first_ordinal(value, index)
            {
                axis = Some(k);
                at_start
            } else {
                return;
            };
            start.push(at_start);
        }
        let Some(axis) = axis else { return };
        let start = self.row_at(array, &start);
        let stride = self.stride(array, axis);
        moving.push(Moving { row, start, stride });
    }

    /// The value at ordinal 0 of something that grows with a loop's index one by one.
    fn at_first_ordinal(&mut self, value: ir::Value, index: ir::Value) -> Option<VReg> {
        if value == index {
            return Some(self.m.imm64(0));
        }
        let func = self.func;
        let op = func.op(func.def_op(value)?);
        let is_here = |s: &Self, value: ir::Value| s.bound(value).is_some() || func.as_const(value).is_some();
        let (rest, other) = match op.code {
            OpCode::Add if is_here(self, op.args[1]) => (op.args[0], op.args[1]),
            OpCode::Add if is_here(self, op.args[0]) => (op.args[1], op.args[0]),
            OpCode::Sub if is_here(self, op.args[1]) => (op.args[0], op.args[1]),
            _ => return None,
        };
        let rest = self.at_first_ordinal(rest, index)?;
        let other = self.scalar(other);
        let row = if op.code == OpCode::Add { Op::Add } else { Op::Sub };
        Some(self.m.op(row, Size::Q, &[rest.into(), other.into()]))
    }

    /// Bytes from one index of an axis to the next.
    fn stride(&mut self, array: ir::Value, axis: usize) -> VReg {
        let Type::Array { elem, rank, layout } = self.func.ty(array) else {
            unreachable!("verified: only arrays are indexed")
        };
        let rank = usize::from(rank);
        let regs = self.regs(array).to_vec();
        if layout == Layout::Strided {
            return regs[1 + rank + axis];
        }
        let mut stride = regs[2 + axis];
        for &size in &regs[3 + axis..=rank] {
            stride = self.m.op(Op::Imul, Size::Q, &[stride.into(), size.into()]);
        }
        match elem_shift(elem) {
            0 => stride,
            shift => self.m.op_imm(Op::ShlImm, Size::Q, &[stride.into()], i32::from(shift)),
        }
    }

    /// In the body of a loop: the pointers that it moves along are the starts of their rows.
    pub(super) fn know_moving(&mut self, moving: &[Moving], pointers: &[VReg]) {
        for (moving, &pointer) in moving.iter().zip(pointers) {
            self.known.rows.push((moving.row.clone(), pointer));
        }
    }
}

fn load_row(shape: Shape) -> Op {
    match (shape.piece_bytes(), shape.bytes()) {
        (8, _) => Op::VmovsdLoad,
        (_, 8) => Op::Vmovupd,
        (_, _) => Op::Vmovups,
    }
}

fn store_row(shape: Shape) -> Op {
    match (shape.piece_bytes(), shape.bytes()) {
        (8, _) => Op::VmovsdStore,
        (_, 8) => Op::VmovupdStore,
        (_, _) => Op::VmovupsStore,
    }
}

/// The low `lanes` bits.
fn lane_bits(lanes: u8) -> i32 {
    if lanes == 32 { -1 } else { (1 << lanes) - 1 }
}

/// The power of two of an element's bytes.
fn elem_shift(elem: Scalar) -> u8 {
    (elem.bits() / 8).trailing_zeros() as u8
}

fn byte_offset(elements: i64, elem: Scalar) -> Option<i32> {
    i32::try_from(elements.checked_mul(i64::from(elem.bits() / 8))?).ok()
}
