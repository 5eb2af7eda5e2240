//! The instruction table: one row per instruction of the machine.
//!
//! In: an [`Op`]. Out: how it is encoded, what its operands are, which memory and mask forms it has. Holds: the encoder, the register allocator's view of an
//! instruction and the tests of both read this table and nothing else; adding an instruction is adding a row (Intel SDM volume 2, AMD APM volumes 3 and 4).

/// Which encodings an instruction has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// Opcode with REX prefix.
    Legacy,
    /// VEX only: AVX, AVX2, FMA, BMI.
    Vex,
    /// EVEX only: AVX-512.
    Evex,
    /// Either, with the same meaning; EVEX for masks, broadcasts, 512 bits and registers above 15.
    Both,
}

/// Mandatory prefix, as VEX numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Prefix {
    /// None.
    NP = 0,
    /// 66
    P66 = 1,
    /// F3
    PF3 = 2,
    /// F2
    PF2 = 3,
}

/// Opcode map, as VEX numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Map {
    /// One-byte opcodes; legacy only.
    One = 0,
    /// 0F
    M0F = 1,
    /// 0F38
    M38 = 2,
    /// 0F3A
    M3A = 3,
}

/// The W bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum W {
    /// 0
    W0,
    /// 1
    W1,
    /// 1 under EVEX, ignored or 0 under VEX.
    E1,
    /// 1 for 64-bit general registers.
    Gpr,
}

/// Register classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// General registers.
    G,
    /// The low byte of a general register.
    Byte,
    /// xmm, ymm, zmm.
    V,
    /// Masks.
    K,
}

/// What a field of the encoding holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Nothing.
    None,
    /// More of the opcode.
    Digit(u8),
    /// The result.
    Def(Class),
    /// An operand.
    Use(Class),
    /// The result, which is an operand too.
    Both(Class),
    /// Memory that is read; not a register.
    Load,
    /// Memory that is written; not a register.
    Store,
    /// Memory whose address is not followed.
    Address,
    /// Elements at a base plus 32-bit indices in a vector register, read.
    GatherD,
    /// The same with 64-bit indices.
    GatherQ,
    /// Elements at a base plus 64-bit indices, written.
    ScatterQ,
}

/// The immediate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Imm {
    /// None.
    None,
    /// One byte.
    Byte,
    /// Four bytes.
    Dword,
    /// One byte, under the opcode with bit 1 set, if the value fits; else four.
    Short,
    /// A fourth register, in the high half of a byte.
    Register,
}

/// Fields of an instruction, by place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// ModRM.reg
    pub reg: Field,
    /// VEX.vvvv
    pub vvvv: Field,
    /// ModRM.rm: register or memory.
    pub rm: Field,
    /// The immediate.
    pub imm: Imm,
}

const fn form(reg: Field, vvvv: Field, rm: Field, imm: Imm) -> Form {
    Form { reg, vvvv, rm, imm }
}

use Class::{Byte as B, G, K, V};
use Field::{Address, Both as Acc, Def, Digit, GatherD, GatherQ, Load, ScatterQ, Store, Use};

const NONE: Field = Field::None;
const RVM: Form = form(Def(V), Use(V), Use(V), Imm::None);
const RVMI: Form = form(Def(V), Use(V), Use(V), Imm::Byte);
const RVMR: Form = form(Def(V), Use(V), Use(V), Imm::Register);
const RM: Form = form(Def(V), NONE, Use(V), Imm::None);
const RMI: Form = form(Def(V), NONE, Use(V), Imm::Byte);
const LOAD: Form = form(Def(V), NONE, Load, Imm::None);
const MR: Form = form(Use(V), NONE, Def(V), Imm::None);
const MRI: Form = form(Use(V), NONE, Def(V), Imm::Byte);
const STORE: Form = form(Use(V), NONE, Store, Imm::None);
const ACC: Form = form(Acc(V), Use(V), Use(V), Imm::None);
const ACCI: Form = form(Acc(V), Use(V), Use(V), Imm::Byte);
const TEST: Form = form(Use(V), NONE, Use(V), Imm::None);
const fn shift(digit: u8) -> Form {
    form(Digit(digit), Def(V), Use(V), Imm::Byte)
}
const KVV: Form = form(Def(K), Use(V), Use(V), Imm::None);
const KVVI: Form = form(Def(K), Use(V), Use(V), Imm::Byte);
const KV: Form = form(Def(K), NONE, Use(V), Imm::None);
const VK: Form = form(Def(V), NONE, Use(K), Imm::None);
const KKK: Form = form(Def(K), Use(K), Use(K), Imm::None);
const KK: Form = form(Def(K), NONE, Use(K), Imm::None);
const KKI: Form = form(Def(K), NONE, Use(K), Imm::Byte);
const KTEST: Form = form(Use(K), NONE, Use(K), Imm::None);
const KG: Form = form(Def(K), NONE, Use(G), Imm::None);
const GK: Form = form(Def(G), NONE, Use(K), Imm::None);
const KSTORE: Form = form(Use(K), NONE, Store, Imm::None);
const VG: Form = form(Def(V), NONE, Use(G), Imm::None);
const GV: Form = form(Def(G), NONE, Use(V), Imm::None);
/// From the reg field to a general register or memory.
const GV_MR: Form = form(Use(V), NONE, Def(G), Imm::None);
const GV_MRI: Form = form(Use(V), NONE, Def(G), Imm::Byte);
const VVG: Form = form(Def(V), Use(V), Use(G), Imm::None);
const VVGI: Form = form(Def(V), Use(V), Use(G), Imm::Byte);
const MASK_LOAD: Form = form(Def(V), Use(V), Load, Imm::None);
const MASK_STORE: Form = form(Use(V), Use(V), Store, Imm::None);
const GATHER_D: Form = form(Acc(V), NONE, GatherD, Imm::None);
const GATHER_Q: Form = form(Acc(V), NONE, GatherQ, Imm::None);
/// The mask register is read and cleared.
const GATHER_DV: Form = form(Acc(V), Acc(V), GatherD, Imm::None);
const GATHER_QV: Form = form(Acc(V), Acc(V), GatherQ, Imm::None);
const SCATTER_Q: Form = form(Use(V), NONE, ScatterQ, Imm::None);
const G_RM: Form = form(Def(G), NONE, Use(G), Imm::None);
const G_RMB: Form = form(Def(G), NONE, Use(B), Imm::None);
const G_ACC: Form = form(Acc(G), NONE, Use(G), Imm::None);
const G_MR: Form = form(Use(G), NONE, Store, Imm::None);
const B_MR: Form = form(Use(B), NONE, Store, Imm::None);
const G_TEST: Form = form(Use(G), NONE, Use(G), Imm::None);
const G_RMI: Form = form(Def(G), NONE, Use(G), Imm::Short);
const G_RMB_IMM: Form = form(Def(G), NONE, Use(G), Imm::Byte);
const G_LEA: Form = form(Def(G), NONE, Address, Imm::None);
const G_RMV: Form = form(Def(G), Use(G), Use(G), Imm::None);
const fn acc_imm(digit: u8) -> Form {
    form(Digit(digit), NONE, Acc(G), Imm::Short)
}
const fn acc_imm8(digit: u8) -> Form {
    form(Digit(digit), NONE, Acc(G), Imm::Byte)
}
const fn acc_only(digit: u8) -> Form {
    form(Digit(digit), NONE, Acc(G), Imm::None)
}
const fn unary(digit: u8) -> Form {
    form(Digit(digit), NONE, Use(G), Imm::None)
}
const CMP_IMM: Form = form(Digit(7), NONE, Use(G), Imm::Short);
const TEST_IMM: Form = form(Digit(0), NONE, Use(G), Imm::Dword);
const MOV_IMM: Form = form(Digit(0), NONE, Def(G), Imm::Dword);
const STORE_IMM: Form = form(Digit(0), NONE, Store, Imm::Dword);
const SET: Form = form(Digit(0), NONE, Def(B), Imm::None);
const NOTHING: Form = form(NONE, NONE, NONE, Imm::None);

/// Operand sizes, as a set of [`Size`]s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes(u8);

impl Sizes {
    /// Is a size among them?
    pub fn has(self, size: Size) -> bool {
        self.0 >> size as u8 & 1 != 0
    }
}

/// The size of an instruction's operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Size {
    /// 32-bit general registers.
    D,
    /// 64-bit general registers.
    Q,
    /// 128-bit vectors, and floats in lane 0.
    X,
    /// 256-bit vectors. Also the L bit of the mask instructions that have it set.
    Y,
    /// 512-bit vectors.
    Z,
}

impl Size {
    /// All of them.
    #[cfg(test)]
    pub const ALL: [Size; 5] = [Size::D, Size::Q, Size::X, Size::Y, Size::Z];

    /// Bytes of a register.
    pub fn bytes(self) -> usize {
        match self {
            Size::D => 4,
            Size::Q => 8,
            Size::X => 16,
            Size::Y => 32,
            Size::Z => 64,
        }
    }
}

const fn sizes(list: &[Size]) -> Sizes {
    let (mut set, mut at) = (0, 0);
    while at < list.len() {
        set |= 1 << list[at] as u8;
        at += 1;
    }
    Sizes(set)
}

const D: Sizes = sizes(&[Size::D]);
const Q: Sizes = sizes(&[Size::Q]);
const DQ: Sizes = sizes(&[Size::D, Size::Q]);
const X: Sizes = sizes(&[Size::X]);
const Y: Sizes = sizes(&[Size::Y]);
const Z: Sizes = sizes(&[Size::Z]);
const XY: Sizes = sizes(&[Size::X, Size::Y]);
const YZ: Sizes = sizes(&[Size::Y, Size::Z]);
const XYZ: Sizes = sizes(&[Size::X, Size::Y, Size::Z]);

/// Bytes of the memory operand, which are also what EVEX scales a one-byte displacement by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// No memory form, or none that is used.
    No,
    /// As many as the vector has; EVEX can broadcast an element of so many bytes.
    Full(u8),
    /// As many as the vector has.
    FullMem,
    /// Half of the vector; EVEX can broadcast an element of so many bytes.
    Half(u8),
    /// Half of the vector.
    HalfMem,
    /// A quarter.
    QuarterMem,
    /// An eighth.
    EighthMem,
    /// So many.
    Bytes(u8),
    /// A general register's size.
    Gpr,
}

/// Which masks an EVEX instruction takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Masks {
    /// None.
    No,
    /// Merging and zeroing, by elements of so many bytes.
    Write(u8),
    /// Memory elements of so many bytes that are off stay as they are.
    Store(u8),
    /// Bits that are off are zero in the result; one bit per element of so many bytes.
    Compare(u8),
    /// Always masked: the mask chooses between two operands, by elements of so many bytes.
    Select(u8),
    /// Always masked; the mask is cleared. Elements of so many bytes.
    Gather(u8),
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The mnemonic.
    pub name: &'static str,
    /// Encodings.
    pub isa: Isa,
    /// Mandatory prefix.
    pub prefix: Prefix,
    /// Opcode map.
    pub map: Map,
    /// The W bit.
    pub w: W,
    /// The opcode.
    pub opcode: u8,
    /// Operands.
    pub form: Form,
    /// Sizes.
    pub sizes: Sizes,
    /// Memory operand.
    pub memory: Memory,
    /// Masks.
    pub masks: Masks,
}

impl Row {
    /// The element that EVEX can broadcast from memory, in bytes.
    pub fn broadcast(&self) -> Option<u8> {
        match self.memory {
            Full(element) | Half(element) if matches!(self.isa, Isa::Evex | Isa::Both) => Some(element),
            _ => None,
        }
    }

    /// Bytes of the memory operand.
    pub fn memory_bytes(&self, size: Size) -> usize {
        match self.memory {
            No => 0,
            Full(_) | FullMem => size.bytes(),
            Half(_) | HalfMem => size.bytes() / 2,
            QuarterMem => size.bytes() / 4,
            EighthMem => size.bytes() / 8,
            Bytes(bytes) => usize::from(bytes),
            Gpr => {
                if size == Size::Q {
                    8
                } else {
                    4
                }
            }
        }
    }

    /// May memory stand in for the register operand in the rm field?
    pub fn reads_memory(&self) -> bool {
        self.memory != No && matches!(self.form.rm, Use(_))
    }

    /// Does it have a result?
    pub fn has_result(&self) -> bool {
        [self.form.reg, self.form.vvvv, self.form.rm].iter().any(|field| matches!(field, Def(_) | Acc(_)))
    }

    /// Is its first result also an operand?
    pub fn accumulates(&self) -> bool {
        [self.form.reg, self.form.vvvv, self.form.rm].iter().any(|field| matches!(field, Acc(_)))
    }
}

/// Writes the table once and derives the enum of its rows.
macro_rules! rows {
    ($($(#[$doc:meta])* $op:ident $name:literal $isa:ident $prefix:ident $map:ident $w:ident $opcode:literal $form:expr, $sizes:ident, $memory:expr, $masks:expr;)*) => {
        /// An instruction of the machine.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        #[allow(missing_docs)] // The names are the mnemonics.
        pub enum Op {
            $($(#[$doc])* $op,)*
        }

        /// All rows, by [`Op`].
        pub static ROWS: &[Row] = &[
            $(Row {
                name: $name,
                isa: Isa::$isa,
                prefix: Prefix::$prefix,
                map: Map::$map,
                w: W::$w,
                opcode: $opcode,
                form: $form,
                sizes: $sizes,
                memory: $memory,
                masks: $masks,
            },)*
        ];

        impl Op {
            /// All of them, in the order of the table.
            pub const ALL: &[Op] = &[$(Op::$op,)*];
        }
    };
}

impl Op {
    /// The instruction's row.
    pub fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }
}

use Masks::{Compare, Gather, No as NoMask, Select, Store as StoreMask, Write};
use Memory::{Bytes, EighthMem, Full, FullMem, Gpr, Half, HalfMem, No, QuarterMem};

rows! {
    // General registers. D and Q are operand sizes; a D result clears the high half.
    Mov "mov" Legacy NP One Gpr 0x8B G_RM, DQ, Gpr, NoMask;
    MovStore "mov" Legacy NP One Gpr 0x89 G_MR, DQ, Gpr, NoMask;
    MovStoreByte "mov" Legacy NP One W0 0x88 B_MR, D, Bytes(1), NoMask;
    /// The immediate is sign-extended.
    MovImm "mov" Legacy NP One Gpr 0xC7 MOV_IMM, DQ, No, NoMask;
    MovStoreImm "mov" Legacy NP One Gpr 0xC7 STORE_IMM, DQ, Gpr, NoMask;
    MovzxByte "movzx" Legacy NP M0F W0 0xB6 G_RMB, D, Bytes(1), NoMask;
    Movsxd "movsxd" Legacy NP One Gpr 0x63 G_RM, Q, Bytes(4), NoMask;
    Lea "lea" Legacy NP One Gpr 0x8D G_LEA, DQ, No, NoMask;
    Add "add" Legacy NP One Gpr 0x03 G_ACC, DQ, Gpr, NoMask;
    Or "or" Legacy NP One Gpr 0x0B G_ACC, DQ, Gpr, NoMask;
    And "and" Legacy NP One Gpr 0x23 G_ACC, DQ, Gpr, NoMask;
    Sub "sub" Legacy NP One Gpr 0x2B G_ACC, DQ, Gpr, NoMask;
    Xor "xor" Legacy NP One Gpr 0x33 G_ACC, DQ, Gpr, NoMask;
    Cmp "cmp" Legacy NP One Gpr 0x3B G_TEST, DQ, Gpr, NoMask;
    Test "test" Legacy NP One Gpr 0x85 G_TEST, DQ, No, NoMask;
    Imul "imul" Legacy NP M0F Gpr 0xAF G_ACC, DQ, Gpr, NoMask;
    AddImm "add" Legacy NP One Gpr 0x81 acc_imm(0), DQ, No, NoMask;
    OrImm "or" Legacy NP One Gpr 0x81 acc_imm(1), DQ, No, NoMask;
    AndImm "and" Legacy NP One Gpr 0x81 acc_imm(4), DQ, No, NoMask;
    SubImm "sub" Legacy NP One Gpr 0x81 acc_imm(5), DQ, No, NoMask;
    XorImm "xor" Legacy NP One Gpr 0x81 acc_imm(6), DQ, No, NoMask;
    CmpImm "cmp" Legacy NP One Gpr 0x81 CMP_IMM, DQ, Gpr, NoMask;
    TestImm "test" Legacy NP One Gpr 0xF7 TEST_IMM, DQ, No, NoMask;
    ImulImm "imul" Legacy NP One Gpr 0x69 G_RMI, DQ, Gpr, NoMask;
    Not "not" Legacy NP One Gpr 0xF7 acc_only(2), DQ, No, NoMask;
    Neg "neg" Legacy NP One Gpr 0xF7 acc_only(3), DQ, No, NoMask;
    ShlImm "shl" Legacy NP One Gpr 0xC1 acc_imm8(4), DQ, No, NoMask;
    ShrImm "shr" Legacy NP One Gpr 0xC1 acc_imm8(5), DQ, No, NoMask;
    SarImm "sar" Legacy NP One Gpr 0xC1 acc_imm8(7), DQ, No, NoMask;
    /// rdx:rax = rax * rm
    Mul "mul" Legacy NP One Gpr 0xF7 unary(4), DQ, Gpr, NoMask;
    /// rax, rdx = quotient and rest of rdx:rax by rm.
    Div "div" Legacy NP One Gpr 0xF7 unary(6), DQ, Gpr, NoMask;
    Idiv "idiv" Legacy NP One Gpr 0xF7 unary(7), DQ, Gpr, NoMask;
    /// rdx = sign of rax; `cdq` in 32 bits.
    Cqo "cqo" Legacy NP One Gpr 0x99 NOTHING, DQ, No, NoMask;
    Popcnt "popcnt" Legacy PF3 M0F Gpr 0xB8 G_RM, DQ, Gpr, NoMask;
    Tzcnt "tzcnt" Legacy PF3 M0F Gpr 0xBC G_RM, DQ, Gpr, NoMask;
    /// The condition is added to the opcode.
    Setcc "set" Legacy NP M0F W0 0x90 SET, D, No, NoMask;
    Cmovcc "cmov" Legacy NP M0F Gpr 0x40 G_ACC, DQ, Gpr, NoMask;
    /// The shifted operand is in rm, the count in vvvv.
    Shlx "shlx" Vex P66 M38 Gpr 0xF7 G_RMV, DQ, Gpr, NoMask;
    Shrx "shrx" Vex PF2 M38 Gpr 0xF7 G_RMV, DQ, Gpr, NoMask;
    Sarx "sarx" Vex PF3 M38 Gpr 0xF7 G_RMV, DQ, Gpr, NoMask;
    Rorx "rorx" Vex PF2 M3A Gpr 0xF0 G_RMB_IMM, DQ, Gpr, NoMask;
    Bzhi "bzhi" Vex NP M38 Gpr 0xF5 G_RMV, DQ, Gpr, NoMask;
    Pdep "pdep" Vex PF2 M38 Gpr 0xF5 form(Def(G), Use(G), Use(G), Imm::None), DQ, Gpr, NoMask;
    Pext "pext" Vex PF3 M38 Gpr 0xF5 form(Def(G), Use(G), Use(G), Imm::None), DQ, Gpr, NoMask;
    Sfence "sfence" Legacy NP M0F W0 0xAE NOTHING, D, No, NoMask;

    // Vectors in and out.
    Vmovups "vmovups" Both NP M0F W0 0x10 RM, XYZ, FullMem, Write(4);
    Vmovupd "vmovupd" Both P66 M0F E1 0x10 RM, XYZ, FullMem, Write(8);
    Vmovdqu8 "vmovdqu8" Evex PF2 M0F W0 0x6F RM, XYZ, FullMem, Write(1);
    VmovupsStore "vmovups" Both NP M0F W0 0x11 STORE, XYZ, FullMem, StoreMask(4);
    VmovupdStore "vmovupd" Both P66 M0F E1 0x11 STORE, XYZ, FullMem, StoreMask(8);
    Vmovdqu8Store "vmovdqu8" Evex PF2 M0F W0 0x7F STORE, XYZ, FullMem, StoreMask(1);
    Vmovntps "vmovntps" Both NP M0F W0 0x2B STORE, XYZ, FullMem, NoMask;
    VmovssLoad "vmovss" Both PF3 M0F W0 0x10 LOAD, X, Bytes(4), NoMask;
    VmovsdLoad "vmovsd" Both PF2 M0F E1 0x10 LOAD, X, Bytes(8), NoMask;
    VmovssStore "vmovss" Both PF3 M0F W0 0x11 STORE, X, Bytes(4), NoMask;
    VmovsdStore "vmovsd" Both PF2 M0F E1 0x11 STORE, X, Bytes(8), NoMask;
    VmovdFromG "vmovd" Both P66 M0F W0 0x6E VG, X, Bytes(4), NoMask;
    VmovqFromG "vmovq" Both P66 M0F W1 0x6E VG, X, Bytes(8), NoMask;
    VmovdToG "vmovd" Both P66 M0F W0 0x7E GV_MR, X, No, NoMask;
    VmovqToG "vmovq" Both P66 M0F W1 0x7E GV_MR, X, No, NoMask;
    Vpbroadcastd "vpbroadcastd" Both P66 M38 W0 0x58 RM, XYZ, Bytes(4), Write(4);
    Vpbroadcastq "vpbroadcastq" Both P66 M38 E1 0x59 RM, XYZ, Bytes(8), Write(8);
    VpbroadcastdFromG "vpbroadcastd" Evex P66 M38 W0 0x7C VG, XYZ, No, Write(4);
    VpbroadcastqFromG "vpbroadcastq" Evex P66 M38 W1 0x7C VG, XYZ, No, Write(8);
    Vpextrd "vpextrd" Both P66 M3A W0 0x16 GV_MRI, X, No, NoMask;
    Vpextrq "vpextrq" Both P66 M3A W1 0x16 GV_MRI, X, No, NoMask;
    Vpinsrd "vpinsrd" Both P66 M3A W0 0x22 VVGI, X, Bytes(4), NoMask;
    Vpinsrq "vpinsrq" Both P66 M3A W1 0x22 VVGI, X, Bytes(8), NoMask;
    Vmovhpd "vmovhpd" Both P66 M0F E1 0x16 form(Def(V), Use(V), Load, Imm::None), X, Bytes(8), NoMask;
    Vinsertps "vinsertps" Both P66 M3A W0 0x21 RVMI, X, Bytes(4), NoMask;
    Vmaskmovps "vmaskmovps" Vex P66 M38 W0 0x2C MASK_LOAD, XY, FullMem, NoMask;
    Vmaskmovpd "vmaskmovpd" Vex P66 M38 W0 0x2D MASK_LOAD, XY, FullMem, NoMask;
    VmaskmovpsStore "vmaskmovps" Vex P66 M38 W0 0x2E MASK_STORE, XY, FullMem, NoMask;
    VmaskmovpdStore "vmaskmovpd" Vex P66 M38 W0 0x2F MASK_STORE, XY, FullMem, NoMask;
    Vgatherdpd "vgatherdpd" Evex P66 M38 W1 0x92 GATHER_D, XYZ, Bytes(8), Gather(8);
    Vgatherqpd "vgatherqpd" Evex P66 M38 W1 0x93 GATHER_Q, XYZ, Bytes(8), Gather(8);
    Vgatherdps "vgatherdps" Evex P66 M38 W0 0x92 GATHER_D, XYZ, Bytes(4), Gather(4);
    Vgatherqps "vgatherqps" Evex P66 M38 W0 0x93 GATHER_Q, XYZ, Bytes(4), Gather(4);
    VgatherqpdV "vgatherqpd" Vex P66 M38 W1 0x93 GATHER_QV, XY, Bytes(8), NoMask;
    VgatherqpsV "vgatherqps" Vex P66 M38 W0 0x93 GATHER_QV, XY, Bytes(4), NoMask;
    VgatherdpdV "vgatherdpd" Vex P66 M38 W1 0x92 GATHER_DV, XY, Bytes(8), NoMask;
    VgatherdpsV "vgatherdps" Vex P66 M38 W0 0x92 GATHER_DV, XY, Bytes(4), NoMask;
    Vscatterqpd "vscatterqpd" Evex P66 M38 W1 0xA3 SCATTER_Q, XYZ, Bytes(8), Gather(8);
    Vscatterqps "vscatterqps" Evex P66 M38 W0 0xA3 SCATTER_Q, XYZ, Bytes(4), Gather(4);
    Vzeroupper "vzeroupper" Vex NP M0F W0 0x77 NOTHING, X, No, NoMask;

    // Float arithmetic: packed double, packed single, lane 0.
    Vaddpd "vaddpd" Both P66 M0F E1 0x58 RVM, XYZ, Full(8), Write(8);
    Vaddps "vaddps" Both NP M0F W0 0x58 RVM, XYZ, Full(4), Write(4);
    Vaddsd "vaddsd" Both PF2 M0F E1 0x58 RVM, X, Bytes(8), NoMask;
    Vaddss "vaddss" Both PF3 M0F W0 0x58 RVM, X, Bytes(4), NoMask;
    Vsubpd "vsubpd" Both P66 M0F E1 0x5C RVM, XYZ, Full(8), Write(8);
    Vsubps "vsubps" Both NP M0F W0 0x5C RVM, XYZ, Full(4), Write(4);
    Vsubsd "vsubsd" Both PF2 M0F E1 0x5C RVM, X, Bytes(8), NoMask;
    Vsubss "vsubss" Both PF3 M0F W0 0x5C RVM, X, Bytes(4), NoMask;
    Vmulpd "vmulpd" Both P66 M0F E1 0x59 RVM, XYZ, Full(8), Write(8);
    Vmulps "vmulps" Both NP M0F W0 0x59 RVM, XYZ, Full(4), Write(4);
    Vmulsd "vmulsd" Both PF2 M0F E1 0x59 RVM, X, Bytes(8), NoMask;
    Vmulss "vmulss" Both PF3 M0F W0 0x59 RVM, X, Bytes(4), NoMask;
    Vdivpd "vdivpd" Both P66 M0F E1 0x5E RVM, XYZ, Full(8), Write(8);
    Vdivps "vdivps" Both NP M0F W0 0x5E RVM, XYZ, Full(4), Write(4);
    Vdivsd "vdivsd" Both PF2 M0F E1 0x5E RVM, X, Bytes(8), NoMask;
    Vdivss "vdivss" Both PF3 M0F W0 0x5E RVM, X, Bytes(4), NoMask;
    Vminpd "vminpd" Both P66 M0F E1 0x5D RVM, XYZ, Full(8), Write(8);
    Vminps "vminps" Both NP M0F W0 0x5D RVM, XYZ, Full(4), Write(4);
    Vminsd "vminsd" Both PF2 M0F E1 0x5D RVM, X, Bytes(8), NoMask;
    Vminss "vminss" Both PF3 M0F W0 0x5D RVM, X, Bytes(4), NoMask;
    Vmaxpd "vmaxpd" Both P66 M0F E1 0x5F RVM, XYZ, Full(8), Write(8);
    Vmaxps "vmaxps" Both NP M0F W0 0x5F RVM, XYZ, Full(4), Write(4);
    Vmaxsd "vmaxsd" Both PF2 M0F E1 0x5F RVM, X, Bytes(8), NoMask;
    Vmaxss "vmaxss" Both PF3 M0F W0 0x5F RVM, X, Bytes(4), NoMask;
    Vrangepd "vrangepd" Evex P66 M3A W1 0x50 RVMI, XYZ, Full(8), Write(8);
    Vrangeps "vrangeps" Evex P66 M3A W0 0x50 RVMI, XYZ, Full(4), Write(4);
    Vsqrtpd "vsqrtpd" Both P66 M0F E1 0x51 RM, XYZ, Full(8), Write(8);
    Vsqrtps "vsqrtps" Both NP M0F W0 0x51 RM, XYZ, Full(4), Write(4);
    Vsqrtsd "vsqrtsd" Both PF2 M0F E1 0x51 RVM, X, Bytes(8), NoMask;
    Vsqrtss "vsqrtss" Both PF3 M0F W0 0x51 RVM, X, Bytes(4), NoMask;
    Vroundpd "vroundpd" Vex P66 M3A W0 0x09 RMI, XY, FullMem, NoMask;
    Vroundps "vroundps" Vex P66 M3A W0 0x08 RMI, XY, FullMem, NoMask;
    Vroundsd "vroundsd" Vex P66 M3A W0 0x0B RVMI, X, Bytes(8), NoMask;
    Vroundss "vroundss" Vex P66 M3A W0 0x0A RVMI, X, Bytes(4), NoMask;
    Vrndscalepd "vrndscalepd" Evex P66 M3A W1 0x09 RMI, XYZ, Full(8), Write(8);
    Vrndscaleps "vrndscaleps" Evex P66 M3A W0 0x08 RMI, XYZ, Full(4), Write(4);
    Vrndscalesd "vrndscalesd" Evex P66 M3A W1 0x0B RVMI, X, Bytes(8), NoMask;
    Vrndscaless "vrndscaless" Evex P66 M3A W0 0x0A RVMI, X, Bytes(4), NoMask;

    // Fused multiply-add. 132: reg*rm + vvvv; 213: vvvv*reg + rm; 231: vvvv*rm + reg.
    Vfmadd132pd "vfmadd132pd" Both P66 M38 W1 0x98 ACC, XYZ, Full(8), Write(8);
    Vfmadd213pd "vfmadd213pd" Both P66 M38 W1 0xA8 ACC, XYZ, Full(8), Write(8);
    Vfmadd231pd "vfmadd231pd" Both P66 M38 W1 0xB8 ACC, XYZ, Full(8), Write(8);
    Vfmadd132ps "vfmadd132ps" Both P66 M38 W0 0x98 ACC, XYZ, Full(4), Write(4);
    Vfmadd213ps "vfmadd213ps" Both P66 M38 W0 0xA8 ACC, XYZ, Full(4), Write(4);
    Vfmadd231ps "vfmadd231ps" Both P66 M38 W0 0xB8 ACC, XYZ, Full(4), Write(4);
    Vfmadd132sd "vfmadd132sd" Both P66 M38 W1 0x99 ACC, X, Bytes(8), NoMask;
    Vfmadd213sd "vfmadd213sd" Both P66 M38 W1 0xA9 ACC, X, Bytes(8), NoMask;
    Vfmadd231sd "vfmadd231sd" Both P66 M38 W1 0xB9 ACC, X, Bytes(8), NoMask;
    Vfmadd132ss "vfmadd132ss" Both P66 M38 W0 0x99 ACC, X, Bytes(4), NoMask;
    Vfmadd213ss "vfmadd213ss" Both P66 M38 W0 0xA9 ACC, X, Bytes(4), NoMask;
    Vfmadd231ss "vfmadd231ss" Both P66 M38 W0 0xB9 ACC, X, Bytes(4), NoMask;
    Vfmsub132pd "vfmsub132pd" Both P66 M38 W1 0x9A ACC, XYZ, Full(8), Write(8);
    Vfmsub213pd "vfmsub213pd" Both P66 M38 W1 0xAA ACC, XYZ, Full(8), Write(8);
    Vfmsub231pd "vfmsub231pd" Both P66 M38 W1 0xBA ACC, XYZ, Full(8), Write(8);
    Vfmsub132ps "vfmsub132ps" Both P66 M38 W0 0x9A ACC, XYZ, Full(4), Write(4);
    Vfmsub213ps "vfmsub213ps" Both P66 M38 W0 0xAA ACC, XYZ, Full(4), Write(4);
    Vfmsub231ps "vfmsub231ps" Both P66 M38 W0 0xBA ACC, XYZ, Full(4), Write(4);
    Vfmsub132sd "vfmsub132sd" Both P66 M38 W1 0x9B ACC, X, Bytes(8), NoMask;
    Vfmsub213sd "vfmsub213sd" Both P66 M38 W1 0xAB ACC, X, Bytes(8), NoMask;
    Vfmsub231sd "vfmsub231sd" Both P66 M38 W1 0xBB ACC, X, Bytes(8), NoMask;
    Vfmsub132ss "vfmsub132ss" Both P66 M38 W0 0x9B ACC, X, Bytes(4), NoMask;
    Vfmsub213ss "vfmsub213ss" Both P66 M38 W0 0xAB ACC, X, Bytes(4), NoMask;
    Vfmsub231ss "vfmsub231ss" Both P66 M38 W0 0xBB ACC, X, Bytes(4), NoMask;
    Vfnmadd132pd "vfnmadd132pd" Both P66 M38 W1 0x9C ACC, XYZ, Full(8), Write(8);
    Vfnmadd213pd "vfnmadd213pd" Both P66 M38 W1 0xAC ACC, XYZ, Full(8), Write(8);
    Vfnmadd231pd "vfnmadd231pd" Both P66 M38 W1 0xBC ACC, XYZ, Full(8), Write(8);
    Vfnmadd132ps "vfnmadd132ps" Both P66 M38 W0 0x9C ACC, XYZ, Full(4), Write(4);
    Vfnmadd213ps "vfnmadd213ps" Both P66 M38 W0 0xAC ACC, XYZ, Full(4), Write(4);
    Vfnmadd231ps "vfnmadd231ps" Both P66 M38 W0 0xBC ACC, XYZ, Full(4), Write(4);
    Vfnmadd132sd "vfnmadd132sd" Both P66 M38 W1 0x9D ACC, X, Bytes(8), NoMask;
    Vfnmadd213sd "vfnmadd213sd" Both P66 M38 W1 0xAD ACC, X, Bytes(8), NoMask;
    Vfnmadd231sd "vfnmadd231sd" Both P66 M38 W1 0xBD ACC, X, Bytes(8), NoMask;
    Vfnmadd132ss "vfnmadd132ss" Both P66 M38 W0 0x9D ACC, X, Bytes(4), NoMask;
    Vfnmadd213ss "vfnmadd213ss" Both P66 M38 W0 0xAD ACC, X, Bytes(4), NoMask;
    Vfnmadd231ss "vfnmadd231ss" Both P66 M38 W0 0xBD ACC, X, Bytes(4), NoMask;
    Vfnmsub132pd "vfnmsub132pd" Both P66 M38 W1 0x9E ACC, XYZ, Full(8), Write(8);
    Vfnmsub213pd "vfnmsub213pd" Both P66 M38 W1 0xAE ACC, XYZ, Full(8), Write(8);
    Vfnmsub231pd "vfnmsub231pd" Both P66 M38 W1 0xBE ACC, XYZ, Full(8), Write(8);
    Vfnmsub132ps "vfnmsub132ps" Both P66 M38 W0 0x9E ACC, XYZ, Full(4), Write(4);
    Vfnmsub213ps "vfnmsub213ps" Both P66 M38 W0 0xAE ACC, XYZ, Full(4), Write(4);
    Vfnmsub231ps "vfnmsub231ps" Both P66 M38 W0 0xBE ACC, XYZ, Full(4), Write(4);
    Vfnmsub132sd "vfnmsub132sd" Both P66 M38 W1 0x9F ACC, X, Bytes(8), NoMask;
    Vfnmsub213sd "vfnmsub213sd" Both P66 M38 W1 0xAF ACC, X, Bytes(8), NoMask;
    Vfnmsub231sd "vfnmsub231sd" Both P66 M38 W1 0xBF ACC, X, Bytes(8), NoMask;
    Vfnmsub132ss "vfnmsub132ss" Both P66 M38 W0 0x9F ACC, X, Bytes(4), NoMask;
    Vfnmsub213ss "vfnmsub213ss" Both P66 M38 W0 0xAF ACC, X, Bytes(4), NoMask;
    Vfnmsub231ss "vfnmsub231ss" Both P66 M38 W0 0xBF ACC, X, Bytes(4), NoMask;

    // Comparisons of floats.
    VcmppdV "vcmppd" Vex P66 M0F W0 0xC2 RVMI, XY, FullMem, NoMask;
    VcmppsV "vcmpps" Vex NP M0F W0 0xC2 RVMI, XY, FullMem, NoMask;
    VcmpsdV "vcmpsd" Vex PF2 M0F W0 0xC2 RVMI, X, Bytes(8), NoMask;
    VcmpssV "vcmpss" Vex PF3 M0F W0 0xC2 RVMI, X, Bytes(4), NoMask;
    Vcmppd "vcmppd" Evex P66 M0F W1 0xC2 KVVI, XYZ, Full(8), Compare(8);
    Vcmpps "vcmpps" Evex NP M0F W0 0xC2 KVVI, XYZ, Full(4), Compare(4);
    Vcmpsd "vcmpsd" Evex PF2 M0F W1 0xC2 KVVI, X, Bytes(8), NoMask;
    Vcmpss "vcmpss" Evex PF3 M0F W0 0xC2 KVVI, X, Bytes(4), NoMask;
    Vucomisd "vucomisd" Both P66 M0F E1 0x2E TEST, X, Bytes(8), NoMask;
    Vucomiss "vucomiss" Both NP M0F W0 0x2E TEST, X, Bytes(4), NoMask;

    // Bitwise.
    Vpand "vpand" Vex P66 M0F W0 0xDB RVM, XY, FullMem, NoMask;
    Vpandn "vpandn" Vex P66 M0F W0 0xDF RVM, XY, FullMem, NoMask;
    Vpor "vpor" Vex P66 M0F W0 0xEB RVM, XY, FullMem, NoMask;
    Vpxor "vpxor" Vex P66 M0F W0 0xEF RVM, XY, FullMem, NoMask;
    Vpandd "vpandd" Evex P66 M0F W0 0xDB RVM, XYZ, Full(4), Write(4);
    Vpandq "vpandq" Evex P66 M0F W1 0xDB RVM, XYZ, Full(8), Write(8);
    Vpandnd "vpandnd" Evex P66 M0F W0 0xDF RVM, XYZ, Full(4), Write(4);
    Vpandnq "vpandnq" Evex P66 M0F W1 0xDF RVM, XYZ, Full(8), Write(8);
    Vpord "vpord" Evex P66 M0F W0 0xEB RVM, XYZ, Full(4), Write(4);
    Vporq "vporq" Evex P66 M0F W1 0xEB RVM, XYZ, Full(8), Write(8);
    Vpxord "vpxord" Evex P66 M0F W0 0xEF RVM, XYZ, Full(4), Write(4);
    Vpxorq "vpxorq" Evex P66 M0F W1 0xEF RVM, XYZ, Full(8), Write(8);
    Vpternlogd "vpternlogd" Evex P66 M3A W0 0x25 ACCI, XYZ, Full(4), Write(4);
    Vpternlogq "vpternlogq" Evex P66 M3A W1 0x25 ACCI, XYZ, Full(8), Write(8);

    // Integer arithmetic.
    Vpaddd "vpaddd" Both P66 M0F W0 0xFE RVM, XYZ, Full(4), Write(4);
    Vpaddq "vpaddq" Both P66 M0F E1 0xD4 RVM, XYZ, Full(8), Write(8);
    Vpsubd "vpsubd" Both P66 M0F W0 0xFA RVM, XYZ, Full(4), Write(4);
    Vpsubq "vpsubq" Both P66 M0F E1 0xFB RVM, XYZ, Full(8), Write(8);
    Vpmulld "vpmulld" Both P66 M38 W0 0x40 RVM, XYZ, Full(4), Write(4);
    Vpmullq "vpmullq" Evex P66 M38 W1 0x40 RVM, XYZ, Full(8), Write(8);
    Vpmuludq "vpmuludq" Both P66 M0F E1 0xF4 RVM, XYZ, Full(8), Write(8);
    Vpmuldq "vpmuldq" Both P66 M38 E1 0x28 RVM, XYZ, Full(8), Write(8);
    Vpabsd "vpabsd" Both P66 M38 W0 0x1E RM, XYZ, Full(4), Write(4);
    Vpabsq "vpabsq" Evex P66 M38 W1 0x1F RM, XYZ, Full(8), Write(8);
    Vpminsd "vpminsd" Both P66 M38 W0 0x39 RVM, XYZ, Full(4), Write(4);
    Vpminsq "vpminsq" Evex P66 M38 W1 0x39 RVM, XYZ, Full(8), Write(8);
    Vpminud "vpminud" Both P66 M38 W0 0x3B RVM, XYZ, Full(4), Write(4);
    Vpminuq "vpminuq" Evex P66 M38 W1 0x3B RVM, XYZ, Full(8), Write(8);
    Vpmaxsd "vpmaxsd" Both P66 M38 W0 0x3D RVM, XYZ, Full(4), Write(4);
    Vpmaxsq "vpmaxsq" Evex P66 M38 W1 0x3D RVM, XYZ, Full(8), Write(8);
    Vpmaxud "vpmaxud" Both P66 M38 W0 0x3F RVM, XYZ, Full(4), Write(4);
    Vpmaxuq "vpmaxuq" Evex P66 M38 W1 0x3F RVM, XYZ, Full(8), Write(8);

    // Shifts and rotations; by a constant, and lane by lane.
    Vpslld "vpslld" Both P66 M0F W0 0x72 shift(6), XYZ, No, Write(4);
    Vpsllq "vpsllq" Both P66 M0F E1 0x73 shift(6), XYZ, No, Write(8);
    Vpsrld "vpsrld" Both P66 M0F W0 0x72 shift(2), XYZ, No, Write(4);
    Vpsrlq "vpsrlq" Both P66 M0F E1 0x73 shift(2), XYZ, No, Write(8);
    Vpsrad "vpsrad" Both P66 M0F W0 0x72 shift(4), XYZ, No, Write(4);
    Vpsraq "vpsraq" Evex P66 M0F W1 0x72 shift(4), XYZ, No, Write(8);
    Vprold "vprold" Evex P66 M0F W0 0x72 shift(1), XYZ, No, Write(4);
    Vprolq "vprolq" Evex P66 M0F W1 0x72 shift(1), XYZ, No, Write(8);
    Vpsllvd "vpsllvd" Both P66 M38 W0 0x47 RVM, XYZ, Full(4), Write(4);
    Vpsllvq "vpsllvq" Both P66 M38 W1 0x47 RVM, XYZ, Full(8), Write(8);
    Vpsrlvd "vpsrlvd" Both P66 M38 W0 0x45 RVM, XYZ, Full(4), Write(4);
    Vpsrlvq "vpsrlvq" Both P66 M38 W1 0x45 RVM, XYZ, Full(8), Write(8);
    Vpsravd "vpsravd" Both P66 M38 W0 0x46 RVM, XYZ, Full(4), Write(4);
    Vpsravq "vpsravq" Evex P66 M38 W1 0x46 RVM, XYZ, Full(8), Write(8);

    // Comparisons of integers.
    Vpcmpeqd "vpcmpeqd" Vex P66 M0F W0 0x76 RVM, XY, FullMem, NoMask;
    Vpcmpeqq "vpcmpeqq" Vex P66 M38 W0 0x29 RVM, XY, FullMem, NoMask;
    Vpcmpgtd "vpcmpgtd" Vex P66 M0F W0 0x66 RVM, XY, FullMem, NoMask;
    Vpcmpgtq "vpcmpgtq" Vex P66 M38 W0 0x37 RVM, XY, FullMem, NoMask;
    Vpcmpd "vpcmpd" Evex P66 M3A W0 0x1F KVVI, XYZ, Full(4), Compare(4);
    Vpcmpq "vpcmpq" Evex P66 M3A W1 0x1F KVVI, XYZ, Full(8), Compare(8);
    Vpcmpud "vpcmpud" Evex P66 M3A W0 0x1E KVVI, XYZ, Full(4), Compare(4);
    Vpcmpuq "vpcmpuq" Evex P66 M3A W1 0x1E KVVI, XYZ, Full(8), Compare(8);
    Vptestmb "vptestmb" Evex P66 M38 W0 0x26 KVV, XYZ, FullMem, Compare(1);
    Vptestmd "vptestmd" Evex P66 M38 W0 0x27 KVV, XYZ, Full(4), Compare(4);
    Vptestmq "vptestmq" Evex P66 M38 W1 0x27 KVV, XYZ, Full(8), Compare(8);
    Vptest "vptest" Vex P66 M38 W0 0x17 TEST, XY, FullMem, NoMask;
    Vmovmskpd "vmovmskpd" Vex P66 M0F W0 0x50 GV, XY, No, NoMask;
    Vmovmskps "vmovmskps" Vex NP M0F W0 0x50 GV, XY, No, NoMask;

    // Choices. Under a mask: rm where it is on, vvvv where it is off.
    Vblendmpd "vblendmpd" Evex P66 M38 W1 0x65 RVM, XYZ, Full(8), Select(8);
    Vblendmps "vblendmps" Evex P66 M38 W0 0x65 RVM, XYZ, Full(4), Select(4);
    Vblendvpd "vblendvpd" Vex P66 M3A W0 0x4B RVMR, XY, FullMem, NoMask;
    Vblendvps "vblendvps" Vex P66 M3A W0 0x4A RVMR, XY, FullMem, NoMask;
    Vpblendd "vpblendd" Vex P66 M3A W0 0x02 RVMI, XY, FullMem, NoMask;

    // Conversions. The size is that of the wider side.
    Vcvtdq2pd "vcvtdq2pd" Both PF3 M0F W0 0xE6 RM, XYZ, Half(4), Write(8);
    Vcvtdq2ps "vcvtdq2ps" Both NP M0F W0 0x5B RM, XYZ, Full(4), Write(4);
    Vcvtudq2pd "vcvtudq2pd" Evex PF3 M0F W0 0x7A RM, XYZ, Half(4), Write(8);
    Vcvtudq2ps "vcvtudq2ps" Evex PF2 M0F W0 0x7A RM, XYZ, Full(4), Write(4);
    Vcvtqq2pd "vcvtqq2pd" Evex PF3 M0F W1 0xE6 RM, XYZ, Full(8), Write(8);
    Vcvtqq2ps "vcvtqq2ps" Evex NP M0F W1 0x5B RM, XYZ, Full(8), Write(4);
    Vcvtuqq2pd "vcvtuqq2pd" Evex PF3 M0F W1 0x7A RM, XYZ, Full(8), Write(8);
    Vcvtuqq2ps "vcvtuqq2ps" Evex PF2 M0F W1 0x7A RM, XYZ, Full(8), Write(4);
    Vcvttpd2dq "vcvttpd2dq" Both P66 M0F E1 0xE6 RM, XYZ, Full(8), Write(4);
    Vcvttps2dq "vcvttps2dq" Both PF3 M0F W0 0x5B RM, XYZ, Full(4), Write(4);
    Vcvttpd2udq "vcvttpd2udq" Evex NP M0F W1 0x78 RM, XYZ, Full(8), Write(4);
    Vcvttps2udq "vcvttps2udq" Evex NP M0F W0 0x78 RM, XYZ, Full(4), Write(4);
    Vcvttpd2qq "vcvttpd2qq" Evex P66 M0F W1 0x7A RM, XYZ, Full(8), Write(8);
    Vcvttpd2uqq "vcvttpd2uqq" Evex P66 M0F W1 0x78 RM, XYZ, Full(8), Write(8);
    Vcvttps2qq "vcvttps2qq" Evex P66 M0F W0 0x7A RM, XYZ, Half(4), Write(8);
    Vcvttps2uqq "vcvttps2uqq" Evex P66 M0F W0 0x78 RM, XYZ, Half(4), Write(8);
    Vcvtpd2ps "vcvtpd2ps" Both P66 M0F E1 0x5A RM, XYZ, Full(8), Write(4);
    Vcvtps2pd "vcvtps2pd" Both NP M0F W0 0x5A RM, XYZ, Half(4), Write(8);
    Vcvtsd2ss "vcvtsd2ss" Both PF2 M0F E1 0x5A RVM, X, Bytes(8), NoMask;
    Vcvtss2sd "vcvtss2sd" Both PF3 M0F W0 0x5A RVM, X, Bytes(4), NoMask;
    Vcvtsi2sd "vcvtsi2sd" Both PF2 M0F Gpr 0x2A VVG, DQ, Gpr, NoMask;
    Vcvtsi2ss "vcvtsi2ss" Both PF3 M0F Gpr 0x2A VVG, DQ, Gpr, NoMask;
    Vcvtusi2sd "vcvtusi2sd" Evex PF2 M0F Gpr 0x7B VVG, DQ, Gpr, NoMask;
    Vcvtusi2ss "vcvtusi2ss" Evex PF3 M0F Gpr 0x7B VVG, DQ, Gpr, NoMask;
    Vcvttsd2si "vcvttsd2si" Both PF2 M0F Gpr 0x2C GV, DQ, Bytes(8), NoMask;
    Vcvttss2si "vcvttss2si" Both PF3 M0F Gpr 0x2C GV, DQ, Bytes(4), NoMask;
    Vcvttsd2usi "vcvttsd2usi" Evex PF2 M0F Gpr 0x78 GV, DQ, Bytes(8), NoMask;
    Vcvttss2usi "vcvttss2usi" Evex PF3 M0F Gpr 0x78 GV, DQ, Bytes(4), NoMask;
    Vpmovsxdq "vpmovsxdq" Both P66 M38 W0 0x25 RM, XYZ, HalfMem, Write(8);
    Vpmovzxdq "vpmovzxdq" Both P66 M38 W0 0x35 RM, XYZ, HalfMem, Write(8);
    Vpmovzxbd "vpmovzxbd" Both P66 M38 W0 0x31 RM, XYZ, QuarterMem, Write(4);
    Vpmovzxbq "vpmovzxbq" Both P66 M38 W0 0x32 RM, XYZ, EighthMem, Write(8);
    Vpmovqd "vpmovqd" Evex PF3 M38 W0 0x35 MR, XYZ, HalfMem, Write(4);

    // Shuffles.
    Vpshufd "vpshufd" Both P66 M0F W0 0x70 RMI, XYZ, Full(4), Write(4);
    Vshufps "vshufps" Both NP M0F W0 0xC6 RVMI, XYZ, Full(4), Write(4);
    Vpunpckldq "vpunpckldq" Both P66 M0F W0 0x62 RVM, XYZ, Full(4), Write(4);
    Vpunpckhdq "vpunpckhdq" Both P66 M0F W0 0x6A RVM, XYZ, Full(4), Write(4);
    Vpunpcklqdq "vpunpcklqdq" Both P66 M0F E1 0x6C RVM, XYZ, Full(8), Write(8);
    Vpunpckhqdq "vpunpckhqdq" Both P66 M0F E1 0x6D RVM, XYZ, Full(8), Write(8);
    Vpermq "vpermq" Both P66 M3A W1 0x00 RMI, YZ, Full(8), Write(8);
    Vpermd "vpermd" Both P66 M38 W0 0x36 RVM, YZ, Full(4), Write(4);
    Vpermt2d "vpermt2d" Evex P66 M38 W0 0x7E ACC, XYZ, Full(4), Write(4);
    Vpermt2q "vpermt2q" Evex P66 M38 W1 0x7E ACC, XYZ, Full(8), Write(8);
    /// The size is the whole's; half of it is inserted or extracted.
    Vinserti128 "vinserti128" Vex P66 M3A W0 0x38 RVMI, Y, Bytes(16), NoMask;
    Vinserti32x4 "vinserti32x4" Evex P66 M3A W0 0x38 RVMI, YZ, Bytes(16), Write(4);
    Vinserti64x4 "vinserti64x4" Evex P66 M3A W1 0x3A RVMI, Z, Bytes(32), Write(8);
    Vextracti128 "vextracti128" Vex P66 M3A W0 0x39 MRI, Y, No, NoMask;
    Vextracti32x4 "vextracti32x4" Evex P66 M3A W0 0x39 MRI, YZ, No, Write(4);
    Vextracti64x4 "vextracti64x4" Evex P66 M3A W1 0x3B MRI, Z, No, Write(8);

    // Masks. Y is VEX.L = 1.
    Kmovw "kmovw" Vex NP M0F W0 0x90 KK, X, Bytes(2), NoMask;
    Kmovq "kmovq" Vex NP M0F W1 0x90 KK, X, Bytes(8), NoMask;
    KmovqStore "kmovq" Vex NP M0F W1 0x91 KSTORE, X, Bytes(8), NoMask;
    KmovwFromG "kmovw" Vex NP M0F W0 0x92 KG, X, No, NoMask;
    KmovdFromG "kmovd" Vex PF2 M0F W0 0x92 KG, X, No, NoMask;
    KmovbToG "kmovb" Vex P66 M0F W0 0x93 GK, X, No, NoMask;
    KmovwToG "kmovw" Vex NP M0F W0 0x93 GK, X, No, NoMask;
    KmovdToG "kmovd" Vex PF2 M0F W0 0x93 GK, X, No, NoMask;
    Kandd "kandd" Vex P66 M0F W1 0x41 KKK, Y, No, NoMask;
    Kandnd "kandnd" Vex P66 M0F W1 0x42 KKK, Y, No, NoMask;
    Kord "kord" Vex P66 M0F W1 0x45 KKK, Y, No, NoMask;
    Kxnord "kxnord" Vex P66 M0F W1 0x46 KKK, Y, No, NoMask;
    Kxord "kxord" Vex P66 M0F W1 0x47 KKK, Y, No, NoMask;
    Knotd "knotd" Vex P66 M0F W1 0x44 KK, X, No, NoMask;
    Kunpckbw "kunpckbw" Vex P66 M0F W0 0x4B KKK, Y, No, NoMask;
    Kunpckwd "kunpckwd" Vex NP M0F W0 0x4B KKK, Y, No, NoMask;
    Kshiftrd "kshiftrd" Vex P66 M3A W0 0x31 KKI, X, No, NoMask;
    Kshiftld "kshiftld" Vex P66 M3A W0 0x33 KKI, X, No, NoMask;
    Kortestb "kortestb" Vex P66 M0F W0 0x98 KTEST, X, No, NoMask;
    Kortestw "kortestw" Vex NP M0F W0 0x98 KTEST, X, No, NoMask;
    Kortestd "kortestd" Vex P66 M0F W1 0x98 KTEST, X, No, NoMask;
    Vpmovm2d "vpmovm2d" Evex PF3 M38 W0 0x38 VK, XYZ, No, NoMask;
    Vpmovm2q "vpmovm2q" Evex PF3 M38 W1 0x38 VK, XYZ, No, NoMask;
    Vpmovd2m "vpmovd2m" Evex PF3 M38 W0 0x39 KV, XYZ, No, NoMask;
    Vpmovq2m "vpmovq2m" Evex PF3 M38 W1 0x39 KV, XYZ, No, NoMask;
}
