//! Numbering of buses and placing of BARs: see `ivshmem::fake::drive::assign`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ivshmem::fake::drive::assign(bytes));
