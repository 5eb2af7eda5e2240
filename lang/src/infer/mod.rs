//! Specialises functions: a checked module and the types of a call become a typed tree.
//!
//! In: [`Checked`], the name of a function, the types of the arguments. Out: [`tree::Program`], or all that is wrong with it.
//! Holds: SEMANTICS section 2. A function's body is walked again until the types of its variables no longer change; the last walk
//! gives the tree. Functions wait for the functions they call on an explicit stack, so the depth of calls costs no stack;
//! specialisations are shared, so the number of paths through the calls does not matter.

mod bind;
mod builtin;
mod call;
mod expr;
mod literal;
mod prune;
mod sample;
mod stmt;
mod text;
pub(crate) mod ty;
mod walk;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod verify;

pub use text::tree_text;

use crate::ast;
use crate::diag::Diagnostic;
use crate::resolve::Checked;
use crate::samplers;
use crate::script::{ScriptArg, ScriptVar};
use crate::span::Span;
use crate::tree::{self, StreamMode};
use crate::types::{Generator, Type};
use std::collections::{HashMap, HashSet};
use ty::Estimate;

/// The most specialisations in one program.
pub const MAX_SPECIALISATIONS: usize = 256;
/// How often a body is walked before its types must be settled.
const MAX_WALKS: usize = 64;
/// The most findings that are reported at once.
const MOST_FINDINGS: usize = 100;

/// Specialises `func` for arguments of these types, with all that it calls; it is `funcs[0]` of the program.
/// Scalars may have narrower types than the parameters: the entry's locals tell what to convert them to.
///
/// # Errors
/// Everything that is wrong with the bodies at these types.
pub fn infer(checked: &Checked, func: &str, args: &[Type]) -> Result<tree::Program, Vec<Diagnostic>> {
    let Some(index) = checked.by_name.get(func).copied() else {
        let span = Span::new(checked.source, 0, 0);
        let names = checked.funcs.iter().map(|func| func.ast.name.text.as_str());
        let diagnostic =
            Diagnostic::error(format!("there is no function `{func}`"), span, "not in this module");
        return Err(vec![match crate::habits::nearest(func, names) {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None => diagnostic.help("call one of the module's functions"),
        }]);
    };
    let params = bind::entry_params(checked, index, args)?;
    let mode = if checked.funcs[index].draws { StreamMode::Root } else { StreamMode::None };
    let mut specs = Specs::new(checked);
    specs.add(Key { body: Body::Func(index), params, mode, generator: Generator::default() }, None);
    specs.run()?;
    Ok(specs.program())
}

/// Which version of which body.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub body: Body,
    pub params: Vec<Type>,
    pub mode: StreamMode,
    /// Of the stream that the caller draws from; the default if the function does not draw from it.
    pub generator: Generator,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Body {
    Func(usize),
    /// A function of [`crate::samplers`].
    Sampler(usize),
    /// The statements of [`ScriptBody`].
    Script,
}

/// Statements of a script that run as one function.
#[derive(Clone, Copy)]
pub(crate) struct ScriptBody<'a> {
    pub stmts: &'a [&'a ast::Stmt],
    /// Variables that the statements use: the parameters, in order.
    pub vars: &'a [&'a ScriptVar],
    /// Of these, the scalars and tuples that the statements assign.
    pub assigned: &'a [bool],
    pub args: &'a [ScriptArg],
    pub names: &'a [ScriptVar],
    /// Only the types of variables are wanted, not a program.
    pub probe: bool,
}

/// What a walk over a script's statements found, besides the tree.
#[derive(Clone, Debug, Default)]
pub(crate) struct ScriptFacts {
    /// New variables with their types, then whether a value is shown.
    pub declared: Vec<(String, Type, bool)>,
    pub shown: bool,
    /// The script variables that the statement assigns, in the order of their results.
    pub assigned: Vec<(String, Type)>,
}

/// A specialisation.
struct Spec {
    key: Key,
    /// Where it was first asked for.
    asked: Option<Span>,
    estimates: HashMap<u32, Estimate>,
    /// The result that its returns are converted to, if it is not declared.
    assumed: Option<Type>,
    walks: usize,
    callees: Vec<usize>,
    state: State,
}

enum State {
    Open,
    Done(Box<tree::Func>),
    /// Its own findings; none if only a callee failed.
    Failed(Vec<Diagnostic>),
}

/// All specialisations of a program.
pub(crate) struct Specs<'a> {
    pub checked: &'a Checked,
    pub script: Option<ScriptBody<'a>>,
    pub script_facts: ScriptFacts,
    list: Vec<Spec>,
    memo: HashMap<Key, usize>,
}

/// What is known of a callee.
pub(crate) enum Callee {
    Done(usize, Type),
    Failed(usize),
    Missing,
    /// There are too many already.
    TooMany,
}

impl<'a> Specs<'a> {
    pub fn new(checked: &'a Checked) -> Specs<'a> {
        Specs {
            checked,
            script: None,
            script_facts: ScriptFacts::default(),
            list: Vec::new(),
            memo: HashMap::new(),
        }
    }

    pub fn add(&mut self, key: Key, asked: Option<Span>) -> usize {
        let index = self.list.len();
        self.memo.insert(key.clone(), index);
        self.list.push(Spec {
            key,
            asked,
            estimates: HashMap::new(),
            assumed: None,
            walks: 0,
            callees: Vec::new(),
            state: State::Open,
        });
        index
    }

    pub fn preset(&mut self, estimates: HashMap<u32, Estimate>) {
        self.list[0].estimates = estimates;
    }

    pub fn estimates(&self) -> &HashMap<u32, Estimate> {
        &self.list[0].estimates
    }

    pub fn find(&self, key: &Key) -> Callee {
        match self.memo.get(key) {
            Some(index) => match &self.list[*index].state {
                State::Done(func) => Callee::Done(*index, func.result.clone()),
                State::Failed(_) => Callee::Failed(*index),
                State::Open => Callee::Missing,
            },
            None if self.list.len() >= MAX_SPECIALISATIONS => Callee::TooMany,
            None => Callee::Missing,
        }
    }

    /// Infers the entry and all that it needs.
    pub fn run(&mut self) -> Result<(), Vec<Diagnostic>> {
        let mut stack = vec![0];
        while let Some(index) = stack.last().copied() {
            if !matches!(self.list[index].state, State::Open) {
                stack.pop();
                continue;
            }
            let needs = self.walk(index);
            for (key, span) in needs {
                let known = self.memo.get(&key).copied();
                if known.is_none() && self.list.len() >= MAX_SPECIALISATIONS {
                    continue;
                }
                let callee = known.unwrap_or_else(|| self.add(key, Some(span)));
                // One that waits further down comes up again: a function that waits for it stands above it. No function waits for itself, since
                // recursion has been refused.
                if matches!(self.list[callee].state, State::Open) {
                    stack.push(callee);
                }
            }
        }
        self.findings()
    }

    // One walk over a body. What it returns must be inferred before the next.
    fn walk(&mut self, index: usize) -> Vec<(Key, Span)> {
        let spec = &mut self.list[index];
        let estimates = std::mem::take(&mut spec.estimates);
        let (key, assumed) = (spec.key.clone(), spec.assumed.clone());
        let out = walk::walk(self, &key, estimates, assumed);
        let spec = &mut self.list[index];
        spec.estimates = out.estimates;
        spec.callees = out.callees;
        if !out.needs.is_empty() {
            return out.needs;
        }
        spec.walks += 1;
        let mut again = out.changed;
        if let Some(assumed) = out.assumed {
            spec.assumed = Some(assumed);
            again = true;
        }
        if !again {
            for estimate in spec.estimates.values_mut() {
                again |= estimate.close();
            }
            // nothing left to close: what still waits has been reported
        }
        if again && spec.walks < MAX_WALKS {
            return Vec::new();
        }
        if again && out.found.is_empty() {
            let span = out.func.span;
            spec.state = State::Failed(vec![
                Diagnostic::error(
                    "the types of these variables depend on each other in too long a chain",
                    span,
                    "in this function",
                )
                .help("give some of them a type: `var x: f64 = 0`"),
            ]);
            return Vec::new();
        }
        spec.state = if out.found.is_empty() && !out.failed_callee {
            State::Done(Box::new(out.func))
        } else {
            State::Failed(out.found)
        };
        if index == 0 {
            self.script_facts = out.script_facts;
        }
        Vec::new()
    }

    // The findings of all specialisations that the entry reaches.
    fn findings(&mut self) -> Result<(), Vec<Diagnostic>> {
        let mut found: Vec<Diagnostic> = Vec::new();
        // versions of one function share their mistakes
        let mut seen: HashSet<(Span, &str)> = HashSet::new();
        for index in self.reachable() {
            let spec = &self.list[index];
            let State::Failed(own) = &spec.state else { continue };
            let shown = self.shown(&spec.key);
            for diagnostic in own {
                if !seen.insert((diagnostic.primary.span, &diagnostic.title)) {
                    continue;
                }
                let mut diagnostic = diagnostic.clone();
                if let (Some(asked), Some(shown)) = (spec.asked, &shown) {
                    diagnostic = diagnostic.with(asked, format!("called here as `{shown}`"));
                }
                found.push(diagnostic);
            }
        }
        found.truncate(MOST_FINDINGS);
        if !found.is_empty() {
            return Err(found);
        }
        if matches!(self.list[0].state, State::Failed(_)) {
            let span = Span::new(self.checked.source, 0, 0);
            return Err(vec![Diagnostic::error("a function that is called here has errors", span, "")]);
        }
        Ok(())
    }

    fn shown(&self, key: &Key) -> Option<String> {
        let name = match key.body {
            Body::Func(index) => &self.checked.funcs[index].ast.name.text,
            Body::Sampler(index) => &samplers::checked().funcs[index].ast.name.text,
            Body::Script => return None,
        };
        let types: Vec<String> = key.params.iter().map(Type::to_string).collect();
        Some(format!("{name}({})", types.join(", ")))
    }

    // The entry first, then in the order of calls.
    fn reachable(&self) -> Vec<usize> {
        let mut seen = vec![false; self.list.len()];
        let mut order = vec![0];
        seen[0] = true;
        let mut next = 0;
        while next < order.len() {
            for callee in &self.list[order[next]].callees {
                if !std::mem::replace(&mut seen[*callee], true) {
                    order.push(*callee);
                }
            }
            next += 1;
        }
        order
    }

    /// The program, after [`Specs::run`] has found no errors.
    pub fn program(mut self) -> tree::Program {
        let order = self.reachable();
        let mut numbers = vec![0; self.list.len()];
        for (number, index) in order.iter().enumerate() {
            numbers[*index] = number as u32;
        }
        let mut funcs = Vec::with_capacity(order.len());
        for index in order {
            if let State::Done(func) = std::mem::replace(&mut self.list[index].state, State::Open) {
                let mut func = *func;
                prune::renumber(&mut func, &numbers);
                funcs.push(func);
            }
        }
        tree::Program { funcs }
    }
}

/// What one walk over a body gives.
pub(crate) struct Outcome {
    pub func: tree::Func,
    pub estimates: HashMap<u32, Estimate>,
    /// Some estimate rose: walk again.
    pub changed: bool,
    /// The returns have different types, to be converted to this one: walk again.
    pub assumed: Option<Type>,
    pub needs: Vec<(Key, Span)>,
    pub callees: Vec<usize>,
    pub failed_callee: bool,
    pub found: Vec<Diagnostic>,
    pub script_facts: ScriptFacts,
}
