//! The kernels that are compared with peers (`benches/peers`) compile and are right, at small sizes: against plain Rust or a closed form, and bit for bit
//! the same on the oracle and at every width.

#[path = "../benches/peers/inputs.rs"]
#[allow(dead_code)]
mod inputs;
#[path = "../benches/peers/kernel.rs"]
#[allow(dead_code)]
mod kernel;
#[path = "../benches/peers/listing.rs"]
mod listing;
#[path = "../benches/peers/rows.rs"]
#[allow(dead_code)]
mod rows;
#[path = "../benches/peers/stats.rs"]
mod stats;

use crate::text::conclude;
use inputs::element;
use kernel::{Loaded, arrays, number_at};
use kiln::{Backend, Engine, IsaCap, Options, Value};
use rows::{Agree, ROWS, Row};

/// A row at a small size, and what must come out.
struct Case {
    row: &'static str,
    sizes: &'static [i64],
    expected: fn(&[i64]) -> Vec<f64>,
    /// Allowed distance, by the largest expected element.
    tolerance: f64,
}

const CASES: &[Case] = &[
    // Four standard errors.
    Case { row: "pi", sizes: &[100_000], expected: |_| vec![std::f64::consts::PI], tolerance: 0.0066 },
    Case { row: "pi_ars", sizes: &[100_000], expected: |_| vec![std::f64::consts::PI], tolerance: 0.0066 },
    Case { row: "asian", sizes: &[20_000, 1], expected: european, tolerance: 0.04 },
    Case { row: "rbf", sizes: &[45, 67], expected: rbf, tolerance: 4e-16 },
    Case { row: "black_scholes", sizes: &[1003], expected: black_scholes, tolerance: 1e-14 },
    Case { row: "mandelbrot", sizes: &[61, 40, 256], expected: mandelbrot, tolerance: 0.0 },
    Case { row: "forces", sizes: &[150], expected: forces, tolerance: 2e-6 },
    Case { row: "axpy", sizes: &[1003], expected: axpy, tolerance: 0.0 },
    Case { row: "triad", sizes: &[1003], expected: triad, tolerance: 0.0 },
    Case { row: "total", sizes: &[5000], expected: total, tolerance: 1e-15 },
    Case { row: "dot", sizes: &[5000], expected: dot, tolerance: 1e-15 },
    Case { row: "distances", sizes: &[45, 67], expected: distances, tolerance: 0.0 },
    Case { row: "jacobi", sizes: &[41, 43], expected: jacobi, tolerance: 0.0 },
];

/// Rows whose kernels use what is not there yet, and the word by which the error names it. As soon as one compiles, it is held to its case like the others.
const NOT_YET: &[(&str, &str)] = &[("black_scholes", "`erfc`")];

fn from(seed: u64, low: f64, high: f64) -> impl Fn(i64) -> f64 {
    move |i| element(seed, i as usize, low, high)
}

/// With a single step the option is a European one, which has a closed form.
fn european(_: &[i64]) -> Vec<f64> {
    // Hull, "Options, Futures and Other Derivatives": S = K = 100, r = 5 %, sigma = 20 %, one year.
    vec![10.450583572185565]
}

fn rbf(sizes: &[i64]) -> Vec<f64> {
    let (a, b) = (from(1, -1.0, 1.0), from(2, -1.0, 1.0));
    let at = |i, j| (-0.5 * (a(i) - b(j)).powi(2)).exp();
    (0..sizes[0]).flat_map(|i| (0..sizes[1]).map(move |j| (i, j))).map(|(i, j)| at(i, j)).collect()
}

fn black_scholes(sizes: &[i64]) -> Vec<f64> {
    let (spot, strike, years) = (from(1, 50.0, 150.0), from(2, 50.0, 150.0), from(3, 0.1, 2.0));
    let price = |i: i64| {
        let (s, k, t) = (spot(i), strike(i), years(i));
        let spread = 0.2 * t.sqrt();
        let d1 = ((s / k).ln() + (0.05 + 0.5 * 0.04) * t) / spread;
        let discounted = k * (-0.05 * t).exp();
        let call = s * normal(d1) - discounted * normal(d1 - spread);
        (call, call - s + discounted)
    };
    let calls = (0..sizes[0]).map(|i| price(i).0);
    calls.chain((0..sizes[0]).map(|i| price(i).1)).collect()
}

/// The normal distribution by Simpson's rule over its density: no function of mathematics in common with the kernel but `exp`.
fn normal(x: f64) -> f64 {
    let density = |x: f64| (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let steps = 4000;
    let h = x / f64::from(steps);
    let inner: f64 = (1..steps).map(|i| f64::from(2 + 2 * (i % 2)) * density(f64::from(i) * h)).sum();
    0.5 + (density(0.0) + inner + density(x)) * h / 3.0
}

fn mandelbrot(sizes: &[i64]) -> Vec<f64> {
    let escape = |row: i64, column: i64| {
        let cx = -2.2 + 3.2 * column as f64 / sizes[0] as f64;
        let cy = -1.2 + 2.4 * row as f64 / sizes[1] as f64;
        let (mut x, mut y) = (0.0, 0.0);
        for steps in 0..sizes[2] {
            let (xx, yy) = (x * x, y * y);
            if xx + yy > 4.0 {
                return steps as f64;
            }
            y = 2.0 * x * y + cy;
            x = xx - yy + cx;
        }
        sizes[2] as f64
    };
    (0..sizes[1]).flat_map(|row| (0..sizes[0]).map(move |column| escape(row, column))).collect()
}

/// In f64, so the tolerance is that of sums in f32.
fn forces(sizes: &[i64]) -> Vec<f64> {
    let single = |seed, low, high| move |i| f64::from(from(seed, low, high)(i) as f32);
    let (at, mass) = ([1, 2, 3].map(|seed| single(seed, -1.0, 1.0)), single(4, 0.5, 1.0));
    let softening = f64::from(0.01f32);
    let force = |i: i64, axis: usize| -> f64 {
        let term = |j: i64| {
            let d = [0, 1, 2].map(|axis: usize| at[axis](j) - at[axis](i));
            let d2 = d.iter().map(|d| d * d).sum::<f64>() + softening;
            mass(j) / (d2 * d2.sqrt()) * d[axis]
        };
        (0..sizes[0]).map(term).sum()
    };
    (0..3).flat_map(|axis| (0..sizes[0]).map(move |i| (axis, i))).map(|(axis, i)| force(i, axis)).collect()
}

fn axpy(sizes: &[i64]) -> Vec<f64> {
    let (x, y) = (from(1, 0.0, 1.0), from(2, 0.0, 1.0));
    (0..sizes[0]).map(|i| 0.001f64.mul_add(x(i), y(i))).collect()
}

fn triad(sizes: &[i64]) -> Vec<f64> {
    let (b, c) = (from(1, 0.0, 1.0), from(2, 0.0, 1.0));
    (0..sizes[0]).map(|i| b(i) + 3.0 * c(i)).collect()
}

fn total(sizes: &[i64]) -> Vec<f64> {
    vec![exact_sum((0..sizes[0]).map(from(1, 0.0, 1.0)))]
}

fn dot(sizes: &[i64]) -> Vec<f64> {
    let (x, y) = (from(1, 0.0, 1.0), from(2, 0.0, 1.0));
    vec![exact_sum((0..sizes[0]).map(|i| x(i) * y(i)))]
}

/// A sum with the rounding errors added up beside it (Neumaier).
fn exact_sum(terms: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut lost) = (0.0f64, 0.0);
    for term in terms {
        let next = sum + term;
        lost += if sum.abs() >= term.abs() { (sum - next) + term } else { (term - next) + sum };
        sum = next;
    }
    sum + lost
}

fn distances(sizes: &[i64]) -> Vec<f64> {
    let (a, b) = (from(1, -1.0, 1.0), from(2, -1.0, 1.0));
    (0..sizes[0]).flat_map(|i| (0..sizes[1]).map(move |j| (i, j))).map(|(i, j)| (a(i) - b(j)).abs()).collect()
}

fn jacobi(sizes: &[i64]) -> Vec<f64> {
    let (n, m) = (sizes[0], sizes[1]);
    let u = |i: i64, j: i64| element(1, (i * m + j) as usize, 0.0, 1.0);
    let mean = |i: i64, j: i64| {
        let inner = 0 < i && i < n - 1 && 0 < j && j < m - 1;
        if inner { 0.25 * (u(i - 1, j) + u(i + 1, j) + u(i, j - 1) + u(i, j + 1)) } else { 0.0 }
    };
    (0..n).flat_map(|i| (0..m).map(move |j| mean(i, j))).collect()
}

/// The numbers that a kernel gives: what it writes, or what it returns.
fn results(engine: &Engine, row: &'static Row, sizes: &[i64]) -> Result<Vec<f64>, String> {
    let mut loaded = Loaded::new(engine, row, sizes).map_err(|error| error.to_string())?;
    let (kernel, mut args) = loaded.args();
    let value = kernel.call(&mut args).map_err(|error| error.to_string())?;
    drop(args);
    let all = |array: &kiln::Array| (0..array.len()).map(|i| number_at(array, i)).collect::<Vec<_>>();
    let written: Vec<f64> = loaded.outputs().into_iter().flat_map(all).collect();
    if let Some((fresh, mut args)) = loaded.fresh_args() {
        let value = fresh.call(&mut args).map_err(|error| error.to_string())?;
        let made: Vec<f64> = arrays(&value).into_iter().flat_map(all).collect();
        if made != written {
            return Err("the form that makes its outputs gives others".into());
        }
    }
    Ok(if let Value::Unit = value { written } else { value.as_f64().into_iter().collect() })
}

#[test]
fn kernels_compared_with_peers_are_right_at_every_width() {
    let names = |row: &Row| CASES.iter().any(|case| case.row == row.name);
    assert!(ROWS.iter().all(names), "every row has a case here");
    let engine = |backend, isa| Engine::new(Options { threads: Some(2), backend, isa, ..Options::default() });
    let oracle = engine(Backend::Oracle, None);
    let caps = [IsaCap::Scalar, IsaCap::V128, IsaCap::Avx2, IsaCap::Avx512];
    let engines = caps.map(|cap| (cap, engine(Backend::Compiled, Some(cap))));
    let mut failures = Vec::new();
    for case in CASES {
        let row = ROWS.iter().find(|row| row.name == case.row).expect("cases name rows");
        let found = match results(&oracle, row, case.sizes) {
            Ok(found) => found,
            Err(error) => {
                let waits = |(row, word): &(&str, &str)| *row == case.row && error.contains(word);
                if !(NOT_YET.iter().any(waits) && error.contains("not there yet")) {
                    failures.push(format!("{}: {error}", case.row));
                }
                continue;
            }
        };
        let expected = (case.expected)(case.sizes);
        let largest = expected.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
        let apart = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / largest;
        if found.len() != expected.len() || apart.is_nan() || apart > case.tolerance {
            failures.push(format!("{}: {apart:e} from what it should be", case.row));
        }
        for (cap, engine) in &engines {
            let bits = |numbers: &[f64]| numbers.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            match results(engine, row, case.sizes) {
                Ok(compiled) if bits(&compiled) == bits(&found) => {}
                Ok(_) => {
                    failures.push(format!("{} at {}: other bits than the oracle's", case.row, cap.name()))
                }
                Err(error) => failures.push(format!("{} at {}: {error}", case.row, cap.name())),
            }
        }
    }
    conclude(failures);
}

#[test]
fn medians_and_intervals_of_ratios() {
    assert_eq!(stats::median(&[3.0, 1.0, 2.0]), 2.0);
    assert_eq!(stats::median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    let steady = stats::interval(&[2.0; 31]);
    assert_eq!((steady.low, steady.median, steady.high), (2.0, 2.0, 2.0));
    // The interval of a median lies between order statistics that the binomial distribution gives: 95 % of 31 fall on ranks 10 to 22.
    let numbers: Vec<f64> = (1..=31).map(f64::from).collect();
    let found = stats::interval(&numbers);
    assert_eq!(found.median, 16.0);
    assert!((9.0..=12.0).contains(&found.low) && (20.0..=23.0).contains(&found.high), "{found:?}");
}

#[test]
fn results_agree_within_a_rows_tolerance_and_no_further() {
    assert!(Agree::Within(1e-12).judge(&[1.0, -4.0], &[1.0, -4.0 + 3e-12]).1);
    assert!(!Agree::Within(1e-12).judge(&[1.0, -4.0], &[1.0, -4.0 + 5e-12]).1);
    assert!(!Agree::Within(1e-12).judge(&[1.0, -4.0], &[1.0]).1);
    assert!(!Agree::Within(1.0).judge(&[1.0, f64::NAN], &[1.0, 2.0]).1);
    assert!(Agree::Within(0.0).judge(&[0.0, f64::NAN], &[0.0, f64::NAN]).1);
    assert_eq!(Agree::Share(0.5).judge(&[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 3.0, 40.0]), (0.25, true));
    assert!(!Agree::Share(0.2).judge(&[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 3.0, 40.0]).1);
    assert!(!Agree::Random(1e-3).judge(&[0.7852], &[0.7863]).1);
}

#[test]
fn hot_loops_are_found_in_listings_of_both_kinds() {
    let objdump = "0000000000001000 <sum._omp_fn.0>:
    1000:\tvmovupd %zmm1,(%rax)
    1004:\tvaddpd (%rcx),%zmm0,%zmm0
    1008:\tcall   2220 <_ZGVdN4v_exp@plt>
    100c:\tcmp    %rcx,%rsi
    1010:\tjne    1004 <sum._omp_fn.0+0x4>
    1014:\tjne    1000 <sum._omp_fn.0>
0000000000002000 <other>:
    2000:\tvmulpd %zmm0,%zmm0,%zmm0
    2004:\tvmulpd %zmm0,%zmm0,%zmm0
    2008:\tjmp    2000 <other>
";
    let found = listing::hottest(objdump, |name| name.starts_with("sum.")).expect("a loop");
    assert_eq!(found.to_string(), "512 bits, 4 instructions, calls _ZGVdN4v_exp");
    let assembler =
        "kernel:\n.LBB0_1:\n\tvmovups\t(%rsi), %zmm1\n\tvmulsd\t%xmm1, %xmm1, %xmm1\n\tjne\t.LBB0_1\n";
    assert_eq!(listing::hottest(assembler, |_| true).expect("a loop").to_string(), "scalar, 3 instructions");
    assert_eq!(listing::hottest("kernel:\n\tret\n", |_| true), None);
}
