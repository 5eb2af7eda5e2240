//! Evaluates `const` items.
//!
//! In: an expression of literals, operators, simple builtins and earlier constants. Out: its [`Value`].
//! Holds: a value made of literals only stays a literal, which takes the type of the place where the name is used; the
//! arithmetic of typed values is that of SEMANTICS section 2; nothing here calls the host's mathematical library.

use crate::ast;
use crate::builtins;
use crate::diag::Diagnostic;
use crate::spell;
use crate::types::Scalar;

/// The value of a constant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// An integer; `None`: a literal, which adapts to its context.
    Int(i128, Option<Scalar>),
    /// A float (an f32 is held exactly); `None`: a literal.
    Float(f64, Option<Scalar>),
    /// A truth value.
    Bool(bool),
}

/// Evaluates `expr`; `lookup` gives earlier constants: `Err(Some(_))` to report, `Err(None)` if it has been reported.
pub fn evaluate(
    expr: &ast::Expr,
    lookup: &dyn Fn(&str) -> Result<Value, Option<Diagnostic>>,
) -> Result<Value, Option<Diagnostic>> {
    use ast::ExprKind::*;
    let error = |title: String, label: &str| Some(Diagnostic::error(title, expr.span, label));
    match &expr.kind {
        Int(value) => Ok(Value::Int(*value as i128, None)),
        Float(value) => Ok(Value::Float(*value, None)),
        Bool(value) => Ok(Value::Bool(*value)),
        Name(name) => lookup(name).map_err(|found| {
            found.map(|mut diagnostic| {
                diagnostic.primary.span = expr.span;
                diagnostic
            })
        }),
        Unary(op, operand) => {
            let operand = evaluate(operand, lookup)?;
            match (op, operand) {
                (ast::UnaryOp::Not, Value::Bool(value)) => Ok(Value::Bool(!value)),
                (ast::UnaryOp::Neg, Value::Float(value, ty)) => Ok(Value::Float(-value, ty)),
                (ast::UnaryOp::Neg, Value::Int(value, ty)) => integer(Some(-value), ty, expr),
                (ast::UnaryOp::BitNot, Value::Int(value, ty)) => integer(Some(!value), ty, expr),
                _ => Err(error("this operator does not fit the type of its operand".into(), "here")),
            }
        }
        Binary(ast::BinaryOp::And | ast::BinaryOp::Or, left, right) => {
            let (left, right) = (evaluate(left, lookup)?, evaluate(right, lookup)?);
            match (left, right, &expr.kind) {
                (Value::Bool(a), Value::Bool(b), Binary(ast::BinaryOp::And, ..)) => Ok(Value::Bool(a && b)),
                (Value::Bool(a), Value::Bool(b), _) => Ok(Value::Bool(a || b)),
                _ => Err(error("`and` and `or` need truth values".into(), "not both sides are bool")),
            }
        }
        Binary(op, left, right) => {
            let (left, right) = (evaluate(left, lookup)?, evaluate(right, lookup)?);
            binary(*op, left, right, expr)
        }
        Compare(operands, ops) => {
            let values: Vec<Value> = operands.iter().map(|operand| evaluate(operand, lookup)).collect::<Result<_, _>>()?;
            let holds = values.windows(2).zip(ops).all(|(pair, op)| compare(*op, pair[0], pair[1]));
            Ok(Value::Bool(holds))
        }
        If { cond, then, otherwise: Some(otherwise) } => {
            let Value::Bool(cond) = evaluate(cond, lookup)? else {
                return Err(error("a condition must be a truth value".into(), "in this `if`"));
            };
            let arm = if cond { then } else { otherwise };
            match arm.stmts.as_slice() {
                [ast::Stmt { kind: ast::StmtKind::Expr(value), .. }] => evaluate(value, lookup),
                _ => Err(error("a constant cannot contain statements".into(), "here")),
            }
        }
        Call { callee, args, keywords, generator: None } if keywords.is_empty() => {
            let Name(name) = &callee.kind else {
                return Err(error("a constant cannot call this".into(), "here"));
            };
            let values: Vec<Value> = args.iter().map(|arg| evaluate(arg, lookup)).collect::<Result<_, _>>()?;
            call(name, &values, expr)
        }
        Error => Err(None),
        _ => Err(error("a constant is made of numbers, operators and other constants".into(), "this is not a number")
            .map(|found| found.help("compute it in the function that uses it"))),
    }
}

/// Turns `value` into `ty`, as an implicit conversion or (`explicit`) as `ty(value)`; `None` if it does not fit.
pub fn convert(value: Value, ty: Scalar, explicit: bool) -> Option<Value> {
    Some(match value {
        Value::Bool(truth) => match ty {
            Scalar::Bool => value,
            Scalar::F32 | Scalar::F64 => Value::Float(f64::from(u8::from(truth)), Some(ty)),
            Scalar::I32 | Scalar::I64 | Scalar::U32 | Scalar::U64 => Value::Int(i128::from(truth), Some(ty)),
        },
        Value::Int(number, from) => match ty {
            Scalar::Bool if explicit => Value::Bool(number != 0),
            Scalar::Bool => return None,
            Scalar::F64 => Value::Float(number as f64, Some(ty)),
            Scalar::F32 => Value::Float(f64::from(number as f32), Some(ty)),
            Scalar::I32 | Scalar::I64 | Scalar::U32 | Scalar::U64 => {
                let widens = from.is_none_or(|from| from.join(ty) == Some(ty));
                if !explicit && !(widens && range(ty).contains(&number)) {
                    return None;
                }
                Value::Int(wrap(number, ty), Some(ty))
            }
        },
        Value::Float(number, from) => match ty {
            Scalar::F64 => Value::Float(number, Some(ty)),
            Scalar::F32 if explicit || from != Some(Scalar::F64) => Value::Float(f64::from(number as f32), Some(ty)),
            Scalar::Bool if explicit => Value::Bool(number != 0.0),
            Scalar::I32 if explicit => Value::Int(i128::from(number as i32), Some(ty)),
            Scalar::I64 if explicit => Value::Int(i128::from(number as i64), Some(ty)),
            Scalar::U32 if explicit => Value::Int(i128::from(number as u32), Some(ty)),
            Scalar::U64 if explicit => Value::Int(i128::from(number as u64), Some(ty)),
            Scalar::Bool | Scalar::I32 | Scalar::I64 | Scalar::U32 | Scalar::U64 | Scalar::F32 => return None,
        },
    })
}

/// What an int type can hold.
pub fn range(ty: Scalar) -> std::ops::RangeInclusive<i128> {
    match ty {
        Scalar::I32 => i128::from(i32::MIN)..=i128::from(i32::MAX),
        Scalar::I64 => i128::from(i64::MIN)..=i128::from(i64::MAX),
        Scalar::U32 => 0..=i128::from(u32::MAX),
        Scalar::U64 => 0..=i128::from(u64::MAX),
        Scalar::Bool => 0..=1,
        Scalar::F32 | Scalar::F64 => i128::MIN..=i128::MAX,
    }
}

fn wrap(number: i128, ty: Scalar) -> i128 {
    match ty {
        Scalar::I32 => i128::from(number as i32),
        Scalar::I64 => i128::from(number as i64),
        Scalar::U32 => i128::from(number as u32),
        Scalar::U64 => i128::from(number as u64),
        Scalar::Bool | Scalar::F32 | Scalar::F64 => number,
    }
}

fn integer(number: Option<i128>, ty: Option<Scalar>, expr: &ast::Expr) -> Result<Value, Option<Diagnostic>> {
    match (number, ty) {
        (Some(number), Some(ty)) => Ok(Value::Int(wrap(number, ty), Some(ty))),
        (Some(number), None) if (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&number) => {
            Ok(Value::Int(number, None))
        }
        _ => Err(Some(
            Diagnostic::error("this constant does not fit 64 bits", expr.span, "too large for i64 and u64")
                .help("use floats: `2.0 ** 70`"),
        )),
    }
}

fn float(number: f64, ty: Option<Scalar>) -> Value {
    match ty {
        Some(Scalar::F32) => Value::Float(f64::from(number as f32), ty),
        _ => Value::Float(number, ty),
    }
}

fn compare(op: ast::CompareOp, left: Value, right: Value) -> bool {
    use std::cmp::Ordering::*;
    let order = match (left, right) {
        (Value::Float(..), _) | (_, Value::Float(..)) => as_float(left).partial_cmp(&as_float(right)),
        _ => as_int(left).partial_cmp(&as_int(right)),
    };
    match op {
        ast::CompareOp::Eq => order == Some(Equal),
        ast::CompareOp::Ne => order != Some(Equal),
        ast::CompareOp::Lt => order == Some(Less),
        ast::CompareOp::Le => matches!(order, Some(Less | Equal)),
        ast::CompareOp::Gt => order == Some(Greater),
        ast::CompareOp::Ge => matches!(order, Some(Greater | Equal)),
    }
}

fn as_float(value: Value) -> f64 {
    match value {
        Value::Int(number, _) => number as f64,
        Value::Float(number, _) => number,
        Value::Bool(truth) => f64::from(u8::from(truth)),
    }
}

fn as_int(value: Value) -> i128 {
    match value {
        Value::Int(number, _) => number,
        Value::Float(number, _) => number as i128,
        Value::Bool(truth) => i128::from(truth),
    }
}

fn scalar_of(value: Value) -> Option<Scalar> {
    match value {
        Value::Int(_, ty) | Value::Float(_, ty) => ty,
        Value::Bool(_) => Some(Scalar::Bool),
    }
}

// The type of an operation on two values: `None` stays a literal.
fn common(left: Value, right: Value, expr: &ast::Expr) -> Result<Option<Scalar>, Option<Diagnostic>> {
    let is_float = matches!(left, Value::Float(..)) || matches!(right, Value::Float(..));
    Ok(match (scalar_of(left), scalar_of(right)) {
        (None, None) => None,
        (Some(ty), None) | (None, Some(ty)) if is_float && !ty.is_float() => Some(Scalar::F64),
        (Some(Scalar::Bool), None) | (None, Some(Scalar::Bool)) => Some(Scalar::I64),
        (Some(ty), None) | (None, Some(ty)) => Some(ty),
        (Some(Scalar::Bool), Some(Scalar::Bool)) => Some(Scalar::I64),
        (Some(left), Some(right)) => Some(left.join(right).ok_or_else(|| {
            Some(
                Diagnostic::error(format!("{left} and {right} have no common type"), expr.span, "here")
                    .help(format!("convert one of them: `{left}(…)`")),
            )
        })?),
    })
}

fn binary(op: ast::BinaryOp, left: Value, right: Value, expr: &ast::Expr) -> Result<Value, Option<Diagnostic>> {
    use ast::BinaryOp::*;
    let refuse = |title: String| Err(Some(Diagnostic::error(title, expr.span, "in this constant")));
    if let (Value::Bool(a), Value::Bool(b)) = (left, right) {
        match op {
            BitAnd => return Ok(Value::Bool(a & b)),
            BitOr => return Ok(Value::Bool(a | b)),
            BitXor => return Ok(Value::Bool(a ^ b)),
            _ => {}
        }
    }
    let is_float = matches!(left, Value::Float(..)) || matches!(right, Value::Float(..));
    let ty = common(left, right, expr)?;
    if op == Div {
        let ty = match ty {
            None | Some(Scalar::F32) => ty,
            Some(_) => Some(Scalar::F64),
        };
        return Ok(float(as_float(left) / as_float(right), ty));
    }
    if is_float {
        let (a, b) = (as_float(left), as_float(right));
        return match op {
            Add => Ok(float(a + b, ty)),
            Sub => Ok(float(a - b, ty)),
            Mul => Ok(float(a * b, ty)),
            FloorDiv => Ok(float(as_float(float(a / b, ty)).floor(), ty)),
            Rem => {
                let quotient = as_float(float(a / b, ty)).floor();
                // exact for f64; an f32 product is exact in f64
                Ok(float((-quotient).mul_add(b, a), ty))
            }
            Pow => match right {
                Value::Int(k, None) if k.abs() <= 16 => Ok(power(a, k as i32, ty)),
                _ => refuse("a constant cannot hold this power yet".into())
                    .map_err(|found| found.map(|found: Diagnostic| found.help("write the number itself"))),
            },
            MatMul | BitAnd | BitOr | BitXor | Shl | Shr | And | Or | Div => {
                refuse(format!("`{}` needs ints, found a float", spell::binary(op)))
            }
        };
    }
    let (a, b) = (as_int(left), as_int(right));
    match op {
        Add => integer(a.checked_add(b), ty, expr),
        Sub => integer(a.checked_sub(b), ty, expr),
        Mul => integer(a.checked_mul(b).or(ty.map(|_| a.wrapping_mul(b))), ty, expr),
        FloorDiv | Rem if b == 0 => refuse("division by zero in a constant".into()),
        FloorDiv => integer(Some(floor_div(a, b)), ty, expr),
        Rem => integer(Some(a - floor_div(a, b) * b), ty, expr),
        Pow if b < 0 => refuse("an int to a negative power".into())
            .map_err(|found| found.map(|found: Diagnostic| found.help("make the base a float: `2.0 ** -1`"))),
        Pow => integer(int_power(a, b, scalar_of(left)), scalar_of(left).map(|ty| ty.max(Scalar::I32)), expr),
        BitAnd => integer(Some(a & b), ty, expr),
        BitOr => integer(Some(a | b), ty, expr),
        BitXor => integer(Some(a ^ b), ty, expr),
        Shl | Shr => {
            let ty = scalar_of(left);
            let width = ty.map_or(64, |ty| ty.bits().max(32));
            let count = (b & i128::from(width - 1)) as u32;
            integer(Some(if op == Shl { a << count.min(63) } else { a >> count }), ty, expr)
        }
        MatMul | Div | And | Or => refuse(format!("`{}` does not go with ints in a constant", spell::binary(op))),
    }
}

fn floor_div(a: i128, b: i128) -> i128 {
    let quotient = a / b;
    if a % b != 0 && (a < 0) != (b < 0) { quotient - 1 } else { quotient }
}

// Wraps in a typed base; a literal that outgrows 64 bits gives `None`.
fn int_power(base: i128, exponent: i128, ty: Option<Scalar>) -> Option<i128> {
    let (mut result, mut square, mut left) = (1i128, base, exponent);
    while left > 0 {
        if left & 1 == 1 {
            result = match ty {
                Some(ty) => wrap(wrap(result, ty).wrapping_mul(wrap(square, ty)), ty),
                None => result.checked_mul(square)?,
            };
        }
        left >>= 1;
        if left > 0 {
            square = match ty {
                Some(ty) => wrap(wrap(square, ty).wrapping_mul(wrap(square, ty)), ty),
                None => square.checked_mul(square)?,
            };
        }
    }
    Some(result)
}

// Square-and-multiply from the low bit; a negative exponent is 1 / x**|k|.
fn power(base: f64, exponent: i32, ty: Option<Scalar>) -> Value {
    let round = |number: f64| as_float(float(number, ty));
    let (mut result, mut square, mut left) = (1.0, base, exponent.unsigned_abs());
    while left > 0 {
        if left & 1 == 1 {
            result = round(result * square);
        }
        left >>= 1;
        if left > 0 {
            square = round(square * square);
        }
    }
    float(if exponent < 0 { 1.0 / result } else { result }, ty)
}

fn call(name: &str, values: &[Value], expr: &ast::Expr) -> Result<Value, Option<Diagnostic>> {
    if let (Some(ty), [value]) = (Scalar::from_name(name), values) {
        return Ok(convert(*value, ty, true).unwrap_or(*value));
    }
    let is_float = values.iter().any(|value| matches!(value, Value::Float(..)));
    let mut ty = values.first().copied().map_or(None, scalar_of);
    for value in values.iter().skip(1) {
        ty = match (ty, scalar_of(*value)) {
            (Some(left), Some(right)) => left.join(right),
            (left, right) => left.or(right),
        };
    }
    let float_type = if ty == Some(Scalar::F32) || ty.is_none() { ty } else { Some(Scalar::F64) };
    match (name, values) {
        ("sqrt", [x]) => Ok(float(as_float(*x).sqrt(), float_type)),
        ("floor", [x]) => Ok(float(as_float(*x).floor(), float_type)),
        ("ceil", [x]) => Ok(float(as_float(*x).ceil(), float_type)),
        ("round", [x]) => Ok(float(as_float(*x).round_ties_even(), float_type)),
        ("trunc", [x]) => Ok(float(as_float(*x).trunc(), float_type)),
        ("abs", [Value::Float(x, ty)]) => Ok(float(x.abs(), *ty)),
        ("abs", [x]) => integer(Some(as_int(*x).abs()), ty, expr),
        ("min" | "max", [first, rest @ ..]) if !rest.is_empty() => {
            let op = if name == "min" { ast::CompareOp::Lt } else { ast::CompareOp::Gt };
            let least = rest.iter().fold(*first, |best, value| {
                let is_nan = as_float(*value).is_nan() && is_float;
                if is_nan || compare(op, *value, best) { *value } else { best }
            });
            if is_float { Ok(float(as_float(least), float_type)) } else { integer(Some(as_int(least)), ty, expr) }
        }
        _ => {
            let known = builtins::lookup(name).is_some();
            let title = if known {
                format!("a constant cannot call `{name}` yet")
            } else {
                format!("a constant cannot call `{name}`")
            };
            Err(Some(
                Diagnostic::error(title, expr.span, "constants are evaluated when the source is read")
                    .help("compute it in the function that uses it, or write the number itself"),
            ))
        }
    }
}
