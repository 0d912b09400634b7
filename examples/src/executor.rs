//! The executor of tasks: embassy's, on the one CPU that runs, with timers that the local APIC's tick serves.
//!
//! Nothing here takes a critical section, and none is provided: an image in which anything asked for one would not link.

use crate::clock;
use crate::timer::ticks;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Waker;
use embassy_executor::Spawner;
use embassy_executor::raw::Executor;
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;
use spin::Mutex;
use static_cell::StaticCell;
use x86_64::instructions::interrupts as cpu;

/// Whether a task was woken since this was last asked.
static PENDED: AtomicBool = AtomicBool::new(false);

/// What the executor calls when a task is woken, perhaps by an interrupt's handler.
#[unsafe(export_name = "__pender")]
fn pender(_: *mut ()) {
    // Release: whoever sees it finds the task in the queue.
    PENDED.store(true, Ordering::Release);
}

/// Who sleeps until when, in microseconds since the clock began.
///
/// Only tasks and the loop below take the lock, one after the other, and no handler does: it is never contended.
struct Timers(Mutex<Queue>);

impl Driver for Timers {
    fn now(&self) -> u64 {
        clock::uptime_us()
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        self.0.lock().schedule_wake(at, waker);
    }
}

embassy_time_driver::time_driver_impl!(static TIMERS: Timers = Timers(Mutex::new(Queue::new())));

/// Runs tasks until `done`. To be called once, with the tick running: a sleep ends at the first tick after its time.
pub fn run(spawn: impl FnOnce(Spawner), done: impl Fn() -> bool) {
    static EXECUTOR: StaticCell<Executor> = StaticCell::new();
    let executor: &'static Executor = EXECUTOR.init(Executor::new(core::ptr::null_mut()));
    spawn(executor.spawner());
    while !done() {
        let tick = ticks();
        TIMERS.0.lock().next_expiration(clock::uptime_us());
        // SAFETY: this is the only call, `EXECUTOR` is taken once, and no task and no pender calls this function.
        unsafe { executor.poll() };
        // Off before the look: an interrupt after it is taken by the halt, which `sti` precedes by one instruction, and
        // ends it.
        cpu::disable();
        // Acquire: pairs with the pender.
        if PENDED.swap(false, Ordering::Acquire) || ticks() != tick {
            cpu::enable();
        } else {
            cpu::enable_and_hlt();
        }
    }
}
