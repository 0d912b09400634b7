//! A region that a hostile peer shares.

use core::ops::ControlFlow;
use ivshmem::channel::{Channel, End, LinkState};
use ivshmem::fake::input::Input;
use ivshmem::notify::{Doorbell, Wait};
use ivshmem_peer::chaos::{Chaos, Mode};
use ivshmem_peer::{Backend, DeviceName, Mapping, Purpose, RingError, Sysfs, open};
use rustix::fs::{MemfdFlags, memfd_create};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::OnceLock;

/// Bytes of it.
const LENGTH: u64 = 65536;
/// Steps of the hostile peer in one run.
const STEPS: u64 = 200;

static FILE: OnceLock<OwnedFd> = OnceLock::new();

/// The region, and which end of its mailbox is not hostile.
pub struct Region {
    file: &'static OwnedFd,
    pub backend: Box<dyn Backend>,
    pub end: End,
}

impl Region {
    /// A file as `file:` opens one, full of what the input says.
    pub fn new(input: &Input<'_>) -> Self {
        let file = FILE.get_or_init(|| {
            let file = memfd_create("fuzz", MemfdFlags::CLOEXEC).expect("memory can be had");
            rustix::fs::ftruncate(&file, LENGTH).expect("and has a length");
            file
        });
        // What an earlier run left is what an earlier session leaves, but the same input has to do the same.
        rustix::io::pwrite(file, &vec![input.byte(); LENGTH as usize], 0).expect("it can be written");
        let name = DeviceName::File(format!("/proc/self/fd/{}", file.as_raw_fd()).into());
        let backend = open(Some(&name), Purpose::Access, &Sysfs::default()).expect("a file can be opened");
        let end = if input.byte().is_multiple_of(2) { End::First } else { End::Second };
        Self { file, backend, end }
    }

    /// Lets the project's own hostile peer at it, as the input says, and calls `ours` after each of its steps, a few times.
    pub fn attack(&self, input: &Input<'_>, channels: &[Channel], mut ours: impl FnMut(Moment)) {
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
        let chaos = Chaos { seed: input.u64(), ..Chaos::new(mode, self.end.other(), channels) };
        let theirs = Mapping::new(self.file, 0, LENGTH as usize).expect("it can be mapped twice");
        chaos
            .run(&theirs, None::<&Silent>, |_, counts| {
                let moment = Moment { now: counts.steps, honest: counts.hostile == 0 };
                (0..input.byte() % 4).for_each(|_| ours(moment));
                if counts.steps < STEPS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })
            .expect("the memory is long enough");
    }
}

/// How far the hostile peer is.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Its steps: the time.
    pub now: u64,
    /// Whether it has done nothing yet that an honest peer, which may die and come back, does not do.
    pub honest: bool,
}

impl Moment {
    /// Nothing is held against an honest peer.
    pub fn check_link(self, state: LinkState) {
        let accuses =
            matches!(state, LinkState::Violated(_) | LinkState::Incompatible { .. } | LinkState::OtherVersion { .. });
        assert!(!(accuses && self.honest), "{state:?}");
    }
}

/// Rings nobody, and waits for nothing.
pub struct Silent;

impl Doorbell for Silent {
    type Error = RingError;

    fn ring(&self, _: u16, _: u16) -> Result<(), RingError> {
        Err(RingError::NoDoorbell)
    }
}

impl Wait for Silent {
    fn count(&self) -> u32 {
        0
    }

    fn wait(&self, _: u32) -> bool {
        false
    }
}
