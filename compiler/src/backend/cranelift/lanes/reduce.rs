//! Reductions of widened loops.
//!
//! In: sends of lanes, some under a mask. Out: totals with the bits of SEMANTICS section 5. Holds: what has no order is kept in one accumulator per lane, in registers,
//! shared by both regions of the loop, and folded at its end. Ordered terms of lanes go to as many accumulators side by side, since a group of lanes begins
//! at a multiple of its size. Where it does not, or where terms are kept apart and folded later (a few heavy iterations; at most 32, which are added left to
//! right), there is a buffer for them ([`kiln_abi::LoopInfo::wide`]), and they go there one by one through a cold loop.

use super::{Group, lane_bytes, mask_type, registers};
use crate::backend::CompileError;
use crate::backend::cranelift::func::{Emitter, FrameArea, Purpose, block_args, clif_type};
use crate::backend::cranelift::reduce::Reducer;
use crate::ir::{self, Reduction};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{self as clif, InstBuilder, MemFlagsData, types};
use cranelift_frontend::Variable;
use kiln_abi::{Ctx, LANES, ReduceOp};
use kiln_lang::types::Scalar;
use std::mem::offset_of;

/// A reduction without order: an accumulator per lane.
#[derive(Clone, Debug)]
pub(in super::super) struct UnorderedLanes {
    accs: Vec<Variable>,
    /// What the loop begins with.
    start: clif::Value,
}

/// A reduction with an order.
#[derive(Clone, Debug)]
pub(in super::super) struct OrderedLanes {
    pub(in super::super) place: Accs,
    /// Not 0: terms are kept.
    pub(in super::super) keeps: clif::Value,
    /// Number of the next send site among those of all ordered reductions, of this one's first, and how many there are.
    pub(in super::super) site: usize,
    pub(in super::super) first_site: usize,
    pub(in super::super) sites: usize,
}

/// Where the accumulators are, and the terms if they are kept.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Accs {
    /// In `ctx.partial` from this slot on; in `ctx.terms`.
    Partial(usize),
    /// In the frame: accumulators and join state; terms of at most 32 iterations, if they are kept.
    Frame { accs: FrameArea, terms: FrameArea },
}

/// What a group of lanes sends to an ordered reduction: a term, or the factors of one.
struct Terms {
    a: Group,
    b: Option<Group>,
    lanes: u8,
}

impl Emitter<'_> {
    /// Accumulators at the identity, for groups of up to `lanes` lanes; `start` joins in at the end.
    pub(in super::super) fn unordered_lanes(
        &mut self,
        reducer: Reducer,
        lanes: u8,
        start: clif::Value,
    ) -> UnorderedLanes {
        let identity = self.identity_register(reducer, lanes);
        let count = self.acc_count(reducer, lanes);
        let ty = self.b.func.dfg.value_type(identity);
        let accs = (0..count).map(|_| {
            let var = self.b.declare_var(ty);
            self.b.def_var(var, identity);
            var
        });
        UnorderedLanes { accs: accs.collect(), start }
    }

    fn acc_count(&self, reducer: Reducer, lanes: u8) -> usize {
        match reducer.ty {
            Scalar::Bool => registers(truth_width(lanes), lanes),
            ty => registers(lane_bytes(ty), lanes),
        }
    }

    fn identity_register(&mut self, reducer: Reducer, lanes: u8) -> clif::Value {
        match reducer.ty {
            Scalar::Bool => {
                let all = if reducer.identity() == 0 { 0 } else { u8::MAX };
                self.vector_constant(mask_type(truth_width(lanes)), [all; 16])
            }
            ty => self.splat_bits(ty, reducer.identity()),
        }
    }

    /// The total: lanes folded by halves, then what the loop began with.
    pub(in super::super) fn unordered_total(
        &mut self,
        reducer: Reducer,
        sink: &UnorderedLanes,
    ) -> clif::Value {
        let accs: Group = sink.accs.iter().map(|&var| self.b.use_var(var)).collect();
        let mut all = accs[0];
        for &acc in &accs[1..] {
            all = self.combine_registers(reducer, &vec![all], &vec![acc])[0];
        }
        let ty = self.b.func.dfg.value_type(all);
        let steps: &[[u8; 4]] = match ty.lane_count() {
            2 => &[[2, 3, 2, 3]],
            _ => &[[2, 3, 2, 3], [1, 1, 1, 1]],
        };
        for &numbers in steps {
            let other = self.double_words(ty, all, all, numbers);
            all = self.combine_registers(reducer, &vec![all], &vec![other])[0];
        }
        let mut total = self.b.ins().extractlane(all, 0);
        if reducer.ty == Scalar::Bool {
            total = self.b.ins().ireduce(types::I8, total);
            total = self.b.ins().band_imm_u(total, 1);
        }
        self.combine(reducer.op, reducer.ty, sink.start, total)
    }

    fn combine_registers(&mut self, reducer: Reducer, a: &Group, b: &Group) -> Group {
        match reducer.ty {
            Scalar::Bool => self.each([a, b], |emitter, [a, b]| match reducer.op {
                ReduceOp::Min | ReduceOp::And | ReduceOp::Prod => emitter.b.ins().band(a, b),
                ReduceOp::Max | ReduceOp::Or | ReduceOp::Sum => emitter.b.ins().bor(a, b),
                ReduceOp::Xor => emitter.b.ins().bxor(a, b),
            }),
            ty => self.lanes_combine(reducer.op, ty, a, b),
        }
    }

    /// Sends lanes to a reduction without order: to the first accumulators, as many as there are lanes.
    pub(in super::super) fn send_unordered(
        &mut self,
        reducer: Reducer,
        sink: &UnorderedLanes,
        mask: Option<ir::Value>,
        term: ir::Value,
    ) {
        let lanes = self.func.ty(term).lanes();
        // As many lanes as the accumulators of the larger region have decide how wide a truth value is.
        let first = self.b.use_var(sink.accs[0]);
        let acc_ty = self.b.func.dfg.value_type(first);
        let width = acc_ty.lane_type().bytes() as usize;
        let is_count = reducer.op == ReduceOp::Sum && self.uniform_const(term) == Some(1);
        let count = if is_count && reducer.ty.is_int() { mask } else { None };
        let (terms, negative) = match (reducer.ty, mask, count) {
            // A lane that is on is -1.
            (_, _, Some(mask)) => (self.mask(mask, width), true),
            (Scalar::Bool, None, _) => (self.mask(term, width), false),
            (Scalar::Bool, Some(mask), _) => {
                let (mask, term) = (self.mask(mask, width), self.mask(term, width));
                let identity = reducer.identity();
                let chosen = self.each([&mask, &term], |emitter, [mask, term]| match identity {
                    0 => emitter.b.ins().band(term, mask),
                    _ => {
                        let off = emitter.b.ins().bnot(mask);
                        emitter.b.ins().bor(term, off)
                    }
                });
                (chosen, false)
            }
            (_, mask, _) => (self.masked_term(reducer, mask, term), false),
        };
        let terms = match usize::from(lanes) * width < 16 {
            // What lies beyond two lanes of 4 bytes is not for the accumulators.
            true => {
                let neutral = match negative {
                    true => self.vector_constant(acc_ty, [0; 16]),
                    false => {
                        let identity = self.identity_register(reducer, 4);
                        self.reinterpret(acc_ty, identity)
                    }
                };
                vec![self.double_words(acc_ty, terms[0], neutral, [0, 1, 6, 7])]
            }
            false => terms,
        };
        let olds: Group = sink.accs[..terms.len()].iter().map(|&var| self.b.use_var(var)).collect();
        let news = match negative {
            true => self.each([&olds, &terms], |emitter, [old, term]| emitter.b.ins().isub(old, term)),
            false => self.combine_registers(reducer, &olds, &terms),
        };
        for (&var, new) in sink.accs.iter().zip(news) {
            self.b.def_var(var, new);
        }
    }

    /// Numbers where the mask is on, the identity in the other lanes.
    fn masked_term(&mut self, reducer: Reducer, mask: Option<ir::Value>, term: ir::Value) -> Group {
        let group = self.group(term);
        let Some(mask) = mask else { return group };
        let mask = self.mask(mask, lane_bytes(reducer.ty));
        let identity = self.splat_bits(reducer.ty, reducer.identity());
        self.each([&mask, &group], |emitter, [mask, term]| emitter.blend(mask, term, identity))
    }

    /// Sends lanes to an ordered reduction. `ordinal` is that of lane 0; in the second region so many ordinals are `left`.
    pub(in super::super) fn send_ordered(
        &mut self,
        reducer: Reducer,
        sink: &OrderedLanes,
        (ordinal, left): (clif::Value, Option<clif::Value>),
        mask: Option<ir::Value>,
        (a, b): (ir::Value, Option<ir::Value>),
    ) -> Result<(), CompileError> {
        if sink.site >= sink.sites {
            return Err(self.internal("more send sites than the loop's record has"));
        }
        let lanes = self.func.ty(a).lanes();
        let terms = Terms { a: self.masked_term(reducer, mask, a), b: b.map(|b| self.group(b)), lanes };
        let [cold, hot, done] = [(); 3].map(|()| self.b.create_block());
        self.b.set_cold_block(cold);
        self.b.ins().brif(sink.keeps, cold, &[], hot, &[]);
        self.enter(cold);
        self.keep_terms(reducer, sink, (ordinal, left), &terms, done);
        self.enter(hot);
        let address = self.acc_address(sink.place, ordinal);
        self.accumulate_row(reducer, address, purpose_of(sink.place), &terms);
        self.b.ins().jump(done, &[]);
        self.enter(done);
        Ok(())
    }

    /// The address of the accumulator of an iteration.
    fn acc_address(&mut self, place: Accs, ordinal: clif::Value) -> clif::Value {
        let lane = self.b.ins().band_imm_u(ordinal, LANES as i64 - 1);
        let distance = self.b.ins().ishl_imm_u(lane, 3);
        let base = match place {
            Accs::Partial(slot) => {
                let partial = self.ctx_field(offset_of!(Ctx, partial));
                self.b.ins().iadd_imm_s(partial, 8 * slot as i64)
            }
            Accs::Frame { accs, .. } => self.address(accs),
        };
        self.b.ins().iadd(base, distance)
    }

    /// Adds lanes to accumulators side by side, 8 bytes each: an f32 is in the low half.
    fn accumulate_row(&mut self, reducer: Reducer, address: clif::Value, purpose: Purpose, terms: &Terms) {
        let region = self.memory.purpose(purpose);
        let flags = MemFlagsData::new().with_notrap().with_alias_region(Some(region));
        let ty = reducer.ty;
        if ty == Scalar::F64 {
            let old = self.load_row(ty, address, 0, flags, terms.lanes);
            let new = self.accumulated(reducer, &old, terms);
            return self.store_row(&new, ty, address, 0, flags, terms.lanes);
        }
        let slots = self.load_row(Scalar::I64, address, 0, flags, terms.lanes);
        let old: Group = slots
            .chunks(2)
            .map(|pair| self.double_words(types::F32X4, pair[0], pair[pair.len() - 1], [0, 2, 4, 6]))
            .collect();
        let new = self.accumulated(reducer, &old, terms);
        let slots = (0..slots.len()).map(|k| {
            let numbers = if k % 2 == 0 { [0, 0, 1, 1] } else { [2, 2, 3, 3] };
            self.double_words(types::I64X2, new[k / 2], new[k / 2], numbers)
        });
        let slots: Group = slots.collect();
        self.store_row(&slots, Scalar::I64, address, 0, flags, terms.lanes);
    }

    fn accumulated(&mut self, reducer: Reducer, old: &Group, terms: &Terms) -> Group {
        match &terms.b {
            None => self.lanes_combine(reducer.op, reducer.ty, old, &terms.a),
            Some(b) => self.lanes_fma(reducer.ty, &terms.a, b, old, terms.lanes),
        }
    }

    /// Keeps terms one by one, of lanes that are iterations; leaves to `done`.
    fn keep_terms(
        &mut self,
        reducer: Reducer,
        sink: &OrderedLanes,
        (ordinal, left): (clif::Value, Option<clif::Value>),
        terms: &Terms,
        done: clif::Block,
    ) {
        let ty = reducer.ty;
        let bytes = lane_bytes(ty) as i64;
        let size = i64::from(terms.lanes) * bytes;
        let area = self.take(2 * (size as usize).div_ceil(8));
        let region = self.memory.purpose(Purpose::Frame);
        let flags = MemFlagsData::new().with_notrap().with_alias_region(Some(region));
        let frame = self.address(area);
        self.store_row(&terms.a, ty, frame, 0, flags, terms.lanes);
        if let Some(b) = &terms.b {
            self.store_row(b, ty, frame, size as i32, flags, terms.lanes);
        }
        let all = self.iconst(types::I64, i64::from(terms.lanes));
        let count = left.map_or(all, |left| self.b.ins().umin(left, all));

        let each = self.b.create_block();
        self.b.append_block_param(each, types::I64);
        self.b.set_cold_block(each);
        let zero = self.iconst(types::I64, 0);
        self.b.ins().jump(each, &block_args(&[zero]));
        self.b.switch_to_block(each);
        let lane = self.b.block_params(each)[0];
        let at = self.b.ins().imul_imm_s(lane, bytes);
        let at = self.b.ins().iadd(frame, at);
        let a = self.b.ins().load(clif_type(ty), flags, at, 0);
        let b = terms.b.as_ref().map(|_| self.b.ins().load(clif_type(ty), flags, at, size as i32));
        let ordinal = self.b.ins().iadd(ordinal, lane);
        let (terms, position, purpose) = match sink.place {
            Accs::Frame { terms, .. } => (self.address(terms), ordinal, Purpose::Frame),
            Accs::Partial(_) => {
                let first = self.ctx_field(offset_of!(Ctx, terms_base));
                let position = self.b.ins().isub(ordinal, first);
                (self.ctx_field(offset_of!(Ctx, terms)), position, Purpose::Terms)
            }
        };
        self.keep_term(reducer, (terms, purpose), position, (sink.site, sink.sites), (a, b));
        let following = self.b.ins().iadd_imm_s(lane, 1);
        let more = self.b.ins().icmp(IntCC::SignedLessThan, following, count);
        self.b.ins().brif(more, each, &block_args(&[following]), done, &[]);
        self.b.seal_block(each);
        self.give_back(area);
    }

    /// Sets the terms of `count` iterations to what changes nothing.
    pub(in super::super) fn neutral_terms(
        &mut self,
        reductions: &[(Reducer, usize)],
        terms: FrameArea,
        count: clif::Value,
    ) {
        let sites: usize = reductions.iter().map(|(_, sites)| sites).sum();
        let row_bytes = 16 * sites as i64;
        let flags = self.flags(Purpose::Frame);
        self.count_up(count, |emitter, q| {
            let at = emitter.b.ins().imul_imm_s(q, row_bytes);
            let base = emitter.address(terms);
            let at = emitter.b.ins().iadd(base, at);
            let mut offset = 0;
            for &(reducer, sites) in reductions {
                let (a, b) = kiln_abi::neutral_term(reducer.op, ir::kind_of(reducer.ty));
                let [a, b] = [a, b].map(|bits| emitter.iconst(types::I64, bits as i64));
                for _ in 0..sites {
                    emitter.b.ins().store(flags, a, at, offset);
                    emitter.b.ins().store(flags, b, at, offset + 8);
                    offset += 16;
                }
            }
        });
    }

    /// Adds up the terms of `count` iterations, left to right. Gives the total of each ordered reduction.
    pub(in super::super) fn fold_terms(
        &mut self,
        reductions: &[(Reducer, usize)],
        terms: FrameArea,
        count: clif::Value,
    ) -> Vec<clif::Value> {
        let sites: usize = reductions.iter().map(|(_, sites)| sites).sum();
        let vars: Vec<Variable> = reductions
            .iter()
            .map(|(reducer, _)| {
                let var = self.b.declare_var(clif_type(reducer.ty));
                let identity = self.constant_bits(reducer.ty, reducer.identity());
                self.b.def_var(var, identity);
                var
            })
            .collect();
        let flags = self.flags(Purpose::Frame);
        self.count_up(count, |emitter, q| {
            let at = emitter.b.ins().imul_imm_s(q, 16 * sites as i64);
            let base = emitter.address(terms);
            let at = emitter.b.ins().iadd(base, at);
            let mut offset = 0;
            for (&(reducer, sites), &var) in reductions.iter().zip(&vars) {
                for _ in 0..sites {
                    let ty = clif_type(reducer.ty);
                    let a = emitter.b.ins().load(ty, flags, at, offset);
                    let b = emitter.b.ins().load(ty, flags, at, offset + 8);
                    let old = emitter.b.use_var(var);
                    // A plain term has factor 1: a * 1 + old rounds once, as a + old does.
                    let new = match reducer.op {
                        ReduceOp::Sum => emitter.fma(reducer.ty, a, b, old),
                        op => emitter.combine(op, reducer.ty, old, a),
                    };
                    emitter.b.def_var(var, new);
                    offset += 16;
                }
            }
        });
        vars.iter().map(|&var| self.b.use_var(var)).collect()
    }

    /// Emits `body` in a loop over `0..count`.
    fn count_up(&mut self, count: clif::Value, body: impl FnOnce(&mut Self, clif::Value)) {
        let (each, done) = (self.b.create_block(), self.b.create_block());
        self.b.append_block_param(each, types::I64);
        let zero = self.iconst(types::I64, 0);
        let some = self.b.ins().icmp_imm_s(IntCC::SignedGreaterThan, count, 0);
        self.b.ins().brif(some, each, &block_args(&[zero]), done, &[]);
        self.b.switch_to_block(each);
        let number = self.b.block_params(each)[0];
        body(self, number);
        let following = self.b.ins().iadd_imm_s(number, 1);
        let more = self.b.ins().icmp(IntCC::SignedLessThan, following, count);
        self.b.ins().brif(more, each, &block_args(&[following]), done, &[]);
        self.b.seal_block(each);
        self.enter(done);
    }
}

/// Send sites per reduction of a region.
pub(in super::super) fn sites(func: &ir::Func, region: ir::RegionId, reductions: &[Reduction]) -> Vec<usize> {
    let mut sends = vec![0; reductions.len()];
    ir::count_sends(func, region, &mut sends);
    sends.into_iter().map(|count| count as usize).collect()
}

fn purpose_of(place: Accs) -> Purpose {
    match place {
        Accs::Partial(_) => Purpose::Partial,
        Accs::Frame { .. } => Purpose::Frame,
    }
}

/// Bytes per lane of accumulated truth values.
fn truth_width(lanes: u8) -> usize {
    if lanes == 2 { 8 } else { 4 }
}
