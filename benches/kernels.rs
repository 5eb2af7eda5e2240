//! Compile time against cached calls: `cargo bench`.
//!
//! `compile`: source text to callable, everything but the process start. `cached`: a call whose specialisation is there.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use kiln::{CallOptions, Engine, Options};
use std::hint::black_box;

const PI: &str = "fn pi(n: i64) -> f64 {
    var hits = 0
    @parallel @vectorize for i in 0..n {
        let x = rand()
        let y = rand()
        if x*x + y*y < 1 { hits += 1 }
    }
    return 4 * hits / n
}";

const MATMUL: &str = "fn matmul(a: [T; n, k], b: [T; k, m], c: mut [T; n, m]) {
    @parallel for i in 0..n {
        for p in 0..k {
            for j in 0..m { c[i, j] += a[i, p] * b[p, j] }
        }
    }
}";

fn compile(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compile");
    for (name, source, types) in [
        ("pi", PI, kiln::parse_types("i64").expect("types")),
        ("matmul", MATMUL, kiln::parse_types("[f64; n, k], [f64; k, m], [f64; n, m]").expect("types")),
    ] {
        group.bench_function(name, |bench| {
            bench.iter_batched(
                Engine::default,
                |engine| {
                    let module = engine.compile("bench.kiln", source).expect("it compiles");
                    module.function(name).and_then(|kernel| kernel.specialise(&types)).expect("it compiles")
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn cached(criterion: &mut Criterion) {
    let engine = Engine::new(Options { threads: Some(1), ..Options::default() });
    let mut group = criterion.benchmark_group("cached");
    let module = engine.compile("bench.kiln", "fn twice(x: f64) -> f64 = 2 * x").expect("it compiles");
    let twice = module.function("twice").expect("it is there");
    group.bench_function("scalar call", |bench| bench.iter(|| twice.call(&mut [black_box(1.5).into()])));
    let pi = engine.compile("bench.kiln", PI).and_then(|module| module.function("pi")).expect("it is there");
    group.bench_function("pi of 100 000 darts, one thread", |bench| {
        bench.iter(|| pi.call_with(&mut [black_box(100_000i64).into()], &CallOptions::default()));
    });
    group.finish();
}

criterion_group!(benches, compile, cached);
criterion_main!(benches);
