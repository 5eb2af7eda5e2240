//! Replaces the math functions that are still single ops by their bodies from the prelude.
//!
//! In: a program with ops `exp`, `log`, `sin`, …. Out: one without. Holds: the bodies are those that the oracle evaluates, made smaller
//! once per process by the passes before this one.

use super::copy::{Copier, Map, Sites};
use super::{Apply, Pass, Renames, cse, dead, fold, inline, simplify, take_ops};
use crate::ir::{Func, Op, OpCode, OpId, Program, RegionId};
use crate::prelude::{self, PerFunction};
use crate::report::Report;

/// The pass.
pub const EXPAND: Pass =
    Pass { name: "expand", about: "replace math functions by their bodies", apply: Apply::Func(expand) };

fn expand(func: &mut Func, _report: &mut Report) {
    if func.ops.iter().any(|op| matches!(op.code, OpCode::Math(_))) {
        let mut expand = Expand { renames: Renames::new(func), map: Map::default() };
        let body = func.body;
        expand.region(func, body);
    }
}

struct Expand {
    renames: Renames,
    map: Map,
}

impl Expand {
    fn region(&mut self, func: &mut Func, region: RegionId) {
        let mut ops = Vec::new();
        for op in take_ops(func, region) {
            self.renames.in_op(func, op);
            for position in 0..func.op(op).regions.len() {
                let inner = func.op(op).regions[position];
                self.region(func, inner);
            }
            match body_of(func, op) {
                Some(body) => self.splice(func, op, body, &mut ops),
                None => ops.push(op),
            }
        }
        func.regions[region.index()].ops = ops;
        self.renames.in_end(func, region);
    }

    fn splice(&mut self, func: &mut Func, op: OpId, body: &Func, ops: &mut Vec<OpId>) {
        let args = func.op(op).args.clone();
        let mut copier = Copier::from(body, Sites::default(), std::mem::take(&mut self.map));
        let (spliced, values) = inline::splice(&mut copier, body, func, &args);
        self.map = copier.into_map();
        ops.append(&mut take_ops(func, spliced));
        self.renames.set(super::result(func, op), values[0]);
    }
}

/// The smaller body of a math op on a scalar. Lanes are made from scalars that are expanded already.
fn body_of(func: &Func, op: OpId) -> Option<&'static Func> {
    static BODIES: PerFunction<Func> = PerFunction::new();
    let &Op { code: OpCode::Math(function), ref args, .. } = func.op(op) else { return None };
    let scalar = func.ty(args[0]).scalar();
    Some(BODIES.get(function, scalar, || prepare(prelude::body(function, scalar))))
}

fn prepare(body: &Func) -> Func {
    if !inline::returns_are_branches(body) {
        panic!("bug: `{}` in the prelude returns from inside a loop", body.name);
    }
    let mut program = Program { funcs: vec![body.clone()], loops: Vec::new() };
    for pass in [fold::FOLD, simplify::SIMPLIFY, cse::CSE, dead::DEAD] {
        pass.apply(&mut program, &mut Report::default());
    }
    program.funcs.swap_remove(0)
}
