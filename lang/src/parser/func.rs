//! Functions, parameters and written types.
//!
//! In: tokens from `fn` on. Out: [`ast::Func`], [`ast::TypeExpr`]. Holds: a function whose head cannot be read is still searched for
//! mistakes in its body.

use super::{Parsed, Parser, Reported, habits};
use crate::ast;
use crate::lexer::{self, TokenKind};
use crate::span::Span;

impl Parser<'_> {
    /// `fn name(params) -> result { … }` or `fn name(params) = expr`; `fn` or what stands for it is the current token.
    pub(super) fn func(&mut self, annotations: Vec<ast::Annotation>, start: Span) -> Parsed<ast::Func> {
        let doc = self.doc_above(start);
        self.bump();
        if self.kind() == TokenKind::LParen {
            let help = "write `fn name(x) = …`; there are no functions without a name";
            let here = self.span();
            return Err(self.error("this function has no name", here, "", help));
        }
        let name = self.name("the name of a function")?;
        if self.kind() == TokenKind::Lt {
            let here = self.span();
            let help = "write `fn f(x: T)`: a capital name is a type variable by itself";
            self.error("type variables are not declared", here, "", help);
            while matches!(
                self.kind(),
                TokenKind::Lt | TokenKind::Gt | TokenKind::Name | TokenKind::Comma | TokenKind::Colon
            ) {
                self.pos += 1;
            }
        }
        let mut params = Vec::new();
        if self.kind() == TokenKind::LParen {
            self.group(|parser, close| {
                parser.entries(close, |parser| {
                    params.push(parser.param()?);
                    Ok(())
                });
            });
        } else {
            let place = self.place();
            let help = format!("write `fn {}() {{ … }}`, with its parameters in `( )`", name.text);
            self.error("a function has parentheses", place, "", help);
            if !self.skip_to_body() {
                return Err(Reported);
            }
        }
        let result = match self.func_result() {
            Err(Reported) if !self.skip_to_body() => return Err(Reported),
            result => result.ok().flatten(),
        };
        let body = match self.kind() {
            TokenKind::Eq | TokenKind::FatArrow => {
                let span = self.bump();
                if self.tokens[self.pos - 1].kind == TokenKind::FatArrow {
                    self.error("Kiln writes `=` for `=>`", span, "", "write `fn f(x) = …`");
                }
                let value = self.expr()?;
                let span = value.span;
                ast::Block { stmts: vec![ast::Stmt { kind: ast::StmtKind::Expr(value), span }], span }
            }
            _ => self.body("fn")?,
        };
        let span = start.to(self.last_span());
        Ok(ast::Func { annotations, name, params, result, body, doc, span })
    }

    fn func_result(&mut self) -> Parsed<Option<ast::TypeExpr>> {
        match self.kind() {
            TokenKind::Arrow => {
                self.bump();
                if matches!(self.kind(), TokenKind::LBrace | TokenKind::Eq) {
                    let arrow = self.last_span();
                    let help = "write `-> f64`, or leave out `->` to have the type found";
                    return Err(self.error("expected a type after `->`", arrow, "", help));
                }
                Ok(Some(self.type_expr()?))
            }
            TokenKind::Colon
                if matches!(self.peek(1).kind, TokenKind::Name | TokenKind::LBracket | TokenKind::LParen) =>
            {
                let span = self.bump();
                self.error("the result's type stands behind `->`", span, "", "write `fn f(x) -> f64 { … }`");
                Ok(Some(self.type_expr()?))
            }
            _ => Ok(None),
        }
    }

    fn param(&mut self) -> Parsed<ast::Param> {
        let start = self.span();
        if self.kind() == TokenKind::Mut {
            self.bump();
            let help = "write `y: mut [T; n]`";
            self.error("`mut` stands before the type", start, "", help);
        }
        if let TokenKind::Star | TokenKind::StarStar | TokenKind::Amp = self.kind() {
            let help = "write the parameters one by one: `a, b: f64`; an array that the function writes to is `y: mut [T; n]`";
            return Err(self.error(format!("a parameter has no `{}`", self.word()), start, "", help));
        }
        let name = self.name("the name of a parameter")?;
        let mut is_mut = false;
        let mut ty = None;
        match self.kind() {
            TokenKind::Colon => {
                self.bump();
                if self.kind() == TokenKind::Amp {
                    let here = self.bump();
                    let help =
                        "write `[T; n]` for an array that is read, `mut [T; n]` for one that is written";
                    self.error("there are no references", here, "", help);
                }
                is_mut = self.eat(TokenKind::Mut).is_some();
                ty = Some(self.type_expr()?);
            }
            TokenKind::Name => {
                let (first, second) = (name.text.as_str(), self.word());
                let (written, ty) =
                    if habits::is_type_name(first) { (second, first) } else { (first, second) };
                let ty = habits::kiln_type(ty);
                let title = "a type stands behind its parameter, after `:`";
                let help = format!("write `{}: {}`", lexer::clip(written), lexer::clip(ty));
                let span = start.to(self.span());
                return Err(self.error(title, span, "", help));
            }
            _ => {}
        }
        if self.kind() == TokenKind::Eq {
            let here = self.span();
            let help = "pass the value at each call, or declare a `const`";
            return Err(self.error("parameters have no default values", here, "", help));
        }
        Ok(ast::Param { name, is_mut, ty })
    }

    /// A written type.
    pub(super) fn type_expr(&mut self) -> Parsed<ast::TypeExpr> {
        self.nested(|parser| match parser.kind() {
            TokenKind::Name => parser.type_name(),
            TokenKind::LBracket => parser.array_type(),
            TokenKind::LParen => {
                let mut items = Vec::new();
                let span = parser.group(|parser, close| {
                    parser.entries(close, |parser| {
                        items.push(parser.type_expr()?);
                        Ok(())
                    });
                });
                Ok(ast::TypeExpr { kind: ast::TypeExprKind::Tuple(items), span })
            }
            TokenKind::Amp | TokenKind::Star => {
                let here = parser.span();
                let help = "write `[T; n]` for an array that is read, `mut [T; n]` for one that is written";
                Err(parser.error("there are no references or pointers", here, "", help))
            }
            TokenKind::Mut => {
                let here = parser.span();
                Err(parser.error("`mut` stands only before a parameter's type", here, "", "remove it"))
            }
            _ => Err(parser.unexpected("a type")),
        })
    }

    fn type_name(&mut self) -> Parsed<ast::TypeExpr> {
        let text = self.word().to_string();
        let span = self.bump();
        if matches!(self.kind(), TokenKind::LBracket | TokenKind::Lt) {
            let elem = if habits::is_type_name(&text) { habits::kiln_type(&text) } else { "f64" };
            let help = format!("write `[{elem}; n]`, or `[{elem}; n, m]` for two dimensions");
            return Err(self.error(
                "an array type has its element type and its shape in `[ ]`",
                span,
                "",
                help,
            ));
        }
        Ok(ast::TypeExpr { kind: ast::TypeExprKind::Name(text), span })
    }

    /// `[T; n, m]`
    fn array_type(&mut self) -> Parsed<ast::TypeExpr> {
        let mut elem = None;
        let mut dims = Vec::new();
        let span = self.group(|parser, close| {
            let first = parser.span();
            let Ok(ty) = parser.type_expr() else { return };
            let written = first.to(parser.last_span());
            let spelling = parser.text[written.start as usize..written.end as usize].to_string();
            let spelling = lexer::clip(&spelling);
            if let ast::TypeExprKind::Array { .. } = ty.kind {
                let help = "an array of two dimensions is `[f64; n, m]`";
                parser.error("arrays do not nest", written, "", help);
            } else if parser.pos == close || parser.kind() == TokenKind::Comma {
                let place = parser.place();
                let help = format!("write `[{spelling}; n]`; each dimension has a name, a number or `_`");
                if !parser.is_put_in(close) {
                    parser.error("an array type states its shape", place, "expected `;` and the shape", help);
                }
            } else if parser.eat(TokenKind::Semicolon).is_none() {
                parser.unexpected("`;` and the shape");
            } else if parser.pos == close {
                parser.unexpected("a name, a number or `_`");
            } else {
                parser.entries(close, |parser| {
                    dims.push(parser.dim()?);
                    Ok(())
                });
            }
            elem = Some(ty);
        });
        let elem = elem.ok_or(Reported)?;
        if dims.is_empty() {
            let name = Some(ast::Name { text: "_".to_string(), span });
            dims.push(ast::DimExpr { name, offset: 0, span });
        }
        Ok(ast::TypeExpr { kind: ast::TypeExprKind::Array { elem: Box::new(elem), dims }, span })
    }

    /// `n`, `3`, `n+1`, `n-1`, `_`
    fn dim(&mut self) -> Parsed<ast::DimExpr> {
        let start = self.span();
        let help = "a dimension is a name, a number, `_`, or a name plus or minus a number";
        let dim = match self.kind() {
            TokenKind::Int => ast::DimExpr { name: None, offset: self.dim_number(1)?, span: start },
            TokenKind::Name => {
                let name = self.name("a name")?;
                let sign = match self.kind() {
                    TokenKind::Plus => 1,
                    TokenKind::Minus => -1,
                    _ => 0,
                };
                let mut offset = 0;
                if sign != 0 {
                    self.bump();
                    if self.kind() != TokenKind::Int || name.text == "_" {
                        let span = start.to(self.span());
                        return Err(self.error("this is no dimension", span, "", help));
                    }
                    offset = self.dim_number(sign)?;
                }
                ast::DimExpr { name: Some(name), offset, span: start.to(self.last_span()) }
            }
            TokenKind::Colon
            | TokenKind::Question
            | TokenKind::DotDot
            | TokenKind::Star
            | TokenKind::Ellipsis => {
                let title = format!("`{}` is no dimension", self.word());
                return Err(self.error(title, start, "", "write `_` for any size"));
            }
            TokenKind::Minus => return Err(self.error("a size is not negative", start, "", help)),
            _ => return Err(self.unexpected("a name, a number or `_`")),
        };
        if !matches!(self.kind(), TokenKind::Comma | TokenKind::RBracket) && !self.is_known_trouble() {
            let span = start.to(self.span());
            return Err(self.error("this is no dimension", span, "", help));
        }
        Ok(dim)
    }

    fn dim_number(&mut self, sign: i64) -> Parsed<i64> {
        let value = lexer::int_value(self.word()).and_then(|value| i64::try_from(value).ok());
        let span = self.bump();
        match value {
            Some(value) => Ok(sign * value),
            None => Err(self.error("this size is too large", span, "", "sizes are i64")),
        }
    }

    /// The comment lines right above, joined.
    fn doc_above(&self, start: Span) -> String {
        let mut lines = Vec::new();
        let mut below = start.start as usize;
        let before = self.comments.partition_point(|comment| (comment.span.end as usize) <= below);
        for comment in self.comments[..before].iter().rev() {
            let between = &self.text[comment.span.end as usize..below];
            let is_next_line = between.trim().is_empty() && between.matches('\n').count() == 1;
            let ahead = self.text[..comment.span.start as usize].trim_end_matches([' ', '\t']);
            let is_alone = ahead.is_empty() || ahead.ends_with(['\n', '\r', '\u{feff}']);
            if !is_next_line || !is_alone {
                break;
            }
            lines.push(comment.text.as_str());
            below = comment.span.start as usize;
        }
        lines.reverse();
        lines.join("\n")
    }
}
