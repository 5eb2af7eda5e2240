//! Loads, stores, updates and sends in lanes.
//!
//! In: the scalar op. Out: one op for all lanes. Holds: memory of lanes that are off is not touched; a uniform load stands where some lane is on, so it is a plain scalar load.
//!
//! The last index decides what a load is: it steps by one from lane to lane and the others do not change (*consecutive*); any index steps evenly (*strided*); or the lanes go
//! where they like (*gather*).

use super::emit::Emit;
use super::forms::Form;
use crate::ir::{OpCode, OpId, Type, Value};
use crate::report::Accesses;
use kiln_abi::ReduceOp;
use kiln_lang::tree::Const;
use kiln_lang::types::Scalar;

/// How the lanes of an access lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// One element for all lanes.
    Broadcast,
    /// Neighbours.
    Consecutive,
    /// Evenly spaced.
    Strided,
    /// Anywhere.
    Scattered,
}

impl Access {
    fn count(self, counts: &mut Accesses) {
        *match self {
            Access::Broadcast => &mut counts.broadcast,
            Access::Consecutive => &mut counts.consecutive,
            Access::Strided => &mut counts.strided,
            Access::Scattered => &mut counts.scattered,
        } += 1;
    }
}

impl Emit<'_> {
    fn access(&self, indices: &[Value]) -> Access {
        let forms = || indices.iter().map(|&index| self.forms.get(index));
        let last = forms().next_back();
        if forms().all(|form| form == Form::Uniform) {
            Access::Broadcast
        } else if forms().any(|form| form == Form::Varying) {
            Access::Scattered
        } else if last == Some(Form::Affine(1)) && forms().rev().skip(1).all(|form| form == Form::Uniform) {
            Access::Consecutive
        } else {
            Access::Strided
        }
    }

    /// Indices as operands: scalars where they do not vary; at least one in lanes.
    fn indices(&mut self, indices: &[Value]) -> Vec<Value> {
        let is_uniform = self.access(indices) == Access::Broadcast;
        let count = indices.len();
        let mut operands = Vec::with_capacity(count + 3);
        for (position, &index) in indices.iter().enumerate() {
            let in_lanes = !self.forms.is_uniform(index) || is_uniform && position + 1 == count;
            operands.push(if in_lanes { self.lanes(index) } else { self.scalar(index) });
        }
        operands
    }

    pub(super) fn load(&mut self, id: OpId) {
        let op = self.func.op(id);
        let (args, result) = (op.args.clone(), op.results[0]);
        let (array, indices) = (self.scalar(args[0]), &args[1..]);
        let elem = self.func.ty(result).scalar();
        self.access(indices).count(&mut self.tally.loads);
        let value = if self.forms.is_uniform(result) {
            let mut operands = vec![array];
            operands.extend(self.scalars(indices));
            self.value(OpCode::Load, operands, Type::Scalar(elem))
        } else {
            let mut operands = vec![array];
            let mask = self.mask_operand();
            operands.extend(mask);
            operands.extend(self.indices(indices));
            let code = if mask.is_some() { OpCode::LoadMasked } else { OpCode::Load };
            self.tally.masked += u32::from(mask.is_some());
            self.value(code, operands, self.in_lanes(elem))
        };
        self.bind(result, value);
    }

    pub(super) fn store(&mut self, id: OpId) {
        let args = self.func.op(id).args.clone();
        let (indices, value) = (&args[1..args.len() - 1], args[args.len() - 1]);
        self.access(indices).count(&mut self.tally.stores);
        let place = self.place(args[0], indices);
        let value = self.lanes(value);
        self.put(place, value);
    }

    /// Array, mask if there is one, indices.
    fn place(&mut self, array: Value, indices: &[Value]) -> (Option<Value>, Vec<Value>) {
        let mask = self.mask_operand();
        let mut operands = vec![self.scalar(array)];
        operands.extend(mask);
        operands.extend(self.indices(indices));
        (mask, operands)
    }

    fn put(&mut self, (mask, mut operands): (Option<Value>, Vec<Value>), value: Value) {
        operands.push(value);
        self.tally.masked += u32::from(mask.is_some());
        self.effect(if mask.is_some() { OpCode::StoreMasked } else { OpCode::Store }, operands);
    }

    fn get(&mut self, (mask, operands): &(Option<Value>, Vec<Value>), ty: Type) -> Value {
        let code = if mask.is_some() { OpCode::LoadMasked } else { OpCode::Load };
        self.tally.masked += u32::from(mask.is_some());
        self.value(code, operands.clone(), ty)
    }

    /// `element op= value`. Elements that may coincide are updated lane after lane; the others are loaded and stored.
    pub(super) fn update(&mut self, id: OpId, reduce: ReduceOp) {
        let args = self.func.op(id).args.clone();
        let (indices, value) = (&args[1..args.len() - 1], args[args.len() - 1]);
        let elem = self.func.ty(value).scalar();
        let access = self.access(indices);
        access.count(&mut self.tally.stores);
        let value = self.lanes(value);
        let (mask, mut operands) = self.place(args[0], indices);
        if self.may_coincide(args[0]) {
            operands.push(value);
            self.tally.updates += 1;
            let code = if mask.is_some() { OpCode::UpdateMasked(reduce) } else { OpCode::Update(reduce) };
            return self.effect(code, operands);
        }
        access.count(&mut self.tally.loads);
        let place = (mask, operands);
        let old = self.get(&place, self.in_lanes(elem));
        let new = self.combine(reduce, elem, old, value);
        self.put(place, new);
    }

    pub(super) fn update_fma(&mut self, id: OpId) {
        let args = self.func.op(id).args.clone();
        let (rest, factors) = args.split_at(args.len() - 2);
        let elem = self.func.ty(factors[0]).scalar();
        let access = self.access(&rest[1..]);
        access.count(&mut self.tally.stores);
        let [a, b] = [factors[0], factors[1]].map(|factor| self.lanes(factor));
        let (mask, mut operands) = self.place(rest[0], &rest[1..]);
        if self.may_coincide(rest[0]) {
            operands.extend([a, b]);
            self.tally.updates += 1;
            let code = if mask.is_some() { OpCode::UpdateFmaMasked } else { OpCode::UpdateFma };
            return self.effect(code, operands);
        }
        access.count(&mut self.tally.loads);
        let place = (mask, operands);
        let ty = self.in_lanes(elem);
        let old = self.get(&place, ty);
        let new = self.value(OpCode::Fma, vec![a, b, old], ty);
        self.put(place, new);
    }

    /// May two lanes update one element of the array? `check_loops` has proven that they do not, or made it an array reduction.
    fn may_coincide(&self, array: Value) -> bool {
        let OpCode::For(data) = &self.func.op(self.home).code else { return true };
        let is_carried = self.scalar(array) != array;
        !data.arrays.is_empty() && (is_carried || data.arrays.iter().any(|&(reduced, _)| reduced == array))
    }

    /// `old op value`
    pub(super) fn combine(&mut self, reduce: ReduceOp, elem: Scalar, old: Value, value: Value) -> Value {
        let code = match (reduce, elem) {
            (ReduceOp::Sum, _) => OpCode::Add,
            (ReduceOp::Prod, _) => OpCode::Mul,
            // false < true
            (ReduceOp::Min, Scalar::Bool) | (ReduceOp::And, _) => OpCode::And,
            (ReduceOp::Max, Scalar::Bool) | (ReduceOp::Or, _) => OpCode::Or,
            (ReduceOp::Min, _) => OpCode::Min,
            (ReduceOp::Max, _) => OpCode::Max,
            (ReduceOp::Xor, _) => OpCode::Xor,
        };
        self.value(code, vec![old, value], self.in_lanes(elem))
    }

    /// A term for a reduction: of the widened loop, whose sends take lanes; of a loop inside, which keeps a total per lane.
    pub(super) fn send(&mut self, id: OpId, reduction: u32) {
        let term = self.func.op(id).args[0];
        let elem = self.func.ty(term).scalar();
        let term = self.lanes(term);
        if self.frames.len() > 1 {
            let reduce = self.reduction(reduction);
            return self.add_to_total(reduction, |emit, old| emit.combine(reduce, elem, old, term));
        }
        match self.mask_operand() {
            Some(mask) => self.effect(OpCode::SendMasked { reduction }, vec![mask, term]),
            None => self.effect(OpCode::Send { reduction }, vec![term]),
        }
    }

    pub(super) fn send_fma(&mut self, id: OpId, reduction: u32) {
        let args = self.func.op(id).args.clone();
        let elem = self.func.ty(args[0]).scalar();
        let [a, b] = [args[0], args[1]].map(|factor| self.lanes(factor));
        if self.frames.len() > 1 {
            let ty = self.in_lanes(elem);
            return self.add_to_total(reduction, |emit, old| emit.value(OpCode::Fma, vec![a, b, old], ty));
        }
        let factors = match self.mask_operand() {
            None => vec![a, b],
            Some(mask) => {
                // -0.0 * 1.0 changes no bit of any sum.
                let neutral = match elem {
                    Scalar::F32 => [Const::F32(-0.0), Const::F32(1.0)],
                    _ => [Const::F64(-0.0), Const::F64(1.0)],
                };
                let [minus_zero, one] = neutral.map(|factor| self.constant_lanes(factor));
                vec![self.select(mask, a, minus_zero), self.select(mask, b, one)]
            }
        };
        self.effect(OpCode::SendFma { reduction }, factors);
    }

    /// The operator of a reduction of the innermost loop.
    fn reduction(&self, number: u32) -> ReduceOp {
        self.frames[self.frames.len() - 1].operators[number as usize]
    }

    fn add_to_total(&mut self, number: u32, add: impl FnOnce(&mut Self, Value) -> Value) {
        let at = self.frames[self.frames.len() - 1].totals[number as usize];
        let old = self.state[at];
        let new = add(self, old);
        self.state[at] = match self.mask_operand() {
            Some(mask) => self.select(mask, new, old),
            None => new,
        };
    }
}
