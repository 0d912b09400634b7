//! Does the cases, two at a time, and collects what came of each.

use super::{Bench, Case, Shown};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Cases at a time: one for each processor of the smallest machine that CI has.
const WORKERS: usize = 2;

/// What came of a case.
#[derive(Debug)]
pub struct Outcome<'a> {
    pub case: &'a Case,
    /// Why not, with all that is known of its machines.
    pub result: Result<Shown, String>,
    pub took: Duration,
}

/// Does them all, says so line by line, and gives the outcomes in the order of the cases.
pub fn run<'a>(cases: &'a [Case], bench: &Bench) -> Vec<Outcome<'a>> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let work = || {
        // Relaxed: each number is taken once, and nothing else depends on it.
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let begin = Instant::now();
            let result = case.run(bench).map_err(|error| format!("{error:#}"));
            let outcome = Outcome { case, result, took: begin.elapsed() };
            // A vector of outcomes is valid after any panic of the other worker.
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            done.push(outcome);
            say(done.len(), cases.len(), &done[done.len() - 1]);
        }
    };
    thread::scope(|scope| {
        (0..WORKERS).for_each(|_| drop(scope.spawn(work)));
    });
    let mut outcomes = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcomes.sort_by_key(|outcome| cases.iter().position(|case| std::ptr::eq(case, outcome.case)));
    outcomes
}

fn say(count: usize, all: usize, outcome: &Outcome<'_>) {
    let (name, seconds) = (outcome.case.name(), outcome.took.as_secs_f64());
    match &outcome.result {
        Ok(shown) => println!("[{count:>3}/{all}] {name}: {shown} ({seconds:.1} s)"),
        Err(error) => println!("[{count:>3}/{all}] {name}: FAILED ({seconds:.1} s)\n{error}"),
    }
}
