//! Text expectations: `BLESS=1` rewrites them.

use std::fs;
use std::path::{Path, PathBuf};

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below `folder` with this ending, sorted.
pub fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    fn walk(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                walk(&path, ending, found);
            } else if path.extension().is_some_and(|extension| extension == ending) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(folder), ending, &mut found);
    found.sort();
    assert!(!found.is_empty(), "no .{ending} files in {folder}");
    found
}

/// Are expectations to be rewritten?
pub fn bless() -> bool {
    std::env::var_os("BLESS").is_some()
}

/// Compares with the text of a file, or rewrites it.
pub fn expect_file(path: &Path, found: &str, failures: &mut Vec<String>) {
    if bless() {
        fs::write(path, found).expect("expectations can be written");
        return;
    }
    let wanted = fs::read_to_string(path).unwrap_or_default();
    if wanted != found {
        failures.push(format!("{}\n--- wanted\n{wanted}\n--- found\n{found}", path.display()));
    }
}

/// Ends the test with all failures.
pub fn conclude(failures: Vec<String>) {
    assert!(failures.is_empty(), "{} failures:\n\n{}", failures.len(), failures.join("\n\n"));
}

/// The lines behind `#> ` at the end of a script: what it must print.
pub fn expected_output(text: &str) -> String {
    text.lines()
        .filter_map(|line| line.strip_prefix("#>"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .fold(String::new(), |mut all, line| {
            all.push_str(line);
            all.push('\n');
            all
        })
}
