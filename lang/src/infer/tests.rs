//! Small programs, their trees as text, and what is wrong with wrong ones.

use super::{infer, tree_text};
use crate::diag::Diagnostic;
use crate::resolve::{Checked, KnownVar, resolve, resolve_entry};
use crate::script::{Output, Saved, ScriptArg, ScriptStep, ScriptVar, script_step};
use crate::span::{SourceId, line_column};
use crate::tree::{Program, StreamMode};
use crate::types::{Layout, Scalar, Type};
use std::time::Instant;

const F64: Type = Type::Scalar(Scalar::F64);
const F32: Type = Type::Scalar(Scalar::F32);
const I64: Type = Type::Scalar(Scalar::I64);
const I32: Type = Type::Scalar(Scalar::I32);
const U32: Type = Type::Scalar(Scalar::U32);
const U64: Type = Type::Scalar(Scalar::U64);
const BOOL: Type = Type::Scalar(Scalar::Bool);

fn row(elem: Scalar) -> Type {
    Type::array(elem, 1)
}

fn check(text: &str) -> Result<Checked, Vec<Diagnostic>> {
    let (module, found) = crate::parse(SourceId(0), text);
    if found.is_empty() { resolve(module, SourceId(0)) } else { Err(found) }
}

fn checked(text: &str) -> Checked {
    check(text).unwrap_or_else(|found| panic!("{}", shown(text, &found)))
}

/// The tree of `f`, without its first line.
fn body(text: &str, args: &[Type]) -> String {
    let text_of = tree(text, args);
    let lines: Vec<&str> =
        text_of.lines().skip(1).map(|line| line.strip_prefix("  ").unwrap_or(line)).collect();
    lines.join("\n")
}

fn tree(text: &str, args: &[Type]) -> String {
    match infer(&checked(text), "f", args) {
        Ok(program) => {
            verified(&program);
            tree_text(&program)
        }
        Err(found) => panic!("{}", shown(text, &found)),
    }
}

/// The type of `f`'s result.
fn result(text: &str, args: &[Type]) -> Type {
    match infer(&checked(text), "f", args) {
        Ok(program) => {
            verified(&program);
            program.funcs[0].result.clone()
        }
        Err(found) => panic!("{}", shown(text, &found)),
    }
}

/// The title of the first thing that is wrong with `f`.
fn wrong(text: &str, args: &[Type]) -> String {
    let found = match check(text) {
        Ok(checked) => infer(&checked, "f", args).expect_err("no error").remove(0),
        Err(mut found) => found.remove(0),
    };
    found.title
}

fn shown(text: &str, found: &[Diagnostic]) -> String {
    let mut out = String::new();
    for diagnostic in found {
        let (line, column) = line_column(text, diagnostic.primary.span.start);
        out.push_str(&format!(
            "error: {}\n  {line}:{column} {}\n",
            diagnostic.title, diagnostic.primary.text
        ));
        for label in &diagnostic.secondary {
            let (line, column) = line_column(text, label.span.start);
            out.push_str(&format!("  {line}:{column} {}\n", label.text));
        }
        diagnostic.notes.iter().for_each(|note| out.push_str(&format!("  note: {note}\n")));
        diagnostic.helps.iter().for_each(|help| out.push_str(&format!("  help: {help}\n")));
    }
    out
}

fn verified(program: &Program) {
    let broken = super::verify::broken(program);
    assert!(broken.is_empty(), "{broken:#?}\n{}", tree_text(program));
}

/// Takes all steps of a script as a host would, without running anything; loaded arrays are rows of f64.
fn steps(text: &str, args: &[ScriptArg]) -> Result<(Vec<ScriptStep>, Vec<ScriptVar>), Vec<Diagnostic>> {
    let checked = check(text)?;
    let mut vars: Vec<ScriptVar> = Vec::new();
    let mut steps = Vec::new();
    let mut waiting: Vec<usize> = (0..checked.script_len()).rev().collect();
    while let Some(index) = waiting.pop() {
        let step = script_step(&checked, index, &vars, args)?;
        let var =
            |name: &str, ty: Type, is_var, alias_of| ScriptVar { name: name.into(), ty, is_var, alias_of };
        match &step {
            ScriptStep::Run { outputs, program, .. } => {
                verified(program);
                for output in outputs.iter().filter(|output| output.declares) {
                    vars.push(var(&output.name, output.ty.clone(), output.is_var, None));
                }
            }
            ScriptStep::Load { name, is_var, .. } => vars.push(var(name, row(Scalar::F64), *is_var, None)),
            ScriptStep::Alias { name, of } => {
                let ty = vars.iter().find(|var| var.name == *of).expect("alias of a variable").ty.clone();
                vars.push(var(name, ty, false, Some(of.clone())));
            }
            ScriptStep::Time(inner) => waiting.extend(inner.iter().rev()),
            ScriptStep::Save { .. } | ScriptStep::Swap { .. } | ScriptStep::Nothing => {}
        }
        steps.push(step);
    }
    Ok((steps, vars))
}

fn script(text: &str, args: &[ScriptArg]) -> (Vec<ScriptStep>, Vec<ScriptVar>) {
    steps(text, args).unwrap_or_else(|found| panic!("{}", shown(text, &found)))
}

fn var_type(text: &str, name: &str) -> Type {
    script(text, &[]).1.into_iter().find(|var| var.name == name).expect("declared").ty
}

// ---- literals ----

#[test]
fn a_literal_takes_the_type_of_its_context() {
    assert_eq!(body("fn f(x: f32) = 0.5 * x + 1", &[F32]), "return ((0.5f32 * x) + 1.0f32)");
    assert_eq!(body("fn f(x: u64) = (x >> 3) & 255", &[U64]), "return ((x >> 3u64) & 255u64)");
    assert_eq!(body("fn f(n: i64) = n * 0.5", &[I64]), "return (f64<-i64(n) * 0.5)");
    assert_eq!(body("fn f(x: f32) = x / sqrt(2 * pi)", &[F32]), "return (x / sqrt((2.0f32 * 3.1415927f32)))");
    assert_eq!(
        body("fn f(x: f32, c: bool) = x * if c { 1 } else { 0.5 }", &[F32, BOOL]),
        "return (x * if c { 1.0f32 } else { 0.5f32 })"
    );
    assert_eq!(
        body("fn f(x: f32) -> f32 {\nlet half = 0.5\nreturn f32(half) * x\n}", &[F32]).lines().next(),
        Some("let half: f64 = 0.5")
    );
    assert_eq!(body("const G = 6.5\nfn f(x: f32) = G * x", &[F32]), "return (6.5f32 * x)");
    assert_eq!(body("const K = 2 ** 3 - 1\nfn f(x: i32) = x + K", &[I32]), "return (x + 7i32)");
    assert_eq!(result("const G: f64 = 6.5\nfn f(x: f32) = G * x", &[F32]), F64);
    assert_eq!(body("fn f() = -9223372036854775808", &[]), "return -9223372036854775808");
    assert_eq!(body("fn f() = u64(0xFFFFFFFFFFFFFFFF)", &[]), "return 18446744073709551615u64");
    assert_eq!(body("fn f(x: f64) = x * (1 << 3)", &[F64]), "return (x * f64<-i64((1 << 3)))");
    assert_eq!(
        body("fn f(k: i64, m: u64) = m | (1 << k)", &[I64, U64]),
        "return (m | (1u64 << u64<-i64(k)))"
    );
}

#[test]
fn a_variable_that_starts_as_a_literal_takes_the_join_of_what_is_assigned() {
    let sum = "fn f(x: [T; n]) {\nvar s = 0\nfor i in 0..n { s += x[i] }\nreturn s\n}";
    assert_eq!(result(sum, &[row(Scalar::F32)]), F32);
    assert_eq!(result(sum, &[row(Scalar::U64)]), U64);
    assert_eq!(result(sum, &[row(Scalar::Bool)]), I64);
    assert_eq!(result("fn f() {\nvar s = 0\ns += 1\nreturn s\n}", &[]), I64);
    assert_eq!(result("fn f() {\nvar s = 0\ns /= 2\nreturn s\n}", &[]), F64);
    // the order of the assignments does not matter
    let mixed = |first: &str, second: &str| {
        format!("fn f(x: f32, n: i64) {{\nvar s = 0.0\n{first}\n{second}\nreturn s\n}}")
    };
    assert_eq!(result(&mixed("s += x", "s += n"), &[F32, I64]), F32);
    assert_eq!(result(&mixed("s += n", "s += x"), &[F32, I64]), F32);
    assert_eq!(result(&mixed("s += n", "s += n"), &[F32, I64]), F64);
    // through a call, and through another variable
    assert_eq!(
        result("fn g(x) = x + x\nfn f(x: f32) {\nvar s = 0.0\ns = g(s)\ns += x\nreturn s\n}", &[F32]),
        F32
    );
    assert_eq!(result("fn f(x: f32) {\nvar a = 0.0\nvar b = 0.0\na = b\nb = x\nreturn a\n}", &[F32]), F32);
    // the declared result counts, another variable does not change its first type
    assert_eq!(
        body("fn f() -> f32 {\nvar s = 0\nreturn s\n}", &[]).lines().next(),
        Some("var s: f32 = 0.0f32")
    );
    assert_eq!(
        wrong("fn f(x: f64) {\nvar k = 1\nlet n = k\nvar m = n\nm = x\nreturn m\n}", &[F64]),
        "`m` is i64, but the value is f64"
    );
    assert_eq!(
        wrong("fn f(a: i64, b: u64) {\nvar s = 0\ns += a\ns += b\nreturn s\n}", &[I64, U64]),
        "i64 and u64 have no common type"
    );
}

#[test]
fn an_array_without_a_type_takes_the_join_of_what_is_stored() {
    let fill = |store: &str| {
        format!("fn f(x: [T; n]) {{\nvar y = zeros(n)\nfor i in 0..n {{ y[i] = {store} }}\nreturn y\n}}")
    };
    assert_eq!(result(&fill("x[i]"), &[row(Scalar::F32)]), row(Scalar::F32));
    assert_eq!(result(&fill("x[i] > 0"), &[row(Scalar::F32)]), row(Scalar::Bool));
    assert_eq!(result(&fill("i"), &[row(Scalar::F32)]), row(Scalar::I64));
    assert_eq!(result(&fill("0.5 * x[i]"), &[row(Scalar::I32)]), row(Scalar::F64));
    assert_eq!(result("fn f(n: i64) = zeros(n, n)", &[I64]), Type::array(Scalar::F64, 2));
    // int literals adapt, so they leave the default
    assert_eq!(result("fn f(n: i64) {\nvar h = zeros(n)\nh[0] += 1\nreturn h\n}", &[I64]), row(Scalar::F64));
    assert_eq!(
        result("fn f(n: i64) {\nvar h = zeros(n)\nh[0] += 1\nh[1] += n\nreturn h\n}", &[I64]),
        row(Scalar::I64)
    );
    assert_eq!(result("fn f(n: i64) -> [f32; n] = ones(n)", &[I64]), row(Scalar::F32));
    let axpy = "fn axpy(a: T, x: [T; n], y: mut [T; n]) { for i in 0..n { y[i] += a * x[i] } }\n";
    assert_eq!(
        result(
            &format!("{axpy}fn f(x: [f32; n]) {{\nvar y = zeros(n)\naxpy(2, x, y)\nreturn y\n}}"),
            &[row(Scalar::F32)]
        ),
        row(Scalar::F32)
    );
    assert_eq!(
        body("fn f() {\nlet w = [1, 0.5]\nreturn w\n}", &[]),
        "let w: [f64; _] = zeros(2):[f64; _]\nw[0] = 1.0\nw[1] = 0.5\nreturn w"
    );
}

// ---- numbers ----

#[test]
fn operands_are_promoted() {
    assert_eq!(result("fn f(a: i32, b: i64) = a + b", &[I32, I64]), I64);
    assert_eq!(result("fn f(a: u32, b: i32) = a + b", &[U32, I32]), I64);
    assert_eq!(result("fn f(a: i64, b: f32) = a * b", &[I64, F32]), F32);
    assert_eq!(result("fn f(a: i32, b: i32) = a / b", &[I32, I32]), F64);
    assert_eq!(result("fn f(a: bool, b: bool) = a + b", &[BOOL, BOOL]), I64);
    assert_eq!(result("fn f(a: bool, b: bool) = a & b", &[BOOL, BOOL]), BOOL);
    assert_eq!(result("fn f(a: i32, b: i64) = a << b", &[I32, I64]), I32);
    assert_eq!(
        body("fn f(x: f64, y: f64) {\nvar hits = 0\nhits += x < y\nreturn hits\n}", &[F64, F64])
            .lines()
            .nth(1),
        Some("hits += i64<-bool((x <:f64 y))")
    );
    assert_eq!(
        body("fn f(a: i32, b: f32, c: i64) = a < b <= c", &[I32, F32, I64]),
        "return (a <:f32 b <=:f32 c)"
    );
    assert_eq!(body("fn f(a: f32) = a < 0.1", &[F32]), "return (a <:f32 0.1f32)");
    assert_eq!(body("fn f(u: u64) = u == 0", &[U64]), "return (u ==:u64 0u64)");
}

#[test]
fn powers_are_told_apart() {
    assert_eq!(body("fn f(x: f32) = x ** 2 + x ** -3", &[F32]), "return ((x ** #2) + (x ** #-3))");
    assert_eq!(body("fn f(x: f64) = x ** 17", &[F64]), "return (x ** 17.0)");
    assert_eq!(body("fn f(x: f64) = -x ** 2", &[F64]), "return -(x ** #2)");
    assert_eq!(body("fn f(k: i32, n: u32) = k ** n", &[I32, U32]), "return (k ** i64<-u32(n))");
    assert_eq!(body("fn f(x: f32, y: f64) = x ** y", &[F32, F64]), "return (f64<-f32(x) ** y)");
    assert_eq!(body("fn f(x: f32) = x * 2 ** 10", &[F32]), "return (x * (2.0f32 ** #10))");
    assert_eq!(
        body("fn f(a: mut [f64; n], i: i64) { a[i + 1] **= 2 }", &[row(Scalar::F64), I64]),
        "block\n  let <index>: i64 = (i + 1)\n  a[<index>] = (a[<index>] ** #2)"
    );
}

#[test]
fn an_update_with_a_float_product_is_fused() {
    let update = |text: &str| {
        let text = format!("fn f(x: f64, y: f64, h: f32, k: i64) {{\nvar s = x\n{text}\nreturn s\n}}");
        body(&text, &[F64, F64, F32, I64]).lines().nth(1).map(str::to_string).unwrap_or_default()
    };
    assert_eq!(update("s += x * y"), "s += product(x, y)");
    assert_eq!(update("s += (x * y)"), "s += product(x, y)");
    assert_eq!(update("s -= x * y"), "s += product(-x, y)");
    assert_eq!(update("s += -(x * y)"), "s += product(-x, y)");
    assert_eq!(update("s -= -(x * y)"), "s += product(x, y)");
    assert_eq!(update("s += -x * y"), "s += product(-x, y)");
    assert_eq!(update("s += 2 * x"), "s += product(2.0, x)");
    assert_eq!(update("s += k * x"), "s += product(f64<-i64(k), x)");
    assert_eq!(update("s += 2 * 3"), "s += product(2.0, 3.0)");
    assert_eq!(update("s += x * y * x"), "s += product((x * y), x)");
    // another outermost operation, another type, another spelling
    assert_eq!(update("s += x ** 2"), "s += (x ** #2)");
    assert_eq!(update("s += h * h"), "s += f64<-f32((h * h))");
    assert_eq!(update("s += x * y + 1"), "s += ((x * y) + 1.0)");
    assert_eq!(update("s += k * k"), "s += f64<-i64((k * k))");
    assert_eq!(update("s = s + x * y"), "s += (x * y)  # spelled out");
    assert_eq!(update("s = x * y + s"), "s += (x * y)  # spelled out");
    assert_eq!(update("s = s - x"), "s += -x  # spelled out");
    assert_eq!(update("s = max(s, x)"), "s max= x  # spelled out");
    assert_eq!(update("s = s + s * x"), "s = (s + (s * x))");
    assert_eq!(update("s *= x * y"), "s *= (x * y)");
    let array = "fn f(h: mut [i64; n], k: [i64; m]) { for i in 0..m { h[k[i]] = h[k[i]] + 1 } }";
    assert!(body(array, &[row(Scalar::I64), row(Scalar::I64)]).contains("h[k[i]] += 1  # spelled out"));
}

#[test]
fn reductions_have_their_types() {
    let over = |kind: &str, elem| result(&format!("fn f(x: [T; n]) = {kind}(x)"), &[row(elem)]);
    assert_eq!(over("sum", Scalar::Bool), I64);
    assert_eq!(over("sum", Scalar::I32), I64);
    assert_eq!(over("sum", Scalar::U32), U64);
    assert_eq!(over("sum", Scalar::F32), F32);
    assert_eq!(over("mean", Scalar::I64), F64);
    assert_eq!(over("mean", Scalar::F32), F32);
    assert_eq!(over("max", Scalar::I32), I32);
    assert_eq!(over("argmin", Scalar::F32), I64);
    assert_eq!(over("any", Scalar::Bool), BOOL);
    assert_eq!(
        body(
            "fn f(x: [f64; n], y: [f64; n]) = sum(x[i] * y[i] for i in 0..n if x[i] > 0)",
            &[row(Scalar::F64), row(Scalar::F64)]
        ),
        "return sum:f64(product(x[i], y[i]) for i in 0..n if (x[i] >:f64 0.0))"
    );
    assert_eq!(
        body("fn f(x: [f64; n, m]) = argmax(x)", &[Type::array(Scalar::F64, 2)]),
        "return argmax:i64(x[<i>, <j>] for <i> in 0..dim(x, 0), <j> in 0..dim(x, 1))"
    );
    assert_eq!(
        body("fn f(a: i64, b: f32, c: i32) = max(a, b, c)", &[I64, F32, I32]),
        "return max(max(f32<-i64(a), b), f32<-i32(c))"
    );
}

// ---- sizes and binding ----

#[test]
fn size_variables_are_bound_by_the_leftmost_plain_occurrence() {
    let header = |text: &str, args: &[Type]| tree(text, args).lines().next().unwrap_or_default().to_string();
    let rows = [row(Scalar::F64), row(Scalar::F64)];
    assert_eq!(
        header("fn f(x: [f64; n-1], y: [f64; n]) = n", &rows),
        "fn f#0(x: [f64; _] {n-1}, y: [f64; _] {n:=}) -> i64"
    );
    assert_eq!(
        header("fn f(x: [f64; n], n: i64) = x[n - 1]", &[row(Scalar::F64), I64]),
        "fn f#0(x: [f64; _] {n}, n: i64) -> f64"
    );
    assert_eq!(
        header("fn f(x: [f64; 3, _, n]) = n", &[Type::array(Scalar::F64, 3)]),
        "fn f#0(x: [f64; _, _, _] {3, _, n:=}) -> i64"
    );
    // a size that is a parameter without a type is i64
    assert_eq!(
        header("fn f(x: [f64; n], n) = n", &[row(Scalar::F64), I32]),
        "fn f#0(x: [f64; _] {n}, n: i64) -> i64"
    );
}

#[test]
fn results_keep_their_declared_shapes() {
    let program = infer(&checked("fn f(n: i64) -> ([f64; n, n+1], f64) = (zeros(n, n + 1), 0)"), "f", &[I64])
        .expect("checked");
    let shapes = &program.funcs[0].result_shapes;
    assert_eq!(shapes.len(), 1);
    assert_eq!(shapes[0].as_ref().map(Vec::len), Some(2));
    assert_eq!(program.funcs[0].result, Type::Tuple(vec![Type::array(Scalar::F64, 2), F64]));
}

#[test]
fn type_variables_are_bound_by_arrays_first() {
    let rbf = "fn f(gamma: T, a: [T; n]) = gamma * a[0]";
    assert_eq!(result(rbf, &[F32, row(Scalar::F32)]), F32);
    assert_eq!(result(rbf, &[I64, row(Scalar::F32)]), F32);
    assert_eq!(wrong(rbf, &[F64, row(Scalar::F32)]), "`T` is f32 from `a`, but `gamma` is f64");
    assert_eq!(result("fn f(a: T, b: T) = a + b", &[I64, F64]), F64);
    assert_eq!(result("fn g(a: T, b: T) = a + b\nfn f(x: f32) = g(x, 2)", &[F32]), F32);
    assert_eq!(result("fn g(a: T, b: T) = a + b\nfn f(n: i64) = g(n, 2.5)", &[I64]), F64);
    assert_eq!(result("fn f(x: [T; n]) = T(3)", &[row(Scalar::U32)]), U32);
    assert_eq!(
        wrong("fn f(x: [T; n], y: [T; n]) = 0", &[row(Scalar::F64), row(Scalar::F32)]),
        "`T` is f64 from `x`, but f32 from `y`"
    );
}

#[test]
fn layouts_make_versions_of_their_own() {
    let strided = Type::Array { elem: Scalar::F64, rank: 1, layout: Layout::Strided };
    let text = "fn g(x: [f64; n]) = x[0]\nfn f(x: [f64; n], y: [f64; n]) = g(x) + g(y) + g(x)";
    let program = infer(&checked(text), "f", &[strided.clone(), row(Scalar::F64)]).expect("checked");
    assert_eq!(program.funcs.len(), 3);
    let copy = infer(&checked("fn f(x: [f64; n]) = copy(x)"), "f", &[strided]).expect("checked");
    assert_eq!(copy.funcs[0].result, row(Scalar::F64));
}

#[test]
fn keywords_are_computed_in_the_order_of_the_source() {
    let text = "fn g(a, b) = a - b\nfn f(x: f64) = g(b=rand(), a=x + 1)";
    assert_eq!(
        body(text, &[F64]).lines().next(),
        Some(
            "return { let <argument>: f64 = rand:f64(); let <argument>: f64 = (x + 1.0); g#1(<argument>, <argument>) }"
        )
    );
}

// ---- streams ----

#[test]
fn a_call_knows_whether_its_stream_is_a_root() {
    let text = "fn dart() = rand() + rand()\nfn plain(x: f64) = x\nfn f(n: i64) {\nvar s = dart() + plain(1)\nvar i = 0\nwhile i < n {\ns += dart()\ni += 1\n}\nfor j in 0..n { s += dart() }\nreturn s\n}";
    let program = infer(&checked(text), "f", &[I64]).expect("checked");
    let modes: Vec<(&str, StreamMode)> =
        program.funcs.iter().map(|func| (func.name.as_str(), func.stream)).collect();
    assert_eq!(
        modes,
        [
            ("f", StreamMode::Root),
            ("dart", StreamMode::Root),
            ("plain", StreamMode::None),
            ("dart", StreamMode::Inner)
        ]
    );
    let text = tree_text(&program);
    assert!(text.contains("draws for j in 0..n"), "{text}");
    // a loop that only draws from streams of its own does not draw
    let own = body(
        "fn f(n: i64) {\nvar s = 0.0\nfor i in 0..n {\nlet r = rng(i)\ns += rand(r) + rand(r, f32)\n}\nreturn s\n}",
        &[I64],
    );
    assert!(own.contains("\nfor i in 0..n"), "{own}");
    assert_eq!(
        infer(&checked("fn f(n: i64) = sum(rand() for i in 0..n)"), "f", &[I64]).expect("checked").funcs[0]
            .stream,
        StreamMode::Root
    );
}

// ---- arrays and tuples ----

#[test]
fn arrays_have_one_owner() {
    let args = [row(Scalar::F64)];
    assert_eq!(
        body("fn f(x: [f64; n]) {\nlet a = x\nvar b = x\nb[0] = a[0]\nreturn b\n}", &args),
        "let a: [f64; _] = x\nvar b: [f64; _] = copy(x)\nb[0] = a[0]\nreturn b"
    );
    let swap = "fn f(x: [f64; n]) {\nvar a = x\nvar b = zeros(n)\nfor t in 0..3 {\nfor i in 0..n { b[i] = a[i] }\na, b = b, a\n}\nreturn a\n}";
    assert!(body(swap, &args).contains("swap a, b = b, a"));
    assert_eq!(
        wrong("fn f(x: [f64; n]) {\nlet a = x\na[0] = 1\n}", &args),
        "`x` is read-only: its elements cannot be written"
    );
    let through = "fn f(n: i64) {\nvar a = zeros(n)\nlet b = a\nb[0] = 1.5\nreturn a\n}";
    assert_eq!(result(through, &[I64]), row(Scalar::F64));
    assert_eq!(
        body("fn g(n: i64) = (zeros(n), 1)\nfn f(n: i64) {\nvar a, k = g(n)\na[0] = k\nreturn a\n}", &[I64])
            .lines()
            .nth(3),
        Some("a[0] = f64<-i64(k)")
    );
    assert_eq!(
        body("fn f(x: [f64; n]) = len(copy(x)) + shape(x, 0)", &args),
        "return (dim(copy(x), 0) + dim(x, 0))"
            .replace("dim(copy(x), 0)", "{ let <array>: [f64; _] = copy(x); dim(<array>, 0) }")
    );
}

#[test]
fn tuples_are_assigned_at_once() {
    let text = "fn f(n: i64) {\nvar a, b = 0, 1\nfor i in 0..n { a, b = b, a + b }\nreturn a\n}";
    assert!(body(text, &[I64]).contains("a, b = b, (a + b)"));
    assert_eq!(
        result("fn f(x: f32, n: i64) {\nif n > 0 { return (0, x) }\n(n, 0.5)\n}", &[F32, I64]),
        Type::Tuple(vec![I64, F32])
    );
    assert_eq!(
        body("fn f(x: [f64; n, m]) = shape(x).1", &[Type::array(Scalar::F64, 2)]),
        "return (dim(x, 0), dim(x, 1)).1"
    );
}

#[test]
fn the_last_expression_of_a_body_is_its_value() {
    assert_eq!(
        body("fn f(x: f64) {\nif x > 0 { x } else { -x }\n}", &[F64]),
        "if (x >:f64 0.0)\n  return x\nelse\n  return -x"
    );
    assert_eq!(result("fn f(x: i64, y: f32) {\nif x > 0 { return x }\ny\n}", &[I64, F32]), F32);
    assert_eq!(result("fn f(x: mut [f64; n]) { x[0] = 1 }", &[row(Scalar::F64)]), Type::Unit);
}

// ---- scripts ----

#[test]
fn a_statement_is_a_function_of_the_variables_it_uses() {
    let text = "let n = 3\nvar x = ones(n)\nvar s = 0.0\nx[0] = 0.5 * n\nfor i in 0..n { s += x[i] }\ns\nlet y = x\nprint(y[0], s)\n";
    let (steps, vars) = script(text, &[]);
    let run = |index: usize| match &steps[index] {
        ScriptStep::Run { program, inputs, outputs, shown } => {
            (tree_text(program), inputs.clone(), outputs.clone(), *shown)
        }
        step => panic!("{step:?}"),
    };
    assert_eq!(run(0).0, "fn script#0() -> (i64)\n  let n: i64 = 3\n  return (n)\n");
    assert_eq!(run(1).1, ["n"]);
    assert_eq!(run(3).0, "fn script#0(x: mut [f64; _], n: i64) -> ()\n  x[0] = (0.5 * f64<-i64(n))\n");
    let (text_of, inputs, outputs, shown) = run(4);
    assert_eq!(inputs, ["n", "s", "x"]);
    assert_eq!(outputs, [Output { name: "s".into(), ty: F64, is_var: true, declares: false }]);
    assert!(!shown);
    assert!(text_of.contains("fn script#0(n: i64, s: f64, x: [f64; _]) -> (f64)"), "{text_of}");
    assert!(run(5).3);
    assert!(matches!(&steps[6], ScriptStep::Alias { name, of } if name == "y" && of == "x"));
    assert_eq!(run(7).1, ["x", "s"]);
    assert_eq!(vars.len(), 4);
}

#[test]
fn a_script_variable_follows_the_statements_below() {
    assert_eq!(var_type("var s = 0\nfor i in 0..3 { s += 0.5 }\n", "s"), F64);
    assert_eq!(var_type("var s = 0\nlet h = f32(0.5)\ns += h\n", "s"), F32);
    assert_eq!(var_type("var s = 0\nprint(s)\n", "s"), I64);
    assert_eq!(var_type("time {\nvar s = 0\ns += 0.5\n}\n", "s"), F64);
    let axpy = "fn axpy(a: T, x: [T; n], y: mut [T; n]) { for i in 0..n { y[i] += a * x[i] } }\n";
    assert_eq!(
        var_type(&format!("{axpy}var y = zeros(3)\naxpy(2, ones(f32, 3), y)\n"), "y"),
        row(Scalar::F32)
    );
    assert_eq!(var_type("let y = load(\"y.npy\")\nvar s = 0\ns += y[0]\n", "s"), F64);
}

#[test]
fn files_times_and_exchanges_are_left_to_the_host() {
    let text = "var a = load(args.0)\nvar b = zeros(3)\na, b = b, a\nsave(\"b.npy\", b)\ntime { let c = sum(b) }\nlet (p, q) = (copy(a), c)\nsave(\"c.npy\", copy(p))\n";
    let (steps, vars) = script(text, &[ScriptArg::from_text("x.npy")]);
    assert!(matches!(&steps[0], ScriptStep::Load { path, is_var: true, .. } if path == "x.npy"));
    assert!(
        matches!(&steps[2], ScriptStep::Swap { targets, sources } if targets == &["a", "b"] && sources == &["b", "a"])
    );
    assert!(matches!(&steps[3], ScriptStep::Save { value: Saved::Variable(name), .. } if name == "b"));
    assert!(matches!(&steps[4], ScriptStep::Time(inner) if inner.len() == 1));
    assert!(matches!(&steps[7], ScriptStep::Save { value: Saved::Run { .. }, .. }));
    assert_eq!(vars.iter().map(|var| var.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c", "p", "q"]);
}

#[test]
fn arguments_of_the_script_are_literals() {
    let text = "let n = args.0\nlet x = f32(2) * args.1\nprint(args.2, len(args))\n";
    let (_, vars) = script(text, &["1_000", "0.5", "name"].map(ScriptArg::from_text));
    assert_eq!(vars[0].ty, I64);
    assert_eq!(vars[1].ty, F32);
    let found = steps(text, &[ScriptArg::Int(1)]).expect_err("an argument is missing");
    assert_eq!(found[0].title, "the script needs argument 2");
}

#[test]
fn an_entry_sees_earlier_functions_and_variables() {
    let earlier = checked("fn g(x) = x + 1\nconst K = 3\n");
    let (module, _) = crate::parse(SourceId(1), "let y = g(x) + K\n");
    let known = [KnownVar { name: "x".into(), is_var: false }];
    let entry = resolve_entry(module, SourceId(1), Some(&earlier), &known).expect("names are known");
    let vars = [ScriptVar { name: "x".into(), ty: F32, is_var: false, alias_of: None }];
    match script_step(&entry, 0, &vars, &[]).expect("types are right") {
        ScriptStep::Run { outputs, .. } => assert_eq!(outputs[0].ty, F32),
        step => panic!("{step:?}"),
    }
}

// ---- errors ----

#[test]
fn every_mistake_of_the_collection_is_reported_with_a_next_step() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/errors/types");
    let files = std::fs::read_dir(folder).expect("the collection").map(|entry| entry.expect("a file").path());
    let mut count = 0;
    for file in files.filter(|file| file.extension().is_some_and(|ending| ending == "kiln")) {
        let text = std::fs::read_to_string(&file).expect("text");
        let name = file.display();
        let found = steps(&text, &[]).err().unwrap_or_else(|| panic!("{name}: no error"));
        for diagnostic in &found {
            assert!(!diagnostic.helps.is_empty(), "{name}: no next step: {}", diagnostic.title);
            assert!(!diagnostic.primary.text.is_empty(), "{name}: no label: {}", diagnostic.title);
        }
        count += 1;
    }
    assert!(count > 150, "{count} files");
}

#[test]
fn an_error_in_a_callee_names_the_call() {
    let text = "fn g(x) = x[0]\nfn f(x: f64) = g(x) + g(x)";
    let found = infer(&checked(text), "f", &[F64]).expect_err("no array");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].secondary[0].text, "called here as `g(f64)`");
}

#[test]
fn an_estimate_that_is_given_up_leaves_no_error() {
    // walked once with the literal's type, for which `g` has an error
    let text = "fn g(x) {\nvar k = i32(0)\nk += i32(x)\nreturn x\n}\nfn f(x: f32) {\nvar s = 0\nlet t = g(s)\ns = s + x\nreturn t\n}";
    assert_eq!(result(text, &[F32]), F32);
}

// ---- hostile sources ----

/// Scripts with words left out, doubled or exchanged: no panic on any input, and every tree keeps its promises.
#[test]
fn mutilated_scripts_never_panic() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/errors/types");
    let mut sources = vec![
        "fn g(x: [T; n], y: mut [T; n]) -> T {\nvar s = 0\nfor i in 0..n {\ny[i] += x[i]\ns += y[i] * x[i]\n}\nreturn s\n}\nconst K = 3\nvar y = zeros(K)\nvar s = 0\nlet x = load(\"x.npy\")\ns += g(ones(K), y)\nlet v = x\ntime { let (p, q) = (s, copy(x)) }\nprint(p, q, v[0])\ns\n".to_string(),
    ];
    for entry in std::fs::read_dir(folder).expect("the collection") {
        sources.push(std::fs::read_to_string(entry.expect("a file").path()).expect("text"));
    }
    sources.retain(|text| text.len() < 2000);
    sources.sort();
    const MUTILATIONS: usize = 5_000;
    let mut seed = 7u64;
    let mut next = |count: usize| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) as usize % count.max(1)
    };
    for _ in 0..MUTILATIONS {
        let source = &sources[next(sources.len())];
        let tokens = crate::lexer::lex(SourceId(0), source).tokens;
        let mut words: Vec<String> = tokens.iter().map(|token| token.text(source).to_string()).collect();
        for _ in 0..1 + next(3) {
            let (at, other) = (next(words.len()), next(words.len()));
            match next(4) {
                0 => drop(words.remove(at.min(words.len() - 1))),
                1 => words.insert(at, words[other].clone()),
                2 => words.swap(at, other),
                _ => {
                    let foreign = &sources[next(sources.len())];
                    let tokens = crate::lexer::lex(SourceId(0), foreign).tokens;
                    words[at] = tokens[next(tokens.len())].text(foreign).to_string();
                }
            }
            if words.is_empty() {
                break;
            }
        }
        let text = words.join(" ");
        if let Err(found) = steps(&text, &[ScriptArg::Int(3), ScriptArg::Text("x.npy".into())]) {
            assert!(!found.is_empty(), "{text}");
        }
    }
}

/// Pieces of good programs, put together at random: no panic, and every tree that comes out keeps its promises.
#[test]
fn random_programs_are_refused_or_keep_their_promises() {
    const PIECES: &[&str] = &[
        "x",
        "y",
        "a",
        "b",
        "k",
        "u",
        "s",
        "t",
        "c",
        "1",
        "0.5",
        "2",
        "true",
        "a[i]",
        "b[k, 0]",
        "i",
        "n",
        "t.0",
        "rand()",
        "h",
        "zeros(n)",
        "copy(a)",
        "N",
        "pi",
        "0xFFFFFFFFFF",
        "q",
        "g(x)",
        "g(k)",
        "g(s)",
        "e(a)",
        "w(u, k)",
        "len(a)",
        "arange(3)",
        "full(0, n)",
        "m",
    ];
    const SHAPES: &[&str] = &[
        "$ + $",
        "$ * $",
        "$ / $",
        "$ // $",
        "$ ** 2",
        "$ ** $",
        "-$",
        "not $",
        "$ & $",
        "$ << $",
        "$ < $ <= $",
        "$ and $",
        "max($, $)",
        "sqrt($)",
        "if $ { $ } else { $ }",
        "($, $)",
        "sum($ for j in 0..n)",
        "sum($)",
        "f32($)",
        "i64($)",
        "abs($)",
        "mean($ * $ for j in 0..3 if $)",
        "clamp($, $, $)",
        "bits($)",
        "$ == $",
        "~$",
        "g($)",
        "w($, b=$)",
        "{ let z = $\nz + $ }",
        "rand_int($, $)",
        "argmax($ for j in 0..4)",
        "sign($)",
        "min($)",
        "a[$]",
        "$ % $",
    ];
    const STMTS: &[&str] = &[
        "s = $",
        "s += $",
        "s -= $ * $",
        "let z# = $",
        "var z# = $",
        "y[i] = $",
        "y[i] += $",
        "s max= $",
        "q = $",
        "q += $",
        "if $ { s = $ } else { q = $ }",
        "while $ { s += $\nbreak }",
        "for i in 0..$ { s += $ }",
        "return $",
        "q, s = $, $",
        "@parallel for i in 0..n { s += $ }",
        "s = s + $",
        "m[$] = $",
        "m[0] += $",
        "s **= $",
        "print($, $)",
        "q /= $",
        "let z#, v# = $",
        "let r# = rng($)\ns += rand(r#)",
        "v(m, $)",
        "h[0, 1] *= $",
        "k2 <<= $",
        "k2 = $",
        "s //= $",
    ];
    const ROUNDS: usize = 6_000;
    let mut seed = 1u64;
    let mut next = |count: usize| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) as usize % count
    };
    let mut good = 0;
    for round in 0..ROUNDS {
        let mut stmts = String::new();
        for line in 0..1 + next(4) {
            let mut text = STMTS[next(STMTS.len())].replace('#', &line.to_string());
            let mut depth = 0;
            while let Some(at) = text.find('$') {
                let shape = depth < 3 && next(3) == 0;
                let piece = if shape { SHAPES[next(SHAPES.len())] } else { PIECES[next(PIECES.len())] };
                text.replace_range(at..=at, &if shape { format!("({piece})") } else { piece.to_string() });
                depth += usize::from(shape);
            }
            stmts.push_str(&text);
            stmts.push('\n');
        }
        let text = format!(
            "const N = 7\nfn g(x) = x + x\nfn e(a: [T; n]) -> T = a[0] * 2\nfn w(a: T, b: T) = a - b\nfn v(z: mut [T; _], y: T) {{ z[0] = y }}\nfn f(x: f32, k: i32, u: u64, c: bool, t: (f64, i64), a: [f32; n], b: [i64; n, _], y: mut [f64; n], h: mut [u32; _, _]) {{\nvar s = 0\nvar q = 0.5\nvar k2 = k\nvar m = zeros(n)\nfor i in 0..n {{\n{stmts}}}\n}}\n"
        );
        let Ok(checked) = check(&text) else { continue };
        let args = [
            F32,
            I32,
            U64,
            BOOL,
            Type::Tuple(vec![F64, I64]),
            row(Scalar::F32),
            Type::array(Scalar::I64, 2),
            Type::Array { elem: Scalar::F64, rank: 1, layout: Layout::Strided },
            Type::array(Scalar::U32, 2),
        ];
        match infer(&checked, "f", &args) {
            Ok(program) => {
                let broken = super::verify::broken(&program);
                assert!(broken.is_empty(), "round {round}: {broken:#?}\n{text}\n{}", tree_text(&program));
                good += 1;
            }
            Err(found) => {
                assert!(found.iter().all(|diagnostic| !diagnostic.title.is_empty()) && !found.is_empty())
            }
        }
    }
    assert!(good > 500, "only {good} programs were accepted");
}

#[test]
fn the_deepest_nesting_of_the_parser_fits_the_stack() {
    let nest = |open: &str, inner: &str, close: &str, levels: usize| {
        format!(
            "fn f(x: f64, c: bool) -> f64 {{\nreturn {}{inner}{}\n}}",
            open.repeat(levels),
            close.repeat(levels)
        )
    };
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(move || {
        let mut deepest = 0;
        for (open, close) in [
            ("-(", ")"),
            ("abs(", ")"),
            ("if c { ", " } else { x }"),
            ("{ ", " }"),
            ("sum(", " for i in 0..2)"),
            ("1 + (", ")"),
            ("max(x, ", ")"),
            ("(", ", x).0"),
        ] {
            for levels in [20, 40, 60, 80, 100, 120, 160, 200, 250] {
                let text = nest(open, "x", close, levels);
                let Ok(checked) = check(&text) else { break };
                let program = infer(&checked, "f", &[F64, BOOL]);
                deepest = deepest.max(levels * usize::from(program.is_ok()));
            }
        }
        deepest
    });
    assert!(thread.expect("a thread").join().expect("no overflow") >= 100);
}

#[test]
fn hostile_sources_take_linear_time() {
    let start = Instant::now();
    // every function calls the next one twice
    let mut text: String = (0..30).map(|i| format!("fn g{i}(x) = g{}(x) + g{}(x)\n", i + 1, i + 1)).collect();
    text.push_str("fn g30(x) = x\nfn f(x) = g0(x)\n");
    assert_eq!(infer(&checked(&text), "f", &[F64]).expect("checked").funcs.len(), 32);
    // a tuple doubled forty times
    let mut text = String::from("fn f(x: f64) {\nlet t0 = (x, x)\n");
    (0..40).for_each(|i| text.push_str(&format!("let t{} = (t{i}, t{i})\n", i + 1)));
    text.push_str("return x\n}");
    assert_eq!(wrong(&text, &[F64]), "a tuple has at most 64 parts, inner ones counted");
    // the same through calls, and a parameter of a new type each time
    let mut text: String = (0..40).map(|i| format!("fn g{i}(x) = g{}((x, x))\n", i + 1)).collect();
    text.push_str("fn g40(x) = 1\nfn f(x) = g0(x)\n");
    assert_eq!(wrong(&text, &[F64]), "a tuple has at most 64 parts, inner ones counted");
    // a generic function that calls itself at a new type
    assert_eq!(wrong("fn f(x) = f((x, x))", &[F64]), "`f` calls itself");
    // very many functions, side by side and in a chain
    let mut text: String = (0..10_000).map(|i| format!("fn g{i}(x) = x + {i}\n")).collect();
    text.push_str("fn f(x) = g9999(x)\n");
    assert_eq!(result(&text, &[F64]), F64);
    let mut text: String = (0..10_000).map(|i| format!("fn g{i}(x) = g{}(x)\n", i + 1)).collect();
    text.push_str("fn g10000(x) = x\nfn f(x) = g0(x)\n");
    assert_eq!(wrong(&text, &[F64]), "this program needs more than 256 versions of its functions");
    // a chain of variables, each waiting for the next
    let mut text = String::from("fn f(x: f32) {\n");
    (0..3000).for_each(|i| text.push_str(&format!("var a{i} = 0\n")));
    (0..2999).for_each(|i| text.push_str(&format!("a{i} = a{}\n", i + 1)));
    text.push_str("a2999 = x\nreturn a0\n}");
    assert_eq!(wrong(&text, &[F32]), "the types of these variables depend on each other in too long a chain");
    // unknown names everywhere
    let mut text: String = (0..5000).map(|i| format!("fn g{i}(x) = y{i} + h{i}(x)\n")).collect();
    text.push_str("fn f(x) = x\n");
    assert_eq!(check(&text).expect_err("unknown names").len(), 100);
    // nested products, of which each level could be copied
    let mut term = String::from("x");
    (0..60).for_each(|i| term = format!("sum({term} * x for i{i} in 0..2)"));
    assert_eq!(result(&format!("fn f(x: f64) = {term}"), &[F64]), F64);
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}
