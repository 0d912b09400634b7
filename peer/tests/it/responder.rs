//! The real-time side, for tests: a thread that answers commands as the control-loop image does.

use ivshmem::channel::{End, RecvError, SendError};
use ivshmem_peer::{DeviceName, Exchange, MAX_MESSAGE, Purpose, Sysfs, mailbox, open};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Scope, ScopedJoinHandle};

/// How it behaves.
#[derive(Clone, Copy, Default)]
pub struct Behaviour {
    /// Attach anew, as a restarted image does, instead of answering every command of this number (from 1).
    pub restart_every: Option<u64>,
    /// Answer this command (from 1) wrongly.
    pub lie_at: Option<u64>,
}

/// What it counted.
#[derive(Debug)]
pub struct Served {
    pub commands: u64,
    pub responses: u64,
    pub interrupts: u32,
    pub doorbells: u64,
}

/// Sets the flag when dropped, so that a failed assertion ends the responder too.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `action` while a responder serves `device`.
pub fn with_responder<T>(device: &str, behaviour: Behaviour, action: impl FnOnce() -> T) -> (T, Served) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let responder = spawn(scope, device, behaviour, &stop);
        let result = {
            let _stop = StopOnDrop(&stop);
            action()
        };
        (result, responder.join().unwrap())
    })
}

/// The real-time side on `device`, until it is told `quit` or `stop` is set.
fn spawn<'s>(
    scope: &'s Scope<'s, '_>,
    device: &str,
    behaviour: Behaviour,
    stop: &'s AtomicBool,
) -> ScopedJoinHandle<'s, Served> {
    let device: DeviceName = device.parse().unwrap();
    let backend = open(Some(&device), Purpose::Exchange, &Sysfs::default()).unwrap();
    let mut mailbox = mailbox(&*backend, End::First).unwrap();
    scope.spawn(move || {
        let mut served = Served { commands: 0, responses: 0, interrupts: 0, doorbells: 0 };
        loop {
            let mut exchange = Exchange::attach(&mut mailbox, &*backend, End::First);
            let end = serve(&mut exchange, behaviour, &mut served, stop);
            let stats = exchange.stats();
            served.interrupts = stats.interrupts;
            served.doorbells += stats.doorbells;
            if end {
                exchange.close();
                return served;
            }
        }
    })
}

/// Whether it is over; else it is to attach anew.
fn serve(exchange: &mut Exchange<'_>, behaviour: Behaviour, served: &mut Served, stop: &AtomicBool) -> bool {
    let mut machine = Machine::default();
    let mut buffer = [0; MAX_MESSAGE];
    while !stop.load(Ordering::Relaxed) {
        if !exchange.poll().is_up() {
            exchange.rest();
        }
        let command = match exchange.recv(&mut buffer) {
            Ok(Some(command)) => command,
            Ok(None) | Err(RecvError::NotUp | RecvError::Closed | RecvError::PeerRestarted { .. }) => continue,
            Err(error) => panic!("{error}"),
        };
        served.commands += 1;
        if behaviour.restart_every.is_some_and(|every| served.commands.is_multiple_of(every)) {
            return false;
        }
        let mut response = machine.answer(command);
        if behaviour.lie_at == Some(served.commands) {
            response.push_str(", or not");
        }
        loop {
            match exchange.try_send(response.as_bytes()) {
                Ok(()) => break,
                Err(SendError::PeerRestarted { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        served.responses += 1;
        if command == b"quit" {
            return true;
        }
    }
    true
}

#[derive(Default)]
struct Machine {
    target: i64,
    cycles: u64,
}

impl Machine {
    fn answer(&mut self, command: &[u8]) -> String {
        self.cycles += 1;
        let text = core::str::from_utf8(command).unwrap();
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        match word {
            "ping" => format!("pong {rest}"),
            "set-speed" => match rest.parse::<i64>() {
                Ok(speed) if (-3000..=3000).contains(&speed) => {
                    self.target = speed;
                    format!("ok set-speed {speed}")
                }
                Ok(speed) => format!("error set-speed: {speed} is outside -3000..=3000"),
                Err(_) => format!("error set-speed: not a number: {rest}"),
            },
            "stop" => {
                self.target = 0;
                "ok stop".into()
            }
            "status" => format!("ok status target={} speed=0 position=-1 cycles={} missed=0", self.target, self.cycles),
            "quit" => "ok quit".into(),
            _ => format!("error unknown command: {text}"),
        }
    }
}
