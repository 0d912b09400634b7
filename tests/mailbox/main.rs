//! The mailbox's contract, two ends over one mapping: each test is named after a clause of `docs/wire-format.md`.

mod doorbells;
mod hardware;
mod leaks;
mod link;
mod own_words;
mod queuing;
mod request;
mod sampling;
mod sessions;
mod stream;
mod typed;
mod violations;
mod waiting;

use ivshmem::channel::*;
use ivshmem::fake::memory::loop_back;
use ivshmem::memory::{Memory, SharedMemory};

const CHANNELS: [Channel; 3] = [
    Channel::queuing(End::Second, 8, 100).vector(2),
    Channel::queuing(End::First, 8, 100).vector(1),
    Channel::queuing(End::Second, 4, 8),
];

type Ends = (Mailbox<'static, SharedMemory>, Mailbox<'static, SharedMemory>, SharedMemory);

/// The First end, the Second, and a look at their memory.
fn pair() -> Ends {
    let (first, second) = loop_back(1 << 16).unwrap();
    let spy = second.window(0, second.len()).unwrap();
    (Mailbox::new(first, End::First, &CHANNELS).unwrap(), Mailbox::new(second, End::Second, &CHANNELS).unwrap(), spy)
}

fn connect<A: Memory, B: Memory>(first: &mut Link<'_, A>, second: &mut Link<'_, B>) {
    for _ in 0..3 {
        first.poll(0);
        second.poll(0);
    }
    assert!(first.poll(0).is_up() && second.poll(0).is_up());
}

/// Where the Second end's section starts, from outside: the snapshot says.
fn second_section() -> usize {
    let (memory, _) = loop_back(1 << 16).unwrap();
    Snapshot::new(&memory, &CHANNELS).link(End::Second).offset
}
