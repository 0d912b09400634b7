//! Bits that change between sender and receiver.

use super::*;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

/// Sends `message`, flips bits of its slot (counted from the slot's header), and receives what comes.
fn flipped(message: &[u8], bits: impl IntoIterator<Item = usize>) -> Result<Option<(Vec<u8>, Status)>, RecvError> {
    let mut way = way();
    way.sender.try_send(message).unwrap().ignore();
    for bit in bits {
        let word = way.slot(0) + bit / 64 * 8;
        way.spy.store(word, way.spy.load(word) ^ 1 << (bit % 64));
    }
    let mut buffer = [0; 32];
    let received = way.receiver.try_recv(&mut buffer, 0)?.map(|checked| (checked.bytes.to_vec(), checked.status));
    if let Some((_, status)) = received {
        // The next one is as good as ever, and knows of the one that was not.
        way.sender.try_send(b"next").unwrap().ignore();
        let next = way.receiver.try_recv(&mut buffer, 0).unwrap().unwrap();
        let expected = if status.is_good() { Status::Ok } else { Status::SomeLost { lost: 1 } };
        assert_eq!((next.bytes, next.status), (&b"next"[..], expected));
    }
    Ok(received)
}

/// Bits of the slot's header, and of header and head.
const HEADER: usize = 64;
const HEADS: usize = 64 + 3 * 64;

#[test]
fn every_single_flipped_bit_of_head_and_payload_is_a_bad_crc_and_the_message_is_handed_out_as_it_is() {
    let message = *b"fourteen bytes";
    for bit in HEADER..HEADS + message.len() * 8 {
        let mut expected = message;
        if let Some(bit) = bit.checked_sub(HEADS) {
            expected[bit / 8] ^= 1 << (bit % 8);
        }
        let (bytes, status) = flipped(&message, [bit]).unwrap().unwrap();
        assert_eq!(bytes, expected);
        assert!(matches!(status, Status::BadCrc { .. }), "bit {bit}: {status:?}");
    }
    // What lies behind the payload in its last word is none of it.
    for bit in HEADS + message.len() * 8..HEADS + 16 * 8 {
        assert_eq!(flipped(&message, [bit]), Ok(Some((message.to_vec(), Status::Ok))), "bit {bit}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn up_to_five_flipped_bits_of_head_and_payload_are_a_bad_crc(
        message in vec(any::<u8>(), 0..33), bits in vec(any::<prop::sample::Index>(), 1..6)
    ) {
        let bits: std::collections::BTreeSet<_> =
            bits.iter().map(|bit| HEADER + bit.index(HEADS - HEADER + message.len() * 8)).collect();
        let (_, status) = flipped(&message, bits).unwrap().unwrap();
        prop_assert!(matches!(status, Status::BadCrc { .. }), "{:?}", status);
    }

    #[test]
    fn a_burst_of_up_to_32_bits_in_head_and_payload_is_never_good(
        message in vec(any::<u8>(), 0..33), pattern in 1u32.., at: prop::sample::Index
    ) {
        let at = HEADER + at.index(HEADS - HEADER + message.len() * 8 - 31);
        let bits = (0..32).filter(|bit| pattern >> bit & 1 == 1).map(|bit| at + bit);
        let (_, status) = flipped(&message, bits).unwrap().unwrap();
        prop_assert!(!status.is_good(), "{:?}", status);
    }

    #[test]
    fn flipped_bits_of_the_slots_header_close_the_channel_or_are_a_bad_crc_and_never_pass(
        message in vec(any::<u8>(), 0..33), bits in btree_set(0usize..HEADER, 1..6)
    ) {
        match flipped(&message, bits.iter().copied()) {
            Ok(Some((_, status))) => {
                prop_assert!(matches!(status, Status::BadCrc { .. }), "{:?}", status);
                prop_assert!(bits.iter().all(|bit| (32..48).contains(bit)), "only a length that might be is left to the CRC");
            }
            Ok(None) => prop_assert!(false, "the message is gone, and nobody says so"),
            Err(error) => prop_assert!(matches!(error, RecvError::Violated(_)), "{}", error),
        }
    }
}
