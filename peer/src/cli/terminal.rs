//! What the user types and sees: lines from standard input, without ever waiting for one, and a prompt.

use crate::cli::Failure;
use rustix::event::{PollFd, PollFlags};
use rustix::fd::{AsFd, BorrowedFd};
use std::io::{IsTerminal, Stdin, Write};
use std::time::Instant;

/// Standard input, read directly: what is not a whole line yet waits here.
#[derive(Debug)]
pub(super) struct Terminal {
    stdin: Stdin,
    bytes: Vec<u8>,
    ended: bool,
}

/// What there is to read now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line, without its end.
    Complete(Vec<u8>),
    /// Nothing yet.
    None,
    /// The input has ended.
    End,
}

impl Terminal {
    pub(super) fn new() -> Self {
        Self { stdin: std::io::stdin(), bytes: Vec::new(), ended: false }
    }

    /// The next line, if it is there already.
    pub(super) fn read(&mut self) -> Result<Line, Failure> {
        if let Some(line) = take_line(&mut self.bytes) {
            return Ok(Line::Complete(line));
        }
        if self.ended {
            let rest = core::mem::take(&mut self.bytes);
            return Ok(if rest.is_empty() { Line::End } else { Line::Complete(rest) });
        }
        let mut ready = [PollFd::new(&self.stdin, PollFlags::IN)];
        ivshmem_peer::poll_until(&mut ready, Instant::now());
        if ready[0].revents().is_empty() {
            return Ok(Line::None);
        }
        let mut chunk = [0; 4096];
        match rustix::io::read(&self.stdin, &mut chunk) {
            Ok(0) => self.ended = true,
            Ok(count) => self.bytes.extend_from_slice(&chunk[..count]),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => return Ok(Line::None),
            Err(errno) => {
                let error = std::io::Error::from(errno);
                return Err(Failure::Failed(format!("cannot read standard input: {error}")));
            }
        }
        self.read()
    }
}

impl AsFd for Terminal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stdin.as_fd()
    }
}

/// Standard output, with a prompt where somebody sits at a terminal.
#[derive(Debug)]
pub(super) struct Screen {
    interactive: bool,
    /// The cursor stands behind a prompt.
    prompted: bool,
}

impl Screen {
    /// Shows no prompt: nobody types.
    pub(super) fn plain() -> Self {
        Self { interactive: false, prompted: false }
    }

    /// Shows a prompt if a user types.
    pub(super) fn of_user() -> Self {
        Self { interactive: std::io::stdin().is_terminal(), prompted: false }
    }

    /// One line, and the prompt after it if the next command may be typed now.
    ///
    /// All in one write: whoever answers the line finds the prompt there already.
    pub(super) fn say(&mut self, line: &str, may_type: bool) -> Result<(), Failure> {
        let mut text = String::new();
        if self.prompted {
            text.push('\n');
        }
        text.push_str(line);
        text.push('\n');
        self.prompted = self.interactive && may_type;
        if self.prompted {
            text.push_str("> ");
        }
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|_| Failure::NoReader)
    }

    /// The user ended his line, and with it the prompt's.
    pub(super) fn entered(&mut self) {
        self.prompted = false;
    }

    /// The user typed nothing: the prompt once more.
    pub(super) fn prompt(&mut self) -> Result<(), Failure> {
        if !self.interactive {
            return Ok(());
        }
        self.prompted = true;
        let mut out = std::io::stdout().lock();
        out.write_all(b"> ").and_then(|()| out.flush()).map_err(|_| Failure::NoReader)
    }
}

/// Takes the first line, with neither its newline nor a carriage return before it.
fn take_line(bytes: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let mut line: Vec<u8> = bytes.drain(..=end).collect();
    line.pop();
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_one_by_one_and_a_part_of_one_waits() {
        let mut bytes = b"ping 1\r\n\nsta".to_vec();
        assert_eq!(take_line(&mut bytes).unwrap(), b"ping 1");
        assert_eq!(take_line(&mut bytes).unwrap(), b"");
        assert_eq!(take_line(&mut bytes), None);
        bytes.extend_from_slice(b"tus\n");
        assert_eq!(take_line(&mut bytes).unwrap(), b"status");
    }
}
