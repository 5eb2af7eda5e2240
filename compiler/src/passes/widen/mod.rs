//! Runs the iterations of `@vectorize` loops and generators side by side, in lanes.
//!
//! In: a program whose loops are checked and outlined, and the machine's registers. Out: the same, such loops with `lanes` L > 1 and a tail. Holds: same results, errors included, whatever L is;
//! a loop that cannot be widened stays as it is, and the report says why.
//!
//! The model is ISPC's (Pharr and Mark, *ispc: A SPMD compiler for high-performance CPU programming*, InPar 2012), on structured IR: what is the same in all lanes stays scalar,
//! branches on the rest become masks (`control`). [`README`](README.md) tells it in order.

mod checks;
mod control;
mod emit;
mod forms;
#[cfg(test)]
mod fuzz;
mod legal;
mod memory;
mod width;

use super::{Apply, Pass, cse, dead, hoist, take_ops};
use crate::ir::{Func, OpCode, OpId, Program, RegionId, Terminator, Type};
use crate::report::{NotWide, Report, Widened};
use crate::target::VectorShape;
use control::Frame;
use emit::{Constant, Emit, End};
use forms::Forms;
use width::Width;

/// The pass.
pub const WIDEN: Pass = Pass { name: "widen", about: "run loops in lanes", apply: Apply::Machine(widen) };

fn widen(program: &mut Program, shape: VectorShape, report: &mut Report) {
    for number in 0..program.funcs.len() {
        if !program.funcs[number].ops.iter().any(|op| is_candidate(&op.code)) {
            continue;
        }
        let mut func = std::mem::replace(&mut program.funcs[number], Func::new(""));
        let body = func.body;
        let mut widen = Widen { program, shape, report, found: false };
        widen.region(&mut func, body);
        if widen.found {
            cse::merge_equal(&mut func);
            hoist::hoist_pure(&mut func);
            dead::delete_unused(&mut func);
        }
        program.funcs[number] = func;
    }
}

/// May the loop be widened, as far as its marks go?
fn is_candidate(code: &OpCode) -> bool {
    matches!(code, OpCode::For(data) if (data.vectorize || data.generator) && !data.cold && data.lanes == 1)
}

struct Widen<'w> {
    program: &'w Program,
    shape: VectorShape,
    report: &'w mut Report,
    found: bool,
}

impl Widen<'_> {
    fn region(&mut self, func: &mut Func, region: RegionId) {
        let mut ops = Vec::with_capacity(func.region(region).ops.len());
        for op in take_ops(func, region) {
            if is_candidate(&func.op(op).code) && self.try_widen(func, op, &mut ops) {
                self.found = true;
            } else {
                for position in 0..func.op(op).regions.len() {
                    let inner = func.op(op).regions[position];
                    self.region(func, inner);
                }
            }
            ops.push(op);
        }
        func.regions[region.index()].ops = ops;
    }

    /// `ops`: what is computed before the loop.
    fn try_widen(&mut self, func: &mut Func, home: OpId, ops: &mut Vec<OpId>) -> bool {
        let OpCode::For(data) = &func.op(home).code else { return false };
        let header = data.span;
        let planned = plan(self.program, func, home, self.shape);
        match planned {
            Ok((forms, width)) => {
                let mut done = Widened {
                    lanes: width.lanes,
                    tail: width.tail,
                    bits: self.shape.bytes * 8,
                    registers: width.registers,
                    ..Widened::default()
                };
                widen_loop(func, home, &forms, width, &mut done, ops);
                if let Some(row) = self.report.loop_at_mut(header) {
                    row.wide = Some(done);
                }
                true
            }
            Err(reason) => {
                if let Some(row) = self.report.loop_at_mut(header) {
                    row.not_wide = Some(reason);
                }
                false
            }
        }
    }
}

fn plan(program: &Program, func: &Func, home: OpId, shape: VectorShape) -> Result<(Forms, Width), NotWide> {
    if let Some(reason) = legal::why_not(program, func, home) {
        return Err(reason);
    }
    let forms = Forms::find(func, home);
    if let Some(reason) = legal::why_not_in_lanes(func, home, &forms) {
        return Err(reason);
    }
    let width = width::choose(func, home, &forms, shape);
    Ok((forms, width))
}

/// Gives the loop its two regions in place of the one it has.
fn widen_loop(
    func: &mut Func,
    home: OpId,
    forms: &Forms,
    width: Width,
    done: &mut Widened,
    ops: &mut Vec<OpId>,
) {
    let mut constants = Vec::new();
    let mut part = |lanes, part, done: &mut Widened| {
        let emit = Emit::new(func, forms, done, home, lanes, std::mem::take(&mut constants));
        let (region, mut before, known) = in_lanes(emit, part);
        ops.append(&mut before);
        constants = known;
        region
    };
    let main = part(width.lanes, Part::Main, done);
    let tail = part(width.tail, Part::Tail, &mut Widened::default());
    func.ops[home.index()].regions = vec![main, tail];
    if let OpCode::For(data) = &mut func.ops[home.index()].code {
        (data.lanes, data.tail) = (width.lanes, width.tail);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Main,
    Tail,
}

/// The body in lanes, what is computed before the loop, and the constants among it.
fn in_lanes(mut emit: Emit, part: Part) -> (RegionId, Vec<OpId>, Vec<Constant>) {
    let region = emit.func.add_region();
    emit.frames.push(Frame::home());
    emit.open.push(Vec::new());
    for param in emit.func.region(emit.source).params.clone() {
        let ordinal = emit.func.add_param(region, Type::I64, None);
        emit.bind(param, ordinal);
    }
    if part == Part::Tail {
        let on = emit.func.add_param(region, Type::Mask(emit.lanes), None);
        emit.mask = emit.mask_of(on);
    }
    let end = match emit.region(emit.source, &[]) {
        End::Yield(_) | End::Exit => Terminator::Yield(Vec::new()),
        End::Jump(end) => end,
    };
    emit.func.regions[region.index()].ops = emit.open.pop().unwrap_or_default();
    emit.func.regions[region.index()].end = end;
    (region, emit.open.pop().unwrap_or_default(), emit.constants)
}
