//! One image, one Linux VM and processes of this machine on one server: a mailbox window for each pair, and samples for all.

use super::suite::Suite;
use crate::tool::Tool;
use crate::vm::{Accelerator, Fields, Image, Launch, Link, Operator, Place, Process, Session, Talk};
use crate::workspace;
use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use std::collections::BTreeMap;

/// Commands that Linux's operator gives.
const COMMANDS: u64 = 200;
/// Values that Linux reads.
const VALUES: usize = 200;
/// Where the host's mailbox begins, and where the state is broadcast.
const SECOND_WINDOW: &str = "0x10000";
const STATE_WINDOW: &str = "0x20000";
const STATE_CHANNELS: &str = "sampling:first:120";

pub fn add(suite: &mut Suite) {
    suite.case(
        "three ends: Linux and a host process command one image at once, and both read what it broadcasts",
        |rig| {
            let (accelerator, linux) = (rig.images()?, rig.linux()?);
            rig.host()?;
            rig.session(|session| run(session, accelerator, &linux))
        },
    );
}

fn run(session: &mut Session, accelerator: Accelerator, linux: &Place) -> Result<()> {
    let link = Link::doorbell(session, 1 << 20, 4, 0)?;
    let image = Image::new("control-loop", accelerator).options("mode=interrupt windows=2 broadcast=yes");
    let mut image = image.start(session, vec![link.attach(0)?])?;
    image.event("ready ")?;
    let watch = watch(session, &link)?;
    let mut host = Operator::start(session, &Place::Host, &link, &["--offset", SECOND_WINDOW], Talk::Typed)?;
    host.event("up ")?;
    let host_id = image.event("up ")?.number("peer")?;

    // What the host commands, Linux reads.
    host.say("set-speed 555", "ok set-speed 555")?;
    let (commands, values) = (COMMANDS.to_string(), VALUES.to_string());
    let mut watch_words = vec!["sample", "watch", "--device", "sysfs:@", "--count", &values];
    watch_words.extend(["--offset", STATE_WINDOW, "--channels", STATE_CHANNELS]);
    let mut linux = Operator::after(session, linux, &link, &watch_words, &["--commands", &commands], Talk::Quiet)?;
    // Both at once: the host goes on for as long as Linux does.
    let console = linux.process().log().clone();
    let mut pings = 0;
    while console.all("operator: end ").is_empty() {
        ensure!(!linux.process().story().has_ended(), "the Linux VM ended early");
        host.say(&format!("ping host {pings}"), &format!("pong host {pings}"))?;
        pings += 1;
    }
    let linux_id = image.event("up ")?.number("peer")?;
    ensure!(host_id != linux_id, "both peers are {host_id}");
    let told = linux.finish()?;

    host.say("set-speed 777", "ok set-speed 777")?;
    watch.log().wait_part(0, "\"target=777 ")?;
    watch.signal(Signal::INT)?;
    let status = watch.wait()?;
    ensure!(status.success(), "the watch ended with {status}");
    host.say("quit", "ok quit")?;
    let host_told = host.finish()?;
    let log = image.process().log().clone();
    let end = image.finish()?;
    let second = one(log.all("control-loop: second "))?;
    let state = one(log.all("control-loop: state "))?;

    check(&told, &end, COMMANDS)?;
    check(&host_told, &second, pings + 3)?;
    let in_linux = values_of(&console.all("sample: value "))?;
    let on_host = values_of(&watch.log().all("sample: value "))?;
    let at_speed = in_linux.values().filter(|value| value.starts_with("target=555 ")).count();
    ensure!(at_speed == VALUES && in_linux.len() == VALUES, "{at_speed} of {} values in Linux", in_linux.len());
    let written = state.number("values")?;
    ensure!(on_host.len() as u64 <= written, "{} values on the host of {written}", on_host.len());
    // A value is of one cycle; whoever else has one of that cycle has the same.
    let both: Vec<_> = in_linux.iter().filter_map(|(cycle, value)| Some((value, on_host.get(cycle)?))).collect();
    ensure!(!both.is_empty(), "no value was read by both");
    ensure!(both.iter().all(|(linux, host)| linux == host), "{both:?}");
    println!("{}\n{}\n{}\n{}", told.line(), host_told.line(), second.line(), end.line());
    let (linux, host, both) = (in_linux.len(), on_host.len(), both.len());
    println!("{written} values broadcast, {linux} read in Linux, {host} on the host, {both} of them by both");
    Ok(())
}

/// A process of this machine that reads the state.
fn watch(session: &mut Session, link: &Link) -> Result<Process> {
    let attachment = link.attach(0)?;
    let tool = Tool::new(workspace::peer()).args(["sample", "watch", "--device"]).arg(&attachment.device);
    let tool = tool.args(["--offset", STATE_WINDOW, "--channels", STATE_CHANNELS]);
    let mut launch = Launch::new("watch", tool);
    launch.inherit.extend(attachment.inherit);
    session.start(launch)
}

fn one(mut lines: Vec<Fields>) -> Result<Fields> {
    ensure!(lines.len() == 1, "{lines:?}");
    lines.pop().context("no line")
}

/// An operator and its window of the image agree on every command, and rang each other.
fn check(operator: &Fields, window: &Fields, commands: u64) -> Result<()> {
    let told = (operator.number("commands")?, operator.number("responses")?, operator.number("wrong")?);
    ensure!(told == (commands, commands, 0), "not {commands}: {}", operator.line());
    let counted = (window.number("commands")?, window.number("responses")?, window.number("restarts")?);
    ensure!(counted == (commands, commands, 0), "not {commands}: {}", window.line());
    ensure!(
        window.number("doorbells")? > 0 && operator.number("interrupts")? > 0,
        "{} / {}",
        operator.line(),
        window.line()
    );
    Ok(())
}

/// The values that a watch printed, by their cycles, which only go up; each is whole.
fn values_of(lines: &[Fields]) -> Result<BTreeMap<u64, String>> {
    const KEYS: [&str; 5] = ["target", "speed", "position", "cycles", "missed"];
    let mut values = BTreeMap::new();
    for line in lines {
        let value = line.line().split_once('"').and_then(|(_, value)| value.strip_suffix('"')).context("no value")?;
        let words: Vec<(&str, i64)> = value
            .split(' ')
            .map(|word| {
                let (key, number) = word.split_once('=')?;
                Some((key, number.parse().ok()?))
            })
            .collect::<Option<_>>()
            .with_context(|| format!("torn: {}", line.line()))?;
        ensure!(words.iter().map(|(key, _)| *key).eq(KEYS), "torn: {}", line.line());
        let cycles = u64::try_from(words[3].1)?;
        let is_later = values.last_key_value().is_none_or(|(last, _)| *last < cycles);
        ensure!(is_later, "not later than the one before: {}", line.line());
        values.insert(cycles, value.to_owned());
    }
    Ok(values)
}
