//! A QEMU whose CPU does not run: the test makes the bus cycles, over QEMU's qtest protocol on standard input and output.

use ivshmem::pci::{Address, ConfigAccess};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;

const QEMU: &str = "qemu-system-x86_64";

/// A running QEMU, which ends with this value.
#[derive(Debug)]
pub struct Qemu {
    child: Child,
    pipes: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Qemu {
    /// Starts a machine without firmware having run; `None`, and a line that says so, where QEMU is not installed.
    pub fn start(machine: &str, arguments: &[&str]) -> Option<Self> {
        let mut command = Command::new(QEMU);
        command.args(["-M", machine, "-accel", "tcg", "-S", "-nodefaults", "-display", "none", "-m", "64"]);
        command.args(["-qtest", "stdio", "-qtest-log", "none"]).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // SAFETY: between fork and exec this makes one system call, and touches neither memory nor locks.
        unsafe {
            command.pre_exec(|| {
                rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
                Ok(())
            })
        };
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                eprintln!("SKIPPED: {QEMU} is not installed");
                return None;
            }
            Err(error) => panic!("{QEMU}: {error}"),
        };
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Some(Self { child, pipes: Mutex::new((stdin, stdout)) })
    }

    /// One command, and the value that it answers, 0 if none.
    fn ask(&self, command: &str) -> u64 {
        let mut pipes = self.pipes.lock().unwrap();
        writeln!(pipes.0, "{command}").expect("QEMU has ended: see its message above");
        let mut answer = String::new();
        pipes.1.read_line(&mut answer).unwrap();
        let value = answer.trim().strip_prefix("OK").unwrap_or_else(|| panic!("{command}: {answer:?}")).trim();
        match value.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).unwrap(),
            None => 0,
        }
    }

    /// One 32-bit read of physical memory.
    pub fn read32(&self, physical: u64) -> u32 {
        self.ask(&format!("readl {physical:#x}")) as u32
    }

    /// One 32-bit write of physical memory.
    pub fn write32(&self, physical: u64, value: u32) {
        self.ask(&format!("writel {physical:#x} {value:#x}"));
    }

    /// One 8-bit write to an I/O port.
    pub fn out8(&self, port: u16, value: u8) {
        self.ask(&format!("outb {port:#x} {value:#x}"));
    }

    /// One 32-bit read of an I/O port.
    pub fn in32(&self, port: u16) -> u32 {
        self.ask(&format!("inl {port:#x}")) as u32
    }

    /// One 32-bit write to an I/O port.
    pub fn out32(&self, port: u16, value: u32) {
        self.ask(&format!("outl {port:#x} {value:#x}"));
    }

    pub fn ports(&self) -> Ports<'_> {
        Ports(self)
    }

    /// Switches q35's ECAM on at `base`: PCIEXBAR of the host bridge, 256 MiB.
    pub fn ecam(&self, base: u64) -> Ecam<'_> {
        let host_bridge = Address::new(0, 0, 0, 0).unwrap();
        self.ports().write32(host_bridge, 0x64, (base >> 32) as u32);
        self.ports().write32(host_bridge, 0x60, base as u32 | 1);
        Ecam { qemu: self, base }
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing to do about an error then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Configuration mechanism #1.
pub struct Ports<'a>(&'a Qemu);

impl Ports<'_> {
    fn select(&self, address: Address, offset: u16) {
        let function = u32::from(address.device()) << 11 | u32::from(address.function()) << 8;
        let selected = 1 << 31 | u32::from(address.bus()) << 16 | function | u32::from(offset & 0xFC);
        self.0.ask(&format!("outl 0xcf8 {selected:#x}"));
    }
}

impl ConfigAccess for Ports<'_> {
    fn read32(&self, address: Address, offset: u16) -> u32 {
        self.select(address, offset);
        self.0.ask("inl 0xcfc") as u32
    }

    fn write32(&self, address: Address, offset: u16, value: u32) {
        self.select(address, offset);
        self.0.ask(&format!("outl 0xcfc {value:#x}"));
    }

    fn write16(&self, address: Address, offset: u16, value: u16) {
        self.select(address, offset);
        self.0.ask(&format!("outw {:#x} {value:#x}", 0xCFC + (offset & 2)));
    }
}

/// Memory-mapped configuration space.
pub struct Ecam<'a> {
    qemu: &'a Qemu,
    base: u64,
}

impl Ecam<'_> {
    fn at(&self, address: Address, offset: u16) -> u64 {
        let function = u64::from(address.device()) << 15 | u64::from(address.function()) << 12;
        self.base + (u64::from(address.bus()) << 20 | function | u64::from(offset))
    }
}

impl ConfigAccess for Ecam<'_> {
    fn read32(&self, address: Address, offset: u16) -> u32 {
        self.qemu.ask(&format!("readl {:#x}", self.at(address, offset & !3))) as u32
    }

    fn write32(&self, address: Address, offset: u16, value: u32) {
        self.qemu.ask(&format!("writel {:#x} {value:#x}", self.at(address, offset & !3)));
    }

    fn write16(&self, address: Address, offset: u16, value: u16) {
        self.qemu.ask(&format!("writew {:#x} {value:#x}", self.at(address, offset & !1)));
    }
}
