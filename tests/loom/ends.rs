//! Two ends of a mailbox whose link is up, over memory that loom follows word by word.

use ivshmem::channel::*;
use ivshmem::memory::SharedMemory;
use loom::sync::atomic::AtomicU64;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

pub type Memory = SharedMemory;

/// What one end is given: its link, and the channels' halves to take; and the memory itself, to write what no honest end does.
pub struct Side {
    pub link: Link<'static, Memory>,
    pub channels: Channels<'static, Memory>,
    pub memory: Memory,
    mailbox: NonNull<Mailbox<'static, Memory>>,
}

// SAFETY: the mailbox is as good on another thread as the link and the halves, which refer to it too.
unsafe impl Send for Side {}

impl Side {
    /// # Safety
    /// The mailbox is lent to nobody, and stays until the side and all that was taken from it are dropped.
    unsafe fn attach(mut mailbox: NonNull<Mailbox<'static, Memory>>, memory: Memory, attach: Attach) -> Self {
        // SAFETY: allocated, and unique by the caller's promise.
        let (link, channels) = unsafe { mailbox.as_mut() }.attach(attach);
        Self { link, channels, memory, mailbox }
    }

    /// The end dies, and another attaches in its place.
    ///
    /// # Safety
    /// The halves taken are dropped.
    pub unsafe fn attach_anew(self) -> Self {
        // SAFETY: as the caller promises.
        unsafe { self.attach_anew_as(ATTACH) }
    }

    /// The same, in another way.
    ///
    /// # Safety
    /// The halves taken are dropped.
    pub unsafe fn attach_anew_as(self, attach: Attach) -> Self {
        let Self { mailbox, memory, .. } = self;
        // SAFETY: what was lent is dropped with `self` and by the caller's promise; it stays as long as it would have.
        unsafe { Self::attach(mailbox, memory, attach) }
    }
}

/// How both ends attach at first.
const ATTACH: Attach = Attach::interrupt_driven(1);

pub const SECTIONS: [usize; 2] = [0, wire::SECTION_ALIGN];

/// In the place of each word that the mailbox uses, its atomic: what `SharedMemory` expects to find under loom.
type Places = Box<[Option<Box<AtomicU64>>]>;

fn places(channels: &[Channel]) -> Places {
    let length = Mailbox::<Memory>::required_len(channels).unwrap();
    assert_eq!(length, 2 * wire::SECTION_ALIGN, "each section is one page");
    let mut used: Vec<usize> = Vec::new();
    for section in SECTIONS {
        used.extend((wire::link::MAGIC..=wire::link::WANTS).step_by(8).map(|word| section + word));
        used.push(section + wire::HEARTBEAT);
        for index in 0..channels.len() {
            let line = section + wire::CHANNEL_LINES + index * wire::LINE;
            used.extend([line + wire::RING, line + wire::RING_AFTER]);
        }
    }
    for section in SECTIONS {
        let mut slot = section + wire::CHANNEL_LINES + channels.len() * wire::LINE;
        for channel in channels.iter().filter(|channel| (channel.from() == End::First) == (section == 0)) {
            let words = wire::HEADER + usize::from(channel.max_len());
            for _ in 0..channel.slots() {
                used.extend((slot..slot + words).step_by(8));
                slot += words.next_multiple_of(wire::SLOT_ALIGN);
            }
            slot = slot.next_multiple_of(wire::LINE);
        }
    }
    let mut places: Places = (0..length / 8).map(|_| None).collect();
    for offset in used {
        places[offset / 8] = Some(Box::new(AtomicU64::new(0)));
    }
    places
}

/// A value on the heap that is lent out without its borrow being followed, since loom's threads take nothing that is borrowed.
struct Lent<T>(NonNull<T>);

impl<T> Lent<T> {
    fn new(value: T) -> Self {
        Self(NonNull::from(Box::leak(Box::new(value))))
    }
}

impl<T> Drop for Lent<T> {
    fn drop(&mut self) {
        // SAFETY: `new` made it from a box, and every loan has ended, by the order of `explore`.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// How much loom explores.
#[derive(Clone, Copy)]
pub enum Bound {
    /// Every interleaving.
    None,
    /// Those in which threads are preempted, where they need not wait, at most so often.
    Preemptions(u8),
}

/// Runs a scenario in every interleaving, each time from a link just up and with all halves untaken.
///
/// The scenario joins every thread that it starts.
pub fn explore(bound: Bound, channels: &'static [Channel], scenario: fn(first: Side, second: Side)) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = match bound {
        Bound::None => None,
        Bound::Preemptions(count) => Some(count.into()),
    };
    model.max_branches = 20_000;
    // The handshake is one thread's; what is explored begins with the scenario.
    model.expect_explicit_explore = true;
    let executions = std::sync::Arc::new(AtomicUsize::new(0));
    let counter = executions.clone();
    model.check(move || {
        counter.fetch_add(1, Ordering::Relaxed);
        let words = Lent::new(places(channels));
        // SAFETY: nobody else refers to the places, whose box never moves.
        let places = NonNull::from(&mut **unsafe { &mut *words.0.as_ptr() });
        let view = || {
            // SAFETY: under loom a window is the places of its words; they live until `words` is dropped, after all else here.
            unsafe { SharedMemory::new(places.cast(), places.len() * 8) }
        };
        let first = Lent::new(Mailbox::new(view(), End::First, channels).unwrap());
        let second = Lent::new(Mailbox::new(view(), End::Second, channels).unwrap());
        // SAFETY: lent once; the scenario drops what it is given, and joins the threads to which it gave it.
        let mut first = unsafe { Side::attach(first.0, view(), ATTACH) };
        // SAFETY: as above.
        let mut second = unsafe { Side::attach(second.0, view(), ATTACH) };
        for _ in 0..3 {
            first.link.poll(0);
            second.link.poll(0);
        }
        assert!(first.link.poll(0).is_up() && second.link.poll(0).is_up());
        loom::explore();
        scenario(first, second);
    });
    println!("{} executions", executions.load(Ordering::Relaxed));
}
