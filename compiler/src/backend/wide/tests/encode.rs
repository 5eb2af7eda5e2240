//! Every row of the instruction table, in all its forms, decoded by iced-x86.

use super::super::encode::{Address, Base, Fields, Rm, encode, takes_mask, takes_memory};
use super::super::table::{Class, Field, Imm, Isa, Op, Row, Size};
use iced_x86::{Decoder, DecoderOptions, Instruction, OpKind, Register};

const CONDITIONS: [&str; 16] =
    ["o", "no", "b", "ae", "e", "ne", "be", "a", "s", "ns", "p", "np", "l", "ge", "le", "g"];

/// An operand as iced sees it.
#[derive(Debug, PartialEq)]
enum Operand {
    Register(Class, u8),
    Memory,
    Immediate(i64),
}

fn operands(inst: &Instruction) -> Vec<Operand> {
    (0..inst.op_count())
        .map(|k| match inst.op_kind(k) {
            OpKind::Register => {
                let register = inst.op_register(k);
                let class = match register {
                    _ if register.is_vector_register() => Class::V,
                    _ if register.is_k() => Class::K,
                    _ if register.is_gpr8() => Class::Byte,
                    _ => Class::G,
                };
                let number = match register {
                    Register::SPL | Register::BPL | Register::SIL | Register::DIL => {
                        register as usize - Register::SPL as usize + 4
                    }
                    _ if class == Class::Byte && register as usize >= Register::R8L as usize => {
                        register as usize - Register::R8L as usize + 8
                    }
                    _ => register.number(),
                };
                Operand::Register(class, number as u8)
            }
            OpKind::Memory => Operand::Memory,
            OpKind::Immediate8 => Operand::Immediate(i64::from(inst.immediate8() as i8)),
            OpKind::Immediate32 => Operand::Immediate(i64::from(inst.immediate32() as i32)),
            OpKind::Immediate8to32 => Operand::Immediate(i64::from(inst.immediate8to32())),
            OpKind::Immediate8to64 => Operand::Immediate(inst.immediate8to64()),
            OpKind::Immediate32to64 => Operand::Immediate(inst.immediate32to64()),
            other => panic!("{other:?}"),
        })
        .collect()
}

/// The operands that a row has for given fields, in Intel's order.
fn wanted(op: Op, row: &Row, fields: &Fields) -> Vec<Operand> {
    let place = |field: Field, number: u8| match field {
        Field::None | Field::Digit(_) => None,
        Field::Def(class) | Field::Use(class) | Field::Both(class) => Some(Operand::Register(class, number)),
        _ => Some(Operand::Memory),
    };
    let reg = place(row.form.reg, fields.reg);
    let vvvv = place(row.form.vvvv, fields.vvvv);
    let rm = match fields.rm {
        Rm::Reg(number) => place(row.form.rm, number),
        Rm::Mem(_) | Rm::Broadcast(_) => place(row.form.rm, 0).map(|_| Operand::Memory),
    };
    let is_result = |field| matches!(field, Field::Def(_) | Field::Store | Field::ScatterQ);
    let order = match op {
        Op::Shlx | Op::Shrx | Op::Sarx | Op::Bzhi => [reg, rm, vvvv],
        Op::VgatherqpdV | Op::VgatherqpsV | Op::VgatherdpdV | Op::VgatherdpsV => [reg, rm, vvvv],
        // Both orders mean the same; iced names rm first.
        Op::Test => [rm, reg, vvvv],
        _ if is_result(row.form.rm) => [rm, vvvv, reg],
        _ => [reg, vvvv, rm],
    };
    let mut all: Vec<Operand> = order.into_iter().flatten().collect();
    match row.form.imm {
        Imm::None => {}
        Imm::Byte => all.push(Operand::Immediate(i64::from(fields.imm as i8))),
        Imm::Short | Imm::Dword => all.push(Operand::Immediate(i64::from(fields.imm))),
        Imm::Register => all.push(Operand::Register(Class::V, fields.imm as u8)),
    }
    all
}

fn check(op: Op, fields: &Fields) {
    let row = op.row();
    let mut bytes = Vec::new();
    let patch = encode(op, fields, &mut bytes);
    let length = bytes.len();
    bytes.extend_from_slice(&[0x90; 16]);
    let mut decoder = Decoder::with_ip(64, &bytes, 0, DecoderOptions::NONE);
    let inst = decoder.decode();
    let context = format!("{} {fields:?}: {:02x?} is {inst:?}", row.name, &bytes[..length]);
    assert!(!inst.is_invalid(), "{context}");
    assert_eq!(inst.len(), length, "{context}");
    let name = match op {
        Op::Setcc | Op::Cmovcc => format!("{}{}", row.name, CONDITIONS[fields.imm as usize & 15]),
        Op::Cqo if fields.size == Size::D => "cdq".to_string(),
        _ => row.name.to_string(),
    };
    let found = format!("{:?}", inst.mnemonic()).to_lowercase();
    // Comparisons are spelt with their predicates only by formatters.
    assert_eq!(found, name, "{context}");
    assert_eq!(operands(&inst), wanted(op, row, fields), "{context}");
    assert_eq!(inst.op_mask().number(), usize::from(fields.mask), "{context}");
    assert_eq!(inst.zeroing_masking(), fields.zeroing, "{context}");
    let (address, broadcast) = match fields.rm {
        Rm::Reg(_) => {
            assert_eq!(patch, None);
            return;
        }
        Rm::Mem(address) => (address, false),
        Rm::Broadcast(address) => (address, true),
    };
    assert_eq!(inst.is_broadcast(), broadcast, "{context}");
    let bytes = match row.broadcast() {
        Some(element) if broadcast => usize::from(element),
        _ => row.memory_bytes(fields.size),
    };
    // An address that is not followed has no size.
    if row.form.rm != Field::Address {
        let size = inst.memory_size();
        let found = if broadcast || size.is_packed() && row.masks_gather() {
            size.element_size()
        } else {
            size.size()
        };
        let found = if row.masks_gather() { size.element_size() } else { found };
        assert_eq!(found, bytes, "{context}");
    }
    match address.base {
        Base::Reg(base) => {
            assert_eq!(inst.memory_base().number(), usize::from(base), "{context}");
            assert_eq!(inst.memory_displacement64() as i64, i64::from(address.disp), "{context}");
            assert_eq!(patch, None);
        }
        Base::Next => {
            assert_eq!(inst.memory_base(), Register::RIP, "{context}");
            assert!(patch.is_some());
        }
    }
    match address.index {
        Some((index, shift)) => {
            assert_eq!(inst.memory_index().number(), usize::from(index), "{context}");
            assert_eq!(inst.memory_index_scale(), 1 << shift, "{context}");
        }
        None => assert_eq!(inst.memory_index(), Register::None, "{context}"),
    }
}

impl Row {
    fn masks_gather(&self) -> bool {
        matches!(self.form.rm, Field::GatherD | Field::GatherQ | Field::ScatterQ)
    }
}

fn numbers(row: &Row, field: Field) -> Vec<u8> {
    match field {
        Field::Def(class) | Field::Use(class) | Field::Both(class) => match class {
            Class::V if matches!(row.isa, Isa::Evex | Isa::Both) => vec![0, 3, 7, 8, 15, 16, 21, 31],
            Class::V => vec![0, 3, 7, 8, 12, 15],
            Class::K => vec![1, 4, 7],
            Class::G | Class::Byte => vec![0, 1, 3, 4, 5, 6, 7, 8, 11, 12, 13, 15],
        },
        _ => vec![0],
    }
}

fn addresses(row: &Row) -> Vec<Address> {
    let mut all = Vec::new();
    let displacements = [0, 8, 64, -64, 127, 128, -128, 512, 4096, 8128, -8192, 1 << 20];
    let vector_index = row.masks_gather();
    for base in 0..16 {
        for disp in displacements {
            let address = Address { base: Base::Reg(base), index: None, disp };
            if !vector_index {
                all.push(address);
            }
        }
        let indices: &[u8] = match vector_index {
            true if row.isa == Isa::Vex => &[1, 4, 9, 15],
            true => &[1, 4, 9, 20, 31],
            false => &[0, 5, 9, 12, 15],
        };
        for &index in indices {
            for (shift, disp) in [(0, 0), (3, 0), (2, 24), (1, 192), (3, -1000)] {
                all.push(Address { base: Base::Reg(base), index: Some((index, shift)), disp });
            }
        }
    }
    if !vector_index {
        all.push(Address { base: Base::Next, index: None, disp: 0 });
    }
    all
}

/// All forms of a row that a backend may ask for.
pub(super) fn forms(op: Op) -> Vec<Fields> {
    let row = op.row();
    let mut all = Vec::new();
    let gathers = row.masks_gather();
    let memory_only = matches!(row.form.rm, Field::Load | Field::Store | Field::Address) || gathers;
    for size in Size::ALL.into_iter().filter(|&size| row.sizes.has(size)) {
        let immediates: &[i32] = match row.form.imm {
            Imm::Byte => &[0, 1, 31, 127],
            Imm::Short => &[0, 1, -1, 127, -128, 128, 1 << 30],
            Imm::Dword => &[0, -1, 1 << 30],
            Imm::Register => &[0, 7, 9, 15],
            Imm::None if matches!(op, Op::Setcc | Op::Cmovcc) => &[0, 2, 4, 5, 7, 12, 15],
            Imm::None => &[0],
        };
        let mut masks = vec![(0, false)];
        if gathers && row.isa == Isa::Evex {
            masks = vec![(1, false), (7, false)];
        } else if takes_mask(row, false) && row.isa != Isa::Vex {
            masks.extend([(1, false), (5, false)]);
            if takes_mask(row, true) {
                masks.push((3, true));
            }
        }
        let mut rms = Vec::new();
        if !memory_only {
            rms.extend(numbers(row, row.form.rm).into_iter().map(Rm::Reg));
        }
        if (row.reads_memory() || memory_only) && (takes_memory(row, size) || row.form.rm == Field::Address) {
            for address in addresses(row) {
                rms.push(Rm::Mem(address));
                if row.broadcast().is_some() {
                    rms.push(Rm::Broadcast(address));
                }
            }
        }
        for &reg in &numbers(row, row.form.reg) {
            for &vvvv in &numbers(row, row.form.vvvv) {
                for (k, &rm) in rms.iter().enumerate() {
                    let imm = immediates[(k + usize::from(reg) + usize::from(vvvv)) % immediates.len()];
                    let (mask, zeroing) = masks[(k / 2 + usize::from(reg)) % masks.len()];
                    let fields = Fields { size, reg, vvvv, rm, mask, zeroing, imm };
                    if gathers && !registers_differ(row, &fields) {
                        continue;
                    }
                    all.push(fields);
                }
            }
        }
    }
    all
}

/// A gather must not have two of its registers be one.
fn registers_differ(row: &Row, fields: &Fields) -> bool {
    let Rm::Mem(Address { index: Some((index, _)), .. }) = fields.rm else { return true };
    let scatters = row.form.rm == Field::ScatterQ;
    let vex = row.isa == Isa::Vex;
    (scatters || index != fields.reg) && !(vex && (index == fields.vvvv || fields.reg == fields.vvvv))
}

#[test]
fn every_form_of_every_row_decodes_to_itself() {
    let mut count = 0;
    for &op in Op::ALL {
        let forms = forms(op);
        assert!(!forms.is_empty(), "{} has no form", op.row().name);
        for fields in &forms {
            check(op, fields);
        }
        count += forms.len();
    }
    assert!(count > 100_000, "{count}");
}
