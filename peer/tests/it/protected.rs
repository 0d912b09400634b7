//! Protected channels on the command line: every status, and that the two sides understand each other.

use crate::cli::{MemoryFile, field, memory_file, peer, stderr, stdout};
use ivshmem::channel::protection::ProtectedSender;
use ivshmem::channel::wire::{HEADER, kind};
use ivshmem::channel::{Attach, Channel, Channels, End, Link, Mailbox, Snapshot};
use ivshmem::memory::Memory;
use ivshmem_peer::Mapping;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const LIST: &str = "sampling:first:56:protected=0x52,queuing:second:8x56,queuing:first:8x56:protected=0x51";
const CHANNELS: [Channel; 3] = [
    Channel::sampling(End::First, 56).protected(0x52),
    Channel::queuing(End::Second, 8, 56),
    Channel::queuing(End::First, 8, 56).protected(0x51),
];
/// From one slot to the next.
const STRIDE: usize = 64;

fn mapping(file: &MemoryFile) -> Mapping {
    let file = File::options().read(true).write(true).open(file.path()).unwrap();
    Mapping::new(&file, 0, 1 << 16).unwrap()
}

fn command(file: &MemoryFile, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ivshmem-peer"));
    command.args(arguments).args(["--device", &file.device, "--channels", LIST]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn begin(file: &MemoryFile, arguments: &[&str]) -> Child {
    command(file, arguments).spawn().unwrap()
}

/// Its exit code, what it printed, and what it told on standard error but for how long it waits.
fn end(child: Child) -> (Option<i32>, Vec<String>, Vec<String>) {
    let output = child.wait_with_output().unwrap();
    let lines =
        |text: String| text.lines().filter(|line| !line.contains(": waiting for ")).map(str::to_owned).collect();
    (output.status.code(), lines(stdout(&output)), lines(stderr(&output)))
}

/// The first line on standard error that begins so, and what was printed until then; the child is told to end.
fn until_told(mut child: Child, beginning: &str) -> (String, String) {
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let line = told.find(|line| line.starts_with(beginning)).unwrap_or_default();
    signal(&child, Signal::INT);
    (line, stdout(&child.wait_with_output().unwrap()))
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Stops the child, and does not return before it stands still.
fn halt(child: &Child) {
    signal(child, Signal::STOP);
    let pid = Some(Pid::from_child(child));
    assert!(waitpid(pid, WaitOptions::UNTRACED).unwrap().unwrap().1.stopped());
}

/// The first end with its protected sender, which calls itself 7.
fn first<'a>(
    mailbox: &'a mut Mailbox<'_, Mapping>,
) -> (Link<'a, Mapping>, Channels<'a, Mapping>, ProtectedSender<'a, Mapping>) {
    let (link, mut channels) = mailbox.attach(Attach::polled());
    let sender = channels.protected_sender(2, 7).unwrap();
    (link, channels, sender)
}

/// Waits until the link to the child is up, or the child has ended for some other reason.
fn join(link: &mut Link<'_, Mapping>, child: &mut Child) {
    while !link.poll(0).is_up() {
        assert_eq!(child.try_wait().unwrap(), None);
    }
}

#[test]
fn what_send_protects_recv_accepts_and_of_another_source_it_tells() {
    let file = memory_file(1 << 16);
    let receiver = begin(&file, &["recv", "--source", "7", "--count", "2"]);
    let sender = begin(&file, &["send", "--end", "first", "--source", "7", "one", "two"]);
    let (code, printed, told) = end(receiver);
    assert_eq!(code, Some(0), "{told:?}");
    assert_eq!(printed, ["one", "two"]);
    let counts = "recv: end ok=2 some_lost=0 repeated=0 wrong_sequence=0 wrong_source=0 bad_crc=0 stale=0 lost=0";
    assert_eq!(told.last().unwrap(), counts);
    assert_eq!(end(sender).0, Some(0));

    let file = memory_file(1 << 16);
    let receiver = begin(&file, &["recv"]);
    let sender = begin(&file, &["send", "--end", "first", "--source", "7", "one"]);
    let (unusable, printed) = until_told(receiver, "recv: unusable");
    assert!(unusable.starts_with("recv: unusable status=wrong-source data_id=0x51 source=7 session=0x"), "{unusable}");
    assert!(unusable.ends_with(" \"one\""), "{unusable}");
    assert_eq!(printed, "");
    assert_eq!(end(sender).0, Some(0));
}

#[test]
fn every_message_that_is_not_as_it_was_sent_is_told_with_its_status_and_not_printed() {
    let file = memory_file(1 << 16);
    let memory = mapping(&file);
    let mut mailbox = Mailbox::new(memory.clone(), End::First, &CHANNELS).unwrap();
    let (mut link, _channels, mut sender) = first(&mut mailbox);
    let mut child = begin(&file, &["recv", "--source", "7", "--count", "6"]);
    join(&mut link, &mut child);
    halt(&child);
    // Eight are in the ring, and two find it full.
    for number in 0..8 {
        sender.try_send(format!("message {number}").as_bytes()).unwrap().ignore();
    }
    for _ in 0..2 {
        assert!(sender.try_send_lossy(b"dropped").unwrap().is_none());
    }
    let slots = Snapshot::new(&memory, &CHANNELS).channel(2).unwrap().slots_at;
    let body = |slot: usize| slots + slot * STRIDE + HEADER;
    let copy = |from: usize, to: usize| {
        for word in (0..STRIDE - HEADER).step_by(8) {
            memory.store(body(to) + word, memory.load(body(from) + word));
        }
    };
    // Message 1 comes once more in the place of 2, and 0 in that of 4; of 6 a bit of the payload is flipped.
    copy(1, 2);
    copy(0, 4);
    let payload = body(6) + usize::from(kind::PROTECTION);
    memory.store(payload, memory.load(payload) ^ 1);
    signal(&child, Signal::CONT);
    let mut ninth = sender.try_send(b"message 10");
    while ninth.is_err() {
        join(&mut link, &mut child);
        ninth = sender.try_send(b"message 10");
    }
    ninth.unwrap().ignore();
    let (code, printed, told) = end(child);
    assert_eq!(code, Some(0), "{told:?}");
    assert_eq!(printed, ["message 0", "message 1", "message 3", "message 5", "message 7", "message 10"]);
    let crc = told.iter().position(|line| line.starts_with("recv: unusable status=bad-crc found=0x")).unwrap();
    assert!(told[crc].ends_with(" \"lessage 6\""), "{told:?}");
    assert_eq!(told[0], "recv: unusable status=repeated sequence=1 \"message 1\"");
    assert_eq!(told[1], "recv: status=some-lost lost=1");
    assert_eq!(told[2], "recv: unusable status=wrong-sequence expected=4 found=0 \"message 0\"");
    assert_eq!(
        told[3..],
        [
            "recv: status=some-lost lost=1",
            &told[crc],
            "recv: status=some-lost lost=1",
            "recv: status=some-lost lost=2",
            "recv: end ok=2 some_lost=4 repeated=1 wrong_sequence=1 wrong_source=0 bad_crc=1 stale=0 lost=5",
        ]
    );
}

/// Both what it prints and what it tells, line by line and in the order of its writing.
fn begin_telling(file: &MemoryFile, arguments: &[&str]) -> (Child, impl Iterator<Item = String>) {
    let (told, telling) = std::io::pipe().unwrap();
    let child = command(file, arguments).stdout(telling.try_clone().unwrap()).stderr(telling).spawn().unwrap();
    let lines = BufReader::new(told).lines().map(Result::unwrap);
    (child, lines.filter(|line| !line.contains(": waiting for ")))
}

/// When a wait for something that must come counts as failed.
const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn a_message_that_lay_longer_than_its_validity_is_stale() {
    const VALIDITY: Duration = Duration::from_millis(50);
    let file = memory_file(1 << 16);
    let mut mailbox = Mailbox::new(mapping(&file), End::First, &CHANNELS).unwrap();
    let (mut link, _channels, mut sender) = first(&mut mailbox);
    let arguments = ["recv", "--source", "7", "--validity", "50", "--count", "1000000"];
    let (mut child, mut told) = begin_telling(&file, &arguments);
    join(&mut link, &mut child);
    let begun = Instant::now();
    let stale = loop {
        halt(&child);
        sender.try_send(b"old").unwrap().ignore();
        // An age is read from the same clock: it is past the validity once the clock is.
        let sent = Instant::now();
        while sent.elapsed() <= VALIDITY {
            link.poll(0);
        }
        signal(&child, Signal::CONT);
        let line = told.next().unwrap_or_default();
        // If it was halted between reading the clock and looking, the message is young for it.
        if line != "old" {
            break line;
        }
        assert!(begun.elapsed() < LIMIT, "never stale");
    };
    assert!(stale.starts_with("recv: unusable status=stale age_ms=") && stale.ends_with(" \"old\""), "{stale}");
    assert!(u128::from(field(&stale, "age_ms")) >= VALIDITY.as_millis(), "{stale}");
    signal(&child, Signal::INT);
    child.wait().unwrap();
}

#[test]
fn a_value_and_its_status_are_shown_and_one_that_is_not_as_it_was_written_does_not_count() {
    let file = memory_file(1 << 16);
    let memory = mapping(&file);
    let mut mailbox = Mailbox::new(memory.clone(), End::First, &CHANNELS).unwrap();
    let (mut link, mut channels) = mailbox.attach(Attach::polled());
    let mut writer = channels.protected_writer(0, 7).unwrap();
    link.poll(0);
    writer.write(b"1450 rpm").unwrap().ignore();
    let at = ["--device", &file.device, "--channels", LIST, "--source", "7"];
    let read = peer(&[&["sample", "read"], &at[..]].concat());
    assert_eq!(stdout(&read), "sample: value missed=0 status=ok \"1450 rpm\"\n", "{}", stderr(&read));

    let watch = peer(&[&["sample", "watch", "--timeout", "1"], &at[..]].concat());
    assert_eq!(watch.status.code(), Some(4));
    let counts = "ok=1 some_lost=0 repeated=0 wrong_sequence=0 wrong_source=0 bad_crc=0 stale=0 lost=0";
    let lines = format!("sample: value missed=0 status=ok \"1450 rpm\"\nsample: end values=1 missed=0 {counts}\n");
    assert_eq!(stdout(&watch), lines);

    let other = peer(&["sample", "watch", "--timeout", "1", "--device", &file.device, "--channels", LIST]);
    assert_eq!(other.status.code(), Some(4));
    assert!(
        stdout(&other).starts_with("sample: unusable missed=0 status=wrong-source data_id=0x52 source=7 session=0x")
    );
    assert!(stdout(&other).contains("\nsample: end values=0 missed=0 ok=0 "), "{}", stdout(&other));

    // Nobody knows since when the first value is there.
    let stale = peer(&[&["sample", "read", "--timeout", "1", "--refresh", "20"], &at[..]].concat());
    assert_eq!(stdout(&stale), "sample: unusable missed=0 status=stale age_ms=unknown \"1450 rpm\"\n");

    let slot = Snapshot::new(&memory, &CHANNELS).channel(0).unwrap().slots_at + STRIDE;
    let payload = slot + HEADER + usize::from(kind::PROTECTION);
    memory.store(payload, memory.load(payload) ^ 1);
    let bad = peer(&[&["sample", "read", "--timeout", "1"], &at[..]].concat());
    assert_eq!(bad.status.code(), Some(4));
    assert!(stdout(&bad).starts_with("sample: unusable missed=0 status=bad-crc found=0x"), "{}", stdout(&bad));
}

#[test]
fn what_sample_write_protects_sample_read_accepts() {
    let file = memory_file(1 << 16);
    let writer = begin(&file, &["sample", "write", "--end", "first", "--source", "7", "1450"]);
    let at = ["--device", &file.device, "--channels", LIST, "--source", "7"];
    let read = peer(&[&["sample", "read"], &at[..]].concat());
    assert_eq!(stdout(&read), "sample: value missed=0 status=ok \"1450\"\n", "{}", stderr(&read));
    signal(&writer, Signal::INT);
    assert_eq!(end(writer).0, Some(0));
}

#[test]
fn a_protected_message_is_24_bytes_shorter() {
    let file = memory_file(1 << 16);
    for command in [&["send"][..], &["sample", "write"]] {
        let message = "x".repeat(33);
        let arguments = ["--end", "first", "--device", &file.device, "--channels", LIST, &message];
        let output = peer(&[command, &arguments[..]].concat());
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains("33 bytes, a message has at most 32"), "{}", stderr(&output));
    }
}
