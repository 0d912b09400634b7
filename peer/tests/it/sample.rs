//! `sample` and `stats`: what looks on, and what it leaves alone.

use crate::cli::{MemoryFile, memory_file, peer, peer_with_input, stderr, stdout};
use ivshmem::channel::{Attach, COMMAND_RESPONSE, Channel, End, Mailbox, Subscriber};
use ivshmem::memory::Memory;
use ivshmem_peer::Mapping;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

const LIST: &str = "queuing:second:8x56,sampling:first:56,sampling:second:24";
const CHANNELS: [Channel; 3] =
    [Channel::queuing(End::Second, 8, 56), Channel::sampling(End::First, 56), Channel::sampling(End::Second, 24)];
const OFFSET: usize = 0x2000;

fn mapping(file: &MemoryFile) -> Mapping {
    let file = File::options().read(true).write(true).open(file.path()).unwrap();
    Mapping::new(&file, 0, 1 << 16).unwrap()
}

fn window(file: &MemoryFile) -> Mapping {
    mapping(file).window(OFFSET, (1 << 16) - OFFSET).unwrap()
}

fn at(file: &MemoryFile) -> [&str; 6] {
    ["--device", &file.device, "--offset", "0x2000", "--channels", LIST]
}

#[test]
fn read_prints_the_latest_value_and_disturbs_no_session() {
    let file = memory_file(1 << 16);
    let mut mailbox = Mailbox::new(window(&file), End::First, &CHANNELS).unwrap();
    let (mut link, mut channels) = mailbox.attach(Attach::polled());
    let mut writer = channels.writer(1).unwrap();
    writer.write(b"1450 rpm").unwrap().ignore();
    link.poll(0);
    let before = std::fs::read(file.path()).unwrap();
    let output = peer(&[&["sample", "read", "--channel", "1"], &at(&file)[..]].concat());
    assert_eq!(stdout(&output), "sample: value missed=0 \"1450 rpm\"\n", "{}", stderr(&output));
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(std::fs::read(file.path()).unwrap(), before);
}

#[test]
fn watch_prints_every_value_it_sees_and_counts_the_others() {
    let file = memory_file(1 << 16);
    let mut mailbox = Mailbox::new(window(&file), End::First, &CHANNELS).unwrap();
    let (mut link, mut channels) = mailbox.attach(Attach::polled());
    let mut writer = channels.writer(1).unwrap();
    writer.write(b"value 0").unwrap().ignore();
    let mut child = Command::new(env!("CARGO_BIN_EXE_ivshmem-peer"))
        .args(["sample", "watch", "--channel", "1", "--count", "3"])
        .args(at(&file))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "sample: value missed=0 \"value 0\"");
    link.poll(0);
    // Either is seen alone, or only the second.
    writer.write(b"value 1").unwrap().ignore();
    writer.write(b"value 2").unwrap().ignore();
    let seen = lines.next().unwrap();
    let one = "sample: value missed=0 \"value 1\"";
    assert!(seen == one || seen == "sample: value missed=1 \"value 2\"", "{seen}");
    if seen != one {
        writer.write(b"value 3").unwrap().ignore();
    }
    let rest: Vec<_> = lines.collect();
    assert!(rest[0].starts_with("sample: value missed=0"), "{rest:?}");
    assert_eq!(rest[1], format!("sample: end values=3 missed={}", u8::from(seen != one)));
    assert!(child.wait().unwrap().success());
}

#[test]
fn every_line_written_becomes_the_value() {
    let file = memory_file(1 << 16);
    let output = peer_with_input(&[&["sample", "write", "--channel", "2"], &at(&file)[..]].concat(), b"one\ntwo\n");
    assert_eq!(stdout(&output), "sample: end written=2\n", "{}", stderr(&output));
    // The writer has closed: nothing may pass for current any more.
    let mut subscriber = Subscriber::new(window(&file), End::Second, &CHANNELS).unwrap();
    let (mut watch, mut values) = subscriber.subscribe(0);
    assert_eq!(watch.poll(0), ivshmem::channel::LinkState::Closed);
    assert!(values.reader(2).unwrap().read(&mut [0; 24], 0).is_err());
}

#[test]
fn a_value_is_kept_up_until_the_writer_is_told_to_end() {
    let file = memory_file(1 << 16);
    let mut child = Command::new(env!("CARGO_BIN_EXE_ivshmem-peer"))
        .args(["sample", "write", "--channel", "2", "from 2"])
        .args(at(&file))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "sample: written");
    let output = peer(&[&["sample", "read", "--channel", "2", "--from", "second"], &at(&file)[..]].concat());
    assert_eq!(stdout(&output), "sample: value missed=0 \"from 2\"\n", "{}", stderr(&output));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(lines.next().unwrap(), "sample: end written=1");
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_line_too_long_and_a_window_outside_are_said() {
    let file = memory_file(1 << 16);
    let long = format!("{}\n", "x".repeat(25));
    let output = peer_with_input(&[&["sample", "write", "--channel", "2"], &at(&file)[..]].concat(), long.as_bytes());
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("a value of 25 bytes in a channel of at most 24"), "{}", stderr(&output));
    let output = peer(&["stats", "--device", &file.device, "--offset", "0xf000"]);
    assert!(
        stderr(&output)
            .contains("the mailbox needs 40960 bytes of shared memory and behind offset 0xf000 there are 4096"),
        "{}",
        stderr(&output)
    );
    let output = peer(&["stats", "--device", &file.device, "--channels", "queuing:first:9x8"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("channel 0 has 9 slots"), "{}", stderr(&output));
    let output =
        peer(&["sample", "read", "--timeout", "1", "--device", &file.device, "--channels", "sampling:first:8"]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert_eq!(stdout(&output), "");
    let output =
        peer(&["sample", "watch", "--timeout", "1", "--device", &file.device, "--channels", "sampling:first:8"]);
    assert_eq!((stdout(&output).as_str(), output.status.code()), ("sample: end values=0 missed=0\n", Some(4)));
}

#[test]
fn stats_counts_what_was_sent_received_and_is_in_flight() {
    let file = memory_file(1 << 16);
    let (first, second) = (mapping(&file), mapping(&file));
    let mut first = Mailbox::new(first, End::First, &COMMAND_RESPONSE).unwrap();
    let mut second = Mailbox::new(second, End::Second, &COMMAND_RESPONSE).unwrap();
    let (mut la, mut ca) = first.attach(Attach::polled());
    let (mut lb, mut cb) = second.attach(Attach::polled());
    while !(la.poll(0).is_up() & lb.poll(0).is_up()) {}
    let (mut sender, mut receiver) = (cb.sender(0).unwrap(), ca.receiver(0).unwrap());
    for _ in 0..100 {
        sender.try_send(b"x").unwrap().ignore();
        assert!(receiver.try_recv(&mut [0; 248]).unwrap().is_some());
    }
    // Acknowledged every 16: 96 of 100, and three more under way.
    for _ in 0..3 {
        sender.try_send(b"x").unwrap().ignore();
    }
    let output = peer(&["stats", "--device", &file.device, "--count", "2", "--every", "1"]);
    let lines: Vec<_> = stdout(&output).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 9, "{lines:?} {}", stderr(&output));
    assert!(lines[0].starts_with("stats: end first attached epoch=0x"), "{lines:?}");
    // How often the end looked since the count before, and there is none before the first.
    assert!(lines[0].ends_with(" polls=-") && lines[4].ends_with(" polls=0"), "{lines:?}");
    assert_eq!(lines[2], "stats: channel 0 queuing sent=103 acknowledged=96 unacknowledged=7 slots=64");
    assert_eq!(lines[3], "stats: channel 1 queuing unused");
    assert_eq!(lines[8], "stats: end");
}

#[test]
fn stats_names_kinds_and_the_states_of_ends_as_they_are() {
    let file = memory_file(1 << 16);
    let channels = [Channel::request(End::Second, 8, 56), Channel::response(End::First, 8, 56)];
    let (first, second) = (mapping(&file), mapping(&file));
    let mut first = Mailbox::new(first, End::First, &channels).unwrap();
    let mut second = Mailbox::new(second, End::Second, &channels).unwrap();
    let (mut la, _ca) = first.attach(Attach::polled());
    let (mut lb, mut cb) = second.attach(Attach::polled());
    let mut requester = cb.requester::<2>(0, 1, 1).unwrap();
    while !(la.poll(0).is_up() & lb.poll(0).is_up()) {}
    requester.start(0, 1, b"x", 0).unwrap().1.ignore();
    la.close();
    let section = ivshmem::channel::Snapshot::new(&mapping(&file), &channels).link(End::Second).offset;
    mapping(&file).store(section + ivshmem::channel::wire::link::STATE, 7);
    let list = "request:second:8x56,response:first:8x56";
    let output = peer(&["stats", "--device", &file.device, "--channels", list]);
    let lines: Vec<_> = stdout(&output).lines().map(str::to_owned).collect();
    assert!(lines[0].starts_with("stats: end first closed epoch=0x"), "{lines:?} {}", stderr(&output));
    assert!(lines[1].starts_with("stats: end second 0x7 epoch=0x"), "{lines:?}");
    assert_eq!(lines[2], "stats: channel 0 request sent=1 acknowledged=0 unacknowledged=1 slots=8");
    assert_eq!(lines[3], "stats: channel 1 response unused");
}
