//! Bytes of one instruction.
//!
//! In: an [`Op`] and registers. Out: its encoding, appended to a buffer. Holds: what the instruction table says and nothing else; EVEX only where VEX cannot say it,
//! because VEX is shorter.
//!
//! Why an encoder of our own: the rows are needed anyway (operands, memory forms, masks), and reading them takes 6 to 11 ns per instruction where iced-x86's
//! encoder takes 27 to 38 and wants warming up (research notes, section 3). iced-x86 is what the tests decode with.

use super::table::{Class, Field, Imm, Isa, Map, Op, Row, Size, W};

/// A memory operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// Where it starts.
    pub base: Base,
    /// A register, and the power of two that it is scaled by. A vector register for gathers and scatters.
    pub index: Option<(u8, u8)>,
    /// Bytes to add.
    pub disp: i32,
}

/// The start of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// A general register.
    Reg(u8),
    /// The next instruction's address; whoever encodes patches the displacement.
    Next,
}

/// The operand in ModRM.rm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rm {
    /// A register of the row's class.
    Reg(u8),
    /// Memory.
    Mem(Address),
    /// One element in memory, for all lanes.
    Broadcast(Address),
}

/// What an instruction's fields hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields {
    /// Size of the operation.
    pub size: Size,
    /// ModRM.reg, if the row has it.
    pub reg: u8,
    /// VEX.vvvv, if the row has it.
    pub vvvv: u8,
    /// ModRM.rm, if the row has it.
    pub rm: Rm,
    /// Number of the write mask, 0 for none.
    pub mask: u8,
    /// Lanes that are off become zero instead of staying as they are.
    pub zeroing: bool,
    /// The immediate, if the row has one; the number of a fourth register.
    pub imm: i32,
}

impl Fields {
    /// Of an instruction without operands.
    pub fn new(size: Size) -> Fields {
        Fields { size, reg: 0, vvvv: 0, rm: Rm::Reg(0), mask: 0, zeroing: false, imm: 0 }
    }
}

/// Appends an instruction. If its address is relative to the next instruction, gives the offset of the displacement in `out`; it holds `disp`.
pub fn encode(op: Op, fields: &Fields, out: &mut Vec<u8>) -> Option<usize> {
    let row = op.row();
    debug_assert!(row.sizes.has(fields.size), "{} in {:?}", row.name, fields.size);
    let reg = match row.form.reg {
        Field::Digit(digit) => digit,
        Field::None => 0,
        _ => fields.reg,
    };
    let vvvv = if row.form.vvvv == Field::None { 0 } else { fields.vvvv };
    let fields = Fields { reg, vvvv, ..*fields };
    let scale = match row.isa {
        Isa::Legacy => legacy(row, &fields, out),
        Isa::Vex => vex(row, &fields, out),
        Isa::Evex => evex(row, &fields, out),
        Isa::Both if needs_evex(row, &fields) => evex(row, &fields, out),
        Isa::Both => vex(row, &fields, out),
    };
    let patch = if row.form.rm == Field::None { None } else { modrm(reg, fields.rm, scale, out) };
    match row.form.imm {
        Imm::None => {}
        Imm::Byte => out.push(fields.imm as u8),
        Imm::Short if i8::try_from(fields.imm).is_ok() => out.push(fields.imm as u8),
        Imm::Short | Imm::Dword => out.extend_from_slice(&fields.imm.to_le_bytes()),
        Imm::Register => out.push((fields.imm as u8) << 4),
    }
    if row.form.rm == Field::None && row.map == Map::M0F && row.opcode == 0xAE {
        // SFENCE is 0F AE F8.
        out.push(0xF8);
    }
    patch
}

fn needs_evex(row: &Row, fields: &Fields) -> bool {
    let high = |field: Field, number: u8| number > 15 && matches!(class_of(field), Some(Class::V));
    let rm = match fields.rm {
        Rm::Reg(number) => high(row.form.rm, number),
        Rm::Mem(_) => false,
        Rm::Broadcast(_) => true,
    };
    fields.size == Size::Z
        || fields.mask != 0
        || rm
        || high(row.form.reg, fields.reg)
        || high(row.form.vvvv, fields.vvvv)
}

fn class_of(field: Field) -> Option<Class> {
    match field {
        Field::Def(class) | Field::Use(class) | Field::Both(class) => Some(class),
        Field::None
        | Field::Digit(_)
        | Field::Load
        | Field::Store
        | Field::Address
        | Field::GatherD
        | Field::GatherQ
        | Field::ScatterQ => None,
    }
}

/// Bits 3 of index and base, or of the register in rm; and bit 4 of a vector register there.
struct Extension {
    x: u8,
    b: u8,
    high: u8,
}

fn extension(rm: Rm) -> Extension {
    match rm {
        Rm::Reg(number) => Extension { x: 0, b: number >> 3 & 1, high: number >> 4 & 1 },
        Rm::Mem(address) | Rm::Broadcast(address) => {
            let index = address.index.map_or(0, |(index, _)| index);
            let base = match address.base {
                Base::Reg(base) => base,
                Base::Next => 0,
            };
            Extension { x: index >> 3 & 1, b: base >> 3 & 1, high: index >> 4 & 1 }
        }
    }
}

fn legacy(row: &Row, fields: &Fields, out: &mut Vec<u8>) -> i32 {
    match row.prefix as u8 {
        0 => {}
        1 => out.push(0x66),
        2 => out.push(0xF3),
        _ => out.push(0xF2),
    }
    let has_rm = row.form.rm != Field::None;
    let Extension { x, b, .. } =
        if has_rm { extension(fields.rm) } else { Extension { x: 0, b: 0, high: 0 } };
    let w = u8::from(row.w == W::Gpr && fields.size == Size::Q);
    let rex = w << 3 | (fields.reg >> 3 & 1) << 2 | x << 1 | b;
    // Without a REX prefix, bytes 4 to 7 are ah, ch, dh, bh.
    let is_byte = |field: Field, number: u8| class_of(field) == Some(Class::Byte) && number > 3;
    let byte = is_byte(row.form.reg, fields.reg)
        || matches!(fields.rm, Rm::Reg(number) if is_byte(row.form.rm, number));
    if rex != 0 || byte {
        out.push(0x40 | rex);
    }
    match row.map {
        Map::One => {}
        Map::M0F => out.push(0x0F),
        Map::M38 => out.extend_from_slice(&[0x0F, 0x38]),
        Map::M3A => out.extend_from_slice(&[0x0F, 0x3A]),
    }
    let opcode = match row.form.imm {
        Imm::Short if i8::try_from(fields.imm).is_ok() => row.opcode | 2,
        // The condition of SETcc and CMOVcc.
        Imm::None if row.map == Map::M0F && matches!(row.opcode, 0x40 | 0x90) => {
            row.opcode | fields.imm as u8
        }
        _ => row.opcode,
    };
    out.push(opcode);
    1
}

fn vex(row: &Row, fields: &Fields, out: &mut Vec<u8>) -> i32 {
    let Extension { x, b, .. } = extension(fields.rm);
    let w = match row.w {
        W::W0 | W::E1 => 0,
        W::W1 => 1,
        W::Gpr => u8::from(fields.size == Size::Q),
    };
    let l = u8::from(fields.size == Size::Y);
    let r = fields.reg >> 3 & 1;
    let tail = (!fields.vvvv & 15) << 3 | l << 2 | row.prefix as u8;
    if x == 0 && b == 0 && w == 0 && row.map == Map::M0F {
        out.extend_from_slice(&[0xC5, (r ^ 1) << 7 | tail, row.opcode]);
    } else {
        let first = (r ^ 1) << 7 | (x ^ 1) << 6 | (b ^ 1) << 5 | row.map as u8;
        out.extend_from_slice(&[0xC4, first, w << 7 | tail, row.opcode]);
    }
    1
}

fn evex(row: &Row, fields: &Fields, out: &mut Vec<u8>) -> i32 {
    let Extension { x, b, high } = extension(fields.rm);
    let w = match row.w {
        W::W0 => 0,
        W::W1 | W::E1 => 1,
        W::Gpr => u8::from(fields.size == Size::Q),
    };
    let length = match fields.size {
        Size::D | Size::Q | Size::X => 0,
        Size::Y => 1,
        Size::Z => 2,
    };
    let (broadcast, is_memory) = match fields.rm {
        Rm::Reg(_) => (0, false),
        Rm::Mem(_) => (0, true),
        Rm::Broadcast(_) => (1, true),
    };
    // A vector register in rm has its high bit in X; a vector index has it in V'.
    let x = if is_memory { x } else { high };
    let is_indexed = matches!(row.form.rm, Field::GatherD | Field::GatherQ | Field::ScatterQ);
    let v_high = if is_indexed { high } else { fields.vvvv >> 4 & 1 };
    let first = (fields.reg >> 3 & 1 ^ 1) << 7
        | (x ^ 1) << 6
        | (b ^ 1) << 5
        | (fields.reg >> 4 & 1 ^ 1) << 4
        | row.map as u8;
    let second = w << 7 | (!fields.vvvv & 15) << 3 | 4 | row.prefix as u8;
    let third =
        u8::from(fields.zeroing) << 7 | length << 5 | broadcast << 4 | (v_high ^ 1) << 3 | fields.mask;
    out.extend_from_slice(&[0x62, first, second, third, row.opcode]);
    if broadcast == 1 {
        return i32::from(row.broadcast().unwrap_or(1));
    }
    row.memory_bytes(fields.size) as i32
}

/// ModRM, SIB and displacement; a one-byte displacement counts in units of `scale`.
fn modrm(reg: u8, rm: Rm, scale: i32, out: &mut Vec<u8>) -> Option<usize> {
    let reg = (reg & 7) << 3;
    let address = match rm {
        Rm::Reg(number) => {
            out.push(0xC0 | reg | number & 7);
            return None;
        }
        Rm::Mem(address) | Rm::Broadcast(address) => address,
    };
    let Base::Reg(base) = address.base else {
        out.push(reg | 5);
        out.extend_from_slice(&address.disp.to_le_bytes());
        return Some(out.len() - 4);
    };
    let disp = address.disp;
    let scaled = disp / scale.max(1);
    // Base 5 without displacement means something else.
    let (mode, short) = if disp == 0 && base & 7 != 5 {
        (0x00, None)
    } else if disp % scale.max(1) == 0 && i8::try_from(scaled).is_ok() {
        (0x40, Some(scaled as u8))
    } else {
        (0x80, None)
    };
    match address.index {
        // Base 4 means a SIB byte.
        None if base & 7 == 4 => out.extend_from_slice(&[mode | reg | 4, 0x24]),
        None => out.push(mode | reg | base & 7),
        Some((index, shift)) => {
            out.extend_from_slice(&[mode | reg | 4, shift << 6 | (index & 7) << 3 | base & 7]);
        }
    }
    match (mode, short) {
        (0x00, _) => {}
        (_, Some(byte)) => out.push(byte),
        (_, None) => out.extend_from_slice(&disp.to_le_bytes()),
    }
    None
}

/// Is a mask of this kind allowed on the row?
#[cfg(test)]
pub fn takes_mask(row: &Row, zeroing: bool) -> bool {
    match row.masks {
        super::table::Masks::No => false,
        super::table::Masks::Write(_) => true,
        super::table::Masks::Store(_)
        | super::table::Masks::Compare(_)
        | super::table::Masks::Select(_)
        | super::table::Masks::Gather(_) => !zeroing,
    }
}

/// Does the row have a memory form at this size?
#[cfg(test)]
pub fn takes_memory(row: &Row, size: Size) -> bool {
    row.memory != super::table::Memory::No && row.memory_bytes(size) > 0
}
