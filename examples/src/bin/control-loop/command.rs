//! The operator's commands: text in, text out, nothing else.

use crate::axis::{Axis, SPEED_LIMIT};
use core::fmt::{self, Write};
use core::ops::ControlFlow;
use ivshmem_examples::response::Response;

/// How much of an unknown command the answer repeats, in bytes.
const REPEATED: usize = 32;

/// What `status` tells of the loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cycles {
    /// Cycles that were due so far.
    pub due: u64,
    /// Those of them that did not run, because an earlier one was late.
    pub missed: u64,
}

/// How axis and loop stand, in at most 112 bytes: `target=<rpm> speed=<rpm> position=<counts> cycles=<n> missed=<n>`.
#[derive(Clone, Copy, Debug)]
pub struct Status<'a>(pub &'a Axis, pub Cycles);

impl fmt::Display for Status<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(axis, Cycles { due, missed }) = self;
        let (target, speed, position) = (axis.target_rpm(), axis.speed_rpm(), axis.position());
        write!(f, "target={target} speed={speed} position={position} cycles={due} missed={missed}")
    }
}

/// Carries a command out and writes its answer; `Break` after `quit`.
///
/// The answer to any command fits a response, cut at its end if the command's text is too long to repeat.
pub fn execute(command: &[u8], axis: &mut Axis, cycles: Cycles, response: &mut Response) -> ControlFlow<()> {
    let (name, argument) = split(command);
    match name {
        b"ping" => {
            response.append(b"pong");
            response.append(&command[name.len()..]);
        }
        b"set-speed" => set_speed(argument, axis, response),
        b"stop" => {
            axis.set_target(0);
            response.append(b"ok stop");
        }
        b"status" => {
            // Shorter than a response, whatever the numbers.
            let _ = write!(response, "ok status {}", Status(axis, cycles));
        }
        b"quit" => {
            response.append(b"ok quit");
            return ControlFlow::Break(());
        }
        _ => {
            response.append(b"error unknown command: ");
            response.append(&command[..command.len().min(REPEATED)]);
        }
    }
    ControlFlow::Continue(())
}

fn set_speed(argument: &[u8], axis: &mut Axis, response: &mut Response) {
    match core::str::from_utf8(argument).ok().and_then(|text| number(text).map(|rpm| (text, rpm))) {
        None => {
            response.append(b"error set-speed: not a number: ");
            response.append(argument);
        }
        Some((_, Some(rpm))) if (-SPEED_LIMIT..=SPEED_LIMIT).contains(&rpm) => {
            axis.set_target(rpm);
            // Shorter than a response.
            let _ = write!(response, "ok set-speed {rpm}");
        }
        Some((text, _)) => {
            response.append(b"error set-speed: ");
            response.append(&text.as_bytes()[..text.len().min(REPEATED)]);
            // Shorter than the rest of a response.
            let _ = write!(response, " is outside {}..={SPEED_LIMIT}", -SPEED_LIMIT);
        }
    }
}

/// `None`: not a decimal number. `Some(None)`: one beyond an `i32`.
fn number(text: &str) -> Option<Option<i32>> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())
}

/// The first word, and what follows the one space after it.
fn split(command: &[u8]) -> (&[u8], &[u8]) {
    match command.iter().position(|byte| *byte == b' ') {
        Some(space) => (&command[..space], &command[space + 1..]),
        None => (command, &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(axis: &mut Axis, command: &[u8]) -> (String, bool) {
        let mut response = Response::new();
        let ends = execute(command, axis, Cycles { due: 7, missed: 2 }, &mut response).is_break();
        (String::from_utf8_lossy(response.bytes()).into_owned(), ends)
    }

    #[test]
    fn every_command_has_its_answer() {
        let mut axis = Axis::new();
        for (command, expected, target) in [
            ("ping over there", "pong over there", 0),
            ("ping", "pong", 0),
            ("set-speed 1200", "ok set-speed 1200", 1200),
            ("set-speed 3001", "error set-speed: 3001 is outside -3000..=3000", 1200),
            ("set-speed -3000", "ok set-speed -3000", -3000),
            ("set-speed -99999999999", "error set-speed: -99999999999 is outside -3000..=3000", -3000),
            ("set-speed fast", "error set-speed: not a number: fast", -3000),
            ("set-speed", "error set-speed: not a number: ", -3000),
            ("stop", "ok stop", 0),
            ("status", "ok status target=0 speed=0 position=0 cycles=7 missed=2", 0),
            ("", "error unknown command: ", 0),
            ("reboot now", "error unknown command: reboot now", 0),
        ] {
            assert_eq!(answer(&mut axis, command.as_bytes()), (expected.to_string(), false), "{command}");
            assert_eq!(axis.target_rpm(), target, "{command}");
        }
    }

    #[test]
    fn quit_answers_and_ends() {
        assert_eq!(answer(&mut Axis::new(), b"quit"), ("ok quit".to_string(), true));
    }

    #[test]
    fn an_unknown_command_is_repeated_to_32_bytes_whatever_they_are() {
        let mut response = Response::new();
        assert!(execute(&[0xFF; 248], &mut Axis::new(), Cycles::default(), &mut response).is_continue());
        assert_eq!(response.bytes(), [b"error unknown command: ".as_slice(), &[0xFF; 32]].concat());
    }

    #[test]
    fn an_answer_never_exceeds_a_response() {
        for command in [["set-speed ", &"x".repeat(238)].concat(), ["set-speed ", &"9".repeat(238)].concat()] {
            let (text, _) = answer(&mut Axis::new(), command.as_bytes());
            assert!(text.len() <= 248 && text.starts_with("error set-speed: "), "{text}");
        }
    }
}
