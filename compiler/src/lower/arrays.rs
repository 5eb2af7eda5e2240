//! Fresh arrays and how they are filled.
//!
//! In: `zeros`, `ones`, `full`, `arange`, `linspace`, `copy`. Out: an `alloc`, and a plain `for` that stores every element. Holds: sizes are
//! evaluated left to right, then checked in order, then the array is made; what the statement does not bind is freed with it.

use super::Lower;
use super::build::OpType;
use super::loops::{Header, Own, Ranges, Shape};
use crate::ir::{self, CheckKind, OpCode};
use kiln_lang::span::Span;
use kiln_lang::tree::{Alloc, Const, Expr, LoopAnnotations};
use kiln_lang::types::{Scalar, Type};

impl Lower<'_> {
    pub(super) fn alloc(&mut self, alloc: &Alloc, ty: &Type, span: Span) -> ir::Value {
        let Type::Array { elem, rank, layout } = *ty else { return self.int(0, span) };
        let array_type = ir::Type::Array { elem, rank, layout };
        let array = match alloc {
            Alloc::Zeros(sizes) => {
                let sizes = self.sizes(sizes);
                self.op(OpCode::Alloc, sizes, OpType(array_type), span)
            }
            Alloc::Ones(sizes) => {
                let sizes = self.sizes(sizes);
                let one = self.number(elem, 1, span);
                self.filled(array_type, &sizes, span, |_, _| one)
            }
            Alloc::Full(value, sizes) => {
                let value = self.value(value);
                let sizes = self.sizes(sizes);
                self.filled(array_type, &sizes, span, |_, _| value)
            }
            Alloc::Arange(lo, hi, step) => self.arange(array_type, lo, hi, step, span),
            Alloc::Linspace(lo, hi, count) => self.linspace(array_type, lo, hi, count, span),
        };
        self.own(array);
        array
    }

    /// `copy(a)`: of a fresh array, the array itself.
    pub(super) fn copy(&mut self, source: &Expr, span: Span) -> ir::Value {
        let array = self.value(source);
        let copy = if self.disown(array) { array } else { self.copy_of(array, span) };
        self.own(copy);
        copy
    }

    /// Stores `element(ordinals)` in every element.
    pub(super) fn fill(
        &mut self,
        array: ir::Value,
        sizes: &[ir::Value],
        span: Span,
        element: impl FnOnce(&mut Self, &[ir::Value]) -> ir::Value,
    ) {
        let annotations = LoopAnnotations::default();
        let header = Header {
            indices: &[],
            annotations: &annotations,
            draws: false,
            inside: Default::default(),
            shape: Shape::Statement,
            span,
        };
        let ranges = Ranges::over(sizes);
        self.for_loop(&header, &ranges, Own::default(), |lower, iteration| {
            let value = element(lower, iteration.ordinals());
            let mut args = vec![array];
            args.extend(iteration.ordinals());
            args.push(value);
            lower.push(OpCode::Store, args, &[], span);
            Vec::new()
        });
    }

    fn filled(
        &mut self,
        ty: ir::Type,
        sizes: &[ir::Value],
        span: Span,
        element: impl FnOnce(&mut Self, &[ir::Value]) -> ir::Value,
    ) -> ir::Value {
        let array = self.op(OpCode::AllocUninit, sizes.to_vec(), OpType(ty), span);
        self.fill(array, sizes, span, element);
        array
    }

    fn sizes(&mut self, sizes: &[Expr]) -> Vec<ir::Value> {
        let values: Vec<ir::Value> = sizes.iter().map(|size| self.value(size)).collect();
        for (&value, size) in values.iter().zip(sizes) {
            self.check_not_negative(CheckKind::Size, value, size.span);
        }
        values
    }

    /// Element k is lo + k*step, in the element type; max(0, ceil((hi-lo)/step)) of them.
    fn arange(&mut self, ty: ir::Type, lo: &Expr, hi: &Expr, step: &Expr, span: Span) -> ir::Value {
        let elem = ty.scalar();
        let step_span = step.span;
        let lo = self.value(lo);
        let hi = self.value(hi);
        let step = self.value(step);
        let size = if elem.is_float() {
            let zero = self.number(elem, 0, span);
            let differs = self.op(OpCode::Ne, vec![step, zero], Scalar::Bool, span);
            let tested = self.convert(differs, Scalar::I64, span);
            self.check(CheckKind::Step, &[tested], step_span);
            let distance = self.op(OpCode::Sub, vec![hi, lo], elem, span);
            let steps = self.op(OpCode::Div, vec![distance, step], elem, span);
            let count = self.op(OpCode::Ceil, vec![steps], elem, span);
            let count = self.convert(count, Scalar::I64, span);
            let none = self.int(0, span);
            self.op(OpCode::Max, vec![count, none], Scalar::I64, span)
        } else if elem == Scalar::U64 {
            let tested = self.convert(step, Scalar::I64, span);
            self.check_not_zero(CheckKind::Step, tested, step_span);
            self.unsigned_extent(lo, hi, step, span)
        } else {
            let [lo, hi, step] = [lo, hi, step].map(|value| self.convert(value, Scalar::I64, span));
            self.check_not_zero(CheckKind::Step, step, step_span);
            self.extent(lo, hi, Some(step), false, span)
        };
        self.filled(ty, &[size], span, |lower, ordinals| {
            let k = lower.convert(ordinals[0], elem, span);
            let offset = lower.op(OpCode::Mul, vec![k, step], elem, span);
            lower.op(OpCode::Add, vec![lo, offset], elem, span)
        })
    }

    /// The number of steps from `lo` up to `hi`, all u64, saturated.
    fn unsigned_extent(&mut self, lo: ir::Value, hi: ir::Value, step: ir::Value, span: Span) -> ir::Value {
        let runs = self.op(OpCode::Lt, vec![lo, hi], Scalar::Bool, span);
        let distance = self.op(OpCode::Sub, vec![hi, lo], Scalar::U64, span);
        let one = self.word(1, span);
        let before_last = self.op(OpCode::Sub, vec![distance, one], Scalar::U64, span);
        let steps = self.op(OpCode::FloorDiv, vec![before_last, step], Scalar::U64, span);
        let most = self.constant(Const::U64(i64::MAX as u64 - 1), span);
        let steps = self.op(OpCode::Min, vec![steps, most], Scalar::U64, span);
        let count = self.op(OpCode::Add, vec![steps, one], Scalar::U64, span);
        let count = self.convert(count, Scalar::I64, span);
        let none = self.int(0, span);
        self.op(OpCode::Select, vec![runs, count, none], Scalar::I64, span)
    }

    /// Element k is fma(k, (hi-lo)/(n-1), lo), the last exactly hi; a single one is lo.
    fn linspace(&mut self, ty: ir::Type, lo: &Expr, hi: &Expr, count: &Expr, span: Span) -> ir::Value {
        let elem = ty.scalar();
        let lo = self.value(lo);
        let hi = self.value(hi);
        let size = self.sizes(std::slice::from_ref(count))[0];
        let one = self.int(1, span);
        let last = self.fold(OpCode::Sub, size, one, span);
        let steps = self.convert(last, elem, span);
        let distance = self.op(OpCode::Sub, vec![hi, lo], elem, span);
        let step = self.op(OpCode::Div, vec![distance, steps], elem, span);
        let is_single = self.op(OpCode::Eq, vec![size, one], Scalar::Bool, span);
        let end = self.op(OpCode::Select, vec![is_single, lo, hi], elem, span);
        self.filled(ty, &[size], span, |lower, ordinals| {
            let k = lower.convert(ordinals[0], elem, span);
            let value = lower.op(OpCode::Fma, vec![k, step, lo], elem, span);
            let is_last = lower.op(OpCode::Eq, vec![ordinals[0], last], Scalar::Bool, span);
            lower.op(OpCode::Select, vec![is_last, end, value], elem, span)
        })
    }
}
