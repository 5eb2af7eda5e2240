//! What is known of integers at a point of a function, and what can be proven from it.
//!
//! In: a function, walked from top to bottom by [`walk`]. Out: answers to "does this check always pass here?". Holds: facts are true of unbounded
//! integers, and a value takes part in them only while it is shown not to wrap; facts end with the region that they hold in.
//!
//! # Forms
//! An i64 is a polynomial ([`Poly`]) over atoms: values that are not taken apart further, and sizes of arrays. `a + b`, `a * b` take part as a sum or a
//! product only if the result is known to fit in 64 bits; else they are atoms of their own. Ordinals are below the extent of their loop, which is an i64.
//!
//! Sizes are less than [`SIZE_LIMIT`] where that is certain: those of the entry's arguments, for the door refuses larger ones, also of arrays that are empty
//! because another size is 0; and those of an array just made, for no machine has memory for more, but only if its other sizes are not 0.
//!
//! # Proofs
//! p >= 0 is shown by replacing the atom of p that was defined last by one of its bounds, which hold atoms defined before it only, until a number is left.
//! With q in 0..n known as `0 <= q` and `q <= n - 1`, this decides triangular loops, stencils, strides, and `i*m + j` in n*m.
//!
//! # Guards
//! For `version`, sums and products may also take part on condition that some atoms lie within [`GUARD`] of zero, so that nothing wraps. A proof
//! then names those atoms, to be tested before a loop.

mod counters;
mod forms;
mod learn;
mod poly;
mod prove;

use super::{arrays, falls_through, take_ops};
use crate::ir::{Func, OpCode, OpId, RegionId, Terminator, Type, Value};
pub(crate) use poly::{Atom, NO_ATOM, Poly};
use std::rc::Rc;

/// Sizes of arrays are less.
pub(crate) const SIZE_LIMIT: i128 = 1 << 48;
/// Guarded atoms lie in `-GUARD..=GUARD`: then sums, and products of two, fit in 64 bits.
pub(crate) const GUARD: i128 = 1 << 31;
/// Steps of one proof, and of one that is needed to learn a definition.
const FUEL: u32 = 96;
const FUEL_INSIDE: u32 = 12;
/// Steps of all proofs in a function: what is not proven by then stays checked.
const STEPS: u32 = 100_000;
/// Bounds of an atom that a proof tries: the newest, which say most, and the oldest, which are its definition.
const NEWEST: usize = 6;
const OLDEST: usize = 2;
/// Arrays that a carried array may come from; with more it is not followed.
const ORIGINS: usize = 8;
/// How far a form looks through ops.
const MAX_DEPTH: u32 = 20;

const LEAST: i128 = i64::MIN as i128;
const GREATEST: i128 = i64::MAX as i128;

/// What an atom is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AtomKind {
    /// A value.
    Value(Value),
    /// The size of an array along an axis.
    Size(Value, u8),
}

/// Atoms that must be tested to be near zero before a proof counts.
pub(crate) type Guards = Vec<Atom>;

/// Guards that a form or bound rests on; mostly none.
#[derive(Clone, Default)]
struct Shared(Option<Rc<Guards>>);

impl Shared {
    fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn iter(&self) -> impl Iterator<Item = &Atom> {
        self.0.iter().flat_map(|guards| guards.iter())
    }

    fn to_vec(&self) -> Guards {
        self.0.as_deref().cloned().unwrap_or_default()
    }
}

impl From<Guards> for Shared {
    fn from(guards: Guards) -> Shared {
        Shared((!guards.is_empty()).then(|| Rc::new(guards)))
    }
}

#[derive(Clone)]
struct Bound {
    /// scale * atom >= poly (lower) or <= poly (upper); scale > 0.
    scale: i128,
    poly: Rc<Poly>,
    guards: Shared,
}

struct AtomData {
    kind: AtomKind,
    /// When it was defined: proofs go from late to early.
    position: u32,
    least: i128,
    greatest: i128,
    lower: Vec<Bound>,
    upper: Vec<Bound>,
    equal: Option<Rc<Poly>>,
}

/// A value as a polynomial, if the guards hold.
#[derive(Clone)]
struct Form {
    poly: Rc<Poly>,
    guards: Shared,
}

/// How to undo what was learnt.
enum Undo {
    Form(Value),
    Atom(Value),
    Size(Value),
    Lower(Atom),
    Upper(Atom),
    Range(Atom, i128, i128),
    Equal(Atom),
    NonZero(Value),
    HandedOver(Atom, Value, Value),
}

/// Whose arrays are the parameters of a function?
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Params {
    /// The host's: it is the entry.
    Arguments,
    /// Some other function's.
    Passed,
}

/// May a proof rest on guards?
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proofs {
    /// No.
    Plain,
    /// Yes.
    Guarded,
}

/// What is known.
pub(crate) struct Ranges {
    params: Params,
    proofs: Proofs,
    atoms: Vec<AtomData>,
    /// Per value, its form if it was asked for.
    forms: Vec<Option<Form>>,
    /// Per value, its atom if it is one.
    atom_of: Vec<Atom>,
    /// Per array, its first size atom; the other axes follow it.
    sizes_of: Vec<Atom>,
    nonzero: Vec<bool>,
    /// Per value, when it was defined; 0 if it is not in scope.
    positions: Vec<u32>,
    position: u32,
    undo: Vec<Undo>,
    shapes: arrays::Shapes,
    /// Definitions being looked through: bounds the stack.
    depth: u32,
    /// Steps of proofs that are left for the function.
    steps: u32,
}

impl Params {
    /// Of the function of this number.
    pub(crate) fn of(number: usize) -> Params {
        if number == 0 { Params::Arguments } else { Params::Passed }
    }
}

/// What [`walk`] calls.
pub(crate) trait Visit {
    /// A check, before it is learnt that it passed. Does it stay?
    fn check(&mut self, ranges: &mut Ranges, func: &Func, op: OpId) -> Stays;
    /// A loop, before its body.
    fn enter_loop(&mut self, ranges: &mut Ranges, func: &Func, op: OpId);
    /// The same loop, after it.
    fn leave_loop(&mut self, func: &Func, op: OpId);
}

/// Does an op stay in its region?
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stays {
    /// Yes.
    Yes,
    /// No: it is deleted.
    No,
}

/// Walks a function from top to bottom, learning.
pub(crate) fn walk(func: &mut Func, params: Params, proofs: Proofs, visit: &mut dyn Visit) {
    let mut ranges = Ranges::new(func, params, proofs);
    let body = func.body;
    ranges.region(func, body, visit);
}

impl Ranges {
    fn new(func: &Func, params: Params, proofs: Proofs) -> Ranges {
        let values = func.values.len();
        Ranges {
            params,
            proofs,
            atoms: Vec::new(),
            forms: vec![None; values],
            atom_of: vec![NO_ATOM; values],
            sizes_of: vec![NO_ATOM; values],
            nonzero: vec![false; values],
            positions: vec![0; values],
            position: 0,
            undo: Vec::new(),
            shapes: arrays::Shapes::of(func),
            depth: 0,
            steps: STEPS,
        }
    }

    /// When the op that is walked next defines its results. A value in scope with an earlier position dominates this point.
    pub(crate) fn now(&self) -> u32 {
        self.position
    }

    /// Is the value in scope, and defined before `position`?
    pub(crate) fn is_defined_before(&self, value: Value, position: u32) -> bool {
        let at = self.positions[value.index()];
        at != 0 && at <= position
    }

    /// What the atom is.
    pub(crate) fn kind(&self, atom: Atom) -> AtomKind {
        self.atoms[atom as usize].kind
    }

    /// Is the atom's value known before `position`?
    pub(crate) fn is_atom_before(&self, atom: Atom, position: u32) -> bool {
        match self.kind(atom) {
            AtomKind::Value(value) | AtomKind::Size(value, _) => self.is_defined_before(value, position),
        }
    }

    fn region(&mut self, func: &mut Func, region: RegionId, visit: &mut dyn Visit) {
        for position in 0..func.region(region).params.len() {
            self.define(func.region(region).params[position]);
        }
        let ops = take_ops(func, region);
        let mut kept = Vec::with_capacity(ops.len());
        for &op in &ops {
            if self.step(func, op, visit) == Stays::Yes {
                kept.push(op);
            }
        }
        func.regions[region.index()].ops = kept;
        // Out of scope.
        for &op in &ops {
            for &result in &func.op(op).results {
                self.positions[result.index()] = 0;
            }
        }
        for &param in &func.region(region).params {
            self.positions[param.index()] = 0;
        }
    }

    fn define(&mut self, value: Value) {
        self.position += 1;
        self.positions[value.index()] = self.position;
    }

    fn step(&mut self, func: &mut Func, op: OpId, visit: &mut dyn Visit) -> Stays {
        let mut stays = Stays::Yes;
        match &func.op(op).code {
            OpCode::Check(site) => {
                let site = *site;
                stays = visit.check(self, func, op);
                self.learn_check(func, op, site);
            }
            OpCode::If => self.branches(func, op, visit),
            OpCode::For(_) => {
                visit.enter_loop(self, func, op);
                let mark = self.undo.len();
                let body = func.op(op).regions[0];
                self.position += 1;
                self.learn_ordinals(func, op, body);
                self.learn_for_counters(func, op, body);
                self.region(func, body, visit);
                self.forget(mark);
                visit.leave_loop(func, op);
            }
            OpCode::While => {
                visit.enter_loop(self, func, op);
                self.while_regions(func, op, visit);
                visit.leave_loop(func, op);
            }
            OpCode::Alloc | OpCode::AllocUninit => {
                self.learn_sizes(func, op);
            }
            _ => {}
        }
        for position in 0..func.op(op).results.len() {
            let result = func.op(op).results[position];
            self.define(result);
        }
        stays
    }

    fn branches(&mut self, func: &mut Func, op: OpId, visit: &mut dyn Visit) {
        let cond = func.op(op).args[0];
        for branch in 0..2 {
            let mark = self.undo.len();
            self.learn(func, cond, branch == 0, 0);
            let region = func.op(op).regions[branch];
            self.region(func, region, visit);
            self.forget(mark);
        }
        // If one branch leaves, what follows runs under the other's condition.
        let falls = [0, 1].map(|branch| falls_through(func, func.op(op).regions[branch]));
        if falls[0] != falls[1] {
            self.learn(func, cond, falls[0], 0);
        }
    }

    fn while_regions(&mut self, func: &mut Func, op: OpId, visit: &mut dyn Visit) {
        let [head, body] = [func.op(op).regions[0], func.op(op).regions[1]];
        let mark = self.undo.len();
        self.position += 1;
        // The head's region, but it stays in scope for its body: the body runs only after it.
        for position in 0..func.region(head).params.len() {
            self.define(func.region(head).params[position]);
        }
        self.learn_while_counters(func, op);
        let ops = take_ops(func, head);
        let mut kept = Vec::with_capacity(ops.len());
        for &inner in &ops {
            if self.step(func, inner, visit) == Stays::Yes {
                kept.push(inner);
            }
        }
        func.regions[head.index()].ops = kept;
        if let Terminator::Yield(values) = func.region(head).end.clone() {
            self.learn(func, values[0], true, 0);
            for (position, &value) in values[1..].iter().enumerate() {
                let param = func.region(body).params[position];
                if func.ty(param) == Type::I64 {
                    self.define(param);
                    self.hand_over(func, value, param);
                }
            }
        }
        // The body cannot name what the head computed.
        for &inner in &ops {
            for &result in &func.op(inner).results {
                self.positions[result.index()] = 0;
            }
        }
        for &param in &func.region(head).params {
            self.positions[param.index()] = 0;
        }
        self.region(func, body, visit);
        self.forget(mark);
    }

    /// `param` is `value` from here on, which has no other name any more.
    fn hand_over(&mut self, func: &Func, value: Value, param: Value) {
        let Some(form) = self.form(func, value) else { return };
        let atom = self.atom_of[value.index()];
        if atom != NO_ATOM && *form.poly == Poly::atom(atom) && self.kind(atom) == AtomKind::Value(value) {
            self.atom_of[param.index()] = atom;
            self.undo.push(Undo::HandedOver(atom, value, param));
            self.atoms[atom as usize].kind = AtomKind::Value(param);
        } else {
            let atom = self.atom(func, param);
            self.set_equal(atom, form);
        }
    }

    fn forget(&mut self, mark: usize) {
        while self.undo.len() > mark {
            match self.undo.pop().expect("bug: the loop's condition") {
                Undo::Form(value) => self.forms[value.index()] = None,
                Undo::Atom(value) => {
                    self.atom_of[value.index()] = NO_ATOM;
                    self.atoms.pop();
                }
                Undo::Size(array) => {
                    let first = std::mem::replace(&mut self.sizes_of[array.index()], NO_ATOM);
                    self.atoms.truncate(first as usize);
                }
                Undo::Lower(atom) => drop(self.atoms[atom as usize].lower.pop()),
                Undo::Upper(atom) => drop(self.atoms[atom as usize].upper.pop()),
                Undo::Range(atom, least, greatest) => {
                    let data = &mut self.atoms[atom as usize];
                    (data.least, data.greatest) = (least, greatest);
                }
                Undo::Equal(atom) => self.atoms[atom as usize].equal = None,
                Undo::HandedOver(atom, value, param) => {
                    self.atom_of[param.index()] = NO_ATOM;
                    self.atoms[atom as usize].kind = AtomKind::Value(value);
                }
                Undo::NonZero(value) => self.nonzero[value.index()] = false,
            }
        }
    }
}

/// What the two branches of an `if` yield for one of its results; `None` for a branch that leaves.
struct Yields {
    then: Option<Value>,
    otherwise: Option<Value>,
}

fn yields(func: &Func, value: Value) -> Yields {
    let crate::ir::Def::Op(op, position) = func.values[value.index()].def else {
        return Yields { then: None, otherwise: None };
    };
    let of = |branch: usize| match &func.region(func.op(op).regions[branch]).end {
        Terminator::Yield(values) => values.get(position as usize).copied(),
        _ => None,
    };
    Yields { then: of(0), otherwise: of(1) }
}

fn both(a: &Form, b: &Form) -> Guards {
    a.guards.iter().chain(b.guards.iter()).copied().collect()
}
