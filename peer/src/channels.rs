//! How a user writes down a mailbox's channels: `--channels <list>`.

use core::fmt;
use core::str::FromStr;
use ivshmem::channel::{COMMAND_RESPONSE, Channel, ConfigError, End, Kind, Mailbox};
use ivshmem::memory::SharedMemory;

/// The channels of a mailbox, which both ends must know alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelList(Vec<Channel>);

/// Text that no list of channels can be made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelListError {
    /// This part is no channel.
    Part(String),
    /// Every part is a channel, but no mailbox has these.
    Config(ConfigError),
}

impl fmt::Display for ChannelListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Part(part) => write!(f, "\"{part}\" is no channel; expected {SYNTAX}"),
            Self::Config(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ChannelListError {}

/// What a part of the list looks like.
const SYNTAX: &str = "<kind>:<sender>:<slots>x<bytes>[:vector=<n>][:protected=<id>], with queuing, request, response or sampling (no \
                      <slots>x) as <kind> and first or second as <sender>";

impl ChannelList {
    /// The channels, in order.
    pub fn channels(&self) -> &[Channel] {
        &self.0
    }
}

impl Default for ChannelList {
    fn default() -> Self {
        Self(COMMAND_RESPONSE.to_vec())
    }
}

impl fmt::Display for ChannelList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, channel) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            let (kind, slots) = match channel.kind() {
                Kind::Sampling => ("sampling", String::new()),
                Kind::Request => ("request", format!("{}x", channel.slots())),
                Kind::Response => ("response", format!("{}x", channel.slots())),
                _ => ("queuing", format!("{}x", channel.slots())),
            };
            let from = match channel.from() {
                End::First => "first",
                End::Second => "second",
            };
            write!(f, "{kind}:{from}:{slots}{}", channel.max_len())?;
            match channel.rings() {
                0 => {}
                vector => write!(f, ":vector={vector}")?,
            }
            if let Some(id) = channel.data_id() {
                write!(f, ":protected={id:#x}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for ChannelList {
    type Err = ChannelListError;

    fn from_str(text: &str) -> Result<Self, ChannelListError> {
        let channels = text
            .split(',')
            .map(|part| channel(part).ok_or_else(|| ChannelListError::Part(part.to_owned())))
            .collect::<Result<Vec<_>, _>>()?;
        Mailbox::<SharedMemory>::required_len(&channels).map_err(ChannelListError::Config)?;
        Ok(Self(channels))
    }
}

fn channel(part: &str) -> Option<Channel> {
    let mut fields = part.split(':');
    let (kind, from, size) = (fields.next()?, fields.next()?, fields.next()?);
    let from = match from {
        "first" => End::First,
        "second" => End::Second,
        _ => return None,
    };
    let of_slots = || {
        let (slots, bytes) = size.split_once('x')?;
        Some((slots.parse::<u32>().ok()?, bytes.parse::<u16>().ok()?))
    };
    let mut channel = match kind {
        "queuing" => of_slots().map(|(slots, bytes)| Channel::queuing(from, slots, bytes))?,
        "request" => of_slots().map(|(slots, bytes)| Channel::request(from, slots, bytes))?,
        "response" => of_slots().map(|(slots, bytes)| Channel::response(from, slots, bytes))?,
        "sampling" => Channel::sampling(from, size.parse().ok()?),
        _ => return None,
    };
    for field in fields {
        channel = match field.split_once('=')? {
            ("vector", vector) => channel.vector(vector.parse().ok()?),
            ("protected", id) => channel.protected(number(id)?),
            _ => return None,
        };
    }
    Some(channel)
}

/// Decimal, or hexadecimal behind `0x`.
fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_and_written_alike() {
        let text = "queuing:second:64x248,sampling:first:56:vector=3,request:second:16x56,response:first:16x120:vector=1,\
                    queuing:first:8x120:protected=0x12";
        let list: ChannelList = text.parse().unwrap();
        assert_eq!(
            list.channels(),
            [
                Channel::queuing(End::Second, 64, 248),
                Channel::sampling(End::First, 56).vector(3),
                Channel::request(End::Second, 16, 56),
                Channel::response(End::First, 16, 120).vector(1),
                Channel::queuing(End::First, 8, 120).protected(0x12),
            ]
        );
        assert_eq!(list.to_string(), text);
        assert_eq!(ChannelList::default().to_string().parse(), Ok(ChannelList::default()));
    }

    #[test]
    fn what_is_no_channel_is_said_with_its_text() {
        for part in [
            "",
            "queuing",
            "queuing:first",
            "queuing:first:64",
            "queuing:third:64x8",
            "sampling:first:4x8",
            "mail:first:4x8",
            "queuing:first:4x70000",
            "queuing:first:4x8:vector",
            "queuing:first:4x8:vector=x",
            "queuing:first:4x8:colour=1",
            "queuing:first:4x24:protected=0xg",
        ] {
            let list = format!("sampling:first:8,{part}");
            assert_eq!(list.parse::<ChannelList>(), Err(ChannelListError::Part(part.to_owned())));
        }
        let slots = ChannelListError::Config(ConfigError::Slots { channel: 0, slots: 5 });
        assert_eq!("queuing:first:5x8".parse::<ChannelList>(), Err(slots));
        assert!(ChannelListError::Part("x".into()).to_string().contains("\"x\" is no channel; expected <kind>"));
    }
}
