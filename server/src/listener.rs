//! The listening socket: made where nothing is, or where a dead server left its own.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, FlockOperation, Mode, OFlags, chmod, flock, fstat, lstat, open, unlink};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen, socket_with,
    sockopt::set_socket_send_buffer_size,
};

use crate::error::{Error, system};
use crate::made::Made;

/// `sun_path` has 108 bytes, the last one a zero.
const LONGEST_PATH: usize = 107;

/// How many clients may wait to be accepted; the kernel cuts it to its own limit (net.core.somaxconn).
const WAITING: i32 = 4096;

/// Bytes of send buffer asked for: room for about 20 messages, by the kernel's way of counting. The kernel limits how many
/// descriptors a user may have sent and not yet received (to `RLIMIT_NOFILE`, unless privileged), so what one client leaves
/// unread is kept from the others; with the default buffer that would be some 280 for each.
const SEND_BUFFER: usize = 8 << 10;

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
        let _takeover = match bind(&socket, &address) {
            Err(Errno::ADDRINUSE) => {
                let takeover = Takeover::of_stale(path, &address)?;
                match bind(&socket, &address) {
                    Err(Errno::ADDRINUSE) => return Err(Error::SocketInUse(path.to_path_buf())),
                    outcome => outcome.map_err(system(action()))?,
                }
                Some(takeover)
            }
            outcome => {
                outcome.map_err(system(action()))?;
                None
            }
        };
        let made = Made::new(path)?;
        // Whatever the umask made of it until now: nobody can connect before we listen.
        chmod(path, Mode::from_raw_mode(mode)).map_err(system(action()))?;
        Ok(Self { socket, made })
    }

    /// Lets clients come.
    pub fn listen(&self) -> Result<(), Error> {
        listen(&self.socket, WAITING).map_err(system(format!("listen on {}", self.made.path().display())))
    }

    /// The next client, without waiting.
    pub fn accept(&self) -> Result<OwnedFd, Errno> {
        let client = accept_with(&self.socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
        set_socket_send_buffer_size(&client, SEND_BUFFER)?;
        Ok(client)
    }
}

/// The right to take over what a dead server left: of several servers that find the same stale socket, one at a time
/// looks, removes and makes its own, so that none removes another's fresh one. A lock on a file beside the socket, which
/// is there only as long as this lives.
struct Takeover {
    // In this order: the name goes while the lock is still held.
    _name: Made,
    _lock: OwnedFd,
}

impl Takeover {
    /// Removes the socket that a dead server left at `path`, and nothing else.
    fn of_stale(path: &Path, address: &SocketAddrUnix) -> Result<Self, Error> {
        // Before a lock is made beside something that is not ours.
        check_stale(path, address)?;
        let in_use = || Error::SocketInUse(path.to_path_buf());
        let takeover = Self::lock(path)?.ok_or_else(in_use)?;
        // Since then a rival may have come and gone through the same.
        if check_stale(path, address)? {
            unlink(path).map_err(system(format!("remove stale socket {}", path.display())))?;
        }
        Ok(takeover)
    }

    /// `None` when another server is at it.
    fn lock(path: &Path) -> Result<Option<Self>, Error> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let action = || format!("make {}", Path::new(&name).display());
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let lock = open(Path::new(&name), flags, Mode::RUSR | Mode::WUSR).map_err(system(action()))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => return Ok(None),
            outcome => outcome.map_err(system(action()))?,
        }
        // A rival that was done may have removed the name between our opening and our locking it: then this is no
        // longer the lock that the next one would find.
        let ours = fstat(&lock).map_err(system(action()))?;
        match lstat(Path::new(&name)) {
            Ok(named) if (named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino) => {}
            _ => return Ok(None),
        }
        Ok(Some(Self { _name: Made::new(&name)?, _lock: lock }))
    }
}

/// Whether there is a stale socket; if not, there is nothing. Anything else is an error.
fn check_stale(path: &Path, address: &SocketAddrUnix) -> Result<bool, Error> {
    let action = || format!("look at {}", path.display());
    let stat = match lstat(path) {
        Err(Errno::NOENT) => return Ok(false),
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
        Err(Errno::CONNREFUSED) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Ok(()) | Err(Errno::PROTOTYPE) => Err(Error::SocketInUse(path.to_path_buf())),
        Err(error) => Err(system(action())(error)),
    }
}
