//! Bad input of every kind ends in a clear error, soon, and the process lives.

use crate::text::root;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Generous for a loaded machine and unoptimised code; what matters is that nothing is exponential or endless.
const SOON: Duration = Duration::from_secs(10);

fn run(args: &[&str], input: Vec<u8>) -> (i32, String, String) {
    let start = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_kiln"))
        .args(args)
        .current_dir(root())
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().expect("the command ends");
    writer.join().expect("the writer ends");
    assert!(start.elapsed() < SOON, "took {:?}", start.elapsed());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

/// The script must fail with an error that says this.
fn fails(input: impl Into<Vec<u8>>, says: &str) {
    let (code, _, err) = run(&["-"], input.into());
    let shown: String = err.chars().take(2000).collect();
    assert_eq!(code, 1, "{shown}");
    assert!(err.contains("error: "), "{shown}");
    assert!(err.contains(says), "wanted `{says}`: {shown}");
    assert!(err.len() < 20_000, "a message of {} bytes", err.len());
}

#[test]
fn line_of_100_megabytes() {
    fails("x + ".repeat(25_000_000), "the limit is 4194304");
}

#[test]
fn ten_thousand_parentheses() {
    fails(format!("print({}1{})", "(".repeat(10_000), ")".repeat(10_000)), "nest");
}

#[test]
fn sum_of_100_000_terms() {
    fails(format!("print(1{})", " + 1".repeat(100_000)), "too long; the limit is 256");
}

#[test]
fn ten_thousand_else_ifs() {
    let mut script = "let x = 1\nif x == 0 { print(0) }".to_string();
    for k in 1..10_000 {
        script.push_str(&format!(" else if x == {k} {{ print({k}) }}"));
    }
    fails(script, "nest");
}

#[test]
fn unary_chains_and_nested_blocks() {
    fails(format!("print({}1)", "- ".repeat(10_000)), "too long");
    fails(format!("{}{}", "if true { ".repeat(10_000), "}".repeat(10_000)), "nest");
    fails(format!("print(2{})", " ** 2".repeat(10_000)), "too long");
}

#[test]
fn thirty_functions_each_calling_the_next_twice() {
    let mut script = String::new();
    for k in 0..30 {
        script.push_str(&format!("fn f{k}(x: i64) -> i64 = f{}(x) + f{}(x + 1)\n", k + 1, k + 1));
    }
    script.push_str("fn f30(x: i64) -> i64 = x\n");
    let (code, out, err) = run(&["check", "-"], script.clone().into_bytes());
    assert_eq!(code, 0, "{out}{err}");
    script.push_str("print(f0(1))\n");
    let (code, out, err) = run(&["run", "--timeout", "2", "-"], script.into_bytes());
    assert!(code == 0 && !out.is_empty() || code == 1 && err.contains("deadline"), "{code} {out} {err}");
}

#[test]
fn tuple_doubled_forty_times() {
    let mut script = "fn f(x: i64) -> i64 {\n  let t0 = (x, x)\n".to_string();
    for k in 1..40 {
        script.push_str(&format!("  let t{k} = (t{}, t{})\n", k - 1, k - 1));
    }
    script.push_str("  return 1\n}\nprint(f(1))\n");
    fails(script, "tuple");
}

#[test]
fn specialisation_that_calls_itself_at_a_new_type() {
    fails("fn f(x) = f((x, x))\nprint(f(1))", "calls itself");
    fails("fn f(x) = g((x, x))\nfn g(x) = f(x)\nprint(f(1))", "calls itself");
}

#[test]
fn invalid_utf8_and_nul_bytes() {
    fails(b"print(1)\nprint(\xff\xfe)".to_vec(), "UTF-8");
    fails(b"print(1)\0".to_vec(), "error");
}

#[test]
fn sizes_that_disagree() {
    fails(
        "fn f(x: [f64; n], y: [f64; n]) -> i64 = n\nprint(f(zeros(f64, 3), zeros(f64, 4)))",
        "sizes disagree",
    );
    fails("fn f(n: i64) -> [f64; n] = zeros(f64, n + 1)\nprint(f(3))", "sizes disagree");
}

#[test]
fn index_out_of_range_in_iteration_77_of_a_parallel_loop() {
    let script = "fn f(n: i64) -> f64 {\n  var x = zeros(f64, n)\n  let k = 77\n  @parallel for i in 0..n { x[i + (if i >= k { 1_000_000 } else { 0 })] = 1 }\n  return x[0]\n}\nprint(f(5000))";
    let (code, _, err) = run(&["-"], script.into());
    assert_eq!(code, 1);
    assert!(err.contains("index 1000077 is out of range for axis 0 of `x`, which has size 5000"), "{err}");
    assert!(err.contains("in `f`, at i = 77"), "{err}");
}

#[test]
fn division_by_zero() {
    fails("print(1 // 0)", "division by zero");
    fails("fn f(x: i64, y: i64) = x % y\nprint(f(1, 0))", "division by zero");
}

#[test]
fn huge_arrays() {
    fails("print(len(zeros(10**12)))", "out of memory");
    fails("print(len(zeros(f64, 10**10, 10**10)))", "out of memory");
    fails("print(len(zeros(-1)))", "negative");
    fails("let big = 9223372036854775807\nprint(len(zeros(f64, big, big, big)))", "out of memory");
}

#[test]
fn memory_limit_is_kept() {
    let (code, _, err) = run(&["run", "--memory", "10", "-"], "print(len(zeros(f64, 10_000_000)))".into());
    assert!(code == 1 && err.contains("10.0 MB"), "{err}");
}

#[test]
fn endless_loops_under_a_deadline() {
    for body in
        ["while true {}", "var i = 0\nwhile true { i += 1 }", "for i in 0..9223372036854775807 { let x = i }"]
    {
        let script = format!("fn f() -> i64 {{\n{body}\nreturn 1\n}}\nprint(f())");
        let (code, out, err) = run(&["run", "--timeout", "0.3", "-"], script.into());
        assert!(
            code == 1 && err.contains("deadline") || code == 0 && out == "1\n",
            "{body}: {code} {out} {err}"
        );
    }
    let parallel = "fn f(n: i64) -> i64 {\nvar s = 0\n@parallel for i in 0..n { s ^= i * i }\nreturn s\n}\nprint(f(9223372036854775807))";
    let (code, _, err) = run(&["run", "--timeout", "0.3", "-"], parallel.into());
    assert!(code == 1 && err.contains("deadline"), "{err}");
}

#[test]
fn many_mistakes_are_bounded() {
    fails("let x = = 1\n".repeat(10_000), "error");
    fails("print(undefined)\n".repeat(10_000), "error");
}

#[test]
fn empty_scripts_are_fine() {
    for script in ["", "\n\n", "# only a comment", "   \t  "] {
        assert_eq!(run(&["-"], script.into()), (0, String::new(), String::new()));
    }
}
