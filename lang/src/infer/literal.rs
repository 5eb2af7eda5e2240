//! Gives literals their types and writes conversions out.
//!
//! In: expressions whose type may still be open. Out: tree expressions of one concrete type. Holds: a literal takes the type of its context and
//! must fit it; all else converts only by widening, and visibly.

use super::bind::accepts;
use super::ty::{self, Lit, Number, Origin, Ty, Typed};
use super::walk::{Walk, placeholder};
use crate::constant;
use crate::diag::Diagnostic;
use crate::span::Span;
use crate::tree::{Alloc, BinaryOp, BlockExpr, Const, Expr, ExprKind, Stmt, StmtKind, UnaryOp};
use crate::types::{Scalar, Type};

/// Where a value goes, for messages.
#[derive(Clone, Copy)]
pub(super) enum Goal<'s> {
    /// A variable, with its declaration.
    Variable(&'s str, Span),
    /// An element of an array.
    Element(&'s str),
    /// The result of the function.
    Result(&'s str),
    /// A written type.
    Written(Span),
    /// A named role: `a size`, `an index`, …
    Role(&'static str),
}

impl<'a, 'i> Walk<'a, 'i> {
    /// The expression with every open type set to its default.
    pub fn settle(&mut self, value: Typed) -> Expr {
        let want = value.ty.settled();
        match &value.ty {
            Ty::Poison | Ty::Never | Ty::Known(_) => value.expr,
            Ty::Lit(..) | Ty::FlexArray(..) | Ty::Tuple(_) => self.adapt(value, &want),
        }
    }

    /// Converts implicitly to `want`; reports what does not convert.
    pub fn fit(&mut self, value: Typed, want: &Type, goal: Goal<'_>) -> Expr {
        if !accepts(want, &value.ty) {
            let diagnostic = self.mismatch(&value, want, goal);
            self.report(diagnostic);
            return placeholder(value.expr.span);
        }
        self.adapt(value, want)
    }

    // `want` accepts `value`.
    fn adapt(&mut self, value: Typed, want: &Type) -> Expr {
        let Typed { mut expr, ty } = value;
        match (&ty, want) {
            (Ty::Poison | Ty::Never, _) => expr,
            (Ty::Lit(_, Origin::Var), Type::Scalar(_)) | (Ty::FlexArray(_, Origin::Var, _), _) => {
                expr.ty = want.clone();
                expr
            }
            (Ty::Lit(_, Origin::Text), Type::Scalar(scalar)) => {
                self.retarget(&mut expr, *scalar);
                expr
            }
            (Ty::FlexArray(_, Origin::Text, _), Type::Array { elem, .. }) => {
                if let ExprKind::Alloc(Alloc::Full(fill, _)) = &mut expr.kind
                    && fill.ty != Type::Scalar(*elem)
                {
                    self.retarget(fill, *elem);
                }
                expr.ty = Type::array(*elem, ty.rank().unwrap_or(1));
                expr
            }
            (Ty::Known(Type::Scalar(_)), Type::Scalar(scalar)) => convert(expr, *scalar),
            (_, Type::Tuple(items)) => self.adapt_tuple(expr, &ty, items),
            _ => expr,
        }
    }

    fn adapt_tuple(&mut self, expr: Expr, ty: &Ty, items: &[Type]) -> Expr {
        let parts = ty.parts().unwrap_or_default();
        let want = Type::Tuple(items.to_vec());
        if ty::same_but_layout(&expr.ty, &want) && !matches!(ty, Ty::Tuple(_)) {
            return expr;
        }
        let span = expr.span;
        let tuple = |values: Vec<Expr>| {
            let ty = Type::Tuple(values.iter().map(|value| value.ty.clone()).collect());
            Expr { kind: ExprKind::Tuple(values), ty, span }
        };
        if let ExprKind::Tuple(values) = expr.kind {
            let values = values
                .into_iter()
                .zip(parts)
                .zip(items)
                .map(|((expr, ty), want)| self.adapt(Typed { expr, ty }, want))
                .collect();
            return tuple(values);
        }
        // the value is computed once, then taken apart
        let temp = self.temp("tuple", Ty::Known(expr.ty.clone()), span);
        let whole = expr.ty.clone();
        let stmt = Stmt { kind: StmtKind::Let { local: temp, value: expr }, span };
        let values = parts
            .into_iter()
            .zip(items)
            .enumerate()
            .map(|(index, (ty, want))| {
                let base = Expr { kind: ExprKind::Local(temp), ty: whole.clone(), span };
                let part = Expr { kind: ExprKind::TupleGet(Box::new(base), index), ty: ty.settled(), span };
                self.adapt(Typed { expr: part, ty }, want)
            })
            .collect();
        let value = tuple(values);
        let ty = value.ty.clone();
        Expr { kind: ExprKind::Block(Box::new(BlockExpr { stmts: vec![stmt], value: Some(value) })), ty, span }
    }

    /// A scalar operand in the type of its operation.
    pub fn operand(&mut self, value: Typed, scalar: Scalar) -> Expr {
        let Typed { mut expr, ty } = value;
        match ty {
            Ty::Lit(_, Origin::Text) => {
                self.retarget(&mut expr, scalar);
                expr
            }
            Ty::Lit(_, Origin::Var) => Expr { ty: Type::Scalar(scalar), ..expr },
            _ => convert(expr, scalar),
        }
    }

    /// Operands of an operation, and its result's type: still open if the operation is made of literals only.
    pub fn operands(&mut self, values: Vec<Typed>, number: Number) -> (Vec<Expr>, Ty) {
        match number {
            Number::Lit(lit, origin) => (values.into_iter().map(|value| value.expr).collect(), Ty::Lit(lit, origin)),
            Number::Known(scalar) => {
                (values.into_iter().map(|value| self.operand(value, scalar)).collect(), Ty::scalar(scalar))
            }
        }
    }

    // Sets the type of an expression made of literals.
    fn retarget(&mut self, expr: &mut Expr, scalar: Scalar) {
        let span = expr.span;
        if int_only(&expr.kind) && scalar.is_float() {
            self.retarget(expr, Scalar::I64);
            let inner = std::mem::replace(expr, placeholder(span));
            *expr = convert(inner, scalar);
            return;
        }
        if let Some(value) = int_literal(expr) {
            expr.kind = ExprKind::Const(self.int_constant(value, scalar, span));
            expr.ty = Type::Scalar(scalar);
            return;
        }
        match &mut expr.kind {
            ExprKind::Const(Const::F64(value)) => {
                expr.kind = ExprKind::Const(match scalar {
                    Scalar::F32 => Const::F32(*value as f32),
                    _ => Const::F64(*value),
                });
            }
            ExprKind::Unary(_, operand) => self.retarget(operand, scalar),
            ExprKind::Binary(BinaryOp::Shl | BinaryOp::Shr, value, count) => {
                self.retarget(value, scalar);
                let old = std::mem::replace(&mut **count, placeholder(span));
                **count = convert(old, scalar);
            }
            ExprKind::Binary(_, left, right) => {
                self.retarget(left, scalar);
                self.retarget(right, scalar);
            }
            ExprKind::Pow(base, exponent) => {
                let power = int_literal(exponent);
                self.retarget(base, scalar);
                match power {
                    Some(power) if scalar.is_float() && power.abs() <= 16 => {
                        let base = std::mem::replace(&mut **base, placeholder(span));
                        expr.kind = ExprKind::PowLiteral(Box::new(base), power as i32);
                    }
                    _ if scalar.is_float() => self.retarget(exponent, scalar),
                    _ => self.retarget(exponent, Scalar::I64),
                }
            }
            ExprKind::Math(_, args) => {
                for arg in args {
                    self.retarget(arg, scalar);
                }
            }
            ExprKind::If(_, then, otherwise) => {
                for arm in [then, otherwise] {
                    if let Some(value) = &mut arm.value {
                        self.retarget(value, scalar);
                    }
                }
            }
            ExprKind::Block(inner) => {
                if let Some(value) = &mut inner.value {
                    self.retarget(value, scalar);
                }
            }
            // of a walk that will be repeated
            _ => {}
        }
        expr.ty = Type::Scalar(scalar);
    }

    fn int_constant(&mut self, value: i128, scalar: Scalar, span: Span) -> Const {
        if scalar.is_int() && !constant::range(scalar).contains(&value) {
            let range = constant::range(scalar);
            let diagnostic = Diagnostic::error(
                format!("{value} does not fit {scalar}"),
                span,
                format!("{scalar} holds {} to {}", range.start(), range.end()),
            );
            self.report(match Scalar::ALL.into_iter().find(|other| other.is_int() && constant::range(*other).contains(&value)) {
                Some(other) if other != scalar => diagnostic.help(format!("for this value use {other}: `{other}({value})`")),
                _ => diagnostic.help(format!("write it as a float: `{value}.0`")),
            });
        }
        match scalar {
            Scalar::Bool => Const::Bool(value != 0),
            Scalar::I32 => Const::I32(value as i32),
            Scalar::I64 => Const::I64(value as i64),
            Scalar::U32 => Const::U32(value as u32),
            Scalar::U64 => Const::U64(value as u64),
            Scalar::F32 => Const::F32(value as f32),
            Scalar::F64 => Const::F64(value as f64),
        }
    }

    /// `f32(x)` and so on: any scalar to any scalar.
    pub fn explicit(&mut self, value: Typed, scalar: Scalar) -> Expr {
        if let (Ty::Lit(_, Origin::Text), Some(literal)) = (&value.ty, int_literal(&value.expr)) {
            let fits = scalar.is_float() || (scalar.is_int() && constant::range(scalar).contains(&literal));
            if fits {
                return self.operand(value, scalar);
            }
        }
        if let (Ty::Lit(Lit::Float, Origin::Text), ExprKind::Const(Const::F64(_)), true) =
            (&value.ty, &value.expr.kind, scalar.is_float())
        {
            return self.operand(value, scalar);
        }
        let settled = self.settle(value);
        convert(settled, scalar)
    }

    fn mismatch(&self, value: &Typed, want: &Type, goal: Goal<'_>) -> Diagnostic {
        let found = value.ty.show();
        let span = value.expr.span;
        let (title, place) = match goal {
            Goal::Variable(name, declared) => (format!("`{name}` is {want}, but the value is {found}"), Some(declared)),
            Goal::Element(name) => (format!("the elements of `{name}` are {want}, but the value is {found}"), None),
            Goal::Result(name) => (format!("`{name}` returns {want}, but the value is {found}"), None),
            Goal::Written(declared) => (format!("{want} is declared, but the value is {found}"), Some(declared)),
            Goal::Role(role) => (format!("{role} must be {want}, but this is {found}"), None),
        };
        let mut diagnostic = Diagnostic::error(title, span, format!("this is {found}"));
        if let Some(place) = place {
            diagnostic = diagnostic.with(place, format!("{want}"));
        }
        match (want, &value.ty) {
            (Type::Scalar(Scalar::Bool), Ty::Known(Type::Scalar(_)) | Ty::Lit(..)) => {
                diagnostic.help("write the comparison: `… != 0`")
            }
            (Type::Scalar(want), Ty::Known(Type::Scalar(have))) => {
                let note = if have.join(*want).is_none() {
                    format!("{have} and {want} have no common type")
                } else {
                    format!("nothing narrows from {have} to {want} by itself")
                };
                diagnostic.note(note).help(format!("convert it: `{want}(…)`"))
            }
            (Type::Scalar(want), Ty::Lit(Lit::Float, _)) if want.is_int() => match goal {
                Goal::Variable(name, _) => {
                    diagnostic.help(format!("declare `{name}` as a float: `var {name} = 0.0`, or convert: `{want}(…)`"))
                }
                _ => diagnostic.help(format!("write a whole number, or convert: `{want}(…)`")),
            },
            (Type::Scalar(_), found) if found.is_array() => diagnostic.help("take one element: `x[i]`"),
            (Type::Array { .. }, found) if !found.is_array() => diagnostic.help("make an array: `full(v, n)`"),
            (Type::Array { .. }, _) => diagnostic.note("arrays are never converted silently").help(
                "make it with the right elements and dimensions: `zeros(f32, n, m)`, and write its elements in a loop",
            ),
            (_, Ty::Known(Type::Unit)) => diagnostic.help("a function without a result gives no value"),
            (Type::Scalar(_), Ty::Known(Type::Tuple(_)) | Ty::Tuple(_)) => diagnostic.help("take one part: `t.0`, or bind the parts: `let a, b = …`"),
            _ => diagnostic.help(format!("give {want}")),
        }
    }
}

// Ops that exist on ints only keep their literals ints, whatever the context.
fn int_only(kind: &ExprKind) -> bool {
    match kind {
        ExprKind::Unary(op, _) => *op == UnaryOp::BitNot,
        ExprKind::Binary(op, ..) => {
            matches!(op, BinaryOp::BitAnd | BinaryOp::BitOr | BinaryOp::BitXor | BinaryOp::Shl | BinaryOp::Shr)
        }
        _ => false,
    }
}

/// The value of an int literal, as it stands before it has a type.
pub(super) fn int_literal(expr: &Expr) -> Option<i128> {
    match &expr.kind {
        ExprKind::Const(Const::U64(value)) => Some(i128::from(*value)),
        ExprKind::Unary(UnaryOp::Neg, operand) => match &operand.kind {
            ExprKind::Const(Const::U64(value)) => Some(-i128::from(*value)),
            _ => None,
        },
        _ => None,
    }
}

/// A scalar in another type; constants are converted here where that is exact.
pub(super) fn convert(expr: Expr, scalar: Scalar) -> Expr {
    if expr.ty == Type::Scalar(scalar) {
        return expr;
    }
    let span = expr.span;
    let kind = match &expr.kind {
        ExprKind::Const(Const::I64(value)) => match (scalar, *value) {
            (Scalar::I32, value) if i32::try_from(value).is_ok() => Some(Const::I32(value as i32)),
            (Scalar::U32, value) if u32::try_from(value).is_ok() => Some(Const::U32(value as u32)),
            (Scalar::U64, value) if value >= 0 => Some(Const::U64(value as u64)),
            _ => None,
        },
        _ => None,
    };
    let kind = kind.map_or_else(|| ExprKind::Convert(Box::new(expr)), ExprKind::Const);
    Expr { kind, ty: Type::Scalar(scalar), span }
}
