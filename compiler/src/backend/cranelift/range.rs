//! `for`: counted loops over rectangles of indices.
//!
//! In: a `for` op. Out: one of three shapes with the same meaning: a nest (the whole rectangle, one loop per extent), a range (the ordinals `lo..hi` of a chunk,
//! row by row), blocks (1024 ordinals each, for ordered reductions). In a widened loop, a row is a loop over whole groups of lanes and one over what is
//! left, under a mask. Holds: a region is emitted once; a loop ends with its only branch; the stop flag is read at most every [`STRIP`] turns of a short
//! innermost loop, at every turn of others, and never in a chunk's own loop, which the runtime cuts.

use super::classes::carried_in;
use super::control::Loop;
use super::func::{Emitter, End, block_args};
use super::reduce::{Sink, is_ordered, rewind};
use crate::backend::CompileError;
use crate::ir::{self, ForData};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{self as clif, InstBuilder, types};
use kiln_abi::{BLOCK, LANES};

/// Turns of a short innermost loop between two looks at the stop flag.
const STRIP: i64 = 2048;

/// A `for` under construction.
#[derive(Clone, Copy)]
struct Shape<'a> {
    op: &'a ir::Op,
    body: ir::RegionId,
    wide: Option<Wide>,
    rank: usize,
    exit: clif::Block,
}

/// What a widened loop has besides.
#[derive(Clone, Copy)]
struct Wide {
    lanes: i64,
    tail: ir::RegionId,
    tail_lanes: i64,
}

/// Where in the loop the body stands.
#[derive(Clone, Copy, Default)]
struct Place {
    ordinal: Option<clif::Value>,
    /// Ordinals from there to the end, in the second region of a widened loop.
    left: Option<clif::Value>,
}

/// Is the stop flag read at every turn?
#[derive(Clone, Copy, PartialEq, Eq)]
enum Polls {
    Never,
    EveryTurn,
}

impl<'a> Emitter<'a> {
    pub(super) fn emit_for(&mut self, op: &'a ir::Op, data: &'a ForData) -> Result<(), CompileError> {
        let in_segments =
            data.arrays.iter().any(|&(array, op)| op.is_ordered(ir::kind_of(self.func.ty(array).scalar())));
        if in_segments && !(self.chunk.is_some() && self.depth == 1) {
            // Its segments need copies of the array, which the runtime makes.
            return Err(self.internal("a reduction into an array of floats that was not outlined"));
        }
        let (body, wide) = match (&op.regions[..], data.lanes) {
            (&[body], 1) => (body, None),
            (&[body, tail], 2..) => {
                (body, Some(Wide { lanes: data.lanes.into(), tail, tail_lanes: data.tail.into() }))
            }
            _ => return Err(self.internal("a for has one region, or two if it is widened")),
        };
        let rank = usize::from(data.rank);
        let extents = self.all_comps(&op.args[..rank]);
        let carried = self.all_comps(carried_in(op));
        let exit = self.block_for(carried_in(op));
        // Read now: the SSA builder appends parameters of its own.
        let mut results = self.b.block_params(exit).to_vec();
        let shape = Shape { op, body, wide, rank, exit };

        let totals = match self.chunk {
            Some(info) if self.depth == 1 => {
                if wide.is_some() && rank > 1 && data.reductions.iter().any(is_ordered) {
                    // Groups of lanes would not begin at multiples of their size.
                    return Err(self.internal("a widened rectangle with an ordered reduction"));
                }
                let sinks = self.chunk_sinks(data, info)?;
                let (lo, hi) = (self.lo, self.hi);
                let some = self.b.ins().icmp(IntCC::SignedLessThan, lo, hi);
                let start = self.b.create_block();
                self.b.ins().brif(some, start, &[], exit, &block_args(&carried));
                self.enter(start);
                let (carried, sinks) = self.range(shape, (lo, hi), &extents, &carried, sinks)?;
                self.jump_comps(exit, &carried);
                self.enter(exit);
                self.close_chunk_sinks(&sinks)
            }
            _ if data.reductions.iter().any(is_ordered) => self.blocks(shape, data, &extents, &carried)?,
            _ => {
                let sinks = self.plain_sinks(data);
                let (_, sinks) = self.nest(shape, &extents, &mut Vec::new(), &carried, sinks)?;
                self.enter(exit);
                self.close_plain_sinks(&sinks)
            }
        };
        results.extend(totals);
        self.bind_all(&op.results, &results);
        Ok(())
    }

    /// The body for one iteration; goes on where `continue` goes, with the carried values given back.
    fn body(
        &mut self,
        shape: Shape<'a>,
        indices: &[clif::Value],
        Place { ordinal, left }: Place,
        carried: &[clif::Value],
        sinks: Vec<Sink>,
    ) -> Result<(Vec<clif::Value>, Vec<Sink>), CompileError> {
        let func = self.func;
        let params = &func.region(shape.body).params;
        let next = self.block_for(carried_in(shape.op));
        self.bind_all(&params[..shape.rank], indices);
        self.bind_all(&params[shape.rank..], carried);
        self.loops.push(Loop { next, exit: shape.exit, sinks, ordinal, left });
        if let End::Yield(args) = self.region(shape.body)? {
            self.jump(next, args);
        }
        let sinks = self.loops.pop().map_or(Vec::new(), |inner| inner.sinks);
        self.enter(next);
        Ok((self.b.block_params(next).to_vec(), sinks))
    }

    /// A block with an i64 for each of `count` indices, and the carried values, as parameters.
    fn loop_block(&mut self, shape: Shape<'a>, count: usize) -> clif::Block {
        let block = self.b.create_block();
        for _ in 0..count {
            self.b.append_block_param(block, types::I64);
        }
        for &value in carried_in(shape.op) {
            for comp in 0..self.comps(value).len() {
                let ty = self.b.func.dfg.value_type(self.comps(value)[comp]);
                self.b.append_block_param(block, ty);
            }
        }
        block
    }

    /// Loops over the extents from `indices.len()` on. The outermost ends by jumping to the exit, the others leave their carried values behind.
    fn nest(
        &mut self,
        shape: Shape<'a>,
        extents: &[clif::Value],
        indices: &mut Vec<clif::Value>,
        carried: &[clif::Value],
        sinks: Vec<Sink>,
    ) -> Result<(Vec<clif::Value>, Vec<Sink>), CompileError> {
        let func = self.func;
        let level = indices.len();
        let n = extents[level];
        let known = func.as_const(shape.op.args[level]).map(|constant| ir::const_bits(constant) as i64);
        let outermost = level == 0;
        let innermost = level + 1 == shape.rank;
        if let Some(wide) = shape.wide
            && innermost
        {
            let sinks = self.wide_nest(shape, wide, indices, n, known, sinks)?;
            return Ok((Vec::new(), sinks));
        }
        let short = innermost && self.is_short(shape.body);
        let polls = !(short && known.is_some_and(|n| n <= STRIP));
        let strips = short && polls;

        let done = if outermost { shape.exit } else { self.loop_block(shape, 0) };
        let head = self.loop_block(shape, 1);
        let zero = self.iconst(types::I64, 0);
        let mut first = vec![zero];
        first.extend(carried);
        if known.is_some_and(|n| n > 0) {
            self.jump_comps(head, &first);
        } else {
            let some = self.b.ins().icmp_imm_s(IntCC::SignedGreaterThan, n, 0);
            self.b.ins().brif(some, head, &block_args(&first), done, &block_args(carried));
        }
        self.b.switch_to_block(head);

        // In a strip-mined loop `head` starts a strip and `turn` an iteration.
        let (turn, end) = if strips {
            let params = self.b.block_params(head).to_vec();
            let end = self.strip_end(params[0], n, STRIP);
            let turn = self.loop_block(shape, 1);
            self.jump_comps(turn, &params);
            self.b.switch_to_block(turn);
            (turn, end)
        } else {
            (head, n)
        };
        let params = self.b.block_params(turn).to_vec();
        let (index, inner) = (params[0], &params[1..]);
        indices.push(index);
        let (after, sinks) = if innermost {
            self.body(shape, indices, Place::default(), inner, sinks)?
        } else {
            self.nest(shape, extents, indices, inner, sinks)?
        };
        indices.pop();
        let following = self.b.ins().iadd_imm_s(index, 1);
        let more = self.b.ins().icmp(IntCC::SignedLessThan, following, end);
        let mut again = vec![following];
        again.extend(&after);

        let after = if strips {
            let strip_done = self.loop_block(shape, 0);
            self.b.ins().brif(more, turn, &block_args(&again), strip_done, &block_args(&after));
            self.b.seal_block(turn);
            self.enter(strip_done);
            let after = self.b.block_params(strip_done).to_vec();
            let more = self.b.ins().icmp(IntCC::SignedLessThan, end, n);
            again = vec![end];
            again.extend(&after);
            self.branch_polling(more, head, &again, done, &after);
            after
        } else if polls {
            self.branch_polling(more, head, &again, done, &after);
            after
        } else {
            self.b.ins().brif(more, head, &block_args(&again), done, &block_args(&after));
            after
        };
        self.b.seal_block(head);
        if outermost {
            return Ok((after, sinks));
        }
        self.enter(done);
        Ok((self.b.block_params(done).to_vec(), sinks))
    }

    /// `start + min(n - start, most)`
    fn strip_end(&mut self, start: clif::Value, n: clif::Value, most: i64) -> clif::Value {
        let left = self.b.ins().isub(n, start);
        let most = self.iconst(types::I64, most);
        let length = self.b.ins().umin(left, most);
        self.b.ins().iadd(start, length)
    }

    /// Back to `head` if `more` holds and nobody asked to stop; else to `done`.
    fn branch_polling(
        &mut self,
        more: clif::Value,
        head: clif::Block,
        again: &[clif::Value],
        done: clif::Block,
        after: &[clif::Value],
    ) {
        let back = self.b.create_block();
        self.b.ins().brif(more, back, &[], done, &block_args(after));
        self.enter(back);
        self.poll(head, again);
    }

    /// The ordinals `lo..hi`, at least one: a loop over rows around a loop within a row. Only the first row's indices cost divisions.
    fn range(
        &mut self,
        shape: Shape<'a>,
        (lo, hi): (clif::Value, clif::Value),
        extents: &[clif::Value],
        carried: &[clif::Value],
        sinks: Vec<Sink>,
    ) -> Result<(Vec<clif::Value>, Vec<Sink>), CompileError> {
        let outer = shape.rank - 1;
        if outer == 0 {
            return self.row(shape, &[], (lo, hi), None, carried, sinks);
        }
        let mut rest = lo;
        let mut indices = vec![lo; shape.rank];
        for axis in (1..shape.rank).rev() {
            // No extent is 0, or there were no ordinals; the machine must not trap even so.
            let one = self.iconst(types::I64, 1);
            let extent = self.b.ins().umax(extents[axis], one);
            let quotient = self.b.ins().udiv(rest, extent);
            let product = self.b.ins().imul(quotient, extent);
            indices[axis] = self.b.ins().isub(rest, product);
            rest = quotient;
        }
        indices[0] = rest;

        // Parameters: ordinal at the row's first index, outer indices, first index within the row, carried values.
        let rows = self.loop_block(shape, 2 + outer);
        let done = self.loop_block(shape, 0);
        let mut first = vec![lo];
        first.extend(&indices);
        first.extend(carried);
        self.jump_comps(rows, &first);
        self.b.switch_to_block(rows);
        let params = self.b.block_params(rows).to_vec();
        let (ordinal, at, start) = (params[0], &params[1..=outer], params[1 + outer]);
        let last = extents[outer];
        let in_row = self.b.ins().isub(last, start);
        let in_range = self.b.ins().isub(hi, ordinal);
        let length = self.b.ins().umin(in_row, in_range);
        let end = self.b.ins().iadd(start, length);
        let row_base = self.b.ins().isub(ordinal, start);
        let after_row = self.b.ins().iadd(ordinal, length);
        let (after, sinks) =
            self.row(shape, at, (start, end), Some(row_base), &params[2 + outer..], sinks)?;

        let carry = self.b.create_block();
        let more = self.b.ins().icmp(IntCC::SignedLessThan, after_row, hi);
        self.b.ins().brif(more, carry, &[], done, &block_args(&after));
        self.enter(carry);
        let zero = self.iconst(types::I64, 0);
        let mut next = at.to_vec();
        let mut step = self.iconst(types::I64, 1);
        for axis in (0..outer).rev() {
            let sum = self.b.ins().iadd(next[axis], step);
            if axis == 0 {
                next[axis] = sum;
                break;
            }
            let full = self.b.ins().icmp(IntCC::Equal, sum, extents[axis]);
            next[axis] = self.b.ins().select(full, zero, sum);
            step = self.b.ins().uextend(types::I64, full);
        }
        let mut again = vec![after_row];
        again.extend(next);
        again.push(zero);
        again.extend(&after);
        self.jump_comps(rows, &again);
        self.b.seal_block(rows);
        self.enter(done);
        Ok((self.b.block_params(done).to_vec(), sinks))
    }

    /// The indices `start..end`, at least one, of a row; an index plus `row_base` is its ordinal.
    fn row(
        &mut self,
        shape: Shape<'a>,
        outer: &[clif::Value],
        (start, end): (clif::Value, clif::Value),
        row_base: Option<clif::Value>,
        carried: &[clif::Value],
        sinks: Vec<Sink>,
    ) -> Result<(Vec<clif::Value>, Vec<Sink>), CompileError> {
        if let Some(wide) = shape.wide {
            let sinks = self.wide_row(shape, wide, outer, (start, end), Polls::Never, sinks)?;
            return Ok((Vec::new(), sinks));
        }
        let turn = self.loop_block(shape, 1);
        let done = self.loop_block(shape, 0);
        let mut first = vec![start];
        first.extend(carried);
        self.jump_comps(turn, &first);
        self.b.switch_to_block(turn);
        let params = self.b.block_params(turn).to_vec();
        let index = params[0];
        let mut indices = outer.to_vec();
        indices.push(index);
        let ordinal = row_base.map_or(index, |base| self.b.ins().iadd(base, index));
        let place = Place { ordinal: Some(ordinal), left: None };
        let (after, sinks) = self.body(shape, &indices, place, &params[1..], sinks)?;
        let following = self.b.ins().iadd_imm_s(index, 1);
        let more = self.b.ins().icmp(IntCC::SignedLessThan, following, end);
        let mut again = vec![following];
        again.extend(&after);
        self.b.ins().brif(more, turn, &block_args(&again), done, &block_args(&after));
        self.b.seal_block(turn);
        self.enter(done);
        Ok((self.b.block_params(done).to_vec(), sinks))
    }

    /// The innermost extent of a widened nest.
    fn wide_nest(
        &mut self,
        shape: Shape<'a>,
        wide: Wide,
        indices: &[clif::Value],
        n: clif::Value,
        known: Option<i64>,
        sinks: Vec<Sink>,
    ) -> Result<Vec<Sink>, CompileError> {
        let outermost = indices.is_empty();
        let done = if outermost { shape.exit } else { self.b.create_block() };
        let short = self.is_short(shape.body) && self.is_short(wide.tail);
        let zero = self.iconst(types::I64, 0);
        let sinks = if short && known.is_some_and(|n| n <= STRIP) {
            let sinks = self.wide_row(shape, wide, indices, (zero, n), Polls::Never, sinks)?;
            self.b.ins().jump(done, &[]);
            sinks
        } else if short {
            // A strip is a whole number of groups: what is left over is at the end of the last.
            let head = self.b.create_block();
            self.b.append_block_param(head, types::I64);
            let some = self.b.ins().icmp_imm_s(IntCC::SignedGreaterThan, n, 0);
            self.b.ins().brif(some, head, &block_args(&[zero]), done, &[]);
            self.b.switch_to_block(head);
            let start = self.b.block_params(head)[0];
            let end = self.strip_end(start, n, STRIP);
            let sinks = self.wide_row(shape, wide, indices, (start, end), Polls::Never, sinks)?;
            let more = self.b.ins().icmp(IntCC::SignedLessThan, end, n);
            self.branch_polling(more, head, &[end], done, &[]);
            self.b.seal_block(head);
            sinks
        } else {
            let sinks = self.wide_row(shape, wide, indices, (zero, n), Polls::EveryTurn, sinks)?;
            self.b.ins().jump(done, &[]);
            sinks
        };
        if !outermost {
            self.enter(done);
        }
        Ok(sinks)
    }

    /// The indices `start..end` of a row in groups of lanes: whole ones, then what is left under a mask.
    fn wide_row(
        &mut self,
        shape: Shape<'a>,
        wide: Wide,
        outer: &[clif::Value],
        (start, end): (clif::Value, clif::Value),
        polls: Polls,
        sinks: Vec<Sink>,
    ) -> Result<Vec<Sink>, CompileError> {
        let func = self.func;
        let [main, rest, tail, done] = [(); 4].map(|()| self.b.create_block());
        for block in [main, rest, tail] {
            self.b.append_block_param(block, types::I64);
        }
        self.b.set_cold_block(tail);
        let last = self.b.ins().iadd_imm_s(end, -wide.lanes);
        let whole = self.b.ins().icmp(IntCC::SignedLessThanOrEqual, start, last);
        self.b.ins().brif(whole, main, &block_args(&[start]), rest, &block_args(&[start]));

        self.b.switch_to_block(main);
        let first = self.b.block_params(main)[0];
        let mut indices = outer.to_vec();
        indices.push(first);
        // Only a loop over one extent has reductions that ask for ordinals.
        let place = Place { ordinal: outer.is_empty().then_some(first), left: None };
        let (_, mut sinks) = self.body(shape, &indices, place, &[], sinks)?;
        let following = self.b.ins().iadd_imm_s(first, wide.lanes);
        let more = self.b.ins().icmp(IntCC::SignedLessThanOrEqual, following, last);
        if polls == Polls::EveryTurn {
            self.branch_polling(more, main, &[following], rest, &[following]);
        } else {
            let following = block_args(&[following]);
            self.b.ins().brif(more, main, &following, rest, &following);
        }
        self.b.seal_block(main);

        self.enter(rest);
        let first = self.b.block_params(rest)[0];
        let some = self.b.ins().icmp(IntCC::SignedLessThan, first, end);
        self.b.ins().brif(some, tail, &block_args(&[first]), done, &[]);
        self.b.switch_to_block(tail);
        let first = self.b.block_params(tail)[0];
        let left = self.b.ins().isub(end, first);
        let mask = func.region(wide.tail).params[shape.rank];
        let mask = self.mask_below(mask, left);
        let mut indices = outer.to_vec();
        indices.push(first);
        let place = Place { ordinal: outer.is_empty().then_some(first), left: Some(left) };
        let tail_shape = Shape { body: wide.tail, ..shape };
        rewind(&mut sinks);
        let (_, sinks) = self.body(tail_shape, &indices, place, &mask, sinks)?;
        let following = self.b.ins().iadd_imm_s(first, wide.tail_lanes);
        let more = self.b.ins().icmp(IntCC::SignedLessThan, following, end);
        self.b.ins().brif(more, tail, &block_args(&[following]), done, &[]);
        self.b.seal_block(tail);
        self.enter(done);
        Ok(sinks)
    }

    /// A whole loop with ordered reductions: up to 32 iterations left to right, else blocks whose values the runtime joins. Gives the totals.
    fn blocks(
        &mut self,
        shape: Shape<'a>,
        data: &'a ForData,
        extents: &[clif::Value],
        carried: &[clif::Value],
    ) -> Result<Vec<clif::Value>, CompileError> {
        if shape.wide.is_some() && shape.rank > 1 {
            return Err(self.internal("a widened rectangle with an ordered reduction"));
        }
        let n = self.product(extents);
        let few = self.b.ins().icmp_imm_s(IntCC::SignedLessThanOrEqual, n, LANES as i64);
        let sinks = self.block_sinks(shape.op, data, (n, few));
        let head = self.loop_block(shape, 1);
        let zero = self.iconst(types::I64, 0);
        let some = self.b.ins().icmp_imm_s(IntCC::SignedGreaterThan, n, 0);
        let mut first = vec![zero];
        first.extend(carried);
        self.b.ins().brif(some, head, &block_args(&first), shape.exit, &block_args(carried));

        self.b.switch_to_block(head);
        let params = self.b.block_params(head).to_vec();
        let start = params[0];
        let end = self.strip_end(start, n, BLOCK);
        let (after, sinks) = self.range(shape, (start, end), extents, &params[1..], sinks)?;
        let fold = self.b.create_block();
        self.b.ins().brif(few, shape.exit, &block_args(&after), fold, &[]);
        self.enter(fold);
        self.fold_blocks(&sinks);
        let more = self.b.ins().icmp(IntCC::SignedLessThan, end, n);
        let mut again = vec![end];
        again.extend(&after);
        self.branch_polling(more, head, &again, shape.exit, &after);
        self.b.seal_block(head);
        self.enter(shape.exit);
        Ok(self.close_block_sinks(shape.op, data, sinks, (n, few)))
    }
}
