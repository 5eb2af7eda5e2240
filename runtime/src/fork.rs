//! Which generation of a forking process this is.
//!
//! In: forks. Out: [`generation`], one higher in a child than in its parent. Holds: threads belong to the generation that started them; a child has
//! none of them, so pools and timers of an older generation are left alone, not waited for. A counter costs a load; getpid is a system call.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

static GENERATION: AtomicU64 = AtomicU64::new(0);
static WATCHED: AtomicBool = AtomicBool::new(false);

/// The generation of this process.
pub(crate) fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// Has to be called before the first thread is started. Two threads that do so at once may register the handler twice: the
/// generation then grows by two per fork, which serves as well; a lock could be held at the moment of a fork.
pub(crate) fn watch() {
    if WATCHED.load(Ordering::Acquire) {
        return;
    }
    #[cfg(unix)]
    {
        extern "C" fn in_child() {
            GENERATION.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: the handler is a static function that only touches an atomic, which is allowed in a child of a process with threads.
        let status = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        if status != 0 {
            return;
        }
    }
    WATCHED.store(true, Ordering::Release);
}
