//! How lanes lie in registers.
//!
//! In: an element type, a number of lanes, a machine. Out: how many registers, of which size. Holds: lanes in order, as many to a register as fit; a value that
//! fills less than one uses a smaller one; below 16 bytes the rest of an xmm register holds anything.

use super::settle::Level;
use super::table::Size;
use kiln_lang::types::Scalar;
use regalloc2::VReg;
use std::ops::Deref;

/// Registers that one value has at most: 32 lanes of 8 bytes in registers of 32.
const MAX_PIECES: usize = 8;

/// The registers of one value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    regs: [VReg; MAX_PIECES],
    len: u8,
}

impl Group {
    pub(super) fn new(regs: &[VReg]) -> Group {
        let mut group = Group { regs: [VReg::invalid(); MAX_PIECES], len: regs.len() as u8 };
        group.regs[..regs.len()].copy_from_slice(regs);
        group
    }

    pub(super) fn one(reg: VReg) -> Group {
        Group::new(&[reg])
    }

    /// The same register for all pieces.
    pub(super) fn repeat(reg: VReg, pieces: usize) -> Group {
        Group { regs: [reg; MAX_PIECES], len: pieces as u8 }
    }

    /// A group of as many pieces, each from its number.
    pub(super) fn from_fn(pieces: usize, mut make: impl FnMut(usize) -> VReg) -> Group {
        let mut group = Group { regs: [VReg::invalid(); MAX_PIECES], len: pieces as u8 };
        for (k, reg) in group.regs[..pieces].iter_mut().enumerate() {
            *reg = make(k);
        }
        group
    }

    /// Are all pieces the same register?
    pub(super) fn is_uniform(&self) -> bool {
        self.len > 1 && self.iter().all(|&reg| reg == self.regs[0])
    }
}

impl Deref for Group {
    type Target = [VReg];

    fn deref(&self) -> &[VReg] {
        &self.regs[..usize::from(self.len)]
    }
}

/// Element type and number of lanes; 0 lanes: a scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) elem: Scalar,
    pub(super) lanes: u8,
    level: Level,
}

impl Shape {
    pub(super) fn new(elem: Scalar, lanes: u8, level: Level) -> Shape {
        Shape { elem, lanes, level }
    }

    /// The same lanes of another type.
    pub(super) fn with(self, elem: Scalar) -> Shape {
        Shape { elem, ..self }
    }

    pub(super) fn is_scalar(self) -> bool {
        self.lanes == 0
    }

    /// Bytes of an element.
    pub(super) fn bytes(self) -> u8 {
        (self.elem.bits() / 8) as u8
    }

    fn total(self) -> usize {
        usize::from(self.lanes.max(1)) * usize::from(self.bytes())
    }

    /// Number of registers.
    pub(super) fn pieces(self) -> usize {
        self.total().div_ceil(self.level.bytes())
    }

    /// Lanes in one of them.
    pub(super) fn per_piece(self) -> usize {
        usize::from(self.lanes) / self.pieces()
    }

    /// Bytes in one of them; may be fewer than the register has.
    pub(super) fn piece_bytes(self) -> usize {
        self.total() / self.pieces()
    }

    /// Size of one of them.
    pub(super) fn size(self) -> Size {
        match self.piece_bytes() {
            64 => Size::Z,
            32 => Size::Y,
            _ => Size::X,
        }
    }
}
