//! What the compiler did with each loop, as data.
//!
//! In: facts from the passes. Out: a [`Report`]; the facade renders it. Holds: one row per loop of the source, whatever inlining and versioning
//! make of it; nothing here changes what is compiled.

use crate::ir::{CheckKind, CheckSite, Func, OpCode, Program, Reduction, RegionId};
use kiln_abi::ReduceOp;
use kiln_lang::span::{SourceId, Span};
use kiln_lang::types::Scalar;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// What was done with a program.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Loops, in the order of the functions and in each from top to bottom.
    pub loops: Vec<LoopReport>,
    /// Checks that stand in no loop.
    pub outside: CheckCounts,
    /// What each pass took, in order.
    pub passes: Vec<PassTime>,
    /// Rows of `loops`, by header.
    rows: HashMap<Span, usize>,
}

/// What was done with a loop of the source.
#[derive(Clone, Debug)]
pub struct LoopReport {
    /// The header in the source.
    pub span: Span,
    /// Its line in the module's text; 0 if there was none to count in.
    pub line: u32,
    /// The function that it stands in.
    pub func: Arc<str>,
    /// `for`, `while`, or a generator.
    pub kind: LoopKind,
    /// `@parallel`
    pub parallel: bool,
    /// `@vectorize`
    pub vectorize: bool,
    /// Its scalar reductions: operator, type, variable.
    pub reductions: Vec<(ReduceOp, Scalar, Arc<str>)>,
    /// How many arrays it reduces into.
    pub array_reductions: u32,
    /// No loop stands in it.
    pub innermost: bool,
    /// Checks that stand directly in it.
    pub checks: CheckCounts,
    /// The checks that stay in its fast version.
    pub left: Vec<CheckLeft>,
    /// Numbers that `outline` gave to it: one per copy.
    pub outlined: Vec<u32>,
    /// What it became in lanes, if it was widened.
    pub wide: Option<Widened>,
    /// Why it was not, though it is marked `@vectorize` or a generator.
    pub not_wide: Option<NotWide>,
}

/// A loop in lanes. Counts are of ops in its main region.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Widened {
    /// Ordinals side by side.
    pub lanes: u8,
    /// The same in the masked region that takes what is left of a row.
    pub tail: u8,
    /// Bits of the machine's registers.
    pub bits: u32,
    /// Registers that a value of the widest common type takes.
    pub registers: u8,
    /// Loads, by how their lanes lie in memory.
    pub loads: Accesses,
    /// Stores, likewise; updates count as both.
    pub stores: Accesses,
    /// Loads and stores that heed a mask.
    pub masked: u32,
    /// Branches that became masks.
    pub branches: u32,
    /// Tests whether any lane is on.
    pub tests: u32,
    /// Loops that run until no lane is left in them.
    pub divergent_loops: u32,
    /// Updates of elements that may coincide: lane after lane.
    pub updates: u32,
    /// Checks that are tested in lanes.
    pub checks: u32,
    /// Integer divisions and remainders by something that is no constant.
    pub divisions: u32,
    /// f32 that became f64.
    pub to_f64: u32,
}

/// How the lanes of loads or stores lie in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accesses {
    /// One element for all lanes.
    pub broadcast: u32,
    /// Neighbours.
    pub consecutive: u32,
    /// Evenly spaced.
    pub strided: u32,
    /// Anywhere: gathers and scatters.
    pub scattered: u32,
}

/// Why a loop was not widened. None of these depends on the machine, except the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotWide {
    /// The machine has no vectors, or may not use them.
    NoVectors,
    /// It calls a function that is not spliced in.
    Calls(Arc<str>),
    /// A loop inside it runs in pieces: it is parallel, or reduces into an array.
    LoopInPieces(Span),
    /// It makes an array in every iteration.
    MakesArray(Span),
    /// A check stands behind a store that could change its outcome.
    CheckAfterStore(Box<CheckSite>),
    /// A float sum or product inside it is longer than 32 terms, or may be: that loop has an order of its own, and is widened instead.
    InnerSum(Span),
    /// A float sum or product over several indices.
    RectangularSum,
    /// More than one float update of an array per iteration: their order would change.
    FloatUpdates(Span),
    /// Which array is meant differs from lane to lane.
    ArraysPart(Span),
    /// A loop over several indices inside it has different ranges in different lanes.
    UnevenRectangle(Span),
    /// The test of a `while` leaves a loop.
    LeftFromTest(Span),
}

/// Kinds of loops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LoopKind {
    /// `for`
    For,
    /// `while`
    While,
    /// `sum(… for …)`
    Generator,
}

/// What became of checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckCounts {
    /// Proven, and gone.
    pub deleted: u32,
    /// Tested once before a loop.
    pub hoisted: u32,
    /// Tested where they stand.
    pub left: u32,
}

/// A check that stays in a loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckLeft {
    /// What it tests.
    pub kind: CheckKind,
    /// The expression.
    pub span: Span,
}

/// What a pass took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassTime {
    /// The pass.
    pub name: &'static str,
    /// Wall-clock time.
    pub time: Duration,
    /// Ops in all functions after it.
    pub ops: usize,
}

impl LoopReport {
    /// Names of the arrays whose bounds are still tested in it, each once.
    pub fn arrays_checked(&self) -> Vec<Arc<str>> {
        let mut names: Vec<Arc<str>> = Vec::new();
        for check in &self.left {
            if let CheckKind::Bounds { array, .. } | CheckKind::Unique { array } = &check.kind
                && !names.contains(array)
            {
                names.push(array.clone());
            }
        }
        names
    }
}

impl Report {
    /// Gives each loop of a program as lowered its row. `text` is the module's source; without it lines are 0.
    pub fn register(&mut self, program: &Program, text: &str) {
        let mut starts = None;
        for func in &program.funcs {
            let mut visit = Register { report: self, text, starts: &mut starts, func };
            visit.region(func.body);
        }
    }

    /// Checks in innermost loops that are neither proven nor hoisted.
    pub fn innermost_checks_left(&self) -> usize {
        self.loops.iter().filter(|row| row.innermost).map(|row| row.left.len()).sum()
    }

    /// The row of the loop with this header.
    pub fn loop_at(&self, span: Span) -> Option<&LoopReport> {
        self.rows.get(&span).map(|&row| &self.loops[row])
    }

    /// The same, to add to.
    pub(crate) fn loop_at_mut(&mut self, span: Span) -> Option<&mut LoopReport> {
        self.rows.get(&span).map(|&row| &mut self.loops[row])
    }

    /// Counts of the loop with this header, or of what stands in no loop.
    pub(crate) fn counts(&mut self, header: Option<Span>) -> &mut CheckCounts {
        match header.and_then(|span| self.rows.get(&span)) {
            Some(&row) => &mut self.loops[row].checks,
            None => &mut self.outside,
        }
    }

    /// A check stays in the loop with this header.
    pub(crate) fn leave(&mut self, header: Option<Span>, site: &CheckSite) {
        self.counts(header).left += 1;
        if let Some(row) = header.and_then(|span| self.loop_at_mut(span)) {
            let left = CheckLeft { kind: site.kind.clone(), span: site.span };
            if row.left.last() != Some(&left) {
                row.left.push(left);
            }
        }
    }
}

/// The header of a loop op: what rows are found by.
pub(crate) fn header(func: &Func, op: crate::ir::OpId) -> Option<Span> {
    let op = func.op(op);
    match &op.code {
        OpCode::For(data) => Some(data.span),
        OpCode::While => Some(op.span),
        _ => None,
    }
}

struct Register<'r> {
    report: &'r mut Report,
    text: &'r str,
    /// Where lines start; made when the first loop asks.
    starts: &'r mut Option<Vec<u32>>,
    func: &'r Func,
}

impl Register<'_> {
    /// Gives rows to the loops of a region; is there any?
    fn region(&mut self, region: RegionId) -> bool {
        let func = self.func;
        let mut any = false;
        for &op in &func.region(region).ops {
            let op = func.op(op);
            let row = match &op.code {
                OpCode::For(data) => {
                    let kind = if data.generator { LoopKind::Generator } else { LoopKind::For };
                    let row = self.row(data.span, kind);
                    let row = &mut self.report.loops[row];
                    (row.parallel, row.vectorize) = (data.parallel, data.vectorize);
                    row.reductions = data.reductions.iter().map(describe).collect();
                    row.array_reductions = data.arrays.len() as u32;
                    self.report.rows.get(&data.span).copied()
                }
                OpCode::While => Some(self.row(op.span, LoopKind::While)),
                _ => None,
            };
            let mut inner = false;
            for &region in &op.regions {
                inner |= self.region(region);
            }
            if let Some(row) = row {
                self.report.loops[row].innermost &= !inner;
            }
            any |= inner || row.is_some();
        }
        any
    }

    fn row(&mut self, span: Span, kind: LoopKind) -> usize {
        if let Some(&row) = self.report.rows.get(&span) {
            return row;
        }
        let row = LoopReport {
            span,
            line: self.line(span),
            func: self.func.name.clone(),
            kind,
            parallel: false,
            vectorize: false,
            reductions: Vec::new(),
            array_reductions: 0,
            innermost: true,
            checks: CheckCounts::default(),
            left: Vec::new(),
            outlined: Vec::new(),
            wide: None,
            not_wide: None,
        };
        self.report.loops.push(row);
        self.report.rows.insert(span, self.report.loops.len() - 1);
        self.report.loops.len() - 1
    }

    fn line(&mut self, span: Span) -> u32 {
        if self.text.is_empty() || span.source != SourceId::default() {
            return 0;
        }
        let starts = self.starts.get_or_insert_with(|| {
            let breaks = self.text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n');
            std::iter::once(0).chain(breaks.map(|(at, _)| at as u32 + 1)).collect()
        });
        starts.partition_point(|&start| start <= span.start) as u32
    }
}

fn describe(reduction: &Reduction) -> (ReduceOp, Scalar, Arc<str>) {
    (reduction.op, reduction.ty, reduction.name.clone())
}
