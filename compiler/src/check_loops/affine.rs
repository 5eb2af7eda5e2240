//! What integer values of a loop are, as polynomials over what is not known further.
//!
//! In: a function and one of its loops, the *home*. Out: for a value a [`Poly`] over [`Atom`]s (ordinals, sizes, parameters, quotients, loaded
//! elements), for a condition a [`Formula`]; for an atom what is always true of it.
//! Holds: a polynomial equals its value modulo 2^64, because i64 arithmetic is a ring; where plain integers are needed (comparisons, `//`, `%`) the
//! [`Known`] carries as [`Wrap`] what must not wrap, unless that is certain. An atom that varies has one value per iteration of the home.

use super::nest::Nest;
use crate::ir::{CheckKind, Def, Func, OpCode, OpId, Terminator, Type, Value};
use kiln_lang::tree::Const;
use kiln_lang::types::Scalar;
use std::collections::{HashMap, HashSet};

/// Something that has one integer value, for one iteration of the home or for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Atom(pub u32);

/// A product of atoms, in ascending order; empty for 1.
pub type Monomial = Vec<Atom>;

/// A sum of multiples of products, in ascending order of the products.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Poly {
    /// Products with factors that are not 0.
    pub terms: Vec<(Monomial, i128)>,
}

/// What a condition says.
#[derive(Clone, Debug, PartialEq)]
pub enum Formula {
    /// Nothing.
    True,
    /// It never holds.
    False,
    /// The polynomial is 0 or more.
    NonNegative(Poly),
    /// The polynomial is 0.
    Zero(Poly),
    /// All hold.
    All(Vec<Formula>),
    /// At least one holds.
    Any(Vec<Formula>),
}

/// A polynomial whose terms together must stay below a bound for a fact to hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Wrap {
    /// Whose terms, taken without their signs, are added.
    pub poly: Poly,
    /// The bound: 2^63 or 2^64.
    pub bound: f64,
}

/// A fact, and what it depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// The fact.
    pub formula: Formula,
    /// True if none of these wraps.
    pub wraps: Vec<Wrap>,
}

/// What an atom stands for; equal kinds are the same atom.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A value that is not taken apart, or whose parts `meaning` relates.
    Value(Value),
    /// A size of an array.
    Size(Value, u8),
    /// An element of an array that the home does not write.
    Load(Value, Vec<Poly>),
    /// A pure op: equal operands, equal results.
    Apply(String, Vec<Poly>),
    /// `poly // c`
    Quotient(Poly, i64),
    /// `poly % poly`
    Remainder(Poly, Poly),
    /// An unknown that explains another atom.
    Helper(Atom, i64),
}

/// What is known of an atom.
#[derive(Clone, Debug)]
pub struct AtomData {
    /// What it stands for.
    pub kind: Kind,
    /// Has it a value of its own in every iteration of the home?
    pub varying: bool,
    /// True whenever it has a value.
    pub meaning: Option<Known>,
    /// No value is larger, sign aside.
    pub limit: f64,
}

/// A loop that comes to its end has fewer ordinals, and an array has smaller sizes: 2^48 of the fastest iterations take days.
pub const FINITE: f64 = (1u64 << 48) as f64;
/// i64 values stay below, sign aside.
pub const INT: f64 = 9_223_372_036_854_775_808.0;
/// Two equal i64 values whose polynomials differ by less are equal.
pub const RING: f64 = 2.0 * INT;

/// Longer polynomials are not followed.
const MAX_TERMS: usize = 24;
/// Higher products are not followed.
const MAX_DEGREE: usize = 4;
/// Deeper expressions are not followed.
const MAX_DEPTH: usize = 96;
/// Larger divisors of wrapped neighbours are not enumerated.
const MAX_SMALL: i64 = 6;

impl Poly {
    /// A constant.
    pub fn constant(value: i128) -> Poly {
        Poly { terms: if value == 0 { Vec::new() } else { vec![(Vec::new(), value)] } }
    }

    /// An atom.
    pub fn atom(atom: Atom) -> Poly {
        Poly { terms: vec![(vec![atom], 1)] }
    }

    /// The constant it is, if it is one.
    pub fn as_constant(&self) -> Option<i128> {
        match self.terms.as_slice() {
            [] => Some(0),
            [(monomial, factor)] if monomial.is_empty() => Some(*factor),
            _ => None,
        }
    }

    /// The atom it is, if it is one.
    pub fn as_atom(&self) -> Option<Atom> {
        match self.terms.as_slice() {
            [(monomial, 1)] if monomial.len() == 1 => Some(monomial[0]),
            _ => None,
        }
    }

    /// Its constant term.
    pub fn constant_term(&self) -> i128 {
        self.terms.first().filter(|(monomial, _)| monomial.is_empty()).map_or(0, |&(_, factor)| factor)
    }

    /// All atoms in it; some may come twice.
    pub fn atoms(&self) -> impl Iterator<Item = Atom> + '_ {
        self.terms.iter().flat_map(|(monomial, _)| monomial.iter().copied())
    }

    fn from_terms(mut terms: Vec<(Monomial, i128)>) -> Option<Poly> {
        terms.sort_by(|a, b| a.0.cmp(&b.0));
        let mut merged: Vec<(Monomial, i128)> = Vec::with_capacity(terms.len());
        for (monomial, factor) in terms {
            match merged.last_mut() {
                Some((last, sum)) if *last == monomial => *sum = sum.checked_add(factor)?,
                _ => merged.push((monomial, factor)),
            }
        }
        merged.retain(|&(_, factor)| factor != 0);
        let fits = merged.len() <= MAX_TERMS
            && merged
                .iter()
                .all(|(monomial, factor)| monomial.len() <= MAX_DEGREE && factor.unsigned_abs() < 1 << 100);
        fits.then_some(Poly { terms: merged })
    }

    /// `self + other * factor`, unless it becomes too long.
    pub fn plus(&self, other: &Poly, factor: i128) -> Option<Poly> {
        let mut terms = self.terms.clone();
        for (monomial, other) in &other.terms {
            terms.push((monomial.clone(), other.checked_mul(factor)?));
        }
        Poly::from_terms(terms)
    }

    fn times(&self, other: &Poly) -> Option<Poly> {
        let mut terms = Vec::with_capacity(self.terms.len() * other.terms.len());
        for (a, x) in &self.terms {
            for (b, y) in &other.terms {
                let mut monomial = [a.as_slice(), b.as_slice()].concat();
                monomial.sort_unstable();
                terms.push((monomial, x.checked_mul(*y)?));
            }
        }
        Poly::from_terms(terms)
    }

    /// The same modulo 2^64, with factors that are i64.
    fn wrapped(mut self) -> Poly {
        for (_, factor) in &mut self.terms {
            *factor = i128::from(*factor as i64);
        }
        self.terms.retain(|&(_, factor)| factor != 0);
        self
    }
}

impl Known {
    /// A fact that depends on nothing.
    pub fn always(formula: Formula) -> Known {
        Known { formula, wraps: Vec::new() }
    }

    /// No fact.
    pub fn nothing() -> Known {
        Known::always(Formula::True)
    }

    fn all(parts: Vec<Known>) -> Known {
        let mut formulas = Vec::new();
        let mut wraps = Vec::new();
        for part in parts {
            wraps.extend(part.wraps);
            match part.formula {
                Formula::True => {}
                Formula::All(inner) => formulas.extend(inner),
                other => formulas.push(other),
            }
        }
        if formulas.contains(&Formula::False) {
            return Known { formula: Formula::False, wraps };
        }
        let formula = match formulas.len() {
            0 => return Known::nothing(),
            1 => formulas.remove(0),
            _ => Formula::All(formulas),
        };
        Known { formula, wraps }
    }

    fn any(parts: Vec<Known>) -> Known {
        let mut formulas = Vec::new();
        let mut wraps = Vec::new();
        for part in parts {
            match part.formula {
                Formula::False if part.wraps.is_empty() => continue,
                Formula::True => return Known::nothing(),
                Formula::Any(inner) => formulas.extend(inner),
                other => formulas.push(other),
            }
            wraps.extend(part.wraps);
        }
        let formula = match formulas.len() {
            0 => Formula::False,
            1 => formulas.remove(0),
            2..=12 => Formula::Any(formulas),
            _ => return Known::nothing(),
        };
        Known { formula, wraps }
    }
}

/// `poly >= 0`
fn non_negative(poly: Option<Poly>) -> Formula {
    match poly {
        None => Formula::True,
        Some(poly) => match poly.as_constant() {
            Some(0..) => Formula::True,
            Some(_) => Formula::False,
            None => Formula::NonNegative(poly),
        },
    }
}

/// `poly == 0`
fn zero(poly: Option<Poly>) -> Formula {
    match poly {
        None => Formula::True,
        Some(poly) => match poly.as_constant() {
            Some(0) => Formula::True,
            Some(_) => Formula::False,
            None => Formula::Zero(poly),
        },
    }
}

/// `a >= b + offset`
fn at_least(a: &Poly, b: &Poly, offset: i128) -> Formula {
    non_negative(a.plus(b, -1).and_then(|difference| difference.plus(&Poly::constant(offset), -1)))
}

fn equal(a: &Poly, b: &Poly) -> Formula {
    zero(a.plus(b, -1))
}

/// The values of one function as the iterations of one loop see them.
pub struct Model<'a> {
    /// The function.
    pub func: &'a Func,
    /// Its shape.
    pub nest: &'a Nest,
    /// The loop.
    pub home: OpId,
    /// All atoms.
    pub atoms: Vec<AtomData>,
    /// Is the value defined in the body of the home?
    inside: Vec<bool>,
    /// Arrays outside the body that the home writes, or that may be the same memory as one it writes.
    written: HashSet<Value>,
    /// Polynomials that equal their i64 values as plain integers, whatever their size.
    unwrapped: HashSet<Poly>,
    /// Of ordinals: `scale * ordinal < end`.
    ends: HashMap<Atom, (i128, Poly)>,
    ids: HashMap<Kind, Atom>,
    polys: HashMap<Value, Poly>,
    depth: usize,
}

impl<'a> Model<'a> {
    /// Of the loop `home`, which writes the arrays `written`.
    pub fn new(func: &'a Func, nest: &'a Nest, home: OpId, written: HashSet<Value>) -> Model<'a> {
        let mut inside = vec![false; func.values.len()];
        for region in nest.regions_within(func, home) {
            for &param in &func.region(region).params {
                inside[param.index()] = true;
            }
            for &op in &func.region(region).ops {
                for &result in &func.op(op).results {
                    inside[result.index()] = true;
                }
            }
        }
        let mut model = Model {
            func,
            nest,
            home,
            atoms: Vec::new(),
            inside,
            written,
            unwrapped: HashSet::new(),
            ends: HashMap::new(),
            ids: HashMap::new(),
            polys: HashMap::new(),
            depth: 0,
        };
        model.limit_extents();
        model
    }

    /// A value that is the extent of the home or of a loop around it is as small as a loop that ends is long. Not those of inner loops: they
    /// may not run at all.
    fn limit_extents(&mut self) {
        let around = self.nest.loops_around(self.func, self.home);
        for op in around.into_iter().chain([self.home]) {
            for axis in 0..self.nest.rank(self.func, op) {
                let extent = self.func.op(op).args[axis];
                let reach = self.reach(extent, 0);
                let mut shared = reach.end.terms.iter().filter(|(monomial, _)| !monomial.is_empty());
                if let (Some((monomial, 1)), None) = (shared.next(), shared.next())
                    && let &[atom] = monomial.as_slice()
                    && matches!(self.atom(atom).kind, Kind::Value(value) if self.func.ty(value) == Type::I64)
                {
                    let constant = reach.end.constant_term().unsigned_abs() as f64;
                    let limit = FINITE * reach.scale as f64 + constant;
                    let data = &mut self.atoms[atom.0 as usize];
                    data.limit = data.limit.min(limit);
                }
            }
        }
    }

    /// Is the value defined in the body of the home?
    pub fn is_inside(&self, value: Value) -> bool {
        self.inside[value.index()]
    }

    /// Does the home write the array, or one that may be the same memory?
    pub fn is_written(&self, array: Value) -> bool {
        self.written.contains(&array)
    }

    /// The data of an atom.
    pub fn atom(&self, atom: Atom) -> &AtomData {
        &self.atoms[atom.0 as usize]
    }

    /// Has it a value of its own in every iteration of the home?
    pub fn varies(&self, poly: &Poly) -> bool {
        poly.atoms().any(|atom| self.atom(atom).varying)
    }

    /// The atom of that kind, if there is one already.
    pub fn find(&self, kind: &Kind) -> Option<Atom> {
        self.ids.get(kind).copied()
    }

    /// The ordinals of a loop as atoms.
    pub fn ordinals(&mut self, op: OpId) -> Vec<Atom> {
        let body = self.func.op(op).regions[0];
        let rank = self.nest.rank(self.func, op);
        let params = self.func.region(body).params[..rank].to_vec();
        params.into_iter().map(|param| self.leaf(param)).collect()
    }

    /// The polynomial of a value that has been asked for before.
    pub fn seen(&self, value: Value) -> Option<&Poly> {
        self.polys.get(&value)
    }

    /// Of an ordinal: `scale * ordinal < end`, if the extent has been understood.
    pub fn end_of(&self, ordinal: Atom) -> Option<(i128, Poly)> {
        self.ends.get(&ordinal).cloned()
    }

    /// The largest value that the terms can add up to, as far as is known at compile time.
    pub fn magnitude(&self, poly: &Poly) -> f64 {
        poly.terms
            .iter()
            .map(|(monomial, factor)| {
                monomial.iter().fold((*factor as f64).abs(), |product, &atom| product * self.atom(atom).limit)
            })
            .sum()
    }

    /// The polynomial equals its i64 value as a plain integer, or else this must not wrap.
    pub fn exactly(&self, poly: &Poly) -> Vec<Wrap> {
        let is_int = poly.as_atom().is_some_and(|atom| self.atom(atom).limit <= INT);
        if is_int || self.magnitude(poly) < INT || self.unwrapped.contains(poly) {
            return Vec::new();
        }
        vec![Wrap { poly: poly.clone(), bound: INT }]
    }

    fn intern(&mut self, kind: Kind, varying: bool, limit: f64) -> (Atom, bool) {
        if let Some(&atom) = self.ids.get(&kind) {
            return (atom, false);
        }
        let atom = Atom(self.atoms.len() as u32);
        self.atoms.push(AtomData { kind: kind.clone(), varying, meaning: None, limit });
        self.ids.insert(kind, atom);
        (atom, true)
    }

    fn mean(&mut self, atom: Atom, meaning: Known) {
        self.atoms[atom.0 as usize].meaning = Some(meaning);
    }

    /// What an integer value is. A value that is not an integer is an atom.
    pub fn poly(&mut self, value: Value) -> Poly {
        if let Some(poly) = self.polys.get(&value) {
            return poly.clone();
        }
        let poly = if self.depth >= MAX_DEPTH {
            Poly::atom(self.opaque(value))
        } else {
            self.depth += 1;
            let poly = self.arithmetic(value).unwrap_or_else(|| Poly::atom(self.leaf(value)));
            self.depth -= 1;
            poly
        };
        self.polys.insert(value, poly.clone());
        poly
    }

    /// `None`: not a sum or product of other values.
    fn arithmetic(&mut self, value: Value) -> Option<Poly> {
        let func = self.func;
        let Some(id) = func.def_op(value) else { return self.carried(value) };
        let op = func.op(id);
        if let OpCode::Const(constant) = op.code {
            return integer(constant).map(Poly::constant);
        }
        if func.ty(value) != Type::I64 {
            return None;
        }
        match (&op.code, op.args.as_slice()) {
            (OpCode::Add, &[a, b]) => {
                let (a, b) = (self.poly(a), self.poly(b));
                a.plus(&b, 1).map(Poly::wrapped)
            }
            (OpCode::Sub, &[a, b]) => {
                let (a, b) = (self.poly(a), self.poly(b));
                a.plus(&b, -1).map(Poly::wrapped)
            }
            (OpCode::Mul, &[a, b]) => {
                let (a, b) = (self.poly(a), self.poly(b));
                a.times(&b).map(Poly::wrapped)
            }
            (OpCode::Neg, &[a]) => Poly::default().plus(&self.poly(a), -1).map(Poly::wrapped),
            (OpCode::Shl, &[a, b]) => {
                let (a, count) = (self.poly(a), self.poly(b).as_constant()?);
                a.times(&Poly::constant(1 << (count & 63))).map(Poly::wrapped)
            }
            (OpCode::FloorDiv, &[a, b]) => {
                let (a, b) = (self.poly(a), self.poly(b));
                self.quotient(&a, &b)
            }
            (OpCode::Rem, &[a, b]) => {
                let (a, b) = (self.poly(a), self.poly(b));
                self.remainder(&a, &b)
            }
            (OpCode::Dim { axis }, &[array]) => self.size(array, *axis),
            (OpCode::Convert, &[a]) => match func.ty(a) {
                Type::Scalar(Scalar::Bool | Scalar::I32 | Scalar::U32 | Scalar::U64) => Some(self.poly(a)),
                _ => None,
            },
            _ => None,
        }
    }

    /// A value that a plain loop carries unchanged, or counts up by a constant.
    fn carried(&mut self, value: Value) -> Option<Poly> {
        let counted = self.nest.counted(self.func, value)?;
        let init = self.poly(counted.init);
        if counted.step == 0 {
            return Some(init);
        }
        let ordinal = Poly::atom(self.leaf(counted.ordinal?));
        init.plus(&ordinal, counted.step).map(Poly::wrapped)
    }

    /// A size: an operand of the allocation if that is seen, else an atom.
    pub fn size(&mut self, array: Value, axis: u8) -> Option<Poly> {
        if let Some(id) = self.func.def_op(array)
            && let OpCode::Alloc | OpCode::AllocUninit = self.func.op(id).code
        {
            let size = self.func.op(id).args[axis as usize];
            return Some(self.poly(size));
        }
        let varying = self.is_inside(array);
        let (atom, is_new) = self.intern(Kind::Size(array, axis), varying, FINITE);
        if is_new {
            self.mean(atom, Known::always(Formula::NonNegative(Poly::atom(atom))));
        }
        Some(Poly::atom(atom))
    }

    fn quotient(&mut self, a: &Poly, b: &Poly) -> Option<Poly> {
        let divisor = i64::try_from(b.as_constant()?).ok().filter(|&divisor| divisor != 0)?;
        if divisor == 1 {
            return Some(a.clone());
        }
        let varying = self.varies(a);
        let limit = (self.magnitude(a) + 1.0).min(INT);
        let (atom, is_new) = self.intern(Kind::Quotient(a.clone(), divisor), varying, limit);
        if is_new {
            // a = divisor·q + r with 0 <= r < divisor, or divisor < r <= 0
            let rest = a.plus(&Poly::atom(atom), -i128::from(divisor))?;
            let (low, high) = if divisor > 0 { (0, divisor - 1) } else { (divisor + 1, 0) };
            let formula = Formula::All(vec![
                at_least(&rest, &Poly::default(), i128::from(low)),
                at_least(&Poly::constant(i128::from(high)), &rest, 0),
            ]);
            let wraps = self.exactly(a);
            self.mean(atom, Known { formula, wraps });
        }
        Some(Poly::atom(atom))
    }

    fn remainder(&mut self, a: &Poly, b: &Poly) -> Option<Poly> {
        if let Some(divisor) = b.as_constant() {
            let quotient = self.quotient(a, b)?;
            return a.plus(&quotient, -divisor).map(Poly::wrapped);
        }
        let varying = self.varies(a) || self.varies(b);
        let limit = self.magnitude(b).min(INT);
        let (atom, is_new) = self.intern(Kind::Remainder(a.clone(), b.clone()), varying, limit);
        if is_new {
            let meaning = self.wrapped_neighbour(atom, a, b, varying);
            self.mean(atom, meaning);
        }
        Some(Poly::atom(atom))
    }

    /// What `r = a % n` is where a lies in or next to 0..n: `(i + c) % n` is i + c, i + c - n or i + c + n. Further away only for small n.
    fn wrapped_neighbour(&mut self, atom: Atom, a: &Poly, n: &Poly, varying: bool) -> Known {
        let r = Poly::atom(atom);
        let none = Poly::default();
        let in_range = [at_least(&r, &none, 0), at_least(n, &r, 1)];
        let twice = n.plus(n, 1).unwrap_or_else(|| n.clone());
        let piece = |low: Formula, high: Formula, value: Option<Poly>| {
            let is_value = value.map_or(Formula::True, |value| equal(&r, &value));
            let mut parts = vec![low, high, is_value];
            parts.extend(in_range.iter().cloned());
            Formula::All(parts)
        };
        let below = n.plus(a, 1); // n + a: a >= -n
        let mut pieces = vec![
            piece(at_least(a, &none, 0), at_least(n, a, 1), Some(a.clone())),
            piece(at_least(a, n, 0), at_least(&twice, a, 1), a.plus(n, -1)),
            piece(non_negative(below.clone()), at_least(&none, a, 1), a.plus(n, 1)),
        ];
        let small = i64::try_from(a.constant_term().unsigned_abs()).unwrap_or(i64::MAX).min(MAX_SMALL);
        for divisor in 1..small {
            let (helper, _) = self.intern(Kind::Helper(atom, divisor), varying, INT);
            let value = Poly::atom(helper)
                .plus(&Poly::default(), 1)
                .and_then(|q| q.times(&Poly::constant(i128::from(divisor))))
                .and_then(|multiple| multiple.plus(&r, 1));
            let is_value = value.map_or(Formula::True, |value| equal(a, &value));
            let is_divisor = equal(n, &Poly::constant(i128::from(divisor)));
            let mut parts = vec![is_divisor, is_value];
            parts.extend(in_range.iter().cloned());
            pieces.push(Formula::All(parts));
        }
        // What is left, where nothing is said of r but its range.
        let large = at_least(n, &Poly::constant(i128::from(small.max(1))), 0);
        let far_above = at_least(a, &twice, 0);
        let far_below = non_negative(below.and_then(|below| Poly::constant(-1).plus(&below, -1)));
        for far in [far_above, far_below] {
            pieces.push(piece(far, large.clone(), None));
        }
        pieces.push(Formula::All(vec![at_least(&none, n, 1), at_least(&none, &r, 0), at_least(&r, n, 1)]));
        let mut wraps = self.exactly(a);
        wraps.extend(self.exactly(n));
        Known { formula: Formula::Any(pieces), wraps }
    }

    /// An atom of which nothing is known but its type.
    fn opaque(&mut self, value: Value) -> Atom {
        let inside = self.is_inside(value);
        let (atom, is_new) = self.intern(Kind::Value(value), inside, limit(self.func.ty(value)));
        if is_new {
            self.mean_type(atom, self.func.ty(value));
        }
        atom
    }

    fn mean_type(&mut self, atom: Atom, ty: Type) {
        let poly = Poly::atom(atom);
        let none = Poly::default();
        match ty {
            Type::Scalar(Scalar::Bool) => {
                let parts = vec![at_least(&poly, &none, 0), at_least(&Poly::constant(1), &poly, 0)];
                self.mean(atom, Known::always(Formula::All(parts)));
            }
            Type::Scalar(Scalar::U32 | Scalar::U64) => {
                self.mean(atom, Known::always(at_least(&poly, &none, 0)));
            }
            _ => {}
        }
    }

    /// The atom of a value that is not a sum or product.
    fn leaf(&mut self, value: Value) -> Atom {
        if let Some(atom) = self.find(&Kind::Value(value)) {
            return atom;
        }
        let func = self.func;
        match func.values[value.index()].def {
            Def::Param(region, position) => match self.nest.ordinal_of(func, region, position) {
                Some((op, axis)) => self.ordinal(value, op, axis),
                None => self.opaque(value),
            },
            Def::Op(id, result) => self.computed(value, id, result),
        }
    }

    fn ordinal(&mut self, value: Value, op: OpId, axis: usize) -> Atom {
        let inside = self.is_inside(value);
        let (atom, _) = self.intern(Kind::Value(value), inside, FINITE);
        let poly = Poly::atom(atom);
        let positive = Known::always(at_least(&poly, &Poly::default(), 0));
        let extent = self.func.op(op).args[axis];
        let below = match self.general_range(extent) {
            Some(range) => self.within(&poly, &range),
            None => {
                let reach = self.reach(extent, 0);
                let scaled = Poly::default().plus(&poly, reach.scale).unwrap_or_default();
                self.ends.insert(atom, (reach.scale, reach.end.clone()));
                Known { formula: at_least(&reach.end, &scaled, 1), wraps: reach.wraps }
            }
        };
        self.mean(atom, Known::all(vec![positive, below]));
        atom
    }

    /// What an extent says of an ordinal o in a body that runs: `scale * o < end`. Undoes what lowering makes of `lo..hi step s`:
    /// `(max(hi, lo) - lo - 1) // s + 1`.
    fn reach(&mut self, extent: Value, depth: usize) -> Reach {
        let func = self.func;
        let op = func.def_op(extent).map(|id| func.op(id));
        if let (Some(op), true) = (op, depth < 8) {
            match (&op.code, op.args.as_slice()) {
                (OpCode::Max, &[a, b]) if is_int(func, b, 0) => return self.reach(a, depth + 1),
                (OpCode::Max, &[a, b]) if is_int(func, a, 0) => return self.reach(b, depth + 1),
                // saturated: no loop gets that far
                (OpCode::Select, &[_, most, distance]) if is_int(func, most, i64::MAX) => {
                    return self.reach(distance, depth + 1);
                }
                (OpCode::Sub, &[high, low]) => {
                    let (high, low) = (farther(func, high, low), farther(func, low, high));
                    return self.distance(high, low);
                }
                (OpCode::Add, &[steps, one]) if is_int(func, one, 1) => {
                    if let Some((distance, step)) = stepped(func, steps) {
                        let reach = self.reach(distance, depth + 1);
                        return Reach { scale: reach.scale * i128::from(step), ..reach };
                    }
                }
                _ => {}
            }
        }
        let end = self.poly(extent);
        let wraps = if self.magnitude(&end) < RING - 2.0 * FINITE { Vec::new() } else { self.exactly(&end) };
        Reach { scale: 1, end, wraps }
    }

    fn distance(&mut self, high: Value, low: Value) -> Reach {
        let (high, low) = (self.poly(high), self.poly(low));
        let Some(end) = high.plus(&low, -1) else {
            return Reach { scale: 0, end: Poly::constant(1), wraps: Vec::new() };
        };
        // Only a value that has wrapped by nearly 2^64 could be mistaken for the extent of a loop that ends.
        let wraps = if self.magnitude(&end) < RING - 2.0 * FINITE {
            Vec::new()
        } else {
            [self.exactly(&high), self.exactly(&low)].concat()
        };
        Reach { scale: 1, end, wraps }
    }

    /// The range of an extent that lowering computes for a step of unknown sign.
    fn general_range(&mut self, extent: Value) -> Option<Range> {
        let op = |value: Value| self.func.def_op(value).map(|id| self.func.op(id));
        let select = op(extent).filter(|op| op.code == OpCode::Select)?;
        let runs = op(select.args[0])?;
        let is_inclusive = match runs.code {
            OpCode::Le => true,
            OpCode::Lt => false,
            _ => return None,
        };
        let count = op(select.args[1]).filter(|op| op.code == OpCode::Convert)?;
        if self.func.ty(count.args[0]) != Type::U64 || !is_int(self.func, select.args[2], 0) {
            return None;
        }
        let low = op(runs.args[0]).filter(|op| op.code == OpCode::Select)?;
        let rises = op(low.args[0]).filter(|op| op.code == OpCode::Gt)?;
        let (lo, hi, step) = (low.args[1], low.args[2], rises.args[0]);
        Some(Range { lo: self.poly(lo), hi: self.poly(hi), step: self.poly(step), is_inclusive })
    }

    /// The index `lo + ordinal * step` lies before `hi`; lowering sees to it that it does not wrap.
    fn within(&mut self, ordinal: &Poly, range: &Range) -> Known {
        let Some(index) = range.step.times(ordinal).and_then(|far| far.plus(&range.lo, 1)) else {
            return Known::nothing();
        };
        self.unwrapped.insert(index.clone());
        let beyond = i128::from(!range.is_inclusive);
        let one = Poly::constant(1);
        let rising = vec![at_least(&range.step, &one, 0), at_least(&range.hi, &index, beyond)];
        let falling =
            vec![at_least(&Poly::constant(-1), &range.step, 0), at_least(&index, &range.hi, beyond)];
        let formula = Formula::Any(vec![Formula::All(rising), Formula::All(falling)]);
        let wraps = [self.exactly(&range.lo), self.exactly(&range.hi), self.exactly(&range.step)].concat();
        Known { formula, wraps }
    }

    /// The atom of an op's result.
    fn computed(&mut self, value: Value, id: OpId, result: u32) -> Atom {
        let func = self.func;
        let op = func.op(id);
        let ty = func.ty(value);
        if self.depth >= MAX_DEPTH {
            return self.opaque(value);
        }
        match &op.code {
            OpCode::Min | OpCode::Max | OpCode::Abs | OpCode::Select if ty == Type::I64 => {
                self.piecewise(value, id)
            }
            OpCode::If if ty == Type::I64 => self.branches(value, id, result),
            OpCode::Load if self.is_inside(value) => {
                let array = op.args[0];
                if self.is_inside(array) || self.written.contains(&array) {
                    return self.opaque(value);
                }
                let indices: Vec<Poly> = op.args[1..].iter().map(|&index| self.poly(index)).collect();
                let varying = indices.iter().any(|index| self.varies(index));
                let (atom, is_new) = self.intern(Kind::Load(array, indices), varying, limit(ty));
                if is_new {
                    self.mean_type(atom, ty);
                }
                atom
            }
            code if self.is_inside(value) && op.results.len() == 1 && code.effects().pure => {
                let args: Vec<Poly> = op.args.iter().map(|&arg| self.poly(arg)).collect();
                let varying = args.iter().any(|arg| self.varies(arg));
                let types: Vec<Type> = op.args.iter().map(|&arg| func.ty(arg)).collect();
                let name = format!("{code:?} {types:?} -> {ty:?}");
                let (atom, is_new) = self.intern(Kind::Apply(name, args), varying, limit(ty));
                if is_new {
                    self.mean_type(atom, ty);
                }
                atom
            }
            _ => self.opaque(value),
        }
    }

    /// `min`, `max`, `abs`, `select`: one of two values.
    fn piecewise(&mut self, value: Value, id: OpId) -> Atom {
        let op = self.func.op(id);
        let none = Poly::default();
        let pieces = match (&op.code, op.args.as_slice()) {
            (OpCode::Abs, &[a]) => {
                let a = self.poly(a);
                let minus = none.plus(&a, -1).unwrap_or_default();
                vec![
                    (a.clone(), Known::always(at_least(&a, &none, 0))),
                    (minus, Known::always(at_least(&none, &a, 0))),
                ]
            }
            (OpCode::Select, &[condition, a, b]) => {
                let (yes, no) = (self.formula(condition, true), self.formula(condition, false));
                vec![(self.poly(a), yes), (self.poly(b), no)]
            }
            (code, &[a, b]) => {
                let (a, b) = (self.poly(a), self.poly(b));
                let (larger, smaller) =
                    (Known::always(at_least(&a, &b, 0)), Known::always(at_least(&b, &a, 0)));
                let (first, second) =
                    if *code == OpCode::Max { (larger, smaller) } else { (smaller, larger) };
                vec![(a, first), (b, second)]
            }
            _ => return self.opaque(value),
        };
        let varying = op.args.iter().any(|&arg| {
            let arg = self.poly(arg);
            self.varies(&arg)
        });
        self.one_of(value, pieces, varying)
    }

    /// A result of an `if`.
    fn branches(&mut self, value: Value, id: OpId, result: u32) -> Atom {
        let op = self.func.op(id);
        let condition = self.poly(op.args[0]);
        let mut varying = self.varies(&condition);
        let mut pieces = Vec::new();
        for (&region, positive) in op.regions.iter().zip([true, false]) {
            if let Terminator::Yield(values) = &self.func.region(region).end {
                let piece = self.poly(values[result as usize]);
                varying |= self.varies(&piece);
                pieces.push((piece, self.formula(op.args[0], positive)));
            }
        }
        self.one_of(value, pieces, varying)
    }

    /// An atom that is one of several polynomials, each under a condition.
    fn one_of(&mut self, value: Value, pieces: Vec<(Poly, Known)>, varying: bool) -> Atom {
        let magnitude: f64 = pieces.iter().map(|(piece, _)| self.magnitude(piece)).sum();
        let (atom, _) = self.intern(Kind::Value(value), varying, magnitude.min(INT));
        let poly = Poly::atom(atom);
        let pieces = pieces
            .into_iter()
            .map(|(piece, condition)| {
                let is_piece = Known { formula: equal(&poly, &piece), wraps: self.exactly(&piece) };
                Known::all(vec![condition, is_piece])
            })
            .collect();
        self.mean(atom, Known::any(pieces));
        atom
    }

    /// What it says that a condition is true, or false.
    pub fn formula(&mut self, condition: Value, positive: bool) -> Known {
        if self.depth >= MAX_DEPTH {
            return Known::nothing();
        }
        self.depth += 1;
        let known = self.formula_of(condition, positive);
        self.depth -= 1;
        known
    }

    fn formula_of(&mut self, condition: Value, positive: bool) -> Known {
        let func = self.func;
        let opaque = |model: &mut Self| {
            let poly = model.poly(condition);
            Known::always(equal(&poly, &Poly::constant(i128::from(positive))))
        };
        let Some(id) = func.def_op(condition) else { return opaque(self) };
        let op = func.op(id);
        match (&op.code, op.args.as_slice()) {
            (OpCode::Const(Const::Bool(value)), _) => {
                Known::always(if *value == positive { Formula::True } else { Formula::False })
            }
            (OpCode::Not, &[a]) => self.formula(a, !positive),
            (OpCode::And, &[a, b]) | (OpCode::Or, &[a, b]) => {
                let parts = vec![self.formula(a, positive), self.formula(b, positive)];
                if (op.code == OpCode::And) == positive { Known::all(parts) } else { Known::any(parts) }
            }
            (
                code @ (OpCode::Eq | OpCode::Ne | OpCode::Lt | OpCode::Le | OpCode::Gt | OpCode::Ge),
                &[a, b],
            ) if matches!(func.ty(a), Type::Scalar(scalar) if scalar.is_int()) => {
                self.comparison(code.clone(), a, b, positive)
            }
            (OpCode::Select, &[test, a, b]) => {
                let yes = Known::all(vec![self.formula(test, true), self.formula(a, positive)]);
                let no = Known::all(vec![self.formula(test, false), self.formula(b, positive)]);
                Known::any(vec![yes, no])
            }
            (OpCode::If, &[test]) => {
                let position = op.results.iter().position(|&result| result == condition).unwrap_or(0);
                let mut parts = Vec::new();
                for (&region, side) in op.regions.iter().zip([true, false]) {
                    if let Terminator::Yield(values) = &func.region(region).end {
                        let value = values[position];
                        parts.push(Known::all(vec![self.formula(test, side), self.formula(value, positive)]));
                    }
                }
                Known::any(parts)
            }
            _ => opaque(self),
        }
    }

    fn comparison(&mut self, code: OpCode, a: Value, b: Value, positive: bool) -> Known {
        let (a, b) = (self.poly(a), self.poly(b));
        let mut wraps = self.exactly(&a);
        wraps.extend(self.exactly(&b));
        let differ = || {
            Known::any(vec![Known::always(at_least(&a, &b, 1)), Known::always(at_least(&b, &a, 1))]).formula
        };
        let formula = match (code, positive) {
            (OpCode::Eq, true) | (OpCode::Ne, false) => equal(&a, &b),
            (OpCode::Eq, false) | (OpCode::Ne, true) => differ(),
            (OpCode::Lt, true) | (OpCode::Ge, false) => at_least(&b, &a, 1),
            (OpCode::Le, true) | (OpCode::Gt, false) => at_least(&b, &a, 0),
            (OpCode::Gt, true) | (OpCode::Le, false) => at_least(&a, &b, 1),
            _ => at_least(&a, &b, 0),
        };
        Known { formula, wraps }
    }

    /// What a check that has been passed says.
    pub fn passed(&mut self, kind: &CheckKind, args: &[Value]) -> Known {
        match kind {
            CheckKind::Bounds { .. } => {
                let (index, size) = (self.poly(args[0]), self.poly(args[1]));
                self.in_range(&index, &size)
            }
            CheckKind::NonZero { .. } | CheckKind::Step | CheckKind::NotEmpty { .. } => {
                let value = self.poly(args[0]);
                let wraps = self.exactly(&value);
                let one = Poly::constant(1);
                let minus = Poly::constant(-1);
                let formula = Formula::Any(vec![at_least(&value, &one, 0), at_least(&minus, &value, 0)]);
                Known { formula, wraps }
            }
            CheckKind::Exponent | CheckKind::Size => {
                let value = self.poly(args[0]);
                let wraps = self.exactly(&value);
                Known { formula: at_least(&value, &Poly::default(), 0), wraps }
            }
            CheckKind::DrawRange => self.comparison(OpCode::Lt, args[0], args[1], true),
            CheckKind::SameSize { .. } => self.comparison(OpCode::Eq, args[0], args[1], true),
            CheckKind::Entry { .. } | CheckKind::Domain { .. } => self.formula(args[0], true),
            CheckKind::Unique { .. } => Known::nothing(),
        }
    }

    /// `0 <= index < size`
    pub fn in_range(&self, index: &Poly, size: &Poly) -> Known {
        let mut wraps = self.exactly(index);
        wraps.extend(self.exactly(size));
        let formula = Formula::All(vec![at_least(index, &Poly::default(), 0), at_least(size, index, 1)]);
        Known { formula, wraps }
    }
}

/// See [`Model::reach`].
struct Reach {
    scale: i128,
    end: Poly,
    wraps: Vec<Wrap>,
}

/// `lo..hi step step`
struct Range {
    lo: Poly,
    hi: Poly,
    step: Poly,
    is_inclusive: bool,
}

fn is_int(func: &Func, value: Value, int: i64) -> bool {
    func.as_const(value) == Some(Const::I64(int))
}

/// The bound behind `max(bound, other)` or `min(bound, other)`, which only keeps a range from running backwards.
fn farther(func: &Func, value: Value, other: Value) -> Value {
    let Some(id) = func.def_op(value) else { return value };
    match (&func.op(id).code, func.op(id).args.as_slice()) {
        (OpCode::Max | OpCode::Min, &[bound, limit]) if limit == other => bound,
        (OpCode::Max | OpCode::Min, &[limit, bound]) if limit == other => bound,
        _ => value,
    }
}

/// The distance and step of `(distance - 1) // step`.
fn stepped(func: &Func, steps: Value) -> Option<(Value, i64)> {
    let quotient = func.op(func.def_op(steps)?);
    let (&[before_last, step], OpCode::FloorDiv) = (quotient.args.as_slice(), &quotient.code) else {
        return None;
    };
    let difference = func.op(func.def_op(before_last)?);
    match (&difference.code, difference.args.as_slice(), func.as_const(step)?) {
        (OpCode::Sub, &[distance, one], Const::I64(step @ 1..)) if is_int(func, one, 1) => {
            Some((distance, step))
        }
        _ => None,
    }
}

/// An integer constant.
pub fn integer(constant: Const) -> Option<i128> {
    match constant {
        Const::Bool(value) => Some(i128::from(value)),
        Const::I32(value) => Some(i128::from(value)),
        Const::I64(value) => Some(i128::from(value)),
        Const::U32(value) => Some(i128::from(value)),
        Const::U64(value) => Some(i128::from(value)),
        Const::F32(_) | Const::F64(_) => None,
    }
}

fn limit(ty: Type) -> f64 {
    match ty.scalar() {
        Scalar::Bool => 1.0,
        Scalar::I32 | Scalar::U32 => 4_294_967_296.0,
        Scalar::I64 | Scalar::F32 | Scalar::F64 => INT,
        Scalar::U64 => RING,
    }
}
