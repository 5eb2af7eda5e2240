//! The `kiln` command from outside: output, exit codes, pipes, signals.

use crate::text::{expected_output, files, root};
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn kiln(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
    command.args(args).current_dir(root()).env("NO_COLOR", "1");
    command
}

fn run(args: &[&str]) -> (i32, String, String) {
    text(kiln(args).output().expect("the command runs"))
}

fn piped(args: &[&str], input: &[u8]) -> (i32, String, String) {
    let mut child = kiln(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().expect("the command ends");
    writer.join().expect("the writer ends");
    text(output)
}

fn text(output: Output) -> (i32, String, String) {
    let utf8 = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is text");
    (output.status.code().unwrap_or(-1), utf8(output.stdout), utf8(output.stderr))
}

#[test]
fn pi_is_within_a_thousandth_and_the_same_for_any_threads() {
    let estimates: Vec<String> = ["1", "2", "7"]
        .iter()
        .map(|threads| {
            let (code, out, err) =
                run(&["run", "--threads", threads, "examples/monte_carlo_pi.kiln", "300000"]);
            assert_eq!((code, err.as_str()), (0, ""));
            out
        })
        .collect();
    assert!(estimates.iter().all(|estimate| *estimate == estimates[0]), "{estimates:?}");
    let estimate: f64 = estimates[0].trim().parse().expect("a number");
    assert!((estimate - std::f64::consts::PI).abs() < 0.01, "{estimate}");
}

#[test]
fn pi_has_the_same_digits_with_either_annotation_deleted() {
    let script = std::fs::read_to_string(root().join("examples/monte_carlo_pi.kiln")).expect("the example");
    let variants = [
        script.clone(),
        script.replace("@parallel @vectorize", "@parallel"),
        script.replace("@parallel @vectorize", "@vectorize"),
        script.replace("@parallel @vectorize\n", ""),
    ];
    let outputs: Vec<_> =
        variants.iter().map(|text| piped(&["run", "-", "100000"], text.as_bytes())).collect();
    assert_eq!(outputs[0].0, 0, "{}", outputs[0].2);
    assert!(outputs.iter().all(|output| output.1 == outputs[0].1), "{outputs:?}");
}

#[test]
fn examples_print_what_their_comments_promise() {
    for file in files("examples", "kiln") {
        let name = file.file_name().and_then(|name| name.to_str()).expect("a name").to_string();
        let path = format!("examples/{name}");
        let args =
            if name == "monte_carlo_pi.kiln" { vec!["run", &path, "200000"] } else { vec!["run", &path] };
        let (code, out, err) = run(&args);
        assert_eq!((code, err.as_str()), (0, ""), "{name}: {out}");
        assert!(!out.is_empty(), "{name}");
        let number = |line: &str| -> f64 {
            line.split_whitespace().last().and_then(|word| word.parse().ok()).unwrap_or(f64::NAN)
        };
        let line = |start: &str| {
            out.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{name}: {out}"))
        };
        match name.as_str() {
            "go_fast.kiln" => {
                assert!(line("integers:").contains("[8.999999999442107, 9.999999999442107,"), "{out}")
            }
            "covariance.kiln" => {
                assert!(line("shape:").contains("(100, 50)"), "{out}");
                assert!((number(line("k[10, 3]:")) - 0.04).abs() < 1e-12, "{out}");
            }
            "rbf.kiln" => {
                // NumPy: np.exp(-0.5 * (a[:, None] - b[None, :]) ** 2)
                assert!((number(line("trace:")) - 296.883582649279).abs() < 1e-9, "{out}");
                assert!((number(line("sum:")) - 110869.01176489716).abs() < 1e-7, "{out}");
            }
            "matmul.kiln" => assert!(line("c[7, 9]").contains("9691550.0 expected 9691550"), "{out}"),
            "mandelbrot.kiln" => {
                assert!((number(line("inside:")) / 240_000.0 - 1.5066 / (3.2 * 2.4)).abs() < 0.01, "{out}")
            }
            "nbody.kiln" => {
                let (before, after) = (number(line("energy before:")), number(line("energy after:")));
                assert!((before - after).abs() < 1e-3 * before.abs(), "{out}");
            }
            "heat.kiln" => assert!((number(line("middle:")) - 25.0).abs() < 0.1, "{out}"),
            "histogram.kiln" => assert!(line("draws:").ends_with(" 1000000"), "{out}"),
            "random_walk.kiln" => {
                let mean: f64 = line("mean:")
                    .split_whitespace()
                    .nth(1)
                    .and_then(|word| word.parse().ok())
                    .expect("a mean");
                assert!((mean - 375.0).abs() < 6.0, "{out}");
            }
            "monte_carlo_pi.kiln" => assert!((number(&out) - std::f64::consts::PI).abs() < 0.015, "{out}"),
            "black_scholes.kiln" => {
                // Haug's printed values stand in the lines themselves.
                for line in out.lines().take(10) {
                    let (label, value) = line.split_once(": ").expect("a label and a value");
                    let published: f64 =
                        label.split(' ').next_back().and_then(|word| word.parse().ok()).expect("a value");
                    let value: f64 = value.parse().expect("a number");
                    assert!((value - published).abs() <= 0.5001e-4, "{line}");
                }
                assert!((number(line("at the money")) - 10.450583572185565).abs() < 1e-13, "{out}");
                assert!(number(line("largest violation")) < 1e-12, "{out}");
            }
            "european_mc.kiln" => assert_converges(&out, 10.450583572185565),
            "asian_option.kiln" => {
                assert_converges(&out, 5.620434431825344);
                assert_arithmetic(&out, 5.8366, 5e-3);
            }
            "lookback_option.kiln" => assert_converges(&out, 8.037120139607016),
            "basket_option.kiln" => {
                assert_converges(&out, 19.29490301703428);
                assert_arithmetic(&out, 28.0073, 0.03);
            }
            "cir_bond.kiln" => assert_converges(&out, 0.9500807141257487),
            other => panic!("examples/{other} has no check here"),
        }
    }
}

/// A Monte Carlo example: its closed form is `exact` (computed apart, in Python), its estimates at three sizes, each 16 times the one before, are within 4 standard errors of it, and the
/// error falls as one over the square root of the size.
fn assert_converges(out: &str, exact: f64) {
    let words =
        |line: &str| -> Vec<f64> { line.split_whitespace().filter_map(|word| word.parse().ok()).collect() };
    let line = out.lines().find(|line| line.starts_with("exact:")).unwrap_or_else(|| panic!("{out}"));
    assert!((words(line)[0] / exact - 1.0).abs() < 1e-13, "{line}, not {exact}");
    let rows: Vec<Vec<f64>> = out.lines().filter(|line| line.contains(" paths: ")).map(words).collect();
    assert_eq!(rows.len(), 3, "{out}");
    for row in &rows {
        let [_, price, error, off] = row[..] else { panic!("{out}") };
        assert!(
            ((price - exact) / error - off).abs() < 1e-6 * off.abs().max(1.0) && off.abs() < 4.0,
            "{out}"
        );
    }
    for pair in rows.windows(2) {
        assert_eq!(pair[1][0], 16.0 * pair[0][0], "{out}");
        assert!((pair[0][2] / pair[1][2] / 4.0 - 1.0).abs() < 0.15, "the error does not fall as 1/√n: {out}");
    }
}

/// The last estimate by control variate is within 4 standard errors, and `slack` for the published value's own, of it.
fn assert_arithmetic(out: &str, published: f64, slack: f64) {
    let line = out.lines().rfind(|line| line.contains("arithmetic:")).unwrap_or_else(|| panic!("{out}"));
    let numbers: Vec<f64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert!((numbers[0] - published).abs() < 4.0 * numbers[1] + slack, "{line}, published {published}");
}

#[test]
fn standard_input_short_form_and_arguments() {
    assert_eq!(piped(&["-"], b"print(2 ** 10)"), (0, "1024\n".to_string(), String::new()));
    let script = b"print(args.0 + args.1, len(args))";
    assert_eq!(piped(&["-", "1", "0.5"], script), (0, "1.5 2\n".to_string(), String::new()));
}

#[test]
fn exit_codes_tell_program_errors_from_wrong_usage() {
    let (code, out, err) = piped(&["-"], b"print(x)");
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("error:") && err.contains("<stdin>:1:7"), "{err}");
    assert_eq!(run(&["--no-such-flag", "x"]).0, 2);
    assert_eq!(run(&["run", "no/such/file.kiln"]).0, 1);
    assert_eq!(run(&["run"]).0, 2);
    let (code, out, _) = run(&["--help"]);
    assert!(code == 0 && out.contains("Examples:"), "{out}");
    let (code, out, _) = run(&["--version"]);
    assert!(code == 0 && out.starts_with("kiln "), "{out}");
}

#[test]
fn timeout_ends_an_endless_loop() {
    let start = Instant::now();
    let (code, _, err) = piped(
        &["run", "--timeout", "0.2", "-"],
        b"fn f() -> i64 { var i = 0; while true { i += 1 }; return i }\nprint(f())",
    );
    assert_eq!(code, 1);
    assert!(err.contains("deadline"), "{err}");
    assert!(start.elapsed() < Duration::from_secs(3));
}

#[cfg(unix)]
#[test]
fn ctrl_c_stops_a_running_kernel_with_exit_code_130() {
    let mut child = kiln(&["-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("runs");
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(b"print(1)\nvar i = 0\nwhile true { i += 1 }")
        .expect("written");
    let mut out = child.stdout.take().expect("a pipe");
    std::io::Read::read_exact(&mut out, &mut [0; 2]).expect("the script has begun");
    std::thread::sleep(Duration::from_millis(100));
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    let start = Instant::now();
    let status = child.wait().expect("ends");
    assert_eq!(status.code(), Some(130));
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn time_lists_every_step_on_stderr() {
    let (code, out, err) = piped(&["run", "--time", "-"], b"fn f(x) = 2 * x\nprint(f(1), f(2), f(0.5))");
    assert_eq!((code, out.as_str()), (0, "2 4 1.0\n"));
    let rows = [
        "start the process",
        "parse",
        "check",
        "line 2: print(f(1), f(2), f(0.5))",
        "infer",
        "lower",
        "passes",
        "inline",
        "cranelift",
        "script()",
        "load",
        "run",
        "everything else",
        "total",
        "cache:",
    ];
    for row in rows {
        assert!(err.lines().any(|line| line.trim_start().starts_with(row)), "no row `{row}`:\n{err}");
    }
    // A function that stays one has a row with the types that it was specialised for.
    let script = b"fn f(n: i64) -> i64 {\n  var s = 0\n  @parallel for i in 0..n { s += i }\n  return s\n}\nprint(f(5))";
    let (_, out, err) = piped(&["run", "--time", "-"], script);
    assert_eq!(out, "10\n");
    assert!(err.contains("_loop0(i64)"), "{err}");
}

#[test]
fn show_prints_every_stage() {
    for (stage, wanted) in [("ast", "fn rbf("), ("ir", "func @"), ("clif", "function"), ("asm", "ret")] {
        let (code, out, err) = run(&[
            "show",
            "examples/rbf.kiln",
            "--stage",
            stage,
            "--fn",
            "rbf",
            "--types",
            "[f64; n], [f64; m], f64",
        ]);
        assert!(code == 0 && out.contains(wanted), "{stage}: {code} {out} {err}");
    }
}

#[test]
fn npy_files_go_out_and_come_in() {
    let folder = std::env::temp_dir().join(format!("kiln-npy-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("a.npy");
    let script = format!(
        "var a = zeros(f32, 2, 3)\na[1, 2] = 2.5\nsave(\"{0}\", a)\nlet b = load(\"{0}\")\nprint(b, shape(b))",
        path.display()
    );
    let result = piped(&["-"], script.as_bytes());
    assert_eq!(result, (0, "[[0.0, 0.0, 0.0], [0.0, 0.0, 2.5]] (2, 3)\n".to_string(), String::new()));
    let mut bytes = std::fs::read(&path).expect("saved");
    assert_eq!(&bytes[..6], b"\x93NUMPY");
    bytes.truncate(bytes.len() - 3);
    std::fs::write(&path, &bytes).expect("written");
    let (code, _, err) = piped(&["-"], format!("let b = load(\"{}\")", path.display()).as_bytes());
    assert!(code == 1 && err.contains("truncated"), "{err}");
    std::fs::write(&path, b"not an array").expect("written");
    let (code, _, err) = piped(&["-"], format!("let b = load(\"{}\")", path.display()).as_bytes());
    assert!(code == 1 && err.contains("not a .npy file"), "{err}");
    std::fs::remove_dir_all(&folder).expect("removed");
}

#[test]
fn kernels_print_the_same_from_the_command() {
    let file = root().join("tests/kernels/integers_wrap_and_floor.kiln");
    let text = std::fs::read_to_string(&file).expect("a kernel");
    let (code, out, err) = run(&["run", "tests/kernels/integers_wrap_and_floor.kiln"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(out, expected_output(&text));
}

#[test]
fn raw_random_words_are_those_of_a_drawing_loop_and_end_with_their_reader() {
    // `rand` keeps the upper 52 bits of its word.
    let engine = kiln::Engine::default();
    let text = "fn first(n: i64) -> [f64; n, 3] {
    var x = zeros(n, 3)
    @parallel for i in 0..n { for k in 0..3 { x[i, k] = rand() } }
    return x
}
fn f() -> [f64; 5, 3] = first(5)";
    let module = engine.compile("first.kiln", text).expect("it compiles");
    let first = module.function("f").expect("it is there");
    let options = kiln::CallOptions { seed: 9, ..kiln::CallOptions::default() };
    let drawn = first.call_with(&mut [], &options).expect("it runs").to_string();
    for generator in ["philox", "ars"] {
        let mut child = kiln(&["random", "--raw", "--generator", generator, "--streams", "5", "--seed", "9"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command runs");
        let mut bytes = [0; 8 * 15];
        let mut stdout = child.stdout.take().expect("a pipe");
        std::io::Read::read_exact(&mut stdout, &mut bytes).expect("words come");
        drop(stdout);
        let end = child.wait_with_output().expect("the command ends");
        assert!(end.status.success() && end.stderr.is_empty(), "{end:?}");
        let words: Vec<u64> =
            bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("8 bytes"))).collect();
        let uniform =
            |word: u64| f64::from_bits(word >> 12 | 0x3ff0_0000_0000_0000) - (1.0 - 0.5f64.powi(53));
        let rows: Vec<Vec<f64>> =
            (0..5).map(|stream| (0..3).map(|k| uniform(words[5 * k + stream])).collect()).collect();
        // Only Philox's are the numbers of an ordinary loop.
        assert_eq!(format!("{rows:?}") == drawn, generator == "philox", "{generator}: {rows:?} and {drawn}");
    }
}
