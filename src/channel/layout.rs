//! Where everything lies, computed from the configuration alone.

use super::config::{Channel, End};
use super::wire::{CHANNEL_LINES, LINE, SECTION_ALIGN};

/// Byte offsets in the window, all from this side's own configuration; nothing in shared memory moves them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout<'c> {
    channels: &'c [Channel],
}

/// Byte offsets of one channel, as one of its halves sees them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// This end's line.
    pub(super) ours: usize,
    /// The peer's line.
    pub(super) theirs: usize,
    ring: usize,
    stride: usize,
    /// Index of the last slot: one less than a power of two.
    last: usize,
}

impl Place {
    /// The slot of the message at `position`: masked, and so inside the ring whatever the position.
    #[inline]
    pub(super) fn slot(self, position: u64) -> usize {
        self.ring.saturating_add((position as usize & self.last).saturating_mul(self.stride))
    }
}

impl<'c> Layout<'c> {
    pub(super) const fn new(channels: &'c [Channel]) -> Self {
        Self { channels }
    }

    pub(super) fn channel(self, index: usize) -> Option<&'c Channel> {
        self.channels.get(index)
    }

    /// Bytes of an end's section.
    fn section_len(self, end: End) -> usize {
        self.ring_offset(end, self.channels.len()).checked_next_multiple_of(SECTION_ALIGN).unwrap_or(usize::MAX)
    }

    /// Bytes the mailbox needs.
    pub(super) fn len(self) -> usize {
        self.section_len(End::First).saturating_add(self.section_len(End::Second))
    }

    /// Where an end's section starts.
    pub(super) fn section(self, end: End) -> usize {
        match end {
            End::First => 0,
            End::Second => self.section_len(End::First),
        }
    }

    /// The 128-byte line of a channel in an end's section.
    pub(super) fn line(self, end: End, channel: usize) -> usize {
        self.section(end).saturating_add(CHANNEL_LINES).saturating_add(channel.saturating_mul(LINE))
    }

    /// The slots of a channel, in its sender's section.
    pub(super) fn ring(self, channel: usize) -> usize {
        let from = self.channel(channel).map_or(End::First, Channel::from);
        self.section(from).saturating_add(self.ring_offset(from, channel))
    }

    /// Where `end`'s half of a channel finds things.
    pub(super) fn place(self, end: End, channel: usize) -> Place {
        Place {
            ours: self.line(end, channel),
            theirs: self.line(end.other(), channel),
            ring: self.ring(channel),
            stride: self.channel(channel).map_or(0, Channel::stride),
            last: self.channel(channel).map_or(0, |channel| (channel.slots() as usize).saturating_sub(1)),
        }
    }

    /// Where in `end`'s section the slots of its first channel at or after `channel` start.
    fn ring_offset(self, end: End, channel: usize) -> usize {
        let lines = CHANNEL_LINES.saturating_add(self.channels.len().saturating_mul(LINE));
        let sent_before = self.channels.iter().take(channel).filter(|channel| channel.from() == end);
        sent_before.fold(lines, |offset, channel| {
            let ring = channel.ring_len().checked_next_multiple_of(LINE).unwrap_or(usize::MAX);
            offset.saturating_add(ring)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::COMMAND_RESPONSE;
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    #[test]
    fn the_ready_configuration_lies_where_the_wire_format_says() {
        let layout = Layout::new(&COMMAND_RESPONSE);
        assert_eq!(layout.section(End::First), 0);
        assert_eq!(layout.section(End::Second), 0x5000);
        assert_eq!(layout.line(End::First, 1), 0x180);
        assert_eq!(layout.ring(0), 0x5000 + 0x200);
        assert_eq!(layout.ring(1), 0x200);
        assert_eq!(layout.len(), 0xa000);
    }

    proptest! {
        #[test]
        fn whatever_the_position_its_slot_lies_whole_inside_the_ring(
            depth in 2u32..16, max_len in 1u16..=u16::MAX, position: u64, near in 0u64..3,
        ) {
            let channels = [Channel::queuing(End::First, 1 << depth, max_len)];
            let layout = Layout::new(&channels);
            let place = layout.place(End::Second, 0);
            let ring = layout.ring(0)..layout.ring(0) + channels[0].ring_len();
            // Anywhere, and round the wrap of the counter and of the ring.
            for position in [position, u64::MAX - near, near, (1 << depth) - 1 + near] {
                let slot = place.slot(position);
                prop_assert!(ring.contains(&slot) && slot + channels[0].stride() <= ring.end);
                prop_assert_eq!((slot - ring.start) / channels[0].stride(), (position % (1 << depth)) as usize);
            }
        }

        #[test]
        fn nothing_overlaps_and_each_end_writes_only_its_own_pages(
            channels in proptest::collection::vec((any::<bool>(), 2u32..9, 1u16..3000), 1..20)
        ) {
            let channels: Vec<_> = channels.into_iter().map(|(first, depth, max_len)| {
                Channel::queuing(if first { End::First } else { End::Second }, 1 << depth, max_len)
            }).collect();
            let layout = Layout::new(&channels);
            let mut blocks = Vec::new();
            for end in [End::First, End::Second] {
                prop_assert_eq!(layout.section(end) % SECTION_ALIGN, 0);
                blocks.push((layout.section(end), CHANNEL_LINES, end));
                for index in 0..channels.len() {
                    blocks.push((layout.line(end, index), LINE, end));
                }
            }
            for (index, channel) in channels.iter().enumerate() {
                prop_assert_eq!(layout.ring(index) % LINE, 0);
                blocks.push((layout.ring(index), channel.ring_len(), channel.from()));
            }
            blocks.sort_by_key(|block| block.0);
            for pair in blocks.windows(2) {
                prop_assert!(pair[0].0 + pair[0].1 <= pair[1].0);
            }
            for (offset, length, end) in blocks {
                let section = layout.section(end);
                prop_assert!(offset >= section && offset + length <= section + layout.section_len(end));
            }
        }
    }
}
