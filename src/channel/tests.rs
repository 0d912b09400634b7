//! The mailbox against memory that answers as it likes: bounds of every call, and no panic whatever is read.

use crate::fake::drive;
use proptest::collection::vec;
use proptest::prelude::*;

mod words;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_the_peer_writes_calls_are_bounded_fetch_once_stay_inside_and_never_panic(bytes in vec(any::<u8>(), 0..400)) {
        drive::handshake(&bytes);
    }

    #[test]
    fn on_a_link_that_is_up_hostile_channel_words_are_bounded_fetched_once_and_never_panic(bytes in vec(any::<u8>(), 0..400)) {
        drive::queuing(&bytes);
    }

    #[test]
    fn on_a_link_that_is_up_hostile_sampling_words_are_bounded_fetched_once_and_never_panic(bytes in vec(any::<u8>(), 0..400)) {
        drive::sampling(&bytes);
    }

    #[test]
    fn on_a_link_that_is_up_hostile_request_words_are_bounded_fetched_once_and_never_panic(bytes in vec(any::<u8>(), 0..400)) {
        drive::request(&bytes);
    }
}
