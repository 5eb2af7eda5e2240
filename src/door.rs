//! The door between the compiler's bytes and the runtime: the only unsafe code of the facade.
//!
//! In: an object that this engine's compiler made, and an environment that matches its entry. Out: loaded code, results.
//! Holds: nothing reaches `load` but what `kiln_compiler::compile` returned, and nothing reaches `call` but environments built
//! from the entry's own signature, with arrays that stay borrowed for the call.
#![allow(unsafe_code)]

use kiln_abi::Object;
use kiln_runtime::{CallOptions, Code, Failure, LoadError, Memory, Owned, Pool, Sink, StopFlag};
use std::sync::Arc;

/// Places compiled code into executable memory.
pub(crate) fn load(object: &Object) -> Result<Arc<Code>, LoadError> {
    // SAFETY: `object` comes from `kiln_compiler::compile` (the only caller is `Engine::compile_program`), whose backend emits
    // position-independent functions with the signature and conventions of `kiln_abi`.
    unsafe { Code::load(object) }
}

/// A call, complete but for its environment.
pub(crate) struct Call<'a> {
    pub code: &'a Arc<Code>,
    pub pool: &'a Pool,
    pub seed: u64,
    pub stop: &'a StopFlag,
    pub memory: &'a Arc<Memory>,
    pub sink: Sink<'a>,
}

impl Call<'_> {
    /// Runs the entry.
    pub(crate) fn run(&self, env: &mut [u64]) -> Result<Owned, Failure> {
        let options =
            CallOptions { seed: self.seed, stop: self.stop, memory: self.memory, sink: Some(self.sink) };
        // SAFETY: `engine::run`, the only caller, filled `env` from the specialisation's own parameter types and made room for its
        // result; arrays in it are borrowed by `args` until the call is over, and overlap of written ones was refused.
        unsafe { kiln_runtime::call(self.code, self.pool, env, &options) }
    }
}
