//! One function's configuration space, with masks that say which bits can be written.

use core::ops::Range;
use std::vec;
use std::vec::Vec;

const SIZE: usize = 4096;
const COMMAND: usize = 0x04;
const STATUS: usize = 0x06;
const BARS: u16 = 0x10;
const CAPABILITY_POINTER: u16 = 0x34;

/// The 4 KiB of configuration space of one function.
///
/// Built by the methods that return `Self`. A new one is a device with a header of type 0, no BAR and no capability.
#[derive(Clone, Debug)]
pub struct Function {
    bytes: Vec<u8>,
    /// A set bit can be written.
    writable: Vec<u8>,
    /// A set bit is cleared by writing 1.
    clearable: Vec<u8>,
    /// The register that holds the end of the capability list.
    list_end: u16,
}

impl Function {
    /// A device. The Command bits that QEMU's ivshmem has can be written.
    pub fn new(vendor: u16, device: u16) -> Self {
        let mut function = Self {
            bytes: vec![0; SIZE],
            writable: vec![0; SIZE],
            clearable: vec![0; SIZE],
            list_end: CAPABILITY_POINTER,
        };
        function.bytes[..2].copy_from_slice(&vendor.to_le_bytes());
        function.bytes[2..4].copy_from_slice(&device.to_le_bytes());
        function.writable[COMMAND..STATUS].copy_from_slice(&0x0507_u16.to_le_bytes());
        function.clearable[STATUS..STATUS + 2].copy_from_slice(&0xF900_u16.to_le_bytes());
        function
    }

    /// With this Revision ID and 24-bit Class Code.
    #[must_use]
    pub fn class(mut self, class: u32, revision: u8) -> Self {
        self.bytes[8..12].copy_from_slice(&(class << 8 | u32::from(revision)).to_le_bytes());
        self
    }

    /// With this Subsystem Vendor ID and Subsystem ID.
    #[must_use]
    pub fn subsystem(mut self, vendor: u16, id: u16) -> Self {
        self.bytes[0x2C..0x2E].copy_from_slice(&vendor.to_le_bytes());
        self.bytes[0x2E..0x30].copy_from_slice(&id.to_le_bytes());
        self
    }

    /// With this content of the Command register.
    #[must_use]
    pub fn command(mut self, command: u16) -> Self {
        self.bytes[COMMAND..STATUS].copy_from_slice(&command.to_le_bytes());
        self
    }

    /// With the multi-function bit.
    #[must_use]
    pub fn multi_function(mut self) -> Self {
        self.bytes[0x0E] |= 0x80;
        self
    }

    /// With this header layout, 0 to 127; means nothing to the fake.
    #[must_use]
    pub fn header_type(mut self, layout: u8) -> Self {
        self.bytes[0x0E] = self.bytes[0x0E] & 0x80 | layout;
        self
    }

    /// With a 32-bit memory BAR of `size` bytes, a power of two from 16; address 0 is not assigned.
    #[must_use]
    pub fn memory32(self, index: u8, address: u32, size: u32) -> Self {
        assert!(size >= 16 && size.is_power_of_two(), "{size} is not the size of a BAR");
        let mask = !(size - 1);
        self.register(BARS + 4 * u16::from(index), address & mask, mask)
    }

    /// With a 64-bit memory BAR of `size` bytes, a power of two from 16; address 0 is not assigned.
    #[must_use]
    pub fn memory64(self, index: u8, address: u64, size: u64, prefetchable: bool) -> Self {
        assert!(size >= 16 && size.is_power_of_two(), "{size} is not the size of a BAR");
        let flags = if prefetchable { 0xC } else { 0x4 };
        let (mask, value) = (!(size - 1), address & !(size - 1) | flags);
        let offset = BARS + 4 * u16::from(index);
        self.register(offset, value as u32, mask as u32).register(offset + 4, (value >> 32) as u32, (mask >> 32) as u32)
    }

    /// With a BAR of `size` ports, a power of two from 4.
    #[must_use]
    pub fn io(self, index: u8, port: u16, size: u16) -> Self {
        assert!(size >= 4 && size.is_power_of_two(), "{size} is not the size of an I/O BAR");
        let mask = u32::from(!(size - 1));
        self.register(BARS + 4 * u16::from(index), u32::from(port) & mask | 1, mask | 0xFFFF_0000)
    }

    /// With this address in BAR `index`, whose bits that can be written take it up.
    #[must_use]
    pub fn assigned(mut self, index: u8, address: u64) -> Self {
        let offset = BARS + 4 * u16::from(index);
        let wide = self.read32(offset) & 0b111 == 0b100;
        self.write(offset, &(address as u32).to_le_bytes());
        if wide {
            self.write(offset + 4, &((address >> 32) as u32).to_le_bytes());
        }
        self
    }

    /// With a capability at `offset` (a multiple of 4 from 0x40), linked to the end of the list; `body` follows the two bytes of ID and pointer.
    #[must_use]
    pub fn capability(mut self, offset: u16, id: u8, body: &[u8]) -> Self {
        assert!(offset.is_multiple_of(4) && (0x40..0x100).contains(&offset), "no capability can be at {offset:#x}");
        let at = usize::from(offset);
        self.bytes[STATUS] |= 0x10;
        self.bytes[usize::from(self.list_end)] = offset as u8;
        self.bytes[at] = id;
        self.bytes[at + 1] = 0;
        self.bytes[at + 2..at + 2 + body.len()].copy_from_slice(body);
        self.list_end = offset + 1;
        self
    }

    /// With an MSI-X capability of `vectors` vectors at `offset`; table and pending bits are each at (BAR, byte offset).
    #[must_use]
    pub fn msix(self, offset: u16, vectors: u16, table: (u8, u32), pending: (u8, u32)) -> Self {
        assert!((1..=2048).contains(&vectors), "{vectors} vectors");
        let mut body = (vectors - 1).to_le_bytes().to_vec();
        for (bar, at) in [table, pending] {
            body.extend((at & !7 | u32::from(bar)).to_le_bytes());
        }
        let mut function = self.capability(offset, 0x11, &body);
        // Enable and Function Mask.
        function.writable[usize::from(offset) + 3] = 0xC0;
        function
    }

    /// With this 32-bit register, of which the bits in `writable` can be written.
    #[must_use]
    pub fn register(mut self, offset: u16, value: u32, writable: u32) -> Self {
        let range = usize::from(offset)..usize::from(offset) + 4;
        self.bytes[range.clone()].copy_from_slice(&value.to_le_bytes());
        self.writable[range.clone()].copy_from_slice(&writable.to_le_bytes());
        self.clearable[range].fill(0);
        self
    }

    /// As ACRN emulates it: everything is plain storage except BARs and the MSI-X capability, Status and IDs included.
    #[must_use]
    pub fn plain_storage(mut self) -> Self {
        for offset in 0..0x40 {
            if !(0x10..0x28).contains(&offset) {
                self.writable[offset] = 0xFF;
                self.clearable[offset] = 0;
            }
        }
        self
    }

    /// The bits of a register that can be written.
    pub(in crate::fake) fn writable(&self, offset: u16) -> u32 {
        let at = usize::from(offset);
        u32::from_le_bytes(self.writable[at..at + 4].try_into().unwrap())
    }

    /// All of it.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where memory BAR `index` lies and ends, if it has an address.
    pub(in crate::fake) fn memory_bar(&self, index: u8) -> Option<Range<u64>> {
        let offset = BARS + 4 * u16::from(index);
        let word = |of: &[u8], at: u16| u32::from_le_bytes(of[usize::from(at)..][..4].try_into().unwrap());
        let wide = word(&self.bytes, offset) & 0b111 == 0b100;
        let join = |of: &[u8], otherwise: u32| {
            let high = if wide { word(of, offset + 4) } else { otherwise };
            u64::from(high) << 32 | u64::from(word(of, offset) & !0xF)
        };
        let (address, mask) = (join(&self.bytes, 0), join(&self.writable, u32::MAX));
        let memory = word(&self.bytes, offset) & 1 == 0 && address != 0 && mask << 32 != 0;
        memory.then(|| address..address + mask.wrapping_neg())
    }

    pub(in crate::fake) fn read32(&self, offset: u16) -> u32 {
        let at = usize::from(offset);
        u32::from_le_bytes(self.bytes[at..at + 4].try_into().unwrap())
    }

    pub(in crate::fake) fn write(&mut self, offset: u16, value: &[u8]) {
        for (at, new) in (usize::from(offset)..).zip(value) {
            let writable = self.writable[at];
            self.bytes[at] = self.bytes[at] & !writable & !(new & self.clearable[at]) | new & writable;
        }
    }
}
