//! What hands used to Python, C, Rust, Julia type, and the Kiln spelling of it.
//!
//! In: the parser, at a token that does not fit. Out: titles and helps. Holds: it is asked only where the text is wrong anyway, or where
//! two words stand side by side as they never do in Kiln; so no good program is touched, and every word here may be a variable's name.

use super::{Parsed, Parser, Reported, brackets, expr};
use crate::ast::StmtKind;
use crate::diag::Diagnostic;
use crate::lexer::{self, TokenKind};

/// Words before blocks whose content is not like Kiln's.
const FOREIGN_BLOCKS: &[&str] = &[
    "class",
    "struct",
    "enum",
    "union",
    "record",
    "switch",
    "match",
    "select",
    "trait",
    "impl",
    "interface",
];

/// Words that begin a statement elsewhere: title and help.
const STATEMENTS: &[(&[&str], &str, &str)] = &[
    (
        &["import", "from", "use", "using", "include", "require", "extern"],
        "nothing is imported",
        "remove the line: `exp`, `sum`, `rand`, `load` and the others are there already",
    ),
    (&["elif", "elsif", "elseif"], "Kiln writes `else if`", "write `} else if … {`, on the line of the `}`"),
    (&["class", "struct", "enum", "union", "record"], "types cannot be declared", "use arrays and tuples"),
    (
        &[
            "type",
            "typedef",
            "trait",
            "impl",
            "interface",
            "module",
            "mod",
            "namespace",
            "pub",
            "public",
            "private",
            "static",
            "async",
            "unsafe",
            "export",
        ],
        "Kiln has no such declaration",
        "a source is a list of functions, constants and statements",
    ),
    (
        &["switch", "match", "case", "select"],
        "there is no choice among cases",
        "write `if a { … } else if b { … } else { … }`",
    ),
    (
        &["do", "repeat", "until", "unless", "foreach", "forall", "parfor"],
        "Kiln has no such loop",
        "write `for i in 0..n { … }` or `while c { … }`",
    ),
    (
        &["try", "except", "catch", "finally", "raise", "throw", "assert", "with", "defer"],
        "there is no handling of errors inside a kernel",
        "an error ends the call and reaches the caller",
    ),
    (&["print", "println", "echo", "puts", "printf"], "a call has parentheses", "write `print(x)`"),
    (&["yield", "await", "go", "spawn"], "a kernel has no tasks", "write `@parallel` before a loop"),
    (
        &["global", "nonlocal", "del", "goto", "pass", "end", "begin", "endif", "then"],
        "Kiln has no such statement",
        "remove it; blocks stand in braces",
    ),
];

/// Types of other languages, and what they are in Kiln.
const TYPES: &[(&str, &str)] = &[
    ("int", "i64"),
    ("long", "i64"),
    ("short", "i32"),
    ("size_t", "i64"),
    ("usize", "i64"),
    ("isize", "i64"),
    ("int64_t", "i64"),
    ("int32_t", "i32"),
    ("uint64_t", "u64"),
    ("uint32_t", "u32"),
    ("Int", "i64"),
    ("unsigned", "u64"),
    ("uint", "u64"),
    ("float", "f64"),
    ("double", "f64"),
    ("Float64", "f64"),
    ("Float32", "f32"),
    ("boolean", "bool"),
    ("bool", "bool"),
    ("i32", "i32"),
    ("i64", "i64"),
    ("u32", "u32"),
    ("u64", "u64"),
    ("f32", "f32"),
    ("f64", "f64"),
];

/// Is it a type, here or in another language?
pub(super) fn is_type_name(word: &str) -> bool {
    TYPES.iter().any(|(name, _)| *name == word)
}

/// Kiln's name for a type of another language.
pub(super) fn kiln_type(word: &str) -> &str {
    TYPES.iter().find(|(name, _)| *name == word).map_or(word, |(_, kiln)| kiln)
}

/// `def f(`, `func f(`, …
pub(super) fn is_foreign_fn(parser: &Parser<'_>) -> bool {
    matches!(parser.word(), "def" | "func" | "function" | "fun" | "proc" | "sub" | "define")
        && parser.peek(1).kind == TokenKind::Name
        && matches!(parser.peek(2).kind, TokenKind::LParen | TokenKind::Lt)
}

/// `lambda x: …`
pub(super) fn is_lambda(parser: &Parser<'_>) -> bool {
    parser.word() == "lambda" && matches!(parser.peek(1).kind, TokenKind::Name | TokenKind::Colon)
}

/// Two words side by side at the beginning of a statement, the first of them known from elsewhere. If what was meant is plain, it is
/// read as that.
pub(super) fn foreign_statement(parser: &mut Parser<'_>) -> Parsed<Option<StmtKind>> {
    let next = parser.peek(1).kind;
    let word = parser.word();
    let span = parser.span();
    if matches!(parser.peek(1).text(parser.text), "min" | "max") && parser.peek(2).kind == TokenKind::Eq {
        return Ok(None);
    }
    if is_foreign_fn(parser) {
        let title = format!("Kiln writes `fn` for `{word}`");
        parser.error(title, span, "", "write `fn f(x) { … }` at top level");
        return parser.nested(|parser| parser.func(Vec::new(), span)).map(|_| Some(StmtKind::Error));
    }
    if next == TokenKind::LBrace && matches!(word, "loop" | "forever") {
        parser.error(format!("Kiln writes `while true` for `{word}`"), span, "", "write `while true { … }`");
        return parser.endless_loop().map(Some);
    }
    if next == TokenKind::Name
        && matches!(
            parser.peek(2).kind,
            TokenKind::Eq | TokenKind::Newline | TokenKind::Semicolon | TokenKind::End
        )
    {
        let name = lexer::clip(parser.peek(1).text(parser.text)).to_string();
        if is_type_name(word) {
            let help = format!("write `let {name}: {} = …`, or `var` if it varies", kiln_type(word));
            parser.error("a variable is declared with `let` or `var`", span, "", help);
        } else if matches!(word, "auto" | "val" | "mut" | "local" | "final" | "my" | "dim") {
            let help = format!("write `let {name} = …`, or `var` if it varies");
            parser.error("a variable is declared with `let` or `var`", span, "", help);
        } else {
            return foreign_word(parser, word, next);
        }
        parser.bump();
        return if parser.peek(1).kind == TokenKind::Eq {
            parser.bind_rest(true, "var").map(Some)
        } else {
            Err(Reported)
        };
    }
    foreign_word(parser, word, next)
}

fn foreign_word(parser: &mut Parser<'_>, word: &str, next: TokenKind) -> Parsed<Option<StmtKind>> {
    use TokenKind::*;
    let is_word_pair =
        matches!(next, Name | Int | Float | Str | True | False | Colon | LBrace | Not | If | In)
            || (next == Star && matches!(word, "import" | "from"));
    if is_word_pair
        && let Some((_, title, help)) = STATEMENTS.iter().find(|(words, ..)| words.contains(&word))
    {
        let span = parser.span();
        parser.error(*title, span, "", *help);
        if FOREIGN_BLOCKS.contains(&word) && parser.skip_to_body() {
            parser.pos = parser.partner(parser.pos) + 1;
        }
        return Err(Reported);
    }
    Ok(None)
}

/// A statement that began at the token `start` should end here and does not.
pub(super) fn no_end(parser: &mut Parser<'_>, start: usize) {
    if parser.is_known_trouble() {
        return;
    }
    let last = parser.tokens[parser.pos - 1].kind;
    let kind = parser.kind();
    let span = parser.span();
    let follows_brace = last == TokenKind::RBrace;
    if follows_brace
        && (expr::begins_operand(kind) || brackets::begins_statement(kind) || kind == TokenKind::For)
    {
        let help = "begin a new line, or write `;` between";
        parser.error("two statements on one line", span, "the second begins here", help);
        return;
    }
    let line = &parser.tokens[start..parser.pos];
    if parser.diagnostics.len() <= lexer::MAX_DIAGNOSTICS
        && expr::begins_operand(kind)
        && line.iter().rev().take(8).any(|token| token.kind == TokenKind::SlashSlash)
    {
        let found = parser.found();
        let title = format!("expected the end of the statement, found {found}");
        let help = "a comment begins with `#`; `//` is division rounded down";
        parser.report(Diagnostic::error(title, span, "").help(help));
        return;
    }
    parser.unexpected("the end of the statement");
}

/// `owner` has no body in braces.
pub(super) fn no_body(parser: &mut Parser<'_>, owner: &str) {
    let span = parser.place();
    let spelling = match owner {
        "fn" => "fn f(x) { … }`, or `fn f(x) = …",
        "for" => "for i in 0..n { … }",
        "while" => "while c { … }",
        "else" => "else { … }",
        _ => "if c { … } else { … }",
    };
    if parser.kind() == TokenKind::Colon {
        let body_follows = parser.tokens[parser.pos + 1..]
            .iter()
            .take(16)
            .take_while(|token| token.kind != TokenKind::Newline)
            .any(|token| token.kind == TokenKind::LBrace);
        if owner == "for" && body_follows && parser.peek(1).kind != TokenKind::LBrace {
            parser.error("a range is written with `..`", span, "", "write `a..b`, or `a..b step s`");
        } else {
            parser.error("a body stands in braces, without `:`", span, "", format!("write `{spelling}`"));
        }
        return;
    }
    if owner == "for" && parser.at_word("by") {
        parser.error("a range goes by `step`", span, "", "write `a..b step s`");
        return;
    }
    if !parser.is_known_trouble() {
        let title = format!("expected `{{`, found {}", parser.found());
        let help = match parser.kind() {
            TokenKind::Name => word_advice(parser.word()).map(str::to_string),
            TokenKind::FatArrow | TokenKind::Question | TokenKind::Bang | TokenKind::PlusPlus => {
                advice(parser)
            }
            _ => None,
        };
        parser.error(title, span, "", help.unwrap_or_else(|| format!("write `{spelling}`")));
    }
}

/// Words that stand between operands elsewhere.
fn word_advice(word: &str) -> Option<&'static str> {
    Some(match word {
        "as" => "a conversion is a call: `f64(x)`",
        "is" => "write `==`",
        "by" => "a range goes by `step`: `a..b step s`",
        "mod" => "write `%`",
        "div" => "write `//`",
        "xor" => "write `^`",
        "then" | "do" => "a body stands in braces: `if c { … }`, `for i in 0..n { … }`",
        "where" => "choose with `if c { a } else { b }`",
        "elif" | "elsif" | "elseif" => "write `} else if … {`",
        _ => return None,
    })
}

/// A next step for a token that does not fit where it stands.
pub(super) fn advice(parser: &Parser<'_>) -> Option<String> {
    use TokenKind::*;
    let last = parser.tokens[..parser.pos].last();
    let next = parser.peek(1);
    let follows_operand = last.is_some_and(|last| {
        matches!(last.kind, Int | Float | Str | Name | True | False | RParen | RBracket | RBrace)
    });
    let is_last_on_line = matches!(next.kind, Newline | Semicolon | RBrace | End);
    let text = match parser.kind() {
        Name if follows_operand => match parser.word() {
            word if word_advice(word).is_some() => return word_advice(word).map(str::to_string),
            word => {
                let first = last.map_or("", |last| last.text(parser.text));
                if last.is_some_and(|last| last.kind == Int || last.kind == Float) {
                    return Some(format!(
                        "to multiply, write `{}*{}`",
                        lexer::clip(first),
                        lexer::clip(word)
                    ));
                } else if last.is_some_and(|last| last.kind == RParen) {
                    "to multiply, write `*`; a conversion is a call: `f64(x)`"
                } else if first == "f" || first == "r" || first == "b" {
                    "a string has no prefix; `print` takes several values: `print(\"x =\", x)`"
                } else if last.is_some_and(|last| last.kind == Name) {
                    return Some(format!(
                        "an operator or a comma is missing; a call is `{}({})`",
                        lexer::clip(first),
                        lexer::clip(word)
                    ));
                } else {
                    "an operator, a comma or a line end is missing"
                }
            }
        },
        Str if last.is_some_and(|last| last.kind == Name && last.end == parser.token().start) => {
            "a string has no prefix; `print` takes several values: `print(\"x =\", x)`"
        }
        Int | Float | Str | LBrace if follows_operand => "an operator, a comma or a line end is missing",
        If if follows_operand => "a choice is `if c { a } else { b }`",
        For if follows_operand => "a generator stands in a call or in `[ ]`: `sum(e for i in 0..n)`",
        Else => "`else` follows the `}` of an `if`: `if c { a } else { b }`",
        Not if next.kind == In => "write the comparison with `any`: `not any(a[i] == x for i in 0..n)`",
        In if follows_operand => "write `any(a[i] == x for i in 0..n)`",
        Question => "a choice is `if c { a } else { b }`",
        PlusPlus if follows_operand && is_last_on_line => "write `x += 1`",
        MinusMinus => "write `x -= 1`",
        Bang if follows_operand => "`not x` is the negation, `a != b` the comparison",
        FatArrow if follows_operand => "write `>=` to compare",
        Arrow => "`->` stands only before the type of a function's result",
        ColonEq => "write `let x = …` for a new variable, `x = …` for an old one",
        Ellipsis => "write `..`",
        Amp => "there are no references: write `x`",
        Star => "there are no pointers: write `x`",
        StarStar => "write the base before `**`",
        Pipe => "there are no functions without a name: declare `fn f(x) = …`",
        Dot if next.kind == Int && !follows_operand => {
            return Some(format!("write `0.{}`", lexer::clip(next.text(parser.text))));
        }
        Dot | Plus | Slash | SlashSlash | Percent | Caret | And | Or if !follows_operand => {
            "a line ends with the operator, it does not begin with one; or use `( )`"
        }
        Colon if follows_operand => {
            "a variable is declared with `let x: f64 = …`; slices and ranges are `a..b`; keyword arguments are `name=x`"
        }
        Colon => "ranges and slices are `a..b`",
        DotDot | DotDotEq => "a range has both ends: `0..n`",
        Eq => match last {
            Some(last) if brackets::wants_more(last.kind) && last.kind != Eq && last.kind != Comma => {
                let operator = last.text(parser.text);
                return Some(format!("write `{operator}=` without a space"));
            }
            _ => "`=` assigns, at the beginning of a statement; `==` compares",
        },
        Comma if !follows_operand => "a value is missing, or there is one `,` too many",
        Semicolon => "entries have `,` between them",
        At => "an annotation stands before a loop, a function, a block, or the term of a generator",
        Let | Var | Const | Return | Break | Continue | While => {
            "begin a new line, or write `;` between statements"
        }
        Mut => "a variable that varies is `var x`; a parameter that is written is `y: mut [T; n]`",
        Fn if next.kind == LParen => "there are no functions without a name: declare `fn f(x) = …`",
        Fn => "functions stand at top level",
        _ => return None,
    };
    Some(text.to_string())
}
