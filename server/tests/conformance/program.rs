//! The program: its line, its signals, its background.

use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

use crate::raw::{Guarded, Raw, SharedMemoryName, wait_readable};

/// A server in the foreground.
struct Foreground {
    child: Guarded,
    line: String,
}

impl Foreground {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child: Guarded(child), line }
    }

    /// Sends the signal and returns what was said on the standard error.
    fn end(mut self, signal: Signal) -> String {
        kill_process(Pid::from_child(&self.child.0), signal).unwrap();
        let mut said = String::new();
        self.child.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(self.child.0.wait().unwrap().success(), "{said}");
        said
    }
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_ivshmem-server"))
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    program().current_dir(folder).args(arguments).output().unwrap()
}

/// A server in the background, by a descriptor of its process, ended with the test.
struct Background(OwnedFd);

impl Drop for Background {
    fn drop(&mut self) {
        let _ended_already = pidfd_send_signal(&self.0, Signal::KILL);
    }
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn it_says_when_it_is_ready_and_removes_what_it_made_on_sigterm_and_sigint() {
    for signal in [Signal::TERM, Signal::INT] {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let name = SharedMemoryName::new(&format!("program-{}", signal.as_raw()));
        let server = Foreground::start(program().args(["-F", "-l", "8G", "-n", "3", "-M", &name.0, "-S"]).arg(&socket));
        let expected = format!("ivshmem-server: ready socket={} size={} vectors=3\n", socket.display(), 8_u64 << 30);
        assert_eq!(server.line, expected);
        let client = Raw::connect(&socket);
        client.expect_greeting(0);
        client.expect_vectors(0, 3);
        assert!(name.path().exists());
        assert_eq!(server.end(signal), "");
        assert!(is_empty(folder.path()));
        assert!(!name.path().exists());
    }
}

#[test]
fn verbose_tells_who_comes_and_goes() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let server = Foreground::start(program().args(["-F", "-v", "--memfd", "--first-id", "7", "-S"]).arg(&socket));
    let watcher = Raw::connect(&socket);
    watcher.expect_greeting(7);
    watcher.expect(7, true);
    drop(Raw::connect(&socket));
    // The next one is served after that one has left.
    let last = Raw::connect(&socket);
    last.expect_greeting(9);
    let said = server.end(Signal::TERM);
    for line in ["client 7 joined", "client 8 joined", "client 9 joined"] {
        assert!(said.contains(line), "{said}");
    }
}

#[test]
fn it_serves_on_when_nobody_listens_to_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let mut server = Foreground::start(program().args(["-F", "-v", "--memfd", "-S"]).arg(&socket));
    drop(server.child.0.stderr.take());
    for id in 0..3 {
        Raw::connect(&socket).expect_greeting(id);
    }
    kill_process(Pid::from_child(&server.child.0), Signal::TERM).unwrap();
    assert!(server.child.0.wait().unwrap().success());
}

#[test]
fn a_killed_server_s_socket_and_memory_do_not_keep_the_next_one_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let name = SharedMemoryName::new("killed");
    let start = || Foreground::start(program().args(["-F", "-M", &name.0, "-S"]).arg(&socket));
    drop(start());
    assert!(socket.exists() && name.path().exists(), "it was killed, so nobody removed them");
    let second = start();
    assert!(second.line.starts_with("ivshmem-server: ready"));
    Raw::connect(&socket).expect_greeting(0);
    second.end(Signal::TERM);
    assert!(!socket.exists());
    assert!(name.path().exists(), "the second one had found it");
}

#[test]
fn the_umask_neither_widens_nor_narrows_the_modes() {
    use std::os::unix::fs::PermissionsExt;
    for (umask, arguments, mode) in [("000", "", 0o600), ("077", "--socket-mode 660 --memory-mode 660", 0o660)] {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let name = SharedMemoryName::new(&format!("umask-{umask}"));
        let script = format!("umask {umask}; exec \"$0\" -F -M \"$1\" -S \"$2\" {arguments}");
        let server = Foreground::start(
            Command::new("sh").args(["-c", &script, env!("CARGO_BIN_EXE_ivshmem-server"), &name.0]).arg(&socket),
        );
        for path in [&socket, &name.path()] {
            let got = std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
            assert_eq!(got, mode, "{got:o} {}", path.display());
        }
        server.end(Signal::TERM);
    }
}

#[test]
fn the_qemu_manual_s_command_line_serves_in_the_background() {
    let folder = tempfile::tempdir().unwrap();
    let name = SharedMemoryName::new("manual");
    let output = run(folder.path(), &["-p", "pidfile", "-S", "path", "-m", &name.0, "-l", "1M", "-n", "2"]);
    assert!(output.status.success(), "{output:?}");
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    // It serves already, and its pid file is there.
    let pid = std::fs::read_to_string(folder.path().join("pidfile")).unwrap();
    let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    let process = Background(pidfd_open(pid, PidfdFlags::empty()).unwrap());
    assert_eq!(std::fs::metadata(name.path()).unwrap().len(), 1 << 20);
    Raw::connect(folder.path().join("path")).expect_greeting(0);

    let second = run(folder.path(), &["-p", "pidfile", "-S", "path2", "-m", &name.0, "-l", "1M"]);
    assert!(!second.status.success());
    assert!(String::from_utf8_lossy(&second.stderr).contains("pid file pidfile belongs to a running server"));
    let third = run(folder.path(), &["-p", "pidfile3", "-S", "path", "-m", &name.0, "-l", "1M"]);
    assert!(!third.status.success());
    assert!(String::from_utf8_lossy(&third.stderr).contains("socket path belongs to a running server"));

    pidfd_send_signal(&process.0, Signal::TERM).unwrap();
    wait_readable(&process.0);
    assert!(is_empty(folder.path()));
    assert!(!name.path().exists());
}

#[test]
fn what_cannot_start_says_why_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, why) in [
        (&["-F", "--memfd", "-S", "s", "-l", "3M"][..], "size 3145728 is not a power of two"),
        (&["--memfd", "-S", "s", "-p", "p", "-l", "3M"], "size 3145728 is not a power of two"),
        (&["-F", "--memfd", "-S", "s", "-l", "1K"], "size 1024 is not a multiple of the page size"),
        (&["--memfd", "-S", "s", "-p", "p", "-v"], "-v needs -F"),
        (&["--memfd", "-S", "s", "-p", "no/such/folder/p"], "no/such/folder/p"),
    ] {
        let output = run(folder.path(), arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(said.contains(why), "{arguments:?}: {said}");
        assert!(is_empty(folder.path()), "{arguments:?}");
    }
}

#[test]
fn the_help_has_examples() {
    let output = program().arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    for part in ["-chardev socket,path=/tmp/ivshmem_socket", "-p <PID-FILE>", "/tmp/ivshmem_socket]", "--zero"] {
        assert!(help.contains(part), "{part}");
    }
}
