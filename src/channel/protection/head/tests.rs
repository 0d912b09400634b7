use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use std::vec::Vec;

/// The same CRC, bit by bit, from its definition: reflected, polynomial 0xf4acfb13, all ones before and after.
fn bitwise(bytes: impl Iterator<Item = u8>) -> u32 {
    !bytes.fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ ((crc & 1) * 0xf4ac_fb13u32.reverse_bits()))
    })
}

/// A sealed message as it lies in memory: three words of head, then the payload.
fn sealed(length: usize) -> Vec<u8> {
    let payload = std::vec![0xa5; length];
    let head = Head { data_id: 0x51, length: length as u16, source: 7, sequence: 5, session: 0x0010_0100 };
    [head.seal(&payload).as_flattened(), &payload].concat()
}

fn open(message: &[u8]) -> Result<Head, Corrupt> {
    let (head, payload) = message.split_at(24);
    Head::open(head.as_chunks().0.try_into().unwrap(), payload)
}

/// What each single flipped bit, in order of memory, changes in the difference between the CRC that came and the one of what
/// came. The difference is linear: a set of flips is undetected by it exactly if its members' syndromes cancel.
fn syndromes(length: usize) -> Vec<u64> {
    let mut message = sealed(length);
    let flips = 0..message.len() * 8;
    let of_flip = |bit: usize| {
        message[bit / 8] ^= 1 << (bit % 8);
        let corrupt = open(&message).expect_err("a flipped bit");
        message[bit / 8] ^= 1 << (bit % 8);
        corrupt.found ^ u64::from(corrupt.computed)
    };
    flips.map(of_flip).collect()
}

#[test]
fn the_crc_is_autosars_from_word_0_to_the_payloads_end() {
    // The algorithm's published check value.
    assert_eq!(bitwise(b"123456789".iter().copied()), 0x1697_d06a);
    for length in [0, 1, 7, 8, 14, 32, 255, 65511] {
        let message = sealed(length);
        let covered = message[..16].iter().chain(&message[24..]).copied();
        assert_eq!(message[16..24], u64::from(bitwise(covered)).to_le_bytes(), "{length} bytes");
    }
}

#[test]
fn a_burst_of_up_to_32_bits_is_detected_wherever_it_lies_or_changes_the_session_too() {
    let mut missed = 0;
    for length in (0..=64).chain([111, 224, 992]) {
        for (at, window) in syndromes(length).windows(32).enumerate() {
            // Each syndrome, reduced by those before it, with the flips that it stands for.
            let mut basis = [(0u64, 0u32); 64];
            for (index, syndrome) in window.iter().enumerate() {
                let (mut rest, mut flips) = (*syndrome, 1 << index);
                while rest != 0 && basis[rest.trailing_zeros() as usize].0 != 0 {
                    let (other, others) = basis[rest.trailing_zeros() as usize];
                    rest ^= other;
                    flips ^= others;
                }
                if rest != 0 {
                    basis[rest.trailing_zeros() as usize] = (rest, flips);
                    continue;
                }
                // These flips cancel. In memory the CRC lies behind the session, and not behind the payload as a CRC would like it.
                let first = at + flips.trailing_zeros() as usize;
                assert!((96..128).contains(&first), "a burst from bit {first} of a message of {length} bytes");
                let mut message = sealed(length);
                let flipped = (0..32).filter(|bit| flips >> bit & 1 == 1).map(|bit| at + bit);
                flipped.for_each(|bit| message[bit / 8] ^= 1 << (bit % 8));
                let head = open(&message).expect("the CRC cannot tell");
                assert_ne!(head.session, open(&sealed(length)).unwrap().session);
                missed += 1;
            }
        }
    }
    assert!(missed > 0, "this test no longer shows why the session is compared besides");
}

/// All sums of two different ones, in order.
fn pairs(syndromes: &[u64]) -> Vec<u64> {
    let mut sums: Vec<_> = syndromes
        .iter()
        .enumerate()
        .flat_map(|(at, one)| syndromes[..at].iter().map(move |other| one ^ other))
        .collect();
    sums.sort_unstable();
    sums
}

#[test]
fn no_four_flipped_bits_of_248_bytes_are_missed() {
    let syndromes = syndromes(224);
    let pairs = pairs(&syndromes);
    assert!(pairs.windows(2).all(|pair| pair[0] != pair[1]), "two pairs cancel");
    assert!(pairs.first() != Some(&0), "a pair cancels");
    assert!(syndromes.iter().all(|one| *one != 0 && pairs.binary_search(one).is_err()), "one or three cancel");
}

#[test]
fn no_five_flipped_bits_of_a_message_of_one_cache_line_are_missed() {
    let syndromes = syndromes(32);
    let pairs = pairs(&syndromes);
    let place = |sum: u64| (sum as u32).wrapping_mul(0x9e37_79b1) as usize >> 8;
    let mut filter = std::vec![false; 1 << 24];
    for pair in &pairs {
        filter[place(*pair)] = true;
    }
    for (at, one) in syndromes.iter().enumerate() {
        for (below, other) in syndromes[..at].iter().enumerate() {
            for third in &syndromes[..below] {
                let sum = one ^ other ^ third;
                assert!(!filter[place(sum)] || pairs.binary_search(&sum).is_err(), "five cancel");
            }
        }
    }
}

proptest! {
    #[test]
    fn what_was_sealed_opens_as_it_was(
        data_id: u32, source: u16, sequence: u32, session: u32, payload in vec(any::<u8>(), 0..300)
    ) {
        let head = Head { data_id, length: payload.len() as u16, source, sequence, session };
        prop_assert_eq!(Head::open(&head.seal(&payload), &payload), Ok(head));
    }

    #[test]
    fn up_to_five_flipped_bits_of_up_to_4096_bytes_are_detected(
        length in 0usize..4072, flips in vec(any::<prop::sample::Index>(), 1..6)
    ) {
        let mut message = sealed(length);
        let mut bits: Vec<_> = flips.iter().map(|flip| flip.index(message.len() * 8)).collect();
        bits.sort_unstable();
        bits.dedup();
        for bit in bits {
            message[bit / 8] ^= 1 << (bit % 8);
        }
        prop_assert!(open(&message).is_err());
    }

    #[test]
    fn a_payload_cut_or_lengthened_is_not_what_was_sealed(length in 0usize..100, other in 0usize..100) {
        prop_assume!(length != other);
        let mut message = sealed(length);
        message.resize(24 + other, 0);
        prop_assert!(open(&message).is_err());
    }
}

#[test]
fn a_right_crc_over_another_length_is_corrupt() {
    // A sender that is wrong about the length, not a flipped bit.
    let head = Head { data_id: 0, length: 3, source: 0, sequence: 0, session: 0 };
    let words = head.seal(b"four");
    let corrupt = Head::open(&words, b"four").unwrap_err();
    assert_eq!(corrupt.found, u64::from(corrupt.computed));
}
