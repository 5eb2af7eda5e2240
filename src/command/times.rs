//! The table of `--time`: where the time went since the process began.

use kiln::{Engine, Module, ScriptRun, Timing};
use std::fmt::Write;
use std::time::{Duration, Instant};

/// Rows of the table, in order.
pub(super) struct Times {
    start: Instant,
    before_main: Duration,
    rows: Vec<(String, Duration)>,
}

impl Times {
    /// `start` is when `main` began.
    pub(super) fn new(start: Instant) -> Times {
        let used = kiln::process_time();
        let before_main = used.saturating_sub(start.elapsed());
        let mut times = Times { start, before_main, rows: Vec::new() };
        times.rows.push(("start the process".to_string(), before_main));
        times.rows.push(("read the arguments and the file".to_string(), start.elapsed()));
        times
    }

    pub(super) fn module(&mut self, module: &Module) {
        self.add(module.timings());
    }

    pub(super) fn script(&mut self, run: &ScriptRun) {
        for step in &run.compiled {
            self.rows.push((format!("line {}: {}", step.line, step.what), step.total));
            for Timing { name, time } in &step.timings {
                self.rows.push((format!("    {name}"), *time));
            }
        }
        self.rows.push(("run".to_string(), run.running));
    }

    fn add(&mut self, timings: &[Timing]) {
        self.rows.extend(timings.iter().map(|timing| (timing.name.to_string(), timing.time)));
    }

    /// The table.
    pub(super) fn table(&self, engine: &Engine) -> String {
        let total = self.before_main + self.start.elapsed();
        let listed: Duration =
            self.rows.iter().filter(|(name, _)| !name.starts_with(' ')).map(|(_, time)| *time).sum();
        let width = self.rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).max(24);
        let mut text = String::new();
        let mut row = |name: &str, time: Duration| {
            let _ = writeln!(text, "{name:<width$} {:>12.3} ms", time.as_secs_f64() * 1e3);
        };
        for (name, time) in &self.rows {
            row(name, *time);
        }
        row("everything else", total.saturating_sub(listed));
        row("total", total);
        let stats = engine.cache_stats();
        let _ = writeln!(
            text,
            "cache: {} hits, {} misses, {} compiled, {} evicted, {} bytes of code",
            stats.hits, stats.misses, stats.compiled, stats.evictions, stats.bytes
        );
        for miss in engine.misses() {
            let _ = writeln!(text, "miss: {}", miss.reason);
        }
        text
    }
}
