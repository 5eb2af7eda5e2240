//! Types draws from random distributions.
//!
//! In: a row of [`crate::samplers`] and a call as parsed. Out: a call of its body, written in Kiln, that draws from the current or an explicit stream.
//! Holds: what the row demands of an argument is checked where the call stands, before anything is drawn.

use super::Body;
use super::expr::known;
use super::literal::Goal;
use super::ty::{Ty, Typed};
use super::walk::Walk;
use crate::ast;
use crate::builtins::Builtin;
use crate::diag::Diagnostic;
use crate::samplers::{self, Parameter, Sampler};
use crate::span::Span;
use crate::tree::{BinaryOp, Const, Expr, ExprKind, LocalId, Requirement};
use crate::types::{Generator, Scalar, Type};

const I64: Type = Type::Scalar(Scalar::I64);
const F64: Type = Type::Scalar(Scalar::F64);

impl<'a> Walk<'a, '_> {
    pub fn sample(
        &mut self,
        builtin: &'static Builtin,
        sampler: Sampler,
        args: &'a [ast::Expr],
        keywords: &'a [(ast::Name, ast::Expr)],
        span: Span,
    ) -> Typed {
        let (stream, args) = match args.split_first() {
            Some((first, rest)) if self.names_stream(first) => match self.stream(first) {
                Some(stream) => (Some(stream), rest),
                None => return self.poison(span),
            },
            _ => (None, args),
        };
        let names = sampler.params();
        let mut given: Vec<(usize, &'a ast::Expr)> = args.iter().enumerate().collect();
        for (keyword, value) in keywords {
            match names.iter().position(|name| *name == keyword.text) {
                Some(position) => given.push((position, value)),
                None => return self.poison(span),
            }
        }
        if given.len() < sampler.needed() || given.len() > names.len() {
            return self.poison(span);
        }
        match sampler {
            Sampler::Numbers(params) => self.numbers(builtin, params, given, stream, span),
            Sampler::Choice => self.choice(builtin, given, stream, span),
            Sampler::Shuffle => {
                let value = self.expr(given[0].1);
                if value.ty != Ty::Poison && value.ty.rank() != Some(1) {
                    return self.needs_row(builtin, &value);
                }
                self.call_sampler("shuffle", vec![(0, value)], stream, span)
            }
            Sampler::Permutation => self.permutation(builtin, given[0].1, stream, span),
        }
    }

    fn numbers(
        &mut self,
        builtin: &'static Builtin,
        params: &'static [Parameter],
        given: Vec<(usize, &'a ast::Expr)>,
        stream: Option<LocalId>,
        span: Span,
    ) -> Typed {
        let mut values = Vec::with_capacity(params.len());
        for &(position, arg) in &given {
            let value = self.expr(arg);
            if value.ty == Ty::Poison {
                return value;
            }
            values.push((position, self.required(builtin, &params[position], value)));
        }
        for (position, param) in params.iter().enumerate() {
            if let (true, Some(default)) = (given.iter().all(|(given, _)| *given != position), param.default)
            {
                values.push((position, known(ExprKind::Const(Const::F64(default)), F64, span)));
            }
        }
        self.call_sampler(builtin.name, values, stream, span)
    }

    /// `x[rand_int(0, len(x))]`, or the element that a weight of its own stands for.
    fn choice(
        &mut self,
        builtin: &'static Builtin,
        given: Vec<(usize, &'a ast::Expr)>,
        stream: Option<LocalId>,
        span: Span,
    ) -> Typed {
        let mut array = None;
        let mut weights = None;
        let mut stmts = Vec::new();
        for (position, arg) in given {
            let value = self.expr(arg);
            if value.ty == Ty::Poison {
                return value;
            }
            if value.ty.rank() != Some(1) {
                return self.needs_row(builtin, &value);
            }
            let (place, before) = self.place(value);
            stmts.extend(before);
            *(if position == 0 { &mut array } else { &mut weights }) = Some(place);
        }
        let Some(array) = array else { return self.poison(span) };
        let Type::Array { elem, .. } = array.ty else { return self.poison(span) };
        let size = |array: &Expr| Expr {
            kind: ExprKind::Dim(Box::new(array.clone()), 0),
            ty: I64,
            span: array.span,
        };
        let index = match weights {
            None => {
                if stream.is_none() {
                    self.draws += 1;
                }
                let lo = Box::new(Expr { kind: ExprKind::Const(Const::I64(0)), ty: I64, span });
                let hi = Box::new(require(
                    size(&array),
                    builtin,
                    (1.0, f64::INFINITY),
                    "at least one element",
                    false,
                ));
                Expr { kind: ExprKind::RandInt { stream, lo, hi }, ty: I64, span }
            }
            Some(weights) => {
                let too_many =
                    ExprKind::Binary(BinaryOp::Sub, Box::new(size(&weights)), Box::new(size(&array)));
                let too_many = Expr { kind: too_many, ty: I64, span: weights.span };
                let none = require(too_many, builtin, (0.0, 0.0), "as many weights as elements", false);
                let ty = Ty::Known(weights.ty.clone());
                let weights = Typed { expr: weights, ty };
                let found = self.call_sampler("rand_weighted", vec![(0, weights)], stream, span);
                if found.ty == Ty::Poison {
                    return found;
                }
                let needs = "weights that are not negative, finite, and not all 0";
                let index = require(found.expr, builtin, (0.0, f64::INFINITY), needs, false);
                // The sizes are compared first; their difference is 0 then.
                let sum = ExprKind::Binary(BinaryOp::Add, Box::new(none), Box::new(index));
                Expr { kind: sum, ty: I64, span }
            }
        };
        let element = known(ExprKind::Index(Box::new(array), vec![index]), Type::Scalar(elem), span);
        self.within(stmts, element)
    }

    fn permutation(
        &mut self,
        builtin: &'static Builtin,
        arg: &'a ast::Expr,
        stream: Option<LocalId>,
        span: Span,
    ) -> Typed {
        let value = self.expr(arg);
        if value.ty == Ty::Poison {
            return value;
        }
        match value.ty.rank() {
            None => {
                let count = self.required(builtin, &samplers::COUNT, value);
                self.call_sampler("permutation", vec![(0, count)], stream, span)
            }
            Some(1) => self.call_sampler("permuted", vec![(0, value)], stream, span),
            Some(_) => self.needs_row(builtin, &value),
        }
    }

    /// An argument in the parameter's type and range.
    fn required(&mut self, builtin: &'static Builtin, param: &'static Parameter, value: Typed) -> Typed {
        let span = value.expr.span;
        let expr = match param.whole {
            true => self.whole_number(value, "a count"),
            false => self.fit(value, &F64, Goal::Role("an argument")),
        };
        let ty = expr.ty.clone();
        let checked = require(expr, builtin, (param.least, param.greatest), param.range, true);
        known(checked.kind, ty, span)
    }

    fn call_sampler(
        &mut self,
        name: &str,
        values: Vec<(usize, Typed)>,
        stream: Option<LocalId>,
        span: Span,
    ) -> Typed {
        let checked = samplers::checked();
        let index = checked.by_name[name];
        self.call_func(&checked.funcs[index], Body::Sampler(index), values, stream, span)
    }

    fn names_stream(&self, arg: &ast::Expr) -> bool {
        let ast::ExprKind::Name(name) = &arg.kind else { return false };
        let local = self.lookup(name);
        local.is_some_and(|local| matches!(self.locals[local.0 as usize].ty, Type::Stream(_)))
    }

    /// What makes the blocks of an explicit stream.
    pub fn generator_of(&self, stream: LocalId) -> Generator {
        match self.locals[stream.0 as usize].ty {
            Type::Stream(generator) => generator,
            _ => Generator::default(),
        }
    }

    fn needs_row(&mut self, builtin: &'static Builtin, value: &Typed) -> Typed {
        let shown = value.ty.show();
        self.fail(
            Diagnostic::error(
                format!("`{}` needs an array of one dimension, found {shown}", builtin.name),
                value.expr.span,
                format!("this is {shown}"),
            )
            .help(format!("write `{}`", builtin.usage)),
        )
    }
}

fn require(
    value: Expr,
    builtin: &'static Builtin,
    (least, greatest): (f64, f64),
    needs: &'static str,
    show: bool,
) -> Expr {
    let (ty, span) = (value.ty.clone(), value.span);
    let requirement = Requirement { least, greatest, of: builtin.name, needs, show };
    Expr { kind: ExprKind::Require(Box::new(value), requirement), ty, span }
}
