//! A receiver's wish to be rung, and how a sender serves it: once.

use super::config::Kind;
use super::layout::Place;
use super::mailbox::Mailbox;
use super::notice::Notice;
use super::wire::{self, Key, Keyed};
use crate::control;
use crate::memory::Memory;
use crate::sync::{Ordering, fence};

/// The wish that a sender served last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wish(Option<Keyed>);

impl Wish {
    /// Whether a doorbell is due after everything up to `sent`: at most 1 load.
    pub(super) fn serve<M: Memory>(
        &mut self,
        mailbox: &Mailbox<'_, M>,
        channel: usize,
        place: Place,
        sent: Keyed,
    ) -> Notice {
        let Some(config) = mailbox.channels.get(channel).filter(|_| mailbox.board.wants(channel)) else {
            return Notice::NONE;
        };
        // SeqCst: the slots' stamps are visible before the wish is read. With the receiver's fence between its wish
        // and its last look, one of the two sees the other, and no wake-up is lost between them.
        if control::WISH_FENCE {
            fence(Ordering::SeqCst);
        }
        let wish = Keyed::from_word(mailbox.memory.load(place.theirs.saturating_add(wire::WISH)));
        // Nothing is sent yet under a count of 0, unless it has come round; then one doorbell may be late by a message.
        let passed = wish.key == sent.key && sent.count != 0 && sent.count.wrapping_sub(wish.count) < 1 << 31;
        // Asleep over a ring that was given up since: that is news whatever is sent. A sampling channel has no ring.
        let given_up = config.kind != Kind::Sampling && sent.key.is_later_generation_of(wish.key);
        if !(passed || given_up) || self.0 == Some(wish) {
            return Notice::NONE;
        }
        let Some(peer) = mailbox.board.peer_id() else { return Notice::NONE };
        self.0 = Some(wish);
        Notice::due(peer, config.vector)
    }

    /// A receiver wishes to be rung once there is `next`, under this key. Afterwards it looks once more, and then may sleep.
    pub(super) fn make<M: Memory>(mailbox: &Mailbox<'_, M>, place: Place, next: u32, key: Key) {
        mailbox.memory.publish(place.ours.saturating_add(wire::WISH), Keyed { count: next, key }.to_word());
        // SeqCst: the wish is visible before the last look. With the sender's fence between its stamp and its reading
        // of the wish, one of the two sees the other, and no wake-up is lost between them.
        if control::WISH_FENCE {
            fence(Ordering::SeqCst);
        }
    }
}
