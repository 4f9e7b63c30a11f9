//! Names for the addresses that a panic prints, from the hypervisor's symbols.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use object::{Object, ObjectSection, ObjectSymbol, SectionKind, SymbolKind};

/// The functions of an ELF file, by address.
#[derive(Debug, Default)]
pub struct Symbols {
    functions: BTreeMap<u64, (u64, String)>,
}

impl Symbols {
    /// Reads `elf`; none if it has none or cannot be read, because this is only a help.
    pub fn read(elf: &Path) -> Self {
        let Ok(bytes) = fs::read(elf) else { return Self::default() };
        let Ok(file) = object::File::parse(bytes.as_slice()) else { return Self::default() };
        // Labels of assembly have no type: those in code are taken.
        let in_code = |symbol: &object::Symbol<'_, '_>| {
            let section = symbol.section_index().and_then(|index| file.section_by_index(index).ok());
            section.is_some_and(|section| section.kind() == SectionKind::Text)
        };
        let functions = file
            .symbols()
            .filter(|symbol| symbol.address() != 0)
            .filter(|symbol| match symbol.kind() {
                SymbolKind::Text | SymbolKind::Label => true,
                SymbolKind::Unknown => in_code(symbol),
                _ => false,
            })
            .filter_map(|symbol| {
                let name = format!("{:#}", rustc_demangle::demangle(symbol.name().ok()?));
                Some((symbol.address(), (symbol.size(), name)))
            })
            .collect();
        Self { functions }
    }

    /// The line, with the functions' names behind it if it holds addresses such as `[<ffff830000123456>]` and no names.
    pub fn explain(&self, line: &str) -> String {
        let mut text = line.to_owned();
        if !line.ends_with(">]") {
            return text;
        }
        for part in line.split("[<").skip(1) {
            let address =
                part.split(">]").next().and_then(|hex| u64::from_str_radix(hex.trim_start_matches("0x"), 16).ok());
            if let Some(name) = address.and_then(|address| self.name(address)) {
                text.push(' ');
                text.push_str(&name);
            }
        }
        text
    }

    /// Adds functions of another source, without sizes.
    pub fn extend(&mut self, functions: impl Iterator<Item = (u64, String)>) {
        self.functions.extend(functions.map(|(address, name)| (address, (0, name))));
    }

    /// The name of each function, by where it begins.
    pub fn starts(&self) -> BTreeMap<u64, &str> {
        self.functions.iter().map(|(&start, (_, name))| (start, name.as_str())).collect()
    }

    /// The function that holds an address, and how far inside.
    pub fn function(&self, address: u64) -> Option<(&str, u64)> {
        let (start, (size, name)) = self.functions.range(..=address).next_back()?;
        let offset = address - start;
        // Assembly has symbols without a size: up to the next one, but not from afar.
        let within = if *size > 0 { offset <= *size } else { offset < 4096 };
        within.then_some((name.as_str(), offset))
    }

    fn name(&self, address: u64) -> Option<String> {
        self.function(address).map(|(name, offset)| format!("{name}+{offset:#x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_inside_a_function_are_named_and_others_are_left() {
        let functions = BTreeMap::from([(0x1000, (0x20, "boot".to_owned())), (0x2000, (0, "entry".to_owned()))]);
        let symbols = Symbols { functions };
        assert_eq!(symbols.explain("  [<0000000000001010>]"), "  [<0000000000001010>] boot+0x10");
        assert_eq!(symbols.explain("  [<0000000000001030>]"), "  [<0000000000001030>]");
        assert_eq!(symbols.explain("x [<0000000000002001>]"), "x [<0000000000002001>] entry+0x1");
        assert_eq!(symbols.explain("  [<0000000000002001>] entry+0x1"), "  [<0000000000002001>] entry+0x1");
        assert_eq!(symbols.explain("no address [here]"), "no address [here]");
    }
}
