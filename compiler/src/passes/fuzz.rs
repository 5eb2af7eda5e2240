//! Random programs, before and after the pipeline.
//!
//! In: a seed. Out: a program with loops, branches, swaps, calls, reductions and checks around every access. Holds: the oracle gives the same results and errors for
//! both, and never meets an access out of bounds, for sizes and scalars that include the extremes.

use super::tests::is_same;
use crate::ir::{
    Arg, ArrayData, CheckKind, CheckSite, EvalError, EvalOptions, ForData, Func, FuncId, OpCode, Program,
    Reduction, RegionId, SiteId, Terminator, Type, Value, eval, print, verify,
};
use crate::pipeline;
use crate::report::Report;
use kiln_abi::ReduceOp;
use kiln_lang::span::Span;
use kiln_lang::tree::Const;
use kiln_lang::types::{Layout, Scalar};

pub(super) struct Random(pub u64);

impl Random {
    pub(super) fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % n
    }

    pub(super) fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

/// Values in scope.
#[derive(Clone, Default)]
struct Scope {
    ints: Vec<Value>,
    floats: Vec<Value>,
    arrays: Vec<(Value, usize)>,
    /// Extents that are never negative.
    extents: Vec<Value>,
    /// Values that the enclosing plain loops carry: types as (ints, floats); innermost last. `None`: not to be left.
    loops: Vec<Option<(usize, usize)>>,
    /// Reductions of the innermost loop, if it is annotated and no other loop stands between.
    reductions: bool,
}

struct Maker {
    random: Random,
    func: Func,
    region: RegionId,
    ops_left: usize,
    has_helper: bool,
}

const FLOATS: Type = Type::Array { elem: Scalar::F64, rank: 1, layout: Layout::Contiguous };
const INTS: Type = Type::Array { elem: Scalar::I64, rank: 1, layout: Layout::Contiguous };
const MATRIX: Type = Type::Array { elem: Scalar::F64, rank: 2, layout: Layout::Contiguous };

impl Maker {
    fn op(&mut self, code: OpCode, args: &[Value], results: &[Type]) -> Vec<Value> {
        self.ops_left = self.ops_left.saturating_sub(1);
        let op = self.func.push_op(self.region, code, args.to_vec(), results, Span::default());
        self.func.op(op).results.clone()
    }

    fn value(&mut self, code: OpCode, args: &[Value], ty: Type) -> Value {
        self.op(code, args, &[ty])[0]
    }

    fn int(&mut self, value: i64) -> Value {
        self.value(OpCode::Const(Const::I64(value)), &[], Type::I64)
    }

    fn check(&mut self, kind: CheckKind, args: &[Value]) {
        let site = SiteId(self.func.sites.len() as u32);
        let span = Span { start: site.0, end: site.0, ..Span::default() };
        self.func.sites.push(CheckSite { kind, func: self.func.name.clone(), span, indices: Vec::new() });
        self.op(OpCode::Check(site), args, &[]);
    }

    fn dim(&mut self, array: Value, axis: usize) -> Value {
        self.value(OpCode::Dim { axis: axis as u8 }, &[array], Type::I64)
    }

    /// An index or size: mostly something near a loop's index.
    fn some_int(&mut self, scope: &mut Scope, depth: usize) -> Value {
        if depth == 0 || self.random.below(3) == 0 {
            return if self.random.below(4) == 0 {
                let few = self.random.of(&[0, 0, 1, 1, 2, 3]);
                let value = self.random.of(&[few, few, few, few, few, 4, -1, i64::MAX, i64::MIN]);
                self.int(value)
            } else {
                // Inner indices come last.
                let from = scope.ints.len().saturating_sub(4) * usize::from(self.random.below(2) == 0);
                let list = scope.ints[from..].to_vec();
                self.random.of(&list)
            };
        }
        let (a, b) = (self.some_int(scope, depth - 1), self.some_int(scope, depth - 1));
        let small = self.random.of(&[1, 1, 2, 3, 4, 8, -1, -2]);
        let c = self.int(small);
        let value = match self.random.below(11) {
            0 | 1 => self.value(OpCode::Add, &[a, b], Type::I64),
            2 => self.value(OpCode::Sub, &[a, b], Type::I64),
            3 => self.value(OpCode::Add, &[a, c], Type::I64),
            4 => self.value(OpCode::Sub, &[a, c], Type::I64),
            5 => self.value(OpCode::Mul, &[a, b], Type::I64),
            6 => self.value(OpCode::Min, &[a, b], Type::I64),
            7 => self.value(OpCode::Max, &[a, b], Type::I64),
            8 => self.value(OpCode::FloorDiv, &[a, c], Type::I64),
            9 => self.value(OpCode::Rem, &[a, c], Type::I64),
            _ => {
                self.check(CheckKind::NonZero { op: "%" }, &[b]);
                self.value(OpCode::Rem, &[a, b], Type::I64)
            }
        };
        scope.ints.push(value);
        value
    }

    fn some_bool(&mut self, scope: &mut Scope) -> Value {
        let (a, b) = (self.some_int(scope, 1), self.some_int(scope, 1));
        let code = [OpCode::Lt, OpCode::Le, OpCode::Gt, OpCode::Ge, OpCode::Eq, OpCode::Ne]
            [self.random.below(6)]
        .clone();
        let first = self.value(code, &[a, b], Type::BOOL);
        match self.random.below(4) {
            0 => {
                let other = self.value(OpCode::Lt, &[b, a], Type::BOOL);
                let code = [OpCode::And, OpCode::Or][self.random.below(2)].clone();
                self.value(code, &[first, other], Type::BOOL)
            }
            1 => self.value(OpCode::Not, &[first], Type::BOOL),
            _ => first,
        }
    }

    fn element(&mut self, scope: &mut Scope) -> (Value, Vec<Value>) {
        let list = scope.arrays.clone();
        let (array, rank) = self.random.of(&list);
        let mut args = vec![array];
        for axis in 0..rank {
            let index = self.some_int(scope, 1);
            args.push(index);
            let size = self.dim(array, axis);
            self.check(CheckKind::Bounds { array: "a".into(), axis: axis as u8 }, &[index, size]);
        }
        (array, args)
    }

    /// A store that a condition keeps in bounds; the checks stand inside.
    fn guarded_store(&mut self, scope: &mut Scope) {
        let list = scope.arrays.clone();
        let (array, rank) = self.random.of(&list);
        let zero = self.int(0);
        let mut args = vec![array];
        let mut sizes = Vec::new();
        let mut holds: Option<Value> = None;
        for axis in 0..rank {
            let index = self.some_int(scope, 1);
            args.push(index);
            sizes.push(self.dim(array, axis));
            let above = self.value(OpCode::Ge, &[index, zero], Type::BOOL);
            let below = self.value(OpCode::Lt, &[index, sizes[axis]], Type::BOOL);
            for part in [above, below] {
                holds = Some(match holds {
                    None => part,
                    Some(holds) => self.value(OpCode::And, &[holds, part], Type::BOOL),
                });
            }
        }
        let is_int = self.func.ty(array).scalar() == Scalar::I64;
        let list = if is_int { scope.ints.clone() } else { scope.floats.clone() };
        args.push(self.random.of(&list));
        let holds = holds.expect("a rank");
        let op = self.func.push_op(self.region, OpCode::If, vec![holds], &[], Span::default());
        for number in 0..2 {
            let region = self.func.add_region();
            self.func.ops[op.index()].regions.push(region);
            let (args, sizes) = (&args, &sizes);
            self.in_region(region, |maker| {
                if number == 0 {
                    for (axis, &size) in sizes.iter().enumerate() {
                        let kind = CheckKind::Bounds { array: "a".into(), axis: axis as u8 };
                        maker.check(kind, &[args[1 + axis], size]);
                    }
                    maker.op(OpCode::Store, args, &[]);
                }
                Terminator::Yield(Vec::new())
            });
        }
    }

    fn load(&mut self, scope: &mut Scope) {
        let (array, args) = self.element(scope);
        let scalar = self.func.ty(array).scalar();
        let value = self.value(OpCode::Load, &args, Type::Scalar(scalar));
        if scalar == Scalar::I64 { scope.ints.push(value) } else { scope.floats.push(value) }
    }

    fn store(&mut self, scope: &mut Scope) {
        let (array, mut args) = self.element(scope);
        let list = if self.func.ty(array).scalar() == Scalar::I64 { &scope.ints } else { &scope.floats };
        args.push(list[self.random.below(list.len())]);
        let code = if self.random.below(3) == 0 { OpCode::Update(ReduceOp::Sum) } else { OpCode::Store };
        self.op(code, &args, &[]);
    }

    fn float(&mut self, scope: &mut Scope) {
        let list = scope.floats.clone();
        let (a, b) = (self.random.of(&list), self.random.of(&list));
        let code = [OpCode::Add, OpCode::Sub, OpCode::Mul, OpCode::Div, OpCode::Min, OpCode::Max]
            [self.random.below(6)]
        .clone();
        let value = self.value(code, &[a, b], Type::F64);
        scope.floats.push(value);
    }

    fn in_region(&mut self, region: RegionId, inside: impl FnOnce(&mut Maker) -> Terminator) {
        let outer = std::mem::replace(&mut self.region, region);
        let end = inside(self);
        self.func.regions[region.index()].end = end;
        self.region = outer;
    }

    /// An `if` with an int and a float, whose branches may leave a loop.
    fn branch(&mut self, scope: &mut Scope, depth: usize) {
        let cond = self.some_bool(scope);
        let results = self.op(OpCode::If, &[cond], &[Type::I64, Type::F64]);
        let op = self.func.def_op(results[0]).expect("an op");
        for number in 0..2 {
            let region = self.func.add_region();
            self.func.ops[op.index()].regions.push(region);
            let mut inner = scope.clone();
            self.in_region(region, |maker| {
                maker.block(&mut inner, depth + 1);
                let around = inner.loops.last().copied().flatten();
                match around {
                    Some((ints, floats)) if number == 1 && maker.random.below(3) == 0 => {
                        let values = maker.carried(&inner, ints, floats);
                        match maker.random.below(2) {
                            0 => Terminator::Break(0, values),
                            _ => Terminator::Continue(0, values),
                        }
                    }
                    _ => {
                        let list = inner.ints.clone();
                        let int = maker.random.of(&list);
                        let list = inner.floats.clone();
                        Terminator::Yield(vec![int, maker.random.of(&list)])
                    }
                }
            });
        }
        scope.ints.push(results[0]);
        scope.floats.push(results[1]);
    }

    fn carried(&mut self, scope: &Scope, ints: usize, floats: usize) -> Vec<Value> {
        let mut values = Vec::new();
        (0..ints).for_each(|_| values.push(self.random.of(&scope.ints)));
        (0..floats).for_each(|_| values.push(self.random.of(&scope.floats)));
        values
    }

    /// max(hi, lo) - lo, or something that is not negative already.
    fn extent(&mut self, scope: &mut Scope) -> (Value, Option<Value>) {
        if self.random.below(2) == 0 {
            let list = scope.extents.clone();
            return (self.random.of(&list), None);
        }
        let (lo, hi) = (self.some_int(scope, 1), self.some_int(scope, 1));
        let top = self.value(OpCode::Max, &[hi, lo], Type::I64);
        let mut distance = self.value(OpCode::Sub, &[top, lo], Type::I64);
        if self.random.below(3) == 0 {
            let (one, two) = (self.int(1), self.int(2));
            distance = self.value(OpCode::Sub, &[distance, one], Type::I64);
            distance = self.value(OpCode::FloorDiv, &[distance, two], Type::I64);
            distance = self.value(OpCode::Add, &[distance, one], Type::I64);
        }
        // What wrapped is not a legal extent.
        let zero = self.int(0);
        let extent = self.value(OpCode::Max, &[distance, zero], Type::I64);
        (extent, Some(lo))
    }

    fn for_loop(&mut self, scope: &mut Scope, depth: usize) {
        let (extent, lo) = self.extent(scope);
        let is_annotated = self.random.below(3) == 0;
        let (ints, floats) = if is_annotated { (0, 0) } else { (self.random.below(3), self.random.below(2)) };
        let swaps = !is_annotated && self.random.below(3) == 0;
        let mut args = vec![extent];
        args.extend(self.carried(scope, ints, floats));
        let mut types = vec![Type::I64; ints];
        types.extend(vec![Type::F64; floats]);
        // The first two arrays of the scope are of one type.
        let arrays: Vec<(Value, usize)> = if swaps { scope.arrays[..2].to_vec() } else { Vec::new() };
        args.extend(arrays.iter().map(|(array, _)| array));
        types.extend(arrays.iter().map(|_| FLOATS));
        let mut results = types.clone();
        let mut reductions = Vec::new();
        if is_annotated {
            reductions.push(Reduction { op: ReduceOp::Sum, ty: Scalar::I64, name: "s".into() });
            results.push(Type::I64);
        }
        let span = Span { start: self.func.ops.len() as u32, ..Span::default() };
        let data = ForData { parallel: is_annotated, reductions, ..ForData::plain(1, span) };
        let op = self.func.push_op(self.region, OpCode::For(Box::new(data)), args, &results, Span::default());
        let body = self.func.add_region();
        self.func.ops[op.index()].regions.push(body);
        let mut inner = scope.clone();
        let ordinal = self.func.add_param(body, Type::I64, None);
        inner.ints.push(ordinal);
        inner.extents.push(ordinal);
        let params: Vec<Value> = types.iter().map(|&ty| self.func.add_param(body, ty, None)).collect();
        inner.ints.extend(&params[..ints]);
        inner.floats.extend(&params[ints..ints + floats]);
        if swaps {
            inner.arrays[0].0 = params[ints + floats];
            inner.arrays[1].0 = params[ints + floats + 1];
        }
        inner.loops.push(if is_annotated || swaps { None } else { Some((ints, floats)) });
        inner.reductions = is_annotated;
        self.in_region(body, |maker| {
            if let Some(lo) = lo {
                let index = maker.value(OpCode::Add, &[lo, ordinal], Type::I64);
                inner.ints.push(index);
            }
            maker.block(&mut inner, depth + 1);
            let mut values = Vec::new();
            for &param in &params[..ints] {
                // Counters are worth more than anything.
                let by = maker.random.below(4) as i64;
                let by = maker.int(by - 1);
                let list = inner.ints.clone();
                let from = if maker.random.below(2) == 0 { param } else { maker.random.of(&list) };
                values.push(maker.value(OpCode::Add, &[from, by], Type::I64));
            }
            (0..floats).for_each(|_| values.push(maker.random.of(&inner.floats)));
            if swaps {
                let swapped = if maker.random.below(3) > 0 { [1, 0] } else { [0, 1] };
                values.extend(swapped.map(|number| params[ints + floats + number]));
            }
            Terminator::Yield(values)
        });
        let results = self.func.op(op).results.clone();
        scope.ints.extend(&results[..ints]);
        scope.floats.extend(&results[ints..ints + floats]);
        if swaps {
            scope.arrays[0].0 = results[ints + floats];
            scope.arrays[1].0 = results[ints + floats + 1];
        }
        if is_annotated {
            scope.ints.push(results[0]);
        }
    }

    /// A `while` that counts from somewhere to somewhere.
    fn while_loop(&mut self, scope: &mut Scope, depth: usize) {
        let (first, bound) = (self.some_int(scope, 1), self.some_int(scope, 1));
        let results = self.op(OpCode::While, &[first], &[Type::I64]);
        let op = self.func.def_op(results[0]).expect("an op");
        let (head, body) = (self.func.add_region(), self.func.add_region());
        self.func.ops[op.index()].regions = vec![head, body];
        let at = self.func.add_param(head, Type::I64, None);
        let step = self.random.of(&[1, 1, 2, -1]);
        self.in_region(head, |maker| {
            let code = if step > 0 { OpCode::Lt } else { OpCode::Gt };
            let goes_on = maker.value(code, &[at, bound], Type::BOOL);
            Terminator::Yield(vec![goes_on, at])
        });
        let index = self.func.add_param(body, Type::I64, None);
        let mut inner = scope.clone();
        inner.ints.push(index);
        inner.loops.push(None);
        inner.reductions = false;
        self.in_region(body, |maker| {
            maker.block(&mut inner, depth + 1);
            let by = maker.int(step);
            let next = maker.value(OpCode::Add, &[index, by], Type::I64);
            Terminator::Yield(vec![next])
        });
        scope.ints.push(results[0]);
    }

    fn local_array(&mut self, scope: &mut Scope, depth: usize) {
        let list = scope.extents.clone();
        let size = self.random.of(&list);
        self.check(CheckKind::Size, &[size]);
        let array = self.value(OpCode::Alloc, &[size], FLOATS);
        let mut inner = scope.clone();
        inner.arrays.push((array, 1));
        // It dies with the block; nothing may leave in between.
        inner.loops.iter_mut().for_each(|around| *around = None);
        self.block(&mut inner, depth + 1);
        self.op(OpCode::Free, &[array], &[]);
    }

    fn block(&mut self, scope: &mut Scope, depth: usize) {
        for _ in 0..1 + self.random.below(4) {
            if self.ops_left == 0 {
                return;
            }
            match self.random.below(if depth < 4 { 12 } else { 6 }) {
                0 => self.load(scope),
                1 => self.store(scope),
                2 | 3 => self.guarded_store(scope),
                4 => self.float(scope),
                5 if scope.reductions => {
                    let term = self.some_int(scope, 1);
                    self.op(OpCode::Send { reduction: 0 }, &[term], &[]);
                }
                5 if self.has_helper => {
                    let (a, b) = (self.some_int(scope, 1), self.some_int(scope, 1));
                    let value = self.value(OpCode::Call(FuncId(1)), &[scope.arrays[0].0, a, b], Type::I64);
                    scope.ints.push(value);
                }
                5 => drop(self.some_int(scope, 2)),
                6 | 7 => self.branch(scope, depth),
                8 | 9 => self.for_loop(scope, depth),
                10 => self.while_loop(scope, depth),
                _ => self.local_array(scope, depth),
            }
        }
    }
}

/// A function with checks and an early return.
fn helper() -> Func {
    let text = "func @helper(%x: [f64; 1], %a: i64, %b: i64) -> i64 {
  %zero = const 0 : i64
  %n = dim 0 %x : i64
  %low = lt %a, %zero : bool
  if %low {
    return %b
  } else {
    yield
  }
  for %n { ^(%i: i64):
    %e = load %x, %i : f64
    %f = convert %e : i64
    %hit = gt %f, %b : bool
    if %hit {
      return %i
    } else {
      yield
    }
    yield
  }
  check bounds %a, %n axis 0 array \"x\" func \"helper\" at 1..2
  return %a
}";
    crate::ir::parse(text).expect("the helper").funcs.swap_remove(0)
}

fn program(seed: u64) -> Program {
    let mut func = Func::new("main");
    func.results = vec![Type::I64, Type::F64];
    let body = func.body;
    let mut scope = Scope::default();
    for (ty, rank) in [(FLOATS, 1), (FLOATS, 1), (INTS, 1), (MATRIX, 2)] {
        let array = func.add_param(body, ty, None);
        scope.arrays.push((array, rank));
    }
    scope.ints = (0..2).map(|_| func.add_param(body, Type::I64, None)).collect();
    scope.floats = vec![func.add_param(body, Type::F64, None)];
    let random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x1234_5678);
    let mut maker = Maker { random, func, region: body, ops_left: 150, has_helper: seed.is_multiple_of(3) };
    maker.random.below(2);
    let mut sizes = Vec::new();
    for (array, rank) in scope.arrays.clone() {
        (0..rank).for_each(|axis| sizes.push(maker.dim(array, axis)));
    }
    if maker.random.below(2) == 0 {
        let kind = CheckKind::SameSize { found: "y".into(), wanted: "x".into() };
        maker.check(kind, &[sizes[1], sizes[0]]);
    }
    if maker.random.below(3) == 0 {
        let kind = CheckKind::SameSize { found: "n".into(), wanted: "x".into() };
        maker.check(kind, &[sizes[0], scope.ints[0]]);
    }
    scope.extents = sizes.clone();
    scope.ints.extend(&sizes);
    let mut left = 6;
    while left > 0 && maker.ops_left > 0 {
        maker.block(&mut scope, 0);
        left -= 1;
    }
    let results = vec![scope.ints[scope.ints.len() - 1], scope.floats[scope.floats.len() - 1]];
    maker.func.regions[body.index()].end = Terminator::Return(results);
    let mut funcs = vec![maker.func];
    if maker.has_helper {
        funcs.push(helper());
    }
    Program { funcs, loops: Vec::new() }
}

fn arguments(random: &mut Random) -> Vec<Arg> {
    let size = |random: &mut Random| random.of(&[0, 1, 2, 3, 5]);
    let mut same = size(random);
    let mut floats = |random: &mut Random| {
        if random.below(3) == 0 {
            same = size(random);
        }
        let elements: Vec<f64> = (0..same).map(|_| random.below(9) as f64 - 3.0).collect();
        Arg::Array(ArrayData::f64s(&[same], &elements))
    };
    let (x, y) = (floats(random), floats(random));
    let count = size(random);
    let p: Vec<i64> = (0..count).map(|_| random.below(6) as i64 - 1).collect();
    let (rows, columns) = (size(random), size(random));
    let a: Vec<f64> = (0..rows * columns).map(|_| random.below(9) as f64 - 3.0).collect();
    let extremes = [0, 1, 2, 3, 5, 2, 3, 5, -1, -2, i64::MAX, i64::MIN, 1 << 32, 1 << 62, (1 << 31) + 1];
    let (n, k) = (random.of(&extremes), random.of(&extremes));
    let Arg::Array(first) = &x else { return Vec::new() };
    let n = if random.below(3) == 0 { first.dims[0] } else { n };
    vec![
        x,
        y,
        Arg::Array(ArrayData::i64s(&[count], &p)),
        Arg::Array(ArrayData::f64s(&[rows, columns], &a)),
        Arg::Scalar(Const::I64(n)),
        Arg::Scalar(Const::I64(k)),
        Arg::Scalar(Const::F64(1.5)),
    ]
}

/// `KILN_FUZZ=100000` runs more.
#[test]
fn random_programs_keep_results_and_errors() {
    let count = std::env::var("KILN_FUZZ").ok().and_then(|count| count.parse().ok()).unwrap_or(300u64);
    let first = std::env::var("KILN_FUZZ_FROM").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0u64);
    let options = EvalOptions { max_steps: 60_000, max_bytes: 1 << 20, ..EvalOptions::default() };
    let (mut compared, mut deleted, mut hoisted, mut returned) = (0, 0, 0, 0);
    for seed in first..first + count {
        let before = program(seed);
        verify(&before).unwrap_or_else(|error| panic!("seed {seed}: {error}\n{}", print(&before)));
        let mut after = before.clone();
        let mut report = Report::default();
        pipeline::run(&mut after, &pipeline::Options::default(), &mut report);
        for row in &report.loops {
            deleted += row.checks.deleted;
            hoisted += row.checks.hoisted;
        }
        let mut random = Random(seed);
        for _ in 0..6 {
            let args = arguments(&mut random);
            let (a, b) = (eval(&before, args.clone(), &options), eval(&after, args.clone(), &options));
            let is_stopped = |error: &EvalError| matches!(error, EvalError::Stopped | EvalError::Memory);
            if a.as_ref().err().is_some_and(is_stopped) || b.as_ref().err().is_some_and(is_stopped) {
                continue;
            }
            compared += 1;
            returned += usize::from(a.is_ok());
            assert!(
                is_same(&a, &b),
                "seed {seed}, {args:?}\n{a:?}\nbecame\n{b:?}\nbefore\n{}\nafter\n{}",
                print(&before),
                print(&after)
            );
        }
    }
    println!("{compared} calls compared, {returned} returned, {deleted} checks deleted, {hoisted} hoisted");
    assert!(compared > count as usize && deleted > 0 && hoisted > 0 && returned > count as usize / 4);
}
