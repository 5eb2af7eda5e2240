//! Loops that reduce into arrays.
//!
//! In: a loop with array reductions. Out: the arrays updated, and the state of its scalar reductions. Holds: a float sum or product array of
//! m elements gets its updates in S = clamp(n // m, 1, 64) segments, each into an identity-filled copy in program order, the copies added in
//! order (SEMANTICS, section 5); with S = 1 they go to the array itself, in program order. Integers, `min` and `max` have no order.
//!
//! The unit of work is a *group* of iterations: as many groups as all ordered arrays can be cut into at once, that is the greatest common
//! divisor of their S. One group means one thread, with one copy per array that is merged and refilled at each segment's end; the bits are
//! the same. Where a group ends within a block of a scalar reduction, the block's terms go to a buffer that is folded at the end.

use super::{BlockState, Chunks, Flow, Pace, Piece, Run, Span, Terms, Work, sweep, values_of};
use crate::block::Contents;
use crate::call::Task;
use crate::number::{Element, with_op, with_type};
use crate::order::{self, Joined};
use kiln_abi::{ArrayReduction, BLOCK, array_slots, identity};
use std::ptr::{self, NonNull};

/// Segments of an ordered array reduction, at most.
const SEGMENTS: i64 = 64;
/// Copies of all groups may be made at once up to this size; beyond, a few groups at a time.
const WAVE_BYTES: usize = 64 << 20;
/// Elements that are merged at a time, so that they stay in the first-level cache over all copies.
const MERGE_STEP: usize = 1024;

/// An array that a loop reduces into.
struct Target {
    reduction: ArrayReduction,
    /// Pointer, sizes, strides of the array itself.
    slots: Vec<u64>,
    /// Number of elements.
    len: usize,
    /// Slot in the state of chunks where they look for it.
    slot: usize,
    /// Segments of the whole loop, each with a copy; 1: none, straight into the array.
    segments: i64,
}

impl Target {
    fn bytes(&self) -> usize {
        self.len * self.reduction.ty.bytes()
    }

    fn is_ordered(&self) -> bool {
        self.reduction.op.is_ordered(self.reduction.ty)
    }

    /// Pointer, sizes and strides of a copy at this address.
    fn copy_slots(&self, copy: NonNull<u8>) -> Vec<u64> {
        let rank = self.reduction.rank as usize;
        let mut slots = self.slots.clone();
        slots[0] = copy.as_ptr().expose_provenance() as u64;
        let mut stride = self.reduction.ty.bytes() as u64;
        for axis in (0..rank).rev() {
            slots[1 + rank + axis] = stride;
            stride = stride.wrapping_mul(slots[1 + axis]);
        }
        slots
    }
}

/// Where the copies of an array are.
#[derive(Clone, Copy)]
enum Copies {
    /// None: into the array.
    Direct,
    /// One, merged at the end of each segment. Serial loops only.
    One(NonNull<u8>),
    /// One per segment, beginning with that of `first`; merged when all groups of a wave have run.
    Each { base: NonNull<u8>, first: i64 },
}

/// The state of the loop's scalar reductions; its arrays are updated in place.
pub(super) fn run_arrays<'r>(run: &'r Run<'r>, task: &Task<'_>) -> BlockState {
    let mut targets = find_targets(run);
    let groups = count_groups(run, &targets);
    if groups > 1 {
        for target in &mut targets {
            // Without an order, one copy per group will do.
            target.segments = if target.is_ordered() { target.segments } else { groups };
        }
        if let Some(state) = run_parallel(run, task, &targets, groups) {
            return state;
        }
    }
    for target in &mut targets {
        target.segments = if target.is_ordered() { target.segments } else { 1 };
    }
    run_serial(run, task, &targets)
}

fn find_targets(run: &Run<'_>) -> Vec<Target> {
    let info = &run.outline.info;
    let target = |(index, reduction): (usize, &ArrayReduction)| {
        // SAFETY: the loop's live-ins have the array's slots there (`run_loop`).
        let slots = unsafe {
            let first = run.env.add(reduction.env_slot as usize);
            std::slice::from_raw_parts(first, array_slots(reduction.rank as usize)).to_vec()
        };
        let len = slots[1..][..reduction.rank as usize].iter().map(|&dim| dim as usize).product();
        let segments = if len == 0 { 1 } else { (run.count / len as i64).clamp(1, SEGMENTS) };
        Target { reduction: *reduction, slots, len, slot: info.array_slot(index), segments }
    };
    info.arrays.iter().enumerate().map(target).collect()
}

/// How many groups the loop is cut into; 1 if it stays on this thread.
fn count_groups(run: &Run<'_>, targets: &[Target]) -> i64 {
    if !run.work(run.count, 1).is_large() {
        return 1;
    }
    let ordered = || targets.iter().filter(|target| target.is_ordered()).map(|target| target.segments);
    if ordered().next().is_some() {
        return ordered().fold(0, gcd);
    }
    let most = targets.iter().map(|target| target.segments).min().unwrap_or(1);
    most.min(4 * run.threads as i64)
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Where part `index` of `parts` equal parts of `count` iterations begins. The same number for segment s of S and for group g of G where s/S = g/G.
fn cut(count: i64, index: i64, parts: i64) -> i64 {
    (index as i128 * count as i128 / parts as i128) as i64
}

/// A block of a task, given back on drop.
struct Scratch<'t> {
    task: &'t Task<'t>,
    data: NonNull<u8>,
}

impl<'t> Scratch<'t> {
    fn new(task: &'t Task<'_>, bytes: Option<usize>) -> Option<Scratch<'t>> {
        Some(Scratch { task, data: task.try_alloc(bytes?, Contents::Anything)? })
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        // SAFETY: a block of this task that nobody uses any more.
        unsafe { self.task.free(self.data) };
    }
}

/// What the groups of a wave share.
struct Plan<'r> {
    span: Span<'r>,
    targets: &'r [Target],
    copies: Vec<Copies>,
    groups: i64,
    /// Terms of the blocks that groups cut, in order.
    cut_blocks: &'r [(i64, Terms<'r>)],
}

// SAFETY: groups write copies and terms of their own only; a serial loop, the only one to merge while it runs, has one group.
unsafe impl Sync for Plan<'_> {}

/// A task that runs groups.
struct Groups<'r> {
    plan: &'r Plan<'r>,
    chunks: Chunks<'r>,
    joined: Joined,
}

impl<'r> Piece<'r> for Groups<'r> {
    type Plan = Plan<'r>;

    fn run(plan: &'r Plan<'r>) -> &'r Run<'r> {
        plan.span.run
    }

    fn new(plan: &'r Plan<'r>) -> Groups<'r> {
        Groups { plan, chunks: Chunks::new(&plan.span), joined: Joined::default() }
    }

    fn advance(&mut self, lo: i64, hi: i64) -> Flow {
        for group in lo..hi {
            if self.run_group(group) == Flow::Halt {
                return Flow::Halt;
            }
        }
        Flow::Go
    }

    fn absorb(&mut self, later: Groups<'r>) {
        self.chunks.absorb(&later.chunks);
        self.joined.append(self.chunks.ordered(), &later.joined);
    }
}

impl Groups<'_> {
    fn run_group(&mut self, group: i64) -> Flow {
        let Plan { span: Span { run, .. }, targets, groups, .. } = self.plan;
        let (lo, hi) = (cut(run.count, group, *groups), cut(run.count, group + 1, *groups));
        let mut segments: Vec<i64> =
            targets.iter().map(|target| group * (target.segments / groups)).collect();
        for (index, segment) in segments.iter().enumerate() {
            self.begin_segment(index, *segment);
        }
        let mut pace = Pace::new(Work { threads: 1, ..run.work(hi - lo, 1) });
        let mut at = lo;
        while at < hi {
            let mut end = at + pace.step.min(hi - at);
            for (target, segment) in targets.iter().zip(&segments) {
                end = end.min(cut(run.count, segment + 1, target.segments));
            }
            let block = at / BLOCK;
            let (block_lo, block_hi) = super::ordinals_of(run.count, block);
            let whole = lo <= block_lo && block_hi <= hi;
            if !run.outline.ordered.is_empty() {
                end = end.min(block_hi);
                if !whole {
                    self.send_terms(block);
                } else if at == block_lo {
                    self.chunks.ctx.terms = ptr::null_mut();
                    self.chunks.begin_block();
                }
            }
            let begun = std::time::Instant::now();
            if self.chunks.execute(at, end) == Flow::Halt {
                return Flow::Halt;
            }
            if end - at == pace.step {
                pace.adapt(begun.elapsed());
            }
            at = end;
            if !run.outline.ordered.is_empty() && whole && at == block_hi {
                let values: Vec<u64> = self.chunks.values().collect();
                self.joined.push_block(self.chunks.ordered(), block as u64, &values);
            }
            for (index, target) in targets.iter().enumerate() {
                if at == cut(run.count, segments[index] + 1, target.segments) {
                    self.end_segment(index);
                    if at < hi {
                        segments[index] += 1;
                        self.begin_segment(index, segments[index]);
                    }
                }
            }
        }
        Flow::Go
    }

    /// Points the chunks at the copy that segment `segment` of array `index` updates.
    fn begin_segment(&mut self, index: usize, segment: i64) {
        let target = &self.plan.targets[index];
        let copy = match self.plan.copies[index] {
            Copies::Direct => None,
            Copies::One(copy) => Some(copy),
            // SAFETY: the wave's copies lie one behind the other, and this segment is one of the wave's.
            Copies::Each { base, first } => {
                Some(unsafe { base.add((segment - first) as usize * target.bytes()) })
            }
        };
        let slots = match copy {
            None => target.slots.clone(),
            Some(copy) => {
                let ArrayReduction { op, ty, .. } = target.reduction;
                with_type!(ty, T => {
                    let element = T::from_slot(identity(op, ty));
                    // SAFETY: a copy has `len` elements, and this task alone uses it now.
                    unsafe { std::slice::from_raw_parts_mut(copy.cast::<std::mem::MaybeUninit<T>>().as_ptr(), target.len) }
                        .fill(std::mem::MaybeUninit::new(element));
                });
                target.copy_slots(copy)
            }
        };
        self.chunks.partial.slots_mut()[target.slot..][..slots.len()].copy_from_slice(&slots);
    }

    fn end_segment(&mut self, index: usize) {
        if let Copies::One(copy) = self.plan.copies[index] {
            let target = &self.plan.targets[index];
            // SAFETY: the copy is filled, the array the loop's own, and no other thread runs the loop.
            unsafe { merge(target, copy, 1, (0, target.len)) };
        }
    }

    /// Points the chunks at the terms of a block that groups share.
    fn send_terms(&mut self, block: i64) {
        let found = self.plan.cut_blocks.binary_search_by_key(&block, |(block, _)| *block);
        let Ok(at) = found else { panic!("block {block} has no terms") };
        self.chunks.ctx.terms = self.plan.cut_blocks[at].1.slots.as_ptr();
        self.chunks.ctx.terms_base = block * BLOCK;
    }
}

/// All of the loop on this thread.
fn run_serial<'r>(run: &'r Run<'r>, task: &Task<'_>, targets: &[Target]) -> BlockState {
    let mut scratch = Vec::new();
    let mut copies = Vec::new();
    for target in targets {
        if target.segments == 1 {
            copies.push(Copies::Direct);
            continue;
        }
        match Scratch::new(task, Some(target.bytes())) {
            Some(copy) => {
                copies.push(Copies::One(copy.data));
                scratch.push(copy);
            }
            None => {
                run.call.refused(target.bytes() as u64);
                return BlockState { unordered: Vec::new(), joined: Joined::default() };
            }
        }
    }
    let span = Span { run, terms: ptr::null_mut(), base: 0 };
    let plan = Plan { span, targets, copies, groups: 1, cut_blocks: &[] };
    let mut piece = Groups::new(&plan);
    if run.count > 0 {
        piece.advance(0, 1);
    }
    piece.chunks.into_state(piece.joined)
}

/// Groups on all threads. `None`, and nothing has happened, if there is no memory for the copies.
fn run_parallel<'r>(
    run: &'r Run<'r>,
    task: &Task<'_>,
    targets: &[Target],
    groups: i64,
) -> Option<BlockState> {
    let ordered = &run.outline.ordered[..];
    let mut cut_blocks: Vec<(i64, Terms<'_>)> = Vec::new();
    if !ordered.is_empty() {
        for lo in (1..groups).map(|group| cut(run.count, group, groups)) {
            let block = lo / BLOCK;
            if lo % BLOCK != 0 && cut_blocks.last().is_none_or(|(last, _)| *last != block) {
                cut_blocks.push((block, Terms::new(run, task, super::ordinals_of(run.count, block))?));
            }
        }
    }
    // As many groups at a time as there is room for, but enough for all threads.
    let per_group = |target: &Target| (target.segments / groups) as usize * target.bytes();
    let bytes = targets.iter().map(per_group).sum::<usize>().max(1);
    let wave = ((WAVE_BYTES / bytes) as i64).max(2 * run.threads as i64).min(groups);
    let block = |target: &Target| Scratch::new(task, per_group(target).checked_mul(wave as usize));
    let copies: Vec<Scratch<'_>> = targets.iter().map(block).collect::<Option<_>>()?;

    let mut state: Option<BlockState> = None;
    for first in (0..groups).step_by(wave as usize) {
        let last = groups.min(first + wave);
        let each = |(target, copy): (&Target, &Scratch<'_>)| Copies::Each {
            base: copy.data,
            first: first * (target.segments / groups),
        };
        let plan = Plan {
            span: Span { run, terms: ptr::null_mut(), base: 0 },
            targets,
            copies: targets.iter().zip(&copies).map(each).collect(),
            groups,
            cut_blocks: &cut_blocks,
        };
        let mut piece = Groups::new(&plan);
        sweep(&plan, &mut piece, (first, last), Pace::eager());
        let later = piece.chunks.into_state(piece.joined);
        state = Some(match state {
            None => later,
            Some(earlier) => super::join_states(run.outline, earlier, &later),
        });
        if run.is_broken() {
            return state;
        }
        for (target, copy) in targets.iter().zip(&copies) {
            let count = ((last - first) * (target.segments / groups)) as usize;
            merge_parallel(run, target, copy.data, count);
        }
    }
    let mut state = state?;
    let fold = |(block, terms): &(i64, Terms<'_>)| {
        let (lo, hi) = super::ordinals_of(run.count, *block);
        let mut accumulators = run.outline.start[run.outline.accumulators..].to_vec();
        order::fold_terms(ordered, &mut accumulators, terms.get(), lo, (lo, hi), run.lane_mask);
        (*block as u64, values_of(ordered, &accumulators).collect())
    };
    let blocks: Vec<(u64, Vec<u64>)> = cut_blocks.iter().map(fold).collect();
    state.joined = state.joined.with_blocks(ordered, &blocks);
    Some(state)
}

/// Elements of an array that copies are added to.
struct Merge<'r> {
    run: &'r Run<'r>,
    target: &'r Target,
    copies: NonNull<u8>,
    count: usize,
}

// SAFETY: tasks touch elements of their own ranges only.
unsafe impl Sync for Merge<'_> {}

struct Elements<'r>(&'r Merge<'r>);

impl<'r> Piece<'r> for Elements<'r> {
    type Plan = Merge<'r>;

    fn run(plan: &'r Merge<'r>) -> &'r Run<'r> {
        plan.run
    }

    fn new(plan: &'r Merge<'r>) -> Elements<'r> {
        Elements(plan)
    }

    fn advance(&mut self, lo: i64, hi: i64) -> Flow {
        let Merge { run, target, copies, count } = self.0;
        if run.call.must_leave() {
            return Flow::Halt;
        }
        // SAFETY: the copies are filled and no task updates them any more; elements lo..hi are this task's.
        unsafe { merge(target, *copies, *count, (lo as usize, hi as usize)) };
        Flow::Go
    }

    fn absorb(&mut self, _: Elements<'r>) {}
}

fn merge_parallel(run: &Run<'_>, target: &Target, copies: NonNull<u8>, count: usize) {
    let plan = Merge { run, target, copies, count };
    let pace = Pace::new(Work {
        units: target.len as i64,
        cost: count.max(1) as u64,
        doubtful: false,
        ..run.work(1, 1)
    });
    sweep(&plan, &mut Elements(&plan), (0, target.len as i64), pace);
}

/// Elements `lo..hi` of the array, each combined with those of the copies, in the order of the copies.
///
/// # Safety
/// `count` filled copies lie one behind the other from `copies` on, and nobody else uses these elements, of the array or of the copies.
unsafe fn merge(target: &Target, copies: NonNull<u8>, count: usize, (lo, hi): (usize, usize)) {
    let Target { reduction: ArrayReduction { op, ty, rank, .. }, slots, len, .. } = target;
    let rank = *rank as usize;
    let (dims, strides) = slots[1..].split_at(rank);
    let base = ptr::with_exposed_provenance_mut::<u8>(slots[0] as usize);
    let contiguous = target.copy_slots(copies)[1 + rank..] == *strides;
    let offset = |mut position: usize| {
        let mut offset = 0;
        for (&dim, &stride) in dims.iter().zip(strides).rev() {
            offset += (position % dim as usize) as isize * stride as isize;
            position /= dim as usize;
        }
        offset
    };
    with_type!(*ty, T => with_op!(*op, T, apply => {
        let copies = copies.cast::<T>();
        for first in (lo..hi).step_by(MERGE_STEP) {
            let last = hi.min(first + MERGE_STEP);
            for copy in 0..count {
                for position in first..last {
                    let address = if contiguous { position as isize * size_of::<T>() as isize } else { offset(position) };
                    // SAFETY: a position below `len`, in the array and in copy `copy`; foreign arrays need not be aligned.
                    unsafe {
                        let element = base.offset(address).cast::<T>();
                        let term = copies.add(copy * len + position).read();
                        element.write_unaligned(apply(element.read_unaligned(), term));
                    }
                }
            }
        }
    }));
}
