//! The `kiln` command.
//!
//! In: arguments, files. Out: results on stdout, diagnostics on stderr; exit code 0, 1 for a program's error, 2 for wrong usage, 130
//! after Ctrl-C. Holds: uses nothing but the library.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::Instant;

mod command;

fn main() -> ExitCode {
    command::main(Instant::now())
}
