//! Reductions in the order of the language.
//!
//! In: terms with the ordinals of their iterations. Out: totals. Holds: SEMANTICS section 5, transcribed: at most 32 iterations left to right, else blocks
//! of 1024 with 32 accumulators, folded pairwise, joined by T; array reductions in segments.

use super::scalar::{Function, function, reduce_function, reduce_identity};
use crate::ir::{OpCode, kind_of};
use kiln_abi::ReduceOp;
use kiln_lang::types::Scalar;

/// What an iteration sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term {
    /// `s op= a`
    Plain(u64),
    /// `s += a * b`, rounded once.
    Product(u64, u64),
}

/// The state of a scalar reduction.
pub struct Sink {
    combine: Function,
    fma: Function,
    identity: u64,
    /// A product of -0.0 and this changes nothing.
    one: u64,
    order: Order,
}

enum Order {
    /// Any order gives the same total; so does a float reduction of at most 32 iterations, left to right.
    Running(u64),
    /// Blocks of 1024 iterations.
    Blocks { accs: Box<[u64; 32]>, current: u64, done: Vec<u64>, count: u64 },
}

impl Sink {
    /// A reduction over `iterations`; `None` if the operator does not take the type.
    pub fn new(op: ReduceOp, scalar: Scalar, iterations: u64) -> Option<Sink> {
        let combine = reduce_function(op, scalar)?;
        let identity = reduce_identity(op, scalar);
        let order = if op.is_ordered(kind_of(scalar)) && iterations > 32 {
            let count = iterations.div_ceil(1024);
            Order::Blocks { accs: Box::new([identity; 32]), current: 0, done: Vec::new(), count }
        } else {
            Order::Running(identity)
        };
        let fma = function(&OpCode::Fma, scalar).unwrap_or(combine);
        Some(Sink { combine, fma, identity, one: reduce_identity(ReduceOp::Prod, scalar), order })
    }

    /// Would this term change nothing?
    pub fn is_neutral(&self, term: Term) -> bool {
        term == Term::Plain(self.identity) || term == Term::Product(self.identity, self.one)
    }

    /// Takes a term of iteration `ordinal`; ordinals never go back.
    pub fn send(&mut self, ordinal: u64, term: Term) {
        let (combine, fma) = (self.combine, self.fma);
        let add = |total: u64| match term {
            Term::Plain(value) => combine(total, value, 0),
            Term::Product(a, b) => fma(a, b, total),
        };
        if let Order::Blocks { current, .. } = &self.order
            && ordinal / 1024 != *current
        {
            self.finish_blocks(ordinal / 1024);
        }
        match &mut self.order {
            Order::Running(total) => *total = add(*total),
            Order::Blocks { accs, .. } => {
                let acc = &mut accs[(ordinal % 32) as usize];
                *acc = add(*acc);
            }
        }
    }

    /// Folds blocks until block `next` is the current one.
    fn finish_blocks(&mut self, next: u64) {
        let Order::Blocks { accs, current, done, .. } = &mut self.order else { return };
        while *current < next {
            for width in [16, 8, 4, 2, 1] {
                for lane in 0..width {
                    accs[lane] = (self.combine)(accs[lane], accs[lane + width], 0);
                }
            }
            done.push(accs[0]);
            **accs = [self.identity; 32];
            *current += 1;
        }
    }

    /// The total, from the identity.
    pub fn total(mut self) -> u64 {
        if let Order::Blocks { count, .. } = self.order {
            self.finish_blocks(count);
        }
        match &self.order {
            Order::Running(total) => *total,
            Order::Blocks { done, .. } => join(done, self.combine),
        }
    }
}

/// T: one block is itself; else split at the largest power of two below the length.
fn join(blocks: &[u64], combine: Function) -> u64 {
    if let [block] = blocks {
        return *block;
    }
    let half = blocks.len().next_power_of_two() / 2;
    let (left, right) = blocks.split_at(half);
    combine(join(left, combine), join(right, combine), 0)
}

/// Segments of an array reduction over `iterations` with `elements` elements.
pub fn segments(op: ReduceOp, scalar: Scalar, iterations: u64, elements: u64) -> u64 {
    if !op.is_ordered(kind_of(scalar)) || elements == 0 {
        return 1;
    }
    (iterations / elements).clamp(1, 64)
}

/// Where segment `segment` of `segments` begins.
pub fn segment_start(segment: u64, segments: u64, iterations: u64) -> u64 {
    (u128::from(segment) * u128::from(iterations) / u128::from(segments)) as u64
}
