//! What libFuzzer says, and what came of all targets.

use std::fmt;

/// How far a target is, and how it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    pub executions: u64,
    /// Points of the code that were reached.
    pub coverage: u64,
    /// The panic's message, or the sanitizer's first line.
    pub reason: Option<String>,
    /// The file of the input that led to a finding.
    pub input: Option<String>,
    /// The next line is a panic's message.
    panicked: bool,
}

impl Progress {
    /// Reads one line of libFuzzer's.
    pub fn take(&mut self, line: &str) {
        if std::mem::take(&mut self.panicked) {
            self.reason = Some(line.to_owned());
        }
        if let Some((_, path)) = line.split_once("Test unit written to ") {
            self.input = Some(path.trim().to_owned());
        } else if line.starts_with("thread ") && line.contains(" panicked at ") {
            self.panicked = self.reason.is_none();
        } else if line.contains("ERROR: ") {
            let summary = line.split_once("ERROR: ").map(|(_, summary)| summary.to_owned());
            self.reason = self.reason.take().or(summary);
        } else if let Some(count) = line.strip_prefix("stat::number_of_executed_units:") {
            self.executions = count.trim().parse().unwrap_or(self.executions);
        } else if let Some(rest) = line.strip_prefix('#')
            && let Some((executions, rest)) = rest.split_once(['\t', ' '])
            && let Ok(executions) = executions.parse()
        {
            self.executions = executions;
            let mut words = rest.split_whitespace().skip_while(|word| *word != "cov:");
            let coverage = words.nth(1).and_then(|number| number.parse().ok());
            self.coverage = coverage.unwrap_or(self.coverage);
        }
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} executions, coverage {}", self.executions, self.coverage)
    }
}

/// What came of one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub target: String,
    pub progress: Progress,
    pub finding: Option<String>,
}

impl Outcome {
    pub fn finding(&self) -> Option<String> {
        self.finding.clone()
    }
}

/// All of them in columns.
pub fn table(outcomes: &[Outcome]) -> String {
    let mut text = format!("{:<14}{:>12}{:>10}  findings", "target", "executions", "coverage");
    for Outcome { target, progress, finding } in outcomes {
        let Progress { executions, coverage, input, .. } = progress;
        let found = match (finding, input) {
            (None, _) => "none".to_owned(),
            (Some(_), Some(input)) => input.clone(),
            (Some(_), None) => "no input was left".to_owned(),
        };
        text += &format!("\n{target:<14}{executions:>12}{coverage:>10}  {found}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Progress {
        let mut progress = Progress::default();
        lines.iter().for_each(|line| progress.take(line));
        progress
    }

    #[test]
    fn executions_and_coverage_are_the_last_that_were_said() {
        let progress = read(&[
            "INFO: seed corpus: files: 3",
            "#4\tINITED cov: 334 ft: 704 corp: 1/1b exec/s: 0 rss: 49Mb",
            "#168635\tDONE   cov: 335 ft: 705 corp: 107/4106b lim: 1390 exec/s: 6485 rss: 49Mb",
            "###### Recommended dictionary. ######",
            "stat::number_of_executed_units: 168640",
        ]);
        assert_eq!((progress.executions, progress.coverage), (168_640, 335));
        assert_eq!((progress.reason, progress.input), (None, None));
    }

    #[test]
    fn a_panic_is_told_by_its_message_and_its_input() {
        let progress = read(&[
            "#9\tNEW    cov: 12 ft: 1",
            "thread '<unnamed>' (1) panicked at src/server/clients.rs:116:5:",
            "somebody is left",
            "==1== ERROR: libFuzzer: deadly signal",
            "artifact_prefix='a/'; Test unit written to a/crash-0123",
        ]);
        assert_eq!(progress.reason.as_deref(), Some("somebody is left"));
        assert_eq!(progress.input.as_deref(), Some("a/crash-0123"));
    }

    #[test]
    fn what_the_sanitizer_finds_is_told_by_its_summary() {
        let progress = read(&["==1==ERROR: AddressSanitizer: heap-use-after-free on address 0x1"]);
        assert_eq!(progress.reason.as_deref(), Some("AddressSanitizer: heap-use-after-free on address 0x1"));
    }

    #[test]
    fn the_table_names_the_input_of_each_finding() {
        let outcome = |target: &str, finding: Option<&str>, input: Option<&str>| Outcome {
            target: target.to_owned(),
            progress: Progress { executions: 7, coverage: 3, input: input.map(str::to_owned), ..Progress::default() },
            finding: finding.map(str::to_owned),
        };
        let text = table(&[outcome("bars", None, None), outcome("peer", Some("x"), Some("a/crash-1"))]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[1], "bars                     7         3  none");
        assert_eq!(lines[2], "peer                     7         3  a/crash-1");
    }
}
