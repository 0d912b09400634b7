//! Debian packages: installed by root, or fetched and unpacked by anyone.

use crate::progress::{note, step};
use crate::tool::Tool;
use anyhow::{Context, Result, bail};
use std::path::Path;

const INSTALL: [&str; 3] = ["install", "-y", "--no-install-recommends"];

/// Installs packages, or says what root has to type.
pub fn install(packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    let command = format!("apt-get update && apt-get {} {list}", INSTALL.join(" "));
    if !available() {
        bail!("{list} is missing and this machine has no apt-get: install it by this system's own means");
    }
    if !rustix::process::geteuid().is_root() {
        bail!(
            "{list} is missing and only root can install it: run\n\n    sudo sh -c {}\n",
            shlex::try_quote(&command)?
        );
    }
    note(format!("as root: {command}"));
    update()?;
    step(&format!("installing {list}"), || {
        let tool = Tool::new("apt-get").args(INSTALL).args(packages.iter().copied());
        tool.env("DEBIAN_FRONTEND", "noninteractive").detached().output()
    })?;
    Ok(())
}

/// The name of the package that `package` depends on and whose name begins with `start`.
pub fn dependency(package: &str, start: &str) -> Result<String> {
    let look = || -> Result<Option<String>> {
        let text = Tool::new("apt-cache").args(["depends", package]).output()?;
        Ok(depends(&text, start))
    };
    // A new machine has no package lists at all, and apt-cache then fails or finds nothing.
    if let Ok(Some(found)) = look() {
        return Ok(found);
    }
    refresh()?;
    look()?.with_context(|| format!("{package} depends on no package named {start}..."))
}

/// Fetches a package and unpacks it into `into`, without installing it and without root.
pub fn unpack(package: &str, into: &Path) -> Result<()> {
    let room = tempfile::tempdir_in(into.parent().context("the root directory is no place to unpack into")?)?;
    step(&format!("fetching {package}"), || {
        // Without a sandbox user apt can write to a directory that only this user may enter.
        let tool = Tool::new("apt-get").args(["-o", "APT::Sandbox::User=root", "download", package]).dir(room.path());
        tool.output().or_else(|error| {
            // The lists may be older than the archive: the version they name is gone from it.
            refresh().map_err(|_| error)?;
            tool.output()
        })
    })?;
    let archive = std::fs::read_dir(room.path())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .with_context(|| format!("apt-get download {package} left no package"))?;
    step(&format!("unpacking {package}"), || Tool::new("dpkg-deb").arg("-x").arg(archive).arg(into).output())?;
    Ok(())
}

fn available() -> bool {
    Tool::new("apt-get").arg("--version").output().is_ok()
}

/// Gets the package lists, which only root may.
fn refresh() -> Result<()> {
    if !available() {
        bail!("this machine has no apt-get; the Linux VM is made of Debian's packages");
    }
    if !rustix::process::geteuid().is_root() {
        bail!("Debian's package lists are missing or old and only root can get them: run\n\n    sudo apt-get update\n");
    }
    update()
}

fn update() -> Result<()> {
    step("getting Debian's package lists", || Tool::new("apt-get").arg("update").output())?;
    Ok(())
}

/// Reads `apt-cache depends`.
fn depends(text: &str, start: &str) -> Option<String> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .find(|name| name.starts_with(start))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_the_package_its_meta_package_depends_on() {
        let text = "linux-image-cloud-amd64\n  Depends: base\n  Depends: linux-image-6.1.0-9-cloud-amd64\n";
        assert_eq!(depends(text, "linux-image-").as_deref(), Some("linux-image-6.1.0-9-cloud-amd64"));
        assert_eq!(depends("linux-image-cloud-amd64\n", "linux-image-"), None);
    }
}
