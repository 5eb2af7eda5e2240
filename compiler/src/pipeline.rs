//! The whole middle of the compiler, in order.
//!
//! In: a program as lowered, loops checked, [`apply_fast`] done. Out: the program that backends take: every call that pays spliced, every
//! provable check gone, parallel loops in functions of their own. Holds: same results and errors as what came in; the program
//! verifies after each pass (tests and debug builds look).

use crate::ir::{Program, verify};
use crate::passes::*;
use crate::report::{PassTime, Report};
use crate::target::VectorShape;
use std::time::Instant;

pub use crate::passes::fast::apply_fast;

/// The passes, in order.
pub const PASSES: &[Pass] = &[
    // One function where there were several: the rest sees through calls.
    inline::INLINE,
    fold::FOLD,
    simplify::SIMPLIFY,
    cse::CSE,
    dead::DEAD,
    // Checks go while sizes and indices still look as the person wrote them.
    checks::CHECKS,
    hoist::HOIST,
    version::VERSION,
    // Late, so that all of the above sees `exp` as one op.
    expand::EXPAND,
    fold::FOLD,
    simplify::SIMPLIFY,
    cse::CSE,
    hoist::HOIST,
    dead::DEAD,
    outline::OUTLINE,
    // The first that knows a machine.
    widen::WIDEN,
];

/// What to do beside the usual.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'o> {
    /// Stop after the last pass of this name, to look at the program: `kiln show --after PASS`. See [`find`].
    pub after: Option<&'o str>,
    /// The machine's vectors; `None`: loops stay scalar.
    pub shape: Option<VectorShape>,
    /// Source of the module, so that reports and traces know lines. May be empty.
    pub text: &'o str,
}

/// Runs the passes.
pub fn run(program: &mut Program, options: &Options, report: &mut Report) {
    report.register(program, options.text);
    let count = match options.after {
        // It is done already.
        Some(name) if name == fast::FAST.name => 0,
        Some(name) => PASSES.iter().rposition(|pass| pass.name == name).map_or(PASSES.len(), |last| last + 1),
        None => PASSES.len(),
    };
    for pass in &PASSES[..count] {
        run_pass(pass, program, options.shape, report);
    }
}

/// The pass of that name; `fast` is among them, though it has run before the others.
pub fn find(name: &str) -> Option<&'static Pass> {
    PASSES.iter().chain([&fast::FAST]).find(|pass| pass.name == name)
}

fn run_pass(pass: &Pass, program: &mut Program, shape: Option<VectorShape>, report: &mut Report) {
    let start = Instant::now();
    pass.apply_for(program, shape, report);
    let time = start.elapsed();
    let ops = program.funcs.iter().map(|func| count_ops(func, func.body)).sum();
    report.passes.push(PassTime { name: pass.name, time, ops });
    if cfg!(debug_assertions)
        && let Err(error) = verify(program)
    {
        panic!("bug: `{}` after pass `{}`: {error:?}", program.funcs[0].name, pass.name);
    }
}
