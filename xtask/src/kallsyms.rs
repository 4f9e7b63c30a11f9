//! The names of a Linux kernel's functions, from the table that the kernel carries for its own messages.
//!
//! The table (written by the kernel's scripts/kallsyms.c) holds, one behind the other and aligned to 8: the number
//! of symbols; their names, each a length and bytes that stand for pieces of text; a marker for every 256th name;
//! the 256 pieces; where each piece begins. Offsets of the addresses stand before it (to 6.3) or behind it.

/// Functions by address; none if the image holds no such table.
pub fn functions(image: &[u8]) -> Vec<(u64, String)> {
    let Some(pieces) = Pieces::find(image) else { return Vec::new() };
    let starts = (8..image.len()).step_by(8);
    starts.filter_map(|start| table(image, &pieces, start)).next().unwrap_or_default()
}

/// The pieces of text that names are made of.
struct Pieces<'a> {
    list: Vec<&'a [u8]>,
    /// Behind them and their index.
    end: usize,
}

impl<'a> Pieces<'a> {
    /// The digits stand for themselves in every kernel, so they are found first.
    fn find(image: &'a [u8]) -> Option<Self> {
        let digits: Vec<u8> = (b'0'..=b'9').flat_map(|digit| [digit, 0]).collect();
        let mut from = 0;
        while let Some(at) = find(image.get(from..)?, &digits).map(|at| at + from) {
            if let Some(pieces) = Self::at(image, at) {
                return Some(pieces);
            }
            from = at + 1;
        }
        None
    }

    /// The pieces, if `digit` is where that of `0` begins.
    fn at(image: &'a [u8], digit: usize) -> Option<Self> {
        let mut start = digit;
        for _ in 0..b'0' {
            let before = image.get(..start.checked_sub(1)?)?;
            start = before.iter().rposition(|byte| *byte == 0)? + 1;
        }
        let mut list = Vec::with_capacity(256);
        let mut offsets = Vec::with_capacity(256);
        let mut at = start;
        for _ in 0..256 {
            offsets.push(u16::try_from(at - start).ok()?);
            let length = image.get(at..)?.iter().take(256).position(|byte| *byte == 0)?;
            list.push(image.get(at..at + length)?);
            at += length + 1;
        }
        let index = at.next_multiple_of(8);
        let matches = offsets.iter().enumerate().all(|(number, offset)| {
            image.get(index + 2 * number..index + 2 * number + 2) == Some(offset.to_le_bytes().as_slice())
        });
        matches.then_some(Self { list, end: index + 512 })
    }

    fn text(&self, name: &[u8]) -> String {
        let bytes: Vec<u8> = name
            .iter()
            .flat_map(|byte| self.list.get(usize::from(*byte)).copied().unwrap_or_default())
            .copied()
            .collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// The functions, if the names begin at `start`.
fn table(image: &[u8], pieces: &Pieces<'_>, start: usize) -> Option<Vec<(u64, String)>> {
    let count = u32_at(image, start - 8)? as usize;
    if !(1000..2_000_000).contains(&count) || u32_at(image, start - 4)? != 0 {
        return None;
    }
    let mut names = Vec::new();
    let mut markers = Vec::new();
    let mut at = start;
    for number in 0..count {
        if number % 256 == 0 {
            markers.push(u32::try_from(at - start).ok()?);
        }
        let mut length = usize::from(*image.get(at)?);
        at += 1;
        if length >= 0x80 {
            length = (length & 0x7f) | usize::from(*image.get(at)?) << 7;
            at += 1;
        }
        if length == 0 {
            return None;
        }
        names.push(image.get(at..at + length)?);
        at += length;
    }
    let at = at.next_multiple_of(8);
    let right = markers.iter().enumerate().all(|(number, marker)| u32_at(image, at + 4 * number) == Some(*marker));
    if !right {
        return None;
    }
    let room = (4 * count).next_multiple_of(8);
    let (base, offsets) = match u64_at(image, start.checked_sub(16)?)? {
        base if base >= 0xffff_ffff_8000_0000 => (base, (start - 16).checked_sub(room)?),
        _ => (u64_at(image, pieces.end + room)?, pieces.end),
    };
    let mut functions = Vec::new();
    for (number, name) in names.iter().enumerate() {
        // Offsets that are not negative are those of per-CPU variables.
        let offset = i64::from(u32_at(image, offsets + 4 * number)?.cast_signed());
        let name = pieces.text(name);
        let mut chars = name.chars();
        if offset < 0 && matches!(chars.next(), Some('t' | 'T' | 'w' | 'W')) {
            functions.push((base.wrapping_add_signed(-1 - offset), chars.as_str().to_owned()));
        }
    }
    Some(functions)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn u32_at(image: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(image.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(image: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(image.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table of 1000 functions named `Tf<number>`, each 16 bytes, and one per-CPU variable.
    fn image(offsets_first: bool) -> Vec<u8> {
        fn align(bytes: &mut Vec<u8>) {
            bytes.resize(bytes.len().next_multiple_of(8), 0);
        }
        let count = 1001u32;
        let base = 0xffff_ffff_8100_0000u64;
        let mut offsets: Vec<u8> =
            (0..count - 1).flat_map(|number| (-1 - 16 * number.cast_signed()).to_le_bytes()).collect();
        offsets.extend(7u32.to_le_bytes());
        align(&mut offsets);
        offsets.extend(base.to_le_bytes());
        let mut image = vec![0xcc; 64];
        if offsets_first {
            image.extend(&offsets);
        }
        image.extend(u64::from(count).to_le_bytes());
        let start = image.len();
        let mut markers = Vec::new();
        for number in 0..count {
            if number % 256 == 0 {
                markers.extend(u32::try_from(image.len() - start).unwrap().to_le_bytes());
            }
            let name = if number + 1 == count { "Vcpu".to_owned() } else { format!("\x01{number}") };
            image.push(u8::try_from(name.len()).unwrap());
            image.extend(name.bytes());
        }
        align(&mut image);
        image.extend(markers);
        align(&mut image);
        let mut index = Vec::new();
        let start = image.len();
        for byte in 0..=255u8 {
            index.extend(u16::try_from(image.len() - start).unwrap().to_le_bytes());
            match byte {
                1 => image.extend(b"Tf"),
                0x21..0x7f => image.push(byte),
                _ => image.extend(b"unused"),
            }
            image.push(0);
        }
        align(&mut image);
        image.extend(index);
        if !offsets_first {
            image.extend(&offsets);
        }
        image
    }

    #[test]
    fn functions_are_read_wherever_their_offsets_are() {
        for offsets_first in [true, false] {
            let functions = functions(&image(offsets_first));
            assert_eq!(functions.len(), 1000, "offsets first: {offsets_first}");
            assert_eq!(functions[0], (0xffff_ffff_8100_0000, "f0".to_owned()));
            assert_eq!(functions[999], (0xffff_ffff_8100_0000 + 16 * 999, "f999".to_owned()));
        }
    }

    #[test]
    fn an_image_without_a_table_has_no_functions() {
        assert_eq!(functions(&vec![0; 4096]), []);
        assert_eq!(functions(b"0\x001\x002\x003\x004\x005\x006\x007\x008\x009\x00"), []);
    }
}
