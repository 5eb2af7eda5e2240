//! Kiln's middle and back: a typed tree to machine code.
//!
//! In: a typed tree (`kiln_lang::tree`). Out: object code, and reports of what was done. Holds: pure; the same input gives the same bytes.
#![forbid(unsafe_code)]

pub mod backend;
pub mod check_loops;
pub mod compile;
pub mod ir;
pub mod lower;
pub mod passes;
pub mod pipeline;
pub mod prelude;
pub mod report;
pub mod target;

pub use lower::lower;
