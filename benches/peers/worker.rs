//! Kiln's worker: a host program that lends its arrays to kernels.
//!
//! In: commands on standard input. Out: one line for each on standard output (the protocol stands in `README.md`). Holds: the clock covers the call
//! alone, or in the `fresh` form also the freeing of what it returned.

use super::kernel::{Loaded, arrays, number_at, source};
use super::rows::{ROWS, Row};
use kiln::{Array, Engine, Error, IsaCap, Options, Value};
use std::hint::black_box;
use std::io::{BufRead, BufWriter, Write};
use std::time::Instant;

struct Worker {
    engine: Engine,
    loaded: Option<(&'static Row, Loaded)>,
    compiled: usize,
}

/// Answers commands until standard input ends.
pub fn serve(threads: usize, isa: Option<IsaCap>) {
    let engine = Engine::new(Options { threads: Some(threads), isa, ..Options::default() });
    engine.warm_up();
    let mut worker = Worker { engine, loaded: None, compiled: 0 };
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("commands are text");
        let (command, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let answer = worker.answer(command, rest).unwrap_or_else(|reason| reason);
        println!("{answer}");
    }
}

impl Worker {
    fn answer(&mut self, command: &str, rest: &str) -> Result<String, String> {
        match command {
            "about" => Ok(format!("ok {}, {}", env!("CARGO_PKG_VERSION"), self.engine.target().cap().name())),
            "prepare" => {
                self.loaded = None;
                let name = rest.split(';').next().unwrap_or_default();
                let row = ROWS.iter().find(|row| row.name == name).ok_or("no row of that name")?;
                let loaded = Loaded::new(&self.engine, row, row.full).map_err(|error| first_line(&error))?;
                self.loaded = Some((row, loaded));
                Ok("ok".into())
            }
            "run" => self.run(),
            "fresh" => self.fresh(),
            "dump" => self.dump(rest),
            "compile" => self.compile(rest),
            "release" => {
                self.loaded = None;
                Ok("ok".into())
            }
            _ => Err("unknown command".into()),
        }
    }

    fn loaded(&mut self) -> Result<&mut Loaded, String> {
        self.loaded.as_mut().map(|(_, loaded)| loaded).ok_or_else(|| "prepare a kernel first".into())
    }

    fn run(&mut self) -> Result<String, String> {
        let loaded = self.loaded()?;
        let (kernel, mut args) = loaded.args();
        let start = Instant::now();
        let value = kernel.call(&mut args);
        let time = start.elapsed();
        let value = value.map_err(|error| first_line(&error))?;
        drop(args);
        let proof = loaded.outputs().first().map(|array| probe(array)).or(value.as_f64());
        Ok(format!("{} {}", time.as_nanos(), proof.ok_or("the kernel gives nothing")?))
    }

    fn fresh(&mut self) -> Result<String, String> {
        let loaded = self.loaded()?;
        let (kernel, mut args) = loaded.fresh_args().ok_or("the kernel has no fresh form")?;
        let start = Instant::now();
        let value = kernel.call(&mut args).map_err(|error| first_line(&error))?;
        let called = start.elapsed();
        let proof = arrays(&value).first().map(|array| probe(array)).ok_or("the kernel gives no array")?;
        let again = Instant::now();
        drop(value);
        let time = called + again.elapsed();
        Ok(format!("{} {proof}", time.as_nanos()))
    }

    fn dump(&mut self, path: &str) -> Result<String, String> {
        let loaded = self.loaded()?;
        loaded.reset();
        let (kernel, mut args) = loaded.args();
        let value = kernel.call(&mut args).map_err(|error| first_line(&error))?;
        drop(args);
        write(path, &loaded.outputs(), &value).map_err(|error| error.to_string())?;
        Ok("ok".into())
    }

    /// From source text to callable, so many times, nothing of it in a cache: `ok NS NS …`.
    fn compile(&mut self, rest: &str) -> Result<String, String> {
        let (row, loaded) = self.loaded.as_ref().ok_or("prepare a kernel first")?;
        let (types, text) = (loaded.types(), source(row));
        let count: usize = rest.parse().map_err(|_| "how many times?")?;
        let mut answer = "ok".to_string();
        for _ in 0..count {
            self.compiled += 1;
            // Another name is another program to the cache.
            let name = format!("{}-{}.kiln", row.name, self.compiled);
            let start = Instant::now();
            let module = self.engine.compile(&name, &text).map_err(|error| first_line(&error))?;
            let kernel = module.function(row.name).map_err(|error| first_line(&error))?;
            let made = kernel.specialise(&types).map_err(|error| first_line(&error))?;
            let time = start.elapsed();
            black_box(made);
            answer.push_str(&format!(" {}", time.as_nanos()));
        }
        Ok(answer)
    }
}

fn first_line(error: &Error) -> String {
    error.to_string().lines().next().unwrap_or_default().trim_start_matches("error: ").to_string()
}

/// A few elements added up: proof that the work was done.
fn probe(array: &Array) -> f64 {
    let step = array.len() / 61 + 1;
    (array.len() / 2 % step..array.len()).step_by(step).map(|at| number_at(array, at)).sum()
}

fn write(path: &str, outputs: &[&Array], value: &Value) -> std::io::Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, std::fs::File::create(path)?);
    for array in outputs {
        if let Some(elements) = array.as_slice::<f64>() {
            elements.iter().try_for_each(|x| file.write_all(&x.to_le_bytes()))?;
        } else if let Some(elements) = array.as_slice::<f32>() {
            elements.iter().try_for_each(|x| file.write_all(&x.to_le_bytes()))?;
        } else if let Some(elements) = array.as_slice::<i64>() {
            elements.iter().try_for_each(|x| file.write_all(&x.to_le_bytes()))?;
        }
    }
    if outputs.is_empty() {
        file.write_all(&value.as_f64().unwrap_or(f64::NAN).to_le_bytes())?;
    }
    file.flush()
}
