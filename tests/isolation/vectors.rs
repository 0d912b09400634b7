//! Each channel has its own interrupt vector.

use super::*;
use ivshmem::notify::Doorbell;
use std::convert::Infallible;

#[derive(Default)]
struct Bell(RefCell<Vec<(u16, u16)>>);

impl Doorbell for Bell {
    type Error = Infallible;

    fn ring(&self, peer: u16, vector: u16) -> Result<(), Infallible> {
        self.0.borrow_mut().push((peer, vector));
        Ok(())
    }
}

/// The most channels that there can be, in both directions, each with a vector that no other has.
const MANY: [Channel; MAX_CHANNELS] = {
    let mut channels = [Channel::queuing(End::First, 4, 8); MAX_CHANNELS];
    let mut index = 0;
    while index < MAX_CHANNELS {
        let from = if index % 2 == 0 { End::First } else { End::Second };
        channels[index] = Channel::queuing(from, 4, 8).vector(255 - index as u16 * 3);
        index += 1;
    }
    channels
};

/// Meets a channel's receiver, which asks for a doorbell for the message after the first, and rings for it.
fn ring<A: Memory, B: Memory>(mut sender: Sender<'_, A>, mut receiver: Receiver<'_, B>, bell: &Bell) {
    assert_eq!(receiver.try_recv(&mut [0; 8]), Ok(None));
    assert!(!sender.try_send(b"unasked").unwrap().is_due(), "the wishes before this were of other channels");
    assert!(receiver.try_recv(&mut [0; 8]).unwrap().is_some() && !receiver.arm());
    assert_eq!(sender.try_send(b"asked").unwrap().ring(bell), Ok(true));
}

#[test]
fn a_notice_carries_its_own_channels_vector_and_no_other_channels_wish_is_served() {
    let Pair { first: (_link, mut first), second: (_peer, mut second), .. } = pair(&MANY, Attach::interrupt_driven(0));
    let bell = Bell::default();
    for (index, channel) in MANY.iter().enumerate() {
        match channel.from() {
            End::First => ring(first.sender(index).unwrap(), second.receiver(index).unwrap(), &bell),
            End::Second => ring(second.sender(index).unwrap(), first.receiver(index).unwrap(), &bell),
        }
    }
    // The First end's id is 0, the Second's 1; what the First sends rings the Second.
    let expected = (0..MAX_CHANNELS as u16).map(|index| ((index + 1) % 2, 255 - index * 3));
    assert_eq!(*bell.0.borrow(), expected.collect::<Vec<_>>());
}
