//! The xAPIC page as a model; x2APIC registers by their published numbers.

use super::*;
use crate::fake::registers::{Registers, Window};
use std::sync::{Arc, Mutex};
use std::vec::Vec;

#[derive(Default)]
struct Page {
    writes: Vec<(usize, u32)>,
}

impl Registers for Page {
    fn read32(&mut self, offset: usize) -> u32 {
        match offset {
            0x20 => 7 << 24,
            0x390 => 1234,
            _ => panic!("read of {offset:#x}"),
        }
    }

    fn write32(&mut self, offset: usize, value: u32) {
        self.writes.push((offset, value));
    }
}

fn with_page(test: impl FnOnce(&mut LocalApic, &dyn Fn() -> Vec<(usize, u32)>)) {
    let _turn = turn();
    let page = Arc::new(Mutex::new(Page::default()));
    let window = Window::new(0, 4096, page.clone()).unwrap();
    let address = NonNull::new(core::ptr::with_exposed_provenance_mut(window.address())).unwrap();
    // SAFETY: the window stands in for the page until the end of this function, where END is reset.
    let mut apic = unsafe { LocalApic::from_page(address) };
    test(&mut apic, &|| std::mem::take(&mut page.lock().unwrap().writes));
    END.store(0, Ordering::Relaxed);
}

#[test]
fn an_xapic_has_its_id_in_the_highest_byte() {
    with_page(|apic, _| {
        assert_eq!(apic.id(), 7);
        assert_eq!(apic.mode(), ApicMode::XApic);
        assert_eq!(apic.timer_count(), 1234);
    });
}

#[test]
fn enabling_opens_the_priority_and_sets_the_spurious_vector() {
    with_page(|apic, writes| {
        apic.enable(0xFF).unwrap();
        assert_eq!(writes(), [(0x80, 0), (0xF0, 0x1FF)]);
        assert_eq!(apic.enable(31), Err(ApicError::Vector(31)));
        assert_eq!(writes(), []);
    });
}

#[test]
fn the_timer_is_periodic_and_its_count_written_last() {
    with_page(|apic, writes| {
        apic.start_timer(0x30, 1_000_000).unwrap();
        assert_eq!(writes(), [(0x3E0, 0b1011), (0x320, 0x2_0030), (0x380, 1_000_000)]);
        apic.stop_timer();
        assert_eq!(writes(), [(0x320, 0x1_0000), (0x380, 0)]);
        assert_eq!(apic.start_timer(0x30, 0), Err(ApicError::NoPeriod));
        assert_eq!(apic.start_timer(3, 1), Err(ApicError::Vector(3)));
        assert_eq!(writes(), []);
    });
}

#[test]
fn interrupts_end_at_the_page_that_was_attached() {
    with_page(|apic, writes| {
        end_of_interrupt();
        apic.end_of_interrupt();
        assert_eq!(writes(), [(0xB0, 0), (0xB0, 0)]);
    });
}

#[test]
fn x2apic_registers_have_their_published_numbers() {
    let number = |register| std::format!("{:?}", msr(register));
    // Intel SDM vol. 3, table 11-6.
    for (register, msr) in [
        (Register::Id, 0x802),
        (Register::TaskPriority, 0x808),
        (Register::EndOfInterrupt, 0x80B),
        (Register::SpuriousVector, 0x80F),
        (Register::TimerVector, 0x832),
        (Register::InitialCount, 0x838),
        (Register::CurrentCount, 0x839),
        (Register::Divide, 0x83E),
    ] {
        assert_eq!(number(register), std::format!("{:?}", Msr::new(msr)));
    }
}
