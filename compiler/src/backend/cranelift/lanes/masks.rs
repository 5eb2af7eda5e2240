//! How wide the lanes of each mask are.
//!
//! In: a function. Out: 4 or 8 bytes per lane for every mask. Holds: masks that become one another through control flow, or meet in an op, have one width;
//! it is the width of the most values that they come from and choose among, so that few masks are converted. Two lanes are always 8 bytes wide: the
//! register is full then, and `any` and `all` need not mind what lies beyond.

use super::super::classes::Classes;
use crate::ir::{self, OpCode};

/// Bytes per lane of each mask; 0 for other values.
pub(in super::super) fn widths(func: &ir::Func) -> Vec<u8> {
    let mut widths = vec![0; func.values.len()];
    if !func.values.iter().any(|value| matches!(value.ty, ir::Type::Mask(_))) {
        return widths;
    }
    let mut classes = Classes::of(func, |ty| matches!(ty, ir::Type::Mask(_)));
    let is_mask = |value: &ir::Value| matches!(func.ty(*value), ir::Type::Mask(_));
    let listed = || func.regions.iter().flat_map(|region| &region.ops).map(|&id| func.op(id));
    for op in listed() {
        if op.code.effects().regions {
            continue;
        }
        let mut masks = op.args.iter().chain(&op.results).copied().filter(is_mask);
        // A `select` of masks joins its condition too: they have as many lanes. A `store_masked` of truth values does not meet anything.
        if let Some(first) = masks.next().filter(|_| !touches_memory(&op.code)) {
            masks.for_each(|other| classes.join(first, other));
        }
    }
    // Votes for 8 bytes, and against.
    let mut votes = vec![0i32; func.values.len()];
    for op in listed() {
        let lanes = |value: &&ir::Value| matches!(func.ty(**value), ir::Type::Lanes(..));
        let Some(&number) = op.args.iter().rev().chain(&op.results).find(lanes) else { continue };
        let vote = if func.ty(number).scalar().bits() == 64 { 1 } else { -1 };
        for mask in op.args.iter().chain(&op.results).copied().filter(is_mask) {
            votes[classes.class(mask)] += vote;
        }
    }
    for (index, width) in widths.iter_mut().enumerate() {
        if let ir::Type::Mask(lanes) = func.values[index].ty {
            let class = classes.class(ir::Value(index as u32));
            *width = if lanes == 2 || votes[class] >= 0 { 8 } else { 4 };
        }
    }
    widths
}

fn touches_memory(code: &OpCode) -> bool {
    let effects = code.effects();
    effects.reads || effects.writes
}
