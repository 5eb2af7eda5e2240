//! Reductions of generators: `sum(e for i in 0..n if c)` and its kin.
//!
//! In: a [`Reduce`]. Out: a `for` with a reduction of its own, in the language's fixed order (SEMANTICS section 5). Holds: a filtered
//! term is not sent and keeps its ordinal; `argmin` and `argmax` have no order to keep and are plain loops that carry the best term so far.

use super::Lower;
use super::effects::{Part, Sent, sent};
use super::loops::{Header, Iteration, Own, Ranges, Shape, for_type};
use crate::ir::{self, CheckKind, OpCode, Reduction};
use kiln_abi::ReduceOp;
use kiln_lang::span::Span;
use kiln_lang::tree::{Const, Reduce, ReduceKind};
use kiln_lang::types::Scalar;

/// The generator's total is the loop's first reduction.
const TOTAL: u32 = 0;
/// The number of terms that a filter let through is the second.
const COUNT: u32 = 1;

impl Lower<'_> {
    /// The result, of type `ty`.
    pub(super) fn reduce(&mut self, reduce: &Reduce, ty: Scalar, span: Span) -> ir::Value {
        let fast = self.fast;
        self.fast |= reduce.annotations.fast;
        let ranges = self.ranges(&reduce.indices);
        let result = match reduce.kind {
            ReduceKind::Sum => {
                let (total, _) = self.total(reduce, &ranges, ReduceOp::Sum, ty, span);
                self.zero_plus(total, ty, span)
            }
            ReduceKind::Prod => self.total(reduce, &ranges, ReduceOp::Prod, ty, span).0,
            ReduceKind::Min => self.extreme(reduce, &ranges, ReduceOp::Min, ty, span),
            ReduceKind::Max => self.extreme(reduce, &ranges, ReduceOp::Max, ty, span),
            ReduceKind::Mean => {
                let (total, count) = self.total(reduce, &ranges, ReduceOp::Sum, ty, span);
                let sum = self.zero_plus(total, ty, span);
                let count = self.convert(count, ty, span);
                self.op(OpCode::Div, vec![sum, count], ty, span)
            }
            ReduceKind::Any => self.total(reduce, &ranges, ReduceOp::Or, ty, span).0,
            ReduceKind::All => self.total(reduce, &ranges, ReduceOp::And, ty, span).0,
            ReduceKind::Argmin => self.search(reduce, &ranges, OpCode::Lt, "argmin", span),
            ReduceKind::Argmax => self.search(reduce, &ranges, OpCode::Gt, "argmax", span),
        };
        self.fast = fast;
        result
    }

    /// The total from the identity, and the number of terms (for the kinds that ask for it).
    fn total(
        &mut self,
        reduce: &Reduce,
        ranges: &Ranges,
        op: ReduceOp,
        ty: Scalar,
        span: Span,
    ) -> (ir::Value, ir::Value) {
        let counts = match reduce.kind {
            ReduceKind::Min | ReduceKind::Max | ReduceKind::Mean => reduce.filter.is_some(),
            ReduceKind::Sum
            | ReduceKind::Prod
            | ReduceKind::Any
            | ReduceKind::All
            | ReduceKind::Argmin
            | ReduceKind::Argmax => false,
        };
        let op = for_type(op, ty);
        let mut own = Own::default();
        own.reductions.push(Reduction { op, ty, name: kind_name(reduce.kind).into() });
        if counts {
            own.reductions.push(Reduction { op: ReduceOp::Sum, ty: Scalar::I64, name: "count".into() });
        }
        let iterations = self.iterations(ranges, span);
        let header = self.header_of(reduce, Shape::Generator, span);
        let totals = self.for_loop(&header, ranges, own, |lower, _| {
            lower.if_let_through(reduce, span, |lower| {
                match sent(reduce) {
                    Sent::Term(term) => {
                        let value = lower.value(term);
                        lower.send(TOTAL, value, term.span);
                    }
                    Sent::Product(left, right) => {
                        let factors = vec![lower.value(left), lower.value(right)];
                        lower.push(OpCode::SendFma { reduction: TOTAL }, factors, &[], reduce.term.span);
                    }
                }
                if counts {
                    let one = lower.int(1, span);
                    lower.send(COUNT, one, span);
                }
            });
            Vec::new()
        });
        (totals[0], totals.get(1).copied().unwrap_or(iterations))
    }

    /// `min` or `max`: of nothing, an error.
    fn extreme(
        &mut self,
        reduce: &Reduce,
        ranges: &Ranges,
        op: ReduceOp,
        ty: Scalar,
        span: Span,
    ) -> ir::Value {
        let (total, count) = self.total(reduce, ranges, op, ty, span);
        self.check_not_zero(CheckKind::NotEmpty { of: kind_name(reduce.kind) }, count, span);
        total
    }

    /// `argmin`, `argmax`: lowest ordinal among equals; the first NaN wins.
    fn search(
        &mut self,
        reduce: &Reduce,
        ranges: &Ranges,
        better: OpCode,
        name: &'static str,
        span: Span,
    ) -> ir::Value {
        // Truth values are compared as numbers.
        let ty = match reduce.term.ty.as_scalar() {
            Some(Scalar::Bool) | None => Scalar::I32,
            Some(scalar) => scalar,
        };
        let iterations = self.iterations(ranges, span);
        let header = self.header_of(reduce, Shape::Search, span);
        let start = self.number(ty, 0, span);
        let nowhere = self.int(-1, span);
        let own = Own { reductions: Vec::new(), carried: vec![start, nowhere] };
        let found = self.for_loop(&header, ranges, own, |lower, iteration| {
            lower.search_step(reduce, iteration, better, ty, span)
        });
        let count = if reduce.filter.is_some() {
            let one = self.int(1, span);
            self.fold(OpCode::Add, found[1], one, span)
        } else {
            iterations
        };
        self.check_not_zero(CheckKind::NotEmpty { of: name }, count, span);
        found[1]
    }

    /// The best term and its ordinal after one more iteration.
    fn search_step(
        &mut self,
        reduce: &Reduce,
        iteration: &Iteration,
        better: OpCode,
        ty: Scalar,
        span: Span,
    ) -> Vec<ir::Value> {
        let (best, place) = (iteration.carried[0], iteration.carried[1]);
        let ordinal = self.linear(iteration, span);
        let step = |lower: &mut Self| {
            let term = lower.value(&reduce.term);
            let term = lower.convert(term, ty, span);
            let zero = lower.int(0, span);
            let is_first = lower.op(OpCode::Lt, vec![place, zero], Scalar::Bool, span);
            let wins = lower.op(better, vec![term, best], Scalar::Bool, span);
            let mut takes = lower.op(OpCode::Or, vec![is_first, wins], Scalar::Bool, span);
            if ty.is_float() {
                // A NaN beats everything but an earlier one.
                let is_nan = lower.op(OpCode::Ne, vec![term, term], Scalar::Bool, span);
                let none_yet = lower.op(OpCode::Eq, vec![best, best], Scalar::Bool, span);
                let nan_wins = lower.op(OpCode::And, vec![is_nan, none_yet], Scalar::Bool, span);
                takes = lower.op(OpCode::Or, vec![takes, nan_wins], Scalar::Bool, span);
            }
            let best = lower.op(OpCode::Select, vec![takes, term, best], ty, span);
            let place = lower.op(OpCode::Select, vec![takes, ordinal, place], Scalar::I64, span);
            vec![best, place]
        };
        let Some(filter) = &reduce.filter else { return step(self) };
        let passes = self.value(filter);
        let inside = self.effects.of(reduce, Part::Whole);
        let carried = self.assigned(&inside).values;
        let types = [ir::Type::Scalar(ty), ir::Type::I64];
        self.branch(passes, &carried, &types, span, step, |_| vec![best, place])
    }

    /// Lowers the term, behind the filter if there is one.
    fn if_let_through(&mut self, reduce: &Reduce, span: Span, send: impl FnOnce(&mut Self)) {
        let Some(filter) = &reduce.filter else { return send(self) };
        let passes = self.value(filter);
        let inside = self.effects.of(reduce, Part::Whole);
        let carried = self.assigned(&inside).values;
        let then = |lower: &mut Self| {
            send(lower);
            Vec::new()
        };
        self.branch(passes, &carried, &[], span, then, |_| Vec::new());
    }

    fn header_of<'r>(&self, reduce: &'r Reduce, shape: Shape, span: Span) -> Header<'r> {
        Header {
            indices: &reduce.indices,
            annotations: &reduce.annotations,
            draws: reduce.draws,
            inside: self.effects.of(reduce, Part::Inside),
            shape,
            span,
        }
    }

    /// The product of the extents. It wraps only where the loop would never end.
    fn iterations(&mut self, ranges: &Ranges, span: Span) -> ir::Value {
        let mut count = ranges.extents[0];
        for &extent in &ranges.extents[1..] {
            count = self.fold(OpCode::Mul, count, extent, span);
        }
        count
    }

    /// A sum is 0 + total: the sum of no floats is +0.0, not the identity -0.0.
    fn zero_plus(&mut self, total: ir::Value, ty: Scalar, span: Span) -> ir::Value {
        let zero = match ty {
            Scalar::F64 => Const::F64(0.0),
            Scalar::F32 => Const::F32(0.0),
            Scalar::Bool | Scalar::I32 | Scalar::I64 | Scalar::U32 | Scalar::U64 => return total,
        };
        let zero = self.constant(zero, span);
        self.op(OpCode::Add, vec![zero, total], ty, span)
    }
}

fn kind_name(kind: ReduceKind) -> &'static str {
    match kind {
        ReduceKind::Sum => "sum",
        ReduceKind::Prod => "prod",
        ReduceKind::Min => "min",
        ReduceKind::Max => "max",
        ReduceKind::Mean => "mean",
        ReduceKind::Any => "any",
        ReduceKind::All => "all",
        ReduceKind::Argmin => "argmin",
        ReduceKind::Argmax => "argmax",
    }
}
