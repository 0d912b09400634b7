//! Link arguments of the images, with absolute paths, so that any linker and any current directory do.

use std::env;
use std::path::Path;

fn main() {
    let package = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let script = Path::new(&package).parent().expect("the package has a parent").join("linker/x86_64.ld");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={}", script.display());

    // On a host the images are only checked and linted, never linked as images.
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return;
    }
    // The target's default is a position-independent executable; an image runs where the script puts it.
    for argument in ["--no-pie", "--build-id=none", "--gc-sections", "-Tdefmt.x"] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    println!("cargo::rustc-link-arg-bins=-T{}", script.display());
}
