//! Settles what selection left open, and hands the code to the register allocator.
//!
//! In: a [`Draft`]. Out: a [`Settled`] function, as `regalloc2` wants it: dead code gone, loads in the operands of their only users, constants in registers or in
//! memory operands, every multiply-add in the form that saves a copy, critical edges split. Holds: the same results; every pass over the code is linear.
//!
//! Constants: the allocator would keep what is defined once in a register, or store and reload it. Better is a memory operand from the pool, broadcast where the
//! machine can. So the registers that a loop leaves free are counted here, and the constants that are used most get them, from the loop's preheader on.

use super::code::{
    BaseKind, Block, Code, Const, ConstId, Draft, Inst, Layout, List, LoopId, MaskMode, NO_INDEX, RmKind, V,
};
use super::table::{Class, Field, Memory, Op, Row, Size};
use regalloc2::{Operand, VReg};
use std::collections::HashMap;

/// Which encodings there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// VEX: 16 vector registers of 256 bits, masks in vectors.
    Avx2,
    /// EVEX: 32 vector registers of 512 bits, mask registers.
    Avx512,
}

impl Level {
    /// Bytes of the widest register.
    pub(super) fn bytes(self) -> usize {
        self.size().bytes()
    }

    /// The widest register.
    pub(super) fn size(self) -> Size {
        match self {
            Level::Avx2 => Size::Y,
            Level::Avx512 => Size::Z,
        }
    }

    /// Number of vector registers.
    pub(super) fn registers(self) -> usize {
        match self {
            Level::Avx2 => 16,
            Level::Avx512 => 32,
        }
    }
}

/// A block of a settled function.
#[derive(Clone, Copy, Debug)]
pub(super) struct SettledBlock {
    pub(super) insts: List,
    pub(super) params: List,
    /// In [`Settled::edges`].
    pub(super) succs: List,
    preds: List,
    args: [List; 2],
    pub(super) hot_head: bool,
}

/// A function ready for register allocation.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) insts: Vec<Inst>,
    pub(super) operands: Vec<Operand>,
    pub(super) blocks: Vec<SettledBlock>,
    lists: Vec<VReg>,
    /// Successors and predecessors.
    pub(super) edges: Vec<regalloc2::Block>,
    registers: usize,
    pub(super) level: Level,
    /// Constants, and whether code refers to them, as one element or as a whole register.
    pub(super) constants: Vec<Const>,
    /// Bytes of the frame that selection handed out.
    pub(super) frame: i32,
    /// The widest vector in use.
    pub(super) widest: Size,
}

/// `u32::MAX` stands for "none" in the tables of this file.
const NONE: u32 = u32::MAX;
/// Registers that are left to the allocator's own moves.
const SPARE: u32 = 1;
/// A constant that was put into a register is used again for so many instructions.
const REMEMBERED: u32 = 12;
/// An inner loop is taken to run so many times.
const TURNS: u32 = 8;

/// Settles a function.
pub(super) fn settle(draft: Draft, level: Level) -> Settled {
    let mut work = Work::new(draft, level);
    work.count_uses();
    work.remove_dead();
    work.find_ranges();
    work.place_constants();
    work.rewrite()
}

struct Work {
    draft: Draft,
    level: Level,
    /// Blocks that are reached, in the order in which they will lie.
    order: Vec<usize>,
    /// Number of edges into each block.
    preds: Vec<u32>,
    /// Blocks that follow each other without another way in are one segment.
    segment: Vec<u32>,
    dead: Vec<bool>,
    // Per virtual register.
    uses: Vec<u32>,
    last_use: Vec<u32>,
    def_segment: Vec<u32>,
    escapes: Vec<bool>,
    /// Number of instructions before each that write memory.
    epoch: Vec<u32>,
    /// Constants and the loops from whose preheaders on they are in registers.
    hoists: Vec<(ConstId, LoopId)>,
}

impl Work {
    fn new(draft: Draft, level: Level) -> Work {
        let count = draft.blocks.len();
        let mut reached = vec![false; count];
        let mut preds = vec![0; count];
        let mut stack = vec![0];
        reached[0] = true;
        while let Some(block) = stack.pop() {
            for (succ, _) in draft.blocks[block].succs.iter().flatten() {
                let succ = succ.0 as usize;
                preds[succ] += 1;
                if !reached[succ] {
                    reached[succ] = true;
                    stack.push(succ);
                }
            }
        }
        let filled = draft.order.iter().map(|id| id.0 as usize).filter(|&block| reached[block]);
        let (cold, mut order): (Vec<usize>, Vec<usize>) = filled.partition(|&block| draft.blocks[block].cold);
        order.extend(cold);
        let mut segment = vec![NONE; count];
        for (k, &block) in order.iter().enumerate() {
            let before = k.checked_sub(1).map(|k| order[k]);
            segment[block] = match before {
                Some(before)
                    if preds[block] == 1
                        && draft.blocks[before]
                            .succs
                            .iter()
                            .flatten()
                            .any(|(succ, _)| succ.0 as usize == block)
                        && draft.blocks[before].in_loop == draft.blocks[block].in_loop =>
                {
                    segment[before]
                }
                _ => k as u32,
            };
        }
        let (regs, insts) = (draft.const_of.len(), draft.insts.len());
        Work {
            draft,
            level,
            order,
            preds,
            segment,
            dead: vec![false; insts],
            uses: vec![0; regs],
            last_use: vec![NONE; regs],
            def_segment: vec![NONE; regs],
            escapes: vec![false; regs],
            epoch: vec![0; insts + 1],
            hoists: Vec::new(),
        }
    }

    fn block(&self, block: usize) -> &Block {
        &self.draft.blocks[block]
    }

    /// What a block's end hands to its successors.
    fn args(&self, block: usize) -> impl Iterator<Item = VReg> {
        self.block(block)
            .succs
            .iter()
            .flatten()
            .flat_map(|(_, args)| self.draft.lists[args.range()].iter().copied())
    }

    fn is_use(operand: &Operand, position: usize, layout: &Layout) -> bool {
        match position < usize::from(layout.fixed) {
            true => position >= usize::from(layout.results),
            false => operand.kind() == regalloc2::OperandKind::Use,
        }
    }

    fn count_uses(&mut self) {
        for k in 0..self.order.len() {
            let block = self.order[k];
            for at in self.block(block).insts.range() {
                let inst = self.draft.insts[at];
                let layout = inst.layout();
                for (position, operand) in operands_of(&self.draft, &inst).iter().enumerate() {
                    if Work::is_use(operand, position, &layout) {
                        self.uses[operand.vreg().vreg()] += 1;
                    }
                }
            }
            for list in self.block(block).succs.map(|succ| succ.map(|(_, args)| args)).into_iter().flatten() {
                for arg in list.range() {
                    self.uses[self.draft.lists[arg].vreg()] += 1;
                }
            }
        }
    }

    fn remove_dead(&mut self) {
        for k in (0..self.order.len()).rev() {
            let block = self.order[k];
            for at in self.block(block).insts.range().rev() {
                let inst = self.draft.insts[at];
                let layout = inst.layout();
                let operands = operands_of(&self.draft, &inst);
                let is_fixed = layout.fixed < inst.count;
                if is_fixed || !inst.is_removable() {
                    continue;
                }
                let results = &operands[..usize::from(layout.results)];
                if results.iter().all(|result| self.uses[result.vreg().vreg()] == 0) {
                    self.dead[at] = true;
                    for operand in &operands[usize::from(layout.results)..] {
                        self.uses[operand.vreg().vreg()] -= 1;
                    }
                }
            }
        }
    }

    /// Where each register is defined and used last, and where memory changes.
    fn find_ranges(&mut self) {
        let mut epoch = 0;
        for k in 0..self.order.len() {
            let block = self.order[k];
            let segment = self.segment[block];
            for param in self.block(block).params.range() {
                self.def_segment[self.draft.lists[param].vreg()] = segment;
            }
            let insts = self.block(block).insts;
            for at in insts.range() {
                self.epoch[at] = epoch;
                if self.dead[at] {
                    continue;
                }
                let inst = self.draft.insts[at];
                epoch += u32::from(inst.writes_memory());
                let layout = inst.layout();
                let range = inst.first as usize..inst.first as usize + usize::from(inst.count);
                for (position, at_operand) in range.enumerate() {
                    let operand = self.draft.operands[at_operand];
                    let reg = operand.vreg().vreg();
                    if Work::is_use(&operand, position, &layout) {
                        self.note_use(reg, at as u32, segment);
                    } else {
                        self.def_segment[reg] = segment;
                    }
                }
            }
            let args: Vec<VReg> = self.args(block).collect();
            for arg in args {
                self.note_use(arg.vreg(), insts.end - 1, segment);
            }
        }
    }

    fn note_use(&mut self, reg: usize, at: u32, segment: u32) {
        self.escapes[reg] |= self.def_segment[reg] != segment;
        self.last_use[reg] = at;
    }

    /// Is the instruction the last that needs the register?
    fn dies(&self, reg: VReg, at: usize) -> bool {
        let reg = reg.vreg();
        !self.escapes[reg] && self.last_use[reg] == at as u32
    }

    // Constants

    fn depth(&self, id: LoopId) -> u32 {
        let (mut depth, mut at) = (0, id);
        while at.0 != 0 {
            depth += 1;
            at = self.draft.loops[at.0 as usize].parent;
        }
        depth
    }

    /// The vector registers that each loop needs at once, without constants.
    fn pressure(&self) -> Vec<u32> {
        let loops = self.draft.loops.len();
        let mut loop_end = vec![0u32; loops];
        for &block in &self.order {
            let data = self.block(block);
            if data.cold {
                continue;
            }
            let mut at = data.in_loop;
            loop {
                let end = &mut loop_end[at.0 as usize];
                *end = (*end).max(data.insts.end);
                if at.0 == 0 {
                    break;
                }
                at = self.draft.loops[at.0 as usize].parent;
            }
        }
        let regs = self.draft.const_of.len();
        let (mut start, mut end) = (vec![NONE; regs], vec![0u32; regs]);
        let mut home = vec![LoopId(0); regs];
        for &block in &self.order {
            let data = *self.block(block);
            if data.cold {
                continue;
            }
            for param in data.params.range().map(|param| self.draft.lists[param]) {
                if param.class() == V {
                    let reg = param.vreg();
                    (start[reg], home[reg]) = (data.insts.start, data.in_loop);
                    end[reg] = end[reg].max(data.insts.start);
                }
            }
            let used = |reg: VReg, at: u32, start: &[u32], home: &[LoopId], end: &mut [u32]| {
                let reg = reg.vreg();
                if start[reg] == NONE {
                    return;
                }
                // A value from outside stays throughout the outermost loop that it is used in.
                let (mut until, mut inner) = (at, data.in_loop);
                while inner != home[reg] && inner.0 != 0 {
                    until = until.max(loop_end[inner.0 as usize]);
                    inner = self.draft.loops[inner.0 as usize].parent;
                }
                if inner != home[reg] {
                    until = at;
                }
                end[reg] = end[reg].max(until);
            };
            for at in data.insts.range().filter(|&at| !self.dead[at]) {
                let inst = self.draft.insts[at];
                let layout = inst.layout();
                for (position, operand) in operands_of(&self.draft, &inst).iter().enumerate() {
                    if operand.vreg().class() != V {
                        continue;
                    }
                    let reg = operand.vreg();
                    if Work::is_use(operand, position, &layout) {
                        used(reg, at as u32, &start, &home, &mut end);
                    } else {
                        (start[reg.vreg()], home[reg.vreg()]) = (at as u32, data.in_loop);
                        end[reg.vreg()] = end[reg.vreg()].max(at as u32 + 1);
                    }
                }
            }
            for arg in self.args(block) {
                used(arg, data.insts.end - 1, &start, &home, &mut end);
            }
        }
        let mut change = vec![0i32; self.draft.insts.len() + 1];
        for reg in 0..regs {
            if start[reg] != NONE {
                change[start[reg] as usize] += 1;
                change[end[reg] as usize] -= 1;
            }
        }
        let mut most = vec![0u32; loops];
        let mut live = 0;
        for &block in &self.order {
            let data = self.block(block);
            if data.cold {
                continue;
            }
            for at in data.insts.range() {
                live += change[at];
                let most = &mut most[data.in_loop.0 as usize];
                *most = (*most).max(live.max(0) as u32);
            }
        }
        most
    }

    /// Decides which constants have registers in which loops.
    fn place_constants(&mut self) {
        if self.draft.constants.is_empty() {
            return;
        }
        // Uses by constant and loop; one that cannot be a memory operand costs an instruction.
        let mut uses: HashMap<(u32, u32), u32> = HashMap::new();
        for &block in &self.order {
            let data = self.block(block);
            if data.cold || data.in_loop.0 == 0 {
                continue;
            }
            for at in data.insts.range().filter(|&at| !self.dead[at]) {
                let inst = self.draft.insts[at];
                let layout = inst.layout();
                for (position, operand) in operands_of(&self.draft, &inst).iter().enumerate() {
                    let Some(id) = self.draft.const_of[operand.vreg().vreg()] else { continue };
                    let folds = self.may_fold(&inst, &layout, position, self.draft.constants[id.0 as usize]);
                    *uses.entry((id.0, data.in_loop.0)).or_default() += if folds { 1 } else { 3 };
                }
            }
        }
        if uses.is_empty() {
            return;
        }
        let mut wanted: Vec<(u32, u32, u32)> = uses
            .into_iter()
            .map(|((id, at), uses)| (uses * TURNS.saturating_pow(self.depth(LoopId(at)).min(6)), id, at))
            .collect();
        wanted.sort_unstable_by_key(|&(weight, id, at)| (std::cmp::Reverse(weight), id, at));
        let limit = self.level.registers() as u32 - SPARE;
        let mut pressure = self.pressure();
        for (_, id, at) in wanted {
            let chain = self.ancestors(LoopId(at));
            let id = ConstId(id);
            if chain.iter().any(|&outer| self.hoists.contains(&(id, outer))) {
                continue;
            }
            let inside = |outer: LoopId| {
                let all = (1..self.draft.loops.len() as u32).map(LoopId);
                all.filter(|&inner| self.is_inside(inner, outer)).collect::<Vec<LoopId>>()
            };
            let fits =
                |outer: &&LoopId| inside(**outer).iter().all(|inner| pressure[inner.0 as usize] < limit);
            if let Some(&outer) = chain.iter().find(fits) {
                for inner in inside(outer) {
                    pressure[inner.0 as usize] += 1;
                }
                self.hoists.push((id, outer));
            }
        }
    }

    /// The loops around a place, outermost first, without the function itself.
    fn ancestors(&self, innermost: LoopId) -> Vec<LoopId> {
        let mut chain = Vec::new();
        let mut at = innermost;
        while at.0 != 0 {
            chain.push(at);
            at = self.draft.loops[at.0 as usize].parent;
        }
        chain.reverse();
        chain
    }

    fn is_inside(&self, inner: LoopId, outer: LoopId) -> bool {
        let mut at = inner;
        while at != outer && at.0 != 0 {
            at = self.draft.loops[at.0 as usize].parent;
        }
        at == outer
    }

    /// Can the operand at that position be a memory operand with this constant?
    fn may_fold(&self, inst: &Inst, layout: &Layout, position: usize, constant: Const) -> bool {
        let Some(row) = inst.row() else { return false };
        if inst.rm != RmKind::Reg || !row.reads_memory() || is_cheap(constant) {
            return false;
        }
        places(inst, layout).contains(&Some(position as u8))
            && fold_constant(row, inst.size, constant, self.level).is_some()
    }

    fn rewrite(self) -> Settled {
        Rewriter::new(self).run()
    }
}

/// Is it made without memory, by an instruction that costs as little as a load?
fn is_cheap(constant: Const) -> bool {
    matches!(constant, Const::Splat { bits: 0, .. })
}

/// How a constant is an operand in memory.
fn fold_constant(row: &Row, size: Size, constant: Const, level: Level) -> Option<RmKind> {
    let wanted = row.memory_bytes(size);
    match constant {
        Const::Splat { bytes, .. } => {
            if level == Level::Avx512 && row.broadcast() == Some(bytes) {
                return Some(RmKind::Broadcast);
            }
            // Whole registers of equal elements; or one element.
            (wanted == usize::from(bytes) || matches!(row.memory, Memory::Full(_) | Memory::FullMem))
                .then_some(RmKind::Mem)
        }
        Const::Vector(_) => matches!(row.memory, Memory::Full(_) | Memory::FullMem).then_some(RmKind::Mem),
    }
}

fn operands_of<'d>(draft: &'d Draft, inst: &Inst) -> &'d [Operand] {
    &draft.operands[inst.first as usize..][..usize::from(inst.count)]
}

/// May old value, vvvv and rm change places (the opcode or the immediate changing with them)?
fn is_flexible(inst: &Inst) -> bool {
    let Code::Op(op) = inst.code else { return false };
    inst.mask != MaskMode::Merge && (is_fma(op) || is_ternary(op)) || is_commutative(op)
}

/// The places whose operands may change with each other: old value, vvvv, rm. Only the last can be memory.
fn places(inst: &Inst, layout: &Layout) -> [Option<u8>; 3] {
    if !is_flexible(inst) {
        return [None, None, layout.rm];
    }
    // Under a mask, the old value of what does not accumulate is no operand.
    let accumulates = inst.row().is_some_and(Row::accumulates);
    let old = layout.olds[0].map(|(old, _)| old).filter(|_| accumulates);
    [old, layout.vvvv, layout.rm]
}

/// Multiply-adds in form 132, the one that selection writes.
fn is_fma(op: Op) -> bool {
    matches!(
        op,
        Op::Vfmadd132pd
            | Op::Vfmadd132ps
            | Op::Vfmadd132sd
            | Op::Vfmadd132ss
            | Op::Vfmsub132pd
            | Op::Vfmsub132ps
            | Op::Vfmsub132sd
            | Op::Vfmsub132ss
            | Op::Vfnmadd132pd
            | Op::Vfnmadd132ps
            | Op::Vfnmadd132sd
            | Op::Vfnmadd132ss
            | Op::Vfnmsub132pd
            | Op::Vfnmsub132ps
            | Op::Vfnmsub132sd
            | Op::Vfnmsub132ss
    )
}

fn is_ternary(op: Op) -> bool {
    matches!(op, Op::Vpternlogd | Op::Vpternlogq)
}

/// The two operands may change places.
fn is_commutative(op: Op) -> bool {
    matches!(
        op,
        Op::Vaddpd
            | Op::Vaddps
            | Op::Vaddsd
            | Op::Vaddss
            | Op::Vmulpd
            | Op::Vmulps
            | Op::Vmulsd
            | Op::Vmulss
            | Op::Vpand
            | Op::Vpor
            | Op::Vpxor
            | Op::Vpandd
            | Op::Vpandq
            | Op::Vpord
            | Op::Vporq
            | Op::Vpxord
            | Op::Vpxorq
            | Op::Vpaddd
            | Op::Vpaddq
            | Op::Vpmulld
            | Op::Vpmullq
            | Op::Vpmuludq
            | Op::Vpmuldq
            | Op::Vpminsd
            | Op::Vpminsq
            | Op::Vpminud
            | Op::Vpminuq
            | Op::Vpmaxsd
            | Op::Vpmaxsq
            | Op::Vpmaxud
            | Op::Vpmaxuq
            | Op::Vpcmpeqd
            | Op::Vpcmpeqq
            | Op::Add
            | Op::Or
            | Op::And
            | Op::Xor
            | Op::Imul
    )
}

/// A load that may become its user's memory operand.
struct Pending {
    /// Instead of this register.
    reg: VReg,
    inst: Inst,
    operands: [Option<VReg>; 2],
}

/// Writes the settled function.
struct Rewriter {
    work: Work,
    out: Settled,
    /// Loads that wait for their users, by the user's number.
    pending: HashMap<u32, Pending>,
    /// Constants in registers here: by hoist.
    hoisted: Vec<Option<VReg>>,
    /// The constant last put into a register, by constant: its register, where, and in which segment.
    recent: Vec<Option<(VReg, u32, u32)>>,
    /// Number in the settled function of each block.
    numbers: Vec<u32>,
}

/// An instruction taken apart, to be changed.
#[derive(Clone, Copy)]
struct Parts {
    inst: Inst,
    layout: Layout,
    regs: [VReg; 8],
    fixed: [Option<Operand>; 8],
}

impl Rewriter {
    fn new(work: Work) -> Rewriter {
        let draft = &work.draft;
        let mut numbers = vec![NONE; draft.blocks.len()];
        // Every critical edge gets a block of its own behind the branch.
        let mut next = 0;
        for &block in &work.order {
            numbers[block] = next;
            next += 1;
            let succs = &draft.blocks[block].succs;
            if succs[1].is_some() {
                let critical = |(succ, _): &(super::code::BlockId, List)| work.preds[succ.0 as usize] > 1;
                next += succs.iter().flatten().filter(|succ| critical(succ)).count() as u32;
            }
        }
        let out = Settled {
            insts: Vec::with_capacity(draft.insts.len() + 64),
            operands: Vec::with_capacity(draft.operands.len() + 64),
            blocks: Vec::with_capacity(next as usize),
            lists: draft.lists.clone(),
            edges: Vec::with_capacity(4 * next as usize),
            registers: draft.const_of.len(),
            level: work.level,
            constants: draft.constants.clone(),
            frame: draft.frame,
            widest: Size::X,
        };
        let recent = vec![None; draft.constants.len()];
        let hoisted = vec![None; work.hoists.len()];
        Rewriter { work, out, pending: HashMap::new(), hoisted, recent, numbers }
    }

    fn run(mut self) -> Settled {
        for k in 0..self.work.order.len() {
            let block = self.work.order[k];
            self.block(block);
        }
        self.predecessors();
        self.out
    }

    fn block(&mut self, block: usize) {
        let data = *self.work.block(block);
        let start = self.out.insts.len() as u32;
        let last = data.insts.end as usize - 1;
        for at in data.insts.range() {
            if at == last {
                self.before_end(block, at);
            }
            if !self.work.dead[at] {
                self.inst(block, at);
            }
        }
        let insts = List { start, end: self.out.insts.len() as u32 };
        let succ_start = self.out.edges.len() as u32;
        let mut args = [List::default(); 2];
        let mut splits = Vec::new();
        let number = self.numbers[block];
        for (k, (succ, list)) in data.succs.iter().flatten().enumerate() {
            let target = self.numbers[succ.0 as usize];
            let critical = data.succs[1].is_some() && self.work.preds[succ.0 as usize] > 1;
            if critical {
                let split = number + 1 + splits.len() as u32;
                splits.push((target, *list));
                self.out.edges.push(regalloc2::Block::new(split as usize));
            } else {
                args[k] = *list;
                self.out.edges.push(regalloc2::Block::new(target as usize));
            }
        }
        let succs = List { start: succ_start, end: self.out.edges.len() as u32 };
        let (params, preds) = (data.params, List::default());
        self.out.blocks.push(SettledBlock { insts, params, succs, preds, args, hot_head: data.hot_head });
        for (target, list) in splits {
            let start = self.out.insts.len() as u32;
            let mut jump = self.work.draft.insts[last];
            (jump.code, jump.first, jump.count) = (Code::Jump, self.out.operands.len() as u32, 0);
            self.out.insts.push(jump);
            let succ_start = self.out.edges.len() as u32;
            self.out.edges.push(regalloc2::Block::new(target as usize));
            self.out.blocks.push(SettledBlock {
                insts: List { start, end: start + 1 },
                params: List::default(),
                succs: List { start: succ_start, end: succ_start + 1 },
                preds: List::default(),
                args: [list, List::default()],
                hot_head: false,
            });
        }
    }

    fn predecessors(&mut self) {
        let blocks = self.out.blocks.len();
        let mut counts = vec![0u32; blocks];
        let succs: Vec<(usize, usize)> = (0..blocks)
            .flat_map(|block| {
                let edges = &self.out.edges[self.out.blocks[block].succs.range()];
                edges.iter().map(move |succ| (block, succ.index()))
            })
            .collect();
        for &(_, to) in &succs {
            counts[to] += 1;
        }
        let mut at = self.out.edges.len() as u32;
        for (block, count) in self.out.blocks.iter_mut().zip(&counts) {
            block.preds = List { start: at, end: at };
            at += count;
        }
        self.out.edges.resize(at as usize, regalloc2::Block::new(0));
        for (from, to) in succs {
            let preds = &mut self.out.blocks[to].preds;
            self.out.edges[preds.end as usize] = regalloc2::Block::new(from);
            preds.end += 1;
        }
    }

    /// Before a block's last instruction: constants for the loops entered from here, and those that are handed on.
    fn before_end(&mut self, block: usize, at: usize) {
        for k in 0..self.work.hoists.len() {
            let (id, at_loop) = self.work.hoists[k];
            if self.work.draft.loops[at_loop.0 as usize].preheader.0 as usize == block {
                let reg = self.make_constant(id, self.work.draft.insts[at].from);
                self.hoisted[k] = Some(reg);
            }
        }
        for list in self.work.block(block).succs.map(|succ| succ.map(|(_, args)| args)).into_iter().flatten()
        {
            for arg in list.range() {
                let reg = self.work.draft.lists[arg];
                if self.work.draft.const_of[reg.vreg()].is_some() {
                    self.out.lists[arg] = self.constant_register(reg, block, at);
                }
            }
        }
    }

    /// The instruction that puts a constant into a new register.
    fn make_constant(&mut self, id: ConstId, from: u32) -> VReg {
        let reg = VReg::new(self.out.registers, V);
        self.out.registers += 1;
        let constant = self.work.draft.constants[id.0 as usize];
        let size = self.work.level.size();
        let mut inst = Inst {
            code: Code::Op(Op::Vmovups),
            size,
            mask: MaskMode::None,
            rm: RmKind::Mem,
            base: BaseKind::Pool,
            shift: NO_INDEX,
            count: 1,
            first: self.out.operands.len() as u32,
            imm: 0,
            disp: id.0 as i32,
            from,
        };
        match constant {
            Const::Splat { bits: 0, .. } => {
                (inst.code, inst.rm) = (Code::Zero, RmKind::Reg);
            }
            Const::Splat { bytes: 4, .. } => inst.code = Code::Op(Op::Vpbroadcastd),
            Const::Splat { bytes: 8, .. } => inst.code = Code::Op(Op::Vpbroadcastq),
            Const::Splat { .. } | Const::Vector(_) => {}
        }
        self.out.operands.push(Operand::reg_def(reg));
        self.out.insts.push(inst);
        reg
    }

    /// A register that holds a constant here.
    fn constant_register(&mut self, reg: VReg, block: usize, at: usize) -> VReg {
        let Some(id) = self.work.draft.const_of[reg.vreg()] else { return reg };
        if let Some(hoisted) = self.hoisted_here(id, block) {
            return hoisted;
        }
        let segment = self.work.segment[block];
        if let Some((known, place, its_segment)) = self.recent[id.0 as usize]
            && its_segment == segment
            && at as u32 - place <= REMEMBERED
        {
            return known;
        }
        let reg = self.make_constant(id, self.work.draft.insts[at].from);
        self.recent[id.0 as usize] = Some((reg, at as u32, segment));
        reg
    }

    fn hoisted_here(&self, id: ConstId, block: usize) -> Option<VReg> {
        let here = self.work.block(block);
        if here.cold || here.in_loop.0 == 0 {
            return None;
        }
        let found = self
            .work
            .hoists
            .iter()
            .position(|&(hoisted, outer)| hoisted == id && self.work.is_inside(here.in_loop, outer))?;
        self.hoisted[found]
    }

    fn inst(&mut self, block: usize, at: usize) {
        let inst = self.work.draft.insts[at];
        let layout = inst.layout();
        let mut parts = Parts { inst, layout, regs: [VReg::invalid(); 8], fixed: [None; 8] };
        for (k, operand) in operands_of(&self.work.draft, &inst).iter().enumerate() {
            parts.regs[k] = operand.vreg();
            if k >= usize::from(layout.fixed) {
                parts.fixed[k] = Some(*operand);
            }
        }
        let pending = self.pending.remove(&(at as u32));
        if let Some(row) = inst.row() {
            self.choose_form(&mut parts, row, block, at, pending);
        }
        if self.postpone(&parts, at) {
            return;
        }
        for k in usize::from(parts.layout.results)..usize::from(parts.inst.count) {
            parts.regs[k] = self.constant_register(parts.regs[k], block, at);
        }
        let parts = self.shorter(&parts, at).unwrap_or(parts);
        self.push(&parts);
    }

    /// Decides which operand is in memory and which one the result replaces.
    fn choose_form(
        &mut self,
        parts: &mut Parts,
        row: &'static Row,
        block: usize,
        at: usize,
        pending: Option<Pending>,
    ) {
        let layout = parts.layout;
        let Some(rm) = layout.rm else {
            debug_assert!(pending.is_none());
            return;
        };
        let places = places(&parts.inst, &layout);
        // Which of them becomes memory.
        let mut memory = None;
        if let Some(load) = &pending {
            memory = places
                .iter()
                .position(|place| place.is_some_and(|place| parts.regs[usize::from(place)] == load.reg));
            debug_assert!(memory.is_some(), "a load was promised a place");
        } else if parts.inst.rm == RmKind::Reg && row.reads_memory() {
            // The last place first: it is the one that can be memory as things stand.
            memory = (0..3).rev().find(|&k| {
                places[k].is_some_and(|place| {
                    self.folds_here(parts.regs[usize::from(place)], row, parts.inst.size, block)
                })
            });
        }
        if is_flexible(&parts.inst) {
            self.permute(parts, places, memory, at);
        }
        let Some(_) = memory else { return };
        let rm = usize::from(rm);
        let reg = parts.regs[rm];
        let inst = &mut parts.inst;
        match pending {
            Some(load) => {
                (inst.base, inst.shift, inst.disp) = (load.inst.base, load.inst.shift, load.inst.disp);
                inst.rm = match load.inst.rm {
                    RmKind::Mem
                        if is_broadcast_load(&load.inst) && !wants_element(row, inst.size, &load.inst) =>
                    {
                        RmKind::Broadcast
                    }
                    kind => kind,
                };
                // The address takes the register's place.
                let address: Vec<VReg> = load.operands.into_iter().flatten().collect();
                self.replace(parts, rm, &address);
            }
            None => {
                let Some(id) = self.work.draft.const_of[reg.vreg()] else { return };
                let constant = self.work.draft.constants[id.0 as usize];
                let Some(kind) = fold_constant(row, inst.size, constant, self.work.level) else { return };
                (inst.rm, inst.base, inst.shift, inst.disp) = (kind, BaseKind::Pool, NO_INDEX, id.0 as i32);
                self.replace(parts, rm, &[]);
            }
        }
    }

    /// Is the register a constant that is better read from the pool here?
    fn folds_here(&self, reg: VReg, row: &Row, size: Size, block: usize) -> bool {
        let Some(id) = self.work.draft.const_of[reg.vreg()] else { return false };
        let constant = self.work.draft.constants[id.0 as usize];
        !is_cheap(constant)
            && self.hoisted_here(id, block).is_none()
            && fold_constant(row, size, constant, self.work.level).is_some()
    }

    /// Puts registers in place of the one at a position.
    fn replace(&self, parts: &mut Parts, position: usize, with: &[VReg]) {
        let count = usize::from(parts.inst.count);
        let end = position + with.len();
        let moved = count - position - 1;
        parts.regs.copy_within(position + 1..count, end);
        parts.fixed.copy_within(position + 1..count, end);
        parts.regs[position..end].copy_from_slice(with);
        parts.fixed[position..end].fill(None);
        parts.inst.count = (end + moved) as u8;
        parts.layout = parts.inst.layout();
    }

    /// Orders the operands: memory last, and first, if the result takes its place, one that is not needed any more.
    fn permute(&self, parts: &mut Parts, places: [Option<u8>; 3], memory: Option<usize>, at: usize) {
        let Code::Op(op) = parts.inst.code else { return };
        let reg = |k: usize| places[k].map(|place| parts.regs[usize::from(place)]);
        // Numbers of places, in their new order: what was at `order[k]` goes to place k.
        let mut order = [0, 1, 2];
        if let Some(memory) = memory {
            order.swap(memory, 2);
        }
        if places[0].is_some() {
            let dies = |k: usize| reg(k).is_some_and(|reg| self.work.dies(reg, at));
            let movable: &[usize] = if memory.is_some() { &[0, 1] } else { &[0, 1, 2] };
            // An addend first: then the factors stay where they are.
            let mut candidates: Vec<usize> =
                movable.iter().copied().filter(|&k| places[k].is_some()).collect();
            if is_fma(op) {
                candidates.sort_by_key(|&k| order[k] != 1);
            }
            if let Some(&best) = candidates.iter().find(|&&k| dies(order[k])) {
                order.swap(0, best);
            } else if is_fma(op)
                && let Some(&addend) = candidates.first()
            {
                order.swap(0, addend);
            }
        }
        let old_regs = [reg(0), reg(1), reg(2)];
        for (k, place) in places.iter().enumerate() {
            if let (Some(place), Some(reg)) = (place, old_regs[order[k]]) {
                parts.regs[usize::from(*place)] = reg;
            }
        }
        if is_fma(op) {
            // Selection wrote old * rm + vvvv: places 0 and 2 are factors, 1 is the addend.
            let addend = order.iter().position(|&from| from == 1).unwrap_or(1);
            let form = match addend {
                0 => 2, // 231: vvvv * rm + reg
                1 => 0, // 132: reg * rm + vvvv
                _ => 1, // 213: vvvv * reg + rm
            };
            parts.inst.code = Code::Op(Op::ALL[op as usize + form]);
        } else if is_ternary(op) {
            let table = parts.inst.imm as u8;
            let mut permuted = 0;
            for row in 0..8u8 {
                // Bits of the row by new place; place 0 is the highest.
                let bit = |place: usize| row >> (2 - place) & 1;
                let mut old_row = 0;
                for (place, &from) in order.iter().enumerate() {
                    old_row |= bit(place) << (2 - from);
                }
                permuted |= (table >> old_row & 1) << row;
            }
            parts.inst.imm = i32::from(permuted as i8);
        }
    }

    /// Keeps a load for its only user, if that can read memory.
    fn postpone(&mut self, parts: &Parts, at: usize) -> bool {
        let inst = &parts.inst;
        if inst.mask != MaskMode::None || inst.rm == RmKind::Reg || inst.base == BaseKind::Pool {
            return false;
        }
        let is_load = matches!(
            inst.code,
            Code::Op(
                Op::Vmovups
                    | Op::Vmovupd
                    | Op::VmovssLoad
                    | Op::VmovsdLoad
                    | Op::Vpbroadcastd
                    | Op::Vpbroadcastq
                    | Op::Mov
            )
        );
        let reg = parts.regs[0];
        if !is_load || self.work.uses[reg.vreg()] != 1 || self.work.escapes[reg.vreg()] {
            return false;
        }
        let user_at = self.work.last_use[reg.vreg()];
        if self.work.epoch[user_at as usize] != self.work.epoch[at] || self.pending.contains_key(&user_at) {
            return false;
        }
        let user = self.work.draft.insts[user_at as usize];
        let Some(row) = user.row() else { return false };
        if user.rm != RmKind::Reg || !row.reads_memory() {
            return false;
        }
        let layout = user.layout();
        let regs = operands_of(&self.work.draft, &user);
        let stands_at =
            |place: &Option<u8>| place.is_some_and(|place| regs[usize::from(place)].vreg() == reg);
        if !places(&user, &layout).iter().any(stands_at) || !fits(inst, row, user.size, self.work.level) {
            return false;
        }
        let mut operands = [None; 2];
        let address = [parts.layout.base, parts.layout.index].into_iter().flatten();
        for (operand, place) in operands.iter_mut().zip(address) {
            *operand = Some(parts.regs[usize::from(place)]);
        }
        self.pending.insert(user_at, Pending { reg, inst: *inst, operands });
        true
    }

    /// Appends an instruction with the constraints of its operands.
    fn push(&mut self, parts: &Parts) {
        let mut inst = parts.inst;
        let layout = &parts.layout;
        if inst.row().is_some_and(has_vectors) {
            self.out.widest = self.out.widest.max(inst.size);
        }
        let first = self.out.operands.len() as u32;
        let in_memory = inst.row().is_some_and(|row| row.reads_memory()) && inst.rm == RmKind::Reg;
        for k in 0..usize::from(inst.count) {
            let reg = parts.regs[k];
            let position = k as u8;
            let operand = if let Some(fixed) = parts.fixed[k] {
                fixed
            } else if position < layout.results {
                match layout.olds.iter().flatten().find(|(_, result)| *result == position) {
                    Some(&(old, _)) => Operand::reg_reuse_def(reg, usize::from(old)),
                    None => Operand::reg_def(reg),
                }
            } else if layout.rm == Some(position) && in_memory {
                Operand::any_use(reg)
            } else {
                Operand::reg_use(reg)
            };
            self.out.operands.push(operand);
        }
        inst.first = first;
        self.out.insts.push(inst);
    }

    /// An addition whose operands are both needed further on, as an address computation, which needs no copy.
    fn shorter(&self, parts: &Parts, at: usize) -> Option<Parts> {
        let Code::Op(op) = parts.inst.code else { return None };
        let old = usize::from(parts.layout.olds[0]?.0);
        let keeps = |reg: VReg| !self.work.dies(reg, at);
        if !matches!(op, Op::Add | Op::AddImm) || !keeps(parts.regs[old]) {
            return None;
        }
        let mut inst = parts.inst;
        inst.code = Code::Op(Op::Lea);
        inst.rm = RmKind::Mem;
        let mut regs = [VReg::invalid(); 8];
        regs[0] = parts.regs[0];
        regs[1] = parts.regs[old];
        match op {
            Op::Add if parts.inst.rm == RmKind::Reg && keeps(parts.regs[usize::from(parts.layout.rm?)]) => {
                regs[2] = parts.regs[usize::from(parts.layout.rm?)];
                (inst.shift, inst.count) = (0, 3);
            }
            Op::AddImm => {
                inst.disp = inst.imm;
                inst.count = 2;
            }
            _ => return None,
        }
        inst.imm = 0;
        Some(Parts { inst, layout: inst.layout(), regs, fixed: [None; 8] })
    }
}

fn has_vectors(row: &Row) -> bool {
    [row.form.reg, row.form.vvvv, row.form.rm]
        .iter()
        .any(|field| matches!(field, Field::Def(Class::V) | Field::Use(Class::V) | Field::Both(Class::V)))
}

fn is_broadcast_load(inst: &Inst) -> bool {
    matches!(inst.code, Code::Op(Op::Vpbroadcastd | Op::Vpbroadcastq))
}

/// Does the row read one element of the size that the load broadcasts?
fn wants_element(row: &Row, size: Size, load: &Inst) -> bool {
    load.row().is_some_and(|load_row| row.memory_bytes(size) == load_row.memory_bytes(load.size))
        && matches!(row.memory, Memory::Bytes(_) | Memory::Gpr)
}

/// Can a row read what a load reads, from memory?
fn fits(load: &Inst, row: &Row, size: Size, level: Level) -> bool {
    let Some(load_row) = load.row() else { return false };
    let bytes = load_row.memory_bytes(load.size);
    if is_broadcast_load(load) {
        let element = level == Level::Avx512 && row.broadcast().map(usize::from) == Some(bytes);
        return element || wants_element(row, size, load);
    }
    // A general register's load does not fit where a vector is read, nor the other way round.
    let from_general = matches!(load.code, Code::Op(Op::Mov));
    let to_general = matches!(row.form.rm, Field::Use(Class::G | Class::Byte));
    row.memory_bytes(size) == bytes && from_general == to_general
}

impl regalloc2::Function for Settled {
    fn num_insts(&self) -> usize {
        self.insts.len()
    }

    fn num_blocks(&self) -> usize {
        self.blocks.len()
    }

    fn entry_block(&self) -> regalloc2::Block {
        regalloc2::Block::new(0)
    }

    fn block_insns(&self, block: regalloc2::Block) -> regalloc2::InstRange {
        let insts = self.blocks[block.index()].insts;
        regalloc2::InstRange::new(
            regalloc2::Inst::new(insts.start as usize),
            regalloc2::Inst::new(insts.end as usize),
        )
    }

    fn block_succs(&self, block: regalloc2::Block) -> &[regalloc2::Block] {
        &self.edges[self.blocks[block.index()].succs.range()]
    }

    fn block_preds(&self, block: regalloc2::Block) -> &[regalloc2::Block] {
        &self.edges[self.blocks[block.index()].preds.range()]
    }

    fn block_params(&self, block: regalloc2::Block) -> &[VReg] {
        &self.lists[self.blocks[block.index()].params.range()]
    }

    fn is_ret(&self, inst: regalloc2::Inst) -> bool {
        self.insts[inst.index()].code == Code::Return
    }

    fn is_branch(&self, inst: regalloc2::Inst) -> bool {
        matches!(self.insts[inst.index()].code, Code::Jump | Code::Branch(_))
    }

    fn branch_blockparams(&self, block: regalloc2::Block, _: regalloc2::Inst, succ: usize) -> &[VReg] {
        &self.lists[self.blocks[block.index()].args[succ].range()]
    }

    fn inst_operands(&self, inst: regalloc2::Inst) -> &[Operand] {
        let inst = &self.insts[inst.index()];
        &self.operands[inst.first as usize..][..usize::from(inst.count)]
    }

    fn inst_clobbers(&self, inst: regalloc2::Inst) -> regalloc2::PRegSet {
        let inst = &self.insts[inst.index()];
        if inst.code != Code::Call {
            return regalloc2::PRegSet::empty();
        }
        let operands = &self.operands[inst.first as usize..][..usize::from(inst.count)];
        let has_result = operands.iter().any(|operand| operand.kind() == regalloc2::OperandKind::Def);
        super::allocate::lost_in_calls(self.level, has_result)
    }

    fn num_vregs(&self) -> usize {
        self.registers
    }

    fn spillslot_size(&self, class: regalloc2::RegClass) -> usize {
        match class {
            // In units of 8 bytes; what is spilled is the widest vector in use.
            regalloc2::RegClass::Float => self.widest.bytes() / 8,
            regalloc2::RegClass::Int | regalloc2::RegClass::Vector => 1,
        }
    }
}
