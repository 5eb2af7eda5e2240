//! Register allocation.
//!
//! In: a [`Settled`] function. Out: a place for every operand, and moves. Holds: `regalloc2` does it, by the Ion algorithm: its code runs 2 to 3 times as fast as
//! that of the single-pass algorithm, which spills across every block's end (research notes, section 4). In tests its result is checked by its own checker.

use super::code::{G, K, V};
use super::settle::{Level, Settled};
use regalloc2::{Ctx, MachineEnv, Output, PReg, PRegSet, RegAllocError, RegallocOptions};
use std::sync::LazyLock;

/// General registers that a function may use without keeping them: rax, rcx, rdx, rsi, rdi, r8 to r11.
const FREE: [usize; 9] = [0, 1, 2, 6, 7, 8, 9, 10, 11];
/// Those that it has to give back as it found them: rbx, r12 to r15. rsp and rbp belong to the frame.
pub(super) const KEPT: [usize; 5] = [3, 12, 13, 14, 15];

static AVX2: LazyLock<MachineEnv> = LazyLock::new(|| machine(Level::Avx2));
static AVX512: LazyLock<MachineEnv> = LazyLock::new(|| machine(Level::Avx512));

fn machine(level: Level) -> MachineEnv {
    let set = |class, numbers: &mut dyn Iterator<Item = usize>| {
        numbers.fold(PRegSet::empty(), |set, number| set.with(PReg::new(number, class)))
    };
    let vectors = set(V, &mut (0..level.registers()));
    // k0 in the place of a mask means that there is none.
    let masks = set(K, &mut (1..8));
    MachineEnv {
        preferred_regs_by_class: [set(G, &mut FREE.into_iter()), vectors, masks],
        non_preferred_regs_by_class: [set(G, &mut KEPT.into_iter()), PRegSet::empty(), PRegSet::empty()],
        scratch_by_class: [None; 3],
        fixed_stack_slots: Vec::new(),
    }
}

pub(super) fn environment(level: Level) -> &'static MachineEnv {
    match level {
        Level::Avx2 => &AVX2,
        Level::Avx512 => &AVX512,
    }
}

/// What a call does not keep.
pub(super) fn lost_in_calls(level: Level, has_result: bool) -> PRegSet {
    let general =
        FREE.into_iter().filter(|&number| !(has_result && number == 0)).map(|number| PReg::new(number, G));
    let vectors = (0..level.registers()).map(|number| PReg::new(number, V));
    let masks = (1..8).map(|number| PReg::new(number, K));
    general.chain(vectors).chain(masks).fold(PRegSet::empty(), PRegSet::with)
}

/// Finds a place for everything. The result lies in `scratch`.
pub(super) fn allocate<'s>(func: &Settled, scratch: &'s mut Ctx) -> Result<&'s Output, RegAllocError> {
    let options = RegallocOptions { validate_ssa: cfg!(debug_assertions), ..RegallocOptions::default() };
    let output = regalloc2::run_with_ctx(func, environment(func.level), &options, scratch)?;
    #[cfg(test)]
    check(func, output);
    Ok(output)
}

/// The checker of `regalloc2` follows every value symbolically through the allocated code.
#[cfg(test)]
fn check(func: &Settled, output: &Output) {
    let mut checker = regalloc2::checker::Checker::new(func, environment(func.level));
    checker.prepare(output);
    if let Err(errors) = checker.run() {
        panic!("bug: registers went wrong: {errors:?}");
    }
}
