//! Loads, stores and updates in lanes.
//!
//! In: an array, indices that are the same in all lanes, consecutive, or anything, and a mask for some. Out: whole registers where lanes lie side by side in
//! memory, else one element after another, lanes ascending. Holds: a lane that is off touches no element: its address is chosen to be a slot of the
//! function's own frame, so that a masked access needs no branch.

use super::{Group, Index, lane_bytes, mask_type, registers, vector_type};
use crate::backend::cranelift::func::{Emitter, Purpose, clif_type};
use crate::backend::cranelift::memory::elem_bytes;
use crate::ir::{self, OpCode};
use cranelift_codegen::ir::{self as clif, InstBuilder, MemFlagsData, types};
use kiln_abi::ReduceOp;
use kiln_lang::types::{Layout, Scalar};

/// Where the elements of an access are.
enum Place {
    /// All lanes the same one.
    One(clif::Value, i32),
    /// Side by side from here on.
    Row(clif::Value, i32),
    /// An address per lane.
    Each(Vec<(clif::Value, i32)>),
}

impl Emitter<'_> {
    pub(super) fn lanes_load(&mut self, op: &ir::Op) {
        let (array, result) = (op.args[0], op.results[0]);
        let lanes = self.func.ty(result).lanes();
        let elem = self.func.ty(array).scalar();
        let flags = self.element_flags(array);
        match self.place(array, &op.args[1..], lanes) {
            Place::One(base, offset) => {
                let value = self.b.ins().load(clif_type(elem), flags, base, offset);
                let register = self.splat_element(elem, value, result);
                let group = vec![register; self.comp_count(result)];
                self.bind(result, &group);
            }
            Place::Row(base, offset) => {
                let group = match elem {
                    Scalar::Bool => self.load_truths(base, offset, flags, result),
                    _ => self.load_row(elem, base, offset, flags, lanes),
                };
                self.bind(result, &group);
            }
            Place::Each(places) => self.load_each(elem, &places, flags, result),
        }
    }

    pub(super) fn lanes_load_masked(&mut self, op: &ir::Op) {
        let (array, mask, result) = (op.args[0], op.args[1], op.results[0]);
        let lanes = self.func.ty(result).lanes();
        let elem = self.func.ty(array).scalar();
        let places = self.places(array, &op.args[2..], lanes);
        // Lanes that are off load a zero.
        let area = self.take(1);
        let frame = self.flags(Purpose::Frame);
        let elsewhere = self.address(area);
        let zero = self.iconst(types::I64, 0);
        self.b.ins().store(frame, zero, elsewhere, 0);
        let places = self.masked_places(mask, places, elsewhere);
        self.load_each(elem, &places, MemFlagsData::new().with_notrap(), result);
        self.give_back(area);
    }

    pub(super) fn lanes_store(&mut self, op: &ir::Op) {
        let (array, value) = (op.args[0], op.args[op.args.len() - 1]);
        let lanes = self.func.ty(value).lanes();
        let elem = self.func.ty(array).scalar();
        let indices = &op.args[1..op.args.len() - 1];
        let flags = self.element_flags(array);
        match self.place(array, indices, lanes) {
            // The last lane's is what stays.
            Place::One(base, offset) => {
                let lanes = self.elements_of(value);
                self.b.ins().store(flags, lanes[lanes.len() - 1], base, offset);
            }
            Place::Row(base, offset) if elem == Scalar::Bool => {
                self.store_truths(value, base, offset, flags);
            }
            Place::Row(base, offset) => {
                let group = self.group(value);
                self.store_row(&group, elem, base, offset, flags, lanes);
            }
            Place::Each(places) => {
                let lanes = self.elements_of(value);
                for (lane, (base, offset)) in lanes.into_iter().zip(places) {
                    self.b.ins().store(flags, lane, base, offset);
                }
            }
        }
    }

    pub(super) fn lanes_store_masked(&mut self, op: &ir::Op) {
        let (array, mask, value) = (op.args[0], op.args[1], op.args[op.args.len() - 1]);
        let lanes = self.func.ty(value).lanes();
        let places = self.places(array, &op.args[2..op.args.len() - 1], lanes);
        let area = self.take(1);
        let elsewhere = self.address(area);
        let places = self.masked_places(mask, places, elsewhere);
        let values = self.elements_of(value);
        for (lane, (base, offset)) in values.into_iter().zip(places) {
            self.b.ins().store(MemFlagsData::new().with_notrap(), lane, base, offset);
        }
        self.give_back(area);
    }

    /// `element = element op value`, or `fma(a, b, element)` without an operator.
    pub(super) fn lanes_update(&mut self, op: &ir::Op, reduce: Option<ReduceOp>) {
        let array = op.args[0];
        let factors = if reduce.is_none() { 2 } else { 1 };
        let (indices, terms) = op.args[1..].split_at(op.args.len() - 1 - factors);
        let (a, b) = (terms[0], terms[terms.len() - 1]);
        let elem = self.func.ty(array).scalar();
        let lanes = self.func.ty(a).lanes();
        let flags = self.element_flags(array);
        if elem != Scalar::Bool
            && let Place::Row(base, offset) = self.place(array, indices, lanes)
        {
            let old = self.load_row(elem, base, offset, flags, lanes);
            let (a, b) = (self.group(a), self.group(b));
            let new = match reduce {
                Some(reduce) => self.lanes_combine(reduce, elem, &old, &a),
                None => self.lanes_fma(elem, &a, &b, &old, lanes),
            };
            return self.store_row(&new, elem, base, offset, flags, lanes);
        }
        let places = self.places(array, indices, lanes);
        self.update_each(elem, &places, flags, reduce, [a, b]);
    }

    /// The same, with a mask before the indices: lanes that are off update a place in the frame that nobody reads.
    pub(super) fn lanes_update_masked(&mut self, op: &ir::Op, reduce: Option<ReduceOp>) {
        let (array, mask) = (op.args[0], op.args[1]);
        let factors = if matches!(op.code, OpCode::UpdateFmaMasked) { 2 } else { 1 };
        let (indices, terms) = op.args[2..].split_at(op.args.len() - 2 - factors);
        let elem = self.func.ty(array).scalar();
        let lanes = self.func.ty(mask).lanes();
        let places = self.places(array, indices, lanes);
        let area = self.take(1);
        let elsewhere = self.address(area);
        let zero = self.b.ins().iconst(types::I64, 0);
        let flags = MemFlagsData::new().with_notrap();
        self.b.ins().store(flags, zero, elsewhere, 0);
        let places = self.masked_places(mask, places, elsewhere);
        self.update_each(elem, &places, flags, reduce, [terms[0], terms[terms.len() - 1]]);
        self.give_back(area);
    }

    /// Updates elements that may coincide: one lane after another.
    fn update_each(
        &mut self,
        elem: Scalar,
        places: &[(clif::Value, i32)],
        flags: MemFlagsData,
        reduce: Option<ReduceOp>,
        terms: [ir::Value; 2],
    ) {
        let [a, b] = terms.map(|term| self.elements_of(term));
        for (lane, &(base, offset)) in places.iter().enumerate() {
            let old = self.b.ins().load(clif_type(elem), flags, base, offset);
            let new = match reduce {
                Some(reduce) => self.combine(reduce, elem, old, a[lane]),
                None => self.fma(elem, a[lane], b[lane], old),
            };
            self.b.ins().store(flags, new, base, offset);
        }
    }

    // Addresses

    fn index(&self, index: ir::Value) -> Index {
        let func = self.func;
        match func.ty(index) {
            ir::Type::Scalar(_) => Index::Uniform(index),
            _ => match func.def_op(index).map(|op| func.op(op)) {
                Some(op) if matches!(op.code, OpCode::Splat) => Index::Uniform(op.args[0]),
                Some(op) if matches!(op.code, OpCode::Iota) => Index::Consecutive(op.args[0]),
                _ => Index::Varying(index),
            },
        }
    }

    fn place(&mut self, array: ir::Value, indices: &[ir::Value], lanes: u8) -> Place {
        let ir::Type::Array { layout, .. } = self.func.ty(array) else {
            unreachable!("verified: only arrays are indexed")
        };
        let kinds: Vec<Index> = indices.iter().map(|&index| self.index(index)).collect();
        let bases: Vec<ir::Value> = kinds
            .iter()
            .map(|kind| match *kind {
                Index::Uniform(base) | Index::Consecutive(base) | Index::Varying(base) => base,
            })
            .collect();
        let (last, outer) = kinds.split_last().expect("an array has a dimension");
        let is_uniform = |kind: &Index| matches!(kind, Index::Uniform(_));
        if kinds.iter().all(is_uniform) {
            let (base, offset) = self.element(array, &bases);
            return Place::One(base, offset);
        }
        let in_row = outer.iter().all(is_uniform) && matches!(last, Index::Consecutive(_));
        if in_row && layout == Layout::Contiguous {
            let (base, offset) = self.element(array, &bases);
            return Place::Row(base, offset);
        }
        Place::Each(self.scattered(array, &kinds, &bases, lanes))
    }

    /// An address per lane, however the indices are.
    fn places(&mut self, array: ir::Value, indices: &[ir::Value], lanes: u8) -> Vec<(clif::Value, i32)> {
        let size = elem_bytes(self.func.ty(array).scalar()) as i32;
        match self.place(array, indices, lanes) {
            Place::One(base, offset) => vec![(base, offset); usize::from(lanes)],
            Place::Row(base, offset) => {
                (0..i32::from(lanes)).map(|lane| self.moved(base, offset, lane * size)).collect()
            }
            Place::Each(places) => places,
        }
    }

    /// `offset + by`, in the address where it does not fit beside it.
    fn moved(&mut self, base: clif::Value, offset: i32, by: i32) -> (clif::Value, i32) {
        match offset.checked_add(by) {
            Some(offset) => (base, offset),
            None => (self.b.ins().iadd_imm_s(base, i64::from(by)), offset),
        }
    }

    /// Addresses of elements with at least one index that varies or a row that is not contiguous.
    fn scattered(
        &mut self,
        array: ir::Value,
        kinds: &[Index],
        bases: &[ir::Value],
        lanes: u8,
    ) -> Vec<(clif::Value, i32)> {
        let ir::Type::Array { elem, rank, layout } = self.func.ty(array) else {
            unreachable!("verified: only arrays are indexed")
        };
        let rank = usize::from(rank);
        let comps = self.comps(array).to_vec();
        let strides = match layout {
            Layout::Contiguous => self.contiguous_strides(elem, &comps[1..]),
            Layout::Strided => comps[1 + rank..].to_vec(),
        };
        // What does not vary comes first, then the way from lane to lane, then what varies.
        let mut address = comps[0];
        let mut step: Option<clif::Value> = None;
        let mut varying = Vec::new();
        for ((&kind, &base), (axis, &stride)) in kinds.iter().zip(bases).zip(strides.iter().enumerate()) {
            let is_inner = axis + 1 == rank && layout == Layout::Contiguous;
            if let Index::Varying(_) = kind {
                let group = self.group(base);
                varying.push((self.split(&group, lanes), stride, is_inner));
                continue;
            }
            let index = self.scalar(base);
            let distance = self.distance(index, stride, is_inner, elem);
            address = self.b.ins().iadd(address, distance);
            if let Index::Consecutive(_) = kind {
                step = Some(match step {
                    Some(step) => self.b.ins().iadd(step, stride),
                    None => stride,
                });
            }
        }
        let mut places = Vec::with_capacity(usize::from(lanes));
        for lane in 0..usize::from(lanes) {
            let mut at = address;
            for (indices, stride, is_inner) in &varying {
                let distance = self.distance(indices[lane], *stride, *is_inner, elem);
                at = self.b.ins().iadd(at, distance);
            }
            places.push((at, 0));
            if let Some(step) = step {
                address = self.b.ins().iadd(address, step);
            }
        }
        places
    }

    /// `index` elements in bytes.
    fn distance(
        &mut self,
        index: clif::Value,
        stride: clif::Value,
        is_inner: bool,
        elem: Scalar,
    ) -> clif::Value {
        if is_inner { self.scale(index, elem) } else { self.b.ins().imul(index, stride) }
    }

    /// The addresses where the mask is on, `elsewhere` in the other lanes.
    fn masked_places(
        &mut self,
        mask: ir::Value,
        places: Vec<(clif::Value, i32)>,
        elsewhere: clif::Value,
    ) -> Vec<(clif::Value, i32)> {
        let bits = self.mask_bits(mask);
        let choose = |(bit, (base, offset)): (clif::Value, (clif::Value, i32))| {
            let whole = self.b.ins().iadd_imm_s(base, i64::from(offset));
            (self.b.ins().select(bit, whole, elsewhere), 0)
        };
        bits.into_iter().zip(places).map(choose).collect()
    }

    // Elements

    /// One element in all lanes.
    fn splat_element(&mut self, elem: Scalar, value: clif::Value, result: ir::Value) -> clif::Value {
        match elem {
            Scalar::Bool => {
                let ty = mask_type(self.mask_width(result));
                self.mask_of_bool(ty, value)
            }
            _ => self.b.ins().splat(vector_type(elem), value),
        }
    }

    /// Lanes as elements of memory: truth values as bytes.
    fn elements_of(&mut self, value: ir::Value) -> Vec<clif::Value> {
        let ty = self.func.ty(value);
        let group = self.group(value);
        let lanes = self.split(&group, ty.lanes());
        let ir::Type::Mask(_) = ty else { return lanes };
        let byte = |lane| {
            let low = self.b.ins().ireduce(types::I8, lane);
            self.b.ins().band_imm_u(low, 1)
        };
        lanes.into_iter().map(byte).collect()
    }

    fn load_each(
        &mut self,
        elem: Scalar,
        places: &[(clif::Value, i32)],
        flags: MemFlagsData,
        result: ir::Value,
    ) {
        let mut lanes = Vec::with_capacity(places.len());
        for &(base, offset) in places {
            lanes.push(self.b.ins().load(clif_type(elem), flags, base, offset));
        }
        let group = match elem {
            Scalar::Bool => {
                let width = self.mask_width(result);
                let (ty, int) = match width {
                    8 => (types::I64, Scalar::I64),
                    _ => (types::I32, Scalar::I32),
                };
                let wide: Vec<clif::Value> =
                    lanes.into_iter().map(|byte| self.b.ins().uextend(ty, byte)).collect();
                let group = self.merge(int, &wide);
                self.each([&group], |emitter, [register]| emitter.non_zero(register))
            }
            _ => self.merge(elem, &lanes),
        };
        self.bind(result, &group);
    }

    /// Lanes that lie side by side.
    pub(super) fn load_row(
        &mut self,
        elem: Scalar,
        base: clif::Value,
        offset: i32,
        flags: MemFlagsData,
        lanes: u8,
    ) -> Group {
        let ty = vector_type(elem);
        if usize::from(lanes) * lane_bytes(elem) < 16 {
            let half = self.b.ins().load(types::I64, flags, base, offset);
            let register = self.b.ins().scalar_to_vector(types::I64X2, half);
            return vec![self.reinterpret(ty, register)];
        }
        (0..registers(lane_bytes(elem), lanes) as i32)
            .map(|k| {
                let (base, offset) = self.moved(base, offset, 16 * k);
                self.b.ins().load(ty, flags, base, offset)
            })
            .collect()
    }

    pub(super) fn store_row(
        &mut self,
        group: &Group,
        elem: Scalar,
        base: clif::Value,
        offset: i32,
        flags: MemFlagsData,
        lanes: u8,
    ) {
        if usize::from(lanes) * lane_bytes(elem) < 16 {
            let whole = self.reinterpret(types::I64X2, group[0]);
            let half = self.b.ins().extractlane(whole, 0);
            self.b.ins().store(flags, half, base, offset);
            return;
        }
        for (k, &register) in (0..).zip(group) {
            let (base, offset) = self.moved(base, offset, 16 * k);
            self.b.ins().store(flags, register, base, offset);
        }
    }

    /// Bytes that lie side by side, as a mask.
    fn load_truths(
        &mut self,
        base: clif::Value,
        offset: i32,
        flags: MemFlagsData,
        result: ir::Value,
    ) -> Group {
        let lanes = self.func.ty(result).lanes();
        let mut words = Vec::new();
        for k in 0..lanes.div_ceil(8) {
            let (base, offset) = self.moved(base, offset, 8 * i32::from(k));
            let ty = match lanes {
                2 => types::I16,
                4 => types::I32,
                _ => types::I64,
            };
            let bytes = self.b.ins().load(ty, flags, base, offset);
            let bytes = if ty == types::I64 { bytes } else { self.b.ins().uextend(types::I64, bytes) };
            let register = self.b.ins().scalar_to_vector(types::I64X2, bytes);
            let register = self.reinterpret(types::I8X16, register);
            let pairs = self.b.ins().uwiden_low(register);
            words.push(self.b.ins().uwiden_low(pairs));
            if lanes > 4 {
                words.push(self.b.ins().uwiden_high(pairs));
            }
        }
        let mask = self.each([&words], |emitter, [register]| emitter.non_zero(register));
        self.widen_mask(&mask, (4, self.mask_width(result)), lanes)
    }

    fn store_truths(&mut self, value: ir::Value, base: clif::Value, offset: i32, flags: MemFlagsData) {
        let lanes = self.func.ty(value).lanes();
        let words = self.mask(value, 4);
        let one = self.vector_constant(types::I8X16, [1; 16]);
        for (k, words) in (0..).zip(words.chunks(2)) {
            let (base, offset) = self.moved(base, offset, 8 * k);
            let pairs = self.b.ins().snarrow(words[0], words[words.len() - 1]);
            let bytes = self.b.ins().snarrow(pairs, pairs);
            let bytes = self.b.ins().band(bytes, one);
            let bytes = self.reinterpret(types::I64X2, bytes);
            let bytes = self.b.ins().extractlane(bytes, 0);
            let ty = match lanes {
                2 => types::I16,
                4 => types::I32,
                _ => types::I64,
            };
            let bytes = if ty == types::I64 { bytes } else { self.b.ins().ireduce(ty, bytes) };
            self.b.ins().store(flags, bytes, base, offset);
        }
    }
}
