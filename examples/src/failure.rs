//! An error as a line: `<ErrorName> <details>`.

use core::fmt::{self, Debug, Display, Write};

/// Shows an error's name (of its innermost enum variant, or of its struct) and what it says of itself.
///
/// `Bar(Unassigned { index: 2 })` shows as `Unassigned` and the error's `Display`.
#[derive(Clone, Copy, Debug)]
pub struct Named<E>(pub E);

impl<E: Debug + Display> Display for Named<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut name = Name { text: heapless::String::new(), state: State::Start };
        // `Name` never refuses text; a `Debug` that fails leaves the name as far as it came.
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
                (State::Over, _) => return Ok(()),
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
            assert_eq!(Named(error).to_string(), std::format!("{name} what happened"));
        }
    }
}
