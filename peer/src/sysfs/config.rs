//! A copy of a function's configuration space, as the kernel shows it: 64 bytes to users, all of it to root.

use ivshmem::pci::{Address, ConfigAccess};

/// The copy; at least the standard header.
#[derive(Debug)]
pub(super) struct Config {
    bytes: Vec<u8>,
}

/// Bytes of the standard header, which everyone may read.
const HEADER: usize = 64;

impl Config {
    /// `None` if even the standard header is incomplete.
    pub(super) fn new(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() >= HEADER).then_some(Self { bytes })
    }

    fn half(&self, offset: usize) -> u16 {
        u16::from_le_bytes([self.bytes[offset], self.bytes[offset + 1]])
    }

    pub(super) fn vendor(&self) -> u16 {
        self.half(0x00)
    }

    pub(super) fn device(&self) -> u16 {
        self.half(0x02)
    }

    pub(super) fn command(&self) -> u16 {
        self.half(0x04)
    }

    pub(super) fn revision(&self) -> u8 {
        self.bytes[0x08]
    }

    /// Entries of the MSI-X table (PCI Local Bus 3.0, 6.8.2): 0 without the capability, `None` if the copy ends before a capability
    /// that the list leads to, or the list does not end.
    pub(super) fn msix_vectors(&self, address: Address) -> Option<u16> {
        const CAPABILITIES: u16 = 1 << 4;
        const MSIX: u32 = 0x11;
        if self.half(0x06) & CAPABILITIES == 0 {
            return Some(0);
        }
        let mut at = u16::from(self.bytes[0x34]) & !3;
        for _ in 0..48 {
            if at == 0 {
                return Some(0);
            }
            if usize::from(at) + 4 > self.bytes.len() {
                return None;
            }
            let header = self.read32(address, at);
            if header & 0xff == MSIX {
                return Some((header >> 16) as u16 % 0x800 + 1);
            }
            at = (header >> 8) as u16 & 0xfc;
        }
        None
    }

    pub(super) fn subsystem(&self) -> (u16, u16) {
        (self.half(0x2c), self.half(0x2e))
    }
}

/// Read-only: what is not in the copy reads as all-ones, as what is not there does on the bus.
impl ConfigAccess for Config {
    fn read32(&self, _address: Address, offset: u16) -> u32 {
        let at = usize::from(offset & !3);
        let word = self.bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        word.map_or(u32::MAX, u32::from_le_bytes)
    }

    fn write32(&self, _address: Address, _offset: u16, _value: u32) {}

    fn write16(&self, _address: Address, _offset: u16, _value: u16) {}
}
