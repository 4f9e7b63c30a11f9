//! LZMA-alone (`lzma -9`), the header before a bare LZMA stream: one properties byte, a dictionary
//! size of 4 bytes and an uncompressed size of 8 bytes, which is all ones when an end marker says
//! where the stream ends.

use super::lzma::{Decoder, Props, Until};
use super::{Fault, Input};

pub(super) fn decode(payload: &[u8], out: &mut [u8]) -> Result<usize, Fault> {
    let mut input = Input::new(payload);
    let props = Props::from_byte(input.u8()?)?;
    let _dictionary = input.u32()?; // the output buffer is the dictionary
    let size = input.u64()?;
    let (window, until) = if size == u64::MAX {
        (out, Until::Marker)
    } else {
        let size = usize::try_from(size).map_err(|_| Fault::TooLong)?;
        (out.get_mut(..size).ok_or(Fault::TooLong)?, Until::Full)
    };
    let mut decoder = Decoder::new(props)?;
    let (len, _) = decoder.run(input.rest(), window, 0, until)?;
    Ok(len)
}
