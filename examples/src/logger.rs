//! defmt over COM2. The timestamp is microseconds since boot, 0 before the clock is calibrated.

/// Sets COM2 up. Lines logged before are sent all the same, at whatever rate the firmware left.
pub fn init() {
    crate::serial::COM2.init();
}

#[cfg(target_os = "none")]
mod global {
    use crate::serial::COM2;
    use core::cell::UnsafeCell;
    use core::sync::atomic::{AtomicBool, Ordering};
    use x86_64::instructions::interrupts;

    struct Shared {
        encoder: UnsafeCell<defmt::Encoder>,
        taken: AtomicBool,
        were_enabled: AtomicBool,
    }

    // SAFETY: an image runs on one CPU; the encoder is only touched between `acquire` and `release`, during which
    // interrupts are off and a second `acquire` is refused.
    unsafe impl Sync for Shared {}

    static SHARED: Shared = Shared {
        encoder: UnsafeCell::new(defmt::Encoder::new()),
        taken: AtomicBool::new(false),
        were_enabled: AtomicBool::new(false),
    };

    fn send(bytes: &[u8]) {
        COM2.send(bytes);
    }

    #[defmt::global_logger]
    struct Logger;

    // SAFETY: `acquire` gives exclusive access (one CPU, interrupts off, reentrance refused) until `release`.
    unsafe impl defmt::Logger for Logger {
        fn acquire() {
            let were_enabled = interrupts::are_enabled();
            interrupts::disable();
            // Relaxed, here and below: one CPU, interrupts off.
            if SHARED.taken.swap(true, Ordering::Relaxed) {
                panic!("a defmt line was logged while another was being formatted");
            }
            SHARED.were_enabled.store(were_enabled, Ordering::Relaxed);
            let encoder = SHARED.encoder.get();
            // SAFETY: exclusive access, see above.
            unsafe { (*encoder).start_frame(send) };
        }

        unsafe fn flush() {}

        unsafe fn release() {
            let encoder = SHARED.encoder.get();
            // SAFETY: exclusive access, see above.
            unsafe { (*encoder).end_frame(send) };
            SHARED.taken.store(false, Ordering::Relaxed);
            if SHARED.were_enabled.load(Ordering::Relaxed) {
                interrupts::enable();
            }
        }

        unsafe fn write(bytes: &[u8]) {
            let encoder = SHARED.encoder.get();
            // SAFETY: exclusive access, see above.
            unsafe { (*encoder).write(bytes, send) };
        }
    }

    defmt::timestamp!("{=u64:us}", crate::clock::uptime_us());
}

/// On a host, where only the images' logic is tested, nobody reads the log.
#[cfg(not(target_os = "none"))]
mod global {
    #[defmt::global_logger]
    struct Deaf;

    // SAFETY: nothing is written anywhere, so that there is nothing to have exclusively.
    unsafe impl defmt::Logger for Deaf {
        fn acquire() {}

        unsafe fn flush() {}

        unsafe fn release() {}

        unsafe fn write(_: &[u8]) {}
    }

    defmt::timestamp!("{=u64:us}", 0);
}
