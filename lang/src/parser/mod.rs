//! Text to syntax tree: recursive descent, precedence climbing, and recovery, so that one run reports every mistake once.
//!
//! In: text. Out: [`ast::Module`] and all diagnostics, in order of place. Holds: no panic and linear time on any text; the tree is no
//! deeper than [`ast::MAX_DEPTH`]; a tree without diagnostics has no error nodes.
//!
//! How recovery works: `brackets` has made every bracket balanced before the parser starts. A function that cannot go on reports
//! why and returns `Reported`; the nearest enclosing list entry, header or statement then skips to its own end. `habits` knows
//! what hands used to other languages type, and shows Kiln's spelling.

mod brackets;
mod expr;
mod func;
mod habits;
mod stmt;
#[cfg(test)]
mod tests;

use crate::ast;
use crate::diag::Diagnostic;
use crate::lexer::{self, MAX_DIAGNOSTICS, Token, TokenKind};
use crate::span::{SourceId, Span};

/// The most bytes of one source.
pub const MAX_SOURCE: usize = 4 << 20;

/// The most bytes of one line.
pub const MAX_LINE: usize = 1 << 20;

/// Parses a source. The tree is complete only if there are no diagnostics; otherwise it holds what could be read.
///
/// ```
/// use kiln_lang::{ast_text, parse, span::SourceId};
/// let (module, diagnostics) = parse(SourceId(0), "fn square(x) = x * x\n");
/// assert!(diagnostics.is_empty());
/// assert_eq!(ast_text(&module), "fn square(x) {\n    (* x x)\n}\n");
/// ```
pub fn parse(source: SourceId, text: &str) -> (ast::Module, Vec<Diagnostic>) {
    let outcome = run(source, text);
    (outcome.module, outcome.diagnostics)
}

/// Bytes to text.
///
/// # Errors
/// More than [`MAX_SOURCE`] bytes, a line of more than [`MAX_LINE`], bytes that are not UTF-8, a NUL byte.
#[allow(clippy::result_large_err)]
pub fn check_text(bytes: &[u8]) -> Result<&str, Diagnostic> {
    let source = SourceId::default();
    if bytes.len() > MAX_SOURCE {
        let title = format!("this source has {} bytes; the limit is {MAX_SOURCE}", bytes.len());
        return Err(Diagnostic::error(title, Span::new(source, 0, 0), "")
            .help("split it, and keep tables of numbers in `.npy` files"));
    }
    let place = |offset: usize| {
        let before = &bytes[..offset];
        let begin = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        format!(
            "line {}, byte {}",
            before.iter().filter(|&&byte| byte == b'\n').count() + 1,
            offset - begin + 1
        )
    };
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let offset = error.valid_up_to();
        let title = format!("this source is not UTF-8: byte 0x{:02X} at {}", bytes[offset], place(offset));
        Diagnostic::error(title, Span::new(source, offset, offset + 1), "").help("save the file as UTF-8")
    })?;
    if let Some(offset) = text.find('\0') {
        let title = format!("a NUL byte at {}", place(offset));
        return Err(Diagnostic::error(title, Span::new(source, offset, offset + 1), "")
            .help("remove it; is this a file of text?"));
    }
    let mut begin = 0;
    for line in text.split_inclusive('\n') {
        if line.len() > MAX_LINE {
            let title =
                format!("a line of {} bytes, at {}; the limit is {MAX_LINE}", line.len(), place(begin));
            return Err(Diagnostic::error(title, Span::new(source, begin, begin), "").help("break it up"));
        }
        begin += line.len();
    }
    Ok(text)
}

/// May this be run as it stands? `false` if a bracket is open at the end, or an operator or an annotation waits for what follows.
pub fn is_complete(text: &str) -> bool {
    !run(SourceId::default(), text).wants_more
}

struct Outcome {
    module: ast::Module,
    diagnostics: Vec<Diagnostic>,
    wants_more: bool,
}

fn run(source: SourceId, text: &str) -> Outcome {
    if let Err(mut diagnostic) = check_text(text.as_bytes()) {
        diagnostic.primary.span.source = source;
        let module = ast::Module::default();
        return Outcome { module, diagnostics: vec![diagnostic], wants_more: false };
    }
    let lexed = lexer::lex(source, text);
    let mut diagnostics = lexed.diagnostics;
    if lexed.is_cut {
        let module = ast::Module { items: Vec::new(), comments: lexed.comments };
        return Outcome { module, diagnostics, wants_more: false };
    }
    let balanced = brackets::balance(source, text, lexed.tokens);
    diagnostics.extend(balanced.diagnostics);
    let mut parser = Parser {
        source,
        text,
        tokens: &balanced.tokens,
        partners: &balanced.partners,
        comments: &lexed.comments,
        pos: 0,
        depth: 0,
        reach: 0,
        operands: Vec::new(),
        operators: Vec::new(),
        in_header: false,
        depth_reported: false,
        diagnostics: Vec::new(),
        missing_braces: 0,
        ends_with_annotation: false,
    };
    let items = parser.items();
    let ends_with_annotation = parser.ends_with_annotation;
    let stray_braces = balanced.stray_braces.into_iter().skip(parser.missing_braces);
    diagnostics.append(&mut parser.diagnostics);
    diagnostics.extend(stray_braces);
    diagnostics.sort_by_key(|diagnostic| diagnostic.primary.span.start);
    diagnostics.dedup_by_key(|diagnostic| diagnostic.primary.span.start);
    if diagnostics.len() > MAX_DIAGNOSTICS {
        diagnostics.truncate(MAX_DIAGNOSTICS);
        if let Some(last) = diagnostics.last_mut() {
            last.notes.push("and more: the rest is not shown".to_string());
        }
    }
    let last = balanced.tokens.iter().rev().map(|token| token.kind);
    let last = last.into_iter().find(|kind| !matches!(kind, TokenKind::Newline | TokenKind::End));
    let wants_more = balanced.ends_inside || ends_with_annotation || last.is_some_and(brackets::wants_more);
    let module = ast::Module { items, comments: lexed.comments };
    Outcome { module, diagnostics, wants_more }
}

/// Proof that the reason for giving up has been reported.
struct Reported;

type Parsed<T> = Result<T, Reported>;

/// Which ends of a range must be written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    Both,
    /// In `a[..]`.
    Open,
}

/// Brackets that have been stepped into.
struct Group {
    open: usize,
    close: usize,
    /// To be restored.
    in_header: bool,
    levels: usize,
}

struct Parser<'a> {
    source: SourceId,
    text: &'a str,
    tokens: &'a [Token],
    partners: &'a [u32],
    comments: &'a [ast::Comment],
    pos: usize,
    /// How deep what is being parsed lies in the tree.
    depth: usize,
    /// How deep the deepest node of the expression being parsed lies.
    reach: usize,
    /// Operands and operators of all operations being parsed, the innermost last.
    operands: Vec<expr::Operand>,
    operators: Vec<expr::Waiting>,
    /// In the header of `for`, `while`, `if`, where `{` begins the body and no operand.
    in_header: bool,
    /// Has this item been reported as too deep?
    depth_reported: bool,
    /// More than [`MAX_DIAGNOSTICS`] are of no use; one more shows that there are more.
    diagnostics: Vec<Diagnostic>,
    /// Bodies without `{`; each explains a `}` that closes nothing.
    missing_braces: usize,
    ends_with_annotation: bool,
}

impl<'a> Parser<'a> {
    // Looking and moving.

    fn token(&self) -> Token {
        self.tokens[self.pos]
    }

    fn kind(&self) -> TokenKind {
        self.tokens[self.pos].kind
    }

    /// The token `ahead` of this one, or the end.
    fn peek(&self, ahead: usize) -> Token {
        self.tokens[(self.pos + ahead).min(self.tokens.len() - 1)]
    }

    fn span(&self) -> Span {
        self.token().span(self.source)
    }

    /// The place of the token before this one.
    fn last_span(&self) -> Span {
        self.tokens[self.pos.saturating_sub(1)].span(self.source)
    }

    /// The text of this token.
    fn word(&self) -> &'a str {
        self.token().text(self.text)
    }

    /// Is this token the name `word`?
    fn at_word(&self, word: &str) -> bool {
        self.kind() == TokenKind::Name && self.word() == word
    }

    /// Steps over this token; its place.
    fn bump(&mut self) -> Span {
        let span = self.span();
        self.pos = (self.pos + 1).min(self.tokens.len() - 1);
        span
    }

    fn eat(&mut self, kind: TokenKind) -> Option<Span> {
        (self.kind() == kind).then(|| self.bump())
    }

    /// The partner of the bracket at `open`.
    fn partner(&self, open: usize) -> usize {
        self.partners[open] as usize
    }

    /// Was this closing bracket put in because the text lacks it?
    fn is_put_in(&self, close: usize) -> bool {
        self.tokens[close].start == self.tokens[close].end
    }

    fn skip_newlines(&mut self) {
        while self.kind() == TokenKind::Newline {
            self.bump();
        }
    }

    // Reporting.

    fn report(&mut self, diagnostic: Diagnostic) -> Reported {
        if self.diagnostics.len() <= MAX_DIAGNOSTICS {
            self.diagnostics.push(diagnostic);
        }
        Reported
    }

    /// Reports an error with advice.
    fn error(
        &mut self,
        title: impl Into<String>,
        span: Span,
        label: &str,
        help: impl Into<String>,
    ) -> Reported {
        self.report(Diagnostic::error(title, span, label).help(help))
    }

    /// Reports that this token is not `wanted`, unless what is wrong here is known already.
    fn unexpected(&mut self, wanted: &str) -> Reported {
        if self.diagnostics.len() > MAX_DIAGNOSTICS || self.is_known_trouble() {
            return Reported;
        }
        let found = self.found();
        let place = self.place();
        let mut diagnostic = Diagnostic::error(format!("expected {wanted}, found {found}"), place, "");
        diagnostic.helps.extend(habits::advice(self));
        self.report(diagnostic)
    }

    /// Is this token something that scanner or brackets have reported?
    fn is_known_trouble(&self) -> bool {
        let token = self.token();
        token.kind == TokenKind::Bad || (token.start == token.end && token.kind != TokenKind::End)
    }

    /// This token, for a message.
    fn found(&self) -> String {
        match self.kind() {
            TokenKind::Newline => "the end of the line".to_string(),
            TokenKind::End => "the end of the text".to_string(),
            TokenKind::Str => "a string".to_string(),
            _ => format!("`{}`", lexer::clip(self.word())),
        }
    }

    /// This token's place; for an end, the place behind the last token.
    fn place(&self) -> Span {
        match self.kind() {
            TokenKind::Newline | TokenKind::End if self.pos > 0 => {
                let end = self.last_span().end;
                Span { source: self.source, start: end, end }
            }
            _ => self.span(),
        }
    }

    // Depth.

    /// What is parsed next lies `levels` deeper in the tree; the caller goes back up.
    fn descend(&mut self, levels: usize) -> Parsed<()> {
        if self.depth + levels > ast::MAX_DEPTH {
            return Err(self.too_deep());
        }
        self.depth += levels;
        self.reach = self.reach.max(self.depth);
        Ok(())
    }

    /// What has been parsed of a chain `f(a)(b).c` moves down a level.
    fn link(&mut self) -> Parsed<()> {
        self.reach += 1;
        if self.reach > ast::MAX_DEPTH { Err(self.too_long()) } else { Ok(()) }
    }

    /// Brackets and blocks are too deep in each other.
    fn too_deep(&mut self) -> Reported {
        let help = "name parts with `let`, or move them into functions";
        self.over_limit(
            format!("this is nested too deep; the limit is {} brackets or blocks", ast::MAX_DEPTH / 2),
            help,
        )
    }

    /// A chain of operators is too long.
    fn too_long(&mut self) -> Reported {
        let help = "name parts with `let`; a long sum belongs into an array and a loop";
        self.over_limit(
            format!("this expression is too long; the limit is {} operators in a row", ast::MAX_DEPTH),
            help,
        )
    }

    #[cold]
    fn over_limit(&mut self, title: String, help: &str) -> Reported {
        if !std::mem::replace(&mut self.depth_reported, true) {
            let place = self.place();
            self.error(title, place, "the limit is reached here", help);
        }
        Reported
    }

    // Recovery.

    /// Skips the rest of a statement. Blocks of several lines are still parsed, for the mistakes in them.
    fn skip_statement(&mut self) {
        loop {
            match self.kind() {
                TokenKind::End
                | TokenKind::Newline
                | TokenKind::Semicolon
                | TokenKind::RParen
                | TokenKind::RBracket
                | TokenKind::RBrace => return,
                kind if self.token().line_start && brackets::begins_statement(kind) => return,
                TokenKind::LBrace if self.peek(1).kind == TokenKind::Newline => {
                    let open = self.pos;
                    if self.block().is_err() {
                        self.pos = self.partner(open) + 1;
                    }
                }
                TokenKind::LParen | TokenKind::LBracket | TokenKind::LBrace => {
                    self.pos = self.partner(self.pos) + 1;
                }
                _ => self.pos += 1,
            }
        }
    }

    /// Skips to the `{` of a body on the same line; is there one?
    fn skip_to_body(&mut self) -> bool {
        loop {
            match self.kind() {
                TokenKind::LBrace => return true,
                TokenKind::End
                | TokenKind::Newline
                | TokenKind::Semicolon
                | TokenKind::RParen
                | TokenKind::RBracket
                | TokenKind::RBrace => return false,
                TokenKind::LParen | TokenKind::LBracket => self.pos = self.partner(self.pos) + 1,
                _ => self.pos += 1,
            }
        }
    }

    // Groups in brackets.

    /// Steps into the brackets that open here, `levels` down. Nothing in them can step over their end.
    fn enter(&mut self, levels: usize) -> Parsed<Group> {
        self.descend(levels)?;
        let open = self.pos;
        let in_header = std::mem::replace(&mut self.in_header, false);
        self.pos += 1;
        Ok(Group { open, close: self.partners[open] as usize, in_header, levels })
    }

    /// Steps behind the brackets; their place.
    fn leave(&mut self, group: Group) -> Span {
        debug_assert!(self.pos <= group.close, "a closing bracket was consumed");
        self.pos = group.close + 1;
        self.in_header = group.in_header;
        self.depth -= group.levels;
        self.tokens[group.open].span(self.source).to(self.tokens[group.close].span(self.source))
    }

    /// Behind an entry of a list with commas: steps over the comma. An entry that failed, and what should not be there, is skipped.
    fn end_entry(&mut self, group: &Group, result: Parsed<()>) {
        if self.pos < group.close && self.kind() != TokenKind::Comma {
            if result.is_ok() && !self.is_put_in(group.close) {
                let bracket = self.tokens[group.close].text(self.text);
                self.unexpected(&format!("`,` or `{bracket}`"));
            }
            while self.pos < group.close && self.kind() != TokenKind::Comma {
                self.pos = match self.kind() {
                    TokenKind::LParen | TokenKind::LBracket | TokenKind::LBrace => self.partner(self.pos) + 1,
                    _ => self.pos + 1,
                };
            }
        }
        if self.pos < group.close {
            self.pos += 1;
        }
    }

    /// A name.
    fn name(&mut self, wanted: &str) -> Parsed<ast::Name> {
        if self.kind() != TokenKind::Name {
            return Err(self.unexpected(wanted));
        }
        let text = self.word().to_string();
        Ok(ast::Name { text, span: self.bump() })
    }
}
