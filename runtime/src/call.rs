//! One call of compiled code.
//!
//! In: code, slots, limits. Out: results in the slots and [`Owned`], the arrays among them; or one [`Failure`]. Holds: whatever the call allocated
//! and did not hand over is freed; of several failures the one that the language names is reported: a resource failure before a program
//! error that is not settled, and of program errors the first in sequential order (`schedule` sees to that).

use crate::array::{Array, ArrayRef, MAX_RANK};
use crate::block::{self, Contents, Header, List};
use crate::code::Code;
use crate::float_env::FloatEnv;
use crate::host;
use crate::memory::{Buffer, Memory};
use crate::pool::Pool;
use crate::stop::{StopFlag, StopReason};
use kiln_abi::{
    Ctx, ErrorRecord, STATUS_ERROR, STATUS_MEMORY, STATUS_OK, STATUS_PANIC, STATUS_STOPPED, ScalarKind,
    array_slots,
};
use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a call may use, and how it is stopped.
#[derive(Clone, Copy)]
pub struct CallOptions<'a> {
    /// Key of the root random stream.
    pub seed: u64,
    /// Stops the call. One flag serves one call at a time.
    pub stop: &'a StopFlag,
    /// Pays for what the call allocates.
    pub memory: &'a Arc<Memory>,
    /// Takes what `print` prints; without one it is dropped.
    pub sink: Option<Sink<'a>>,
}

/// Takes what `print` prints.
#[derive(Clone, Copy)]
pub struct Sink<'a> {
    /// Types of the values of each print site of the specialisation.
    pub sites: &'a [Vec<PrintType>],
    /// Called with the number of the site and its values.
    pub write: &'a (dyn Fn(u64, &[PrintValue<'_>]) + Sync),
}

/// Type of a printed value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrintType {
    /// Of the scalar or the elements.
    pub kind: ScalarKind,
    /// `None` for a scalar, else the array's rank.
    pub rank: Option<usize>,
}

/// A printed value.
#[derive(Clone, Copy, Debug)]
pub enum PrintValue<'a> {
    /// A scalar, as a slot.
    Scalar(ScalarKind, u64),
    /// An array, as it stands.
    Array(ArrayRef<'a>),
}

/// Why a call gave no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A check of the program failed.
    Program(ErrorRecord),
    /// It was cancelled, or its time was up.
    Stopped(StopReason),
    /// An allocation was refused.
    Memory {
        /// Bytes that were asked for; `u64::MAX` if they cannot even be counted.
        requested: u64,
        /// The limit; `u64::MAX` if there is none and the machine refused.
        limit: u64,
    },
    /// Something that should not panic did. The message.
    Panic(String),
}

/// Runs the entry of `code`: function 0, on this thread; its parallel loops on `pool`. Results are in `env` afterwards.
///
/// # Safety
/// `env` holds the slots of the entry's parameters, with room for its results behind them. Arrays among the parameters are as their types say,
/// writable where the entry writes, and nobody else uses those meanwhile. `options.sink` has the types of the print sites of this code.
///
/// # Errors
/// See [`Failure`]. Writable arrays may then hold old and new elements.
pub unsafe fn call(
    code: &Arc<Code>,
    pool: &Pool,
    env: &mut [u64],
    options: &CallOptions<'_>,
) -> Result<Owned, Failure> {
    call_with(code, pool, options, |task, error| {
        let mut ctx = task.ctx();
        // SAFETY: the code keeps the contract of its signature (`Code::load`), the slots are right by our own; ctx and task outlive the run.
        let status = unsafe { code.function(0)(&raw mut ctx, env.as_mut_ptr(), 0, 0) };
        if status == STATUS_ERROR {
            *error = ctx.error;
        }
        status
    })
}

/// Runs `work` as the first task of a call.
pub(crate) fn call_with(
    code: &Code,
    pool: &Pool,
    options: &CallOptions<'_>,
    work: impl FnOnce(&Task<'_>, &mut ErrorRecord) -> i32,
) -> Result<Owned, Failure> {
    let _float = FloatEnv::enter();
    let call = Call::new(code, pool, options);
    let task = Task::new(&call);
    let mut error = ErrorRecord::default();
    let status =
        if options.stop.is_raised() { call.stopped() } else { call.guarded(|| work(&task, &mut error)) };
    let status = call.settle(status);
    if status == STATUS_OK {
        return Ok(task.into_owned());
    }
    drop(task);
    Err(call.into_failure(error))
}

/// What a call has allocated and not freed: the arrays among its results. What is not taken is freed.
pub struct Owned {
    blocks: List,
    /// Present if there are blocks.
    memory: Option<Arc<Memory>>,
}

impl Owned {
    /// Takes over the array whose pointer the call returned. `None` if it is not one of this call, or taken already.
    pub fn adopt(&mut self, pointer: u64) -> Option<Buffer> {
        let memory = self.memory.as_ref()?;
        let header = self.blocks.take(pointer)?;
        // SAFETY: it was in our list, so it is live, charged to this account, and ours; now it is in no list.
        Some(unsafe { Buffer::adopt(header, memory.clone()) })
    }

    /// Takes over a returned array by its slots (`1 + 2 * rank` of them). `None` as for [`Owned::adopt`], or if its sizes are not those of its block.
    pub fn take_array(&mut self, kind: ScalarKind, rank: usize, slots: &[u64]) -> Option<Array> {
        if rank > MAX_RANK || slots.len() != array_slots(rank) {
            return None;
        }
        let dims =
            slots[1..1 + rank].iter().map(|&dim| usize::try_from(dim)).collect::<Result<_, _>>().ok()?;
        Array::from_buffer(kind, dims, self.adopt(slots[0])?)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if let Some(memory) = &self.memory {
            memory.refund(free_all(&self.blocks));
        }
    }
}

/// Frees the blocks of a list. How many bytes to refund.
fn free_all(blocks: &List) -> usize {
    let mut charged = 0;
    while let Some(header) = blocks.pop() {
        // SAFETY: a live block of our own list, which it has just left.
        unsafe {
            charged += header.as_ref().charged;
            block::release(header);
        }
    }
    charged
}

/// What the tasks of a running call share.
pub(crate) struct Call<'c> {
    pub(crate) code: &'c Code,
    pub(crate) pool: &'c Pool,
    pub(crate) sink: Option<Sink<'c>>,
    stop: &'c StopFlag,
    memory: &'c Arc<Memory>,
    seed: u64,
    /// The status of the first resource failure; then every task leaves at its next look.
    ended: AtomicI32,
    failure: Mutex<Option<Failure>>,
    /// Blocks of tasks that have ended.
    left: Mutex<List>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'c> Call<'c> {
    fn new(code: &'c Code, pool: &'c Pool, options: &CallOptions<'c>) -> Call<'c> {
        Call {
            code,
            pool,
            sink: options.sink,
            stop: options.stop,
            memory: options.memory,
            seed: options.seed,
            ended: AtomicI32::new(STATUS_OK),
            failure: Mutex::new(None),
            left: Mutex::new(List::new()),
        }
    }

    /// Has a resource failed? Then nothing matters any more but to leave.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed) != STATUS_OK
    }

    /// Should the caller leave before it begins its next chunk? If so, the call knows why.
    pub(crate) fn must_leave(&self) -> bool {
        if self.stop.is_raised() {
            self.stopped();
        }
        self.has_ended()
    }

    /// Ends the call: the first failure is kept, all tasks leave at once.
    fn end(&self, status: i32, failure: Failure) -> i32 {
        lock(&self.failure).get_or_insert(failure);
        if self.ended.compare_exchange(STATUS_OK, status, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            self.stop.end();
        }
        status
    }

    /// Ends the call because its flag was seen raised.
    pub(crate) fn stopped(&self) -> i32 {
        if !self.has_ended() {
            // Raised without a reason of its own, it belongs to another call that shares it against the rule.
            let reason = self.stop.reason().unwrap_or(StopReason::Cancelled);
            return self.end(STATUS_STOPPED, Failure::Stopped(reason));
        }
        STATUS_STOPPED
    }

    /// Ends the call because a block was refused.
    pub(crate) fn refused(&self, requested: u64) -> i32 {
        self.end(STATUS_MEMORY, Failure::Memory { requested, limit: self.memory.limit() })
    }

    /// Ends the call because something panicked.
    pub(crate) fn panicked(&self, message: String) -> i32 {
        self.end(STATUS_PANIC, Failure::Panic(message))
    }

    /// What a status of compiled code comes to, now that it has left: a resource failure of any task wins over a program error.
    pub(crate) fn settle(&self, status: i32) -> i32 {
        match status {
            STATUS_OK | STATUS_ERROR => {}
            STATUS_STOPPED => {
                self.stopped();
            }
            STATUS_MEMORY if self.has_ended() => {}
            STATUS_PANIC if self.has_ended() => {}
            other => {
                self.panicked(format!("compiled code left with status {other} and no reason"));
            }
        }
        match self.ended.load(Ordering::Acquire) {
            STATUS_OK => status,
            ended => ended,
        }
    }

    /// `f`, or a panic as a status.
    pub(crate) fn guarded(&self, f: impl FnOnce() -> i32) -> i32 {
        // What a panic leaves half done is state of this call, which ends with it.
        catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|payload| self.panicked(message_of(payload)))
    }

    /// What the call failed with: a resource, or else the program.
    fn into_failure(self, error: ErrorRecord) -> Failure {
        self.stop.rearm();
        self.memory.refund(free_all(&lock(&self.left)));
        let failure = self.failure.into_inner().unwrap_or_else(PoisonError::into_inner);
        failure.unwrap_or(Failure::Program(error))
    }
}

fn message_of(payload: Box<dyn Any + Send>) -> String {
    let payload = match payload.downcast::<String>() {
        Ok(message) => return *message,
        Err(payload) => payload,
    };
    let message =
        payload.downcast_ref::<&str>().map_or("a panic without a message", |message| *message).to_owned();
    // A payload of the host's own making may panic when it is dropped.
    if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(another);
    }
    message
}

/// A strand of a call: one thread at a time runs it. What it allocates is its own.
pub(crate) struct Task<'c> {
    pub(crate) call: &'c Call<'c>,
    blocks: List,
    /// Bytes charged to the account and not used by a block: many small arrays should not all touch one counter.
    credit: Cell<usize>,
}

/// Small blocks are charged in lots of this size.
const CREDIT: usize = 64 << 10;

impl<'c> Task<'c> {
    pub(crate) fn new(call: &'c Call<'c>) -> Task<'c> {
        Task { call, blocks: List::new(), credit: Cell::new(0) }
    }

    /// What compiled code sees, without the state of a loop. The task must stay where it is while the context is in use.
    pub(crate) fn ctx(&self) -> Ctx {
        Ctx {
            stop: self.call.stop.word(),
            host: host::table(),
            code: self.call.code.table(),
            seed: self.call.seed,
            partial: ptr::null_mut(),
            terms: ptr::null_mut(),
            terms_base: 0,
            lane_mask: 0,
            error: ErrorRecord::default(),
            task: ptr::from_ref(self).cast_mut().cast(),
        }
    }

    /// A block for this task, or `None`.
    pub(crate) fn try_alloc(&self, bytes: usize, contents: Contents) -> Option<NonNull<u8>> {
        let charged = block::charge_of(bytes)?;
        if !self.charge(charged) {
            return None;
        }
        let Some(header) = block::allocate(bytes, contents) else {
            self.refund(charged);
            return None;
        };
        // SAFETY: just made, in no list.
        unsafe { self.blocks.push(header) };
        Some(Header::data(header))
    }

    /// A block for this task; a refusal ends the call with that status.
    pub(crate) fn alloc(&self, bytes: Option<usize>, contents: Contents) -> Result<NonNull<u8>, i32> {
        let refused = || self.call.refused(bytes.map_or(u64::MAX, |bytes| bytes as u64));
        bytes.and_then(|bytes| self.try_alloc(bytes, contents)).ok_or_else(refused)
    }

    /// Gives a block back.
    ///
    /// # Safety
    /// The data of a live block of this task, or of one of this call that has ended.
    pub(crate) unsafe fn free(&self, data: NonNull<u8>) {
        // SAFETY: the header is that of a live block, which is in our list, or marked as being in the shared one.
        unsafe {
            let header = Header::of(data);
            if header.as_ref().shared {
                lock(&self.call.left).remove(header);
            } else {
                self.blocks.remove(header);
            }
            let charged = header.as_ref().charged;
            block::release(header);
            self.refund(charged);
        }
    }

    fn charge(&self, bytes: usize) -> bool {
        let credit = self.credit.get();
        if bytes <= credit {
            self.credit.set(credit - bytes);
            return true;
        }
        let memory = self.call.memory;
        if bytes < CREDIT && memory.charge(bytes + CREDIT) {
            self.credit.set(credit + CREDIT);
            return true;
        }
        if memory.charge(bytes - credit) {
            self.credit.set(0);
            return true;
        }
        false
    }

    fn refund(&self, bytes: usize) {
        let credit = self.credit.get() + bytes;
        let surplus = if credit > 2 * CREDIT { credit - CREDIT } else { 0 };
        if surplus > 0 {
            self.call.memory.refund(surplus);
        }
        self.credit.set(credit - surplus);
    }

    /// Ends a task that went well: blocks that it holds are the call's from now on.
    pub(crate) fn hand_over(&self) {
        if self.blocks.is_empty() {
            return;
        }
        let left = lock(&self.call.left);
        while let Some(mut header) = self.blocks.pop() {
            // SAFETY: a live block that has just left our list.
            unsafe {
                header.as_mut().shared = true;
                left.push(header);
            }
        }
    }

    /// Ends the entry's task.
    fn into_owned(self) -> Owned {
        let blocks = List::new();
        for list in [&self.blocks, &lock(&self.call.left)] {
            while let Some(header) = list.pop() {
                // SAFETY: a live block that has just left its list.
                unsafe { blocks.push(header) };
            }
        }
        let memory = (!blocks.is_empty()).then(|| self.call.memory.clone());
        Owned { blocks, memory }
    }
}

impl Drop for Task<'_> {
    fn drop(&mut self) {
        let surplus = self.credit.get() + free_all(&self.blocks);
        if surplus > 0 {
            self.call.memory.refund(surplus);
        }
    }
}
