//! Which values are the same in all lanes, which step from lane to lane, and where lanes part.
//!
//! In: a function and a loop to widen. Out: [`Forms`]: a form per value of the body, what happens to the lanes in each inner loop, and which ends of regions only some lanes
//! reach. Holds: forms only grow (unknown, then uniform or affine, then varying), so the walk is repeated until nothing changes; a value is called uniform only if all lanes that
//! are on where it is computed have it.
//!
//! Lanes part at a varying `if` and meet again behind it, unless one of its sides leaves or continues a loop. *Full* for a loop is a place where all lanes that are
//! still in its current iteration are on. A `break` at a place that is not full for its loop takes only some lanes away: the loop *diverges*, and runs until none is left.

use crate::ir::{Func, OpCode, OpId, RegionId, Terminator, Type, Value};
use crate::passes::{as_integer, extents_of};
use kiln_lang::types::Scalar;

/// How a value differs from lane to lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Not reached by the walk yet.
    Unknown,
    /// One value for all lanes.
    Uniform,
    /// Lane l has the value of lane 0 plus l times this; integers of 64 bits.
    Affine(i64),
    /// Anything.
    Varying,
}

impl Form {
    fn join(self, other: Form) -> Form {
        match (self, other) {
            (Form::Unknown, form) | (form, Form::Unknown) => form,
            (a, b) if a == b => a,
            _ => Form::Varying,
        }
    }
}

/// What happens to the lanes in a loop inside the widened one.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// Lanes leave it after different numbers of iterations.
    pub diverges: bool,
    /// Some lanes end an iteration early, while others go on with it.
    pub continues: bool,
    /// Some lanes leave from inside it for a loop further out.
    pub crossed: bool,
}

pub(super) struct Forms {
    of: Vec<Form>,
    facts: Vec<Facts>,
    masked_ends: Vec<bool>,
    used: Vec<bool>,
    /// Defined by the body.
    own: Vec<bool>,
}

impl Forms {
    /// `home`: the loop to widen.
    pub(super) fn find(func: &Func, home: OpId) -> Forms {
        let mut forms = Forms {
            of: vec![Form::Uniform; func.values.len()],
            facts: vec![Facts::default(); func.ops.len()],
            masked_ends: vec![false; func.regions.len()],
            used: vec![false; func.values.len()],
            own: vec![false; func.values.len()],
        };
        let body = func.op(home).regions[0];
        forms.begin(func, body);
        let ordinals = &func.region(body).params;
        for (position, &ordinal) in ordinals.iter().enumerate() {
            let is_last = position + 1 == ordinals.len();
            forms.of[ordinal.index()] = if is_last { Form::Affine(1) } else { Form::Uniform };
        }
        loop {
            let around = vec![Around { op: home, floor: 0 }];
            let mut walk = Walk { func, forms: &mut forms, loops: around, changed: false };
            walk.region(body, 0);
            if !walk.changed {
                return forms;
            }
        }
    }

    /// Marks what the body defines, and what it uses.
    fn begin(&mut self, func: &Func, region: RegionId) {
        for &param in &func.region(region).params {
            self.of[param.index()] = Form::Unknown;
            self.own[param.index()] = true;
        }
        for &id in &func.region(region).ops {
            let op = func.op(id);
            op.args.iter().for_each(|&arg| self.used[arg.index()] = true);
            for &result in &op.results {
                self.of[result.index()] = Form::Unknown;
                self.own[result.index()] = true;
            }
            op.regions.iter().for_each(|&inner| self.begin(func, inner));
        }
        func.region(region).end.args().iter().for_each(|&arg| self.used[arg.index()] = true);
    }

    /// The form of a value of the source; of one that is not the body's own, uniform.
    pub(super) fn get(&self, value: Value) -> Form {
        self.of.get(value.index()).copied().unwrap_or(Form::Uniform)
    }

    pub(super) fn is_varying(&self, value: Value) -> bool {
        self.get(value) == Form::Varying
    }

    pub(super) fn is_uniform(&self, value: Value) -> bool {
        self.get(value) == Form::Uniform
    }

    /// What happens in an inner loop.
    pub(super) fn facts(&self, op: OpId) -> Facts {
        self.facts[op.index()]
    }

    /// Does the region end with a `break` or `continue` that only the lanes which reach it take?
    pub(super) fn is_masked_end(&self, region: RegionId) -> bool {
        self.masked_ends[region.index()]
    }

    /// Is it defined by the body?
    pub(super) fn is_own(&self, value: Value) -> bool {
        self.own[value.index()]
    }

    /// Does anything in the body use the value?
    pub(super) fn is_used(&self, value: Value) -> bool {
        self.used[value.index()]
    }
}

/// A loop around the place at hand.
struct Around {
    op: OpId,
    /// At places in the rest of its iteration, no loop above this number (counted from the widened one, 0) is full.
    floor: usize,
}

struct Walk<'w> {
    func: &'w Func,
    forms: &'w mut Forms,
    loops: Vec<Around>,
    changed: bool,
}

impl Walk<'_> {
    fn set(&mut self, value: Value, form: Form) {
        let old = self.forms.get(value);
        let new = old.join(form);
        if new != old {
            self.forms.of[value.index()] = new;
            self.changed = true;
        }
    }

    fn note(&mut self, op: OpId, facts: Facts) {
        let old = self.forms.facts[op.index()];
        let new = Facts {
            diverges: old.diverges || facts.diverges,
            continues: old.continues || facts.continues,
            crossed: old.crossed || facts.crossed,
        };
        if new != old {
            self.forms.facts[op.index()] = new;
            self.changed = true;
        }
    }

    /// `under`: loops with smaller numbers are not full here, for the sake of the `if`s around.
    fn region(&mut self, region: RegionId, under: usize) {
        let func = self.func;
        for &op in &func.region(region).ops {
            self.op(op, under);
        }
        match &func.region(region).end {
            Terminator::Break(depth, values) => self.leave(region, *depth, values, under, Leave::Break),
            Terminator::Continue(depth, values) => self.leave(region, *depth, values, under, Leave::Continue),
            Terminator::Open | Terminator::Yield(_) | Terminator::Return(_) => {}
        }
    }

    fn leave(&mut self, region: RegionId, depth: u32, values: &[Value], under: usize, how: Leave) {
        let func = self.func;
        let target = self.loops.len() - 1 - depth as usize;
        let full_from = self.loops.iter().fold(under, |least, around| least.max(around.floor));
        let id = self.loops[target].op;
        let is_masked = full_from > target || self.forms.facts(id).diverges;
        if is_masked {
            self.forms.masked_ends[region.index()] = true;
            for position in target + 1..self.loops.len() {
                let facts = Facts { diverges: true, crossed: true, continues: false };
                self.note(self.loops[position].op, facts);
            }
            match how {
                Leave::Break => self.note(id, Facts { diverges: true, ..Facts::default() }),
                Leave::Continue => {
                    self.note(id, Facts { continues: true, ..Facts::default() });
                    let floor = &mut self.loops[target].floor;
                    *floor = (*floor).max(target + 1);
                }
            }
        }
        let op = func.op(id);
        let extents = extents_of(&op.code);
        for (position, &value) in values.iter().enumerate() {
            match how {
                Leave::Break => self.set(op.results[position], self.forms.get(value)),
                Leave::Continue => {
                    let body = op.regions[op.regions.len() - 1];
                    // Lanes that end the iteration early agree with the others if both hand over the same value.
                    let agrees =
                        matches!(&func.region(body).end, Terminator::Yield(last) if last[position] == value);
                    let form = if is_masked && !agrees { Form::Varying } else { self.forms.get(value) };
                    self.set(func.region(op.regions[0]).params[extents + position], form);
                }
            }
        }
    }

    fn op(&mut self, id: OpId, under: usize) {
        let func = self.func;
        let op = func.op(id);
        match &op.code {
            OpCode::If => self.if_op(id, under),
            OpCode::For(_) => self.for_op(id, under),
            OpCode::While => self.while_op(id, under),
            OpCode::Load => {
                let is_uniform = op.args[1..].iter().all(|&index| self.forms.is_uniform(index));
                self.set(op.results[0], if is_uniform { Form::Uniform } else { Form::Varying });
            }
            code if code.effects().pure => {
                let form = self.pure(id);
                op.results.iter().for_each(|&result| self.set(result, form));
            }
            _ => op.results.iter().for_each(|&result| self.set(result, Form::Uniform)),
        }
    }

    fn pure(&self, id: OpId) -> Form {
        let op = self.func.op(id);
        let form = |position: usize| self.forms.get(op.args[position]);
        let mut all = Form::Uniform;
        for position in 0..op.args.len() {
            match form(position) {
                Form::Varying => return Form::Varying,
                Form::Affine(_) => all = Form::Varying,
                Form::Uniform | Form::Unknown => {}
            }
        }
        if all == Form::Uniform {
            return all;
        }
        let is_word = |value: Value| matches!(self.func.ty(value), Type::Scalar(Scalar::I64 | Scalar::U64));
        if !is_word(op.results[0]) || !op.args.iter().all(|&arg| is_word(arg)) {
            return Form::Varying;
        }
        let stride = |position: usize| match form(position) {
            Form::Affine(stride) => stride,
            Form::Uniform | Form::Varying | Form::Unknown => 0,
        };
        let constant = |position: usize| self.func.as_const(op.args[position]).and_then(as_integer);
        let affine = |stride: i64| if stride == 0 { Form::Uniform } else { Form::Affine(stride) };
        match op.code {
            OpCode::Add => affine(stride(0).wrapping_add(stride(1))),
            OpCode::Sub => affine(stride(0).wrapping_sub(stride(1))),
            OpCode::Neg => affine(stride(0).wrapping_neg()),
            OpCode::Mul => match (constant(0), constant(1)) {
                (_, Some(factor)) => affine(stride(0).wrapping_mul(factor as i64)),
                (Some(factor), _) => affine(stride(1).wrapping_mul(factor as i64)),
                (None, None) => Form::Varying,
            },
            OpCode::Shl => match constant(1) {
                Some(count) => affine(stride(0).wrapping_shl(count as u32)),
                None => Form::Varying,
            },
            // Between integers of 64 bits both keep the bits.
            OpCode::Convert | OpCode::Bitcast => form(0),
            _ => Form::Varying,
        }
    }

    fn if_op(&mut self, id: OpId, under: usize) {
        let func = self.func;
        let op = func.op(id);
        let is_varying = self.forms.is_varying(op.args[0]);
        let inside = if is_varying { self.loops.len() } else { under };
        op.regions.iter().for_each(|&region| self.region(region, inside));
        let yields = [0, 1].map(|side| match &func.region(op.regions[side]).end {
            Terminator::Yield(values) => Some(values),
            _ => None,
        });
        for (position, &result) in op.results.iter().enumerate() {
            let form = match yields.map(|values| values.map(|values| values[position])) {
                [Some(a), Some(b)] if is_varying && a != b => Form::Varying,
                [a, b] => {
                    let form =
                        |value: Option<Value>| value.map_or(Form::Unknown, |value| self.forms.get(value));
                    form(a).join(form(b))
                }
            };
            self.set(result, form);
        }
    }

    fn enter(&mut self, id: OpId) {
        let number = self.loops.len();
        let floor = if self.forms.facts(id).diverges { number } else { 0 };
        self.loops.push(Around { op: id, floor });
    }

    fn for_op(&mut self, id: OpId, under: usize) {
        let func = self.func;
        let op = func.op(id);
        let extents = extents_of(&op.code);
        if op.args[..extents].iter().any(|&extent| !self.forms.is_uniform(extent)) {
            self.note(id, Facts { diverges: true, ..Facts::default() });
        }
        let body = op.regions[0];
        let params = &func.region(body).params;
        params[..extents].iter().for_each(|&ordinal| self.set(ordinal, Form::Uniform));
        for (&param, &initial) in params[extents..].iter().zip(&op.args[extents..]) {
            self.set(param, self.forms.get(initial));
        }
        self.enter(id);
        self.region(body, under);
        self.loops.pop();
        if let Terminator::Yield(values) = &func.region(body).end {
            for (&param, &value) in params[extents..].iter().zip(values) {
                self.set(param, self.forms.get(value));
            }
        }
        let carried = op.args.len() - extents;
        self.settle(id, &params[extents..], &op.results[..carried]);
        // The total of each lane.
        op.results[carried..].iter().for_each(|&total| self.set(total, Form::Varying));
    }

    fn while_op(&mut self, id: OpId, under: usize) {
        let func = self.func;
        let op = func.op(id);
        let [test, body] = [op.regions[0], op.regions[1]];
        let params = &func.region(test).params;
        for (&param, &initial) in params.iter().zip(&op.args) {
            self.set(param, self.forms.get(initial));
        }
        self.enter(id);
        self.region(test, under);
        if let Terminator::Yield(values) = &func.region(test).end {
            if self.forms.is_varying(values[0]) {
                self.note(id, Facts { diverges: true, ..Facts::default() });
            }
            for (position, &value) in values[1..].iter().enumerate() {
                // One slot holds the value in both regions.
                let form = self.forms.get(value).join(self.forms.get(params[position]));
                self.set(params[position], form);
                self.set(func.region(body).params[position], form);
                self.set(op.results[position], self.forms.get(value));
            }
        }
        self.region(body, under);
        self.loops.pop();
        if let Terminator::Yield(values) = &func.region(body).end {
            for (&param, &value) in params.iter().zip(values) {
                self.set(param, self.forms.get(value));
            }
        }
        self.settle(id, params, &op.results);
    }

    /// Forms of a loop's results. Where lanes leave at different times each has its own; else results and parameters share a slot.
    fn settle(&mut self, id: OpId, params: &[Value], results: &[Value]) {
        let diverges = self.forms.facts(id).diverges;
        for (&param, &result) in params.iter().zip(results) {
            if self.func.ty(param).is_array() {
                self.set(result, Form::Uniform);
            } else if diverges {
                self.set(result, Form::Varying);
            } else {
                self.set(result, self.forms.get(param));
                self.set(param, self.forms.get(result));
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Leave {
    Break,
    Continue,
}
