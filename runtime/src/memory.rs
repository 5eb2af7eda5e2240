//! Who uses how much memory.
//!
//! In: a limit in bytes. Out: [`Memory`], the account that calls and arrays charge, and [`Buffer`], a charged block with one owner.
//! Holds: what is in use never exceeds the limit; what is dropped is given back to the account that paid for it.

use crate::block::{self, Contents, Header};
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// An account of memory: a limit and what is in use. Several calls may share one.
///
/// ```
/// use kiln_runtime::{Array, Memory};
/// let memory = Memory::new(1 << 20);
/// let array = Array::zeros::<f64>(&memory, &[1000])?;
/// assert!(memory.used() >= 8000);
/// drop(array);
/// assert_eq!(memory.used(), 0);
/// assert!(Array::zeros::<f64>(&memory, &[1_000_000]).is_err());
/// # Ok::<(), kiln_runtime::ArrayError>(())
/// ```
#[derive(Debug)]
pub struct Memory {
    limit: u64,
    used: AtomicU64,
}

/// An allocation did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Bytes that were asked for; `u64::MAX` if they cannot even be counted.
    pub requested: u64,
    /// The limit of the account; `u64::MAX` if it has none and the machine refused.
    pub limit: u64,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of memory were refused", self.requested)?;
        if self.limit != u64::MAX { write!(f, ": the limit is {} bytes", self.limit) } else { Ok(()) }
    }
}

impl std::error::Error for Refused {}

impl Memory {
    /// An account with a limit in bytes; `u64::MAX` is no limit.
    pub fn new(limit: u64) -> Arc<Memory> {
        Arc::new(Memory { limit, used: AtomicU64::new(0) })
    }

    /// An account limited by the memory of the machine: asking for more than there is fails, where the system would promise it and later
    /// end the process.
    pub fn of_machine() -> Arc<Memory> {
        Memory::new(machine_bytes().unwrap_or(u64::MAX))
    }

    /// The limit in bytes.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes in use: arrays with their headers, and what running calls hold ready.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn charge(&self, bytes: usize) -> bool {
        let add = |used: u64| used.checked_add(bytes as u64).filter(|&used| used <= self.limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }

    pub(crate) fn refund(&self, bytes: usize) {
        self.used.fetch_sub(bytes as u64, Ordering::Relaxed);
    }
}

/// Physical memory, or less if a container allows less.
fn machine_bytes() -> Option<u64> {
    #[cfg(unix)]
    {
        // SAFETY: asks for two constants of the system.
        let (pages, page) =
            unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
        let physical = u64::try_from(pages).ok()?.checked_mul(u64::try_from(page).ok()?)?;
        let group = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
            .iter()
            .filter_map(|path| std::fs::read_to_string(path).ok()?.trim().parse().ok())
            .min();
        Some(physical.min(group.unwrap_or(u64::MAX)))
    }
    #[cfg(not(unix))]
    None
}

/// A block of memory with one owner. Dropping it frees it and gives its bytes back to the account.
pub struct Buffer {
    header: NonNull<Header>,
    memory: Arc<Memory>,
}

// SAFETY: a buffer is the only owner of its block; shared access only reads.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// A new buffer.
    pub(crate) fn new(memory: &Arc<Memory>, bytes: usize, contents: Contents) -> Result<Buffer, Refused> {
        let refused = Refused { requested: bytes as u64, limit: memory.limit };
        let charged = block::charge_of(bytes).ok_or(refused)?;
        if !memory.charge(charged) {
            return Err(refused);
        }
        match block::allocate(bytes, contents) {
            Some(header) => Ok(Buffer { header, memory: memory.clone() }),
            None => {
                memory.refund(charged);
                Err(refused)
            }
        }
    }

    /// # Safety
    /// The block is live, in no list, charged to `memory`, and nobody else frees it.
    pub(crate) unsafe fn adopt(header: NonNull<Header>, memory: Arc<Memory>) -> Buffer {
        Buffer { header, memory }
    }

    /// Where the data begins: a 64-byte boundary.
    pub fn as_ptr(&self) -> *mut u8 {
        Header::data(self.header).as_ptr()
    }

    /// Bytes of data.
    pub fn bytes(&self) -> usize {
        // SAFETY: the block is live as long as the buffer.
        unsafe { self.header.as_ref() }.bytes
    }

    /// The account that pays.
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: the only owner; live, in no list, and not used after this.
        unsafe {
            let charged = self.header.as_ref().charged;
            block::release(self.header);
            self.memory.refund(charged);
        }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} bytes)", self.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_refuses_what_exceeds_it_and_forgets_what_is_given_back() {
        let memory = Memory::new(1000);
        assert!(
            memory.charge(600) && !memory.charge(401) && !memory.charge(usize::MAX) && memory.charge(400)
        );
        assert_eq!(memory.used(), 1000);
        memory.refund(1000);
        assert_eq!(memory.used(), 0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_machine_has_some_memory_and_not_any_amount() {
        let limit = Memory::of_machine().limit();
        assert!((16 << 20..1 << 50).contains(&limit), "{limit}");
    }
}
