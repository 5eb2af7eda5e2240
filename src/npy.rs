//! `.npy` files.
//!
//! In: a path, or an array. Out: an array, or a file. Holds: a file is never trusted: its size is compared with what its header
//! promises before memory is asked for; element types are the seven of the language, little-endian.

use crate::error::Error;
use kiln_abi::ScalarKind;
use kiln_compiler::ir::kind_of;
use kiln_lang::types::{MAX_RANK, Scalar};
use kiln_runtime::{Array, Memory};
use ndarray::{ArrayD, ArrayViewD};
use ndarray_npy::npy::header::Header;
use ndarray_npy::{ReadNpyExt, ReadableElement, WritableElement, WriteNpyExt};
use std::fs::File;
use std::io::{BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

/// Element types as NumPy writes them.
const DESCRIPTORS: [(&str, Scalar); 7] = [
    ("|b1", Scalar::Bool),
    ("<i4", Scalar::I32),
    ("<i8", Scalar::I64),
    ("<u4", Scalar::U32),
    ("<u8", Scalar::U64),
    ("<f4", Scalar::F32),
    ("<f8", Scalar::F64),
];

/// Reads an array, in row-major order whatever the file has.
///
/// # Errors
/// The file cannot be read, is no `.npy` file, is shorter or longer than its header says, or has another element type.
pub fn load(path: &Path, memory: &Arc<Memory>) -> Result<Array, Error> {
    let fail = |text: String| Error::File(format!("`{}`: {text}", path.display()));
    let mut file = BufReader::new(File::open(path).map_err(|error| fail(error.to_string()))?);
    let length = file.get_ref().metadata().map_err(|error| fail(error.to_string()))?.len();
    let header =
        Header::from_reader(&mut file).map_err(|error| fail(format!("this is not a .npy file: {error}")))?;
    let descriptor = match &header.type_descriptor {
        descriptor if descriptor.as_string().is_some() => descriptor.as_string().cloned().unwrap_or_default(),
        _ => return Err(fail("a record array; only plain numbers can be read".to_string())),
    };
    let Some(&(_, scalar)) = DESCRIPTORS.iter().find(|(name, _)| *name == descriptor) else {
        let known: Vec<&str> = Scalar::ALL.iter().map(|scalar| scalar.name()).collect();
        return Err(fail(format!(
            "element type `{descriptor}` is none of {}; convert it with NumPy's `astype`",
            known.join(", ")
        )));
    };
    if header.shape.is_empty() || header.shape.len() > MAX_RANK {
        return Err(fail(format!(
            "an array of rank {}; ranks 1 to {MAX_RANK} can be read",
            header.shape.len()
        )));
    }
    let kind = kind_of(scalar);
    let start = file.stream_position().map_err(|error| fail(error.to_string()))?;
    let wanted = header
        .shape
        .iter()
        .try_fold(kind.bytes() as u64, |bytes, &size| bytes.checked_mul(size as u64))
        .ok_or_else(|| fail("its header promises more than any memory holds".to_string()))?;
    let found = length.saturating_sub(start);
    if wanted != found {
        let relation = if found < wanted { "truncated" } else { "too long" };
        return Err(fail(format!(
            "{relation}: its header promises {wanted} bytes of data, there are {found}"
        )));
    }
    file.seek(SeekFrom::Start(0)).map_err(|error| fail(error.to_string()))?;
    match kind {
        ScalarKind::Bool => read::<bool>(file, memory),
        ScalarKind::I32 => read::<i32>(file, memory),
        ScalarKind::I64 => read::<i64>(file, memory),
        ScalarKind::U32 => read::<u32>(file, memory),
        ScalarKind::U64 => read::<u64>(file, memory),
        ScalarKind::F32 => read::<f32>(file, memory),
        ScalarKind::F64 => read::<f64>(file, memory),
    }
    .map_err(fail)
}

fn read<T: ReadableElement + kiln_runtime::Element>(
    file: BufReader<File>,
    memory: &Arc<Memory>,
) -> Result<Array, String> {
    let array = ArrayD::<T>::read_npy(file).map_err(|error| error.to_string())?;
    let dims = array.shape().to_vec();
    let data: Vec<T> = if array.is_standard_layout() {
        array.into_raw_vec_and_offset().0
    } else {
        array.iter().copied().collect()
    };
    Array::from_vec(memory, &dims, data).map_err(|error| error.to_string())
}

/// Writes an array; NaNs are written in their one canonical form.
///
/// # Errors
/// The file cannot be written.
pub fn save(path: &Path, array: &Array) -> Result<(), Error> {
    let fail = |text: String| Error::File(format!("`{}`: {text}", path.display()));
    let file = File::create(path).map_err(|error| fail(error.to_string()))?;
    let canonical64 = |x: f64| if x.is_nan() { f64::NAN } else { x };
    let canonical32 = |x: f32| if x.is_nan() { f32::NAN } else { x };
    let dims = array.dims();
    match array.kind() {
        ScalarKind::Bool => write(file, dims, array.as_slice::<bool>().unwrap_or_default()),
        ScalarKind::I32 => write(file, dims, array.as_slice::<i32>().unwrap_or_default()),
        ScalarKind::I64 => write(file, dims, array.as_slice::<i64>().unwrap_or_default()),
        ScalarKind::U32 => write(file, dims, array.as_slice::<u32>().unwrap_or_default()),
        ScalarKind::U64 => write(file, dims, array.as_slice::<u64>().unwrap_or_default()),
        ScalarKind::F32 => {
            let data: Vec<f32> =
                array.as_slice::<f32>().unwrap_or_default().iter().map(|&x| canonical32(x)).collect();
            write(file, dims, &data)
        }
        ScalarKind::F64 => {
            let data: Vec<f64> =
                array.as_slice::<f64>().unwrap_or_default().iter().map(|&x| canonical64(x)).collect();
            write(file, dims, &data)
        }
    }
    .map_err(fail)
}

fn write<T: WritableElement>(file: File, dims: &[usize], data: &[T]) -> Result<(), String> {
    let view = ArrayViewD::from_shape(dims, data).map_err(|error| error.to_string())?;
    let mut file = BufWriter::new(file);
    view.write_npy(&mut file).map_err(|error| error.to_string())?;
    file.flush().map_err(|error| error.to_string())
}
