//! The command line: output, errors, exit codes.

use std::process::{Command, Output};

pub fn peer(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ivshmem-peer")).args(arguments).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn help_of_every_sub_command_has_examples_and_the_exit_codes_are_written_down() {
    let help = stdout(&peer(&["--help"]));
    assert!(help.contains("Exit codes:") && help.contains("Examples:"), "{help}");
    for command in ["list", "ring"] {
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
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(4096).unwrap();
    let device = format!("file:{}", file.path().display());
    let output = peer(&["ring", "--peer", "1", "--device", &device]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stderr(&output), format!("ivshmem-peer: {device}: this device has no doorbell\n"));
}
