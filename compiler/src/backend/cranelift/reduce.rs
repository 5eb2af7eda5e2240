//! Reductions: where terms go.
//!
//! In: `send` ops and the reductions of a `for`. Out: totals. Holds: SEMANTICS section 5: an ordered term goes to the accumulator that its ordinal chooses, in
//! program order; the runtime folds and joins. Unordered totals live in registers: Cranelift's SSA builder carries them through the body's control flow.
//! The layout of a chunk's state is that of [`kiln_abi::LoopInfo`].

use super::func::{Emitter, FrameArea, Purpose, clif_type};
use super::lanes::{self, Accs, OrderedLanes, UnorderedLanes};
use crate::backend::CompileError;
use crate::ir::{self, ForData, Reduction};
use cranelift_codegen::ir::{self as clif, InstBuilder, MemFlagsData, types};
use cranelift_frontend::Variable;
use kiln_abi::{Ctx, HostFn, JOIN_SLOTS, LANES, LoopInfo, OrderedKind, ReduceOp};
use kiln_lang::types::Scalar;
use std::mem::offset_of;

/// Operator and type of a reduction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reducer {
    pub(super) op: ReduceOp,
    pub(super) ty: Scalar,
}

impl Reducer {
    fn of(reduction: &Reduction) -> Reducer {
        Reducer { op: reduction.op, ty: reduction.ty }
    }

    /// The bits that a total begins with.
    pub(super) fn identity(self) -> u64 {
        kiln_abi::identity(self.op, ir::kind_of(self.ty))
    }
}

/// A reduction of a loop under construction.
#[derive(Clone, Debug)]
pub(super) struct Sink {
    reducer: Reducer,
    home: Home,
}

/// Where its state is.
#[derive(Clone, Debug)]
enum Home {
    /// Unordered, in a register.
    Register(Variable),
    /// Ordered, in `ctx.partial` from this slot on, or in the terms buffer.
    Chunk {
        slot: usize,
        /// Number of the next send site among all of the loop, and how many the loop has.
        site: usize,
        sites: usize,
    },
    /// Ordered, in the frame: accumulators, then the join state.
    Frame {
        area: FrameArea,
        mask: clif::Value,
    },
    /// Of a widened loop.
    Unordered(UnorderedLanes),
    Ordered(OrderedLanes),
}

impl Emitter<'_> {
    /// Reductions that start at their identities in registers.
    pub(super) fn plain_sinks(&mut self, data: &ForData) -> Vec<Sink> {
        data.reductions.iter().map(|reduction| self.register_sink(data, reduction)).collect()
    }

    fn register_sink(&mut self, data: &ForData, reduction: &Reduction) -> Sink {
        let identity = self.constant_bits(reduction.ty, Reducer::of(reduction).identity());
        self.register_sink_from(data, reduction, identity)
    }

    fn register_sink_from(&mut self, data: &ForData, reduction: &Reduction, start: clif::Value) -> Sink {
        let reducer = Reducer::of(reduction);
        if data.lanes > 1 {
            let home = Home::Unordered(self.unordered_lanes(reducer, data.lanes, start));
            return Sink { reducer, home };
        }
        let var = self.b.declare_var(clif_type(reduction.ty));
        self.b.def_var(var, start);
        Sink { reducer, home: Home::Register(var) }
    }

    pub(super) fn close_plain_sinks(&mut self, sinks: &[Sink]) -> Vec<clif::Value> {
        sinks.iter().map(|sink| self.register_total(sink)).collect()
    }

    fn register_total(&mut self, sink: &Sink) -> clif::Value {
        match &sink.home {
            Home::Register(var) => self.b.use_var(*var),
            Home::Unordered(lanes) => self.unordered_total(sink.reducer, lanes),
            Home::Chunk { .. } | Home::Frame { .. } | Home::Ordered(_) => {
                self.constant_bits(sink.reducer.ty, 0)
            }
        }
    }

    /// Reductions of a chunk: they continue from `ctx.partial`.
    pub(super) fn chunk_sinks(&mut self, data: &ForData, info: &LoopInfo) -> Result<Vec<Sink>, CompileError> {
        if data.reductions.len() != info.scalars.len() {
            return Err(self.internal("a chunk and its loop disagree on the reductions"));
        }
        let partial = self.ctx_field(offset_of!(Ctx, partial));
        let flags = self.flags(Purpose::Partial);
        let sites = info.term_sites();
        let keeps = (data.lanes > 1).then(|| self.ctx_field(offset_of!(Ctx, terms)));
        let mut site = 0;
        let mut sinks = Vec::new();
        for (number, reduction) in data.reductions.iter().enumerate() {
            let slot = info.scalar_slot(number);
            sinks.push(if is_ordered(reduction) {
                let home = match keeps {
                    None => Home::Chunk { slot, site, sites },
                    Some(keeps) => {
                        let place = Accs::Partial(slot);
                        Home::Ordered(OrderedLanes { place, keeps, site, first_site: site, sites })
                    }
                };
                site += info.scalars[number].sites as usize;
                Sink { reducer: Reducer::of(reduction), home }
            } else {
                let start = self.load_slot(partial, slot, reduction.ty, flags);
                self.register_sink_from(data, reduction, start)
            });
        }
        Ok(sinks)
    }

    /// Writes the registers back; the totals of a chunk are for the runtime, not for the chunk.
    pub(super) fn close_chunk_sinks(&mut self, sinks: &[Sink]) -> Vec<clif::Value> {
        let totals: Vec<clif::Value> = sinks.iter().map(|sink| self.register_total(sink)).collect();
        let partial = self.ctx_field(offset_of!(Ctx, partial));
        let flags = self.flags(Purpose::Partial);
        let is_unordered = |sink: &Sink| matches!(sink.home, Home::Register(_) | Home::Unordered(_));
        let registers = sinks.iter().zip(&totals).filter(|(sink, _)| is_unordered(sink));
        for (slot, (sink, &total)) in registers.enumerate() {
            self.store_slot(partial, slot, sink.reducer.ty, total, flags);
        }
        totals
    }

    /// Reductions of a whole loop of which at least one is ordered, over `count` iterations. With `few` of them only accumulator 0 is used; a widened loop
    /// keeps its terms then.
    pub(super) fn block_sinks(
        &mut self,
        op: &ir::Op,
        data: &ForData,
        (count, few): (clif::Value, clif::Value),
    ) -> Vec<Sink> {
        let mut sinks = Vec::new();
        let mut kept = None;
        if data.lanes > 1 {
            let ordered = self.ordered_sites(op, data);
            let sites: usize = ordered.iter().map(|(_, sites)| sites).sum();
            let area = self.take(2 * LANES * sites);
            let keeps = self.b.ins().uextend(types::I64, few);
            kept = Some((area, keeps, sites, ordered));
        }
        let one = self.iconst(types::I64, 0);
        let all = self.iconst(types::I64, LANES as i64 - 1);
        let mask = self.b.ins().select(few, one, all);
        let mut site = 0;
        for (number, reduction) in data.reductions.iter().enumerate() {
            if !is_ordered(reduction) {
                sinks.push(self.register_sink(data, reduction));
                continue;
            }
            let area = self.take(LANES + JOIN_SLOTS);
            let home = match &kept {
                None => Home::Frame { area, mask },
                Some((terms, keeps, sites, _)) => {
                    let place = Accs::Frame { accs: area, terms: *terms };
                    let own = OrderedLanes { place, keeps: *keeps, site, first_site: site, sites: *sites };
                    site += lanes::sites(self.func, op.regions[0], &data.reductions)[number];
                    Home::Ordered(own)
                }
            };
            sinks.push(Sink { reducer: Reducer::of(reduction), home });
        }
        let flags = self.flags(Purpose::Frame);
        let (many, start) = (self.b.create_block(), self.b.create_block());
        match &kept {
            None => {
                for (sink, area) in framed(&sinks) {
                    let first = self.address(area);
                    let identity = self.identity_bits(sink);
                    self.b.ins().store(flags, identity, first, 0);
                }
                self.b.ins().brif(few, start, &[], many, &[]);
            }
            Some((terms, _, _, ordered)) => {
                let keep = self.b.create_block();
                self.b.ins().brif(few, keep, &[], many, &[]);
                self.enter(keep);
                self.neutral_terms(ordered, *terms, count);
                self.b.ins().jump(start, &[]);
            }
        }
        self.enter(many);
        for (sink, area) in framed(&sinks) {
            let first = self.address(area);
            let identity = self.identity_bits(sink);
            let pair = self.b.ins().splat(types::I64X2, identity);
            let pairs = MemFlagsData::new().with_notrap().with_alias_region(flags.alias_region());
            for lane in (0..LANES).step_by(2) {
                self.b.ins().store(pairs, pair, first, 8 * lane as i32);
            }
            let none = self.iconst(types::I64, 0);
            self.b.ins().store(flags, none, first, 8 * LANES as i32);
        }
        self.b.ins().jump(start, &[]);
        self.enter(start);
        sinks
    }

    /// The ordered reductions of a widened loop, and how many send sites each has.
    fn ordered_sites(&self, op: &ir::Op, data: &ForData) -> Vec<(Reducer, usize)> {
        let sites = lanes::sites(self.func, op.regions[0], &data.reductions);
        let all = data.reductions.iter().zip(sites);
        all.filter(|(reduction, _)| is_ordered(reduction))
            .map(|(reduction, sites)| (Reducer::of(reduction), sites))
            .collect()
    }

    fn identity_bits(&mut self, sink: &Sink) -> clif::Value {
        self.iconst(types::I64, sink.reducer.identity() as i64)
    }

    /// Folds the accumulators of a block and joins its value to those before.
    pub(super) fn fold_blocks(&mut self, sinks: &[Sink]) {
        for (sink, area) in framed(sinks) {
            let kind = self.iconst(types::I64, ordered_kind(sink) as i64);
            let accs = self.address(area);
            let state = self.b.ins().iadd_imm_s(accs, 8 * LANES as i64);
            self.host(HostFn::FoldBlock, &[self.ctx, kind, accs, state], None);
        }
    }

    pub(super) fn close_block_sinks(
        &mut self,
        op: &ir::Op,
        data: &ForData,
        sinks: Vec<Sink>,
        (count, few): (clif::Value, clif::Value),
    ) -> Vec<clif::Value> {
        let registers: Vec<clif::Value> = sinks.iter().map(|sink| self.register_total(sink)).collect();
        let (single, joined, total) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        for (sink, _) in framed(&sinks) {
            self.b.append_block_param(total, clif_type(sink.reducer.ty));
        }
        let flags = self.flags(Purpose::Frame);
        self.b.ins().brif(few, single, &[], joined, &[]);
        self.enter(single);
        let mut values = Vec::new();
        let kept = sinks.iter().find_map(|sink| match &sink.home {
            Home::Ordered(OrderedLanes { place: Accs::Frame { terms, .. }, .. }) => Some(*terms),
            _ => None,
        });
        match kept {
            Some(terms) => values = self.fold_terms(&self.ordered_sites(op, data), terms, count),
            None => {
                for (sink, area) in framed(&sinks) {
                    let accs = self.address(area);
                    values.push(self.b.ins().load(clif_type(sink.reducer.ty), flags, accs, 0));
                }
            }
        }
        self.jump_comps(total, &values);
        self.enter(joined);
        values.clear();
        for (sink, area) in framed(&sinks) {
            let kind = self.iconst(types::I64, ordered_kind(sink) as i64);
            let accs = self.address(area);
            let state = self.b.ins().iadd_imm_s(accs, 8 * LANES as i64);
            self.host(HostFn::FinishBlocks, &[self.ctx, kind, state], None);
            let ty = clif_type(sink.reducer.ty);
            values.push(self.b.ins().load(ty, flags, accs, 8 * (LANES as i32 + 1)));
        }
        self.jump_comps(total, &values);
        self.enter(total);
        let mut ordered = self.b.block_params(total).to_vec().into_iter();
        for (_, area) in framed(&sinks).collect::<Vec<_>>().into_iter().rev() {
            self.give_back(area);
        }
        if let Some(terms) = kept {
            self.give_back(terms);
        }
        let total_of = |(sink, register): (&Sink, clif::Value)| match sink.home {
            Home::Frame { .. } | Home::Ordered(_) => ordered.next().unwrap_or(register),
            Home::Register(_) | Home::Chunk { .. } | Home::Unordered(_) => register,
        };
        sinks.iter().zip(registers).map(total_of).collect()
    }

    /// Sends a term.
    pub(super) fn send(&mut self, reduction: u32, term: ir::Value) -> Result<(), CompileError> {
        let term = self.scalar(term);
        self.send_to(reduction, term, None)
    }

    /// Is this reduction of the innermost loop one without order?
    pub(super) fn sends_to_register(&self, reduction: u32) -> bool {
        let sink = self.loops.last().and_then(|inner| inner.sinks.get(reduction as usize));
        sink.is_some_and(|sink| matches!(sink.home, Home::Register(_)))
    }

    /// Sends a product.
    pub(super) fn send_fma(
        &mut self,
        reduction: u32,
        a: ir::Value,
        b: ir::Value,
    ) -> Result<(), CompileError> {
        let (a, b) = (self.scalar(a), self.scalar(b));
        self.send_to(reduction, a, Some(b))
    }

    /// Sends lanes: terms, or factors of them; those of lanes that are on, if there is a mask.
    pub(super) fn send_lanes(
        &mut self,
        reduction: u32,
        mask: Option<ir::Value>,
        a: ir::Value,
        b: Option<ir::Value>,
    ) -> Result<(), CompileError> {
        let (sink, ordinal, left) = self.take_site(reduction)?;
        match (&sink.home, ordinal) {
            (Home::Unordered(lanes), _) if b.is_none() => {
                self.send_unordered(sink.reducer, lanes, mask, a);
                Ok(())
            }
            (Home::Ordered(lanes), Some(ordinal)) => {
                self.send_ordered(sink.reducer, lanes, (ordinal, left), mask, (a, b))
            }
            (_, _) => Err(self.internal("lanes are sent to a loop that is not widened")),
        }
    }

    /// The sink of a reduction of the innermost loop, whose next send site is taken; the ordinal at hand, and how many are left in the second region.
    fn take_site(
        &mut self,
        number: u32,
    ) -> Result<(Sink, Option<clif::Value>, Option<clif::Value>), CompileError> {
        let inner = self.loops.last_mut();
        let found = inner.and_then(|inner| {
            let sink = inner.sinks.get_mut(number as usize)?;
            let now = sink.clone();
            if let Home::Chunk { site, .. } | Home::Ordered(OrderedLanes { site, .. }) = &mut sink.home {
                *site += 1;
            }
            Some((now, inner.ordinal, inner.left))
        });
        found.ok_or_else(|| self.internal("a send outside its loop"))
    }

    fn send_to(&mut self, number: u32, a: clif::Value, b: Option<clif::Value>) -> Result<(), CompileError> {
        let (sink, ordinal, _) = self.take_site(number)?;
        match (sink.home.clone(), ordinal) {
            (Home::Register(var), _) => {
                let a = match self.predicate {
                    None => a,
                    Some(_) => {
                        let identity = self.constant_bits(sink.reducer.ty, sink.reducer.identity());
                        self.predicated(sink.reducer.ty, a, identity)
                    }
                };
                let old = self.b.use_var(var);
                let new = self.accumulate(&sink, old, a, b);
                self.b.def_var(var, new);
            }
            (Home::Frame { area, mask }, Some(ordinal)) => {
                let accs = self.address(area);
                self.accumulate_in(&sink, (accs, 0), (ordinal, mask), Purpose::Frame, a, b);
            }
            (Home::Chunk { slot, site, sites }, Some(ordinal)) => {
                if site >= sites {
                    return Err(self.internal("more send sites than the loop's record has"));
                }
                let terms = self.ctx_field(offset_of!(Ctx, terms));
                let [buffered, direct, done] = [(); 3].map(|()| self.b.create_block());
                self.b.ins().brif(terms, buffered, &[], direct, &[]);
                self.enter(buffered);
                let first = self.ctx_field(offset_of!(Ctx, terms_base));
                let position = self.b.ins().isub(ordinal, first);
                self.keep_term(sink.reducer, (terms, Purpose::Terms), position, (site, sites), (a, b));
                self.b.ins().jump(done, &[]);
                self.enter(direct);
                let partial = self.ctx_field(offset_of!(Ctx, partial));
                let mask = self.ctx_field(offset_of!(Ctx, lane_mask));
                self.accumulate_in(&sink, (partial, slot), (ordinal, mask), Purpose::Partial, a, b);
                self.b.ins().jump(done, &[]);
                self.enter(done);
            }
            (Home::Frame { .. } | Home::Chunk { .. }, None) => {
                return Err(self.internal("an ordered reduction without ordinals"));
            }
            (Home::Unordered(_) | Home::Ordered(_), _) => {
                return Err(self.internal("a scalar is sent to a widened loop"));
            }
        }
        Ok(())
    }

    fn accumulate(
        &mut self,
        sink: &Sink,
        old: clif::Value,
        a: clif::Value,
        b: Option<clif::Value>,
    ) -> clif::Value {
        match b {
            None => self.combine(sink.reducer.op, sink.reducer.ty, old, a),
            Some(b) => self.fma(sink.reducer.ty, a, b, old),
        }
    }

    /// Adds to accumulator `ordinal & mask` of those that start at a slot.
    fn accumulate_in(
        &mut self,
        sink: &Sink,
        (base, slot): (clif::Value, usize),
        (ordinal, mask): (clif::Value, clif::Value),
        purpose: Purpose,
        a: clif::Value,
        b: Option<clif::Value>,
    ) {
        let lane = self.b.ins().band(ordinal, mask);
        let distance = self.b.ins().ishl_imm_u(lane, 3);
        let address = self.b.ins().iadd(base, distance);
        let flags = self.flags(purpose);
        let offset = 8 * slot as i32;
        let old = self.b.ins().load(clif_type(sink.reducer.ty), flags, address, offset);
        let new = self.accumulate(sink, old, a, b);
        self.b.ins().store(flags, new, address, offset);
    }

    /// Writes the pair of a term, (value, 1) or the two factors, for the iteration at `position` of those that are kept.
    pub(super) fn keep_term(
        &mut self,
        reducer: Reducer,
        (terms, purpose): (clif::Value, Purpose),
        position: clif::Value,
        (site, sites): (usize, usize),
        (a, b): (clif::Value, Option<clif::Value>),
    ) {
        let distance = self.b.ins().imul_imm_s(position, 16 * sites as i64);
        let address = self.b.ins().iadd(terms, distance);
        let one = kiln_abi::identity(ReduceOp::Prod, ir::kind_of(reducer.ty));
        let second = b.unwrap_or_else(|| self.constant_bits(reducer.ty, one));
        let flags = self.flags(purpose);
        self.b.ins().store(flags, a, address, 16 * site as i32);
        self.b.ins().store(flags, second, address, 16 * site as i32 + 8);
    }
}

/// The second region of a widened loop sends from the same sites as the first.
pub(super) fn rewind(sinks: &mut [Sink]) {
    for sink in sinks {
        if let Home::Ordered(OrderedLanes { site, first_site, .. }) = &mut sink.home {
            *site = *first_site;
        }
    }
}

fn framed(sinks: &[Sink]) -> impl Iterator<Item = (&Sink, FrameArea)> {
    sinks.iter().filter_map(|sink| match sink.home {
        Home::Frame { area, .. } => Some((sink, area)),
        Home::Ordered(OrderedLanes { place: Accs::Frame { accs, .. }, .. }) => Some((sink, accs)),
        Home::Register(_) | Home::Chunk { .. } | Home::Unordered(_) | Home::Ordered(_) => None,
    })
}

/// Is the order of the terms part of the result?
pub(super) fn is_ordered(reduction: &Reduction) -> bool {
    reduction.op.is_ordered(ir::kind_of(reduction.ty))
}

fn ordered_kind(sink: &Sink) -> OrderedKind {
    match (sink.reducer.op, sink.reducer.ty) {
        (ReduceOp::Prod, Scalar::F32) => OrderedKind::ProdF32,
        (ReduceOp::Prod, _) => OrderedKind::ProdF64,
        (_, Scalar::F32) => OrderedKind::SumF32,
        (_, _) => OrderedKind::SumF64,
    }
}
