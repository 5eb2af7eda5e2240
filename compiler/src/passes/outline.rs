//! Puts the loops that the runtime cuts into chunks into functions of their own.
//!
//! In: a program. Out: each `@parallel` loop, and each annotated loop that reduces into an array, is a function with `chunk_of` set, run by a `run_loop` where
//! it stood; `program.loops` says what the runtime must know of it. Holds: inner loops go first, so a chunk may run loops itself; a chunk's
//! parameters are what its loop uses from outside, in the order of first use, then its extents.

use super::copy::{Copier, Map, Sites};
use super::{Apply, Pass, new_value, take_ops};
use crate::ir::{Def, ForData, Func, Op, OpCode, OpId, Program, RegionId, Terminator, Type, Value};
use crate::ir::{count_sends, kind_of};
use crate::report::Report;
use kiln_abi::{ArrayReduction, LoopInfo, ScalarReduction, array_slots};
use kiln_lang::span::Span;
use kiln_lang::tree::Const;
use kiln_lang::types::Generator;

/// The pass.
pub const OUTLINE: Pass =
    Pass { name: "outline", about: "put parallel loops into functions", apply: Apply::Program(outline) };

fn outline(program: &mut Program, report: &mut Report) {
    for number in 0..program.funcs.len() {
        if !program.funcs[number].ops.iter().any(is_outlined) {
            continue;
        }
        let mut func = std::mem::replace(&mut program.funcs[number], Func::new(""));
        let seen = vec![0; func.values.len()];
        let mut outline =
            Outline { program, report, map: Map::default(), sites: Sites::default(), seen, stamp: 0 };
        let body = func.body;
        outline.region(&mut func, body);
        program.funcs[number] = func;
    }
}

fn is_outlined(op: &Op) -> bool {
    matches!(&op.code, OpCode::For(data) if data.parallel || !data.arrays.is_empty())
}

struct Outline<'o> {
    program: &'o mut Program,
    report: &'o mut Report,
    map: Map,
    sites: Sites,
    /// Per value: `2 * stamp` if the loop at hand defines it, `2 * stamp + 1` if it is one of its live-ins.
    seen: Vec<u32>,
    stamp: u32,
}

impl Outline<'_> {
    fn region(&mut self, func: &mut Func, region: RegionId) {
        let mut ops = Vec::with_capacity(func.region(region).ops.len());
        for op in take_ops(func, region) {
            for position in 0..func.op(op).regions.len() {
                let inner = func.op(op).regions[position];
                self.region(func, inner);
            }
            if is_outlined(func.op(op)) {
                self.outline(func, op, &mut ops);
            }
            ops.push(op);
        }
        func.regions[region.index()].ops = ops;
    }

    /// Makes the loop a `run_loop`. `ops`: what is computed before it.
    fn outline(&mut self, func: &mut Func, op: OpId, ops: &mut Vec<OpId>) {
        let Op { code: OpCode::For(data), args: extents, .. } = func.op(op).clone() else { return };
        assert_eq!(extents.len(), data.rank as usize, "bug: a loop in chunks carries a value");
        let number = self.program.loops.len() as u32;
        let (live_ins, constants) = self.live_ins(func, op, &data, &extents);
        let info = self.info(func, op, &data, &live_ins);
        let chunk = self.chunk(func, op, number, &live_ins, &constants);
        self.program.loops.push(info);
        self.program.funcs.push(chunk);
        if let Some(row) = self.report.loop_at_mut(data.span) {
            row.outlined.push(number);
        }

        let span = func.op(op).span;
        let mut args = vec![count(func, &extents, span, ops)];
        args.extend(&live_ins);
        args.extend(&extents);
        let old = &mut func.ops[op.index()];
        old.code = OpCode::RunLoop { number };
        old.args = args;
        old.regions.clear();
    }

    /// What the loop uses from outside, without its extents; constants (and the seed) apart: a chunk makes its own.
    fn live_ins(
        &mut self,
        func: &Func,
        op: OpId,
        data: &ForData,
        extents: &[Value],
    ) -> (Vec<Value>, Vec<Value>) {
        self.stamp += 1;
        self.seen.resize(func.values.len(), 0);
        let mut found =
            Found { seen: &mut self.seen, stamp: self.stamp, live_ins: Vec::new(), constants: Vec::new() };
        // A constant is better than a parameter.
        for extent in extents.iter().filter(|&&extent| func.as_const(extent).is_none()) {
            found.seen[extent.index()] = 2 * found.stamp;
        }
        data.arrays.iter().for_each(|&(array, _)| found.used(func, array));
        data.unique.iter().for_each(|&array| found.used(func, array));
        found.region(func, func.op(op).regions[0]);
        (found.live_ins, found.constants)
    }

    fn chunk(&mut self, func: &Func, op: OpId, number: u32, live_ins: &[Value], constants: &[Value]) -> Func {
        let mut chunk = Func::new(&format!("{}_loop{number}", func.name));
        chunk.chunk_of = Some(number);
        let body = chunk.body;
        let mut copier = Copier::from(func, std::mem::take(&mut self.sites), std::mem::take(&mut self.map));
        for &value in live_ins {
            let param = chunk.add_param(body, func.ty(value), func.values[value.index()].name.clone());
            copier.set(value, param);
        }
        let extents: Vec<Value> = func.op(op).args.clone();
        let mut own = Vec::with_capacity(extents.len());
        for &extent in &extents {
            let param = chunk.add_param(body, Type::I64, func.values[extent.index()].name.clone());
            copier.set(extent, param);
            own.push(param);
        }
        for &value in constants {
            if let Def::Op(op, _) = func.values[value.index()].def {
                copier.op(&mut chunk, op, body);
            }
        }
        let copy = copier.op(&mut chunk, op, body);
        // One value may be several extents: each has its own parameter.
        chunk.ops[copy.index()].args = own;
        chunk.regions[body.index()].end = Terminator::Return(Vec::new());
        self.sites = std::mem::take(&mut copier.sites);
        self.sites.clear();
        self.map = copier.into_map();
        chunk
    }

    fn info(&mut self, func: &Func, op: OpId, data: &ForData, live_ins: &[Value]) -> LoopInfo {
        let body = func.op(op).regions[0];
        let mut sends = vec![0; data.reductions.len()];
        count_sends(func, body, &mut sends);
        let scalars = data.reductions.iter().zip(sends).map(|(reduction, sends)| {
            let ty = kind_of(reduction.ty);
            let sites = if reduction.op.is_ordered(ty) { sends } else { 0 };
            ScalarReduction { op: reduction.op, ty, sites }
        });
        let arrays = data.arrays.iter().map(|&(array, op)| {
            let Type::Array { elem, rank, .. } = func.ty(array) else {
                panic!("bug: an array reduction into something that is no array")
            };
            let before = live_ins.iter().take_while(|&&value| value != array);
            let env_slot = before.map(|&value| slots(func.ty(value))).sum::<usize>() as u32;
            ArrayReduction { op, ty: kind_of(elem), env_slot, rank: rank.into() }
        });
        LoopInfo {
            func: self.program.funcs.len() as u32,
            parallel: data.parallel,
            scalars: scalars.collect(),
            arrays: arrays.collect(),
            wide: false,
            cost: self.cost(func, body),
            line: self.report.loop_at(data.span).map_or(0, |row| row.line),
        }
    }

    /// Estimated operations of a region.
    fn cost(&self, func: &Func, region: RegionId) -> u32 {
        let mut sum = 1u32;
        for &id in &func.region(region).ops {
            let op = func.op(id);
            let inner =
                || op.regions.iter().fold(0u32, |sum, &inner| sum.saturating_add(self.cost(func, inner)));
            let cost = match &op.code {
                OpCode::Const(_) | OpCode::Seed | OpCode::Dim { .. } => 0,
                OpCode::Div | OpCode::Sqrt | OpCode::FloorDiv | OpCode::Rem => 8,
                OpCode::Math(_) | OpCode::Draw { generator: Generator::Philox, .. } => 40,
                OpCode::Draw { generator: Generator::Ars, .. } => 20,
                OpCode::Alloc | OpCode::AllocUninit | OpCode::Free | OpCode::Call(_) | OpCode::Print(_) => {
                    100
                }
                // One of the branches runs.
                OpCode::If => inner() / 2 + 1,
                OpCode::For(data) => {
                    let trips = op.args[..data.rank as usize]
                        .iter()
                        .fold(1u32, |trips, &extent| trips.saturating_mul(trips_of(func, extent)));
                    inner().saturating_mul(trips)
                }
                OpCode::While => inner().saturating_mul(UNKNOWN_TRIPS),
                OpCode::RunLoop { number } => {
                    let cost = self.program.loops[*number as usize].cost;
                    cost.saturating_mul(trips_of(func, op.args[0]))
                }
                _ => 1,
            };
            sum = sum.saturating_add(cost);
        }
        sum
    }
}

/// Inner loops of unknown length count as so many iterations.
const UNKNOWN_TRIPS: u32 = 16;

fn trips_of(func: &Func, extent: Value) -> u32 {
    match func.as_const(extent) {
        Some(Const::I64(trips)) => trips.clamp(0, u32::MAX.into()) as u32,
        _ => UNKNOWN_TRIPS,
    }
}

/// Slots of a parameter in an environment.
fn slots(ty: Type) -> usize {
    match ty {
        Type::Array { rank, .. } => array_slots(rank.into()),
        Type::Scalar(_) | Type::Lanes(..) | Type::Mask(_) => 1,
    }
}

/// The product of the extents, `i64::MAX` if it is greater: no loop gets that far.
fn count(func: &mut Func, extents: &[Value], span: Span, ops: &mut Vec<OpId>) -> Value {
    let mut emit = |func: &mut Func, code, args, ty| {
        let (op, value) = new_value(func, code, args, ty, span);
        ops.push(op);
        value
    };
    let mut product = extents[0];
    for &extent in &extents[1..] {
        if let (Some(Const::I64(a)), Some(Const::I64(b))) = (func.as_const(product), func.as_const(extent)) {
            let constant = OpCode::Const(Const::I64(a.saturating_mul(b)));
            product = emit(func, constant, Vec::new(), Type::I64);
            continue;
        }
        let a = emit(func, OpCode::Convert, vec![product], Type::U64);
        let b = emit(func, OpCode::Convert, vec![extent], Type::U64);
        let high = emit(func, OpCode::MulHi, vec![a, b], Type::U64);
        let low = emit(func, OpCode::Mul, vec![product, extent], Type::I64);
        let no_word = emit(func, OpCode::Const(Const::U64(0)), Vec::new(), Type::U64);
        let zero = emit(func, OpCode::Const(Const::I64(0)), Vec::new(), Type::I64);
        let most = emit(func, OpCode::Const(Const::I64(i64::MAX)), Vec::new(), Type::I64);
        let is_word = emit(func, OpCode::Eq, vec![high, no_word], Type::BOOL);
        let is_positive = emit(func, OpCode::Ge, vec![low, zero], Type::BOOL);
        let fits = emit(func, OpCode::And, vec![is_word, is_positive], Type::BOOL);
        product = emit(func, OpCode::Select, vec![fits, low, most], Type::I64);
    }
    product
}

/// The values that a loop uses from outside.
struct Found<'f> {
    seen: &'f mut [u32],
    stamp: u32,
    live_ins: Vec<Value>,
    constants: Vec<Value>,
}

impl Found<'_> {
    fn region(&mut self, func: &Func, region: RegionId) {
        func.region(region).params.iter().for_each(|&param| self.defined(param));
        for &id in &func.region(region).ops {
            let op = func.op(id);
            op.args.iter().for_each(|&arg| self.used(func, arg));
            if let OpCode::For(data) = &op.code {
                data.arrays.iter().for_each(|&(array, _)| self.used(func, array));
                data.unique.iter().for_each(|&array| self.used(func, array));
            }
            op.results.iter().for_each(|&result| self.defined(result));
            op.regions.iter().for_each(|&inner| self.region(func, inner));
        }
        func.region(region).end.args().iter().for_each(|&arg| self.used(func, arg));
    }

    fn defined(&mut self, value: Value) {
        self.seen[value.index()] = 2 * self.stamp;
    }

    fn used(&mut self, func: &Func, value: Value) {
        if self.seen[value.index()] >= 2 * self.stamp {
            return;
        }
        self.seen[value.index()] = 2 * self.stamp + 1;
        let code = func.def_op(value).map(|op| &func.op(op).code);
        match code {
            Some(OpCode::Const(_) | OpCode::Seed) => self.constants.push(value),
            _ => self.live_ins.push(value),
        }
    }
}
