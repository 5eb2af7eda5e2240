//! Reductions: where terms go.
//!
//! In: `send` ops and the reductions of a `for`. Out: totals. Holds: SEMANTICS section 5: an ordered term goes to the accumulator that its ordinal chooses, in
//! program order; the runtime folds and joins. Unordered totals live in registers, one per lane in a widened loop. The layout of a chunk's state is that of
//! [`kiln_abi::LoopInfo`].
//!
//! Ordered, in a widened loop: with 32 lanes the accumulators are registers while the main loop of a row runs; otherwise they are the slots in memory. A loop of at
//! most 32 iterations adds left to right: its terms go to a buffer, in a chunk to that of the runtime, else to one in the frame, and are folded one by one.

use super::code::{Addr, BlockId, Cond, Const, Mask, V};
use super::control::Turn;
use super::func::{Cold, Selector};
use super::mask::MaskForm;
use super::settle::Level;
use super::shape::{Group, Shape};
use super::table::{Op, Size};
use crate::backend::CompileError;
use crate::ir::{self, ForData, OpCode, Reduction};
use kiln_abi::{Ctx, HostFn, JOIN_SLOTS, LANES, LoopInfo, OrderedKind, ReduceOp};
use kiln_lang::types::Scalar;
use regalloc2::VReg;
use std::mem::offset_of;

/// A reduction of a loop under construction.
#[derive(Clone, Debug)]
pub(super) struct Sink {
    op: ReduceOp,
    ty: Scalar,
    home: Home,
}

/// Where its state is.
#[derive(Clone, Debug)]
enum Home {
    /// Unordered, in a register.
    Scalar(VReg),
    /// Unordered, one per lane: of the main loop, and of the tail. No tail: all identities.
    Lanes { main: Lanes, tail: Option<Lanes>, tail_lanes: u8 },
    /// Ordered.
    Ordered(Ordered),
}

/// Accumulators in lanes.
#[derive(Clone, Debug)]
struct Lanes {
    lanes: u8,
    /// A mask's form, for truth values.
    form: Option<MaskForm>,
    group: Group,
}

/// State of an ordered reduction.
#[derive(Clone, Debug)]
struct Ordered {
    place: Place,
    /// Number of the next send site among all of the loop, of the first one of this reduction, and how many the loop has.
    site: usize,
    first_site: usize,
    sites: usize,
    /// All 32 accumulators, while they are registers.
    registers: Option<Group>,
}

/// Where accumulators are.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// In `ctx.partial` from this slot on.
    Chunk { slot: usize },
    /// In the frame: accumulators, then the join state. `few` is not 0 if the terms go to a buffer in the frame.
    Frame { start: i32, few: VReg, terms: i32, iterations: VReg },
}

/// Terms on their way to a buffer.
pub(super) struct Terms {
    place: Place,
    ordinal: VReg,
    site: usize,
    sites: usize,
    ty: Scalar,
    op: ReduceOp,
    a: Group,
    b: Option<Group>,
    /// 0: one scalar.
    lanes: u8,
    mask: Option<Group>,
    left: Option<VReg>,
    /// What the block behind is given: nothing has changed.
    unchanged: Vec<VReg>,
}

impl Sink {
    /// Appends the registers that control flow carries.
    pub(super) fn append_state(sinks: &[Sink], regs: &mut Vec<VReg>) {
        for sink in sinks {
            match &sink.home {
                Home::Scalar(reg) => regs.push(*reg),
                Home::Lanes { main, tail, .. } => {
                    regs.extend_from_slice(&main.group);
                    if let Some(tail) = tail {
                        regs.extend_from_slice(&tail.group);
                    }
                }
                Home::Ordered(ordered) => {
                    if let Some(group) = &ordered.registers {
                        regs.extend_from_slice(group);
                    }
                }
            }
        }
    }

    /// Takes them from there; gives how many.
    pub(super) fn set_state(sinks: &mut [Sink], regs: &[VReg]) -> usize {
        let mut at = 0;
        let mut take = |group: &mut Group| {
            let count = group.len();
            *group = Group::new(&regs[at..at + count]);
            at += count;
        };
        for sink in sinks {
            match &mut sink.home {
                Home::Scalar(reg) => {
                    let mut group = Group::one(*reg);
                    take(&mut group);
                    *reg = group[0];
                }
                Home::Lanes { main, tail, .. } => {
                    take(&mut main.group);
                    if let Some(tail) = tail {
                        take(&mut tail.group);
                    }
                }
                Home::Ordered(ordered) => {
                    if let Some(group) = &mut ordered.registers {
                        take(group);
                    }
                }
            }
        }
        at
    }

    /// Every copy of the body counts its send sites from the start.
    pub(super) fn begin_turn(sinks: &mut [Sink]) {
        for sink in sinks {
            if let Home::Ordered(ordered) = &mut sink.home {
                ordered.site = ordered.first_site;
            }
        }
    }

    fn shape(&self, lanes: u8, level: Level) -> Shape {
        Shape::new(self.ty, lanes, level)
    }

    fn identity(&self) -> u64 {
        kiln_abi::identity(self.op, ir::kind_of(self.ty))
    }
}

impl<'a> Selector<'a> {
    // The beginning

    /// Reductions that start at their identities in registers.
    pub(super) fn plain_sinks(&mut self, data: &ForData) -> Vec<Sink> {
        data.reductions.iter().map(|reduction| self.unordered(reduction, data)).collect()
    }

    fn unordered(&mut self, reduction: &Reduction, data: &ForData) -> Sink {
        let mut sink = Sink { op: reduction.op, ty: reduction.ty, home: Home::Scalar(VReg::invalid()) };
        sink.home = if data.lanes == 1 {
            Home::Scalar(self.constant_bits(sink.ty, sink.identity()))
        } else {
            let main = self.identities(&sink, data.lanes);
            Home::Lanes { main, tail: None, tail_lanes: data.tail }
        };
        sink
    }

    /// Identities in all lanes.
    fn identities(&mut self, sink: &Sink, lanes: u8) -> Lanes {
        if sink.ty != Scalar::Bool {
            let shape = sink.shape(lanes, self.level);
            let reg = self.splat_bits(shape, sink.identity());
            return Lanes { lanes, form: None, group: Group::repeat(reg, shape.pieces()) };
        }
        let form = self.natural_form(lanes);
        let pieces = form.pieces(lanes, self.level);
        let reg = match (form, sink.identity()) {
            (MaskForm::Elements(_), 0) => self.zero(),
            (MaskForm::Elements(_), _) => self.all_ones(),
            (MaskForm::Bits(_), 0) => {
                let zero = self.m.imm64(0);
                self.m.op(Op::KmovdFromG, Size::X, &[zero.into()])
            }
            (MaskForm::Bits(_), _) => self.m.all_mask(),
        };
        Lanes { lanes, form: Some(form), group: Group::repeat(reg, pieces) }
    }

    /// Gives a reduction accumulators for tails.
    pub(super) fn add_tail(&mut self, sink: &mut Sink) {
        if let Home::Lanes { tail: None, tail_lanes, .. } = sink.home {
            let made = self.identities(sink, tail_lanes);
            if let Home::Lanes { tail, .. } = &mut sink.home {
                *tail = Some(made);
            }
        }
    }

    /// Reductions of a chunk: they continue from `ctx.partial`.
    pub(super) fn chunk_sinks(&mut self, data: &ForData, info: &LoopInfo) -> Result<Vec<Sink>, CompileError> {
        if data.reductions.len() != info.scalars.len() {
            return Err(self.internal("a chunk and its loop disagree on the reductions"));
        }
        let sites = info.term_sites();
        let mut site = 0;
        let mut sinks = Vec::new();
        for (number, reduction) in data.reductions.iter().enumerate() {
            let slot = info.scalar_slot(number);
            if is_ordered(reduction) {
                let place = Place::Chunk { slot };
                sinks.push(ordered_sink(reduction, place, site, sites));
                site += info.scalars[number].sites as usize;
                continue;
            }
            let mut sink = self.unordered(reduction, data);
            if data.lanes == 1 {
                let partial = self.ctx_field(offset_of!(Ctx, partial));
                sink.home = Home::Scalar(self.load_slot(partial, slot, reduction.ty));
            }
            sinks.push(sink);
        }
        Ok(sinks)
    }

    /// Reductions of a whole loop of `n` iterations of which at least one is ordered.
    pub(super) fn block_sinks(&mut self, data: &ForData, op: &ir::Op, n: VReg) -> Vec<Sink> {
        let sites: Vec<usize> =
            (0..data.reductions.len()).map(|number| self.count_sends(op.regions[0], number as u32)).collect();
        let ordered = |number: usize| is_ordered(&data.reductions[number]);
        let all_sites: usize =
            (0..sites.len()).filter(|&number| ordered(number)).map(|number| sites[number]).sum();
        self.m.op_imm(Op::CmpImm, Size::Q, &[n.into()], LANES as i32);
        let few = self.truth(Cond::LessEqual);
        let terms = self.m.take_frame((16 * LANES * all_sites.max(1)) as i32);
        let mut sinks = Vec::new();
        let mut site = 0;
        for (number, reduction) in data.reductions.iter().enumerate() {
            if !ordered(number) {
                sinks.push(self.unordered(reduction, data));
                continue;
            }
            let start = self.m.take_frame(8 * (LANES + JOIN_SLOTS) as i32);
            let place = Place::Frame { start, few, terms, iterations: n };
            let sink = ordered_sink(reduction, place, site, all_sites);
            self.fill(start, sink.identity());
            let none = self.m.imm64(0);
            self.m.op(Op::MovStore, Size::Q, &[none.into(), Addr::frame(start + 8 * LANES as i32).into()]);
            sinks.push(sink);
            site += sites[number];
        }
        // Terms that nobody sends change nothing.
        let fill = self.m.block(&[]);
        let ready = self.m.block(&[]);
        self.m.op(Op::Test, Size::D, &[few.into(), few.into()]);
        self.m.branch(Cond::NotEqual, (fill, &[]), (ready, &[]));
        self.m.begin(fill);
        let zero = self.m.imm64(0);
        let (sinks_now, row) = (sinks.clone(), 16 * all_sites as i32);
        self.repeat(zero, n, |s, q| {
            let distance = s.m.op_imm(Op::ImulImm, Size::Q, &[q.into()], row);
            for (number, sink) in sinks_now.iter().enumerate() {
                let Home::Ordered(own) = &sink.home else { continue };
                let (identity, one) = kiln_abi::neutral_term(sink.op, ir::kind_of(sink.ty));
                let pair = s.m.constant(Const::Vector([identity, one, 0, 0, 0, 0, 0, 0]));
                for site in own.first_site..own.first_site + sites[number] {
                    let addr = Addr { index: Some((distance, 0)), ..Addr::frame(terms + 16 * site as i32) };
                    s.m.op(Op::VmovupsStore, Size::X, &[pair.into(), addr.into()]);
                }
            }
        });
        self.m.jump(ready, &[]);
        self.m.begin(ready);
        sinks
    }

    /// Static sends to a reduction in a region.
    fn count_sends(&self, region: ir::RegionId, reduction: u32) -> usize {
        let func = self.func;
        let each = |&id: &ir::OpId| {
            let op = func.op(id);
            match &op.code {
                OpCode::Send { reduction: to }
                | OpCode::SendFma { reduction: to }
                | OpCode::SendMasked { reduction: to } => usize::from(*to == reduction),
                OpCode::If => op.regions.iter().map(|&arm| self.count_sends(arm, reduction)).sum(),
                _ => 0,
            }
        };
        func.region(region).ops.iter().map(each).sum()
    }

    /// The same bits in 32 slots of the frame.
    fn fill(&mut self, start: i32, bits: u64) {
        let size = self.level.size();
        let all = self.m.constant(Const::Splat { bits, bytes: 8 });
        for at in (0..8 * LANES).step_by(size.bytes()) {
            self.m.op(Op::VmovupsStore, size, &[all.into(), Addr::frame(start + at as i32).into()]);
        }
    }

    /// A loop of its own: `body` for every number from `first` up to, not including, `end`.
    fn repeat(&mut self, first: VReg, end: VReg, body: impl FnOnce(&mut Self, VReg)) {
        self.repeat_with(first, end, &[], |s, at, _| {
            body(s, at);
            Vec::new()
        });
    }

    /// The same with values that are carried.
    fn repeat_with(
        &mut self,
        first: VReg,
        end: VReg,
        carried: &[VReg],
        body: impl FnOnce(&mut Self, VReg, &[VReg]) -> Vec<VReg>,
    ) -> Vec<VReg> {
        let mut entry = vec![first];
        entry.extend(carried);
        let classes: Vec<_> = entry.iter().map(|reg| reg.class()).collect();
        let (head, done) = (self.m.block(&classes), self.m.block(&classes[1..]));
        self.m.op(Op::Cmp, Size::Q, &[first.into(), end.into()]);
        self.m.branch(Cond::Less, (head, &entry), (done, carried));
        self.m.enter_loop();
        self.m.begin(head);
        let params = self.m.params(head).to_vec();
        let after = body(self, params[0], &params[1..]);
        let following = self.m.op_imm(Op::AddImm, Size::Q, &[params[0].into()], 1);
        let mut again = vec![following];
        again.extend(&after);
        self.m.op(Op::Cmp, Size::Q, &[following.into(), end.into()]);
        self.m.branch(Cond::Less, (head, &again), (done, &after));
        self.m.leave_loop();
        self.m.begin(done);
        self.m.params(done).to_vec()
    }

    // Around the main loop of a row

    /// Takes the accumulators of 32 lanes into registers.
    pub(super) fn begin_main(&mut self, sinks: &mut [Sink], lanes: u8) {
        if usize::from(lanes) != LANES {
            return;
        }
        for sink in sinks {
            let shape = sink.shape(lanes, self.level);
            if let Home::Ordered(ordered) = &mut sink.home {
                let addr = self.slots_of(ordered.place);
                ordered.registers = Some(self.load_slots(shape, addr));
            }
        }
    }

    /// Puts them back.
    pub(super) fn end_main(&mut self, sinks: &mut [Sink]) {
        for sink in sinks {
            let shape = sink.shape(LANES as u8, self.level);
            if let Home::Ordered(ordered) = &mut sink.home
                && let Some(group) = ordered.registers.take()
            {
                let addr = self.slots_of(ordered.place);
                self.store_slots(shape, addr, &group);
            }
        }
    }

    /// Address of the accumulators.
    fn slots_of(&mut self, place: Place) -> Addr {
        match place {
            Place::Chunk { slot } => {
                let partial = self.ctx_field(offset_of!(Ctx, partial));
                Addr::at(partial, 8 * slot as i32)
            }
            Place::Frame { start, .. } => Addr::frame(start),
        }
    }

    /// Lanes from slots of 8 bytes.
    fn load_slots(&mut self, shape: Shape, addr: Addr) -> Group {
        if shape.bytes() == 8 {
            return self.load_pieces(shape, addr, None);
        }
        let long = shape.with(Scalar::I64);
        let slots = self.load_pieces(long, addr, None);
        self.truncate_lanes(&slots, long)
    }

    fn store_slots(&mut self, shape: Shape, addr: Addr, group: &Group) {
        if shape.bytes() == 8 {
            return self.store_pieces(shape, addr, None, group);
        }
        let slots = self.zero_extend_lanes(group, shape);
        self.store_pieces(shape.with(Scalar::I64), addr, None, &slots);
    }

    // Sends

    /// Sends a term, or the product of two.
    pub(super) fn send(
        &mut self,
        number: u32,
        args: &[ir::Value],
        mask: Option<ir::Value>,
    ) -> Result<(), CompileError> {
        let Some(inner) = self.loops.last() else { return Err(self.internal("a send outside its loop")) };
        let (turn, ordinal, left) = (inner.turn, inner.ordinal, inner.left);
        let Some(sink) = inner.sinks.get(number as usize) else {
            return Err(self.internal("a send to a reduction that its loop does not have"));
        };
        let mut now = sink.clone();
        let lanes = self.func.ty(args[0]).lanes();
        match &mut now.home {
            Home::Scalar(total) => {
                let term = self.scalar(args[0]);
                *total = self.combine_scalars(now.op, now.ty, *total, term);
            }
            Home::Lanes { main, tail, .. } => {
                let target = match (turn, tail) {
                    (Turn::Tail, Some(tail)) => tail,
                    _ => main,
                };
                target.group = match target.form {
                    Some(form) => self.send_truths(now.op, form, target, args[0], mask),
                    None => {
                        let shape = Shape::new(now.ty, lanes, self.level);
                        self.send_lanes(now.op, shape, &target.group, args[0], mask)
                    }
                };
            }
            Home::Ordered(ordered) => {
                let Some(ordinal) = ordinal else {
                    return Err(self.internal("an ordered reduction without ordinals"));
                };
                if ordered.site >= ordered.sites {
                    return Err(self.internal("more send sites than the loop's record has"));
                }
                let shape = Shape::new(now.ty, lanes, self.level);
                let a = self.group(args[0]);
                let b = args.get(1).map(|&arg| self.group(arg));
                let mask = mask.map(|mask| self.mask_for(mask, shape.bytes()));
                let terms = Terms {
                    place: ordered.place,
                    ordinal,
                    site: ordered.site,
                    sites: ordered.sites,
                    ty: now.ty,
                    op: now.op,
                    a,
                    b,
                    lanes,
                    mask,
                    left,
                    unchanged: ordered.registers.map_or(Vec::new(), |group| group.to_vec()),
                };
                ordered.site += 1;
                let registers = ordered.registers.filter(|_| turn == Turn::Main);
                let after = self.send_ordered(shape, terms, registers);
                ordered.registers = ordered.registers.and(after);
            }
        }
        if let Some(sink) = self.loops.last_mut().and_then(|inner| inner.sinks.get_mut(number as usize)) {
            *sink = now;
        }
        Ok(())
    }

    fn send_lanes(
        &mut self,
        op: ReduceOp,
        shape: Shape,
        total: &Group,
        term: ir::Value,
        mask: Option<ir::Value>,
    ) -> Group {
        let Some(mask) = mask else {
            let term = self.group(term);
            return self.combine_lanes(op, shape, total, &term);
        };
        let mask = self.mask_for(mask, shape.bytes());
        // Counting: a mask in a vector is -1 where it is on.
        let counts = self.known_splat(term).and_then(|scalar| self.known_int(scalar)) == Some(1);
        if self.level == Level::Avx2 && op == ReduceOp::Sum && counts && !shape.elem.is_float() {
            let row = if shape.bytes() == 8 { Op::Vpsubq } else { Op::Vpsubd };
            return self.each2(row, shape.size(), total, &mask);
        }
        let term = self.group(term);
        self.combine_masked(op, shape, total, &term, &mask)
    }

    /// `total op term` where the mask is on.
    fn combine_masked(
        &mut self,
        op: ReduceOp,
        shape: Shape,
        total: &Group,
        term: &Group,
        mask: &Group,
    ) -> Group {
        if self.level == Level::Avx512
            && let Some(row) = single_row(op, shape)
        {
            return Group::from_fn(total.len(), |k| {
                let args = [total[k].into(), term[k].into()];
                self.m.full(row, shape.size(), Mask::Merge(mask[k], total[k]), &args, 0)
            });
        }
        let identity = kiln_abi::identity(op, ir::kind_of(shape.elem));
        let term = if identity == 0 {
            self.keep(shape, mask, term)
        } else {
            let identities = self.splat_group(shape, identity);
            self.blend(shape, mask, term, &identities)
        };
        self.combine_lanes(op, shape, total, &term)
    }

    /// Truth values: `and` and `min` are one, `or` and `max` another.
    fn send_truths(
        &mut self,
        op: ReduceOp,
        form: MaskForm,
        total: &Lanes,
        term: ir::Value,
        mask: Option<ir::Value>,
    ) -> Group {
        let term = self.mask_as(term, form);
        let mask = mask.map(|mask| self.mask_as(mask, form));
        let code = match op {
            ReduceOp::And | ReduceOp::Min | ReduceOp::Prod => OpCode::And,
            ReduceOp::Or | ReduceOp::Max | ReduceOp::Sum => OpCode::Or,
            ReduceOp::Xor => OpCode::Xor,
        };
        let term = match (mask, &code) {
            (None, _) => term,
            (Some(mask), OpCode::And) => {
                let off = self.logic(&OpCode::Not, form, total.lanes, &mask, None);
                self.logic(&OpCode::Or, form, total.lanes, &term, Some(&off))
            }
            (Some(mask), _) => self.logic(&OpCode::And, form, total.lanes, &term, Some(&mask)),
        };
        self.logic(&code, form, total.lanes, &total.group, Some(&term))
    }

    /// Gives the accumulators, if they are registers.
    fn send_ordered(&mut self, shape: Shape, terms: Terms, registers: Option<Group>) -> Option<Group> {
        let classes: Vec<_> = terms.unchanged.iter().map(|reg| reg.class()).collect();
        let (cold, hot, then) = (self.m.block(&[]), self.m.block(&[]), self.m.block(&classes));
        match terms.place {
            Place::Chunk { .. } => {
                let buffer = Addr::at(self.ctx, offset_of!(Ctx, terms) as i32);
                self.m.op_imm(Op::CmpImm, Size::Q, &[buffer.into()], 0);
            }
            Place::Frame { few, .. } => {
                self.m.op(Op::Test, Size::D, &[few.into(), few.into()]);
            }
        }
        self.m.branch(Cond::NotEqual, (cold, &[]), (hot, &[]));
        self.m.begin(hot);
        let after = match registers {
            Some(total) => Some(self.add_term(shape, &terms, &total)),
            None => {
                // The slots that the ordinals choose.
                let base = self.slots_of(terms.place);
                let lane = match terms.place {
                    // One after the other, a loop of few iterations has but one.
                    Place::Chunk { .. } if shape.is_scalar() => {
                        let mask = Addr::at(self.ctx, offset_of!(Ctx, lane_mask) as i32);
                        self.m.op(Op::And, Size::Q, &[terms.ordinal.into(), mask.into()])
                    }
                    _ => self.m.op_imm(Op::AndImm, Size::Q, &[terms.ordinal.into()], LANES as i32 - 1),
                };
                let addr = Addr { index: Some((lane, 3)), ..base };
                if shape.is_scalar() {
                    let old = self.load_scalar(shape.elem, addr);
                    let new = self.add_term(shape, &terms, &Group::one(old));
                    self.store_scalar(shape.elem, addr, new[0]);
                } else {
                    let old = self.load_slots(shape, addr);
                    let new = self.add_term(shape, &terms, &old);
                    self.store_slots(shape, addr, &new);
                }
                None
            }
        };
        let regs = after.map_or(Vec::new(), |group| group.to_vec());
        self.m.jump(then, &regs);
        let from = self.m.from;
        self.cold.push(Cold::Terms { block: cold, then, terms, from });
        self.m.begin(then);
        after.map(|_| Group::new(self.m.params(then)))
    }

    fn add_term(&mut self, shape: Shape, terms: &Terms, total: &Group) -> Group {
        match (&terms.b, &terms.mask) {
            (Some(b), None) => self.fma_group(Op::Vfmadd132pd, shape, &terms.a, b, total),
            (None, None) => self.combine_lanes(terms.op, shape, total, &terms.a),
            (None, Some(mask)) => self.combine_masked(terms.op, shape, total, &terms.a, mask),
            (Some(b), Some(mask)) => {
                let new = self.fma_group(Op::Vfmadd132pd, shape, &terms.a, b, total);
                self.blend(shape, mask, &new, total)
            }
        }
    }

    /// Writes terms as pairs: (value, 1) or the two factors.
    pub(super) fn write_terms(&mut self, terms: &Terms, then: BlockId) {
        let base = match terms.place {
            Place::Chunk { .. } => {
                let buffer = self.ctx_field(offset_of!(Ctx, terms));
                let first = self.ctx_field(offset_of!(Ctx, terms_base));
                let position = self.m.op(Op::Sub, Size::Q, &[terms.ordinal.into(), first.into()]);
                let distance =
                    self.m.op_imm(Op::ImulImm, Size::Q, &[position.into()], 16 * terms.sites as i32);
                Addr { index: Some((distance, 0)), ..Addr::at(buffer, 16 * terms.site as i32) }
            }
            Place::Frame { terms: start, .. } => {
                let distance =
                    self.m.op_imm(Op::ImulImm, Size::Q, &[terms.ordinal.into()], 16 * terms.sites as i32);
                Addr { index: Some((distance, 0)), ..Addr::frame(start + 16 * terms.site as i32) }
            }
        };
        let one = kiln_abi::identity(ReduceOp::Prod, ir::kind_of(terms.ty));
        let identity = kiln_abi::identity(terms.op, ir::kind_of(terms.ty));
        if terms.lanes == 0 {
            self.store_scalar(terms.ty, base, terms.a[0]);
            let second = terms.b.map_or_else(|| self.constant_bits(terms.ty, one), |b| b[0]);
            self.store_scalar(terms.ty, base.plus(8), second);
            return self.m.jump(then, &terms.unchanged);
        }
        let shape = Shape::new(terms.ty, terms.lanes, self.level);
        let ones = self.splat_group(shape, one);
        let (mut a, mut b) = (terms.a, terms.b.unwrap_or(ones));
        if let Some(mask) = &terms.mask {
            let identities = self.splat_group(shape, identity);
            a = self.blend(shape, mask, &a, &identities);
            b = self.blend(shape, mask, &b, &ones);
        }
        let bytes = (shape.pieces() * shape.piece_bytes()) as i32;
        let (first, second) = (self.m.take_frame(bytes), self.m.take_frame(bytes));
        self.store_pieces(shape, Addr::frame(first), None, &a);
        self.store_pieces(shape, Addr::frame(second), None, &b);
        let most = self.m.imm64(i64::from(terms.lanes));
        let count = match terms.left {
            Some(left) => self.least(Scalar::I64, left, most),
            None => most,
        };
        let start = self.m.op(Op::Lea, Size::Q, &[base.into()]);
        let zero = self.m.imm64(0);
        let shift = shape.bytes().trailing_zeros() as u8;
        self.repeat_with(zero, count, &[start], |s, lane, at| {
            let to = Addr::at(at[0], 0);
            for (area, to) in [(first, to), (second, to.plus(8))] {
                let from = Addr { index: Some((lane, shift)), ..Addr::frame(area) };
                let value = s.load_scalar(shape.elem, from);
                s.store_scalar(shape.elem, to, value);
            }
            vec![s.m.op_imm(Op::AddImm, Size::Q, &[at[0].into()], 16 * terms.sites as i32)]
        });
        self.m.jump(then, &terms.unchanged);
    }

    // The end

    /// Folds the accumulators of a block and joins its value to those before.
    pub(super) fn fold_blocks(&mut self, sinks: &[Sink]) {
        let Some(few) = few_of(sinks) else { return };
        let (fold, then) = (self.m.block(&[]), self.m.block(&[]));
        self.m.op(Op::Test, Size::D, &[few.into(), few.into()]);
        self.m.branch(Cond::NotEqual, (then, &[]), (fold, &[]));
        self.m.begin(fold);
        for (sink, start) in framed(sinks) {
            let kind = self.m.imm64(ordered_kind(sink) as i64);
            let accs = self.m.op(Op::Lea, Size::Q, &[Addr::frame(start).into()]);
            let state = self.m.op(Op::Lea, Size::Q, &[Addr::frame(start + 8 * LANES as i32).into()]);
            self.host(HostFn::FoldBlock, &[self.ctx, kind, accs, state]);
        }
        self.m.jump(then, &[]);
        self.m.begin(then);
    }

    /// Totals, in the order of the reductions. Those of a chunk are in `ctx.partial`, and what is given here is nothing.
    pub(super) fn close_sinks(&mut self, data: &ForData, sinks: &[Sink]) -> Vec<VReg> {
        let is_chunk = self.chunk.is_some() && self.depth == 1;
        let joined = self.join_blocks(sinks);
        let mut joined = joined.into_iter();
        let mut totals = Vec::new();
        for (number, sink) in sinks.iter().enumerate() {
            let total = match &sink.home {
                Home::Scalar(total) => *total,
                Home::Lanes { main, tail, .. } => {
                    let total = self.fold_lanes(sink, main);
                    match tail {
                        None => total,
                        Some(tail) => {
                            let rest = self.fold_lanes(sink, tail);
                            self.combine_scalars(sink.op, sink.ty, total, rest)
                        }
                    }
                }
                Home::Ordered(_) if is_chunk => self.constant_bits(sink.ty, 0),
                Home::Ordered(_) => joined.next().unwrap_or_else(|| self.zero()),
            };
            if let (Some(info), false) =
                (self.chunk.filter(|_| is_chunk), is_ordered(&data.reductions[number]))
            {
                let partial = self.ctx_field(offset_of!(Ctx, partial));
                let slot = info.scalar_slot(number);
                let total = if data.lanes == 1 {
                    total
                } else {
                    let before = self.load_slot(partial, slot, sink.ty);
                    self.combine_scalars(sink.op, sink.ty, before, total)
                };
                self.store_slot(partial, slot, sink.ty, total);
            }
            totals.push(total);
        }
        totals
    }

    /// Totals of the ordered reductions of a whole loop.
    fn join_blocks(&mut self, sinks: &[Sink]) -> Vec<VReg> {
        let Some(few) = few_of(sinks) else { return Vec::new() };
        let framed: Vec<(Sink, i32)> = framed(sinks).map(|(sink, start)| (sink.clone(), start)).collect();
        let classes = vec![V; framed.len()];
        let (single, joined, total) = (self.m.block(&[]), self.m.block(&[]), self.m.block(&classes));
        self.m.op(Op::Test, Size::D, &[few.into(), few.into()]);
        self.m.branch(Cond::NotEqual, (single, &[]), (joined, &[]));
        self.m.begin(single);
        let values = self.fold_terms(&framed);
        self.m.jump(total, &values);
        self.m.begin(joined);
        let mut values = Vec::new();
        for (sink, start) in &framed {
            let kind = self.m.imm64(ordered_kind(sink) as i64);
            let state = self.m.op(Op::Lea, Size::Q, &[Addr::frame(start + 8 * LANES as i32).into()]);
            self.host(HostFn::FinishBlocks, &[self.ctx, kind, state]);
            values.push(self.load_scalar(sink.ty, Addr::frame(start + 8 * (LANES as i32 + 1))));
        }
        self.m.jump(total, &values);
        self.m.begin(total);
        self.m.params(total).to_vec()
    }

    /// Adds up the terms in the frame, left to right.
    fn fold_terms(&mut self, framed: &[(Sink, i32)]) -> Vec<VReg> {
        let Some((Sink { home: Home::Ordered(first), .. }, _)) = framed.first() else { return Vec::new() };
        let Place::Frame { terms, iterations, .. } = first.place else { return Vec::new() };
        let row = 16 * first.sites as i32;
        let starts: Vec<VReg> =
            framed.iter().map(|(sink, _)| self.constant_bits(sink.ty, sink.identity())).collect();
        let zero = self.m.imm64(0);
        let all_sites = first.sites;
        self.repeat_with(zero, iterations, &starts, |s, q, totals| {
            let distance = s.m.op_imm(Op::ImulImm, Size::Q, &[q.into()], row);
            let mut after = Vec::new();
            for (k, (sink, _)) in framed.iter().enumerate() {
                let Home::Ordered(own) = &sink.home else { continue };
                let next = framed.get(k + 1).map_or(all_sites, |(next, _)| match &next.home {
                    Home::Ordered(next) => next.first_site,
                    Home::Scalar(_) | Home::Lanes { .. } => all_sites,
                });
                let mut total = totals[k];
                for site in own.first_site..next {
                    let at = Addr { index: Some((distance, 0)), ..Addr::frame(terms + 16 * site as i32) };
                    let a = s.load_scalar(sink.ty, at);
                    total = match sink.op {
                        // A plain term is a product with 1, which rounds as the sum does.
                        ReduceOp::Sum => {
                            let b = s.load_scalar(sink.ty, at.plus(8));
                            s.fma_scalar(sink.ty, a, b, total)
                        }
                        op => s.combine_scalars(op, sink.ty, total, a),
                    };
                }
                after.push(total);
            }
            after
        })
    }

    /// All lanes of an accumulator as one scalar.
    fn fold_lanes(&mut self, sink: &Sink, lanes: &Lanes) -> VReg {
        if let Some(form) = lanes.form {
            return self.fold_truths(sink.op, form, lanes);
        }
        let mut group = lanes.group;
        let mut count = lanes.lanes;
        while group.len() > 1 {
            let (low, high) = group.split_at(group.len() / 2);
            let (low, high) = (Group::new(low), Group::new(high));
            count /= 2;
            group = self.combine_lanes(sink.op, sink.shape(count, self.level), &low, &high);
        }
        while count > 1 {
            let shape = sink.shape(count, self.level);
            let whole = group[0];
            let high = match (shape.piece_bytes(), self.level) {
                (64, _) => self.m.op_imm(Op::Vextracti64x4, Size::Z, &[whole.into()], 1),
                (32, Level::Avx512) => self.m.op_imm(Op::Vextracti32x4, Size::Y, &[whole.into()], 1),
                (32, Level::Avx2) => self.m.op_imm(Op::Vextracti128, Size::Y, &[whole.into()], 1),
                (16, _) => self.m.op_imm(Op::Vpshufd, Size::X, &[whole.into()], 0b1110),
                (_, _) => self.m.op_imm(Op::Vpshufd, Size::X, &[whole.into()], 0b01),
            };
            // The upper lanes hold what they will.
            let half = sink.shape((count / 2).max(2), self.level);
            group = self.combine_lanes(sink.op, half, &Group::one(whole), &Group::one(high));
            count /= 2;
        }
        let shape = sink.shape(2, self.level);
        self.lane_of(shape, &group, 0)
    }

    fn fold_truths(&mut self, op: ReduceOp, form: MaskForm, lanes: &Lanes) -> VReg {
        match op {
            ReduceOp::And | ReduceOp::Min | ReduceOp::Prod => {
                let cond = self.all(form, lanes.lanes, &lanes.group);
                self.truth(cond)
            }
            ReduceOp::Or | ReduceOp::Max | ReduceOp::Sum => {
                let cond = self.any(form, lanes.lanes, &lanes.group);
                self.truth(cond)
            }
            ReduceOp::Xor => {
                let bits = self.bits_of(form, lanes.lanes, &lanes.group);
                let count = self.m.op(Op::Popcnt, Size::D, &[bits.into()]);
                self.m.op_imm(Op::AndImm, Size::D, &[count.into()], 1)
            }
        }
    }
}

fn ordered_sink(reduction: &Reduction, place: Place, site: usize, sites: usize) -> Sink {
    let ordered = Ordered { place, site, first_site: site, sites, registers: None };
    Sink { op: reduction.op, ty: reduction.ty, home: Home::Ordered(ordered) }
}

/// Reductions whose accumulators are in the frame, and where.
fn framed(sinks: &[Sink]) -> impl Iterator<Item = (&Sink, i32)> {
    sinks.iter().filter_map(|sink| match &sink.home {
        Home::Ordered(Ordered { place: Place::Frame { start, .. }, .. }) => Some((sink, *start)),
        Home::Ordered(_) | Home::Scalar(_) | Home::Lanes { .. } => None,
    })
}

/// Whether terms go to the frame's buffer, if there is one.
fn few_of(sinks: &[Sink]) -> Option<VReg> {
    sinks.iter().find_map(|sink| match &sink.home {
        Home::Ordered(Ordered { place: Place::Frame { few, .. }, .. }) => Some(*few),
        Home::Ordered(_) | Home::Scalar(_) | Home::Lanes { .. } => None,
    })
}

/// Is the order of the terms part of the result?
pub(super) fn is_ordered(reduction: &Reduction) -> bool {
    reduction.op.is_ordered(ir::kind_of(reduction.ty))
}

/// The one instruction that an operator is, on AVX-512.
fn single_row(op: ReduceOp, shape: Shape) -> Option<Op> {
    let float = shape.elem.is_float();
    let wide = shape.bytes() == 8;
    Some(match (op, float, wide) {
        (ReduceOp::Sum, true, true) => Op::Vaddpd,
        (ReduceOp::Sum, true, false) => Op::Vaddps,
        (ReduceOp::Prod, true, true) => Op::Vmulpd,
        (ReduceOp::Prod, true, false) => Op::Vmulps,
        (ReduceOp::Sum, false, true) => Op::Vpaddq,
        (ReduceOp::Sum, false, false) => Op::Vpaddd,
        (ReduceOp::Prod, false, true) => Op::Vpmullq,
        (ReduceOp::Prod, false, false) => Op::Vpmulld,
        (ReduceOp::And, _, true) => Op::Vpandq,
        (ReduceOp::And, _, false) => Op::Vpandd,
        (ReduceOp::Or, _, true) => Op::Vporq,
        (ReduceOp::Or, _, false) => Op::Vpord,
        (ReduceOp::Xor, _, true) => Op::Vpxorq,
        (ReduceOp::Xor, _, false) => Op::Vpxord,
        (ReduceOp::Min | ReduceOp::Max, true, _) => return None,
        (ReduceOp::Min, false, _) => match shape.elem {
            Scalar::I32 => Op::Vpminsd,
            Scalar::U32 => Op::Vpminud,
            Scalar::I64 => Op::Vpminsq,
            _ => Op::Vpminuq,
        },
        (ReduceOp::Max, false, _) => match shape.elem {
            Scalar::I32 => Op::Vpmaxsd,
            Scalar::U32 => Op::Vpmaxud,
            Scalar::I64 => Op::Vpmaxsq,
            _ => Op::Vpmaxuq,
        },
    })
}

fn ordered_kind(sink: &Sink) -> OrderedKind {
    match (sink.op, sink.ty) {
        (ReduceOp::Prod, Scalar::F32) => OrderedKind::ProdF32,
        (ReduceOp::Prod, _) => OrderedKind::ProdF64,
        (_, Scalar::F32) => OrderedKind::SumF32,
        (_, _) => OrderedKind::SumF64,
    }
}
