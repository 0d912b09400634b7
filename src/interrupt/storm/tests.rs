//! Storms from the modelled device, whose messages are handled one by one.

use super::*;
use crate::device::{Device, Options, Selector};
use crate::fake::config::Function;
use crate::fake::machine::{Hypervisor, Machine};
use crate::msix::Message;
use std::boxed::Box;
use std::string::{String, ToString};
use std::vec::Vec;

struct Rig {
    machine: Machine,
    interrupts: Interrupts,
    vector: &'static Vector,
}

impl Rig {
    fn new(hypervisor: Hypervisor) -> Self {
        let machine = Machine::new(hypervisor, 3, Function::ivshmem_doorbell(4096, 4)).unwrap();
        // SAFETY: the machine is its own, and nothing else drives its device.
        let device = unsafe { Device::open(&machine, &mut machine.mapper(), Selector::Nth(0), Options::default()) };
        let messages = [0x60, 0x61].map(|vector| Message::new(0, vector).unwrap());
        let interrupts = device.unwrap().enable_interrupts(&machine, &messages).unwrap();
        machine.take_trace();
        // A record of its own, as a static is: tests do not share one.
        Self { machine, interrupts, vector: Box::leak(Box::new(Vector::new())) }
    }

    /// A peer rings vector 1, and the CPU handles whatever arrives. Returns how many handlers ran.
    fn ring(&self, times: u32) -> usize {
        (0..times)
            .map(|_| {
                self.machine.ring(1);
                self.handle()
            })
            .sum()
    }

    fn handle(&self) -> usize {
        let messages = self.machine.take_messages();
        messages.iter().for_each(|_| self.vector.on_interrupt());
        messages.len()
    }

    /// What was read and written in the vector table since the last look.
    fn accesses(&self) -> Vec<String> {
        self.machine.take_trace().iter().map(ToString::to_string).collect()
    }
}

/// Vector Control of vector 1.
const READ_MASKED: &str = "bar1 read 0x1c 0x1";
const READ: &str = "bar1 read 0x1c 0x0";
const MASK: &str = "bar1 write 0x1c 0x1";
const UNMASK: &str = "bar1 write 0x1c 0x0";

#[test]
fn more_than_the_limit_in_a_window_masks_the_vector_until_the_owner_has_drained() {
    for hypervisor in [Hypervisor::Qemu, Hypervisor::Acrn] {
        let mut rig = Rig::new(hypervisor);
        let mut guard = StormGuard::new(&rig.interrupts, 1, rig.vector, 10).unwrap();
        assert_eq!(rig.accesses(), [READ]);
        assert_eq!(rig.ring(10), 10);
        assert!(rig.accesses().is_empty(), "the limit itself is allowed");
        assert_eq!(rig.ring(1000), 1, "the one that is too many is the last");
        assert_eq!(rig.accesses(), [MASK]);
        assert_eq!(guard.next_window(&mut rig.interrupts), Ok(true));
        assert_eq!(rig.accesses(), [READ_MASKED, UNMASK]);
        // QEMU kept one doorbell meanwhile, ACRN none: in either case the owner looks once more.
        assert_eq!(rig.handle(), usize::from(hypervisor == Hypervisor::Qemu));
        assert_eq!(guard.next_window(&mut rig.interrupts), Ok(false));
        assert_eq!(rig.ring(10), 10);
        assert_eq!(guard.next_window(&mut rig.interrupts), Ok(false));
        assert_eq!(rig.ring(1000), 11);
        assert_eq!(guard.next_window(&mut rig.interrupts), Ok(true));
        assert_eq!(guard.storms(), 2);
    }
}

#[test]
fn as_many_as_the_limit_in_each_window_are_no_storm() {
    let mut rig = Rig::new(Hypervisor::Qemu);
    let mut guard = StormGuard::new(&rig.interrupts, 1, rig.vector, 3).unwrap();
    rig.accesses();
    for _ in 0..100 {
        assert_eq!(rig.ring(3), 3);
        assert_eq!(guard.next_window(&mut rig.interrupts), Ok(false));
    }
    assert!(rig.accesses().is_empty(), "no window costs a VM exit");
    assert_eq!(guard.storms(), 0);
}

#[test]
fn a_limit_of_0_masks_at_each_firing() {
    let mut rig = Rig::new(Hypervisor::Acrn);
    let mut guard = StormGuard::new(&rig.interrupts, 1, rig.vector, 0).unwrap();
    for _ in 0..5 {
        assert_eq!(rig.ring(7), 1);
        assert_eq!(guard.next_window(&mut rig.interrupts), Ok(true));
    }
}

#[test]
fn firings_that_were_on_their_way_mask_again_and_leave_nothing_masked_for_ever() {
    let mut rig = Rig::new(Hypervisor::Acrn);
    let mut guard = StormGuard::new(&rig.interrupts, 1, rig.vector, 2).unwrap();
    rig.ring(3);
    rig.vector.on_interrupt();
    assert_eq!(guard.next_window(&mut rig.interrupts), Ok(true));
    assert_eq!(rig.ring(2), 2);
    // Two more handlers run after the one that masked: what they write must not outlive the next window.
    assert_eq!(rig.ring(1), 1);
    assert_eq!(guard.next_window(&mut rig.interrupts), Ok(true));
    for _ in 0..3 {
        rig.vector.on_interrupt();
    }
    assert_eq!(rig.ring(1), 0, "masked by the last of them");
    assert_eq!(guard.next_window(&mut rig.interrupts), Ok(true));
    assert_eq!(rig.ring(1), 1);
}

#[test]
fn bounds_hold_over_the_wrap_of_the_count() {
    let mut rig = Rig::new(Hypervisor::Acrn);
    rig.vector.set_count(u32::MAX - 2);
    let mut guard = StormGuard::new(&rig.interrupts, 1, rig.vector, 5).unwrap();
    assert_eq!(rig.ring(100), 6);
    assert_eq!(guard.next_window(&mut rig.interrupts), Ok(true));
    drop(guard);
    let _widest = StormGuard::new(&rig.interrupts, 1, rig.vector, u32::MAX).unwrap();
    assert_eq!(rig.ring(100), 100);
}

#[test]
fn without_a_guard_or_for_vectors_not_in_use_nothing_is_masked() {
    let rig = Rig::new(Hypervisor::Acrn);
    let refused = StormGuard::new(&rig.interrupts, 2, rig.vector, 1).map(|_| ());
    assert_eq!(refused, Err(MsixError::NotInUse { vector: 2, used: 2 }));
    assert_eq!(rig.ring(100), 100);
    drop(StormGuard::new(&rig.interrupts, 1, rig.vector, 1).unwrap());
    assert_eq!(rig.ring(100), 100);
}
