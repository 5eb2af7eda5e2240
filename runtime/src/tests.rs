//! The runtime without a compiler: chunks are Rust functions with the signature of compiled ones.
//!
//! Expected values come from a transcription of SEMANTICS, section 5, that shares no code with the runtime.
//! Safety of the unsafe blocks here: environments are laid out as `Bench` says, contexts are those the runtime hands to the functions.

use super::*;
use crate::float_env::register;
use kiln_abi::*;
use std::collections::HashSet;
use std::ffi::c_void;
use std::sync::atomic::{AtomicI64, AtomicPtr, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const THREADS: [usize; 4] = [1, 2, 3, 7];
const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

/// A pseudo-random number of (a, b).
fn mix(a: u64, b: u64) -> u64 {
    let mut x = a.wrapping_mul(MULTIPLIER) ^ b.wrapping_add(0x1234_5678).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    x ^= x >> 32;
    x = x.wrapping_mul(0xD6E8_FEB8_6659_FD93);
    x ^ x >> 29
}

/// A float in [-1, 1) with all bits in use, so that every other order of a sum shows.
fn noise(a: i64, b: u64) -> f64 {
    (mix(a as u64, b) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

// ---- the functions that stand for compiled code -------------------------------------------------------------------------------------

/// Slots of the entry's environment: count, live-ins, totals.
const LIVE: usize = 1;
const LIVE_SLOTS: usize = 12;
const OUT: usize = LIVE + LIVE_SLOTS;
const SLOTS: usize = OUT + 8;

unsafe fn host<F: Copy>(ctx: *mut Ctx, number: HostFn) -> F {
    unsafe {
        let address = *(*ctx).host.add(number as usize);
        assert_eq!(address, host::address_of(number).addr());
        std::mem::transmute_copy(&address)
    }
}

type LoopFn = unsafe extern "C" fn(*mut Ctx, i64, *mut u64, i64, *mut u64) -> i32;
type AllocFn = unsafe extern "C" fn(*mut Ctx, i64, i64, i64, *mut u64) -> i32;
type FreeFn = unsafe extern "C" fn(*mut Ctx, u64);
type PrintFn = unsafe extern "C" fn(*mut Ctx, i64, *const u64) -> i32;

unsafe fn run_loop(ctx: *mut Ctx, number: i64, env: *mut u64, count: i64, out: *mut u64) -> i32 {
    unsafe { host::<LoopFn>(ctx, HostFn::Loop)(ctx, number, env, count, out) }
}

unsafe fn alloc(ctx: *mut Ctx, elem: i64, count: i64, zero: i64) -> Result<u64, i32> {
    let mut out = 0;
    match unsafe { host::<AllocFn>(ctx, HostFn::Alloc)(ctx, elem, count, zero, &raw mut out) } {
        STATUS_OK => Ok(out),
        status => Err(status),
    }
}

unsafe fn fail(ctx: *mut Ctx, site: u64, values: &[i64]) -> i32 {
    unsafe {
        (*ctx).error = ErrorRecord { site, values: [0; ERROR_VALUES] };
        for (place, value) in (*ctx).error.values.iter_mut().zip(values) {
            *place = *value as u64;
        }
    }
    STATUS_ERROR
}

/// Runs loop 0 over `env[0]` iterations.
unsafe extern "C" fn entry(ctx: *mut Ctx, env: *mut u64, _: i64, _: i64) -> i32 {
    unsafe { run_loop(ctx, 0, env.add(LIVE), *env as i64, env.add(OUT)) }
}

/// Sends as compiled code does: term site `site` of all, of reduction state `slot`, in iteration q.
unsafe fn send(ctx: *mut Ctx, (slot, site, sites): (usize, usize, usize), q: i64, a: f64, b: f64) {
    unsafe {
        let ctx = &mut *ctx;
        if ctx.terms.is_null() {
            let place = ctx.partial.add(slot + (q as u64 & ctx.lane_mask) as usize);
            let acc = f64::from_bits(*place);
            *place = a.mul_add(b, acc).to_bits();
        } else {
            let place = ctx.terms.add(2 * ((q - ctx.terms_base) as usize * sites + site));
            *place = a.to_bits();
            *place.add(1) = b.to_bits();
        }
    }
}

/// What a loop, its chunk and its limits make up.
struct Bench {
    code: Arc<Code>,
    memory: Arc<Memory>,
    stop: Arc<StopFlag>,
}

impl Bench {
    fn new(functions: &[CodeFn], loops: &[LoopInfo]) -> Bench {
        let code = unsafe { Code::of_functions(functions, loops) };
        Bench { code, memory: Memory::new(u64::MAX), stop: Arc::new(StopFlag::new()) }
    }

    fn options(&self) -> CallOptions<'_> {
        CallOptions { seed: 42, stop: &self.stop, memory: &self.memory, sink: None }
    }

    fn run(&self, threads: usize, count: i64, live: &[u64]) -> Result<[u64; 8], Failure> {
        self.run_on(&Pool::new(threads), count, live)
    }

    fn run_on(&self, pool: &Pool, count: i64, live: &[u64]) -> Result<[u64; 8], Failure> {
        let mut env = [0; SLOTS];
        env[0] = count as u64;
        env[LIVE..LIVE + live.len()].copy_from_slice(live);
        let owned = unsafe { call(&self.code, pool, &mut env, &self.options()) }?;
        drop(owned);
        Ok(env[OUT..].try_into().unwrap())
    }
}

fn plain_loop(func: u32, cost: u32) -> LoopInfo {
    LoopInfo { func, parallel: true, scalars: Vec::new(), arrays: Vec::new(), wide: false, cost, line: 1 }
}

// ---- the language's order, transcribed ---------------------------------------------------------------------------------------------

/// Total of float terms, `terms(q)` giving those of iteration q in program order as (a, b): op is fma for sums.
fn language_total(n: i64, product: bool, terms: &dyn Fn(i64) -> Vec<(f64, f64)>) -> f64 {
    let identity = if product { 1.0 } else { -0.0 };
    let op = |a: f64, b: f64| if product { a * b } else { a + b };
    let update = |acc: f64, (a, b): (f64, f64)| if product { acc * a } else { a.mul_add(b, acc) };
    if n <= 32 {
        return (0..n).flat_map(terms).fold(identity, update);
    }
    let block = |b: i64| {
        let mut acc = [identity; 32];
        for q in 1024 * b..(1024 * (b + 1)).min(n) {
            for term in terms(q) {
                acc[q as usize % 32] = update(acc[q as usize % 32], term);
            }
        }
        for w in [16, 8, 4, 2, 1] {
            for l in 0..w {
                acc[l] = op(acc[l], acc[l + w]);
            }
        }
        acc[0]
    };
    fn tree(lo: i64, hi: i64, block: &dyn Fn(i64) -> f64, op: &dyn Fn(f64, f64) -> f64) -> f64 {
        if hi - lo == 1 {
            return block(lo);
        }
        let mut p = 1;
        while 2 * p < hi - lo {
            p *= 2;
        }
        op(tree(lo, lo + p, block, op), tree(lo + p, hi, block, op))
    }
    tree(0, (n + 1023) / 1024, &block, &op)
}

// ---- scalar reductions ---------------------------------------------------------------------------------------------------------------

const KINDS_OF_MANY: [(ReduceOp, ScalarKind, u32); 5] = [
    (ReduceOp::Sum, ScalarKind::F64, 2),
    (ReduceOp::Max, ScalarKind::F64, 0),
    (ReduceOp::Prod, ScalarKind::F64, 1),
    (ReduceOp::Sum, ScalarKind::I64, 0),
    (ReduceOp::Sum, ScalarKind::F64, 1),
];

fn many(cost: u32) -> LoopInfo {
    let scalars = KINDS_OF_MANY.iter().map(|&(op, ty, sites)| ScalarReduction { op, ty, sites }).collect();
    LoopInfo { scalars, ..plain_loop(1, cost) }
}

/// Terms of iteration q for the three ordered reductions of `many`, in program order: (reduction, site, a, b).
fn terms_of_many(q: i64) -> Vec<(usize, usize, f64, f64)> {
    let mut terms = Vec::new();
    if q % 7 != 3 {
        terms.push((0, 0, noise(q, 1), 1.0));
    }
    terms.push((0, 1, noise(q, 2), noise(q, 3)));
    terms.push((1, 2, 1.0 + noise(q, 4) / 1000.0, 1.0));
    if q % 5 == 0 {
        terms.push((2, 3, noise(q, 5) * 1e10, 1.0));
    }
    terms
}

unsafe extern "C" fn many_chunk(ctx: *mut Ctx, _: *mut u64, lo: i64, hi: i64) -> i32 {
    unsafe {
        assert!(!(*ctx).terms.is_null() || lo / 1024 == (hi - 1) / 1024, "a chunk spans two blocks");
        for q in lo..hi {
            let partial = (*ctx).partial;
            *partial = f64::max(f64::from_bits(*partial), noise(q, 6)).to_bits();
            *partial.add(1) = (*partial.add(1)).wrapping_add(mix(q as u64, 7));
            for (reduction, site, a, b) in terms_of_many(q) {
                match reduction {
                    1 if (*ctx).terms.is_null() => {
                        let place = partial.add(2 + 32 + (q as u64 & (*ctx).lane_mask) as usize);
                        *place = (f64::from_bits(*place) * a).to_bits();
                    }
                    _ => send(ctx, (2 + 32 * reduction, site, 4), q, a, b),
                }
            }
        }
    }
    STATUS_OK
}

fn totals_of_many(n: i64) -> [u64; 5] {
    let ordered = |reduction: usize, product: bool| {
        let terms = |q: i64| {
            let own = terms_of_many(q).into_iter().filter(|term| term.0 == reduction);
            own.map(|(_, _, a, b)| (a, b)).collect()
        };
        language_total(n, product, &terms).to_bits()
    };
    let max = (0..n).map(|q| noise(q, 6)).fold(f64::NEG_INFINITY, f64::max);
    let sum = (0..n).fold(0u64, |sum, q| sum.wrapping_add(mix(q as u64, 7)));
    [ordered(0, false), max.to_bits(), ordered(1, true), sum, ordered(2, false)]
}

/// Cost 1 takes blocks, 1000 takes terms where blocks are few, 64 is begun on the caller's thread.
#[test]
fn reductions_have_the_bits_of_the_language_at_any_thread_count() {
    for n in [0, 1, 31, 32, 33, 1023, 1024, 1025, 5000, 1_000_007] {
        let wanted = totals_of_many(n);
        for threads in THREADS {
            for cost in [1, 64, 1000] {
                let bench = Bench::new(&[entry, many_chunk], &[many(cost)]);
                let found = bench.run(threads, n, &[]).unwrap();
                assert_eq!(found[..5], wanted, "n = {n}, {threads} threads, cost {cost}");
                assert_eq!(bench.memory.used(), 0);
            }
        }
    }
    let serial = LoopInfo { parallel: false, ..many(1) };
    let bench = Bench::new(&[entry, many_chunk], &[serial]);
    assert_eq!(bench.run(7, 5000, &[]).unwrap()[..5], totals_of_many(5000));
}

/// What code with lanes relies on: accumulators side by side from `lo` on, or a place for its terms.
unsafe extern "C" fn wide_chunk(ctx: *mut Ctx, env: *mut u64, lo: i64, hi: i64) -> i32 {
    unsafe {
        assert!(!(*ctx).terms.is_null() || (*ctx).lane_mask == 31 && lo % 32 == 0, "lanes from {lo}");
        many_chunk(ctx, env, lo, hi)
    }
}

#[test]
fn code_with_lanes_finds_accumulators_side_by_side_or_a_place_for_terms() {
    for n in [0, 1, 31, 32, 33, 1000, 1024, 1025, 5000, 100_007] {
        for threads in THREADS {
            for cost in [1, 64, 1000, 100_000] {
                let wide = LoopInfo { wide: true, ..many(cost) };
                let found = Bench::new(&[entry, wide_chunk], &[wide]).run(threads, n, &[]).unwrap();
                assert_eq!(found[..5], totals_of_many(n), "n = {n}, {threads} threads, cost {cost}");
            }
        }
    }
}

#[test]
fn ranges_of_blocks_join_to_the_same_bits_wherever_they_are_cut() {
    let bench = Bench::new(&[entry, many_chunk], &[many(1)]);
    let (n, blocks) = (50_000, 49);
    let wanted = totals_of_many(n);
    for round in 0..40 {
        let mut cuts: Vec<i64> = (0..round % 6).map(|k| (mix(round, k) % (blocks + 1)) as i64).collect();
        cuts.extend([0, blocks as i64]);
        cuts.sort_unstable();
        let mut state: Option<BlockState> = None;
        for pair in cuts.windows(2) {
            let pool = Pool::new(THREADS[round as usize % 4]);
            let mut env = [0; LIVE_SLOTS];
            let part = unsafe {
                run_blocks(&bench.code, &pool, 0, &mut env, n, pair[0]..pair[1], &bench.options()).unwrap()
            };
            state = match state {
                None => Some(part),
                Some(before) => join(&bench.code, 0, before, &part),
            };
        }
        assert_eq!(state.unwrap().totals(&bench.code, 0).unwrap(), wanted, "cuts {cuts:?}");
    }
    assert!(join(&bench.code, 1, BlockState::clone(&run_all(&bench)), &run_all(&bench)).is_none());
}

fn run_all(bench: &Bench) -> BlockState {
    let mut env = [0; LIVE_SLOTS];
    unsafe { run_blocks(&bench.code, &Pool::new(1), 0, &mut env, 10, 0..1, &bench.options()).unwrap() }
}

#[test]
fn serial_folds_of_compiled_code_give_the_same_bits() {
    type FoldFn = unsafe extern "C" fn(*mut Ctx, i64, *mut u64, *mut u64);
    type FinishFn = unsafe extern "C" fn(*mut Ctx, i64, *mut u64);
    unsafe extern "C" fn fold_here(ctx: *mut Ctx, env: *mut u64, _: i64, _: i64) -> i32 {
        let n = unsafe { *env } as i64;
        let mask = if n <= 32 { 0 } else { 31 };
        let mut accs = [(-0.0f64).to_bits(); 32];
        let mut state = [0; JOIN_SLOTS];
        unsafe {
            let kind = OrderedKind::SumF64 as i64;
            for q in 0..n {
                let lane = &mut accs[(q & mask) as usize];
                *lane = (f64::from_bits(*lane) + noise(q, 1)).to_bits();
                if q % 1024 == 1023 || q == n - 1 {
                    host::<FoldFn>(ctx, HostFn::FoldBlock)(ctx, kind, accs.as_mut_ptr(), state.as_mut_ptr());
                }
            }
            host::<FinishFn>(ctx, HostFn::FinishBlocks)(ctx, kind, state.as_mut_ptr());
            *env.add(OUT) = state[1];
        }
        STATUS_OK
    }
    for n in [0, 1, 32, 33, 1024, 1025, 7 * 1024, 100_000] {
        let found = Bench::new(&[fold_here], &[]).run(1, n, &[]).unwrap()[0];
        let wanted = language_total(n, false, &|q| vec![(noise(q, 1), 1.0)]);
        assert_eq!(found, wanted.to_bits(), "n = {n}");
    }
}

// ---- array reductions ----------------------------------------------------------------------------------------------------------------

/// Two arrays of live-ins 0 (rank 1, f64) and 3 (rank 2, f64), one of 8 (rank 1, i64), and a float sum.
fn histograms(cost: u32) -> LoopInfo {
    let array = |op, ty, env_slot, rank| ArrayReduction { op, ty, env_slot, rank };
    LoopInfo {
        scalars: vec![ScalarReduction { op: ReduceOp::Sum, ty: ScalarKind::F64, sites: 1 }],
        arrays: vec![
            array(ReduceOp::Sum, ScalarKind::F64, 0, 1),
            array(ReduceOp::Prod, ScalarKind::F64, 3, 2),
            array(ReduceOp::Sum, ScalarKind::I64, 8, 1),
        ],
        ..plain_loop(1, cost)
    }
}

fn places(q: i64, m: [usize; 3]) -> [usize; 3] {
    [0, 1, 2].map(|k| mix(q as u64, 20 + k as u64) as usize % m[k])
}

unsafe extern "C" fn histogram_chunk(ctx: *mut Ctx, _: *mut u64, lo: i64, hi: i64) -> i32 {
    unsafe {
        let slots = (*ctx).partial.add(32);
        let at = |slot: usize| *slots.add(slot);
        // Rank 2: slots 3.. are pointer, two sizes, two strides.
        let m = [at(1) as usize, (at(4) * at(5)) as usize, at(9) as usize];
        for q in lo..hi {
            let [a, b, c] = places(q, m);
            let a = (at(0) as i64 + a as i64 * at(2) as i64) as *mut f64;
            *a += noise(q, 8);
            let (row, column) = (b / at(5) as usize, b % at(5) as usize);
            let b = (at(3) as i64 + row as i64 * at(6) as i64 + column as i64 * at(7) as i64) as *mut f64;
            *b *= 1.0 + noise(q, 9) / 8.0;
            let c = (at(8) as i64 + c as i64 * at(10) as i64) as *mut u64;
            *c = (*c).wrapping_add(mix(q as u64, 10));
            send(ctx, (0, 0, 1), q, noise(q, 11), 1.0);
        }
    }
    STATUS_OK
}

/// Updates of an ordered array as the language orders them.
fn language_array(n: i64, start: &[f64], product: bool, update: &dyn Fn(i64) -> (usize, f64)) -> Vec<f64> {
    let op = |a: f64, b: f64| if product { a * b } else { a + b };
    let mut array = start.to_vec();
    let segments = (n / start.len() as i64).clamp(1, 64);
    for s in 0..segments {
        let mut copy = vec![if product { 1.0 } else { -0.0 }; start.len()];
        let target = if segments == 1 { &mut array } else { &mut copy };
        for q in s * n / segments..(s + 1) * n / segments {
            let (place, value) = update(q);
            target[place] = op(target[place], value);
        }
        if segments > 1 {
            array.iter_mut().zip(&copy).for_each(|(element, total)| *element = op(*element, *total));
        }
    }
    array
}

#[test]
fn array_reductions_have_the_bits_of_the_language_at_any_thread_count() {
    for (n, m) in [
        (0, [4, 4, 4]),
        (50, [100, 6, 3]),
        (200, [100, 100, 7]),
        (5000, [16, 32, 9]),
        (60_000, [37, 1200, 100]),
        (60_000, [5000, 5000, 1]),
        (300_000, [1000, 2000, 300]),
        (64_000, [70_000, 4, 8]),
    ] {
        let starts: [Vec<f64>; 2] =
            [0, 1].map(|k| (0..m[k]).map(|place| noise(place as i64, 30 + k as u64)).collect());
        let wanted = [
            language_array(n, &starts[0], false, &|q| (places(q, m)[0], noise(q, 8))),
            language_array(n, &starts[1], true, &|q| (places(q, m)[1], 1.0 + noise(q, 9) / 8.0)),
        ];
        let mut counts = vec![3u64; m[2]];
        (0..n)
            .for_each(|q| counts[places(q, m)[2]] = counts[places(q, m)[2]].wrapping_add(mix(q as u64, 10)));
        let sum = language_total(n, false, &|q| vec![(noise(q, 11), 1.0)]);
        for threads in THREADS {
            for cost in [1, 200] {
                let bench = Bench::new(&[entry, histogram_chunk], &[histograms(cost)]);
                // The first array is strided: every other element is not its own.
                let mut a: Vec<f64> = starts[0].iter().flat_map(|x| [*x, 7.0]).collect();
                let mut b = starts[1].clone();
                let mut c = vec![3u64; m[2]];
                let mut live = [0; LIVE_SLOTS];
                let rows = [m[1] / 2, 2];
                unsafe { ArrayMut::from_raw(ScalarKind::F64, a.as_mut_ptr().cast(), &[m[0]], &[16]) }
                    .unwrap()
                    .write_slots(&mut live[..3]);
                ArrayMut::from_slice(&rows, &mut b).unwrap().write_slots(&mut live[3..8]);
                ArrayMut::from_slice(&[m[2]], &mut c).unwrap().write_slots(&mut live[8..11]);
                let found = bench.run(threads, n, &live).unwrap();
                let context = format!("n = {n}, m = {m:?}, {threads} threads, cost {cost}");
                assert_eq!(a.iter().step_by(2).copied().collect::<Vec<_>>(), wanted[0], "{context}");
                assert!(a.iter().skip(1).step_by(2).all(|x| *x == 7.0), "{context}");
                assert_eq!(b, wanted[1], "{context}");
                assert_eq!(c, counts, "{context}");
                assert_eq!(found[0], sum.to_bits(), "{context}");
                assert_eq!(bench.memory.used(), 0);
            }
        }
    }
}

#[test]
fn array_reductions_short_of_memory_run_with_fewer_copies_or_fail_cleanly() {
    let (n, m) = (300_000, [1000, 2000, 300]);
    let run = |limit: u64| {
        let bench =
            Bench { memory: Memory::new(limit), ..Bench::new(&[entry, histogram_chunk], &[histograms(10)]) };
        let (mut a, mut b, mut c) = (vec![0.5; m[0]], vec![1.5; m[1]], vec![0u64; m[2]]);
        let mut live = [0; LIVE_SLOTS];
        ArrayMut::from_slice(&[m[0]], &mut a).unwrap().write_slots(&mut live[..3]);
        ArrayMut::from_slice(&[m[1] / 2, 2], &mut b).unwrap().write_slots(&mut live[3..8]);
        ArrayMut::from_slice(&[m[2]], &mut c).unwrap().write_slots(&mut live[8..11]);
        let result = bench.run(3, n, &live);
        assert_eq!(bench.memory.used(), 0);
        result.map(|totals| (totals, a, b, c))
    };
    let wanted = run(u64::MAX).unwrap();
    assert_eq!(run(40_000).unwrap(), wanted, "one copy of each");
    assert!(matches!(run(10_000), Err(Failure::Memory { limit: 10_000, .. })));
}

// ---- errors --------------------------------------------------------------------------------------------------------------------------

/// Live-ins: seed, one in how many iterations fails.
unsafe extern "C" fn failing_chunk(ctx: *mut Ctx, env: *mut u64, lo: i64, hi: i64) -> i32 {
    let [seed, rate] = [0, 1].map(|slot| unsafe { *env.add(slot) });
    for q in lo..hi {
        if mix(q as u64, seed).is_multiple_of(rate) {
            return unsafe { fail(ctx, 5, &[q]) };
        }
        std::hint::black_box(noise(q, seed));
    }
    STATUS_OK
}

#[test]
fn the_error_reported_is_the_first_in_sequential_order() {
    // The first begins on the caller's thread, the second on all.
    let benches = [50, 100].map(|cost| Bench::new(&[entry, failing_chunk], &[plain_loop(1, cost)]));
    let pools = THREADS.map(Pool::new);
    for round in 0..800 {
        let bench = &benches[round as usize / 4 % 2];
        let (n, rate) = (20_000, [3, 1000, 20_000, 100_000][round as usize % 4]);
        let first = (0..n).find(|&q| mix(q as u64, round).is_multiple_of(rate));
        for pool in &pools {
            match (bench.run_on(pool, n, &[round, rate]), first) {
                (Ok(_), None) => {}
                (Err(Failure::Program(record)), Some(first)) => {
                    assert_eq!((record.site, record.values[0]), (5, first as u64), "round {round}");
                }
                (found, first) => panic!("round {round}: {found:?}, first failing iteration {first:?}"),
            }
        }
    }
}

/// Live-ins: seed, rate, inner count, slot 3: outer index for the inner loop.
unsafe extern "C" fn outer_chunk(ctx: *mut Ctx, env: *mut u64, lo: i64, hi: i64) -> i32 {
    unsafe {
        for q in lo..hi {
            let mut inner = [*env, *env.add(1), *env.add(2), q as u64];
            let mut out = [0; 2];
            let status = run_loop(ctx, 1, inner.as_mut_ptr(), inner[2] as i64, out.as_mut_ptr());
            if status != STATUS_OK {
                return status;
            }
            *(*ctx).partial = (*(*ctx).partial).wrapping_add(out[1]);
            send(ctx, (1, 0, 1), q, f64::from_bits(out[0]), 1.0);
        }
    }
    STATUS_OK
}

unsafe extern "C" fn inner_chunk(ctx: *mut Ctx, env: *mut u64, lo: i64, hi: i64) -> i32 {
    unsafe {
        let [seed, rate, _, i] = [0, 1, 2, 3].map(|slot| *env.add(slot));
        for j in lo..hi {
            if mix(mix(i, j as u64), seed).is_multiple_of(rate) {
                return fail(ctx, 6, &[i as i64, j]);
            }
            *(*ctx).partial = (*(*ctx).partial).wrapping_add(mix(i, j as u64));
            send(ctx, (1, 0, 1), j, noise(j, i), 1.0);
        }
    }
    STATUS_OK
}

fn nest(costs: [u32; 2]) -> Bench {
    let scalar = |op, ty, sites| ScalarReduction { op, ty, sites };
    let scalars = vec![scalar(ReduceOp::Sum, ScalarKind::F64, 1), scalar(ReduceOp::Sum, ScalarKind::I64, 0)];
    let outlined =
        |func: u32| LoopInfo { scalars: scalars.clone(), ..plain_loop(func, costs[func as usize - 1]) };
    Bench::new(&[entry, outer_chunk, inner_chunk], &[outlined(1), outlined(2)])
}

#[test]
fn nested_loops_give_the_same_bits_and_the_same_first_error() {
    let never = u64::MAX;
    for (outer, inner, costs) in [(40, 3000, [1000, 10]), (3000, 40, [400, 10]), (2, 50_000, [100, 100])] {
        let rows: Vec<f64> =
            (0..outer).map(|i| language_total(inner, false, &|j| vec![(noise(j, i as u64), 1.0)])).collect();
        let wanted = language_total(outer, false, &|i| vec![(rows[i as usize], 1.0)]).to_bits();
        let bench = nest(costs);
        for threads in THREADS {
            let pool = Pool::new(threads);
            let found = bench.run_on(&pool, outer, &[1, never, inner as u64]).unwrap();
            assert_eq!(found[0], wanted, "{outer} x {inner}, {threads} threads");
            for seed in 0..20 {
                let rate = [50, 5000, 100_000][seed as usize % 3];
                let all = || (0..outer).flat_map(|i| (0..inner).map(move |j| (i, j)));
                let first = all().find(|&(i, j)| mix(mix(i as u64, j as u64), seed).is_multiple_of(rate));
                match (bench.run_on(&pool, outer, &[seed, rate, inner as u64]), first) {
                    (Ok(_), None) => {}
                    (Err(Failure::Program(record)), Some((i, j))) => {
                        assert_eq!(
                            record.values[..2],
                            [i as u64, j as u64],
                            "{threads} threads, seed {seed}"
                        );
                    }
                    (found, first) => panic!("{found:?}, first failing iteration {first:?}"),
                }
            }
            assert_eq!(bench.memory.used(), 0);
        }
    }
}

// ---- threads -------------------------------------------------------------------------------------------------------------------------

static NAMES: Mutex<Option<HashSet<String>>> = Mutex::new(None);

unsafe extern "C" fn sleeping_chunk(_: *mut Ctx, _: *mut u64, lo: i64, hi: i64) -> i32 {
    for _ in lo..hi {
        let name = thread::current().name().unwrap_or("").to_owned();
        NAMES.lock().unwrap().get_or_insert_default().insert(name);
        thread::sleep(Duration::from_millis(3));
    }
    STATUS_OK
}

#[test]
fn a_loop_that_proves_heavy_is_spread_although_it_looked_small() {
    let bench = Bench::new(&[entry, sleeping_chunk], &[plain_loop(1, 100)]);
    bench.run(3, 24, &[]).unwrap();
    let names = NAMES.lock().unwrap().take().unwrap();
    let workers = names.iter().filter(|name| name.starts_with("kiln-")).count();
    assert!(workers >= 2, "ran on {names:?}");
}

#[test]
fn one_code_and_one_pool_serve_many_callers_at_once() {
    let bench = Bench::new(&[entry, many_chunk], &[many(1)]);
    let pool = Pool::new(3);
    let wanted = totals_of_many(40_000);
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let stop = StopFlag::new();
                    let options = CallOptions { stop: &stop, ..bench.options() };
                    let mut env = [0; SLOTS];
                    env[0] = 40_000;
                    unsafe { call(&bench.code, &pool, &mut env, &options) }.unwrap();
                    assert_eq!(env[OUT..OUT + 5], wanted);
                }
            });
        }
    });
    assert_eq!(bench.memory.used(), 0);
}

// ---- stopping ------------------------------------------------------------------------------------------------------------------------

unsafe extern "C" fn endless_chunk(ctx: *mut Ctx, _: *mut u64, _: i64, _: i64) -> i32 {
    while unsafe { (*(*ctx).stop).load(Ordering::Relaxed) } == 0 {
        std::hint::spin_loop();
    }
    STATUS_STOPPED
}

unsafe extern "C" fn idle_chunk(_: *mut Ctx, _: *mut u64, lo: i64, hi: i64) -> i32 {
    for q in lo..hi {
        std::hint::black_box(q);
    }
    STATUS_OK
}

/// The best of some tries, or the first that is good: the machine may be busy with other things.
fn latency(chunk: CodeFn, count: i64, threads: usize) -> Duration {
    let one_try = || {
        let bench = Bench::new(&[entry, chunk], &[plain_loop(1, 1)]);
        let (stop, at) = (bench.stop.clone(), Mutex::new(Instant::now()));
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(30));
                *at.lock().unwrap() = Instant::now();
                stop.cancel();
            });
            let found = bench.run(threads, count, &[]);
            let latency = at.lock().unwrap().elapsed();
            assert_eq!(found.unwrap_err(), Failure::Stopped(StopReason::Cancelled));
            assert_eq!(bench.memory.used(), 0);
            latency
        })
    };
    let mut best = Duration::MAX;
    for _ in 0..20 {
        best = best.min(one_try());
        if best < Duration::from_millis(20) {
            break;
        }
    }
    best
}

#[test]
fn a_cancelled_call_ends_within_20_milliseconds() {
    for threads in THREADS {
        for (chunk, count) in [(endless_chunk as CodeFn, 100_000), (idle_chunk, 1_000_000_000_000)] {
            let latency = latency(chunk, count, threads);
            // Threads without a core of their own see the flag when the system lets them.
            let cores = thread::available_parallelism().map_or(1, usize::from);
            let limit = Duration::from_millis(if threads <= cores { 20 } else { 500 });
            assert!(latency < limit, "{latency:?} with {threads} threads on {cores} cores");
        }
    }
}

#[test]
fn a_deadline_is_told_from_a_cancel_and_the_flag_can_be_used_again() {
    let bench = Bench::new(&[entry, endless_chunk], &[plain_loop(1, 1)]);
    for threads in [1, 3] {
        let watch = watch(&bench.stop, Duration::from_millis(20)).unwrap();
        assert_eq!(bench.run(threads, 100_000, &[]).unwrap_err(), Failure::Stopped(StopReason::Deadline));
        drop(watch);
        assert_eq!(bench.run(threads, 100_000, &[]).unwrap_err(), Failure::Stopped(StopReason::Deadline));
        bench.stop.reset();
        bench.stop.cancel();
        assert_eq!(bench.run(threads, 100_000, &[]).unwrap_err(), Failure::Stopped(StopReason::Cancelled));
        bench.stop.reset();
    }
}

// ---- memory --------------------------------------------------------------------------------------------------------------------------

/// Each iteration makes some arrays, writes them, and frees most.
unsafe extern "C" fn scratch_chunk(ctx: *mut Ctx, env: *mut u64, lo: i64, hi: i64) -> i32 {
    unsafe {
        for q in lo..hi {
            for k in 0..3 {
                let count = (mix(q as u64, k) % 3000) as i64;
                let data = match alloc(ctx, 8, count, k as i64 % 2) {
                    Ok(data) => data,
                    Err(status) => return status,
                };
                assert_eq!(data % 64, 0);
                let slice = std::slice::from_raw_parts_mut(data as *mut u64, count as usize);
                if k % 2 == 1 {
                    assert!(slice.iter().all(|&x| x == 0));
                }
                slice.fill(u64::MAX);
                if q % 50 != 0 {
                    host::<FreeFn>(ctx, HostFn::Free)(ctx, data);
                }
            }
            if *env == q as u64 {
                return fail(ctx, 1, &[q]);
            }
        }
    }
    STATUS_OK
}

#[test]
fn nothing_leaks_whatever_the_limit_and_whatever_fails() {
    let pools = [Pool::new(1), Pool::new(4)];
    let mut refused = 0;
    for round in 0..120 {
        let limit = if round % 4 == 0 { u64::MAX } else { mix(round, 1) % 2_000_000 };
        let fails_at = if round % 3 == 0 { mix(round, 2) % 1500 } else { u64::MAX };
        let bench = Bench {
            memory: Memory::new(limit),
            ..Bench::new(&[entry, scratch_chunk], &[plain_loop(1, 500)])
        };
        match bench.run_on(&pools[round as usize % 2], 1500, &[fails_at]) {
            Ok(_) => assert_eq!(fails_at, u64::MAX),
            Err(Failure::Program(record)) => assert_eq!(record.values[0], fails_at),
            Err(Failure::Memory { requested, limit: told }) => {
                assert!(told == limit && requested < 24_000);
                refused += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
        assert_eq!(bench.memory.used(), 0, "round {round}");
    }
    assert!(refused > 10);
}

/// Makes arrays of `env[1]` and 10 f64 and a lost one; returns the first two.
unsafe extern "C" fn making_entry(ctx: *mut Ctx, env: *mut u64, _: i64, _: i64) -> i32 {
    unsafe {
        for (slot, count) in [(OUT, *env.add(LIVE) as i64), (OUT + 3, 10), (OUT + 6, 5)] {
            match alloc(ctx, 8, count, 1) {
                Ok(data) => *env.add(slot) = data,
                Err(status) => return status,
            }
            *env.add(slot + 1) = count as u64;
        }
        **env.add(OUT).cast::<*mut f64>() = 1.5;
    }
    STATUS_OK
}

#[test]
fn returned_arrays_belong_to_the_caller_and_outlive_the_call() {
    let bench = Bench::new(&[making_entry], &[]);
    let mut env = [0; SLOTS];
    env[LIVE] = 100;
    let mut owned = unsafe { call(&bench.code, &Pool::new(1), &mut env, &bench.options()) }.unwrap();
    let first = owned.take_array(ScalarKind::F64, 1, &env[OUT..OUT + 3]).unwrap();
    assert!(owned.take_array(ScalarKind::F64, 1, &env[OUT..OUT + 3]).is_none(), "taken twice");
    assert!(owned.take_array(ScalarKind::F64, 1, &[64, 1, 8]).is_none(), "not an array of this call");
    env[OUT + 4] = 11;
    assert!(owned.take_array(ScalarKind::F64, 1, &env[OUT + 3..OUT + 6]).is_none(), "larger than its block");
    drop(owned);
    assert_eq!((first.dims(), first.as_slice::<f64>().unwrap()[0]), (&[100][..], 1.5));
    assert_eq!(bench.memory.used(), 100 * 8 + 32 + 64);
    drop(first);
    assert_eq!(bench.memory.used(), 0);
}

#[test]
fn a_trillion_zeros_are_refused() {
    for limit in [1 << 30, u64::MAX] {
        for count in [1_000_000_000_000i64, i64::MAX] {
            let bench = Bench { memory: Memory::new(limit), ..Bench::new(&[making_entry], &[]) };
            let found = bench.run(1, 0, &[count as u64]).unwrap_err();
            let wanted = (count as u64).saturating_mul(8);
            assert_eq!(found, Failure::Memory { requested: wanted, limit });
            assert_eq!(bench.memory.used(), 0);
        }
    }
}

/// A chunk leaves a block behind; the entry frees it when the loop is done.
#[test]
fn a_block_of_a_task_that_has_ended_can_be_freed() {
    static LEFT: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
    unsafe extern "C" fn leaving_chunk(ctx: *mut Ctx, _: *mut u64, lo: i64, _: i64) -> i32 {
        if lo == 0 {
            let Ok(data) = (unsafe { alloc(ctx, 8, 100, 0) }) else { return STATUS_MEMORY };
            LEFT.store(data as *mut c_void, Ordering::Relaxed);
        }
        STATUS_OK
    }
    unsafe extern "C" fn freeing_entry(ctx: *mut Ctx, env: *mut u64, _: i64, _: i64) -> i32 {
        unsafe {
            let status = run_loop(ctx, 0, env, 100_000, env);
            host::<FreeFn>(ctx, HostFn::Free)(ctx, LEFT.load(Ordering::Relaxed) as u64);
            host::<FreeFn>(ctx, HostFn::Free)(ctx, 0);
            status
        }
    }
    let bench = Bench::new(&[freeing_entry, leaving_chunk], &[plain_loop(1, 10)]);
    for threads in THREADS {
        bench.run(threads, 0, &[]).unwrap();
        assert_eq!(bench.memory.used(), 0);
    }
}

// ---- printing and panics -------------------------------------------------------------------------------------------------------------

unsafe extern "C" fn printing_chunk(ctx: *mut Ctx, _: *mut u64, lo: i64, hi: i64) -> i32 {
    let numbers = [1.5f64, 2.5];
    for q in lo..hi {
        let slots = [q as u64, numbers.as_ptr() as u64, 2, 8];
        let status = unsafe { host::<PrintFn>(ctx, HostFn::Print)(ctx, 0, slots.as_ptr()) };
        if status != STATUS_OK {
            return status;
        }
    }
    STATUS_OK
}

#[test]
fn prints_arrive_typed_and_a_panic_ends_the_call_with_its_message() {
    let bench = Bench::new(&[entry, printing_chunk], &[plain_loop(1, 100)]);
    let scalar = PrintType { kind: ScalarKind::I64, rank: None };
    let sites = [vec![scalar, PrintType { kind: ScalarKind::F64, rank: Some(1) }]];
    let printed = AtomicI64::new(0);
    let panics_at = AtomicU64::new(u64::MAX);
    let write = |site: u64, values: &[PrintValue<'_>]| {
        let [PrintValue::Scalar(ScalarKind::I64, q), PrintValue::Array(array)] = values else {
            panic!("printed {values:?}")
        };
        assert_eq!((site, array.dims(), f64::from_bits(array.get(1))), (0, &[2][..], 2.5));
        assert!(*q != panics_at.load(Ordering::Relaxed), "no {q}, please");
        printed.fetch_add(1, Ordering::Relaxed);
    };
    for threads in THREADS {
        let options = CallOptions { sink: Some(Sink { sites: &sites, write: &write }), ..bench.options() };
        let mut env = [0; SLOTS];
        env[0] = 1000;
        printed.store(0, Ordering::Relaxed);
        panics_at.store(u64::MAX, Ordering::Relaxed);
        unsafe { call(&bench.code, &Pool::new(threads), &mut env, &options) }.unwrap();
        assert_eq!(printed.load(Ordering::Relaxed), 1000);
        panics_at.store(700, Ordering::Relaxed);
        let found = unsafe { call(&bench.code, &Pool::new(threads), &mut env, &options) };
        assert_eq!(found.err(), Some(Failure::Panic("no 700, please".into())));
        assert_eq!(bench.memory.used(), 0);
    }
}

// ---- @unique -------------------------------------------------------------------------------------------------------------------------

#[test]
fn unique_finds_the_lowest_repeat() {
    type UniqueFn = unsafe extern "C" fn(*mut Ctx, *const i64, i64, i64, i64, i64, *mut u64) -> i32;
    /// Live-ins: pointer, stride, kind, count.
    unsafe extern "C" fn checking_entry(ctx: *mut Ctx, env: *mut u64, _: i64, _: i64) -> i32 {
        unsafe {
            let [pointer, stride, kind, count] = [0, 1, 2, 3].map(|slot| *env.add(LIVE + slot));
            let (out, unique) = (env.add(OUT + 1), host::<UniqueFn>(ctx, HostFn::Unique));
            let pointer = pointer as *const i64;
            *env.add(OUT) =
                unique(ctx, pointer, stride as i64, kind as i64, count as i64, i64::MAX, out) as u64;
        }
        STATUS_OK
    }
    let bench = Bench::new(&[checking_entry], &[]);
    let check = |pointer: u64, stride: i64, kind: ScalarKind, count: usize| {
        let found = bench.run(1, 0, &[pointer, stride as u64, kind as u64, count as u64]).unwrap();
        assert_eq!(bench.memory.used(), 0);
        (found[0] != 0).then_some((found[1] as usize, found[2] as usize))
    };
    for spread in [1, 3, 1 << 40] {
        let mut values: Vec<i64> = (0..1000).map(|k| ((k * 7919) % 1000 - 500) * spread).collect();
        let at = |values: &[i64]| values.as_ptr() as u64;
        assert_eq!(check(at(&values), 8, ScalarKind::I64, 1000), None);
        (values[900], values[700]) = (values[3], values[20]);
        assert_eq!(check(at(&values), 8, ScalarKind::I64, 1000), Some((700, 20)));
        assert_eq!(check(at(&values[900..]), -8, ScalarKind::I64, 901), Some((880, 200)), "backwards");
        assert_eq!(check(at(&values), 8, ScalarKind::I64, 700), None);
    }
    let narrow: Vec<u32> = vec![5, u32::MAX, 0, 7, u32::MAX, 5];
    assert_eq!(check(narrow.as_ptr() as u64, 4, ScalarKind::U32, 6), Some((4, 1)));
    assert_eq!(check(narrow.as_ptr() as u64, 4, ScalarKind::I32, 6), Some((4, 1)));
    let extremes = [i64::MIN, i64::MAX, 0, i64::MIN];
    assert_eq!(check(extremes.as_ptr() as u64, 8, ScalarKind::I64, 4), Some((3, 0)));
    assert_eq!(check(0, 8, ScalarKind::I64, 0), None);
}

// ---- the host process ----------------------------------------------------------------------------------------------------------------

#[cfg(unix)]
#[test]
fn a_forked_child_runs_parallel_loops_and_deadlines() {
    let bench = Bench::new(&[entry, many_chunk], &[many(1)]);
    let endless = Bench::new(&[entry, endless_chunk], &[plain_loop(1, 1)]);
    let pool = Pool::new(3);
    let wanted = totals_of_many(30_000);
    let works = || bench.run_on(&pool, 30_000, &[]).is_ok_and(|found| found[..5] == wanted);
    let stops = || {
        endless.stop.reset();
        let watch = watch(&endless.stop, Duration::from_millis(10));
        let found = endless.run_on(&pool, 100_000, &[]);
        drop(watch);
        found.is_err_and(|failure| failure == Failure::Stopped(StopReason::Deadline))
    };
    assert!(works() && stops(), "before the fork");
    // The parent's pool is at work while it forks.
    let busy = StopFlag::new();
    thread::scope(|scope| {
        scope.spawn(|| while busy.reason().is_none() && works() {});
        for _ in 0..5 {
            let child = unsafe { libc::fork() };
            if child == 0 {
                let fine = works() && works() && stops();
                unsafe { libc::_exit(if fine { 0 } else { 1 }) };
            }
            assert!(child > 0);
            let (start, mut status) = (Instant::now(), 0);
            while unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } == 0 {
                if start.elapsed() > Duration::from_secs(30) {
                    unsafe { libc::kill(child, libc::SIGKILL) };
                    busy.cancel();
                    panic!("the child hangs");
                }
                thread::sleep(Duration::from_millis(2));
            }
            if status != 0 {
                busy.cancel();
                panic!("the child failed: status {status:#x}");
            }
        }
        busy.cancel();
    });
    assert!(works() && stops(), "after the fork");
}

/// A sum of denormals: nothing is left of it if they are flushed.
unsafe extern "C" fn denormal_chunk(ctx: *mut Ctx, _: *mut u64, lo: i64, hi: i64) -> i32 {
    for q in lo..hi {
        let tiny = std::hint::black_box(1e-310f64);
        unsafe { send(ctx, (0, 0, 1), q, tiny, 1.0) };
    }
    STATUS_OK
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_host_that_flushes_denormals_gets_our_bits_and_its_own_register_back() {
    /// Round up, denormals are zero, flush to zero, all masked, one sticky flag.
    const HOSTS: u32 = 0xdfc1;
    let scalars = vec![ScalarReduction { op: ReduceOp::Sum, ty: ScalarKind::F64, sites: 1 }];
    let bench = Bench::new(&[entry, denormal_chunk], &[LoopInfo { scalars, ..plain_loop(1, 10) }]);
    let wanted = language_total(100_000, false, &|_| vec![(1e-310, 1.0)]).to_bits();
    for threads in THREADS {
        let pool = Pool::new(threads);
        let before = register::read();
        register::write(HOSTS);
        // Threads inherit the register of whoever starts them.
        pool.workers();
        let found = bench.run_on(&pool, 100_000, &[]);
        let after = register::read();
        register::write(before);
        assert_eq!(after, HOSTS);
        assert_eq!(found.unwrap()[0], wanted, "{threads} threads");
    }
}

/// `out[0] = 2 * env[0]`: mov rax, [rsi]; add rax, rax; mov [rsi + 8 * OUT], rax; xor eax, eax; ret.
#[cfg(target_arch = "x86_64")]
fn doubling() -> Object {
    let bytes = vec![0x48, 0x8b, 0x06, 0x48, 0x01, 0xc0, 0x48, 0x89, 0x46, 8 * OUT as u8, 0x31, 0xc0, 0xc3];
    Object { bytes, entries: vec![0], names: vec!["double".into()], loops: Vec::new() }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn loaded_code_runs_and_malformed_objects_are_refused() {
    let code = unsafe { Code::load(&doubling()) }.unwrap();
    assert_eq!(code.bytes(), 13);
    let bench = Bench { code, ..Bench::new(&[entry], &[]) };
    assert_eq!(bench.run(1, 21, &[]).unwrap()[0], 42);
    let refused = |object: &Object| matches!(unsafe { Code::load(object) }, Err(LoadError::Object(_)));
    assert!(refused(&Object::default()));
    assert!(refused(&Object { entries: vec![13], ..doubling() }));
    assert!(refused(&Object { loops: vec![plain_loop(1, 1)], ..doubling() }));
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[test]
fn ten_thousand_codes_come_and_go_and_leave_nothing() {
    let resident = || {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap();
        text.split(' ').next().unwrap().parse::<i64>().unwrap() * 4096
    };
    let object = Object { bytes: [doubling().bytes, vec![0; 100_000]].concat(), ..doubling() };
    let load = || drop(unsafe { Code::load(&object) }.unwrap());
    (0..100).for_each(|_| load());
    let before = resident();
    (0..10_000).for_each(|_| load());
    // All of them together are 1 GB of address space; other tests run meanwhile.
    let grown = resident() - before;
    assert!(grown < 500 << 20, "grew by {grown} bytes");
}
