//! `stream`: bytes through pipes.

use crate::cli::{MemoryFile, memory_file, stderr};
use ivshmem::channel::{Attach, COMMAND_RESPONSE, End, Mailbox, Snapshot};
use ivshmem_peer::Mapping;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

fn stream(file: &MemoryFile, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_ivshmem-peer"))
        .args(["stream", "--device", &file.device])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn what_goes_in_on_one_side_comes_out_on_the_other_whole_and_in_order() {
    let file = memory_file(1 << 16);
    let receiver = stream(&file, &["--end", "first", "--receive", "0"]);
    let mut sender = stream(&file, &["--send", "0"]);
    let bytes: Vec<u8> = (0..200_000u32).flat_map(|number| number.to_le_bytes()).collect();
    let mut input = sender.stdin.take().unwrap();
    // All of it is more than pipes and channel hold.
    let receiver = std::thread::scope(|scope| {
        let bytes = &bytes;
        scope.spawn(move || input.write_all(bytes).unwrap());
        receiver.wait_with_output().unwrap()
    });
    let sender = sender.wait_with_output().unwrap();
    assert_eq!(
        (sender.status.code(), receiver.status.code()),
        (Some(0), Some(0)),
        "{}{}",
        stderr(&sender),
        stderr(&receiver)
    );
    assert!(receiver.stdout == bytes, "{} of {} bytes", receiver.stdout.len(), bytes.len());
}

#[test]
fn a_side_that_comes_and_closes_between_two_looks_had_nothing_to_say_and_ends_the_stream() {
    let file = memory_file(1 << 16);
    let mut receiver = stream(&file, &["--end", "first", "--receive", "0"]);
    let memory = std::fs::File::options().read(true).write(true).open(file.path()).unwrap();
    let mut mailbox = Mailbox::new(Mapping::new(&memory, 0, 1 << 16).unwrap(), End::Second, &COMMAND_RESPONSE).unwrap();
    // As soon as it is answered, while the other side has not looked again.
    let (mut link, _) = mailbox.attach(Attach::polled());
    while !link.poll(0).is_up() && receiver.try_wait().unwrap().is_none() {}
    link.close();
    let output = receiver.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0), "{}", stderr(&output));
}

#[test]
fn both_directions_go_on_until_one_side_ends() {
    let file = memory_file(1 << 16);
    let mut first = stream(&file, &["--end", "first"]);
    let mut second = stream(&file, &[]);
    second.stdin.as_mut().unwrap().write_all(b"to").unwrap();
    let mut bytes = [0; 3];
    first.stdout.as_mut().unwrap().read_exact(&mut bytes[..2]).unwrap();
    first.stdin.as_mut().unwrap().write_all(b"fro").unwrap();
    second.stdout.as_mut().unwrap().read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"fro");
    drop(second.stdin.take());
    assert_eq!(second.wait().unwrap().code(), Some(0));
    assert_eq!(first.wait().unwrap().code(), Some(0));
}

#[test]
fn a_restart_of_the_other_side_ends_the_stream_as_a_failure() {
    let file = memory_file(1 << 16);
    let mut receiver = stream(&file, &["--end", "first", "--receive", "0"]);
    let mut sender = stream(&file, &["--send", "0"]);
    sender.stdin.as_mut().unwrap().write_all(b"begun").unwrap();
    let mut bytes = [0; 5];
    receiver.stdout.as_mut().unwrap().read_exact(&mut bytes).unwrap();
    sender.kill().unwrap();
    sender.wait().unwrap();
    let mut sender = stream(&file, &["--send", "0"]);
    let output = receiver.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("the other side restarted; bytes may be lost"), "{}", stderr(&output));
    sender.kill().unwrap();
    sender.wait().unwrap();
}

/// Writes all of it, or as much as somebody reads.
fn feed(child: &mut Child, bytes: Vec<u8>) -> std::thread::JoinHandle<()> {
    let mut input = child.stdin.take().unwrap();
    std::thread::spawn(move || drop(input.write_all(&bytes)))
}

#[test]
fn bytes_that_a_side_which_closes_did_not_take_are_a_failure_of_the_one_that_sends() {
    let file = memory_file(1 << 16);
    for arguments in [&[][..], &["--send", "0"]] {
        let mut first = stream(&file, &["--end", "first"]);
        let mut second = stream(&file, arguments);
        second.stdin.as_mut().unwrap().write_all(b"begun").unwrap();
        first.stdout.as_mut().unwrap().read_exact(&mut [0; 5]).unwrap();
        // What comes now comes too late for a side that has nothing more to say, and ends.
        let pid = Pid::from_child(&second);
        kill_process(pid, Signal::STOP).unwrap();
        // A pipe holds that much.
        second.stdin.as_mut().unwrap().write_all(&[b'x'; 10_000]).unwrap();
        drop(first.stdin.take());
        assert_eq!(first.wait().unwrap().code(), Some(0));
        kill_process(pid, Signal::CONT).unwrap();
        let second = second.wait_with_output().unwrap();
        assert_eq!(second.status.code(), Some(1), "{}", stderr(&second));
        assert!(stderr(&second).contains("closed before it took everything: "), "{}", stderr(&second));
    }
}

#[test]
fn a_side_that_dies_is_waited_for_no_longer_than_it_is_said() {
    let file = memory_file(1 << 16);
    let mut receiver = stream(&file, &["--end", "first", "--receive", "0", "--timeout", "1"]);
    let mut sender = stream(&file, &["--send", "0", "--timeout", "1"]);
    sender.stdin.as_mut().unwrap().write_all(b"begun").unwrap();
    let mut bytes = [0; 5];
    receiver.stdout.as_mut().unwrap().read_exact(&mut bytes).unwrap();
    sender.kill().unwrap();
    sender.wait().unwrap();
    let output = receiver.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(stderr(&output).contains("no sign of life from the other side"), "{}", stderr(&output));

    // More than the channel holds, and then all of it in the channel and the input at its end.
    for length in [1 << 20, 10_000] {
        let file = memory_file(1 << 16);
        let mut receiver = stream(&file, &["--end", "first", "--receive", "0"]);
        let mut sender = stream(&file, &["--send", "0", "--timeout", "1"]);
        sender.stdin.as_mut().unwrap().write_all(b"begun").unwrap();
        receiver.stdout.as_mut().unwrap().read_exact(&mut bytes).unwrap();
        receiver.kill().unwrap();
        receiver.wait().unwrap();
        let input = feed(&mut sender, vec![b'x'; length]);
        let output = sender.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(4), "{length}: {}", stderr(&output));
        input.join().unwrap();
    }
}

#[test]
fn what_an_earlier_stream_left_closed_is_no_end_of_a_later_one() {
    let file = memory_file(1 << 16);
    let memory = std::fs::File::options().read(true).write(true).open(file.path()).unwrap();
    let memory = Mapping::new(&memory, 0, 1 << 16).unwrap();
    let look = Snapshot::new(&memory, &COMMAND_RESPONSE);
    for _ in 0..2 {
        let (before, heartbeat) = (look.link(End::First).epoch, look.link(End::First).heartbeat);
        let mut receiver = stream(&file, &["--end", "first", "--receive", "0"]);
        // It has looked at what is there, and waits.
        let looked = || {
            let line = look.link(End::First);
            line.epoch != before && line.heartbeat > heartbeat + 10
        };
        while !looked() && receiver.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        let mut sender = stream(&file, &["--send", "0", "--timeout", "2"]);
        feed(&mut sender, b"bytes".to_vec()).join().unwrap();
        assert_eq!(sender.wait().unwrap().code(), Some(0));
        assert_eq!(receiver.wait_with_output().unwrap().stdout, b"bytes");
    }
}
