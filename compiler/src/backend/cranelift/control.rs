//! `if` and `while`, and what loops share.
//!
//! In: ops with regions. Out: blocks whose parameters are the values that control flow carries. Holds: a back-edge that can be taken without bound reads the
//! stop flag; a block is sealed as soon as its predecessors are known; of a branch with one way out of a loop, that way comes first: Cranelift hoists nothing
//! out of a loop any more once it has visited a block outside, and it visits the last way first.

use super::classes::carried_in;
use super::func::{Emitter, End, Flow, block_args};
use super::reduce::Sink;
use crate::backend::CompileError;
use crate::ir::{self, OpCode, Terminator};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{self as clif, InstBuilder};
use kiln_lang::types::Scalar;

/// A loop around the place where ops are being emitted.
pub(super) struct Loop {
    /// Where `continue` goes, with the carried values.
    pub(super) next: clif::Block,
    /// Where `break` goes, with the carried values.
    pub(super) exit: clif::Block,
    /// Reductions that the body feeds.
    pub(super) sinks: Vec<Sink>,
    /// Ordinal of the iteration (of lane 0), where a reduction needs it.
    pub(super) ordinal: Option<clif::Value>,
    /// In the second region of a widened loop: ordinals from there to the end.
    pub(super) left: Option<clif::Value>,
}

/// A `while` whose condition has at most this many ops, none with regions, is turned so that it ends with its only branch; the condition is then emitted twice.
const TURNED_CONDITION: usize = 16;

/// An `if` with at most this many ops, all of them cheap, computes both arms and chooses: a branch that depends on data costs more when it is mispredicted.
const CHOSEN_OPS: usize = 8;

/// The condition under which an arm that is computed anyway takes effect.
#[derive(Clone, Copy)]
pub(super) struct Predicate {
    condition: ir::Value,
    is: bool,
}

impl<'a> Emitter<'a> {
    pub(super) fn emit_if(&mut self, op: &'a ir::Op) -> Result<Flow, CompileError> {
        let condition = self.scalar(op.args[0]);
        let arms = [0, 1].map(|arm: usize| op.regions[arm]);
        if self.is_chosen(op) {
            self.choose(op, arms)?;
            return Ok(Flow::Goes);
        }
        let merge = self.block_for(&op.results);
        // An arm without ops is an edge.
        let targets = arms.map(|arm| match self.plain_yield(arm) {
            Some(args) => (merge, block_args(&self.all_comps(args))),
            None => (self.b.create_block(), Vec::new()),
        });
        if self.leaves_loop(arms[1]) {
            let fails = self.b.ins().icmp_imm_s(IntCC::Equal, condition, 0);
            self.b.ins().brif(fails, targets[1].0, &targets[1].1, targets[0].0, &targets[0].1);
        } else {
            self.b.ins().brif(condition, targets[0].0, &targets[0].1, targets[1].0, &targets[1].1);
        }
        let mut reached = false;
        for (arm, (block, _)) in arms.into_iter().zip(targets) {
            if block == merge {
                reached = true;
                continue;
            }
            self.enter(block);
            if let End::Yield(args) = self.region(arm)? {
                self.jump(merge, args);
                reached = true;
            }
        }
        if !reached {
            return Ok(Flow::Left);
        }
        self.enter(merge);
        let params = self.b.block_params(merge).to_vec();
        self.bind_all(&op.results, &params);
        Ok(Flow::Goes)
    }

    /// Does the region end outside the innermost loop?
    fn leaves_loop(&self, region: ir::RegionId) -> bool {
        match self.func.region(region).end {
            Terminator::Break(..) | Terminator::Return(_) => true,
            Terminator::Continue(level, _) => level > 0,
            Terminator::Yield(_) | Terminator::Open => false,
        }
    }

    /// Are both arms so cheap and so free of effects that they are computed without a branch?
    fn is_chosen(&self, op: &ir::Op) -> bool {
        let func = self.func;
        let mut count = 0;
        let arms_are_cheap = op.regions.iter().all(|&arm| {
            let arm = func.region(arm);
            matches!(arm.end, Terminator::Yield(_))
                && arm.ops.iter().all(|&id| {
                    let inner = func.op(id);
                    count += usize::from(!matches!(inner.code, OpCode::Const(_)));
                    self.is_cheap(inner)
                })
        });
        let scalars = op.results.iter().all(|&result| matches!(func.ty(result), ir::Type::Scalar(_)));
        arms_are_cheap && scalars && count + op.results.len() <= CHOSEN_OPS
    }

    fn is_cheap(&self, op: &ir::Op) -> bool {
        let scalar = |value: &ir::Value| matches!(self.func.ty(*value), ir::Type::Scalar(_));
        match &op.code {
            OpCode::Const(_)
            | OpCode::Add
            | OpCode::Sub
            | OpCode::Mul
            | OpCode::Neg
            | OpCode::Abs
            | OpCode::Min
            | OpCode::Max
            | OpCode::And
            | OpCode::Or
            | OpCode::Xor
            | OpCode::Not
            | OpCode::Shl
            | OpCode::Shr
            | OpCode::Eq
            | OpCode::Ne
            | OpCode::Lt
            | OpCode::Le
            | OpCode::Gt
            | OpCode::Ge
            | OpCode::Select
            | OpCode::Convert
            | OpCode::Bitcast => op.args.iter().all(scalar),
            OpCode::Fma => self.target.fuses_multiply_add() && op.args.iter().all(scalar),
            OpCode::Floor | OpCode::Ceil | OpCode::Trunc | OpCode::Nearest => {
                self.target.rounds() && op.args.iter().all(scalar)
            }
            OpCode::Dim { .. } | OpCode::Seed => true,
            OpCode::Send { reduction } => op.args.iter().all(scalar) && self.sends_to_register(*reduction),
            // They take long, or touch memory, or have effects.
            OpCode::Div
            | OpCode::FloorDiv
            | OpCode::Rem
            | OpCode::Sqrt
            | OpCode::MulHi
            | OpCode::Math(_)
            | OpCode::Draw { .. }
            | OpCode::Splat
            | OpCode::Iota
            | OpCode::Extract { .. }
            | OpCode::Any
            | OpCode::All
            | OpCode::Load
            | OpCode::Store
            | OpCode::LoadMasked
            | OpCode::StoreMasked
            | OpCode::Update(_)
            | OpCode::UpdateFma
            | OpCode::UpdateMasked(_)
            | OpCode::UpdateFmaMasked
            | OpCode::Alloc
            | OpCode::AllocUninit
            | OpCode::Free
            | OpCode::Check(_)
            | OpCode::SendFma { .. }
            | OpCode::SendMasked { .. }
            | OpCode::If
            | OpCode::For(_)
            | OpCode::While
            | OpCode::Call(_)
            | OpCode::Print(_)
            | OpCode::RunLoop { .. } => false,
        }
    }

    /// Computes both arms; terms and results are chosen by the condition.
    fn choose(&mut self, op: &'a ir::Op, arms: [ir::RegionId; 2]) -> Result<(), CompileError> {
        let func = self.func;
        let mut yields: [&[ir::Value]; 2] = [&[], &[]];
        for (k, arm) in arms.into_iter().enumerate() {
            self.predicate = Some(Predicate { condition: op.args[0], is: k == 0 });
            if let End::Yield(args) = self.region(arm)? {
                yields[k] = args;
            }
        }
        self.predicate = None;
        for (k, &result) in op.results.iter().enumerate() {
            let [a, b] = yields.map(|args| self.scalar(args[k]));
            let chosen = self.select(op.args[0], func.ty(result).scalar(), a, b);
            self.bind(result, &[chosen]);
        }
        Ok(())
    }

    /// `value` where the arm being computed takes effect, else `otherwise`.
    pub(super) fn predicated(
        &mut self,
        ty: Scalar,
        value: clif::Value,
        otherwise: clif::Value,
    ) -> clif::Value {
        match self.predicate {
            None => value,
            Some(Predicate { condition, is: true }) => self.select(condition, ty, value, otherwise),
            Some(Predicate { condition, is: false }) => self.select(condition, ty, otherwise, value),
        }
    }

    fn plain_yield(&self, region: ir::RegionId) -> Option<&'a [ir::Value]> {
        let func = self.func;
        match &func.region(region).end {
            Terminator::Yield(args) if func.region(region).ops.is_empty() => Some(args),
            _ => None,
        }
    }

    pub(super) fn emit_while(&mut self, op: &'a ir::Op) -> Result<(), CompileError> {
        let func = self.func;
        let &[test, body] = &op.regions[..] else { return Err(self.internal("a while has two regions")) };
        let carried = carried_in(op);
        let inside = self.block_for(carried);
        let next = self.block_for(carried);
        let exit = self.block_for(carried);
        let entry_comps = self.all_comps(carried);
        let is_flat = |id: &ir::OpId| func.op(*id).regions.is_empty();
        let ops = &func.region(test).ops;
        let turned = ops.len() <= TURNED_CONDITION && ops.iter().all(is_flat);
        self.loops.push(Loop { next, exit, sinks: Vec::new(), ordinal: None, left: None });

        let head = if turned {
            self.test(test, &entry_comps, inside, exit)?;
            None
        } else {
            let head = self.block_for(carried);
            self.jump_comps(head, &entry_comps);
            self.b.switch_to_block(head);
            let params = self.b.block_params(head).to_vec();
            self.test(test, &params, inside, exit)?;
            self.b.seal_block(inside);
            Some(head)
        };

        self.b.switch_to_block(inside);
        let params = self.b.block_params(inside).to_vec();
        self.bind_all(&func.region(body).params, &params);
        if let End::Yield(args) = self.region(body)? {
            self.jump(next, args);
        }
        self.enter(next);
        let params = self.b.block_params(next).to_vec();
        match head {
            Some(head) => {
                self.poll(head, &params);
                self.b.seal_block(head);
            }
            None => {
                let again = self.b.create_block();
                self.poll(again, &[]);
                self.enter(again);
                self.test(test, &params, inside, exit)?;
                self.b.seal_block(inside);
            }
        }
        self.loops.pop();
        self.enter(exit);
        let params = self.b.block_params(exit).to_vec();
        self.bind_all(&op.results, &params);
        Ok(())
    }

    /// Emits the first region of a `while`, and its branch.
    fn test(
        &mut self,
        region: ir::RegionId,
        carried: &[clif::Value],
        inside: clif::Block,
        exit: clif::Block,
    ) -> Result<(), CompileError> {
        let func = self.func;
        self.bind_all(&func.region(region).params, carried);
        if let End::Yield(args) = self.region(region)? {
            let condition = self.scalar(args[0]);
            let values = block_args(&self.all_comps(&args[1..]));
            let fails = self.b.ins().icmp_imm_s(IntCC::Equal, condition, 0);
            self.b.ins().brif(fails, exit, &values, inside, &values);
        }
        Ok(())
    }

    /// Does the region neither loop nor call, at any depth? Then a bounded number of turns takes a short time.
    pub(super) fn is_short(&self, region: ir::RegionId) -> bool {
        let func = self.func;
        func.region(region).ops.iter().all(|&id| {
            let op = func.op(id);
            match &op.code {
                OpCode::For(_)
                | OpCode::While
                | OpCode::Call(_)
                | OpCode::RunLoop { .. }
                | OpCode::Print(_) => false,
                _ => op.regions.iter().all(|&inner| self.is_short(inner)),
            }
        })
    }
}
