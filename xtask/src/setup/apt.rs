//! Debian packages: installed by root, or fetched and unpacked by anyone.

use crate::progress::{note, step};
use crate::tool::Tool;
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
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
    unpack_with(package, into, |dir| {
        // Without a sandbox user apt can write to a directory that only this user may enter.
        let tool = Tool::new("apt-get").args(["-o", "APT::Sandbox::User=root", "download", package]).dir(dir);
        let fetched = tool.output().or_else(|error| {
            // The lists may be older than the archive: the version they name is gone from it.
            refresh().map_err(|_| error)?;
            tool.output()
        });
        fetched.map(drop)
    })
}

/// Unpacks the package that `fetch` leaves in a directory.
fn unpack_with(package: &str, into: &Path, fetch: impl Fn(&Path) -> Result<()>) -> Result<()> {
    let room = tempfile::tempdir_in(into.parent().context("the root directory is no place to unpack into")?)?;
    step(&format!("fetching {package}"), || fetch(room.path()))?;
    let archive = std::fs::read_dir(room.path())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .with_context(|| format!("apt-get download {package} left no package"))?;
    step(&format!("unpacking {package}"), || Tool::new("dpkg-deb").arg("-x").arg(archive).arg(into).output())?;
    Ok(())
}

/// Debian's backports to the release that this machine has, read with lists of our own: nothing is installed or configured, and no root needed.
#[derive(Debug)]
pub struct Backports {
    /// What makes apt use our lists.
    options: Vec<OsString>,
    suite: String,
}

/// What verifies Debian's archive, on a Debian.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Where each list is from: address, suite and component.
const TARGETS: [&str; 4] = ["indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"];

impl Backports {
    /// Gets the lists into `room`.
    pub fn open(room: &Path) -> Result<Self> {
        if !available() {
            bail!("this machine has no apt-get to get Debian's backports with");
        }
        let release = std::fs::read_to_string("/etc/os-release").context("/etc/os-release")?;
        let codename = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
        let codename = codename.context("/etc/os-release names no Debian release")?;
        let suite = format!("{codename}-backports");
        let targets = Tool::new("apt-get").args(TARGETS).output()?;
        let archive = archive(&targets, codename);
        let archive = archive.with_context(|| format!("apt knows no archive of {codename}'s main packages"))?;

        let dir = room.join("apt");
        ["lists/partial", "cache/archives/partial"]
            .iter()
            .try_for_each(|part| std::fs::create_dir_all(dir.join(part)))?;
        let key = if Path::new(KEYRING).exists() { format!("[signed-by={KEYRING}] ") } else { String::new() };
        let sources = dir.join("sources.list");
        std::fs::write(&sources, format!("deb {key}{archive} {suite} main\n"))?;
        let option = |name: &str, value: &Path| {
            let mut option = OsString::from(format!("{name}="));
            option.push(value);
            ["-o".into(), option]
        };
        let options = [
            option("Dir::Etc::SourceList", &sources),
            option("Dir::Etc::SourceParts", Path::new("/dev/null")),
            option("Dir::State::Lists", &dir.join("lists")),
            option("Dir::Cache", &dir.join("cache")),
            // Without a sandbox user apt can write to a directory that only this user may enter.
            option("APT::Sandbox::User", Path::new("root")),
        ];
        let backports = Self { options: options.into_iter().flatten().collect(), suite };
        step("getting the lists of Debian's backports", || backports.apt("update").output())?;
        Ok(backports)
    }

    /// Fetches packages and unpacks them into `into`.
    pub fn unpack(&self, packages: &[&str], into: &Path) -> Result<()> {
        for package in packages {
            unpack_with(package, into, |dir| {
                self.apt("download").arg(format!("{package}/{}", self.suite)).dir(dir).output().map(drop)
            })?;
        }
        Ok(())
    }

    fn apt(&self, verb: &str) -> Tool {
        Tool::new("apt-get").args(self.options.iter().cloned()).arg(verb)
    }
}

/// Reads [`TARGETS`].
fn archive<'a>(targets: &'a str, codename: &str) -> Option<&'a str> {
    targets.lines().find_map(|line| {
        let [address, suite, component] = line.split(' ').collect::<Vec<_>>().try_into().ok()?;
        (suite == codename && component == "main").then_some(address)
    })
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

    #[test]
    fn the_backports_are_where_the_release_is() {
        let text = "x://other/ nodistro main\nx://y/debian/ bookworm-updates main\nx://y/debian/ bookworm contrib\n\
                    x://y/debian/ bookworm main\n";
        assert_eq!(archive(text, "bookworm"), Some("x://y/debian/"));
        assert_eq!(archive(text, "trixie"), None);
    }
}
