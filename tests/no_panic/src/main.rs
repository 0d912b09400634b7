//! The data path, linked where a panic that can be reached is a link error.
//!
//! Each function named in [`data_path`] is compiled for whatever arguments it may get: its address goes where the optimiser
//! does not see what becomes of it, and so nothing is known of the values behind its references, hostile memory least of all.
//! The panic handler calls a function that exists nowhere. If a panic is left anywhere in what is linked, so is the
//! handler, and the linker has no such function. `cargo xtask test no_panic` builds this.
//!
//! To find a panic that the linker reports, comment out lines of the list until it links.
#![no_std]
#![no_main]

use core::hint::black_box;
use core::panic::PanicInfo;
use ivshmem::channel::{Channels, Link, Mailbox, Notice, Receiver, Sender, Snapshot, digest};
use ivshmem::device::DoorbellRegister;
use ivshmem::interrupt::{self, HltWait, LocalApic, StormGuard, Vector};
use ivshmem::memory::{Memory, SharedMemory};
use ivshmem::msix::Interrupts;
use ivshmem::notify::{Doorbell, Event, Wait};

unsafe extern "C" {
    fn the_data_path_has_a_reachable_panic() -> !;
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    // SAFETY: there is no such function, so a program that would call it never comes to be.
    unsafe { the_data_path_has_a_reachable_panic() }
}

macro_rules! keep {
    ($($function:expr,)+) => { $( black_box($function as *const ()); )+ };
}

#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    data_path::<SharedMemory>();
    interrupts();
    #[cfg(feature = "reachable-panic")]
    data_path::<panics::Indexed>();
    loop {
        core::hint::spin_loop();
    }
}

/// One line for each call; `cargo xtask test no_panic` misses every public function of `channel` that is not here.
fn data_path<M: Memory + 'static>() {
    keep![
        digest,
        Mailbox::<M>::new,
        Mailbox::<M>::required_len,
        Mailbox::<M>::attach,
        Channels::<M>::sender,
        Channels::<M>::receiver,
        Link::<M>::poll,
        Link::<M>::peer_id,
        Link::<M>::close,
        Link::<M>::resync,
        Sender::<M>::try_send,
        Sender::<M>::try_send_lossy,
        Sender::<M>::try_publish,
        Sender::<M>::room,
        Sender::<M>::notice,
        Sender::<M>::resync,
        Notice::ring::<DoorbellRegister>,
        Receiver::<M>::try_recv,
        Receiver::<M>::recv::<HltWait>,
        Receiver::<M>::arm,
        Receiver::<M>::resync,
        Snapshot::<M>::link,
        Snapshot::<M>::channel,
        Snapshot::<M>::slot,
        SharedMemory::window,
    ];
}

/// What interrupts run, and what a channel's owner does about them.
///
/// Not here: `Vector::register`, because `AtomicWaker::register` unwraps what it has itself stored one line above, which the
/// optimiser does not see. A handler never registers.
fn interrupts() {
    keep![
        interrupt::on_interrupt,
        interrupt::event,
        LocalApic::end_of_interrupt,
        StormGuard::new,
        StormGuard::next_window,
        Interrupts::mask,
        Interrupts::unmask,
        Interrupts::pending,
        <Vector as Event>::count,
        <HltWait as Wait>::wait,
        <DoorbellRegister as Doorbell>::ring,
    ];
}

#[cfg(feature = "reachable-panic")]
mod panics {
    use ivshmem::memory::Memory;

    /// Memory that forgets to check an offset, as `SharedMemory` must not.
    #[derive(Debug)]
    pub struct Indexed([u64; 512]);

    impl Memory for Indexed {
        fn len(&self) -> usize {
            4096
        }

        fn load(&self, offset: usize) -> u64 {
            self.0[offset / 8]
        }

        fn store(&self, _: usize, _: u64) {}

        fn publish(&self, _: usize, _: u64) {}

        fn copy_out(&self, _: usize, _: &mut [u8]) {}

        fn copy_in(&self, _: usize, _: &[u8]) {}
    }
}
