//! The syntax tree: what the parser saw, with spans, before names and types.
//!
//! In: tokens. Out: [`Module`]. Holds: every node has a span; comments are kept beside; depth is bounded by the parser
//! ([`MAX_DEPTH`]), so recursion over the tree is safe on a 2 MB stack.

use crate::span::Span;

/// Deepest nesting of expressions and blocks that the parser accepts. Chains like `a + b + c …` count one per operator.
pub const MAX_DEPTH: usize = 256;

/// A parsed source.
#[derive(Clone, Debug, Default)]
pub struct Module {
    /// Functions, constants and statements, in order.
    pub items: Vec<Item>,
    /// Comments with their spans (text without `#`), in order.
    pub comments: Vec<Comment>,
}

/// `# text`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// Without the `#` and the space behind it.
    pub text: String,
    /// Including the `#`.
    pub span: Span,
}

/// What may stand at top level.
#[derive(Clone, Debug)]
pub enum Item {
    /// `fn …`
    Func(Func),
    /// `const NAME = expr`
    Const(Const),
    /// A statement of the script.
    Stmt(Stmt),
}

/// A name with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The name.
    pub text: String,
    /// Its place.
    pub span: Span,
}

/// `const NAME: type = expr`
#[derive(Clone, Debug)]
pub struct Const {
    /// Name.
    pub name: Name,
    /// Declared type.
    pub ty: Option<TypeExpr>,
    /// Value: literals, operators, builtins and other constants.
    pub value: Expr,
    /// Whole item.
    pub span: Span,
}

/// `fn name(params) -> result { … }` or `fn name(params) = expr`
#[derive(Clone, Debug)]
pub struct Func {
    /// Annotations before `fn`.
    pub annotations: Vec<Annotation>,
    /// Name.
    pub name: Name,
    /// Parameters.
    pub params: Vec<Param>,
    /// Declared result.
    pub result: Option<TypeExpr>,
    /// Body; `= expr` is a block whose value is `expr`.
    pub body: Block,
    /// Comment lines right above, joined: the function's doc.
    pub doc: String,
    /// From annotation to the end of the body.
    pub span: Span,
}

/// `name: mut type`
#[derive(Clone, Debug)]
pub struct Param {
    /// Name.
    pub name: Name,
    /// May the function write its elements?
    pub is_mut: bool,
    /// Declared type; without one the parameter is generic.
    pub ty: Option<TypeExpr>,
}

/// A written type.
#[derive(Clone, Debug)]
pub struct TypeExpr {
    /// What.
    pub kind: TypeExprKind,
    /// Where.
    pub span: Span,
}

/// Kinds of written types.
#[derive(Clone, Debug)]
pub enum TypeExprKind {
    /// `f64`, or a type variable `T` (a capital name), or an unknown name.
    Name(String),
    /// `[T; n, m]`; the element type is a name.
    Array {
        /// Element type.
        elem: Box<TypeExpr>,
        /// Shape positions.
        dims: Vec<DimExpr>,
    },
    /// `(f64, i64)`
    Tuple(Vec<TypeExpr>),
}

/// A shape position: `n`, `3`, `n+1`, `n-1`, `_`.
#[derive(Clone, Debug)]
pub struct DimExpr {
    /// The name, if any.
    pub name: Option<Name>,
    /// The literal, or what is added to the name.
    pub offset: i64,
    /// Where.
    pub span: Span,
}

/// `@parallel`, `@vectorize`, `@fast`, `@unique(p)`, `@rng(ars)`
#[derive(Clone, Debug)]
pub struct Annotation {
    /// Without the `@`.
    pub name: Name,
    /// Arguments.
    pub args: Vec<Expr>,
    /// Whole annotation.
    pub span: Span,
}

/// `{ … }`. Its value is the last statement's, if that is an expression statement.
#[derive(Clone, Debug)]
pub struct Block {
    /// Statements.
    pub stmts: Vec<Stmt>,
    /// Including the braces.
    pub span: Span,
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
    /// `let a = e`, `var (a, b) = e`, `let x: f32 = e`
    Bind {
        /// `var` rather than `let`.
        is_var: bool,
        /// One name, or several of a tuple pattern.
        names: Vec<Name>,
        /// Was it written as a tuple pattern (`a, b` or `(a, b)`)?
        is_tuple: bool,
        /// Declared type.
        ty: Option<TypeExpr>,
        /// Value.
        value: Expr,
    },
    /// `a = e`, `a[i] = e`, `a, b = b, a`; more than one target only without an operator.
    Assign {
        /// Left sides.
        targets: Vec<Expr>,
        /// Operator of `+=` and so on.
        op: Option<AssignOp>,
        /// Where the operator stands.
        op_span: Span,
        /// Right side (a tuple expression for several targets).
        value: Expr,
    },
    /// `for …`, with annotations.
    For(For),
    /// `while c { … }`
    While {
        /// Condition.
        cond: Expr,
        /// Body.
        body: Block,
    },
    /// `break`
    Break,
    /// `continue`
    Continue,
    /// `return`, `return e`, `return a, b`
    Return(Option<Expr>),
    /// An expression for its value or effect; `if` and blocks as statements too.
    Expr(Expr),
    /// `time { … }`
    Time(Block),
    /// Annotated statement that is not a loop (`@fast { … }`, or a mistake to be reported later).
    Annotated {
        /// Annotations.
        annotations: Vec<Annotation>,
        /// What they stand before.
        stmt: Box<Stmt>,
    },
    /// A statement the parser could not read; it has reported why.
    Error,
}

/// `@parallel for i in a..b, j in c..d { … }`
#[derive(Clone, Debug)]
pub struct For {
    /// Annotations.
    pub annotations: Vec<Annotation>,
    /// Indices, outer first.
    pub indices: Vec<Index>,
    /// Body.
    pub body: Block,
    /// From the first annotation to the brace.
    pub span: Span,
}

/// `i in range`
#[derive(Clone, Debug)]
pub struct Index {
    /// The index variable.
    pub name: Name,
    /// What it runs over: a [`ExprKind::Range`], or something else (an error with a hint).
    pub range: Expr,
}

/// An expression.
#[derive(Clone, Debug)]
pub struct Expr {
    /// What.
    pub kind: ExprKind,
    /// Where.
    pub span: Span,
}

/// Kinds of expressions.
#[derive(Clone, Debug)]
pub enum ExprKind {
    /// Digits without `_`; fits u64.
    Int(u64),
    /// A float literal.
    Float(f64),
    /// `true`, `false`
    Bool(bool),
    /// A string literal, unescaped.
    Str(String),
    /// A name.
    Name(String),
    /// `-x`, `not x`, `~x`
    Unary(UnaryOp, Box<Expr>),
    /// `a + b` and so on, `and`/`or` included.
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    /// `a < b <= c`: operands, and one operator less.
    Compare(Vec<Expr>, Vec<CompareOp>),
    /// `f(a, name=b)`
    Call {
        /// What is called: a name, or something else (an error with a hint).
        callee: Box<Expr>,
        /// Positional arguments.
        args: Vec<Expr>,
        /// Keyword arguments.
        keywords: Vec<(Name, Expr)>,
        /// A generator as the only positional argument: `sum(e for i in 0..n if c)`.
        generator: Option<Box<Generator>>,
    },
    /// `a[i, j]`
    Index(Box<Expr>, Vec<Expr>),
    /// `a.T`, `x.shape`, `t.0`
    Field(Box<Expr>, Name),
    /// `(a, b)`; also `a, b` where a statement allows it.
    Tuple(Vec<Expr>),
    /// `a..b`, `a..=b step s`; ends may be missing in slices, `:` is a range without any.
    Range {
        /// First.
        lo: Option<Box<Expr>>,
        /// Last.
        hi: Option<Box<Expr>>,
        /// `..=`
        inclusive: bool,
        /// `step s`
        step: Option<Box<Expr>>,
    },
    /// `if c { a } else { b }`; `else if` nests in `otherwise`. The parser bounds the length of such chains by [`MAX_DEPTH`].
    If {
        /// Condition.
        cond: Box<Expr>,
        /// Then.
        then: Block,
        /// Else.
        otherwise: Option<Block>,
    },
    /// `{ … }`
    Block(Block),
    /// `[e for i in 0..n]`
    Comprehension(Box<Generator>),
    /// `[a, b, c]`
    List(Vec<Expr>),
    /// An expression the parser could not read; it has reported why.
    Error,
}

/// `e for i in 0..n, j in 0..m if c`, with `annotations` in front of `for` if written.
#[derive(Clone, Debug)]
pub struct Generator {
    /// The term.
    pub term: Expr,
    /// Annotations.
    pub annotations: Vec<Annotation>,
    /// Indices, outer first.
    pub indices: Vec<Index>,
    /// Filter.
    pub filter: Option<Expr>,
}

/// Operators before one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    /// `-`
    Neg,
    /// `not`
    Not,
    /// `~`
    BitNot,
}

/// Operators between two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    FloorDiv,
    Rem,
    Pow,
    MatMul,
    And,
    Or,
    BitAnd,
    BitOr,
    BitXor,
    Shl,
    Shr,
}

/// Comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum CompareOp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

/// Compound assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AssignOp {
    /// `+=`, `**=`, `<<=` …
    Binary(BinaryOp),
    /// `min=`
    Min,
    /// `max=`
    Max,
}
