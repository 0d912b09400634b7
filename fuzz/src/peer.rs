//! What the Linux peer's library reads: the kernel's files, a hostile region, a hostile server.

mod exchange;
mod kinds;
mod region;
mod said;
mod socket;
mod sysfs;

use ivshmem::fake::input::Input;

/// One of them, as the input says.
pub fn peer(bytes: &[u8]) {
    let input = Input::new(bytes);
    match input.byte() % 4 {
        0 => sysfs::run(&input),
        1 => kinds::run(&input),
        2 => exchange::run(&input),
        _ => socket::run(&input),
    }
}
