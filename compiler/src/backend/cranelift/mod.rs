//! The Cranelift backend: everything, on every CPU.
//!
//! In: `ir::Program`. Out: [`Emitted`]. Holds: one IR function is one machine function of [`kiln_abi::CodeFn`]'s signature; functions lie at
//! 64-byte boundaries in the order of their numbers; all that code needs from outside it finds through `ctx`, so there are no relocations.
//!
//! `func` drives a function; its neighbours hold one kind of op each: `scalar`, `divide`, `philox`, `memory`, `control`, `range`, `reduce`, `call`; `lanes` has
//! ops on several lanes.

mod call;
mod classes;
mod control;
mod divide;
mod func;
mod lanes;
mod memory;
mod philox;
mod range;
mod reduce;
mod scalar;
#[cfg(test)]
mod tests;

use super::{CompileError, EmitOptions, Emitted};
use crate::ir;
use crate::target::{OptLevel, Target};
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir as clif;
use cranelift_codegen::print_errors::pretty_error;
use cranelift_codegen::{Context, verify_function};
use cranelift_frontend::FunctionBuilderContext;
use kiln_lang::span::Span;
use std::cell::Cell;
use std::fmt::Write;

/// Instructions of Cranelift's IR in one function. Its time grows in proportion: this many without branches take about 150 ms.
const INST_LIMIT: usize = 200_000;
/// Blocks in one function. Register allocation takes time in proportion to the square of them: this many take about half a second.
const BLOCK_LIMIT: usize = 12_000;
/// Bytes of stack of one function.
const FRAME_LIMIT: usize = 1 << 16;
/// Above this many instructions the scratch memory is not kept for the next program.
const KEEP_SCRATCH: usize = 20_000;

/// Buffers that are kept between compilations: the allocator costs as much as a small function otherwise.
struct Scratch {
    context: Context,
    builder: FunctionBuilderContext,
}

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

/// Compiles functions one after another.
pub(super) struct Session {
    scratch: Box<Scratch>,
    largest: usize,
}

impl Session {
    pub(super) fn new() -> Session {
        let new = || Box::new(Scratch { context: Context::new(), builder: FunctionBuilderContext::new() });
        Session { scratch: SCRATCH.take().unwrap_or_else(new), largest: 0 }
    }

    /// Compiles one function and appends it.
    pub(super) fn add_function(
        &mut self,
        emitted: &mut Emitted,
        program: &ir::Program,
        number: usize,
        target: &Target,
        options: &EmitOptions,
    ) -> Result<(), CompileError> {
        let size = add_function(emitted, program, number, target, options, &mut self.scratch)?;
        self.largest = self.largest.max(size);
        Ok(())
    }

    /// Keeps the buffers for the next program.
    pub(super) fn end(self) {
        if self.largest <= KEEP_SCRATCH {
            SCRATCH.set(Some(self.scratch));
        }
    }
}

/// Compiles one function and appends it; gives its size in Cranelift's instructions.
fn add_function(
    emitted: &mut Emitted,
    program: &ir::Program,
    number: usize,
    target: &Target,
    options: &EmitOptions,
    scratch: &mut Scratch,
) -> Result<usize, CompileError> {
    let func = &program.funcs[number];
    let internal = |message: String| CompileError::Internal { func: func.name.to_string(), message };
    let too_large = |limit, of| CompileError::TooLarge { func: func.name.to_string(), limit, of };
    // Cranelift's mid-end would undo the interleaving of lanes.
    let opt = if lanes::has_lanes(func) { OptLevel::None } else { options.opt };
    let isa = target.isa(opt);
    let context = &mut scratch.context;
    context.clear();
    context.set_disasm(options.listing);
    context.func.name = clif::UserFuncName::user(0, number as u32);

    let site_base = emitted.sites.len() as u64;
    emitted.sites.extend_from_slice(&func.sites);
    let built = func::build(
        func::Source { program, func, target, site_base },
        &mut emitted.prints,
        &mut context.func,
        &mut scratch.builder,
    );
    if let Err(error) = built {
        scratch.builder = FunctionBuilderContext::new();
        return Err(error);
    }

    if let Some(text) = &mut emitted.clif {
        let _ = writeln!(text, "; {}\n{}", func.name, context.func.display());
    }
    if options.verify {
        verify_function(&context.func, isa).map_err(|errors| {
            let text = pretty_error(&context.func, cranelift_codegen::CodegenError::Verifier(errors));
            internal(text)
        })?;
    }
    let insts = context.func.dfg.num_insts();
    let compiled = context.compile(isa, &mut ControlPlane::default());
    let compiled = compiled.map_err(|error| match error.inner {
        cranelift_codegen::CodegenError::CodeTooLarge
        | cranelift_codegen::CodegenError::ImplLimitExceeded => too_large(INST_LIMIT, "instructions"),
        inner => internal(pretty_error(error.func, inner)),
    })?;
    if let Some(reloc) = compiled.buffer.relocs().first() {
        return Err(internal(format!("machine code with a relocation: {reloc:?}")));
    }
    if compiled.buffer.frame_layout().is_some_and(|layout| layout.frame_to_fp_offset as usize > FRAME_LIMIT) {
        return Err(too_large(FRAME_LIMIT, "bytes of stack"));
    }
    if let (Some(text), Some(vcode)) = (&mut emitted.asm, &compiled.vcode) {
        let _ = writeln!(text, "; {}\n{vcode}", func.name);
    }

    emitted.append(&func.name, compiled.code_buffer())?;
    Ok(insts)
}

/// Compiles a loop with floats, memory and calls; the result is dropped.
pub(super) fn warm_up(target: &Target) {
    let program = ir::Program { funcs: vec![sample()], loops: Vec::new() };
    for opt in [OptLevel::None, OptLevel::Speed] {
        // A fault here would show again, with its message, in the first real compilation.
        let options = EmitOptions { opt, listing: false, verify: false, ..EmitOptions::default() };
        let _ = super::emit(&program, target, &options);
    }
}

/// `fn warm(n: i64, x: f64, a: [f64; _]) -> f64`: `for i in 0..n { x = fma(x, a[i], x) }`, with a check.
fn sample() -> ir::Func {
    use ir::{OpCode, Terminator, Type};
    use kiln_lang::types::{Layout, Scalar};
    let mut func = ir::Func::new("warm");
    let span = Span::default();
    let array = Type::Array { elem: Scalar::F64, rank: 1, layout: Layout::Contiguous };
    func.results = vec![Type::F64];
    let body = func.body;
    let n = func.add_param(body, Type::I64, None);
    let x = func.add_param(body, Type::F64, None);
    let a = func.add_param(body, array, None);
    func.sites.push(ir::CheckSite {
        kind: ir::CheckKind::Bounds { array: "a".into(), axis: 0 },
        func: "warm".into(),
        span,
        indices: Vec::new(),
    });
    let data = ir::ForData::plain(1, span);
    let each = func.push_op(body, OpCode::For(Box::new(data)), vec![n, x], &[Type::F64], span);
    let inner = func.add_region();
    func.ops[each.index()].regions.push(inner);
    let i = func.add_param(inner, Type::I64, None);
    let sum = func.add_param(inner, Type::F64, None);
    let result = |func: &ir::Func, op: ir::OpId| func.op(op).results[0];
    let size = func.push_op(inner, OpCode::Dim { axis: 0 }, vec![a], &[Type::I64], span);
    let size = result(&func, size);
    func.push_op(inner, OpCode::Check(ir::SiteId(0)), vec![i, size], &[], span);
    let element = func.push_op(inner, OpCode::Load, vec![a, i], &[Type::F64], span);
    let element = result(&func, element);
    let next = func.push_op(inner, OpCode::Fma, vec![sum, element, sum], &[Type::F64], span);
    func.regions[inner.index()].end = Terminator::Yield(vec![result(&func, next)]);
    func.regions[body.index()].end = Terminator::Return(vec![result(&func, each)]);
    func
}
