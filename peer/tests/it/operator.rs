//! The operator against a real-time side, over a file and over a server's socket with real doorbells.

use crate::cli::{field, memory_file, peer, peer_with_input, server, stderr, stdout};
use crate::responder::{Behaviour, with_responder};
use ivshmem_peer::{Purpose, Sysfs};
use std::io::BufRead;
use std::process::{Command, Output, Stdio};

/// The operator's last line, checked for what is always so.
fn end_line(output: &Output, commands: u64) -> String {
    let lines = stdout(output);
    let last = lines.lines().last().unwrap_or_default().to_owned();
    assert!(last.starts_with(&format!("operator: end commands={commands} ")), "{lines}\n{}", stderr(output));
    last
}

#[test]
fn operator_over_a_file_gets_every_response_right_by_polling() {
    let file = memory_file(65536);
    let run = || peer(&["operator", "--device", &file.device, "--commands", "700", "--quit"]);
    let (output, served) = with_responder(&file.device, Behaviour::default(), run);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let end = end_line(&output, 701);
    assert!(end.contains(" responses=701 wrong=0 "), "{end}");
    assert!(end.ends_with(" interrupts=0 doorbells=0 recovered_by_poll=0 restarts=0"), "{end}");
    let (min, median, max) = (field(&end, "rtt_ns_min"), field(&end, "rtt_ns_median"), field(&end, "rtt_ns_max"));
    assert!(0 < min && min <= median && median <= max, "{end}");
    assert_eq!((served.commands, served.responses), (701, 701));

    let lines: Vec<String> = stdout(&output).lines().map(str::to_owned).collect();
    let path = file.path().display();
    assert_eq!(lines[0], format!("operator: device {path} backend=file kind=plain id=- size=65536"));
    let session = lines[1].strip_prefix("operator: up session=").unwrap().strip_suffix(" peer=-").unwrap();
    assert_eq!(session.len(), 16, "{session}");
    // One of each kind of command is shown, for whoever watches.
    assert_eq!(lines[2], "operator: exchanged command=\"ping 0\" response=\"pong 0\"");
    assert_eq!(lines[6], "operator: exchanged command=\"launch-4\" response=\"error unknown command: launch-4\"");
    assert_eq!(lines.len(), 3 + 7);
}

#[test]
fn operator_over_a_socket_is_driven_by_interrupts_with_ids_that_are_not_0_and_1() {
    let folder = tempfile::tempdir().unwrap();
    let (server, device) = server(&folder, 2, 65534);
    let run = || peer(&["operator", "--device", &device, "--commands", "700", "--quit"]);
    let (output, served) = with_responder(&device, Behaviour::default(), run);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let lines = stdout(&output);
    assert!(lines.contains(" backend=socket kind=doorbell id=65535 size=1048576\n"), "{lines}");
    assert!(lines.contains(" peer=65534\n"), "{lines}");
    let end = end_line(&output, 701);
    assert!(end.contains(" responses=701 wrong=0 "), "{end}");
    // How many depends on who was asleep when; but the first command finds the responder asleep, sooner or later.
    assert!(field(&end, "doorbells") > 0 && served.interrupts > 0, "{end} {served:?}");
    assert!(field(&end, "interrupts") <= served.doorbells, "{end} {served:?}");
    assert!(u64::from(served.interrupts) <= field(&end, "doorbells"), "{end} {served:?}");
    server.stop().unwrap();
}

#[test]
fn operator_repeats_what_is_under_way_when_the_real_time_side_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, socket) = server(&folder, 1, 0);
    let file = memory_file(65536);
    for device in [&file.device, &socket] {
        let behaviour = Behaviour { restart_every: Some(50), ..Behaviour::default() };
        let run = || peer(&["operator", "--device", device, "--commands", "300"]);
        let (output, served) = with_responder(device, behaviour, run);
        assert_eq!(output.status.code(), Some(0), "{}\n{}", stdout(&output), stderr(&output));
        let end = end_line(&output, 300);
        // Every 50th command that the responder takes is lost with its session, and repeated: 300 answers need 306.
        assert!(end.contains(" responses=300 wrong=0 ") && end.ends_with(" restarts=6"), "{end}");
        assert_eq!((served.commands, served.responses), (306, 300));
        let restarts = stdout(&output).lines().filter(|line| line.starts_with("operator: restarted session=")).count();
        assert_eq!(restarts, 6, "{}", stdout(&output));
        assert_eq!(stdout(&output).matches(" outstanding=1\n").count(), 6, "{}", stdout(&output));
    }
}

#[test]
fn operator_does_not_repeat_what_could_do_harm_twice() {
    let file = memory_file(65536);
    let behaviour = Behaviour { restart_every: Some(2), ..Behaviour::default() };
    let run = || peer_with_input(&["operator", "--device", &file.device], b"ping 1\nlaunch\nping 2\n");
    let (output, served) = with_responder(&file.device, behaviour, run);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let lines = stdout(&output);
    assert!(lines.contains("\npong 1\n") && lines.contains("\npong 2\n"), "{lines}");
    assert!(lines.contains("\nno response: the real-time side restarted, the command may be lost\n"), "{lines}");
    assert!(lines.contains("operator: end commands=3 responses=2 wrong=0 "), "{lines}");
    assert_eq!(served.commands, 3, "launch was sent once");
}

#[test]
fn one_wrong_response_is_shown_and_is_exit_code_1() {
    let file = memory_file(65536);
    let behaviour = Behaviour { lie_at: Some(8), ..Behaviour::default() };
    let run = || peer(&["operator", "--device", &file.device, "--commands", "20"]);
    let (output, _) = with_responder(&file.device, behaviour, run);
    assert_eq!(output.status.code(), Some(1));
    let wrong = "operator: wrong command=\"ping 7\" expected=\"pong 7\" response=\"pong 7, or not\"\n";
    assert!(stdout(&output).contains(wrong), "{}", stdout(&output));
    assert!(end_line(&output, 20).contains(" responses=20 wrong=1 "));
    assert_eq!(stderr(&output), "ivshmem-peer: 1 of 20 responses were wrong\n");
}

#[test]
fn operator_shows_responses_to_what_is_typed_and_ends_with_its_input_or_after_quit() {
    let file = memory_file(65536);
    let typed = b"ping hello\n\nset-speed 9999\r\nstatus\nquit\nping never sent\n";
    let run = || peer_with_input(&["operator", "--device", &file.device], typed);
    let (output, served) = with_responder(&file.device, Behaviour::default(), run);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let lines = stdout(&output);
    let answers: Vec<&str> = lines.lines().filter(|line| !line.starts_with("operator: ")).collect();
    assert_eq!(
        answers,
        [
            "pong hello",
            "error set-speed: 9999 is outside -3000..=3000",
            "ok status target=0 speed=0 position=-1 cycles=3 missed=0",
            "ok quit"
        ]
    );
    assert_eq!(served.commands, 4);

    // Without a newline at the end, and without quit.
    let run = || peer_with_input(&["operator", "--device", &file.device], b"ping x");
    let (output, _) = with_responder(&file.device, Behaviour::default(), run);
    assert!(stdout(&output).contains("\npong x\noperator: end commands=1 "), "{}", stdout(&output));
}

#[test]
fn start_order_is_free() {
    let file = memory_file(65536);
    let operator = Command::new(env!("CARGO_BIN_EXE_ivshmem-peer"))
        .args(["operator", "--device", &file.device, "--commands", "10", "--quit"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let ((), served) = with_responder(&file.device, Behaviour::default(), || {
        let output = operator.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    });
    assert_eq!(served.responses, 11);
}

#[test]
fn a_thousand_doorbells_coalesce_and_no_message_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, device) = server(&folder, 1, 0);
    let run = || {
        let name = device.parse().unwrap();
        let storm = ivshmem_peer::open(Some(&name), Purpose::Access, &Sysfs::default()).unwrap();
        // The server announces all others before our own first vector.
        storm.vector(0).unwrap();
        for _ in 0..1000 {
            storm.ring(0, 0).unwrap();
        }
        peer(&["operator", "--device", &device, "--commands", "100", "--quit"])
    };
    let (output, served) = with_responder(&device, Behaviour::default(), run);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!((served.commands, served.responses), (101, 101));
}

#[test]
fn an_operator_killed_amid_its_commands_is_followed_by_one_with_a_new_id_and_no_stale_response() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, device) = server(&folder, 1, 9);
    let run = || {
        for id in [10, 11, 12] {
            let mut killed = Command::new(env!("CARGO_BIN_EXE_ivshmem-peer"))
                .args(["operator", "--device", &device, "--commands", "100000000"])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let lines = std::io::BufReader::new(killed.stdout.take().unwrap()).lines().map(Result::unwrap);
            let seen: Vec<String> = lines.take(2).collect();
            assert!(seen[0].contains(&format!(" id={id} ")) && seen[1].starts_with("operator: up "), "{seen:?}");
            killed.kill().unwrap();
            killed.wait().unwrap();
        }
        peer(&["operator", "--device", &device, "--commands", "100", "--quit"])
    };
    let (output, _) = with_responder(&device, Behaviour::default(), run);
    assert_eq!(output.status.code(), Some(0), "{}\n{}", stdout(&output), stderr(&output));
    assert!(end_line(&output, 101).contains(" responses=101 wrong=0 "));
    assert!(stdout(&output).contains(" id=13 "), "{}", stdout(&output));
}
