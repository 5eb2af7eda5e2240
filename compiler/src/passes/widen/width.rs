//! How many lanes a loop gets.
//!
//! In: a loop with its forms, and the machine's registers. Out: a [`Width`]. Holds: the choice changes speed only; it is made from the body before it is widened, in one walk.
//!
//! More lanes than a register holds are several registers side by side, whose chains of operations overlap: the latency of a dependent operation is four
//! cycles and more, so two to four at a time pay until registers run out or the code becomes long (the register allocator's time is what a compile is made of).

use super::forms::{Form, Forms};
use crate::ir::{Func, OpCode, OpId, RegionId, Terminator, Value, kind_of};
use crate::passes::{extents_of, is_loop};
use crate::target::VectorShape;
use kiln_lang::tree::Const;
use kiln_lang::types::{Generator, Scalar};

/// Lanes of the two regions of a widened loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Width {
    pub lanes: u8,
    pub tail: u8,
    /// Registers that a value of the widest type takes in the main region.
    pub registers: u8,
}

/// Machine instructions that the register allocator is given, about.
const INSTRUCTIONS: u32 = 700;
/// The same where 32 lanes keep the accumulators of an ordered sum in registers.
const INSTRUCTIONS_ORDERED: u32 = 900;
/// Registers side by side.
const MOST_REGISTERS: u32 = 4;
/// In loops that some lanes leave before others, more lanes wait for each other.
const MOST_REGISTERS_DIVERGENT: u32 = 2;
/// For 32 lanes of an ordered sum.
const MOST_REGISTERS_ORDERED: u32 = 8;
const MOST_LANES: u32 = 32;

pub(super) fn choose(func: &Func, home: OpId, forms: &Forms, shape: VectorShape) -> Width {
    let OpCode::For(data) = &func.op(home).code else { panic!("bug: a `for` is widened") };
    let mut scan = Scan::new(func, forms);
    let body = func.op(home).regions[0];
    scan.region(body);
    // The type that most of the work is on; values of the other take registers of another size, or groups of another number.
    let common = if scan.work[1] * 4 >= scan.work[0] || scan.work[0] == 0 { 8 } else { 4 };
    let per_register = (shape.bytes / common).max(2);
    let instructions = scan.work[1] + if common == 4 { scan.work[0] } else { scan.work[0].div_ceil(2) };
    let live = scan.most_live();
    let ordered = data.reductions.iter().any(|reduction| reduction.op.is_ordered(kind_of(reduction.ty)));
    let fits = |lanes: u32, most_registers: u32, instructions_allowed: u32, registers_over: u32| {
        let registers = lanes / per_register;
        registers <= most_registers
            && instructions * (registers + 1) <= instructions_allowed
            && live * lanes / shape.bytes + scan.spread <= shape.registers + registers_over
    };
    let most = if scan.diverges { MOST_REGISTERS_DIVERGENT } else { MOST_REGISTERS };
    let mut lanes = MOST_LANES;
    let is_whole = ordered
        && fits(
            lanes,
            MOST_REGISTERS_ORDERED.min(128 / shape.bytes * 4),
            INSTRUCTIONS_ORDERED,
            shape.registers / 2,
        );
    if !is_whole {
        while lanes > per_register && !fits(lanes, most, INSTRUCTIONS, 0) {
            lanes /= 2;
        }
    }
    let last = func.op(home).args[data.rank as usize - 1];
    if let Some(Const::I64(extent)) = func.as_const(last) {
        let needed = u32::try_from(extent.max(2)).unwrap_or(u32::MAX).min(MOST_LANES).next_power_of_two();
        lanes = lanes.min(needed);
    }
    let tail = per_register.min(lanes);
    Width { lanes: lanes as u8, tail: tail as u8, registers: (lanes / per_register).max(1) as u8 }
}

/// A walk in program order that notes where varying values begin and end.
struct Scan<'s> {
    func: &'s Func,
    forms: &'s Forms,
    now: u32,
    /// Per value: where it is defined and last used, from 1.
    spans: Vec<(u32, u32)>,
    defined: Vec<Value>,
    /// Enclosing loops inside the one at hand: when each began, and values from before that are used in it.
    loops: Vec<(u32, Vec<Value>)>,
    /// Instructions on values of 4 and of 8 bytes, per register.
    work: [u32; 2],
    /// Scalars that are wanted in all lanes and are no constants.
    spread: u32,
    diverges: bool,
}

impl<'s> Scan<'s> {
    fn new(func: &'s Func, forms: &'s Forms) -> Scan<'s> {
        let spans = vec![(0, 0); func.values.len()];
        let (defined, loops) = (Vec::new(), Vec::new());
        Scan { func, forms, now: 1, spans, defined, loops, work: [0; 2], spread: 0, diverges: false }
    }

    fn region(&mut self, region: RegionId) {
        let func = self.func;
        for &id in &func.region(region).ops {
            self.op(id);
        }
        match &func.region(region).end {
            Terminator::Open
            | Terminator::Yield(_)
            | Terminator::Break(..)
            | Terminator::Continue(..)
            | Terminator::Return(_) => {
                func.region(region).end.args().iter().for_each(|&value| self.used(value));
            }
        }
    }

    fn op(&mut self, id: OpId) {
        let func = self.func;
        let op = func.op(id);
        self.now += 1;
        op.args.iter().for_each(|&arg| self.used(arg));
        self.work(id);
        let is_loop = is_loop(&op.code);
        if is_loop {
            self.diverges |= self.forms.facts(id).diverges;
            self.loops.push((self.now, Vec::new()));
        }
        let extents = extents_of(&op.code);
        for &region in &op.regions {
            let params = &func.region(region).params;
            params.iter().for_each(|&param| self.defines(param));
            self.region(region);
            self.now += 1;
            params[extents.min(params.len())..].iter().for_each(|&param| self.used(param));
        }
        if is_loop && let Some((_, values)) = self.loops.pop() {
            values.into_iter().for_each(|value| self.used(value));
        }
        op.results.iter().for_each(|&result| self.defines(result));
    }

    fn defines(&mut self, value: Value) {
        if self.forms.is_varying(value) {
            self.spans[value.index()] = (self.now, self.now);
            self.defined.push(value);
        }
    }

    fn used(&mut self, value: Value) {
        if !self.forms.is_varying(value) {
            // Spread once; constants can stay in memory.
            let span = &mut self.spans[value.index()];
            if self.forms.get(value) == Form::Uniform && span.1 == 0 && self.func.as_const(value).is_none() {
                span.1 = 1;
                self.spread +=
                    u32::from(!self.func.ty(value).is_array() && self.func.ty(value).scalar().is_float());
            }
            return;
        }
        let (from, to) = &mut self.spans[value.index()];
        *to = self.now;
        if let Some((_, values)) = self.loops.iter_mut().find(|(began, _)| *began > *from) {
            values.push(value);
        }
    }

    fn work(&mut self, id: OpId) {
        let op = self.func.op(id);
        let scalar = match &op.code {
            OpCode::Store
            | OpCode::Update(_)
            | OpCode::UpdateFma
            | OpCode::Send { .. }
            | OpCode::SendFma { .. } => self.func.ty(op.args[op.args.len() - 1]).scalar(),
            OpCode::Eq | OpCode::Ne | OpCode::Lt | OpCode::Le | OpCode::Gt | OpCode::Ge => {
                if !self.forms.is_varying(op.results[0]) {
                    return;
                }
                self.func.ty(op.args[0]).scalar()
            }
            OpCode::If | OpCode::For(_) | OpCode::While => {
                // Joins of their results.
                for &result in op.results.iter().filter(|&&result| self.forms.is_varying(result)) {
                    self.work[usize::from(self.func.ty(result).scalar().bits() == 64)] += 1;
                }
                return;
            }
            _ => match op.results.iter().find(|&&result| self.forms.is_varying(result)) {
                Some(&result) => self.func.ty(result).scalar(),
                None => return,
            },
        };
        let is_consecutive = || op.args[1..].iter().all(|&index| !self.forms.is_varying(index));
        let instructions = match &op.code {
            OpCode::Draw { generator: Generator::Philox, .. } => 90,
            OpCode::Draw { generator: Generator::Ars, .. } => 40,
            OpCode::FloorDiv | OpCode::Rem => 40,
            OpCode::Min | OpCode::Max if scalar.is_float() => 4,
            OpCode::MulHi => 12,
            OpCode::Load if !is_consecutive() => 8,
            OpCode::Store | OpCode::Update(_) | OpCode::UpdateFma => 3,
            OpCode::Convert => 2,
            _ => 1,
        };
        self.work[usize::from(scalar.bits() == 64)] += instructions;
    }

    /// Bytes per lane of the varying values that are needed at one time, at most.
    fn most_live(&self) -> u32 {
        let mut change = vec![0i32; self.now as usize + 2];
        for &value in &self.defined {
            let (from, to) = self.spans[value.index()];
            let bytes = match self.func.ty(value).scalar() {
                // In mask registers, or folded into what uses them.
                Scalar::Bool => 0,
                scalar => (scalar.bits() / 8) as i32,
            };
            change[from as usize] += bytes;
            change[to as usize] -= bytes;
        }
        let mut live = 0;
        let mut most = 0;
        for bytes in change {
            live += bytes;
            most = most.max(live);
        }
        most as u32
    }
}
