//! Names of the hypervisor's own functions, for a backtrace. The image has room for a table, which `./x build` fills once
//! the linker has placed everything (`xtask/src/symbol_table.rs`).
//!
//! The table: the number of functions (u32), then for each, by address, where it begins behind the image's linear base
//! (u32) and where its name ends in the text (u32); then the text, one name after the other. All little-endian.

/// What the linker reserves.
pub const ROOM: usize = 128 << 10;

/// The longest way into a function that is believed: the last one has no end.
const FURTHEST: u32 = 64 << 10;

/// The function that holds `offset` (behind the image's linear base), and how far inside. `None`: the table is empty,
/// damaged, or does not reach there.
pub fn find(table: &[u8], offset: u32) -> Option<(&str, u32)> {
    let word = |n: usize| -> Option<u32> {
        let at = n.checked_mul(4)?;
        Some(u32::from_le_bytes(table.get(at..at.checked_add(4)?)?.try_into().ok()?))
    };
    let count = word(0)? as usize;
    let start = |n: usize| word(n.checked_mul(2)?.checked_add(1)?);
    let end = |n: usize| word(n.checked_mul(2)?.checked_add(2)?);
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low.midpoint(high);
        if start(middle)? <= offset { low = middle + 1 } else { high = middle }
    }
    let found = low.checked_sub(1)?;
    let inside = offset - start(found)?;
    let text = table.get(count.checked_mul(8)?.checked_add(4)?..)?;
    let from = if found == 0 { 0 } else { end(found - 1)? };
    let name = core::str::from_utf8(text.get(from as usize..end(found)? as usize)?).ok()?;
    (inside < FURTHEST).then_some((name, inside))
}

#[cfg(test)]
mod tests {
    use super::find;

    fn table(functions: &[(u32, &str)]) -> Vec<u8> {
        let mut table = (functions.len() as u32).to_le_bytes().to_vec();
        let mut end = 0;
        for (start, name) in functions {
            end += name.len() as u32;
            table.extend(start.to_le_bytes());
            table.extend(end.to_le_bytes());
        }
        functions.iter().for_each(|(_, name)| table.extend(name.bytes()));
        table
    }

    #[test]
    fn an_address_is_named_after_the_function_that_begins_before_it() {
        let table = table(&[(0x1000, "boot"), (0x1200, "traps::entry"), (0x4000, "last")]);
        assert_eq!(find(&table, 0xfff), None);
        assert_eq!(find(&table, 0x1000), Some(("boot", 0)));
        assert_eq!(find(&table, 0x11ff), Some(("boot", 0x1ff)));
        assert_eq!(find(&table, 0x1234), Some(("traps::entry", 0x34)));
        assert_eq!(find(&table, 0x4001), Some(("last", 1)));
        assert_eq!(find(&table, 0x40_4000), None);
    }

    #[test]
    fn an_empty_or_damaged_table_names_nothing() {
        let good = table(&[(0x1000, "boot"), (0x2000, "end")]);
        assert_eq!(find(&[0; 64], 0x1000), None);
        for cut in 0..good.len() {
            let _ = find(&good[..cut], 0x2001);
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] = 0xff;
            let _ = find(&bad, 0x2001);
        }
    }
}
