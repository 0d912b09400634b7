//! A look at the mailbox from outside, which disturbs neither end.

use crate::vm::PATIENCE;
use anyhow::{Context, Result, ensure};
use ivshmem::channel::wire::Key;
use ivshmem::channel::{COMMAND_RESPONSE, End, Snapshot};
use ivshmem_peer::{Backend, DeviceName, Mapping, Purpose, Sysfs, poll_until};
use std::time::{Duration, Instant};

/// Between two looks at what changes.
const LOOK: Duration = Duration::from_micros(200);

pub struct Watcher {
    memory: Mapping,
    /// Kept: it is the memory's name, or the connection that gave it.
    _backend: Box<dyn Backend>,
}

/// What the memory says of both directions of the last session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// The session's low halves of both epochs, as the images say it.
    pub session: u64,
    pub commands: Ring,
    pub answers: Ring,
}

/// One direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ring {
    /// Messages that its sender published.
    pub published: u64,
    /// Messages that its receiver acknowledged.
    pub acknowledged: u64,
}

impl Watcher {
    pub fn new(device: &str) -> Result<Self> {
        let name: DeviceName = device.parse()?;
        let backend = ivshmem_peer::open(Some(&name), Purpose::Access, &Sysfs::default())?;
        Ok(Self { memory: backend.memory().clone(), _backend: backend })
    }

    pub fn look(&self) -> Result<Left> {
        let look = Snapshot::new(&self.memory, &COMMAND_RESPONSE);
        let (first, second) = (look.link(End::First), look.link(End::Second));
        let session = first.epoch << 32 | second.epoch & 0xffff_ffff;
        let key = Key::new(first.epoch, second.epoch);
        Ok(Left { session, commands: ring(&look, 0, key)?, answers: ring(&look, 1, key)? })
    }

    /// The same when the image has taken all that it can after its peer's death: everything, or what there is room to answer.
    pub fn settled(&self) -> Result<Left> {
        let begin = Instant::now();
        loop {
            let left = self.look()?;
            if left.answers.published == left.commands.published.min(left.room()) {
                return Ok(left);
            }
            ensure!(begin.elapsed() < PATIENCE, "not settled within {} s: {left:?}", PATIENCE.as_secs());
            poll_until(&mut [], Instant::now() + LOOK);
        }
    }
}

impl Left {
    /// Answers that there is room for in all, by what the peer has acknowledged.
    pub fn room(&self) -> u64 {
        self.answers.acknowledged + u64::from(COMMAND_RESPONSE[1].slots())
    }
}

fn ring(look: &Snapshot<'_, Mapping>, index: usize, key: Key) -> Result<Ring> {
    let lines = look.channel(index).context("the channel is there")?;
    // An end that died before it offered its ring in this session has published nothing; one before it joined has acknowledged nothing.
    let offered = lines.ring == u64::from(key.bits());
    let slots = (0..COMMAND_RESPONSE[index].slots()).filter_map(|slot| look.slot(index, slot));
    let stamps = slots.filter(|header| header.stamp != 0 && header.tag == key.tag()).map(|header| header.stamp.into());
    let published = if offered { stamps.max().unwrap_or(0) } else { 0 };
    let acknowledged = if lines.acknowledged.key == key { lines.acknowledged.count.into() } else { 0 };
    Ok(Ring { published, acknowledged })
}
