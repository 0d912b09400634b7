//! What the Linux peer's library reads.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ivshmem_fuzz::peer(bytes));
