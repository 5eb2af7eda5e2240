//! Random streams as values (SEMANTICS section 6).
//!
//! In: draws, calls and loops that draw. Out: `philox` ops and arithmetic on counters. Holds: the counters of the current implicit stream are
//! slots of the environment (three per level), so that branches and loops carry them as they carry variables; an explicit stream is a local of five values.

use super::effects::{How, Target, Write};
use super::{Lower, Slot};
use crate::ir::{self, CheckKind, OpCode};
use kiln_lang::span::Span;
use kiln_lang::tree::{Const, Expr, Func, LocalId, StreamMode};
use kiln_lang::types::Scalar;

/// Values of a stream: key, index, uniforms, normals, children.
pub(super) const PARTS: usize = 5;
/// Position of the counter of uniforms among them.
const UNIFORMS: usize = 2;
/// Counters of a stream.
const COUNTERS: usize = 3;
/// Position of the counter of children among the counters.
const CHILDREN: usize = 2;

/// Kinds of Philox blocks.
const KIND_UNIFORM: u8 = 0;
const KIND_CHILD: u8 = 2;
const KIND_EXPLICIT: u8 = 3;

/// An implicit stream.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stream {
    /// Key = seed of the call, index 0.
    Root,
    /// The stream of a loop's iteration.
    Inner { key: ir::Value, index: ir::Value },
}

impl Lower<'_> {
    /// The stream that is current when the function begins: hidden parameters, or the root's counters at 0.
    pub(super) fn open_function_stream(&mut self, span: Span) {
        let body = self.out.body;
        let mut hidden = |name: &str| self.out.add_param(body, ir::Type::U64, Some(name.into()));
        let (stream, counters) = match self.func.stream {
            StreamMode::Inner => {
                let (key, index) = (hidden("key"), hidden("index"));
                let counters = [hidden("uniforms"), hidden("normals"), hidden("children")];
                (Stream::Inner { key, index }, Some(counters))
            }
            StreamMode::Root if !self.is_entry => {
                (Stream::Root, Some([hidden("uniforms"), hidden("normals"), hidden("children")]))
            }
            StreamMode::Root | StreamMode::None => (Stream::Root, None),
        };
        let draws = self.func.stream != StreamMode::None;
        self.streams.push(stream);
        let counters = counters.or_else(|| draws.then(|| [(); COUNTERS].map(|()| self.word(0, span))));
        self.env.resize(self.slots.types.len() + COUNTERS, Slot::Unset);
        for (counter, value) in counters.into_iter().flatten().enumerate() {
            let slot = self.counter_slot(counter);
            self.env[slot] = Slot::Value(value);
        }
    }

    /// Opens the streams of a loop at its entry: takes the next child key. [`Lower::enter_iteration`] makes it current.
    pub(super) fn take_child_key(&mut self, span: Span) -> ir::Value {
        let slot = self.counter_slot(CHILDREN);
        let children = self.counter(slot, span);
        let (key, index) = self.current_stream(span);
        let (child, _) = self.philox(KIND_CHILD, key, index, children, span);
        self.count_on(slot, children, span);
        child
    }

    /// Inside a loop's body: the iteration draws from (`key`, `ordinal`), from the beginning.
    pub(super) fn enter_iteration(&mut self, key: ir::Value, ordinal: ir::Value, span: Span) {
        let index = self.convert(ordinal, Scalar::U64, span);
        self.streams.push(Stream::Inner { key, index });
        let end = self.slots.types.len() + COUNTERS * self.streams.len();
        if self.env.len() < end {
            self.env.resize(end, Slot::Unset);
        }
        for counter in 0..COUNTERS {
            let zero = self.word(0, span);
            let slot = self.counter_slot(counter);
            self.env[slot] = Slot::Value(zero);
        }
    }

    /// Behind the loop: the stream around it is current again.
    pub(super) fn leave_iteration(&mut self) {
        self.streams.pop();
    }

    pub(super) fn current_is_root(&self) -> bool {
        matches!(self.streams.last(), None | Some(Stream::Root))
    }

    /// What a callee that draws gets: the stream, unless it knows that it is the root, and the counters.
    pub(super) fn stream_args(&mut self, callee: &Func, span: Span) -> Vec<ir::Value> {
        let mut args = match callee.stream {
            StreamMode::None => return Vec::new(),
            StreamMode::Root => Vec::new(),
            StreamMode::Inner => {
                let (key, index) = self.current_stream(span);
                vec![key, index]
            }
        };
        args.extend(self.counters(span));
        args
    }

    /// The counters of the current stream.
    pub(super) fn counters(&mut self, span: Span) -> [ir::Value; COUNTERS] {
        [0, 1, 2].map(|counter| {
            let slot = self.counter_slot(counter);
            self.counter(slot, span)
        })
    }

    /// Takes a callee's counters back, from the front of its results; the rest are the values of the call.
    pub(super) fn take_counters(&mut self, callee: &Func, mut results: Vec<ir::Value>) -> Vec<ir::Value> {
        if callee.stream == StreamMode::None {
            return results;
        }
        let values = results.split_off(COUNTERS);
        for (counter, value) in results.into_iter().enumerate() {
            let slot = self.counter_slot(counter);
            self.env[slot] = Slot::Value(value);
        }
        values
    }

    /// `rand()`, in f64 or f32.
    pub(super) fn rand(&mut self, stream: Option<LocalId>, ty: Scalar, span: Span) -> ir::Value {
        let x = self.uniform(stream, span);
        if ty == Scalar::F32 {
            // bits((X>>41)|0x3F800000) - (1-2^-24)
            let count = self.word(41, span);
            let shifted = self.op(OpCode::Shr, vec![x, count], Scalar::U64, span);
            let mantissa = self.convert(shifted, Scalar::U32, span);
            let one = self.constant(Const::U32(0x3f80_0000), span);
            let bits = self.op(OpCode::Or, vec![mantissa, one], Scalar::U32, span);
            let float = self.op(OpCode::Bitcast, vec![bits], Scalar::F32, span);
            let below = self.constant(Const::F32(1.0 - 1.0 / 16_777_216.0), span);
            return self.op(OpCode::Sub, vec![float, below], Scalar::F32, span);
        }
        // bits((X>>12)|0x3FF0000000000000) - (1-2^-53)
        let count = self.word(12, span);
        let mantissa = self.op(OpCode::Shr, vec![x, count], Scalar::U64, span);
        let one = self.word(0x3ff0_0000_0000_0000, span);
        let bits = self.op(OpCode::Or, vec![mantissa, one], Scalar::U64, span);
        let float = self.op(OpCode::Bitcast, vec![bits], Scalar::F64, span);
        let below = self.constant(Const::F64(1.0 - 1.0 / 9_007_199_254_740_992.0), span);
        self.op(OpCode::Sub, vec![float, below], Scalar::F64, span)
    }

    /// `rand_int(lo, hi)` = lo + high64(X * (hi-lo))
    pub(super) fn rand_int(
        &mut self,
        stream: Option<LocalId>,
        lo: &Expr,
        hi: &Expr,
        span: Span,
    ) -> ir::Value {
        let lo = self.value(lo);
        let hi = self.value(hi);
        let in_order = matches!((self.known(lo), self.known(hi)), (Some(lo), Some(hi)) if lo < hi);
        if !in_order {
            self.check(CheckKind::DrawRange, &[lo, hi], span);
        }
        let x = self.uniform(stream, span);
        let width = self.fold(OpCode::Sub, hi, lo, span);
        let width = self.convert(width, Scalar::U64, span);
        let high = self.op(OpCode::MulHi, vec![x, width], Scalar::U64, span);
        let offset = self.convert(high, Scalar::I64, span);
        self.fold(OpCode::Add, lo, offset, span)
    }

    /// `rng(a)` = (K, a), K = X0 of kind 3 block 0 of the root; `rng(a, b)` = (K', b), K' = X0 of kind 3 block 1 of (K, a).
    pub(super) fn rng(&mut self, operands: &[Expr], span: Span) -> Vec<ir::Value> {
        let operands: Vec<ir::Value> = operands.iter().map(|operand| self.value(operand)).collect();
        let seed = self.op(OpCode::Seed, Vec::new(), Scalar::U64, span);
        let (mut key, mut index) = (seed, self.word(0, span));
        for (block, operand) in operands.into_iter().enumerate() {
            let block = self.word(block as u64, span);
            (key, _) = self.philox(KIND_EXPLICIT, key, index, block, span);
            index = self.convert(operand, Scalar::U64, span);
        }
        let mut stream = vec![key, index];
        stream.extend([(); COUNTERS].map(|()| self.word(0, span)));
        stream
    }

    /// Slots that a write assigns.
    pub(super) fn slots_of_write(&self, write: &Write) -> std::ops::Range<usize> {
        let counters = |level: usize| {
            let first = self.slots.types.len() + COUNTERS * level;
            // What the loops inside draw from is theirs.
            if level < self.streams.len() { first..first + COUNTERS } else { 0..0 }
        };
        match write.target {
            Target::Local(local) => {
                let slots = self.slots.of(local);
                match write.how {
                    How::Draw if slots.len() == PARTS => slots.start + UNIFORMS..slots.start + UNIFORMS + 1,
                    How::Draw | How::Set | How::Update(_) | How::Swap | How::Count => slots,
                }
            }
            Target::Uniforms(level) => {
                let slots = counters(level);
                slots.start..slots.end.min(slots.start + 1)
            }
            Target::Children(level) => {
                let slots = counters(level);
                slots.end.saturating_sub(1).max(slots.start)..slots.end
            }
            Target::Counters(level) => counters(level),
        }
    }

    /// X(s mod 2) of block s // 2, and counts on.
    fn uniform(&mut self, stream: Option<LocalId>, span: Span) -> ir::Value {
        let (key, index, slot) = match stream {
            Some(local) => {
                let first = self.slots.first[local.0 as usize];
                let (key, index) = (self.slot_value(first), self.slot_value(first + 1));
                (key, index, first as usize + UNIFORMS)
            }
            None => {
                let (key, index) = self.current_stream(span);
                (key, index, self.counter_slot(0))
            }
        };
        let drawn = self.counter(slot, span);
        let one = self.word(1, span);
        let block = self.fold(OpCode::Shr, drawn, one, span);
        let parity = self.fold(OpCode::And, drawn, one, span);
        let (even, odd) = self.philox(KIND_UNIFORM, key, index, block, span);
        let x = match self.known(parity) {
            Some(0) => even,
            Some(_) => odd,
            None => {
                let is_odd = self.op(OpCode::Eq, vec![parity, one], Scalar::Bool, span);
                self.op(OpCode::Select, vec![is_odd, odd, even], Scalar::U64, span)
            }
        };
        self.count_on(slot, drawn, span);
        x
    }

    fn count_on(&mut self, slot: usize, counter: ir::Value, span: Span) {
        let one = self.word(1, span);
        let next = self.fold(OpCode::Add, counter, one, span);
        self.env[slot] = Slot::Value(next);
    }

    fn counter(&mut self, slot: usize, span: Span) -> ir::Value {
        match self.env[slot] {
            Slot::Value(value) => value,
            Slot::Unset | Slot::Sink { .. } => self.word(0, span),
        }
    }

    /// Slot of a counter of the current stream.
    fn counter_slot(&self, counter: usize) -> usize {
        self.slots.types.len() + COUNTERS * (self.streams.len() - 1) + counter
    }

    fn current_stream(&mut self, span: Span) -> (ir::Value, ir::Value) {
        match self.streams.last() {
            Some(&Stream::Inner { key, index }) => (key, index),
            Some(Stream::Root) | None => {
                (self.op(OpCode::Seed, Vec::new(), Scalar::U64, span), self.word(0, span))
            }
        }
    }

    fn philox(
        &mut self,
        kind: u8,
        key: ir::Value,
        index: ir::Value,
        block: ir::Value,
        span: Span,
    ) -> (ir::Value, ir::Value) {
        let args = vec![key, index, block];
        let op = self.push(OpCode::Philox { kind }, args, &[ir::Type::U64; 2], span);
        let results = &self.out.op(op).results;
        (results[0], results[1])
    }
}
