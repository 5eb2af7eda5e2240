//! Shape of the code, limits and refusals. What the code computes is tested where it can run: against the oracle, in the root package.

use super::*;
use crate::target::IsaCap;
use std::time::{Duration, Instant};

fn emit_text(text: &str, target: &Target) -> Result<Emitted, CompileError> {
    let program = ir::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    ir::verify(&program).unwrap_or_else(|error| panic!("{error}\n{text}"));
    emit(&program, target, &EmitOptions { opt: OptLevel::Speed, listing: true, verify: true })
}

fn asm(text: &str, target: &Target) -> String {
    emit_text(text, target).unwrap().asm.unwrap()
}

/// Machine instructions that begin so.
fn count(asm: &str, mnemonic: &str) -> usize {
    asm.lines()
        .filter(|line| line.split_whitespace().next().is_some_and(|word| word.starts_with(mnemonic)))
        .count()
}

#[test]
fn warming_up_compiles() {
    let program = ir::Program { funcs: vec![sample()], loops: Vec::new() };
    ir::verify(&program).unwrap();
    for target in [Target::host(), Target::generic()] {
        emit(&program, &target, &EmitOptions { opt: OptLevel::Speed, listing: false, verify: true }).unwrap();
        target.warm_up();
    }
}

#[test]
fn functions_lie_at_boundaries_and_sites_are_numbered_through() {
    let text = "func @f(%a: i64) -> i64 { check step %a func \"f\" at 1..2 %r = call @g %a : i64 return %r }
      func @g(%a: i64) -> i64 { check nonzero %a op \"//\" func \"g\" at 3..4 return %a }";
    let emitted = emit_text(text, &Target::host()).unwrap();
    assert_eq!(emitted.object.names, ["f", "g"]);
    assert!(emitted.object.entries.iter().all(|entry| entry % 64 == 0));
    let funcs: Vec<&str> = emitted.sites.iter().map(|site| &*site.func).collect();
    assert_eq!(funcs, ["f", "g"]);
    assert!(emitted.clif.unwrap().contains("iconst.i64 1"), "the site of `g` is number 1");
}

#[test]
fn lanes_and_unexpanded_math_are_refused_by_name() {
    let lanes = "func @f(%x: f64) -> f64 { %v = splat %x : f64x4 %r = extract 0 %v : f64 return %r }";
    let math = "func @f(%x: f64) -> f64 { %r = exp %x : f64 return %r }";
    for (text, op) in [(lanes, "splat"), (math, "exp")] {
        match emit_text(text, &Target::host()) {
            Err(CompileError::Unsupported { op: found, .. }) => assert!(found.starts_with(op), "{found}"),
            other => panic!("{other:?}"),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn float_choices_have_no_branches() {
    let body =
        "%c = lt %a, %b : bool %m = min %a, %b : f64 %n = max %a, %b : f64 %s = select %c, %m, %n : f64
      %z = const 0 : i64 %d = eq %k, %z : bool %t = select %d, %s, %a : f64 return %t";
    for target in [Target::host(), Target::generic()] {
        let asm = asm(&format!("func @f(%a: f64, %b: f64, %k: i64) -> f64 {{ {body} }}"), &target);
        assert_eq!(count(&asm, "j"), 0, "{asm}");
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_cheap_if_is_computed_without_a_branch() {
    let text = "func @f(%x: [f64; 1]) -> i64 {
      %n = dim 0 %x : i64
      %h = for %n reduce(sum i64 \"h\") generator : i64 { ^(%i: i64):
        %v = load %x, %i : f64
        %z = const 0.0 : f64
        %c = lt %v, %z : bool
        if %c { %k = const 1 : i64 send 0 %k yield } else { yield }
        yield
      }
      return %h
    }";
    let emitted = emit_text(text, &Target::host()).unwrap();
    let clif = emitted.clif.unwrap();
    // Entry into the loop, its back-edge, the next strip, the stop flag.
    assert_eq!(clif.matches("brif").count(), 4, "{clif}");
}

#[test]
fn what_does_not_change_leaves_a_loop_that_has_checks() {
    let text = "func @f(%x: [f64; 1], %a: f64, %b: f64, %n: i64) -> f64 {
      %m = dim 0 %x : i64
      %s = for %n carry(%a) : f64 { ^(%i: i64, %t: f64):
        check bounds %i, %m, %i axis 0 array \"x\" func \"f\" indices(\"i\") at 1..2
        %v = load %x, %i : f64
        %scale = div %a, %b : f64
        %w = mul %v, %scale : f64
        %u = add %t, %w : f64
        yield %u
      }
      return %s
    }";
    let asm = asm(text, &Target::host());
    let division = asm.find("div").unwrap();
    let first_load = asm.find(", 8)").unwrap();
    assert!(division < first_load, "the division stands before the loop\n{asm}");
}

#[test]
fn fma_without_the_instruction_goes_through_the_host() {
    let text = "func @f(%a: f64) -> f64 { %r = fma %a, %a, %a : f64 %q = floor %r : f64 return %q }";
    let generic = asm(text, &Target::generic());
    assert_eq!(count(&generic, "call"), if cfg!(target_arch = "x86_64") { 2 } else { 0 });
    let host = Target::host();
    if host.fuses_multiply_add() && host.rounds() {
        assert_eq!(count(&asm(text, &host.capped(IsaCap::Scalar)), "call"), 0);
    }
}

/// A function of `size` times the lines that `line` writes; they may use `%a`, `%x`, and `%s` of their own number, and make the next `%s`.
fn long_function(size: usize, line: impl Fn(usize) -> String) -> ir::Program {
    let mut text = String::from("func @f(%x: [i64; 1], %a: i64) -> i64 { %s0 = add %a, %a : i64\n");
    (0..size).for_each(|k| text += &line(k));
    text += &format!("return %s{size} }}");
    ir::parse(&text).unwrap()
}

#[test]
fn what_is_too_large_is_refused_at_once() {
    let straight = long_function(300_000, |k| format!("%s{} = mul %s{k}, %a : i64\n", k + 1));
    let branching = long_function(20_000, |k| {
        format!(
            "%c{k} = lt %s{k}, %a : bool
             %s{} = if %c{k} : i64 {{ store %x, %a, %s{k} yield %a }} else {{ yield %s{k} }}\n",
            k + 1
        )
    });
    for (program, unit) in [(straight, "instructions"), (branching, "branches")] {
        let start = Instant::now();
        match emit(&program, &Target::host(), &EmitOptions { verify: false, ..EmitOptions::default() }) {
            Err(CompileError::TooLarge { of, .. }) => assert_eq!(of, unit),
            other => panic!("{other:?}"),
        }
        assert!(start.elapsed() < Duration::from_secs(2));
        // What was abandoned leaves no trace in the next function.
        emit_text("func @f() -> f64 { %r = const 1.0 : f64 return %r }", &Target::host()).unwrap();
    }
}

#[test]
fn time_grows_in_proportion() {
    let compile = |size: usize| {
        let program = long_function(size, |k| {
            format!("%l{k} = load %x, %s{k} : i64 store %x, %a, %s{k} %s{} = mul %l{k}, %a : i64\n", k + 1)
        });
        let start = Instant::now();
        emit(&program, &Target::host(), &EmitOptions { verify: false, ..EmitOptions::default() }).unwrap();
        start.elapsed()
    };
    compile(100);
    let small = (0..5).map(|_| compile(500)).min().unwrap();
    let large = (0..2).map(|_| compile(8000)).min().unwrap();
    assert!(large < 80 * small, "16 times the ops took {large:?} instead of {small:?}");
}
