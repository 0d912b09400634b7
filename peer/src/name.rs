//! How a user names a device: `--device <name>`.

use core::fmt;
use core::str::FromStr;
use ivshmem::pci::{Address, AddressError};
use std::path::PathBuf;

/// A device, and which way to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceName {
    /// `ssss:bb:dd.f`: the PCI function, by VFIO if it has interrupts to wait for, else by sysfs.
    Function(Address),
    /// `vfio:ssss:bb:dd.f`: the PCI function by VFIO; needs an IOMMU.
    Vfio(Address),
    /// `sysfs:ssss:bb:dd.f`: the PCI function by its resource files; polled, but can ring.
    Sysfs(Address),
    /// `socket:path`: an ivshmem server's socket; this process is a peer of its own.
    Socket(PathBuf),
    /// `file:path`: the file of a host's memory backend; polled.
    File(PathBuf),
}

/// Text that names no device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameError {
    text: String,
    reason: Option<AddressError>,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" names no device: ", self.text)?;
        match self.reason {
            Some(reason) => write!(f, "{reason}; ")?,
            None => f.write_str("the path is missing; ")?,
        }
        f.write_str("expected <address>, vfio:<address>, sysfs:<address>, socket:<path> or file:<path>")
    }
}

impl std::error::Error for NameError {}

impl DeviceName {
    /// Where it is, without the way to it: the function's address or the path.
    pub fn place(&self) -> String {
        match self {
            Self::Function(address) | Self::Vfio(address) | Self::Sysfs(address) => address.to_string(),
            Self::Socket(path) | Self::File(path) => path.display().to_string(),
        }
    }
}

impl FromStr for DeviceName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let error = |reason| NameError { text: text.to_owned(), reason };
        let address = |text: &str| text.parse::<Address>().map_err(|reason| error(Some(reason)));
        let path = |text: &str| if text.is_empty() { Err(error(None)) } else { Ok(PathBuf::from(text)) };
        match text.split_once(':') {
            Some(("vfio", rest)) => address(rest).map(Self::Vfio),
            Some(("sysfs", rest)) => address(rest).map(Self::Sysfs),
            Some(("socket", rest)) => path(rest).map(Self::Socket),
            Some(("file", rest)) => path(rest).map(Self::File),
            _ => address(text).map(Self::Function),
        }
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Function(address) => write!(f, "{address}"),
            Self::Vfio(address) => write!(f, "vfio:{address}"),
            Self::Sysfs(address) => write!(f, "sysfs:{address}"),
            Self::Socket(path) => write!(f, "socket:{}", path.display()),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_and_parses_the_same_text() {
        for text in ["0000:00:03.0", "vfio:0000:00:03.0", "sysfs:0001:81:1f.7", "socket:a:b", "file:/a b/c"] {
            assert_eq!(text.parse::<DeviceName>().unwrap().to_string(), text);
        }
        assert_eq!("00:03.0".parse::<DeviceName>().unwrap().to_string(), "0000:00:03.0");
    }

    #[test]
    fn text_that_names_no_device_is_an_error_with_the_text_and_the_reason() {
        let error = |text: &str| text.parse::<DeviceName>().unwrap_err().to_string();
        assert!(error("vfio:0000:00:20.0").starts_with("\"vfio:0000:00:20.0\" names no device: PCI device number 32"));
        assert!(error("file:").contains("the path is missing"));
        for text in ["", "ivshmem", "uio:0000:00:03.0", "socket"] {
            assert!(error(text).contains("expected <address>, vfio:"), "{text}");
        }
    }
}
