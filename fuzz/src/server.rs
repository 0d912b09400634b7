//! The server's socket: clients that break the protocol, and a server that does.

mod clients;
mod reading;

use ivshmem::fake::input::Input;

/// Hostile clients of the project's server, or a hostile server of its client.
pub fn server(bytes: &[u8]) {
    let input = Input::new(bytes);
    match input.byte().is_multiple_of(2) {
        true => clients::run(&input),
        false => reading::run(&input),
    }
}
