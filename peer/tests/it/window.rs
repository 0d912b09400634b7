//! A command line that asks for what its own list of channels does not have.

use crate::cli::{memory_file, peer, stderr};

const LIST: &str =
    "queuing:second:8x56,sampling:second:24,request:second:8x56,response:first:8x56,queuing:second:8x56:protected=7";

#[test]
fn a_channel_that_cannot_be_is_exit_code_2_and_no_session_is_begun_for_it() {
    let file = memory_file(1 << 16);
    let long = "x".repeat(57);
    let only_samples = ["--channels", "sampling:first:8"];
    for (arguments, said) in [
        (&["call", "--request", "0", "--response", "3", "1"][..], "channel 0 is a Queuing channel"),
        (&["call", "--request", "2", "--response", "5", "1"], "there is no channel 5: the mailbox has 5"),
        (&["call", "--request", "2", "--response", "3", "--end", "first", "1"], "channel 2 is sent by the Second end"),
        (&["call", "--request", "2", "--response", "3", "1", &long[..41]], "41 bytes, a message has at most 40"),
        (&["stream", "--send", "1"], "channel 1 is a Sampling channel"),
        (&["stream", "--send", "4"], "channel 4 is a protected Queuing channel"),
        (&["stream", "--receive", "0"], "channel 0 is sent by the Second end"),
        (&["stream", only_samples[0], only_samples[1]], "the mailbox has no unprotected queuing channel"),
        (&["sample", "write", "--channel", "0", "x"], "channel 0 is a Queuing channel"),
        (&["sample", "write", "--channel", "1", "--end", "first", "x"], "channel 1 is sent by the Second end"),
        (&["sample", "write", "--channel", "1", &long[..25]], "25 bytes, a message has at most 24"),
        (&["sample", "read", "--channel", "9", "--from", "second"], "there is no channel 9"),
        (&["sample", "watch", "--channel", "1"], "channel 1 is sent by the Second end"),
        (&["chaos", "stamp", "--channel", "5"], "there is no channel 5"),
        (&["chaos", "stamp", "--everywhere"], "--everywhere is for scribble"),
    ] {
        let list = if arguments.contains(&"--channels") { &[][..] } else { &["--channels", LIST] };
        let output = peer(&[arguments, list, &["--device", &file.device]].concat());
        assert!(stderr(&output).contains(said), "{arguments:?}: {}", stderr(&output));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(std::fs::read(file.path()).unwrap().iter().all(|byte| *byte == 0), "{arguments:?}");
    }
}
