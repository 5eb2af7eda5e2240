//! What leaves the function: calls, host functions, outlined loops, prints, checks.
//!
//! In: those ops. Out: indirect calls through the tables in `ctx`. Holds: a status other than 0 is passed on at once; a failed check costs the hot path one
//! branch, its record is written in a cold block.

use super::func::{Emitter, Purpose, constant_flags, slots};
use crate::ir::{self, CheckKind};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{self as clif, AbiParam, InstBuilder, Signature, types};
use kiln_abi::{Ctx, ERROR_VALUES, ErrorRecord, HostFn};
use kiln_lang::types::Layout;
use std::mem::offset_of;

impl Emitter<'_> {
    /// Calls a host function.
    pub(super) fn host(
        &mut self,
        which: HostFn,
        args: &[clif::Value],
        result: Option<clif::Type>,
    ) -> Option<clif::Value> {
        let table = self.ctx_field(offset_of!(Ctx, host));
        self.call_through(table, which as usize, args, result)
    }

    fn call_through(
        &mut self,
        table: clif::Value,
        entry: usize,
        args: &[clif::Value],
        result: Option<clif::Type>,
    ) -> Option<clif::Value> {
        let code = self.b.ins().load(types::I64, constant_flags(), table, 8 * entry as i32);
        let signature = self.signature(args, result);
        let call = self.b.ins().call_indirect(signature, code, args);
        self.b.inst_results(call).first().copied()
    }

    fn signature(&mut self, args: &[clif::Value], result: Option<clif::Type>) -> clif::SigRef {
        let params: Vec<clif::Type> = args.iter().map(|&arg| self.b.func.dfg.value_type(arg)).collect();
        let same = |known: &&(Vec<clif::Type>, Option<clif::Type>, clif::SigRef)| {
            known.0 == params && known.1 == result
        };
        if let Some(known) = self.signatures.iter().find(same) {
            return known.2;
        }
        let mut signature = Signature::new(self.call_conv);
        signature.params.extend(params.iter().map(|&ty| AbiParam::new(ty)));
        signature.returns.extend(result.map(AbiParam::new));
        let reference = self.b.import_signature(signature);
        self.signatures.push((params, result, reference));
        reference
    }

    /// Calls another function of the program.
    pub(super) fn call(&mut self, op: &ir::Op, callee: ir::FuncId) {
        let func = self.func;
        let params: usize = op.args.iter().map(|&arg| slots(func.ty(arg))).sum();
        let results: usize = op.results.iter().map(|&result| slots(func.ty(result))).sum();
        let area = self.take(params + results);
        let env = self.address(area);
        let flags = self.flags(Purpose::Frame);
        self.store_values(env, &op.args);
        let table = self.ctx_field(offset_of!(Ctx, code));
        let none = self.iconst(types::I64, 0);
        let args = [self.ctx, env, none, none];
        let status = self.call_through(table, callee.index(), &args, Some(types::I32));
        self.propagate(status.expect("a function has a status"));
        let mut slot = params;
        let env = self.address(area);
        for &result in &op.results {
            let comps = self.load_comps(env, slot, func.ty(result), flags);
            self.bind(result, &comps);
            slot += slots(func.ty(result));
        }
        self.give_back(area);
    }

    /// Hands an outlined loop to the runtime.
    pub(super) fn run_loop(&mut self, op: &ir::Op, number: u32) {
        let func = self.func;
        let (&count, live_ins) = op.args.split_first().expect("the first operand is the count");
        let env_slots: usize = live_ins.iter().map(|&value| slots(func.ty(value))).sum();
        let area = self.take(env_slots + op.results.len());
        let env = self.address(area);
        let flags = self.flags(Purpose::Frame);
        self.store_values(env, live_ins);
        let count = self.scalar(count);
        let number = self.iconst(types::I64, i64::from(number));
        let out = self.b.ins().iadd_imm_s(env, 8 * env_slots as i64);
        let args = [self.ctx, number, env, count, out];
        let status = self.host(HostFn::Loop, &args, Some(types::I32));
        self.propagate(status.expect("Loop has a status"));
        let env = self.address(area);
        for (position, &result) in op.results.iter().enumerate() {
            let total = self.load_slot(env, env_slots + position, func.ty(result).scalar(), flags);
            self.bind(result, &[total]);
        }
        self.give_back(area);
    }

    pub(super) fn print(&mut self, op: &ir::Op, site: ir::PrintId) {
        let func = self.func;
        let number = self.prints.len() as i64;
        let value_types = op.args.iter().map(|&arg| func.ty(arg)).collect();
        self.prints.push((func.prints[site.index()].clone(), value_types));
        let area = self.take(op.args.iter().map(|&arg| slots(func.ty(arg))).sum());
        let values = self.address(area);
        self.store_values(values, &op.args);
        let number = self.iconst(types::I64, number);
        self.host(HostFn::Print, &[self.ctx, number, values], None);
        self.give_back(area);
    }

    fn store_values(&mut self, base: clif::Value, values: &[ir::Value]) {
        let flags = self.flags(Purpose::Frame);
        let mut slot = 0;
        for &value in values {
            self.store_value(base, slot, value, flags);
            slot += slots(self.func.ty(value));
        }
    }

    pub(super) fn check(&mut self, op: &ir::Op, site: ir::SiteId) {
        let func = self.func;
        let kind = &func.sites[site.index()].kind;
        let number = self.site_base + u64::from(site.0);
        if let CheckKind::Unique { .. } = kind {
            return self.check_unique(op, number);
        }
        let Some(fails) = self.failure(kind, &op.args) else { return };
        let (go_on, fail) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(fail);
        self.b.ins().brif(fails, fail, &[], go_on, &[]);
        self.enter(fail);
        self.record(number, 0, &op.args);
        self.fail();
        self.enter(go_on);
    }

    /// What must not be, as a truth value; nothing if it cannot be.
    fn failure(&mut self, kind: &CheckKind, args: &[ir::Value]) -> Option<clif::Value> {
        let a = self.scalar(args[0]);
        let signed = self.func.ty(args[0]).scalar().is_signed_int();
        let fails = match kind {
            CheckKind::Bounds { .. } => {
                let size = self.scalar(args[1]);
                // A size is not negative, so as unsigned numbers negative indices lie above it.
                self.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, a, size)
            }
            CheckKind::NonZero { .. }
            | CheckKind::Step
            | CheckKind::NotEmpty { .. }
            | CheckKind::Entry { .. }
            | CheckKind::Domain { .. } => self.b.ins().icmp_imm_s(IntCC::Equal, a, 0),
            CheckKind::Exponent | CheckKind::Size if signed => {
                self.b.ins().icmp_imm_s(IntCC::SignedLessThan, a, 0)
            }
            CheckKind::Exponent | CheckKind::Size => return None,
            CheckKind::DrawRange => {
                let hi = self.scalar(args[1]);
                let code =
                    if signed { IntCC::SignedGreaterThanOrEqual } else { IntCC::UnsignedGreaterThanOrEqual };
                self.b.ins().icmp(code, a, hi)
            }
            CheckKind::SameSize { .. } => {
                let wanted = self.scalar(args[1]);
                self.b.ins().icmp(IntCC::NotEqual, a, wanted)
            }
            CheckKind::Unique { .. } => unreachable!("the host tests it"),
        };
        Some(fails)
    }

    /// The host looks for a value that repeats, and leaves the two ordinals in the record's first values.
    fn check_unique(&mut self, op: &ir::Op, number: u64) {
        let func = self.func;
        let ir::Type::Array { elem, layout, .. } = func.ty(op.args[0]) else {
            unreachable!("verified: the first operand is an array")
        };
        let comps = self.comps(op.args[0]).to_vec();
        let stride = match layout {
            Layout::Contiguous => self.iconst(types::I64, super::memory::elem_bytes(elem)),
            Layout::Strided => comps[comps.len() - 1],
        };
        let (offset, count) = (self.scalar(op.args[1]), self.scalar(op.args[2]));
        let distance = self.b.ins().imul(offset, stride);
        let first = self.b.ins().iadd(comps[0], distance);
        let elem = self.iconst(types::I64, ir::kind_of(elem) as i64);
        // The host finds the range of the values itself.
        let range = self.iconst(types::I64, 0);
        let out = self.b.ins().iadd_imm_s(self.ctx, error_value(0) as i64);
        let args = [self.ctx, first, stride, elem, count, range, out];
        let repeats = self.host(HostFn::Unique, &args, Some(types::I32)).expect("Unique has a result");
        let (go_on, fail) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(fail);
        self.b.ins().brif(repeats, fail, &[], go_on, &[]);
        self.enter(fail);
        self.record(number, 2, &op.args[3..]);
        self.fail();
        self.enter(go_on);
    }

    /// Writes the error record: the site, and operands from value `first` on.
    fn record(&mut self, number: u64, first: usize, operands: &[ir::Value]) {
        let flags = self.flags(Purpose::Error);
        let number = self.iconst(types::I64, number as i64);
        self.b.ins().store(
            flags,
            number,
            self.ctx,
            (offset_of!(Ctx, error) + offset_of!(ErrorRecord, site)) as i32,
        );
        for (k, &operand) in (first..ERROR_VALUES).zip(operands) {
            let raw = self.scalar(operand);
            let raw = self.widen(self.func.ty(operand).scalar(), raw);
            self.b.ins().store(flags, raw, self.ctx, error_value(k));
        }
    }
}

fn error_value(k: usize) -> i32 {
    (offset_of!(Ctx, error) + offset_of!(ErrorRecord, values) + 8 * k) as i32
}
