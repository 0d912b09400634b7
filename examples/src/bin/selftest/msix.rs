//! MSI-X: enabling, masking, pending bits, closing.

use crate::Check;
use crate::bench::{Bench, PATIENCE_US, TICK_US, idt_vector};
use crate::report::{OrFailed, Outcome, Unfinished};
use crate::{failed, same};
use ivshmem::device::Kind;
use ivshmem::interrupt::event;
use ivshmem::msix::{Message, MsixError};
use ivshmem::notify::{Doorbell, Event};
use ivshmem::pci::{Command, Header};
use ivshmem_examples::timer::Sleep;

pub const CHECKS: &[Check] = &[
    ("a_plain_device_has_no_interrupts", plain),
    ("more_messages_than_vectors_are_refused", too_many),
    ("enabling_and_closing_leave_command_as_it_was", command),
    ("a_doorbell_for_a_masked_vector_waits_for_the_unmask", masked),
    ("a_vector_not_in_use_cannot_be_unmasked", unused),
];

fn plain(bench: &mut Bench<'_>) -> Outcome {
    let plain = bench.slots.iter_mut().find(|slot| slot.device.kind() == Kind::Plain);
    let plain = plain.ok_or(Unfinished::Skipped("needs an ivshmem-plain device"))?;
    let message = Message::new(0, idt_vector(0)).or_failed("a message")?;
    match plain.device.enable_interrupts(&bench.access, &[message]) {
        Err(MsixError::Absent) => Ok(()),
        other => Err(failed!("enabling: {other:?}")),
    }
}

fn too_many(bench: &mut Bench<'_>) -> Outcome {
    let message = Message::new(0, idt_vector(0)).or_failed("a message")?;
    for at in bench.doorbells()? {
        let device = &mut bench.slots[at].device;
        let Kind::Doorbell { vectors } = device.kind() else { continue };
        same!(device.enable_interrupts(&bench.access, &[]).err(), Some(MsixError::NoMessages), "no message");
        let messages = [message; 300];
        let Some(messages) = messages.get(..usize::from(vectors) + 1) else { continue };
        let error = MsixError::TooManyMessages { messages: messages.len(), vectors };
        same!(device.enable_interrupts(&bench.access, messages).err(), Some(error), "one too many");
        let address = device.address();
        same!(bench.msix_enabled(address)?, false, "MSI-X Enable after a refusal");
    }
    Ok(())
}

fn command(bench: &mut Bench<'_>) -> Outcome {
    for at in bench.doorbells()? {
        let address = bench.slots[at].device.address();
        let before = Header::new(&bench.access, address).command();
        let interrupts = bench.enable(at, 1)?;
        same!(bench.msix_enabled(address)?, true, "{address} MSI-X Enable");
        let during = Header::new(&bench.access, address).command();
        same!(during.contains(Command::MEMORY | Command::BUS_MASTER), true, "{address} decodes and masters the bus");
        bench.close(at, interrupts)?;
        same!(Header::new(&bench.access, address).command(), before, "{address} Command");
    }
    Ok(())
}

fn masked(bench: &mut Bench<'_>) -> Outcome {
    let mut kept = false;
    for at in bench.doorbells()? {
        if !bench.slots[at].device.quirks().keeps_masked_doorbells {
            continue;
        }
        kept = true;
        let mut interrupts = bench.enable(at, 1)?;
        let device = &bench.slots[at].device;
        let doorbell = device.doorbell().or_failed("the doorbell")?;
        let vector = event(idt_vector(0));
        same!(interrupts.pending(0), Ok(false), "pending before the ring");
        interrupts.mask(0).or_failed("masking")?;
        let before = vector.count();
        doorbell.ring(device.id(), 0).or_failed("ringing")?;
        // The hypervisor delivers in its own time: a tick's halt between two looks.
        let pending = (0..PATIENCE_US / TICK_US).any(|_| {
            Sleep::until_tick(vector).to_tick();
            interrupts.pending(0) == Ok(true)
        });
        same!(pending, true, "pending after the ring");
        same!(vector.count(), before, "interrupts while masked");
        interrupts.unmask(0).or_failed("unmasking")?;
        same!(bench.arrives(0, before), true, "the interrupt after the unmask arrives");
        same!(interrupts.pending(0), Ok(false), "pending after the unmask");
        bench.close(at, interrupts)?;
    }
    if kept { Ok(()) } else { Err(Unfinished::Skipped("needs a hypervisor that keeps a masked vector's doorbell")) }
}

fn unused(bench: &mut Bench<'_>) -> Outcome {
    for at in bench.doorbells()? {
        let mut interrupts = bench.enable(at, 1)?;
        let used = interrupts.used();
        same!(interrupts.unmask(used), Err(MsixError::NotInUse { vector: used, used }), "unmasking vector {used}");
        bench.close(at, interrupts)?;
    }
    Ok(())
}
