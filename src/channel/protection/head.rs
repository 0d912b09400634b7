//! The 24 bytes in front of every protected payload.

use super::super::wire::kind;
use crate::control;
use crc::{CRC_32_AUTOSAR, Crc};

/// A head as it is in memory: three words, little-endian.
pub type Words = [[u8; 8]; 3];

const _: () = assert!(size_of::<Words>() == kind::PROTECTION as usize);

static CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_AUTOSAR);

/// What a protected message says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Head {
    /// Names the channel's data: [`Channel::protected`](super::super::Channel::protected). Word 0, bits 0 to 31.
    pub data_id: u32,
    /// Bytes of payload. Word 0, bits 32 to 47.
    pub length: u16,
    /// Names the sender. Word 0, bits 48 to 63.
    pub source: u16,
    /// Counts the messages that the sender sent in this session, from 0, wrapping. Word 1, bits 0 to 31.
    pub sequence: u32,
    /// The key of the session and of the channel's generation in it. Word 1, bits 32 to 63.
    pub session: u32,
}

/// A head, or its payload, that is not as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Corrupt {
    /// The head's word 2: the CRC that came, in bits 0 to 31, and zeros.
    pub found: u64,
    /// The CRC of what came.
    pub computed: u32,
}

impl Head {
    /// The head's words for this payload: word 2 is the CRC over words 0 and 1 and the payload.
    pub fn seal(self, payload: &[u8]) -> Words {
        let word_0 = u64::from(self.data_id) | u64::from(self.length) << 32 | u64::from(self.source) << 48;
        let word_1 = u64::from(self.sequence) | u64::from(self.session) << 32;
        let [word_0, word_1] = [word_0, word_1].map(u64::to_le_bytes);
        [word_0, word_1, u64::from(crc([word_0, word_1], payload)).to_le_bytes()]
    }

    /// The head in these words, if it and the payload are as they were sealed.
    pub fn open(&[word_0, word_1, word_2]: &Words, payload: &[u8]) -> Result<Self, Corrupt> {
        let computed = crc([word_0, word_1], payload);
        let [word_0, word_1, found] = [word_0, word_1, word_2].map(u64::from_le_bytes);
        let head = Self {
            data_id: word_0 as u32,
            length: (word_0 >> 32) as u16,
            source: (word_0 >> 48) as u16,
            sequence: word_1 as u32,
            session: (word_1 >> 32) as u32,
        };
        let is_whole = found == u64::from(computed) || !control::CRC_CHECK;
        match is_whole && usize::from(head.length) == payload.len() {
            true => Ok(head),
            false => Err(Corrupt { found, computed }),
        }
    }
}

fn crc(words: [[u8; 8]; 2], payload: &[u8]) -> u32 {
    let mut digest = CRC.digest();
    digest.update(words.as_flattened());
    digest.update(payload);
    digest.finalize()
}

#[cfg(test)]
mod tests;
