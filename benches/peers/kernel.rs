//! Kiln's side of a row: the kernel from its file, its arguments, calls.
//!
//! In: a row, sizes, an engine. Out: a [`Loaded`] kernel that can be called again and again. Holds: arrays are made here, outside of what is
//! timed, and lent to the kernel, as a host program would do.

use super::inputs::{Elem, Number, Spec, element};
use super::rows::Row;
use kiln::{Arg, Array, Engine, Error, Kernel, Type, Value};
use std::path::PathBuf;

/// A row's kernel with its arguments.
pub struct Loaded {
    kernel: Kernel,
    fresh: Option<Kernel>,
    specs: Vec<Spec>,
    held: Vec<Held>,
}

enum Held {
    Scalar(Number),
    Read(Array),
    Written(Array),
}

/// The file of a row's kernel.
pub fn path(row: &Row) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "benches", "peers", "kernels", &format!("{}.kiln", row.name)]
        .iter()
        .collect()
}

/// Its text.
pub fn source(row: &Row) -> String {
    let path = path(row);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

impl Loaded {
    /// Compiles the row's kernel and makes its arguments.
    ///
    /// # Errors
    /// What the kernel uses and Kiln does not know.
    pub fn new(engine: &Engine, row: &Row, sizes: &[i64]) -> Result<Loaded, Error> {
        let module = engine.compile(row.name, &source(row))?;
        let kernel = module.function(row.name)?;
        let fresh = match row.fresh {
            true => Some(module.function(&format!("{}_fresh", row.name))?),
            false => None,
        };
        let specs = (row.args)(sizes);
        let held = specs.iter().map(|spec| hold(engine, spec)).collect();
        let loaded = Loaded { kernel, fresh, specs, held };
        loaded.kernel.specialise(&loaded.types())?;
        Ok(loaded)
    }

    /// The types of the arguments.
    pub fn types(&self) -> Vec<Type> {
        let ty = |held: &Held| match held {
            Held::Scalar(number) => scalar(*number).ty(),
            Held::Read(array) | Held::Written(array) => Arg::from(array).ty(),
        };
        self.held.iter().map(ty).collect()
    }

    /// The arguments of a call.
    pub fn args(&mut self) -> (&Kernel, Vec<Arg<'_>>) {
        (&self.kernel, self.held.iter_mut().map(Held::lend).collect())
    }

    /// The arguments of the form that makes its outputs, if there is one.
    pub fn fresh_args(&self) -> Option<(&Kernel, Vec<Arg<'_>>)> {
        let fresh = self.fresh.as_ref()?;
        Some((fresh, self.held.iter().filter_map(Held::lend_inputs).collect()))
    }

    /// Fills the arguments as they were at first.
    pub fn reset(&mut self) {
        for (spec, held) in self.specs.iter().zip(&mut self.held) {
            if let Held::Read(array) | Held::Written(array) = held {
                fill(spec, array);
            }
        }
    }

    /// The arrays that the kernel writes.
    pub fn outputs(&self) -> Vec<&Array> {
        self.held.iter().filter_map(Held::written).collect()
    }
}

impl Held {
    fn lend(&mut self) -> Arg<'_> {
        match self {
            Held::Scalar(number) => scalar(*number),
            Held::Read(array) => Arg::from(&*array),
            Held::Written(array) => Arg::from(array),
        }
    }

    fn lend_inputs(&self) -> Option<Arg<'_>> {
        match self {
            Held::Scalar(number) => Some(scalar(*number)),
            Held::Read(array) => Some(Arg::from(array)),
            Held::Written(_) => None,
        }
    }

    fn written(&self) -> Option<&Array> {
        match self {
            Held::Written(array) => Some(array),
            Held::Scalar(_) | Held::Read(_) => None,
        }
    }
}

fn scalar(number: Number) -> Arg<'static> {
    match number {
        Number::I64(value) => value.into(),
        Number::F32(value) => value.into(),
        Number::F64(value) => value.into(),
    }
}

fn hold(engine: &Engine, spec: &Spec) -> Held {
    let make = |elem: Elem, dims: &[i64]| {
        let dims: Vec<usize> = dims.iter().map(|&dim| dim as usize).collect();
        let array = match elem {
            Elem::I64 => Array::zeros::<i64>(engine.memory(), &dims),
            Elem::F32 => Array::zeros::<f32>(engine.memory(), &dims),
            Elem::F64 => Array::zeros::<f64>(engine.memory(), &dims),
        };
        let mut array = array.expect("memory for the arguments");
        fill(spec, &mut array);
        array
    };
    match spec {
        Spec::Scalar(number) => Held::Scalar(*number),
        Spec::Input { elem, dims, .. } => Held::Read(make(*elem, dims)),
        Spec::Update { elem, dims, .. } | Spec::Output { elem, dims } => Held::Written(make(*elem, dims)),
    }
}

fn fill(spec: &Spec, array: &mut Array) {
    let at = |i: usize| match spec {
        Spec::Input { seed, low, high, .. } | Spec::Update { seed, low, high, .. } => {
            element(*seed, i, *low, *high)
        }
        Spec::Scalar(_) | Spec::Output { .. } => 0.0,
    };
    if let Some(elements) = array.as_mut_slice::<f64>() {
        elements.iter_mut().enumerate().for_each(|(i, x)| *x = at(i));
    } else if let Some(elements) = array.as_mut_slice::<f32>() {
        elements.iter_mut().enumerate().for_each(|(i, x)| *x = at(i) as f32);
    } else if let Some(elements) = array.as_mut_slice::<i64>() {
        elements.iter_mut().enumerate().for_each(|(i, x)| *x = at(i) as i64);
    }
}

/// An element as `f64`. Panics if there is none.
pub fn number_at(array: &Array, i: usize) -> f64 {
    if let Some(elements) = array.as_slice::<f64>() {
        elements[i]
    } else if let Some(elements) = array.as_slice::<f32>() {
        elements[i].into()
    } else {
        array.as_slice::<i64>().expect("outputs are f64, f32 or i64")[i] as f64
    }
}

/// The arrays in a result.
pub fn arrays(value: &Value) -> Vec<&Array> {
    match value {
        Value::Array(array) => vec![array],
        Value::Tuple(items) => items.iter().flat_map(arrays).collect(),
        _ => Vec::new(),
    }
}
