//! The command line: that of QEMU's server, and a little more.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Parser;
use ivshmem_server::{Memory, Options};

use crate::size;

const EXAMPLES: &str = "\
Examples:
  Two guests with 1 MiB and two interrupt vectors:
    ivshmem-server -F -S /tmp/ivshmem_socket -l 1M -n 2
    qemu-system-x86_64 ... -chardev socket,path=/tmp/ivshmem_socket,id=ivshmem \\
                           -device ivshmem-doorbell,vectors=2,chardev=ivshmem

  In the background, on huge pages, stopped by its pid file:
    ivshmem-server -p /run/user/1000/ivshmem.pid -S /run/user/1000/ivshmem -m /dev/hugepages -l 1G
    kill $(cat /run/user/1000/ivshmem.pid)

  Guests of the group kvm, and zeros in memory that an earlier run left behind:
    sg kvm -c 'ivshmem-server -F --socket-mode 660 --memory-mode 660 --zero'

Sizes are bytes, or have a suffix K, M, G or T (1K = 1024); they are powers of two. Numbers may be 0x... too.

SIGTERM and SIGINT end it. It then removes its socket, its pid file, and the shared memory if it made that; guests that
are running keep the memory and go on ringing each other. Prints `ivshmem-server: ready socket=... size=... vectors=...`
in the foreground when clients can connect; in the background, the command returns then.

Peer ids count up and are not given again while a guest runs that could have known the former owner.";

/// Lets QEMU's ivshmem-doorbell devices meet: gives each an id, the shared memory, and everybody's interrupts.
#[derive(Debug, Parser)]
#[command(name = "ivshmem-server", version, after_help = EXAMPLES, args_override_self = true, max_term_width = 120)]
pub struct Arguments {
    /// File to write the process id to (in the background only).
    #[arg(short = 'p', value_name = "PID-FILE", default_value = "/var/run/ivshmem-server.pid")]
    pub pid_file: PathBuf,

    /// Unix socket where QEMU connects.
    #[arg(short = 'S', value_name = "SOCKET", default_value = "/tmp/ivshmem_socket")]
    socket: PathBuf,

    /// POSIX shared memory object to use; made if it is not there [default: ivshmem].
    #[arg(short = 'M', value_name = "SHM-NAME", overrides_with_all = ["directory", "memfd"])]
    name: Option<String>,

    /// Directory for the shared memory, such as a hugetlbfs; the file has no name there. A name without a slash that is
    /// no directory is taken as one for -M, as the QEMU manual writes it.
    #[arg(short = 'm', value_name = "DIR", overrides_with_all = ["name", "memfd"])]
    directory: Option<PathBuf>,

    /// Shared memory without name or place, which nobody can truncate under a guest.
    #[arg(long, overrides_with_all = ["name", "directory"])]
    memfd: bool,

    /// Size of the shared memory.
    #[arg(short = 'l', value_name = "SIZE", default_value = "4M", value_parser = size::parse)]
    size: u64,

    /// Interrupt vectors of each client, 1 to 2048.
    #[arg(short = 'n', value_name = "VECTORS", default_value = "1", value_parser = vectors)]
    vectors: u16,

    /// Stay in the foreground.
    #[arg(short = 'F')]
    pub foreground: bool,

    /// Tell of every client that comes or goes, on the standard error (in the foreground only).
    #[arg(short = 'v')]
    pub verbose: bool,

    /// Overwrite shared memory that exists already with zeros.
    #[arg(long)]
    zero: bool,

    /// Permissions of the socket, octal: who may write to it may connect.
    #[arg(long, value_name = "MODE", default_value = "600", value_parser = mode)]
    socket_mode: u32,

    /// Permissions of the shared memory, octal.
    #[arg(long, value_name = "MODE", default_value = "600", value_parser = mode)]
    memory_mode: u32,

    /// Id of the first client; guests bear any from 0 to 65535. A server whose predecessor's guests still run gives ids that nobody
    /// had: to those guests a former id means its former owner.
    #[arg(long, value_name = "ID", default_value = "0")]
    first_id: u16,

    /// The background half of this program, started by the one that the user started.
    #[arg(long, hide = true, conflicts_with = "foreground")]
    pub detached: bool,
}

impl Arguments {
    /// What the server shall do.
    pub fn options(&self) -> anyhow::Result<Options> {
        if self.verbose && !self.foreground {
            bail!("-v needs -F: in the background there is nobody to tell");
        }
        Ok(Options {
            socket: self.socket.clone(),
            socket_mode: self.socket_mode,
            memory: self.memory()?,
            memory_mode: self.memory_mode,
            size: self.size,
            zero: self.zero,
            vectors: self.vectors,
            first_id: self.first_id,
            ..Options::new("")
        })
    }

    fn memory(&self) -> anyhow::Result<Memory> {
        if self.memfd {
            return Ok(Memory::Sealed);
        }
        let Some(directory) = &self.directory else {
            return Ok(Memory::Named(self.name.clone().unwrap_or_else(|| "ivshmem".into())));
        };
        if directory.is_dir() {
            return Ok(Memory::Directory(directory.clone()));
        }
        let is_name = directory.file_name() == Some(directory.as_os_str());
        match directory.to_str().filter(|_| is_name && !directory.exists()) {
            Some(name) => Ok(Memory::Named(name.into())),
            None => bail!("-m {}: not a directory", Path::display(directory)),
        }
    }
}

fn mode(text: &str) -> anyhow::Result<u32> {
    let mode = u32::from_str_radix(text, 8).with_context(|| format!("{text:?} is not an octal number"))?;
    if mode > 0o777 {
        bail!("{mode:o} is outside 0 to 777");
    }
    Ok(mode)
}

fn vectors(text: &str) -> anyhow::Result<u16> {
    let count = size::number(text).with_context(|| format!("{text:?} is not a number"))?;
    match u16::try_from(count) {
        Ok(count @ 1..=2048) => Ok(count),
        _ => bail!("{count} is outside 1 to 2048"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(line: &str) -> anyhow::Result<Options> {
        Arguments::try_parse_from(line.split_whitespace())?.options()
    }

    #[test]
    fn the_qemu_manual_s_command_line_works_unchanged() {
        let options = options("ivshmem-server -p pidfile -S path -m shm-name -l 1M -n 2").unwrap();
        assert_eq!(options.socket, Path::new("path"));
        assert_eq!(options.memory, Memory::Named("shm-name".into()));
        assert_eq!((options.size, options.vectors), (1 << 20, 2));
    }

    #[test]
    fn the_defaults_are_those_of_qemu_s_server() {
        let arguments = Arguments::try_parse_from(["ivshmem-server"]).unwrap();
        assert_eq!(arguments.pid_file, Path::new("/var/run/ivshmem-server.pid"));
        assert!(!arguments.foreground);
        let expected = Options { memory: Memory::Named("ivshmem".into()), ..Options::new("/tmp/ivshmem_socket") };
        assert_eq!(arguments.options().unwrap(), expected);
    }

    #[test]
    fn values_may_follow_their_letter_at_once_and_letters_may_be_joined() {
        let options = options("ivshmem-server -FvS/s -l0x1000 -n0x10 -Mname").unwrap();
        assert_eq!(options.socket, Path::new("/s"));
        assert_eq!((options.size, options.vectors), (4096, 16));
        assert_eq!(options.memory, Memory::Named("name".into()));
    }

    #[test]
    fn the_last_of_several_counts() {
        let options = |line: &str| options(line).unwrap();
        assert_eq!(options("ivshmem-server -m /tmp -M name").memory, Memory::Named("name".into()));
        assert_eq!(options("ivshmem-server -M name -m /tmp").memory, Memory::Directory("/tmp".into()));
        assert_eq!(options("ivshmem-server -M name --memfd").memory, Memory::Sealed);
        assert_eq!(options("ivshmem-server -F -F -l 1M -l 2M").size, 2 << 20);
    }

    #[test]
    fn m_takes_a_directory_or_a_name_but_no_path_to_nothing() {
        let error = options("ivshmem-server -m /nowhere/at/all").unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
    }

    #[test]
    fn v_needs_f() {
        assert!(options("ivshmem-server -v").unwrap_err().to_string().contains("-F"));
        assert!(options("ivshmem-server -v -F").is_ok());
    }

    #[test]
    fn an_error_carries_the_value() {
        for (line, value) in [
            ("ivshmem-server -n 2049", "2049"),
            ("ivshmem-server -n 0", "0"),
            ("ivshmem-server -n 70000", "70000"),
            ("ivshmem-server -l 12Q", "12Q"),
            ("ivshmem-server --socket-mode 1777", "1777"),
            ("ivshmem-server --memory-mode 9", "9"),
            ("ivshmem-server --first-id 65536", "65536"),
        ] {
            let error = options(line).unwrap_err().to_string();
            assert!(error.contains(value), "{line}: {error}");
        }
    }
}
