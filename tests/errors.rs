//! Every error text: a script under `tests/errors`, its full message beside it.

use crate::machines::compiled_output;
use crate::text::{conclude, expect_file, files, root};

#[test]
fn error_texts_are_as_blessed() {
    let mut failures = Vec::new();
    for file in files("tests/errors", "kiln") {
        let name = file.strip_prefix(root()).expect("below the root").display().to_string();
        let bytes = std::fs::read(&file).expect("a script");
        let found = match compiled_output(&name, &bytes, &[], kiln::Options::default()) {
            (_, Some(error)) => error,
            (output, None) => {
                failures.push(format!("{name} has no error; it prints\n{output}"));
                continue;
            }
        };
        expect_file(&file.with_extension("txt"), &format!("{found}\n"), &mut failures);
    }
    conclude(failures);
}
