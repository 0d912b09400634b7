//! The mailbox in the device's memory: both ends in this image, polled and by doorbell.

use crate::Check;
use crate::bench::{Bench, PATIENCE_US, idt_vector};
use crate::report::{OrFailed, Outcome, Unfinished};
use crate::{failed, same};
use ivshmem::channel::{
    Attach, COMMAND_RESPONSE, End, Link, LinkState, Mailbox, MailboxError, Receiver, RecvError, SendError, Sender,
};
use ivshmem::device::DoorbellRegister;
use ivshmem::interrupt::event;
use ivshmem::memory::{Memory, SharedMemory};
use ivshmem::notify::{Doorbell, Event};

pub const CHECKS: &[Check] = &[
    ("a_memory_too_small_is_refused_with_its_sizes", too_small),
    ("both_ends_come_up_over_leftovers_of_any_kind", come_up),
    ("messages_of_every_length_arrive_unchanged", lengths),
    ("a_full_channel_refuses_and_loses_nothing", full),
    ("a_restart_is_reported_and_delivers_nothing_stale", restart),
    ("a_doorbell_to_oneself_announces_a_message", own_doorbell),
    ("commands_and_responses_by_doorbell_between_two_devices", between_devices),
    ("1000_coalesced_doorbells_lose_no_message", coalesced),
];

/// Polls of both ends within which the link is up; channel.md and `Link::poll` say three.
const POLLS: u32 = 3;

/// Both ends' mailboxes over one device's memory, or over two devices of the same memory.
fn mailboxes(one: &SharedMemory, other: &SharedMemory) -> Result<[Mailbox<'static, SharedMemory>; 2], Unfinished> {
    let need = Mailbox::<SharedMemory>::required_len(&COMMAND_RESPONSE).or_failed("required_len")?;
    if one.len() < need {
        return Err(Unfinished::Skipped("needs more device memory for a mailbox"));
    }
    let first = one.window(0, one.len()).or_failed("a window")?;
    let second = other.window(0, other.len()).or_failed("a window")?;
    Ok([
        Mailbox::new(first, End::First, &COMMAND_RESPONSE).or_failed("the first end")?,
        Mailbox::new(second, End::Second, &COMMAND_RESPONSE).or_failed("the second end")?,
    ])
}

/// One end, attached.
struct Attached<'a> {
    link: Link<'a, SharedMemory>,
    messages: Receiver<'a, SharedMemory>,
    sender: Sender<'a, SharedMemory>,
}

fn attach<'a>(
    mailbox: &'a mut Mailbox<'static, SharedMemory>,
    end: End,
    attach: Attach,
) -> Result<Attached<'a>, Unfinished> {
    let (receives, sends) = match end {
        End::First => (0, 1),
        End::Second => (1, 0),
    };
    let (link, mut channels) = mailbox.attach(attach);
    let messages = channels.receiver(receives).or_failed("the receiver")?;
    Ok(Attached { link, messages, sender: channels.sender(sends).or_failed("the sender")? })
}

/// Polls both ends until both are up.
fn up(first: &mut Attached<'_>, second: &mut Attached<'_>) -> Outcome {
    for _ in 0..POLLS {
        if first.link.poll(0).is_up() & second.link.poll(0).is_up() {
            return Ok(());
        }
    }
    Err(failed!("not up after {POLLS} polls of each end"))
}

/// The next message, which has to be there.
fn next<'b>(messages: &mut Receiver<'_, SharedMemory>, buffer: &'b mut [u8]) -> Result<&'b [u8], Unfinished> {
    messages.try_recv(buffer).or_failed("receiving")?.or_failed("a message")
}

fn too_small(bench: &mut Bench<'_>) -> Outcome {
    let at = bench.first()?;
    let have = bench.slots[at].memory.len().min(4096);
    let window = bench.slots[at].memory.window(0, have).or_failed("a window")?;
    let need = Mailbox::<SharedMemory>::required_len(&COMMAND_RESPONSE).or_failed("required_len")?;
    let error = Mailbox::new(window, End::First, &COMMAND_RESPONSE).err();
    same!(error, Some(MailboxError::RegionTooSmall { need, have }), "a mailbox in {have} bytes");
    Ok(())
}

fn come_up(bench: &mut Bench<'_>) -> Outcome {
    bench.first()?;
    for slot in &bench.slots {
        let memory = &slot.memory;
        for leftover in [0, u64::MAX, 0x0101_0101_0101_0101, 1] {
            (0..memory.len().min(1 << 16)).step_by(8).for_each(|offset| memory.publish(offset, leftover));
            let [mut first, mut second] = mailboxes(memory, memory)?;
            let mut first = attach(&mut first, End::First, Attach::polled())?;
            same!(first.link.poll(0).is_up(), false, "{} up alone over {leftover:#x}", slot.device.address());
            let mut second = attach(&mut second, End::Second, Attach::polled())?;
            up(&mut first, &mut second)?;
        }
    }
    Ok(())
}

fn lengths(bench: &mut Bench<'_>) -> Outcome {
    let at = bench.first()?;
    let memory = &bench.slots[at].memory;
    let [mut first, mut second] = mailboxes(memory, memory)?;
    let mut first = attach(&mut first, End::First, Attach::polled())?;
    let mut second = attach(&mut second, End::Second, Attach::polled())?;
    up(&mut first, &mut second)?;
    let bytes: [u8; 249] = core::array::from_fn(|n| (n as u8).wrapping_mul(37) ^ 0x5A);
    let mut buffer = [0; 248];
    for length in 0..=248 {
        let message = &bytes[..length];
        second.sender.try_send(message).or_failed("sending a command")?.ignore();
        same!(next(&mut first.messages, &mut buffer)?, message, "a command of {length} bytes");
        first.sender.try_send(message).or_failed("sending a response")?.ignore();
        same!(next(&mut second.messages, &mut buffer)?, message, "a response of {length} bytes");
    }
    let error = second.sender.try_send(&bytes).err();
    same!(error, Some(SendError::TooLong { len: 249, max: 248 }), "a command of 249 bytes");
    same!(first.messages.try_recv(&mut buffer), Ok(None), "after the last command");
    Ok(())
}

fn full(bench: &mut Bench<'_>) -> Outcome {
    let at = bench.first()?;
    let memory = &bench.slots[at].memory;
    let [mut first, mut second] = mailboxes(memory, memory)?;
    let mut first = attach(&mut first, End::First, Attach::polled())?;
    let mut second = attach(&mut second, End::Second, Attach::polled())?;
    up(&mut first, &mut second)?;
    let (mut sent, mut received) = (0u32, 0u32);
    let mut buffer = [0; 248];
    for _ in 0..5 {
        let error = loop {
            match second.sender.try_send(&sent.to_le_bytes()) {
                Ok(notice) => notice.ignore(),
                Err(error) => break error,
            }
            sent += 1;
        };
        same!(error, SendError::Full, "with {sent} sent and {received} received");
        same!(sent - received, COMMAND_RESPONSE[0].slots(), "messages in a full channel");
        while let Some(message) = first.messages.try_recv(&mut buffer).or_failed("receiving")? {
            same!(message, received.to_le_bytes(), "message {received}");
            received += 1;
        }
        same!(received, sent, "messages received");
    }
    Ok(())
}

fn restart(bench: &mut Bench<'_>) -> Outcome {
    let at = bench.first()?;
    let memory = &bench.slots[at].memory;
    let [mut first_mailbox, mut second] = mailboxes(memory, memory)?;
    let mut second = attach(&mut second, End::Second, Attach::polled())?;
    let mut buffer = [0; 248];
    for round in 0..10u32 {
        let mut first = attach(&mut first_mailbox, End::First, Attach::polled())?;
        if round > 0 {
            same!(second.link.poll(0), LinkState::PeerRestarted, "round {round}");
        }
        up(&mut first, &mut second)?;
        if round > 0 {
            let error = second.sender.try_send(b"x").err();
            same!(error, Some(SendError::PeerRestarted { lost_at_most: 1 }), "sending in round {round}");
            let slots = COMMAND_RESPONSE[1].slots();
            let error = second.messages.try_recv(&mut buffer).err();
            same!(error, Some(RecvError::PeerRestarted { lost_at_most: slots }), "receiving in round {round}");
        }
        // Left behind in both directions, for the next round not to find.
        second.sender.try_send(&round.to_le_bytes()).or_failed("sending")?.ignore();
        same!(first.messages.try_recv(&mut buffer), Ok(Some(round.to_le_bytes().as_slice())), "round {round}");
        second.messages.try_recv(&mut buffer).or_failed("joining")?;
        first.sender.try_send(b"stale").or_failed("sending what goes stale")?.ignore();
    }
    same!(second.link.stats().peer_restarts, 9, "restarts counted");
    Ok(())
}

fn own_doorbell(bench: &mut Bench<'_>) -> Outcome {
    for at in bench.doorbells()? {
        exchange(bench, at, at, 200)?;
    }
    Ok(())
}

fn between_devices(bench: &mut Bench<'_>) -> Outcome {
    let (one, other) = bench.pair()?;
    exchange(bench, one, other, 1000)?;
    exchange(bench, other, one, 1000)
}

/// Commands and responses, each announced by a doorbell and waited for with the CPU halted.
///
/// The first end is on one device and the second on the other, or both on the same.
fn exchange(bench: &mut Bench<'_>, one: usize, other: usize, rounds: u32) -> Outcome {
    let interrupts = bench.enable(one, 1)?;
    // Both devices' vectors 0 raise the same IDT vector: only one end waits at a time.
    let others = if one == other { None } else { Some(bench.enable(other, 1)?) };
    let [first, second] = [&bench.slots[one], &bench.slots[other]];
    let doorbells = [&first.device, &second.device].map(|device| device.doorbell());
    let [Ok(first_bell), Ok(second_bell)] = doorbells else { return Err(failed!("no doorbell")) };
    let ids = [first.device.id(), second.device.id()];

    let [mut first, mut second] = mailboxes(&first.memory, &second.memory)?;
    let mut first = attach(&mut first, End::First, Attach::interrupt_driven(ids[0]))?;
    let mut second = attach(&mut second, End::Second, Attach::interrupt_driven(ids[1]))?;
    up(&mut first, &mut second)?;
    same!(first.link.peer_id(), Some(ids[1]), "the second end's id");
    same!(second.link.peer_id(), Some(ids[0]), "the first end's id");
    for round in 0..rounds {
        let number = round.to_le_bytes();
        announced(bench, &mut second.sender, &second_bell, &mut first.messages, &number)?;
        announced(bench, &mut first.sender, &first_bell, &mut second.messages, &number)?;
    }
    bench.close(one, interrupts)?;
    others.map_or(Ok(()), |interrupts| bench.close(other, interrupts))
}

/// Arms the receiver, sends, rings, halts until the doorbell, receives.
fn announced(
    bench: &Bench<'_>,
    sender: &mut Sender<'_, SharedMemory>,
    bell: &DoorbellRegister,
    messages: &mut Receiver<'_, SharedMemory>,
    message: &[u8],
) -> Outcome {
    let mut buffer = [0; 248];
    same!(messages.try_recv(&mut buffer), Ok(None), "before the message");
    same!(messages.arm(), false, "something to look at before the message");
    let seen = event(idt_vector(0)).count();
    let rang = sender.try_send(message).or_failed("sending")?.ring(bell).or_failed("ringing")?;
    same!(rang, true, "a doorbell was due");
    same!(bench.arrives(0, seen), true, "the doorbell arrives");
    same!(next(messages, &mut buffer)?, message, "the message");
    Ok(())
}

fn coalesced(bench: &mut Bench<'_>) -> Outcome {
    const MESSAGES: u32 = 1000;
    let at = bench.doorbells()?[0];
    let interrupts = bench.enable(at, 1)?;
    let slot = &bench.slots[at];
    let bell = slot.device.doorbell().or_failed("the doorbell")?;
    let id = slot.device.id();
    let [mut first, mut second] = mailboxes(&slot.memory, &slot.memory)?;
    let mut first = attach(&mut first, End::First, Attach::interrupt_driven(id))?;
    let mut second = attach(&mut second, End::Second, Attach::interrupt_driven(id))?;
    up(&mut first, &mut second)?;
    let mut buffer = [0; 248];
    let (mut sent, mut received) = (0u32, 0u32);
    let before = event(idt_vector(0)).count();
    while received < MESSAGES {
        // As many as there is room for, and a ring for each, wanted or not: the hypervisor makes of them what it will.
        while sent < MESSAGES {
            match second.sender.try_send(&sent.to_le_bytes()) {
                Ok(notice) => notice.ignore(),
                Err(SendError::Full) => break,
                Err(error) => return Err(failed!("sending message {sent}: {error:?}")),
            }
            bell.ring(id, 0).or_failed("ringing")?;
            sent += 1;
        }
        let wait = bench.hlt_wait(0, PATIENCE_US);
        match first.messages.recv(&mut buffer, &wait, 0).or_failed("receiving")? {
            Some(message) => {
                same!(message, received.to_le_bytes(), "message {received}");
                received += 1;
            }
            None => return Err(failed!("message {received} of {sent} sent did not come")),
        }
    }
    same!(first.messages.try_recv(&mut buffer), Ok(None), "after the last message");
    // One at least, if only after all messages were found by looking, and no more than were rung.
    same!(bench.arrives(0, before), true, "any of {MESSAGES} doorbells arrives");
    let taken = event(idt_vector(0)).count().wrapping_sub(before);
    same!(taken <= MESSAGES, true, "{taken} interrupts for {MESSAGES} doorbells");
    bench.close(at, interrupts)
}
