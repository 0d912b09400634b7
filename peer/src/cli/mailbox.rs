//! What the commands say of a mailbox, and are told of it, in the same words.

use ivshmem::channel::{End, Kind, LinkState, wire};

/// Which end of the mailbox this process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Role {
    /// The real-time side: receives commands, sends responses.
    First,
    /// The general-purpose side: sends commands, receives responses.
    Second,
}

impl Role {
    pub(super) fn end(self) -> End {
        match self {
            Self::First => End::First,
            Self::Second => End::Second,
        }
    }
}

pub(super) fn end_name(end: End) -> &'static str {
    match end {
        End::First => "first",
        End::Second => "second",
    }
}

/// As in `--channels`.
pub(super) fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Queuing => "queuing",
        Kind::Sampling => "sampling",
        Kind::Request => "request",
        Kind::Response => "response",
        _ => "unknown",
    }
}

/// What is waited for while the link is in this state, none of which is final: the peer may attach anew.
pub(super) fn unlinked(state: LinkState) -> String {
    match state {
        LinkState::Closed => "new session (the other side has closed)".into(),
        LinkState::OtherVersion { found } => {
            format!(
                "compatible other side (it speaks version {found} of the wire format, this program {})",
                wire::VERSION
            )
        }
        LinkState::Incompatible { ours, theirs } => {
            format!("compatible other side (its channels have digest {theirs:#018x}, ours {ours:#018x})")
        }
        LinkState::Stale { .. } => "sign of life from the other side (it stands still)".into(),
        LinkState::Violated(violation) => format!("honest other side ({violation})"),
        _ => "answer from the other side".into(),
    }
}

/// A message as one line of text: what is not text, and what would break the line, as escapes.
pub(super) fn printable(message: &[u8]) -> String {
    escaped(message, char::is_control)
}

/// A message as a field of a line: as [`printable`], in quotation marks, and none inside that could end it.
pub(super) fn quoted(message: &[u8]) -> String {
    format!("\"{}\"", escaped(message, |c| c.is_control() || matches!(c, '"' | '\\')))
}

fn escaped(message: &[u8], escapes: impl Fn(char) -> bool) -> String {
    match core::str::from_utf8(message) {
        Ok(text) => {
            text.chars().flat_map(|c| if escapes(c) { c.escape_default().collect() } else { vec![c] }).collect()
        }
        Err(_) => message.escape_ascii().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_in_quotation_marks_ends_where_they_do() {
        assert_eq!(quoted("ok é".as_bytes()), r#""ok é""#);
        assert_eq!(quoted(br#"ok" missed=1 "x"#), r#""ok\" missed=1 \"x""#);
        assert_eq!([quoted(b"a\n"), quoted(br"a\n")], [r#""a\n""#, r#""a\\n""#]);
        assert_eq!(quoted(b"\xff\"\\"), r#""\xff\"\\""#);
    }

    #[test]
    fn messages_are_shown_on_one_line() {
        assert_eq!(printable("ok é".as_bytes()), "ok é");
        assert_eq!(printable(b"two\nlines\x1b[2J"), "two\\nlines\\u{1b}[2J");
        assert_eq!(printable(b"\xff\x00a"), "\\xff\\x00a");
    }
}
