//! What compiled code calls.
//!
//! In: the arguments that [`HostFn`] lists. Out: statuses, numbers. Holds: no panic leaves a host function; the table has one address per number of
//! [`HostFn`], in that order.
//!
//! Every function here that takes a context trusts it: it is the one that the runtime gave to the code (`Task::ctx`), and its task lives.

use crate::array::{ArrayRef, MAX_RANK};
use crate::block::Contents;
use crate::call::{PrintType, PrintValue, Sink, Task};
use crate::number::{Element, with_type};
use crate::order;
use crate::random;
use crate::schedule;
use kiln_abi::{Ctx, HOST_FNS, HostFn, JOIN_SLOTS, LANES, STATUS_OK, ScalarKind, array_slots};
use std::mem::offset_of;
use std::ptr::{self, NonNull};

/// The address of a host function.
#[repr(transparent)]
struct Address(*const ());

// SAFETY: the address of a function, which every thread may call.
unsafe impl Sync for Address {}

static TABLE: [Address; HOST_FNS] = {
    let mut table = [const { Address(ptr::null()) }; HOST_FNS];
    table[HostFn::Alloc as usize] = Address(alloc as *const ());
    table[HostFn::Free as usize] = Address(free as *const ());
    table[HostFn::Loop as usize] = Address(run_loop as *const ());
    table[HostFn::FoldBlock as usize] = Address(fold_block as *const ());
    table[HostFn::FinishBlocks as usize] = Address(finish_blocks as *const ());
    table[HostFn::Print as usize] = Address(print as *const ());
    table[HostFn::Fma64 as usize] = Address(fma64 as *const ());
    table[HostFn::Fma32 as usize] = Address(fma32 as *const ());
    table[HostFn::Floor64 as usize] = Address(floor64 as *const ());
    table[HostFn::Ceil64 as usize] = Address(ceil64 as *const ());
    table[HostFn::Trunc64 as usize] = Address(trunc64 as *const ());
    table[HostFn::Nearest64 as usize] = Address(nearest64 as *const ());
    table[HostFn::Floor32 as usize] = Address(floor32 as *const ());
    table[HostFn::Ceil32 as usize] = Address(ceil32 as *const ());
    table[HostFn::Trunc32 as usize] = Address(trunc32 as *const ());
    table[HostFn::Nearest32 as usize] = Address(nearest32 as *const ());
    table[HostFn::Unique as usize] = Address(unique as *const ());
    table[HostFn::Ars as usize] = Address(ars as *const ());
    table
};

/// The table that [`Ctx::host`] points to.
pub(crate) fn table() -> *const usize {
    TABLE.as_ptr().cast()
}

/// # Safety
/// `ctx` is a context of a task that is running on this thread.
unsafe fn task_of<'t>(ctx: *mut Ctx) -> &'t Task<'t> {
    // SAFETY: the task outlives the code that it runs, and this function is called by that code.
    unsafe { &*(*ctx).task.cast::<Task<'t>>() }
}

/// # Safety
/// See [`HostFn::Alloc`]; `out` can be written.
unsafe extern "C" fn alloc(ctx: *mut Ctx, elem_bytes: i64, count: i64, zero: i64, out: *mut u64) -> i32 {
    // SAFETY: by the contract.
    let task = unsafe { task_of(ctx) };
    task.call.guarded(|| {
        let bytes = usize::try_from(count).ok().zip(usize::try_from(elem_bytes).ok());
        // Bools are always zeroed: whatever the code leaves out, they are valid as Rust sees them.
        let contents = if zero != 0 || elem_bytes == 1 { Contents::Zero } else { Contents::Anything };
        match task.alloc(bytes.and_then(|(count, each)| count.checked_mul(each)), contents) {
            Ok(data) => {
                // SAFETY: by the contract.
                unsafe { out.write(data.as_ptr().expose_provenance() as u64) };
                STATUS_OK
            }
            Err(status) => status,
        }
    })
}

/// # Safety
/// See [`HostFn::Free`].
unsafe extern "C" fn free(ctx: *mut Ctx, pointer: *mut u8) {
    if let Some(data) = NonNull::new(pointer) {
        // SAFETY: by the contract; the code has the pointer from `alloc`.
        unsafe {
            let task = task_of(ctx);
            task.call.guarded(|| {
                task.free(data);
                STATUS_OK
            });
        }
    }
}

/// # Safety
/// See [`HostFn::Loop`]; `env` holds the loop's live-ins, `out` has room for its totals.
unsafe extern "C" fn run_loop(ctx: *mut Ctx, number: i64, env: *mut u64, count: i64, out: *mut u64) -> i32 {
    // SAFETY: by the contract.
    let task = unsafe { task_of(ctx) };
    task.call.guarded(|| {
        // SAFETY: by the contract; the error record is the context's own.
        unsafe { schedule::run_loop(task, number, env, count, out, &raw mut (*ctx).error) }
    })
}

/// # Safety
/// See [`HostFn::FoldBlock`].
unsafe extern "C" fn fold_block(ctx: *mut Ctx, kind: i64, accumulators: *mut u64, state: *mut u64) {
    // SAFETY: by the contract: 32 accumulators, and the slots of a join state.
    unsafe {
        task_of(ctx).call.guarded(|| {
            let accumulators = std::slice::from_raw_parts_mut(accumulators, LANES);
            let state = std::slice::from_raw_parts_mut(state, JOIN_SLOTS);
            let Some((op, ty)) = order::of_kind(kind) else { panic!("no ordered reduction has kind {kind}") };
            order::fold_serial(op, ty, accumulators, state);
            STATUS_OK
        });
    }
}

/// # Safety
/// See [`HostFn::FinishBlocks`].
unsafe extern "C" fn finish_blocks(ctx: *mut Ctx, kind: i64, state: *mut u64) {
    // SAFETY: by the contract: the slots of a join state.
    unsafe {
        task_of(ctx).call.guarded(|| {
            let state = std::slice::from_raw_parts_mut(state, JOIN_SLOTS);
            let Some((op, ty)) = order::of_kind(kind) else { panic!("no ordered reduction has kind {kind}") };
            order::finish_serial(op, ty, state);
            STATUS_OK
        });
    }
}

/// Returns a status, for code that looks at it; the call fails either way if the sink panics.
///
/// # Safety
/// See [`HostFn::Print`]; the values are as the site's types say.
unsafe extern "C" fn print(ctx: *mut Ctx, site: i64, values: *const u64) -> i32 {
    // SAFETY: by the contract.
    let task = unsafe { task_of(ctx) };
    let Some(Sink { sites, write }) = task.call.sink else { return STATUS_OK };
    task.call.guarded(|| {
        let Some(types) = usize::try_from(site).ok().and_then(|site| sites.get(site)) else {
            panic!("no print site has number {site}");
        };
        let mut slots = values;
        let read = |ty: &PrintType| {
            // SAFETY: each value has the slots that its type says, one after the other; arrays live as long as this call of us.
            unsafe {
                let (value, used) = match ty.rank {
                    None => (PrintValue::Scalar(ty.kind, slots.read()), 1),
                    Some(rank) => {
                        let used = array_slots(rank);
                        (
                            PrintValue::Array(array_of(
                                ty.kind,
                                rank,
                                std::slice::from_raw_parts(slots, used),
                            )),
                            used,
                        )
                    }
                };
                slots = slots.add(used);
                value
            }
        };
        let values: Vec<PrintValue<'_>> = types.iter().map(read).collect();
        write(site as u64, &values);
        STATUS_OK
    })
}

/// # Safety
/// The slots describe a live array of this type and rank.
unsafe fn array_of<'a>(kind: ScalarKind, rank: usize, slots: &[u64]) -> ArrayRef<'a> {
    let (mut dims, mut strides) = ([0; MAX_RANK], [0; MAX_RANK]);
    for axis in 0..rank {
        (dims[axis], strides[axis]) = (slots[1 + axis] as usize, slots[1 + rank + axis] as isize);
    }
    let ptr = ptr::with_exposed_provenance(slots[0] as usize);
    // SAFETY: by the contract.
    match unsafe { ArrayRef::from_raw(kind, ptr, &dims[..rank], &strides[..rank]) } {
        Ok(array) => array,
        Err(error) => panic!("printed array: {error}"),
    }
}

extern "C" fn fma64(a: f64, b: f64, c: f64) -> f64 {
    a.mul_add(b, c)
}

extern "C" fn fma32(a: f32, b: f32, c: f32) -> f32 {
    a.mul_add(b, c)
}

extern "C" fn floor64(x: f64) -> f64 {
    x.floor()
}

extern "C" fn ceil64(x: f64) -> f64 {
    x.ceil()
}

extern "C" fn trunc64(x: f64) -> f64 {
    x.trunc()
}

extern "C" fn nearest64(x: f64) -> f64 {
    x.round_ties_even()
}

extern "C" fn floor32(x: f32) -> f32 {
    x.floor()
}

extern "C" fn ceil32(x: f32) -> f32 {
    x.ceil()
}

extern "C" fn trunc32(x: f32) -> f32 {
    x.trunc()
}

extern "C" fn nearest32(x: f32) -> f32 {
    x.round_ties_even()
}

/// Looks at the stop flag once per so many values.
const UNIQUE_STEP: usize = 1 << 16;

/// Where a value repeats: (its ordinal, the earlier ordinal).
type Repeat = (usize, usize);

/// # Safety
/// See [`HostFn::Ars`]; `out` has two slots.
unsafe extern "C" fn ars(key: u64, index: u64, block: u64, out: *mut u64) {
    // Nothing in it can panic.
    let words = random::ars_block(key, index, block);
    // SAFETY: by the contract.
    unsafe { out.cast::<[u64; 2]>().write(words) }
}

/// # Safety
/// See [`HostFn::Unique`]; `out` has two slots.
unsafe extern "C" fn unique(
    ctx: *mut Ctx,
    values: *const i64,
    stride: i64,
    elem: i64,
    count: i64,
    _range: i64,
    out: *mut u64,
) -> i32 {
    // SAFETY: by the contract.
    let task = unsafe { task_of(ctx) };
    // If a resource fails, the call ends with that: it wins over the error that a 1 stands for.
    let status = task.call.guarded(|| {
        let Some(kind) = KINDS.into_iter().find(|kind| *kind as i64 == elem) else {
            panic!("no element type has number {elem}");
        };
        let count = usize::try_from(count).unwrap_or(0);
        let value = |ordinal: usize| {
            // SAFETY: `count` values lie there, `stride` bytes apart.
            unsafe {
                let address = values.byte_offset(ordinal as isize * stride as isize);
                with_type!(kind, T => widen(kind, address.cast::<T>().read_unaligned().to_slot()))
            }
        };
        match find_repeat(task, count, value) {
            Ok(None) => STATUS_OK,
            Ok(Some((later, earlier))) => {
                // SAFETY: by the contract.
                unsafe {
                    out.write(later as u64);
                    out.add(1).write(earlier as u64);
                }
                1
            }
            Err(status) => status,
        }
    });
    i32::from(status != STATUS_OK)
}

const KINDS: [ScalarKind; 7] = [
    ScalarKind::Bool,
    ScalarKind::I32,
    ScalarKind::I64,
    ScalarKind::U32,
    ScalarKind::U64,
    ScalarKind::F32,
    ScalarKind::F64,
];

/// A slot as a number that is equal for equal values only.
fn widen(kind: ScalarKind, slot: u64) -> i128 {
    match kind {
        ScalarKind::I32 => i128::from(slot as u32 as i32),
        ScalarKind::I64 => i128::from(slot as i64),
        ScalarKind::Bool | ScalarKind::U32 | ScalarKind::U64 | ScalarKind::F32 | ScalarKind::F64 => {
            i128::from(slot)
        }
    }
}

/// The lowest ordinal whose value came before. A bitmap where the values are dense, else a sort.
fn find_repeat(task: &Task<'_>, count: usize, value: impl Fn(usize) -> i128) -> Result<Option<Repeat>, i32> {
    let leave = |ordinal: usize| ordinal.is_multiple_of(UNIQUE_STEP) && task.call.must_leave();
    let (mut low, mut high) = (i128::MAX, i128::MIN);
    for ordinal in 0..count {
        if leave(ordinal) {
            return Err(task.call.settle(STATUS_OK));
        }
        low = low.min(value(ordinal));
        high = high.max(value(ordinal));
    }
    if count < 2 {
        return Ok(None);
    }
    let span = high - low;
    if span < 64 * count as i128 + 4096 {
        let words = (span / 64) as usize + 1;
        let bitmap = task.alloc(words.checked_mul(8), Contents::Zero)?;
        // SAFETY: `words` zeroed words that nobody else uses, freed below.
        let seen = unsafe { std::slice::from_raw_parts_mut(bitmap.cast::<u64>().as_ptr(), words) };
        let mut found = Ok(None);
        for ordinal in 0..count {
            if leave(ordinal) {
                found = Err(task.call.settle(STATUS_OK));
                break;
            }
            let bit = (value(ordinal) - low) as usize;
            if seen[bit / 64] >> (bit % 64) & 1 == 1 {
                // All before differ, so there is one earlier only.
                let earlier = (0..ordinal).find(|&earlier| value(earlier) == value(ordinal));
                found = Ok(earlier.map(|earlier| (ordinal, earlier)));
                break;
            }
            seen[bit / 64] |= 1 << (bit % 64);
        }
        // SAFETY: a block of this task, used no more.
        unsafe { task.free(bitmap) };
        return found;
    }
    let block = task.alloc(count.checked_mul(8), Contents::Zero)?;
    // SAFETY: `count` words that nobody else uses, freed below.
    let order = unsafe { std::slice::from_raw_parts_mut(block.cast::<u64>().as_ptr(), count) };
    order.iter_mut().zip(0..).for_each(|(place, ordinal)| *place = ordinal);
    order.sort_unstable_by_key(|&ordinal| (value(ordinal as usize), ordinal));
    let neighbours = order.windows(2).map(|pair| (pair[1] as usize, pair[0] as usize));
    let found = neighbours.filter(|&(later, earlier)| value(later) == value(earlier)).min();
    // SAFETY: a block of this task, used no more.
    unsafe { task.free(block) };
    Ok(found)
}

const _: () = assert!(offset_of!(Ctx, task) == 136 && size_of::<Address>() == size_of::<usize>());

#[cfg(test)]
pub(crate) fn address_of(number: HostFn) -> *const () {
    TABLE[number as usize].0
}
