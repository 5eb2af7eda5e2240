//! The documents' examples run and print what stands below them.

use crate::machines::{compiled_output, oracle_output};
use crate::text::{conclude, expect_file, root};
use kiln_lang::math::{self, Accuracy};

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

/// The table of mathematics as the reference shows it.
fn table_of_mathematics() -> String {
    let mut table = String::from(
        "| function | what it gives | example | prints | error, f64 | error, f32 |\n|---|---|---|---|---|---|\n",
    );
    for row in math::rows() {
        let (f64, f32) = match row.accuracy {
            Accuracy::Rounded => (0, 0),
            Accuracy::Within { f64, f32 } => (f64, f32),
        };
        let cells = [
            format!("`{}`", row.builtin.usage),
            row.builtin.doc.to_string(),
            format!("`{}`", row.example),
            format!("`{}`", row.prints),
            f64.to_string(),
            f32.to_string(),
        ];
        table += &format!("| {} |\n", cells.map(|cell| cell.replace('|', "&#124;")).join(" | "));
    }
    table
}

#[test]
fn the_reference_of_mathematics_is_the_table() {
    let path = root().join("docs/math.md");
    let document = std::fs::read_to_string(&path).expect("the reference");
    let (begin, end) = ("rewrites it -->\n", "<!-- end of the table -->");
    let (head, rest) = document.split_once(begin).expect("the table begins");
    let (_, tail) = rest.split_once(end).expect("the table ends");
    let mut failures = Vec::new();
    expect_file(&path, &format!("{head}{begin}{}{end}{tail}", table_of_mathematics()), &mut failures);
    conclude(failures);
}

#[test]
fn examples_of_mathematics_print_what_the_table_says() {
    let mut failures = Vec::new();
    for row in math::rows() {
        let script = format!("print({})\n", row.example);
        let wanted = format!("{}\n", row.prints);
        let compiled = compiled_output("table", script.as_bytes(), &[], kiln::Options::default());
        for (output, error) in [compiled, oracle_output("table", &script, &[])] {
            if error.is_some() || output != wanted {
                failures.push(format!(
                    "{}: wanted {wanted}found {output}{}",
                    row.example,
                    error.unwrap_or_default()
                ));
            }
        }
    }
    conclude(failures);
}
