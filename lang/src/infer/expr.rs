//! Types expressions.
//!
//! In: expressions as parsed. Out: [`Typed`] ones. Holds: each operand has the type of its operation; array operands are names, or temporaries of
//! the expression that uses them.

use super::literal::{Goal, convert, int_literal};
use super::ty::{self, Lit, Number, Origin, Ty, Typed};
use super::walk::Walk;
use crate::ast;
use crate::constant;
use crate::diag::Diagnostic;
use crate::script::ScriptArg;
use crate::span::Span;
use crate::spell;
use crate::tree::{BinaryOp, BlockExpr, Const, Expr, ExprKind, Stmt, StmtKind, UnaryOp};
use crate::types::{MAX_TUPLE, Scalar, Type};

impl<'a, 'i> Walk<'a, 'i> {
    pub fn expr(&mut self, expr: &'a ast::Expr) -> Typed {
        use ast::ExprKind::*;
        let span = expr.span;
        match &expr.kind {
            Int(value) => literal(Const::U64(*value), Lit::Int, span),
            Float(value) => literal(Const::F64(*value), Lit::Float, span),
            Bool(value) => known(ExprKind::Const(Const::Bool(*value)), Type::Scalar(Scalar::Bool), span),
            Name(name) => self.name(name, span),
            Unary(op, operand) => self.unary(*op, operand, span),
            Binary(BinaryOp::And | BinaryOp::Or, ..) => self.logic(expr),
            Binary(BinaryOp::Pow, base, exponent) => {
                let (base, exponent) = (self.expr(base), self.expr(exponent));
                self.power(base, exponent, span)
            }
            Binary(op, left, right) => {
                let (left, right) = (self.expr(left), self.expr(right));
                self.binary(*op, left, right, span)
            }
            Compare(operands, ops) => self.compare(operands, ops, span),
            Call { callee, args, keywords, generator } => {
                self.call(callee, args, keywords, generator.as_deref(), span)
            }
            Index(base, indices) => self.element(base, indices, span),
            Field(base, field) => self.field(base, field, span),
            Tuple(items) => {
                let items: Vec<Typed> = items.iter().map(|item| self.expr(item)).collect();
                self.tuple(items, span)
            }
            If { cond, then, otherwise: Some(otherwise) } => self.if_value(cond, then, otherwise, span),
            Block(block) => {
                let (block, ty) = self.block_value(block);
                if ty.has_array() && block.value.as_ref().is_some_and(|value| self.root_of(value).is_some()) {
                    return self.fail(
                        Diagnostic::error(
                            "an array cannot leave the block that owns it as a value",
                            span,
                            "this block's value is an array",
                        )
                        .help("declare the array before the block, and fill it inside"),
                    );
                }
                let shown = block.value.as_ref().map_or(Type::Unit, |value| value.ty.clone());
                Typed { expr: Expr { kind: ExprKind::Block(Box::new(block)), ty: shown, span }, ty }
            }
            List(_) => self.fail(
                Diagnostic::error(
                    "a list of elements stands only after `let x =` or `var x =`",
                    span,
                    "not bound to a name",
                )
                .help(format!(
                    "bind it first: `let x = [{}]`",
                    match &expr.kind {
                        List(items) => spell::list(items),
                        _ => "…".into(),
                    }
                )),
            ),
            // reported by the resolver or the parser
            Str(_) | Range { .. } | Comprehension(_) | If { otherwise: None, .. } | Error => {
                self.poison(span)
            }
        }
    }

    pub fn name(&mut self, name: &'a str, span: Span) -> Typed {
        if let Some(local) = self.lookup(name) {
            return self.local(local, span);
        }
        if let Some(item) = self.checked.consts.get(name) {
            return constant_value(item.value, span);
        }
        match crate::builtins::constant(name) {
            Some(value) => literal(Const::F64(value), Lit::Float, span),
            None => self.poison(span),
        }
    }

    // ---- operators ----

    /// What is known of a scalar operand; reports anything else.
    pub fn number(&mut self, value: &Typed, what: &str) -> Option<Number> {
        match &value.ty {
            Ty::Known(Type::Scalar(scalar)) => Some(Number::Known(*scalar)),
            Ty::Lit(lit, origin) => Some(Number::Lit(*lit, *origin)),
            Ty::Poison | Ty::Never => None,
            ty => {
                let diagnostic = self.not_a_number(ty, what, &value.expr);
                self.report(diagnostic);
                None
            }
        }
    }

    fn not_a_number(&self, ty: &Ty, what: &str, expr: &Expr) -> Diagnostic {
        let span = expr.span;
        let name = match &expr.kind {
            ExprKind::Local(local) => self.locals[local.0 as usize].name.as_str(),
            _ => "x",
        };
        match ty.rank() {
            Some(rank) => {
                let (header, indices) = over(name, rank);
                Diagnostic::error(
                    format!("{what} whole arrays is not there yet"),
                    span,
                    format!("this is an array, {}", ty.show()),
                )
                .help(format!("loop over the elements: `{header} {{ … {name}[{indices}] … }}`"))
            }
            None => {
                let diagnostic = Diagnostic::error(
                    format!("{what} {} is not possible", ty.show()),
                    span,
                    format!("this is {}", ty.show()),
                );
                match ty {
                    Ty::Known(Type::Unit) => diagnostic.help("a function without a result gives no value"),
                    Ty::Known(Type::Stream(_)) => diagnostic.help("draw from it: `rand(s)`"),
                    _ => diagnostic.help("take one part: `t.0`"),
                }
            }
        }
    }

    // `a + b` on arrays, and the loop that does it.
    fn array_operands(&self, op: BinaryOp, left: &Typed, right: &Typed, span: Span) -> Diagnostic {
        let name = |value: &Typed, other: &str| match &value.expr.kind {
            ExprKind::Local(local) => self.locals[local.0 as usize].name.clone(),
            _ => other.to_string(),
        };
        let element = |value: &Typed, other: &str| {
            let name = name(value, other);
            value.ty.rank().map_or(name.clone(), |rank| format!("{name}[{}]", letters(rank)))
        };
        let array = if left.ty.is_array() { left } else { right };
        let rank = array.ty.rank().unwrap_or(1);
        let (header, indices) = over(&name(array, "a"), rank);
        let (a, b) = (element(left, "a"), element(right, "b"));
        Diagnostic::error(
            format!("`{}` on whole arrays is not there yet", spell::binary(op)),
            span,
            format!("an operand is an array, {}", array.ty.show()),
        )
        .help(format!(
            "loop over the elements: `{header} {{ c[{indices}] = {a} {} {b} }}`",
            spell::binary(op)
        ))
    }

    fn unary(&mut self, op: UnaryOp, operand: &'a ast::Expr, span: Span) -> Typed {
        let value = self.expr(operand);
        if op == UnaryOp::Not {
            let value = self.truth(value, "`not`");
            return known(ExprKind::Unary(op, Box::new(value)), Type::Scalar(Scalar::Bool), span);
        }
        let Some(number) = self.number(&value, if op == UnaryOp::Neg { "`-` on" } else { "`~` on" }) else {
            return self.poison(span);
        };
        let number = match (op, number) {
            (UnaryOp::Neg, Number::Known(Scalar::Bool)) => Number::Known(Scalar::I64),
            (UnaryOp::BitNot, Number::Known(Scalar::Bool)) => {
                return self.fail(
                    Diagnostic::error("`~` needs an int, found bool", value.expr.span, "this is bool")
                        .help("write `not`"),
                );
            }
            (UnaryOp::BitNot, Number::Known(Scalar::F32 | Scalar::F64) | Number::Lit(Lit::Float, _)) => {
                return self.fail(
                    Diagnostic::error(
                        format!("`~` needs an int, found {}", value.ty.show()),
                        value.expr.span,
                        "not an int",
                    )
                    .help("for the bits of a float write `bits(x)`"),
                );
            }
            (_, number) => number,
        };
        let (mut values, ty) = self.operands(vec![value], number);
        let value = values.remove(0);
        typed(ExprKind::Unary(op, Box::new(value)), ty, span)
    }

    /// A condition.
    pub fn truth(&mut self, value: Typed, what: &'static str) -> Expr {
        match &value.ty {
            Ty::Known(Type::Scalar(Scalar::Bool)) | Ty::Poison | Ty::Never => value.expr,
            Ty::Lit(_, Origin::Var) => value.expr,
            ty => {
                let shown = ty.show();
                let span = value.expr.span;
                let diagnostic = Diagnostic::error(
                    format!("{what} needs a truth value, found {shown}"),
                    span,
                    format!("this is {shown}"),
                );
                self.report(match ty {
                    Ty::Known(Type::Scalar(_)) | Ty::Lit(..) => {
                        diagnostic.help("write the comparison: `… != 0`")
                    }
                    ty if ty.is_array() => diagnostic.help("test its elements: `any(…)` or `all(…)`"),
                    _ => diagnostic.help("write a comparison"),
                });
                value.expr
            }
        }
    }

    // Chains of `and` are walked without recursion on the right sides only; the parser bounds their depth.
    fn logic(&mut self, expr: &'a ast::Expr) -> Typed {
        let ast::ExprKind::Binary(op, left, right) = &expr.kind else { return self.poison(expr.span) };
        let what = if *op == BinaryOp::And { "`and`" } else { "`or`" };
        let left = self.expr(left);
        let left = Box::new(self.truth(left, what));
        let right = self.expr(right);
        let right = Box::new(self.truth(right, what));
        let kind = if *op == BinaryOp::And { ExprKind::And(left, right) } else { ExprKind::Or(left, right) };
        known(kind, Type::Scalar(Scalar::Bool), expr.span)
    }

    /// The type of `left op right`; reports operands that do not go together.
    pub fn operation(&mut self, op: BinaryOp, left: &Typed, right: &Typed, span: Span) -> Option<Number> {
        use BinaryOp::*;
        if op == MatMul {
            return None;
        }
        if left.ty.is_array() || right.ty.is_array() {
            let diagnostic = self.array_operands(op, left, right, span);
            self.report(diagnostic);
            return None;
        }
        let what = format!("`{}` on", spell::binary(op));
        let (a, b) = (self.number(left, &what), self.number(right, &what));
        let (a, b) = (a?, b?);
        let joined = ty::common(a, b);
        let is_float = |number: Number| match number {
            Number::Known(scalar) => scalar.is_float(),
            Number::Lit(lit, _) => lit == Lit::Float,
        };
        match op {
            Div => {
                return Some(match joined {
                    Some(Number::Known(scalar)) if scalar.is_float() => Number::Known(scalar),
                    Some(Number::Lit(_, origin)) => Number::Lit(Lit::Float, origin),
                    _ => Number::Known(Scalar::F64),
                });
            }
            Shl | Shr | BitAnd | BitOr | BitXor => {
                for (number, value) in [(a, left), (b, right)] {
                    if is_float(number) {
                        let shown = value.ty.show();
                        self.report(
                            Diagnostic::error(
                                format!("`{}` needs ints, found {shown}", spell::binary(op)),
                                value.expr.span,
                                format!("this is {shown}"),
                            )
                            .help(match op {
                                BitXor => {
                                    "a power is written `x ** y`; for the bits of a float write `bits(x)`"
                                }
                                _ => "convert it: `i64(…)`; for the bits of a float write `bits(x)`",
                            }),
                        );
                        return None;
                    }
                }
                if matches!(op, Shl | Shr) {
                    return Some(if a == Number::Known(Scalar::Bool) {
                        Number::Known(Scalar::I64)
                    } else {
                        a
                    });
                }
                if joined == Some(Number::Known(Scalar::Bool)) {
                    return joined;
                }
            }
            Add | Sub | Mul | FloorDiv | Rem | Pow | MatMul | And | Or => {}
        }
        match joined {
            Some(Number::Known(Scalar::Bool)) => Some(Number::Known(Scalar::I64)),
            Some(number) => Some(number),
            None => {
                let (a, b) = (left.ty.show(), right.ty.show());
                self.report(
                    Diagnostic::error(
                        format!("{a} and {b} have no common type"),
                        span,
                        format!("{a} {} {b}", spell::binary(op)),
                    )
                    .with(left.expr.span, format!("this is {a}"))
                    .with(right.expr.span, format!("this is {b}"))
                    .help(format!("convert one of them: `{a}(…)` or `{b}(…)`")),
                );
                None
            }
        }
    }

    pub fn binary(&mut self, op: BinaryOp, left: Typed, right: Typed, span: Span) -> Typed {
        let Some(number) = self.operation(op, &left, &right, span) else { return self.poison(span) };
        if matches!(op, BinaryOp::Shl | BinaryOp::Shr) {
            let count = self.settle(right);
            let (mut values, ty) = self.operands(vec![left], number);
            let value = values.remove(0);
            let count = match value.ty.as_scalar() {
                Some(scalar) if matches!(ty, Ty::Known(_)) => convert(count, scalar),
                _ => convert(count, Scalar::I64),
            };
            return typed(ExprKind::Binary(op, Box::new(value), Box::new(count)), ty, span);
        }
        let (mut values, ty) = self.operands(vec![left, right], number);
        let right = values.remove(1);
        let left = values.remove(0);
        typed(ExprKind::Binary(op, Box::new(left), Box::new(right)), ty, span)
    }

    pub fn power(&mut self, base: Typed, exponent: Typed, span: Span) -> Typed {
        let (a, b) = (self.number(&base, "`**` on"), self.number(&exponent, "`**` on"));
        let (Some(a), Some(b)) = (a, b) else { return self.poison(span) };
        let int = |number: Number| match number {
            Number::Known(scalar) => !scalar.is_float(),
            Number::Lit(lit, _) => lit == Lit::Int,
        };
        let literal = match exponent.ty {
            Ty::Lit(Lit::Int, Origin::Text) => int_literal(&exponent.expr),
            _ => None,
        };
        match a {
            // float ** int literal: by multiplication
            Number::Known(scalar) if scalar.is_float() && literal.is_some_and(|power| power.abs() <= 16) => {
                let kind = ExprKind::PowLiteral(Box::new(base.expr), literal.unwrap_or(1) as i32);
                known(kind, Type::Scalar(scalar), span)
            }
            // int ** int
            Number::Known(scalar) if int(a) && int(b) => {
                let scalar = scalar.max(Scalar::I32);
                let base = self.operand(base, scalar);
                let exponent = self.settle(exponent);
                let exponent = convert(exponent, Scalar::I64);
                known(ExprKind::Pow(Box::new(base), Box::new(exponent)), Type::Scalar(scalar), span)
            }
            // literal ** literal stays open; literal ** int is i64
            Number::Lit(lit, origin) if matches!(b, Number::Lit(..)) || origin == Origin::Var => {
                let lit = match b {
                    Number::Lit(other, _) => lit.max(other),
                    Number::Known(_) => lit,
                };
                let waits = origin == Origin::Var || matches!(b, Number::Lit(_, Origin::Var));
                let origin = if waits { Origin::Var } else { Origin::Text };
                let kind = ExprKind::Pow(Box::new(base.expr), Box::new(exponent.expr));
                typed(kind, Ty::Lit(lit, origin), span)
            }
            Number::Lit(Lit::Int, _) if int(b) => {
                let base = self.operand(base, Scalar::I64);
                let exponent = self.settle(exponent);
                let exponent = convert(exponent, Scalar::I64);
                known(ExprKind::Pow(Box::new(base), Box::new(exponent)), Type::Scalar(Scalar::I64), span)
            }
            _ => {
                let scalar = match ty::common(a, b) {
                    Some(Number::Known(scalar)) if scalar.is_float() => scalar,
                    _ => Scalar::F64,
                };
                let base = self.operand(base, scalar);
                let exponent = self.operand(exponent, scalar);
                known(ExprKind::Pow(Box::new(base), Box::new(exponent)), Type::Scalar(scalar), span)
            }
        }
    }

    fn compare(&mut self, operands: &'a [ast::Expr], ops: &[ast::CompareOp], span: Span) -> Typed {
        let values: Vec<Typed> = operands.iter().map(|operand| self.expr(operand)).collect();
        let mut types = Vec::with_capacity(ops.len());
        let mut whole = true;
        for (pair, op) in values.windows(2).zip(ops) {
            let what = format!("`{}` on", spell::compare(*op));
            let (a, b) = (self.number(&pair[0], &what), self.number(&pair[1], &what));
            let (Some(a), Some(b)) = (a, b) else {
                whole = false;
                continue;
            };
            match ty::common(a, b) {
                Some(Number::Known(scalar)) => types.push(scalar),
                Some(Number::Lit(lit, _)) => types.push(lit.default()),
                None => {
                    whole = false;
                    let (a, b) = (pair[0].ty.show(), pair[1].ty.show());
                    self.report(
                        Diagnostic::error(
                            format!("{a} and {b} have no common type"),
                            span,
                            format!("{a} {} {b}", spell::compare(*op)),
                        )
                        .help(format!("convert one of them: `{a}(…)` or `{b}(…)`")),
                    );
                }
            }
        }
        if !whole || types.len() + 1 != values.len() {
            let ty = Ty::Poison;
            return Typed { ty, ..self.poison(span) };
        }
        let last = types.len() - 1;
        let values = values
            .into_iter()
            .enumerate()
            .map(|(index, value)| match value.ty {
                Ty::Lit(..) => {
                    let (before, after) = (types[index.saturating_sub(1)], types[index.min(last)]);
                    self.operand(value, before.join(after).unwrap_or(after))
                }
                _ => value.expr,
            })
            .collect();
        let kind = ExprKind::Compare { operands: values, ops: ops.to_vec(), types };
        known(kind, Type::Scalar(Scalar::Bool), span)
    }

    // ---- tuples and arrays ----

    pub fn tuple(&mut self, items: Vec<Typed>, span: Span) -> Typed {
        let count: usize = items.iter().map(|item| ty::flat_len(&item.ty)).sum();
        if count > MAX_TUPLE {
            return self.fail(
                Diagnostic::error(
                    format!("a tuple has at most {MAX_TUPLE} parts, inner ones counted"),
                    span,
                    format!("this has {count}"),
                )
                .help("keep many numbers in an array"),
            );
        }
        if let Some(item) =
            items.iter().find(|item| matches!(item.ty, Ty::Known(Type::Unit | Type::Stream(_))))
        {
            let shown = item.ty.show();
            let inner = item.expr.span;
            return self.fail(
                Diagnostic::error(
                    format!("{shown} cannot be part of a tuple"),
                    inner,
                    format!("this is {shown}"),
                )
                .help("tuples hold numbers, arrays and tuples"),
            );
        }
        let (mut exprs, mut types) = (Vec::with_capacity(items.len()), Vec::with_capacity(items.len()));
        for item in items {
            exprs.push(item.expr);
            types.push(item.ty);
        }
        let shown = Type::Tuple(exprs.iter().map(|expr| expr.ty.clone()).collect());
        Typed { expr: Expr { kind: ExprKind::Tuple(exprs), ty: shown, span }, ty: Ty::tuple(types) }
    }

    fn field(&mut self, base: &'a ast::Expr, field: &'a ast::Name, span: Span) -> Typed {
        if let ast::ExprKind::Name(name) = &base.kind
            && name == "args"
            && self.lookup(name).is_none()
            && let Some(script) = self.script
        {
            return self.script_arg(script.args, field, span);
        }
        let value = self.expr(base);
        if value.ty == Ty::Poison {
            return self.poison(span);
        }
        let Some(parts) = value.ty.parts() else {
            let shown = value.ty.show();
            return self.fail(
                Diagnostic::error(
                    format!("only a tuple has numbered parts, found {shown}"),
                    value.expr.span,
                    format!("this is {shown}"),
                )
                .help("for an element of an array write `a[i]`"),
            );
        };
        let index: usize = field.text.parse().unwrap_or(usize::MAX);
        let Some(part) = parts.get(index).cloned() else {
            return self.fail(
                Diagnostic::error(
                    format!("this tuple has no part {}", field.text),
                    field.span,
                    format!("{} parts: {}", parts.len(), value.ty.show()),
                )
                .help(format!("the last one is `.{}`", parts.len().saturating_sub(1))),
            );
        };
        if let ExprKind::Tuple(items) = value.expr.kind {
            // `(a, b).0`: the other parts are still computed
            let ty = Ty::tuple(parts);
            let tuple = Typed { expr: Expr { kind: ExprKind::Tuple(items), ty: value.expr.ty, span }, ty };
            let tuple = self.settle(tuple);
            let ty = part.settled();
            return known(ExprKind::TupleGet(Box::new(tuple), index), ty, span);
        }
        let get =
            |base: Expr| Expr { kind: ExprKind::TupleGet(Box::new(base), index), ty: part.settled(), span };
        if self.root_of(&value.expr).is_none() && value.ty.has_array() {
            // a temporary owns the arrays of the tuple
            let (place, stmts) = self.place(value);
            return self.within(stmts, Typed { expr: get(place), ty: part.clone() });
        }
        Typed { expr: get(value.expr), ty: part }
    }

    fn script_arg(&mut self, args: &[ScriptArg], field: &ast::Name, span: Span) -> Typed {
        let index: usize = field.text.parse().unwrap_or(usize::MAX);
        match args.get(index) {
            Some(ScriptArg::Int(value)) => {
                constant_value(constant::Value::Int(i128::from(*value), None), span)
            }
            Some(ScriptArg::Float(value)) => constant_value(constant::Value::Float(*value, None), span),
            Some(ScriptArg::Bool(value)) => constant_value(constant::Value::Bool(*value), span),
            Some(ScriptArg::Text(text)) => self.fail(
                Diagnostic::error(
                    format!("argument {} of the script is text, not a number: {text:?}", index + 1),
                    span,
                    "a number is needed",
                )
                .help("give a number on the command line, behind the script's name"),
            ),
            None => self.fail(
                Diagnostic::error(
                    format!("the script needs argument {}", index.saturating_add(1)),
                    span,
                    match args.len() {
                        0 => "no arguments are given".to_string(),
                        1 => "only `args.0` is given".to_string(),
                        count => format!("only `args.0` to `args.{}` are given", count - 1),
                    },
                )
                .help("write the arguments behind the script's name on the command line"),
            ),
        }
    }

    /// An array, or tuple of arrays, as something that can be named: itself, or a temporary with the statement that makes it.
    pub fn place(&mut self, value: Typed) -> (Expr, Vec<Stmt>) {
        if self.root_of(&value.expr).is_some() || value.ty == Ty::Poison {
            return (value.expr, Vec::new());
        }
        let span = value.expr.span;
        let expr = self.settle(value);
        let temp = self.temp("array", Ty::Known(expr.ty.clone()), span);
        let place = Expr { kind: ExprKind::Local(temp), ty: expr.ty.clone(), span };
        (place, vec![Stmt { kind: StmtKind::Let { local: temp, value: expr }, span }])
    }

    /// `value` inside a block that makes its temporaries first.
    pub fn within(&mut self, stmts: Vec<Stmt>, value: Typed) -> Typed {
        if stmts.is_empty() || value.ty == Ty::Poison {
            return value;
        }
        let span = value.expr.span;
        // an array that lives in a temporary leaves by copying
        let is_place = self.root_of(&value.expr).is_some() && value.ty.is_array();
        let inner = if is_place {
            let ty = ty::contiguous(&value.expr.ty);
            Expr { kind: ExprKind::Copy(Box::new(value.expr)), ty, span }
        } else {
            value.expr
        };
        let shown = inner.ty.clone();
        let ty = if is_place { Ty::Known(shown.clone()) } else { value.ty };
        let block = BlockExpr { stmts, value: Some(inner) };
        Typed { expr: Expr { kind: ExprKind::Block(Box::new(block)), ty: shown, span }, ty }
    }

    /// Indices of an element, checked against the array's rank.
    pub fn index_values(&mut self, array: &Typed, indices: &'a [ast::Expr], span: Span) -> Option<Vec<Expr>> {
        let values: Vec<Typed> = indices.iter().map(|index| self.expr(index)).collect();
        let Some(rank) = array.ty.rank() else {
            if array.ty != Ty::Poison {
                let shown = array.ty.show();
                let diagnostic = Diagnostic::error(
                    format!("only an array has elements, found {shown}"),
                    array.expr.span,
                    format!("this is {shown}"),
                );
                self.report(match array.ty.parts() {
                    Some(_) => diagnostic.help("the parts of a tuple are written `t.0`, `t.1`"),
                    None => diagnostic.help("remove the index"),
                });
            }
            return None;
        };
        if values.len() != rank {
            let shown = match &array.expr.kind {
                ExprKind::Local(local) => format!("`{}`", self.locals[local.0 as usize].name),
                _ => "this array".to_string(),
            };
            let plural = |count: usize| if count == 1 { "" } else { "s" };
            let diagnostic = Diagnostic::error(
                format!(
                    "{shown} has {rank} dimension{}, but {} given",
                    plural(rank),
                    if values.len() == 1 {
                        "1 index is".to_string()
                    } else {
                        format!("{} indices are", values.len())
                    }
                ),
                span,
                array.ty.show(),
            );
            self.report(if values.len() < rank {
                diagnostic.help(format!(
                    "write one index per dimension: `a[{}]`; rows and other views are not there yet",
                    letters(rank)
                ))
            } else {
                diagnostic.help(format!("write `a[{}]`", letters(rank)))
            });
            return None;
        }
        Some(values.into_iter().map(|value| self.whole_number(value, "an index")).collect())
    }

    /// An i64: an index, a bound, a size.
    pub fn whole_number(&mut self, value: Typed, role: &'static str) -> Expr {
        match &value.ty {
            Ty::Known(Type::Scalar(Scalar::Bool)) => {
                let span = value.expr.span;
                self.report(
                    Diagnostic::error(format!("{role} must be i64, but this is bool"), span, "this is bool")
                        .help("convert it: `i64(…)`, or choose with `if`"),
                );
                value.expr
            }
            Ty::Known(Type::Scalar(scalar)) if scalar.is_float() => {
                let (span, shown) = (value.expr.span, *scalar);
                self.report(
                    Diagnostic::error(
                        format!("{role} must be i64, but this is {shown}"),
                        span,
                        format!("this is {shown}"),
                    )
                    .help("convert it: `i64(…)`; whole division is written `//`"),
                );
                value.expr
            }
            _ => self.fit(value, &Type::Scalar(Scalar::I64), Goal::Role(role)),
        }
    }

    fn element(&mut self, base: &'a ast::Expr, indices: &'a [ast::Expr], span: Span) -> Typed {
        let array = self.expr(base);
        let Some(values) = self.index_values(&array, indices, span) else { return self.poison(span) };
        let elem = array.ty.elem();
        // a fresh array whose elements nobody decides
        let elem = if array.ty.waits() { elem } else { Ty::Known(elem.settled()) };
        let (place, stmts) = self.place(array);
        let kind = ExprKind::Index(Box::new(place), values);
        let shown = elem.settled();
        self.within(stmts, Typed { expr: Expr { kind, ty: shown, span }, ty: elem })
    }

    // ---- blocks with values ----

    fn if_value(
        &mut self,
        cond: &'a ast::Expr,
        then: &'a ast::Block,
        otherwise: &'a ast::Block,
        span: Span,
    ) -> Typed {
        if let Some(holds) = self.decided_by_args(cond) {
            let (block, ty) = self.block_value(if holds { then } else { otherwise });
            let expr = Expr { kind: ExprKind::Block(Box::new(block)), ty: ty.settled(), span };
            return Typed { expr, ty };
        }
        let cond = self.expr(cond);
        let cond = self.truth(cond, "`if`");
        let (mut then_block, then_ty) = self.block_value(then);
        let (mut else_block, else_ty) = self.block_value(otherwise);
        if then_ty.has_array() || else_ty.has_array() {
            return self.fail(
                Diagnostic::error("an `if` cannot choose between arrays", span, "the value is an array")
                    .note("each array has one owner, known when the program is compiled")
                    .help("choose inside: `let x = if c { a[i] } else { b[i] }`, or call the function in both arms"),
            );
        }
        for (ty, arm) in [(&then_ty, then), (&else_ty, otherwise)] {
            if matches!(ty, Ty::Known(Type::Unit | Type::Stream(_))) {
                let what = if *ty == Ty::UNIT { "has no value" } else { "is a random stream" };
                return self.fail(
                    Diagnostic::error(
                        format!("this `if` is used as a value, but an arm {what}"),
                        arm.span,
                        format!("this arm {what}"),
                    )
                    .help("end both arms with a number"),
                );
            }
        }
        let Some(joined) = ty::join(&then_ty, &else_ty) else {
            let (a, b) = (then_ty.show(), else_ty.show());
            return self.fail(
                Diagnostic::error(
                    format!("the arms of this `if` have no common type: {a} and {b}"),
                    span,
                    "used as a value",
                )
                .with(then.span, format!("this is {a}"))
                .with(otherwise.span, format!("this is {b}"))
                .help("convert one of them"),
            );
        };
        if joined == Ty::Poison {
            return self.poison(span);
        }
        // what is made of literals only stays open; all else is converted now
        let open = matches!(joined, Ty::Lit(..));
        let shown = joined.settled();
        if !open {
            for (block, ty) in [(&mut then_block, then_ty), (&mut else_block, else_ty)] {
                if let Some(value) = block.value.take() {
                    block.value = Some(self.fit(Typed { expr: value, ty }, &shown, Goal::Role("an arm")));
                }
            }
        }
        let ty = if open || joined == Ty::Never { joined } else { Ty::Known(shown.clone()) };
        let kind = ExprKind::If(Box::new(cond), Box::new(then_block), Box::new(else_block));
        Typed { expr: Expr { kind, ty: shown, span }, ty }
    }

    /// What `len(args) > 0` and the like say: the arguments of a script are known, and only the arm that is taken must fit them.
    pub fn decided_by_args(&self, cond: &ast::Expr) -> Option<bool> {
        let script = self.script?;
        let ast::ExprKind::Compare(operands, ops) = &cond.kind else { return None };
        let ([left, right], [op]) = (operands.as_slice(), ops.as_slice()) else { return None };
        let (ast::ExprKind::Call { callee, args, .. }, ast::ExprKind::Int(wanted)) =
            (&left.kind, &right.kind)
        else {
            return None;
        };
        let is_name = |expr: &ast::Expr, wanted: &str| matches!(&expr.kind, ast::ExprKind::Name(name) if name == wanted);
        if !is_name(callee, "len")
            || !matches!(args.as_slice(), [arg] if is_name(arg, "args"))
            || self.lookup("args").is_some()
        {
            return None;
        }
        let count = script.args.len() as u64;
        Some(match op {
            ast::CompareOp::Eq => count == *wanted,
            ast::CompareOp::Ne => count != *wanted,
            ast::CompareOp::Lt => count < *wanted,
            ast::CompareOp::Le => count <= *wanted,
            ast::CompareOp::Gt => count > *wanted,
            ast::CompareOp::Ge => count >= *wanted,
        })
    }

    /// A block and the type of its value: [`Ty::Never`] if its end is not reached.
    pub fn block_value(&mut self, block: &'a ast::Block) -> (BlockExpr, Ty) {
        self.open_block();
        let mut stmts = Vec::new();
        let (last, before) = match block.stmts.split_last() {
            Some((ast::Stmt { kind: ast::StmtKind::Expr(value), .. }, before)) => (Some(value), before),
            _ => (None, block.stmts.as_slice()),
        };
        for stmt in before {
            self.stmt(stmt, &mut stmts);
        }
        let out = match last {
            Some(value) => {
                let value = self.expr(value);
                let ty = value.ty.clone();
                if ty == Ty::UNIT || ty == Ty::Never {
                    stmts.push(Stmt { span: value.expr.span, kind: StmtKind::Expr(value.expr) });
                    (BlockExpr { stmts, value: None }, ty)
                } else {
                    (BlockExpr { stmts, value: Some(value.expr) }, ty)
                }
            }
            None => {
                let ty = if super::walk::diverges(&stmts) { Ty::Never } else { Ty::UNIT };
                (BlockExpr { stmts, value: None }, ty)
            }
        };
        self.close_block();
        out
    }
}

/// An expression whose type may be open.
pub(super) fn typed(kind: ExprKind, ty: Ty, span: Span) -> Typed {
    Typed { expr: Expr { kind, ty: ty.settled(), span }, ty }
}

pub(super) fn known(kind: ExprKind, ty: Type, span: Span) -> Typed {
    Typed { expr: Expr { kind, ty: ty.clone(), span }, ty: Ty::Known(ty) }
}

fn literal(value: Const, lit: Lit, span: Span) -> Typed {
    typed(ExprKind::Const(value), Ty::Lit(lit, Origin::Text), span)
}

pub(super) fn constant_value(value: constant::Value, span: Span) -> Typed {
    use constant::Value;
    match value {
        Value::Bool(value) => known(ExprKind::Const(Const::Bool(value)), Type::Scalar(Scalar::Bool), span),
        Value::Float(value, None) => literal(Const::F64(value), Lit::Float, span),
        Value::Int(value, None) => {
            let size = literal(Const::U64(value.unsigned_abs() as u64), Lit::Int, span);
            if value >= 0 {
                return size;
            }
            typed(ExprKind::Unary(UnaryOp::Neg, Box::new(size.expr)), Ty::Lit(Lit::Int, Origin::Text), span)
        }
        Value::Float(value, Some(scalar)) => {
            let constant = if scalar == Scalar::F32 { Const::F32(value as f32) } else { Const::F64(value) };
            known(ExprKind::Const(constant), Type::Scalar(scalar), span)
        }
        Value::Int(value, Some(scalar)) => {
            let constant = match scalar {
                Scalar::I32 => Const::I32(value as i32),
                Scalar::U32 => Const::U32(value as u32),
                Scalar::U64 => Const::U64(value as u64),
                Scalar::Bool | Scalar::I64 | Scalar::F32 | Scalar::F64 => Const::I64(value as i64),
            };
            known(ExprKind::Const(constant), Type::Scalar(scalar), span)
        }
    }
}

/// Index names for a rank: `i, j`.
pub(super) fn letters(rank: usize) -> String {
    const LETTERS: [&str; 8] = ["i", "j", "k", "l", "p", "q", "r", "s"];
    LETTERS[..rank.min(LETTERS.len())].join(", ")
}

/// The header of a loop over all elements, and the indices.
pub(super) fn over(array: &str, rank: usize) -> (String, String) {
    let names = letters(rank);
    let ranges: Vec<String> = names
        .split(", ")
        .enumerate()
        .map(|(axis, name)| {
            if rank == 1 {
                format!("{name} in 0..len({array})")
            } else {
                format!("{name} in 0..shape({array}, {axis})")
            }
        })
        .collect();
    (format!("for {}", ranges.join(", ")), names)
}
