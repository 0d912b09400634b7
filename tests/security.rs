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
                None => assert!(source.contains(&format!("fn {name}(")), "there is no test {name}"),
            }
        }
    }
}
