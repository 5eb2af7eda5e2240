//! All tests that need more than one room, in one binary.

mod backend;
mod command;
mod documents;
mod engine;
mod errors;
mod guard;
mod hostile;
mod house;
mod kernels;
mod lanes;
mod machines;
mod peers;
mod random;
mod text;
