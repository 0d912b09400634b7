//! The sub-commands, what they have in common, and the exit codes.

mod call;
mod chaos;
mod dump;
mod found;
mod list;
mod mailbox;
mod operator;
mod progress;
mod protection;
mod queue;
mod recv;
mod ring;
mod sample;
mod send;
mod stats;
mod stop;
mod stream;
mod terminal;
mod window;

use clap::{Args, Parser, Subcommand};
use core::fmt;
use ivshmem_peer::{Backend, DeviceName, OpenError, Purpose, Sysfs};
use std::io::Write;
use std::process::ExitCode;

/// The general-purpose side of an ivshmem mailbox: finds ivshmem devices, exchanges messages with the real-time side, rings doorbells, shows
/// what is in shared memory.
#[derive(Debug, Parser)]
#[command(name = "ivshmem-peer", version, after_help = EXAMPLES_AND_EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES_AND_EXIT_CODES: &str = "\
Examples:
  ivshmem-peer list
  ivshmem-peer operator
  ivshmem-peer operator --device vfio:0000:00:03.0 --commands 10000
  ivshmem-peer send --device socket:/run/ivshmem.sock 'set-speed 1500'
  ivshmem-peer recv --device file:/dev/shm/ivshmem --count 2
  ivshmem-peer recv --channels queuing:first:8x120:protected=0x51 --source 7
  ivshmem-peer ring --device sysfs:0000:00:03.0 --peer 1 --vector 0
  ivshmem-peer dump --device file:/dev/shm/ivshmem
  ivshmem-peer chaos length --seed 7 --seconds 30
  ivshmem-peer sample watch --channels sampling:first:56
  ivshmem-peer call --channels request:second:8x120,response:first:8x120 1 'arguments'
  ivshmem-peer stream --send 0 < program.ngc
  ivshmem-peer stats --device file:/dev/shm/ivshmem --every 1000 --count 60

Exit codes:
  0  done
  1  the exchange went wrong: a wrong response, a lost message, a protocol violation
  2  the command line is wrong
  3  the device cannot be found or opened
  4  the other side did not answer in time, or its channels are not those of --channels
  7  bus error: the shared memory was truncated or its device is gone
  130, 143  ended by Ctrl-C or SIGTERM; the other side was told";

#[derive(Debug, Subcommand)]
enum Command {
    List(list::List),
    Operator(operator::Operator),
    Send(send::Send),
    Recv(recv::Recv),
    Ring(ring::Ring),
    Dump(dump::Dump),
    Chaos(chaos::Chaos),
    Sample(sample::Sample),
    Call(call::Call),
    Stream(stream::Stream),
    Stats(stats::Stats),
}

/// Which device, for every sub-command but `list`.
#[derive(Debug, Args)]
struct DeviceArguments {
    /// The device: <ssss:bb:dd.f> (by VFIO to exchange messages with interrupts, else by sysfs), vfio:<address>, sysfs:<address>,
    /// socket:<path of an ivshmem server's socket> or file:<path of the shared memory>. Without it, the only ivshmem
    /// device in this machine.
    #[arg(long, value_name = "DEVICE")]
    device: Option<DeviceName>,
}

impl DeviceArguments {
    /// Opens the device; from here on a bus error ends in a message that names it.
    fn open(&self, purpose: Purpose) -> Result<(DeviceName, Box<dyn Backend>), Failure> {
        let sysfs = Sysfs::default();
        let name = match &self.device {
            Some(name) => name.clone(),
            None => DeviceName::Function(sysfs.only_device()?),
        };
        ivshmem_peer::exit_on_bus_error(&name.to_string())
            .map_err(|error| Failure::Failed(format!("cannot install the handler of bus errors: {error}")))?;
        let backend = ivshmem_peer::open(Some(&name), purpose, &sysfs)?;
        Ok((name, backend))
    }
}

/// Why a sub-command ends without success.
#[derive(Debug)]
enum Failure {
    /// The command line asks for what its own list of channels does not have.
    Usage(String),
    /// The exchange went wrong.
    Failed(String),
    /// The device cannot be opened.
    Open(OpenError),
    /// The other side did not answer in time.
    Late(String),
    /// The mailbox in memory has other channels.
    Incompatible(String),
    /// A signal of this number asked for the end.
    Stopped(i32),
    /// Whoever read our output is gone: nothing left to say and nobody to say it to.
    NoReader,
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::Failed(_) | Self::NoReader => 1,
            Self::Usage(_) => 2,
            Self::Open(_) => 3,
            Self::Late(_) | Self::Incompatible(_) => 4,
            // As shells say it of a process that a signal ended; SIGINT is 2, SIGTERM 15.
            Self::Stopped(signal) => u8::try_from(128 + signal).unwrap_or(1),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message) | Self::Failed(message) | Self::Late(message) | Self::Incompatible(message) => {
                f.write_str(message)
            }
            Self::Open(error) => error.fmt(f),
            Self::Stopped(signal) => write!(f, "ended by signal {signal}"),
            Self::NoReader => f.write_str("the output cannot be written"),
        }
    }
}

/// One line on standard output, at once. Not `println!`, which panics when the reader has gone.
fn say(line: fmt::Arguments<'_>) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|_| Failure::NoReader)
}

/// One line on standard error, about what is no failure; nor is it that nobody reads it.
fn warn(line: fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Parses the command line, runs it and answers the exit code.
pub(super) fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::List(list) => list.run(),
        Command::Operator(operator) => operator.run(),
        Command::Send(send) => send.run(),
        Command::Recv(recv) => recv.run(),
        Command::Ring(ring) => ring.run(),
        Command::Dump(dump) => dump.run(),
        Command::Chaos(chaos) => chaos.run(),
        Command::Sample(sample) => sample.run(),
        Command::Call(call) => call.run(),
        Command::Stream(stream) => stream.run(),
        Command::Stats(stats) => stats.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            warn(format_args!("ivshmem-peer: {failure}"));
            ExitCode::from(failure.code())
        }
    }
}
