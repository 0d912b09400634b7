//! What the fuzz targets do beyond `ivshmem::fake::drive`: the server's socket, from both ends, and what the Linux peer reads.

mod folder;
mod peer;
mod script;
mod server;

pub use peer::peer;
pub use server::server;

/// As the start of every Rust program does, which libFuzzer's is not: to write to what nobody reads is an error, and no more.
fn ignore_broken_pipes() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let seen = std::sync::Arc::default();
        signal_hook::flag::register(signal_hook::consts::SIGPIPE, seen).expect("SIGPIPE can be handled");
    });
}
