//! Slots in software, over any configuration space that holds what may be in them.
//!
//! A [`Slot`] or the [`AcpiSlots`] decide which functions of the space answer, as QEMU 7.2's do (`hw/pci/pcie.c`, `hw/acpi/pcihp.c`). The space itself
//! knows nothing of slots.
//!
//! ```
//! use ivshmem::fake::{config::{ConfigSpace, Function}, hotplug::Slot};
//! use ivshmem::hotplug::{Event, native};
//!
//! let (port, device) = ("00:04.0".parse().unwrap(), "01:00.0".parse().unwrap());
//! let space = ConfigSpace::new().with(port, Slot::port(1)).with(device, Function::ivshmem_plain(1 << 20));
//! let model = Slot::new(space, port, device);
//! let mut slot = native::Slot::at(&model, port).unwrap();
//! assert_eq!(slot.poll(&model, 0), None);
//! model.insert();
//! assert_eq!(slot.poll(&model, 1), None, "power is on now, and the link comes up");
//! assert_eq!(slot.poll(&model, 2), None);
//! assert_eq!(slot.poll(&model, 100_002), Some(Event::Added(device)));
//! ```

mod acpi;
mod slot;

pub use acpi::AcpiSlots;
pub use slot::{Behaviour, Slot};
