//! How values print.
//!
//! In: raw slots and their [`ScalarKind`]. Out: text. Holds: a float prints as the shortest decimal that reads back as the same float, and
//! always so that it is seen to be one; of a large array only its edges are read.

use crate::ScalarKind;

/// Arrays of more elements than this are summarised.
pub const FULL: usize = 1000;
/// Elements shown at each edge of an axis of a summarised array.
pub const EDGE: usize = 3;

/// A scalar in a slot.
///
/// ```
/// use kiln_abi::{ScalarKind, show::scalar};
/// assert_eq!(scalar(ScalarKind::F64, 0.1f64.to_bits()), "0.1");
/// assert_eq!(scalar(ScalarKind::F64, 2.0f64.to_bits()), "2.0");
/// assert_eq!(scalar(ScalarKind::I32, u64::MAX), "-1");
/// ```
pub fn scalar(kind: ScalarKind, bits: u64) -> String {
    match kind {
        ScalarKind::Bool => (bits as u8 != 0).to_string(),
        ScalarKind::I32 => (bits as u32 as i32).to_string(),
        ScalarKind::I64 => (bits as i64).to_string(),
        ScalarKind::U32 => (bits as u32).to_string(),
        ScalarKind::U64 => bits.to_string(),
        // Rust's `Debug` is the shortest that reads back, with `.0` or an exponent.
        ScalarKind::F32 => {
            float(f32::from_bits(bits as u32).is_nan(), format!("{:?}", f32::from_bits(bits as u32)))
        }
        ScalarKind::F64 => float(f64::from_bits(bits).is_nan(), format!("{:?}", f64::from_bits(bits))),
    }
}

fn float(is_nan: bool, shown: String) -> String {
    if is_nan { "nan".to_owned() } else { shown }
}

/// An array, by a function that gives the element at a row-major position as a slot.
///
/// ```
/// use kiln_abi::{ScalarKind, show::array};
/// assert_eq!(array(ScalarKind::I64, &[2, 2], &|position| position as u64), "[[0, 1], [2, 3]]");
/// ```
pub fn array(kind: ScalarKind, dims: &[usize], element: &dyn Fn(usize) -> u64) -> String {
    let total = dims.iter().try_fold(1usize, |product, &dim| product.checked_mul(dim));
    let small = |total| total <= FULL && dims.iter().all(|&dim| dim <= FULL);
    let shower = Shower { kind, element, edges: !total.is_some_and(small) };
    let mut text = String::new();
    shower.axis(dims, 0, &mut text);
    text
}

/// A tuple of values already shown. One alone keeps its comma, as in Python.
pub fn tuple(items: &[String]) -> String {
    match items {
        [item] => format!("({item},)"),
        _ => format!("({})", items.join(", ")),
    }
}

struct Shower<'a> {
    kind: ScalarKind,
    element: &'a dyn Fn(usize) -> u64,
    /// Show only the edges of long axes.
    edges: bool,
}

impl Shower<'_> {
    /// The part of the array at this position of the outer axes; `position` counts in units of `dims`.
    fn axis(&self, dims: &[usize], position: usize, text: &mut String) {
        let Some((&size, inner)) = dims.split_first() else {
            text.push_str(&scalar(self.kind, (self.element)(position)));
            return;
        };
        text.push('[');
        let short = self.edges && size > 2 * EDGE;
        let (head, tail) = if short { (0..EDGE, size - EDGE..size) } else { (0..size, 0..0) };
        for index in head.chain(tail) {
            if index > 0 {
                text.push_str(", ");
            }
            if short && index == size - EDGE {
                text.push_str("…, ");
            }
            self.axis(inner, position.wrapping_mul(size).wrapping_add(index), text);
        }
        text.push(']');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_print_the_shortest_that_reads_back() {
        let f64s = [
            (0.1 + 0.2, "0.30000000000000004"),
            (-0.0, "-0.0"),
            (1e100, "1e100"),
            (1.0 / 3.0, "0.3333333333333333"),
            (f64::NAN, "nan"),
            (-f64::NAN, "nan"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (5e-324, "5e-324"),
            (123456.0, "123456.0"),
        ];
        for (value, wanted) in f64s {
            assert_eq!(scalar(ScalarKind::F64, value.to_bits()), wanted);
        }
        assert_eq!(scalar(ScalarKind::F32, u64::from(0.1f32.to_bits())), "0.1");
        assert_eq!(scalar(ScalarKind::F32, u64::from(f32::NAN.to_bits())), "nan");
    }

    #[test]
    fn integers_and_bools_print_by_their_type() {
        assert_eq!(scalar(ScalarKind::I32, 0xdead_beef_ffff_fffe), "-2");
        assert_eq!(scalar(ScalarKind::U32, 0xdead_beef_ffff_fffe), "4294967294");
        assert_eq!(scalar(ScalarKind::I64, u64::MAX), "-1");
        assert_eq!(scalar(ScalarKind::U64, u64::MAX), "18446744073709551615");
        assert_eq!(
            (scalar(ScalarKind::Bool, 1), scalar(ScalarKind::Bool, 0)),
            ("true".into(), "false".into())
        );
    }

    #[test]
    fn arrays_print_in_brackets_and_large_ones_by_their_edges() {
        let count = |position: usize| position as u64;
        assert_eq!(array(ScalarKind::I64, &[3], &count), "[0, 1, 2]");
        assert_eq!(array(ScalarKind::I64, &[2, 1, 2], &count), "[[[0, 1]], [[2, 3]]]");
        assert_eq!(array(ScalarKind::I64, &[0], &count), "[]");
        assert_eq!(array(ScalarKind::I64, &[2, 0], &count), "[[], []]");
        assert_eq!(array(ScalarKind::I64, &[], &count), "0");
        assert_eq!(array(ScalarKind::I64, &[1001], &count), "[0, 1, 2, …, 998, 999, 1000]");
        assert!(array(ScalarKind::I64, &[1000], &count).contains("500"));
        let wide = array(ScalarKind::I64, &[2, 1000], &count);
        assert_eq!(wide, "[[0, 1, 2, …, 997, 998, 999], [1000, 1001, 1002, …, 1997, 1998, 1999]]");
        assert_eq!(array(ScalarKind::I64, &[1 << 40, 0], &count), "[[], [], [], …, [], [], []]");
        assert!(array(ScalarKind::I64, &[1 << 40, 1 << 40], &|_| 0).len() < 500);
    }

    #[test]
    fn tuples_print_as_in_python() {
        let items = ["1".to_owned(), "2.0".to_owned()];
        assert_eq!(
            (tuple(&items), tuple(&items[..1]), tuple(&[])),
            ("(1, 2.0)".into(), "(1,)".into(), "()".into())
        );
    }
}
