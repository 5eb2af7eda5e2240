//! The random generators as plain functions, and raw streams of their words.
//!
//! In: a generator, a key, an index, a kind and a block number. Out: the two words of that block, as SEMANTICS section 6 of the language defines them.
//! Holds: version 1 of that definition. Compiled code computes Philox inline; this copy serves the seeds of scripts, the tests and test batteries.

mod ars;
mod philox;

/// A counter-based generator: a function of key and counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Generator {
    /// Philox4x32-10.
    Philox,
    /// ARS-7.
    Ars,
}

/// What a block of a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlockKind {
    /// Two uniforms.
    Uniforms = 0,
    /// Two normals.
    Normals = 1,
    /// The key of a loop's streams.
    ChildKey = 2,
    /// The key of an explicit stream.
    ExplicitKey = 3,
}

impl Generator {
    /// Block `block` (below 2^60) of a kind of the stream (`key`, `index`).
    ///
    /// ```
    /// use kiln_runtime::{BlockKind, Generator};
    /// let [x0, _] = Generator::Philox.block(BlockKind::Uniforms, 0, 0, 0);
    /// assert_eq!(x0 as u32, 0x6627_e8d5);
    /// ```
    pub fn block(self, kind: BlockKind, key: u64, index: u64, block: u64) -> [u64; 2] {
        let mut counters = [counter(kind, index, block)];
        self.blocks(key, &mut counters);
        words(counters[0])
    }

    /// One block per counter, in place.
    fn blocks(self, key: u64, counters: &mut [u128]) {
        match self {
            Generator::Philox => {
                for counter in counters {
                    let block = philox::philox4x32_10(quarters(*counter), [key as u32, (key >> 32) as u32]);
                    *counter = joined(block);
                }
            }
            Generator::Ars => ars::ars4x32_7(counters, u128::from(key)),
        }
    }
}

/// A block of ARS-7 for compiled code; the kind stands in the top four bits of `block`.
pub(crate) fn ars_block(key: u64, index: u64, block: u64) -> [u64; 2] {
    let mut counters = [u128::from(index) | u128::from(block) << 64];
    ars::ars4x32_7(&mut counters, u128::from(key));
    words(counters[0])
}

fn counter(kind: BlockKind, index: u64, block: u64) -> u128 {
    u128::from(index) | u128::from(block | (kind as u64) << 60) << 64
}

fn words(block: u128) -> [u64; 2] {
    [block as u64, (block >> 64) as u64]
}

fn quarters(counter: u128) -> [u32; 4] {
    [0, 32, 64, 96].map(|shift| (counter >> shift) as u32)
}

fn joined([a, b, c, d]: [u32; 4]) -> u128 {
    u128::from(a) | u128::from(b) << 32 | u128::from(c) << 64 | u128::from(d) << 96
}

/// The words behind the uniforms of many streams: word 0 of each stream in turn, then word 1 of each, and so on. For test batteries.
///
/// The streams are those that the first drawing loop of a call with this seed opens: their key is the first child key of the root stream, and
/// stream s is that of iteration s.
///
/// ```
/// use kiln_runtime::{BlockKind, Generator, RawStreams};
/// let mut words = [0; 4];
/// RawStreams::new(Generator::Philox, 2, 7).fill(&mut words);
/// let [key, _] = Generator::Philox.block(BlockKind::ChildKey, 7, 0, 0);
/// let stream = |index| Generator::Philox.block(BlockKind::Uniforms, key, index, 0);
/// assert_eq!(words, [stream(0)[0], stream(1)[0], stream(0)[1], stream(1)[1]]);
/// ```
#[derive(Clone, Debug)]
pub struct RawStreams {
    generator: Generator,
    key: u64,
    streams: usize,
    /// The first block that is not in `ready` yet.
    block: u64,
    ready: Vec<u64>,
    taken: usize,
    counters: Vec<u128>,
}

/// Blocks that are made at a time, if there are not more streams: they stay in the first cache.
const BATCH: usize = 1024;

impl RawStreams {
    /// From the beginning. `streams` is at least 1.
    pub fn new(generator: Generator, streams: usize, seed: u64) -> RawStreams {
        assert!(streams > 0, "there is at least one stream");
        let [key, _] = generator.block(BlockKind::ChildKey, seed, 0, 0);
        RawStreams { generator, key, streams, block: 0, ready: Vec::new(), taken: 0, counters: Vec::new() }
    }

    /// The next words.
    pub fn fill(&mut self, mut words: &mut [u64]) {
        while !words.is_empty() {
            if self.taken == self.ready.len() {
                self.refill();
            }
            let count = words.len().min(self.ready.len() - self.taken);
            let (now, later) = words.split_at_mut(count);
            now.copy_from_slice(&self.ready[self.taken..self.taken + count]);
            self.taken += count;
            words = later;
        }
    }

    /// Whole rounds of all streams.
    fn refill(&mut self) {
        let rounds = (BATCH / self.streams).max(1);
        self.counters.clear();
        for block in self.block..self.block + rounds as u64 {
            let round = (0..self.streams).map(|index| counter(BlockKind::Uniforms, index as u64, block));
            self.counters.extend(round);
        }
        self.block += rounds as u64;
        self.generator.blocks(self.key, &mut self.counters);
        self.ready.resize(2 * self.counters.len(), 0);
        self.taken = 0;
        let rounds = self.counters.chunks_exact(self.streams);
        for (blocks, ready) in rounds.zip(self.ready.chunks_exact_mut(2 * self.streams)) {
            let (first, second) = ready.split_at_mut(self.streams);
            for ((block, first), second) in blocks.iter().zip(first).zip(second) {
                [*first, *second] = words(*block);
            }
        }
    }
}
