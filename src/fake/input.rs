//! A test's input: bytes that decide, one after the other, what happens.

use core::cell::Cell;

/// Bytes to decide by, from a fuzzer or a property test; zeros after the last.
#[derive(Debug)]
pub struct Input<'i> {
    bytes: &'i [u8],
    at: Cell<usize>,
}

impl<'i> Input<'i> {
    /// Decides by `bytes`, from the first on.
    pub fn new(bytes: &'i [u8]) -> Self {
        Self { bytes, at: Cell::new(0) }
    }

    /// Whether every byte was used.
    pub fn is_empty(&self) -> bool {
        self.at.get() >= self.bytes.len()
    }

    /// The next byte.
    pub fn byte(&self) -> u8 {
        let at = self.at.get();
        self.at.set(at + 1);
        self.bytes.get(at).copied().unwrap_or(0)
    }

    fn take<const N: usize>(&self) -> [u8; N] {
        core::array::from_fn(|_| self.byte())
    }

    /// The next 16 bits.
    pub fn u16(&self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    /// The next 32 bits.
    pub fn u32(&self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    /// The next 64 bits.
    pub fn u64(&self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    /// The next `length` bytes, or what there is of them.
    pub fn bytes(&self, length: usize) -> &'i [u8] {
        let from = self.at.get().min(self.bytes.len());
        let to = (from + length).min(self.bytes.len());
        self.at.set(self.at.get() + length);
        &self.bytes[from..to]
    }
}
