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
