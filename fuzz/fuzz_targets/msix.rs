//! A device opened, rung and interrupted: see `ivshmem::fake::drive::msix`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ivshmem::fake::drive::msix(bytes));
