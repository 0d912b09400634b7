//! A hostile peer in every mode against the echo and the control-loop image, on real devices, for 30 s each.
//!
//! Each image serves two mailboxes: one to the hostile peer, one to an honest one under load, on the same server. Demanded: no fault, no
//! hang; the honest one is delivered everything; the 1 kHz loop misses no cycle, on a machine whose time stamp counter and timer
//! count instructions (`-icount`), so that a cycle is missed by work and not by a busy host; and an honest peer in the hostile
//! one's place is served at once, after no more than the images' own `resync`.

pub mod partition;

use super::suite::Suite;
use crate::vm::{Accelerator, Session};
use anyhow::{Context, Result, ensure};
use partition::{Ended, Partition};

/// What a hostile peer can do and leave the mailbox for others to use.
pub const MODES: [&str; 7] = ["scribble", "stamp", "length", "storm", "freeze", "replay", "restart"];

/// One thing that the hostile peer does.
#[derive(Debug, Clone, Copy)]
pub struct Phase {
    pub mode: &'static str,
    pub everywhere: bool,
    pub seconds: u32,
}

impl Phase {
    pub const fn new(mode: &'static str, seconds: u32) -> Self {
        Self { mode, everywhere: false, seconds }
    }

    /// `ivshmem-peer chaos` and these words.
    pub fn words(self) -> Vec<String> {
        let mut words = vec![self.mode.to_owned(), format!("--seconds={}", self.seconds)];
        words.extend(self.everywhere.then(|| "--everywhere".to_owned()));
        words
    }
}

/// What each mode does to an image, and how long.
const PHASES: [&[Phase]; 7] = [
    &[Phase::new("scribble", 30), Phase { everywhere: true, ..Phase::new("scribble", 30) }],
    &[Phase::new("stamp", 30)],
    &[Phase::new("length", 30)],
    &[Phase::new("storm", 30)],
    &[Phase::new("freeze", 30)],
    &[Phase::new("replay", 30)],
    &[Phase::new("restart", 30)],
];

/// Of the hostile peers.
const SEED: u64 = 1;

pub fn add(suite: &mut Suite) {
    for phases in PHASES {
        let name = phases[0].mode;
        suite.case(&format!("chaos: {name} against the echo and control-loop images, 30 s"), move |rig| {
            rig.host()?;
            let accelerator = rig.images()?;
            rig.session(|session| both(session, accelerator, phases))
        });
    }
}

fn both(session: &mut Session, accelerator: Accelerator, phases: &[Phase]) -> Result<()> {
    let mut partitions = [Partition::echo(session, accelerator)?, Partition::control_loop(session)?];
    for phase in phases {
        // Both at once: the machine has a processor for each.
        let attacks = partitions.each_ref().map(|partition| partition.attack(session, *phase, SEED));
        for (attack, partition) in attacks.into_iter().zip(&mut partitions) {
            let told = attack?.finish()?;
            println!("{}: {}", partition.name(), told.line());
            ensure!(told.number("ups")? > 0 && told.number("sent")? > 0, "nothing was done: {}", told.line());
            partition.honest()?.progress(10).context("the other mailbox stands still")?;
        }
        for partition in &mut partitions {
            partition.serves_again(session).with_context(|| format!("after {:?} had gone", phase))?;
        }
    }
    for partition in partitions {
        let ended = partition.finish(session)?;
        println!("{}\n{}", ended.second.line(), ended.first.line());
        judge(phases[0].mode, &ended)?;
    }
    Ok(())
}

/// What an image must have noticed of each mode, and nothing else.
fn judge(mode: &str, ended: &Ended) -> Result<()> {
    let Ended { first, second, stale, .. } = ended;
    for key in ["violations", "resyncs", "restarts"] {
        ensure!(second.number(key)? == 0, "the honest peer's mailbox has {key}: {}", second.line());
    }
    let count = |key: &str| first.number(key);
    let violated = count("violations")? > 0;
    let noticed = match mode {
        "scribble" => count("restarts")? > 0,
        "stamp" | "length" => violated && count("resyncs")? > 0,
        "storm" => count("storms")? > 0 && !violated,
        // The control loop's clock is that of instructions, on which a second may be long over: it is not told to notice.
        "freeze" => (*stale > 0 || first.line().starts_with("control-loop")) && !violated,
        "replay" => count("restarts")? > 0,
        _ => count("restarts")? > 0 && !violated,
    };
    ensure!(noticed, "{mode} shows otherwise: {}", first.line());
    Ok(())
}
