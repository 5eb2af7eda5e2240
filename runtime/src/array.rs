//! Arrays at the door of compiled code.
//!
//! In: slices of the caller, raw parts of foreign arrays, buffers that a call returned. Out: [`Array`] (owned, row-major), [`ArrayRef`] and
//! [`ArrayMut`] (borrowed, any strides), and their descriptors in slots. Holds: sizes times strides stay inside the memory they were made from;
//! typed access is checked against the element type.

use crate::block::Contents;
use crate::memory::{Buffer, Memory, Refused};
use crate::number::{Element, with_type};
use kiln_abi::{ScalarKind, array_slots};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// The highest rank of an array.
pub const MAX_RANK: usize = 8;

/// Why an array could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArrayError {
    /// More dimensions than [`MAX_RANK`].
    Rank(usize),
    /// The sizes do not multiply to the number of elements given.
    Length {
        /// What the sizes ask for; `None` if it cannot be counted.
        wanted: Option<usize>,
        /// What was given.
        found: usize,
    },
    /// No memory.
    Memory(Refused),
}

impl fmt::Display for ArrayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ArrayError::Rank(rank) => write!(f, "{rank} dimensions: an array has {MAX_RANK} at most"),
            ArrayError::Length { wanted: Some(wanted), found } => {
                write!(f, "the sizes ask for {wanted} elements, found {found}")
            }
            ArrayError::Length { wanted: None, found } => {
                write!(f, "the sizes ask for more elements than can be counted, found {found}")
            }
            ArrayError::Memory(refused) => refused.fmt(f),
        }
    }
}

impl std::error::Error for ArrayError {}

impl From<Refused> for ArrayError {
    fn from(refused: Refused) -> ArrayError {
        ArrayError::Memory(refused)
    }
}

fn elements(dims: &[usize]) -> Option<usize> {
    if dims.contains(&0) {
        return Some(0);
    }
    dims.iter().try_fold(1usize, |product, &dim| product.checked_mul(dim))
}

/// An array that owns its elements, in row-major order.
#[derive(Debug)]
pub struct Array {
    kind: ScalarKind,
    dims: Vec<usize>,
    len: usize,
    buffer: Buffer,
}

impl Array {
    fn with_contents(
        memory: &Arc<Memory>,
        kind: ScalarKind,
        dims: &[usize],
        contents: Contents,
    ) -> Result<Array, ArrayError> {
        if dims.len() > MAX_RANK {
            return Err(ArrayError::Rank(dims.len()));
        }
        let refused = Refused { requested: u64::MAX, limit: memory.limit() };
        let len = elements(dims).ok_or(refused)?;
        let bytes = len.checked_mul(kind.bytes()).ok_or(refused)?;
        let buffer = Buffer::new(memory, bytes, contents)?;
        Ok(Array { kind, dims: dims.to_vec(), len, buffer })
    }

    /// All zero (false).
    pub fn zeros<T: Element>(memory: &Arc<Memory>, dims: &[usize]) -> Result<Array, ArrayError> {
        Array::zeros_of(memory, T::KIND, dims)
    }

    /// All zero (false), of a type known only at run time.
    pub fn zeros_of(memory: &Arc<Memory>, kind: ScalarKind, dims: &[usize]) -> Result<Array, ArrayError> {
        Array::with_contents(memory, kind, dims, Contents::Zero)
    }

    /// A copy of these elements, row-major.
    pub fn from_slice<T: Element>(
        memory: &Arc<Memory>,
        dims: &[usize],
        elements: &[T],
    ) -> Result<Array, ArrayError> {
        ArrayRef::from_slice(dims, elements)?.to_array(memory)
    }

    /// These elements, row-major.
    pub fn from_vec<T: Element>(
        memory: &Arc<Memory>,
        dims: &[usize],
        elements: Vec<T>,
    ) -> Result<Array, ArrayError> {
        Array::from_slice(memory, dims, &elements)
    }

    /// From what a call returned. `None` if the buffer is too small for the sizes, or the rank too high.
    pub fn from_buffer(kind: ScalarKind, dims: Vec<usize>, buffer: Buffer) -> Option<Array> {
        let len = elements(&dims)?;
        let bytes = len.checked_mul(kind.bytes())?;
        if dims.len() > MAX_RANK || bytes > buffer.bytes() {
            return None;
        }
        if kind == ScalarKind::Bool {
            // SAFETY: `len` bytes of a buffer that is ours alone. Whoever calls may be wrong about the type, and a Rust bool is 0 or 1.
            let bytes = unsafe { std::slice::from_raw_parts_mut(buffer.as_ptr(), len) };
            bytes.iter_mut().for_each(|byte| *byte = u8::from(*byte != 0));
        }
        Some(Array { kind, dims, len, buffer })
    }

    /// A copy, on the same account.
    pub fn try_clone(&self) -> Result<Array, ArrayError> {
        self.view().to_array(self.buffer.memory())
    }

    /// Type of the elements.
    pub fn kind(&self) -> ScalarKind {
        self.kind
    }

    /// Sizes, outer to inner.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// No elements?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The elements, row-major, if `T` is their type.
    pub fn as_slice<T: Element>(&self) -> Option<&[T]> {
        // SAFETY: `len` elements of this kind lie in the buffer, at a 64-byte boundary, initialised (`Element`, `allocate`); the borrow of self keeps
        // them from being written or freed.
        (T::KIND == self.kind)
            .then(|| unsafe { std::slice::from_raw_parts(self.buffer.as_ptr().cast(), self.len) })
    }

    /// The elements, row-major, to write.
    pub fn as_mut_slice<T: Element>(&mut self) -> Option<&mut [T]> {
        // SAFETY: as in `as_slice`, and the borrow is unique.
        (T::KIND == self.kind)
            .then(|| unsafe { std::slice::from_raw_parts_mut(self.buffer.as_ptr().cast(), self.len) })
    }

    /// The element at a row-major position, as a slot. Panics if there is none.
    pub fn get(&self, position: usize) -> u64 {
        self.view().get(position)
    }

    /// Borrowed.
    pub fn view(&self) -> ArrayRef<'_> {
        let parts = Parts::contiguous(self.kind, self.buffer.as_ptr(), &self.dims);
        ArrayRef { parts, owner: PhantomData }
    }

    /// Borrowed, to be written.
    pub fn view_mut(&mut self) -> ArrayMut<'_> {
        let parts = Parts::contiguous(self.kind, self.buffer.as_ptr(), &self.dims);
        ArrayMut { parts, owner: PhantomData }
    }
}

/// Where elements lie.
#[derive(Clone, Copy)]
struct Parts {
    ptr: *mut u8,
    kind: ScalarKind,
    rank: u8,
    dims: [usize; MAX_RANK],
    /// In bytes.
    strides: [isize; MAX_RANK],
}

impl Parts {
    /// Row-major without gaps. The rank is at most [`MAX_RANK`].
    fn contiguous(kind: ScalarKind, ptr: *mut u8, dims: &[usize]) -> Parts {
        let mut parts =
            Parts { ptr, kind, rank: dims.len() as u8, dims: [0; MAX_RANK], strides: [0; MAX_RANK] };
        parts.dims[..dims.len()].copy_from_slice(dims);
        let mut stride = kind.bytes() as isize;
        for axis in (0..dims.len()).rev() {
            parts.strides[axis] = stride;
            stride = stride.wrapping_mul(dims[axis] as isize);
        }
        parts
    }

    fn dims(&self) -> &[usize] {
        &self.dims[..usize::from(self.rank)]
    }

    fn strides(&self) -> &[isize] {
        &self.strides[..usize::from(self.rank)]
    }

    fn len(&self) -> usize {
        self.dims().iter().product()
    }

    fn is_contiguous(&self) -> bool {
        let mut wanted = self.kind.bytes() as isize;
        for (&dim, &stride) in self.dims().iter().zip(self.strides()).rev() {
            if dim == 0 {
                return true;
            }
            if dim != 1 && stride != wanted {
                return false;
            }
            wanted *= dim as isize;
        }
        true
    }

    fn write_slots(&self, slots: &mut [u64]) {
        let rank = usize::from(self.rank);
        assert_eq!(slots.len(), array_slots(rank), "slots of an array of rank {rank}");
        slots[0] = self.ptr.expose_provenance() as u64;
        for axis in 0..rank {
            slots[1 + axis] = self.dims[axis] as u64;
            slots[1 + rank + axis] = self.strides[axis] as u64;
        }
    }

    /// Address of the element at a row-major position, as an offset from `ptr`.
    fn offset(&self, mut position: usize) -> isize {
        let mut offset = 0;
        for (&dim, &stride) in self.dims().iter().zip(self.strides()).rev() {
            offset += (position % dim) as isize * stride;
            position /= dim;
        }
        offset
    }

    /// Bytes around `ptr` that the axes chosen span: (lowest, one past the highest).
    fn span(&self, chosen: impl Fn(isize) -> bool) -> (i128, i128) {
        let (mut low, mut high) = (0, self.kind.bytes() as i128);
        for (&dim, &stride) in self.dims().iter().zip(self.strides()) {
            if chosen(stride) {
                let reach = (dim as i128 - 1) * stride as i128;
                low += reach.min(0);
                high += reach.max(0);
            }
        }
        (low, high)
    }

    /// May the two share a byte? Never wrongly no. Yes only where the ranges of addresses meet and no modulus (a stride of either, or what divides
    /// all strides) tells them apart, so interleaved views and column blocks of one matrix are seen to be apart.
    fn overlaps(&self, other: &Parts) -> bool {
        if self.len() == 0 || other.len() == 0 {
            return false;
        }
        let distance = other.ptr.addr() as i128 - self.ptr.addr() as i128;
        let meet = |(low_a, high_a): (i128, i128), (low_b, high_b): (i128, i128), distance: i128| {
            low_a < high_b + distance && low_b + distance < high_a
        };
        if !meet(self.span(|_| true), other.span(|_| true), distance) {
            return false;
        }
        let strides = || {
            let own = self.strides().iter().zip(self.dims());
            own.chain(other.strides().iter().zip(other.dims()))
                .filter(|(_, dim)| **dim > 1)
                .map(|(stride, _)| stride.unsigned_abs())
        };
        let told_apart = |modulus: usize| {
            // Axes whose stride the modulus divides move an element by nothing; the others keep it in a window.
            let moves = |stride: isize| !stride.unsigned_abs().is_multiple_of(modulus);
            let (a, b) = (self.span(moves), other.span(moves));
            let modulus = modulus as i128;
            if a.1 - a.0 > modulus || b.1 - b.0 > modulus {
                return false;
            }
            // Windows as residues: b may meet a itself, or a one modulus to either side.
            let shift = (distance + b.0 - a.0).rem_euclid(modulus);
            let (width_a, width_b) = (a.1 - a.0, b.1 - b.0);
            shift >= width_a && shift + width_b <= modulus
        };
        let divisor = strides().fold(0, gcd);
        !strides().chain([divisor]).any(|modulus| modulus > 0 && told_apart(modulus))
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// A borrowed array, to be read. Any strides.
#[derive(Clone, Copy)]
pub struct ArrayRef<'a> {
    parts: Parts,
    owner: PhantomData<&'a ()>,
}

/// A borrowed array, to be read and written. Any strides; no two elements share a byte.
pub struct ArrayMut<'a> {
    parts: Parts,
    owner: PhantomData<&'a mut ()>,
}

// SAFETY: stands for a shared borrow of elements that are Sync.
unsafe impl Send for ArrayRef<'_> {}
// SAFETY: as above.
unsafe impl Sync for ArrayRef<'_> {}
// SAFETY: stands for a unique borrow of elements that are Send.
unsafe impl Send for ArrayMut<'_> {}
// SAFETY: a shared ArrayMut only reads.
unsafe impl Sync for ArrayMut<'_> {}

fn check(dims: &[usize], found: usize) -> Result<(), ArrayError> {
    if dims.len() > MAX_RANK {
        return Err(ArrayError::Rank(dims.len()));
    }
    let wanted = elements(dims);
    if wanted == Some(found) { Ok(()) } else { Err(ArrayError::Length { wanted, found }) }
}

fn raw_parts(kind: ScalarKind, ptr: *mut u8, dims: &[usize], strides: &[isize]) -> Result<Parts, ArrayError> {
    if dims.len() > MAX_RANK || dims.len() != strides.len() {
        return Err(ArrayError::Rank(dims.len().max(strides.len())));
    }
    let mut parts = Parts { ptr, kind, rank: dims.len() as u8, dims: [0; MAX_RANK], strides: [0; MAX_RANK] };
    parts.dims[..dims.len()].copy_from_slice(dims);
    parts.strides[..dims.len()].copy_from_slice(strides);
    Ok(parts)
}

impl<'a> ArrayRef<'a> {
    /// A slice as a row-major array.
    ///
    /// # Errors
    /// The sizes do not multiply to the length of the slice, or there are too many.
    pub fn from_slice<T: Element>(dims: &[usize], elements: &'a [T]) -> Result<ArrayRef<'a>, ArrayError> {
        check(dims, elements.len())?;
        let ptr = elements.as_ptr().cast::<u8>().cast_mut();
        Ok(ArrayRef { parts: Parts::contiguous(T::KIND, ptr, dims), owner: PhantomData })
    }

    /// An array of foreign memory. Strides are in bytes and may be negative or zero; the pointer is that of element (0, 0, …).
    ///
    /// # Safety
    /// For `'a`, every element that sizes and strides reach is initialised memory of this type (bool: 0 or 1) that nobody writes.
    ///
    /// # Errors
    /// Too many dimensions, or not as many strides.
    pub unsafe fn from_raw(
        kind: ScalarKind,
        ptr: *const u8,
        dims: &[usize],
        strides: &[isize],
    ) -> Result<ArrayRef<'a>, ArrayError> {
        Ok(ArrayRef { parts: raw_parts(kind, ptr.cast_mut(), dims, strides)?, owner: PhantomData })
    }

    /// Type of the elements.
    pub fn kind(&self) -> ScalarKind {
        self.parts.kind
    }

    /// Sizes, outer to inner.
    pub fn dims(&self) -> &[usize] {
        self.parts.dims()
    }

    /// Bytes from one element to the next, per axis.
    pub fn strides(&self) -> &[isize] {
        self.parts.strides()
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// No elements?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Row-major without gaps?
    pub fn is_contiguous(&self) -> bool {
        self.parts.is_contiguous()
    }

    /// Writes pointer, sizes and strides: `1 + 2 * rank` slots, exactly.
    pub fn write_slots(&self, slots: &mut [u64]) {
        self.parts.write_slots(slots);
    }

    /// The element at a row-major position, as a slot. Panics if there is none.
    pub fn get(&self, position: usize) -> u64 {
        assert!(position < self.len(), "element {position} of {}", self.len());
        let offset = self.parts.offset(position);
        // SAFETY: each index is below its size, so this element is one that the constructor vouched for. Foreign strides need not keep
        // elements aligned.
        unsafe {
            let element = self.parts.ptr.offset(offset);
            with_type!(self.parts.kind, T => element.cast::<T>().read_unaligned().to_slot())
        }
    }

    /// A row-major copy that owns its elements.
    pub fn to_array(&self, memory: &Arc<Memory>) -> Result<Array, ArrayError> {
        let array = Array::with_contents(memory, self.kind(), self.dims(), Contents::Anything)?;
        let (len, to) = (self.len(), array.buffer.as_ptr());
        // SAFETY: the new buffer holds `len` elements of this kind and overlaps nothing; sources are as in `get`.
        unsafe {
            if self.is_contiguous() {
                to.copy_from_nonoverlapping(self.parts.ptr, len * self.kind().bytes());
            } else {
                with_type!(self.kind(), T => for position in 0..len {
                    let element = self.parts.ptr.offset(self.parts.offset(position)).cast::<T>().read_unaligned();
                    to.cast::<T>().add(position).write(element);
                });
            }
        }
        Ok(array)
    }
}

impl<'a> ArrayMut<'a> {
    /// A slice as a row-major array.
    ///
    /// # Errors
    /// The sizes do not multiply to the length of the slice, or there are too many.
    pub fn from_slice<T: Element>(dims: &[usize], elements: &'a mut [T]) -> Result<ArrayMut<'a>, ArrayError> {
        check(dims, elements.len())?;
        let ptr = elements.as_mut_ptr().cast();
        Ok(ArrayMut { parts: Parts::contiguous(T::KIND, ptr, dims), owner: PhantomData })
    }

    /// An array of foreign memory. Strides are in bytes and may be negative; the pointer is that of element (0, 0, …).
    ///
    /// # Safety
    /// For `'a`, every element that sizes and strides reach is initialised memory of this type (bool: 0 or 1) that only this array reads and
    /// writes, and no two elements share a byte.
    ///
    /// # Errors
    /// Too many dimensions, or not as many strides.
    pub unsafe fn from_raw(
        kind: ScalarKind,
        ptr: *mut u8,
        dims: &[usize],
        strides: &[isize],
    ) -> Result<ArrayMut<'a>, ArrayError> {
        Ok(ArrayMut { parts: raw_parts(kind, ptr, dims, strides)?, owner: PhantomData })
    }

    /// To be read only; also the way to sizes, strides and elements.
    pub fn as_ref(&self) -> ArrayRef<'_> {
        ArrayRef { parts: self.parts, owner: PhantomData }
    }

    /// Writes pointer, sizes and strides: `1 + 2 * rank` slots, exactly.
    pub fn write_slots(&self, slots: &mut [u64]) {
        self.parts.write_slots(slots);
    }

    /// Replaces the element at a row-major position, given as a slot. Panics if there is none.
    pub fn set(&mut self, position: usize, slot: u64) {
        assert!(position < self.parts.len(), "element {position} of {}", self.parts.len());
        let offset = self.parts.offset(position);
        // SAFETY: as in `ArrayRef::get`, and the borrow is unique; `from_slot` makes a valid element of any slot.
        unsafe {
            let element = self.parts.ptr.offset(offset);
            with_type!(self.parts.kind, T => element.cast::<T>().write_unaligned(T::from_slot(slot)));
        }
    }

    /// May writing this one change the other? Never wrongly no; interleaved views and column blocks of one matrix are seen to be apart.
    pub fn overlaps(&self, other: &ArrayRef<'_>) -> bool {
        self.parts.overlaps(&other.parts)
    }
}

impl fmt::Debug for ArrayRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ArrayRef({:?}, {:?})", self.kind(), self.dims())
    }
}

impl fmt::Debug for ArrayMut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ArrayMut({:?}, {:?})", self.parts.kind, self.parts.dims())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strided<'a>(data: &'a [f64], start: usize, dims: &[usize], strides: &[isize]) -> ArrayRef<'a> {
        let bytes: Vec<isize> = strides.iter().map(|stride| stride * 8).collect();
        // SAFETY: the tests below stay inside `data`, which outlives the view.
        unsafe { ArrayRef::from_raw(ScalarKind::F64, data[start..].as_ptr().cast(), dims, &bytes) }.unwrap()
    }

    #[test]
    fn arrays_check_their_sizes_and_their_type() {
        let memory = Memory::new(1 << 20);
        let mut array = Array::from_vec(&memory, &[2, 3], vec![1i32, 2, 3, 4, 5, 6]).unwrap();
        assert_eq!(array.as_slice::<i32>().unwrap(), [1, 2, 3, 4, 5, 6]);
        assert!(array.as_slice::<f32>().is_none() && array.as_mut_slice::<u32>().is_none());
        array.as_mut_slice::<i32>().unwrap()[5] = -1;
        assert_eq!(array.get(5), u64::from(u32::MAX));
        let copy = array.try_clone().unwrap();
        drop(array);
        assert_eq!((copy.get(0), copy.dims(), copy.len()), (1, &[2, 3][..], 6));
        let mut slots = [0; 5];
        copy.view().write_slots(&mut slots);
        assert_eq!(slots[1..], [2, 3, 12, 4]);
        drop(copy);
        assert_eq!(memory.used(), 0);

        let wrong = Array::from_vec(&memory, &[2, 2], vec![1.0]);
        assert_eq!(wrong.unwrap_err(), ArrayError::Length { wanted: Some(4), found: 1 });
        assert!(matches!(Array::zeros::<f64>(&memory, &[1 << 62, 1 << 62]), Err(ArrayError::Memory(_))));
        assert!(matches!(Array::zeros::<f64>(&memory, &[1_000_000_000_000]), Err(ArrayError::Memory(_))));
        assert_eq!(Array::zeros::<bool>(&memory, &[0, 1 << 62, 1 << 62]).unwrap().len(), 0);
        assert_eq!(Array::zeros::<bool>(&memory, &[1; 9]).unwrap_err(), ArrayError::Rank(9));
    }

    #[test]
    fn strided_views_read_and_copy_in_row_major_order() {
        let data: Vec<f64> = (0..12).map(f64::from).collect();
        let transposed = strided(&data, 0, &[4, 3], &[1, 4]);
        assert_eq!(f64::from_bits(transposed.get(1)), 4.0);
        let copy = transposed.to_array(&Memory::new(u64::MAX)).unwrap();
        assert_eq!(copy.as_slice::<f64>().unwrap()[..4], [0.0, 4.0, 8.0, 1.0]);
        let reversed = strided(&data, 11, &[12], &[-1]);
        assert_eq!(f64::from_bits(reversed.get(11)), 0.0);
        assert!(!reversed.is_contiguous() && strided(&data, 0, &[3, 4], &[4, 1]).is_contiguous());
    }

    /// Compared with the set of bytes, over many small views.
    #[test]
    fn overlap_is_never_wrongly_no() {
        let data = vec![0.0; 64];
        let mut views = Vec::new();
        for start in [0, 1, 2, 3, 20, 40] {
            for (dims, strides) in [
                (&[5][..], &[1][..]),
                (&[5], &[2]),
                (&[5], &[4]),
                (&[3, 2], &[8, 1]),
                (&[3, 4], &[6, 1]),
                (&[2, 3], &[1, 4]),
                (&[0], &[1]),
                (&[], &[]),
                (&[1], &[9]),
            ] {
                views.push((start, dims, strides));
            }
        }
        let bytes = |(start, dims, strides): (usize, &[usize], &[isize])| -> Vec<isize> {
            let parts = strided(&data, start, dims, strides).parts;
            (0..parts.len()).map(|position| start as isize * 8 + parts.offset(position)).collect()
        };
        let mut told_apart = 0;
        for &a in &views {
            for &b in &views {
                let shared = bytes(a).iter().any(|byte| bytes(b).contains(byte));
                let found =
                    strided(&data, a.0, a.1, a.2).parts.overlaps(&strided(&data, b.0, b.1, b.2).parts);
                assert!(found || !shared, "{a:?} and {b:?} share bytes");
                told_apart += usize::from(!found);
            }
        }
        assert!(told_apart > 0);
        let parts = |start, dims: &[usize], strides: &[isize]| strided(&data, start, dims, strides).parts;
        assert!(!parts(0, &[32], &[2]).overlaps(&parts(1, &[31], &[2])), "even and odd elements");
        assert!(
            !parts(0, &[8, 3], &[8, 1]).overlaps(&parts(3, &[7, 5], &[8, 1])),
            "column blocks of one matrix"
        );
        assert!(parts(0, &[8, 4], &[8, 1]).overlaps(&parts(3, &[7, 5], &[8, 1])), "columns that meet");
        assert!(!parts(31, &[32], &[-1]).overlaps(&parts(32, &[32], &[1])), "halves, one reversed");
    }
}
