//! `ivshmem-peer operator`.

mod engine;
mod script;

use super::terminal::{Line, Screen, Terminal};
use super::window::WindowArguments;
use super::{Failure, say, stop};
use core::time::Duration;
use engine::{Answer, Engine};
use ivshmem::channel::End;
use ivshmem::memory::Memory;
use ivshmem_peer::{Backend, DeviceName, MAX_MESSAGE, Purpose};
use script::{Command, Script};

/// Type commands to the real-time side and see its responses
///
/// Reads one command a line from standard input (the control-loop image knows ping, set-speed, status, stop and quit) and prints each
/// response; or, with --commands, types commands by itself and checks every response. Survives restarts of the real-time
/// side: the command under way is repeated, unless that could do harm. Ends with a line of counts:
///
///   operator: end commands=<n> responses=<n> wrong=<n> link_us=<n> rtt_ns_min=<n> rtt_ns_median=<n> rtt_ns_max=<n>
///   interrupts=<n> doorbells=<n> recovered_by_poll=<n> restarts=<n>
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:
  ivshmem-peer operator
  echo 'set-speed 1500' | ivshmem-peer operator --device vfio:0000:00:03.0
  ivshmem-peer operator --device socket:/run/ivshmem.sock --commands 10000 --quit"
)]
pub(super) struct Operator {
    #[command(flatten)]
    window: WindowArguments,
    /// Type so many commands, a fixed mix of right and wrong ones, and check every response.
    #[arg(long, value_name = "N")]
    commands: Option<u64>,
    /// Send `quit` at the end, which ends the control-loop image. It is one more command.
    #[arg(long)]
    quit: bool,
    /// How long to wait for the other side, in seconds, each time it is waited for.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86400 * 365))]
    timeout: u64,
}

impl Operator {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let (name, backend) = self.window.open(Purpose::Exchange)?;
        let mut mailbox = ivshmem_peer::mailbox(&*backend, End::Second)
            .map_err(|error| Failure::Failed(format!("{name}: {error}")))?;
        stop::catch()?;
        announce(&name, &*backend)?;
        let screen = if self.commands.is_some() { Screen::plain() } else { Screen::of_user() };
        let mut engine = Engine::attach(&mut mailbox, &*backend, Duration::from_secs(self.timeout), screen);
        let outcome = match self.commands {
            Some(commands) => typed_by_itself(&mut engine, commands, self.quit),
            None => typed_by_a_user(&mut engine, self.quit),
        };
        engine.close();
        // The counts are said in any case: they show how far it came.
        let summary = engine.summary();
        let ended = engine.screen.say(&format!("operator: end {summary}"), false);
        outcome.and(ended).and_then(|()| engine.verdict())
    }
}

fn announce(name: &DeviceName, backend: &dyn Backend) -> Result<(), Failure> {
    let id = backend.id().map_or_else(|| "-".into(), |id| id.to_string());
    let (way, kind, size) = (backend.way(), backend.kind(), backend.memory().len());
    say(format_args!("operator: device {} backend={way} kind={kind} id={id} size={size}", name.place()))
}

/// `commands` commands of the script, and `quit`.
fn typed_by_itself(engine: &mut Engine<'_>, commands: u64, quit: bool) -> Result<(), Failure> {
    let mut script = Script::default();
    for number in 0..commands {
        let command = script.command(number);
        engine.say_progress(number, commands);
        match engine.execute(&command)? {
            Answer::Response { text, session } => {
                // Every kind of command once, for whoever watches.
                if number < script::MIX {
                    engine.show(&command, &text)?;
                }
                if let Err(expected) = script.check(number, session, &text) {
                    engine.wrong(&command, &expected, &text)?;
                }
            }
            Answer::Lost => engine.wrong(&command, "a response", b"")?,
        }
    }
    if quit { say_quit(engine) } else { Ok(()) }
}

fn say_quit(engine: &mut Engine<'_>) -> Result<(), Failure> {
    let command = Command::once("quit");
    match engine.execute(&command)? {
        Answer::Response { text, .. } if text == b"ok quit" => Ok(()),
        Answer::Response { text, .. } => engine.wrong(&command, "ok quit", &text),
        Answer::Lost => engine.wrong(&command, "ok quit", b""),
    }
}

/// Commands from standard input until it ends, or the real-time side has said goodbye.
fn typed_by_a_user(engine: &mut Engine<'_>, quit: bool) -> Result<(), Failure> {
    let mut terminal = Terminal::new();
    engine.wait_up()?;
    loop {
        let line = match terminal.read()? {
            Line::Complete(line) => line,
            Line::None => {
                engine.idle(&terminal)?;
                continue;
            }
            Line::End => return if quit { say_quit(engine) } else { Ok(()) },
        };
        engine.screen.entered();
        if line.is_empty() {
            engine.screen.prompt()?;
            continue;
        }
        if line.len() > MAX_MESSAGE {
            engine.too_long(line.len())?;
            continue;
        }
        let command = Command::typed(line);
        match engine.execute(&command)? {
            Answer::Response { text, .. } => {
                let ended = command.text == b"quit" && text == b"ok quit";
                engine.screen.say(&super::mailbox::printable(&text), !ended)?;
                if ended {
                    return Ok(());
                }
            }
            Answer::Lost => {
                let lost = "no response: the real-time side restarted, the command may be lost";
                engine.screen.say(lost, true)?;
            }
        }
    }
}
