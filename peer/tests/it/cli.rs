//! The command line: output, errors, exit codes.

use ivshmem_server::{Options, Running};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

pub fn peer(arguments: &[&str]) -> Output {
    peer_with_input(arguments, b"")
}

pub fn peer_with_input(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ivshmem-peer"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Whoever ends without reading its input closes it: no failure here.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

/// A file of shared memory, and its name as a device.
pub struct MemoryFile {
    file: tempfile::NamedTempFile,
    pub device: String,
}

impl MemoryFile {
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    pub fn truncate(&self) {
        self.file.as_file().set_len(0).unwrap();
    }
}

pub fn memory_file(size: u64) -> MemoryFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(size).unwrap();
    let device = format!("file:{}", file.path().display());
    MemoryFile { file, device }
}

/// A server whose socket is in this folder, and its name as a device.
pub fn server(folder: &tempfile::TempDir, vectors: u16, first_id: u16) -> (Running, String) {
    let options = Options { vectors, first_id, size: 1 << 20, ..Options::new(folder.path().join("socket")) };
    let server = Running::start(options, |_| {}).unwrap();
    let device = format!("socket:{}", server.socket().display());
    (server, device)
}

/// The number after `name=` in a line.
pub fn field(line: &str, name: &str) -> u64 {
    let start = line.find(&format!(" {name}=")).unwrap_or_else(|| panic!("{name} in {line}"));
    line[start..].trim_start().split([' ', '=']).nth(1).unwrap().parse().unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn help_of_every_sub_command_has_examples_and_the_exit_codes_are_written_down() {
    let help = stdout(&peer(&["--help"]));
    assert!(help.contains("Exit codes:") && help.contains("Examples:"), "{help}");
    for command in ["list", "operator", "send", "recv", "ring", "dump", "chaos", "sample", "call", "stream", "stats"] {
        assert!(help.contains(&format!("\n  {command} ")), "{help}");
        let output = peer(&[command, "--help"]);
        assert!(stdout(&output).contains("Example"), "{}", stdout(&output));
        assert_eq!(output.status.code(), Some(0));
    }
}

#[test]
fn list_ends_with_the_number_of_devices() {
    let output = peer(&["list"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let lines: Vec<String> = stdout(&output).lines().map(str::to_owned).collect();
    assert_eq!(lines.last().unwrap(), &format!("list: end devices={}", lines.len() - 1));
}

#[test]
fn a_wrong_command_line_is_exit_code_2_with_the_wrong_value() {
    for (arguments, value) in [
        (&["ring", "--peer", "65536"][..], "65536"),
        (&["ring", "--peer", "1", "--device", "uio:1"], "uio:1"),
        (&["rung"], "rung"),
        (&["dump", "--offset", "0x1007"], "0x1007"),
    ] {
        let output = peer(arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(value), "{}", stderr(&output));
    }
}

#[test]
fn a_device_that_cannot_be_opened_is_exit_code_3_with_its_name() {
    for device in ["file:no/such/file", "socket:no/such/socket", "sysfs:ffff:ff:1f.7", "vfio:ffff:ff:1f.7"] {
        let output = peer(&["ring", "--peer", "1", "--device", device]);
        assert_eq!(output.status.code(), Some(3));
        let name = device.split_once(':').unwrap().1;
        assert!(stderr(&output).starts_with("ivshmem-peer: ") && stderr(&output).contains(name), "{}", stderr(&output));
    }
}

#[test]
fn ringing_where_there_is_no_doorbell_is_exit_code_1() {
    let file = memory_file(4096);
    let output = peer(&["ring", "--peer", "1", "--device", &file.device]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stderr(&output), format!("ivshmem-peer: {}: this device has no doorbell\n", file.device));
}

#[test]
fn memory_too_small_for_the_mailbox_is_exit_code_1_with_both_sizes() {
    let file = memory_file(0xa000 - 8);
    for arguments in [&["operator", "--commands", "1"][..], &["send", "x"], &["recv"], &["dump"]] {
        let output = peer(&[arguments, &["--device", &file.device]].concat());
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        assert!(stderr(&output).contains("40960") && stderr(&output).contains("40952"), "{}", stderr(&output));
    }
    assert!(std::fs::read(file.path()).unwrap().iter().all(|byte| *byte == 0), "the memory is untouched");
}

#[test]
fn a_message_that_is_too_long_is_exit_code_2_with_its_length() {
    let file = memory_file(65536);
    let output = peer(&["send", "--device", &file.device, &"x".repeat(249)]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("249 bytes, a message has at most 248"), "{}", stderr(&output));
}

#[test]
fn a_file_truncated_under_the_operator_ends_in_a_message_and_exit_code_7_not_a_signal() {
    let file = memory_file(65536);
    let mut operator = Command::new(env!("CARGO_BIN_EXE_ivshmem-peer"))
        .args(["operator", "--device", &file.device])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = std::io::BufReader::new(operator.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    assert!(line.starts_with("operator: device "), "{line}");
    file.truncate();
    let output = operator.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{:?}", output.status);
    let message = stderr(&output);
    assert!(message.starts_with("ivshmem-peer: bus error at address 0x"), "{message}");
    assert!(
        message.ends_with(&format!(": the memory of {} was truncated or its device is gone\n", file.device)),
        "{message}"
    );
}

#[test]
fn output_that_nobody_reads_ends_the_command_without_a_panic() {
    let file = memory_file(65536);
    let mut dump = Command::new(env!("CARGO_BIN_EXE_ivshmem-peer"))
        .args(["dump", "--device", &file.device])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    drop(dump.stdout.take());
    let output = dump.wait_with_output().unwrap();
    // Written before the reader was gone, or refused: never a signal.
    assert!(matches!(output.status.code(), Some(0 | 1)), "{:?} {}", output.status, stderr(&output));
}
