//! Expressions.
//!
//! In: typed expressions. Out: values; a tuple as its elements, flattened, a stream as its five parts. Holds: operands are evaluated once,
//! left to right; only what is cheap, pure and cannot fail is computed on both sides of a condition (`select` instead of a branch).

use super::Lower;
use super::effects::Part;
use crate::ir::{self, CheckKind, OpCode, Terminator};
use kiln_lang::math::Function;
use kiln_lang::span::Span;
use kiln_lang::tree::{
    BinaryOp, BlockExpr, CompareOp, Const, Expr, ExprKind, FuncId, LocalId, MathFn, Requirement, StreamMode,
    UnaryOp,
};
use kiln_lang::types::{Generator, Scalar, Type};

/// Ops that may be computed in vain rather than branch around them.
pub(super) const CHEAP: u32 = 6;

impl Lower<'_> {
    /// The flattened values of an expression.
    pub(super) fn values(&mut self, expr: &Expr) -> Vec<ir::Value> {
        match &expr.kind {
            ExprKind::Local(local) => {
                self.slots.of(*local).map(|slot| self.slot_value(slot as u32)).collect()
            }
            ExprKind::Tuple(items) => items.iter().flat_map(|item| self.values(item)).collect(),
            ExprKind::TupleGet(tuple, position) => self.tuple_get(tuple, *position),
            ExprKind::Call(callee, operands) => self.call(*callee, operands, expr.span),
            ExprKind::CallOn { stream, callee, args } => self.call_on(*stream, *callee, args, expr.span),
            ExprKind::If(cond, then, otherwise) => self.if_expr(expr, cond, then, otherwise),
            ExprKind::Block(block) => self.block_expr(block, &expr.ty, expr.span),
            ExprKind::Rng(operands) => self.rng(operands, generator_of(&expr.ty), expr.span),
            ExprKind::Const(_)
            | ExprKind::Unary(..)
            | ExprKind::Binary(..)
            | ExprKind::PowLiteral(..)
            | ExprKind::Pow(..)
            | ExprKind::And(..)
            | ExprKind::Or(..)
            | ExprKind::Compare { .. }
            | ExprKind::Convert(_)
            | ExprKind::Math(..)
            | ExprKind::Index(..)
            | ExprKind::Dim(..)
            | ExprKind::Alloc(_)
            | ExprKind::Copy(_)
            | ExprKind::Require(..)
            | ExprKind::Reduce(_)
            | ExprKind::Draw(..)
            | ExprKind::RandInt { .. } => vec![self.value(expr)],
        }
    }

    /// The value of a scalar or an array.
    pub(super) fn value(&mut self, expr: &Expr) -> ir::Value {
        let span = expr.span;
        let ty = scalar_of(&expr.ty);
        match &expr.kind {
            ExprKind::Const(constant) => self.constant(*constant, span),
            ExprKind::Local(local) => self.local_value(*local),
            ExprKind::Unary(op, operand) => {
                let operand = self.value(operand);
                self.unary(*op, operand, ty, span)
            }
            ExprKind::Binary(op, left, right) => {
                let left = self.value(left);
                let right = self.value(right);
                self.binary(*op, left, right, ty, span)
            }
            ExprKind::PowLiteral(base, exponent) => {
                let base = self.value(base);
                self.power_of_literal(base, *exponent, ty, span)
            }
            ExprKind::Pow(base, exponent) => self.power(base, exponent, ty, span),
            ExprKind::And(left, right) => self.short_circuit(expr, left, right, OpCode::And),
            ExprKind::Or(left, right) => self.short_circuit(expr, left, right, OpCode::Or),
            ExprKind::Compare { operands, ops, types } => self.comparison(operands, ops, types, span),
            ExprKind::Convert(operand) => {
                let operand = self.value(operand);
                self.convert(operand, ty, span)
            }
            ExprKind::Math(math, operands) => {
                let operands: Vec<ir::Value> = operands.iter().map(|operand| self.value(operand)).collect();
                self.math(*math, &operands, ty, span)
            }
            ExprKind::Index(array, indices) => {
                let name = self.array_name(array);
                let array = self.value(array);
                let values: Vec<ir::Value> = indices.iter().map(|index| self.value(index)).collect();
                self.check_bounds(array, &name, &values, indices);
                let mut args = vec![array];
                args.extend(values);
                self.op(OpCode::Load, args, ty, span)
            }
            ExprKind::Dim(array, axis) => {
                let array = self.value(array);
                self.dim(array, *axis, span)
            }
            ExprKind::Alloc(alloc) => self.alloc(alloc, &expr.ty, span),
            ExprKind::Copy(source) => self.copy(source, span),
            ExprKind::Reduce(reduce) => self.reduce(reduce, ty, span),
            ExprKind::Draw(variate, stream) => self.draw(*variate, *stream, ty, span),
            ExprKind::RandInt { stream, lo, hi } => self.rand_int(*stream, lo, hi, span),
            ExprKind::Require(value, requirement) => self.require(value, requirement),
            ExprKind::Tuple(_)
            | ExprKind::TupleGet(..)
            | ExprKind::Call(..)
            | ExprKind::CallOn { .. }
            | ExprKind::If(..)
            | ExprKind::Block(_)
            | ExprKind::Rng(_) => self.first_value(expr),
        }
    }

    fn first_value(&mut self, expr: &Expr) -> ir::Value {
        match self.values(expr).first() {
            Some(&value) => value,
            None => self.number(Scalar::I64, 0, expr.span),
        }
    }

    fn tuple_get(&mut self, tuple: &Expr, position: usize) -> Vec<ir::Value> {
        let values = self.values(tuple);
        let Type::Tuple(items) = &tuple.ty else { return values };
        let width = |items: &[Type]| items.iter().map(|item| super::flat(item).len()).sum::<usize>();
        let first = width(&items[..position]);
        values[first..first + width(&items[position..=position])].to_vec()
    }

    fn call(&mut self, callee: FuncId, operands: &[Expr], span: Span) -> Vec<ir::Value> {
        let program = self.program;
        let func = &program.funcs[callee.0 as usize];
        let operands: Vec<ir::Value> = operands.iter().flat_map(|operand| self.values(operand)).collect();
        let mut args = self.stream_args(func, span);
        args.extend(operands);
        let results = self.push_call(callee, args, span);
        let values = self.take_counters(func, results);
        self.own_arrays(&values);
        values
    }

    /// A call that draws from an explicit stream.
    fn call_on(&mut self, stream: LocalId, callee: FuncId, operands: &[Expr], span: Span) -> Vec<ir::Value> {
        let operands: Vec<ir::Value> = operands.iter().flat_map(|operand| self.values(operand)).collect();
        let mut args: Vec<ir::Value> =
            self.slots.of(stream).map(|slot| self.slot_value(slot as u32)).collect();
        args.extend(operands);
        let mut counters = self.push_call(callee, args, span);
        let values = counters.split_off(3);
        for (slot, counter) in self.slots.of(stream).skip(2).zip(counters) {
            self.set_slot(slot as u32, counter);
        }
        self.own_arrays(&values);
        values
    }

    fn push_call(&mut self, callee: FuncId, args: Vec<ir::Value>, span: Span) -> Vec<ir::Value> {
        let func = &self.program.funcs[callee.0 as usize];
        let mut types = Vec::new();
        if func.stream != StreamMode::None {
            types.extend([ir::Type::U64; 3]);
        }
        super::flatten(&func.result, &mut types);
        let op = self.push(OpCode::Call(ir::FuncId(callee.0)), args, &types, span);
        self.out.op(op).results.clone()
    }

    fn own_arrays(&mut self, values: &[ir::Value]) {
        for &value in values {
            if self.out.ty(value).is_array() {
                self.own(value);
            }
        }
    }

    /// The value, checked to lie in the range.
    fn require(&mut self, value: &Expr, requirement: &Requirement) -> ir::Value {
        let span = value.span;
        let ty = scalar_of(&value.ty);
        let value = self.value(value);
        let Requirement { least, greatest, of, needs, show } = *requirement;
        let bound = |bound: f64| match ty.is_float() {
            true => Const::F64(bound),
            // Saturates where every i64 is within.
            false => Const::I64(bound as i64),
        };
        let [least, greatest] = [least, greatest].map(|limit| self.constant(bound(limit), span));
        let above = self.op(OpCode::Ge, vec![value, least], Scalar::Bool, span);
        let below = self.op(OpCode::Le, vec![value, greatest], Scalar::Bool, span);
        let within = self.op(OpCode::And, vec![above, below], Scalar::Bool, span);
        let kind = CheckKind::Domain { of: of.into(), needs: needs.into(), show: show.then_some(ty) };
        self.check(kind, &[within, value], span);
        value
    }

    fn if_expr(
        &mut self,
        expr: &Expr,
        cond: &Expr,
        then: &BlockExpr,
        otherwise: &BlockExpr,
    ) -> Vec<ir::Value> {
        let span = expr.span;
        let cond = self.value(cond);
        let types = super::flat(&expr.ty);
        if let (Some(then), Some(otherwise)) = (cheap_value(then), cheap_value(otherwise)) {
            let then = self.value(then);
            let otherwise = self.value(otherwise);
            return vec![self.op(OpCode::Select, vec![cond, then, otherwise], types[0], span)];
        }
        let inside = self.effects.of(expr, Part::Inside);
        let carried = self.assigned(&inside).values;
        let arm = |block| {
            move |lower: &mut Self| {
                let mut values = lower.block_expr(block, &expr.ty, span);
                for value in &mut values {
                    // An array leaves the branch as a fresh one, whichever arm made it.
                    if lower.out.ty(*value).is_array() && !lower.disown(*value) {
                        *value = lower.copy_of(*value, span);
                    }
                }
                values
            }
        };
        let results = self.branch(cond, &carried, &types, span, arm(then), arm(otherwise));
        for &value in &results {
            if self.out.ty(value).is_array() {
                self.own(value);
            }
        }
        results
    }

    fn block_expr(&mut self, block: &BlockExpr, ty: &Type, span: Span) -> Vec<ir::Value> {
        self.scopes.push(Vec::new());
        self.stmts(&block.stmts);
        let values = match &block.value {
            Some(value) => self.values(value),
            None => {
                // It is left before its end.
                self.terminate_dead_end(span);
                super::flat(ty).into_iter().map(|ty| self.placeholder(ty, span)).collect()
            }
        };
        let passed: Vec<ir::Value> = values
            .iter()
            .copied()
            .filter(|&value| self.out.ty(value).is_array() && self.disown_any(value))
            .collect();
        self.close_scope(span);
        for value in passed {
            self.own(value);
        }
        values
    }

    /// `left and right`, `left or right`: an op if the right side is cheap, pure and cannot fail, else a branch.
    fn short_circuit(&mut self, expr: &Expr, left: &Expr, right: &Expr, code: OpCode) -> ir::Value {
        let span = expr.span;
        let left = self.value(left);
        if cost(right, CHEAP).is_some() {
            let right = self.value(right);
            return self.op(code, vec![left, right], Scalar::Bool, span);
        }
        let is_and = code == OpCode::And;
        let inside = self.effects.of(expr, Part::Inside);
        let carried = self.assigned(&inside).values;
        let evaluate = |lower: &mut Self| vec![lower.value(right)];
        let skip = |lower: &mut Self| vec![lower.constant(Const::Bool(!is_and), span)];
        let results = if is_and {
            self.branch(left, &carried, &[ir::Type::BOOL], span, evaluate, skip)
        } else {
            self.branch(left, &carried, &[ir::Type::BOOL], span, skip, evaluate)
        };
        results[0]
    }

    /// A chain stops at the first comparison that is false; a link's operand is evaluated only if it is reached.
    fn comparison(
        &mut self,
        operands: &[Expr],
        ops: &[CompareOp],
        types: &[Scalar],
        span: Span,
    ) -> ir::Value {
        let mut left = self.value(&operands[0]);
        let mut holds = None;
        for ((operand, &op), &ty) in operands[1..].iter().zip(ops).zip(types) {
            let Some(so_far) = holds else {
                let right = self.value(operand);
                holds = Some(self.compare(op, left, right, ty, span));
                left = right;
                continue;
            };
            if cost(operand, CHEAP).is_some() {
                let right = self.value(operand);
                let link = self.compare(op, left, right, ty, span);
                holds = Some(self.op(OpCode::And, vec![so_far, link], Scalar::Bool, span));
                left = right;
                continue;
            }
            let inside = self.effects.of(operand, Part::Whole);
            let carried = self.assigned(&inside).values;
            let operand_type = ir::Type::Scalar(scalar_of(&operand.ty));
            let results = self.branch(
                so_far,
                &carried,
                &[ir::Type::BOOL, operand_type],
                span,
                |lower| {
                    let right = lower.value(operand);
                    vec![lower.compare(op, left, right, ty, span), right]
                },
                |lower| vec![lower.constant(Const::Bool(false), span), lower.placeholder(operand_type, span)],
            );
            holds = Some(results[0]);
            left = results[1];
        }
        holds.unwrap_or(left)
    }

    fn compare(
        &mut self,
        op: CompareOp,
        left: ir::Value,
        right: ir::Value,
        ty: Scalar,
        span: Span,
    ) -> ir::Value {
        let code = match op {
            CompareOp::Eq => OpCode::Eq,
            CompareOp::Ne => OpCode::Ne,
            CompareOp::Lt => OpCode::Lt,
            CompareOp::Le => OpCode::Le,
            CompareOp::Gt => OpCode::Gt,
            CompareOp::Ge => OpCode::Ge,
        };
        let left = self.convert(left, ty, span);
        let right = self.convert(right, ty, span);
        self.op(code, vec![left, right], Scalar::Bool, span)
    }

    fn unary(&mut self, op: UnaryOp, operand: ir::Value, ty: Scalar, span: Span) -> ir::Value {
        match op {
            UnaryOp::Neg => self.op(OpCode::Neg, vec![operand], ty, span),
            UnaryOp::Not | UnaryOp::BitNot => self.op(OpCode::Not, vec![operand], ty, span),
        }
    }

    pub(super) fn binary(
        &mut self,
        op: BinaryOp,
        left: ir::Value,
        right: ir::Value,
        ty: Scalar,
        span: Span,
    ) -> ir::Value {
        let code = match op {
            BinaryOp::Add => OpCode::Add,
            BinaryOp::Sub => OpCode::Sub,
            BinaryOp::Mul => OpCode::Mul,
            BinaryOp::Div => OpCode::Div,
            BinaryOp::FloorDiv | BinaryOp::Rem if ty.is_float() => {
                return self.floored(op, left, right, ty, span);
            }
            BinaryOp::FloorDiv => {
                self.check_not_zero(CheckKind::NonZero { op: "//" }, right, span);
                OpCode::FloorDiv
            }
            BinaryOp::Rem => {
                self.check_not_zero(CheckKind::NonZero { op: "%" }, right, span);
                OpCode::Rem
            }
            BinaryOp::BitAnd | BinaryOp::And => OpCode::And,
            BinaryOp::BitOr | BinaryOp::Or => OpCode::Or,
            BinaryOp::BitXor => OpCode::Xor,
            BinaryOp::Shl | BinaryOp::Shr => {
                // The count is masked to the width, so that its own type does not matter.
                let count = self.convert(right, ty, span);
                let code = if op == BinaryOp::Shl { OpCode::Shl } else { OpCode::Shr };
                return self.op(code, vec![left, count], ty, span);
            }
            BinaryOp::Pow if ty.is_float() => OpCode::Math(Function::Pow),
            BinaryOp::Pow => return self.int_power(left, right, ty, span),
            BinaryOp::MatMul => unreachable!("infer refuses matrix products"),
        };
        self.op(code, vec![left, right], ty, span)
    }

    /// On floats: q = floor(x / y) is `x // y`, fma(-q, y, x) is `x % y`.
    fn floored(&mut self, op: BinaryOp, x: ir::Value, y: ir::Value, ty: Scalar, span: Span) -> ir::Value {
        let quotient = self.op(OpCode::Div, vec![x, y], ty, span);
        let quotient = self.op(OpCode::Floor, vec![quotient], ty, span);
        if op == BinaryOp::FloorDiv {
            return quotient;
        }
        let negated = self.op(OpCode::Neg, vec![quotient], ty, span);
        self.op(OpCode::Fma, vec![negated, y, x], ty, span)
    }

    /// Square-and-multiply from the low bit; 1 / x**|k| for a negative exponent.
    fn power_of_literal(&mut self, base: ir::Value, exponent: i32, ty: Scalar, span: Span) -> ir::Value {
        let power = self.power_of_known(base, u64::from(exponent.unsigned_abs()), ty, span);
        if exponent >= 0 {
            return power;
        }
        let one = self.number(ty, 1, span);
        self.op(OpCode::Div, vec![one, power], ty, span)
    }

    fn power_of_known(&mut self, base: ir::Value, exponent: u64, ty: Scalar, span: Span) -> ir::Value {
        let (mut square, mut rest, mut result) = (base, exponent, None);
        while rest > 0 {
            if rest & 1 == 1 {
                result = Some(match result {
                    Some(result) => self.op(OpCode::Mul, vec![result, square], ty, span),
                    None => square,
                });
            }
            rest >>= 1;
            if rest > 0 {
                square = self.op(OpCode::Mul, vec![square, square], ty, span);
            }
        }
        result.unwrap_or_else(|| self.number(ty, 1, span))
    }

    fn power(&mut self, base: &Expr, exponent: &Expr, ty: Scalar, span: Span) -> ir::Value {
        let base = self.value(base);
        let exponent = self.value(exponent);
        if ty.is_float() {
            return self.op(OpCode::Math(Function::Pow), vec![base, exponent], ty, span);
        }
        self.int_power(base, exponent, ty, span)
    }

    /// Int `**` int, wrapping, after a check that the exponent is not negative.
    fn int_power(&mut self, base: ir::Value, exponent: ir::Value, ty: Scalar, span: Span) -> ir::Value {
        match self.known(exponent) {
            Some(known) if known >= 0 => return self.power_of_known(base, known as u64, ty, span),
            Some(_) | None => self.check(CheckKind::Exponent, &[exponent], span),
        }
        let exponent_type = self.out.ty(exponent);
        let start = self.number(ty, 1, span);
        let types = [ir::Type::Scalar(ty), ir::Type::Scalar(ty), exponent_type];
        let parent = (self.region, self.dead);
        let params = |lower: &mut Self, region| types.map(|ty| lower.out.add_param(region, ty, None));

        let test = self.out.add_region();
        let [result, square, rest] = params(self, test);
        (self.region, self.dead) = (test, false);
        let zero = self.number(exponent_type.scalar(), 0, span);
        let more = self.op(OpCode::Gt, vec![rest, zero], Scalar::Bool, span);
        self.terminate(Terminator::Yield(vec![more, result, square, rest]));

        let body = self.out.add_region();
        let [result, square, rest] = params(self, body);
        (self.region, self.dead) = (body, false);
        let one = self.number(exponent_type.scalar(), 1, span);
        let low_bit = self.op(OpCode::And, vec![rest, one], exponent_type, span);
        let is_odd = self.op(OpCode::Eq, vec![low_bit, one], Scalar::Bool, span);
        let product = self.op(OpCode::Mul, vec![result, square], ty, span);
        let result = self.op(OpCode::Select, vec![is_odd, product, result], ty, span);
        let square = self.op(OpCode::Mul, vec![square, square], ty, span);
        let rest = self.op(OpCode::Shr, vec![rest, one], exponent_type, span);
        self.terminate(Terminator::Yield(vec![result, square, rest]));

        (self.region, self.dead) = parent;
        let op = self.push(OpCode::While, vec![start, base, exponent], &types, span);
        self.out.ops[op.index()].regions = vec![test, body];
        self.out.op(op).results[0]
    }

    fn math(&mut self, math: MathFn, operands: &[ir::Value], ty: Scalar, span: Span) -> ir::Value {
        let code = match math {
            MathFn::Sqrt => OpCode::Sqrt,
            MathFn::Abs if ty.is_float() || ty.is_signed_int() => OpCode::Abs,
            MathFn::Abs => return operands[0],
            MathFn::Floor => OpCode::Floor,
            MathFn::Ceil => OpCode::Ceil,
            MathFn::Round => OpCode::Nearest,
            MathFn::Trunc => OpCode::Trunc,
            MathFn::Prelude(function) => OpCode::Math(function),
            MathFn::Min if ty == Scalar::Bool => OpCode::And,
            MathFn::Max if ty == Scalar::Bool => OpCode::Or,
            MathFn::Min => OpCode::Min,
            MathFn::Max => OpCode::Max,
            MathFn::Clamp => {
                // min(max(x, lo), hi)
                let raised = self.math(MathFn::Max, &operands[..2], ty, span);
                return self.math(MathFn::Min, &[raised, operands[2]], ty, span);
            }
            MathFn::Sign => return self.sign(operands[0], ty, span),
            MathFn::Fma => OpCode::Fma,
            MathFn::IsNan => {
                return self.op(OpCode::Ne, vec![operands[0], operands[0]], Scalar::Bool, span);
            }
            MathFn::IsInf => return self.against_infinity(OpCode::Eq, operands[0], span),
            MathFn::IsFinite => return self.against_infinity(OpCode::Lt, operands[0], span),
            MathFn::Bits => return self.canonical_bits(operands[0], ty, span),
            MathFn::FromBits => OpCode::Bitcast,
            MathFn::MulHi => OpCode::MulHi,
        };
        self.op(code, operands.to_vec(), ty, span)
    }

    /// -1, 0 or 1; x itself where it is a zero or NaN.
    fn sign(&mut self, x: ir::Value, ty: Scalar, span: Span) -> ir::Value {
        let zero = self.number(ty, 0, span);
        let one = self.number(ty, 1, span);
        let is_positive = self.op(OpCode::Gt, vec![x, zero], Scalar::Bool, span);
        let other = if ty.is_float() || ty.is_signed_int() {
            let minus_one = self.number(ty, -1, span);
            let is_negative = self.op(OpCode::Lt, vec![x, zero], Scalar::Bool, span);
            self.op(OpCode::Select, vec![is_negative, minus_one, x], ty, span)
        } else {
            zero
        };
        self.op(OpCode::Select, vec![is_positive, one, other], ty, span)
    }

    /// |x| compared with infinity.
    fn against_infinity(&mut self, code: OpCode, x: ir::Value, span: Span) -> ir::Value {
        let ty = self.out.ty(x).scalar();
        let infinity = if ty == Scalar::F32 { Const::F32(f32::INFINITY) } else { Const::F64(f64::INFINITY) };
        let infinity = self.constant(infinity, span);
        let magnitude = self.op(OpCode::Abs, vec![x], ty, span);
        self.op(code, vec![magnitude, infinity], Scalar::Bool, span)
    }

    /// The bits of a float; one pattern for every NaN.
    fn canonical_bits(&mut self, x: ir::Value, ty: Scalar, span: Span) -> ir::Value {
        let nan = if ty == Scalar::U32 { Const::U32(0x7fc0_0000) } else { Const::U64(0x7ff8_0000_0000_0000) };
        let nan = self.constant(nan, span);
        let bits = self.op(OpCode::Bitcast, vec![x], ty, span);
        let is_nan = self.op(OpCode::Ne, vec![x, x], Scalar::Bool, span);
        self.op(OpCode::Select, vec![is_nan, nan, bits], ty, span)
    }
}

fn scalar_of(ty: &Type) -> Scalar {
    ty.as_scalar().unwrap_or(Scalar::I64)
}

/// What makes the blocks of a stream of that type.
pub(super) fn generator_of(stream: &Type) -> Generator {
    match stream {
        Type::Stream(generator) => *generator,
        Type::Unit | Type::Scalar(_) | Type::Array { .. } | Type::Tuple(_) => {
            unreachable!("infer lets only streams be drawn from")
        }
    }
}

/// The value of a block that is nothing but a cheap scalar.
fn cheap_value(block: &BlockExpr) -> Option<&Expr> {
    let value = block.value.as_ref().filter(|_| block.stmts.is_empty())?;
    value.ty.as_scalar()?;
    cost(value, CHEAP).map(|_| value)
}

/// Roughly how many ops an expression takes, if it is pure, cannot fail, and takes no more than `most`.
pub(super) fn cost(expr: &Expr, most: u32) -> Option<u32> {
    let sum = |own: u32, operands: &[&Expr]| {
        let mut total = own;
        for operand in operands {
            total += cost(operand, most.checked_sub(total)?)?;
        }
        (total <= most).then_some(total)
    };
    match &expr.kind {
        ExprKind::Const(_) | ExprKind::Local(_) => Some(0),
        ExprKind::Unary(_, operand) | ExprKind::Convert(operand) => sum(1, &[operand]),
        ExprKind::Dim(array, _) => sum(0, &[array]),
        ExprKind::Binary(op, left, right) => match op {
            BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::BitAnd
            | BinaryOp::BitOr
            | BinaryOp::BitXor
            | BinaryOp::Shl
            | BinaryOp::Shr => sum(1, &[left, right]),
            BinaryOp::Div
            | BinaryOp::FloorDiv
            | BinaryOp::Rem
            | BinaryOp::Pow
            | BinaryOp::MatMul
            | BinaryOp::And
            | BinaryOp::Or => None,
        },
        ExprKind::And(left, right) | ExprKind::Or(left, right) => sum(1, &[left, right]),
        ExprKind::Compare { operands, .. } if operands.len() <= 3 => {
            sum(operands.len() as u32, &operands.iter().collect::<Vec<_>>())
        }
        ExprKind::Math(math, operands) => match math {
            MathFn::Abs
            | MathFn::Floor
            | MathFn::Ceil
            | MathFn::Round
            | MathFn::Trunc
            | MathFn::Min
            | MathFn::Max
            | MathFn::Fma
            | MathFn::IsNan
            | MathFn::IsInf
            | MathFn::IsFinite
            | MathFn::FromBits
            | MathFn::MulHi => sum(1, &operands.iter().collect::<Vec<_>>()),
            MathFn::Clamp | MathFn::Bits => sum(2, &operands.iter().collect::<Vec<_>>()),
            MathFn::Sign => sum(4, &operands.iter().collect::<Vec<_>>()),
            MathFn::Sqrt | MathFn::Prelude(_) => None,
        },
        ExprKind::PowLiteral(base, 0..=4) => sum(2, &[base]),
        ExprKind::PowLiteral(..)
        | ExprKind::Compare { .. }
        | ExprKind::Pow(..)
        | ExprKind::If(..)
        | ExprKind::Block(_)
        | ExprKind::Call(..)
        | ExprKind::CallOn { .. }
        | ExprKind::Require(..)
        | ExprKind::Index(..)
        | ExprKind::Tuple(_)
        | ExprKind::TupleGet(..)
        | ExprKind::Alloc(_)
        | ExprKind::Copy(_)
        | ExprKind::Reduce(_)
        | ExprKind::Draw(..)
        | ExprKind::RandInt { .. }
        | ExprKind::Rng(_) => None,
    }
}
