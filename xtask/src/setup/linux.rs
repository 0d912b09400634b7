//! The Linux VM's parts, out of Debian's packages: kernel, the modules that VFIO needs, and a static busybox.

use super::apt;
use crate::progress::note;
use crate::tool::Tool;
use crate::workspace;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// The package that always depends on Debian's current kernel for virtual machines.
const META: &str = "linux-image-cloud-amd64";
/// What has to be loaded; what these need is read from them.
const WANTED: [&str; 2] = ["vfio_iommu_type1", "vfio_pci"];

/// The files the Linux VM is made of, uncompressed.
#[derive(Debug, Clone)]
pub struct Linux {
    package: String,
    pub kernel: PathBuf,
    pub busybox: PathBuf,
    /// In the order in which they have to be loaded.
    pub modules: Vec<PathBuf>,
}

impl Linux {
    pub fn find() -> Result<Self> {
        let home = workspace::cache().join("linux");
        if let Ok(linux) = Self::load(&home) {
            return Ok(linux);
        }
        note("the Linux VM's kernel, modules and busybox are not under target/setup yet");
        let package = apt::dependency(META, "linux-image-")?;
        // Everything is made beside its place and moved there whole, so a stop half-way leaves nothing that looks finished.
        let room = tempfile::tempdir_in(workspace::cache())?;
        let unpacked = room.path().join("unpacked");
        fs::create_dir(&unpacked)?;
        apt::unpack("busybox-static", &unpacked)?;
        apt::unpack(&package, &unpacked)?;
        let fresh = room.path().join("linux");
        fs::create_dir(&fresh)?;
        select(&unpacked, &fresh)?;
        fs::write(fresh.join("package"), &package)?;
        if home.exists() {
            fs::remove_dir_all(&home)?;
        }
        fs::rename(&fresh, &home)?;
        Self::load(&home)
    }

    fn load(home: &Path) -> Result<Self> {
        let package = fs::read_to_string(home.join("package"))?;
        let modules = fs::read_to_string(home.join("order"))?.lines().map(|name| home.join(name)).collect();
        Ok(Self { package, kernel: home.join("vmlinuz"), busybox: home.join("busybox"), modules })
    }
}

impl fmt::Display for Linux {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {} modules, busybox-static", self.package, self.modules.len())
    }
}

/// Copies what is used out of the unpacked packages.
fn select(unpacked: &Path, into: &Path) -> Result<()> {
    let files = walk(unpacked)?;
    let busybox = files.iter().find(|path| path.ends_with("bin/busybox")).context("busybox-static holds no busybox")?;
    let is_kernel =
        |path: &&PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-"));
    let kernel = files.iter().find(is_kernel).context("the kernel's package holds no vmlinuz")?;
    fs::copy(busybox, into.join("busybox"))?;
    fs::copy(kernel, into.join("vmlinuz"))?;
    let sources: BTreeMap<String, &PathBuf> =
        files.iter().filter_map(|path| Some((module_name(path)?, path))).collect();
    let mut order = Vec::new();
    for wanted in WANTED {
        take_module(wanted, &sources, busybox, into, &mut order)?;
    }
    fs::write(into.join("order"), order.iter().map(|name| format!("{name}.ko\n")).collect::<String>())?;
    Ok(())
}

/// Takes a module after all that it needs. Debian's package has no modules.dep: each module names its own needs.
fn take_module(
    name: &str,
    sources: &BTreeMap<String, &PathBuf>,
    busybox: &Path,
    into: &Path,
    order: &mut Vec<String>,
) -> Result<()> {
    if order.iter().any(|taken| taken == name) {
        return Ok(());
    }
    let source = sources.get(name).with_context(|| format!("the kernel's package holds no module {name}"))?;
    let suffix = source.file_name().and_then(|file| file.to_str()?.split_once('.')).map_or("ko", |(_, suffix)| suffix);
    let packed = into.join(format!("{name}.{suffix}"));
    fs::copy(source, &packed)?;
    match suffix {
        "ko" => {}
        "ko.xz" => drop(Tool::new(busybox).args(["unxz", "-f"]).arg(&packed).output()?),
        "ko.gz" => drop(Tool::new(busybox).args(["gunzip", "-f"]).arg(&packed).output()?),
        other => bail!("module {name} is packed as .{other}, which busybox cannot unpack"),
    }
    let place = into.join(format!("{name}.ko"));
    for needed in needs(&fs::read(&place)?) {
        take_module(&needed, sources, busybox, into, order)?;
    }
    order.push(name.to_owned());
    Ok(())
}

/// A module's name as modules call each other: without folder, suffixes, and with underscores.
fn module_name(path: &Path) -> Option<String> {
    let file = path.file_name()?.to_str()?;
    let (name, _) = file.split_once(".ko").filter(|(_, rest)| rest.is_empty() || rest.starts_with('.'))?;
    Some(name.replace('-', "_"))
}

/// What a module says in its `.modinfo` section that it needs.
fn needs(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = module.windows(KEY.len()).position(|window| window == KEY) else { return Vec::new() };
    let value = module[at + KEY.len()..].split(|byte| *byte == 0).next().unwrap_or_default();
    let names = String::from_utf8_lossy(value);
    names.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}

fn walk(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(walk(&entry.path())?);
        } else if entry.file_type()?.is_file() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_names_what_it_needs() {
        assert_eq!(needs(b"license=GPL\0depends=vfio-pci-core,irqbypass\0x=y\0"), ["vfio_pci_core", "irqbypass"]);
        assert!(needs(b"license=GPL\0depends=\0").is_empty());
        assert!(needs(b"no section").is_empty());
    }

    #[test]
    fn compressed_or_not_a_module_has_one_name() {
        for path in ["a/vfio-pci.ko", "vfio-pci.ko.xz", "b/vfio_pci.ko.zst"] {
            assert_eq!(module_name(Path::new(path)).as_deref(), Some("vfio_pci"), "{path}");
        }
        assert_eq!(module_name(Path::new("a/vfio.kot")), None);
    }
}
