//! Trees of small programs, as text.

use super::{infer, tree_text};
use crate::diag::Diagnostic;
use crate::resolve::{Checked, resolve};
use crate::span::SourceId;
use crate::types::{Scalar, Type};

fn checked(text: &str) -> Checked {
    let (module, found) = crate::parse(SourceId(0), text);
    assert!(found.is_empty(), "{found:#?}");
    resolve(module, SourceId(0)).unwrap_or_else(|found| panic!("{found:#?}"))
}

fn tree(text: &str, func: &str, args: &[Type]) -> String {
    match infer(&checked(text), func, args) {
        Ok(program) => tree_text(&program),
        Err(found) => panic!("{found:#?}"),
    }
}

#[test]
fn print_samples() {
    let f64s = || Type::array(Scalar::F64, 1);
    let f32s = || Type::array(Scalar::F32, 1);
    let i64 = Type::Scalar(Scalar::I64);
    println!("{}", tree("fn pi_(n: i64) -> f64 {
    var hits = 0
    @parallel @vectorize
    for i in 0..n {
        let x = rand()
        let y = rand()
        if x*x + y*y < 1 { hits += 1 }
    }
    return 4 * hits / n
}", "pi_", &[i64.clone()]));
    println!("{}", tree("fn rbf(a: [T; n], b: [T; m], gamma: T) -> [T; n, m] {
    var k = zeros(n, m)
    @parallel for i in 0..n {
        @vectorize for j in 0..m { k[i, j] = exp(-gamma * (a[i] - b[j]) ** 2) }
    }
    return k
}", "rbf", &[f32s(), f32s(), Type::Scalar(Scalar::F32)]));
    println!("{}", tree("fn axpy(a: T, x: [T; n], y: mut [T; n]) {
    @parallel @vectorize for i in 0..n { y[i] += a * x[i] }
}
fn main(x: [T; n]) {
   var y = zeros(n)
   axpy(2, x, y)
   let (s, t) = (sum(y), max(x))
   return s * t, y
}", "main", &[f32s()]));
    println!("{}", tree(include_str!("../../../../math/lang/src/prelude.kiln"), "sin_f64", &[Type::Scalar(Scalar::F64)]));
    let _ = f64s;
}
