//! `cargo xtask soak`: hours of restarts, chaos and load together, with exact accounts at the end.
//!
//! Two images stand from beginning to end, `echo` and `control-loop`, each with an honest peer under load on its second mailbox and one
//! hostile peer after the other on its first. Beside them, round after round, images and peers of other links are killed
//! under load, or stopped and continued. Every message of every honest peer is accounted for.

mod table;

use crate::progress::note;
use crate::setup::Way;
use crate::test::chaos::partition::Partition;
use crate::test::chaos::{MODES, Phase};
use crate::test::kills::{Account, image, peer};
use crate::test::liveness;
use crate::test::rig::Rig;
use crate::vm::{Accelerator, Mode, Session};
use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use fastrand::Rng;
use std::time::{Duration, Instant};
use table::{Row, Table};

/// Restarts, hostile peers and load together, for a long time, with exact accounts at the end
#[derive(clap::Args, Debug)]
pub struct Soak {
    /// How long
    #[arg(long, default_value_t = 30)]
    minutes: u64,
    /// What is done in which order follows from it; without it, a random one
    #[arg(long)]
    seed: Option<u64>,
    /// Where the bare-metal target comes from
    #[arg(long, value_enum, default_value_t)]
    toolchain: Way,
}

/// What goes on beside the hostile peers in a round.
const BESIDE: [Row; 5] =
    [Row::ImageKilled, Row::PeerKilledInterrupts, Row::PeerKilledPolled, Row::MachineStopped, Row::PeerStopped];
/// Kills in a round, of what takes a second to come back and of what does not.
const FEW: u64 = 5;
const MANY: u64 = 20;

impl Soak {
    pub fn run(self) -> Result<()> {
        let rig = Rig::new(self.toolchain);
        rig.host()?;
        let accelerator = rig.images()?;
        let seed = self.seed.unwrap_or_else(|| fastrand::u64(..));
        let length = Duration::from_secs(60 * self.minutes);
        note(format!("soak: {} minutes, seed {seed}", self.minutes));
        let mut soaking =
            Soaking { accelerator, rng: Rng::with_seed(seed), begin: Instant::now(), length, table: Table::default() };
        let result = rig.session(|session| soaking.all(session));
        println!("\nsoak: seed={seed} {:.0} s\n{}", soaking.begin.elapsed().as_secs_f64(), soaking.table.text());
        result?;
        if !soaking.table.is_exact() {
            bail!("the accounts are not exact");
        }
        println!("soak: every message is accounted for");
        Ok(())
    }
}

struct Soaking {
    accelerator: Accelerator,
    rng: Rng,
    begin: Instant,
    length: Duration,
    table: Table,
}

impl Soaking {
    fn all(&mut self, session: &mut Session) -> Result<()> {
        let mut partitions = [Partition::echo(session, self.accelerator)?, Partition::control_loop(session)?];
        while self.begin.elapsed() < self.length {
            // A session each, so that a failure tells of its own round, and nothing piles up.
            let mut round = Session::new(false)?;
            self.round(&mut round, &mut partitions)
                .map_err(|error: Error| anyhow!("{error:#}\n{}", round.account()))?;
        }
        for partition in partitions {
            let ended = partition.finish(session)?;
            println!("{}\n{}", ended.second.line(), ended.first.line());
            for key in ["violations", "restarts"] {
                ensure!(ended.second.number(key)? == 0, "the honest peer's mailbox has {key}: {}", ended.second.line());
            }
            self.table.add(Row::BesideHostile, ended.account);
        }
        Ok(())
    }

    fn round(&mut self, session: &mut Session, partitions: &mut [Partition; 2]) -> Result<()> {
        let seconds = self.rng.u32(4..=10);
        let mut modes = [""; 2];
        let mut attacks = Vec::new();
        for (mode, partition) in modes.iter_mut().zip(&*partitions) {
            *mode = MODES[self.rng.usize(..MODES.len())];
            attacks.push(partition.attack(session, Phase::new(mode, seconds), self.rng.u64(..))?);
        }
        let beside = BESIDE[self.rng.usize(..BESIDE.len())];
        note(format!(
            "soak: {:.0} of {} s, {}; now echo: {}, control-loop: {}, beside: {}",
            self.begin.elapsed().as_secs_f64(),
            self.length.as_secs(),
            self.table.sum(),
            modes[0],
            modes[1],
            beside.name()
        ));
        let account = self.beside(beside, session).with_context(|| beside.name())?;
        self.table.add(beside, account);
        for ((attack, partition), mode) in attacks.into_iter().zip(partitions).zip(modes) {
            let told = attack.finish()?;
            self.table.attacked(mode, told.number("steps")?, told.number("hostile")?, told.number("rings")?);
            partition.honest()?.progress(10).with_context(|| format!("{} beside {mode}", partition.name()))?;
            let account =
                partition.serves_again(session).with_context(|| format!("{} after {mode}", partition.name()))?;
            self.table.add(Row::AfterHostile, account);
        }
        Ok(())
    }

    fn beside(&mut self, row: Row, session: &mut Session) -> Result<Account> {
        let (accelerator, seed) = (self.accelerator, self.rng.u64(..));
        match row {
            Row::ImageKilled => image::killed(session, accelerator, Mode::Doorbell, FEW, seed),
            Row::PeerKilledInterrupts => peer::killed(session, accelerator, Mode::Doorbell, MANY, seed),
            Row::PeerKilledPolled => peer::killed(session, accelerator, Mode::Plain, MANY, seed),
            Row::MachineStopped => liveness::stopped(session, accelerator, liveness::vm_stopped),
            Row::PeerStopped => liveness::stopped(session, accelerator, liveness::peer_stopped),
            Row::BesideHostile | Row::AfterHostile => bail!("{} is what always goes on", row.name()),
        }
    }
}
