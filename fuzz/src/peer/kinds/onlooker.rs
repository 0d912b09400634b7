//! One more that reads the peer's values, from outside the mailbox.

use super::STALE_AFTER;
use super::samples::Reads;
use crate::peer::region::Moment;
use ivshmem::channel::{Subscriber, Watch};
use ivshmem::fake::input::Input;
use ivshmem_peer::Mapping;

pub struct Onlooker<'a> {
    watch: Watch<'a, Mapping>,
    values: Reads<'a>,
}

impl<'a> Onlooker<'a> {
    pub fn new(subscriber: &'a mut Subscriber<'_, Mapping>, channel: usize) -> Self {
        let (watch, mut values) = subscriber.subscribe(STALE_AFTER);
        Self { watch, values: Reads::new(values.reader(channel).expect("the peer writes it")) }
    }

    pub fn call(&mut self, input: &Input<'_>, moment: Moment) {
        match input.byte() % 4 {
            0 => moment.check_link(self.watch.poll(moment.now)),
            _ => self.values.call(input, moment),
        }
    }

    /// Finds the same as who reads the channel inside the mailbox, whose link is up.
    pub fn compare(&mut self, inside: &mut Reads<'_>, moment: Moment) {
        if self.watch.poll(moment.now).is_up() && moment.honest {
            assert_eq!(self.values.read(moment), inside.read(moment));
        }
    }
}
