//! The shape of a function: what stands in what, and which memory an array value may be.
//!
//! In: a function as lowered. Out: parents of regions and ops, loops around and within, the arrays that flow into an array value.
//! Holds: computed once per function; nothing here depends on which loop is being judged.

use crate::ir::{Def, Func, OpCode, OpId, RegionId, Terminator, Value};
use kiln_lang::tree::Const;
use std::collections::HashMap;

/// See the module.
pub struct Nest {
    /// The op that holds a region; `None` for the body of the function.
    holder: Vec<Option<OpId>>,
    /// The region that lists an op; `None` for dead ops.
    home: Vec<Option<RegionId>>,
    /// Position of an op in its region.
    position: Vec<usize>,
    /// Arrays that may become the value of a carried array.
    sources: HashMap<Value, Vec<Value>>,
    /// Arrays that may be the same memory at some time have one class.
    class: HashMap<Value, Value>,
}

/// A value that a loop carries: `init + step * ordinal`.
pub struct Counted {
    /// At the first iteration.
    pub init: Value,
    /// Added by each.
    pub step: i128,
    /// The ordinal of the loop, if it is a `for` with one extent.
    pub ordinal: Option<Value>,
}

impl Nest {
    /// Of a function.
    pub fn new(func: &Func) -> Nest {
        let mut nest = Nest {
            holder: vec![None; func.regions.len()],
            home: vec![None; func.ops.len()],
            position: vec![0; func.ops.len()],
            sources: HashMap::new(),
            class: HashMap::new(),
        };
        let mut open = vec![func.body];
        let mut regions = Vec::new();
        while let Some(region) = open.pop() {
            regions.push(region);
            for (position, &id) in func.region(region).ops.iter().enumerate() {
                nest.home[id.index()] = Some(region);
                nest.position[id.index()] = position;
                for &inner in &func.op(id).regions {
                    nest.holder[inner.index()] = Some(id);
                    open.push(inner);
                }
            }
        }
        for region in regions {
            nest.flow(func, region);
        }
        nest.classify(func);
        nest
    }

    /// Where the values go that a region's end hands over, and those that a loop starts with.
    fn flow(&mut self, func: &Func, region: RegionId) {
        if let Some(holder) = self.holder[region.index()]
            && func.op(holder).regions[0] == region
        {
            let op = func.op(holder);
            let inits = &op.args[self.inits(func, holder)..];
            match &op.code {
                OpCode::For(data) => {
                    self.flows(func, inits, &func.region(region).params[data.rank as usize..]);
                    self.flows(func, inits, &op.results);
                }
                OpCode::While => self.flows(func, inits, &func.region(region).params),
                _ => {}
            }
        }
        match &func.region(region).end {
            Terminator::Open | Terminator::Return(_) => {}
            Terminator::Yield(values) => {
                let Some(holder) = self.holder[region.index()] else { return };
                let op = func.op(holder);
                match &op.code {
                    OpCode::For(_) => self.next_iteration(func, holder, values),
                    OpCode::While if op.regions[0] == region => {
                        let values = &values[1.min(values.len())..];
                        self.flows(func, values, &func.region(op.regions[1]).params);
                        self.flows(func, values, &op.results);
                    }
                    OpCode::While => self.next_iteration(func, holder, values),
                    _ => self.flows(func, values, &op.results),
                }
            }
            Terminator::Break(levels, values) => {
                if let Some(target) = self.enclosing_loop(func, region, *levels) {
                    self.flows(func, values, &func.op(target).results);
                }
            }
            Terminator::Continue(levels, values) => {
                if let Some(target) = self.enclosing_loop(func, region, *levels) {
                    self.next_iteration(func, target, values);
                }
            }
        }
    }

    fn next_iteration(&mut self, func: &Func, target: OpId, values: &[Value]) {
        let op = func.op(target);
        let params = &func.region(op.regions[0]).params;
        if let OpCode::For(data) = &op.code {
            self.flows(func, values, &params[data.rank as usize..]);
            self.flows(func, values, &op.results);
        } else {
            self.flows(func, values, params);
        }
    }

    fn flows(&mut self, func: &Func, from: &[Value], to: &[Value]) {
        for (&from, &to) in from.iter().zip(to) {
            if func.ty(to).is_array() && from != to {
                let sources = self.sources.entry(to).or_default();
                if !sources.contains(&from) {
                    sources.push(from);
                }
            }
        }
    }

    fn classify(&mut self, func: &Func) {
        for index in 0..func.values.len() as u32 {
            let value = Value(index);
            for source in self.sources.get(&value).cloned().unwrap_or_default() {
                let (a, b) = (self.class_of(value), self.class_of(source));
                self.class.insert(a.max(b), a.min(b));
            }
        }
    }

    fn class_of(&self, value: Value) -> Value {
        let mut class = value;
        while let Some(&next) = self.class.get(&class)
            && next != class
        {
            class = next;
        }
        class
    }

    /// May two different array values that are alive at one time be the same memory? Values that one loop carries side by side are not.
    pub fn may_be_same(&self, func: &Func, a: Value, b: Value) -> bool {
        if a == b {
            return true;
        }
        if self.class_of(a) != self.class_of(b) {
            return false;
        }
        let is_carried = |value: Value| self.sources.contains_key(&value);
        match (func.values[a.index()].def, func.values[b.index()].def) {
            _ if !is_carried(a) && !is_carried(b) => false,
            (Def::Param(a, _), Def::Param(b, _)) => a != b,
            (Def::Op(a, _), Def::Op(b, _)) => a != b,
            (Def::Param(..), Def::Op(..)) | (Def::Op(..), Def::Param(..)) => true,
        }
    }

    /// Arrays that may become this one by being carried; empty for one that is not carried.
    pub fn sources(&self, value: Value) -> &[Value] {
        self.sources.get(&value).map_or(&[], Vec::as_slice)
    }

    /// Number of ordinals of a `for`; 0 for any other op.
    pub fn rank(&self, func: &Func, op: OpId) -> usize {
        match &func.op(op).code {
            OpCode::For(data) => data.rank as usize,
            _ => 0,
        }
    }

    fn inits(&self, func: &Func, op: OpId) -> usize {
        self.rank(func, op)
    }

    /// The region that lists an op.
    pub fn region_of(&self, op: OpId) -> Option<RegionId> {
        self.home[op.index()]
    }

    /// The op that holds a region.
    pub fn holder_of(&self, region: RegionId) -> Option<OpId> {
        self.holder[region.index()]
    }

    /// Where an op stands in its region.
    pub fn position_of(&self, op: OpId) -> usize {
        self.position[op.index()]
    }

    fn is_loop(func: &Func, op: OpId) -> bool {
        matches!(func.op(op).code, OpCode::For(_) | OpCode::While)
    }

    fn enclosing_loop(&self, func: &Func, region: RegionId, levels: u32) -> Option<OpId> {
        let mut left = levels;
        let mut region = region;
        loop {
            let holder = self.holder_of(region)?;
            if Nest::is_loop(func, holder) {
                if left == 0 {
                    return Some(holder);
                }
                left -= 1;
            }
            region = self.region_of(holder)?;
        }
    }

    /// The `for` and the axis that a region parameter is an ordinal of.
    pub fn ordinal_of(&self, func: &Func, region: RegionId, position: u32) -> Option<(OpId, usize)> {
        let holder = self.holder_of(region)?;
        let axis = position as usize;
        (axis < self.rank(func, holder)).then_some((holder, axis))
    }

    /// The `for` loops around an op, outer first.
    pub fn loops_around(&self, func: &Func, op: OpId) -> Vec<OpId> {
        let mut loops = Vec::new();
        let mut region = self.region_of(op);
        while let Some(holder) = region.and_then(|region| self.holder_of(region)) {
            if let OpCode::For(_) = func.op(holder).code {
                loops.push(holder);
            }
            region = self.region_of(holder);
        }
        loops.reverse();
        loops
    }

    /// All regions in an op, at any depth.
    pub fn regions_within(&self, func: &Func, op: OpId) -> Vec<RegionId> {
        let mut regions = func.op(op).regions.clone();
        let mut next = 0;
        while let Some(&region) = regions.get(next) {
            for &op in &func.region(region).ops {
                regions.extend(&func.op(op).regions);
            }
            next += 1;
        }
        regions
    }

    /// What a carried value is, if every way to the next iteration adds the same constant.
    pub fn counted(&self, func: &Func, value: Value) -> Option<Counted> {
        let Def::Param(region, position) = func.values[value.index()].def else { return None };
        let holder = self.holder_of(region)?;
        let op = func.op(holder);
        let OpCode::For(data) = &op.code else { return None };
        let rank = data.rank as usize;
        let slot = (position as usize).checked_sub(rank)?;
        let Terminator::Yield(next) = &func.region(region).end else { return None };
        let step = increment(func, *next.get(slot)?, value)?;
        if rank != 1 && step != 0 {
            return None;
        }
        for inner in self.regions_within(func, holder) {
            if let Terminator::Continue(levels, next) = &func.region(inner).end
                && self.enclosing_loop(func, inner, *levels) == Some(holder)
                && increment(func, *next.get(slot)?, value)? != step
            {
                return None;
            }
        }
        let ordinal = (rank == 1).then(|| func.region(region).params[0]);
        Some(Counted { init: op.args[rank + slot], step, ordinal })
    }
}

/// The constant that is added to `start` to give `value`.
fn increment(func: &Func, value: Value, start: Value) -> Option<i128> {
    let mut sum = 0i128;
    let mut value = value;
    for _ in 0..64 {
        if value == start {
            return Some(sum);
        }
        let op = func.op(func.def_op(value)?);
        let constant = |value: Value| match func.as_const(value) {
            Some(Const::I64(constant)) => Some(i128::from(constant)),
            _ => None,
        };
        (value, sum) = match (&op.code, op.args.as_slice()) {
            (OpCode::Add, &[a, b]) => match constant(b) {
                Some(b) => (a, sum + b),
                None => (b, sum + constant(a)?),
            },
            (OpCode::Sub, &[a, b]) => (a, sum - constant(b)?),
            _ => return None,
        };
    }
    None
}
