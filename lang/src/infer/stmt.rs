//! Types statements.
//!
//! In: statements as parsed. Out: statements of the tree. Holds: `x -= e` comes as an addition; a float product in an update comes as its factors;
//! arrays are never assigned, only bound, written by element, or exchanged; every `return` is explicit.

use super::builtin::{negated, split_product};
use super::expr::over;
use super::literal::Goal;
use super::ty::{self, Lit, Number, Origin, Ty, Typed};
use super::walk::{Root, Walk, declared_at};
use crate::ast;
use crate::diag::Diagnostic;
use crate::resolve::file_call;
use crate::script::ScriptArg;
use crate::span::Span;
use crate::spell;
use crate::tree::{
    Alloc, BinaryOp, BlockExpr, Const, Expr, ExprKind, For, Index, LocalId, LocalKind, LoopAnnotations,
    MathFn, Place, PrintPart, Stmt, StmtKind, UpdateOp, UpdateValue,
};
use crate::types::{Scalar, Type};
use crate::visit;

const I64: Type = Type::Scalar(Scalar::I64);

impl<'a, 'i> Walk<'a, 'i> {
    // ---- blocks ----

    pub fn block(&mut self, block: &'a ast::Block) -> Vec<Stmt> {
        self.open_block();
        let mut out = Vec::new();
        for stmt in &block.stmts {
            self.stmt(stmt, &mut out);
        }
        self.close_block();
        out
    }

    /// Statements of which the last may be the function's value.
    pub fn tail_stmts(&mut self, stmts: &'a [ast::Stmt], out: &mut Vec<Stmt>) {
        let Some((last, before)) = stmts.split_last() else { return };
        for stmt in before {
            self.stmt(stmt, out);
        }
        match &last.kind {
            ast::StmtKind::Expr(value) => self.tail_expr(value, out),
            _ => self.stmt(last, out),
        }
    }

    fn tail_block(&mut self, block: &'a ast::Block) -> Vec<Stmt> {
        self.open_block();
        let mut out = Vec::new();
        self.tail_stmts(&block.stmts, &mut out);
        self.close_block();
        out
    }

    fn tail_expr(&mut self, value: &'a ast::Expr, out: &mut Vec<Stmt>) {
        let span = value.span;
        match &value.kind {
            ast::ExprKind::If { cond, then, otherwise: Some(otherwise) } => {
                let cond = self.expr(cond);
                let cond = self.truth(cond, "`if`");
                let then = self.tail_block(then);
                let otherwise = self.tail_block(otherwise);
                out.push(Stmt { kind: StmtKind::If { cond, then, otherwise }, span });
            }
            ast::ExprKind::Block(block) => {
                let body = self.tail_block(block);
                out.push(Stmt { kind: StmtKind::Block(body), span });
            }
            ast::ExprKind::If { otherwise: None, .. } => self.expr_stmt(value, out),
            _ if self.is_print(value) => self.expr_stmt(value, out),
            _ => {
                let value = self.expr(value);
                if value.ty == Ty::UNIT {
                    out.push(Stmt { span, kind: StmtKind::Expr(value.expr) });
                } else {
                    self.return_value(value, span, out);
                }
            }
        }
    }

    // ---- returns ----

    fn return_value(&mut self, value: Typed, span: Span, out: &mut Vec<Stmt>) {
        let mut roots = Vec::new();
        if !self.owns_all(&value.expr, &value.ty, &mut roots) {
            return;
        }
        if let Ty::Known(Type::Stream(_)) = value.ty {
            self.report(
                Diagnostic::error("a random stream cannot be returned", span, "a stream")
                    .help("return the numbers drawn from it"),
            );
            return;
        }
        let name = self.name;
        if let Some(declared) = self.declared_result.clone() {
            self.returns.joined = Some(Ty::Known(declared.clone()));
            self.follow_result(&value, &declared);
            let expr = self.fit(value, &declared, Goal::Result(name));
            out.push(Stmt { kind: StmtKind::Return(Some(expr)), span });
            return;
        }
        let joined = match &self.returns.joined {
            None => {
                self.returns.first = span;
                Some(value.ty.clone())
            }
            Some(joined) => ty::join(joined, &value.ty),
        };
        let Some(joined) = joined else {
            let (now, first) =
                (value.ty.show(), self.returns.joined.as_ref().map_or(String::new(), Ty::show));
            self.report(
                Diagnostic::error(
                    format!("`{name}` returns {now} here and {first} elsewhere"),
                    span,
                    format!("this is {now}"),
                )
                .with(self.returns.first, format!("this is {first}"))
                .help("convert one of them, or declare the result: `-> f64`"),
            );
            self.returns.joined = Some(Ty::Poison);
            return;
        };
        self.returns.joined = Some(joined);
        let expr = match self.assumed.clone() {
            Some(assumed) if super::bind::accepts(&assumed, &value.ty) => {
                self.fit(value, &assumed, Goal::Result(name))
            }
            _ => self.settle(value),
        };
        match &self.returns.emitted {
            None => self.returns.emitted = Some(expr.ty.clone()),
            Some(emitted) => self.returns.differ |= *emitted != expr.ty,
        }
        out.push(Stmt { kind: StmtKind::Return(Some(expr)), span });
    }

    // A variable that starts as a literal takes in the declared result when it is returned.
    fn follow_result(&mut self, value: &Typed, declared: &Type) {
        match (&value.expr.kind, declared) {
            (ExprKind::Local(local), Type::Scalar(scalar)) => {
                let local = *local;
                self.take(local, &Ty::scalar(*scalar));
            }
            (ExprKind::Local(local), Type::Array { elem, .. }) => {
                let root = self.vars[local.0 as usize].root.clone();
                if root.path.is_empty() {
                    self.take(root.local, &Ty::scalar(*elem));
                }
            }
            (ExprKind::Tuple(items), Type::Tuple(types)) => {
                let parts = value.ty.parts().unwrap_or_default();
                for ((item, ty), declared) in items.iter().zip(parts).zip(types) {
                    self.follow_result(&Typed { expr: item.clone(), ty }, declared);
                }
            }
            _ => {}
        }
    }

    // Are the arrays of a returned value this function's own, each returned once?
    fn owns_all(&mut self, expr: &Expr, ty: &Ty, roots: &mut Vec<Root>) -> bool {
        if !ty.has_array() {
            return true;
        }
        if let ExprKind::Tuple(items) = &expr.kind {
            let parts = ty.parts().unwrap_or_default();
            return items.iter().zip(&parts).all(|(item, ty)| self.owns_all(item, ty, roots));
        }
        let Some(root) = self.root_of(expr) else { return true };
        let local = &self.locals[root.local.0 as usize];
        let (name, declared) = (local.name.clone(), local.span);
        if matches!(local.kind, LocalKind::Param | LocalKind::MutParam) {
            self.report(
                Diagnostic::error(
                    format!("`{name}` belongs to the caller and cannot be returned"),
                    expr.span,
                    "an argument of this function",
                )
                .with(declared, "declared here")
                .help(format!("return a copy: `copy({name})`")),
            );
            return false;
        }
        if roots.contains(&root) {
            self.report(
                Diagnostic::error(format!("`{name}` is returned twice"), expr.span, "an array has one owner")
                    .help(format!("return a copy the second time: `copy({name})`")),
            );
            return false;
        }
        roots.push(root);
        true
    }

    // ---- statements ----

    pub fn stmt(&mut self, stmt: &'a ast::Stmt, out: &mut Vec<Stmt>) {
        use ast::StmtKind::*;
        let span = stmt.span;
        match &stmt.kind {
            Bind { is_var, names, is_tuple, ty, value } => {
                self.bind(*is_var, names, *is_tuple, ty.as_ref(), value, span, out);
            }
            Assign { targets, op, value, .. } => match targets.as_slice() {
                [target] => self.assign(target, *op, value, span, out),
                _ => self.assign_many(targets, value, span, out),
            },
            For(header) => self.for_loop(header, span, out),
            While { cond, body } => {
                let cond = self.expr(cond);
                let cond = self.truth(cond, "`while`");
                let body = self.block(body);
                out.push(Stmt { kind: StmtKind::While { cond, body }, span });
            }
            Break => out.push(Stmt { kind: StmtKind::Break, span }),
            Continue => out.push(Stmt { kind: StmtKind::Continue, span }),
            Return(None) => {
                match &self.declared_result {
                    Some(declared) => {
                        let diagnostic = Diagnostic::error(
                            format!("`{}` returns {declared}", self.name),
                            span,
                            "no value here",
                        )
                        .help("write the value behind `return`");
                        self.report(diagnostic);
                    }
                    None => match &self.returns.joined {
                        Some(joined) if *joined != Ty::UNIT && *joined != Ty::Poison => {
                            let diagnostic = Diagnostic::error(
                                format!("`{}` returns a value elsewhere", self.name),
                                span,
                                "no value here",
                            )
                            .with(self.returns.first, "this returns a value")
                            .help("return a value on every path, or on none");
                            self.report(diagnostic);
                        }
                        Some(_) => {}
                        None => {
                            self.returns.joined = Some(Ty::UNIT);
                            self.returns.emitted = Some(Type::Unit);
                            self.returns.first = span;
                        }
                    },
                }
                out.push(Stmt { kind: StmtKind::Return(None), span });
            }
            Return(Some(value)) => {
                let value = self.expr(value);
                if value.ty == Ty::UNIT {
                    let span = value.expr.span;
                    self.report(
                        Diagnostic::error("there is no value to return", span, "a function without a result")
                            .help("write `return` alone"),
                    );
                    return;
                }
                self.return_value(value, span, out);
            }
            Expr(value) => self.expr_stmt(value, out),
            Annotated { annotations, stmt: inner } => {
                let is_fast = annotations.iter().any(|annotation| annotation.name.text == "fast");
                match &inner.kind {
                    Expr(ast::Expr { kind: ast::ExprKind::Block(block), .. }) if is_fast => {
                        let body = self.block(block);
                        out.push(Stmt { kind: StmtKind::Fast(body), span });
                    }
                    _ => self.stmt(inner, out),
                }
            }
            // a script's step of its own, or reported
            Time(_) | Error => {}
        }
    }

    fn is_print(&self, value: &ast::Expr) -> bool {
        match &value.kind {
            ast::ExprKind::Call { callee, .. } => match &callee.kind {
                ast::ExprKind::Name(name) => name == "print" && !self.checked.by_name.contains_key(name),
                _ => false,
            },
            _ => false,
        }
    }

    pub fn expr_stmt(&mut self, value: &'a ast::Expr, out: &mut Vec<Stmt>) {
        let span = value.span;
        match &value.kind {
            ast::ExprKind::If { cond, then, otherwise } => {
                if let Some(holds) = self.decided_by_args(cond) {
                    let taken = if holds { Some(then) } else { otherwise.as_ref() };
                    let body = taken.map_or(Vec::new(), |block| self.block(block));
                    out.push(Stmt { kind: StmtKind::Block(body), span });
                    return;
                }
                let cond = self.expr(cond);
                let cond = self.truth(cond, "`if`");
                let then = self.block(then);
                let otherwise = otherwise.as_ref().map_or(Vec::new(), |block| self.block(block));
                out.push(Stmt { kind: StmtKind::If { cond, then, otherwise }, span });
            }
            ast::ExprKind::Block(block) => {
                let body = self.block(block);
                out.push(Stmt { kind: StmtKind::Block(body), span });
            }
            ast::ExprKind::Call { args, keywords, .. } if self.is_print(value) => {
                self.print(args, keywords, span, out)
            }
            _ => {
                let value = self.expr(value);
                let expr = self.settle(value);
                out.push(Stmt { kind: StmtKind::Expr(expr), span });
            }
        }
    }

    fn print(
        &mut self,
        args: &'a [ast::Expr],
        keywords: &'a [(ast::Name, ast::Expr)],
        span: Span,
        out: &mut Vec<Stmt>,
    ) {
        let keyword = |name: &str, default: &str| {
            keywords
                .iter()
                .find_map(|(keyword, value)| match &value.kind {
                    ast::ExprKind::Str(text) if keyword.text == name => Some(text.clone()),
                    _ => None,
                })
                .unwrap_or_else(|| default.to_string())
        };
        let (separator, end) = (keyword("sep", " "), keyword("end", "\n"));
        let mut parts: Vec<PrintPart> = Vec::new();
        let add_text = |parts: &mut Vec<PrintPart>, text: &str| match parts.last_mut() {
            _ if text.is_empty() => {}
            Some(PrintPart::Text(before)) => before.push_str(text),
            Some(PrintPart::Value(_)) | None => parts.push(PrintPart::Text(text.to_string())),
        };
        for (index, arg) in args.iter().enumerate() {
            if index > 0 {
                add_text(&mut parts, &separator);
            }
            if let Some(text) = self.text(arg) {
                add_text(&mut parts, &text);
                continue;
            }
            let value = self.expr(arg);
            match &value.ty {
                Ty::Poison => {}
                Ty::Known(Type::Unit | Type::Stream(_)) | Ty::Never => {
                    let shown = value.ty.show();
                    self.report(
                        Diagnostic::error(
                            format!("{shown} cannot be printed"),
                            arg.span,
                            format!("this is {shown}"),
                        )
                        .help("print numbers, arrays, tuples and text"),
                    );
                }
                _ => {
                    let expr = self.settle(value);
                    parts.push(PrintPart::Value(expr));
                }
            }
        }
        add_text(&mut parts, &end);
        out.push(Stmt { kind: StmtKind::Print(parts), span });
    }

    /// A text, written or given as the script's argument.
    pub fn text(&self, expr: &ast::Expr) -> Option<String> {
        match &expr.kind {
            ast::ExprKind::Str(text) => Some(text.clone()),
            ast::ExprKind::Field(base, field) => match (&base.kind, self.script) {
                (ast::ExprKind::Name(name), Some(script))
                    if name == "args" && self.lookup(name).is_none() =>
                {
                    match script.args.get(field.text.parse::<usize>().ok()?)? {
                        ScriptArg::Text(text) => Some(text.clone()),
                        ScriptArg::Int(_) | ScriptArg::Float(_) | ScriptArg::Bool(_) => None,
                    }
                }
                _ => None,
            },
            _ => None,
        }
    }

    // ---- bindings ----

    #[allow(clippy::too_many_arguments)]
    fn bind(
        &mut self,
        is_var: bool,
        names: &'a [ast::Name],
        is_tuple: bool,
        written: Option<&'a ast::TypeExpr>,
        value: &'a ast::Expr,
        span: Span,
        out: &mut Vec<Stmt>,
    ) {
        if !is_tuple && let [name] = names {
            let local = match &value.kind {
                ast::ExprKind::List(items) => self.bind_list(is_var, name, items, written, value.span, out),
                _ => {
                    let value = self.expr(value);
                    self.bind_one(is_var, name, written, value, span, out)
                }
            };
            self.bind_name(&name.text, local);
            return;
        }
        // a tuple written out binds part by part; none sees the new names
        if let ast::ExprKind::Tuple(items) = &value.kind {
            let values: Vec<Typed> = items.iter().map(|item| self.expr(item)).collect();
            if values.len() == names.len() {
                let locals: Vec<LocalId> = names
                    .iter()
                    .zip(values)
                    .map(|(name, value)| self.bind_one(is_var, name, None, value, span, out))
                    .collect();
                for (name, local) in names.iter().zip(locals) {
                    self.bind_name(&name.text, local);
                }
                return;
            }
            self.wrong_count(names, values.len(), value.span);
            return self.bind_poison(is_var, names);
        }
        let value = self.expr(value);
        if value.ty == Ty::Poison {
            return self.bind_poison(is_var, names);
        }
        let at = value.expr.span;
        let Some(parts) = value.ty.parts() else {
            let shown = value.ty.show();
            self.report(
                Diagnostic::error(
                    format!("only a tuple can be taken apart, found {shown}"),
                    at,
                    format!("this is {shown}"),
                )
                .help("bind one name"),
            );
            return self.bind_poison(is_var, names);
        };
        if parts.len() != names.len() {
            self.wrong_count(names, parts.len(), at);
            return self.bind_poison(is_var, names);
        }
        let (whole, path) = match self.root_of(&value.expr) {
            Some(_) => (value.expr.clone(), None),
            None => {
                let expr = self.settle(value);
                let temp = self.temp("tuple", Ty::Known(expr.ty.clone()), at);
                self.vars[temp.0 as usize].writable = is_var;
                let whole = Expr { kind: ExprKind::Local(temp), ty: expr.ty.clone(), span: at };
                out.push(Stmt { kind: StmtKind::Let { local: temp, value: expr }, span });
                (whole, Some(temp))
            }
        };
        for (index, (name, part)) in names.iter().zip(parts).enumerate() {
            let ty = part.settled();
            let expr = Expr { kind: ExprKind::TupleGet(Box::new(whole.clone()), index), ty, span: at };
            let value = Typed { expr, ty: part };
            // parts of a temporary become the names' own
            let local = match path {
                Some(_) if value.ty.is_array() => self.alias(is_var, name, value, span, out),
                _ => self.bind_one(is_var, name, None, value, span, out),
            };
            self.bind_name(&name.text, local);
        }
    }

    fn wrong_count(&mut self, names: &'a [ast::Name], parts: usize, span: Span) {
        self.report(
            Diagnostic::error(
                format!("{} names for {parts} values", names.len()),
                span,
                format!("{parts} value{}", if parts == 1 { "" } else { "s" }),
            )
            .help("write one name per value"),
        );
    }

    fn bind_poison(&mut self, is_var: bool, names: &'a [ast::Name]) {
        for name in names {
            let kind = if is_var { LocalKind::Var } else { LocalKind::Let };
            let local = self.add_local(&name.text, kind, Ty::Poison, name.span);
            self.bind_name(&name.text, local);
        }
    }

    // Another name for the array that `value` names.
    fn alias(
        &mut self,
        is_var: bool,
        name: &'a ast::Name,
        value: Typed,
        span: Span,
        out: &mut Vec<Stmt>,
    ) -> LocalId {
        let kind = if is_var { LocalKind::Var } else { LocalKind::Let };
        let root = self.root_of(&value.expr);
        let local = self.add_local(&name.text, kind, value.ty.clone(), name.span);
        let shared = root
            .as_ref()
            .filter(|root| root.path.is_empty())
            .and_then(|root| self.vars[root.local.0 as usize].key);
        let var = &mut self.vars[local.0 as usize];
        var.key = shared;
        var.owner = false;
        if let Some(root) = root {
            var.root = root;
        }
        out.push(Stmt { kind: StmtKind::Let { local, value: value.expr }, span });
        local
    }

    fn bind_one(
        &mut self,
        is_var: bool,
        name: &'a ast::Name,
        written: Option<&'a ast::TypeExpr>,
        value: Typed,
        span: Span,
        out: &mut Vec<Stmt>,
    ) -> LocalId {
        let kind = if is_var { LocalKind::Var } else { LocalKind::Let };
        let at = value.expr.span;
        if let Some(written) = written {
            let want = self.written_type(written);
            let is_place = value.ty.has_array() && self.root_of(&value.expr).is_some();
            let want = match (&want, &value.ty) {
                (Type::Array { elem, rank, .. }, Ty::Known(Type::Array { layout, .. })) => {
                    Type::Array { elem: *elem, rank: *rank, layout: *layout }
                }
                _ => want,
            };
            if is_place && let Type::Array { elem, .. } = &want {
                self.follow_result(&value, &Type::array(*elem, 1));
            }
            let expr = self.fit(value, &want, Goal::Written(written.span));
            if !is_place {
                let local = self.add_local(&name.text, kind, Ty::Known(want), name.span);
                out.push(Stmt { kind: StmtKind::Let { local, value: expr }, span });
                return local;
            }
            return self.bind_one(is_var, name, None, Typed { ty: Ty::Known(want), expr }, span, out);
        }
        match &value.ty {
            Ty::Poison => self.add_local(&name.text, kind, Ty::Poison, name.span),
            Ty::Never => {
                out.push(never_stmt(value.expr));
                self.add_local(&name.text, kind, Ty::Poison, name.span)
            }
            Ty::Known(Type::Unit) => {
                self.report(
                    Diagnostic::error(
                        format!("`{}` would have no value", name.text),
                        at,
                        "a function without a result",
                    )
                    .help("call it on a line of its own"),
                );
                self.add_local(&name.text, kind, Ty::Poison, name.span)
            }
            Ty::Known(Type::Stream(_)) => {
                if is_var || !matches!(value.expr.kind, ExprKind::Rng(_)) {
                    let help =
                        format!("write `let {} = rng(…)`; equal numbers give equal streams", name.text);
                    self.report(
                        Diagnostic::error("a random stream is bound once, with `let`", at, "a stream")
                            .help(help),
                    );
                }
                if self.script.is_some() && self.loops == 0 && self.at_script_top() {
                    self.report(
                        Diagnostic::error(
                            "a random stream cannot be a variable of the script",
                            at,
                            "a stream",
                        )
                        .help("make it inside a function, or in the loop that draws from it"),
                    );
                }
                let local = self.add_local(&name.text, LocalKind::Let, value.ty.clone(), name.span);
                out.push(Stmt { kind: StmtKind::Let { local, value: value.expr }, span });
                local
            }
            ty if ty.is_array() => self.bind_array(is_var, name, value, span, out),
            ty if ty.has_array() => {
                if self.root_of(&value.expr).is_some() || self.named_array_in(&value.expr) {
                    self.report(
                        Diagnostic::error(
                            "an array that has a name cannot be put into a tuple",
                            at,
                            "would have two owners",
                        )
                        .help("bind the arrays by name, or put in a copy: `(copy(a), 1)`"),
                    );
                }
                let expr = self.settle(value);
                let local = self.add_local(&name.text, kind, Ty::Known(expr.ty.clone()), name.span);
                out.push(Stmt { kind: StmtKind::Let { local, value: expr }, span });
                local
            }
            Ty::Lit(_, Origin::Text) if is_var => {
                let local = self.add_flexible(&name.text, kind, &value.ty, name.span);
                let ty = self.ty_of(local).settled();
                let expr = match self.ty_of(local) {
                    Ty::Known(_) => self.fit(value, &ty, Goal::Variable(&name.text, name.span)),
                    _ => self.settle(value),
                };
                out.push(Stmt { kind: StmtKind::Let { local, value: expr }, span });
                local
            }
            ty => {
                // a type that waits for another variable will be known in a later walk
                let known = if ty.waits() { ty.clone() } else { Ty::Known(ty.settled()) };
                let expr = self.settle(value);
                let local = self.add_local(&name.text, kind, known, name.span);
                out.push(Stmt { kind: StmtKind::Let { local, value: expr }, span });
                local
            }
        }
    }

    fn bind_array(
        &mut self,
        is_var: bool,
        name: &'a ast::Name,
        value: Typed,
        span: Span,
        out: &mut Vec<Stmt>,
    ) -> LocalId {
        let kind = if is_var { LocalKind::Var } else { LocalKind::Let };
        let is_place = self.root_of(&value.expr).is_some();
        if is_place && !is_var {
            return self.alias(false, name, value, span, out);
        }
        let at = value.expr.span;
        let value = self.copy(value, at);
        match &value.ty {
            Ty::FlexArray(_, Origin::Text, _) => {
                let local = self.add_flexible(&name.text, kind, &value.ty, name.span);
                let expr = match self.ty_of(local) {
                    Ty::Known(ty) => self.fit(value, &ty, Goal::Variable(&name.text, name.span)),
                    _ => self.settle(value),
                };
                self.vars[local.0 as usize].owner = is_var;
                out.push(Stmt { kind: StmtKind::Let { local, value: expr }, span });
                local
            }
            ty => {
                let ty = ty.clone();
                let local = self.add_local(&name.text, kind, ty, name.span);
                out.push(Stmt { kind: StmtKind::Let { local, value: value.expr }, span });
                local
            }
        }
    }

    // Does a tuple written out hold an array that has a name?
    fn named_array_in(&self, expr: &Expr) -> bool {
        match &expr.kind {
            ExprKind::Tuple(items) => items.iter().any(|item| {
                (ty::type_has_array(&item.ty) && self.root_of(item).is_some()) || self.named_array_in(item)
            }),
            _ => false,
        }
    }

    // `let x = [a, b, c]`: an array, then its elements.
    fn bind_list(
        &mut self,
        is_var: bool,
        name: &'a ast::Name,
        items: &'a [ast::Expr],
        written: Option<&'a ast::TypeExpr>,
        span: Span,
        out: &mut Vec<Stmt>,
    ) -> LocalId {
        let kind = if is_var { LocalKind::Var } else { LocalKind::Let };
        let rows: Vec<&'a [ast::Expr]> = items
            .iter()
            .map(|item| match &item.kind {
                ast::ExprKind::List(row) => row.as_slice(),
                _ => std::slice::from_ref(item),
            })
            .collect();
        let nested = items.iter().filter(|item| matches!(item.kind, ast::ExprKind::List(_))).count();
        let rank = if nested > 0 { 2 } else { 1 };
        let width = rows.first().map_or(0, |row| row.len());
        if items.is_empty()
            || width == 0
            || (nested > 0 && nested < items.len())
            || rows.iter().any(|row| row.len() != width)
        {
            self.report(
                Diagnostic::error("a list needs elements, and rows of one length", span, "empty, or uneven")
                    .help("for an array without elements write `zeros(0)`"),
            );
            return self.add_local(&name.text, kind, Ty::Poison, name.span);
        }
        let values: Vec<Typed> = rows.iter().flat_map(|row| row.iter()).map(|item| self.expr(item)).collect();
        let mut joined: Option<Number> = None;
        for value in &values {
            let Some(number) = self.number(value, "a list of") else {
                return self.add_local(&name.text, kind, Ty::Poison, name.span);
            };
            joined = match joined {
                None => Some(number),
                Some(joined) => match ty::common(joined, number) {
                    Some(joined) => Some(joined),
                    None => {
                        let shown = value.ty.show();
                        self.report(
                            Diagnostic::error(
                                format!("{shown} has no common type with the elements before it"),
                                value.expr.span,
                                format!("this is {shown}"),
                            )
                            .help("convert it"),
                        );
                        return self.add_local(&name.text, kind, Ty::Poison, name.span);
                    }
                },
            };
        }
        let ty = match (written.map(|written| self.written_type(written)), joined) {
            (Some(want @ Type::Array { .. }), _) if Ty::Known(want.clone()).rank() == Some(rank) => {
                Ty::Known(want)
            }
            (Some(want), _) => {
                self.report(
                    Diagnostic::error(
                        format!("{want} is declared, but the value is a list with {rank} dimension(s)"),
                        span,
                        "a list",
                    )
                    .help("write the type of the list: `[f64; _]`"),
                );
                return self.add_local(&name.text, kind, Ty::Poison, name.span);
            }
            (None, Some(Number::Known(scalar))) => Ty::Known(Type::array(scalar, rank)),
            (None, Some(Number::Lit(lit, origin))) => Ty::FlexArray(lit, origin, rank),
            (None, None) => Ty::Poison,
        };
        let int = |value: usize| Expr { kind: ExprKind::Const(Const::I64(value as i64)), ty: I64, span };
        let sizes = if rank == 2 { vec![int(rows.len()), int(width)] } else { vec![int(items.len())] };
        let local = match &ty {
            Ty::FlexArray(_, Origin::Text, _) => self.add_flexible(&name.text, kind, &ty, name.span),
            _ => self.add_local(&name.text, kind, ty, name.span),
        };
        let now = self.ty_of(local);
        let (array, elem) = (now.settled(), now.elem().settled());
        let alloc = Expr { kind: ExprKind::Alloc(Alloc::Zeros(sizes)), ty: array, span };
        out.push(Stmt { kind: StmtKind::Let { local, value: alloc }, span });
        for (index, value) in values.into_iter().enumerate() {
            let at = value.expr.span;
            let value =
                if now.waits() { value.expr } else { self.fit(value, &elem, Goal::Element(&name.text)) };
            let indices =
                if rank == 2 { vec![int(index / width), int(index % width)] } else { vec![int(index)] };
            let place = Place { local, indices, ty: elem.clone(), span: at };
            out.push(Stmt { kind: StmtKind::Set { place, value }, span: at });
        }
        local
    }

    // ---- assignments ----

    /// What is assigned, with its type as known now. `None` if that has been reported.
    fn target(&mut self, target: &'a ast::Expr) -> Option<(Place, Ty)> {
        let span = target.span;
        match &target.kind {
            ast::ExprKind::Name(name) => {
                let local = self.lookup(name)?;
                let ty = self.ty_of(local);
                match &ty {
                    Ty::Poison => None,
                    Ty::Known(Type::Stream(_)) => {
                        self.report(
                            Diagnostic::error(
                                "a random stream is bound once, with `let`",
                                span,
                                "assigned here",
                            )
                            .help("bind another: `let t = rng(…)`"),
                        );
                        None
                    }
                    ty if ty.has_array() => {
                        let help = match ty.rank() {
                            Some(rank) => {
                                let (header, indices) = over(name, rank);
                                format!(
                                    "store the elements: `{header} {{ {name}[{indices}] = … }}`; two `var` arrays are exchanged by `a, b = b, a`"
                                )
                            }
                            None => "bind another variable".to_string(),
                        };
                        self.report(
                            Diagnostic::error(
                                format!("the array `{name}` cannot be assigned as a whole"),
                                span,
                                "assigned here",
                            )
                            .help(help),
                        );
                        None
                    }
                    _ => Some((Place { local, indices: Vec::new(), ty: ty.settled(), span }, ty)),
                }
            }
            ast::ExprKind::Index(base, indices) => {
                let array = self.expr(base);
                let values = self.index_values(&array, indices, span)?;
                let ExprKind::Local(local) = array.expr.kind else { return None };
                let root = self.vars[local.0 as usize].root.clone();
                if !self.check_writable(&root, span, "written here") {
                    return None;
                }
                let elem = array.ty.elem();
                Some((Place { local, indices: values, ty: elem.settled(), span }, elem))
            }
            _ => None,
        }
    }

    // The variable whose estimate an assignment to this place feeds.
    fn feed(&mut self, place: &Place, ty: &Ty) {
        let local = if place.indices.is_empty() {
            place.local
        } else {
            let root = &self.vars[place.local.0 as usize].root;
            if !root.path.is_empty() {
                return;
            }
            root.local
        };
        self.take(local, ty);
    }

    fn assign(
        &mut self,
        target: &'a ast::Expr,
        op: Option<ast::AssignOp>,
        value: &'a ast::Expr,
        span: Span,
        out: &mut Vec<Stmt>,
    ) {
        if let Some(op) = op {
            let written = self.expr(value);
            let Some((place, ty)) = self.target(target) else { return };
            let stmt = match op {
                ast::AssignOp::Binary(op) => self.update(place, ty, op, written, false, span),
                ast::AssignOp::Min => self.extreme(place, ty, MathFn::Min, written, false, span),
                ast::AssignOp::Max => self.extreme(place, ty, MathFn::Max, written, false, span),
            };
            out.extend(stmt);
            return;
        }
        if let Some((op, term)) = self.spelled_out(target, value) {
            let written = self.expr(term);
            let Some((place, ty)) = self.target(target) else { return };
            if ty.parts().is_none() {
                let stmt = match op {
                    ast::AssignOp::Binary(op) => self.update(place, ty, op, written, true, span),
                    ast::AssignOp::Min => self.extreme(place, ty, MathFn::Min, written, true, span),
                    ast::AssignOp::Max => self.extreme(place, ty, MathFn::Max, written, true, span),
                };
                out.extend(stmt);
                return;
            }
        }
        let written = self.expr(value);
        let Some((place, _)) = self.target(target) else { return };
        self.feed(&place, &written.ty.clone());
        let goal = self.goal(&place);
        let value = self.fit_place(written, &place, goal);
        if matches!(value.ty, Type::Array { .. }) {
            return;
        }
        out.push(Stmt { kind: StmtKind::Set { place, value }, span });
    }

    fn goal(&self, place: &Place) -> (String, Span, bool) {
        let local = &self.locals[place.local.0 as usize];
        (local.name.clone(), local.span, place.indices.is_empty())
    }

    fn fit_place(
        &mut self,
        value: Typed,
        place: &Place,
        (name, declared, whole): (String, Span, bool),
    ) -> Expr {
        // the type may have risen with this very assignment
        let want = if whole { self.ty_of(place.local) } else { self.ty_of(place.local).elem() };
        if want.waits() {
            return value.expr;
        }
        let goal = if whole { Goal::Variable(&name, declared) } else { Goal::Element(&name) };
        self.fit(value, &want.settled(), goal)
    }

    // `s = s + e`, `m = max(m, e)`, also of an element: the operator and `e`, which does not read what is assigned.
    fn spelled_out(
        &self,
        target: &'a ast::Expr,
        value: &'a ast::Expr,
    ) -> Option<(ast::AssignOp, &'a ast::Expr)> {
        use BinaryOp::*;
        let name = match &target.kind {
            ast::ExprKind::Name(name) => name,
            ast::ExprKind::Index(base, indices) if indices.iter().all(is_plain) => match &base.kind {
                ast::ExprKind::Name(name) => name,
                _ => return None,
            },
            _ => return None,
        };
        let pick = |left: &'a ast::Expr, right: &'a ast::Expr, commutes: bool| {
            if same(left, target) && !visit::mentions(right, name) {
                Some(right)
            } else if commutes && same(right, target) && !visit::mentions(left, name) {
                Some(left)
            } else {
                None
            }
        };
        match &value.kind {
            ast::ExprKind::Binary(op @ (Add | Sub | Mul | BitAnd | BitOr | BitXor), left, right) => {
                let term = pick(left, right, *op != Sub)?;
                Some((ast::AssignOp::Binary(*op), term))
            }
            ast::ExprKind::Call { callee, args, keywords, generator: None } if keywords.is_empty() => {
                let (ast::ExprKind::Name(function), [left, right]) = (&callee.kind, args.as_slice()) else {
                    return None;
                };
                if self.checked.by_name.contains_key(function) {
                    return None;
                }
                let op = match function.as_str() {
                    "min" => ast::AssignOp::Min,
                    "max" => ast::AssignOp::Max,
                    _ => return None,
                };
                pick(left, right, true).map(|term| (op, term))
            }
            _ => None,
        }
    }

    fn update(
        &mut self,
        place: Place,
        ty: Ty,
        op: BinaryOp,
        value: Typed,
        spelled_out: bool,
        span: Span,
    ) -> Option<Stmt> {
        let what = Typed {
            expr: Expr { kind: ExprKind::Local(place.local), ty: place.ty.clone(), span: place.span },
            ty: ty.clone(),
        };
        if value.ty.is_array() {
            let name = self.locals[place.local.0 as usize].name.clone();
            let at = value.expr.span;
            self.report(
                Diagnostic::error("adding up whole arrays is not there yet", at, "this is an array").help(
                    format!("to add all its elements write `{name} += sum(…)`; else loop over the elements"),
                ),
            );
            return None;
        }
        let number = if op == BinaryOp::Pow {
            self.power_number(&what, &value)?
        } else {
            self.operation(op, &what, &value, span)?
        };
        let result = match number {
            Number::Known(scalar) => Ty::scalar(scalar),
            Number::Lit(lit, origin) => Ty::Lit(lit, origin),
        };
        self.feed(&place, &result);
        let now =
            if place.indices.is_empty() { self.ty_of(place.local) } else { self.ty_of(place.local).elem() };
        let Some(scalar) = now.settled().as_scalar() else {
            let shown = now.show();
            self.report(
                Diagnostic::error(format!("{shown} cannot be updated"), span, "not a number")
                    .help("assign the whole: `t = (…, …)`"),
            );
            return None;
        };
        let place = Place { ty: Type::Scalar(scalar), ..place };
        if !now.waits() && !matches!(result, Ty::Lit(..)) && result != Ty::scalar(scalar) {
            let (name, declared, whole) = self.goal(&place);
            let (have, text) = (value.ty.show(), spell::binary(op));
            let shown = result.show();
            let subject = if whole { format!("`{name}`") } else { format!("an element of `{name}`") };
            let diagnostic = Diagnostic::error(
                format!("{subject} is {scalar}, but {scalar} {text} {have} is {shown}"),
                value.expr.span,
                format!("this is {have}"),
            );
            let diagnostic = declared_at(diagnostic, declared, &format!("`{name}` is declared here"));
            self.report(match op {
                BinaryOp::Div => diagnostic.help(format!(
                    "`/` divides floats: write `//=` for whole division, or make `{name}` a float"
                )),
                _ if scalar == Scalar::Bool => diagnostic.help(format!("count in an int: `var {name} = 0`")),
                _ => diagnostic.help(format!("convert it: `{scalar}(…)`, or declare `{name}` as {shown}")),
            });
            return None;
        }
        if op == BinaryOp::Pow {
            return Some(self.power_update(place, value, span));
        }
        let value = match op {
            BinaryOp::Shl | BinaryOp::Shr => {
                let count = self.settle(value);
                super::literal::convert(count, scalar)
            }
            _ => self.operand(value, scalar),
        };
        let (op, value) = match op {
            BinaryOp::Sub => (BinaryOp::Add, negated(value)),
            op => (op, value),
        };
        let value = match op {
            BinaryOp::Add if scalar.is_float() && !spelled_out => match split_product(value) {
                Ok((left, right)) => UpdateValue::Product(left, right),
                Err(value) => UpdateValue::Plain(*value),
            },
            _ => UpdateValue::Plain(value),
        };
        Some(Stmt { kind: StmtKind::Update { place, op: UpdateOp::Binary(op), value, spelled_out }, span })
    }

    fn power_number(&mut self, base: &Typed, exponent: &Typed) -> Option<Number> {
        let (a, b) = (self.number(base, "`**` on"), self.number(exponent, "`**` on"));
        let (a, b) = (a?, b?);
        let int = |number: Number| match number {
            Number::Known(scalar) => !scalar.is_float(),
            Number::Lit(lit, _) => lit != Lit::Float,
        };
        if int(b) {
            return Some(if a == Number::Known(Scalar::Bool) { Number::Known(Scalar::I64) } else { a });
        }
        ty::common(a, b)
    }

    // `x **= k` is `x = x ** k`; the indices of an element are computed once.
    fn power_update(&mut self, mut place: Place, exponent: Typed, span: Span) -> Stmt {
        let mut stmts = Vec::new();
        for index in &mut place.indices {
            if !matches!(index.kind, ExprKind::Local(_) | ExprKind::Const(_)) {
                let temp = self.temp("index", Ty::Known(I64), index.span);
                let name = Expr { kind: ExprKind::Local(temp), ty: I64, span: index.span };
                let value = std::mem::replace(index, name);
                stmts.push(Stmt { span: value.span, kind: StmtKind::Let { local: temp, value } });
            }
        }
        let whole = self.local(place.local, place.span).expr;
        let read = if place.indices.is_empty() {
            whole
        } else {
            Expr {
                kind: ExprKind::Index(Box::new(whole), place.indices.clone()),
                ty: place.ty.clone(),
                span: place.span,
            }
        };
        let read = Typed { ty: Ty::Known(place.ty.clone()), expr: read };
        let value = self.power(read, exponent, span);
        let value = self.settle(value);
        let set = Stmt { kind: StmtKind::Set { place, value }, span };
        if stmts.is_empty() {
            return set;
        }
        stmts.push(set);
        Stmt { kind: StmtKind::Block(stmts), span }
    }

    fn extreme(
        &mut self,
        place: Place,
        ty: Ty,
        function: MathFn,
        value: Typed,
        spelled_out: bool,
        span: Span,
    ) -> Option<Stmt> {
        let name = if function == MathFn::Min { "min" } else { "max" };
        let what = Typed {
            expr: Expr { kind: ExprKind::Local(place.local), ty: place.ty.clone(), span: place.span },
            ty,
        };
        let role = format!("`{name}=` of");
        let (a, b) = (self.number(&what, &role), self.number(&value, &role));
        let (Some(a), Some(b)) = (a, b) else { return None };
        if let Some(number) = ty::common(a, b) {
            let result = match number {
                Number::Known(scalar) => Ty::scalar(scalar),
                Number::Lit(lit, origin) => Ty::Lit(lit, origin),
            };
            self.feed(&place, &result);
        }
        let goal = self.goal(&place);
        let value = self.fit_place(value, &place, goal);
        let now =
            if place.indices.is_empty() { self.ty_of(place.local) } else { self.ty_of(place.local).elem() };
        let place = Place { ty: now.settled(), ..place };
        let op = if function == MathFn::Min { UpdateOp::Min } else { UpdateOp::Max };
        Some(Stmt {
            kind: StmtKind::Update { place, op, value: UpdateValue::Plain(value), spelled_out },
            span,
        })
    }

    fn assign_many(
        &mut self,
        targets: &'a [ast::Expr],
        value: &'a ast::Expr,
        span: Span,
        out: &mut Vec<Stmt>,
    ) {
        if let ast::ExprKind::Tuple(items) = &value.kind {
            if self.swap(targets, items, span, out) {
                return;
            }
            if items.len() != targets.len() {
                self.report(
                    Diagnostic::error(
                        format!("{} targets for {} values", targets.len(), items.len()),
                        value.span,
                        "not as many values",
                    )
                    .help("write one value per target"),
                );
                return;
            }
            let values: Vec<Typed> = items.iter().map(|item| self.expr(item)).collect();
            return self.store_many(targets, values, span, out);
        }
        let value = self.expr(value);
        let at = value.expr.span;
        let Some(parts) = value.ty.parts() else {
            if value.ty != Ty::Poison {
                let shown = value.ty.show();
                self.report(
                    Diagnostic::error(
                        format!("only a tuple can be taken apart, found {shown}"),
                        at,
                        format!("this is {shown}"),
                    )
                    .help("assign one target"),
                );
            }
            return;
        };
        if parts.len() != targets.len() {
            self.report(
                Diagnostic::error(
                    format!("{} targets for {} values", targets.len(), parts.len()),
                    at,
                    value.ty.show(),
                )
                .help("write one target per value"),
            );
            return;
        }
        let expr = self.settle(value);
        let whole = expr.ty.clone();
        let temp = self.temp("tuple", Ty::Known(whole.clone()), at);
        let mut block = vec![Stmt { kind: StmtKind::Let { local: temp, value: expr }, span }];
        let values = parts
            .into_iter()
            .enumerate()
            .map(|(index, ty)| {
                let base = Expr { kind: ExprKind::Local(temp), ty: whole.clone(), span: at };
                Typed {
                    expr: Expr {
                        kind: ExprKind::TupleGet(Box::new(base), index),
                        ty: ty.settled(),
                        span: at,
                    },
                    ty,
                }
            })
            .collect();
        self.store_many(targets, values, span, &mut block);
        out.push(Stmt { kind: StmtKind::Block(block), span });
    }

    fn store_many(&mut self, targets: &'a [ast::Expr], values: Vec<Typed>, span: Span, out: &mut Vec<Stmt>) {
        let (mut places, mut exprs) = (Vec::new(), Vec::new());
        for (target, value) in targets.iter().zip(values) {
            let Some((place, _)) = self.target(target) else { continue };
            self.feed(&place, &value.ty.clone());
            let goal = self.goal(&place);
            let value = self.fit_place(value, &place, goal);
            let now = if place.indices.is_empty() {
                self.ty_of(place.local)
            } else {
                self.ty_of(place.local).elem()
            };
            places.push(Place { ty: now.settled(), ..place });
            exprs.push(value);
        }
        if places.iter().all(|place| matches!(place.ty, Type::Scalar(_))) {
            out.push(Stmt { kind: StmtKind::SetMany { places, values: exprs }, span });
            return;
        }
        // tuples: through temporaries
        let mut block = Vec::new();
        let mut sets = Vec::new();
        for (place, value) in places.into_iter().zip(exprs) {
            let temp = self.temp("value", Ty::Known(value.ty.clone()), value.span);
            let name = Expr { kind: ExprKind::Local(temp), ty: value.ty.clone(), span: value.span };
            block.push(Stmt { kind: StmtKind::Let { local: temp, value }, span });
            sets.push(Stmt { kind: StmtKind::Set { place, value: name }, span });
        }
        block.extend(sets);
        out.push(Stmt { kind: StmtKind::Block(block), span });
    }

    // `a, b = b, a` of arrays. False if no target is an array.
    fn swap(
        &mut self,
        targets: &'a [ast::Expr],
        values: &'a [ast::Expr],
        span: Span,
        out: &mut Vec<Stmt>,
    ) -> bool {
        let array = |walk: &Self, expr: &ast::Expr| match &expr.kind {
            ast::ExprKind::Name(name) => walk.lookup(name).filter(|local| walk.ty_of(*local).is_array()),
            _ => None,
        };
        let locals: Vec<Option<LocalId>> = targets.iter().map(|target| array(self, target)).collect();
        if locals.iter().all(Option::is_none) {
            return false;
        }
        let sources: Vec<Option<LocalId>> = values.iter().map(|value| array(self, value)).collect();
        let (Some(locals), Some(sources)) =
            (locals.into_iter().collect::<Option<Vec<_>>>(), sources.into_iter().collect::<Option<Vec<_>>>())
        else {
            self.report(
                Diagnostic::error(
                    "arrays can only be exchanged among themselves",
                    span,
                    "not all of these are arrays",
                )
                .help("write `a, b = b, a` with the same arrays on both sides; store elements in a loop"),
            );
            return true;
        };
        let (mut left, mut right) = (locals.clone(), sources.clone());
        left.sort();
        right.sort();
        if left != right || left.windows(2).any(|pair| pair[0] == pair[1]) {
            self.report(
                Diagnostic::error(
                    "both sides must name the same arrays, each once",
                    span,
                    "an array has one owner",
                )
                .help("write `a, b = b, a`; to copy, store the elements in a loop"),
            );
            return true;
        }
        if self.loops > 0 {
            self.report(
                Diagnostic::error(
                    "arrays cannot be exchanged in an annotated loop",
                    span,
                    "iterations run in any order",
                )
                .help("exchange them after the loop, or remove the annotation"),
            );
            return true;
        }
        let first = &self.vars[locals[0].0 as usize];
        let (block, ty) = (first.block, self.ty_of(locals[0]));
        for local in &locals {
            let var = &self.vars[local.0 as usize];
            let found = &self.locals[local.0 as usize];
            let (name, declared) = (found.name.clone(), found.span);
            let problem = if var.from_script {
                Some((
                    format!("`{name}` belongs to the script, so it cannot be exchanged in a loop or block"),
                    "put the loop into a function whose own arrays are exchanged, and return the result"
                        .to_string(),
                ))
            } else if matches!(found.kind, LocalKind::Param | LocalKind::MutParam) {
                Some((
                    format!("`{name}` belongs to the caller and cannot be exchanged"),
                    format!(
                        "work on a copy: `var x = copy({name})`; write results back into `{name}` at the end"
                    ),
                ))
            } else if !var.owner {
                Some((
                    format!("`{name}` does not own its array, so it cannot be exchanged"),
                    format!("declare it with `var {name} = …`, as a fresh array or a copy"),
                ))
            } else if var.block != block {
                Some((
                    "arrays of different blocks cannot be exchanged: one would outlive the other".to_string(),
                    "declare them side by side".to_string(),
                ))
            } else if !ty.waits() && !self.ty_of(*local).waits() && self.ty_of(*local) != ty {
                Some((
                    format!(
                        "arrays of different types cannot be exchanged: {} and {}",
                        ty.show(),
                        self.ty_of(*local).show()
                    ),
                    "make both with one type and rank".to_string(),
                ))
            } else {
                self.visible_aliases(*local).map(|alias| {
                    let alias = self.locals[alias.0 as usize].name.clone();
                    (
                        format!("`{name}` cannot be exchanged while `{alias}` is another name for it"),
                        format!("copy it: `var {alias} = {name}`, or bind `{alias}` after the exchange"),
                    )
                })
            };
            if let Some((title, help)) = problem {
                let diagnostic = Diagnostic::error(title, span, "exchanged here");
                self.report(declared_at(diagnostic, declared, "declared here").help(help));
                return true;
            }
        }
        // one element type for all
        for (target, source) in locals.iter().zip(&sources) {
            let elem = self.ty_of(*source).elem();
            self.take(*target, &elem);
        }
        out.push(Stmt { kind: StmtKind::Swap { targets: locals, sources }, span });
        true
    }

    // ---- loops ----

    fn for_loop(&mut self, header: &'a ast::For, span: Span, out: &mut Vec<Stmt>) {
        let annotations = self.annotations(&header.annotations);
        let ranges = self.ranges(&header.indices);
        let drawn = self.draws;
        let annotated = annotations.is_annotated();
        let outer = self.enter_loop(&annotations);
        self.open_block();
        let indices = self.declare_indices(&header.indices, ranges);
        let body = self.block(&header.body);
        self.close_block();
        self.leave_loop(annotated, outer);
        let draws = self.draws > drawn;
        let node = For { annotations, indices, body, draws, span: header.span };
        out.push(Stmt { kind: StmtKind::For(node), span });
    }

    pub fn annotations(&mut self, list: &'a [ast::Annotation]) -> LoopAnnotations {
        let mut annotations = LoopAnnotations::default();
        for annotation in list {
            match annotation.name.text.as_str() {
                "parallel" => annotations.parallel = true,
                "vectorize" => annotations.vectorize = true,
                "fast" => annotations.fast = true,
                "rng" => annotations.generator = crate::resolve::generator(annotation),
                "unique" => {
                    let Some(arg) = annotation.args.first() else { continue };
                    let value = self.expr(arg);
                    match (&value.ty, &value.expr.kind) {
                        (Ty::Known(Type::Array { elem, rank: 1, .. }), ExprKind::Local(local))
                            if elem.is_int() =>
                        {
                            annotations.unique.push((*local, annotation.span));
                        }
                        (Ty::Poison | Ty::FlexArray(_, Origin::Var, 1), _) => {}
                        (ty, _) => {
                            let shown = ty.show();
                            self.report(
                                Diagnostic::error(
                                    format!("`@unique` needs one row of ints, found {shown}"),
                                    arg.span,
                                    format!("this is {shown}"),
                                )
                                .help("it tests that no index occurs twice: `@unique(p)` for `y[p[i]] = …`"),
                            );
                        }
                    }
                }
                _ => {}
            }
        }
        annotations
    }

    /// The bounds of a loop, computed before it: lo, hi, inclusive, step.
    pub fn ranges(&mut self, indices: &'a [ast::Index]) -> Vec<(Expr, Expr, bool, Option<Expr>)> {
        indices
            .iter()
            .map(|index| match &index.range.kind {
                ast::ExprKind::Range { lo: Some(lo), hi: Some(hi), inclusive, step } => {
                    let lo = self.expr(lo);
                    let lo = self.whole_number(lo, "a bound of a loop");
                    let hi = self.expr(hi);
                    let hi = self.whole_number(hi, "a bound of a loop");
                    let step = step.as_ref().map(|step| {
                        let step = self.expr(step);
                        self.whole_number(step, "a step")
                    });
                    (lo, hi, *inclusive, step)
                }
                _ => {
                    let missing = super::walk::placeholder(index.range.span);
                    (missing.clone(), missing, false, None)
                }
            })
            .collect()
    }

    pub fn declare_indices(
        &mut self,
        indices: &'a [ast::Index],
        ranges: Vec<(Expr, Expr, bool, Option<Expr>)>,
    ) -> Vec<Index> {
        indices
            .iter()
            .zip(ranges)
            .map(|(index, (lo, hi, inclusive, step))| {
                let local =
                    self.add_local(&index.name.text, LocalKind::Index, Ty::Known(I64), index.name.span);
                self.bind_name(&index.name.text, local);
                Index { local, lo, hi, inclusive, step }
            })
            .collect()
    }

    // ---- top level of a script ----

    fn at_script_top(&self) -> bool {
        self.block_depth() == 2
    }

    /// A statement whose effects on types are wanted, not its code.
    pub fn probe_stmt(&mut self, stmt: &'a ast::Stmt, out: &mut Vec<Stmt>) {
        match &stmt.kind {
            ast::StmtKind::Time(block) => block.stmts.iter().for_each(|inner| self.probe_stmt(inner, out)),
            ast::StmtKind::Bind { is_var, names, value, .. } if file_call(value).is_some() => {
                self.bind_poison(*is_var, names)
            }
            ast::StmtKind::Expr(value) if file_call(value).is_some() => {}
            _ => self.stmt(stmt, out),
        }
    }

    /// A statement that runs as a function: its new variables go to `values`; or one value that holds them all is returned.
    pub fn script_stmt(
        &mut self,
        stmt: &'a ast::Stmt,
        out: &mut Vec<Stmt>,
        values: &mut Vec<Expr>,
    ) -> Option<Expr> {
        let span = stmt.span;
        match &stmt.kind {
            ast::StmtKind::Bind { is_var, names, is_tuple, value, .. } => {
                // several results of one call pass on as they are
                let assigns = self.script.is_some_and(|script| script.assigned.contains(&true));
                if (*is_tuple || names.len() > 1)
                    && !assigns
                    && !matches!(value.kind, ast::ExprKind::Tuple(_))
                {
                    let value = self.expr(value);
                    let at = value.expr.span;
                    match value.ty.parts() {
                        Some(parts) if parts.len() == names.len() => {
                            let value = self.owned(value);
                            let expr = self.settle(value);
                            if let Type::Tuple(types) = &expr.ty {
                                for (name, ty) in names.iter().zip(types) {
                                    self.script_facts.declared.push((name.text.clone(), ty.clone(), *is_var));
                                }
                            }
                            return Some(expr);
                        }
                        Some(parts) => self.wrong_count(names, parts.len(), at),
                        None if value.ty == Ty::Poison => {}
                        None => {
                            let shown = value.ty.show();
                            self.report(
                                Diagnostic::error(
                                    format!("only a tuple can be taken apart, found {shown}"),
                                    at,
                                    format!("this is {shown}"),
                                )
                                .help("bind one name"),
                            );
                        }
                    }
                    return None;
                }
                self.stmt(stmt, out);
                for name in names {
                    let Some(local) = self.lookup(&name.text) else { continue };
                    let value = self.local(local, name.span);
                    if value.ty == Ty::Poison {
                        continue;
                    }
                    let from_outside = self
                        .root_of(&value.expr)
                        .is_some_and(|root| self.vars[root.local.0 as usize].from_script);
                    let value =
                        if value.ty.is_array() && from_outside { self.copy(value, name.span) } else { value };
                    let expr = value.expr;
                    self.script_facts.declared.push((name.text.clone(), expr.ty.clone(), *is_var));
                    values.push(expr);
                }
                None
            }
            ast::StmtKind::Expr(value) if !self.is_print(value) && visit::has_value(value) => {
                let value = self.expr(value);
                match &value.ty {
                    Ty::Poison => {}
                    Ty::Known(Type::Unit) | Ty::Never => {
                        out.push(Stmt { kind: StmtKind::Expr(value.expr), span })
                    }
                    Ty::Known(Type::Stream(_)) => self.report(
                        Diagnostic::error("a random stream cannot be shown", span, "a stream")
                            .help("draw from it: `rand(s)`"),
                    ),
                    _ => {
                        let value = self.owned(value);
                        let expr = self.settle(value);
                        self.script_facts.shown = true;
                        values.push(expr);
                    }
                }
                None
            }
            _ => {
                self.stmt(stmt, out);
                None
            }
        }
    }

    // Arrays of the script leave a statement as copies.
    fn owned(&mut self, value: Typed) -> Typed {
        if value.ty.is_array() {
            let span = value.expr.span;
            return self.copy(value, span);
        }
        if !value.ty.has_array() {
            return value;
        }
        let span = value.expr.span;
        let Some(parts) = value.ty.parts() else { return value };
        match value.expr.kind {
            ExprKind::Tuple(items) => {
                let items =
                    items.into_iter().zip(parts).map(|(expr, ty)| self.owned(Typed { expr, ty })).collect();
                self.tuple(items, span)
            }
            _ if self.root_of(&value.expr).is_some() => {
                let items = parts
                    .into_iter()
                    .enumerate()
                    .map(|(index, ty)| {
                        let kind = ExprKind::TupleGet(Box::new(value.expr.clone()), index);
                        self.owned(Typed { expr: Expr { kind, ty: ty.settled(), span }, ty })
                    })
                    .collect();
                self.tuple(items, span)
            }
            _ => value,
        }
    }
}

// A value that does not come back, as a statement.
fn never_stmt(expr: Expr) -> Stmt {
    let span = expr.span;
    let arm = |block: BlockExpr| {
        let mut stmts = block.stmts;
        stmts.extend(block.value.map(|value| Stmt { span: value.span, kind: StmtKind::Expr(value) }));
        stmts
    };
    let kind = match expr.kind {
        ExprKind::If(cond, then, otherwise) => {
            StmtKind::If { cond: *cond, then: arm(*then), otherwise: arm(*otherwise) }
        }
        ExprKind::Block(block) => StmtKind::Block(arm(*block)),
        kind => StmtKind::Expr(Expr { kind, ..expr }),
    };
    Stmt { kind, span }
}

// Only names, numbers and arithmetic: reading it twice gives the same.
fn is_plain(expr: &ast::Expr) -> bool {
    match &expr.kind {
        ast::ExprKind::Int(_) | ast::ExprKind::Name(_) => true,
        ast::ExprKind::Unary(_, operand) => is_plain(operand),
        ast::ExprKind::Binary(_, left, right) => is_plain(left) && is_plain(right),
        ast::ExprKind::Index(base, indices) => is_plain(base) && indices.iter().all(is_plain),
        _ => false,
    }
}

// The same syntax, wherever it stands.
fn same(left: &ast::Expr, right: &ast::Expr) -> bool {
    use ast::ExprKind::*;
    match (&left.kind, &right.kind) {
        (Int(a), Int(b)) => a == b,
        (Name(a), Name(b)) => a == b,
        (Unary(op, a), Unary(other, b)) => op == other && same(a, b),
        (Binary(op, a, b), Binary(other, c, d)) => op == other && same(a, c) && same(b, d),
        (Index(a, left), Index(b, right)) => {
            same(a, b) && left.len() == right.len() && left.iter().zip(right).all(|(a, b)| same(a, b))
        }
        _ => false,
    }
}
