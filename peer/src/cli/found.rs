//! What `stats` and `dump` say alike of a mailbox that they look at from outside.

use super::Failure;
use super::mailbox::end_name;
use ivshmem::channel::{Channel, End, LinkLine, digest, wire};

/// Whether an end is, or was, attached here.
pub(super) fn is_anybody(line: &LinkLine) -> bool {
    line.magic == wire::MAGIC && wire::is_epoch(line.epoch)
}

/// The state word in words, or as the number it is.
pub(super) fn state(word: u64) -> String {
    match word {
        wire::ATTACHED => "attached".into(),
        wire::CLOSED => "closed".into(),
        other => format!("{other:#x}"),
    }
}

/// A failure if an end is there whose channels are not these: where its words lie then is not known, and what lies where these would
/// have theirs is nothing.
pub(super) fn check(ends: &[(End, LinkLine)], channels: &[Channel]) -> Result<(), Failure> {
    let ours = digest(channels);
    for (end, line) in ends.iter().filter(|(_, line)| line.magic == wire::MAGIC) {
        let (name, theirs, version) = (end_name(*end), line.digest, line.version);
        if version != wire::VERSION {
            let own = wire::VERSION;
            return Err(Failure::Incompatible(format!(
                "the {name} end speaks version {version} of the wire format, this program {own}"
            )));
        }
        if theirs != ours {
            return Err(Failure::Incompatible(format!(
                "the mailbox there has other channels: the {name} end's have digest {theirs:#018x}, those of --channels {ours:#018x}"
            )));
        }
    }
    Ok(())
}
