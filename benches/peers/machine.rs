//! What machine this is, for the report.
//!
//! In: `/proc`. Out: lines of text. Holds: what cannot be read is left out.

use std::fs;

/// The machine in a few lines.
pub fn describe(threads: usize) -> Vec<String> {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = info.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name))?;
        Some(line.split_once(':')?.1.trim().to_string())
    };
    let flags = field("flags").unwrap_or_default();
    let levels: Vec<&str> = ["sse4_1", "avx2", "fma", "avx512f", "avx512dq", "aes", "vaes"]
        .into_iter()
        .filter(|level| flags.split(' ').any(|flag| flag == *level))
        .collect();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let family = match (field("cpu family"), field("model")) {
        (Some(family), Some(model)) => format!(" (family {family}, model {model})"),
        _ => String::new(),
    };
    let memory = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok())
        .map_or(String::new(), |kib| format!(", {} GiB", (kib + (1 << 19)) >> 20));
    let mut lines = vec![format!(
        "{}{family}: {cores} cores{memory}; {}; {threads} threads on every side",
        field("model name").unwrap_or_else(|| "a machine".into()),
        levels.join(" ")
    )];
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    if let Some(load) = load.split(' ').next().filter(|load| !load.is_empty()) {
        lines.push(format!("Linux {}; load before the run {load}", kernel.trim()));
    }
    lines
}
