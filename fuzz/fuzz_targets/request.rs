//! Request and response channels on a link that is up: see `ivshmem::fake::drive::request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ivshmem::fake::drive::request(bytes));
