//! Doorbells of values: for a reader that asked for one, once.

use super::super::connect;
use super::{LENGTH, ends};
use ivshmem::channel::*;
use ivshmem::memory::Memory;

#[test]
fn a_reader_that_armed_is_rung_once_and_on_the_channels_vector() {
    let (mut a, mut b, _) = ends();
    let (mut la, mut ca) = a.attach(Attach::polled());
    let (mut lb, mut cb) = b.attach(Attach::interrupt_driven(5));
    let (mut writer, mut reader) = (ca.writer(0).unwrap(), cb.reader(0).unwrap());
    connect(&mut la, &mut lb);
    assert!(!writer.write(b"1").unwrap().is_due());
    assert!(reader.arm(), "not joined: look first");
    assert!(reader.try_read(&mut [0; 40], 0).unwrap().fresh);
    assert!(!reader.arm());
    let notice = writer.write(b"2").unwrap();
    assert!(notice.is_due());
    let rung = core::cell::Cell::new(None);
    struct Bell<'a>(&'a core::cell::Cell<Option<(u16, u16)>>);
    impl ivshmem::notify::Doorbell for Bell<'_> {
        type Error = core::convert::Infallible;
        fn ring(&self, peer: u16, vector: u16) -> Result<(), Self::Error> {
            self.0.set(Some((peer, vector)));
            Ok(())
        }
    }
    assert_eq!(notice.ring(&Bell(&rung)), Ok(true));
    assert_eq!(rung.get(), Some((5, 3)));
    assert!(!writer.write(b"3").unwrap().is_due(), "one doorbell a wish");
    assert!(reader.arm(), "there is a value not read");
    assert_eq!((writer.stats().notices, writer.stats().written), (1, 3));
}

#[test]
fn a_value_written_before_its_writers_link_is_up_is_rung_for_once_it_is() {
    let (mut a, mut b, _) = ends();
    let (mut la, mut ca) = a.attach(Attach::interrupt_driven(0));
    let (mut lb, mut cb) = b.attach(Attach::interrupt_driven(1));
    let (mut writer, mut reader) = (ca.writer(0).unwrap(), cb.reader(0).unwrap());
    // First answers Second, which is up then, finds nothing and goes to sleep; First finds Second's answer at its next poll.
    assert_eq!((la.poll(0), lb.poll(0)), (LinkState::Waiting, LinkState::Waiting));
    assert!(lb.poll(0).is_up());
    assert_eq!(reader.read(&mut [0; 40], 0).map(|_| ()), Err(ReadError::Empty));
    assert!(!reader.arm());
    assert!(!writer.write(b"value").unwrap().is_due(), "nobody to ring is known yet");
    assert!(la.poll(0).is_up());
    assert!(writer.notice().is_due(), "asleep over the value");
    assert!(!writer.notice().is_due(), "once");
}

#[test]
fn a_reader_whose_session_has_ended_looks_and_asks_for_nothing() {
    let (mut a, mut b, spy) = ends();
    let ((mut la, mut ca), (mut lb, mut cb)) = (a.attach(Attach::polled()), b.attach(Attach::interrupt_driven(1)));
    connect(&mut la, &mut lb);
    let (mut writer, mut reader) = (ca.writer(0).unwrap(), cb.reader(0).unwrap());
    writer.write(b"one").unwrap().ignore();
    assert_eq!(reader.try_read(&mut [0; 40], 0).unwrap().bytes, b"one");
    assert!(!reader.arm(), "read, and up");
    spy.store(wire::link::MAGIC, 0);
    assert!(!lb.poll(0).is_up());
    let words = || (0..LENGTH).step_by(8).map(|offset| spy.load(offset)).collect::<Vec<_>>();
    let before = words();
    assert!(reader.arm());
    assert_eq!(words(), before);
    assert_eq!(reader.try_read(&mut [0; 40], 0), Err(ReadError::NotUp));
}
