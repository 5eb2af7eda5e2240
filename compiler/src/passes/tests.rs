//! Runs the texts in `tests/passes`: each file is a program, calls, and what a pass makes of it.
//!
//! In: `tests/passes/PASS/NAME.ir`: a program; lines `# call ARGUMENTS` ([4, 3] is an array of these sizes with made-up elements); below a line
//! `# after PASS` the program as it is then. Holds: the shape is as written (`BLESS=1` rewrites it), and every call gives the same results, prints and
//! errors before and after.

use super::{Pass, fast};
use crate::ir::{Arg, ArrayData, EvalError, EvalOptions, Outcome, Program, Type};
use crate::ir::{const_bits, eval, parse, print, verify};
use crate::pipeline;
use crate::report::Report;
use crate::target::{IsaCap, VectorShape};
use kiln_lang::tree::Const;
use kiln_lang::types::Scalar;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/passes")
}

/// The files of a pass, in order.
fn files(pass: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder().join(pass)).expect("a folder of tests");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "no tests of `{pass}`");
    files
}

/// A test in text.
struct Case {
    program: Program,
    calls: Vec<Vec<Arg>>,
    /// The file up to and with the line `# after`.
    head: String,
    expected: String,
}

fn read(path: &Path, pass: &str) -> Case {
    let text = std::fs::read_to_string(path).expect("a test");
    let mark = format!("# after {pass}\n");
    let (head, expected) = match text.find(&mark) {
        Some(at) => (&text[..at], &text[at + mark.len()..]),
        None => (&text[..], ""),
    };
    let program = parse(head).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    verify(&program).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let calls =
        head.lines().filter_map(|line| line.strip_prefix("# call ")).map(|call| arguments(&program, call));
    let calls = calls.collect();
    Case { program, calls, head: format!("{}\n\n{mark}", head.trim_end()), expected: expected.to_string() }
}

/// `3, 0.5, [4, 3], true`
fn arguments(program: &Program, call: &str) -> Vec<Arg> {
    let mut words = call.split([',', ' ']).filter(|word| !word.is_empty()).peekable();
    let func = &program.funcs[0];
    let mut made = 0;
    func.params()
        .iter()
        .map(|&param| match func.ty(param) {
            Type::Array { elem, rank, .. } => {
                let mut dims = Vec::new();
                for _ in 0..rank {
                    let word = words.next().expect("a size").trim_matches(['[', ']']);
                    dims.push(word.parse().expect("a size"));
                }
                made += 1;
                Arg::Array(array(elem, dims, made))
            }
            ty => Arg::Scalar(scalar(ty.scalar(), words.next().expect("an argument"))),
        })
        .collect()
}

fn scalar(ty: Scalar, word: &str) -> Const {
    let wrong = "an argument of the parameter's type";
    match ty {
        Scalar::Bool => Const::Bool(word == "true"),
        Scalar::I32 => Const::I32(word.parse().expect(wrong)),
        Scalar::I64 => Const::I64(word.parse().expect(wrong)),
        Scalar::U32 => Const::U32(word.parse().expect(wrong)),
        Scalar::U64 => Const::U64(word.parse().expect(wrong)),
        Scalar::F32 => Const::F32(word.parse().expect(wrong)),
        Scalar::F64 => Const::F64(word.parse().expect(wrong)),
    }
}

/// Elements that differ from array to array; ints are small, so that they can be indices.
fn array(elem: Scalar, dims: Vec<i64>, seed: u64) -> ArrayData {
    let count = dims.iter().product::<i64>() as u64;
    let word = |at: u64| {
        let mixed = (at + 1).wrapping_mul(seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        let constant = match elem {
            Scalar::Bool => Const::Bool(mixed & 1 != 0),
            Scalar::I32 => Const::I32((mixed % 4) as i32),
            Scalar::I64 => Const::I64((mixed % 4) as i64),
            Scalar::U32 => Const::U32((mixed % 4) as u32),
            Scalar::U64 => Const::U64(mixed % 4),
            Scalar::F32 => Const::F32(mixed as f32 / 1e6 - 5.0),
            Scalar::F64 => Const::F64(mixed as f64 / 1e6 - 5.0),
        };
        const_bits(constant)
    };
    ArrayData { elem, dims, data: (0..count).map(word).collect() }
}

fn run(program: &Program, args: &[Arg]) -> Result<Outcome, EvalError> {
    let options = EvalOptions { seed: 7, max_steps: 10_000_000, ..EvalOptions::default() };
    eval(program, args.to_vec(), &options)
}

/// Do two programs give the same results, prints and errors on a call?
fn assert_same(before: &Program, after: &Program, args: &[Arg], what: &str) {
    let (a, b) = (run(before, args), run(after, args));
    let is_same = is_same(&a, &b);
    assert!(is_same, "{what}: {a:?}\n  became {b:?}\nbefore\n{}\nafter\n{}", print(before), print(after));
}

/// Same results, array arguments and prints, or the same error; a broken program is like nothing.
pub(super) fn is_same(a: &Result<Outcome, EvalError>, b: &Result<Outcome, EvalError>) -> bool {
    match (a, b) {
        (Ok(a), Ok(b)) => {
            let same =
                |a: &[Arg], b: &[Arg]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is_same(b));
            same(&a.results, &b.results) && same(&a.args, &b.args) && a.prints == b.prints
        }
        (Err(EvalError::Broken(_)), _) | (_, Err(EvalError::Broken(_))) => false,
        (Err(a), Err(b)) => a == b,
        (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
    }
}

/// Registers that a file of `widen` is for: `# registers of 64 bytes`.
fn shape(head: &str) -> Option<VectorShape> {
    let shapes = [IsaCap::V128, IsaCap::Avx2, IsaCap::Avx512].map(IsaCap::shape);
    let is_named = |shape: &VectorShape| head.contains(&format!("# registers of {} bytes\n", shape.bytes));
    shapes.into_iter().flatten().find(is_named)
}

/// Runs the files of a pass. `@fast` changes the meaning: its calls are not compared.
fn run_files(pass: &Pass) {
    let bless = std::env::var_os("BLESS").is_some();
    for path in files(pass.name) {
        let case = read(&path, pass.name);
        let mut after = case.program.clone();
        let mut report = Report::default();
        report.register(&after, "");
        pass.apply_for(&mut after, shape(&case.head), &mut report);
        verify(&after).unwrap_or_else(|error| panic!("{}: {error}\n{}", path.display(), print(&after)));
        let text = print(&after);
        if bless {
            std::fs::write(&path, format!("{}{text}", case.head)).expect("a writable test");
        } else {
            assert_eq!(text, case.expected, "{} (BLESS=1 rewrites it)", path.display());
        }
        if pass.name == fast::FAST.name {
            continue;
        }
        for call in &case.calls {
            assert_same(&case.program, &after, call, &path.display().to_string());
        }
    }
}

macro_rules! passes {
    ($($name:ident $pass:path;)*) => {
        $(#[test]
        fn $name() {
            run_files(&$pass);
        })*
    };
}

passes! {
    inline super::inline::INLINE;
    fold super::fold::FOLD;
    simplify super::simplify::SIMPLIFY;
    cse super::cse::CSE;
    hoist super::hoist::HOIST;
    dead super::dead::DEAD;
    fast fast::FAST;
    checks super::checks::CHECKS;
    version super::version::VERSION;
    outline super::outline::OUTLINE;
    widen super::widen::WIDEN;
}

/// The whole pipeline on the programs of all passes: same results, and where a file says so, no check left.
#[test]
fn the_pipeline_keeps_results_and_errors() {
    let mut folders: Vec<&str> = pipeline::PASSES.iter().map(|pass| pass.name).collect();
    folders.sort_unstable();
    folders.dedup();
    for pass in folders.into_iter().filter(|&name| name != super::expand::EXPAND.name) {
        for path in files(pass) {
            let case = read(&path, pass);
            let mut after = case.program.clone();
            let mut report = Report::default();
            for cap in [IsaCap::V128, IsaCap::Avx2, IsaCap::Avx512, IsaCap::Scalar] {
                let options = pipeline::Options { shape: cap.shape(), ..pipeline::Options::default() };
                (after, report) = (case.program.clone(), Report::default());
                pipeline::run(&mut after, &options, &mut report);
                for call in &case.calls {
                    assert_same(
                        &case.program,
                        &after,
                        call,
                        &format!("{} for {}", path.display(), cap.name()),
                    );
                }
            }
            if case.head.contains("# no check left in innermost loops") {
                assert_eq!(report.innermost_checks_left(), 0, "{}\n{}", path.display(), print(&after));
            }
        }
    }
}
