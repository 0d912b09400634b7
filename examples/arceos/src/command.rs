//! What is done with a command, and its answer: text both, the commands of the image `control-loop`.

use crate::axis::{self, Axis, Cycles, SPEED_LIMIT};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::ControlFlow;

/// The longest answer, in bytes.
pub const MAX_LEN: usize = ivshmem::channel::COMMAND_RESPONSE[1].max_len() as usize;
/// The most that an answer repeats of a command.
const REPEATED: usize = 32;

/// Carries a command out; `Break` with the answer to the last one.
pub fn execute(command: &[u8]) -> ControlFlow<Vec<u8>, Vec<u8>> {
    let (name, argument) = split(command);
    let mut answer = match name {
        b"ping" => [b"pong", &command[name.len()..]].concat(),
        b"set-speed" => set_speed(argument).into_bytes(),
        b"stop" => {
            axis::set_target(0);
            b"ok stop".to_vec()
        }
        b"status" => status().into_bytes(),
        b"quit" => return ControlFlow::Break(b"ok quit".to_vec()),
        _ => [b"error unknown command: ", &command[..command.len().min(REPEATED)]].concat(),
    };
    answer.truncate(MAX_LEN);
    ControlFlow::Continue(answer)
}

fn set_speed(argument: &[u8]) -> String {
    let Some(rpm) = core::str::from_utf8(argument).ok().and_then(|text| text.parse::<i64>().ok()) else {
        return format!("error set-speed: not a number: {}", String::from_utf8_lossy(argument));
    };
    let limit = i64::from(SPEED_LIMIT);
    match i32::try_from(rpm) {
        Ok(within) if (-limit..=limit).contains(&rpm) => {
            axis::set_target(within);
            format!("ok set-speed {rpm}")
        }
        _ => format!("error set-speed: {rpm} is outside -{limit}..={limit}"),
    }
}

fn status() -> String {
    let Axis { target, speed, position, cycles: Cycles { due, missed } } = axis::now();
    format!("ok status target={target} speed={speed} position={position} cycles={due} missed={missed}")
}

/// The first word, and what follows the one space after it.
fn split(command: &[u8]) -> (&[u8], &[u8]) {
    match command.iter().position(|byte| *byte == b' ') {
        Some(space) => (&command[..space], &command[space + 1..]),
        None => (command, &[]),
    }
}
