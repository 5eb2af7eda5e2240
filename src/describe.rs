//! What a failed check says.
//!
//! In: the site of a check and the values it left. Out: a diagnostic. Holds: the oracle's errors and compiled code's go through
//! this one function, so that tests can compare them as text.

use kiln_compiler::ir::{CheckKind, CheckSite};
use kiln_lang::diag::Diagnostic;

/// The message for a check that failed with these operand values (tested ones first, then the loop indices).
pub fn describe(site: &CheckSite, values: &[i64]) -> Diagnostic {
    let value = |at: usize| values.get(at).copied().unwrap_or_default();
    let (title, label, help) = match &site.kind {
        CheckKind::Bounds { array, axis } => {
            let (index, size) = (value(0), value(1));
            let help = match (index < 0, size) {
                (true, _) => "indices count from 0; the last element is at size - 1".to_string(),
                (false, 0) => "the array is empty".to_string(),
                (false, size) => format!("valid indices are 0 to {}", size - 1),
            };
            (
                format!("index {index} is out of range for axis {axis} of `{array}`, which has size {size}"),
                "out of range",
                Some(help),
            )
        }
        CheckKind::NonZero { op } => (
            format!("integer division by zero: the divisor of `{op}` is 0"),
            "the divisor is 0",
            Some("test the divisor first, or use floats: `/` by 0.0 gives inf or NaN".to_string()),
        ),
        CheckKind::Exponent => (
            format!("an integer cannot be raised to the negative power {}", value(0)),
            "the exponent is negative",
            Some("convert the base: `f64(x) ** k`".to_string()),
        ),
        CheckKind::Step => (
            "the step of a range is 0".to_string(),
            "this range would never end",
            Some("a step is positive or negative".to_string()),
        ),
        CheckKind::DrawRange => (
            format!("`rand_int({}, {})` has nothing to choose from", value(0), value(1)),
            "the range is empty",
            Some("the first bound must be less than the second, which is not drawn".to_string()),
        ),
        CheckKind::NotEmpty { of } => (
            format!("`{of}` of nothing has no value"),
            "there is no term",
            Some("test the count first, or start from a value: `min(start, …)`".to_string()),
        ),
        CheckKind::Size => {
            (format!("an array cannot have the size {}", value(0)), "the size is negative", None)
        }
        CheckKind::SameSize { found, wanted } => (
            format!("sizes disagree: {found} is {}, {wanted} is {}", value(0), value(1)),
            "these sizes must be equal",
            None,
        ),
        CheckKind::Entry { condition } => (
            format!("the iterations of this loop may collide: it needs {condition}"),
            "not so in this call",
            Some("call it with values for which the condition holds, or drop the annotation".to_string()),
        ),
        CheckKind::Domain { of, needs, show } => (
            match show {
                Some(scalar) if scalar.is_float() => {
                    format!("`{of}` needs {needs}, found {:?}", f64::from_bits(value(1) as u64))
                }
                Some(_) => format!("`{of}` needs {needs}, found {}", value(1)),
                None => format!("`{of}` needs {needs}"),
            },
            "outside what it can draw from",
            None,
        ),
        CheckKind::Unique { array } => (
            format!("`{array}` is not unique: its values at {} and {} are equal", value(1), value(0)),
            "promised by `@unique`",
            Some("drop the annotation, or remove the repetition".to_string()),
        ),
    };
    let mut diagnostic = Diagnostic::error(title, site.span, label);
    diagnostic = diagnostic.note(place(site, values));
    match help {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    }
}

/// "in `f`, at i = 3, j = 77"
fn place(site: &CheckSite, values: &[i64]) -> String {
    let mut text = format!("in `{}`", site.func);
    for (at, name) in site.indices.iter().enumerate() {
        let value = values.get(site.kind.tested() + at).copied().unwrap_or_default();
        text.push_str(if at == 0 { ", at " } else { ", " });
        text.push_str(&format!("{name} = {value}"));
    }
    text
}
