//! Types calls of builtins.
//!
//! In: a row of [`builtins`] and a call as parsed. Out: tree expressions. Holds: sums and products have the types of SEMANTICS section 5; a reduction
//! over a whole array is the generator over its elements.

use super::expr::{known, letters, over, typed};
use super::literal::{Goal, convert};
use super::ty::{self, Lit, Number, Origin, Ty, Typed};
use super::walk::Walk;
use crate::ast;
use crate::builtins::{Builtin, Kind, Operands};
use crate::diag::Diagnostic;
use crate::span::Span;
use crate::spell;
use crate::tree::{
    Alloc, BinaryOp, Const, Expr, ExprKind, Index, LocalId, LocalKind, LoopAnnotations, MathFn, Reduce,
    ReduceKind, StreamMode, UnaryOp, Variate,
};
use crate::types::{Generator, MAX_RANK, Scalar, Type};

const I64: Type = Type::Scalar(Scalar::I64);
const BOOL: Type = Type::Scalar(Scalar::Bool);

impl<'a, 'i> Walk<'a, 'i> {
    pub fn builtin(
        &mut self,
        builtin: &'static Builtin,
        args: &'a [ast::Expr],
        keywords: &'a [(ast::Name, ast::Expr)],
        generator: Option<&'a ast::Generator>,
        span: Span,
    ) -> Typed {
        match builtin.kind {
            Kind::Math(function, operands) => {
                let mut ordered: Vec<Option<&'a ast::Expr>> = vec![None; builtin.params.len()];
                for (index, arg) in args.iter().enumerate() {
                    if let Some(slot) = ordered.get_mut(index) {
                        *slot = Some(arg);
                    }
                }
                for (keyword, value) in keywords {
                    if let Some(index) = builtin.params.iter().position(|param| *param == keyword.text) {
                        ordered[index] = Some(value);
                    }
                }
                let Some(ordered) = ordered.into_iter().collect::<Option<Vec<_>>>() else {
                    return self.poison(span);
                };
                let values = ordered.into_iter().map(|arg| self.expr(arg)).collect();
                self.math(builtin.name, function, operands, values, span)
            }
            Kind::Extreme(function, kind) => match (generator, args) {
                (Some(generator), _) => self.generator(kind, generator, span),
                (None, [_, _, ..]) => {
                    let mut values: Vec<Typed> = args.iter().map(|arg| self.expr(arg)).collect();
                    let first = values.remove(0);
                    values.into_iter().fold(first, |left, right| {
                        self.math(builtin.name, function, Operands::Number, vec![left, right], span)
                    })
                }
                (None, _) => self.over_array(builtin, kind, args, span),
            },
            Kind::Reduce(kind) => match generator {
                Some(generator) => self.generator(kind, generator, span),
                None => self.over_array(builtin, kind, args, span),
            },
            Kind::Len => self.len(args, builtin, span),
            Kind::Shape => self.shape(args, builtin, span),
            Kind::Copy => {
                let [arg] = args else { return self.usage(builtin, args.len(), span) };
                let value = self.expr(arg);
                if value.ty == Ty::Poison {
                    return value;
                }
                if !value.ty.is_array() {
                    return self.needs_array(builtin, &value);
                }
                self.copy(value, span)
            }
            Kind::Zeros | Kind::Ones | Kind::Full => self.filled(builtin, args, span),
            Kind::Arange | Kind::Linspace => self.spaced(builtin, args, span),
            Kind::Draw(variate) => self.draw(builtin, variate, args, span),
            Kind::RandInt => {
                let (stream, bounds) = match args {
                    [lo, hi] => (None, [lo, hi]),
                    [stream, lo, hi] => (Some(stream), [lo, hi]),
                    _ => return self.usage(builtin, args.len(), span),
                };
                let stream = match stream {
                    None => None,
                    Some(stream) => match self.stream(stream) {
                        None => return self.poison(span),
                        some => some,
                    },
                };
                let [lo, hi] = bounds.map(|bound| {
                    let value = self.expr(bound);
                    Box::new(self.whole_number(value, "a bound of `rand_int`"))
                });
                if stream.is_none() {
                    self.draws += 1;
                }
                known(ExprKind::RandInt { stream, lo, hi }, I64, span)
            }
            Kind::Sample(sampler) => self.sample(builtin, sampler, args, keywords, span),
            Kind::Rng => {
                if args.is_empty() || args.len() > 2 {
                    return self.usage(builtin, args.len(), span);
                }
                let keys = args
                    .iter()
                    .map(|arg| {
                        let value = self.expr(arg);
                        self.whole_number(value, "a key of `rng`")
                    })
                    .collect();
                known(ExprKind::Rng(keys), Type::Stream(self.explicit), span)
            }
            // statements; the resolver has reported others
            Kind::Print => self.fail(
                Diagnostic::error("`print` has no value", span, "used as a value")
                    .help("write it on a line of its own"),
            ),
            Kind::Load | Kind::Save => self.poison(span),
        }
    }

    fn usage(&mut self, builtin: &Builtin, given: usize, span: Span) -> Typed {
        self.fail(
            Diagnostic::error(
                format!(
                    "`{}` does not take {given} argument{}",
                    builtin.name,
                    if given == 1 { "" } else { "s" }
                ),
                span,
                "here",
            )
            .help(format!("write `{}`", builtin.usage)),
        )
    }

    fn needs_array(&mut self, builtin: &Builtin, value: &Typed) -> Typed {
        let shown = value.ty.show();
        let diagnostic = Diagnostic::error(
            format!("`{}` needs an array, found {shown}", builtin.name),
            value.expr.span,
            match &value.expr.kind {
                ExprKind::Index(..) => "this is one element".to_string(),
                _ => format!("this is {shown}"),
            },
        );
        self.fail(match (&value.expr.kind, builtin.kind) {
            (ExprKind::Index(base, _), _) => {
                let array = match &base.kind {
                    ExprKind::Local(local) => self.locals[local.0 as usize].name.clone(),
                    _ => "x".into(),
                };
                diagnostic.help(format!("write `{}({array})` for the whole array", builtin.name))
            }
            (_, Kind::Reduce(_) | Kind::Extreme(..)) => {
                diagnostic.help(format!("over a range write `{}(… for i in 0..n)`", builtin.name))
            }
            _ => diagnostic.help(format!("write `{}`", builtin.usage)),
        })
    }

    /// A fresh array with the elements of `value`.
    pub fn copy(&mut self, value: Typed, span: Span) -> Typed {
        if self.root_of(&value.expr).is_none() {
            return value;
        }
        let ty = match &value.ty {
            Ty::Known(ty) => Ty::Known(ty::contiguous(ty)),
            ty => ty.clone(),
        };
        typed(ExprKind::Copy(Box::new(value.expr)), ty, span)
    }

    // ---- on scalars ----

    pub fn math(
        &mut self,
        name: &str,
        function: MathFn,
        operands: Operands,
        values: Vec<Typed>,
        span: Span,
    ) -> Typed {
        if let Some(array) = values.iter().find(|value| value.ty.is_array()) {
            let (shown, at) = (array.ty.rank().unwrap_or(1), array.expr.span);
            let array_name = match &array.expr.kind {
                ExprKind::Local(local) => self.locals[local.0 as usize].name.clone(),
                _ => "x".into(),
            };
            let (header, indices) = over(&array_name, shown);
            return self.fail(
                Diagnostic::error(
                    format!("`{name}` of a whole array is not there yet"),
                    at,
                    "this is an array",
                )
                .help(format!(
                    "loop over the elements: `{header} {{ y[{indices}] = {name}({array_name}[{indices}]) }}`"
                )),
            );
        }
        let what = format!("`{name}` of");
        let numbers: Vec<Option<Number>> = values.iter().map(|value| self.number(value, &what)).collect();
        let Some(numbers) = numbers.into_iter().collect::<Option<Vec<Number>>>() else {
            return self.poison(span);
        };
        let joined = numbers[1..].iter().try_fold(numbers[0], |left, right| ty::common(left, *right));
        let float = |number: Option<Number>| match number {
            Some(Number::Known(scalar)) if scalar.is_float() => Number::Known(scalar),
            Some(Number::Lit(_, origin)) => Number::Lit(Lit::Float, origin),
            _ => Number::Known(Scalar::F64),
        };
        match operands {
            Operands::Float => {
                let (args, ty) = self.operands(values, float(joined));
                typed(ExprKind::Math(function, args), ty, span)
            }
            Operands::Number => {
                let number = match joined {
                    Some(Number::Known(Scalar::Bool)) => Number::Known(Scalar::I64),
                    Some(number) => number,
                    None => {
                        let shown: Vec<String> = values.iter().map(|value| value.ty.show()).collect();
                        return self.fail(
                            Diagnostic::error(
                                format!("{} have no common type", shown.join(" and ")),
                                span,
                                format!("in `{name}`"),
                            )
                            .help(format!("convert one of them: `{}(…)`", shown[0])),
                        );
                    }
                };
                if function == MathFn::Sign {
                    return self.sign(values, number, span);
                }
                let (args, ty) = self.operands(values, number);
                typed(ExprKind::Math(function, args), ty, span)
            }
            Operands::ToTruth => {
                let scalar = settled(float(joined));
                let args = values.into_iter().map(|value| self.operand(value, scalar)).collect();
                known(ExprKind::Math(function, args), BOOL, span)
            }
            Operands::ToBits => match joined {
                Some(Number::Known(scalar)) if !scalar.is_float() => {
                    let at = values[0].expr.span;
                    self.fail(
                        Diagnostic::error(
                            format!("`{name}` needs a float, found {scalar}"),
                            at,
                            format!("this is {scalar}"),
                        )
                        .help("an int is its own bits; convert with `u64(…)`"),
                    )
                }
                _ => {
                    let scalar = settled(float(joined));
                    let args = values.into_iter().map(|value| self.operand(value, scalar)).collect();
                    let result = if scalar == Scalar::F32 { Scalar::U32 } else { Scalar::U64 };
                    known(ExprKind::Math(function, args), Type::Scalar(result), span)
                }
            },
            Operands::FromBits => {
                let (result, operand) = match joined {
                    Some(Number::Known(Scalar::U32)) => (Scalar::F32, Scalar::U32),
                    Some(Number::Known(Scalar::U64) | Number::Lit(Lit::Int | Lit::Any, _)) => {
                        (Scalar::F64, Scalar::U64)
                    }
                    _ => {
                        let (shown, at) = (values[0].ty.show(), values[0].expr.span);
                        return self.fail(
                            Diagnostic::error(
                                format!("`{name}` needs u32 or u64, found {shown}"),
                                at,
                                format!("this is {shown}"),
                            )
                            .help("convert it: `u64(…)` for an f64, `u32(…)` for an f32"),
                        );
                    }
                };
                let args = values.into_iter().map(|value| self.operand(value, operand)).collect();
                known(ExprKind::Math(function, args), Type::Scalar(result), span)
            }
            Operands::Wide => {
                let want = Type::Scalar(Scalar::U64);
                let args = values
                    .into_iter()
                    .map(|value| self.fit(value, &want, Goal::Role("an operand of `mulhi`")))
                    .collect();
                known(ExprKind::Math(function, args), want, span)
            }
        }
    }

    // Of floats it is an op; of ints, x held within -1 and 1.
    fn sign(&mut self, values: Vec<Typed>, number: Number, span: Span) -> Typed {
        let scalar = match number {
            Number::Lit(Lit::Int, _) => Scalar::I64,
            Number::Known(scalar) => scalar,
            Number::Lit(..) => {
                let (args, ty) = self.operands(values, number);
                return typed(ExprKind::Math(MathFn::Sign, args), ty, span);
            }
        };
        let mut args: Vec<Expr> = values.into_iter().map(|value| self.operand(value, scalar)).collect();
        let ty = Type::Scalar(scalar);
        let constant = |value: Const| Expr { kind: ExprKind::Const(value), ty: ty.clone(), span };
        let kind = match scalar {
            Scalar::I32 => {
                args.extend([constant(Const::I32(-1)), constant(Const::I32(1))]);
                ExprKind::Math(MathFn::Clamp, args)
            }
            Scalar::I64 | Scalar::Bool => {
                args.extend([constant(Const::I64(-1)), constant(Const::I64(1))]);
                ExprKind::Math(MathFn::Clamp, args)
            }
            Scalar::U32 => {
                args.push(constant(Const::U32(1)));
                ExprKind::Math(MathFn::Min, args)
            }
            Scalar::U64 => {
                args.push(constant(Const::U64(1)));
                ExprKind::Math(MathFn::Min, args)
            }
            Scalar::F32 | Scalar::F64 => ExprKind::Math(MathFn::Sign, args),
        };
        known(kind, ty, span)
    }

    // ---- arrays ----

    fn len(&mut self, args: &'a [ast::Expr], builtin: &'static Builtin, span: Span) -> Typed {
        let [arg] = args else { return self.usage(builtin, args.len(), span) };
        if let (ast::ExprKind::Name(name), Some(script)) = (&arg.kind, self.script)
            && name == "args"
            && self.lookup(name).is_none()
        {
            let count = Const::U64(script.args.len() as u64);
            return typed(ExprKind::Const(count), Ty::Lit(Lit::Int, Origin::Text), span);
        }
        let value = self.expr(arg);
        if value.ty == Ty::Poison {
            return value;
        }
        if !value.ty.is_array() {
            return self.needs_array(builtin, &value);
        }
        self.size(value, 0, span)
    }

    fn size(&mut self, value: Typed, axis: usize, span: Span) -> Typed {
        let (place, stmts) = self.place(value);
        self.within(stmts, known(ExprKind::Dim(Box::new(place), axis), I64, span))
    }

    fn shape(&mut self, args: &'a [ast::Expr], builtin: &'static Builtin, span: Span) -> Typed {
        let (array, axis) = match args {
            [array] => (array, None),
            [array, axis] => (array, Some(axis)),
            _ => return self.usage(builtin, args.len(), span),
        };
        let value = self.expr(array);
        if value.ty == Ty::Poison {
            return value;
        }
        let Some(rank) = value.ty.rank() else { return self.needs_array(builtin, &value) };
        if let Some(axis) = axis {
            let number = self.expr(axis);
            let index = super::literal::int_literal(&number.expr);
            return match index {
                Some(index) if (0..rank as i128).contains(&index) => self.size(value, index as usize, span),
                _ => self.fail(
                    Diagnostic::error(
                        format!("the axis must be a number from 0 to {}, written out", rank - 1),
                        axis.span,
                        format!("{rank} dimension{}", if rank == 1 { "" } else { "s" }),
                    )
                    .help("write `shape(x, 0)`"),
                ),
            };
        }
        let (place, stmts) = self.place(value);
        let dims =
            (0..rank).map(|axis| known(ExprKind::Dim(Box::new(place.clone()), axis), I64, span)).collect();
        let tuple = self.tuple(dims, span);
        self.within(stmts, tuple)
    }

    // The element type, if it is written first.
    fn elem_type(&self, args: &'a [ast::Expr]) -> (Option<Scalar>, &'a [ast::Expr]) {
        if let Some((ast::Expr { kind: ast::ExprKind::Name(name), .. }, rest)) = args.split_first()
            && self.lookup(name).is_none()
            && let Some(scalar) = self.scalar_named(name)
        {
            return (Some(scalar), rest);
        }
        (None, args)
    }

    fn filled(&mut self, builtin: &'static Builtin, args: &'a [ast::Expr], span: Span) -> Typed {
        let (elem, mut rest) = self.elem_type(args);
        let mut value = None;
        if builtin.kind == Kind::Full {
            let Some((first, sizes)) = rest.split_first() else {
                return self.usage(builtin, args.len(), span);
            };
            value = Some(self.expr(first));
            rest = sizes;
        }
        if rest.is_empty() || rest.len() > MAX_RANK {
            return self.usage(builtin, args.len(), span);
        }
        let sizes: Vec<Expr> = rest
            .iter()
            .map(|size| {
                let size = self.expr(size);
                self.whole_number(size, "a size")
            })
            .collect();
        let rank = sizes.len();
        let ty = match (elem, &value) {
            (Some(elem), _) => Ty::Known(Type::array(elem, rank)),
            (None, None) => Ty::FlexArray(Lit::Any, Origin::Text, rank),
            (None, Some(value)) => match self.number(value, "filling an array with") {
                Some(Number::Known(scalar)) => Ty::Known(Type::array(scalar, rank)),
                Some(Number::Lit(lit, origin)) => Ty::FlexArray(lit, origin, rank),
                None => return self.poison(span),
            },
        };
        let alloc = match (builtin.kind, value) {
            (Kind::Full, Some(value)) => {
                let value = match (elem, &ty) {
                    (Some(elem), _) => {
                        self.fit(value, &Type::Scalar(elem), Goal::Role("the value of `full`"))
                    }
                    (None, Ty::Known(_)) => self.settle(value),
                    _ => value.expr,
                };
                Alloc::Full(Box::new(value), sizes)
            }
            (Kind::Ones, _) => Alloc::Ones(sizes),
            _ => Alloc::Zeros(sizes),
        };
        typed(ExprKind::Alloc(alloc), ty, span)
    }

    fn spaced(&mut self, builtin: &'static Builtin, args: &'a [ast::Expr], span: Span) -> Typed {
        let (elem, rest) = self.elem_type(args);
        let is_range = builtin.kind == Kind::Arange;
        if rest.is_empty() || rest.len() > 3 || (!is_range && rest.len() != 3) {
            return self.usage(builtin, args.len(), span);
        }
        let mut values: Vec<Typed> = rest.iter().map(|arg| self.expr(arg)).collect();
        let count = if is_range { None } else { values.pop() };
        let what = format!("`{}` of", builtin.name);
        let numbers: Vec<Option<Number>> = values.iter().map(|value| self.number(value, &what)).collect();
        let Some(numbers) = numbers.into_iter().collect::<Option<Vec<Number>>>() else {
            return self.poison(span);
        };
        let joined = numbers[1..].iter().try_fold(numbers[0], |left, right| ty::common(left, *right));
        let Some(number) = joined else {
            return self.fail(
                Diagnostic::error(
                    format!("the bounds of `{}` have no common type", builtin.name),
                    span,
                    "i64 and u64",
                )
                .help("convert one of them: `i64(…)`"),
            );
        };
        let scalar = match elem.unwrap_or(settled(number)) {
            Scalar::Bool => Scalar::I64,
            scalar if !is_range && !scalar.is_float() => Scalar::F64,
            scalar => scalar,
        };
        let want = Type::Scalar(scalar);
        let mut parts: Vec<Expr> =
            values.into_iter().map(|value| self.fit(value, &want, Goal::Role("a bound"))).collect();
        let constant = |value: i64| {
            let int = Expr { kind: ExprKind::Const(Const::I64(value)), ty: I64, span };
            match scalar {
                Scalar::F64 => {
                    Expr { kind: ExprKind::Const(Const::F64(value as f64)), ty: want.clone(), span }
                }
                Scalar::F32 => {
                    Expr { kind: ExprKind::Const(Const::F32(value as f32)), ty: want.clone(), span }
                }
                _ => convert(int, scalar),
            }
        };
        let alloc = match (count, parts.len()) {
            (Some(count), _) => {
                let count = self.whole_number(count, "the count of `linspace`");
                let hi = parts.pop().unwrap_or_else(|| constant(1));
                let lo = parts.pop().unwrap_or_else(|| constant(0));
                Alloc::Linspace(Box::new(lo), Box::new(hi), Box::new(count))
            }
            (None, 1) => {
                Alloc::Arange(Box::new(constant(0)), Box::new(parts.remove(0)), Box::new(constant(1)))
            }
            (None, length) => {
                let step = if length == 3 { parts.remove(2) } else { constant(1) };
                let hi = parts.remove(1);
                Alloc::Arange(Box::new(parts.remove(0)), Box::new(hi), Box::new(step))
            }
        };
        known(ExprKind::Alloc(alloc), Type::array(scalar, 1), span)
    }

    // ---- random numbers ----

    fn draw(
        &mut self,
        builtin: &'static Builtin,
        variate: Variate,
        args: &'a [ast::Expr],
        span: Span,
    ) -> Typed {
        let named = |walk: &Self, arg: &ast::Expr| match &arg.kind {
            ast::ExprKind::Name(name) if walk.lookup(name).is_none() => walk.scalar_named(name),
            _ => None,
        };
        let (stream, scalar, written) = match args {
            [] => (None, Scalar::F64, None),
            [only] => match named(self, only) {
                Some(scalar) => (None, scalar, Some(only)),
                None => (Some(only), Scalar::F64, None),
            },
            [stream, ty] => match named(self, ty) {
                Some(scalar) => (Some(stream), scalar, Some(ty)),
                None => return self.usage(builtin, args.len(), span),
            },
            _ => return self.usage(builtin, args.len(), span),
        };
        if let (false, Some(written)) = (scalar.is_float(), written) {
            return self.fail(
                Diagnostic::error(
                    format!("`{}` draws floats, not {scalar}", builtin.name),
                    written.span,
                    "not a float type",
                )
                .help("for ints write `rand_int(lo, hi)`"),
            );
        }
        let stream = match stream {
            None => {
                self.draws += 1;
                None
            }
            Some(stream) => match self.stream(stream) {
                None => return self.poison(span),
                some => some,
            },
        };
        known(ExprKind::Draw(variate, stream), Type::Scalar(scalar), span)
    }

    // A name of a stream that may be drawn from here.
    pub fn stream(&mut self, arg: &'a ast::Expr) -> Option<LocalId> {
        let value = self.expr(arg);
        match (&value.ty, &value.expr.kind) {
            (Ty::Known(Type::Stream(_)), ExprKind::Local(local)) => {
                let local = *local;
                if self.vars[local.0 as usize].loops < self.loops {
                    let (name, declared) = {
                        let found = &self.locals[local.0 as usize];
                        (found.name.clone(), found.span)
                    };
                    self.report(
                        Diagnostic::error(
                            format!("`{name}` cannot be drawn from in this annotated loop"),
                            arg.span,
                            "which iteration would draw first is not fixed",
                        )
                        .with(declared, "made outside the loop")
                        .help(format!("make a stream per iteration inside the loop: `let {name} = rng(i)`")),
                    );
                }
                Some(local)
            }
            (Ty::Known(Type::Stream(_)), _) => {
                self.report(
                    Diagnostic::error("a stream has a name", arg.span, "would be forgotten after one draw")
                        .help("bind it first: `let s = rng(i)`"),
                );
                None
            }
            (Ty::Poison, _) => None,
            (ty, _) => {
                let shown = ty.show();
                self.report(
                    Diagnostic::error(format!("a random stream is needed, found {shown}"), arg.span, format!("this is {shown}"))
                        .help("bind one: `let s = rng(i)`, then `rand(s)`; to draw from the current stream write `rand()`"),
                );
                None
            }
        }
    }

    // ---- reductions ----

    fn over_array(
        &mut self,
        builtin: &'static Builtin,
        kind: ReduceKind,
        args: &'a [ast::Expr],
        span: Span,
    ) -> Typed {
        let [arg] = args else { return self.usage(builtin, args.len(), span) };
        if let ast::ExprKind::List(items) = &arg.kind {
            let help = match builtin.kind {
                Kind::Extreme(..) => format!("write `{}({})`", builtin.name, spell::list(items)),
                _ => format!("bind it first: `let x = [{}]`", spell::list(items)),
            };
            return self.fail(
                Diagnostic::error(
                    format!("`{}` takes an array or a generator", builtin.name),
                    arg.span,
                    "a list",
                )
                .help(help),
            );
        }
        let value = self.expr(arg);
        if value.ty == Ty::Poison {
            return value;
        }
        let Some(rank) = value.ty.rank() else { return self.needs_array(builtin, &value) };
        let elem = value.ty.elem();
        let elem = if value.ty.waits() { elem } else { Ty::Known(elem.settled()) };
        let (place, stmts) = self.place(value);
        self.open_block();
        let names: Vec<LocalId> = letters(rank)
            .split(", ")
            .map(|name| self.add_local(&format!("<{name}>"), LocalKind::Index, Ty::Known(I64), span))
            .collect();
        let indices = names
            .iter()
            .enumerate()
            .map(|(axis, local)| Index {
                local: *local,
                lo: Expr { kind: ExprKind::Const(Const::I64(0)), ty: I64, span },
                hi: Expr { kind: ExprKind::Dim(Box::new(place.clone()), axis), ty: I64, span },
                inclusive: false,
                step: None,
            })
            .collect();
        let at = names.iter().map(|local| Expr { kind: ExprKind::Local(*local), ty: I64, span }).collect();
        let shown = elem.settled();
        let term = Typed {
            expr: Expr { kind: ExprKind::Index(Box::new(place), at), ty: shown, span: arg.span },
            ty: elem,
        };
        self.close_block();
        let reduce = self.reduce(kind, indices, None, term, LoopAnnotations::default(), false, span);
        self.within(stmts, reduce)
    }

    fn generator(&mut self, kind: ReduceKind, generator: &'a ast::Generator, span: Span) -> Typed {
        let annotations = self.annotations(&generator.annotations);
        let ranges = self.ranges(&generator.indices);
        let drawn = self.draws;
        let outer = self.enter_loop(&annotations);
        self.open_block();
        let indices = self.declare_indices(&generator.indices, ranges);
        let filter = generator.filter.as_ref().map(|filter| {
            let value = self.expr(filter);
            self.truth(value, "the filter of a generator")
        });
        let term = self.expr(&generator.term);
        self.close_block();
        self.leave_loop(annotations.is_annotated(), outer);
        let draws = self.draws > drawn;
        self.reduce(kind, indices, filter, term, annotations, draws, span)
    }

    #[allow(clippy::too_many_arguments)]
    fn reduce(
        &mut self,
        kind: ReduceKind,
        indices: Vec<Index>,
        filter: Option<Expr>,
        term: Typed,
        annotations: LoopAnnotations,
        draws: bool,
        span: Span,
    ) -> Typed {
        use ReduceKind::*;
        if matches!(kind, Any | All) {
            let term = self.truth(term, if kind == Any { "`any`" } else { "`all`" });
            let reduce = Reduce { kind, indices, filter, term, product: None, annotations, draws };
            return known(ExprKind::Reduce(Box::new(reduce)), BOOL, span);
        }
        let Some(number) = self.number(&term, "reducing") else { return self.poison(span) };
        let waits = term.ty.waits();
        let own = settled(number);
        let scalar = match (kind, own) {
            (Sum | Prod, Scalar::Bool | Scalar::I32) => Scalar::I64,
            (Sum | Prod, Scalar::U32) => Scalar::U64,
            (Mean, own) if !own.is_float() => Scalar::F64,
            (Min | Max | Argmin | Argmax, Scalar::Bool) => Scalar::I64,
            (Sum | Prod | Mean | Min | Max | Argmin | Argmax | Any | All, own) => own,
        };
        let result = if matches!(kind, Argmin | Argmax) { I64 } else { Type::Scalar(scalar) };
        let mut term = self.operand(term, scalar);
        let mut product = None;
        if kind == Sum && scalar.is_float() {
            match split_product(term) {
                Ok((left, right)) => {
                    // the factors carry the term; what stands for it only shows its type
                    let zero = if scalar == Scalar::F32 { Const::F32(0.0) } else { Const::F64(0.0) };
                    term = Expr {
                        kind: ExprKind::Const(zero),
                        ty: result.clone(),
                        span: left.span.to(right.span),
                    };
                    product = Some((left, right));
                }
                Err(whole) => term = *whole,
            }
        }
        let reduce = Reduce { kind, indices, filter, term, product, annotations, draws };
        let ty = match number {
            Number::Lit(lit, origin) if waits && !matches!(kind, Argmin | Argmax) => {
                Ty::Lit(if kind == Mean { Lit::Float } else { lit }, origin)
            }
            _ => Ty::Known(result),
        };
        typed(ExprKind::Reduce(Box::new(reduce)), ty, span)
    }

    // ---- loops, shared with statements ----

    /// Enters a loop: in one under the root stream, what draws draws from the iteration's stream; `@rng(…)` says what makes its blocks.
    pub fn enter_loop(&mut self, annotations: &LoopAnnotations) -> Around {
        let outer = Around { mode: self.mode, generator: self.generator, explicit: self.explicit };
        if outer.mode == StreamMode::Root {
            self.mode = StreamMode::Inner;
        }
        if let Some(generator) = annotations.generator {
            (self.generator, self.explicit) = (generator, generator);
        }
        self.loops += usize::from(annotations.is_annotated());
        outer
    }

    pub fn leave_loop(&mut self, annotated: bool, outer: Around) {
        self.loops -= usize::from(annotated);
        (self.mode, self.generator, self.explicit) = (outer.mode, outer.generator, outer.explicit);
    }
}

/// What is drawn from outside a loop.
pub(super) struct Around {
    mode: StreamMode,
    generator: Generator,
    explicit: Generator,
}

fn settled(number: Number) -> Scalar {
    match number {
        Number::Known(scalar) => scalar,
        Number::Lit(lit, _) => lit.default(),
    }
}

/// The factors of a float product in its own type, parentheses ignored, a leading minus inside a factor; else the expression as it was.
pub(super) fn split_product(expr: Expr) -> Result<(Expr, Expr), Box<Expr>> {
    fn is_product(expr: &Expr) -> bool {
        let is_float = expr.ty.as_scalar().is_some_and(Scalar::is_float);
        match &expr.kind {
            ExprKind::Binary(BinaryOp::Mul, ..) => is_float,
            ExprKind::Unary(UnaryOp::Neg, operand) => is_product(operand),
            _ => false,
        }
    }
    if !is_product(&expr) {
        return Err(Box::new(expr));
    }
    let mut negative = false;
    let mut inner = expr;
    loop {
        match inner.kind {
            ExprKind::Unary(UnaryOp::Neg, operand) => {
                negative = !negative;
                inner = *operand;
            }
            ExprKind::Binary(BinaryOp::Mul, left, right) => {
                let left = if negative { negated(*left) } else { *left };
                return Ok((left, *right));
            }
            _ => return Err(Box::new(inner)),
        }
    }
}

/// `-x`
pub(super) fn negated(expr: Expr) -> Expr {
    let (ty, span) = (expr.ty.clone(), expr.span);
    let kind = match expr.kind {
        ExprKind::Const(Const::F64(value)) => ExprKind::Const(Const::F64(-value)),
        ExprKind::Const(Const::F32(value)) => ExprKind::Const(Const::F32(-value)),
        ExprKind::Const(Const::I64(value)) => ExprKind::Const(Const::I64(value.wrapping_neg())),
        ExprKind::Const(Const::I32(value)) => ExprKind::Const(Const::I32(value.wrapping_neg())),
        kind => ExprKind::Unary(UnaryOp::Neg, Box::new(Expr { kind, ty: ty.clone(), span })),
    };
    Expr { kind, ty, span }
}
