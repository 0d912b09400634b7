//! Streams in tasks: a read or write that cannot go on is woken.

use super::{Bench, connect, pair};
use embedded_io_async::{Read, Write};
use ivshmem::channel::stream::*;
use ivshmem::channel::*;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};

#[derive(Default)]
struct Woken(AtomicU32);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[test]
fn an_async_read_is_woken_by_what_comes_and_an_async_write_by_the_tick_after_room() {
    let mut mailboxes = pair();
    let (bench, peer) = (Bench::default(), Bench::default());
    let mut buffer = [0; 16];
    let ((mut la, mut ca), (mut lb, mut cb)) =
        (mailboxes.0.attach(Attach::interrupt_driven(7)), mailboxes.1.attach(Attach::polled()));
    let mut reader = StreamReader::new(ca.receiver(0).unwrap(), &mut buffer, &bench, 0).unwrap();
    let mut writer = StreamWriter::new(cb.sender(0).unwrap(), &peer, &peer, 0);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut cx = Context::from_waker(&waker);
    let mut bytes = [0; 40];
    {
        // A link that is not up is waited for, in both directions.
        let mut read = pin!(reader.read(&mut bytes));
        let mut write = pin!(writer.write(b"first"));
        assert!(read.as_mut().poll(&mut cx).is_pending() && write.as_mut().poll(&mut cx).is_pending());
        connect(&mut la, &mut lb);
        peer.fire();
        assert_eq!(woken.0.load(Relaxed), 1);
        assert_eq!(write.poll(&mut cx), Poll::Ready(Ok(5)));
        bench.fire();
        assert_eq!(read.poll(&mut cx), Poll::Ready(Ok(5)));
    }
    assert_eq!(&bytes[..5], b"first");
    {
        let mut read = pin!(reader.read(&mut bytes));
        assert!(read.as_mut().poll(&mut cx).is_pending());
        let rung = peer.rung.borrow().len();
        assert_eq!(pin!(writer.write_all(b"a message and a half 1234")).poll(&mut cx), Poll::Ready(Ok(())));
        assert_eq!(peer.rung.borrow().len(), rung + 1, "the reader asked for one doorbell");
        bench.fire();
        assert_eq!(read.poll(&mut cx), Poll::Ready(Ok(16)));
    }
    let mut rest = [0; 9];
    assert_eq!(pin!(reader.read_exact(&mut rest)).poll(&mut cx), Poll::Ready(Ok(())));
    assert_eq!((&bytes[..16], &rest), (&b"a message and a "[..], b"half 1234"));
    {
        // More than the channel holds: 4 messages of 16 bytes.
        let long: Vec<u8> = (0..100).collect();
        let mut write = pin!(writer.write_all(&long));
        assert!(write.as_mut().poll(&mut cx).is_pending());
        let mut read = 0;
        while read < 64 {
            let mut bytes = [0; 16];
            assert_eq!(pin!(reader.read(&mut bytes)).poll(&mut cx), Poll::Ready(Ok(16)));
            assert_eq!(bytes.to_vec(), long[read..read + 16]);
            read += 16;
        }
        peer.fire();
        assert_eq!(write.poll(&mut cx), Poll::Ready(Ok(())));
    }
    lb.close();
    la.poll(0);
    let mut rest: Vec<u8> = Vec::new();
    loop {
        let Poll::Ready(Ok(count)) = pin!(reader.read(&mut bytes)).poll(&mut cx) else { panic!("nothing is to come") };
        if count == 0 {
            break;
        }
        rest.extend(&bytes[..count]);
    }
    assert_eq!(rest, (64..100).collect::<Vec<u8>>());
    assert_eq!(pin!(reader.read(&mut bytes)).poll(&mut cx), Poll::Ready(Ok(0)));
    assert_eq!(pin!(reader.read(&mut [])).poll(&mut cx), Poll::Ready(Ok(0)));
    assert_eq!(pin!(writer.write(&[])).poll(&mut cx), Poll::Ready(Ok(0)));
    assert_eq!(pin!(writer.flush()).poll(&mut cx), Poll::Ready(Ok(())));
}
