//! Values as polynomials, and the numbers that a polynomial lies between.
//!
//! In: values. Out: [`Form`]s. Holds: a sum or product takes part as one only while it fits in 64 bits; else the value is an atom.

use super::poly::{Atom, NO_ATOM, Poly};
use super::{
    AtomData, AtomKind, Form, GREATEST, GUARD, Guards, LEAST, MAX_DEPTH, ORIGINS, Params, Proofs, Ranges,
    SIZE_LIMIT, Shared, Undo, both,
};
use crate::ir::{Def, Func, OpCode, Type, Value};
use crate::passes::as_integer;
use kiln_lang::types::Scalar;
use std::rc::Rc;

impl Ranges {
    pub(super) fn new_atom(&mut self, kind: AtomKind, position: u32, least: i128, greatest: i128) -> Atom {
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
    pub(super) fn atom(&mut self, func: &Func, value: Value) -> Atom {
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

    pub(super) fn size(&mut self, func: &Func, array: Value, axis: u8) -> Option<Form> {
        let origin = self.origin(func, array);
        if let Some(op) = func.def_op(origin)
            && matches!(func.op(op).code, OpCode::Alloc | OpCode::AllocUninit)
        {
            return self.form(func, func.op(op).args[axis as usize]);
        }
        Some(self.size_atom(func, origin, axis))
    }

    pub(super) fn size_atom(&mut self, func: &Func, array: Value, axis: u8) -> Form {
        if self.sizes_of[array.index()] == NO_ATOM {
            let Type::Array { rank, .. } = func.ty(array) else {
                panic!("bug: a size of something that is no array")
            };
            self.sizes_of[array.index()] = self.atoms.len() as Atom;
            let is_param =
                matches!(func.values[array.index()].def, Def::Param(region, _) if region == func.body);
            let is_argument = is_param && self.params == Params::Arguments;
            let greatest = if is_argument { SIZE_LIMIT - 1 } else { GREATEST };
            for axis in 0..rank {
                let position = self.positions[array.index()];
                self.new_atom(AtomKind::Size(array, axis), position, 0, greatest);
            }
            self.undo.push(Undo::Size(array));
        }
        let atom = self.sizes_of[array.index()] + Atom::from(axis);
        Form { poly: Rc::new(Poly::atom(atom)), guards: Shared::default() }
    }

    /// An array with the same sizes: where the array comes from, if all that it may come from has the same sizes.
    pub(super) fn origin(&mut self, func: &Func, array: Value) -> Value {
        let origins = self.shapes.origins(array);
        let Some((&first, others)) = origins.split_first() else { return array };
        if others.len() >= ORIGINS {
            return array;
        }
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

    pub(super) fn size_at_origin(&mut self, func: &Func, array: Value, axis: u8) -> Option<Form> {
        if let Some(op) = func.def_op(array)
            && matches!(func.op(op).code, OpCode::Alloc | OpCode::AllocUninit)
        {
            return self.form(func, func.op(op).args[axis as usize]);
        }
        Some(self.size_atom(func, array, axis))
    }

    /// The form of an i64. `None`: not an i64.
    pub(super) fn form(&mut self, func: &Func, value: Value) -> Option<Form> {
        if func.ty(value) != Type::I64 {
            return None;
        }
        if let Some(form) = &self.forms[value.index()] {
            return Some(form.clone());
        }
        self.depth += 1;
        let form = self.sum_form(func, value).unwrap_or_else(|| {
            let atom = self.atom(func, value);
            Form { poly: Rc::new(Poly::atom(atom)), guards: Shared::default() }
        });
        self.depth -= 1;
        self.forms[value.index()] = Some(form.clone());
        self.undo.push(Undo::Form(value));
        Some(form)
    }

    /// The form of a value that is taken apart; `None` if it is an atom.
    pub(super) fn sum_form(&mut self, func: &Func, value: Value) -> Option<Form> {
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
        if !self.range(&poly).is_some_and(fits)
            && (self.proofs == Proofs::Plain || !self.fits_guarded(&poly, &mut guards))
        {
            return None;
        }
        Some(Form { poly: Rc::new(poly), guards: guards.into() })
    }

    /// Least and greatest value of a polynomial.
    pub(super) fn range(&self, poly: &Poly) -> Option<(i128, i128)> {
        self.range_by(poly, &mut |atom| {
            let data = &self.atoms[atom as usize];
            Some((data.least, data.greatest))
        })
    }

    /// Does it fit in 64 bits when guards hold? They are added.
    pub(crate) fn fits_guarded(&self, poly: &Poly, guards: &mut Guards) -> bool {
        // Sizes need no guard in sums, only in products.
        for near in [SIZE_LIMIT, GUARD] {
            let len = guards.len();
            let range = self.range_by(poly, &mut |atom| self.guarded_atom(atom, guards, near, 0));
            if range.is_some_and(|(least, greatest)| least >= LEAST && greatest <= GREATEST) {
                return true;
            }
            guards.truncate(len);
        }
        false
    }

    /// The atom's range when guards hold.
    pub(super) fn guarded_atom(
        &self,
        atom: Atom,
        guards: &mut Guards,
        near: i128,
        depth: u32,
    ) -> Option<(i128, i128)> {
        let data = &self.atoms[atom as usize];
        if data.least >= -near && data.greatest <= near {
            return Some((data.least, data.greatest));
        }
        // An ordinal is near zero if its extent is.
        if depth < 4 && data.least >= -near {
            for bound in &data.upper {
                let len = guards.len();
                let inner = |atom| self.guarded_atom(atom, guards, near, depth + 1);
                if let Some((_, greatest)) = self.range_by(&bound.poly, &mut { inner })
                    && greatest <= 4 * near
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

    pub(super) fn range_by(
        &self,
        poly: &Poly,
        atom_range: &mut dyn FnMut(Atom) -> Option<(i128, i128)>,
    ) -> Option<(i128, i128)> {
        let (mut least, mut greatest) = (poly.constant, poly.constant);
        for (product, coefficient) in &poly.terms {
            let (mut low, mut high) = (1i128, 1i128);
            for &atom in product.iter().filter(|&&atom| atom != NO_ATOM) {
                let (a, b) = atom_range(atom)?;
                let ends =
                    [low.checked_mul(a)?, low.checked_mul(b)?, high.checked_mul(a)?, high.checked_mul(b)?];
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
    pub(super) fn resolve(&self, poly: &Poly) -> Option<Poly> {
        let mut poly = poly.clone();
        // Each equality is in terms of earlier atoms, so this ends; the bound is for time.
        for _ in 0..16 {
            let equal = poly
                .atoms()
                .find_map(|atom| self.atoms[atom as usize].equal.clone().map(|equal| (atom, equal)));
            let Some((atom, by)) = equal else { return Some(poly) };
            poly = poly.substitute(atom, &by)?;
        }
        None
    }

    pub(super) fn latest(&self, poly: &Poly) -> Option<Atom> {
        poly.atoms().max_by_key(|&atom| (self.atoms[atom as usize].position, atom))
    }
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
