//! Takes out of loops what is the same in every iteration.
//!
//! In: a function. Out: the same with pure ops, and loads that are safe there, in front of the outermost loop that does not change them.
//! Holds: pure ops are total, so computing one that the loop might not have reached changes nothing; a load moves only out of loops that do not write its
//! array, and to where its element is known to exist; checks and other effects never move.

use super::arrays::{Classes, LoopWrites};
use super::ranges::{Params, Proofs, Ranges, Stays, Visit, walk};
use super::{Apply, Pass, is_loop, take_ops};
use crate::ir::{Func, OpCode, OpId, Program, RegionId, Value};
use crate::report::Report;

/// The pass.
pub const HOIST: Pass =
    Pass { name: "hoist", about: "take out of loops what they do not change", apply: Apply::Program(hoist) };

fn hoist(program: &mut Program, _report: &mut Report) {
    for (number, func) in program.funcs.iter_mut().enumerate() {
        hoist_in(func, Params::of(number));
    }
}

/// Only pure ops.
pub(super) fn hoist_pure(func: &mut Func) {
    let mut hoist = Hoist::new(func);
    let body = func.body;
    hoist.region(func, body);
}

fn hoist_in(func: &mut Func, params: Params) {
    if !func.ops.iter().any(|op| is_loop(&op.code)) {
        return;
    }
    let mut hoist = Hoist::new(func);
    let body = func.body;
    hoist.region(func, body);
    if hoist.has_candidate {
        find_safe_loads(func, params, &mut hoist.safe);
        if hoist.safe.iter().any(|&level| level != NEVER) {
            // Once more: what is computed from the loads moves along.
            hoist.region(func, body);
        }
    }
}

/// A load that stays where it is.
const NEVER: u32 = u32::MAX;

struct Hoist {
    /// Per value, the number of loops around its definition.
    levels: Vec<u32>,
    /// Per load, the fewest loops around it with which it is safe.
    safe: Vec<u32>,
    /// Per enclosing loop, what goes in front of it.
    loops: Vec<Vec<OpId>>,
    /// Some load depends on nothing that its innermost loop changes, except perhaps the array.
    has_candidate: bool,
}

impl Hoist {
    fn new(func: &Func) -> Hoist {
        Hoist {
            levels: vec![0; func.values.len()],
            safe: vec![NEVER; func.ops.len()],
            loops: Vec::new(),
            has_candidate: false,
        }
    }

    fn region(&mut self, func: &mut Func, region: RegionId) {
        let here = self.loops.len() as u32;
        for &param in &func.region(region).params {
            self.levels[param.index()] = here;
        }
        let mut ops = Vec::with_capacity(func.region(region).ops.len());
        for op in take_ops(func, region) {
            let level = self.level(func, op).min(here);
            for &result in &func.op(op).results {
                self.levels[result.index()] = level;
            }
            if level < here {
                self.loops[level as usize].push(op);
                continue;
            }
            let is_loop = is_loop(&func.op(op).code);
            if is_loop {
                self.loops.push(Vec::new());
            }
            for position in 0..func.op(op).regions.len() {
                let inner = func.op(op).regions[position];
                self.region(func, inner);
            }
            if is_loop {
                ops.append(&mut self.loops.pop().expect("bug: the loop was pushed"));
            }
            ops.push(op);
        }
        func.regions[region.index()].ops = ops;
    }

    /// The number of loops that must stay around an op.
    fn level(&mut self, func: &Func, id: OpId) -> u32 {
        let op = func.op(id);
        if op.code == OpCode::Load {
            let level = op.args.iter().fold(0, |level, arg| level.max(self.levels[arg.index()]));
            self.has_candidate |= (level as usize) < self.loops.len();
        }
        let least = match &op.code {
            code if code.effects().pure => 0,
            OpCode::Load => self.safe[id.index()],
            _ => NEVER,
        };
        op.args.iter().fold(least, |level, arg| level.max(self.levels[arg.index()]))
    }
}

/// Finds for each load the outermost loop that does not change its element and before which the element is known to exist.
fn find_safe_loads(func: &mut Func, params: Params, safe: &mut [u32]) {
    let classes = Classes::of(func);
    let writes = LoopWrites::of(func, &classes);
    let is_written = vec![0; func.values.len()];
    let mut loads = Loads { safe, classes, writes, depth: 0, stamp: 0, is_written };
    walk(func, params, Proofs::Plain, &mut loads);
}

struct Loads<'l> {
    safe: &'l mut [u32],
    classes: Classes,
    writes: LoopWrites,
    depth: u32,
    /// Per class, the last loop (by stamp) that was seen to write it.
    is_written: Vec<u32>,
    stamp: u32,
}

impl Visit for Loads<'_> {
    fn check(&mut self, _ranges: &mut Ranges, _func: &Func, _op: OpId) -> Stays {
        Stays::Yes
    }

    fn enter_loop(&mut self, ranges: &mut Ranges, func: &Func, op: OpId) {
        self.stamp += 1;
        for class in self.writes.get(op) {
            self.is_written[class.index()] = self.stamp;
        }
        for &region in &func.op(op).regions {
            self.loads_in(ranges, func, region);
        }
        self.depth += 1;
    }

    fn leave_loop(&mut self, _func: &Func, _op: OpId) {
        self.depth -= 1;
    }
}

impl Loads<'_> {
    fn loads_in(&mut self, ranges: &mut Ranges, func: &Func, region: RegionId) {
        for &id in &func.region(region).ops {
            let op = func.op(id);
            for &inner in &op.regions {
                self.loads_in(ranges, func, inner);
            }
            if op.code != OpCode::Load || self.safe[id.index()] <= self.depth {
                continue;
            }
            let here = ranges.now();
            let is_known = |value: &Value| ranges.is_defined_before(*value, here);
            if self.is_written[self.classes.get(op.args[0]).index()] != self.stamp
                && op.args.iter().all(is_known)
                && ranges.has_element(func, op.args[0], &op.args[1..])
            {
                self.safe[id.index()] = self.depth;
            }
        }
    }
}
