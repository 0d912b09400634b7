//! A machine with ivshmem devices in it, as data.

mod play;

use super::Case;
use super::talk::Reception;
use crate::vm::Machine;

pub use play::finish;

/// What one or more devices share.
#[derive(Debug, Clone, Copy)]
pub enum Share {
    Plain {
        size: u64,
    },
    /// A server.
    Doorbell {
        size: u64,
        vectors: u16,
    },
}

/// Where a device's memory has to be for a case to be what its name says.
#[derive(Debug, Clone, Copy)]
pub enum Claim {
    Above4GiB,
    AboveRam,
    At(u64),
}

#[derive(Debug, Clone)]
struct Device {
    /// Which of the shares.
    share: usize,
    /// In QEMU's words.
    place: String,
}

/// The machine.
#[derive(Debug, Clone)]
pub struct Scene {
    pub machine: Machine,
    /// The value of the images' option `config`; without one they have to find a way.
    pub config: Option<&'static str>,
    pub mebibytes: u32,
    /// Further options of the images.
    options: String,
    /// What QEMU is given before the ivshmem devices.
    qemu: Vec<String>,
    shares: Vec<Share>,
    devices: Vec<Device>,
    talks: Vec<(usize, Reception)>,
    /// Whether two of the devices share a server, and ring each other.
    pair: bool,
    claims: Vec<(usize, Claim)>,
    /// From this release on QEMU refuses the machine.
    until: Option<u32>,
}

impl Scene {
    pub fn new(machine: Machine, config: Option<&'static str>) -> Self {
        let (options, qemu, shares, devices, talks, claims) = Default::default();
        Self {
            machine,
            config,
            mebibytes: 128,
            options,
            qemu,
            shares,
            devices,
            talks,
            pair: false,
            claims,
            until: None,
        }
    }

    /// Adds a bridge, or another device that is not ours.
    pub fn with(mut self, device: &str) -> Self {
        self.qemu.extend(["-device".to_owned(), device.to_owned()]);
        self
    }

    /// Gives the images a further option.
    pub fn option(mut self, option: &str) -> Self {
        self.options += &format!(" {option}");
        self
    }

    /// Adds an ivshmem device with memory of its own.
    pub fn device(mut self, share: Share, place: &str) -> Self {
        self.shares.push(share);
        let share = self.shares.len() - 1;
        self.devices.push(Device { share, place: place.to_owned() });
        self
    }

    /// Adds an ivshmem device that shares what the device of this number has.
    pub fn partner(mut self, of: usize, place: &str) -> Self {
        let share = self.devices[of].share;
        self.devices.push(Device { share, place: place.to_owned() });
        self
    }

    /// Has messages exchanged with the device of this number: the first with whichever is this one in ascending order of addresses.
    pub fn talk(mut self, device: usize, reception: Reception) -> Self {
        self.talks.push((device, reception));
        self
    }

    /// Has the case fail unless QEMU says that the device of this number has its memory there.
    pub fn claim(mut self, device: usize, claim: Claim) -> Self {
        self.claims.push((device, claim));
        self
    }

    /// Says that from this release on QEMU itself refuses the machine.
    pub fn until(mut self, release: u32) -> Self {
        self.until = Some(release);
        self
    }

    /// Has the two devices that share a server ring each other on every vector.
    pub fn ring_each_other(mut self) -> Self {
        self.pair = true;
        self
    }

    /// The case that plays this.
    pub fn case(self, group: &'static str, place: &str) -> Case {
        let how = match self.config {
            Some("ecam") => "ECAM",
            Some("port-io") => "port I/O",
            Some(told) if told.starts_with("ecam:") => "ECAM that it is told of",
            _ => "what it finds",
        };
        let machine = format!("{} by {how}", self.machine.name());
        Case::new(group, place, machine, move |bench, session| self.play(bench, session))
    }
}
