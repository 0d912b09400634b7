//! `cargo xtask qemu`: the demonstration. A real-time image and a Linux VM exchange operator commands over ivshmem.

use crate::exchange::{Exchange, Guest, Report};
use crate::setup::{self, Linux, Way};
use crate::vm::{Accelerator, Machine, Mode, Place, Session};
use crate::{arceos, build};
use anyhow::{Context, Result, anyhow, bail};

/// Boot a real-time image and a Linux VM and let them exchange commands over ivshmem
#[derive(clap::Args, Debug)]
pub struct Qemu {
    /// With interrupts over ivshmem-doorbell, polled over ivshmem-plain, or one after the other
    #[arg(long, value_enum, default_value_t)]
    mode: Modes,
    /// What the real-time VM runs
    #[arg(long, value_enum, default_value_t)]
    guest: Guest,
    /// The real-time VM's machine; the Linux VM is always a q35, which has the IOMMU that VFIO needs
    #[arg(long, value_enum, default_value_t)]
    machine: Machine,
    /// Bytes of shared memory, a power of two; suffixes K, M, G
    #[arg(long, default_value = "1M", value_parser = size)]
    size: u64,
    /// Interrupt vectors of each end of ivshmem-doorbell
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=2048))]
    vectors: u16,
    /// How many commands the operator gives in each mode
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    commands: u64,
    /// Where the general-purpose end runs
    #[arg(long, value_enum, default_value_t)]
    peer: Peer,
    /// Give the commands yourself; `quit` ends the run
    #[arg(long, conflicts_with = "commands")]
    interactive: bool,
    /// Have the shared memory in the host's huge pages, on a hugetlbfs: takes root, and --size 2M or more
    #[arg(long)]
    hugepages: bool,
    /// Leave the logs under target/logs
    #[arg(long)]
    keep: bool,
    /// Where the bare-metal target comes from
    #[arg(long, value_enum, default_value_t)]
    toolchain: Way,
}

#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Modes {
    Doorbell,
    Plain,
    #[default]
    Both,
}

#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Peer {
    /// A VM with Debian's kernel
    #[default]
    Linux,
    /// A process of this machine
    Host,
}

impl Qemu {
    pub fn run(self) -> Result<()> {
        if self.guest == Guest::Arceos && !self.machine.options().is_empty() {
            let machine = self.machine.name();
            bail!("ArceOS takes no options, and on {machine} an image has to be told where things are: take q35 or pc");
        }
        let toolchain = setup::toolchain(self.toolchain)?;
        setup::hypervisor()?;
        let linux = (self.peer == Peer::Linux).then(setup::linux).transpose()?;
        match self.guest {
            Guest::ControlLoop => drop(build::images(&toolchain)?),
            Guest::Arceos => arceos::build(&toolchain)?,
        }
        build::peer()?;
        let accelerator = Accelerator::choose(linux.as_ref())?;
        let modes: &[Mode] = match self.mode {
            Modes::Doorbell => &[Mode::Doorbell],
            Modes::Plain => &[Mode::Plain],
            Modes::Both => &[Mode::Doorbell, Mode::Plain],
        };
        let mut text = String::new();
        for mode in modes {
            // What worked is told even if the next mode fails.
            let report = self.exchange(*mode, linux.as_ref(), accelerator).inspect_err(|_| println!("{text}"))?;
            text += &format!("\n{}", report.text()?);
        }
        println!("{text}");
        Ok(())
    }

    fn exchange(&self, mode: Mode, linux: Option<&Linux>, accelerator: Accelerator) -> Result<Report> {
        let place = linux.map_or(Place::Host, |files| Place::Linux { files: files.clone(), accelerator });
        let mut exchange = Exchange::new(mode, accelerator, place);
        (exchange.guest, exchange.machine) = (self.guest, self.machine);
        (exchange.size, exchange.vectors) = (self.size, self.vectors);
        (exchange.commands, exchange.interactive, exchange.show) = (self.commands, self.interactive, true);
        exchange.huge_pages = self.hugepages;
        let mut session = Session::new(self.keep)?;
        println!("\nivshmem-{mode}:");
        let result = exchange.run(&mut session);
        if let Some(logs) = session.kept_logs() {
            println!("logs: {}", logs.display());
        }
        // The reason stands last, where it is seen first.
        result.map_err(|error| anyhow!("{}\nivshmem-{mode} failed: {error:#}", session.account()))
    }
}

/// A number of bytes with an optional suffix.
fn size(text: &str) -> Result<u64> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'K' | b'k') => (&text[..text.len() - 1], 10),
        Some(b'M' | b'm') => (&text[..text.len() - 1], 20),
        Some(b'G' | b'g') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let number: u64 = digits.parse().with_context(|| format!("`{text}` is not a size"))?;
    let bytes = number.checked_mul(1 << shift).with_context(|| format!("`{text}` is too large"))?;
    if !bytes.is_power_of_two() {
        bail!("{bytes} bytes is not a power of two, as QEMU demands of a BAR");
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn a_size_is_a_power_of_two_with_a_suffix() {
        assert_eq!(size("4096").unwrap(), 4096);
        assert_eq!(size("1M").unwrap(), 1 << 20);
        assert_eq!(size("16G").unwrap(), 16 << 30);
        for wrong in ["3M", "0", "", "K", "x", "1T", "99999999999G"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
