//! Conversions between types.
//!
//! In: `convert`. Out: ints wrap or extend, int to float rounds once, float to int truncates and saturates with NaN as 0, to bool is `!= 0`. Holds: the same bits
//! in lanes and in scalars, on AVX-512, which has an instruction for most pairs, and on AVX2, which has few with 64-bit integers.

use super::code::{Cond, Mask};
use super::func::Selector;
use super::lanes::{Bitwise, Integer};
use super::scalar::size_of;
use super::settle::Level;
use super::shape::{Group, Shape};
use super::table::{Op, Size};
use crate::ir::{self, OpCode, Type};
use kiln_lang::types::Scalar;
use regalloc2::VReg;

impl Selector<'_> {
    pub(super) fn convert(&mut self, op: &ir::Op) {
        let func = self.func;
        let (value, result) = (op.args[0], op.results[0]);
        let (from, to) = (func.ty(value), func.ty(result));
        match (from, to) {
            (Type::Mask(_), Type::Mask(_)) => {
                let form = self.own_form(value);
                let group = self.mask_as(value, form);
                self.bind_mask(result, form, &group);
            }
            (Type::Mask(_), _) => {
                let shape = self.shape(result);
                let one = if to.scalar().is_float() { one_bits(to.scalar()) } else { 1 };
                let ones = self.splat_group(shape, one);
                let mask = self.mask_for(value, shape.bytes());
                let group = self.keep(shape, &mask, &ones);
                self.bind(result, &group);
            }
            (_, Type::Mask(_)) => {
                let shape = self.shape(value);
                let a = self.group(value);
                let zeros = self.splat_group(shape, 0);
                let group = self.compare(&OpCode::Ne, shape, &a, &zeros);
                let form = self.form_for(shape.lanes, shape.bytes());
                self.bind_mask(result, form, &group);
            }
            (Type::Lanes(..), _) => {
                let shape = self.shape(value);
                let a = self.group(value);
                let group = self.convert_lanes(shape, to.scalar(), &a);
                self.bind(result, &group);
            }
            (_, _) => {
                let a = self.scalar(value);
                let value = self.convert_scalar(from.scalar(), to.scalar(), a);
                self.bind(result, &[value]);
            }
        }
    }

    // Lanes

    pub(super) fn convert_lanes(&mut self, shape: Shape, to: Scalar, a: &Group) -> Group {
        use Scalar::{Bool, F32, F64, I32, I64, U32, U64};
        match (shape.elem, to) {
            (from, to) if from == to => *a,
            (F32, F64) => self.widen(Op::Vcvtps2pd, shape, to, a),
            (F64, F32) => self.narrow(Op::Vcvtpd2ps, shape, a),
            (I32 | U32, I32 | U32) | (I64 | U64, I64 | U64) => *a,
            (I32, I64 | U64) => self.sign_extend_lanes(a, shape),
            (U32, I64 | U64) => self.zero_extend_lanes(a, shape),
            (I64 | U64, I32 | U32) => self.truncate_lanes(a, shape),
            (I32, F64) => self.widen(Op::Vcvtdq2pd, shape, to, a),
            (I32, F32) => self.each(a, |s, a| s.m.op(Op::Vcvtdq2ps, shape.size(), &[a.into()])),
            (_, F32 | F64) if self.level == Level::Avx512 => match (shape.elem, to) {
                (U32, F64) => self.widen(Op::Vcvtudq2pd, shape, to, a),
                (U32, _) => self.each(a, |s, a| s.m.op(Op::Vcvtudq2ps, shape.size(), &[a.into()])),
                (I64, F64) => self.each(a, |s, a| s.m.op(Op::Vcvtqq2pd, shape.size(), &[a.into()])),
                (I64, _) => self.narrow(Op::Vcvtqq2ps, shape, a),
                (_, F64) => self.each(a, |s, a| s.m.op(Op::Vcvtuqq2pd, shape.size(), &[a.into()])),
                (_, _) => self.narrow(Op::Vcvtuqq2ps, shape, a),
            },
            (U32, F64) => {
                let wide = self.zero_extend_lanes(a, shape);
                self.small_to_double(shape.with(U64), &wide)
            }
            (U32, _) => {
                // Through f64, which holds it exactly; so there is one rounding.
                let wide = self.zero_extend_lanes(a, shape);
                let wide_shape = shape.with(U64);
                let doubles = self.small_to_double(wide_shape, &wide);
                self.narrow(Op::Vcvtpd2ps, wide_shape.with(F64), &doubles)
            }
            (I64 | U64, F64) => self.long_to_double(shape, a),
            (I64 | U64, F32) => {
                let sticky = self.without_low_bits(shape, a);
                let doubles = self.long_to_double(shape, &sticky);
                self.narrow(Op::Vcvtpd2ps, shape.with(F64), &doubles)
            }
            (F32 | F64, I32 | I64 | U32 | U64) if self.level == Level::Avx512 => {
                self.floats_to_ints(shape, to, a)
            }
            (F64, I32) => {
                let most = self.splat_group(shape, 2147483647f64.to_bits());
                let limited = self.float(Op::Vminpd, shape, &most, a);
                let ordered = self.compare(&OpCode::Eq, shape, a, a);
                // NaN becomes 0 before, because the result is half as wide as the mask.
                let limited = self.bitwise(Bitwise::And, shape, &limited, &ordered);
                self.narrow(Op::Vcvttpd2dq, shape, &limited)
            }
            (F32, I32) => {
                let size = shape.size();
                let raw = self.each(a, |s, a| s.m.op(Op::Vcvttps2dq, size, &[a.into()]));
                self.saturate(shape, a, &raw, 2147483648f32.to_bits().into(), i32::MAX as u64)
            }
            (F64, U32) => {
                // As a signed number of 64 bits, between 0 and 2^32 - 1.
                let zero = Group::repeat(self.zero(), a.len());
                // MAX gives its second operand for NaN.
                let positive = self.float(Op::Vmaxpd, shape, a, &zero);
                let most = self.splat_group(shape, 4294967295f64.to_bits());
                let limited = self.float(Op::Vminpd, shape, &positive, &most);
                let whole =
                    self.each(&limited, |s, a| s.m.op_imm(Op::Vroundpd, shape.size(), &[a.into()], 11));
                // Below 2^52 the low bits of x + 2^52 are the number.
                let magic = self.splat_group(shape, 4503599627370496f64.to_bits());
                let bits = self.float(Op::Vaddpd, shape, &whole, &magic);
                self.truncate_lanes(&bits, shape.with(U64))
            }
            (F32, U32 | I64 | U64) => {
                let doubles = self.widen(Op::Vcvtps2pd, shape, F64, a);
                self.convert_lanes(shape.with(F64), to, &doubles)
            }
            (F64, _) => self.double_to_long(shape, to == I64, a),
            (Bool, _) | (_, Bool) => unreachable!("truth values in lanes are masks"),
            (F32, F32) => *a,
        }
    }

    /// From 32-bit elements to 64-bit ones.
    fn widen(&mut self, row: Op, shape: Shape, to: Scalar, a: &Group) -> Group {
        let wide = shape.with(to);
        let halves = self.halves(a, wide.pieces());
        self.each(&halves, |s, half| s.m.op(row, wide.size(), &[half.into()]))
    }

    /// From 64-bit elements to 32-bit ones.
    pub(super) fn narrow(&mut self, row: Op, shape: Shape, a: &Group) -> Group {
        let halves = self.each(a, |s, whole| s.m.op(row, shape.size(), &[whole.into()]));
        self.join_halves(&halves)
    }

    /// AVX-512 has an instruction for every pair; its answer to what does not fit is the largest unsigned number, or the least signed one.
    fn floats_to_ints(&mut self, shape: Shape, to: Scalar, a: &Group) -> Group {
        use Scalar::{F32, F64, I32, I64, U32, U64};
        let result = shape.with(to);
        let unsigned = matches!(to, U32 | U64);
        let row = match (shape.elem, to) {
            (F32, I32) => Op::Vcvttps2dq,
            (F32, U32) => Op::Vcvttps2udq,
            (F32, I64) => Op::Vcvttps2qq,
            (F32, _) => Op::Vcvttps2uqq,
            (_, I32) => Op::Vcvttpd2dq,
            (_, U32) => Op::Vcvttpd2udq,
            (_, I64) => Op::Vcvttpd2qq,
            (_, _) => Op::Vcvttpd2uqq,
        };
        // Pieces of the wider side; a widening conversion reads half registers, and compares them as such.
        let widens = shape.bytes() < result.bytes();
        let (wider, mut source) =
            if widens { (result, self.halves(a, result.pieces())) } else { (shape, *a) };
        let size = wider.size();
        let (compare, compared) = match shape.elem {
            F64 => (Op::Vcmppd, size),
            _ if widens && size == Size::Z => (Op::Vcmpps, Size::Y),
            _ if widens => (Op::Vcmpps, Size::X),
            _ => (Op::Vcmpps, size),
        };
        // Unsigned: what is not at least 0, NaN included, is 0. Signed: NaN is 0.
        let zero = self.zero();
        let valid = self.each(&source, |s, a| match unsigned {
            true => s.m.op_imm(compare, compared, &[a.into(), zero.into()], 0x1D),
            false => s.m.op_imm(compare, compared, &[a.into(), a.into()], 7),
        });
        if (shape.elem, to) == (F64, I32) {
            // Too large: the largest there is.
            let most = self.splat_group(shape, 2147483647f64.to_bits());
            source = self.float(Op::Vminpd, shape, &most, &source);
        }
        let raw = Group::from_fn(source.len(), |k| {
            self.m.full(row, size, Mask::Zero(valid[k]), &[source[k].into()], 0)
        });
        if unsigned || (shape.elem, to) == (F64, I32) {
            return if shape.bytes() > result.bytes() { self.join_halves(&raw) } else { raw };
        }
        // Signed and too large: the largest there is.
        let (limit, most) = match to {
            I32 => (2147483648f64, i32::MAX as u64),
            _ => (9223372036854775808f64, i64::MAX as u64),
        };
        let most = self.splat_bits(result, most);
        let limit = self.splat_bits(shape, float_bits(shape.elem, limit));
        Group::from_fn(raw.len(), |k| {
            let over = self.m.op_imm(compare, compared, &[source[k].into(), limit.into()], 0x1D);
            self.blend_piece(result, over, most, raw[k])
        })
    }

    /// A signed conversion's result, on AVX2: NaN to 0, what is `limit` or more to `most`.
    fn saturate(&mut self, shape: Shape, a: &Group, raw: &Group, limit: u64, most: u64) -> Group {
        let limits = self.splat_group(shape, limit);
        let over = self.compare(&OpCode::Ge, shape, a, &limits);
        let most = self.splat_group(shape, most);
        let limited = self.blend(shape, &over, &most, raw);
        let ordered = self.compare(&OpCode::Eq, shape, a, a);
        self.bitwise(Bitwise::And, shape, &limited, &ordered)
    }

    /// Unsigned 64-bit lanes below 2^52: they are the mantissa of 2^52 + x.
    fn small_to_double(&mut self, shape: Shape, a: &Group) -> Group {
        let magic = self.splat_group(shape, 4503599627370496f64.to_bits());
        let bits = self.bitwise(Bitwise::Or, shape, a, &magic);
        self.float(Op::Vsubpd, shape.with(Scalar::F64), &bits, &magic)
    }

    /// 64-bit integers to f64: the halves as mantissas of 2^84 and 2^52, whose sum is rounded once.
    fn long_to_double(&mut self, shape: Shape, a: &Group) -> Group {
        let size = shape.size();
        let double = shape.with(Scalar::F64);
        let (high_magic, both): (u64, u64) = match shape.elem {
            // The sign bit stands for 2^63 less.
            Scalar::I64 => (0x4530_0000_8000_0000, 0x4530_0000_8010_0000),
            _ => (0x4530_0000_0000_0000, 0x4530_0000_0010_0000),
        };
        let high = self.each_imm(Op::Vpsrlq, size, a, 32);
        let high_magic = self.splat_group(shape, high_magic);
        let high = self.bitwise(Bitwise::Xor, shape, &high, &high_magic);
        let low_magic = self.splat_group(shape, 0x4330_0000_0000_0000);
        let low = self.each2_imm(Op::Vpblendd, size, a, &low_magic, 0b1010_1010);
        let both = self.splat_group(double, both);
        let high = self.float(Op::Vsubpd, double, &high, &both);
        self.float(Op::Vaddpd, double, &high, &low)
    }

    /// Integers that f64 holds exactly and that round to the same f32: of numbers of more than 53 bits, the lowest 11 (12 if unsigned) are replaced by one that
    /// says whether any was set. It lies below every bit that decides a rounding to 24.
    fn without_low_bits(&mut self, shape: Shape, a: &Group) -> Group {
        let size = shape.size();
        let bits = if shape.elem == Scalar::I64 { 11 } else { 12 };
        let low_mask = self.splat_group(shape, (1 << bits) - 1);
        let low = self.bitwise(Bitwise::And, shape, a, &low_mask);
        let zero = Group::repeat(self.zero(), a.len());
        let clean = self.each2(Op::Vpcmpeqq, size, &low, &zero);
        let sticky = self.splat_group(shape, 1 << (bits - 1));
        let sticky = self.bitwise(Bitwise::AndNot, shape, &clean, &sticky);
        let high_mask = self.splat_group(shape, !((1 << bits) - 1));
        let high = self.bitwise(Bitwise::And, shape, a, &high_mask);
        let replaced = self.bitwise(Bitwise::Or, shape, &high, &sticky);
        // Those of at most 53 bits stay.
        let size_of_it = match shape.elem {
            Scalar::I64 => {
                let signs = self.signs(shape, a);
                self.bitwise(Bitwise::Xor, shape, a, &signs)
            }
            _ => *a,
        };
        let top = self.each_imm(Op::Vpsrlq, size, &size_of_it, 53);
        let small = self.each2(Op::Vpcmpeqq, size, &top, &zero);
        self.blend(shape, &small, a, &replaced)
    }

    /// f64 to 64-bit integers by taking the number apart: the mantissa, shifted by the exponent. Counts of 64 and more, negative ones included, shift everything
    /// out.
    fn double_to_long(&mut self, shape: Shape, signed: bool, a: &Group) -> Group {
        let size = shape.size();
        let long = shape.with(Scalar::I64);
        let mantissa_bits = self.splat_group(long, (1 << 52) - 1);
        let hidden = self.splat_group(long, 1 << 52);
        let mantissa = self.bitwise(Bitwise::And, long, a, &mantissa_bits);
        let mantissa = self.bitwise(Bitwise::Or, long, &mantissa, &hidden);
        let exponent = self.each_imm(Op::Vpsrlq, size, a, 52);
        let exponent_bits = self.splat_group(long, 0x7ff);
        let exponent = self.bitwise(Bitwise::And, long, &exponent, &exponent_bits);
        let bias = self.splat_group(long, 1075);
        let up = self.integer(Integer::Sub, long, &exponent, &bias);
        let down = self.integer(Integer::Sub, long, &bias, &exponent);
        let left = self.each2(Op::Vpsllvq, size, &mantissa, &up);
        let right = self.each2(Op::Vpsrlvq, size, &mantissa, &down);
        let size_of_it = self.bitwise(Bitwise::Or, long, &left, &right);
        if signed {
            let signs = self.signs(long, a);
            let flipped = self.bitwise(Bitwise::Xor, long, &size_of_it, &signs);
            let value = self.integer(Integer::Sub, long, &flipped, &signs);
            // |x| >= 2^63, x being a number: the extreme of its sign.
            let limit = self.splat_group(shape, 9223372036854775808f64.to_bits());
            let most = self.splat_group(long, i64::MAX as u64);
            let extreme = self.bitwise(Bitwise::Xor, long, &most, &signs);
            let without_sign = self.splat_group(long, i64::MAX as u64);
            let absolute = self.bitwise(Bitwise::And, long, a, &without_sign);
            let over = self.compare(&OpCode::Ge, shape, &absolute, &limit);
            let value = self.blend(long, &over, &extreme, &value);
            let ordered = self.compare(&OpCode::Eq, shape, a, a);
            return self.bitwise(Bitwise::And, long, &value, &ordered);
        }
        let limit = self.splat_group(shape, 18446744073709551616f64.to_bits());
        let over = self.compare(&OpCode::Ge, shape, a, &limit);
        let value = self.bitwise(Bitwise::Or, long, &size_of_it, &over);
        let zero = Group::repeat(self.zero(), a.len());
        let valid = self.compare(&OpCode::Ge, shape, a, &zero);
        self.bitwise(Bitwise::And, long, &value, &valid)
    }

    // Scalars

    fn convert_scalar(&mut self, from: Scalar, to: Scalar, a: VReg) -> VReg {
        use Scalar::{Bool, F32, F64, I32, I64, U32, U64};
        match (from, to) {
            (from, to) if from == to => a,
            (F32 | F64, Bool) => {
                // Not equal to 0: also NaN.
                let zero = self.zero();
                let row = if from == F64 { Op::Vucomisd } else { Op::Vucomiss };
                self.m.op(row, Size::X, &[a.into(), zero.into()]);
                let differs = self.truth(Cond::NotEqual);
                self.m.op(row, Size::X, &[a.into(), zero.into()]);
                let unordered = self.truth(Cond::Parity);
                self.m.op(Op::Or, Size::D, &[differs.into(), unordered.into()])
            }
            (_, Bool) => {
                self.m.op(Op::Test, size_of(from), &[a.into(), a.into()]);
                self.truth(Cond::NotEqual)
            }
            (F32, F64) => self.m.op(Op::Vcvtss2sd, Size::X, &[a.into(), a.into()]),
            (F64, F32) => self.m.op(Op::Vcvtsd2ss, Size::X, &[a.into(), a.into()]),
            (F32 | F64, I32 | I64 | U32 | U64) => self.float_to_int(from, to, a),
            (Bool | I32, F32 | F64) => self.int_to_float(Size::D, to, a),
            (I64, F32 | F64) => self.int_to_float(Size::Q, to, a),
            (U32, F32 | F64) => {
                let wide = self.m.op(Op::Mov, Size::D, &[a.into()]);
                self.int_to_float(Size::Q, to, wide)
            }
            (U64, F32 | F64) => self.unsigned_to_float(to, a),
            (I64 | U64, _) => a,
            (I32, I64 | U64) => self.m.op(Op::Movsxd, Size::Q, &[a.into()]),
            (_, I64 | U64) => self.m.op(Op::Mov, Size::D, &[a.into()]),
            (_, _) => a,
        }
    }

    fn int_to_float(&mut self, size: Size, to: Scalar, a: VReg) -> VReg {
        let row = if to == Scalar::F64 { Op::Vcvtsi2sd } else { Op::Vcvtsi2ss };
        let zero = self.zero();
        self.m.op(row, size, &[zero.into(), a.into()])
    }

    fn unsigned_to_float(&mut self, to: Scalar, a: VReg) -> VReg {
        if self.level == Level::Avx512 {
            let row = if to == Scalar::F64 { Op::Vcvtusi2sd } else { Op::Vcvtusi2ss };
            let zero = self.zero();
            return self.m.op(row, Size::Q, &[zero.into(), a.into()]);
        }
        // Above 2^63: half of it, the lowest bit saying whether anything was lost, twice.
        let half = self.m.op_imm(Op::ShrImm, Size::Q, &[a.into()], 1);
        let lost = self.m.op_imm(Op::AndImm, Size::Q, &[a.into()], 1);
        let half = self.m.op(Op::Or, Size::Q, &[half.into(), lost.into()]);
        self.m.op(Op::Test, Size::Q, &[a.into(), a.into()]);
        let chosen = self.m.op_imm(Op::Cmovcc, Size::Q, &[a.into(), half.into()], Cond::Less as i32);
        let value = self.int_to_float(Size::Q, to, chosen);
        let twice = self.float_scalar(Op::Vaddpd, to, value, value);
        let sign = self.m.op_imm(Op::SarImm, Size::Q, &[a.into()], 63);
        let mask = self.m.op(Op::VmovqFromG, Size::X, &[sign.into()]);
        let shape = Shape::new(to, 0, self.level);
        self.blend_piece(shape, mask, twice, value)
    }

    fn float_to_int(&mut self, from: Scalar, to: Scalar, a: VReg) -> VReg {
        let shape = Shape::new(from, 0, self.level);
        // Numbers of 32 bits by way of 64.
        let value = match to {
            Scalar::U64 => return self.float_to_unsigned(shape, a),
            _ => self.float_to_long(shape, a),
        };
        match to {
            Scalar::I64 => value,
            Scalar::I32 => {
                let value = self.at_most(value, i64::from(i32::MAX));
                self.at_least(value, i64::from(i32::MIN))
            }
            _ => {
                let value = self.at_most(value, i64::from(u32::MAX));
                self.at_least(value, 0)
            }
        }
    }

    fn at_most(&mut self, value: VReg, most: i64) -> VReg {
        let most = self.m.imm64(most);
        self.least(Scalar::I64, value, most)
    }

    fn at_least(&mut self, value: VReg, least: i64) -> VReg {
        let least = self.m.imm64(least);
        self.greatest(Scalar::I64, value, least)
    }

    /// The machine's answer is the least number for whatever does not fit: right for what is too small; NaN and what is too large are mended.
    fn float_to_long(&mut self, shape: Shape, a: VReg) -> VReg {
        let double = shape.elem == Scalar::F64;
        let (cvt, compare) =
            if double { (Op::Vcvttsd2si, Op::Vucomisd) } else { (Op::Vcvttss2si, Op::Vucomiss) };
        let raw = self.m.op(cvt, Size::Q, &[a.into()]);
        let limit = float_bits(shape.elem, 9223372036854775808f64);
        let limit = self.constant_bits(shape.elem, limit);
        let most = self.m.imm64(i64::MAX);
        self.m.op(compare, Size::X, &[a.into(), limit.into()]);
        let value = self.m.op_imm(Op::Cmovcc, Size::Q, &[raw.into(), most.into()], Cond::AboveEqual as i32);
        let zero = self.m.imm64(0);
        self.m.op(compare, Size::X, &[a.into(), a.into()]);
        self.m.op_imm(Op::Cmovcc, Size::Q, &[value.into(), zero.into()], Cond::Parity as i32)
    }

    fn float_to_unsigned(&mut self, shape: Shape, a: VReg) -> VReg {
        let double = shape.elem == Scalar::F64;
        let (cvt, compare) =
            if double { (Op::Vcvttsd2si, Op::Vucomisd) } else { (Op::Vcvttss2si, Op::Vucomiss) };
        let half = self.constant_bits(shape.elem, float_bits(shape.elem, 9223372036854775808f64));
        let limit = self.constant_bits(shape.elem, float_bits(shape.elem, 18446744073709551616f64));
        // From 2^63 on, what is above that, with the top bit set.
        let low = self.m.op(cvt, Size::Q, &[a.into()]);
        let above = self.float_scalar(Op::Vsubpd, shape.elem, a, half);
        let high = self.m.op(cvt, Size::Q, &[above.into()]);
        let top = self.m.imm64(i64::MIN);
        let high = self.m.op(Op::Xor, Size::Q, &[high.into(), top.into()]);
        self.m.op(compare, Size::X, &[a.into(), half.into()]);
        let value = self.m.op_imm(Op::Cmovcc, Size::Q, &[low.into(), high.into()], Cond::AboveEqual as i32);
        let most = self.m.imm64(-1);
        self.m.op(compare, Size::X, &[a.into(), limit.into()]);
        let value = self.m.op_imm(Op::Cmovcc, Size::Q, &[value.into(), most.into()], Cond::AboveEqual as i32);
        // Not at least 0, NaN included.
        let zero = self.zero();
        let none = self.m.imm64(0);
        self.m.op(compare, Size::X, &[a.into(), zero.into()]);
        self.m.op_imm(Op::Cmovcc, Size::Q, &[value.into(), none.into()], Cond::Below as i32)
    }
}

fn one_bits(ty: Scalar) -> u64 {
    float_bits(ty, 1.0)
}

/// The bits of a number that both float types hold exactly.
fn float_bits(ty: Scalar, value: f64) -> u64 {
    if ty == Scalar::F64 { value.to_bits() } else { u64::from((value as f32).to_bits()) }
}
