//! Names in the file system that we made, and unmake.

use std::path::{Path, PathBuf};

use rustix::fs::{Stat, lstat, unlink};

use crate::error::{Error, system};

/// A name that we made. It is removed on drop, unless it names something else by then.
#[derive(Debug)]
pub struct Made {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Made {
    /// Takes responsibility for `path`, which the caller has just made.
    ///
    /// # Errors
    /// When it cannot be looked up: it is gone already.
    pub fn new(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        // A later change of the working directory must not make it another name.
        let path = std::path::absolute(&path).unwrap_or(path);
        let stat = lstat(&path).map_err(system(format!("look up {}", path.display())))?;
        Ok(Self { path, device: stat.st_dev, inode: stat.st_ino })
    }

    /// The name, absolute.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn is(&self, stat: &Stat) -> bool {
        (stat.st_dev, stat.st_ino) == (self.device, self.inode)
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if lstat(&self.path).is_ok_and(|stat| self.is(&stat)) {
            let _gone_already = unlink(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_removes_what_it_made() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("made");
        std::fs::write(&path, "").unwrap();
        drop(Made::new(&path).unwrap());
        assert!(!path.exists());
    }

    #[test]
    fn it_leaves_what_somebody_else_put_in_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("made");
        std::fs::write(&path, "ours").unwrap();
        let made = Made::new(&path).unwrap();
        let other = directory.path().join("other");
        std::fs::write(&other, "theirs").unwrap();
        std::fs::rename(&other, &path).unwrap();
        drop(made);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "theirs");
    }
}
