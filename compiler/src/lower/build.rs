//! Makes ops, branches and checks.
//!
//! In: operands. Out: ops at the end of the current region. Holds: only integer arithmetic that lowering itself invents (extents,
//! ordinals, counters) is folded here; the user's own arithmetic is left to the passes.

use super::effects::Stretch;
use super::{Lower, Slot};
use crate::ir::{self, CheckKind, OpCode, Terminator};
use kiln_abi::ReduceOp;
use kiln_lang::diag::Diagnostic;
use kiln_lang::span::Span;
use kiln_lang::tree::Const;
use kiln_lang::types::Scalar;

/// Looking at that many assignments or reads counts as one op of a program's room.
pub(super) const LOOKS_PER_OP: usize = 16;

/// An ordinal never comes near 2^62: no loop runs that long. Sizes do not either: no memory is that large.
const HUGE: i128 = 1 << 62;

/// A constant of type `scalar` from an integer that fits it.
pub(super) fn number(scalar: Scalar, value: i64) -> Const {
    match scalar {
        Scalar::Bool => Const::Bool(value != 0),
        Scalar::I32 => Const::I32(value as i32),
        Scalar::I64 => Const::I64(value),
        Scalar::U32 => Const::U32(value as u32),
        Scalar::U64 => Const::U64(value as u64),
        Scalar::F32 => Const::F32(value as f32),
        Scalar::F64 => Const::F64(value as f64),
    }
}

/// The identity of a reduction.
pub(super) fn identity(op: ReduceOp, ty: Scalar) -> Const {
    let bits = kiln_abi::identity(op, kind(ty));
    match ty {
        Scalar::Bool => Const::Bool(bits != 0),
        Scalar::I32 => Const::I32(bits as u32 as i32),
        Scalar::I64 => Const::I64(bits as i64),
        Scalar::U32 => Const::U32(bits as u32),
        Scalar::U64 => Const::U64(bits),
        Scalar::F32 => Const::F32(f32::from_bits(bits as u32)),
        Scalar::F64 => Const::F64(f64::from_bits(bits)),
    }
}

fn kind(ty: Scalar) -> kiln_abi::ScalarKind {
    match ty {
        Scalar::Bool => kiln_abi::ScalarKind::Bool,
        Scalar::I32 => kiln_abi::ScalarKind::I32,
        Scalar::I64 => kiln_abi::ScalarKind::I64,
        Scalar::U32 => kiln_abi::ScalarKind::U32,
        Scalar::U64 => kiln_abi::ScalarKind::U64,
        Scalar::F32 => kiln_abi::ScalarKind::F32,
        Scalar::F64 => kiln_abi::ScalarKind::F64,
    }
}

impl Lower<'_> {
    /// An op with one result.
    pub(super) fn op(
        &mut self,
        code: OpCode,
        args: Vec<ir::Value>,
        ty: impl Into<OpType>,
        span: Span,
    ) -> ir::Value {
        let OpType(ty) = ty.into();
        let op = self.push(code, args, &[ty], span);
        self.out.op(op).results[0]
    }

    /// An op with any results.
    pub(super) fn push(
        &mut self,
        code: OpCode,
        args: Vec<ir::Value>,
        results: &[ir::Type],
        span: Span,
    ) -> ir::OpId {
        let op = self.out.push_op(self.region, code, args, results, span);
        self.out.ops[op.index()].fast = self.fast;
        op
    }

    pub(super) fn constant(&mut self, constant: Const, span: Span) -> ir::Value {
        let ty = match constant {
            Const::Bool(_) => Scalar::Bool,
            Const::I32(_) => Scalar::I32,
            Const::I64(_) => Scalar::I64,
            Const::U32(_) => Scalar::U32,
            Const::U64(_) => Scalar::U64,
            Const::F32(_) => Scalar::F32,
            Const::F64(_) => Scalar::F64,
        };
        self.op(OpCode::Const(constant), Vec::new(), ty, span)
    }

    /// An i64.
    pub(super) fn int(&mut self, value: i64, span: Span) -> ir::Value {
        self.constant(Const::I64(value), span)
    }

    /// A u64.
    pub(super) fn word(&mut self, value: u64, span: Span) -> ir::Value {
        self.constant(Const::U64(value), span)
    }

    /// A constant of `scalar`.
    pub(super) fn number(&mut self, scalar: Scalar, value: i64, span: Span) -> ir::Value {
        self.constant(number(scalar, value), span)
    }

    /// Some value of that type, for places that cannot be reached.
    pub(super) fn placeholder(&mut self, ty: ir::Type, span: Span) -> ir::Value {
        match ty {
            ir::Type::Scalar(scalar) | ir::Type::Lanes(scalar, _) => self.number(scalar, 0, span),
            ir::Type::Mask(_) => self.number(Scalar::Bool, 0, span),
            ir::Type::Array { rank, .. } => {
                let zero = self.int(0, span);
                self.op(OpCode::AllocUninit, vec![zero; rank as usize], OpType(ty), span)
            }
        }
    }

    /// The value of an integer constant.
    pub(super) fn known(&self, value: ir::Value) -> Option<i128> {
        match self.out.as_const(value)? {
            Const::I32(value) => Some(value.into()),
            Const::I64(value) => Some(value.into()),
            Const::U32(value) => Some(value.into()),
            Const::U64(value) => Some(value.into()),
            Const::Bool(_) | Const::F32(_) | Const::F64(_) => None,
        }
    }

    /// An i64 or u64 op, folded where both sides are known or one changes nothing.
    pub(super) fn fold(&mut self, code: OpCode, left: ir::Value, right: ir::Value, span: Span) -> ir::Value {
        let ty = self.out.ty(left).scalar();
        let (known_left, known_right) = (self.known(left), self.known(right));
        if let (Some(a), Some(b)) = (known_left, known_right) {
            let value = match code {
                OpCode::Add => Some(a + b),
                OpCode::Sub => Some(a - b),
                OpCode::Mul => Some(a * b),
                OpCode::Min => Some(a.min(b)),
                OpCode::Max => Some(a.max(b)),
                OpCode::FloorDiv if b > 0 => Some(a.div_euclid(b)),
                OpCode::And => Some(a & b),
                OpCode::Shr if a >= 0 => Some(a >> (b & 63)),
                _ => None,
            };
            if let Some(value) = value {
                // i128 to 64 bits wraps as the op does.
                let constant = match ty {
                    Scalar::U64 => Const::U64(value as u64),
                    _ => Const::I64(value as i64),
                };
                return self.constant(constant, span);
            }
        }
        match (&code, known_left, known_right) {
            // x + 0, x - 0, x * 1, x // 1  =>  x
            (OpCode::Add | OpCode::Sub, _, Some(0)) | (OpCode::Mul | OpCode::FloorDiv, _, Some(1)) => left,
            // 0 + x, 1 * x  =>  x
            (OpCode::Add, Some(0), _) | (OpCode::Mul, Some(1), _) => right,
            _ if left == right && matches!(code, OpCode::Min | OpCode::Max) => left,
            _ => self.op(code, vec![left, right], ty, span),
        }
    }

    /// Least and greatest value that an i64 can have here, as far as a short look shows.
    pub(super) fn bounds(&self, value: ir::Value) -> (i128, i128) {
        self.bounds_within(value, 6)
    }

    fn bounds_within(&self, value: ir::Value, depth: u32) -> (i128, i128) {
        const ANY: (i128, i128) = (i64::MIN as i128, i64::MAX as i128);
        if let Some(&bounds) = self.bounds.get(&value) {
            return bounds;
        }
        let Some(op) = self.out.def_op(value).filter(|_| depth > 0) else { return ANY };
        let op = self.out.op(op);
        let (low, high) = match (&op.code, op.args.as_slice()) {
            (OpCode::Const(Const::I64(value)), _) => ((*value).into(), (*value).into()),
            (OpCode::Dim { .. }, _) => (0, HUGE),
            (code, &[left, right]) if self.out.ty(value) == ir::Type::I64 => {
                let (a, b) = self.bounds_within(left, depth - 1);
                let (c, d) = self.bounds_within(right, depth - 1);
                match code {
                    OpCode::Add => (a + c, b + d),
                    OpCode::Sub => (a - d, b - c),
                    OpCode::Min => (a.min(c), b.min(d)),
                    OpCode::Max => (a.max(c), b.max(d)),
                    OpCode::Mul => {
                        let products = [a * c, a * d, b * c, b * d];
                        products.into_iter().fold((a * c, a * c), |(low, high), x| (low.min(x), high.max(x)))
                    }
                    OpCode::FloorDiv if c > 0 => {
                        (a.div_euclid(c).min(a.div_euclid(d)), b.div_euclid(c).max(b.div_euclid(d)))
                    }
                    OpCode::Rem if c > 0 => (0, d - 1),
                    _ => ANY,
                }
            }
            _ => ANY,
        };
        if low < ANY.0 || high > ANY.1 { ANY } else { (low, high) }
    }

    /// Notes that `value` is a loop's ordinal.
    pub(super) fn note_ordinal(&mut self, value: ir::Value, extent: ir::Value) {
        let last = self.known(extent).map_or(HUGE, |extent| (extent - 1).max(0));
        self.bounds.insert(value, (0, last));
    }

    /// A conversion of a scalar, if one is needed.
    pub(super) fn convert(&mut self, value: ir::Value, to: Scalar, span: Span) -> ir::Value {
        if self.out.ty(value).scalar() == to {
            return value;
        }
        self.op(OpCode::Convert, vec![value], to, span)
    }

    /// `left op right`
    pub(super) fn combine(
        &mut self,
        op: ReduceOp,
        left: ir::Value,
        right: ir::Value,
        span: Span,
    ) -> ir::Value {
        let code = match op {
            ReduceOp::Sum => OpCode::Add,
            ReduceOp::Prod => OpCode::Mul,
            ReduceOp::Min => OpCode::Min,
            ReduceOp::Max => OpCode::Max,
            ReduceOp::And => OpCode::And,
            ReduceOp::Or => OpCode::Or,
            ReduceOp::Xor => OpCode::Xor,
        };
        let ty = self.out.ty(left).scalar();
        self.op(code, vec![left, right], ty, span)
    }

    /// A check: what it tests, then as many indices of the enclosing loops as fit, inner ones first in the choice.
    pub(super) fn check(&mut self, kind: CheckKind, tested: &[ir::Value], span: Span) {
        let room = kiln_abi::ERROR_VALUES - tested.len();
        let mut around: Vec<_> = self
            .loops
            .iter()
            .rev()
            .flat_map(|around| around.indices.iter().rev())
            .take(room)
            .cloned()
            .collect();
        around.reverse();
        let mut args = tested.to_vec();
        args.extend(around.iter().map(|(_, value)| value));
        let indices = around.into_iter().map(|(name, _)| name).collect();
        let site = ir::SiteId(self.out.sites.len() as u32);
        self.out.sites.push(ir::CheckSite { kind, func: self.out.name.clone(), span, indices });
        self.push(OpCode::Check(site), args, &[], span);
    }

    /// A check that an integer is not zero, unless it is a constant that is not.
    pub(super) fn check_not_zero(&mut self, kind: CheckKind, value: ir::Value, span: Span) {
        if self.known(value).is_none_or(|value| value == 0) {
            self.check(kind, &[value], span);
        }
    }

    /// A check that an integer is not negative, unless it is known not to be.
    pub(super) fn check_not_negative(&mut self, kind: CheckKind, value: ir::Value, span: Span) {
        if self.bounds(value).0 < 0 {
            self.check(kind, &[value], span);
        }
    }

    /// The size of an array along an axis: what it was allocated with, if that is known.
    pub(super) fn dim(&mut self, array: ir::Value, axis: usize, span: Span) -> ir::Value {
        if let Some(op) = self.out.def_op(array) {
            let op = self.out.op(op);
            if matches!(op.code, OpCode::Alloc | OpCode::AllocUninit) {
                return op.args[axis];
            }
        }
        self.op(OpCode::Dim { axis: axis as u8 }, vec![array], Scalar::I64, span)
    }

    /// Ends the current region; what follows is dead.
    pub(super) fn terminate(&mut self, end: Terminator) {
        if !self.dead {
            self.out.regions[self.region.index()].end = end;
            self.region = self.scratch;
            self.dead = true;
        }
    }

    /// Ends a region whose end cannot be reached.
    pub(super) fn terminate_dead_end(&mut self, span: Span) {
        if self.dead {
            return;
        }
        let end = match self.loops.last() {
            Some(around) if around.part == super::LoopPart::Body => {
                let carried = around.carried.clone();
                Terminator::Continue(0, self.slot_values(&carried))
            }
            _ => {
                let types = self.result_types();
                Terminator::Return(types.into_iter().map(|ty| self.placeholder(ty, span)).collect())
            }
        };
        self.terminate(end);
    }

    pub(super) fn slot_values(&mut self, slots: &[u32]) -> Vec<ir::Value> {
        slots.iter().map(|&slot| self.slot_value(slot)).collect()
    }

    /// Lowers a part that ends in a region of its own, in a scope of its own. Returns what `inside` returns.
    pub(super) fn in_region<R>(
        &mut self,
        region: ir::RegionId,
        span: Span,
        inside: impl FnOnce(&mut Self) -> R,
    ) -> R {
        debug_assert_ne!(region, self.scratch);
        self.region = region;
        self.dead = false;
        self.scopes.push(Vec::new());
        let result = inside(self);
        self.close_scope(span);
        result
    }

    /// A branch on `cond`. The arms return the same number of values, of `types`; slots in `carried` that they assign are merged.
    /// Returns the values of the branch.
    pub(super) fn branch(
        &mut self,
        cond: ir::Value,
        carried: &[u32],
        types: &[ir::Type],
        span: Span,
        then: impl FnOnce(&mut Self) -> Vec<ir::Value>,
        otherwise: impl FnOnce(&mut Self) -> Vec<ir::Value>,
    ) -> Vec<ir::Value> {
        let parent = (self.region, self.dead);
        let before: Vec<Slot> = carried.iter().map(|&slot| self.env[slot as usize]).collect();
        let then = self.arm(carried, span, then);
        self.restore(carried, &before);
        let otherwise = self.arm(carried, span, otherwise);
        self.restore(carried, &before);
        (self.region, self.dead) = parent;

        // A slot that every arm leaves as it was needs no merge.
        let arms = [then, otherwise];
        let changed: Vec<usize> = (0..carried.len())
            .filter(|&k| arms.iter().any(|arm| !arm.dead && Slot::Value(arm.slots[k]) != before[k]))
            .collect();
        let mut types = types.to_vec();
        types.extend(changed.iter().map(|&k| self.slot_type(carried[k])));
        let both_dead = arms.iter().all(|arm| arm.dead);
        let mut regions = Vec::with_capacity(2);
        for arm in arms {
            regions.push(arm.region);
            if !arm.dead {
                let mut values = arm.values;
                values.extend(changed.iter().map(|&k| arm.slots[k]));
                self.out.regions[arm.region.index()].end = Terminator::Yield(values);
            }
        }
        let op = self.push(OpCode::If, vec![cond], &types, span);
        self.out.ops[op.index()].regions = regions;
        let mut results = self.out.op(op).results.clone();
        let merged = results.split_off(results.len() - changed.len());
        for (&k, value) in changed.iter().zip(merged) {
            self.set_slot(carried[k], value);
        }
        if both_dead {
            self.terminate_dead_end(span);
        }
        results
    }

    fn arm(&mut self, carried: &[u32], span: Span, inside: impl FnOnce(&mut Self) -> Vec<ir::Value>) -> Arm {
        let region = self.out.add_region();
        let values = self.in_region(region, span, inside);
        let dead = self.dead;
        let slots = self.slot_values(carried);
        Arm { region, dead, values, slots }
    }

    fn restore(&mut self, slots: &[u32], before: &[Slot]) {
        for (&slot, &value) in slots.iter().zip(before) {
            self.env[slot as usize] = value;
        }
    }

    /// Binds a slot, and names the value after its variable.
    pub(super) fn set_slot(&mut self, slot: u32, value: ir::Value) {
        self.env[slot as usize] = Slot::Value(value);
        if let Some(name) = self.slot_name(slot) {
            self.name(value, &name);
        }
    }

    /// The slots that hold a value here and that a stretch of the function assigns, in order of the first assignment; reductions
    /// of the innermost loop apart.
    pub(super) fn assigned(&mut self, stretch: &Stretch) -> Assigned {
        let mut assigned = Assigned::default();
        self.charge(stretch.writes.len() / LOOKS_PER_OP);
        if self.is_full() {
            return assigned;
        }
        self.look += 1;
        self.seen.resize(self.env.len(), 0);
        for at in stretch.writes.clone() {
            let write = self.effects.writes[at];
            for slot in self.slots_of_write(&write) {
                if self.seen.get(slot).is_none_or(|&look| look == self.look) {
                    continue;
                }
                self.seen[slot] = self.look;
                match self.env[slot] {
                    Slot::Unset => {}
                    Slot::Value(_) => assigned.values.push(slot as u32),
                    Slot::Sink { reduction, op } => assigned.sinks.push((slot as u32, reduction, op)),
                }
            }
        }
        self.charge(assigned.values.len());
        assigned
    }

    pub(super) fn slot_type(&self, slot: u32) -> ir::Type {
        self.slots.types.get(slot as usize).copied().unwrap_or(ir::Type::U64)
    }

    /// The name of the variable that a slot belongs to.
    pub(super) fn slot_name(&self, slot: u32) -> Option<std::sync::Arc<str>> {
        if slot as usize >= self.slots.types.len() {
            return None;
        }
        let local = self.slots.first.partition_point(|&first| first <= slot) - 1;
        Some(self.names[local].clone())
    }

    /// Takes from the room what looking at the tree costs.
    pub(super) fn charge(&mut self, ops: usize) {
        self.room = self.room.saturating_sub(ops);
    }

    /// Has the program outgrown its room? Reports it once.
    pub(super) fn is_full(&mut self) -> bool {
        if !self.full && self.out.values.len() + self.out.ops.len() > self.room {
            self.full = true;
            self.findings.report(
                Diagnostic::error(
                    format!("`{}` is too large to compile", self.out.name),
                    self.func.span,
                    "this function and what it calls",
                )
                .note(format!(
                    "a call may compile to {} operations and values; a variable counts once for each branch and loop that assigns it",
                    super::MAX_SIZE
                ))
                .help("split it: several calls, smaller functions, or arrays instead of many variables"),
            );
        }
        self.full
    }
}

struct Arm {
    region: ir::RegionId,
    dead: bool,
    values: Vec<ir::Value>,
    slots: Vec<ir::Value>,
}

/// What a construct assigns: see [`Lower::assigned`].
#[derive(Debug, Default)]
pub(super) struct Assigned {
    /// Ordinary values.
    pub values: Vec<u32>,
    /// Reductions of the innermost loop: slot, number, operator.
    pub sinks: Vec<(u32, u32, ReduceOp)>,
}

/// The type of an op's result, from a scalar or an IR type.
pub(super) struct OpType(pub ir::Type);

impl From<Scalar> for OpType {
    fn from(scalar: Scalar) -> OpType {
        OpType(ir::Type::Scalar(scalar))
    }
}

impl From<ir::Type> for OpType {
    fn from(ty: ir::Type) -> OpType {
        OpType(ty)
    }
}
