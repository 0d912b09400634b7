//! An error as a line: `<ErrorName> <details>`.

use core::fmt::{self, Display};

/// Shows an error's name, which is that of its type, and what it says of itself: `OpenError none of 0 ivshmem devices ...`.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "it is made to be displayed at once")]
pub struct Named<'a>(pub &'a dyn Failure);

/// What [`Named`] can show: anything that can be displayed.
///
/// The name is the type's because a variant's would take `Debug`, which makes an image a fifth larger.
pub trait Failure: Display {
    /// The name, without spaces.
    fn name(&self) -> &'static str;
}

impl<E: Display> Failure for E {
    fn name(&self) -> &'static str {
        last_part(core::any::type_name::<E>())
    }
}

// Not inlined: there is one caller for each kind of error, and the size of an image is a promise.
#[inline(never)]
fn last_part(path: &'static str) -> &'static str {
    let end = path.bytes().position(|byte| byte == b'<').unwrap_or(path.len());
    let start = path.bytes().take(end).rposition(|byte| byte == b':').map_or(0, |colon| colon + 1);
    path.get(start..end).unwrap_or(path)
}

impl Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0.name(), self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::OptionError;
    use std::string::ToString;

    #[test]
    fn the_name_is_the_types_without_its_path() {
        let error = OptionError::NotAnOption { word: "quiet" };
        assert_eq!(Named(&error).to_string(), "OptionError `quiet` is not of the form key=value");
    }
}
