//! The solver against enumeration: random small loop nests, every iteration tried.

use super::check_loops;
use crate::ir::{CheckKind, ForData, Func, OpCode, Program, RegionId, Terminator, Type, Value};
use kiln_lang::span::Span;
use kiln_lang::tree::Const;
use kiln_lang::types::{Layout, Scalar};

mod random {
    use super::*;
    use std::collections::HashMap;

    /// An index expression; variables are loop indices, outer first.
    #[derive(Clone)]
    enum Expr {
        Const(i64),
        Index(usize),
        Binary(OpCode, Box<Expr>, Box<Expr>),
    }

    impl std::fmt::Debug for Expr {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            match self {
                Expr::Const(value) => write!(f, "{value}"),
                Expr::Index(index) => write!(f, "{}", ["i", "j", "k"][*index]),
                Expr::Binary(code, a, b) => write!(f, "({a:?} {code:?} {b:?})"),
            }
        }
    }

    #[derive(Clone, Debug)]
    struct Loop {
        lo: Expr,
        hi: Expr,
        step: i64,
    }

    /// One access under its own inner loops and condition.
    #[derive(Clone, Debug)]
    struct Site {
        inner: Vec<Loop>,
        condition: Option<(OpCode, Expr, Expr)>,
        /// The access stands behind `if condition { continue }`.
        by_continue: bool,
        indices: Vec<Expr>,
        writes: bool,
    }

    #[derive(Clone, Debug)]
    struct Nest {
        /// Bounds of the annotated loop's indices.
        home: Vec<(i64, i64, i64)>,
        sites: Vec<Site>,
    }

    struct Dice(u64);

    impl Dice {
        fn below(&mut self, n: u64) -> u64 {
            // splitmix64
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (z ^ (z >> 31)) % n
        }

        fn between(&mut self, lo: i64, hi: i64) -> i64 {
            lo + self.below((hi - lo + 1) as u64) as i64
        }

        fn affine(&mut self, variables: usize) -> Expr {
            let mut sum = Expr::Const(self.between(-2, 4));
            for index in 0..variables {
                let factor = [0, 0, 1, 1, 1, -1, 2, 3, -2, 4][self.below(10) as usize];
                if factor == 0 {
                    continue;
                }
                let term = Expr::Binary(OpCode::Mul, Expr::Index(index).into(), Expr::Const(factor).into());
                sum = Expr::Binary(OpCode::Add, sum.into(), term.into());
            }
            sum
        }

        fn expr(&mut self, variables: usize) -> Expr {
            let affine = self.affine(variables);
            match self.below(12) {
                0 | 1 => Expr::Binary(
                    OpCode::Rem,
                    affine.into(),
                    Expr::Const([2, 3, 4, -3][self.below(4) as usize]).into(),
                ),
                2 => Expr::Binary(
                    OpCode::FloorDiv,
                    affine.into(),
                    Expr::Const([2, 3, -2][self.below(3) as usize]).into(),
                ),
                3 => Expr::Binary(OpCode::Min, affine.into(), self.affine(variables).into()),
                4 => Expr::Binary(OpCode::Max, affine.into(), self.affine(variables).into()),
                5 => {
                    let rest =
                        Expr::Binary(OpCode::Rem, affine.into(), Expr::Const(self.between(2, 4)).into());
                    Expr::Binary(OpCode::Add, rest.into(), self.affine(variables).into())
                }
                _ => affine,
            }
        }

        fn nest(&mut self) -> Nest {
            let home: Vec<_> = (0..1 + self.below(4) / 3)
                .map(|_| {
                    let lo = self.between(-1, 2);
                    let step = [1, 1, 1, 2, 3, -1, -2][self.below(7) as usize];
                    let length = self.between(1, 6);
                    (lo, lo + length * step - i64::from(step > 1), step)
                })
                .collect();
            let rank = 1 + (self.below(3) / 2) as usize;
            let count = 1 + self.below(2);
            let sites = (0..count)
                .map(|at| {
                    let mut variables = home.len();
                    let mut inner = Vec::new();
                    for _ in 0..self.below(3) {
                        if variables == 3 {
                            break;
                        }
                        let bound = |dice: &mut Dice| match dice.below(3) {
                            0 => dice.affine(variables),
                            _ => Expr::Const(dice.between(-1, 5)),
                        };
                        inner.push(Loop {
                            lo: bound(self),
                            hi: bound(self),
                            step: [1, 1, 2, -1][self.below(4) as usize],
                        });
                        variables += 1;
                    }
                    let compare = [OpCode::Eq, OpCode::Ne, OpCode::Lt, OpCode::Le, OpCode::Gt, OpCode::Ge];
                    let condition = (self.below(3) == 0).then(|| {
                        let code = compare[self.below(6) as usize].clone();
                        (code, self.expr(variables), self.expr(variables))
                    });
                    let indices = (0..rank).map(|_| self.expr(variables)).collect();
                    let by_continue = inner.is_empty() && at + 1 == count && self.below(2) == 0;
                    Site { inner, condition, by_continue, indices, writes: at == 0 || self.below(2) == 0 }
                })
                .collect();
            Nest { home, sites }
        }
    }

    fn floor_div(a: i64, b: i64) -> i64 {
        let quotient = a / b;
        if a % b != 0 && (a < 0) != (b < 0) { quotient - 1 } else { quotient }
    }

    fn eval(expr: &Expr, indices: &[i64]) -> i64 {
        match expr {
            Expr::Const(value) => *value,
            Expr::Index(index) => indices[*index],
            Expr::Binary(code, a, b) => {
                let (a, b) = (eval(a, indices), eval(b, indices));
                match code {
                    OpCode::Add => a + b,
                    OpCode::Mul => a * b,
                    OpCode::Min => a.min(b),
                    OpCode::Max => a.max(b),
                    OpCode::FloorDiv => floor_div(a, b),
                    OpCode::Rem => a - b * floor_div(a, b),
                    other => panic!("not an index operator: {other:?}"),
                }
            }
        }
    }

    fn range(lo: i64, hi: i64, step: i64) -> Vec<i64> {
        let mut values = Vec::new();
        let mut at = lo;
        while (step > 0 && at < hi) || (step < 0 && at > hi) {
            values.push(at);
            at += step;
        }
        values
    }

    fn enumerate(loops: &[Loop], indices: &mut Vec<i64>, visit: &mut dyn FnMut(&[i64])) {
        let Some((first, rest)) = loops.split_first() else { return visit(indices) };
        for value in range(eval(&first.lo, indices), eval(&first.hi, indices), first.step) {
            indices.push(value);
            enumerate(rest, indices, visit);
            indices.pop();
        }
    }

    fn holds(condition: &(OpCode, Expr, Expr), indices: &[i64]) -> bool {
        let (a, b) = (eval(&condition.1, indices), eval(&condition.2, indices));
        match condition.0 {
            OpCode::Eq => a == b,
            OpCode::Ne => a != b,
            OpCode::Lt => a < b,
            OpCode::Le => a <= b,
            OpCode::Gt => a > b,
            _ => a >= b,
        }
    }

    /// Do two iterations touch one element, one of them writing?
    fn collides(nest: &Nest) -> bool {
        let home: Vec<Loop> = nest
            .home
            .iter()
            .map(|&(lo, hi, step)| Loop { lo: Expr::Const(lo), hi: Expr::Const(hi), step })
            .collect();
        // element: iterations that write, iterations that touch
        let mut touched: HashMap<Vec<i64>, (Iterations, Iterations)> = HashMap::new();
        enumerate(&home, &mut Vec::new(), &mut |iteration| {
            for site in &nest.sites {
                enumerate(&site.inner, &mut iteration.to_vec(), &mut |indices| {
                    if site.condition.as_ref().is_some_and(|condition| !holds(condition, indices)) {
                        return;
                    }
                    let element: Vec<i64> = site.indices.iter().map(|index| eval(index, indices)).collect();
                    // the bounds check stops what is negative
                    if element.iter().any(|&index| index < 0) {
                        return;
                    }
                    let entry = touched.entry(element).or_default();
                    if site.writes {
                        entry.0.push(iteration.to_vec());
                    }
                    entry.1.push(iteration.to_vec());
                });
            }
        });
        touched
            .values()
            .any(|(writes, all)| writes.iter().any(|write| all.iter().any(|other| other != write)))
    }

    struct Build {
        func: Func,
        array: Value,
    }

    impl Build {
        fn op(&mut self, region: RegionId, code: OpCode, args: Vec<Value>, ty: Type) -> Value {
            let op = self.func.push_op(region, code, args, &[ty], Span::default());
            self.func.op(op).results[0]
        }

        fn int(&mut self, region: RegionId, value: i64) -> Value {
            self.op(region, OpCode::Const(Const::I64(value)), vec![], Type::I64)
        }

        fn expr(&mut self, region: RegionId, expr: &Expr, indices: &[Value]) -> Value {
            match expr {
                Expr::Const(value) => self.int(region, *value),
                Expr::Index(index) => indices[*index],
                Expr::Binary(code, a, b) => {
                    let args = vec![self.expr(region, a, indices), self.expr(region, b, indices)];
                    self.op(region, code.clone(), args, Type::I64)
                }
            }
        }

        /// As lowering does: d = max(hi, lo) - lo, then (d - 1) // step + 1.
        fn extent(&mut self, region: RegionId, lo: Value, hi: Value, step: i64) -> Value {
            let (low, high) = if step > 0 {
                (lo, self.op(region, OpCode::Max, vec![hi, lo], Type::I64))
            } else {
                (self.op(region, OpCode::Min, vec![hi, lo], Type::I64), lo)
            };
            let distance = self.op(region, OpCode::Sub, vec![high, low], Type::I64);
            if step.abs() == 1 {
                return distance;
            }
            let one = self.int(region, 1);
            let step = self.int(region, step.abs());
            let before = self.op(region, OpCode::Sub, vec![distance, one], Type::I64);
            let steps = self.op(region, OpCode::FloorDiv, vec![before, step], Type::I64);
            self.op(region, OpCode::Add, vec![steps, one], Type::I64)
        }

        fn for_op(
            &mut self,
            region: RegionId,
            extents: Vec<Value>,
            parallel: bool,
        ) -> (RegionId, Vec<Value>) {
            let data = ForData { parallel, ..ForData::plain(extents.len() as u8, Span::default()) };
            let rank = extents.len();
            let op = self.func.push_op(region, OpCode::For(Box::new(data)), extents, &[], Span::default());
            let body = self.func.add_region();
            self.func.ops[op.index()].regions.push(body);
            let ordinals = (0..rank).map(|_| self.func.add_param(body, Type::I64, None)).collect();
            (body, ordinals)
        }

        fn index(&mut self, body: RegionId, lo: Value, ordinal: Value, step: i64) -> Value {
            let step = self.int(body, step);
            let far = self.op(body, OpCode::Mul, vec![ordinal, step], Type::I64);
            self.op(body, OpCode::Add, vec![lo, far], Type::I64)
        }

        fn site(&mut self, region: RegionId, site: &Site, loops: &[Loop], indices: &mut Vec<Value>) {
            if let Some((first, rest)) = loops.split_first() {
                let lo = self.expr(region, &first.lo, indices);
                let hi = self.expr(region, &first.hi, indices);
                let extent = self.extent(region, lo, hi, first.step);
                let (body, ordinals) = self.for_op(region, vec![extent], false);
                let index = self.index(body, lo, ordinals[0], first.step);
                indices.push(index);
                self.site(body, site, rest, indices);
                indices.pop();
                self.func.regions[body.index()].end = Terminator::Yield(vec![]);
                return;
            }
            let Some((code, a, b)) = &site.condition else { return self.access(region, site, indices) };
            let args = vec![self.expr(region, a, indices), self.expr(region, b, indices)];
            let condition = self.op(region, code.clone(), args, Type::BOOL);
            let op = self.func.push_op(region, OpCode::If, vec![condition], &[], Span::default());
            let arms = [self.func.add_region(), self.func.add_region()];
            for arm in arms {
                self.func.ops[op.index()].regions.push(arm);
                self.func.regions[arm.index()].end = Terminator::Yield(vec![]);
            }
            if site.by_continue {
                self.func.regions[arms[1].index()].end = Terminator::Continue(0, vec![]);
                self.access(region, site, indices);
            } else {
                self.access(arms[0], site, indices);
            }
        }

        fn access(&mut self, region: RegionId, site: &Site, indices: &[Value]) {
            let mut args = vec![self.array];
            for index in &site.indices {
                args.push(self.expr(region, index, indices));
            }
            if site.writes {
                let value = self.op(region, OpCode::Const(Const::F64(1.0)), vec![], Type::F64);
                args.push(value);
                self.func.push_op(region, OpCode::Store, args, &[], Span::default());
            } else {
                self.op(region, OpCode::Load, args, Type::F64);
            }
        }
    }

    fn build(nest: &Nest) -> Program {
        let mut func = Func::new("f");
        let body = func.body;
        let rank = nest.sites[0].indices.len() as u8;
        let ty = Type::Array { elem: Scalar::F64, rank, layout: Layout::Contiguous };
        let array = func.add_param(body, ty, Some("y".into()));
        let mut build = Build { func, array };
        let mut los = Vec::new();
        let mut extents = Vec::new();
        for &(lo, hi, step) in &nest.home {
            let (lo, hi) = (build.int(body, lo), build.int(body, hi));
            extents.push(build.extent(body, lo, hi, step));
            los.push(lo);
        }
        let (inside, ordinals) = build.for_op(body, extents, true);
        let mut indices: Vec<Value> = (0..los.len())
            .map(|axis| build.index(inside, los[axis], ordinals[axis], nest.home[axis].2))
            .collect();
        for site in &nest.sites {
            build.site(inside, site, &site.inner, &mut indices);
        }
        build.func.regions[inside.index()].end = Terminator::Yield(vec![]);
        build.func.regions[body.index()].end = Terminator::Return(vec![]);
        Program { funcs: vec![build.func], loops: vec![] }
    }

    /// Constant bounds are decided exactly: an error if and only if two iterations collide, and then two that do are shown.
    #[test]
    fn solver_agrees_with_enumeration() {
        let mut dice = Dice(7);
        let (mut racy, mut safe) = (0, 0);
        for round in 0..4000 {
            let nest = dice.nest();
            let mut program = build(&nest);
            crate::ir::verify(&program).expect("the nest is valid IR");
            let diagnostics = check_loops(&mut program);
            let collides = collides(&nest);
            assert_eq!(!diagnostics.is_empty(), collides, "round {round}: {nest:?}\n{diagnostics:?}");
            for diagnostic in &diagnostics {
                assert!(
                    diagnostic.title.starts_with("iteration"),
                    "round {round}: {nest:?}\n{diagnostics:?}"
                );
            }
            if collides { racy += 1 } else { safe += 1 }
        }
        assert!(racy > 500 && safe > 500, "{racy} racy, {safe} safe");
    }
}

/// The program of the first function in the text, called with the types it declares.
fn lowered(text: &str) -> Program {
    use kiln_lang::ast::{Item, TypeExprKind};
    use kiln_lang::types::Type;
    let source = kiln_lang::span::SourceId::default();
    let (module, mistakes) = kiln_lang::parse(source, text);
    assert!(mistakes.is_empty(), "{mistakes:?}\n{text}");
    let Some(Item::Func(first)) = module.items.first() else { panic!("no function in\n{text}") };
    let name = first.name.text.clone();
    let types: Vec<Type> = first
        .params
        .iter()
        .map(|param| match &param.ty.as_ref().expect("a type").kind {
            TypeExprKind::Name(name) => Type::Scalar(Scalar::from_name(name).expect("a scalar")),
            TypeExprKind::Array { elem, dims } => match &elem.kind {
                TypeExprKind::Name(name) => {
                    Type::array(Scalar::from_name(name).expect("a scalar"), dims.len())
                }
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        })
        .collect();
    let checked = kiln_lang::resolve(module, source).unwrap_or_else(|found| panic!("{found:?}\n{text}"));
    let tree = kiln_lang::infer(&checked, &name, &types).unwrap_or_else(|found| panic!("{found:?}\n{text}"));
    crate::lower::lower(&tree).unwrap_or_else(|found| panic!("{found:?}\n{text}"))
}

/// What becomes of a function: errors, entry conditions and array reductions, a line each.
fn report(text: &str) -> String {
    let mut program = lowered(text);
    crate::ir::verify(&program).unwrap_or_else(|broken| panic!("{broken}\n{program}"));
    let diagnostics = check_loops(&mut program);
    crate::ir::verify(&program).unwrap_or_else(|broken| panic!("{broken}\n{program}"));
    let mut lines: Vec<String> = diagnostics.iter().map(|found| format!("error: {}", found.title)).collect();
    for func in &program.funcs {
        for site in &func.sites {
            if let CheckKind::Entry { condition } = &site.kind {
                lines.push(format!("entry: {condition}"));
            }
        }
        for op in &func.ops {
            if let OpCode::For(data) = &op.code {
                for (array, operator) in &data.arrays {
                    let name = func.values[array.index()].name.as_deref().unwrap_or("?");
                    lines.push(format!("reduction: {operator:?} {name}"));
                }
            }
        }
    }
    lines.join("\n")
}

const ACCEPTED: &[&str] = &[
    "fn shifted(x: [f64; n], y: mut [f64; m], c: i64) { @parallel for i in 0..n { y[i+c] = x[i] } }",
    "fn spread(x: [f64; n], y: mut [f64; m]) { @parallel for i in 0..n { y[2*i+1] = x[i] } }",
    "fn reversed(x: [f64; n], y: mut [f64; n]) { @vectorize for i in 0..n { y[n-1-i] = x[i] } }",
    "fn falling(y: mut [f64; n]) { @parallel for i in n-1..-1 step -1 { y[i] = 1.0 } }",
    "fn between(y: mut [f64; n], lo: i64, hi: i64) { @parallel for i in lo..hi { y[i] += 1.0 } }",
    "fn stepped(y: mut [f64; n], s: i64) { @parallel for i in 0..n step s { y[i] = 1.0 } }",
    "fn rectangle(y: mut [f64; n, m]) { @parallel for i in 0..n, j in 0..m { y[i, j] = 1.0 } }",
    "fn rows(y: mut [f64; n, m]) { @parallel for i in 0..n { for j in 0..m { y[i, j] = 1.0 } } }",
    "fn flat(y: mut [f64; k], n: i64) { @parallel for i in 0..n { for j in 0..8 { y[i*8 + j] = 1.0 } } }",
    "fn unflat(y: mut [f64; n, m]) { @parallel for i in 0..n { y[i // 4, i % 4] = 1.0 } }",
    "fn triangle(a: mut [f64; n, n]) { @parallel for i in 0..n { for j in 0..i { a[i, j] = a[j, i] } } }",
    "fn halves(a: mut [f64; n, n]) { @parallel for i in 0..n, j in 0..n { if i < j { a[i, j] = a[j, i] } } }",
    "fn mirror(y: mut [f64; n]) { @parallel for i in 0..n // 2 { y[i] = y[n-1-i] } }",
    "fn eliminate(a: mut [f64; n, n]) { for k in 0..n { @parallel for i in k+1..n {
        let f = a[i, k] / a[k, k]
        for j in k..n { a[i, j] -= f * a[k, j] } } } }",
    "fn jordan(a: mut [f64; n, n]) { for k in 0..n { @parallel for i in 0..n { if i != k {
        for j in 0..n { a[i, j] -= a[k, j] } } } } }",
    "fn skipping(a: mut [f64; n, n]) { for k in 0..n { @parallel for i in 0..n {
        if i == k { continue }
        for j in 0..n { a[i, j] -= a[k, j] } } } }",
    "fn red_black(u: mut [f64; n, m]) { for c in 0..2 { @parallel for i in 1..n-1 {
        @vectorize for j in 1 + (i+c) % 2..m-1 step 2 {
            u[i, j] = (u[i-1, j] + u[i+1, j] + u[i, j-1] + u[i, j+1]) / 4 } } } }",
    "fn jacobi(a: [f64; n, m], b: mut [f64; n, m]) { @parallel for i in 1..n-1 { @vectorize for j in 1..m-1 {
        b[i, j] = (a[i-1, j] + a[i+1, j] + a[i, j-1] + a[i, j+1]) / 4 } } }",
    "fn swapped(n: i64) -> f64 {
        var a = zeros(f64, n)
        var b = zeros(f64, n)
        for t in 0..4 { @parallel for j in 1..n-1 { b[j] = a[j-1] + a[j+1] }
            a, b = b, a }
        return a[1] }",
    "fn branches(y: mut [f64; n], x: [f64; n], b: bool) { @parallel for i in 0..n {
        if b { y[i] = 1.0 } else { y[n-1-i] = x[i] } } }",
    "fn pairs(y: mut [f64; n]) { @parallel for i in 0..n { if i % 2 == 0 and i + 1 < n { y[i] = y[i+1] } } }",
    "fn scratch(y: mut [f64; n]) { @parallel for i in 0..n {
        var t = zeros(f64, 4)
        for j in 0..4 { t[j] = i }
        y[i] = t[0] + t[3] } }",
    "fn filled(y: mut [f64; n]) { @parallel for i in 0..n { var t = zeros(f64, 3); fill(t); y[i] = t[0] } }
     fn fill(t: mut [f64; 3]) { for i in 0..3 { t[i] = 1.0 } }",
    "fn matmul(a: [f64; n, l], b: [f64; l, m], c: mut [f64; n, m]) { @parallel for i in 0..n {
        @vectorize for j in 0..m { for k in 0..l { c[i, j] += a[i, k] * b[k, j] } } } }",
    "fn rbf(a: [f64; n], b: [f64; m], g: f64) -> [f64; n, m] {
        var k = zeros(f64, n, m)
        @parallel for i in 0..n { @vectorize for j in 0..m { k[i, j] = exp(-g * (a[i] - b[j]) ** 2) } }
        return k }",
    "fn ring(x: [f64; n], y: mut [f64; n]) { @parallel for i in 0..n { y[i] = x[(i-1) % n] + x[(i+1) % n] } }",
    "fn rotated(x: [f64; n], y: mut [f64; n]) { @parallel for i in 0..n { y[(i+3) % n] = x[i] } }",
    "fn scatter(x: [f64; n], y: mut [f64; m], p: [i64; n]) { @unique(p) @parallel for i in 0..n { y[p[i]] += x[i] * 2 } }",
    "fn odd_ones(y: mut [f64; m], p: [i32; k], n: i64) { @unique(p) @parallel for i in 0..n { y[p[2*i + 1]] = 1.0 } }",
    "fn tiles(y: mut [f64; n]) { @parallel for t in 0..n step 16 { for i in t..min(t+16, n) { y[i] = 1.0 } } }",
    "fn chained(a: mut [f64; n, m, l]) { @parallel for i in 0..n, j in 0..m { for k in 1..l { a[i, j, k] = a[i, j, k-1] } } }",
    "fn reading(x: [f64; n], y: mut [f64; n]) { @parallel for i in 0..n { y[i] = first(x) } }
     fn first(x: [f64; n]) -> f64 { return x[0] }",
];

#[test]
fn independent_iterations_are_accepted() {
    for text in ACCEPTED {
        assert_eq!(report(text), "", "{text}");
    }
}

/// What is not plainly accepted: text, report.
const JUDGED: &[(&str, &str)] = &[
    (
        "fn f(x: [f64; n], y: mut [f64; m]) { @parallel for i in 0..n { y[i % 4] = x[i] } }",
        "error: iterations 0 and 4 of this loop both write `y[0]`",
    ),
    (
        "fn f(x: [f64; n], y: mut [f64; m]) { @vectorize for i in 0..n { y[i // 2] = x[i] } }",
        "error: iterations 0 and 1 of this loop both write `y[0]`",
    ),
    (
        "fn f(x: [f64; n], y: mut [f64; m], p: [i64; n]) { @parallel for i in 0..n { y[p[i]] = x[i] } }",
        "error: cannot tell whether `p[i]` repeats: two iterations of this loop may write the same element of `y`",
    ),
    (
        "fn f(y: mut [f64; m], p: [i64; n]) { @unique(p) @parallel for i in 0..n { y[p[i]] = y[p[i] + 1] } }",
        "error: cannot tell whether `y[p[i]]` and `y[p[i] + 1]` are different elements in different iterations of this loop",
    ),
    (
        "fn f(y: mut [f64; m], p: [i64; n]) { @unique(p) @parallel for i in 0..n { y[p[i // 2]] = 1.0 } }",
        "error: cannot tell whether `p[i // 2]` repeats: two iterations of this loop may write the same element of `y`",
    ),
    (
        "fn f(x: [f64; n], y: mut [f64; m]) { @parallel for i in 0..n { y[i] = x[i]; y[i+1] = 2.0 } }",
        "error: iterations 0 and 1 of this loop both write `y[1]`",
    ),
    (
        "fn f(a: mut [f64; n]) { @vectorize for i in 1..n { a[i] = a[i-1] } }",
        "error: iteration 1 of this loop writes `a[1]`, which iteration 2 reads",
    ),
    (
        "fn f(a: mut [f64; n]) { @parallel for i in n-1..0 step -1 { a[i] = a[i-1] } }",
        "error: iteration 1 of this loop writes `a[1]`, which iteration 2 reads",
    ),
    (
        "fn f(a: mut [f64; n, n]) { @parallel for i in 0..n, j in 0..n { a[i, j] = a[j, i] } }",
        "error: iteration (0, 1) of this loop writes `a[0, 1]`, which iteration (1, 0) reads",
    ),
    (
        "fn f(y: mut [f64; k], n: i64, m: i64) { @parallel for i in 0..n { for j in 0..m+1 { y[i*m + j] = 1.0 } } }",
        "error: iterations 0 and 1 of this loop both write `y[2]`",
    ),
    (
        "fn f(y: mut [f64; k], n: i64) { @parallel for i in 0..n { for j in 0..9 { y[i*8 + j] = 1.0 } } }",
        "error: iterations 0 and 1 of this loop both write `y[8]`",
    ),
    (
        "fn f(u: mut [f64; n, m]) { @parallel for i in 1..n-1 { for j in 1..m-1 { u[i, j] = u[i-1, j] + u[i+1, j] } } }",
        "error: iteration 1 of this loop writes `u[1, 1]`, which iteration 2 reads",
    ),
    (
        "fn f(y: mut [f64; n]) { @parallel for i in 0..n { y[i] = y[(i+1) % n] } }",
        "error: iteration 0 of this loop writes `y[0]`, which iteration 1 reads",
    ),
    (
        "fn f(a: mut [f64; n, n], k: i64) { @parallel for i in 0..n { for j in 0..n { a[i, j] -= a[k, j] } } }",
        "error: iteration 0 of this loop writes `a[0, 0]`, which iteration 1 reads",
    ),
    (
        "fn f(y: mut [f64; n], d: i64) { @parallel for i in 0..n { if d > 3 { y[d] = 1.0 } } }",
        "error: iterations 0 and 1 of this loop both write `y[4]`",
    ),
    (
        "fn f(x: [f64; n], y: mut [f64; n]) { @parallel for i in 0..n { for j in 0..n { if x[j] > 0 { break }; y[j] = 1.0 } } }",
        "error: iterations 0 and 1 of this loop may both write `y[0]`",
    ),
    (
        "fn f(y: mut [i64; n]) { @parallel for i in 0..n { y[i] = sum(y[j] for j in 0..n) } }",
        "error: iteration 0 of this loop writes `y[0]`, which iteration 1 reads",
    ),
    (
        "fn f(y: mut [f64; n]) { @parallel for i in 0..n { g(y, i) } }
         fn g(y: mut [f64; n], i: i64) { y[i] = 1.0 }",
        "error: every iteration of this loop calls `g`, which may write all of `y`",
    ),
    (
        "fn f(y: mut [f64; n]) { @parallel for i in 0..n { y[i] = g(y, i) } }
         fn g(y: [f64; n], i: i64) -> f64 { return h(y, i) }
         fn h(y: [f64; n], i: i64) -> f64 { return y[i] }",
        "error: every iteration of this loop calls `g`, which may read all of `y` while others write to it",
    ),
    (
        "fn f(n: i64) -> f64 { return sum(g(i, n) for i in 0..n) }
         fn g(i: i64, n: i64) -> f64 {
            var a = zeros(f64, n)
            @parallel for j in 0..n { a[0] = j }
            return a[0] }",
        "error: iterations 0 and 1 of this loop both write `a[0]`",
    ),
    // two loops, one error each
    (
        "fn f(y: mut [f64; m], z: mut [f64; m]) { @parallel for i in 0..9 { y[i // 3] = 1.0; z[i // 2] = 1.0 } }",
        "error: iterations 0 and 1 of this loop both write `y[0]`
error: iterations 0 and 1 of this loop both write `z[0]`",
    ),
    // array reductions
    ("fn f(h: mut [i64; m], x: [i64; n]) { @parallel for i in 0..n { h[x[i]] += 1 } }", "reduction: Sum h"),
    (
        "fn f(h: mut [f64; m], x: [i64; n], w: [f64; n]) { @parallel for i in 0..n { h[x[i]] += 1; h[x[i]] += w[i] * 2 } }",
        "reduction: Sum h",
    ),
    (
        "fn f(h: mut [f64; m], x: [i64; n]) { @parallel for i in 0..n { h[i % 4] max= x[i] } }",
        "reduction: Max h",
    ),
    (
        "fn f(h: mut [f64; m], x: [i64; n]) { @parallel for i in 0..n { h[x[i]] += 1; h[x[i]] *= 2 } }",
        "error: cannot tell whether `x[i]` repeats: two iterations of this loop may write the same element of `h`",
    ),
    (
        "fn f(h: mut [f64; m], y: mut [f64; n]) { @parallel for i in 0..n { h[i % 4] += 1; y[i] = h[0] } }",
        "error: iterations 0 and 4 of this loop both update `h[0]`",
    ),
    // entry conditions
    (
        "fn f(y: mut [f64; m], n: i64, d: i64) { @parallel for i in 0..n { y[i] = y[i+d] } }",
        "entry: `d` = 0 or |`d`| >= `n`",
    ),
    (
        "fn f(y: mut [f64; m], n: i64, c: i64) { @parallel for i in 0..n { y[c*i] = 1.0 } }",
        "entry: `c` != 0
entry: no index into `y` wraps around",
    ),
    (
        "fn f(y: mut [f64; m], n: i64, w: i64) { @parallel for i in 0..n { y[i*w] = 1.0; y[i*w + 1] = 2.0 } }",
        "entry: |`w`| >= 2
entry: no index into `y` wraps around",
    ),
    (
        "fn f(y: mut [f64; k], n: i64, m: i64) { @parallel for i in 0..n { for j in 0..m { y[i*m + j] = 1.0 } } }",
        "entry: no index into `y` wraps around",
    ),
    (
        "fn f(y: mut [f64; k], n: i64, m: i64) { @parallel for i in 0..n { for j in 0..m { y[(i+1)*m - 1 - j] = 1.0 } } }",
        "entry: no index into `y` wraps around",
    ),
    (
        "fn f(y: mut [f64; k], n: i64, m: i64, l: i64) { @parallel for i in 0..n, j in 0..m { for q in 0..l { y[(i*m + j)*l + q] = 1.0 } } }",
        "entry: no index into `y` wraps around",
    ),
    (
        "fn f(y: mut [f64; k], n: i64, m: i64) { @parallel for i in 0..n {
            var at = i*m
            for j in 0..m { y[at] = 1.0; at += 1 } } }",
        "entry: no index into `y` wraps around",
    ),
    (
        "fn f(y: mut [f64; k], n: i64, m: i64, w: i64) { @parallel for i in 0..n { for j in 0..w { y[i*m + j] = 1.0 } } }",
        "entry: |`m`| >= `w`
entry: no index into `y` wraps around",
    ),
    // an array reduction rather than an entry condition
    (
        "fn f(y: mut [f64; m], n: i64, c: i64) { @parallel for i in 0..n { y[c*i] += 1.0 } }",
        "reduction: Sum y",
    ),
];

#[test]
fn loops_are_judged() {
    for (text, wanted) in JUDGED {
        assert_eq!(report(text), *wanted, "{text}");
    }
}

/// The entry condition of a loop, by the oracle: `None` if it holds, else its words and the loop indices with it.
fn entry_error(text: &str, size: usize, ints: &[i64]) -> Option<(String, Vec<(String, Const)>)> {
    use crate::ir::{Arg, ArrayData, EvalError, EvalOptions};
    let mut program = lowered(text);
    assert!(check_loops(&mut program).is_empty(), "{text}");
    let mut args = vec![Arg::Array(ArrayData::f64s(&[size as i64], &vec![0.0; size]))];
    args.extend(ints.iter().map(|&int| Arg::Scalar(Const::I64(int))));
    match crate::ir::eval(&program, args, &EvalOptions::default()) {
        Ok(_) => None,
        Err(EvalError::Check { site, values, .. }) => {
            let CheckKind::Entry { condition } = &site.kind else { panic!("{site:?}") };
            let names = site.indices.iter().map(|name| name.to_string());
            Some((condition.to_string(), names.zip(values[1..].iter().copied()).collect()))
        }
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn entry_conditions_are_tested_before_the_loop() {
    let pull = "fn f(y: mut [f64; m], n: i64, d: i64) { @parallel for i in 2..n+2 { y[i] = y[i+d] } }";
    assert_eq!(entry_error(pull, 20, &[8, 0]), None);
    assert_eq!(entry_error(pull, 20, &[8, 8]), None);
    assert_eq!(entry_error(pull, 20, &[1, 1]), None);
    assert_eq!(entry_error(pull, 20, &[0, 1]), None);
    let words = "`d` = 0 or |`d`| >= `n`".to_string();
    assert_eq!(entry_error(pull, 20, &[8, 7]), Some((words.clone(), vec![])));
    assert_eq!(entry_error(pull, 20, &[8, -1]), Some((words, vec![])));

    let spread = "fn f(y: mut [f64; m], n: i64, c: i64) { @parallel for i in 0..n { y[c*i] = 1.0 } }";
    assert_eq!(entry_error(spread, 20, &[4, 2]), None);
    assert_eq!(entry_error(spread, 20, &[1, 0]), None);
    assert_eq!(entry_error(spread, 20, &[2, 0]), Some(("`c` != 0".to_string(), vec![])));

    let steps = "fn f(y: mut [f64; m], n: i64, a: i64) { for s in a..a+2 { @parallel for i in 0..n { y[i] = y[i+s] } } }";
    assert_eq!(entry_error(steps, 20, &[4, 4]), None);
    let index = ("s".to_string(), Const::I64(4));
    assert_eq!(entry_error(steps, 20, &[5, 4]).map(|found| found.1), Some(vec![index]));

    let wraps = "fn f(y: mut [f64; k], n: i64, m: i64) { @parallel for i in 0..n { for j in 0..m { if j == 0 and i % 4 == 0 { y[i*m + j] = 1.0 } } } }";
    assert_eq!(entry_error(wraps, 20, &[2, 3]), None);
    let words = "no index into `y` wraps around".to_string();
    assert_eq!(entry_error(wraps, 20, &[8, 1 << 62]), Some((words, vec![])));
}

/// Every script in `tests/errors/races` is refused, or gets an entry condition if its name says so.
#[test]
fn race_scripts_are_refused() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/errors/races");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("the folder") {
        let path = entry.expect("a file").path();
        if path.extension().is_none_or(|extension| extension != "kiln") {
            continue;
        }
        let name = path.file_stem().expect("a name").to_string_lossy().to_string();
        let wanted = if name.starts_with("entry_") { "entry: " } else { "error: " };
        let report = report(&std::fs::read_to_string(&path).expect("text"));
        assert!(report.starts_with(wanted), "{name}: {report}");
        count += 1;
    }
    assert!(count > 20, "{count}");
}

/// An error has both places, the header and ways out.
#[test]
fn an_error_shows_places_and_ways_out() {
    let text = "fn f(a: mut [f64; n], k: i64) { @parallel for i in 1..n { a[i*k] = a[i-1] } }";
    let found = check_loops(&mut lowered(text));
    let at = |span: Span| &text[span.start as usize..span.end as usize];
    let [error] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(error.title, "iteration 1 of this loop writes `a[2]`, which iteration 3 reads");
    assert!(at(error.primary.span).contains("a[i*k]"), "{error:?}");
    assert_eq!(error.primary.text, "`a[i*k]` is written here");
    assert!(at(error.secondary[0].span).contains("a[i-1]"), "{error:?}");
    assert_eq!(error.secondary[0].text, "`a[i - 1]` is read here");
    assert!(at(error.secondary[1].span).contains("for i in 1..n"), "{error:?}");
    assert_eq!(error.notes, ["this happens for example with `k` = 2"]);
    assert_eq!(
        error.helps,
        [
            "to read the values from before the loop, read from a copy: `let old = copy(a)`",
            "without the annotation the loop runs in order"
        ]
    );
}

/// Hundreds of accesses, and as many that differ in a parameter, are judged in well under a second.
#[test]
fn large_bodies_are_judged_quickly() {
    let start = std::time::Instant::now();
    let stencil: Vec<String> =
        (0..300).map(|k| format!("y[300*i + {k}] = y[300*i + {k}] + x[i + {k}]")).collect();
    let text = format!(
        "fn f(x: [f64; n], y: mut [f64; m]) {{ @parallel for i in 0..n {{ {} }} }}",
        stencil.join("\n")
    );
    assert_eq!(report(&text), "");
    let doubts: Vec<String> = (0..100).map(|k| format!("y[p[i] + d*{k}] = 1.0")).collect();
    let text = format!(
        "fn f(p: [i64; n], y: mut [f64; m], d: i64) {{ @parallel for i in 0..n {{ {} }} }}",
        doubts.join("\n")
    );
    assert!(report(&text).starts_with("error: cannot tell"));
    assert!(start.elapsed().as_secs_f64() < 5.0, "{:?}", start.elapsed());
}

mod symbolic {
    //! Sizes and offsets as parameters: what is accepted has no collision for any values tried, entry conditions included.
    use super::*;
    use crate::ir::{Arg, ArrayData, EvalError, EvalOptions};
    use std::collections::HashMap;

    struct Pick(u64);

    impl Pick {
        fn below(&mut self, n: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((self.0 >> 33) % n as u64) as usize
        }

        fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
            of[self.below(of.len())]
        }
    }

    /// Index expressions of `i`, `j` and the parameters; each is added to a base that keeps it in bounds.
    const INDICES: &[&str] = &[
        "i",
        "j",
        "i + j",
        "i + d",
        "i - d",
        "i*m + j",
        "i*d",
        "j*n + i",
        "2*i + d",
        "i*m + j + 1",
        "i*d + j",
        "d",
        "n - 1 - i",
        "(i + 1) % max(n, 1)",
        "(i + d) % 3",
        "i // 2",
        "i % 3 + j",
        "i*m*2 + 2*j",
        "min(i, d)",
        "max(i, j)",
        "i*m - j",
        "i + m*d",
        "(i + 1)*m - 1 - j",
        "i*n + j*m",
        "abs(i - d)",
        "2*i + j % 2",
        "(i + 2) % max(n, 1)",
        "i*3 + j",
    ];
    const OUTER: &[&str] =
        &["0..n", "1..n", "d..n", "0..n step 2", "n-1..-1 step -1", "0..n step m*m + 1", "0..=n"];
    const INNER: &[&str] = &["0..m", "0..i", "i..m", "0..3", "0..m-1", "d..d+2", "0..m step 2", "0..d"];
    const CONDITIONS: &[&str] = &[
        "true",
        "true",
        "i != d",
        "j < i",
        "i % 2 == 0",
        "d < i",
        "i + j < n and j != 1",
        "n > m or i == 0",
        "j >= d",
    ];

    /// Every access as (ordinal of the outer loop, element, does it write), recorded by the oracle itself.
    fn trace(text: &str, n: i64, m: i64, d: i64) -> Option<Vec<(i64, i64, bool)>> {
        let program = lowered(text);
        let log = Arg::Array(ArrayData::i64s(&[6000], &[0; 6000]));
        let args = vec![log, int(n), int(m), int(d)];
        let outcome = crate::ir::eval(&program, args, &EvalOptions::default()).ok()?;
        match outcome.args.first() {
            Some(Arg::Array(log)) => Some(entries(log)),
            other => panic!("{other:?} is no array"),
        }
    }

    fn entries(log: &ArrayData) -> Vec<(i64, i64, bool)> {
        let words: Vec<i64> = log.data.iter().map(|&word| word as i64).collect();
        let count = words[0] as usize;
        words[1..1 + 3 * count].chunks(3).map(|entry| (entry[0], entry[1], entry[2] != 0)).collect()
    }

    fn int(value: i64) -> Arg {
        Arg::Scalar(Const::I64(value))
    }

    #[test]
    fn accepted_loops_never_collide() {
        let mut pick = Pick(3);
        let (mut accepted, mut conditional, mut rejected) = (0, 0, 0);
        for _ in 0..400 {
            let outer = pick.one(OUTER);
            let inner = pick.one(INNER);
            let condition = pick.one(CONDITIONS);
            let (first, second) = (pick.one(INDICES), pick.one(INDICES));
            let second = if pick.below(2) == 0 { first } else { second };
            let reads = pick.below(2) == 0;
            let body = if reads {
                format!("y[{first} + 100] = y[{second} + 100]")
            } else {
                format!("y[{first} + 100] = 1.0; y[{second} + 100] = 2.0")
            };
            let text = format!(
                "fn f(y: mut [f64; 400], n: i64, m: i64, d: i64) {{
                    @parallel for i in {outer} {{ for j in {inner} {{ if {condition} {{ {body} }} }} }} }}"
            );
            let writes = if reads { 0 } else { 1 };
            let logged = format!(
                "fn f(log: mut [i64; 6000], n: i64, m: i64, d: i64) {{
                    var k = 0
                    for i in {outer} {{ for j in {inner} {{ if {condition} {{
                        log[1 + 3*k] = i; log[2 + 3*k] = {first}; log[3 + 3*k] = 1
                        log[4 + 3*k] = i; log[5 + 3*k] = {second}; log[6 + 3*k] = {writes}
                        k += 2 }} }} }}
                    log[0] = k }}"
            );
            let mut program = lowered(&text);
            if !check_loops(&mut program).is_empty() {
                rejected += 1;
                continue;
            }
            let has_condition =
                program.funcs[0].sites.iter().any(|site| matches!(site.kind, CheckKind::Entry { .. }));
            if has_condition {
                conditional += 1
            } else {
                accepted += 1
            }
            for _ in 0..40 {
                let (n, m, d) = (pick.below(6) as i64, pick.below(6) as i64 - 1, pick.below(9) as i64 - 4);
                let array = Arg::Array(ArrayData::f64s(&[400], &[0.0; 400]));
                let args = vec![array, int(n), int(m), int(d)];
                match crate::ir::eval(&program, args, &EvalOptions::default()) {
                    Ok(_) => {}
                    Err(EvalError::Check { .. }) => continue,
                    Err(other) => panic!("{other:?} in\n{text}"),
                }
                let trace = trace(&logged, n, m, d).unwrap_or_else(|| panic!("no trace of\n{logged}"));
                let mut writers: HashMap<i64, i64> = HashMap::new();
                for &(i, element, _) in trace.iter().filter(|entry| entry.2) {
                    let writer = *writers.entry(element).or_insert(i);
                    assert_eq!(
                        writer, i,
                        "n = {n}, m = {m}, d = {d}, element {element} in\n{text}\n{program}"
                    );
                }
                for (i, element, _) in trace {
                    let writer = writers.get(&element).copied().unwrap_or(i);
                    assert_eq!(
                        writer, i,
                        "n = {n}, m = {m}, d = {d}, element {element} in\n{text}\n{program}"
                    );
                }
            }
        }
        assert!(accepted > 40 && conditional > 20 && rejected > 40, "{accepted} {conditional} {rejected}");
    }
}

/// Iterations, each by its indices.
type Iterations = Vec<Vec<i64>>;
