//! A message being written.

use core::fmt;

/// The longest message of the images' channels, in bytes.
pub const MAX_LEN: usize = ivshmem::channel::COMMAND_RESPONSE[1].max_len() as usize;

/// A message of at most [`MAX_LEN`] bytes; what does not fit is cut off.
#[derive(Clone, Debug, Default)]
pub struct Response(heapless::Vec<u8, MAX_LEN>);

impl Response {
    /// An empty one.
    pub const fn new() -> Self {
        Self(heapless::Vec::new())
    }

    /// Appends as much of `bytes` as fits.
    pub fn append(&mut self, bytes: &[u8]) {
        let room = MAX_LEN - self.0.len();
        // Never more than the room there is.
        let _ = self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// What was written.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl fmt::Write for Response {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.append(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_cut_off() {
        let mut response = Response::new();
        response.append(&[1; MAX_LEN - 1]);
        response.append(&[2; 2]);
        response.append(&[3; MAX_LEN]);
        assert_eq!(response.bytes().len(), MAX_LEN);
        assert_eq!(response.bytes()[MAX_LEN - 2..], [1, 2]);
    }
}
