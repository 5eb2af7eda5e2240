//! Random programs: the oracle and compiled code agree, bit for bit.
//!
//! One second in every run; `KILN_FUZZ_SECONDS` asks for more. Each failure prints the program, so that it can become a kernel test.

use crate::machines::{CONFIGURATIONS, compiled_output, oracle_output};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use std::fmt::Write;
use std::time::{Duration, Instant};

/// An expression of i64 (`int`) or f64 over the variables in scope.
fn int_expr(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        (-9i64..100).prop_map(|value| format!("({value})")),
        Just("a".to_string()),
        Just("b".to_string()),
        Just("i".to_string()),
        Just("n".to_string()),
        Just("i64(x)".to_string()),
        Just("k[i]".to_string()),
        Just("rand_int(0, 10)".to_string()),
        Just("9223372036854775807".to_string()),
    ];
    leaf.prop_recursive(depth, 24, 3, |inner| {
        let float = float_leaf();
        prop_oneof![
            (inner.clone(), prop_oneof!["\\+", "-", "\\*", "&", "\\|", "\\^", "<<", ">>"], inner.clone())
                .prop_map(|(left, op, right)| format!("({left} {op} {right})")),
            (inner.clone(), prop_oneof!["//", "%"], inner.clone())
                .prop_map(|(left, op, right)| format!("({left} {op} (1 + abs({right} % 7)))")),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("min({left}, {right})")),
            (bool_expr(inner.clone()), inner.clone(), inner.clone())
                .prop_map(|(cond, yes, no)| format!("(if {cond} {{ {yes} }} else {{ {no} }})")),
            float.prop_map(|value| format!("i64({value})")),
            inner.clone().prop_map(|value| format!("helper({value}, n)")),
            inner.prop_map(|value| format!("i64(i32({value}))")),
        ]
    })
    .boxed()
}

fn float_leaf() -> BoxedStrategy<String> {
    prop_oneof![
        Just("x".to_string()),
        Just("y".to_string()),
        Just("u[i]".to_string()),
        Just("rand()".to_string()),
        (-100i32..100).prop_map(|value| format!("({}.5)", value)),
        Just("1e300".to_string()),
        Just("(0.0 / 0.0)".to_string()),
    ]
    .boxed()
}

fn float_expr(depth: u32) -> BoxedStrategy<String> {
    float_leaf()
        .prop_recursive(depth, 24, 3, |inner| {
            prop_oneof![
                (inner.clone(), prop_oneof!["\\+", "-", "\\*", "/", "//", "%"], inner.clone())
                    .prop_map(|(left, op, right)| format!("({left} {op} {right})")),
                (
                    prop_oneof![
                        "sqrt", "floor", "ceil", "round", "trunc", "abs", "exp", "log", "sin", "cos", "tanh",
                        "sign"
                    ],
                    inner.clone()
                )
                    .prop_map(|(function, value)| format!("{function}({value})")),
                (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("max({left}, {right})")),
                (inner.clone(), inner.clone(), inner.clone())
                    .prop_map(|(a, b, c)| format!("fma({a}, {b}, {c})")),
                (inner.clone(), 0..5i32).prop_map(|(value, power)| format!("({value} ** {power})")),
                (bool_expr(int_expr(1)), inner.clone(), inner.clone())
                    .prop_map(|(cond, yes, no)| format!("(if {cond} {{ {yes} }} else {{ {no} }})")),
                int_expr(1).prop_map(|value| format!("f64({value})")),
                inner.prop_map(|value| format!("f64(f32({value}))")),
            ]
        })
        .boxed()
}

fn bool_expr(inner: BoxedStrategy<String>) -> BoxedStrategy<String> {
    prop_oneof![
        (inner.clone(), prop_oneof!["<", "<=", "==", "!=", ">"], inner.clone())
            .prop_map(|(left, op, right)| format!("{left} {op} {right}")),
        (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left} > 0 and not {right} < 3)")),
        inner.prop_map(|value| format!("(rand() < 0.5 or {value} == 1)")),
    ]
    .boxed()
}

fn statement(depth: u32, inner_loop: bool) -> BoxedStrategy<String> {
    let simple = prop_oneof![
        int_expr(3).prop_map(|value| format!("a = {value}")),
        float_expr(3).prop_map(|value| format!("x = {value}")),
        (prop_oneof!["\\+", "-", "\\*"], float_expr(2), float_expr(2))
            .prop_map(|(op, left, right)| format!("y {op}= {left} * {right}")),
        (prop_oneof!["\\+", "\\^", "\\|", "min"], int_expr(2))
            .prop_map(|(op, value)| format!("b {op}= {value}")),
        int_expr(2).prop_map(|value| format!("total += {value}")),
        float_expr(2).prop_map(|value| format!("sum += {value}")),
        (float_expr(2), float_expr(1)).prop_map(|(left, right)| format!("sum += {left} * {right}")),
        float_expr(2).prop_map(|value| format!("low min= {value}")),
        int_expr(2).prop_map(|value| format!("hist[({value}) % 5] += 1")),
        float_expr(2).prop_map(|value| format!("v[i] = {value}")),
        float_expr(2).prop_map(|value| format!("v[i] += {value}")),
    ];
    if depth == 0 {
        return simple.boxed();
    }
    let inner = move || statement(depth - 1, inner_loop);
    let mut choices = vec![
        (6, simple.boxed()),
        (
            1,
            (bool_expr(int_expr(1)), inner(), inner())
                .prop_map(|(cond, yes, no)| format!("if {cond} {{\n{yes}\n}} else {{\n{no}\n}}"))
                .boxed(),
        ),
        (
            1,
            (1..4i32, inner(), bool_expr(int_expr(1)))
                .prop_map(|(count, body, stop)| {
                    format!("var w = 0\nwhile w < {count} {{\nw += 1\nif {stop} {{ break }}\n{body}\n}}")
                })
                .boxed(),
        ),
    ];
    if !inner_loop {
        let body = statement(depth - 1, true);
        choices.push((
            1,
            (prop_oneof!["", "@vectorize ", "@parallel "], 0..40i64, body)
                .prop_map(|(annotation, count, body)| {
                    let body = if annotation.is_empty() { body } else { reductions_only(&body) };
                    format!("{annotation}for j in 0..{count} {{\n{body}\n}}")
                })
                .boxed(),
        ));
    }
    proptest::strategy::Union::new_weighted(choices).boxed()
}

/// In an inner annotated loop only reductions of outer variables are legal, and only if each variable has one operator.
fn reductions_only(body: &str) -> String {
    body.lines()
        .filter(|line| ["total +=", "sum +=", "low min="].iter().any(|start| line.starts_with(start)))
        .collect::<Vec<_>>()
        .join("\n")
}

fn program() -> impl Strategy<Value = String> {
    let sizes = prop_oneof![0..70i64, Just(1024), Just(1025), 1000..3000i64];
    (prop::collection::vec(statement(2, false), 1..5), sizes, 0..3u8, prop_oneof!["", "@fast "]).prop_map(
        |(statements, n, annotation, fast)| {
            let annotation = ["@parallel", "@parallel @vectorize", "@vectorize"][annotation as usize];
            let mut text = String::new();
            let body = statements.join("\n").replace('\n', "\n        ");
            let _ = write!(
                text,
                "fn helper(p: i64, q: i64) -> i64 {{
    if p > q {{ return p - q }}
    return p ^ q
}}
{fast}fn f(n: i64, u: [f64; n], k: [i64; n], v: mut [f64; n]) -> (i64, f64, f64, [i64; 5]) {{
    var total = 0
    var sum = 0.0
    var low = 1e9
    var hist = zeros(i64, 5)
    {annotation} for i in 0..n {{
        var a = i
        var b = n - i
        var x = 0.5
        var y = u[i]
        {body}
        total += a ^ b
        sum += x
        low min= y
    }}
    return total, sum, low, hist
}}
var u = zeros(f64, {n})
var k = zeros(i64, {n})
var v = zeros(f64, {n})
for i in 0..{n} {{ u[i] = rand() * 4 - 2; k[i] = i * 7919 % 1000 - 500 }}
print(f({n}, u, k, v))
print(sum(v))
"
            );
            text
        },
    )
}

#[test]
fn random_programs_agree_with_the_oracle() {
    let seconds = std::env::var("KILN_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1.0);
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let mut runner = match std::env::var("KILN_FUZZ_SECONDS") {
        Ok(_) => TestRunner::new(Config::default()),
        Err(_) => TestRunner::deterministic(),
    };
    let mut count = 0;
    while Instant::now() < end {
        let text = program().new_tree(&mut runner).expect("a program").current();
        let wanted = oracle_output("random.kiln", &text, &[]);
        if let Some(error) = &wanted.1 {
            assert!(!error.contains("internal"), "{error}\n{text}");
        }
        let configuration = &CONFIGURATIONS[count % CONFIGURATIONS.len()];
        let found = compiled_output("random.kiln", text.as_bytes(), &[], configuration.options());
        assert!(wanted == found, "{configuration:?}\noracle: {wanted:?}\ncompiled: {found:?}\n{text}");
        count += 1;
    }
    println!("{count} random programs");
    assert!(count > 0);
}
