//! Kiln compiles small numeric kernels to machine code in about a millisecond and runs them on all cores, with the same bits
//! whatever the machine.
//!
//! ```
//! let engine = kiln::Engine::default();
//! let module = engine.compile("mean.kiln", "fn mean(x: [f64; n]) = sum(x[i] for i in 0..n) / n")?;
//! let mean = module.function("mean")?;
//! let data = [1.0, 2.0, 6.0];
//! assert_eq!(mean.call(&mut [data.as_slice().into()])?.as_f64(), Some(3.0));
//! # Ok::<(), kiln::Error>(())
//! ```
//!
//! In: kernels as text, arguments as Rust values. Out: results, or an [`Error`] with a place in the source. Holds: no kernel can hurt
//! its host; the library is all that the `kiln` command uses.
#![deny(unsafe_code)]

mod cache;
mod describe;
mod door;
mod engine;
mod error;
mod npy;
mod oracle;
mod print;
mod render;
mod script;
mod show;
mod source;
mod time;
mod value;

pub use cache::CacheStats;
pub use describe::describe;
pub use engine::{Backend, CallOptions, Engine, Kernel, Miss, Module, Options, Specialisation};
pub use error::{Error, Findings};
pub use kiln_compiler::compile::Timing;
pub use kiln_compiler::report::Report;
pub use kiln_compiler::target::{IsaCap, OptLevel};
pub use kiln_lang::diag::Diagnostic;
pub use kiln_lang::parser::MAX_SOURCE;
pub use kiln_lang::signature::Signature;
pub use kiln_lang::types::{Layout, Scalar, Type};
pub use kiln_runtime::{Array, ArrayMut, ArrayRef, BlockKind, Generator, RawStreams, StopFlag};
pub use npy::{load as load_npy, save as save_npy};
pub use render::{Style, render};
pub use script::{CompiledStep, ScriptOptions, ScriptRun};
pub use show::{Stage, parse_types, show};
pub use source::Source;
pub use time::process_time;
pub use value::{Arg, Value};
