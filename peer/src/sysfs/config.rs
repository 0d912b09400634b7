//! A copy of a function's configuration space, as the kernel shows it: 64 bytes to users, all of it to root.

use ivshmem::pci::{Address, ConfigAccess, Header, Status, find_capability};

/// The copy; at least the standard header.
#[derive(Debug)]
pub(super) struct Config {
    bytes: Vec<u8>,
}

/// Bytes of the standard header, which everyone may read.
const HEADER: usize = 64;
/// Capability ID of MSI-X (PCI Local Bus 3.0, appendix H).
const MSIX: u8 = 0x11;

impl Config {
    /// `None` if even the standard header is incomplete.
    pub(super) fn new(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() >= HEADER).then_some(Self { bytes })
    }

    /// Entries of the MSI-X table (PCI Local Bus 3.0, 6.8.2): 0 without the capability, `None` if the kernel shows the header only or
    /// the list of capabilities is broken.
    pub(super) fn msix_vectors(&self, address: Address) -> Option<u16> {
        if Header::new(self, address).status().contains(Status::CAPABILITIES) && self.bytes.len() <= HEADER {
            return None;
        }
        match find_capability(self, address, MSIX).ok()? {
            None => Some(0),
            // Bits 0 to 10 of Message Control, one less than the number.
            Some(offset) => Some((self.read32(address, offset) >> 16) as u16 % 0x800 + 1),
        }
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
