//! Either end killed at any moment under load, a hundred times, and every message accounted for.
//!
//! A killed end's own counts are gone with it, but for the page that it shared, and the memory of the mailbox says which messages it
//! had published. For each session, and each direction in it: sent == received + lost, and what was lost was reported as lost.

pub mod image;
pub mod peer;

use super::suite::Suite;
use crate::vm::Mode;
use anyhow::{Context, Result, ensure};
use ivshmem::channel::{COMMAND_RESPONSE, End, Snapshot};
use ivshmem_peer::{Backend, DeviceName, Mapping, Purpose, Sysfs};

/// Kills of each end.
const ROUNDS: u64 = 100;

pub fn add(suite: &mut Suite) {
    for mode in [Mode::Doorbell, Mode::Plain] {
        suite.case(
            &format!("kills: the peer dies 100 times under load, every message accounted for, {mode}"),
            move |rig| {
                let accelerator = rig.images()?;
                let account = rig.session(|session| peer::killed(session, accelerator, mode, ROUNDS, SEED))?;
                account.say();
                account.under_load()
            },
        );
    }
    suite.case("kills: the image dies 100 times under load, every message accounted for", |rig| {
        let accelerator = rig.images()?;
        let account = rig.session(|session| image::killed(session, accelerator, Mode::Doorbell, ROUNDS, SEED))?;
        account.say();
        account.under_load()
    });
}

/// Where in a session each kill comes follows from it; what that end was doing then does not.
const SEED: u64 = 3;

/// What became of the messages of many sessions, both directions together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    pub rounds: u64,
    /// Rounds in which the end that was killed had not come up.
    pub early: u64,
    pub sent: u64,
    pub received: u64,
    pub lost: u64,
}

impl Account {
    pub fn add(&mut self, other: Self) {
        self.rounds += other.rounds;
        self.early += other.early;
        self.sent += other.sent;
        self.received += other.received;
        self.lost += other.lost;
    }

    /// Whether there was something to lose.
    fn under_load(&self) -> Result<()> {
        ensure!(self.received > 100 * ROUNDS && self.lost > 0, "hardly any load: {self:?}");
        Ok(())
    }

    fn say(&self) {
        let Self { rounds, early, sent, received, lost } = self;
        println!("rounds={rounds} (killed before it was up: {early}) sent={sent} received={received} lost={lost}");
    }
}

/// A look at the mailbox from outside, which disturbs neither end.
struct Watcher {
    memory: Mapping,
    /// Kept: it is the memory's name, or the connection that gave it.
    _backend: Box<dyn Backend>,
}

/// What a dead end left of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Published {
    /// The session's low halves of both epochs, as the images say it.
    session: u64,
    /// Messages published under it.
    messages: u64,
}

impl Watcher {
    fn new(device: &str) -> Result<Self> {
        let name: DeviceName = device.parse()?;
        let backend = ivshmem_peer::open(Some(&name), Purpose::Access, &Sysfs::default())?;
        Ok(Self { memory: backend.memory().clone(), _backend: backend })
    }

    /// What `from` published on its channel in its last session, after it has died.
    fn published(&self, from: End) -> Result<Published> {
        let look = Snapshot::new(&self.memory, &COMMAND_RESPONSE);
        let (first, second) = (look.link(End::First), look.link(End::Second));
        let session = first.epoch << 32 | second.epoch & 0xffff_ffff;
        let index = COMMAND_RESPONSE.iter().position(|channel| channel.from() == from).context("a channel")?;
        let ring = look.channel(index).context("the channel is there")?.ring;
        let expected = ivshmem::channel::wire::Key::new(first.epoch, second.epoch);
        // Killed before it had offered its ring in this session: nothing is published.
        if ring != u64::from(expected.bits()) {
            return Ok(Published { session, messages: 0 });
        }
        let slots = (0..COMMAND_RESPONSE[index].slots()).filter_map(|slot| look.slot(index, slot));
        let stamps = slots.filter(|header| header.stamp != 0 && header.tag == expected.tag());
        Ok(Published { session, messages: stamps.map(|header| header.stamp.into()).max().unwrap_or(0) })
    }
}
