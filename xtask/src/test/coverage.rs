//! Coverage: how much of each module its tests run, and the lines that they do not.

use super::suite::Suite;
use crate::cargo;
use crate::setup;
use crate::workspace;
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

mod lines;

use lines::{Covered, lcov, ranges, test_files, test_modules};

/// Of each hundred lines of these modules so many are run.
const LEAST: usize = 95;
const MODULES: [&str; 5] = ["channel", "pci", "msix", "device", "memory"];

pub fn add(suite: &mut Suite) {
    suite.case("coverage: channel, pci, msix, device and memory are run by tests, 95 lines of each hundred", |rig| {
        // Some tests drive QEMU's devices.
        rig.hypervisor()?;
        let report = workspace::target().join("coverage.lcov");
        measure(&report)?;
        let text = std::fs::read_to_string(&report).with_context(|| format!("cannot read {}", report.display()))?;
        let modules = modules(&lcov(&text), workspace::root())?;
        println!("{}", table(&modules));
        judge(&modules)
    });
}

/// Builds the driver and its tests instrumented, in a target directory of their own, runs them and writes the report.
fn measure(report: &Path) -> Result<()> {
    let features = features()?.join(",");
    let tool = setup::coverage()?.cargo().args(["--package", "ivshmem", "--tests", "--features", &features]);
    let tool = tool.args(["--lcov", "--output-path"]).arg(report);
    let target = workspace::target().join("coverage");
    tool.env("CARGO_LLVM_COV_TARGET_DIR", target).dir(workspace::root()).run()
}

/// All but `defmt`: its frames need a logger of the target's.
fn features() -> Result<Vec<String>> {
    Ok(cargo::driver_features()?.into_iter().filter(|feature| feature != "defmt").collect())
}

/// A module's lines: those of its files together.
#[derive(Debug, Default, PartialEq, Eq)]
struct Module {
    lines: usize,
    covered: usize,
    /// A file and its lines that no test runs.
    missed: Vec<(String, Vec<u32>)>,
}

impl Module {
    fn hundredths(&self) -> f64 {
        self.covered as f64 * 100.0 / self.lines as f64
    }

    fn is_enough(&self) -> bool {
        self.covered * 100 >= self.lines * LEAST
    }
}

/// Adds up files by module: `src/pci.rs` and all of `src/pci/`. A `#[cfg(test)] mod` does not count, be it a part of a file or
/// files of its own.
fn modules(files: &BTreeMap<String, Covered>, root: &Path) -> Result<BTreeMap<String, Module>> {
    let mut sources = BTreeMap::new();
    read(&root.join("src"), &mut sources)?;
    let tests: Vec<_> = sources.iter().flat_map(|(path, source)| test_files(path, source)).collect();
    let is_test = |path: &Path| tests.iter().any(|test| path.with_extension("").starts_with(test));
    let mut modules = BTreeMap::<String, Module>::new();
    for (path, lines) in files.iter().map(|(path, lines)| (Path::new(path), lines)) {
        let Ok(file) = path.strip_prefix(root.join("src")) else { continue };
        let Some(first) = file.iter().next().and_then(|first| first.to_str()) else { continue };
        let Some(source) = sources.get(path).filter(|_| !is_test(path)) else { continue };
        let tests = test_modules(source);
        let counted = || lines.iter().filter(|(line, _)| !tests.iter().any(|test| test.contains(line)));
        let module = modules.entry(first.trim_end_matches(".rs").to_owned()).or_default();
        module.lines += counted().count();
        module.covered += counted().filter(|(_, covered)| **covered).count();
        let missed: Vec<u32> = counted().filter(|(_, covered)| !**covered).map(|(line, _)| *line).collect();
        if !missed.is_empty() {
            module.missed.push((format!("src/{}", file.display()), missed));
        }
    }
    Ok(modules)
}

/// Every Rust file in a folder and below.
fn read(folder: &Path, sources: &mut BTreeMap<PathBuf, String>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            read(&path, sources)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            sources.insert(path, source);
        }
    }
    Ok(())
}

fn table(modules: &BTreeMap<String, Module>) -> String {
    let mut text = format!("{:12}{:>8}{:>10}{:>9}{:>9}\n", "module", "lines", "covered", "%", "least");
    for (name, module) in modules.iter().filter(|(_, module)| module.lines > 0) {
        let least = if MODULES.contains(&name.as_str()) { LEAST.to_string() } else { "-".to_owned() };
        let Module { lines, covered, .. } = module;
        let _infallible = writeln!(text, "{name:12}{lines:>8}{covered:>10}{:>9.1}{least:>9}", module.hundredths());
    }
    text
}

fn judge(modules: &BTreeMap<String, Module>) -> Result<()> {
    let mut poor = Vec::new();
    for name in MODULES {
        let module = modules.get(name).with_context(|| format!("the report has no module {name}"))?;
        ensure!(module.lines > 0, "the report has no line of module {name}");
        if !module.is_enough() {
            println!("{name}: no test runs");
            module.missed.iter().for_each(|(file, lines)| println!("    {file}: {}", ranges(lines)));
            poor.push(format!("{name} {:.1} %", module.hundredths()));
        }
    }
    if !poor.is_empty() {
        bail!("less than {LEAST} % of the lines are run by tests: {}", poor.join(", "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(module: impl Fn(&str) -> Module) -> BTreeMap<String, Module> {
        MODULES.iter().map(|name| (name.to_string(), module(name))).collect()
    }

    fn covered(lines: usize, covered: usize) -> Module {
        Module { lines, covered, missed: Vec::new() }
    }

    #[test]
    fn exactly_the_least_is_enough_and_less_names_the_module() {
        judge(&all(|_| covered(200, 190))).unwrap();
        let error = judge(&all(|name| covered(200, if name == "msix" { 189 } else { 200 }))).unwrap_err();
        assert_eq!(error.to_string(), "less than 95 % of the lines are run by tests: msix 94.5 %");
    }

    #[test]
    fn a_module_that_was_not_measured_is_an_error() {
        let mut modules = all(|_| covered(1, 1));
        modules.remove("memory");
        assert!(judge(&modules).is_err());
        assert!(judge(&all(|_| covered(0, 0))).is_err());
    }

    #[test]
    fn a_modules_files_are_added_up_without_tests() {
        let folder = tempfile::tempdir().unwrap();
        let mut report = String::new();
        for (file, source, hits) in [
            ("src/lib.rs", "mod pci;\n#[cfg(test)]\nmod help;\n", ""),
            ("src/help.rs", "fn e() {}\n", "DA:1,0"),
            ("src/pci.rs", "#[cfg(test)]\nmod mock;\nfn a() {}\n", "DA:3,1"),
            ("src/pci/mock.rs", "fn e() {}\n", "DA:1,0"),
            (
                "src/pci/bar.rs",
                "fn b() {}\nfn c() {}\n#[cfg(test)]\nmod inner {\n    fn d() {}\n}\n#[cfg(test)]\nmod tests;\n",
                "DA:1,4\nDA:2,0\nDA:5,0",
            ),
            ("src/pci/bar/tests.rs", "fn e() {}\n", "DA:1,0"),
            ("src/pci/bar/tests/sizing.rs", "fn e() {}\n", "DA:1,0"),
            ("other/src/pci.rs", "fn e() {}\n", "DA:1,0"),
        ] {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, source).unwrap();
            // As in a real report, a file without code is not in it.
            if !hits.is_empty() {
                report += &format!("SF:{}\n{hits}\nend_of_record\n", path.display());
            }
        }
        let modules = modules(&lcov(&report), folder.path()).unwrap();
        let pci = Module { lines: 3, covered: 2, missed: vec![("src/pci/bar.rs".to_owned(), vec![2])] };
        assert_eq!(modules, [("pci".to_owned(), pci)].into());
        assert!(table(&modules).contains("pci                3         2     66.7       95"), "{}", table(&modules));
    }

    #[test]
    fn every_feature_is_measured_but_defmt() {
        let features = features().unwrap();
        assert!(features.contains(&"fake".to_owned()) && !features.contains(&"defmt".to_owned()), "{features:?}");
    }
}
