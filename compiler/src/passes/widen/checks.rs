//! Checks that stay in a widened body.
//!
//! In: a check whose operands are in lanes. Out: a mask of the lanes that fail, and behind the last of a run of checks a test whether there is any. Holds: if so, the group is run again by the
//! scalar body, lane after lane, which finds the error that comes first in plain order. It always does: every check stands before what could change the outcome ([`super::legal`]
//! has looked), so the scalar body meets the same values. For the same reason it sends no terms: there is no result.

use super::emit::Emit;
use crate::ir::{CheckKind, ForData, Func, OpCode, OpId, RegionId, SiteId, Type, Value};
use crate::passes::copy::{Copier, Map};
use kiln_lang::tree::Const;
use kiln_lang::types::Scalar;

impl Emit<'_> {
    pub(super) fn check(&mut self, id: OpId, site: SiteId) {
        let kind = self.func.sites[site.index()].kind.clone();
        let tested = self.func.op(id).args[..kind.tested()].to_vec();
        self.tally.checks += 1;
        if tested.iter().all(|&value| self.forms.is_uniform(value)) {
            let operands = self.scalars(&tested);
            let mut fails = self.fails(&kind, operands);
            if let Some(mask) = self.mask_operand() {
                let any = self.any(mask);
                fails = self.value(OpCode::And, vec![fails, any], Type::BOOL);
            }
            self.failing_all = Some(match self.failing_all {
                Some(other) => self.value(OpCode::Or, vec![other, fails], Type::BOOL),
                None => fails,
            });
            return;
        }
        let operands = tested.iter().map(|&value| self.lanes(value)).collect();
        let mut fails = self.fails(&kind, operands);
        let ty = Type::Mask(self.lanes);
        if let Some(mask) = self.mask_operand() {
            fails = self.value(OpCode::And, vec![mask, fails], ty);
        }
        self.failing = Some(match self.failing {
            Some(other) => self.value(OpCode::Or, vec![other, fails], ty),
            None => fails,
        });
    }

    /// Does the check of these operands fail? In lanes, or as a scalar.
    fn fails(&mut self, kind: &CheckKind, operands: Vec<Value>) -> Value {
        let ty = self.func.ty(operands[0]);
        let verdict = ty.with_scalar(Scalar::Bool);
        let zero = |emit: &mut Self| {
            let zero = crate::ir::const_from_bits(0, ty.scalar());
            if ty.lanes() > 0 { emit.constant_lanes(zero) } else { emit.constant(zero) }
        };
        match kind {
            // As unsigned numbers, negative indices are beyond any size.
            CheckKind::Bounds { .. } => {
                let unsigned = ty.with_scalar(Scalar::U64);
                let mut words = Vec::with_capacity(2);
                for operand in operands {
                    words.push(self.value(OpCode::Bitcast, vec![operand], unsigned));
                }
                self.value(OpCode::Ge, words, verdict)
            }
            CheckKind::NonZero { .. } | CheckKind::Step | CheckKind::NotEmpty { .. } => {
                let zero = zero(self);
                self.value(OpCode::Eq, vec![operands[0], zero], verdict)
            }
            CheckKind::Exponent | CheckKind::Size => {
                let zero = zero(self);
                self.value(OpCode::Lt, vec![operands[0], zero], verdict)
            }
            CheckKind::DrawRange => self.value(OpCode::Ge, operands, verdict),
            CheckKind::SameSize { .. } => self.value(OpCode::Ne, operands, verdict),
            CheckKind::Entry { .. } | CheckKind::Domain { .. } => {
                self.value(OpCode::Not, vec![operands[0]], verdict)
            }
            CheckKind::Unique { .. } => {
                panic!("bug: `unique` in a loop of `{}` that is widened", self.func.name)
            }
        }
    }

    /// Behind a run of checks: does any lane fail one?
    pub(super) fn test_checks(&mut self) {
        let lanes = self.failing.take().map(|mask| self.any(mask));
        let fails = match (lanes, self.failing_all.take()) {
            (None, None) => return,
            (Some(fails), None) | (None, Some(fails)) => fails,
            (Some(a), Some(b)) => self.value(OpCode::Or, vec![a, b], Type::BOOL),
        };
        let [failed, passed] = [(); 2].map(|()| self.func.add_region());
        let again = self.again();
        self.func.regions[failed.index()].ops = vec![again];
        for region in [failed, passed] {
            self.func.regions[region.index()].end = crate::ir::Terminator::Yield(Vec::new());
        }
        let op = self.op_at(self.level(), OpCode::If, vec![fails], &[]);
        self.func.ops[op.index()].regions = vec![failed, passed];
    }

    /// The group once more, lane after lane. Lanes beyond the end of a row come last: an error is found before them.
    fn again(&mut self) -> OpId {
        let source = self.source;
        let body = self.func.add_region();
        let lane = self.func.add_param(body, Type::I64, None);
        let params = self.func.region(source).params.clone();
        let mut copier = Copier::within(self.func, Map::default());
        for (position, &param) in params.iter().enumerate() {
            let mut ordinal = self.scalar(param);
            if position + 1 == params.len() {
                let add = self.func.push_op(body, OpCode::Add, vec![ordinal, lane], &[Type::I64], self.span);
                ordinal = self.func.op(add).results[0];
            }
            copier.set(param, ordinal);
        }
        for position in 0..self.func.region(source).ops.len() {
            let op = self.func.region(source).ops[position];
            copier.op(self.func, op, body);
        }
        self.func.regions[body.index()].end = copier.end(self.func.region(source).end.clone());
        drop_sends(self.func, body);
        let count = self.constant(Const::I64(i64::from(self.lanes)));
        let plain = ForData { cold: true, ..ForData::plain(1, self.span) };
        let op = self.func.add_op(OpCode::For(Box::new(plain)), vec![count], &[], self.span);
        self.func.ops[op.index()].regions = vec![body];
        op
    }
}

/// Removes the sends to the loop that `region` was the body of; loops inside it are not widened any more.
fn drop_sends(func: &mut Func, region: RegionId) {
    let mut ops = crate::passes::take_ops(func, region);
    ops.retain(|&op| !func.op(op).code.effects().sends);
    for &op in &ops {
        if let OpCode::For(data) = &mut func.ops[op.index()].code {
            data.cold = true;
            continue;
        }
        for position in 0..func.op(op).regions.len() {
            let inner = func.op(op).regions[position];
            drop_sends(func, inner);
        }
    }
    func.regions[region.index()].ops = ops;
}
