//! Opening: selectors, layouts, errors, memory wherever BAR2 is.

use crate::Check;
use crate::bench::{Bench, Slot};
use crate::report::{OrFailed, Outcome, Unfinished};
use crate::{failed, same};
use ivshmem::device::{Device, Kind, OpenError, Selector};
use ivshmem::memory::{Memory, SharedMemory};
use ivshmem::pci::{self, Address, BarError, Command, ConfigAccess, Header};

pub const CHECKS: &[Check] = &[
    ("every_selector_finds_its_device", selectors),
    ("a_selector_that_fits_nothing_is_an_error", nothing),
    ("a_layout_opens_the_device_without_probing", with_layout),
    ("the_kind_is_told_by_the_msix_capability", kind),
    ("memory_at_896_gib_is_the_same_memory", far),
    ("an_unassigned_bar2_is_an_error_of_its_own", unassigned),
];

const BAR2: u16 = 0x18;
/// Where OVMF puts BAR2 of any size.
const FAR: u64 = 896 << 30;

fn selectors(bench: &mut Bench<'_>) -> Outcome {
    bench.first()?;
    for at in 0..bench.slots.len() {
        let Slot { device, .. } = &bench.slots[at];
        let (address, size, subsystem) = (device.address(), device.size(), device.subsystem().1);
        let found = bench.reopen(Selector::Address(address)).or_failed("by address")?;
        same!(found.layout(), bench.slots[at].device.layout(), "{address} opened again");
        let found = bench.reopen(Selector::Nth(at)).or_failed("by number")?;
        same!(found.address(), address, "number {at}");
        // The first of those that fit: not necessarily this one, but one with this property, and none before it.
        let found = bench.reopen(Selector::Size(size)).or_failed("by size")?;
        let first = bench.slots.iter().find(|slot| slot.device.size() == size).map(|slot| slot.device.address());
        same!(Some(found.address()), first, "size {size}");
        let found = bench.reopen(Selector::Subsystem(subsystem)).or_failed("by subsystem")?;
        let first = bench.slots.iter().find(|slot| slot.device.subsystem().1 == subsystem);
        same!(Some(found.address()), first.map(|slot| slot.device.address()), "subsystem {subsystem:#x}");
    }
    Ok(())
}

fn nothing(bench: &mut Bench<'_>) -> Outcome {
    let seen = pci::functions(&bench.access).filter(ivshmem::device::is_ivshmem).count();
    for selector in [Selector::Nth(seen), Selector::Size(3), Selector::Subsystem(0x0BAD)] {
        same!(bench.reopen(selector).err(), Some(OpenError::NotFound { seen }), "{selector}");
    }
    let host_bridge = Address::new(0, 0, 0, 0).or_failed("the host bridge's address")?;
    match bench.reopen(Selector::Address(host_bridge)).err() {
        Some(OpenError::NotIvshmem { .. }) => Ok(()),
        other => Err(failed!("the host bridge: {other:?}")),
    }
}

fn with_layout(bench: &mut Bench<'_>) -> Outcome {
    bench.first()?;
    for Slot { device, memory } in &bench.slots {
        // SAFETY: the layout is what opening this device found out, and the two are not used at once.
        let again = unsafe { Device::with_layout(device.layout(), bench.mapper) };
        let mut again = again.or_failed("with_layout")?;
        same!(again.id(), device.id(), "{} id", device.address());
        same!(again.kind(), device.kind(), "{} kind", device.address());
        let other = again.memory().or_failed("its memory")?;
        same_memory(memory, &other)?;
        same!(again.memory().is_none(), true, "{} memory taken a second time", device.address());
    }
    Ok(())
}

fn kind(bench: &mut Bench<'_>) -> Outcome {
    bench.first()?;
    for Slot { device, .. } in &bench.slots {
        let address = device.address();
        let capability = pci::find_capability(&bench.access, address, 0x11).or_failed("the capability list")?;
        let vectors = capability.map(|at| (bench.access.read32(address, at) >> 16 & 0x7FF) as u16 + 1);
        let expected = vectors.map_or(Kind::Plain, |vectors| Kind::Doorbell { vectors });
        same!(device.kind(), expected, "{address} kind");
        same!(device.doorbell().is_ok(), vectors.is_some(), "{address} has a doorbell");
    }
    Ok(())
}

fn far(bench: &mut Bench<'_>) -> Outcome {
    on_movable(bench, FAR, |bench, at| {
        let address = bench.slots[at].device.address();
        let mut moved = bench.reopen(Selector::Address(address)).or_failed("opening it there")?;
        same!(moved.bar2(), FAR, "{address} BAR2");
        let memory = moved.memory().or_failed("its memory")?;
        fill(&memory, 0x9E37_79B9_7F4A_7C15)
    })?;
    // Back at its place, where it was mapped all along.
    let at = bench.first()?;
    check(&bench.slots[at].memory, 0x9E37_79B9_7F4A_7C15)
}

fn unassigned(bench: &mut Bench<'_>) -> Outcome {
    on_movable(bench, 0, |bench, at| {
        let address = bench.slots[at].device.address();
        match bench.reopen(Selector::Address(address)).err() {
            Some(OpenError::Bar(BarError::Unassigned { index: 2, .. })) => Ok(()),
            other => Err(failed!("{address} without BAR2: {other:?}")),
        }
    })
}

/// Runs a check with the first device's BAR2 at `place`, and puts it back however the check ends.
fn on_movable(bench: &mut Bench<'_>, place: u64, check: impl FnOnce(&mut Bench<'_>, usize) -> Outcome) -> Outcome {
    let at = bench.first()?;
    let device = &bench.slots[at].device;
    if !device.quirks().memory_may_move {
        return Err(Unfinished::Skipped("needs a hypervisor that lets BAR2 be moved"));
    }
    let (address, home) = (device.address(), device.bar2());
    let move_to = |bench: &Bench<'_>, place: u64| {
        let header = Header::new(&bench.access, address);
        let command = header.command();
        // Decode off: half of a 64-bit address is an address too.
        header.set_command(command - Command::MEMORY);
        bench.access.write32(address, BAR2, place as u32);
        bench.access.write32(address, BAR2 + 4, (place >> 32) as u32);
        header.set_command(command);
    };
    move_to(bench, place);
    let outcome = check(bench, at);
    move_to(bench, home);
    outcome
}

/// A word at each power of two and at the end, each of its own value.
fn fill(memory: &SharedMemory, seed: u64) -> Outcome {
    for offset in offsets(memory) {
        memory.publish(offset, seed ^ offset as u64);
    }
    check(memory, seed)
}

fn check(memory: &SharedMemory, seed: u64) -> Outcome {
    for offset in offsets(memory) {
        same!(memory.load(offset), seed ^ offset as u64, "word at {offset:#x}");
    }
    Ok(())
}

fn offsets(memory: &SharedMemory) -> impl Iterator<Item = usize> + use<> {
    let length = memory.len();
    let powers = (3..usize::BITS).map(|bit| 1usize << bit).take_while(move |offset| *offset < length);
    [0].into_iter().chain(powers).chain([length - 8])
}

fn same_memory(one: &SharedMemory, other: &SharedMemory) -> Outcome {
    same!(other.len(), one.len(), "length");
    fill(one, 0xC2B2_AE3D_27D4_EB4F)?;
    check(other, 0xC2B2_AE3D_27D4_EB4F)
}
