//! Nanoseconds per random number, one core, scalar code: the half of `benches/random/compare.py` that runs Kiln.
//!
//! In: names of kernels on standard input, one a line. Out: for each, the best time per draw of many short runs. Holds: an array of 16 Ki numbers is
//! filled again and again, as NumPy's `out=` does; everything stays in the cache.

use kiln::{CallOptions, Engine, IsaCap, Kernel, Options};
use std::io::BufRead;
use std::time::Instant;

const COUNT: usize = 1 << 14;
const RUNS: usize = 200;

const KERNELS: &str = "
# a stream per element: the loop stands at the root
fn rand_per_stream(x: mut [f64; n]) { for i in 0..n { x[i] = rand() } }
fn randn_per_stream(x: mut [f64; n]) { for i in 0..n { x[i] = randn() } }
# one stream, drawn from again and again
fn rand_one_stream(x: mut [f64; n]) { let s = rng(1); for i in 0..n { x[i] = rand(s) } }
fn randn_one_stream(x: mut [f64; n]) { let s = rng(1); for i in 0..n { x[i] = randn(s) } }
# 64 draws in each iteration of an outer loop, as paths draw their steps
fn rand_per_step(x: mut [f64; n]) { for i in 0..n // 64 { for k in 0..64 { x[64 * i + k] = rand() } } }
fn randn_per_step(x: mut [f64; n]) { for i in 0..n // 64 { for k in 0..64 { x[64 * i + k] = randn() } } }
# two draws in each iteration
fn rand_in_pairs(x: mut [f64; n]) { for i in 0..n // 2 { x[2 * i] = rand(); x[2 * i + 1] = rand() } }
fn randn_in_pairs(x: mut [f64; n]) { for i in 0..n // 2 { x[2 * i] = randn(); x[2 * i + 1] = randn() } }
fn rand_exp_per_step(x: mut [f64; n]) { for i in 0..n // 64 { for k in 0..64 { x[64 * i + k] = rand_exp() } } }
";

fn main() {
    let options = Options { threads: Some(1), isa: Some(IsaCap::Scalar), ..Options::default() };
    let isa = std::env::var("KILN_ISA").ok();
    let options = if isa.as_deref() == Some("native") { Options { isa: None, ..options } } else { options };
    let engine = Engine::new(options);
    let module = engine.compile("speed.kiln", KERNELS).unwrap_or_else(|error| panic!("{error}"));
    let mut x = vec![0.0; COUNT];
    for line in std::io::stdin().lock().lines() {
        let name = line.expect("a name");
        let kernel = module.function(name.trim()).unwrap_or_else(|error| panic!("{error}"));
        println!("{name} {:.3}", best(&kernel, &mut x));
    }
}

fn best(kernel: &Kernel, x: &mut [f64]) -> f64 {
    let mut best = f64::INFINITY;
    for run in 0..RUNS {
        let options = CallOptions { seed: run as u64, ..CallOptions::default() };
        let start = Instant::now();
        kernel.call_with(&mut [(&mut *x).into()], &options).unwrap_or_else(|error| panic!("{error}"));
        best = best.min(start.elapsed().as_secs_f64());
    }
    best / COUNT as f64 * 1e9
}
