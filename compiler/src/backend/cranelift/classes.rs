//! Values that may become one another through control flow.
//!
//! In: a function. Out: its values in classes: two values are in one class if a loop, a branch or a jump may hand one over as the other.
//! Holds: computed once per function, for the kinds of values that are asked for; every other value is a class of its own.

use crate::ir::{self, OpCode, Terminator};

/// A class per value; a class is named by one of its values.
pub(super) struct Classes(Vec<u32>);

impl Classes {
    /// The classes of the values whose type `wanted` picks.
    pub(super) fn of(func: &ir::Func, wanted: fn(ir::Type) -> bool) -> Classes {
        let classes = Classes((0..func.values.len() as u32).collect());
        if !func.values.iter().any(|value| wanted(value.ty)) {
            return classes;
        }
        let mut joiner = Joiner { classes, func, wanted, loops: Vec::new() };
        joiner.region(func.body);
        joiner.classes
    }

    /// Makes one class of two.
    pub(super) fn join(&mut self, a: ir::Value, b: ir::Value) {
        let (a, b) = (self.class(a), self.class(b));
        self.0[a] = b as u32;
    }

    /// The number of a value's class: the position of one of its values.
    pub(super) fn class(&mut self, value: ir::Value) -> usize {
        let mut at = value.index();
        while self.0[at] as usize != at {
            let next = self.0[at] as usize;
            self.0[at] = self.0[next];
            at = next;
        }
        at
    }
}

struct Joiner<'f> {
    classes: Classes,
    func: &'f ir::Func,
    wanted: fn(ir::Type) -> bool,
    /// Enclosing loops, outermost first.
    loops: Vec<ir::OpId>,
}

impl Joiner<'_> {
    fn region(&mut self, region: ir::RegionId) {
        let func = self.func;
        for &id in &func.region(region).ops {
            let op = func.op(id);
            let is_loop = matches!(op.code, OpCode::For(_) | OpCode::While);
            if is_loop {
                self.loops.push(id);
                let init = carried_in(op);
                self.join(init, &op.results[..init.len()]);
                for &inner in &op.regions {
                    // Those of a widened loop carry nothing, and the last may have a mask behind the ordinals.
                    if !init.is_empty() {
                        let params = &func.region(inner).params;
                        self.join(init, &params[params.len() - init.len()..]);
                    }
                }
            }
            for (position, &inner) in op.regions.iter().enumerate() {
                self.region(inner);
                match &func.region(inner).end {
                    Terminator::Yield(args) if is_loop => {
                        // A `while`'s first region yields its condition before the values.
                        let is_condition = matches!(op.code, OpCode::While) && position == 0;
                        self.join(carried_in(op), &args[usize::from(is_condition)..]);
                    }
                    Terminator::Yield(args) => self.join(&op.results, args),
                    Terminator::Break(..)
                    | Terminator::Continue(..)
                    | Terminator::Return(_)
                    | Terminator::Open => {}
                }
            }
            if is_loop {
                self.loops.pop();
            }
        }
        if let Terminator::Break(level, args) | Terminator::Continue(level, args) = &func.region(region).end
            && let Some(index) = self.loops.len().checked_sub(1 + *level as usize)
        {
            self.join(carried_in(func.op(self.loops[index])), args);
        }
    }

    fn join(&mut self, left: &[ir::Value], right: &[ir::Value]) {
        for (&a, &b) in left.iter().zip(right) {
            if (self.wanted)(self.func.ty(a)) {
                self.classes.join(a, b);
            }
        }
    }
}

/// The initial carried values of a loop.
pub(super) fn carried_in(op: &ir::Op) -> &[ir::Value] {
    match &op.code {
        OpCode::For(data) => &op.args[usize::from(data.rank)..],
        _ => &op.args,
    }
}
