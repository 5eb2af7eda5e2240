//! Variables that a loop only counts up, or only down.
//!
//! In: a loop that carries i64 values. Out: bounds of those that change by constants of one sign. Holds: a bound is learnt only where counting cannot wrap.

use super::poly::Poly;
use super::{Form, GREATEST, LEAST, Ranges, yields};
use crate::ir::{Def, Func, OpCode, OpId, RegionId, Terminator, Type, Value};
use crate::passes::{as_integer, extents_of};
use std::rc::Rc;

/// By how much a variable changes in an iteration, at least and at most.
#[derive(Clone, Copy)]
struct Change {
    least: i128,
    most: i128,
}

impl Ranges {
    /// In the body of a `for` with these ordinals: initial + least * q <= variable <= initial + most * q.
    pub(super) fn learn_for_counters(&mut self, func: &Func, op: OpId, body: RegionId) {
        let extents = extents_of(&func.op(op).code);
        for (position, change) in changes(func, op, body) {
            let Some(initial) = self.form(func, func.op(op).args[extents + position]) else { continue };
            let Some((low, high)) = self.range(&initial.poly) else { continue };
            // The product of the extents bounds the iterations; one extent is an i64.
            let trips = if extents == 1 { self.trips(func, func.op(op).args[0]) } else { None };
            let Some(trips) = trips else { continue };
            if low + change.least.min(0) * trips < LEAST || high + change.most.max(0) * trips > GREATEST {
                continue;
            }
            let ordinal = Poly::atom(self.atom(func, func.region(body).params[0]));
            let variable = func.region(body).params[extents + position];
            self.define(variable);
            let atom = self.atom(func, variable);
            let bound = |by| {
                Some(Form { poly: Rc::new(initial.poly.plus(by, &ordinal)?), guards: initial.guards.clone() })
            };
            if let Some(lower) = bound(change.least) {
                self.push_lower(atom, 1, lower);
            }
            if let Some(upper) = bound(change.most) {
                self.push_upper(atom, 1, upper);
            }
            // Independent of the ordinal.
            if change.least >= 0 {
                self.push_lower(atom, 1, initial.clone());
            }
            if change.most <= 0 {
                self.push_upper(atom, 1, initial);
            }
        }
    }

    /// In the head of a `while`: a variable that is only counted up is never less than at first, if the condition keeps it from wrapping.
    pub(super) fn learn_while_counters(&mut self, func: &Func, op: OpId) {
        let [head, body] = [func.op(op).regions[0], func.op(op).regions[1]];
        let Terminator::Yield(yields) = &func.region(head).end else { return };
        for (position, change) in changes(func, op, body) {
            let variable = func.region(head).params[position];
            if yields[1 + position] != variable || change.least < 0 && change.most > 0 {
                continue;
            }
            let Some(initial) = self.form(func, func.op(op).args[position]) else { continue };
            // What the condition says of it, apart from what is to be learnt.
            let mark = self.undo.len();
            self.learn(func, yields[0], true, 0);
            let range = self.form(func, variable).and_then(|form| self.range(&form.poly));
            self.forget(mark);
            let Some((low, high)) = range else { continue };
            if low + change.least < LEAST || high + change.most > GREATEST {
                continue;
            }
            let atom = self.atom(func, variable);
            if change.least >= 0 {
                self.push_lower(atom, 1, initial);
            } else {
                self.push_upper(atom, 1, initial);
            }
        }
    }

    /// The most iterations of an extent.
    fn trips(&mut self, func: &Func, extent: Value) -> Option<i128> {
        let form = self.form(func, extent)?;
        Some(self.range(&form.poly)?.1.clamp(0, GREATEST))
    }
}

/// The carried i64 values that change by constants only: position, change.
fn changes(func: &Func, op: OpId, body: RegionId) -> Vec<(usize, Change)> {
    let extents = extents_of(&func.op(op).code);
    let params = &func.region(body).params[extents..];
    if !params.iter().any(|&param| func.ty(param) == Type::I64) {
        return Vec::new();
    }
    let mut nexts = Vec::new();
    if let Terminator::Yield(values) = &func.region(body).end {
        nexts.push(&values[..]);
    }
    for &region in &func.op(op).regions {
        continues(func, region, 0, &mut nexts);
    }
    let counted = |&(position, &param): &(usize, &Value)| {
        if func.ty(param) != Type::I64 {
            return None;
        }
        let mut all: Option<Change> = None;
        for next in &nexts {
            let change = change(func, next[position], param, 0)?;
            all = Some(match all {
                None => change,
                Some(all) => Change { least: all.least.min(change.least), most: all.most.max(change.most) },
            });
        }
        Some((position, all?))
    };
    params.iter().enumerate().filter_map(|param| counted(&param)).collect()
}

/// What `continue` hands to the loop that `region` is in, `depth` loops out.
fn continues<'f>(func: &'f Func, region: RegionId, depth: u32, nexts: &mut Vec<&'f [Value]>) {
    for &op in &func.region(region).ops {
        let inside = depth + u32::from(crate::passes::is_loop(&func.op(op).code));
        for &inner in &func.op(op).regions {
            continues(func, inner, inside, nexts);
        }
    }
    if let Terminator::Continue(to, values) = &func.region(region).end
        && *to == depth
    {
        nexts.push(values);
    }
}

/// next - param, if that is a constant, or one of two in the branches of an `if`.
fn change(func: &Func, next: Value, param: Value, depth: u32) -> Option<Change> {
    if next == param {
        return Some(Change { least: 0, most: 0 });
    }
    if depth > 8 {
        return None;
    }
    let Def::Op(op, _) = func.values[next.index()].def else { return None };
    let op = func.op(op);
    let small =
        |value: Value| func.as_const(value).and_then(as_integer).filter(|constant| constant.abs() < 1 << 32);
    let moved = |from: Value, by: i128| {
        let inner = change(func, from, param, depth + 1)?;
        Some(Change { least: inner.least + by, most: inner.most + by })
    };
    match (&op.code, &op.args[..]) {
        (OpCode::Add, &[a, b]) => match (small(a), small(b)) {
            (_, Some(by)) => moved(a, by),
            (Some(by), None) => moved(b, by),
            (None, None) => None,
        },
        (OpCode::Sub, &[a, b]) => moved(a, -small(b)?),
        (OpCode::If, _) => {
            let sides = yields(func, next);
            either(func, [sides.then, sides.otherwise], param, depth)
        }
        (OpCode::Select, &[_, a, b]) => either(func, [Some(a), Some(b)], param, depth),
        _ => None,
    }
}

/// A branch without a value leaves: what it hands on is another `next`.
fn either(func: &Func, sides: [Option<Value>; 2], param: Value, depth: u32) -> Option<Change> {
    let mut all: Option<Change> = None;
    for side in sides.into_iter().flatten() {
        let change = change(func, side, param, depth + 1)?;
        all = Some(match all {
            None => change,
            Some(all) => Change { least: all.least.min(change.least), most: all.most.max(change.most) },
        });
    }
    all
}
