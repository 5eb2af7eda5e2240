//! Kernels of real work, from text to the end of the pipeline.
//!
//! In: Kiln text and calls. Out: what is left of their checks. Holds: results and errors are those of the program as lowered.

use super::tests::is_same;
use crate::ir::{Arg, ArrayData, EvalOptions, Program, eval, print};
use crate::pipeline;
use crate::report::Report;
use kiln_lang::span::SourceId;
use kiln_lang::tree::Const;
use kiln_lang::types::{Scalar, Type};

fn f64s(dims: &[i64]) -> Arg {
    let count = dims.iter().product::<i64>();
    let elements: Vec<f64> = (0..count).map(|at| (at * 7 % 11) as f64 - 4.5).collect();
    Arg::Array(ArrayData::f64s(dims, &elements))
}

fn i64s(dims: &[i64]) -> Arg {
    let count = dims.iter().product::<i64>();
    let elements: Vec<i64> = (0..count).map(|at| at * 7 % 3).collect();
    Arg::Array(ArrayData::i64s(dims, &elements))
}

fn i(value: i64) -> Arg {
    Arg::Scalar(Const::I64(value))
}

fn x(value: f64) -> Arg {
    Arg::Scalar(Const::F64(value))
}

fn type_of(arg: &Arg) -> Type {
    match arg {
        Arg::Scalar(Const::I64(_)) => Type::Scalar(Scalar::I64),
        Arg::Scalar(_) => Type::Scalar(Scalar::F64),
        Arg::Array(array) => Type::array(array.elem, array.dims.len()),
    }
}

fn lowered(text: &str, args: &[Arg]) -> Program {
    let source = SourceId::default();
    let (module, mistakes) = kiln_lang::parse(source, text);
    assert!(mistakes.is_empty(), "{mistakes:?}\n{text}");
    let checked =
        kiln_lang::resolve::resolve(module, source).unwrap_or_else(|found| panic!("{found:?}\n{text}"));
    let types: Vec<Type> = args.iter().map(type_of).collect();
    let typed =
        kiln_lang::infer::infer(&checked, "f", &types).unwrap_or_else(|found| panic!("{found:?}\n{text}"));
    let mut program = crate::lower::lower(&typed).unwrap_or_else(|found| panic!("{found:?}\n{text}"));
    let found = crate::check_loops::check_loops(&mut program);
    assert!(found.is_empty(), "{found:?}\n{text}");
    pipeline::apply_fast(&mut program);
    program
}

/// Runs the pipeline, compares on all calls, and gives the number of checks left in innermost loops.
fn left(text: &str, calls: &[&[Arg]]) -> usize {
    let before = lowered(text, calls[0]);
    let mut after = before.clone();
    let mut report = Report::default();
    pipeline::run(&mut after, &pipeline::Options { text, ..pipeline::Options::default() }, &mut report);
    for args in calls {
        let (a, b) = (
            eval(&before, args.to_vec(), &EvalOptions::default()),
            eval(&after, args.to_vec(), &EvalOptions::default()),
        );
        assert!(is_same(&a, &b), "{a:?}\nbecame\n{b:?}\n{text}\n{}", print(&after));
    }
    if report.innermost_checks_left() > 0 {
        println!("{:#?}\n{}", report.loops, print(&after));
    }
    report.innermost_checks_left()
}

#[test]
fn heat_has_no_check_left() {
    let text = "
fn f(a: mut [f64; n, m], b: mut [f64; n, m], steps: i64, c: f64) -> f64 {
    var u = copy(a)
    var v = copy(b)
    for t in 0..steps {
        @parallel for i in 1..n-1 {
            @vectorize for j in 1..m-1 {
                v[i, j] = u[i, j] + c * (u[i-1, j] + u[i+1, j] + u[i, j-1] + u[i, j+1] - 4*u[i, j])
            }
        }
        u, v = v, u
    }
    return sum(u)
}";
    let calls: [&[Arg]; 3] = [
        &[f64s(&[5, 6]), f64s(&[5, 6]), i(3), x(0.1)],
        &[f64s(&[1, 6]), f64s(&[1, 6]), i(3), x(0.1)],
        &[f64s(&[5, 6]), f64s(&[5, 5]), i(3), x(0.1)],
    ];
    assert_eq!(left(text, &calls), 0);
}

#[test]
fn dense_loops_have_no_check_left() {
    let axpy =
        "fn f(a: T, x: [T; n], y: mut [T; n]) { @parallel @vectorize for i in 0..n { y[i] += a * x[i] } }";
    assert_eq!(left(axpy, &[&[x(2.0), f64s(&[5]), f64s(&[5])], &[x(2.0), f64s(&[5]), f64s(&[4])]]), 0);
    let matmul = "
fn f(a: [f64; n, k], b: [f64; k, m]) -> [f64; n, m] {
    var c = zeros(n, m)
    @parallel for i in 0..n { for j in 0..m { for l in 0..k { c[i, j] += a[i, l] * b[l, j] } } }
    return c
}";
    assert_eq!(left(matmul, &[&[f64s(&[2, 3]), f64s(&[3, 4])], &[f64s(&[0, 3]), f64s(&[3, 4])]]), 0);
    let triangle = "
fn f(a: mut [f64; n, n]) {
    for k in 0..n {
        @parallel for i in k+1..n {
            let l = a[i, k] / a[k, k]
            for j in k..n { a[i, j] -= l * a[k, j] }
        }
    }
}";
    assert_eq!(left(triangle, &[&[f64s(&[4, 4])], &[f64s(&[4, 3])]]), 0);
    let reverse = "fn f(x: [f64; n], y: mut [f64; n]) { @parallel for i in 0..n { y[n-1-i] = x[i] } }";
    assert_eq!(left(reverse, &[&[f64s(&[4]), f64s(&[4])]]), 0);
    let steps = "fn f(x: [f64; n]) -> f64 { var s = 0.0\n for i in 0..n step 2 { s += x[i] }\n for i in n-1..=0 step -1 { s += x[i] }\n return s }";
    assert_eq!(left(steps, &[&[f64s(&[7])], &[f64s(&[0])]]), 0);
}

#[test]
fn wrapping_neighbours_have_no_check_left() {
    let life = "
fn f(a: [i64; n, m], b: mut [i64; n, m]) {
    @parallel for i in 0..n {
        @vectorize for j in 0..m {
            let up = (i + n - 1) % n
            let right = (j + 1) % m
            b[i, j] = a[up, j] + a[i, right]
        }
    }
}";
    assert_eq!(left(life, &[&[i64s(&[4, 5]), i64s(&[4, 5])], &[i64s(&[0, 5]), i64s(&[0, 5])]]), 0);
}

#[test]
fn flattened_and_shifted_indices_are_tested_before_the_loop() {
    let flat = "
fn f(y: mut [f64; p], n: i64, m: i64) {
    @parallel for i in 0..n { for j in 0..m { y[i*m + j] += 1 } }
}";
    let calls: [&[Arg]; 3] =
        [&[f64s(&[12]), i(3), i(4)], &[f64s(&[12]), i(4), i(4)], &[f64s(&[0]), i(1 << 32), i(1 << 32)]];
    assert_eq!(left(flat, &calls), 0);
    let convolution = "
fn f(x: [f64; n], w: [f64; k], y: mut [f64; m]) {
    @parallel for i in 0..m {
        var s = 0.0
        for j in 0..k { s += w[j] * x[i + j] }
        y[i] = s
    }
}";
    let calls: [&[Arg]; 2] = [&[f64s(&[8]), f64s(&[3]), f64s(&[6])], &[f64s(&[8]), f64s(&[3]), f64s(&[7])]];
    assert_eq!(left(convolution, &calls), 0);
}

#[test]
fn random_darts_and_bins() {
    let pi = "
fn f(n: i64) -> f64 {
    var hits = 0
    @parallel @vectorize
    for i in 0..n {
        let x = rand()
        let y = rand()
        if x*x + y*y < 1 { hits += 1 }
    }
    return 4 * hits / n
}";
    assert_eq!(left(pi, &[&[i(100)], &[i(0)]]), 0);
    let bootstrap = "
fn f(x: [f64; n], k: i64) -> f64 {
    var s = 0.0
    @parallel for i in 0..k { s += x[rand_int(0, n)] }
    return s
}";
    assert_eq!(left(bootstrap, &[&[f64s(&[5]), i(20)], &[f64s(&[0]), i(20)], &[f64s(&[0]), i(0)]]), 0);
    let histogram = "
fn f(p: [i64; n], h: mut [i64; m]) { @parallel for i in 0..n { h[p[i]] += 1 } }";
    // What p holds is not known.
    assert_eq!(left(histogram, &[&[i64s(&[9]), i64s(&[3])], &[i64s(&[9]), i64s(&[2])]]), 1);
}

#[test]
fn calls_and_early_returns() {
    let text = "
fn g(x: f64, n: i64) -> i64 {
    var z = x
    for k in 0..n {
        if z > 100 { return k }
        z = z * z + x
    }
    return n
}
fn h(x: f64) -> f64 {
    if x < 0 { return 0.0 }
    if x > 1 { return 1.0 }
    return x
}
fn f(x: [f64; n], y: mut [i64; n]) -> f64 {
    @parallel for i in 0..n { y[i] = g(x[i], 50) }
    return sum(h(x[i]) for i in 0..n)
}";
    assert_eq!(left(text, &[&[f64s(&[6]), i64s(&[6])]]), 0);
    let after = {
        let mut program = lowered(text, &[f64s(&[6]), i64s(&[6])]);
        pipeline::run(&mut program, &pipeline::Options::default(), &mut Report::default());
        program
    };
    // The entry and its two loops: all calls are spliced.
    assert!(after.funcs[1..].iter().all(|func| func.chunk_of.is_some()), "{}", print(&after));
}

#[test]
fn math_is_expanded_and_keeps_its_bits() {
    let rbf = "
fn f(a: [f64; n], b: [f64; m], gamma: f64) -> [f64; n, m] {
    var k = zeros(n, m)
    @parallel for i in 0..n {
        @vectorize for j in 0..m { k[i, j] = exp(-gamma * (a[i] - b[j]) ** 2) }
    }
    return k
}";
    assert_eq!(left(rbf, &[&[f64s(&[4]), f64s(&[3]), x(0.5)]]), 0);
    let all = "
fn f(x: [f64; n], y: mut [f64; n]) {
    for i in 0..n { y[i] = sin(x[i]) + cos(1e6 * x[i]) + log(abs(x[i])) + tanh(x[i]) + abs(x[i]) ** x[i] }
}";
    assert_eq!(left(all, &[&[f64s(&[9]), f64s(&[9])]]), 0);
    let mut program = lowered(all, &[f64s(&[9]), f64s(&[9])]);
    pipeline::run(&mut program, &pipeline::Options::default(), &mut Report::default());
    let text = print(&program);
    for name in ["exp", "log", "sin", "cos", "tanh", "pow"] {
        assert!(!text.contains(&format!(" = {name} ")), "{text}");
    }
}

fn ops_after(text: &str, args: &[Arg]) -> usize {
    let mut program = lowered(text, args);
    let mut report = Report::default();
    pipeline::run(&mut program, &pipeline::Options { text, ..pipeline::Options::default() }, &mut report);
    report.passes.last().expect("a pass").ops
}

#[test]
fn functions_that_call_twice_stay_linear() {
    let mut text = String::from("fn f0(x: f64) -> f64 { return x * x }\n");
    for level in 1..30 {
        let below = level - 1;
        text += &format!("fn f{level}(x: f64) -> f64 {{ return f{below}(x) + f{below}(x + {level}) }}\n");
    }
    text += "fn f(x: f64) -> f64 { return f29(x) }\n";
    let ops = ops_after(&text, &[x(1.0)]);
    assert!(ops < 10_000, "{ops}");
}

#[test]
fn deep_nests_and_long_bodies_stay_linear() {
    // As deep as the parser allows loops to be.
    let mut deep = String::from("fn f(x: mut [f64; n]) {\n");
    (0..100).for_each(|level| deep += &format!("for i{level} in 0..n {{\n x[i{level}] += 1\n"));
    (0..100).for_each(|_| deep += "}\n");
    deep += "}\n";
    let ops = ops_after(&deep, &[f64s(&[1])]);
    assert!(ops < 3_000, "{ops}");
    // Many checks against one size, many loops, many conditions.
    let mut long = String::from("fn f(x: mut [f64; n], p: [i64; m], k: i64) {\n");
    for at in 0..2000 {
        long += &format!("x[k + {at}] += 1\nif k > {at} {{ for i in 0..n {{ x[p[i]] += x[i + k] }} }}\n");
    }
    long += "}\n";
    let ops = ops_after(&long, &[f64s(&[1]), i64s(&[1]), i(0)]);
    assert!(ops < 120_000, "{ops}");
}
