//! Types calls of the program's functions.
//!
//! In: a call as parsed. Out: a call of a specialisation. Holds: arguments are computed in the order of the source; arrays are passed as names;
//! an array that the callee writes is passed once.

use super::bind::{self, Arg};
use super::expr::known;
use super::literal::Goal;
use super::ty::{Origin, Ty, Typed};
use super::walk::{Root, Walk};
use super::{Body, Key};
use crate::ast;
use crate::builtins;
use crate::diag::Diagnostic;
use crate::resolve;
use crate::span::Span;
use crate::tree::{Expr, ExprKind, FuncId, LocalId, LocalKind, Stmt, StmtKind, StreamMode};
use crate::types::{Generator, Scalar, Type};

impl<'a, 'i> Walk<'a, 'i> {
    pub fn call(
        &mut self,
        callee: &'a ast::Expr,
        args: &'a [ast::Expr],
        keywords: &'a [(ast::Name, ast::Expr)],
        generator: Option<&'a ast::Generator>,
        span: Span,
    ) -> Typed {
        let ast::ExprKind::Name(name) = &callee.kind else { return self.poison(span) };
        if let Some(index) = self.checked.by_name.get(name).copied() {
            return self.user_call(index, args, keywords, span);
        }
        if let Some(scalar) = self.scalar_named(name) {
            let [arg] = args else { return self.poison(span) };
            return self.conversion(arg, scalar, span);
        }
        match builtins::lookup(name) {
            Some(builtin) => self.builtin(builtin, args, keywords, generator, span),
            None => self.poison(span),
        }
    }

    fn conversion(&mut self, arg: &'a ast::Expr, scalar: Scalar, span: Span) -> Typed {
        let value = self.expr(arg);
        if self.number(&value, &format!("`{scalar}(…)` of")).is_none() {
            return self.poison(span);
        }
        let expr = Expr { span, ..self.explicit(value, scalar) };
        Typed { ty: Ty::Known(expr.ty.clone()), expr }
    }

    fn user_call(
        &mut self,
        index: usize,
        args: &'a [ast::Expr],
        keywords: &'a [(ast::Name, ast::Expr)],
        span: Span,
    ) -> Typed {
        let func = &self.checked.funcs[index];
        let count = func.ast.params.len();
        // position of each written argument among the parameters, in the order of the source
        let mut order: Vec<(usize, &'a ast::Expr)> = args.iter().enumerate().collect();
        for (keyword, value) in keywords {
            let Some(position) = func.ast.params.iter().position(|param| param.name.text == keyword.text)
            else {
                return self.poison(span);
            };
            order.push((position, value));
        }
        if order.len() != count {
            return self.poison(span);
        }
        let values = order.into_iter().map(|(position, arg)| (position, self.expr(arg))).collect();
        self.call_func(func, (self.body)(index), values, None, span)
    }

    /// A call of `func`, which draws from the current stream or from `stream`; `values` are its arguments in the order of the source, each with its position.
    pub fn call_func(
        &mut self,
        func: &'a resolve::Func,
        body: Body,
        values: Vec<(usize, Typed)>,
        stream: Option<LocalId>,
        span: Span,
    ) -> Typed {
        let count = func.ast.params.len();
        let order: Vec<usize> = values.iter().map(|(position, _)| *position).collect();
        let in_order = order.iter().enumerate().all(|(index, position)| index == *position);
        let mut stmts: Vec<Stmt> = Vec::new();
        let mut placed: Vec<Option<Typed>> = (0..count).map(|_| None).collect();
        for (position, value) in values {
            placed[position] = Some(value);
        }
        let values: Vec<Typed> =
            placed.into_iter().map(|value| value.unwrap_or_else(|| self.poison(span))).collect();
        let arguments: Vec<Arg> =
            values.iter().map(|value| Arg { ty: value.ty.clone(), span: value.expr.span }).collect();
        let types = match bind::params(&func.ast, &arguments) {
            Ok(Some(types)) => types,
            Ok(None) => return self.poison(span),
            Err(diagnostic) => return self.fail(*diagnostic),
        };
        let mut exprs: Vec<Option<Expr>> = (0..count).map(|_| None).collect();
        let mut waiting: Vec<Option<Typed>> = values.into_iter().map(Some).collect();
        let mut whole = true;
        // arrays become names, in the order of the source; so do all arguments if keywords change their order
        for position in &order {
            let Some(value) = waiting[*position].take() else { continue };
            let param = &func.ast.params[*position];
            let want = &types[*position];
            if param.is_mut {
                self.take_elements(&value, want);
            }
            let is_fresh_array = value.ty.has_array() && self.root_of(&value.expr).is_none();
            if param.is_mut && is_fresh_array {
                whole = false;
                self.report(
                    Diagnostic::error(
                        format!(
                            "`{}` of `{}` is written, so it needs a variable",
                            param.name.text, func.ast.name.text
                        ),
                        value.expr.span,
                        "made for this call only",
                    )
                    .help("bind it first: `var y = …`, and pass `y`"),
                );
            }
            let expr = self.fit(value, want, Goal::Role("an argument"));
            let simple = matches!(expr.kind, ExprKind::Const(_));
            exprs[*position] =
                Some(if is_fresh_array || (!in_order && !simple && self.root_of(&expr).is_none()) {
                    let temp = self.temp("argument", Ty::Known(expr.ty.clone()), expr.span);
                    let place = Expr { kind: ExprKind::Local(temp), ty: expr.ty.clone(), span: expr.span };
                    stmts.push(Stmt { span: expr.span, kind: StmtKind::Let { local: temp, value: expr } });
                    place
                } else {
                    expr
                });
        }
        let exprs: Vec<Expr> =
            exprs.into_iter().map(|expr| expr.unwrap_or_else(|| super::walk::placeholder(span))).collect();
        if whole {
            self.check_owners(&func.ast, &exprs);
        }
        let (mode, generator) = match stream {
            Some(stream) => (StreamMode::Inner, self.generator_of(stream)),
            None if func.draws => {
                self.draws += 1;
                (self.mode, self.generator)
            }
            None => (StreamMode::None, Generator::default()),
        };
        let key = Key { body, params: types, mode, generator };
        let Some((spec, result)) = self.callee(key, span) else { return self.poison(span) };
        let callee = FuncId(spec as u32);
        let call = match stream {
            Some(stream) => ExprKind::CallOn { stream, callee, args: exprs },
            None => ExprKind::Call(callee, exprs),
        };
        self.within(stmts, known(call, result, span))
    }

    // A `mut` parameter stores elements of its type.
    fn take_elements(&mut self, value: &Typed, want: &Type) {
        if let (Ty::FlexArray(_, Origin::Var, _), Type::Array { elem, .. }, Some(root)) =
            (&value.ty, want, self.root_of(&value.expr))
        {
            self.take(root.local, &Ty::scalar(*elem));
        }
    }

    // Arrays that are written belong to this function or were passed as `mut`, and are passed once.
    fn check_owners(&mut self, func: &'a ast::Func, args: &[Expr]) {
        let roots: Vec<Option<Root>> = args
            .iter()
            .map(|arg| if super::ty::type_has_array(&arg.ty) { self.root_of(arg) } else { None })
            .collect();
        for (index, param) in func.params.iter().enumerate() {
            let (true, Some(root)) = (param.is_mut, &roots[index]) else { continue };
            let what = format!("`{}` writes it", func.name.text);
            self.check_writable(root, args[index].span, &what);
            for (other, other_root) in roots.iter().enumerate() {
                let again = other_root.as_ref().is_some_and(|other| overlap(other, root));
                if other == index || !again || (func.params[other].is_mut && other < index) {
                    continue;
                }
                let name = self.locals[root.local.0 as usize].name.clone();
                self.report(
                    Diagnostic::error(
                        format!("`{name}` is passed twice to `{}`, which writes it", func.name.text),
                        args[index].span,
                        format!("written as `{}`", param.name.text),
                    )
                    .with(args[other].span, format!("passed again as `{}`", func.params[other].name.text))
                    .help(format!("pass a copy to read from: `copy({name})`")),
                );
            }
        }
    }

    /// Reports an array that must not be written; notes that a script's variable is.
    pub fn check_writable(&mut self, root: &Root, span: Span, why: &str) -> bool {
        let index = root.local.0 as usize;
        let var = &self.vars[index];
        if var.writable {
            if var.from_script {
                self.locals[index].kind = LocalKind::MutParam;
            }
            return true;
        }
        let local = &self.locals[index];
        let name = local.name.clone();
        let (title, help) = match local.kind {
            LocalKind::Param if var.from_script => (
                format!("`{name}` is bound with `let`, so its elements cannot be written"),
                format!("declare it with `var {name} = …`"),
            ),
            LocalKind::Param => (
                format!("`{name}` is read-only: its elements cannot be written"),
                format!(
                    "declare the parameter `mut`: `{name}: mut [T; n]`; or work on a copy: `var y = {name}`"
                ),
            ),
            LocalKind::Temp => (
                "this array is bound with `let`, so its elements cannot be written".to_string(),
                "declare it with `var`".to_string(),
            ),
            LocalKind::Let | LocalKind::Var | LocalKind::MutParam | LocalKind::Size | LocalKind::Index => (
                format!("`{name}` is bound with `let`, so its elements cannot be written"),
                format!("declare it with `var {name} = …`"),
            ),
        };
        let declared = local.span;
        let diagnostic = Diagnostic::error(title, span, why);
        self.report(super::walk::declared_at(diagnostic, declared, "declared here").help(help));
        false
    }
}

// Do two places share an array?
fn overlap(left: &Root, right: &Root) -> bool {
    left.local == right.local && left.path.iter().zip(&right.path).all(|(left, right)| left == right)
}
