//! `SECURITY.md` against the tree: no row without a test, and no test named that is not there.

use std::fs;
use std::path::Path;

/// All Rust source of the project, in one text.
fn source() -> String {
    fn read(dir: &Path, text: &mut String) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(&path, text);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut text = String::new();
    for dir in ["src", "tests", "peer", "server", "xtask"] {
        read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(dir), &mut text);
    }
    text
}

/// Whether the source has a test of this name: a function marked as one, and not to be left out.
fn has_test(source: &str, name: &str) -> bool {
    let declaration = format!("fn {name}(");
    source.match_indices(&declaration).any(|(at, _)| {
        let above = source[..at].lines().rev().skip_while(|line| line.trim().is_empty());
        let mut attributes = above.map(str::trim).take_while(|line| line.starts_with("#[")).peekable();
        attributes.peek().is_some() && {
            let attributes: Vec<_> = attributes.collect();
            attributes.contains(&"#[test]") && !attributes.iter().any(|attribute| attribute.starts_with("#[ignore"))
        }
    })
}

#[test]
fn a_function_that_is_no_test_or_is_left_out_stands_behind_no_promise() {
    for (source, is_test) in [
        ("#[test]\nfn a() {", true),
        ("    #[cfg(feature = \"x\")]\n    #[test]\n    fn a(bytes: u8) {", true),
        ("#[test]\nfn b() {}\n\nfn a() {", false),
        ("#[test]\n#[ignore = \"slow\"]\nfn a() {", false),
        ("// fn a() {", false),
        ("#[test]\nfn aa() {", false),
    ] {
        assert_eq!(has_test(source, "a"), is_test, "{source}");
    }
}

#[test]
fn every_threat_has_a_test_that_exists() {
    let source = source();
    let document = include_str!("../SECURITY.md");
    let rows: Vec<_> = document.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| #")).collect();
    // The 27 rows of the table of threats, at least.
    assert!(rows.len() >= 27, "{}", rows.len());
    for row in rows {
        let tests = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let names: Vec<_> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no test: {row}");
        for name in names {
            match name.strip_prefix("cargo xtask test ") {
                Some(filter) => assert!(source.contains(&format!("\"{filter}")), "no check begins with {filter}"),
                None => assert!(has_test(&source, name), "there is no test {name}"),
            }
        }
    }
}
