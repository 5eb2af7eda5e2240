//! The solver against enumeration: random small loop nests, every iteration tried.

use super::check_loops;
use crate::ir::{ForData, Func, OpCode, Program, RegionId, Terminator, Type, Value};
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
        let mut touched: HashMap<Vec<i64>, (Vec<Vec<i64>>, Vec<Vec<i64>>)> = HashMap::new();
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
            let data = ForData {
                rank: extents.len() as u8,
                parallel,
                vectorize: false,
                lanes: 1,
                generator: false,
                unique: vec![],
                reductions: vec![],
                arrays: vec![],
                span: Span::default(),
            };
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
