//! gzip: one member, as the kernel's build makes it. Deflate is `miniz_oxide`'s, in its mode that
//! writes to the destination without a window of its own.

use super::{Fault, Input, crc};
use alloc::vec::Vec;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};

#[inline(never)] // its tables would be on every format's stack
pub(super) fn decode(payload: &[u8], out: &mut [u8]) -> Result<usize, Fault> {
    let mut input = Input::new(payload);
    skip_header(&mut input)?;
    let mut state = Vec::new();
    state.try_reserve_exact(1).map_err(|_| Fault::OutOfMemory)?;
    push_new(&mut state);
    let Some(state) = state.first_mut() else {
        return Err(Fault::OutOfMemory);
    };
    let flags = inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let (status, consumed, len) = decompress(state, input.rest(), out, 0, flags);
    match status {
        TINFLStatus::Done => {}
        TINFLStatus::HasMoreOutput => return Err(Fault::TooLong),
        TINFLStatus::NeedsMoreInput | TINFLStatus::FailedCannotMakeProgress => return Err(Fault::Truncated),
        _ => return Err(Fault::Corrupt("deflate stream")),
    }
    input.skip(consumed)?;
    let (sum, size) = (input.u32()?, input.u32()?);
    let data = out.get(..len).ok_or(Fault::TooLong)?;
    if sum != crc::crc32(data) || size as usize != len & 0xffff_ffff {
        return Err(Fault::Checksum);
    }
    Ok(len)
}

/// Puts a fresh decompressor where `state` has room for it. On its own, so that its 11 KiB, which the
/// compiler first builds on the stack, are off it again when the real work begins.
#[inline(never)]
fn push_new(state: &mut Vec<DecompressorOxide>) {
    state.push(DecompressorOxide::new());
}

/// RFC 1952, section 2.3.
fn skip_header(input: &mut Input<'_>) -> Result<(), Fault> {
    const FHCRC: u8 = 1 << 1;
    const FEXTRA: u8 = 1 << 2;
    const FNAME: u8 = 1 << 3;
    const FCOMMENT: u8 = 1 << 4;
    let [id1, id2, method, flags] = input.array::<4>()?;
    if (id1, id2, method) != (0x1f, 0x8b, 8) {
        return Err(Fault::Unsupported("gzip method (only deflate)"));
    }
    if flags & 0xe0 != 0 {
        return Err(Fault::Corrupt("gzip header flags"));
    }
    input.skip(6)?; // mtime, extra flags, operating system
    if flags & FEXTRA != 0 {
        let len = input.u16()?;
        input.skip(usize::from(len))?;
    }
    for string in [FNAME, FCOMMENT] {
        if flags & string != 0 {
            while input.u8()? != 0 {}
        }
    }
    if flags & FHCRC != 0 {
        input.skip(2)?;
    }
    Ok(())
}
