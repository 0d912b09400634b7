//! README's support table: what the matrix has shown, without times.

use super::Outcome;
use crate::workspace;
use anyhow::{Context, Result, bail, ensure};
use std::path::PathBuf;

const BEGIN: &str = "<!-- written by `cargo xtask qemu-matrix --write-readme` -->\n";
const END: &str = "<!-- end of what it wrote -->\n";
const HEAD: &str = "| | where the device is | shown | on |\n|---|---|---|---|\n";

/// Puts the table of these results, which are those of every case, into README.
pub fn write(outcomes: &[Outcome]) -> Result<()> {
    let text = read()?;
    let (before, _, after) = split(&text)?;
    let lines: String = lines(outcomes)?.iter().map(|line| format!("{line}\n")).collect();
    workspace::write(&format!("{before}{BEGIN}{HEAD}{lines}{END}{after}"), &path())
}

/// Whether README says of these groups what these results say, and nothing of a group that is not there any more.
pub fn check(outcomes: &[Outcome], groups: &[&str]) -> Result<()> {
    let text = read()?;
    let (_, table, _) = split(&text)?;
    let table = table.strip_prefix(HEAD).context("README's table has another head")?;
    let of = |group: &str| format!("| {group} |");
    let stranger = table.lines().find(|line| !groups.iter().any(|group| line.starts_with(&of(group))));
    ensure!(stranger.is_none(), "README says of no group that there is: {stranger:?}");
    let ran = |line: &&str| outcomes.iter().any(|outcome| line.starts_with(&of(outcome.group)));
    let (there, shown): (Vec<&str>, Vec<String>) = (table.lines().filter(ran).collect(), lines(outcomes)?);
    if there == shown {
        return Ok(());
    }
    let only_there = there.iter().filter(|line| !shown.iter().any(|other| other == *line));
    let only_shown = shown.iter().filter(|line| !there.contains(&line.as_str()));
    let lines = only_there.map(|line| format!("\n- {line}")).chain(only_shown.map(|line| format!("\n+ {line}")));
    bail!(
        "README's support table is not what was shown; `cargo xtask qemu-matrix --write-readme` writes it{}",
        lines.collect::<String>()
    )
}

fn path() -> PathBuf {
    workspace::root().join("README.md")
}

fn read() -> Result<String> {
    std::fs::read_to_string(path()).context("cannot read README.md")
}

/// What stands before the table, the table, and what stands after it.
fn split(text: &str) -> Result<(&str, &str, &str)> {
    let (before, rest) = text.split_once(BEGIN).with_context(|| format!("README has no line {BEGIN}"))?;
    let (table, after) = rest.split_once(END).with_context(|| format!("README has no line {END}"))?;
    Ok((before, table, after))
}

/// Some places of one group, in which the same was shown on the same machines.
struct Row<'a> {
    group: &'a str,
    shown: String,
    places: Vec<&'a str>,
    machines: Vec<&'a str>,
}

impl<'a> Row<'a> {
    fn of(outcome: &'a Outcome) -> Result<Self> {
        let Outcome { group, place, machine, .. } = outcome;
        let shown = outcome.result.as_ref().ok().with_context(|| format!("{} failed", outcome.name()))?;
        Ok(Self { group, shown: shown.to_string(), places: vec![place], machines: vec![machine] })
    }

    fn line(&self) -> String {
        // "q35 by ECAM, port I/O" rather than "q35 by ECAM, q35 by port I/O".
        let mut machines: Vec<(&str, Vec<&str>)> = Vec::new();
        for machine in &self.machines {
            let (name, how) = machine.split_once(" by ").map_or((*machine, None), |(name, how)| (name, Some(how)));
            match machines.last_mut().filter(|(last, _)| *last == name) {
                Some((_, ways)) => ways.extend(how),
                None => machines.push((name, how.into_iter().collect())),
            }
        }
        let text = |(name, ways): &(&str, Vec<&str>)| match ways.as_slice() {
            [] => (*name).to_owned(),
            ways => format!("{name} by {}", ways.join(", ")),
        };
        let machines: Vec<String> = machines.iter().map(text).collect();
        format!("| {} | {} | {} | {} |", self.group, self.places.join("; "), self.shown, machines.join("; "))
    }
}

fn lines(outcomes: &[Outcome]) -> Result<Vec<String>> {
    // First what was shown in one place on several machines, then what was shown there in several places.
    let (mut rows, mut table): (Vec<Row<'_>>, Vec<Row<'_>>) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        let row = Row::of(outcome)?;
        let same =
            |other: &&mut Row<'_>| (other.group, &other.shown, &other.places) == (row.group, &row.shown, &row.places);
        match rows.iter_mut().find(same) {
            Some(other) => other.machines.extend(row.machines),
            None => rows.push(row),
        }
    }
    for row in rows {
        let same = |other: &&mut Row<'_>| {
            (other.group, &other.shown, &other.machines) == (row.group, &row.shown, &row.machines)
        };
        match table.iter_mut().find(same) {
            Some(other) => other.places.extend(row.places),
            None => table.push(row),
        }
    }
    Ok(table.iter().map(Row::line).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Shown;
    use std::time::Duration;

    fn outcome(place: &str, machine: &str, shown: Result<&'static str, &str>) -> Outcome {
        let result = shown.map(|word| Shown::new(&[word])).map_err(str::to_owned);
        Outcome { group: "size", place: place.to_owned(), machine: machine.to_owned(), result, took: Duration::ZERO }
    }

    #[test]
    fn places_of_which_the_same_was_shown_on_the_same_machines_are_one_line() {
        let outcomes = [
            outcome("1 MiB", "q35 by ECAM", Ok("polled")),
            outcome("1 MiB", "q35 by port I/O", Ok("polled")),
            outcome("1 MiB", "pc", Ok("polled")),
            outcome("2 MiB", "q35 by ECAM", Ok("polled")),
            outcome("2 MiB", "q35 by port I/O", Ok("polled")),
            outcome("2 MiB", "pc", Ok("polled")),
            outcome("1 KiB", "pc", Ok("refused")),
        ];
        let expected =
            ["| size | 1 MiB; 2 MiB | polled | q35 by ECAM, port I/O; pc |", "| size | 1 KiB | refused | pc |"];
        assert_eq!(lines(&outcomes).unwrap(), expected);
    }

    #[test]
    fn nothing_is_written_of_a_case_that_failed() {
        let error = lines(&[outcome("1 MiB", "pc", Err("no answer"))]).unwrap_err();
        assert_eq!(error.to_string(), "size: 1 MiB, pc failed");
    }
}
