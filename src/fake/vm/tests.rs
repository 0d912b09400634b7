use super::*;
use crate::fake::config::Function;
use crate::mmio::Region;
use crate::pci::{Command, Header};

const AT: Address = match Address::new(0, 0, 5, 0) {
    Ok(address) => address,
    Err(_) => unreachable!(),
};

fn vm(function: Function) -> (Vm, Arc<Memory>) {
    let memory = Arc::new(Memory::new(1 << 16).unwrap());
    (Vm::new().with(AT, Standard::with_memory(function, memory.clone())), memory)
}

fn map(vm: &Vm, physical: u64, length: u64) -> Result<NonNull<u8>, MapError> {
    // SAFETY: what is mapped is the model's.
    unsafe { vm.mapper().map(physical, length, Caching::Uncached) }
}

#[test]
fn bars_are_reached_where_they_are_decoded_and_nowhere_else() {
    let function = Function::ivshmem_doorbell(1 << 16, 1);
    let (vm, _) = vm(function.assigned(0, 0xFE00_0100).assigned(1, 0xFE10_0000).assigned(2, 0xE0_0000_0000));
    assert!(map(&vm, 0xFE00_0100, 256).is_err(), "Command has no Memory yet");
    Header::new(&vm, AT).set_command(Command::MEMORY);
    for (physical, length) in [(0xFE00_0100, 256), (0xFE10_0800, 8), (0xE0_0000_0000, 1 << 16), (0xE0_0000_FFFF, 1)] {
        let address = map(&vm, physical, length).unwrap().addr().get() as u64;
        assert_eq!(address % 4096, physical % 4096);
    }
    for (physical, length) in [(0, 16), (0xFE00_0100, 257), (0xFE00_00FC, 8), (0xE0_0000_0000, 1 << 17), (u64::MAX, 2)]
    {
        assert_eq!(map(&vm, physical, length), Err(MapError::Unreachable { physical, length }));
    }
}

#[test]
fn a_register_that_is_no_longer_decoded_reads_all_ones_and_takes_nothing() {
    let function = Function::ivshmem_doorbell(1 << 16, 1).command(2);
    let (vm, _) = vm(function.assigned(0, 0xFE00_0000).assigned(1, 0xFE10_0000).assigned(2, 0xE0_0000_0000));
    let base = map(&vm, 0xFE10_0000, 16).unwrap();
    // SAFETY: a window of the model, which lives as long as the machine.
    let table = unsafe { Region::new(base, 16) };
    assert_eq!(table.read32(12), Ok(1), "masked after reset");
    table.write32(8, 7).unwrap();
    vm.write32(AT, 0x14, u32::MAX);
    table.write32(8, 9).unwrap();
    assert_eq!(table.read32(8), Ok(u32::MAX));
    vm.write32(AT, 0x14, 0xFE10_0000);
    assert_eq!(table.read32(8), Ok(7));
    let cycles = vm.take_trace();
    assert_eq!(cycles[0], Access::Read { bar: 1, offset: 12, value: 1 });
    assert_eq!((cycles.len(), vm.take_trace().len()), (7, 0), "every access once");
}

#[test]
fn the_memory_behind_bar2_is_the_hosts() {
    use crate::memory::Memory as _;
    let (vm, memory) =
        vm(Function::ivshmem_plain(1 << 16).command(2).assigned(0, 0xFE00_0000).assigned(2, 0xE0_0000_0000));
    let base = map(&vm, 0xE0_0000_1000, 4096).unwrap();
    // SAFETY: mapped for ever, page-aligned.
    let guest = unsafe { SharedMemory::new(base, 4096) };
    memory.view().store(0x1008, 0x55);
    assert_eq!(guest.load(8), 0x55);
}

#[test]
fn where_no_function_is_configuration_space_reads_all_ones() {
    let (vm, _) = vm(Function::ivshmem_plain(1 << 16));
    let other = "81:00.0".parse().unwrap();
    vm.write32(other, 0x10, 0);
    assert_eq!((vm.read32(other, 0), vm.read32(AT, 3)), (u32::MAX, 0x1110_1AF4));
}
