//! Runs a specialisation on the oracle instead of machine code.
//!
//! In: the IR as lowered and checked, arguments. Out: what a call gives. Holds: slow and right; shares with the compiled way only the
//! reading of arguments and the words of errors.

use crate::describe::describe;
use crate::engine::CallOptions;
use crate::error::{Error, Findings};
use crate::source::Source;
use crate::value::{Arg, Value, widen};
use kiln_abi::show;
use kiln_compiler::ir::eval::{self, ArrayData, EvalError, EvalOptions, PrintEvent, Printed};
use kiln_compiler::ir::{self, const_bits, const_scalar, kind_of, scalar_of};
use kiln_lang::types::{Scalar, Type};
use kiln_runtime::{Array, ArrayRef, Element, Memory};
use std::sync::Arc;

/// What the oracle evaluates: a program and the types at its door.
pub(crate) struct Oracle {
    pub(crate) program: ir::Program,
    pub(crate) params: Vec<Type>,
    pub(crate) result: Type,
}

impl Oracle {
    /// Evaluates a call; written arrays are written back.
    pub(crate) fn run(
        &self,
        args: &mut [Arg<'_>],
        options: &CallOptions<'_>,
        memory: &Arc<Memory>,
        source: &Arc<Source>,
    ) -> Result<Value, Error> {
        let mut inputs = Vec::new();
        for (arg, ty) in args.iter().zip(&self.params) {
            input(arg, ty, &mut inputs)?;
        }
        let eval_options = EvalOptions { seed: options.seed, ..EvalOptions::default() };
        let print = |events: &[PrintEvent]| {
            for event in events {
                let text: String = event.parts.iter().map(show_part).collect();
                match options.print {
                    Some(print) => print(&text),
                    None => print!("{text}"),
                }
            }
        };
        let outcome = match eval::eval(&self.program, inputs, &eval_options) {
            Ok(outcome) => outcome,
            Err(EvalError::Check { site, values, prints }) => {
                print(&prints);
                let values: Vec<i64> = values.iter().map(|&value| const_bits(value) as i64).collect();
                let diagnostics = vec![describe(&site, &values)];
                return Err(Error::Runtime(Findings { diagnostics, source: source.clone() }));
            }
            Err(EvalError::Memory) => {
                return Err(Error::Memory { requested: 0, limit: eval_options.max_bytes });
            }
            Err(EvalError::Stopped) => {
                return Err(Error::Limit("the oracle gave up after many steps".to_string()));
            }
            Err(EvalError::Broken(message)) => return Err(Error::Internal(message)),
        };
        print(&outcome.prints);
        if outcome.leaked > 0 {
            return Err(Error::Internal(format!("{} arrays were never freed", outcome.leaked)));
        }
        let mut at = 0;
        for (arg, ty) in args.iter_mut().zip(&self.params) {
            let first = outcome.args.get(at);
            at += flat_len(ty);
            if let (Arg::ArrayMut(array), Some(eval::Arg::Array(data))) = (arg, first) {
                for (position, &word) in data.data.iter().enumerate() {
                    array.set(position, word);
                }
            }
        }
        let mut results = outcome.results.into_iter();
        output(&self.result, &mut results, memory)
    }
}

/// IR parameters that a type takes.
fn flat_len(ty: &Type) -> usize {
    match ty {
        Type::Unit | Type::Stream(_) => 0,
        Type::Scalar(_) | Type::Array { .. } => 1,
        Type::Tuple(items) => items.iter().map(flat_len).sum(),
    }
}

fn input(arg: &Arg<'_>, ty: &Type, inputs: &mut Vec<eval::Arg>) -> Result<(), Error> {
    let mismatch = || Error::Call(format!("an argument does not fit the type {ty}"));
    match (arg, ty) {
        (Arg::Scalar(constant), Type::Scalar(scalar)) => {
            inputs.push(eval::Arg::Scalar(widen(*constant, *scalar).ok_or_else(mismatch)?));
        }
        (Arg::Array(array), Type::Array { .. }) => inputs.push(eval::Arg::Array(data(array))),
        (Arg::ArrayMut(array), Type::Array { .. }) => inputs.push(eval::Arg::Array(data(&array.as_ref()))),
        (Arg::Tuple(args), Type::Tuple(types)) if args.len() == types.len() => {
            for (arg, ty) in args.iter().zip(types) {
                input(arg, ty, inputs)?;
            }
        }
        (Arg::Scalar(_) | Arg::Array(_) | Arg::ArrayMut(_) | Arg::Tuple(_), _) => return Err(mismatch()),
    }
    Ok(())
}

fn data(array: &ArrayRef<'_>) -> ArrayData {
    ArrayData {
        elem: scalar_of(array.kind()),
        dims: array.dims().iter().map(|&size| size as i64).collect(),
        data: (0..array.len()).map(|position| array.get(position)).collect(),
    }
}

fn show_part(part: &Printed) -> String {
    match part {
        Printed::Text(text) => text.clone(),
        Printed::Value(eval::Arg::Scalar(constant)) => {
            show::scalar(kind_of(const_scalar(*constant)), const_bits(*constant))
        }
        Printed::Value(eval::Arg::Array(array)) => {
            let dims: Vec<usize> = array.dims.iter().map(|&size| size as usize).collect();
            show::array(kind_of(array.elem), &dims, &|position| array.data[position])
        }
    }
}

fn output(
    ty: &Type,
    results: &mut impl Iterator<Item = eval::Arg>,
    memory: &Arc<Memory>,
) -> Result<Value, Error> {
    let missing = || Error::Internal("the oracle gave too few results".to_string());
    Ok(match ty {
        Type::Unit | Type::Stream(_) => Value::Unit,
        Type::Tuple(items) => {
            Value::Tuple(items.iter().map(|item| output(item, results, memory)).collect::<Result<_, _>>()?)
        }
        Type::Scalar(scalar) => match results.next().ok_or_else(missing)? {
            eval::Arg::Scalar(constant) => Value::from_bits(*scalar, const_bits(constant)),
            eval::Arg::Array(_) => return Err(missing()),
        },
        Type::Array { .. } => match results.next().ok_or_else(missing)? {
            eval::Arg::Array(array) => Value::Array(from_data(&array, memory)?),
            eval::Arg::Scalar(_) => return Err(missing()),
        },
    })
}

fn from_data(array: &ArrayData, memory: &Arc<Memory>) -> Result<Array, Error> {
    fn make<T: Element>(array: &ArrayData, memory: &Arc<Memory>) -> Result<Array, Error> {
        let dims: Vec<usize> = array.dims.iter().map(|&size| size as usize).collect();
        let elements: Vec<T> = array.data.iter().map(|&word| T::from_slot(word)).collect();
        Array::from_vec(memory, &dims, elements).map_err(|error| Error::Internal(error.to_string()))
    }
    match array.elem {
        Scalar::Bool => make::<bool>(array, memory),
        Scalar::I32 => make::<i32>(array, memory),
        Scalar::I64 => make::<i64>(array, memory),
        Scalar::U32 => make::<u32>(array, memory),
        Scalar::U64 => make::<u64>(array, memory),
        Scalar::F32 => make::<f32>(array, memory),
        Scalar::F64 => make::<f64>(array, memory),
    }
}
