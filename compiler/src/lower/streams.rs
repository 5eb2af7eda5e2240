//! Random streams as values (SEMANTICS section 6).
//!
//! In: draws, calls and loops that draw. Out: `philox` and `ars` ops and arithmetic on counters. Holds: the counters of the current implicit stream are
//! slots of the environment (three per level), so that branches and loops carry them as they carry variables; an explicit stream is a local of five values.

use super::effects::{Counter, How, Target, Write};
use super::expr::generator_of;
use super::{Lower, Slot};
use crate::ir::{self, CheckKind, OpCode};
use kiln_lang::math::Function;
use kiln_lang::span::Span;
use kiln_lang::tree::{Const, Expr, Func, LocalId, StreamMode, Variate};
use kiln_lang::types::{Generator, Scalar};

/// Values of a stream: key, index, uniforms, normals, children.
pub(super) const PARTS: usize = 5;
/// Position of the first counter among them.
const FIRST_COUNTER: usize = 2;
/// Counters of a stream.
const COUNTERS: usize = 3;
/// Positions among the counters.
const UNIFORMS: usize = 0;
const NORMALS: usize = 1;
const CHILDREN: usize = 2;

/// Kinds of blocks.
const KIND_UNIFORM: u8 = 0;
const KIND_NORMAL: u8 = 1;
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
        let (child, _) = self.words_of_block(self.generator, KIND_CHILD, [key, index, children], span);
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

    /// A random float of type `ty`.
    pub(super) fn draw(
        &mut self,
        variate: Variate,
        stream: Option<LocalId>,
        ty: Scalar,
        span: Span,
    ) -> ir::Value {
        match variate {
            Variate::Uniform => {
                let x = self.uniform(stream, span);
                self.unit_interval(x, ty, span)
            }
            Variate::Normal => self.normal(stream, ty, span),
            // -log(rand())
            Variate::Exponential => {
                let x = self.uniform(stream, span);
                let u = self.unit_interval(x, ty, span);
                let log = self.op(OpCode::Math(Function::Log), vec![u], ty, span);
                self.op(OpCode::Neg, vec![log], ty, span)
            }
        }
    }

    /// Normal m uses block m // 2 of kind 1: u = U(X0), v = U(X1), r = sqrt(-2*log(u)); m even r*cos2pi(v), odd r*sin2pi(v). Two normals in a row are
    /// written so that block, logarithm and root are equal ops, which are merged later.
    fn normal(&mut self, stream: Option<LocalId>, ty: Scalar, span: Span) -> ir::Value {
        let source = self.source(stream, NORMALS, span);
        let (parity, [x0, x1]) = self.pair_of_words(&source, KIND_NORMAL, span);
        let u = self.unit_interval(x0, ty, span);
        let v = self.unit_interval(x1, ty, span);
        let log = self.op(OpCode::Math(Function::Log), vec![u], ty, span);
        let minus_two = self.number(ty, -2, span);
        let square = self.op(OpCode::Mul, vec![minus_two, log], ty, span);
        let radius = self.op(OpCode::Sqrt, vec![square], ty, span);
        // cos2pi(v) = cospi(2v): doubling is exact.
        let half_turns = self.op(OpCode::Add, vec![v, v], ty, span);
        let part = match self.known(parity) {
            Some(0) => self.op(OpCode::Math(Function::Cospi), vec![half_turns], ty, span),
            Some(_) => self.op(OpCode::Math(Function::Sinpi), vec![half_turns], ty, span),
            None => {
                let cos = self.op(OpCode::Math(Function::Cospi), vec![half_turns], ty, span);
                let sin = self.op(OpCode::Math(Function::Sinpi), vec![half_turns], ty, span);
                self.by_parity(parity, cos, sin, ty, span)
            }
        };
        self.op(OpCode::Mul, vec![radius, part], ty, span)
    }

    /// `U(X)`: a word as a float in (0, 1).
    fn unit_interval(&mut self, x: ir::Value, ty: Scalar, span: Span) -> ir::Value {
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
    pub(super) fn rng(&mut self, operands: &[Expr], generator: Generator, span: Span) -> Vec<ir::Value> {
        let operands: Vec<ir::Value> = operands.iter().map(|operand| self.value(operand)).collect();
        let seed = self.op(OpCode::Seed, Vec::new(), Scalar::U64, span);
        let (mut key, mut index) = (seed, self.word(0, span));
        for (block, operand) in operands.into_iter().enumerate() {
            let block = self.word(block as u64, span);
            (key, _) = self.words_of_block(generator, KIND_EXPLICIT, [key, index, block], span);
            index = self.convert(operand, Scalar::U64, span);
        }
        let mut stream = vec![key, index];
        stream.extend([(); COUNTERS].map(|()| self.word(0, span)));
        stream
    }

    /// Slots that a write assigns.
    pub(super) fn slots_of_write(&self, write: &Write) -> std::ops::Range<usize> {
        let (first, counter) = match (write.target, write.how) {
            (Target::Local(local), How::Draw(counter)) => {
                (self.slots.of(local).start + FIRST_COUNTER, counter)
            }
            (Target::Local(local), How::Set | How::Update(_) | How::Swap | How::Count) => {
                return self.slots.of(local);
            }
            (Target::Stream(level, counter), _) => {
                // What the loops inside draw from is theirs.
                if level >= self.streams.len() {
                    return 0..0;
                }
                (self.slots.types.len() + COUNTERS * level, counter)
            }
        };
        match counter {
            Counter::Uniforms => first + UNIFORMS..first + UNIFORMS + 1,
            Counter::Normals => first + NORMALS..first + NORMALS + 1,
            Counter::Children => first + CHILDREN..first + CHILDREN + 1,
            Counter::All => first..first + COUNTERS,
        }
    }

    /// X(s mod 2) of block s // 2, and counts on.
    fn uniform(&mut self, stream: Option<LocalId>, span: Span) -> ir::Value {
        let source = self.source(stream, UNIFORMS, span);
        let (parity, [even, odd]) = self.pair_of_words(&source, KIND_UNIFORM, span);
        match self.known(parity) {
            Some(0) => even,
            Some(_) => odd,
            None => self.by_parity(parity, even, odd, Scalar::U64, span),
        }
    }

    /// What a draw takes its numbers from.
    fn source(&mut self, stream: Option<LocalId>, counter: usize, span: Span) -> Source {
        match stream {
            Some(local) => {
                let first = self.slots.first[local.0 as usize];
                let (key, index) = (self.slot_value(first), self.slot_value(first + 1));
                let generator = generator_of(&self.func.locals[local.0 as usize].ty);
                Source { generator, key, index, slot: first as usize + FIRST_COUNTER + counter }
            }
            None => {
                let (key, index) = self.current_stream(span);
                Source { generator: self.generator, key, index, slot: self.counter_slot(counter) }
            }
        }
    }

    /// The words of the block that the next number stands in, and whether it is the odd one of its two; counts on.
    fn pair_of_words(&mut self, source: &Source, kind: u8, span: Span) -> (ir::Value, [ir::Value; 2]) {
        let drawn = self.counter(source.slot, span);
        let one = self.word(1, span);
        let block = self.fold(OpCode::Shr, drawn, one, span);
        let parity = self.fold(OpCode::And, drawn, one, span);
        let (x0, x1) = self.words_of_block(source.generator, kind, [source.key, source.index, block], span);
        self.count_on(source.slot, drawn, span);
        (parity, [x0, x1])
    }

    fn by_parity(
        &mut self,
        parity: ir::Value,
        even: ir::Value,
        odd: ir::Value,
        ty: Scalar,
        span: Span,
    ) -> ir::Value {
        let one = self.word(1, span);
        let is_odd = self.op(OpCode::Eq, vec![parity, one], Scalar::Bool, span);
        self.op(OpCode::Select, vec![is_odd, odd, even], ty, span)
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

    /// A block of the stream (key, index): X0 and X1.
    fn words_of_block(
        &mut self,
        generator: Generator,
        kind: u8,
        [key, index, block]: [ir::Value; 3],
        span: Span,
    ) -> (ir::Value, ir::Value) {
        let args = vec![key, index, block];
        let op = self.push(OpCode::Draw { generator, kind }, args, &[ir::Type::U64; 2], span);
        let results = &self.out.op(op).results;
        (results[0], results[1])
    }
}

/// A counter of a stream.
struct Source {
    generator: Generator,
    key: ir::Value,
    index: ir::Value,
    /// Where the counter stands in the environment.
    slot: usize,
}
