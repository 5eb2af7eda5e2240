//! Whether two accesses of a loop can meet in different iterations.
//!
//! In: the model of a loop and two accesses to one array, of which one writes. Out: a [`Meeting`]: never; never if conditions hold that can
//! be tested at the loop's entry; in two iterations that are shown; or unknown.
//! Holds: `Never` follows from facts alone. Shown iterations are put into the program's own expressions before they are believed.

use super::access::{Access, Fact, Place};
use super::affine::{Atom, Formula, INT, Kind, Known, Model, Monomial, Poly, RING, Wrap};
use super::solve::{self, Column, Relation, Row, Solution, Stop, System, Work, greatest_common_divisor};
use super::witness::{self, Witness};
use crate::ir::{CheckKind, OpCode, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// How two accesses meet.
pub enum Meeting {
    /// They do not, unless one of these wraps.
    Never(Vec<Wrap>),
    /// They do not if all these hold and nothing wraps.
    Unless(Vec<Clause>, Vec<Wrap>),
    /// They do: here.
    Shown(Box<Witness>),
    /// They may.
    Unknown,
}

/// At least one of these holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Clause {
    /// What is worth saying.
    pub tests: Vec<Test>,
    /// What excuses short loops only.
    pub silent: Vec<Test>,
}

/// A test on values known before the loop.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// The polynomial is 0 or more.
    NonNegative(Poly),
    /// The polynomial is not 0.
    NonZero(Poly),
}

/// Which iteration an atom belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// It is the same in all.
    Shared,
    /// The iteration of the first access.
    First,
    /// The iteration of the second.
    Second,
}

/// How the two iterations differ: earlier axes are equal, on `axis` one is smaller.
#[derive(Clone, Copy, Debug)]
struct Order {
    axis: usize,
    is_first_smaller: bool,
}

/// May facts be used that hold only if something does not wrap?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    Certain,
    Unwrapped,
}

/// An access as polynomials.
pub struct Prepared {
    /// The indices as values; none for a whole array.
    pub places: Vec<Value>,
    /// What holds where it is reached, innermost first.
    pub facts: Vec<Fact>,
    indices: Vec<Poly>,
    plain: Vec<Option<Plain>>,
    sizes: Vec<Poly>,
    conditions: Vec<Known>,
    bounds: Vec<Known>,
    checks: Vec<Known>,
    /// Ordinals of the home and of the loops between it and the access.
    ordinals: Vec<Atom>,
}

impl Prepared {
    /// The atoms that the indices are made of.
    pub fn atoms(&self) -> impl Iterator<Item = Atom> + '_ {
        self.indices.iter().flat_map(Poly::atoms)
    }

    /// The first index that is more than ordinals and what is the same in all iterations.
    pub fn opaque_index(&self, model: &Model) -> Option<Value> {
        let is_opaque = |index: &Poly| {
            index.atoms().any(|atom| model.atom(atom).varying && !self.ordinals.contains(&atom))
        };
        let at = self.indices.iter().position(is_opaque)?;
        self.places.get(at).copied()
    }

    /// Does the access name elements that are the same in all iterations?
    pub fn is_fixed(&self, model: &Model) -> bool {
        !self.indices.is_empty() && !self.indices.iter().any(|index| model.varies(index))
    }
}

/// `factor * ordinal + shared + constant`
struct Plain {
    axis: usize,
    factor: i128,
    shared: Vec<(Monomial, i128)>,
    constant: i128,
}

/// What `@unique` promises: the elements of `array` from `offset` on, `count` of them, differ.
struct Promise {
    array: Value,
    offset: Poly,
    count: Poly,
}

/// Checks of one access that are used at most.
const MAX_CHECKS: usize = 24;
/// Facts around the loop that are looked at.
const MAX_AROUND: usize = 200;
/// Cases in which accesses may meet, each with conditions of its own.
const MAX_LEAVES: usize = 8;
/// Pairs of elements of `@unique` arrays that are told apart in one question.
const MAX_PROMISED: usize = 4;
/// Work for one question.
const QUESTION: u64 = 2_000_000;
/// Loops and arrays whose length is not known are taken to be at least this long when an entry condition is weighed: one that only
/// holds for shorter ones is no way out.
const LONG: i128 = 1 << 40;

/// Judges pairs of accesses of one loop.
pub struct Judge<'a> {
    model: Model<'a>,
    ordinals: Vec<Atom>,
    around: Vec<Known>,
    promises: Vec<Promise>,
    /// Where a value must be defined to be known before the loop.
    scope: HashSet<Value>,
    work: Work,
}

impl<'a> Judge<'a> {
    /// For the loop that the model is made for. `work` bounds all questions together.
    pub fn new(mut model: Model<'a>, around: &[Fact], work: Work) -> Judge<'a> {
        let home = model.home;
        let func = model.func;
        let ordinals = model.ordinals(home);
        let mut promises = Vec::new();
        let mut known = Vec::new();
        let unique = match &func.op(home).code {
            OpCode::For(data) => data.unique.clone(),
            _ => Vec::new(),
        };
        for &fact in around.iter().take(MAX_AROUND) {
            match fact {
                Fact::Condition(condition, positive) => known.push(model.formula(condition, positive)),
                Fact::Loop(op) => {
                    model.ordinals(op);
                }
                Fact::While => {}
                Fact::Check(op) => {
                    let OpCode::Check(site) = func.op(op).code else { continue };
                    let args = &func.op(op).args;
                    let kind = &func.sites[site.index()].kind;
                    if let CheckKind::Unique { .. } = kind
                        && unique.contains(&args[0])
                    {
                        let (offset, count) = (model.poly(args[1]), model.poly(args[2]));
                        promises.push(Promise { array: args[0], offset, count });
                    } else {
                        known.push(model.passed(kind, args));
                    }
                }
            }
        }
        let scope = values_in_scope(&model);
        Judge { model, ordinals, around: known, promises, scope, work }
    }

    /// The model, to describe things.
    pub fn model(&self) -> &Model<'a> {
        &self.model
    }

    /// An access as polynomials.
    pub fn prepare(&mut self, access: &Access, facts: Vec<Fact>) -> Prepared {
        let model = &mut self.model;
        let func = model.func;
        let mut prepared = Prepared {
            indices: Vec::new(),
            plain: Vec::new(),
            sizes: Vec::new(),
            conditions: Vec::new(),
            bounds: Vec::new(),
            checks: Vec::new(),
            ordinals: self.ordinals.clone(),
            places: Vec::new(),
            facts: Vec::new(),
        };
        if let Place::Element(indices) = &access.place {
            prepared.places.clone_from(indices);
            prepared.indices = indices.iter().map(|&index| model.poly(index)).collect();
            // of a carried array the sizes are those of whatever it is at the time
            if !model.is_inside(access.array) {
                prepared.sizes =
                    (0..indices.len()).filter_map(|axis| model.size(access.array, axis as u8)).collect();
            }
        }
        for &fact in &facts {
            match fact {
                Fact::Condition(condition, positive) => {
                    prepared.conditions.push(model.formula(condition, positive))
                }
                Fact::Loop(op) => prepared.ordinals.extend(model.ordinals(op)),
                Fact::While => {}
                Fact::Check(op) => {
                    let OpCode::Check(site) = func.op(op).code else { continue };
                    let kind = &func.sites[site.index()].kind;
                    let list = match kind {
                        CheckKind::Bounds { .. } => &mut prepared.bounds,
                        _ => &mut prepared.checks,
                    };
                    if list.len() < 2 * MAX_CHECKS {
                        list.push(model.passed(kind, &func.op(op).args));
                    }
                }
            }
        }
        prepared.facts = facts;
        prepared.plain = prepared.indices.iter().map(|index| self.plain(index)).collect();
        prepared
    }

    /// How two accesses meet; they may be one and the same.
    pub fn meet(&mut self, a: &Prepared, b: &Prepared, is_same: bool) -> Meeting {
        if a.places.is_empty() || b.places.is_empty() {
            return Meeting::Unknown;
        }
        if self.differ_plainly(a, b) {
            return Meeting::Never(Vec::new());
        }
        if self.is_exhausted() {
            return Meeting::Unknown;
        }
        let mut wraps = Vec::new();
        let mut open = Vec::new();
        for axis in 0..self.ordinals.len() {
            for is_first_smaller in [true, false] {
                if is_same && !is_first_smaller {
                    continue;
                }
                let order = Order { axis, is_first_smaller };
                let certain = Question::new(self, a, b, order, Trust::Certain).build(Equations::All);
                if self.ask(&certain.system) == Err(Stop::Empty) {
                    continue;
                }
                let question = Question::new(self, a, b, order, Trust::Unwrapped).build(Equations::All);
                match self.ask(&question.system) {
                    Err(Stop::Empty) if self.are_testable(&question.wraps) => wraps.extend(question.wraps),
                    other => open.push((order, question, other)),
                }
            }
        }
        if open.is_empty() {
            return Meeting::Never(wraps);
        }
        let orders: Vec<Order> = open.iter().map(|&(order, ..)| order).collect();
        if let Some((clauses, needed)) = self.entry_conditions(a, b, &orders) {
            wraps.extend(needed);
            if self.are_testable(&wraps) {
                return Meeting::Unless(clauses, wraps);
            }
        }
        for (order, question, answer) in &open {
            // numbers of one's own choice make a better example than the solver's 0
            if let Some(witness) = self.try_small(a, b, *order, question) {
                return Meeting::Shown(Box::new(witness));
            }
            if let Ok(solution) = answer
                && let Some(witness) = self.check_witness(a, b, question, solution, &HashMap::new())
            {
                return Meeting::Shown(Box::new(witness));
            }
        }
        Meeting::Unknown
    }

    fn ask(&mut self, system: &System) -> Result<Solution, Stop> {
        let mut work = Work(self.work.0.min(QUESTION));
        let before = work.0;
        let answer = solve::solve(system, &mut work);
        self.work.0 -= before - work.0;
        answer
    }

    /// Is all work spent?
    pub fn is_exhausted(&self) -> bool {
        self.work.0 == 0
    }

    /// Strong single-index tests, which settle most pairs: an index that depends on one ordinal of the loop alone, and in the same way, is
    /// equal only where the ordinal is.
    fn differ_plainly(&self, a: &Prepared, b: &Prepared) -> bool {
        let mut settled = 0u64;
        for (first, second) in a.plain.iter().zip(&b.plain) {
            let (Some(first), Some(second)) = (first, second) else { continue };
            if (first.axis, first.factor, &first.shared) != (second.axis, second.factor, &second.shared) {
                continue;
            }
            let apart = first.constant - second.constant;
            if apart == 0 {
                settled |= 1 << first.axis;
            } else if apart % first.factor != 0 {
                return true;
            }
        }
        settled.count_ones() as usize == self.ordinals.len()
    }

    /// The index as a multiple of one ordinal of the loop and what is the same in all iterations.
    fn plain(&self, index: &Poly) -> Option<Plain> {
        let (varying, mut shared): (Vec<_>, Vec<_>) =
            index.terms.iter().cloned().partition(|(monomial, _)| self.is_varying(monomial));
        let [(monomial, factor)] = varying.as_slice() else { return None };
        let &[atom] = monomial.as_slice() else { return None };
        let axis = self.ordinals.iter().position(|&ordinal| ordinal == atom)?;
        let constant = index.constant_term();
        shared.retain(|(monomial, _)| !monomial.is_empty());
        // small numbers, so that differences do not wrap
        let is_small = factor.unsigned_abs() < 1 << 14 && constant.unsigned_abs() < 1 << 61;
        is_small.then_some(Plain { axis, factor: *factor, shared, constant })
    }

    fn is_varying(&self, monomial: &Monomial) -> bool {
        monomial.iter().any(|&atom| self.model.atom(atom).varying)
    }

    /// Can it be computed before the loop?
    fn is_known_before(&self, monomial: &Monomial) -> bool {
        monomial.iter().all(|&atom| match self.model.atom(atom).kind {
            Kind::Value(value) | Kind::Size(value, _) => self.scope.contains(&value),
            Kind::Load(..)
            | Kind::Apply(..)
            | Kind::Quotient(..)
            | Kind::Remainder(..)
            | Kind::Helper(..) => false,
        })
    }

    /// Conditions over values known before the loop under which the accesses do not meet, and what must not wrap then. Only where the
    /// indices differ by what is known before the loop, and only conditions that leave room for loops of any length in which both accesses are
    /// reached: `a[i] = a[i-1]` is not excused by loops of one iteration.
    fn entry_conditions(
        &mut self,
        a: &Prepared,
        b: &Prepared,
        orders: &[Order],
    ) -> Option<(Vec<Clause>, Vec<Wrap>)> {
        if !a
            .indices
            .iter()
            .zip(&b.indices)
            .all(|(first, second)| self.varying(first) == self.varying(second))
        {
            return None;
        }
        let (mut clauses, mut wraps) = (Vec::new(), Vec::new());
        for &order in orders {
            let question =
                Question::new(self, a, b, order, Trust::Unwrapped).out_of_bounds().build(Equations::All);
            let reached = Question::new(self, a, b, order, Trust::Unwrapped).out_of_bounds().long_loops();
            let reached = reached.build(Equations::None);
            let mut work = Work(self.work.0.min(QUESTION));
            let before = work.0;
            let leaves = solve::leaves(&question.system, MAX_LEAVES, &mut work);
            self.work.0 -= before - work.0;
            for leaf in leaves? {
                let clause = self.clause(&question, &leaf, &reached)?;
                if !clauses.contains(&clause) {
                    clauses.push(clause);
                }
            }
            wraps.extend(question.wraps);
        }
        (!clauses.is_empty()).then_some((clauses, wraps))
    }

    /// The terms that are not the same in all iterations.
    fn varying(&self, poly: &Poly) -> Poly {
        let terms = poly.terms.iter().filter(|(monomial, _)| self.is_varying(monomial));
        Poly { terms: terms.cloned().collect() }
    }

    fn clause(&mut self, question: &Built, leaf: &System, reached: &Built) -> Option<Clause> {
        let names = question.names();
        let keep = |column: Column| match names.get(column as usize) {
            Some((monomial, Side::Shared)) => self.is_known_before(monomial),
            _ => false,
        };
        let mut work = Work(self.work.0.min(QUESTION));
        let before = work.0;
        let relations = solve::project(leaf, &keep, &mut work);
        self.work.0 -= before - work.0;
        let relations = relations.ok()?;
        let mut needed = relations.clone();
        for relation in &relations {
            let rest: Vec<Relation> = needed.iter().filter(|&other| other != relation).cloned().collect();
            let mut system = System::default();
            rest.iter().for_each(|other| relate(&mut system, other));
            if self.excludes(&system, &opposite(relation)) {
                needed = rest;
            }
        }
        let mut clause = Clause { tests: Vec::new(), silent: Vec::new() };
        for relation in &needed {
            let poly = poly_of(relation, &names)?;
            let test = match relation {
                Relation::Equal(_) => Test::NonZero(poly),
                Relation::AtLeast(_) => Test::NonNegative(Poly::constant(-1).plus(&poly, -1)?),
            };
            let renumbered =
                opposite(relation).into_iter().flatten().filter_map(|row| reached.renumber(&row, &names));
            if self.excludes(&reached.system, &renumbered.map(Ok).collect::<Vec<_>>()) {
                clause.silent.push(test);
            } else {
                clause.tests.push(test);
            }
        }
        (!clause.tests.is_empty()).then_some(clause)
    }

    /// Has the system no solution in which one of the rows is 0 or more?
    fn excludes(&mut self, system: &System, rows: &[Result<Row, Stop>]) -> bool {
        rows.iter().all(|row| {
            let Ok(row) = row else { return false };
            let mut system = system.clone();
            system.at_least.push(row.clone());
            self.ask(&system) == Err(Stop::Empty)
        })
    }

    /// Puts small numbers in place of sizes that are multiplied, so that everything becomes linear.
    fn try_small(&mut self, a: &Prepared, b: &Prepared, order: Order, question: &Built) -> Option<Witness> {
        let products = question.columns.keys().filter(|(monomial, _)| monomial.len() > 1);
        let atoms: BTreeSet<Atom> = products
            .flat_map(|(monomial, _)| monomial.iter().copied())
            .filter(|&atom| !self.model.atom(atom).varying)
            .collect();
        if atoms.is_empty() || atoms.len() > 3 {
            return None;
        }
        let atoms: Vec<Atom> = atoms.into_iter().collect();
        const TRIED: [i128; 5] = [2, 3, 1, 4, 0];
        let combinations = TRIED.len().pow(atoms.len() as u32);
        for number in 0..combinations {
            let mut rest = number;
            let fixed: HashMap<Atom, i128> = atoms
                .iter()
                .map(|&atom| {
                    let value = TRIED[rest % TRIED.len()];
                    rest /= TRIED.len();
                    (atom, value)
                })
                .collect();
            let mut next = Question::new(self, a, b, order, Trust::Unwrapped);
            next.fixed.clone_from(&fixed);
            let built = next.build(Equations::All);
            if let Ok(solution) = self.ask(&built.system)
                && let Some(witness) = self.check_witness(a, b, &built, &solution, &fixed)
            {
                return Some(witness);
            }
        }
        None
    }

    fn check_witness(
        &mut self,
        a: &Prepared,
        b: &Prepared,
        question: &Built,
        solution: &Solution,
        fixed: &HashMap<Atom, i128>,
    ) -> Option<Witness> {
        let mut values: HashMap<(Atom, Side), i128> = HashMap::new();
        for ((monomial, side), column) in &question.columns {
            if let &[atom] = monomial.as_slice() {
                values.insert((atom, *side), solution.get(column).copied().unwrap_or(0));
            }
        }
        values.extend(fixed.iter().map(|(&atom, &value)| ((atom, Side::Shared), value)));
        witness::check(&mut self.model, [a, b], &values)
    }
}

/// Are the indices said to be equal?
#[derive(Clone, Copy, PartialEq, Eq)]
enum Equations {
    All,
    None,
}

/// What makes a relation untrue: rows of which one is 0 or more.
fn opposite(relation: &Relation) -> Vec<Result<Row, Stop>> {
    match relation {
        Relation::AtLeast(row) => vec![row.negated()],
        Relation::Equal(row) => vec![row.plus(-1), row.negated()],
    }
}

fn relate(system: &mut System, relation: &Relation) {
    match relation {
        Relation::Equal(row) => system.equal.push(row.clone()),
        Relation::AtLeast(row) => system.at_least.push(row.clone()),
    }
}

fn poly_of(relation: &Relation, names: &[(Monomial, Side)]) -> Option<Poly> {
    let (Relation::Equal(row) | Relation::AtLeast(row)) = relation;
    let mut poly = Poly::constant(row.constant);
    for &(column, factor) in &row.terms {
        let (monomial, _) = names.get(column as usize)?;
        poly = poly.plus(&Poly { terms: vec![(monomial.clone(), 1)] }, factor)?;
    }
    Some(poly)
}

/// The values that can be named right before the loop: parameters of the regions around it, and results of ops there before it.
fn values_in_scope(model: &Model) -> HashSet<Value> {
    let (func, nest) = (model.func, model.nest);
    let mut scope = HashSet::new();
    let mut op = model.home;
    while let Some(region) = nest.region_of(op) {
        scope.extend(func.region(region).params.iter().copied());
        for &before in &func.region(region).ops[..nest.position_of(op)] {
            scope.extend(func.op(before).results.iter().copied());
        }
        match nest.holder_of(region) {
            Some(holder) => op = holder,
            None => break,
        }
    }
    scope
}

/// A system over the atoms of two iterations.
struct Built {
    system: System,
    columns: BTreeMap<(Monomial, Side), Column>,
    wraps: Vec<Wrap>,
}

impl Built {
    /// What the columns stand for.
    fn names(&self) -> Vec<(Monomial, Side)> {
        let mut names = vec![(Vec::new(), Side::Shared); self.columns.len()];
        for (name, &column) in &self.columns {
            names[column as usize] = name.clone();
        }
        names
    }

    /// A row over the columns that `names` names, in the columns of this system.
    fn renumber(&self, row: &Row, names: &[(Monomial, Side)]) -> Option<Row> {
        let mut renumbered = Row::constant(row.constant);
        for &(column, factor) in &row.terms {
            let column = *self.columns.get(names.get(column as usize)?)?;
            renumbered = renumbered.combine(1, &Row::column(column), factor).ok()?;
        }
        Some(renumbered)
    }
}

/// Builds the system that says: both accesses are reached, in different iterations, and name the same element.
struct Question<'q, 'a> {
    judge: &'q Judge<'a>,
    a: &'q Prepared,
    b: &'q Prepared,
    order: Order,
    trust: Trust,
    are_loops_long: bool,
    is_in_bounds: bool,
    fixed: HashMap<Atom, i128>,
    columns: BTreeMap<(Monomial, Side), Column>,
    used: HashSet<(Atom, Side)>,
    unexplained: Vec<(Atom, Side)>,
    wraps: Vec<Wrap>,
}

impl<'q, 'a> Question<'q, 'a> {
    fn new(
        judge: &'q Judge<'a>,
        a: &'q Prepared,
        b: &'q Prepared,
        order: Order,
        trust: Trust,
    ) -> Question<'q, 'a> {
        Question {
            judge,
            a,
            b,
            order,
            trust,
            are_loops_long: false,
            is_in_bounds: true,
            fixed: HashMap::new(),
            columns: BTreeMap::new(),
            used: HashSet::new(),
            unexplained: Vec::new(),
            wraps: Vec::new(),
        }
    }

    /// Bounds checks of the accesses say nothing: an entry condition speaks of the loop, not of the array's size.
    fn out_of_bounds(mut self) -> Self {
        self.is_in_bounds = false;
        self
    }

    /// Loops whose length is not known run long.
    fn long_loops(mut self) -> Self {
        self.are_loops_long = true;
        self
    }

    fn build(mut self, equations: Equations) -> Built {
        let (a, b) = (self.a, self.b);
        let mut system = System::default();
        self.differ(&mut system);
        for (access, side) in [(a, Side::First), (b, Side::Second)] {
            for &ordinal in &access.ordinals {
                self.row(&Poly::atom(ordinal), side);
            }
        }
        for (first, second) in a.indices.iter().zip(&b.indices) {
            self.row(first, Side::First);
            self.row(second, Side::Second);
            if self.may_equate(first, second) {
                match equations {
                    Equations::All => self.equate(first, second, &mut system, 0),
                    // only for the names in it
                    Equations::None => self.equate(first, second, &mut System::default(), 0),
                }
            }
        }
        for (access, side) in [(a, Side::First), (b, Side::Second)] {
            for known in &access.conditions {
                self.assume(known, side, &mut system);
            }
            if self.is_in_bounds {
                for (index, size) in access.indices.iter().zip(&access.sizes) {
                    let known = self.judge.model.in_range(index, size);
                    self.assume(&known, side, &mut system);
                }
            }
        }
        self.explain(&mut system);
        for (access, side) in [(a, Side::First), (b, Side::Second)] {
            self.relevant(access.checks.iter().collect(), side, &mut system);
            if self.is_in_bounds {
                self.relevant(access.bounds.iter().collect(), side, &mut system);
            }
        }
        let around = self.judge.around.iter().collect();
        let rest = self.relevant(around, Side::Shared, &mut system);
        self.relevant(rest, Side::Shared, &mut system);
        if self.are_loops_long {
            self.lengthen(&mut system);
        }
        self.explain(&mut system);
        self.keep_promises(&mut system);
        self.explain(&mut system);
        Built { system, columns: self.columns, wraps: self.wraps }
    }

    /// The column of a product in an iteration.
    fn column(&mut self, monomial: Monomial, side: Side) -> Column {
        let side = if self.judge.is_varying(&monomial) { side } else { Side::Shared };
        for &atom in &monomial {
            self.touch(atom, side);
        }
        let next = self.columns.len() as Column;
        *self.columns.entry((monomial, side)).or_insert(next)
    }

    fn touch(&mut self, atom: Atom, side: Side) {
        let side = if self.judge.model.atom(atom).varying { side } else { Side::Shared };
        if self.used.insert((atom, side)) {
            self.unexplained.push((atom, side));
        }
    }

    fn row(&mut self, poly: &Poly, side: Side) -> Row {
        let mut row = Row::default();
        for (monomial, factor) in &poly.terms {
            let mut factor = *factor;
            let mut open = Vec::new();
            for &atom in monomial {
                match self.fixed.get(&atom) {
                    Some(value) => factor = factor.saturating_mul(*value),
                    None => open.push(atom),
                }
            }
            let term = if open.is_empty() { Row::constant(1) } else { Row::column(self.column(open, side)) };
            // factors are far below the limit of i128: see Poly
            row = row.combine(1, &term, factor).unwrap_or_default();
        }
        row
    }

    /// `first` in the first iteration minus `second` in the second.
    fn difference(&mut self, first: &Poly, second: &Poly) -> Row {
        let (first, second) = (self.row(first, Side::First), self.row(second, Side::Second));
        first.combine(1, &second, -1).unwrap_or_default()
    }

    /// The iterations differ: on the axes before they are equal, on this one the smaller is smaller.
    fn differ(&mut self, system: &mut System) {
        for (axis, &ordinal) in self.judge.ordinals.clone().iter().enumerate() {
            let poly = Poly::atom(ordinal);
            let apart = self.difference(&poly, &poly);
            if axis < self.order.axis {
                system.equal.push(apart);
            } else if axis == self.order.axis {
                let sign = if self.order.is_first_smaller { -1 } else { 1 };
                if let Ok(row) = apart.combine(sign, &Row::constant(-1), 1) {
                    system.at_least.push(row);
                }
            }
        }
    }

    /// Are two equal indices equal as polynomials, if nothing wraps that is noted?
    fn may_equate(&mut self, first: &Poly, second: &Poly) -> bool {
        let model = &self.judge.model;
        let is_exact = |poly: &Poly| model.exactly(poly).is_empty();
        if is_exact(first) && is_exact(second) {
            return true;
        }
        // two u64 values that are equal as i64 are equal
        let limit = |poly: &Poly| poly.as_atom().map(|atom| model.atom(atom).limit);
        if limit(first) == Some(RING) && limit(second) == Some(RING) {
            return true;
        }
        let mut apart: BTreeMap<&Monomial, i128> = BTreeMap::new();
        let mut magnitude = 0.0;
        for (poly, sign) in [(first, 1), (second, -1)] {
            for (monomial, factor) in &poly.terms {
                if self.judge.is_varying(monomial) {
                    magnitude += model.magnitude(&Poly { terms: vec![(monomial.clone(), *factor)] });
                } else {
                    *apart.entry(monomial).or_default() += sign * factor;
                }
            }
        }
        let shared: Vec<(Monomial, i128)> = apart
            .into_iter()
            .filter(|&(_, factor)| factor != 0)
            .map(|(monomial, factor)| (monomial.clone(), factor))
            .collect();
        let shared = Poly { terms: shared };
        if magnitude + model.magnitude(&shared) < RING {
            return true;
        }
        if self.trust == Trust::Certain {
            return false;
        }
        // three parts that together stay below 2^64
        let parts = [self.judge.varying(first), self.judge.varying(second), shared];
        for poly in parts {
            if model.magnitude(&poly) >= INT / 2.0 {
                self.wraps.push(Wrap { poly, bound: INT / 2.0 });
            }
        }
        true
    }

    /// Says that two indices are equal, with what follows where products of a size and an ordinal are in them.
    fn equate(&mut self, first: &Poly, second: &Poly, system: &mut System, depth: usize) {
        let apart = self.difference(first, second);
        system.equal.push(apart);
        if depth > 4 {
            return;
        }
        let Some(unit) = self.unit(first, second) else { return };
        let (high_first, low_first) = divide(first, &unit);
        let (high_second, low_second) = divide(second, &unit);
        let factors = high_first.terms.iter().chain(&high_second.terms).map(|&(_, factor)| factor);
        let common = factors.fold(0, greatest_common_divisor).max(1);
        let size = Poly { terms: vec![(unit, common)] };
        let (high_first, high_second) = (shrink(high_first, common), shrink(high_second, common));

        // size·(high - high') = low' - low: the highs are equal, or the size is 0, or the lows are at least the size apart
        let mut equal_parts = System::default();
        self.equate(&high_first, &high_second, &mut equal_parts, depth + 1);
        self.equate(&low_first, &low_second, &mut equal_parts, depth + 1);
        let size = self.row(&size, Side::Shared);
        let low = self.difference(&low_first, &low_second);
        let mut no_size = System::default();
        no_size.equal.extend([size.clone(), low.clone()]);
        let mut choice = vec![equal_parts, no_size];
        for size_sign in [1, -1] {
            for low_sign in [1, -1] {
                let mut far = System::default();
                let positive = size.combine(size_sign, &Row::constant(-1), 1);
                let beyond = low.combine(low_sign, &size, -size_sign);
                far.at_least.extend(positive.into_iter().chain(beyond));
                choice.push(far);
            }
        }
        system.choices.push(choice);
    }

    /// The smallest size that is multiplied by something varying.
    fn unit(&self, first: &Poly, second: &Poly) -> Option<Monomial> {
        let is_shared = |atom: &Atom| !self.judge.model.atom(*atom).varying && !self.fixed.contains_key(atom);
        let terms = first.terms.iter().chain(&second.terms);
        terms
            .filter(|(monomial, _)| self.judge.is_varying(monomial))
            .map(|(monomial, _)| monomial.iter().copied().filter(is_shared).collect::<Monomial>())
            .filter(|unit| !unit.is_empty())
            .min_by_key(|unit| (unit.len(), unit.clone()))
    }

    /// Elements of an array that `@unique` holds for differ, unless their indices are equal.
    fn keep_promises(&mut self, system: &mut System) {
        let judge = self.judge;
        let elements = |side: Side, array: Value| {
            let mut elements: Vec<(Atom, &Poly)> = Vec::new();
            for &(atom, used) in &self.used {
                if let Kind::Load(loaded, indices) = &judge.model.atom(atom).kind
                    && (used, *loaded) == (side, array)
                {
                    elements.push((atom, &indices[0]));
                }
            }
            elements.sort_by_key(|&(atom, _)| atom);
            elements
        };
        let mut pairs = Vec::new();
        for promise in &judge.promises {
            for first in elements(Side::First, promise.array) {
                for second in elements(Side::Second, promise.array) {
                    pairs.push((promise, first, second));
                }
            }
        }
        for (promise, (first, index), (second, other)) in pairs.into_iter().take(MAX_PROMISED) {
            let apart = self.difference(&Poly::atom(first), &Poly::atom(second));
            let mut same = System::default();
            if self.may_equate(index, other) {
                self.equate(index, other, &mut same, 0);
            }
            let mut choice = vec![same];
            for sign in [1, -1] {
                let differs = apart.combine(sign, &Row::constant(-1), 1);
                choice.push(System { at_least: differs.into_iter().collect(), ..System::default() });
            }
            for (index, side) in [(index, Side::First), (other, Side::Second)] {
                let index = self.row(index, side);
                let offset = self.row(&promise.offset, Side::Shared);
                let count = self.row(&promise.count, Side::Shared);
                let inner = index.combine(1, &offset, -1);
                let before = inner.clone().and_then(|inner| inner.negated());
                let behind = inner.and_then(|inner| inner.combine(1, &count, -1));
                for outside in [before, behind] {
                    choice.push(System { at_least: outside.into_iter().collect(), ..System::default() });
                }
            }
            system.choices.push(choice);
        }
    }

    fn assume(&mut self, known: &Known, side: Side, system: &mut System) {
        if !known.wraps.is_empty() {
            if self.trust == Trust::Certain {
                return;
            }
            self.wraps.extend(known.wraps.iter().cloned());
        }
        self.add(&known.formula, side, system);
    }

    fn add(&mut self, formula: &Formula, side: Side, system: &mut System) {
        match formula {
            Formula::True => {}
            Formula::False => system.at_least.push(Row::constant(-1)),
            Formula::NonNegative(poly) => {
                let row = self.row(poly, side);
                system.at_least.push(row);
            }
            Formula::Zero(poly) => {
                let row = self.row(poly, side);
                system.equal.push(row);
            }
            Formula::All(parts) => {
                for part in parts {
                    self.add(part, side, system);
                }
            }
            Formula::Any(parts) => {
                let mut choice = Vec::new();
                for part in parts {
                    let mut alternative = System::default();
                    self.add(part, side, &mut alternative);
                    choice.push(alternative);
                }
                system.choices.push(choice);
            }
        }
    }

    /// Adds what is always true of the atoms in use.
    fn explain(&mut self, system: &mut System) {
        while let Some((atom, side)) = self.unexplained.pop() {
            let judge = self.judge;
            if let Some(known) = &judge.model.atom(atom).meaning {
                self.assume(known, side, system);
            }
        }
    }

    /// Adds facts that speak of what is in use; gives back the others.
    fn relevant(&mut self, facts: Vec<&'q Known>, side: Side, system: &mut System) -> Vec<&'q Known> {
        let judge = self.judge;
        let varies = |atom: &Atom| judge.model.atom(*atom).varying;
        let mut rest = Vec::new();
        let mut count = 0;
        for known in facts {
            let mut atoms = BTreeSet::new();
            atoms_of(&known.formula, &mut atoms);
            let is_used =
                |atom: &Atom| self.used.contains(&(*atom, if varies(atom) { side } else { Side::Shared }));
            let is_relevant = match side {
                Side::Shared => atoms.iter().any(is_used),
                Side::First | Side::Second => atoms.iter().filter(|atom| varies(atom)).all(is_used),
            };
            if is_relevant && count < MAX_CHECKS {
                count += 1;
                self.assume(known, side, system);
            } else {
                rest.push(known);
            }
        }
        rest
    }

    /// Every extent and size that is not known is large.
    fn lengthen(&mut self, system: &mut System) {
        let judge = self.judge;
        let ordinals: BTreeSet<Atom> = self.a.ordinals.iter().chain(&self.b.ordinals).copied().collect();
        for ordinal in ordinals {
            let Some((scale, end)) = judge.model.end_of(ordinal) else { continue };
            if end.as_constant().is_none() && !judge.model.varies(&end) {
                let row = self.row(&end, Side::Shared);
                system.at_least.extend(row.plus(-LONG * scale));
            }
        }
        let sizes: BTreeSet<Atom> = self.used.iter().map(|&(atom, _)| atom).collect();
        for atom in sizes {
            if let (Kind::Size(..), false) = (&judge.model.atom(atom).kind, judge.model.atom(atom).varying) {
                let row = self.row(&Poly::atom(atom), Side::Shared);
                system.at_least.extend(row.plus(-LONG));
            }
        }
    }
}

impl Judge<'_> {
    /// Can it be tested before the loop that none of them wraps?
    fn are_testable(&self, wraps: &[Wrap]) -> bool {
        wraps.iter().all(|wrap| self.ceiling(&wrap.poly).is_some())
    }

    /// What the terms cannot exceed, without their signs: multiples of products of values known before the loop.
    pub fn ceiling(&self, poly: &Poly) -> Option<Vec<(f64, Vec<Atom>)>> {
        self.ceiling_within(poly, 0)
    }

    fn ceiling_within(&self, poly: &Poly, depth: usize) -> Option<Vec<(f64, Vec<Atom>)>> {
        let mut terms = Vec::new();
        for (monomial, factor) in &poly.terms {
            let mut product = vec![((*factor as f64).abs(), Vec::new())];
            for &atom in monomial {
                let factors = self.ceiling_of(atom, depth)?;
                product = product
                    .iter()
                    .flat_map(|(a, left)| {
                        factors.iter().map(move |(b, right)| (a * b, [left.as_slice(), right].concat()))
                    })
                    .collect();
                if product.len() > 32 {
                    return None;
                }
            }
            terms.extend(product);
        }
        Some(terms)
    }

    fn ceiling_of(&self, atom: Atom, depth: usize) -> Option<Vec<(f64, Vec<Atom>)>> {
        let data = self.model.atom(atom);
        if self.is_known_before(&vec![atom]) {
            return Some(vec![(1.0, vec![atom])]);
        }
        let inner = match &data.kind {
            Kind::Quotient(poly, _) | Kind::Remainder(_, poly) => Some(poly.clone()),
            Kind::Value(_) | Kind::Size(..) | Kind::Load(..) | Kind::Apply(..) | Kind::Helper(..) => {
                self.model.end_of(atom).map(|(_, end)| end)
            }
        };
        let inner = inner.filter(|_| depth < 4).and_then(|inner| self.ceiling_within(&inner, depth + 1));
        match inner {
            Some(mut terms) => {
                terms.push((1.0, Vec::new()));
                Some(terms)
            }
            None if data.limit < INT => Some(vec![(data.limit, Vec::new())]),
            None => None,
        }
    }
}

fn atoms_of(formula: &Formula, atoms: &mut BTreeSet<Atom>) {
    match formula {
        Formula::True | Formula::False => {}
        Formula::NonNegative(poly) | Formula::Zero(poly) => atoms.extend(poly.atoms()),
        Formula::All(parts) | Formula::Any(parts) => parts.iter().for_each(|part| atoms_of(part, atoms)),
    }
}

/// `poly = unit * high + low`
fn divide(poly: &Poly, unit: &Monomial) -> (Poly, Poly) {
    let (mut high, mut low) = (Poly::default(), Poly::default());
    for (monomial, factor) in &poly.terms {
        match without(monomial, unit) {
            Some(rest) => high.terms.push((rest, *factor)),
            None => low.terms.push((monomial.clone(), *factor)),
        }
    }
    high.terms.sort();
    (high, low)
}

/// The product without the atoms of `unit`, if it has them all.
fn without(monomial: &Monomial, unit: &Monomial) -> Option<Monomial> {
    let mut rest = monomial.clone();
    for atom in unit {
        let at = rest.iter().position(|other| other == atom)?;
        rest.remove(at);
    }
    Some(rest)
}

fn shrink(mut poly: Poly, divisor: i128) -> Poly {
    for (_, factor) in &mut poly.terms {
        *factor /= divisor;
    }
    poly
}
