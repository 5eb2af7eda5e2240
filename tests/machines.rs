//! The ways to run a script: the oracle, and compiled code in many configurations.

use kiln::{Backend, Engine, Error, OptLevel, Options, ScriptOptions};
use std::sync::Mutex;

/// A way to run compiled code.
#[derive(Debug, Clone, Copy)]
pub struct Configuration {
    pub opt_level: OptLevel,
    pub threads: usize,
    pub isa: Option<kiln::IsaCap>,
}

/// Every kernel test runs on all of these, and on the oracle.
pub const CONFIGURATIONS: [Configuration; 9] = [
    Configuration { opt_level: OptLevel::Speed, threads: 1, isa: None },
    Configuration { opt_level: OptLevel::Speed, threads: 2, isa: None },
    Configuration { opt_level: OptLevel::Speed, threads: 3, isa: None },
    Configuration { opt_level: OptLevel::Speed, threads: 7, isa: None },
    Configuration { opt_level: OptLevel::None, threads: 1, isa: None },
    Configuration { opt_level: OptLevel::None, threads: 2, isa: None },
    Configuration { opt_level: OptLevel::None, threads: 3, isa: None },
    Configuration { opt_level: OptLevel::None, threads: 7, isa: None },
    Configuration { opt_level: OptLevel::Speed, threads: 2, isa: Some(kiln::IsaCap::Scalar) },
];

impl Configuration {
    pub fn options(self) -> Options {
        Options {
            threads: Some(self.threads),
            opt_level: self.opt_level,
            isa: self.isa,
            ..Options::default()
        }
    }
}

/// What a script prints, and its error if it has one.
pub fn compiled_output(
    name: &str,
    bytes: &[u8],
    args: &[&str],
    options: Options,
) -> (String, Option<String>) {
    let engine = Engine::new(options);
    let output = Mutex::new(String::new());
    let print = |text: &str| output.lock().expect("no panic while printing").push_str(text);
    let folder = crate::text::root().join(name).parent().map(std::path::Path::to_path_buf);
    let result: Result<(), Error> = engine.compile_bytes(name, bytes).and_then(|module| {
        let options = ScriptOptions {
            args: args.iter().map(|arg| arg.to_string()).collect(),
            print: Some(&print),
            folder,
            ..ScriptOptions::default()
        };
        module.run_script(&options).result
    });
    assert_eq!(engine.memory_used(), 0, "{name}: arrays are left over");
    (output.into_inner().expect("no panic while printing"), result.err().map(|error| error.to_string()))
}

/// The same on the oracle.
pub fn oracle_output(name: &str, text: &str, args: &[&str]) -> (String, Option<String>) {
    compiled_output(name, text.as_bytes(), args, Options { backend: Backend::Oracle, ..Options::default() })
}

/// On the oracle after all passes, as if for a machine with vectors of that level.
pub fn widened_output(name: &str, text: &str, cap: kiln::IsaCap) -> (String, Option<String>) {
    let options = Options { backend: Backend::OracleAfterPasses(cap), ..Options::default() };
    compiled_output(name, text.as_bytes(), &[], options)
}
