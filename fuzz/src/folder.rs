//! A folder of this process's own.

use std::path::PathBuf;

/// Makes a folder for this process in the one for temporary files. It stays: libFuzzer ends without a word. `cargo xtask fuzz`
/// sets TMPDIR to a folder that it removes afterwards.
pub fn make(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("ivshmem-fuzz-{name}-{}", std::process::id()));
    // Of an earlier process that had this number.
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).expect("a folder for temporary files can be written to");
    path
}
