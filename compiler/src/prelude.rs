//! Bodies of the math functions.
//!
//! In: a math op and a float type. Out: the function in `prelude.kiln` that computes it, lowered, without calls. Holds: made once per
//! process; the oracle interprets these bodies, and the pass `expand` splices what the other passes make of them.

use crate::ir::{Func, OpCode};
use crate::lower::lower;
use crate::passes::inline::INLINE;
use crate::report::Report;
use kiln_lang::infer::infer;
use kiln_lang::resolve::{Checked, resolve};
use kiln_lang::span::SourceId;
use kiln_lang::types::{Scalar, Type};
use std::sync::OnceLock;

/// The mathematics of Kiln, in Kiln.
const TEXT: &str = include_str!("../../lang/src/prelude.kiln");

/// Op, operands; one row per function and width.
const FUNCTIONS: [(OpCode, usize); 6] = [
    (OpCode::Exp, 1),
    (OpCode::Log, 1),
    (OpCode::Sin, 1),
    (OpCode::Cos, 1),
    (OpCode::Tanh, 1),
    (OpCode::Pow, 2),
];

/// The body of `code` on `scalar`: parameters are the operands, the only result is the op's.
pub fn body(code: &OpCode, scalar: Scalar) -> &'static Func {
    static BODIES: [OnceLock<Func>; 12] = [const { OnceLock::new() }; 12];
    let row = row(code, scalar);
    BODIES[row].get_or_init(|| lowered(row, scalar))
}

fn row(code: &OpCode, scalar: Scalar) -> usize {
    let function = FUNCTIONS.iter().position(|(function, _)| function == code);
    let function = function.unwrap_or_else(|| panic!("bug: `{}` has no body in the prelude", code.name()));
    2 * function + usize::from(scalar == Scalar::F32)
}

fn lowered(row: usize, scalar: Scalar) -> Func {
    let (code, operands) = &FUNCTIONS[row / 2];
    let name = format!("{}_{scalar}", code.name());
    let types = vec![Type::Scalar(scalar); *operands];
    let program = infer(checked(), &name, &types)
        .unwrap_or_else(|found| panic!("bug: `{name}` in the prelude does not type: {found:?}"));
    let mut program = lower(&program)
        .unwrap_or_else(|found| panic!("bug: `{name}` in the prelude does not lower: {found:?}"));
    INLINE.apply(&mut program, &mut Report::default());
    assert_eq!(program.funcs.len(), 1, "bug: `{name}` in the prelude has calls left");
    program.funcs.swap_remove(0)
}

fn checked() -> &'static Checked {
    static CHECKED: OnceLock<Checked> = OnceLock::new();
    CHECKED.get_or_init(|| {
        let (module, found) = kiln_lang::parser::parse(SourceId::PRELUDE, TEXT);
        assert!(found.is_empty(), "bug: the prelude does not parse: {found:?}");
        resolve(module, SourceId::PRELUDE)
            .unwrap_or_else(|found| panic!("bug: the prelude does not resolve: {found:?}"))
    })
}
