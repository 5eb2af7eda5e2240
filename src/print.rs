//! What `print` writes.
//!
//! In: a print site of compiled code, and the slots it left. Out: text. Holds: numbers look the same wherever they are printed.

use kiln_abi::show;
use kiln_compiler::ir;
use kiln_runtime::PrintValue;

/// A print site.
#[derive(Debug, Clone)]
pub(crate) struct PrintFormat {
    parts: Vec<ir::PrintPart>,
}

impl PrintFormat {
    pub(crate) fn new(site: ir::PrintSite) -> PrintFormat {
        PrintFormat { parts: site.parts }
    }

    /// The text for these values.
    pub(crate) fn format(&self, values: &[PrintValue<'_>]) -> String {
        let mut text = String::new();
        let mut values = values.iter();
        for part in &self.parts {
            match part {
                ir::PrintPart::Text(piece) => text.push_str(piece),
                ir::PrintPart::Value => match values.next() {
                    Some(PrintValue::Scalar(kind, bits)) => text.push_str(&show::scalar(*kind, *bits)),
                    Some(PrintValue::Array(array)) => {
                        text.push_str(&show::array(array.kind(), array.dims(), &|at| array.get(at)));
                    }
                    None => {}
                },
            }
        }
        text
    }
}
