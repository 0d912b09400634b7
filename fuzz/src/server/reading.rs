//! A client of a hostile server.

use crate::script;
use ivshmem::fake::input::Input;
use ivshmem_server::Client;
use ivshmem_server::client::{News, READS, RingError};
use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;

/// The most vectors that one peer can have.
const MOST: usize = 2048;

/// Reads all that a server sends before it closes the connection, and rings whatever came of it.
pub fn run(input: &Input<'_>) {
    crate::ignore_broken_pipes();
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets can be made");
    let sent = script::send(&theirs, &script::pieces(input));
    drop(theirs);
    let Ok(mut client) = Client::over(ours) else { return };
    // What the news add up to.
    let (mut own, mut peers) = (0_usize, BTreeMap::<u16, usize>::new());
    let (mut gone, mut reads) = (false, 0);
    loop {
        match client.process() {
            Ok(Some(News::Vector { vector })) => {
                assert_eq!(usize::from(vector), own);
                own += 1;
            }
            Ok(Some(News::PeerVector { peer, vector })) => {
                assert_ne!(peer, client.id());
                let count = peers.entry(peer).or_default();
                assert_eq!(usize::from(vector), *count);
                *count += 1;
            }
            Ok(Some(News::PeerLeft { peer })) => assert!(peers.remove(&peer).is_some(), "{peer} left, and never came"),
            Ok(Some(News::ServerGone)) => {
                assert!(!std::mem::replace(&mut gone, true), "gone twice");
            }
            Ok(None) if gone => break,
            // As the connection is closed, there is something at every read, and so nothing was news in all that a call makes.
            Ok(None) => {
                reads += READS;
                assert!(reads <= sent, "no news in {reads} reads of {sent} bytes, and the connection is closed");
            }
            // A violation is said again and again; nothing changes any more.
            Err(error) => {
                assert_eq!(client.process().err().map(|again| again.to_string()), Some(error.to_string()));
                break;
            }
        }
        assert!(own <= MOST && peers.values().all(|count| *count <= MOST));
    }
    assert_eq!(client.vectors().len(), own);
    assert!(client.peers().eq(peers.iter().map(|(peer, count)| (*peer, *count))));
    for (peer, count) in peers {
        // Whatever was sent for an eventfd: an answer at once.
        let _ = client.ring(peer, 0);
        let beyond = count as u16;
        assert_eq!(client.ring(peer, beyond), Err(RingError::NoVector { peer, vector: beyond, vectors: count }));
    }
}
