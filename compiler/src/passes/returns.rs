//! Turns `return` inside loops into `break`, so that the function can be spliced.
//!
//! In: a function. Out: one that means the same, in which no loop holds a `return`: a loop that did carries a flag and the results instead, and an `if` behind
//! it returns. Holds: functions that return arrays stay as they are (there is no array to carry before there is a result), and so do annotated loops, which never return.

use super::{add_result, extents_of, is_loop, new_value, take_ops};
use crate::ir::{Func, OpCode, OpId, RegionId, Terminator, Type, Value};
use kiln_lang::tree::Const;
use kiln_lang::types::Scalar;

/// Rewrites the loops of `func` that return.
pub(super) fn returns_to_breaks(func: &mut Func) {
    if func.results.iter().all(|ty| matches!(ty, Type::Scalar(_))) {
        let body = func.body;
        outside_loops(func, body);
    }
}

/// Does some region of the op return?
pub(super) fn returns(func: &Func, op: OpId) -> bool {
    func.op(op).regions.iter().any(|&region| {
        matches!(func.region(region).end, Terminator::Return(_))
            || func.region(region).ops.iter().any(|&inner| returns(func, inner))
    })
}

fn outside_loops(func: &mut Func, region: RegionId) {
    let mut ops = Vec::with_capacity(func.region(region).ops.len());
    for op in take_ops(func, region) {
        if is_loop(&func.op(op).code) {
            if returns(func, op) {
                carry_results(func, op, &mut ops);
            } else {
                ops.push(op);
            }
            continue;
        }
        for position in 0..func.op(op).regions.len() {
            let inner = func.op(op).regions[position];
            outside_loops(func, inner);
        }
        ops.push(op);
    }
    func.regions[region.index()].ops = ops;
}

/// loop { … return v … }  =>  returned, value = loop(false, 0) { … break(true, v) … }; if returned { return value }
fn carry_results(func: &mut Func, op: OpId, ops: &mut Vec<OpId>) {
    let span = func.op(op).span;
    let mut constant = |func: &mut Func, constant: Const| {
        let ty = Type::Scalar(crate::ir::const_scalar(constant));
        let (op, value) = new_value(func, OpCode::Const(constant), Vec::new(), ty, span);
        ops.push(op);
        value
    };
    let is_true = constant(func, Const::Bool(true));
    let mut initial = vec![constant(func, Const::Bool(false))];
    for position in 0..func.results.len() {
        let placeholder = zero(func.results[position].scalar());
        initial.push(constant(func, placeholder));
    }
    let types: Vec<Type> = initial.iter().map(|&value| func.ty(value)).collect();
    func.ops[op.index()].args.extend(initial);
    let extents = extents_of(&func.op(op).code);
    for region in func.op(op).regions.clone() {
        let carried = func.region(region).params[extents..].to_vec();
        let added: Vec<Value> = types.iter().map(|&ty| func.add_param(region, ty, None)).collect();
        let mut carry = Carry { carried, added, is_true };
        if let Terminator::Yield(values) = &mut func.regions[region.index()].end {
            values.extend(&carry.added);
        }
        carry.region(func, region, 0);
    }
    let results: Vec<Value> = types.iter().map(|&ty| add_result(func, op, ty)).collect();
    ops.push(op);

    let after = func.add_op(OpCode::If, vec![results[0]], &[], span);
    let (leave, go_on) = (func.add_region(), func.add_region());
    func.regions[leave.index()].end = Terminator::Return(results[1..].to_vec());
    func.regions[go_on.index()].end = Terminator::Yield(Vec::new());
    func.ops[after.index()].regions = vec![leave, go_on];
    ops.push(after);
}

/// The placeholder that is carried until there is a result.
fn zero(scalar: Scalar) -> Const {
    crate::ir::const_from_bits(0, scalar)
}

struct Carry {
    /// What the loop carried before, in this region.
    carried: Vec<Value>,
    /// The flag and the results.
    added: Vec<Value>,
    is_true: Value,
}

impl Carry {
    /// `depth`: loops between the region and the loop that carries.
    fn region(&mut self, func: &mut Func, region: RegionId, depth: u32) {
        for position in 0..func.region(region).ops.len() {
            let op = func.region(region).ops[position];
            let inside = depth + u32::from(is_loop(&func.op(op).code));
            for inner in func.op(op).regions.clone() {
                self.region(func, inner, inside);
            }
        }
        let end = &mut func.regions[region.index()].end;
        match end {
            Terminator::Break(to, values) | Terminator::Continue(to, values) if *to == depth => {
                values.extend(&self.added);
            }
            Terminator::Return(results) => {
                let mut values = self.carried.clone();
                values.push(self.is_true);
                values.append(results);
                *end = Terminator::Break(depth, values);
            }
            Terminator::Open | Terminator::Yield(_) | Terminator::Break(..) | Terminator::Continue(..) => {}
        }
    }
}
