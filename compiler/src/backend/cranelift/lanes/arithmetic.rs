//! Arithmetic, comparisons and choices in lanes.
//!
//! In: elementwise ops. Out: the exact bits of SEMANTICS section 2 in every lane, without branches. Holds: nothing here can trap, in lanes that are off neither.

use super::{Group, lane_bytes, mask_type};
use crate::backend::CompileError;
use crate::backend::cranelift::func::Emitter;
use crate::backend::cranelift::scalar::{Comparison, comparison};
use crate::ir::{self, OpCode};
use cranelift_codegen::ir::condcodes::FloatCC;
use cranelift_codegen::ir::{self as clif, InstBuilder};
use kiln_abi::{HostFn, ReduceOp};
use kiln_lang::types::Scalar;

impl Emitter<'_> {
    /// The registers of an elementwise op's result.
    pub(super) fn lanes_arithmetic(&mut self, op: &ir::Op) -> Result<Group, CompileError> {
        let func = self.func;
        if let Some(comparison) = comparison(&op.code) {
            return Ok(self.lanes_compare(comparison, op));
        }
        if matches!(op.code, OpCode::Select) {
            return Ok(self.lanes_select(op));
        }
        if let ir::Type::Mask(_) = func.ty(op.results[0]) {
            return self.mask_logic(op);
        }
        let ty = func.ty(op.args[0]).scalar();
        let lanes = func.ty(op.args[0]).lanes();
        let signed = ty.is_signed_int();
        let float = ty.is_float();
        let groups: Vec<Group> = op.args.iter().map(|&arg| self.group(arg)).collect();
        let a = &groups[0];
        let b = groups.get(1).unwrap_or(a);
        let c = groups.get(2).unwrap_or(a);
        macro_rules! ins {
            ($name:ident $x:ident) => {
                self.each([$x], |emitter, [x]| emitter.b.ins().$name(x))
            };
            ($name:ident $x:ident $y:ident) => {
                self.each([$x, $y], |emitter, [x, y]| emitter.b.ins().$name(x, y))
            };
        }
        Ok(match &op.code {
            OpCode::Add if float => ins!(fadd a b),
            OpCode::Add => ins!(iadd a b),
            OpCode::Sub if float => ins!(fsub a b),
            OpCode::Sub => ins!(isub a b),
            OpCode::Mul if float => ins!(fmul a b),
            OpCode::Mul => ins!(imul a b),
            OpCode::Div => ins!(fdiv a b),
            OpCode::FloorDiv => self.lanes_floor_div(ty, op.args[1], a, b, lanes),
            OpCode::Rem => self.lanes_remainder(ty, op.args[1], a, b, lanes),
            OpCode::Neg if float => {
                let sign = self.splat_bits(ty, 1 << (ty.bits() - 1));
                self.each([a], |emitter, [x]| emitter.b.ins().bxor(x, sign))
            }
            OpCode::Neg => ins!(ineg a),
            OpCode::Abs if float => {
                let rest = self.splat_bits(ty, (1 << (ty.bits() - 1)) - 1);
                self.each([a], |emitter, [x]| emitter.b.ins().band(x, rest))
            }
            OpCode::Abs if signed => ins!(iabs a),
            OpCode::Abs => a.clone(),
            OpCode::Min if float => self.lanes_float_min(ty, op, a, b),
            OpCode::Max if float => self.lanes_float_max(ty, op, a, b),
            OpCode::Min if signed => ins!(smin a b),
            OpCode::Min => ins!(umin a b),
            OpCode::Max if signed => ins!(smax a b),
            OpCode::Max => ins!(umax a b),
            OpCode::Fma => self.lanes_fma(ty, a, b, c, lanes),
            OpCode::Sqrt => ins!(sqrt a),
            OpCode::Floor if self.target.rounds() => ins!(floor a),
            OpCode::Ceil if self.target.rounds() => ins!(ceil a),
            OpCode::Trunc if self.target.rounds() => ins!(trunc a),
            OpCode::Nearest if self.target.rounds() => ins!(nearest a),
            OpCode::Floor => self.host_lanes(HostFn::Floor64, HostFn::Floor32, ty, &[a], lanes),
            OpCode::Ceil => self.host_lanes(HostFn::Ceil64, HostFn::Ceil32, ty, &[a], lanes),
            OpCode::Trunc => self.host_lanes(HostFn::Trunc64, HostFn::Trunc32, ty, &[a], lanes),
            OpCode::Nearest => self.host_lanes(HostFn::Nearest64, HostFn::Nearest32, ty, &[a], lanes),
            OpCode::And => ins!(band a b),
            OpCode::Or => ins!(bor a b),
            OpCode::Xor => ins!(bxor a b),
            OpCode::Not => ins!(bnot a),
            OpCode::Shl | OpCode::Shr => self.lanes_shift(&op.code, ty, op.args[1], a, b, lanes),
            OpCode::MulHi => self
                .lane_by_lane(ty, &[a, b], lanes, |emitter, lane| emitter.b.ins().umulhi(lane[0], lane[1])),
            code => return Err(self.internal(&format!("{code:?} is not arithmetic"))),
        })
    }

    /// Applies a function of scalars to each lane.
    pub(super) fn lane_by_lane(
        &mut self,
        result: Scalar,
        groups: &[&Group],
        lanes: u8,
        mut f: impl FnMut(&mut Self, &[clif::Value]) -> clif::Value,
    ) -> Group {
        let operands: Vec<Vec<clif::Value>> = groups.iter().map(|group| self.split(group, lanes)).collect();
        let mut results = Vec::with_capacity(usize::from(lanes));
        for lane in 0..usize::from(lanes) {
            let at: Vec<clif::Value> = operands.iter().map(|operand| operand[lane]).collect();
            results.push(f(self, &at));
        }
        self.merge(result, &results)
    }

    fn host_lanes(
        &mut self,
        f64_fn: HostFn,
        f32_fn: HostFn,
        ty: Scalar,
        groups: &[&Group],
        lanes: u8,
    ) -> Group {
        self.lane_by_lane(ty, groups, lanes, |emitter, lane| emitter.host_float(f64_fn, f32_fn, ty, lane))
    }

    /// `a * b + c`, rounded once.
    pub(super) fn lanes_fma(&mut self, ty: Scalar, a: &Group, b: &Group, c: &Group, lanes: u8) -> Group {
        if self.target.fuses_multiply_add() {
            self.each([a, b, c], |emitter, [a, b, c]| emitter.b.ins().fma(a, b, c))
        } else {
            self.host_lanes(HostFn::Fma64, HostFn::Fma32, ty, &[a, b, c], lanes)
        }
    }

    /// `a op b` of a reduction of numbers.
    pub(super) fn lanes_combine(&mut self, op: ReduceOp, ty: Scalar, a: &Group, b: &Group) -> Group {
        let (float, signed) = (ty.is_float(), ty.is_signed_int());
        self.each([a, b], |emitter, [a, b]| match op {
            ReduceOp::Sum if float => emitter.b.ins().fadd(a, b),
            ReduceOp::Sum => emitter.b.ins().iadd(a, b),
            ReduceOp::Prod if float => emitter.b.ins().fmul(a, b),
            ReduceOp::Prod => emitter.b.ins().imul(a, b),
            ReduceOp::Min if float => emitter.float_min(a, b),
            ReduceOp::Max if float => emitter.float_max(a, b),
            ReduceOp::Min if signed => emitter.b.ins().smin(a, b),
            ReduceOp::Min => emitter.b.ins().umin(a, b),
            ReduceOp::Max if signed => emitter.b.ins().smax(a, b),
            ReduceOp::Max => emitter.b.ins().umax(a, b),
            ReduceOp::And => emitter.b.ins().band(a, b),
            ReduceOp::Or => emitter.b.ins().bor(a, b),
            ReduceOp::Xor => emitter.b.ins().bxor(a, b),
        })
    }

    /// IEEE 754-2019 minimum. For a known operand that is neither NaN nor zero, one instruction: it gives its second operand for NaN, and two zeros do not meet.
    fn lanes_float_min(&mut self, ty: Scalar, op: &ir::Op, a: &Group, b: &Group) -> Group {
        match self.ordinary_operand(ty, op) {
            Some(0) => self.each([a, b], |emitter, [a, b]| emitter.lesser_lanes(a, b)),
            Some(_) => self.each([b, a], |emitter, [b, a]| emitter.lesser_lanes(b, a)),
            None => self.each([a, b], |emitter, [a, b]| emitter.float_min(a, b)),
        }
    }

    /// IEEE 754-2019 maximum.
    fn lanes_float_max(&mut self, ty: Scalar, op: &ir::Op, a: &Group, b: &Group) -> Group {
        match self.ordinary_operand(ty, op) {
            Some(0) => self.each([a, b], |emitter, [a, b]| emitter.greater_lanes(a, b)),
            Some(_) => self.each([b, a], |emitter, [b, a]| emitter.greater_lanes(b, a)),
            None => self.each([a, b], |emitter, [a, b]| emitter.float_max(a, b)),
        }
    }

    /// The position of an operand that is known, and neither NaN nor zero; on machines where that helps.
    fn ordinary_operand(&self, ty: Scalar, op: &ir::Op) -> Option<usize> {
        let is_ordinary = |&position: &usize| {
            self.uniform_const(op.args[position]).is_some_and(|bits| {
                let value = if ty == Scalar::F32 {
                    f64::from(f32::from_bits(bits as u32))
                } else {
                    f64::from_bits(bits)
                };
                !value.is_nan() && value != 0.0
            })
        };
        [0, 1].into_iter().filter(|_| self.target.is_x64()).find(is_ordinary)
    }

    /// As for scalars: the two orders of MINPD differ only for NaN and two zeros, where or-ing them keeps NaN and -0.
    pub(super) fn float_min(&mut self, a: clif::Value, b: clif::Value) -> clif::Value {
        if !self.target.is_x64() {
            return self.b.ins().fmin(a, b);
        }
        let first = self.lesser_lanes(a, b);
        let second = self.lesser_lanes(b, a);
        self.b.ins().bor(first, second)
    }

    /// As for scalars: `r - d` with d = first ^ second and r = first | second is `first` where they agree, +0 for two zeros, NaN for NaN.
    pub(super) fn float_max(&mut self, a: clif::Value, b: clif::Value) -> clif::Value {
        if !self.target.is_x64() {
            return self.b.ins().fmax(a, b);
        }
        let first = self.greater_lanes(a, b);
        let second = self.greater_lanes(b, a);
        let d = self.b.ins().bxor(first, second);
        let r = self.b.ins().bor(first, second);
        self.b.ins().fsub(r, d)
    }

    /// `a < b ? a : b`: MINPD.
    fn lesser_lanes(&mut self, a: clif::Value, b: clif::Value) -> clif::Value {
        let less = self.b.ins().fcmp(FloatCC::LessThan, a, b);
        let ty = self.b.func.dfg.value_type(a);
        let less = self.reinterpret(ty, less);
        self.b.ins().bitselect(less, a, b)
    }

    /// `b < a ? a : b`: MAXPD.
    fn greater_lanes(&mut self, a: clif::Value, b: clif::Value) -> clif::Value {
        let less = self.b.ins().fcmp(FloatCC::LessThan, b, a);
        let ty = self.b.func.dfg.value_type(a);
        let less = self.reinterpret(ty, less);
        self.b.ins().bitselect(less, a, b)
    }

    fn lanes_compare(&mut self, comparison: Comparison, op: &ir::Op) -> Group {
        let func = self.func;
        let (ty, result) = (func.ty(op.args[0]), op.results[0]);
        let width = self.mask_width(result);
        if let ir::Type::Mask(_) = ty {
            let (a, b) = (self.mask(op.args[0], width), self.mask(op.args[1], width));
            return self.each([&a, &b], |emitter, [a, b]| emitter.compare_masks(comparison, a, b));
        }
        let (a, b) = (self.group(op.args[0]), self.group(op.args[1]));
        let scalar = ty.scalar();
        let mask = self.each([&a, &b], |emitter, [a, b]| match scalar.is_float() {
            true => emitter.b.ins().fcmp(comparison.float(), a, b),
            false => emitter.b.ins().icmp(comparison.int(scalar.is_signed_int()), a, b),
        });
        self.widen_mask(&mask, (lane_bytes(scalar), width), ty.lanes())
    }

    /// False is less than true.
    fn compare_masks(&mut self, comparison: Comparison, a: clif::Value, b: clif::Value) -> clif::Value {
        let ins = self.b.ins();
        match comparison {
            Comparison::Ne => ins.bxor(a, b),
            Comparison::Lt => ins.band_not(b, a),
            Comparison::Gt => ins.band_not(a, b),
            Comparison::Eq => {
                let differ = ins.bxor(a, b);
                self.b.ins().bnot(differ)
            }
            Comparison::Le => {
                let greater = ins.band_not(a, b);
                self.b.ins().bnot(greater)
            }
            Comparison::Ge => {
                let less = ins.band_not(b, a);
                self.b.ins().bnot(less)
            }
        }
    }

    fn mask_logic(&mut self, op: &ir::Op) -> Result<Group, CompileError> {
        let width = self.mask_width(op.results[0]);
        let groups: Vec<Group> = op.args.iter().map(|&arg| self.mask(arg, width)).collect();
        let a = &groups[0];
        let b = groups.get(1).unwrap_or(a);
        Ok(match &op.code {
            OpCode::And => self.each([a, b], |emitter, [a, b]| emitter.b.ins().band(a, b)),
            OpCode::Or => self.each([a, b], |emitter, [a, b]| emitter.b.ins().bor(a, b)),
            OpCode::Xor => self.each([a, b], |emitter, [a, b]| emitter.b.ins().bxor(a, b)),
            OpCode::Not => self.each([a], |emitter, [a]| emitter.b.ins().bnot(a)),
            code => return Err(self.internal(&format!("{code:?} on masks"))),
        })
    }

    fn lanes_select(&mut self, op: &ir::Op) -> Group {
        let func = self.func;
        let (condition, result) = (op.args[0], op.results[0]);
        let ty = func.ty(result);
        let width = match ty {
            ir::Type::Mask(_) => self.mask_width(result),
            _ => lane_bytes(ty.scalar()),
        };
        let (a, b) = match ty {
            ir::Type::Mask(_) => (self.mask(op.args[1], width), self.mask(op.args[2], width)),
            _ => (self.group(op.args[1]), self.group(op.args[2])),
        };
        let mask = match func.ty(condition) {
            ir::Type::Mask(_) => self.mask(condition, width),
            _ => {
                let flag = self.scalar(condition);
                let mask = self.mask_of_bool(mask_type(width), flag);
                vec![mask; a.len()]
            }
        };
        self.each([&mask, &a, &b], |emitter, [mask, a, b]| emitter.blend(mask, a, b))
    }

    /// Shifts by one count for all lanes are instructions; others are done lane by lane. Counts are masked to the width.
    fn lanes_shift(
        &mut self,
        code: &OpCode,
        ty: Scalar,
        count: ir::Value,
        a: &Group,
        b: &Group,
        lanes: u8,
    ) -> Group {
        let signed = ty.is_signed_int();
        let shift = |emitter: &mut Self, x, by| match code {
            OpCode::Shl => emitter.b.ins().ishl(x, by),
            _ if signed => emitter.b.ins().sshr(x, by),
            _ => emitter.b.ins().ushr(x, by),
        };
        match (self.uniform_const(count), self.uniform(count)) {
            (Some(bits), _) => {
                let by = self.iconst(clif::types::I32, (bits & u64::from(ty.bits() - 1)) as i64);
                self.each([a], |emitter, [x]| shift(emitter, x, by))
            }
            (None, Some(scalar)) => {
                let by = self.scalar(scalar);
                self.each([a], |emitter, [x]| shift(emitter, x, by))
            }
            (None, None) => {
                self.lane_by_lane(ty, &[a, b], lanes, |emitter, lane| shift(emitter, lane[0], lane[1]))
            }
        }
    }

    fn lanes_floor_div(&mut self, ty: Scalar, divisor: ir::Value, a: &Group, b: &Group, lanes: u8) -> Group {
        let known = self.uniform_const(divisor);
        let signed = ty.is_signed_int();
        match known {
            Some(1) => a.clone(),
            Some(bits) if power_of_two(ty, bits) => {
                let by = self.iconst(clif::types::I32, i64::from(bits.trailing_zeros()));
                self.each([a], |emitter, [x]| match signed {
                    true => emitter.b.ins().sshr(x, by),
                    false => emitter.b.ins().ushr(x, by),
                })
            }
            _ => {
                let divisor = self.uniform(divisor).unwrap_or(divisor);
                self.lane_by_lane(ty, &[a, b], lanes, |emitter, lane| {
                    emitter.floor_div(ty, divisor, lane[0], lane[1])
                })
            }
        }
    }

    fn lanes_remainder(&mut self, ty: Scalar, divisor: ir::Value, a: &Group, b: &Group, lanes: u8) -> Group {
        match self.uniform_const(divisor) {
            // Floored, this is right for negative `a` too.
            Some(bits) if power_of_two(ty, bits) => {
                let mask = self.splat_bits(ty, bits - 1);
                self.each([a], |emitter, [x]| emitter.b.ins().band(x, mask))
            }
            _ => {
                let divisor = self.uniform(divisor).unwrap_or(divisor);
                self.lane_by_lane(ty, &[a, b], lanes, |emitter, lane| {
                    emitter.remainder(ty, divisor, lane[0], lane[1])
                })
            }
        }
    }
}

/// Are these the bits of a positive power of two?
fn power_of_two(ty: Scalar, bits: u64) -> bool {
    bits.is_power_of_two() && !(ty.is_signed_int() && bits == 1 << (ty.bits() - 1))
}
