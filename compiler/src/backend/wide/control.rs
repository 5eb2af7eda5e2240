//! `if` and `while`, and what loops share.
//!
//! In: ops with regions. Out: blocks whose parameters are the values that control flow carries. Holds: a back-edge that can be taken without bound reads the stop
//! flag; the state of reductions is carried like values, through every block that sends may lie before.

use super::code::BlockId;
use super::func::{End, Flow, Selector};
use super::mask::MaskForm;
use super::reduce::Sink;
use crate::backend::CompileError;
use crate::ir::{self, OpCode};
use regalloc2::VReg;

/// Which iterations a body runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// One.
    Scalar,
    /// As many as there are lanes.
    Main,
    /// Those that its mask says.
    Tail,
}

/// A loop around the place where ops are being selected.
pub(super) struct Loop {
    /// Where `continue` goes, with the carried values and the state of reductions.
    pub(super) next: BlockId,
    /// Where `break` goes, with the same.
    pub(super) exit: BlockId,
    /// Forms of the carried values that are masks.
    pub(super) forms: Vec<Option<MaskForm>>,
    /// Reductions that the body feeds.
    pub(super) sinks: Vec<Sink>,
    /// Ordinal of the iteration (of lane 0), where a reduction needs it.
    pub(super) ordinal: Option<VReg>,
    /// How many lanes of a tail are iterations, or more.
    pub(super) left: Option<VReg>,
    pub(super) turn: Turn,
}

/// A `while` whose condition has at most this many ops, none with regions, is turned so that it ends with its only branch; the condition is then there twice.
const TURNED_CONDITION: usize = 24;

impl<'a> Selector<'a> {
    /// Ends the block: goes to where a loop wants it to.
    pub(super) fn leave_to(
        &mut self,
        level: u32,
        args: &[ir::Value],
        target: impl Fn(&Loop) -> BlockId,
    ) -> Result<(), CompileError> {
        let index = self.loops.len().checked_sub(1 + level as usize);
        let Some(index) = index else { return Err(self.internal("a break without its loop")) };
        let forms = self.loops[index].forms.clone();
        let mut regs = self.args_like(args, &forms);
        let to = &self.loops[index];
        Sink::append_state(&to.sinks, &mut regs);
        let block = target(to);
        self.m.jump(block, &regs);
        Ok(())
    }

    pub(super) fn emit_if(&mut self, op: &'a ir::Op) -> Result<Flow, CompileError> {
        let func = self.func;
        let arms = [0, 1].map(|arm: usize| op.regions[arm]);
        let mut sent = Vec::new();
        for arm in arms {
            self.find_sends(arm, &mut sent);
        }
        sent.sort_unstable();
        sent.dedup();
        let forms = self.carried_forms(&op.results);
        let mut classes = self.classes(&op.results);
        classes.extend(self.sink_state(&sent).iter().map(|reg| reg.class()));
        let merge = self.m.block(&classes);
        let targets = arms.map(|arm| {
            let is_edge =
                func.region(arm).ops.is_empty() && matches!(func.region(arm).end, ir::Terminator::Yield(_));
            if is_edge { None } else { Some(self.m.block(&[])) }
        });
        // What the edges hand on is computed before the flags are.
        let edges = [0, 1].map(|k: usize| match targets[k] {
            Some(block) => (block, Vec::new()),
            None => {
                let mut regs = self.args_like(func.region(arms[k]).end.args(), &forms);
                regs.extend(self.sink_state(&sent));
                (merge, regs)
            }
        });
        let cond = self.condition(op.args[0]);
        self.m.branch(cond, (edges[0].0, &edges[0].1), (edges[1].0, &edges[1].1));
        let mut reached = targets.iter().any(Option::is_none);
        let before = self.sink_state(&sent);
        let known = self.known.mark();
        for (arm, target) in arms.into_iter().zip(targets) {
            let Some(block) = target else { continue };
            self.m.begin(block);
            self.set_sink_state(&sent, &before);
            if let End::Yield(args) = self.region(arm)? {
                let mut regs = self.args_like(args, &forms);
                regs.extend(self.sink_state(&sent));
                self.m.jump(merge, &regs);
                reached = true;
            }
            self.known.restore(known);
        }
        if !reached {
            return Ok(Flow::Left);
        }
        self.m.begin(merge);
        let params = self.m.params(merge).to_vec();
        let values = params.len() - before.len();
        self.bind_all(&op.results, &params[..values]);
        self.set_sink_state(&sent, &params[values..]);
        Ok(Flow::Goes)
    }

    /// Reductions of the innermost loop that a region sends to.
    fn find_sends(&self, region: ir::RegionId, sent: &mut Vec<u32>) {
        let func = self.func;
        for &id in &func.region(region).ops {
            let op = func.op(id);
            match &op.code {
                OpCode::Send { reduction }
                | OpCode::SendFma { reduction }
                | OpCode::SendMasked { reduction } => {
                    sent.push(*reduction);
                }
                OpCode::If => op.regions.iter().for_each(|&arm| self.find_sends(arm, sent)),
                _ => {}
            }
        }
    }

    /// Registers of the state of some reductions of the innermost loop.
    fn sink_state(&self, sent: &[u32]) -> Vec<VReg> {
        let mut regs = Vec::new();
        if let Some(inner) = self.loops.last() {
            for &reduction in sent {
                Sink::append_state(std::slice::from_ref(&inner.sinks[reduction as usize]), &mut regs);
            }
        }
        regs
    }

    fn set_sink_state(&mut self, sent: &[u32], mut regs: &[VReg]) {
        if let Some(inner) = self.loops.last_mut() {
            for &reduction in sent {
                let sink = std::slice::from_mut(&mut inner.sinks[reduction as usize]);
                let count = Sink::set_state(sink, regs);
                regs = &regs[count..];
            }
        }
    }

    pub(super) fn emit_while(&mut self, op: &'a ir::Op) -> Result<(), CompileError> {
        let func = self.func;
        let &[test, body] = &op.regions[..] else { return Err(self.internal("a while has two regions")) };
        let forms = self.carried_forms(&op.args);
        let classes = self.classes(&op.args);
        let [inside, next, exit] = [(); 3].map(|()| self.m.block(&classes));
        let is_flat = |id: &ir::OpId| func.op(*id).regions.is_empty();
        let ops = &func.region(test).ops;
        let turned = ops.len() <= TURNED_CONDITION && ops.iter().all(is_flat);
        let known = self.known.mark();
        self.prepare_loop(test, None);
        self.prepare_loop(body, None);
        let entry = self.args_like(&op.args, &forms);
        self.loops.push(Loop {
            next,
            exit,
            forms: forms.clone(),
            sinks: Vec::new(),
            ordinal: None,
            left: None,
            turn: Turn::Scalar,
        });
        let head = if turned {
            self.test(test, &entry, &forms, inside, exit)?;
            self.m.enter_loop();
            None
        } else {
            let head = self.m.block(&classes);
            self.m.jump(head, &entry);
            self.m.enter_loop();
            self.m.begin(head);
            let params = self.m.params(head).to_vec();
            self.test(test, &params, &forms, inside, exit)?;
            Some(head)
        };
        if self.is_innermost(body) {
            self.m.mark_hot_head(head.unwrap_or(inside));
        }
        self.m.begin(inside);
        let params = self.m.params(inside).to_vec();
        self.bind_all(&func.region(body).params, &params);
        let in_body = self.known.mark();
        if let End::Yield(args) = self.region(body)? {
            let regs = self.args_like(args, &forms);
            self.m.jump(next, &regs);
        }
        self.known.restore(in_body);
        self.m.begin(next);
        let params = self.m.params(next).to_vec();
        match head {
            Some(head) => self.poll(head, &params),
            None => {
                let again = self.m.block(&[]);
                self.poll(again, &[]);
                self.m.begin(again);
                self.test(test, &params, &forms, inside, exit)?;
            }
        }
        self.m.leave_loop();
        self.loops.pop();
        self.known.restore(known);
        self.m.begin(exit);
        let params = self.m.params(exit).to_vec();
        self.bind_all(&op.results, &params);
        Ok(())
    }

    /// Emits the first region of a `while`, and its branch.
    fn test(
        &mut self,
        region: ir::RegionId,
        carried: &[VReg],
        forms: &[Option<MaskForm>],
        inside: BlockId,
        exit: BlockId,
    ) -> Result<(), CompileError> {
        let func = self.func;
        let known = self.known.mark();
        self.bind_all(&func.region(region).params, carried);
        if let End::Yield(args) = self.region(region)? {
            let regs = self.args_like(&args[1..], forms);
            let cond = self.condition(args[0]);
            self.m.branch(cond, (inside, &regs), (exit, &regs));
        }
        self.known.restore(known);
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

    /// Is there no loop in the region?
    pub(super) fn is_innermost(&self, region: ir::RegionId) -> bool {
        self.is_short(region)
    }
}

/// The initial carried values of a loop.
pub(super) fn carried_in(op: &ir::Op) -> &[ir::Value] {
    match &op.code {
        OpCode::For(data) => &op.args[usize::from(data.rank)..],
        _ => &op.args,
    }
}
