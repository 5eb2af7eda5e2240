//! The contract between compiled kernels and the runtime.
//!
//! In: nothing. Out: layouts, status codes, host-function numbers and constants that both sides compile against.
//! Holds: no dependencies, no unsafe code; every layout is `repr(C)` and is pinned by a test of its offsets.
//!
//! Every compiled function (the entry, each callee, each outlined loop body) has one signature, [`CodeFn`]:
//!
//! ```text
//! extern "C" fn(ctx: *mut Ctx, env: *mut u64, lo: i64, hi: i64) -> i32 (a Status)
//! ```
//!
//! - `env` points to 8-byte slots. For an entry or a callee: the parameters in order, then the results in order
//!   (`lo` and `hi` are 0). For an outlined loop: the live-ins, in the order of [`LoopInfo`]'s chunk function's parameters.
//! - A scalar takes one slot: `f32` and 32-bit integers in the low half (the high half is unspecified), `bool` as 0 or 1.
//! - An array of rank r takes `1 + 2r` slots: pointer, r sizes (elements), r strides (bytes). See [`array_slots`].
//! - A function returns [`STATUS_OK`], or the status of the first check or host function that failed, at once.
#![forbid(unsafe_code)]

pub mod show;

use std::sync::atomic::AtomicU32;

/// The call returned; results are in their slots.
pub const STATUS_OK: i32 = 0;
/// A check of the program failed; the record is in [`Ctx::error`].
pub const STATUS_ERROR: i32 = 1;
/// The stop flag was seen: deadline, cancel or Ctrl-C.
pub const STATUS_STOPPED: i32 = 2;
/// An allocation was refused: the memory limit or the machine's memory.
pub const STATUS_MEMORY: i32 = 3;
/// A host function panicked; the runtime holds the message.
pub const STATUS_PANIC: i32 = 4;

/// Operand values that an error record can carry (the checked values first, then the loop indices, outer to inner).
pub const ERROR_VALUES: usize = 8;

/// What a failed check leaves behind.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErrorRecord {
    /// Index into the specialisation's table of check sites.
    pub site: u64,
    /// Raw 64-bit values of the check's operands, in order; the site says their types.
    pub values: [u64; ERROR_VALUES],
}

/// What compiled code sees of a running call. One per task: a chunk that runs on another thread has its own.
#[repr(C)]
#[derive(Debug)]
pub struct Ctx {
    /// Non-zero means: leave with [`STATUS_STOPPED`] at the next poll. Shared by all tasks of a call.
    pub stop: *const AtomicU32,
    /// Addresses of the host functions, indexed by [`HostFn`].
    pub host: *const usize,
    /// Addresses of the specialisation's functions, indexed by function number.
    pub code: *const usize,
    /// Key of the call's root random stream.
    pub seed: u64,
    /// State of the reductions of the outlined loop that this task runs; see [`LoopInfo`].
    pub partial: *mut u64,
    /// Terms buffer of the ordered reductions, or null: see [`LoopInfo`].
    pub terms: *mut u64,
    /// Ordinal of the first iteration that the terms buffer holds.
    pub terms_base: i64,
    /// `q & lane_mask` selects the accumulator of iteration q: 31, or 0 when the loop has at most 32 iterations.
    pub lane_mask: u64,
    /// Written by the check that failed.
    pub error: ErrorRecord,
    /// The runtime's own state of this task.
    pub task: *mut core::ffi::c_void,
}

/// The signature of every compiled function.
pub type CodeFn = unsafe extern "C" fn(ctx: *mut Ctx, env: *mut u64, lo: i64, hi: i64) -> i32;

/// Host functions that compiled code reaches through [`Ctx::host`]. All are `extern "C"`.
#[repr(usize)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HostFn {
    /// `(ctx, elem_bytes: i64, count: i64, zero: i64, out: *mut u64) -> status`: `count` elements, 64-byte aligned, zeroed when
    /// `zero` is not 0; the pointer goes to `*out`. `count` is never negative; the product is checked for overflow here.
    Alloc,
    /// `(ctx, ptr)`: gives back a buffer of `Alloc`, of the same task or of one that has ended. Null is ignored.
    Free,
    /// `(ctx, loop_number: i64, env: *mut u64, count: i64, out: *mut u64) -> status`: runs outlined loop `loop_number` over the
    /// ordinals `0..count`; totals of its scalar reductions go to `out[r]`, in order.
    Loop,
    /// `(ctx, kind: i64, accs: *mut u64, state: *mut u64)`: folds 32 accumulators of a serial ordered reduction (kind:
    /// [`OrderedKind`]) and joins the block's value into `state` ([`JOIN_SLOTS`] slots, `state[0]` = blocks so far), then sets the accumulators to the identity.
    FoldBlock,
    /// `(ctx, kind: i64, state: *mut u64)`: joins what `FoldBlock` left; the total goes to `state[1]`.
    FinishBlocks,
    /// `(ctx, site: i64, values: *const u64)`: prints; `site` indexes the specialisation's print sites.
    Print,
    /// `(a: f64, b: f64, c: f64) -> f64`: exact fused multiply-add, where the CPU has none.
    Fma64,
    /// `(a: f32, b: f32, c: f32) -> f32`
    Fma32,
    /// `(x: f64) -> f64`, and so on: roundings where the CPU has none.
    Floor64,
    /// Rounds up.
    Ceil64,
    /// Rounds towards zero.
    Trunc64,
    /// Rounds to nearest, ties to even.
    Nearest64,
    /// Rounds down, `f32`.
    Floor32,
    /// Rounds up, `f32`.
    Ceil32,
    /// Rounds towards zero, `f32`.
    Trunc32,
    /// Rounds to nearest, ties to even, `f32`.
    Nearest32,
    /// `(ctx, values: *const i64 (base), stride: i64 (bytes), elem: i64 (ScalarKind), count: i64, range: i64, out: *mut u64) -> i32`:
    /// bitmap test of `@unique`: 0 when all `count` values differ; else 1, with the ordinal that repeats in `out[0]` and the earlier one in `out[1]`.
    Unique,
    /// `(key: u64, index: u64, block: u64, out: *mut u64)`: a block of ARS-7, its kind in the top four bits of `block`; X0 and X1 go to `out`.
    Ars,
}

/// How many host functions there are.
pub const HOST_FNS: usize = HostFn::Ars as usize + 1;

/// Slots of the join state of a serial ordered reduction: the count, and one value per set bit of it.
pub const JOIN_SLOTS: usize = 66;
/// Logical lanes of an ordered reduction.
pub const LANES: usize = 32;
/// Iterations of one block of an ordered reduction.
pub const BLOCK: i64 = 1024;

/// Ordered reductions: the order of the terms is part of the result.
#[repr(i64)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OrderedKind {
    /// Identity -0.0.
    SumF64 = 0,
    /// Identity -0.0.
    SumF32 = 1,
    /// Identity 1.
    ProdF64 = 2,
    /// Identity 1.
    ProdF32 = 3,
}

/// Element and scalar types as both sides number them.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ScalarKind {
    /// One byte, 0 or 1.
    Bool = 0,
    /// Signed, four bytes.
    I32 = 1,
    /// Signed, eight bytes.
    I64 = 2,
    /// Unsigned, four bytes.
    U32 = 3,
    /// Unsigned, eight bytes.
    U64 = 4,
    /// IEEE 754 binary32.
    F32 = 5,
    /// IEEE 754 binary64.
    F64 = 6,
}

impl ScalarKind {
    /// Bytes of one element in an array.
    pub const fn bytes(self) -> usize {
        match self {
            ScalarKind::Bool => 1,
            ScalarKind::I32 | ScalarKind::U32 | ScalarKind::F32 => 4,
            ScalarKind::I64 | ScalarKind::U64 | ScalarKind::F64 => 8,
        }
    }
}

/// Operators of reductions.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReduceOp {
    /// `+=` and `-=`.
    Sum,
    /// `*=`
    Prod,
    /// `min=`
    Min,
    /// `max=`
    Max,
    /// `&=`
    And,
    /// `|=`
    Or,
    /// `^=`
    Xor,
}

impl ReduceOp {
    /// Does the order of the terms change the bits?
    pub const fn is_ordered(self, ty: ScalarKind) -> bool {
        matches!(ty, ScalarKind::F32 | ScalarKind::F64) && matches!(self, ReduceOp::Sum | ReduceOp::Prod)
    }
}

/// One scalar reduction of an outlined loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ScalarReduction {
    /// The operator.
    pub op: ReduceOp,
    /// Type of the total.
    pub ty: ScalarKind,
    /// Number of static send sites in the body (0 for unordered reductions).
    pub sites: u32,
}

/// One array reduction of an outlined loop: the body updates the array only by `op`, at elements that may coincide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ArrayReduction {
    /// The operator.
    pub op: ReduceOp,
    /// Element type.
    pub ty: ScalarKind,
    /// Slot of the array in the loop's `env`; pointer, sizes, strides as always.
    pub env_slot: u32,
    /// Rank of the array.
    pub rank: u32,
}

/// What the runtime must know of an outlined loop.
///
/// A chunk runs ordinals `lo..hi` and *continues* from the state in [`Ctx::partial`], laid out in this order:
///
/// 1. per **unordered** scalar reduction: one slot, the total so far (the runtime sets the identity);
/// 2. per **ordered** scalar reduction: [`LANES`] slots, the accumulators (one 8-byte slot each, `f32` in the low half). Iteration q adds its
///    terms, in program order, to accumulator `q & ctx.lane_mask`. A chunk never spans two blocks then, unless `ctx.terms` is set;
/// 3. per array reduction: `1 + 2 * rank` slots, the array that this task updates instead of the one in `env`.
///
/// When [`Ctx::terms`] is not null, ordered sends go there instead: term k (0-based static site over all ordered reductions, in order) of iteration
/// q occupies slots `2 * ((q - terms_base) * K + k)` and the next, K being the sum of `sites`. A plain term is (value, 1.0); a fused
/// product `a*b` is (a, b). The runtime fills the buffer with neutral terms first: see [`neutral_term`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LoopInfo {
    /// Number of the chunk function in [`Ctx::code`].
    pub func: u32,
    /// May the chunks run on several threads?
    pub parallel: bool,
    /// Scalar reductions in source order; totals are reported in this order.
    pub scalars: Vec<ScalarReduction>,
    /// Array reductions.
    pub arrays: Vec<ArrayReduction>,
    /// Its chunk function takes several ordinals at a time, in lanes; set by the backend. Then, if there are ordered reductions, [`Ctx::terms`] is not null
    /// whenever [`Ctx::lane_mask`] is 0 or `lo` is no multiple of [`LANES`]: a group of lanes finds its accumulators side by side, or sends its terms
    /// elsewhere.
    pub wide: bool,
    /// Estimated operations per iteration; small loops stay on the caller's thread. Inner loops of unknown length count as 16 iterations.
    pub cost: u32,
    /// Where the loop stands in the source, for traces.
    pub line: u32,
}

impl LoopInfo {
    /// Slots of [`Ctx::partial`].
    pub fn partial_slots(&self) -> usize {
        let scalars: usize = self.scalars.iter().map(|r| if r.op.is_ordered(r.ty) { LANES } else { 1 }).sum();
        let arrays: usize = self.arrays.iter().map(|a| array_slots(a.rank as usize)).sum();
        scalars + arrays
    }

    /// Slot in [`Ctx::partial`] where scalar reduction `index` has its state (see the layout above: unordered first).
    pub fn scalar_slot(&self, index: usize) -> usize {
        let ordered = |r: &ScalarReduction| r.op.is_ordered(r.ty);
        let unordered = self.scalars.iter().filter(|r| !ordered(r)).count();
        let before = &self.scalars[..index];
        if ordered(&self.scalars[index]) {
            unordered + LANES * before.iter().filter(|r| ordered(r)).count()
        } else {
            before.iter().filter(|r| !ordered(r)).count()
        }
    }

    /// Slot in [`Ctx::partial`] where array reduction `index` has its descriptor.
    pub fn array_slot(&self, index: usize) -> usize {
        let scalars: usize = self.scalars.iter().map(|r| if r.op.is_ordered(r.ty) { LANES } else { 1 }).sum();
        scalars + self.arrays[..index].iter().map(|a| array_slots(a.rank as usize)).sum::<usize>()
    }

    /// Static send sites of all ordered reductions: K in the layout of the terms buffer.
    pub fn term_sites(&self) -> usize {
        self.scalars.iter().filter(|r| r.op.is_ordered(r.ty)).map(|r| r.sites as usize).sum()
    }
}

/// Slots of an array of this rank in an environment.
pub const fn array_slots(rank: usize) -> usize {
    1 + 2 * rank
}

/// Raw bits of the identity of a reduction.
pub fn identity(op: ReduceOp, ty: ScalarKind) -> u64 {
    use ReduceOp::*;
    use ScalarKind::*;
    match (op, ty) {
        (Sum, F64) => (-0.0f64).to_bits(),
        (Sum, F32) => u64::from((-0.0f32).to_bits()),
        (Prod, F64) => 1.0f64.to_bits(),
        (Prod, F32) => u64::from(1.0f32.to_bits()),
        (Min, F64) => f64::INFINITY.to_bits(),
        (Min, F32) => u64::from(f32::INFINITY.to_bits()),
        (Max, F64) => f64::NEG_INFINITY.to_bits(),
        (Max, F32) => u64::from(f32::NEG_INFINITY.to_bits()),
        (Sum | Or | Xor, _) => 0,
        (Prod, _) => 1,
        (And, Bool) => 1,
        (And, I32 | U32) => u64::from(u32::MAX),
        (And, _) => u64::MAX,
        (Min, Bool) => 1,
        (Min, I32) => u64::from(i32::MAX as u32),
        (Min, I64) => i64::MAX as u64,
        (Min, U32) => u64::from(u32::MAX),
        (Min, U64) => u64::MAX,
        (Max, Bool | U32 | U64) => 0,
        (Max, I32) => u64::from(i32::MIN as u32),
        (Max, I64) => i64::MIN as u64,
    }
}

/// The pair that a terms buffer holds where an iteration sent nothing: adding or multiplying it changes no bit.
pub fn neutral_term(op: ReduceOp, ty: ScalarKind) -> (u64, u64) {
    let one = identity(ReduceOp::Prod, ty);
    (identity(op, ty), one)
}

/// Compiled code, before it has an address: position-independent bytes without relocations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    /// Machine code and its constants. To be placed at a 64-byte boundary.
    pub bytes: Vec<u8>,
    /// Offset of each function in `bytes`, by function number. Function 0 is the entry.
    pub entries: Vec<u32>,
    /// Names of the functions, for profilers and listings, in the order of `entries`.
    pub names: Vec<String>,
    /// Outlined loops, by loop number.
    pub loops: Vec<LoopInfo>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{offset_of, size_of};

    #[test]
    fn layout_of_ctx_is_pinned() {
        assert_eq!(offset_of!(Ctx, stop), 0);
        assert_eq!(offset_of!(Ctx, host), 8);
        assert_eq!(offset_of!(Ctx, code), 16);
        assert_eq!(offset_of!(Ctx, seed), 24);
        assert_eq!(offset_of!(Ctx, partial), 32);
        assert_eq!(offset_of!(Ctx, terms), 40);
        assert_eq!(offset_of!(Ctx, terms_base), 48);
        assert_eq!(offset_of!(Ctx, lane_mask), 56);
        assert_eq!(offset_of!(Ctx, error), 64);
        assert_eq!(size_of::<ErrorRecord>(), 72);
        assert_eq!(offset_of!(Ctx, task), 136);
        assert_eq!(size_of::<Ctx>(), 144);
    }

    #[test]
    fn state_slots_follow_the_layout() {
        let sum = ScalarReduction { op: ReduceOp::Sum, ty: ScalarKind::F64, sites: 2 };
        let max = ScalarReduction { op: ReduceOp::Max, ty: ScalarKind::F64, sites: 0 };
        let hist = ArrayReduction { op: ReduceOp::Sum, ty: ScalarKind::I64, env_slot: 0, rank: 1 };
        let info = LoopInfo {
            func: 1,
            parallel: true,
            scalars: vec![sum, max, sum],
            arrays: vec![hist],
            wide: false,
            cost: 1,
            line: 1,
        };
        assert_eq!((info.scalar_slot(0), info.scalar_slot(1), info.scalar_slot(2)), (1, 0, 33));
        assert_eq!(info.array_slot(0), 65);
        assert_eq!(info.partial_slots(), 68);
        assert_eq!(info.term_sites(), 4);
    }
}
