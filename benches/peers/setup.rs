//! Gets the peers: a virtual environment for Numba and NumPy, compilers for C.
//!
//! In: a folder under `target/`, what may be installed. Out: the command line of each peer that is to be had, its version and flags, a note for each
//! that is not. Holds: nothing outside the folder changes, but for Debian packages if that was asked for.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Options of both compilers.
const C_FLAGS: &[&str] =
    &["-O3", "-march=native", "-ffast-math", "-fopenmp", "-mprefer-vector-width=512", "-Wno-pass-failed"];
/// Milliseconds that LLVM's OpenMP threads spin after a parallel region; its default, 200, would disturb whoever runs next.
const BLOCKTIME: &str = "1";

/// Who can be compared with.
pub struct Peers {
    /// The Python of the virtual environment, if it could be made.
    pub python: Option<PathBuf>,
    /// Compiled C workers.
    pub c: Vec<CPeer>,
    /// What is missing, and why.
    pub notes: Vec<String>,
    threads: usize,
}

/// A C worker.
pub struct CPeer {
    /// `gcc-12`
    pub compiler: &'static str,
    /// First line of its `--version`.
    pub version: String,
    /// How it was called.
    pub flags: String,
    /// The program.
    pub program: PathBuf,
}

/// May Debian packages be installed?
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Install {
    /// Yes: we are root, and were asked to.
    Packages,
    /// No.
    Nothing,
}

fn here(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "benches", "peers", name].iter().collect()
}

impl Peers {
    /// Makes or finds all peers.
    pub fn find(folder: &Path, threads: usize, install: Install) -> Peers {
        std::fs::create_dir_all(folder).expect("a folder under target/");
        let mut peers = Peers { python: None, c: Vec::new(), notes: Vec::new(), threads };
        match python(folder) {
            Ok(python) => peers.python = Some(python),
            Err(reason) => peers.notes.push(format!("Numba and NumPy are left out: {reason}")),
        }
        for (compiler, packages, extra) in [
            ("clang-19", &["clang-19", "libomp-19-dev"][..], &["-fveclib=libmvec", "-lmvec"][..]),
            ("gcc-12", &["gcc-12", "libc6-dev"], &[]),
        ] {
            match c_peer(folder, compiler, packages, extra, install) {
                Ok(peer) => peers.c.push(peer),
                Err(reason) => peers.notes.push(format!("{compiler} is left out: {reason}")),
            }
        }
        peers
    }

    /// The command line of a Python worker; `peer` is `numba`, `numba-strict` or `numpy`.
    pub fn python_command(&self, peer: &str) -> Option<Command> {
        let mut command = Command::new(self.python.as_ref()?);
        command.arg(here("python/worker.py")).arg(peer);
        Some(self.with_threads(command))
    }

    /// The command line of a C worker.
    pub fn c_command(&self, peer: &CPeer) -> Command {
        self.with_threads(Command::new(&peer.program))
    }

    fn with_threads(&self, mut command: Command) -> Command {
        let threads = self.threads.to_string();
        for name in ["OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"] {
            command.env(name, &threads);
        }
        command.env("KMP_BLOCKTIME", BLOCKTIME);
        command
    }
}

fn run(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("`{program}` cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let line =
        text.lines().rev().find(|line| line.contains("rror")).or(text.lines().last()).unwrap_or("no reason");
    Err(format!("`{program}` failed: {line}"))
}

/// The virtual environment with what `requirements.txt` pins.
fn python(folder: &Path) -> Result<PathBuf, String> {
    let venv = folder.join("venv");
    let python = venv.join("bin").join("python");
    let requirements =
        std::fs::read_to_string(here("python/requirements.txt")).map_err(|error| error.to_string())?;
    let stamp = venv.join("installed.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == requirements) {
        return Ok(python);
    }
    eprintln!("installing Numba and NumPy into {}", venv.display());
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "-r"])
        .arg(here("python/requirements.txt")))?;
    std::fs::write(stamp, requirements).map_err(|error| error.to_string())?;
    Ok(python)
}

fn c_peer(
    folder: &Path,
    compiler: &'static str,
    packages: &[&str],
    extra: &[&str],
    install: Install,
) -> Result<CPeer, String> {
    let version = || run(Command::new(compiler).arg("--version"));
    let version = match version() {
        Ok(version) => version,
        Err(_) if install == Install::Packages => {
            eprintln!("installing {}", packages.join(" "));
            run(Command::new("apt-get").args(["install", "-y", "-qq"]).args(packages))?;
            version()?
        }
        Err(_) => {
            return Err(format!(
                "it is not here; Debian has it: `apt-get install {}`, or `--install` as root",
                packages.join(" ")
            ));
        }
    };
    let program = folder.join(compiler);
    let object = folder.join(format!("{compiler}.o"));
    // The worker apart and without -ffast-math: inputs are to be the same bits everywhere.
    run(Command::new(compiler)
        .args(["-O2", "-ffp-contract=off", "-fopenmp", "-c", "-o"])
        .arg(&object)
        .arg(here("c/worker.c")))?;
    run(Command::new(compiler)
        .args(C_FLAGS)
        .args(["-o"])
        .arg(&program)
        .arg(here("c/kernels.c"))
        .arg(&object)
        .args(extra)
        .arg("-lm"))?;
    let shown = |flag: &&&str| !flag.starts_with("-l") && !flag.starts_with("-W");
    let flags: Vec<&str> = C_FLAGS.iter().chain(extra).filter(shown).copied().collect();
    let version = version.lines().next().unwrap_or_default().to_string();
    Ok(CPeer { compiler, version, flags: flags.join(" "), program })
}
