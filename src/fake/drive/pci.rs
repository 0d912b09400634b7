//! Configuration space that lies.

use crate::fake::config::{ConfigSpace, Cycle, Function};
use crate::fake::input::Input;
use crate::pci::{Address, BarError, Buses, ConfigAccess, bar, find_capability, size_bar};
use core::cell::Cell;
use std::vec::Vec;

/// Where the function is.
const AT: Address = match Address::new(0, 0, 4, 0) {
    Ok(address) => address,
    Err(_) => unreachable!(),
};

const COMMAND: u16 = 0x04;

/// Answers each read with the input's next bytes, or near a device's, whatever is read; ignores writes.
#[derive(Debug)]
pub(super) struct Anything<'i> {
    input: &'i Input<'i>,
    space: &'i ConfigSpace,
    reads: Cell<usize>,
    writes: Cell<usize>,
}

impl<'i> Anything<'i> {
    /// Near what is in `space`.
    pub(super) fn of(input: &'i Input<'i>, space: &'i ConfigSpace) -> Self {
        Self { input, space, reads: Cell::new(0), writes: Cell::new(0) }
    }

    /// How often it was read.
    pub(super) fn reads(&self) -> usize {
        self.reads.get()
    }
}

fn device() -> ConfigSpace {
    ConfigSpace::new().with(AT, Function::ivshmem_doorbell(1 << 20, 8))
}

impl ConfigAccess for Anything<'_> {
    fn read32(&self, address: Address, offset: u16) -> u32 {
        self.reads.set(self.reads.get() + 1);
        let honest = self.space.read32(address, offset);
        match self.input.byte() % 8 {
            0 => self.input.u32(),
            1 => u32::MAX,
            2 => honest ^ 1_u32.rotate_left(self.input.byte().into()),
            3 => u32::from(self.input.u16()),
            _ => honest,
        }
    }

    fn write32(&self, _: Address, _: u16, _: u32) {
        self.writes.set(self.writes.get() + 1);
    }

    fn write16(&self, _: Address, _: u16, _: u16) {
        self.writes.set(self.writes.get() + 1);
    }

    fn buses(&self, index: usize) -> Option<Buses> {
        self.space.buses(index)
    }
}

/// The walk through a function's capabilities, whatever its configuration space answers.
pub fn capabilities(bytes: &[u8]) {
    let input = Input::new(bytes);
    let id = input.byte();
    if input.byte().is_multiple_of(2) {
        let device = device();
        let anything = Anything::of(&input, &device);
        walk(&anything, id);
        assert!(anything.writes.get() == 0 && anything.reads.get() <= 51, "{anything:?}");
        return;
    }
    // A list that stays as it is, but for a function that may vanish in the midst of it.
    let space = ConfigSpace::new().with(AT, listed(&input));
    if input.byte().is_multiple_of(4) {
        space.vanish_after(input.byte().into());
        walk(&space, id);
    } else {
        let listed = walk(&space, id);
        space.take_cycles();
        assert_eq!(find_capability(&space, AT, id).ok().flatten(), listed);
    }
    let cycles = space.take_cycles();
    assert!(cycles.len() <= 51 && cycles.iter().all(|cycle| matches!(cycle, Cycle::Read32 { .. })), "{cycles:?}");
}

/// A function with any list of capabilities.
fn listed(input: &Input<'_>) -> Function {
    let layout = if input.byte().is_multiple_of(8) { input.byte() & 0x7F } else { 0 };
    let function = Function::ivshmem_doorbell(4096, 8).header_type(layout).register(0x34, input.byte().into(), 0);
    (0x40..0x100).step_by(4).fold(function, |function, offset| function.register(offset, input.u16().into(), 0))
}

/// Walks once, and returns the first capability with `id` before any error.
fn walk(access: &impl ConfigAccess, id: u8) -> Option<u16> {
    let (mut seen, mut ended, mut found) = (0_u64, false, None);
    for capability in crate::pci::capabilities(access, AT) {
        assert!(!ended, "an error ends the list");
        let Ok(capability) = capability else {
            ended = true;
            continue;
        };
        let offset = capability.offset;
        assert!((0x40..=0xFC).contains(&offset) && offset.is_multiple_of(4), "{offset:#x}");
        let bit = 1 << ((offset - 0x40) / 4);
        assert!(seen & bit == 0, "{offset:#x} twice");
        seen |= bit;
        if capability.id == id && found.is_none() {
            found = Some(offset);
        }
    }
    found
}

/// Decoding and sizing of a BAR, whatever its registers are and answer.
pub fn bars(bytes: &[u8]) {
    let input = Input::new(bytes);
    let index = input.byte() % 8;
    if input.byte().is_multiple_of(2) {
        let device = device();
        let anything = Anything::of(&input, &device);
        if let Ok(bar) = bar(&anything, AT, index) {
            assert!(bar.address != 0 && bar.address.is_multiple_of(16) && bar.index == index, "{bar:?}");
        }
        assert!(anything.writes.get() == 0 && anything.reads.get() <= 7, "{anything:?}");
        let anything = Anything::of(&input, &device);
        if let Ok(size) = size_bar(&anything, AT, index) {
            assert!(size.is_power_of_two() && size >= 16, "{size:#x}");
        }
        assert!(anything.writes.get() <= 6 && anything.reads.get() <= 13, "{anything:?}");
        return;
    }
    // Registers that keep what is written to their writable bits, of which the reads while sizing may lie.
    let writable = |input: &Input<'_>| match input.byte() % 4 {
        0 => input.u32(),
        1 => 0,
        _ => u32::MAX << (4 + input.byte() % 28),
    };
    let layout = if input.byte().is_multiple_of(8) { input.byte() & 0x7F } else { 0 };
    let function = (0x10..0x28)
        .step_by(4)
        .fold(Function::new(0x1AF4, 0x1110), |function, offset| {
            function.register(offset, input.u32(), writable(&input))
        })
        .register(COMMAND, u32::from(input.u16()) | 0x10_0000, 0xFFFF)
        .header_type(layout);
    let space = ConfigSpace::new().with(AT, function);
    let lie = || input.byte().is_multiple_of(2).then(|| input.u32());
    for offset in [register(index), register(index + 1)] {
        space.script(AT, offset, [None, lie(), lie()]);
    }
    if let Ok(size) = sized(&space, AT, index) {
        assert!(size.is_power_of_two() && size >= 16, "{size:#x}");
    }
}

/// The offset of BAR `index`.
fn register(index: u8) -> u16 {
    0x10 + u16::from(index) * 4
}

/// Sizes a BAR, and panics unless what holds on every path does: configuration space is bit for bit as before, Command is
/// written with 16 bits, registers with 32, nothing but the BAR and Command is written, and all of it is bounded.
pub fn sized(space: &ConfigSpace, address: Address, index: u8) -> Result<u64, BarError> {
    let before = space.contents();
    space.take_cycles();
    let result = size_bar(space, address, index);
    assert_eq!(space.contents(), before, "after {result:?}");
    let cycles = space.take_cycles();
    let writes: Vec<_> = cycles.iter().filter(|cycle| !matches!(cycle, Cycle::Read32 { .. })).collect();
    for cycle in &writes {
        match **cycle {
            Cycle::Write16 { offset, .. } => assert_eq!(offset, COMMAND),
            Cycle::Write32 { offset, .. } => {
                assert!([register(index), register(index + 1)].contains(&offset), "{cycle:?}");
            }
            Cycle::Read32 { .. } => {}
        }
    }
    assert!(cycles.len() - writes.len() <= 13 && writes.len() <= 6, "{cycles:?}");
    result
}
