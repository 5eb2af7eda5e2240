//! What can go wrong, as one type.
//!
//! In: diagnostics, failed checks, refused resources. Out: [`Error`]. Holds: after any error the engine stays usable; an error
//! carries the source that it points into, so it can be shown anywhere.

use crate::render::{Style, render};
use crate::source::Source;
use kiln_lang::diag::Diagnostic;
use std::fmt;
use std::sync::Arc;

/// Why a call or a compile did not succeed.
#[derive(Debug, Clone)]
pub enum Error {
    /// The program is wrong: all findings of one run.
    Program(Findings),
    /// A check failed while the program ran: bounds, division by zero, sizes that disagree, ….
    Runtime(Findings),
    /// The deadline passed.
    Deadline,
    /// The call was cancelled.
    Cancelled,
    /// The call wanted more memory than its limit, or than the machine has.
    Memory {
        /// Bytes that were asked for.
        requested: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The host called it wrongly: an unknown function, arguments that do not fit.
    Call(String),
    /// A file could not be read or written.
    File(String),
    /// A bound of the compiler was met: code size, number of specialisations.
    Limit(String),
    /// A fault in Kiln itself or in a host callback; the engine goes on.
    Internal(String),
}

/// Diagnostics with the source that they point into.
#[derive(Debug, Clone)]
pub struct Findings {
    /// At least one.
    pub diagnostics: Vec<Diagnostic>,
    /// The source.
    pub source: Arc<Source>,
}

impl Error {
    /// As text for a person, with the source line where there is one.
    pub fn render(&self, style: Style) -> String {
        match self {
            Error::Program(findings) | Error::Runtime(findings) => {
                render(&findings.diagnostics, &findings.source, style)
            }
            Error::Deadline => titled(
                "the deadline passed; the call was stopped",
                "allow more time with `--timeout SECONDS` (or none)",
            ),
            Error::Cancelled => "error: interrupted; the call was stopped".to_string(),
            Error::Memory { requested, limit } => titled(
                &format!("out of memory: {} asked for, the limit is {}", bytes(*requested), bytes(*limit)),
                "allow more with `--memory MB`, or work on smaller arrays",
            ),
            Error::Call(text) | Error::File(text) | Error::Limit(text) => format!("error: {text}"),
            Error::Internal(text) => titled(
                &format!("internal error: {text}"),
                "this is a fault in Kiln; please report it with the program",
            ),
        }
    }
}

fn titled(title: &str, help: &str) -> String {
    format!("error: {title}\n  = help: {help}")
}

/// `12 bytes`, `3.5 MB`
fn bytes(count: u64) -> String {
    match count {
        0..1_000_000 => format!("{count} bytes"),
        1_000_000..1_000_000_000 => format!("{:.1} MB", count as f64 / 1e6),
        _ => format!("{:.1} GB", count as f64 / 1e9),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Style::Plain))
    }
}

impl std::error::Error for Error {}
