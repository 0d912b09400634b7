//! Says what is being done: a spinner on a terminal, plain lines anywhere else.

use anyhow::Result;
use indicatif::ProgressBar;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Prints one line of news.
pub fn note(text: impl AsRef<str>) {
    eprintln!("xtask: {}", text.as_ref());
}

/// Does a piece of work that prints nothing itself, shows that it is going on, and says how long it took.
pub fn step<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let begin = Instant::now();
    let spinner = std::io::stderr().is_terminal().then(|| {
        let spinner = ProgressBar::new_spinner().with_message(format!("{what} ..."));
        spinner.enable_steady_tick(Duration::from_millis(100));
        spinner
    });
    if spinner.is_none() {
        note(format!("{what} ..."));
    }
    let result = work();
    if let Some(spinner) = spinner {
        spinner.finish_and_clear();
    }
    let outcome = if result.is_ok() { "done" } else { "failed" };
    note(format!("{what}: {outcome}, {:.1} s", begin.elapsed().as_secs_f64()));
    result
}
