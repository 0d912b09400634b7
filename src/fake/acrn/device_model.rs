//! The device model's device: `devicemodel/hw/pci/ivshmem.c` and `core.c`.

use super::bars::Bars;
use super::{Region, Version};
use crate::fake::config::Function;
use crate::fake::vm::{Device, Memory, lock};
use core::ops::Range;
use std::sync::{Arc, Mutex};

/// The largest memory that is put below 4 GiB without OVMF.
const LOW: usize = 32 << 20;

/// A device-model-land device of a post-launched VM: memory, and registers that do nothing.
///
/// There is no MSI-X capability, though there is a BAR1; nothing that is written to a register is kept; BAR2's memory is mapped
/// once, and stays there wherever BAR2 is moved.
#[derive(Debug)]
pub struct DeviceModelLand {
    region: Arc<Region>,
    /// All but the BARs.
    function: Mutex<Function>,
    bars: Mutex<Bars>,
    mapped: Range<u64>,
}

impl DeviceModelLand {
    /// A device on a region of its own kind: `dm:/` and `hv:/` regions are never the same memory.
    ///
    /// Memory of up to 32 MiB lies below 4 GiB and says that it is not prefetchable, unless the VM boots by OVMF.
    pub fn new(version: Version, region: &Arc<Region>, ovmf: bool) -> Arc<Self> {
        let length = region.memory.length();
        // The addresses are an assumption; on which side of 4 GiB they are is not.
        let (address, flags) = if length <= LOW && !ovmf { (0xC000_0000, 0x4) } else { (0x40_0000_0000, 0xC) };
        let mut function = Function::new(0x1AF4, 0x1110).class(0x05_0000, 1).command(7);
        if version.shows_region {
            function = function.subsystem(0x8086, region.id);
        }
        let bars = Bars::new([256, 0x1000, length as u32], [0x8000_0000, 0x8000_1000, address], flags);
        let mapped = address..address + length as u64;
        Arc::new(Self { region: region.clone(), function: Mutex::new(function), bars: Mutex::new(bars), mapped })
    }
}

impl Device for DeviceModelLand {
    fn config_read(&self, offset: u16) -> u32 {
        match Bars::index(offset) {
            Some(index) => lock(&self.bars).read(index),
            None => lock(&self.function).read32(offset),
        }
    }

    fn config_write(&self, offset: u16, bytes: &[u8]) {
        match (Bars::index(offset), bytes.first_chunk()) {
            (Some(index), Some(bytes)) => lock(&self.bars).write(index, u32::from_le_bytes(*bytes)),
            // Less than a whole register is ignored.
            (Some(_), None) => {}
            (None, _) => lock(&self.function).write(offset, bytes),
        }
    }

    fn decoded(&self, index: u8) -> Option<Range<u64>> {
        if index == 2 { Some(self.mapped.clone()) } else { lock(&self.bars).range(index) }
    }

    fn read(&self, bar: u8, offset: usize) -> u32 {
        match (bar, offset) {
            // IntrMask, IntrStatus and IVPosition.
            (0, ..12) => 0,
            _ => u32::MAX,
        }
    }

    fn write(&self, _: u8, _: usize, _: u32) {}

    fn memory(&self) -> Option<&Memory> {
        Some(&self.region.memory)
    }
}
