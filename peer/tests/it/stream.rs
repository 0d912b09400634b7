//! `stream`: bytes through pipes.

use crate::cli::{MemoryFile, memory_file, peer, stderr};
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

#[test]
fn a_channel_of_another_kind_or_direction_is_said() {
    let file = memory_file(1 << 16);
    let output = peer(&["stream", "--device", &file.device, "--send", "1"]);
    assert!(stderr(&output).contains("channel 1 is sent by the First end"), "{}", stderr(&output));
    let output = peer(&["stream", "--device", &file.device, "--channels", "sampling:second:8", "--send", "0"]);
    assert!(stderr(&output).contains("channel 0 is a Sampling channel"), "{}", stderr(&output));
}
