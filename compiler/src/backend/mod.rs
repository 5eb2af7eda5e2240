//! Backends: IR to machine code.
//!
//! In: a verified, outlined `ir::Program` and a [`Target`]. Out: [`Emitted`]: position-independent bytes and what the runtime must know of them.
//! Holds: the same program, target and options give the same bytes; the code cannot trap, and asks for no relocation.

mod cranelift;
mod wide;

use crate::ir;
use crate::target::{IsaCap, OptLevel, Target, VectorShape};
use kiln_abi::Object;
use std::fmt;
use std::time::Duration;
use std::time::Instant;

/// What to make besides the code, and with how much effort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmitOptions {
    /// Effort.
    pub opt: OptLevel,
    /// Also give Cranelift's IR and the assembly as text.
    pub listing: bool,
    /// Run Cranelift's verifier: for tests.
    pub verify: bool,
    /// Which functions go to the wide backend.
    pub wide: Wide,
}

/// Which functions go to the wide backend, where the target has vectors wide enough for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wide {
    /// Those with lanes.
    Lanes,
    /// All that it takes: for tests.
    All,
    /// None: until its lanes have been held against the oracle on random programs, as its scalar code has.
    #[default]
    Never,
}

impl Default for EmitOptions {
    fn default() -> EmitOptions {
        EmitOptions {
            opt: OptLevel::Speed,
            listing: false,
            verify: cfg!(debug_assertions),
            wide: Wide::default(),
        }
    }
}

/// A compiled program.
#[derive(Clone, Debug)]
pub struct Emitted {
    /// The code.
    pub object: Object,
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
    let text = || options.listing.then(String::new);
    let mut emitted = Emitted {
        object: Object { loops: program.loops.clone(), ..Object::default() },
        sites: Vec::new(),
        prints: Vec::new(),
        functions: Vec::with_capacity(program.funcs.len()),
        clif: text(),
        asm: text(),
    };
    let mut session = cranelift::Session::new();
    for (number, func) in program.funcs.iter().enumerate() {
        let start = Instant::now();
        if goes_wide(func, target, options.wide) {
            wide::add_function(&mut emitted, program, number, target)?;
        } else {
            session.add_function(&mut emitted, program, number, target, options)?;
        }
        emitted.functions.push((signature(func), start.elapsed()));
    }
    session.end();
    for info in &mut emitted.object.loops {
        let chunk = ir::chunk_loop(&program.funcs[info.func as usize]);
        info.wide = chunk.is_some_and(|(_, data)| data.lanes > 1);
    }
    Ok(emitted)
}

/// The vectors that functions with lanes are best made for; `None`: loops stay scalar.
pub fn vectors(target: &Target) -> Option<VectorShape> {
    // Cranelift computes with any number of lanes, 128 bits at a time.
    wide::vectors(target).or(target.cap().min(IsaCap::V128).shape())
}

/// `rbf(f64, [f64; 1])`: the function as it was specialised.
fn signature(func: &ir::Func) -> String {
    let types: Vec<String> = func.params().iter().map(|&param| func.ty(param).to_string()).collect();
    format!("{}({})", func.name, types.join(", "))
}

fn goes_wide(func: &ir::Func, target: &Target, wide: Wide) -> bool {
    let wanted = match wide {
        Wide::Lanes => func.values.iter().any(|value| value.ty.lanes() > 0),
        Wide::All => true,
        Wide::Never => false,
    };
    wanted && wide::takes(func, target)
}

/// Boundary at which functions start.
const ALIGNMENT: usize = 64;

impl Emitted {
    /// Appends a function's bytes.
    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), CompileError> {
        let object = &mut self.object;
        let start = object.bytes.len().next_multiple_of(ALIGNMENT);
        let message = "more than 4 GiB of code".to_string();
        let offset =
            u32::try_from(start).map_err(|_| CompileError::Internal { func: name.to_string(), message })?;
        object.bytes.resize(start, 0);
        object.bytes.extend_from_slice(bytes);
        object.entries.push(offset);
        object.names.push(name.to_string());
        Ok(())
    }
}

/// For [`Target::warm_up`].
pub(crate) fn warm_up(target: &Target) {
    cranelift::warm_up(target);
}
