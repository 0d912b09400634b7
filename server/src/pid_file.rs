//! The file that tells our process id.

use std::fs::OpenOptions;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, bail};
use ivshmem_server::Made;
use rustix::fs::{FlockOperation, OFlags, flock};

/// More than any process id has digits.
const LONGEST: u64 = 32;

/// The file, removed on drop. As long as it is here it is locked, so that a second server does not take it over.
#[derive(Debug)]
pub struct PidFile {
    _made: Made,
    _locked: std::fs::File,
}

impl PidFile {
    /// Writes our process id to `path`. A file that a dead server left is taken over; anything else is not touched.
    pub fn write(path: &Path) -> anyhow::Result<Self> {
        let context = || format!("cannot write pid file {}", path.display());
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            // Not through a link that somebody laid in /tmp.
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(path)
            .with_context(context)?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            bail!("pid file {} belongs to a running server", path.display());
        }
        let mut content = String::new();
        let read = Read::by_ref(&mut file).take(LONGEST).read_to_string(&mut content);
        let is_pid = read.is_ok() && content.trim_end().bytes().all(|byte| byte.is_ascii_digit());
        if !is_pid {
            bail!("{} exists and is not a pid file: not overwriting it", path.display());
        }
        let made = Made::new(path)?;
        file.rewind().with_context(context)?;
        file.set_len(0).with_context(context)?;
        writeln!(file, "{}", std::process::id()).with_context(context)?;
        Ok(Self { _made: made, _locked: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_the_id_and_goes_with_its_server() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        let file = PidFile::write(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn one_that_a_dead_server_left_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        std::fs::write(&path, "123456789\n").unwrap();
        let _file = PidFile::write(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
    }

    #[test]
    fn one_of_a_running_server_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        let _file = PidFile::write(&path).unwrap();
        assert!(PidFile::write(&path).unwrap_err().to_string().contains("running server"));
        assert!(path.exists());
    }

    #[test]
    fn what_is_no_pid_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("precious");
        std::fs::write(&path, "text").unwrap();
        assert!(PidFile::write(&path).unwrap_err().to_string().contains("not a pid file"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "text");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(PidFile::write(&link).is_err());
    }
}
