//! The syntax tree as text, for people and for tests.
//!
//! In: [`ast::Module`]. Out: text, blocks indented, expressions with all their parentheses and the operator first. Holds: equal trees
//! give equal text; spans and comments other than docs are left out.

use crate::ast::{self, AssignOp, BinaryOp, CompareOp, ExprKind, Item, StmtKind, TypeExprKind, UnaryOp};
use std::fmt::Write;

/// An indented dump.
pub fn ast_text(module: &ast::Module) -> String {
    let mut writer = Writer { out: String::new(), indent: 0 };
    for item in &module.items {
        match item {
            Item::Func(func) => writer.func(func),
            Item::Const(constant) => writer.constant(constant),
            Item::Stmt(stmt) => writer.stmt(stmt),
        }
    }
    writer.out
}

/// As written in source.
pub fn binary_text(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Add => "+",
        BinaryOp::Sub => "-",
        BinaryOp::Mul => "*",
        BinaryOp::Div => "/",
        BinaryOp::FloorDiv => "//",
        BinaryOp::Rem => "%",
        BinaryOp::Pow => "**",
        BinaryOp::MatMul => "@",
        BinaryOp::And => "and",
        BinaryOp::Or => "or",
        BinaryOp::BitAnd => "&",
        BinaryOp::BitOr => "|",
        BinaryOp::BitXor => "^",
        BinaryOp::Shl => "<<",
        BinaryOp::Shr => ">>",
    }
}

/// As written in source.
pub fn compare_text(op: CompareOp) -> &'static str {
    match op {
        CompareOp::Eq => "==",
        CompareOp::Ne => "!=",
        CompareOp::Lt => "<",
        CompareOp::Le => "<=",
        CompareOp::Gt => ">",
        CompareOp::Ge => ">=",
    }
}

/// As written in source.
pub fn unary_text(op: UnaryOp) -> &'static str {
    match op {
        UnaryOp::Neg => "-",
        UnaryOp::Not => "not",
        UnaryOp::BitNot => "~",
    }
}

/// As written in source.
pub fn assign_text(op: Option<AssignOp>) -> String {
    match op {
        None => "=".to_string(),
        Some(AssignOp::Binary(op)) => format!("{}=", binary_text(op)),
        Some(AssignOp::Min) => "min=".to_string(),
        Some(AssignOp::Max) => "max=".to_string(),
    }
}

/// As written in source.
pub fn type_text(ty: &ast::TypeExpr) -> String {
    match &ty.kind {
        TypeExprKind::Name(name) => name.clone(),
        TypeExprKind::Tuple(items) => {
            let items: Vec<String> = items.iter().map(type_text).collect();
            format!("({})", items.join(", "))
        }
        TypeExprKind::Array { elem, dims } => {
            let dims: Vec<String> = dims.iter().map(dim_text).collect();
            format!("[{}; {}]", type_text(elem), dims.join(", "))
        }
    }
}

fn dim_text(dim: &ast::DimExpr) -> String {
    match &dim.name {
        None => dim.offset.to_string(),
        Some(name) if dim.offset == 0 => name.text.clone(),
        Some(name) => format!("{}{:+}", name.text, dim.offset),
    }
}

struct Writer {
    out: String,
    indent: usize,
}

impl Writer {
    fn text(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn begin(&mut self) {
        for _ in 0..self.indent {
            self.out.push_str("    ");
        }
    }

    fn func(&mut self, func: &ast::Func) {
        for line in func.doc.lines() {
            self.text("# ");
            self.text(line);
            self.text("\n");
        }
        self.annotations(&func.annotations);
        self.text("fn ");
        self.text(&func.name.text);
        self.text("(");
        for (index, param) in func.params.iter().enumerate() {
            self.text(if index > 0 { ", " } else { "" });
            self.text(&param.name.text);
            if let Some(ty) = &param.ty {
                self.text(if param.is_mut { ": mut " } else { ": " });
                self.text(&type_text(ty));
            }
        }
        self.text(")");
        if let Some(ty) = &func.result {
            self.text(" -> ");
            self.text(&type_text(ty));
        }
        self.text(" ");
        self.block(&func.body);
        self.text("\n");
    }

    fn constant(&mut self, constant: &ast::Const) {
        self.text("const ");
        self.text(&constant.name.text);
        self.declared(&constant.ty);
        self.text(" = ");
        self.expr(&constant.value);
        self.text("\n");
    }

    fn declared(&mut self, ty: &Option<ast::TypeExpr>) {
        if let Some(ty) = ty {
            self.text(": ");
            self.text(&type_text(ty));
        }
    }

    fn annotations(&mut self, annotations: &[ast::Annotation]) {
        for annotation in annotations {
            self.text("@");
            self.text(&annotation.name.text);
            if !annotation.args.is_empty() {
                self.text("(");
                self.separated(&annotation.args, ", ");
                self.text(")");
            }
            self.text(" ");
        }
    }

    fn separated(&mut self, exprs: &[ast::Expr], separator: &str) {
        for (index, expr) in exprs.iter().enumerate() {
            if index > 0 {
                self.text(separator);
            }
            self.expr(expr);
        }
    }

    fn block(&mut self, block: &ast::Block) {
        if block.stmts.is_empty() {
            return self.text("{}");
        }
        self.text("{\n");
        self.indent += 1;
        for stmt in &block.stmts {
            self.stmt(stmt);
        }
        self.indent -= 1;
        self.begin();
        self.text("}");
    }

    fn stmt(&mut self, stmt: &ast::Stmt) {
        self.begin();
        self.stmt_inside(stmt);
        self.text("\n");
    }

    fn stmt_inside(&mut self, stmt: &ast::Stmt) {
        match &stmt.kind {
            StmtKind::Bind { is_var, names, is_tuple, ty, value } => {
                let names: Vec<&str> = names.iter().map(|name| name.text.as_str()).collect();
                let names = names.join(", ");
                self.text(if *is_var { "var " } else { "let " });
                self.text(&if *is_tuple { format!("({names})") } else { names });
                self.declared(ty);
                self.text(" = ");
                self.expr(value);
            }
            StmtKind::Assign { targets, op, op_span: _, value } => {
                self.separated(targets, ", ");
                self.text(&format!(" {} ", assign_text(*op)));
                self.expr(value);
            }
            StmtKind::For(ast::For { annotations, indices, body, span: _ }) => {
                self.annotations(annotations);
                self.text("for ");
                self.indices(indices);
                self.text(" ");
                self.block(body);
            }
            StmtKind::While { cond, body } => {
                self.text("while ");
                self.expr(cond);
                self.text(" ");
                self.block(body);
            }
            StmtKind::Break => self.text("break"),
            StmtKind::Continue => self.text("continue"),
            StmtKind::Return(value) => {
                self.text("return");
                if let Some(value) = value {
                    self.text(" ");
                    self.expr(value);
                }
            }
            StmtKind::Expr(expr) => self.expr(expr),
            StmtKind::Time(block) => {
                self.text("time ");
                self.block(block);
            }
            StmtKind::Annotated { annotations, stmt } => {
                self.annotations(annotations);
                self.stmt_inside(stmt);
            }
            StmtKind::Error => self.text("<error>"),
        }
    }

    fn indices(&mut self, indices: &[ast::Index]) {
        for (number, index) in indices.iter().enumerate() {
            self.text(if number > 0 { ", " } else { "" });
            self.text(&index.name.text);
            self.text(" in ");
            self.expr(&index.range);
        }
    }

    /// `(head a b)`
    fn list(&mut self, head: &str, exprs: &[ast::Expr]) {
        self.text("(");
        self.text(head);
        if !exprs.is_empty() {
            self.text(" ");
        }
        self.separated(exprs, " ");
        self.text(")");
    }

    fn generator(&mut self, generator: &ast::Generator) {
        self.expr(&generator.term);
        self.text(" ");
        self.annotations(&generator.annotations);
        self.text("for ");
        self.indices(&generator.indices);
        if let Some(filter) = &generator.filter {
            self.text(" if ");
            self.expr(filter);
        }
    }

    fn end(&mut self, end: &Option<Box<ast::Expr>>) {
        match end {
            Some(end) => self.expr(end),
            None => self.text("_"),
        }
    }

    fn expr(&mut self, expr: &ast::Expr) {
        match &expr.kind {
            ExprKind::Int(value) => self.text(&value.to_string()),
            ExprKind::Float(value) => self.text(&format!("{value:?}")),
            ExprKind::Bool(value) => self.text(if *value { "true" } else { "false" }),
            ExprKind::Str(value) => {
                let _ = write!(self.out, "{value:?}");
            }
            ExprKind::Name(name) => self.text(name),
            ExprKind::Unary(op, operand) => self.list(unary_text(*op), std::slice::from_ref(operand)),
            ExprKind::Binary(op, left, right) => {
                self.text("(");
                self.text(binary_text(*op));
                self.text(" ");
                self.expr(left);
                self.text(" ");
                self.expr(right);
                self.text(")");
            }
            ExprKind::Compare(operands, ops) => {
                self.text("(");
                for (index, operand) in operands.iter().enumerate() {
                    if index > 0 {
                        self.text(&format!(" {} ", compare_text(ops[index - 1])));
                    }
                    self.expr(operand);
                }
                self.text(")");
            }
            ExprKind::Call { callee, args, keywords, generator } => {
                self.text("(call ");
                self.expr(callee);
                for arg in args {
                    self.text(" ");
                    self.expr(arg);
                }
                if let Some(generator) = generator {
                    self.text(" ");
                    self.generator(generator);
                }
                for (name, value) in keywords {
                    self.text(&format!(" {}=", name.text));
                    self.expr(value);
                }
                self.text(")");
            }
            ExprKind::Index(base, items) => {
                self.text("(index ");
                self.expr(base);
                self.text(" ");
                self.separated(items, " ");
                self.text(")");
            }
            ExprKind::Field(base, name) => {
                self.text("(field ");
                self.expr(base);
                self.text(&format!(" {})", name.text));
            }
            ExprKind::Tuple(items) => self.list("tuple", items),
            ExprKind::Range { lo, hi, inclusive, step } => {
                self.text(if *inclusive { "(..= " } else { "(.. " });
                self.end(lo);
                self.text(" ");
                self.end(hi);
                if let Some(step) = step {
                    self.text(" step ");
                    self.expr(step);
                }
                self.text(")");
            }
            ExprKind::If { cond, then, otherwise } => {
                self.text("(if ");
                self.expr(cond);
                self.text(" ");
                self.block(then);
                if let Some(otherwise) = otherwise {
                    self.text(" else ");
                    self.block(otherwise);
                }
                self.text(")");
            }
            ExprKind::Block(block) => self.block(block),
            ExprKind::Comprehension(generator) => {
                self.text("[");
                self.generator(generator);
                self.text("]");
            }
            ExprKind::List(items) => self.list("list", items),
            ExprKind::Error => self.text("<error>"),
        }
    }
}
