//! What joins two VMs: a server of ours with its socket, or just a piece of memory.

use super::huge_pages::HugePages;
use super::memory::Region;
use super::session::Session;
use crate::progress::note;
use anyhow::{Context, Result};
use ivshmem_server::{Event, Memory, Options, Running};
use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

/// Which ivshmem device joins the VMs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Doorbell,
    Plain,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Doorbell => "doorbell",
            Self::Plain => "plain",
        })
    }
}

/// What one process needs to have the device.
#[derive(Debug)]
pub struct Attachment {
    /// QEMU's arguments.
    pub args: Vec<String>,
    /// A descriptor that the process keeps, and the same as a shell's redirection.
    pub inherit: Option<(OwnedFd, String)>,
    /// For `ivshmem-peer --device`, as a host process.
    pub device: String,
}

impl Attachment {
    /// Puts the device in a place of the machine, in QEMU's words.
    pub fn at(mut self, place: &str) -> Self {
        if let Some(device) = self.args.last_mut() {
            *device += &format!(",{place}");
        }
        self
    }
}

/// A region that VMs and host processes share.
#[derive(Debug)]
pub enum Link {
    /// ivshmem-doorbell: a server within this process, so that it never outlives it.
    Doorbell { server: Running, vectors: u16, joined: Arc<Mutex<Vec<u16>>> },
    /// ivshmem-plain.
    Plain(Region),
}

impl Link {
    /// Starts a server that gives out ids from `first_id` on.
    pub fn doorbell(session: &Session, size: u64, vectors: u16, first_id: u16) -> Result<Self> {
        Self::doorbell_at(session, "server.sock", size, vectors, first_id)
    }

    /// The same for one server among several, each with a socket of its own.
    pub fn doorbell_at(session: &Session, name: &str, size: u64, vectors: u16, first_id: u16) -> Result<Self> {
        Self::served(session, name, size, vectors, first_id, Memory::Sealed)
    }

    fn served(session: &Session, name: &str, size: u64, vectors: u16, first_id: u16, memory: Memory) -> Result<Self> {
        let socket = session.dir().join(name);
        let options = Options { size, vectors, first_id, memory, ..Options::new(socket) };
        let joined = Arc::<Mutex<Vec<u16>>>::default();
        let told = joined.clone();
        let report = move |event: &Event| match event {
            // A list of ids is valid after any panic of another thread.
            Event::Joined { id } => told.lock().unwrap_or_else(PoisonError::into_inner).push(*id),
            Event::Refused(_) => note(format!("ivshmem-server: {event}")),
            Event::Left { .. } => {}
        };
        let server = Running::start(options, report).context("the ivshmem server did not start")?;
        Ok(Self::Doorbell { server, vectors, joined })
    }

    /// The same on POSIX shared memory of that name.
    pub fn doorbell_on(session: &Session, memory: &str, size: u64, vectors: u16, first_id: u16) -> Result<Self> {
        Self::served(session, "server.sock", size, vectors, first_id, Memory::Named(memory.to_owned()))
    }

    pub fn plain(size: u64) -> Result<Self> {
        Ok(Self::Plain(Region::new(size)?))
    }

    /// The ids that the server has given so far, in this order.
    pub fn joined(&self) -> Vec<u16> {
        match self {
            Self::Doorbell { joined, .. } => joined.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            Self::Plain(_) => Vec::new(),
        }
    }

    /// The same with memory on a hugetlbfs, as `ivshmem-server -m` has it.
    pub fn huge_doorbell(session: &Session, size: u64, vectors: u16, first_id: u16, pages: &HugePages) -> Result<Self> {
        Self::served(session, "server.sock", size, vectors, first_id, Memory::Directory(pages.dir().to_owned()))
    }

    /// The same without a server.
    pub fn huge_plain(size: u64, pages: &HugePages) -> Result<Self> {
        Ok(Self::Plain(Region::huge(size, pages.dir())?))
    }

    pub fn mode(&self) -> Mode {
        match self {
            Self::Doorbell { .. } => Mode::Doorbell,
            Self::Plain(_) => Mode::Plain,
        }
    }

    /// For one more device; the numbers tell a VM's devices apart.
    pub fn attach(&self, number: usize) -> Result<Attachment> {
        match self {
            Self::Doorbell { server, vectors, .. } => {
                let socket = server.socket().display();
                let chardev = format!("socket,id=server{number},path={socket}");
                let device = format!("ivshmem-doorbell,chardev=server{number},vectors={vectors}");
                let args = ["-chardev".to_owned(), chardev, "-device".to_owned(), device];
                Ok(Attachment { args: args.into(), inherit: None, device: format!("socket:{socket}") })
            }
            Self::Plain(region) => {
                let (fd, redirect, path) = region.share()?;
                let memory =
                    format!("memory-backend-file,id=memory{number},mem-path={path},size={},share=on", region.size());
                let device = format!("ivshmem-plain,memdev=memory{number}");
                let args = ["-object".to_owned(), memory, "-device".to_owned(), device];
                Ok(Attachment { args: args.into(), inherit: Some((fd, redirect)), device: format!("file:{path}") })
            }
        }
    }
}
