//! Expressions.
//!
//! In: tokens where an expression begins. Out: [`ast::Expr`]. Holds: SEMANTICS, section 4. From loose to tight: ranges; `or`; `and`;
//! `not`; comparisons; `|`; `^`; `&`; `<< >>`; `+ -`; `* / // % @`; unary `- ~`; `**`; calls, indices, fields.

use super::{Ends, Parsed, Parser, Reported, brackets, habits};
use crate::ast::{self, BinaryOp, CompareOp, Expr, ExprKind, UnaryOp};
use crate::lexer::{self, TokenKind};
use crate::span::Span;

const LOOSEST: u8 = 1;
const NOT: u8 = 3;
const COMPARISON: u8 = 4;
const UNARY: u8 = 11;

enum Infix {
    Binary(BinaryOp),
    Compare,
}

/// Binding strength and meaning of a token between two operands; `**` is looked for elsewhere.
fn infix(kind: TokenKind) -> Option<(u8, Infix)> {
    let binary = |strength, op| Some((strength, Infix::Binary(op)));
    match kind {
        _ if comparison(kind).is_some() => Some((COMPARISON, Infix::Compare)),
        TokenKind::Or => binary(LOOSEST, BinaryOp::Or),
        TokenKind::And => binary(2, BinaryOp::And),
        TokenKind::Pipe => binary(5, BinaryOp::BitOr),
        TokenKind::Caret => binary(6, BinaryOp::BitXor),
        TokenKind::Amp => binary(7, BinaryOp::BitAnd),
        TokenKind::LtLt => binary(8, BinaryOp::Shl),
        TokenKind::GtGt => binary(8, BinaryOp::Shr),
        TokenKind::Plus => binary(9, BinaryOp::Add),
        TokenKind::Minus => binary(9, BinaryOp::Sub),
        TokenKind::Star => binary(10, BinaryOp::Mul),
        TokenKind::Slash => binary(10, BinaryOp::Div),
        TokenKind::SlashSlash => binary(10, BinaryOp::FloorDiv),
        TokenKind::Percent => binary(10, BinaryOp::Rem),
        TokenKind::At => binary(10, BinaryOp::MatMul),
        _ => None,
    }
}

fn comparison(kind: TokenKind) -> Option<CompareOp> {
    match kind {
        TokenKind::EqEq => Some(CompareOp::Eq),
        TokenKind::NotEq => Some(CompareOp::Ne),
        TokenKind::Lt => Some(CompareOp::Lt),
        TokenKind::LtEq => Some(CompareOp::Le),
        TokenKind::Gt => Some(CompareOp::Gt),
        TokenKind::GtEq => Some(CompareOp::Ge),
        _ => None,
    }
}

/// May an operand begin with it?
pub(super) fn begins_operand(kind: TokenKind) -> bool {
    use TokenKind::*;
    matches!(
        kind,
        Int | Float
            | Str
            | Name
            | True
            | False
            | LParen
            | LBracket
            | LBrace
            | Minus
            | Tilde
            | Not
            | If
            | Bang
            | Plus
    )
}

fn is_range(kind: TokenKind) -> bool {
    matches!(kind, TokenKind::DotDot | TokenKind::DotDotEq | TokenKind::Ellipsis)
}

/// Does it end an operand, so that nothing may follow without an operator? `if` and blocks take no call, index or field.
fn takes_suffix(expr: &Expr) -> bool {
    !matches!(expr.kind, ExprKind::If { .. } | ExprKind::Block(_))
}

impl Parser<'_> {
    /// One expression.
    pub(super) fn expr(&mut self) -> Parsed<Expr> {
        self.nested(|parser| parser.range(Ends::Both))
    }

    /// `a`, or the tuple `a, b` where a statement allows it.
    pub(super) fn expr_list(&mut self) -> Parsed<Expr> {
        let first = self.expr()?;
        if self.kind() != TokenKind::Comma {
            return Ok(first);
        }
        let start = first.span;
        let mut items = vec![first];
        while self.eat(TokenKind::Comma).is_some() {
            items.push(self.expr()?);
        }
        Ok(Expr { kind: ExprKind::Tuple(items), span: start.to(self.last_span()) })
    }

    /// The condition or range in front of a body; if it cannot be read but the body is there, an error node.
    pub(super) fn header(&mut self) -> Parsed<Expr> {
        let start = self.span();
        let in_header = std::mem::replace(&mut self.in_header, true);
        let mut result = if self.kind() == TokenKind::LBrace {
            let help =
                "write `if c { … }`, `while c { … }`; a condition that begins with `{` stands in parentheses";
            Err(self.error("a condition is missing", start, "", help))
        } else {
            self.expr()
        };
        if result.is_ok() && self.kind() == TokenKind::Eq {
            let span = self.bump();
            self.error("`=` assigns", span, "", "write `==` to compare");
            result = self.expr();
        }
        self.in_header = in_header;
        match result {
            Err(Reported) if self.skip_to_body() => {
                Ok(Expr { kind: ExprKind::Error, span: start.to(self.last_span()) })
            }
            result => result,
        }
    }

    fn range(&mut self, ends: Ends) -> Parsed<Expr> {
        self.chained(|parser| parser.range_parts(ends))
    }

    fn range_parts(&mut self, ends: Ends) -> Parsed<Expr> {
        let start = self.span();
        let lo = if is_range(self.kind()) {
            if ends == Ends::Both {
                self.error(
                    "this range has no beginning",
                    start,
                    "",
                    "write `0..n`; only a slice `a[..n]` may leave it out",
                );
            }
            None
        } else {
            Some(self.binary(LOOSEST)?)
        };
        let lo = match lo {
            Some(lo) if !is_range(self.kind()) => return Ok(lo),
            lo => lo,
        };
        let dots = self.kind();
        let dots_span = self.bump();
        self.link()?;
        if dots == TokenKind::Ellipsis {
            self.error("a range has two dots", dots_span, "", "write `a..b`, or `a..=b` with its last value");
        } else if dots == TokenKind::DotDot && self.kind() == TokenKind::Lt {
            let span = self.bump();
            self.error("`..` leaves out its last value already", span, "", "write `a..b`");
        }
        let has_hi = begins_operand(self.kind())
            && !(self.in_header && self.kind() == TokenKind::LBrace)
            && !self.at_step_without_end();
        let hi = if has_hi {
            Some(Box::new(self.nested(|parser| parser.binary(LOOSEST))?))
        } else if ends == Ends::Both || dots == TokenKind::DotDotEq {
            if self.is_known_trouble() {
                return Err(Reported);
            }
            self.error(
                "this range has no end",
                dots_span,
                "",
                "write `a..b`; only a slice `a[i..]` may leave it out",
            );
            None
        } else {
            None
        };
        let mut step = None;
        if self.at_word("step") || self.at_word("by") {
            let span = self.span();
            if self.at_word("by") {
                self.error("a range goes by `step`", span, "", "write `a..b step s`");
            }
            self.bump();
            step = Some(Box::new(self.nested(|parser| parser.binary(LOOSEST))?));
        }
        let span = start.to(self.last_span());
        if is_range(self.kind()) {
            let here = self.span();
            let help = "write `a..b step s` for steps";
            return Err(self.error("a range has two ends and a step", here, "", help));
        }
        let inclusive = dots == TokenKind::DotDotEq;
        Ok(Expr { kind: ExprKind::Range { lo: lo.map(Box::new), hi, inclusive, step }, span })
    }

    /// `step` right behind the dots of a slice, and not a variable of that name.
    fn at_step_without_end(&self) -> bool {
        let (sign, next) = (self.peek(1), self.peek(2));
        self.at_word("step")
            && match sign.kind {
                TokenKind::Int | TokenKind::Float | TokenKind::Name => true,
                TokenKind::Minus => sign.start > self.token().end && next.start == sign.end,
                _ => false,
            }
    }

    /// Operators at least as tight as `least`.
    fn binary(&mut self, least: u8) -> Parsed<Expr> {
        self.chained(|parser| parser.binary_chain(least))
    }

    fn binary_chain(&mut self, least: u8) -> Parsed<Expr> {
        let mut left = self.unary(least)?;
        while let Some((strength, op)) = infix(self.kind()).filter(|(strength, _)| *strength >= least) {
            if self.kind() == TokenKind::At && self.at_generator_annotation() {
                break;
            }
            self.link()?;
            left = match op {
                Infix::Compare => self.comparisons(left)?,
                Infix::Binary(op) => {
                    self.bump();
                    let right = self.nested(|parser| parser.binary(strength + 1))?;
                    let span = left.span.to(right.span);
                    Expr { kind: ExprKind::Binary(op, Box::new(left), Box::new(right)), span }
                }
            };
        }
        Ok(left)
    }

    /// `a < b <= c`, all of it.
    fn comparisons(&mut self, left: Expr) -> Parsed<Expr> {
        let start = left.span;
        let mut operands = vec![left];
        let mut ops = Vec::new();
        while let Some(op) = comparison(self.kind()) {
            if ops.len() == ast::MAX_DEPTH {
                return Err(self.too_deep());
            }
            self.bump();
            ops.push(op);
            operands.push(self.nested(|parser| parser.binary(COMPARISON + 1))?);
        }
        Ok(Expr { kind: ExprKind::Compare(operands, ops), span: start.to(self.last_span()) })
    }

    fn unary(&mut self, least: u8) -> Parsed<Expr> {
        let start = self.span();
        let op = match self.kind() {
            TokenKind::Minus => UnaryOp::Neg,
            TokenKind::Tilde => UnaryOp::BitNot,
            TokenKind::Not => UnaryOp::Not,
            TokenKind::Bang => {
                self.error("Kiln writes `not` for `!`", start, "", "write `not x`");
                UnaryOp::Not
            }
            TokenKind::Plus if self.token().line_start => {
                let help = "end the line above with it, or put the whole in `( )`";
                return Err(self.error("a line does not begin with an operator", start, "", help));
            }
            TokenKind::Plus | TokenKind::PlusPlus => {
                let help = "write `x`; to count up, `x += 1`";
                self.error("there is no `+` in front of a value", start, "", help);
                self.bump();
                return self.nested(|parser| parser.unary(least));
            }
            _ => return self.power(),
        };
        if self.kind() == TokenKind::Not && least > NOT {
            let help = "`not` binds looser than the operator before it: write `(not x)`";
            self.error("`not` needs parentheses here", start, "", help);
        }
        let is_word = self.kind() == TokenKind::Not;
        self.bump();
        let strength = if is_word { NOT } else { UNARY };
        let operand =
            self.nested(|parser| if is_word { parser.binary(strength) } else { parser.unary(strength) })?;
        let span = start.to(operand.span);
        Ok(Expr { kind: ExprKind::Unary(op, Box::new(operand)), span })
    }

    /// `a ** b`, with calls, indices and fields.
    fn power(&mut self) -> Parsed<Expr> {
        self.chained(|parser| {
            let base = parser.suffixes()?;
            if parser.kind() != TokenKind::StarStar {
                return Ok(base);
            }
            parser.bump();
            parser.link()?;
            let exponent = parser.nested(|parser| parser.unary(UNARY))?;
            let span = base.span.to(exponent.span);
            Ok(Expr { kind: ExprKind::Binary(BinaryOp::Pow, Box::new(base), Box::new(exponent)), span })
        })
    }

    fn suffixes(&mut self) -> Parsed<Expr> {
        let mut base = self.operand()?;
        if !takes_suffix(&base) {
            return Ok(base);
        }
        loop {
            base = match self.kind() {
                TokenKind::LParen => {
                    self.link()?;
                    self.call(base)
                }
                TokenKind::LBracket => {
                    self.link()?;
                    self.index(base)
                }
                TokenKind::Dot => {
                    self.link()?;
                    self.field(base)?
                }
                _ => return Ok(base),
            };
        }
    }

    fn field(&mut self, base: Expr) -> Parsed<Expr> {
        self.bump();
        if !matches!(self.kind(), TokenKind::Name | TokenKind::Int) {
            return Err(self.unexpected("a name after `.`"));
        }
        let text = self.word().to_string();
        let name = ast::Name { text, span: self.bump() };
        let span = base.span.to(name.span);
        Ok(Expr { kind: ExprKind::Field(Box::new(base), name), span })
    }

    fn call(&mut self, callee: Expr) -> Expr {
        let mut args = Vec::new();
        let mut keywords: Vec<(ast::Name, Expr)> = Vec::new();
        let mut generator: Option<Box<ast::Generator>> = None;
        let group = self.group(|parser, close| {
            parser.entries(close, |parser| {
                if parser.kind() == TokenKind::Name && parser.peek(1).kind == TokenKind::Eq {
                    let name = parser.name("a name")?;
                    parser.bump();
                    let value = parser.expr()?;
                    keywords.push((name, value));
                    return Ok(());
                }
                let start = parser.span();
                if matches!(parser.kind(), TokenKind::Star | TokenKind::StarStar) {
                    let help = "write the arguments one by one";
                    return Err(parser.error("arguments cannot be unpacked", start, "", help));
                }
                let (term, found) = parser.term()?;
                if parser.kind() == TokenKind::Colon {
                    let span = parser.span();
                    let help = "write `f(name=x)`; a slice is `a[i..j]`";
                    return Err(parser.error("an argument is named with `=`", span, "", help));
                }
                if let Some(found) = found {
                    if args.is_empty() && generator.is_none() {
                        generator = Some(Box::new(ast::Generator { term, ..found }));
                        return Ok(());
                    }
                    let help = "name the others, as in `f(e for i in 0..n, axis=0)`, or make an array: `[e for i in 0..n]`";
                    return Err(parser.error(
                        "a generator is the only argument without a name",
                        start.to(parser.last_span()),
                        "",
                        help,
                    ));
                }
                if generator.is_some() {
                    let help = "name it, as in `f(e for i in 0..n, axis=0)`";
                    return Err(parser.error(
                        "a generator is the only argument without a name",
                        term.span,
                        "this one is another",
                        help,
                    ));
                }
                if !keywords.is_empty() {
                    let help = "put arguments without a name first";
                    return Err(parser.error("an argument without a name after one with a name", term.span, "", help));
                }
                args.push(term);
                Ok(())
            });
        });
        let span = callee.span.to(group);
        Expr { kind: ExprKind::Call { callee: Box::new(callee), args, keywords, generator }, span }
    }

    /// An expression, or the term of a generator with the generator (whose own term is a placeholder).
    fn term(&mut self) -> Parsed<(Expr, Option<ast::Generator>)> {
        let mut annotations = self.annotations()?;
        let term = self.expr()?;
        if self.kind() == TokenKind::At {
            annotations.append(&mut self.annotations()?);
        }
        if self.kind() == TokenKind::For {
            return Ok((term, Some(self.generator(annotations)?)));
        }
        if let Some(first) = annotations.first() {
            let span = first.span;
            return Err(self.error(
                "this annotation stands before no loop",
                span,
                "",
                "an annotation stands before a loop, a function, a block, or the term of a generator",
            ));
        }
        Ok((term, None))
    }

    /// `@parallel for` or `@parallel @vectorize for` behind a term. Any other `@` behind an operand is the product.
    fn at_generator_annotation(&self) -> bool {
        let name = self.peek(1);
        let is_known = |text: &str| matches!(text, "parallel" | "vectorize" | "fast");
        name.kind == TokenKind::Name
            && is_known(name.text(self.text))
            && match self.peek(2).kind {
                TokenKind::For => true,
                TokenKind::At => is_known(self.peek(3).text(self.text)),
                _ => false,
            }
    }

    /// `for i in a..b, j in c..d if e`
    fn generator(&mut self, annotations: Vec<ast::Annotation>) -> Parsed<ast::Generator> {
        let mut indices = Vec::new();
        self.bump();
        loop {
            indices.push(self.index_in()?);
            if self.kind() == TokenKind::Comma
                && self.peek(1).kind == TokenKind::Name
                && self.peek(2).kind == TokenKind::In
            {
                self.bump();
            } else if self.kind() == TokenKind::For {
                let span = self.bump();
                self.error("a generator has one `for`", span, "", "write `for i in 0..n, j in 0..m`");
            } else {
                break;
            }
        }
        let mut filter = None;
        while self.kind() == TokenKind::If {
            let span = self.bump();
            if filter.is_some() {
                self.error("a generator has one `if`", span, "", "join the conditions with `and`");
            }
            filter = Some(self.expr()?);
        }
        let term = Expr { kind: ExprKind::Error, span: self.last_span() };
        Ok(ast::Generator { term, annotations, indices, filter })
    }

    /// `i in range`
    pub(super) fn index_in(&mut self) -> Parsed<ast::Index> {
        let name = self.name("the name of an index")?;
        match self.kind() {
            TokenKind::In => {
                self.bump();
            }
            TokenKind::Eq | TokenKind::ColonEq => {
                let span = self.bump();
                self.error(
                    "an index runs `in` a range",
                    span,
                    "",
                    format!("write `for {} in a..b`", name.text),
                );
            }
            TokenKind::Comma => {
                let here = self.span();
                let help = "several indices are `for i in 0..n, j in 0..m`; elements are `a[i]`";
                return Err(self.error("each index has its own range", here, "", help));
            }
            _ if self.is_known_trouble() => return Err(Reported),
            _ => {
                let place = self.place();
                let help = format!("write `for {} in a..b`", name.text);
                return Err(self.error(format!("expected `in`, found {}", self.found()), place, "", help));
            }
        }
        let range = self.expr()?;
        Ok(ast::Index { name, range })
    }

    fn index(&mut self, base: Expr) -> Expr {
        let mut items = Vec::new();
        let group = self.group(|parser, close| {
            if parser.pos == close && !parser.is_put_in(close) {
                let span = parser.span();
                parser.error("an index is missing", span, "", "write `a[i]`, or `a[:]` for all elements");
            }
            parser.entries(close, |parser| {
                items.push(parser.slice(close)?);
                Ok(())
            });
        });
        let span = base.span.to(group);
        Expr { kind: ExprKind::Index(Box::new(base), items), span }
    }

    /// `i`, `a..b`, `..`, `:`
    fn slice(&mut self, close: usize) -> Parsed<Expr> {
        let start = self.span();
        if self.kind() == TokenKind::Ellipsis {
            let help = "write `:` once for each dimension";
            return Err(self.error("`...` does not stand for dimensions", start, "", help));
        }
        if self.kind() == TokenKind::Colon && (self.pos + 1 == close || self.peek(1).kind == TokenKind::Comma)
        {
            let span = self.bump();
            return Ok(Expr {
                kind: ExprKind::Range { lo: None, hi: None, inclusive: false, step: None },
                span,
            });
        }
        if self.kind() != TokenKind::Colon {
            let item = self.nested(|parser| parser.range(Ends::Open))?;
            if self.kind() != TokenKind::Colon {
                return Ok(item);
            }
        }
        let colon = self.span();
        let help = "write `a[i..j]`, `a[i..]`, `a[..j]` or `a[i..j step s]`; `:` alone is a whole dimension";
        Err(self.error("a slice is written with `..`", colon, "", help))
    }

    /// A literal, name, bracketed expression, `if` or block.
    fn operand(&mut self) -> Parsed<Expr> {
        let word = self.word();
        let kind = match self.kind() {
            TokenKind::Int => ExprKind::Int(lexer::int_value(word).unwrap_or(0)),
            TokenKind::Float => ExprKind::Float(lexer::float_value(word).unwrap_or(0.0)),
            TokenKind::Str => ExprKind::Str(lexer::string_value(word)),
            TokenKind::True => ExprKind::Bool(true),
            TokenKind::False => ExprKind::Bool(false),
            TokenKind::Name => {
                if habits::is_lambda(self) {
                    let span = self.span();
                    let help = "declare a function: `fn f(x) = x + 1`";
                    return Err(self.error("there are no functions without a name", span, "", help));
                }
                ExprKind::Name(word.to_string())
            }
            TokenKind::LParen => return self.parentheses(),
            TokenKind::LBracket => return self.list(),
            TokenKind::LBrace if !self.in_header => {
                let block = self.block()?;
                let span = block.span;
                return Ok(Expr { kind: ExprKind::Block(block), span });
            }
            TokenKind::If => return self.if_else(),
            _ => return Err(self.no_operand()),
        };
        let span = self.bump();
        Ok(Expr { kind, span })
    }

    /// Reports that no operand begins here.
    fn no_operand(&mut self) -> Reported {
        let token = self.token();
        let last = self.tokens[self.pos.saturating_sub(1)];
        let starts_over = token.line_start && brackets::begins_statement(token.kind);
        let is_end = matches!(
            token.kind,
            TokenKind::RParen | TokenKind::RBracket | TokenKind::RBrace | TokenKind::End
        );
        // The operator is what waits, not what comes next.
        if brackets::wants_more(last.kind)
            && last.kind != TokenKind::Comma
            && (starts_over || is_end)
            && !self.is_known_trouble()
        {
            let title = format!("`{}` waits for an expression", last.text(self.text));
            let label = if starts_over { "the next line is a statement of its own" } else { "" };
            return self.error(title, last.span(self.source), label, "complete it, or remove it");
        }
        if token.kind == TokenKind::LBrace {
            return self.unexpected("an expression before the body");
        }
        self.unexpected("an expression")
    }

    fn parentheses(&mut self) -> Parsed<Expr> {
        let mut items = Vec::new();
        let mut count = 0;
        let mut is_tuple = false;
        let span = self.group(|parser, close| {
            if parser.pos == close && !parser.is_put_in(close) {
                let span = parser.last_span().to(parser.span());
                parser.error("`( )` without a value", span, "", "put a value in, or remove them");
            }
            is_tuple = close > 0 && parser.tokens[close - 1].kind == TokenKind::Comma;
            parser.entries(close, |parser| {
                count += 1;
                let (term, generator) = parser.term()?;
                if generator.is_some() {
                    let help = "write `sum(e for i in 0..n)`, or `[e for i in 0..n]` for an array";
                    let span = term.span.to(parser.last_span());
                    return Err(parser.error("a generator stands alone in `( )`", span, "", help));
                }
                if parser.kind() == TokenKind::Eq {
                    let span = parser.span();
                    return Err(parser.error("`=` assigns", span, "", "write `==` to compare"));
                }
                items.push(term);
                Ok(())
            });
        });
        let kind = match items.pop() {
            Some(only) if items.is_empty() && count == 1 && !is_tuple => only.kind,
            Some(last) => {
                items.push(last);
                ExprKind::Tuple(items)
            }
            None => ExprKind::Error,
        };
        Ok(Expr { kind, span })
    }

    fn list(&mut self) -> Parsed<Expr> {
        let mut items = Vec::new();
        let mut comprehension = None;
        let span = self.group(|parser, close| {
            parser.entries(close, |parser| {
                let (term, generator) = parser.term()?;
                if let Some(generator) = generator {
                    if !items.is_empty() || comprehension.is_some() || parser.pos < close {
                        let span = term.span.to(parser.last_span());
                        let help = "write `[e for i in 0..n]`";
                        return Err(parser.error("a comprehension stands alone in `[ ]`", span, "", help));
                    }
                    comprehension = Some(Box::new(ast::Generator { term, ..generator }));
                    return Ok(());
                }
                if parser.kind() == TokenKind::Semicolon {
                    let span = parser.span();
                    let help = "write `full(n, x)` or `zeros(n)` for an array of n equal elements, `,` between different ones";
                    return Err(parser.error("`;` stands only in array types", span, "", help));
                }
                items.push(term);
                Ok(())
            });
        });
        let kind = match comprehension {
            Some(generator) => ExprKind::Comprehension(generator),
            None => ExprKind::List(items),
        };
        Ok(Expr { kind, span })
    }

    /// `if c { … } else if d { … } else { … }`
    pub(super) fn if_else(&mut self) -> Parsed<Expr> {
        self.nested(|parser| {
            let start = parser.bump();
            let cond = Box::new(parser.header()?);
            let then = parser.body("if")?;
            let is_else_if = parser.kind() == TokenKind::Name && brackets::is_else_if(parser.word());
            let otherwise = if is_else_if {
                let span = parser.span();
                let title = format!("Kiln writes `else if` for `{}`", parser.word());
                parser.error(title, span, "", "write `} else if … {`");
                Some(parser.else_if()?)
            } else if parser.eat(TokenKind::Else).is_some() {
                if parser.kind() == TokenKind::If {
                    Some(parser.else_if()?)
                } else {
                    Some(parser.body("else")?)
                }
            } else {
                None
            };
            let span = start.to(parser.last_span());
            Ok(Expr { kind: ExprKind::If { cond, then, otherwise }, span })
        })
    }

    fn else_if(&mut self) -> Parsed<ast::Block> {
        let expr = self.if_else()?;
        let span = expr.span;
        Ok(ast::Block { stmts: vec![ast::Stmt { kind: ast::StmtKind::Expr(expr), span }], span })
    }

    /// Annotations, none or more, and the line ends behind them.
    pub(super) fn annotations(&mut self) -> Parsed<Vec<ast::Annotation>> {
        let mut annotations = Vec::new();
        while self.kind() == TokenKind::At {
            let start = self.bump();
            if self.kind() != TokenKind::Name && !self.is_known_trouble() {
                let help = "an annotation is `@parallel`, `@vectorize`, `@fast`, `@unique(p)` or `@rng(ars)`";
                return Err(self.error("`@` without a name", start, "", help));
            }
            let name = self.name("the name of an annotation")?;
            let mut args = Vec::new();
            if self.kind() == TokenKind::LParen {
                self.nested(|parser| {
                    parser.group(|parser, close| {
                        parser.entries(close, |parser| {
                            args.push(parser.expr()?);
                            Ok(())
                        });
                    });
                    Ok(())
                })?;
            }
            let span: Span = start.to(self.last_span());
            annotations.push(ast::Annotation { name, args, span });
            self.skip_newlines();
        }
        Ok(annotations)
    }
}
