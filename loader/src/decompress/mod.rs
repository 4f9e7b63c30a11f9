//! Kernel payload decompression into a caller's buffer.
//!
//! Every decoder writes straight into the destination and uses it as its own dictionary. None ever
//! writes past `out`, allocates in proportion to its input's claims, or panics on any input.

mod bcj;
mod bzip2;
mod crc;
mod gzip;
mod lz4;
mod lzma;
mod lzma_alone;
mod xxh64;
mod xz;
mod zstd;

pub(crate) use crate::bytes::{Eof, Input};
use core::fmt;

/// How a kernel payload is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all: the ELF file stands in the image as it is.
    None,
    /// gzip (RFC 1952).
    Gzip,
    /// XZ: LZMA2, with or without the x86 filter.
    Xz,
    /// LZMA-alone.
    Lzma,
    /// LZ4 in its legacy frame (`lz4 -l`).
    Lz4,
    /// bzip2.
    Bzip2,
    /// Zstandard (RFC 8878).
    Zstd,
    /// LZO in the lzop container, which is recognised but not supported.
    Lzo,
}

impl Compression {
    /// Recognises a payload by its first bytes.
    pub fn of(payload: &[u8]) -> Option<Self> {
        Some(match payload {
            [0x7f, b'E', b'L', b'F', ..] => Compression::None,
            [0x1f, 0x8b | 0x9e, ..] => Compression::Gzip,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Compression::Xz,
            [0x5d, 0, 0, ..] => Compression::Lzma,
            [0x02, 0x21, 0x4c, 0x18, ..] => Compression::Lz4,
            [b'B', b'Z', b'h', ..] => Compression::Bzip2,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
            [0x89, b'L', b'Z', b'O', ..] => Compression::Lzo,
            _ => return None,
        })
    }

    /// The name that kernel configurations use.
    pub const fn name(self) -> &'static str {
        match self {
            Compression::None => "uncompressed",
            Compression::Gzip => "gzip",
            Compression::Xz => "xz",
            Compression::Lzma => "lzma",
            Compression::Lz4 => "lz4",
            Compression::Bzip2 => "bzip2",
            Compression::Zstd => "zstd",
            Compression::Lzo => "lzo",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a decoder gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The compressed data ended too early.
    Truncated,
    /// A field that no encoder writes.
    Corrupt(&'static str),
    /// The checksum over the output differs.
    Checksum,
    /// A valid stream that this decoder does not know.
    Unsupported(&'static str),
    /// More output than the buffer holds.
    TooLong,
    /// Less output than the stream itself announced.
    TooShort,
    /// The heap has no room for the decoder's own tables.
    OutOfMemory,
}

impl From<Eof> for Fault {
    fn from(_: Eof) -> Self {
        Fault::Truncated
    }
}

/// Decompresses `payload` into `out` and returns how many bytes that made.
pub(crate) fn decode(compression: Compression, payload: &[u8], out: &mut [u8]) -> Result<usize, Fault> {
    match compression {
        Compression::None => {
            out.get_mut(..payload.len()).ok_or(Fault::TooLong)?.copy_from_slice(payload);
            Ok(payload.len())
        }
        Compression::Gzip => gzip::decode(payload, out),
        Compression::Xz => xz::decode(payload, out),
        Compression::Lzma => lzma_alone::decode(payload, out),
        Compression::Lz4 => lz4::decode(payload, out),
        Compression::Bzip2 => bzip2::decode(payload, out),
        Compression::Zstd => zstd::decode(payload, out),
        Compression::Lzo => Err(Fault::Unsupported("LZO")),
    }
}

/// Copies `len` bytes from `dist` before `pos` to `pos`, overlapping as LZ77 wants it, and returns
/// the position after them. Where the window has room, copies in eights and leaves up to seven
/// stray bytes that the next symbols overwrite.
#[inline(always)]
fn copy_match(window: &mut [u8], pos: usize, dist: usize, len: usize) -> Result<usize, Fault> {
    let Some(mut from) = pos.checked_sub(dist) else {
        return Err(Fault::Corrupt("match distance"));
    };
    let end = pos.saturating_add(len);
    let Some(slack) = window.len().checked_sub(end) else {
        return Err(Fault::TooLong);
    };
    if dist >= 8 && slack >= 8 {
        let mut to = pos;
        while to < end {
            let Some(word) = window.get(from..).and_then(|tail| tail.first_chunk::<8>()).copied() else {
                return Err(Fault::TooLong);
            };
            let Some(slot) = window.get_mut(to..).and_then(|tail| tail.first_chunk_mut::<8>()) else {
                return Err(Fault::TooLong);
            };
            *slot = word;
            from = from.wrapping_add(8);
            to = to.wrapping_add(8);
        }
        return Ok(end);
    }
    copy_bytes(window, from, pos, end)
}

/// The short distances and the last bytes of a window.
fn copy_bytes(window: &mut [u8], mut from: usize, pos: usize, end: usize) -> Result<usize, Fault> {
    if from == pos {
        return Err(Fault::Corrupt("match distance"));
    }
    for to in pos..end {
        let Some(byte) = window.get(from).copied() else {
            return Err(Fault::TooLong);
        };
        let Some(slot) = window.get_mut(to) else {
            return Err(Fault::TooLong);
        };
        *slot = byte;
        from = from.wrapping_add(1);
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_match_is_copied_as_byte_by_byte_at_every_distance_and_slack() {
        for dist in 1..20usize {
            for len in 0..40usize {
                for slack in [0usize, 1, 7, 8, 9] {
                    let mut expected: [u8; 80] = core::array::from_fn(|i| i as u8);
                    let mut window = expected;
                    for i in 20..20 + len {
                        expected[i] = expected[i - dist];
                    }
                    let end = copy_match(&mut window[..20 + len + slack], 20, dist, len);
                    assert_eq!(end, Ok(20 + len));
                    assert_eq!(window[..20 + len], expected[..20 + len], "dist {dist} len {len} slack {slack}");
                    assert_eq!(window[20 + len + slack..], expected[20 + len + slack..], "wrote past the window");
                }
            }
        }
    }

    #[test]
    fn a_match_before_the_window_or_past_it_is_refused() {
        let mut window = [0u8; 16];
        assert_eq!(copy_match(&mut window, 4, 5, 1), Err(Fault::Corrupt("match distance")));
        assert_eq!(copy_match(&mut window, 4, 0, 1), Err(Fault::Corrupt("match distance")));
        assert_eq!(copy_match(&mut window, 4, 4, 13), Err(Fault::TooLong));
        assert_eq!(copy_match(&mut window, 4, 4, usize::MAX), Err(Fault::TooLong));
    }
}
