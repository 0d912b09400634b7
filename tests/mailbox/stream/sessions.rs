//! Closes, restarts and resyncs: an end of the file, or one reset.

use super::super::connect;
use super::{Bench, ends, pair, reader_is_ready};
use embedded_io::{Error, ErrorKind, Read, Write, WriteReady};
use ivshmem::channel::stream::*;
use ivshmem::channel::*;

#[test]
fn the_peers_close_is_the_end_of_the_file_once_everything_is_read() {
    let mut mailboxes = pair();
    let bench = Bench::default();
    ends!(mailboxes, bench, 3 => la, reader, lb, writer);
    writer.write_all(b"the end").unwrap();
    lb.close();
    la.poll(0);
    let mut bytes = [0; 4];
    assert_eq!((reader.read(&mut bytes), bytes), (Ok(4), *b"the "));
    assert_eq!((reader.read(&mut bytes), &bytes[..3]), (Ok(3), &b"end"[..]));
    assert!(reader_is_ready(&mut reader), "an end of file is something to read");
    assert_eq!((reader.read(&mut bytes), reader.read(&mut bytes)), (Ok(0), Ok(0)));
    assert_eq!(writer.write(b"more").map_err(|error| error.kind()), Err(ErrorKind::BrokenPipe));
    assert_eq!(writer.write_ready().map_err(|error| error.kind()), Err(ErrorKind::BrokenPipe));
}

#[test]
fn a_restart_is_one_reset_and_the_stream_goes_on_with_what_comes_after() {
    let mut mailboxes = pair();
    let bench = Bench::default();
    let mut buffer = [0; 16];
    let (mut la, mut ca) = mailboxes.0.attach(Attach::polled());
    let mut reader = StreamReader::new(ca.receiver(0).unwrap(), &mut buffer, &bench, 0).unwrap();
    let mut bytes = [0; 16];
    for life in 0..3 {
        let (mut lb, mut cb) = mailboxes.1.attach(Attach::polled());
        connect(&mut la, &mut lb);
        let mut writer = StreamWriter::new(cb.sender(0).unwrap(), &bench, &bench, 0);
        writer.write_all(b"read").unwrap();
        if life > 0 {
            // What was read in part before is still good.
            assert_eq!((reader.read(&mut bytes), &bytes[..2]), (Ok(2), &b"ad"[..]));
            assert_eq!(reader.read(&mut bytes).map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset));
        }
        assert_eq!((reader.read(&mut bytes[..2]), &bytes[..2]), (Ok(2), &b"re"[..]));
        writer.write_all(b"lost").unwrap();
    }
}

#[test]
fn a_resync_by_either_half_is_one_reset_of_the_other() {
    let mut mailboxes = pair();
    let bench = Bench::default();
    ends!(mailboxes, bench, 0 => la, reader, lb, writer);
    writer.write_all(b"lost").unwrap();
    assert_eq!(writer.resync(), 1);
    assert_eq!(reader.read(&mut [0; 4]).map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset));
    writer.write_all(b"kept").unwrap();
    assert_eq!(reader.read(&mut [0; 4]), Ok(4));
    reader.resync();
    lb.poll(0);
    assert_eq!(writer.write(b"lost").map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset));
    assert_eq!(reader.read(&mut [0; 4]), Err(StreamError::TimedOut));
    writer.write_all(b"kept").unwrap();
    assert_eq!(reader.read(&mut [0; 4]), Ok(4));
    assert!(la.poll(0).is_up());
}
