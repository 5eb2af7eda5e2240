//! Text to IR text for the shape, text to the oracle's value for the meaning.

use crate::ir::{self, Arg, ArrayData, EvalError, EvalOptions, Outcome};
use kiln_lang::span::SourceId;
use kiln_lang::tree::{self, Const};
use kiln_lang::types::{Scalar, Type};

/// The typed tree of `f`, called with these types.
fn typed(text: &str, args: &[Type]) -> tree::Program {
    let source = SourceId::default();
    let (module, mistakes) = kiln_lang::parse(source, text);
    assert!(mistakes.is_empty(), "{mistakes:?}\n{text}");
    let checked =
        kiln_lang::resolve::resolve(module, source).unwrap_or_else(|found| panic!("{found:?}\n{text}"));
    kiln_lang::infer::infer(&checked, "f", args).unwrap_or_else(|found| panic!("{found:?}\n{text}"))
}

fn lowered(text: &str, args: &[Type]) -> ir::Program {
    let program = super::lower(&typed(text, args)).unwrap_or_else(|found| panic!("{found:?}\n{text}"));
    ir::verify(&program).unwrap_or_else(|broken| panic!("{broken}\n{text}\n{}", ir::print(&program)));
    program
}

fn type_of(arg: &Arg) -> Type {
    match arg {
        Arg::Scalar(constant) => Type::Scalar(match constant {
            Const::Bool(_) => Scalar::Bool,
            Const::I32(_) => Scalar::I32,
            Const::I64(_) => Scalar::I64,
            Const::U32(_) => Scalar::U32,
            Const::U64(_) => Scalar::U64,
            Const::F32(_) => Scalar::F32,
            Const::F64(_) => Scalar::F64,
        }),
        Arg::Array(array) => Type::array(array.elem, array.dims.len()),
    }
}

fn eval(text: &str, args: &[Arg]) -> Result<Outcome, EvalError> {
    let types: Vec<Type> = args.iter().map(type_of).collect();
    ir::eval(&lowered(text, &types), args.to_vec(), &EvalOptions::default())
}

fn run(text: &str, args: &[Arg]) -> Outcome {
    let outcome = eval(text, args).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(outcome.leaked, 0, "arrays are lost in\n{text}");
    outcome
}

fn value(text: &str, args: &[Arg]) -> Const {
    match run(text, args).results.as_slice() {
        [Arg::Scalar(value)] => *value,
        other => panic!("{other:?} is not one scalar"),
    }
}

fn int(text: &str, args: &[i64]) -> i64 {
    let args: Vec<Arg> = args.iter().map(|&arg| Arg::Scalar(Const::I64(arg))).collect();
    match value(text, &args) {
        Const::I64(value) => value,
        other => panic!("{other:?} is no i64"),
    }
}

fn float(text: &str, args: &[Arg]) -> f64 {
    match value(text, args) {
        Const::F64(value) => value,
        other => panic!("{other:?} is no f64"),
    }
}

fn i(value: i64) -> Arg {
    Arg::Scalar(Const::I64(value))
}

fn x(value: f64) -> Arg {
    Arg::Scalar(Const::F64(value))
}

/// The check that failed, and its values.
fn failure(text: &str, args: &[Arg]) -> (ir::CheckKind, Vec<i64>, Vec<String>) {
    match eval(text, args) {
        Err(EvalError::Check { site, values, .. }) => {
            let values = values.iter().map(|value| match value {
                Const::I64(value) => *value,
                Const::I32(value) => i64::from(*value),
                other => panic!("{other:?} in a check"),
            });
            (site.kind, values.collect(), site.indices.iter().map(|name| name.to_string()).collect())
        }
        other => panic!("{other:?} instead of a failed check"),
    }
}

/// The titles of the diagnostics.
fn refused(text: &str, args: &[Type]) -> Vec<String> {
    match super::lower(&typed(text, args)) {
        Err(found) => found.into_iter().map(|diagnostic| diagnostic.title).collect(),
        Ok(program) => panic!("accepted:\n{}", ir::print(&program)),
    }
}

const I64: Type = Type::Scalar(Scalar::I64);

// ---- shape ----

#[track_caller]
fn expect_ir(text: &str, args: &[Type], wanted: &str) {
    let found = ir::print(&lowered(text, args));
    assert_eq!(found.trim(), wanted.trim(), "\n{found}");
}

#[test]
fn an_annotated_sum_is_a_reduction_and_a_plain_one_is_carried() {
    expect_ir(
        "fn f(x: [f64; n]) -> f64 { var s = 0.0; @parallel for i in 0..n { s += x[i] }; return s }",
        &[Type::array(Scalar::F64, 1)],
        r#"
func @f(%x: [f64; 1]) -> f64 {
  %n = dim 0 %x : i64
  %s.2 = const 0.0 : f64
  %3 = for %n reduce(sum f64 "s") parallel : f64 { ^(%i: i64):
    %5 = dim 0 %x : i64
    check bounds %i, %5, %i axis 0 array "x" func "f" indices("i") at 73..74
    %6 = load %x, %i : f64
    send 0 %6
    yield
  }
  %s.7 = add %s.2, %3 : f64
  return %s.7
}
"#,
    );
    expect_ir(
        "fn f(x: [f64; n]) -> f64 { var s = 0.0; for i in 0..n { s += x[i] * x[i] }; return s }",
        &[Type::array(Scalar::F64, 1)],
        r#"
func @f(%x: [f64; 1]) -> f64 {
  %n = dim 0 %x : i64
  %s.2 = const 0.0 : f64
  %s.3 = for %n carry(%s.2) : f64 { ^(%i: i64, %s.5: f64):
    %6 = dim 0 %x : i64
    check bounds %i, %6, %i axis 0 array "x" func "f" indices("i") at 63..64
    %7 = load %x, %i : f64
    %8 = dim 0 %x : i64
    check bounds %i, %8, %i axis 0 array "x" func "f" indices("i") at 70..71
    %9 = load %x, %i : f64
    %s.10 = fma %7, %9, %s.5 : f64
    yield %s.10
  }
  return %s.3
}
"#,
    );
}

#[test]
fn an_inner_loop_sends_one_total() {
    expect_ir(
        "fn f(n: i64) -> f64 { var s = 1.0; @parallel for i in 0..n { for j in i+1..n { s += j } }; return s }",
        &[I64],
        r#"
func @f(%n: i64) -> f64 {
  %s.1 = const 1.0 : f64
  %2 = const 0 : i64
  %3 = max %n, %2 : i64
  %4 = for %3 reduce(sum f64 "s") parallel : f64 { ^(%i: i64):
    %6 = const 1 : i64
    %7 = add %i, %6 : i64
    %8 = max %n, %7 : i64
    %9 = sub %8, %7 : i64
    %10 = const -0.0 : f64
    %s.11 = for %9 carry(%10) : f64 { ^(%12: i64, %s.13: f64):
      %j = add %7, %12 : i64
      %15 = convert %j : f64
      %s.16 = add %s.13, %15 : f64
      yield %s.16
    }
    send 0 %s.11
    yield
  }
  %s.17 = add %s.1, %4 : f64
  return %s.17
}
"#,
    );
}

#[test]
fn cheap_choices_are_selects() {
    expect_ir(
        "fn f(x: f64, m: f64) -> f64 { var m = m; if x > m { m = x }; return if m < 0 { -m } else { m } }",
        &[Type::Scalar(Scalar::F64), Type::Scalar(Scalar::F64)],
        r#"
func @f(%x: f64, %m.1: f64) -> f64 {
  %2 = gt %x, %m.1 : bool
  %m.3 = select %2, %x, %m.1 : f64
  %4 = const 0.0 : f64
  %5 = lt %m.3, %4 : bool
  %6 = neg %m.3 : f64
  %7 = select %5, %6, %m.3 : f64
  return %7
}
"#,
    );
}

#[test]
fn a_branch_merges_only_what_differs() {
    expect_ir(
        "fn f(n: i64) -> i64 { var a = 0; var b = 0; while a < n { a += 1; if a == 3 { b = 1; break } else { b = a } }; return a + b }",
        &[I64],
        r#"
func @f(%n: i64) -> i64 {
  %a.1 = const 0 : i64
  %b.2 = const 0 : i64
  %a.3, %b.4 = while %a.1, %b.2 : i64, i64 { ^(%a.5: i64, %b.6: i64):
    %9 = lt %a.5, %n : bool
    yield %9, %a.5, %b.6
  } do { ^(%a.7: i64, %b.8: i64):
    %10 = const 1 : i64
    %a.11 = add %a.7, %10 : i64
    %12 = const 3 : i64
    %13 = eq %a.11, %12 : bool
    %b.14 = if %13 : i64 {
      %b.15 = const 1 : i64
      break 0 %a.11, %b.15
    } else {
      yield %a.11
    }
    yield %a.11, %b.14
  }
  %16 = add %a.3, %b.4 : i64
  return %16
}
"#,
    );
}

// ---- values ----

#[test]
fn ranges_count_exactly() {
    let up =
        "fn f(a: i64, b: i64) -> i64 { var c = 0; for i in a..b { c += 1; if c > 9 { break } }; return c }";
    let closed =
        "fn f(a: i64, b: i64) -> i64 { var c = 0; for i in a..=b { c += 1; if c > 9 { break } }; return c }";
    let steps = "fn f(a: i64, b: i64, s: i64) -> i64 { var c = 0; for i in a..b step s { c += 1; if c > 9 { break } }; return c }";
    let closed_steps = "fn f(a: i64, b: i64, s: i64) -> i64 { var c = 0; for i in a..=b step s { c += 1; if c > 9 { break } }; return c }";
    let (least, most) = (i64::MIN, i64::MAX);
    for (a, b) in [
        (0, 5),
        (5, 0),
        (3, 3),
        (-2, 2),
        (least, most),
        (most, least),
        (most - 2, most),
        (least, least + 3),
        (-1, most),
    ] {
        let count = |closed: bool| (i128::from(b) - i128::from(a) + i128::from(closed)).clamp(0, 10) as i64;
        assert_eq!(int(up, &[a, b]), count(false), "{a}..{b}");
        assert_eq!(int(closed, &[a, b]), count(true), "{a}..={b}");
        for step in [1, 2, 3, -1, -2, -7, most, least] {
            let (mut half_open, mut inclusive, mut at) = (0, 0, i128::from(a));
            let goes = |at: i128, end: i128| if step > 0 { at < end } else { at > end };
            for _ in 0..10 {
                half_open += i64::from(goes(at, b.into()));
                inclusive += i64::from(goes(at, b.into()) || at == i128::from(b));
                at += i128::from(step);
            }
            assert_eq!(int(steps, &[a, b, step]), half_open, "{a}..{b} step {step}");
            assert_eq!(int(closed_steps, &[a, b, step]), inclusive, "{a}..={b} step {step}");
        }
    }
}

#[test]
fn ranges_with_literal_bounds_and_steps_count_exactly() {
    let sum = |range: &str| {
        let text = format!(
            "fn f(n: i64) -> i64 {{ var s = 0; for i in {range} {{ s = 100 * s + i + 1 }}; return s }}"
        );
        move |n: i64| int(&text, &[n])
    };
    assert_eq!(sum("0..n")(3), 1_02_03);
    assert_eq!(sum("0..n")(-3), 0);
    assert_eq!(sum("0..=n")(2), 1_02_03);
    assert_eq!(sum("1..n")(0), 0);
    assert_eq!(sum("0..n step 2")(5), 1_03_05);
    assert_eq!(sum("0..n step 2")(0), 0);
    assert_eq!(sum("n..0 step -1")(3), 4_03_02);
    assert_eq!(sum("n..=0 step -1")(2), 3_02_01);
    assert_eq!(sum("n-1..-1 step -2")(4), 4_02);
    assert_eq!(
        sum("9223372036854775806..=n")(i64::MAX),
        100i64.wrapping_mul(i64::MAX).wrapping_add(i64::MIN)
    );
    let ends =
        "fn f(n: i64) -> i64 { var c = 0; for i in 0..=n step 9223372036854775807 { c += 1 }; return c }";
    assert_eq!(int(ends, &[i64::MAX]), 2);
}

#[test]
fn loops_carry_break_continue_and_return() {
    let collatz = "fn f(n: i64) -> i64 { var x = n; var c = 0; while x != 1 { if x % 2 == 0 { x //= 2 } else { x = 3*x + 1 }; c += 1 }; return c }";
    assert_eq!(int(collatz, &[27]), 111);
    let search = "fn f(n: i64) -> i64 {
        for i in 2..n {
            var k = 0
            for j in 1..=i { if i % j != 0 { continue }; k += j; if k > 2 * i { break } }
            if k == 2 * i { return i }
        }
        return -1
    }";
    assert_eq!(int(search, &[100]), 6);
    assert_eq!(int(search, &[6]), -1);
    let endless =
        "fn f(n: i64) -> i64 { var i = n; while true { if i > 10 { return i }; i += 3 }; return -1 }";
    assert_eq!(int(endless, &[0]), 12);
    let arms = "fn f(n: i64) -> i64 { if n < 0 { return -1 } else if n == 0 { return 0 } else { return 1 } }";
    assert_eq!([-5, 0, 5].map(|n| int(arms, &[n])), [-1, 0, 1]);
    let shadows = "fn f(n: i64) -> i64 { let a = n; { let a = a + 1; { let a = a * 2; if a > 4 { return a } } }; return a }";
    assert_eq!([1, 2].map(|n| int(shadows, &[n])), [1, 6]);
}

#[test]
fn a_condition_evaluates_what_it_needs() {
    let safe = "fn f(n: i64) -> i64 { if n != 0 and 10 // n > 2 { return 1 }; return 0 }";
    assert_eq!([0, 3, 4].map(|n| int(safe, &[n])), [0, 1, 0]);
    let chain = "fn f(n: i64) -> i64 { if 0 < n < 10 // n < 100 { return 1 }; return 0 }";
    assert_eq!([0, 2, 5].map(|n| int(chain, &[n])), [0, 1, 0]);
    let either = "fn f(n: i64) -> i64 { if n == 0 or 10 % n == 0 { return 1 }; return 0 }";
    assert_eq!([0, 3, 5].map(|n| int(either, &[n])), [1, 0, 1]);
    let assigns = "fn f(n: i64) -> i64 { var c = 0; let b = n > 0 and { c = 10 // n; c > 2 }; if b { c += 100 }; return c }";
    assert_eq!([0, 2, 5].map(|n| int(assigns, &[n])), [0, 105, 2]);
}

#[test]
fn powers_and_floors_follow_the_rules() {
    let power = "fn f(b: i64, e: i64) -> i64 { return b ** e }";
    assert_eq!(int(power, &[3, 13]), 1_594_323);
    assert_eq!(int(power, &[-7, 0]), 1);
    assert_eq!(int(power, &[3, 64]), 3i64.wrapping_pow(64));
    assert_eq!(failure(power, &[i(2), i(-1)]).0, ir::CheckKind::Exponent);
    assert_eq!(float("fn f(x: f64) -> f64 { return x ** 11 }", &[x(1.1)]), {
        let x1 = 1.1f64;
        let x2 = x1 * x1;
        let x8 = (x2 * x2) * (x2 * x2);
        x1 * x2 * x8
    });
    assert_eq!(float("fn f(x: f64) -> f64 { return x ** -3 }", &[x(1.1)]), 1.0 / (1.1 * (1.1 * 1.1)));
    assert_eq!(
        float("fn f(a: f64, b: f64) -> f64 { return a // b + 100 * (a % b) }", &[x(-7.0), x(2.0)]),
        -4.0 + 100.0
    );
    let ints = "fn f(a: i64, b: i64) -> i64 { return a // b * 1000 + a % b }";
    assert_eq!(int(ints, &[-7, 2]), -3999);
    assert_eq!(int("fn f(a: i64, b: i64) -> i64 { return a // b + a % b }", &[i64::MIN, -1]), i64::MIN);
    assert_eq!(failure(ints, &[i(1), i(0)]).0, ir::CheckKind::NonZero { op: "//" });
}

#[test]
fn small_functions_follow_the_rules() {
    let sign = "fn f(x: f64) -> f64 { return sign(x) }";
    assert_eq!(float(sign, &[x(-3.0)]), -1.0);
    assert!(float(sign, &[x(-0.0)]).is_sign_negative());
    assert!(float(sign, &[x(f64::NAN)]).is_nan());
    assert_eq!(int("fn f(a: i64) -> i64 { return sign(a) * 10 + clamp(a, -2, 5) }", &[-9]), -12);
    let bits = "fn f(x: f64) -> u64 { return bits(x) }";
    assert_eq!(value(bits, &[x(-f64::NAN)]), Const::U64(0x7ff8_0000_0000_0000));
    assert_eq!(value(bits, &[x(1.0)]), Const::U64(1.0f64.to_bits()));
    let kinds = "fn f(x: f64) -> i64 { return i64(isnan(x)) + 2 * i64(isinf(x)) + 4 * i64(isfinite(x)) }";
    let found = [f64::NAN, f64::NEG_INFINITY, 0.0].map(|argument| value(kinds, &[x(argument)]));
    assert_eq!(found, [Const::I64(1), Const::I64(2), Const::I64(4)]);
}

#[test]
fn generators_reduce() {
    assert_eq!(int("fn f(n: i64) -> i64 { return sum(i * j for i in 0..n, j in 0..n if i != j) }", &[4]), 22);
    assert_eq!(int("fn f(n: i64) -> i64 { return prod(i for i in 1..=n) }", &[5]), 120);
    assert_eq!(int("fn f(n: i64) -> i64 { return min((i - 3) ** 2 - 1 for i in 0..n) }", &[9]), -1);
    assert_eq!(int("fn f(n: i64) -> i64 { return max(i % 4 for i in 0..n if i < 3) }", &[9]), 2);
    assert_eq!(float("fn f(n: i64) -> f64 { return mean(i for i in 0..n if i % 2 == 0) }", &[i(7)]), 3.0);
    assert!(float("fn f(n: i64) -> f64 { return mean(i for i in 0..n) }", &[i(0)]).is_nan());
    assert!(float("fn f(n: i64) -> f64 { return sum(f64(i) for i in 0..n) }", &[i(0)]).is_sign_positive());
    assert_eq!(
        value("fn f(n: i64) -> bool { return any(i == 3 for i in 0..n) }", &[i(3)]),
        Const::Bool(false)
    );
    assert_eq!(value("fn f(n: i64) -> bool { return all(i < 3 for i in 0..n) }", &[i(0)]), Const::Bool(true));
    let nothing = "fn f(n: i64) -> i64 { return min(i for i in 0..n if i > 5) }";
    assert_eq!(failure(nothing, &[i(3)]).0, ir::CheckKind::NotEmpty { of: "min" });
}

#[test]
fn argmin_and_argmax_take_the_first_and_nan() {
    let nan = f64::NAN;
    let least = "fn f(x: [f64; n]) -> i64 { return argmin(x[i] for i in 0..n) }";
    let most = "fn f(x: [f64; n]) -> i64 { return argmax(x[i] for i in 0..n if x[i] != 3) }";
    let array = |elements: &[f64]| [Arg::Array(ArrayData::f64s(&[elements.len() as i64], elements))];
    assert_eq!(value(least, &array(&[2.0, 1.0, 1.0])), Const::I64(1));
    assert_eq!(value(least, &array(&[2.0, nan, 1.0, nan])), Const::I64(1));
    assert_eq!(value(most, &array(&[2.0, 3.0, 2.0])), Const::I64(0));
    assert_eq!(
        failure(most, &array(&[3.0, 3.0])),
        (ir::CheckKind::NotEmpty { of: "argmax" }, vec![0], vec![])
    );
    assert_eq!(failure(least, &array(&[])).0, ir::CheckKind::NotEmpty { of: "argmin" });
}

#[test]
fn float_reductions_keep_the_order_of_the_language() {
    // 33 terms: accumulator 0 takes terms 0 and 32, then the fold.
    let text = "fn f(x: [f64; n]) -> f64 { var s = 10.0; @parallel for i in 0..n { if i != 1 { s += x[i] } }; return s }";
    let terms: Vec<f64> = (0..33).map(|k| 1.0 / f64::from(k + 1)).collect();
    let mut lanes = [-0.0f64; 32];
    for (q, term) in terms.iter().enumerate().filter(|&(q, _)| q != 1) {
        lanes[q % 32] += term;
    }
    for width in [16, 8, 4, 2, 1] {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
    }
    let found = float(text, &[Arg::Array(ArrayData::f64s(&[33], &terms))]);
    assert_eq!(found, 10.0 + lanes[0]);
}

#[test]
fn inner_loops_of_any_kind_send_one_total() {
    let plain = "fn f(n: i64) -> i64 { var s = 5; @parallel for i in 0..n { s += 1; for j in 0..i { if j == 3 { break }; s += j } }; return s }";
    assert_eq!(int(plain, &[6]), 5 + 6 + (1 + 3 + 3 + 3));
    let whiles = "fn f(n: i64) -> i64 { var s = 0; @parallel for i in 0..n { var j = 0; while j < i { s += j; j += 1 } }; return s }";
    assert_eq!(int(whiles, &[5]), 1 + 3 + 6);
    let both = "fn f(n: i64) -> i64 { var m = -1; @parallel for i in 0..n { for k in 0..2 { @vectorize for j in 0..n { m max= i * j - k } } }; return m }";
    assert_eq!(int(both, &[5]), 16);
    let inside = "fn f(n: i64) -> i64 { var s = 1; for k in 0..3 { s *= 2; @parallel for i in 0..n { s += i } }; return s }";
    assert_eq!(int(inside, &[3]), 2 * (2 * (2 + 3) + 3) + 3);
}

#[test]
fn arrays_are_owned_swapped_copied_and_freed_on_every_path() {
    let turns = "fn f(n: i64, k: i64) -> i64 {
        var a = zeros(i64, n)
        var b = ones(i64, n)
        for t in 0..k {
            let c = copy(a)
            if t == 2 { continue }
            if t == 5 { break }
            if t == 3 and n == 3 { return -1 }
            for i in 0..n { b[i] = c[i] + t }
            a, b = b, a
        }
        return a[0] + sum(b)
    }";
    assert_eq!(int(turns, &[2, 4]), 4 + 2);
    assert_eq!(int(turns, &[2, 9]), 8 + 2 * 4);
    assert_eq!(int(turns, &[3, 9]), -1);
    let returned =
        "fn g(n: i64) -> [i64; n] { let a = arange(n); if n > 3 { return a }; return full(i64, 7, n) }
        fn f(n: i64) -> i64 { let a = g(n); let b = a; return sum(b) + g(2)[1] + len(g(n)) }";
    assert_eq!(int(returned, &[5]), 10 + 7 + 5);
    let pair = "fn g(n: i64) { let a = ones(n); return a, copy(a) }
        fn f(n: i64) -> f64 { var a, b = g(n); a[0] = 5; return a[0] + b[0] }";
    assert_eq!(float(pair, &[i(3)]), 6.0);
    let filled = "fn f(n: i64) -> f64 { let a = linspace(2.0, 3.0, n); return a[0] + 10 * a[n - 1] + 100 * a[n // 2] }";
    assert_eq!(float(filled, &[i(5)]), 2.0 + 30.0 + 250.0);
    assert_eq!(float(filled, &[i(1)]), 222.0);
    let steps = "fn f(n: i64) -> f64 { return sum(arange(0.5, f64(n), 0.75)) }";
    assert_eq!(float(steps, &[i(2)]), 0.5 + 1.25);
}

#[test]
fn arrays_of_the_caller_are_written_and_returned_as_copies() {
    let text = "fn g(x: mut [f64; n], k: i64) { x[k] = 1; x[k] *= 3; x[k] //= 2 }
        fn f(x: mut [f64; n]) -> [f64; n] { for i in 1..n { g(x, i) }; x[0] += x[1] * 2; x[2] max= 5; return copy(x) }";
    let outcome = run(text, &[Arg::Array(ArrayData::f64s(&[3], &[7.0, 8.0, 9.0]))]);
    let wanted = Arg::Array(ArrayData::f64s(&[3], &[9.0, 1.0, 5.0]));
    assert!(outcome.args[0].is_same(&wanted) && outcome.results[0].is_same(&wanted), "{outcome:?}");
}

#[test]
fn tuples_travel_as_their_elements() {
    let text = "fn pair(a: i64, b: f64) { return a + 1, (b, a < 2) }
        fn f(n: i64) -> f64 {
        var t = pair(n, 0.5)
        for i in 0..n { if t.1.1 { t = pair(t.0, t.1.0 + 1) } }
        let a, b = t
        return a * 100 + b.0 + f64(b.1)
    }";
    assert_eq!(float(text, &[i(1)]), 301.5);
    assert_eq!(float(text, &[i(0)]), 101.5);
}

#[test]
fn print_takes_texts_and_values_apart() {
    let outcome = run("fn f(n: i64) -> i64 { print(\"n =\", n, (n, 0.5)); return n }", &[i(3)]);
    let parts = &outcome.prints[0].parts;
    let text = |text: &str| ir::Printed::Text(text.into());
    let value = ir::Printed::Value;
    assert_eq!(
        *parts,
        [text("n = "), value(i(3)), text(" ("), value(i(3)), text(", "), value(x(0.5)), text(")\n")]
    );
}

#[test]
fn fast_is_marked_where_it_reaches() {
    let text = "fn f(x: f64) -> f64 { var y = x * x; @fast { y = y + x; y = y * x }; return y - x }";
    let program = lowered(text, &[Type::Scalar(Scalar::F64)]);
    let fast: Vec<(&str, bool)> = program.funcs[0].ops.iter().map(|op| (op.code.name(), op.fast)).collect();
    assert_eq!(fast, [("mul", false), ("add", true), ("mul", true), ("sub", false)]);
}

#[test]
fn checks_name_the_loops_around_them() {
    let text = "fn f(x: [f64; n, m], k: i64) -> f64 {
        var s = 0.0
        for i in 2..k, j in 0..3 { for t in 0..2 { s += x[i - 2, j + t] } }
        return s
    }";
    let array = Arg::Array(ArrayData::f64s(&[2, 3], &[1.0; 6]));
    let (kind, values, names) = failure(text, &[array, i(9)]);
    assert_eq!(kind, ir::CheckKind::Bounds { array: "x".into(), axis: 1 });
    assert_eq!(values, [3, 3, 2, 2, 1]);
    assert_eq!(names, ["i", "j", "t"]);
}

#[test]
fn an_assignment_evaluates_its_right_side_first() {
    let text = "fn f(x: [i64; n], k: i64) -> i64 { var a = zeros(i64, 3); a[k] = x[k + 1]; return a[0] }";
    let array = || Arg::Array(ArrayData::i64s(&[3], &[1, 2, 3]));
    assert_eq!(
        failure(text, &[array(), i(3)]),
        (ir::CheckKind::Bounds { array: "x".into(), axis: 0 }, vec![4, 3], vec![])
    );
    let all_indices_first =
        "fn f(x: [i64; n], k: i64) -> i64 { var a = zeros(i64, 3, 3); return a[k, x[k]] }";
    assert_eq!(
        failure(all_indices_first, &[array(), i(3)]).0,
        ir::CheckKind::Bounds { array: "x".into(), axis: 0 }
    );
}

#[test]
fn sizes_are_compared_at_the_door() {
    let text = "fn f(x: [f64; n], y: [f64; n], z: [f64; n+1, 2]) -> i64 { return n }";
    let array =
        |dims: &[i64]| Arg::Array(ArrayData::f64s(dims, &vec![0.0; dims.iter().product::<i64>() as usize]));
    assert_eq!(value(text, &[array(&[3]), array(&[3]), array(&[4, 2])]), Const::I64(3));
    let (kind, values, _) = failure(text, &[array(&[3]), array(&[2]), array(&[4, 2])]);
    assert_eq!(values, [2, 3]);
    let wanted = ir::CheckKind::SameSize {
        found: "size of `y` along axis 0".into(),
        wanted: "`n` = size of `x` along axis 0".into(),
    };
    assert_eq!(kind, wanted);
    let (kind, values, _) = failure(text, &[array(&[3]), array(&[3]), array(&[3, 2])]);
    assert_eq!(values, [3, 4]);
    let wanted = ir::CheckKind::SameSize {
        found: "size of `z` along axis 0".into(),
        wanted: "`n` + 1, with `n` = size of `x` along axis 0".into(),
    };
    assert_eq!(kind, wanted);
    let result = "fn f(x: [f64; n], k: i64) -> [f64; n] { return zeros(k) }";
    let (kind, values, _) = failure(result, &[array(&[3]), i(2)]);
    assert_eq!(values, [2, 3]);
    let wanted = ir::CheckKind::SameSize {
        found: "size of the result along axis 0".into(),
        wanted: "`n` = size of `x` along axis 0".into(),
    };
    assert_eq!(kind, wanted);
    assert_eq!(failure("fn f(n: i64) -> i64 { return len(zeros(n)) }", &[i(-1)]).0, ir::CheckKind::Size);
}

#[test]
fn unique_is_tested_where_the_loop_reads() {
    let text = "fn f(p: [i64; n], k: i64) -> i64 {
        var y = zeros(i64, 10)
        @parallel @unique(p) for i in 1..k { y[p[i]] = i }
        return sum(y)
    }";
    let array = || Arg::Array(ArrayData::i64s(&[6], &[3, 3, 5, 7, 5, 1]));
    assert_eq!(value(text, &[array(), i(4)]), Const::I64(6));
    let (kind, values, _) = failure(text, &[array(), i(6)]);
    assert_eq!((kind, values), (ir::CheckKind::Unique { array: "p".into() }, vec![3, 1]));
    let elsewhere = text.replace("p[i]]", "p[i - 1]]");
    let (_, values, _) = failure(&elsewhere, &[array(), i(4)]);
    assert_eq!(values, [1, 0]);
}

// ---- random numbers, against a transcription of SEMANTICS section 6 ----

/// Philox4x32-10 of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
fn philox(kind: u64, key: u64, index: u64, block: u64) -> (u64, u64) {
    let (mut k0, mut k1) = (key as u32, (key >> 32) as u32);
    let mut c = [index as u32, (index >> 32) as u32, block as u32, (kind << 28 | block >> 32) as u32];
    for _ in 0..10 {
        let (p0, p1) = (u64::from(c[0]) * 0xd251_1f53, u64::from(c[2]) * 0xcd9e_8d57);
        c = [(p1 >> 32) as u32 ^ c[1] ^ k0, p1 as u32, (p0 >> 32) as u32 ^ c[3] ^ k1, p0 as u32];
        (k0, k1) = (k0.wrapping_add(0x9e37_79b9), k1.wrapping_add(0xbb67_ae85));
    }
    (u64::from(c[0]) | u64::from(c[1]) << 32, u64::from(c[2]) | u64::from(c[3]) << 32)
}

/// A stream as the text has it.
#[derive(Clone, Copy)]
struct Stream {
    key: u64,
    index: u64,
    uniforms: u64,
    children: u64,
}

impl Stream {
    fn new(key: u64, index: u64) -> Stream {
        Stream { key, index, uniforms: 0, children: 0 }
    }

    fn bits(&mut self) -> u64 {
        let (even, odd) = philox(0, self.key, self.index, self.uniforms / 2);
        self.uniforms += 1;
        if self.uniforms % 2 == 1 { even } else { odd }
    }

    fn rand(&mut self) -> f64 {
        f64::from_bits(self.bits() >> 12 | 0x3ff0_0000_0000_0000) - (1.0 - f64::EPSILON / 2.0)
    }

    fn child(&mut self) -> u64 {
        self.children += 1;
        philox(2, self.key, self.index, self.children - 1).0
    }
}

#[test]
fn pi_draws_the_numbers_of_the_language() {
    let text = "fn f(n: i64) -> f64 {
        var hits = 0
        @parallel @vectorize for i in 0..n {
            let x = rand()
            let y = rand()
            if x*x + y*y < 1 { hits += 1 }
        }
        return 4 * hits / n
    }";
    let mut root = Stream::new(0, 0);
    let key = root.child();
    let hits = (0..100)
        .filter(|&q| {
            let mut stream = Stream::new(key, q);
            let (x, y) = (stream.rand(), stream.rand());
            x * x + y * y < 1.0
        })
        .count();
    assert_eq!(float(text, &[i(100)]), 4.0 * hits as f64 / 100.0);
}

#[test]
fn loops_open_streams_where_the_rules_say() {
    // A plain loop at root level opens streams; one inside draws on; an annotated one inside opens again; functions draw from their caller's.
    let text = "fn draw() -> f64 { return rand() }
        fn f(n: i64) -> f64 {
        var s = rand()
        for i in 0..n {
            s += rand()
            for j in 0..3 { if j != 1 { s += draw() } }
            var t = 0.0
            @vectorize for k in 0..2 { t += draw() }
            s += t + rand() + sum(rand() for q in 0..2)
        }
        return s + draw()
    }";
    let mut root = Stream::new(0, 0);
    let mut s = root.rand();
    let key = root.child();
    for q in 0..3 {
        let mut stream = Stream::new(key, q);
        s += stream.rand();
        for _ in 0..2 {
            s += stream.rand();
        }
        let inner = stream.child();
        let t = 0.0 + (Stream::new(inner, 0).rand() + Stream::new(inner, 1).rand());
        let last = stream.rand();
        s += t + last + (0.0 + (stream.rand() + stream.rand()));
    }
    assert_eq!(float(text, &[i(3)]), s + root.rand());
}

#[test]
fn explicit_streams_have_their_own_counters() {
    let text = "fn f(a: i64, b: i64) -> f64 {
        let s = rng(a)
        let t = rng(a, b)
        var total = 0.0
        for i in 0..3 { if i > 0 { total += rand(s) * 4 }; total += rand(t) }
        return total + rand_int(s, 10, 20) + rand()
    }";
    let key = philox(3, 0, 0, 0).0;
    let mut first = Stream::new(key, 5);
    let mut second = Stream::new(philox(3, key, 5, 1).0, 6);
    let mut total = second.rand();
    for _ in 0..2 {
        total = f64::mul_add(first.rand(), 4.0, total);
        total += second.rand();
    }
    let whole = 10 + ((u128::from(first.bits()) * 10) >> 64) as i64;
    let wanted = total + whole as f64 + Stream::new(0, 0).rand();
    assert_eq!(float(text, &[i(5), i(6)]), wanted);
    let range = "fn f(a: i64, b: i64) -> i64 { return rand_int(a, b) }";
    assert_eq!(failure(range, &[i(3), i(3)]), (ir::CheckKind::DrawRange, vec![3, 3], vec![]));
}

// ---- what cannot be lowered ----

#[test]
fn annotated_loops_refuse_what_they_would_carry() {
    let set = "fn f(n: i64) -> i64 { var k = 0; @parallel for i in 0..n { k = i }; return k }";
    assert_eq!(
        refused(set, &[I64]),
        ["`k` carries a value from one iteration of a `@parallel` loop to the next"]
    );
    let read = "fn f(n: i64) -> i64 { var k = 0; var m = 0; @vectorize for i in 0..n { k += i; m max= k }; return m }";
    assert_eq!(refused(read, &[I64]), ["`k` is read in a `@vectorize` loop that reduces it"]);
    let mixed = "fn f(n: i64) -> i64 { var k = 1; @parallel for i in 0..n { k += i; for j in 0..i { k *= j } }; return k }";
    assert_eq!(refused(mixed, &[I64]), ["`k` is updated with both `+=` and `*=` in a `@parallel` loop"]);
    let shifted = "fn f(n: i64) -> i64 { var k = 1; @parallel for i in 0..n { k <<= 1 }; return k }";
    assert_eq!(
        refused(shifted, &[I64]),
        ["`k` carries a value from one iteration of a `@parallel` loop to the next"]
    );
    let outer = "fn f(n: i64) -> i64 { var k = 1; @parallel for i in 0..n { @vectorize for j in 0..n { k = j } }; return k }";
    assert_eq!(refused(outer, &[I64]).len(), 1);
}

#[test]
fn hostile_nests_end_soon() {
    // Branches in branches, all assigning the same variables.
    let mut text = String::from("fn f(n: i64) -> i64 {\n");
    for k in 0..5000 {
        text += &format!("var v{k} = n\n");
    }
    text += &"if n > 0 {\n".repeat(60);
    for k in 0..5000 {
        text += &format!("v{k} = {k}\n");
    }
    text += &"}\n".repeat(60);
    text += "return v0\n}\n";
    assert_eq!(refused(&text, &[I64]), ["`f` is too large to compile"]);
    // Loops in loops in loops.
    let text =
        format!("fn f(n: i64) -> i64 {{ return {}n{} }}", "sum(".repeat(60), " for i in 0..n)".repeat(60));
    assert_eq!(int(&text, &[1]), 1);
    // About as deep as the parser goes: an `if` and its block count as more than one level.
    let depth = 60;
    let text = format!(
        "fn f(n: i64) -> i64 {{ var k = 0\n{}k += 1\n{}return k }}",
        "if n > 0 {\n".repeat(depth),
        "}\n".repeat(depth)
    );
    assert_eq!(int(&text, &[1]), 1);
}
