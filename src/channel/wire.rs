//! The wire format's constants and words, as `docs/wire-format.md` gives them; a test compares the two.

use super::config::End;

/// First word of each section: the bytes `ivshmbox`.
pub const MAGIC: u64 = u64::from_le_bytes(*b"ivshmbox");

/// Version of the wire format.
pub const VERSION: u64 = 1;

/// A section starts, and its length is, on a multiple of this: bytes.
pub const SECTION_ALIGN: usize = 4096;

/// Blocks that change in different rhythm lie this far apart: bytes (two cache lines, for adjacent-line prefetch).
pub const LINE: usize = 128;

/// A slot is a multiple of this: bytes.
pub const SLOT_ALIGN: usize = 64;

/// A slot's header: bytes.
pub const HEADER: usize = 8;

/// Byte offsets of the words of a section's link line.
pub mod link {
    /// [`MAGIC`](super::MAGIC).
    pub const MAGIC: usize = 0x00;
    /// [`VERSION`](super::VERSION).
    pub const VERSION: usize = 0x08;
    /// Digest of the channel configuration.
    pub const DIGEST: usize = 0x10;
    /// This end's epoch; [`withdrawn`](super::withdrawn) while it attaches.
    pub const EPOCH: usize = 0x18;
    /// The peer's epoch as this end last saw it.
    pub const SEEN: usize = 0x20;
    /// [`ATTACHED`](super::ATTACHED) or [`CLOSED`](super::CLOSED).
    pub const STATE: usize = 0x28;
    /// The ivshmem id in bits 0 to 15, bit 16 set if there is one.
    pub const IDENTITY: usize = 0x30;
    /// Bit n set: this end wants doorbells for channel n.
    pub const WANTS: usize = 0x38;
}

/// Byte offset of the heartbeat in a section.
pub const HEARTBEAT: usize = 0x80;

/// Byte offset of channel 0's line in a section; channel n's is n times [`LINE`] further.
pub const CHANNEL_LINES: usize = 0x100;

/// In the sender's line of a channel: the key under which the ring's slots are valid, 0 while they are being cleared.
pub const RING: usize = 0x00;

/// In the sender's line of a channel: the same key once more. A receiver looks at [`RING`] before the first slot it reads
/// and at this after each payload, so that a ring emptied meanwhile is noticed and no word is read twice in a call.
pub const RING_AFTER: usize = 0x08;

/// Slots of a sampling channel.
pub const SAMPLES: u32 = 4;

/// In the writer's line of a sampling channel: number of the sample that is whole, and the writer's epoch's low half.
pub const LATEST: usize = 0x00;

/// In the writer's line of a sampling channel: number of the sample that was begun last, and the same. A reader looks at
/// [`LATEST`] before it copies and at this afterwards: a slot is written anew only by the sample four numbers later.
pub const STARTED: usize = 0x08;

/// The kind byte of a slot's header, and the bytes that some kinds begin with.
pub mod kind {
    /// A message of a queuing channel, or a sample.
    pub const MESSAGE: u8 = 0;
    /// A request.
    pub const REQUEST: u8 = 1;
    /// A request's cancellation.
    pub const CANCEL: u8 = 2;
    /// A response.
    pub const RESPONSE: u8 = 3;
    /// Bytes at the start of every request, cancellation and response.
    pub const HEAD: u16 = 16;
    /// Bytes at the start of every message of a protected channel.
    pub const PROTECTION: u16 = 24;
}

/// In the receiver's line of a channel: consumed count and key.
pub const ACKNOWLEDGED: usize = 0x00;

/// In the receiver's line of a channel: the sequence from which a doorbell is wanted, and key.
pub const WISH: usize = 0x08;

/// State word of an attached end.
pub const ATTACHED: u64 = 1;

/// State word of an end that closed.
pub const CLOSED: u64 = 2;

/// Bit of the identity word that says that there is an ivshmem id.
const HAS_ID: u64 = 1 << 16;

/// The identity word of an end.
pub const fn identity(id: Option<u16>) -> u64 {
    match id {
        Some(id) => HAS_ID | id as u64,
        None => 0,
    }
}

/// The ivshmem id in an identity word; `None` for a word that no honest end writes.
pub const fn parse_identity(word: u64) -> Option<Option<u16>> {
    match word {
        0 => Some(None),
        _ if word >> 16 == 1 => Some(Some((word & 0xffff) as u16)),
        _ => None,
    }
}

/// The low 12 bits of an epoch, never 0: the part of it that goes into the key.
pub const fn epoch_counter(epoch: u64) -> u32 {
    (epoch & 0xfff) as u32
}

/// Says under which session, and which restart of one channel within it, a word was written.
///
/// Bits 20 to 31: the First end's epoch counter; 8 to 19: the Second's; 0 to 7: the channel's generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Key(u32);

impl Key {
    /// The key of generation 0 in the session of these two epochs. Never 0.
    pub const fn new(first_epoch: u64, second_epoch: u64) -> Self {
        Self(epoch_counter(first_epoch) << 20 | epoch_counter(second_epoch) << 8)
    }

    /// The key's 32 bits.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The key of these bits.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The counter of this end's epoch.
    pub(super) const fn counter(self, end: End) -> u32 {
        match end {
            End::First => self.0 >> 20,
            End::Second => self.0 >> 8 & 0xfff,
        }
    }

    /// The next generation of the same session.
    pub const fn next_generation(self) -> Self {
        Self(self.0 & !0xff | (self.0 as u8).wrapping_add(1) as u32)
    }

    /// Whether this key is of `other`'s session and of a later generation (at most 127 later).
    pub const fn is_later_generation_of(self, other: Self) -> bool {
        let ahead = (self.0 as u8).wrapping_sub(other.0 as u8);
        self.0 >> 8 == other.0 >> 8 && ahead >= 1 && ahead <= 127
    }

    /// The 8-bit tag in the slots' headers: first + 16 * second + 64 * generation, modulo 256.
    ///
    /// One restart of either end, or of both, and one restart of the channel each change it.
    pub const fn tag(self) -> u8 {
        let first = (self.0 >> 20) as u8;
        let second = (self.0 >> 8) as u8;
        first.wrapping_add(second.wrapping_mul(16)).wrapping_add((self.0 as u8).wrapping_mul(64))
    }
}

/// A slot's header: one word, stored last, that publishes the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Header {
    /// Bits 0 to 31: low half of position + 1.
    pub stamp: u32,
    /// Bits 32 to 47: payload bytes.
    pub length: u16,
    /// Bits 48 to 55: message kind, see [`kind`].
    pub kind: u8,
    /// Bits 56 to 63: [`Key::tag`].
    pub tag: u8,
}

impl Header {
    /// The header's word.
    pub const fn to_word(self) -> u64 {
        self.stamp as u64 | (self.length as u64) << 32 | (self.kind as u64) << 48 | (self.tag as u64) << 56
    }

    /// The header in a word; every word is one.
    pub const fn from_word(word: u64) -> Self {
        Self { stamp: word as u32, length: (word >> 32) as u16, kind: (word >> 48) as u8, tag: (word >> 56) as u8 }
    }
}

/// A 32-bit count and the key it belongs to, in one word: acknowledgements and wishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Keyed {
    /// Bits 0 to 31.
    pub count: u32,
    /// Bits 32 to 63.
    pub key: Key,
}

impl Keyed {
    /// The word.
    pub const fn to_word(self) -> u64 {
        self.count as u64 | (self.key.0 as u64) << 32
    }

    /// The count and key in a word; every word has them.
    pub const fn from_word(word: u64) -> Self {
        Self { count: word as u32, key: Key((word >> 32) as u32) }
    }
}

/// Whether a word at [`link::EPOCH`] is an epoch: one whose low half is 0 says that nobody is attached.
pub const fn is_epoch(word: u64) -> bool {
    word as u32 != 0
}

/// The word at [`link::EPOCH`] while an end attaches that found `previous` there: no epoch, but what epochs count on from, in
/// bits 32 to 63. An end that dies in the middle of attaching takes no count with it.
pub const fn withdrawn(previous: u64) -> u64 {
    (counter(previous) as u64) << 32
}

/// The count in a word at [`link::EPOCH`], of an epoch or withdrawn.
const fn counter(word: u64) -> u32 {
    if is_epoch(word) { word as u32 } else { (word >> 32) as u32 }
}

/// The epoch of an end that finds `previous` at its [`link::EPOCH`], an epoch or [`withdrawn`], and whose peer last echoed `echoed`.
///
/// Bits 32 to 63 are `seed`'s low half. Bits 0 to 31 count on from `previous`; their low 12 bits are neither 0
/// nor those of `echoed`. So epochs, and keys, differ from those of earlier sessions without any clock or random source.
pub const fn next_epoch(previous: u64, echoed: u64, seed: u64) -> u64 {
    let mut counter = counter(previous);
    // At most three rounds: two low-12-bit values are excluded.
    loop {
        counter = counter.wrapping_add(1);
        let low = counter & 0xfff;
        if low != 0 && low != epoch_counter(echoed) {
            return seed << 32 | counter as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn words_survive_packing(word: u64) {
            prop_assert_eq!(Header::from_word(word).to_word(), word);
            prop_assert_eq!(Keyed::from_word(word).to_word(), word);
        }

        #[test]
        fn epochs_differ_from_the_previous_and_the_echoed_one_without_a_seed(previous: u64, echoed: u64) {
            let epoch = next_epoch(previous, echoed, 0);
            prop_assert_ne!(epoch_counter(epoch), 0);
            prop_assert_ne!(epoch_counter(epoch), epoch_counter(echoed));
            prop_assert!((1..=3).contains(&counter(epoch).wrapping_sub(counter(previous))));
        }

        #[test]
        fn a_withdrawn_epoch_is_none_and_keeps_the_count(previous: u64, echoed: u64, seed: u64) {
            prop_assert!(is_epoch(next_epoch(previous, echoed, seed)));
            let withdrawn = withdrawn(previous);
            prop_assert!(!is_epoch(withdrawn));
            prop_assert_eq!(next_epoch(withdrawn, echoed, seed), next_epoch(previous, echoed, seed));
            prop_assert_eq!(super::withdrawn(withdrawn), withdrawn);
        }

        #[test]
        fn one_restart_of_any_kind_changes_key_and_tag(first in 1u64..0xffe, second in 1u64..0xffe) {
            let key = Key::new(first, second);
            for other in [Key::new(first + 1, second), Key::new(first, second + 1), Key::new(first + 1, second + 1), key.next_generation()] {
                prop_assert_ne!(key, other);
                prop_assert_ne!(key.tag(), other.tag());
            }
        }
    }

    #[test]
    fn generations_are_ordered_over_the_wrap() {
        let key = Key::from_bits(0x0010_01ff);
        assert_eq!(key.next_generation(), Key::from_bits(0x0010_0100));
        assert!(key.next_generation().is_later_generation_of(key));
        assert!(!key.is_later_generation_of(key.next_generation()));
        assert!(!key.is_later_generation_of(key));
        assert!(!Key::from_bits(0x0010_0201).is_later_generation_of(Key::from_bits(0x0010_0100)));
    }

    #[test]
    fn an_identity_word_is_an_id_or_none_or_dishonest() {
        assert_eq!(parse_identity(identity(None)), Some(None));
        assert_eq!(parse_identity(identity(Some(0))), Some(Some(0)));
        assert_eq!(parse_identity(identity(Some(0xffff))), Some(Some(0xffff)));
        for word in [1, 0xffff, 0x2_0000, u64::MAX] {
            assert_eq!(parse_identity(word), None, "{word:#x}");
        }
    }
}
