//! What a loop touches: every access to an array that lives outside its body, and what must hold for it to be reached.
//!
//! In: a function and one of its loops. Out: [`Accesses`], in program order, each with its chain of [`Fact`]s.
//! Holds: an access that is not listed cannot touch memory that another iteration sees; arrays made in the iteration are left out.

use super::nest::Nest;
use crate::ir::{Def, Func, FuncId, Op, OpCode, OpId, Program, RegionId, Terminator, Value};
use kiln_abi::ReduceOp;
use std::collections::HashSet;

/// What is done to the element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// It is read.
    Read,
    /// It is written.
    Write,
    /// It is updated by an operator.
    Update(ReduceOp),
}

impl Deed {
    /// Does it change the element?
    pub fn writes(self) -> bool {
        self != Deed::Read
    }
}

/// Which elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// One, by its indices.
    Element(Vec<Value>),
    /// Any, by a call.
    Call(FuncId),
    /// All: `print`, a test of `@unique`.
    Whole,
}

/// One access.
#[derive(Clone, Debug)]
pub struct Access {
    /// The op.
    pub op: OpId,
    /// What is done.
    pub deed: Deed,
    /// The array, as the op names it.
    pub array: Value,
    /// Arrays outside the loop that it may be.
    pub roots: Vec<Value>,
    /// Which elements.
    pub place: Place,
    /// The last fact before it.
    fact: Option<usize>,
}

/// Something that holds wherever the ops behind it run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The condition has this value.
    Condition(Value, bool),
    /// The check was passed.
    Check(OpId),
    /// The loop is running.
    Loop(OpId),
    /// A `while` loop is running.
    While,
}

/// A fact and what holds around or before it.
struct Node {
    fact: Fact,
    /// The fact just before.
    before: Option<usize>,
    /// The nearest one before that is no check.
    frame: Option<usize>,
}

/// What a loop touches.
#[derive(Default)]
pub struct Accesses {
    /// In program order.
    pub list: Vec<Access>,
    facts: Vec<Node>,
}

/// Conditions and loops around one access that are looked at.
const MAX_FRAMES: usize = 400;
/// Facts just before one access among which checks are looked for.
const MAX_BEFORE: usize = 200;

impl Accesses {
    /// Facts about an access, innermost first: conditions and loops, then the nearest checks. Where there are very many, some are left out.
    pub fn facts_of(&self, access: &Access) -> Vec<Fact> {
        let mut facts = Vec::new();
        let mut frame = self.frame_at(access.fact);
        while let Some(at) = frame
            && facts.len() < MAX_FRAMES
        {
            facts.push(self.facts[at].fact);
            frame = self.facts[at].frame;
        }
        let mut before = access.fact;
        for _ in 0..MAX_BEFORE {
            let Some(at) = before else { break };
            if let Fact::Check(_) = self.facts[at].fact {
                facts.push(self.facts[at].fact);
            }
            before = self.facts[at].before;
        }
        facts
    }

    /// The nearest fact that is no check, this one included.
    fn frame_at(&self, at: Option<usize>) -> Option<usize> {
        match self.facts[at?].fact {
            Fact::Check(_) => self.facts[at?].frame,
            Fact::Condition(..) | Fact::Loop(_) | Fact::While => at,
        }
    }

    fn add(&mut self, before: Option<usize>, fact: Fact) -> Option<usize> {
        let frame = self.frame_at(before);
        self.facts.push(Node { fact, before, frame });
        Some(self.facts.len() - 1)
    }
}

/// What a function does to the elements of one parameter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// It reads some.
    pub reads: bool,
    /// It writes some.
    pub writes: bool,
}

/// Of every function, what it does to each of its parameters.
pub fn summaries(program: &Program) -> Vec<Vec<Summary>> {
    let mut done: Vec<Option<Vec<Summary>>> = vec![None; program.funcs.len()];
    let callees = |func: &Func| -> Vec<usize> {
        func.ops
            .iter()
            .filter_map(|op| match op.code {
                OpCode::Call(callee) => Some(callee.index()),
                _ => None,
            })
            .collect()
    };
    for start in 0..program.funcs.len() {
        let mut stack = vec![(start, false)];
        while let Some((at, are_callees_done)) = stack.pop() {
            if done[at].is_some() {
                continue;
            }
            if are_callees_done {
                done[at] = Some(summary(&program.funcs[at], &done));
                continue;
            }
            stack.push((at, true));
            stack.extend(
                callees(&program.funcs[at])
                    .into_iter()
                    .filter(|&to| done[to].is_none())
                    .map(|to| (to, false)),
            );
        }
    }
    done.into_iter().map(Option::unwrap_or_default).collect()
}

fn summary(func: &Func, done: &[Option<Vec<Summary>>]) -> Vec<Summary> {
    let nest = Nest::new(func);
    let mut summary = vec![Summary::default(); func.params().len()];
    for (index, op) in func.ops.iter().enumerate() {
        if nest.region_of(OpId(index as u32)).is_none() {
            continue;
        }
        for (array, does, _) in touches(func, op, &|callee| done[callee.index()].clone().unwrap_or_default())
        {
            for root in roots(&nest, array, &|_| true) {
                if let Def::Param(region, position) = func.values[root.index()].def
                    && region == func.body
                {
                    summary[position as usize].reads |= does.reads;
                    summary[position as usize].writes |= does.writes;
                }
            }
        }
    }
    summary
}

/// The arrays that a value may be, among those that are not carried by something inside.
pub fn roots(nest: &Nest, value: Value, is_inside: &dyn Fn(Value) -> bool) -> Vec<Value> {
    let mut seen = HashSet::from([value]);
    let mut open = vec![value];
    let mut roots = Vec::new();
    while let Some(value) = open.pop() {
        let sources = nest.sources(value);
        if !is_inside(value) || sources.is_empty() {
            roots.push(value);
            continue;
        }
        open.extend(sources.iter().filter(|&&source| seen.insert(source)));
    }
    roots.sort();
    roots
}

/// The arrays that an op touches, how, and where.
fn touches(
    func: &Func,
    op: &Op,
    summary_of: &dyn Fn(FuncId) -> Vec<Summary>,
) -> Vec<(Value, Summary, Place)> {
    let read = Summary { reads: true, writes: false };
    let write = Summary { reads: false, writes: true };
    let both = Summary { reads: true, writes: true };
    let element = |summary: Summary, first: usize, behind: usize| {
        vec![(op.args[0], summary, Place::Element(op.args[first..op.args.len() - behind].to_vec()))]
    };
    match &op.code {
        OpCode::Load => element(read, 1, 0),
        OpCode::Store => element(write, 1, 1),
        OpCode::LoadMasked => element(read, 2, 0),
        OpCode::StoreMasked => element(write, 2, 1),
        OpCode::Update(_) => element(both, 1, 1),
        OpCode::UpdateFma => element(both, 1, 2),
        OpCode::UpdateMasked(_) => element(both, 2, 1),
        OpCode::UpdateFmaMasked => element(both, 2, 2),
        OpCode::Call(callee) => {
            let summaries = summary_of(*callee);
            let touched = op.args.iter().enumerate().filter(|&(_, &arg)| func.ty(arg).is_array());
            touched
                .map(|(at, &arg)| (arg, summaries.get(at).copied().unwrap_or(both), Place::Call(*callee)))
                .filter(|(_, summary, _)| summary.reads || summary.writes)
                .collect()
        }
        OpCode::Print(_) | OpCode::Check(_) => {
            let arrays = op.args.iter().filter(|&&arg| func.ty(arg).is_array());
            arrays.map(|&arg| (arg, read, Place::Whole)).collect()
        }
        // outlining comes later; whatever such a loop does, it may do to all of its arrays
        OpCode::RunLoop { .. } => {
            let arrays = op.args.iter().filter(|&&arg| func.ty(arg).is_array());
            arrays.map(|&arg| (arg, both, Place::Whole)).collect()
        }
        OpCode::Const(_)
        | OpCode::Seed
        | OpCode::Add
        | OpCode::Sub
        | OpCode::Mul
        | OpCode::Div
        | OpCode::FloorDiv
        | OpCode::Rem
        | OpCode::Neg
        | OpCode::Abs
        | OpCode::Min
        | OpCode::Max
        | OpCode::Fma
        | OpCode::Sqrt
        | OpCode::Floor
        | OpCode::Ceil
        | OpCode::Trunc
        | OpCode::Nearest
        | OpCode::And
        | OpCode::Or
        | OpCode::Xor
        | OpCode::Not
        | OpCode::Shl
        | OpCode::Shr
        | OpCode::MulHi
        | OpCode::Eq
        | OpCode::Ne
        | OpCode::Lt
        | OpCode::Le
        | OpCode::Gt
        | OpCode::Ge
        | OpCode::Select
        | OpCode::Convert
        | OpCode::Bitcast
        | OpCode::Math(_)
        | OpCode::Draw { .. }
        | OpCode::Splat
        | OpCode::Iota
        | OpCode::Extract { .. }
        | OpCode::Any
        | OpCode::All
        | OpCode::Dim { .. }
        | OpCode::Alloc
        | OpCode::AllocUninit
        | OpCode::Free
        | OpCode::Send { .. }
        | OpCode::SendFma { .. }
        | OpCode::SendMasked { .. }
        | OpCode::If
        | OpCode::For(_)
        | OpCode::While => Vec::new(),
    }
}

/// Everything that the loop `home` touches outside its body.
pub fn collect(func: &Func, nest: &Nest, home: OpId, summaries: &[Vec<Summary>]) -> Accesses {
    let mut inside = HashSet::new();
    for region in nest.regions_within(func, home) {
        inside.extend(func.region(region).params.iter().copied());
        for &op in &func.region(region).ops {
            inside.extend(func.op(op).results.iter().copied());
        }
    }
    let mut walk = Walk { func, nest, summaries, inside, found: Accesses::default() };
    walk.region(func.op(home).regions[0], None);
    walk.found
}

struct Walk<'a> {
    func: &'a Func,
    nest: &'a Nest,
    summaries: &'a [Vec<Summary>],
    inside: HashSet<Value>,
    found: Accesses,
}

impl Walk<'_> {
    fn region(&mut self, region: RegionId, outer: Option<usize>) {
        let func = self.func;
        let mut last = outer;
        for &id in &func.region(region).ops {
            let op = func.op(id);
            self.touch(id, op, last);
            match op.code {
                OpCode::If => {
                    for (&arm, positive) in op.regions.iter().zip([true, false]) {
                        let fact = self.found.add(last, Fact::Condition(op.args[0], positive));
                        self.region(arm, fact);
                    }
                }
                OpCode::For(_) => {
                    let fact = self.found.add(last, Fact::Loop(id));
                    self.region(op.regions[0], fact);
                }
                OpCode::While => {
                    let fact = self.found.add(last, Fact::While);
                    self.region(op.regions[0], fact);
                    self.region(op.regions[1], fact);
                }
                _ => {}
            }
            for fact in facts_behind(func, id) {
                last = self.found.add(last, fact);
            }
        }
    }

    fn touch(&mut self, id: OpId, op: &Op, fact: Option<usize>) {
        for (array, does, place) in touches(self.func, op, &|callee| self.summaries[callee.index()].clone()) {
            let roots = roots(self.nest, array, &|value| self.inside.contains(&value));
            let roots: Vec<Value> = roots.into_iter().filter(|root| !self.inside.contains(root)).collect();
            if roots.is_empty() {
                continue;
            }
            let deed = match (&op.code, does.writes) {
                (OpCode::Update(operator) | OpCode::UpdateMasked(operator), _) => Deed::Update(*operator),
                (OpCode::UpdateFma | OpCode::UpdateFmaMasked, _) => Deed::Update(ReduceOp::Sum),
                (_, true) => Deed::Write,
                (_, false) => Deed::Read,
            };
            self.found.list.push(Access { op: id, deed, array, roots, place, fact });
        }
    }
}

/// What holds once an op has been executed and the next one in its region is reached.
pub fn facts_behind(func: &Func, id: OpId) -> Vec<Fact> {
    let op = func.op(id);
    match op.code {
        OpCode::Check(_) => vec![Fact::Check(id)],
        OpCode::If => {
            let leaves = |at: usize| !matches!(func.region(op.regions[at]).end, Terminator::Yield(_));
            match (leaves(0), leaves(1)) {
                (true, false) => vec![Fact::Condition(op.args[0], false)],
                (false, true) => vec![Fact::Condition(op.args[0], true)],
                (true, true) | (false, false) => Vec::new(),
            }
        }
        _ => Vec::new(),
    }
}

/// What holds around the loop `home`, nearest first.
pub fn facts_around(func: &Func, nest: &Nest, home: OpId) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut op = home;
    while let Some(region) = nest.region_of(op) {
        let before = &func.region(region).ops[..nest.position_of(op)];
        facts.extend(before.iter().rev().flat_map(|&before| facts_behind(func, before)));
        let Some(holder) = nest.holder_of(region) else { break };
        match func.op(holder).code {
            OpCode::If => {
                facts.push(Fact::Condition(func.op(holder).args[0], func.op(holder).regions[0] == region));
            }
            OpCode::For(_) => facts.push(Fact::Loop(holder)),
            _ => {}
        }
        op = holder;
    }
    facts
}
