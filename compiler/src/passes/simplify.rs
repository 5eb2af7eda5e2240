//! Replaces ops by cheaper ones that give the same bits.
//!
//! In: a function. Out: the same, smaller.
//!
//! Holds, for every rule below:
//! - **type**: the result keeps its type; a rule says which types it is for;
//! - **rounding**: a float rule rounds once where the original rounds once, to the same number;
//! - **NaN**: is one value, so `x * 1 => x` is exact; but a result that was NaN stays NaN: never `x * 0 => 0`, `x - x => 0`, `x < x + 1`;
//! - **zeros** keep their sign: never `x + 0.0 => x` (it makes -0.0 into 0.0), but `x - 0.0 => x` and `x + -0.0 => x`;
//! - **order** of operands may change where the op is commutative, never the order of three;
//! - **errors**: an op that may fail is kept; all arithmetic here is total.

use super::{Apply, Pass, Renames, as_integer, integer, take_ops};
use crate::ir::{Def, Func, Op, OpCode, OpId, RegionId, Terminator, Type, Value};
use crate::report::Report;
use kiln_lang::span::Span;
use kiln_lang::tree::Const;
use kiln_lang::types::Scalar;

/// The pass.
pub const SIMPLIFY: Pass = Pass {
    name: "simplify",
    about: "replace ops by cheaper ones of the same bits",
    apply: Apply::Func(simplify),
};

fn simplify(func: &mut Func, _report: &mut Report) {
    let renames = Renames::new(func);
    let body = func.body;
    Simplify { func, renames, out: Vec::new() }.region(body);
}

/// What becomes of an op.
enum Rule {
    /// It stays.
    Keep,
    /// Its result is this value.
    Value(Value),
    /// Its result is this constant.
    Const(Const),
    /// It computes this instead.
    Op(OpCode, Vec<Value>),
}

use Rule::Keep;

struct Simplify<'f> {
    func: &'f mut Func,
    renames: Renames,
    /// The new list of the region at hand.
    out: Vec<OpId>,
}

/// What follows an op in its region.
enum Then {
    /// The ops behind it.
    Next,
    /// Nothing: it left the region, whose end is set.
    End,
}

impl Simplify<'_> {
    fn region(&mut self, region: RegionId) {
        let outer = std::mem::take(&mut self.out);
        self.list(region);
        self.renames.in_end(self.func, region);
        self.func.regions[region.index()].ops = std::mem::replace(&mut self.out, outer);
    }

    /// The ops of `region`, at the end of `out`.
    fn list(&mut self, region: RegionId) -> Then {
        for op in take_ops(self.func, region) {
            if let Then::End = self.op(op, region) {
                return Then::End;
            }
        }
        Then::Next
    }

    fn op(&mut self, op: OpId, holder: RegionId) -> Then {
        self.renames.in_op(self.func, op);
        if let OpCode::If = self.func.op(op).code
            && let Some(Const::Bool(cond)) = self.func.as_const(self.func.op(op).args[0])
        {
            return self.known_if(op, cond, holder);
        }
        for position in 0..self.func.op(op).regions.len() {
            let inner = self.func.op(op).regions[position];
            self.region(inner);
        }
        match self.func.op(op).code {
            OpCode::If => self.empty_if(op),
            OpCode::For(_) => self.empty_loop(op),
            _ => self.plain(op),
        }
        Then::Next
    }

    /// if true { a } else { b }  =>  a
    fn known_if(&mut self, op: OpId, cond: bool, holder: RegionId) -> Then {
        let taken = self.func.op(op).regions[usize::from(!cond)];
        if let Then::End = self.list(taken) {
            self.func.regions[holder.index()].end = self.func.region(taken).end.clone();
            return Then::End;
        }
        self.renames.in_end(self.func, taken);
        match self.func.region(taken).end.clone() {
            Terminator::Yield(values) => {
                for (position, value) in values.into_iter().enumerate() {
                    let result = self.func.op(op).results[position];
                    self.renames.set(result, value);
                }
                Then::Next
            }
            end => {
                self.func.regions[holder.index()].end = end;
                Then::End
            }
        }
    }

    /// if c { yield a } else { yield b }  =>  select c, a, b, on scalars; without results, nothing.
    fn empty_if(&mut self, op: OpId) {
        let Op { args, results, regions, span, .. } = self.func.op(op).clone();
        let mut sides = Vec::with_capacity(2);
        for &region in &regions {
            match &self.func.region(region).end {
                Terminator::Yield(values) if self.func.region(region).ops.is_empty() => {
                    sides.push(values.clone())
                }
                _ => return self.out.push(op),
            }
        }
        if results.iter().any(|&result| self.func.ty(result).is_array()) {
            return self.out.push(op);
        }
        for (position, &result) in results.iter().enumerate() {
            let (a, b) = (sides[0][position], sides[1][position]);
            let ty = self.func.ty(result);
            let (select, value) = super::new_value(self.func, OpCode::Select, vec![args[0], a, b], ty, span);
            self.plain(select);
            self.renames.set(result, value);
        }
    }

    /// A loop that never runs gives what went in, and the identities of its reductions.
    fn empty_loop(&mut self, op: OpId) {
        let Op { code: OpCode::For(data), args, results, span, .. } = self.func.op(op).clone() else {
            return;
        };
        let rank = data.rank as usize;
        let is_empty = args[..rank].iter().any(|&extent| self.func.as_const(extent) == Some(Const::I64(0)));
        if !is_empty {
            return self.out.push(op);
        }
        let carried = args.len() - rank;
        for (&result, &initial) in results.iter().zip(&args[rank..]) {
            self.renames.set(result, initial);
        }
        for (reduction, &result) in data.reductions.iter().zip(&results[carried..]) {
            let kind = crate::ir::kind_of(reduction.ty);
            let bits = kiln_abi::identity(reduction.op, kind);
            let identity = self.constant(crate::ir::const_from_bits(bits, reduction.ty), span);
            self.renames.set(result, identity);
        }
    }

    fn constant(&mut self, constant: Const, span: Span) -> Value {
        let ty = Type::Scalar(crate::ir::const_scalar(constant));
        let (op, value) = super::new_value(self.func, OpCode::Const(constant), Vec::new(), ty, span);
        self.out.push(op);
        value
    }

    /// An op without regions: rules until none applies.
    fn plain(&mut self, op: OpId) {
        // Each rule makes the op smaller; the bound is for mistakes.
        for _ in 0..8 {
            let rule = if self.func.op(op).code.effects().pure { self.rule(op) } else { Keep };
            match rule {
                Keep => break,
                Rule::Value(value) => {
                    let result = super::result(self.func, op);
                    return self.renames.set(result, value);
                }
                Rule::Const(constant) => {
                    self.func.ops[op.index()].code = OpCode::Const(constant);
                    self.func.ops[op.index()].args.clear();
                }
                Rule::Op(code, args) => {
                    self.func.ops[op.index()].code = code;
                    self.func.ops[op.index()].args = args;
                }
            }
            if let Some(&[constant]) = super::fold::constants(self.func, op).as_deref() {
                self.func.ops[op.index()].code = OpCode::Const(constant);
                self.func.ops[op.index()].args.clear();
            }
        }
        self.out.push(op);
    }

    fn rule(&mut self, op: OpId) -> Rule {
        let Op { code, args, span, .. } = self.func.op(op);
        let ty = self.func.ty(self.func.op(op).results[0]);
        match (code, args.as_slice()) {
            (OpCode::Add, &[a, b]) => self.add(a, b, ty, *span),
            (OpCode::Sub, &[a, b]) => self.sub(a, b, ty, *span),
            (OpCode::Mul, &[a, b]) => self.mul(a, b, ty, *span),
            (OpCode::Div, &[a, b]) => self.div(a, b, *span),
            (OpCode::FloorDiv, &[a, b]) => self.floor_div(a, b, ty, *span),
            (OpCode::Rem, &[a, b]) => self.rem(a, b, ty, *span),
            (OpCode::Neg, &[a]) => match self.inside(a) {
                // -(-x)  =>  x
                Some((OpCode::Neg, &[x])) => Rule::Value(x),
                // -(a - b)  =>  b - a, ints (floats: -0.0)
                Some((OpCode::Sub, &[x, y])) if is_int(ty) => Rule::Op(OpCode::Sub, vec![y, x]),
                _ => Keep,
            },
            (OpCode::Abs, &[a]) => match self.inside(a) {
                // |-x|  =>  |x|, |(|x|)|  =>  |x|
                Some((OpCode::Neg, &[x])) => Rule::Op(OpCode::Abs, vec![x]),
                Some((OpCode::Abs, _)) => Rule::Value(a),
                // |x|  =>  x, unsigned
                _ if matches!(ty.scalar(), Scalar::U32 | Scalar::U64) => Rule::Value(a),
                _ => Keep,
            },
            // min(x, x)  =>  x
            (OpCode::Min | OpCode::Max, &[a, b]) if a == b => Rule::Value(a),
            (OpCode::Min | OpCode::Max, &[a, b]) => self.constant_right(code.clone(), a, b),
            (OpCode::Fma, &[a, b, c]) => {
                if self.is_float(b, 1.0) {
                    // fma(x, 1, c)  =>  x + c: the product is exact
                    Rule::Op(OpCode::Add, vec![a, c])
                } else if self.is_float(a, 1.0) {
                    Rule::Op(OpCode::Add, vec![b, c])
                } else if let (Some((OpCode::Neg, &[x])), Some((OpCode::Neg, &[y]))) =
                    (self.inside(a), self.inside(b))
                {
                    Rule::Op(OpCode::Fma, vec![x, y, c])
                } else {
                    Keep
                }
            }
            (OpCode::And, &[a, b]) => self.and(a, b, ty),
            (OpCode::Or, &[a, b]) => self.or(a, b, ty),
            (OpCode::Xor, &[a, b]) => self.xor(a, b, ty),
            (OpCode::Not, &[a]) => self.not(a),
            (OpCode::Shl | OpCode::Shr, &[a, count]) => {
                let width = i128::from(ty.scalar().bits());
                match self.int(count) {
                    // x << 0  =>  x; the count is masked
                    Some(count) if count & (width - 1) == 0 => Rule::Value(a),
                    // 0 << n  =>  0
                    _ if self.int(a) == Some(0) => Rule::Value(a),
                    _ => Keep,
                }
            }
            (OpCode::Eq | OpCode::Ne | OpCode::Lt | OpCode::Le | OpCode::Gt | OpCode::Ge, &[a, b]) => {
                self.compare(code.clone(), a, b)
            }
            (OpCode::Select, &[cond, a, b]) => self.select(cond, a, b, ty),
            (OpCode::Convert, &[a]) => self.convert(a, ty),
            (OpCode::Bitcast, &[a]) => match self.inside(a) {
                _ if self.func.ty(a) == ty => Rule::Value(a),
                Some((OpCode::Bitcast, &[x])) if self.func.ty(x) == ty => Rule::Value(x),
                Some((OpCode::Bitcast, &[x])) => Rule::Op(OpCode::Bitcast, vec![x]),
                _ => Keep,
            },
            (OpCode::Dim { axis }, &[array]) => match self.func.def_op(array).map(|op| self.func.op(op)) {
                // The size of what was just made.
                Some(Op { code: OpCode::Alloc | OpCode::AllocUninit, args, .. }) => {
                    Rule::Value(args[*axis as usize])
                }
                _ => Keep,
            },
            _ => Keep,
        }
    }

    fn add(&mut self, a: Value, b: Value, ty: Type, span: Span) -> Rule {
        if is_int(ty) {
            match (self.int(a), self.int(b)) {
                // x + 0  =>  x
                (_, Some(0)) => return Rule::Value(a),
                // c + x  =>  x + c
                (Some(_), None) => return Rule::Op(OpCode::Add, vec![b, a]),
                // (x + c) + d  =>  x + (c + d), (x - c) + d  =>  x + (d - c)
                (None, Some(d)) => {
                    if let Some((x, c)) = self.offset(a) {
                        return self.offset_by(x, c + d, ty, span);
                    }
                }
                _ => {}
            }
        } else {
            // x + -0.0  =>  x, floats
            if self.is_float(b, -0.0) {
                return Rule::Value(a);
            }
            if self.is_float(a, -0.0) {
                return Rule::Value(b);
            }
        }
        // a + -b  =>  a - b; -a + b  =>  b - a
        match (self.inside(a), self.inside(b)) {
            (_, Some((OpCode::Neg, &[y]))) => Rule::Op(OpCode::Sub, vec![a, y]),
            (Some((OpCode::Neg, &[x])), _) => Rule::Op(OpCode::Sub, vec![b, x]),
            _ => Keep,
        }
    }

    fn sub(&mut self, a: Value, b: Value, ty: Type, span: Span) -> Rule {
        if is_int(ty) {
            // x - x  =>  0
            if a == b {
                return zero(ty);
            }
            match (self.int(a), self.int(b)) {
                // x - 0  =>  x
                (_, Some(0)) => return Rule::Value(a),
                // 0 - x  =>  -x
                (Some(0), _) => return Rule::Op(OpCode::Neg, vec![b]),
                // (x + c) - d  =>  x + (c - d)
                (None, Some(d)) => {
                    if let Some((x, c)) = self.offset(a) {
                        return self.offset_by(x, c - d, ty, span);
                    }
                }
                _ => {}
            }
            match (self.inside(a), self.inside(b)) {
                // (x + y) - y  =>  x, ints
                (Some((OpCode::Add, &[x, y])), _) if y == b => return Rule::Value(x),
                (Some((OpCode::Add, &[x, y])), _) if x == b => return Rule::Value(y),
                // x - (x - y)  =>  y, ints
                (_, Some((OpCode::Sub, &[x, y]))) if x == a => return Rule::Value(y),
                _ => {}
            }
        } else if self.is_float(b, 0.0) {
            // x - 0.0  =>  x, floats
            return Rule::Value(a);
        }
        match self.inside(b) {
            // a - -b  =>  a + b
            Some((OpCode::Neg, &[y])) => Rule::Op(OpCode::Add, vec![a, y]),
            _ => Keep,
        }
    }

    fn mul(&mut self, a: Value, b: Value, ty: Type, span: Span) -> Rule {
        if is_int(ty) {
            match (self.int(a), self.int(b)) {
                // x * 0  =>  0, ints
                (_, Some(0)) => return zero(ty),
                // x * 1  =>  x
                (_, Some(1)) => return Rule::Value(a),
                // x * -1  =>  -x
                (_, Some(-1)) => return Rule::Op(OpCode::Neg, vec![a]),
                (Some(_), None) => return Rule::Op(OpCode::Mul, vec![b, a]),
                // x * 2^k  =>  x << k, ints
                (None, Some(factor)) => {
                    if let Some(shift) = power_of_two(factor) {
                        let Some(count) = integer(ty.scalar(), shift.into()) else { return Keep };
                        let count = self.constant(count, span);
                        return Rule::Op(OpCode::Shl, vec![a, count]);
                    }
                }
                _ => {}
            }
            return Keep;
        }
        // x * 1  =>  x
        if self.is_float(b, 1.0) {
            return Rule::Value(a);
        }
        if self.is_float(a, 1.0) {
            return Rule::Value(b);
        }
        // x * -1  =>  -x
        if self.is_float(b, -1.0) {
            return Rule::Op(OpCode::Neg, vec![a]);
        }
        if self.is_float(a, -1.0) {
            return Rule::Op(OpCode::Neg, vec![b]);
        }
        match (self.inside(a), self.inside(b)) {
            // -a * -b  =>  a * b
            (Some((OpCode::Neg, &[x])), Some((OpCode::Neg, &[y]))) => Rule::Op(OpCode::Mul, vec![x, y]),
            _ => Keep,
        }
    }

    fn div(&mut self, a: Value, b: Value, span: Span) -> Rule {
        // x / 1  =>  x
        if self.is_float(b, 1.0) {
            return Rule::Value(a);
        }
        // x / 2^k  =>  x * 2^-k, where 2^-k is a number: both are the rounding of one and the same
        let inverse = match self.func.as_const(b) {
            Some(Const::F64(by)) if is_power_of_two(by) => Some(Const::F64(1.0 / by)),
            Some(Const::F32(by)) if is_power_of_two(by.into()) && (1.0 / by).is_finite() => {
                Some(Const::F32(1.0 / by))
            }
            _ => None,
        };
        match inverse {
            Some(inverse) => {
                let inverse = self.constant(inverse, span);
                Rule::Op(OpCode::Mul, vec![a, inverse])
            }
            None => Keep,
        }
    }

    fn floor_div(&mut self, a: Value, b: Value, ty: Type, span: Span) -> Rule {
        match self.int(b) {
            // x // 1  =>  x
            Some(1) => Rule::Value(a),
            // x // -1  =>  -x, which wraps as the division does
            Some(-1) => Rule::Op(OpCode::Neg, vec![a]),
            // x // 0  =>  0, by definition; a check stands before it
            Some(0) => zero(ty),
            // x // 2^k  =>  x >> k: a shift rounds down
            Some(by) => match power_of_two(by) {
                Some(shift) => {
                    let Some(count) = integer(ty.scalar(), shift.into()) else { return Keep };
                    let count = self.constant(count, span);
                    Rule::Op(OpCode::Shr, vec![a, count])
                }
                None => Keep,
            },
            // 0 // x  =>  0
            None if self.int(a) == Some(0) => Rule::Value(a),
            None => Keep,
        }
    }

    fn rem(&mut self, a: Value, b: Value, ty: Type, span: Span) -> Rule {
        match self.int(b) {
            // x % 1, x % -1, x % 0  =>  0
            Some(-1..=1) => zero(ty),
            // x % 2^k  =>  x & (2^k - 1): the remainder has the sign of the divisor
            Some(by) => match power_of_two(by) {
                Some(_) => {
                    let Some(mask) = integer(ty.scalar(), by - 1) else { return Keep };
                    let mask = self.constant(mask, span);
                    Rule::Op(OpCode::And, vec![a, mask])
                }
                None => Keep,
            },
            // 0 % x  =>  0
            None if self.int(a) == Some(0) => Rule::Value(a),
            None => Keep,
        }
    }

    fn and(&mut self, a: Value, b: Value, ty: Type) -> Rule {
        // x & x  =>  x
        if a == b {
            return Rule::Value(a);
        }
        match (self.int(a), self.int(b)) {
            // x & 0  =>  0
            (_, Some(0)) => Rule::Value(b),
            // x & 1…1  =>  x
            (_, Some(mask)) if is_all_ones(mask, ty) => Rule::Value(a),
            (Some(_), None) => Rule::Op(OpCode::And, vec![b, a]),
            _ => Keep,
        }
    }

    fn or(&mut self, a: Value, b: Value, ty: Type) -> Rule {
        // x | x  =>  x
        if a == b {
            return Rule::Value(a);
        }
        match (self.int(a), self.int(b)) {
            // x | 0  =>  x
            (_, Some(0)) => Rule::Value(a),
            // x | 1…1  =>  1…1
            (_, Some(mask)) if is_all_ones(mask, ty) => Rule::Value(b),
            (Some(_), None) => Rule::Op(OpCode::Or, vec![b, a]),
            _ => Keep,
        }
    }

    fn xor(&mut self, a: Value, b: Value, ty: Type) -> Rule {
        // x ^ x  =>  0
        if a == b && matches!(ty, Type::Scalar(_)) {
            return zero(ty);
        }
        match (self.int(a), self.int(b)) {
            // x ^ 0  =>  x
            (_, Some(0)) => Rule::Value(a),
            // x ^ 1…1  =>  ~x
            (_, Some(mask)) if is_all_ones(mask, ty) => Rule::Op(OpCode::Not, vec![a]),
            (Some(_), None) => Rule::Op(OpCode::Xor, vec![b, a]),
            _ => Keep,
        }
    }

    fn not(&self, a: Value) -> Rule {
        let Some((code, args)) = self.inside(a) else { return Keep };
        match (code, args) {
            // ~~x  =>  x
            (OpCode::Not, &[x]) => Rule::Value(x),
            // not (a == b)  =>  a != b: also for NaN
            (OpCode::Eq, _) => Rule::Op(OpCode::Ne, args.to_vec()),
            (OpCode::Ne, _) => Rule::Op(OpCode::Eq, args.to_vec()),
            // not (a < b)  =>  a >= b, ints: with NaN both are false
            (_, &[x, _]) if !self.func.ty(x).scalar().is_float() => match code {
                OpCode::Lt => Rule::Op(OpCode::Ge, args.to_vec()),
                OpCode::Le => Rule::Op(OpCode::Gt, args.to_vec()),
                OpCode::Gt => Rule::Op(OpCode::Le, args.to_vec()),
                OpCode::Ge => Rule::Op(OpCode::Lt, args.to_vec()),
                _ => Keep,
            },
            _ => Keep,
        }
    }

    fn compare(&self, code: OpCode, a: Value, b: Value) -> Rule {
        let is_float = self.func.ty(a).scalar().is_float();
        let is_scalar = matches!(self.func.ty(a), Type::Scalar(_));
        if a == b && is_scalar {
            match code {
                // x < x  =>  false, also for NaN
                OpCode::Lt | OpCode::Gt => return Rule::Const(Const::Bool(false)),
                // x != x  =>  false, ints
                OpCode::Ne if !is_float => return Rule::Const(Const::Bool(false)),
                // x == x  =>  true, ints
                OpCode::Eq | OpCode::Le | OpCode::Ge if !is_float => return Rule::Const(Const::Bool(true)),
                _ => {}
            }
        }
        if self.func.ty(a) == Type::BOOL {
            match (&code, self.int(b)) {
                // x == true  =>  x, x != false  =>  x
                (OpCode::Eq, Some(1)) | (OpCode::Ne, Some(0)) => return Rule::Value(a),
                (OpCode::Eq, Some(0)) | (OpCode::Ne, Some(1)) => return Rule::Op(OpCode::Not, vec![a]),
                _ => {}
            }
        }
        if let (Some(OpCode::Const(_)), false) =
            (self.inside(a).map(|(code, _)| code), self.func.as_const(b).is_some())
        {
            // c < x  =>  x > c
            let swapped = match code {
                OpCode::Lt => OpCode::Gt,
                OpCode::Le => OpCode::Ge,
                OpCode::Gt => OpCode::Lt,
                OpCode::Ge => OpCode::Le,
                same => same,
            };
            return Rule::Op(swapped, vec![b, a]);
        }
        Keep
    }

    fn select(&self, cond: Value, a: Value, b: Value, ty: Type) -> Rule {
        // select c, x, x  =>  x
        if a == b {
            return Rule::Value(a);
        }
        if let Some(Const::Bool(cond)) = self.func.as_const(cond) {
            return Rule::Value(if cond { a } else { b });
        }
        // select (not c), a, b  =>  select c, b, a
        if let Some((OpCode::Not, &[c])) = self.inside(cond) {
            return Rule::Op(OpCode::Select, vec![c, b, a]);
        }
        if ty != Type::BOOL {
            return Keep;
        }
        match (self.func.as_const(a), self.func.as_const(b)) {
            // select c, true, false  =>  c
            (Some(Const::Bool(true)), Some(Const::Bool(false))) => Rule::Value(cond),
            (Some(Const::Bool(false)), Some(Const::Bool(true))) => Rule::Op(OpCode::Not, vec![cond]),
            // select c, x, false  =>  c & x
            (_, Some(Const::Bool(false))) => Rule::Op(OpCode::And, vec![cond, a]),
            // select c, true, x  =>  c | x
            (Some(Const::Bool(true)), _) => Rule::Op(OpCode::Or, vec![cond, b]),
            _ => Keep,
        }
    }

    fn convert(&self, a: Value, ty: Type) -> Rule {
        let from = self.func.ty(a);
        if from == ty {
            return Rule::Value(a);
        }
        let Some((OpCode::Convert, &[x])) = self.inside(a) else { return Keep };
        let (first, between, last) = (self.func.ty(x).scalar(), from.scalar(), ty.scalar());
        // A step that loses nothing can be left out.
        let narrows = last.is_int() && last.bits() <= between.bits() && last.bits() <= first.bits();
        let wraps = first.is_int() && between.is_int() && narrows;
        if !keeps_value(first, between) && !wraps {
            return Keep;
        }
        if first == last { Rule::Value(x) } else { Rule::Op(OpCode::Convert, vec![x]) }
    }

    /// Constants stand on the right of commutative ops.
    fn constant_right(&self, code: OpCode, a: Value, b: Value) -> Rule {
        match (self.func.as_const(a), self.func.as_const(b)) {
            (Some(_), None) => Rule::Op(code, vec![b, a]),
            _ => Keep,
        }
    }

    /// (x, c) of a value x + c or x - c.
    fn offset(&self, value: Value) -> Option<(Value, i128)> {
        match self.inside(value)? {
            (OpCode::Add, &[x, c]) => Some((x, self.int(c)?)),
            (OpCode::Sub, &[x, c]) => Some((x, -self.int(c)?)),
            _ => None,
        }
    }

    fn offset_by(&mut self, x: Value, by: i128, ty: Type, span: Span) -> Rule {
        // Sums of two constants wrap as the ops do.
        let wrapped = |by| integer(ty.scalar(), by).and_then(as_integer);
        match (wrapped(by), wrapped(-by)) {
            (Some(0), _) => Rule::Value(x),
            (Some(down), Some(up)) if down < 0 && up > 0 => {
                let Some(constant) = integer(ty.scalar(), up) else { return Keep };
                let constant = self.constant(constant, span);
                Rule::Op(OpCode::Sub, vec![x, constant])
            }
            (Some(up), _) => {
                let Some(constant) = integer(ty.scalar(), up) else { return Keep };
                let constant = self.constant(constant, span);
                Rule::Op(OpCode::Add, vec![x, constant])
            }
            _ => Keep,
        }
    }

    fn inside(&self, value: Value) -> Option<(&OpCode, &[Value])> {
        let Def::Op(op, _) = self.func.values[value.index()].def else { return None };
        let op = self.func.op(op);
        Some((&op.code, &op.args))
    }

    /// The integer (or truth) that a value is, if it is constant.
    fn int(&self, value: Value) -> Option<i128> {
        self.func.as_const(value).and_then(as_integer)
    }

    /// Is the value this float, zero's sign included?
    fn is_float(&self, value: Value, is: f64) -> bool {
        match self.func.as_const(value) {
            Some(Const::F64(constant)) => constant.to_bits() == is.to_bits(),
            Some(Const::F32(constant)) => constant.to_bits() == (is as f32).to_bits(),
            _ => false,
        }
    }
}

fn is_int(ty: Type) -> bool {
    ty.scalar().is_int()
}

/// Zero, or false, of a scalar type.
fn zero(ty: Type) -> Rule {
    match (ty, integer(ty.scalar(), 0)) {
        (Type::Scalar(_), Some(zero)) => Rule::Const(zero),
        _ => Keep,
    }
}

/// k, if the number is 2^k with k > 0.
fn power_of_two(number: i128) -> Option<u32> {
    (number > 1 && number & (number - 1) == 0).then(|| number.trailing_zeros())
}

/// 2^k or -2^k, normal, for some k whose negative is an exponent too.
fn is_power_of_two(number: f64) -> bool {
    number.is_normal() && number.to_bits().trailing_zeros() >= 52
}

fn is_all_ones(mask: i128, ty: Type) -> bool {
    match ty.scalar() {
        Scalar::Bool => mask == 1,
        Scalar::I32 | Scalar::I64 => mask == -1,
        Scalar::U32 => mask == u32::MAX.into(),
        Scalar::U64 => mask == u64::MAX.into(),
        Scalar::F32 | Scalar::F64 => false,
    }
}

/// Has every value of `from` the same value in `to`?
fn keeps_value(from: Scalar, to: Scalar) -> bool {
    use Scalar::{Bool, F32, F64, I32, I64, U32, U64};
    match (from, to) {
        (Bool, _) | (I32, I64 | F64) | (U32, I64 | U64 | F64) | (F32, F64) => true,
        (from, to) => from == to,
    }
}
