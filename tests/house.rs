//! The rooms keep to their arrows, and the documents name what exists.

use crate::text::{conclude, files, root};
use std::fs;

/// Folder, and which of our crates it may name: itself, in examples, and what it depends on.
const ARROWS: [(&str, &[&str]); 4] = [
    ("lang", &["kiln_lang"]),
    ("runtime/abi", &["kiln_abi"]),
    ("runtime", &["kiln_runtime", "kiln_abi"]),
    ("compiler", &["kiln_compiler", "kiln_abi", "kiln_lang"]),
];
const CRATES: [&str; 5] = ["kiln_abi", "kiln_lang", "kiln_compiler", "kiln_runtime", "kiln"];

#[test]
fn rooms_keep_to_their_arrows() {
    let mut failures = Vec::new();
    for (folder, allowed) in ARROWS {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("a manifest");
        for other in CRATES {
            let package = other.replace('_', "-");
            let depends = manifest.lines().any(|line| {
                line.starts_with(&format!("{package}.")) || line.starts_with(&format!("{package} "))
            });
            if depends && !allowed.contains(&other) {
                failures.push(format!("{folder} depends on {package}"));
            }
        }
        for file in files(&format!("{folder}/src"), "rs") {
            let text = fs::read_to_string(&file).expect("source");
            for other in CRATES {
                if text.contains(&format!("{other}::")) && !allowed.contains(&other) {
                    failures.push(format!("{} names {other}", file.display()));
                }
            }
        }
    }
    // Rooms of the compiler: the middle does not know the back.
    for room in ["compiler/src/ir", "compiler/src/passes", "compiler/src/lower", "compiler/src/check_loops"] {
        for file in files(room, "rs") {
            let text = fs::read_to_string(&file).expect("source");
            if text.contains("crate::backend") || text.contains("cranelift_") {
                failures.push(format!("{} knows a backend", file.display()));
            }
        }
    }
    conclude(failures);
}

#[test]
fn unsafe_code_stays_in_its_rooms() {
    let mut failures = Vec::new();
    for folder in ["lang/src", "compiler/src", "runtime/abi/src", "src"] {
        for file in files(folder, "rs") {
            let text = fs::read_to_string(&file).expect("source");
            let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            let uses = lines.filter(|line| line.contains("unsafe {") || line.contains("unsafe fn")).count();
            if uses > 0 && !file.ends_with("src/door.rs") {
                failures.push(format!("{} has unsafe code", file.display()));
            }
        }
    }
    conclude(failures);
}

#[test]
fn every_file_opens_by_saying_what_it_does() {
    let mut failures = Vec::new();
    for folder in ["lang/src", "compiler/src", "runtime/src", "runtime/abi/src", "src", "tests", "benches"] {
        for file in files(folder, "rs") {
            if !fs::read_to_string(&file).expect("source").starts_with("//!") {
                failures.push(file.display().to_string());
            }
        }
    }
    conclude(failures);
}

#[test]
fn paths_named_in_the_documents_exist() {
    let mut failures = Vec::new();
    let documents = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "docs/language.md",
        "docs/performance.md",
        "benches/peers/README.md",
        "compiler/src/ir/README.md",
    ];
    for document in documents {
        let text = fs::read_to_string(root().join(document)).expect(document);
        for word in text.split(|c: char| !(c.is_alphanumeric() || "/._-*".contains(c))) {
            let known = [
                "src/",
                "lang/",
                "compiler/",
                "runtime/",
                "tests/",
                "docs/",
                "examples/",
                "benches/",
                ".ci/",
            ];
            if !known.iter().any(|start| word.starts_with(start))
                || word.contains('*')
                || word.contains("NAME")
            {
                continue;
            }
            if !root().join(word.trim_end_matches('.')).exists() {
                failures.push(format!("{document} names {word}, which does not exist"));
            }
        }
    }
    conclude(failures);
}
