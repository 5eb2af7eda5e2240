//! The typed tree: one specialisation of a function and of all it calls, every name resolved, every type concrete, every
//! conversion written out.
//!
//! In: what `infer` makes of a checked module and the types of a call. Out: what `lower` reads; nothing else reads source again.
//! Holds: no literal without a type, no implicit conversion, `let`-bound names and size variables are locals, functions are
//! specialised per types *and* per [`StreamMode`]; recursion is impossible; the value of a body is an explicit `Return`.

use crate::math::Function;
use crate::span::Span;
use crate::types::{Generator, Scalar, Type};

pub use crate::ast::{BinaryOp, CompareOp, UnaryOp};

/// Index of a [`Func`] in a [`Program`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FuncId(pub u32);

/// Index of a [`Local`] in a [`Func`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LocalId(pub u32);

/// A specialisation and what it calls.
#[derive(Clone, Debug)]
pub struct Program {
    /// Callees may stand before or after their callers. The entry is `funcs[0]`.
    pub funcs: Vec<Func>,
}

/// Which stream is current at the function's entry (SEMANTICS section 6: known per call site).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamMode {
    /// It draws nothing, itself or through calls.
    None,
    /// The root of the call: key = seed, index 0.
    Root,
    /// The stream of some loop's iteration.
    Inner,
}

/// One function, specialised.
#[derive(Clone, Debug)]
pub struct Func {
    /// As in source; `script` for a script's statement.
    pub name: String,
    /// Parameters, in order.
    pub params: Vec<Param>,
    /// Result.
    pub result: Type,
    /// Declared shapes of the result's arrays, checked at each return: one entry per array of the flattened result, `None` if undeclared.
    pub result_shapes: Vec<Option<Vec<Dim>>>,
    /// All locals: parameters, size variables, bindings, loop indices, temporaries.
    pub locals: Vec<Local>,
    /// Body. If the result is not [`Type::Unit`], every path ends in a `Return`.
    pub body: Vec<Stmt>,
    /// Does it draw, and from what?
    pub stream: StreamMode,
    /// What makes the blocks of the current stream in its body; what `@rng(…)` before the function says, else its caller's.
    pub generator: Generator,
    /// `@fast` on the function.
    pub fast: bool,
    /// The name in the source.
    pub span: Span,
}

/// A parameter.
#[derive(Clone, Debug)]
pub struct Param {
    /// Its local.
    pub local: LocalId,
    /// Declared `mut`.
    pub is_mut: bool,
    /// Shape positions, if it is an array with a declared shape.
    pub dims: Option<Vec<Dim>>,
    /// The parameter in the source.
    pub span: Span,
}

/// A shape position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dim {
    /// `_`: any size.
    Any,
    /// The size variable is bound here: lowering sets the local from the array's size.
    Bind(LocalId),
    /// The size must equal local + offset: a size variable bound elsewhere, or an `i64` parameter.
    Equal(LocalId, i64),
    /// The size must equal this.
    Literal(i64),
}

/// A variable.
#[derive(Clone, Debug)]
pub struct Local {
    /// As in source; temporaries have a name in angle brackets.
    pub name: String,
    /// Type.
    pub ty: Type,
    /// How it came about.
    pub kind: LocalKind,
    /// Where it is declared.
    pub span: Span,
}

/// How a local came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LocalKind {
    /// Parameter without `mut`.
    Param,
    /// `mut` array parameter.
    MutParam,
    /// Size variable.
    Size,
    /// `let`: a scalar, tuple or stream; or an array alias (`let b = a`), or the owner of a fresh array.
    Let,
    /// `var`
    Var,
    /// Loop index.
    Index,
    /// Made by `infer`.
    Temp,
}

/// A statement.
#[derive(Clone, Debug)]
pub struct Stmt {
    /// What.
    pub kind: StmtKind,
    /// Where.
    pub span: Span,
}

/// Kinds of statements.
#[derive(Clone, Debug)]
pub enum StmtKind {
    /// Declares and initialises. For an array: if `value` is a [`ExprKind::Local`] (or a tuple element that is one) the local is an alias of that array; any other
    /// array expression is fresh (an allocation, a copy, a call's result) and the local owns it until its block ends.
    Let {
        /// The local.
        local: LocalId,
        /// Its value, of the local's type.
        value: Expr,
    },
    /// `place = value`, value of the place's type. Never an array.
    Set {
        /// Left side.
        place: Place,
        /// Right side.
        value: Expr,
    },
    /// `place op= value`. `-=` comes as `Add` of a negated value.
    Update {
        /// Left side, of the value's type.
        place: Place,
        /// Operator.
        op: UpdateOp,
        /// Right side.
        value: UpdateValue,
        /// The whole statement was `x = x + e` or `x = max(x, e)` rather than a compound assignment.
        spelled_out: bool,
    },
    /// `a, b = e, f`: all values first, then all stores, left to right.
    SetMany {
        /// Left sides: scalars.
        places: Vec<Place>,
        /// Right sides, one each.
        values: Vec<Expr>,
    },
    /// `a, b = b, a` on `var` arrays of the same type, declared in the same block: owners swap; `targets[k]` gets what `sources[k]` owned.
    Swap {
        /// A permutation of `sources`.
        targets: Vec<LocalId>,
        /// What they get.
        sources: Vec<LocalId>,
    },
    /// `if`
    If {
        /// Condition, bool.
        cond: Expr,
        /// Then.
        then: Vec<Stmt>,
        /// Else; may be empty.
        otherwise: Vec<Stmt>,
    },
    /// `for`
    For(For),
    /// `while`
    While {
        /// Condition, bool.
        cond: Expr,
        /// Body.
        body: Vec<Stmt>,
    },
    /// Leaves the innermost loop.
    Break,
    /// Next iteration of the innermost loop.
    Continue,
    /// Leaves the function, with a value unless it has none.
    Return(Option<Expr>),
    /// For its effect.
    Expr(Expr),
    /// `print(…)`
    Print(Vec<PrintPart>),
    /// A block with its own scope.
    Block(Vec<Stmt>),
    /// `@fast { … }`
    Fast(Vec<Stmt>),
}

/// A piece of what `print` writes. Blanks between arguments and the line end are `Text`s already.
#[derive(Clone, Debug)]
pub enum PrintPart {
    /// As it stands.
    Text(String),
    /// A scalar, array or tuple.
    Value(Expr),
}

/// What can be assigned: a scalar or tuple local, or an element of an array.
#[derive(Clone, Debug)]
pub struct Place {
    /// The variable.
    pub local: LocalId,
    /// One i64 per dimension; empty for a scalar or tuple.
    pub indices: Vec<Expr>,
    /// Type of what is assigned.
    pub ty: Type,
    /// Where.
    pub span: Span,
}

/// Operators of updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UpdateOp {
    /// `+=`, `*=`, `//=`, `&=`, …; never `And`, `Or`, `MatMul`, `Sub`.
    Binary(BinaryOp),
    /// `min=`
    Min,
    /// `max=`
    Max,
}

/// The right side of an update.
#[derive(Clone, Debug)]
pub enum UpdateValue {
    /// Any expression of the place's type.
    Plain(Expr),
    /// `x += a * b` on floats: one fused multiply-add (SEMANTICS section 2).
    Product(Expr, Expr),
}

/// A loop over ranges.
#[derive(Clone, Debug)]
pub struct For {
    /// Annotations.
    pub annotations: LoopAnnotations,
    /// Indices, outer first; bounds of inner ones do not see outer indices (one rectangular loop).
    pub indices: Vec<Index>,
    /// Body.
    pub body: Vec<Stmt>,
    /// Does the body draw from the *current* stream, itself or through calls? (Explicit streams do not count.)
    pub draws: bool,
    /// The header.
    pub span: Span,
}

/// What was written before a loop.
#[derive(Clone, Debug, Default)]
pub struct LoopAnnotations {
    /// `@parallel`
    pub parallel: bool,
    /// `@vectorize`
    pub vectorize: bool,
    /// `@fast`
    pub fast: bool,
    /// `@rng(…)`: what makes the blocks of the current stream inside.
    pub generator: Option<Generator>,
    /// `@unique(p)`: rank-1 integer arrays, with the places of the annotations.
    pub unique: Vec<(LocalId, Span)>,
}

impl LoopAnnotations {
    /// `@parallel` or `@vectorize`.
    pub fn is_annotated(&self) -> bool {
        self.parallel || self.vectorize
    }
}

/// `i in lo..hi step s`, all i64.
#[derive(Clone, Debug)]
pub struct Index {
    /// The index variable.
    pub local: LocalId,
    /// First.
    pub lo: Expr,
    /// End.
    pub hi: Expr,
    /// `..=`
    pub inclusive: bool,
    /// Step; 1 if absent.
    pub step: Option<Expr>,
}

/// An expression.
#[derive(Clone, Debug)]
pub struct Expr {
    /// What.
    pub kind: ExprKind,
    /// Its concrete type.
    pub ty: Type,
    /// Where.
    pub span: Span,
}

/// A scalar constant.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Const {
    Bool(bool),
    I32(i32),
    I64(i64),
    U32(u32),
    U64(u64),
    F32(f32),
    F64(f64),
}

/// Kinds of expressions.
#[derive(Clone, Debug)]
pub enum ExprKind {
    /// A constant of the expression's type.
    Const(Const),
    /// A local.
    Local(LocalId),
    /// Operand has the expression's type (bool for `Not`, ints for `BitNot`).
    Unary(UnaryOp, Box<Expr>),
    /// Both operands have the expression's type, shift counts and exponents excepted: see [`ExprKind::Pow`]. Never `And`, `Or`, `Pow`, `MatMul`; `Div` is on floats.
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    /// `x ** k` with a literal exponent, |k| <= 16, x a float: binary powering.
    PowLiteral(Box<Expr>, i32),
    /// `x ** y`: both floats of one type (`pow`), or an int base with an i64 exponent that is checked not to be negative.
    Pow(Box<Expr>, Box<Expr>),
    /// Short-circuit `and`.
    And(Box<Expr>, Box<Expr>),
    /// Short-circuit `or`.
    Or(Box<Expr>, Box<Expr>),
    /// `a < b <= c`: each operand once, left to right, stops at the first false. `types[k]` is the type in which comparison k is done; lowering converts.
    Compare {
        /// Operands.
        operands: Vec<Expr>,
        /// One less.
        ops: Vec<CompareOp>,
        /// Common type of each neighbouring pair.
        types: Vec<Scalar>,
    },
    /// Scalar conversion to the expression's type (SEMANTICS section 2).
    Convert(Box<Expr>),
    /// A builtin without effects on scalars, operands already of the right types.
    Math(MathFn, Vec<Expr>),
    /// `if` with a value; both arms have it.
    If(Box<Expr>, Box<BlockExpr>, Box<BlockExpr>),
    /// A block with a value.
    Block(Box<BlockExpr>),
    /// A call of a specialised function.
    Call(FuncId, Vec<Expr>),
    /// An element of an array.
    Index(Box<Expr>, Vec<Expr>),
    /// Size of an array along an axis, i64.
    Dim(Box<Expr>, usize),
    /// A tuple.
    Tuple(Vec<Expr>),
    /// An element of a tuple.
    TupleGet(Box<Expr>, usize),
    /// A fresh array of the expression's type.
    Alloc(Alloc),
    /// A fresh contiguous copy of an array.
    Copy(Box<Expr>),
    /// A reduction of a generator.
    Reduce(Box<Reduce>),
    /// `rand()`, `randn()`, `rand_exp()`: a float of the expression's type, from the current stream or an explicit one.
    Draw(Variate, Option<LocalId>),
    /// `rand_int(lo, hi)`, i64.
    RandInt {
        /// Explicit stream, if any.
        stream: Option<LocalId>,
        /// First.
        lo: Box<Expr>,
        /// End.
        hi: Box<Expr>,
    },
    /// A call of a function that draws, from an explicit stream instead of the current one.
    CallOn {
        /// The stream; its counters move on.
        stream: LocalId,
        /// Draws, and was specialised for [`StreamMode::Inner`].
        callee: FuncId,
        /// Arguments.
        args: Vec<Expr>,
    },
    /// A scalar that must lie within a range, checked after it is evaluated.
    Require(Box<Expr>, Requirement),
    /// `rng(a)`, `rng(a, b)`: i64 arguments; a [`Type::Stream`], whose generator makes its key and its blocks.
    Rng(Vec<Expr>),
}

/// What is demanded of a scalar: an error where the call stands, if not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Requirement {
    /// Least value.
    pub least: f64,
    /// Greatest value; NaN lies outside every range.
    pub greatest: f64,
    /// The function that demands it.
    pub of: &'static str,
    /// What it needs, in words.
    pub needs: &'static str,
    /// Show the value in the message?
    pub show: bool,
}

/// What a draw gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variate {
    /// `rand()`: uniform in (0, 1).
    Uniform,
    /// `randn()`: normal, mean 0, variance 1.
    Normal,
    /// `rand_exp()`: exponential, mean 1.
    Exponential,
}

impl Variate {
    /// As called.
    pub fn name(self) -> &'static str {
        match self {
            Variate::Uniform => "rand",
            Variate::Normal => "randn",
            Variate::Exponential => "rand_exp",
        }
    }
}

/// Statements, then a value.
#[derive(Clone, Debug)]
pub struct BlockExpr {
    /// Statements.
    pub stmts: Vec<Stmt>,
    /// The value. `None` when the block cannot reach its end (`return`, `break`).
    pub value: Option<Expr>,
}

/// How a fresh array is filled.
#[derive(Clone, Debug)]
pub enum Alloc {
    /// `zeros(n, m)`
    Zeros(Vec<Expr>),
    /// `ones(n, m)`
    Ones(Vec<Expr>),
    /// `full(v, n, m)`: the value, of element type, then the sizes.
    Full(Box<Expr>, Vec<Expr>),
    /// `arange(lo, hi, step)` as element type: element k is lo + k*step, computed in the element type; size max(0, ceil((hi-lo)/step)). `step 0` is a located error.
    Arange(Box<Expr>, Box<Expr>, Box<Expr>),
    /// `linspace(lo, hi, n)`, floats: element k is fma(k, (hi-lo)/(n-1), lo), the last exactly hi; n = 1 gives lo.
    Linspace(Box<Expr>, Box<Expr>, Box<Expr>),
}

/// A reduction of a generator, in the language's fixed order. `sum` of a whole array comes as one too.
#[derive(Clone, Debug)]
pub struct Reduce {
    /// Which.
    pub kind: ReduceKind,
    /// Indices, outer first.
    pub indices: Vec<Index>,
    /// Terms whose filter is false send nothing.
    pub filter: Option<Expr>,
    /// The term; for sum and mean already of the result's type. Beside a `product`, a constant that only shows type and place.
    pub term: Expr,
    /// `sum(a*b for …)` on floats: the term is this product and goes in fused.
    pub product: Option<(Expr, Expr)>,
    /// Annotations on the generator.
    pub annotations: LoopAnnotations,
    /// Does it draw from the current stream?
    pub draws: bool,
}

/// Reductions of generators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReduceKind {
    /// 0 + total.
    Sum,
    /// 1 for none.
    Prod,
    /// Located error for none.
    Min,
    /// Located error for none.
    Max,
    /// sum / count of the terms sent, f64 or f32; NaN for none.
    Mean,
    /// False for none.
    Any,
    /// True for none.
    All,
    /// Lowest ordinal of the least term, i64; the first NaN wins; located error for none.
    Argmin,
    /// Lowest ordinal of the greatest term.
    Argmax,
}

/// Scalar builtins without effects. Operands and result share one type unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum MathFn {
    /// Floats.
    Sqrt,
    /// Ints (wrapping) and floats.
    Abs,
    Floor,
    Ceil,
    /// To nearest, ties to even.
    Round,
    Trunc,
    /// One with a body in the prelude; see its signature for types.
    Prelude(Function),
    /// IEEE 754-2019 minimum on floats.
    Min,
    Max,
    /// `clamp(x, lo, hi)` = min(max(x, lo), hi)
    Clamp,
    /// -1, 0, 1; NaN for NaN; keeps the sign of zero.
    Sign,
    /// Three floats.
    Fma,
    /// Float to bool.
    IsNan,
    /// Float to bool.
    IsInf,
    /// Float to bool.
    IsFinite,
    /// Float to the unsigned int of its width: its bits, NaN canonical.
    Bits,
    /// Unsigned int to the float of its width.
    FromBits,
    /// Two u64: high half of the product.
    MulHi,
}
