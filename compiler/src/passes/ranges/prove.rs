//! Proofs that a polynomial is never negative, and what would have to be tested for that.
//!
//! In: a polynomial. Out: yes or do not know. Holds: bounded steps; atoms are replaced from the one defined last to the one defined first.

use super::poly::{Atom, Poly};
use super::{
    AtomKind, FUEL, FUEL_INSIDE, GREATEST, Guards, LEAST, NEWEST, OLDEST, Ranges, Shared, Yields, both,
    yields,
};
use crate::ir::{CheckKind, Func, OpCode, OpId, Value};
use crate::passes::as_integer;

impl Ranges {
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
            CheckKind::Entry { .. } | CheckKind::Domain { .. } => self.holds(func, args[0], true, 0),
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

    pub(super) fn holds_compare(
        &mut self,
        func: &Func,
        big: Value,
        small: Option<Value>,
        offset: i128,
    ) -> bool {
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
        if *fuel == 0 || self.steps == 0 {
            return false;
        }
        *fuel -= 1;
        self.steps -= 1;
        let Some(atom) = self.latest(&poly) else { return poly.constant >= 0 };
        let Some((factor, rest)) = poly.split(atom) else { return false };
        let Some(side) = self.side(func, &factor, fuel, guards) else { return false };
        let mut number = 0;
        while let Some(next) = self.replaced(atom, side, &factor, &rest, &mut number) {
            let len = guards.len();
            guards.extend(next.guards.iter());
            if self.prove(func, &next.poly, fuel, guards) {
                return true;
            }
            guards.truncate(len);
        }
        self.prove_by_cases(func, &poly, atom, side, fuel, guards)
    }

    /// What stands below `factor * atom + rest` when the atom is replaced by its next bound; `number` counts them.
    fn replaced(
        &self,
        atom: Atom,
        side: Side,
        factor: &Poly,
        rest: &Poly,
        number: &mut usize,
    ) -> Option<Replaced> {
        let data = &self.atoms[atom as usize];
        let (bounds, end, is_bounded) = match side {
            Side::Low => (&data.lower, data.least, data.least > LEAST),
            Side::High => (&data.upper, data.greatest, data.greatest < GREATEST),
        };
        loop {
            let at = *number;
            *number += 1;
            if at == bounds.len() {
                let poly = is_bounded.then(|| rest.plus(end, factor)).flatten()?;
                return Some(Replaced { poly, guards: Shared::default() });
            }
            // The newest bound is the one of the innermost condition: it is the most likely.
            let bound = &bounds[bounds.len().checked_sub(1 + at)?];
            if (NEWEST..bounds.len().saturating_sub(OLDEST)).contains(&at) {
                continue;
            }
            let product = factor.product(&bound.poly);
            let scaled = rest.times(bound.scale);
            if let (Some(product), Some(scaled)) = (product, scaled)
                && let Some(poly) = scaled.plus(1, &product)
            {
                return Some(Replaced { poly, guards: bound.guards.clone() });
            }
        }
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
        if self.is_atom_before(atom, position) && poly.atoms().all(|atom| self.is_atom_before(atom, position))
        {
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
        let mut number = 0;
        while let Some(next) = self.replaced(atom, side, &factor, &rest, &mut number) {
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

/// A polynomial with an atom less.
struct Replaced {
    poly: Poly,
    guards: Shared,
}

/// An end of a range.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Low,
    High,
}
