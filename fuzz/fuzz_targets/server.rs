//! The server's socket, from both ends.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ivshmem_fuzz::server(bytes));
