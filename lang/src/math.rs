//! The table of mathematics: one row per function.
//!
//! In: nothing. Out: [`rows`], from which the resolver, the type checker, the lowering, the oracle, the pass `expand`, the reference manual and
//! the accuracy test read; [`PRELUDE`], the bodies in Kiln. Holds: a function is one row, plus its body in a file of `prelude/` if it is
//! not an op of the IR; every example runs; every promise is checked by a test.

use crate::builtins::{Builtin, Kind, Operands};
use crate::tree::{MathFn, ReduceKind};
use crate::types::Scalar;

/// The bodies, in Kiln. The body of `exp` on f64 is `exp_f64`; without an `exp_f32` the f32 body computes in f64 and rounds once.
pub const PRELUDE: &str = concat!(
    include_str!("prelude/exp.kiln"),
    include_str!("prelude/log.kiln"),
    include_str!("prelude/trig.kiln"),
    include_str!("prelude/half_turns.kiln"),
    include_str!("prelude/pow.kiln"),
);

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// How it is called and checked.
    pub builtin: Builtin,
    /// How it is written in a program.
    pub spelling: Spelling,
    /// How far a result may be from the right one.
    pub accuracy: Accuracy,
    /// A script of one line.
    pub example: &'static str,
    /// What it prints.
    pub prints: &'static str,
}

/// How a function is written in a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// By its name.
    Call,
    /// By an operator, see the usage.
    Operator,
}

/// How far a result may be from the correctly rounded one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accuracy {
    /// It is the exact result, or that rounded once.
    Rounded,
    /// So many representable numbers at most.
    Within {
        /// On f64.
        f64: u32,
        /// On f32.
        f32: u32,
    },
}

/// Writes the rows of the functions with a body in the prelude, and derives [`Function`].
macro_rules! functions {
    ($($variant:ident $name:literal $spelling:ident $usage:literal $operands:ident [$($param:literal),*] $accuracy:expr,
        $doc:literal, $example:literal => $prints:literal;)*) => {
        /// A function whose body stands in the prelude: a single op of the IR until the pass `expand`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Function {
            $(#[doc = $doc] $variant,)*
        }

        /// All of them, in the order of the table.
        pub const FUNCTIONS: &[Function] = &[$(Function::$variant,)*];

        const COMPUTED: &[Row] = &[$(Row {
            builtin: Builtin {
                name: $name,
                kind: Kind::Math(MathFn::Prelude(Function::$variant), Operands::$operands),
                params: &[$($param),*],
                usage: $usage,
                doc: $doc,
            },
            spelling: Spelling::$spelling,
            accuracy: $accuracy,
            example: $example,
            prints: $prints,
        },)*];
    };
}

const fn within(f64: u32, f32: u32) -> Accuracy {
    Accuracy::Within { f64, f32 }
}

functions! {
    Exp "exp" Call "exp(x)" Float ["x"] within(1, 1),
        "e to the power x", "exp(1.0)" => "2.718281828459045";
    Log "log" Call "log(x)" Float ["x"] within(1, 1),
        "the natural logarithm; -inf at 0, NaN below", "log(10.0)" => "2.302585092994046";
    Sin "sin" Call "sin(x)" Float ["x"] within(1, 1),
        "the sine of x radians", "sin(1.0)" => "0.8414709848078965";
    Cos "cos" Call "cos(x)" Float ["x"] within(1, 1),
        "the cosine of x radians", "cos(1.0)" => "0.5403023058681398";
    Sinpi "sinpi" Call "sinpi(x)" Float ["x"] within(1, 1),
        "the sine of x half turns, sin(πx)", "sinpi(0.25)" => "0.7071067811865476";
    Cospi "cospi" Call "cospi(x)" Float ["x"] within(1, 1),
        "the cosine of x half turns, cos(πx)", "cospi(0.25)" => "0.7071067811865476";
    Tanh "tanh" Call "tanh(x)" Float ["x"] within(2, 2),
        "the hyperbolic tangent", "tanh(1.0)" => "0.7615941559557649";
    Pow "pow" Operator "x ** y" Float ["x", "y"] within(2, 2),
        "x to the power y; an int literal up to 16 as exponent multiplies instead", "3.0 ** 0.5" => "1.7320508075688772";
}

/// A row of a function that is an op of the IR, or a few.
const fn native(
    name: &'static str,
    kind: Kind,
    params: &'static [&'static str],
    usage: &'static str,
    doc: &'static str,
    [example, prints]: [&'static str; 2],
) -> Row {
    Row {
        builtin: Builtin { name, kind, params, usage, doc },
        spelling: Spelling::Call,
        accuracy: Accuracy::Rounded,
        example,
        prints,
    }
}

const NATIVE: &[Row] = &[
    native(
        "sqrt",
        Kind::Math(MathFn::Sqrt, Operands::Float),
        &["x"],
        "sqrt(x)",
        "the square root; NaN below 0",
        ["sqrt(2.0)", "1.4142135623730951"],
    ),
    native(
        "abs",
        Kind::Math(MathFn::Abs, Operands::Number),
        &["x"],
        "abs(x)",
        "the absolute value",
        ["abs(-3)", "3"],
    ),
    native(
        "floor",
        Kind::Math(MathFn::Floor, Operands::Float),
        &["x"],
        "floor(x)",
        "the largest whole number not above x",
        ["floor(-0.5)", "-1.0"],
    ),
    native(
        "ceil",
        Kind::Math(MathFn::Ceil, Operands::Float),
        &["x"],
        "ceil(x)",
        "the smallest whole number not below x",
        ["ceil(0.5)", "1.0"],
    ),
    native(
        "round",
        Kind::Math(MathFn::Round, Operands::Float),
        &["x"],
        "round(x)",
        "the nearest whole number, ties to even",
        ["round(2.5)", "2.0"],
    ),
    native(
        "trunc",
        Kind::Math(MathFn::Trunc, Operands::Float),
        &["x"],
        "trunc(x)",
        "x without its fraction",
        ["trunc(-1.5)", "-1.0"],
    ),
    native(
        "min",
        Kind::Extreme(MathFn::Min, ReduceKind::Min),
        &[],
        "min(a, b), min(x), min(e for i in 0..n)",
        "the least; NaN wins, -0.0 is below 0.0",
        ["min(3, 2)", "2"],
    ),
    native(
        "max",
        Kind::Extreme(MathFn::Max, ReduceKind::Max),
        &[],
        "max(a, b), max(x), max(e for i in 0..n)",
        "the greatest; NaN wins, -0.0 is below 0.0",
        ["max(3, 2)", "3"],
    ),
    native(
        "clamp",
        Kind::Math(MathFn::Clamp, Operands::Number),
        &["x", "lo", "hi"],
        "clamp(x, lo, hi)",
        "x held within lo and hi: min(max(x, lo), hi)",
        ["clamp(7, 0, 5)", "5"],
    ),
    native(
        "sign",
        Kind::Math(MathFn::Sign, Operands::Number),
        &["x"],
        "sign(x)",
        "-1, 0 or 1; NaN for NaN; keeps the sign of a zero",
        ["sign(-2.0)", "-1.0"],
    ),
    native(
        "fma",
        Kind::Math(MathFn::Fma, Operands::Float),
        &["a", "b", "c"],
        "fma(a, b, c)",
        "a * b + c, rounded once",
        ["fma(2.0, 3.0, 1.0)", "7.0"],
    ),
    native(
        "isnan",
        Kind::Math(MathFn::IsNan, Operands::ToTruth),
        &["x"],
        "isnan(x)",
        "is x not a number?",
        ["isnan(nan)", "true"],
    ),
    native(
        "isinf",
        Kind::Math(MathFn::IsInf, Operands::ToTruth),
        &["x"],
        "isinf(x)",
        "is x infinite?",
        ["isinf(-inf)", "true"],
    ),
    native(
        "isfinite",
        Kind::Math(MathFn::IsFinite, Operands::ToTruth),
        &["x"],
        "isfinite(x)",
        "is x neither infinite nor NaN?",
        ["isfinite(1.0)", "true"],
    ),
    native(
        "bits",
        Kind::Math(MathFn::Bits, Operands::ToBits),
        &["x"],
        "bits(x)",
        "the bits of a float, as u32 or u64; one pattern for every NaN",
        ["bits(1.0) >> 52", "1023"],
    ),
    native(
        "from_bits",
        Kind::Math(MathFn::FromBits, Operands::FromBits),
        &["x"],
        "from_bits(x)",
        "the float with these bits",
        ["from_bits(u64(1023) << 52)", "1.0"],
    ),
    native(
        "mulhi",
        Kind::Math(MathFn::MulHi, Operands::Wide),
        &["a", "b"],
        "mulhi(a, b)",
        "the high 64 bits of a product of two u64",
        ["mulhi(u64(1) << 63, u64(6))", "3"],
    ),
];

/// The whole table.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    COMPUTED.iter().chain(NATIVE)
}

impl Function {
    /// Its row.
    pub fn row(self) -> &'static Row {
        &COMPUTED[self as usize]
    }

    /// As called, in texts of the IR, and before `_f64` in the prelude.
    pub fn name(self) -> &'static str {
        self.row().builtin.name
    }

    /// The function of that name.
    pub fn named(name: &str) -> Option<Function> {
        FUNCTIONS.iter().copied().find(|function| function.name() == name)
    }

    /// Types of the operands, the first of which is `scalar`, and of the result.
    pub fn signature(self, scalar: Scalar) -> (Vec<Scalar>, Scalar) {
        (vec![scalar; self.row().builtin.params.len()], scalar)
    }
}

/// The prelude with a body for every function on f32 and f64.
pub fn prelude() -> String {
    let mut text = PRELUDE.to_string();
    for function in FUNCTIONS {
        let name = function.name();
        if text.contains(&format!("fn {name}_f32(")) {
            continue;
        }
        let params = function.row().builtin.params;
        let declared: Vec<String> = params.iter().map(|param| format!("{param}: f32")).collect();
        let widened: Vec<String> = params.iter().map(|param| format!("f64({param})")).collect();
        text += &format!(
            "fn {name}_f32({}) -> f32 = f32({name}_f64({}))\n",
            declared.join(", "),
            widened.join(", ")
        );
    }
    text
}
