//! What `dump` shows of a mailbox in each of its states.

use crate::cli::{memory_file, peer, stderr, stdout};
use ivshmem::channel::wire::{self, link};
use ivshmem::channel::{Attach, COMMAND_RESPONSE, Channel, End, Mailbox, digest};
use ivshmem::memory::Memory;
use ivshmem_peer::{DeviceName, Exchange, Purpose, Sysfs, mailbox, open};

fn dump(device: &str) -> Vec<String> {
    let output = peer(&["dump", "--device", device]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    stdout(&output).lines().map(str::to_owned).collect()
}

#[test]
fn untouched_memory_has_nobody_and_no_message() {
    let file = memory_file(65536);
    let path = file.path().display();
    assert_eq!(
        dump(&file.device),
        [
            format!("dump: device file:{path} backend=file size=65536 mailbox=40960"),
            "dump: end first at=0x0 nobody (magic reads 0x0000000000000000)".into(),
            "dump: end second at=0x5000 nobody (magic reads 0x0000000000000000)".into(),
            "dump: link nobody attached".into(),
            "dump: channel 0 from=second kind=queuing slots=64 max_len=248 at=0x5200 ring=0x0 acknowledged=0@0x0 wish=0@0x0".into(),
            "dump: channel 1 from=first kind=queuing slots=64 max_len=248 at=0x200 ring=0x0 acknowledged=0@0x0 wish=0@0x0".into(),
            "dump: end".into(),
        ]
    );
}

#[test]
fn both_ends_and_every_message_in_a_slot_are_shown_and_nothing_is_changed() {
    let file = memory_file(65536);
    let name: DeviceName = file.device.parse().unwrap();
    let backend = open(Some(&name), Purpose::Exchange, &Sysfs::default()).unwrap();
    let mut first = mailbox(&*backend, End::First).unwrap();
    let mut second = mailbox(&*backend, End::Second).unwrap();

    let mut operator = Exchange::attach(&mut second, &*backend, End::Second);
    assert!(!operator.poll().is_up());
    assert_eq!(dump(&file.device)[3], "dump: link second waits for first");

    let mut image = Exchange::attach(&mut first, &*backend, End::First);
    while !(operator.poll().is_up() & image.poll().is_up()) {}
    operator.try_send(b"ping 1").unwrap();
    operator.try_send(b"two\nlines").unwrap();

    let before = std::fs::read(file.path()).unwrap();
    let lines = dump(&file.device);
    assert_eq!(std::fs::read(file.path()).unwrap(), before);

    for (line, end, at) in [(&lines[1], "first", "0x0"), (&lines[2], "second", "0x5000")] {
        let start = format!("dump: end {end} at={at} version=1 channels=command-response state=attached epoch=0x");
        assert!(line.starts_with(&start) && line.contains(" id=- wants=0x0 heartbeat="), "{line}");
    }
    assert!(lines[3].starts_with("dump: link up session="), "{}", lines[3]);
    assert_eq!(lines[5], "dump: slot 0.0 stamp=1 length=6 kind=0 session=current \"ping 1\"");
    assert_eq!(lines[6], "dump: slot 0.1 stamp=2 length=9 kind=0 session=current \"two\\nlines\"");
    assert!(lines[7].starts_with("dump: channel 1 "), "{lines:?}");

    operator.close();
    assert_eq!(dump(&file.device)[3], "dump: link closed");
}

#[test]
fn garbage_is_shown_as_the_numbers_it_is() {
    let file = memory_file(65536);
    let name: DeviceName = file.device.parse().unwrap();
    let backend = open(Some(&name), Purpose::Access, &Sysfs::default()).unwrap();
    for at in (0..65536).step_by(8) {
        backend.memory().store(at, 0xdead_beef_0bad_f00d ^ at as u64);
    }
    for (word, value) in
        [(link::MAGIC, wire::MAGIC), (link::VERSION, wire::VERSION), (link::DIGEST, digest(&COMMAND_RESPONSE))]
    {
        backend.memory().store(word, value);
    }
    let lines = dump(&file.device);
    assert!(
        lines[1].contains(" state=0xdeadbeef0badf025 ") && lines[1].contains(" id=0xdeadbeef0badf03d "),
        "{}",
        lines[1]
    );
    assert!(lines[2].starts_with("dump: end second at=0x5000 nobody (magic reads 0xdeadbeef0bad"), "{}", lines[2]);
    assert_eq!(lines.iter().filter(|line| line.starts_with("dump: slot ")).count(), 128);
    assert_eq!(lines.last().unwrap(), "dump: end");
}

#[test]
fn a_mailbox_behind_an_offset_is_found_by_it_in_either_notation() {
    let file = memory_file(1 << 17);
    let dump = |offset| stdout(&peer(&["dump", "--device", &file.device, "--offset", offset]));
    let lines = dump("0x10000");
    assert!(lines.contains(" size=65536 mailbox=40960\n"), "{lines}");
    assert_eq!(lines, dump("65536"));
}

#[test]
fn channels_of_every_kind_are_shown() {
    const LIST: &str = "sampling:first:56,request:second:8x56,response:first:8x56,queuing:first:8x56:protected=7";
    let file = memory_file(65536);
    let name: DeviceName = file.device.parse().unwrap();
    let backend = open(Some(&name), Purpose::Exchange, &Sysfs::default()).unwrap();
    let channels = [
        Channel::sampling(End::First, 56),
        Channel::request(End::Second, 8, 56),
        Channel::response(End::First, 8, 56),
        Channel::queuing(End::First, 8, 56).protected(7),
    ];
    let mut first = Mailbox::new(backend.memory().clone(), End::First, &channels).unwrap();
    let (_link, mut halves) = first.attach(Attach::polled());
    let mut writer = halves.writer(0).unwrap();
    writer.write(b"one").unwrap().ignore();
    writer.write(b"two").unwrap().ignore();
    let lines = stdout(&peer(&["dump", "--device", &file.device, "--channels", LIST]));
    let shown: Vec<_> = lines.lines().skip(4).collect();
    assert!(shown[0].starts_with("dump: channel 0 from=first kind=sampling slots=4 max_len=56 at="), "{lines}");
    assert!(shown[0].contains(" latest=2@0x") && shown[0].contains(" started=2@0x"), "{lines}");
    assert_eq!(shown[1], "dump: slot 0.1 stamp=1 length=3 kind=0 session=current \"one\"");
    assert_eq!(shown[2], "dump: slot 0.2 stamp=2 length=3 kind=0 session=current \"two\"");
    assert!(shown[3].starts_with("dump: channel 1 from=second kind=request slots=8 max_len=56 "), "{lines}");
    assert!(shown[4].starts_with("dump: channel 2 from=first kind=response "), "{lines}");
    assert!(shown[5].starts_with("dump: channel 3 from=first kind=queuing "), "{lines}");
    assert_eq!(shown[6..], ["dump: end"]);
}

#[test]
fn a_mailbox_of_other_channels_is_said_by_dump_and_stats_instead_of_what_lies_elsewhere() {
    let file = memory_file(65536);
    let name: DeviceName = file.device.parse().unwrap();
    let backend = open(Some(&name), Purpose::Exchange, &Sysfs::default()).unwrap();
    let channels = [Channel::queuing(End::First, 8, 56)];
    let mut first = Mailbox::new(backend.memory().clone(), End::First, &channels).unwrap();
    let _attached = first.attach(Attach::polled());
    let (theirs, ours) = (digest(&channels), digest(&COMMAND_RESPONSE));
    for command in ["dump", "stats"] {
        let output = peer(&[command, "--device", &file.device]);
        assert_eq!(output.status.code(), Some(4), "{}", stdout(&output));
        let said = format!(
            "ivshmem-peer: the mailbox there has other channels: the first end's have digest {theirs:#018x}, those of \
             --channels {ours:#018x}\n"
        );
        assert_eq!(stderr(&output), said);
        assert!(!stdout(&output).contains(": channel "), "{}", stdout(&output));
        let output = peer(&[command, "--device", &file.device, "--channels", "queuing:first:8x56"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
    backend.memory().store(link::VERSION, 2);
    let output = peer(&["stats", "--device", &file.device, "--channels", "queuing:first:8x56"]);
    assert_eq!(stderr(&output), "ivshmem-peer: the first end speaks version 2 of the wire format, this program 1\n");
}
