//! Scripts: top-level statements, one after the other.
//!
//! In: a checked module, arguments. Out: what it prints, an error if there is one. Holds: each statement is a function specialised on the
//! types that the script's variables have by then; statement k draws from a root stream of its own, so that adding a draw to one
//! statement changes no other.

use crate::engine::{CallOptions, Module, Specialisation, run};
use crate::error::{Error, Findings};
use crate::npy;
use crate::value::{Arg, Value};
use kiln_compiler::compile::Timing;
use kiln_lang::diag::Diagnostic;
use kiln_lang::script::{self, Output, ScriptArg, ScriptStep, ScriptVar};
use kiln_lang::span::Span;
use kiln_runtime::{StopFlag, philox4x32_10, watch};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How to run a script.
#[derive(Default)]
pub struct ScriptOptions<'a> {
    /// `args.0`, `args.1`, …; each has the type it looks like.
    pub args: Vec<String>,
    /// Seed of the random numbers.
    pub seed: u64,
    /// Stop after this time, compiling included.
    pub deadline: Option<Duration>,
    /// Stops the script from another thread.
    pub stop: Option<&'a Arc<StopFlag>>,
    /// Gets what the script prints; `None` is stdout.
    pub print: Option<&'a (dyn Fn(&str) + Sync)>,
    /// Gets remarks that are not output, such as the times of `time { … }`; `None` is stderr.
    pub note: Option<&'a (dyn Fn(&str) + Sync)>,
    /// Folder that relative paths of `load` and `save` start from; `None` is the current one.
    pub folder: Option<PathBuf>,
}

/// What a script did.
pub struct ScriptRun {
    /// Ended well, or how not.
    pub result: Result<(), Error>,
    /// What was compiled on the way, in order.
    pub compiled: Vec<CompiledStep>,
    /// Time spent in compiled code.
    pub running: Duration,
}

/// A statement that had to be compiled.
pub struct CompiledStep {
    /// Its line.
    pub line: usize,
    /// The statement's first words.
    pub what: String,
    /// All the time that its compilation took.
    pub total: Duration,
    /// Its steps.
    pub timings: Vec<Timing>,
}

impl Module {
    /// Runs the top-level statements, in order.
    pub fn run_script(&self, options: &ScriptOptions<'_>) -> ScriptRun {
        let mut interpreter = Interpreter {
            module: self,
            options,
            vars: Vec::new(),
            statement: 0,
            stop: options.stop.cloned().unwrap_or_default(),
            compiled: Vec::new(),
            running: Duration::ZERO,
        };
        let watch = options.deadline.map(|deadline| watch(&interpreter.stop, deadline));
        let result = match watch {
            Some(Err(error)) => Err(Error::Internal(error.to_string())),
            _ => interpreter.run(),
        };
        ScriptRun { result, compiled: interpreter.compiled, running: interpreter.running }
    }

    /// Reports the mistakes that show without running: of functions whose parameters all have types, and of statements as far as they type.
    ///
    /// # Errors
    /// [`Error::Program`] with all mistakes found.
    pub fn check_functions(&self) -> Result<(), Error> {
        let mut diagnostics: Vec<Diagnostic> = Vec::new();
        for signature in self.functions() {
            let types: Option<Vec<_>> = signature.params.iter().map(|param| param.ty.clone()).collect();
            let Some(types) = types else { continue };
            match kiln_lang::infer::infer(self.checked(), &signature.name, &types) {
                Ok(program) => diagnostics.extend(kiln_compiler::compile::checked_ir(&program).err().unwrap_or_default()),
                Err(found) => diagnostics.extend(found),
            }
        }
        diagnostics.dedup();
        if diagnostics.is_empty() {
            return Ok(());
        }
        Err(Error::Program(Findings { diagnostics, source: self.source().clone() }))
    }
}

/// A script while it runs.
struct Interpreter<'a> {
    module: &'a Module,
    options: &'a ScriptOptions<'a>,
    vars: Vec<Var>,
    /// Statements begun: selects the random stream.
    statement: u64,
    stop: Arc<StopFlag>,
    compiled: Vec<CompiledStep>,
    running: Duration,
}

struct Var {
    name: String,
    is_var: bool,
    value: Value,
}

impl Interpreter<'_> {
    fn run(&mut self) -> Result<(), Error> {
        let args: Vec<ScriptArg> = self.options.args.iter().map(|arg| ScriptArg::from_text(arg)).collect();
        for index in 0..script::statements(self.module.checked()) {
            let vars: Vec<ScriptVar> = self
                .vars
                .iter()
                .map(|var| ScriptVar { name: var.name.clone(), ty: var.value.ty(), is_var: var.is_var })
                .collect();
            let step = script::script_step(self.module.checked(), index, &vars, &args)
                .map_err(|diagnostics| self.program_error(diagnostics))?;
            self.step(step)?;
        }
        Ok(())
    }

    fn step(&mut self, step: ScriptStep) -> Result<(), Error> {
        if let Some(reason) = self.stop.reason() {
            return Err(match reason {
                kiln_runtime::StopReason::Deadline => Error::Deadline,
                kiln_runtime::StopReason::Cancelled => Error::Cancelled,
            });
        }
        match step {
            ScriptStep::Nothing => Ok(()),
            ScriptStep::Run(call) => {
                let results = self.call(&call)?;
                self.store(&call.outputs, results.0);
                if let Some(shown) = results.1 {
                    self.print(&format!("{shown}\n"));
                }
                Ok(())
            }
            ScriptStep::Load { name, is_var, path, span } => {
                let value = npy::load(&self.path(&path), self.module.engine().memory())
                    .map_err(|error| self.at(error, span))?;
                self.assign(&name, is_var, Value::Array(value));
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
