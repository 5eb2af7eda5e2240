//! Lanes and masks as groups of 128-bit registers.
//!
//! In: ops on values with lanes. Out: Cranelift code on `F64X2`, `F32X4`, `I64X2`, `I32X4`. Holds: lanes lie in ascending order over the registers of a group;
//! of two lanes of 4 bytes, which fill half a register, what lies above is anything; a lane of a mask is all ones or all zeros, as wide as `masks`
//! says. An op is emitted for all registers of its group before the next op, so that as many chains of dependent instructions run side by side; such
//! functions are compiled without Cranelift's mid-end, which would put one chain behind the other. What there is no instruction for is done lane by lane.
//!
//! `arithmetic` and `convert` hold what computes, `memory` what touches arrays, `philox` random numbers, `reduce` the sends of
//! widened loops.

mod arithmetic;
mod convert;
mod masks;
mod memory;
mod philox;
mod reduce;

pub(super) use masks::widths as mask_widths;
pub(super) use reduce::{Accs, OrderedLanes, UnorderedLanes, sites};

use super::func::Emitter;
use crate::backend::CompileError;
use crate::ir::{self, OpCode};
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{self as clif, Endianness, InstBuilder, MemFlagsData, types};
use kiln_lang::types::Scalar;

/// Registers of a value, lanes ascending.
pub(super) type Group = Vec<clif::Value>;

/// Does the function hold a value with lanes?
pub(super) fn has_lanes(func: &ir::Func) -> bool {
    func.values.iter().any(|value| value.ty.lanes() > 0)
}

/// Registers that `lanes` lanes of so many bytes take.
pub(super) fn registers(bytes: usize, lanes: u8) -> usize {
    (usize::from(lanes) * bytes / 16).max(1)
}

/// Bytes of a lane of a number.
pub(super) fn lane_bytes(scalar: Scalar) -> usize {
    scalar.bits() as usize / 8
}

/// A register of such numbers.
pub(super) fn vector_type(scalar: Scalar) -> clif::Type {
    match scalar {
        Scalar::I32 | Scalar::U32 => types::I32X4,
        Scalar::I64 | Scalar::U64 => types::I64X2,
        Scalar::F32 => types::F32X4,
        Scalar::F64 => types::F64X2,
        Scalar::Bool => unreachable!("truth values in lanes are masks"),
    }
}

/// A register of masks whose lanes have so many bytes.
pub(super) fn mask_type(width: usize) -> clif::Type {
    if width == 8 { types::I64X2 } else { types::I32X4 }
}

/// Where an index of a load or store points, lane by lane.
#[derive(Clone, Copy)]
enum Index {
    /// All lanes to the same element.
    Uniform(ir::Value),
    /// Lane l to the element l places on.
    Consecutive(ir::Value),
    /// Anywhere.
    Varying(ir::Value),
}

impl Emitter<'_> {
    /// An op without regions that has lanes among its operands or results.
    pub(super) fn lanes_op(&mut self, op: &ir::Op) -> Result<(), CompileError> {
        match &op.code {
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
            | OpCode::Select => {
                let group = self.lanes_arithmetic(op)?;
                self.bind(op.results[0], &group);
            }
            OpCode::Convert => {
                let group = self.lanes_convert(op.args[0], op.results[0]);
                self.bind(op.results[0], &group);
            }
            OpCode::Bitcast => {
                let ty = vector_type(self.func.ty(op.results[0]).scalar());
                let group = self.group(op.args[0]);
                let group = self.each([&group], |emitter, [register]| emitter.reinterpret(ty, register));
                self.bind(op.results[0], &group);
            }
            OpCode::Draw { generator, kind } => self.lanes_draw(op, *generator, *kind),
            OpCode::Splat => {
                let group = self.splat(op.args[0], op.results[0]);
                self.bind(op.results[0], &group);
            }
            OpCode::Iota => {
                let group = self.iota(op.args[0], self.func.ty(op.results[0]));
                self.bind(op.results[0], &group);
            }
            OpCode::Extract { lane } => {
                let value = self.extract(op.args[0], *lane);
                self.bind(op.results[0], &[value]);
            }
            OpCode::Any | OpCode::All => {
                let group = self.group(op.args[0]);
                let joined = |emitter: &mut Self, a, b| match op.code {
                    OpCode::Any => emitter.b.ins().bor(a, b),
                    _ => emitter.b.ins().band(a, b),
                };
                let (&first, rest) = group.split_first().expect("a mask has a register");
                let all = rest.iter().fold(first, |all, &register| joined(self, all, register));
                let answer = match op.code {
                    OpCode::Any => self.b.ins().vany_true(all),
                    _ => self.b.ins().vall_true(all),
                };
                self.bind(op.results[0], &[answer]);
            }
            OpCode::Load => self.lanes_load(op),
            OpCode::LoadMasked => self.lanes_load_masked(op),
            OpCode::Store => self.lanes_store(op),
            OpCode::StoreMasked => self.lanes_store_masked(op),
            OpCode::Update(reduce) => self.lanes_update(op, Some(*reduce)),
            OpCode::UpdateFma => self.lanes_update(op, None),
            OpCode::UpdateMasked(reduce) => self.lanes_update_masked(op, Some(*reduce)),
            OpCode::UpdateFmaMasked => self.lanes_update_masked(op, None),
            OpCode::Send { reduction } => self.send_lanes(*reduction, None, op.args[0], None)?,
            OpCode::SendFma { reduction } => {
                self.send_lanes(*reduction, None, op.args[0], Some(op.args[1]))?;
            }
            OpCode::SendMasked { reduction } => {
                self.send_lanes(*reduction, Some(op.args[0]), op.args[1], None)?;
            }
            // Bodies from the prelude stand here by now; lanes do not cross a function's border; the rest takes and gives scalars and arrays.
            OpCode::Math(_)
            | OpCode::Call(_)
            | OpCode::RunLoop { .. }
            | OpCode::Const(_)
            | OpCode::Seed
            | OpCode::Dim { .. }
            | OpCode::Alloc
            | OpCode::AllocUninit
            | OpCode::Free
            | OpCode::Check(_)
            | OpCode::Print(_)
            | OpCode::If
            | OpCode::For(_)
            | OpCode::While => return Err(self.unsupported(op)),
        }
        Ok(())
    }

    // Groups

    /// The registers of a value with lanes, to be used at once. A constant is loaded anew for every op: one load serves the whole group, and the registers
    /// stay free for what varies.
    pub(super) fn group(&mut self, value: ir::Value) -> Group {
        match self.uniform_const(value) {
            Some(_) => {
                let func = self.func;
                let op = func.op(func.def_op(value).expect("a splat"));
                self.splat(op.args[0], value)
            }
            None => self.comps(value).to_vec(),
        }
    }

    /// Applies a function of registers to each register of some groups; where all registers of a group are the same, once.
    pub(super) fn each<const N: usize>(
        &mut self,
        groups: [&[clif::Value]; N],
        mut f: impl FnMut(&mut Self, [clif::Value; N]) -> clif::Value,
    ) -> Group {
        let count = groups[0].len();
        let first = groups.map(|group| group[0]);
        let mut results: Group = Vec::with_capacity(count);
        for k in 0..count {
            let registers = groups.map(|group| group[k]);
            let result = if k > 0 && registers == first { results[0] } else { f(self, registers) };
            results.push(result);
        }
        results
    }

    /// The scalar that a value has in every lane, if it was made so.
    pub(super) fn uniform(&self, value: ir::Value) -> Option<ir::Value> {
        let op = self.func.op(self.func.def_op(value)?);
        matches!(op.code, OpCode::Splat).then(|| op.args[0])
    }

    /// The bits that a value has in every lane, if they are known.
    pub(super) fn uniform_const(&self, value: ir::Value) -> Option<u64> {
        self.func.as_const(self.uniform(value)?).map(ir::const_bits)
    }

    /// A scalar in all lanes of `result`.
    fn splat(&mut self, scalar: ir::Value, result: ir::Value) -> Group {
        let func = self.func;
        let known = func.as_const(scalar).map(ir::const_bits);
        let register = match (func.ty(result), known) {
            (ir::Type::Lanes(ty, _), Some(bits)) => self.splat_bits(ty, bits),
            (ir::Type::Lanes(ty, _), None) => {
                let value = self.scalar(scalar);
                self.b.ins().splat(vector_type(ty), value)
            }
            (_, Some(bits)) => {
                let all = if bits == 0 { 0 } else { u8::MAX };
                let ty = mask_type(self.mask_width(result));
                self.vector_constant(ty, [all; 16])
            }
            (_, None) => {
                let ty = mask_type(self.mask_width(result));
                let flag = self.scalar(scalar);
                self.mask_of_bool(ty, flag)
            }
        };
        vec![register; self.comp_count(result)]
    }

    /// All ones where a truth value holds, else all zeros.
    fn mask_of_bool(&mut self, ty: clif::Type, flag: clif::Value) -> clif::Value {
        let wide = self.b.ins().uextend(ty.lane_type(), flag);
        let all = self.b.ins().ineg(wide);
        self.b.ins().splat(ty, all)
    }

    /// A register with the same bits of a number in all lanes.
    pub(super) fn splat_bits(&mut self, scalar: Scalar, bits: u64) -> clif::Value {
        self.lane_constant(vector_type(scalar), |_| bits)
    }

    /// A register with `bits(l)` in lane l.
    pub(super) fn lane_constant(&mut self, ty: clif::Type, bits: impl Fn(u64) -> u64) -> clif::Value {
        let bytes = ty.lane_type().bytes() as usize;
        let mut all = [0; 16];
        for (lane, place) in all.chunks_exact_mut(bytes).enumerate() {
            place.copy_from_slice(&bits(lane as u64).to_le_bytes()[..bytes]);
        }
        self.vector_constant(ty, all)
    }

    /// `base + l` in lane l.
    fn iota(&mut self, base: ir::Value, ty: ir::Type) -> Group {
        let vector = vector_type(ty.scalar());
        let base = self.scalar(base);
        let base = self.b.ins().splat(vector, base);
        let per_register = u64::from(vector.lane_count());
        (0..registers(lane_bytes(ty.scalar()), ty.lanes()) as u64)
            .map(|k| {
                let steps = self.lane_constant(vector, |lane| k * per_register + lane);
                self.b.ins().iadd(base, steps)
            })
            .collect()
    }

    /// One lane as a scalar.
    fn extract(&mut self, value: ir::Value, lane: u8) -> clif::Value {
        let group = self.group(value);
        let per_register = self.b.func.dfg.value_type(group[0]).lane_count() as u8;
        let register = group[usize::from(lane / per_register)];
        let found = self.b.ins().extractlane(register, lane % per_register);
        match self.func.ty(value) {
            ir::Type::Mask(_) => {
                let low = self.b.ins().ireduce(types::I8, found);
                self.b.ins().band_imm_u(low, 1)
            }
            _ => found,
        }
    }

    /// All lanes of a group of numbers as scalars.
    pub(super) fn split(&mut self, group: &[clif::Value], lanes: u8) -> Vec<clif::Value> {
        let per_register = self.b.func.dfg.value_type(group[0]).lane_count() as u8;
        (0..lanes)
            .map(|lane| {
                let register = group[usize::from(lane / per_register)];
                self.b.ins().extractlane(register, lane % per_register)
            })
            .collect()
    }

    /// Scalars as the lanes of a group.
    pub(super) fn merge(&mut self, scalar: Scalar, lanes: &[clif::Value]) -> Group {
        let ty = vector_type(scalar);
        lanes
            .chunks(ty.lane_count() as usize)
            .map(|chunk| {
                let first = self.b.ins().scalar_to_vector(ty, chunk[0]);
                (1u8..)
                    .zip(&chunk[1..])
                    .fold(first, |register, (lane, &value)| self.b.ins().insertlane(register, value, lane))
            })
            .collect()
    }

    /// Two double words of `a` (numbers 0 to 3) or `b` (4 to 7) each: any four of the eight.
    pub(super) fn double_words(
        &mut self,
        ty: clif::Type,
        a: clif::Value,
        b: clif::Value,
        numbers: [u8; 4],
    ) -> clif::Value {
        let [a, b] = [a, b].map(|register| self.reinterpret(types::I8X16, register));
        let order = self.byte_order(numbers);
        let chosen = self.b.ins().shuffle(a, b, order);
        self.reinterpret(ty, chosen)
    }

    // Masks

    /// Bytes per lane of a mask.
    pub(super) fn mask_width(&self, mask: ir::Value) -> usize {
        usize::from(self.mask_widths[mask.index()])
    }

    /// A mask's registers with lanes of `width` bytes.
    pub(super) fn mask(&mut self, mask: ir::Value, width: usize) -> Group {
        let group = self.group(mask);
        self.widen_mask(&group, (self.mask_width(mask), width), self.func.ty(mask).lanes())
    }

    /// A mask's registers with lanes of another width.
    pub(super) fn widen_mask(
        &mut self,
        group: &[clif::Value],
        (from, to): (usize, usize),
        lanes: u8,
    ) -> Group {
        let ty = mask_type(to);
        match (from, to) {
            (8, 4) => group
                .chunks(2)
                .map(|pair| self.double_words(ty, pair[0], pair[pair.len() - 1], [0, 2, 4, 6]))
                .collect(),
            (4, 8) => (0..registers(8, lanes))
                .map(|k| {
                    let numbers = if k % 2 == 0 { [0, 0, 1, 1] } else { [2, 2, 3, 3] };
                    self.double_words(ty, group[k / 2], group[k / 2], numbers)
                })
                .collect(),
            (_, _) => group.to_vec(),
        }
    }

    /// A mask of the first `left` lanes, at least one.
    pub(super) fn mask_below(&mut self, mask: ir::Value, left: clif::Value) -> Group {
        let ty = mask_type(self.mask_width(mask));
        let left = match ty.lane_type() {
            types::I64 => left,
            narrow => {
                let most = self.iconst(types::I64, i64::from(self.func.ty(mask).lanes()));
                let left = self.b.ins().umin(left, most);
                self.b.ins().ireduce(narrow, left)
            }
        };
        let left = self.b.ins().splat(ty, left);
        let per_register = u64::from(ty.lane_count());
        (0..self.comp_count(mask) as u64)
            .map(|k| {
                let numbers = self.lane_constant(ty, |lane| k * per_register + lane);
                self.b.ins().icmp(IntCC::SignedGreaterThan, left, numbers)
            })
            .collect()
    }

    /// `a` where the mask is on, else `b`; all three have lanes of one width.
    pub(super) fn blend(&mut self, mask: clif::Value, a: clif::Value, b: clif::Value) -> clif::Value {
        let ty = self.b.func.dfg.value_type(a);
        let ints = self.b.func.dfg.value_type(mask);
        // A comparison is what Cranelift makes minimum, maximum and blending instructions of.
        let compared = self.b.func.dfg.value_def(mask).inst().is_some_and(|inst| {
            matches!(self.b.func.dfg.insts[inst].opcode(), clif::Opcode::Fcmp | clif::Opcode::Icmp)
        });
        if self.target.is_x64() && self.target.has("has_sse41") && !compared {
            let [a, b] = [a, b].map(|register| self.reinterpret(ints, register));
            let chosen = self.b.ins().blendv(mask, a, b);
            return self.reinterpret(ty, chosen);
        }
        let mask = self.reinterpret(ty, mask);
        self.b.ins().bitselect(mask, a, b)
    }

    /// A mask of the lanes that are not zero.
    fn non_zero(&mut self, register: clif::Value) -> clif::Value {
        let ty = self.b.func.dfg.value_type(register);
        let zero = self.vector_constant(ty, [0; 16]);
        if ty.lane_type().is_float() {
            self.b.ins().fcmp(FloatCC::NotEqual, register, zero)
        } else {
            self.b.ins().icmp(IntCC::NotEqual, register, zero)
        }
    }

    /// Lanes of a mask as I64, not 0 where it is on.
    pub(super) fn mask_bits(&mut self, mask: ir::Value) -> Vec<clif::Value> {
        let lanes = self.func.ty(mask).lanes();
        let group = self.group(mask);
        let per_register = self.b.func.dfg.value_type(group[0]).lane_count() as u8;
        let mut bits = Vec::with_capacity(usize::from(lanes));
        for register in group {
            let all = self.b.ins().vhigh_bits(types::I32, register);
            for lane in 0..per_register.min(lanes) {
                bits.push(self.b.ins().band_imm_u(all, 1 << lane));
            }
        }
        bits
    }

    /// A vector with other lanes and the same bits.
    pub(super) fn reinterpret(&mut self, ty: clif::Type, vector: clif::Value) -> clif::Value {
        if self.b.func.dfg.value_type(vector) == ty {
            return vector;
        }
        self.b.ins().bitcast(ty, MemFlagsData::new().with_endianness(Endianness::Little), vector)
    }

    pub(super) fn vector_constant(&mut self, ty: clif::Type, bytes: [u8; 16]) -> clif::Value {
        let data = self.b.func.dfg.constants.insert(clif::ConstantData::from(&bytes[..]));
        self.b.ins().vconst(ty, data)
    }
}
