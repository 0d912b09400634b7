//! The inputs that the fuzz targets start from, and those that once found something, in every run of the tests.

use ivshmem::fake::drive;
use std::path::Path;

/// Feeds every input in `fuzz/corpus/NAME` to the function of the fuzz target of that name.
fn replay(name: &str, drive: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut inputs = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        // Shown if it fails.
        println!("{}", path.display());
        drive(&std::fs::read(&path).unwrap());
        inputs += 1;
    }
    assert!(inputs > 0, "{} is empty", folder.display());
}

#[test]
fn handshake() {
    replay("handshake", drive::handshake);
}

#[test]
fn queuing() {
    replay("queuing", drive::queuing);
}

#[test]
fn sampling() {
    replay("sampling", drive::sampling);
}

#[test]
fn request() {
    replay("request", drive::request);
}

#[test]
fn capabilities() {
    replay("capabilities", drive::capabilities);
}

#[test]
fn bars() {
    replay("bars", drive::bars);
}

#[test]
fn assign() {
    replay("assign", drive::assign);
}

#[test]
fn msix() {
    replay("msix", drive::msix);
}
