//! What leaves the function: host functions, checks.
//!
//! In: those ops. Out: calls through the tables in `ctx`. Holds: a failed check costs the hot path one branch, its record is written in a cold block.

use super::code::{Addr, Cond};
use super::func::{Cold, Selector};
use super::scalar::size_of;
use super::table::{Op, Size};
use crate::backend::CompileError;
use crate::ir::{self, CheckKind};
use kiln_abi::{Ctx, ERROR_VALUES, ErrorRecord, HostFn};
use kiln_lang::types::Scalar;
use regalloc2::VReg;
use std::mem::offset_of;

impl Selector<'_> {
    /// Calls a host function that gives nothing back.
    pub(super) fn host(&mut self, which: HostFn, args: &[VReg]) {
        let table = self.ctx_field(offset_of!(Ctx, host));
        let code = self.m.op(Op::Mov, Size::Q, &[Addr::at(table, 8 * which as i32).into()]);
        self.m.call(code, args, None);
    }

    pub(super) fn check(&mut self, op: &ir::Op, site: ir::SiteId) -> Result<(), CompileError> {
        let func = self.func;
        let kind = &func.sites[site.index()].kind;
        let number = self.site_base + u64::from(site.0);
        // What the record needs is computed before the flags are.
        let operands: Vec<(VReg, Scalar)> =
            op.args.iter().take(ERROR_VALUES).map(|&arg| (self.scalar(arg), func.ty(arg).scalar())).collect();
        let Some(fails) = self.failure(op, kind, &operands)? else { return Ok(()) };
        let (go_on, fail) = (self.m.block(&[]), self.m.block(&[]));
        self.m.branch(fails, (fail, &[]), (go_on, &[]));
        self.cold.push(Cold::Record { block: fail, site: number, operands, from: self.m.from });
        self.m.begin(go_on);
        Ok(())
    }

    /// Sets the flags by what is checked; gives the condition that must not be, or nothing if it cannot be.
    fn failure(
        &mut self,
        op: &ir::Op,
        kind: &CheckKind,
        operands: &[(VReg, Scalar)],
    ) -> Result<Option<Cond>, CompileError> {
        let (a, ty) = operands[0];
        let signed = ty.is_signed_int();
        let size = size_of(ty);
        let compare = |s: &mut Self| match s.immediate(op.args[1]) {
            Some(imm) => {
                s.m.op_imm(Op::CmpImm, size, &[a.into()], imm);
            }
            None => {
                s.m.op(Op::Cmp, size, &[a.into(), operands[1].0.into()]);
            }
        };
        let test = |s: &mut Self| {
            s.m.op(Op::Test, size, &[a.into(), a.into()]);
        };
        Ok(Some(match kind {
            CheckKind::Bounds { .. } => {
                compare(self);
                // A size is not negative, so as unsigned numbers negative indices lie above it.
                Cond::AboveEqual
            }
            CheckKind::NonZero { .. }
            | CheckKind::Step
            | CheckKind::NotEmpty { .. }
            | CheckKind::Entry { .. }
            | CheckKind::Domain { .. } => {
                test(self);
                Cond::Equal
            }
            CheckKind::Exponent | CheckKind::Size if signed => {
                test(self);
                Cond::Less
            }
            CheckKind::Exponent | CheckKind::Size => return Ok(None),
            CheckKind::DrawRange => {
                compare(self);
                if signed { Cond::GreaterEqual } else { Cond::AboveEqual }
            }
            CheckKind::SameSize { .. } => {
                compare(self);
                Cond::NotEqual
            }
            CheckKind::Unique { .. } => return Err(self.unsupported(op)),
        }))
    }

    /// Writes the error record: the site and the operands.
    pub(super) fn write_record(&mut self, site: u64, operands: &[(VReg, Scalar)]) {
        let start = offset_of!(Ctx, error);
        let number = self.m.imm64(site as i64);
        let at = Addr::at(self.ctx, (start + offset_of!(ErrorRecord, site)) as i32);
        self.m.op(Op::MovStore, Size::Q, &[number.into(), at.into()]);
        for (k, &(value, ty)) in operands.iter().enumerate() {
            let raw = self.raw_bits(ty, value);
            let at = Addr::at(self.ctx, (start + offset_of!(ErrorRecord, values) + 8 * k) as i32);
            self.m.op(Op::MovStore, Size::Q, &[raw.into(), at.into()]);
        }
    }
}
