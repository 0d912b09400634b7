//! A mailbox over the real device: one end behind the driver, the other in a process of the host.

use crate::rig::{ID, Rig, messages};
use crate::site::{HOST, HostBell, Site};
use crate::witness::Witness;
use ivshmem::channel::{Attach, Channel, End, Mailbox};

const CHANNELS: [Channel; 2] =
    [Channel::queuing(End::Second, 8, 56).vector(1), Channel::queuing(End::First, 8, 56).vector(2)];

#[test]
fn commands_and_responses_ring_both_ways_once_for_each_wish() {
    let mut site = Site::new(4);
    let Some(rig) = Rig::doorbell(&mut site) else { return };
    let witness = Witness::new(&rig);
    let messages = messages(4);
    let mut device = rig.open().unwrap();
    let _interrupts = device.enable_interrupts(&rig, &messages).unwrap();
    let (doorbell, bell) = (device.doorbell().unwrap(), HostBell(&site.host));

    // The host's end first, on memory that the device's end has never seen.
    let mut theirs = Mailbox::new(rig.peer_memory(), End::Second, &CHANNELS).unwrap();
    let (mut their_link, mut channels) = theirs.attach(Attach::interrupt_driven(site.host.id()));
    let (mut commands, mut responses) = (channels.sender(0).unwrap(), channels.receiver(1).unwrap());
    let mut ours = Mailbox::new(device.memory().unwrap(), End::First, &CHANNELS).unwrap();
    let (mut our_link, mut channels) = ours.attach(Attach::interrupt_driven(device.id()));
    let (mut received, mut answers) = (channels.receiver(0).unwrap(), channels.sender(1).unwrap());
    for _ in 0..3 {
        our_link.poll(0);
        their_link.poll(0);
    }
    assert!(our_link.poll(0).is_up() && their_link.poll(0).is_up());
    assert_eq!((our_link.peer_id(), their_link.peer_id()), (Some(HOST), Some(ID)));

    let mut buffer = [0; 56];
    assert_eq!(received.try_recv(&mut buffer), Ok(None));
    assert_eq!(responses.try_recv(&mut buffer), Ok(None));
    for n in 0..20u8 {
        assert!(!received.arm() && !responses.arm());
        assert_eq!(commands.try_send(&[n; 8]).unwrap().ring(&bell), Ok(true));
        assert_eq!(commands.try_send(&[n; 56]).unwrap().ring(&bell), Ok(false), "one wish, one doorbell");
        rig.expect(messages[1]);
        assert_eq!(received.try_recv(&mut buffer), Ok(Some(&[n; 8][..])));
        assert_eq!(received.try_recv(&mut buffer), Ok(Some(&[n; 56][..])));
        assert_eq!(answers.try_send(&[n; 3]).unwrap().ring(&doorbell), Ok(true));
        assert_eq!((site.waiting(), site.rung(2)), (vec![2], 1));
        assert_eq!(responses.try_recv(&mut buffer), Ok(Some(&[n; 3][..])));
        assert_eq!(received.try_recv(&mut buffer), Ok(None));
        assert_eq!(responses.try_recv(&mut buffer), Ok(None));
    }
    witness.settle(&rig, &site);
    assert!(messages.iter().all(|message| rig.take(*message).is_none()));
}
