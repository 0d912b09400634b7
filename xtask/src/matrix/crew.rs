//! Does the cases, two at a time, and collects what came of each.

use super::case::{self, Bench, Case, Shown};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Cases at a time: one for each processor of the smallest machine that CI has.
const WORKERS: usize = 2;

/// What came of a case.
#[derive(Debug)]
pub struct Outcome {
    pub group: &'static str,
    pub place: String,
    pub machine: String,
    /// Why not, with all that is known of its machines.
    pub result: Result<Shown, String>,
    pub took: Duration,
}

impl Outcome {
    pub fn name(&self) -> String {
        case::name(self.group, &self.place, &self.machine)
    }
}

/// Does them all, says so line by line, and gives the outcomes in the order of the cases.
pub fn run(cases: &[Case], bench: &Bench) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let work = || {
        // Relaxed: each number is taken once, and nothing else depends on it.
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(case) = cases.get(number) else { break };
            let begin = Instant::now();
            let result = caught(|| case.run(bench));
            let Case { group, place, machine, .. } = case;
            let (place, machine, took) = (place.clone(), machine.clone(), begin.elapsed());
            let outcome = Outcome { group, place, machine, result, took };
            // A vector of outcomes is valid after any panic of the other worker.
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            say(done.len() + 1, cases.len(), &outcome);
            done.push((number, outcome));
        }
    };
    thread::scope(|scope| {
        (0..WORKERS).for_each(|_| drop(scope.spawn(work)));
    });
    let mut outcomes = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcomes.sort_by_key(|(number, _)| *number);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

/// A case that panics has failed, and the others go on.
fn caught(work: impl FnOnce() -> anyhow::Result<Shown>) -> Result<Shown, String> {
    // What was half done is gone with it: cases share nothing but a bench that nobody changes.
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| format!("{error:#}")),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            Err(format!("it panicked: {}", text.unwrap_or("and did not say why")))
        }
    }
}

fn say(count: usize, all: usize, outcome: &Outcome) {
    let (name, seconds) = (outcome.name(), outcome.took.as_secs_f64());
    match &outcome.result {
        Ok(shown) => println!("[{count:>3}/{all}] {name}: {shown} ({seconds:.1} s)"),
        Err(error) => println!("[{count:>3}/{all}] {name}: FAILED ({seconds:.1} s)\n{error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    #[test]
    fn a_case_fails_by_an_error_or_a_panic_and_says_which() {
        assert_eq!(caught(|| Ok(Shown::new(&["polled"]))), Ok(Shown::new(&["polled"])));
        assert_eq!(caught(|| bail!("no answer")), Err("no answer".to_owned()));
        let none: [u8; 0] = [];
        let error = caught(|| panic!("of {}", none.len())).unwrap_err();
        assert_eq!(error, "it panicked: of 0");
    }
}
