//! Branches and loops when lanes part.
//!
//! In: `if`, `for` and `while` of a body. Out: the same in lanes. Holds: both sides of a varying `if` run, each for its own lanes, and `select` joins what they give; a side that is long,
//! loops, or touches memory in a way that no mask can hold back stands behind an `any`. A loop that diverges runs until no lane is left in it; lanes that are done keep their
//! values. No loop and no scalar access runs without a lane that asks for it.
//!
//! What the loops around keep of their lanes is a list of values, [`Emit::state`]. Regions change it like variables: an `if` hands on what either side changed,
//! a loop carries its own part, and the parts of loops further out if lanes leave for them from inside it.

use super::emit::{Dest, Emit, End, MaskId, NONE};
use super::forms::{Facts, Form};
use crate::ir::{
    ForData, Op, OpCode, OpId, Reduction, RegionId, Terminator, Type, Value, const_from_bits, kind_of,
};
use kiln_abi::ReduceOp;
use kiln_lang::tree::Const;
use kiln_lang::types::Scalar;

/// A loop around the place at hand.
pub(super) struct Frame {
    /// Positions in [`Emit::state`], of what there is:
    /// lanes that have not left the loop,
    live: Option<usize>,
    /// lanes that left it for a loop further out,
    gone: Option<usize>,
    /// per reduction, the total of each lane,
    pub totals: Vec<usize>,
    /// (with their operators,)
    pub operators: Vec<ReduceOp>,
    /// and per carried value what follows.
    slots: Vec<Slot>,
    /// Length of the state before the loop's own part.
    outer: usize,
}

impl Frame {
    /// Of the loop that is widened: it carries nothing.
    pub(super) fn home() -> Frame {
        Frame {
            live: None,
            gone: None,
            totals: Vec::new(),
            operators: Vec::new(),
            slots: Vec::new(),
            outer: 0,
        }
    }
}

/// A carried value of a loop. Its form inside is that of the loop's parameter.
#[derive(Clone, Copy)]
struct Slot {
    /// The parameter of the source's region at hand.
    param: Value,
    inside: Form,
    /// In lanes: what the lanes have that left this iteration early; at its start, what all have.
    pending: Option<usize>,
    /// A scalar inside, though lanes leave at different times: what each lane had last.
    last: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    Break,
    Continue,
}

/// A side of an `if` that is being written.
struct Arm {
    region: RegionId,
    end: End,
    state: Vec<Value>,
    mask: MaskId,
    /// The mask, if it is not the one from before.
    mask_value: Option<Value>,
}

/// What a loop in lanes carries, in order.
#[derive(Clone, Copy)]
enum Carried {
    Value(usize),
    State(usize),
}

/// Ops of a side, above which a test whether any lane takes it pays.
const LONG_SIDE: u32 = 24;

impl Emit<'_> {
    // ---- if

    pub(super) fn if_op(&mut self, id: OpId) {
        let cond = self.func.op(id).args[0];
        if self.forms.is_varying(cond) { self.varying_if(id) } else { self.uniform_if(id) }
    }

    fn uniform_if(&mut self, id: OpId) {
        let Op { args, results, regions, .. } = self.func.op(id).clone();
        let cond = self.scalar(args[0]);
        let dests = self.dests(&results);
        let arms = [0, 1].map(|side| self.arm(|emit| emit.region(regions[side], &dests)));
        let values = self.join(cond, arms, &dests);
        for (&result, value) in results.iter().zip(values) {
            self.bind(result, value);
        }
    }

    fn varying_if(&mut self, id: OpId) {
        let Op { args, mut results, regions, span, .. } = self.func.op(id).clone();
        let cond = self.lanes(args[0]);
        let outer = self.mask;
        let masks = [true, false].map(|holds| self.narrow(outer, cond, holds));
        let guards = [0, 1].map(|side| self.needs_guard(regions[side]));
        self.tally.branches += 1;
        self.tally.tests += guards.iter().filter(|&&guard| guard).count() as u32;
        let mut dests = self.dests(&results);
        let shared = self.shared(&mut results, &mut dests, [regions[0], regions[1]]);

        let mut values: Option<Vec<Value>> = None;
        let mut behind = masks;
        // What needs no guard goes first: the guarded side then joins the values itself, and costs nothing when it is skipped.
        let order = if guards == [true, false] { [1, 0] } else { [0, 1] };
        for side in order {
            self.mask = masks[side];
            let other = values.take();
            values = if guards[side] {
                let otherwise = match &other {
                    Some(other) => other.clone(),
                    None => dests.iter().map(|&dest| self.nothing(dest)).collect(),
                };
                let mut reaches_end = other.is_some();
                let joined = self.guard(&dests, otherwise, |emit| match emit.region(regions[side], &dests) {
                    End::Yield(own) => {
                        reaches_end = true;
                        End::Yield(emit.merge(cond, side, own, other))
                    }
                    End::Exit | End::Jump(_) => match other {
                        Some(other) => End::Yield(other),
                        None => End::Exit,
                    },
                });
                reaches_end.then_some(joined)
            } else {
                match self.region(regions[side], &dests) {
                    End::Yield(own) => Some(self.merge(cond, side, own, other)),
                    End::Exit | End::Jump(_) => other,
                }
            };
            behind[side] = self.mask;
            self.span = span;
        }
        for (position, &result) in results.iter().enumerate() {
            let value = match &values {
                Some(values) => values[position],
                None => self.nothing(dests[position]),
            };
            self.bind(result, value);
        }
        for (result, value) in shared {
            let value = self.give(value, self.forms.get(result));
            self.bind(result, value);
        }
        self.mask = if behind == masks { outer } else { self.either(behind) };
    }

    /// Takes out those results that are the same value on both sides: what they are.
    fn shared(
        &self,
        results: &mut Vec<Value>,
        dests: &mut Vec<Dest>,
        sides: [RegionId; 2],
    ) -> Vec<(Value, Value)> {
        let [Terminator::Yield(a), Terminator::Yield(b)] = sides.map(|side| &self.func.region(side).end)
        else {
            return Vec::new();
        };
        let list = results.iter().zip(a).zip(b);
        let shared = list.filter(|((_, a), b)| a == b).map(|((&result, &a), _)| (result, a)).collect();
        dests.retain(|dest| a[dest.position] != b[dest.position]);
        *results = dests.iter().map(|dest| results[dest.position]).collect();
        shared
    }

    /// Values of a varying `if` from those of one side and, if lanes reach its end, of the other.
    fn merge(&mut self, cond: Value, side: usize, own: Vec<Value>, other: Option<Vec<Value>>) -> Vec<Value> {
        let Some(other) = other else { return own };
        let pairs = own.into_iter().zip(other);
        pairs
            .map(|(own, other)| {
                let (a, b) = if side == 0 { (own, other) } else { (other, own) };
                self.select(cond, a, b)
            })
            .collect()
    }

    /// Lanes of either mask.
    fn either(&mut self, [a, b]: [MaskId; 2]) -> MaskId {
        match (a, b) {
            (NONE, other) | (other, NONE) => other,
            (a, b) => {
                let masks = vec![self.mask_value(a), self.mask_value(b)];
                let value = self.value(OpCode::Or, masks, Type::Mask(self.lanes));
                self.mask_of(value)
            }
        }
    }

    /// `if` any lane is on: what `inside` gives; else `otherwise`.
    fn guard(
        &mut self,
        dests: &[Dest],
        otherwise: Vec<Value>,
        inside: impl FnOnce(&mut Self) -> End,
    ) -> Vec<Value> {
        let mask = self.mask_value(self.mask);
        let any = self.any(mask);
        let taken = self.arm(inside);
        let skipped = self.arm(|_| End::Yield(otherwise));
        self.join(any, [taken, skipped], dests)
    }

    /// The rest of a region behind a place where lanes may have left.
    pub(super) fn guarded_rest(&mut self, region: RegionId, from: usize, dests: &[Dest]) -> End {
        self.tally.tests += 1;
        let mut otherwise: Vec<Value> = dests.iter().map(|&dest| self.nothing(dest)).collect();
        if let Terminator::Yield(values) = self.func.region(region).end.clone() {
            for (given, dest) in otherwise.iter_mut().zip(dests) {
                // Lanes that ended the iteration early go on with the scalar that both ends hand over: it is computed by now.
                let value = values[dest.position];
                if dest.form != Form::Varying && self.is_computed(value) {
                    *given = self.scalar(value);
                }
            }
        }
        let mut is_exit = false;
        let values = self.guard(dests, otherwise, |emit| {
            let end = emit.list(region, from, dests);
            is_exit = !matches!(end, End::Yield(_));
            end
        });
        if is_exit { End::Exit } else { End::Yield(values) }
    }

    /// Writes a region of an `if`; the state is as before afterwards.
    fn arm(&mut self, inside: impl FnOnce(&mut Self) -> End) -> Arm {
        let (state, mask) = (self.state.clone(), self.mask);
        let region = self.func.add_region();
        self.open.push(Vec::new());
        let end = inside(self);
        if matches!(end, End::Exit) {
            self.mask = NONE;
        }
        let mask_value = (self.mask != mask).then(|| self.mask_value(self.mask));
        self.func.regions[region.index()].ops = self.open.pop().unwrap_or_default();
        let after = std::mem::replace(&mut self.state, state);
        let after_mask = std::mem::replace(&mut self.mask, mask);
        Arm { region, end, state: after, mask: after_mask, mask_value }
    }

    /// Makes the `if` of two sides; gives their values, and goes on with their state.
    fn join(&mut self, cond: Value, arms: [Arm; 2], dests: &[Dest]) -> Vec<Value> {
        let reaches = |arm: &Arm| !matches!(arm.end, End::Jump(_));
        let changed: Vec<usize> = (0..self.state.len())
            .filter(|&at| arms.iter().any(|arm| reaches(arm) && arm.state[at] != self.state[at]))
            .collect();
        let changes_mask = arms.iter().any(|arm| reaches(arm) && arm.mask != self.mask);
        let mut types = Vec::new();
        for dest in dests {
            types.push(match dest.form {
                Form::Varying => self.in_lanes(dest.ty.scalar()),
                Form::Uniform | Form::Affine(_) | Form::Unknown => dest.ty,
            });
        }
        types.extend(changed.iter().map(|&at| self.func.ty(self.state[at])));
        if changes_mask {
            types.push(Type::Mask(self.lanes));
        }
        let is_left = !arms.iter().any(reaches);
        if is_left {
            types.clear();
        }
        let mut regions = Vec::with_capacity(2);
        for arm in arms {
            let mut values = match arm.end {
                End::Jump(end) => {
                    self.func.regions[arm.region.index()].end = end;
                    regions.push(arm.region);
                    continue;
                }
                End::Yield(values) => values,
                End::Exit => dests.iter().map(|&dest| self.nothing(dest)).collect(),
            };
            values.extend(changed.iter().map(|&at| arm.state[at]));
            if changes_mask {
                let mask = arm.mask_value.unwrap_or_else(|| self.mask_value(arm.mask));
                values.push(mask);
            }
            self.func.regions[arm.region.index()].end = Terminator::Yield(values);
            regions.push(arm.region);
        }
        let op = self.op_at(self.level(), OpCode::If, vec![cond], &types);
        self.func.ops[op.index()].regions = regions;
        let mut results = self.func.op(op).results.clone();
        if is_left {
            // Nothing behind it is reached.
            return dests.iter().map(|&dest| self.nothing(dest)).collect();
        }
        if changes_mask && let Some(mask) = results.pop() {
            self.mask = self.mask_of(mask);
        }
        let states = results.split_off(dests.len());
        for (at, value) in changed.into_iter().zip(states) {
            self.state[at] = value;
        }
        results
    }

    // ---- leaving

    /// `break` or `continue` at the end of a region.
    pub(super) fn leave(&mut self, region: RegionId, depth: u32, values: &[Value], how: Leave) -> End {
        let target = self.frames.len() - 1 - depth as usize;
        if !self.forms.is_masked_end(region) {
            let mut args = Vec::with_capacity(values.len());
            for (position, &value) in values.iter().enumerate() {
                let form = self.frames[target].slots[position].inside;
                args.push(self.give(value, form));
            }
            args.extend(self.frames[target].totals.iter().map(|&at| self.state[at]));
            return End::Jump(match how {
                Leave::Break => Terminator::Break(depth, args),
                Leave::Continue => Terminator::Continue(depth, args),
            });
        }
        for position in target + 1..self.frames.len() {
            self.take_away(self.frames[position].live);
            if let Some(gone) = self.frames[position].gone {
                let masks = vec![self.state[gone], self.mask_value(self.mask)];
                self.state[gone] = self.value(OpCode::Or, masks, Type::Mask(self.lanes));
            }
        }
        for (position, &value) in values.iter().enumerate() {
            let Slot { param, pending, last, .. } = self.frames[target].slots[position];
            // What they had when the iteration began is what stands there.
            if value == param {
                continue;
            }
            for at in [pending, last].into_iter().flatten() {
                let (mask, lanes) = (self.mask_value(self.mask), self.lanes(value));
                self.state[at] = self.select(mask, lanes, self.state[at]);
            }
        }
        if how == Leave::Break {
            self.take_away(self.frames[target].live);
        }
        self.mask = NONE;
        End::Exit
    }

    /// Lanes that are on leave those that are kept there.
    fn take_away(&mut self, at: Option<usize>) {
        let Some(at) = at else { return };
        self.state[at] = match self.others_of(self.mask, self.state[at]) {
            Some(others) => self.mask_value(others),
            None => {
                let mask = self.mask_value(self.mask);
                self.without(self.state[at], mask)
            }
        };
    }

    // ---- loops

    pub(super) fn for_op(&mut self, id: OpId) {
        let Op { code: OpCode::For(data), args, results, regions, .. } = self.func.op(id).clone() else {
            return;
        };
        let facts = self.forms.facts(id);
        let rank = data.rank as usize;
        let params = self.func.region(regions[0]).params.clone();
        let varying_extent = !args[..rank].iter().all(|&extent| self.forms.is_uniform(extent));
        let (carried, mut initial) =
            self.begin_loop(&params[rank..], &args[rank..], &results, facts, &data.reductions);
        if varying_extent {
            // k = 0; while any lane is on for which k < its extent { … k += 1 }
            let extent = self.lanes(args[0]);
            let (zero, one) = (self.constant(Const::I64(0)), self.constant(Const::I64(1)));
            initial.insert(0, zero);
            let types: Vec<Type> = initial.iter().map(|&value| self.func.ty(value)).collect();
            let test = self.loop_region(|emit, region| {
                let k = emit.func.add_param(region, Type::I64, None);
                emit.bind_params(region, &carried, &params[rank..]);
                let ks = emit.value(OpCode::Splat, vec![k], emit.in_lanes(Scalar::I64));
                let inside = emit.value(OpCode::Lt, vec![ks, extent], Type::Mask(emit.lanes));
                let going = emit.keep_live(inside);
                let mut values = vec![going, k];
                values.extend(emit.carried_now(&carried, &params[rank..]));
                Terminator::Yield(values)
            });
            let body = self.loop_region(|emit, region| {
                let k = emit.func.add_param(region, Type::I64, None);
                emit.bind_params(region, &carried, &params[rank..]);
                emit.bind_as(params[0], k, Form::Uniform);
                let next_k = emit.value(OpCode::Add, vec![k, one], Type::I64);
                let end = emit.iteration(regions[0], &carried, &params[rank..]);
                match end {
                    Err(jump) => jump,
                    Ok(mut values) => {
                        values.insert(0, next_k);
                        Terminator::Yield(values)
                    }
                }
            });
            let op = self.op_at(self.level(), OpCode::While, initial, &types);
            self.func.ops[op.index()].regions = vec![test, body];
            let out = self.func.op(op).results[1..].to_vec();
            self.end_loop(&carried, &out, &args[rank..], &results);
            return;
        }
        let body = self.loop_region(|emit, region| {
            for &ordinal in &params[..rank] {
                let k = emit.func.add_param(region, Type::I64, None);
                emit.bind_as(ordinal, k, Form::Uniform);
            }
            emit.bind_params(region, &carried, &params[rank..]);
            match emit.iteration(regions[0], &carried, &params[rank..]) {
                Err(jump) => jump,
                Ok(values) => {
                    emit.break_when_none(&values);
                    Terminator::Yield(values)
                }
            }
        });
        let types: Vec<Type> = initial.iter().map(|&value| self.func.ty(value)).collect();
        let plain = ForData::plain(data.rank, data.span);
        let mut operands = self.scalars(&args[..rank]);
        operands.append(&mut initial);
        let op = self.op_at(self.level(), OpCode::For(Box::new(plain)), operands, &types);
        self.func.ops[op.index()].regions = vec![body];
        let out = self.func.op(op).results.clone();
        self.end_loop(&carried, &out, &args[rank..], &results);
    }

    pub(super) fn while_op(&mut self, id: OpId) {
        let Op { args, results, regions, .. } = self.func.op(id).clone();
        let facts = self.forms.facts(id);
        let [test_params, body_params] = [0, 1].map(|side| self.func.region(regions[side]).params.clone());
        let (carried, initial) = self.begin_loop(&test_params, &args, &results, facts, &[]);
        let types: Vec<Type> = initial.iter().map(|&value| self.func.ty(value)).collect();
        let test = self.loop_region(|emit, region| {
            emit.bind_params(region, &carried, &test_params);
            emit.while_test(regions[0], &carried, &test_params)
        });
        let body = self.loop_region(|emit, region| {
            emit.bind_params(region, &carried, &body_params);
            match emit.iteration(regions[1], &carried, &body_params) {
                Err(jump) => jump,
                Ok(values) => Terminator::Yield(values),
            }
        });
        let op = self.op_at(self.level(), OpCode::While, initial, &types);
        self.func.ops[op.index()].regions = vec![test, body];
        let out = self.func.op(op).results.clone();
        self.end_loop(&carried, &out, &args, &results);
    }

    /// The first region of a `while`: the source's, then who goes on.
    fn while_test(&mut self, source: RegionId, carried: &[Carried], params: &[Value]) -> Terminator {
        let Terminator::Yield(yields) = self.func.region(source).end.clone() else {
            panic!("bug: a `while` of `{}` has no test", self.func.name)
        };
        let slots = self.frames[self.frames.len() - 1].slots.clone();
        let cond_dest = Dest { form: self.forms.get(yields[0]), ty: Type::BOOL, position: 0 };
        let mut dests = vec![cond_dest];
        for (slot, &param) in slots.iter().zip(params) {
            dests.push(Dest { form: slot.inside, ty: self.func.ty(param), position: dests.len() });
        }
        let live = self.frames[self.frames.len() - 1].live;
        let end = match live {
            Some(_) if self.needs_guard(source) => {
                // The last lane may be gone.
                let otherwise: Vec<Value> = dests.iter().map(|&dest| self.nothing(dest)).collect();
                End::Yield(self.guard(&dests, otherwise, |emit| emit.region(source, &dests)))
            }
            _ => self.region(source, &dests),
        };
        let End::Yield(mut values) = end else {
            panic!("bug: a `while` of `{}` is left from its test", self.func.name)
        };
        let cond = values.remove(0);
        let Some(live) = live else {
            values.splice(0..0, [cond]);
            values.extend(self.states(carried));
            return Terminator::Yield(values);
        };
        // Lanes that were on take the values of the test, whether they go on or not.
        let was_live = self.state[live];
        for (position, slot) in slots.iter().enumerate() {
            if let Some(at) = slot.pending {
                values[position] = self.select(was_live, values[position], self.state[at]);
            }
            if let Some(at) = slot.last
                && yields[1 + position] != params[position]
            {
                let lanes = self.lanes(yields[1 + position]);
                self.state[at] = self.select(was_live, lanes, self.state[at]);
            }
        }
        let going = if cond_dest.form == Form::Varying {
            self.keep_live(cond)
        } else {
            let any = self.any(was_live);
            self.value(OpCode::And, vec![cond, any], Type::BOOL)
        };
        values.insert(0, going);
        values.extend(self.states(carried));
        Terminator::Yield(values)
    }

    /// Enters a loop: its frame, what it carries, and what goes in.
    fn begin_loop(
        &mut self,
        params: &[Value],
        initial: &[Value],
        results: &[Value],
        facts: Facts,
        reductions: &[Reduction],
    ) -> (Vec<Carried>, Vec<Value>) {
        let mut carried = Vec::new();
        let mut values = Vec::new();
        let outer = self.state.len();
        let mut frame = Frame { outer, ..Frame::home() };
        for (position, &param) in params.iter().enumerate() {
            let inside = self.forms.get(param);
            carried.push(Carried::Value(position));
            values.push(self.give(initial[position], inside));
            frame.slots.push(Slot { param, inside, pending: None, last: None });
        }
        let mut add = |emit: &mut Self, value: Value| {
            emit.state.push(value);
            carried.push(Carried::State(emit.state.len() - 1));
            values.push(value);
            emit.state.len() - 1
        };
        for reduction in reductions {
            let bits = kiln_abi::identity(reduction.op, kind_of(reduction.ty));
            let identity = self.constant_lanes(const_from_bits(bits, reduction.ty));
            frame.totals.push(add(self, identity));
            frame.operators.push(reduction.op);
        }
        if facts.diverges {
            for (position, slot) in frame.slots.iter_mut().enumerate() {
                let is_number = !self.func.ty(params[position]).is_array();
                if slot.inside != Form::Varying && is_number && self.forms.is_used(results[position]) {
                    let lanes = self.lanes(initial[position]);
                    slot.last = Some(add(self, lanes));
                }
            }
            let live = self.mask_value(self.mask);
            frame.live = Some(add(self, live));
            self.tally.divergent_loops += 1;
        }
        if facts.crossed {
            let none = self.mask_value(NONE);
            frame.gone = Some(add(self, none));
            for at in 0..outer {
                carried.push(Carried::State(at));
                values.push(self.state[at]);
            }
        }
        // Not carried: it begins anew with each iteration.
        for (position, slot) in frame.slots.iter_mut().enumerate() {
            let is_kept = facts.continues || facts.diverges && self.forms.is_used(results[position]);
            if slot.inside == Form::Varying && is_kept {
                self.state.push(values[position]);
                slot.pending = Some(self.state.len() - 1);
            }
        }
        self.frames.push(frame);
        (carried, values)
    }

    /// A region of a loop under construction, with the mask and state restored afterwards.
    fn loop_region(&mut self, inside: impl FnOnce(&mut Self, RegionId) -> Terminator) -> RegionId {
        let (state, mask) = (self.state.clone(), self.mask);
        let region = self.func.add_region();
        self.open.push(Vec::new());
        let end = inside(self, region);
        self.func.regions[region.index()].ops = self.open.pop().unwrap_or_default();
        self.func.regions[region.index()].end = end;
        (self.state, self.mask) = (state, mask);
        region
    }

    /// Parameters for what is carried, bound to the parameters of the source's region.
    fn bind_params(&mut self, region: RegionId, carried: &[Carried], params: &[Value]) {
        let frame = self.frames.len() - 1;
        for &what in carried {
            match what {
                Carried::Value(position) => {
                    let Slot { inside, pending, .. } = self.frames[frame].slots[position];
                    self.frames[frame].slots[position].param = params[position];
                    let elem = self.func.ty(params[position]);
                    let ty = if inside == Form::Varying { self.in_lanes(elem.scalar()) } else { elem };
                    let param = self.func.add_param(region, ty, None);
                    self.bind_as(params[position], param, inside);
                    if let Some(at) = pending {
                        self.state[at] = param;
                    }
                }
                Carried::State(at) => {
                    let ty = self.func.ty(self.state[at]);
                    self.state[at] = self.func.add_param(region, ty, None);
                }
            }
        }
        if let Some(live) = self.frames[frame].live {
            let value = self.state[live];
            self.mask = self.mask_of(value);
        }
    }

    /// Only lanes of `mask` stay in the innermost loop; does any?
    fn keep_live(&mut self, mask: Value) -> Value {
        let Some(live) = self.frames[self.frames.len() - 1].live else {
            panic!("bug: a loop of `{}` diverges unseen", self.func.name)
        };
        let old = self.state[live];
        let new = self.value(OpCode::And, vec![old, mask], Type::Mask(self.lanes));
        self.state[live] = new;
        self.any(new)
    }

    /// The body of a loop; gives what it carries on, or how all lanes leave.
    fn iteration(
        &mut self,
        source: RegionId,
        carried: &[Carried],
        params: &[Value],
    ) -> Result<Vec<Value>, Terminator> {
        let frame = self.frames.len() - 1;
        let slots = self.frames[frame].slots.clone();
        let dest = |(position, (slot, &param)): (usize, (&Slot, &Value))| Dest {
            form: slot.inside,
            ty: self.func.ty(param),
            position,
        };
        let dests: Vec<Dest> = slots.iter().zip(params).enumerate().map(dest).collect();
        let end = self.region(source, &dests);
        let mut values = Vec::with_capacity(carried.len());
        match end {
            End::Jump(jump) => return Err(jump),
            End::Yield(given) => {
                for (position, slot) in slots.iter().enumerate() {
                    let mut value = given[position];
                    if let Some(at) = slot.pending
                        && self.state[at] != value
                    {
                        let on = self.mask_value(self.mask);
                        value = self.select(on, value, self.state[at]);
                    }
                    if let Some(at) = slot.last {
                        let on = self.mask_value(self.mask);
                        let lanes = self.spread(value, slot.inside);
                        self.state[at] = self.select(on, lanes, self.state[at]);
                    }
                    values.push(value);
                }
            }
            End::Exit => {
                for (position, slot) in slots.iter().enumerate() {
                    let value = match slot.pending {
                        Some(at) => self.state[at],
                        // No lane goes on with it.
                        None => self.give(params[position], slot.inside),
                    };
                    values.push(value);
                }
            }
        }
        values.extend(self.states(carried));
        Ok(values)
    }

    /// A scalar that was just computed, in lanes.
    fn spread(&mut self, scalar: Value, form: Form) -> Value {
        let ty = self.in_lanes(self.func.ty(scalar).scalar());
        match form {
            Form::Affine(1) => self.value(OpCode::Iota, vec![scalar], ty),
            Form::Affine(stride) => {
                let steps = self.steps(ty.scalar(), stride);
                let first = self.value(OpCode::Splat, vec![scalar], ty);
                self.value(OpCode::Add, vec![first, steps], ty)
            }
            Form::Uniform | Form::Unknown | Form::Varying => self.value(OpCode::Splat, vec![scalar], ty),
        }
    }

    fn states(&self, carried: &[Carried]) -> Vec<Value> {
        let state = |what: &Carried| match *what {
            Carried::Value(_) => None,
            Carried::State(at) => Some(self.state[at]),
        };
        carried.iter().filter_map(state).collect()
    }

    /// What is carried at the start of an iteration.
    fn carried_now(&mut self, carried: &[Carried], params: &[Value]) -> Vec<Value> {
        let slots = self.frames[self.frames.len() - 1].slots.clone();
        let mut values: Vec<Value> =
            slots.iter().zip(params).map(|(slot, &param)| self.give(param, slot.inside)).collect();
        values.extend(self.states(carried));
        values
    }

    /// `if` no lane is left in the innermost loop, leaves it.
    fn break_when_none(&mut self, values: &[Value]) {
        let Some(live) = self.frames[self.frames.len() - 1].live else { return };
        let any = self.any(self.state[live]);
        let [stay, go] = [(); 2].map(|()| self.func.add_region());
        self.func.regions[stay.index()].end = Terminator::Yield(Vec::new());
        self.func.regions[go.index()].end = Terminator::Break(0, values.to_vec());
        let op = self.op_at(self.level(), OpCode::If, vec![any], &[]);
        self.func.ops[op.index()].regions = vec![stay, go];
    }

    /// Leaves a loop: results and the state of the loops around.
    fn end_loop(&mut self, carried: &[Carried], out: &[Value], initial: &[Value], results: &[Value]) {
        let Some(frame) = self.frames.pop() else { return };
        for (&what, &value) in carried.iter().zip(out) {
            if let Carried::State(at) = what {
                self.state[at] = value;
            }
        }
        for (&what, &value) in carried.iter().zip(out) {
            let Carried::Value(position) = what else { continue };
            let Slot { inside, last, .. } = frame.slots[position];
            let result = results[position];
            match last {
                Some(at) => self.bind_as(result, self.state[at], Form::Varying),
                None if self.forms.is_varying(result) && inside != Form::Varying => {
                    // Nobody uses it, or it would have its lanes.
                    let lanes = self.lanes(initial[position]);
                    self.bind_as(result, lanes, Form::Varying);
                }
                None => self.bind_as(result, value, self.forms.get(result)),
            }
        }
        for (position, &at) in frame.totals.iter().enumerate() {
            let total = self.state[at];
            self.bind_as(results[frame.slots.len() + position], total, Form::Varying);
        }
        if let Some(gone) = frame.gone {
            let (on, gone) = (self.mask_value(self.mask), self.state[gone]);
            let rest = self.without(on, gone);
            self.mask = self.mask_of(rest);
        }
        self.state.truncate(frame.outer);
    }

    // ---- when to test

    /// Must, or should, the region stand behind a test whether any lane is on?
    pub(super) fn needs_guard(&self, region: RegionId) -> bool {
        let ops = &self.func.region(region).ops;
        ops.iter().any(|&op| self.must_be_guarded(op)) || self.length(region) > LONG_SIDE
    }

    pub(super) fn rest_needs_guard(&self, region: RegionId, from: usize) -> bool {
        let rest = &self.func.region(region).ops[from..];
        rest.iter().any(|&op| self.must_be_guarded(op))
            || rest.iter().map(|&op| self.length_of(op)).sum::<u32>() > LONG_SIDE
    }

    /// Would it be wrong, or costly, to run the op without a lane that is on?
    fn must_be_guarded(&self, id: OpId) -> bool {
        let op = self.func.op(id);
        match &op.code {
            OpCode::For(_) | OpCode::While | OpCode::Update(_) | OpCode::UpdateFma => true,
            OpCode::Load => self.forms.is_uniform(op.results[0]),
            // What a check passes is used behind it.
            OpCode::Check(_) => false,
            OpCode::If => {
                let inside = |region: &RegionId| {
                    self.func.region(*region).ops.iter().any(|&inner| self.must_be_guarded(inner))
                };
                // A varying `if` has guards of its own.
                !self.forms.is_varying(op.args[0]) && op.regions.iter().any(inside)
            }
            _ => false,
        }
    }

    /// Ops in lanes that run when no test skips them.
    fn length(&self, region: RegionId) -> u32 {
        self.func.region(region).ops.iter().map(|&op| self.length_of(op)).sum()
    }

    fn length_of(&self, id: OpId) -> u32 {
        let op = self.func.op(id);
        match &op.code {
            OpCode::If => op.regions.iter().map(|&region| self.length(region)).sum(),
            OpCode::Draw { .. } => LONG_SIDE + 1,
            _ if op.results.iter().any(|&result| self.forms.is_varying(result)) => 1,
            _ => 0,
        }
    }
}
