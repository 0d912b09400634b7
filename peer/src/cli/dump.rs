//! `ivshmem-peer dump`.

use super::mailbox::{end_name, kind_name, quoted};
use super::window::ChannelArguments;
use super::{Failure, found, say};
use ivshmem::channel::wire::{self, HEADER, Key, Keyed, SLOT_ALIGN};
use ivshmem::channel::{COMMAND_RESPONSE, Channel, End, Kind, LinkLine, Mailbox, Snapshot, digest};
use ivshmem::memory::Memory;
use ivshmem_peer::{Mapping, Purpose};

/// Show what is in shared memory: both ends of the mailbox, its channels, and the messages in their slots.
///
/// Offsets are shown as from the mailbox's beginning, and a message with the head that requests, responses and protected channels
/// have. Only reads, so it may be used beside whoever exchanges messages; what both sides write meanwhile is seen in part. The
/// kernel shows a function that another process holds by VFIO to nobody else: look at the same memory from outside that machine
/// then. Exit code 4: an end that is there has other channels than --channels says, and no channels are shown.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  ivshmem-peer dump --device file:/dev/shm/ivshmem
  ivshmem-peer dump --device file:/dev/shm/ivshmem --offset 0x10000 --channels queuing:second:8x56,sampling:first:120
  ivshmem-peer dump --device sysfs:0000:00:03.0")]
pub(super) struct Dump {
    #[command(flatten)]
    window: ChannelArguments,
}

impl Dump {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let (name, backend) = self.window.open(Purpose::Access)?;
        let memory = backend.memory();
        let channels = self.window.channels().channels();
        let need =
            Mailbox::<Mapping>::required_len(channels).map_err(|error| Failure::Failed(format!("{name}: {error}")))?;
        let have = memory.len();
        say(format_args!("dump: device {name} backend={} size={have} mailbox={need}", backend.way()))?;
        let snapshot = Snapshot::new(memory, channels);
        let (first, second) = (snapshot.link(End::First), snapshot.link(End::Second));
        say(format_args!("dump: end first {}", end(&first)))?;
        say(format_args!("dump: end second {}", end(&second)))?;
        say(format_args!("dump: link {}", link(&first, &second)))?;
        found::check(&[(End::First, first), (End::Second, second)], channels)?;
        for (index, channel) in channels.iter().enumerate() {
            self.channel(memory, &snapshot, index, channel)?;
        }
        say(format_args!("dump: end"))
    }

    fn channel(
        &self,
        memory: &Mapping,
        snapshot: &Snapshot<'_, Mapping>,
        index: usize,
        channel: &Channel,
    ) -> Result<(), Failure> {
        let Some(lines) = snapshot.channel(index) else { return Ok(()) };
        let from = end_name(channel.from());
        let (slots, max_len) = (channel.slots(), channel.max_len());
        let (key, offered) = match (channel.kind(), Keyed::from_word(lines.ring)) {
            (Kind::Sampling, latest) => {
                let started = Keyed::from_word(lines.ring_after);
                (latest.key, format!("latest={} started={}", keyed(latest), keyed(started)))
            }
            _ => (Key::from_bits(u32::try_from(lines.ring).unwrap_or(0)), format!("ring={:#x}", lines.ring)),
        };
        say(format_args!(
            "dump: channel {index} from={from} kind={} slots={slots} max_len={max_len} at={:#x} {offered} acknowledged={} wish={}",
            kind_name(channel.kind()),
            lines.slots_at,
            keyed(lines.acknowledged),
            keyed(lines.wish),
        ))?;
        for slot in 0..slots {
            let Some(header) = snapshot.slot(index, slot).filter(|header| header.to_word() != 0) else { continue };
            let stride = (HEADER + usize::from(max_len)).next_multiple_of(SLOT_ALIGN);
            let mut payload = vec![0; usize::from(header.length.min(max_len))];
            memory.copy_out(lines.slots_at + slot as usize * stride + HEADER, &mut payload);
            let wire::Header { stamp, length, kind, tag } = header;
            let session = if tag == key.tag() { "current" } else { "other" };
            let text = quoted(&payload);
            say(format_args!(
                "dump: slot {index}.{slot} stamp={stamp} length={length} kind={kind} session={session} {text}"
            ))?;
        }
        Ok(())
    }
}

/// One end's line in words; numbers that mean nothing as they are.
fn end(line: &LinkLine) -> String {
    let LinkLine { offset, magic, version, digest: theirs, epoch, seen, state, identity, wants, heartbeat } = *line;
    if magic != wire::MAGIC {
        return format!("at={offset:#x} nobody (magic reads {magic:#018x})");
    }
    let channels =
        if theirs == digest(&COMMAND_RESPONSE) { "command-response".into() } else { format!("{theirs:#018x}") };
    let state = found::state(state);
    let id = match wire::parse_identity(identity) {
        Some(Some(id)) => id.to_string(),
        Some(None) => "-".into(),
        None => format!("{identity:#x}"),
    };
    format!(
        "at={offset:#x} version={version} channels={channels} state={state} epoch={epoch:#x} seen={seen:#x} id={id} wants={wants:#x} \
         heartbeat={heartbeat}"
    )
}

/// How the two ends stand to each other.
fn link(first: &LinkLine, second: &LinkLine) -> String {
    match (found::is_anybody(first), found::is_anybody(second)) {
        (false, false) => "nobody attached".into(),
        (false, true) => "second waits for first".into(),
        (true, false) => "first waits for second".into(),
        _ if (first.version, first.digest) != (second.version, second.digest) => "incompatible".into(),
        _ if first.state == wire::CLOSED || second.state == wire::CLOSED => "closed".into(),
        _ if first.seen == second.epoch && second.seen == first.epoch => {
            format!("up session={:016x}", first.epoch << 32 | second.epoch & 0xffff_ffff)
        }
        _ => "one end has not seen the other's epoch".into(),
    }
}

fn keyed(word: Keyed) -> String {
    format!("{}@{:#x}", word.count, word.key.bits())
}
