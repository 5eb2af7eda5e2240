//! Stopping a call from outside.
//!
//! In: a cancel, a deadline. Out: a word that compiled code polls, and the reason. Holds: the first reason stays until the flag is reset; a flag
//! serves one call at a time, because a call that fails raises it to end its own tasks at once (and lowers it again).

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

const RUN: u32 = 0;
const CANCELLED: u32 = 1;
const DEADLINE: u32 = 2;
/// The call itself has failed elsewhere.
const ENDED: u32 = 3;

/// Why a call was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// Somebody called [`StopFlag::cancel`].
    Cancelled,
    /// Its time was up.
    Deadline,
}

/// Stops the call that it was given to. One flag for one running call; see [`CancelToken`] for many.
#[derive(Debug, Default)]
pub struct StopFlag {
    word: AtomicU32,
}

impl StopFlag {
    /// A flag that stops nothing yet.
    pub const fn new() -> StopFlag {
        StopFlag { word: AtomicU32::new(RUN) }
    }

    /// Ends the call as soon as its tasks see it: within a chunk, or a back-edge of an inner loop. Safe in a signal handler.
    pub fn cancel(&self) {
        self.raise(CANCELLED);
    }

    /// Ends the call because its time is up.
    pub(crate) fn expire(&self) {
        self.raise(DEADLINE);
    }

    /// Ends the call's own tasks.
    pub(crate) fn end(&self) {
        self.raise(ENDED);
    }

    /// Lowers what [`StopFlag::end`] raised.
    pub(crate) fn rearm(&self) {
        // A cancel that came in between stays.
        let _ = self.word.compare_exchange(ENDED, RUN, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// May be used for another call after this, whatever stopped the last.
    pub fn reset(&self) {
        self.word.store(RUN, Ordering::Relaxed);
    }

    /// What it was stopped by, if it was.
    pub fn reason(&self) -> Option<StopReason> {
        match self.word.load(Ordering::Relaxed) {
            CANCELLED => Some(StopReason::Cancelled),
            DEADLINE => Some(StopReason::Deadline),
            _ => None,
        }
    }

    pub(crate) fn is_raised(&self) -> bool {
        self.word.load(Ordering::Relaxed) != RUN
    }

    /// What compiled code polls.
    pub(crate) fn word(&self) -> *const AtomicU32 {
        &self.word
    }

    fn raise(&self, reason: u32) {
        // The reason of outside replaces the call's own, never another one of outside.
        let free = |word| (word == RUN || (word == ENDED && reason != ENDED)).then_some(reason);
        let _ = self.word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free);
    }
}

/// Cancels any number of calls, running or still to come, each of which has its own flag.
///
/// ```
/// use kiln_runtime::{CancelToken, StopFlag, StopReason};
/// use std::sync::Arc;
/// let token = CancelToken::new();
/// let (flag, later) = (Arc::new(StopFlag::new()), Arc::new(StopFlag::new()));
/// let _running = token.attach(&flag);
/// token.cancel();
/// let _refused = token.attach(&later);
/// assert_eq!(flag.reason(), Some(StopReason::Cancelled));
/// assert_eq!(later.reason(), Some(StopReason::Cancelled));
/// ```
#[derive(Clone, Debug, Default)]
pub struct CancelToken {
    state: Arc<Mutex<Token>>,
}

#[derive(Debug, Default)]
struct Token {
    cancelled: bool,
    flags: Vec<Weak<StopFlag>>,
}

/// Ties a flag to a token until it is dropped.
#[derive(Debug)]
pub struct Attached {
    token: CancelToken,
    flag: Weak<StopFlag>,
}

impl CancelToken {
    /// A token that has cancelled nothing yet.
    pub fn new() -> CancelToken {
        CancelToken::default()
    }

    /// Cancels every flag attached now or later.
    pub fn cancel(&self) {
        let mut state = self.lock();
        state.cancelled = true;
        state.flags.iter().filter_map(Weak::upgrade).for_each(|flag| flag.cancel());
    }

    /// Lets calls that come later run again.
    pub fn reset(&self) {
        self.lock().cancelled = false;
    }

    /// Has it been cancelled?
    pub fn is_cancelled(&self) -> bool {
        self.lock().cancelled
    }

    /// Ties a flag to this token.
    pub fn attach(&self, flag: &Arc<StopFlag>) -> Attached {
        let mut state = self.lock();
        if state.cancelled {
            flag.cancel();
        }
        state.flags.push(Arc::downgrade(flag));
        Attached { token: self.clone(), flag: Arc::downgrade(flag) }
    }

    fn lock(&self) -> MutexGuard<'_, Token> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let mut state = self.token.lock();
        if let Some(at) = state.flags.iter().rposition(|flag| flag.ptr_eq(&self.flag)) {
            state.flags.swap_remove(at);
        }
    }
}
