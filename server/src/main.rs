//! `ivshmem-server`: lets QEMU's `ivshmem-doorbell` devices meet. `--help` tells how.

mod arguments;
mod background;
mod pid_file;
mod size;

use std::fmt::Display;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use ivshmem_server::{Event, Server};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::arguments::Arguments;
use crate::pid_file::PidFile;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = if arguments.foreground || arguments.detached { serve(&arguments) } else { background::start() };
    outcome.unwrap_or_else(|error| {
        say(&format_args!("{error:#}"));
        ExitCode::FAILURE
    })
}

fn serve(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let options = arguments.options()?;
    if arguments.detached {
        background::leave_session()?;
    }
    let (stop, signalled) = UnixStream::pair().context("cannot make a socket pair")?;
    // Before anything is made that a signal would leave behind.
    for signal in [SIGTERM, SIGINT] {
        let stop = stop.try_clone().context("dup")?;
        signal_hook::low_level::pipe::register(signal, stop).context("cannot catch signals")?;
    }

    let mut server = Server::bind(options)?;
    let _pid_file = arguments.detached.then(|| PidFile::write(&arguments.pid_file)).transpose()?;
    ready(&server);
    if arguments.detached {
        background::leave_terminal()?;
    }

    let verbose = arguments.verbose;
    server.run(signalled, |event| {
        if verbose || matches!(event, Event::Refused(_)) {
            say(event);
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// A line on the standard error. Nobody has to listen: `eprintln` would end the server when the other end of a pipe is
/// closed.
fn say(what: &dyn Display) {
    let _closed = writeln!(std::io::stderr(), "ivshmem-server: {what}");
}

/// The line that says that clients can come.
fn ready(server: &Server) {
    let (socket, size, vectors) = (server.socket().display(), server.size(), server.vectors());
    let mut stdout = std::io::stdout();
    // Nobody has to listen.
    let _closed = writeln!(stdout, "ivshmem-server: ready socket={socket} size={size} vectors={vectors}");
    let _closed = stdout.flush();
}
