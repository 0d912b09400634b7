//! Messages and doorbells between two processes, over a file and over a server's socket.

use crate::cli::{field, memory_file, peer, server, stderr, stdout};
use ivshmem::channel::End;
use ivshmem_peer::{Attachment, Exchange, MAX_MESSAGE, Purpose, Sysfs};
use std::io::BufRead;
use std::process::{Child, Command, Output, Stdio};

#[test]
fn nobody_there_is_exit_code_4() {
    for arguments in [&["operator", "--commands", "1"][..], &["operator"], &["send", "hello"], &["recv"]] {
        let file = memory_file(65536);
        let output = peer(&[arguments, &["--device", &file.device, "--timeout", "1"]].concat());
        assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
        assert_eq!(stderr(&output), "ivshmem-peer: no answer from the other side within 1 s\n");
    }
}

#[test]
fn a_polled_end_that_waits_leaves_the_processor_to_others() {
    let file = memory_file(65536);
    assert_eq!(peer(&["recv", "--device", &file.device, "--timeout", "2"]).status.code(), Some(4));
    let dump = stdout(&peer(&["dump", "--device", &file.device]));
    // Each look is one heartbeat: about 2000 with pauses, millions without.
    let looks = field(dump.lines().find(|line| line.starts_with("dump: end second")).unwrap(), "heartbeat");
    assert!((2..200_000).contains(&looks), "{looks} looks in 2 s");
}

#[test]
fn what_one_process_sends_another_receives_over_a_file_and_over_a_socket() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, socket) = server(&folder, 1, 7);
    let file = memory_file(65536);
    for device in [&file.device, &socket] {
        let messages: Vec<String> = (0..200).map(|number| format!("message {number}")).collect();
        let receiver = Command::new(env!("CARGO_BIN_EXE_ivshmem-peer"))
            .args(["recv", "--device", device, "--end", "first", "--count", "200"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut arguments = vec!["send", "--device", device];
        arguments.extend(messages.iter().map(String::as_str));
        let sent = peer(&arguments);
        assert_eq!(sent.status.code(), Some(0), "{}", stderr(&sent));
        assert!(stdout(&sent).starts_with(&format!("send: {device} sent=200 doorbells=")), "{}", stdout(&sent));
        let received = receiver.wait_with_output().unwrap();
        assert_eq!(received.status.code(), Some(0), "{}", stderr(&received));
        assert_eq!(stdout(&received).lines().collect::<Vec<_>>(), messages);
    }
}

#[test]
fn ring_reaches_a_peer_of_the_server_and_names_a_peer_or_vector_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, device) = server(&folder, 3, 40);
    let backend = ivshmem_peer::open(Some(&device.parse().unwrap()), Purpose::Exchange, &Sysfs::default()).unwrap();
    assert_eq!(backend.id(), Some(40));
    let vector = backend.vector(2).unwrap();
    let output = peer(&["ring", "--device", &device, "--peer", "40", "--vector", "2"]);
    assert_eq!(stdout(&output), format!("ring: {device} peer=40 vector=2\n"), "{}", stderr(&output));
    assert!(vector.wait(0, std::time::Duration::from_secs(60)));
    assert_eq!((vector.count(), backend.vector(0).unwrap().count()), (1, 0));

    let refused = |peer_id: &str, vector: &str| {
        let output = peer(&["ring", "--device", &device, "--peer", peer_id, "--vector", vector]);
        assert_eq!(output.status.code(), Some(1));
        stderr(&output)
    };
    assert!(refused("39", "0").ends_with(": the server knows no peer 39\n"));
    assert!(refused("40", "3").ends_with(": peer 40 has 3 vectors, no vector 3\n"));
    assert!(refused("40", "256").ends_with(": vector 256 is above 255, the highest that can be rung\n"));
}

/// A `send` of three messages to the first end over this file, and that end.
fn with_sender(timeout: &str, action: impl FnOnce(&mut Exchange<'_>, &mut Child)) -> Output {
    let file = memory_file(65536);
    let name = file.device.parse().unwrap();
    let backend = ivshmem_peer::open(Some(&name), Purpose::Exchange, &Sysfs::default()).unwrap();
    let mut mailbox = ivshmem_peer::mailbox(&*backend, End::First).unwrap();
    let mut exchange = Exchange::attach(&mut mailbox, &*backend, End::First);
    let mut sender = Command::new(env!("CARGO_BIN_EXE_ivshmem-peer"))
        .args(["send", "--device", &file.device, "--timeout", timeout, "one", "two", "three"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    action(&mut exchange, &mut sender);
    sender.wait_with_output().unwrap()
}

/// Polls, but does not receive, until the sender has ended.
fn poll_to_the_end(exchange: &mut Exchange<'_>, sender: &mut Child) {
    while sender.try_wait().unwrap().is_none() {
        exchange.poll();
    }
}

fn receive(exchange: &mut Exchange<'_>) -> Vec<u8> {
    let mut buffer = [0; MAX_MESSAGE];
    loop {
        exchange.poll();
        if let Ok(Some(message)) = exchange.recv(&mut buffer) {
            return message.to_vec();
        }
    }
}

#[test]
fn a_channel_that_the_sender_began_anew_is_received_on_and_its_loss_said() {
    let file = memory_file(65536);
    let name = file.device.parse().unwrap();
    let backend = ivshmem_peer::open(Some(&name), Purpose::Exchange, &Sysfs::default()).unwrap();
    let mut mailbox = ivshmem_peer::mailbox(&*backend, End::First).unwrap();
    let (mut attachment, mut channels) = Attachment::attach(&mut mailbox, &*backend, 0);
    let mut sender = channels.sender(1).unwrap();
    let mut receiver = Command::new(env!("CARGO_BIN_EXE_ivshmem-peer"))
        .args(["recv", "--device", &file.device, "--count", "2"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while !attachment.poll().is_up() {
        assert_eq!(receiver.try_wait().unwrap(), None);
    }
    sender.try_send(b"before").unwrap().ignore();
    let mut out = std::io::BufReader::new(receiver.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    sender.resync();
    sender.try_send(b"after").unwrap().ignore();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "before\nafter\n");
    let output = receiver.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let told = stderr(&output);
    let told: Vec<_> = told.lines().filter(|line| !line.contains(": waiting for ")).collect();
    // It cannot know how much of the ring was used before it looked again.
    assert_eq!(told, ["recv: channel begun anew, at most 64 messages were lost"]);
}

#[test]
fn send_to_one_who_is_there_but_does_not_receive_is_exit_code_4() {
    let output = with_sender("1", poll_to_the_end);
    assert_eq!(output.status.code(), Some(4));
    assert!(stderr(&output).contains("no sign that the other side receives"), "{}", stderr(&output));
}

#[test]
fn send_ends_once_the_other_side_has_begun_to_receive_and_then_nothing_is_lost() {
    let output = with_sender("60", |exchange, sender| {
        assert_eq!(receive(exchange), b"one");
        poll_to_the_end(exchange, sender);
        assert_eq!(receive(exchange), b"two");
        assert_eq!(receive(exchange), b"three");
    });
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}
