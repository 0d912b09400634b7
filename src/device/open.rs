//! An opened device.

use super::{DeviceGone, DoorbellRegister, Layout, OpenError, Options, RingError, Selector, Vectors};
use super::{MemorySpeed, find, quirks, register, speed};
use crate::log::log;
use crate::memory::SharedMemory;
use crate::mmio::memory_type::{MemoryType, MemoryTypeError, Mtrrs, Pat};
use crate::mmio::{Caching, Mapper, Region};
use crate::msix::{self, Interrupts, Message, MsixError};
use crate::pci::{Address, ConfigAccess, Function, Header};
use core::fmt;

/// Reads of IVPosition before giving up: a VM exit each, so a second or more.
const ID_READS: u32 = 1_000_000;

/// Which of the two kinds a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Kind {
    /// Memory only: both ends poll.
    Plain,
    /// Memory and doorbells.
    Doorbell {
        /// Own vectors that a peer can ring, 1 to 2048.
        vectors: u16,
    },
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain => f.write_str("plain"),
            Self::Doorbell { .. } => f.write_str("doorbell"),
        }
    }
}

/// An ivshmem device, mapped.
#[derive(Debug)]
pub struct Device {
    layout: Layout,
    id: u16,
    id_may_be_lost: bool,
    registers: Region,
    memory: Option<SharedMemory>,
    vectors: Result<msix::Vectors, MsixError>,
}

impl Device {
    /// Finds a device, looks at its configuration space, enables memory decode and maps its BARs. On error configuration
    /// space is as it was.
    ///
    /// BAR0 and the MSI-X structures are mapped uncached, BAR2 write-back. Only BAR2 is sized.
    ///
    /// # Safety
    /// `access` reaches the configuration space of this machine (or a model of it that goes with `mapper`), and no other
    /// driver of this image uses the function.
    pub unsafe fn open<A: ConfigAccess + ?Sized>(
        access: &A,
        mapper: &mut impl Mapper,
        selector: Selector,
        options: Options,
    ) -> Result<Self, OpenError> {
        let function = find(access, &selector)?;
        let device = Layout::probe(access, &function, options).and_then(|(layout, command)| {
            // SAFETY: the addresses are those that the function decodes, and the caller promises that nothing else drives it.
            let mapped = unsafe { Self::with_layout(layout, mapper) };
            // A device that is not opened decodes no more than it did.
            mapped.inspect_err(|_| Header::new(access, function.address).set_command(command))
        });
        // Whatever came of it: registers of a device that is gone read as 0 or all-ones, and neither means anything.
        if find::is_ivshmem(&function) {
            check_present(access, function.address)?;
        }
        device
            .inspect(|_device| {
                log!(
                    info,
                    "{}: {=str}, revision {=u8}, id {=u16}, {=u64} bytes at {=u64:#x}, {}",
                    _device.address(),
                    _device.quirks().name,
                    _device.revision(),
                    _device.id,
                    _device.size(),
                    _device.bar2(),
                    _device.kind()
                );
            })
            .inspect_err(|_error| log!(error, "{}: {}", function.address, _error))
    }

    /// Maps a device whose layout is known: no access to configuration space, and none to a register but IVPosition, and
    /// that only if the layout has no id. So nothing causes a VM exit if it has.
    ///
    /// For late initialisation on a real-time core: the layout comes from [`layout`](Self::layout) on a housekeeping
    /// core, or from the hypervisor's configuration. Memory decode was enabled by whoever found the layout.
    ///
    /// # Safety
    /// The layout is that of an ivshmem device of this machine, whose BARs are decoded there; its vectors are 1 to 2048; and
    /// no other driver of this image uses the function.
    pub unsafe fn with_layout(layout: Layout, mapper: &mut impl Mapper) -> Result<Self, OpenError> {
        // SAFETY: the caller promises that BAR0 is there, and nothing else uses it.
        let bar0 = unsafe { mapper.map(layout.bar0, register::BAR0_SIZE, Caching::Uncached) }?;
        // SAFETY: the mapper promises that the range is mapped for ever; BARs are aligned to 16 bytes at least.
        let registers = unsafe { Region::new(bar0, register::BAR0_SIZE as usize) };
        let id = match layout.id {
            Some(id) => id,
            None => read_id(&registers)?,
        };
        let length = usize::try_from(layout.size).map_err(|_| OpenError::MemoryTooLarge(layout.size))?;
        // SAFETY: the caller promises that BAR2 is there, of this size, and nothing else uses it.
        let bar2 = unsafe { mapper.map(layout.bar2, layout.size, Caching::WriteBack) }?;
        // SAFETY: the mapper promises that the range is mapped write-back for ever and in no Rust allocation; BARs are
        // aligned to 16 bytes at least.
        let memory = unsafe { SharedMemory::new(bar2, length) };
        let vectors = match layout.vectors {
            Vectors::None => Err(MsixError::Absent),
            Vectors::Broken { error, .. } => Err(error),
            // SAFETY: the caller promises that the structures are there, and nothing else uses them.
            Vectors::Usable(placement) => unsafe {
                msix::Vectors::map(placement, layout.quirks().pending_bits, mapper)
            },
        };
        let id_may_be_lost = id == 0 && layout.id.is_none() && layout.quirks().id_may_be_lost;
        if id_may_be_lost {
            log!(warn, "{}: IVPosition is 0, which this hypervisor also answers for other ids", layout.address);
        }
        Ok(Self { layout, id, id_may_be_lost, registers, memory: Some(memory), vectors })
    }

    /// What opening found out, with the id: enough to open the device elsewhere without probing.
    pub fn layout(&self) -> Layout {
        Layout { id: Some(self.id), ..self.layout }
    }

    /// Where the function sits.
    pub fn address(&self) -> Address {
        self.layout.address
    }

    /// Revision ID.
    pub fn revision(&self) -> u8 {
        self.layout.revision
    }

    /// Subsystem Vendor ID and Subsystem ID.
    pub fn subsystem(&self) -> (u16, u16) {
        self.layout.subsystem
    }

    /// Physical address of the registers.
    pub fn bar0(&self) -> u64 {
        self.layout.bar0
    }

    /// Physical address of the memory.
    pub fn bar2(&self) -> u64 {
        self.layout.bar2
    }

    /// Bytes of memory.
    pub fn size(&self) -> u64 {
        self.layout.size
    }

    /// Whether it has doorbells, by the MSI-X capability alone.
    pub fn kind(&self) -> Kind {
        match self.layout.vectors {
            Vectors::None => Kind::Plain,
            Vectors::Usable(placement) => Kind::Doorbell { vectors: placement.vectors },
            Vectors::Broken { vectors, .. } => Kind::Doorbell { vectors },
        }
    }

    /// The device's own id: what peers ring. 0 is an id like others, and what a plain device has. It may be another one
    /// after a restart.
    pub fn id(&self) -> u16 {
        self.id
    }

    /// Whether [`id`](Self::id) may be that of another VM: IVPosition read 0 on a hypervisor that also answers 0 once it has lost the id, as ACRN
    /// up to v3.2 has when firmware sized BAR0. Peers that ring it ring VM 0 then.
    ///
    /// [`Options::id_override`] settles it, with the VM's id from the scenario.
    pub fn id_may_be_lost(&self) -> bool {
        self.id_may_be_lost
    }

    /// The hypervisor differences that apply.
    pub fn quirks(&self) -> &'static quirks::Quirks {
        self.layout.quirks()
    }

    /// The memory, once; `None` from then on.
    pub fn memory(&mut self) -> Option<SharedMemory> {
        self.memory.take()
    }

    /// The memory type that this CPU's registers give BAR2, mapped write-back by one of this crate's mappers: PAT entry 0 under the
    /// MTRRs. Anything but WB is slow, and WC is wrong too.
    pub fn memory_type(&self, pat: Pat, mtrrs: &Mtrrs) -> Result<MemoryType, MemoryTypeError> {
        Ok(MemoryType::effective(mtrrs.of(self.layout.bar2, self.layout.size)?, pat.entry(0)?))
    }

    /// Whether BAR2 is cached, measured: 257 loads of its first word between 8 looks at `clock`, a time-stamp counter. `None` once
    /// the memory was [given away](Self::memory), and if the clock went backwards each time.
    ///
    /// An uncached load takes up to a microsecond. Not for a real-time phase.
    pub fn probe_memory(&self, clock: impl FnMut() -> u64) -> Option<MemorySpeed> {
        self.memory.as_ref().and_then(|memory| speed::probe(memory, clock))
    }

    /// The Doorbell register.
    pub fn doorbell(&self) -> Result<DoorbellRegister, RingError> {
        match self.kind() {
            Kind::Plain => Err(RingError::NoDoorbell),
            Kind::Doorbell { .. } => Ok(DoorbellRegister::new(self.registers.clone(), self.quirks().doorbell_vectors)),
        }
    }

    /// Enables interrupts: vector `n` sends message `n`; further vectors stay masked.
    ///
    /// The order is Command (Memory, Bus Master), entries while masked, MSI-X Enable, unmask. Look at the memory once
    /// afterwards: what was rung before is lost. [`Interrupts::close`] ends them; enabling again without it takes the
    /// vectors away from the earlier value.
    pub fn enable_interrupts<A: ConfigAccess + ?Sized>(
        &mut self,
        access: &A,
        messages: &[Message],
    ) -> Result<Interrupts, MsixError> {
        match &self.vectors {
            Ok(vectors) => vectors.enable(access, self.layout.address, messages),
            Err(error) => Err(*error),
        }
    }

    /// Whether the device is still plugged in: at most three configuration reads.
    ///
    /// Registers cannot tell: of a device that is gone they read as 0 or all-ones, and IVPosition may be 0.
    pub fn check_present<A: ConfigAccess + ?Sized>(&self, access: &A) -> Result<(), DeviceGone> {
        check_present(access, self.layout.address)
    }
}

fn check_present<A: ConfigAccess + ?Sized>(access: &A, address: Address) -> Result<(), DeviceGone> {
    if Function::read(access, address).is_some_and(|function| find::is_ivshmem(&function)) {
        return Ok(());
    }
    log!(error, "{}: the device is gone", address);
    Err(DeviceGone)
}

/// Reads the device's own id. From revision 1 on it is there at once, at the first read; what is no id is waited for, for a bounded time.
fn read_id(registers: &Region) -> Result<u16, OpenError> {
    let mut value = u32::MAX;
    for _ in 0..ID_READS {
        value = registers.read32(register::IV_POSITION).unwrap_or(u32::MAX);
        if let Ok(id) = u16::try_from(value) {
            return Ok(id);
        }
        core::hint::spin_loop();
    }
    Err(OpenError::Id { value, reads: ID_READS })
}

#[cfg(feature = "defmt")]
impl defmt::Format for Device {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Device {{ layout: {}, id: {=u16} }}", self.layout, self.id);
    }
}
