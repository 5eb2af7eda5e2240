//! Reads the IR from text.
//!
//! In: text as `print` writes it, or a person; the grammar stands in README.md. Out: a program, not verified, or the line and the reason.
//! Holds: no input panics; values, ops, regions and sites are numbered in the order of the text.

use super::{
    CheckKind, CheckSite, ForData, Func, FuncId, OpCode, OpId, PrintId, PrintPart, PrintSite, Program,
};
use super::{Reduction, RegionId, SiteId, Terminator, Type, Value};
use kiln_abi::{ArrayReduction, LoopInfo, ReduceOp, ScalarReduction};
use kiln_lang::span::{SourceId, Span};
use kiln_lang::tree::Const;
use kiln_lang::types::{Generator, Layout, Scalar};
use std::collections::HashMap;
use std::sync::Arc;

/// Regions inside regions that the parser follows.
const MAX_NESTING: usize = 1000;

/// The program that `text` describes.
///
/// # Errors
/// The line and what was expected there.
pub fn parse(text: &str) -> Result<Program, String> {
    let tokens = lex(text)?;
    let mut parser = Parser {
        tokens,
        at: 0,
        func: Func::new(""),
        values: HashMap::new(),
        funcs: HashMap::new(),
        calls: Vec::new(),
        depth: 0,
    };
    parser.program()
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    /// Letters, digits, `_`.
    Word(String),
    /// As written: digits, perhaps a sign, point, exponent, or `0x…`.
    Number(String),
    Str(String),
    /// `%n`, `%n.7`, `%7`: name and number.
    Value(Key),
    /// `@f`, `@f.3`
    Func(Key),
    Arrow,
    Dots,
    Mark(char),
    End,
}

/// A name in text: with a number behind it when it is not alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    name: Option<String>,
    number: Option<u32>,
}

struct Lexer<'t> {
    rest: &'t str,
    line: usize,
}

fn lex(text: &str) -> Result<Vec<(Token, usize)>, String> {
    let mut lexer = Lexer { rest: text, line: 1 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blanks();
        let line = lexer.line;
        let token = lexer.token().map_err(|message| format!("line {line}: {message}"))?;
        let is_end = token == Token::End;
        tokens.push((token, line));
        if is_end {
            return Ok(tokens);
        }
    }
}

impl Lexer<'_> {
    fn skip_blanks(&mut self) {
        loop {
            let trimmed = self.rest.trim_start();
            self.line += self.rest[..self.rest.len() - trimmed.len()].matches('\n').count();
            self.rest = trimmed;
            if !trimmed.starts_with('#') {
                return;
            }
            self.rest = trimmed.find('\n').map_or("", |end| &trimmed[end..]);
        }
    }

    fn take_while(&mut self, accept: impl Fn(char) -> bool) -> String {
        let end = self.rest.find(|char| !accept(char)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken.to_string()
    }

    fn token(&mut self) -> Result<Token, String> {
        let Some(first) = self.rest.chars().next() else { return Ok(Token::End) };
        let second = self.rest.chars().nth(1).unwrap_or(' ');
        if first.is_ascii_digit() || first == '-' && second.is_ascii_digit() {
            return Ok(Token::Number(self.number()));
        }
        if first == '_' || first.is_alphabetic() {
            return Ok(Token::Word(self.take_while(is_word_char)));
        }
        match first {
            '%' | '@' => {
                self.rest = &self.rest[1..];
                let key = self.key()?;
                Ok(if first == '%' { Token::Value(key) } else { Token::Func(key) })
            }
            '"' => self.string().map(Token::Str),
            '-' if second == '>' => {
                self.rest = &self.rest[2..];
                Ok(Token::Arrow)
            }
            '.' if second == '.' => {
                self.rest = &self.rest[2..];
                Ok(Token::Dots)
            }
            '=' | ',' | ':' | '(' | ')' | '{' | '}' | '[' | ']' | ';' | '^' | '-' => {
                self.rest = &self.rest[1..];
                Ok(Token::Mark(first))
            }
            other => Err(format!("unexpected character {other:?}")),
        }
    }

    fn number(&mut self) -> String {
        let bytes = self.rest.as_bytes();
        let mut end = usize::from(bytes[0] == b'-');
        if bytes[end..].starts_with(b"0x") {
            end += 2;
            while bytes.get(end).is_some_and(u8::is_ascii_hexdigit) {
                end += 1;
            }
        } else {
            let digits = |mut end: usize| {
                while bytes.get(end).is_some_and(u8::is_ascii_digit) {
                    end += 1;
                }
                end
            };
            end = digits(end);
            // `12..14` are two numbers.
            if bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
                end = digits(end + 1);
            }
            if bytes.get(end) == Some(&b'e') {
                let sign = usize::from(matches!(bytes.get(end + 1), Some(b'-' | b'+')));
                if bytes.get(end + 1 + sign).is_some_and(u8::is_ascii_digit) {
                    end = digits(end + 1 + sign);
                }
            }
        }
        let (number, rest) = self.rest.split_at(end);
        self.rest = rest;
        number.to_string()
    }

    fn key(&mut self) -> Result<Key, String> {
        let first = self.rest.chars().next().unwrap_or(' ');
        if first.is_ascii_digit() {
            return Ok(Key { name: None, number: Some(self.small_number()?) });
        }
        let name = if first == '"' { self.string()? } else { self.take_while(is_word_char) };
        if name.is_empty() && first != '"' {
            return Err("a name or a number must follow `%` or `@`".into());
        }
        let mut number = None;
        if self.rest.starts_with('.') && self.rest[1..].starts_with(|char: char| char.is_ascii_digit()) {
            self.rest = &self.rest[1..];
            number = Some(self.small_number()?);
        }
        Ok(Key { name: Some(name), number })
    }

    fn small_number(&mut self) -> Result<u32, String> {
        let digits = self.take_while(|char| char.is_ascii_digit());
        digits.parse().map_err(|_| format!("number {digits} is too large"))
    }

    fn string(&mut self) -> Result<String, String> {
        let mut text = String::new();
        let mut chars = self.rest[1..].char_indices();
        while let Some((at, char)) = chars.next() {
            match char {
                '"' => {
                    self.rest = &self.rest[at + 2..];
                    return Ok(text);
                }
                '\\' => match chars.next().map(|(_, escape)| escape) {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some('r') => text.push('\r'),
                    Some('u') => {
                        let digits: String = chars
                            .by_ref()
                            .map(|(_, digit)| digit)
                            .skip_while(|&digit| digit == '{')
                            .take_while(|&digit| digit != '}')
                            .take(8)
                            .collect();
                        let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                        text.push(code.ok_or("unknown escape in a string")?);
                    }
                    Some(escape @ ('"' | '\\')) => text.push(escape),
                    _ => return Err("unknown escape in a string".into()),
                },
                '\n' => break,
                other => text.push(other),
            }
        }
        Err("string without an end".into())
    }
}

fn is_word_char(char: char) -> bool {
    char == '_' || char.is_alphanumeric()
}

struct Parser {
    tokens: Vec<(Token, usize)>,
    at: usize,
    /// The function being read.
    func: Func,
    values: HashMap<Key, Value>,
    funcs: HashMap<Key, FuncId>,
    /// Calls, to be resolved when all functions are known: function, op, callee, line.
    calls: Vec<(usize, OpId, Key, usize)>,
    depth: usize,
}

impl Parser {
    fn program(&mut self) -> Result<Program, String> {
        let mut program = Program { funcs: Vec::new(), loops: Vec::new() };
        loop {
            match self.peek() {
                Token::End => break,
                Token::Word(word) if word == "func" => {
                    let func = self.func(program.funcs.len())?;
                    program.funcs.push(func);
                }
                Token::Word(word) if word == "loop" => {
                    let info = self.loop_info(program.loops.len())?;
                    program.loops.push(info);
                }
                _ => return self.fail("expected `func` or `loop`"),
            }
        }
        for (func, op, key, line) in std::mem::take(&mut self.calls) {
            let Some(&callee) = self.funcs.get(&key) else {
                return Err(format!("line {line}: no function of that name"));
            };
            program.funcs[func].ops[op.index()].code = OpCode::Call(callee);
        }
        Ok(program)
    }

    fn func(&mut self, number: usize) -> Result<Func, String> {
        self.word("func")?;
        let Token::Func(key) = self.next() else { return self.fail_before("expected `@` and a name") };
        self.func = Func::new(key.name.as_deref().unwrap_or_default());
        self.values.clear();
        if self.funcs.insert(key, FuncId(number as u32)).is_some() {
            return self.fail_before("a second function of that name: write `@name.0`, `@name.1`");
        }
        self.params(RegionId(0))?;
        if self.accept(&Token::Arrow) {
            self.func.results = self.types()?;
        }
        if self.accept_word("chunk") {
            self.func.chunk_of = Some(self.integer()?);
        }
        self.mark('{')?;
        self.block(RegionId(0), number)?;
        Ok(std::mem::replace(&mut self.func, Func::new("")))
    }

    /// `(%a: i64, %b: f64)`
    fn params(&mut self, region: RegionId) -> Result<(), String> {
        self.mark('(')?;
        while !self.accept(&Token::Mark(')')) {
            let key = self.value_key()?;
            self.mark(':')?;
            let ty = self.ty()?;
            let name = key.name.as_deref().map(Arc::from);
            let value = self.func.add_param(region, ty, name);
            self.define(key, value)?;
            if !self.accept(&Token::Mark(',')) {
                self.mark(')')?;
                break;
            }
        }
        Ok(())
    }

    /// Ops and the terminator, up to `}`.
    fn block(&mut self, region: RegionId, func: usize) -> Result<(), String> {
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return self.fail("regions are nested too deeply");
        }
        let end = loop {
            match self.peek() {
                Token::Word(word) if is_terminator(word) => break self.terminator()?,
                Token::Word(_) | Token::Value(_) => self.op(region, func)?,
                _ => return self.fail("expected an op or a terminator"),
            }
        };
        self.func.regions[region.index()].end = end;
        self.depth -= 1;
        self.mark('}')
    }

    fn terminator(&mut self) -> Result<Terminator, String> {
        let word = self.any_word()?;
        let depth = if word == "break" || word == "continue" { self.integer()? } else { 0 };
        let args = self.operands()?;
        Ok(match &*word {
            "yield" => Terminator::Yield(args),
            "break" => Terminator::Break(depth, args),
            "continue" => Terminator::Continue(depth, args),
            "return" => Terminator::Return(args),
            _ => Terminator::Open,
        })
    }

    fn op(&mut self, region: RegionId, func: usize) -> Result<(), String> {
        let mut keys = Vec::new();
        if matches!(self.peek(), Token::Value(_)) {
            keys = self.comma_separated(Parser::value_key)?;
            self.mark('=')?;
        }
        let line = self.line();
        let name = self.any_word()?;
        let fast = self.accept_word("fast");
        let (head, args) = self.head(&name)?;
        let types = if self.accept(&Token::Mark(':')) { self.types()? } else { Vec::new() };
        if types.len() != keys.len() {
            return Err(format!(
                "line {line}: `{name}` has {} results and {} types",
                keys.len(),
                types.len()
            ));
        }
        let (code, callee) = match head {
            Head::Code(code) => (code, None),
            Head::Literal(literal) => {
                let ty = types.first().map_or(Scalar::I64, |ty| ty.scalar());
                let constant = constant(&literal, ty);
                let message = || format!("line {line}: {literal} is not a constant of type {ty}");
                (OpCode::Const(constant.ok_or_else(message)?), None)
            }
            Head::Call(key) => (OpCode::Call(FuncId(0)), Some(key)),
        };
        let span = if self.accept_word("loc") { self.span()? } else { Span::default() };
        let op = self.func.push_op(region, code, args, &types, span);
        self.func.ops[op.index()].fast = fast;
        if let Some(key) = callee {
            self.calls.push((func, op, key, line));
        }
        for (position, key) in keys.into_iter().enumerate() {
            let value = self.func.ops[op.index()].results[position];
            self.func.values[value.index()].name = key.name.as_deref().map(Arc::from);
            self.define(key, value)?;
        }
        if self.accept(&Token::Mark('{')) {
            self.op_region(op, func)?;
            while self.accept_word("else") || self.accept_word("do") || self.accept_word("tail") {
                self.mark('{')?;
                self.op_region(op, func)?;
            }
        }
        Ok(())
    }

    /// A region of `op`, from behind its `{`.
    fn op_region(&mut self, op: OpId, func: usize) -> Result<(), String> {
        let region = self.func.add_region();
        self.func.ops[op.index()].regions.push(region);
        if self.accept(&Token::Mark('^')) {
            self.params(region)?;
            self.mark(':')?;
        }
        self.block(region, func)
    }

    /// What stands between an op's name and its types: data and operands.
    fn head(&mut self, name: &str) -> Result<(Head, Vec<Value>), String> {
        if let Some(code) = OpCode::plain(name) {
            return Ok((Head::Code(code), self.operands()?));
        }
        let code = match name {
            "const" => return Ok((Head::Literal(self.literal()?), Vec::new())),
            "call" => {
                let Token::Func(key) = self.next() else { return self.fail_before("expected a function") };
                return Ok((Head::Call(key), self.operands()?));
            }
            "for" => return self.for_header(),
            "check" => return self.check(),
            "print" => return self.print(),
            "philox" => OpCode::Draw { generator: Generator::Philox, kind: self.integer()? },
            "ars" => OpCode::Draw { generator: Generator::Ars, kind: self.integer()? },
            "extract" => OpCode::Extract { lane: self.integer()? },
            "dim" => OpCode::Dim { axis: self.integer()? },
            "update" => OpCode::Update(self.reduce_op()?),
            "update_masked" => OpCode::UpdateMasked(self.reduce_op()?),
            "send" => OpCode::Send { reduction: self.integer()? },
            "send_fma" => OpCode::SendFma { reduction: self.integer()? },
            "send_masked" => OpCode::SendMasked { reduction: self.integer()? },
            "run_loop" => OpCode::RunLoop { number: self.integer()? },
            _ => return self.fail_before(&format!("no op is named `{name}`")),
        };
        Ok((Head::Code(code), self.operands()?))
    }

    fn for_header(&mut self) -> Result<(Head, Vec<Value>), String> {
        let mut args = self.operands()?;
        let rank = u8::try_from(args.len()).or_else(|_| self.fail("too many extents"))?;
        let mut data = ForData::plain(rank, Span::default());
        while let Token::Word(word) = self.peek().clone() {
            self.at += 1;
            match &*word {
                "carry" => {
                    self.mark('(')?;
                    args.extend(self.operands()?);
                    self.mark(')')?;
                }
                "reduce" => {
                    self.mark('(')?;
                    let (op, ty) = (self.reduce_op()?, self.scalar()?);
                    let name = self.string()?.into();
                    data.reductions.push(Reduction { op, ty, name });
                    self.mark(')')?;
                }
                "array" => {
                    self.mark('(')?;
                    let op = self.reduce_op()?;
                    data.arrays.push((self.value()?, op));
                    self.mark(')')?;
                }
                "unique" => {
                    self.mark('(')?;
                    data.unique = self.operands()?;
                    self.mark(')')?;
                }
                "parallel" => data.parallel = true,
                "vectorize" => data.vectorize = true,
                "generator" => data.generator = true,
                "cold" => data.cold = true,
                "lanes" => data.lanes = self.integer()?,
                "tail" => data.tail = self.integer()?,
                "header" => data.span = self.span()?,
                "loc" => {
                    self.at -= 1;
                    break;
                }
                _ => return self.fail_before(&format!("a `for` has no `{word}`")),
            }
        }
        Ok((Head::Code(OpCode::For(Box::new(data))), args))
    }

    fn check(&mut self) -> Result<(Head, Vec<Value>), String> {
        let kind = self.any_word()?;
        let args = self.operands()?;
        let kind = match &*kind {
            "bounds" => {
                self.word("axis")?;
                let axis = self.integer()?;
                CheckKind::Bounds { axis, array: self.string_field("array")? }
            }
            "nonzero" => CheckKind::NonZero { op: self.known_word("op", &["//", "%"])? },
            "exponent" => CheckKind::Exponent,
            "step" => CheckKind::Step,
            "draw_range" => CheckKind::DrawRange,
            "not_empty" => {
                CheckKind::NotEmpty { of: self.known_word("of", &["min", "max", "argmin", "argmax"])? }
            }
            "size" => CheckKind::Size,
            "same_size" => {
                let found = self.string_field("found")?;
                CheckKind::SameSize { found, wanted: self.string_field("wanted")? }
            }
            "domain" => {
                let of = self.string_field("of")?;
                let needs = self.string_field("needs")?;
                let show = if self.accept_word("show") { Some(self.scalar()?) } else { None };
                CheckKind::Domain { of, needs, show }
            }
            "entry" => CheckKind::Entry { condition: self.string_field("condition")? },
            "unique" => CheckKind::Unique { array: self.string_field("array")? },
            _ => return self.fail(&format!("no check is named `{kind}`")),
        };
        let func = self.string_field("func")?;
        let mut indices = Vec::new();
        if self.accept_word("indices") {
            self.mark('(')?;
            indices = self.comma_separated(|parser| Ok(Arc::from(parser.string()?)))?;
            self.mark(')')?;
        }
        self.word("at")?;
        let span = self.span()?;
        self.func.sites.push(CheckSite { kind, func, span, indices });
        Ok((Head::Code(OpCode::Check(SiteId(self.func.sites.len() as u32 - 1))), args))
    }

    fn print(&mut self) -> Result<(Head, Vec<Value>), String> {
        let mut args = Vec::new();
        let mut parts = Vec::new();
        while matches!(self.peek(), Token::Str(_) | Token::Value(_)) {
            if let Token::Str(text) = self.peek().clone() {
                self.at += 1;
                parts.push(PrintPart::Text(text));
            } else {
                args.push(self.value()?);
                parts.push(PrintPart::Value);
            }
            if !self.accept(&Token::Mark(',')) {
                break;
            }
        }
        self.func.prints.push(PrintSite { parts });
        Ok((Head::Code(OpCode::Print(PrintId(self.func.prints.len() as u32 - 1))), args))
    }

    /// `loop 0 func 1 parallel scalar(sum f64 sites 2) array(sum i64 slot 0 rank 1) cost 5 line 1`
    fn loop_info(&mut self, number: usize) -> Result<LoopInfo, String> {
        self.word("loop")?;
        if self.integer::<usize>()? != number {
            return self.fail_before("loops are numbered from 0 in order");
        }
        self.word("func")?;
        let func = self.integer()?;
        let parallel = self.accept_word("parallel");
        let (mut scalars, mut arrays) = (Vec::new(), Vec::new());
        while self.accept_word("scalar") {
            self.mark('(')?;
            let (op, ty) = (self.reduce_op()?, super::kind_of(self.scalar()?));
            self.word("sites")?;
            scalars.push(ScalarReduction { op, ty, sites: self.integer()? });
            self.mark(')')?;
        }
        while self.accept_word("array") {
            self.mark('(')?;
            let (op, ty) = (self.reduce_op()?, super::kind_of(self.scalar()?));
            self.word("slot")?;
            let env_slot = self.integer()?;
            self.word("rank")?;
            arrays.push(ArrayReduction { op, ty, env_slot, rank: self.integer()? });
            self.mark(')')?;
        }
        self.word("cost")?;
        let cost = self.integer()?;
        self.word("line")?;
        Ok(LoopInfo { func, parallel, scalars, arrays, wide: false, cost, line: self.integer()? })
    }

    fn literal(&mut self) -> Result<String, String> {
        let mut text = if self.accept(&Token::Mark('-')) { "-".to_string() } else { String::new() };
        match self.next() {
            Token::Number(part) | Token::Word(part) => text += &part,
            _ => return self.fail_before("expected a constant"),
        }
        if self.accept(&Token::Mark('(')) {
            let Token::Number(bits) = self.next() else { return self.fail_before("expected bits") };
            text = format!("{text}({bits}");
            self.mark(')')?;
        }
        Ok(text)
    }

    /// `12..14`, `3:12..14`, `prelude:12..14`
    fn span(&mut self) -> Result<Span, String> {
        let mut source = SourceId(0);
        if self.accept_word("prelude") {
            self.mark(':')?;
            source = SourceId::PRELUDE;
        }
        let mut start = self.integer()?;
        if self.accept(&Token::Mark(':')) {
            source = SourceId(start);
            start = self.integer()?;
        }
        if !self.accept(&Token::Dots) {
            return self.fail("expected `..`");
        }
        Ok(Span { source, start, end: self.integer()? })
    }

    fn types(&mut self) -> Result<Vec<Type>, String> {
        self.comma_separated(Parser::ty)
    }

    /// `f64`, `f64x8`, `mask8`, `[f64; 2]`, `[f64; 2 strided]`
    fn ty(&mut self) -> Result<Type, String> {
        if self.accept(&Token::Mark('[')) {
            let elem = self.scalar()?;
            self.mark(';')?;
            let rank = self.integer()?;
            let layout = if self.accept_word("strided") { Layout::Strided } else { Layout::Contiguous };
            self.mark(']')?;
            return Ok(Type::Array { elem, rank, layout });
        }
        let word = self.any_word()?;
        if let Some(scalar) = Scalar::from_name(&word) {
            return Ok(Type::Scalar(scalar));
        }
        if let Some(lanes) = word.strip_prefix("mask").and_then(|lanes| lanes.parse().ok()) {
            return Ok(Type::Mask(lanes));
        }
        let lanes = word
            .split_once('x')
            .and_then(|(scalar, lanes)| Some(Type::Lanes(Scalar::from_name(scalar)?, lanes.parse().ok()?)));
        lanes.map_or_else(|| self.fail_before(&format!("no type is named `{word}`")), Ok)
    }

    fn scalar(&mut self) -> Result<Scalar, String> {
        let word = self.any_word()?;
        Scalar::from_name(&word).map_or_else(|| self.fail_before("expected a scalar type"), Ok)
    }

    fn reduce_op(&mut self) -> Result<ReduceOp, String> {
        use ReduceOp::*;
        let word = self.any_word()?;
        let found =
            [Sum, Prod, Min, Max, And, Or, Xor].into_iter().find(|&op| super::reduce_name(op) == word);
        found.map_or_else(|| self.fail_before("expected the operator of a reduction"), Ok)
    }

    /// Values separated by commas; none is fine.
    fn operands(&mut self) -> Result<Vec<Value>, String> {
        match self.peek() {
            // `%x = …` begins the next op.
            Token::Value(_) if !self.begins_results() => self.comma_separated(Parser::value),
            _ => Ok(Vec::new()),
        }
    }

    /// Do the next tokens read `%a, %b =`?
    fn begins_results(&self) -> bool {
        let mut at = self.at;
        loop {
            if !matches!(self.tokens[at].0, Token::Value(_)) {
                return false;
            }
            match self.tokens[at + 1].0 {
                Token::Mark('=') => return true,
                Token::Mark(',') => at += 2,
                _ => return false,
            }
        }
    }

    fn value(&mut self) -> Result<Value, String> {
        let key = self.value_key()?;
        match self.values.get(&key) {
            Some(&value) => Ok(value),
            None => self.fail_before("this value is not defined before"),
        }
    }

    fn value_key(&mut self) -> Result<Key, String> {
        match self.next() {
            Token::Value(key) => Ok(key),
            _ => self.fail_before("expected a value"),
        }
    }

    fn define(&mut self, key: Key, value: Value) -> Result<(), String> {
        match self.values.insert(key, value) {
            None => Ok(()),
            Some(_) => self.fail_before("this name is already taken in the function"),
        }
    }

    fn comma_separated<T>(
        &mut self,
        item: impl Fn(&mut Parser) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        let mut items = vec![item(self)?];
        while self.accept(&Token::Mark(',')) {
            items.push(item(self)?);
        }
        Ok(items)
    }

    fn string_field(&mut self, name: &str) -> Result<Arc<str>, String> {
        self.word(name)?;
        Ok(self.string()?.into())
    }

    fn known_word(&mut self, field: &str, words: &[&'static str]) -> Result<&'static str, String> {
        let text = self.string_field(field)?;
        let found = words.iter().find(|&&word| word == &*text);
        found.map_or_else(|| self.fail_before(&format!("expected one of {words:?}")), |&word| Ok(word))
    }

    fn string(&mut self) -> Result<String, String> {
        match self.next() {
            Token::Str(text) => Ok(text),
            _ => self.fail_before("expected a string"),
        }
    }

    fn integer<T: std::str::FromStr>(&mut self) -> Result<T, String> {
        match self.next() {
            Token::Number(digits) => match digits.parse() {
                Ok(number) => Ok(number),
                Err(_) => self.fail_before(&format!("{digits} does not fit here")),
            },
            _ => self.fail_before("expected a number"),
        }
    }

    fn word(&mut self, word: &str) -> Result<(), String> {
        if self.accept_word(word) { Ok(()) } else { self.fail(&format!("expected `{word}`")) }
    }

    fn any_word(&mut self) -> Result<String, String> {
        match self.next() {
            Token::Word(word) => Ok(word),
            _ => self.fail_before("expected a word"),
        }
    }

    fn mark(&mut self, mark: char) -> Result<(), String> {
        if self.accept(&Token::Mark(mark)) { Ok(()) } else { self.fail(&format!("expected `{mark}`")) }
    }

    fn accept_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Token::Word(found) if found == word);
        self.at += usize::from(found);
        found
    }

    fn accept(&mut self, token: &Token) -> bool {
        let found = self.peek() == token;
        self.at += usize::from(found);
        found
    }

    fn peek(&self) -> &Token {
        &self.tokens[self.at].0
    }

    /// The next token; the last one, `End`, again and again.
    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn line(&self) -> usize {
        self.tokens[self.at].1
    }

    /// An error at the next token.
    fn fail<T>(&self, message: &str) -> Result<T, String> {
        Err(format!("line {}: {message}", self.line()))
    }

    /// An error at the token just read.
    fn fail_before<T>(&self, message: &str) -> Result<T, String> {
        Err(format!("line {}: {message}", self.tokens[self.at.saturating_sub(1)].1))
    }
}

/// What an op is, before its types and all functions are known.
enum Head {
    Code(OpCode),
    Literal(String),
    Call(Key),
}

fn is_terminator(word: &str) -> bool {
    matches!(word, "yield" | "break" | "continue" | "return" | "open")
}

/// A constant as written; a NaN with other bits than the usual ones comes as `nan(0x…`.
fn constant(text: &str, ty: Scalar) -> Option<Const> {
    let bits = text.strip_prefix("nan(0x").map(|digits| u64::from_str_radix(digits, 16).ok());
    Some(match ty {
        Scalar::Bool => Const::Bool(text.parse().ok()?),
        Scalar::I32 => Const::I32(text.parse().ok()?),
        Scalar::I64 => Const::I64(text.parse().ok()?),
        Scalar::U32 => Const::U32(text.parse().ok()?),
        Scalar::U64 => Const::U64(text.parse().ok()?),
        Scalar::F32 => Const::F32(match bits {
            Some(bits) => f32::from_bits(u32::try_from(bits?).ok()?),
            None if text == "nan" => f32::from_bits(0x7fc0_0000),
            None => text.parse().ok()?,
        }),
        Scalar::F64 => Const::F64(match bits {
            Some(bits) => f64::from_bits(bits?),
            None if text == "nan" => f64::from_bits(0x7ff8_0000_0000_0000),
            None => text.parse().ok()?,
        }),
    })
}
