//! A named text.
//!
//! In: a file's name and text. Out: what diagnostics point into. Holds: the text has passed the lexer's check of encoding and size.

use kiln_lang::span::{Span, line_column};

/// Source text with the name that messages show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// For example `examples/monte_carlo_pi.kiln`.
    pub name: String,
    /// The text.
    pub text: String,
}

impl Source {
    /// 1-based line of the start of a span.
    pub fn line(&self, span: Span) -> usize {
        line_column(&self.text, span.start).0
    }
}
