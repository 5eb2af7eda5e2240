//! Text to tokens, with what is wrong inside single tokens: numbers, strings, characters that Kiln does not know.
//!
//! In: text of any content. Out: [`Lexed`]: tokens with spans, comments beside them, diagnostics. Holds: linear time; spans lie on
//! character boundaries and grow; the last token is [`TokenKind::End`]; whatever was reported here is [`TokenKind::Bad`] or has
//! become the token that was meant, so that the parser says nothing about it again.

use crate::ast;
use crate::diag::Diagnostic;
use crate::span::{SourceId, Span};
use logos::Logos;

/// The most tokens of one source, line ends counted; it bounds the memory of everything that follows.
pub const MAX_TOKENS: usize = 1_000_000;

/// The most diagnostics of one run.
pub const MAX_DIAGNOSTICS: usize = 50;

/// What a token is.
#[derive(Logos, Clone, Copy, Debug, PartialEq, Eq)]
#[logos(skip r"[ \t\x0B\x0C]+")]
#[allow(missing_docs)]
pub enum TokenKind {
    #[regex(r"\r\n|\n|\r")]
    Newline,
    #[regex(r"[0-9][0-9_]*|0x[0-9a-fA-F_]+|0b[01_]+")]
    Int,
    #[regex(r"[0-9][0-9_]*\.[0-9][0-9_]*([eE][+-]?[0-9][0-9_]*)?|[0-9][0-9_]*[eE][+-]?[0-9][0-9_]*")]
    Float,
    /// Begins at the quote; the scanner finds the end.
    #[token("\"")]
    Str,
    /// Names and, before [`keyword`] has looked at them, keywords.
    #[regex(r"[A-Za-z_][A-Za-z0-9_]*")]
    Name,
    /// Never leaves the scanner: comments stand beside the tokens.
    #[token("#")]
    Comment,

    Fn,
    Let,
    Var,
    Const,
    If,
    Else,
    For,
    In,
    While,
    Break,
    Continue,
    Return,
    True,
    False,
    And,
    Or,
    Not,
    Mut,

    #[token("(")]
    LParen,
    #[token(")")]
    RParen,
    #[token("[")]
    LBracket,
    #[token("]")]
    RBracket,
    #[token("{")]
    LBrace,
    #[token("}")]
    RBrace,
    #[token(",")]
    Comma,
    #[token(";")]
    Semicolon,
    #[token(":")]
    Colon,
    #[token(".")]
    Dot,
    #[token("..")]
    DotDot,
    #[token("..=")]
    DotDotEq,
    #[token("->")]
    Arrow,
    #[token("@")]
    At,

    #[token("=")]
    Eq,
    #[token("+=")]
    PlusEq,
    #[token("-=")]
    MinusEq,
    #[token("*=")]
    StarEq,
    #[token("/=")]
    SlashEq,
    #[token("//=")]
    SlashSlashEq,
    #[token("%=")]
    PercentEq,
    #[token("**=")]
    StarStarEq,
    #[token("@=")]
    AtEq,
    #[token("&=")]
    AmpEq,
    #[token("|=")]
    PipeEq,
    #[token("^=")]
    CaretEq,
    #[token("<<=")]
    LtLtEq,
    #[token(">>=")]
    GtGtEq,

    #[token("==")]
    EqEq,
    #[token("!=")]
    NotEq,
    #[token("<")]
    Lt,
    #[token("<=")]
    LtEq,
    #[token(">")]
    Gt,
    #[token(">=")]
    GtEq,
    #[token("+")]
    Plus,
    #[token("-")]
    Minus,
    #[token("*")]
    Star,
    #[token("/")]
    Slash,
    #[token("//")]
    SlashSlash,
    #[token("%")]
    Percent,
    #[token("**")]
    StarStar,
    #[token("&")]
    Amp,
    #[token("|")]
    Pipe,
    #[token("^")]
    Caret,
    #[token("~")]
    Tilde,
    #[token("<<")]
    LtLt,
    #[token(">>")]
    GtGt,

    // What hands used to other languages type. The scanner reports the first group and puts the Kiln token in its place.
    #[token("&&")]
    AmpAmp,
    #[token("||")]
    PipePipe,
    #[token("===")]
    EqEqEq,
    #[token("!==")]
    NotEqEq,
    #[token("<>")]
    LtGt,
    #[token("/*")]
    SlashStar,
    #[token("'")]
    Quote,
    #[token("\\")]
    Backslash,
    // The parser reports these, because the advice depends on what stands around them.
    #[token("!")]
    Bang,
    #[token("++")]
    PlusPlus,
    /// `--` at the end of a statement; elsewhere it is two signs.
    MinusMinus,
    #[token("=>")]
    FatArrow,
    #[token(":=")]
    ColonEq,
    #[token("...")]
    Ellipsis,
    #[token("?")]
    Question,

    /// Something that has been reported.
    Bad,
    /// The end of the text.
    End,
}

/// One token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// What.
    pub kind: TokenKind,
    /// Is it the first token of its line?
    pub line_start: bool,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Token {
    /// Its place in `source`.
    pub fn span(self, source: SourceId) -> Span {
        Span { source, start: self.start, end: self.end }
    }

    /// Its text.
    pub fn text(self, text: &str) -> &str {
        &text[self.start as usize..self.end as usize]
    }
}

/// What the scanner made of a text.
pub struct Lexed {
    /// Ends with [`TokenKind::End`].
    pub tokens: Vec<Token>,
    /// In order.
    pub comments: Vec<ast::Comment>,
    /// In order; at most [`MAX_DIAGNOSTICS`].
    pub diagnostics: Vec<Diagnostic>,
    /// Were there more tokens than [`MAX_TOKENS`]? Then the rest of the text has not been read.
    pub is_cut: bool,
}

/// Splits a text into tokens.
pub fn lex(source: SourceId, text: &str) -> Lexed {
    let mut scanner = Scanner {
        source,
        text,
        lexer: TokenKind::lexer(text),
        out: Lexed { tokens: Vec::new(), comments: Vec::new(), diagnostics: Vec::new(), is_cut: false },
        line_start: true,
        brackets: Vec::new(),
        seen: Seen::default(),
    };
    if text.starts_with('\u{feff}') {
        scanner.lexer.bump('\u{feff}'.len_utf8());
    }
    while let Some(found) = scanner.lexer.next() {
        if scanner.out.tokens.len() >= MAX_TOKENS {
            scanner.cut();
            break;
        }
        match found {
            Ok(kind) => scanner.token(kind),
            Err(()) => scanner.foreign(),
        }
    }
    scanner.push(TokenKind::End, text.len(), text.len());
    scanner.out
}

/// The keyword of that spelling.
pub fn keyword(text: &str) -> Option<TokenKind> {
    Some(match text {
        "fn" => TokenKind::Fn,
        "let" => TokenKind::Let,
        "var" => TokenKind::Var,
        "const" => TokenKind::Const,
        "if" => TokenKind::If,
        "else" => TokenKind::Else,
        "for" => TokenKind::For,
        "in" => TokenKind::In,
        "while" => TokenKind::While,
        "break" => TokenKind::Break,
        "continue" => TokenKind::Continue,
        "return" => TokenKind::Return,
        "true" => TokenKind::True,
        "false" => TokenKind::False,
        "and" => TokenKind::And,
        "or" => TokenKind::Or,
        "not" => TokenKind::Not,
        "mut" => TokenKind::Mut,
        _ => return None,
    })
}

/// The value of an [`TokenKind::Int`] token, if it fits in 64 bits.
pub fn int_value(text: &str) -> Option<u64> {
    let digits: String = text.chars().filter(|&digit| digit != '_').collect();
    if let Some(hex) = digits.strip_prefix("0x") {
        u64::from_str_radix(hex, 16).ok()
    } else if let Some(binary) = digits.strip_prefix("0b") {
        u64::from_str_radix(binary, 2).ok()
    } else {
        digits.parse().ok()
    }
}

/// The value of a [`TokenKind::Float`] token, if it is finite in f64.
pub fn float_value(text: &str) -> Option<f64> {
    let digits: String = text.chars().filter(|&digit| digit != '_').collect();
    digits.parse().ok().filter(|value: &f64| value.is_finite())
}

/// The text that a [`TokenKind::Str`] token stands for.
pub fn string_value(text: &str) -> String {
    let inside = text.strip_prefix('"').unwrap_or(text);
    let inside = inside.strip_suffix('"').unwrap_or(inside);
    let mut value = String::with_capacity(inside.len());
    let mut chars = inside.chars();
    while let Some(char) = chars.next() {
        value.push(match char {
            '\\' => chars.next().map_or('\\', |escape| unescape(escape).unwrap_or(escape)),
            char => char,
        });
    }
    value
}

fn unescape(escape: char) -> Option<char> {
    match escape {
        'n' => Some('\n'),
        't' => Some('\t'),
        '"' => Some('"'),
        '\\' => Some('\\'),
        _ => None,
    }
}

/// May a name go on with it? Letters of any alphabet, digits, `_`, and subscript digits as in `x₀`.
fn continues_name(char: char) -> bool {
    char == '_' || char.is_alphabetic() || char.is_ascii_digit() || ('₀'..='₉').contains(&char)
}

fn line_end(text: &str) -> usize {
    text.find(['\n', '\r']).unwrap_or(text.len())
}

/// Where such a character stands before the end of the line. Looks no further than there, or long lines would cost their square.
fn find_on_line(text: &str, is_wanted: impl Fn(char) -> bool) -> Option<usize> {
    let at = text.find(|char| matches!(char, '\n' | '\r') || is_wanted(char))?;
    (!text[at..].starts_with(['\n', '\r'])).then_some(at)
}

/// What is reported once, though a file from another world may be full of it.
#[derive(Default)]
struct Seen {
    line_comment: bool,
    block_comment: bool,
    odd_space: bool,
    /// No `*/` follows any more: do not look for it again.
    no_comment_end: bool,
}

struct Scanner<'a> {
    source: SourceId,
    text: &'a str,
    lexer: logos::Lexer<'a, TokenKind>,
    out: Lexed,
    line_start: bool,
    /// Open brackets, roughly: it only serves to tell a comment `// …` from a division.
    brackets: Vec<TokenKind>,
    seen: Seen,
}

impl Scanner<'_> {
    fn push(&mut self, kind: TokenKind, start: usize, end: usize) {
        let line_start = std::mem::replace(&mut self.line_start, kind == TokenKind::Newline);
        self.out.tokens.push(Token { kind, line_start, start: start as u32, end: end as u32 });
    }

    fn report(
        &mut self,
        start: usize,
        end: usize,
        title: impl Into<String>,
        label: &str,
        help: impl Into<String>,
    ) {
        if self.out.diagnostics.len() < MAX_DIAGNOSTICS {
            let diagnostic = Diagnostic::error(title, Span::new(self.source, start, end), label);
            self.out.diagnostics.push(diagnostic.help(help));
        }
    }

    /// Takes `bytes` more into the current token; its new end.
    fn extend(&mut self, bytes: usize) -> usize {
        self.lexer.bump(bytes);
        self.lexer.span().end
    }

    fn token(&mut self, kind: TokenKind) {
        let span = self.lexer.span();
        let (start, end) = (span.start, span.end);
        match kind {
            TokenKind::Name => self.name(start),
            TokenKind::Int | TokenKind::Float => self.number(kind, start, end),
            TokenKind::Str => self.string(start),
            TokenKind::Comment => self.comment(start),
            TokenKind::SlashSlash if self.begins_statement() => self.line_comment(start),
            TokenKind::SlashStar => self.block_comment(start),
            TokenKind::Quote => self.quote(start),
            TokenKind::Backslash => self.backslash(start),
            TokenKind::AmpAmp => self.instead(kind, TokenKind::And, "and"),
            TokenKind::PipePipe => self.instead(kind, TokenKind::Or, "or"),
            TokenKind::EqEqEq => self.instead(kind, TokenKind::EqEq, "=="),
            TokenKind::NotEqEq | TokenKind::LtGt => self.instead(kind, TokenKind::NotEq, "!="),
            TokenKind::LParen | TokenKind::LBracket | TokenKind::LBrace => {
                self.brackets.push(kind);
                self.push(kind, start, end);
            }
            TokenKind::RParen | TokenKind::RBracket | TokenKind::RBrace => {
                self.brackets.pop();
                self.push(kind, start, end);
            }
            _ => self.push(kind, start, end),
        }
    }

    /// An operator of another language, where Kiln has another spelling.
    fn instead(&mut self, found: TokenKind, meant: TokenKind, spelling: &str) {
        debug_assert_ne!(found, meant);
        let span = self.lexer.span();
        let written = self.lexer.slice();
        let title = format!("Kiln writes `{spelling}` for `{written}`");
        self.report(span.start, span.end, title, "", format!("replace it with `{spelling}`"));
        self.push(meant, span.start, span.end);
    }

    fn name(&mut self, start: usize) {
        let rest = self.lexer.remainder();
        let more = rest.find(|char| !continues_name(char)).unwrap_or(rest.len());
        let end = self.extend(more);
        let kind = keyword(&self.text[start..end]).unwrap_or(TokenKind::Name);
        self.push(kind, start, end);
    }

    fn number(&mut self, kind: TokenKind, start: usize, end: usize) {
        let is_field = self.out.tokens.last().is_some_and(|last| last.kind == TokenKind::Dot);
        let written = &self.text[start..end];
        if is_field {
            // `t.0.1` is two fields, not a float.
            if let (TokenKind::Float, Some((first, second))) = (kind, written.split_once('.'))
                && !second.contains(['e', 'E'])
            {
                let dot = start + first.len();
                self.push(TokenKind::Int, start, dot);
                self.push(TokenKind::Dot, dot, dot + 1);
                self.push(TokenKind::Int, dot + 1, end);
                return;
            }
        } else if self.lexer.remainder().starts_with(continues_name) {
            return self.glued(start, end);
        } else if kind == TokenKind::Int && self.ends_with_point() {
            return self.open_float(start, end);
        }
        if kind == TokenKind::Int && int_value(written).is_none() {
            let help =
                "the largest is 18446744073709551615, of type u64; write a float, such as `1e20`, for more";
            self.report(start, end, "this integer does not fit in 64 bits", "", help);
            return self.push(TokenKind::Bad, start, end);
        }
        if kind == TokenKind::Float && float_value(written).is_none() {
            self.report(
                start,
                end,
                "this number is too large for f64",
                "",
                "the largest f64 is about 1.8e308; an infinity is `1 / 0.0`",
            );
            return self.push(TokenKind::Bad, start, end);
        }
        self.push(kind, start, end);
    }

    /// `1.` that is neither `1..n` nor `1.name`.
    fn ends_with_point(&self) -> bool {
        let Some(after) = self.lexer.remainder().strip_prefix('.') else { return false };
        let mut chars = after.chars();
        match chars.next() {
            Some('.') => false,
            Some('e' | 'E') => {
                chars.next().is_some_and(|char| char.is_ascii_digit() || char == '+' || char == '-')
            }
            Some(char) => !continues_name(char),
            None => true,
        }
    }

    fn open_float(&mut self, start: usize, end: usize) {
        let digits = self.text[start..end].to_string();
        let rest = &self.lexer.remainder()[1..];
        let exponent = match rest.strip_prefix(['e', 'E']) {
            None => 0,
            Some(after) => {
                let signed = after.strip_prefix(['+', '-']).unwrap_or(after);
                let numerals = signed.find(|char: char| !char.is_ascii_digit()).unwrap_or(signed.len());
                rest.len() - signed.len() + numerals
            }
        };
        let whole = format!("{digits}.0{}", &rest[..exponent]);
        let end = self.extend(1 + exponent);
        let help = format!("write `{}`", clip(&whole));
        self.report(start, end, "a float needs a digit on both sides of its point", "", help);
        self.push(TokenKind::Bad, start, end);
    }

    /// A number that runs into letters: `2x`, `1.0f`, `0b12`, `1e`.
    fn glued(&mut self, start: usize, end: usize) {
        let rest = self.lexer.remainder();
        let more = rest.find(|char| !continues_name(char)).unwrap_or(rest.len());
        let number = self.text[start..end].to_string();
        let letters = rest[..more].to_string();
        let end = self.extend(more);
        let (number, letters) = (clip(&number), clip(&letters));
        let help = match letters {
            _ if number.starts_with("0b") => "binary digits are 0 and 1".to_string(),
            _ if number.starts_with("0x") => "hexadecimal digits are 0-9 and a-f".to_string(),
            "x" | "X" | "b" | "B" if number == "0" => format!("`0{letters}` needs digits: `0x1F`, `0b101`"),
            _ if number == "0" && letters.starts_with(['o', 'O']) => {
                "there are no octal numbers; write decimal, `0x…` or `0b…`".to_string()
            }
            _ if number == "0" && letters.starts_with(['X', 'B']) => {
                format!("the prefix is lower case: `0{}`", letters.to_ascii_lowercase())
            }
            "e" | "E" => format!("an exponent needs digits: `{number}e3`"),
            "i" | "j" | "im" => "complex numbers are not in the language yet".to_string(),
            "f" | "F" => format!("a number takes the type of its context; if need be, write `f32({number})`"),
            "d" | "L" | "l" | "u" | "U" | "ul" | "UL" | "ull" | "ULL" | "n" => {
                format!("a number takes the type of its context: write `{number}`")
            }
            "f32" | "f64" | "i32" | "i64" | "u32" | "u64" => format!("write `{letters}({number})`"),
            _ => format!("to multiply, write `{number}*{letters}`; a name cannot begin with a digit"),
        };
        self.report(start, end, "a number runs into letters", "", help);
        self.push(TokenKind::Bad, start, end);
    }

    /// A string; the opening quote has been read.
    fn string(&mut self, start: usize) {
        let rest = self.lexer.remainder();
        if rest.starts_with("\"\"") {
            return self.triple_quote(start);
        }
        let body = self.lexer.span().end;
        let mut unknown = None;
        let mut is_closed = false;
        let mut length = 0;
        let mut chars = rest.char_indices();
        while let Some((at, char)) = chars.next() {
            if matches!(char, '\n' | '\r') {
                break;
            }
            length = at + char.len_utf8();
            if char == '"' {
                is_closed = true;
                break;
            }
            if char == '\\'
                && let Some(escape) =
                    rest[length..].chars().next().filter(|char| !matches!(char, '\n' | '\r'))
            {
                chars.next();
                if unescape(escape).is_none() {
                    unknown = unknown.or(Some((body + at, body + length, escape)));
                }
                length += escape.len_utf8();
            }
        }
        if !is_closed {
            let end = self.extend(rest[..length].trim_end().len());
            let help = "close it with `\"` on the same line; `\\n` stands for a line end";
            self.report(start, end, "this string has no end", "the line ends inside it", help);
            return self.push(TokenKind::Bad, start, end);
        }
        let end = self.extend(length);
        if let Some((from, to, escape)) = unknown {
            let title = format!("`\\{}` is not an escape", escape.escape_debug());
            let help = "the escapes are `\\n`, `\\t`, `\\\"` and `\\\\`";
            self.report(from, to + escape.len_utf8(), title, "", help);
        }
        self.push(TokenKind::Str, start, end);
    }

    fn triple_quote(&mut self, start: usize) {
        let rest = self.lexer.remainder();
        let length = match rest[2..].find("\"\"\"") {
            Some(at) => 2 + at + 3,
            None => rest.len(),
        };
        let end = self.extend(length);
        let help = "a comment, also one that documents a function, begins with `#` on each line";
        self.report(start, start + 3, "there are no strings of several lines", "", help);
        self.line_start = true;
        self.push(TokenKind::Bad, start, end);
    }

    fn quote(&mut self, start: usize) {
        let rest = self.lexer.remainder();
        match find_on_line(rest, |char| char == '\'') {
            Some(at) => {
                let inside = &rest[..at];
                let help = format!("write `\"{}\"`", clip(inside));
                let end = self.extend(at + 1);
                self.report(start, end, "strings stand in double quotes", "", help);
                self.push(TokenKind::Bad, start, end);
            }
            None => {
                let help = "strings stand in `\"`; the transpose of `a` is `a.T`";
                self.report(start, start + 1, "`'` has no meaning here", "", help);
                self.push(TokenKind::Bad, start, start + 1);
            }
        }
    }

    fn backslash(&mut self, start: usize) {
        let rest = self.lexer.remainder();
        let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        if rest[blanks..].is_empty() || rest[blanks..].starts_with(['\n', '\r']) {
            let help = "break the line after an operator or a comma, or inside `( )`";
            self.report(start, start + 1, "`\\` does not continue a line", "", help);
            // What it meant: the line goes on.
            let after = &rest[blanks..];
            let length = if after.starts_with("\r\n") { 2 } else { after.len().min(1) };
            self.extend(blanks + length);
        } else {
            self.report(start, start + 1, "`\\` has no meaning here", "", "remove it");
            self.push(TokenKind::Bad, start, start + 1);
        }
    }

    fn comment(&mut self, start: usize) {
        let rest = self.lexer.remainder();
        let end = self.extend(line_end(rest));
        let text = &self.text[start + 1..end];
        let text = text.strip_prefix(' ').unwrap_or(text).trim_end().to_string();
        self.out.comments.push(ast::Comment { text, span: Span::new(self.source, start, end) });
    }

    /// Would a division make no sense here, because a statement begins?
    fn begins_statement(&self) -> bool {
        let inside = matches!(self.brackets.last(), Some(TokenKind::LParen | TokenKind::LBracket));
        let last = self.out.tokens.last().map(|last| last.kind);
        (self.line_start && !inside) || matches!(last, Some(TokenKind::LBrace | TokenKind::Semicolon))
    }

    fn line_comment(&mut self, start: usize) {
        let rest = self.lexer.remainder();
        self.extend(line_end(rest));
        if !std::mem::replace(&mut self.seen.line_comment, true) {
            let help = "write `# …`; between two numbers, `//` is division rounded down";
            self.report(start, start + 2, "a comment begins with `#`", "", help);
        }
    }

    fn block_comment(&mut self, start: usize) {
        let rest = self.lexer.remainder();
        let close = if self.seen.no_comment_end { None } else { rest.find("*/") };
        self.seen.no_comment_end |= close.is_none();
        let length = close.map_or(line_end(rest), |at| at + 2);
        self.extend(length);
        if !std::mem::replace(&mut self.seen.block_comment, true) {
            let help = "write `# …` on each line";
            self.report(start, start + 2, "a comment begins with `#`", "", help);
        }
    }

    /// A character that no token begins with.
    fn foreign(&mut self) {
        let span = self.lexer.span();
        let (start, mut end) = (span.start, span.end);
        let Some(char) = self.text[start..].chars().next() else { return };
        if char.is_alphabetic() {
            return self.name(start);
        }
        if char.is_whitespace() || matches!(char, '\u{200b}'..='\u{200f}' | '\u{feff}' | '\u{2060}') {
            if !std::mem::replace(&mut self.seen.odd_space, true) {
                let title = format!("an invisible character, U+{:04X}", char as u32);
                self.report(start, end, title, "", "replace it, and others of its kind, with a plain space");
            }
            return;
        }
        let meant = match char {
            '−' | '–' | '—' => Some((TokenKind::Minus, "-")),
            '×' | '·' | '∙' | '⋅' | '∗' => Some((TokenKind::Star, "*")),
            '÷' | '∕' => Some((TokenKind::Slash, "/")),
            '≤' => Some((TokenKind::LtEq, "<=")),
            '≥' => Some((TokenKind::GtEq, ">=")),
            '≠' => Some((TokenKind::NotEq, "!=")),
            '→' => Some((TokenKind::Arrow, "->")),
            '∧' => Some((TokenKind::And, "and")),
            '∨' => Some((TokenKind::Or, "or")),
            '¬' => Some((TokenKind::Not, "not")),
            '∈' => Some((TokenKind::In, "in")),
            _ => None,
        };
        if let Some((kind, spelling)) = meant {
            let title = format!("Kiln writes `{spelling}` for `{char}`");
            self.report(start, end, title, "", format!("replace it with `{spelling}`"));
            return self.push(kind, start, end);
        }
        if let '“' | '”' | '„' = char {
            self.report(
                start,
                end,
                "strings stand in straight quotes",
                "",
                "replace it, and its partner, with `\"`",
            );
            let rest = self.lexer.remainder();
            let close = find_on_line(rest, |char| matches!(char, '“' | '”' | '"'));
            let close = close.map_or(0, |at| at + rest[at..].chars().next().map_or(0, char::len_utf8));
            let end = self.extend(close);
            return self.push(TokenKind::Bad, start, end);
        }
        let power = match char {
            '²' => Some("2"),
            '³' => Some("3"),
            '⁴' => Some("4"),
            '⁻' => Some("-1"),
            _ => None,
        };
        if let Some(power) = power {
            let title = format!("Kiln writes `**{power}` for `{char}`");
            return self.report(start, end, title, "", format!("write `**{power}`, as in `x**{power}`"));
        }
        let rest = self.lexer.remainder();
        let more = rest.len() - rest.trim_start_matches(char).len();
        if more > 0 {
            end = self.extend(more);
        }
        let (title, help) = match char {
            '√' => ("`√` has no meaning in Kiln".to_string(), "write `sqrt(x)`".to_string()),
            '∞' => ("`∞` has no meaning in Kiln".to_string(), "an infinity is `1 / 0.0`".to_string()),
            '∑' => {
                ("`∑` has no meaning in Kiln".to_string(), "write `sum(f(i) for i in 0..n)`".to_string())
            }
            '∏' => {
                ("`∏` has no meaning in Kiln".to_string(), "write `prod(f(i) for i in 0..n)`".to_string())
            }
            char if char.is_control() => {
                (format!("a control character, U+{:04X}", char as u32), "remove it".to_string())
            }
            char => (format!("`{char}` has no meaning in Kiln"), "remove it".to_string()),
        };
        self.report(start, end, title, "", help);
        self.push(TokenKind::Bad, start, end);
    }

    fn cut(&mut self) {
        let span = self.lexer.span();
        self.out.is_cut = true;
        self.out.diagnostics.truncate(MAX_DIAGNOSTICS - 1);
        self.report(
            span.start,
            span.end,
            format!("this source has more than {MAX_TOKENS} words and signs"),
            "the rest has not been read",
            "split it, and keep tables of numbers in `.npy` files",
        );
    }
}

/// The first characters of a text, for a message.
pub(crate) fn clip(text: &str) -> &str {
    text.char_indices().nth(40).map_or(text, |(at, _)| &text[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<TokenKind> {
        let lexed = lex(SourceId(0), text);
        assert_eq!(lexed.diagnostics, [], "{text}");
        lexed.tokens.iter().map(|token| token.kind).collect()
    }

    /// Title and help of the only finding.
    fn finding(text: &str) -> (String, String) {
        let lexed = lex(SourceId(0), text);
        assert_eq!(lexed.diagnostics.len(), 1, "{text}: {:#?}", lexed.diagnostics);
        (lexed.diagnostics[0].title.clone(), lexed.diagnostics[0].helps.join("; "))
    }

    #[test]
    fn ranges_are_not_floats() {
        use TokenKind::*;
        assert_eq!(kinds("1..n"), [Int, DotDot, Name, End]);
        assert_eq!(kinds("1.5..2.5"), [Float, DotDot, Float, End]);
        assert_eq!(kinds("1..=2"), [Int, DotDotEq, Int, End]);
        assert_eq!(kinds("t.0.1"), [Name, Dot, Int, Dot, Int, End]);
        assert_eq!(kinds("a.T"), [Name, Dot, Name, End]);
    }

    #[test]
    fn numbers_have_values() {
        assert_eq!(int_value("1_000"), Some(1000));
        assert_eq!(int_value("0x1F"), Some(31));
        assert_eq!(int_value("0b1_01"), Some(5));
        assert_eq!(int_value("18446744073709551615"), Some(u64::MAX));
        assert_eq!(int_value("18446744073709551616"), None);
        assert_eq!(float_value("1e-3"), Some(1e-3));
        assert_eq!(float_value("1_0.5_0"), Some(10.5));
        assert_eq!(float_value("1e309"), None);
        assert_eq!(kinds("1e5 2.5E+3 1_000 0x1F 0b11").len(), 6);
    }

    #[test]
    fn odd_numbers_show_the_right_spelling() {
        assert_eq!(
            finding("x = 1."),
            ("a float needs a digit on both sides of its point".into(), "write `1.0`".into())
        );
        assert_eq!(finding("x = 1.e5").1, "write `1.0e5`");
        assert_eq!(finding("x = 1. + 2").1, "write `1.0`");
        assert_eq!(finding("2x").1, "to multiply, write `2*x`; a name cannot begin with a digit");
        assert_eq!(finding("1.5f32").1, "write `f32(1.5)`");
        assert_eq!(finding("2j").1, "complex numbers are not in the language yet");
        assert_eq!(finding("1e").1, "an exponent needs digits: `1e3`");
        assert_eq!(finding("1e+").1, "an exponent needs digits: `1e3`");
        assert_eq!(finding("0x").1, "`0x` needs digits: `0x1F`, `0b101`");
        assert_eq!(finding("0b12").1, "binary digits are 0 and 1");
        assert_eq!(finding("0xfg").1, "hexadecimal digits are 0-9 and a-f");
        assert_eq!(finding("0o17").1, "there are no octal numbers; write decimal, `0x…` or `0b…`");
        assert_eq!(finding("0XFF").1, "the prefix is lower case: `0xff`");
        assert_eq!(finding("18446744073709551616").0, "this integer does not fit in 64 bits");
        assert_eq!(finding("0x_").0, "this integer does not fit in 64 bits");
        assert_eq!(finding("1e999").0, "this number is too large for f64");
    }

    #[test]
    fn strings_know_four_escapes() {
        assert_eq!(string_value(r#""a\n\t\"\\b""#), "a\n\t\"\\b");
        assert_eq!(kinds(r#"print("π ≈ \"x\"", y)"#).len(), 7);
        assert_eq!(finding(r#""a\qb""#).0, r"`\q` is not an escape");
        assert_eq!(finding("\"abc\nx").0, "this string has no end");
        assert_eq!(finding("\"abc\\").0, "this string has no end");
        assert_eq!(finding("\"abc\\\"").0, "this string has no end");
        assert_eq!(finding("'abc'").1, "write `\"abc\"`");
        assert_eq!(finding("a'").1, "strings stand in `\"`; the transpose of `a` is `a.T`");
        assert_eq!(finding("“abc”").0, "strings stand in straight quotes");
        assert_eq!(finding("\"\"\"doc\nmore\"\"\"\nx").0, "there are no strings of several lines");
    }

    #[test]
    fn spellings_of_other_languages_become_the_token_that_was_meant() {
        for (text, spelling) in [
            ("a && b", "and"),
            ("a || b", "or"),
            ("a === b", "=="),
            ("a !== b", "!="),
            ("a <> b", "!="),
            ("a ≤ b", "<="),
            ("a − b", "-"),
            ("a × b", "*"),
        ] {
            assert_eq!(finding(text).1, format!("replace it with `{spelling}`"));
            assert!(lex(SourceId(0), text).tokens.iter().all(|token| token.kind != TokenKind::Bad));
        }
        assert_eq!(finding("x²").1, "write `**2`, as in `x**2`");
        assert_eq!(finding("// text, don't\nx\n// more").0, "a comment begins with `#`");
        assert_eq!(finding("/* text\n * don't */ x").0, "a comment begins with `#`");
        assert_eq!(finding("a + \\\n b").0, "`\\` does not continue a line");
        assert_eq!(finding("a $$ b").0, "`$` has no meaning in Kiln");
        assert_eq!(finding("a\u{a0}b\u{a0}c").0, "an invisible character, U+00A0");
    }

    #[test]
    fn spaces_line_ends_and_names_of_all_kinds() {
        use TokenKind::*;
        assert_eq!(kinds("\u{feff}a\tb\r\nc\rd"), [Name, Name, Newline, Name, Newline, Name, End]);
        assert_eq!(kinds("π x₀ θ_1 letα let"), [Name, Name, Name, Name, Let, End]);
        assert_eq!(kinds("(a\n // b)"), [LParen, Name, Newline, SlashSlash, Name, RParen, End]);
        let lexed = lex(SourceId(0), "a #  one\n#two\r\n");
        let texts: Vec<&str> = lexed.comments.iter().map(|comment| comment.text.as_str()).collect();
        assert_eq!(texts, [" one", "two"]);
    }

    #[test]
    fn too_many_tokens_are_one_error() {
        let (title, _) = finding(&"a\n".repeat(MAX_TOKENS));
        assert_eq!(title, "this source has more than 1000000 words and signs");
    }
}
