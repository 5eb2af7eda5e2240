//! What is known of integers at a point of a function, and what can be proven from it.
//!
//! In: a function, walked from top to bottom by [`walk`]. Out: answers to "does this check always pass here?". Holds: facts are true of unbounded
//! integers, and a value takes part in them only while it is shown not to wrap; facts end with the region that they hold in.
//!
//! # Forms
//! An i64 is a polynomial ([`Poly`]) over atoms: values that are not taken apart further, and sizes of arrays. `a + b`, `a * b` take part as a sum or a
//! product only if the result is known to fit in 64 bits; else they are atoms of their own. A size is less than [`SIZE_LIMIT`]: no
//! machine has memory for more elements, and the runtime refuses such arrays even when another of their sizes is 0. Ordinals are below the
//! extent of their loop, which is an i64.
//!
//! # Proofs
//! p >= 0 is shown by replacing the atom of p that was defined last by one of its bounds, which hold atoms defined before it only, until a number is left.
//! With q in 0..n known as `0 <= q` and `q <= n - 1`, this decides triangular loops, stencils, strides, and `i*m + j` in n*m.
//!
//! # Guards
//! For `version`, sums and products may also take part on condition that some atoms lie within [`GUARD`] of zero, so that nothing wraps. A proof
//! then names those atoms, to be tested before a loop.

use super::poly::{Atom, NO_ATOM, Poly};
use super::{arrays, as_integer, extents_of, take_ops};
use crate::ir::{CheckKind, Func, OpCode, OpId, RegionId, SiteId, Terminator, Type, Value};
use kiln_lang::types::Scalar;
use std::rc::Rc;

/// Sizes of arrays are less.
pub(crate) const SIZE_LIMIT: i128 = 1 << 48;
/// Guarded atoms lie in `-GUARD..=GUARD`: then sums, and products of two, fit in 64 bits.
pub(crate) const GUARD: i128 = 1 << 31;
/// Steps of one proof, and of one that is needed to learn a definition.
const FUEL: u32 = 96;
const FUEL_INSIDE: u32 = 12;
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

#[derive(Clone)]
struct Bound {
    /// scale * atom >= poly (lower) or <= poly (upper); scale > 0.
    scale: i128,
    poly: Rc<Poly>,
    guards: Rc<Guards>,
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
    guards: Rc<Guards>,
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
pub(crate) fn walk(func: &mut Func, proofs: Proofs, visit: &mut dyn Visit) {
    let mut ranges = Ranges::new(func, proofs);
    let body = func.body;
    ranges.region(func, body, visit);
}

impl Ranges {
    fn new(func: &Func, proofs: Proofs) -> Ranges {
        let values = func.values.len();
        Ranges {
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

    // ---- walking ----

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
                for position in 0..func.op(op).args.len() {
                    let size = func.op(op).args[position];
                    self.learn_size(func, size);
                }
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
        let falls = [0, 1].map(|branch| super::falls_through(func, func.op(op).regions[branch]));
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
                    if let Some(form) = self.form(func, value) {
                        let atom = self.atom(func, param);
                        self.set_equal(atom, form);
                    }
                }
            }
        }
        self.region(func, body, visit);
        for &inner in &ops {
            for &result in &func.op(inner).results {
                self.positions[result.index()] = 0;
            }
        }
        for &param in &func.region(head).params {
            self.positions[param.index()] = 0;
        }
        self.forget(mark);
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
                Undo::NonZero(value) => self.nonzero[value.index()] = false,
            }
        }
    }

    // ---- forms ----

    fn new_atom(&mut self, kind: AtomKind, position: u32, least: i128, greatest: i128) -> Atom {
        self.atoms.push(AtomData {
            kind,
            position,
            least,
            greatest,
            lower: Vec::new(),
            upper: Vec::new(),
            equal: None,
        });
        self.atoms.len() as Atom - 1
    }

    /// The value as an atom, with what its definition says.
    fn atom(&mut self, func: &Func, value: Value) -> Atom {
        if self.atom_of[value.index()] != NO_ATOM {
            return self.atom_of[value.index()];
        }
        let (least, greatest) = range_of(func, value);
        let atom = self.new_atom(AtomKind::Value(value), self.positions[value.index()], least, greatest);
        self.atom_of[value.index()] = atom;
        self.undo.push(Undo::Atom(value));
        self.learn_definition(func, value, atom);
        atom
    }

    fn size(&mut self, func: &Func, array: Value, axis: u8) -> Option<Form> {
        let origin = self.origin(func, array);
        if let Some(op) = func.def_op(origin)
            && matches!(func.op(op).code, OpCode::Alloc | OpCode::AllocUninit)
        {
            return self.form(func, func.op(op).args[axis as usize]);
        }
        Some(self.size_atom(func, origin, axis))
    }

    fn size_atom(&mut self, func: &Func, array: Value, axis: u8) -> Form {
        if self.sizes_of[array.index()] == NO_ATOM {
            let Type::Array { rank, .. } = func.ty(array) else {
                panic!("bug: a size of something that is no array")
            };
            self.sizes_of[array.index()] = self.atoms.len() as Atom;
            for axis in 0..rank {
                let position = self.positions[array.index()];
                self.new_atom(AtomKind::Size(array, axis), position, 0, SIZE_LIMIT - 1);
            }
            self.undo.push(Undo::Size(array));
        }
        let atom = self.sizes_of[array.index()] + Atom::from(axis);
        Form { poly: Rc::new(Poly::atom(atom)), guards: Rc::default() }
    }

    /// An array with the same sizes: where the array comes from, if all that it may come from has the same sizes.
    fn origin(&mut self, func: &Func, array: Value) -> Value {
        let origins = self.shapes.origins(array);
        let Some((&first, others)) = origins.split_first() else { return array };
        let others = others.to_vec();
        let Type::Array { rank, .. } = func.ty(array) else { return array };
        for other in others {
            for axis in 0..rank {
                let sides = [first, other].map(|origin| self.size_at_origin(func, origin, axis));
                let [Some(a), Some(b)] = sides else { return array };
                let difference = a.poly.plus(-1, &b.poly).and_then(|poly| self.resolve(&poly));
                let is_plain = a.guards.is_empty() && b.guards.is_empty();
                if !is_plain || difference.is_none_or(|poly| poly.as_constant() != Some(0)) {
                    return array;
                }
            }
        }
        first
    }

    fn size_at_origin(&mut self, func: &Func, array: Value, axis: u8) -> Option<Form> {
        if let Some(op) = func.def_op(array)
            && matches!(func.op(op).code, OpCode::Alloc | OpCode::AllocUninit)
        {
            return self.form(func, func.op(op).args[axis as usize]);
        }
        Some(self.size_atom(func, array, axis))
    }

    /// The form of an i64. `None`: not an i64.
    fn form(&mut self, func: &Func, value: Value) -> Option<Form> {
        if func.ty(value) != Type::I64 {
            return None;
        }
        if let Some(form) = &self.forms[value.index()] {
            return Some(form.clone());
        }
        self.depth += 1;
        let form = self.sum_form(func, value).unwrap_or_else(|| {
            let atom = self.atom(func, value);
            Form { poly: Rc::new(Poly::atom(atom)), guards: Rc::default() }
        });
        self.depth -= 1;
        self.forms[value.index()] = Some(form.clone());
        self.undo.push(Undo::Form(value));
        Some(form)
    }

    /// The form of a value that is taken apart; `None` if it is an atom.
    fn sum_form(&mut self, func: &Func, value: Value) -> Option<Form> {
        if self.depth > MAX_DEPTH {
            return None;
        }
        let op = func.op(func.def_op(value)?);
        let (poly, mut guards) = match (&op.code, &op.args[..]) {
            (OpCode::Const(constant), _) => (Poly::constant(as_integer(*constant)?), Guards::new()),
            (OpCode::Dim { axis }, &[array]) => return self.size(func, array, *axis),
            (OpCode::Add, &[a, b]) => {
                let (a, b) = (self.form(func, a)?, self.form(func, b)?);
                (a.poly.plus(1, &b.poly)?, both(&a, &b))
            }
            (OpCode::Sub, &[a, b]) => {
                let (a, b) = (self.form(func, a)?, self.form(func, b)?);
                (a.poly.plus(-1, &b.poly)?, both(&a, &b))
            }
            (OpCode::Mul, &[a, b]) => {
                let (a, b) = (self.form(func, a)?, self.form(func, b)?);
                (a.poly.product(&b.poly)?, both(&a, &b))
            }
            (OpCode::Neg, &[a]) => {
                let a = self.form(func, a)?;
                (a.poly.times(-1)?, a.guards.to_vec())
            }
            (OpCode::Shl, &[a, count]) => {
                let count = as_integer(func.as_const(count)?)? & 63;
                let a = self.form(func, a)?;
                (a.poly.times(1 << count)?, a.guards.to_vec())
            }
            _ => return None,
        };
        // The sum itself must fit: its operands do.
        let fits = |(least, greatest): (i128, i128)| least >= LEAST && greatest <= GREATEST;
        if !self.range(&poly).is_some_and(fits) {
            if self.proofs == Proofs::Plain || !self.guarded_range(&poly, &mut guards, 0).is_some_and(fits) {
                return None;
            }
        }
        Some(Form { poly: Rc::new(poly), guards: Rc::new(guards) })
    }

    /// Least and greatest value of a polynomial.
    fn range(&self, poly: &Poly) -> Option<(i128, i128)> {
        self.range_by(poly, &mut |atom| {
            let data = &self.atoms[atom as usize];
            Some((data.least, data.greatest))
        })
    }

    /// The same when guards hold, which are added.
    pub(crate) fn guarded_range(&self, poly: &Poly, guards: &mut Guards, depth: u32) -> Option<(i128, i128)> {
        self.range_by(poly, &mut |atom| self.guarded_atom(atom, guards, depth))
    }

    fn guarded_atom(&self, atom: Atom, guards: &mut Guards, depth: u32) -> Option<(i128, i128)> {
        let data = &self.atoms[atom as usize];
        if data.least >= -GUARD && data.greatest <= GUARD {
            return Some((data.least, data.greatest));
        }
        // An ordinal is near zero if its extent is.
        if depth < 4 && data.least >= -GUARD {
            for bound in &data.upper {
                let len = guards.len();
                if let Some((_, greatest)) = self.guarded_range(&bound.poly, guards, depth + 1)
                    && greatest <= 4 * GUARD
                {
                    guards.extend(bound.guards.iter());
                    return Some((data.least, data.greatest.min(greatest.div_euclid(bound.scale).max(0))));
                }
                guards.truncate(len);
            }
        }
        guards.push(atom);
        Some((data.least.max(-GUARD), data.greatest.min(GUARD)))
    }

    fn range_by(
        &self,
        poly: &Poly,
        atom_range: &mut dyn FnMut(Atom) -> Option<(i128, i128)>,
    ) -> Option<(i128, i128)> {
        let (mut least, mut greatest) = (poly.constant, poly.constant);
        for (product, coefficient) in &poly.terms {
            let (mut low, mut high) = (1i128, 1i128);
            for &atom in product.iter().filter(|&&atom| atom != NO_ATOM) {
                let (a, b) = atom_range(atom)?;
                let ends = [
                    low.checked_mul(a)?,
                    low.checked_mul(b)?,
                    high.checked_mul(a)?,
                    high.checked_mul(b)?,
                ];
                low = ends.into_iter().min()?;
                high = ends.into_iter().max()?;
            }
            let (a, b) = (low.checked_mul(*coefficient)?, high.checked_mul(*coefficient)?);
            least = least.checked_add(a.min(b))?;
            greatest = greatest.checked_add(a.max(b))?;
        }
        Some((least, greatest))
    }

    /// Known equalities put in.
    fn resolve(&self, poly: &Poly) -> Option<Poly> {
        let mut poly = poly.clone();
        // Each equality is in terms of earlier atoms, so this ends; the bound is for time.
        for _ in 0..16 {
            let equal = poly.atoms().find_map(|atom| {
                self.atoms[atom as usize].equal.clone().map(|equal| (atom, equal))
            });
            let Some((atom, by)) = equal else { return Some(poly) };
            poly = poly.substitute(atom, &by)?;
        }
        None
    }

    fn latest(&self, poly: &Poly) -> Option<Atom> {
        poly.atoms().max_by_key(|&atom| (self.atoms[atom as usize].position, atom))
    }

    // ---- learning ----

    /// What the definition of an atom's value says: bounds by its operands.
    fn learn_definition(&mut self, func: &Func, value: Value, atom: Atom) {
        let Some(op) = func.def_op(value) else { return };
        let op = func.op(op);
        if func.ty(value) != Type::I64 || self.depth > MAX_DEPTH {
            return;
        }
        match (&op.code, &op.args[..]) {
            (OpCode::Min, &[a, b]) => {
                for side in [a, b] {
                    if let Some(form) = self.form(func, side) {
                        self.push_upper(atom, 1, form);
                    }
                }
            }
            (OpCode::Max, &[a, b]) => {
                for side in [a, b] {
                    if let Some(form) = self.form(func, side) {
                        self.push_lower(atom, 1, form);
                    }
                }
            }
            (OpCode::FloorDiv | OpCode::Shr, &[x, by]) => {
                let Some(by) = func.as_const(by).and_then(as_integer) else { return };
                let by = if op.code == OpCode::Shr { 1 << (by & 63) } else { by };
                let Some(form) = self.form(func, x) else { return };
                // by * (x // by) <= x <= by * (x // by) + by - 1
                if by > 0
                    && let Some(low) = form.poly.offset(1 - by)
                {
                    self.push_upper(atom, by, form.clone());
                    self.push_lower(atom, by, Form { poly: Rc::new(low), guards: form.guards });
                }
            }
            (OpCode::Rem, &[_, by]) => {
                // x % by in 0..by, if by > 0. A divisor 0 gives 0.
                let Some(form) = self.form(func, by) else { return };
                let Some(last) = form.poly.offset(-1) else { return };
                let mut guards = form.guards.to_vec();
                if self.is_nonneg(func, &last, &mut guards) {
                    self.set_range(atom, 0, GREATEST);
                    self.push_upper(atom, 1, Form { poly: Rc::new(last), guards: Rc::new(guards) });
                }
            }
            (OpCode::And, &[a, b]) => {
                // 0 <= x & c <= c, for c >= 0
                for side in [a, b] {
                    if let Some(mask) = func.as_const(side).and_then(as_integer)
                        && mask >= 0
                    {
                        self.set_range(atom, 0, mask);
                    }
                }
            }
            (OpCode::Convert | OpCode::Bitcast, &[from]) => self.learn_drawn(func, from, atom),
            _ => {}
        }
    }

    /// high64(x * d) is in 0..d if d > 0: the draw of `rand_int`.
    fn learn_drawn(&mut self, func: &Func, from: Value, atom: Atom) {
        let Some(op) = func.def_op(from) else { return };
        let op = func.op(op);
        if op.code != OpCode::MulHi || func.ty(from) != Type::U64 {
            return;
        }
        for &side in &op.args {
            let Some(range) = func.def_op(side) else { continue };
            let range = func.op(range);
            if !matches!(range.code, OpCode::Convert | OpCode::Bitcast) || func.ty(range.args[0]) != Type::I64 {
                continue;
            }
            let Some(form) = self.form(func, range.args[0]) else { continue };
            let Some(last) = form.poly.offset(-1) else { continue };
            let mut guards = form.guards.to_vec();
            if self.is_nonneg(func, &last, &mut guards) {
                self.set_range(atom, 0, GREATEST);
                self.push_upper(atom, 1, Form { poly: Rc::new(last), guards: Rc::new(guards) });
                return;
            }
        }
    }

    fn set_range(&mut self, atom: Atom, least: i128, greatest: i128) {
        let data = &mut self.atoms[atom as usize];
        if least > data.least || greatest < data.greatest {
            self.undo.push(Undo::Range(atom, data.least, data.greatest));
            data.least = data.least.max(least);
            data.greatest = data.greatest.min(greatest);
        }
    }

    /// scale * atom >= form
    fn push_lower(&mut self, atom: Atom, scale: i128, form: Form) {
        if form.guards.is_empty()
            && let Some((least, _)) = self.range(&form.poly)
        {
            self.set_range(atom, ceil_div(least, scale), GREATEST);
        }
        if !form.poly.terms.is_empty() {
            let bound = Bound { scale, poly: form.poly, guards: form.guards };
            self.atoms[atom as usize].lower.push(bound);
            self.undo.push(Undo::Lower(atom));
        }
    }

    /// scale * atom <= form
    fn push_upper(&mut self, atom: Atom, scale: i128, form: Form) {
        if form.guards.is_empty()
            && let Some((_, greatest)) = self.range(&form.poly)
        {
            self.set_range(atom, LEAST, greatest.div_euclid(scale));
        }
        if !form.poly.terms.is_empty() {
            let bound = Bound { scale, poly: form.poly, guards: form.guards };
            self.atoms[atom as usize].upper.push(bound);
            self.undo.push(Undo::Upper(atom));
        }
    }

    /// poly >= 0 from here on: a bound of the atom in it that was defined last.
    fn learn_nonneg(&mut self, poly: &Poly, guards: Rc<Guards>) {
        let Some(poly) = self.resolve(poly) else { return };
        let Some(atom) = self.latest(&poly) else { return };
        let Some((a, rest)) = poly.split(atom) else { return };
        let Some(factor) = a.as_constant() else { return };
        if factor > 0 {
            // factor * atom >= -rest
            let Some(rest) = rest.times(-1) else { return };
            self.push_lower(atom, factor, Form { poly: Rc::new(rest), guards });
        } else if factor < 0 {
            self.push_upper(atom, -factor, Form { poly: Rc::new(rest), guards });
        }
    }

    /// atom = form from here on.
    fn set_equal(&mut self, atom: Atom, form: Form) {
        let data = &self.atoms[atom as usize];
        if data.equal.is_some() || form.poly.atoms().any(|other| !self.is_earlier(other, atom)) {
            return;
        }
        let (least, greatest) = (data.least, data.greatest);
        if form.guards.is_empty() {
            // What was known of the atom is known of the form.
            if least > LEAST
                && let Some(above) = form.poly.offset(-least)
            {
                self.learn_nonneg(&above, Rc::default());
            }
            if greatest < GREATEST
                && let Some(below) = form.poly.times(-1).and_then(|poly| poly.offset(greatest))
            {
                self.learn_nonneg(&below, Rc::default());
            }
            if let Some((least, greatest)) = self.range(&form.poly) {
                self.set_range(atom, least, greatest);
            }
            self.atoms[atom as usize].equal = Some(form.poly);
            self.undo.push(Undo::Equal(atom));
        } else {
            self.push_lower(atom, 1, form.clone());
            self.push_upper(atom, 1, form);
        }
    }

    fn is_earlier(&self, a: Atom, b: Atom) -> bool {
        let place = |atom: Atom| (self.atoms[atom as usize].position, atom);
        place(a) < place(b)
    }

    /// poly = 0 from here on.
    fn learn_zero(&mut self, poly: &Poly, guards: Rc<Guards>) {
        let Some(poly) = self.resolve(poly) else { return };
        if let Some(atom) = self.latest(&poly)
            && let Some((a, rest)) = poly.split(atom)
            && let Some(factor @ (1 | -1)) = a.as_constant()
            && let Some(rest) = rest.times(-factor)
        {
            self.set_equal(atom, Form { poly: Rc::new(rest), guards });
            return;
        }
        let Some(negative) = poly.times(-1) else { return };
        self.learn_nonneg(&poly, guards.clone());
        self.learn_nonneg(&negative, guards);
    }

    /// The size of an array that exists.
    fn learn_size(&mut self, func: &Func, size: Value) {
        let Some(form) = self.form(func, size) else { return };
        self.learn_nonneg(&form.poly, form.guards.clone());
        if let Some(below) = form.poly.times(-1).and_then(|poly| poly.offset(SIZE_LIMIT - 1)) {
            self.learn_nonneg(&below, form.guards);
        }
    }

    fn learn_check(&mut self, func: &Func, op: OpId, site: SiteId) {
        let args = &func.op(op).args;
        match func.sites[site.index()].kind {
            CheckKind::Bounds { .. } => {
                self.learn_compare(func, args[0], None, 0);
                self.learn_compare(func, args[1], Some(args[0]), -1);
            }
            CheckKind::Size | CheckKind::Exponent => self.learn_compare(func, args[0], None, 0),
            CheckKind::DrawRange => self.learn_compare(func, args[1], Some(args[0]), -1),
            CheckKind::SameSize { .. } => self.learn_equal(func, args[0], args[1]),
            CheckKind::NonZero { .. } | CheckKind::Step | CheckKind::NotEmpty { .. } => {
                self.learn_nonzero(func, args[0])
            }
            CheckKind::Entry { .. } => self.learn(func, args[0], true, 0),
            CheckKind::Unique { .. } => {}
        }
    }

    /// big - small + offset >= 0
    fn learn_compare(&mut self, func: &Func, big: Value, small: Option<Value>, offset: i128) {
        if let Some((poly, guards)) = self.difference(func, big, small, offset) {
            self.learn_nonneg(&poly, Rc::new(guards));
        }
    }

    fn learn_equal(&mut self, func: &Func, a: Value, b: Value) {
        if let Some((poly, guards)) = self.difference(func, a, Some(b), 0) {
            self.learn_zero(&poly, Rc::new(guards));
        }
    }

    fn learn_nonzero(&mut self, func: &Func, value: Value) {
        if !std::mem::replace(&mut self.nonzero[value.index()], true) {
            self.undo.push(Undo::NonZero(value));
        }
        // Not negative and not 0 is positive.
        if let Some(form) = self.form(func, value) {
            self.learn_not_zero(func, &form.poly, form.guards.to_vec());
        }
    }

    /// poly != 0: its bound moves by one if it is known to be on one side.
    fn learn_not_zero(&mut self, func: &Func, poly: &Poly, mut guards: Guards) {
        let Some(negative) = poly.times(-1) else { return };
        for poly in [poly, &negative] {
            let len = guards.len();
            if self.is_nonneg(func, poly, &mut guards)
                && let Some(poly) = poly.offset(-1)
            {
                self.learn_nonneg(&poly, Rc::new(guards));
                return;
            }
            guards.truncate(len);
        }
    }

    /// The condition has this truth from here on.
    fn learn(&mut self, func: &Func, cond: Value, truth: bool, depth: u32) {
        let Some(op) = func.def_op(cond) else { return };
        if depth > 8 || func.ty(cond) != Type::BOOL {
            return;
        }
        let op = func.op(op);
        match (&op.code, &op.args[..], truth) {
            (OpCode::Not, &[a], _) => self.learn(func, a, !truth, depth + 1),
            (OpCode::And, &[a, b], true) | (OpCode::Or, &[a, b], false) => {
                self.learn(func, a, truth, depth + 1);
                self.learn(func, b, truth, depth + 1);
            }
            (OpCode::Lt, &[a, b], true) | (OpCode::Ge, &[a, b], false) => {
                self.learn_compare(func, b, Some(a), -1)
            }
            (OpCode::Le, &[a, b], true) | (OpCode::Gt, &[a, b], false) => {
                self.learn_compare(func, b, Some(a), 0)
            }
            (OpCode::Gt, &[a, b], true) | (OpCode::Le, &[a, b], false) => {
                self.learn_compare(func, a, Some(b), -1)
            }
            (OpCode::Ge, &[a, b], true) | (OpCode::Lt, &[a, b], false) => {
                self.learn_compare(func, a, Some(b), 0)
            }
            (OpCode::Eq, &[a, b], true) | (OpCode::Ne, &[a, b], false) => self.learn_equal(func, a, b),
            (OpCode::Eq, &[a, b], false) | (OpCode::Ne, &[a, b], true) => {
                if let Some((poly, guards)) = self.difference(func, a, Some(b), 0) {
                    self.learn_not_zero(func, &poly, guards);
                }
            }
            (OpCode::If, &[first], _) => {
                // `a and b` is `if a { yield b } else { yield false }`, `a or b` is `if a { yield true } else { yield b }`.
                let Yields { then, otherwise } = yields(func, cond);
                let (Some(then), Some(otherwise)) = (then, otherwise) else { return };
                let constant = |value| func.as_const(value).and_then(as_integer).map(|bit| bit != 0);
                if constant(otherwise) == Some(!truth) {
                    self.learn(func, first, true, depth + 1);
                    self.learn(func, then, truth, depth + 1);
                } else if constant(then) == Some(!truth) {
                    self.learn(func, first, false, depth + 1);
                    self.learn(func, otherwise, truth, depth + 1);
                }
            }
            _ => {}
        }
    }

    /// Inside a `for`: 0 <= ordinal < extent, and so the extent is positive.
    fn learn_ordinals(&mut self, func: &Func, op: OpId, body: RegionId) {
        for axis in 0..extents_of(&func.op(op).code) {
            let extent = func.op(op).args[axis];
            let Some(form) = self.form(func, extent) else { continue };
            self.learn_positive(func, &form, 0);
            // Forms may have become simpler: the maximum in `max(hi, lo) - lo` is hi now.
            let ordinal = func.region(body).params[axis];
            self.define(ordinal);
            let atom = self.atom(func, ordinal);
            self.set_range(atom, 0, GREATEST - 1);
            if let Some(last) = self.resolve(&form.poly).and_then(|poly| poly.offset(-1)) {
                self.push_upper(atom, 1, Form { poly: Rc::new(last), guards: form.guards });
            }
        }
    }

    /// form >= 1 from here on, and what follows for the maxima, minima and quotients in it.
    fn learn_positive(&mut self, func: &Func, form: &Form, depth: u32) {
        let Some(poly) = self.resolve(&form.poly) else { return };
        if let Some(above) = poly.offset(-1) {
            self.learn_nonneg(&above, form.guards.clone());
        }
        if depth > 4 {
            return;
        }
        for &(product, coefficient) in &poly.terms {
            let AtomKind::Value(value) = self.kind(product[0]) else { continue };
            let (Some(op), NO_ATOM) = (func.def_op(value), product[1]) else { continue };
            let op = func.op(op);
            match (&op.code, &op.args[..]) {
                // If the form cannot be positive with one side of a maximum in its place, the maximum is the other.
                (OpCode::Max | OpCode::Min, &[a, b]) => {
                    for (this, other) in [(a, b), (b, a)] {
                        let (Some(this), Some(other)) = (self.form(func, this), self.form(func, other))
                        else {
                            continue;
                        };
                        let Some(with) = poly.substitute(product[0], &this.poly) else { continue };
                        let Some(negative) = with.times(-1) else { continue };
                        let mut guards = [&this, &other, form].map(|form| form.guards.to_vec()).concat();
                        if self.is_nonneg(func, &negative, &mut guards) {
                            let equal = Form { poly: other.poly.clone(), guards: Rc::new(guards) };
                            self.set_equal(product[0], equal);
                            break;
                        }
                    }
                }
                // x // k + c >= 1  =>  x >= k * (1 - c)
                (OpCode::FloorDiv | OpCode::Shr, &[x, by]) if coefficient == 1 && poly.terms.len() == 1 => {
                    let Some(by) = func.as_const(by).and_then(as_integer) else { continue };
                    let by = if op.code == OpCode::Shr { 1 << (by & 63) } else { by };
                    let Some(inner) = self.form(func, x) else { continue };
                    let guards = both(&inner, form);
                    let least = by.checked_mul(1 - poly.constant).and_then(|least| least.checked_sub(1));
                    if by > 0
                        && let Some(inner) = least.and_then(|least| inner.poly.offset(-least))
                    {
                        let inner = Form { poly: Rc::new(inner), guards: Rc::new(guards) };
                        self.learn_positive(func, &inner, depth + 1);
                    }
                }
                // select(d < 0, far, d), d >= 0  =>  d
                (OpCode::Select, &[cond, _, distance]) if is_negative_test(func, cond, distance) => {
                    let Some(distance) = self.form(func, distance) else { continue };
                    let mut guards = distance.guards.to_vec();
                    if self.is_nonneg(func, &distance.poly, &mut guards) {
                        let distance = Form { poly: distance.poly, guards: Rc::new(guards) };
                        self.set_equal(product[0], distance.clone());
                        if coefficient == 1 && poly.terms.len() == 1 {
                            let moved = distance.poly.offset(poly.constant);
                            let Some(moved) = moved else { continue };
                            let moved = Form { poly: Rc::new(moved), guards: distance.guards };
                            self.learn_positive(func, &moved, depth + 1);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    // ---- proving ----

    /// big - small + offset, with the guards that make it true.
    pub(crate) fn difference(
        &mut self,
        func: &Func,
        big: Value,
        small: Option<Value>,
        offset: i128,
    ) -> Option<(Poly, Guards)> {
        let big = self.form(func, big)?;
        let Some(small) = small else { return Some((big.poly.offset(offset)?, big.guards.to_vec())) };
        let small = self.form(func, small)?;
        Some((big.poly.plus(-1, &small.poly)?.offset(offset)?, both(&big, &small)))
    }

    /// Does the check always pass here?
    pub(crate) fn passes(&mut self, func: &Func, op: OpId) -> bool {
        let OpCode::Check(site) = func.op(op).code else { return false };
        let args = &func.op(op).args;
        match func.sites[site.index()].kind {
            CheckKind::Bounds { .. } => self.is_in_bounds(func, args[0], args[1]),
            CheckKind::Size | CheckKind::Exponent => self.holds_compare(func, args[0], None, 0),
            CheckKind::DrawRange => self.holds_compare(func, args[1], Some(args[0]), -1),
            CheckKind::SameSize { .. } => self.holds_equal(func, args[0], args[1]),
            CheckKind::NonZero { .. } | CheckKind::Step | CheckKind::NotEmpty { .. } => {
                self.is_nonzero(func, args[0])
            }
            CheckKind::Entry { .. } => self.holds(func, args[0], true, 0),
            CheckKind::Unique { .. } => false,
        }
    }

    /// 0 <= index < size?
    pub(crate) fn is_in_bounds(&mut self, func: &Func, index: Value, size: Value) -> bool {
        self.holds_compare(func, index, None, 0) && self.holds_compare(func, size, Some(index), -1)
    }

    /// Is the element there, whatever was checked? Every index is in bounds.
    pub(crate) fn has_element(&mut self, func: &Func, array: Value, indices: &[Value]) -> bool {
        indices.iter().enumerate().all(|(axis, &index)| {
            let Some(index) = self.form(func, index) else { return false };
            let Some(size) = self.size(func, array, axis as u8) else { return false };
            let Some(room) = size.poly.plus(-1, &index.poly).and_then(|poly| poly.offset(-1)) else {
                return false;
            };
            let mut guards = both(&index, &size);
            self.is_nonneg(func, &index.poly, &mut guards)
                && self.is_nonneg(func, &room, &mut guards)
                && guards.is_empty()
        })
    }

    fn holds_compare(&mut self, func: &Func, big: Value, small: Option<Value>, offset: i128) -> bool {
        let Some((poly, mut guards)) = self.difference(func, big, small, offset) else { return false };
        self.is_nonneg(func, &poly, &mut guards) && guards.is_empty()
    }

    fn holds_equal(&mut self, func: &Func, a: Value, b: Value) -> bool {
        a == b || (self.holds_compare(func, a, Some(b), 0) && self.holds_compare(func, b, Some(a), 0))
    }

    fn is_nonzero(&mut self, func: &Func, value: Value) -> bool {
        if let Some(constant) = func.as_const(value).and_then(as_integer) {
            return constant != 0;
        }
        if self.nonzero[value.index()] || self.holds_compare(func, value, None, -1) {
            return true;
        }
        let Some(form) = self.form(func, value) else { return false };
        let Some(below) = form.poly.times(-1).and_then(|poly| poly.offset(-1)) else { return false };
        let mut guards = form.guards.to_vec();
        self.is_nonneg(func, &below, &mut guards) && guards.is_empty()
    }

    /// Has the condition this truth?
    fn holds(&mut self, func: &Func, cond: Value, truth: bool, depth: u32) -> bool {
        let Some(op) = func.def_op(cond) else { return false };
        let op = func.op(op);
        if depth > 8 {
            return false;
        }
        match (&op.code, &op.args[..], truth) {
            (OpCode::Const(constant), _, _) => as_integer(*constant).is_some_and(|bit| (bit != 0) == truth),
            (OpCode::Not, &[a], _) => self.holds(func, a, !truth, depth + 1),
            (OpCode::And, &[a, b], true) | (OpCode::Or, &[a, b], false) => {
                self.holds(func, a, truth, depth + 1) && self.holds(func, b, truth, depth + 1)
            }
            (OpCode::And, &[a, b], false) | (OpCode::Or, &[a, b], true) => {
                self.holds(func, a, truth, depth + 1) || self.holds(func, b, truth, depth + 1)
            }
            (OpCode::Lt, &[a, b], true) | (OpCode::Ge, &[a, b], false) => {
                self.holds_compare(func, b, Some(a), -1)
            }
            (OpCode::Le, &[a, b], true) | (OpCode::Gt, &[a, b], false) => {
                self.holds_compare(func, b, Some(a), 0)
            }
            (OpCode::Gt, &[a, b], true) | (OpCode::Le, &[a, b], false) => {
                self.holds_compare(func, a, Some(b), -1)
            }
            (OpCode::Ge, &[a, b], true) | (OpCode::Lt, &[a, b], false) => {
                self.holds_compare(func, a, Some(b), 0)
            }
            (OpCode::Eq, &[a, b], true) | (OpCode::Ne, &[a, b], false) => self.holds_equal(func, a, b),
            (OpCode::Eq, &[a, b], false) | (OpCode::Ne, &[a, b], true) => {
                self.holds_compare(func, a, Some(b), -1) || self.holds_compare(func, b, Some(a), -1)
            }
            _ => false,
        }
    }

    /// Is poly >= 0, if the guards hold (some may be added)?
    pub(crate) fn is_nonneg(&mut self, func: &Func, poly: &Poly, guards: &mut Guards) -> bool {
        let mut fuel = if self.depth == 0 { FUEL } else { FUEL_INSIDE };
        let len = guards.len();
        let holds = self.prove(func, poly, &mut fuel, guards);
        if !holds {
            guards.truncate(len);
        }
        holds
    }

    fn prove(&mut self, func: &Func, poly: &Poly, fuel: &mut u32, guards: &mut Guards) -> bool {
        let Some(poly) = self.resolve(poly) else { return false };
        if let Some((least, greatest)) = self.range(&poly) {
            if least >= 0 {
                return true;
            }
            if greatest < 0 {
                return false;
            }
        }
        if *fuel == 0 {
            return false;
        }
        *fuel -= 1;
        let Some(atom) = self.latest(&poly) else { return poly.constant >= 0 };
        let Some((factor, rest)) = poly.split(atom) else { return false };
        let Some(side) = self.side(func, &factor, fuel, guards) else { return false };
        for next in self.replaced(atom, side, &factor, &rest) {
            let len = guards.len();
            guards.extend(next.guards.iter());
            if self.prove(func, &next.poly, fuel, guards) {
                return true;
            }
            guards.truncate(len);
        }
        self.prove_by_cases(func, &poly, atom, side, fuel, guards)
    }

    /// The polynomials below `factor * atom + rest` that stand for it when the atom is replaced by each of its bounds.
    fn replaced(&self, atom: Atom, side: Side, factor: &Poly, rest: &Poly) -> Vec<Form> {
        let data = &self.atoms[atom as usize];
        let (bounds, end, is_bounded) = match side {
            Side::Low => (&data.lower, data.least, data.least > LEAST),
            Side::High => (&data.upper, data.greatest, data.greatest < GREATEST),
        };
        let mut all = Vec::with_capacity(bounds.len() + 1);
        // The newest bound is the one of the innermost condition: it is the most likely.
        for bound in bounds.iter().rev() {
            let product = factor.product(&bound.poly);
            let scaled = rest.times(bound.scale);
            if let (Some(product), Some(scaled)) = (product, scaled)
                && let Some(poly) = scaled.plus(1, &product)
            {
                all.push(Form { poly: Rc::new(poly), guards: bound.guards.clone() });
            }
        }
        if is_bounded && let Some(poly) = rest.plus(end, factor) {
            all.push(Form { poly: Rc::new(poly), guards: Rc::default() });
        }
        all
    }

    /// Which end of an atom makes `factor * atom` least.
    fn side(&mut self, func: &Func, factor: &Poly, fuel: &mut u32, guards: &mut Guards) -> Option<Side> {
        if let Some(constant) = factor.as_constant() {
            return Some(if constant >= 0 { Side::Low } else { Side::High });
        }
        let len = guards.len();
        if self.prove(func, factor, fuel, guards) {
            return Some(Side::Low);
        }
        guards.truncate(len);
        if self.prove(func, &factor.times(-1)?, fuel, guards) {
            return Some(Side::High);
        }
        guards.truncate(len);
        None
    }

    /// A minimum, maximum or choice is one of two values; the other end of a minimum follows from both.
    fn prove_by_cases(
        &mut self,
        func: &Func,
        poly: &Poly,
        atom: Atom,
        side: Side,
        fuel: &mut u32,
        guards: &mut Guards,
    ) -> bool {
        let AtomKind::Value(value) = self.kind(atom) else { return false };
        let Some(op) = func.def_op(value) else { return false };
        let op = func.op(op);
        let (cond, cases) = match (&op.code, &op.args[..], side) {
            (OpCode::Min, &[a, b], Side::Low) | (OpCode::Max, &[a, b], Side::High) => (None, [a, b]),
            (OpCode::Select, &[cond, a, b], _) => (Some(cond), [a, b]),
            (OpCode::If, &[cond], _) => match yields(func, value) {
                Yields { then: Some(a), otherwise: Some(b) } => (Some(cond), [a, b]),
                _ => return false,
            },
            _ => return false,
        };
        let len = guards.len();
        for (number, case) in cases.into_iter().enumerate() {
            let mark = self.undo.len();
            if let Some(cond) = cond {
                self.learn(func, cond, number == 0, 0);
            }
            let holds = match self.form(func, case) {
                Some(form) => {
                    guards.extend(form.guards.iter());
                    let case = poly.substitute(atom, &form.poly);
                    case.is_some_and(|case| self.prove(func, &case, fuel, guards))
                }
                None => false,
            };
            self.forget(mark);
            // A guard on what only the case knows cannot be tested.
            let is_known = guards[len..].iter().all(|&guard| (guard as usize) < self.atoms.len());
            if !holds || !is_known {
                guards.truncate(len);
                return false;
            }
        }
        true
    }

    /// Conditions on what is known before `position` from which poly >= 0 follows: each of `conditions` >= 0, and the guards.
    pub(crate) fn require(
        &mut self,
        func: &Func,
        poly: &Poly,
        position: u32,
        conditions: &mut Vec<Poly>,
        guards: &mut Guards,
    ) -> bool {
        let mut fuel = FUEL;
        self.require_within(func, poly, position, conditions, guards, &mut fuel)
    }

    fn require_within(
        &mut self,
        func: &Func,
        poly: &Poly,
        position: u32,
        conditions: &mut Vec<Poly>,
        guards: &mut Guards,
        fuel: &mut u32,
    ) -> bool {
        let Some(poly) = self.resolve(poly) else { return false };
        if self.is_nonneg(func, &poly, guards) {
            return true;
        }
        if *fuel == 0 || poly.as_constant().is_some() {
            return false;
        }
        *fuel -= 1;
        let Some(atom) = self.latest(&poly) else { return false };
        if self.is_atom_before(atom, position) && poly.atoms().all(|atom| self.is_atom_before(atom, position)) {
            conditions.push(poly);
            return true;
        }
        // The latest atom that is not known there: an ordinal, or something that only the body knows.
        let inner = poly.atoms().filter(|&atom| !self.is_atom_before(atom, position));
        let Some(atom) = inner.max_by_key(|&atom| (self.atoms[atom as usize].position, atom)) else {
            return false;
        };
        let Some((factor, rest)) = poly.split(atom) else { return false };
        let (conditions_before, guards_before) = (conditions.len(), guards.len());
        // A stride of unknown sign is taken to be positive.
        let side = match self.side(func, &factor, fuel, guards) {
            Some(side) => side,
            None => {
                let side = if factor.terms.iter().all(|&(_, c)| c < 0) { Side::High } else { Side::Low };
                let needed = if side == Side::Low { Some(factor.clone()) } else { factor.times(-1) };
                let Some(needed) = needed else { return false };
                if !self.require_within(func, &needed, position, conditions, guards, fuel) {
                    return false;
                }
                side
            }
        };
        let (with_side, guards_of_side) = (conditions.len(), guards.len());
        for next in self.replaced(atom, side, &factor, &rest) {
            guards.extend(next.guards.iter());
            if self.require_within(func, &next.poly, position, conditions, guards, fuel) {
                return true;
            }
            conditions.truncate(with_side);
            guards.truncate(guards_of_side);
        }
        conditions.truncate(conditions_before);
        guards.truncate(guards_before);
        false
    }
}

/// An end of a range.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Low,
    High,
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

/// Is `cond` the test `distance < 0`?
fn is_negative_test(func: &Func, cond: Value, distance: Value) -> bool {
    func.def_op(cond).is_some_and(|op| {
        let op = func.op(op);
        op.code == OpCode::Lt
            && op.args[0] == distance
            && func.as_const(op.args[1]).and_then(as_integer) == Some(0)
    })
}

fn both(a: &Form, b: &Form) -> Guards {
    a.guards.iter().chain(b.guards.iter()).copied().collect()
}

/// Least and greatest value by type and op alone.
fn range_of(func: &Func, value: Value) -> (i128, i128) {
    let by_type = |scalar: Scalar| match scalar {
        Scalar::Bool => (0, 1),
        Scalar::I32 => (i32::MIN.into(), i32::MAX.into()),
        Scalar::U32 => (0, u32::MAX.into()),
        Scalar::I64 | Scalar::U64 | Scalar::F32 | Scalar::F64 => (LEAST, GREATEST),
    };
    let Some(op) = func.def_op(value) else { return by_type(func.ty(value).scalar()) };
    let op = func.op(op);
    match op.code {
        OpCode::Convert => by_type(func.ty(op.args[0]).scalar()),
        _ => by_type(func.ty(value).scalar()),
    }
}

fn ceil_div(a: i128, b: i128) -> i128 {
    -(-a).div_euclid(b)
}
