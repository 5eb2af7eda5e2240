//! Bytes of a function.
//!
//! In: a [`Settled`] function and where its values are. Out: its code with its constants behind it, position-independent, to be placed at a 64-byte boundary.
//! Holds: the convention of `extern "C"` on System V: rbx, rbp, r12 to r15 come back as they were, the upper halves of vectors are zero at every call and at the
//! end (mixing them with SSE code is slow); the stack is aligned to 64 only if vectors lie in it; blocks that turned out empty are jumped over.

use super::allocate::KEPT;
use super::code::{BaseKind, Code, Const, G, Inst, K, MaskMode, RmKind, V};
use super::encode::{Address, Base, Fields, Rm, encode};
use super::settle::Settled;
use super::table::{Field, Op, Size};
use regalloc2::{Allocation, AllocationKind, Block, Edit, InstOrEdit, Output, RegClass};
use std::collections::HashMap;

/// Heads of innermost loops start at such a boundary: the machine fetches in such pieces.
const LOOP_ALIGNMENT: usize = 32;
/// Bytes of stack that may be skipped without being touched: less than the guard page behind every stack.
const PAGE: i32 = 4096;

/// A function's bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Assembled {
    /// Code, then constants.
    pub(super) bytes: Vec<u8>,
    /// Where the constants begin.
    pub(super) code_bytes: usize,
    /// Offsets at which the code of an IR op begins, ascending.
    pub(super) marks: Vec<(u32, u32)>,
    /// Bytes of stack beside the registers that are kept.
    pub(super) frame: i32,
    /// Moves to and from the stack.
    pub(super) spills: u32,
}

/// Assembles a function.
pub(super) fn assemble(func: &Settled, output: &Output) -> Assembled {
    let mut assembler = Assembler::new(func, output);
    assembler.prologue();
    for block in 0..func.blocks.len() {
        assembler.block(block);
    }
    assembler.patch_jumps();
    assembler.pool();
    assembler.done
}

/// A constant, as code refers to it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Entry {
    constant: u32,
    bytes: usize,
}

struct Assembler<'a> {
    func: &'a Settled,
    output: &'a Output,
    done: Assembled,
    /// Registers to be given back.
    kept: Vec<u8>,
    frame: i32,
    /// Where allocated slots begin.
    slots: i32,
    /// Offsets of blocks.
    starts: Vec<u32>,
    /// Is there nothing in the block but a jump?
    empty: Vec<bool>,
    /// Displacements to patch: position, target block.
    jumps: Vec<(usize, usize)>,
    /// Displacements to patch: position, end of the instruction, constant.
    constants: Vec<(usize, usize, Entry)>,
}

impl<'a> Assembler<'a> {
    fn new(func: &'a Settled, output: &'a Output) -> Assembler<'a> {
        let mut used = [false; 16];
        let mut note = |allocation: Allocation| {
            if let Some(reg) = allocation.as_reg()
                && reg.class() == G
            {
                used[reg.hw_enc()] = true;
            }
        };
        output.allocs.iter().for_each(|&allocation| note(allocation));
        for (_, Edit::Move { from, to }) in &output.edits {
            note(*from);
            note(*to);
        }
        let kept = KEPT.into_iter().filter(|&number| used[number]).map(|number| number as u8).collect();
        let slots = (func.frame + 63) & !63;
        let frame = (slots + 8 * output.num_spillslots as i32 + 63) & !63;
        // Whoever is called wants the stack aligned.
        let calls = func.insts.iter().any(|inst| inst.code == Code::Call);
        let frame = if calls { frame.max(64) } else { frame };
        let empty = (0..func.blocks.len())
            .map(|block| {
                let mut items = output.block_insts_and_edits(func, Block::new(block));
                let only = matches!(items.next(), Some(InstOrEdit::Inst(inst)) if func.insts[inst.index()].code == Code::Jump);
                only && items.next().is_none()
            })
            .collect();
        let done = Assembled {
            bytes: Vec::with_capacity(8 * func.insts.len() + 256),
            frame,
            ..Assembled::default()
        };
        Assembler {
            func,
            output,
            done,
            kept,
            frame,
            slots,
            starts: vec![0; func.blocks.len()],
            empty,
            jumps: Vec::new(),
            constants: Vec::new(),
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.done.bytes.extend_from_slice(bytes);
    }

    fn put(&mut self, op: Op, fields: &Fields) {
        let patch = encode(op, fields, &mut self.done.bytes);
        debug_assert!(patch.is_none());
    }

    fn prologue(&mut self) {
        // push rbp; mov rbp, rsp
        self.bytes(&[0x55, 0x48, 0x89, 0xE5]);
        for k in 0..self.kept.len() {
            self.push_or_pop(self.kept[k], 0x50);
        }
        if self.frame == 0 {
            return;
        }
        let rsp = Fields { rm: Rm::Reg(4), ..Fields::new(Size::Q) };
        let mut left = self.frame;
        while left > PAGE {
            self.put(Op::SubImm, &Fields { imm: PAGE, ..rsp });
            // test [rsp], rsp touches the page, so that a stack that ends here is found out.
            self.bytes(&[0x48, 0x85, 0x24, 0x24]);
            left -= PAGE;
        }
        self.put(Op::SubImm, &Fields { imm: left, ..rsp });
        self.put(Op::AndImm, &Fields { imm: -64, ..rsp });
    }

    fn push_or_pop(&mut self, number: u8, opcode: u8) {
        if number > 7 {
            self.bytes(&[0x41]);
        }
        self.bytes(&[opcode | number & 7]);
    }

    fn epilogue(&mut self) {
        self.zero_upper();
        if self.frame > 0 {
            // The registers kept lie right below rbp.
            let disp = -8 * self.kept.len() as i32;
            let rm = Rm::Mem(Address { base: Base::Reg(5), index: None, disp });
            self.put(Op::Lea, &Fields { reg: 4, rm, ..Fields::new(Size::Q) });
        }
        for k in (0..self.kept.len()).rev() {
            self.push_or_pop(self.kept[k], 0x58);
        }
        // pop rbp; ret
        self.bytes(&[0x5D, 0xC3]);
    }

    fn zero_upper(&mut self) {
        if self.func.widest > Size::X {
            self.bytes(&[0xC5, 0xF8, 0x77]);
        }
    }

    fn block(&mut self, block: usize) {
        if self.empty[block] {
            self.starts[block] = self.done.bytes.len() as u32;
            return;
        }
        if self.func.blocks[block].hot_head {
            let end = self.done.bytes.len().next_multiple_of(LOOP_ALIGNMENT);
            nops(end - self.done.bytes.len(), &mut self.done.bytes);
        }
        self.starts[block] = self.done.bytes.len() as u32;
        for item in self.output.block_insts_and_edits(self.func, Block::new(block)) {
            match item {
                InstOrEdit::Edit(Edit::Move { from, to }) => self.shift(*from, *to),
                InstOrEdit::Inst(at) => {
                    let inst = &self.func.insts[at.index()];
                    let at_byte = self.done.bytes.len() as u32;
                    if self.done.marks.last().is_none_or(|&(_, from)| from != inst.from) {
                        self.done.marks.push((at_byte, inst.from));
                    }
                    self.inst(inst, self.output.inst_allocs(at), block);
                }
            }
        }
    }

    /// A move that the allocator wants.
    fn shift(&mut self, from: Allocation, to: Allocation) {
        let (register, store, other) = match (from.as_reg(), to.as_reg()) {
            (Some(from), Some(to)) if from == to => return,
            (Some(from), Some(to)) => (to, None, Rm::Reg(from.hw_enc() as u8)),
            (Some(from), None) => (from, Some(()), self.slot(to)),
            (None, Some(to)) => (to, None, self.slot(from)),
            (None, None) => unreachable!("regalloc2 moves from stack to stack through a register"),
        };
        if from.as_reg().is_none() || to.as_reg().is_none() {
            self.done.spills += 1;
        }
        let (op, size) = match (register.class(), store) {
            (RegClass::Int, None) => (Op::Mov, Size::Q),
            (RegClass::Int, Some(())) => (Op::MovStore, Size::Q),
            (RegClass::Float, None) => (Op::Vmovups, self.func.widest),
            (RegClass::Float, Some(())) => (Op::VmovupsStore, self.func.widest),
            (RegClass::Vector, None) => (Op::Kmovq, Size::X),
            (RegClass::Vector, Some(())) => (Op::KmovqStore, Size::X),
        };
        self.put(op, &Fields { reg: register.hw_enc() as u8, rm: other, ..Fields::new(size) });
    }

    fn slot(&self, allocation: Allocation) -> Rm {
        let slot = allocation.as_stack().map_or(0, |slot| slot.index() as i32);
        Rm::Mem(Address { base: Base::Reg(4), index: None, disp: self.slots + 8 * slot })
    }

    /// The block that control ends up in when it goes to `block`.
    fn thread(&self, mut block: usize) -> usize {
        while self.empty[block] {
            block = self.func.edges[self.func.blocks[block].succs.start as usize].index();
        }
        block
    }

    fn follows(&self, block: usize) -> Option<usize> {
        (block + 1..self.func.blocks.len()).find(|&next| !self.empty[next])
    }

    fn inst(&mut self, inst: &Inst, allocs: &[Allocation], block: usize) {
        let succ = |assembler: &Self, k: usize| {
            let edges = &assembler.func.edges[assembler.func.blocks[block].succs.range()];
            assembler.thread(edges[k].index())
        };
        match inst.code {
            Code::Op(op) => self.row(op, inst, allocs),
            Code::Wide64 => {
                let number = register(allocs[0]);
                self.bytes(&[0x48 | number >> 3, 0xB8 | number & 7]);
                self.bytes(&inst.imm.to_le_bytes());
                self.bytes(&inst.disp.to_le_bytes());
            }
            Code::Zero => {
                let number = register(allocs[0]);
                let op = if number > 15 { Op::Vpxord } else { Op::Vpxor };
                self.put(
                    op,
                    &Fields { reg: number, vvvv: number, rm: Rm::Reg(number), ..Fields::new(Size::X) },
                );
            }
            Code::Ones => {
                // k0 xnor k0, whatever it holds.
                self.put(Op::Kxnord, &Fields { reg: register(allocs[0]), ..Fields::new(Size::Y) });
            }
            Code::Entry => {}
            Code::Jump => {
                let to = succ(self, 0);
                if Some(to) != self.follows(block) {
                    self.jump(None, to);
                }
            }
            Code::Branch(cond) => {
                let (yes, no) = (succ(self, 0), succ(self, 1));
                let follows = self.follows(block);
                if yes == no {
                    if Some(yes) != follows {
                        self.jump(None, yes);
                    }
                } else if Some(yes) == follows {
                    self.jump(Some(cond.inverted() as u8), no);
                } else {
                    self.jump(Some(cond as u8), yes);
                    if Some(no) != follows {
                        self.jump(None, no);
                    }
                }
            }
            Code::Call => {
                self.zero_upper();
                let number = register(allocs[0]);
                if number > 7 {
                    self.bytes(&[0x41]);
                }
                self.bytes(&[0xFF, 0xD0 | number & 7]);
            }
            Code::Return => self.epilogue(),
        }
    }

    /// Jumps by one byte backwards, where the distance is known; by four forwards.
    fn jump(&mut self, cond: Option<u8>, to: usize) {
        let here = self.done.bytes.len();
        let is_known = self.starts[to] as usize > 0 && (self.starts[to] as usize) < here;
        if is_known {
            let distance = self.starts[to] as i64 - (here as i64 + 2);
            if let Ok(short) = i8::try_from(distance) {
                self.bytes(&[cond.map_or(0xEB, |cond| 0x70 | cond), short as u8]);
                return;
            }
        }
        match cond {
            None => self.bytes(&[0xE9]),
            Some(cond) => self.bytes(&[0x0F, 0x80 | cond]),
        }
        self.jumps.push((self.done.bytes.len(), to));
        self.bytes(&[0; 4]);
    }

    fn patch_jumps(&mut self) {
        for &(at, to) in &self.jumps {
            let distance = self.starts[to] as i32 - (at as i32 + 4);
            self.done.bytes[at..at + 4].copy_from_slice(&distance.to_le_bytes());
        }
    }

    fn row(&mut self, op: Op, inst: &Inst, allocs: &[Allocation]) {
        let row = op.row();
        let layout = inst.layout();
        let number = |place: Option<u8>| place.map_or(0, |place| register(allocs[usize::from(place)]));
        let mut fields = Fields::new(inst.size);
        // Results take the fields that they stand in; what is only read takes the others.
        let mut result = 0;
        let mut rm = None;
        let form = [row.form.reg, row.form.vvvv, row.form.rm];
        for (k, field) in form.into_iter().enumerate() {
            let value = match (k, field) {
                (_, Field::Def(_) | Field::Both(_)) => {
                    result += 1;
                    register(allocs[result - 1])
                }
                (0, Field::Use(_)) => number(layout.reg),
                (1, Field::Use(_)) => number(layout.vvvv),
                _ => continue,
            };
            match k {
                0 => fields.reg = value,
                1 => fields.vvvv = value,
                _ => rm = Some(value),
            }
        }
        fields.mask = match inst.mask {
            MaskMode::None => 0,
            MaskMode::Merge | MaskMode::Zero => number(layout.mask),
        };
        fields.zeroing = inst.mask == MaskMode::Zero;
        fields.imm = match layout.fourth {
            Some(_) => i32::from(number(layout.fourth)),
            None => inst.imm,
        };
        let mut constant = None;
        fields.rm = match inst.rm {
            RmKind::Reg => match layout.rm {
                // The allocator left it on the stack.
                Some(place) if allocs[usize::from(place)].kind() == AllocationKind::Stack => {
                    self.slot(allocs[usize::from(place)])
                }
                place => Rm::Reg(rm.unwrap_or(number(place))),
            },
            RmKind::Mem | RmKind::Broadcast => {
                let index = layout.index.map(|place| (register(allocs[usize::from(place)]), inst.shift));
                let address = match inst.base {
                    BaseKind::Reg => Address { base: Base::Reg(number(layout.base)), index, disp: inst.disp },
                    BaseKind::Frame => Address { base: Base::Reg(4), index, disp: inst.disp },
                    BaseKind::Pool => {
                        let bytes = match (inst.rm, row.broadcast()) {
                            (RmKind::Broadcast, Some(element)) => usize::from(element),
                            _ => row.memory_bytes(inst.size),
                        };
                        constant = Some(Entry { constant: inst.disp as u32, bytes });
                        Address { base: Base::Next, index: None, disp: 0 }
                    }
                };
                if inst.rm == RmKind::Broadcast { Rm::Broadcast(address) } else { Rm::Mem(address) }
            }
        };
        let patch = encode(op, &fields, &mut self.done.bytes);
        if let (Some(at), Some(entry)) = (patch, constant) {
            self.constants.push((at, self.done.bytes.len(), entry));
        }
    }

    /// Appends the constants: whole registers first, each at a boundary of its size.
    fn pool(&mut self) {
        self.done.code_bytes = self.done.bytes.len();
        let mut entries: Vec<Entry> = self.constants.iter().map(|&(_, _, entry)| entry).collect();
        entries.sort_by_key(|entry| (std::cmp::Reverse(entry.bytes), entry.constant));
        entries.dedup();
        let mut offsets: HashMap<Entry, usize> = HashMap::with_capacity(entries.len());
        if let Some(first) = entries.first() {
            let start = self.done.bytes.len().next_multiple_of(first.bytes);
            self.done.bytes.resize(start, 0xCC);
        }
        for entry in entries {
            offsets.insert(entry, self.done.bytes.len());
            let bytes = bytes_of(&self.func.constants[entry.constant as usize]);
            self.done.bytes.extend_from_slice(&bytes[..entry.bytes]);
        }
        for &(at, end, entry) in &self.constants {
            let distance = offsets[&entry] as i32 - end as i32;
            self.done.bytes[at..at + 4].copy_from_slice(&distance.to_le_bytes());
        }
    }
}

fn register(allocation: Allocation) -> u8 {
    allocation.as_reg().map_or(0, |reg| {
        debug_assert!([G, V, K].contains(&reg.class()));
        reg.hw_enc() as u8
    })
}

fn bytes_of(constant: &Const) -> [u8; 64] {
    let mut all = [0; 64];
    match constant {
        Const::Splat { bits, bytes } => {
            for place in all.chunks_exact_mut(usize::from(*bytes)) {
                place.copy_from_slice(&bits.to_le_bytes()[..usize::from(*bytes)]);
            }
        }
        Const::Vector(words) => {
            for (place, word) in all.chunks_exact_mut(8).zip(words) {
                place.copy_from_slice(&word.to_le_bytes());
            }
        }
    }
    all
}

/// Instructions that do nothing, as few as there can be (Intel SDM, NOP).
fn nops(mut count: usize, out: &mut Vec<u8>) {
    const LONGEST: [u8; 9] = [0x66, 0x0F, 0x1F, 0x84, 0, 0, 0, 0, 0];
    while count > 0 {
        let bytes: &[u8] = match count {
            1 => &[0x90],
            2 => &[0x66, 0x90],
            3 => &[0x0F, 0x1F, 0x00],
            4 => &[0x0F, 0x1F, 0x40, 0x00],
            5 => &[0x0F, 0x1F, 0x44, 0x00, 0x00],
            6 => &[0x66, 0x0F, 0x1F, 0x44, 0x00, 0x00],
            7 => &[0x0F, 0x1F, 0x80, 0, 0, 0, 0],
            8 => &[0x0F, 0x1F, 0x84, 0, 0, 0, 0, 0],
            _ => &LONGEST,
        };
        out.extend_from_slice(bytes);
        count -= bytes.len();
    }
}
