//! Checks names, calls, annotations and statements, once per source.
//!
//! In: a parsed module. Out: [`Checked`], which every specialisation is inferred from, or all that is wrong with it.
//! Holds: in a checked module every name is bound, no function can reach itself, annotations stand before loops, and each
//! function knows whether it draws random numbers or prints, itself or through calls.

use crate::ast;
use crate::builtins::{self, Kind};
use crate::constant;
use crate::diag::Diagnostic;
use crate::habits;
use crate::span::{SourceId, Span};
use crate::spell;
use crate::types::{Generator, MAX_RANK, Scalar};
use crate::visit::{self, Node};
use std::cell::Cell;
use std::collections::{HashMap, HashSet};

/// The most findings that are reported at once.
const MOST_FINDINGS: usize = 100;

/// The most parameters of a function.
const MOST_PARAMS: usize = 255;

/// A module without errors in its names.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The text that was checked.
    pub source: SourceId,
    pub(crate) funcs: Vec<Func>,
    pub(crate) by_name: HashMap<String, usize>,
    pub(crate) consts: HashMap<String, Constant>,
    pub(crate) stmts: Vec<ast::Stmt>,
    /// Where each step stands: an index into `stmts`, then indices into `time` blocks.
    pub(crate) steps: Vec<Vec<usize>>,
    /// Of each name, the last top-level statement that may change it.
    pub(crate) last_touch: HashMap<String, usize>,
}

impl Checked {
    /// The number of top-level statements; [`crate::script::script_step`] takes 0 up to this.
    pub fn script_len(&self) -> usize {
        self.stmts.len()
    }

    /// Where top-level statement `index` stands; `None` past the last one.
    pub fn step_span(&self, index: usize) -> Option<Span> {
        self.steps.get(index).and_then(|path| self.step(path)).map(|stmt| stmt.span)
    }

    pub(crate) fn step(&self, path: &[usize]) -> Option<&ast::Stmt> {
        let (first, rest) = path.split_first()?;
        let mut stmt = self.stmts.get(*first)?;
        for index in rest {
            match &stmt.kind {
                ast::StmtKind::Time(block) => stmt = block.stmts.get(*index)?,
                _ => return None,
            }
        }
        Some(stmt)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Func {
    pub ast: ast::Func,
    /// Draws from its caller's stream, itself or through calls.
    pub draws: bool,
    pub fast: bool,
    /// `@rng(…)`
    pub generator: Option<Generator>,
}

#[derive(Clone, Debug)]
pub(crate) struct Constant {
    pub value: constant::Value,
}

/// A script variable that exists before the source is read, as in a REPL.
#[derive(Clone, Debug)]
pub struct KnownVar {
    /// Its name.
    pub name: String,
    /// Declared with `var`.
    pub is_var: bool,
}

/// Checks a whole module.
///
/// # Errors
/// Everything that is wrong with its names, calls, annotations and statements.
pub fn resolve(module: ast::Module, source: SourceId) -> Result<Checked, Vec<Diagnostic>> {
    resolve_entry(module, source, None, &[])
}

/// Checks an entry of a REPL: it sees the functions and constants of `earlier` that it does not define itself, and `vars`.
///
/// # Errors
/// As [`resolve`].
pub fn resolve_entry(
    module: ast::Module,
    source: SourceId,
    earlier: Option<&Checked>,
    vars: &[KnownVar],
) -> Result<Checked, Vec<Diagnostic>> {
    let mut found = Vec::new();
    let (mut funcs, mut consts, mut stmts) = (Vec::new(), Vec::new(), Vec::new());
    for item in module.items {
        match item {
            ast::Item::Func(func) => funcs.push(func),
            ast::Item::Const(item) => consts.push(item),
            ast::Item::Stmt(stmt) => stmts.push(stmt),
        }
    }
    let mut known_consts = HashMap::new();
    if let Some(earlier) = earlier {
        let own: HashSet<String> = funcs.iter().map(|func| func.name.text.clone()).collect();
        funcs.extend(
            earlier.funcs.iter().map(|func| &func.ast).filter(|func| !own.contains(&func.name.text)).cloned(),
        );
        let own: HashSet<&str> = consts.iter().map(|item| item.name.text.as_str()).collect();
        known_consts.extend(
            earlier
                .consts
                .iter()
                .filter(|(name, _)| !own.contains(name.as_str()))
                .map(|(name, item)| (name.clone(), item.clone())),
        );
    }

    let by_name = function_table(&funcs, &mut found);
    let consts = evaluate_constants(consts, known_consts, &mut found);
    let names = Names {
        funcs: &by_name,
        asts: &funcs,
        consts: &consts,
        script: script_names(&stmts),
        earlier: vars.iter().map(|var| (var.name.as_str(), var.is_var)).collect(),
        suggestions: Cell::new(30),
    };
    let mut facts: Vec<Facts> = Vec::with_capacity(funcs.len());
    for func in &funcs {
        let mut body = Body::new(&names, Owner::Func, &mut found);
        body.function(func);
        facts.push(body.facts);
    }
    let script_calls = {
        let mut body = Body::new(&names, Owner::Script, &mut found);
        body.script(&stmts);
        body.facts.calls
    };

    let order = call_order(&funcs, &facts, &mut found);
    for index in order {
        let (draws, prints) = facts[index].calls.iter().fold((false, false), |(draws, prints), call| {
            (draws || facts[call.callee].draws, prints || facts[call.callee].prints)
        });
        facts[index].draws |= draws;
        facts[index].prints |= prints;
    }
    for call in facts.iter().flat_map(|fact| &fact.calls).chain(&script_calls) {
        if let (Some(header), true) = (call.annotated, facts[call.callee].prints) {
            let name = &funcs[call.callee].name.text;
            found.push(
                Diagnostic::error(
                    format!("`{name}` prints, so it cannot be called in an annotated loop"),
                    call.span,
                    "prints, itself or through what it calls",
                )
                .with(header, "iterations of this loop run in any order")
                .help("collect the numbers in an array and print after the loop, or remove the annotation"),
            );
        }
    }
    if !found.is_empty() {
        found.sort_by_key(|diagnostic| (diagnostic.primary.span.source, diagnostic.primary.span.start));
        found.truncate(MOST_FINDINGS);
        return Err(found);
    }

    let (steps, last_touch) = (step_paths(&stmts), last_touches(&stmts));
    let funcs = funcs
        .into_iter()
        .zip(facts)
        .map(|(ast, fact)| {
            let fast = ast.annotations.iter().any(|annotation| annotation.name.text == "fast");
            let generator = ast.annotations.iter().find_map(generator);
            Func { ast, draws: fact.draws, fast, generator }
        })
        .collect();
    Ok(Checked { source, funcs, by_name, consts, stmts, steps, last_touch })
}

/// What `@rng(…)` names.
pub(crate) fn generator(annotation: &ast::Annotation) -> Option<Generator> {
    match (annotation.name.text.as_str(), annotation.args.as_slice()) {
        ("rng", [ast::Expr { kind: ast::ExprKind::Name(name), .. }]) => Generator::from_name(name),
        _ => None,
    }
}

fn function_table(funcs: &[ast::Func], found: &mut Vec<Diagnostic>) -> HashMap<String, usize> {
    let mut table = HashMap::with_capacity(funcs.len());
    for (index, func) in funcs.iter().enumerate() {
        let name = &func.name;
        if Scalar::from_name(&name.text).is_some() {
            found.push(
                Diagnostic::error(
                    format!("`{}` is the name of a type", name.text),
                    name.span,
                    "cannot name a function",
                )
                .help("choose another name"),
            );
        } else if let Some(first) = table.get(&name.text).copied() {
            let first: &ast::Func = &funcs[first as usize];
            found.push(
                Diagnostic::error(
                    format!("two functions have the name `{}`", name.text),
                    name.span,
                    "the second one",
                )
                .with(first.name.span, "the first one")
                .help("rename one of them; a function without types takes arguments of any type"),
            );
        } else {
            table.insert(name.text.clone(), index as u32);
        }
    }
    table.into_iter().map(|(name, index)| (name, index as usize)).collect()
}

fn evaluate_constants(
    items: Vec<ast::Const>,
    mut known: HashMap<String, Constant>,
    found: &mut Vec<Diagnostic>,
) -> HashMap<String, Constant> {
    let later: HashMap<String, Span> =
        items.iter().map(|item| (item.name.text.clone(), item.name.span)).collect();
    let mut failed: HashSet<String> = HashSet::new();
    let mut seen: HashMap<String, Span> = HashMap::new();
    for item in items {
        let name = item.name.text.clone();
        if let Some(first) = seen.insert(name.clone(), item.name.span) {
            found.push(
                Diagnostic::error(
                    format!("two constants have the name `{name}`"),
                    item.name.span,
                    "the second one",
                )
                .with(first, "the first one")
                .help("rename one of them"),
            );
            continue;
        }
        let value = constant::evaluate(&item.value, &|text| {
            if let Some(item) = known.get(text) {
                return Ok(item.value);
            }
            if let Some(number) = builtins::constant(text) {
                return Ok(constant::Value::Float(number, None));
            }
            if failed.contains(text) {
                return Err(None);
            }
            let missing =
                Diagnostic::error(format!("`{text}` is not a constant"), item.span, "not known here");
            Err(constant::failure(match later.get(text) {
                Some(span) => missing
                    .with(*span, "declared here")
                    .help("declare it above: constants are evaluated in order"),
                None => missing.help("constants are made of numbers, operators and other constants"),
            }))
        });
        let value = value.and_then(|value| match &item.ty {
            None => Ok(value),
            Some(ty) => match &ty.kind {
                ast::TypeExprKind::Name(text) if Scalar::from_name(text).is_some() => {
                    let scalar = Scalar::from_name(text).unwrap_or(Scalar::F64);
                    constant::convert(value, scalar, false).ok_or_else(|| {
                        constant::failure(
                            Diagnostic::error(
                                format!("the value of `{name}` does not fit {scalar}"),
                                item.value.span,
                                format!("declared {scalar}"),
                            )
                            .help(format!("convert it: `{scalar}({})`", spell::expr(&item.value))),
                        )
                    })
                }
                _ => Err(constant::failure(
                    Diagnostic::error("a constant is a number", ty.span, "not the type of a number")
                        .help("write one of bool, i32, i64, u32, u64, f32, f64, or leave the type out"),
                )),
            },
        });
        match value {
            Ok(value) => {
                known.insert(name, Constant { value });
            }
            Err(diagnostic) => {
                found.extend(diagnostic.map(|diagnostic| *diagnostic));
                failed.insert(name.clone());
                // stays known, so that its uses are not reported again
                known.insert(name, Constant { value: constant::Value::Int(0, None) });
            }
        }
    }
    known
}

// Names that top-level statements bind.
fn script_names(stmts: &[ast::Stmt]) -> HashMap<&str, Span> {
    fn add<'a>(stmts: &'a [ast::Stmt], names: &mut HashMap<&'a str, Span>) {
        for stmt in stmts {
            match &stmt.kind {
                ast::StmtKind::Bind { names: bound, .. } => {
                    for name in bound {
                        names.entry(&name.text).or_insert(name.span);
                    }
                }
                ast::StmtKind::Time(block) => add(&block.stmts, names),
                _ => {}
            }
        }
    }
    let mut names = HashMap::new();
    add(stmts, &mut names);
    names
}

fn step_paths(stmts: &[ast::Stmt]) -> Vec<Vec<usize>> {
    let mut paths: Vec<Vec<usize>> = (0..stmts.len()).map(|index| vec![index]).collect();
    let mut next = 0;
    while next < paths.len() {
        let path = paths[next].clone();
        let mut stmt = &stmts[path[0]];
        for index in &path[1..] {
            if let ast::StmtKind::Time(block) = &stmt.kind {
                stmt = &block.stmts[*index];
            }
        }
        if let ast::StmtKind::Time(block) = &stmt.kind {
            paths.extend((0..block.stmts.len()).map(|index| [path.as_slice(), &[index]].concat()));
        }
        next += 1;
    }
    paths
}

fn last_touches(stmts: &[ast::Stmt]) -> HashMap<String, usize> {
    let mut touched = HashMap::new();
    for (index, stmt) in stmts.iter().enumerate() {
        let mut touch = |expr: &ast::Expr| {
            let root = match &expr.kind {
                ast::ExprKind::Index(base, _) => base,
                _ => expr,
            };
            if let ast::ExprKind::Name(name) = &root.kind {
                touched.insert(name.clone(), index);
            }
        };
        visit::stmt(stmt, &mut |node| match node {
            Node::Stmt(ast::Stmt { kind: ast::StmtKind::Assign { targets, .. }, .. }) => {
                targets.iter().for_each(&mut touch)
            }
            Node::Expr(ast::Expr { kind: ast::ExprKind::Call { args, keywords, .. }, .. }) => {
                args.iter().chain(keywords.iter().map(|(_, arg)| arg)).for_each(&mut touch)
            }
            Node::Stmt(_) | Node::Expr(_) => {}
        });
    }
    touched
}

// Callees before callers. Reports each cycle once.
fn call_order(funcs: &[ast::Func], facts: &[Facts], found: &mut Vec<Diagnostic>) -> Vec<usize> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let mut marks = vec![Mark::New; funcs.len()];
    let mut order = Vec::with_capacity(funcs.len());
    let mut reported = HashSet::new();
    for start in 0..funcs.len() {
        if marks[start] != Mark::New {
            continue;
        }
        marks[start] = Mark::Open;
        let mut path = vec![(start, 0)];
        while let Some((func, next)) = path.last_mut() {
            let Some(call) = facts[*func].calls.get(*next) else {
                marks[*func] = Mark::Done;
                order.push(*func);
                path.pop();
                continue;
            };
            *next += 1;
            match marks[call.callee] {
                Mark::Done => {}
                Mark::New => {
                    marks[call.callee] = Mark::Open;
                    path.push((call.callee, 0));
                }
                Mark::Open => {
                    if reported.len() >= 10
                        || !reported.insert((path.last().map(|(func, _)| *func), call.callee))
                    {
                        continue;
                    }
                    let from = path.iter().position(|(func, _)| *func == call.callee).unwrap_or(0);
                    let cycle: Vec<&str> =
                        path[from..].iter().map(|(func, _)| funcs[*func].name.text.as_str()).collect();
                    found.push(recursion(&cycle, call.span, funcs[call.callee].name.span));
                }
            }
        }
    }
    order
}

fn recursion(cycle: &[&str], span: Span, callee: Span) -> Diagnostic {
    let name = cycle[0];
    let title = if cycle.len() == 1 {
        format!("`{name}` calls itself")
    } else {
        let shown: Vec<String> = cycle.iter().take(8).map(|name| format!("`{name}`")).collect();
        let gap = if cycle.len() > 8 { " → …" } else { "" };
        format!("`{name}` calls itself: {}{gap} → `{name}`", shown.join(" → "))
    };
    Diagnostic::error(title, span, "this call closes the circle")
        .with(callee, "called again from here on")
        .note("kernels have a fixed depth, so that they cannot exhaust the stack of a thread or a lane")
        .help("use a loop, and an array as the stack if the depth varies")
}

/// What is known about all bodies.
struct Names<'a> {
    funcs: &'a HashMap<String, usize>,
    asts: &'a [ast::Func],
    consts: &'a HashMap<String, Constant>,
    script: HashMap<&'a str, Span>,
    earlier: HashMap<&'a str, bool>,
    /// Looking for near misses costs time; only so many are looked for.
    suggestions: Cell<u32>,
}

/// What a body is found to do.
#[derive(Default)]
struct Facts {
    calls: Vec<CallFact>,
    draws: bool,
    prints: bool,
}

struct CallFact {
    callee: usize,
    span: Span,
    /// The header of the innermost annotated loop around the call.
    annotated: Option<Span>,
}

#[derive(Clone, Copy, PartialEq)]
enum Owner {
    Func,
    Script,
}

#[derive(Clone, Copy, PartialEq)]
enum Bound {
    Let,
    /// `let s = rng(…)`
    Stream,
    Var,
    Param,
    MutParam,
    Size,
    Index,
}

#[derive(Clone, Copy)]
struct Binding {
    bound: Bound,
    span: Span,
}

#[derive(Clone, Copy, PartialEq)]
enum LoopKind {
    For,
    While,
    Generator,
}

#[derive(Clone, Copy)]
struct Loop {
    kind: LoopKind,
    annotated: bool,
    vectorize: bool,
    span: Span,
}

/// What becomes of the last expression of a block.
#[derive(Clone, Copy, PartialEq)]
enum Tail {
    Value,
    Unused,
}

/// Where a written type stands.
#[derive(Clone, Copy, PartialEq)]
enum TypePlace {
    Param,
    Result,
    Local,
}

/// The walk over one function's body, or over the script.
struct Body<'a, 'n> {
    names: &'n Names<'a>,
    owner: Owner,
    scopes: Vec<HashMap<&'a str, Binding>>,
    type_vars: HashSet<&'a str>,
    loops: Vec<Loop>,
    /// Indices of the header being read, which its later ranges cannot see.
    header: Vec<&'a str>,
    facts: Facts,
    found: &'n mut Vec<Diagnostic>,
}

impl<'a, 'n> Body<'a, 'n> {
    fn new(names: &'n Names<'a>, owner: Owner, found: &'n mut Vec<Diagnostic>) -> Body<'a, 'n> {
        Body {
            names,
            owner,
            scopes: vec![HashMap::new()],
            type_vars: HashSet::new(),
            loops: Vec::new(),
            header: Vec::new(),
            facts: Facts::default(),
            found,
        }
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        if self.found.len() <= 4 * MOST_FINDINGS {
            self.found.push(diagnostic);
        }
    }

    // ---- the two owners ----

    fn script(&mut self, stmts: &'a [ast::Stmt]) {
        for stmt in stmts {
            self.stmt(stmt, Tail::Value);
        }
    }

    fn function(&mut self, func: &'a ast::Func) {
        for annotation in &func.annotations {
            match annotation.name.text.as_str() {
                "fast" => self.no_arguments(annotation),
                "rng" => self.names_generator(annotation),
                "vectorize" => self.report(
                    Diagnostic::error(
                        "functions over whole arrays are not there yet",
                        annotation.span,
                        "`@vectorize` before `fn`",
                    )
                    .help(format!(
                        "call it in a loop: `@vectorize for i in 0..len(x) {{ y[i] = {}(x[i]) }}`",
                        func.name.text
                    )),
                ),
                "parallel" | "unique" => self.report(
                    Diagnostic::error(
                        format!("`@{}` stands before a loop, not before a function", annotation.name.text),
                        annotation.span,
                        "no loop follows",
                    )
                    .help("put it before the `for` that it is about"),
                ),
                _ => self.unknown_annotation(annotation),
            }
        }
        self.params(func);
        self.scopes.push(HashMap::new());
        self.stmts(&func.body.stmts, Tail::Value);
        self.scopes.pop();
    }

    fn params(&mut self, func: &'a ast::Func) {
        if func.params.len() > MOST_PARAMS {
            return self.report(
                Diagnostic::error(
                    format!("a function has at most {MOST_PARAMS} parameters"),
                    func.params[MOST_PARAMS].name.span,
                    format!("{} parameters", func.params.len()),
                )
                .help("pass many numbers in an array"),
            );
        }
        for param in &func.params {
            let bound = if param.is_mut { Bound::MutParam } else { Bound::Param };
            self.declare(&param.name, bound);
            if let Some(ty) = &param.ty {
                self.type_expr(ty, TypePlace::Param);
                if param.is_mut && !matches!(ty.kind, ast::TypeExprKind::Array { .. }) {
                    self.report(
                        Diagnostic::error("`mut` is for arrays", ty.span, "this is passed by value")
                            .help("return the new value instead"),
                    );
                }
            }
        }
        // size variables: bound by the leftmost plain occurrence
        let mut shifted: Vec<&'a ast::Name> = Vec::new();
        for (param, dims) in
            func.params.iter().filter_map(|param| Some((param, dims_of(param.ty.as_ref()?)?)))
        {
            for dim in dims {
                let Some(name) = dim.name.as_ref().filter(|name| name.text != "_") else { continue };
                if let Some(other) = func.params.iter().find(|other| other.name.text == name.text) {
                    let is_size = match &other.ty {
                        None => !other.is_mut,
                        Some(ty) => matches!(&ty.kind, ast::TypeExprKind::Name(text) if text == "i64"),
                    };
                    if !is_size {
                        self.report(
                            Diagnostic::error(
                                format!("the size `{}` is also a parameter, so that must be i64", name.text),
                                other.ty.as_ref().map_or(other.name.span, |ty| ty.span),
                                "not i64",
                            )
                            .with(name.span, format!("a size of `{}`", param.name.text))
                            .help(format!("write `{}: i64`", name.text)),
                        );
                    }
                } else if dim.offset == 0 {
                    self.scopes[0]
                        .entry(&name.text)
                        .or_insert(Binding { bound: Bound::Size, span: name.span });
                } else {
                    shifted.push(name);
                }
            }
        }
        for name in shifted {
            if !self.scopes[0].contains_key(name.text.as_str()) {
                self.report(
                    Diagnostic::error(
                        format!("nothing gives the size `{}` its value", name.text),
                        name.span,
                        "only known with something added",
                    )
                    .help(format!(
                        "add a parameter `{0}: i64`, or an array with the plain size `{0}`",
                        name.text
                    )),
                );
                self.scopes[0].insert(&name.text, Binding { bound: Bound::Size, span: name.span });
            }
        }
        if let Some(result) = &func.result {
            self.type_expr(result, TypePlace::Result);
            let mut dims = Vec::new();
            all_dims(result, &mut dims);
            for name in dims.into_iter().filter_map(|dim| dim.name.as_ref()).filter(|name| name.text != "_") {
                match self.scopes[0].get(name.text.as_str()).map(|binding| binding.bound) {
                    Some(Bound::Size) => {}
                    Some(_) => {
                        let param = func.params.iter().find(|param| param.name.text == name.text);
                        let is_size = param.is_some_and(|param| match &param.ty {
                            None => !param.is_mut,
                            Some(ty) => matches!(&ty.kind, ast::TypeExprKind::Name(text) if text == "i64"),
                        });
                        if !is_size {
                            self.report(
                                Diagnostic::error(
                                    format!(
                                        "the size `{}` is also a parameter, so that must be i64",
                                        name.text
                                    ),
                                    name.span,
                                    "a size of the result",
                                )
                                .help(format!("write `{}: i64`", name.text)),
                            );
                        }
                    }
                    None => self.report(
                        Diagnostic::error(
                            format!("the size `{}` occurs only in the result", name.text),
                            name.span,
                            "no argument gives it a value",
                        )
                        .help("write `_` for a size that the function decides"),
                    ),
                }
            }
        }
    }

    fn type_expr(&mut self, ty: &'a ast::TypeExpr, place: TypePlace) {
        match &ty.kind {
            ast::TypeExprKind::Name(name) => self.type_name(name, ty.span, place),
            ast::TypeExprKind::Array { elem, dims } => {
                match &elem.kind {
                    ast::TypeExprKind::Name(name) => self.type_name(name, elem.span, place),
                    _ => self.report(
                        Diagnostic::error(
                            "the elements of an array are numbers",
                            elem.span,
                            "not the type of a number",
                        )
                        .help("write more sizes for more dimensions: `[f64; n, m]`"),
                    ),
                }
                if dims.is_empty() || dims.len() > MAX_RANK {
                    self.report(
                        Diagnostic::error(
                            format!("an array has 1 to {MAX_RANK} dimensions"),
                            ty.span,
                            format!("this has {}", dims.len()),
                        )
                        .help("write one size per dimension: `[f64; n, m]`"),
                    );
                }
                for dim in dims {
                    if dim.name.is_none() && dim.offset < 0 {
                        self.report(
                            Diagnostic::error("a size cannot be negative", dim.span, "below 0")
                                .help("write a name, a number or `_`"),
                        );
                    }
                    if place == TypePlace::Local && dim.name.as_ref().is_none_or(|name| name.text != "_") {
                        self.report(
                            Diagnostic::error(
                                "sizes of variables are not checked yet",
                                dim.span,
                                "would not be checked",
                            )
                            .help("write `_` here; the size is the value's"),
                        );
                    }
                }
            }
            ast::TypeExprKind::Tuple(items) => {
                for item in items {
                    if place == TypePlace::Param && matches!(item.kind, ast::TypeExprKind::Array { .. }) {
                        self.report(
                            Diagnostic::error(
                                "arrays cannot be passed inside a tuple",
                                item.span,
                                "an array in a tuple",
                            )
                            .help("make it a parameter of its own"),
                        );
                    } else {
                        self.type_expr(item, place);
                    }
                }
            }
        }
    }

    fn type_name(&mut self, name: &'a str, span: Span, place: TypePlace) {
        if Scalar::from_name(name).is_some() {
            return;
        }
        let unknown = |what: String| Diagnostic::error(what, span, "not a type");
        if let Some(kiln) = habits::type_name(name) {
            self.report(unknown(format!("there is no type `{name}`")).help(format!("write `{kiln}`")));
        } else if name.to_lowercase().starts_with("complex") {
            self.report(
                unknown("complex numbers are not there yet".into())
                    .help("pass the two parts as two floats or arrays"),
            );
        } else if name == "rng" {
            self.report(
                unknown("a random stream cannot be passed or returned".into())
                    .help("pass a number, and make the stream from it: `let s = rng(i)`"),
            );
        } else if name.starts_with(char::is_uppercase) {
            match place {
                TypePlace::Param => {
                    self.type_vars.insert(name);
                }
                TypePlace::Result | TypePlace::Local if self.type_vars.contains(name) => {}
                TypePlace::Result => self.report(
                    Diagnostic::error(
                        format!("the type `{name}` occurs only in the result"),
                        span,
                        "no argument decides it",
                    )
                    .help("write a type, or leave the result's type out"),
                ),
                TypePlace::Local => self.report(
                    unknown(format!("there is no type `{name}`"))
                        .help("only type variables of the parameters are known here"),
                ),
            }
        } else {
            let near = habits::nearest(name, Scalar::ALL.iter().map(|scalar| scalar.name()));
            self.report(unknown(format!("there is no type `{name}`")).help(match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "types are bool, i32, i64, u32, u64, f32, f64, arrays `[f64; n]`; a capital name stands for any of them".into(),
            }));
        }
    }

    // ---- scopes ----

    fn declare(&mut self, name: &'a ast::Name, bound: Bound) {
        let binding = Binding { bound, span: name.span };
        if name.text == "_" {
            return;
        }
        let scope = self.scopes.last_mut().map(|scope| scope.insert(&name.text, binding));
        if let Some(Some(first)) = scope {
            let what = match bound {
                Bound::Param | Bound::MutParam => "two parameters have",
                Bound::Index => "two indices have",
                Bound::Let | Bound::Stream | Bound::Var | Bound::Size => "two variables of one block have",
            };
            let help = match first.bound {
                Bound::Var => format!("to change it, write `{} = …`", name.text),
                _ => "choose another name".into(),
            };
            self.report(
                Diagnostic::error(format!("{what} the name `{}`", name.text), name.span, "the second one")
                    .with(first.span, "the first one")
                    .help(help),
            );
        }
    }

    fn binding(&self, name: &str) -> Option<Binding> {
        if let Some(binding) = self.scopes.iter().rev().find_map(|scope| scope.get(name)) {
            return Some(*binding);
        }
        if self.owner == Owner::Script {
            let bound = |is_var: bool| if is_var { Bound::Var } else { Bound::Let };
            return self
                .names
                .earlier
                .get(name)
                .map(|is_var| Binding { bound: bound(*is_var), span: Span::default() });
        }
        None
    }

    fn is_stream(&self, name: &str) -> bool {
        self.binding(name).is_some_and(|binding| matches!(binding.bound, Bound::Stream))
    }

    /// Is it the builtin that makes streams?
    fn is_rng(&self, callee: &ast::Expr) -> bool {
        matches!(&callee.kind, ast::ExprKind::Name(name) if name == "rng" && !self.names.funcs.contains_key(name))
    }

    fn is_type(&self, name: &str) -> bool {
        Scalar::from_name(name).is_some() || (self.type_vars.contains(name) && self.binding(name).is_none())
    }

    fn name(&mut self, name: &'a str, span: Span) {
        let known = self.binding(name).is_some()
            || self.names.consts.contains_key(name)
            || builtins::constant(name).is_some()
            || (name == "args" && self.owner == Owner::Script);
        if !known {
            let diagnostic = self.unknown_name(name, span);
            self.report(diagnostic);
        }
    }

    fn unknown_name(&self, name: &'a str, span: Span) -> Diagnostic {
        let unknown = Diagnostic::error(
            format!("`{name}` is not known here"),
            span,
            "not a variable, parameter or constant",
        );
        if self.header.contains(&name) {
            return Diagnostic::error(
                format!("`{name}` cannot be used in a range of its own header"),
                span,
                "indices of one `for` run over one rectangle",
            )
            .help("write two loops, one inside the other");
        }
        if let Some(diagnostic) = habits::name(name, span) {
            return diagnostic;
        }
        if self.names.funcs.contains_key(name) || builtins::lookup(name).is_some() {
            return Diagnostic::error(format!("`{name}` is a function, not a value"), span, "not called")
                .help(format!("call it: `{name}(…)`"));
        }
        if self.is_type(name) {
            return Diagnostic::error(format!("`{name}` is a type, not a value"), span, "a type stands here")
                .help(format!("convert with `{name}(x)`"));
        }
        if self.owner == Owner::Func {
            let script = self.names.script.get(name).copied();
            if script.is_some() || self.names.earlier.contains_key(name) {
                let mut diagnostic = Diagnostic::error(
                    format!("functions do not see the script's variables, so `{name}` is not known here"),
                    span,
                    "a variable of the script",
                );
                if let Some(declared) = script {
                    diagnostic = diagnostic.with(declared, "declared here");
                }
                return diagnostic.help(format!("pass it as a parameter, or declare `const {name} = …`"));
            }
            if name == "args" {
                return unknown.help("`args` belongs to the script: pass `args.0` as an argument");
            }
        } else if let Some(declared) = self.names.script.get(name) {
            return Diagnostic::error(
                format!("`{name}` is used before it is declared"),
                span,
                "not known yet",
            )
            .with(*declared, "declared here")
            .help("move the declaration up, out of any inner block");
        }
        if self.names.suggestions.get() == 0 {
            return unknown;
        }
        self.names.suggestions.set(self.names.suggestions.get() - 1);
        let visible = self.scopes.iter().flat_map(|scope| scope.keys().copied());
        let script = self.names.earlier.keys().copied().filter(|_| self.owner == Owner::Script);
        let consts = self.names.consts.keys().map(String::as_str);
        match habits::nearest(name, visible.chain(script).chain(consts).chain(["pi", "inf", "nan"])) {
            Some(near) => unknown.help(format!("did you mean `{near}`?")),
            None => unknown.help(format!("declare it first: `let {name} = …`, or `var` if it changes")),
        }
    }

    // ---- statements ----

    fn block(&mut self, block: &'a ast::Block, tail: Tail) {
        self.scopes.push(HashMap::new());
        self.stmts(&block.stmts, tail);
        self.scopes.pop();
    }

    fn stmts(&mut self, stmts: &'a [ast::Stmt], tail: Tail) {
        for (index, stmt) in stmts.iter().enumerate() {
            self.stmt(stmt, if index + 1 == stmts.len() { tail } else { Tail::Unused });
        }
    }

    fn annotated_loop(&self) -> Option<&Loop> {
        self.loops.iter().rev().find(|outer| outer.annotated)
    }

    fn at_top(&self) -> bool {
        self.owner == Owner::Script && self.scopes.len() == 1 && self.loops.is_empty()
    }

    fn stmt(&mut self, stmt: &'a ast::Stmt, tail: Tail) {
        use ast::StmtKind::*;
        match &stmt.kind {
            Bind { is_var, names, is_tuple, ty, value } => {
                if let Some(ty) = ty {
                    self.type_expr(ty, TypePlace::Local);
                    if *is_tuple {
                        self.report(
                            Diagnostic::error("several names cannot share a written type", ty.span, "here")
                                .help("leave the type out, or bind one after the other"),
                        );
                    }
                }
                match file_call(value) {
                    Some(("load", args)) if self.at_top() && names.len() == 1 && !is_tuple => {
                        self.file_arguments("load", args, 1, value.span)
                    }
                    _ => self.expr(value),
                }
                let bound = match &value.kind {
                    _ if *is_var => Bound::Var,
                    ast::ExprKind::Call { callee, .. } if self.is_rng(callee) => Bound::Stream,
                    _ => Bound::Let,
                };
                for name in names {
                    self.declare(name, bound);
                }
            }
            Assign { targets, value, .. } => {
                self.expr(value);
                for target in targets {
                    self.target(target);
                }
            }
            For(header) => self.for_loop(header),
            While { cond, body } => {
                self.expr(cond);
                self.enter(LoopKind::While, Marks::default(), stmt.span);
                self.block(body, Tail::Unused);
                self.loops.pop();
            }
            Break => self.leave("break", stmt.span),
            Continue => self.leave("continue", stmt.span),
            Return(value) => {
                if let Some(value) = value {
                    self.expr(value);
                }
                self.check_return(stmt.span);
            }
            Expr(value) => self.expr_stmt(value, tail),
            Time(body) => {
                if !self.at_top() {
                    self.report(
                        Diagnostic::error(
                            "`time` stands at the top level of a script",
                            stmt.span,
                            "not at the top level",
                        )
                        .help("put it around the call: `time { f(x) }`"),
                    );
                    self.block(body, Tail::Unused);
                } else {
                    for inner in &body.stmts {
                        self.stmt(inner, Tail::Value);
                    }
                }
            }
            Annotated { annotations, stmt: inner } => self.annotated_stmt(annotations, inner, tail),
            Error => {}
        }
    }

    fn expr_stmt(&mut self, value: &'a ast::Expr, tail: Tail) {
        use ast::ExprKind::*;
        if self.at_top()
            && let Some(("save", args)) = file_call(value)
        {
            return self.file_arguments("save", args, 2, value.span);
        }
        match &value.kind {
            If { cond, then, otherwise } => {
                self.expr(cond);
                let tail = if tail == Tail::Value && (self.owner == Owner::Func || visit::has_value(value)) {
                    if otherwise.is_some() { Tail::Value } else { Tail::Unused }
                } else {
                    Tail::Unused
                };
                self.block(then, tail);
                if let Some(otherwise) = otherwise {
                    self.block(otherwise, tail);
                }
            }
            Block(body) => {
                let wanted = self.owner == Owner::Func || visit::has_value(value);
                self.block(body, if wanted { tail } else { Tail::Unused });
            }
            Call { .. } | Error => self.expr(value),
            _ => {
                self.expr(value);
                if tail == Tail::Unused {
                    let diagnostic =
                        Diagnostic::error("this value is not used", value.span, "computed, then lost");
                    self.report(match &value.kind {
                        Compare(operands, ops) if ops.as_slice() == [ast::CompareOp::Eq] => diagnostic.help(format!(
                            "to assign, write `{} = {}`",
                            spell::expr(&operands[0]),
                            spell::expr(&operands[1])
                        )),
                        Unary(ast::UnaryOp::Neg, _) => diagnostic.help(
                            "if it continues the line above, end that line with the operator: a newline ends a statement",
                        ),
                        _ => diagnostic.help(format!("bind it: `let x = {}`, or remove it", spell::expr(value))),
                    });
                }
            }
        }
    }

    fn leave(&mut self, word: &str, span: Span) {
        let Some(inner) = self.loops.last().copied() else {
            return self.report(
                Diagnostic::error(format!("`{word}` stands outside a loop"), span, "no loop around it")
                    .help("to leave a function, write `return`"),
            );
        };
        if inner.kind == LoopKind::Generator {
            return self.report(
                Diagnostic::error(format!("`{word}` cannot leave a generator"), span, "inside a generator")
                    .with(inner.span, "this generator")
                    .help("filter with `if`: `sum(x[i] for i in 0..n if x[i] > 0)`"),
            );
        }
        if word == "break" && inner.annotated {
            self.report(
                Diagnostic::error("`break` cannot leave an annotated loop", span, "iterations run in any order")
                    .with(inner.span, "this loop is annotated")
                    .help("find the first index with `min(i for i in 0..n if …)`, test with `any(…)`, or remove the annotation"),
            );
        }
    }

    fn check_return(&mut self, span: Span) {
        if self.owner == Owner::Script {
            return self.report(
                Diagnostic::error("`return` stands outside a function", span, "nothing to return from")
                    .help("show a value by writing it alone on a line, or print it"),
            );
        }
        if let Some(generator) = self.loops.iter().rev().find(|outer| outer.kind == LoopKind::Generator) {
            let header = generator.span;
            return self.report(
                Diagnostic::error("`return` cannot leave a generator", span, "inside a generator")
                    .with(header, "this generator")
                    .help("return what the generator gives"),
            );
        }
        if let Some(outer) = self.annotated_loop() {
            let header = outer.span;
            self.report(
                Diagnostic::error("`return` cannot leave an annotated loop", span, "iterations run in any order")
                    .with(header, "this loop is annotated")
                    .help("find the first index with `min(i for i in 0..n if …)`, test with `any(…)`, or remove the annotation"),
            );
        }
    }

    fn target(&mut self, target: &'a ast::Expr) {
        use ast::ExprKind::*;
        match &target.kind {
            Name(name) => {
                let Some(binding) = self.binding(name) else {
                    if self.names.consts.contains_key(name) {
                        return self.report(
                            Diagnostic::error(
                                format!("`{name}` is a constant"),
                                target.span,
                                "cannot be assigned",
                            )
                            .help(format!("keep what changes in a variable: `var x = {name}`")),
                        );
                    }
                    let diagnostic = self.unknown_name(name, target.span);
                    let declare = format!("to declare it, write `var {name} = …`");
                    let diagnostic = if diagnostic.helps.iter().any(|help| help.contains("declare it first"))
                    {
                        Diagnostic { helps: vec![declare], ..diagnostic }
                    } else {
                        diagnostic
                    };
                    return self.report(diagnostic);
                };
                let (what, help) = match binding.bound {
                    Bound::Var => return,
                    Bound::Let | Bound::Stream => {
                        ("bound with `let`", format!("declare it with `var {name} = …`"))
                    }
                    Bound::Param => {
                        ("a parameter", format!("copy it first: `var {name} = {name}` hides the parameter"))
                    }
                    Bound::MutParam => (
                        "a parameter",
                        format!(
                            "write its elements: `{name}[i] = …`; `mut` arrays cannot be exchanged for others"
                        ),
                    ),
                    Bound::Size => ("a size", "sizes never change; copy it: `var k = …`".to_string()),
                    Bound::Index => {
                        ("a loop's index", format!("use a `while` loop, or copy it: `var k = {name}`"))
                    }
                };
                let mut diagnostic = Diagnostic::error(
                    format!("`{name}` is {what} and cannot be assigned"),
                    target.span,
                    "assigned here",
                );
                if binding.span != Span::default() {
                    diagnostic = diagnostic.with(binding.span, "declared here");
                }
                self.report(diagnostic.help(help));
            }
            Index(base, indices) => {
                match &base.kind {
                    Name(name) => self.name(name, base.span),
                    Error => {}
                    _ => self.report(
                        Diagnostic::error(
                            "only elements of a named array can be assigned",
                            base.span,
                            "not a name",
                        )
                        .help("bind the array first: `var a = …`, then `a[i] = …`"),
                    ),
                }
                self.indices(base, indices);
            }
            Field(base, field) if field.text.starts_with(|first: char| first.is_ascii_digit()) => self
                .report(
                    Diagnostic::error("a part of a tuple cannot be assigned", target.span, "part of a tuple")
                        .help(format!(
                            "assign the whole: `{0} = (…, …)`, or bind the parts: `var a, b = {0}`",
                            spell::expr(base)
                        )),
                ),
            Error => {}
            _ => self.report(
                Diagnostic::error(
                    "this cannot be assigned",
                    target.span,
                    "neither a variable nor an element of an array",
                )
                .help("assign a variable: `x = …`, or an element: `a[i] = …`"),
            ),
        }
    }

    // ---- loops and annotations ----

    fn enter(&mut self, kind: LoopKind, marks: Marks, span: Span) {
        if marks.is_annotated()
            && let Some(outer) = self.loops.iter().rev().find(|outer| outer.vectorize)
        {
            let (name, header) = (if marks.vectorize { "vectorize" } else { "parallel" }, outer.span);
            self.report(
                Diagnostic::error(
                    format!("`@{name}` cannot stand inside a `@vectorize` loop"),
                    span,
                    "already runs in lanes",
                )
                .with(header, "this loop runs in lanes")
                .help("remove the inner annotation, or move `@vectorize` to the inner loop"),
            );
        }
        self.loops.push(Loop { kind, annotated: marks.is_annotated(), vectorize: marks.vectorize, span });
    }

    fn for_loop(&mut self, header: &'a ast::For) {
        let marks = self.marks(&header.annotations);
        self.ranges(&header.indices);
        self.scopes.push(HashMap::new());
        for index in &header.indices {
            self.declare(&index.name, Bound::Index);
        }
        self.enter(LoopKind::For, marks, header.span);
        self.block(&header.body, Tail::Unused);
        self.loops.pop();
        self.scopes.pop();
    }

    fn generator(&mut self, generator: &'a ast::Generator, span: Span) {
        let marks = self.marks(&generator.annotations);
        self.ranges(&generator.indices);
        self.scopes.push(HashMap::new());
        for index in &generator.indices {
            self.declare(&index.name, Bound::Index);
        }
        self.enter(LoopKind::Generator, marks, span);
        if let Some(filter) = &generator.filter {
            self.expr(filter);
        }
        self.expr(&generator.term);
        self.loops.pop();
        self.scopes.pop();
    }

    fn ranges(&mut self, indices: &'a [ast::Index]) {
        let outer = std::mem::take(&mut self.header);
        for index in indices {
            self.range(&index.name, &index.range);
            self.header.push(&index.name.text);
        }
        self.header = outer;
    }

    fn range(&mut self, index: &'a ast::Name, range: &'a ast::Expr) {
        use ast::ExprKind::*;
        let name = &index.text;
        match &range.kind {
            Range { lo: Some(lo), hi: Some(hi), step, .. } => {
                self.expr(lo);
                self.expr(hi);
                if let Some(step) = step {
                    self.expr(step);
                }
            }
            Range { .. } => self.report(
                Diagnostic::error("a loop needs both ends of its range", range.span, "an end is missing")
                    .help(format!("write `for {name} in 0..n`")),
            ),
            Error => {}
            Call { callee, args, .. } if matches!(&callee.kind, Name(text) if text == "range" && !self.names.funcs.contains_key(text)) =>
            {
                if let Some(diagnostic) = habits::call("range", args, range.span) {
                    self.report(diagnostic);
                }
            }
            Name(array) if self.binding(array).is_some() => self.report(
                Diagnostic::error("a loop runs over a range of indices", range.span, "not a range").help(format!(
                    "for the elements of an array write `for {name} in 0..len({array}) {{ … {array}[{name}] … }}`; to count up to a number, `for {name} in 0..{array}`"
                )),
            ),
            _ => {
                self.report(
                    Diagnostic::error("a loop runs over a range of indices", range.span, "not a range")
                        .help(format!("write `for {name} in 0..{}`", spell::expr(range))),
                );
            }
        }
    }

    fn marks(&mut self, annotations: &'a [ast::Annotation]) -> Marks {
        let mut marks = Marks::default();
        let mut seen: Vec<&str> = Vec::new();
        for annotation in annotations {
            let name = annotation.name.text.as_str();
            if name != "unique" && seen.contains(&name) {
                self.report(
                    Diagnostic::error(
                        format!("`@{name}` is written twice"),
                        annotation.span,
                        "the second one",
                    )
                    .help("remove it"),
                );
            }
            seen.push(name);
            match name {
                "parallel" => marks.parallel = true,
                "vectorize" => marks.vectorize = true,
                "fast" => {}
                "rng" => {
                    self.names_generator(annotation);
                    continue;
                }
                "unique" => {
                    match annotation.args.as_slice() {
                        [ast::Expr { kind: ast::ExprKind::Name(array), span }] => self.name(array, *span),
                        _ => self.report(
                            Diagnostic::error(
                                "`@unique` names one array of indices",
                                annotation.span,
                                "not one name",
                            )
                            .help("write `@unique(p)` for `y[p[i]] = …`"),
                        ),
                    }
                    continue;
                }
                _ => {
                    self.unknown_annotation(annotation);
                    continue;
                }
            }
            self.no_arguments(annotation);
        }
        if let Some(annotation) = annotations.iter().find(|annotation| annotation.name.text == "unique")
            && !marks.is_annotated()
        {
            self.report(
                Diagnostic::error(
                    "`@unique` is for annotated loops",
                    annotation.span,
                    "this loop runs in order anyway",
                )
                .help("remove it, or write `@parallel` or `@vectorize` as well"),
            );
        }
        marks
    }

    fn no_arguments(&mut self, annotation: &'a ast::Annotation) {
        if !annotation.args.is_empty() {
            let name = &annotation.name.text;
            self.report(
                Diagnostic::error(format!("`@{name}` takes no arguments"), annotation.span, "arguments here")
                    .help(format!("write `@{name}`; the number of threads is set where the program is run")),
            );
        }
    }

    fn names_generator(&mut self, annotation: &'a ast::Annotation) {
        if generator(annotation).is_none() {
            let diagnostic =
                Diagnostic::error("`@rng` names a random generator", annotation.span, "not the name of one");
            self.report(diagnostic.help(
                "write `@rng(ars)` for ARS-7, or `@rng(philox)` for Philox4x32-10, which is the default",
            ));
        }
    }

    fn unknown_annotation(&mut self, annotation: &'a ast::Annotation) {
        let name = annotation.name.text.as_str();
        let unknown =
            Diagnostic::error(format!("there is no annotation `@{name}`"), annotation.span, "not known");
        let diagnostic = match name {
            "jit" | "njit" | "compile" | "cuda" | "kernel" => {
                unknown.help("remove it: every function is compiled")
            }
            "simd" | "vectorise" | "vector" => unknown.help("write `@vectorize`"),
            "prange" | "threads" | "omp" | "parfor" => unknown.help("write `@parallel`"),
            "fastmath" => unknown.help("write `@fast`"),
            _ => {
                match habits::nearest(name, ["parallel", "vectorize", "fast", "unique", "rng"].into_iter()) {
                    Some(near) => unknown.help(format!("did you mean `@{near}`?")),
                    None => unknown
                        .help("there are `@parallel`, `@vectorize`, `@fast`, `@unique(p)` and `@rng(ars)`"),
                }
            }
        };
        self.report(diagnostic);
    }

    fn annotated_stmt(&mut self, annotations: &'a [ast::Annotation], inner: &'a ast::Stmt, tail: Tail) {
        let is_block =
            matches!(&inner.kind, ast::StmtKind::Expr(ast::Expr { kind: ast::ExprKind::Block(_), .. }));
        for annotation in annotations {
            match annotation.name.text.as_str() {
                "fast" if is_block => self.no_arguments(annotation),
                "fast" => self.report(
                    Diagnostic::error(
                        "`@fast` stands before a loop, a function or a block",
                        annotation.span,
                        "none follows",
                    )
                    .help("write `@fast { … }`"),
                ),
                "rng" => self.report(
                    Diagnostic::error(
                        "`@rng` stands before a `for` loop or a function",
                        annotation.span,
                        "neither follows",
                    )
                    .help("move it to the loop that draws, or to the function"),
                ),
                "parallel" | "vectorize" | "unique" => {
                    let name = &annotation.name.text;
                    let diagnostic = Diagnostic::error(
                        format!("`@{name}` stands before a `for` loop"),
                        annotation.span,
                        "no `for` follows",
                    );
                    self.report(match inner.kind {
                        ast::StmtKind::While { .. } => {
                            diagnostic.help("the number of iterations must be known: write `for i in 0..n`")
                        }
                        _ => diagnostic.help(format!("move it: `@{name} for i in 0..n {{ … }}`")),
                    });
                }
                _ => self.unknown_annotation(annotation),
            }
        }
        match &inner.kind {
            ast::StmtKind::Expr(ast::Expr { kind: ast::ExprKind::Block(body), .. }) => {
                self.block(body, Tail::Unused)
            }
            _ => self.stmt(inner, tail),
        }
    }

    // ---- expressions ----

    fn exprs(&mut self, exprs: &'a [ast::Expr]) {
        for expr in exprs {
            self.expr(expr);
        }
    }

    fn expr(&mut self, expr: &'a ast::Expr) {
        use ast::ExprKind::*;
        match &expr.kind {
            Int(_) | Float(_) | Bool(_) | Error => {}
            Str(_) => self.report(
                Diagnostic::error(
                    "text stands only in `print`, `load` and `save`",
                    expr.span,
                    "text is not a value",
                )
                .help("print it: `print(\"…\", x)`"),
            ),
            Name(name) => self.name(name, expr.span),
            Unary(_, operand) => self.expr(operand),
            Binary(op, left, right) => {
                self.expr(left);
                self.expr(right);
                if *op == ast::BinaryOp::MatMul {
                    self.later(
                        "the product `@` of arrays",
                        expr.span,
                        builtins::later("matmul").unwrap_or_default(),
                    );
                }
            }
            Compare(operands, _) => self.exprs(operands),
            Call { callee, args, keywords, generator } => {
                self.call(expr, callee, args, keywords, generator.as_deref())
            }
            Index(base, indices) => {
                if let Field(array, field) = &base.kind
                    && !field.text.starts_with(|first: char| first.is_ascii_digit())
                {
                    let module = self.is_module(array);
                    let diagnostic = habits::field(array, field, indices.first(), module, expr.span);
                    return self.report(diagnostic);
                }
                self.expr(base);
                self.indices(base, indices);
            }
            Field(base, field) => {
                if field.text.starts_with(|first: char| first.is_ascii_digit()) {
                    return self.expr(base);
                }
                let module = self.is_module(base);
                let diagnostic = habits::field(base, field, None, module, expr.span);
                self.report(diagnostic);
            }
            Tuple(items) | List(items) => self.exprs(items),
            Range { .. } => self.report(
                Diagnostic::error(
                    "a range stands only in `for` and in generators",
                    expr.span,
                    "a range is not a value",
                )
                .help("for numbers in an array write `arange(lo, hi)`"),
            ),
            If { cond, then, otherwise } => {
                self.expr(cond);
                self.block(then, Tail::Value);
                match otherwise {
                    Some(otherwise) => self.block(otherwise, Tail::Value),
                    None => self.report(
                        Diagnostic::error(
                            "this `if` is used as a value, but has no `else`",
                            expr.span,
                            "no value if it is false",
                        )
                        .help("add `else { … }`"),
                    ),
                }
            }
            Block(body) => self.block(body, Tail::Value),
            Comprehension(generator) => {
                let sizes: Vec<String> = generator
                    .indices
                    .iter()
                    .map(|index| match &index.range.kind {
                        Range { hi: Some(hi), .. } => spell::expr(hi),
                        _ => "n".into(),
                    })
                    .collect();
                let names: Vec<&str> =
                    generator.indices.iter().map(|index| index.name.text.as_str()).collect();
                let ranges: Vec<String> =
                    names.iter().zip(&sizes).map(|(name, size)| format!("{name} in 0..{size}")).collect();
                let instead = format!(
                    "`var y = zeros({})`, then `for {} {{ y[{}] = … }}`",
                    sizes.join(", "),
                    ranges.join(", "),
                    names.join(", ")
                );
                self.later("a comprehension", expr.span, &instead);
            }
        }
    }

    fn later(&mut self, what: &str, span: Span, instead: &str) {
        self.report(
            Diagnostic::error(format!("{what} is not there yet"), span, "planned, not built")
                .help(format!("today: {instead}")),
        );
    }

    fn is_module(&self, base: &ast::Expr) -> bool {
        match &base.kind {
            ast::ExprKind::Name(name) => habits::is_module(name) && self.binding(name).is_none(),
            ast::ExprKind::Field(base, _) => self.is_module(base),
            _ => false,
        }
    }

    fn indices(&mut self, base: &'a ast::Expr, indices: &'a [ast::Expr]) {
        use ast::ExprKind::*;
        let mut sliced = false;
        for (axis, index) in indices.iter().enumerate() {
            match &index.kind {
                Range { .. } => sliced = true,
                Unary(ast::UnaryOp::Neg, inner) if matches!(inner.kind, Int(value) if value > 0) => {
                    let array = spell::expr(base);
                    let size =
                        if axis == 0 { format!("len({array})") } else { format!("shape({array}, {axis})") };
                    self.report(
                        Diagnostic::error(
                            "a negative index is always out of range",
                            index.span,
                            "counts from the end only in Python",
                        )
                        .help(format!("write `{array}[{size} - {}]`", spell::expr(inner))),
                    );
                }
                _ => self.expr(index),
            }
        }
        if sliced {
            let array = spell::expr(base);
            let span = indices
                .first()
                .zip(indices.last())
                .map_or(base.span, |(first, last)| first.span.to(last.span));
            self.later(
                "a slice",
                span,
                &format!("loop over the indices of `{array}`: `for j in 0..m {{ y[j] = {array}[i, j] }}`"),
            );
        }
    }

    fn call(
        &mut self,
        expr: &'a ast::Expr,
        callee: &'a ast::Expr,
        args: &'a [ast::Expr],
        keywords: &'a [(ast::Name, ast::Expr)],
        generator: Option<&'a ast::Generator>,
    ) {
        use ast::ExprKind::*;
        let name = match &callee.kind {
            Name(name) => name.as_str(),
            Field(base, field) => {
                let module = self.is_module(base);
                let diagnostic = habits::method(base, field, args, module, expr.span);
                return self.report(diagnostic);
            }
            Error => return,
            _ => {
                return self.report(
                    Diagnostic::error(
                        "only functions can be called",
                        callee.span,
                        "not the name of a function",
                    )
                    .help("for an element of an array write `a[i]`"),
                );
            }
        };
        let annotated = self.annotated_loop().map(|outer| outer.span);
        if let Some(index) = self.names.funcs.get(name).copied() {
            let func = &self.names.asts[index];
            self.facts.calls.push(CallFact { callee: index, span: expr.span, annotated });
            if generator.is_some() {
                return self.report(
                    Diagnostic::error(
                        format!("`{name}` does not take a generator"),
                        expr.span,
                        "a generator is passed",
                    )
                    .help("generators go to sum, prod, min, max, mean, any, all, argmin and argmax"),
                );
            }
            let params: Vec<&str> = func.params.iter().map(|param| param.name.text.as_str()).collect();
            self.arity(name, &params, args, keywords, expr.span, Some(func.name.span));
            self.exprs(args);
            return self.keyword_values(keywords);
        }
        if self.is_type(name) {
            if args.len() != 1 || !keywords.is_empty() || generator.is_some() {
                self.report(
                    Diagnostic::error(
                        format!("`{name}` converts one number"),
                        expr.span,
                        format!("{} given", args.len()),
                    )
                    .help(format!("write `{name}(x)`")),
                );
            }
            return self.exprs(args);
        }
        if let Some(builtin) = builtins::lookup(name) {
            return self.builtin(builtin, expr, args, keywords, generator, annotated);
        }
        // not known: the arguments are still checked, unless a habit explains them
        let diagnostic = self.unknown_call(name, callee.span, args, expr.span);
        self.report(diagnostic);
        if habits::call(name, args, expr.span).is_none() {
            self.exprs(args);
            self.keyword_values(keywords);
            if let Some(generator) = generator {
                self.generator(generator, expr.span);
            }
        }
    }

    fn unknown_call(&self, name: &str, span: Span, args: &[ast::Expr], whole: Span) -> Diagnostic {
        if let Some(instead) = builtins::later(name) {
            return Diagnostic::error(format!("`{name}` is not there yet"), span, "planned, not built")
                .help(format!("today: {instead}"));
        }
        if self.binding(name).is_some() || self.names.consts.contains_key(name) {
            return Diagnostic::error(format!("`{name}` is a variable, not a function"), span, "called here")
                .help(format!("for an element write `{name}[{}]`; a product needs `*`", spell::list(args)));
        }
        if let Some(diagnostic) = habits::call(name, args, whole) {
            return diagnostic;
        }
        let unknown = Diagnostic::error(format!("there is no function `{name}`"), span, "not known");
        if self.names.suggestions.get() == 0 {
            return unknown;
        }
        self.names.suggestions.set(self.names.suggestions.get() - 1);
        let own = self.names.funcs.keys().map(String::as_str);
        let known = own
            .chain(builtins::all().map(|row| row.name))
            .chain(Scalar::ALL.iter().map(|scalar| scalar.name()));
        match habits::nearest(name, known) {
            Some(near) => unknown.help(format!("did you mean `{near}`?")),
            None => unknown.help(format!("define it: `fn {name}(…) {{ … }}`")),
        }
    }

    fn keyword_values(&mut self, keywords: &'a [(ast::Name, ast::Expr)]) {
        for (_, value) in keywords {
            self.expr(value);
        }
    }

    fn arity(
        &mut self,
        name: &str,
        params: &[&str],
        args: &'a [ast::Expr],
        keywords: &'a [(ast::Name, ast::Expr)],
        span: Span,
        declared: Option<Span>,
    ) {
        let locate = |diagnostic: Diagnostic| match declared {
            Some(declared) => diagnostic.with(declared, format!("`{name}({})`", params.join(", "))),
            None => diagnostic,
        };
        if args.len() > params.len() {
            let plural = if params.len() == 1 { "" } else { "s" };
            self.report(locate(
                Diagnostic::error(
                    format!("`{name}` takes {} argument{plural}, {} given", params.len(), args.len()),
                    args[params.len()].span,
                    "one too many",
                )
                .help(format!("write `{name}({})`", params.join(", "))),
            ));
            return;
        }
        let mut given = vec![false; params.len()];
        given[..args.len()].fill(true);
        for (keyword, _) in keywords {
            match params.iter().position(|param| *param == keyword.text) {
                Some(index) if given[index] => self.report(locate(
                    Diagnostic::error(
                        format!("the argument `{}` is given twice", keyword.text),
                        keyword.span,
                        "the second time",
                    )
                    .help("remove one of them"),
                )),
                Some(index) => given[index] = true,
                None => {
                    let near = habits::nearest(&keyword.text, params.iter().copied());
                    self.report(locate(
                        Diagnostic::error(
                            format!("`{name}` has no parameter `{}`", keyword.text),
                            keyword.span,
                            "not known",
                        )
                        .help(match near {
                            Some(near) => format!("did you mean `{near}`?"),
                            None => format!("its parameters are: {}", params.join(", ")),
                        }),
                    ));
                    return;
                }
            }
        }
        let missing: Vec<String> = params
            .iter()
            .zip(&given)
            .filter(|(_, given)| !**given)
            .map(|(param, _)| format!("`{param}`"))
            .collect();
        if !missing.is_empty() {
            self.report(locate(
                Diagnostic::error(
                    format!("`{name}` needs {} more: {}", missing.len(), missing.join(", ")),
                    span,
                    "arguments are missing",
                )
                .help(format!("write `{name}({})`", params.join(", "))),
            ));
        }
    }

    fn builtin(
        &mut self,
        builtin: &builtins::Builtin,
        expr: &'a ast::Expr,
        args: &'a [ast::Expr],
        keywords: &'a [(ast::Name, ast::Expr)],
        generator: Option<&'a ast::Generator>,
        annotated: Option<Span>,
    ) {
        use ast::ExprKind::*;
        let name = builtin.name;
        if let Some(generator) = generator {
            if !matches!(builtin.kind, Kind::Reduce(_) | Kind::Extreme(..)) {
                return self.report(
                    Diagnostic::error(
                        format!("`{name}` does not take a generator"),
                        expr.span,
                        "a generator is passed",
                    )
                    .help("generators go to sum, prod, min, max, mean, any, all, argmin and argmax"),
                );
            }
            return self.generator(generator, expr.span);
        }
        let reduces = matches!(builtin.kind, Kind::Reduce(_) | Kind::Extreme(..));
        for (keyword, _) in keywords {
            match keyword.text.as_str() {
                "axis" | "keepdims" if reduces => {
                    let instead = format!("`for j in 0..m {{ y[j] = {name}(x[i, j] for i in 0..n) }}`");
                    return self.later(&format!("`{name}` along one axis"), keyword.span, &instead);
                }
                "dtype" | "type" => {
                    return self.report(
                        Diagnostic::error(
                            format!("`{name}` takes the element type first"),
                            keyword.span,
                            "not a keyword",
                        )
                        .help(format!("write `{name}(f32, …)`")),
                    );
                }
                _ => {}
            }
        }
        match builtin.kind {
            Kind::Math(..) => {
                self.arity(name, builtin.params, args, keywords, expr.span, None);
                self.exprs(args);
                return self.keyword_values(keywords);
            }
            Kind::Print => {
                self.facts.prints = true;
                if let Some(header) = annotated {
                    self.report(
                        Diagnostic::error("`print` cannot stand in an annotated loop", expr.span, "iterations run in any order")
                            .with(header, "this loop is annotated")
                            .help("collect the numbers in an array and print after the loop, or remove the annotation"),
                    );
                }
                for arg in args {
                    if !matches!(arg.kind, Str(_)) {
                        self.expr(arg);
                    }
                }
                for (keyword, value) in keywords {
                    if !matches!(keyword.text.as_str(), "sep" | "end") || !matches!(value.kind, Str(_)) {
                        self.report(
                            Diagnostic::error(
                                "`print` takes only the keywords `sep` and `end`, with text",
                                keyword.span,
                                "not known",
                            )
                            .help("write `print(x, y, sep=\", \", end=\"\")`"),
                        );
                    }
                }
                return;
            }
            Kind::Load | Kind::Save => {
                let help = if name == "load" {
                    "write `let x = load(\"x.npy\")` in the script and pass `x` to the function"
                } else {
                    "return the array, and write `save(\"x.npy\", x)` in the script"
                };
                let diagnostic = Diagnostic::error(
                    format!("`{name}` is a statement of its own at the top level of a script"),
                    expr.span,
                    "not at the top level, or not alone",
                );
                return self.report(diagnostic.help(help));
            }
            Kind::Draw(_) => {
                let streams =
                    args.iter().filter(|arg| !matches!(&arg.kind, Name(text) if self.is_type(text))).count();
                self.facts.draws |= streams == 0;
            }
            Kind::RandInt => self.facts.draws |= args.len() <= 2,
            Kind::Sample(sampler) => {
                let rest = match args.split_first() {
                    Some((ast::Expr { kind: Name(text), .. }, rest)) if self.is_stream(text) => rest,
                    _ => {
                        self.facts.draws = true;
                        args
                    }
                };
                // Only the last parameter may be left out.
                let mut params = sampler.params();
                let has_last = rest.len() >= params.len()
                    || keywords.iter().any(|(keyword, _)| Some(&keyword.text.as_str()) == params.last());
                if !has_last {
                    params.truncate(sampler.needed());
                }
                self.arity(name, &params, rest, keywords, expr.span, None);
                self.exprs(args);
                return self.keyword_values(keywords);
            }
            Kind::Reduce(_)
            | Kind::Extreme(..)
            | Kind::Len
            | Kind::Shape
            | Kind::Copy
            | Kind::Zeros
            | Kind::Ones
            | Kind::Full
            | Kind::Arange
            | Kind::Linspace
            | Kind::Rng => {}
        }
        if let Some((keyword, _)) = keywords.first() {
            self.report(
                Diagnostic::error(format!("`{name}` takes no keyword arguments"), keyword.span, "a keyword")
                    .help(format!("write `{}`", builtin.usage)),
            );
        }
        if let ([Tuple(sizes)], true) = (
            args.iter().map(|arg| &arg.kind).collect::<Vec<_>>().as_slice(),
            matches!(builtin.kind, Kind::Zeros | Kind::Ones),
        ) {
            return self.report(
                Diagnostic::error(
                    format!("`{name}` takes its sizes one by one"),
                    args[0].span,
                    "a tuple of sizes",
                )
                .help(format!("write `{name}({})`", spell::list(sizes))),
            );
        }
        for arg in args {
            match &arg.kind {
                Name(text)
                    if self.is_type(text)
                        && matches!(
                            builtin.kind,
                            Kind::Zeros
                                | Kind::Ones
                                | Kind::Full
                                | Kind::Arange
                                | Kind::Linspace
                                | Kind::Draw(_)
                        ) => {}
                _ => self.expr(arg),
            }
        }
    }

    fn file_arguments(&mut self, name: &str, args: &'a [ast::Expr], wanted: usize, span: Span) {
        use ast::ExprKind::*;
        let usage = if wanted == 1 { "let x = load(\"x.npy\")" } else { "save(\"x.npy\", x)" };
        if args.len() != wanted {
            self.report(
                Diagnostic::error(
                    format!("`{name}` takes {wanted} arguments, {} given", args.len()),
                    span,
                    "here",
                )
                .help(format!("write `{usage}`")),
            );
            return;
        }
        match &args[0].kind {
            Str(_) => {}
            Field(base, _) if matches!(&base.kind, Name(text) if text == "args") => {}
            _ => self.report(
                Diagnostic::error(format!("`{name}` takes the name of a file"), args[0].span, "not a text")
                    .help(format!("write `{usage}`, or `args.0` for the first argument of the script")),
            ),
        }
        self.exprs(&args[1..]);
    }
}

/// What stands before a loop.
#[derive(Clone, Copy, Default)]
struct Marks {
    parallel: bool,
    vectorize: bool,
}

impl Marks {
    fn is_annotated(self) -> bool {
        self.parallel || self.vectorize
    }
}

/// `load(…)` or `save(…)`, with its positional arguments.
pub(crate) fn file_call(expr: &ast::Expr) -> Option<(&str, &[ast::Expr])> {
    match &expr.kind {
        ast::ExprKind::Call { callee, args, keywords, generator: None } if keywords.is_empty() => {
            match &callee.kind {
                ast::ExprKind::Name(name) if name == "load" || name == "save" => Some((name, args)),
                _ => None,
            }
        }
        _ => None,
    }
}

fn dims_of(ty: &ast::TypeExpr) -> Option<&[ast::DimExpr]> {
    match &ty.kind {
        ast::TypeExprKind::Array { dims, .. } => Some(dims),
        ast::TypeExprKind::Name(_) | ast::TypeExprKind::Tuple(_) => None,
    }
}

/// The shape positions of all arrays in a written type, in order.
pub(crate) fn all_dims<'a>(ty: &'a ast::TypeExpr, out: &mut Vec<&'a ast::DimExpr>) {
    match &ty.kind {
        ast::TypeExprKind::Name(_) => {}
        ast::TypeExprKind::Array { dims, .. } => out.extend(dims),
        ast::TypeExprKind::Tuple(items) => items.iter().for_each(|item| all_dims(item, out)),
    }
}
