//! LZ4 in its legacy frame: a magic, then independent blocks, each with its compressed size, each
//! but the last making 8 MiB. There is no checksum and no end mark.

use super::{Fault, Input, copy_match};

const MAGIC: u32 = 0x184c_2102;
const BLOCK: usize = 8 << 20;
const MATCH_MIN: usize = 4;

pub(super) fn decode(payload: &[u8], out: &mut [u8]) -> Result<usize, Fault> {
    let mut input = Input::new(payload);
    if input.u32()? != MAGIC {
        return Err(Fault::Corrupt("LZ4 legacy magic"));
    }
    let mut done = 0usize;
    while !input.rest().is_empty() {
        let packed = input.u32()?;
        if packed == MAGIC {
            continue; // a second frame follows
        }
        let data = input.take(packed as usize)?;
        let room = out.get_mut(done..).ok_or(Fault::TooLong)?;
        let limit = room.len().min(BLOCK);
        let len = block(data, room.get_mut(..limit).ok_or(Fault::TooLong)?)?;
        done = done.wrapping_add(len);
    }
    Ok(done)
}

/// One block; `window` is all of the output that it may make.
fn block(data: &[u8], window: &mut [u8]) -> Result<usize, Fault> {
    let mut input = Input::new(data);
    let mut pos = 0usize;
    loop {
        let token = usize::from(input.u8()?);
        let literals = extended(&mut input, token >> 4)?;
        pos = copy_literals(&mut input, window, pos, literals)?;
        if input.rest().is_empty() {
            return Ok(pos);
        }
        let dist = usize::from(input.u16()?);
        let len = extended(&mut input, token & 15)?.saturating_add(MATCH_MIN);
        pos = copy_match(window, pos, dist, len)?;
    }
}

/// A length of 15 goes on in bytes of 255, the last one smaller.
#[inline(always)]
fn extended(input: &mut Input<'_>, nibble: usize) -> Result<usize, Fault> {
    let mut len = nibble;
    if nibble == 15 {
        loop {
            let byte = input.u8()?;
            len = len.saturating_add(usize::from(byte));
            if byte != 255 {
                break;
            }
        }
    }
    Ok(len)
}

#[inline(always)]
fn copy_literals(input: &mut Input<'_>, window: &mut [u8], pos: usize, len: usize) -> Result<usize, Fault> {
    let end = pos.saturating_add(len);
    if len <= 16
        && let Some(from) = input.rest().first_chunk::<16>()
        && let Some(to) = window.get_mut(pos..).and_then(|tail| tail.first_chunk_mut::<16>())
    {
        *to = *from; // stray bytes behind `len` are overwritten by what follows
        input.skip(len)?;
        return Ok(end);
    }
    let from = input.take(len)?;
    window.get_mut(pos..end).ok_or(Fault::TooLong)?.copy_from_slice(from);
    Ok(end)
}
