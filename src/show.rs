//! Stages of a compilation as text.
//!
//! In: a source, a function, argument types. Out: the syntax tree, the IR, the backend's input, machine code. Holds: shows what a call
//! would get, from the same functions.

use crate::engine::{Engine, compile_error};
use crate::error::{Error, Findings};
use kiln_compiler::report::Report;
use kiln_compiler::{backend, compile};
use kiln_compiler::{ir, pipeline};
use kiln_lang::signature::{Declared, Signature};
use kiln_lang::types::{MAX_RANK, Scalar, Type};

/// What to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The syntax tree.
    Ast,
    /// The IR: as lowered and checked, or after a pass.
    Ir {
        /// The pass; `None` is before the first.
        after: Option<String>,
    },
    /// Cranelift's input.
    Clif,
    /// Machine code.
    Asm,
}

/// Shows a stage of one function (the first, if none is named) for these argument types (as declared, if none are given).
///
/// # Errors
/// Mistakes in the source; unknown functions, types or passes.
pub fn show(
    engine: &Engine,
    name: &str,
    bytes: &[u8],
    stage: &Stage,
    function: Option<&str>,
    types: Option<&str>,
) -> Result<String, Error> {
    let module = engine.compile_bytes(name, bytes)?;
    let source = module.source();
    if *stage == Stage::Ast {
        let (ast, _) = kiln_lang::parser::parse(kiln_lang::span::SourceId(0), &source.text);
        return Ok(kiln_lang::ast_text::ast_text(&ast));
    }
    let functions = module.functions();
    let chosen = match function {
        Some(function) => functions.iter().find(|signature| signature.name == function),
        None => functions.first(),
    };
    let Some(signature) = chosen else {
        let names: Vec<&str> = functions.iter().map(|signature| signature.name.as_str()).collect();
        let wanted = function.map_or(String::new(), |function| format!(" `{function}`"));
        return Err(Error::Call(format!("`{name}` has no function{wanted}; it has: {}", names.join(", "))));
    };
    let types = match types {
        Some(types) => parse_types(types)?,
        None => default_types(signature),
    };
    let program = kiln_lang::infer::infer(module.checked(), &signature.name, &types)
        .map_err(|diagnostics| Error::Program(Findings { diagnostics, source: source.clone() }))?;
    if let Stage::Ir { after } = stage {
        let mut ir = compile::checked_ir(&program)
            .map_err(|diagnostics| Error::Program(Findings { diagnostics, source: source.clone() }))?;
        if let Some(after) = after {
            if pipeline::find(after).is_none() {
                let names: Vec<&str> = pipeline::PASSES.iter().map(|pass| pass.name).collect();
                return Err(Error::Call(format!(
                    "there is no pass `{after}`; in order: {}",
                    names.join(", ")
                )));
            }
            let shape = backend::vectors(engine.target());
            let options = pipeline::Options { after: Some(after), text: &source.text, shape };
            pipeline::run(&mut ir, &options, &mut Report::default());
        }
        return Ok(ir::print(&ir));
    }
    let options = compile::Options { listing: true, ..engine.compile_options(&source.text) };
    let compiled = compile::compile(&program, engine.target(), &options)
        .map_err(|failure| compile_error(failure, source))?;
    let listing = if *stage == Stage::Clif { compiled.clif } else { compiled.asm };
    Ok(listing.unwrap_or_default())
}

/// The declared types; generic parameters as f64, arrays contiguous.
fn default_types(signature: &Signature) -> Vec<Type> {
    signature.params.iter().map(|param| default_type(&param.ty)).collect()
}

fn default_type(declared: &Declared) -> Type {
    match declared {
        Declared::Any | Declared::Variable(_) => Type::Scalar(Scalar::F64),
        Declared::Scalar(scalar) => Type::Scalar(*scalar),
        Declared::Array { elem, dims } => {
            Type::array(default_type(elem).as_scalar().unwrap_or(Scalar::F64), dims.len().clamp(1, MAX_RANK))
        }
        Declared::Tuple(items) => Type::Tuple(items.iter().map(default_type).collect()),
    }
}

/// Reads `i64, [f64; n, m]`: scalars and arrays, whose sizes only count.
///
/// # Errors
/// What is no type.
pub fn parse_types(text: &str) -> Result<Vec<Type>, Error> {
    let fail = |part: &str| {
        Error::Call(format!("`{part}` is no type; write for example --types \"i64, [f64; n], [f32; n, m]\""))
    };
    let mut types = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end = if rest.starts_with('[') { rest.find(']').map(|at| at + 1) } else { rest.find(',') };
        let (part, after) = match end {
            Some(end) => rest.split_at(end),
            None if rest.starts_with('[') => return Err(fail(rest)),
            None => (rest, ""),
        };
        let part = part.trim();
        let ty = match part.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
            Some(inner) => {
                let (elem, dims) = inner.split_once(';').ok_or_else(|| fail(part))?;
                let rank = dims.split(',').count();
                let elem = Scalar::from_name(elem.trim()).ok_or_else(|| fail(part))?;
                if rank > MAX_RANK {
                    return Err(fail(part));
                }
                Type::array(elem, rank)
            }
            None => Type::Scalar(Scalar::from_name(part).ok_or_else(|| fail(part))?),
        };
        types.push(ty);
        rest = after.trim_start().strip_prefix(',').unwrap_or(after.trim_start()).trim_start();
        if !after.trim_start().is_empty() && !after.trim_start().starts_with(',') {
            return Err(fail(after.trim()));
        }
    }
    Ok(types)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_as_written_in_a_signature() {
        let types = parse_types("i64, [f64; n, m] , bool").unwrap();
        let wanted = [Type::Scalar(Scalar::I64), Type::array(Scalar::F64, 2), Type::Scalar(Scalar::Bool)];
        assert_eq!(types, wanted);
        assert!(parse_types("").unwrap().is_empty());
        for wrong in ["int", "[f64]", "[f64; n", "[i63; n]", "f64 f64", "[f64; n] i64"] {
            assert!(parse_types(wrong).is_err(), "{wrong}");
        }
    }
}
