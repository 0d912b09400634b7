//! Interrupt delivery: the timer, every vector of every device, peer to peer, wakers and waits.

use crate::Check;
use crate::bench::{Bench, PATIENCE_US, idt_vector};
use crate::report::{OrFailed, Outcome, Why};
use crate::{failed, same};
use core::fmt::Write;
use core::sync::atomic::{AtomicU32, Ordering};
use core::task::{RawWaker, RawWakerVTable, Waker};
use ivshmem::interrupt::event;
use ivshmem::notify::{Doorbell, Event, Wait};
use ivshmem_examples::timer::{Sleep, ticks};

pub const CHECKS: &[Check] = &[
    ("the_timer_ticks_and_ends_a_halt", timer),
    ("interrupts_leave_registers_as_they_were", registers),
    ("every_vector_of_every_device_arrives", every_vector),
    ("a_doorbell_ends_a_halt", halt),
    ("a_wait_ends_at_its_bound", bound),
    ("a_registered_waker_is_woken_by_its_vector_alone", waker),
    ("peers_ring_each_other_on_every_vector", peers),
];

fn timer(_: &mut Bench<'_>) -> Outcome {
    for _ in 0..10 {
        let before = ticks();
        Sleep::until_tick(event(idt_vector(0))).to_tick();
        same!(ticks() != before, true, "a tick after the halt");
    }
    Ok(())
}

fn registers(_: &mut Bench<'_>) -> Outcome {
    for round in 1..=20u64 {
        let before: [u64; 13] = core::array::from_fn(|n| (round << 8 | n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let [
            mut rax,
            mut rcx,
            mut rdx,
            mut rsi,
            mut rdi,
            mut r8,
            mut r9,
            mut r10,
            mut r11,
            mut r12,
            mut r13,
            mut r14,
            mut r15,
        ] = before;
        // SAFETY: interrupts are on already, and the timer ends the halt; handlers leave memory that this code knows of
        // alone, and run on a stack of their own. What they do to the registers is the question.
        unsafe {
            core::arch::asm!(
                "sti",
                "hlt",
                inout("rax") rax, inout("rcx") rcx, inout("rdx") rdx, inout("rsi") rsi, inout("rdi") rdi,
                inout("r8") r8, inout("r9") r9, inout("r10") r10, inout("r11") r11, inout("r12") r12,
                inout("r13") r13, inout("r14") r14, inout("r15") r15,
            );
        }
        let after = [rax, rcx, rdx, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15];
        for (n, (after, before)) in after.iter().zip(&before).enumerate() {
            same!(after, before, "register {n} of rax rcx rdx rsi rdi r8 to r15, round {round}");
        }
    }
    Ok(())
}

fn every_vector(bench: &mut Bench<'_>) -> Outcome {
    for at in bench.doorbells()? {
        let interrupts = bench.enable(at, u16::MAX)?;
        let device = &bench.slots[at].device;
        let doorbell = device.doorbell().or_failed("the doorbell")?;
        let count = |vector| event(idt_vector(vector)).count();
        let arrived = interrupts.self_test(&doorbell, device.id(), count, &mut bench.clock, PATIENCE_US);
        same!(arrived.tested(), interrupts.used(), "vectors tested");
        if !arrived.all() {
            return Err(failed!("{}: {arrived}", device.address()));
        }
        bench.close(at, interrupts)?;
    }
    Ok(())
}

fn halt(bench: &mut Bench<'_>) -> Outcome {
    for at in bench.doorbells()? {
        let interrupts = bench.enable(at, 1)?;
        let device = &bench.slots[at].device;
        let doorbell = device.doorbell().or_failed("the doorbell")?;
        for round in 0..100 {
            let seen = event(idt_vector(0)).count();
            doorbell.ring(device.id(), 0).or_failed("ringing")?;
            same!(bench.arrives(0, seen), true, "the doorbell of round {round} arrives");
        }
        bench.close(at, interrupts)?;
    }
    Ok(())
}

fn bound(bench: &mut Bench<'_>) -> Outcome {
    let seen = event(idt_vector(0)).count();
    same!(bench.hlt_wait(0, 3000).wait(seen), false, "a wait for a vector that nobody rings");
    Ok(())
}

static WOKEN: AtomicU32 = AtomicU32::new(0);

fn waker(bench: &mut Bench<'_>) -> Outcome {
    const TABLE: RawWakerVTable = RawWakerVTable::new(
        |_| RawWaker::new(core::ptr::null(), &TABLE),
        |_| {
            WOKEN.fetch_add(1, Ordering::Relaxed);
        },
        |_| {
            WOKEN.fetch_add(1, Ordering::Relaxed);
        },
        |_| {},
    );
    // SAFETY: the functions use no data at all and may run anywhere, in a handler too.
    let waker = unsafe { Waker::from_raw(RawWaker::new(core::ptr::null(), &TABLE)) };
    let at = bench.doorbells()?[0];
    let interrupts = bench.enable(at, 2)?;
    let device = &bench.slots[at].device;
    let doorbell = device.doorbell().or_failed("the doorbell")?;
    WOKEN.store(0, Ordering::Relaxed);
    event(idt_vector(0)).register(&waker);
    if interrupts.used() > 1 {
        let seen = event(idt_vector(1)).count();
        doorbell.ring(device.id(), 1).or_failed("ringing vector 1")?;
        same!(bench.arrives(1, seen), true, "vector 1 arrives");
        same!(WOKEN.load(Ordering::Relaxed), 0, "wakes by vector 1");
    }
    for _ in 0..2 {
        let seen = event(idt_vector(0)).count();
        doorbell.ring(device.id(), 0).or_failed("ringing vector 0")?;
        same!(bench.arrives(0, seen), true, "vector 0 arrives");
    }
    same!(WOKEN.load(Ordering::Relaxed), 1, "wakes by two interrupts of vector 0 and one registration");
    bench.close(at, interrupts)
}

fn peers(bench: &mut Bench<'_>) -> Outcome {
    let (one, other) = bench.pair()?;
    for (from, to) in [(one, other), (other, one)] {
        let interrupts = bench.enable(to, u16::MAX)?;
        let (sender, receiver) = (&bench.slots[from].device, &bench.slots[to].device);
        let doorbell = sender.doorbell().or_failed("the doorbell")?;
        let mut missing = Why::new();
        for vector in 0..interrupts.used() {
            let seen = event(idt_vector(vector)).count();
            doorbell.ring(receiver.id(), vector).or_failed("ringing")?;
            if !bench.arrives(vector, seen) {
                // Cut when there are many.
                let _ = write!(missing, " {vector}");
            }
        }
        if !missing.is_empty() {
            return Err(failed!("from {} to {}, not:{missing}", sender.address(), receiver.address()));
        }
        bench.close(to, interrupts)?;
    }
    Ok(())
}
