//! Does the cases, two at a time, and collects what came of each.

use super::case::{self, Bench, Case, Shown};
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
            let result = case.run(bench).map_err(|error| format!("{error:#}"));
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

fn say(count: usize, all: usize, outcome: &Outcome) {
    let (name, seconds) = (outcome.name(), outcome.took.as_secs_f64());
    match &outcome.result {
        Ok(shown) => println!("[{count:>3}/{all}] {name}: {shown} ({seconds:.1} s)"),
        Err(error) => println!("[{count:>3}/{all}] {name}: FAILED ({seconds:.1} s)\n{error}"),
    }
}
