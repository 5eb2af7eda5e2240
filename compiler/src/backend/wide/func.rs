//! One function: entry, values, exits, and the op by op walk.
//!
//! In: an `ir::Func` that [`takes`](super::takes) says yes to. Out: a [`Draft`]. Holds: a scalar is one register, an array its pointer, sizes and (if strided)
//! strides in bytes, lanes one register per piece ([`Shape`]), a mask as [`super::mask`] says. Constants have no code of their own; what is made when it is first
//! needed (a constant, a mask in another form, the address of a row) is known until the end of the region that needed it.

use super::code::{Addr, BlockId, Cond, Const, Draft, G, K, V};
use super::control::Loop;
use super::mask::MaskForm;
use super::memory::Known;
use super::settle::Level;
use super::shape::{Group, Shape};
use super::table::{Op, Size};
use crate::backend::CompileError;
use crate::ir::{self, OpCode, Terminator, Type};
use kiln_abi::{Ctx, LoopInfo, STATUS_ERROR, STATUS_OK, STATUS_STOPPED, array_slots};
use kiln_lang::tree;
use kiln_lang::types::{Generator, Layout, Scalar};
use regalloc2::{RegClass, VReg};
use std::mem::offset_of;

/// Registers in which `extern "C"` on System V passes the first four integers: rdi, rsi, rdx, rcx.
const PARAMETERS: [usize; 4] = [7, 6, 2, 1];

/// What is compiled, and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) program: &'a ir::Program,
    pub(super) func: &'a ir::Func,
    pub(super) level: Level,
    /// Program-wide number of the function's first check site.
    pub(super) site_base: u64,
}

/// Selects instructions for a function.
pub(super) fn select(source: Source<'_>) -> Result<Draft, CompileError> {
    let mut m = Draft::new();
    let [ctx, env, lo, hi] = m.entry(&PARAMETERS)[..] else { unreachable!("four parameters were asked for") };
    let exit = m.block(&[G]);
    let fail = m.block(&[]);
    let stop = m.block(&[]);
    let func = source.func;
    let mut selector = Selector {
        func,
        level: source.level,
        m,
        ctx,
        env,
        lo,
        hi,
        starts: vec![u32::MAX; func.values.len()],
        pool: Vec::with_capacity(2 * func.values.len()),
        forms: vec![None; func.values.len()],
        known: Known::default(),
        uses: super::uses::Uses::of(func),
        loops: Vec::new(),
        cold: Vec::new(),
        exit,
        fail,
        stop,
        site_base: source.site_base,
        result_slot: 0,
        chunk: func.chunk_of.map(|number| &source.program.loops[number as usize]),
        depth: 0,
    };
    selector.params();
    selector.region(func.body)?;
    selector.finish();
    Ok(selector.m)
}

/// The state of a function under construction.
pub(super) struct Selector<'a> {
    pub(super) func: &'a ir::Func,
    pub(super) level: Level,
    pub(super) m: Draft,
    pub(super) ctx: VReg,
    env: VReg,
    /// The chunk's first ordinal, and one past its last.
    pub(super) lo: VReg,
    pub(super) hi: VReg,
    /// Where in `pool` each IR value's registers start.
    starts: Vec<u32>,
    pool: Vec<VReg>,
    /// Per IR value that is a mask and has registers: its form.
    forms: Vec<Option<MaskForm>>,
    /// What was made when it was first needed.
    pub(super) known: Known,
    pub(super) uses: super::uses::Uses,
    /// Enclosing loops, innermost last.
    pub(super) loops: Vec<Loop>,
    /// Code for the end of the function.
    pub(super) cold: Vec<Cold>,
    /// Leaves with the status that it is given.
    pub(super) exit: BlockId,
    /// Leaves because a check has failed, and because the stop flag is up.
    pub(super) fail: BlockId,
    pub(super) stop: BlockId,
    pub(super) site_base: u64,
    /// First result slot in `env`.
    result_slot: usize,
    /// The outlined loop whose body this is.
    pub(super) chunk: Option<&'a LoopInfo>,
    /// Regions entered; 1 in the function's body.
    pub(super) depth: u32,
}

/// Rarely reached code, emitted behind everything else.
pub(super) enum Cold {
    /// Writes an error record: the site's number, and operands with their types.
    Record { block: BlockId, site: u64, operands: Vec<(VReg, Scalar)>, from: u32 },
    /// Writes terms to the buffer and goes on.
    Terms { block: BlockId, then: BlockId, terms: super::reduce::Terms, from: u32 },
}

/// What a region's end hands to the op that holds it.
pub(super) enum End<'a> {
    /// Values that it yields; the block is open.
    Yield(&'a [ir::Value]),
    /// It went elsewhere; the block is closed.
    Left,
}

/// Does control reach what follows an op?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Goes,
    Left,
}

impl<'a> Selector<'a> {
    /// Loads the parameters from `env`; those arrays that this task reduces into privately, from `ctx.partial`. What is not used costs nothing.
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
            let regs = match ty {
                Type::Scalar(scalar) => vec![self.load_slot(base, first, scalar)],
                Type::Array { .. } => (0..reg_count(ty))
                    .map(|k| self.m.op(Op::Mov, Size::Q, &[slot_at(base, first + k).into()]))
                    .collect(),
                Type::Lanes(..) | Type::Mask(_) => unreachable!("lanes do not cross a function's border"),
            };
            self.bind(param, &regs);
            slot += slots(ty);
        }
        self.result_slot = slot;
    }

    /// Emits what is rarely reached, and the exits.
    fn finish(&mut self) {
        self.m.go_cold();
        self.known.clear();
        for cold in std::mem::take(&mut self.cold) {
            match cold {
                Cold::Record { block, site, operands, from } => {
                    self.m.from = from;
                    self.m.begin(block);
                    self.write_record(site, &operands);
                    self.m.jump(self.fail, &[]);
                }
                Cold::Terms { block, then, terms, from } => {
                    self.m.from = from;
                    self.m.begin(block);
                    self.write_terms(&terms, then);
                }
            }
        }
        self.m.from = u32::MAX;
        for (block, status) in [(self.fail, STATUS_ERROR), (self.stop, STATUS_STOPPED)] {
            self.m.begin(block);
            let status = self.m.imm64(i64::from(status));
            self.m.jump(self.exit, &[status]);
        }
        self.m.begin(self.exit);
        let status = self.m.params(self.exit)[0];
        self.m.ret(status);
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
                self.leave_to(*level, args, |target| target.exit)?;
                Ok(End::Left)
            }
            Terminator::Continue(level, args) => {
                self.leave_to(*level, args, |target| target.next)?;
                Ok(End::Left)
            }
            Terminator::Return(args) => {
                self.store_results(args);
                let ok = self.m.imm64(i64::from(STATUS_OK));
                self.m.jump(self.exit, &[ok]);
                Ok(End::Left)
            }
        }
    }

    /// Results go to `env` behind the parameters. A chunk has none: its totals lie in `ctx.partial`.
    fn store_results(&mut self, args: &[ir::Value]) {
        if self.chunk.is_some() {
            return;
        }
        let mut slot = self.result_slot;
        for &arg in args {
            let ty = self.func.ty(arg);
            match ty {
                Type::Scalar(scalar) => {
                    let value = self.scalar(arg);
                    self.store_slot(self.env, slot, scalar, value);
                }
                Type::Array { .. } => {
                    let mut regs = self.regs(arg).to_vec();
                    if regs.len() < slots(ty) {
                        let strides = self.contiguous_strides(ty.scalar(), &regs[1..]);
                        regs.extend(strides);
                    }
                    for (k, reg) in regs.into_iter().enumerate() {
                        self.m.op(Op::MovStore, Size::Q, &[reg.into(), slot_at(self.env, slot + k).into()]);
                    }
                }
                Type::Lanes(..) | Type::Mask(_) => unreachable!("lanes do not cross a function's border"),
            }
            slot += slots(ty);
        }
    }

    fn op(&mut self, id: ir::OpId) -> Result<Flow, CompileError> {
        let func = self.func;
        let op = func.op(id);
        self.m.from = id.0;
        if self.uses.is_left_to_users(id) {
            return Ok(Flow::Goes);
        }
        if self.m.insts.len() > super::INST_LIMIT {
            let func = func.name.to_string();
            return Err(CompileError::TooLarge { func, limit: super::INST_LIMIT, of: "instructions" });
        }
        match &op.code {
            OpCode::Const(_) => {}
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
            | OpCode::Bitcast => self.arithmetic(op)?,
            OpCode::Draw { generator: Generator::Philox, kind } => self.philox(op, *kind),
            OpCode::Splat => self.splat(op),
            OpCode::Iota => self.iota(op),
            OpCode::Extract { lane } => self.extract(op, *lane),
            OpCode::Any | OpCode::All => {
                let cond = self.mask_test(op);
                let value = self.truth(cond);
                self.bind(op.results[0], &[value]);
            }
            OpCode::Dim { axis } => {
                let size = self.regs(op.args[0])[1 + usize::from(*axis)];
                self.bind(op.results[0], &[size]);
            }
            OpCode::Load => self.load(op, None)?,
            OpCode::LoadMasked => self.load(op, Some(op.args[1]))?,
            OpCode::Store => self.store(op, None)?,
            OpCode::StoreMasked => self.store(op, Some(op.args[1]))?,
            OpCode::Update(reduce) => self.update(op, *reduce, None)?,
            OpCode::UpdateMasked(reduce) => self.update(op, *reduce, Some(op.args[1]))?,
            OpCode::UpdateFma => self.update_fma(op, None)?,
            OpCode::UpdateFmaMasked => self.update_fma(op, Some(op.args[1]))?,
            OpCode::Check(site) => self.check(op, *site)?,
            OpCode::Send { reduction } => self.send(*reduction, &op.args, None)?,
            OpCode::SendFma { reduction } => self.send(*reduction, &op.args, None)?,
            OpCode::SendMasked { reduction } => self.send(*reduction, &op.args[1..], Some(op.args[0]))?,
            OpCode::If => return self.emit_if(op),
            OpCode::For(data) => self.emit_for(op, data)?,
            OpCode::While => self.emit_while(op)?,
            // Bodies from the prelude stand here by now.
            OpCode::Math(_)
            | OpCode::Draw { generator: Generator::Ars, .. }
            | OpCode::Alloc
            | OpCode::AllocUninit
            | OpCode::Free
            | OpCode::Call(_)
            | OpCode::Print(_)
            | OpCode::RunLoop { .. } => return Err(self.unsupported(op)),
        }
        Ok(Flow::Goes)
    }

    // Values

    /// The registers that an IR value is made of, if they exist by now: it is defined before this place.
    pub(super) fn bound(&self, value: ir::Value) -> Option<&[VReg]> {
        let start = self.starts[value.index()];
        (start != u32::MAX).then(|| &self.pool[start as usize..][..self.count(value)])
    }

    /// The registers that an IR value is made of.
    pub(super) fn regs(&self, value: ir::Value) -> &[VReg] {
        let start = self.starts[value.index()] as usize;
        &self.pool[start..][..self.count(value)]
    }

    fn count(&self, value: ir::Value) -> usize {
        match self.func.ty(value) {
            Type::Lanes(..) => self.shape(value).pieces(),
            Type::Mask(lanes) => self.forms[value.index()].map_or(1, |form| form.pieces(lanes, self.level)),
            ty => reg_count(ty),
        }
    }

    /// Says what an IR value is made of.
    pub(super) fn bind(&mut self, value: ir::Value, regs: &[VReg]) {
        debug_assert_eq!(regs.len(), self.count(value));
        self.starts[value.index()] = self.pool.len() as u32;
        self.pool.extend_from_slice(regs);
    }

    /// The same for a mask, with its form.
    pub(super) fn bind_mask(&mut self, value: ir::Value, form: MaskForm, group: &Group) {
        self.forms[value.index()] = Some(form);
        self.bind(value, group);
    }

    /// The form of a mask that has registers.
    pub(super) fn form(&self, value: ir::Value) -> Option<MaskForm> {
        self.forms[value.index()]
    }

    /// The form that control flow carries a mask in.
    pub(super) fn set_form(&mut self, value: ir::Value, form: MaskForm) {
        self.forms[value.index()] = Some(form);
    }

    /// The register of a scalar.
    pub(super) fn scalar(&mut self, value: ir::Value) -> VReg {
        if let Some(regs) = self.bound(value) {
            return regs[0];
        }
        let func = self.func;
        if let Some(constant) = func.as_const(value) {
            return self.constant(constant);
        }
        // A comparison that was left to its users.
        let cond = self.condition(value);
        self.truth(cond)
    }

    /// The constant integer or truth value that a value is.
    pub(super) fn known_int(&self, value: ir::Value) -> Option<i64> {
        let constant = self.func.as_const(value)?;
        match constant {
            tree::Const::Bool(value) => Some(i64::from(value)),
            tree::Const::I32(value) => Some(i64::from(value)),
            tree::Const::I64(value) => Some(value),
            tree::Const::U32(value) => Some(i64::from(value)),
            tree::Const::U64(value) => Some(value as i64),
            tree::Const::F32(_) | tree::Const::F64(_) => None,
        }
    }

    /// The same, if an instruction can have it as its immediate operand of so many bits.
    pub(super) fn immediate(&self, value: ir::Value) -> Option<i32> {
        let known = self.known_int(value)?;
        match self.func.ty(value).scalar().bits() {
            64 => i32::try_from(known).ok(),
            _ => Some(known as i32),
        }
    }

    pub(super) fn constant(&mut self, constant: tree::Const) -> VReg {
        let (ty, bits) = (ir::const_scalar(constant), ir::const_bits(constant));
        self.constant_bits(ty, bits)
    }

    /// A scalar from raw bits as the ABI writes them.
    pub(super) fn constant_bits(&mut self, ty: Scalar, bits: u64) -> VReg {
        match ty {
            Scalar::F32 => self.m.constant(Const::Splat { bits: bits & 0xffff_ffff, bytes: 4 }),
            Scalar::F64 => self.m.constant(Const::Splat { bits, bytes: 8 }),
            Scalar::Bool | Scalar::I32 | Scalar::U32 => {
                self.m.op_imm(Op::MovImm, Size::D, &[], bits as u32 as i32)
            }
            Scalar::I64 | Scalar::U64 => self.m.imm64(bits as i64),
        }
    }

    /// The shape of lanes, or of a scalar.
    pub(super) fn shape(&self, value: ir::Value) -> Shape {
        let ty = self.func.ty(value);
        Shape::new(ty.scalar(), ty.lanes(), self.level)
    }

    /// The pieces of lanes; the register of a scalar.
    pub(super) fn group(&mut self, value: ir::Value) -> Group {
        let func = self.func;
        if let Some(regs) = self.bound(value) {
            return Group::new(regs);
        }
        if func.ty(value).lanes() == 0 {
            return Group::one(self.scalar(value));
        }
        let Some(op) = func.def_op(value).map(|op| func.op(op)) else {
            unreachable!("verified: a value is defined before its use")
        };
        let shape = self.shape(value);
        match op.code {
            // Of a constant.
            OpCode::Splat => {
                let bits = func.as_const(op.args[0]).map_or(0, ir::const_bits);
                let reg = self.m.constant(Const::Splat { bits, bytes: shape.bytes() });
                Group::repeat(reg, shape.pieces())
            }
            // A register group that was left to its users because they are addresses.
            _ => self.make_iota(op, shape),
        }
    }

    /// Registers of several values, in order. Masks come in their own forms.
    pub(super) fn all_regs(&mut self, values: &[ir::Value]) -> Vec<VReg> {
        let mut all = Vec::new();
        for &value in values {
            match self.func.ty(value) {
                Type::Array { .. } => all.extend_from_slice(self.regs(value)),
                Type::Mask(_) => {
                    let form = self.own_form(value);
                    let group = self.mask_as(value, form);
                    all.extend_from_slice(&group);
                }
                Type::Scalar(_) => all.push(self.scalar(value)),
                Type::Lanes(..) => {
                    let group = self.group(value);
                    all.extend_from_slice(&group);
                }
            }
        }
        all
    }

    /// The registers of `args`, for parameters that stand for `like`: masks in the forms of those.
    pub(super) fn args_like(&mut self, args: &[ir::Value], like: &[Option<MaskForm>]) -> Vec<VReg> {
        let mut all = Vec::new();
        for (&arg, form) in args.iter().zip(like) {
            match form {
                Some(form) => {
                    let group = self.mask_as(arg, *form);
                    all.extend_from_slice(&group);
                }
                None => {
                    let regs = self.all_regs(&[arg]);
                    all.extend(regs);
                }
            }
        }
        all
    }

    /// Forms in which control flow carries values like these.
    pub(super) fn carried_forms(&self, values: &[ir::Value]) -> Vec<Option<MaskForm>> {
        values
            .iter()
            .map(|&value| match self.func.ty(value) {
                Type::Mask(lanes) => Some(self.natural_form(lanes)),
                Type::Scalar(_) | Type::Lanes(..) | Type::Array { .. } => None,
            })
            .collect()
    }

    /// Classes of the registers that control flow carries values like these in.
    pub(super) fn classes(&self, values: &[ir::Value]) -> Vec<RegClass> {
        let mut all = Vec::new();
        for &value in values {
            let ty = self.func.ty(value);
            match ty {
                Type::Scalar(scalar) => all.push(if scalar.is_float() { V } else { G }),
                Type::Array { .. } => all.extend(std::iter::repeat_n(G, reg_count(ty))),
                Type::Lanes(..) => all.extend(std::iter::repeat_n(V, self.shape(value).pieces())),
                Type::Mask(lanes) => {
                    let class = if self.level == Level::Avx512 { K } else { V };
                    let pieces = self.natural_form(lanes).pieces(lanes, self.level);
                    all.extend(std::iter::repeat_n(class, pieces));
                }
            }
        }
        all
    }

    /// Binds values one after another to what control flow carries.
    pub(super) fn bind_all(&mut self, values: &[ir::Value], regs: &[VReg]) {
        let mut at = 0;
        for &value in values {
            if let Type::Mask(lanes) = self.func.ty(value) {
                let form = self.natural_form(lanes);
                self.set_form(value, form);
            }
            let count = self.count(value);
            self.bind(value, &regs[at..at + count]);
            at += count;
        }
    }

    // Slots of 8 bytes: env, frame, partial

    /// Loads a scalar from a slot.
    pub(super) fn load_slot(&mut self, base: VReg, slot: usize, scalar: Scalar) -> VReg {
        self.load_scalar(scalar, slot_at(base, slot))
    }

    /// Loads a scalar.
    pub(super) fn load_scalar(&mut self, scalar: Scalar, addr: Addr) -> VReg {
        match scalar {
            Scalar::Bool => self.m.op(Op::MovzxByte, Size::D, &[addr.into()]),
            Scalar::I32 | Scalar::U32 => self.m.op(Op::Mov, Size::D, &[addr.into()]),
            Scalar::I64 | Scalar::U64 => self.m.op(Op::Mov, Size::Q, &[addr.into()]),
            Scalar::F32 => self.m.op(Op::VmovssLoad, Size::X, &[addr.into()]),
            Scalar::F64 => self.m.op(Op::VmovsdLoad, Size::X, &[addr.into()]),
        }
    }

    /// Stores a scalar to a slot.
    pub(super) fn store_slot(&mut self, base: VReg, slot: usize, scalar: Scalar, value: VReg) {
        let addr = slot_at(base, slot);
        match scalar {
            // The whole slot is the number.
            Scalar::Bool => {
                self.m.op(Op::MovStore, Size::Q, &[value.into(), addr.into()]);
            }
            _ => self.store_scalar(scalar, addr, value),
        }
    }

    /// Stores a scalar.
    pub(super) fn store_scalar(&mut self, scalar: Scalar, addr: Addr, value: VReg) {
        let args = [value.into(), addr.into()];
        match scalar {
            Scalar::Bool => self.m.op(Op::MovStoreByte, Size::D, &args),
            Scalar::I32 | Scalar::U32 => self.m.op(Op::MovStore, Size::D, &args),
            Scalar::I64 | Scalar::U64 => self.m.op(Op::MovStore, Size::Q, &args),
            Scalar::F32 => self.m.op(Op::VmovssStore, Size::X, &args),
            Scalar::F64 => self.m.op(Op::VmovsdStore, Size::X, &args),
        };
    }

    /// A field of `ctx`.
    pub(super) fn ctx_field(&mut self, offset: usize) -> VReg {
        self.m.op(Op::Mov, Size::Q, &[Addr::at(self.ctx, offset as i32).into()])
    }

    // Exits

    /// Reads the stop flag, and leaves if it is up.
    pub(super) fn poll(&mut self, go_on: BlockId, args: &[VReg]) {
        let flag = self.ctx_field(offset_of!(Ctx, stop));
        self.m.op_imm(Op::CmpImm, Size::D, &[Addr::at(flag, 0).into()], 0);
        self.m.branch(Cond::NotEqual, (self.stop, &[]), (go_on, args));
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

/// A slot's address.
pub(super) fn slot_at(base: VReg, slot: usize) -> Addr {
    Addr::at(base, 8 * slot as i32)
}

/// 8-byte slots of a value in an environment.
pub(super) fn slots(ty: Type) -> usize {
    match ty {
        Type::Array { rank, .. } => array_slots(usize::from(rank)),
        Type::Scalar(_) | Type::Lanes(..) | Type::Mask(_) => 1,
    }
}

/// Registers of a scalar or an array.
fn reg_count(ty: Type) -> usize {
    match ty {
        Type::Array { rank, layout: Layout::Contiguous, .. } => 1 + usize::from(rank),
        Type::Array { rank, layout: Layout::Strided, .. } => 1 + 2 * usize::from(rank),
        Type::Scalar(_) | Type::Lanes(..) | Type::Mask(_) => 1,
    }
}
