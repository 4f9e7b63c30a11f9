//! Payloads made of NUL-terminated strings.

/// The NUL-terminated strings at the start of a payload. An unterminated tail is not a string: it is
/// [`Strings::rest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strings<'a> {
    rest: &'a [u8],
}

impl<'a> Strings<'a> {
    /// Over a whole payload.
    pub const fn new(payload: &'a [u8]) -> Self {
        Strings { rest: payload }
    }

    /// What has not been returned yet.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Strings<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = self.rest.iter().position(|&b| b == 0)?;
        let (s, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest.get(1..).unwrap_or_default();
        Some(s)
    }
}
