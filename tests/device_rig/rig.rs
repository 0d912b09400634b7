//! One ivshmem device of QEMU's with the driver on it.
//!
//! Registers are reached through the windows that the fake machine uses too: the driver does not know the difference, and
//! each of its accesses becomes one bus cycle. BAR2 is the server's memory, mapped here as QEMU maps it there.
//!
//! A message of the driver's goes to the local APIC at FEEx_xxxxh, where no test can look. So the windows aim what is entered
//! into the vector table at RAM, as an interrupt-remapping unit would: APIC id `n` becomes a page of its own.

use crate::qtest::Qemu;
use crate::site::{HOST, LIMIT, Site};
use crate::witness;
use ivshmem::device::{Device, OpenError, Options, Selector};
use ivshmem::fake::config::Cycle;
use ivshmem::fake::machine::{Access, Machine};
use ivshmem::fake::registers::{Registers, Window};
use ivshmem::memory::SharedMemory;
use ivshmem::mmio::{Caching, MapError, Mapper};
use ivshmem::msix::Message;
use ivshmem::pci::{Address, Command, ConfigAccess, Header};
use rustix::mm::{MapFlags, ProtFlags, mmap};
use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Where the device is: where the modelled one is too.
pub const DEVICE: Address = Machine::ADDRESS;
/// Its BARs, as firmware would have placed them, and as [`Machine`] does.
pub const BARS: [u64; 3] = [0xFEBF_1000, 0xFEB0_0000, 0xE0_0000_0000];
/// Its id.
pub const ID: u16 = HOST + 1;

/// RAM that messages go to: a page for each APIC id.
const MESSAGES: u32 = 0x10_0000;

type Trace = Arc<Mutex<Vec<Access>>>;

/// A QEMU with a device in it, whose BARs are assigned and whose Command is 0.
#[derive(Debug)]
pub struct Rig {
    pub qemu: Arc<Qemu>,
    memory: OwnedFd,
    size: u64,
    windows: RefCell<Vec<Window>>,
    trace: Trace,
    /// Mapping what contains this address fails.
    pub unmappable: Cell<Option<u64>>,
}

impl Rig {
    /// An `ivshmem-plain` device.
    pub fn plain(size: u64) -> Option<Self> {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(size).unwrap();
        let backend = format!("memory-backend-file,id=m,share=on,size={size},mem-path={}", file.path().display());
        let qemu = Qemu::start("pc", &["-object", &backend, "-device", "ivshmem-plain,memdev=m,addr=3.0"])?;
        let rig = Self::new(qemu, file.reopen().unwrap().into(), size);
        // When this has been answered, QEMU has the file, and its name may go.
        rig.assign(DEVICE, [Some(BARS[0]), None, Some(BARS[2])]);
        Some(rig)
    }

    /// An `ivshmem-doorbell` device that is a peer at the site, and its [`Witness`](crate::witness::Witness).
    pub fn doorbell(site: &mut Site) -> Option<Self> {
        let server = |id: &str| format!("socket,path={},id={id}", site.socket().display());
        let device = |server, slot| format!("ivshmem-doorbell,vectors={},chardev={server},addr={slot}", site.vectors());
        let arguments = ["-chardev", &server("a"), "-chardev", &server("b")].map(str::to_owned);
        let devices = ["-device".to_owned(), device("a", "3.0"), "-device".to_owned(), device("b", "5.0")];
        let arguments: Vec<&str> = arguments.iter().chain(&devices).map(String::as_str).collect();
        let qemu = Qemu::start("pc", &arguments)?;
        let memory = site.host.memory_fd().try_clone_to_owned().unwrap();
        let rig = Self::new(qemu, memory, site.host.size());
        rig.assign(DEVICE, BARS.map(Some));
        witness::assign(&rig);
        let first = site.host.id();
        site.meet(first.wrapping_add(1));
        site.meet(first.wrapping_add(2));
        // The server has told everybody of everybody, but QEMU listens when it has time.
        rig.set_command(Command::MEMORY);
        site.heard(|peer, vector| rig.ring_by_hand(peer, vector));
        rig.set_command(Command::empty());
        Some(rig)
    }

    fn new(qemu: Qemu, memory: OwnedFd, size: u64) -> Self {
        let (windows, trace, unmappable) = Default::default();
        Self { qemu: Arc::new(qemu), memory, size, windows, trace, unmappable }
    }

    /// What firmware does.
    pub fn assign(&self, device: Address, bars: [Option<u64>; 3]) {
        let ports = self.qemu.ports();
        for (offset, address) in [0x10, 0x14, 0x18].into_iter().zip(bars) {
            if let Some(address) = address {
                ports.write32(device, offset, address as u32);
            }
        }
        if let Some(address) = bars[2] {
            ports.write32(device, 0x1C, (address >> 32) as u32);
        }
    }

    /// The driver opens the device.
    pub fn open(&self) -> Result<Device, OpenError> {
        // SAFETY: configuration space and mapper are of one machine, and nothing else drives its device.
        unsafe { Device::open(self, &mut self.mapper(), Selector::Address(DEVICE), Options::default()) }
    }

    pub fn mapper(&self) -> RigMapper<'_> {
        RigMapper { rig: self, bars: BARS, traced: true }
    }

    /// For another device of the same QEMU, whose accesses are not recorded.
    pub fn mapper_of(&self, bars: [u64; 3]) -> RigMapper<'_> {
        RigMapper { rig: self, bars, traced: false }
    }

    /// The driver's bus cycles since the beginning or the last call of this.
    pub fn take_trace(&self) -> Vec<Access> {
        std::mem::take(&mut self.trace.lock().unwrap())
    }

    /// The device's configuration space.
    pub fn config(&self) -> Vec<u32> {
        (0..0x100).step_by(4).map(|offset| self.qemu.ports().read32(DEVICE, offset)).collect()
    }

    pub fn command(&self) -> Command {
        Header::new(&self.qemu.ports(), DEVICE).command()
    }

    pub fn set_command(&self, command: Command) {
        Header::new(&self.qemu.ports(), DEVICE).set_command(command);
    }

    /// What a driver does that checks nothing.
    pub fn ring_by_hand(&self, peer: u16, vector: u16) {
        self.qemu.write32(BARS[0] + 12, u32::from(peer) << 16 | u32::from(vector));
    }

    /// The message that came for this one since the last call of this: its data.
    pub fn take(&self, message: Message) -> Option<u32> {
        let place = u64::from(MESSAGES | message.address() & 0xF_FFFF);
        let data = self.qemu.read32(place);
        (data != 0).then(|| {
            self.qemu.write32(place, 0);
            data
        })
    }

    /// Waits until the message comes. Each look is a round trip through QEMU's main loop, which delivers it.
    #[track_caller]
    pub fn expect(&self, message: Message) {
        let start = Instant::now();
        loop {
            match self.take(message) {
                Some(data) => return assert_eq!(data, message.data()),
                None => assert!(start.elapsed() < LIMIT, "no message for APIC {}", message.apic_id()),
            }
        }
    }

    /// Takes the device out, as a guest's ACPI does when its `_EJ0` is called (QEMU, docs/specs/acpi_pci_hotplug).
    pub fn eject(&self) {
        self.qemu.out32(0xAE10, 0);
        self.qemu.out32(0xAE08, 1 << DEVICE.device());
    }

    fn record(&self, access: Access) {
        self.trace.lock().unwrap().push(access);
    }
}

impl ConfigAccess for Rig {
    fn read32(&self, address: Address, offset: u16) -> u32 {
        let value = self.qemu.ports().read32(address, offset);
        self.record(Access::Config(Cycle::Read32 { address, offset, value }));
        value
    }

    fn write32(&self, address: Address, offset: u16, value: u32) {
        self.qemu.ports().write32(address, offset, value);
        self.record(Access::Config(Cycle::Write32 { address, offset, value }));
    }

    fn write16(&self, address: Address, offset: u16, value: u16) {
        self.qemu.ports().write16(address, offset, value);
        self.record(Access::Config(Cycle::Write16 { address, offset, value }));
    }
}

/// Maps a device's BARs.
#[derive(Debug)]
pub struct RigMapper<'a> {
    rig: &'a Rig,
    bars: [u64; 3],
    traced: bool,
}

// SAFETY: pointers reach register windows that live as long as the rig, which tests keep, or the device's memory, mapped
// shared and never unmapped; neither is part of a Rust allocation.
unsafe impl Mapper for RigMapper<'_> {
    unsafe fn map(&mut self, physical: u64, length: u64, caching: Caching) -> Result<NonNull<u8>, MapError> {
        let unreachable = MapError::Unreachable { physical, length };
        if self.rig.unmappable.get().is_some_and(|address| (physical..physical + length).contains(&address)) {
            return Err(MapError::OutOfFrames);
        }
        if physical == self.bars[2] && length == self.rig.size && caching == Caching::WriteBack {
            return Ok(self.rig.map_memory().0);
        }
        // The BAR with the next lower address.
        let (start, bar) =
            (0..2).map(|n| (self.bars[usize::from(n)], n)).filter(|bar| bar.0 <= physical).max().ok_or(unreachable)?;
        assert_eq!(caching, Caching::Uncached, "registers");
        let table = bar == 1 && physical == start;
        let trace = self.traced.then(|| self.rig.trace.clone());
        let cycles =
            Cycles { qemu: self.rig.qemu.clone(), physical, bar, inside: (physical - start) as usize, table, trace };
        let window = Window::new((physical & 0xFFF) as usize, length as usize, Arc::new(Mutex::new(cycles)));
        let window = window.map_err(|_| unreachable)?;
        let address = std::ptr::with_exposed_provenance_mut(window.address());
        self.rig.windows.borrow_mut().push(window);
        NonNull::new(address).ok_or(unreachable)
    }
}

impl Rig {
    fn map_memory(&self) -> (NonNull<u8>, usize) {
        let (protection, length) = (ProtFlags::READ | ProtFlags::WRITE, self.size as usize);
        // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
        let base = unsafe { mmap(std::ptr::null_mut(), length, protection, MapFlags::SHARED, &self.memory, 0) };
        (NonNull::new(base.unwrap().cast()).unwrap(), length)
    }

    /// The memory as a peer sees it.
    pub fn peer_memory(&self) -> SharedMemory {
        let (base, length) = self.map_memory();
        // SAFETY: page-aligned, mapped readable and writable for ever, in no Rust allocation.
        unsafe { SharedMemory::new(base, length) }
    }
}

/// Registers of a BAR, from `inside` bytes behind its start.
#[derive(Debug)]
struct Cycles {
    qemu: Arc<Qemu>,
    physical: u64,
    bar: u8,
    inside: usize,
    table: bool,
    trace: Option<Trace>,
}

impl Cycles {
    /// `value` with its upper 12 bits moved, if it is a message address on that side.
    fn remapped(&self, offset: usize, value: u32, from: u32, to: u32) -> u32 {
        let address = self.table && offset.is_multiple_of(16) && value & 0xFFF0_0000 == from;
        if address { to | value & 0xF_FFFF } else { value }
    }

    fn record(&self, access: Access) {
        if let Some(trace) = &self.trace {
            trace.lock().unwrap().push(access);
        }
    }
}

impl Registers for Cycles {
    fn read32(&mut self, offset: usize) -> u32 {
        let value = self.qemu.read32(self.physical + offset as u64);
        let value = self.remapped(offset, value, MESSAGES, 0xFEE0_0000);
        self.record(Access::Read { bar: self.bar, offset: self.inside + offset, value });
        value
    }

    fn write32(&mut self, offset: usize, value: u32) {
        self.record(Access::Write { bar: self.bar, offset: self.inside + offset, value });
        let value = self.remapped(offset, value, 0xFEE0_0000, MESSAGES);
        self.qemu.write32(self.physical + offset as u64, value);
    }
}

/// A message for each of `count` vectors, at most 254, each to an APIC of its own.
pub fn messages(count: u8) -> Vec<Message> {
    (0..count).map(|n| Message::new(n.into(), 0x40).unwrap()).collect()
}
