use super::*;

#[test]
fn dump() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/errors/syntax");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let (_, ds) = parse(SourceId(0), &text);
        println!("=== {} {:?}", path.file_stem().unwrap().to_str().unwrap(), text);
        for d in ds {
            let (l, c) = crate::span::line_column(&text, d.primary.span.start);
            let under = &text[d.primary.span.start as usize..d.primary.span.end as usize];
            println!("    {l}:{c} {:?} {} [{}] => {}", under, d.title, d.primary.text, d.helps.join(" | "));
        }
    }
}
