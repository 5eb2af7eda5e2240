//! The documents' examples run and print what stands below them.

use crate::machines::compiled_output;
use crate::text::{conclude, root};

/// Fenced blocks: language, text, line.
fn blocks(document: &str) -> Vec<(String, String, usize)> {
    let mut found = Vec::new();
    let mut open: Option<(String, String, usize)> = None;
    for (number, line) in document.lines().enumerate() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(language), None) => open = Some((language.to_string(), String::new(), number + 1)),
            (Some(_), Some(_)) => found.extend(open.take()),
            (None, Some((_, text, _))) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    found
}

#[test]
fn blocks_of_the_language_reference_print_what_they_say() {
    let mut failures = Vec::new();
    let document = std::fs::read_to_string(root().join("docs/language.md")).expect("the reference");
    let blocks = blocks(&document);
    for pair in blocks.windows(2) {
        let [(language, script, line), (next, wanted, _)] = pair else { continue };
        if language != "kiln" {
            continue;
        }
        if next != "text" {
            failures.push(format!("docs/language.md:{line}: no output stands below this block"));
            continue;
        }
        let (output, error) =
            compiled_output("docs/language.md", script.as_bytes(), &[], kiln::Options::default());
        if error.is_some() || output != *wanted {
            let error = error.unwrap_or_default();
            failures.push(format!("docs/language.md:{line}: wanted\n{wanted}found\n{output}{error}"));
        }
    }
    assert!(blocks.len() > 20, "the reference has lost its examples");
    conclude(failures);
}

#[test]
fn readme_opens_with_the_two_commands_and_its_kernel_runs() {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("the README");
    let start: String = readme.lines().take(12).collect::<Vec<_>>().join("\n");
    assert!(
        start.contains("cargo run --release -- run examples/monte_carlo_pi.kiln")
            && start.contains("cargo test")
    );
    let blocks = blocks(&readme);
    let (_, script, _) = blocks.iter().find(|(language, ..)| language == "kiln").expect("a kernel");
    let (output, error) = compiled_output("README.md", script.as_bytes(), &[], kiln::Options::default());
    assert!(error.is_none() && output.starts_with("3.14"), "{output}{error:?}");
}
