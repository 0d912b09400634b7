//! QEMU's monitor: what a host does to a running machine.

use crate::qtest::Qemu;
use crate::site::LIMIT;
use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use tempfile::TempDir;

/// A connection to the monitor. Its answers are looked at as text: the few that matter have words of their own.
#[derive(Debug)]
pub struct Monitor {
    socket: BufReader<UnixStream>,
    events: Vec<String>,
    _folder: TempDir,
}

/// A machine with a monitor; `None` where QEMU is not installed.
pub fn start(machine: &str, arguments: &str) -> Option<(Qemu, RefCell<Monitor>)> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("monitor");
    let monitor = format!("unix:{},server=on,wait=off", path.display());
    let arguments: Vec<&str> = ["-qmp", &monitor].into_iter().chain(arguments.split_whitespace()).collect();
    let qemu = Qemu::start(machine, &arguments)?;
    // QEMU has made its sockets before it answers this.
    qemu.read32(0);
    let socket = UnixStream::connect(path).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let mut monitor = Monitor { socket: BufReader::new(socket), events: Vec::new(), _folder: folder };
    assert!(monitor.read().contains("\"QMP\""));
    monitor.ask("qmp_capabilities", "").unwrap();
    Some((qemu, RefCell::new(monitor)))
}

impl Monitor {
    /// Gives a command with these members of its arguments; the error is what QEMU says of it.
    pub fn ask(&mut self, command: &str, arguments: &str) -> Result<String, String> {
        writeln!(self.socket.get_mut(), "{{\"execute\": \"{command}\", \"arguments\": {{{arguments}}}}}").unwrap();
        loop {
            let line = self.read();
            if line.starts_with("{\"return\"") {
                return Ok(line);
            }
            if line.starts_with("{\"error\"") {
                return Err(line);
            }
            self.events.push(line);
        }
    }

    /// Waits until QEMU says that the device is deleted.
    #[track_caller]
    pub fn deleted(&mut self, device: &str) {
        let is_it =
            |line: &str| line.contains("\"DEVICE_DELETED\"") && line.contains(&format!("\"device\": \"{device}\""));
        while !self.events.drain(..).any(|line| is_it(&line)) {
            let line = self.read();
            self.events.push(line);
        }
    }

    fn read(&mut self) -> String {
        let mut line = String::new();
        assert!(self.socket.read_line(&mut line).unwrap() > 0, "QEMU has ended: see its message above");
        line
    }
}
