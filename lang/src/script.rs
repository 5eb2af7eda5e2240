//! Runs a script statement by statement: each becomes a function of the variables that it uses.
//!
//! In: a checked module, the number of a top-level statement, the variables so far, the arguments of the command line. Out: a [`ScriptStep`].
//! Holds: a variable's type never changes after the statement that declares it; `var x = 0` follows the statements below as far as their
//! types are known without running; loading, saving, timing and exchanging owners are left to the host.

use crate::ast;
use crate::diag::Diagnostic;
use crate::infer::ty::{Estimate, Number};
use crate::infer::{Body, Key, ScriptBody, Specs};
use crate::resolve::{Checked, file_call};
use crate::span::Span;
use crate::tree::{Program, StreamMode};
use crate::types::{Generator, Type};
use crate::visit::{self, Node};
use std::collections::{HashMap, HashSet};

/// How many statements below a declaration are looked at for the type of a literal.
const FURTHEST_STATEMENT: usize = 1000;

/// A variable of the script, as the host keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct ScriptVar {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: Type,
    /// Declared with `var`.
    pub is_var: bool,
    /// It is another name for the array of this variable ([`ScriptStep::Alias`]).
    pub alias_of: Option<String>,
}

/// An argument of the command line.
#[derive(Clone, Debug, PartialEq)]
pub enum ScriptArg {
    /// A whole number: an int literal.
    Int(i64),
    /// Any other number: a float literal.
    Float(f64),
    /// `true` or `false`
    Bool(bool),
    /// Anything else.
    Text(String),
}

impl ScriptArg {
    /// Reads what was typed.
    pub fn from_text(text: &str) -> ScriptArg {
        let digits = text.replace('_', "");
        let looks_like_number =
            text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '-' | '+' | '.'));
        match text {
            "true" => ScriptArg::Bool(true),
            "false" => ScriptArg::Bool(false),
            _ if !looks_like_number => ScriptArg::Text(text.to_string()),
            _ => match (digits.parse::<i64>(), digits.parse::<f64>()) {
                (Ok(value), _) => ScriptArg::Int(value),
                (_, Ok(value)) => ScriptArg::Float(value),
                _ => ScriptArg::Text(text.to_string()),
            },
        }
    }

    fn text(&self) -> String {
        match self {
            ScriptArg::Int(value) => value.to_string(),
            ScriptArg::Float(value) => value.to_string(),
            ScriptArg::Bool(value) => value.to_string(),
            ScriptArg::Text(text) => text.clone(),
        }
    }
}

/// A variable that a statement declares or assigns.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: Type,
    /// Declared with `var`.
    pub is_var: bool,
    /// Is it new, rather than assigned?
    pub declares: bool,
}

/// What the host does for a statement.
#[derive(Clone, Debug)]
pub enum ScriptStep {
    /// Call the entry with the values of `inputs` (arrays where the parameter is `mut` are written in place). Its result is a tuple of the
    /// `outputs`, in order, then the value to show if `shown`; if there is neither, it has no result.
    Run {
        /// The statement as a function.
        program: Program,
        /// Variables to pass, in the order of the parameters.
        inputs: Vec<String>,
        /// Variables to keep.
        outputs: Vec<Output>,
        /// Is the last part of the result shown to the user?
        shown: bool,
    },
    /// Bind `name` to the array in the file.
    Load {
        /// The variable.
        name: String,
        /// Declared with `var`.
        is_var: bool,
        /// The file.
        path: String,
        /// The statement.
        span: Span,
    },
    /// Write an array to the file.
    Save {
        /// The file.
        path: String,
        /// The array.
        value: Saved,
        /// The statement.
        span: Span,
    },
    /// Bind `name` as another name for the array of `of`.
    Alias {
        /// The new name.
        name: String,
        /// The variable that owns the array.
        of: String,
    },
    /// Exchange arrays: `targets[k]` gets what `sources[k]` had.
    Swap {
        /// Variables.
        targets: Vec<String>,
        /// The same variables, permuted.
        sources: Vec<String>,
    },
    /// Take these steps in order and tell how long they took.
    Time(Vec<usize>),
    /// Nothing to do.
    Nothing,
}

/// What is saved.
#[derive(Clone, Debug)]
pub enum Saved {
    /// A variable.
    Variable(String),
    /// The only part of the result of the entry, called with `inputs`.
    Run {
        /// The value as a function.
        program: Program,
        /// Variables to pass.
        inputs: Vec<String>,
    },
}

/// What to do for statement `index`: 0 up to [`Checked::script_len`], and the steps of a [`ScriptStep::Time`]. `vars` are the variables that
/// exist now, `args` the command line's arguments.
///
/// # Errors
/// Everything that is wrong with the statement at these types.
pub fn script_step(
    checked: &Checked,
    index: usize,
    vars: &[ScriptVar],
    args: &[ScriptArg],
) -> Result<ScriptStep, Vec<Diagnostic>> {
    let Some(path) = checked.steps.get(index) else { return Ok(ScriptStep::Nothing) };
    let Some(stmt) = checked.step(path) else { return Ok(ScriptStep::Nothing) };
    let span = stmt.span;
    match &stmt.kind {
        ast::StmtKind::Error => return Ok(ScriptStep::Nothing),
        ast::StmtKind::Time(_) => {
            let inner = |step: &Vec<usize>| step.len() == path.len() + 1 && step.starts_with(path);
            let steps = (0..checked.steps.len()).filter(|index| inner(&checked.steps[*index])).collect();
            return Ok(ScriptStep::Time(steps));
        }
        ast::StmtKind::Bind { is_var, names, ty, value, .. } => {
            if let (Some(("load", [file])), [name]) = (file_call(value), names.as_slice()) {
                let path = file_name(file, args).map_err(|found| vec![*found])?;
                return Ok(ScriptStep::Load { name: name.text.clone(), is_var: *is_var, path, span });
            }
            if let (false, [name], None, ast::ExprKind::Name(of)) =
                (*is_var, names.as_slice(), ty, &value.kind)
                && let Some(var) = vars.iter().rev().find(|var| var.name == *of)
                && matches!(var.ty, Type::Array { .. })
            {
                return Ok(ScriptStep::Alias { name: name.text.clone(), of: owner(var).to_string() });
            }
        }
        ast::StmtKind::Assign { targets, op: None, value, .. } if targets.len() > 1 => {
            if let Some(swap) = swap(targets, value, vars, span) {
                return swap;
            }
        }
        ast::StmtKind::Expr(value) => {
            if let Some(("save", [file, value])) = file_call(value) {
                let path = file_name(file, args).map_err(|found| vec![*found])?;
                return save(checked, path, value, vars, args, span);
            }
        }
        _ => {}
    }
    let mut step = run(checked, &[stmt], vars, args, Presets::new())?;
    let presets = presets(checked, path, stmt, &step, vars, args);
    if !presets.is_empty() {
        step = run(checked, &[stmt], vars, args, presets)?;
    }
    Ok(ScriptStep::Run {
        program: step.program,
        inputs: step.inputs,
        outputs: step.outputs,
        shown: step.shown,
    })
}

type Presets = HashMap<u32, Estimate>;

struct Run {
    program: Program,
    inputs: Vec<String>,
    outputs: Vec<Output>,
    shown: bool,
    estimates: Presets,
}

fn owner(var: &ScriptVar) -> &str {
    var.alias_of.as_deref().unwrap_or(&var.name)
}

/// Variables that the statements use, owners only, and which of them are assigned as a whole.
fn used<'v>(stmts: &[&ast::Stmt], vars: &'v [ScriptVar]) -> (Vec<&'v ScriptVar>, Vec<bool>) {
    let table: HashMap<&str, &ScriptVar> = vars.iter().map(|var| (var.name.as_str(), var)).collect();
    let mut order: Vec<&ScriptVar> = Vec::new();
    let mut seen: HashSet<&str> = HashSet::new();
    let mut assigned: HashSet<&str> = HashSet::new();
    for stmt in stmts {
        visit::stmt(stmt, &mut |node| match node {
            Node::Expr(ast::Expr { kind: ast::ExprKind::Name(name), .. }) => {
                let root = table.get(name.as_str()).and_then(|var| table.get(owner(var)));
                if let Some(root) = root
                    && seen.insert(&root.name)
                {
                    order.push(root);
                }
            }
            Node::Stmt(ast::Stmt { kind: ast::StmtKind::Assign { targets, .. }, .. }) => {
                for target in targets {
                    if let ast::ExprKind::Name(name) = &target.kind
                        && let Some(var) = table.get(name.as_str())
                    {
                        assigned.insert(&var.name);
                    }
                }
            }
            Node::Expr(_) | Node::Stmt(_) => {}
        });
    }
    let marks = order.iter().map(|var| assigned.contains(var.name.as_str())).collect();
    (order, marks)
}

fn run(
    checked: &Checked,
    stmts: &[&ast::Stmt],
    vars: &[ScriptVar],
    args: &[ScriptArg],
    presets: Presets,
) -> Result<Run, Vec<Diagnostic>> {
    let (inputs, assigned) = used(stmts, vars);
    let body = ScriptBody { stmts, vars: &inputs, assigned: &assigned, args, names: vars, probe: false };
    let mut specs = specs(checked, body, presets);
    specs.run()?;
    let facts = std::mem::take(&mut specs.script_facts);
    let estimates = specs.estimates().clone();
    let declared =
        facts.declared.into_iter().map(|(name, ty, is_var)| Output { name, ty, is_var, declares: true });
    let assigned =
        facts.assigned.into_iter().map(|(name, ty)| Output { name, ty, is_var: true, declares: false });
    Ok(Run {
        outputs: declared.chain(assigned).collect(),
        shown: facts.shown,
        inputs: inputs.iter().map(|var| var.name.clone()).collect(),
        estimates,
        program: specs.program(),
    })
}

fn specs<'a>(checked: &'a Checked, body: ScriptBody<'a>, presets: Presets) -> Specs<'a> {
    let params = body.vars.iter().map(|var| var.ty.clone()).collect();
    let mut specs = Specs::new(checked);
    specs.script = Some(body);
    specs.add(
        Key { body: Body::Script, params, mode: StreamMode::Root, generator: Generator::default() },
        None,
    );
    specs.preset(presets);
    specs
}

// Types of literals that statements below decide.
fn presets(
    checked: &Checked,
    path: &[usize],
    stmt: &ast::Stmt,
    step: &Run,
    vars: &[ScriptVar],
    args: &[ScriptArg],
) -> Presets {
    let ast::StmtKind::Bind { is_var: true, names, .. } = &stmt.kind else { return Presets::new() };
    let open: Vec<&ast::Name> =
        names.iter().filter(|name| step.estimates.contains_key(&name.span.start)).collect();
    let last = open.iter().filter_map(|name| checked.last_touch.get(&name.text)).max();
    let Some(last) = last.copied().filter(|last| *last > path[0] || path.len() > 1) else {
        return Presets::new();
    };
    // from this statement on: the rest of the `time` blocks around it, then the statements below
    let mut below: Vec<&ast::Stmt> = vec![stmt];
    for depth in (1..path.len()).rev() {
        if let Some(ast::Stmt { kind: ast::StmtKind::Time(block), .. }) = checked.step(&path[..depth]) {
            below.extend(block.stmts.iter().skip(path[depth] + 1));
        }
    }
    below.extend(checked.stmts.iter().take(last + 1).skip(path[0] + 1));
    below.truncate(FURTHEST_STATEMENT);
    let (inputs, mut assigned) = used(&below, vars);
    assigned.fill(true);
    let body =
        ScriptBody { stmts: &below, vars: &inputs, assigned: &assigned, args, names: vars, probe: true };
    let mut specs = specs(checked, body, Presets::new());
    // what is wrong below will be reported when it runs
    let _ = specs.run();
    open.iter()
        .filter_map(|name| match specs.estimates().get(&name.span.start)?.read() {
            Number::Known(scalar) => Some((name.span.start, Estimate::of(scalar))),
            Number::Lit(..) => None,
        })
        .collect()
}

fn file_name(expr: &ast::Expr, args: &[ScriptArg]) -> Result<String, Box<Diagnostic>> {
    match &expr.kind {
        ast::ExprKind::Str(text) => Ok(text.clone()),
        ast::ExprKind::Field(_, field) => {
            let index = field.text.parse::<usize>().unwrap_or(usize::MAX);
            args.get(index).map(ScriptArg::text).ok_or_else(|| {
                Box::new(
                    Diagnostic::error(
                        format!("the script needs argument {}", index.saturating_add(1)),
                        expr.span,
                        format!("{} given", args.len()),
                    )
                    .help("write the arguments behind the script's name on the command line"),
                )
            })
        }
        _ => Err(Box::new(
            Diagnostic::error("the name of a file is a text", expr.span, "not a text")
                .help("write `\"x.npy\"` or `args.0`"),
        )),
    }
}

fn save(
    checked: &Checked,
    path: String,
    value: &ast::Expr,
    vars: &[ScriptVar],
    args: &[ScriptArg],
    span: Span,
) -> Result<ScriptStep, Vec<Diagnostic>> {
    let refuse = |ty: &Type| {
        Err(vec![
            Diagnostic::error(
                format!("`save` writes arrays, found {ty}"),
                value.span,
                format!("this is {ty}"),
            )
            .help("put numbers into an array: `let x = [a, b]`, or print them"),
        ])
    };
    if let ast::ExprKind::Name(name) = &value.kind
        && let Some(var) = vars.iter().rev().find(|var| var.name == *name)
    {
        return match &var.ty {
            Type::Array { .. } => {
                Ok(ScriptStep::Save { path, value: Saved::Variable(owner(var).to_string()), span })
            }
            ty => refuse(ty),
        };
    }
    let stmt = ast::Stmt { kind: ast::StmtKind::Expr(value.clone()), span: value.span };
    let run = run(checked, &[&stmt], vars, args, Presets::new())?;
    match (&run.program.funcs[0].result, run.shown) {
        (Type::Tuple(items), true) => match items.last() {
            Some(Type::Array { .. }) => Ok(ScriptStep::Save {
                path,
                value: Saved::Run { program: run.program, inputs: run.inputs },
                span,
            }),
            Some(ty) => refuse(ty),
            None => refuse(&Type::Unit),
        },
        _ => refuse(&Type::Unit),
    }
}

// An exchange of the script's arrays; `None` if no target is one.
fn swap(
    targets: &[ast::Expr],
    value: &ast::Expr,
    vars: &[ScriptVar],
    span: Span,
) -> Option<Result<ScriptStep, Vec<Diagnostic>>> {
    let array = |expr: &ast::Expr| match &expr.kind {
        ast::ExprKind::Name(name) => {
            vars.iter().rev().find(|var| var.name == *name && matches!(var.ty, Type::Array { .. }))
        }
        _ => None,
    };
    let found: Vec<Option<&ScriptVar>> = targets.iter().map(array).collect();
    if found.iter().all(Option::is_none) {
        return None;
    }
    let refuse = |title: String, help: String| {
        Some(Err(vec![Diagnostic::error(title, span, "exchanged here").help(help)]))
    };
    let values = match &value.kind {
        ast::ExprKind::Tuple(items) => items.iter().map(array).collect(),
        _ => Vec::new(),
    };
    let (Some(found), Some(values)) =
        (found.into_iter().collect::<Option<Vec<_>>>(), values.into_iter().collect::<Option<Vec<_>>>())
    else {
        return refuse(
            "arrays can only be exchanged among themselves".into(),
            "write `a, b = b, a` with the same arrays on both sides; store elements in a loop".into(),
        );
    };
    let names = |vars: &[&ScriptVar]| vars.iter().map(|var| var.name.clone()).collect::<Vec<String>>();
    let (targets, sources) = (names(&found), names(&values));
    let (mut left, mut right) = (targets.clone(), sources.clone());
    left.sort();
    right.sort();
    if left != right || left.windows(2).any(|pair| pair[0] == pair[1]) {
        return refuse(
            "both sides must name the same arrays, each once".into(),
            "write `a, b = b, a`; to copy, store the elements in a loop".into(),
        );
    }
    for var in &found {
        if !var.is_var || var.alias_of.is_some() {
            return refuse(
                format!("`{}` does not own its array, so it cannot be exchanged", var.name),
                format!("declare it with `var {} = …`, as a fresh array or a copy", var.name),
            );
        }
        if let Some(alias) = vars.iter().find(|alias| alias.alias_of.as_ref() == Some(&var.name)) {
            return refuse(
                format!("`{}` cannot be exchanged while `{}` is another name for it", var.name, alias.name),
                format!("copy it instead: `var {} = {}`", alias.name, var.name),
            );
        }
        if var.ty != found[0].ty {
            return refuse(
                format!("arrays of different types cannot be exchanged: {} and {}", found[0].ty, var.ty),
                "make both with one type and rank".into(),
            );
        }
    }
    Some(Ok(ScriptStep::Swap { targets, sources }))
}
