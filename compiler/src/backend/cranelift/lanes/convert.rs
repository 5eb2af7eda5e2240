//! Conversions in lanes.
//!
//! In: `convert`. Out: as for scalars: ints wrap or extend by the operand's signedness, ints become floats with one rounding, floats become ints truncated and
//! saturated with NaN as 0, `!= 0` for truth values. Holds: 64-bit ints and floats are made of one another without leaving the vector registers, by floats
//! whose exponent puts an int into the low bits (2^52 + x and 2^84 + x * 2^32, as in Cranelift's own unsigned conversion).

use super::{Group, lane_bytes, registers, vector_type};
use crate::backend::cranelift::func::{Emitter, clif_type};
use crate::ir;
use cranelift_codegen::ir::condcodes::FloatCC;
use cranelift_codegen::ir::{self as clif, InstBuilder, types};
use kiln_lang::types::Scalar;

/// 2^52: the float whose low bits are an unsigned int below 2^52.
const TWO_52: u64 = 0x4330_0000_0000_0000;
/// 2^52 + 2^51: the same for signed ints of 32 bits, in the low half.
const TWO_52_51: u64 = 0x4338_0000_0000_0000;

impl Emitter<'_> {
    pub(super) fn lanes_convert(&mut self, value: ir::Value, result: ir::Value) -> Group {
        let func = self.func;
        let lanes = func.ty(value).lanes();
        let (from, to) = (func.ty(value).scalar(), func.ty(result).scalar());
        let width = lane_bytes(to);
        match (from, to) {
            (Scalar::Bool, Scalar::Bool) => self.mask(value, self.mask_width(result)),
            (Scalar::Bool, _) => {
                let mask = self.mask(value, width);
                let one = self.splat_bits(to, kiln_abi::identity(kiln_abi::ReduceOp::Prod, ir::kind_of(to)));
                let ty = vector_type(to);
                self.each([&mask], |emitter, [mask]| {
                    let mask = emitter.reinterpret(ty, mask);
                    emitter.b.ins().band(mask, one)
                })
            }
            (_, Scalar::Bool) => {
                let group = self.group(value);
                let mask = self.each([&group], |emitter, [register]| emitter.non_zero(register));
                self.widen_mask(&mask, (lane_bytes(from), self.mask_width(result)), lanes)
            }
            (_, _) => {
                let group = self.group(value);
                self.convert_numbers(from, to, &group, lanes)
            }
        }
    }

    fn convert_numbers(&mut self, from: Scalar, to: Scalar, group: &Group, lanes: u8) -> Group {
        let signed = from.is_signed_int();
        match (from, to) {
            (_, _) if from == to => group.clone(),
            (Scalar::F32, Scalar::F64) => {
                self.per_half(group, lanes, |emitter, register| emitter.b.ins().fvpromote_low(register))
            }
            (Scalar::F64, Scalar::F32) => {
                let halves = self.each([group], |emitter, [register]| emitter.b.ins().fvdemote(register));
                self.join_low_halves(types::F32X4, &halves)
            }
            (Scalar::F32, Scalar::I32) => {
                self.each([group], |emitter, [x]| emitter.b.ins().fcvt_to_sint_sat(types::I32X4, x))
            }
            (Scalar::F32, Scalar::U32) => {
                self.each([group], |emitter, [x]| emitter.b.ins().fcvt_to_uint_sat(types::I32X4, x))
            }
            (Scalar::F32, _) => {
                let doubles = self.convert_numbers(Scalar::F32, Scalar::F64, group, lanes);
                self.convert_numbers(Scalar::F64, to, &doubles, lanes)
            }
            (Scalar::F64, _) if !self.target.is_x64() && lane_bytes(to) == 8 => {
                self.each([group], |emitter, [x]| match to {
                    Scalar::I64 => emitter.b.ins().fcvt_to_sint_sat(types::I64X2, x),
                    _ => emitter.b.ins().fcvt_to_uint_sat(types::I64X2, x),
                })
            }
            (Scalar::F64, _) if !self.target.rounds() => self.convert_lane_by_lane(from, to, group, lanes),
            (Scalar::F64, Scalar::I64 | Scalar::U64) => self.doubles_to_long(to, group),
            (Scalar::F64, _) => self.doubles_to_int(to, group),
            (Scalar::I32, Scalar::F32) => {
                self.each([group], |emitter, [x]| emitter.b.ins().fcvt_from_sint(types::F32X4, x))
            }
            (Scalar::U32, Scalar::F32) => {
                self.each([group], |emitter, [x]| emitter.b.ins().fcvt_from_uint(types::F32X4, x))
            }
            (Scalar::I32, Scalar::F64) => self.per_half(group, lanes, |emitter, register| {
                let wide = emitter.b.ins().swiden_low(register);
                emitter.b.ins().fcvt_from_sint(types::F64X2, wide)
            }),
            (Scalar::U32, Scalar::F64) => self.per_half(group, lanes, |emitter, register| {
                let wide = emitter.b.ins().uwiden_low(register);
                emitter.b.ins().fcvt_from_uint(types::F64X2, wide)
            }),
            (Scalar::I64, Scalar::F64) if self.target.is_x64() => self.signed_long_to_doubles(group),
            (Scalar::I64, Scalar::F64) => {
                self.each([group], |emitter, [x]| emitter.b.ins().fcvt_from_sint(types::F64X2, x))
            }
            (Scalar::U64, Scalar::F64) => {
                self.each([group], |emitter, [x]| emitter.b.ins().fcvt_from_uint(types::F64X2, x))
            }
            // Through f64 they would round twice.
            (Scalar::I64 | Scalar::U64, Scalar::F32) => self.convert_lane_by_lane(from, to, group, lanes),
            (_, _) if lane_bytes(from) == lane_bytes(to) => group.clone(),
            (Scalar::I64 | Scalar::U64, _) => {
                let ty = types::I32X4;
                group
                    .chunks(2)
                    .map(|pair| self.double_words(ty, pair[0], pair[pair.len() - 1], [0, 2, 4, 6]))
                    .collect()
            }
            (_, _) => (0..registers(8, lanes))
                .map(|k| match (k % 2, signed) {
                    (0, true) => self.b.ins().swiden_low(group[k / 2]),
                    (0, false) => self.b.ins().uwiden_low(group[k / 2]),
                    (_, true) => self.b.ins().swiden_high(group[k / 2]),
                    (_, false) => self.b.ins().uwiden_high(group[k / 2]),
                })
                .collect(),
        }
    }

    /// Applies what makes two lanes of 8 bytes of the low two of 4 bytes, to both halves of each register.
    fn per_half(
        &mut self,
        group: &Group,
        lanes: u8,
        mut f: impl FnMut(&mut Self, clif::Value) -> clif::Value,
    ) -> Group {
        (0..registers(8, lanes))
            .map(|k| {
                let register = group[k / 2];
                let ty = self.b.func.dfg.value_type(register);
                let half = match k % 2 {
                    0 => register,
                    _ => self.double_words(ty, register, register, [2, 3, 2, 3]),
                };
                f(self, half)
            })
            .collect()
    }

    /// Pairs of registers of which only the low halves count, as one register each.
    fn join_low_halves(&mut self, ty: clif::Type, halves: &Group) -> Group {
        halves
            .chunks(2)
            .map(|pair| match pair {
                [low, high] => self.double_words(ty, *low, *high, [0, 1, 4, 5]),
                _ => pair[0],
            })
            .collect()
    }

    fn convert_lane_by_lane(&mut self, from: Scalar, to: Scalar, group: &Group, lanes: u8) -> Group {
        let operands = self.split(group, lanes);
        let results: Vec<clif::Value> =
            operands.into_iter().map(|lane| self.convert(from, to, lane)).collect();
        debug_assert_eq!(self.b.func.dfg.value_type(results[0]), clif_type(to));
        self.merge(to, &results)
    }

    /// x = h * 2^32 + l with signed h: (2^84 + 2^63 + h * 2^32) - (2^84 + 2^63 + 2^52) is exact, and adding 2^52 + l rounds once.
    fn signed_long_to_doubles(&mut self, group: &Group) -> Group {
        let low_half = self.splat_bits(Scalar::U64, 0xffff_ffff);
        let two_52 = self.splat_bits(Scalar::U64, TWO_52);
        let two_84_63 = self.splat_bits(Scalar::U64, 0x4530_0000_8000_0000);
        let both = self.splat_bits(Scalar::F64, 0x4530_0000_8010_0000);
        self.each([group], |emitter, [x]| {
            let low = emitter.b.ins().band(x, low_half);
            let low = emitter.b.ins().bor(low, two_52);
            let high = emitter.b.ins().ushr_imm_u(x, 32);
            let high = emitter.b.ins().bxor(high, two_84_63);
            let [low, high] = [low, high].map(|bits| emitter.reinterpret(types::F64X2, bits));
            let high = emitter.b.ins().fsub(high, both);
            emitter.b.ins().fadd(high, low)
        })
    }

    /// To 32 bits: a float within their range, truncated, plus 2^52 (+ 2^51) has the int in its low half.
    fn doubles_to_int(&mut self, to: Scalar, group: &Group) -> Group {
        let (least, most, magic) = match to {
            Scalar::I32 => (f64::from(i32::MIN), f64::from(i32::MAX), TWO_52_51),
            _ => (0.0, f64::from(u32::MAX), TWO_52),
        };
        let [least, most] = [least, most].map(|bound| self.splat_bits(Scalar::F64, bound.to_bits()));
        let magic = self.splat_bits(Scalar::F64, magic);
        let halves = self.each([group], |emitter, [x]| {
            let x = emitter.number_or_zero(x);
            let x = emitter.b.ins().trunc(x);
            let x = emitter.clamp_low(x, least);
            let less = emitter.b.ins().fcmp(FloatCC::LessThan, x, most);
            let less = emitter.reinterpret(types::F64X2, less);
            let x = emitter.b.ins().bitselect(less, x, most);
            emitter.b.ins().fadd(x, magic)
        });
        halves
            .chunks(2)
            .map(|pair| self.double_words(types::I32X4, pair[0], pair[pair.len() - 1], [0, 2, 4, 6]))
            .collect()
    }

    /// To 64 bits: t = h * 2^32 + l with 0 <= l < 2^32, both exact; each half as above.
    fn doubles_to_long(&mut self, to: Scalar, group: &Group) -> Group {
        let (least, beyond, magic, most) = match to {
            Scalar::I64 => (-(2f64.powi(63)), 2f64.powi(63), TWO_52_51, i64::MAX as u64),
            _ => (0.0, 2f64.powi(64), TWO_52, u64::MAX),
        };
        let [least, beyond, up, down] = [least, beyond, 2f64.powi(32), 2f64.powi(-32)]
            .map(|number| self.splat_bits(Scalar::F64, number.to_bits()));
        let [two_52, magic] = [TWO_52, magic].map(|bits| self.splat_bits(Scalar::F64, bits));
        let two_52_bits = self.splat_bits(Scalar::U64, TWO_52);
        let most = self.splat_bits(Scalar::U64, most);
        self.each([group], |emitter, [x]| {
            let x = emitter.number_or_zero(x);
            let x = emitter.b.ins().trunc(x);
            let x = emitter.clamp_low(x, least);
            let high = emitter.b.ins().fmul(x, down);
            let high = emitter.b.ins().floor(high);
            let rest = emitter.b.ins().fmul(high, up);
            let low = emitter.b.ins().fsub(x, rest);
            let high = emitter.b.ins().fadd(high, magic);
            let low = emitter.b.ins().fadd(low, two_52);
            let [high, low] = [high, low].map(|float| emitter.reinterpret(types::I64X2, float));
            let high = emitter.b.ins().ishl_imm_u(high, 32);
            let low = emitter.b.ins().bxor(low, two_52_bits);
            let whole = emitter.b.ins().bor(high, low);
            let fits = emitter.b.ins().fcmp(FloatCC::LessThan, x, beyond);
            emitter.b.ins().bitselect(fits, whole, most)
        })
    }

    /// 0 for NaN.
    fn number_or_zero(&mut self, x: clif::Value) -> clif::Value {
        let ordered = self.b.ins().fcmp(FloatCC::Equal, x, x);
        let ordered = self.reinterpret(types::F64X2, ordered);
        self.b.ins().band(x, ordered)
    }

    /// `least` where `x` is less; neither is NaN.
    fn clamp_low(&mut self, x: clif::Value, least: clif::Value) -> clif::Value {
        let less = self.b.ins().fcmp(FloatCC::LessThan, least, x);
        let less = self.reinterpret(types::F64X2, less);
        self.b.ins().bitselect(less, x, least)
    }
}
