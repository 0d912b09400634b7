//! The server with the real thing: `qemu-system-x86_64` and its `ivshmem-doorbell`, driven through qtest.
//!
//! No guest runs: the test plays the guest's part, by reading and writing ports and memory. Skipped, and saying so,
//! where QEMU is not installed.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use ivshmem_server::client::News;
use ivshmem_server::{Client, Options};

use crate::raw::{Guarded, LIMIT, Rig, news, rung};

const PROGRAM: &str = "qemu-system-x86_64";

/// Where the test puts the BARs and lets interrupts write to.
const BAR0: u64 = 0xe000_0000;
const BAR1: u64 = 0xe010_0000;
const BAR2: u64 = 0x10_0000_0000;
const INTERRUPTS: u64 = 0x10_0000;

/// A QEMU with an ivshmem-doorbell device in slot 4.
struct Qemu {
    _child: Guarded,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Qemu {
    /// `None`, and a word on the standard error, where QEMU is not installed.
    fn start(socket: &Path, vectors: u16) -> Option<Self> {
        if Command::new(PROGRAM).arg("--version").stdout(Stdio::null()).status().is_err() {
            eprintln!("skipped: {PROGRAM} is not installed");
            return None;
        }
        let mut child = Command::new(PROGRAM)
            .args(["-M", "q35", "-accel", "tcg", "-S", "-m", "16", "-nographic", "-nodefaults"])
            .args(["-qtest", "stdio", "-qtest-log", "none"])
            .args(["-chardev", &format!("socket,path={},id=server", socket.display())])
            .args(["-device", &format!("ivshmem-doorbell,vectors={vectors},chardev=server,addr=4.0")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let commands = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Some(Self { _child: Guarded(child), commands, answers })
    }

    /// One qtest command and its answer.
    fn ask(&mut self, command: &str) -> String {
        writeln!(self.commands, "{command}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let answer = line.trim_end().strip_prefix("OK").unwrap_or_else(|| panic!("{command}: {line:?}"));
        answer.trim().to_owned()
    }

    fn value(&mut self, command: &str) -> u64 {
        let answer = self.ask(command);
        u64::from_str_radix(answer.trim_start_matches("0x"), 16).unwrap()
    }

    fn config(&mut self, offset: u32) -> u64 {
        self.ask(&format!("outl 0xcf8 {:#x}", 0x8000_2000 | offset));
        self.value("inl 0xcfc")
    }

    fn set_config(&mut self, offset: u32, value: u64) {
        self.ask(&format!("outl 0xcf8 {:#x}", 0x8000_2000 | offset));
        self.ask(&format!("outl 0xcfc {value:#x}"));
    }

    /// Puts the BARs in place and returns the size of BAR2.
    fn set_up(&mut self) -> u64 {
        assert_eq!(self.config(0), 0x1110_1af4, "the device is in slot 4");
        self.set_config(0x18, 0xffff_ffff);
        self.set_config(0x1c, 0xffff_ffff);
        let mask = self.config(0x18) & !0xf | self.config(0x1c) << 32;
        self.set_config(0x10, BAR0);
        self.set_config(0x14, BAR1);
        self.set_config(0x18, BAR2 & 0xffff_ffff);
        self.set_config(0x1c, BAR2 >> 32);
        // Memory space and bus master.
        self.set_config(0x4, 0x6);
        !mask + 1
    }

    /// Lets every vector write its own number plus one to RAM, and enables MSI-X.
    fn enable_interrupts(&mut self, vectors: u64) {
        for vector in 0..vectors {
            let entry = BAR1 + 16 * vector;
            self.ask(&format!("writel {entry:#x} {:#x}", INTERRUPTS + 4 * vector));
            self.ask(&format!("writel {:#x} 0", entry + 4));
            self.ask(&format!("writel {:#x} {:#x}", entry + 8, vector + 1));
            self.ask(&format!("writel {:#x} 0", entry + 12));
        }
        let capability = self.config(0x40);
        self.set_config(0x40, capability | 1 << 31);
    }

    /// Waits until this vector has interrupted. Each look is a round trip through QEMU's main loop, which delivers.
    fn wait_interrupt(&mut self, vector: u64) {
        let start = Instant::now();
        while self.value(&format!("readl {:#x}", INTERRUPTS + 4 * vector)) != vector + 1 {
            assert!(start.elapsed() < LIMIT, "vector {vector} did not interrupt");
        }
    }

    fn id(&mut self) -> u64 {
        self.value(&format!("readl {:#x}", BAR0 + 8))
    }

    fn ring(&mut self, peer: u64, vector: u64) {
        self.ask(&format!("writel {:#x} {:#x}", BAR0 + 12, peer << 16 | vector));
    }
}

fn host(rig: &Rig, vectors: usize) -> Client {
    let mut host = Client::connect(rig.server.socket()).unwrap();
    while host.vectors().len() < vectors {
        news(&mut host);
    }
    host
}

/// Waits until the host has all vectors of the peer.
fn wait_for_peer(host: &mut Client, peer: u16, vectors: usize) {
    while !host.peers().any(|known| known == (peer, vectors)) {
        news(host);
    }
}

#[test]
fn two_qemus_and_a_host_process_share_memory_and_ring_each_other() {
    let rig = Rig::with(|options| Options { vectors: 4, size: 1 << 20, first_id: 40, ..options });
    let mut host = host(&rig, 4);
    let Some(mut first) = Qemu::start(rig.server.socket(), 4) else { return };
    assert_eq!(first.set_up(), 1 << 20, "BAR2 has the memory's size");
    assert_eq!(first.id(), 41);
    let mut second = Qemu::start(rig.server.socket(), 4).unwrap();
    second.set_up();
    assert_eq!(second.id(), 42);
    for qemu in [&mut first, &mut second] {
        qemu.enable_interrupts(4);
    }
    wait_for_peer(&mut host, 41, 4);
    wait_for_peer(&mut host, 42, 4);

    first.ask(&format!("writeq {:#x} 0x1122334455667788", BAR2 + (1 << 20) - 8));
    assert_eq!(second.value(&format!("readq {:#x}", BAR2 + (1 << 20) - 8)), 0x1122_3344_5566_7788);
    let mut seen = [0; 8];
    assert_eq!(rustix::io::pread(host.memory_fd(), &mut seen, (1 << 20) - 8), Ok(8));
    assert_eq!(u64::from_le_bytes(seen), 0x1122_3344_5566_7788);

    for vector in 0..4 {
        first.ring(40, vector);
        assert_eq!(rung(&host.vectors()[vector as usize]), 1);
        host.ring(42, vector as u16).unwrap();
        second.wait_interrupt(vector);
    }
    let start = Instant::now();
    while second.value(&format!("readl {INTERRUPTS:#x}")) != 0 {
        second.ask(&format!("writel {INTERRUPTS:#x} 0"));
        assert!(start.elapsed() < LIMIT);
    }
    first.ring(42, 0);
    second.wait_interrupt(0);

    // Killed, it is gone for the others; started again, it has another id.
    drop(first);
    while news(&mut host) != (News::PeerLeft { peer: 41 }) {}
    let mut again = Qemu::start(rig.server.socket(), 4).unwrap();
    again.set_up();
    assert_eq!(again.id(), 43);
}

#[test]
fn a_qemu_takes_2048_vectors_and_an_id_of_65535() {
    let rig = Rig::with(|options| Options { vectors: 2048, first_id: 65535, ..options });
    let Some(mut qemu) = Qemu::start(rig.server.socket(), 2048) else { return };
    qemu.set_up();
    assert_eq!(qemu.id(), 65535);
    let mut host = host(&rig, 2048);
    assert_eq!(host.id(), 0);
    wait_for_peer(&mut host, 65535, 2048);
    qemu.enable_interrupts(1);
    host.ring(65535, 0).unwrap();
    qemu.wait_interrupt(0);
}
