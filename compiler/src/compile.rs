//! The compiler from end to end.
//!
//! In: a typed tree. Out: machine code with what the runtime and the facade must know of it. Holds: the IR that [`checked_ir`] gives
//! is the program's meaning: the oracle evaluates it, and everything behind it keeps its results bit for bit.

use crate::backend::{self, CompileError, EmitOptions};
use crate::lower::lower;
use crate::report::Report;
use crate::target::{OptLevel, Target};
use crate::{check_loops, ir, pipeline};
use kiln_lang::diag::Diagnostic;
use kiln_lang::tree;
use std::time::{Duration, Instant};

/// What to compile, and how.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// How hard the backend tries.
    pub opt: OptLevel,
    /// Also give listings.
    pub listing: bool,
    /// The source text, for line numbers in the report.
    pub text: &'a str,
}

/// One step and its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// The step.
    pub name: String,
    /// How long it took.
    pub time: Duration,
}

/// A compiled program.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// The code.
    pub object: kiln_abi::Object,
    /// Check sites, by the number in an error record.
    pub sites: Vec<ir::CheckSite>,
    /// Print sites and the types of their values.
    pub prints: Vec<(ir::PrintSite, Vec<ir::Type>)>,
    /// What was done with each loop.
    pub report: Report,
    /// Time of each step, in order.
    pub timings: Vec<Timing>,
    /// The backend's input, if a listing was asked for.
    pub clif: Option<String>,
    /// The machine code as text, if a listing was asked for.
    pub asm: Option<String>,
}

/// Why there is no code.
#[derive(Debug, Clone)]
pub enum Failure {
    /// The user's program: all mistakes.
    Program(Vec<Diagnostic>),
    /// A limit, or a fault.
    Backend(CompileError),
}

/// Lowers and checks: the program as the oracle evaluates it.
///
/// # Errors
/// Loops whose annotations cannot be honoured, and what else only lowering finds.
pub fn checked_ir(program: &tree::Program) -> Result<ir::Program, Vec<Diagnostic>> {
    let mut ir = lower(program)?;
    check_and_settle(&mut ir)?;
    Ok(ir)
}

fn check_and_settle(ir: &mut ir::Program) -> Result<(), Vec<Diagnostic>> {
    let diagnostics = check_loops::check_loops(ir);
    if !diagnostics.is_empty() {
        return Err(diagnostics);
    }
    pipeline::apply_fast(ir);
    Ok(())
}

/// Compiles a specialised program.
///
/// # Errors
/// See [`Failure`].
pub fn compile(program: &tree::Program, target: &Target, options: &Options<'_>) -> Result<Compiled, Failure> {
    let mut timings = Vec::new();
    let mut last = Instant::now();
    let mut step = |name: &str, timings: &mut Vec<Timing>| {
        let now = Instant::now();
        timings.push(Timing { name: name.to_string(), time: now - last });
        last = now;
    };
    let mut ir = lower(program).map_err(Failure::Program)?;
    step("lower", &mut timings);
    check_and_settle(&mut ir).map_err(Failure::Program)?;
    step("check loops", &mut timings);
    let mut report = Report::default();
    pipeline::run(
        &mut ir,
        &pipeline::Options { text: options.text, ..pipeline::Options::default() },
        &mut report,
    );
    step("passes", &mut timings);
    timings.extend(
        report.passes.iter().map(|pass| Timing { name: format!("  {}", pass.name), time: pass.time }),
    );
    let emit = EmitOptions { opt: options.opt, listing: options.listing, ..EmitOptions::default() };
    let emitted = backend::emit(&ir, target, &emit).map_err(Failure::Backend)?;
    step("cranelift", &mut timings);
    timings
        .extend(emitted.functions.into_iter().map(|(name, time)| Timing { name: format!("  {name}"), time }));
    Ok(Compiled {
        object: emitted.object,
        sites: emitted.sites,
        prints: emitted.prints,
        report,
        timings,
        clif: emitted.clif,
        asm: emitted.asm,
    })
}
