//! Bodies of the math functions.
//!
//! In: a math op and a float type. Out: the function in `prelude.kiln` that computes it, lowered, without calls. Holds: made once per process.

use crate::ir::{Func, OpCode};
use kiln_lang::types::Scalar;

/// The body of `code` on `scalar`: parameters are the operands, the only result is the op's.
pub fn body(code: &OpCode, scalar: Scalar) -> &'static Func {
    panic!("no body for `{}` on {scalar} yet", code.name())
}
