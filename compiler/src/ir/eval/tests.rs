//! The oracle against values from the language's text, plain Rust and closed forms.

use super::*;
use crate::ir::{Func, FuncId, parse, print_func};
use kiln_abi::ReduceOp;
use kiln_lang::math;
use kiln_lang::types::Generator;
use std::sync::OnceLock;

/// A stand-in for the prelude that plain Rust can mirror: `f(x) = x*x + 1`, `pow(x, y) = x*y + 1`, rounded once.
fn stand_in(function: math::Function, scalar: Scalar) -> &'static Func {
    static BODIES: OnceLock<Vec<Func>> = OnceLock::new();
    let bodies = BODIES.get_or_init(|| {
        let one = |ty: &str| format!("func @one(%x: {ty}) -> {ty} {{ %c = const 1.0 : {ty} %r = fma %x, %x, %c : {ty} return %r }}");
        let two = |ty: &str| format!("func @two(%x: {ty}, %y: {ty}) -> {ty} {{ %c = const 1.0 : {ty} %r = fma %x, %y, %c : {ty} return %r }}");
        [one("f64"), two("f64"), one("f32"), two("f32")].iter().map(|text| parse(text).unwrap().funcs.remove(0)).collect()
    });
    &bodies[usize::from(function == math::Function::Pow) + 2 * usize::from(scalar == Scalar::F32)]
}

fn eval_text(text: &str, args: Vec<Arg>, options: &EvalOptions) -> Result<Outcome, EvalError> {
    let program = parse(text).unwrap_or_else(|message| panic!("{message}\n{text}"));
    eval_with_math(&program, args, options, &stand_in)
}

fn run(text: &str, args: Vec<Arg>) -> Outcome {
    eval_text(text, args, &EvalOptions::default()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn fail(text: &str, args: Vec<Arg>) -> EvalError {
    eval_text(text, args, &EvalOptions::default()).unwrap_err()
}

fn i64_arg(value: i64) -> Arg {
    Arg::Scalar(Const::I64(value))
}

fn f64_arg(value: f64) -> Arg {
    Arg::Scalar(Const::F64(value))
}

fn array_arg(elements: &[f64]) -> Arg {
    Arg::Array(ArrayData::f64s(&[elements.len() as i64], elements))
}

/// Evaluates one elementwise op on scalars and in two lanes, and folds it; all must agree.
fn one_op(name: &str, args: &[Const], result: Scalar) -> Const {
    let types: Vec<Scalar> = args.iter().map(|&arg| const_scalar(arg)).collect();
    let params: Vec<String> = types.iter().enumerate().map(|(at, ty)| format!("%a{at}: {ty}")).collect();
    let operands: Vec<String> = (0..args.len()).map(|at| format!("%a{at}")).collect();
    let lanes =
        |scalar: Scalar| if scalar == Scalar::Bool { "mask2".to_string() } else { format!("{scalar}x2") };
    let splats: String = types
        .iter()
        .enumerate()
        .map(|(at, &ty)| format!("%v{at} = splat %a{at} : {}\n", lanes(ty)))
        .collect();
    let wide = operands.join(", ").replace("%a", "%v");
    let text = format!(
        "func @f({}) -> {result}, {result} {{\n%r = {name} {} : {result}\n{splats}%w = {name} {wide} : {}\n%l = extract 1 %w : {result}\nreturn %r, %l\n}}",
        params.join(", "),
        operands.join(", "),
        lanes(result),
    );
    let outcome = run(&text, args.iter().map(|&arg| Arg::Scalar(arg)).collect());
    let [Arg::Scalar(scalar), Arg::Scalar(lane)] = outcome.results[..] else { panic!("two scalars") };
    assert!(same_bits(const_bits(scalar), const_bits(lane), result), "{name} {args:?}");
    let code = OpCode::plain(name).unwrap();
    if !matches!(code, OpCode::Math(_)) {
        let folded = fold(&code, args, result).unwrap()[0];
        assert!(same_bits(const_bits(scalar), const_bits(folded), result), "{name} {args:?}");
    }
    scalar
}

#[track_caller]
fn expect_op(name: &str, args: &[Const], expected: Const) {
    let found = one_op(name, args, const_scalar(expected));
    let same = same_bits(const_bits(found), const_bits(expected), const_scalar(expected));
    assert!(same, "{name} {args:?}: found {found:?}, expected {expected:?}");
}

#[test]
fn integers_wrap_and_divide_to_the_floor() {
    use Const::{I32, I64, U32, U64};
    let binary = |name, a: i32, b: i32, expected: i32| {
        expect_op(name, &[I32(a), I32(b)], I32(expected));
        if a != i32::MIN && a != i32::MAX {
            expect_op(name, &[I64(a.into()), I64(b.into())], I64(expected.into()));
        }
    };
    binary("add", i32::MAX, 1, i32::MIN);
    binary("sub", i32::MIN, 1, i32::MAX);
    binary("mul", i32::MAX, 2, -2);
    for (a, b, quotient, rest) in
        [(7, 2, 3, 1), (-7, 2, -4, 1), (7, -2, -4, -1), (-7, -2, 3, -1), (6, -3, -2, 0), (5, 0, 0, 0)]
    {
        binary("floor_div", a, b, quotient);
        binary("rem", a, b, rest);
    }
    binary("floor_div", i32::MIN, -1, i32::MIN);
    binary("rem", i32::MIN, -1, 0);
    expect_op("floor_div", &[I64(i64::MIN), I64(-1)], I64(i64::MIN));
    expect_op("rem", &[I64(i64::MIN), I64(-1)], I64(0));
    expect_op("floor_div", &[U64(u64::MAX), U64(2)], U64(u64::MAX / 2));
    expect_op("floor_div", &[U32(7), U32(0)], U32(0));
    expect_op("rem", &[U64(7), U64(0)], U64(0));
    expect_op("rem", &[U32(u32::MAX), U32(10)], U32(5));
    expect_op("neg", &[I64(i64::MIN)], I64(i64::MIN));
    expect_op("neg", &[U32(1)], U32(u32::MAX));
    expect_op("abs", &[I32(i32::MIN)], I32(i32::MIN));
    expect_op("abs", &[I64(-5)], I64(5));
    expect_op("abs", &[U64(u64::MAX)], U64(u64::MAX));
    expect_op("min", &[I32(-1), I32(1)], I32(-1));
    expect_op("min", &[U32(u32::MAX), U32(1)], U32(1));
    expect_op("max", &[I64(-1), I64(1)], I64(1));
    expect_op("mul_hi", &[U64(u64::MAX), U64(u64::MAX)], U64(u64::MAX - 1));
}

#[test]
fn bits_shift_by_masked_counts() {
    use Const::{Bool, I32, I64, U32, U64};
    expect_op("shl", &[I32(1), I32(33)], I32(2));
    expect_op("shl", &[I64(1), I64(-1)], I64(i64::MIN));
    expect_op("shr", &[I32(-8), I32(1)], I32(-4));
    expect_op("shr", &[I64(i64::MIN), I64(63)], I64(-1));
    expect_op("shr", &[U32(1 << 31), U32(31)], U32(1));
    expect_op("shr", &[U64(1 << 63), U64(127)], U64(1));
    expect_op("and", &[I32(-1), I32(6)], I32(6));
    expect_op("or", &[U64(5), U64(2)], U64(7));
    expect_op("xor", &[I64(-1), I64(0)], I64(-1));
    expect_op("not", &[I32(0)], I32(-1));
    expect_op("not", &[U32(0)], U32(u32::MAX));
    for a in [false, true] {
        for b in [false, true] {
            expect_op("and", &[Bool(a), Bool(b)], Bool(a && b));
            expect_op("or", &[Bool(a), Bool(b)], Bool(a || b));
            expect_op("xor", &[Bool(a), Bool(b)], Bool(a != b));
            expect_op("eq", &[Bool(a), Bool(b)], Bool(a == b));
            expect_op("lt", &[Bool(a), Bool(b)], Bool(!a && b));
        }
        expect_op("not", &[Bool(a)], Bool(!a));
    }
}

#[test]
fn floats_follow_ieee_754() {
    use Const::{F32, F64};
    const TINY: f64 = 5e-324;
    let cases = [
        ("add", vec![0.1, 0.2], 0.30000000000000004),
        ("sub", vec![f64::INFINITY, f64::INFINITY], f64::NAN),
        ("mul", vec![TINY, 0.5], 0.0),
        ("div", vec![-1.0, 0.0], f64::NEG_INFINITY),
        ("div", vec![0.0, 0.0], f64::NAN),
        ("neg", vec![0.0], -0.0),
        ("abs", vec![-0.0], 0.0),
        ("min", vec![0.0, -0.0], -0.0),
        ("min", vec![-0.0, 0.0], -0.0),
        ("max", vec![-0.0, 0.0], 0.0),
        ("max", vec![0.0, -0.0], 0.0),
        ("min", vec![1.0, f64::NAN], f64::NAN),
        ("max", vec![f64::NAN, 1.0], f64::NAN),
        ("min", vec![-3.0, 2.0], -3.0),
        ("max", vec![-3.0, 2.0], 2.0),
        ("fma", vec![0.1, 10.0, -1.0], 5.551115123125783e-17),
        ("fma", vec![1e308, 10.0, f64::NEG_INFINITY], f64::NEG_INFINITY),
        ("sqrt", vec![2.0], std::f64::consts::SQRT_2),
        ("sqrt", vec![-0.0], -0.0),
        ("sqrt", vec![-1.0], f64::NAN),
        ("floor", vec![-0.5], -1.0),
        ("ceil", vec![-0.5], -0.0),
        ("trunc", vec![-1.5], -1.0),
        ("nearest", vec![2.5], 2.0),
        ("nearest", vec![-0.5], -0.0),
        ("nearest", vec![0.49999999999999994], 0.0),
        ("nearest", vec![4503599627370497.5], 4503599627370498.0),
        ("exp", vec![3.0], 10.0),
        ("pow", vec![3.0, 4.0], 13.0),
    ];
    for (name, args, expected) in cases {
        let args: Vec<Const> = args.iter().map(|&arg| F64(arg)).collect();
        expect_op(name, &args, F64(expected));
    }
    expect_op("add", &[F32(16777216.0), F32(1.0)], F32(16777216.0));
    expect_op("fma", &[F32(0.1), F32(10.0), F32(-1.0)], F32(1.4901161e-8));
    expect_op("min", &[F32(0.0), F32(-0.0)], F32(-0.0));
    expect_op("tanh", &[F32(2.0)], F32(5.0));
    for (name, results) in [
        ("eq", [false, false, true]),
        ("ne", [true, true, false]),
        ("lt", [false, true, false]),
        ("le", [false, true, true]),
        ("gt", [false; 3]),
        ("ge", [false, false, true]),
    ] {
        for ((a, b), expected) in [(f64::NAN, f64::NAN), (1.0, 2.0), (0.0, -0.0)].into_iter().zip(results) {
            expect_op(name, &[F64(a), F64(b)], Const::Bool(expected));
        }
    }
}

#[test]
fn conversions_round_once_and_saturate() {
    use Const::*;
    let big = (1i64 << 62) + (1 << 38) + 1;
    let cases = [
        (I64(big), F32(4611686568183201792.0)), // through f64 it would round to 2^62
        (I64(i64::MAX), F64(9223372036854775807.0)),
        (U64(u64::MAX), F64(18446744073709551616.0)),
        (I32(-1), I64(-1)),
        (I32(-1), U64(u64::MAX)),
        (U32(u32::MAX), I64(4294967295)),
        (I64(-1), U32(u32::MAX)),
        (I64(1 << 32 | 5), I32(5)),
        (F64(1e30), I64(i64::MAX)),
        (F64(-1e30), I32(i32::MIN)),
        (F64(-0.9), U32(0)),
        (F64(-5.0), U64(0)),
        (F64(f64::NAN), I64(0)),
        (F32(3e9), I32(i32::MAX)),
        (F32(f32::NAN), U64(0)),
        (F64(1e300), F32(f32::INFINITY)),
        (F64(0.1), F32(0.1)),
        (F32(0.1), F64(0.10000000149011612)),
        (F64(f64::NAN), Bool(true)),
        (F64(-0.0), Bool(false)),
        (I64(256), Bool(true)),
        (Bool(true), F64(1.0)),
        (Bool(true), I32(1)),
    ];
    for (from, to) in cases {
        expect_op("convert", &[from], to);
    }
    expect_op("bitcast", &[F64(-0.0)], U64(1 << 63));
    expect_op("bitcast", &[I32(-1)], U32(u32::MAX));
    expect_op("bitcast", &[U32(0x3f80_0000)], F32(1.0));
    expect_op("select", &[Bool(true), F64(1.0), F64(2.0)], F64(1.0));
    expect_op("select", &[Bool(false), F64(1.0), F64(2.0)], F64(2.0));
}

#[test]
fn draws_fold_to_the_block() {
    let words = [Const::U64(7), Const::U64(8), Const::U64(9)];
    let (low, high) = draw_block(Generator::Philox, 3, 7, 8, 9);
    let folded = fold(&OpCode::Draw { generator: Generator::Philox, kind: 3 }, &words, Scalar::U64).unwrap();
    assert_eq!(folded, [Const::U64(low), Const::U64(high)]);
    let text = "func @f() -> u64, u64, u64 { %s = seed : u64 %i = const 8 : u64 %b = const 9 : u64
        %x, %y = philox 3 %s, %i, %b : u64, u64 return %s, %x, %y }";
    let outcome = eval_text(text, vec![], &EvalOptions { seed: 7, ..EvalOptions::default() }).unwrap();
    assert_eq!(outcome.results, [7, low, high].map(|word| Arg::Scalar(Const::U64(word))));
}

/// Section 5 once more, as directly as Rust can say it: terms by ordinal, `None` where nothing is sent.
fn ordered(
    terms: &[Option<(f64, f64)>],
    op: fn(f64, f64) -> f64,
    fma: fn(f64, f64, f64) -> f64,
    identity: f64,
) -> f64 {
    let n = terms.len();
    if n <= 32 {
        return terms.iter().flatten().fold(identity, |total, &(a, b)| fma(a, b, total));
    }
    let block = |b: usize| {
        let mut acc = [identity; 32];
        for q in 1024 * b..n.min(1024 * (b + 1)) {
            if let Some((x, y)) = terms[q] {
                acc[q % 32] = fma(x, y, acc[q % 32]);
            }
        }
        for w in [16, 8, 4, 2, 1] {
            for l in 0..w {
                acc[l] = op(acc[l], acc[l + w]);
            }
        }
        acc[0]
    };
    fn tree(lo: usize, hi: usize, block: &dyn Fn(usize) -> f64, op: fn(f64, f64) -> f64) -> f64 {
        if hi - lo == 1 {
            return block(lo);
        }
        let mut p = 1;
        while 2 * p < hi - lo {
            p *= 2;
        }
        op(tree(lo, lo + p, block, op), tree(lo + p, hi, block, op))
    }
    tree(0, n.div_ceil(1024), &block, op)
}

const LENGTHS: [usize; 14] = [0, 1, 31, 32, 33, 64, 1023, 1024, 1025, 2047, 3072, 3073, 5000, 9217];

/// Numbers of very different size, so that the order shows.
fn noise(count: usize) -> Vec<f64> {
    let term = |k: usize| {
        let (word, _) = draw_block(Generator::Philox, 0, 1, k as u64, 0);
        (word as i64 as f64) * 2f64.powi((word % 40) as i32 - 80)
    };
    (0..count).map(term).collect()
}

#[test]
fn float_reductions_have_the_order_of_the_language() {
    let body = |lanes: &str| {
        format!(
            "func @f(%x: [f64; 1]) -> f64, f64, f64 {{
                %n = dim 0 %x : i64
                %zero = const 0.0 : f64
                %s, %p, %d = for %n reduce(sum f64 \"s\") reduce(prod f64 \"p\") reduce(sum f64 \"d\") parallel {lanes} }}
                return %s, %p, %d
            }}"
        )
    };
    // Negative terms are skipped in the plain sum; the fused sum takes x*x.
    let scalar = body(
        ": f64, f64, f64 { ^(%q: i64):
            %v = load %x, %q : f64
            send_fma 2 %v, %v
            send 1 %v
            %c = lt %v, %zero : bool
            if %c {
                continue 0
            } else {
                yield
            }
            send 0 %v
            yield",
    );
    let wide = body(
        "lanes 8 tail 4 : f64, f64, f64 { ^(%q: i64):
            %i = iota %q : i64x8
            %v = load %x, %i : f64x8
            send_fma 2 %v, %v
            send 1 %v
            %zeros = splat %zero : f64x8
            %ge = ge %v, %zeros : mask8
            send_masked 0 %ge, %v
            yield
        } tail { ^(%q.1: i64, %on: mask4):
            %i.1 = iota %q.1 : i64x4
            %v.1 = load_masked %x, %on, %i.1 : f64x4
            %minus = const -0.0 : f64
            %one = const 1.0 : f64
            %minuses = splat %minus : f64x4
            %ones = splat %one : f64x4
            %a = select %on, %v.1, %minuses : f64x4
            %b = select %on, %v.1, %ones : f64x4
            send_fma 2 %a, %b
            send_masked 1 %on, %v.1
            %zeros.1 = splat %zero : f64x4
            %ge.1 = ge %v.1, %zeros.1 : mask4
            %sent = and %on, %ge.1 : mask4
            send_masked 0 %sent, %v.1
            yield",
    );
    for n in LENGTHS {
        let x = noise(n);
        let sent: Vec<_> = x.iter().map(|&v| (v >= 0.0).then_some((v, 1.0))).collect();
        let all: Vec<_> = x.iter().map(|&v| Some((v, 1.0))).collect();
        let squares: Vec<_> = x.iter().map(|&v| Some((v, v))).collect();
        let plain_sum = |a: f64, _: f64, total: f64| total + a;
        let expected = [
            ordered(&sent, |a, b| a + b, plain_sum, -0.0),
            ordered(&all, |a, b| a * b, |a, _, total| total * a, 1.0),
            ordered(&squares, |a, b| a + b, |a, b, total| a.mul_add(b, total), -0.0),
        ];
        for text in [&scalar, &wide] {
            let outcome = run(text, vec![array_arg(&x)]);
            for (found, expected) in outcome.results.iter().zip(expected) {
                assert!(found.is_same(&f64_arg(expected)), "n = {n}: {found:?} instead of {expected:e}");
            }
        }
    }
    // The order is visible at all.
    let x = noise(5000);
    let all: Vec<_> = x.iter().map(|&v| Some((v, 1.0))).collect();
    assert_ne!(ordered(&all, |a, b| a + b, |a, _, total| total + a, -0.0), x.iter().sum::<f64>());
}

#[test]
fn rectangles_number_their_iterations_in_row_major_order() {
    let text = |body: &str| {
        format!(
            "func @f(%n: i64, %m: i64) -> f32 {{
            %tenth = const 0.1 : f32
            %s = for %n, %m reduce(sum f32 \"s\") vectorize {body} }}
            return %s\n}}"
        )
    };
    let scalar = text(
        ": f32 { ^(%i: i64, %j: i64):
        %k = mul %i, %m : i64
        %q = add %k, %j : i64
        %v = convert %q : f32
        %t = mul %v, %tenth : f32
        send 0 %t\nyield",
    );
    let wide = text(
        "lanes 4 tail 2 : f32 { ^(%i: i64, %j: i64):
        %k = mul %i, %m : i64
        %q0 = add %k, %j : i64
        %q = iota %q0 : i64x4
        %v = convert %q : f32x4
        %tenths = splat %tenth : f32x4
        %t = mul %v, %tenths : f32x4
        send 0 %t\nyield
        } tail { ^(%i.1: i64, %j.1: i64, %on: mask2):
        %k.1 = mul %i.1, %m : i64
        %q0.1 = add %k.1, %j.1 : i64
        %q.1 = iota %q0.1 : i64x2
        %v.1 = convert %q.1 : f32x2
        %tenths.1 = splat %tenth : f32x2
        %t.1 = mul %v.1, %tenths.1 : f32x2
        send_masked 0 %on, %t.1\nyield",
    );
    for (n, m) in [(3, 7), (60, 33), (2, 1025), (0, 9), (5, 0)] {
        let mut expected = Vec::new();
        for q in 0..n * m {
            expected.push(q as f32 * 0.1);
        }
        let total = expected_f32(&expected);
        for text in [&scalar, &wide] {
            let outcome = run(text, vec![i64_arg(n), i64_arg(m)]);
            assert_eq!(outcome.results, [Arg::Scalar(Const::F32(total))], "{n} x {m}");
        }
    }
}

fn expected_f32(terms: &[f32]) -> f32 {
    if terms.len() <= 32 {
        return terms.iter().fold(-0.0, |total, term| total + term);
    }
    let mut blocks: Vec<f32> = Vec::new();
    for block in terms.chunks(1024) {
        let mut acc = [-0.0f32; 32];
        for (at, term) in block.iter().enumerate() {
            acc[at % 32] += term;
        }
        for w in [16, 8, 4, 2, 1] {
            for l in 0..w {
                acc[l] += acc[l + w];
            }
        }
        blocks.push(acc[0]);
    }
    assert!(blocks.len() <= 4, "T is written out for at most 4 blocks");
    match blocks[..] {
        [a] => a,
        [a, b] => a + b,
        [a, b, c] => (a + b) + c,
        [a, b, c, d] => (a + b) + (c + d),
        _ => -0.0,
    }
}

#[test]
fn other_reductions_begin_at_the_identity() {
    let text = "func @f(%x: [f64; 1], %k: [i64; 1]) -> f64, f64, i64, i64, i64, i64, bool, bool, i64 {
        %n = dim 0 %x : i64
        %zero = const 0.0 : f64
        %a, %b, %c, %d, %e, %f, %g, %h, %i = for %n reduce(min f64 \"a\") reduce(max f64 \"b\") reduce(sum i64 \"c\") reduce(prod i64 \"d\")
            reduce(and i64 \"e\") reduce(xor i64 \"f\") reduce(or bool \"g\") reduce(and bool \"h\") reduce(min i64 \"i\")
            parallel : f64, f64, i64, i64, i64, i64, bool, bool, i64 { ^(%q: i64):
            %v = load %x, %q : f64
            %w = load %k, %q : i64
            %t = gt %v, %zero : bool
            send 0 %v\nsend 1 %v\nsend 2 %w\nsend 3 %w\nsend 4 %w\nsend 5 %w\nsend 6 %t\nsend 7 %t\nsend 8 %w
            yield }
        return %a, %b, %c, %d, %e, %f, %g, %h, %i }";
    use Const::{Bool, F64, I64};
    let given = |x: &[f64], k: &[i64]| vec![array_arg(x), Arg::Array(ArrayData::i64s(&[k.len() as i64], k))];
    let scalars = |outcome: Outcome| -> Vec<Const> {
        let scalar = |result: &Arg| match result {
            Arg::Scalar(constant) => *constant,
            Arg::Array(_) => panic!("a scalar"),
        };
        outcome.results.iter().map(scalar).collect()
    };
    let empty = scalars(run(text, given(&[], &[])));
    let identities = [
        F64(f64::INFINITY),
        F64(f64::NEG_INFINITY),
        I64(0),
        I64(1),
        I64(-1),
        I64(0),
        Bool(false),
        Bool(true),
        I64(i64::MAX),
    ];
    assert_eq!(empty, identities);
    let some = scalars(run(text, given(&[1.0, -2.0, 0.5], &[6, 3, i64::MAX])));
    let expected = [
        F64(-2.0),
        F64(1.0),
        I64(9i64.wrapping_add(i64::MAX)),
        I64(18i64.wrapping_mul(i64::MAX)),
        I64(2),
        I64(6 ^ 3 ^ i64::MAX),
        Bool(true),
        Bool(false),
        I64(3),
    ];
    assert_eq!(some, expected);
    assert!(matches!(scalars(run(text, given(&[1.0, f64::NAN], &[1, 1])))[0], F64(least) if least.is_nan()));
}

#[test]
fn array_reductions_add_up_by_segments() {
    let text = "func @hist(%h: [f64; 1], %x: [f64; 1], %n: i64) {
        %m = dim 0 %h : i64
        for %n array(sum %h) parallel { ^(%q: i64):
            %v = load %x, %q : f64
            %k = rem %q, %m : i64
            update sum %h, %k, %v
            %zero = const 0 : i64
            update_fma %h, %zero, %v, %v
            yield }
        return }";
    for (n, m) in [(0usize, 3usize), (5, 7), (10, 3), (1000, 3), (1000, 11), (700, 1), (300, 301)] {
        let x = noise(n);
        let begin: Vec<f64> = (0..m).map(|k| k as f64).collect();
        let mut expected = begin.clone();
        let s = (n / m).clamp(1, 64);
        for segment in 0..s {
            let mut copy = if s == 1 { expected.clone() } else { vec![-0.0; m] };
            for q in segment * n / s..(segment + 1) * n / s {
                copy[q % m] += x[q];
                copy[0] = x[q].mul_add(x[q], copy[0]);
            }
            for (own, copy) in expected.iter_mut().zip(copy) {
                *own = if s == 1 { copy } else { *own + copy };
            }
        }
        let outcome = run(text, vec![array_arg(&begin), array_arg(&x), i64_arg(n as i64)]);
        assert!(outcome.args[0].is_same(&array_arg(&expected)), "n = {n}, m = {m}");
    }
}

#[test]
fn loops_break_continue_and_return() {
    // First pair (i, j) with i * j == target, as i * 100 + j; -1 if none.
    let text = "func @find(%n: i64, %target: i64) -> i64 {
        %hundred = const 100 : i64
        %minus = const -1 : i64
        for %n { ^(%i: i64):
            for %n { ^(%j: i64):
                %p = mul %i, %j : i64
                %over = gt %p, %target : bool
                if %over { continue 1 } else { yield }
                %hit = eq %p, %target : bool
                if %hit {
                    %a = mul %i, %hundred : i64
                    %b = add %a, %j : i64
                    return %b
                } else { yield }
                yield }
            yield }
        return %minus }";
    for (target, expected) in [(12, 206), (35, 507), (11, -1), (0, 0)] {
        assert_eq!(run(text, vec![i64_arg(10), i64_arg(target)]).results, [i64_arg(expected)]);
    }
    // Two levels of break out of a while, with carried values swapped on the way.
    let text = "func @f(%n: i64) -> i64, i64 {
        %one = const 1 : i64
        %zero = const 0 : i64
        %x, %y = for %n carry(%zero, %one) : i64, i64 { ^(%i: i64, %a: i64, %b: i64):
            %c, %d = while %b, %a : i64, i64 { ^(%p: i64, %q: i64):
                %three = const 3 : i64
                %go = lt %p, %three : bool
                yield %go, %p, %q
            } do { ^(%p2: i64, %q2: i64):
                %p3 = add %p2, %one : i64
                %five = const 5 : i64
                %stop = gt %i, %five : bool
                if %stop { break 1 %p3, %q2 } else { yield }
                continue 0 %p3, %q2
            }
            yield %c, %d }
        return %x, %y }";
    // a, b = 0, 1; i = 0: p counts 1..3, (3, 0); i = 1: p = 0..3, (3, 3); from then on (3, 3).
    assert_eq!(run(text, vec![i64_arg(9)]).results, [i64_arg(3), i64_arg(3)]);
    assert_eq!(run(text, vec![i64_arg(1)]).results, [i64_arg(3), i64_arg(0)]);
    assert_eq!(run(text, vec![i64_arg(0)]).results, [i64_arg(0), i64_arg(1)]);
}

#[test]
fn carried_values_swap() {
    let text = "func @fib(%n: i64) -> i64 {
        %zero = const 0 : i64
        %one = const 1 : i64
        %a, %b = for %n carry(%zero, %one) : i64, i64 { ^(%i: i64, %x: i64, %y: i64):
            %s = add %x, %y : i64
            yield %y, %s }
        return %a }";
    assert_eq!(run(text, vec![i64_arg(50)]).results, [i64_arg(12586269025)]);
}

#[test]
fn owners_swap_and_every_array_ends() {
    // A jacobi sweep between two buffers; the first is returned, the other freed.
    let text = "func @f(%n: i64, %steps: i64) -> [f64; 1] {
        %a = alloc %n : [f64; 1]
        %b = alloc_uninit %n : [f64; 1]
        %x, %y = for %steps carry(%a, %b) : [f64; 1], [f64; 1] { ^(%t: i64, %u: [f64; 1], %v: [f64; 1]):
            for %n vectorize { ^(%i: i64):
                %e = load %u, %i : f64
                %o = const 1.0 : f64
                %r = add %e, %o : f64
                store %v, %i, %r
                yield }
            yield %v, %u }
        free %y
        return %x }";
    let outcome = run(text, vec![i64_arg(3), i64_arg(5)]);
    assert_eq!(outcome.results, [array_arg(&[5.0; 3])]);
    assert_eq!(outcome.leaked, 0);
    assert_eq!(run(&text.replace("free %y", ""), vec![i64_arg(3), i64_arg(5)]).leaked, 1);
}

#[test]
fn lanes_touch_memory_in_order_and_only_where_they_are_on() {
    let text = "func @f(%x: [f64; 1], %q: i64) -> f64, bool, bool, i64 {
        %i = iota %q : i64x4
        %n = dim 0 %x : i64
        %ns = splat %n : i64x4
        %on = lt %i, %ns : mask4
        %v = load_masked %x, %on, %i : f64x4
        %last = extract 3 %v : f64
        %any = any %on : bool
        %all = all %on : bool
        %sum = add %v, %v : f64x4
        store_masked %x, %on, %i, %sum
        %zero = const 0 : i64
        %zeros = splat %zero : i64x4
        store %x, %zeros, %v
        update sum %x, %zeros, %v
        %c = iota %q : i64x4
        %e = extract 2 %c : i64
        return %last, %any, %all, %e }";
    let outcome = run(text, vec![array_arg(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), i64_arg(3)]);
    let bools = [true, false].map(|value| Arg::Scalar(Const::Bool(value)));
    assert_eq!(outcome.results, [f64_arg(0.0), bools[0].clone(), bools[1].clone(), i64_arg(5)]);
    // The last lane's 0 is stored at 0; then 4 + 5 + 6 + 0 are added.
    assert_eq!(outcome.args[0], array_arg(&[15.0, 2.0, 3.0, 8.0, 10.0, 12.0]));
}

#[test]
fn checks_report_the_first_failure_with_its_values() {
    let text = "func @f(%x: [f64; 1], %k: [i64; 1], %d: i64) -> f64 {
        %n = dim 0 %k : i64
        %size = dim 0 %x : i64
        %s = for %n reduce(sum f64 \"s\") parallel : f64 { ^(%q: i64):
            %i = load %k, %q : i64
            print \"i = \", %i
            check bounds %i, %size, %q axis 0 array \"x\" func \"f\" indices(\"q\") at 10..14
            check nonzero %d, %q op \"%\" func \"f\" indices(\"q\") at 20..24
            %v = load %x, %i : f64
            send 0 %v
            yield }
        return %s }";
    let args = |k: &[i64], d| {
        vec![array_arg(&[1.0, 2.0]), Arg::Array(ArrayData::i64s(&[k.len() as i64], k)), i64_arg(d)]
    };
    assert_eq!(run(text, args(&[1, 0, 1], 1)).results, [f64_arg(5.0)]);
    let EvalError::Check { site, values, prints } = fail(text, args(&[1, 0, 2, -1], 1)) else {
        panic!("a check")
    };
    assert_eq!((site.span.start, values), (10, [2, 2, 2].map(Const::I64).to_vec()));
    assert_eq!(prints.len(), 3);
    assert_eq!(prints[2].parts, [Printed::Text("i = ".into()), Printed::Value(i64_arg(2))]);
    let EvalError::Check { site, values, .. } = fail(text, args(&[1, 0, -1], 0)) else { panic!("a check") };
    assert_eq!((site.span.start, values), (20, [0, 0].map(Const::I64).to_vec()));
}

#[test]
fn every_check_holds_and_fails() {
    let cases = [
        ("exponent %a", [0, 0], [-1, 0], 1),
        ("step %a", [-2, 0], [0, 0], 1),
        ("draw_range %a, %b", [1, 2], [2, 2], 2),
        ("not_empty %a of \"min\"", [1, 0], [0, 0], 1),
        ("size %a", [0, 0], [-1, 0], 1),
        ("same_size %a, %b found \"p\" wanted \"q\"", [3, 3], [3, 4], 2),
        ("bounds %a, %b axis 0 array \"x\"", [2, 3], [3, 3], 2),
        ("bounds %a, %b axis 0 array \"x\"", [0, 1], [-1, 3], 2),
        ("nonzero %a op \"//\"", [-1, 0], [0, 0], 1),
    ];
    for (check, good, bad, count) in cases {
        let text = format!("func @f(%a: i64, %b: i64) {{ check {check} func \"f\" at 0..1 return }}");
        run(&text, good.map(i64_arg).to_vec());
        let EvalError::Check { values, .. } = fail(&text, bad.map(i64_arg).to_vec()) else {
            panic!("{check}")
        };
        assert_eq!(values, bad[..count].iter().map(|&value| Const::I64(value)).collect::<Vec<_>>());
    }
    let entry = "func @f(%a: bool) { check entry %a condition \"c\" func \"f\" at 0..1 return }";
    run(entry, vec![Arg::Scalar(Const::Bool(true))]);
    assert!(matches!(fail(entry, vec![Arg::Scalar(Const::Bool(false))]), EvalError::Check { .. }));
    let unique = "func @f(%p: [i64; 1], %lo: i64, %n: i64) { check unique %p, %lo, %n array \"p\" func \"f\" at 0..1 return }";
    let given = |lo, n| vec![Arg::Array(ArrayData::i64s(&[6], &[5, 3, 7, 3, 5, 3])), i64_arg(lo), i64_arg(n)];
    run(unique, given(0, 3));
    run(unique, given(9, 0));
    let EvalError::Check { values, .. } = fail(unique, given(1, 5)) else { panic!("repeats") };
    assert_eq!(values, [2, 0].map(Const::I64));
    let EvalError::Check { values, .. } = fail(unique, given(3, 3)) else { panic!("repeats") };
    assert_eq!(values, [2, 0].map(Const::I64));
}

#[test]
fn limits_end_as_errors() {
    let forever = "func @f() { %t = const true : bool while { yield %t } do { yield } return }";
    let options = EvalOptions { max_steps: 1000, ..EvalOptions::default() };
    assert_eq!(eval_text(forever, vec![], &options).unwrap_err(), EvalError::Stopped);
    let alloc =
        "func @f(%n: i64) { for %n { ^(%i: i64): %a = alloc %n, %n : [f64; 2] free %a yield } return }";
    let options = EvalOptions { max_bytes: 800, ..EvalOptions::default() };
    eval_text(alloc, vec![i64_arg(10)], &options).unwrap();
    assert_eq!(eval_text(alloc, vec![i64_arg(11)], &options).unwrap_err(), EvalError::Memory);
    assert_eq!(eval_text(alloc, vec![i64_arg(i64::MAX)], &options).unwrap_err(), EvalError::Memory);
}

#[test]
fn long_chains_of_calls_end_well() {
    let chain = |count: usize| {
        let mut text = String::from("func @f(%x: i64) -> i64 { %y = call @f0 %x : i64 return %y }\n");
        for at in 0..count {
            text += &format!(
                "func @f{at}(%x: i64) -> i64 {{ %t = const true : bool %z = if %t : i64 {{ %y = call @f{} %x : i64 yield %y }} else {{ yield %x }} return %z }}\n",
                at + 1
            );
        }
        text + &format!("func @f{count}(%x: i64) -> i64 {{ %y = add %x, %x : i64 return %y }}")
    };
    assert_eq!(run(&chain(9_000), vec![i64_arg(4)]).results, [i64_arg(8)]);
    assert_eq!(fail(&chain(11_000), vec![i64_arg(4)]), EvalError::Stopped);
}

#[test]
fn broken_programs_are_told_apart() {
    let message = |text: &str, args| match fail(text, args) {
        EvalError::Broken(message) => message,
        other => panic!("{other}"),
    };
    let unchecked = "func @f(%x: [f64; 1], %i: i64) -> f64 { %v = load %x, %i : f64 return %v }";
    assert!(message(unchecked, vec![array_arg(&[1.0]), i64_arg(1)]).contains("out of bounds"));
    assert!(message(unchecked, vec![i64_arg(1), i64_arg(1)]).contains("do not fit"));
    let freed = "func @f(%n: i64) -> f64 { %a = alloc %n : [f64; 1] free %a %b = alloc %n : [f64; 1] %z = const 0 : i64 %v = load %a, %z : f64 return %v }";
    assert!(message(freed, vec![i64_arg(1)]).contains("after its end"));
    let tail = "func @f(%n: i64) -> f64 { %o = const 1.0 : f64 %s = for %n reduce(sum f64 \"s\") vectorize lanes 4 tail 4 : f64 { ^(%q: i64): %v = splat %o : f64x4 send 0 %v yield } tail { ^(%q.1: i64, %on: mask4): %v.1 = splat %o : f64x4 send 0 %v.1 yield } return %s }";
    assert_eq!(run(tail, vec![i64_arg(8)]).results, [f64_arg(8.0)]);
    assert!(message(tail, vec![i64_arg(7)]).contains("beyond the end"));
    assert!(message("func @f() { return } func @g() { call @g return }", vec![]).contains("calls itself"));
}

#[test]
fn outlined_loops_run_like_the_loops_they_were() {
    let text = "func @f(%x: [f64; 1], %h: [f64; 1]) -> f64, i64 {
        %n = dim 0 %x : i64
        %s, %c = run_loop 0 %n, %x, %h, %n : f64, i64
        return %s, %c }
    func @loop(%x: [f64; 1], %h: [f64; 1], %n: i64) chunk 0 {
        %s, %c = for %n reduce(sum f64 \"s\") reduce(sum i64 \"c\") array(sum %h) parallel : f64, i64 { ^(%q: i64):
            %v = load %x, %q : f64
            %one = const 1 : i64
            %zero = const 0 : i64
            send 0 %v\nsend 1 %one
            update sum %h, %zero, %v
            yield }
        return }
    loop 0 func 1 parallel scalar(sum f64 sites 1) scalar(sum i64 sites 0) array(sum f64 slot 3 rank 1) cost 1 line 1";
    let x = noise(2000);
    let terms: Vec<_> = x.iter().map(|&v| Some((v, 1.0))).collect();
    let outcome = run(text, vec![array_arg(&x), array_arg(&[0.0])]);
    let expected = ordered(&terms, |a, b| a + b, |a, _, total| total + a, -0.0);
    assert_eq!(outcome.results, [f64_arg(expected), i64_arg(2000)]);
    let mut sum = 0.0;
    for s in 0..64 {
        sum += x[s * 2000 / 64..(s + 1) * 2000 / 64].iter().fold(-0.0, |total, v| total + v);
    }
    assert_eq!(outcome.args[1], array_arg(&[sum]));
}

#[test]
fn groups_end_with_their_row_and_where_a_segment_ends() {
    // Counts how often each region runs; updates a float array of one element, so that there are segments.
    let text = "func @f(%n: i64, %m: i64, %h: [f64; 1]) -> i64, i64 {
        %zero = const 0 : i64
        %one = const 1 : i64
        %big, %small = for %n, %m reduce(sum i64 \"big\") reduce(sum i64 \"small\") array(sum %h) vectorize lanes 8 tail 2 : i64, i64 { ^(%i: i64, %j: i64):
            %ones = splat %one : i64x8
            %zeros = splat %zero : i64x8
            %js = iota %j : i64x8
            %f = convert %js : f64x8
            update sum %h, %zeros, %f
            send 0 %ones
            yield
        } tail { ^(%i.1: i64, %j.1: i64, %on: mask2):
            %ones.1 = splat %one : i64x2
            %zeros.1 = splat %zero : i64x2
            %js.1 = iota %j.1 : i64x2
            %f.1 = convert %js.1 : f64x2
            update_masked sum %h, %on, %zeros.1, %f.1
            update_fma_masked %h, %on, %zeros.1, %f.1, %f.1
            send_masked 1 %on, %ones.1
            yield
        }
        return %big, %small }";
    let outcome = run(text, vec![i64_arg(3), i64_arg(21), array_arg(&[0.5])]);
    // 63 iterations and one element are 63 segments of one iteration each: no group is whole.
    assert_eq!(outcome.results, [i64_arg(0), i64_arg(63)]);
    let row = (0..21).map(|j| f64::from(j + j * j)).sum::<f64>();
    assert_eq!(outcome.args[2], array_arg(&[0.5 + 3.0 * row]));
    // With as many elements as iterations there is one segment: rows of 21 are two groups of 8 and three pairs, the last half empty.
    let mut elements = vec![0.0; 63];
    let outcome = run(text, vec![i64_arg(3), i64_arg(21), array_arg(&elements)]);
    assert_eq!(outcome.results, [i64_arg(48), i64_arg(15)]);
    let squares = (16..21).map(|j| f64::from(j * j)).sum::<f64>();
    elements[0] = 3.0 * ((0..21).map(f64::from).sum::<f64>() + squares);
    assert_eq!(outcome.args[2], array_arg(&elements));
}

/// The programs that the IR was tried on before anything was built on it.
mod programs {
    use super::*;

    fn file(name: &str) -> &'static str {
        match name {
            "mandelbrot" => include_str!("../../../../tests/ir/mandelbrot.ir"),
            "mandelbrot_wide" => include_str!("../../../../tests/ir/mandelbrot_wide.ir"),
            "asian" => include_str!("../../../../tests/ir/asian.ir"),
            "asian_wide" => include_str!("../../../../tests/ir/asian_wide.ir"),
            "rbf" => include_str!("../../../../tests/ir/rbf.ir"),
            "rbf_wide" => include_str!("../../../../tests/ir/rbf_wide.ir"),
            "matmul" => include_str!("../../../../tests/ir/matmul.ir"),
            "matmul_wide" => include_str!("../../../../tests/ir/matmul_wide.ir"),
            _ => panic!("no program {name}"),
        }
    }

    /// Runs both forms of a program, after their text has been printed and read again; they must agree to the bit.
    fn both(name: &str, args: Vec<Arg>, options: &EvalOptions) -> Outcome {
        let outcomes = [file(name), file(&format!("{name}_wide"))].map(|text| {
            let program = parse(text).unwrap();
            let printed = print_func(&program, FuncId(0));
            let without_comment = text.lines().skip(1).map(|line| format!("{line}\n")).collect::<String>();
            assert_eq!(printed, without_comment, "{name} is not written as it prints");
            eval_text(&printed, args.clone(), options).unwrap()
        });
        let [scalar, wide] = outcomes;
        let same = |a: &[Arg], b: &[Arg]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is_same(b));
        assert!(same(&scalar.results, &wide.results) && same(&scalar.args, &wide.args), "{name}");
        assert_eq!((scalar.leaked, wide.leaked), (0, 0));
        scalar
    }

    #[test]
    fn mandelbrot_counts_escapes() {
        let points: Vec<(f64, f64)> =
            (0..21 * 13).map(|p| (-2.1 + 0.14 * f64::from(p % 21), -1.2 + 0.2 * f64::from(p / 21))).collect();
        let (cx, cy): (Vec<f64>, Vec<f64>) = points.iter().copied().unzip();
        let n = points.len() as i64;
        let count = |&(x0, y0): &(f64, f64)| {
            let (mut x, mut y) = (0.0, 0.0);
            for k in 0..60 {
                if x * x + y * y > 4.0 {
                    return k;
                }
                (x, y) = (x * x - y * y + x0, (x * y + x * y) + y0);
            }
            60
        };
        let expected: Vec<i64> = points.iter().map(count).collect();
        assert!(expected.contains(&60) && expected.contains(&1));
        let zeros = Arg::Array(ArrayData::i64s(&[n], &vec![0; n as usize]));
        let outcome = both(
            "mandelbrot",
            vec![array_arg(&cx), array_arg(&cy), zeros, i64_arg(60)],
            &EvalOptions::default(),
        );
        assert_eq!(outcome.args[2], Arg::Array(ArrayData::i64s(&[n], &expected)));
    }

    #[test]
    fn asian_option_sums_payoffs_of_its_streams() {
        let (steps, drift, vol, strike) = (6, -1.0, 0.02, 90.0);
        for paths in [0, 1, 5, 32, 33, 1030] {
            let options = EvalOptions { seed: 42, ..EvalOptions::default() };
            let args = vec![i64_arg(paths), i64_arg(steps), f64_arg(drift), f64_arg(vol), f64_arg(strike)];
            let outcome = both("asian", args, &options);
            let (key, _) = draw_block(Generator::Philox, 2, 42, 0, 0);
            let uniform =
                |word: u64| f64::from_bits(word >> 12 | 0x3ff0_0000_0000_0000) - (1.0 - 2f64.powi(-53));
            let payoff = |path: u64| {
                let (mut s, mut total) = (100.0, 0.0);
                for t in 0..steps as u64 {
                    let (low, high) = draw_block(Generator::Philox, 0, key, path, t);
                    let z = (uniform(low) + uniform(high) - 1.0) * 6f64.sqrt();
                    let g = vol.mul_add(z, drift);
                    s *= g.mul_add(g, 1.0);
                    total += s;
                }
                (total / steps as f64 - strike).max(0.0)
            };
            let terms: Vec<_> = (0..paths as u64).map(|path| Some((payoff(path), 1.0))).collect();
            let expected = ordered(&terms, |a, b| a + b, |a, _, total| total + a, -0.0);
            assert!(
                outcome.results[0].is_same(&f64_arg(expected)),
                "{paths}: {:?} {expected}",
                outcome.results
            );
            assert!(paths == 0 || expected > 0.0);
        }
    }

    #[test]
    fn rbf_fills_the_kernel_matrix() {
        for (n, m) in [(3usize, 11usize), (1, 4), (2, 3), (0, 5), (4, 0)] {
            let (a, b) = (noise(n), noise(m));
            let outcome =
                both("rbf", vec![array_arg(&a), array_arg(&b), f64_arg(0.75)], &EvalOptions::default());
            let element = |at: usize| {
                let d = a[at / m] - b[at % m];
                let e = -0.75 * (d * d);
                e.mul_add(e, 1.0)
            };
            let expected: Vec<f64> = (0..n * m).map(element).collect();
            assert!(
                outcome.results[0].is_same(&Arg::Array(ArrayData::f64s(&[n as i64, m as i64], &expected)))
            );
        }
    }

    #[test]
    fn matmul_tiles_keep_the_chain() {
        for (n, k, m) in [(6usize, 7usize, 19usize), (2, 1, 8), (4, 0, 3), (2, 3, 1)] {
            let all = noise(n * k + k * m + n * m);
            let (a, rest) = all.split_at(n * k);
            let (b, c) = rest.split_at(k * m);
            let matrix = |rows: usize, columns: usize, elements: &[f64]| {
                Arg::Array(ArrayData::f64s(&[rows as i64, columns as i64], elements))
            };
            let args = vec![matrix(n, k, a), matrix(k, m, b), matrix(n, m, c)];
            let outcome = both("matmul", args, &EvalOptions::default());
            let element = |at: usize| {
                (0..k).fold(c[at], |sum, inner| a[at / m * k + inner].mul_add(b[inner * m + at % m], sum))
            };
            let expected: Vec<f64> = (0..n * m).map(element).collect();
            assert!(outcome.args[2].is_same(&matrix(n, m, &expected)), "{n} {k} {m}");
        }
    }
}

#[test]
fn reduce_identities_are_those_of_the_contract() {
    use ReduceOp::*;
    for op in [Sum, Prod, Min, Max, And, Or, Xor] {
        for scalar in Scalar::ALL {
            let is_sensible = reduce_function(op, scalar).is_some();
            if is_sensible {
                assert_eq!(
                    reduce_identity(op, scalar),
                    kiln_abi::identity(op, crate::ir::kind_of(scalar)),
                    "{op:?} {scalar}"
                );
            }
        }
    }
}
