//! Runs outlined loops: chunks on threads, reductions in the order of the language.
//!
//! In: a loop, its live-ins, a number of iterations. Out: the totals of its scalar reductions, its array reductions in place, or the failure that the
//! language names. Holds: which thread runs what, and how the range is cut, changes no bit; after a program error at some ordinal everything
//! before it still runs and nothing else need; after a resource failure every task leaves at its next look.
//!
//! Four shapes, told apart by the loop's reductions:
//!
//! - *no ordered reduction*: cut anywhere ([`Ordinals`]);
//! - *ordered*: the unit is the block of 1024 iterations; a range of blocks gives a list of subtrees ([`Blocks`]);
//! - *ordered, heavy and short*: cut anywhere, terms go to a buffer that is folded afterwards ([`run_terms`]);
//! - *array reductions*: segments, each with its own copy ([`arrays`]).
//!
//! Cutting is lazy (Tzannes, Caragea, Barua and Vishkin, "Lazy binary-splitting", PPoPP 2010): a task runs its range in steps, and splits
//! off half of the rest only while fewer halves wait, over the whole pool, than there are threads. So a loop costs as many tasks as
//! it has thieves, an uneven one is cut down to single iterations where need be, and an inner loop under a busy pool is not cut at all.

mod arrays;
mod pace;

use crate::block::Contents;
use crate::call::{Call, CallOptions, Failure, Task, call_with};
use crate::code::{Code, Loop};
use crate::float_env::FloatEnv;
use crate::number::combine;
use crate::order::{self, Joined, blocks_of};
use crate::pool::{Pool, Workers};
use kiln_abi::{
    BLOCK, CodeFn, Ctx, ErrorRecord, LANES, STATUS_ERROR, STATUS_OK, ScalarReduction, neutral_term,
};
use pace::{Pace, Splits, Work};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Terms pay when an iteration costs more operations than writing and folding one.
const HEAVY: u32 = 64;
/// Fewer blocks per thread than this leave threads idle at the end.
const BLOCKS_PER_THREAD: i64 = 4;

/// `HostFn::Loop`.
///
/// # Safety
/// `env` holds the live-ins of loop `number` of the call's code, `out` has room for its totals, `error` can be written.
pub(crate) unsafe fn run_loop(
    task: &Task<'_>,
    number: i64,
    env: *mut u64,
    count: i64,
    out: *mut u64,
    error: *mut ErrorRecord,
) -> i32 {
    let Some(outline) = task.call.code.loop_at(number) else { panic!("no loop has number {number}") };
    let run = Run::new(task.call, outline, env, count.max(0));
    // SAFETY: as many totals as the contract makes room for.
    let out = unsafe { std::slice::from_raw_parts_mut(out, outline.info.scalars.len()) };
    let state = if outline.info.arrays.is_empty() {
        if run.is_small() {
            let span = Span { run: &run, terms: ptr::null_mut(), base: 0 };
            let mut chunks = Chunks::new(&span);
            if run.count > 0 {
                chunks.execute(0, run.count);
            }
            for (index, total) in out.iter_mut().enumerate() {
                *total = chunks.total(index);
            }
            None
        } else {
            Some(run_range(&run, task, 0..blocks_of(run.count)))
        }
    } else {
        Some(arrays::run_arrays(&run, task))
    };
    match run.outcome() {
        Outcome::Done => {
            if let Some(state) = state {
                state.totals_into(outline, out);
            }
            STATUS_OK
        }
        Outcome::Ended(status) => status,
        Outcome::Failed(record) => {
            // SAFETY: by the contract.
            unsafe { error.write(record) };
            STATUS_ERROR
        }
    }
}

/// What a range of blocks of a loop comes to: enough to go on from, in another thread or another process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockState {
    unordered: Vec<u64>,
    joined: Joined,
}

impl BlockState {
    fn totals_into(&self, outline: &Loop, out: &mut [u64]) {
        let (mut ordered, mut unordered) = (0.., self.unordered.iter());
        for (reduction, total) in outline.info.scalars.iter().zip(out) {
            *total = if reduction.op.is_ordered(reduction.ty) {
                self.joined.total(&outline.ordered, ordered.next().unwrap_or(0))
            } else {
                unordered.next().copied().unwrap_or(0)
            };
        }
    }

    /// The totals of the loop's scalar reductions, in source order. The state holds all blocks of the loop.
    pub fn totals(&self, code: &Code, number: usize) -> Option<Vec<u64>> {
        let outline = code.loop_at(number as i64)?;
        let mut out = vec![0; outline.info.scalars.len()];
        self.totals_into(outline, &mut out);
        Some(out)
    }
}

/// Runs blocks `blocks` (of 1024 iterations each) of outlined loop `number`, which has no array reductions, over `count` iterations in all. States of
/// neighbouring ranges go together by [`join`]; who ran which range, and in how many pieces, changes no bit of the totals.
///
/// # Safety
/// `env` holds the live-ins of the loop; otherwise as for [`call`](crate::call()).
///
/// # Errors
/// As [`call`](crate::call()). A program error is the first of this range.
pub unsafe fn run_blocks(
    code: &Arc<Code>,
    pool: &Pool,
    number: usize,
    env: &mut [u64],
    count: i64,
    blocks: Range<i64>,
    options: &CallOptions<'_>,
) -> Result<BlockState, Failure> {
    let mut state = None;
    let env = env.as_mut_ptr();
    call_with(code, pool, options, |task, error| {
        let outline = code.loop_at(number as i64).filter(|outline| outline.info.arrays.is_empty());
        let Some(outline) = outline else { panic!("loop {number} has no blocks of its own") };
        let run = Run::new(task.call, outline, env, count.max(0));
        let last = blocks_of(run.count);
        let found = run_range(&run, task, blocks.start.clamp(0, last)..blocks.end.clamp(0, last));
        match run.outcome() {
            Outcome::Done => {
                state = Some(found);
                STATUS_OK
            }
            Outcome::Ended(status) => status,
            Outcome::Failed(record) => {
                *error = record;
                STATUS_ERROR
            }
        }
    })?;
    state.ok_or_else(|| Failure::Panic("the loop left no state".into()))
}

/// The state of two neighbouring ranges of blocks of loop `number`, `left` before `right`. `None` if the code has no such loop.
pub fn join(code: &Code, number: usize, left: BlockState, right: &BlockState) -> Option<BlockState> {
    Some(join_states(code.loop_at(number as i64)?, left, right))
}

fn join_states(outline: &Loop, left: BlockState, right: &BlockState) -> BlockState {
    let mut state = left;
    for (reduction, (total, later)) in
        outline.unordered().zip(state.unordered.iter_mut().zip(&right.unordered))
    {
        *total = combine(reduction.op, reduction.ty, *total, *later);
    }
    state.joined.append(&outline.ordered, &right.joined);
    state
}

/// A loop that is running.
struct Run<'r> {
    call: &'r Call<'r>,
    outline: &'r Loop,
    func: CodeFn,
    env: *mut u64,
    count: i64,
    /// Which accumulator an iteration adds to.
    lane_mask: u64,
    /// Threads that may run it.
    threads: usize,
    /// First ordinal of the lowest chunk that failed; `i64::MAX`: none has.
    failed_at: AtomicI64,
    failed: Mutex<(i64, ErrorRecord)>,
}

// SAFETY: tasks only read the live-ins, and the rest is made to be shared.
unsafe impl Sync for Run<'_> {}

enum Outcome {
    Done,
    /// A resource failed: the status.
    Ended(i32),
    Failed(ErrorRecord),
}

impl<'r> Run<'r> {
    fn new(call: &'r Call<'r>, outline: &'r Loop, env: *mut u64, count: i64) -> Run<'r> {
        Run {
            call,
            outline,
            func: call.code.function(outline.info.func as usize),
            env,
            count,
            lane_mask: if count <= LANES as i64 { 0 } else { LANES as u64 - 1 },
            threads: if outline.info.parallel { call.pool.threads() } else { 1 },
            failed_at: AtomicI64::new(i64::MAX),
            failed: Mutex::new((i64::MAX, ErrorRecord::default())),
        }
    }

    /// Units of so many iterations each.
    fn work(&self, units: i64, each: i64) -> Work {
        Work::new(self.threads, units, u64::from(self.outline.info.cost), each)
    }

    /// One chunk on this thread is all it takes.
    fn is_small(&self) -> bool {
        (self.outline.ordered.is_empty() || self.count <= BLOCK)
            && Pace::new(self.work(self.count, 1)).is_one_step(self.count)
    }

    /// A chunk from `lo` on failed.
    fn fail(&self, lo: i64, error: ErrorRecord) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if lo < failed.0 {
            *failed = (lo, error);
            self.failed_at.store(lo, Ordering::Relaxed);
        }
    }

    fn is_broken(&self) -> bool {
        self.failed_at.load(Ordering::Relaxed) != i64::MAX || self.call.has_ended()
    }

    fn outcome(&self) -> Outcome {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        match self.call.settle(STATUS_OK) {
            STATUS_OK if failed.0 == i64::MAX => Outcome::Done,
            STATUS_OK => Outcome::Failed(failed.1),
            ended => Outcome::Ended(ended),
        }
    }

    /// Runs `work` as a task of the call on this thread: in the default floating-point environment; a panic ends the call.
    fn guarded<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        let _float = FloatEnv::enter();
        let mut result = None;
        self.call.guarded(|| {
            result = Some(work());
            STATUS_OK
        });
        result
    }
}

/// May the caller go on?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Go,
    Halt,
}

/// A loop, and where its ordered terms go: a buffer beginning with iteration `base`, or nowhere.
struct Span<'r> {
    run: &'r Run<'r>,
    terms: *mut u64,
    base: i64,
}

// SAFETY: tasks write terms of their own iterations only.
unsafe impl Sync for Span<'_> {}

/// State of a loop's reductions, as chunks see it. Most fit without an allocation.
struct Partial {
    inline: [u64; Partial::INLINE],
    heap: Vec<u64>,
    len: usize,
}

impl Partial {
    const INLINE: usize = 48;

    fn new(start: &[u64]) -> Partial {
        let mut partial = Partial { inline: [0; Partial::INLINE], heap: Vec::new(), len: start.len() };
        match partial.inline.get_mut(..start.len()) {
            Some(inline) => inline.copy_from_slice(start),
            None => partial.heap = start.to_vec(),
        }
        partial
    }

    fn slots(&self) -> &[u64] {
        if self.heap.is_empty() { &self.inline[..self.len] } else { &self.heap }
    }

    fn slots_mut(&mut self) -> &mut [u64] {
        if self.heap.is_empty() { &mut self.inline[..self.len] } else { &mut self.heap }
    }
}

/// A task that runs chunks of a loop, one after the other, in one state.
struct Chunks<'r> {
    run: &'r Run<'r>,
    task: Task<'r>,
    ctx: Ctx,
    partial: Partial,
}

impl<'r> Chunks<'r> {
    fn new(span: &Span<'r>) -> Chunks<'r> {
        let task = Task::new(span.run.call);
        let mut ctx = task.ctx();
        ctx.lane_mask = span.run.lane_mask;
        (ctx.terms, ctx.terms_base) = (span.terms, span.base);
        Chunks { run: span.run, task, ctx, partial: Partial::new(&span.run.outline.start) }
    }

    /// Runs one chunk, unless it lies behind an error or the call has ended.
    fn execute(&mut self, lo: i64, hi: i64) -> Flow {
        let run = self.run;
        if run.failed_at.load(Ordering::Relaxed) < lo || run.call.must_leave() {
            return Flow::Halt;
        }
        let mut kept = self.apart((lo, hi));
        if let Some(terms) = &mut kept {
            (self.ctx.terms, self.ctx.terms_base) = (terms.as_mut_ptr(), lo);
        }
        // The task may have moved since the last chunk, with the structure that holds it.
        self.ctx.task = ptr::from_ref(&self.task).cast_mut().cast();
        self.ctx.partial = self.partial.slots_mut().as_mut_ptr();
        // SAFETY: the function is the loop's (`Code::load`), the live-ins are its own (`run_loop`), context and state stay where they are
        // until it returns.
        let status = unsafe { (run.func)(&raw mut self.ctx, run.env, lo, hi) };
        if let Some(terms) = kept {
            self.ctx.terms = ptr::null_mut();
            order::fold_terms(self.ordered(), self.accumulators(), &terms, lo, (lo, hi), run.lane_mask);
        }
        match status {
            STATUS_OK => Flow::Go,
            STATUS_ERROR => {
                run.fail(lo, self.ctx.error);
                Flow::Halt
            }
            other => {
                run.call.settle(other);
                Flow::Halt
            }
        }
    }

    /// A buffer for the terms of a chunk, all neutral, if its code has lanes that would not find their accumulators (see [`kiln_abi::LoopInfo::wide`]).
    /// Such a chunk lies within one block.
    fn apart(&self, (lo, hi): (i64, i64)) -> Option<Vec<u64>> {
        let ordered = self.ordered();
        let finds = self.run.lane_mask != 0 && lo % LANES as i64 == 0;
        if !self.run.outline.info.wide || ordered.is_empty() || finds || !self.ctx.terms.is_null() {
            return None;
        }
        Some(neutral_row(ordered).repeat((hi - lo) as usize))
    }

    fn ordered(&self) -> &'r [ScalarReduction] {
        &self.run.outline.ordered
    }

    /// The accumulators of all ordered reductions.
    fn accumulators(&mut self) -> &mut [u64] {
        let first = self.run.outline.accumulators;
        &mut self.partial.slots_mut()[first..][..LANES * self.run.outline.ordered.len()]
    }

    /// Sets the accumulators to the identity.
    fn begin_block(&mut self) {
        let (first, outline) = (self.run.outline.accumulators, self.run.outline);
        self.accumulators().copy_from_slice(&outline.start[first..][..LANES * outline.ordered.len()]);
    }

    /// The values of the block whose iterations have run.
    fn values(&self) -> impl Iterator<Item = u64> {
        values_of(self.ordered(), &self.partial.slots()[self.run.outline.accumulators..])
    }

    /// Total of reduction `index` of a loop of one block.
    fn total(&self, index: usize) -> u64 {
        let (info, slots) = (&self.run.outline.info, self.partial.slots());
        let (reduction, at) = (info.scalars[index], info.scalar_slot(index));
        if reduction.op.is_ordered(reduction.ty) {
            order::fold_block(reduction.op, reduction.ty, &slots[at..])
        } else {
            slots[at]
        }
    }

    /// Takes over the unordered totals of another task.
    fn absorb(&mut self, other: &Chunks<'r>) {
        let totals = self.partial.slots_mut().iter_mut().zip(other.partial.slots());
        for (reduction, (total, others)) in self.run.outline.unordered().zip(totals) {
            *total = combine(reduction.op, reduction.ty, *total, *others);
        }
    }

    fn into_state(self, joined: Joined) -> BlockState {
        let unordered = self.partial.slots()[..self.run.outline.accumulators].to_vec();
        BlockState { unordered, joined }
    }
}

impl Drop for Chunks<'_> {
    fn drop(&mut self) {
        if !self.run.is_broken() {
            self.task.hand_over();
        }
    }
}

/// A task that makes its way through a range of units.
trait Piece<'r>: Sized {
    /// What all tasks of the range share.
    type Plan: Sync;

    /// The loop.
    fn run(plan: &'r Self::Plan) -> &'r Run<'r>;
    /// A task that has done nothing yet.
    fn new(plan: &'r Self::Plan) -> Self;
    /// Runs units `lo..hi`, which follow those it has run.
    fn advance(&mut self, lo: i64, hi: i64) -> Flow;
    /// Takes over what the task of the units behind has come to.
    fn absorb(&mut self, later: Self);
}

/// Ordinals, cut anywhere.
struct Ordinals<'r> {
    chunks: Chunks<'r>,
}

impl<'r> Piece<'r> for Ordinals<'r> {
    type Plan = Span<'r>;

    fn run(plan: &'r Span<'r>) -> &'r Run<'r> {
        plan.run
    }

    fn new(plan: &'r Span<'r>) -> Ordinals<'r> {
        Ordinals { chunks: Chunks::new(plan) }
    }

    fn advance(&mut self, lo: i64, hi: i64) -> Flow {
        self.chunks.execute(lo, hi)
    }

    fn absorb(&mut self, later: Ordinals<'r>) {
        self.chunks.absorb(&later.chunks);
    }
}

/// Blocks of 1024 iterations.
struct Blocks<'r> {
    chunks: Chunks<'r>,
    joined: Joined,
    /// Values of the block at hand.
    values: Vec<u64>,
}

impl<'r> Piece<'r> for Blocks<'r> {
    type Plan = Span<'r>;

    fn run(plan: &'r Span<'r>) -> &'r Run<'r> {
        plan.run
    }

    fn new(plan: &'r Span<'r>) -> Blocks<'r> {
        Blocks { chunks: Chunks::new(plan), joined: Joined::default(), values: Vec::new() }
    }

    fn advance(&mut self, lo: i64, hi: i64) -> Flow {
        for block in lo..hi {
            self.chunks.begin_block();
            let (first, last) = ordinals_of(self.chunks.run.count, block);
            if self.chunks.execute(first, last) == Flow::Halt {
                return Flow::Halt;
            }
            self.values.clear();
            self.values.extend(self.chunks.values());
            self.joined.push_block(self.chunks.ordered(), block as u64, &self.values);
        }
        Flow::Go
    }

    fn absorb(&mut self, later: Blocks<'r>) {
        self.chunks.absorb(&later.chunks);
        self.joined.append(self.chunks.ordered(), &later.joined);
    }
}

/// A block's values, from its accumulators.
fn values_of(ordered: &[ScalarReduction], accumulators: &[u64]) -> impl Iterator<Item = u64> {
    let lanes = accumulators.chunks_exact(LANES);
    ordered.iter().zip(lanes).map(|(r, lanes)| order::fold_block(r.op, r.ty, lanes))
}

/// First and one past the last iteration of a block.
fn ordinals_of(count: i64, block: i64) -> (i64, i64) {
    let first = block * BLOCK;
    (first, first + (count - first).min(BLOCK))
}

/// Runs a range of blocks of a loop without array reductions.
fn run_range<'r>(run: &'r Run<'r>, task: &Task<'_>, blocks: Range<i64>) -> BlockState {
    let span = Span { run, terms: ptr::null_mut(), base: 0 };
    let [lo, hi] = [blocks.start, blocks.end].map(|block| block.saturating_mul(BLOCK).min(run.count));
    if run.outline.ordered.is_empty() {
        return run_ordinals(&span, (lo, hi));
    }
    let number = blocks.end - blocks.start;
    let few = run.threads > 1 && number < BLOCKS_PER_THREAD * run.threads as i64;
    if number == 1 {
        return run_one_block(&span, task, blocks.start);
    }
    if few
        && run.outline.info.cost >= HEAVY
        && let Some(state) = run_terms(run, task, (lo, hi), None)
    {
        return state;
    }
    run_whole_blocks(&span, blocks)
}

fn run_ordinals<'r>(span: &Span<'r>, (lo, hi): (i64, i64)) -> BlockState {
    let pace = Pace::new(span.run.work(hi - lo, 1));
    let mut piece = Ordinals::new(span);
    sweep(span, &mut piece, (lo, hi), pace);
    piece.chunks.into_state(Joined::default())
}

fn run_whole_blocks<'r>(span: &Span<'r>, blocks: Range<i64>) -> BlockState {
    let pace = Pace::new(span.run.work(blocks.end - blocks.start, BLOCK));
    let mut piece = Blocks::new(span);
    sweep(span, &mut piece, (blocks.start, blocks.end), pace);
    piece.chunks.into_state(piece.joined)
}

/// A single block: begun on this thread; if it proves heavy, its rest is computed as terms.
fn run_one_block<'r>(span: &Span<'r>, task: &Task<'_>, block: i64) -> BlockState {
    let run = span.run;
    let (mut lo, hi) = ordinals_of(run.count, block);
    let mut pace = Pace::new(run.work(hi - lo, 1));
    let mut piece = Ordinals::new(span);
    while let Some(at) = ahead(&mut piece, (lo, hi), &mut pace) {
        lo = at;
        if lo == hi {
            break;
        }
        if let Some(state) = run_terms(run, task, (lo, hi), Some(&mut piece.chunks)) {
            return state;
        }
        // No memory for terms: then on this thread.
        pace.splits = Splits::Never;
    }
    let mut joined = Joined::default();
    let values: Vec<u64> = piece.chunks.values().collect();
    joined.push_block(piece.chunks.ordered(), block as u64, &values);
    piece.chunks.into_state(joined)
}

/// Runs iterations `lo..hi` as terms and folds them. `begun` has run the iterations before `lo` of the same block. `None`, and nothing has
/// happened, if there is no memory for the terms.
fn run_terms<'r>(
    run: &'r Run<'r>,
    task: &Task<'_>,
    (lo, hi): (i64, i64),
    begun: Option<&mut Chunks<'r>>,
) -> Option<BlockState> {
    let ordered = &run.outline.ordered[..];
    let terms = Terms::new(run, task, (lo, hi))?;
    let span = Span { run, terms: terms.slots.as_ptr(), base: lo };
    let mut piece = Ordinals::new(&span);
    sweep(&span, &mut piece, (lo, hi), Pace::eager());
    let start = &run.outline.start[run.outline.accumulators..][..LANES * ordered.len()];
    let mut accumulators = start.to_vec();
    if let Some(begun) = begun {
        accumulators.copy_from_slice(begun.accumulators());
        piece.chunks.absorb(begun);
    }
    let mut joined = Joined::default();
    if !run.is_broken() {
        for block in lo / BLOCK..blocks_of(hi) {
            let (first, last) = ordinals_of(run.count, block);
            order::fold_terms(
                ordered,
                &mut accumulators,
                terms.get(),
                lo,
                (first.max(lo), last),
                run.lane_mask,
            );
            let values: Vec<u64> = values_of(ordered, &accumulators).collect();
            joined.push_block(ordered, block as u64, &values);
            accumulators.copy_from_slice(start);
        }
    }
    Some(piece.chunks.into_state(joined))
}

/// Terms of a range of iterations, all neutral at first. Freed on drop.
struct Terms<'t> {
    task: &'t Task<'t>,
    slots: ptr::NonNull<u64>,
    len: usize,
}

impl<'t> Terms<'t> {
    fn new(run: &Run<'_>, task: &'t Task<'_>, (lo, hi): (i64, i64)) -> Option<Terms<'t>> {
        let sends = run.outline.ordered.iter();
        let row: Vec<u64> = sends
            .flat_map(|r| std::iter::repeat_n(neutral_term(r.op, r.ty), r.sites as usize))
            .flat_map(|(a, b)| [a, b])
            .collect();
        let len = usize::try_from(hi - lo).ok()?.checked_mul(row.len())?;
        let slots = task.try_alloc(len.checked_mul(8)?, Contents::Anything)?.cast::<u64>();
        for at in (0..len).step_by(row.len().max(1)) {
            // SAFETY: `len` slots, a whole number of rows, just allocated.
            unsafe { slots.add(at).copy_from_nonoverlapping(ptr::NonNull::from(&row[..]).cast(), row.len()) };
        }
        Some(Terms { task, slots, len })
    }

    /// The terms, once no chunk writes them any more.
    fn get(&self) -> &[u64] {
        // SAFETY: initialised in `new`, alive as long as self.
        unsafe { std::slice::from_raw_parts(self.slots.as_ptr(), self.len) }
    }
}

impl Drop for Terms<'_> {
    fn drop(&mut self) {
        // SAFETY: a block of this task that nobody uses any more.
        unsafe { self.task.free(self.slots.cast()) };
    }
}

/// The terms of an iteration that sends nothing.
fn neutral_row(ordered: &[ScalarReduction]) -> Vec<u64> {
    ordered
        .iter()
        .flat_map(|r| std::iter::repeat_n(neutral_term(r.op, r.ty), r.sites as usize))
        .flat_map(|(a, b)| [a, b])
        .collect()
}

/// Lets one thread at a time use what is not made to be shared.
struct Carry<T>(T);

// SAFETY: what is carried here (tasks and pieces) refers to the call, which is shared, and to blocks that the task owns; whoever hands it to
// another thread waits until that one is done.
unsafe impl<T> Send for Carry<T> {}

impl<T> Carry<T> {
    /// A method, so that closures capture the whole.
    fn take(self) -> T {
        self.0
    }
}

/// Runs units from `lo` on, on this thread, for as long as nothing speaks for splitting. Where it got to; `None`: halted.
fn ahead<'r, P: Piece<'r>>(piece: &mut P, (mut lo, hi): (i64, i64), pace: &mut Pace) -> Option<i64> {
    while lo < hi && pace.splits != Splits::Now {
        lo = one_step(piece, (lo, hi), pace)?;
    }
    Some(lo)
}

fn one_step<'r, P: Piece<'r>>(piece: &mut P, (lo, hi): (i64, i64), pace: &mut Pace) -> Option<i64> {
    let end = lo + pace.step.min(hi - lo);
    let begun = (end < hi).then(Instant::now);
    if piece.advance(lo, end) == Flow::Halt {
        return None;
    }
    if let Some(begun) = begun {
        pace.adapt(begun.elapsed());
    }
    Some(end)
}

/// Runs units `lo..hi`, with the help of whoever has nothing to do.
fn sweep<'r, P: Piece<'r>>(plan: &'r P::Plan, piece: &mut P, (mut lo, hi): (i64, i64), mut pace: Pace) {
    let run = P::run(plan);
    while lo < hi {
        if pace.splits == Splits::Now
            && hi - lo > pace.step
            && let Some(workers) = run.call.pool.workers()
            && workers.are_hungry()
        {
            if workers.has_current() {
                return split(plan, piece, (lo, hi), pace, workers);
            }
            let piece = Carry(piece);
            workers.install(move || {
                let piece = piece.take();
                run.guarded(|| sweep(plan, piece, (lo, hi), pace));
            });
            return;
        }
        match one_step(piece, (lo, hi), &mut pace) {
            Some(at) => lo = at,
            None => return,
        }
    }
}

/// Offers the upper half to other threads.
fn split<'r, P: Piece<'r>>(
    plan: &'r P::Plan,
    piece: &mut P,
    (lo, hi): (i64, i64),
    pace: Pace,
    workers: &Workers,
) {
    let run = P::run(plan);
    let middle = lo + (hi - lo) / 2;
    workers.waiting.fetch_add(1, Ordering::Relaxed);
    let left = Carry(&mut *piece);
    let right = move || {
        workers.waiting.fetch_sub(1, Ordering::Relaxed);
        Carry(run.guarded(|| {
            let mut piece = P::new(plan);
            sweep(plan, &mut piece, (middle, hi), pace);
            piece
        }))
    };
    let left = move || {
        let piece = left.take();
        // The right half is counted as waiting, so it has to run whatever becomes of this one.
        catch_unwind(AssertUnwindSafe(|| sweep(plan, piece, (lo, middle), pace)))
    };
    let (left, right) = rayon::join(left, right);
    if let Err(panic) = left {
        resume_unwind(panic);
    }
    if let Some(right) = right.take() {
        piece.absorb(right);
    }
}
