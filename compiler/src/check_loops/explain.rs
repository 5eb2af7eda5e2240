//! Races in words: what collides, where, in which iterations, and the ways out.
//!
//! In: two accesses and how they meet. Out: [`Diagnostic`]s; conditions in words.
//! Holds: names are those of the source; numbers come from a witness that has been evaluated.

use super::access::{Access, Deed, Place};
use super::affine::{Atom, Kind, Model, Poly};
use super::collide::{Clause, Prepared, Test};
use super::witness::{Witness, index_variable, size_name};
use crate::ir::{Def, Func, OpCode, OpId, Program, Value};
use kiln_lang::diag::Diagnostic;
use kiln_lang::tree::Const;

/// One of the two accesses of a race.
#[derive(Clone, Copy)]
pub struct Party<'p> {
    /// The access.
    pub access: &'p Access,
    /// The same as polynomials.
    pub prepared: &'p Prepared,
}

/// Why the loop is not accepted. `a` writes; `b` may be the same access.
pub fn race(program: &Program, model: &Model, a: Party, b: Party, witness: Option<&Witness>) -> Diagnostic {
    let func = model.func;
    let array = array_name(func, a.access);
    let is_same = a.access.op == b.access.op;
    let title = match (witness, &a.access.place, &b.access.place) {
        (_, Place::Call(callee), _) => {
            let callee = &program.funcs[callee.index()].name;
            format!("every iteration of this loop calls `{callee}`, which may write all of `{array}`")
        }
        (_, _, Place::Call(callee)) => {
            let callee = &program.funcs[callee.index()].name;
            format!(
                "every iteration of this loop calls `{callee}`, which may read all of `{array}` while others write to it"
            )
        }
        (_, Place::Whole, _) | (_, _, Place::Whole) => {
            format!("this loop reads all of `{array}` while other iterations write to it")
        }
        (Some(witness), _, _) => collision(&array, a.access, b.access, witness),
        (None, _, _) => doubt(model, &array, a, b, is_same),
    };
    let mut diagnostic = Diagnostic::error(title, func.op(a.access.op).span, label(func, a.access));
    if !is_same {
        diagnostic = diagnostic.with(func.op(b.access.op).span, label(func, b.access));
    }
    if let OpCode::For(data) = &func.op(model.home).code {
        diagnostic =
            diagnostic.with(data.span, "iterations of this loop may run in any order, and at the same time");
    }
    if let Some(witness) = witness
        && !witness.with.is_empty()
    {
        let with: Vec<String> =
            witness.with.iter().map(|(name, value)| format!("`{name}` = {value}")).collect();
        diagnostic = diagnostic.note(format!("this happens for example with {}", with.join(", ")));
    }
    ways_out(diagnostic, model, &array, a, b)
}

fn label(func: &Func, access: &Access) -> String {
    let what = match &access.place {
        Place::Element(_) => describe_access(func, access),
        Place::Call(_) | Place::Whole => format!("`{}`", array_name(func, access)),
    };
    match (access.deed, &access.place) {
        (_, Place::Call(_)) if access.deed.writes() => format!("{what} is passed to be written here"),
        (Deed::Read, _) => format!("{what} is read here"),
        (Deed::Write, _) => format!("{what} is written here"),
        (Deed::Update(_), _) => format!("{what} is updated here"),
    }
}

fn collision(array: &str, a: &Access, b: &Access, witness: &Witness) -> String {
    let iterations: Vec<String> = witness.iterations.iter().map(|indices| tuple(indices)).collect();
    let numbers: Vec<String> = witness.element.iter().map(i128::to_string).collect();
    let element = format!("`{array}[{}]`", numbers.join(", "));
    let may = if witness.is_certain { "" } else { "may " };
    if b.deed.writes() {
        let verb = match (a.deed, b.deed) {
            (Deed::Update(_), Deed::Update(_)) => "update",
            _ => "write",
        };
        let mut ordered = iterations;
        if witness.iterations[0] > witness.iterations[1] {
            ordered.reverse();
        }
        return format!(
            "iterations {} and {} of this loop {may}both {verb} {element}",
            ordered[0], ordered[1]
        );
    }
    let (writes, reads) = if witness.is_certain { ("writes", "reads") } else { ("may write", "may read") };
    format!(
        "iteration {} of this loop {writes} {element}, which iteration {} {reads}",
        iterations[0], iterations[1]
    )
}

fn tuple(indices: &[i128]) -> String {
    match indices {
        [index] => index.to_string(),
        _ => format!("({})", indices.iter().map(i128::to_string).collect::<Vec<_>>().join(", ")),
    }
}

fn doubt(model: &Model, array: &str, a: Party, b: Party, is_same: bool) -> String {
    let func = model.func;
    if is_same || a.access.place == b.access.place {
        let opaque = a.prepared.opaque_index(model).and_then(|index| describe(func, index, 0));
        return match opaque {
            Some(index) => {
                format!(
                    "cannot tell whether `{index}` repeats: two iterations of this loop may write the same element of `{array}`"
                )
            }
            None => {
                format!("cannot tell whether two iterations of this loop write the same element of `{array}`")
            }
        };
    }
    format!(
        "cannot tell whether {} and {} are different elements in different iterations of this loop",
        describe_access(func, a.access),
        describe_access(func, b.access)
    )
}

fn ways_out(diagnostic: Diagnostic, model: &Model, array: &str, a: Party, b: Party) -> Diagnostic {
    let func = model.func;
    let mut diagnostic = diagnostic;
    let are_elements = matches!((&a.access.place, &b.access.place), (Place::Element(_), Place::Element(_)));
    let promised = match &func.op(model.home).code {
        OpCode::For(data) => data.unique.clone(),
        _ => Vec::new(),
    };
    for party in [a, b] {
        let opaque = party.prepared.opaque_index(model);
        let Some(values) = opaque.and_then(|index| loaded_array(func, index, 0)) else { continue };
        let Some(name) = func.values[values.index()].name.as_deref() else { continue };
        if !promised.contains(&values) {
            let help = format!(
                "if the values of `{name}` are all different, say so with `@unique({name})`: it is tested before the loop"
            );
            if !diagnostic.helps.contains(&help) {
                diagnostic = diagnostic.help(help);
            }
        } else if model.is_written(values) {
            diagnostic =
                diagnostic.note(format!("`@unique({name})` does not help here: the loop writes to `{name}`"));
        }
    }
    if are_elements && b.access.deed.writes() {
        diagnostic = diagnostic.help(format!(
            "to combine values, update `{array}` in this loop by one operator only, as in `{array}[…] += …`: that is a reduction"
        ));
    }
    if b.access.deed == Deed::Read {
        diagnostic = diagnostic.help(format!(
            "to read the values from before the loop, read from a copy: `let old = copy({array})`"
        ));
    }
    if !are_elements || a.prepared.is_fixed(model) {
        diagnostic = diagnostic.help(format!(
            "if `{array}` is scratch space, declare it inside the loop: each iteration then has its own"
        ));
    }
    diagnostic.help("without the annotation the loop runs in order")
}

/// The name of the array in the source.
pub fn array_name(func: &Func, access: &Access) -> String {
    let name = |value: Value| func.values[value.index()].name.as_ref().map(|name| name.to_string());
    let of_root = || access.roots.first().and_then(|&root| name(root));
    name(access.array).or_else(of_root).unwrap_or_else(|| "the array".into())
}

fn describe_access(func: &Func, access: &Access) -> String {
    let array = array_name(func, access);
    let Place::Element(indices) = &access.place else { return format!("`{array}`") };
    let indices: Vec<String> =
        indices.iter().map(|&index| describe(func, index, 0).unwrap_or_else(|| "…".into())).collect();
    format!("`{array}[{}]`", indices.join(", "))
}

/// A value as it may have been written.
pub fn describe(func: &Func, value: Value, depth: usize) -> Option<String> {
    let data = &func.values[value.index()];
    if let Some(name) = &data.name {
        return Some(name.to_string());
    }
    let op = func.op(func.def_op(value)?);
    if depth > 6 {
        return None;
    }
    let inner = |at: usize| describe(func, op.args[at], depth + 1);
    let infix = |symbol: &str, binds: u8| -> Option<String> {
        let operand = |at: usize| -> Option<String> {
            let text = describe(func, op.args[at], depth + 1)?;
            let looser = precedence(func, op.args[at])
                .is_some_and(|other| other < binds || (other == binds && at == 1));
            Some(if looser { format!("({text})") } else { text })
        };
        Some(format!("{}{symbol}{}", operand(0)?, operand(1)?))
    };
    match &op.code {
        OpCode::Const(Const::I32(value)) => Some(value.to_string()),
        OpCode::Const(Const::I64(value)) => Some(value.to_string()),
        OpCode::Const(Const::U32(value)) => Some(value.to_string()),
        OpCode::Const(Const::U64(value)) => Some(value.to_string()),
        OpCode::Add => infix(" + ", 1),
        OpCode::Sub => infix(" - ", 1),
        OpCode::Mul => infix("*", 2),
        OpCode::FloorDiv => infix(" // ", 2),
        OpCode::Rem => infix(" % ", 2),
        OpCode::Neg => Some(format!("-{}", inner(0)?)),
        OpCode::Min => Some(format!("min({}, {})", inner(0)?, inner(1)?)),
        OpCode::Max => Some(format!("max({}, {})", inner(0)?, inner(1)?)),
        OpCode::Convert => inner(0),
        OpCode::Load => {
            let indices: Option<Vec<String>> = (1..op.args.len()).map(inner).collect();
            Some(format!("{}[{}]", func.values[op.args[0].index()].name.as_ref()?, indices?.join(", ")))
        }
        OpCode::Dim { axis } => size_name(func, op.args[0], *axis).map(|name| name.to_string()),
        _ => None,
    }
}

/// How tightly the outermost operator of an expression without a name binds; `None` if it has none.
fn precedence(func: &Func, value: Value) -> Option<u8> {
    if func.values[value.index()].name.is_some() {
        return None;
    }
    match func.op(func.def_op(value)?).code {
        OpCode::Add | OpCode::Sub => Some(1),
        OpCode::Mul | OpCode::FloorDiv | OpCode::Rem => Some(2),
        _ => None,
    }
}

/// The array of integers that an index is read from.
fn loaded_array(func: &Func, index: Value, depth: usize) -> Option<Value> {
    let id: OpId = func.def_op(index)?;
    let op = func.op(id);
    match op.code {
        OpCode::Load if op.args.len() == 2 => Some(op.args[0]),
        OpCode::Convert | OpCode::Add | OpCode::Sub | OpCode::Mul if depth < 6 => {
            op.args.iter().find_map(|&arg| loaded_array(func, arg, depth + 1))
        }
        _ => None,
    }
}

/// Conditions in words: "`c` is not 0", "`d` = 0 or |`d`| >= `n`".
pub fn clauses(model: &Model, clauses: &[Clause]) -> String {
    let (not_zero, others): (Vec<&Clause>, Vec<&Clause>) =
        clauses.iter().partition(|clause| matches!(clause.tests.as_slice(), [Test::NonZero(_)]));
    if let [first, second] = others.as_slice() {
        let is_not_zero = |d: &Poly| {
            let minus = Poly::default().plus(d, -1);
            not_zero.iter().any(|clause| {
                matches!(clause.tests.as_slice(), [Test::NonZero(poly)] if poly == d || Some(poly) == minus.as_ref())
            })
        };
        let words = [(first, second), (second, first)].into_iter().find_map(|(first, second)| {
            let (d, n) = distance(first, second)?;
            let d = if d.terms.last()?.1 < 0 { Poly::default().plus(&d, -1)? } else { d };
            let (name, far) = (quoted(model, &d), quoted(model, &n));
            match not_zero.len() {
                0 => Some(format!("{name} = 0 or |{name}| >= {far}")),
                1 if is_not_zero(&d) => Some(format!("|{name}| >= {far}")),
                _ => None,
            }
        });
        if let Some(words) = words {
            return words;
        }
    }
    let words: Vec<String> = clauses
        .iter()
        .map(|clause| {
            let tests: Vec<String> = clause.tests.iter().map(|test| words_of(model, test)).collect();
            let text = tests.join(" or ");
            if tests.len() > 1 && clauses.len() > 1 { format!("({text})") } else { text }
        })
        .collect();
    words.join(" and ")
}

/// d and n, if the clauses are: -d >= 0 or d - n >= 0; and d >= 0 or -d - n >= 0.
fn distance(first: &Clause, second: &Clause) -> Option<(Poly, Poly)> {
    let polys = |clause: &Clause| -> Option<Vec<Poly>> {
        let poly = |test: &Test| match test {
            Test::NonNegative(poly) => Some(poly.clone()),
            Test::NonZero(_) => None,
        };
        clause.tests.iter().map(poly).collect()
    };
    let (first, second) = (polys(first)?, polys(second)?);
    let ([_, _], [_, _]) = (first.as_slice(), second.as_slice()) else { return None };
    let minus = |poly: &Poly| Poly::default().plus(poly, -1);
    let d = second.iter().find(|d| minus(d).is_some_and(|minus| first.contains(&minus)))?;
    let far = first.iter().find(|&poly| Some(poly) != minus(d).as_ref())?;
    let n = minus(&far.plus(d, -1)?)?;
    let is_mirrored = second.contains(&minus(d)?.plus(&n, -1)?);
    is_mirrored.then(|| (d.clone(), n))
}

fn words_of(model: &Model, test: &Test) -> String {
    let (poly, symbol) = match test {
        Test::NonNegative(poly) => (poly, ">="),
        Test::NonZero(poly) => (poly, "!="),
    };
    let (mut left, mut right) = (Poly::default(), Poly::default());
    for (monomial, factor) in &poly.terms {
        let is_left = if monomial.is_empty() { false } else { *factor > 0 };
        if is_left {
            left.terms.push((monomial.clone(), *factor));
        } else {
            right.terms.push((monomial.clone(), -factor));
        }
    }
    if left.terms.is_empty() {
        // 0 >= n - c is n <= c
        let constant = right.constant_term();
        right.terms.retain(|(monomial, _)| !monomial.is_empty());
        let symbol = if symbol == ">=" { "<=" } else { symbol };
        return format!("{} {symbol} {}", quoted(model, &right), -constant);
    }
    format!("{} {symbol} {}", quoted(model, &left), quoted(model, &right))
}

/// Code in backquotes, numbers without.
fn quoted(model: &Model, poly: &Poly) -> String {
    match poly.as_constant() {
        Some(constant) => constant.to_string(),
        None => format!("`{}`", text(model, poly)),
    }
}

/// A polynomial in the names of the source.
fn text(model: &Model, poly: &Poly) -> String {
    let mut text = String::new();
    for (monomial, factor) in poly.terms.iter().rev() {
        let names: Vec<String> = monomial.iter().map(|&atom| atom_text(model, atom)).collect();
        let sign = match (text.is_empty(), *factor < 0) {
            (true, true) => "-",
            (true, false) => "",
            (false, true) => " - ",
            (false, false) => " + ",
        };
        text.push_str(sign);
        let magnitude = factor.unsigned_abs();
        if magnitude != 1 || names.is_empty() {
            text.push_str(&magnitude.to_string());
            if !names.is_empty() {
                text.push('*');
            }
        }
        text.push_str(&names.join("*"));
    }
    if text.is_empty() { "0".into() } else { text }
}

fn atom_text(model: &Model, atom: Atom) -> String {
    atom_name(model, atom).unwrap_or_else(|| "…".into())
}

/// The name of an atom in the source: a variable, an index that counts from 0, a size.
pub fn atom_name(model: &Model, atom: Atom) -> Option<String> {
    let func = model.func;
    match &model.atom(atom).kind {
        Kind::Value(value) => describe(func, *value, 0).or_else(|| {
            let Def::Param(region, position) = func.values[value.index()].def else { return None };
            let (op, axis) = model.nest.ordinal_of(func, region, position)?;
            let index = index_variable(func, model.nest, op, axis);
            let is_ordinal = model.seen(index).and_then(Poly::as_atom) == Some(atom);
            func.values[index.index()].name.as_ref().filter(|_| is_ordinal).map(|name| name.to_string())
        }),
        Kind::Size(array, axis) => {
            size_name(func, *array, *axis).map(|name| name.to_string()).or_else(|| {
                let name = func.values[array.index()].name.as_ref()?;
                Some(format!("size of {name} along axis {axis}"))
            })
        }
        Kind::Load(..) | Kind::Apply(..) | Kind::Quotient(..) | Kind::Remainder(..) | Kind::Helper(..) => {
            None
        }
    }
}
