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

/// The names of the functions that a user can call and that do something at run time: constant ones only pack and unpack.
fn public_functions(source: &str) -> Vec<String> {
    let name = |line: &str| {
        let line = line.trim_start();
        let rest = line.strip_prefix("pub fn ").or_else(|| line.strip_prefix("pub async fn "))?;
        Some(rest.split(['(', '<']).next()?.to_owned())
    };
    source.lines().filter_map(name).collect()
}

/// Whether the list of what is linked names a function.
fn names(linked: &str, function: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    linked.match_indices(function).any(|(at, _)| {
        let (before, after) = (&linked[..at], &linked[at + function.len()..]);
        !before.ends_with(is_word) && !after.starts_with(is_word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_that_run_are_found_and_constant_and_inner_ones_are_not() {
        let source = "pub fn a(x: u8)\n    pub async fn b<T>(\n pub const fn c()\n pub(super) fn d()\n// pub fn e()";
        assert_eq!(public_functions(source), ["a", "b"]);
    }

    #[test]
    fn a_function_is_named_by_its_whole_name() {
        assert!(names("Sender::<M>::try_send,", "try_send"));
        assert!(!names("Sender::<M>::try_send_lossy,", "try_send"));
    }

    #[test]
    fn both_linkers_words_are_understood() {
        assert!(undefined("rust-lld: error: undefined symbol: the_data_path_has_a_reachable_panic"));
        assert!(undefined("x.o: undefined reference to `the_data_path_has_a_reachable_panic'"));
        assert!(!undefined("error[E0425]: cannot find function `the_data_path`"));
    }
}
