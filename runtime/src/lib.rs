//! The runtime: object code goes in, results come out.
//!
//! In: an [`Object`](kiln_abi::Object) of the compiler, arrays and scalars of the caller. Out: results in slots, arrays that the caller owns, or
//! one [`Failure`]. Holds: all unsafe code of Kiln lives here; whatever fails, everything that a call allocated is freed, the floating-point
//! environment of the caller is as it was, and the next call works. The number of threads never changes a bit of a result.
//!
//! The way of a call: [`Code::load`] places the bytes in executable pages; [`call`] runs function 0 on the caller's thread; compiled code
//! comes back through the host functions (`host`), above all `HostFn::Loop` (`schedule`), which spreads a loop over a [`Pool`] and combines
//! its reductions in the order of the language (`order`).

mod array;
mod block;
mod call;
mod code;
mod float_env;
mod fork;
mod host;
mod memory;
mod number;
mod order;
mod pool;
mod random;
mod schedule;
mod stop;
#[cfg(test)]
mod tests;
mod timer;

pub use array::{Array, ArrayError, ArrayMut, ArrayRef, MAX_RANK};
pub use block::release_cached;
pub use call::{CallOptions, Failure, Owned, PrintType, PrintValue, Sink, call};
pub use code::{Code, LoadError};
pub use memory::{Buffer, Memory, Refused};
pub use number::Element;
pub use order::Joined;
pub use pool::Pool;
pub use random::{BlockKind, Generator, RawStreams};
pub use schedule::{BlockState, join, run_blocks};
pub use stop::{Attached, CancelToken, StopFlag, StopReason};
pub use timer::{Watch, watch};
