//! `call`: every way a request can end.

use crate::cli::{MemoryFile, memory_file, stderr, stdout};
use ivshmem::channel::request::{Incoming, Status};
use ivshmem::channel::{Attach, Channel, End, Mailbox};
use ivshmem_peer::Mapping;
use std::fs::File;
use std::process::{Command, Output, Stdio};

const LIST: &str = "request:second:8x120,response:first:8x120";
const CHANNELS: [Channel; 2] = [Channel::request(End::Second, 8, 120), Channel::response(End::First, 8, 120)];

/// Runs `call` beside a responder in this process: operation 1 answers with its arguments, 2 refuses, 3 is never answered.
fn call(file: &MemoryFile, arguments: &[&str]) -> Output {
    let memory = File::options().read(true).write(true).open(file.path()).unwrap();
    let memory = Mapping::new(&memory, 0, 1 << 16).unwrap();
    let mut mailbox = Mailbox::new(memory, End::First, &CHANNELS).unwrap();
    let (mut link, mut channels) = mailbox.attach(Attach::polled());
    let mut responder = channels.responder::<4>(0, 1, 1).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_ivshmem-peer"))
        .args(["call", "--device", &file.device, "--channels", LIST])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut buffer = [0; 104];
    while child.try_wait().unwrap().is_none() {
        link.poll(0);
        if let Ok(Some(Incoming::Request(request))) = responder.next(0, &mut buffer) {
            let bytes = &buffer[..request.len];
            match request.operation {
                1 => responder.respond(request.token, Status::Done, bytes).unwrap().ignore(),
                2 => responder.respond(request.token, Status::Refused, b"not today").unwrap().ignore(),
                _ => {}
            }
        }
        std::thread::yield_now();
    }
    child.wait_with_output().unwrap()
}

#[test]
fn the_result_is_printed() {
    let file = memory_file(1 << 16);
    let output = call(&file, &["1", "to and fro"]);
    assert_eq!((stdout(&output).as_str(), output.status.code()), ("to and fro\n", Some(0)), "{}", stderr(&output));
}

#[test]
fn a_refusal_and_its_reason_are_a_failure() {
    let file = memory_file(1 << 16);
    let output = call(&file, &["2"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("refused: not today"), "{}", stderr(&output));
}

#[test]
fn a_budget_that_passes_is_late() {
    let file = memory_file(1 << 16);
    let output = call(&file, &["--budget", "5", "3"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(stderr(&output).contains("no answer within the budget"), "{}", stderr(&output));
}

#[test]
fn arguments_of_the_greatest_length_arrive() {
    let file = memory_file(1 << 16);
    let longest = "x".repeat(104);
    let output = call(&file, &["1", &longest]);
    assert_eq!(stdout(&output), format!("{longest}\n"), "{}", stderr(&output));
}
