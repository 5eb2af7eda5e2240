//! Expressions.
//!
//! In: tokens where an expression begins. Out: [`ast::Expr`]. Holds: SEMANTICS, section 4. From loose to tight: ranges; `or`; `and`;
//! `not`; comparisons; `|`; `^`; `&`; `<< >>`; `+ -`; `* / // % @`; unary `- ~`; `**`; calls, indices, fields.

use super::{Ends, Group, Parsed, Parser, Reported, brackets, habits};
use crate::ast::{self, BinaryOp, CompareOp, Expr, ExprKind, UnaryOp};
use crate::lexer::{self, TokenKind};
use crate::span::Span;

const NOT: u8 = 3;
const COMPARISON: u8 = 4;
const SIGN: u8 = 11;
const POWER: u8 = 12;

/// What waits for its right operand.
#[derive(Clone, Copy)]
pub(super) enum Operator {
    /// With the place where it stands.
    Prefix(UnaryOp, Span),
    Binary(BinaryOp),
    Compare(CompareOp),
}

/// An operator with its binding strength.
#[derive(Clone, Copy)]
pub(super) struct Waiting {
    strength: u8,
    operator: Operator,
}

/// An operand that is complete.
pub(super) struct Operand {
    expr: Expr,
    /// Levels of the tree from here down.
    height: usize,
    /// A comparison that `< c` would continue.
    is_open_chain: bool,
}

/// Binding strength and meaning of a token between two operands.
fn infix(kind: TokenKind) -> Option<Waiting> {
    let (strength, op) = match kind {
        TokenKind::Or => (1, BinaryOp::Or),
        TokenKind::And => (2, BinaryOp::And),
        TokenKind::Pipe => (5, BinaryOp::BitOr),
        TokenKind::Caret => (6, BinaryOp::BitXor),
        TokenKind::Amp => (7, BinaryOp::BitAnd),
        TokenKind::LtLt => (8, BinaryOp::Shl),
        TokenKind::GtGt => (8, BinaryOp::Shr),
        TokenKind::Plus => (9, BinaryOp::Add),
        TokenKind::Minus => (9, BinaryOp::Sub),
        TokenKind::Star => (10, BinaryOp::Mul),
        TokenKind::Slash => (10, BinaryOp::Div),
        TokenKind::SlashSlash => (10, BinaryOp::FloorDiv),
        TokenKind::Percent => (10, BinaryOp::Rem),
        TokenKind::At => (10, BinaryOp::MatMul),
        TokenKind::StarStar => (POWER, BinaryOp::Pow),
        _ => {
            return comparison(kind)
                .map(|op| Waiting { strength: COMPARISON, operator: Operator::Compare(op) });
        }
    };
    Some(Waiting { strength, operator: Operator::Binary(op) })
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

fn stands_before_operand(next: TokenKind) -> bool {
    use TokenKind::*;
    matches!(next, Int | Float | Str | Name | True | False | LBrace | LParen)
}

fn is_range(kind: TokenKind) -> bool {
    matches!(kind, TokenKind::DotDot | TokenKind::DotDotEq | TokenKind::Ellipsis)
}

/// `if` and blocks take no call, index or field.
fn takes_suffix(expr: &Expr) -> bool {
    !matches!(expr.kind, ExprKind::If { .. } | ExprKind::Block(_))
}

impl Parser<'_> {
    /// One expression.
    pub(super) fn expr(&mut self) -> Parsed<Expr> {
        self.range(Ends::Both)
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

    /// An expression one level down, which may be a range.
    fn range(&mut self, ends: Ends) -> Parsed<Expr> {
        self.descend(1)?;
        let outer = std::mem::replace(&mut self.reach, self.depth);
        let result = self.range_parts(ends);
        self.reach = self.reach.max(outer);
        self.depth -= 1;
        result
    }

    fn range_parts(&mut self, ends: Ends) -> Parsed<Expr> {
        if !is_range(self.kind()) {
            let lo = self.operation()?;
            return if is_range(self.kind()) { self.range_from(Some(lo), ends) } else { Ok(lo) };
        }
        if ends == Ends::Both {
            let start = self.span();
            let help = "write `0..n`; only a slice `a[..n]` may leave it out";
            self.error("this range has no beginning", start, "", help);
        }
        self.range_from(None, ends)
    }

    /// `lo` has been read; the dots come next.
    fn range_from(&mut self, lo: Option<Expr>, ends: Ends) -> Parsed<Expr> {
        let start = lo.as_ref().map_or(self.span(), |lo| lo.span);
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
            Some(Box::new(self.part()?))
        } else if ends == Ends::Both || dots == TokenKind::DotDotEq {
            if self.is_known_trouble() {
                return Err(Reported);
            }
            let help = "write `a..b`; only a slice `a[i..]` may leave it out";
            self.error("this range has no end", dots_span, "", help);
            None
        } else {
            None
        };
        let step = if self.at_word("step") || self.at_word("by") {
            let span = self.span();
            if self.at_word("by") {
                self.error("a range goes by `step`", span, "", "write `a..b step s`");
            }
            self.bump();
            Some(Box::new(self.part()?))
        } else {
            None
        };
        let span = start.to(self.last_span());
        if is_range(self.kind()) {
            let here = self.span();
            let help = "write `a..b step s` for steps";
            return Err(self.error("a range has two ends and a step", here, "", help));
        }
        let inclusive = dots == TokenKind::DotDotEq;
        Ok(Expr { kind: ExprKind::Range { lo: lo.map(Box::new), hi, inclusive, step }, span })
    }

    /// An end or the step of a range, one level down.
    fn part(&mut self) -> Parsed<Expr> {
        self.descend(1)?;
        let result = self.operation();
        self.depth -= 1;
        result
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

    /// Operands and operators. Precedence is settled with two stacks rather than by recursion, so that only brackets and blocks use
    /// up the machine's stack.
    fn operation(&mut self) -> Parsed<Expr> {
        let (operands, operators) = (self.operands.len(), self.operators.len());
        let outer = self.reach;
        let result = self.operation_from(operators);
        let height = match result {
            Ok(()) => self.operands.last().map_or(0, |operand| operand.height),
            Err(Reported) => 0,
        };
        self.reach = outer.max(self.depth + height);
        let operand = self.operands.pop().filter(|_| result.is_ok());
        self.operands.truncate(operands);
        self.operators.truncate(operators);
        operand.map(|operand| operand.expr).ok_or(Reported)
    }

    fn operation_from(&mut self, base: usize) -> Parsed<()> {
        loop {
            self.prefixes(base);
            self.reach = self.depth;
            let expr = self.suffixes()?;
            let height = self.reach - self.depth;
            self.operands.push(Operand { expr, height, is_open_chain: false });
            let next = infix(self.kind())
                .filter(|_| !(self.kind() == TokenKind::At && self.at_generator_annotation()));
            // `**` leaves an equal on its left waiting.
            let least = next.map_or(0, |next| next.strength + u8::from(next.strength == POWER));
            while let Some(waiting) =
                self.operators[base..].last().copied().filter(|top| top.strength >= least)
            {
                self.operators.pop();
                self.apply(waiting.operator)?;
            }
            let Some(next) = next else { return Ok(()) };
            self.bump();
            self.operators.push(next);
        }
    }

    /// Signs and `not` before an operand.
    fn prefixes(&mut self, base: usize) {
        loop {
            let span = self.span();
            let op = match self.kind() {
                TokenKind::Minus => UnaryOp::Neg,
                TokenKind::Tilde => UnaryOp::BitNot,
                TokenKind::Not => UnaryOp::Not,
                TokenKind::Bang => {
                    self.error("Kiln writes `not` for `!`", span, "", "write `not x`");
                    UnaryOp::Not
                }
                TokenKind::Plus if self.token().line_start => {
                    let help = "end the line above with it, or put the whole in `( )`";
                    self.error("a line does not begin with an operator", span, "", help);
                    self.bump();
                    continue;
                }
                TokenKind::Plus | TokenKind::PlusPlus => {
                    let help = "write `x`; to count up, `x += 1`";
                    self.error("there is no `+` in front of a value", span, "", help);
                    self.bump();
                    continue;
                }
                _ => return,
            };
            let is_word = self.kind() == TokenKind::Not;
            if is_word && self.operators[base..].last().is_some_and(|top| top.strength > NOT) {
                let help = "`not` binds looser than the operator before it: write `(not x)`";
                self.error("`not` needs parentheses here", span, "", help);
            }
            self.bump();
            let strength = if is_word { NOT } else { SIGN };
            self.operators.push(Waiting { strength, operator: Operator::Prefix(op, span) });
        }
    }

    /// Joins the last operands by `operator`.
    fn apply(&mut self, operator: Operator) -> Parsed<()> {
        let Some(mut right) = self.operands.pop() else { return Err(Reported) };
        if let Operator::Prefix(op, start) = operator {
            let span = start.to(right.expr.span);
            right = Operand {
                expr: Expr { kind: ExprKind::Unary(op, Box::new(right.expr)), span },
                height: right.height + 1,
                is_open_chain: false,
            };
        } else if let Some(left) = self.operands.pop() {
            right = self.join(left, operator, right)?;
        }
        if self.depth + right.height > ast::MAX_DEPTH {
            return Err(self.too_long());
        }
        self.operands.push(right);
        Ok(())
    }

    fn join(&mut self, left: Operand, operator: Operator, right: Operand) -> Parsed<Operand> {
        let span = left.expr.span.to(right.expr.span);
        let height = left.height.max(right.height) + 1;
        let (kind, height) = match (operator, left.expr.kind) {
            (Operator::Compare(op), ExprKind::Compare(mut operands, mut ops)) if left.is_open_chain => {
                if ops.len() == ast::MAX_DEPTH {
                    return Err(self.too_long());
                }
                operands.push(right.expr);
                ops.push(op);
                (ExprKind::Compare(operands, ops), left.height.max(right.height + 1))
            }
            (Operator::Compare(op), kind) => {
                let left = Expr { kind, span: left.expr.span };
                (ExprKind::Compare(vec![left, right.expr], vec![op]), height)
            }
            (Operator::Binary(op), kind) => {
                let left = Expr { kind, span: left.expr.span };
                (ExprKind::Binary(op, Box::new(left), Box::new(right.expr)), height)
            }
            (Operator::Prefix(..), kind) => (kind, height),
        };
        let is_open_chain = matches!(operator, Operator::Compare(_));
        Ok(Operand { expr: Expr { kind, span }, height, is_open_chain })
    }

    fn suffixes(&mut self) -> Parsed<Expr> {
        let mut base = self.operand()?;
        if !takes_suffix(&base) {
            return Ok(base);
        }
        while let TokenKind::LParen | TokenKind::LBracket | TokenKind::Dot = self.kind() {
            self.link()?;
            base = match self.kind() {
                TokenKind::LParen => self.call(base)?,
                TokenKind::LBracket => self.index(base)?,
                _ => self.field(base)?,
            };
        }
        Ok(base)
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

    fn call(&mut self, callee: Expr) -> Parsed<Expr> {
        let mut arguments = Arguments::default();
        let group = self.enter(1)?;
        while self.pos < group.close {
            let result = self.argument(&mut arguments);
            self.end_entry(&group, result);
        }
        let span = callee.span.to(self.leave(group));
        let Arguments { args, keywords, generator } = arguments;
        Ok(Expr { kind: ExprKind::Call { callee: Box::new(callee), args, keywords, generator }, span })
    }

    fn argument(&mut self, arguments: &mut Arguments) -> Parsed<()> {
        if self.kind() == TokenKind::Name && self.peek(1).kind == TokenKind::Eq {
            let name = self.name("a name")?;
            self.bump();
            let value = self.expr()?;
            arguments.keywords.push((name, value));
            return Ok(());
        }
        let (term, found) = self.term()?;
        if self.kind() == TokenKind::Colon {
            let span = self.span();
            return Err(self.error(
                "an argument is named with `=`",
                span,
                "",
                "write `f(name=x)`; a slice is `a[i..j]`",
            ));
        }
        let is_first = arguments.args.is_empty() && arguments.generator.is_none();
        match found {
            Some(found) if is_first => {
                arguments.generator = Some(Box::new(ast::Generator { term, ..found }));
            }
            None if arguments.generator.is_none() && arguments.keywords.is_empty() => {
                arguments.args.push(term)
            }
            found => {
                return Err(
                    self.misplaced_argument(found.is_some() || arguments.generator.is_some(), term.span)
                );
            }
        }
        Ok(())
    }

    #[cold]
    fn misplaced_argument(&mut self, is_about_generator: bool, span: Span) -> Reported {
        if is_about_generator {
            let help =
                "name the others, as in `f(e for i in 0..n, axis=0)`, or make an array: `[e for i in 0..n]`";
            self.error("a generator is the only argument without a name", span, "", help)
        } else {
            let help = "put arguments without a name first";
            self.error("an argument without a name after one with a name", span, "", help)
        }
    }

    /// An expression, or the term of a generator with the generator (whose own term is a placeholder).
    fn term(&mut self) -> Parsed<(Expr, Option<ast::Generator>)> {
        if let TokenKind::Star | TokenKind::StarStar = self.kind() {
            return Err(self.unpacking());
        }
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
            let help = "an annotation stands before a loop, a function, a block, or the term of a generator";
            return Err(self.error("this annotation stands before no loop", span, "", help));
        }
        Ok((term, None))
    }

    #[cold]
    fn unpacking(&mut self) -> Reported {
        let span = self.span();
        let operand = self.peek(1);
        let help = "write the values one by one";
        if matches!(operand.kind, TokenKind::Name | TokenKind::LBracket | TokenKind::LParen) {
            self.error("a tuple or list is not unpacked with `*`", span, "", help)
        } else {
            self.unexpected("an expression")
        }
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
        if self.eat(TokenKind::In).is_none() {
            self.no_in(&name)?;
        }
        let range = self.expr()?;
        Ok(ast::Index { name, range })
    }

    /// Reports that `in` is missing behind the name of an index; goes on if it is plain what was meant.
    #[cold]
    fn no_in(&mut self, name: &ast::Name) -> Parsed<()> {
        let place = self.place();
        let help = format!("write `for {} in a..b`", lexer::clip(&name.text));
        match self.kind() {
            TokenKind::Eq | TokenKind::ColonEq => {
                self.bump();
                self.error("an index runs `in` a range", place, "", help);
                Ok(())
            }
            TokenKind::Comma => {
                let help = "several indices are `for i in 0..n, j in 0..m`; elements are `a[i]`";
                Err(self.error("each index has its own range", place, "", help))
            }
            _ if self.is_known_trouble() => Err(Reported),
            _ => Err(self.error(format!("expected `in`, found {}", self.found()), place, "", help)),
        }
    }

    fn index(&mut self, base: Expr) -> Parsed<Expr> {
        let mut items = Vec::new();
        let group = self.enter(1)?;
        if self.pos == group.close && !self.is_put_in(group.close) {
            let span = self.span();
            self.error("an index is missing", span, "", "write `a[i]`, or `a[:]` for all elements");
        }
        while self.pos < group.close {
            let result = self.slice(group.close).map(|item| items.push(item));
            self.end_entry(&group, result);
        }
        let span = base.span.to(self.leave(group));
        Ok(Expr { kind: ExprKind::Index(Box::new(base), items), span })
    }

    /// `i`, `a..b`, `..`, `:`
    fn slice(&mut self, close: usize) -> Parsed<Expr> {
        match self.kind() {
            TokenKind::Ellipsis => {
                let span = self.span();
                let help = "write `:` once for each dimension";
                return Err(self.error("`...` does not stand for dimensions", span, "", help));
            }
            TokenKind::Colon if self.pos + 1 == close || self.peek(1).kind == TokenKind::Comma => {
                let span = self.bump();
                let kind = ExprKind::Range { lo: None, hi: None, inclusive: false, step: None };
                return Ok(Expr { kind, span });
            }
            TokenKind::Colon => {}
            _ => {
                let item = self.range(Ends::Open)?;
                if self.kind() != TokenKind::Colon {
                    return Ok(item);
                }
            }
        }
        let colon = self.span();
        let help = "write `a[i..j]`, `a[i..]`, `a[..j]` or `a[i..j step s]`; `:` alone is a whole dimension";
        Err(self.error("a slice is written with `..`", colon, "", help))
    }

    /// A literal, name, bracketed expression, `if` or block.
    fn operand(&mut self) -> Parsed<Expr> {
        match self.kind() {
            TokenKind::LParen => return self.parentheses(),
            TokenKind::LBracket => return self.list(),
            TokenKind::LBrace if !self.in_header => return self.block_operand(),
            TokenKind::If => return self.if_else(),
            _ => {}
        }
        let word = self.word();
        let kind = match self.kind() {
            TokenKind::Int => ExprKind::Int(lexer::int_value(word).unwrap_or(0)),
            TokenKind::Float => ExprKind::Float(lexer::float_value(word).unwrap_or(0.0)),
            TokenKind::Str => ExprKind::Str(lexer::string_value(word)),
            TokenKind::True => ExprKind::Bool(true),
            TokenKind::False => ExprKind::Bool(false),
            // A number or string that has been reported is an operand all the same; other signs were none.
            TokenKind::Bad if !stands_before_operand(self.peek(1).kind) => ExprKind::Error,
            TokenKind::Name if !habits::is_lambda(self) => ExprKind::Name(word.to_string()),
            _ => return Err(self.no_operand()),
        };
        let span = self.bump();
        Ok(Expr { kind, span })
    }

    fn block_operand(&mut self) -> Parsed<Expr> {
        let block = self.block()?;
        let span = block.span;
        Ok(Expr { kind: ExprKind::Block(block), span })
    }

    /// Reports that no operand begins here.
    #[cold]
    fn no_operand(&mut self) -> Reported {
        let token = self.token();
        let last = self.tokens[self.pos.saturating_sub(1)];
        let starts_over = token.line_start && brackets::begins_statement(token.kind);
        let is_end = matches!(
            token.kind,
            TokenKind::RParen | TokenKind::RBracket | TokenKind::RBrace | TokenKind::End
        );
        if token.kind == TokenKind::Name {
            let span = self.span();
            let help = "declare a function: `fn f(x) = x + 1`";
            return self.error("there are no functions without a name", span, "", help);
        }
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
        let group = self.enter(1)?;
        if self.pos == group.close && !self.is_put_in(group.close) {
            let span = self.last_span().to(self.span());
            self.error("`( )` without a value", span, "", "put a value in, or remove them");
        }
        let is_tuple = self.tokens[group.close - 1].kind == TokenKind::Comma;
        while self.pos < group.close {
            let result = self.tuple_item(&mut items);
            self.end_entry(&group, result);
        }
        let span = self.leave(group);
        let kind = match items.pop() {
            Some(only) if items.is_empty() && !is_tuple => only.kind,
            Some(last) => {
                items.push(last);
                ExprKind::Tuple(items)
            }
            None => ExprKind::Error,
        };
        Ok(Expr { kind, span })
    }

    fn tuple_item(&mut self, items: &mut Vec<Expr>) -> Parsed<()> {
        let (term, generator) = self.term()?;
        if generator.is_some() {
            let help = "write `sum(e for i in 0..n)`, or `[e for i in 0..n]` for an array";
            let span = term.span.to(self.last_span());
            return Err(self.error("a generator stands alone in `( )`", span, "", help));
        }
        if self.kind() == TokenKind::Eq {
            let span = self.span();
            return Err(self.error("`=` assigns", span, "", "write `==` to compare"));
        }
        items.push(term);
        Ok(())
    }

    fn list(&mut self) -> Parsed<Expr> {
        let mut items = Vec::new();
        let mut comprehension = None;
        let group = self.enter(1)?;
        while self.pos < group.close {
            let result = self.list_item(&group, &mut items, &mut comprehension);
            self.end_entry(&group, result);
        }
        let span = self.leave(group);
        let kind = match comprehension {
            Some(generator) => ExprKind::Comprehension(generator),
            None => ExprKind::List(items),
        };
        Ok(Expr { kind, span })
    }

    fn list_item(
        &mut self,
        group: &Group,
        items: &mut Vec<Expr>,
        comprehension: &mut Option<Box<ast::Generator>>,
    ) -> Parsed<()> {
        let (term, generator) = self.term()?;
        if let Some(generator) = generator {
            if !items.is_empty() || comprehension.is_some() || self.pos < group.close {
                let span = term.span.to(self.last_span());
                let help = "write `[e for i in 0..n]`";
                return Err(self.error("a comprehension stands alone in `[ ]`", span, "", help));
            }
            *comprehension = Some(Box::new(ast::Generator { term, ..generator }));
            return Ok(());
        }
        if self.kind() == TokenKind::Semicolon {
            let span = self.span();
            let help = "write `full(n, x)` or `zeros(n)` for an array of n equal elements, `,` between different ones";
            return Err(self.error("`;` stands only in array types", span, "", help));
        }
        items.push(term);
        Ok(())
    }

    /// `if c { … } else if d { … } else { … }`
    pub(super) fn if_else(&mut self) -> Parsed<Expr> {
        let mut arms = Vec::new();
        let depth = self.depth;
        let result = self.arms(&mut arms);
        self.depth = depth;
        let mut otherwise = result?;
        let end = self.last_span();
        while let Some((start, cond, then)) = arms.pop() {
            let span = start.to(end);
            let expr = Expr { kind: ExprKind::If { cond: Box::new(cond), then, otherwise }, span };
            if arms.is_empty() {
                return Ok(expr);
            }
            let stmts = vec![ast::Stmt { kind: ast::StmtKind::Expr(expr), span }];
            otherwise = Some(ast::Block { stmts, span });
        }
        Err(Reported)
    }

    /// Each arm lies one level deeper than the one before. The block of the last `else`.
    fn arms(&mut self, arms: &mut Vec<(Span, Expr, ast::Block)>) -> Parsed<Option<ast::Block>> {
        loop {
            if self.depth >= ast::MAX_DEPTH && !arms.is_empty() {
                let title = format!("this chain of `else if` is too long; the limit is {}", ast::MAX_DEPTH);
                return Err(
                    self.over_limit(title, "choose by an index into an array, or split it into functions")
                );
            }
            self.descend(1)?;
            let start = self.bump();
            let cond = self.header()?;
            let then = self.body("if")?;
            arms.push((start, cond, then));
            if self.kind() == TokenKind::Name && brackets::is_else_if(self.word()) {
                let span = self.span();
                let title = format!("Kiln writes `else if` for `{}`", self.word());
                self.error(title, span, "", "write `} else if … {`");
            } else if self.eat(TokenKind::Else).is_none() {
                return Ok(None);
            } else if self.kind() != TokenKind::If {
                return self.body("else").map(Some);
            }
        }
    }

    /// Annotations, none or more, and the line ends behind them.
    pub(super) fn annotations(&mut self) -> Parsed<Vec<ast::Annotation>> {
        let mut annotations = Vec::new();
        while self.kind() == TokenKind::At {
            annotations.push(self.annotation()?);
            self.skip_newlines();
        }
        Ok(annotations)
    }

    fn annotation(&mut self) -> Parsed<ast::Annotation> {
        let start = self.bump();
        if self.kind() != TokenKind::Name && !self.is_known_trouble() {
            let help = "an annotation is `@parallel`, `@vectorize`, `@fast`, `@unique(p)` or `@rng(ars)`";
            return Err(self.error("`@` without a name", start, "", help));
        }
        let name = self.name("the name of an annotation")?;
        let mut args = Vec::new();
        if self.kind() == TokenKind::LParen {
            let group = self.enter(1)?;
            while self.pos < group.close {
                let result = self.expr().map(|arg| args.push(arg));
                self.end_entry(&group, result);
            }
            self.leave(group);
        }
        let span = start.to(self.last_span());
        Ok(ast::Annotation { name, args, span })
    }
}

/// What stands in the parentheses of a call.
#[derive(Default)]
struct Arguments {
    args: Vec<Expr>,
    keywords: Vec<(ast::Name, Expr)>,
    generator: Option<Box<ast::Generator>>,
}
