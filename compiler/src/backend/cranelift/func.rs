//! One function: entry, values, exits, and the op by op walk.
//!
//! In: an `ir::Func`. Out: a Cranelift function of the signature `(ctx, env, lo, hi) -> status`.
//! Holds: a scalar is one Cranelift value, an array is its pointer, sizes and (if strided) strides in bytes, lanes are a group of vectors, so control flow
//! carries them all like numbers;
//! all stack memory is one slot, handed out in the order of nesting.

use super::control::{Loop, Predicate};
use super::lanes;
use super::memory::ArrayMemory;
use crate::backend::CompileError;
use crate::ir::{self, OpCode, Terminator};
use crate::target::Target;
use cranelift_codegen::ir::{self as clif, AbiParam, InstBuilder, MemFlagsData, types};
use cranelift_codegen::isa::CallConv;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use kiln_abi::{Ctx, HostFn, LoopInfo, STATUS_ERROR, STATUS_OK, STATUS_STOPPED, array_slots};
use kiln_lang::tree::Const;
use kiln_lang::types::{Layout, Scalar};
use std::mem::offset_of;

/// What is compiled, and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) program: &'a ir::Program,
    pub(super) func: &'a ir::Func,
    pub(super) target: &'a Target,
    /// Program-wide number of the function's first check site.
    pub(super) site_base: u64,
}

/// Print sites and the types of their values, program-wide.
pub(super) type Prints = Vec<(ir::PrintSite, Vec<ir::Type>)>;

/// Writes the function into `output`.
pub(super) fn build<'a>(
    source: Source<'a>,
    prints: &'a mut Prints,
    output: &'a mut clif::Function,
    builder: &'a mut FunctionBuilderContext,
) -> Result<(), CompileError> {
    let call_conv = source.target.call_conv();
    let pointer = AbiParam::new(types::I64);
    output.signature.call_conv = call_conv;
    output.signature.params.extend([pointer; 4]);
    output.signature.returns.push(AbiParam::new(types::I32));

    let mut b = FunctionBuilder::new(output, builder);
    let entry = b.create_block();
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    b.seal_block(entry);
    let &[ctx, env, lo, hi] = b.block_params(entry) else { unreachable!("four parameters were declared") };
    let leave = Exit { block: b.create_block(), used: false };
    let fail = Exit { block: b.create_block(), used: false };
    let stop = Exit { block: b.create_block(), used: false };
    b.append_block_param(leave.block, types::I32);
    b.set_cold_block(leave.block);
    b.set_cold_block(fail.block);
    b.set_cold_block(stop.block);

    let memory = ArrayMemory::new(source.func, &mut b);
    let mut emitter = Emitter {
        func: source.func,
        target: source.target,
        call_conv,
        b,
        ctx,
        env,
        lo,
        hi,
        starts: vec![u32::MAX; source.func.values.len()],
        pool: Vec::with_capacity(source.func.values.len()),
        memory,
        mask_widths: lanes::mask_widths(source.func),
        loops: Vec::new(),
        frame: Frame { slot: None, top: 0, peak: 0 },
        leave,
        fail,
        stop,
        signatures: Vec::new(),
        site_base: source.site_base,
        prints,
        result_slot: 0,
        chunk: source.func.chunk_of.map(|number| &source.program.loops[number as usize]),
        depth: 0,
        predicate: None,
    };
    emitter.params();
    emitter.region(source.func.body)?;
    emitter.finish();
    Ok(())
}

/// The state of a function under construction.
pub(super) struct Emitter<'a> {
    pub(super) func: &'a ir::Func,
    pub(super) target: &'a Target,
    pub(super) call_conv: CallConv,
    pub(super) b: FunctionBuilder<'a>,
    pub(super) ctx: clif::Value,
    pub(super) env: clif::Value,
    /// The chunk's first ordinal, and one past its last.
    pub(super) lo: clif::Value,
    pub(super) hi: clif::Value,
    /// Where in `pool` each IR value's components start.
    starts: Vec<u32>,
    pool: Vec<clif::Value>,
    pub(super) memory: ArrayMemory,
    /// Bytes per lane of each mask.
    pub(super) mask_widths: Vec<u8>,
    /// Enclosing loops, innermost last.
    pub(super) loops: Vec<Loop>,
    frame: Frame,
    /// With the status as its parameter.
    leave: Exit,
    /// With the status of a failed check, and of a raised stop flag.
    fail: Exit,
    stop: Exit,
    pub(super) signatures: Vec<(Vec<clif::Type>, Option<clif::Type>, clif::SigRef)>,
    pub(super) site_base: u64,
    pub(super) prints: &'a mut Prints,
    /// First result slot in `env`.
    result_slot: usize,
    /// The outlined loop whose body this is.
    pub(super) chunk: Option<&'a LoopInfo>,
    /// Regions entered; 1 in the function's body.
    pub(super) depth: u32,
    /// Set while an arm is computed that may not take effect.
    pub(super) predicate: Option<Predicate>,
}

/// A way out that several places share.
struct Exit {
    block: clif::Block,
    used: bool,
}

/// The one stack slot, handed out like a stack.
struct Frame {
    slot: Option<clif::StackSlot>,
    /// 8-byte slots in use, and the most there ever were.
    top: usize,
    peak: usize,
}

/// A piece of the frame: address of its first 8-byte slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameArea {
    start: usize,
    slots: usize,
}

/// What a region's end hands to the op that holds it.
pub(super) enum End<'a> {
    /// Values that it yields; the block is open.
    Yield(&'a [ir::Value]),
    /// It went elsewhere; the block is closed.
    Left,
}

/// Memory that belongs to one purpose, told apart for Cranelift's alias analysis.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    /// `ctx.error`.
    Error = 0,
    /// The function's own frame.
    Frame = 1,
    /// Accumulators in `ctx.partial`.
    Partial = 2,
    /// `ctx.terms`.
    Terms = 3,
    /// Result slots in `env`.
    Results = 4,
}

impl<'a> Emitter<'a> {
    /// Loads the parameters from `env`; those arrays that this task reduces into privately, from `ctx.partial`.
    fn params(&mut self) {
        let func = self.func;
        let mut slot = 0;
        let private = self.chunk.map_or(Vec::new(), |info| {
            (0..info.arrays.len()).map(|k| (info.arrays[k].env_slot as usize, info.array_slot(k))).collect()
        });
        for &param in func.params() {
            let ty = func.ty(param);
            let (base, first) = match private.iter().find(|(env_slot, _)| *env_slot == slot) {
                Some(&(_, partial_slot)) if ty.is_array() => {
                    (self.ctx_field(offset_of!(Ctx, partial)), partial_slot)
                }
                _ => (self.env, slot),
            };
            let comps = self.load_comps(base, first, ty, constant_flags());
            self.bind(param, &comps);
            slot += slots(ty);
        }
        self.result_slot = slot;
    }

    /// Fills the shared exits and settles the frame.
    fn finish(mut self) {
        for (exit, status) in [(&self.fail, STATUS_ERROR), (&self.stop, STATUS_STOPPED)] {
            if exit.used {
                self.b.switch_to_block(exit.block);
                let status = self.b.ins().iconst(types::I32, i64::from(status));
                self.b.ins().return_(&[status]);
            }
        }
        if self.leave.used {
            self.b.switch_to_block(self.leave.block);
            let status = self.b.block_params(self.leave.block)[0];
            self.b.ins().return_(&[status]);
        }
        for exit in [&self.leave, &self.fail, &self.stop] {
            self.b.seal_block(exit.block);
        }
        if let Some(slot) = self.frame.slot {
            self.b.func.sized_stack_slots[slot].size = 8 * self.frame.peak as u32;
        }
        let config = self.target.isa(crate::target::OptLevel::None).frontend_config();
        self.b.finalize(config);
    }

    /// Emits a region's ops and, unless it yields, its end.
    pub(super) fn region(&mut self, region: ir::RegionId) -> Result<End<'a>, CompileError> {
        let func = self.func;
        let data = func.region(region);
        self.depth += 1;
        let mut left = false;
        for &op in &data.ops {
            if self.op(op)? == Flow::Left {
                left = true;
                break;
            }
        }
        let end = if left { End::Left } else { self.terminator(&data.end)? };
        self.depth -= 1;
        Ok(end)
    }

    fn terminator(&mut self, end: &'a Terminator) -> Result<End<'a>, CompileError> {
        match end {
            Terminator::Open => Err(self.internal("a region without an end")),
            Terminator::Yield(args) => Ok(End::Yield(args)),
            Terminator::Break(level, args) => {
                let target = self.enclosing(*level)?.exit;
                self.jump(target, args);
                Ok(End::Left)
            }
            Terminator::Continue(level, args) => {
                let target = self.enclosing(*level)?.next;
                self.jump(target, args);
                Ok(End::Left)
            }
            Terminator::Return(args) => {
                self.store_results(args);
                let ok = self.iconst(types::I32, i64::from(STATUS_OK));
                self.b.ins().return_(&[ok]);
                Ok(End::Left)
            }
        }
    }

    fn enclosing(&self, level: u32) -> Result<&Loop, CompileError> {
        let index = self.loops.len().checked_sub(1 + level as usize);
        index.map(|index| &self.loops[index]).ok_or_else(|| self.internal("a break without its loop"))
    }

    /// Results go to `env` behind the parameters. A chunk has none: its totals lie in `ctx.partial`.
    fn store_results(&mut self, args: &[ir::Value]) {
        if self.chunk.is_some() {
            return;
        }
        let flags = self.flags(Purpose::Results);
        let mut slot = self.result_slot;
        for &arg in args {
            self.store_value(self.env, slot, arg, flags);
            slot += slots(self.func.ty(arg));
        }
    }

    fn op(&mut self, id: ir::OpId) -> Result<Flow, CompileError> {
        let func = self.func;
        let op = func.op(id);
        let dfg = &self.b.func.dfg;
        let too_large = |limit, of| Err(CompileError::TooLarge { func: func.name.to_string(), limit, of });
        if dfg.num_insts() > super::INST_LIMIT {
            return too_large(super::INST_LIMIT, "instructions");
        }
        if dfg.num_blocks() > super::BLOCK_LIMIT {
            return too_large(super::BLOCK_LIMIT, "branches");
        }
        let has_lanes = |&value: &ir::Value| func.ty(value).lanes() > 0;
        if op.regions.is_empty() && op.args.iter().chain(&op.results).any(has_lanes) {
            self.lanes_op(op)?;
            return Ok(Flow::Goes);
        }
        match &op.code {
            OpCode::Const(constant) => {
                let value = self.constant(*constant);
                self.bind(op.results[0], &[value]);
            }
            OpCode::Seed => {
                let seed = self.ctx_field(offset_of!(Ctx, seed));
                self.bind(op.results[0], &[seed]);
            }
            OpCode::Add
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
            | OpCode::Bitcast => {
                let value = self.arithmetic(op)?;
                self.bind(op.results[0], &[value]);
            }
            OpCode::Draw { generator, kind } => self.draw(op, *generator, *kind),
            OpCode::Dim { axis } => {
                let size = self.comps(op.args[0])[1 + usize::from(*axis)];
                self.bind(op.results[0], &[size]);
            }
            OpCode::Load => self.load(op),
            OpCode::Store => self.store(op),
            OpCode::Update(reduce) => self.update(op, *reduce),
            OpCode::UpdateFma => self.update_fma(op),
            OpCode::Alloc => self.alloc(op, 1),
            OpCode::AllocUninit => self.alloc(op, 0),
            OpCode::Free => {
                let pointer = self.comps(op.args[0])[0];
                self.host(HostFn::Free, &[self.ctx, pointer], None);
            }
            OpCode::Check(site) => self.check(op, *site),
            OpCode::Send { reduction } => self.send(*reduction, op.args[0])?,
            OpCode::SendFma { reduction } => self.send_fma(*reduction, op.args[0], op.args[1])?,
            OpCode::If => return self.emit_if(op),
            OpCode::For(data) => self.emit_for(op, data)?,
            OpCode::While => self.emit_while(op)?,
            OpCode::Call(callee) => self.call(op, *callee),
            OpCode::Print(site) => self.print(op, *site),
            OpCode::RunLoop { number } => self.run_loop(op, *number),
            // Bodies from the prelude stand here by now.
            OpCode::Math(_)
            // Lanes: see `lanes`.
            | OpCode::Splat
            | OpCode::Iota
            | OpCode::Extract { .. }
            | OpCode::Any
            | OpCode::All
            | OpCode::LoadMasked
            | OpCode::UpdateMasked(_)
            | OpCode::UpdateFmaMasked
            | OpCode::StoreMasked
            | OpCode::SendMasked { .. } => return Err(self.unsupported(op)),
        }
        Ok(Flow::Goes)
    }

    // Values

    /// The Cranelift values that an IR value is made of.
    pub(super) fn comps(&self, value: ir::Value) -> &[clif::Value] {
        let start = self.starts[value.index()] as usize;
        let count = self.comp_count(value);
        &self.pool[start..start + count]
    }

    /// How many Cranelift values an IR value is made of.
    pub(super) fn comp_count(&self, value: ir::Value) -> usize {
        match self.func.ty(value) {
            ir::Type::Scalar(_) => 1,
            ir::Type::Array { rank, layout, .. } => array_comps(rank, layout),
            ir::Type::Lanes(scalar, lanes) => lanes::registers(lanes::lane_bytes(scalar), lanes),
            ir::Type::Mask(lanes) => lanes::registers(self.mask_width(value), lanes),
        }
    }

    /// The type of each of them.
    fn comp_type(&self, value: ir::Value) -> clif::Type {
        match self.func.ty(value) {
            ir::Type::Scalar(scalar) => clif_type(scalar),
            ir::Type::Array { .. } => types::I64,
            ir::Type::Lanes(scalar, _) => lanes::vector_type(scalar),
            ir::Type::Mask(_) => lanes::mask_type(self.mask_width(value)),
        }
    }

    /// The Cranelift value of a scalar.
    pub(super) fn scalar(&self, value: ir::Value) -> clif::Value {
        self.comps(value)[0]
    }

    /// Says what an IR value is made of.
    pub(super) fn bind(&mut self, value: ir::Value, comps: &[clif::Value]) {
        debug_assert_eq!(comps.len(), self.comp_count(value));
        self.starts[value.index()] = self.pool.len() as u32;
        self.pool.extend_from_slice(comps);
    }

    /// Binds values one after another to a list of components.
    pub(super) fn bind_all(&mut self, values: &[ir::Value], comps: &[clif::Value]) {
        let mut at = 0;
        for &value in values {
            let count = self.comp_count(value);
            self.bind(value, &comps[at..at + count]);
            at += count;
        }
    }

    /// Components of several values, in order.
    pub(super) fn all_comps(&self, values: &[ir::Value]) -> Vec<clif::Value> {
        values.iter().flat_map(|&value| self.comps(value)).copied().collect()
    }

    /// A new block with the components of `values` as parameters.
    pub(super) fn block_for(&mut self, values: &[ir::Value]) -> clif::Block {
        let block = self.b.create_block();
        for &value in values {
            let ty = self.comp_type(value);
            for _ in 0..self.comp_count(value) {
                self.b.append_block_param(block, ty);
            }
        }
        block
    }

    /// Jumps with the components of `args`.
    pub(super) fn jump(&mut self, block: clif::Block, args: &[ir::Value]) {
        let comps = self.all_comps(args);
        self.jump_comps(block, &comps);
    }

    /// Jumps with values.
    pub(super) fn jump_comps(&mut self, block: clif::Block, comps: &[clif::Value]) {
        self.b.ins().jump(block, &block_args(comps));
    }

    /// Goes on in `block`, whose predecessors are all known.
    pub(super) fn enter(&mut self, block: clif::Block) {
        self.b.switch_to_block(block);
        self.b.seal_block(block);
    }

    // Constants

    /// An integer constant of any width.
    pub(super) fn iconst(&mut self, ty: clif::Type, value: i64) -> clif::Value {
        let mask = if ty.bits() == 64 { -1 } else { (1i64 << ty.bits()) - 1 };
        self.b.ins().iconst(ty, value & mask)
    }

    pub(super) fn constant(&mut self, constant: Const) -> clif::Value {
        match constant {
            Const::F32(x) => self.b.ins().f32const(x),
            Const::F64(x) => self.b.ins().f64const(x),
            Const::Bool(_) | Const::I32(_) | Const::I64(_) | Const::U32(_) | Const::U64(_) => {
                let (ty, bits) = (clif_type(ir::const_scalar(constant)), ir::const_bits(constant));
                self.iconst(ty, bits as i64)
            }
        }
    }

    /// A constant from raw bits as the ABI writes them.
    pub(super) fn constant_bits(&mut self, ty: Scalar, bits: u64) -> clif::Value {
        match ty {
            Scalar::F32 => self.b.ins().f32const(f32::from_bits(bits as u32)),
            Scalar::F64 => self.b.ins().f64const(f64::from_bits(bits)),
            Scalar::Bool | Scalar::I32 | Scalar::I64 | Scalar::U32 | Scalar::U64 => {
                self.iconst(clif_type(ty), bits as i64)
            }
        }
    }

    // Slots of 8 bytes: env, frame, partial

    /// Loads an array or scalar from consecutive slots. The strides of a contiguous array are not read: its sizes say them.
    pub(super) fn load_comps(
        &mut self,
        base: clif::Value,
        slot: usize,
        ty: ir::Type,
        flags: MemFlagsData,
    ) -> Vec<clif::Value> {
        let at = |k: usize| 8 * (slot + k) as i32;
        match ty {
            ir::Type::Scalar(scalar) => vec![self.load_slot(base, slot, scalar, flags)],
            ir::Type::Array { rank, layout, .. } => (0..array_comps(rank, layout))
                .map(|k| self.b.ins().load(types::I64, flags, base, at(k)))
                .collect(),
            ir::Type::Lanes(..) | ir::Type::Mask(_) => unreachable!("lanes do not cross a function's border"),
        }
    }

    /// Loads a scalar from a slot.
    pub(super) fn load_slot(
        &mut self,
        base: clif::Value,
        slot: usize,
        scalar: Scalar,
        flags: MemFlagsData,
    ) -> clif::Value {
        let value = self.b.ins().load(clif_type(scalar), flags, base, 8 * slot as i32);
        if scalar == Scalar::Bool { self.b.ins().band_imm_u(value, 1) } else { value }
    }

    /// Stores a value to consecutive slots; an array with its strides.
    pub(super) fn store_value(
        &mut self,
        base: clif::Value,
        slot: usize,
        value: ir::Value,
        flags: MemFlagsData,
    ) {
        match self.func.ty(value) {
            ir::Type::Scalar(scalar) => {
                let value = self.scalar(value);
                self.store_slot(base, slot, scalar, value, flags);
            }
            ty => {
                let mut comps = self.comps(value).to_vec();
                if comps.len() < slots(ty) {
                    let strides = self.contiguous_strides(ty.scalar(), &comps[1..]);
                    comps.extend(strides);
                }
                for (k, comp) in comps.into_iter().enumerate() {
                    self.b.ins().store(flags, comp, base, 8 * (slot + k) as i32);
                }
            }
        }
    }

    /// Stores a scalar to a slot.
    pub(super) fn store_slot(
        &mut self,
        base: clif::Value,
        slot: usize,
        scalar: Scalar,
        value: clif::Value,
        flags: MemFlagsData,
    ) {
        let value = if scalar == Scalar::Bool { self.b.ins().uextend(types::I64, value) } else { value };
        self.b.ins().store(flags, value, base, 8 * slot as i32);
    }

    /// A field of `ctx` that does not change while the function runs.
    pub(super) fn ctx_field(&mut self, offset: usize) -> clif::Value {
        self.b.ins().load(types::I64, constant_flags(), self.ctx, offset as i32)
    }

    // Frame

    /// Takes `slots` 8-byte slots of the frame, to be given back with [`Emitter::give_back`] in reverse order.
    pub(super) fn take(&mut self, slots: usize) -> FrameArea {
        let area = FrameArea { start: self.frame.top, slots };
        self.frame.top += slots;
        self.frame.peak = self.frame.peak.max(self.frame.top);
        area
    }

    pub(super) fn give_back(&mut self, area: FrameArea) {
        debug_assert_eq!(self.frame.top, area.start + area.slots);
        self.frame.top = area.start;
    }

    pub(super) fn address(&mut self, area: FrameArea) -> clif::Value {
        let slot = *self.frame.slot.get_or_insert_with(|| {
            let data = clif::StackSlotData::new(clif::StackSlotKind::ExplicitSlot, 8, 4);
            self.b.create_sized_stack_slot(data)
        });
        self.b.ins().stack_addr(types::I64, slot, 8 * area.start as i32)
    }

    // Exits

    /// Leaves the function with `status` if it is not 0.
    pub(super) fn propagate(&mut self, status: clif::Value) {
        self.leave.used = true;
        let ok = self.b.create_block();
        self.b.ins().brif(status, self.leave.block, &[status.into()], ok, &[]);
        self.enter(ok);
    }

    /// Leaves the function because a check has failed.
    pub(super) fn fail(&mut self) {
        self.fail.used = true;
        self.b.ins().jump(self.fail.block, &[]);
    }

    /// Reads the stop flag: to `go_on` while it is 0. The load is atomic so that no earlier one is taken for it.
    pub(super) fn poll(&mut self, go_on: clif::Block, args: &[clif::Value]) {
        self.stop.used = true;
        let flag = self.ctx_field(offset_of!(Ctx, stop));
        let flags = MemFlagsData::new().with_notrap().with_aligned();
        let set = self.b.ins().atomic_load(types::I32, flags, flag);
        self.b.ins().brif(set, self.stop.block, &[], go_on, &block_args(args));
    }

    // Flags and faults

    /// Flags for memory of one purpose: aligned to 8, always there.
    pub(super) fn flags(&mut self, purpose: Purpose) -> MemFlagsData {
        let region = self.memory.purpose(purpose);
        MemFlagsData::trusted().with_alias_region(Some(region))
    }

    pub(super) fn internal(&self, message: &str) -> CompileError {
        CompileError::Internal { func: self.func.name.to_string(), message: message.to_string() }
    }

    pub(super) fn unsupported(&self, op: &ir::Op) -> CompileError {
        let value = op.results.first().or(op.args.first());
        let ty = value.map_or(String::new(), |&value| format!(" on {}", self.func.ty(value)));
        CompileError::Unsupported { func: self.func.name.to_string(), op: format!("{}{ty}", op.code.name()) }
    }
}

/// Does control reach what follows an op?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Goes,
    Left,
}

/// Flags of memory that nobody writes while the function runs and that is there from its entry on.
pub(super) fn constant_flags() -> MemFlagsData {
    MemFlagsData::trusted().with_readonly().with_can_move()
}

pub(super) fn block_args(comps: &[clif::Value]) -> Vec<clif::BlockArg> {
    comps.iter().map(|&value| clif::BlockArg::Value(value)).collect()
}

/// 8-byte slots of a value in an environment.
pub(super) fn slots(ty: ir::Type) -> usize {
    match ty {
        ir::Type::Array { rank, .. } => array_slots(usize::from(rank)),
        ir::Type::Scalar(_) | ir::Type::Lanes(..) | ir::Type::Mask(_) => 1,
    }
}

fn array_comps(rank: u8, layout: Layout) -> usize {
    match layout {
        Layout::Contiguous => 1 + usize::from(rank),
        Layout::Strided => 1 + 2 * usize::from(rank),
    }
}

pub(super) fn clif_type(scalar: Scalar) -> clif::Type {
    match scalar {
        Scalar::Bool => types::I8,
        Scalar::I32 | Scalar::U32 => types::I32,
        Scalar::I64 | Scalar::U64 => types::I64,
        Scalar::F32 => types::F32,
        Scalar::F64 => types::F64,
    }
}
