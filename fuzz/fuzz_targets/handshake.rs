//! Every word of shared memory hostile: see `ivshmem::fake::drive::handshake`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ivshmem::fake::drive::handshake(bytes));
