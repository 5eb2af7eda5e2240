//! The library from outside: cache, concurrency, limits, reports.

use crate::text::root;
use kiln::{Array, CallOptions, Engine, Error, Options, StopFlag, Value, parse_types};
use std::sync::Arc;
use std::time::{Duration, Instant};

#[test]
fn second_call_compiles_nothing_and_another_type_one_more() {
    let engine = Engine::default();
    let module =
        engine.compile("twice.kiln", "fn twice(x) = 2 * x\nfn thrice(x) = 3 * x").expect("it compiles");
    let twice = module.function("twice").expect("it is there");
    assert_eq!(twice.call(&mut [1.5.into()]).expect("it runs").to_string(), "3.0");
    assert_eq!(engine.cache_stats().compiled, 1);
    assert_eq!(twice.call(&mut [2.5.into()]).expect("it runs").to_string(), "5.0");
    let stats = engine.cache_stats();
    assert_eq!((stats.compiled, stats.hits, stats.misses), (1, 1, 1));
    assert_eq!(twice.call(&mut [7i64.into()]).expect("it runs").to_string(), "14");
    assert_eq!(engine.cache_stats().compiled, 2);
    let reasons: Vec<String> = engine.misses().into_iter().map(|miss| miss.reason).collect();
    assert_eq!(reasons, ["`twice` is called for the first time", "argument 1 of `twice` is i64, it was f64"]);
    assert!(engine.cache_stats().bytes > 0);
}

#[test]
fn two_threads_that_want_the_same_specialisation_compile_it_once() {
    let engine = Engine::default();
    let module =
        engine.compile("f.kiln", "fn f(n: i64) -> i64 = sum(i * i for i in 0..n)").expect("it compiles");
    let f = module.function("f").expect("it is there");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(f.call(&mut [10i64.into()]).expect("it runs").to_string(), "285"));
        }
    });
    assert_eq!(engine.cache_stats().compiled, 1);
}

#[test]
fn equal_modules_share_code_and_evicted_code_comes_back() {
    let engine = Engine::new(Options { cache_entries: 2, ..Options::default() });
    let text = "fn f(x) = x + 1\nfn g(x) = x + 2\nfn h(x) = x + 3";
    let first = engine.compile("same.kiln", text).expect("it compiles");
    let second = engine.compile("same.kiln", text).expect("it compiles");
    first.function("f").expect("there").call(&mut [1i64.into()]).expect("it runs");
    second.function("f").expect("there").call(&mut [1i64.into()]).expect("it runs");
    assert_eq!(engine.cache_stats().compiled, 1);
    for name in ["g", "h", "f"] {
        first.function(name).expect("there").call(&mut [1i64.into()]).expect("it runs");
    }
    let stats = engine.cache_stats();
    assert_eq!((stats.compiled, stats.entries), (4, 2));
    assert!(stats.evictions >= 2);
}

#[test]
fn arrays_go_in_and_out_without_copies() {
    let engine = Engine::default();
    let text = "fn axpy(a: T, x: [T; n], y: mut [T; n]) { @parallel for i in 0..n { y[i] += a * x[i] } }
fn outer(x: [f64; n], y: [f64; m]) -> [f64; n, m] {
    var k = zeros(n, m)
    @parallel for i in 0..n, j in 0..m { k[i, j] = x[i] * y[j] }
    return k
}";
    let module = engine.compile("axpy.kiln", text).expect("it compiles");
    let axpy = module.function("axpy").expect("there");
    let x = [1.0, 2.0, 3.0];
    let mut y = [10.0, 10.0, 10.0];
    axpy.call(&mut [2.0.into(), x.as_slice().into(), y.as_mut_slice().into()]).expect("it runs");
    assert_eq!(y, [12.0, 14.0, 16.0]);
    let mut short = [0.0];
    let error = axpy
        .call(&mut [2.0.into(), x.as_slice().into(), short.as_mut_slice().into()])
        .expect_err("sizes disagree");
    assert!(error.to_string().contains("sizes disagree"), "{error}");
    let outer = module.function("outer").expect("there");
    let Value::Array(k) =
        outer.call(&mut [x.as_slice().into(), [5.0, 7.0].as_slice().into()]).expect("it runs")
    else {
        panic!("an array comes back");
    };
    assert_eq!(k.dims(), [3, 2]);
    assert_eq!(k.as_slice::<f64>(), Some([5.0, 7.0, 10.0, 14.0, 15.0, 21.0].as_slice()));
    assert!(engine.memory_used() > 0);
    drop(k);
    assert_eq!(engine.memory_used(), 0);
}

#[test]
fn wrong_calls_are_errors_with_a_next_step() {
    let engine = Engine::default();
    let module = engine.compile("f.kiln", "fn f(x: f64, y: mut [f64; n]) -> f64 = x").expect("it compiles");
    assert!(matches!(module.function("g"), Err(Error::Call(text)) if text.contains('f')));
    let f = module.function("f").expect("there");
    assert!(f.call(&mut [1.0.into()]).is_err());
    assert!(f.call(&mut [1.0.into(), 2.0.into()]).is_err());
    let read_only = [1.0];
    assert!(
        f.call(&mut [1.0.into(), read_only.as_slice().into()]).is_err(),
        "a read-only array for a `mut` parameter"
    );
}

#[test]
fn cancel_and_deadline_leave_the_engine_usable() {
    let engine = Engine::new(Options { threads: Some(2), ..Options::default() });
    let text = "fn spin(n: i64) -> i64 { var i = 0; while true { i += n }; return i }
fn wide(n: i64) -> i64 { var s = 0; @parallel for i in 0..n { s ^= i * i }; return s }
fn one() -> i64 = 1";
    let module = engine.compile("spin.kiln", text).expect("it compiles");
    for (name, argument) in [("spin", 1i64), ("wide", i64::MAX)] {
        let kernel = module.function(name).expect("there");
        let start = Instant::now();
        let options = CallOptions { deadline: Some(Duration::from_millis(50)), ..CallOptions::default() };
        assert!(matches!(kernel.call_with(&mut [argument.into()], &options), Err(Error::Deadline)), "{name}");
        assert!(start.elapsed() < Duration::from_secs(2), "{name}: {:?}", start.elapsed());
        let stop = Arc::new(StopFlag::new());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(30));
                stop.cancel();
            });
            let options = CallOptions { stop: Some(&stop), ..CallOptions::default() };
            assert!(
                matches!(kernel.call_with(&mut [argument.into()], &options), Err(Error::Cancelled)),
                "{name}"
            );
        });
    }
    assert_eq!(module.function("one").expect("there").call(&mut []).expect("it runs").to_string(), "1");
    assert_eq!(engine.memory_used(), 0);
}

#[test]
fn no_check_is_left_in_the_innermost_loops_of_the_examples() {
    let cases = [
        ("monte_carlo_pi", "monte_carlo_pi", "i64"),
        ("matmul", "matmul", "[f64; n, k], [f64; k, m]"),
        ("heat", "heat", "i64, i64"),
        ("rbf", "rbf", "[f64; n], [f64; m], f64"),
        ("rbf", "rbf", "[f32; n], [f32; m], f32"),
        ("covariance", "kernel", "[f64; n], [f64; m]"),
        ("covariance", "mean_of", "[f64; n, m]"),
        ("nbody", "accelerations", "[f64; n], [f64; n], [f64; n], [f64; n], [f64; n]"),
        ("nbody", "energy", "[f64; n], [f64; n], [f64; n], [f64; n], [f64; n]"),
        ("nbody", "simulate", "i64, i64, f64"),
    ];
    let engine = Engine::default();
    for (file, function, types) in cases {
        let text = std::fs::read_to_string(root().join(format!("examples/{file}.kiln"))).expect("an example");
        let module = engine.compile(file, &text).expect("it compiles");
        let types = parse_types(types).expect("types");
        let specialisation = module
            .function(function)
            .expect("there")
            .specialise(&types)
            .unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(
            specialisation.report.innermost_checks_left(),
            0,
            "{file}, {function}: {:?}",
            specialisation.report
        );
    }
}

#[test]
fn many_threads_share_one_engine() {
    let engine = Engine::new(Options { threads: Some(2), cache_entries: 3, ..Options::default() });
    let text = "fn a(n: i64) -> f64 { var s = 0.0; @parallel for i in 0..n { s += 1 / (i + 1) }; return s }
fn b(x) = x * x
fn c(n: i64) -> [f64; n] { var y = zeros(f64, n); @parallel for i in 0..n { y[i] = rand() }; return y }
fn d(n: i64) -> i64 = 1 // (n - n)";
    let module = engine.compile("many.kiln", text).expect("it compiles");
    let reference =
        module.function("a").expect("there").call(&mut [5000i64.into()]).expect("it runs").to_string();
    std::thread::scope(|scope| {
        for thread in 0..8i64 {
            let (module, reference) = (&module, &reference);
            scope.spawn(move || {
                for round in 0..50i64 {
                    let call = |name: &str, argument: kiln::Arg<'_>| {
                        module.function(name).expect("there").call(&mut [argument])
                    };
                    assert_eq!(&call("a", 5000i64.into()).expect("it runs").to_string(), reference);
                    assert_eq!(
                        call("b", (thread as f64).into()).expect("it runs").as_f64(),
                        Some((thread * thread) as f64)
                    );
                    assert_eq!(
                        call("b", round.into()).expect("it runs").as_f64(),
                        Some((round * round) as f64)
                    );
                    assert!(call("c", 100i64.into()).is_ok());
                    assert!(matches!(call("d", 1i64.into()), Err(Error::Runtime(_))));
                }
            });
        }
    });
    assert_eq!(engine.memory_used(), 0);
}

#[test]
fn rust_arrays_of_the_runtime_go_in_as_arguments() {
    let engine = Engine::default();
    let module = engine.compile("s.kiln", "fn total(x: [f64; n, m]) -> f64 = sum(x)").expect("it compiles");
    let array = Array::from_slice(engine.memory(), &[2, 2], &[1.0, 2.0, 3.0, 4.0]).expect("memory");
    let total = module.function("total").expect("there").call(&mut [(&array).into()]).expect("it runs");
    assert_eq!(total.as_f64(), Some(10.0));
}
