//! Bad input of every kind ends in a clear error, soon, and the process lives.

use crate::text::root;
use kiln::{Engine, Options, ScriptOptions};
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

/// Every script of this file's kind in one engine: each ends in its error, the memory comes back, and the next one runs as if nothing had been.
#[test]
fn one_engine_survives_all_of_it_and_keeps_nothing() {
    // In a process of its own: its memory is looked at.
    if std::env::var_os("KILN_TEST_ALONE").is_none() {
        let tests = std::env::current_exe().expect("this program");
        let name = "hostile::one_engine_survives_all_of_it_and_keeps_nothing";
        let alone = Command::new(tests).args(["--exact", name]).env("KILN_TEST_ALONE", "1").output();
        let alone = alone.expect("it starts");
        let text = String::from_utf8_lossy(&alone.stdout);
        assert!(alone.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let nested = |k: usize| format!("print({}1{})", "(".repeat(k), ")".repeat(k));
    let calls: String =
        (0..30).map(|k| format!("fn f{k}(x: i64) -> i64 = f{}(x) + f{}(x + 1)\n", k + 1, k + 1)).collect();
    let tuples: String = (1..40).map(|k| format!("  let t{k} = (t{}, t{})\n", k - 1, k - 1)).collect();
    let scripts: Vec<(Vec<u8>, &str)> = vec![
        ("x + ".repeat(2_000_000).into(), "the limit is 4194304"),
        (nested(10_000).into(), "nest"),
        (format!("print(1{})", " + 1".repeat(100_000)).into(), "too long"),
        (format!("if 1 == 0 {{ print(0) }}{}", " else if 1 == 2 { print(1) }".repeat(10_000)).into(), "nest"),
        (format!("{calls}fn f30(x: i64) -> i64 = x\nprint(f0(1) // 0)").into(), "division by zero"),
        (format!("fn f(x: i64) -> i64 {{\n  let t0 = (x, x)\n{tuples}  return 1\n}}\nprint(f(1))").into(), "tuple"),
        ("fn f(x) = f((x, x))\nprint(f(1))".into(), "calls itself"),
        (b"print(\xff\xfe)".to_vec(), "UTF-8"),
        ("fn f(x: [f64; n], y: [f64; n]) -> i64 = n\nprint(f(zeros(f64, 300_000), zeros(f64, 4)))".into(), "sizes disagree"),
        ("fn f(n: i64) -> f64 {\n  var x = zeros(f64, n)\n  let k = 77\n  @parallel for i in 0..n { x[i + (if i >= k { n } else { 0 })] = 1 }\n  return x[0]\n}\nprint(f(100_000))".into(), "at i = 77"),
        ("print(1 // 0)".into(), "division by zero"),
        ("print(len(zeros(10**12)))".into(), "out of memory"),
        ("fn f() -> i64 {\n  let x = zeros(f64, 1_000_000)\n  var i = 0\n  while true { i += len(x) }\n  return i\n}\nprint(f())".into(), "deadline"),
        ("let x = load(\"truncated.npy\")\nprint(x)".into(), "truncated.npy"),
    ];
    let folder = std::env::temp_dir().join(format!("kiln-hostile-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for a test");
    let mut file =
        b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f8', 'fortran_order': False, 'shape': (1000000,), }".to_vec();
    file.resize(128, b' ');
    file.extend([0; 24]);
    std::fs::write(folder.join("truncated.npy"), file).expect("a file for a test");

    let engine = Engine::new(Options { memory: 1 << 30, cache_entries: 16, ..Options::default() });
    let mut resident = Vec::new();
    for round in 0..6 {
        for (script, says) in &scripts {
            let start = Instant::now();
            let options = ScriptOptions {
                deadline: Some(Duration::from_millis(100)),
                print: Some(&|_| {}),
                folder: Some(folder.clone()),
                ..ScriptOptions::default()
            };
            let result = engine
                .compile_bytes("hostile.kiln", script)
                .and_then(|module| module.run_script(&options).result);
            let error = result.expect_err(says).to_string();
            assert!(error.contains(says), "wanted `{says}`: {error}");
            assert!(start.elapsed() < SOON, "{says}: took {:?}", start.elapsed());
            assert_eq!(engine.memory_used(), 0, "{says}: arrays are left over");
        }
        let sound =
            engine.compile("sound.kiln", "fn twice(x) = 2 * x").and_then(|module| module.function("twice"));
        let twice = sound.expect("it compiles").call(&mut [21i64.into()]).expect("it runs");
        assert_eq!(twice.to_string(), "42", "after round {round}");
        resident.push(megabytes("VmRSS:"));
    }
    let _ = std::fs::remove_dir_all(&folder);
    // The first rounds warm caches up; after that nothing grows.
    if let (Some(early), Some(late), Some(peak)) = (resident[2], resident[5], megabytes("VmHWM:")) {
        assert!(late < early + 8.0, "resident memory grows: {resident:?} MB");
        assert!(peak < 200.0, "{peak} MB at the worst");
    }
}

/// A figure of this process's memory, where the system tells.
fn megabytes(row: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let row = status.lines().find(|line| line.starts_with(row))?;
    let kilobytes: f64 = row.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024.0 / 1e6)
}
