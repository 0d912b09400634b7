//! Sleeping until a vector fires, without a race and with a bound.

use super::Vector;
use crate::notify::{Event, Wait};
use x86_64::instructions::interrupts;

/// The time-stamp counter, in its own ticks.
pub fn tsc() -> u64 {
    // SAFETY: every x86_64 CPU has the instruction; in ring 0 it is always allowed, and elsewhere by default.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Waits for an IDT vector with `sti; hlt`.
///
/// Between the last look at the count and the halt interrupts are off, and `sti` lets them in only after the next
/// instruction has begun: an interrupt in between ends the halt at once. So no firing is slept through.
///
/// A halted CPU sees the bound pass only when something wakes it: *the caller has a periodic interrupt running* (for
/// instance [`LocalApic::start_timer`](super::LocalApic::start_timer)). The wait ends with the first interrupt after the bound.
#[derive(Debug)]
pub struct HltWait {
    vector: &'static Vector,
    bound: u64,
}

impl HltWait {
    /// Waits for `vector` at most `bound` ticks of the [time-stamp counter](tsc), and the rest of a period of the periodic interrupt.
    ///
    /// # Safety
    /// In ring 0, with an interrupt table loaded that handles whatever may fire.
    pub const unsafe fn new(vector: &'static Vector, bound: u64) -> Self {
        Self { vector, bound }
    }
}

impl Wait for HltWait {
    fn count(&self) -> u32 {
        self.vector.count()
    }

    /// Leaves interrupts on or off as it found them; they are on while it waits.
    fn wait(&self, seen: u32) -> bool {
        wait(&Hardware, || self.vector.count(), seen, self.bound)
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for HltWait {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "HltWait {{ vector: {}, bound: {=u64} }}", self.vector, self.bound);
    }
}

/// What waiting asks of the CPU.
trait Cpu {
    fn now(&self) -> u64;
    fn interrupts_are_on(&self) -> bool;
    fn interrupts_off(&self);
    fn interrupts_on(&self);
    /// Lets interrupts in and halts, with nothing in between.
    fn interrupts_on_and_halt(&self);
}

struct Hardware;

impl Cpu for Hardware {
    fn now(&self) -> u64 {
        tsc()
    }

    fn interrupts_are_on(&self) -> bool {
        interrupts::are_enabled()
    }

    fn interrupts_off(&self) {
        interrupts::disable();
    }

    fn interrupts_on(&self) {
        interrupts::enable();
    }

    fn interrupts_on_and_halt(&self) {
        interrupts::enable_and_hlt();
    }
}

fn wait(cpu: &impl Cpu, count: impl Fn() -> u32, seen: u32, bound: u64) -> bool {
    let were_on = cpu.interrupts_are_on();
    let start = cpu.now();
    let fired = loop {
        // Off before the look: a handler that ran after it would not end the halt.
        cpu.interrupts_off();
        if count() != seen {
            break true;
        }
        // A clock that goes backwards counts as one that stands still.
        if cpu.now().saturating_sub(start) >= bound {
            break false;
        }
        cpu.interrupts_on_and_halt();
    };
    if were_on {
        cpu.interrupts_on();
    }
    fired
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// A CPU in which one interrupt arrives before step `at`, and a periodic one ends every halt after 100 ticks.
    ///
    /// An interrupt that arrives while they are off is taken when they go on.
    #[derive(Default)]
    struct Model {
        on: Cell<bool>,
        step: Cell<u32>,
        at: u32,
        raised: Cell<bool>,
        count: Cell<u32>,
        now: Cell<u64>,
        halts: Cell<u32>,
    }

    impl Model {
        fn step(&self) {
            if self.step.get() == self.at {
                self.raised.set(true);
            }
            self.step.set(self.step.get() + 1);
            self.take();
        }

        fn take(&self) {
            if self.on.get() && self.raised.take() {
                self.count.set(self.count.get() + 1);
            }
        }

        fn look(&self) -> u32 {
            self.step();
            let count = self.count.get();
            self.step();
            count
        }
    }

    impl Cpu for Model {
        fn now(&self) -> u64 {
            self.step();
            self.now.get()
        }

        fn interrupts_are_on(&self) -> bool {
            self.step();
            self.on.get()
        }

        fn interrupts_off(&self) {
            self.step();
            self.on.set(false);
        }

        fn interrupts_on(&self) {
            self.on.set(true);
            self.take();
        }

        fn interrupts_on_and_halt(&self) {
            self.step();
            self.halts.set(self.halts.get() + 1);
            assert!(self.halts.get() < 1000, "sleeps for ever");
            if !self.raised.get() {
                // Asleep until the periodic interrupt or, if its step is the next, the one waited for.
                self.step();
                if !self.raised.get() {
                    self.now.set(self.now.get() + 100);
                }
            }
            self.on.set(true);
            self.take();
        }
    }

    fn run(at: u32, on: bool, bound: u64) -> (bool, Model) {
        let model = Model { on: on.into(), at, ..Model::default() };
        let fired = wait(&model, || model.look(), 0, bound);
        (fired, model)
    }

    #[test]
    fn no_firing_is_slept_through_whenever_it_comes() {
        for on in [false, true] {
            for at in 0..60 {
                let (fired, model) = run(at, on, 1_000_000);
                assert!(fired, "at step {at}");
                assert_eq!(model.count.get(), 1);
                // Each round has 6 steps: it must not sleep even once more after the one in which it came.
                assert!(model.halts.get() <= 1 + at / 4, "at step {at}: {} halts", model.halts.get());
                let at_once = model.halts.get() == 0 || model.now.get() <= u64::from(at / 4) * 100;
                assert!(at_once, "at step {at}: woke at {}", model.now.get());
            }
        }
    }

    #[test]
    fn the_bound_ends_the_wait_at_the_next_periodic_interrupt() {
        let (fired, model) = run(u32::MAX, true, 1001);
        assert!(!fired);
        assert_eq!(model.now.get(), 1100);
    }

    #[test]
    fn what_fired_before_is_not_waited_for() {
        let model = Model { at: u32::MAX, count: 5.into(), ..Model::default() };
        assert!(wait(&model, || model.look(), 4, 1000));
        assert_eq!(model.halts.get(), 0);
    }

    #[test]
    fn interrupts_are_left_as_they_were_found() {
        for on in [false, true] {
            for bound in [0, 1000] {
                let (_, model) = run(u32::MAX, on, bound);
                assert_eq!(model.on.get(), on);
            }
        }
    }

    #[test]
    fn a_clock_that_goes_backwards_does_no_harm() {
        struct Backwards(Cell<u64>, Cell<u32>);
        impl Cpu for Backwards {
            fn now(&self) -> u64 {
                self.0.replace(self.0.get() - 10)
            }
            fn interrupts_are_on(&self) -> bool {
                true
            }
            fn interrupts_off(&self) {}
            fn interrupts_on(&self) {}
            fn interrupts_on_and_halt(&self) {
                self.1.set(self.1.get() + 1);
            }
        }
        let cpu = Backwards(1000.into(), 0.into());
        assert!(wait(&cpu, || cpu.1.get() / 5, 0, 100));
    }
}
