//! The responder's private record of what it has to answer.

use super::head::RequestId;

/// Answers one request, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Token {
    index: u16,
    /// Counts the requests taken, whatever the peer calls them.
    serial: u32,
}

impl Token {
    /// Its place: below the responder's `N`, and of one open request at a time.
    pub(super) const fn index(self) -> usize {
        self.index as usize
    }
}

/// Up to `N` requests that wait for their answer.
#[derive(Debug)]
pub(super) struct Tokens<const N: usize> {
    entries: [Option<(u32, RequestId)>; N],
    next_serial: u32,
    open: usize,
}

impl<const N: usize> Tokens<N> {
    pub(super) const fn new() -> Self {
        const { assert!(N > 0 && N <= 1 << 16, "1 to 65536 requests") };
        Self { entries: [None; N], next_serial: 0, open: 0 }
    }

    pub(super) const fn open(&self) -> usize {
        self.open
    }

    /// The token that the next request gets, if there is a place for it. Looks at up to `N` entries.
    pub(super) fn vacant(&self) -> Option<Token> {
        let index = self.entries.iter().position(Option::is_none)?;
        Some(Token { index: index as u16, serial: self.next_serial })
    }

    /// Gives a token, from [`vacant`](Self::vacant), to a request.
    pub(super) fn take(&mut self, token: Token, id: RequestId) {
        if let Some(entry) = self.entries.get_mut(token.index()) {
            *entry = Some((token.serial, id));
            self.next_serial = self.next_serial.wrapping_add(1);
            self.open = self.open.saturating_add(1);
        }
    }

    /// The request that a token answers.
    pub(super) fn get(&self, token: Token) -> Option<RequestId> {
        let (serial, id) = (*self.entries.get(token.index())?)?;
        (serial == token.serial).then_some(id)
    }

    /// The token that answers a request. Looks at up to `N` entries.
    pub(super) fn find(&self, id: RequestId) -> Option<Token> {
        self.entries.iter().enumerate().find_map(|(index, entry)| {
            let (serial, _) = entry.filter(|(_, found)| *found == id)?;
            Some(Token { index: index as u16, serial })
        })
    }

    /// Makes a token void.
    pub(super) fn free(&mut self, token: Token) {
        if self.get(token).is_some()
            && let Some(entry) = self.entries.get_mut(token.index())
        {
            *entry = None;
            self.open = self.open.saturating_sub(1);
        }
    }

    /// Makes every token void, and says how many there were.
    pub(super) fn free_all(&mut self) -> usize {
        if self.open > 0 {
            self.entries = [None; N];
        }
        core::mem::take(&mut self.open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_void_once_freed_though_its_place_and_its_requests_name_are_used_again() {
        let mut tokens = Tokens::<2>::new();
        let id = RequestId::new(0, 1);
        let first = tokens.vacant().unwrap();
        tokens.take(first, id);
        assert_eq!((tokens.get(first), tokens.find(id), tokens.open()), (Some(id), Some(first), 1));
        tokens.free(first);
        tokens.free(first);
        let second = tokens.vacant().unwrap();
        tokens.take(second, id);
        assert_eq!(first.index(), second.index());
        assert_eq!((tokens.get(first), tokens.get(second), tokens.open()), (None, Some(id), 1));
        tokens.take(tokens.vacant().unwrap(), RequestId::new(1, 2));
        assert_eq!((tokens.vacant(), tokens.free_all(), tokens.free_all()), (None, 2, 0));
        assert_eq!((tokens.get(second), tokens.open()), (None, 0));
    }
}
