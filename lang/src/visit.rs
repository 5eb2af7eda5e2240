//! Visits every statement and expression below a node, in source order.
//!
//! In: [`ast`] nodes. Out: calls of a closure, parents before children. Holds: each node is visited once.

use crate::ast;

/// What is visited.
#[derive(Clone, Copy)]
pub enum Node<'a> {
    /// A statement.
    Stmt(&'a ast::Stmt),
    /// An expression.
    Expr(&'a ast::Expr),
}

/// Visits `stmt` and all below it.
pub fn stmt<'a>(stmt: &'a ast::Stmt, visit: &mut dyn FnMut(Node<'a>)) {
    use ast::StmtKind::*;
    visit(Node::Stmt(stmt));
    match &stmt.kind {
        Bind { value, .. } => expr(value, visit),
        Assign { targets, value, .. } => {
            targets.iter().for_each(|target| expr(target, visit));
            expr(value, visit);
        }
        For(header) => {
            annotations(&header.annotations, visit);
            header.indices.iter().for_each(|index| expr(&index.range, visit));
            block(&header.body, visit);
        }
        While { cond, body } => {
            expr(cond, visit);
            block(body, visit);
        }
        Return(Some(value)) | Expr(value) => expr(value, visit),
        Time(body) => block(body, visit),
        Annotated { annotations: list, stmt: inner } => {
            annotations(list, visit);
            self::stmt(inner, visit);
        }
        Break | Continue | Return(None) | Error => {}
    }
}

fn annotations<'a>(list: &'a [ast::Annotation], visit: &mut dyn FnMut(Node<'a>)) {
    for annotation in list {
        annotation.args.iter().for_each(|arg| expr(arg, visit));
    }
}

/// Visits the statements of `block`.
pub fn block<'a>(block: &'a ast::Block, visit: &mut dyn FnMut(Node<'a>)) {
    block.stmts.iter().for_each(|inner| stmt(inner, visit));
}

fn generator<'a>(generator: &'a ast::Generator, visit: &mut dyn FnMut(Node<'a>)) {
    annotations(&generator.annotations, visit);
    generator.indices.iter().for_each(|index| expr(&index.range, visit));
    generator.filter.iter().for_each(|filter| expr(filter, visit));
    expr(&generator.term, visit);
}

/// Visits `expr` and all below it.
pub fn expr<'a>(expr: &'a ast::Expr, visit: &mut dyn FnMut(Node<'a>)) {
    use ast::ExprKind::*;
    visit(Node::Expr(expr));
    match &expr.kind {
        Int(_) | Float(_) | Bool(_) | Str(_) | Name(_) | Error => {}
        Unary(_, operand) | Field(operand, _) => self::expr(operand, visit),
        Binary(_, left, right) => {
            self::expr(left, visit);
            self::expr(right, visit);
        }
        Compare(items, _) | Tuple(items) | List(items) => items.iter().for_each(|item| self::expr(item, visit)),
        Call { callee, args, keywords, generator: inner } => {
            self::expr(callee, visit);
            args.iter().for_each(|arg| self::expr(arg, visit));
            keywords.iter().for_each(|(_, arg)| self::expr(arg, visit));
            inner.iter().for_each(|inner| generator(inner, visit));
        }
        Index(base, indices) => {
            self::expr(base, visit);
            indices.iter().for_each(|index| self::expr(index, visit));
        }
        Range { lo, hi, step, .. } => {
            [lo, hi, step].into_iter().flatten().for_each(|end| self::expr(end, visit));
        }
        If { cond, then, otherwise } => {
            self::expr(cond, visit);
            block(then, visit);
            otherwise.iter().for_each(|otherwise| block(otherwise, visit));
        }
        Block(inner) => block(inner, visit),
        Comprehension(inner) => generator(inner, visit),
    }
}

/// Does `name` occur in `root`?
pub fn mentions(root: &ast::Expr, name: &str) -> bool {
    let mut found = false;
    expr(root, &mut |node| {
        if let Node::Expr(ast::Expr { kind: ast::ExprKind::Name(text), .. }) = node {
            found |= text == name;
        }
    });
    found
}

/// Does an `if` or block end in a value that someone may want? Calls at its ends count as statements.
pub fn has_value(expr: &ast::Expr) -> bool {
    fn ends_in_value(block: &ast::Block) -> bool {
        match block.stmts.last() {
            Some(ast::Stmt { kind: ast::StmtKind::Expr(value), .. }) => {
                !matches!(value.kind, ast::ExprKind::Call { .. }) && has_value(value)
            }
            _ => false,
        }
    }
    match &expr.kind {
        ast::ExprKind::If { then, otherwise: Some(otherwise), .. } => ends_in_value(then) && ends_in_value(otherwise),
        ast::ExprKind::If { otherwise: None, .. } => false,
        ast::ExprKind::Block(inner) => ends_in_value(inner),
        _ => true,
    }
}
