//! What the command line says, and who does it.
//!
//! In: the arguments. Out: an exit code. Holds: one subcommand, one file.

mod check;
mod random;
mod run;
mod show;
mod times;

use clap::{Args, Parser, Subcommand};
use kiln::{Error, Style};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Kiln compiles small numeric kernels in about a millisecond and runs them on all cores, with the same bits everywhere.
#[derive(Parser)]
#[command(
    name = "kiln",
    version,
    after_help = "Examples:\n  \
        kiln run examples/monte_carlo_pi.kiln            run a script\n  \
        kiln examples/monte_carlo_pi.kiln 1000           the same, with an argument (`args.0`)\n  \
        echo 'print(2 ** 10)' | kiln -                   read the script from standard input\n  \
        kiln run --time --threads 2 script.kiln          where the time goes\n  \
        kiln check script.kiln                           report mistakes, run nothing\n  \
        kiln show script.kiln --stage ir --fn f --types \"i64, [f64; n]\""
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a script (`kiln FILE` is short for it)
    Run(RunArgs),
    /// Report the mistakes of a script without running it
    Check(CheckArgs),
    /// Print a stage of the compilation
    Show(ShowArgs),
    /// Write random words to standard output, for test batteries
    Random(RandomArgs),
}

#[derive(Args)]
struct RunArgs {
    /// The script; `-` reads standard input
    file: PathBuf,
    /// Arguments of the script: `args.0`, `args.1`, …
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
    /// Worker threads [default: KILN_NUM_THREADS, RAYON_NUM_THREADS, OMP_NUM_THREADS, or the cores of this process]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: Option<u32>,
    /// Seed of the random numbers
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Stop after this many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<f64>,
    /// Memory that the script's arrays may take
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u64).range(1..=16_000_000))]
    memory: Option<u64>,
    /// Print where the time went, on stderr
    #[arg(long)]
    time: bool,
}

#[derive(Args)]
struct CheckArgs {
    /// The script; `-` reads standard input
    file: PathBuf,
}

#[derive(Args)]
struct ShowArgs {
    /// The script; `-` reads standard input
    file: PathBuf,
    /// Which stage
    #[arg(long, value_enum)]
    stage: show::Stage,
    /// The function [default: the first]
    #[arg(long = "fn", value_name = "NAME")]
    function: Option<String>,
    /// The types of its arguments [default: as declared, generic ones as f64]
    #[arg(long, value_name = "TYPES")]
    types: Option<String>,
    /// With `--stage ir`: the IR after this pass [default: as lowered]
    #[arg(long, value_name = "PASS")]
    after: Option<String>,
}

#[derive(Args)]
struct RandomArgs {
    /// The words behind the uniforms: 64 bits each, little-endian, without end
    #[arg(long, required = true)]
    raw: bool,
    /// Which generator
    #[arg(long, value_enum, default_value_t = random::Generator::Philox)]
    generator: random::Generator,
    /// Interleaved streams: a word of each in turn
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    streams: u32,
    /// Seed of the random numbers
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value < 1e9 => Ok(value),
        _ => Err("a positive number of seconds is wanted, for example 1.5".to_string()),
    }
}

/// Reads the arguments and does what they say.
pub fn main(start: Instant) -> ExitCode {
    let mut words: Vec<std::ffi::OsString> = std::env::args_os().collect();
    let known = ["run", "check", "show", "random", "help", "-h", "--help", "-V", "--version"];
    if words.get(1).is_some_and(|word| !known.iter().any(|known| word == known)) {
        words.insert(1, "run".into());
    }
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let result = match cli.command {
        Command::Run(args) => run::run(&args, start),
        Command::Check(args) => check::check(&args),
        Command::Show(args) => show::show(&args),
        Command::Random(args) => random::random(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::from(match error {
                Error::Cancelled => 130,
                Error::Call(_) => 2,
                _ => 1,
            })
        }
    }
}

/// Writes an error to stderr, in colour where a person looks on.
fn report(error: &Error) {
    let colour = std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
    eprintln!("{}", error.render(if colour { Style::Coloured } else { Style::Plain }));
}

/// The text of a script, and the name under which messages show it.
fn read_script(file: &std::path::Path) -> Result<(String, Vec<u8>), Error> {
    let name = file.display().to_string();
    if name == "-" {
        let mut bytes = Vec::new();
        let read = std::io::Read::read_to_end(
            &mut std::io::Read::take(std::io::stdin(), kiln::MAX_SOURCE as u64 + 1),
            &mut bytes,
        );
        read.map_err(|error| Error::File(format!("standard input: {error}")))?;
        return Ok(("<stdin>".to_string(), bytes));
    }
    let file = std::fs::File::open(file).map_err(|error| Error::File(format!("`{name}`: {error}")))?;
    let mut bytes = Vec::new();
    let read =
        std::io::Read::read_to_end(&mut std::io::Read::take(file, kiln::MAX_SOURCE as u64 + 1), &mut bytes);
    read.map_err(|error| Error::File(format!("`{name}`: {error}")))?;
    Ok((name, bytes))
}
