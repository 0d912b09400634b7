//! A server on a thread of its own.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use crate::error::Error;
use crate::event::Event;
use crate::options::Options;
use crate::server::Server;

/// A server on a thread of its own. It stops, and has removed what it made, when this is dropped.
#[derive(Debug)]
pub struct Running {
    socket: PathBuf,
    /// Closing our end stops the server.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<Result<(), Error>>>,
}

impl Running {
    /// Starts a server; it is listening when this returns. `report` is told of clients, on the server's thread.
    ///
    /// # Errors
    /// As [`Server::bind`], or if there can be no thread.
    pub fn start(options: Options, report: impl FnMut(&Event) + Send + 'static) -> Result<Self, Error> {
        let mut server = Server::bind(options)?;
        let socket = server.socket().to_path_buf();
        let failed = |action: &str| {
            let action = action.to_owned();
            |error| Error::System { action, error }
        };
        let (stop, stopped) = UnixStream::pair().map_err(failed("make a socket pair"))?;
        let thread = std::thread::Builder::new()
            .name("ivshmem-server".into())
            .spawn(move || server.run(&stopped, report))
            .map_err(failed("start a thread"))?;
        Ok(Self { socket, stop: Some(stop), thread: Some(thread) })
    }

    /// The socket's path.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Stops the server and waits until it has removed what it made.
    ///
    /// # Errors
    /// What ended it earlier, if something did.
    pub fn stop(mut self) -> Result<(), Error> {
        self.end()
    }

    fn end(&mut self) -> Result<(), Error> {
        drop(self.stop.take());
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(outcome)) => outcome,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _reported_nowhere = self.end();
        } else {
            // Not a second panic, but still no socket left behind.
            drop(self.stop.take());
            let _either = self.thread.take().map(JoinHandle::join);
        }
    }
}
