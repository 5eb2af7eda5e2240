//! Machine code before it has registers: instructions over virtual registers, in blocks with parameters.
//!
//! In: instructions, one after another, from the files that select them. Out: a [`Draft`] for `settle`. Holds: SSA, every virtual register has one definition
//! that dominates its uses; constants are registers without one; a block is filled once, and blocks lie in the order in which they were filled.
//!
//! An instruction's operands stand in one order, whatever its encoding ([`Inst::layout`]): results, write mask, old values of what it merges or accumulates into,
//! operands in the order reg, vvvv, rm (a register, or base and index), a fourth one, then what is fixed in certain registers.

use super::table::{Class, Field, Imm, Masks, Op, Row, Size};
use regalloc2::{Operand, PReg, RegClass, VReg};
use std::collections::HashMap;

/// Register class of general registers.
pub(super) const G: RegClass = RegClass::Int;
/// Of vector registers.
pub(super) const V: RegClass = RegClass::Float;
/// Of masks.
pub(super) const K: RegClass = RegClass::Vector;

/// A block of a draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct BlockId(pub(super) u32);

/// A loop of a draft; 0 is the function itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LoopId(pub(super) u32);

/// A constant of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ConstId(pub(super) u32);

/// Conditions, as numbered in opcodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Cond {
    Below = 2,
    AboveEqual = 3,
    Equal = 4,
    NotEqual = 5,
    BelowEqual = 6,
    Above = 7,
    Parity = 10,
    NoParity = 11,
    Less = 12,
    GreaterEqual = 13,
    LessEqual = 14,
    Greater = 15,
}

impl Cond {
    /// True where this is false.
    pub(super) fn inverted(self) -> Cond {
        match self {
            Cond::Below => Cond::AboveEqual,
            Cond::AboveEqual => Cond::Below,
            Cond::Equal => Cond::NotEqual,
            Cond::NotEqual => Cond::Equal,
            Cond::BelowEqual => Cond::Above,
            Cond::Above => Cond::BelowEqual,
            Cond::Parity => Cond::NoParity,
            Cond::NoParity => Cond::Parity,
            Cond::Less => Cond::GreaterEqual,
            Cond::GreaterEqual => Cond::Less,
            Cond::LessEqual => Cond::Greater,
            Cond::Greater => Cond::LessEqual,
        }
    }
}

/// What an instruction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    /// A row of the table.
    Op(Op),
    /// `mov` of 64 bits: `imm` and, as the high half, `disp`.
    Wide64,
    /// A vector register without a bit set.
    Zero,
    /// A mask register with every bit set.
    Ones,
    /// Defines the function's parameters.
    Entry,
    /// To the block's only successor.
    Jump,
    /// To the block's first successor if the condition holds, else to its second.
    Branch(Cond),
    /// Calls the function whose address is the operand.
    Call,
    /// Leaves with the status in eax.
    Return,
}

/// How the write mask works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MaskMode {
    /// There is none.
    None,
    /// Lanes that are off keep the old value (or memory, or are 0 in a comparison's result).
    Merge,
    /// Lanes that are off are zero.
    Zero,
}

/// Where the rm operand is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RmKind {
    Reg,
    Mem,
    Broadcast,
}

/// Where an address starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BaseKind {
    /// In a register, an operand.
    Reg,
    /// At the function's own frame.
    Frame,
    /// At the constant of that number ([`Inst::disp`]).
    Pool,
}

/// An instruction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inst {
    pub(super) code: Code,
    pub(super) size: Size,
    pub(super) mask: MaskMode,
    pub(super) rm: RmKind,
    pub(super) base: BaseKind,
    /// The index is scaled by this power of two; [`NO_INDEX`]: there is none.
    pub(super) shift: u8,
    /// How many operands it has, and where in the list they start.
    pub(super) count: u8,
    pub(super) first: u32,
    pub(super) imm: i32,
    /// Displacement; number of the constant, if the base is the pool.
    pub(super) disp: i32,
    /// Number of the IR op that it comes from.
    pub(super) from: u32,
}

/// In [`Inst::shift`].
pub(super) const NO_INDEX: u8 = u8::MAX;

/// Positions of an instruction's operands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Layout {
    /// Results: positions `0..results`.
    pub(super) results: u8,
    /// The write mask.
    pub(super) mask: Option<u8>,
    /// Old values, and which result each becomes.
    pub(super) olds: [Option<(u8, u8)>; 2],
    pub(super) reg: Option<u8>,
    pub(super) vvvv: Option<u8>,
    /// The register in rm.
    pub(super) rm: Option<u8>,
    pub(super) base: Option<u8>,
    pub(super) index: Option<u8>,
    pub(super) fourth: Option<u8>,
    /// Operands in fixed registers stand from here on.
    pub(super) fixed: u8,
}

impl Inst {
    pub(super) fn row(&self) -> Option<&'static Row> {
        match self.code {
            Code::Op(op) => Some(op.row()),
            Code::Wide64
            | Code::Zero
            | Code::Ones
            | Code::Entry
            | Code::Jump
            | Code::Branch(_)
            | Code::Call
            | Code::Return => None,
        }
    }

    /// Where its operands stand.
    pub(super) fn layout(&self) -> Layout {
        let mut layout = Layout::default();
        let Some(row) = self.row() else {
            match self.code {
                Code::Wide64 | Code::Zero | Code::Ones => layout.results = 1,
                Code::Call => layout.rm = Some(0),
                Code::Op(_) | Code::Entry | Code::Jump | Code::Branch(_) | Code::Return => {}
            }
            layout.fixed = layout.results + u8::from(layout.rm.is_some());
            return layout;
        };
        let fields = [row.form.reg, row.form.vvvv, row.form.rm];
        let mut at = 0;
        let mut results = [None; 3];
        for (result, field) in results.iter_mut().zip(fields) {
            if matches!(field, Field::Def(_) | Field::Both(_)) {
                *result = Some(at);
                at += 1;
            }
        }
        let gathers = matches!(row.masks, Masks::Gather(_)).then_some(at);
        at += u8::from(gathers.is_some());
        layout.results = at;
        let mut next = || {
            at += 1;
            at - 1
        };
        let mut olds = 0;
        if self.mask != MaskMode::None {
            let position = next();
            layout.mask = Some(position);
            if let Some(result) = gathers {
                layout.olds[0] = Some((position, result));
                olds = 1;
            }
        }
        for (result, field) in results.into_iter().zip(fields) {
            let Some(result) = result else { continue };
            let merges = self.mask == MaskMode::Merge && matches!(row.masks, Masks::Write(_));
            if matches!(field, Field::Both(_)) || merges {
                layout.olds[olds] = Some((next(), result));
                olds += 1;
            }
        }
        if matches!(row.form.reg, Field::Use(_)) {
            layout.reg = Some(next());
        }
        if matches!(row.form.vvvv, Field::Use(_)) {
            layout.vvvv = Some(next());
        }
        let is_memory = self.rm != RmKind::Reg;
        if is_memory {
            if self.base == BaseKind::Reg {
                layout.base = Some(next());
            }
            if self.shift != NO_INDEX {
                layout.index = Some(next());
            }
        } else if matches!(row.form.rm, Field::Use(_)) {
            layout.rm = Some(next());
        }
        if row.form.imm == Imm::Register {
            layout.fourth = Some(next());
        }
        layout.fixed = at;
        layout
    }

    /// Does it write memory, or do what only a call can?
    pub(super) fn writes_memory(&self) -> bool {
        match self.row() {
            Some(row) => matches!(row.form.rm, Field::Store | Field::ScatterQ),
            None => self.code == Code::Call,
        }
    }

    /// Is it there for its results alone?
    pub(super) fn is_removable(&self) -> bool {
        match self.row() {
            Some(row) => row.has_result() && !matches!(row.form.rm, Field::ScatterQ),
            None => matches!(self.code, Code::Wide64 | Code::Zero | Code::Ones),
        }
    }
}

/// A constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Const {
    /// The same element in all lanes; so many bytes.
    Splat { bits: u64, bytes: u8 },
    /// Different elements.
    Vector([u64; 8]),
}

/// A memory operand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addr {
    pub(super) base: AddrBase,
    pub(super) index: Option<(VReg, u8)>,
    pub(super) disp: i32,
}

/// Its start.
#[derive(Clone, Copy, Debug)]
pub(super) enum AddrBase {
    Reg(VReg),
    Frame,
}

impl Addr {
    pub(super) fn at(base: VReg, disp: i32) -> Addr {
        Addr { base: AddrBase::Reg(base), index: None, disp }
    }

    pub(super) fn frame(disp: i32) -> Addr {
        Addr { base: AddrBase::Frame, index: None, disp }
    }

    /// So many bytes further on.
    pub(super) fn plus(self, bytes: i32) -> Addr {
        Addr { disp: self.disp + bytes, ..self }
    }
}

/// An operand.
#[derive(Clone, Copy, Debug)]
pub(super) enum Arg {
    Reg(VReg),
    Mem(Addr),
    Broadcast(Addr),
}

impl From<VReg> for Arg {
    fn from(reg: VReg) -> Arg {
        Arg::Reg(reg)
    }
}

impl From<Addr> for Arg {
    fn from(addr: Addr) -> Arg {
        Arg::Mem(addr)
    }
}

/// A write mask.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mask {
    None,
    /// Off: the old value.
    Merge(VReg, VReg),
    /// Off: zero.
    Zero(VReg),
    /// Stores and comparisons.
    Plain(VReg),
}

/// A range of a list of registers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct List {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl List {
    pub(super) fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// A block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    /// Its instructions.
    pub(super) insts: List,
    pub(super) params: List,
    /// Successors and what they are given.
    pub(super) succs: [Option<(BlockId, List)>; 2],
    pub(super) in_loop: LoopId,
    /// Rarely reached.
    pub(super) cold: bool,
    /// Head of an innermost loop.
    pub(super) hot_head: bool,
    /// Filled as number so-and-so; `u32::MAX`: not yet.
    pub(super) place: u32,
}

/// A loop.
#[derive(Clone, Copy, Debug)]
pub(super) struct LoopData {
    pub(super) parent: LoopId,
    /// The block that it is entered from.
    pub(super) preheader: BlockId,
}

/// A function under construction.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) insts: Vec<Inst>,
    pub(super) operands: Vec<Operand>,
    pub(super) blocks: Vec<Block>,
    /// Parameters and arguments of blocks.
    pub(super) lists: Vec<VReg>,
    /// Blocks in the order in which they were filled.
    pub(super) order: Vec<BlockId>,
    pub(super) loops: Vec<LoopData>,
    pub(super) constants: Vec<Const>,
    /// Per virtual register: the constant that it is.
    pub(super) const_of: Vec<Option<ConstId>>,
    /// Bytes of the frame that were handed out.
    pub(super) frame: i32,
    known: HashMap<Const, VReg>,
    current: BlockId,
    current_loop: LoopId,
    cold: bool,
    /// IR op that instructions come from.
    pub(super) from: u32,
}

impl Draft {
    /// A function with an empty entry block, which is current.
    pub(super) fn new() -> Draft {
        let mut draft = Draft {
            insts: Vec::with_capacity(512),
            operands: Vec::with_capacity(2048),
            blocks: Vec::with_capacity(32),
            lists: Vec::with_capacity(128),
            order: Vec::new(),
            loops: vec![LoopData { parent: LoopId(0), preheader: BlockId(0) }],
            constants: Vec::new(),
            const_of: Vec::with_capacity(1024),
            frame: 0,
            known: HashMap::new(),
            current: BlockId(0),
            current_loop: LoopId(0),
            cold: false,
            from: u32::MAX,
        };
        let entry = draft.block(&[]);
        draft.begin(entry);
        draft
    }

    /// A new virtual register.
    pub(super) fn reg(&mut self, class: RegClass) -> VReg {
        self.const_of.push(None);
        VReg::new(self.const_of.len() - 1, class)
    }

    /// The register of a constant.
    pub(super) fn constant(&mut self, constant: Const) -> VReg {
        if let Some(&known) = self.known.get(&constant) {
            return known;
        }
        let reg = self.reg(V);
        let id = ConstId(self.constants.len() as u32);
        self.constants.push(constant);
        self.const_of[reg.vreg()] = Some(id);
        self.known.insert(constant, reg);
        reg
    }

    /// The constant that a register is.
    pub(super) fn as_constant(&self, reg: VReg) -> Option<Const> {
        self.const_of[reg.vreg()].map(|id| self.constants[id.0 as usize])
    }

    // Blocks

    /// A new block with parameters of these classes.
    pub(super) fn block(&mut self, params: &[RegClass]) -> BlockId {
        let start = self.lists.len() as u32;
        for &class in params {
            let reg = self.reg(class);
            self.lists.push(reg);
        }
        let params = List { start, end: self.lists.len() as u32 };
        self.blocks.push(Block {
            insts: List::default(),
            params,
            succs: [None; 2],
            in_loop: LoopId(0),
            cold: false,
            hot_head: false,
            place: u32::MAX,
        });
        BlockId(self.blocks.len() as u32 - 1)
    }

    /// A block's parameters.
    pub(super) fn params(&self, block: BlockId) -> &[VReg] {
        &self.lists[self.blocks[block.0 as usize].params.range()]
    }

    /// What follows goes into `block`.
    pub(super) fn begin(&mut self, block: BlockId) {
        let data = &mut self.blocks[block.0 as usize];
        debug_assert_eq!(data.place, u32::MAX, "a block is filled once");
        data.place = self.order.len() as u32;
        data.insts = List { start: self.insts.len() as u32, end: self.insts.len() as u32 };
        data.in_loop = self.current_loop;
        data.cold = self.cold;
        self.order.push(block);
        self.current = block;
    }

    /// Blocks that are begun from now on lie in a loop that is entered from the current block.
    pub(super) fn enter_loop(&mut self) -> LoopId {
        let id = LoopId(self.loops.len() as u32);
        self.loops.push(LoopData { parent: self.current_loop, preheader: self.current });
        self.current_loop = id;
        id
    }

    /// Blocks that are begun from now on lie outside that loop.
    pub(super) fn leave_loop(&mut self) {
        self.current_loop = self.loops[self.current_loop.0 as usize].parent;
    }

    /// Blocks that are begun from now on are rarely reached, and belong to no loop.
    pub(super) fn go_cold(&mut self) {
        self.cold = true;
        self.current_loop = LoopId(0);
    }

    /// The block is the head of an innermost loop: worth an aligned address.
    pub(super) fn mark_hot_head(&mut self, block: BlockId) {
        self.blocks[block.0 as usize].hot_head = true;
    }

    fn list(&mut self, regs: &[VReg]) -> List {
        let start = self.lists.len() as u32;
        self.lists.extend_from_slice(regs);
        List { start, end: self.lists.len() as u32 }
    }

    fn close(&mut self, code: Code, succs: [Option<(BlockId, List)>; 2]) {
        self.push(Inst { code, ..self.blank() }, &[]);
        let end = self.insts.len() as u32;
        let block = &mut self.blocks[self.current.0 as usize];
        block.insts.end = end;
        block.succs = succs;
    }

    /// Ends the block: goes to `to`.
    pub(super) fn jump(&mut self, to: BlockId, args: &[VReg]) {
        debug_assert_eq!(args.len(), self.params(to).len());
        let args = self.list(args);
        self.close(Code::Jump, [Some((to, args)), None]);
    }

    /// Ends the block: by the flags that the last instruction left.
    pub(super) fn branch(&mut self, cond: Cond, yes: (BlockId, &[VReg]), no: (BlockId, &[VReg])) {
        debug_assert_eq!(yes.1.len(), self.params(yes.0).len());
        debug_assert_eq!(no.1.len(), self.params(no.0).len());
        let (first, second) = (self.list(yes.1), self.list(no.1));
        self.close(Code::Branch(cond), [Some((yes.0, first)), Some((no.0, second))]);
    }

    /// Ends the block: leaves the function.
    pub(super) fn ret(&mut self, status: VReg) {
        let rax = PReg::new(0, G);
        self.push_operands(
            Inst { code: Code::Return, ..self.blank() },
            &[Operand::reg_fixed_use(status, rax)],
        );
        self.blocks[self.current.0 as usize].insts.end = self.insts.len() as u32;
    }

    // Instructions

    fn blank(&self) -> Inst {
        Inst {
            code: Code::Jump,
            size: Size::Q,
            mask: MaskMode::None,
            rm: RmKind::Reg,
            base: BaseKind::Reg,
            shift: NO_INDEX,
            count: 0,
            first: 0,
            imm: 0,
            disp: 0,
            from: self.from,
        }
    }

    fn push(&mut self, inst: Inst, regs: &[VReg]) {
        let first = self.operands.len() as u32;
        self.operands.extend(regs.iter().map(|&reg| Operand::reg_use(reg)));
        self.insts.push(Inst { first, count: regs.len() as u8, ..inst });
    }

    fn push_operands(&mut self, inst: Inst, operands: &[Operand]) {
        let first = self.operands.len() as u32;
        self.operands.extend_from_slice(operands);
        self.insts.push(Inst { first, count: operands.len() as u8, ..inst });
    }

    /// The first instruction: defines registers by where the caller has put them.
    pub(super) fn entry(&mut self, registers: &[usize]) -> Vec<VReg> {
        let regs: Vec<VReg> = registers.iter().map(|_| self.reg(G)).collect();
        let place = |(&reg, &number): (&VReg, &usize)| Operand::reg_fixed_def(reg, PReg::new(number, G));
        let operands: Vec<Operand> = regs.iter().zip(registers).map(place).collect();
        self.push_operands(Inst { code: Code::Entry, ..self.blank() }, &operands);
        regs
    }

    /// A 64-bit number.
    pub(super) fn imm64(&mut self, value: i64) -> VReg {
        if let Ok(short) = i32::try_from(value) {
            return self.op_imm(Op::MovImm, Size::Q, &[], short);
        }
        if let Ok(unsigned) = u32::try_from(value) {
            return self.op_imm(Op::MovImm, Size::D, &[], unsigned as i32);
        }
        let reg = self.reg(G);
        let (low, high) = (value as i32, (value >> 32) as i32);
        self.push(Inst { code: Code::Wide64, imm: low, disp: high, ..self.blank() }, &[reg]);
        reg
    }

    /// A mask of all lanes.
    pub(super) fn all_mask(&mut self) -> VReg {
        let reg = self.reg(K);
        self.push(Inst { code: Code::Ones, ..self.blank() }, &[reg]);
        reg
    }

    /// A call; `args` in their registers, the result in rax. Everything that the convention does not keep is lost.
    pub(super) fn call(&mut self, target: VReg, args: &[VReg], result: Option<VReg>) {
        let place = [7, 6, 2, 1, 8, 9, 0];
        let mut operands = vec![Operand::reg_use(target)];
        for (&arg, number) in args.iter().zip(place) {
            operands.push(Operand::reg_fixed_use(arg, PReg::new(number, G)));
        }
        if let Some(result) = result {
            operands.push(Operand::reg_fixed_def(result, PReg::new(0, G)));
        }
        self.push_operands(Inst { code: Code::Call, ..self.blank() }, &operands);
    }

    /// An instruction of the table; gives its first result, or its first operand if it has none. The operands are those of [`Inst::layout`] from the old values
    /// on, without the mask.
    pub(super) fn op(&mut self, op: Op, size: Size, args: &[Arg]) -> VReg {
        self.full(op, size, Mask::None, args, 0)
    }

    /// With an immediate.
    pub(super) fn op_imm(&mut self, op: Op, size: Size, args: &[Arg], imm: i32) -> VReg {
        self.full(op, size, Mask::None, args, imm)
    }

    /// With everything.
    pub(super) fn full(&mut self, op: Op, size: Size, mask: Mask, args: &[Arg], imm: i32) -> VReg {
        let row = op.row();
        debug_assert!(row.sizes.has(size), "{} in {size:?}", row.name);
        let mut inst = Inst { code: Code::Op(op), size, imm, ..self.blank() };
        let first = self.operands.len() as u32;
        let mut result = None;
        for field in [row.form.reg, row.form.vvvv, row.form.rm] {
            if let Field::Def(class) | Field::Both(class) = field {
                let reg = self.reg(class_of(class));
                self.operands.push(Operand::reg_use(reg));
                result = result.or(Some(reg));
            }
        }
        if matches!(row.masks, Masks::Gather(_)) {
            let cleared = self.reg(K);
            self.operands.push(Operand::reg_use(cleared));
        }
        match mask {
            Mask::None => {}
            Mask::Merge(mask, old) => {
                inst.mask = MaskMode::Merge;
                self.operands.push(Operand::reg_use(mask));
                if !row.accumulates() {
                    self.operands.push(Operand::reg_use(old));
                }
            }
            Mask::Zero(mask) => {
                inst.mask = MaskMode::Zero;
                self.operands.push(Operand::reg_use(mask));
            }
            Mask::Plain(mask) => {
                inst.mask = MaskMode::Merge;
                self.operands.push(Operand::reg_use(mask));
            }
        }
        for &arg in args {
            let (addr, kind) = match arg {
                Arg::Reg(reg) => {
                    self.operands.push(Operand::reg_use(reg));
                    continue;
                }
                Arg::Mem(addr) => (addr, RmKind::Mem),
                Arg::Broadcast(addr) => (addr, RmKind::Broadcast),
            };
            inst.rm = kind;
            inst.disp = addr.disp;
            match addr.base {
                AddrBase::Reg(base) => self.operands.push(Operand::reg_use(base)),
                AddrBase::Frame => inst.base = BaseKind::Frame,
            }
            if let Some((index, shift)) = addr.index {
                inst.shift = shift;
                self.operands.push(Operand::reg_use(index));
            }
        }
        inst.first = first;
        inst.count = (self.operands.len() as u32 - first) as u8;
        debug_assert_eq!(inst.layout().fixed, inst.count, "operands of {}", row.name);
        self.insts.push(inst);
        result.unwrap_or_else(|| {
            self.operands.get(first as usize).map_or(VReg::invalid(), |operand| operand.vreg())
        })
    }

    /// Quotient and rest of rdx:rax by `divisor`; `high` and `low` are rdx and rax.
    pub(super) fn divide(
        &mut self,
        op: Op,
        size: Size,
        (high, low): (VReg, VReg),
        divisor: VReg,
    ) -> (VReg, VReg) {
        let (rax, rdx) = (PReg::new(0, G), PReg::new(2, G));
        let (quotient, rest) = (self.reg(G), self.reg(G));
        let operands = [
            Operand::reg_use(divisor),
            Operand::reg_fixed_use(low, rax),
            Operand::reg_fixed_use(high, rdx),
            Operand::reg_fixed_def(quotient, rax),
            Operand::reg_fixed_def(rest, rdx),
        ];
        self.push_operands(Inst { code: Code::Op(op), size, ..self.blank() }, &operands);
        (quotient, rest)
    }

    /// High half of `a * b`, unsigned.
    pub(super) fn multiply_high(&mut self, a: VReg, b: VReg) -> VReg {
        let (rax, rdx) = (PReg::new(0, G), PReg::new(2, G));
        let (low, high) = (self.reg(G), self.reg(G));
        let operands = [
            Operand::reg_use(b),
            Operand::reg_fixed_use(a, rax),
            Operand::reg_fixed_def(low, rax),
            Operand::reg_fixed_def(high, rdx),
        ];
        self.push_operands(Inst { code: Code::Op(Op::Mul), size: Size::Q, ..self.blank() }, &operands);
        high
    }

    /// The sign of `value` in all bits, as the high half of a dividend.
    pub(super) fn sign_extend(&mut self, size: Size, value: VReg) -> VReg {
        let (rax, rdx) = (PReg::new(0, G), PReg::new(2, G));
        let sign = self.reg(G);
        let operands = [Operand::reg_fixed_use(value, rax), Operand::reg_fixed_def(sign, rdx)];
        self.push_operands(Inst { code: Code::Op(Op::Cqo), size, ..self.blank() }, &operands);
        sign
    }

    // Frame

    /// Hands out bytes of the frame, aligned to 64.
    pub(super) fn take_frame(&mut self, bytes: i32) -> i32 {
        let start = self.frame;
        self.frame = (start + bytes + 63) & !63;
        start
    }
}

/// The allocator's class.
pub(super) fn class_of(class: Class) -> RegClass {
    match class {
        Class::G | Class::Byte => G,
        Class::V => V,
        Class::K => K,
    }
}
