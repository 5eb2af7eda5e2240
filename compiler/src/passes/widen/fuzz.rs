//! Random loops, before and after they are widened.
//!
//! In: a seed. Out: a program with one `@vectorize` loop: all types, branches, loops that lanes leave at different times, checks that may fail, accesses of every kind, reductions. Holds: the oracle
//! gives the same results, arrays and errors for both, whatever the registers of the machine, for rows of 0 to 70 iterations and elements that include NaN, infinities and zeros of both signs.

use super::WIDEN;
use crate::ir::{
    Arg, ArrayData, CheckKind, CheckSite, EvalError, EvalOptions, ForData, Func, OpCode, Program, Reduction,
    RegionId, SiteId, Terminator, Type, Value, const_bits, const_from_bits, eval, print, verify,
};
use crate::passes::fuzz::Random;
use crate::passes::tests::is_same;
use crate::pipeline;
use crate::report::Report;
use crate::target::IsaCap;
use kiln_abi::ReduceOp;
use kiln_lang::span::Span;
use kiln_lang::tree::Const;
use kiln_lang::types::{Generator, Layout, Scalar};

const TYPES: [Scalar; 7] = Scalar::ALL;

/// Values in scope, per type as in [`TYPES`].
#[derive(Clone, Default)]
struct Scope {
    values: [Vec<Value>; 7],
    /// Types that the enclosing loops carry, the innermost last; `None` may not be left: the widened loop and generators.
    loops: Vec<Option<Vec<Scalar>>>,
    /// Of the innermost loop, if sends may stand here.
    reductions: Vec<Reduction>,
    /// Trip counts that are small.
    small: Vec<Value>,
    /// The body of a generator: it has no statements.
    in_generator: bool,
}

/// An array argument.
#[derive(Clone, Copy)]
struct Array {
    value: Value,
    elem: Scalar,
    rank: u8,
}

struct Maker {
    random: Random,
    func: Func,
    region: RegionId,
    left: usize,
    inputs: Vec<Array>,
    /// Every iteration writes and reads its own element.
    outputs: Vec<Array>,
    /// Reduced into.
    bins: Option<(Array, ReduceOp)>,
    /// The ordinals of the iteration.
    ordinals: Vec<Value>,
    /// Checks may fail.
    fails: bool,
}

fn position(scalar: Scalar) -> usize {
    TYPES.iter().position(|&other| other == scalar).unwrap_or(0)
}

impl Maker {
    fn op(&mut self, code: OpCode, args: &[Value], types: &[Type]) -> Vec<Value> {
        self.left = self.left.saturating_sub(1);
        let op = self.func.push_op(self.region, code, args.to_vec(), types, Span::default());
        self.func.op(op).results.clone()
    }

    fn value(&mut self, code: OpCode, args: &[Value], scalar: Scalar) -> Value {
        self.op(code, args, &[Type::Scalar(scalar)])[0]
    }

    fn int(&mut self, value: i64) -> Value {
        self.value(OpCode::Const(Const::I64(value)), &[], Scalar::I64)
    }

    fn constant(&mut self, scalar: Scalar) -> Value {
        let bits = any_bits(&mut self.random, scalar);
        self.value(OpCode::Const(const_from_bits(bits, scalar)), &[], scalar)
    }

    /// Mostly one of the latest.
    fn some(&mut self, scope: &mut Scope, scalar: Scalar) -> Value {
        let list = &scope.values[position(scalar)];
        if list.is_empty() || self.random.below(12) == 0 {
            let value = self.constant(scalar);
            scope.values[position(scalar)].push(value);
            return value;
        }
        let from = if self.random.below(2) == 0 { list.len().saturating_sub(3) } else { 0 };
        list[from + self.random.below(list.len() - from)]
    }

    fn keep(&mut self, scope: &mut Scope, value: Value) {
        let scalar = self.func.ty(value).scalar();
        scope.values[position(scalar)].push(value);
    }

    fn scalar(&mut self) -> Scalar {
        self.random.of(&TYPES)
    }

    fn arithmetic(&mut self, scope: &mut Scope) {
        use OpCode::*;
        let scalar = self.scalar();
        let (a, b, c) = (self.some(scope, scalar), self.some(scope, scalar), self.some(scope, scalar));
        let result = match self.random.below(12) {
            0..=4 => match scalar {
                Scalar::Bool => {
                    let code = [And, Or, Xor][self.random.below(3)].clone();
                    self.value(code, &[a, b], scalar)
                }
                Scalar::F32 | Scalar::F64 => {
                    let code = [Add, Sub, Mul, Div, Min, Max][self.random.below(6)].clone();
                    self.value(code, &[a, b], scalar)
                }
                Scalar::I32 | Scalar::I64 | Scalar::U32 | Scalar::U64 => {
                    let codes = [Add, Sub, Mul, Min, Max, And, Or, Xor, Shl, Shr, FloorDiv, Rem];
                    let code = codes[self.random.below(codes.len())].clone();
                    self.value(code, &[a, b], scalar)
                }
            },
            5 => match scalar {
                Scalar::Bool => self.value(Not, &[a], scalar),
                Scalar::F32 | Scalar::F64 => {
                    let code = [Neg, Abs, Sqrt, Floor, Nearest][self.random.below(5)].clone();
                    self.value(code, &[a], scalar)
                }
                Scalar::I32 | Scalar::I64 | Scalar::U32 | Scalar::U64 => {
                    let code = [Neg, Abs, Not][self.random.below(3)].clone();
                    self.value(code, &[a], scalar)
                }
            },
            6 if scalar.is_float() => self.value(Fma, &[a, b, c], scalar),
            6 | 7 => {
                let code = [Eq, Ne, Lt, Le, Gt, Ge][self.random.below(6)].clone();
                self.value(code, &[a, b], Scalar::Bool)
            }
            8 => {
                let cond = self.some(scope, Scalar::Bool);
                self.value(Select, &[cond, a, b], scalar)
            }
            9 => {
                let to = self.scalar();
                self.value(Convert, &[a], to)
            }
            10 if scalar == Scalar::U64 => {
                let (generator, kind) = (self.random.of(&[Generator::Philox, Generator::Ars]), 0);
                let words = self.op(Draw { generator, kind }, &[a, b, c], &[Type::U64, Type::U64]);
                self.keep(scope, words[0]);
                words[1]
            }
            10 if scalar == Scalar::I64 => {
                // Something affine.
                let by = self.random.of(&[1, 1, 2, -1, 3]);
                let by = self.int(by);
                let index = self.ordinals[self.ordinals.len() - 1];
                let scaled = self.value(Mul, &[index, by], Scalar::I64);
                self.value(Add, &[scaled, a], Scalar::I64)
            }
            _ => {
                let to = self.scalar();
                if to.bits() == scalar.bits() && to != Scalar::Bool {
                    self.value(Bitcast, &[a], to)
                } else {
                    self.value(Convert, &[a], to)
                }
            }
        };
        self.keep(scope, result);
    }

    fn check(&mut self, kind: CheckKind, args: &[Value]) {
        let site = SiteId(self.func.sites.len() as u32);
        let span = Span { start: site.0, end: site.0, ..Span::default() };
        let indices = self.ordinals.iter().map(|_| "i".into()).collect();
        self.func.sites.push(CheckSite { kind, func: "main".into(), span, indices });
        let mut args = args.to_vec();
        args.extend(&self.ordinals);
        self.op(OpCode::Check(site), &args, &[]);
    }

    /// An index of an axis of an array: checked, or brought into bounds (there are elements).
    fn index(&mut self, scope: &mut Scope, array: Array, axis: u8, spare: Option<i64>) -> Value {
        let size = self.op(OpCode::Dim { axis }, &[array.value], &[Type::I64])[0];
        let index = match self.random.below(4) {
            0 | 1 => self.ordinals[self.random.below(self.ordinals.len())],
            _ => self.some(scope, Scalar::I64),
        };
        if self.fails && self.random.below(3) == 0 {
            self.check(CheckKind::Bounds { array: "a".into(), axis }, &[index, size]);
            return index;
        }
        let is_ordinal = self.ordinals.contains(&index);
        if let Some(spare) = spare
            && is_ordinal
            && axis + 1 == array.rank
            && self.random.below(4) != 0
        {
            // Ordinals are below the size less `spare`.
            let near = self.random_offset(spare);
            let near = self.int(near);
            return self.value(OpCode::Add, &[index, near], Scalar::I64);
        }
        self.value(OpCode::Rem, &[index, size], Scalar::I64)
    }

    fn random_offset(&mut self, spare: i64) -> i64 {
        self.random.below(spare as usize + 1) as i64
    }

    fn load(&mut self, scope: &mut Scope) {
        let inputs = self.inputs.clone();
        let array = self.random.of(&inputs);
        let mut args = vec![array.value];
        for axis in 0..array.rank {
            args.push(self.index(scope, array, axis, Some(3)));
        }
        let value = self.value(OpCode::Load, &args, array.elem);
        self.keep(scope, value);
    }

    fn own(&self, array: Array) -> Vec<Value> {
        let mut args = vec![array.value];
        args.extend(&self.ordinals);
        args
    }

    fn store(&mut self, scope: &mut Scope) {
        if scope.in_generator {
            return self.arithmetic(scope);
        }
        let outputs = self.outputs.clone();
        let array = self.random.of(&outputs);
        let mut args = self.own(array);
        match self.random.below(4) {
            0 => {
                let value = self.value(OpCode::Load, &args, array.elem);
                self.keep(scope, value);
            }
            1 if array.elem != Scalar::Bool => {
                args.push(self.some(scope, array.elem));
                let reduce = self.random.of(&[ReduceOp::Sum, ReduceOp::Prod, ReduceOp::Max]);
                self.op(OpCode::Update(reduce), &args, &[]);
            }
            2 if array.elem.is_float() => {
                args.push(self.some(scope, array.elem));
                args.push(self.some(scope, array.elem));
                self.op(OpCode::UpdateFma, &args, &[]);
            }
            _ => {
                args.push(self.some(scope, array.elem));
                self.op(OpCode::Store, &args, &[]);
            }
        }
    }

    fn bin(&mut self, scope: &mut Scope) {
        let Some((array, reduce)) = self.bins.filter(|_| !scope.in_generator) else {
            return self.store(scope);
        };
        let index = self.index(scope, array, 0, None);
        let value = self.some(scope, array.elem);
        self.op(OpCode::Update(reduce), &[array.value, index, value], &[]);
    }

    fn send(&mut self, scope: &mut Scope) {
        let number = self.random.below(scope.reductions.len());
        let Reduction { op, ty, .. } = scope.reductions[number].clone();
        let (reduction, term) = (number as u32, self.some(scope, ty));
        if op == ReduceOp::Sum && ty.is_float() && self.random.below(2) == 0 {
            let factor = self.some(scope, ty);
            self.op(OpCode::SendFma { reduction }, &[term, factor], &[]);
        } else {
            self.op(OpCode::Send { reduction }, &[term], &[]);
        }
    }

    fn in_region(&mut self, region: RegionId, inside: impl FnOnce(&mut Maker) -> Terminator) {
        let outer = std::mem::replace(&mut self.region, region);
        let end = inside(self);
        self.func.regions[region.index()].end = end;
        self.region = outer;
    }

    fn some_of(&mut self, scope: &mut Scope, types: &[Scalar]) -> Vec<Value> {
        types.iter().map(|&scalar| self.some(scope, scalar)).collect()
    }

    fn types(&mut self, most: usize) -> Vec<Scalar> {
        (0..self.random.below(most + 1)).map(|_| self.scalar()).collect()
    }

    /// The end of a region that hands over `types`: sometimes it leaves or continues a loop instead.
    fn end(&mut self, scope: &mut Scope, types: &[Scalar]) -> Terminator {
        let reachable = scope.loops.iter().rev().take_while(|around| around.is_some()).count();
        if self.random.below(3) == 0 {
            // `continue` also ends iterations of what may not be left.
            let can_continue = reachable + usize::from(scope.loops.len() > reachable);
            let depth = self.random.below(can_continue);
            let around = scope.loops[scope.loops.len() - 1 - depth].clone();
            let values = self.some_of(scope, &around.clone().unwrap_or_default());
            let is_break = depth < reachable && self.random.below(2) == 0;
            return if is_break {
                Terminator::Break(depth as u32, values)
            } else {
                Terminator::Continue(depth as u32, values)
            };
        }
        Terminator::Yield(self.some_of(scope, types))
    }

    fn branch(&mut self, scope: &mut Scope, depth: usize) {
        let cond = self.some(scope, Scalar::Bool);
        let types = self.types(3);
        let results: Vec<Type> = types.iter().map(|&scalar| Type::Scalar(scalar)).collect();
        let op = self.func.push_op(self.region, OpCode::If, vec![cond], &results, Span::default());
        for side in 0..2 {
            let region = self.func.add_region();
            self.func.ops[op.index()].regions.push(region);
            let mut inner = scope.clone();
            self.in_region(region, |maker| {
                if side == 0 || maker.random.below(2) == 0 {
                    maker.block(&mut inner, depth + 1);
                }
                maker.end(&mut inner, &types)
            });
        }
        for result in self.func.op(op).results.clone() {
            self.keep(scope, result);
        }
    }

    /// A trip count below 8: known, the same in all lanes, or not.
    fn trips(&mut self, scope: &mut Scope) -> Value {
        match self.random.below(3) {
            0 => {
                let trips = self.random_offset(7);
                self.int(trips)
            }
            1 => self.random.of(&scope.small.clone()),
            _ => {
                let value = self.some(scope, Scalar::I64);
                let seven = self.int(7);
                self.value(OpCode::And, &[value, seven], Scalar::I64)
            }
        }
    }

    fn for_loop(&mut self, scope: &mut Scope, depth: usize) {
        let rank = 1 + usize::from(self.random.below(6) == 0);
        let is_generator = self.random.below(3) == 0;
        let mut args: Vec<Value> = (0..rank).map(|_| self.trips(scope)).collect();
        let mut reductions = Vec::new();
        let types = if is_generator { Vec::new() } else { self.types(3) };
        if is_generator {
            let few = self.random_offset(5);
            let few = self.int(few);
            let is_short = self.random.below(3) == 0;
            if is_short {
                args = vec![few];
            }
            reductions = self.reductions(is_short);
        }
        let rank = if is_generator { args.len() } else { rank };
        args.extend(self.some_of(scope, &types));
        let mut results: Vec<Type> = types.iter().map(|&scalar| Type::Scalar(scalar)).collect();
        results.extend(reductions.iter().map(|reduction| Type::Scalar(reduction.ty)));
        let data = ForData {
            generator: is_generator,
            reductions: reductions.clone(),
            ..ForData::plain(rank as u8, Span::default())
        };
        let op = self.func.push_op(self.region, OpCode::For(Box::new(data)), args, &results, Span::default());
        let region = self.func.add_region();
        self.func.ops[op.index()].regions.push(region);
        let mut inner =
            Scope { reductions, in_generator: scope.in_generator || is_generator, ..scope.clone() };
        for _ in 0..rank {
            let ordinal = self.func.add_param(region, Type::I64, None);
            inner.values[position(Scalar::I64)].push(ordinal);
            inner.small.push(ordinal);
        }
        for &scalar in &types {
            let param = self.func.add_param(region, Type::Scalar(scalar), None);
            self.keep(&mut inner, param);
        }
        inner.loops.push((!is_generator).then(|| types.clone()));
        self.in_region(region, |maker| {
            maker.block(&mut inner, depth + 1);
            Terminator::Yield(maker.some_of(&mut inner, &types))
        });
        for result in self.func.op(op).results.clone() {
            self.keep(scope, result);
        }
    }

    /// A counter goes down with each iteration, whatever path it takes; so it ends.
    fn while_loop(&mut self, scope: &mut Scope, depth: usize) {
        let trips = self.trips(scope);
        let types = self.types(2);
        let one = self.int(1);
        let zero = self.int(0);
        // Carried: the counter, then the rest.
        let mut args = vec![trips];
        args.extend(self.some_of(scope, &types));
        let mut results = vec![Type::I64];
        results.extend(types.iter().map(|&scalar| Type::Scalar(scalar)));
        let op = self.func.push_op(self.region, OpCode::While, args, &results, Span::default());
        let mut counter = zero;
        for side in 0..2 {
            let region = self.func.add_region();
            self.func.ops[op.index()].regions.push(region);
            let mut inner = Scope { reductions: Vec::new(), ..scope.clone() };
            let params: Vec<Value> =
                results.iter().map(|&ty| self.func.add_param(region, ty, None)).collect();
            for &param in &params {
                self.keep(&mut inner, param);
            }
            self.in_region(region, |maker| {
                if side == 0 {
                    if maker.random.below(2) == 0 {
                        maker.arithmetic(&mut inner);
                    }
                    let mut go = maker.value(OpCode::Gt, &[params[0], zero], Scalar::Bool);
                    if maker.random.below(2) == 0 {
                        let other = maker.some(&mut inner, Scalar::Bool);
                        go = maker.value(OpCode::And, &[go, other], Scalar::Bool);
                    }
                    let mut values = vec![go, params[0]];
                    values.extend(maker.some_of(&mut inner, &types));
                    return Terminator::Yield(values);
                }
                counter = maker.value(OpCode::Sub, &[params[0], one], Scalar::I64);
                // Inside, only this loop's own ends are made by hand: the counter must come first.
                inner.loops.push(None);
                let cond = maker.some(&mut inner, Scalar::Bool);
                let leaves = maker.random.below(3);
                if leaves > 0 {
                    let branch =
                        maker.func.push_op(maker.region, OpCode::If, vec![cond], &[], Span::default());
                    let [out, stay] = [(); 2].map(|()| maker.func.add_region());
                    maker.func.ops[branch.index()].regions = vec![out, stay];
                    maker.func.regions[stay.index()].end = Terminator::Yield(Vec::new());
                    let mut side = inner.clone();
                    maker.in_region(out, |maker| {
                        let mut values = vec![counter];
                        values.extend(maker.some_of(&mut side, &types));
                        if leaves == 1 {
                            Terminator::Break(0, values)
                        } else {
                            Terminator::Continue(0, values)
                        }
                    });
                }
                // Blocks may not `continue` it without the counter: they see no loop to leave.
                maker.while_body(&mut inner, depth, &types, counter)
            });
        }
        for result in self.func.op(op).results.clone() {
            self.keep(scope, result);
        }
    }

    fn while_body(
        &mut self,
        inner: &mut Scope,
        depth: usize,
        types: &[Scalar],
        counter: Value,
    ) -> Terminator {
        for _ in 0..1 + self.random.below(3) {
            match self.random.below(4) {
                0 => self.load(inner),
                1 => self.store(inner),
                _ => self.arithmetic(inner),
            }
        }
        if depth < 3 && self.random.below(3) == 0 {
            // A loop inside, which may leave this one.
            let trips = self.trips(inner);
            let data = ForData::plain(1, Span::default());
            let op = self.func.push_op(
                self.region,
                OpCode::For(Box::new(data)),
                vec![trips],
                &[],
                Span::default(),
            );
            let region = self.func.add_region();
            self.func.ops[op.index()].regions.push(region);
            let k = self.func.add_param(region, Type::I64, None);
            let mut inside = inner.clone();
            inside.values[position(Scalar::I64)].push(k);
            self.in_region(region, |maker| {
                maker.arithmetic(&mut inside);
                let cond = maker.some(&mut inside, Scalar::Bool);
                let branch = maker.func.push_op(maker.region, OpCode::If, vec![cond], &[], Span::default());
                let [out, stay] = [(); 2].map(|()| maker.func.add_region());
                maker.func.ops[branch.index()].regions = vec![out, stay];
                maker.func.regions[stay.index()].end = Terminator::Yield(Vec::new());
                let mut side = inside.clone();
                maker.in_region(out, |maker| {
                    let mut values = vec![counter];
                    values.extend(maker.some_of(&mut side, types));
                    match maker.random.below(2) {
                        0 => Terminator::Break(1, values),
                        _ => Terminator::Continue(1, values),
                    }
                });
                maker.store(&mut inside);
                Terminator::Yield(Vec::new())
            });
        }
        let mut values = vec![counter];
        values.extend(self.some_of(inner, types));
        Terminator::Yield(values)
    }

    fn reductions(&mut self, may_be_ordered: bool) -> Vec<Reduction> {
        let mut list = Vec::new();
        for _ in 0..1 + self.random.below(2) {
            let ty = self.scalar();
            let ops: &[ReduceOp] = match ty {
                Scalar::Bool => &[ReduceOp::And, ReduceOp::Or, ReduceOp::Xor, ReduceOp::Min],
                Scalar::F32 | Scalar::F64 if may_be_ordered => {
                    &[ReduceOp::Sum, ReduceOp::Prod, ReduceOp::Max]
                }
                Scalar::F32 | Scalar::F64 => &[ReduceOp::Min, ReduceOp::Max],
                _ => &[ReduceOp::Sum, ReduceOp::Prod, ReduceOp::Min, ReduceOp::Xor],
            };
            list.push(Reduction { op: self.random.of(ops), ty, name: "r".into() });
        }
        list
    }

    fn block(&mut self, scope: &mut Scope, depth: usize) {
        for _ in 0..2 + self.random.below(5) {
            if self.left == 0 {
                return;
            }
            match self.random.below(if depth < 4 { 16 } else { 9 }) {
                0 | 1 => self.load(scope),
                2 => self.store(scope),
                3 if depth < 2 || self.bins.is_some_and(|(array, _)| array.elem.is_int()) => self.bin(scope),
                4 if !scope.reductions.is_empty() => self.send(scope),
                9..=11 => self.branch(scope, depth),
                12 | 13 => self.for_loop(scope, depth),
                14 => self.while_loop(scope, depth),
                _ => self.arithmetic(scope),
            }
        }
    }
}

/// Elements and constants: small ones and extremes.
fn any_bits(random: &mut Random, scalar: Scalar) -> u64 {
    let word = (random.below(1 << 31) as u64) << 33 ^ (random.below(1 << 31) as u64) << 8;
    let small = random.below(9) as i64 - 4;
    let is_wild = random.below(4) == 0;
    let constant = match scalar {
        Scalar::Bool => Const::Bool(small & 1 != 0),
        Scalar::I32 => {
            Const::I32(if is_wild { random.of(&[i32::MIN, i32::MAX, word as i32]) } else { small as i32 })
        }
        Scalar::I64 => {
            Const::I64(if is_wild { random.of(&[i64::MIN, i64::MAX, word as i64]) } else { small })
        }
        Scalar::U32 => {
            Const::U32(if is_wild { random.of(&[u32::MAX, word as u32]) } else { small as u32 & 7 })
        }
        Scalar::U64 => Const::U64(if is_wild { random.of(&[u64::MAX, word]) } else { small as u64 & 7 }),
        Scalar::F32 => Const::F32(if is_wild {
            random.of(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 1e-42, f32::MAX])
        } else {
            small as f32 * 0.5
        }),
        Scalar::F64 => Const::F64(if is_wild {
            random.of(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 5e-324, f64::MAX])
        } else {
            small as f64 * 0.5
        }),
    };
    const_bits(constant)
}

fn program(seed: u64) -> Program {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5EED);
    random.below(2);
    let mut func = Func::new("main");
    let body = func.body;
    let rank = 1 + u8::from(random.below(5) == 0);
    let array = |func: &mut Func, random: &mut Random, rank: u8| {
        let elem = random.of(&TYPES);
        let value = func.add_param(body, Type::Array { elem, rank, layout: Layout::Contiguous }, None);
        Array { value, elem, rank }
    };
    let extents: Vec<Value> = (0..rank).map(|_| func.add_param(body, Type::I64, Some("n".into()))).collect();
    let outputs: Vec<Array> = (0..2).map(|_| array(&mut func, &mut random, rank)).collect();
    let inputs: Vec<Array> = [1, 1, 2].map(|rank| array(&mut func, &mut random, rank)).to_vec();
    let bins = array(&mut func, &mut random, 1);
    let mut scope = Scope::default();
    for scalar in TYPES {
        let param = func.add_param(body, Type::Scalar(scalar), None);
        scope.values[position(scalar)].push(param);
    }
    let small = func.add_param(body, Type::I64, None);
    scope.small.push(small);
    let mut maker = Maker {
        fails: random.below(3) == 0,
        random,
        func,
        region: body,
        left: 120,
        inputs,
        outputs,
        bins: None,
        ordinals: Vec::new(),
    };
    let mut arrays = Vec::new();
    if maker.random.below(3) == 0 && bins.elem != Scalar::Bool {
        // Float sums have an order, which widening may refuse.
        let op = maker.random.of(&[ReduceOp::Sum, ReduceOp::Max]);
        maker.bins = Some((bins, op));
        arrays.push((bins.value, op));
    }
    let reductions = maker.reductions(rank == 1);
    let totals: Vec<Type> = reductions.iter().map(|reduction| Type::Scalar(reduction.ty)).collect();
    let data = ForData {
        vectorize: true,
        reductions: reductions.clone(),
        arrays,
        ..ForData::plain(rank, Span::default())
    };
    let op = maker.func.push_op(body, OpCode::For(Box::new(data)), extents, &totals, Span::default());
    let region = maker.func.add_region();
    maker.func.ops[op.index()].regions.push(region);
    maker.ordinals = (0..rank).map(|_| maker.func.add_param(region, Type::I64, Some("i".into()))).collect();
    scope.values[position(Scalar::I64)].extend(&maker.ordinals);
    scope.loops.push(None);
    scope.reductions = reductions;
    maker.in_region(region, |maker| {
        for _ in 0..3 {
            maker.block(&mut scope, 0);
        }
        if !scope.reductions.is_empty() {
            maker.send(&mut scope);
        }
        maker.store(&mut scope);
        Terminator::Yield(Vec::new())
    });
    maker.func.results = totals;
    maker.func.regions[body.index()].end = Terminator::Return(maker.func.op(op).results.clone());
    Program { funcs: vec![maker.func], loops: Vec::new() }
}

fn arguments(random: &mut Random, program: &Program) -> Vec<Arg> {
    let func = &program.funcs[0];
    let params = func.params();
    let rank = params.iter().take_while(|&&param| func.ty(param) == Type::I64).count();
    let mut extents = vec![random.below(71) as i64];
    if rank == 2 {
        extents.insert(0, random.below(4) as i64);
    }
    let elements = |random: &mut Random, elem: Scalar, dims: Vec<i64>| {
        let count = dims.iter().product::<i64>();
        Arg::Array(ArrayData { elem, dims, data: (0..count).map(|_| any_bits(random, elem)).collect() })
    };
    let mut args: Vec<Arg> = extents.iter().map(|&extent| Arg::Scalar(Const::I64(extent))).collect();
    let last = extents[rank - 1];
    for (number, &param) in params[rank..].iter().enumerate() {
        args.push(match func.ty(param) {
            Type::Array { elem, rank: array_rank, .. } => {
                let dims = match number {
                    0 | 1 => extents.clone(),
                    // Every ordinal is an index, also three further on.
                    2 | 3 => vec![last.max(extents[0]) + 3],
                    4 => vec![1 + random.below(5) as i64, last.max(extents[0]) + 3],
                    _ => vec![1 + random.below(6) as i64],
                };
                assert_eq!(dims.len(), usize::from(array_rank));
                elements(random, elem, dims)
            }
            ty => Arg::Scalar(const_from_bits(any_bits(random, ty.scalar()), ty.scalar())),
        });
    }
    let small = args.len() - 1;
    args[small] = Arg::Scalar(Const::I64(random.below(6) as i64));
    args
}

/// `KILN_FUZZ=100000` runs more.
#[test]
fn random_loops_keep_results_and_errors_in_lanes() {
    let count = std::env::var("KILN_FUZZ").ok().and_then(|count| count.parse().ok()).unwrap_or(300u64);
    let first = std::env::var("KILN_FUZZ_FROM").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0u64);
    let options = EvalOptions { max_steps: 400_000, max_bytes: 1 << 20, ..EvalOptions::default() };
    let (mut widened, mut compared, mut failed) = (0, 0, 0);
    for seed in first..first + count {
        let before = program(seed);
        verify(&before).unwrap_or_else(|error| panic!("seed {seed}: {error}\n{}", print(&before)));
        let mut random = Random(seed);
        let calls: Vec<Vec<Arg>> = (0..3).map(|_| arguments(&mut random, &before)).collect();
        let expected: Vec<_> = calls.iter().map(|args| eval(&before, args.clone(), &options)).collect();
        for cap in [IsaCap::V128, IsaCap::Avx2, IsaCap::Avx512] {
            let mut after = before.clone();
            let mut report = Report::default();
            // As it is, and as the other passes leave it.
            if seed.is_multiple_of(2) {
                WIDEN.apply_for(&mut after, cap.shape(), &mut report);
            } else {
                let options = pipeline::Options { shape: cap.shape(), ..pipeline::Options::default() };
                pipeline::run(&mut after, &options, &mut report);
            }
            let text = || {
                format!(
                    "seed {seed} for {}\nbefore\n{}\nafter\n{}",
                    cap.name(),
                    print(&before),
                    print(&after)
                )
            };
            verify(&after).unwrap_or_else(|error| panic!("{error}\n{}", text()));
            let is_wide = |op: &crate::ir::Op| matches!(&op.code, OpCode::For(data) if data.lanes > 1);
            widened += usize::from(after.funcs.iter().any(|func| func.ops.iter().any(is_wide)));
            for (args, expected) in calls.iter().zip(&expected) {
                let found = eval(&after, args.clone(), &options);
                let is_stopped = |error: &EvalError| matches!(error, EvalError::Stopped | EvalError::Memory);
                if expected.as_ref().err().is_some_and(is_stopped)
                    || found.as_ref().err().is_some_and(is_stopped)
                {
                    continue;
                }
                compared += 1;
                failed += usize::from(expected.is_err());
                let same = is_same(expected, &found);
                // Behind a failed check arrays hold what iterations computed, which iterations is open: the oracle does not show them then.
                assert!(same, "{}\n{args:?}\n{expected:?}\nbecame\n{found:?}", text());
            }
        }
    }
    println!("{widened} programs widened, {compared} calls compared, {failed} of them with an error");
    assert!(widened > count as usize && compared > count as usize && failed > 0);
}
