//! Where the words lie that a hostile peer is hostile on.

use super::{Chaos, Mode};
use core::ops::Range;
use fastrand::Rng;
use ivshmem::channel::{End, Kind, Mailbox, Snapshot, wire};
use ivshmem::memory::{Memory, SharedMemory};

/// One channel's words, in bytes from the start of the mailbox.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words {
    /// The hostile end's line of the channel.
    pub(super) line: usize,
    /// Whether the hostile end sends on it.
    pub(super) sends: bool,
    /// The other end's line of it.
    theirs: usize,
    pub(super) kind: Kind,
    pub(super) slots_at: usize,
    pub(super) stride: usize,
    pub(super) slots: u32,
    pub(super) max_len: u16,
}

impl Words {
    fn ring(&self) -> Range<usize> {
        self.slots_at..self.slots_at + self.stride * self.slots as usize
    }

    /// Whether a slot's header lies there.
    pub(super) fn is_header(&self, offset: usize) -> bool {
        self.sends && self.ring().contains(&offset) && (offset - self.slots_at).is_multiple_of(self.stride)
    }
}

/// The words of a hostile peer's target.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// The channels to be hostile on.
    pub(super) channels: Vec<Words>,
    /// The stretches to scribble and replay on, and how many words they have.
    areas: Vec<Range<usize>>,
    /// The link's and the channels' lines: what is worth scribbling on more often than chance would have it.
    lines: Range<usize>,
}

impl Target {
    pub(super) fn new<M: Memory>(memory: &M, plan: &Chaos<'_>) -> Self {
        let look = Snapshot::new(memory, plan.channels);
        let second = look.link(End::Second).offset;
        // The mailbox was made: the configuration is good.
        let length = Mailbox::<SharedMemory>::required_len(plan.channels).unwrap_or(second);
        let (section, other) = match plan.end {
            End::First => (0..second, second),
            End::Second => (second..length, 0),
        };
        let everywhere = plan.mode == Mode::Scribble { everywhere: true };
        let all: Vec<Words> = plan
            .channels
            .iter()
            .enumerate()
            .filter_map(|(index, channel)| {
                let stride = (wire::HEADER + usize::from(channel.max_len())).next_multiple_of(wire::SLOT_ALIGN);
                Some(Words {
                    line: section.start + wire::CHANNEL_LINES + index * wire::LINE,
                    sends: channel.from() == plan.end,
                    theirs: other + wire::CHANNEL_LINES + index * wire::LINE,
                    kind: channel.kind(),
                    slots_at: look.channel(index)?.slots_at,
                    stride,
                    slots: channel.slots(),
                    max_len: channel.max_len(),
                })
            })
            .collect();
        let lines = section.start..section.start + wire::CHANNEL_LINES + plan.channels.len() * wire::LINE;
        let one = plan.channel.and_then(|index| all.get(index)).copied();
        let Some(words) = one else {
            let area = if everywhere { 0..length } else { section };
            return Self { channels: all, areas: vec![area], lines };
        };
        let line = words.line..words.line + wire::LINE;
        let mut areas = vec![line.clone()];
        areas.extend((words.sends || everywhere).then(|| words.ring()));
        areas.extend(everywhere.then(|| words.theirs..words.theirs + wire::LINE));
        Self { channels: vec![words], areas, lines: line }
    }

    /// Every word to scribble or replay, in order.
    pub(super) fn words(&self) -> impl Iterator<Item = usize> {
        self.areas.iter().flat_map(|area| area.clone().step_by(8))
    }

    /// A word to scribble: half of the times one of those that steer, else any.
    pub(super) fn any(&self, rng: &mut Rng) -> usize {
        let area = match rng.bool() {
            true => self.lines.clone(),
            false => self.areas[rng.usize(..self.areas.len())].clone(),
        };
        area.start + 8 * rng.usize(..area.len() / 8)
    }

    pub(super) fn channel(&self, rng: &mut Rng) -> Words {
        self.channels[rng.usize(..self.channels.len())]
    }
}
