//! The digest by which two ends compare what each knows of the channels.

use super::config::{Channel, End};
use super::wire::VERSION;

/// The digest by which two ends compare their configurations: FNV-1a, 64 bits.
///
/// Over the version (8 bytes) and the number of channels (8 bytes), then for each channel kind (1 byte: 1 queuing, 2 sampling,
/// 3 request, 4 response; 0x80 more if protected), sender (1 byte, 0 for First), max_len (2 bytes), slots (4 bytes) and,
/// if protected, data id (4 bytes); all little-endian.
pub fn digest(channels: &[Channel]) -> u64 {
    let mut hash = fnv1a(FNV_OFFSET, &VERSION.to_le_bytes());
    hash = fnv1a(hash, &(channels.len() as u64).to_le_bytes());
    for channel in channels {
        let protected = if channel.data_id.is_some() { PROTECTED } else { 0 };
        let from = match channel.from {
            End::First => 0,
            End::Second => 1,
        };
        hash = fnv1a(hash, &[channel.kind.code() | protected, from]);
        hash = fnv1a(hash, &channel.max_len.to_le_bytes());
        hash = fnv1a(hash, &channel.slots.to_le_bytes());
        if let Some(data_id) = channel.data_id {
            hash = fnv1a(hash, &data_id.to_le_bytes());
        }
    }
    hash
}

/// Set in the kind's byte of a protected channel.
const PROTECTED: u8 = 0x80;

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

fn fnv1a(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv_1a() {
        // The algorithm's published vectors.
        assert_eq!(fnv1a(FNV_OFFSET, b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(FNV_OFFSET, b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(FNV_OFFSET, b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn the_digest_tells_kind_direction_size_depth_and_protection_apart_but_not_vectors_and_priorities() {
        let base = Channel::queuing(End::First, 4, 248);
        let of = |channel: Channel| digest(&[channel]);
        assert_eq!(of(base), of(base.vector(3).priority(1)));
        let all = [
            base,
            Channel::queuing(End::Second, 4, 248),
            Channel::queuing(End::First, 32, 248),
            Channel::queuing(End::First, 4, 247),
            Channel::sampling(End::First, 248),
            Channel::request(End::First, 4, 248),
            Channel::response(End::First, 4, 248),
            base.protected(0),
            base.protected(1),
        ];
        for (index, channel) in all.iter().enumerate() {
            assert!(all[..index].iter().all(|other| of(*other) != of(*channel)), "{channel:?}");
        }
        assert_ne!(of(base), digest(&[base, base]));
    }
}
