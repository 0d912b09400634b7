//! A region that a hostile peer shares.

use core::ops::ControlFlow;
use ivshmem::channel::{COMMAND_RESPONSE, End};
use ivshmem::fake::input::Input;
use ivshmem_peer::chaos::{Chaos, Mode};
use ivshmem_peer::{Backend, DeviceName, Exchange, MAX_MESSAGE, Mapping, Purpose, Sysfs, mailbox, open};
use rustix::fs::{MemfdFlags, memfd_create};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::OnceLock;

/// Bytes of it.
const LENGTH: u64 = 65536;
/// Steps of the hostile peer in one run.
const STEPS: u64 = 200;

static FILE: OnceLock<OwnedFd> = OnceLock::new();

/// Exchanges messages with the project's own hostile peer, over a file as `file:` opens one.
pub fn run(input: &Input<'_>) {
    let file = FILE.get_or_init(|| {
        let file = memfd_create("fuzz", MemfdFlags::CLOEXEC).expect("memory can be had");
        rustix::fs::ftruncate(&file, LENGTH).expect("and has a length");
        file
    });
    // What an earlier run left is what an earlier session leaves, but the same input has to do the same.
    rustix::io::pwrite(file, &vec![input.byte(); LENGTH as usize], 0).expect("it can be written");
    let name = DeviceName::File(format!("/proc/self/fd/{}", file.as_raw_fd()).into());
    let backend: Box<dyn Backend> =
        open(Some(&name), Purpose::Access, &Sysfs::default()).expect("a file can be opened");
    let end = if input.byte().is_multiple_of(2) { End::First } else { End::Second };
    let mut mailbox = mailbox(&*backend, end).expect("the file is long enough");
    let mut exchange = Exchange::attach(&mut mailbox, &*backend, end);
    let modes = [
        Mode::Scribble { everywhere: false },
        Mode::Scribble { everywhere: true },
        Mode::Stamp,
        Mode::Length,
        Mode::Freeze,
        Mode::Replay,
        Mode::Restart,
    ];
    let mode = modes[usize::from(input.byte()) % modes.len()];
    let chaos = Chaos { seed: input.u64(), ..Chaos::new(mode, end.other(), &COMMAND_RESPONSE) };
    let theirs = Mapping::new(file, 0, LENGTH as usize).expect("it can be mapped twice");
    let mut buffer = [0; MAX_MESSAGE];
    chaos
        .run(&theirs, None::<&NoDoorbell>, |_, counts| {
            for _ in 0..input.byte() % 4 {
                let _ = exchange.poll();
                let _ = exchange.try_send(&[counts.steps as u8; 200]);
                if let Ok(Some(message)) = exchange.recv(&mut buffer) {
                    assert!(message.len() <= MAX_MESSAGE);
                }
                let _ = exchange.peer_receives();
            }
            if counts.steps < STEPS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
        .expect("the memory is long enough");
    exchange.close();
    assert!(!exchange.poll().is_up());
}

/// There is no doorbell.
enum NoDoorbell {}

impl ivshmem::notify::Doorbell for NoDoorbell {
    type Error = ivshmem_peer::RingError;

    fn ring(&self, _: u16, _: u16) -> Result<(), Self::Error> {
        match *self {}
    }
}
