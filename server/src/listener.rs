//! The listening socket: made where nothing is, or where a dead server left its own.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, RenameFlags, Stat, chmod, fchmod, lstat, renameat_with, unlink};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen, socket_with,
};

use crate::error::{Error, system};
use crate::made::Made;

/// `sun_path` has 108 bytes, the last one a zero.
const LONGEST_PATH: usize = 107;

/// How many clients may wait to be accepted; the kernel cuts it to its own limit (net.core.somaxconn).
const WAITING: i32 = 4096;

/// The socket, bound to its path.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: OwnedFd,
    made: Made,
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Listener {
    /// Takes the path; clients are refused until [`listen`](Self::listen).
    pub fn bind(path: &Path, mode: u32) -> Result<Self, Error> {
        let length = path.as_os_str().len();
        if length > LONGEST_PATH {
            return Err(Error::SocketPathTooLong { path: path.to_path_buf(), length });
        }
        let action = || format!("make socket {}", path.display());
        let address = SocketAddrUnix::new(path).map_err(system(action()))?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket =
            socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).map_err(system("make a socket"))?;
        let mode = Mode::from_raw_mode(mode);
        // Linux makes the name with the socket's own mode less the umask: it is never wider than asked for.
        fchmod(&socket, mode).map_err(system(action()))?;

        match bind(&socket, &address) {
            Err(Errno::ADDRINUSE) => {
                remove_stale(path, &address)?;
                match bind(&socket, &address) {
                    Err(Errno::ADDRINUSE) => return Err(Error::SocketInUse(path.to_path_buf())),
                    outcome => outcome.map_err(system(action()))?,
                }
            }
            outcome => outcome.map_err(system(action()))?,
        }
        let made = Made::new(path)?;
        // What the umask took away. Nobody can connect yet.
        chmod(path, mode).map_err(system(action()))?;
        Ok(Self { socket, made })
    }

    /// Lets clients come.
    pub fn listen(&self) -> Result<(), Error> {
        listen(&self.socket, WAITING).map_err(system(format!("listen on {}", self.made.path().display())))
    }

    /// The next client, without waiting.
    pub fn accept(&self) -> Result<OwnedFd, Errno> {
        accept_with(&self.socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)
    }
}

/// Removes the socket that a dead server left at `path`, and nothing else.
fn remove_stale(path: &Path, address: &SocketAddrUnix) -> Result<(), Error> {
    let action = || format!("look at {}", path.display());
    let stat = match lstat(path) {
        Err(Errno::NOENT) => return Ok(()),
        outcome => outcome.map_err(system(action()))?,
    };
    if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
        return Err(Error::NotASocket(path.to_path_buf()));
    }
    // A datagram socket cannot connect to a stream socket, so a running server does not notice the question (a real
    // connection would spend a peer id and make every guest see somebody come and go); and unlike a connection it
    // also finds a socket that is bound but not listening yet.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let probe = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None).map_err(system("make a socket"))?;
    match connect(&probe, address) {
        Err(Errno::CONNREFUSED) => take_away(path, &stat),
        Err(Errno::NOENT) => Ok(()),
        Ok(()) | Err(Errno::PROTOTYPE) => Err(Error::SocketInUse(path.to_path_buf())),
        Err(error) => Err(system(action())(error)),
    }
}

/// Removes `path` if it still is `stale`. Another server may have removed it and made its own since we looked; so it is
/// moved aside first, where only we know it, looked at again, and put back if it is not the one.
fn take_away(path: &Path, stale: &Stat) -> Result<(), Error> {
    let action = || format!("remove stale socket {}", path.display());
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".stale-{}", rustix::process::getpid()));
    let aside = Path::new(&aside);
    match renameat_with(CWD, path, CWD, aside, RenameFlags::NOREPLACE) {
        Err(Errno::NOENT) => return Ok(()),
        outcome => outcome.map_err(system(action()))?,
    }
    let found = lstat(aside).map_err(system(action()))?;
    if (found.st_dev, found.st_ino) == (stale.st_dev, stale.st_ino) {
        return unlink(aside).map_err(system(action()));
    }
    renameat_with(CWD, aside, CWD, path, RenameFlags::NOREPLACE)
        .map_err(system(format!("put back {}", path.display())))?;
    Err(Error::SocketInUse(path.to_path_buf()))
}
