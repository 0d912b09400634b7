//! Stand-ins for hardware and peers, for tests of code that uses this crate. They use `std`.

pub mod config;
pub mod drive;
pub mod input;
pub mod machine;
pub mod memory;
pub mod registers;
