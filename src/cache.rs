//! The bounded cache of specialisations.
//!
//! In: keys, and a way to make what is missing. Out: shared values. Holds: at most one thread makes a key, others wait for it; no
//! lock is held while making; a value lives as long as someone uses it, even when evicted; entries and bytes stay within bounds.
//!
//! Two levels. A call looks up [`CallKey`]: which function, which argument types. At a miss the content decides: two calls whose
//! typed programs are equal share one specialisation.

use crate::error::Error;
use lru::LruCache;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

/// Counters of a cache, since the engine was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Lookups that found compiled code.
    pub hits: u64,
    /// Lookups that did not.
    pub misses: u64,
    /// Specialisations thrown out to stay within the bounds.
    pub evictions: u64,
    /// Specialisations held now.
    pub entries: usize,
    /// Bytes of code held now.
    pub bytes: usize,
    /// Specialisations compiled.
    pub compiled: u64,
    /// Time spent compiling, all threads together.
    pub compile_time: std::time::Duration,
}

/// What the cache needs to know of a value.
pub trait Weigh {
    /// Bytes of machine code.
    fn bytes(&self) -> usize;
}

/// A bounded map from keys to shared values.
pub struct Cache<K, V> {
    state: Mutex<State<K, V>>,
    ready: Condvar,
    max_bytes: usize,
}

struct State<K, V> {
    map: LruCache<K, Arc<V>>,
    making: HashMap<K, u32>,
    stats: CacheStats,
}

impl<K: Hash + Eq + Clone, V: Weigh> Cache<K, V> {
    /// At most `entries` values with `bytes` bytes of code; at least one value is always kept.
    pub fn new(entries: usize, bytes: usize) -> Cache<K, V> {
        let entries = std::num::NonZeroUsize::new(entries.max(1)).expect("at least one");
        let state =
            State { map: LruCache::new(entries), making: HashMap::new(), stats: CacheStats::default() };
        Cache { state: Mutex::new(state), ready: Condvar::new(), max_bytes: bytes }
    }

    /// The value of `key`; `make` is called without a lock if it is missing, by one thread only. A failure is given to the
    /// thread that met it; the others try themselves.
    pub fn get_or_make(
        &self,
        key: &K,
        make: impl FnOnce() -> Result<Arc<V>, Error>,
    ) -> Result<Arc<V>, Error> {
        let mut state = self.lock();
        loop {
            if let Some(value) = state.map.get(key) {
                let value = value.clone();
                state.stats.hits += 1;
                return Ok(value);
            }
            if !state.making.contains_key(key) {
                break;
            }
            state = self.ready.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        state.stats.misses += 1;
        state.making.insert(key.clone(), 0);
        drop(state);
        let _mark = Making { cache: self, key: Some(key.clone()) };
        let made = make()?;
        self.insert(key.clone(), made.clone());
        Ok(made)
    }

    /// Counts one compilation.
    pub fn count_compiled(&self, time: std::time::Duration) {
        let mut state = self.lock();
        state.stats.compiled += 1;
        state.stats.compile_time += time;
    }

    /// The counters now.
    pub fn stats(&self) -> CacheStats {
        let state = self.lock();
        CacheStats { entries: state.map.len(), ..state.stats }
    }

    fn insert(&self, key: K, value: Arc<V>) {
        let mut dropped = Vec::new();
        let mut state = self.lock();
        state.stats.bytes += value.bytes();
        if let Some((_, old)) = state.map.push(key, value) {
            state.stats.bytes -= old.bytes();
            state.stats.evictions += 1;
            dropped.push(old);
        }
        while state.stats.bytes > self.max_bytes && state.map.len() > 1 {
            if let Some((_, old)) = state.map.pop_lru() {
                state.stats.bytes -= old.bytes();
                state.stats.evictions += 1;
                dropped.push(old);
            }
        }
        drop(state); // code is unmapped after the lock is gone
    }

    fn lock(&self) -> MutexGuard<'_, State<K, V>> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Takes the mark "being made" away, also when making panics.
struct Making<'a, K: Hash + Eq + Clone, V: Weigh> {
    cache: &'a Cache<K, V>,
    key: Option<K>,
}

impl<K: Hash + Eq + Clone, V: Weigh> Drop for Making<'_, K, V> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.cache.lock().making.remove(&key);
            self.cache.ready.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    struct Code(usize);
    impl Weigh for Code {
        fn bytes(&self) -> usize {
            self.0
        }
    }

    #[test]
    fn one_thread_makes_and_the_others_wait() {
        let cache: Cache<u32, Code> = Cache::new(8, 1000);
        let made = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let value = cache.get_or_make(&7, || {
                        made.fetch_add(1, Ordering::SeqCst);
                        std::thread::sleep(std::time::Duration::from_millis(20));
                        Ok(Arc::new(Code(10)))
                    });
                    assert_eq!(value.unwrap().0, 10);
                });
            }
        });
        assert_eq!(made.load(Ordering::SeqCst), 1);
        assert_eq!((cache.stats().hits, cache.stats().misses), (7, 1));
    }

    #[test]
    fn bytes_and_entries_stay_within_bounds() {
        let cache: Cache<u32, Code> = Cache::new(4, 100);
        for key in 0..10 {
            cache.get_or_make(&key, || Ok(Arc::new(Code(40)))).unwrap();
        }
        let stats = cache.stats();
        assert_eq!((stats.entries, stats.bytes, stats.evictions), (2, 80, 8));
        cache.get_or_make(&9, || panic!("the last one is still there")).unwrap();
    }

    #[test]
    fn failure_is_not_kept() {
        let cache: Cache<u32, Code> = Cache::new(4, 100);
        assert!(cache.get_or_make(&1, || Err(Error::Cancelled)).is_err());
        assert!(cache.get_or_make(&1, || Ok(Arc::new(Code(1)))).is_ok());
    }
}
