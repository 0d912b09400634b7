//! The limit of open descriptors: raised as far as it may be, and a clear word when that is not enough.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::raw::{Guarded, Raw};

/// The server's program with this soft and hard limit, and without the rights to raise the latter and to have any number of
/// descriptors in flight.
fn limited(limits: &str, arguments: &str, socket: &Path) -> Option<Guarded> {
    let script = format!("{limits}; exec \"$0\" -F --memfd -S \"$1\" {arguments}");
    let mut command = if rustix::process::geteuid().is_root() {
        if Command::new("setpriv").arg("--version").stdout(Stdio::null()).status().is_err() {
            eprintln!("skipped: without setpriv root cannot give up the right to raise the limit");
            return None;
        }
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set=-sys_resource,-sys_admin", "--inh-caps=-sys_resource,-sys_admin", "sh"]);
        command
    } else {
        Command::new("sh")
    };
    command.args(["-c", &script, env!("CARGO_BIN_EXE_ivshmem-server")]).arg(socket);
    Some(Guarded(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()))
}

#[test]
fn the_soft_limit_is_raised_to_the_hard_one() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    // Three clients with 300 vectors are 903 descriptors.
    let Some(mut server) = limited("ulimit -Sn 64; ulimit -Hn 1024", "-n 300", &socket) else { return };
    wait_ready(&mut server);
    let clients = [(); 3].map(|()| Raw::connect(&socket));
    for (id, client) in clients.iter().enumerate() {
        client.expect_greeting(id as i64);
    }
    end(server);
}

#[test]
fn a_limit_too_low_for_two_clients_is_an_error_with_both_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let Some(mut server) = limited("ulimit -n 1024", "-n 2048", &socket) else { return };
    let mut said = String::new();
    server.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(!server.0.wait().unwrap().success());
    assert!(said.contains("2048 vectors") && said.contains("limit is 1024"), "{said}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_client_for_whom_no_descriptors_are_left_is_sent_away_and_the_others_stay() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    // Enough for three clients with 30 vectors, not for four.
    let Some(mut server) = limited("ulimit -n 110", "-n 30", &socket) else { return };
    wait_ready(&mut server);
    let mut clients: Vec<_> = (0..3)
        .map(|id| {
            let client = Raw::connect(&socket);
            client.expect_greeting(id);
            (0..=id).for_each(|peer| drop(client.expect_vectors(peer, 30)));
            client
        })
        .collect();
    clients[0].expect_vectors(1, 30);
    clients[0].expect_vectors(2, 30);
    for _ in 0..20 {
        Raw::connect(&socket).expect_end();
    }
    // One leaves, so there is room again, and no id was spent on those sent away.
    drop(clients.remove(1));
    clients[0].expect(1, false);
    let next = Raw::connect(&socket);
    next.expect_greeting(3);
    let said = end(server);
    assert!(said.contains("it needs 31 file descriptors, more than are left of 110"), "{said}");
}

#[test]
fn where_not_even_a_connection_can_be_accepted_clients_are_sent_away_too() {
    // Each client takes two, so that under one of these limits the last one is left over, and under the other none.
    for limit in [60, 61] {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let Some(mut server) = limited(&format!("ulimit -n {limit}"), "-n 1", &socket) else { return };
        wait_ready(&mut server);
        let mut clients: Vec<Raw> = Vec::new();
        loop {
            let client = Raw::connect(&socket);
            if client.next().is_none() {
                break;
            }
            let id = i64::try_from(clients.len()).unwrap();
            client.expect(id, false);
            client.expect(-1, true);
            (0..=id).for_each(|peer| drop(client.expect_vectors(peer, 1)));
            clients.iter().for_each(|earlier| drop(earlier.expect_vectors(id, 1)));
            clients.push(client);
        }
        assert!(clients.len() >= 10, "{}", clients.len());
        for _ in 0..20 {
            Raw::connect(&socket).expect_end();
        }
        let id = i64::try_from(clients.len()).unwrap();
        clients.pop();
        clients[0].expect(id - 1, false);
        Raw::connect(&socket).expect_greeting(id);
        end(server);
    }
}

#[test]
fn clients_that_never_read_leave_the_others_room_for_descriptors_in_flight() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let Some(mut server) = limited("ulimit -n 1500", "-n 50", &socket) else { return };
    wait_ready(&mut server);
    let _asleep: Vec<_> = (0..25).map(|_| Raw::connect(&socket)).collect();
    let reader = Raw::connect(&socket);
    reader.expect_greeting(25);
    (0..=25).for_each(|peer| drop(reader.expect_vectors(peer, 50)));
    end(server);
}

fn wait_ready(server: &mut Guarded) {
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("ivshmem-server: ready"), "{line}");
}

/// Stops the server and returns what it said on the standard error.
fn end(mut server: Guarded) -> String {
    kill_process(Pid::from_child(&server.0), Signal::TERM).unwrap();
    let mut said = String::new();
    server.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(server.0.wait().unwrap().success(), "{said}");
    said
}
