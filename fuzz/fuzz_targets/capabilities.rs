//! The walk through a function's capabilities: see `ivshmem::fake::drive::capabilities`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ivshmem::fake::drive::capabilities(bytes));
