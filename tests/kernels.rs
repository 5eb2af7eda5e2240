//! Every kernel prints what its file states, on the oracle and on compiled code in every configuration, bit for bit.

use crate::machines::{CONFIGURATIONS, compiled_output, oracle_output, widened_output};
use crate::text::{conclude, expected_output, files, root};
use kiln::IsaCap;

#[test]
fn kernels_print_the_same_bits_everywhere() {
    let mut failures = Vec::new();
    for file in files("tests/kernels", "kiln") {
        let name = file.strip_prefix(root()).expect("below the root").display().to_string();
        let text = std::fs::read_to_string(&file).expect("a kernel");
        let wanted = expected_output(&text);
        assert!(!wanted.is_empty(), "{name} states no expected value");
        let mut compare = |machine: String, (output, error): (String, Option<String>)| {
            if error.is_some() || output != wanted {
                let error = error.unwrap_or_default();
                failures.push(format!("{name} on {machine}\n--- wanted\n{wanted}--- found\n{output}{error}"));
            }
        };
        compare("the oracle".to_string(), oracle_output(&name, &text, &[]));
        for (cap, bytes) in [(IsaCap::V128, 16), (IsaCap::Avx2, 32), (IsaCap::Avx512, 64)] {
            let machine = format!("the oracle, widened at {bytes} bytes");
            compare(machine, widened_output(&name, &text, cap));
        }
        for configuration in CONFIGURATIONS {
            let output = compiled_output(&name, text.as_bytes(), &[], configuration.options());
            compare(format!("{configuration:?}"), output);
        }
    }
    conclude(failures);
}
