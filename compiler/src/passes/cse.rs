//! Computes each value once.
//!
//! In: a function. Out: the same, an op gone whose result an op before it has already. Holds: nesting is dominance, so what a region computed is
//! forgotten at its end; an element is loaded again after any write to its array, and a stored element need not be loaded; arrays made
//! by different ops are never merged.

use super::arrays::{Classes, LoopWrites, written};
use super::{Apply, Pass, Renames, take_ops};
use crate::ir::{Func, Op, OpCode, OpId, RegionId, Value, const_bits, const_scalar};
use crate::report::Report;
use std::mem::discriminant;

/// The pass.
pub const CSE: Pass = Pass { name: "cse", about: "compute each value once", apply: Apply::Func(cse) };

fn cse(func: &mut Func, _report: &mut Report) {
    merge_equal(func);
}

/// The pass on one function.
pub(super) fn merge_equal(func: &mut Func) {
    let classes = Classes::of(func);
    let writes = LoopWrites::of(func, &classes);
    let mut cse = Cse {
        renames: Renames::new(func),
        table: Table::new(func.ops.len()),
        versions: vec![0; func.values.len()],
        version: 0,
        classes,
        writes,
    };
    let body = func.body;
    cse.region(func, body);
}

struct Cse {
    renames: Renames,
    table: Table,
    /// Per class of arrays: changes with every write.
    versions: Vec<u32>,
    version: u32,
    classes: Classes,
    writes: LoopWrites,
}

/// An op whose results are known, or a store whose element is.
#[derive(Clone, Copy)]
struct Entry {
    op: OpId,
    /// Version of the array that it reads; 0 if it reads none.
    version: u32,
    hash: u64,
    /// The entry before it in its bucket.
    next: u32,
}

/// A hash table that forgets what came last first.
struct Table {
    buckets: Vec<u32>,
    entries: Vec<Entry>,
}

const NONE: u32 = u32::MAX;

impl Table {
    fn new(ops: usize) -> Table {
        Table { buckets: vec![NONE; ops.next_power_of_two().max(16)], entries: Vec::with_capacity(ops) }
    }

    fn bucket(&self, hash: u64) -> usize {
        (hash >> 32) as usize & (self.buckets.len() - 1)
    }

    fn find(&self, hash: u64, mut is_same: impl FnMut(&Entry) -> bool) -> Option<OpId> {
        let mut at = self.buckets[self.bucket(hash)];
        while at != NONE {
            let entry = &self.entries[at as usize];
            if entry.hash == hash && is_same(entry) {
                return Some(entry.op);
            }
            at = entry.next;
        }
        None
    }

    fn insert(&mut self, op: OpId, version: u32, hash: u64) {
        let bucket = self.bucket(hash);
        let next = std::mem::replace(&mut self.buckets[bucket], self.entries.len() as u32);
        self.entries.push(Entry { op, version, hash, next });
    }

    fn forget(&mut self, from: usize) {
        while self.entries.len() > from {
            let entry = self.entries[self.entries.len() - 1];
            let bucket = self.bucket(entry.hash);
            self.buckets[bucket] = entry.next;
            self.entries.pop();
        }
    }
}

impl Cse {
    fn region(&mut self, func: &mut Func, region: RegionId) {
        let mark = self.table.entries.len();
        let mut ops = take_ops(func, region);
        ops.retain(|&op| self.keep(func, op));
        func.regions[region.index()].ops = ops;
        self.renames.in_end(func, region);
        self.table.forget(mark);
    }

    fn keep(&mut self, func: &mut Func, id: OpId) -> bool {
        self.renames.in_op(func, id);
        let op = func.op(id);
        let effects = op.code.effects();
        if effects.pure {
            return self.number(func, id, 0);
        }
        if matches!(op.code, OpCode::Load | OpCode::LoadMasked) {
            let version = self.version_of(op.args[0]);
            return self.number(func, id, version);
        }
        if effects.regions {
            // What the body writes is unknown at its start: earlier iterations ran.
            for position in 0..self.writes.get(id).len() {
                let class = self.writes.get(id)[position];
                self.write(class);
            }
            for position in 0..func.op(id).regions.len() {
                let inner = func.op(id).regions[position];
                self.region(func, inner);
            }
            return true;
        }
        for array in written(func, id).collect::<Vec<_>>() {
            self.write(self.classes.get(array));
        }
        let op = func.op(id);
        if op.code == OpCode::Store {
            // From here on the element is what was stored.
            let version = self.version_of(op.args[0]);
            let hash = hash(&OpCode::Load, &op.args[..op.args.len() - 1], version);
            self.table.insert(id, version, hash);
        }
        true
    }

    /// Is it the first of its kind? If not, its results become those of the first.
    fn number(&mut self, func: &Func, id: OpId, version: u32) -> bool {
        let op = func.op(id);
        let mut hash = hash(&op.code, &op.args, version);
        // The type tells conversions apart.
        hash = mix(hash, func.ty(op.results[0]).scalar() as u64);
        if op.code == OpCode::Load {
            hash = self::hash(&OpCode::Load, &op.args, version);
        }
        let found =
            self.table.find(hash, |entry| entry.version == version && is_same(func, func.op(entry.op), op));
        match found {
            None => {
                self.table.insert(id, version, hash);
                true
            }
            Some(first) => {
                let first = func.op(first);
                if first.code == OpCode::Store {
                    self.renames.set(op.results[0], first.args[first.args.len() - 1]);
                }
                for (&from, &to) in op.results.iter().zip(&first.results) {
                    self.renames.set(from, to);
                }
                false
            }
        }
    }

    fn version_of(&self, array: Value) -> u32 {
        self.versions[self.classes.get(array).index()]
    }

    fn write(&mut self, class: Value) {
        self.version += 1;
        self.versions[class.index()] = self.version;
    }
}

fn mix(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(5) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

fn hash(code: &OpCode, args: &[Value], version: u32) -> u64 {
    let mut hash = code.name().bytes().fold(u64::from(version), |hash, byte| mix(hash, u64::from(byte)));
    match *code {
        OpCode::Const(constant) => hash = mix(hash, const_bits(constant)),
        OpCode::Draw { kind: number, .. }
        | OpCode::Dim { axis: number }
        | OpCode::Extract { lane: number } => {
            hash = mix(hash, u64::from(number));
        }
        _ => {}
    }
    match args {
        &[a, b] if is_commutative(code) => mix(mix(hash, u64::from(a.min(b).0)), u64::from(a.max(b).0)),
        _ => args.iter().fold(hash, |hash, arg| mix(hash, u64::from(arg.0))),
    }
}

/// Do both ops compute the same? `earlier` may be a store of the element that `later` loads.
fn is_same(func: &Func, earlier: &Op, later: &Op) -> bool {
    if earlier.code == OpCode::Store {
        let stored = earlier.args[earlier.args.len() - 1];
        return later.code == OpCode::Load
            && earlier.args[..earlier.args.len() - 1] == later.args[..]
            && func.ty(stored) == func.ty(later.results[0]);
    }
    let is_same_code = match (&earlier.code, &later.code) {
        // By bits: -0.0 is not 0.0, and a NaN is itself.
        (OpCode::Const(a), OpCode::Const(b)) => {
            const_scalar(*a) == const_scalar(*b) && const_bits(*a) == const_bits(*b)
        }
        (a, b) => discriminant(a) == discriminant(b) && a == b,
    };
    let is_same_args = match (&earlier.args[..], &later.args[..]) {
        (&[a, b], &[c, d]) if is_commutative(&later.code) => (a, b) == (c, d) || (a, b) == (d, c),
        (a, b) => a == b,
    };
    is_same_code
        && is_same_args
        && earlier.results.len() == later.results.len()
        && earlier.results.iter().zip(&later.results).all(|(&a, &b)| func.ty(a) == func.ty(b))
}

/// a op b = b op a, bit for bit, with NaN as one value.
fn is_commutative(code: &OpCode) -> bool {
    matches!(
        code,
        OpCode::Add
            | OpCode::Mul
            | OpCode::MulHi
            | OpCode::Min
            | OpCode::Max
            | OpCode::And
            | OpCode::Or
            | OpCode::Xor
            | OpCode::Eq
            | OpCode::Ne
    )
}
