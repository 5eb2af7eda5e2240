//! Tests once, before a loop, what its checks would test in every iteration.
//!
//! In: a function. Out: the same, some loops in two versions: `if test { without those checks } else { as it was }`. Holds: where the test is true every check
//! left out would have passed; where it is false the loop as it was finds the exact error, if there is one; no check is raised early.
//! What is added is bounded by `BUDGET`.
//!
//! The test is a list of polynomials over what is known before the loop, each >= 0, and of values that must lie near zero so that nothing wraps:
//! see `ranges`. The outermost loop before which a check can be tested takes it.

use super::copy::{Copier, Map};
use super::ranges::{AtomKind, GUARD, Guards, NO_ATOM, Params, Poly, Proofs, Ranges, Stays, Visit, walk};
use super::{Apply, Pass, Renames, count_ops, is_loop, new_value, take_ops};
use crate::ir::{CheckKind, Func, OpCode, OpId, Program, RegionId, SiteId, Terminator, Type, Value};
use crate::report::{Report, header};
use kiln_lang::span::Span;
use kiln_lang::tree::Const;

/// The pass.
pub const VERSION: Pass = Pass {
    name: "version",
    about: "test once before a loop what its checks test",
    apply: Apply::Program(version),
};

/// A loop of more ops is not doubled.
const LARGEST: usize = 1500;
/// All copies in a function together.
const BUDGET: usize = 4000;
/// Before which of the enclosing loops a check may be tested: the outermost, and the innermost.
const OUTER: usize = 4;
const INNER: usize = 4;
/// Conditions of one test.
const CONDITIONS: usize = 24;

fn version(program: &mut Program, report: &mut Report) {
    for (number, func) in program.funcs.iter_mut().enumerate() {
        version_in(func, Params::of(number), report);
    }
}

fn version_in(func: &mut Func, params: Params, report: &mut Report) {
    if !func.ops.iter().any(|op| matches!(op.code, OpCode::Check(_))) {
        return;
    }
    let mut plan = Plan { tests: vec![None; func.ops.len()], checks: Vec::new(), loops: Vec::new() };
    if has_check_in_loop(func, func.body, false) {
        walk(func, params, Proofs::Guarded, &mut plan);
    } else {
        // Nothing to hoist: what is left stands in no loop.
        report_outside(func, func.body, report);
        return;
    }
    let taken_by = plan.checks.iter().filter_map(|check| Some((check.op, check.taken_by?)));
    let mut taken = vec![None; func.ops.len()];
    taken_by.for_each(|(check, by)| taken[check.index()] = Some(by));
    let mut versions = Versions {
        renames: Renames::new(func),
        tests: plan.tests,
        taken,
        is_done: vec![false; func.ops.len()],
        budget: BUDGET,
        map: Map::default(),
    };
    let body = func.body;
    versions.region(func, body);
    for check in plan.checks {
        match check.taken_by {
            Some(by) if versions.is_done[by.index()] => report.counts(check.header).hoisted += 1,
            _ => report.leave(check.header, &func.sites[check.site.index()]),
        }
    }
}

fn has_check_in_loop(func: &Func, region: RegionId, in_loop: bool) -> bool {
    func.region(region).ops.iter().any(|&op| {
        let op = func.op(op);
        let inside = in_loop || is_loop(&op.code);
        in_loop && matches!(op.code, OpCode::Check(_))
            || op.regions.iter().any(|&inner| has_check_in_loop(func, inner, inside))
    })
}

fn report_outside(func: &Func, region: RegionId, report: &mut Report) {
    for &op in &func.region(region).ops {
        let op = func.op(op);
        if let OpCode::Check(site) = op.code {
            report.leave(None, &func.sites[site.index()]);
        }
        op.regions.iter().for_each(|&inner| report_outside(func, inner, report));
    }
}

/// What is tested before a loop.
#[derive(Clone, Default)]
struct Test {
    /// Each >= 0.
    conditions: Vec<Condition>,
    /// Each near zero.
    guards: Vec<AtomKind>,
}

/// A polynomial, its atoms named so that they outlast the walk.
#[derive(Clone, PartialEq)]
struct Condition {
    constant: i128,
    terms: Vec<(i128, Vec<AtomKind>)>,
}

struct Plan {
    /// Per loop op.
    tests: Vec<Option<Test>>,
    checks: Vec<Planned>,
    /// The enclosing loops: op, header, and when its body began.
    loops: Vec<(OpId, Option<Span>, u32)>,
}

struct Planned {
    op: OpId,
    site: SiteId,
    header: Option<Span>,
    /// The loop before which it is tested.
    taken_by: Option<OpId>,
}

impl Visit for Plan {
    fn check(&mut self, ranges: &mut Ranges, func: &Func, op: OpId) -> Stays {
        let OpCode::Check(site) = func.op(op).code else { return Stays::Yes };
        let header = self.loops.last().and_then(|&(_, header, _)| header);
        let mut taken_by = None;
        if let Some((polys, guards)) = wanted(ranges, func, op, site) {
            for position in 0..self.loops.len() {
                if (OUTER..self.loops.len().saturating_sub(INNER)).contains(&position) {
                    continue;
                }
                let (at, _, before) = self.loops[position];
                if self.take(ranges, func, at, before, &polys, &guards) {
                    taken_by = Some(at);
                    break;
                }
            }
        }
        self.checks.push(Planned { op, site, header, taken_by });
        Stays::Yes
    }

    fn enter_loop(&mut self, ranges: &mut Ranges, func: &Func, op: OpId) {
        self.loops.push((op, header(func, op), ranges.now()));
    }

    fn leave_loop(&mut self, _func: &Func, _op: OpId) {
        self.loops.pop();
    }
}

/// What must not be negative for the check to pass.
fn wanted(ranges: &mut Ranges, func: &Func, op: OpId, site: SiteId) -> Option<(Vec<Poly>, Guards)> {
    let args = &func.op(op).args;
    let differences: &[(Value, Option<Value>, i128)] = match func.sites[site.index()].kind {
        CheckKind::Bounds { .. } => &[(args[0], None, 0), (args[1], Some(args[0]), -1)],
        CheckKind::Size | CheckKind::Exponent => &[(args[0], None, 0)],
        CheckKind::DrawRange => &[(args[1], Some(args[0]), -1)],
        CheckKind::SameSize { .. } => &[(args[0], Some(args[1]), 0), (args[1], Some(args[0]), 0)],
        // Divisors and steps are mostly positive; the others take the checked loop.
        CheckKind::NonZero { .. } | CheckKind::Step | CheckKind::NotEmpty { .. } => &[(args[0], None, -1)],
        CheckKind::Entry { .. } | CheckKind::Domain { .. } | CheckKind::Unique { .. } => return None,
    };
    let mut polys = Vec::with_capacity(2);
    let mut guards = Guards::new();
    for &(big, small, offset) in differences {
        let (poly, needed) = ranges.difference(func, big, small, offset)?;
        polys.push(poly);
        guards.extend(needed);
    }
    Some((polys, guards))
}

impl Plan {
    /// Adds to the loop's test what makes all of `polys` not negative, if that can be tested before the loop.
    fn take(
        &mut self,
        ranges: &mut Ranges,
        func: &Func,
        at: OpId,
        before: u32,
        polys: &[Poly],
        guards: &Guards,
    ) -> bool {
        let mut conditions = Vec::new();
        let mut guards = guards.clone();
        for poly in polys {
            if !ranges.require(func, poly, before, &mut conditions, &mut guards) {
                return false;
            }
        }
        // The test itself must not wrap.
        for poly in &conditions {
            let sum = Poly { constant: 0, terms: poly.terms.clone() };
            let fits = |constant: i128| constant.abs() < i64::MAX.into();
            let is_testable = fits(poly.constant) && poly.terms.iter().all(|&(_, factor)| fits(factor));
            if !is_testable || !is_comparison(poly) && !ranges.fits_guarded(&sum, &mut guards) {
                return false;
            }
        }
        guards.sort_unstable();
        guards.dedup();
        if !guards.iter().all(|&guard| ranges.is_atom_before(guard, before)) {
            return false;
        }
        let mut test = self.tests[at.index()].clone().unwrap_or_default();
        for condition in conditions {
            let terms = condition.terms.iter().map(|&(product, coefficient)| {
                let atoms = product.iter().filter(|&&atom| atom != NO_ATOM);
                (coefficient, atoms.map(|&atom| ranges.kind(atom)).collect())
            });
            let condition = Condition { constant: condition.constant, terms: terms.collect() };
            if !test.conditions.contains(&condition) {
                test.conditions.push(condition);
            }
        }
        for guard in guards {
            let guard = ranges.kind(guard);
            if !test.guards.contains(&guard) {
                test.guards.push(guard);
            }
        }
        let fits = test.conditions.len() + test.guards.len() <= CONDITIONS;
        if fits {
            self.tests[at.index()] = Some(test);
        }
        fits
    }
}

/// Is `poly >= 0` one comparison: `a >= c`, `a <= c`, `a >= b`, or `a > b`?
fn is_comparison(poly: &Poly) -> bool {
    let is_plain =
        |&(product, coefficient): &([u32; 3], i128)| product[1] == NO_ATOM && coefficient.abs() == 1;
    match &poly.terms[..] {
        [term] => is_plain(term),
        [a, b] => is_plain(a) && is_plain(b) && a.1 == -b.1 && matches!(poly.constant, 0 | -1),
        _ => false,
    }
}

struct Versions {
    renames: Renames,
    tests: Vec<Option<Test>>,
    /// Per check, the loop before which it is tested.
    taken: Vec<Option<OpId>>,
    /// Per loop: it has two versions.
    is_done: Vec<bool>,
    budget: usize,
    map: Map,
}

impl Versions {
    fn region(&mut self, func: &mut Func, region: RegionId) {
        let mut ops = Vec::with_capacity(func.region(region).ops.len());
        for op in take_ops(func, region) {
            self.renames.in_op(func, op);
            let test = self.tests.get_mut(op.index()).and_then(Option::take);
            if let Some(test) = test
                && self.affords(func, op)
            {
                self.split(func, op, test, &mut ops);
                continue;
            }
            for position in 0..func.op(op).regions.len() {
                let inner = func.op(op).regions[position];
                self.region(func, inner);
            }
            ops.push(op);
        }
        func.regions[region.index()].ops = ops;
        self.renames.in_end(func, region);
    }

    fn affords(&mut self, func: &Func, op: OpId) -> bool {
        let size = 1 + func.op(op).regions.iter().map(|&region| count_ops(func, region)).sum::<usize>();
        let affords = size <= LARGEST.min(self.budget);
        if affords {
            self.budget -= size;
        }
        affords
    }

    /// loop  =>  if test { loop without checks } else { loop }
    fn split(&mut self, func: &mut Func, op: OpId, test: Test, ops: &mut Vec<OpId>) {
        self.is_done[op.index()] = true;
        let span = func.op(op).span;
        let results = func.op(op).results.clone();
        let types: Vec<Type> = results.iter().map(|&result| func.ty(result)).collect();
        let holds = self.test(func, test, span, ops);
        let (fast, slow) = (func.add_region(), func.add_region());

        let mut copier = Copier::within(func, std::mem::take(&mut self.map));
        let copy = copier.op(func, op, slow);
        self.map = copier.into_map();
        mark_cold(func, copy);
        func.regions[slow.index()].end = Terminator::Yield(func.op(copy).results.clone());
        // Values that stand for others by now do so in the copy, too.
        self.region(func, slow);

        for position in 0..func.op(op).regions.len() {
            let inner = func.op(op).regions[position];
            self.drop_taken(func, inner, op);
            self.region(func, inner);
        }
        func.regions[fast.index()].ops.push(op);
        func.regions[fast.index()].end = Terminator::Yield(results.clone());

        let choice = func.add_op(OpCode::If, vec![holds], &types, span);
        func.ops[choice.index()].regions = vec![fast, slow];
        for (position, &result) in results.iter().enumerate() {
            let chosen = func.op(choice).results[position];
            func.values[chosen.index()].name = func.values[result.index()].name.clone();
            self.renames.set(result, chosen);
        }
        ops.push(choice);
    }

    /// Removes the checks that the test before `by` makes pass.
    fn drop_taken(&self, func: &mut Func, region: RegionId, by: OpId) {
        let mut ops = take_ops(func, region);
        ops.retain(|op| self.taken.get(op.index()).copied().flatten() != Some(by));
        for &op in &ops {
            for position in 0..func.op(op).regions.len() {
                let inner = func.op(op).regions[position];
                self.drop_taken(func, inner, by);
            }
        }
        func.regions[region.index()].ops = ops;
    }

    /// The test as a bool. Everything in it is computed, whatever comes out before: it cannot fail.
    fn test(&self, func: &mut Func, test: Test, span: Span, ops: &mut Vec<OpId>) -> Value {
        let mut emit = Emit { func, renames: &self.renames, span, ops };
        let mut holds: Option<Value> = None;
        let mut parts = Vec::with_capacity(test.guards.len() + test.conditions.len());
        for guard in test.guards {
            parts.push(emit.is_near_zero(guard));
        }
        for condition in &test.conditions {
            parts.push(emit.is_nonneg(condition));
        }
        for part in parts {
            holds = Some(match holds {
                None => part,
                Some(holds) => emit.op(OpCode::And, vec![holds, part], Type::BOOL),
            });
        }
        holds.unwrap_or_else(|| emit.op(OpCode::Const(Const::Bool(true)), Vec::new(), Type::BOOL))
    }
}

/// Marks the loops of a slow version.
fn mark_cold(func: &mut Func, op: OpId) {
    if let OpCode::For(data) = &mut func.ops[op.index()].code {
        data.cold = true;
    }
    for region in func.op(op).regions.clone() {
        for position in 0..func.region(region).ops.len() {
            let inner = func.region(region).ops[position];
            mark_cold(func, inner);
        }
    }
}

struct Emit<'e> {
    func: &'e mut Func,
    renames: &'e Renames,
    span: Span,
    ops: &'e mut Vec<OpId>,
}

impl Emit<'_> {
    fn op(&mut self, code: OpCode, args: Vec<Value>, ty: Type) -> Value {
        let (op, value) = new_value(self.func, code, args, ty, self.span);
        self.ops.push(op);
        value
    }

    fn int(&mut self, value: i128) -> Value {
        self.op(OpCode::Const(Const::I64(value as i64)), Vec::new(), Type::I64)
    }

    fn atom(&mut self, kind: AtomKind) -> Value {
        match kind {
            AtomKind::Value(value) => self.renames.get(value),
            AtomKind::Size(array, axis) => {
                let array = self.renames.get(array);
                self.op(OpCode::Dim { axis }, vec![array], Type::I64)
            }
        }
    }

    /// `-GUARD <= atom <= GUARD`
    fn is_near_zero(&mut self, kind: AtomKind) -> Value {
        let atom = self.atom(kind);
        let (low, high) = (self.int(-GUARD), self.int(GUARD));
        let above = self.op(OpCode::Ge, vec![atom, low], Type::BOOL);
        let below = self.op(OpCode::Le, vec![atom, high], Type::BOOL);
        self.op(OpCode::And, vec![above, below], Type::BOOL)
    }

    fn is_nonneg(&mut self, condition: &Condition) -> Value {
        match (&condition.terms[..], condition.constant) {
            // a + c >= 0, c - a >= 0
            ([(factor @ (1 | -1), a)], constant) if a.len() == 1 => {
                let (a, bound) = (self.atom(a[0]), self.int(-factor * constant));
                let code = if *factor == 1 { OpCode::Ge } else { OpCode::Le };
                return self.op(code, vec![a, bound], Type::BOOL);
            }
            // a - b >= 0, a - b - 1 >= 0
            ([(x @ (1 | -1), a), (y, b)], constant @ (0 | -1))
                if a.len() == 1 && b.len() == 1 && *y == -*x =>
            {
                let (a, b) = (self.atom(a[0]), self.atom(b[0]));
                let (big, small) = if *x == 1 { (a, b) } else { (b, a) };
                let code = if constant == 0 { OpCode::Ge } else { OpCode::Gt };
                return self.op(code, vec![big, small], Type::BOOL);
            }
            _ => {}
        }
        let mut sum: Option<Value> = None;
        for (coefficient, atoms) in &condition.terms {
            let mut product: Option<Value> = None;
            for &atom in atoms {
                let atom = self.atom(atom);
                product = Some(match product {
                    None => atom,
                    Some(product) => self.op(OpCode::Mul, vec![product, atom], Type::I64),
                });
            }
            let Some(mut term) = product else { continue };
            if !matches!(coefficient, 1 | -1) {
                let factor = self.int(coefficient.abs());
                term = self.op(OpCode::Mul, vec![term, factor], Type::I64);
            }
            sum = Some(match (sum, *coefficient > 0) {
                (None, true) => term,
                (None, false) => self.op(OpCode::Neg, vec![term], Type::I64),
                (Some(sum), true) => self.op(OpCode::Add, vec![sum, term], Type::I64),
                (Some(sum), false) => self.op(OpCode::Sub, vec![sum, term], Type::I64),
            });
        }
        let constant = self.int(-condition.constant);
        match sum {
            // sum + constant >= 0
            Some(sum) => self.op(OpCode::Ge, vec![sum, constant], Type::BOOL),
            None => self.op(OpCode::Const(Const::Bool(condition.constant >= 0)), Vec::new(), Type::BOOL),
        }
    }
}
