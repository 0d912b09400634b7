//! What a check answers, and the lines made of it.

use core::fmt::Debug;
use ivshmem_examples::say;

/// A check's reason, cut at so many bytes.
pub type Why = heapless::String<200>;

/// How a check ended other than well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// Something is wrong.
    Failed(Why),
    /// This machine has not what it needs.
    Skipped(&'static str),
}

/// What a check answers.
pub type Outcome = Result<(), Unfinished>;

/// A failure with a reason, as `format!` would write it.
#[macro_export]
macro_rules! failed {
    ($($arguments:tt)*) => {{
        let mut why = $crate::report::Why::new();
        // Cut if it is too long.
        let _ = core::fmt::write(&mut why, format_args!($($arguments)*));
        $crate::report::Unfinished::Failed(why)
    }};
}

/// Ends the check as failed unless both sides are equal.
#[macro_export]
macro_rules! same {
    ($left:expr, $right:expr, $($what:tt)*) => {
        // A match keeps what the operands borrow from alive.
        match ($left, $right) {
            (left, right) if left == right => {}
            (left, right) => {
                return Err($crate::failed!("{}: {left:?} instead of {right:?}", format_args!($($what)*)));
            }
        }
    };
}

/// Turns an unexpected error into a failure.
pub trait OrFailed<T> {
    /// Fails as `<what>: <error>`.
    fn or_failed(self, what: &str) -> Result<T, Unfinished>;
}

impl<T, E: Debug> OrFailed<T> for Result<T, E> {
    fn or_failed(self, what: &str) -> Result<T, Unfinished> {
        self.map_err(|error| failed!("{what}: {error:?}"))
    }
}

impl<T> OrFailed<T> for Option<T> {
    fn or_failed(self, what: &str) -> Result<T, Unfinished> {
        self.ok_or_else(|| failed!("{what}: nothing"))
    }
}

/// The numbers of the last line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    passed: u32,
    failed: u32,
    skipped: u32,
}

impl Tally {
    /// Says how the check ended, and counts it.
    pub fn note(&mut self, room: &str, name: &str, outcome: Outcome) {
        match outcome {
            Ok(()) => {
                self.passed += 1;
                say!("selftest: ok {room}::{name}");
            }
            Err(Unfinished::Failed(why)) => {
                self.failed += 1;
                say!("selftest: FAILED {room}::{name} {why}");
            }
            Err(Unfinished::Skipped(why)) => {
                self.skipped += 1;
                say!("selftest: skipped {room}::{name} {why}");
            }
        }
    }

    /// Says the last line. Whether nothing failed.
    pub fn end(self) -> bool {
        let Self { passed, failed, skipped } = self;
        say!("selftest: end passed={passed} failed={failed} skipped={skipped}");
        failed == 0
    }
}
