//! The bare-metal target `x86_64-unknown-none`: what the toolchain has, what rustup can add, or Debian's own Rust,
//! which brings the library's source.

use super::apt;
use crate::progress::{note, step};
use crate::tool::Tool;
use crate::workspace;
use anyhow::{Context, Result, bail};
use std::fmt;
use std::path::{Path, PathBuf};

/// The triple of the images.
pub const TRIPLE: &str = "x86_64-unknown-none";
const DEBIAN: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";

/// Which way to the target is wanted.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Way {
    /// The first of the three below that works
    #[default]
    Auto,
    /// The active toolchain already has it
    Installed,
    /// `rustup target add`
    Rustup,
    /// Debian's rustc with the standard library's source
    Debian,
}

/// What builds for the bare-metal target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Toolchain {
    /// The active toolchain, which has the target.
    Active { added: bool },
    /// Debian's compiler, which builds `core` itself, with this linker.
    Debian { linker: PathBuf },
}

impl Toolchain {
    pub fn find(way: Way) -> Result<Self> {
        match way {
            Way::Installed if installed()? => Ok(Self::Active { added: false }),
            Way::Installed => bail!("the active toolchain has no {TRIPLE}"),
            Way::Rustup => add(),
            Way::Debian => debian(),
            Way::Auto if installed()? => Ok(Self::Active { added: false }),
            // Not every machine reaches rustup's server; asking it again at every run could take long.
            Way::Auto if refused().exists() && debian_is_here() => debian(),
            Way::Auto => add().or_else(|refusal| {
                note(format!("rustup cannot add {TRIPLE}, so Debian's Rust is next: {}", first_line(&refusal)));
                std::fs::write(refused(), format!("{refusal:#}\n"))?;
                let both = || format!("no way to {TRIPLE}: neither `rustup target add {TRIPLE}` nor Debian's packages");
                debian().with_context(both)
            }),
        }
    }

    /// `cargo` with what it takes to build for the bare-metal target; the caller adds what to build.
    pub fn cargo(&self, verb: &str) -> Tool {
        match self {
            Self::Active { .. } => crate::cargo::active(verb).args(["--target", TRIPLE]),
            // Its own target directory: the two compilers would throw out each other's work.
            Self::Debian { linker } => debian_cargo(verb, workspace::root(), &workspace::target().join("debian"))
                .env("RUSTFLAGS", linker_flags(linker)),
        }
    }

    /// The same in another workspace, `dir`, that wants flags of its own; and where that puts what it builds.
    pub fn cargo_apart(&self, verb: &str, dir: &Path, target_dir: &Path, flags: &str) -> Tool {
        match self {
            Self::Active { .. } => crate::cargo::into(verb, target_dir.to_owned())
                .dir(dir)
                .args(["--target", TRIPLE])
                .env("RUSTFLAGS", flags)
                .without("CARGO_ENCODED_RUSTFLAGS"),
            Self::Debian { linker } => {
                debian_cargo(verb, dir, target_dir).env("RUSTFLAGS", format!("{} {flags}", linker_flags(linker)))
            }
        }
    }

    /// Whether clippy can check code for the bare-metal target: Debian's Rust comes without it.
    pub fn has_clippy(&self) -> bool {
        matches!(self, Self::Active { .. })
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Active { added: false } => write!(f, "{TRIPLE} of the active toolchain"),
            Self::Active { added: true } => write!(f, "{TRIPLE} of the active toolchain, added by rustup"),
            Self::Debian { linker } => {
                write!(f, "Debian's {DEBIAN_RUSTC} with -Zbuild-std, linked by {}", linker.display())
            }
        }
    }
}

fn debian_cargo(verb: &str, dir: &Path, target_dir: &Path) -> Tool {
    let tool = Tool::new(DEBIAN_CARGO).arg(verb).args(["--target", TRIPLE]);
    let tool = tool.args(["-Zbuild-std=core,alloc,compiler_builtins"]);
    let tool = tool.args(["-Zbuild-std-features=compiler-builtins-mem"]);
    let tool = tool.arg("--target-dir").arg(target_dir).dir(dir);
    let tool = tool.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1");
    let others = ["RUSTC_WRAPPER", "CARGO_ENCODED_RUSTFLAGS", "RUSTUP_TOOLCHAIN", "RUSTDOC"];
    others.iter().fold(tool, |tool, key| tool.without(key))
}

/// Debian's rustc has no linker of its own for a bare-metal target. It takes any other's `rust-lld` as it is.
fn linker_flags(linker: &Path) -> String {
    let flavor = if is_lld(linker) { "" } else { " -C linker-flavor=ld" };
    format!("-C linker={}{flavor}", linker.display())
}

fn is_lld(linker: &Path) -> bool {
    linker.ends_with("rust-lld")
}

fn installed() -> Result<bool> {
    let dir = rustc().args(["--print", "target-libdir", "--target", TRIPLE]).output()?;
    let Ok(entries) = std::fs::read_dir(dir.trim()) else { return Ok(false) };
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).any(|name| name.starts_with("libcore-")))
}

fn add() -> Result<Toolchain> {
    step(&format!("rustup target add {TRIPLE}"), || Tool::new("rustup").args(["target", "add", TRIPLE]).output())?;
    if !installed()? {
        bail!("rustup target add {TRIPLE} succeeded, yet the active toolchain has no such target");
    }
    Ok(Toolchain::Active { added: true })
}

/// Left behind when rustup could not add the target.
fn refused() -> PathBuf {
    workspace::cache().join("rustup-refused")
}

fn debian_is_here() -> bool {
    let core = Tool::new(DEBIAN_RUSTC)
        .args(["--print", "sysroot"])
        .output()
        .ok()
        .map(|sysroot| Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core").exists());
    core == Some(true) && Path::new(DEBIAN_CARGO).exists()
}

fn debian() -> Result<Toolchain> {
    if !debian_is_here() {
        apt::install(&DEBIAN)?;
    }
    if !debian_is_here() {
        bail!("Debian's {} are installed, yet {DEBIAN_RUSTC} has no library source", DEBIAN.join(", "));
    }
    let sysroot = rustc().args(["--print", "sysroot"]).output()?;
    let lld = Path::new(sysroot.trim()).join("lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld");
    let linker = if lld.exists() { lld } else { PathBuf::from("ld") };
    let flavor = if is_lld(&linker) { &["-flavor", "gnu"][..] } else { &[] };
    let check = Tool::new(&linker).args(flavor.iter().copied()).arg("--version").output();
    check.context("neither the toolchain's rust-lld nor binutils' ld is here to link the images: install binutils")?;
    Ok(Toolchain::Debian { linker })
}

/// The compiler that this cargo uses.
fn rustc() -> Tool {
    Tool::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
}

fn first_line(error: &anyhow::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_active_toolchain_builds_with_one_flag() {
        let tool = Toolchain::Active { added: false }.cargo("build").to_string();
        assert!(tool.contains("build") && tool.ends_with(&format!("--target {TRIPLE}")), "{tool}");
    }

    #[test]
    fn debians_rust_builds_core_itself_in_a_place_of_its_own() {
        let tool = Toolchain::Debian { linker: "ld".into() }.cargo("build").to_string();
        for part in ["-Zbuild-std=core", "RUSTC=/usr/bin/rustc", "RUSTC_BOOTSTRAP=1", "linker-flavor=ld", "/debian"] {
            assert!(tool.contains(part), "{part} is not in {tool}");
        }
    }
}
