//! Writes a body again, in lanes.
//!
//! In: the body of a loop and its [`Forms`]. Out: a region that does for a group of ordinals what the body does for one. Holds: a uniform or affine value is
//! computed once, as a scalar (of lane 0); a varying one in all lanes, whatever their masks: arithmetic is total, so lanes that are off compute something that
//! nobody looks at; only memory, sends and errors heed the mask.
//!
//! Regions under construction are a stack of lists of ops, the first of which stands before the loop. What a scalar is in lanes is computed when first
//! asked for, in the list where the scalar was computed: so constants are spread before the loop, and a value loaded in an outer loop once for its inner ones.

use super::control::Frame;
use super::forms::{Form, Forms};
use crate::ir::{Func, Op, OpCode, OpId, RegionId, Terminator, Type, Value, const_bits, const_scalar};
use crate::report::Widened;
use kiln_lang::span::Span;
use kiln_lang::tree::Const;
use kiln_lang::types::Scalar;

/// What stands for a value of the source.
#[derive(Clone, Copy, Default)]
struct Entry {
    /// The scalar, of lane 0 if affine.
    scalar: Option<Value>,
    lanes: Option<Value>,
    /// The list in which it was computed.
    level: usize,
}

/// A constant that stands before the loop, as a scalar and in lanes of some numbers.
pub(super) struct Constant {
    constant: Const,
    scalar: Option<Value>,
    lanes: Vec<(u8, Value)>,
}

/// Which lanes are on: an index into [`Emit::masks`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct MaskId(usize);

/// All lanes.
pub(super) const ALL: MaskId = MaskId(0);
/// No lane.
pub(super) const NONE: MaskId = MaskId(1);

/// A mask, computed when first asked for.
struct Mask {
    value: Option<Value>,
    /// Lanes of `outer` for which the condition holds, or does not.
    outer: MaskId,
    cond: Option<(Value, bool)>,
    level: usize,
}

/// The form and type in which a region hands a value over.
#[derive(Clone, Copy)]
pub(super) struct Dest {
    pub form: Form,
    pub ty: Type,
    /// Which of the values at the region's end.
    pub position: usize,
}

/// How a region ended.
pub(super) enum End {
    /// At its end; the values handed over.
    Yield(Vec<Value>),
    /// No lane reaches its end: they left by masks, and what follows does nothing.
    Exit,
    /// All lanes leave at once.
    Jump(Terminator),
}

pub(super) struct Emit<'e> {
    pub func: &'e mut Func,
    pub forms: &'e Forms,
    pub tally: &'e mut Widened,
    /// The loop that is widened, and its body.
    pub home: OpId,
    pub source: RegionId,
    pub lanes: u8,
    entries: Vec<Entry>,
    /// Lists of ops of the regions under construction; the first stands before the loop.
    pub open: Vec<Vec<OpId>>,
    pub constants: Vec<Constant>,
    /// `0, s, 2 s, …` per scalar type and stride.
    steps: Vec<(Scalar, i64, Value)>,
    masks: Vec<Mask>,
    /// The lanes that are on.
    pub mask: MaskId,
    /// Loops around, the widened one first.
    pub frames: Vec<Frame>,
    /// What the loops around keep of their lanes: see [`Frame`].
    pub state: Vec<Value>,
    /// Lanes that fail a check of the run at hand, and whether all that are on do.
    pub failing: Option<Value>,
    pub failing_all: Option<Value>,
    pub span: Span,
    pub fast: bool,
}

impl<'e> Emit<'e> {
    pub(super) fn new(
        func: &'e mut Func,
        forms: &'e Forms,
        tally: &'e mut Widened,
        home: OpId,
        lanes: u8,
        constants: Vec<Constant>,
    ) -> Emit<'e> {
        let (span, source) = (func.op(home).span, func.op(home).regions[0]);
        let fixed = || Mask { value: None, outer: ALL, cond: None, level: 0 };
        Emit {
            entries: vec![Entry::default(); func.values.len()],
            func,
            forms,
            tally,
            home,
            source,
            lanes,
            open: vec![Vec::new()],
            constants,
            steps: Vec::new(),
            masks: vec![fixed(), fixed()],
            mask: ALL,
            frames: Vec::new(),
            state: Vec::new(),
            failing: None,
            failing_all: None,
            span,
            fast: false,
        }
    }

    /// The list that is being written.
    pub(super) fn level(&self) -> usize {
        self.open.len() - 1
    }

    pub(super) fn op_at(&mut self, level: usize, code: OpCode, args: Vec<Value>, types: &[Type]) -> OpId {
        let op = self.func.add_op(code, args, types, self.span);
        self.func.ops[op.index()].fast = self.fast;
        self.open[level].push(op);
        op
    }

    pub(super) fn value_at(&mut self, level: usize, code: OpCode, args: Vec<Value>, ty: Type) -> Value {
        let op = self.op_at(level, code, args, &[ty]);
        self.func.op(op).results[0]
    }

    /// A new op with one result.
    pub(super) fn value(&mut self, code: OpCode, args: Vec<Value>, ty: Type) -> Value {
        self.value_at(self.level(), code, args, ty)
    }

    /// A new op without results.
    pub(super) fn effect(&mut self, code: OpCode, args: Vec<Value>) {
        self.op_at(self.level(), code, args, &[]);
    }

    /// The type of lanes of a scalar.
    pub(super) fn in_lanes(&self, scalar: Scalar) -> Type {
        Type::Mask(self.lanes).with_scalar(scalar)
    }

    /// A constant, before the loop.
    pub(super) fn constant(&mut self, constant: Const) -> Value {
        let at = self.constant_row(constant);
        if let Some(value) = self.constants[at].scalar {
            return value;
        }
        let ty = Type::Scalar(const_scalar(constant));
        let value = self.value_at(0, OpCode::Const(constant), Vec::new(), ty);
        self.constants[at].scalar = Some(value);
        value
    }

    /// A constant in all lanes, before the loop.
    pub(super) fn constant_lanes(&mut self, constant: Const) -> Value {
        let at = self.constant_row(constant);
        let lanes = self.lanes;
        if let Some(&(_, value)) = self.constants[at].lanes.iter().find(|&&(count, _)| count == lanes) {
            return value;
        }
        let scalar = self.constant(constant);
        let value = self.value_at(0, OpCode::Splat, vec![scalar], self.in_lanes(const_scalar(constant)));
        self.constants[at].lanes.push((lanes, value));
        value
    }

    fn constant_row(&mut self, constant: Const) -> usize {
        let key = |constant: Const| (const_scalar(constant), const_bits(constant));
        let known = self.constants.iter().position(|row| key(row.constant) == key(constant));
        known.unwrap_or_else(|| {
            self.constants.push(Constant { constant, scalar: None, lanes: Vec::new() });
            self.constants.len() - 1
        })
    }

    /// Zero, in the form and type of `dest`: for what no lane looks at.
    pub(super) fn nothing(&mut self, dest: Dest) -> Value {
        let zero = crate::ir::const_from_bits(0, dest.ty.scalar());
        match dest.form {
            Form::Varying => self.constant_lanes(zero),
            Form::Uniform | Form::Affine(_) | Form::Unknown => self.constant(zero),
        }
    }

    /// The scalar that stands for a uniform or affine value of the source.
    pub(super) fn scalar(&self, value: Value) -> Value {
        // What is defined outside the loop stands for itself.
        self.entries[value.index()].scalar.unwrap_or(value)
    }

    pub(super) fn scalars(&self, values: &[Value]) -> Vec<Value> {
        values.iter().map(|&value| self.scalar(value)).collect()
    }

    /// Is there a scalar for it yet? What the body does not define is there from the start.
    pub(super) fn is_computed(&self, value: Value) -> bool {
        self.entries[value.index()].scalar.is_some() || !self.forms.is_own(value)
    }

    /// The lanes of a value of the source.
    pub(super) fn lanes(&mut self, value: Value) -> Value {
        let Entry { lanes, level, .. } = self.entries[value.index()];
        if let Some(lanes) = lanes {
            return lanes;
        }
        let scalar = self.scalar(value);
        if let Some(constant) = self.func.as_const(scalar) {
            return self.constant_lanes(constant);
        }
        let elem = self.func.ty(scalar).scalar();
        let ty = self.in_lanes(elem);
        let lanes = match self.forms.get(value) {
            Form::Affine(1) => self.value_at(level, OpCode::Iota, vec![scalar], ty),
            Form::Affine(stride) => {
                let steps = self.steps(elem, stride);
                let first = self.value_at(level, OpCode::Splat, vec![scalar], ty);
                self.value_at(level, OpCode::Add, vec![first, steps], ty)
            }
            Form::Uniform | Form::Unknown => self.value_at(level, OpCode::Splat, vec![scalar], ty),
            Form::Varying => {
                panic!("bug: a varying value of `{}` is used before it is computed", self.func.name)
            }
        };
        self.entries[value.index()].lanes = Some(lanes);
        lanes
    }

    /// `0, s, 2 s, …`, before the loop.
    pub(super) fn steps(&mut self, elem: Scalar, stride: i64) -> Value {
        if let Some(&(.., steps)) = self.steps.iter().find(|&&(of, by, _)| (of, by) == (elem, stride)) {
            return steps;
        }
        let ty = self.in_lanes(elem);
        let zero = self.constant(crate::ir::const_from_bits(0, elem));
        let stride_lanes = self.constant_lanes(crate::ir::const_from_bits(stride as u64, elem));
        let ordinals = self.value_at(0, OpCode::Iota, vec![zero], ty);
        let steps = self.value_at(0, OpCode::Mul, vec![ordinals, stride_lanes], ty);
        self.steps.push((elem, stride, steps));
        steps
    }

    /// A value of the source in a form.
    pub(super) fn give(&mut self, value: Value, form: Form) -> Value {
        match form {
            Form::Varying => self.lanes(value),
            Form::Uniform | Form::Affine(_) | Form::Unknown => self.scalar(value),
        }
    }

    /// From here on, a value of the source is `to`, in the form that it has.
    pub(super) fn bind(&mut self, value: Value, to: Value) {
        self.bind_as(value, to, self.forms.get(value));
    }

    pub(super) fn bind_as(&mut self, value: Value, to: Value, form: Form) {
        let entry = match form {
            Form::Varying => Entry { scalar: None, lanes: Some(to), level: self.level() },
            Form::Uniform | Form::Affine(_) | Form::Unknown => {
                Entry { scalar: Some(to), lanes: None, level: self.level() }
            }
        };
        self.entries[value.index()] = entry;
        if self.func.values[to.index()].name.is_none() {
            self.func.values[to.index()].name = self.func.values[value.index()].name.clone();
        }
    }

    // ---- masks

    /// The lanes of `outer` for which `cond` (a mask) is `holds`.
    pub(super) fn narrow(&mut self, outer: MaskId, cond: Value, holds: bool) -> MaskId {
        self.masks.push(Mask { value: None, outer, cond: Some((cond, holds)), level: self.level() });
        MaskId(self.masks.len() - 1)
    }

    pub(super) fn mask_of(&mut self, value: Value) -> MaskId {
        self.masks.push(Mask { value: Some(value), outer: ALL, cond: None, level: self.level() });
        MaskId(self.masks.len() - 1)
    }

    pub(super) fn mask_value(&mut self, id: MaskId) -> Value {
        let Mask { value, outer, cond, level } = self.masks[id.0];
        if let Some(value) = value {
            return value;
        }
        let Some((cond, holds)) = cond else {
            let value = self.constant_lanes(Const::Bool(id == ALL));
            self.masks[id.0].value = Some(value);
            return value;
        };
        let ty = Type::Mask(self.lanes);
        let side = if holds { cond } else { self.value_at(level, OpCode::Not, vec![cond], ty) };
        let value = match outer {
            ALL => side,
            outer => {
                let outer = self.mask_value(outer);
                self.value_at(level, OpCode::And, vec![outer, side], ty)
            }
        };
        self.masks[id.0].value = Some(value);
        value
    }

    /// The mask of the lanes that are on; `None` if all are.
    pub(super) fn mask_operand(&mut self) -> Option<Value> {
        (self.mask != ALL).then(|| self.mask_value(self.mask))
    }

    /// If `id` is a side of an `if` that lanes `all` came to: the lanes of the other side.
    pub(super) fn others_of(&self, id: MaskId, all: Value) -> Option<MaskId> {
        let Mask { outer, cond: Some((cond, holds)), .. } = self.masks[id.0] else { return None };
        // The sides are made one behind the other.
        let other = if holds { id.0 + 1 } else { id.0 - 1 };
        let is_pair = self.masks.get(other).is_some_and(|mask| mask.cond == Some((cond, !holds)));
        (is_pair && self.masks[outer.0].value == Some(all)).then_some(MaskId(other))
    }

    /// `a` without the lanes of `b`.
    pub(super) fn without(&mut self, a: Value, b: Value) -> Value {
        let ty = Type::Mask(self.lanes);
        let others = self.value(OpCode::Not, vec![b], ty);
        self.value(OpCode::And, vec![a, others], ty)
    }

    pub(super) fn any(&mut self, mask: Value) -> Value {
        self.value(OpCode::Any, vec![mask], Type::BOOL)
    }

    /// `mask ? a : b`; both in lanes.
    pub(super) fn select(&mut self, mask: Value, a: Value, b: Value) -> Value {
        if a == b {
            return a;
        }
        let ty = self.func.ty(a);
        self.value(OpCode::Select, vec![mask, a, b], ty)
    }

    // ---- regions and ops

    /// What the end of a region of an `if` must hand over for its results.
    pub(super) fn dests(&self, values: &[Value]) -> Vec<Dest> {
        let dest = |(position, &value): (usize, &Value)| Dest {
            form: self.forms.get(value),
            ty: self.func.ty(value),
            position,
        };
        values.iter().enumerate().map(dest).collect()
    }

    /// Writes a region of the source at the end of the list; `dests`: what its `yield` must hand over.
    pub(super) fn region(&mut self, region: RegionId, dests: &[Dest]) -> End {
        self.list(region, 0, dests)
    }

    pub(super) fn list(&mut self, region: RegionId, from: usize, dests: &[Dest]) -> End {
        for position in from..self.func.region(region).ops.len() {
            let op = self.func.region(region).ops[position];
            let before = self.mask;
            self.op(op);
            if self.mask != before && self.rest_needs_guard(region, position + 1) {
                return self.guarded_rest(region, position + 1, dests);
            }
        }
        self.test_checks();
        match self.func.region(region).end.clone() {
            Terminator::Yield(values) => {
                let given = dests.iter().map(|dest| self.give(values[dest.position], dest.form));
                End::Yield(given.collect())
            }
            Terminator::Break(depth, values) => {
                self.leave(region, depth, &values, super::control::Leave::Break)
            }
            Terminator::Continue(depth, values) => {
                self.leave(region, depth, &values, super::control::Leave::Continue)
            }
            Terminator::Open | Terminator::Return(_) => {
                panic!("bug: a widened loop of `{}` returns", self.func.name)
            }
        }
    }

    pub(super) fn op(&mut self, id: OpId) {
        let Op { span, fast, .. } = *self.func.op(id);
        (self.span, self.fast) = (span, fast);
        if !matches!(self.func.op(id).code, OpCode::Check(_)) && !self.func.op(id).code.effects().pure {
            self.test_checks();
        }
        match self.func.op(id).code {
            OpCode::If => self.if_op(id),
            OpCode::For(_) => self.for_op(id),
            OpCode::While => self.while_op(id),
            OpCode::Load => self.load(id),
            OpCode::Store => self.store(id),
            OpCode::Update(reduce) => self.update(id, reduce),
            OpCode::UpdateFma => self.update_fma(id),
            OpCode::Check(site) => self.check(id, site),
            OpCode::Send { reduction } => self.send(id, reduction),
            OpCode::SendFma { reduction } => self.send_fma(id, reduction),
            OpCode::Const(constant) => {
                let value = self.constant(constant);
                let result = self.func.op(id).results[0];
                self.bind(result, value);
            }
            OpCode::Seed
            | OpCode::Add
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
            | OpCode::Select
            | OpCode::Convert
            | OpCode::Bitcast
            | OpCode::Math(_)
            | OpCode::Draw { .. }
            | OpCode::Dim { .. } => self.arithmetic(id),
            OpCode::Splat
            | OpCode::Iota
            | OpCode::Extract { .. }
            | OpCode::Any
            | OpCode::All
            | OpCode::LoadMasked
            | OpCode::StoreMasked
            | OpCode::UpdateMasked(_)
            | OpCode::UpdateFmaMasked
            | OpCode::Alloc
            | OpCode::AllocUninit
            | OpCode::Free
            | OpCode::SendMasked { .. }
            | OpCode::Call(_)
            | OpCode::Print(_)
            | OpCode::RunLoop { .. } => {
                panic!(
                    "bug: `{}` in a loop of `{}` that is widened",
                    self.func.op(id).code.name(),
                    self.func.name
                )
            }
        }
    }

    /// A pure op: once if no operand varies, else in lanes.
    fn arithmetic(&mut self, id: OpId) {
        let Op { code, args, results, .. } = self.func.op(id).clone();
        let is_varying = self.forms.is_varying(results[0]);
        let args =
            if is_varying { args.iter().map(|&arg| self.lanes(arg)).collect() } else { self.scalars(&args) };
        let types: Vec<Type> = results
            .iter()
            .map(|&result| {
                let ty = self.func.ty(result);
                if is_varying { self.in_lanes(ty.scalar()) } else { ty }
            })
            .collect();
        if is_varying {
            self.count_slow(&code, &args, types[0]);
        }
        let op = self.op_at(self.level(), code, args, &types);
        for (position, &result) in results.iter().enumerate() {
            let value = self.func.op(op).results[position];
            self.bind(result, value);
        }
    }

    /// What a person may want to know of: work that does not fit lanes well.
    fn count_slow(&mut self, code: &OpCode, args: &[Value], result: Type) {
        match code {
            OpCode::FloorDiv | OpCode::Rem => {
                let is_constant = |value: Value| match self.func.def_op(value).map(|op| self.func.op(op)) {
                    Some(Op { code: OpCode::Splat, args, .. }) => self.func.as_const(args[0]).is_some(),
                    _ => false,
                };
                self.tally.divisions += u32::from(!is_constant(args[1]));
            }
            OpCode::Convert => {
                let is_longer =
                    self.func.ty(args[0]).scalar() == Scalar::F32 && result.scalar() == Scalar::F64;
                self.tally.to_f64 += u32::from(is_longer);
            }
            _ => {}
        }
    }
}
