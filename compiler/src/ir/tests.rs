//! Text form and verifier.

use super::*;
use kiln_lang::math::FUNCTIONS;

const EVERYTHING: &str = include_str!("../../../tests/ir/everything.ir");

/// `text` without its comment lines.
fn program_text(text: &str) -> String {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect()
}

#[test]
fn printing_reproduces_the_text() {
    let program = parse(EVERYTHING).unwrap();
    verify(&program).unwrap();
    assert_eq!(print(&program), program_text(EVERYTHING));
}

#[test]
fn spans_survive_when_asked_for() {
    let text = "func @f() {\n  %0 = const 1 : i64 loc 5..9\n  for %0 header 2:1..4 loc 3..8 { ^(%1: i64):\n    yield\n  }\n  return\n}\n";
    let program = parse(text).unwrap();
    assert_eq!(print_with_spans(&program), text);
    assert!(!print(&program).contains("loc"));
}

#[test]
fn numbers_follow_the_text_not_the_arena() {
    let mut func = Func::new("f");
    let body = func.body;
    let late = func.add_op(OpCode::Const(Const::I64(2)), vec![], &[Type::I64], Span::default());
    func.push_op(body, OpCode::Const(Const::I64(1)), vec![], &[Type::I64], Span::default());
    func.regions[0].ops.push(late);
    func.regions[0].end = Terminator::Return(vec![]);
    let program = Program { funcs: vec![func], loops: vec![] };
    let text = "func @f() {\n  %0 = const 1 : i64\n  %1 = const 2 : i64\n  return\n}\n";
    assert_eq!(print(&program), text);
}

#[test]
fn float_constants_keep_their_bits() {
    for bits in
        [0, 1, 0x8000_0000_0000_0000, 0x3ff0_0000_0000_0001, 0x7ff0_0000_0000_0000, 0x7fef_ffff_ffff_ffff]
            .into_iter()
            .chain((0..2000u64).map(|k| k.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    {
        let constant = |bits: u64| {
            let mut func = Func::new("f");
            let body = func.body;
            for value in [Const::F64(f64::from_bits(bits)), Const::F32(f32::from_bits(bits as u32))] {
                let ty = Type::Scalar(const_scalar(value));
                func.push_op(body, OpCode::Const(value), vec![], &[ty], Span::default());
            }
            func.regions[0].end = Terminator::Return(vec![]);
            Program { funcs: vec![func], loops: vec![] }
        };
        let back = parse(&print(&constant(bits))).unwrap();
        let found: Vec<u64> = back.funcs[0]
            .ops
            .iter()
            .map(|op| match op.code {
                OpCode::Const(value) => const_bits(value),
                _ => unreachable!(),
            })
            .collect();
        assert_eq!(found, [bits, bits & 0xffff_ffff]);
    }
}

#[test]
fn parse_names_the_line() {
    let cases = [
        ("func @f() {\n  %0 = frob : i64\n  return\n}", "line 2: no op is named `frob`"),
        ("func @f() {\n  %0 = add %1, %1 : i64\n  return\n}", "line 2: this value is not defined before"),
        (
            "func @f() {\n  %0 = const 1 : i64\n  %0 = const 1 : i64\n  return\n}",
            "line 3: this name is already taken",
        ),
        ("func @f() {\n  %0 = const x : i64\n  return\n}", "line 2: x is not a constant of type i64"),
        ("func @f() {\n  call @g\n  return\n}", "line 2: no function of that name"),
        ("func @f() {\n  %0 = seed\n  return\n}", "line 2: `seed` has 1 results and 0 types"),
        ("func @f() {\n", "line 2: expected an op or a terminator"),
        ("func @f() {\n  print \"a\n", "line 2: string without an end"),
    ];
    for (text, message) in cases {
        let found = parse(text).unwrap_err();
        assert!(found.starts_with(message), "{found}");
    }
    let deep = "func @f(%c: bool) {".to_string() + &"if %c {".repeat(100_000);
    assert!(parse(&deep).unwrap_err().contains("nested too deeply"));
}

#[test]
fn parse_survives_every_truncation_and_deletion() {
    let text = program_text(EVERYTHING);
    for (at, _) in text.char_indices() {
        let _ = parse(&text[..at]);
    }
    let words: Vec<&str> = text.split(' ').collect();
    for gone in 0..words.len() {
        let rest: Vec<&str> =
            words.iter().enumerate().filter(|(at, _)| *at != gone).map(|(_, &word)| word).collect();
        if let Ok(program) = parse(&rest.join(" ")) {
            let _ = verify(&program);
            let again = print(&program);
            assert_eq!(print(&parse(&again).unwrap()), again);
        }
    }
}

/// What `verify` says of a function body with parameters `%n: i64, %f: f64, %c: bool, %x: [f64; 1]` and result f64.
fn verdict(body: &str) -> String {
    let text = format!(
        "func @f(%n: i64, %f: f64, %c: bool, %x: [f64; 1]) -> f64 {{\n{body}\n}}\n\
         func @g(%a: f64) -> f64 {{\n return %a\n}}\n"
    );
    let program = parse(&text).unwrap_or_else(|message| panic!("{message}\n{text}"));
    verify(&program).err().unwrap_or_default()
}

#[test]
fn verify_refuses_broken_promises() {
    let cases = [
        ("return %f", ""),
        ("return %n", "found (i64), wanted (f64)"),
        ("open", "no end"),
        ("yield %f", "a function ends with `return`"),
        ("break 0\n", "0 loops enclose it"),
        ("%1 = add %n, %f : i64\nreturn %f", "operands of different types (i64, f64)"),
        ("%1 = add %n, %n : f64\nreturn %f", "results: found (f64), wanted (i64)"),
        ("%1 = fma %n, %n, %n : i64\nreturn %f", "operands of type i64"),
        ("%1 = div %n, %n : i64\nreturn %f", "operands of type i64"),
        ("%1 = not %f : f64\nreturn %f", "operands of type f64"),
        ("%1 = lt %n, %n : i64\nreturn %f", "results: found (i64), wanted (bool)"),
        ("%1 = select %n, %f, %f : f64\nreturn %f", "the first operand is a bool"),
        ("%1 = select %c, %x, %x : [f64; 1]\nreturn %f", "operands of type [f64; 1]"),
        ("%1 = bitcast %f : i32\nreturn %f", "the widths are equal"),
        ("%1 = const 1 : i64\n%2 = splat %1 : i64x3\nreturn %f", "i64x3 is no type"),
        ("%1 = splat %n : i64x4\n%2 = extract 4 %1 : i64\nreturn %f", "no such lane"),
        (
            "%1 = splat %c : mask4\n%2 = splat %f : f64x2\n%3 = select %1, %2, %2 : f64x2\nreturn %f",
            "mask of as many lanes",
        ),
        ("%1 = load %x : f64\nreturn %f", "instead of 2 operands"),
        ("%1 = load %x, %f : f64\nreturn %f", "indices are i64"),
        ("%1 = splat %n : i64x4\n%2 = load %x, %1 : f64\nreturn %f", "results: found (f64), wanted (f64x4)"),
        ("store %x, %n, %n\nreturn %f", "found (i64), wanted (f64)"),
        ("update xor %x, %n, %f\nreturn %f", "the operator takes elements of that type"),
        ("%1 = dim 1 %x : i64\nreturn %f", "no such axis"),
        ("%1 = alloc %n, %n : [f64; 1]\nreturn %f", "one size per dimension"),
        ("%1 = alloc %n : [f64; 1 strided]\nreturn %f", "wanted ([f64; 1])"),
        ("%1, %2 = philox 4 %n, %n, %n : u64, u64\nreturn %f", "its operands are u64"),
        ("send 0 %f\nreturn %f", "does not stand in a `for` directly"),
        ("for %n parallel { ^(%i: i64):\n send 0 %f\n yield\n}\nreturn %f", "no such reduction"),
        (
            "%s = for %n reduce(sum f64 \"s\") : f64 { ^(%i: i64):\n send 0 %f\n yield\n}\nreturn %f",
            "a plain loop has no reductions",
        ),
        (
            "%s = for %n reduce(sum f64 \"s\") parallel : f64 { ^(%i: i64):\n while { yield %c\n } do { send 0 %f\n yield\n }\n yield\n}\nreturn %f",
            "does not stand in a `for` directly",
        ),
        (
            "%s = for %n reduce(max f64 \"s\") parallel : f64 { ^(%i: i64):\n send_fma 0 %f, %f\n yield\n}\nreturn %f",
            "only float sums take products",
        ),
        (
            "%s = for %n reduce(sum f64 \"s\") parallel lanes 4 tail 2 : f64 { ^(%i: i64):\n send 0 %f\n yield\n} tail { ^(%j: i64, %on: mask2):\n yield\n}\nreturn %f",
            "found (f64), wanted (f64x4)",
        ),
        (
            "%s = for %n reduce(sum f64 \"s\") parallel lanes 4 tail 2 : f64 { ^(%i: i64):\n yield\n} tail { ^(%j: i64, %on: mask2):\n %fs = splat %f : f64x4\n send 0 %fs\n yield\n}\nreturn %f",
            "found (f64x4), wanted (f64x2)",
        ),
        (
            "for %n vectorize lanes 4 tail 2 { ^(%i: i64):\n yield\n} tail { ^(%j: i64):\n yield\n}\nreturn %f",
            "found (i64), wanted (i64, mask2)",
        ),
        ("for %n vectorize lanes 4 tail 4 { ^(%i: i64):\n yield\n}\nreturn %f", "1 regions instead of 2"),
        (
            "for %n vectorize lanes 4 tail 8 { ^(%i: i64):\n yield\n}\nreturn %f",
            "at most as many as the loop",
        ),
        ("for %n vectorize tail 4 { ^(%i: i64):\n yield\n}\nreturn %f", "only a widened loop has a tail"),
        (
            "%1 = for %n carry(%f) vectorize lanes 4 tail 4 : f64 { ^(%i: i64, %a: f64):\n yield %a\n} tail { ^(%j: i64, %on: mask4):\n yield\n}\nreturn %1",
            "a widened loop carries nothing",
        ),
        ("for %n parallel { ^(%i: i64):\n break 0\n}\nreturn %f", "leaves an annotated loop"),
        ("for %n parallel { ^(%i: i64):\n return %f\n}\nreturn %f", "leaves an annotated loop"),
        ("for %n parallel { ^(%i: i64):\n continue 0\n}\nreturn %f", ""),
        (
            "for %n { ^(%i: i64):\n for %n vectorize { ^(%j: i64):\n continue 1\n }\n yield\n}\nreturn %f",
            "leaves an annotated loop",
        ),
        ("for %n { ^(%i: i64):\n for %n { ^(%j: i64):\n break 1\n }\n yield\n}\nreturn %f", ""),
        (
            "%1 = for %n carry(%f) : f64 { ^(%i: i64, %a: f64):\n yield %i\n}\nreturn %1",
            "found (i64), wanted (f64)",
        ),
        (
            "%1 = for %n carry(%f) : f64 { ^(%i: i64):\n yield %f\n}\nreturn %1",
            "parameters of a region: found (i64), wanted (i64, f64)",
        ),
        ("%1 = if %c : f64 {\n yield\n} else {\n yield %f\n}\nreturn %1", "found (), wanted (f64)"),
        ("if %c {\n yield\n}\nreturn %f", "1 regions instead of 2"),
        ("if %n {\n yield\n} else {\n yield\n}\nreturn %f", "found (i64), wanted (bool)"),
        (
            "if %c {\n %a = sqrt %f : f64\n yield\n} else {\n yield\n}\nreturn %a",
            "an operand is not defined before",
        ),
        ("while {\n yield %n\n} do {\n yield\n}\nreturn %f", "found (i64), wanted (bool)"),
        ("%1 = call @g %n : f64\nreturn %f", "@g takes (f64), found (i64)"),
        ("%1 = call @g %f : i64\nreturn %f", "results: found (i64), wanted (f64)"),
        ("%1 = call @f %n, %f, %c, %x : f64\nreturn %f", "@f calls itself"),
        (
            "check bounds %n, %f axis 0 array \"x\" func \"f\" at 1..2\nreturn %f",
            "tested operands have other types",
        ),
        ("check step %n func \"f\" indices(\"i\") at 1..2\nreturn %f", "1 instead of 2 operands"),
        ("%1 = run_loop 0 %n : f64\nreturn %f", "the loop does not exist"),
    ];
    for (body, message) in cases {
        let found = verdict(body);
        assert!(found.contains(message) && found.is_empty() == message.is_empty(), "{body}\n=> {found}");
    }
}

#[test]
fn verify_refuses_broken_arenas() {
    let text = "func @f(%c: bool) {\n if %c {\n yield\n } else {\n yield\n }\n return\n}";
    let broken = |change: fn(&mut Func)| {
        let mut program = parse(text).unwrap();
        change(&mut program.funcs[0]);
        let message = verify(&program).unwrap_err();
        let _ = print(&program);
        message
    };
    assert!(broken(|func| func.ops[0].regions[1] = RegionId(1)).contains("has two places"));
    assert!(broken(|func| func.ops[0].regions[1] = RegionId(0)).contains("has two places"));
    assert!(broken(|func| func.ops[0].regions[1] = RegionId(9)).contains("does not exist"));
    assert!(broken(|func| func.regions[1].ops.push(OpId(0))).contains("listed twice"));
    assert!(broken(|func| func.ops[0].args[0] = Value(7)).contains("not defined before"));
    assert!(broken(|func| func.values[0].def = Def::Op(OpId(0), 0)).contains("says it is defined by"));
}

#[test]
fn effects_include_the_regions() {
    let text = "func @f(%n: i64, %f: f64, %c: bool) -> f64 {
      if %c {\n %1 = sqrt %f : f64\n yield\n } else {\n yield\n }
      if %c {\n return %f\n } else {\n yield\n }
      %s = for %n reduce(sum f64 \"s\") parallel : f64 { ^(%i: i64):\n send 0 %f\n continue 0\n }
      for %n { ^(%j: i64):\n print %j\n break 0\n }
      return %s\n}";
    let program = parse(text).unwrap();
    verify(&program).unwrap();
    let func = &program.funcs[0];
    let of = |position: usize| effects_of(func, func.region(func.body).ops[position]);
    assert!(of(0).pure && of(0).is_removable());
    assert!(of(1).leaves && !of(1).pure && !of(1).is_removable());
    assert!(of(2).pure && !of(2).sends);
    assert!(of(3).writes && !of(3).leaves);
}

#[test]
fn every_op_name_is_unique() {
    let mut names = table::NAMES.to_vec();
    names.extend(FUNCTIONS.iter().map(|function| function.name()));
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    for name in names {
        assert_eq!(OpCode::plain(name).map_or(name, |code| code.name()), name);
    }
}
