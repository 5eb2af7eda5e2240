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
use kiln_lang::script::{self, Output, Saved, ScriptArg, ScriptStep, ScriptVar};
use kiln_lang::signature::Declared;
use kiln_lang::span::Span;
use kiln_lang::tree::Program;
use kiln_lang::types::Type;
use kiln_runtime::{BlockKind, Generator, StopFlag, StopReason, watch};
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
            let types: Option<Vec<Type>> =
                signature.params.iter().map(|param| declared_type(&param.ty)).collect();
            let Some(types) = types else { continue };
            match kiln_lang::infer::infer(self.checked(), &signature.name, &types) {
                Ok(program) => {
                    diagnostics.extend(kiln_compiler::compile::checked_ir(&program).err().unwrap_or_default())
                }
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
    /// Unit while it is lent, and for another name of an array.
    value: Value,
    alias_of: Option<String>,
}

impl Interpreter<'_> {
    fn run(&mut self) -> Result<(), Error> {
        let args: Vec<ScriptArg> = self.options.args.iter().map(|arg| ScriptArg::from_text(arg)).collect();
        (0..self.module.checked().script_len()).try_for_each(|index| self.statement(index, &args))
    }

    fn statement(&mut self, index: usize, args: &[ScriptArg]) -> Result<(), Error> {
        match self.stop.reason() {
            Some(StopReason::Deadline) => return Err(Error::Deadline),
            Some(StopReason::Cancelled) => return Err(Error::Cancelled),
            None => {}
        }
        let number = self.statement;
        self.statement += 1;
        let vars: Vec<ScriptVar> = self
            .vars
            .iter()
            .map(|var| ScriptVar {
                name: var.name.clone(),
                ty: self.value(var).ty(),
                is_var: var.is_var,
                alias_of: var.alias_of.clone(),
            })
            .collect();
        let start = Instant::now();
        let step = script::script_step(self.module.checked(), index, &vars, args)
            .map_err(|diagnostics| self.program_error(diagnostics))?;
        let infer_time = start.elapsed();
        match step {
            ScriptStep::Nothing => Ok(()),
            ScriptStep::Run { program, inputs, outputs, shown } => {
                let result = self.call(index, number, program, &inputs, infer_time)?;
                self.keep(result, outputs, shown)
            }
            ScriptStep::Load { name, is_var, path, span } => {
                let array = npy::load(&self.path(&path), self.module.engine().memory());
                let array = array.map_err(|error| self.at(error, span, "read here"))?;
                self.declare(name, is_var, Value::Array(array));
                Ok(())
            }
            ScriptStep::Save { path, value, span } => {
                let path = self.path(&path);
                let saved = match value {
                    Saved::Variable(name) => match self.variable(&name) {
                        Some(Var { value: Value::Array(array), .. }) => npy::save(&path, array),
                        _ => Err(Error::Internal(format!("`{name}` is not an array"))),
                    },
                    Saved::Run { program, inputs } => {
                        match self.call(index, number, program, &inputs, infer_time)? {
                            Value::Array(array) => npy::save(&path, &array),
                            Value::Tuple(mut items) => match items.pop() {
                                Some(Value::Array(array)) => npy::save(&path, &array),
                                _ => Err(Error::Internal("what is saved is not an array".to_string())),
                            },
                            _ => Err(Error::Internal("what is saved is not an array".to_string())),
                        }
                    }
                };
                saved.map_err(|error| self.at(error, span, "written here"))
            }
            ScriptStep::Alias { name, of } => {
                self.vars.retain(|var| var.name != name);
                self.vars.push(Var { name, is_var: false, value: Value::Unit, alias_of: Some(of) });
                Ok(())
            }
            ScriptStep::Swap { targets, sources } => {
                let taken: Vec<Value> = sources
                    .iter()
                    .map(|name| {
                        self.variable(name)
                            .map_or(Value::Unit, |var| std::mem::replace(&mut var.value, Value::Unit))
                    })
                    .collect();
                for (name, value) in targets.iter().zip(taken) {
                    if let Some(var) = self.variable(name) {
                        var.value = value;
                    }
                }
                Ok(())
            }
            ScriptStep::Time(steps) => {
                let line = self.line(index);
                let (before, compiled) = (self.running, self.compiled.len());
                let start = Instant::now();
                steps.into_iter().try_for_each(|step| self.statement(step, args))?;
                let compiling: Duration = self.compiled[compiled..].iter().map(|step| step.total).sum();
                let text = format!(
                    "line {line}: {:.3} ms, of which {:.3} ms compiling and {:.3} ms running",
                    milliseconds(start.elapsed()),
                    milliseconds(compiling),
                    milliseconds(self.running - before),
                );
                match self.options.note {
                    Some(note) => note(&text),
                    None => eprintln!("{text}"),
                }
                Ok(())
            }
        }
    }

    /// Compiles a statement for the types of its variables and runs it.
    fn call(
        &mut self,
        index: usize,
        number: u64,
        program: Program,
        inputs: &[String],
        infer_time: Duration,
    ) -> Result<Value, Error> {
        let module = self.module;
        let types: Vec<Type> =
            inputs.iter().map(|name| self.find(name).map_or(Type::Unit, |var| var.value.ty())).collect();
        let start = Instant::now();
        let mut is_new = false;
        let specialisation =
            module.engine().specialise(module, &format!("statement {}", index + 1), &types, || {
                is_new = true;
                Ok(program)
            })?;
        if is_new {
            let total = start.elapsed() + infer_time;
            let mut timings = specialisation.timings.clone();
            // The statement was typed before the engine was asked.
            timings[0].time += infer_time;
            self.compiled.push(CompiledStep {
                line: self.line(index),
                what: self.words(index),
                total,
                timings,
            });
        }
        let stop = self.stop.clone();
        let options = CallOptions {
            seed: statement_seed(self.options.seed, number),
            deadline: None,
            stop: Some(&stop),
            print: self.options.print,
        };
        let start = Instant::now();
        let result = self.with_args(inputs, &specialisation, &options);
        self.running += start.elapsed();
        result
    }

    /// Lends the variables to a call. Arrays that the statement may write are lent for writing.
    fn with_args(
        &mut self,
        inputs: &[String],
        specialisation: &Specialisation,
        options: &CallOptions<'_>,
    ) -> Result<Value, Error> {
        let mut lent: Vec<(usize, Value)> = Vec::new();
        for name in inputs {
            let position = self.vars.iter().position(|var| var.name == *name);
            let position = position.ok_or_else(|| Error::Internal(format!("`{name}` is not a variable")))?;
            lent.push((position, std::mem::replace(&mut self.vars[position].value, Value::Unit)));
        }
        let result = {
            let mut args: Vec<Arg<'_>> =
                lent.iter_mut().map(|(position, value)| lend(value, self.vars[*position].is_var)).collect();
            run(self.module, specialisation, &mut args, options)
        };
        for (position, value) in lent {
            self.vars[position].value = value;
        }
        result
    }

    /// Keeps the outputs of a statement and shows its value.
    fn keep(&mut self, result: Value, outputs: Vec<Output>, shown: bool) -> Result<(), Error> {
        let mut values = match result {
            Value::Tuple(items) if outputs.len() + usize::from(shown) == items.len() => items,
            Value::Unit if outputs.is_empty() && !shown => Vec::new(),
            single if outputs.len() + usize::from(shown) == 1 => vec![single],
            _ => return Err(Error::Internal("a statement gave other values than announced".to_string())),
        };
        if shown && let Some(value) = values.pop() {
            let text = format!("{value}\n");
            match self.options.print {
                Some(print) => print(&text),
                None => print!("{text}"),
            }
        }
        for (output, value) in outputs.into_iter().zip(values) {
            if output.declares {
                self.declare(output.name, output.is_var, value);
            } else if let Some(var) = self.variable(&output.name) {
                var.value = value;
            }
        }
        Ok(())
    }

    fn declare(&mut self, name: String, is_var: bool, value: Value) {
        self.vars.retain(|var| var.name != name);
        self.vars.push(Var { name, is_var, value, alias_of: None });
    }

    fn find(&self, name: &str) -> Option<&Var> {
        self.vars.iter().find(|var| var.name == name)
    }

    fn variable(&mut self, name: &str) -> Option<&mut Var> {
        self.vars.iter_mut().find(|var| var.name == name)
    }

    /// The value of a variable, or of what it is another name for.
    fn value<'v>(&'v self, var: &'v Var) -> &'v Value {
        match &var.alias_of {
            Some(of) => self.find(of).map_or(&var.value, |owner| self.value(owner)),
            None => &var.value,
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        match &self.options.folder {
            Some(folder) => folder.join(path),
            None => Path::new(path).to_path_buf(),
        }
    }

    fn line(&self, index: usize) -> usize {
        self.module.checked().step_span(index).map_or(0, |span| self.module.source().line(span))
    }

    /// The first words of a statement, for the table of `--time`.
    fn words(&self, index: usize) -> String {
        let span = self.module.checked().step_span(index).unwrap_or_default();
        let text = self.module.source().text.get(span.start as usize..span.end as usize).unwrap_or("");
        let line = text.lines().next().unwrap_or("");
        if line.chars().count() > 32 {
            line.chars().take(31).chain(['…']).collect()
        } else {
            line.to_string()
        }
    }

    fn program_error(&self, diagnostics: Vec<Diagnostic>) -> Error {
        Error::Program(Findings { diagnostics, source: self.module.source().clone() })
    }

    /// A file's error with the statement that met it.
    fn at(&self, error: Error, span: Span, label: &str) -> Error {
        match error {
            Error::File(text) => Error::Runtime(Findings {
                diagnostics: vec![Diagnostic::error(text, span, label)],
                source: self.module.source().clone(),
            }),
            other => other,
        }
    }
}

/// The type, if it is written without variables.
pub(crate) fn declared_type(declared: &Declared) -> Option<Type> {
    match declared {
        Declared::Scalar(scalar) => Some(Type::Scalar(*scalar)),
        Declared::Array { elem, dims } => match **elem {
            Declared::Scalar(scalar) => Some(Type::array(scalar, dims.len())),
            _ => None,
        },
        Declared::Tuple(items) => items.iter().map(declared_type).collect::<Option<_>>().map(Type::Tuple),
        Declared::Any | Declared::Variable(_) => None,
    }
}

fn lend(value: &mut Value, is_var: bool) -> Arg<'_> {
    if let Some(constant) = value.as_const() {
        return Arg::Scalar(constant);
    }
    match value {
        Value::Array(array) => match is_var {
            true => Arg::ArrayMut(array.view_mut()),
            false => Arg::Array(array.view()),
        },
        Value::Tuple(items) => Arg::Tuple(items.iter_mut().map(|item| lend(item, false)).collect()),
        _ => Arg::Tuple(Vec::new()),
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Statement `number` draws from a root stream of its own: its seed is X0 of block `number` of kind 2 (child keys) of the session's root.
fn statement_seed(seed: u64, number: u64) -> u64 {
    let [first, _] = Generator::Philox.block(BlockKind::ChildKey, seed, 0, number);
    first
}
