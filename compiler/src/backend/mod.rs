//! Backends: IR to machine code.
//!
//! In: a verified, outlined `ir::Program` and a [`Target`]. Out: [`Emitted`]: position-independent bytes and what the runtime must know of them.
//! Holds: the same program, target and options give the same bytes; the code cannot trap, and asks for no relocation.

mod cranelift;

use crate::ir;
use crate::target::{OptLevel, Target};
use std::fmt;
use std::time::Duration;

/// What to make besides the code, and with how much effort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmitOptions {
    /// Effort.
    pub opt: OptLevel,
    /// Also give Cranelift's IR and the assembly as text.
    pub listing: bool,
    /// Run Cranelift's verifier: for tests.
    pub verify: bool,
}

impl Default for EmitOptions {
    fn default() -> EmitOptions {
        EmitOptions { opt: OptLevel::Speed, listing: false, verify: cfg!(debug_assertions) }
    }
}

/// A compiled program.
#[derive(Clone, Debug)]
pub struct Emitted {
    /// The code.
    pub object: kiln_abi::Object,
    /// Check sites of all functions; [`kiln_abi::ErrorRecord::site`] is an index into them.
    pub sites: Vec<ir::CheckSite>,
    /// Print sites and the types of their values; the number given to [`kiln_abi::HostFn::Print`] is an index into them.
    pub prints: Vec<(ir::PrintSite, Vec<ir::Type>)>,
    /// What each function took, in order: its name and the types of its parameters.
    pub functions: Vec<(String, Duration)>,
    /// Cranelift's IR before its optimiser, if asked for.
    pub clif: Option<String>,
    /// The machine code as Cranelift lists it, if asked for.
    pub asm: Option<String>,
}

/// Why there is no code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompileError {
    /// The backend has no code for an op.
    Unsupported {
        /// The function.
        func: String,
        /// The op and its type.
        op: String,
    },
    /// A function is too large to be compiled in reasonable time.
    TooLarge {
        /// The function.
        func: String,
        /// So many it may have.
        limit: usize,
        /// Of these.
        of: &'static str,
    },
    /// A fault of the compiler.
    Internal {
        /// The function.
        func: String,
        /// What was found.
        message: String,
    },
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CompileError::Unsupported { func, op } => {
                write!(f, "`{func}` uses `{op}`, which has no machine code yet")
            }
            CompileError::TooLarge { func, limit, of } => {
                write!(
                    f,
                    "`{func}` is too large: more than {limit} {of} after inlining; split it, or put what repeats into a loop"
                )
            }
            CompileError::Internal { func, message } => {
                write!(f, "internal error while compiling `{func}`: {message}")
            }
        }
    }
}

impl std::error::Error for CompileError {}

/// Makes machine code.
///
/// # Errors
/// See [`CompileError`].
pub fn emit(program: &ir::Program, target: &Target, options: &EmitOptions) -> Result<Emitted, CompileError> {
    cranelift::emit(program, target, options)
}

/// For [`Target::warm_up`].
pub(crate) fn warm_up(target: &Target) {
    cranelift::warm_up(target);
}
