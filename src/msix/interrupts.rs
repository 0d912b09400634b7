//! Enabling MSI-X in the order that loses nothing, and closing it in reverse.

use super::table::Table;
use super::{Arrived, Message, MsixError, Placement, capability};
use crate::log::log;
use crate::mmio::Mapper;
use crate::notify::Doorbell;
use crate::pci::{Address, Command, ConfigAccess, Header};
use embedded_hal::delay::DelayNs;

/// A function's vectors, mapped and not yet enabled.
#[derive(Clone, Debug)]
pub(crate) struct Vectors {
    placement: Placement,
    table: Table,
    pending_bits: bool,
}

impl Vectors {
    /// `pending_bits`: whether the hypervisor has them, or always reads 0.
    ///
    /// # Safety
    /// The placement is that of an MSI-X table and its pending bits, which nothing else in this image uses.
    pub(crate) unsafe fn map(
        placement: Placement,
        pending_bits: bool,
        mapper: &mut impl Mapper,
    ) -> Result<Self, MsixError> {
        // SAFETY: the caller's promise, passed on.
        let table = unsafe { Table::map(&placement, mapper) }?;
        Ok(Self { placement, table, pending_bits })
    }

    /// Enables message `n` of `messages` for vector `n`: Command, entries while masked, Enable, unmask; in this order.
    ///
    /// Every other vector is masked: QEMU aborts when one is unmasked for which its server sent no eventfd.
    pub(crate) fn enable(
        &self,
        access: &(impl ConfigAccess + ?Sized),
        address: Address,
        messages: &[Message],
    ) -> Result<Interrupts, MsixError> {
        let Placement { capability, vectors, .. } = self.placement;
        let too_many = MsixError::TooManyMessages { messages: messages.len(), vectors };
        let used = u16::try_from(messages.len()).map_err(|_| too_many)?;
        match used {
            0 => return Err(MsixError::NoMessages),
            _ if used > vectors => return Err(too_many),
            _ => {}
        }
        let header = Header::new(access, address);
        let command = command(&header)?;
        header.set_command(command | Command::MEMORY | Command::BUS_MASTER);
        let master_before = command.contains(Command::BUS_MASTER);
        let mut interrupts = Interrupts { vectors: self.clone(), address, used, master_before };
        match interrupts.enter_and_enable(access, capability, messages) {
            Ok(()) => {
                log!(info, "{}: MSI-X enabled, {=u16} of {=u16} vectors in use", address, used, vectors);
                Ok(interrupts)
            }
            Err(error) => {
                log!(error, "{}: MSI-X not enabled: {}", address, error);
                // What was done is undone; the first error is the one that tells why.
                let _ = interrupts.disable(access);
                Err(error)
            }
        }
    }
}

/// Interrupts of a device, enabled.
///
/// Doorbells rung before, and on ACRN those rung while a vector is masked, are lost: look at the memory once after
/// this value exists and after each [`unmask`](Self::unmask).
#[derive(Debug)]
#[must_use = "interrupts stay enabled until `close`"]
pub struct Interrupts {
    vectors: Vectors,
    address: Address,
    used: u16,
    master_before: bool,
}

impl Interrupts {
    fn enter_and_enable(
        &mut self,
        access: &(impl ConfigAccess + ?Sized),
        capability: u16,
        messages: &[Message],
    ) -> Result<(), MsixError> {
        let table = &self.vectors.table;
        // An earlier image without a reset in between may have left any of them unmasked.
        for vector in 0..self.vectors.placement.vectors {
            table.set_mask(vector, true)?;
        }
        for (vector, message) in (0..).zip(messages) {
            table.enter(vector, *message)?;
        }
        capability::set_enable(access, self.address, capability, true)?;
        for vector in 0..self.used {
            table.set_mask(vector, false)?;
        }
        Ok(())
    }

    /// Vectors in use: 0 up to this one, exclusive.
    pub fn used(&self) -> u16 {
        self.used
    }

    fn check(&self, vector: u16) -> Result<(), MsixError> {
        if vector < self.used { Ok(()) } else { Err(MsixError::NotInUse { vector, used: self.used }) }
    }

    /// Masks a vector in use: one register read and one write, each a VM exit.
    ///
    /// QEMU keeps a doorbell for a masked vector, ACRN and Jailhouse drop it
    /// ([`keeps_masked_doorbells`](crate::device::quirks::Quirks::keeps_masked_doorbells)).
    pub fn mask(&mut self, vector: u16) -> Result<(), MsixError> {
        self.check(vector)?;
        self.vectors.table.set_mask(vector, true)
    }

    /// Unmasks a vector in use. Look at the memory once afterwards.
    pub fn unmask(&mut self, vector: u16) -> Result<(), MsixError> {
        self.check(vector)?;
        self.vectors.table.set_mask(vector, false)
    }

    /// The virtual address of Vector Control of a vector in use, for as long as the driver's mappings last, and its value.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn vector_control(&self, vector: u16) -> Result<(usize, u32), MsixError> {
        self.check(vector)?;
        self.vectors.table.vector_control(vector)
    }

    /// Whether a doorbell waits for a vector in use to be unmasked; [`MsixError::NoPendingBits`] where the hypervisor never says.
    pub fn pending(&self, vector: u16) -> Result<bool, MsixError> {
        self.check(vector)?;
        if !self.vectors.pending_bits {
            return Err(MsixError::NoPendingBits);
        }
        self.vectors.table.is_pending(vector)
    }

    /// Rings every own vector in use through the device, one after another, and reports which ones arrived.
    ///
    /// `own_id` is the device's own id, `count(n)` how often vector `n` fired so far (for instance the count of
    /// [`crate::interrupt::event`] of its IDT vector). Each vector is waited for at most `patience_us` microseconds,
    /// looked at every 10. The CPU takes interrupts meanwhile. Rings nobody but this device; ends before the first vector
    /// that the doorbell refuses, which QEMU's does from 256 on.
    pub fn self_test<D: Doorbell>(
        &self,
        doorbell: &D,
        own_id: u16,
        count: impl Fn(u16) -> u32,
        delay: &mut impl DelayNs,
        patience_us: u32,
    ) -> Arrived {
        const STEP_US: u32 = 10;
        let mut arrived = Arrived::new(self.used);
        for vector in 0..self.used {
            let before = count(vector);
            if doorbell.ring(own_id, vector).is_err() {
                // No doorbell can name this one, nor those above.
                arrived.end_at(vector);
                break;
            }
            let mut waited = 0u32;
            while count(vector) == before && waited < patience_us {
                delay.delay_us(STEP_US);
                waited = waited.saturating_add(STEP_US);
            }
            if count(vector) != before {
                arrived.insert(vector);
            }
        }
        log!(info, "{}: self-test, {=u16} of {=u16} vectors arrived", self.address, arrived.count(), self.used);
        arrived
    }

    /// Masks every vector in use, disables MSI-X and leaves Bus Master as it was found; tries all of it, reports the first error.
    pub fn close(mut self, access: &(impl ConfigAccess + ?Sized)) -> Result<(), MsixError> {
        let result = self.disable(access);
        log!(info, "{}: MSI-X closed", self.address);
        result
    }

    fn disable(&mut self, access: &(impl ConfigAccess + ?Sized)) -> Result<(), MsixError> {
        let mut result = Ok(());
        for vector in 0..self.used {
            result = result.and(self.vectors.table.set_mask(vector, true));
        }
        result = result.and(capability::set_enable(access, self.address, self.vectors.placement.capability, false));
        let header = Header::new(access, self.address);
        match command(&header) {
            Ok(command) if !self.master_before => header.set_command(command.difference(Command::BUS_MASTER)),
            Ok(_) => {}
            Err(gone) => result = result.and(Err(gone)),
        }
        result
    }
}

/// The Command register of a function that is there.
fn command<A: ConfigAccess + ?Sized>(header: &Header<'_, A>) -> Result<Command, MsixError> {
    let command = header.command();
    if command.bits() == u16::MAX { Err(MsixError::DeviceGone) } else { Ok(command) }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Interrupts {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Interrupts {{ address: {}, used: {=u16} }}", self.address, self.used);
    }
}
