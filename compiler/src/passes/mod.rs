//! The passes, one per file, and what several of them share.
//!
//! In: a verified program. Out: a verified program with the same results, bit for bit, and the same errors. Holds: every pass walks the program
//! a fixed number of times, with side tables indexed by value or op; [`crate::pipeline`] gives the order.

pub mod checks;
pub mod cse;
pub mod dead;
pub mod expand;
pub mod fast;
pub mod fold;
pub mod hoist;
pub mod inline;
pub mod outline;
pub mod simplify;
pub mod version;
pub mod widen;

mod arrays;
mod copy;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod kernels;
mod ranges;
mod returns;
#[cfg(test)]
mod tests;

use crate::ir::{Def, Func, OpCode, OpId, Program, RegionId, Terminator, Type, Value, ValueData};
use crate::report::Report;
use crate::target::VectorShape;
use kiln_lang::span::Span;
use kiln_lang::tree::Const;
use kiln_lang::types::Scalar;

/// A pass.
#[derive(Clone, Copy)]
pub struct Pass {
    /// In `--after`, traces and tests.
    pub name: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    /// Its work.
    pub apply: Apply,
}

/// What a pass works on.
#[derive(Clone, Copy)]
pub enum Apply {
    /// One function at a time.
    Func(fn(&mut Func, &mut Report)),
    /// The program.
    Program(fn(&mut Program, &mut Report)),
    /// The program, for a machine with vectors.
    Machine(fn(&mut Program, VectorShape, &mut Report)),
}

impl Pass {
    /// Does its work on a program, whatever the machine.
    pub fn apply(&self, program: &mut Program, report: &mut Report) {
        self.apply_for(program, None, report);
    }

    /// Does its work on a program for a machine with these vectors; what is for machines with vectors does nothing without any.
    pub fn apply_for(&self, program: &mut Program, shape: Option<VectorShape>, report: &mut Report) {
        match self.apply {
            Apply::Func(apply) => program.funcs.iter_mut().for_each(|func| apply(func, report)),
            Apply::Program(apply) => apply(program, report),
            Apply::Machine(apply) => {
                if let Some(shape) = shape {
                    apply(program, shape, report);
                }
            }
        }
    }
}

/// What became of each value: itself, or another that replaces it.
pub(crate) struct Renames(Vec<Value>);

impl Renames {
    pub(crate) fn new(func: &Func) -> Renames {
        Renames((0..func.values.len() as u32).map(Value).collect())
    }

    /// The value to use in place of `value`. Values that were made after `new` are themselves.
    pub(crate) fn get(&self, value: Value) -> Value {
        self.0.get(value.index()).copied().unwrap_or(value)
    }

    /// Uses of `from`, all of them still to come in the walk, become uses of `to`.
    pub(crate) fn set(&mut self, from: Value, to: Value) {
        let to = self.get(to);
        if from.index() >= self.0.len() {
            self.0.extend((self.0.len() as u32..=from.0).map(Value));
        }
        self.0[from.index()] = to;
    }

    /// Renames what an op uses, without its regions.
    pub(crate) fn in_op(&self, func: &mut Func, op: OpId) {
        let op = &mut func.ops[op.index()];
        op.args.iter_mut().for_each(|arg| *arg = self.get(*arg));
        if let OpCode::For(data) = &mut op.code {
            data.unique.iter_mut().for_each(|array| *array = self.get(*array));
            data.arrays.iter_mut().for_each(|(array, _)| *array = self.get(*array));
        }
    }

    /// Renames what a terminator hands over.
    pub(crate) fn in_end(&self, func: &mut Func, region: RegionId) {
        let end = &mut func.regions[region.index()].end;
        end.args_mut().iter_mut().for_each(|arg| *arg = self.get(*arg));
    }
}

/// The list of a region's ops, taken out to be rewritten; the region is left empty.
pub(crate) fn take_ops(func: &mut Func, region: RegionId) -> Vec<OpId> {
    std::mem::take(&mut func.regions[region.index()].ops)
}

/// The sole result of an op.
pub(crate) fn result(func: &Func, op: OpId) -> Value {
    func.op(op).results[0]
}

/// Is it a loop?
pub(crate) fn is_loop(code: &OpCode) -> bool {
    matches!(code, OpCode::For(_) | OpCode::While)
}

/// How many of a loop's operands come before the carried values.
pub(crate) fn extents_of(code: &OpCode) -> usize {
    match code {
        OpCode::For(data) => data.rank as usize,
        _ => 0,
    }
}

/// A new op without results or regions to be built; the caller puts it into a list.
pub(crate) fn new_value(
    func: &mut Func,
    code: OpCode,
    args: Vec<Value>,
    ty: Type,
    span: Span,
) -> (OpId, Value) {
    let op = func.add_op(code, args, &[ty], span);
    (op, result(func, op))
}

/// One more result of an op, behind the others.
pub(crate) fn add_result(func: &mut Func, op: OpId, ty: Type) -> Value {
    let def = Def::Op(op, func.op(op).results.len() as u32);
    func.values.push(ValueData { ty, def, name: None });
    let value = Value(func.values.len() as u32 - 1);
    func.ops[op.index()].results.push(value);
    value
}

/// Puts the definitions of an op's results in order after some were dropped.
pub(crate) fn renumber_results(func: &mut Func, op: OpId) {
    for position in 0..func.op(op).results.len() {
        let value = func.op(op).results[position];
        func.values[value.index()].def = Def::Op(op, position as u32);
    }
}

/// Puts the definitions of a region's parameters in order after some were dropped.
pub(crate) fn renumber_params(func: &mut Func, region: RegionId) {
    for position in 0..func.region(region).params.len() {
        let value = func.region(region).params[position];
        func.values[value.index()].def = Def::Param(region, position as u32);
    }
}

/// Does the region's end hand over to the op that holds it?
pub(crate) fn falls_through(func: &Func, region: RegionId) -> bool {
    matches!(func.region(region).end, Terminator::Yield(_) | Terminator::Open)
}

/// The number of ops in a region and all regions in it.
pub(crate) fn count_ops(func: &Func, region: RegionId) -> usize {
    let ops = &func.region(region).ops;
    ops.len()
        + ops
            .iter()
            .flat_map(|&op| func.op(op).regions.iter())
            .map(|&inner| count_ops(func, inner))
            .sum::<usize>()
}

/// An integer constant as mathematics has it; `None` for floats. A bool is 0 or 1.
pub(crate) fn as_integer(constant: Const) -> Option<i128> {
    match constant {
        Const::Bool(value) => Some(i128::from(value)),
        Const::I32(value) => Some(i128::from(value)),
        Const::I64(value) => Some(i128::from(value)),
        Const::U32(value) => Some(i128::from(value)),
        Const::U64(value) => Some(i128::from(value)),
        Const::F32(_) | Const::F64(_) => None,
    }
}

/// The constant of an integer type with these low bits.
pub(crate) fn integer(scalar: Scalar, value: i128) -> Option<Const> {
    match scalar {
        Scalar::Bool => Some(Const::Bool(value != 0)),
        Scalar::I32 => Some(Const::I32(value as i32)),
        Scalar::I64 => Some(Const::I64(value as i64)),
        Scalar::U32 => Some(Const::U32(value as u32)),
        Scalar::U64 => Some(Const::U64(value as u64)),
        Scalar::F32 | Scalar::F64 => None,
    }
}
