//! The walk over one body: its variables, scopes and findings.
//!
//! In: a body, the types of its parameters, what earlier walks learnt. Out: [`Outcome`]. Holds: each declaration of the source is met
//! once per walk, in the same order; what a walk learns about a variable is kept under the place of its declaration.

use super::ty::{Estimate, Lit, Number, Origin, Ty, Typed};
use super::{Body, Callee, Key, Outcome, ScriptBody, ScriptFacts, Specs};
use crate::ast;
use crate::diag::Diagnostic;
use crate::resolve::{self, Checked};
use crate::samplers;
use crate::span::Span;
use crate::tree::{self, Dim, LocalId, LocalKind, StreamMode};
use crate::types::{Generator, Layout, Scalar, Type};
use std::collections::HashMap;

/// Walks a body once.
pub(super) fn walk(
    specs: &Specs<'_>,
    key: &Key,
    estimates: HashMap<u32, Estimate>,
    assumed: Option<Type>,
) -> Outcome {
    let mut walk = Walk {
        specs,
        checked: match key.body {
            Body::Func(_) | Body::Script => specs.checked,
            Body::Sampler(_) => samplers::checked(),
        },
        body: match key.body {
            Body::Func(_) | Body::Script => Body::Func,
            Body::Sampler(_) => Body::Sampler,
        },
        name: "script",
        locals: Vec::new(),
        vars: Vec::new(),
        names: HashMap::new(),
        undo: Vec::new(),
        blocks: Vec::new(),
        next_block: 0,
        estimates,
        changed: false,
        needs: Vec::new(),
        callees: Vec::new(),
        failed_callee: false,
        declared_result: None,
        assumed,
        returns: Returns::default(),
        type_vars: HashMap::new(),
        mode: key.mode,
        generator: key.generator,
        explicit: Generator::default(),
        draws: 0,
        loops: 0,
        script: specs.script,
        script_facts: ScriptFacts::default(),
        found: Vec::new(),
    };
    let func = match key.body {
        Body::Func(index) | Body::Sampler(index) => {
            let func = &walk.checked.funcs[index];
            walk.script = None;
            walk.name = &func.ast.name.text;
            walk.function(func, key)
        }
        Body::Script => walk.script_entry(key),
    };
    // a finding of a walk that is repeated may be gone the next time
    let next = walk.next_result();
    Outcome {
        func,
        estimates: walk.estimates,
        changed: walk.changed,
        assumed: next,
        needs: walk.needs,
        callees: walk.callees,
        failed_callee: walk.failed_callee,
        found: walk.found,
        script_facts: walk.script_facts,
    }
}

/// What the walk knows of a local.
#[derive(Clone, Debug)]
pub(super) struct Var {
    /// Its type when it was declared, if nothing in `key` says more.
    pub ty: Ty,
    /// The estimate of a variable that starts as a literal.
    pub key: Option<u32>,
    /// The array or tuple that owns the memory: itself, or what it is another name for.
    pub root: Root,
    /// May elements be written? Only asked of roots.
    pub writable: bool,
    /// Does it own its array, and was it declared with `var` in this function?
    pub owner: bool,
    /// The block in which it is declared.
    pub block: usize,
    /// Number of annotated loops around its declaration.
    pub loops: usize,
    /// For a parameter of a script's statement: the script's variable.
    pub from_script: bool,
}

/// A local, and the path to a part of a tuple.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Root {
    pub local: LocalId,
    pub path: Vec<usize>,
}

/// What the returns of a body have in common.
#[derive(Default)]
pub(super) struct Returns {
    /// Their join; `None`: there are none yet.
    pub joined: Option<Ty>,
    /// The type of the values as they stand in the tree, if it is the same for all.
    pub emitted: Option<Type>,
    pub differ: bool,
    pub first: Span,
}

pub(super) struct Walk<'a, 'i> {
    pub specs: &'i Specs<'a>,
    /// What a function of this source is called as.
    pub body: fn(usize) -> Body,
    pub checked: &'a Checked,
    pub name: &'a str,
    pub locals: Vec<tree::Local>,
    pub vars: Vec<Var>,
    names: HashMap<&'a str, Vec<LocalId>>,
    undo: Vec<&'a str>,
    blocks: Vec<(usize, usize)>,
    next_block: usize,
    pub estimates: HashMap<u32, Estimate>,
    pub changed: bool,
    pub needs: Vec<(Key, Span)>,
    pub callees: Vec<usize>,
    pub failed_callee: bool,
    pub declared_result: Option<Type>,
    pub assumed: Option<Type>,
    pub returns: Returns,
    pub type_vars: HashMap<&'a str, Scalar>,
    /// The stream that is current.
    pub mode: StreamMode,
    /// What makes the blocks of the current stream.
    pub generator: Generator,
    /// What makes the blocks of streams that are made here: as the text around says, whoever calls.
    pub explicit: Generator,
    /// Draws from the current stream met so far.
    pub draws: usize,
    /// Annotated loops around the current place.
    pub loops: usize,
    pub script: Option<ScriptBody<'a>>,
    pub script_facts: ScriptFacts,
    pub found: Vec<Diagnostic>,
}

impl<'a, 'i> Walk<'a, 'i> {
    pub fn report(&mut self, diagnostic: Diagnostic) {
        if self.found.len() < super::MOST_FINDINGS {
            self.found.push(diagnostic);
        }
    }

    pub fn poison(&self, span: Span) -> Typed {
        Typed { expr: placeholder(span), ty: Ty::Poison }
    }

    pub fn fail(&mut self, diagnostic: Diagnostic) -> Typed {
        let span = diagnostic.primary.span;
        self.report(diagnostic);
        self.poison(span)
    }

    // ---- scopes ----

    pub fn open_block(&mut self) {
        self.blocks.push((self.undo.len(), self.next_block));
        self.next_block += 1;
    }

    pub fn close_block(&mut self) {
        let (start, _) = self.blocks.pop().unwrap_or((0, 0));
        for name in self.undo.drain(start..) {
            if let Some(locals) = self.names.get_mut(name) {
                locals.pop();
            }
        }
    }

    /// Blocks around the current place.
    pub fn block_depth(&self) -> usize {
        self.blocks.len()
    }

    pub fn lookup(&self, name: &str) -> Option<LocalId> {
        self.names.get(name).and_then(|locals| locals.last()).copied()
    }

    pub fn bind_name(&mut self, name: &'a str, local: LocalId) {
        self.names.entry(name).or_default().push(local);
        self.undo.push(name);
    }

    /// Names that mean another array, visible here.
    pub fn visible_aliases(&self, root: LocalId) -> Option<LocalId> {
        self.undo
            .iter()
            .filter_map(|name| self.lookup(name))
            .find(|local| *local != root && self.vars[local.0 as usize].root.local == root)
    }

    pub fn add_local(&mut self, name: &str, kind: LocalKind, ty: Ty, span: Span) -> LocalId {
        let local = LocalId(self.locals.len() as u32);
        self.locals.push(tree::Local { name: name.to_string(), ty: ty.settled(), kind, span });
        let block = self.blocks.last().map_or(0, |(_, id)| *id);
        self.vars.push(Var {
            ty,
            key: None,
            root: Root { local, path: Vec::new() },
            writable: matches!(kind, LocalKind::Var | LocalKind::MutParam),
            owner: kind == LocalKind::Var,
            block,
            loops: self.loops,
            from_script: false,
        });
        local
    }

    pub fn temp(&mut self, what: &str, ty: Ty, span: Span) -> LocalId {
        self.add_local(&format!("<{what}>"), LocalKind::Temp, ty, span)
    }

    /// Declares a variable that starts as a literal: its type follows what is assigned to it.
    pub fn add_flexible(&mut self, name: &'a str, kind: LocalKind, ty: &Ty, span: Span) -> LocalId {
        let lit = match ty {
            Ty::Lit(lit, _) | Ty::FlexArray(lit, _, _) => *lit,
            _ => Lit::Float,
        };
        self.estimates.entry(span.start).or_insert(Estimate::new(lit));
        let local = self.add_local(name, kind, ty.clone(), span);
        self.vars[local.0 as usize].key = Some(span.start);
        let now = self.ty_of(local);
        self.locals[local.0 as usize].ty = now.settled();
        local
    }

    /// The type of a local as known now.
    pub fn ty_of(&self, local: LocalId) -> Ty {
        let var = &self.vars[local.0 as usize];
        let Some(estimate) = var.key.and_then(|key| self.estimates.get(&key)) else { return var.ty.clone() };
        match (estimate.read(), var.ty.rank()) {
            (Number::Known(scalar), None) => Ty::scalar(scalar),
            (Number::Lit(lit, _), None) => Ty::Lit(lit, Origin::Var),
            (Number::Known(scalar), Some(rank)) => Ty::Known(Type::array(scalar, rank)),
            (Number::Lit(lit, _), Some(rank)) => Ty::FlexArray(lit, Origin::Var, rank),
        }
    }

    /// A value of type `ty` is assigned to `local`, or stored into it.
    pub fn take(&mut self, local: LocalId, ty: &Ty) {
        let number = match ty {
            Ty::Known(Type::Scalar(scalar)) => Number::Known(*scalar),
            Ty::Lit(lit, origin) => Number::Lit(*lit, *origin),
            _ => return,
        };
        if let Some(estimate) = self.vars[local.0 as usize].key.and_then(|key| self.estimates.get_mut(&key)) {
            self.changed |= estimate.take(number);
        }
    }

    pub fn local(&self, local: LocalId, span: Span) -> Typed {
        let ty = self.ty_of(local);
        Typed { expr: tree::Expr { kind: tree::ExprKind::Local(local), ty: ty.settled(), span }, ty }
    }

    /// What owns the array that `place` names; `None` if it is not a place.
    pub fn root_of(&self, place: &tree::Expr) -> Option<Root> {
        match &place.kind {
            tree::ExprKind::Local(local) => Some(self.vars[local.0 as usize].root.clone()),
            tree::ExprKind::TupleGet(base, index) => {
                let mut root = self.root_of(base)?;
                root.path.push(*index);
                Some(root)
            }
            _ => None,
        }
    }

    // ---- bodies ----

    fn function(&mut self, func: &'a resolve::Func, key: &Key) -> tree::Func {
        let ast = &func.ast;
        if let Some(generator) = func.generator {
            (self.generator, self.explicit) = (generator, generator);
        }
        self.type_vars = super::bind::type_vars(ast, &key.params);
        self.open_block();
        let mut params = Vec::with_capacity(ast.params.len());
        for (param, ty) in ast.params.iter().zip(&key.params) {
            let kind = if param.is_mut { LocalKind::MutParam } else { LocalKind::Param };
            let local = self.add_local(&param.name.text, kind, Ty::Known(ty.clone()), param.name.span);
            self.bind_name(&param.name.text, local);
            if param.is_mut && !matches!(ty, Type::Array { .. }) {
                self.report(
                    Diagnostic::error(
                        format!("`mut` is for arrays, but `{}` is {ty}", param.name.text),
                        param.name.span,
                        "passed by value",
                    )
                    .help("return the new value instead"),
                );
            }
            params.push(tree::Param { local, is_mut: param.is_mut, dims: None, span: param.name.span });
        }
        for (param, built) in ast.params.iter().zip(&mut params) {
            if let Some(ast::TypeExpr { kind: ast::TypeExprKind::Array { dims, .. }, .. }) = &param.ty {
                built.dims = Some(dims.iter().map(|dim| self.param_dim(dim)).collect());
            }
        }
        // `n-1` may stand left of the plain `n` that binds it
        for (param, built) in ast.params.iter().zip(&mut params) {
            if let (Some(ast::TypeExpr { kind: ast::TypeExprKind::Array { dims, .. }, .. }), Some(built)) =
                (&param.ty, &mut built.dims)
            {
                for (dim, built) in dims.iter().zip(built) {
                    if dim.offset != 0 && *built == Dim::Any {
                        *built = self.known_dim(dim);
                    }
                }
            }
        }
        self.declared_result = ast.result.as_ref().map(|ty| self.written_type(ty));
        self.open_block();
        let mut body = Vec::new();
        self.tail_stmts(&ast.body.stmts, &mut body);
        self.close_block();
        let end =
            Span { start: ast.body.span.end.saturating_sub(1).max(ast.body.span.start), ..ast.body.span };
        let result = self.result(&body, end);
        let result_shapes = self.result_shapes(ast, &result);
        self.close_block();
        tree::Func {
            name: ast.name.text.clone(),
            params,
            result,
            result_shapes,
            locals: std::mem::take(&mut self.locals),
            body,
            stream: key.mode,
            generator: self.generator,
            fast: func.fast,
            span: ast.name.span,
        }
    }

    fn param_dim(&mut self, dim: &'a ast::DimExpr) -> Dim {
        let Some(name) = &dim.name else { return Dim::Literal(dim.offset) };
        if name.text == "_" {
            return Dim::Any;
        }
        if dim.offset == 0 && self.lookup(&name.text).is_none() {
            let local = self.add_local(&name.text, LocalKind::Size, Ty::scalar(Scalar::I64), name.span);
            self.bind_name(&name.text, local);
            return Dim::Bind(local);
        }
        self.known_dim(dim)
    }

    fn known_dim(&self, dim: &ast::DimExpr) -> Dim {
        match &dim.name {
            None => Dim::Literal(dim.offset),
            Some(name) => self.lookup(&name.text).map_or(Dim::Any, |local| Dim::Equal(local, dim.offset)),
        }
    }

    fn result_shapes(&self, ast: &ast::Func, result: &Type) -> Vec<Option<Vec<Dim>>> {
        fn arrays(ty: &Type) -> usize {
            match ty {
                Type::Array { .. } => 1,
                Type::Tuple(items) => items.iter().map(arrays).sum(),
                Type::Unit | Type::Scalar(_) | Type::Stream(_) => 0,
            }
        }
        fn shapes(walk: &Walk<'_, '_>, ty: &ast::TypeExpr, out: &mut Vec<Option<Vec<Dim>>>) {
            match &ty.kind {
                ast::TypeExprKind::Name(_) => {}
                ast::TypeExprKind::Array { dims, .. } => {
                    out.push(Some(dims.iter().map(|dim| walk.known_dim(dim)).collect()))
                }
                ast::TypeExprKind::Tuple(items) => items.iter().for_each(|item| shapes(walk, item, out)),
            }
        }
        match &ast.result {
            None => vec![None; arrays(result)],
            Some(ty) => {
                let mut out = Vec::new();
                shapes(self, ty, &mut out);
                out
            }
        }
    }

    /// A written type with its type variables filled in; arrays are contiguous.
    pub fn written_type(&self, ty: &ast::TypeExpr) -> Type {
        match &ty.kind {
            ast::TypeExprKind::Name(name) => Type::Scalar(self.scalar_named(name).unwrap_or(Scalar::F64)),
            ast::TypeExprKind::Array { elem, dims } => {
                let elem = match &elem.kind {
                    ast::TypeExprKind::Name(name) => self.scalar_named(name),
                    _ => None,
                };
                Type::Array {
                    elem: elem.unwrap_or(Scalar::F64),
                    rank: dims.len() as u8,
                    layout: Layout::Contiguous,
                }
            }
            ast::TypeExprKind::Tuple(items) => {
                Type::Tuple(items.iter().map(|item| self.written_type(item)).collect())
            }
        }
    }

    /// The type that a name means, unless a variable hides it.
    pub fn scalar_named(&self, name: &str) -> Option<Scalar> {
        Scalar::from_name(name)
            .or_else(|| self.type_vars.get(name).copied().filter(|_| self.lookup(name).is_none()))
    }

    fn result(&mut self, body: &[tree::Stmt], end: Span) -> Type {
        let result = match (&self.declared_result, &self.returns.joined) {
            (Some(declared), _) => declared.clone(),
            (None, None) => return Type::Unit,
            (None, Some(_)) if !self.returns.differ => self.returns.emitted.clone().unwrap_or(Type::Unit),
            (None, Some(_)) => self.assumed.clone().unwrap_or(Type::Unit),
        };
        if result != Type::Unit && !diverges(body) && self.returns.joined != Some(Ty::Poison) {
            let name = self.name;
            let shown = match &self.declared_result {
                Some(declared) => format!("`{name}` declares the result {declared}, but can end without one"),
                None => format!("`{name}` returns a value on some paths only"),
            };
            self.report(Diagnostic::error(shown, end, "the end is reached without a value").help(
                "end the body with the value, or with `return`; a `while` or an `if` without `else` may be skipped",
            ));
        }
        result
    }

    // The type to which all returns are converted in the next walk, if they differ in this one.
    fn next_result(&self) -> Option<Type> {
        let joined = self.returns.joined.as_ref()?;
        let next = joined.settled();
        let settled = match &self.assumed {
            Some(assumed) => *assumed == next,
            None => !self.returns.differ,
        };
        (self.declared_result.is_none() && *joined != Ty::Poison && !settled).then_some(next)
    }

    // ---- scripts ----

    fn script_entry(&mut self, key: &Key) -> tree::Func {
        let Some(script) = self.script else {
            return tree::Func {
                name: "script".into(),
                params: Vec::new(),
                result: Type::Unit,
                result_shapes: Vec::new(),
                locals: Vec::new(),
                body: Vec::new(),
                stream: key.mode,
                generator: key.generator,
                fast: false,
                span: Span::default(),
            };
        };
        let span = script.stmts.first().map_or(Span::default(), |stmt| stmt.span);
        self.open_block();
        let mut body = Vec::new();
        let mut params = Vec::new();
        let mut assigned = Vec::new();
        for ((var, ty), is_assigned) in script.vars.iter().zip(&key.params).zip(script.assigned) {
            // declared by an earlier statement, at a place that is not kept
            let outside = Span { end: span.start, ..span };
            let local = self.add_local(&var.name, LocalKind::Param, Ty::Known(ty.clone()), outside);
            self.vars[local.0 as usize].from_script = true;
            self.vars[local.0 as usize].writable = var.is_var;
            params.push(tree::Param { local, is_mut: false, dims: None, span });
            // parameters are never assigned: an assigned variable starts as a copy
            let mut meant = local;
            if *is_assigned && !ty_has_array(ty) {
                meant = self.add_local(&var.name, LocalKind::Var, Ty::Known(ty.clone()), outside);
                let value = self.local(local, span).expr;
                body.push(tree::Stmt { kind: tree::StmtKind::Let { local: meant, value }, span });
                assigned.push((var.name.clone(), meant));
            }
            self.bind_name(&var.name, meant);
            for alias in
                script.names.iter().filter(|alias| alias.alias_of.as_deref() == Some(var.name.as_str()))
            {
                self.bind_name(&alias.name, meant);
            }
        }
        self.open_block();
        let mut values = Vec::new();
        let mut whole = None;
        if script.probe {
            for stmt in script.stmts {
                self.probe_stmt(stmt, &mut body);
            }
        } else if let [stmt] = script.stmts {
            whole = self.script_stmt(stmt, &mut body, &mut values);
        }
        self.close_block();
        let mut results = values;
        for (name, local) in assigned {
            let value = self.local(local, span).expr;
            self.script_facts.assigned.push((name, value.ty.clone()));
            results.insert(self.script_facts.declared.len() + self.script_facts.assigned.len() - 1, value);
        }
        let value = match whole {
            Some(whole) => Some(whole),
            None if results.is_empty() => None,
            None => {
                let ty = Type::Tuple(results.iter().map(|value| value.ty.clone()).collect());
                Some(tree::Expr { kind: tree::ExprKind::Tuple(results), ty, span })
            }
        };
        let result = value.as_ref().map_or(Type::Unit, |value| value.ty.clone());
        if let Some(value) = value {
            body.push(tree::Stmt { kind: tree::StmtKind::Return(Some(value)), span });
        }
        self.close_block();
        for param in &mut params {
            let local = &self.locals[param.local.0 as usize];
            param.is_mut = local.kind == LocalKind::MutParam;
        }
        let arrays = count_arrays(&result);
        tree::Func {
            name: "script".into(),
            params,
            result,
            result_shapes: vec![None; arrays],
            locals: std::mem::take(&mut self.locals),
            body,
            stream: if self.draws > 0 { StreamMode::Root } else { StreamMode::None },
            generator: self.generator,
            fast: false,
            span,
        }
    }

    /// Asks for a callee; what is not there yet is inferred before the next walk.
    pub fn callee(&mut self, key: Key, span: Span) -> Option<(usize, Type)> {
        match self.specs.find(&key) {
            Callee::Done(index, result) => {
                self.callees.push(index);
                Some((index, result))
            }
            Callee::Failed(index) => {
                self.callees.push(index);
                self.failed_callee = true;
                None
            }
            Callee::Missing => {
                self.needs.push((key, span));
                None
            }
            Callee::TooMany => {
                self.report(
                    Diagnostic::error(
                        format!("this program needs more than {} versions of its functions", super::MAX_SPECIALISATIONS),
                        span,
                        "one too many",
                    )
                    .note("each function is compiled once for each combination of argument types")
                    .help("declare the types of parameters, so that calls share a version, or call fewer functions"),
                );
                None
            }
        }
    }
}

/// Adds the place of a declaration, if it stands in this source.
pub(super) fn declared_at(diagnostic: Diagnostic, declared: Span, text: &str) -> Diagnostic {
    if declared.start == declared.end { diagnostic } else { diagnostic.with(declared, text) }
}

/// Never reached by a program without errors.
pub(super) fn placeholder(span: Span) -> tree::Expr {
    tree::Expr { kind: tree::ExprKind::Const(tree::Const::Bool(false)), ty: Type::Unit, span }
}

/// Does control never reach the end of these statements?
pub(super) fn diverges(stmts: &[tree::Stmt]) -> bool {
    use tree::StmtKind::*;
    match stmts.last().map(|stmt| &stmt.kind) {
        Some(Return(_) | Break | Continue) => true,
        Some(If { then, otherwise, .. }) => diverges(then) && diverges(otherwise),
        Some(Block(inner) | Fast(inner)) => diverges(inner),
        Some(
            Let { .. }
            | Set { .. }
            | Update { .. }
            | SetMany { .. }
            | Swap { .. }
            | For(_)
            | While { .. }
            | Expr(_)
            | Print(_),
        )
        | None => false,
    }
}

fn ty_has_array(ty: &Type) -> bool {
    super::ty::type_has_array(ty)
}

fn count_arrays(ty: &Type) -> usize {
    match ty {
        Type::Array { .. } => 1,
        Type::Tuple(items) => items.iter().map(count_arrays).sum(),
        Type::Unit | Type::Scalar(_) | Type::Stream(_) => 0,
    }
}
