//! The oracle: what a program means.
//!
//! In: a program, inputs, a seed. Out: results, final contents of the arrays given, prints; or the first error. Holds: SEMANTICS to the bit,
//! in plain sequential order, implemented from its text; shares no code with the runtime. Slow is fine, wrong is not.

mod ars;
mod decode;
mod philox;
mod reduce;
mod scalar;
#[cfg(test)]
mod tests;

pub use reduce::{Sink, Term, segment_start, segments};
pub use scalar::{conversion, fold, function, reduce_function, reduce_identity};

use super::{CheckKind, CheckSite, ForData, OpCode, PrintPart, Program, Type, const_bits, const_from_bits};
use super::{const_scalar, same_bits, verify};
use ars::ars_block;
use decode::{Block, Body, Code, End, Fill, Kind, MathBody, Place, Step, decode};
use kiln_lang::tree::Const;
use kiln_lang::types::{Generator, Scalar};
use philox::philox_block;
use std::fmt;

/// Block `block` of kind `kind` of the stream (`key`, `index`), as X0 and X1 (SEMANTICS section 6).
pub fn draw_block(generator: Generator, kind: u8, key: u64, index: u64, block: u64) -> (u64, u64) {
    match generator {
        Generator::Philox => philox_block(kind, key, index, block),
        Generator::Ars => ars_block(kind, key, index, block),
    }
}

/// An argument or a result.
#[derive(Clone, Debug, PartialEq)]
pub enum Arg {
    /// A scalar.
    Scalar(Const),
    /// An array.
    Array(ArrayData),
}

/// An array as plain data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArrayData {
    /// Element type.
    pub elem: Scalar,
    /// Sizes.
    pub dims: Vec<i64>,
    /// Elements in row-major order, as words (see [`const_bits`]).
    pub data: Vec<u64>,
}

impl ArrayData {
    /// An array of `f64`.
    pub fn f64s(dims: &[i64], elements: &[f64]) -> ArrayData {
        let data = elements.iter().map(|element| element.to_bits()).collect();
        ArrayData { elem: Scalar::F64, dims: dims.to_vec(), data }
    }

    /// An array of `i64`.
    pub fn i64s(dims: &[i64], elements: &[i64]) -> ArrayData {
        let data = elements.iter().map(|&element| element as u64).collect();
        ArrayData { elem: Scalar::I64, dims: dims.to_vec(), data }
    }

    /// The elements as constants.
    pub fn constants(&self) -> impl Iterator<Item = Const> {
        self.data.iter().map(|&word| const_from_bits(word, self.elem))
    }

    /// Equal bits, all NaNs being one.
    pub fn is_same(&self, other: &ArrayData) -> bool {
        self.elem == other.elem
            && self.dims == other.dims
            && self.data.len() == other.data.len()
            && self.data.iter().zip(&other.data).all(|(&a, &b)| same_bits(a, b, self.elem))
    }
}

impl Arg {
    /// Equal bits, all NaNs being one.
    pub fn is_same(&self, other: &Arg) -> bool {
        match (self, other) {
            (Arg::Scalar(a), Arg::Scalar(b)) => {
                const_scalar(*a) == const_scalar(*b)
                    && same_bits(const_bits(*a), const_bits(*b), const_scalar(*a))
            }
            (Arg::Array(a), Arg::Array(b)) => a.is_same(b),
            (Arg::Scalar(_), Arg::Array(_)) | (Arg::Array(_), Arg::Scalar(_)) => false,
        }
    }
}

/// How to evaluate.
#[derive(Clone, Debug)]
pub struct EvalOptions {
    /// Key of the root stream.
    pub seed: u64,
    /// Ops to evaluate at most, then [`EvalError::Stopped`].
    pub max_steps: u64,
    /// Bytes in live arrays of the program at most, every element counted as 8, then [`EvalError::Memory`].
    pub max_bytes: u64,
    /// Regions and calls inside each other at most, then [`EvalError::Stopped`].
    pub max_depth: u32,
}

impl Default for EvalOptions {
    fn default() -> EvalOptions {
        EvalOptions { seed: 0, max_steps: 2_000_000_000, max_bytes: 1 << 30, max_depth: 20_000 }
    }
}

/// What a call did.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Results of the entry, in order.
    pub results: Vec<Arg>,
    /// Final contents of the array arguments, in order; scalars are as they were.
    pub args: Vec<Arg>,
    /// What was printed, in order.
    pub prints: Vec<PrintEvent>,
    /// Arrays that were allocated, not returned, and never freed.
    pub leaked: usize,
    /// Ops evaluated.
    pub steps: u64,
}

/// One `print`.
#[derive(Clone, Debug, PartialEq)]
pub struct PrintEvent {
    /// Its pieces.
    pub parts: Vec<Printed>,
}

/// A piece of a print.
#[derive(Clone, Debug, PartialEq)]
pub enum Printed {
    /// As it stands.
    Text(String),
    /// A value.
    Value(Arg),
}

/// Why a call gave no result.
#[derive(Clone, Debug, PartialEq)]
pub enum EvalError {
    /// A check failed.
    Check {
        /// Which.
        site: Box<CheckSite>,
        /// The values tested (for `Unique`: the ordinal that repeats and the earlier one), then the loop indices.
        values: Vec<Const>,
        /// What was printed before.
        prints: Vec<PrintEvent>,
    },
    /// An allocation was refused.
    Memory,
    /// A limit of steps or depth was reached.
    Stopped,
    /// The program is invalid, or did what checks must prevent, or the arguments do not fit it. A bug of ours.
    Broken(String),
}

impl fmt::Display for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EvalError::Check { site, values, .. } => {
                write!(f, "check failed: {:?} with {values:?}", site.kind)
            }
            EvalError::Memory => f.write_str("an allocation was refused"),
            EvalError::Stopped => f.write_str("stopped at a limit of steps or depth"),
            EvalError::Broken(message) => write!(f, "the program is broken: {message}"),
        }
    }
}

impl std::error::Error for EvalError {}

/// Stack of the thread that evaluates: `max_depth` levels of a debug build.
const STACK_BYTES: usize = 512 << 20;

/// Evaluates the entry of `program`.
///
/// # Errors
/// The first error in sequential order, or [`EvalError::Broken`] for a program that does not verify.
pub fn eval(program: &Program, inputs: Vec<Arg>, options: &EvalOptions) -> Result<Outcome, EvalError> {
    eval_with_math(program, inputs, options, &crate::prelude::body)
}

/// As [`eval`], with other bodies for the math ops.
fn eval_with_math(
    program: &Program,
    inputs: Vec<Arg>,
    options: &EvalOptions,
    math: &MathBody,
) -> Result<Outcome, EvalError> {
    // Regions nest as deeply as the program does, and so does the interpreter: it brings its own stack.
    let run = || {
        verify(program).map_err(EvalError::Broken)?;
        let code = decode(program, math).map_err(EvalError::Broken)?;
        Machine::new(&code, options).run(inputs).map_err(|error| *error)
    };
    let failed = |message: &str| Err(EvalError::Broken(message.to_string()));
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, run);
        let Ok(thread) = thread else { return failed("there is no thread to evaluate on") };
        thread.join().unwrap_or_else(|_| failed("the oracle panicked"))
    })
}

/// A failure, kept small: it travels through every region.
type Fail = Box<EvalError>;

fn broken<T>(message: &str) -> Result<T, Fail> {
    Err(Box::new(EvalError::Broken(message.to_string())))
}

/// An array in memory; its handle is generation << 32 | position.
struct Store {
    generation: u32,
    is_live: bool,
    elem: Scalar,
    dims: Vec<i64>,
    data: Vec<u64>,
    /// Counted against the limit; 0 for arguments.
    bytes: u64,
}

/// The state of a running `for`.
struct Running {
    /// Ordinal of the current iteration, and how many there are.
    ordinal: u64,
    iterations: u64,
    /// Lanes of the current iteration that are iterations of the loop; 1 if it is not widened.
    valid_lanes: u8,
    sinks: Vec<Sink>,
    /// Terms of a widened iteration, to be sorted by ordinal: reduction, ordinal, term.
    waiting: Vec<(u32, u64, Term)>,
    arrays: Vec<Segmented>,
}

/// Consecutive ordinals that one execution of a loop's body takes.
struct Group {
    /// It is the second region of a widened loop that runs.
    is_tail: bool,
    lanes: u8,
}

/// An array reduction whose float updates go to segments.
struct Segmented {
    handle: u64,
    combine: fn(u64, u64, u64) -> u64,
    identity: u64,
    segments: u64,
    segment: u64,
    /// The array's own contents; in its place stands the segment's copy.
    original: Vec<u64>,
}

struct Machine<'c, 'p> {
    code: &'c Code<'p>,
    options: &'c EvalOptions,
    /// Frames, one behind the other.
    registers: Vec<u64>,
    /// Values on their way from the end of a region to whoever takes them.
    passed: Vec<u64>,
    stores: Vec<Store>,
    free_stores: Vec<u32>,
    bytes: u64,
    loops: Vec<Running>,
    prints: Vec<PrintEvent>,
    steps: u64,
    depth: u32,
}

impl<'c, 'p> Machine<'c, 'p> {
    fn new(code: &'c Code<'p>, options: &'c EvalOptions) -> Machine<'c, 'p> {
        Machine {
            code,
            options,
            registers: Vec::new(),
            passed: Vec::new(),
            stores: Vec::new(),
            free_stores: Vec::new(),
            bytes: 0,
            loops: Vec::new(),
            prints: Vec::new(),
            steps: 0,
            depth: 0,
        }
    }

    fn run(mut self, inputs: Vec<Arg>) -> Result<Outcome, Fail> {
        let entry = &self.code.funcs[0];
        let types: Vec<Type> = entry.func.params().iter().map(|&param| entry.func.ty(param)).collect();
        if types.len() != inputs.len() || !types.iter().zip(&inputs).all(|(&ty, input)| fits(input, ty)) {
            return broken("the arguments do not fit the entry's parameters");
        }
        self.registers.resize(entry.registers, 0);
        let mut given = Vec::new();
        for (input, &param) in inputs.into_iter().zip(&entry.params) {
            let word = match input {
                Arg::Scalar(constant) => const_bits(constant),
                Arg::Array(array) => self.add_store(array.elem, array.dims, array.data),
            };
            self.registers[param as usize] = word;
            given.push(word);
        }
        self.body(entry, 0)?;
        let take = |machine: &mut Machine, word: u64, ty: Type| match ty {
            Type::Scalar(scalar) => Ok(Arg::Scalar(const_from_bits(word, scalar))),
            Type::Array { .. } => machine.take_store(word).map(Arg::Array),
            Type::Lanes(..) | Type::Mask(_) => broken("lanes pass the door"),
        };
        let mut results = Vec::new();
        let passed = std::mem::take(&mut self.passed);
        for (word, &ty) in passed.into_iter().zip(&entry.func.results) {
            results.push(take(&mut self, word, ty)?);
        }
        let mut args = Vec::new();
        for (word, &ty) in given.into_iter().zip(&types) {
            args.push(take(&mut self, word, ty)?);
        }
        let leaked = self.stores.iter().filter(|store| store.is_live).count();
        Ok(Outcome { results, args, prints: self.prints, leaked, steps: self.steps })
    }

    /// Runs a function whose parameters are set; its results are in `passed`.
    fn body(&mut self, body: &'c Body<'p>, base: usize) -> Result<(), Fail> {
        match self.block(body, body.func.body.index(), base)? {
            End::Return => Ok(()),
            End::Yield | End::Break(_) | End::Continue(_) => broken("a function ends without `return`"),
        }
    }

    fn block(&mut self, body: &'c Body<'p>, region: usize, base: usize) -> Result<End, Fail> {
        let block: &'c Block<'p> = &body.blocks[region];
        self.steps += block.steps.len() as u64 + 1;
        self.depth += 1;
        if self.steps > self.options.max_steps || self.depth > self.options.max_depth {
            return Err(Box::new(EvalError::Stopped));
        }
        for step in &block.steps {
            // Most ops are arithmetic on scalars: this loop is what the oracle spends its time on.
            match &step.kind {
                Kind::Apply { function, args, strides } => {
                    for lane in 0..step.lanes as usize {
                        let arg = |position: usize| {
                            self.registers[base + args[position] as usize + lane * strides[position] as usize]
                        };
                        self.registers[base + step.dst as usize + lane] = function(arg(0), arg(1), arg(2));
                    }
                }
                Kind::Const(word) => self.registers[base + step.dst as usize] = *word,
                Kind::If => {
                    let chosen = usize::from(self.register(base, step.args[0]) == 0);
                    match self.block(body, step.op.regions[chosen].index(), base)? {
                        End::Yield => self.take_passed(&step.results, base),
                        end @ (End::Break(_) | End::Continue(_) | End::Return) => {
                            self.depth -= 1;
                            return Ok(end);
                        }
                    }
                }
                Kind::For { data, arrays } => {
                    if let Some(end) = self.run_for(body, step, data, arrays, base)? {
                        self.depth -= 1;
                        return Ok(end);
                    }
                }
                Kind::While => {
                    if let Some(end) = self.run_while(body, step, base)? {
                        self.depth -= 1;
                        return Ok(end);
                    }
                }
                Kind::Call(callee) => {
                    let callee = &self.code.funcs[*callee];
                    let frame = base + body.registers;
                    self.enter(callee, frame, base, &step.args);
                    self.body(callee, frame)?;
                    self.take_passed(&step.results, base);
                }
                Kind::RunLoop { func, totals } => {
                    let callee = &self.code.funcs[*func];
                    let frame = base + body.registers;
                    self.enter(callee, frame, base, &step.args[1..]);
                    self.body(callee, frame)?;
                    self.passed.clear();
                    self.passed.extend(totals.iter().map(|&at| self.registers[frame + at as usize]));
                    self.take_passed(&step.results, base);
                }
                Kind::Math(callee) => {
                    let callee = &self.code.funcs[*callee];
                    let frame = base + body.registers;
                    for lane in 0..u32::from(step.lanes) {
                        let args: Vec<Place> = step
                            .args
                            .iter()
                            .map(|arg| Place { at: arg.at + lane.min(u32::from(arg.lanes)), lanes: 0 })
                            .collect();
                        self.enter(callee, frame, base, &args);
                        self.body(callee, frame)?;
                        self.registers[base + (step.dst + lane) as usize] = self.passed[0];
                    }
                }
                Kind::Seed
                | Kind::Draw(..)
                | Kind::Iota(_)
                | Kind::Any
                | Kind::All
                | Kind::Dim(_)
                | Kind::Load
                | Kind::Store
                | Kind::LoadMasked
                | Kind::StoreMasked
                | Kind::Update(_)
                | Kind::UpdateFma(_)
                | Kind::UpdateMasked(_)
                | Kind::UpdateFmaMasked(_)
                | Kind::Alloc(_)
                | Kind::Free
                | Kind::Check
                | Kind::Send(_)
                | Kind::SendFma(_)
                | Kind::SendMasked(_)
                | Kind::Print => self.simple(body, step, base)?,
            }
        }
        self.depth -= 1;
        self.passed.clear();
        self.passed.extend(block.passed.iter().map(|&at| self.registers[base + at as usize]));
        Ok(block.end)
    }

    fn register(&self, base: usize, place: Place) -> u64 {
        self.registers[base + place.at as usize]
    }

    /// A lane of a value; a scalar is the same in all lanes.
    fn lane(&self, base: usize, place: Place, lane: usize) -> u64 {
        let offset = if place.lanes > 0 { lane } else { 0 };
        self.registers[base + place.at as usize + offset]
    }

    fn take_passed(&mut self, results: &[u32], base: usize) {
        for (&result, &word) in results.iter().zip(&self.passed) {
            self.registers[base + result as usize] = word;
        }
    }

    /// Makes a frame and sets the parameters; lanes are copied whole.
    fn enter(&mut self, callee: &Body, frame: usize, base: usize, args: &[Place]) {
        if self.registers.len() < frame + callee.registers {
            self.registers.resize(frame + callee.registers, 0);
        }
        let words = args.iter().flat_map(|arg| arg.at..arg.at + u32::from(arg.lanes.max(1)));
        for (word, &param) in words.zip(&callee.params) {
            self.registers[frame + param as usize] = self.registers[base + word as usize];
        }
    }

    /// Everything that is not arithmetic, control or a call.
    fn simple(&mut self, body: &'c Body<'p>, step: &'c Step<'p>, base: usize) -> Result<(), Fail> {
        let dst = base + step.dst as usize;
        let lanes = step.lanes as usize;
        let args = &step.args;
        match step.kind {
            Kind::Seed => self.registers[dst] = self.options.seed,
            Kind::Draw(generator, kind) => {
                for lane in 0..lanes {
                    let word = |position: usize| self.lane(base, args[position], lane);
                    let (low, high) = draw_block(generator, kind, word(0), word(1), word(2));
                    self.registers[dst + lane] = low;
                    self.registers[dst + lanes + lane] = high;
                }
            }
            Kind::Iota(add) => {
                let first = self.register(base, args[0]);
                for lane in 0..lanes {
                    self.registers[dst + lane] = add(first, lane as u64, 0);
                }
            }
            Kind::Any => self.registers[dst] = u64::from(self.lanes(base, args[0]).contains(&1)),
            Kind::All => self.registers[dst] = u64::from(!self.lanes(base, args[0]).contains(&0)),
            Kind::Dim(axis) => {
                let store = self.store(self.register(base, args[0]))?;
                self.registers[dst] = self.stores[store].dims[axis as usize] as u64;
            }
            Kind::Load => {
                let (array, indices) = (args[0], &args[1..]);
                for lane in 0..lanes {
                    let (store, at) = self.element(base, array, indices, lane)?;
                    self.registers[dst + lane] = self.stores[store].data[at];
                }
            }
            Kind::LoadMasked => {
                let (array, mask, indices) = (args[0], args[1], &args[2..]);
                for lane in 0..lanes {
                    self.registers[dst + lane] = if self.lane(base, mask, lane) != 0 {
                        let (store, at) = self.element(base, array, indices, lane)?;
                        self.stores[store].data[at]
                    } else {
                        0
                    };
                }
            }
            Kind::Store => {
                let (array, indices, value) = (args[0], &args[1..args.len() - 1], args[args.len() - 1]);
                for lane in 0..value.lanes.max(1) as usize {
                    let (store, at) = self.element(base, array, indices, lane)?;
                    self.stores[store].data[at] = self.lane(base, value, lane);
                }
            }
            Kind::StoreMasked => {
                let (array, mask, value) = (args[0], args[1], args[args.len() - 1]);
                let indices = &args[2..args.len() - 1];
                for lane in 0..mask.lanes as usize {
                    if self.lane(base, mask, lane) != 0 {
                        let (store, at) = self.element(base, array, indices, lane)?;
                        self.stores[store].data[at] = self.lane(base, value, lane);
                    }
                }
            }
            Kind::Update(combine) => {
                self.update(base, args, None, 1, |element, [term, _]| combine(element, term, 0))?
            }
            Kind::UpdateFma(fma) => self.update(base, args, None, 2, |element, [a, b]| fma(a, b, element))?,
            Kind::UpdateMasked(combine) => {
                self.update(base, args, Some(args[1]), 1, |element, [term, _]| combine(element, term, 0))?;
            }
            Kind::UpdateFmaMasked(fma) => {
                self.update(base, args, Some(args[1]), 2, |element, [a, b]| fma(a, b, element))?;
            }
            Kind::Alloc(fill) => {
                let dims: Vec<i64> = args.iter().map(|&size| self.register(base, size) as i64).collect();
                let elem = body.func.ty(step.op.results[0]).scalar();
                self.registers[dst] = self.alloc(elem, dims, fill)?;
            }
            Kind::Free => {
                let handle = self.register(base, args[0]);
                self.take_store(handle)?;
            }
            Kind::Check => self.check(body, step, base)?,
            Kind::Send(reduction) => {
                let term = args[0];
                self.send(reduction, term.lanes, |machine, lane| {
                    Some(Term::Plain(machine.lane(base, term, lane)))
                })?;
            }
            Kind::SendFma(reduction) => {
                let (a, b) = (args[0], args[1]);
                self.send(reduction, a.lanes, |machine, lane| {
                    Some(Term::Product(machine.lane(base, a, lane), machine.lane(base, b, lane)))
                })?;
            }
            Kind::SendMasked(reduction) => {
                let (mask, term) = (args[0], args[1]);
                self.send(reduction, mask.lanes, |machine, lane| {
                    let is_on = machine.lane(base, mask, lane) != 0;
                    is_on.then(|| Term::Plain(machine.lane(base, term, lane)))
                })?;
            }
            Kind::Print => self.print(body, step, base)?,
            Kind::Apply { .. }
            | Kind::Const(_)
            | Kind::Math(_)
            | Kind::If
            | Kind::For { .. }
            | Kind::While
            | Kind::Call(_)
            | Kind::RunLoop { .. } => {}
        }
        Ok(())
    }

    /// Changes an element per lane that is on, in ascending order: `array, [mask,] indices`, then `count` operands of `change`.
    fn update(
        &mut self,
        base: usize,
        args: &[Place],
        mask: Option<Place>,
        count: usize,
        change: impl Fn(u64, [u64; 2]) -> u64,
    ) -> Result<(), Fail> {
        let (rest, values) = args.split_at(args.len() - count);
        let (array, indices) = (rest[0], &rest[1 + usize::from(mask.is_some())..]);
        for lane in 0..values[0].lanes.max(1) as usize {
            if mask.is_none_or(|mask| self.lane(base, mask, lane) != 0) {
                let (store, at) = self.element(base, array, indices, lane)?;
                let words = [values[0], values[count - 1]].map(|value| self.lane(base, value, lane));
                let element = &mut self.stores[store].data[at];
                *element = change(*element, words);
            }
        }
        Ok(())
    }

    /// All lanes of a value.
    fn lanes(&self, base: usize, value: Place) -> &[u64] {
        let at = base + value.at as usize;
        &self.registers[at..at + value.lanes as usize]
    }

    /// Runs a `for`; gives the end that goes beyond the loop, if one does.
    fn run_for(
        &mut self,
        body: &'c Body<'p>,
        step: &'c Step<'p>,
        data: &'p ForData,
        arrays: &[Place],
        base: usize,
    ) -> Result<Option<End>, Fail> {
        let rank = data.rank as usize;
        let extents: Vec<i64> =
            step.args[..rank].iter().map(|&arg| self.register(base, arg) as i64).collect();
        let mut ordinals = vec![0i64; rank];
        let running = self.begin_loop(data, &extents, arrays, base)?;
        let mut is_done = running.iterations == 0;
        self.loops.push(running);
        self.pass(&step.args[rank..], base);
        let mut left = None;
        while !is_done {
            let group = self.begin_group(data, &ordinals, &extents)?;
            let region = step.op.regions[usize::from(group.is_tail)].index();
            let params = &body.blocks[region].params;
            for (&param, &ordinal) in params.iter().zip(&ordinals) {
                self.registers[base + param as usize] = ordinal as u64;
            }
            if group.is_tail {
                self.passed.clear();
                self.passed.extend((0..data.tail).map(|lane| u64::from(lane < group.lanes)));
            }
            self.take_passed(&params[rank..], base);
            match self.block(body, region, base)? {
                End::Yield | End::Continue(0) => {}
                End::Break(0) => is_done = true,
                End::Break(outer) => left = Some(End::Break(outer - 1)),
                End::Continue(outer) => left = Some(End::Continue(outer - 1)),
                End::Return => left = Some(End::Return),
            }
            if left.is_some() {
                break;
            }
            is_done |= !advance(&mut ordinals, &extents, group.lanes);
            self.end_iteration(&ordinals, &extents, is_done)?;
        }
        let Some(running) = self.loops.pop() else { return broken("no loop is running") };
        for array in running.arrays.into_iter().rev() {
            self.end_segments(array)?;
        }
        if left.is_none() {
            self.passed.extend(running.sinks.into_iter().map(Sink::total));
            self.take_passed(&step.results, base);
        }
        Ok(left)
    }

    fn begin_loop(
        &mut self,
        data: &ForData,
        extents: &[i64],
        arrays: &[Place],
        base: usize,
    ) -> Result<Running, Fail> {
        if extents.iter().any(|&extent| extent < 0) {
            return broken("an extent is negative");
        }
        let product = extents.iter().try_fold(1u64, |product, &extent| product.checked_mul(extent as u64));
        let iterations = if extents.contains(&0) { 0 } else { product.unwrap_or(u64::MAX) };
        let mut running = Running {
            ordinal: 0,
            iterations,
            valid_lanes: 1,
            sinks: Vec::new(),
            waiting: Vec::new(),
            arrays: Vec::new(),
        };
        for reduction in &data.reductions {
            let Some(sink) = Sink::new(reduction.op, reduction.ty, iterations) else {
                return broken("a reduction's operator does not take its type");
            };
            running.sinks.push(sink);
        }
        for (&place, &(_, op)) in arrays.iter().zip(&data.arrays) {
            let handle = self.register(base, place);
            let at = self.store(handle)?;
            let store = &mut self.stores[at];
            let count = segments(op, store.elem, iterations, store.data.len() as u64);
            if count == 1 {
                continue;
            }
            let Some(combine) = reduce_function(op, store.elem) else {
                return broken("an array reduction's operator does not take its type");
            };
            let identity = reduce_identity(op, store.elem);
            let copy = vec![identity; store.data.len()];
            let original = std::mem::replace(&mut store.data, copy);
            running.arrays.push(Segmented {
                handle,
                combine,
                identity,
                segments: count,
                segment: 0,
                original,
            });
        }
        self.check_segments(&mut running)?;
        Ok(running)
    }

    /// After an iteration: its waiting terms go out in order, and the loop's place moves on.
    fn end_iteration(&mut self, ordinals: &[i64], extents: &[i64], is_done: bool) -> Result<(), Fail> {
        let Some(mut running) = self.loops.pop() else { return broken("no loop is running") };
        if !running.waiting.is_empty() {
            // Stable: terms of one iteration stay in program order.
            running.waiting.sort_by_key(|&(_, ordinal, _)| ordinal);
            for (reduction, ordinal, term) in running.waiting.drain(..) {
                running.sinks[reduction as usize].send(ordinal, term);
            }
        }
        if !is_done {
            running.ordinal =
                ordinals.iter().zip(extents).fold(0, |all, (&one, &extent)| all * extent as u64 + one as u64);
            self.check_segments(&mut running)?;
        }
        self.loops.push(running);
        Ok(())
    }

    /// Which region runs next, and how many ordinals it takes: a group of a widened loop ends with its row, and where a segment of an array reduction
    /// ends, as the runtime cuts there.
    fn begin_group(&mut self, data: &ForData, ordinals: &[i64], extents: &[i64]) -> Result<Group, Fail> {
        let Some(running) = self.loops.last_mut() else { return broken("no loop is running") };
        if data.lanes == 1 {
            return Ok(Group { is_tail: false, lanes: 1 });
        }
        let last = ordinals.len() - 1;
        let mut left = extents[last] - ordinals[last];
        for array in &running.arrays {
            let end = segment_start(array.segment + 1, array.segments, running.iterations);
            left = left.min((end - running.ordinal) as i64);
        }
        let is_tail = left < i64::from(data.lanes);
        let lanes = if is_tail { left.min(data.tail.into()) as u8 } else { data.lanes };
        running.valid_lanes = lanes;
        Ok(Group { is_tail, lanes })
    }

    /// Moves every segmented array to the segment of the iteration that begins.
    fn check_segments(&mut self, running: &mut Running) -> Result<(), Fail> {
        for array in &mut running.arrays {
            while running.ordinal >= segment_start(array.segment + 1, array.segments, running.iterations)
                && array.segment + 1 < array.segments
            {
                self.merge_segment(array)?;
                array.segment += 1;
            }
        }
        Ok(())
    }

    /// Adds the segment's copy to the array's own contents, and begins a new copy.
    fn merge_segment(&mut self, array: &mut Segmented) -> Result<(), Fail> {
        let at = self.store(array.handle)?;
        for (own, copy) in array.original.iter_mut().zip(&mut self.stores[at].data) {
            *own = (array.combine)(*own, *copy, 0);
            *copy = array.identity;
        }
        Ok(())
    }

    fn end_segments(&mut self, mut array: Segmented) -> Result<(), Fail> {
        self.merge_segment(&mut array)?;
        let at = self.store(array.handle)?;
        self.stores[at].data = array.original;
        Ok(())
    }

    /// Runs a `while`; gives the end that goes beyond the loop, if one does.
    fn run_while(
        &mut self,
        body: &'c Body<'p>,
        step: &'c Step<'p>,
        base: usize,
    ) -> Result<Option<End>, Fail> {
        let [test, next] = [step.op.regions[0].index(), step.op.regions[1].index()];
        self.pass(&step.args, base);
        loop {
            for region in [test, next] {
                self.take_passed(&body.blocks[region].params, base);
                match self.block(body, region, base)? {
                    End::Yield if region == test => {
                        if self.passed.remove(0) == 0 {
                            self.take_passed(&step.results, base);
                            return Ok(None);
                        }
                    }
                    End::Yield => {}
                    // From either region, `continue` goes to the next test.
                    End::Continue(0) => break,
                    End::Break(0) => {
                        self.take_passed(&step.results, base);
                        return Ok(None);
                    }
                    End::Break(outer) => return Ok(Some(End::Break(outer - 1))),
                    End::Continue(outer) => return Ok(Some(End::Continue(outer - 1))),
                    End::Return => return Ok(Some(End::Return)),
                }
            }
        }
    }

    /// Puts values on their way, all lanes of each.
    fn pass(&mut self, values: &[Place], base: usize) {
        self.passed.clear();
        for value in values {
            let at = base + value.at as usize;
            self.passed.extend_from_slice(&self.registers[at..at + value.lanes.max(1) as usize]);
        }
    }

    /// Sends the terms of a scalar (`lanes` 0) or of lanes to a reduction of the innermost loop.
    fn send(
        &mut self,
        reduction: u32,
        lanes: u8,
        term: impl Fn(&Self, usize) -> Option<Term>,
    ) -> Result<(), Fail> {
        let Some(mut running) = self.loops.pop() else { return broken("no loop is running") };
        for lane in 0..lanes.max(1) {
            let Some(term) = term(self, lane as usize) else { continue };
            let sink = &mut running.sinks[reduction as usize];
            if lanes == 0 {
                sink.send(running.ordinal, term);
            } else if lane < running.valid_lanes {
                running.waiting.push((reduction, running.ordinal + u64::from(lane), term));
            } else if !sink.is_neutral(term) {
                return broken("a lane beyond the end of the loop sends a term");
            }
        }
        self.loops.push(running);
        Ok(())
    }

    fn check(&self, body: &Body, step: &Step, base: usize) -> Result<(), Fail> {
        let OpCode::Check(site) = step.op.code else { return broken("a check without a site") };
        let site = &body.func.sites[site.index()];
        let word = |position: usize| self.register(base, step.args[position]);
        let signed = |position: usize| word(position) as i64;
        let scalar = |position: usize| body.func.ty(step.op.args[position]).scalar();
        let mut repeated = None;
        let holds = match &site.kind {
            CheckKind::Bounds { .. } => (0..signed(1)).contains(&signed(0)),
            CheckKind::NonZero { .. } | CheckKind::Step | CheckKind::NotEmpty { .. } => word(0) != 0,
            CheckKind::Exponent => match const_from_bits(word(0), scalar(0)) {
                Const::I32(exponent) => exponent >= 0,
                Const::I64(exponent) => exponent >= 0,
                Const::Bool(_) | Const::U32(_) | Const::U64(_) | Const::F32(_) | Const::F64(_) => true,
            },
            CheckKind::Size => signed(0) >= 0,
            CheckKind::DrawRange => signed(0) < signed(1),
            CheckKind::SameSize { .. } => signed(0) == signed(1),
            CheckKind::Entry { .. } | CheckKind::Domain { .. } => word(0) != 0,
            CheckKind::Unique { .. } => {
                repeated = self.first_repeat(word(0), signed(1), signed(2))?;
                repeated.is_none()
            }
        };
        if holds {
            return Ok(());
        }
        let tested = site.kind.tested();
        let mut values: Vec<Const> = match repeated {
            Some((later, earlier)) => vec![Const::I64(later), Const::I64(earlier)],
            None => (0..tested).map(|position| const_from_bits(word(position), scalar(position))).collect(),
        };
        values.extend((tested..step.args.len()).map(|position| Const::I64(signed(position))));
        Err(Box::new(EvalError::Check { site: Box::new(site.clone()), values, prints: self.prints.clone() }))
    }

    /// The lowest ordinal of `offset .. offset + count` whose value stood there before, and where.
    fn first_repeat(&self, handle: u64, offset: i64, count: i64) -> Result<Option<(i64, i64)>, Fail> {
        let data = &self.stores[self.store(handle)?].data;
        let end = offset.checked_add(count.max(0)).filter(|&end| offset >= 0 && end <= data.len() as i64);
        let Some(end) = end.or((count <= 0).then_some(offset)) else {
            return broken("`unique` looks beyond the array");
        };
        let mut seen = std::collections::HashMap::new();
        for at in offset..end {
            if let Some(earlier) = seen.insert(data[at as usize], at) {
                return Ok(Some((at - offset, earlier - offset)));
            }
        }
        Ok(None)
    }

    fn print(&mut self, body: &Body, step: &Step, base: usize) -> Result<(), Fail> {
        let OpCode::Print(site) = step.op.code else { return broken("a print without a site") };
        let mut values = step.op.args.iter().zip(&step.args);
        let mut parts = Vec::new();
        for part in &body.func.prints[site.index()].parts {
            parts.push(match part {
                PrintPart::Text(text) => Printed::Text(text.clone()),
                PrintPart::Value => {
                    let Some((&value, &place)) = values.next() else {
                        return broken("a print lacks a value");
                    };
                    let word = self.register(base, place);
                    Printed::Value(match body.func.ty(value) {
                        Type::Array { .. } => {
                            let store = &self.stores[self.store(word)?];
                            let (dims, data) = (store.dims.clone(), store.data.clone());
                            Arg::Array(ArrayData { elem: store.elem, dims, data })
                        }
                        ty => Arg::Scalar(const_from_bits(word, ty.scalar())),
                    })
                }
            });
        }
        self.prints.push(PrintEvent { parts });
        Ok(())
    }

    fn alloc(&mut self, elem: Scalar, dims: Vec<i64>, fill: Fill) -> Result<u64, Fail> {
        if dims.iter().any(|&size| size < 0) {
            return broken("an array of negative size");
        }
        let product = dims.iter().try_fold(8u64, |product, &size| product.checked_mul(size as u64));
        let bytes = if dims.contains(&0) { 0 } else { product.unwrap_or(u64::MAX) };
        if bytes > self.options.max_bytes - self.bytes {
            return Err(Box::new(EvalError::Memory));
        }
        self.bytes += bytes;
        // What nobody may look at is no number that a right program is likely to compute.
        let junk =
            if elem == Scalar::Bool { 1 } else { 0x5a5a_5a5a_5a5a_5a5a & (u64::MAX >> (64 - elem.bits())) };
        let word = if fill == Fill::Zeros { 0 } else { junk };
        let handle = self.add_store(elem, dims, vec![word; (bytes / 8) as usize]);
        let at = self.store(handle)?;
        self.stores[at].bytes = bytes;
        Ok(handle)
    }

    fn add_store(&mut self, elem: Scalar, dims: Vec<i64>, data: Vec<u64>) -> u64 {
        let at = self.free_stores.pop().unwrap_or_else(|| {
            let empty = Vec::new();
            self.stores.push(Store {
                generation: 0,
                is_live: false,
                elem,
                dims: vec![],
                data: empty,
                bytes: 0,
            });
            self.stores.len() as u32 - 1
        });
        let store = &mut self.stores[at as usize];
        let generation = store.generation.wrapping_add(1);
        *store = Store { generation, is_live: true, elem, dims, data, bytes: 0 };
        u64::from(generation) << 32 | u64::from(at)
    }

    /// The position of a live array.
    fn store(&self, handle: u64) -> Result<usize, Fail> {
        let at = handle as u32 as usize;
        match self.stores.get(at) {
            Some(store) if store.is_live && store.generation == (handle >> 32) as u32 => Ok(at),
            _ => broken("an array is used after its end"),
        }
    }

    fn take_store(&mut self, handle: u64) -> Result<ArrayData, Fail> {
        let at = self.store(handle)?;
        let store = &mut self.stores[at];
        store.is_live = false;
        self.bytes -= store.bytes;
        self.free_stores.push(at as u32);
        let (dims, data) = (std::mem::take(&mut store.dims), std::mem::take(&mut store.data));
        Ok(ArrayData { elem: store.elem, dims, data })
    }

    /// Array and position of an element, for a lane.
    fn element(
        &self,
        base: usize,
        array: Place,
        indices: &[Place],
        lane: usize,
    ) -> Result<(usize, usize), Fail> {
        let at = self.store(self.register(base, array))?;
        let mut offset = 0;
        for (&index, &size) in indices.iter().zip(&self.stores[at].dims) {
            let index = self.lane(base, index, lane) as i64;
            if index < 0 || index >= size {
                return broken("an element out of bounds was touched without a check");
            }
            offset = offset * size as usize + index as usize;
        }
        Ok((at, offset))
    }
}

/// Moves to the next iteration, `lanes` ordinals on in the last extent; false behind the last.
fn advance(ordinals: &mut [i64], extents: &[i64], lanes: u8) -> bool {
    for axis in (0..ordinals.len()).rev() {
        let stride = if axis + 1 == ordinals.len() { i64::from(lanes) } else { 1 };
        match ordinals[axis].checked_add(stride) {
            Some(next) if next < extents[axis] => {
                ordinals[axis] = next;
                return true;
            }
            _ => ordinals[axis] = 0,
        }
    }
    false
}

/// Is this argument of that type, and consistent?
fn fits(arg: &Arg, ty: Type) -> bool {
    match (arg, ty) {
        (Arg::Scalar(constant), Type::Scalar(scalar)) => const_scalar(*constant) == scalar,
        (Arg::Array(array), Type::Array { elem, rank, .. }) => {
            let count = array.dims.iter().try_fold(1i64, |count, &size| count.checked_mul(size));
            array.elem == elem
                && array.dims.len() == rank as usize
                && array.dims.iter().all(|&size| size >= 0)
                && count == Some(array.data.len() as i64)
        }
        (Arg::Scalar(_) | Arg::Array(_), _) => false,
    }
}
