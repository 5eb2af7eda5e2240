//! Blocks of memory for arrays.
//!
//! In: sizes. Out: blocks whose data begins at a 64-byte boundary, each behind a header that says how to free it. Holds: a refusal is `None`,
//! never an abort; a block is in at most one [`List`]; large blocks are kept for reuse up to [`CACHE_BYTES`], because the first touch of fresh
//! pages costs ten times a pass over used ones (51 ms against 4 for 128 MB).

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc};
use std::cell::Cell;
use std::ptr::{self, NonNull};
use std::sync::Mutex;

/// Where the data of a block begins, and what its size is rounded up to.
const ALIGN: usize = 64;
/// Blocks of this size and larger go through the cache.
const LARGE: usize = 256 << 10;
/// Fresh blocks of this size ask the system for huge pages.
const HUGE: usize = 4 << 20;
/// What the cache holds at most.
const CACHE_BYTES: usize = 256 << 20;
/// How many blocks the cache holds at most.
const CACHE_BLOCKS: usize = 32;
/// Alignment that every allocator gives without padding; zeroed memory of higher alignment would be written at once, not mapped.
const BASE_ALIGN: usize = 16;

/// Should the data be zero?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contents {
    Zero,
    Anything,
}

/// Stands right before the data.
#[repr(C, align(64))]
pub(crate) struct Header {
    /// What the allocator gave.
    base: *mut u8,
    /// How much it gave.
    capacity: usize,
    /// Bytes of data that were asked for.
    pub(crate) bytes: usize,
    /// Bytes that the accounting holds for this block.
    pub(crate) charged: usize,
    next: *mut Header,
    prev: *mut Header,
    /// In the list that all tasks of a call share, behind its lock.
    pub(crate) shared: bool,
}

const _: () = assert!(size_of::<Header>() == ALIGN);

impl Header {
    /// The data of the block.
    pub(crate) fn data(header: NonNull<Header>) -> NonNull<u8> {
        // SAFETY: the data begins one header further on, in the same allocation.
        unsafe { header.add(1) }.cast()
    }

    /// The header of a block by its data.
    ///
    /// # Safety
    /// `data` is the data of a live block.
    pub(crate) unsafe fn of(data: NonNull<u8>) -> NonNull<Header> {
        // SAFETY: by the contract, a header stands right before.
        unsafe { data.cast::<Header>().sub(1) }
    }
}

/// What the accounting holds for a block of so many bytes: its data, rounded up, and its header. `None` if no such block can be.
pub(crate) fn charge_of(bytes: usize) -> Option<usize> {
    let charged = bytes.checked_next_multiple_of(ALIGN)?.checked_add(ALIGN)?;
    (charged <= isize::MAX as usize - ALIGN).then_some(charged)
}

/// A new block, in no list.
pub(crate) fn allocate(bytes: usize, contents: Contents) -> Option<NonNull<Header>> {
    let charged = charge_of(bytes)?;
    // The base is aligned to 16, so the data may begin up to 48 bytes late.
    let capacity = charged + (ALIGN - BASE_ALIGN);
    let (base, capacity, zeroed) = match take_cached(capacity) {
        Some((base, capacity)) => (base, capacity, false),
        None => {
            let zeroed = contents == Contents::Zero;
            let base = fresh(capacity, zeroed).or_else(|| {
                release_cached();
                fresh(capacity, zeroed)
            })?;
            (base, capacity, zeroed)
        }
    };
    let start = base.as_ptr().addr().next_multiple_of(ALIGN) - base.as_ptr().addr();
    // SAFETY: start is at most 48; header and data, `charged` bytes together, lie behind it and inside `capacity`. The header is aligned to
    // 64 and nobody else knows this memory.
    unsafe {
        let header = base.add(start).cast::<Header>();
        header.write(Header {
            base: base.as_ptr(),
            capacity,
            bytes,
            charged,
            next: ptr::null_mut(),
            prev: ptr::null_mut(),
            shared: false,
        });
        if contents == Contents::Zero && !zeroed {
            Header::data(header).write_bytes(0, bytes);
        }
        Some(header)
    }
}

/// Gives a block back.
///
/// # Safety
/// The block is live, in no list, and nobody uses it any more.
pub(crate) unsafe fn release(header: NonNull<Header>) {
    // SAFETY: live by the contract; base and capacity are those of the allocation.
    unsafe {
        let Header { base, capacity, .. } = header.read();
        let base = NonNull::new_unchecked(base);
        if !keep_cached(base, capacity) {
            discard(base, capacity);
        }
    }
}

fn layout(capacity: usize) -> Option<Layout> {
    Layout::from_size_align(capacity, BASE_ALIGN).ok()
}

fn fresh(capacity: usize, zeroed: bool) -> Option<NonNull<u8>> {
    let layout = layout(capacity)?;
    // SAFETY: the layout is not empty: a capacity holds at least a header.
    let base = NonNull::new(unsafe { if zeroed { alloc_zeroed(layout) } else { alloc(layout) } })?;
    #[cfg(target_os = "linux")]
    if capacity >= HUGE {
        const PAGE: usize = 1 << 16;
        let skip = base.as_ptr().addr().next_multiple_of(PAGE) - base.as_ptr().addr();
        let length = (capacity - skip) / PAGE * PAGE;
        // SAFETY: whole pages of our own block (no page is larger than 64 KB but huge ones); the advice changes no contents. A refusal is
        // no loss.
        unsafe { libc::madvise(base.as_ptr().add(skip).cast(), length, libc::MADV_HUGEPAGE) };
    }
    Some(base)
}

/// # Safety
/// `base` and `capacity` are those of a block of [`fresh`] that nobody uses.
unsafe fn discard(base: NonNull<u8>, capacity: usize) {
    if let Some(layout) = layout(capacity) {
        // SAFETY: the layout that it was allocated with.
        unsafe { dealloc(base.as_ptr(), layout) };
    }
}

/// Large blocks that nobody uses, oldest first.
struct Cache {
    blocks: Vec<(NonNull<u8>, usize)>,
    bytes: usize,
}

// SAFETY: the cache is the only owner of its blocks.
unsafe impl Send for Cache {}

/// Only ever tried, never waited for: whoever finds it taken goes to the allocator. So a child that was forked while another thread held
/// it does without, and does not hang.
static CACHE: Mutex<Cache> = Mutex::new(Cache { blocks: Vec::new(), bytes: 0 });

fn take_cached(capacity: usize) -> Option<(NonNull<u8>, usize)> {
    if capacity < LARGE {
        return None;
    }
    let mut cache = CACHE.try_lock().ok()?;
    let fits = |&(_, &(_, found)): &(usize, &(NonNull<u8>, usize))| {
        found >= capacity && found <= capacity + capacity / 4
    };
    let best = cache.blocks.iter().enumerate().filter(fits).min_by_key(|(_, (_, found))| *found)?.0;
    let block = cache.blocks.remove(best);
    cache.bytes -= block.1;
    Some(block)
}

fn keep_cached(base: NonNull<u8>, capacity: usize) -> bool {
    if !(LARGE..=CACHE_BYTES).contains(&capacity) {
        return false;
    }
    let Ok(mut cache) = CACHE.try_lock() else { return false };
    while cache.bytes + capacity > CACHE_BYTES || cache.blocks.len() >= CACHE_BLOCKS {
        let (old, size) = cache.blocks.remove(0);
        cache.bytes -= size;
        // SAFETY: taken out of the cache, so nobody else has it.
        unsafe { discard(old, size) };
    }
    cache.bytes += capacity;
    cache.blocks.push((base, capacity));
    true
}

/// Gives the large buffers that are kept for reuse back to the system (256 MB at most).
pub fn release_cached() {
    let Ok(mut cache) = CACHE.try_lock() else { return };
    cache.bytes = 0;
    for (base, capacity) in std::mem::take(&mut cache.blocks) {
        // SAFETY: taken out of the cache, so nobody else has it.
        unsafe { discard(base, capacity) };
    }
}

/// Blocks that belong together: all that a task holds. Freed by their owner, who also knows the accounting.
pub(crate) struct List {
    head: Cell<*mut Header>,
}

// SAFETY: a list owns its blocks; it is not Sync.
unsafe impl Send for List {}

impl List {
    pub(crate) const fn new() -> List {
        List { head: Cell::new(ptr::null_mut()) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head.get().is_null()
    }

    /// # Safety
    /// The block is live and in no list.
    pub(crate) unsafe fn push(&self, header: NonNull<Header>) {
        let head = self.head.get();
        // SAFETY: the new block by the contract, the head as a member of this list: both are live.
        unsafe {
            (*header.as_ptr()).next = head;
            (*header.as_ptr()).prev = ptr::null_mut();
            if let Some(head) = head.as_mut() {
                head.prev = header.as_ptr();
            }
        }
        self.head.set(header.as_ptr());
    }

    /// # Safety
    /// The block is in this list.
    pub(crate) unsafe fn remove(&self, header: NonNull<Header>) {
        // SAFETY: the block and its neighbours are live members of this list.
        unsafe {
            let Header { next, prev, .. } = header.read();
            match prev.as_mut() {
                Some(prev) => prev.next = next,
                None => self.head.set(next),
            }
            if let Some(next) = next.as_mut() {
                next.prev = prev;
            }
        }
    }

    /// Takes one out.
    pub(crate) fn pop(&self) -> Option<NonNull<Header>> {
        let header = NonNull::new(self.head.get())?;
        // SAFETY: the head is a live member.
        unsafe { self.remove(header) };
        Some(header)
    }

    /// The member whose data begins at this address, taken out.
    pub(crate) fn take(&self, data: u64) -> Option<NonNull<Header>> {
        let mut header = NonNull::new(self.head.get())?;
        while Header::data(header).as_ptr().expose_provenance() as u64 != data {
            // SAFETY: a live member.
            header = NonNull::new(unsafe { header.as_ref().next })?;
        }
        // SAFETY: found in this list.
        unsafe { self.remove(header) };
        Some(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_aligned_and_zeroed_when_asked_even_if_reused() {
        for bytes in [0, 1, 63, 64, 4096, LARGE, HUGE + 5] {
            for contents in [Contents::Anything, Contents::Zero, Contents::Zero] {
                let header = allocate(bytes, contents).unwrap();
                let data = Header::data(header);
                assert_eq!(data.as_ptr().addr() % ALIGN, 0);
                // SAFETY: `bytes` bytes of data, zeroed or written below before they are read; released once.
                unsafe {
                    if contents == Contents::Zero {
                        assert!(
                            std::slice::from_raw_parts(data.as_ptr(), bytes).iter().all(|&byte| byte == 0)
                        );
                    }
                    data.write_bytes(0xa5, bytes);
                    assert_eq!(Header::of(data), header);
                    release(header);
                }
            }
        }
    }

    #[test]
    fn impossible_sizes_are_refused() {
        for bytes in [usize::MAX, usize::MAX - 100, isize::MAX as usize, isize::MAX as usize - 200] {
            assert!(allocate(bytes, Contents::Anything).is_none());
        }
    }
}
