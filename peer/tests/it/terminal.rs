//! The operator at a terminal: prompt, responses, restarts.

use crate::cli::{memory_file, peer, stdout};
use crate::responder::{Behaviour, with_responder};
use ivshmem_peer::poll_until;
use rustix::event::{PollFd, PollFlags};
use rustix::fd::OwnedFd;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A terminal's other side.
struct User {
    terminal: OwnedFd,
    seen: String,
}

impl User {
    /// Everything up to and with `end`, from where the last call ended.
    fn see(&mut self, end: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(at) = self.seen.find(end) {
                return self.seen.drain(..at + end.len()).collect();
            }
            let mut ready = [PollFd::new(&self.terminal, PollFlags::IN)];
            poll_until(&mut ready, deadline);
            assert!(!ready[0].revents().is_empty(), "no {end:?} after {:?}", self.seen);
            let mut bytes = [0; 1024];
            let count = rustix::io::read(&self.terminal, &mut bytes).unwrap_or(0);
            assert!(count > 0, "the terminal was closed after {:?}, before {end:?}", self.seen);
            self.seen.push_str(core::str::from_utf8(&bytes[..count]).unwrap());
        }
    }

    fn types(&self, line: &str) {
        assert_eq!(rustix::io::write(&self.terminal, line.as_bytes()), Ok(line.len()));
    }
}

/// An operator at a terminal of its own, and its user.
fn operator(device: &str) -> (std::process::Child, User) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let path = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    let line = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let operator = Command::new(env!("CARGO_BIN_EXE_ivshmem-peer"))
        .args(["operator", "--device", device])
        .stdin(line.try_clone().unwrap())
        .stdout(line)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    (operator, User { terminal, seen: String::new() })
}

#[test]
fn ctrl_c_ends_the_session_tells_the_other_side_and_says_the_counts() {
    let file = memory_file(65536);
    with_responder(&file.device, Behaviour::default(), || {
        let (mut operator, mut user) = operator(&file.device);
        user.see("> ");
        user.types("ping 1\n");
        user.see("> ");
        // A terminal that is not the process's own sends no signal: what Ctrl-C does is sent by hand.
        let id = rustix::process::Pid::from_child(&operator);
        rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
        assert!(user.see(" restarts=0\r\n").starts_with("\r\noperator: end commands=1 responses=1 "));
        assert_eq!(operator.wait().unwrap().code(), Some(130));
        let dump = stdout(&peer(&["dump", "--device", &file.device]));
        let second = dump.lines().find(|line| line.starts_with("dump: end second")).unwrap();
        assert!(second.contains(" state=closed "), "{second}");
    });
}

#[test]
fn a_line_too_long_for_a_message_does_not_end_the_session() {
    let file = memory_file(65536);
    with_responder(&file.device, Behaviour::default(), || {
        let (mut operator, mut user) = operator(&file.device);
        user.see("> ");
        user.types(&format!("ping {}\n", "x".repeat(244)));
        assert!(user.see("> ").ends_with("\r\noperator: not sent: 249 bytes, a message has at most 248\r\n> "));
        user.types("ping 2\n");
        assert!(user.see("> ").ends_with("pong 2\r\n> "));
        user.types("quit\n");
        user.see(" restarts=0\r\n");
        assert_eq!(operator.wait().unwrap().code(), Some(1), "not everything that was typed was sent");
    });
}

#[test]
fn a_user_at_a_terminal_has_a_prompt_after_every_line_and_restarts_do_not_mix_with_it() {
    let file = memory_file(65536);
    let behaviour = Behaviour { restart_every: Some(3), ..Behaviour::default() };
    let ((), served) = with_responder(&file.device, behaviour, || {
        let (mut operator, mut user) = operator(&file.device);
        assert!(user.see(" peer=-\r\n> ").starts_with("operator: device "));
        user.types("ping 1\n");
        assert_eq!(user.see("> "), "ping 1\r\npong 1\r\n> ");
        user.types("\n");
        assert_eq!(user.see("> "), "\r\n> ");
        user.types("stop\n");
        assert_eq!(user.see("> "), "stop\r\nok stop\r\n> ");
        user.types("ping 2\n");
        let restarted = user.see("> ");
        assert!(restarted.starts_with("ping 2\r\noperator: restarted session="), "{restarted}");
        assert!(restarted.ends_with(" outstanding=1\r\npong 2\r\n> "), "{restarted}");
        user.types("quit\n");
        assert!(user.see(" restarts=1\r\n").starts_with("quit\r\nok quit\r\noperator: end commands=4 responses=4 "));
        assert_eq!(operator.wait().unwrap().code(), Some(0));
    });
    assert_eq!(served.commands, 5);
}
