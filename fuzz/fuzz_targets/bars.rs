//! Decoding and sizing of BARs: see `ivshmem::fake::drive::bars`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ivshmem::fake::drive::bars(bytes));
