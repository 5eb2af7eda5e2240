//! Deletes what nobody uses.
//!
//! In: a function. Out: the same without ops, results and carried values that have no use. Holds: an op with an effect stays, and so does whatever decides
//! whether it runs; a `for` ends by itself, so one without effects goes; a `while` stays, for it may not end; a check is an effect.

use super::{Apply, Pass, extents_of, renumber_params, renumber_results, take_ops};
use crate::ir::{Def, Func, OpCode, OpId, RegionId, Terminator, Value};
use crate::report::Report;

/// The pass.
pub const DEAD: Pass = Pass { name: "dead", about: "delete what nobody uses", apply: Apply::Func(dead) };

fn dead(func: &mut Func, _report: &mut Report) {
    delete_unused(func);
}

/// The pass on one function.
pub(super) fn delete_unused(func: &mut Func) {
    let mut live = Live {
        func,
        values: vec![false; func.values.len()],
        ops: vec![false; func.ops.len()],
        is_effect: vec![false; func.ops.len()],
        work: Vec::new(),
        holders: vec![None; func.regions.len()],
        ends: vec![Vec::new(); func.ops.len()],
    };
    live.find_effects(func.body, &mut Vec::new());
    live.enter(func.body);
    if func.chunk_of.is_some() {
        // The totals of its loop go to the runtime.
        let is_for = |op: &&OpId| matches!(func.op(**op).code, OpCode::For(_));
        func.region(func.body).ops.iter().filter(is_for).for_each(|&op| live.need_op(op));
    }
    live.run();
    let Live { values, ops, .. } = live;
    sweep(func, &values, &ops, func.body, &mut Vec::new());
}

struct Live<'f> {
    func: &'f Func,
    values: Vec<bool>,
    ops: Vec<bool>,
    /// Ops that are needed whenever the region that lists them is.
    is_effect: Vec<bool>,
    work: Vec<Value>,
    /// Per region, the loop that holds it.
    holders: Vec<Option<OpId>>,
    /// Per loop: the regions in it that break or continue it, with carried values.
    ends: Vec<Vec<RegionId>>,
}

/// What a region does to the world around it.
#[derive(Clone, Copy, Default)]
struct Outside {
    /// It writes, prints, or may fail.
    acts: bool,
    /// It sends to the innermost loop, which is needed only when its totals are.
    sends: bool,
    /// The outermost loop that it leaves or continues, counted from the inside (1 = innermost); 0: none.
    leaves: usize,
}

impl Live<'_> {
    fn find_effects(&mut self, region: RegionId, loops: &mut Vec<OpId>) -> Outside {
        let func = self.func;
        let mut all = Outside::default();
        for &id in &func.region(region).ops {
            let op = func.op(id);
            let effects = op.code.effects();
            let is_loop = super::is_loop(&op.code);
            let mut outside = Outside {
                acts: match op.code {
                    // A refused allocation is nothing that a program may count on.
                    OpCode::Alloc | OpCode::AllocUninit => false,
                    OpCode::While => true,
                    _ => effects.writes || effects.may_fail,
                },
                sends: effects.sends,
                leaves: 0,
            };
            if is_loop {
                loops.push(id);
            }
            for &inner in &op.regions {
                if is_loop {
                    self.holders[inner.index()] = Some(id);
                }
                let mut inside = self.find_effects(inner, loops);
                if is_loop {
                    // What ends there is the loop's own business.
                    inside.leaves = inside.leaves.saturating_sub(1);
                    inside.sends = false;
                }
                outside.acts |= inside.acts;
                outside.sends |= inside.sends;
                outside.leaves = outside.leaves.max(inside.leaves);
            }
            if is_loop {
                loops.pop();
            }
            self.is_effect[id.index()] = outside.acts || outside.sends || outside.leaves > 0;
            all.acts |= outside.acts;
            all.sends |= outside.sends;
            all.leaves = all.leaves.max(outside.leaves);
        }
        match &func.region(region).end {
            Terminator::Break(depth, values) | Terminator::Continue(depth, values) => {
                if !values.is_empty() {
                    self.ends[loops[loops.len() - 1 - *depth as usize].index()].push(region);
                }
                all.leaves = all.leaves.max(*depth as usize + 1);
            }
            Terminator::Return(_) if region != func.body => all.leaves = usize::MAX,
            Terminator::Return(_) | Terminator::Open | Terminator::Yield(_) => {}
        }
        all
    }

    /// The region is needed: so are its effects, and how it leaves.
    fn enter(&mut self, region: RegionId) {
        let func = self.func;
        for &op in &func.region(region).ops {
            if self.is_effect[op.index()] {
                self.need_op(op);
            }
        }
        if let Terminator::Return(values) = &func.region(region).end {
            values.iter().for_each(|&value| self.need(value));
        }
    }

    fn need_op(&mut self, id: OpId) {
        if std::mem::replace(&mut self.ops[id.index()], true) {
            return;
        }
        let op = self.func.op(id);
        // Carried values are needed one by one.
        let fixed = match op.code {
            OpCode::For(_) | OpCode::While => extents_of(&op.code),
            _ => op.args.len(),
        };
        op.args[..fixed].iter().for_each(|&arg| self.need(arg));
        if let OpCode::For(data) = &op.code {
            data.arrays.iter().for_each(|&(array, _)| self.need(array));
            data.unique.iter().for_each(|&array| self.need(array));
        }
        for &region in &op.regions {
            self.enter(region);
        }
        if op.code == OpCode::While
            && let Terminator::Yield(values) = &self.func.region(op.regions[0]).end
        {
            self.need(values[0]);
        }
    }

    fn need(&mut self, value: Value) {
        if !std::mem::replace(&mut self.values[value.index()], true) {
            self.work.push(value);
        }
    }

    fn run(&mut self) {
        let func = self.func;
        while let Some(value) = self.work.pop() {
            match func.values[value.index()].def {
                Def::Op(op, position) => {
                    self.need_op(op);
                    match func.op(op).code {
                        OpCode::If => {
                            for &region in &func.op(op).regions {
                                if let Terminator::Yield(values) = &func.region(region).end {
                                    self.need(values[position as usize]);
                                }
                            }
                        }
                        OpCode::For(_) | OpCode::While => self.need_carried(op, position as usize),
                        _ => {}
                    }
                }
                Def::Param(region, position) => {
                    if let Some(op) = self.holders[region.index()] {
                        let extents = extents_of(&func.op(op).code);
                        if let Some(position) = (position as usize).checked_sub(extents) {
                            self.need_carried(op, position);
                        }
                    }
                }
            }
        }
    }

    /// Carried value `position` of a loop: everything that it may be.
    fn need_carried(&mut self, id: OpId, position: usize) {
        let func = self.func;
        let op = func.op(id);
        let extents = extents_of(&op.code);
        let Some(&initial) = op.args.get(extents + position) else {
            // The total of a reduction.
            return;
        };
        self.need_op(id);
        self.need(initial);
        self.need(op.results[position]);
        for (number, &region) in op.regions.iter().enumerate() {
            self.need(func.region(region).params[extents + position]);
            let skip = usize::from(op.code == OpCode::While && number == 0);
            if let Terminator::Yield(values) = &func.region(region).end {
                self.need(values[skip + position]);
            }
        }
        for &region in &self.ends[id.index()].clone() {
            self.need(func.region(region).end.args()[position]);
        }
    }
}

/// Removes what is not live. `kept`: per enclosing loop, which carried values stay.
fn sweep(func: &mut Func, values: &[bool], ops: &[bool], region: RegionId, kept: &mut Vec<Vec<bool>>) {
    let list: Vec<OpId> = take_ops(func, region).into_iter().filter(|op| ops[op.index()]).collect();
    for &op in &list {
        match func.op(op).code {
            OpCode::If => {
                let keep: Vec<bool> =
                    func.op(op).results.iter().map(|result| values[result.index()]).collect();
                for position in 0..func.op(op).regions.len() {
                    let inner = func.op(op).regions[position];
                    sweep(func, values, ops, inner, kept);
                    if let Terminator::Yield(yields) = &mut func.regions[inner.index()].end {
                        retain(yields, 0, &keep);
                    }
                }
                retain(&mut func.ops[op.index()].results, 0, &keep);
                renumber_results(func, op);
            }
            OpCode::For(_) | OpCode::While => sweep_loop(func, values, ops, op, kept),
            _ => {}
        }
    }
    if let Terminator::Break(depth, args) | Terminator::Continue(depth, args) =
        &mut func.regions[region.index()].end
    {
        let keep = &kept[kept.len() - 1 - *depth as usize];
        retain(args, 0, keep);
    }
    func.regions[region.index()].ops = list;
}

fn sweep_loop(func: &mut Func, values: &[bool], ops: &[bool], op: OpId, kept: &mut Vec<Vec<bool>>) {
    let extents = extents_of(&func.op(op).code);
    let carried = func.op(op).args.len() - extents;
    let keep: Vec<bool> =
        func.op(op).results[..carried].iter().map(|result| values[result.index()]).collect();
    let is_while = func.op(op).code == OpCode::While;
    kept.push(keep.clone());
    for position in 0..func.op(op).regions.len() {
        let inner = func.op(op).regions[position];
        sweep(func, values, ops, inner, kept);
        let skip = usize::from(is_while && position == 0);
        if let Terminator::Yield(yields) = &mut func.regions[inner.index()].end {
            retain(yields, skip, &keep);
        }
        retain(&mut func.regions[inner.index()].params, extents, &keep);
        renumber_params(func, inner);
    }
    kept.pop();
    retain(&mut func.ops[op.index()].args, extents, &keep);
    retain(&mut func.ops[op.index()].results, 0, &keep);
    renumber_results(func, op);
}

/// Keeps the first `skip` values, of the next ones those that `keep` says, and the rest.
fn retain(list: &mut Vec<Value>, skip: usize, keep: &[bool]) {
    let mut position = 0;
    list.retain(|_| {
        let flag = position < skip || keep.get(position - skip).copied().unwrap_or(true);
        position += 1;
        flag
    });
}
