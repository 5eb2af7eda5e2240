//! Compares Kiln with Numba, NumPy and C: `cargo bench --bench peers`. What it does and how to read it: `docs/performance.md`.
//!
//! In: which rows, how many pairs. Out: a table of ratios with intervals, each beside what is to be reached. Holds: every program runs in a process
//! of its own, on the same inputs; Kiln and a peer take turns; a result that is not the same is an error, not a time.

mod inputs;
mod kernel;
mod listing;
mod machine;
mod measure;
mod peer;
mod report;
mod rows;
mod setup;
mod stats;
mod worker;

use clap::Parser;
use kiln::IsaCap;
use measure::Bench;
use peer::Peer;
use report::Report;
use rows::{ROWS, Row};
use setup::{Install, Peers};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Runs the same kernels on Kiln, Numba, NumPy and C in turn, and says how many times as fast Kiln is.
#[derive(Parser)]
#[command(name = "cargo bench --bench peers --")]
struct Cli {
    /// Only this row; may be given several times
    #[arg(long, value_name = "ROW", value_parser = row)]
    only: Vec<&'static Row>,
    /// Pairs of calls for each ratio
    #[arg(long, value_name = "N", default_value_t = 31, value_parser = clap::value_parser!(u16).range(1..))]
    pairs: u16,
    /// A first look: 5 pairs, each kernel compiled fewer times
    #[arg(long, conflicts_with = "pairs")]
    quick: bool,
    /// Threads of every side [default: the cores of this process]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Print JSON
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print the tables in Markdown
    #[arg(long)]
    markdown: bool,
    /// Replace the tables in this document
    #[arg(long, value_name = "FILE")]
    update: Option<PathBuf>,
    /// As root on Debian: install the compilers that are missing
    #[arg(long)]
    install: bool,
    /// List the rows
    #[arg(long)]
    list: bool,
    /// Serve as Kiln's worker
    #[arg(long, hide = true)]
    worker: bool,
    #[arg(long, hide = true, value_parser = cap)]
    isa: Option<IsaCap>,
    /// cargo says this to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn row(name: &str) -> Result<&'static Row, String> {
    let names = || ROWS.iter().map(|row| row.name).collect::<Vec<_>>().join(", ");
    ROWS.iter().find(|row| row.name == name).ok_or_else(|| format!("the rows are {}", names()))
}

fn cap(name: &str) -> Result<IsaCap, String> {
    IsaCap::from_name(name).ok_or_else(|| "scalar, v128, avx2 or avx512".into())
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let threads = cli.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    if cli.worker {
        worker::serve(threads, cli.isa);
        return ExitCode::SUCCESS;
    }
    if cli.list {
        ROWS.iter().for_each(|row| println!("{:<14} {}", row.name, row.title));
        return ExitCode::SUCCESS;
    }
    match compare(&cli, threads) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("error: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn compare(cli: &Cli, threads: usize) -> Result<(), String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers");
    let install = if cli.install { Install::Packages } else { Install::Nothing };
    let peers = Peers::find(&folder, threads, install);
    let (pairs, compiles) = if cli.quick { (5, (11, 1)) } else { (usize::from(cli.pairs), (101, 5)) };
    let mut report =
        Report { about: machine::describe(threads), notes: peers.notes.clone(), pairs, outcomes: Vec::new() };
    report.about.push(format!("Kiln {}, {}", env!("CARGO_PKG_VERSION"), rust_version()));
    if let Some(command) = peers.python_command("numba") {
        report.about.push(Peer::start("Numba", command)?.command("about")?);
    }
    for c in &peers.c {
        report.about.push(format!("{}: `{}`", c.version, c.flags));
    }
    let text = !cli.json && !cli.markdown;
    if text {
        report.about.iter().chain(&report.notes).for_each(|line| println!("{line}"));
    }
    let bench = Bench { peers, pairs, compiles, threads, folder };
    for row in ROWS {
        if !cli.only.is_empty() && !cli.only.iter().any(|only| only.name == row.name) {
            continue;
        }
        let outcome = bench.measure(row)?;
        if text {
            let kiln = match &outcome.kiln {
                Ok(kiln) => report::duration(kiln.median),
                Err(reason) => format!("not yet: {reason}"),
            };
            println!("\n{}: {kiln}", row.title);
            outcome.rivals.iter().chain(&outcome.caps).for_each(|other| println!("{}", report::line(other)));
            if let Some(compile) = outcome.compile {
                println!("  source to callable {}", report::duration(compile.median));
            }
        }
        report.outcomes.push(outcome);
    }
    if cli.json {
        println!("{:#}", report.json());
    }
    if cli.markdown {
        print!("{}", report.markdown());
    }
    if let Some(path) = &cli.update {
        let wrong = |error: String| format!("{}: {error}", path.display());
        let document = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        std::fs::write(path, report.update(&document).map_err(wrong)?)
            .map_err(|error| wrong(error.to_string()))?;
    }
    Ok(())
}

fn rust_version() -> String {
    let output = std::process::Command::new("rustc").arg("--version").output();
    output.map_or("rustc".into(), |output| String::from_utf8_lossy(&output.stdout).trim().to_string())
}
