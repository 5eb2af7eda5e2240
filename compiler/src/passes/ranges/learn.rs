//! What definitions, conditions, loops and passed checks say.
//!
//! In: the point of the walk. Out: bounds and equalities of atoms. Holds: each is in terms of atoms defined earlier, and is undone where it ends to hold.

use super::poly::{Atom, NO_ATOM, Poly};
use super::{
    AtomKind, Bound, Form, GREATEST, Guards, LEAST, MAX_DEPTH, NEWEST, Ranges, SIZE_LIMIT, Shared, Undo,
    Yields, both, yields,
};
use crate::ir::{CheckKind, Func, OpCode, OpId, RegionId, SiteId, Type, Value};
use crate::passes::{as_integer, extents_of};
use std::rc::Rc;

impl Ranges {
    /// What the definition of an atom's value says: bounds by its operands.
    pub(super) fn learn_definition(&mut self, func: &Func, value: Value, atom: Atom) {
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
                    self.push_upper(atom, 1, Form { poly: Rc::new(last), guards: guards.into() });
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
    pub(super) fn learn_drawn(&mut self, func: &Func, from: Value, atom: Atom) {
        let Some(op) = func.def_op(from) else { return };
        let op = func.op(op);
        if op.code != OpCode::MulHi || func.ty(from) != Type::U64 {
            return;
        }
        for &side in &op.args {
            let Some(range) = func.def_op(side) else { continue };
            let range = func.op(range);
            if !matches!(range.code, OpCode::Convert | OpCode::Bitcast) || func.ty(range.args[0]) != Type::I64
            {
                continue;
            }
            let Some(form) = self.form(func, range.args[0]) else { continue };
            let Some(last) = form.poly.offset(-1) else { continue };
            let mut guards = form.guards.to_vec();
            if self.is_nonneg(func, &last, &mut guards) {
                self.set_range(atom, 0, GREATEST);
                self.push_upper(atom, 1, Form { poly: Rc::new(last), guards: guards.into() });
                return;
            }
        }
    }

    pub(super) fn set_range(&mut self, atom: Atom, least: i128, greatest: i128) {
        let data = &mut self.atoms[atom as usize];
        if least > data.least || greatest < data.greatest {
            self.undo.push(Undo::Range(atom, data.least, data.greatest));
            data.least = data.least.max(least);
            data.greatest = data.greatest.min(greatest);
        }
    }

    /// Is the bound new, compared with the newest ones?
    fn is_news(
        &self,
        bounds: &[Bound],
        scale: i128,
        form: &Form,
        is_tighter: fn(i128, i128) -> bool,
    ) -> bool {
        !bounds.iter().rev().take(NEWEST).any(|bound| {
            bound.scale == scale
                && bound.guards.is_empty()
                && bound.poly.terms == form.poly.terms
                && !is_tighter(form.poly.constant, bound.poly.constant)
        })
    }

    /// scale * atom >= form
    pub(super) fn push_lower(&mut self, atom: Atom, scale: i128, form: Form) {
        if form.guards.is_empty()
            && let Some((least, _)) = self.range(&form.poly)
        {
            self.set_range(atom, ceil_div(least, scale), GREATEST);
        }
        let is_news = self.is_news(&self.atoms[atom as usize].lower, scale, &form, |new, old| new > old);
        if !form.poly.terms.is_empty() && is_news {
            let bound = Bound { scale, poly: form.poly, guards: form.guards };
            self.atoms[atom as usize].lower.push(bound);
            self.undo.push(Undo::Lower(atom));
        }
    }

    /// scale * atom <= form
    pub(super) fn push_upper(&mut self, atom: Atom, scale: i128, form: Form) {
        if form.guards.is_empty()
            && let Some((_, greatest)) = self.range(&form.poly)
        {
            self.set_range(atom, LEAST, greatest.div_euclid(scale));
        }
        let is_news = self.is_news(&self.atoms[atom as usize].upper, scale, &form, |new, old| new < old);
        if !form.poly.terms.is_empty() && is_news {
            let bound = Bound { scale, poly: form.poly, guards: form.guards };
            self.atoms[atom as usize].upper.push(bound);
            self.undo.push(Undo::Upper(atom));
        }
    }

    /// poly >= 0 from here on: a bound of the atom in it that was defined last.
    pub(super) fn learn_nonneg(&mut self, poly: &Poly, guards: Shared) {
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
    pub(super) fn set_equal(&mut self, atom: Atom, form: Form) {
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
                self.learn_nonneg(&above, Shared::default());
            }
            if greatest < GREATEST
                && let Some(below) = form.poly.times(-1).and_then(|poly| poly.offset(greatest))
            {
                self.learn_nonneg(&below, Shared::default());
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

    pub(super) fn is_earlier(&self, a: Atom, b: Atom) -> bool {
        let place = |atom: Atom| (self.atoms[atom as usize].position, atom);
        place(a) < place(b)
    }

    /// poly = 0 from here on.
    pub(super) fn learn_zero(&mut self, poly: &Poly, guards: Shared) {
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

    /// An array was made: its sizes are not negative, and there is memory for it.
    pub(super) fn learn_sizes(&mut self, func: &Func, op: OpId) {
        let sizes = &func.op(op).args;
        for &size in sizes {
            self.learn_compare(func, size, None, 0);
        }
        for (axis, &size) in sizes.iter().enumerate() {
            // With a 0 among the others, any size does.
            let mut others = sizes.iter().enumerate().filter(|&(other, _)| other != axis);
            if !others.all(|(_, &other)| self.holds_compare(func, other, None, -1)) {
                continue;
            }
            let Some(form) = self.form(func, size) else { continue };
            if let Some(below) = form.poly.times(-1).and_then(|poly| poly.offset(SIZE_LIMIT - 1)) {
                self.learn_nonneg(&below, form.guards);
            }
        }
    }

    pub(super) fn learn_check(&mut self, func: &Func, op: OpId, site: SiteId) {
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
            CheckKind::Entry { .. } | CheckKind::Domain { .. } => self.learn(func, args[0], true, 0),
            CheckKind::Unique { .. } => {}
        }
    }

    /// big - small + offset >= 0
    pub(super) fn learn_compare(&mut self, func: &Func, big: Value, small: Option<Value>, offset: i128) {
        if let Some((poly, guards)) = self.difference(func, big, small, offset) {
            self.learn_nonneg(&poly, guards.into());
        }
    }

    pub(super) fn learn_equal(&mut self, func: &Func, a: Value, b: Value) {
        if let Some((poly, guards)) = self.difference(func, a, Some(b), 0) {
            self.learn_zero(&poly, guards.into());
        }
    }

    pub(super) fn learn_nonzero(&mut self, func: &Func, value: Value) {
        if !std::mem::replace(&mut self.nonzero[value.index()], true) {
            self.undo.push(Undo::NonZero(value));
        }
        // Not negative and not 0 is positive.
        if let Some(form) = self.form(func, value) {
            self.learn_not_zero(func, &form.poly, form.guards.to_vec());
        }
    }

    /// poly != 0: its bound moves by one if it is known to be on one side.
    pub(super) fn learn_not_zero(&mut self, func: &Func, poly: &Poly, mut guards: Guards) {
        let Some(negative) = poly.times(-1) else { return };
        for poly in [poly, &negative] {
            let len = guards.len();
            if self.is_nonneg(func, poly, &mut guards)
                && let Some(poly) = poly.offset(-1)
            {
                self.learn_nonneg(&poly, guards.into());
                return;
            }
            guards.truncate(len);
        }
    }

    /// The condition has this truth from here on.
    pub(super) fn learn(&mut self, func: &Func, cond: Value, truth: bool, depth: u32) {
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
    pub(super) fn learn_ordinals(&mut self, func: &Func, op: OpId, body: RegionId) {
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
    pub(super) fn learn_positive(&mut self, func: &Func, form: &Form, depth: u32) {
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
                            let equal = Form { poly: other.poly.clone(), guards: guards.into() };
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
                        let inner = Form { poly: Rc::new(inner), guards: guards.into() };
                        self.learn_positive(func, &inner, depth + 1);
                    }
                }
                // select(d < 0, far, d), d >= 0  =>  d
                (OpCode::Select, &[cond, _, distance]) if is_negative_test(func, cond, distance) => {
                    let Some(distance) = self.form(func, distance) else { continue };
                    let mut guards = distance.guards.to_vec();
                    if self.is_nonneg(func, &distance.poly, &mut guards) {
                        let distance = Form { poly: distance.poly, guards: guards.into() };
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

fn ceil_div(a: i128, b: i128) -> i128 {
    -(-a).div_euclid(b)
}
