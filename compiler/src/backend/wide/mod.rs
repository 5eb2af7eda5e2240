//! The wide backend: functions with lanes, for AVX-512 and AVX2.
//!
//! In: an `ir::Func`. Out: its machine code, of [`kiln_abi::CodeFn`]'s signature. Holds: the same results as every other backend, bit for bit; code is
//! position-independent and asks for no relocation; what [`takes`] says no to goes to Cranelift, which has no lanes beyond 128 bits but everything else.
//!
//! `func` drives the selection of instructions; its neighbours hold one kind of op each. What they write, a `code::Draft`, is settled (`settle`), gets its registers
//! (`allocate`) and becomes bytes (`assemble`), by the rows of `table`. The long story stands in README.md beside this file.

mod allocate;
mod assemble;
mod call;
mod code;
mod control;
mod convert;
mod divide;
mod encode;
mod func;
mod lanes;
mod mask;
mod memory;
mod philox;
mod range;
mod reduce;
mod scalar;
mod settle;
mod shape;
mod table;
#[cfg(test)]
mod tests;
mod uses;

use super::{CompileError, Emitted};
use crate::ir::{self, CheckKind, OpCode};
use crate::target::{IsaCap, Target, VectorShape};
use kiln_lang::types::Generator;
use regalloc2::Ctx;
use settle::Level;
use std::cell::Cell;

/// Instructions in one function. Time grows in proportion: so many take about a quarter of a second.
const INST_LIMIT: usize = 200_000;
/// Bytes of stack of one function.
const FRAME_LIMIT: i32 = 1 << 16;

/// What code for a target may use, if it is wide enough for this backend.
fn level(target: &Target) -> Option<Level> {
    let has = |names: &[&str]| names.iter().all(|name| target.has(name));
    if cfg!(windows) || !has(&["has_avx2", "has_fma", "has_bmi1", "has_bmi2", "has_popcnt"]) {
        return None;
    }
    match target.cap() {
        IsaCap::Scalar | IsaCap::V128 => None,
        IsaCap::Avx512 if has(&["has_avx512f", "has_avx512dq", "has_avx512vl", "has_avx512bw"]) => {
            Some(Level::Avx512)
        }
        IsaCap::Avx2 | IsaCap::Avx512 => Some(Level::Avx2),
    }
}

/// The registers that loops are widened for.
pub(super) fn vectors(target: &Target) -> Option<VectorShape> {
    match level(target)? {
        Level::Avx2 => IsaCap::Avx2.shape(),
        Level::Avx512 => IsaCap::Avx512.shape(),
    }
}

/// Has the op code here?
fn takes_op(func: &ir::Func, op: &ir::Op) -> bool {
    match &op.code {
        OpCode::Const(_)
        | OpCode::Seed
        | OpCode::Add
        | OpCode::Sub
        | OpCode::Mul
        | OpCode::Div
        | OpCode::FloorDiv
        | OpCode::Rem
        | OpCode::Neg
        | OpCode::Abs
        | OpCode::Min
        | OpCode::Max
        | OpCode::Fma
        | OpCode::Sqrt
        | OpCode::Floor
        | OpCode::Ceil
        | OpCode::Trunc
        | OpCode::Nearest
        | OpCode::And
        | OpCode::Or
        | OpCode::Xor
        | OpCode::Not
        | OpCode::Shl
        | OpCode::Shr
        | OpCode::MulHi
        | OpCode::Eq
        | OpCode::Ne
        | OpCode::Lt
        | OpCode::Le
        | OpCode::Gt
        | OpCode::Ge
        | OpCode::Select
        | OpCode::Convert
        | OpCode::Bitcast
        | OpCode::Draw { generator: Generator::Philox, .. }
        | OpCode::Splat
        | OpCode::Iota
        | OpCode::Extract { .. }
        | OpCode::Any
        | OpCode::All
        | OpCode::Dim { .. }
        | OpCode::Load
        | OpCode::Store
        | OpCode::LoadMasked
        | OpCode::StoreMasked
        | OpCode::Update(_)
        | OpCode::UpdateMasked(_)
        | OpCode::UpdateFma
        | OpCode::UpdateFmaMasked
        | OpCode::Send { .. }
        | OpCode::SendFma { .. }
        | OpCode::SendMasked { .. }
        | OpCode::If
        | OpCode::For(_)
        | OpCode::While => true,
        OpCode::Check(site) => !matches!(func.sites[site.index()].kind, CheckKind::Unique { .. }),
        // What calls, and what needs a prelude.
        OpCode::Math(_)
        | OpCode::Draw { generator: Generator::Ars, .. }
        | OpCode::Alloc
        | OpCode::AllocUninit
        | OpCode::Free
        | OpCode::Call(_)
        | OpCode::Print(_)
        | OpCode::RunLoop { .. } => false,
    }
}

/// Does this backend compile the function whole?
pub(super) fn takes(func: &ir::Func, target: &Target) -> bool {
    level(target).is_some() && takes_region(func, func.body)
}

fn takes_region(func: &ir::Func, region: ir::RegionId) -> bool {
    func.region(region).ops.iter().all(|&id| {
        let op = func.op(id);
        takes_op(func, op) && op.regions.iter().all(|&inner| takes_region(func, inner))
    })
}

thread_local! {
    /// The allocator's buffers, kept between functions.
    static SCRATCH: Cell<Option<Box<Ctx>>> = const { Cell::new(None) };
}

/// Compiles one function and appends it.
pub(super) fn add_function(
    emitted: &mut Emitted,
    program: &ir::Program,
    number: usize,
    target: &Target,
) -> Result<(), CompileError> {
    let func = &program.funcs[number];
    let site_base = emitted.sites.len() as u64;
    emitted.sites.extend_from_slice(&func.sites);
    let assembled = compile(program, number, target, site_base)?;
    emitted.append(&func.name, &assembled.bytes)
}

fn compile(
    program: &ir::Program,
    number: usize,
    target: &Target,
    site_base: u64,
) -> Result<assemble::Assembled, CompileError> {
    let func = &program.funcs[number];
    let internal =
        |message: &str| CompileError::Internal { func: func.name.to_string(), message: message.to_string() };
    let Some(level) = level(target) else { return Err(internal("the machine has no wide vectors")) };
    let draft = func::select(func::Source { program, func, level, site_base })?;
    let settled = settle::settle(draft, level);
    let mut scratch = SCRATCH.take().unwrap_or_default();
    let output = allocate::allocate(&settled, &mut scratch);
    let output = output.map_err(|error| internal(&format!("no registers: {error}")))?;
    let assembled = assemble::assemble(&settled, output);
    SCRATCH.set(Some(scratch));
    if assembled.frame > FRAME_LIMIT {
        let func = func.name.to_string();
        return Err(CompileError::TooLarge { func, limit: FRAME_LIMIT as usize, of: "bytes of stack" });
    }
    Ok(assembled)
}
