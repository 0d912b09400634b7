//! A hostile server, as `socket:` meets it.

use crate::script::{self, Piece};
use crate::{folder, ignore_broken_pipes};
use ivshmem::fake::input::Input;
use ivshmem::memory::Memory;
use ivshmem_peer::{DeviceName, Purpose, RingError, Sysfs, open};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};

/// A thread that says to each client what it is told to, and closes the connection.
struct Server {
    path: PathBuf,
    pieces: Sender<Vec<Piece>>,
}

static SERVER: OnceLock<Server> = OnceLock::new();

fn server() -> &'static Server {
    SERVER.get_or_init(|| {
        let path = folder::make("peer").join("socket");
        let listener = UnixListener::bind(&path).expect("a socket can be made");
        let (pieces, scripts) = channel::<Vec<Piece>>();
        std::thread::spawn(move || {
            for pieces in scripts {
                let (client, _) = listener.accept().expect("a client comes");
                script::send(&client, &pieces);
            }
        });
        Server { path, pieces }
    })
}

/// Opens a device that is a server's socket, and rings and looks for vectors whatever came of it.
pub fn run(input: &Input<'_>) {
    ignore_broken_pipes();
    let server = server();
    let (vector, peer) = (u16::from(input.byte()), u16::from(input.byte() % 8));
    server.pieces.send(script::pieces(input)).expect("the server's thread lives");
    let name = DeviceName::Socket(server.path.clone());
    let Ok(backend) = open(Some(&name), Purpose::Exchange, &Sysfs::default()) else { return };
    assert!(!backend.memory().is_empty() && backend.id().is_some());
    if let Some(vector) = backend.vector(vector % 4) {
        let _ = vector.count();
    }
    assert!(backend.vector(2048).is_none());
    assert_eq!(backend.ring(peer, 256), Err(RingError::Vector { vector: 256 }));
    let _ = backend.ring(peer, vector);
}
