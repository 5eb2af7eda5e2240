//! Pairs brackets and drops the line ends that end nothing, so that the parser always sees balanced tokens.
//!
//! In: tokens of the scanner. Out: [`Balanced`]. Holds: every opening bracket has a partner behind it, correctly nested; a partner that
//! the text lacks is put in with no width, where a person would look for it; a closing bracket without partner is taken out. All of
//! that is reported here. A line end is left only where it ends a statement (SEMANTICS, section 4). Linear time.

use crate::diag::Diagnostic;
use crate::lexer::{MAX_DIAGNOSTICS, Token, TokenKind};
use crate::span::SourceId;

/// Tokens with partners.
pub(super) struct Balanced {
    /// Ends with [`TokenKind::End`].
    pub tokens: Vec<Token>,
    /// For each opening bracket the index of its partner; 0 for other tokens.
    pub partners: Vec<u32>,
    /// Brackets without partner.
    pub diagnostics: Vec<Diagnostic>,
    /// `}` without partner; apart, because a missing `{` explains them.
    pub stray_braces: Vec<Diagnostic>,
    /// Is a bracket still open at the end, and nothing else wrong with brackets? Then more text may follow.
    pub ends_inside: bool,
}

/// Pairs the brackets of `tokens`.
pub(super) fn balance(source: SourceId, text: &str, mut tokens: Vec<Token>) -> Balanced {
    let mut matcher = Matcher {
        source,
        stack: Vec::new(),
        open: [0; 3],
        insertions: Vec::new(),
        removals: Vec::new(),
        diagnostics: Vec::new(),
        stray_braces: Vec::new(),
        suspect: None,
        ends_inside: false,
    };
    matcher.pair(&mut tokens);
    matcher.insertions.sort_by_key(|&(before, _)| before);
    let (kept, partners) = rebuild(text, &tokens, &matcher.insertions, &matcher.removals);
    Balanced {
        tokens: kept,
        partners,
        diagnostics: matcher.diagnostics,
        stray_braces: matcher.stray_braces,
        ends_inside: matcher.ends_inside,
    }
}

/// Does a line that ends with this go on, because something must follow?
pub(super) fn wants_more(kind: TokenKind) -> bool {
    use TokenKind::*;
    match kind {
        Comma | Arrow | At | DotDot | DotDotEq | In | And | Or | Not => true,
        Eq | PlusEq | MinusEq | StarEq | SlashEq | SlashSlashEq | PercentEq | StarStarEq | AtEq | AmpEq
        | PipeEq | CaretEq | LtLtEq | GtGtEq | ColonEq | FatArrow => true,
        EqEq | NotEq | Lt | LtEq | Gt | GtEq | Plus | Minus | Star | Slash | SlashSlash | Percent
        | StarStar | Amp | Pipe | Caret | Tilde | LtLt | GtGt => true,
        AmpAmp | PipePipe | EqEqEq | NotEqEq | LtGt | SlashStar | Quote | Backslash | Bang | PlusPlus
        | MinusMinus | Ellipsis | Question | Bad | End => false,
        Newline | Int | Float | Str | Name | Comment | Fn | Let | Var | Const | If | Else | For | While
        | Break | Continue | Return | True | False | Mut => false,
        LParen | RParen | LBracket | RBracket | LBrace | RBrace | Semicolon | Colon | Dot => false,
    }
}

/// Keywords with which only a statement begins.
pub(super) fn begins_statement(kind: TokenKind) -> bool {
    use TokenKind::*;
    matches!(kind, Fn | Let | Var | Const | While | Break | Continue | Return)
}

fn ends_operand(kind: TokenKind) -> bool {
    use TokenKind::*;
    matches!(kind, Int | Float | Str | Name | True | False | RParen | RBracket | RBrace | Bad)
}

/// May such a token begin a line that does not belong to the brackets before it?
fn may_begin_line(kind: TokenKind) -> bool {
    use TokenKind::*;
    matches!(kind, Newline | Name | Int | Float | Str | True | False | At) || begins_statement(kind)
}

fn is_round(kind: TokenKind) -> bool {
    matches!(kind, TokenKind::LParen | TokenKind::LBracket)
}

fn closer_of(kind: TokenKind) -> TokenKind {
    match kind {
        TokenKind::LParen => TokenKind::RParen,
        TokenKind::LBracket => TokenKind::RBracket,
        _ => TokenKind::RBrace,
    }
}

fn spelling(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::LParen => "(",
        TokenKind::RParen => ")",
        TokenKind::LBracket => "[",
        TokenKind::RBracket => "]",
        TokenKind::LBrace => "{",
        _ => "}",
    }
}

/// An opening bracket that waits for its partner.
struct Open {
    kind: TokenKind,
    token: Token,
    index: usize,
    /// Indentation of its line.
    indent: u32,
    /// The first line end at which a person would say that it should have been closed.
    place: Option<usize>,
    /// Something bad ran to the end of its line, and may have swallowed its partner.
    is_excused: bool,
    /// How many `(` and `[` were open around it, to be restored behind a `}`.
    outer: [usize; 3],
}

struct Matcher {
    source: SourceId,
    stack: Vec<Open>,
    /// How many `(` and `[` are open since the last `{`, and how many `{` at all.
    open: [usize; 3],
    /// Closing brackets to put in, before the token of that index.
    insertions: Vec<(usize, Token)>,
    /// Closing brackets to take out, in order.
    removals: Vec<usize>,
    diagnostics: Vec<Diagnostic>,
    stray_braces: Vec<Diagnostic>,
    /// The first `{` whose `}` stands at another indentation.
    suspect: Option<(Token, Token)>,
    ends_inside: bool,
}

impl Matcher {
    fn pair(&mut self, tokens: &mut [Token]) {
        let mut line_begin = 0;
        let mut indent = 0;
        let mut first_of_line = TokenKind::Newline;
        // Where a run of annotation lines at the margin begins: they belong to the `fn` below.
        let mut annotations = None;
        for index in 0..tokens.len() {
            let token = tokens[index];
            if token.line_start && token.kind != TokenKind::Newline {
                indent = token.start - line_begin;
                first_of_line = token.kind;
                annotations = match token.kind {
                    TokenKind::At if indent == 0 => annotations.or(Some(index)),
                    TokenKind::Fn => annotations,
                    _ => None,
                };
            }
            match token.kind {
                TokenKind::Newline => {
                    line_begin = token.end;
                    self.note_place(tokens, index);
                }
                TokenKind::LParen | TokenKind::LBracket => self.open(token, index, indent),
                TokenKind::LBrace => {
                    self.note_body(tokens, index, first_of_line);
                    self.open(token, index, indent);
                }
                TokenKind::RParen | TokenKind::RBracket | TokenKind::RBrace => {
                    tokens[index].kind = self.close(tokens, index, indent);
                }
                TokenKind::Fn if indent == 0 && (token.line_start || first_of_line == TokenKind::At) => {
                    let before = annotations.take().unwrap_or(index);
                    while !self.stack.is_empty() {
                        self.give_up(tokens, before);
                    }
                }
                TokenKind::End => {
                    self.ends_inside =
                        self.diagnostics.is_empty() && self.stray_braces.is_empty() && !self.stack.is_empty();
                    while !self.stack.is_empty() {
                        self.give_up(tokens, index);
                    }
                }
                TokenKind::Bad if matches!(tokens[index + 1].kind, TokenKind::Newline | TokenKind::End) => {
                    for open in self.stack.iter_mut().rev().take_while(|open| open.token.start >= line_begin)
                    {
                        open.is_excused = true;
                    }
                }
                kind if token.line_start && begins_statement(kind) => {
                    while self.stack.last().is_some_and(|open| is_round(open.kind)) {
                        self.give_up(tokens, index);
                    }
                }
                _ => {}
            }
        }
    }

    /// At a line end: would the innermost bracket better have been closed by now?
    fn note_place(&mut self, tokens: &[Token], index: usize) {
        let Some(open) = self.stack.last_mut() else { return };
        if !is_round(open.kind) || open.place.is_some() || index == 0 || !ends_operand(tokens[index - 1].kind)
        {
            return;
        }
        let next = tokens[index + 1];
        let next_indent = next.start - tokens[index].end;
        let outdented = matches!(next.kind, TokenKind::For | TokenKind::If) && next_indent <= open.indent;
        if may_begin_line(next.kind) || outdented {
            open.place = Some(index);
        }
    }

    /// At a `{`: does a body begin here, so that the innermost bracket had better been closed?
    fn note_body(&mut self, tokens: &[Token], index: usize, first_of_line: TokenKind) {
        use TokenKind::{At, Fn, For, If, RBrace, While};
        if let Some(open) = self.stack.last_mut()
            && is_round(open.kind)
            && open.place.is_none()
            && ends_operand(tokens[index - 1].kind)
            && matches!(first_of_line, Fn | For | If | While | At | RBrace)
        {
            open.place = Some(index);
        }
    }

    fn open(&mut self, token: Token, index: usize, indent: u32) {
        let outer = self.open;
        match token.kind {
            TokenKind::LParen => self.open[0] += 1,
            TokenKind::LBracket => self.open[1] += 1,
            _ => self.open = [0, 0, outer[2] + 1],
        }
        self.stack.push(Open {
            kind: token.kind,
            token,
            index,
            indent,
            place: None,
            is_excused: false,
            outer,
        });
    }

    fn pop(&mut self) -> Option<Open> {
        let open = self.stack.pop()?;
        self.open = open.outer;
        Some(open)
    }

    /// The kind that the closing bracket shall have: another one if it was mistaken, [`TokenKind::Bad`] if it was taken out.
    fn close(&mut self, tokens: &[Token], index: usize, indent: u32) -> TokenKind {
        let token = tokens[index];
        let waiting = match token.kind {
            TokenKind::RParen => self.open[0],
            TokenKind::RBracket => self.open[1],
            _ => self.open[2],
        };
        if waiting > 0 {
            while self.stack.last().is_some_and(|open| closer_of(open.kind) != token.kind) {
                self.give_up(tokens, index);
            }
            if let Some(open) = self.pop()
                && token.kind == TokenKind::RBrace
                && token.line_start
                && indent != open.indent
                && self.suspect.is_none()
            {
                self.suspect = Some((open.token, token));
            }
            return token.kind;
        }
        let found = spelling(token.kind);
        let span = token.span(self.source);
        if let Some(open) =
            self.stack.last().filter(|open| is_round(open.kind) && token.kind != TokenKind::RBrace)
        {
            let (kind, opener) = (closer_of(open.kind), open.token.span(self.source));
            let (opened, wanted) = (spelling(open.kind), spelling(kind));
            self.report(
                Diagnostic::error(
                    format!("`{opened}` is closed by `{found}`"),
                    span,
                    format!("expected `{wanted}`"),
                )
                .with(opener, "opened here")
                .help(format!("write `{wanted}`")),
            );
            self.pop();
            return kind;
        }
        self.removals.push(index);
        let stray = Diagnostic::error(format!("this `{found}` closes nothing"), span, "").help(format!(
            "remove it, or open it with `{}`",
            match token.kind {
                TokenKind::RParen => "(",
                TokenKind::RBracket => "[",
                _ => "{",
            }
        ));
        if token.kind == TokenKind::RBrace {
            if self.stray_braces.len() < MAX_DIAGNOSTICS {
                self.stray_braces.push(stray);
            }
        } else {
            self.report(stray);
        }
        TokenKind::Bad
    }

    /// The innermost bracket is never closed: reports it and puts its partner where it belongs, `before` at the latest.
    fn give_up(&mut self, tokens: &[Token], before: usize) {
        let Some(open) = self.pop() else { return };
        // Just before a line that begins a statement, the line end stays outside.
        let before = match tokens.get(before.wrapping_sub(1)) {
            Some(last) if last.kind == TokenKind::Newline && is_round(open.kind) => before - 1,
            _ => before,
        };
        // An annotation may itself hold the bracket that is open, so that `before` lies before it.
        let place = open.place.unwrap_or(before).max(open.index + 1);
        let kind = closer_of(open.kind);
        // The width of nothing; the place is filled in when the token before it is known.
        self.insertions.push((place, Token { kind, line_start: false, start: 0, end: 0 }));
        if let Some(outer) = self.stack.last_mut()
            && is_round(outer.kind)
            && outer.place.is_none()
        {
            outer.place = Some(place);
        }
        if open.is_excused {
            return;
        }
        let (opened, wanted) = (spelling(open.kind), spelling(kind));
        let mut diagnostic = Diagnostic::error(
            format!("this `{opened}` is never closed"),
            open.token.span(self.source),
            "opened here",
        )
        .help(format!("close it with `{wanted}`"));
        if let (TokenKind::LBrace, Some((opener, closer))) = (open.kind, self.suspect.take()) {
            diagnostic = diagnostic.with(opener.span(self.source), "this `{` …").with(
                closer.span(self.source),
                "… is closed by this `}`, which is not below it: one may be missing before",
            );
        }
        self.report(diagnostic);
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        if self.diagnostics.len() < MAX_DIAGNOSTICS {
            self.diagnostics.push(diagnostic);
        }
    }
}

/// Applies insertions and removals, drops line ends that end nothing, and finds partners.
fn rebuild(
    text: &str,
    tokens: &[Token],
    insertions: &[(usize, Token)],
    removals: &[usize],
) -> (Vec<Token>, Vec<u32>) {
    let mut out =
        Rebuilt { tokens: Vec::with_capacity(tokens.len()), partners: Vec::new(), stack: Vec::new() };
    let mut insertions = insertions.iter().peekable();
    let mut removals = removals.iter().peekable();
    let mut index = 0;
    while index < tokens.len() {
        while let Some((_, token)) = insertions.next_if(|(before, _)| *before == index) {
            let at = out.tokens.last().map_or(0, |last| last.end);
            out.push(Token { start: at, end: at, ..*token });
        }
        let token = tokens[index];
        index += 1;
        if removals.next_if(|&&removed| removed + 1 == index).is_some() {
            continue;
        }
        if token.kind != TokenKind::Newline {
            out.push(token);
            continue;
        }
        if out.drops_line_end() {
            continue;
        }
        if out.tokens.last().is_some_and(|last| last.kind == TokenKind::RBrace) {
            let mut next = index;
            while tokens[next].kind == TokenKind::Newline {
                next += 1;
            }
            let is_else = tokens[next].kind == TokenKind::Else || is_else_if(tokens[next].text(text));
            if is_else && insertions.peek().is_none_or(|(before, _)| *before > next) {
                index = next;
                continue;
            }
        }
        out.push(token);
    }
    (out.tokens, out.partners)
}

/// How other languages spell `else if`.
pub(super) fn is_else_if(text: &str) -> bool {
    matches!(text, "elif" | "elsif" | "elseif")
}

struct Rebuilt {
    tokens: Vec<Token>,
    partners: Vec<u32>,
    /// Indices of open brackets.
    stack: Vec<u32>,
}

impl Rebuilt {
    fn push(&mut self, token: Token) {
        use TokenKind::*;
        if matches!(token.kind, Newline | Semicolon | RBrace | End) {
            self.join_decrement();
        }
        let index = self.tokens.len() as u32;
        match token.kind {
            LParen | LBracket | LBrace => self.stack.push(index),
            RParen | RBracket | RBrace => {
                if let Some(open) = self.stack.pop() {
                    self.partners[open as usize] = index;
                }
            }
            _ => {}
        }
        self.tokens.push(token);
        self.partners.push(0);
    }

    /// `x--` at the end of a statement is no subtraction.
    fn join_decrement(&mut self) -> bool {
        let [.., operand, first, second] = self.tokens.as_slice() else { return false };
        let is_decrement = first.kind == TokenKind::Minus
            && second.kind == TokenKind::Minus
            && ends_operand(operand.kind)
            && operand.end == first.start
            && first.end == second.start;
        if is_decrement {
            let end = second.end;
            self.tokens.pop();
            self.partners.pop();
            if let Some(last) = self.tokens.last_mut() {
                *last = Token { kind: TokenKind::MinusMinus, end, ..*last };
            }
        }
        is_decrement
    }

    fn drops_line_end(&mut self) -> bool {
        if self.stack.last().is_some_and(|&open| is_round(self.tokens[open as usize].kind)) {
            return true;
        }
        match self.tokens.last() {
            None => true,
            Some(last) if last.kind == TokenKind::Newline => true,
            Some(last) => wants_more(last.kind) && !self.join_decrement(),
        }
    }
}
