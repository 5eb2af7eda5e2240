//! Kiln's front end: text to a checked, typed tree.
//!
//! In: source text, and the types of a call. Out: [`ast`], [`tree`], [`diag`]. Holds: no I/O, no machine, no panic on any input.
#![forbid(unsafe_code)]

pub mod ast;
pub mod ast_text;
pub mod builtins;
mod constant;
pub mod diag;
mod habits;
pub mod infer;
pub mod lexer;
pub mod math;
pub mod parser;
pub mod resolve;
pub mod samplers;
pub mod script;
pub mod signature;
pub mod span;
mod spell;
pub mod tree;
pub mod types;
mod visit;

pub use ast_text::ast_text;
pub use infer::{infer, tree_text};
pub use parser::{check_text, is_complete, parse};
pub use resolve::{Checked, resolve, resolve_entry};
pub use script::script_step;
pub use signature::{functions, signature};
