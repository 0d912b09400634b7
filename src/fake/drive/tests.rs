use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn whatever_configuration_space_answers_the_walk_through_capabilities_is_bounded_and_in_place(
        bytes in vec(any::<u8>(), 0..300)
    ) {
        super::capabilities(&bytes);
    }

    #[test]
    fn whatever_bars_are_and_answer_sizing_is_bounded_and_leaves_them_as_they_were(bytes in vec(any::<u8>(), 0..200)) {
        super::bars(&bytes);
    }

    #[test]
    fn whatever_configuration_space_holds_and_answers_numbering_and_placing_are_bounded_and_move_nothing(
        bytes in vec(any::<u8>(), 0..500)
    ) {
        super::assign(&bytes);
    }

    #[test]
    fn whatever_a_device_is_and_answers_only_its_table_and_doorbell_are_written_and_calls_are_bounded(
        bytes in vec(any::<u8>(), 0..300)
    ) {
        super::msix(&bytes);
    }
}
