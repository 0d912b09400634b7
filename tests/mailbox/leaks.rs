//! What leaves this side: nothing that lies beside the bytes passed, in whatever buffer they stand.

use super::connect;
use ivshmem::channel::request::{Answer, Polled, Server};
use ivshmem::channel::*;
use ivshmem::fake::memory::loop_back;
use ivshmem::memory::Memory;

const CHANNELS: [Channel; 4] = [
    Channel::queuing(End::First, 4, 56),
    Channel::sampling(End::First, 56),
    Channel::request(End::First, 4, 56),
    Channel::response(End::Second, 4, 56),
];

/// An exchange on every kind of channel, with `secret` in every byte of every buffer that is not passed; and the memory after it.
fn exchange(secret: u8) -> Vec<u64> {
    let (first, second) = loop_back(1 << 14).unwrap();
    let spy = second.window(0, second.len()).unwrap();
    (0..spy.len()).step_by(8).for_each(|offset| spy.store(offset, u64::MAX));
    let mut a = Mailbox::new(first, End::First, &CHANNELS).unwrap();
    let mut b = Mailbox::new(second, End::Second, &CHANNELS).unwrap();
    let ((mut la, mut ca), (mut lb, mut cb)) = (a.attach(Attach::polled()), b.attach(Attach::polled()));
    let (mut sender, mut writer) = (ca.sender(0).unwrap(), ca.writer(1).unwrap());
    let mut requester = ca.requester::<2>(2, 3, 1).unwrap();
    let mut server = Server::<_, 2, 40>::new(cb.responder(2, 3, 1).unwrap()).unwrap();
    let (mut receiver, mut reader) = (cb.receiver(0).unwrap(), cb.reader(1).unwrap());
    connect(&mut la, &mut lb);
    for length in 0..=40 {
        let mut buffer = [secret; 60];
        buffer[8..8 + length].fill(length as u8);
        let passed = &buffer[8..8 + length];
        sender.try_send(passed).unwrap().ignore();
        writer.write(passed).unwrap().ignore();
        requester.start(0, 7, passed, 0).unwrap().1.ignore();
        let mut out = [secret; 56];
        assert_eq!(receiver.try_recv(&mut out), Ok(Some(passed)));
        assert_eq!(reader.try_read(&mut out, 0).unwrap().bytes, passed);
        let mut scratch = [secret; 56];
        let served = server.serve(2, 0, &mut scratch, |call, result| {
            result[..call.args.len()].copy_from_slice(call.args);
            Answer::Done(call.args.len())
        });
        assert_eq!(served.unwrap().handled, 1);
        assert!(matches!(requester.poll(0, &mut out), Ok(Some(Polled::Ended(_)))));
        // One that the handler never sees, and one that it cannot do.
        requester.start(0, 8, passed, 1).unwrap().1.ignore();
        server.serve(0, 0, &mut scratch, |_, _| Answer::Refused(0)).unwrap().notice.ignore();
        server.serve(1, 9, &mut scratch, |_, _| Answer::Refused(0)).unwrap().notice.ignore();
        assert!(matches!(requester.poll(0, &mut out), Ok(Some(Polled::Ended(_)))));
    }
    (0..spy.len()).step_by(8).map(|offset| spy.load(offset)).collect()
}

#[test]
fn what_lies_beside_the_bytes_passed_changes_no_word_whatever_the_kind_of_channel() {
    let words = exchange(0xA5);
    assert!(words.iter().filter(|word| **word != u64::MAX).count() > 100, "something was written");
    let differs = words.iter().zip(exchange(0x5A)).position(|(one, other)| *one != other);
    assert_eq!(differs.map(|word| word * 8), None);
}
