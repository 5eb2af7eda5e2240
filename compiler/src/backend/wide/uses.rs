//! Which ops have no code of their own because their users say the same better.
//!
//! In: a function. Out: [`Uses`]: how often each value is used, and which ops are left to their users: comparisons that only branches and choices ask for (they
//! read the flags), mask tests likewise, lane numbers that are only addresses. Holds: such an op is pure, so computing it where it is used is computing it.

use crate::ir::{self, OpCode, Terminator, Type};
use kiln_lang::types::Layout;

/// A comparison is made anew for each of so many users; more of them share one truth value.
const REPEATED: u32 = 3;

/// Uses of the values of a function.
pub(super) struct Uses {
    counts: Vec<u32>,
    /// By op.
    left: Vec<bool>,
    /// Bytes of the widest elements, by number of lanes.
    widest: [u8; 33],
}

/// What a use of a value needs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// Its registers.
    Value,
    /// Its truth, for a branch.
    Branch,
    /// Its truth, for a choice between scalars.
    Choice,
    /// The first of its numbers, as the place of consecutive elements.
    Place,
}

impl Uses {
    pub(super) fn of(func: &ir::Func) -> Uses {
        let mut uses =
            Uses { counts: vec![0; func.values.len()], left: vec![false; func.ops.len()], widest: [4; 33] };
        for value in &func.values {
            if let Type::Lanes(elem, lanes) = value.ty {
                let widest = &mut uses.widest[usize::from(lanes)];
                *widest = (*widest).max((elem.bits() / 8) as u8);
            }
        }
        // Values that somebody needs more of than a flag or a place; and those that somebody branches on.
        let mut table =
            Table { full: vec![false; func.values.len()], chosen: vec![false; func.values.len()] };
        uses.region(func, func.body, false, &mut table);
        for (op, left) in func.ops.iter().zip(&mut uses.left) {
            let Some(&result) = op.results.first() else { continue };
            let place = result.index();
            let is_flag = !table.full[place] && uses.counts[place] <= REPEATED && uses.counts[place] > 0;
            *left = match op.code {
                OpCode::Eq | OpCode::Ne | OpCode::Lt | OpCode::Le | OpCode::Gt | OpCode::Ge => {
                    is_flag && func.ty(result) == Type::BOOL
                }
                OpCode::Any | OpCode::All => is_flag && !table.chosen[place],
                OpCode::Iota => !table.full[place],
                OpCode::Splat => {
                    func.as_const(op.args[0]).is_some() && !matches!(func.ty(result), Type::Mask(_))
                }
                _ => false,
            };
        }
        uses
    }

    /// Is the op's code where its result is used?
    pub(super) fn is_left_to_users(&self, op: ir::OpId) -> bool {
        self.left[op.index()]
    }

    /// Has the value one user?
    pub(super) fn is_single(&self, value: ir::Value) -> bool {
        self.counts[value.index()] == 1
    }

    /// Bytes of the widest elements among values of so many lanes.
    pub(super) fn widest(&self, lanes: u8) -> u8 {
        self.widest[usize::from(lanes)]
    }

    fn region(&mut self, func: &ir::Func, region: ir::RegionId, is_test: bool, table: &mut Table) {
        let data = func.region(region);
        for &id in &data.ops {
            let op = func.op(id);
            for (position, &arg) in op.args.iter().enumerate() {
                self.counts[arg.index()] += 1;
                table.note(arg, need(func, op, position));
            }
            for (position, &inner) in op.regions.iter().enumerate() {
                self.region(func, inner, matches!(op.code, OpCode::While) && position == 0, table);
            }
        }
        for (position, &arg) in data.end.args().iter().enumerate() {
            self.counts[arg.index()] += 1;
            let branches = is_test && position == 0 && matches!(data.end, Terminator::Yield(_));
            table.note(arg, if branches { Need::Branch } else { Need::Value });
        }
    }
}

struct Table {
    full: Vec<bool>,
    chosen: Vec<bool>,
}

impl Table {
    fn note(&mut self, value: ir::Value, need: Need) {
        match need {
            Need::Value => self.full[value.index()] = true,
            Need::Choice => self.chosen[value.index()] = true,
            Need::Branch | Need::Place => {}
        }
    }
}

fn need(func: &ir::Func, op: &ir::Op, position: usize) -> Need {
    let indices = match op.code {
        OpCode::If if position == 0 => return Need::Branch,
        OpCode::Select if position == 0 && matches!(func.ty(op.results[0]), Type::Scalar(_)) => {
            return Need::Choice;
        }
        OpCode::Load => 1..op.args.len(),
        OpCode::Store => 1..op.args.len() - 1,
        OpCode::LoadMasked => 2..op.args.len(),
        OpCode::StoreMasked => 2..op.args.len() - 1,
        _ => return Need::Value,
    };
    let contiguous = matches!(func.ty(op.args[0]), Type::Array { layout: Layout::Contiguous, .. });
    let outer_are_scalars =
        op.args[indices.clone()].iter().rev().skip(1).all(|&index| matches!(func.ty(index), Type::Scalar(_)));
    if position + 1 == indices.end && contiguous && outer_are_scalars { Need::Place } else { Need::Value }
}
