//! The record of a vector: one for each of the IDT's, and any that a kernel makes for itself.

use super::storm::Bound;
use crate::notify::Event;
use crate::sync::{AtomicU32, AtomicWaker, Ordering};
use core::fmt;
use core::task::Waker;

/// How often a vector fired, and whom to wake.
///
/// Written by the handler and read by tasks without a lock: a handler that interrupts a registration on the same CPU does not
/// wait for it, and the registration then wakes its own waker.
///
/// Each IDT vector has [one](event). A kernel whose handlers are not told their vector, or whose CPUs have vectors of their own, makes
/// one for each handler:
///
/// ```
/// use ivshmem::interrupt::Vector;
/// use ivshmem::notify::Event;
///
/// static DOORBELL: Vector = Vector::new();
///
/// fn handler() {
///     DOORBELL.on_interrupt();
/// }
/// # handler();
/// # assert_eq!(DOORBELL.count(), 1);
/// ```
pub struct Vector {
    count: AtomicU32,
    waker: AtomicWaker,
    bound: Bound,
}

#[cfg(not(loom))]
static VECTORS: [Vector; 256] = [const { Vector::new() }; 256];

// Loom's atomics are made anew in each execution, and its threads' stacks hold no such array.
#[cfg(loom)]
loom::lazy_static! {
    static ref VECTORS: std::boxed::Box<[Vector; 256]> = {
        let vectors: std::boxed::Box<[Vector]> = (0..=u8::MAX).map(|_| Vector::new()).collect();
        let Ok(vectors) = vectors.try_into() else { unreachable!() };
        vectors
    };
}

/// The record of an IDT vector.
///
/// Vectors 0 to 31 are the CPU's exceptions and never fire here.
pub fn event(vector: u8) -> &'static Vector {
    let vectors: &'static [Vector; 256] = &VECTORS;
    let [first, ..] = vectors;
    // A u8 is always inside; the alternative only spares a panic path.
    vectors.get(usize::from(vector)).unwrap_or(first)
}

/// Records that an IDT vector fired and wakes its waker. Does not end the interrupt: that is the caller's.
///
/// [`Vector::on_interrupt`] of its record, for the handler of an RTOS that has its own table; the stubs of [`install`](super::install)
/// call it themselves.
pub fn on_interrupt(vector: u8) {
    event(vector).on_interrupt();
}

impl Vector {
    /// One that has not fired.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self { count: AtomicU32::new(0), waker: AtomicWaker::new(), bound: Bound::new() }
    }

    /// One that has not fired.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self { count: AtomicU32::new(0), waker: AtomicWaker::new(), bound: Bound::new() }
    }

    /// Wakes the task that waits for this vector without counting a firing: from a timer's tick, so that a doorbell which was lost
    /// delays a task by no more than the tick's period.
    ///
    /// Runs the waker's `wake`. A vector that no device raises may be woken only like this.
    pub fn wake(&self) {
        self.waker.wake();
    }

    /// Records a firing and wakes the waker: what a handler calls. Does not end the interrupt: that is the caller's.
    ///
    /// Runs the waker's `wake` and drops the waker, both of which must be fit for a handler: a task that ended meanwhile may have left the
    /// last of what a waker refers to.
    pub fn on_interrupt(&self) {
        // Release, and before the wake: a task that is woken, or that registered too late to be, sees this count.
        let before = self.count.fetch_add(1, Ordering::Release);
        self.bound.check(before.wrapping_add(1));
        self.waker.wake();
    }

    /// Where a [`StormGuard`](super::StormGuard) sets its bound.
    pub(super) fn bound(&self) -> &Bound {
        &self.bound
    }
}

impl Default for Vector {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
impl Vector {
    pub(super) fn set_count(&self, count: u32) {
        self.count.store(count, Ordering::Relaxed);
    }
}

impl Event for Vector {
    fn count(&self) -> u32 {
        // Acquire: looks at the memory that follow are not moved before the look at the count.
        self.count.load(Ordering::Acquire)
    }

    fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }
}

impl fmt::Debug for Vector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vector").field("count", &self.count()).finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Vector {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Vector {{ count: {=u32} }}", self.count());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn each_vector_counts_for_itself() {
        // Vectors that no stub has: those of exceptions. The stubs' tests fire all others.
        let before = [event(20).count(), event(21).count()];
        on_interrupt(20);
        on_interrupt(20);
        assert_eq!(event(20).count(), before[0].wrapping_add(2));
        assert_eq!(event(21).count(), before[1]);
        assert!(core::ptr::eq(event(255), &raw const VECTORS[255]));
    }

    #[test]
    fn a_firing_that_nobody_waits_for_is_counted_and_touches_nothing_else() {
        // Before a device is open, after it is closed, of a vector that none has.
        for vector in [3, 10] {
            let counts = || [vector - 1, vector, vector + 1].map(|vector| event(vector).count());
            let [below, before, above] = counts();
            for _ in 0..3 {
                on_interrupt(vector);
            }
            assert_eq!(counts(), [below, before.wrapping_add(3), above]);
        }
    }

    #[test]
    fn a_registered_waker_wakes_once() {
        let wakes = Arc::new(Wakes::default());
        let vector = Vector::new();
        vector.register(&wakes.clone().into());
        vector.on_interrupt();
        vector.on_interrupt();
        assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
        assert_eq!(vector.count(), 2);
    }

    #[test]
    fn a_wake_without_a_firing_wakes_and_counts_nothing() {
        let wakes = Arc::new(Wakes::default());
        let vector = Vector::new();
        vector.register(&wakes.clone().into());
        vector.wake();
        vector.wake();
        assert_eq!((wakes.0.load(Ordering::SeqCst), vector.count()), (1, 0));
    }

    #[test]
    fn a_later_waker_replaces_an_earlier_one() {
        let (first, second) = (Arc::new(Wakes::default()), Arc::new(Wakes::default()));
        let vector = Vector::new();
        vector.register(&first.clone().into());
        vector.register(&second.clone().into());
        vector.on_interrupt();
        assert_eq!((first.0.load(Ordering::SeqCst), second.0.load(Ordering::SeqCst)), (0, 1));
    }

    #[test]
    fn no_wake_up_is_lost_between_registering_and_looking() {
        // A handler on another CPU fires while a task registers and looks: whichever comes first, the task either sees
        // the count or is woken. Blocking on the waker itself would hang if one were lost.
        const ROUNDS: u32 = 20_000;
        struct Unpark(std::thread::Thread, AtomicUsize);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.1.store(1, Ordering::SeqCst);
                self.0.unpark();
            }
        }
        let vector = Arc::new(Vector::new());
        let turn = Arc::new(AtomicU32::new(0));
        let handler = std::thread::spawn({
            let (vector, turn) = (vector.clone(), turn.clone());
            move || {
                for round in 1..=ROUNDS {
                    while turn.load(Ordering::SeqCst) < round {
                        std::thread::yield_now();
                    }
                    vector.on_interrupt();
                }
            }
        });
        for round in 1..=ROUNDS {
            turn.store(round, Ordering::SeqCst);
            let unpark = Arc::new(Unpark(std::thread::current(), AtomicUsize::new(0)));
            vector.register(&unpark.clone().into());
            // A wake-up may still belong to the round before, whose count was seen before its handler woke: then this one is to come.
            while vector.count() != round {
                while unpark.1.swap(0, Ordering::SeqCst) == 0 {
                    std::thread::park();
                }
                vector.register(&unpark.clone().into());
            }
        }
        handler.join().unwrap();
    }
}
