//! A channel's calls touch the same words whatever becomes of the others.

use super::*;

/// To the First end: one watched, one to be flooded, one to be violated. From it: one watched, one to be acknowledged wrongly.
const CHANNELS: [Channel; 5] = [
    Channel::queuing(End::Second, 8, 56),
    Channel::queuing(End::Second, 8, 56),
    Channel::queuing(End::Second, 8, 56),
    Channel::queuing(End::First, 8, 56),
    Channel::queuing(End::First, 8, 56),
];

/// What the peer does to the channels that are not watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Elsewhere {
    Silence,
    /// Channel 1 always has a message, far beyond what its ring holds.
    Flood,
    /// Every header of channel 2 is one that no honest peer writes.
    Violation,
    /// More of channel 4 is acknowledged than was ever sent, and a doorbell wished for at once.
    Acknowledgement,
}

/// Each call's accesses on the watched channels, and what was delivered.
type Watched = (Vec<Vec<Access>>, Vec<Vec<u8>>);

fn watch(elsewhere: Elsewhere) -> Watched {
    let Pair { traced, words, first: (mut link, mut first), second: (mut peer, mut second) } =
        pair(&CHANNELS, Attach::interrupt_driven(0));
    let (mut watched, mut sent) = (first.receiver(0).unwrap(), first.sender(3).unwrap());
    let (mut flooded, mut violated) = (first.receiver(1).unwrap(), first.receiver(2).unwrap());
    let (mut to_watched, mut from_first) = (second.sender(0).unwrap(), second.receiver(3).unwrap());
    let (mut to_flooded, mut to_violated) = (second.sender(1).unwrap(), second.sender(2).unwrap());
    let flood = Hostile { words: words.clone(), channels: &CHANNELS, channel: 1 };
    let violation = Hostile { words: words.clone(), channels: &CHANNELS, channel: 2 };
    let mut unacknowledged = first.sender(4).unwrap();
    let snapshot = Snapshot::new(&words, &CHANNELS);
    let second_section = snapshot.link(End::Second).offset;
    let (mut traces, mut delivered, mut buffer) = (Vec::new(), Vec::new(), [0; 56]);
    let mut elsewhere_received = 0;
    for round in 0..200u8 {
        if round == 10 {
            // The peer opens its rings.
            to_flooded.try_send(b"first").unwrap().ignore();
            to_violated.try_send(b"first").unwrap().ignore();
        }
        if round > 20 {
            match elsewhere {
                Elsewhere::Silence => {}
                Elsewhere::Flood => {
                    (0..8).for_each(|ahead| flood.header(flooded.stats().received + ahead, 56, 0));
                }
                Elsewhere::Violation => {
                    (0..8).for_each(|slot| violation.header(violated.stats().received + slot, 0xffff, 0xff));
                }
                Elsewhere::Acknowledgement => {
                    let line = second_section + wire::CHANNEL_LINES + 4 * wire::LINE;
                    let key = Key::from_bits(snapshot.channel(4).unwrap().ring as u32);
                    for word in [wire::ACKNOWLEDGED, wire::WISH] {
                        words.store(line + word, wire::Keyed { count: 1 << 30, key }.to_word());
                    }
                }
            }
        }
        if round % 3 == 0 {
            to_watched.try_send(&[round; 9]).unwrap().ignore();
        }
        peer.poll(0);
        let _ = from_first.try_recv(&mut buffer);
        // The First end's cycle. Of the other channels' calls only what comes of them counts.
        traced.take();
        link.poll(0);
        traces.push(traced.take());
        for _ in 0..20 {
            elsewhere_received += u32::from(matches!(flooded.try_recv(&mut buffer), Ok(Some(_))));
            let _ = violated.try_recv(&mut buffer);
            let _ = unacknowledged.try_send(b"into the void").map(Notice::ignore);
        }
        traced.take();
        if let Some(message) = watched.try_recv(&mut buffer).unwrap() {
            delivered.push(message.to_vec());
        }
        traces.push(traced.take());
        let armed = watched.arm();
        traces.push(traced.take());
        sent.try_send(&[u8::from(armed); 20]).unwrap().ignore();
        traces.push(traced.take());
    }
    assert_eq!(elsewhere_received > 1000, elsewhere == Elsewhere::Flood, "{elsewhere_received}");
    assert_eq!(violated.stats().violations > 0, elsewhere == Elsewhere::Violation);
    assert_eq!(unacknowledged.stats().violations > 0, elsewhere == Elsewhere::Acknowledgement);
    (traces, delivered)
}

#[test]
fn a_flooded_or_violated_channel_changes_no_other_channels_accesses_nor_its_delivery() {
    let (traces, delivered) = watch(Elsewhere::Silence);
    assert_eq!(delivered.len(), 67, "the watched channel delivers");
    assert!(traces.iter().all(|trace| !trace.is_empty() && trace.len() < 20));
    for elsewhere in [Elsewhere::Flood, Elsewhere::Violation, Elsewhere::Acknowledgement] {
        let (found, also_delivered) = watch(elsewhere);
        assert_eq!(also_delivered, delivered, "{elsewhere:?}");
        let differs = traces.iter().zip(&found).position(|(quiet, disturbed)| quiet != disturbed);
        assert_eq!((found.len(), differs), (traces.len(), None), "{elsewhere:?}");
    }
}

#[test]
fn a_call_touches_its_own_channels_words_only() {
    let Pair { traced, words, first: (_link, mut first), second: (_peer, mut second) } =
        pair(&CHANNELS, Attach::interrupt_driven(0));
    let snapshot = Snapshot::new(&words, &CHANNELS);
    let second_section = snapshot.link(End::Second).offset;
    for index in 0..3 {
        let own = |access: &Access| {
            let (Access::Load(at) | Access::Store(at)) = access;
            let line = wire::CHANNEL_LINES + index * wire::LINE;
            let ring = snapshot.channel(index).unwrap().slots_at;
            (ring..ring + 8 * 64).contains(at)
                || [line, second_section + line].iter().any(|line| (*line..line + wire::LINE).contains(at))
        };
        let (mut receiver, mut sender) = (first.receiver(index).unwrap(), second.sender(index).unwrap());
        for _ in 0..30 {
            let _ = sender.try_send(b"message").map(Notice::ignore);
            let _ = receiver.try_recv(&mut [0; 56]);
            let _ = receiver.arm();
        }
        receiver.resync();
        let trace = traced.take();
        assert!(trace.len() > 90 && trace.iter().all(own), "channel {index}");
    }
}
