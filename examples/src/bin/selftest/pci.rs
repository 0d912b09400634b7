//! Configuration space: both mechanisms, enumeration, sizing.

use crate::Check;
use crate::bench::Bench;
use crate::report::{OrFailed, Outcome, Unfinished};
use crate::{failed, same};
use ivshmem::memory::Memory;
use ivshmem::pci::{self, Access, Address, ConfigAccess, Function, size_bar};
use ivshmem_examples::mechanism::{AccessError, Mechanism};

pub const CHECKS: &[Check] = &[
    ("ecam_and_ports_agree_on_every_header", agree),
    ("enumeration_ascends_and_misses_nothing", enumeration),
    ("a_function_that_is_not_there_reads_all_ones", absent),
    ("sizing_bar2_leaves_configuration_space_as_it_was", sizing),
];

fn agree(bench: &mut Bench<'_>) -> Outcome {
    // SAFETY: ring 0, the RSDP is from the start info, and the other access is not used meanwhile.
    let ecam = match unsafe { Mechanism::Ecam.open(bench.rsdp, bench.mapper) } {
        Ok(ecam) => ecam,
        Err(AccessError::Mcfg(_)) => return Err(Unfinished::Skipped("the machine has no ECAM")),
        Err(error) => return Err(failed!("ECAM: {error:?}")),
    };
    // SAFETY: as above.
    let ports = unsafe { Mechanism::PortIo.open(bench.rsdp, bench.mapper) }.or_failed("the ports")?;
    for Function { address, .. } in pci::functions(&ecam).filter(|function| function.address.segment() == 0) {
        // The header without Command and Status, which a device may change at any time.
        for offset in (0..0x40).step_by(4).filter(|offset| *offset != 4) {
            let through_ports = ports.read32(address, offset);
            same!(ecam.read32(address, offset), through_ports, "{address} offset {offset:#x} by ECAM and by ports");
        }
    }
    Ok(())
}

fn enumeration(bench: &mut Bench<'_>) -> Outcome {
    let mut found = pci::functions(&bench.access).map(|function| function.address);
    let mut count = 0;
    for address in every_address(&bench.access) {
        if Function::read(&bench.access, address).is_some() {
            same!(found.next(), Some(address), "function {count} of the enumeration");
            count += 1;
        }
    }
    same!(found.next(), None, "after the last function");
    if count == 0 { Err(failed!("the machine has no PCI function at all")) } else { Ok(()) }
}

/// Every address within reach, whether or not a function is there; functions 1 to 7 only of multi-function devices.
fn every_address(access: &Access) -> impl Iterator<Item = Address> + '_ {
    let buses = (0..).map_while(|range| access.buses(range));
    let devices = buses
        .flat_map(|buses| (buses.first..=buses.last).map(move |bus| (buses.segment, bus)))
        .flat_map(|(segment, bus)| (0..32).map(move |device| (segment, bus, device)));
    devices.flat_map(move |(segment, bus, device)| {
        let first = Address::new(segment, bus, device, 0).ok();
        let multi_function = first.and_then(|first| Function::read(access, first)).is_some_and(|it| it.multi_function);
        let functions = if multi_function { 8 } else { 1 };
        (0..functions).filter_map(move |function| Address::new(segment, bus, device, function).ok())
    })
}

fn absent(bench: &mut Bench<'_>) -> Outcome {
    let empty = every_address(&bench.access).find(|address| Function::read(&bench.access, *address).is_none());
    let address = empty.ok_or(Unfinished::Skipped("every place has a function"))?;
    same!(bench.access.read32(address, 0), u32::MAX, "the identity at {address}");
    same!(bench.access.read32(address, 0xFC), u32::MAX, "offset 0xfc at {address}");
    Ok(())
}

fn sizing(bench: &mut Bench<'_>) -> Outcome {
    bench.first()?;
    for slot in &bench.slots {
        let address = slot.device.address();
        let dump = || core::array::from_fn::<u32, 64, _>(|word| bench.access.read32(address, word as u16 * 4));
        let before = dump();
        let size = size_bar(&bench.access, address, 2).or_failed("sizing BAR2")?;
        let after = dump();
        for (word, (before, after)) in before.iter().zip(&after).enumerate() {
            same!(after, before, "{address} offset {:#x} after sizing", word * 4);
        }
        same!(size, slot.device.size(), "{address} BAR2 sized again");
        same!(size, slot.memory.len() as u64, "{address} bytes mapped");
    }
    Ok(())
}
