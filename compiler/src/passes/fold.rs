//! Computes what is constant.
//!
//! In: a function. Out: the same with constants in place of ops on constants. Holds: the arithmetic is the oracle's, [`crate::ir::eval::fold`], and no other.

use super::{Apply, Pass, Renames, take_ops};
use crate::ir::eval;
use crate::ir::{Func, OpCode, OpId, RegionId, Type};
use crate::report::Report;
use kiln_lang::tree::Const;

/// The pass.
pub const FOLD: Pass = Pass { name: "fold", about: "compute what is constant", apply: Apply::Func(fold) };

fn fold(func: &mut Func, _report: &mut Report) {
    let mut renames = Renames::new(func);
    let body = func.body;
    region(func, body, &mut renames);
}

fn region(func: &mut Func, id: RegionId, renames: &mut Renames) {
    let mut ops = Vec::with_capacity(func.region(id).ops.len());
    for op in take_ops(func, id) {
        renames.in_op(func, op);
        for position in 0..func.op(op).regions.len() {
            let inner = func.op(op).regions[position];
            region(func, inner, renames);
        }
        match constants(func, op).as_deref() {
            // The op itself becomes the constant, so that users need no new name.
            Some(&[constant]) => {
                func.ops[op.index()].code = OpCode::Const(constant);
                func.ops[op.index()].args.clear();
                ops.push(op);
            }
            Some(constants) => {
                for (position, &constant) in constants.iter().enumerate() {
                    let result = func.op(op).results[position];
                    let (ty, span) = (func.ty(result), func.op(op).span);
                    let (new, value) = super::new_value(func, OpCode::Const(constant), Vec::new(), ty, span);
                    renames.set(result, value);
                    ops.push(new);
                }
            }
            None => ops.push(op),
        }
    }
    func.regions[id.index()].ops = ops;
    renames.in_end(func, id);
}

/// The results of an op on constants.
pub(super) fn constants(func: &Func, op: OpId) -> Option<Vec<Const>> {
    let op = func.op(op);
    if !op.code.effects().pure || op.args.is_empty() || matches!(op.code, OpCode::Math(_)) {
        return None;
    }
    let Type::Scalar(result) = func.ty(op.results[0]) else { return None };
    let mut args = [Const::Bool(false); 3];
    for (position, &arg) in op.args.iter().enumerate() {
        *args.get_mut(position)? = func.as_const(arg)?;
    }
    eval::fold(&op.code, &args[..op.args.len()], result)
}
