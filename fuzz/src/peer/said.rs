//! What the project's hostile peer says as long as it is honest.

/// A message, sample or request of its: `chaos <life> <number>`, counted on each channel from 0 in each life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Said {
    life: u64,
    pub number: u64,
}

impl Said {
    pub fn read(bytes: &[u8]) -> Self {
        let read = || {
            let (life, number) = str::from_utf8(bytes).ok()?.strip_prefix("chaos ")?.split_once(' ')?;
            Some(Self { life: life.parse().ok()?, number: number.parse().ok()? })
        };
        read().unwrap_or_else(|| panic!("an honest peer never said {:?}", bytes.escape_ascii().to_string()))
    }
}

/// What has come on a channel that drops nothing without an error.
#[derive(Debug, Default)]
pub struct Order {
    last: Option<Said>,
    lost: bool,
}

impl Order {
    /// One message came.
    pub fn came(&mut self, bytes: &[u8]) {
        let said = Said::read(bytes);
        let lost = std::mem::take(&mut self.lost);
        if let Some(last) = self.last.replace(said) {
            let next = Said { number: last.number + 1, ..last };
            assert!(said == next || lost && said > last, "{said:?} came after {last:?}, lost: {lost}");
        }
    }

    /// An error was reported: before the next message some may be missing.
    pub fn lost(&mut self) {
        self.lost = true;
    }
}
