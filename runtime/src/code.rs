//! Compiled code in memory.
//!
//! In: an [`Object`]. Out: [`Code`], its bytes in executable pages, with the addresses of its functions and what its loops need. Holds: no page is
//! writable and executable at once; the pages go back to the system when the last owner goes.

use kiln_abi::{CodeFn, LANES, LoopInfo, Object, ScalarReduction, identity};
use memmap2::{Mmap, MmapMut};
use std::fmt;
use std::io;
use std::sync::Arc;

/// The code of one specialisation, loaded. A caller keeps it alive by its `Arc` while it runs.
pub struct Code {
    functions: Box<[usize]>,
    loops: Box<[Loop]>,
    bytes: usize,
    /// Held for the addresses in `functions`.
    _pages: Option<Mmap>,
}

/// A loop, with what every run of it needs.
pub(crate) struct Loop {
    pub(crate) info: LoopInfo,
    /// The ordered ones among its scalar reductions.
    pub(crate) ordered: Vec<ScalarReduction>,
    /// Slot of the first accumulator.
    pub(crate) accumulators: usize,
    /// The state that a chunk begins with, array descriptors left 0.
    pub(crate) start: Vec<u64>,
}

/// Why code could not be loaded.
#[derive(Debug)]
pub enum LoadError {
    /// The object contradicts itself; a mistake of the compiler.
    Object(String),
    /// The system gives no executable memory.
    Memory(io::Error),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Object(what) => write!(f, "malformed object: {what}"),
            LoadError::Memory(error) => write!(f, "no executable memory: {error}"),
        }
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LoadError::Object(_) => None,
            LoadError::Memory(error) => Some(error),
        }
    }
}

impl Code {
    /// Places an object in memory of its own.
    ///
    /// # Safety
    /// The bytes are code for this machine that keeps the contract of `kiln_abi` at each of its entries, and `loops` tells the truth about it.
    ///
    /// # Errors
    /// The object names functions that it does not have, or the system gives no memory.
    pub unsafe fn load(object: &Object) -> Result<Arc<Code>, LoadError> {
        let Object { bytes, entries, names: _, loops } = object;
        if entries.is_empty() {
            return Err(LoadError::Object("it has no entry".into()));
        }
        if let Some(entry) = entries.iter().find(|&&entry| entry as usize >= bytes.len()) {
            return Err(LoadError::Object(format!("entry {entry} lies behind its {} bytes", bytes.len())));
        }
        let loops = check_loops(loops, entries.len())?;
        let mut pages = MmapMut::map_anon(bytes.len()).map_err(LoadError::Memory)?;
        pages[..bytes.len()].copy_from_slice(bytes);
        let pages = pages.make_exec().map_err(LoadError::Memory)?;
        flush_instructions(&pages);
        let base = pages.as_ptr().expose_provenance();
        let functions = entries.iter().map(|&entry| base + entry as usize).collect();
        Ok(Arc::new(Code { functions, loops, bytes: bytes.len(), _pages: Some(pages) }))
    }

    /// Functions of this process in place of compiled ones.
    ///
    /// # Safety
    /// They keep the contract of `kiln_abi`.
    #[cfg(test)]
    pub(crate) unsafe fn of_functions(functions: &[CodeFn], loops: &[LoopInfo]) -> Arc<Code> {
        let loops = check_loops(loops, functions.len()).unwrap();
        let functions = functions.iter().map(|&function| function as usize).collect();
        Arc::new(Code { functions, loops, bytes: 0, _pages: None })
    }

    /// Bytes of code and constants.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Addresses of its functions, by number, for profilers.
    pub fn addresses(&self) -> &[usize] {
        &self.functions
    }

    pub(crate) fn function(&self, number: usize) -> CodeFn {
        let address = std::ptr::with_exposed_provenance::<()>(self.functions[number]);
        // SAFETY: `load`'s caller vouched for a function of this type at every entry.
        unsafe { std::mem::transmute::<*const (), CodeFn>(address) }
    }

    pub(crate) fn table(&self) -> *const usize {
        self.functions.as_ptr()
    }

    pub(crate) fn loop_at(&self, number: i64) -> Option<&Loop> {
        self.loops.get(usize::try_from(number).ok()?)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Code({} functions, {} loops, {} bytes)",
            self.functions.len(),
            self.loops.len(),
            self.bytes
        )
    }
}

fn check_loops(loops: &[LoopInfo], functions: usize) -> Result<Box<[Loop]>, LoadError> {
    let check = |info: &LoopInfo| {
        if info.func as usize >= functions {
            return Err(LoadError::Object(format!(
                "a loop at line {} names function {}",
                info.line, info.func
            )));
        }
        Ok(Loop::new(info))
    };
    loops.iter().map(check).collect()
}

impl Loop {
    pub(crate) fn new(info: &LoopInfo) -> Loop {
        let (ordered, unordered): (Vec<_>, Vec<_>) =
            info.scalars.iter().copied().partition(|reduction| reduction.op.is_ordered(reduction.ty));
        let mut start: Vec<u64> = unordered.iter().map(|r| identity(r.op, r.ty)).collect();
        start.extend(ordered.iter().flat_map(|r| [identity(r.op, r.ty); LANES]));
        start.resize(info.partial_slots(), 0);
        Loop { info: info.clone(), accumulators: unordered.len(), ordered, start }
    }

    /// Operator and type of the unordered reductions, in order of their slots.
    pub(crate) fn unordered(&self) -> impl Iterator<Item = ScalarReduction> {
        self.info.scalars.iter().copied().filter(|reduction| !reduction.op.is_ordered(reduction.ty))
    }
}

/// Makes code that was just written visible to the fetch of instructions. x86 does so by itself.
fn flush_instructions(pages: &Mmap) {
    #[cfg(all(target_arch = "aarch64", target_os = "linux"))]
    {
        unsafe extern "C" {
            fn __clear_cache(start: *mut libc::c_char, end: *mut libc::c_char);
        }
        let range = pages.as_ptr_range();
        // SAFETY: the compiler's runtime function, on the range of one mapping.
        unsafe { __clear_cache(range.start.cast_mut().cast(), range.end.cast_mut().cast()) };
    }
    #[cfg(not(all(target_arch = "aarch64", target_os = "linux")))]
    let _ = pages;
}
