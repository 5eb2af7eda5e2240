//! Trees, recovery, limits and error texts of the parser.

use super::*;
use crate::ast_text::ast_text;
use crate::span::line_column;
use std::time::{Duration, Instant};

/// The tree of a text without mistakes.
fn tree(text: &str) -> String {
    let (module, diagnostics) = parse(SourceId(0), text);
    assert_eq!(diagnostics, [], "{text}");
    ast_text(&module)
}

/// The tree of one statement.
fn one(text: &str) -> String {
    tree(text).trim_end().to_string()
}

/// `line:column title` of each finding.
fn errors(text: &str) -> Vec<String> {
    let (_, diagnostics) = parse(SourceId(0), text);
    diagnostics
        .iter()
        .map(|diagnostic| {
            let (line, column) = line_column(text, diagnostic.primary.span.start);
            format!("{line}:{column} {}", diagnostic.title)
        })
        .collect()
}

#[test]
fn operators_bind_as_the_language_says() {
    for (text, expected) in [
        ("a or b and not c == d", "(or a (and b (not (c == d))))"),
        ("not a and b", "(and (not a) b)"),
        ("not not a", "(not (not a))"),
        ("a < b <= c != d", "(a < b <= c != d)"),
        ("(a < b) < c", "((a < b) < c)"),
        ("a | b == c", "((| a b) == c)"),
        ("a | b ^ c & d << 1 + 2 * 3", "(| a (^ b (& c (<< d (+ 1 (* 2 3))))))"),
        ("a - b - c", "(- (- a b) c)"),
        ("a / b // c % d @ e * f", "(* (@ (% (// (/ a b) c) d) e) f)"),
        ("-a * b", "(* (- a) b)"),
        ("-x**2", "(- (** x 2))"),
        ("2 ** -x ** 3", "(** 2 (- (** x 3)))"),
        ("a ** b ** c", "(** a (** b c))"),
        ("~a ** -b", "(~ (** a (- b)))"),
        ("a * -b", "(* a (- b))"),
        ("a.T @ b[0, i](c).d", "(@ (field a T) (field (call (index b 0 i) c) d))"),
        ("t.0.1 ** 2", "(** (field (field t 0) 1) 2)"),
        ("(a + b) * c", "(* (+ a b) c)"),
        ("a >> b << c", "(<< (>> a b) c)"),
        ("a and (b or c)", "(and a (or b c))"),
    ] {
        assert_eq!(one(text), expected, "{text}");
    }
}

#[test]
fn ranges_bind_loosest() {
    for (text, expected) in [
        ("a[1..n-1]", "(index a (.. 1 (- n 1)))"),
        ("a[i, :]", "(index a i (.. _ _))"),
        ("a[1.., ..n, ..]", "(index a (.. 1 _) (.. _ n) (.. _ _))"),
        ("a[lo..hi step s]", "(index a (.. lo hi step s))"),
        ("a[.. step 2]", "(index a (.. _ _ step 2))"),
        ("a[0.. step -1]", "(index a (.. 0 _ step (- 1)))"),
        ("a[0..step - 1]", "(index a (.. 0 (- step 1)))"),
        ("a[0..step]", "(index a (.. 0 step))"),
        ("for i in 0..=n or m step -k { }", "for i in (..= 0 (or n m) step (- k)) {}"),
        ("for i in 1..2, j in (a).b..c { }", "for i in (.. 1 2), j in (.. (field a b) c) {}"),
    ] {
        assert_eq!(one(text), expected, "{text}");
    }
}

#[test]
fn values_of_all_kinds() {
    for (text, expected) in [
        ("f(1, 0x1F, 1_000, 1e-3, 0b11)", "(call f 1 31 1000 0.001 3)"),
        (r#"print("π ≈\n", true, x)"#, r#"(call print "π ≈\n" true x)"#),
        ("clip(x, min=0, max=n,)", "(call clip x min=0 max=n)"),
        ("(a, b)", "(tuple a b)"),
        ("(a,)", "(tuple a)"),
        ("a, b", "(tuple a b)"),
        ("[1, [2]]", "(list 1 (list 2))"),
        ("[]", "(list)"),
        ("sum(x[i] for i in 0..n)", "(call sum (index x i) for i in (.. 0 n))"),
        ("sum(a @ b for i in 0..n)", "(call sum (@ a b) for i in (.. 0 n))"),
        (
            "sum(@parallel @vectorize x for i in 0..n, j in 0..m if i < j, axis=0)",
            "(call sum x @parallel @vectorize for i in (.. 0 n), j in (.. 0 m) if (i < j) axis=0)",
        ),
        ("sum(x * y @parallel for i in 0..n)", "(call sum (* x y) @parallel for i in (.. 0 n))"),
        ("[f(i, j) for i in 0..n, j in 0..m]", "[(call f i j) for i in (.. 0 n), j in (.. 0 m)]"),
        ("if a { b } else { c } + 1", "(+ (if a {\n    b\n} else {\n    c\n}) 1)"),
        ("f({\n let a = 1\n a })", "(call f {\n    let a = 1\n    a\n})"),
    ] {
        assert_eq!(one(text), expected, "{text}");
    }
}

#[test]
fn statements_of_all_kinds() {
    for (text, expected) in [
        ("let a, b = b, a", "let (a, b) = (tuple b a)"),
        ("var (a, b): (f64, i64) = t", "var (a, b): (f64, i64) = t"),
        ("let x: f32 = 1", "let x: f32 = 1"),
        ("a, b = b, a", "a, b = (tuple b a)"),
        ("(a, b[i]) = t", "a, (index b i) = t"),
        ("x **= 2", "x **= 2"),
        ("x //= 2; y <<= 1; z @= w", "x //= 2\ny <<= 1\nz @= w"),
        ("m min= x\nm max= y", "m min= x\nm max= y"),
        ("end max= x", "end max= x"),
        ("min = max(x, y)", "min = (call max x y)"),
        ("h[k] += 1", "(index h k) += 1"),
        ("while true { break; continue }", "while true {\n    break\n    continue\n}"),
        ("time { f() }", "time {\n    (call f)\n}"),
        ("time = 3", "time = 3"),
        ("step = by", "step = by"),
        ("@fast { a = b }", "@fast {\n    a = b\n}"),
        (
            "@unique(p)\n\n@parallel # why\nfor i in 0..n { y[p[i]] = 1 }",
            "@unique(p) @parallel for i in (.. 0 n) {\n    (index y (index p i)) = 1\n}",
        ),
        ("const K: f64 = 2 * 3", "const K: f64 = (* 2 3)"),
        ("def = lambda; print", "def = lambda\nprint"),
        (
            "if a { 1 } else if b { 2 } else { 3 }",
            "(if a {\n    1\n} else {\n    (if b {\n        2\n    } else {\n        3\n    })\n})",
        ),
    ] {
        assert_eq!(one(text), expected, "{text}");
    }
}

#[test]
fn functions_have_docs_annotations_and_types() {
    let text = "\
# not this one

# adds a multiple
#   of x
@fast
fn axpy(a: T, x: [T; n], y: mut [T; n+1, 3, _, m-2], z) -> (T, [f64; n]) {
    return a, x
}
let k = 1 # nor this
@vectorize fn relu(x) = max(x, 0)
fn nothing() { return }
";
    assert_eq!(
        tree(text),
        "\
# adds a multiple
#   of x
@fast fn axpy(a: T, x: [T; n], y: mut [T; n+1, 3, _, m-2], z) -> (T, [f64; n]) {
    return (tuple a x)
}
let k = 1
@vectorize fn relu(x) {
    (call max x 0)
}
fn nothing() {
    return
}
"
    );
    let (module, _) = parse(SourceId(7), text);
    assert_eq!(module.comments.len(), 4);
    let ast::Item::Func(func) = &module.items[0] else { panic!("a function") };
    let span = func.span;
    assert_eq!(span.source, SourceId(7));
    assert!(text[span.start as usize..span.end as usize].starts_with("@fast\nfn axpy"));
    assert!(text[span.start as usize..span.end as usize].ends_with("x\n}"));
}

#[test]
fn line_ends_end_statements() {
    for (text, expected) in [
        ("let a = 1 +\n  2", "let a = (+ 1 2)"),
        ("let a = (1\n  + 2)", "let a = (+ 1 2)"),
        ("let a = b\n-c", "let a = b\n(- c)"),
        ("f(a,\n b\n)", "(call f a b)"),
        ("let a,\n b = 1,\n 2", "let (a, b) = (tuple 1 2)"),
        ("let a = # why\n 1", "let a = 1"),
        ("fn f(x) ->\n f64 = x", "fn f(x) -> f64 {\n    x\n}"),
        ("if a { b }\n\n# so\n\nelse { c }", "(if a {\n    b\n} else {\n    c\n})"),
        ("for i in 0..\n n,\n j in 0..m { }", "for i in (.. 0 n), j in (.. 0 m) {}"),
        ("a\r\n\r\n;;b\r\n", "a\nb"),
        ("{ { a } }", "{\n    {\n        a\n    }\n}"),
    ] {
        assert_eq!(one(text), expected, "{text}");
    }
}

#[test]
fn spans_cover_what_was_written() {
    let text = "let y = (a + b) * f(c)[0].T";
    let (module, _) = parse(SourceId(0), text);
    let ast::Item::Stmt(ast::Stmt { kind: ast::StmtKind::Bind { value, .. }, span }) = &module.items[0]
    else {
        panic!("a binding")
    };
    let ast::ExprKind::Binary(_, left, right) = &value.kind else { panic!("a product") };
    let written = |span: Span| &text[span.start as usize..span.end as usize];
    assert_eq!(written(*span), text);
    assert_eq!(written(value.span), "(a + b) * f(c)[0].T");
    assert_eq!(written(left.span), "(a + b)");
    assert_eq!(written(right.span), "f(c)[0].T");
}

#[test]
fn one_run_finds_every_mistake_once() {
    let text = "\
fn f(x: [f64]) {
    let a = (1 + 2
    let b = * 3
    for i in 0..n:
    if x = 3 { y = = 2 }
    g(1, , 2) + h(a b)
    return a +
}
fn g(x { return 1 }
let s = 'a'
fn h() { let = 3; var q = 1. }
";
    assert_eq!(
        errors(text),
        [
            "1:13 an array type states its shape",
            "2:13 this `(` is never closed",
            "3:13 expected an expression, found `*`",
            "4:18 a body stands in braces, without `:`",
            "5:10 `=` assigns",
            "5:20 expected an expression, found `=`",
            "6:10 expected an expression, found `,`",
            "6:21 expected `,` or `)`, found `b`",
            "7:14 `+` waits for an expression",
            "9:5 this `(` is never closed",
            "10:9 strings stand in double quotes",
            "11:14 expected a name, found `=`",
            "11:27 a float needs a digit on both sides of its point",
        ]
    );
}

#[test]
fn a_missing_bracket_is_one_error() {
    for text in [
        "fn f(x) {\n    let a = g(x, (1 + 2)\n    let b = 2\n    return b\n}\n",
        "print(f(x)\nfor i in 0..n {\n    print(i)\n}\n",
        "let a = [1, 2\nprint(a)\nb = 3\n",
        "let a = [f(i)\n    for i in 0..n\nlet b = a\n",
        "let a = f(1,\n    2\nlet b = a\n",
        "fn f(x) {\n    if x {\n        a = 1\n    return 1\n}\n\n@fast\n@vectorize fn g(x) = x\nlet b = 2\n",
        "fn f(x)\n    if x { a = 1 }\n    return 1\n}\nlet b = 2\n",
        "if a b = 1 }\nlet c = 2\n",
        "if (a < b { c = 1 }\nlet c = 2\n",
        "fn f(x, y {\n    let a = x\n}\nfn g() = 1\n",
        "while f(a, b[i] {\n    a = 1\n}\n",
        "let c = a[1, 2)\nlet d = 2\n",
        "let c = (a))\nlet d = 2\n",
        "fn f() {\n  let a = 1\n}\n}\nlet d = 2\n",
        "print(\"a)\nlet d = 2\n",
        "f(x, [1, {\n a = 1\n})\nlet b = 3\n",
    ] {
        assert_eq!(errors(text).len(), 1, "{text}: {:#?}", errors(text));
    }
    // A second mistake is still found, before and behind.
    let text = "x = = 1\nlet a = f(1, 2\nprint(a)\ny = = 2\n";
    assert_eq!(
        errors(text),
        [
            "1:5 expected an expression, found `=`",
            "2:10 this `(` is never closed",
            "4:5 expected an expression, found `=`"
        ]
    );
}

#[test]
fn bodies_are_read_though_their_header_is_wrong() {
    for text in [
        "for (i = 0; i < n; i++) {\n    x = = 1\n}\n",
        "while x < {\n    x = = 1\n}\n",
        "def f(x) {\n    x = = 1\n}\n",
        "fn f(x: ) {\n    x = = 1\n}\n",
        "fro i in 0..n {\n    x = = 1\n}\n",
        "if a then {\n    x = = 1\n} else {\n    y = 1\n}\n",
        "else {\n    x = = 1\n}\n",
    ] {
        let found = errors(text);
        assert_eq!(found.len(), 2, "{text}: {found:#?}");
        assert_eq!(found[1], "2:9 expected an expression, found `=`", "{text}");
    }
}

#[test]
fn each_mistake_has_its_text() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/errors/syntax");
    let mut expected = String::new();
    let mut found = String::new();
    for line in include_str!("errors.txt").lines() {
        expected.push_str(line);
        expected.push('\n');
    }
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "kiln"));
    files.sort();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let (_, diagnostics) = parse(SourceId(0), &text);
        found.push_str(&format!("{}\n", path.file_stem().unwrap().to_str().unwrap()));
        for diagnostic in diagnostics {
            let (line, column) = line_column(&text, diagnostic.primary.span.start);
            found.push_str(&format!("    {line}:{column} {}\n", diagnostic.title));
            for help in &diagnostic.helps {
                found.push_str(&format!("        {help}\n"));
            }
        }
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/src/parser/errors.txt"), &found).unwrap();
    } else {
        assert_eq!(found, expected);
    }
}

#[test]
fn text_is_checked_before_it_is_read() {
    let title = |bytes: &[u8]| check_text(bytes).unwrap_err().title;
    assert_eq!(check_text("π\r\n".as_bytes()).unwrap(), "π\r\n");
    assert_eq!(title(b"a\nb\xffc"), "this source is not UTF-8: byte 0xFF at line 2, byte 2");
    assert_eq!(title(b"a\n\nbc\0"), "a NUL byte at line 3, byte 3");
    assert_eq!(title(&vec![b'a'; MAX_SOURCE + 1]), "this source has 4194305 bytes; the limit is 4194304");
    let mut long = vec![b'\n'; 2];
    long.extend(vec![b'#'; MAX_LINE + 1]);
    assert_eq!(title(&long), "a line of 1048577 bytes, at line 3, byte 1; the limit is 1048576");
    assert_eq!(errors("a\0"), ["1:2 a NUL byte at line 1, byte 2"]);
}

#[test]
fn the_prompt_waits_for_what_is_missing() {
    for text in [
        "f(",
        "fn f(x) {",
        "let a = [1,",
        "let a = 1 +",
        "let a =",
        "@parallel",
        "@unique(p)\n",
        "a and\n",
        "fn f() ->",
        "{ (",
        "a, # and\n",
    ] {
        assert!(!is_complete(text), "{text}");
    }
    for text in [
        "",
        "# only this",
        "f(x)",
        "f(x))",
        "if a { b }",
        "a @ b",
        "i--",
        "let a = (1\nlet b = 2",
        "\"abc",
        "fn f(x) = x\n",
    ] {
        assert!(is_complete(text), "{text}");
    }
}

/// Texts made to hurt: each is one clear error, or a tree.
fn hostile() -> Vec<(&'static str, String, usize)> {
    let n = 10_000;
    vec![
        ("parentheses", format!("let x = {}1{}", "(".repeat(n), ")".repeat(n)), 1),
        ("else if", format!("if a {{ }}{}", " else if a { }".repeat(n)), 1),
        ("sum", format!("let x = a{}", " + a".repeat(100_000)), 1),
        ("blocks", format!("{}{}", "{".repeat(n), "}".repeat(n)), 1),
        ("blocks on lines", format!("{}{}", "{\n".repeat(n), "}\n".repeat(n)), 1),
        ("loops", format!("{}{}", "while a {\n".repeat(n), "}\n".repeat(n)), 1),
        ("signs", format!("let x = {}1", "-".repeat(n)), 1),
        ("nots", format!("let x = {}a", "not ".repeat(n)), 1),
        ("powers", format!("let x = a{}", "**a".repeat(n)), 1),
        ("comparisons", format!("let x = a{}", " < a".repeat(n)), 1),
        ("calls", format!("let x = f{}", "(1)".repeat(n)), 1),
        ("fields", format!("let x = f{}", ".a".repeat(n)), 1),
        ("indices", format!("let x = f{}", "[1]".repeat(n)), 1),
        ("generators", format!("let x = {}1{}", "sum(".repeat(n), " for i in 0..n)".repeat(n)), 1),
        ("lists", format!("let x = {}{}", "[".repeat(n), "]".repeat(n)), 1),
        ("tuples", format!("let x = {}a{}", "(".repeat(n), ",)".repeat(n)), 1),
        ("types", format!("fn f(x: {}f64{}) = 1", "[".repeat(n), "; n]".repeat(n)), 1),
        ("tuple types", format!("fn f(x: {}f64{}) = 1", "(".repeat(n), ",)".repeat(n)), 1),
        ("functions", format!("{}{}", "fn f() {\n ".repeat(n), "}\n".repeat(n)), MAX_DIAGNOSTICS),
        ("annotated", format!("{}x", "@fast { ".repeat(n)), MAX_DIAGNOSTICS),
        (
            "deep then long",
            format!("let x = {}1{}{}", "(".repeat(200), ")".repeat(200), " + 1".repeat(200)),
            1,
        ),
        ("many annotations", format!("{}for i in 0..n {{ }}", "@fast ".repeat(n)), 0),
        ("products", format!("let x = a{}", " @parallel @fast".repeat(n)), 1),
        ("arguments", format!("let x = f(1{})", ", 1".repeat(n)), 0),
        ("open brackets", "([{".repeat(n), MAX_DIAGNOSTICS),
        ("closing brackets", ")]}".repeat(n), MAX_DIAGNOSTICS),
        ("crossed brackets", format!("{}{}", "(".repeat(n), "]".repeat(n)), MAX_DIAGNOSTICS),
        ("commas", ",".repeat(n), 1),
    ]
}

#[test]
fn depth_is_bounded_with_one_error() {
    for (name, text, count) in hostile() {
        let begin = Instant::now();
        let (module, diagnostics) = parse(SourceId(0), &text);
        assert_eq!(diagnostics.len(), count, "{name}: {:#?}", diagnostics.first());
        ast_text(&module);
        drop(module);
        assert!(begin.elapsed() < Duration::from_secs(5), "{name}: {:?}", begin.elapsed());
    }
    let limit = format!("let x = {}1{}", "(".repeat(250), ")".repeat(250));
    assert_eq!(one(&limit), "let x = 1");
    let limit = format!("let x = a{}", " + a".repeat(250));
    assert!(one(&limit).starts_with("let x = (+ (+ "));
}

#[test]
fn garbage_of_four_megabytes_takes_linear_time() {
    let mut slowest = (Duration::ZERO, "");
    for piece in [
        "a ",
        "$",
        "a\n",
        "a;",
        "(",
        "[{",
        ")",
        "\"\" ",
        "'x' ",
        "'",
        "\"",
        "“",
        "\\ ",
        "/* ",
        "1.",
        "2x ",
        "@a ",
        "@a\n",
        "}\n\n",
        "else ",
        "if ",
        "fn f",
        "x = ",
        "--\n",
        "[1:",
        ", ",
        "f(",
        "a..",
        "\"\"\"",
        "\u{a0}",
        "é",
        "\r",
        "# \n",
        "0x",
        "-",
        "a.",
        "1e",
        "if a {} else ",
        "let x = 1\n",
        "fn f(x) = x\n",
        "{\n",
        "x{",
        "(\n",
        "a(\n",
        "f(a\n",
        "let (",
        "#",
    ] {
        let mut text = piece.repeat(MAX_SOURCE / 2 / piece.len());
        // Lines within their limit, and one long line, which is the worst for anything that looks to its end.
        if !piece.contains('\n') {
            text = piece.repeat(MAX_LINE / piece.len());
            text = format!("{text}\n{text}");
        }
        let begin = Instant::now();
        let (module, diagnostics) = parse(SourceId(0), &text);
        assert!(diagnostics.len() <= MAX_DIAGNOSTICS, "{piece:?}");
        drop(module);
        slowest = slowest.max((begin.elapsed(), piece));
    }
    // A square would take minutes.
    assert!(slowest.0 < Duration::from_secs(5), "{slowest:?}");
}

#[test]
fn token_soup_never_panics() {
    let words = [
        "fn", "let", "var", "const", "if", "else", "for", "in", "while", "break", "continue", "return",
        "true", "and", "or", "not", "mut", "(", ")", "[", "]", "{", "}", ",", ";", ":", ".", "..", "..=",
        "->", "@", "=", "+=", "min=", "==", "<", "+", "-", "*", "//", "**", "~", "&&", "!", "++", "--", "=>",
        ":=", "...", "?", "$", "\n", "\n", "\n", "a", "b", "step", "time", "def", "elif", "sum", "f64",
        "i64", "1", "2.5", "1.", "\"s\"", "\"", "'", "# c", "parallel", "import", "loop", "λ", "²", "\\",
        "by", "as", "T",
    ];
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let mut clean = 0;
    for _ in 0..40_000 {
        let text: Vec<&str> = (0..random(24) + 1).map(|_| words[random(words.len())]).collect();
        let text = text.join(if random(4) == 0 { "" } else { " " });
        let (module, diagnostics) = parse(SourceId(0), &text);
        let dump = ast_text(&module);
        if diagnostics.is_empty() {
            clean += 1;
            assert!(!dump.contains("<error>"), "{text}\n{dump}");
        }
        for diagnostic in &diagnostics {
            let span = diagnostic.primary.span;
            assert!(text.get(span.start as usize..span.end as usize).is_some(), "{text}: {diagnostic:?}");
        }
        is_complete(&text);
    }
    assert!(clean > 100, "the soup holds too few good programs to show anything: {clean}");
}

#[test]
fn at_most_fifty_findings_and_more() {
    let (_, diagnostics) = parse(SourceId(0), &"x = = 1\n".repeat(60));
    assert_eq!(diagnostics.len(), MAX_DIAGNOSTICS);
    assert_eq!(diagnostics[49].notes, ["and more: the rest is not shown"]);
    let (_, diagnostics) = parse(SourceId(0), &"x = = 1\n".repeat(50));
    assert_eq!(diagnostics.len(), MAX_DIAGNOSTICS);
    assert!(diagnostics[49].notes.is_empty());
}

#[test]
#[ignore]
fn probe_times() {
    let mut rows = Vec::new();
    for piece in ["a ", "$", "a\n", "a;", "(", "[{", ")", "\"\" ", "'x' ", "'", "\"", "@a ", "}\n\n", "if ", "x = ", "[1:", "f(a\n", "let x = 1\n", "fn f(x) = x\n", "if a {} else ", "a,", "f(1)\n", "\u{a0}", "é", "x[i] += a * b\n", "{};"] {
        let mut text = piece.repeat(MAX_SOURCE / piece.len());
        if !piece.contains('\n') {
            text = format!("{}\n", piece.repeat((MAX_LINE - 1) / piece.len())).repeat(4);
            text.truncate(MAX_SOURCE);
        }
        let begin = Instant::now();
        let (module, d) = parse(SourceId(0), &text);
        let parse_time = begin.elapsed();
        let n = module.items.len();
        drop(module);
        rows.push((begin.elapsed(), parse_time, piece, n, d.len(), d.first().map(|d| d.title.clone())));
    }
    rows.sort_by_key(|row| std::cmp::Reverse(row.0));
    for row in rows { println!("{row:?}"); }
    println!("Stmt {} Item {} Expr {} Func {}", size_of::<ast::Stmt>(), size_of::<ast::Item>(), size_of::<ast::Expr>(), size_of::<ast::Func>());
}

#[test]
#[ignore]
fn probe_stack() {
    for (name, text, _) in hostile() {
        let mut lo = 1; let mut hi = 4096;
        // smallest stack in KB in a subprocess is awkward: measure by thread with painted stack instead
        let _ = (&mut lo, &mut hi);
        let handle = std::thread::Builder::new().stack_size(STACK.with(|s| s.get()) * 1024).spawn(move || { let (m, _) = parse(SourceId(0), &text); ast_text(&m).len() }).unwrap();
        println!("{name} {:?}", handle.join().is_ok());
    }
}
thread_local! { static STACK: std::cell::Cell<usize> = std::cell::Cell::new(std::env::var("STACK_KB").ok().and_then(|s| s.parse().ok()).unwrap_or(1024)); }
