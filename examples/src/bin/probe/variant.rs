//! An error as `<ErrorName> <details>`, with the name of what exactly is wrong.

use core::fmt::{self, Debug, Display, Write};

/// Shows the name of an error's innermost enum variant, and what the error says of itself.
///
/// `Bar(Unassigned { index: 2 })` shows as `Unassigned` and the error's `Display`.
#[derive(Clone, Copy)]
pub struct Variant<'a>(pub &'a dyn DebugDisplay);

/// What [`Variant`] can show: any error, and no code of its own for each.
pub trait DebugDisplay: Debug + Display {}

impl<E: Debug + Display> DebugDisplay for E {}

impl Display for Variant<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut name = Name { text: heapless::String::new(), state: State::Start };
        // `Name` ends the writing when it has seen enough, which is an error to `write!`.
        let _ = write!(name, "{:?}", self.0);
        let text = if name.text.is_empty() { "Error" } else { name.text.as_str() };
        write!(f, "{text} {}", self.0)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a name, at the start or after `(`.
    Start,
    Inside,
    Over,
}

/// Takes `Debug` text and keeps the innermost name of it.
struct Name {
    text: heapless::String<48>,
    state: State,
}

impl Write for Name {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match (self.state, character) {
                (State::Over, _) => return Err(fmt::Error),
                (State::Start, 'A'..='Z') => {
                    self.text.clear();
                    self.push(character);
                    self.state = State::Inside;
                }
                (State::Inside, '(') => self.state = State::Start,
                (State::Inside, 'A'..='Z' | 'a'..='z' | '0'..='9' | '_') => self.push(character),
                _ => self.state = State::Over,
            }
        }
        Ok(())
    }
}

impl Name {
    fn push(&mut self, character: char) {
        // A name longer than this is cut.
        let _ = self.text.push(character);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[derive(Clone, Copy, Debug)]
    #[allow(dead_code, reason = "read through Debug")]
    enum Inner {
        Unassigned { index: u8 },
        Device(u16),
    }

    #[derive(Clone, Copy, Debug)]
    #[allow(dead_code, reason = "read through Debug")]
    enum Outer {
        NotFound,
        Bar(Inner),
    }

    impl Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("what happened")
        }
    }

    #[test]
    fn the_name_is_the_innermost_variant() {
        for (error, name) in [
            (Outer::NotFound, "NotFound"),
            (Outer::Bar(Inner::Unassigned { index: 2 }), "Unassigned"),
            (Outer::Bar(Inner::Device(7)), "Device"),
        ] {
            assert_eq!(Variant(&error).to_string(), std::format!("{name} what happened"));
        }
    }
}
