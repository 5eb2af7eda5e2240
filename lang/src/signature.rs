//! What a function takes and gives, as written: for hosts, help and messages.
//!
//! In: a checked module. Out: [`Signature`]s. Holds: nothing is inferred; types are those of the source.

use crate::ast;
use crate::resolve::Checked;
use crate::span::Span;
use crate::spell;
use crate::types::Scalar;

/// A function as written.
#[derive(Clone, Debug, PartialEq)]
pub struct Signature {
    /// Its name.
    pub name: String,
    /// Its parameters, in order.
    pub params: Vec<Param>,
    /// Its declared result, as written.
    pub result: Option<String>,
    /// The comment above it.
    pub doc: String,
    /// `axpy(a: T, x: [T; n], y: mut [T; n])`
    pub text: String,
    /// Its name in the source.
    pub span: Span,
}

/// A parameter as written.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// Its declared type.
    pub ty: Declared,
    /// May the function write its elements?
    pub is_mut: bool,
}

/// A type as written.
#[derive(Clone, Debug, PartialEq)]
pub enum Declared {
    /// No type is written: generic.
    Any,
    /// `f64`
    Scalar(Scalar),
    /// `T`
    Variable(String),
    /// `[T; n, m]`
    Array {
        /// Type of the elements: a scalar or a variable.
        elem: Box<Declared>,
        /// Shape positions as written.
        dims: Vec<String>,
    },
    /// `(f64, i64)`
    Tuple(Vec<Declared>),
}

/// The signature of `func`, if the module has it.
pub fn signature(checked: &Checked, func: &str) -> Option<Signature> {
    checked.by_name.get(func).map(|index| of(&checked.funcs[*index].ast))
}

/// All functions of the module, in the order of the source.
pub fn functions(checked: &Checked) -> Vec<Signature> {
    checked.funcs.iter().map(|func| of(&func.ast)).collect()
}

pub(crate) fn of(func: &ast::Func) -> Signature {
    let params: Vec<String> = func
        .params
        .iter()
        .map(|param| match &param.ty {
            None if param.is_mut => format!("{}: mut", param.name.text),
            None => param.name.text.clone(),
            Some(ty) => {
                let marker = if param.is_mut { "mut " } else { "" };
                format!("{}: {marker}{}", param.name.text, spell::type_expr(ty))
            }
        })
        .collect();
    let result = func.result.as_ref().map(spell::type_expr);
    let arrow = result.as_ref().map_or(String::new(), |result| format!(" -> {result}"));
    Signature {
        name: func.name.text.clone(),
        params: func
            .params
            .iter()
            .map(|param| Param {
                name: param.name.text.clone(),
                ty: param.ty.as_ref().map_or(Declared::Any, declared),
                is_mut: param.is_mut,
            })
            .collect(),
        result,
        doc: func.doc.clone(),
        text: format!("{}({}){arrow}", func.name.text, params.join(", ")),
        span: func.name.span,
    }
}

fn declared(ty: &ast::TypeExpr) -> Declared {
    match &ty.kind {
        ast::TypeExprKind::Name(name) => {
            Scalar::from_name(name).map_or_else(|| Declared::Variable(name.clone()), Declared::Scalar)
        }
        ast::TypeExprKind::Array { elem, dims } => {
            Declared::Array { elem: Box::new(declared(elem)), dims: dims.iter().map(spell::dim).collect() }
        }
        ast::TypeExprKind::Tuple(items) => Declared::Tuple(items.iter().map(declared).collect()),
    }
}
