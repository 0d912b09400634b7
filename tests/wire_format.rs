//! `docs/wire-format.md` against the code: its constants, its digests and its worked session.

use ivshmem::channel::wire::{self, Key};
use ivshmem::channel::*;
use ivshmem::fake::memory::loop_back;
use ivshmem::memory::Memory;
use std::collections::BTreeMap;

const DOCUMENT: &str = include_str!("../docs/wire-format.md");

/// The number after `name` in a table row `| name | number | ...`.
fn documented(name: &str) -> u64 {
    let row = DOCUMENT.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
    let cell = row.unwrap_or_else(|| panic!("no row for {name}")).split('|').nth(2).unwrap().trim().trim_matches('`');
    match cell.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).unwrap(),
        None => cell.parse().unwrap(),
    }
}

#[test]
fn the_documents_constants_are_the_codes() {
    for (name, value) in [
        ("MAGIC", wire::MAGIC),
        ("VERSION", wire::VERSION),
        ("SECTION_ALIGN", wire::SECTION_ALIGN as u64),
        ("LINE", wire::LINE as u64),
        ("SLOT_ALIGN", wire::SLOT_ALIGN as u64),
        ("HEADER", wire::HEADER as u64),
        ("link.MAGIC", wire::link::MAGIC as u64),
        ("link.VERSION", wire::link::VERSION as u64),
        ("link.DIGEST", wire::link::DIGEST as u64),
        ("link.EPOCH", wire::link::EPOCH as u64),
        ("link.SEEN", wire::link::SEEN as u64),
        ("link.STATE", wire::link::STATE as u64),
        ("link.IDENTITY", wire::link::IDENTITY as u64),
        ("link.WANTS", wire::link::WANTS as u64),
        ("HEARTBEAT", wire::HEARTBEAT as u64),
        ("CHANNEL_LINES", wire::CHANNEL_LINES as u64),
        ("RING", wire::RING as u64),
        ("RING_AFTER", wire::RING_AFTER as u64),
        ("ACKNOWLEDGED", wire::ACKNOWLEDGED as u64),
        ("WISH", wire::WISH as u64),
        ("LATEST", wire::LATEST as u64),
        ("STARTED", wire::STARTED as u64),
        ("ATTACHED", wire::ATTACHED),
        ("CLOSED", wire::CLOSED),
    ] {
        assert_eq!(documented(name), value, "{name}");
    }
}

#[test]
fn the_documents_digest_vectors_are_the_codes() {
    assert_eq!(documented("digest of COMMAND_RESPONSE"), digest(&COMMAND_RESPONSE));
    let other = [
        Channel::queuing(End::First, 4, 56),
        Channel::queuing(End::Second, 32, 1016),
        Channel::queuing(End::First, 8, 1),
    ];
    assert_eq!(documented("digest of the three channels"), digest(&other));
    let one_of_each = [
        Channel::sampling(End::First, 56),
        Channel::request(End::Second, 16, 56),
        Channel::response(End::First, 16, 56),
        Channel::queuing(End::First, 8, 120).protected(0x1234_5678),
    ];
    assert_eq!(documented("digest of one of each"), digest(&one_of_each));
    assert_eq!(documented("key of epochs 5 and 0x1007, generation 0"), u64::from(Key::new(5, 0x1007).bits()));
    assert_eq!(documented("tag of that key"), u64::from(Key::new(5, 0x1007).tag()));
}

/// The worked session: what each end does, with no seed, on zeroed memory.
fn worked_session() -> BTreeMap<usize, u64> {
    let (first, second) = loop_back(0xa000).unwrap();
    let spy = first.window(0, first.len()).unwrap();
    let mut first = Mailbox::new(first, End::First, &COMMAND_RESPONSE).unwrap();
    let mut second = Mailbox::new(second, End::Second, &COMMAND_RESPONSE).unwrap();
    let (mut first, mut first_channels) = first.attach(Attach::interrupt_driven(0));
    let (mut second, mut second_channels) = second.attach(Attach::polled());
    while !(first.poll(0).is_up() & second.poll(0).is_up()) {}
    let (mut commands, mut responses) = (first_channels.receiver(0).unwrap(), first_channels.sender(1).unwrap());
    let (mut operator, mut answers) = (second_channels.sender(0).unwrap(), second_channels.receiver(1).unwrap());
    let mut buffer = [0; 248];
    assert_eq!(commands.try_recv(&mut buffer), Ok(None));
    assert!(!commands.arm());
    operator.try_send(b"ping 1").unwrap().ignore();
    assert_eq!(commands.try_recv(&mut buffer), Ok(Some(&b"ping 1"[..])));
    responses.try_send(b"pong 1").unwrap().ignore();
    assert_eq!(answers.try_recv(&mut buffer), Ok(Some(&b"pong 1"[..])));
    let words = (0..spy.len()).step_by(8).map(|offset| (offset, spy.load(offset)));
    words.filter(|(_, word)| *word != 0).collect()
}

#[test]
fn the_documents_worked_session_is_what_the_code_leaves_in_memory() {
    let mut documented = BTreeMap::new();
    let block = DOCUMENT.split("```hexdump\n").nth(1).expect("a hexdump block").split("```").next().unwrap();
    for line in block.lines() {
        let mut fields = line.split_whitespace();
        let offset = usize::from_str_radix(fields.next().unwrap(), 16).unwrap();
        let mut bytes = [0; 8];
        for byte in &mut bytes {
            *byte = u8::from_str_radix(fields.next().unwrap(), 16).unwrap();
        }
        documented.insert(offset, u64::from_le_bytes(bytes));
    }
    let found = worked_session();
    if documented != found {
        for (offset, word) in &found {
            let bytes: Vec<_> = word.to_le_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            println!("{offset:04x}  {}", bytes.join(" "));
        }
        panic!("the document's dump is not what the code leaves, printed above");
    }
}
