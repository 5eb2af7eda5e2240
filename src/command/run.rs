//! `kiln run FILE [ARGS…]`: a script from start to end.

use super::times::Times;
use super::{RunArgs, read_script};
use kiln::{Engine, Error, Options, ScriptOptions, StopFlag};
use std::io::Write;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Set by Ctrl-C.
static STOP: OnceLock<Arc<StopFlag>> = OnceLock::new();

pub(super) fn run(args: &RunArgs, start: Instant) -> Result<(), Error> {
    let stop = STOP.get_or_init(Arc::default);
    // Without a handler Ctrl-C still ends the process, only less tidily.
    let _ = ctrlc::set_handler(|| {
        if let Some(stop) = STOP.get() {
            if stop.reason().is_some() {
                std::process::exit(130);
            }
            stop.cancel();
        }
    });
    let (name, bytes) = read_script(&args.file)?;
    let mut options = Options { threads: args.threads.map(|threads| threads as usize), ..Options::default() };
    if let Some(megabytes) = args.memory {
        options.memory = megabytes * 1_000_000;
    }
    let engine = Engine::new(options);
    let mut times = Times::new(start);
    let result = engine.compile_bytes(&name, &bytes).and_then(|module| {
        times.module(&module);
        let print = |text: &str| {
            let mut out = std::io::stdout().lock();
            // A reader that has gone away (`| head`) ends the program quietly.
            if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
                std::process::exit(0);
            }
        };
        let note = |text: &str| eprintln!("{text}");
        let run = module.run_script(&ScriptOptions {
            args: args.args.clone(),
            seed: args.seed,
            deadline: args.timeout.map(Duration::from_secs_f64),
            stop: Some(stop),
            print: Some(&print),
            note: Some(&note),
            folder: args.file.parent().map(std::path::Path::to_path_buf),
        });
        times.script(&run);
        run.result
    });
    if args.time {
        eprint!("{}", times.table(&engine));
    }
    result
}
