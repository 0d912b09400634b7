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

mod stand_ins;

use core::hint::black_box;
use core::panic::PanicInfo;
use embedded_io::{Read, ReadReady, Write, WriteReady};
use ivshmem::channel::protection::{
    Checker, Head, ProtectedReader, ProtectedReceiver, ProtectedSender, ProtectedWriter,
};
use ivshmem::channel::request::{Requester, Responder, Server};
use ivshmem::channel::schedule::{Service, Step, poll_all};
use ivshmem::channel::stream::{StreamReader, StreamWriter};
use ivshmem::channel::typed::{TypedReader, TypedReceiver, TypedSender, TypedWriter};
use ivshmem::channel::{
    Channels, Link, Mailbox, Notice, Reader, Receiver, Sender, Snapshot, Subscriber, Values, Watch, Writer, digest,
};
use ivshmem::device::DoorbellRegister;
use ivshmem::interrupt::{self, HltWait, LocalApic, StormGuard, Vector};
use ivshmem::memory::{Memory, SharedMemory};
use ivshmem::msix::Interrupts;
use ivshmem::notify::{Doorbell, Event, Wait};
use stand_ins::{Bell, Delay, Handle, Handler};

unsafe extern "C" {
    fn the_data_path_has_a_reachable_panic() -> !;
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    // SAFETY: there is no such function, so a program that would call it never comes to be.
    unsafe { the_data_path_has_a_reachable_panic() }
}

/// Keeps functions, for whatever arguments.
macro_rules! keep {
    ($($function:expr,)+) => { $( black_box($function as *const ()); )+ };
}

#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    data_path::<SharedMemory>();
    interrupts();
    #[cfg(feature = "reachable-panic")]
    data_path::<stand_ins::Indexed>();
    loop {
        core::hint::spin_loop();
    }
}

/// One line for each call; `cargo xtask test no_panic` misses every public function of `channel` that is not here.
fn data_path<M: Memory + 'static>() {
    link_and_messages::<M>();
    samples::<M>();
    requests::<M>();
    protection::<M>();
    waiting::<M>();
    streams::<M>();
    values::<M>();
    schedule::<M>();
}

fn link_and_messages<M: Memory + 'static>() {
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

fn samples<M: Memory + 'static>() {
    keep![
        Channels::<M>::writer,
        Channels::<M>::reader,
        Writer::<M>::write,
        Writer::<M>::notice,
        Reader::<M>::try_read,
        Reader::<M>::read,
        Reader::<M>::arm,
        Subscriber::<M>::new,
        Subscriber::<M>::subscribe,
        Values::<M>::reader,
        Watch::<M>::poll,
    ];
}

fn requests<M: Memory + 'static>() {
    keep![
        Channels::<M>::requester::<4>,
        Channels::<M>::responder::<4>,
        Requester::<M, 4>::start,
        Requester::<M, 4>::cancel,
        Requester::<M, 4>::poll,
        Requester::<M, 4>::arm,
        Requester::<M, 4>::resync,
        Responder::<M, 4>::next,
        Responder::<M, 4>::respond,
        Responder::<M, 4>::publish,
        Responder::<M, 4>::notice,
        Responder::<M, 4>::arm,
        Responder::<M, 4>::is_open,
        Responder::<M, 4>::resync,
        Server::<M, 4, 40>::new,
        Server::<M, 4, 40>::serve as fn(_, _, _, _, Handler) -> _,
        Server::<M, 4, 40>::arm,
        Server::<M, 4, 40>::resync,
    ];
}

fn protection<M: Memory + 'static>() {
    keep![
        Channels::<M>::protected_sender,
        Channels::<M>::protected_receiver,
        ProtectedSender::<M>::try_send,
        ProtectedSender::<M>::try_send_lossy,
        ProtectedSender::<M>::try_publish,
        ProtectedSender::<M>::notice,
        ProtectedSender::<M>::resync,
        ProtectedReceiver::<M>::try_recv,
        ProtectedReceiver::<M>::arm,
        ProtectedReceiver::<M>::state,
        ProtectedReceiver::<M>::resync,
        Channels::<M>::protected_writer,
        Channels::<M>::protected_reader,
        Values::<M>::protected_reader,
        ProtectedWriter::<M>::write,
        ProtectedWriter::<M>::notice,
        ProtectedReader::<M>::try_read,
        ProtectedReader::<M>::read,
        ProtectedReader::<M>::arm,
        ProtectedReader::<M>::state,
        ProtectedReader::<M>::resync,
        Checker::queuing,
        Checker::sampling,
        Checker::restart,
        Checker::check,
        Checker::state,
        Head::seal,
        Head::open,
    ];
}

/// Not here: the asynchronous functions, which are these until they are ready, and panic, as any, for an executor that polls
/// a future once more after its end.
fn waiting<M: Memory + 'static>() {
    keep![
        Sender::<M>::poll_send::<Bell>,
        Sender::<M>::send_within as fn(_, &mut Delay, _, _, _) -> _,
        Receiver::<M>::poll_recv::<Bell>,
        Receiver::<M>::recv_within as fn(_, &mut Delay, _, _, _) -> _,
        Reader::<M>::poll_changed::<Bell>,
        Reader::<M>::changed_within as fn(_, &mut Delay, _, _) -> _,
        Requester::<M, 4>::poll_completed::<Bell>,
        Requester::<M, 4>::completed_within as fn(_, &mut Delay, _, _, fn() -> u64, _) -> _,
        Responder::<M, 4>::poll_next::<Bell>,
        Responder::<M, 4>::next_within as fn(_, &mut Delay, _, _, fn() -> u64, _) -> _,
        Server::<M, 4, 40>::poll_serve as fn(_, _, &Bell, _, _, _, Handler) -> _,
        ProtectedSender::<M>::poll_send::<Bell>,
        ProtectedSender::<M>::send_within as fn(_, &mut Delay, _, _, _) -> _,
        ProtectedReceiver::<M>::poll_recv::<Bell>,
        ProtectedReceiver::<M>::recv_within as fn(_, &mut Delay, _, _, fn() -> u64, _) -> _,
        ProtectedReader::<M>::poll_changed::<Bell>,
        ProtectedReader::<M>::changed_within as fn(_, &mut Delay, _, _) -> _,
    ];
}

fn streams<M: Memory + 'static>() {
    keep![
        StreamReader::<M, HltWait>::new,
        StreamReader::<M, HltWait>::resync,
        <StreamReader<M, HltWait> as Read>::read,
        <StreamReader<M, HltWait> as ReadReady>::read_ready,
        StreamWriter::<M, DoorbellRegister, HltWait>::resync,
        <StreamWriter<M, DoorbellRegister, HltWait> as Write>::write,
        <StreamWriter<M, DoorbellRegister, HltWait> as Write>::flush,
        <StreamWriter<M, DoorbellRegister, HltWait> as WriteReady>::write_ready,
    ];
}

fn values<M: Memory + 'static>() {
    type Value = [u8; 40];
    keep![
        TypedSender::<M, Value>::new,
        TypedSender::<M, Value>::try_send,
        TypedReceiver::<M, Value>::new,
        TypedReceiver::<M, Value>::try_recv,
        TypedReceiver::<M, Value>::recv::<HltWait>,
        TypedWriter::<M, Value>::new,
        TypedWriter::<M, Value>::write,
        TypedReader::<M, Value>::new,
        TypedReader::<M, Value>::try_read,
        TypedReader::<M, Value>::read,
    ];
}

fn schedule<M: Memory + 'static>() {
    fn serve_one<M: Memory>(receiver: &mut Receiver<'_, M>, buffer: &mut [u8], handle: Handle) -> Step {
        receiver.service(1, buffer, handle).serve_one()
    }
    keep![poll_all, Receiver::<M>::service::<Handle>, serve_one::<M>,];
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
