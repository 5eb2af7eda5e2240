//! What a function assigns and reads, and where: found in one walk, asked for by every loop and branch.
//!
//! In: a typed function. Out: [`Effects`]: the assignments and reads in order, and for each construct the stretch of them that it holds.
//! Holds: the walk is linear in the tree; a stretch covers exactly what runs inside the construct (a loop's bounds and a branch's condition
//! stand before it, a `while`'s condition inside). Counters of random streams are assigned by draws, calls and loops that open streams.

use kiln_lang::span::Span;
use kiln_lang::tree::{
    Alloc, BlockExpr, Expr, ExprKind, For, Func, Index, LocalId, Place, PrintPart, Program, Reduce,
    ReduceKind, Stmt, StmtKind, StreamMode, UpdateOp, UpdateValue, Variate,
};
use std::collections::HashMap;
use std::ops::Range;

/// Which counter of a stream moves on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counter {
    Uniforms,
    Normals,
    Children,
    /// Any of them: a call of a function that draws.
    All,
}

/// What is assigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A local; for [`How::Draw`], one of its counters.
    Local(LocalId),
    /// A counter of the implicit stream at that level (0 = the function's).
    Stream(usize, Counter),
}

/// How it is assigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// `x = e`
    Set,
    /// `x op= e`
    Update(UpdateOp),
    /// `a, b = b, a` on arrays.
    Swap,
    /// A draw from an explicit stream.
    Draw(Counter),
    /// A counter of an implicit stream moves on.
    Count,
}

/// One assignment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Write {
    pub target: Target,
    pub how: How,
    pub span: Span,
}

/// One read of a local.
#[derive(Clone, Copy, Debug)]
pub(super) struct Read {
    pub local: LocalId,
    pub span: Span,
    /// Only the element at this variable is read.
    pub at: Option<LocalId>,
}

/// Which part of a node a stretch belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Part {
    /// A loop's body (and a `while`'s condition), a branch's arms, the right side of `and` and `or`.
    Inside,
    /// The node as a whole: an operand that a chain of comparisons may skip; the term behind a generator's filter.
    Whole,
}

/// A stretch of writes and reads.
#[derive(Clone, Debug, Default)]
pub(super) struct Stretch {
    pub writes: Range<usize>,
    pub reads: Range<usize>,
}

/// Everything that a function assigns and reads.
#[derive(Debug, Default)]
pub(super) struct Effects {
    pub writes: Vec<Write>,
    pub reads: Vec<Read>,
    stretches: HashMap<(usize, Part), Stretch>,
}

impl Effects {
    /// What runs in that part of `node`, a node of the function that was walked.
    pub fn of<T>(&self, node: &T, part: Part) -> Stretch {
        self.stretches.get(&(address(node), part)).cloned().unwrap_or_default()
    }
}

/// What a generator's iteration sends.
pub(super) enum Sent<'a> {
    /// A term.
    Term(&'a Expr),
    /// A product, fused.
    Product(&'a Expr, &'a Expr),
}

/// The expressions that a generator evaluates for its term: the product where the sum takes one.
pub(super) fn sent(reduce: &Reduce) -> Sent<'_> {
    match (&reduce.product, reduce.kind) {
        (Some((left, right)), ReduceKind::Sum | ReduceKind::Mean) => Sent::Product(left, right),
        _ => Sent::Term(&reduce.term),
    }
}

/// Does a loop open streams of its own (SEMANTICS section 6)?
pub(super) fn opens_streams(draws: bool, annotated: bool, current_is_root: bool) -> bool {
    draws && (annotated || current_is_root)
}

/// Walks `func`.
pub(super) fn effects(program: &Program, func: &Func) -> Effects {
    let root = func.stream != StreamMode::Inner;
    let mut walk = Walk { program, level: 0, root, found: Effects::default() };
    walk.stmts(&func.body);
    walk.found
}

struct Walk<'a> {
    program: &'a Program,
    level: usize,
    root: bool,
    found: Effects,
}

impl Walk<'_> {
    fn stretch<T>(&mut self, node: &T, part: Part, inside: impl FnOnce(&mut Self)) {
        let (writes, reads) = (self.found.writes.len(), self.found.reads.len());
        inside(self);
        let stretch =
            Stretch { writes: writes..self.found.writes.len(), reads: reads..self.found.reads.len() };
        self.found.stretches.insert((address(node), part), stretch);
    }

    fn write(&mut self, target: Target, how: How, span: Span) {
        self.found.writes.push(Write { target, how, span });
    }

    fn stmts(&mut self, stmts: &[Stmt]) {
        for stmt in stmts {
            self.stmt(stmt);
        }
    }

    fn stmt(&mut self, stmt: &Stmt) {
        match &stmt.kind {
            StmtKind::Let { value, .. } => self.expr(value),
            StmtKind::Set { place, value } => {
                self.expr(value);
                self.place(place, How::Set, stmt.span);
            }
            StmtKind::Update { place, op, value, .. } => {
                match value {
                    UpdateValue::Plain(value) => self.expr(value),
                    UpdateValue::Product(left, right) => {
                        self.expr(left);
                        self.expr(right);
                    }
                }
                self.place(place, How::Update(*op), stmt.span);
            }
            StmtKind::SetMany { places, values } => {
                self.exprs(values);
                for place in places {
                    self.place(place, How::Set, stmt.span);
                }
            }
            StmtKind::Swap { targets, .. } => {
                for &target in targets {
                    self.write(Target::Local(target), How::Swap, stmt.span);
                }
            }
            StmtKind::If { cond, then, otherwise } => {
                self.expr(cond);
                self.stretch(stmt, Part::Inside, |walk| {
                    walk.stmts(then);
                    walk.stmts(otherwise);
                });
            }
            StmtKind::For(node) => self.for_loop(node),
            StmtKind::While { cond, body } => self.stretch(stmt, Part::Inside, |walk| {
                walk.expr(cond);
                walk.stmts(body);
            }),
            StmtKind::Break | StmtKind::Continue => {}
            StmtKind::Return(value) => self.exprs(value),
            StmtKind::Expr(value) => self.expr(value),
            StmtKind::Print(parts) => {
                for part in parts {
                    match part {
                        PrintPart::Text(_) => {}
                        PrintPart::Value(value) => self.expr(value),
                    }
                }
            }
            StmtKind::Block(stmts) | StmtKind::Fast(stmts) => self.stmts(stmts),
        }
    }

    fn place(&mut self, place: &Place, how: How, span: Span) {
        self.exprs(&place.indices);
        if place.indices.is_empty() {
            self.write(Target::Local(place.local), how, span);
        }
    }

    fn for_loop(&mut self, node: &For) {
        self.indices(&node.indices);
        let opens = opens_streams(node.draws, node.annotations.is_annotated(), self.root);
        self.in_loop(opens, node.span, |walk| {
            walk.stretch(node, Part::Inside, |walk| walk.stmts(&node.body));
        });
    }

    fn reduce(&mut self, node: &Reduce, span: Span) {
        self.indices(&node.indices);
        let opens = opens_streams(node.draws, node.annotations.is_annotated(), self.root);
        self.in_loop(opens, span, |walk| {
            walk.stretch(node, Part::Inside, |walk| {
                walk.exprs(&node.filter);
                walk.stretch(node, Part::Whole, |walk| match sent(node) {
                    Sent::Term(term) => walk.expr(term),
                    Sent::Product(left, right) => {
                        walk.expr(left);
                        walk.expr(right);
                    }
                });
            });
        });
    }

    fn in_loop(&mut self, opens: bool, span: Span, body: impl FnOnce(&mut Self)) {
        if !opens {
            return body(self);
        }
        self.write(Target::Stream(self.level, Counter::Children), How::Count, span);
        let root = std::mem::replace(&mut self.root, false);
        self.level += 1;
        body(self);
        self.level -= 1;
        self.root = root;
    }

    fn indices(&mut self, indices: &[Index]) {
        for index in indices {
            self.expr(&index.lo);
            self.expr(&index.hi);
            self.exprs(&index.step);
        }
    }

    fn block(&mut self, block: &BlockExpr) {
        self.stmts(&block.stmts);
        self.exprs(&block.value);
    }

    fn exprs<'e>(&mut self, exprs: impl IntoIterator<Item = &'e Expr>) {
        for expr in exprs {
            self.expr(expr);
        }
    }

    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Const(_) => {}
            ExprKind::Local(local) => self.read(*local, expr.span, None),
            ExprKind::Unary(_, operand)
            | ExprKind::PowLiteral(operand, _)
            | ExprKind::Convert(operand)
            | ExprKind::Dim(operand, _)
            | ExprKind::TupleGet(operand, _)
            | ExprKind::Copy(operand) => self.expr(operand),
            ExprKind::Binary(_, left, right) | ExprKind::Pow(left, right) => {
                self.expr(left);
                self.expr(right);
            }
            ExprKind::And(left, right) | ExprKind::Or(left, right) => {
                self.expr(left);
                self.stretch(expr, Part::Inside, |walk| walk.expr(right));
            }
            ExprKind::Compare { operands, .. } => {
                let (first, skippable) = operands.split_at(operands.len().min(2));
                self.exprs(first);
                for operand in skippable {
                    self.stretch(operand, Part::Whole, |walk| walk.expr(operand));
                }
            }
            ExprKind::Math(_, operands) | ExprKind::Tuple(operands) | ExprKind::Rng(operands) => {
                self.exprs(operands);
            }
            ExprKind::If(cond, then, otherwise) => {
                self.expr(cond);
                self.stretch(expr, Part::Inside, |walk| {
                    walk.block(then);
                    walk.block(otherwise);
                });
            }
            ExprKind::Block(block) => self.block(block),
            ExprKind::Call(callee, operands) => {
                self.exprs(operands);
                if self.program.funcs[callee.0 as usize].stream != StreamMode::None {
                    self.write(Target::Stream(self.level, Counter::All), How::Count, expr.span);
                }
            }
            ExprKind::CallOn { stream, args, .. } => {
                self.exprs(args);
                self.write(Target::Local(*stream), How::Draw(Counter::All), expr.span);
            }
            ExprKind::Require(value, _) => self.expr(value),
            ExprKind::Index(array, indices) => {
                match (&array.kind, indices.as_slice()) {
                    (ExprKind::Local(array), [Expr { kind: ExprKind::Local(index), .. }]) => {
                        self.read(*array, expr.span, Some(*index));
                    }
                    _ => self.expr(array),
                }
                self.exprs(indices);
            }
            ExprKind::Alloc(alloc) => match alloc {
                Alloc::Zeros(sizes) | Alloc::Ones(sizes) => self.exprs(sizes),
                Alloc::Full(value, sizes) => {
                    self.expr(value);
                    self.exprs(sizes);
                }
                Alloc::Arange(first, second, third) | Alloc::Linspace(first, second, third) => {
                    self.expr(first);
                    self.expr(second);
                    self.expr(third);
                }
            },
            ExprKind::Reduce(reduce) => self.reduce(reduce, expr.span),
            ExprKind::Draw(variate, stream) => self.draw(*stream, counter_of(*variate), expr.span),
            ExprKind::RandInt { stream, lo, hi } => {
                self.expr(lo);
                self.expr(hi);
                self.draw(*stream, Counter::Uniforms, expr.span);
            }
        }
    }

    fn read(&mut self, local: LocalId, span: Span, at: Option<LocalId>) {
        self.found.reads.push(Read { local, span, at });
    }

    fn draw(&mut self, stream: Option<LocalId>, counter: Counter, span: Span) {
        match stream {
            Some(local) => self.write(Target::Local(local), How::Draw(counter), span),
            None => self.write(Target::Stream(self.level, counter), How::Count, span),
        }
    }
}

/// The counter that a draw moves on.
pub(super) fn counter_of(variate: Variate) -> Counter {
    match variate {
        Variate::Uniform | Variate::Exponential => Counter::Uniforms,
        Variate::Normal => Counter::Normals,
    }
}

fn address<T>(node: &T) -> usize {
    std::ptr::from_ref(node).addr()
}
