//! No panic path: the data path is linked where a reachable panic is an undefined symbol.

use super::suite::Suite;
use crate::setup::Toolchain;
use crate::tool::Tool;
use crate::workspace;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::Path;
use std::process::Stdio;

/// What the panic handler calls, and nobody defines.
const SYMBOL: &str = "the_data_path_has_a_reachable_panic";

pub fn add(suite: &mut Suite) {
    suite.case("no_panic: the data path links although a reachable panic would be a link error", |rig| {
        link(&rig.toolchain()?).run()
    });
    suite.case("no_panic: with one reachable panic it does not link", |rig| {
        let tool = link(&rig.toolchain()?).args(["--features", "reachable-panic"]);
        let output = tool.child().stdin(Stdio::null()).output().with_context(|| format!("cannot start {tool}"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(!output.status.success(), "it linked: {tool}");
        ensure!(undefined(&said), "it failed, but not for want of {SYMBOL}: {tool}\n{said}");
        Ok(())
    });
    suite.case("no_panic: every public function of the channels is linked", |_| {
        let root = workspace::root();
        let linked = fs::read_to_string(root.join("tests/no_panic/src/main.rs"))?;
        let mut functions = public_functions(&fs::read_to_string(root.join("src/channel.rs"))?);
        collect(&root.join("src/channel"), &mut functions)?;
        let missing: Vec<_> = functions.iter().filter(|name| !names(&linked, name)).collect();
        ensure!(functions.len() > 10, "only {functions:?} found");
        if !missing.is_empty() {
            bail!("not in tests/no_panic/src/main.rs: {missing:?}");
        }
        Ok(())
    });
}

fn link(toolchain: &Toolchain) -> Tool {
    toolchain.cargo("build").args(["--profile", "no-panic", "--package", "ivshmem-no-panic"])
}

/// Whether a linker, lld or GNU's, misses the symbol.
fn undefined(said: &str) -> bool {
    said.lines().any(|line| line.contains("undefined") && line.contains(SYMBOL))
}

fn collect(dir: &Path, functions: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, functions)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            functions.extend(public_functions(&fs::read_to_string(&path)?));
        }
    }
    Ok(())
}

/// The functions that a user can call and that do something at run time, as `Type::function`; constant ones only pack and
/// unpack, and asynchronous ones poll others.
fn public_functions(source: &str) -> Vec<String> {
    let mut owner = String::new();
    let mut functions = Vec::new();
    for line in source.lines() {
        if line.starts_with("impl") {
            owner = self_type(line);
        } else if line.starts_with('}') {
            owner.clear();
        } else if let Some(rest) = line.trim_start().strip_prefix("pub fn ") {
            let name = rest.split(['(', '<']).next().unwrap_or_default();
            functions.push(if owner.is_empty() { name.to_owned() } else { format!("{owner}::{name}") });
        }
    }
    functions
}

/// The type of an `impl` line: the first word outside angle brackets, after `for` if there is one.
fn self_type(line: &str) -> String {
    let line = outside_brackets(line);
    let mut words = line.split([' ', '{']).filter(|word| !word.is_empty()).skip(1).peekable();
    let first = words.peek().copied();
    let last = words.skip_while(|word| *word != "for").nth(1);
    last.or(first).unwrap_or_default().to_owned()
}

/// Whether the list has that function, with whatever parameters and cast.
fn names(linked: &str, function: &str) -> bool {
    linked.lines().any(|line| {
        let line = outside_brackets(line).replace("::::", "::");
        let paths = line.split(|c: char| !c.is_alphanumeric() && !"_:".contains(c));
        paths.into_iter().any(|path| path.trim_end_matches("::") == function)
    })
}

/// A line without what stands in angle brackets.
fn outside_brackets(line: &str) -> String {
    let mut depth = 0;
    let mut outside = String::new();
    for c in line.chars() {
        match c {
            '<' => depth += 1,
            '>' => depth -= 1,
            c if depth == 0 => outside.push(c),
            _ => {}
        }
    }
    outside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_that_run_are_found_with_their_types() {
        let source = "\
pub fn a(x: u8)
pub(super) fn b()
impl<'a, M: Memory, const N: usize> Reader<'_, M, N> {
    pub fn c<T: Into<u8>>(
    pub const fn d()
    pub async fn e()
}
impl<M> fmt::Debug for Writer<M> {
    // pub fn f()
    pub fn g()
}
pub fn h()";
        assert_eq!(public_functions(source), ["a", "Reader::c", "Writer::g", "h"]);
    }

    #[test]
    fn a_function_is_named_by_its_type_and_its_whole_name() {
        for line in ["Sender::<M>::send,", "  Sender::<M, 4>::send::<Bell>,", "Sender::send as fn(_, &mut X) -> _,"] {
            assert!(names(line, "Sender::send"), "{line}");
        }
        assert!(names("digest,", "digest"));
        for line in ["Sender::<M>::send_lossy,", "LossySender::<M>::send,", "Receiver::<M>::send,", "send,"] {
            assert!(!names(line, "Sender::send"), "{line}");
        }
    }

    #[test]
    fn both_linkers_words_are_understood() {
        assert!(undefined("rust-lld: error: undefined symbol: the_data_path_has_a_reachable_panic"));
        assert!(undefined("x.o: undefined reference to `the_data_path_has_a_reachable_panic'"));
        assert!(!undefined("error[E0425]: cannot find function `the_data_path`"));
    }
}
