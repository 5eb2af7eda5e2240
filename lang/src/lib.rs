//! Kiln's front end: text to a checked, typed tree.
//!
//! In: source text, and the types of a call. Out: [`ast`], [`tree`], [`diag`]. Holds: no I/O, no machine, no panic on any input.
#![forbid(unsafe_code)]

pub mod ast;
pub mod diag;
pub mod lexer;
pub mod span;
pub mod tree;
pub mod types;
