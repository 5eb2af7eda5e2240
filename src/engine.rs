//! The engine: a machine, a pool of threads, a cache, limits. And what it compiles.
//!
//! In: source text; later calls. Out: [`Module`]s, [`Kernel`]s, results. Holds: cheap to clone, shared by threads; no lock is held
//! while compiling or running; a caller keeps alive the code that it runs.

use crate::cache::{Cache, CacheStats, Weigh};
use crate::describe::describe;
use crate::door;
use crate::error::{Error, Findings};
use crate::oracle::Oracle;
use crate::print::PrintFormat;
use crate::source::Source;
use crate::value::{Arg, Value, widen};
use kiln_abi::array_slots;
use kiln_compiler::backend::CompileError;
use kiln_compiler::compile::{self, Compiled, Timing};
use kiln_compiler::ir::{CheckSite, const_bits, kind_of};
use kiln_compiler::pipeline;
use kiln_compiler::report::Report;
use kiln_compiler::target::{IsaCap, OptLevel, Target};
use kiln_lang::diag::Diagnostic;
use kiln_lang::resolve::Checked;
use kiln_lang::signature::Signature;
use kiln_lang::span::SourceId;
use kiln_lang::tree;
use kiln_lang::types::Type;
use kiln_runtime::{Code, Failure, Memory, Owned, Pool, PrintType, StopFlag, StopReason, watch};
use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What runs a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Backend {
    /// Machine code.
    #[default]
    Compiled,
    /// The interpreter that defines the meaning of kernels: slow, for tests and for looking into a doubt.
    Oracle,
    /// The same on the program as all passes leave it for a machine with vectors of this level, whatever this one has.
    OracleAfterPasses(IsaCap),
}

/// What an engine is made with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Worker threads; `None` asks the environment and the machine.
    pub threads: Option<usize>,
    /// Use no instructions beyond this level, even if the machine has them.
    pub isa: Option<IsaCap>,
    /// How hard Cranelift tries.
    pub opt_level: OptLevel,
    /// Machine code, or the oracle.
    pub backend: Backend,
    /// Specialisations that the cache holds.
    pub cache_entries: usize,
    /// Bytes of machine code that the cache holds.
    pub cache_bytes: usize,
    /// Bytes that all arrays of the engine may take together.
    pub memory: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            threads: None,
            isa: None,
            opt_level: OptLevel::Speed,
            backend: Backend::Compiled,
            cache_entries: 1024,
            cache_bytes: 64 << 20,
            memory: 8 << 30,
        }
    }
}

/// The machine, the threads, the cache and the limits; cheap to clone.
///
/// ```
/// let engine = kiln::Engine::default();
/// let module = engine.compile("twice.kiln", "fn twice(x) = 2 * x")?;
/// let twice = module.function("twice")?;
/// assert_eq!(twice.call(&mut [1.5.into()])?.as_f64(), Some(3.0));
/// # Ok::<(), kiln::Error>(())
/// ```
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    target: Target,
    opt_level: OptLevel,
    backend: Backend,
    pool: Pool,
    memory: Arc<Memory>,
    /// First level: which function, which types.
    calls: Cache<CallKey, Specialisation>,
    /// Second level: equal typed programs share code.
    contents: Cache<ContentKey, Specialisation>,
    misses: Mutex<VecDeque<Miss>>,
    modules: AtomicU64,
}

/// Why a call had to wait for the compiler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Miss {
    /// The function.
    pub function: String,
    /// The types that were asked for.
    pub types: Vec<Type>,
    /// In a sentence.
    pub reason: String,
}

/// The last so many misses are remembered.
const REMEMBERED_MISSES: usize = 256;

#[derive(Clone, PartialEq, Eq, Hash)]
struct CallKey {
    module: u64,
    function: Arc<str>,
    types: Vec<Type>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct ContentKey(u64, u64);

/// One function compiled for one list of types, and all that a call of it needs.
pub struct Specialisation {
    body: Body,
    /// Names of the parameters, and which are `mut`.
    names: Vec<(String, bool)>,
    bytes: usize,
    /// What the compiler did with the loops and checks.
    pub report: Report,
    /// Time of each step, in order.
    pub timings: Vec<Timing>,
}

enum Body {
    Machine(MachineCode),
    Oracle(Oracle),
}

/// Loaded code, and what the door of a call must know.
struct MachineCode {
    code: Arc<Code>,
    sites: Vec<CheckSite>,
    prints: Vec<PrintFormat>,
    print_types: Vec<Vec<PrintType>>,
    params: Vec<Type>,
    result: Type,
    slots: usize,
}

impl Weigh for Specialisation {
    fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Default for Engine {
    fn default() -> Engine {
        Engine::new(Options::default())
    }
}

impl Engine {
    /// An engine for this machine.
    pub fn new(options: Options) -> Engine {
        let host = Target::host();
        let target = match options.isa {
            Some(cap) => host.capped(cap),
            None => host,
        };
        Engine {
            inner: Arc::new(Inner {
                target,
                opt_level: options.opt_level,
                backend: options.backend,
                pool: Pool::new(options.threads.unwrap_or(0)),
                memory: Memory::new(options.memory),
                calls: Cache::new(options.cache_entries, options.cache_bytes),
                contents: Cache::new(options.cache_entries, options.cache_bytes),
                misses: Mutex::new(VecDeque::new()),
                modules: AtomicU64::new(0),
            }),
        }
    }

    /// Parses and checks a source; nothing is compiled to machine code yet.
    ///
    /// # Errors
    /// [`Error::Program`] with all mistakes found.
    pub fn compile(&self, name: &str, text: &str) -> Result<Module, Error> {
        self.compile_bytes(name, text.as_bytes())
    }

    /// The same for bytes that may not even be text.
    ///
    /// # Errors
    /// [`Error::Program`] with all mistakes found.
    pub fn compile_bytes(&self, name: &str, bytes: &[u8]) -> Result<Module, Error> {
        let start = Instant::now();
        let text = match kiln_lang::parser::check_text(bytes) {
            Ok(text) => text,
            Err(diagnostic) => {
                let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(kiln_lang::parser::MAX_SOURCE)])
                    .into_owned();
                let source = Arc::new(Source { name: name.to_string(), text: shown });
                return Err(Error::Program(Findings { diagnostics: vec![diagnostic], source }));
            }
        };
        let source = Arc::new(Source { name: name.to_string(), text: text.to_string() });
        let program =
            |diagnostics: Vec<Diagnostic>| Error::Program(Findings { diagnostics, source: source.clone() });
        let (ast, diagnostics) = kiln_lang::parser::parse(SourceId(0), text);
        if !diagnostics.is_empty() {
            return Err(program(diagnostics));
        }
        let parsed = Instant::now();
        let checked = kiln_lang::resolve::resolve(ast, SourceId(0)).map_err(program)?;
        let timings = vec![
            Timing { name: "parse".into(), time: parsed - start },
            Timing { name: "check".into(), time: parsed.elapsed() },
        ];
        let id = self.inner.modules.fetch_add(1, Ordering::Relaxed);
        Ok(Module { inner: Arc::new(ModuleInner { engine: self.clone(), id, source, checked, timings }) })
    }

    /// Counters of the cache.
    pub fn cache_stats(&self) -> CacheStats {
        let contents = self.inner.contents.stats();
        let calls = self.inner.calls.stats();
        CacheStats { hits: calls.hits, misses: calls.misses, ..contents }
    }

    /// The latest misses, oldest first.
    pub fn misses(&self) -> Vec<Miss> {
        self.inner.misses.lock().unwrap_or_else(std::sync::PoisonError::into_inner).iter().cloned().collect()
    }

    /// Bytes that arrays of this engine take now.
    pub fn memory_used(&self) -> u64 {
        self.inner.memory.used()
    }

    /// Accounting for arrays that the host makes for calls on this engine.
    pub fn memory(&self) -> &Arc<Memory> {
        &self.inner.memory
    }

    /// Compiles something tiny, so that the first real compile finds warm code.
    pub fn warm_up(&self) {
        self.inner.target.warm_up();
    }

    /// What code is made for.
    pub fn target(&self) -> &Target {
        &self.inner.target
    }

    pub(crate) fn compile_options<'a>(&self, text: &'a str) -> compile::Options<'a> {
        compile::Options { opt: self.inner.opt_level, listing: false, text }
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.inner.pool
    }

    pub(crate) fn specialise(
        &self,
        module: &Module,
        function: &str,
        types: &[Type],
        infer: impl FnOnce() -> Result<tree::Program, Vec<Diagnostic>>,
    ) -> Result<Arc<Specialisation>, Error> {
        let key = CallKey { module: module.inner.id, function: function.into(), types: types.to_vec() };
        self.inner.calls.get_or_make(&key, || {
            let start = Instant::now();
            let source = &module.inner.source;
            let program = infer()
                .map_err(|diagnostics| Error::Program(Findings { diagnostics, source: source.clone() }))?;
            let infer_time = start.elapsed();
            let content = self.content_key(&program, source);
            let mut compiled_here = false;
            let made = self.inner.contents.get_or_make(&content, || {
                compiled_here = true;
                let made = self.compile_program(&program, infer_time, source);
                self.inner.contents.count_compiled(start.elapsed());
                made.map(Arc::new)
            });
            self.remember_miss(module, function, types, compiled_here);
            made
        })
    }

    fn content_key(&self, program: &tree::Program, source: &Source) -> ContentKey {
        let mut hashers = [0, 1].map(|seed| {
            let mut hasher = std::hash::DefaultHasher::new();
            (seed, env!("CARGO_PKG_VERSION"), self.inner.target.key(), self.inner.opt_level, &source.name)
                .hash(&mut hasher);
            hasher
        });
        // Writing into hashers cannot fail.
        let _ = std::fmt::write(&mut HashText(&mut hashers), format_args!("{program:?}"));
        let [first, second] = hashers.map(|hasher| hasher.finish());
        ContentKey(first, second)
    }

    fn compile_program(
        &self,
        program: &tree::Program,
        infer_time: Duration,
        source: &Arc<Source>,
    ) -> Result<Specialisation, Error> {
        let entry = &program.funcs[0];
        let params: Vec<Type> =
            entry.params.iter().map(|param| entry.locals[param.local.0 as usize].ty.clone()).collect();
        let result = entry.result.clone();
        let names = entry
            .params
            .iter()
            .map(|param| (entry.locals[param.local.0 as usize].name.clone(), param.is_mut))
            .collect();
        let infer_step = Timing { name: "infer".into(), time: infer_time };
        if self.inner.backend != Backend::Compiled {
            let mut program = compile::checked_ir(program)
                .map_err(|diagnostics| Error::Program(Findings { diagnostics, source: source.clone() }))?;
            if let Backend::OracleAfterPasses(cap) = self.inner.backend {
                let options = pipeline::Options { shape: cap.shape(), ..pipeline::Options::default() };
                pipeline::run(&mut program, &options, &mut Report::default());
            }
            let body = Body::Oracle(Oracle { program, params, result });
            return Ok(Specialisation {
                body,
                names,
                bytes: 0,
                report: Report::default(),
                timings: vec![infer_step],
            });
        }
        let options = self.compile_options(&source.text);
        let compiled = compile::compile(program, &self.inner.target, &options)
            .map_err(|failure| compile_error(failure, source))?;
        let start = Instant::now();
        let Compiled { object, sites, prints, report, mut timings, .. } = compiled;
        let code = door::load(&object).map_err(|error| Error::Internal(error.to_string()))?;
        timings.insert(0, infer_step);
        timings.push(Timing { name: "load".into(), time: start.elapsed() });
        let slots = params.iter().map(slots_of).sum::<usize>() + slots_of(&result);
        let bytes = code.bytes();
        let body = Body::Machine(MachineCode {
            code,
            sites,
            print_types: prints.iter().map(|(_, types)| types.iter().map(print_type).collect()).collect(),
            prints: prints.into_iter().map(|(site, _)| PrintFormat::new(site)).collect(),
            params,
            result,
            slots,
        });
        Ok(Specialisation { body, names, bytes, report, timings })
    }

    fn remember_miss(&self, module: &Module, function: &str, types: &[Type], compiled: bool) {
        let mut misses = self.inner.misses.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let before: Vec<&Miss> = misses.iter().filter(|miss| miss.function == function).collect();
        let reason = if !compiled {
            format!(
                "`{function}` of `{}` has the same typed program as one that is compiled already",
                module.name()
            )
        } else if before.iter().any(|miss| miss.types == types) {
            format!("`{function}` was compiled for these types before, and evicted since or changed")
        } else if let Some(last) = before.last() {
            let at = last.types.iter().zip(types).position(|(old, new)| old != new);
            match at {
                Some(at) => {
                    format!("argument {} of `{function}` is {}, it was {}", at + 1, types[at], last.types[at])
                }
                None => format!("`{function}` has {} arguments, it had {}", types.len(), last.types.len()),
            }
        } else {
            format!("`{function}` is called for the first time")
        };
        if misses.len() == REMEMBERED_MISSES {
            misses.pop_front();
        }
        misses.push_back(Miss { function: function.to_string(), types: types.to_vec(), reason });
    }
}

/// What the facade says when the compiler gives no code.
pub(crate) fn compile_error(failure: compile::Failure, source: &Arc<Source>) -> Error {
    match failure {
        compile::Failure::Program(diagnostics) => {
            Error::Program(Findings { diagnostics, source: source.clone() })
        }
        compile::Failure::Backend(error @ CompileError::TooLarge { .. }) => Error::Limit(error.to_string()),
        compile::Failure::Backend(error) => Error::Internal(error.to_string()),
    }
}

fn print_type(ty: &kiln_compiler::ir::Type) -> PrintType {
    let rank = match ty {
        kiln_compiler::ir::Type::Array { rank, .. } => Some(*rank as usize),
        _ => None,
    };
    PrintType { kind: kind_of(ty.scalar()), rank }
}

/// Feeds text to hashers without building it.
struct HashText<'a, H: Hasher>(&'a mut [H; 2]);

impl<H: Hasher> std::fmt::Write for HashText<'_, H> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.iter_mut().for_each(|hasher| hasher.write(text.as_bytes()));
        Ok(())
    }
}

/// Slots of a value in an environment.
fn slots_of(ty: &Type) -> usize {
    match ty {
        Type::Unit | Type::Stream(_) => 0,
        Type::Scalar(_) => 1,
        Type::Array { rank, .. } => array_slots(*rank as usize),
        Type::Tuple(items) => items.iter().map(slots_of).sum(),
    }
}

/// Checked source; cheap to clone.
#[derive(Clone)]
pub struct Module {
    inner: Arc<ModuleInner>,
}

struct ModuleInner {
    engine: Engine,
    id: u64,
    source: Arc<Source>,
    checked: Checked,
    timings: Vec<Timing>,
}

impl Module {
    /// The name that it was compiled under.
    pub fn name(&self) -> &str {
        &self.inner.source.name
    }

    /// The functions, with their parameters and docs.
    pub fn functions(&self) -> Vec<Signature> {
        kiln_lang::signature::functions(&self.inner.checked)
    }

    /// A function of the module.
    ///
    /// # Errors
    /// [`Error::Call`] if there is none of that name; it lists those that there are.
    pub fn function(&self, name: &str) -> Result<Kernel, Error> {
        let functions = self.functions();
        if functions.iter().any(|function| function.name == name) {
            return Ok(Kernel { module: self.clone(), name: name.into() });
        }
        let names: Vec<&str> = functions.iter().map(|function| function.name.as_str()).collect();
        Err(Error::Call(format!("`{}` has no function `{name}`; it has: {}", self.name(), names.join(", "))))
    }

    /// Time of parsing and checking.
    pub fn timings(&self) -> &[Timing] {
        &self.inner.timings
    }

    /// The engine that compiled it.
    pub fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    pub(crate) fn checked(&self) -> &Checked {
        &self.inner.checked
    }

    pub(crate) fn source(&self) -> &Arc<Source> {
        &self.inner.source
    }
}

/// A function that can be called with values of any types that fit; each new list of types is compiled once.
#[derive(Clone)]
pub struct Kernel {
    module: Module,
    name: Arc<str>,
}

/// What a call may do, beside its arguments.
#[derive(Default)]
pub struct CallOptions<'a> {
    /// Seed of the random numbers.
    pub seed: u64,
    /// Stop after this time.
    pub deadline: Option<Duration>,
    /// Set from any thread to cancel the call.
    pub stop: Option<&'a Arc<StopFlag>>,
    /// Gets what `print` writes; `None` is stdout.
    pub print: Option<&'a (dyn Fn(&str) + Sync)>,
}

impl Kernel {
    /// Calls the function.
    ///
    /// # Errors
    /// Arguments that do not fit, mistakes that show for these types, failed checks, refused memory.
    pub fn call(&self, args: &mut [Arg<'_>]) -> Result<Value, Error> {
        self.call_with(args, &CallOptions::default())
    }

    /// Calls the function with a seed, a deadline, a stop flag.
    ///
    /// # Errors
    /// As [`Kernel::call`]; and [`Error::Deadline`], [`Error::Cancelled`].
    pub fn call_with(&self, args: &mut [Arg<'_>], options: &CallOptions<'_>) -> Result<Value, Error> {
        let types: Vec<Type> = args.iter().map(Arg::ty).collect();
        let specialisation = self.specialise(&types)?;
        run(&self.module, &specialisation, args, options)
    }

    /// Compiles for these argument types, if that has not been done, and runs nothing.
    ///
    /// # Errors
    /// Mistakes that show for these types.
    pub fn specialise(&self, types: &[Type]) -> Result<Arc<Specialisation>, Error> {
        self.module.engine().specialise(&self.module, &self.name, types, || {
            kiln_lang::infer::infer(self.module.checked(), &self.name, types)
        })
    }
}

/// Runs a specialisation: arguments into slots, the call, results out of slots.
pub(crate) fn run(
    module: &Module,
    specialisation: &Specialisation,
    args: &mut [Arg<'_>],
    options: &CallOptions<'_>,
) -> Result<Value, Error> {
    let engine = module.engine();
    check_sizes(args)?;
    check_overlap(args)?;
    check_writable(args, &specialisation.names)?;
    let specialisation = match &specialisation.body {
        Body::Machine(machine) => machine,
        Body::Oracle(oracle) => return oracle.run(args, options, engine.memory(), module.source()),
    };
    let mut env = Vec::with_capacity(specialisation.slots);
    for (position, (arg, ty)) in args.iter().zip(&specialisation.params).enumerate() {
        push_arg(&mut env, arg, ty)
            .ok_or_else(|| Error::Call(format!("argument {} does not fit the type {ty}", position + 1)))?;
    }
    let result_slot = env.len();
    env.resize(specialisation.slots, 0);
    let own_stop;
    let stop = match options.stop {
        Some(stop) => stop,
        None => {
            own_stop = Arc::new(StopFlag::new());
            &own_stop
        }
    };
    let _watch = match options.deadline {
        Some(deadline) => Some(watch(stop, deadline).map_err(|error| Error::Internal(error.to_string()))?),
        None => None,
    };
    let print = |site: u64, values: &[kiln_runtime::PrintValue<'_>]| {
        let text = specialisation.prints[site as usize].format(values);
        match options.print {
            Some(print) => print(&text),
            None => print!("{text}"),
        }
    };
    let call = door::Call {
        code: &specialisation.code,
        pool: engine.pool(),
        seed: options.seed,
        stop,
        memory: engine.memory(),
        sink: kiln_runtime::Sink { sites: &specialisation.print_types, write: &print },
    };
    match call.run(&mut env) {
        Ok(mut buffers) => Ok(read_value(&specialisation.result, &env[result_slot..], &mut buffers)?.0),
        Err(Failure::Program(record)) => {
            let site = &specialisation.sites[record.site as usize];
            let values: Vec<i64> = record.values.iter().map(|&value| value as i64).collect();
            Err(Error::Runtime(Findings {
                diagnostics: vec![describe(site, &values)],
                source: module.source().clone(),
            }))
        }
        Err(Failure::Stopped(StopReason::Deadline)) => Err(Error::Deadline),
        Err(Failure::Stopped(StopReason::Cancelled)) => Err(Error::Cancelled),
        Err(Failure::Memory { requested, limit }) => Err(Error::Memory { requested, limit }),
        Err(Failure::Panic(text)) => Err(Error::Internal(text)),
    }
}

/// Writes the slots of an argument; `None` if it does not fit the type.
fn push_arg(env: &mut Vec<u64>, arg: &Arg<'_>, ty: &Type) -> Option<()> {
    match (arg, ty) {
        (Arg::Scalar(constant), Type::Scalar(scalar)) => env.push(const_bits(widen(*constant, *scalar)?)),
        (Arg::Array(array), Type::Array { .. }) => push_array(env, array),
        (Arg::ArrayMut(array), Type::Array { .. }) => push_array(env, &array.as_ref()),
        (Arg::Tuple(args), Type::Tuple(types)) if args.len() == types.len() => {
            return args.iter().zip(types).try_for_each(|(arg, ty)| push_arg(env, arg, ty));
        }
        (Arg::Scalar(_) | Arg::Array(_) | Arg::ArrayMut(_) | Arg::Tuple(_), _) => return None,
    }
    Some(())
}

fn push_array(env: &mut Vec<u64>, array: &kiln_runtime::ArrayRef<'_>) {
    let start = env.len();
    env.resize(start + array_slots(array.dims().len()), 0);
    array.write_slots(&mut env[start..]);
}

/// The compiler's proofs count on sizes that memory could hold, also where another size is 0.
const MAX_SIZE: usize = 1 << 48;

fn check_sizes(args: &[Arg<'_>]) -> Result<(), Error> {
    let too_large = |dims: &[usize]| dims.iter().any(|&size| size >= MAX_SIZE);
    let found = args.iter().position(|arg| match arg {
        Arg::Array(array) => too_large(array.dims()),
        Arg::ArrayMut(array) => too_large(array.as_ref().dims()),
        Arg::Tuple(args) => check_sizes(args).is_err(),
        Arg::Scalar(_) => false,
    });
    match found {
        Some(at) => Err(Error::Call(format!("argument {} has a size of 2^48 or more", at + 1))),
        None => Ok(()),
    }
}

fn check_writable(args: &[Arg<'_>], names: &[(String, bool)]) -> Result<(), Error> {
    for (at, (arg, (name, is_mut))) in args.iter().zip(names).enumerate() {
        if *is_mut && matches!(arg, Arg::Array(_)) {
            return Err(Error::Call(format!(
                "argument {} is read-only, but the kernel writes its parameter `{name}`; pass it mutably",
                at + 1
            )));
        }
    }
    Ok(())
}

fn check_overlap(args: &[Arg<'_>]) -> Result<(), Error> {
    for (at, arg) in args.iter().enumerate() {
        let Arg::ArrayMut(writable) = arg else { continue };
        for (other_at, other) in args.iter().enumerate() {
            let overlaps = match other {
                _ if at == other_at => false,
                Arg::Array(other) => writable.overlaps(other),
                Arg::ArrayMut(other) => writable.overlaps(&other.as_ref()),
                Arg::Scalar(_) | Arg::Tuple(_) => false,
            };
            if overlaps {
                return Err(Error::Call(format!(
                    "argument {} is written and overlaps argument {}; pass a copy of one of them",
                    at + 1,
                    other_at + 1
                )));
            }
        }
    }
    Ok(())
}

/// Reads a result; returns it and the number of slots it took.
fn read_value(ty: &Type, slots: &[u64], buffers: &mut Owned) -> Result<(Value, usize), Error> {
    Ok(match ty {
        Type::Unit | Type::Stream(_) => (Value::Unit, 0),
        Type::Scalar(scalar) => (Value::from_bits(*scalar, slots[0]), 1),
        Type::Array { elem, rank, .. } => {
            let rank = *rank as usize;
            let array = buffers
                .take_array(kind_of(*elem), rank, &slots[..array_slots(rank)])
                .ok_or_else(|| Error::Internal("a result array is not one of the call's".to_string()))?;
            (Value::Array(array), array_slots(rank))
        }
        Type::Tuple(items) => {
            let mut values = Vec::new();
            let mut at = 0;
            for item in items {
                let (value, taken) = read_value(item, &slots[at..], buffers)?;
                values.push(value);
                at += taken;
            }
            (Value::Tuple(values), at)
        }
    })
}
