//! The IR: one structured SSA form in dense arenas.
//!
//! In: what `lower` builds or `parse` reads. Out: what passes rewrite, the oracle evaluates and backends emit.
//! Holds (and `verify` checks): a region is a list of ops ended by one terminator; nesting and position are dominance; every
//! value has one definition; loads and stores name an array and one i64 index per dimension, addresses exist only in backends;
//! a check is an effect. Two array values are the same memory only if they are the same value: owners swap, they never overlap.

mod bits;
pub mod eval;
mod parse;
mod print;
pub mod table;
#[cfg(test)]
mod tests;
mod verify;

pub use bits::{const_bits, const_from_bits, const_scalar, kind_of, same_bits, scalar_of};
pub use eval::{Arg, ArrayData, EvalError, EvalOptions, Outcome, PrintEvent, Printed, eval};
pub use parse::parse;
pub use print::{print, print_func, print_with_spans, reduce_name};
pub use table::{Effects, count_sends, effects_of};
pub(crate) use verify::chunk_loop;
pub use verify::{verify, verify_func};

use kiln_abi::ReduceOp;
use kiln_lang::math::Function;
use kiln_lang::span::Span;
use kiln_lang::tree::Const;
use kiln_lang::types::{Generator, Layout, Scalar};
use std::sync::Arc;

macro_rules! index {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u32);
        impl $name {
            /// As a position in its arena.
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

index!(
    /// An SSA value of a function.
    Value
);
index!(
    /// An op of a function.
    OpId
);
index!(
    /// A region of a function.
    RegionId
);
index!(
    /// A function of a program; 0 is the entry.
    FuncId
);
index!(
    /// A check site of a function.
    SiteId
);
index!(
    /// A print site of a function.
    PrintId
);

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// One number.
    Scalar(Scalar),
    /// One number per lane. Never `bool`: see `Mask`.
    Lanes(Scalar, u8),
    /// One truth value per lane.
    Mask(u8),
    /// An array; a value of this type is pointer, sizes and strides together.
    Array {
        /// Element type.
        elem: Scalar,
        /// Dimensions.
        rank: u8,
        /// Contiguous arrays need no strides.
        layout: Layout,
    },
}

impl Type {
    /// bool
    pub const BOOL: Type = Type::Scalar(Scalar::Bool);
    /// i64
    pub const I64: Type = Type::Scalar(Scalar::I64);
    /// u64
    pub const U64: Type = Type::Scalar(Scalar::U64);
    /// f64
    pub const F64: Type = Type::Scalar(Scalar::F64);
    /// f32
    pub const F32: Type = Type::Scalar(Scalar::F32);

    /// Element type of a scalar or of lanes (`Bool` for a mask); of an array, its elements'.
    pub fn scalar(self) -> Scalar {
        match self {
            Type::Scalar(scalar) | Type::Lanes(scalar, _) | Type::Array { elem: scalar, .. } => scalar,
            Type::Mask(_) => Scalar::Bool,
        }
    }

    /// Number of lanes; 0 for scalars and arrays.
    pub fn lanes(self) -> u8 {
        match self {
            Type::Lanes(_, lanes) | Type::Mask(lanes) => lanes,
            Type::Scalar(_) | Type::Array { .. } => 0,
        }
    }

    /// The type of `scalar` in as many lanes as `self` has.
    pub fn with_scalar(self, scalar: Scalar) -> Type {
        match self.lanes() {
            0 => Type::Scalar(scalar),
            lanes if scalar == Scalar::Bool => Type::Mask(lanes),
            lanes => Type::Lanes(scalar, lanes),
        }
    }

    /// Is it an array?
    pub fn is_array(self) -> bool {
        matches!(self, Type::Array { .. })
    }
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Def {
    /// Parameter of a region (of the function, for the body region).
    Param(RegionId, u32),
    /// Result of an op.
    Op(OpId, u32),
}

/// What is known of a value.
#[derive(Clone, Debug)]
pub struct ValueData {
    /// Its type.
    pub ty: Type,
    /// Its definition.
    pub def: Def,
    /// Name in the source, for printing and messages.
    pub name: Option<Arc<str>>,
}

/// An op.
#[derive(Clone, Debug)]
pub struct Op {
    /// What it does.
    pub code: OpCode,
    /// Operands.
    pub args: Vec<Value>,
    /// Results.
    pub results: Vec<Value>,
    /// Regions, for control flow.
    pub regions: Vec<RegionId>,
    /// Where it came from.
    pub span: Span,
    /// Stands in the reach of `@fast`.
    pub fast: bool,
}

/// A list of ops and how it ends.
#[derive(Clone, Debug)]
pub struct RegionData {
    /// Parameters.
    pub params: Vec<Value>,
    /// Ops, in order.
    pub ops: Vec<OpId>,
    /// The end.
    pub end: Terminator,
}

/// How a region ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Terminator {
    /// Not set yet; `verify` refuses it.
    Open,
    /// Gives values to the op that holds the region: results of an `if`; next carried values of a `for` or `while` body; condition and carried
    /// values of a `while`'s first region.
    Yield(Vec<Value>),
    /// Leaves the n-th enclosing loop (0 = innermost) with its carried values. Not out of an annotated `for`.
    Break(u32, Vec<Value>),
    /// Ends this iteration of the n-th enclosing loop with its next carried values.
    Continue(u32, Vec<Value>),
    /// Leaves the function.
    Return(Vec<Value>),
}

impl Terminator {
    /// The values that it hands over.
    pub fn args(&self) -> &[Value] {
        match self {
            Terminator::Open => &[],
            Terminator::Yield(args)
            | Terminator::Break(_, args)
            | Terminator::Continue(_, args)
            | Terminator::Return(args) => args,
        }
    }

    /// The same, to rewrite.
    pub fn args_mut(&mut self) -> &mut [Value] {
        match self {
            Terminator::Open => &mut [],
            Terminator::Yield(args)
            | Terminator::Break(_, args)
            | Terminator::Continue(_, args)
            | Terminator::Return(args) => args,
        }
    }
}

/// A function.
#[derive(Clone, Debug)]
pub struct Func {
    /// Name in the source.
    pub name: Arc<str>,
    /// Types of the results. Arrays among them are contiguous and owned by the caller from then on.
    pub results: Vec<Type>,
    /// The body; its parameters are the function's.
    pub body: RegionId,
    /// All values.
    pub values: Vec<ValueData>,
    /// All ops; those that no region lists are dead.
    pub ops: Vec<Op>,
    /// All regions.
    pub regions: Vec<RegionData>,
    /// Check sites.
    pub sites: Vec<CheckSite>,
    /// Print sites.
    pub prints: Vec<PrintSite>,
    /// Set by `outline` on the body of an outlined loop: which loop it is. Its parameters are the live-ins; the last `extents` of them
    /// are the extents of the loop, i64. The body is a single `for` over lo..hi of the chunk.
    pub chunk_of: Option<u32>,
}

/// A program: the entry and what it calls.
#[derive(Clone, Debug)]
pub struct Program {
    /// Functions; the entry is the first.
    pub funcs: Vec<Func>,
    /// Outlined loops, filled by `outline`.
    pub loops: Vec<kiln_abi::LoopInfo>,
}

/// A place where a check can fail, and what to say then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckSite {
    /// What is checked.
    pub kind: CheckKind,
    /// Function in the source that the check stands in; inlining does not change it.
    pub func: Arc<str>,
    /// The expression.
    pub span: Span,
    /// Names of the enclosing loops' indices, outer to inner; their values are the last operands of the check.
    pub indices: Vec<Arc<str>>,
}

/// What a check tests, on its first operands; the operands behind those are loop indices for the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// (index, size): 0 <= index < size, on `axis` of `array`.
    Bounds {
        /// The array's name.
        array: Arc<str>,
        /// The axis.
        axis: u8,
    },
    /// (divisor): not 0; any integer type. `op` is `//` or `%`.
    NonZero {
        /// The operator.
        op: &'static str,
    },
    /// (exponent): not negative.
    Exponent,
    /// (step): not 0.
    Step,
    /// (lo, hi): lo < hi, for `rand_int`.
    DrawRange,
    /// (count): not 0, for `min`, `max`, `argmin`, `argmax` of nothing.
    NotEmpty {
        /// The reduction.
        of: &'static str,
    },
    /// (size): not negative; a size given to `zeros` and the like.
    Size,
    /// (found, wanted): equal. Sizes that must agree: `found` and `wanted` say what is compared.
    SameSize {
        /// For example: "size of `y` along axis 0".
        found: Arc<str>,
        /// For example: "`n` = size of `x` along axis 0".
        wanted: Arc<str>,
    },
    /// (condition): true. The entry condition of an annotated loop.
    Entry {
        /// The condition in words.
        condition: Arc<str>,
    },
    /// (condition, value): the condition is true. A value that a function cannot take: i64 or f64.
    Domain {
        /// The function.
        of: Arc<str>,
        /// What it needs, in words.
        needs: Arc<str>,
        /// The value's type, if the message shows it.
        show: Option<Scalar>,
    },
    /// (array as one operand, offset i64, count i64): the values at `offset .. offset + count` differ. Fails with (later ordinal, earlier ordinal).
    Unique {
        /// The array's name.
        array: Arc<str>,
    },
}

impl CheckKind {
    /// Operands that are tested; the rest are loop indices.
    pub fn tested(&self) -> usize {
        match self {
            CheckKind::Bounds { .. }
            | CheckKind::DrawRange
            | CheckKind::SameSize { .. }
            | CheckKind::Domain { .. } => 2,
            CheckKind::Unique { .. } => 3,
            CheckKind::NonZero { .. }
            | CheckKind::Exponent
            | CheckKind::Step
            | CheckKind::NotEmpty { .. }
            | CheckKind::Size
            | CheckKind::Entry { .. } => 1,
        }
    }
}

/// What a `print` op writes: the values are its operands in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrintSite {
    /// Pieces.
    pub parts: Vec<PrintPart>,
}

/// A piece of a `print`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrintPart {
    /// As it stands.
    Text(String),
    /// The next operand.
    Value,
}

/// What a `for` is, beside its operands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForData {
    /// Number of extents: the first operands. 1 for a plain `for i in a..b`.
    pub rank: u8,
    /// `@parallel`
    pub parallel: bool,
    /// `@vectorize`
    pub vectorize: bool,
    /// Ordinals per iteration: 1, or the lanes L of a widened loop. That one has a second region, see [`OpCode::For`].
    pub lanes: u8,
    /// Ordinals per iteration of the second region of a widened loop, at most L; 0 of any other.
    pub tail: u8,
    /// Made from a generator (`sum(e for …)`): annotated by nature.
    pub generator: bool,
    /// Runs seldom, to find an error: not worth widening.
    pub cold: bool,
    /// Arrays whose values `@unique` promises to differ; a `Unique` check stands before the loop.
    pub unique: Vec<Value>,
    /// Scalar reductions, sinks that the body feeds by `send`.
    pub reductions: Vec<Reduction>,
    /// Array reductions of this loop, set by `check_loops`: array value, operator.
    pub arrays: Vec<(Value, ReduceOp)>,
    /// Line of the header in the source.
    pub span: Span,
}

impl ForData {
    /// A plain loop over `rank` extents.
    pub fn plain(rank: u8, span: Span) -> ForData {
        ForData {
            rank,
            parallel: false,
            vectorize: false,
            lanes: 1,
            tail: 0,
            generator: false,
            cold: false,
            unique: Vec::new(),
            reductions: Vec::new(),
            arrays: Vec::new(),
            span,
        }
    }

    /// `@parallel`, `@vectorize`, or a generator.
    pub fn is_annotated(&self) -> bool {
        self.parallel || self.vectorize || self.generator
    }
}

/// One scalar reduction of a `for`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reduction {
    /// The operator.
    pub op: ReduceOp,
    /// Type of the total.
    pub ty: Scalar,
    /// The variable.
    pub name: Arc<str>,
}

/// What an op does. Arithmetic is on scalars, or lane by lane; `T` is one type for all operands and the result.
#[derive(Clone, Debug, PartialEq)]
pub enum OpCode {
    /// `-> scalar`
    Const(Const),
    /// `-> u64`: the seed of the call.
    Seed,

    /// `T, T`: wrapping on ints.
    Add,
    /// `T, T`
    Sub,
    /// `T, T`
    Mul,
    /// Floats.
    Div,
    /// Ints, floored; 0 for divisor 0 (a check stands before it); MIN // -1 wraps.
    FloorDiv,
    /// Ints, sign of the divisor; 0 for divisor 0; MIN % -1 is 0.
    Rem,
    /// `T`
    Neg,
    /// `T`; wraps on ints.
    Abs,
    /// `T, T`: IEEE 754-2019 minimum on floats (NaN wins, -0 < +0).
    Min,
    /// `T, T`
    Max,
    /// `a, b, c`: floats, a*b+c rounded once.
    Fma,
    /// Floats.
    Sqrt,
    /// Floats.
    Floor,
    /// Floats.
    Ceil,
    /// Floats.
    Trunc,
    /// Floats, ties to even.
    Nearest,
    /// Ints, bools, masks.
    And,
    /// Ints, bools, masks.
    Or,
    /// Ints, bools, masks.
    Xor,
    /// Ints, bools, masks.
    Not,
    /// `T, T`: ints; the count (of the same type) is masked to the width.
    Shl,
    /// `T, T`: arithmetic for signed, logical for unsigned; count masked.
    Shr,
    /// `u64, u64`: high half of the product.
    MulHi,
    /// `T, T -> bool` (or mask). False for NaN, except `Ne`.
    Eq,
    /// `T, T -> bool`
    Ne,
    /// `T, T -> bool`
    Lt,
    /// `T, T -> bool`
    Le,
    /// `T, T -> bool`
    Gt,
    /// `T, T -> bool`
    Ge,
    /// `bool or mask, T, T`; branch-free.
    Select,
    /// To the result's scalar type: ints wrap or extend by the operand's signedness, int to float rounds once, float to int truncates and saturates, NaN
    /// to 0; to bool is `!= 0`.
    Convert,
    /// Same bits, same width; also bool from/to nothing.
    Bitcast,

    /// A function of mathematics with a body in the prelude: a single op until `expand`. Written by its name.
    Math(Function),

    /// `key, index, block (u64) -> u64, u64`: block of a kind (0..4) by a generator, as X0, X1 (SEMANTICS section 6). In text `philox 0` or `ars 0`.
    Draw {
        /// Philox4x32-10 or ARS-7.
        generator: Generator,
        /// 0 uniforms, 1 normals, 2 child keys, 3 explicit streams.
        kind: u8,
    },

    /// `scalar -> lanes`
    Splat,
    /// `scalar int -> lanes`: base + lane number.
    Iota,
    /// `lanes -> scalar`
    Extract {
        /// Which.
        lane: u8,
    },
    /// `mask -> bool`
    Any,
    /// `mask -> bool`
    All,

    /// `array -> i64`
    Dim {
        /// Which.
        axis: u8,
    },
    /// `array, i64 per dimension -> elem`; with lanes of i64 a gather. The indices are in bounds: checks stand before.
    Load,
    /// `array, indices, value`
    Store,
    /// `array, mask, indices -> lanes`: lanes off give 0 and touch no memory.
    LoadMasked,
    /// `array, mask, indices, value`
    StoreMasked,
    /// `array, indices, value`: element = element op value, a single op so that array reductions are seen.
    Update(ReduceOp),
    /// `array, indices, a, b`: element = fma(a, b, element).
    UpdateFma,
    /// `array, mask, indices, value`: lanes off touch no memory.
    UpdateMasked(ReduceOp),
    /// `array, mask, indices, a, b`
    UpdateFmaMasked,
    /// `sizes (i64, not negative) -> contiguous array`, zeroed. May fail with the memory error.
    Alloc,
    /// Like `Alloc`, but the contents are unspecified: every element is stored before it is loaded.
    AllocUninit,
    /// `array`: the owner ends. The array came from an alloc or a call.
    Free,

    /// `tested operands, loop indices`: leaves the function with an error unless the condition of the site holds.
    Check(SiteId),

    /// `term`: sends a term to a reduction of the innermost enclosing loop, an annotated `for`.
    Send {
        /// Which of its reductions.
        reduction: u32,
    },
    /// `a, b`: sends a product, fused. Float sums only.
    SendFma {
        /// Which.
        reduction: u32,
    },
    /// `mask, term`: lanes send, lane l as ordinal q + l.
    SendMasked {
        /// Which.
        reduction: u32,
    },

    /// `bool`, two regions without parameters. Results are what they yield.
    If,
    /// `rank extents (i64, not negative), initial carried values`; region parameters: one i64 ordinal per extent, carried values.
    /// Results: carried values, then the reductions' totals (from the identity; the caller folds them into the variable).
    ///
    /// A widened loop (`lanes` L > 1) carries nothing and has two regions. The first runs while L ordinals are left in the row (the last extent); its
    /// last ordinal is that of lane 0, and all lanes are on. The second then takes `tail` ordinals at a time; it has one more parameter, the mask of
    /// the lanes that are iterations.
    For(Box<ForData>),
    /// `initial carried values`; two regions with the carried values as parameters: the first yields (bool, values), the second runs with those values
    /// while it is true and yields the next. Results: the values that came with false.
    While,
    /// Arguments are the callee's parameters, results its results.
    Call(FuncId),
    /// Scalars and arrays, as the site has them.
    Print(PrintId),
    /// Made by `outline`: runs outlined loop `number` over `count` ordinals: `count (i64), live-ins`. Results: totals of its scalar reductions.
    RunLoop {
        /// Which.
        number: u32,
    },
}

impl Func {
    /// An empty function without parameters; its body region is open.
    pub fn new(name: &str) -> Func {
        Func {
            name: name.into(),
            results: Vec::new(),
            body: RegionId(0),
            values: Vec::new(),
            ops: Vec::new(),
            regions: vec![RegionData { params: Vec::new(), ops: Vec::new(), end: Terminator::Open }],
            sites: Vec::new(),
            prints: Vec::new(),
            chunk_of: None,
        }
    }

    /// A new, empty, open region.
    pub fn add_region(&mut self) -> RegionId {
        self.regions.push(RegionData { params: Vec::new(), ops: Vec::new(), end: Terminator::Open });
        RegionId(self.regions.len() as u32 - 1)
    }

    /// A new parameter of `region`.
    pub fn add_param(&mut self, region: RegionId, ty: Type, name: Option<Arc<str>>) -> Value {
        let position = self.regions[region.index()].params.len() as u32;
        let value = self.add_value(ValueData { ty, def: Def::Param(region, position), name });
        self.regions[region.index()].params.push(value);
        value
    }

    /// A new op that no region lists yet, with one result per type.
    pub fn add_op(&mut self, code: OpCode, args: Vec<Value>, results: &[Type], span: Span) -> OpId {
        let id = OpId(self.ops.len() as u32);
        let results = results
            .iter()
            .enumerate()
            .map(|(position, &ty)| {
                self.add_value(ValueData { ty, def: Def::Op(id, position as u32), name: None })
            })
            .collect();
        self.ops.push(Op { code, args, results, regions: Vec::new(), span, fast: false });
        id
    }

    /// A new op at the end of `region`.
    pub fn push_op(
        &mut self,
        region: RegionId,
        code: OpCode,
        args: Vec<Value>,
        results: &[Type],
        span: Span,
    ) -> OpId {
        let id = self.add_op(code, args, results, span);
        self.regions[region.index()].ops.push(id);
        id
    }

    fn add_value(&mut self, data: ValueData) -> Value {
        self.values.push(data);
        Value(self.values.len() as u32 - 1)
    }

    /// The type of a value.
    pub fn ty(&self, value: Value) -> Type {
        self.values[value.index()].ty
    }

    /// The op of that number.
    pub fn op(&self, op: OpId) -> &Op {
        &self.ops[op.index()]
    }

    /// The region of that number.
    pub fn region(&self, region: RegionId) -> &RegionData {
        &self.regions[region.index()]
    }

    /// The function's parameters.
    pub fn params(&self) -> &[Value] {
        &self.region(self.body).params
    }

    /// The op that defines a value, if one does.
    pub fn def_op(&self, value: Value) -> Option<OpId> {
        match self.values[value.index()].def {
            Def::Op(op, _) => Some(op),
            Def::Param(..) => None,
        }
    }

    /// The constant that a value is, if it is one.
    pub fn as_const(&self, value: Value) -> Option<Const> {
        match self.op(self.def_op(value)?).code {
            OpCode::Const(constant) => Some(constant),
            _ => None,
        }
    }
}
