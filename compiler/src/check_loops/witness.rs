//! Two iterations that collide, put into the program's own expressions.
//!
//! In: the solver's values for ordinals, sizes and parameters. Out: a [`Witness`] with the iterations and the element, in numbers.
//! Holds: nothing is shown that evaluating the indices does not confirm; shares nothing with the polynomials that the solver saw, but what
//! counts a carried index.

use super::access::Fact;
use super::affine::{Atom, Kind, Model, integer};
use super::collide::{Prepared, Side};
use super::explain::atom_name;
use super::nest::Nest;
use crate::ir::{Def, Func, OpCode, OpId, Terminator, Type, Value};
use kiln_lang::types::Scalar;
use std::collections::HashMap;
use std::sync::Arc;

/// Two iterations and the element that both name.
#[derive(Clone, Debug, PartialEq)]
pub struct Witness {
    /// Values of the loop's indices in the iteration of the first access and in that of the second.
    pub iterations: [Vec<i128>; 2],
    /// The element.
    pub element: Vec<i128>,
    /// Values of names that the indices depend on.
    pub with: Vec<(String, i128)>,
    /// Every condition on the way was evaluated too, and no loop on the way can be left early.
    pub is_certain: bool,
}

/// Deeper expressions are not evaluated.
const MAX_DEPTH: usize = 200;

/// Confirms by evaluation that the two accesses name one element in different iterations.
pub fn check(
    model: &mut Model,
    accesses: [&Prepared; 2],
    values: &HashMap<(Atom, Side), i128>,
) -> Option<Witness> {
    let home = model.home;
    let mut is_certain = true;
    let mut elements = Vec::new();
    let mut iterations = Vec::new();
    let mut ordinals = Vec::new();
    for (access, side) in accesses.into_iter().zip([Side::First, Side::Second]) {
        let mut iteration = Iteration { model, side, values, known: HashMap::new(), depth: 0 };
        iteration.runs(home, &mut is_certain)?;
        for &fact in &access.facts {
            match fact {
                Fact::Loop(op) => iteration.runs(op, &mut is_certain)?,
                Fact::Condition(condition, positive) => match iteration.value(condition) {
                    Some(value) if value == i128::from(positive) => {}
                    Some(_) => return None,
                    None => is_certain = false,
                },
                Fact::While => is_certain = false,
                Fact::Check(_) => {}
            }
        }
        let element: Option<Vec<i128>> = access.places.iter().map(|&index| iteration.value(index)).collect();
        elements.push(element?);
        iterations.push(iteration.indices(home)?);
        let body = iteration.model.func.op(home).regions[0];
        let rank = iteration.model.nest.rank(iteration.model.func, home);
        let params = &iteration.model.func.region(body).params[..rank];
        let of_home: Option<Vec<i128>> = params.iter().map(|&param| iteration.value(param)).collect();
        ordinals.push(of_home?);
    }
    if elements[0] != elements[1] || ordinals[0] == ordinals[1] || elements[0].iter().any(|&index| index < 0)
    {
        return None;
    }
    is_certain &= !can_be_left(model, home);
    let with = names(model, accesses, values);
    let second = iterations.pop()?;
    let first = iterations.pop()?;
    Some(Witness { iterations: [first, second], element: elements.pop()?, with, is_certain })
}

/// The values that indices are made of and that have a name.
fn names(
    model: &Model,
    accesses: [&Prepared; 2],
    values: &HashMap<(Atom, Side), i128>,
) -> Vec<(String, i128)> {
    let mut names: Vec<(String, i128)> = Vec::new();
    for atom in accesses.iter().flat_map(|access| access.atoms()).filter(|&atom| !model.atom(atom).varying) {
        if let (Some(name), Some(&number)) = (atom_name(model, atom), values.get(&(atom, Side::Shared)))
            && !names.iter().any(|(other, _)| *other == name)
        {
            names.push((name, number));
        }
    }
    names
}

/// The variable that holds a size of an array: `n` of `x: [f64; n]`.
pub fn size_name(func: &Func, array: Value, axis: u8) -> Option<Arc<str>> {
    let mut sizes = func.ops.iter().filter(|op| op.code == OpCode::Dim { axis } && op.args == [array]);
    sizes.find_map(|op| func.values[op.results[0].index()].name.clone())
}

/// Can an iteration of a loop in the body of `home` be its last by `break`?
fn can_be_left(model: &Model, home: OpId) -> bool {
    let regions = model.nest.regions_within(model.func, home);
    regions.into_iter().any(|region| matches!(model.func.region(region).end, Terminator::Break(..)))
}

/// The index variable of one axis of a loop: the first value with a name that follows the ordinal, or the ordinal.
pub fn index_variable(func: &Func, nest: &Nest, op: OpId, axis: usize) -> Value {
    let body = func.op(op).regions[0];
    let ordinal = func.region(body).params[axis];
    if func.values[ordinal.index()].name.is_some() {
        return ordinal;
    }
    let others = &func.region(body).params[..nest.rank(func, op)];
    let mut follows = vec![ordinal];
    for &inner in &func.region(body).ops {
        let inner = func.op(inner);
        if !matches!(inner.code, OpCode::Add | OpCode::Sub | OpCode::Mul | OpCode::Neg | OpCode::Const(_)) {
            break;
        }
        if !inner.args.iter().any(|arg| follows.contains(arg))
            || inner.args.iter().any(|arg| *arg != ordinal && others.contains(arg))
        {
            continue;
        }
        if func.values[inner.results[0].index()].name.is_some() {
            return inner.results[0];
        }
        follows.push(inner.results[0]);
    }
    ordinal
}

/// One iteration in numbers.
struct Iteration<'m, 'a> {
    model: &'m mut Model<'a>,
    side: Side,
    values: &'m HashMap<(Atom, Side), i128>,
    known: HashMap<Value, Option<i128>>,
    depth: usize,
}

impl Iteration<'_, '_> {
    /// `None` if an ordinal lies outside its extent.
    fn runs(&mut self, op: OpId, is_certain: &mut bool) -> Option<()> {
        let func = self.model.func;
        let body = func.op(op).regions[0];
        for axis in 0..self.model.nest.rank(func, op) {
            let ordinal = self.value(func.region(body).params[axis])?;
            match self.value(func.op(op).args[axis]) {
                Some(extent) if ordinal < 0 || ordinal >= extent => return None,
                Some(_) => {}
                None => *is_certain = false,
            }
        }
        Some(())
    }

    fn indices(&mut self, op: OpId) -> Option<Vec<i128>> {
        let (func, nest) = (self.model.func, self.model.nest);
        (0..nest.rank(func, op)).map(|axis| self.value(index_variable(func, nest, op, axis))).collect()
    }

    fn value(&mut self, value: Value) -> Option<i128> {
        if let Some(&known) = self.known.get(&value) {
            return known;
        }
        if self.depth >= MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        let result = self.evaluate(value);
        self.depth -= 1;
        let wrapped = result.map(|result| match self.model.func.ty(value).scalar() {
            Scalar::I64 => i128::from(result as i64),
            Scalar::I32 => i128::from(result as i32),
            Scalar::U32 => i128::from(result as u32),
            Scalar::U64 => i128::from(result as u64),
            Scalar::Bool | Scalar::F32 | Scalar::F64 => result,
        });
        self.known.insert(value, wrapped);
        wrapped
    }

    /// What is the same in all iterations has the solver's value, or any; an ordinal has the solver's.
    fn given(&mut self, value: Value) -> Option<i128> {
        let kind = Kind::Value(value);
        let Some(atom) = self.model.find(&kind) else { return (!self.model.is_inside(value)).then_some(0) };
        if !self.model.atom(atom).varying {
            return Some(self.values.get(&(atom, Side::Shared)).copied().unwrap_or(0));
        }
        let Def::Param(region, position) = self.model.func.values[value.index()].def else { return None };
        self.model.nest.ordinal_of(self.model.func, region, position)?;
        self.values.get(&(atom, self.side)).copied()
    }

    fn evaluate(&mut self, value: Value) -> Option<i128> {
        let func = self.model.func;
        let ty = func.ty(value);
        if !matches!(ty, Type::Scalar(scalar) if !scalar.is_float()) {
            return None;
        }
        let Some(id) = func.def_op(value) else {
            return match self.model.nest.counted(func, value) {
                Some(counted) => {
                    let init = self.value(counted.init)?;
                    match counted.ordinal {
                        Some(ordinal) => init.checked_add(self.value(ordinal)?.checked_mul(counted.step)?),
                        None => Some(init),
                    }
                }
                None => self.given(value),
            };
        };
        let op = func.op(id);
        let mut arg = |at: usize| self.value(op.args[at]);
        match &op.code {
            OpCode::Const(constant) => integer(*constant),
            OpCode::Add => arg(0)?.checked_add(arg(1)?),
            OpCode::Sub => arg(0)?.checked_sub(arg(1)?),
            OpCode::Mul => arg(0)?.checked_mul(arg(1)?),
            OpCode::Neg => arg(0)?.checked_neg(),
            OpCode::Abs => arg(0)?.checked_abs(),
            OpCode::Min => Some(arg(0)?.min(arg(1)?)),
            OpCode::Max => Some(arg(0)?.max(arg(1)?)),
            OpCode::FloorDiv => floor_div(arg(0)?, arg(1)?),
            OpCode::Rem => {
                let (a, b) = (arg(0)?, arg(1)?);
                a.checked_sub(floor_div(a, b)?.checked_mul(b)?)
            }
            OpCode::And => Some(arg(0)? & arg(1)?),
            OpCode::Or => Some(arg(0)? | arg(1)?),
            OpCode::Xor => Some(arg(0)? ^ arg(1)?),
            OpCode::Not if ty == Type::BOOL => Some(1 - arg(0)?),
            OpCode::Not => Some(!arg(0)?),
            OpCode::Shl => Some(arg(0)? << (arg(1)? & i128::from(ty.scalar().bits() - 1))),
            OpCode::Shr => Some(arg(0)? >> (arg(1)? & i128::from(ty.scalar().bits() - 1))),
            OpCode::Eq => Some(i128::from(arg(0)? == arg(1)?)),
            OpCode::Ne => Some(i128::from(arg(0)? != arg(1)?)),
            OpCode::Lt => Some(i128::from(arg(0)? < arg(1)?)),
            OpCode::Le => Some(i128::from(arg(0)? <= arg(1)?)),
            OpCode::Gt => Some(i128::from(arg(0)? > arg(1)?)),
            OpCode::Ge => Some(i128::from(arg(0)? >= arg(1)?)),
            OpCode::Select => {
                let chosen = if arg(0)? != 0 { 1 } else { 2 };
                arg(chosen)
            }
            OpCode::Convert if ty == Type::BOOL => Some(i128::from(arg(0)? != 0)),
            OpCode::Convert => arg(0),
            OpCode::Dim { axis } => self.size(value, op.args[0], *axis),
            OpCode::If => {
                let region = op.regions[usize::from(arg(0)? == 0)];
                let position = op.results.iter().position(|&result| result == value)?;
                match &func.region(region).end {
                    Terminator::Yield(values) => self.value(values[position]),
                    Terminator::Open
                    | Terminator::Break(..)
                    | Terminator::Continue(..)
                    | Terminator::Return(_) => None,
                }
            }
            OpCode::Load
            | OpCode::For(_)
            | OpCode::While
            | OpCode::Call(_)
            | OpCode::RunLoop { .. }
            | OpCode::Seed
            | OpCode::Draw { .. }
            | OpCode::MulHi
            | OpCode::Bitcast => self.given(value),
            OpCode::Div
            | OpCode::Fma
            | OpCode::Sqrt
            | OpCode::Floor
            | OpCode::Ceil
            | OpCode::Trunc
            | OpCode::Nearest
            | OpCode::Math(_)
            | OpCode::Splat
            | OpCode::Iota
            | OpCode::Extract { .. }
            | OpCode::Any
            | OpCode::All
            | OpCode::Store
            | OpCode::LoadMasked
            | OpCode::StoreMasked
            | OpCode::Update(_)
            | OpCode::UpdateFma
            | OpCode::UpdateMasked(_)
            | OpCode::UpdateFmaMasked
            | OpCode::Alloc
            | OpCode::AllocUninit
            | OpCode::Free
            | OpCode::Check(_)
            | OpCode::Send { .. }
            | OpCode::SendFma { .. }
            | OpCode::SendMasked { .. }
            | OpCode::Print(_) => None,
        }
    }

    fn size(&mut self, value: Value, array: Value, axis: u8) -> Option<i128> {
        let func = self.model.func;
        if let Some(id) = func.def_op(array)
            && let OpCode::Alloc | OpCode::AllocUninit = func.op(id).code
        {
            return self.value(func.op(id).args[axis as usize]);
        }
        match self.model.find(&Kind::Size(array, axis)) {
            Some(atom) if !self.model.atom(atom).varying => {
                Some(self.values.get(&(atom, Side::Shared)).copied().unwrap_or(0))
            }
            Some(_) => None,
            None => (!self.model.is_inside(value)).then_some(0),
        }
    }
}

fn floor_div(a: i128, b: i128) -> Option<i128> {
    let quotient = a.checked_div(b)?;
    Some(if a % b != 0 && (a < 0) != (b < 0) { quotient - 1 } else { quotient })
}
