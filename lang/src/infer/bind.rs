//! Binds the type variables and types of a function's parameters to the arguments of a call.
//!
//! In: a function as written, what is known of the arguments' types. Out: the parameters' types. Holds: SEMANTICS section 2: arrays bind
//! type variables first, then typed scalars; literals adapt; scalars widen; arrays never convert.

use super::ty::{self, Number, Ty};
use crate::ast::{self, TypeExprKind};
use crate::diag::Diagnostic;
use crate::resolve::Checked;
use crate::span::Span;
use crate::types::{Layout, Scalar, Type};
use std::collections::HashMap;

/// One argument: what is known of its type, and its place.
pub(super) struct Arg {
    pub ty: Ty,
    pub span: Span,
}

/// A type variable with the argument that decided it.
struct Bound<'a> {
    scalar: Scalar,
    param: &'a str,
    span: Span,
}

/// Parameter types for a call from the host.
pub(super) fn entry_params(
    checked: &Checked,
    index: usize,
    args: &[Type],
) -> Result<Vec<Type>, Vec<Diagnostic>> {
    let func = &checked.funcs[index].ast;
    if args.len() != func.params.len() {
        return Err(vec![
            Diagnostic::error(
                format!("`{}` takes {} arguments, {} given", func.name.text, func.params.len(), args.len()),
                func.name.span,
                "called from the host",
            )
            .help(crate::signature::of(func).text),
        ]);
    }
    let args: Vec<Arg> = args
        .iter()
        .zip(&func.params)
        .map(|(ty, param)| Arg { ty: Ty::Known(ty.clone()), span: param.name.span })
        .collect();
    match params(func, &args) {
        Ok(Some(types)) => Ok(types),
        Ok(None) => {
            Err(vec![Diagnostic::error("the types of the arguments are not known", func.name.span, "here")])
        }
        Err(diagnostic) => Err(vec![*diagnostic]),
    }
}

/// The type variables of `func` when its parameters have these types.
pub(super) fn type_vars<'a>(func: &'a ast::Func, params: &[Type]) -> HashMap<&'a str, Scalar> {
    fn add<'a>(written: &'a ast::TypeExpr, ty: &Type, vars: &mut HashMap<&'a str, Scalar>) {
        match (&written.kind, ty) {
            (TypeExprKind::Name(name), Type::Scalar(scalar)) if Scalar::from_name(name).is_none() => {
                vars.insert(name, *scalar);
            }
            (TypeExprKind::Array { elem, .. }, Type::Array { elem: scalar, .. }) => {
                add(elem, &Type::Scalar(*scalar), vars);
            }
            (TypeExprKind::Tuple(written), Type::Tuple(items)) => {
                written.iter().zip(items).for_each(|(written, ty)| add(written, ty, vars));
            }
            _ => {}
        }
    }
    let mut vars = HashMap::new();
    for (param, ty) in func.params.iter().zip(params) {
        if let Some(written) = &param.ty {
            add(written, ty, &mut vars);
        }
    }
    vars
}

/// The types of the parameters; `None` if they hang on a variable whose type is still open, or on something that has errors.
pub(super) fn params(func: &ast::Func, args: &[Arg]) -> Result<Option<Vec<Type>>, Box<Diagnostic>> {
    if args.iter().any(|arg| matches!(arg.ty, Ty::Poison | Ty::Never)) {
        return Ok(None);
    }
    let mut vars: HashMap<&str, Bound<'_>> = HashMap::new();
    let pairs = || func.params.iter().zip(args);

    // arrays first
    for (param, arg) in pairs() {
        let Some(ast::TypeExpr { kind: TypeExprKind::Array { elem, dims }, .. }) = &param.ty else {
            continue;
        };
        let name = &param.name.text;
        let Some(rank) = arg.ty.rank() else {
            return Err(Box::new(
                Diagnostic::error(
                    format!("`{name}` of `{}` is an array, but {} is passed", func.name.text, arg.ty.show()),
                    arg.span,
                    format!("not {}", crate::spell::type_expr(param.ty.as_ref().unwrap_or(elem))),
                )
                .with(param.name.span, "declared here")
                .help("pass the whole array, without an index"),
            ));
        };
        if rank != dims.len() {
            return Err(Box::new(
                Diagnostic::error(
                    format!(
                        "`{name}` of `{}` has {} dimensions, but the array passed has {rank}",
                        func.name.text,
                        dims.len()
                    ),
                    arg.span,
                    format!("{rank} dimensions"),
                )
                .with(param.name.span, "declared here")
                .help(if rank > dims.len() {
                    "there are no views of rows yet: pass the whole array and the row's index".to_string()
                } else {
                    format!("declare it with {rank} sizes, or pass an array with {}", dims.len())
                }),
            ));
        }
        let (TypeExprKind::Name(var), Ty::Known(Type::Array { elem: scalar, .. })) = (&elem.kind, &arg.ty)
        else {
            continue;
        };
        if Scalar::from_name(var).is_some() {
            continue;
        }
        match vars.get(var.as_str()) {
            Some(first) if first.scalar != *scalar => {
                return Err(Box::new(
                    Diagnostic::error(
                        format!(
                            "`{var}` is {} from `{}`, but {scalar} from `{name}`",
                            first.scalar, first.param
                        ),
                        arg.span,
                        format!("elements of type {scalar}"),
                    )
                    .with(first.span, format!("elements of type {}", first.scalar))
                    .note("arrays are never converted on the way into a function")
                    .help("make both arrays with one type, or give the parameters two type variables"),
                ));
            }
            Some(_) => {}
            None => {
                vars.insert(var, Bound { scalar: *scalar, param: name, span: arg.span });
            }
        }
    }

    // then scalars; first those with a type
    let mut open: Vec<(&str, &str, Ty, Span)> = Vec::new();
    let mut scalars: HashMap<&str, Bound<'_>> = HashMap::new();
    for (param, arg) in pairs() {
        let Some(written) = &param.ty else { continue };
        let mut places = Vec::new();
        variables(written, &arg.ty, &mut places);
        for (var, ty) in places {
            if vars.contains_key(var) {
                continue;
            }
            match ty {
                Ty::Known(Type::Scalar(scalar)) => match scalars.get_mut(var) {
                    None => {
                        scalars.insert(var, Bound { scalar, param: &param.name.text, span: arg.span });
                    }
                    Some(first) => match first.scalar.join(scalar) {
                        Some(joined) => first.scalar = joined,
                        None => {
                            return Err(Box::new(
                                Diagnostic::error(
                                    format!(
                                        "`{var}` is {} from `{}`, but {scalar} from `{}`",
                                        first.scalar, first.param, param.name.text
                                    ),
                                    arg.span,
                                    format!("this is {scalar}"),
                                )
                                .with(first.span, format!("this is {}", first.scalar))
                                .help(format!("convert one of them: `{}(…)`", first.scalar)),
                            ));
                        }
                    },
                },
                ty => open.push((var, &param.name.text, ty, arg.span)),
            }
        }
    }
    // then literals
    let mut literals: HashMap<&str, (Number, &str, Span)> = HashMap::new();
    for (var, param, ty, span) in &open {
        let (Ty::Lit(lit, origin) | Ty::FlexArray(lit, origin, _)) = ty else { continue };
        let number = Number::Lit(*lit, *origin);
        let start = match scalars.get(var) {
            Some(bound) => Number::Known(bound.scalar),
            None => number,
        };
        let entry = literals.entry(var).or_insert((start, param, *span));
        entry.0 = ty::common(entry.0, number).unwrap_or(entry.0);
    }
    for (var, (number, param, span)) in literals {
        match number {
            Number::Known(scalar) => {
                vars.insert(var, Bound { scalar, param, span });
            }
            Number::Lit(_, ty::Origin::Var) => return Ok(None),
            Number::Lit(lit, ty::Origin::Text) => {
                vars.insert(var, Bound { scalar: lit.default(), param, span });
            }
        }
    }
    for (var, bound) in scalars {
        vars.entry(var).or_insert(bound);
    }

    let mut types = Vec::with_capacity(args.len());
    for (param, arg) in pairs() {
        let name = &param.name.text;
        let is_size = || {
            let named = |dim: &ast::DimExpr| dim.name.as_ref().is_some_and(|size| size.text == *name);
            func.params.iter().filter_map(|param| param.ty.as_ref()).any(|ty| {
                let mut dims = Vec::new();
                crate::resolve::all_dims(ty, &mut dims);
                dims.into_iter().any(named)
            })
        };
        let ty = match &param.ty {
            Some(written) => filled(written, &arg.ty, &vars),
            None if is_size() => Type::Scalar(Scalar::I64),
            None if arg.ty.waits() => return Ok(None),
            None => arg.ty.settled(),
        };
        check(func, param, arg, &ty, &vars)?;
        types.push(ty);
    }
    Ok(Some(types))
}

// The type variables of a written type, arrays' elements excepted unless open, with what stands there.
fn variables<'a>(written: &'a ast::TypeExpr, ty: &Ty, out: &mut Vec<(&'a str, Ty)>) {
    match &written.kind {
        TypeExprKind::Name(name) if Scalar::from_name(name).is_none() => out.push((name, ty.clone())),
        TypeExprKind::Name(_) => {}
        TypeExprKind::Array { elem, .. } => {
            if let (TypeExprKind::Name(name), Ty::FlexArray(..)) = (&elem.kind, ty)
                && Scalar::from_name(name).is_none()
            {
                out.push((name, ty.clone()));
            }
        }
        TypeExprKind::Tuple(items) => {
            for (item, ty) in items.iter().zip(ty.parts().unwrap_or_default()) {
                variables(item, &ty, out);
            }
        }
    }
}

fn filled(written: &ast::TypeExpr, arg: &Ty, vars: &HashMap<&str, Bound<'_>>) -> Type {
    let scalar = |name: &str| {
        Scalar::from_name(name).or(vars.get(name).map(|bound| bound.scalar)).unwrap_or(Scalar::F64)
    };
    match &written.kind {
        TypeExprKind::Name(name) => Type::Scalar(scalar(name)),
        TypeExprKind::Array { elem, dims } => {
            let elem = match &elem.kind {
                TypeExprKind::Name(name) => scalar(name),
                TypeExprKind::Array { .. } | TypeExprKind::Tuple(_) => Scalar::F64,
            };
            let layout = match arg {
                Ty::Known(Type::Array { layout, .. }) => *layout,
                _ => Layout::Contiguous,
            };
            Type::Array { elem, rank: dims.len() as u8, layout }
        }
        TypeExprKind::Tuple(items) => {
            let parts = arg.parts().unwrap_or_default();
            let part = |index: usize| parts.get(index).cloned().unwrap_or(Ty::Poison);
            Type::Tuple(
                items.iter().enumerate().map(|(index, item)| filled(item, &part(index), vars)).collect(),
            )
        }
    }
}

/// Does a value of this type go where `want` is expected, without being asked to convert?
pub(super) fn accepts(want: &Type, have: &Ty) -> bool {
    match (want, have) {
        (_, Ty::Poison | Ty::Never) => true,
        (Type::Scalar(want), Ty::Known(Type::Scalar(have))) => ty::widens(*have, *want),
        (Type::Scalar(_), Ty::Lit(_, ty::Origin::Var)) => true,
        (Type::Scalar(want), Ty::Lit(lit, ty::Origin::Text)) => lit.adapts_to(*want),
        (Type::Array { rank, .. }, Ty::FlexArray(_, ty::Origin::Var, have)) => usize::from(*rank) == *have,
        (Type::Array { elem, rank, .. }, Ty::FlexArray(lit, ty::Origin::Text, have)) => {
            usize::from(*rank) == *have && lit.adapts_to(*elem)
        }
        (Type::Tuple(want), _) => have.parts().is_some_and(|have| {
            want.len() == have.len() && want.iter().zip(&have).all(|(want, have)| accepts(want, have))
        }),
        (_, Ty::Known(have)) => ty::same_but_layout(want, have),
        _ => false,
    }
}

fn check(
    func: &ast::Func,
    param: &ast::Param,
    arg: &Arg,
    ty: &Type,
    vars: &HashMap<&str, Bound<'_>>,
) -> Result<(), Box<Diagnostic>> {
    let (name, owner) = (&param.name.text, &func.name.text);
    if matches!(ty, Type::Unit | Type::Stream(_)) {
        let (what, help) = match ty {
            Type::Stream(_) => {
                ("a random stream", "pass a number, and make the stream from it there: `let s = rng(i)`")
            }
            _ => ("nothing", "a function without a result gives no value to pass on"),
        };
        return Err(Box::new(
            Diagnostic::error(
                format!("{what} cannot be passed to `{owner}`"),
                arg.span,
                format!("for `{name}`"),
            )
            .help(help),
        ));
    }
    if accepts(ty, &arg.ty) {
        return Ok(());
    }
    let found = arg.ty.show();
    let bound = param.ty.as_ref().and_then(|written| match &written.kind {
        TypeExprKind::Name(var) => vars.get(var.as_str()).map(|bound| (var, bound)),
        TypeExprKind::Array { .. } | TypeExprKind::Tuple(_) => None,
    });
    let diagnostic = match bound {
        Some((var, bound)) if bound.param != name => Diagnostic::error(
            format!("`{var}` is {} from `{}`, but `{name}` is {found}", bound.scalar, bound.param),
            arg.span,
            format!("this is {found}"),
        )
        .with(bound.span, format!("this makes `{var}` {}", bound.scalar)),
        _ => Diagnostic::error(
            format!("`{name}` of `{owner}` is {ty}, but {found} is passed"),
            arg.span,
            format!("this is {found}"),
        )
        .with(param.name.span, "declared here"),
    };
    Err(Box::new(match (ty, &arg.ty) {
        (Type::Scalar(want), Ty::Known(Type::Scalar(_)) | Ty::Lit(..)) => {
            diagnostic.help(format!("convert it: `{want}(…)`"))
        }
        (Type::Scalar(_), found) if found.is_array() => {
            diagnostic.help("pass one element: `x[i]`, or call it in a loop over the elements")
        }
        (Type::Array { elem, .. }, found) if found.is_array() => {
            diagnostic.note("arrays are never converted on the way into a function").help(format!(
                "make the array with {elem} elements, or leave the type of `{name}` open: `[T; n]`"
            ))
        }
        _ => diagnostic.help(format!("pass {ty}")),
    }))
}
