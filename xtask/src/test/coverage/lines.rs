//! A coverage report in lcov's format, and the lines of a source that are tests.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// A file's lines that are code, and whether a test runs them.
pub type Covered = BTreeMap<u32, bool>;

/// Reads a report: `SF:` names a file, `DA:line,count` tells how often one of its lines ran.
pub fn lcov(text: &str) -> BTreeMap<String, Covered> {
    let mut files = BTreeMap::<String, Covered>::new();
    let mut file = None;
    for line in text.lines() {
        if let Some(path) = line.strip_prefix("SF:") {
            file = Some(path);
        } else if let (Some(file), Some(data)) = (file, line.strip_prefix("DA:")) {
            let mut numbers = data.split(',').map(|number| number.parse::<u64>().unwrap_or(0));
            if let (Some(line), Some(count)) = (numbers.next(), numbers.next()) {
                // A file may come more than once, for instance for each crate that compiled it.
                let covered = files.entry(file.to_owned()).or_default().entry(line as u32).or_default();
                *covered |= count > 0;
            }
        }
    }
    files
}

/// The lines of `#[cfg(test)] mod name { ... }` at a file's top level, as rustfmt writes it.
pub fn test_modules(source: &str) -> Vec<RangeInclusive<u32>> {
    let lines: Vec<&str> = source.lines().collect();
    let mut modules = Vec::new();
    for (at, pair) in lines.windows(2).enumerate() {
        if pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{') {
            let length = lines[at..].iter().position(|line| *line == "}").unwrap_or(lines.len() - at);
            modules.push(at as u32 + 1..=(at + length) as u32 + 1);
        }
    }
    modules
}

/// The files of `#[cfg(test)] mod name;` in the file at `path`, without extension: also a folder's name.
pub fn test_files(path: &Path, source: &str) -> Vec<PathBuf> {
    let is_root = path.file_name().is_some_and(|name| name == "lib.rs");
    let folder = if is_root { path.with_file_name("") } else { path.with_extension("") };
    let lines: Vec<&str> = source.lines().collect();
    let names = lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]").filter_map(|pair| {
        let name = pair[1].strip_prefix("mod ")?.strip_suffix(';')?;
        Some(folder.join(name))
    });
    names.collect()
}

/// `3-5, 9` for 3, 4, 5 and 9.
pub fn ranges(lines: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for line in lines {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *line => *last = *line,
            _ => ranges.push((*line, *line)),
        }
    }
    let text = |(first, last): &(u32, u32)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    ranges.iter().map(text).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_covered_if_any_record_of_it_is() {
        let report = "SF:/a.rs\nFN:1,f\nDA:1,2\nDA:2,0\nend_of_record\nSF:/b.rs\nDA:1,0\nSF:/a.rs\nDA:2,1\nDA:3,0\n";
        let files = lcov(report);
        assert_eq!(files["/a.rs"], [(1, true), (2, true), (3, false)].into());
        assert_eq!(files["/b.rs"], [(1, false)].into());
    }

    #[test]
    fn inner_test_modules_are_told_from_code() {
        let source =
            "fn a() {\n}\n#[cfg(test)]\nfn helper() {}\n#[cfg(test)]\nmod tests {\n    fn b() {\n    }\n}\nfn c() {}\n";
        assert_eq!(test_modules(source), [5..=9]);
        assert_eq!(test_modules("#[cfg(test)]\nmod tests;\n"), []);
    }

    #[test]
    fn test_modules_in_files_of_their_own_are_known_by_their_declaration() {
        let source = "mod a;\n#[cfg(test)]\nmod b;\n#[cfg(test)]\nfn c() {}\n";
        assert_eq!(test_files(Path::new("/x/src/pci.rs"), source), [Path::new("/x/src/pci/b")]);
        assert_eq!(test_files(Path::new("/x/src/lib.rs"), source), [Path::new("/x/src/b")]);
    }

    #[test]
    fn lines_that_follow_each_other_are_one_range() {
        assert_eq!(ranges(&[3, 4, 5, 9, 11, 12]), "3-5, 9, 11-12");
        assert_eq!(ranges(&[]), "");
    }
}
