//! Negative controls: what each rule of the protocol is worth, shown by leaving it out.
//!
//! A build with `--cfg ivshmem_control="NAME"` lacks the rule NAME, and `cargo xtask test controls` demands that the tests named
//! there then fail. Without such a flag every constant is `true` and nothing of this is left in the code.

macro_rules! rules {
    ($($(#[$attribute:meta])* $rule:ident $name:literal;)+) => {
        $($(#[$attribute])* pub(crate) const $rule: bool = !cfg!(ivshmem_control = $name);)+
    };
}

rules! {
    /// The header that was validated is the one that is used: it is fetched once.
    SINGLE_FETCH "single_fetch";
    /// A message longer than the channel's longest is a violation.
    LENGTH_CHECK "length_check";
    /// A slot's tag must be that of the session and generation.
    TAG_CHECK "tag_check";
    /// More acknowledged than sent is a violation.
    ACKNOWLEDGED_RANGE "acknowledged_range";
    /// The link comes up only for a peer that echoes this side's epoch.
    EPOCH_ECHO "epoch_echo";
    /// An attach withdraws the echo that its predecessor gave.
    ECHO_WITHDRAWN "echo_withdrawn";
    /// The slots are cleared before the ring is offered under a new key.
    CLEARED_SLOTS "cleared_slots";
    /// The ring's key is looked at again after the payload.
    KEY_AFTER_PAYLOAD "key_after_payload";
    /// A slot's header is stored after its payload.
    HEADER_LAST "header_last";
    /// What publishes is stored with Release.
    RELEASE_STORE "release_store";
    /// A fence lies between the wish and the last look, and between the stamp and the look at the wish.
    WISH_FENCE "wish_fence";
    /// A receiver looks once more after its wish, before it sleeps.
    LOOK_AGAIN "look_again";
    /// A reader looks how far the writer had got after it copied a value.
    STARTED_LOOK "started_look";
    /// A response ends the request of its own generation only.
    REQUEST_GENERATION "request_generation";
    /// A protected message whose CRC is another is corrupt.
    #[cfg(feature = "protection")]
    CRC_CHECK "crc_check";
    /// A violation closes the channel until it is forgiven.
    LATCH "latch";
}
