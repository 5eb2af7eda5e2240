//! The typed tree to the IR: control flow becomes structured SSA, the rules of SEMANTICS become ops.
//!
//! In: a checked [`tree::Program`]. Out: an [`ir::Program`] that means the same, operation by operation, or what forbids it: a loop
//! annotation that cannot be honoured. Holds: the work is linear in the tree (times its bounded depth), and every error is reported, not just the first.
//!
//! Conventions that later rooms may lean on:
//!
//! - **Order of evaluation** is that of the text: operands, arguments and statements left to right. An assignment evaluates its right side
//!   first, then the target's indices, then checks them axis by axis, then loads (an update), then stores. `a[i, j]` evaluates all its indices, then checks them.
//! - **Loops.** The index value is `lo + ordinal * step`, without the factor for step 1 and without the sum for `lo` 0. The extent of `lo..hi` is
//!   `max(hi, lo) - lo` (just `hi` if it is known not to be negative and `lo` is 0); with a literal step k it is `(d - 1) // k + 1` of that
//!   difference d; going down, `lo - min(hi, lo)`. Where such a difference could overflow, `select(d < 0, i64::MAX, d)` follows for step 1, and an
//!   unsigned computation otherwise. No loop can run 2^63 iterations, so saturating there changes nothing.
//! - **Annotated loops** carry nothing: outer scalars are reductions, streams are opened per iteration. A generator without annotation can carry: the counters
//!   of streams that it draws on from (section 6: inside another drawing loop, or explicit ones), and what a block in its term assigns. It is serial then.
//! - **Streams** are values: counters start as constants and are folded here, so straight-line code draws literal blocks.
//! - **Checks** end in the values of the enclosing loops' indices, outer to inner; the innermost ones if all do not fit.
//! - **Returns** from both arms of a last `if` become its values, behind which one `return` stands. Behind other branches that cannot be left at their end,
//!   and behind endless loops, the region ends in a `continue` or `return` of placeholders that is never reached.

mod arrays;
mod build;
mod effects;
mod expr;
mod extent;
mod generators;
mod loops;
mod stmt;
mod streams;
#[cfg(test)]
mod tests;

use crate::ir;
use effects::Effects;
use kiln_abi::ReduceOp;
use kiln_lang::diag::Diagnostic;
use kiln_lang::span::Span;
use kiln_lang::tree::{self, Dim, LocalId, LocalKind, StreamMode};
use kiln_lang::types::{Generator, Layout, Type};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Ops and values of all functions of a program together, and what branches and loops carry; more is an error. It bounds time and memory on
/// hostile input, where nested branches that all assign the same thousands of variables would grow with the product of both.
const MAX_SIZE: usize = 600_000;

/// Lowers a program.
///
/// # Errors
/// Annotated loops that carry a value from one iteration to the next other than as a reduction; programs too large to compile.
pub fn lower(program: &tree::Program) -> Result<ir::Program, Vec<Diagnostic>> {
    let mut findings = Findings::default();
    let mut room = MAX_SIZE;
    let mut funcs = Vec::with_capacity(program.funcs.len());
    for (number, func) in program.funcs.iter().enumerate() {
        let (lowered, left) = lower_func(program, func, number == 0, room, &mut findings);
        room = left;
        funcs.push(lowered);
    }
    findings.list.sort_by_key(|finding| {
        let place = finding.primary.span;
        (place.source, place.start, place.end)
    });
    if findings.list.is_empty() { Ok(ir::Program { funcs, loops: Vec::new() }) } else { Err(findings.list) }
}

/// Diagnostics, each once: specialisations of one function find the same things.
#[derive(Default)]
struct Findings {
    list: Vec<Diagnostic>,
    seen: HashSet<(String, Span)>,
}

impl Findings {
    fn report(&mut self, diagnostic: Diagnostic) {
        if self.seen.insert((diagnostic.title.clone(), diagnostic.primary.span)) {
            self.list.push(diagnostic);
        }
    }
}

fn lower_func(
    program: &tree::Program,
    func: &tree::Func,
    is_entry: bool,
    room: usize,
    findings: &mut Findings,
) -> (ir::Func, usize) {
    let mut slots = Slots::default();
    for local in &func.locals {
        slots.add(&local.ty);
    }
    let mut out = ir::Func::new(&func.name);
    let body = out.body;
    let scratch = out.add_region();
    let mut lower = Lower {
        program,
        func,
        is_entry,
        room,
        findings,
        effects: effects::effects(program, func),
        names: func.locals.iter().map(|local| local.name.as_str().into()).collect(),
        env: vec![Slot::Unset; slots.types.len()],
        seen: Vec::new(),
        look: 0,
        slots,
        out,
        region: body,
        scratch,
        dead: false,
        fast: func.fast,
        loops: Vec::new(),
        scopes: Vec::new(),
        generator: func.generator,
        streams: Vec::new(),
        bounds: HashMap::new(),
        reported: HashSet::new(),
        full: false,
    };
    lower.entry();
    lower.body();
    let left = lower.room.saturating_sub(lower.out.values.len() + lower.out.ops.len());
    (lower.finish(), left)
}

/// Where the flattened values of the locals live in the environment; the counters of streams follow, three per level.
#[derive(Default)]
struct Slots {
    /// First slot of each local.
    first: Vec<u32>,
    /// Type of each slot.
    types: Vec<ir::Type>,
}

impl Slots {
    fn add(&mut self, ty: &Type) {
        self.first.push(self.types.len() as u32);
        flatten(ty, &mut self.types);
    }

    fn of(&self, local: LocalId) -> std::ops::Range<usize> {
        let end = self.first.get(local.0 as usize + 1).map_or(self.types.len(), |&next| next as usize);
        self.first[local.0 as usize] as usize..end
    }
}

/// The IR types of a value: tuples flattened, a stream as key, index, uniforms, normals, children.
fn flatten(ty: &Type, out: &mut Vec<ir::Type>) {
    match ty {
        Type::Unit => {}
        Type::Scalar(scalar) => out.push(ir::Type::Scalar(*scalar)),
        Type::Array { elem, rank, layout } => {
            out.push(ir::Type::Array { elem: *elem, rank: *rank, layout: *layout });
        }
        Type::Tuple(items) => items.iter().for_each(|item| flatten(item, out)),
        Type::Stream(_) => out.extend([ir::Type::U64; streams::PARTS]),
    }
}

fn flat(ty: &Type) -> Vec<ir::Type> {
    let mut types = Vec::new();
    flatten(ty, &mut types);
    types
}

/// What a slot of the environment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    /// Not declared yet.
    Unset,
    /// This.
    Value(ir::Value),
    /// It is a reduction of the innermost loop: updates are sent to it.
    Sink { reduction: u32, op: ReduceOp },
}

/// An array that ends with a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// What the slot holds by then: owners swap.
    Slot(u32),
    /// The array of an expression.
    Value(ir::Value),
}

/// A loop around the place that is being lowered.
struct Loop {
    part: LoopPart,
    /// Slots that it carries.
    carried: Vec<u32>,
    /// Scopes outside.
    scopes: usize,
    /// Index variables, for messages.
    indices: Vec<(Arc<str>, ir::Value)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LoopPart {
    Body,
    /// The condition of a `while`: `break` and `continue` in it mean the loop around.
    Condition,
}

/// The state while one function is lowered.
struct Lower<'a> {
    program: &'a tree::Program,
    func: &'a tree::Func,
    is_entry: bool,
    /// Ops and values that may still be made.
    room: usize,
    findings: &'a mut Findings,
    effects: Effects,
    /// Names of the locals.
    names: Vec<Arc<str>>,
    slots: Slots,
    env: Vec<Slot>,
    /// For each slot, the last look at a stretch that met it: see [`Lower::assigned`].
    seen: Vec<u32>,
    look: u32,
    out: ir::Func,
    /// Where ops go.
    region: ir::RegionId,
    /// Where they go after a `return` or `break`; nothing refers to it.
    scratch: ir::RegionId,
    /// The place cannot be reached.
    dead: bool,
    /// In the reach of `@fast`.
    fast: bool,
    loops: Vec<Loop>,
    /// Blocks and statements around this place, and the arrays that end with them.
    scopes: Vec<Vec<Owner>>,
    /// What makes the blocks of the current stream.
    generator: Generator,
    /// Implicit streams, the current one last.
    streams: Vec<streams::Stream>,
    /// What is known of loop ordinals: least and greatest value.
    bounds: HashMap<ir::Value, (i128, i128)>,
    /// Locals that a diagnostic has named.
    reported: HashSet<LocalId>,
    /// Out of room: reported, and nothing more is lowered.
    full: bool,
}

impl Lower<'_> {
    /// Parameters, size variables and the checks of declared shapes.
    fn entry(&mut self) {
        let span = self.func.span;
        let body = self.out.body;
        self.open_function_stream(span);
        for param in &self.func.params {
            let name = self.names[param.local.0 as usize].clone();
            for slot in self.slots.of(param.local) {
                let value = self.out.add_param(body, self.slots.types[slot], Some(name.clone()));
                self.env[slot] = Slot::Value(value);
            }
        }
        let declared: Vec<_> = self
            .func
            .params
            .iter()
            .filter_map(|param| param.dims.as_ref().map(|dims| (param, dims)))
            .collect();
        for (param, dims) in &declared {
            for (axis, dim) in dims.iter().enumerate() {
                if let Dim::Bind(local) = *dim {
                    let array = self.local_value(param.local);
                    let size = self.dim(array, axis, param.span);
                    self.set_local(local, &[size]);
                }
            }
        }
        for (param, dims) in declared {
            let array = self.local_value(param.local);
            let what = format!("size of `{}`", self.names[param.local.0 as usize]);
            self.check_shape(array, &what, dims, param.span);
        }
    }

    /// Checks the sizes of `array` against declared ones, axis by axis.
    fn check_shape(&mut self, array: ir::Value, what: &str, dims: &[Dim], span: Span) {
        for (axis, dim) in dims.iter().enumerate() {
            let (wanted, words) = match *dim {
                Dim::Any | Dim::Bind(_) => continue,
                Dim::Equal(local, offset) => {
                    let local_value = self.local_value(local);
                    let offset_value = self.int(offset, span);
                    let wanted = self.fold(ir::OpCode::Add, local_value, offset_value, span);
                    (wanted, self.words_for_size(local, offset))
                }
                Dim::Literal(size) => (self.int(size, span), format!("{size} as declared")),
            };
            let found = self.dim(array, axis, span);
            if found == wanted {
                continue;
            }
            let kind = ir::CheckKind::SameSize {
                found: format!("{what} along axis {axis}").into(),
                wanted: words.into(),
            };
            self.check(kind, &[found, wanted], span);
        }
    }

    /// `` `n` = size of `x` along axis 0 ``, with `+ 1` where an offset is declared.
    fn words_for_size(&self, local: LocalId, offset: i64) -> String {
        let name = &self.names[local.0 as usize];
        let name = match offset {
            0 => format!("`{name}`"),
            1.. => format!("`{name}` + {offset}"),
            _ => format!("`{name}` - {}", offset.unsigned_abs()),
        };
        if self.func.locals[local.0 as usize].kind != LocalKind::Size {
            return format!("{name}, the argument");
        }
        let bound = self.func.params.iter().find_map(|param| {
            let axis = param.dims.as_ref()?.iter().position(|dim| *dim == Dim::Bind(local))?;
            Some((param.local, axis))
        });
        match (bound, offset) {
            (None, _) => name,
            (Some((array, axis)), 0) => {
                format!("{name} = size of `{}` along axis {axis}", self.names[array.0 as usize])
            }
            (Some((array, axis)), _) => {
                format!(
                    "{name}, with `{}` = size of `{}` along axis {axis}",
                    self.names[local.0 as usize], self.names[array.0 as usize]
                )
            }
        }
    }

    /// The statements, and a `return` at the end.
    fn body(&mut self) {
        let func = self.func;
        self.out.results = self.result_types();
        self.scopes.push(Vec::new());
        self.tail(&func.body);
        self.scopes.pop();
    }

    /// Types of the function's results: counters of the stream, then the flattened result.
    fn result_types(&self) -> Vec<ir::Type> {
        let mut types = Vec::new();
        if !self.is_entry && self.func.stream != StreamMode::None {
            types.extend([ir::Type::U64; 3]);
        }
        for ty in flat(&self.func.result) {
            types.push(match ty {
                ir::Type::Array { elem, rank, .. } => {
                    ir::Type::Array { elem, rank, layout: Layout::Contiguous }
                }
                ir::Type::Scalar(_) | ir::Type::Lanes(..) | ir::Type::Mask(_) => ty,
            });
        }
        types
    }

    fn finish(mut self) -> ir::Func {
        let scratch = &mut self.out.regions[self.scratch.index()];
        scratch.ops.clear();
        scratch.end = ir::Terminator::Yield(Vec::new());
        drop_unused_constants(&mut self.out);
        self.out
    }

    /// The single value of a local.
    fn local_value(&mut self, local: LocalId) -> ir::Value {
        let slot = self.slots.first[local.0 as usize];
        self.slot_value(slot)
    }

    /// The value of a slot; a reduction, which nothing may read, gives a constant after the error.
    fn slot_value(&mut self, slot: u32) -> ir::Value {
        match self.env[slot as usize] {
            Slot::Value(value) => value,
            Slot::Unset | Slot::Sink { .. } => {
                let ty = self.slots.types[slot as usize];
                self.placeholder(ty, self.func.span)
            }
        }
    }

    /// Binds the flattened values of a local.
    fn set_local(&mut self, local: LocalId, values: &[ir::Value]) {
        let name = self.names[local.0 as usize].clone();
        for (slot, &value) in self.slots.of(local).zip(values) {
            self.env[slot] = Slot::Value(value);
            self.name(value, &name);
        }
    }

    fn name(&mut self, value: ir::Value, name: &Arc<str>) {
        self.out.values[value.index()].name.get_or_insert_with(|| name.clone());
    }
}

/// What folding leaves behind.
fn drop_unused_constants(func: &mut ir::Func) {
    let mut used = vec![false; func.values.len()];
    for region in &func.regions {
        let operands = region.ops.iter().flat_map(|&op| &func.op(op).args);
        for value in operands.chain(region.end.args()) {
            used[value.index()] = true;
        }
    }
    let ir::Func { regions, ops, .. } = func;
    let is_unused = |op: &ir::Op| {
        matches!(op.code, ir::OpCode::Const(_) | ir::OpCode::Seed)
            && op.results.iter().all(|result| !used[result.index()])
    };
    for region in regions {
        region.ops.retain(|op| !is_unused(&ops[op.index()]));
    }
}
