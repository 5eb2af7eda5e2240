//! Deadlines: one thread raises the flags of all calls whose time is up.
//!
//! In: flags and durations. Out: flags raised as [`StopReason::Deadline`](crate::StopReason). Holds: a call reads no clock and, while others of
//! its kind are about, wakes nobody: it puts itself on the list, and the thread dates it at its next tick, a sixteenth of its time later at most.
//! After a [`Watch`] is dropped its flag is not touched. A child of a fork starts a thread of its own.

use crate::fork;
use crate::stop::StopFlag;
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

const LONGEST_TICK: Duration = Duration::from_millis(50);
const SHORTEST_TICK: Duration = Duration::from_micros(250);
/// Without a call on the list, the thread sleeps after so many ticks.
const IDLE_TICKS: u32 = 20;

struct Timer {
    generation: u64,
    state: Mutex<State>,
    wake: Condvar,
}

struct State {
    entries: Vec<Option<Entry>>,
    free: Vec<usize>,
    /// How long the thread sleeps at most while there are calls; `None`: it waits to be woken.
    tick: Option<Duration>,
}

struct Entry {
    flag: Arc<StopFlag>,
    limit: Duration,
    /// Unknown until the thread's next tick.
    due: Option<Instant>,
}

/// A deadline that is running. Dropping it calls it off.
pub struct Watch {
    timer: &'static Timer,
    place: usize,
}

/// Raises `flag` when `limit` has passed, unless the watch is dropped first.
///
/// # Errors
/// The system starts no thread.
pub fn watch(flag: &Arc<StopFlag>, limit: Duration) -> io::Result<Watch> {
    let timer = timer()?;
    let mut state = timer.lock();
    let entry = Entry { flag: flag.clone(), limit, due: None };
    let place = match state.free.pop() {
        Some(place) => {
            state.entries[place] = Some(entry);
            place
        }
        None => {
            state.entries.push(Some(entry));
            state.entries.len() - 1
        }
    };
    let tick = tick_of(limit);
    if state.tick.is_none_or(|now| tick < now) {
        state.tick = Some(tick);
        timer.wake.notify_one();
    }
    Ok(Watch { timer, place })
}

impl Drop for Watch {
    fn drop(&mut self) {
        // In a child of a fork, the timer of the parent has no thread, and its lock may be held for ever.
        if self.timer.generation != fork::generation() {
            return;
        }
        let mut state = self.timer.lock();
        state.entries[self.place] = None;
        state.free.push(self.place);
    }
}

fn tick_of(limit: Duration) -> Duration {
    (limit / 16).clamp(SHORTEST_TICK, LONGEST_TICK)
}

/// The timer of this generation.
fn timer() -> io::Result<&'static Timer> {
    static TIMER: AtomicPtr<Timer> = AtomicPtr::new(ptr::null_mut());
    loop {
        let found = TIMER.load(Ordering::Acquire);
        // SAFETY: what is stored here has been leaked below: it lives for ever.
        if let Some(timer) = unsafe { found.as_ref() }
            && timer.generation == fork::generation()
        {
            return Ok(timer);
        }
        fork::watch();
        let state = State { entries: Vec::new(), free: Vec::new(), tick: None };
        let timer = Timer { generation: fork::generation(), state: Mutex::new(state), wake: Condvar::new() };
        let timer: &'static Timer = Box::leak(Box::new(timer));
        // Whoever loses the race leaks a hundred bytes, once.
        let new = ptr::from_ref(timer).cast_mut();
        if TIMER.compare_exchange(found, new, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            if let Err(error) = thread::Builder::new().name("kiln-timer".into()).spawn(|| timer.run()) {
                TIMER.store(ptr::null_mut(), Ordering::Release);
                return Err(error);
            }
            return Ok(timer);
        }
    }
}

impl Timer {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut state = self.lock();
        let mut idle = 0;
        loop {
            let Some(mut sleep) = state.tick else {
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let now = Instant::now();
            let mut tick = LONGEST_TICK;
            let mut empty = true;
            for entry in state.entries.iter_mut().flatten() {
                empty = false;
                tick = tick.min(tick_of(entry.limit));
                // A limit beyond the clock's range is no limit.
                let Some(due) = entry.due.or_else(|| now.checked_add(entry.limit)) else { continue };
                entry.due = Some(due);
                if due <= now {
                    entry.flag.expire();
                } else {
                    sleep = sleep.min(due - now);
                }
            }
            idle = if empty { idle + 1 } else { 0 };
            if empty && idle > IDLE_TICKS {
                (state.tick, idle) = (None, 0);
                continue;
            }
            if !empty {
                // The shortest of those that have gone need not set the pace.
                state.tick = Some(tick);
                sleep = sleep.min(tick);
            }
            state = self.wake.wait_timeout(state, sleep).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stop::StopReason;

    #[test]
    fn deadlines_come_in_time_and_can_be_called_off() {
        let flags: Vec<_> = (0..8).map(|_| Arc::new(StopFlag::new())).collect();
        let start = Instant::now();
        let mut watches: Vec<_> = flags
            .iter()
            .zip(1..)
            .map(|(flag, k)| Some(watch(flag, Duration::from_millis(10 * k)).unwrap()))
            .collect();
        watches[1] = None;
        while flags[7].reason().is_none() {
            assert!(start.elapsed() < Duration::from_secs(20), "the last deadline never came");
            thread::sleep(Duration::from_millis(1));
        }
        assert!(start.elapsed() >= Duration::from_millis(80));
        let fired: Vec<_> = flags.iter().map(|flag| flag.reason().is_some()).collect();
        assert_eq!(fired, [true, false, true, true, true, true, true, true]);
        assert_eq!(flags[0].reason(), Some(StopReason::Deadline));
        drop(watches);
        // The thread has gone to sleep when this one comes, or has not: it must be seen either way.
        for pause in [0, 400] {
            thread::sleep(Duration::from_millis(pause));
            let flag = Arc::new(StopFlag::new());
            let _watch = watch(&flag, Duration::from_millis(5)).unwrap();
            let start = Instant::now();
            while flag.reason().is_none() {
                assert!(start.elapsed() < Duration::from_secs(20), "missed after {pause} ms");
                thread::sleep(Duration::from_millis(1));
            }
        }
    }
}
