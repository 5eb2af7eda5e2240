//! The order of float reductions.
//!
//! In: accumulators of blocks, or terms of iterations. Out: the total that the language defines (SEMANTICS, section 5), bit for bit.
//! Holds: blocks hold 1024 iterations, have 32 accumulators, fold by halves (16, 8, 4, 2, 1) and join as T(lo, hi); a range of blocks is
//! the list of its maximal aligned subtrees, so that 10^12 iterations need some fifty values; who computed a block, and when, is not seen.

use crate::number::{Element, Number, combine, with_op, with_type};
use kiln_abi::{BLOCK, LANES, OrderedKind, ReduceOp, ScalarKind, ScalarReduction, identity};

/// A block's value from its accumulators.
pub(crate) fn fold_block(op: ReduceOp, ty: ScalarKind, accumulators: &[u64]) -> u64 {
    fn halve<T: Number>(slots: &[u64], apply: impl Fn(T, T) -> T) -> u64 {
        let mut lanes: [T; LANES] = std::array::from_fn(|lane| T::from_slot(slots[lane]));
        let mut width = LANES / 2;
        while width > 0 {
            for lane in 0..width {
                lanes[lane] = apply(lanes[lane], lanes[lane + width]);
            }
            width /= 2;
        }
        lanes[0].to_slot()
    }
    with_type!(ty, T => with_op!(op, T, apply => halve::<T>(accumulators, apply)))
}

/// Adds the terms of iterations `lo..hi`, all of one block, to the accumulators of the ordered reductions. `terms` begins with iteration `base`.
pub(crate) fn fold_terms(
    ordered: &[ScalarReduction],
    accumulators: &mut [u64],
    terms: &[u64],
    base: i64,
    (lo, hi): (i64, i64),
    lane_mask: u64,
) {
    let sites: usize = ordered.iter().map(|r| r.sites as usize).sum();
    let mut first = 0;
    for (reduction, lanes) in ordered.iter().zip(accumulators.chunks_exact_mut(LANES)) {
        let last = first + reduction.sites as usize;
        for q in lo..hi {
            let lane = &mut lanes[(q as u64 & lane_mask) as usize];
            let row = (q - base) as usize * sites;
            for site in first..last {
                let pair = &terms[2 * (row + site)..][..2];
                *lane = send(reduction.op, reduction.ty, *lane, pair[0], pair[1]);
            }
        }
        first = last;
    }
}

/// The accumulator after the term (a, b): fma(a, b, acc) for sums, acc * a for products (which are never fused).
fn send(op: ReduceOp, ty: ScalarKind, acc: u64, a: u64, b: u64) -> u64 {
    match (op, ty) {
        (ReduceOp::Sum, ScalarKind::F64) => {
            let [acc, a, b] = [acc, a, b].map(f64::from_slot);
            // fma(a, 1, acc) rounds a + acc once, as the plain sum does: spare the call where the CPU has no fma.
            if b == 1.0 { a + acc } else { a.mul_add(b, acc) }.to_slot()
        }
        (ReduceOp::Sum, ScalarKind::F32) => {
            let [acc, a, b] = [acc, a, b].map(f32::from_slot);
            if b == 1.0 { a + acc } else { a.mul_add(b, acc) }.to_slot()
        }
        (op, ty) => combine(op, ty, acc, a),
    }
}

/// A range of blocks, reduced to its maximal aligned subtrees: for each, the value of every ordered reduction of the loop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    nodes: Vec<Node>,
    /// As many values per node as the loop has ordered reductions.
    values: Vec<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Node {
    /// First block; a multiple of 2^level.
    start: u64,
    /// Holds 2^level blocks.
    level: u32,
}

impl Joined {
    /// Puts a subtree behind the others; neighbours that make up a larger aligned subtree become one.
    fn push(&mut self, ordered: &[ScalarReduction], node: Node, values: &[u64]) {
        debug_assert_eq!(values.len(), ordered.len());
        self.nodes.push(node);
        self.values.extend_from_slice(values);
        let width = ordered.len();
        while let [.., left, right] = self.nodes[..] {
            let siblings = left.level == right.level
                && left.start.is_multiple_of(2 << left.level)
                && right.start == left.start + (1 << left.level);
            if !siblings {
                break;
            }
            self.nodes.pop();
            let at = self.nodes.len() * width;
            for (index, reduction) in ordered.iter().enumerate() {
                let (a, b) = (self.values[at - width + index], self.values[at + index]);
                self.values[at - width + index] = combine(reduction.op, reduction.ty, a, b);
            }
            self.values.truncate(at);
            if let Some(last) = self.nodes.last_mut() {
                last.level += 1;
            }
        }
    }

    /// Puts one block behind the others.
    pub(crate) fn push_block(&mut self, ordered: &[ScalarReduction], block: u64, values: &[u64]) {
        self.push(ordered, Node { start: block, level: 0 }, values);
    }

    /// Puts a block that lies anywhere among the others in its place; only at the end, when all are there.
    pub(crate) fn with_blocks(&self, ordered: &[ScalarReduction], blocks: &[(u64, Vec<u64>)]) -> Joined {
        let own = self.nodes.iter().zip(self.values.chunks(ordered.len().max(1)));
        let mut all: Vec<(Node, &[u64])> = own.map(|(node, values)| (*node, values)).collect();
        all.extend(blocks.iter().map(|(block, values)| (Node { start: *block, level: 0 }, &values[..])));
        all.sort_by_key(|(node, _)| node.start);
        let mut joined = Joined::default();
        for (node, values) in all {
            joined.push(ordered, node, values);
        }
        joined
    }

    /// Puts a later range of blocks behind this one.
    pub(crate) fn append(&mut self, ordered: &[ScalarReduction], later: &Joined) {
        for (node, values) in later.nodes.iter().zip(later.values.chunks(ordered.len().max(1))) {
            self.push(ordered, *node, values);
        }
    }

    /// T(0, blocks) of reduction `index`, if this holds all blocks from 0; the identity if there are none.
    pub(crate) fn total(&self, ordered: &[ScalarReduction], index: usize) -> u64 {
        let reduction = ordered[index];
        // From block 0 on, the aligned subtrees are the powers of two of the count, falling; T splits off the largest first.
        let mut values = self.values.chunks(ordered.len()).rev().map(|values| values[index]);
        match values.next() {
            None => identity(reduction.op, reduction.ty),
            Some(last) => values.fold(last, |right, left| combine(reduction.op, reduction.ty, left, right)),
        }
    }
}

/// Operator and type of an ordered kind.
pub(crate) fn of_kind(kind: i64) -> Option<(ReduceOp, ScalarKind)> {
    [
        (OrderedKind::SumF64, ReduceOp::Sum, ScalarKind::F64),
        (OrderedKind::SumF32, ReduceOp::Sum, ScalarKind::F32),
        (OrderedKind::ProdF64, ReduceOp::Prod, ScalarKind::F64),
        (OrderedKind::ProdF32, ReduceOp::Prod, ScalarKind::F32),
    ]
    .into_iter()
    .find(|row| row.0 as i64 == kind)
    .map(|(_, op, ty)| (op, ty))
}

/// `HostFn::FoldBlock` on slices: `state[0]` counts blocks, `state[1 + k]` is the subtree of 2^k blocks if bit k of the count is set.
pub(crate) fn fold_serial(op: ReduceOp, ty: ScalarKind, accumulators: &mut [u64], state: &mut [u64]) {
    let mut value = fold_block(op, ty, accumulators);
    accumulators.fill(identity(op, ty));
    let mut level = 0;
    while state[0] >> level & 1 == 1 {
        value = combine(op, ty, state[1 + level], value);
        level += 1;
    }
    state[1 + level] = value;
    state[0] += 1;
}

/// `HostFn::FinishBlocks` on a slice.
pub(crate) fn finish_serial(op: ReduceOp, ty: ScalarKind, state: &mut [u64]) {
    let count = state[0];
    let mut total = None;
    for level in (0..64).filter(|level| count >> level & 1 == 1) {
        let left = state[1 + level];
        total = Some(total.map_or(left, |right| combine(op, ty, left, right)));
    }
    state[1] = total.unwrap_or(identity(op, ty));
}

/// Blocks of so many iterations.
pub(crate) fn blocks_of(count: i64) -> i64 {
    count / BLOCK + i64::from(count % BLOCK != 0)
}
