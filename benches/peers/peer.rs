//! A peer's worker process.
//!
//! In: a command line; then commands of the protocol. Out: its answers. Holds: a worker lives as long as its [`Peer`]; between commands it waits.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A running worker.
pub struct Peer {
    /// For a person.
    pub title: String,
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// One timed call.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Nanoseconds.
    pub time: f64,
    /// The number, or a few elements added up.
    pub proof: f64,
}

/// A call with outputs of the caller, or one that makes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Outputs are there before the clock starts.
    Into,
    /// Outputs are made and freed while it runs.
    Fresh,
}

impl Peer {
    /// Starts a worker.
    ///
    /// # Errors
    /// Why it cannot be started.
    pub fn start(title: &str, mut command: Command) -> Result<Peer, String> {
        // A BLAS is not to be told how it should run.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("OPENBLAS_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{:?} cannot be started: {error}", command.get_program()))?;
        let commands = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("it was asked for"));
        Ok(Peer { title: title.into(), child, commands, answers })
    }

    fn ask(&mut self, command: &str) -> Result<String, String> {
        let ended = |title: &str| format!("the worker of {title} has ended at `{}`", cut(command));
        let stdin = self.commands.as_mut().expect("open while the peer lives");
        writeln!(stdin, "{command}").and_then(|()| stdin.flush()).map_err(|_| ended(&self.title))?;
        let mut answer = String::new();
        match self.answers.read_line(&mut answer) {
            Ok(length) if length > 0 => Ok(answer.trim_end().to_string()),
            _ => Err(ended(&self.title)),
        }
    }

    /// Sends a command; gives what stands behind `ok`.
    ///
    /// # Errors
    /// The worker's reason.
    pub fn command(&mut self, command: &str) -> Result<String, String> {
        let answer = self.ask(command)?;
        match answer.strip_prefix("ok") {
            Some(rest) => Ok(rest.trim_start().to_string()),
            None => Err(answer),
        }
    }

    /// Runs the prepared kernel once.
    ///
    /// # Errors
    /// The worker's reason.
    pub fn run(&mut self, form: Form) -> Result<Run, String> {
        let answer = self.ask(match form {
            Form::Into => "run",
            Form::Fresh => "fresh",
        })?;
        let mut words = answer.split(' ').map(str::parse);
        match (words.next(), words.next()) {
            (Some(Ok(time)), Some(Ok(proof))) => Ok(Run { time, proof }),
            _ => Err(answer),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The end of its input ends the worker.
        self.commands = None;
        let _ = self.child.wait();
    }
}

fn cut(text: &str) -> &str {
    text.split(';').next().unwrap_or(text)
}
