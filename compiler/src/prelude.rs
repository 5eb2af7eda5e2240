//! Bodies of the math functions.
//!
//! In: a function of the table of mathematics and a float type. Out: its body from the prelude, lowered, without calls. Holds: made once per
//! process; the oracle interprets these bodies, and the pass `expand` splices what the other passes make of them.

use crate::ir::Func;
use crate::lower::lower;
use crate::passes::inline::INLINE;
use crate::report::Report;
use kiln_lang::infer::infer;
use kiln_lang::math::{FUNCTIONS, Function};
use kiln_lang::resolve::{Checked, resolve};
use kiln_lang::span::SourceId;
use kiln_lang::types::{Scalar, Type};
use std::sync::OnceLock;

/// Something for every function of the table on every float type, made when it is first asked for.
pub(crate) struct PerFunction<T>([[OnceLock<T>; 2]; FUNCTIONS.len()]);

impl<T> PerFunction<T> {
    pub(crate) const fn new() -> PerFunction<T> {
        PerFunction([const { [const { OnceLock::new() }; 2] }; FUNCTIONS.len()])
    }

    pub(crate) fn get(&self, function: Function, scalar: Scalar, make: impl FnOnce() -> T) -> &T {
        self.0[function as usize][usize::from(scalar == Scalar::F32)].get_or_init(make)
    }
}

/// The body of `function` on `scalar`: parameters are the operands, the only result is the function's.
pub fn body(function: Function, scalar: Scalar) -> &'static Func {
    static BODIES: PerFunction<Func> = PerFunction::new();
    BODIES.get(function, scalar, || lowered(function, scalar))
}

fn lowered(function: Function, scalar: Scalar) -> Func {
    let name = format!("{}_{scalar}", function.name());
    let types: Vec<Type> = function.signature(scalar).0.into_iter().map(Type::Scalar).collect();
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
        let (module, found) = kiln_lang::parser::parse(SourceId::PRELUDE, &kiln_lang::math::prelude());
        assert!(found.is_empty(), "bug: the prelude does not parse: {found:?}");
        resolve(module, SourceId::PRELUDE)
            .unwrap_or_else(|found| panic!("bug: the prelude does not resolve: {found:?}"))
    })
}
