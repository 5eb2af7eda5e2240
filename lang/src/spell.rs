//! Writes a piece of syntax as Kiln source, for messages.
//!
//! In: [`ast`] nodes. Out: one short line. Holds: never longer than a line of a message, whatever the size of the tree.

use crate::ast;
pub use crate::ast_text::{binary_text as binary, compare_text as compare, type_text as type_expr};

const LONGEST: usize = 60;

/// `expr` as source; `…` if it would be long.
pub fn expr(expr: &ast::Expr) -> String {
    let mut out = String::new();
    write(expr, 0, &mut out);
    if out.chars().count() > LONGEST { "…".into() } else { out }
}

/// `a, b, c`
pub fn list(exprs: &[ast::Expr]) -> String {
    let mut out = String::new();
    separated(exprs, &mut out);
    if out.chars().count() > LONGEST { "…".into() } else { out }
}

/// A shape position.
pub fn dim(dim: &ast::DimExpr) -> String {
    match &dim.name {
        Some(name) if dim.offset == 0 => name.text.clone(),
        Some(name) => format!("{}{:+}", name.text, dim.offset),
        None => dim.offset.to_string(),
    }
}

// How tightly an operator binds; only used to know where parentheses are needed.
fn strength(op: ast::BinaryOp) -> u8 {
    use ast::BinaryOp::*;
    match op {
        Or => 2,
        And => 3,
        BitOr => 6,
        BitXor => 7,
        BitAnd => 8,
        Shl | Shr => 9,
        Add | Sub => 10,
        Mul | Div | FloorDiv | Rem | MatMul => 11,
        Pow => 13,
    }
}

fn separated(exprs: &[ast::Expr], out: &mut String) {
    for (index, item) in exprs.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        write(item, 0, out);
    }
}

fn write(expr: &ast::Expr, outer: u8, out: &mut String) {
    use ast::ExprKind::*;
    if out.len() > 4 * LONGEST {
        return;
    }
    let mut own = u8::MAX;
    let start = out.len();
    match &expr.kind {
        Int(value) => out.push_str(&value.to_string()),
        Float(value) => out.push_str(&format!("{value:?}")),
        Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Str(text) => out.push_str(&format!("{text:?}")),
        Name(name) => out.push_str(name),
        Unary(op, operand) => {
            own = if *op == ast::UnaryOp::Not { 4 } else { 12 };
            out.push_str(match op {
                ast::UnaryOp::Neg => "-",
                ast::UnaryOp::Not => "not ",
                ast::UnaryOp::BitNot => "~",
            });
            write(operand, own, out);
        }
        Binary(op, left, right) => {
            own = strength(*op);
            write(left, own, out);
            out.push(' ');
            out.push_str(binary(*op));
            out.push(' ');
            write(right, own + 1, out);
        }
        Compare(operands, ops) => {
            own = 5;
            for (index, operand) in operands.iter().enumerate() {
                if index > 0 {
                    out.push_str(&format!(" {} ", ops.get(index - 1).map_or("==", |op| compare(*op))));
                }
                write(operand, 6, out);
            }
        }
        Call { callee, args, .. } => {
            write(callee, u8::MAX, out);
            out.push('(');
            separated(args, out);
            out.push(')');
        }
        Index(base, indices) => {
            write(base, u8::MAX, out);
            out.push('[');
            separated(indices, out);
            out.push(']');
        }
        Field(base, name) => {
            write(base, u8::MAX, out);
            out.push('.');
            out.push_str(&name.text);
        }
        Tuple(items) => {
            out.push('(');
            separated(items, out);
            out.push(')');
        }
        Range { lo, hi, inclusive, step } => {
            own = 1;
            if let Some(lo) = lo {
                write(lo, 2, out);
            }
            out.push_str(if *inclusive { "..=" } else { ".." });
            if let Some(hi) = hi {
                write(hi, 2, out);
            }
            if let Some(step) = step {
                out.push_str(" step ");
                write(step, 2, out);
            }
        }
        If { .. } | Block(_) | Comprehension(_) | List(_) | Error => out.push('…'),
    }
    if own < outer {
        out.insert(start, '(');
        out.push(')');
    }
}
