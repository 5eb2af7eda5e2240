//! Deletes the checks that always pass.
//!
//! In: a function. Out: the same without checks that are proven. Holds: a check goes only if no input can fail it there; `ranges` says why.

use super::ranges::{Params, Proofs, Ranges, Stays, Visit, walk};
use super::{Apply, Pass};
use crate::ir::{Func, OpCode, OpId, Program};
use crate::report::{Report, header};
use kiln_lang::span::Span;

/// The pass.
pub const CHECKS: Pass =
    Pass { name: "checks", about: "delete the checks that always pass", apply: Apply::Program(checks) };

fn checks(program: &mut Program, report: &mut Report) {
    for (number, func) in program.funcs.iter_mut().enumerate() {
        if func.ops.iter().any(|op| matches!(op.code, OpCode::Check(_))) {
            let mut checks = Checks { report: &mut *report, loops: Vec::new() };
            walk(func, Params::of(number), Proofs::Plain, &mut checks);
        }
    }
}

struct Checks<'r> {
    report: &'r mut Report,
    /// Headers of the enclosing loops.
    loops: Vec<Option<Span>>,
}

impl Visit for Checks<'_> {
    fn check(&mut self, ranges: &mut Ranges, func: &Func, op: OpId) -> Stays {
        if !ranges.passes(func, op) {
            return Stays::Yes;
        }
        self.report.counts(self.loops.last().copied().flatten()).deleted += 1;
        Stays::No
    }

    fn enter_loop(&mut self, _ranges: &mut Ranges, func: &Func, op: OpId) {
        self.loops.push(header(func, op));
    }

    fn leave_loop(&mut self, _func: &Func, _op: OpId) {
        self.loops.pop();
    }
}
