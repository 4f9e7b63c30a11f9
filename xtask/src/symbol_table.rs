//! Writes the hypervisor's table of function names (`hv/x86/src/symbols.rs`) into its ELF file, where the linker left room.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use object::{Object, ObjectSection, ObjectSymbol};

use crate::boot::Symbols;

/// The name of the room.
const ROOM: &str = "SYMBOL_TABLE";
/// Where the table's addresses count from (`HV_VIRT` of the linker script).
const BASE: &str = "HV_VIRT";
/// Generic functions have names without end.
const LONGEST: usize = 120;

/// Fills the table of `elf`.
pub fn fill(elf: &Path) -> Result<()> {
    let mut bytes = fs::read(elf).with_context(|| format!("cannot read {}", elf.display()))?;
    let (at, room, base) = room(&bytes)?;
    let table = table(&Symbols::read(elf).starts(), base, room);
    bytes.get_mut(at..at + table.len()).context("the room for symbols is not in the file")?.copy_from_slice(&table);
    fs::write(elf, bytes).with_context(|| format!("cannot write {}", elf.display()))
}

/// Offset in the file and size of the room, and the linear base.
fn room(bytes: &[u8]) -> Result<(usize, usize, u64)> {
    let file = object::File::parse(bytes)?;
    let symbol = |name: &str| {
        let found = file.symbols().find(|symbol| symbol.name() == Ok(name));
        found.with_context(|| format!("the hypervisor has no symbol {name}"))
    };
    let (room, base) = (symbol(ROOM)?, symbol(BASE)?.address());
    let section = file.section_by_index(room.section_index().context("the room for symbols is in no section")?)?;
    let (start, _) = section.file_range().context("the room for symbols is not in the file")?;
    let at = start + (room.address() - section.address());
    Ok((usize::try_from(at)?, usize::try_from(room.size())?, base))
}

/// The table, of as many functions as there is room for.
fn table(functions: &BTreeMap<u64, &str>, base: u64, room: usize) -> Vec<u8> {
    let (mut entries, mut text, mut count) = (Vec::new(), Vec::new(), 0u32);
    for (&address, name) in functions {
        let Some(start) = address.checked_sub(base).and_then(|offset| u32::try_from(offset).ok()) else { continue };
        let name = name.get(..name.floor_char_boundary(LONGEST)).unwrap_or_default();
        if 4 + entries.len() + 8 + text.len() + name.len() > room {
            break;
        }
        text.extend_from_slice(name.as_bytes());
        entries.extend(start.to_le_bytes());
        entries.extend((text.len() as u32).to_le_bytes());
        count += 1;
    }
    [count.to_le_bytes().to_vec(), entries, text].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_and_stand_in_the_order_of_addresses() {
        let long = "x".repeat(300);
        let functions = BTreeMap::from([(0x1020, long.as_str()), (0x1010, "a"), (0x10, "below the base")]);
        let table = table(&functions, 0x1000, 4096);
        assert_eq!(table[..20], [2, 0, 0, 0, 0x10, 0, 0, 0, 1, 0, 0, 0, 0x20, 0, 0, 0, 121, 0, 0, 0]);
        assert_eq!(table.len(), 20 + 121);
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let functions = BTreeMap::from([(0x10, "first"), (0x20, "second")]);
        assert_eq!(table(&functions, 0, 4 + 8 + 5 + 8)[0], 1);
    }
}
