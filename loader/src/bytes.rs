//! A cursor over untrusted bytes: every read is checked and nothing wraps.

/// The bytes ended before the field did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Eof;

/// A position in a slice of untrusted bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'a> {
    bytes: &'a [u8],
    pos: usize,
}

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Input { bytes, pos: 0 }
    }

    /// A cursor that begins at `offset`.
    pub(crate) fn at(bytes: &'a [u8], offset: usize) -> Result<Self, Eof> {
        if offset > bytes.len() { Err(Eof) } else { Ok(Input { bytes, pos: offset }) }
    }

    pub(crate) fn pos(&self) -> usize {
        self.pos
    }

    /// Everything that was not read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.pos..).unwrap_or(&[])
    }

    /// `len` bytes from an absolute position on, without moving.
    pub(crate) fn since(&self, start: usize, len: usize) -> Result<&'a [u8], Eof> {
        let end = start.checked_add(len).ok_or(Eof)?;
        self.bytes.get(start..end).ok_or(Eof)
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Eof> {
        let taken = self.since(self.pos, len)?;
        self.pos = self.pos.checked_add(len).ok_or(Eof)?;
        Ok(taken)
    }

    pub(crate) fn skip(&mut self, len: usize) -> Result<(), Eof> {
        self.take(len).map(drop)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Eof> {
        let array = *self.rest().first_chunk::<N>().ok_or(Eof)?;
        self.pos = self.pos.checked_add(N).ok_or(Eof)?;
        Ok(array)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Eof> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Eof> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u16_be(&mut self) -> Result<u16, Eof> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Eof> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Eof> {
        self.array().map(u64::from_le_bytes)
    }

    /// XZ's variable-length integer: seven bits a byte, least significant first, at most nine
    /// bytes, no superfluous last zero.
    pub(crate) fn varint(&mut self) -> Result<u64, Eof> {
        let mut value = 0u64;
        for shift in (0..63).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return if byte == 0 && shift > 0 { Err(Eof) } else { Ok(value) };
            }
        }
        Err(Eof)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_past_the_end_moves_nothing() {
        let mut input = Input::new(&[1, 2, 3]);
        assert_eq!(input.u32(), Err(Eof));
        assert_eq!(input.u16(), Ok(0x0201));
        assert_eq!(input.take(usize::MAX), Err(Eof));
        assert_eq!(input.u8(), Ok(3));
        assert_eq!(input.u8(), Err(Eof));
    }

    #[test]
    fn varints_are_minimal_and_at_most_nine_bytes() {
        assert_eq!(Input::new(&[0x7f]).varint(), Ok(127));
        assert_eq!(Input::new(&[0x80, 1]).varint(), Ok(128));
        assert_eq!(Input::new(&[0x80, 0]).varint(), Err(Eof));
        assert_eq!(Input::new(&[0xff; 10]).varint(), Err(Eof));
    }
}
