//! Loops: what they carry, what they reduce, and what forbids an annotation.
//!
//! In: `for`, `while`, and the loops that generators make. Out: `for` and `while` ops. Holds: a plain loop carries exactly the slots that it
//! assigns; an annotated one carries none: what it assigns of the world outside are reductions (SEMANTICS section 5), else it is refused.

use super::build::{LOOKS_PER_OP, identity};
use super::effects::{How, Part, Stretch, Target};
use super::{Loop, LoopPart, Lower, Slot};
use crate::ir::{self, CheckKind, ForData, OpCode, Reduction, Terminator};
use kiln_abi::ReduceOp;
use kiln_lang::diag::Diagnostic;
use kiln_lang::span::Span;
use kiln_lang::tree::{BinaryOp, Expr, For, Index, LocalId, LoopAnnotations, Stmt, UpdateOp};
use kiln_lang::types::Scalar;
use std::collections::HashMap;

/// Most indices of one loop.
const MAX_INDICES: usize = 16;

/// The header of a `for` or a generator.
pub(super) struct Header<'a> {
    pub indices: &'a [Index],
    pub annotations: &'a LoopAnnotations,
    pub draws: bool,
    /// Its body's assignments and reads.
    pub inside: Stretch,
    pub shape: Shape,
    pub span: Span,
}

/// What kind of loop it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A `for` statement.
    Statement,
    /// A generator whose total is a reduction.
    Generator,
    /// A generator whose result is carried from term to term (`argmin`).
    Search,
}

/// The ranges of a loop, evaluated.
pub(super) struct Ranges {
    los: Vec<ir::Value>,
    steps: Vec<Option<ir::Value>>,
    pub extents: Vec<ir::Value>,
}

/// The reductions and carried values that a generator itself adds to its loop.
#[derive(Default)]
pub(super) struct Own {
    pub reductions: Vec<Reduction>,
    pub carried: Vec<ir::Value>,
}

/// What a loop's body sees of it.
pub(super) struct Iteration {
    ordinals: Vec<ir::Value>,
    extents: Vec<ir::Value>,
    /// [`Own::carried`], at the start of the iteration.
    pub carried: Vec<ir::Value>,
}

/// What a reduction variable was before the loop, and what it is inside.
struct Sink {
    slot: u32,
    op: ReduceOp,
    before: Slot,
}

impl Ranges {
    /// 0 up to each extent.
    pub fn over(extents: &[ir::Value]) -> Ranges {
        Ranges { los: Vec::new(), steps: Vec::new(), extents: extents.to_vec() }
    }
}

impl Iteration {
    /// One per extent.
    pub fn ordinals(&self) -> &[ir::Value] {
        &self.ordinals
    }
}

impl Lower<'_> {
    pub(super) fn for_stmt(&mut self, node: &For) {
        let header = Header {
            indices: &node.indices,
            annotations: &node.annotations,
            draws: node.draws,
            inside: self.effects.of(node, Part::Inside),
            shape: Shape::Statement,
            span: node.span,
        };
        let fast = self.fast;
        self.fast |= node.annotations.fast;
        let ranges = self.ranges(header.indices);
        self.for_loop(&header, &ranges, Own::default(), |lower, _| {
            lower.stmts(&node.body);
            Vec::new()
        });
        self.fast = fast;
    }

    /// Evaluates bounds and steps in order, and counts.
    pub(super) fn ranges(&mut self, indices: &[Index]) -> Ranges {
        if indices.len() > MAX_INDICES {
            let span = indices[MAX_INDICES].lo.span;
            self.findings.report(
                Diagnostic::error(format!("a loop has at most {MAX_INDICES} indices"), span, "one too many")
                    .help("nest two loops"),
            );
        }
        let indices = &indices[..indices.len().min(MAX_INDICES)];
        let mut ranges = Ranges { los: Vec::new(), steps: Vec::new(), extents: Vec::new() };
        for index in indices {
            let lo = self.value(&index.lo);
            let hi = self.value(&index.hi);
            let step = index.step.as_ref().map(|step| {
                let value = self.value(step);
                self.check_not_zero(CheckKind::Step, value, step.span);
                value
            });
            let span = index.lo.span.to(index.hi.span);
            ranges.extents.push(self.extent(lo, hi, step, index.inclusive, span));
            ranges.los.push(lo);
            ranges.steps.push(step);
        }
        ranges
    }

    /// Lowers a `for`. `body` gets the iteration and returns the next values of [`Own::carried`]. Returns the last of those, then the
    /// totals of [`Own::reductions`].
    pub(super) fn for_loop(
        &mut self,
        header: &Header,
        ranges: &Ranges,
        own: Own,
        body: impl FnOnce(&mut Self, &Iteration) -> Vec<ir::Value>,
    ) -> Vec<ir::Value> {
        let span = header.span;
        let is_annotated = header.annotations.is_annotated();
        let opens = super::effects::opens_streams(header.draws, is_annotated, self.current_is_root());
        let child = opens.then(|| self.take_child_key(span));
        let unique = self.check_unique(header, ranges);

        let (carried, sinks) =
            if is_annotated { self.reductions_of(header) } else { self.carried_by(&header.inside) };
        let mut reductions = own.reductions;
        let own_reductions = reductions.len();
        let initial = self.slot_values(&carried);
        let mut args = ranges.extents.clone();
        args.extend(&own.carried);
        args.extend(&initial);

        // Annotated loops take the updates as reductions; the others accumulate from the identity.
        let mut before = Vec::new();
        if is_annotated && header.shape != Shape::Search {
            for sink in &sinks {
                let reduction = reductions.len() as u32;
                let ty = self.slot_type(sink.slot).scalar();
                let name = self.slot_name(sink.slot).unwrap_or_else(|| "".into());
                reductions.push(Reduction { op: sink.op, ty, name });
                self.env[sink.slot as usize] = Slot::Sink { reduction, op: sink.op };
            }
        } else {
            for sink in &sinks {
                let ty = self.slot_type(sink.slot).scalar();
                let start = self.constant(identity(sink.op, ty), span);
                args.push(start);
                before.push(sink.slot);
            }
        }
        let mut slots = carried;
        slots.extend(before);

        let region = self.out.add_region();
        let parent = (self.region, self.dead);
        let iteration = self.iteration_params(region, header, ranges, &own.carried);
        self.bind_params(region, &slots);
        let own_carried = self.in_region(region, span, |lower| {
            lower.enter_loop(LoopPart::Body, &slots);
            lower.index_values(header, ranges, &iteration);
            if let Some(key) = child {
                let ordinal = lower.linear(&iteration, span);
                lower.enter_iteration(key, ordinal, span);
            }
            let generator = lower.generator;
            lower.generator = header.annotations.generator.unwrap_or(generator);
            let next = body(lower, &iteration);
            lower.generator = generator;
            if child.is_some() {
                lower.leave_iteration();
            }
            lower.loops.pop();
            next
        });
        self.end_region(region, own_carried, &slots);
        (self.region, self.dead) = parent;

        let types: Vec<ir::Type> = args[ranges.extents.len()..]
            .iter()
            .map(|&value| self.out.ty(value))
            .chain(reductions.iter().map(|reduction| ir::Type::Scalar(reduction.ty)))
            .collect();
        let data = ForData {
            parallel: header.annotations.parallel && header.shape != Shape::Search,
            vectorize: header.annotations.vectorize && header.shape != Shape::Search,
            generator: header.shape == Shape::Generator,
            unique,
            reductions,
            ..ForData::plain(ranges.extents.len() as u8, span)
        };
        let op = self.push(OpCode::For(Box::new(data)), args, &types, span);
        self.out.ops[op.index()].regions = vec![region];
        let mut results = self.out.op(op).results.clone();
        let mut totals = results.split_off(own.carried.len() + slots.len());
        let values = results.split_off(own.carried.len());
        for (&slot, value) in slots.iter().zip(values) {
            self.set_slot(slot, value);
        }
        let sink_totals = totals.split_off(own_reductions);
        self.hand_on_totals(&sinks, &sink_totals, span);
        results.extend(totals);
        results
    }

    pub(super) fn while_stmt(&mut self, stmt: &Stmt, cond: &Expr, body: &[Stmt]) {
        let span = cond.span;
        let inside = self.effects.of(stmt, Part::Inside);
        let (mut slots, sinks) = self.carried_by(&inside);
        let mut args = self.slot_values(&slots);
        for sink in &sinks {
            let ty = self.slot_type(sink.slot).scalar();
            args.push(self.constant(identity(sink.op, ty), span));
            slots.push(sink.slot);
        }
        let types: Vec<ir::Type> = args.iter().map(|&value| self.out.ty(value)).collect();
        let parent = (self.region, self.dead);
        let test = self.out.add_region();
        self.bind_params(test, &slots);
        let cond = self.in_region(test, span, |lower| {
            lower.enter_loop(LoopPart::Condition, &slots);
            let cond = lower.value(cond);
            lower.loops.pop();
            cond
        });
        self.end_region(test, vec![cond], &slots);
        let region = self.out.add_region();
        self.bind_params(region, &slots);
        self.in_region(region, span, |lower| {
            lower.enter_loop(LoopPart::Body, &slots);
            lower.stmts(body);
            lower.loops.pop();
        });
        self.end_region(region, Vec::new(), &slots);
        (self.region, self.dead) = parent;
        let op = self.push(OpCode::While, args, &types, span);
        self.out.ops[op.index()].regions = vec![test, region];
        let results = self.out.op(op).results.clone();
        for (&slot, value) in slots.iter().zip(results) {
            self.set_slot(slot, value);
        }
        self.hand_on_totals(&sinks, &[], span);
    }

    /// `break`, `continue`: frees what the iteration owns and leaves. Those that would leave a generator or break off an annotated loop have
    /// been refused before.
    pub(super) fn leave_iteration_early(&mut self, end: fn(u32, Vec<ir::Value>) -> Terminator, span: Span) {
        let skipped = self.loops.iter().rev().take_while(|around| around.part == LoopPart::Condition).count();
        let Some(around) = self.loops.iter().rev().nth(skipped) else { return };
        let (carried, scopes) = (around.carried.clone(), around.scopes);
        self.free_scopes_from(scopes, span);
        let values = self.slot_values(&carried);
        self.terminate(end(skipped as u32, values));
    }

    /// The linear ordinal of an iteration: row-major over the indices.
    pub(super) fn linear(&mut self, iteration: &Iteration, span: Span) -> ir::Value {
        let mut linear = iteration.ordinals[0];
        for (&ordinal, &extent) in iteration.ordinals.iter().zip(&iteration.extents).skip(1) {
            let rows = self.fold(OpCode::Mul, linear, extent, span);
            linear = self.fold(OpCode::Add, rows, ordinal, span);
        }
        linear
    }

    /// Sends a value to a reduction of the innermost loop.
    pub(super) fn send(&mut self, reduction: u32, term: ir::Value, span: Span) {
        self.push(OpCode::Send { reduction }, vec![term], &[], span);
    }

    fn enter_loop(&mut self, part: LoopPart, slots: &[u32]) {
        // The body's scope is open already.
        let scopes = self.scopes.len() - 1;
        self.loops.push(Loop { part, carried: slots.to_vec(), scopes, indices: Vec::new() });
    }

    /// Parameters of a `for`'s region: an ordinal per index, then what a generator carries.
    fn iteration_params(
        &mut self,
        region: ir::RegionId,
        header: &Header,
        ranges: &Ranges,
        carried: &[ir::Value],
    ) -> Iteration {
        let ordinals = (0..ranges.extents.len())
            .map(|position| {
                let is_index = |lower: &Self| {
                    lower.known(ranges.los[position]) == Some(0) && ranges.steps[position].is_none()
                };
                let name = match header.indices.get(position) {
                    Some(index) if is_index(self) => Some(self.names[index.local.0 as usize].clone()),
                    Some(_) | None => None,
                };
                let ordinal = self.out.add_param(region, ir::Type::I64, name);
                self.note_ordinal(ordinal, ranges.extents[position]);
                ordinal
            })
            .collect();
        let carried =
            carried.iter().map(|&value| self.out.add_param(region, self.out.ty(value), None)).collect();
        Iteration { ordinals, extents: ranges.extents.clone(), carried }
    }

    /// Parameters of a region for carried slots, bound to them.
    fn bind_params(&mut self, region: ir::RegionId, slots: &[u32]) {
        for &slot in slots {
            let name = self.slot_name(slot);
            let ty = match self.env[slot as usize] {
                Slot::Value(value) => self.out.ty(value),
                Slot::Unset | Slot::Sink { .. } => self.slot_type(slot),
            };
            let param = self.out.add_param(region, ty, name);
            self.env[slot as usize] = Slot::Value(param);
        }
    }

    /// Index variables: lo + ordinal * step.
    fn index_values(&mut self, header: &Header, ranges: &Ranges, iteration: &Iteration) {
        for (position, index) in header.indices.iter().take(MAX_INDICES).enumerate() {
            let span = header.span;
            let mut value = iteration.ordinals[position];
            if let Some(step) = ranges.steps[position] {
                value = self.fold(OpCode::Mul, value, step, span);
            }
            value = self.fold(OpCode::Add, ranges.los[position], value, span);
            self.set_local(index.local, &[value]);
            let name = self.names[index.local.0 as usize].clone();
            if let Some(innermost) = self.loops.last_mut() {
                innermost.indices.push((name, value));
            }
        }
    }

    fn end_region(&mut self, region: ir::RegionId, mut values: Vec<ir::Value>, slots: &[u32]) {
        if !self.dead {
            values.extend(self.slot_values(slots));
            self.out.regions[region.index()].end = Terminator::Yield(values);
        }
    }

    /// Slots that a plain loop carries; and those reductions of the loop around that it updates, which it accumulates by itself.
    fn carried_by(&mut self, inside: &Stretch) -> (Vec<u32>, Vec<Sink>) {
        let assigned = self.assigned(inside);
        let sinks = assigned
            .sinks
            .into_iter()
            .map(|(slot, reduction, op)| Sink { slot, op, before: Slot::Sink { reduction, op } })
            .collect();
        (assigned.values, sinks)
    }

    /// After an inner loop: its totals go into the variables, or as one term each to the loop around.
    fn hand_on_totals(&mut self, sinks: &[Sink], totals: &[ir::Value], span: Span) {
        for (position, sink) in sinks.iter().enumerate() {
            let total = match totals.get(position) {
                Some(&total) => total,
                None => self.slot_value(sink.slot),
            };
            self.env[sink.slot as usize] = sink.before;
            match sink.before {
                Slot::Value(before) => {
                    let after = self.combine(sink.op, before, total, span);
                    self.set_slot(sink.slot, after);
                }
                Slot::Sink { reduction, .. } => self.send(reduction, total, span),
                Slot::Unset => {}
            }
        }
    }

    /// `@unique(p)`: the check before the loop. Returns the arrays.
    fn check_unique(&mut self, header: &Header, ranges: &Ranges) -> Vec<ir::Value> {
        let mut arrays = Vec::new();
        for &(local, span) in &header.annotations.unique {
            let array = self.local_value(local);
            let size = self.dim(array, 0, span);
            let zero = self.int(0, span);
            // Of an array that is read at the loop's index alone, what the loop reads must differ; else all of it.
            let (offset, count) = match header.indices {
                [index] if index.step.is_none() && self.is_read_at(array, index.local, &header.inside) => {
                    let lo = self.fold(OpCode::Max, ranges.los[0], zero, span);
                    let offset = self.fold(OpCode::Min, lo, size, span);
                    let room = self.fold(OpCode::Sub, size, offset, span);
                    (offset, self.fold(OpCode::Min, ranges.extents[0], room, span))
                }
                _ => (zero, size),
            };
            let kind = CheckKind::Unique { array: self.names[local.0 as usize].clone() };
            self.check(kind, &[array, offset, count], span);
            arrays.push(array);
        }
        arrays
    }

    /// Is every read of `array` in the stretch, under any name, one of the element at `index`?
    fn is_read_at(&self, array: ir::Value, index: LocalId, inside: &Stretch) -> bool {
        self.effects.reads[inside.reads.clone()].iter().all(|read| {
            read.at == Some(index)
                || self.slots.of(read.local).all(|slot| self.env[slot] != Slot::Value(array))
        })
    }

    /// The reductions of an annotated loop; what is assigned otherwise is reported, and carried so that lowering can go on.
    fn reductions_of(&mut self, header: &Header) -> (Vec<u32>, Vec<Sink>) {
        let (mut carried, mut sinks) = (Vec::new(), Vec::new());
        self.charge((header.inside.writes.len() + header.inside.reads.len()) / LOOKS_PER_OP);
        if self.is_full() {
            return (carried, sinks);
        }
        for candidate in self.candidates(&header.inside) {
            let refusal = self.refusal(&candidate, header);
            let slot = self.slots.first[candidate.local.0 as usize];
            match (refusal, candidate.op) {
                (None, Some(op)) => {
                    let before = self.env[slot as usize];
                    sinks.push(Sink { slot, op, before });
                }
                (refusal, _) => {
                    if let Some(refusal) = refusal
                        && self.reported.insert(candidate.local)
                    {
                        self.findings.report(refusal);
                    }
                    let slots = self.slots.of(candidate.local);
                    carried.extend(
                        slots
                            .filter(|&slot| matches!(self.env[slot], Slot::Value(_)))
                            .map(|slot| slot as u32),
                    );
                }
            }
        }
        (carried, sinks)
    }

    /// The locals from outside that a loop's body assigns, in order of the first assignment.
    fn candidates(&self, inside: &Stretch) -> Vec<Candidate> {
        let mut candidates: Vec<Candidate> = Vec::new();
        let mut positions: HashMap<LocalId, usize> = HashMap::new();
        for write in &self.effects.writes[inside.writes.clone()] {
            let Target::Local(local) = write.target else { continue };
            let slots = self.slots.of(local);
            if slots.clone().all(|slot| self.env[slot] == Slot::Unset) {
                continue;
            }
            let scalar = slots.len() == 1 && !self.slots.types[slots.start].is_array();
            let op = match write.how {
                How::Update(op) if scalar => {
                    reduce_op(op).map(|op| for_type(op, self.slots.types[slots.start].scalar()))
                }
                How::Update(_) | How::Set | How::Swap | How::Draw(_) | How::Count => None,
            };
            let position = *positions.entry(local).or_insert_with(|| {
                candidates.push(Candidate {
                    local,
                    op,
                    first: write.span,
                    odd: op.is_none().then_some((write.how, write.span)),
                    read: None,
                });
                candidates.len() - 1
            });
            let candidate = &mut candidates[position];
            if candidate.odd.is_none() && candidate.op != op {
                candidate.odd = Some((write.how, write.span));
            }
        }
        for read in &self.effects.reads[inside.reads.clone()] {
            if let Some(&position) = positions.get(&read.local) {
                candidates[position].read.get_or_insert(read.span);
            }
        }
        candidates
    }

    /// Why a variable from outside cannot be assigned like that in an annotated loop.
    fn refusal(&self, candidate: &Candidate, header: &Header) -> Option<Diagnostic> {
        let local = &self.func.locals[candidate.local.0 as usize];
        let name = &local.name;
        let how = annotation_words(header.annotations);
        let what = match header.shape {
            Shape::Statement => "loop",
            Shape::Generator | Shape::Search => "generator",
        };
        let without =
            format!("remove {} to run the iterations one after another", written(header.annotations));
        let inside = format!("declare `{name}` inside the loop if each iteration needs its own");
        let diagnostic = if let Some((odd, span)) = candidate.odd {
            match (odd, candidate.op) {
                (How::Update(other), Some(op)) => Diagnostic::error(
                    format!(
                        "`{name}` is updated with both `{}` and `{}` in {how} {what}",
                        spelling(op),
                        update_spelling(other)
                    ),
                    span,
                    "a reduction has one operator",
                )
                .with(candidate.first, format!("updated with `{}` here", spelling(op)))
                .help("use a variable of its own for each operator, and combine them after the loop"),
                (How::Update(other), None) => Diagnostic::error(
                    format!("`{name}` carries a value from one iteration of {how} {what} to the next"),
                    span,
                    format!("`{}` is no reduction: its result depends on the order", update_spelling(other)),
                )
                .with(local.span, format!("`{name}` is declared outside the loop"))
                .help("reductions are `+=`, `-=`, `*=`, `min=`, `max=`, `&=`, `|=`, `^=`")
                .help(inside),
                // Of arrays and streams, infer has refused it before.
                (How::Set | How::Swap | How::Draw(_) | How::Count, _) => Diagnostic::error(
                    format!("`{name}` carries a value from one iteration of {how} {what} to the next"),
                    span,
                    "assigned here",
                )
                .with(local.span, format!("`{name}` is declared outside the loop"))
                .help(inside)
                .help(format!(
                    "update it as a reduction (`{name} += …`, `*=`, `min=`, `max=`, `&=`, `|=`, `^=`) and read it after the loop"
                )),
            }
        } else if let Some(read) = candidate.read {
            Diagnostic::error(
                format!("`{name}` is read in {how} {what} that reduces it"),
                read,
                "it has no value of its own before the loop ends",
            )
            .with(candidate.first, format!("reduced with `{}` here", candidate.op.map_or("=", spelling)))
            .help(format!("read `{name}` after the loop"))
            .help("keep what one iteration needs in a variable of its own, declared inside the loop")
        } else {
            return None;
        };
        Some(diagnostic.with(header.span, format!("{how} {what}")).help(without))
    }
}

/// A local from outside that an annotated loop assigns.
struct Candidate {
    local: LocalId,
    /// The operator of its first update, if that is a reduction's.
    op: Option<ReduceOp>,
    first: Span,
    /// The first assignment that does not fit a reduction with that operator.
    odd: Option<(How, Span)>,
    /// The first read.
    read: Option<Span>,
}

/// ``a `@parallel` ``, to go before "loop".
fn annotation_words(annotations: &LoopAnnotations) -> &'static str {
    match (annotations.parallel, annotations.vectorize) {
        (true, true) => "a `@parallel @vectorize`",
        (true, false) => "a `@parallel`",
        (false, true) => "a `@vectorize`",
        (false, false) => "a",
    }
}

fn written(annotations: &LoopAnnotations) -> &'static str {
    match (annotations.parallel, annotations.vectorize) {
        (true, true) => "`@parallel @vectorize`",
        (true, false) => "`@parallel`",
        (false, true) => "`@vectorize`",
        (false, false) => "the annotation",
    }
}

/// The reduction that an update is, if it is one.
pub(super) fn reduce_op(op: UpdateOp) -> Option<ReduceOp> {
    match op {
        UpdateOp::Min => Some(ReduceOp::Min),
        UpdateOp::Max => Some(ReduceOp::Max),
        UpdateOp::Binary(op) => match op {
            BinaryOp::Add => Some(ReduceOp::Sum),
            BinaryOp::Mul => Some(ReduceOp::Prod),
            BinaryOp::BitAnd => Some(ReduceOp::And),
            BinaryOp::BitOr => Some(ReduceOp::Or),
            BinaryOp::BitXor => Some(ReduceOp::Xor),
            BinaryOp::Sub
            | BinaryOp::Div
            | BinaryOp::FloorDiv
            | BinaryOp::Rem
            | BinaryOp::Pow
            | BinaryOp::MatMul
            | BinaryOp::And
            | BinaryOp::Or
            | BinaryOp::Shl
            | BinaryOp::Shr => None,
        },
    }
}

/// On truth values, the least is `and`, the greatest is `or`.
pub(super) fn for_type(op: ReduceOp, ty: Scalar) -> ReduceOp {
    match (op, ty) {
        (ReduceOp::Min | ReduceOp::Prod, Scalar::Bool) => ReduceOp::And,
        (ReduceOp::Max, Scalar::Bool) => ReduceOp::Or,
        _ => op,
    }
}

fn spelling(op: ReduceOp) -> &'static str {
    match op {
        ReduceOp::Sum => "+=",
        ReduceOp::Prod => "*=",
        ReduceOp::Min => "min=",
        ReduceOp::Max => "max=",
        ReduceOp::And => "&=",
        ReduceOp::Or => "|=",
        ReduceOp::Xor => "^=",
    }
}

fn update_spelling(op: UpdateOp) -> &'static str {
    match op {
        UpdateOp::Min => "min=",
        UpdateOp::Max => "max=",
        UpdateOp::Binary(op) => match op {
            BinaryOp::Add => "+=",
            BinaryOp::Sub => "-=",
            BinaryOp::Mul => "*=",
            BinaryOp::Div => "/=",
            BinaryOp::FloorDiv => "//=",
            BinaryOp::Rem => "%=",
            BinaryOp::Pow => "**=",
            BinaryOp::MatMul => "@=",
            BinaryOp::And => "and",
            BinaryOp::Or => "or",
            BinaryOp::BitAnd => "&=",
            BinaryOp::BitOr => "|=",
            BinaryOp::BitXor => "^=",
            BinaryOp::Shl => "<<=",
            BinaryOp::Shr => ">>=",
        },
    }
}
