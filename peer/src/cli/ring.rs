//! `ivshmem-peer ring`.

use super::{DeviceArguments, Failure, say};
use ivshmem_peer::Purpose;

/// Ring a peer's doorbell once.
///
/// A doorbell is a hint: whether the peer is there and takes it is not known on this side (a server's socket knows which
/// peers there are).
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ivshmem-peer ring --peer 1
  ivshmem-peer ring --device socket:/run/ivshmem.sock --peer 0 --vector 3")]
pub(super) struct Ring {
    #[command(flatten)]
    device: DeviceArguments,
    /// The peer's id (its IVPosition), 0 to 65535.
    #[arg(long, value_name = "ID")]
    peer: u16,
    /// The peer's vector, 0 to 255.
    #[arg(long, value_name = "N", default_value_t = 0)]
    vector: u16,
}

impl Ring {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let (name, backend) = self.device.open(Purpose::Access)?;
        // The server announces the other peers before our own vectors: once vector 0 is there, all are known.
        let _ = backend.vector(0);
        let Self { peer, vector, .. } = self;
        backend.ring(*peer, *vector).map_err(|error| Failure::Failed(format!("{name}: {error}")))?;
        say(format_args!("ring: {name} peer={peer} vector={vector}"))
    }
}
