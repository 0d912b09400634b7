//! On-target tests: each room of the driver against the devices of this machine.
//!
//! ```text
//! selftest: begin devices=<n>
//! selftest: ok <room>::<name>
//! selftest: FAILED <room>::<name> <why>
//! selftest: skipped <room>::<name> <why>
//! selftest: end passed=<n> failed=<n> skipped=<n>
//! ```
//!
//! Exit code 33 if nothing failed. What a check needs and the machine has not is skipped: a doorbell device for interrupts, two on one
//! server for peer to peer, ECAM to compare it with the ports. The devices' memory is overwritten, and BAR2 is moved about where the
//! hypervisor lets it: nobody else may use the devices meanwhile.
//! Options: `config=`, `mem32=` and `mem64=` as `probe`.

#![cfg_attr(target_os = "none", no_std, no_main)]
#![expect(
    clippy::result_large_err,
    reason = "without a heap the reason is in the error, and nothing here is in a hurry"
)]

mod bench;
mod channel;
mod device;
mod interrupt;
mod memory;
mod mmio;
mod msix;
mod pci;
mod report;

use bench::Bench;
use ivshmem_examples::configuration::Configuration;
use ivshmem_examples::machine::{Failed, Machine};
use ivshmem_examples::options::Options;
use ivshmem_examples::say;
use report::{Outcome, Tally};

ivshmem_examples::image!(run);

/// A check: a name that says what holds, and the code that finds out.
pub type Check = (&'static str, fn(&mut Bench<'_>) -> Outcome);

const ROOMS: [(&str, &[Check]); 7] = [
    ("pci", pci::CHECKS),
    ("mmio", mmio::CHECKS),
    ("device", device::CHECKS),
    ("memory", memory::CHECKS),
    ("msix", msix::CHECKS),
    ("interrupt", interrupt::CHECKS),
    ("channel", channel::CHECKS),
];

fn run(machine: &mut Machine) -> Result<(), Failed> {
    let configuration = Options::parse(machine.command_line, &["config", "mem32", "mem64"])
        .and_then(|options| Configuration::asked(&options))
        .map_err(|error| machine.failed(&error))?;
    let mut bench = Bench::open(machine, configuration)?;
    say!("selftest: begin devices={}", bench.slots.len());
    let mut tally = Tally::default();
    for (room, checks) in ROOMS {
        for (name, check) in checks {
            tally.note(room, name, check(&mut bench));
        }
    }
    if tally.end() { Ok(()) } else { Err(Failed) }
}
