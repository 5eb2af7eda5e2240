//! Items, blocks and statements.
//!
//! In: tokens where a statement may begin. Out: [`ast::Item`], [`ast::Block`], [`ast::Stmt`]. Holds: each round of a list of
//! statements consumes a token; a statement that fails leaves [`ast::StmtKind::Error`] and the next one is read as if nothing were.

use super::{Parsed, Parser, Reported, habits};
use crate::ast::{self, AssignOp, BinaryOp, Expr, ExprKind, Item, Stmt, StmtKind};
use crate::lexer::TokenKind;
use crate::span::Span;

/// The meaning of `+=` and so on.
fn compound(kind: TokenKind) -> Option<AssignOp> {
    let op = match kind {
        TokenKind::PlusEq => BinaryOp::Add,
        TokenKind::MinusEq => BinaryOp::Sub,
        TokenKind::StarEq => BinaryOp::Mul,
        TokenKind::SlashEq => BinaryOp::Div,
        TokenKind::SlashSlashEq => BinaryOp::FloorDiv,
        TokenKind::PercentEq => BinaryOp::Rem,
        TokenKind::StarStarEq => BinaryOp::Pow,
        TokenKind::AtEq => BinaryOp::MatMul,
        TokenKind::AmpEq => BinaryOp::BitAnd,
        TokenKind::PipeEq => BinaryOp::BitOr,
        TokenKind::CaretEq => BinaryOp::BitXor,
        TokenKind::LtLtEq => BinaryOp::Shl,
        TokenKind::GtGtEq => BinaryOp::Shr,
        _ => return None,
    };
    Some(AssignOp::Binary(op))
}

impl Parser<'_> {
    /// The whole source.
    pub(super) fn items(&mut self) -> Vec<Item> {
        let mut items = Vec::new();
        loop {
            self.skip_separators();
            if self.kind() == TokenKind::End {
                return items;
            }
            let start = self.pos;
            self.depth_reported = false;
            let item = match self.item() {
                Ok(item) => {
                    self.end_statement(start);
                    item
                }
                Err(Reported) => Item::Stmt(self.recover(start)),
            };
            items.push(item);
        }
    }

    fn item(&mut self) -> Parsed<Item> {
        let start = self.span();
        match self.kind() {
            TokenKind::Const => Ok(Item::Const(self.constant()?)),
            TokenKind::At => {
                let annotations = self.annotations()?;
                match self.kind() {
                    TokenKind::Fn => Ok(Item::Func(self.func(annotations, start)?)),
                    TokenKind::Const => {
                        let help = "an annotation stands before a loop, a function or a block";
                        self.error("a `const` has no annotations", start, "", help);
                        Ok(Item::Const(self.constant()?))
                    }
                    _ => Ok(Item::Stmt(self.annotated(annotations, start)?)),
                }
            }
            TokenKind::Fn => Ok(Item::Func(self.func(Vec::new(), start)?)),
            TokenKind::Name if habits::is_foreign_fn(self) => {
                let title = format!("Kiln writes `fn` for `{}`", self.word());
                self.error(title, start, "", "write `fn f(x) { … }`, or `fn f(x) = …` for one expression");
                Ok(Item::Func(self.func(Vec::new(), start)?))
            }
            _ => Ok(Item::Stmt(self.statement()?)),
        }
    }

    /// `const NAME: type = expr`
    fn constant(&mut self) -> Parsed<ast::Const> {
        let start = self.bump();
        let name = self.name("the name of the constant")?;
        let ty = if self.eat(TokenKind::Colon).is_some() { Some(self.type_expr()?) } else { None };
        if self.eat(TokenKind::Eq).is_none() {
            let place = self.place();
            let help = format!("write `const {} = …`", name.text);
            return Err(self.error("a constant needs `=` and a value", place, "", help));
        }
        let value = self.expr()?;
        let span = start.to(value.span);
        Ok(ast::Const { name, ty, value, span })
    }

    /// `{ … }`
    pub(super) fn block(&mut self) -> Parsed<ast::Block> {
        self.nested(|parser| {
            let mut stmts = Vec::new();
            let span = parser.group(|parser, close| {
                loop {
                    parser.skip_separators();
                    if parser.pos >= close {
                        break;
                    }
                    let start = parser.pos;
                    let stmt = match parser.statement() {
                        Ok(stmt) => {
                            parser.end_statement(start);
                            stmt
                        }
                        Err(Reported) => parser.recover(start),
                    };
                    stmts.push(stmt);
                }
            });
            Ok(ast::Block { stmts, span })
        })
    }

    /// The block that belongs to `owner`.
    pub(super) fn body(&mut self, owner: &str) -> Parsed<ast::Block> {
        match self.kind() {
            TokenKind::LBrace => return self.block(),
            TokenKind::Newline if self.peek(1).kind == TokenKind::LBrace => {
                self.bump();
                let span = self.span();
                let title = format!("`{{` stands on the line of its `{owner}`");
                self.error(title, span, "", "move it to the end of the line above");
                return self.block();
            }
            _ => {}
        }
        habits::no_body(self, owner);
        if self.skip_to_body() {
            return self.block();
        }
        self.missing_braces += 1;
        Err(Reported)
    }

    fn skip_separators(&mut self) {
        while matches!(self.kind(), TokenKind::Newline | TokenKind::Semicolon) {
            self.bump();
        }
    }

    /// A statement has been read: it must end here.
    fn end_statement(&mut self, start: usize) {
        match self.kind() {
            TokenKind::Newline | TokenKind::Semicolon | TokenKind::End => {}
            TokenKind::RBrace | TokenKind::RParen | TokenKind::RBracket => {}
            _ if self.token().line_start => {}
            _ => {
                habits::no_end(self, start);
                if self.tokens[self.pos - 1].kind != TokenKind::RBrace {
                    self.skip_statement();
                }
            }
        }
    }

    /// A statement that began at the token `start` has failed.
    fn recover(&mut self, start: usize) -> Stmt {
        if self.pos == start {
            self.pos = match self.kind() {
                TokenKind::LParen | TokenKind::LBracket | TokenKind::LBrace => self.partner(start) + 1,
                _ => start + 1,
            };
        }
        self.skip_statement();
        let span = self.tokens[start].span(self.source).to(self.last_span());
        Stmt { kind: StmtKind::Error, span }
    }

    fn statement(&mut self) -> Parsed<Stmt> {
        let start = self.span();
        let kind = match self.kind() {
            TokenKind::Let | TokenKind::Var => self.bind()?,
            TokenKind::Const => {
                self.error("a `const` stands at top level", start, "", "write `let`");
                self.bind()?
            }
            TokenKind::For => return self.for_loop(Vec::new(), start),
            TokenKind::While => self.while_loop()?,
            TokenKind::Break => {
                self.bump();
                StmtKind::Break
            }
            TokenKind::Continue => {
                self.bump();
                StmtKind::Continue
            }
            TokenKind::Return => {
                self.bump();
                StmtKind::Return(if self.at_statement_end() { None } else { Some(self.expr_list()?) })
            }
            TokenKind::At => {
                let annotations = self.annotations()?;
                return self.annotated(annotations, start);
            }
            TokenKind::Fn => {
                self.inner_func(start)?;
                StmtKind::Error
            }
            TokenKind::Name => match habits::foreign_statement(self)? {
                Some(kind) => kind,
                None if self.word() == "time" && self.peek(1).kind == TokenKind::LBrace => {
                    self.bump();
                    StmtKind::Time(self.block()?)
                }
                None => self.expr_statement()?,
            },
            _ => self.expr_statement()?,
        };
        Ok(Stmt { kind, span: start.to(self.last_span()) })
    }

    fn at_statement_end(&self) -> bool {
        use TokenKind::*;
        matches!(self.kind(), Newline | Semicolon | End | RBrace | RParen | RBracket)
    }

    /// A function in a block: reported, and read for the mistakes in it.
    fn inner_func(&mut self, start: Span) -> Parsed<()> {
        let help = "move it out; it sees its parameters and constants, never variables around it";
        self.error("functions stand at top level", start, "", help);
        self.nested(|parser| parser.func(Vec::new(), start)).map(drop)
    }

    /// What stands behind annotations.
    fn annotated(&mut self, annotations: Vec<ast::Annotation>, start: Span) -> Parsed<Stmt> {
        match self.kind() {
            TokenKind::For => return self.for_loop(annotations, start),
            TokenKind::Fn => {
                self.inner_func(start)?;
                return Ok(Stmt { kind: StmtKind::Error, span: start.to(self.last_span()) });
            }
            TokenKind::End | TokenKind::RBrace | TokenKind::Semicolon => {
                self.ends_with_annotation |= self.kind() == TokenKind::End;
                let span = annotations.last().map_or(start, |last| start.to(last.span));
                let help = "an annotation stands before a loop, a function or a block";
                return Err(self.error("this annotation stands before nothing", span, "", help));
            }
            _ => {}
        }
        let stmt = Box::new(self.nested(|parser| parser.statement())?);
        let span = start.to(self.last_span());
        Ok(Stmt { kind: StmtKind::Annotated { annotations, stmt }, span })
    }

    /// `let a = e`, `var (a, b) = e`; `let`, `var` or `const` is the current token.
    fn bind(&mut self) -> Parsed<StmtKind> {
        let mut is_var = self.kind() == TokenKind::Var;
        let keyword = self.word();
        self.bump();
        if self.kind() == TokenKind::Mut {
            let span = self.bump();
            self.error("Kiln writes `var` for `let mut`", span, "", "write `var x = …`");
            is_var = true;
        }
        self.bind_rest(is_var, keyword)
    }

    /// What follows `let` or `var`.
    pub(super) fn bind_rest(&mut self, is_var: bool, keyword: &str) -> Parsed<StmtKind> {
        let mut names = Vec::new();
        let mut is_tuple = false;
        if self.kind() == TokenKind::LParen {
            is_tuple = true;
            let span = self.group(|parser, close| {
                parser.entries(close, |parser| {
                    if parser.kind() == TokenKind::LParen {
                        let here = parser.span();
                        let help = "give the inner tuple a name and take it apart in a statement of its own";
                        return Err(parser.error("a pattern has names only", here, "", help));
                    }
                    names.push(parser.name("a name")?);
                    Ok(())
                });
            });
            if names.is_empty() {
                names.push(ast::Name { text: "_".to_string(), span });
            }
        } else {
            names.push(self.name("a name")?);
            while self.eat(TokenKind::Comma).is_some() {
                is_tuple = true;
                names.push(self.name("a name")?);
            }
        }
        let ty = if self.eat(TokenKind::Colon).is_some() { Some(self.type_expr()?) } else { None };
        match self.kind() {
            TokenKind::Eq => {
                self.bump();
            }
            TokenKind::ColonEq => {
                let span = self.bump();
                self.error("Kiln writes `=` for `:=`", span, "", format!("write `{keyword} x = …`"));
            }
            _ if self.at_statement_end() => {
                let span = names[0].span;
                let help = match (&ty, is_var) {
                    (Some(ty), _) if matches!(ty.kind, ast::TypeExprKind::Array { .. }) => {
                        "give it one: `var a = zeros(n)`".to_string()
                    }
                    _ => format!("give it one: `{keyword} {} = 0`", names[0].text),
                };
                let title = format!("`{}` has no value", names[0].text);
                return Err(self.error(title, span, "every variable begins with a value", help));
            }
            kind if compound(kind).is_some() => {
                let span = self.span();
                let help = format!(
                    "`{keyword}` makes a new variable with `=`; to change one, leave out `{keyword}`"
                );
                return Err(self.error(
                    format!("`{}` needs a variable that exists", self.word()),
                    span,
                    "",
                    help,
                ));
            }
            _ => return Err(self.unexpected("`=` and a value")),
        }
        let value = self.expr_list()?;
        self.no_second_assignment();
        Ok(StmtKind::Bind { is_var, names, is_tuple, ty, value })
    }

    /// `x = y = 0`, and `let a = 1, b = 2`.
    fn no_second_assignment(&mut self) {
        if matches!(self.kind(), TokenKind::Eq | TokenKind::ColonEq) {
            let span = self.span();
            let help = "write one statement for each; `==` compares";
            self.error("a statement assigns once", span, "", help);
            self.skip_statement();
        }
    }

    fn for_loop(&mut self, annotations: Vec<ast::Annotation>, start: Span) -> Parsed<Stmt> {
        self.bump();
        let mut indices = Vec::new();
        let in_header = std::mem::replace(&mut self.in_header, true);
        let result = self.for_indices(&mut indices);
        self.in_header = in_header;
        if result.is_err() && !self.skip_to_body() {
            return Err(Reported);
        }
        let body = self.body("for")?;
        let span = start.to(self.last_span());
        Ok(Stmt { kind: StmtKind::For(ast::For { annotations, indices, body, span }), span })
    }

    fn for_indices(&mut self, indices: &mut Vec<ast::Index>) -> Parsed<()> {
        if self.kind() == TokenKind::LParen {
            let span = self.span();
            let help = "write `for i in 0..n { … }`, or `for i in 0..n, j in 0..m { … }`";
            return Err(self.error("a loop runs an index over a range", span, "", help));
        }
        loop {
            indices.push(self.index_in()?);
            if self.eat(TokenKind::Comma).is_none() {
                return Ok(());
            }
        }
    }

    fn while_loop(&mut self) -> Parsed<StmtKind> {
        self.bump();
        let cond = self.header()?;
        let body = self.body("while")?;
        Ok(StmtKind::While { cond, body })
    }

    /// `loop { … }` of other languages, already reported.
    pub(super) fn endless_loop(&mut self) -> Parsed<StmtKind> {
        let cond = Expr { kind: ExprKind::Bool(true), span: self.bump() };
        Ok(StmtKind::While { cond, body: self.body("while")? })
    }

    /// An expression, or an assignment.
    fn expr_statement(&mut self) -> Parsed<StmtKind> {
        let left = self.expr_list()?;
        let op_span = self.span();
        let op = match self.kind() {
            TokenKind::Eq => None,
            TokenKind::Colon => match &left.kind {
                ExprKind::Name(name) => {
                    let help = format!("write `let {name}: f64 = …`, or `var` if it varies");
                    return Err(self.error(
                        "a variable is declared with `let` or `var`",
                        left.span,
                        "",
                        help,
                    ));
                }
                _ => return Ok(StmtKind::Expr(left)),
            },
            TokenKind::ColonEq => {
                self.error(
                    "Kiln writes `let x = …` for `x := …`",
                    op_span,
                    "",
                    "write `let` for a new variable, `=` alone for an old one",
                );
                None
            }
            TokenKind::Name if self.peek(1).kind == TokenKind::Eq => match self.word() {
                "min" => Some(AssignOp::Min),
                "max" => Some(AssignOp::Max),
                _ => return Ok(StmtKind::Expr(left)),
            },
            kind => match compound(kind) {
                Some(op) => Some(op),
                None => return Ok(StmtKind::Expr(left)),
            },
        };
        self.bump();
        let mut op_span = op_span;
        if matches!(op, Some(AssignOp::Min | AssignOp::Max)) {
            op_span = op_span.to(self.bump());
        }
        let targets = match left.kind {
            ExprKind::Tuple(items) => items,
            _ => vec![left],
        };
        for target in &targets {
            self.check_target(target);
        }
        if let (Some(_), [_, second, ..]) = (op, targets.as_slice()) {
            let written = &self.text[op_span.start as usize..op_span.end as usize];
            let title = format!("`{written}` changes one variable at a time");
            self.error(title, second.span, "", "write one statement for each");
        }
        let value = self.expr_list()?;
        self.no_second_assignment();
        Ok(StmtKind::Assign { targets, op, op_span, value })
    }

    fn check_target(&mut self, target: &Expr) {
        let what = match &target.kind {
            ExprKind::Name(_) | ExprKind::Index(..) | ExprKind::Field(..) | ExprKind::Error => return,
            ExprKind::Int(_) | ExprKind::Float(_) | ExprKind::Bool(_) | ExprKind::Str(_) => "a literal",
            ExprKind::Call { .. } => "a call",
            ExprKind::Compare(..) => "a comparison",
            ExprKind::Tuple(_) => "a tuple in a tuple",
            _ => "an expression",
        };
        let help = match &target.kind {
            ExprKind::Call { callee, .. } if matches!(callee.kind, ExprKind::Name(_)) => {
                "an element is `a[i]`; a function is declared with `fn f(x) = …`"
            }
            _ => {
                "on the left stands a variable or an element: `x = …`, `a[i] = …`, `a, b = …`; `==` compares"
            }
        };
        self.error(format!("{what} cannot be assigned to"), target.span, "", help);
    }
}
