//! The commands an operator types by itself, and the responses that are right.
//!
//! A fixed mix, the same in every run: ping, set-speed, status, a speed out of range, an unknown command, something
//! that is no number, stop.

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) text: Vec<u8>,
    /// Whether it does no harm to carry it out twice, so that it may be repeated when a restart hides whether it was carried out.
    pub(super) repeatable: bool,
}

impl Command {
    /// A command that must not be repeated.
    pub(super) fn once(text: &str) -> Self {
        Self { text: text.into(), repeatable: false }
    }

    /// What a user typed: repeatable if it is one of those known to be.
    pub(super) fn typed(text: Vec<u8>) -> Self {
        let word = text.split(|byte| *byte == b' ').next().unwrap_or_default();
        let repeatable = [&b"ping"[..], b"set-speed", b"status", b"stop"].contains(&word);
        Self { text, repeatable }
    }
}

/// How many commands until the mix begins anew.
pub(super) const MIX: u64 = 7;
/// Speeds that the real-time side takes, in rpm, are at most this either way.
const MAX_SPEED: i64 = 3000;

/// What the responses so far say about the state of the real-time side.
#[derive(Debug, Default)]
pub(super) struct Script {
    /// In which session the state below was seen; another session starts from rest.
    session: u64,
    target: i64,
    cycles: u64,
}

impl Script {
    /// Command `number`, from 0.
    pub(super) fn command(&self, number: u64) -> Command {
        let text = match number % MIX {
            0 => format!("ping {number}"),
            1 => format!("set-speed {}", speed(number)),
            3 => format!("set-speed {}", speed_out_of_range(number)),
            4 => format!("launch-{number}"),
            5 => "set-speed fast".into(),
            6 => "stop".into(),
            _ => "status".into(),
        };
        Command { text: text.into(), repeatable: true }
    }

    /// Checks the response to command `number`, received in `session`; if it is wrong, says what would be right.
    pub(super) fn check(&mut self, number: u64, session: u64, response: &[u8]) -> Result<(), String> {
        if session != self.session {
            *self = Self { session, ..Self::default() };
        }
        let expected = match number % MIX {
            0 => format!("pong {number}"),
            1 => {
                self.target = speed(number);
                format!("ok set-speed {}", self.target)
            }
            3 => format!("error set-speed: {} is outside -{MAX_SPEED}..={MAX_SPEED}", speed_out_of_range(number)),
            4 => format!("error unknown command: launch-{number}"),
            5 => "error set-speed: not a number: fast".into(),
            6 => {
                self.target = 0;
                "ok stop".into()
            }
            _ => return self.check_status(response),
        };
        if response == expected.as_bytes() { Ok(()) } else { Err(expected) }
    }

    /// The target is the speed set last, the speed within its bounds, and the count of cycles never falls.
    fn check_status(&mut self, response: &[u8]) -> Result<(), String> {
        let Self { target, cycles, .. } = *self;
        let expected = || {
            format!(
                "ok status target={target} speed=<-{MAX_SPEED}..={MAX_SPEED}> position=<n> cycles=<at least {cycles}> missed=<at most cycles>"
            )
        };
        let status = core::str::from_utf8(response).ok().and_then(Status::parse).ok_or_else(expected)?;
        let right = status.target == target
            && (-MAX_SPEED..=MAX_SPEED).contains(&status.speed)
            && status.cycles >= cycles
            && status.missed <= status.cycles;
        self.cycles = status.cycles;
        if right { Ok(()) } else { Err(expected()) }
    }
}

/// The fields of a response to `status` that can be judged.
struct Status {
    target: i64,
    speed: i64,
    cycles: u64,
    missed: u64,
}

impl Status {
    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.strip_prefix("ok status ")?.split(' ');
        let mut field = |name: &str| fields.next()?.strip_prefix(name)?.strip_prefix('=');
        let target = field("target")?.parse().ok()?;
        let speed = field("speed")?.parse().ok()?;
        let _: i64 = field("position")?.parse().ok()?;
        let cycles = field("cycles")?.parse().ok()?;
        let missed = field("missed")?.parse().ok()?;
        fields.next().is_none().then_some(Self { target, speed, cycles, missed })
    }
}

/// Spread over the whole range.
fn speed(number: u64) -> i64 {
    (number.wrapping_mul(37) % (2 * MAX_SPEED as u64 + 1)) as i64 - MAX_SPEED
}

/// Just outside, and far, on both sides.
fn speed_out_of_range(number: u64) -> i64 {
    let beyond = MAX_SPEED + 1 + (number.wrapping_mul(11) % 100_000) as i64;
    if number.is_multiple_of(2) { beyond } else { -beyond }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mix_has_every_kind_of_command_and_is_the_same_every_time() {
        let script = Script::default();
        let texts: Vec<_> = (0..8).map(|number| String::from_utf8(script.command(number).text).unwrap()).collect();
        assert_eq!(
            texts,
            ["ping 0", "set-speed -2963", "status", "set-speed -3034", "launch-4", "set-speed fast", "stop", "ping 7"]
        );
    }

    #[test]
    fn speeds_stay_inside_or_outside_whatever_the_number() {
        for number in (0..20_000).chain([u64::MAX]) {
            assert!(speed(number).abs() <= MAX_SPEED);
            assert!(speed_out_of_range(number).abs() > MAX_SPEED);
        }
    }

    #[test]
    fn a_response_is_right_to_the_letter_or_wrong() {
        let mut script = Script::default();
        assert_eq!(script.check(0, 1, b"pong 0"), Ok(()));
        assert_eq!(script.check(0, 1, b"pong 7"), Err("pong 0".into()));
        assert_eq!(script.check(0, 1, b"pong 0 "), Err("pong 0".into()));
        assert_eq!(script.check(3, 1, b"error set-speed: -3034 is outside -3000..=3000"), Ok(()));
        assert_eq!(script.check(4, 1, b"error unknown command: launch-4"), Ok(()));
        assert_eq!(script.check(5, 1, b"error set-speed: not a number: fast"), Ok(()));
        assert_eq!(script.check(6, 1, b""), Err("ok stop".into()));
    }

    #[test]
    fn status_is_judged_by_what_was_set_and_what_was_counted() {
        let mut script = Script::default();
        script.check(1, 1, b"ok set-speed -2963").unwrap();
        let status =
            |cycles: u64, rest: &str| format!("ok status target=-2963 speed=-5 position=-77 cycles={cycles} {rest}");
        assert_eq!(script.check(2, 1, status(10, "missed=3").as_bytes()), Ok(()));
        assert_eq!(script.check(9, 1, status(10, "missed=10").as_bytes()), Ok(()));
        assert!(script.check(9, 1, status(9, "missed=3").as_bytes()).is_err(), "cycles fell");
        assert!(script.check(9, 1, status(11, "missed=12").as_bytes()).is_err(), "more missed than there were");
        assert!(script.check(9, 1, status(12, "missed=3 more").as_bytes()).is_err());
        assert!(script.check(9, 1, b"ok status target=0 speed=0 position=0 cycles=20 missed=0").is_err());
        script.check(6, 1, b"ok stop").unwrap();
        assert_eq!(script.check(9, 1, b"ok status target=0 speed=0 position=0 cycles=20 missed=0"), Ok(()));
        assert!(script.check(9, 1, b"ok status target=0 speed=3001 position=0 cycles=21 missed=0").is_err());
    }

    #[test]
    fn a_new_session_starts_from_rest() {
        let mut script = Script::default();
        script.check(1, 1, b"ok set-speed -2963").unwrap();
        script.check(2, 1, b"ok status target=-2963 speed=0 position=0 cycles=1000 missed=0").unwrap();
        assert_eq!(script.check(9, 2, b"ok status target=0 speed=0 position=0 cycles=1 missed=0"), Ok(()));
    }

    #[test]
    fn only_commands_known_to_be_harmless_twice_are_repeatable() {
        for (text, repeatable) in [
            ("ping x", true),
            ("set-speed 5", true),
            ("status", true),
            ("stop", true),
            ("quit", false),
            ("launch", false),
        ] {
            assert_eq!(Command::typed(text.into()).repeatable, repeatable, "{text}");
        }
    }
}
