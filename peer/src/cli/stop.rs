//! Ctrl-C and SIGTERM end an exchange as its own end would: the other side is told, and the counts are said.

use super::Failure;
use core::ffi::c_int;
use core::sync::atomic::{AtomicI32, Ordering};
use signal_hook::consts::{SIGINT, SIGTERM};

/// The signal that came, 0 before.
static CAME: AtomicI32 = AtomicI32::new(0);

/// From now on the first signal makes [`check`] fail; the second one ends the process at once.
pub(super) fn catch() -> Result<(), Failure> {
    for signal in [SIGINT, SIGTERM] {
        // SAFETY: what runs in the handler is one atomic access and at most _exit(2), both async-signal-safe.
        unsafe { signal_hook::low_level::register(signal, move || note(signal)) }
            .map_err(|error| Failure::Failed(format!("cannot catch signal {signal}: {error}")))?;
    }
    Ok(())
}

fn note(signal: c_int) {
    // Relaxed: the number is all there is to see.
    if CAME.swap(signal, Ordering::Relaxed) != 0 {
        signal_hook::low_level::exit(128 + signal);
    }
}

/// To be called in every round of an exchange: a failure once a signal came.
pub(super) fn check() -> Result<(), Failure> {
    match CAME.load(Ordering::Relaxed) {
        0 => Ok(()),
        signal => Err(Failure::Stopped(signal)),
    }
}
