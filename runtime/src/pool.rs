//! Threads for parallel loops.
//!
//! In: how many. Out: [`Pool`], a rayon pool of our own, built when a loop first needs it. Holds: rayon's global pool is never touched; after a
//! fork the child builds a new pool and leaves the parent's, whose threads it does not have, alone; with one thread there is no pool at all;
//! a thread that the system refuses is done without.

use crate::fork;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// Stealing while waiting deepens stacks; pages that are never touched cost nothing.
const STACK_BYTES: usize = 16 << 20;
/// More than any machine of today has.
const MOST_THREADS: usize = 1024;

/// Threads that run the chunks of parallel loops; shared by any number of calls.
///
/// The results of calls do not depend on it.
pub struct Pool {
    /// 0: not looked up yet.
    threads: AtomicUsize,
    workers: AtomicPtr<Workers>,
}

/// The threads of one generation.
pub(crate) struct Workers {
    generation: u64,
    pool: ThreadPool,
    threads: usize,
    /// Halves of ranges that have been split off and not begun, over all loops.
    pub(crate) waiting: AtomicUsize,
}

impl Pool {
    /// A pool of so many threads; 0 stands for [`Pool::global`]'s number. No thread is started yet.
    pub const fn new(threads: usize) -> Pool {
        let threads = if threads > MOST_THREADS { MOST_THREADS } else { threads };
        Pool { threads: AtomicUsize::new(threads), workers: AtomicPtr::new(ptr::null_mut()) }
    }

    /// The pool of the process: as many threads as `KILN_NUM_THREADS` says, else `RAYON_NUM_THREADS`, else `OMP_NUM_THREADS`, else as many as this
    /// process may use cores.
    pub fn global() -> &'static Pool {
        static GLOBAL: Pool = Pool::new(0);
        &GLOBAL
    }

    /// How many threads run its loops.
    pub fn threads(&self) -> usize {
        match self.threads.load(Ordering::Relaxed) {
            0 => {
                let threads = default_threads();
                self.threads.store(threads, Ordering::Relaxed);
                threads
            }
            threads => threads,
        }
    }

    /// The threads, started if need be. `None` if there is one only, or the system gives none.
    pub(crate) fn workers(&self) -> Option<&Workers> {
        if self.threads() == 1 {
            return None;
        }
        let found = self.workers.load(Ordering::Acquire);
        // SAFETY: what is stored here lives until the pool is dropped, or for ever.
        match unsafe { found.as_ref() } {
            Some(workers) if workers.generation == fork::generation() => Some(workers),
            _ => self.build(found),
        }
    }

    #[cold]
    fn build(&self, found: *mut Workers) -> Option<&Workers> {
        fork::watch();
        let Some(workers) = start(self.threads()) else {
            // Asking again at every loop would be slow.
            self.threads.store(1, Ordering::Relaxed);
            return None;
        };
        let new = Box::into_raw(Box::new(workers));
        // No lock, for a fork might find it held. The parent's workers are leaked on purpose: dropping them waits for threads that a child
        // does not have.
        let current = match self.workers.compare_exchange(found, new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => new,
            Err(other) => {
                // SAFETY: just made by into_raw, and nobody else has seen it.
                drop(unsafe { Box::from_raw(new) });
                other
            }
        };
        // SAFETY: stored in self, where it lives until the pool is dropped, or for ever.
        unsafe { current.as_ref() }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let workers = *self.workers.get_mut();
        // SAFETY: made by into_raw in `build`; `&mut self` shows that nobody uses it. Those of the parent of a fork are left alone.
        unsafe {
            if workers.as_ref().is_some_and(|workers| workers.generation == fork::generation()) {
                drop(Box::from_raw(workers));
            }
        }
    }
}

impl Workers {
    /// Is the caller one of these threads?
    pub(crate) fn has_current(&self) -> bool {
        self.pool.current_thread_index().is_some()
    }

    /// Would a thread that has nothing to do find too little to steal?
    pub(crate) fn are_hungry(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) < self.threads
    }

    /// Runs `work` on one of these threads, and waits for it.
    pub(crate) fn install<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.pool.install(work)
    }
}

/// As many threads as the system gives, of those wanted; `None` below two.
fn start(wanted: usize) -> Option<Workers> {
    let mut threads = wanted;
    while threads > 1 {
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .stack_size(STACK_BYTES)
            .thread_name(|index| format!("kiln-{index}"))
            .build();
        if let Ok(pool) = pool {
            let generation = fork::generation();
            return Some(Workers { generation, pool, threads, waiting: AtomicUsize::new(0) });
        }
        threads /= 2;
    }
    None
}

fn default_threads() -> usize {
    ["KILN_NUM_THREADS", "RAYON_NUM_THREADS", "OMP_NUM_THREADS"]
        .iter()
        .find_map(|name| parse_threads(&std::env::var(name).ok()?))
        .or_else(|| std::thread::available_parallelism().ok().map(usize::from))
        .map_or(1, |threads| threads.min(MOST_THREADS))
}

/// OpenMP's variable may list a number per level of nesting: the first counts.
fn parse_threads(text: &str) -> Option<usize> {
    text.split(',').next()?.trim().parse().ok().filter(|&threads| threads > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_threads_are_read_as_openmp_writes_them() {
        for (text, wanted) in
            [("4", Some(4)), (" 3 , 2", Some(3)), ("0", None), ("", None), ("-1", None), ("many", None)]
        {
            assert_eq!(parse_threads(text), wanted, "{text:?}");
        }
        assert!(Pool::new(usize::MAX).threads() == MOST_THREADS);
    }

    #[test]
    fn one_thread_needs_no_pool() {
        assert!(Pool::new(1).workers().is_none());
        let pool = Pool::new(2);
        let workers = pool.workers().unwrap();
        assert!(!workers.has_current() && workers.are_hungry());
        let name = workers.install(|| std::thread::current().name().map(str::to_owned)).unwrap();
        assert!(name.starts_with("kiln-"), "{name}");
    }
}
