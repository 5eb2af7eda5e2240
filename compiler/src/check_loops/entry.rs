//! Conditions that are tested once before a loop.
//!
//! In: clauses and ceilings over values known before the loop. Out: `check` ops in front of it, with the condition in words.
//! Holds: the test is at least as strong as the condition; where sums could wrap it also asks that they do not.

use super::affine::{Atom, INT, Kind, Model, Poly, Wrap};
use super::collide::{Clause, Judge, Test};
use super::explain;
use super::nest::Nest;
use super::witness::index_variable;
use crate::ir::{CheckKind, CheckSite, Func, OpCode, OpId, SiteId, Type, Value};
use kiln_lang::span::Span;
use kiln_lang::tree::Const;
use std::sync::Arc;

/// A value known before the loop.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Item {
    Value(Value),
    Size(Value, u8),
}

/// A sum of multiples of products.
#[derive(Clone, Debug, PartialEq)]
struct Sum(Vec<(i128, Vec<Item>)>);

#[derive(Clone, Debug, PartialEq)]
enum Check {
    NonNegative(Sum),
    NonZero(Sum),
    /// Multiples of magnitudes of products add up to less than the bound.
    Below(Vec<(f64, Vec<Item>)>, f64),
}

/// All lists hold; of each list, one.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    all: Vec<Vec<Check>>,
    words: String,
}

/// The conditions under which accesses to an array do not meet.
pub fn conditions(judge: &Judge, clauses: &[Clause], wraps: &[Wrap], array: &str) -> Vec<Condition> {
    let model = judge.model();
    let mut conditions = Vec::new();
    if !clauses.is_empty() {
        let all = clauses
            .iter()
            .map(|clause| clause.tests.iter().chain(&clause.silent).map(|test| check(model, test)).collect());
        conditions.push(Condition { all: all.collect(), words: explain::clauses(model, clauses) });
    }
    let mut below: Vec<Vec<Check>> = Vec::new();
    for wrap in wraps {
        let Some(ceiling) = judge.ceiling(&wrap.poly) else { continue };
        let terms = ceiling.into_iter().map(|(factor, atoms)| (factor, items(model, &atoms)));
        // a quarter of the bound, so that rounding in f64 does not matter
        let check = vec![Check::Below(terms.collect(), wrap.bound / 4.0)];
        if !below.contains(&check) {
            below.push(check);
        }
    }
    if !below.is_empty() {
        conditions.push(Condition { all: below, words: format!("no index into `{array}` wraps around") });
    }
    conditions
}

fn items(model: &Model, atoms: &[Atom]) -> Vec<Item> {
    let item = |&atom: &Atom| match model.atom(atom).kind {
        Kind::Value(value) => Some(Item::Value(value)),
        Kind::Size(array, axis) => Some(Item::Size(array, axis)),
        Kind::Load(..) | Kind::Apply(..) | Kind::Quotient(..) | Kind::Remainder(..) | Kind::Helper(..) => {
            None
        }
    };
    atoms.iter().filter_map(item).collect()
}

fn check(model: &Model, test: &Test) -> Check {
    let sum = |poly: &Poly| {
        Sum(poly.terms.iter().map(|(monomial, factor)| (*factor, items(model, monomial))).collect())
    };
    match test {
        Test::NonNegative(poly) => Check::NonNegative(sum(poly)),
        Test::NonZero(poly) => Check::NonZero(sum(poly)),
    }
}

/// Puts checks in front of the loop `home`.
pub fn insert(func: &mut Func, nest: &Nest, home: OpId, conditions: &[Condition]) {
    let Some(region) = nest.region_of(home) else { return };
    let span = match &func.op(home).code {
        OpCode::For(data) => data.span,
        _ => func.op(home).span,
    };
    let mut indices: Vec<(Arc<str>, Value)> = Vec::new();
    for around in nest.loops_around(func, home) {
        for axis in 0..nest.rank(func, around) {
            let index = index_variable(func, nest, around, axis);
            if let Some(name) = func.values[index.index()].name.clone() {
                indices.push((name, index));
            }
        }
    }
    let name = func.name.clone();
    let mut emit = Emit { func, ops: Vec::new(), span };
    for condition in conditions {
        let mut holds = None;
        for any in &condition.all {
            let clause = any.iter().map(|check| emit.check(check)).collect::<Vec<_>>();
            let clause = clause.into_iter().reduce(|a, b| emit.op(OpCode::Or, vec![a, b], Type::BOOL));
            holds = match (holds, clause) {
                (Some(a), Some(b)) => Some(emit.op(OpCode::And, vec![a, b], Type::BOOL)),
                (a, b) => a.or(b),
            };
        }
        let Some(holds) = holds else { continue };
        emit.func.sites.push(CheckSite {
            kind: CheckKind::Entry { condition: condition.words.as_str().into() },
            func: name.clone(),
            span,
            indices: indices.iter().map(|(name, _)| name.clone()).collect(),
        });
        let site = SiteId(emit.func.sites.len() as u32 - 1);
        let args = [holds].into_iter().chain(indices.iter().map(|&(_, index)| index)).collect();
        let op = emit.func.add_op(OpCode::Check(site), args, &[], span);
        emit.ops.push(op);
    }
    let ops = emit.ops;
    let list = &mut func.regions[region.index()].ops;
    let at = list.iter().position(|&op| op == home).unwrap_or(list.len());
    list.splice(at..at, ops);
}

struct Emit<'f> {
    func: &'f mut Func,
    ops: Vec<OpId>,
    span: Span,
}

impl Emit<'_> {
    fn op(&mut self, code: OpCode, args: Vec<Value>, ty: Type) -> Value {
        let op = self.func.add_op(code, args, &[ty], self.span);
        self.ops.push(op);
        self.func.op(op).results[0]
    }

    fn int(&mut self, value: i128) -> Value {
        let value = value.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64;
        self.op(OpCode::Const(Const::I64(value)), Vec::new(), Type::I64)
    }

    fn float(&mut self, value: f64) -> Value {
        self.op(OpCode::Const(Const::F64(value)), Vec::new(), Type::F64)
    }

    fn item(&mut self, item: Item) -> Value {
        match item {
            Item::Value(value) if self.func.ty(value) == Type::I64 => value,
            Item::Value(value) => self.op(OpCode::Convert, vec![value], Type::I64),
            Item::Size(array, axis) => self.op(OpCode::Dim { axis }, vec![array], Type::I64),
        }
    }

    fn check(&mut self, check: &Check) -> Value {
        match check {
            Check::NonNegative(sum) => self.compare(sum, OpCode::Ge),
            Check::NonZero(sum) => self.compare(sum, OpCode::Ne),
            Check::Below(terms, bound) => self.below(terms, *bound),
        }
    }

    /// `sum >= 0` or `sum != 0`; positive terms stand on the left, negative ones on the right.
    fn compare(&mut self, sum: &Sum, code: OpCode) -> Value {
        let mut constant = 0;
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for (factor, items) in &sum.0 {
            match (items.as_slice(), *factor) {
                ([], factor) => constant = factor,
                (_, 1..) => left.push((*factor, items.clone())),
                (_, _) => right.push((-factor, items.clone())),
            }
        }
        let single = |side: &[(i128, Vec<Item>)]| match side {
            [(1, items)] if items.len() == 1 => Some(items[0]),
            _ => None,
        };
        match (single(&left), single(&right)) {
            (Some(a), None) if right.is_empty() => {
                let (a, b) = (self.item(a), self.int(-constant));
                return self.op(code, vec![a, b], Type::BOOL);
            }
            (None, Some(b)) if left.is_empty() => {
                let (a, b) = (self.int(constant), self.item(b));
                return self.op(code, vec![a, b], Type::BOOL);
            }
            (Some(a), Some(b)) if constant == 0 || (constant == -1 && code == OpCode::Ge) => {
                let code = if constant == 0 { code } else { OpCode::Gt };
                let (a, b) = (self.item(a), self.item(b));
                return self.op(code, vec![a, b], Type::BOOL);
            }
            _ => {}
        }
        let terms: Vec<(f64, Vec<Item>)> =
            sum.0.iter().map(|(factor, items)| ((*factor as f64).abs(), items.clone())).collect();
        let does_not_wrap = self.below(&terms, INT / 4.0);
        let mut total = self.int(0);
        for (factor, items) in &sum.0 {
            let mut product = self.int(*factor);
            for &item in items {
                let item = self.item(item);
                product = self.op(OpCode::Mul, vec![product, item], Type::I64);
            }
            total = self.op(OpCode::Add, vec![total, product], Type::I64);
        }
        let zero = self.int(0);
        let holds = self.op(code, vec![total, zero], Type::BOOL);
        self.op(OpCode::And, vec![does_not_wrap, holds], Type::BOOL)
    }

    fn below(&mut self, terms: &[(f64, Vec<Item>)], bound: f64) -> Value {
        let mut total = self.float(0.0);
        for (factor, items) in terms {
            let mut product = self.float(*factor);
            for &item in items {
                let item = self.item(item);
                let item = self.op(OpCode::Convert, vec![item], Type::F64);
                let item = self.op(OpCode::Abs, vec![item], Type::F64);
                product = self.op(OpCode::Mul, vec![product, item], Type::F64);
            }
            total = self.op(OpCode::Add, vec![total, product], Type::F64);
        }
        let bound = self.float(bound);
        self.op(OpCode::Lt, vec![total, bound], Type::BOOL)
    }
}
