//! The rewrite that `@fast` asks for: part of the meaning of the program, not of its compilation.
//!
//! In: a program right after its loops are checked. Out: the program that everyone works on from then on, the oracle included. Holds: only float ops in
//! the reach of `@fast` change; the outcome depends on the program alone, never on the machine or on what other passes would do;
//! nothing is assumed about NaN or infinities.
//!
//! In order:
//! 1. `x / d` where d does not change in the innermost loop around  =>  `x * (1 / d)`;
//! 2. chains of four or more `+` (or `*`), each used once and standing in one region  =>  a balanced tree over the same terms in the same order;
//! 3. `a * b + c`, the product used once and standing in the same region  =>  `fma(a, b, c)`; so `a*b - c`, and `c - a*b` as `fma(-a, b, c)`.
//!    Of two products the left one is taken.

use super::{Apply, Pass, is_loop, take_ops};
use crate::ir::{Func, OpCode, OpId, Program, RegionId, Type, Value};
use crate::report::Report;
use kiln_lang::tree::Const;
use kiln_lang::types::Scalar;

/// The pass. It runs before the others, once, by [`apply_fast`].
pub const FAST: Pass = Pass { name: "fast", about: "rewrite what `@fast` reaches", apply: Apply::Func(fast) };

/// Rewrites what `@fast` reaches: to be called once, right after the loops are checked and before anyone evaluates or compiles.
pub fn apply_fast(program: &mut Program) {
    FAST.apply(program, &mut Report::default());
}

fn fast(func: &mut Func, _report: &mut Report) {
    if !func.ops.iter().any(|op| op.fast) {
        return;
    }
    let body = func.body;
    let mut levels = vec![0; func.values.len()];
    reciprocals(func, body, 0, &mut levels);
    let mut uses = Uses::of(func);
    rebalance(func, body, &mut uses);
    let mut uses = Uses::of(func);
    contract(func, body, &mut uses);
}

fn is_fast_float(func: &Func, op: OpId) -> bool {
    let op = func.op(op);
    op.fast
        && op.results.len() == 1
        && matches!(func.ty(op.results[0]), Type::Scalar(Scalar::F32 | Scalar::F64))
}

/// A new op in the reach of `@fast`, where `like` stands.
fn new_fast(func: &mut Func, code: OpCode, args: Vec<Value>, like: OpId) -> (OpId, Value) {
    let ty = func.ty(super::result(func, like));
    let span = func.op(like).span;
    let (op, value) = super::new_value(func, code, args, ty, span);
    func.ops[op.index()].fast = true;
    (op, value)
}

// ---- x / d  =>  x * (1 / d) ----

/// `levels`: per value, how many loops it changes in.
fn reciprocals(func: &mut Func, region: RegionId, here: u32, levels: &mut Vec<u32>) {
    for &param in &func.region(region).params {
        levels[param.index()] = here;
    }
    let mut ops = Vec::with_capacity(func.region(region).ops.len());
    for op in take_ops(func, region) {
        let level = if func.op(op).code.effects().pure {
            func.op(op).args.iter().fold(0, |level, arg| level.max(levels[arg.index()]))
        } else {
            here
        };
        for &result in &func.op(op).results {
            levels[result.index()] = level;
        }
        let inside = here + u32::from(is_loop(&func.op(op).code));
        for position in 0..func.op(op).regions.len() {
            let inner = func.op(op).regions[position];
            reciprocals(func, inner, inside, levels);
        }
        if func.op(op).code == OpCode::Div && is_fast_float(func, op) {
            let (x, by) = (func.op(op).args[0], func.op(op).args[1]);
            if levels[by.index()] < here && !is_one(func, x) {
                let one = match func.ty(by) {
                    Type::F32 => Const::F32(1.0),
                    _ => Const::F64(1.0),
                };
                let (one_op, one) = new_fast(func, OpCode::Const(one), Vec::new(), op);
                let (inverse_op, inverse) = new_fast(func, OpCode::Div, vec![one, by], op);
                ops.extend([one_op, inverse_op]);
                levels.resize(func.values.len(), 0);
                levels[inverse.index()] = levels[by.index()];
                func.ops[op.index()].code = OpCode::Mul;
                func.ops[op.index()].args[1] = inverse;
            }
        }
        ops.push(op);
    }
    func.regions[region.index()].ops = ops;
}

fn is_one(func: &Func, value: Value) -> bool {
    matches!(func.as_const(value), Some(Const::F64(1.0) | Const::F32(1.0)))
}

// ---- trees ----

/// Where values are used, and where ops stand.
struct Uses {
    count: Vec<u32>,
    region_of: Vec<Option<RegionId>>,
}

impl Uses {
    fn of(func: &Func) -> Uses {
        let mut uses = Uses { count: vec![0; func.values.len()], region_of: vec![None; func.ops.len()] };
        uses.region(func, func.body);
        uses
    }

    fn region(&mut self, func: &Func, region: RegionId) {
        for &op in &func.region(region).ops {
            self.region_of[op.index()] = Some(region);
            func.op(op).args.iter().for_each(|arg| self.count[arg.index()] += 1);
            for &inner in &func.op(op).regions {
                self.region(func, inner);
            }
        }
        func.region(region).end.args().iter().for_each(|arg| self.count[arg.index()] += 1);
    }

    /// Has the op been taken into another?
    fn is_absorbed(&self, op: OpId) -> bool {
        self.region_of.get(op.index()) == Some(&None)
    }

    /// The op of this kind that computes `value` for one user only, in the same region.
    fn part(&self, func: &Func, value: Value, code: &OpCode, region: RegionId) -> Option<OpId> {
        let op = func.def_op(value)?;
        let is_part = self.count.get(value.index()) == Some(&1)
            && func.op(op).code == *code
            && is_fast_float(func, op)
            && self.region_of.get(op.index()).copied().flatten() == Some(region);
        is_part.then_some(op)
    }
}

/// Chains that are shorter stay as they are.
const SHORTEST_CHAIN: usize = 4;

fn rebalance(func: &mut Func, region: RegionId, uses: &mut Uses) {
    let list = take_ops(func, region);
    // From the end, so that the last op of a chain is met first. Each op comes with what is put before it.
    let mut reversed: Vec<OpId> = Vec::with_capacity(list.len());
    for &op in list.iter().rev() {
        if uses.is_absorbed(op) {
            continue;
        }
        reversed.push(op);
        let code = func.op(op).code.clone();
        if matches!(code, OpCode::Add | OpCode::Mul) && is_fast_float(func, op) {
            let (terms, parts) = chain(func, op, &code, region, uses);
            if terms.len() >= SHORTEST_CHAIN {
                parts.iter().for_each(|part| uses.region_of[part.index()] = None);
                let mut tree = balance(func, op, &code, terms);
                tree.reverse();
                reversed.append(&mut tree);
            }
        }
        for inner in func.op(op).regions.clone() {
            rebalance(func, inner, uses);
        }
    }
    reversed.reverse();
    func.regions[region.index()].ops = reversed;
}

/// The terms of a chain that ends in `root`, left to right, and the ops of the chain before it.
fn chain(func: &Func, root: OpId, code: &OpCode, region: RegionId, uses: &Uses) -> (Vec<Value>, Vec<OpId>) {
    let mut terms = Vec::new();
    let mut parts = Vec::new();
    let mut stack: Vec<Value> = func.op(root).args.iter().rev().copied().collect();
    while let Some(value) = stack.pop() {
        match uses.part(func, value, code, region) {
            Some(part) => {
                parts.push(part);
                stack.extend(func.op(part).args.iter().rev());
            }
            None => terms.push(value),
        }
    }
    (terms, parts)
}

/// Combines neighbours until two are left, which `root` combines. Gives the new ops in order.
fn balance(func: &mut Func, root: OpId, code: &OpCode, mut terms: Vec<Value>) -> Vec<OpId> {
    let mut ops = Vec::with_capacity(terms.len());
    while terms.len() > 2 {
        let mut next = Vec::with_capacity(terms.len().div_ceil(2));
        for pair in terms.chunks(2) {
            match *pair {
                [a, b] => {
                    let (op, value) = new_fast(func, code.clone(), vec![a, b], root);
                    ops.push(op);
                    next.push(value);
                }
                _ => next.extend(pair),
            }
        }
        terms = next;
    }
    func.ops[root.index()].args = terms;
    ops
}

// ---- a * b + c  =>  fma(a, b, c) ----

fn contract(func: &mut Func, region: RegionId, uses: &mut Uses) {
    let mut ops = Vec::with_capacity(func.region(region).ops.len());
    for op in take_ops(func, region) {
        for inner in func.op(op).regions.clone() {
            contract(func, inner, uses);
        }
        let is_sum = matches!(func.op(op).code, OpCode::Add | OpCode::Sub) && is_fast_float(func, op);
        if is_sum {
            let is_sub = func.op(op).code == OpCode::Sub;
            let (a, b) = (func.op(op).args[0], func.op(op).args[1]);
            let product = |value| uses.part(func, value, &OpCode::Mul, region);
            let fused = match (product(a), product(b)) {
                (Some(product), _) => Some((product, b, is_sub, false)),
                (None, Some(product)) => Some((product, a, false, is_sub)),
                (None, None) => None,
            };
            if let Some((product, mut rest, negate_rest, negate_product)) = fused {
                let (mut x, y) = (func.op(product).args[0], func.op(product).args[1]);
                if negate_rest {
                    let (negated, value) = new_fast(func, OpCode::Neg, vec![rest], op);
                    ops.push(negated);
                    rest = value;
                }
                if negate_product {
                    let (negated, value) = new_fast(func, OpCode::Neg, vec![x], op);
                    ops.push(negated);
                    x = value;
                }
                uses.region_of[product.index()] = None;
                func.ops[op.index()].code = OpCode::Fma;
                func.ops[op.index()].args = vec![x, y, rest];
            }
        }
        ops.push(op);
    }
    ops.retain(|&op| !uses.is_absorbed(op));
    func.regions[region.index()].ops = ops;
}
