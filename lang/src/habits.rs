//! What a Python hand types by habit, and how Kiln spells it.
//!
//! In: a name, call or field that is not Kiln's. Out: a [`Diagnostic`] that shows the Kiln spelling, or nothing if it is no known habit.
//! Holds: only asked about names that the program does not define itself.

use crate::ast;
use crate::builtins;
use crate::diag::Diagnostic;
use crate::span::Span;
use crate::spell;

fn habit(what: &str, span: Span, kiln: impl Into<String>) -> Diagnostic {
    Diagnostic::error(format!("{what} is not Kiln's spelling"), span, "from another language").help(kiln)
}

/// Modules that Python programs import.
pub fn is_module(name: &str) -> bool {
    matches!(name, "np" | "numpy" | "math" | "jnp" | "random" | "torch" | "cp" | "nb" | "numba" | "cmath" | "scipy")
}

/// An unknown name.
pub fn name(text: &str, span: Span) -> Option<Diagnostic> {
    let kiln = match text {
        "True" => "write `true`",
        "False" => "write `false`",
        "None" | "null" | "nil" => "Kiln has no such value; return a flag beside the number: `return found, x`",
        "PI" | "π" => "write `pi`",
        "NaN" | "NAN" => "write `nan`",
        "Inf" | "INFINITY" | "Infinity" => "write `inf`",
        _ if is_module(text) => "Kiln needs no imports: write `exp(x)`, `pi`, `zeros(n, m)`",
        _ => return None,
    };
    Some(habit(&format!("`{text}`"), span, kiln))
}

/// A type that is not Kiln's.
pub fn type_name(text: &str) -> Option<&'static str> {
    Some(match text {
        "int" | "long" | "int64" | "isize" | "usize" | "Int" | "integer" | "i8" | "i16" => "i64",
        "float" | "double" | "float64" | "real" | "number" => "f64",
        "float32" | "single" => "f32",
        "int32" => "i32",
        "uint32" | "u8" | "u16" => "u32",
        "uint64" => "u64",
        "boolean" | "bool_" => "bool",
        _ => return None,
    })
}

/// A range written as `range(…)`.
fn range(args: &[ast::Expr]) -> Option<String> {
    let spell_at = |index: usize| spell::expr(&args[index]);
    Some(match args.len() {
        1 => format!("0..{}", spell_at(0)),
        2 => format!("{}..{}", spell_at(0), spell_at(1)),
        3 => format!("{}..{} step {}", spell_at(0), spell_at(1), spell_at(2)),
        _ => return None,
    })
}

/// A call of a function that neither the program nor Kiln has.
pub fn call(text: &str, args: &[ast::Expr], span: Span) -> Option<Diagnostic> {
    let first = args.first().map_or_else(|| "x".to_string(), spell::expr);
    let kiln = match text {
        "range" | "prange" | "xrange" | "arange_" => format!("write `{}`", range(args).unwrap_or("0..n".into())),
        "pow" | "power" => match args {
            [base, exponent] => format!("write `{} ** {}`", operand(base), operand(exponent)),
            _ => "write `x ** y`".into(),
        },
        "int" => format!("write `i64({first})`"),
        "float" | "double" => format!("write `f64({first})`"),
        "float32" => format!("write `f32({first})`"),
        "float64" => format!("write `f64({first})`"),
        "int64" => format!("write `i64({first})`"),
        "int32" => format!("write `i32({first})`"),
        "uint32" => format!("write `u32({first})`"),
        "uint64" => format!("write `u64({first})`"),
        "fabs" | "absolute" => format!("write `abs({first})`"),
        "ln" => format!("write `log({first})`"),
        "maximum" | "fmax" => format!("write `max({})`", spell::list(args)),
        "minimum" | "fmin" => format!("write `min({})`", spell::list(args)),
        "clip" => format!("write `clamp({})`", spell::list(args)),
        "size" | "length" => format!("write `len({first})`, or `shape({first}, 1)` for another axis"),
        "square" => format!("write `{} ** 2`", args.first().map_or("x".into(), operand)),
        "println" | "printf" | "puts" => format!("write `print({})`", spell::list(args)),
        "empty" | "zeros_like" => "write `zeros(n, m)` with the sizes".into(),
        "ones_like" => "write `ones(n, m)` with the sizes".into(),
        "array" | "asarray" => "write the elements: `let x = [1.0, 2.0]`".into(),
        "enumerate" | "zip" => "loop over the index: `for i in 0..len(x) { … x[i] … }`".into(),
        "random" => "write `rand()`".into(),
        "randint" | "integers" | "randrange" => "write `rand_int(lo, hi)`; `hi` is not included".into(),
        "isclose" | "allclose" => "write `abs(a - b) <= 1.0e-9`".into(),
        "input" => "pass numbers after the script's name and read them as `args.0`".into(),
        _ => return None,
    };
    Some(habit(&format!("`{text}({})`", if args.is_empty() { "" } else { "…" }), span, kiln))
}

// With parentheses around anything that is not a name, literal, call or element.
fn operand(expr: &ast::Expr) -> String {
    match &expr.kind {
        ast::ExprKind::Binary(..) | ast::ExprKind::Unary(..) | ast::ExprKind::Compare(..) => {
            format!("({})", spell::expr(expr))
        }
        _ => spell::expr(expr),
    }
}

/// `np.exp(x)`, `x.sum()`: a call through a point. `module` says that what stands before the point is a Python module.
pub fn method(base: &ast::Expr, field: &ast::Name, args: &[ast::Expr], module: bool, span: Span) -> Diagnostic {
    let spelled = spell::expr(base);
    let text = field.text.as_str();
    if module {
        let shown = format!("`{spelled}.{text}(…)`");
        if let ([ast::Expr { kind: ast::ExprKind::Tuple(sizes), .. }], "zeros" | "ones" | "empty") = (args, text) {
            let name = if text == "empty" { "zeros" } else { text };
            return habit(&shown, span, format!("write `{name}({})`", spell::list(sizes)));
        }
        if let Some(mut found) = call(text, args, span) {
            found.title = format!("{shown} is not Kiln's spelling");
            return found;
        }
        if builtins::lookup(text).is_some() {
            return habit(&shown, span, format!("write `{text}({})`", spell::list(args)));
        }
        if let Some(instead) = builtins::later(text) {
            return habit(&shown, span, format!("Kiln has no `{text}` yet; today: {instead}"));
        }
        return habit(&shown, span, "Kiln needs no imports: write `exp(x)`, `pi`, `zeros(n, m)`");
    }
    let shown = format!("`{spelled}.{text}()`");
    match text {
        "sum" | "prod" | "min" | "max" | "mean" | "any" | "all" | "argmin" | "argmax" | "copy" => {
            habit(&shown, span, format!("write `{text}({spelled})`"))
        }
        "astype" => habit(&shown, span, "convert the elements in a loop: `y[i] = f32(x[i])`"),
        "append" | "push" => habit(&shown, span, "arrays have a fixed size: make one with `zeros(n)` and write its elements"),
        "dot" => habit(&shown, span, format!("write `{}`", builtins::later("dot").unwrap_or_default().trim_matches('`'))),
        "reshape" | "flatten" | "ravel" | "transpose" => {
            habit(&shown, span, format!("copy the elements in a loop: {}", builtins::later("reshape").unwrap_or_default()))
        }
        _ => Diagnostic::error(format!("{shown}: Kiln has no methods"), span, "called through a point")
            .help(format!("functions stand in front: `{text}({spelled})`")),
    }
}

/// `x.shape`, `x.T`, `np.pi`: a field that is not a tuple's. `index` is what stands behind it in brackets.
pub fn field(base: &ast::Expr, field: &ast::Name, index: Option<&ast::Expr>, module: bool, span: Span) -> Diagnostic {
    let spelled = spell::expr(base);
    let text = field.text.as_str();
    let shown = format!("`{spelled}.{text}`");
    if module {
        return match text {
            "pi" | "inf" | "nan" => habit(&shown, span, format!("write `{text}`")),
            "e" => habit(&shown, span, "write `exp(1)`"),
            _ => match type_name(text) {
                Some(kiln) => habit(&shown, span, format!("write `{kiln}`")),
                None => habit(&shown, span, "Kiln needs no imports: write `exp(x)`, `pi`, `zeros(n, m)`"),
            },
        };
    }
    match (text, index) {
        ("shape", Some(axis)) => {
            habit(&format!("{shown}[{}]", spell::expr(axis)), span, format!("write `shape({spelled}, {})`", spell::expr(axis)))
        }
        ("shape", None) => habit(&shown, span, format!("write `shape({spelled})`, or `shape({spelled}, 0)` for one axis")),
        ("size" | "length", _) => habit(&shown, span, format!("write `len({spelled})`; for more axes multiply `shape({spelled}, k)`")),
        ("T", _) => habit(
            &shown,
            span,
            format!("read the element the other way round: `{spelled}[j, i]`; there are no transposed views yet"),
        ),
        ("dtype" | "ndim", _) => habit(&shown, span, "types and ranks are known from the call; declare them: `x: [f64; n, m]`"),
        ("real" | "imag", _) => habit(&shown, span, "there are no complex numbers yet; keep the two parts in two floats"),
        _ => Diagnostic::error(format!("{shown}: only tuples have fields, and they are numbers"), span, "not a field")
            .help("write `t.0`, `t.1` for the parts of a tuple"),
    }
}

/// Of `candidates`, the one most like `text`, if it is like it at all.
pub fn nearest<'a>(text: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let letters: Vec<char> = text.chars().take(40).collect();
    let limit = match letters.len() {
        0..=2 => 0,
        3..=5 => 1,
        _ => 2,
    };
    candidates
        .filter(|candidate| candidate.len().abs_diff(text.len()) <= 4 && *candidate != text)
        .map(|candidate| (distance(&letters, candidate), candidate))
        .filter(|(distance, candidate)| {
            *distance <= limit || (letters.len() > 1 && candidate.eq_ignore_ascii_case(text))
        })
        .min()
        .map(|(_, candidate)| candidate)
}

// Damerau–Levenshtein, optimal string alignment.
fn distance(left: &[char], right: &str) -> usize {
    let right: Vec<char> = right.chars().take(44).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..=right.len()).collect();
    for i in 1..=left.len() {
        let mut current = vec![i];
        for j in 1..=right.len() {
            let change = previous[j - 1] + usize::from(left[i - 1] != right[j - 1]);
            let mut best = change.min(previous[j] + 1).min(current[j - 1] + 1);
            if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut previous, current);
    }
    previous[right.len()]
}
