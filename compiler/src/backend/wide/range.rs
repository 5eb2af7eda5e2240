//! `for`: counted loops over rectangles of indices.
//!
//! In: a `for` op. Out: one of three shapes with the same meaning: a nest (the whole rectangle, one loop per extent), a range (the ordinals `lo..hi` of a chunk,
//! row by row), blocks (1024 ordinals each, for ordered reductions). A row of a widened loop is a main loop of whole groups and a masked tail.
//! Holds: a loop ends with its only branch; the stop flag is read at most every [`STRIP`] turns of a short innermost loop, at every turn of others, and never in a
//! chunk's own loop, which the runtime cuts.

use super::code::{BlockId, Cond};
use super::control::{Loop, Turn, carried_in};
use super::func::{End, Selector};
use super::memory::Moving;
use super::reduce::{Sink, is_ordered};
use super::table::{Op, Size};
use crate::backend::CompileError;
use crate::ir::{self, ForData};
use kiln_abi::BLOCK;
use regalloc2::VReg;

/// Turns of a short innermost loop between two looks at the stop flag.
const STRIP: i64 = 2048;

/// A `for` under construction.
#[derive(Clone, Copy)]
struct Nest<'a> {
    op: &'a ir::Op,
    data: &'a ForData,
    rank: usize,
    exit: BlockId,
}

/// What a loop carries.
#[derive(Clone)]
struct State {
    carried: Vec<VReg>,
    sinks: Vec<Sink>,
}

impl State {
    fn regs(&self) -> Vec<VReg> {
        let mut regs = self.carried.clone();
        Sink::append_state(&self.sinks, &mut regs);
        regs
    }

    /// The same reductions and as many values, in other registers.
    fn with(&self, regs: &[VReg]) -> State {
        let (carried, rest) = regs.split_at(self.carried.len());
        let mut state = State { carried: carried.to_vec(), sinks: self.sinks.clone() };
        Sink::set_state(&mut state.sinks, rest);
        state
    }
}

/// The turns of a counted loop: `first`, `first + step`, … below `end`.
#[derive(Clone, Copy)]
struct Turns {
    first: VReg,
    end: VReg,
    step: i32,
    /// There is at least one.
    some: bool,
    /// `first` is ordinal 0.
    from_start: bool,
}

/// Does a loop look at the stop flag?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Polls {
    Never,
    /// Every [`STRIP`] turns.
    Strips,
    EveryTurn,
}

/// What a body is given besides its indices.
#[derive(Clone, Copy)]
struct Around {
    ordinal: Option<VReg>,
    /// Lanes left in the row.
    left: Option<VReg>,
    turn: Turn,
}

impl<'a> Selector<'a> {
    pub(super) fn emit_for(&mut self, op: &'a ir::Op, data: &'a ForData) -> Result<(), CompileError> {
        let in_segments =
            data.arrays.iter().any(|&(array, op)| op.is_ordered(ir::kind_of(self.func.ty(array).scalar())));
        if in_segments && !(self.chunk.is_some() && self.depth == 1) {
            // Its segments need copies of the array, which the runtime makes.
            return Err(self.internal("a reduction into an array of floats that was not outlined"));
        }
        let rank = usize::from(data.rank);
        let extents: Vec<VReg> = op.args[..rank].iter().map(|&extent| self.scalar(extent)).collect();
        let carried = self.all_regs(carried_in(op));
        let known = self.known.mark();
        for &region in &op.regions {
            self.prepare_loop(region, None);
        }
        let is_chunk = self.chunk.is_some() && self.depth == 1;
        let in_blocks = !is_chunk && data.reductions.iter().any(is_ordered);
        let iterations = in_blocks.then(|| self.product(&extents));
        let sinks = match (self.chunk, iterations) {
            (Some(info), _) if is_chunk => self.chunk_sinks(data, info)?,
            (_, Some(n)) => self.block_sinks(data, op, n),
            (_, None) => self.plain_sinks(data),
        };
        let state = State { carried, sinks };
        let full = self.with_tails(&state, data);
        // Between rows, both kinds of accumulators are carried.
        let state = if rank == 1 { state } else { full.clone() };
        let exit = self.exit_block(&full);
        let nest = Nest { op, data, rank, exit };
        let state = if is_chunk {
            let (lo, hi) = (self.lo, self.hi);
            let start = self.m.block(&[]);
            self.m.op(Op::Cmp, Size::Q, &[lo.into(), hi.into()]);
            self.m.branch(Cond::Less, (start, &[]), (exit, &full.regs()));
            self.m.begin(start);
            self.range(nest, (lo, hi), &extents, state)?
        } else if let Some(n) = iterations {
            self.blocks(nest, n, &extents, full.clone())?
        } else {
            self.nest(nest, &extents, &[], state)?
        };
        let state = self.with_tails(&state, data);
        self.m.jump(exit, &state.regs());
        self.m.begin(exit);
        self.known.restore(known);
        let state = state.with(self.m.params(exit));
        let totals = self.close_sinks(data, &state.sinks);
        let carried = op.results.len() - data.reductions.len();
        self.bind_all(&op.results[..carried], &state.carried);
        for (&result, total) in op.results[carried..].iter().zip(totals) {
            self.bind(result, &[total]);
        }
        Ok(())
    }

    /// The state with accumulators for the tails of a widened loop, too.
    fn with_tails(&mut self, state: &State, data: &ForData) -> State {
        let mut state = state.clone();
        if data.lanes > 1 {
            state.sinks.iter_mut().for_each(|sink| self.add_tail(sink));
        }
        state
    }

    fn exit_block(&mut self, state: &State) -> BlockId {
        let classes: Vec<_> = state.regs().iter().map(|reg| reg.class()).collect();
        self.m.block(&classes)
    }

    /// The body for one turn; goes on where `continue` goes.
    fn body(
        &mut self,
        nest: Nest<'a>,
        indices: &[VReg],
        around: Around,
        state: State,
    ) -> Result<State, CompileError> {
        let func = self.func;
        let region = nest.op.regions[usize::from(around.turn == Turn::Tail)];
        let params = &func.region(region).params;
        let next = self.exit_block(&state);
        let forms = self.carried_forms(carried_in(nest.op));
        for (&param, &index) in params.iter().zip(indices) {
            self.bind(param, &[index]);
        }
        match around.turn {
            Turn::Tail => {
                let mask = params[nest.rank];
                let left = around.left.unwrap_or(self.hi);
                let (form, group) = self.first_lanes(left, nest.data.tail);
                self.bind_mask(mask, form, &group);
            }
            Turn::Scalar | Turn::Main => self.bind_all(&params[nest.rank..], &state.carried),
        }
        let mut sinks = state.sinks.clone();
        Sink::begin_turn(&mut sinks);
        self.loops.push(Loop {
            next,
            exit: nest.exit,
            forms: forms.clone(),
            sinks,
            ordinal: around.ordinal,
            left: around.left,
            turn: around.turn,
        });
        let known = self.known.mark();
        if let End::Yield(args) = self.region(region)? {
            let mut regs = self.args_like(args, &forms);
            if let Some(inner) = self.loops.last() {
                Sink::append_state(&inner.sinks, &mut regs);
            }
            self.m.jump(next, &regs);
        }
        self.known.restore(known);
        self.loops.pop();
        self.m.begin(next);
        Ok(state.with(self.m.params(next)))
    }

    /// A loop over `turns`, around a body that is given index and state. Ends in a block of its own.
    fn counted(
        &mut self,
        turns: Turns,
        polls: Polls,
        is_hot: bool,
        state: State,
        moving: &[Moving],
        body: &mut dyn FnMut(&mut Self, VReg, State) -> Result<State, CompileError>,
    ) -> Result<State, CompileError> {
        if polls == Polls::Strips {
            let step = STRIP as i32 * turns.step;
            let strips = Turns { step, ..turns };
            return self.counted(strips, Polls::EveryTurn, false, state, &[], &mut |s, first, state| {
                let end = s.strip_end(first, turns.end, i64::from(step));
                let inner = Turns { first, end, some: true, from_start: false, ..turns };
                s.counted(inner, Polls::Never, is_hot, state, moving, body)
            });
        }
        let steps: Vec<VReg> = moving
            .iter()
            .map(|moving| match turns.step {
                1 => moving.stride,
                step => self.m.op_imm(Op::ImulImm, Size::Q, &[moving.stride.into()], step),
            })
            .collect();
        let pointers: Vec<VReg> = moving
            .iter()
            .map(|moving| {
                if turns.from_start {
                    return moving.start;
                }
                let distance = self.m.op(Op::Imul, Size::Q, &[turns.first.into(), moving.stride.into()]);
                self.m.op(Op::Add, Size::Q, &[moving.start.into(), distance.into()])
            })
            .collect();
        // Parameters of the head: index, pointers, state.
        let mut entry = vec![turns.first];
        entry.extend(&pointers);
        let before = state.regs();
        entry.extend(&before);
        let classes: Vec<_> = entry.iter().map(|reg| reg.class()).collect();
        let head = self.m.block(&classes);
        let done = self.exit_block(&state);
        if turns.some {
            self.m.jump(head, &entry);
        } else {
            self.m.op(Op::Cmp, Size::Q, &[turns.first.into(), turns.end.into()]);
            self.m.branch(Cond::Less, (head, &entry), (done, &before));
        }
        self.m.enter_loop();
        if is_hot {
            self.m.mark_hot_head(head);
        }
        self.m.begin(head);
        let params = self.m.params(head).to_vec();
        let index = params[0];
        let pointers = &params[1..1 + moving.len()];
        let known = self.known.mark();
        self.know_moving(moving, pointers);
        let after = body(self, index, state.with(&params[1 + moving.len()..]))?;
        self.known.restore(known);
        let following = self.m.op_imm(Op::AddImm, Size::Q, &[index.into()], turns.step);
        let mut again = vec![following];
        for (&pointer, &step) in pointers.iter().zip(&steps) {
            again.push(self.m.op(Op::Add, Size::Q, &[pointer.into(), step.into()]));
        }
        let after = after.regs();
        again.extend(&after);
        self.m.op(Op::Cmp, Size::Q, &[following.into(), turns.end.into()]);
        if polls == Polls::EveryTurn {
            let back = self.m.block(&[]);
            self.m.branch(Cond::Less, (back, &[]), (done, &after));
            self.m.begin(back);
            self.poll(head, &again);
        } else {
            self.m.branch(Cond::Less, (head, &again), (done, &after));
        }
        self.m.leave_loop();
        self.m.begin(done);
        Ok(state.with(self.m.params(done)))
    }

    /// `start + min(n - start, most)`; n - start is not negative.
    fn strip_end(&mut self, start: VReg, n: VReg, most: i64) -> VReg {
        let left = self.m.op(Op::Sub, Size::Q, &[n.into(), start.into()]);
        let most = self.m.imm64(most);
        let length = self.least(kiln_lang::types::Scalar::I64, left, most);
        self.m.op(Op::Add, Size::Q, &[start.into(), length.into()])
    }

    /// Loops over the extents from `indices.len()` on.
    fn nest(
        &mut self,
        nest: Nest<'a>,
        extents: &[VReg],
        indices: &[VReg],
        state: State,
    ) -> Result<State, CompileError> {
        let level = indices.len();
        let n = extents[level];
        let known = self.known_int(nest.op.args[level]);
        let first = self.m.imm64(0);
        let turns = Turns { first, end: n, step: 1, some: known.is_some_and(|n| n > 0), from_start: true };
        if level + 1 == nest.rank {
            let short = self.is_short(nest.op.regions[0]);
            let polls = match known {
                Some(n) if short && n <= STRIP => Polls::Never,
                _ if short => Polls::Strips,
                _ => Polls::EveryTurn,
            };
            return self.row(nest, indices, turns, None, polls, state);
        }
        let moving = self.prepare_axis(nest, level);
        let mut indices = indices.to_vec();
        self.counted(turns, Polls::EveryTurn, false, state, &moving, &mut |s, index, state| {
            indices.push(index);
            s.bind_index(nest, indices.len() - 1, index);
            let state = s.nest(nest, extents, &indices, state);
            indices.pop();
            state
        })
    }

    /// Before the loop over an extent: what does not change in it, and what moves along with it.
    fn prepare_axis(&mut self, nest: Nest<'a>, axis: usize) -> Vec<Moving> {
        let mut moving = Vec::new();
        for &region in &nest.op.regions {
            let index = self.func.region(region).params[axis];
            moving.extend(self.prepare_loop(region, Some(index)));
        }
        moving
    }

    /// The index of an outer loop is known before the body of the innermost begins: addresses are prepared with it.
    fn bind_index(&mut self, nest: Nest<'a>, axis: usize, index: VReg) {
        for &region in &nest.op.regions {
            let param = self.func.region(region).params[axis];
            self.bind(param, &[index]);
        }
    }

    /// The ordinals `lo..hi`, at least one: a loop over rows around a row. Only the first row's indices cost divisions.
    fn range(
        &mut self,
        nest: Nest<'a>,
        (lo, hi): (VReg, VReg),
        extents: &[VReg],
        state: State,
    ) -> Result<State, CompileError> {
        let outer = nest.rank - 1;
        if outer == 0 {
            let turns = Turns { first: lo, end: hi, step: 1, some: true, from_start: false };
            return self.row(nest, &[], turns, None, Polls::Never, state);
        }
        let mut rest = lo;
        let mut indices = vec![lo; nest.rank];
        for axis in (1..nest.rank).rev() {
            // No extent is 0, or there were no ordinals; the machine must not trap even so.
            let one = self.m.imm64(1);
            let extent = self.greatest(kiln_lang::types::Scalar::U64, extents[axis], one);
            let high = self.m.imm64(0);
            let (quotient, remainder) = self.m.divide(Op::Div, Size::Q, (high, rest), extent);
            indices[axis] = remainder;
            rest = quotient;
        }
        indices[0] = rest;
        // Parameters: ordinal at the row's first index, indices of that, state.
        let mut entry = vec![lo];
        entry.extend(&indices);
        entry.extend(state.regs());
        let classes: Vec<_> = entry.iter().map(|reg| reg.class()).collect();
        let rows = self.m.block(&classes);
        let done = self.exit_block(&state);
        self.m.jump(rows, &entry);
        self.m.enter_loop();
        self.m.begin(rows);
        let params = self.m.params(rows).to_vec();
        let (ordinal, at, start) = (params[0], &params[1..=outer], params[1 + outer]);
        let known = self.known.mark();
        for (axis, &index) in at.iter().enumerate() {
            self.bind_index(nest, axis, index);
        }
        let in_row = self.m.op(Op::Sub, Size::Q, &[extents[outer].into(), start.into()]);
        let in_range = self.m.op(Op::Sub, Size::Q, &[hi.into(), ordinal.into()]);
        let length = self.least(kiln_lang::types::Scalar::U64, in_row, in_range);
        let end = self.m.op(Op::Add, Size::Q, &[start.into(), length.into()]);
        let row_base = self.m.op(Op::Sub, Size::Q, &[ordinal.into(), start.into()]);
        let after_row = self.m.op(Op::Add, Size::Q, &[ordinal.into(), length.into()]);
        let turns = Turns { first: start, end, step: 1, some: true, from_start: false };
        let inner = state.with(&params[2 + outer..]);
        let after = self.row(nest, at, turns, Some(row_base), Polls::Never, inner)?;
        self.known.restore(known);

        // The next row's indices: carry over from axis to axis.
        let zero = self.m.imm64(0);
        let mut next = at.to_vec();
        let mut step = self.m.imm64(1);
        for axis in (0..outer).rev() {
            let sum = self.m.op(Op::Add, Size::Q, &[next[axis].into(), step.into()]);
            if axis == 0 {
                next[axis] = sum;
                break;
            }
            let one = self.m.imm64(1);
            self.m.op(Op::Cmp, Size::Q, &[sum.into(), extents[axis].into()]);
            next[axis] = self.m.op_imm(Op::Cmovcc, Size::Q, &[sum.into(), zero.into()], Cond::Equal as i32);
            self.m.op(Op::Cmp, Size::Q, &[sum.into(), extents[axis].into()]);
            step = self.m.op_imm(Op::Cmovcc, Size::Q, &[zero.into(), one.into()], Cond::Equal as i32);
        }
        let mut again = vec![after_row];
        again.extend(next);
        again.push(zero);
        let after = after.regs();
        again.extend(&after);
        self.m.op(Op::Cmp, Size::Q, &[after_row.into(), hi.into()]);
        self.m.branch(Cond::Less, (rows, &again), (done, &after));
        self.m.leave_loop();
        self.m.begin(done);
        Ok(state.with(self.m.params(done)))
    }

    /// A row: the turns of the last extent. An index plus `row_base` is its ordinal.
    fn row(
        &mut self,
        nest: Nest<'a>,
        outer: &[VReg],
        turns: Turns,
        row_base: Option<VReg>,
        polls: Polls,
        state: State,
    ) -> Result<State, CompileError> {
        let axis = outer.len();
        let hot = self.is_innermost(nest.op.regions[0]);
        let known = self.known.mark();
        let moving = self.prepare_axis(nest, axis);
        let ordinal_of = |s: &mut Self, index: VReg| match row_base {
            None => index,
            Some(base) => s.m.op(Op::Add, Size::Q, &[base.into(), index.into()]),
        };
        let with = |index: VReg| {
            let mut indices = outer.to_vec();
            indices.push(index);
            indices
        };
        let lanes = i32::from(nest.data.lanes);
        let state = if lanes == 1 {
            self.counted(turns, polls, hot, state, &moving, &mut |s, index, state| {
                let ordinal = Some(ordinal_of(s, index));
                let around = Around { ordinal, left: None, turn: Turn::Scalar };
                s.body(nest, &with(index), around, state)
            })?
        } else {
            let length = self.m.op(Op::Sub, Size::Q, &[turns.end.into(), turns.first.into()]);
            let whole = self.m.op_imm(Op::AndImm, Size::Q, &[length.into()], -lanes);
            let middle = self.m.op(Op::Add, Size::Q, &[turns.first.into(), whole.into()]);
            let main = Turns { end: middle, step: lanes, some: false, ..turns };
            let mut state = state;
            self.begin_main(&mut state.sinks, nest.data.lanes);
            let mut state = self.counted(main, polls, hot, state, &moving, &mut |s, index, state| {
                let ordinal = Some(ordinal_of(s, index));
                let around = Around { ordinal, left: None, turn: Turn::Main };
                s.body(nest, &with(index), around, state)
            })?;
            self.end_main(&mut state.sinks);
            let state = self.with_tails(&state, nest.data);
            let tail = Turns {
                first: middle,
                end: turns.end,
                step: i32::from(nest.data.tail),
                some: false,
                from_start: false,
            };
            self.counted(tail, Polls::Never, false, state, &moving, &mut |s, index, state| {
                let ordinal = Some(ordinal_of(s, index));
                let left = s.m.op(Op::Sub, Size::Q, &[turns.end.into(), index.into()]);
                let around = Around { ordinal, left: Some(left), turn: Turn::Tail };
                s.body(nest, &with(index), around, state)
            })?
        };
        self.known.restore(known);
        Ok(state)
    }

    /// A whole loop with ordered reductions: up to 32 iterations into a buffer of terms, else blocks whose values the runtime joins.
    fn blocks(
        &mut self,
        nest: Nest<'a>,
        n: VReg,
        extents: &[VReg],
        state: State,
    ) -> Result<State, CompileError> {
        let first = self.m.imm64(0);
        let step = BLOCK as i32;
        let turns = Turns { first, end: n, step, some: false, from_start: true };
        self.counted(turns, Polls::EveryTurn, false, state, &[], &mut |s, start, state| {
            let end = s.strip_end(start, n, BLOCK);
            let state = s.range(nest, (start, end), extents, state)?;
            s.fold_blocks(&state.sinks);
            Ok(state)
        })
    }

    /// Product of sizes, none negative; the largest i64 if it does not fit.
    fn product(&mut self, sizes: &[VReg]) -> VReg {
        let (&first, rest) = sizes.split_first().expect("a loop has an extent");
        rest.iter().fold(first, |product, &size| {
            let low = self.m.op(Op::Imul, Size::Q, &[product.into(), size.into()]);
            let high = self.m.multiply_high(product, size);
            // Too large: bits in the high half, or in the sign of the low half.
            let sign = self.m.op_imm(Op::ShrImm, Size::Q, &[low.into()], 63);
            let excess = self.m.op(Op::Or, Size::Q, &[high.into(), sign.into()]);
            let most = self.m.imm64(i64::MAX);
            self.m.op(Op::Test, Size::Q, &[excess.into(), excess.into()]);
            self.m.op_imm(Op::Cmovcc, Size::Q, &[low.into(), most.into()], Cond::NotEqual as i32)
        })
    }
}
