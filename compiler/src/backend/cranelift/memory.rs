//! Arrays: addresses, loads, stores, updates, allocation.
//!
//! In: an array and one index per dimension, in bounds. Out: loads and stores that cannot trap.
//! Holds: memory is divided among alias regions, one per class of array values that may become one another through control flow; what the IR promises
//! (different array values never overlap) then lets Cranelift keep an element in a register across a store to another array.
//! Element loads may not be moved past control flow: the check that makes them safe may stand there.

use super::classes::Classes;
use super::func::{Emitter, Purpose, clif_type};
use crate::ir::{self, OpCode};
use cranelift_codegen::ir::{self as clif, AliasRegion, AliasRegionData, InstBuilder, MemFlagsData, types};
use cranelift_frontend::FunctionBuilder;
use kiln_abi::{HostFn, ReduceOp};
use kiln_lang::types::{Layout, Scalar};

/// Alias regions of a function.
pub(super) struct ArrayMemory {
    purposes: [AliasRegion; 5],
    classes: Classes,
    /// Per class: its region.
    regions: Vec<Option<AliasRegion>>,
    count: u32,
}

/// So many classes get a region of their own; the others share "any other memory", which Cranelift treats with care.
const MAX_REGIONS: u32 = 256;

impl ArrayMemory {
    pub(super) fn new(func: &ir::Func, b: &mut FunctionBuilder<'_>) -> ArrayMemory {
        let mut region = |user_id: u32, description: &'static str| {
            b.func.dfg.alias_regions.insert(AliasRegionData { user_id, description: description.into() })
        };
        let purposes = [
            region(Purpose::Error as u32, "error record"),
            region(Purpose::Frame as u32, "frame"),
            region(Purpose::Partial as u32, "accumulators"),
            region(Purpose::Terms as u32, "terms"),
            region(Purpose::Results as u32, "results"),
        ];
        let classes = Classes::of(func, ir::Type::is_array);
        ArrayMemory { purposes, classes, regions: vec![None; func.values.len()], count: 0 }
    }

    pub(super) fn purpose(&self, purpose: Purpose) -> AliasRegion {
        self.purposes[purpose as usize]
    }

    fn region_of(&mut self, array: ir::Value, b: &mut FunctionBuilder<'_>) -> Option<AliasRegion> {
        let class = self.classes.class(array);
        if self.regions[class].is_none() && self.count < MAX_REGIONS {
            let user_id = self.purposes.len() as u32 + self.count;
            self.count += 1;
            let data = AliasRegionData { user_id, description: format!("array %{class}").into() };
            self.regions[class] = Some(b.func.dfg.alias_regions.insert(data));
        }
        self.regions[class]
    }
}

impl Emitter<'_> {
    pub(super) fn load(&mut self, op: &ir::Op) {
        let array = op.args[0];
        let (base, offset) = self.element(array, &op.args[1..]);
        let flags = self.element_flags(array);
        let ty = clif_type(self.func.ty(array).scalar());
        let value = self.b.ins().load(ty, flags, base, offset);
        self.bind(op.results[0], &[value]);
    }

    pub(super) fn store(&mut self, op: &ir::Op) {
        let (array, value) = (op.args[0], op.args[op.args.len() - 1]);
        let (base, offset) = self.element(array, &op.args[1..op.args.len() - 1]);
        let flags = self.element_flags(array);
        let value = self.scalar(value);
        self.b.ins().store(flags, value, base, offset);
    }

    /// `element = element op value`
    pub(super) fn update(&mut self, op: &ir::Op, reduce: ReduceOp) {
        let (array, term) = (op.args[0], op.args[op.args.len() - 1]);
        let elem = self.func.ty(array).scalar();
        let (base, offset) = self.element(array, &op.args[1..op.args.len() - 1]);
        let flags = self.element_flags(array);
        let old = self.b.ins().load(clif_type(elem), flags, base, offset);
        let term = self.scalar(term);
        let new = self.combine(reduce, elem, old, term);
        self.b.ins().store(flags, new, base, offset);
    }

    /// `element = fma(a, b, element)`
    pub(super) fn update_fma(&mut self, op: &ir::Op) {
        let array = op.args[0];
        let (indices, factors) = op.args[1..].split_at(op.args.len() - 3);
        let elem = self.func.ty(array).scalar();
        let (base, offset) = self.element(array, indices);
        let flags = self.element_flags(array);
        let old = self.b.ins().load(clif_type(elem), flags, base, offset);
        let (x, y) = (self.scalar(factors[0]), self.scalar(factors[1]));
        let new = self.fma(elem, x, y, old);
        self.b.ins().store(flags, new, base, offset);
    }

    pub(super) fn alloc(&mut self, op: &ir::Op, zero: i64) {
        let elem = self.func.ty(op.results[0]).scalar();
        let sizes = self.all_comps(&op.args);
        let count = self.product(&sizes);
        let elem_bytes = self.iconst(types::I64, elem_bytes(elem));
        let zero = self.iconst(types::I64, zero);
        let area = self.take(1);
        let out = self.address(area);
        let status = self.host(HostFn::Alloc, &[self.ctx, elem_bytes, count, zero, out], Some(types::I32));
        self.propagate(status.expect("Alloc has a result"));
        let flags = self.flags(Purpose::Frame);
        let out = self.address(area);
        let pointer = self.b.ins().load(types::I64, flags, out, 0);
        self.give_back(area);
        let mut comps = vec![pointer];
        comps.extend(sizes);
        self.bind(op.results[0], &comps);
    }

    /// Product of sizes, none negative; the largest i64 if it does not fit.
    pub(super) fn product(&mut self, sizes: &[clif::Value]) -> clif::Value {
        let Some((&first, rest)) = sizes.split_first() else { return self.iconst(types::I64, 1) };
        rest.iter().fold(first, |product, &size| {
            let low = self.b.ins().imul(product, size);
            let high = self.b.ins().umulhi(product, size);
            // Too large: bits in the high half, or in the sign of the low half.
            let sign = self.b.ins().ushr_imm_u(low, 63);
            let excess = self.b.ins().bor(high, sign);
            let most = self.iconst(types::I64, i64::MAX);
            let fits = self.b.ins().icmp_imm_s(clif::condcodes::IntCC::Equal, excess, 0);
            self.b.ins().select(fits, low, most)
        })
    }

    /// Strides in bytes of a contiguous array of these sizes.
    pub(super) fn contiguous_strides(&mut self, elem: Scalar, sizes: &[clif::Value]) -> Vec<clif::Value> {
        let mut stride = self.iconst(types::I64, elem_bytes(elem));
        let mut strides = vec![stride];
        for &size in sizes[1..].iter().rev() {
            stride = self.b.ins().imul(stride, size);
            strides.push(stride);
        }
        strides.reverse();
        strides
    }

    /// Address of an element: a base and a constant offset. What does not depend on the last index stays apart from it, so that it leaves an inner
    /// loop over that index.
    pub(super) fn element(&mut self, array: ir::Value, indices: &[ir::Value]) -> (clif::Value, i32) {
        let ir::Type::Array { elem, rank, layout } = self.func.ty(array) else {
            unreachable!("verified: only arrays are indexed")
        };
        let rank = usize::from(rank);
        let comps = self.comps(array).to_vec();
        match layout {
            Layout::Contiguous => {
                let mut address = comps[0];
                let (&last, outer) = indices.split_last().expect("an array has a dimension");
                if let Some((&first, rest)) = outer.split_first() {
                    let mut row = self.scalar(first);
                    for (k, &index) in rest.iter().enumerate() {
                        let index = self.scalar(index);
                        row = self.b.ins().imul(row, comps[2 + k]);
                        row = self.b.ins().iadd(row, index);
                    }
                    let start = self.b.ins().imul(row, comps[rank]);
                    let start = self.scale(start, elem);
                    address = self.b.ins().iadd(address, start);
                }
                let (index, offset) = self.index_and_offset(last, elem);
                if let Some(index) = index {
                    let distance = self.scale(index, elem);
                    address = self.b.ins().iadd(address, distance);
                }
                (address, offset)
            }
            Layout::Strided => {
                let mut address = comps[0];
                for (k, &index) in indices.iter().enumerate() {
                    let index = self.scalar(index);
                    let distance = self.b.ins().imul(index, comps[1 + rank + k]);
                    address = self.b.ins().iadd(address, distance);
                }
                (address, 0)
            }
        }
    }

    /// `i + c` as `i` and the bytes of `c`: neighbours of an element share one address register. Addresses wrap as integers do.
    fn index_and_offset(&mut self, index: ir::Value, elem: Scalar) -> (Option<clif::Value>, i32) {
        let func = self.func;
        let whole = |emitter: &Self| (Some(emitter.scalar(index)), 0);
        let (mut rest, mut constant) = (index, 0i64);
        for _ in 0..4 {
            let Some(op) = func.def_op(rest).map(|op| func.op(op)) else { break };
            let known =
                |value: ir::Value| func.as_const(value).map(|constant| ir::const_bits(constant) as i64);
            (rest, constant) = match &op.code {
                OpCode::Const(value) => {
                    let total = constant.wrapping_add(ir::const_bits(*value) as i64);
                    return match byte_offset(total, elem) {
                        Some(offset) => (None, offset),
                        None => whole(self),
                    };
                }
                OpCode::Add => match (known(op.args[0]), known(op.args[1])) {
                    (_, Some(c)) => (op.args[0], constant.wrapping_add(c)),
                    (Some(c), None) => (op.args[1], constant.wrapping_add(c)),
                    (None, None) => break,
                },
                OpCode::Sub => match known(op.args[1]) {
                    Some(c) => (op.args[0], constant.wrapping_sub(c)),
                    None => break,
                },
                _ => break,
            };
        }
        match byte_offset(constant, elem) {
            Some(offset) => (Some(self.scalar(rest)), offset),
            None => whole(self),
        }
    }

    pub(super) fn scale(&mut self, index: clif::Value, elem: Scalar) -> clif::Value {
        match elem_bytes(elem).trailing_zeros() {
            0 => index,
            shift => self.b.ins().ishl_imm_u(index, i64::from(shift)),
        }
    }

    /// Elements may lie at any alignment.
    pub(super) fn element_flags(&mut self, array: ir::Value) -> MemFlagsData {
        let region = self.memory.region_of(array, &mut self.b);
        MemFlagsData::new().with_notrap().with_alias_region(region)
    }
}

pub(super) fn elem_bytes(elem: Scalar) -> i64 {
    i64::from(elem.bits() / 8)
}

fn byte_offset(elements: i64, elem: Scalar) -> Option<i32> {
    i32::try_from(elements.checked_mul(elem_bytes(elem))?).ok()
}
