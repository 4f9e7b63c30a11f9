//! What the boot loader says: Multiboot 1, Multiboot 2, PVH. Parsed from bytes, so that it is tested on a host.

/// A run of physical memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Range {
    /// First byte.
    pub start: u64,
    /// First byte behind it.
    pub end: u64,
}

/// E820: usable memory.
pub const E820_RAM: u32 = 1;

/// One entry of the memory map, with E820's type numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MemoryMapEntry {
    /// First byte.
    pub start: u64,
    /// Bytes.
    pub len: u64,
    /// 1 RAM, 2 reserved, 3 ACPI tables, 4 ACPI NVS, 5 unusable.
    pub kind: u32,
}

/// The most entries and modules that are kept.
pub const MAX_ENTRIES: usize = 128;
/// The most modules that are kept.
pub const MAX_MODULES: usize = 8;

/// A file that the boot loader put into memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Module {
    /// Where its bytes are.
    pub range: Range,
    /// Physical address of its command line (zero-terminated); 0: none.
    pub cmdline: u64,
}

/// Everything that the boot loader said.
#[derive(Clone, Debug)]
pub struct BootInfo {
    /// Physical address of our command line (zero-terminated); 0: none.
    pub cmdline: u64,
    /// Modules in order.
    pub modules: [Module; MAX_MODULES],
    /// How many.
    pub module_count: usize,
    /// The memory map.
    pub map: [MemoryMapEntry; MAX_ENTRIES],
    /// How many entries.
    pub map_count: usize,
    /// Physical address of ACPI's root pointer if the loader gave it.
    pub rsdp: Option<u64>,
    /// Where the loader's own structures lie (not to be overwritten before they are read).
    pub protocol: &'static str,
}

/// Why the boot information is of no use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BootError {
    /// Neither Multiboot 1, Multiboot 2 nor PVH.
    UnknownMagic(u32),
    /// No memory map was given.
    NoMemoryMap,
    /// A structure is cut short.
    Truncated,
}

impl core::fmt::Display for BootError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            BootError::UnknownMagic(magic) => {
                write!(f, "unknown boot protocol (magic {magic:#x}); start with multiboot, multiboot2 or PVH")
            }
            BootError::NoMemoryMap => write!(f, "the boot loader gave no memory map; use one that passes E820"),
            BootError::Truncated => write!(f, "the boot loader's information is cut short"),
        }
    }
}

/// Reads physical memory while parsing.
pub trait Physical {
    /// `len` bytes at `at`.
    fn bytes(&self, at: u64, len: usize) -> Option<&[u8]>;
    /// A little-endian u32.
    fn u32(&self, at: u64) -> Option<u32> {
        Some(u32::from_le_bytes(self.bytes(at, 4)?.try_into().ok()?))
    }
    /// A little-endian u64.
    fn u64(&self, at: u64) -> Option<u64> {
        Some(u64::from_le_bytes(self.bytes(at, 8)?.try_into().ok()?))
    }
}

impl BootInfo {
    const EMPTY: BootInfo = BootInfo {
        cmdline: 0,
        modules: [Module { range: Range { start: 0, end: 0 }, cmdline: 0 }; MAX_MODULES],
        module_count: 0,
        map: [MemoryMapEntry { start: 0, len: 0, kind: 0 }; MAX_ENTRIES],
        map_count: 0,
        rsdp: None,
        protocol: "",
    };

    /// The memory map.
    pub fn memory_map(&self) -> &[MemoryMapEntry] {
        &self.map[..self.map_count]
    }
    /// The modules.
    pub fn modules(&self) -> &[Module] {
        &self.modules[..self.module_count]
    }

    fn add_map(&mut self, start: u64, len: u64, kind: u32) {
        if self.map_count < MAX_ENTRIES && len != 0 {
            self.map[self.map_count] = MemoryMapEntry { start, len, kind };
            self.map_count += 1;
        }
    }
    fn add_module(&mut self, start: u64, end: u64, cmdline: u64) {
        if self.module_count < MAX_MODULES {
            self.modules[self.module_count] = Module { range: Range { start, end }, cmdline };
            self.module_count += 1;
        }
    }

    /// Reads what the loader of this magic number left at `info`.
    pub fn parse(memory: &impl Physical, magic: u32, info: u64) -> Result<BootInfo, BootError> {
        let parsed = match magic {
            0x2bad_b002 => Self::multiboot1(memory, info),
            0x36d7_6289 => Self::multiboot2(memory, info),
            0x336e_c578 => Self::pvh(memory, info),
            other => return Err(BootError::UnknownMagic(other)),
        };
        let mut boot = parsed.ok_or(BootError::Truncated)?;
        if boot.map_count == 0 {
            return Err(BootError::NoMemoryMap);
        }
        let count = boot.map_count;
        boot.map[..count].sort_unstable_by_key(|entry| entry.start);
        Ok(boot)
    }

    /// Multiboot Specification 0.6.96, section 3.3.
    fn multiboot1(memory: &impl Physical, info: u64) -> Option<BootInfo> {
        let mut boot = BootInfo { protocol: "multiboot", ..Self::EMPTY };
        let flags = memory.u32(info)?;
        if flags & 1 << 2 != 0 {
            boot.cmdline = memory.u32(info + 16)?.into();
        }
        if flags & 1 << 3 != 0 {
            let count = memory.u32(info + 20)?;
            let list = u64::from(memory.u32(info + 24)?);
            for i in 0..u64::from(count) {
                let at = list + i * 16;
                let (start, end) = (memory.u32(at)?, memory.u32(at + 4)?);
                boot.add_module(start.into(), end.into(), memory.u32(at + 8)?.into());
            }
        }
        if flags & 1 << 6 != 0 {
            let len = u64::from(memory.u32(info + 44)?);
            let start = u64::from(memory.u32(info + 48)?);
            let mut at = start;
            while at < start + len {
                let size = u64::from(memory.u32(at)?);
                boot.add_map(memory.u64(at + 4)?, memory.u64(at + 12)?, memory.u32(at + 20)?);
                at += size + 4;
            }
        }
        Some(boot)
    }

    /// Multiboot2 Specification 2.0, section 3.6.
    fn multiboot2(memory: &impl Physical, info: u64) -> Option<BootInfo> {
        let mut boot = BootInfo { protocol: "multiboot2", ..Self::EMPTY };
        let total = u64::from(memory.u32(info)?);
        let mut at = info + 8;
        while at < info + total {
            let (kind, size) = (memory.u32(at)?, u64::from(memory.u32(at + 4)?));
            match kind {
                0 => break,
                1 => boot.cmdline = at + 8,
                3 => boot.add_module(memory.u32(at + 8)?.into(), memory.u32(at + 12)?.into(), at + 16),
                6 => {
                    let entry = u64::from(memory.u32(at + 8)?).max(24);
                    let mut e = at + 16;
                    while e + 24 <= at + size {
                        boot.add_map(memory.u64(e)?, memory.u64(e + 8)?, memory.u32(e + 16)?);
                        e += entry;
                    }
                }
                14 | 15 => boot.rsdp = Some(at + 8),
                _ => {}
            }
            if size < 8 {
                return None;
            }
            at += size.next_multiple_of(8);
        }
        Some(boot)
    }

    /// `struct hvm_start_info` (arch-x86/hvm/start_info.h).
    fn pvh(memory: &impl Physical, info: u64) -> Option<BootInfo> {
        let mut boot = BootInfo { protocol: "PVH", ..Self::EMPTY };
        let version = memory.u32(info + 4)?;
        let (count, list) = (memory.u32(info + 12)?, memory.u64(info + 16)?);
        boot.cmdline = memory.u64(info + 24)?;
        boot.rsdp = Some(memory.u64(info + 32)?).filter(|&at| at != 0);
        for i in 0..u64::from(count) {
            let at = list + i * 32;
            let (start, len) = (memory.u64(at)?, memory.u64(at + 8)?);
            boot.add_module(start, start.checked_add(len)?, memory.u64(at + 16)?);
        }
        if version >= 1 {
            let (map, entries) = (memory.u64(info + 40)?, memory.u32(info + 48)?);
            for i in 0..u64::from(entries) {
                let at = map + i * 24;
                boot.add_map(memory.u64(at)?, memory.u64(at + 8)?, memory.u32(at + 16)?);
            }
        }
        Some(boot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bytes(Vec<u8>);
    impl Physical for Bytes {
        fn bytes(&self, at: u64, len: usize) -> Option<&[u8]> {
            self.0.get(at as usize..)?.get(..len)
        }
    }
    fn put(bytes: &mut [u8], at: usize, words: &[u32]) {
        for (i, word) in words.iter().enumerate() {
            bytes[at + i * 4..at + i * 4 + 4].copy_from_slice(&word.to_le_bytes());
        }
    }

    #[test]
    fn multiboot1_gives_modules_map_and_command_line() {
        let mut m = vec![0; 512];
        put(&mut m, 0, &[1 << 2 | 1 << 3 | 1 << 6]);
        put(&mut m, 16, &[77, 1, 100]);
        put(&mut m, 44, &[48, 200]);
        put(&mut m, 100, &[0x1000, 0x3000, 88, 0]);
        put(&mut m, 200, &[20, 0x10_0000, 0, 0x20_0000, 1, 1, 20, 0, 0, 0x9_fc00, 0, 1]);
        let boot = BootInfo::parse(&Bytes(m), 0x2bad_b002, 0).unwrap();
        assert_eq!(boot.cmdline, 77);
        assert_eq!(boot.modules()[0].range, Range { start: 0x1000, end: 0x3000 });
        assert_eq!(boot.memory_map()[0], MemoryMapEntry { start: 0, len: 0x9_fc00, kind: 1 });
        assert_eq!(boot.memory_map()[1].len, 0x1_0020_0000);
    }

    #[test]
    fn an_unknown_magic_and_a_cut_structure_are_errors() {
        let bytes = Bytes(vec![0xff; 8]);
        assert_eq!(BootInfo::parse(&bytes, 5, 0).unwrap_err(), BootError::UnknownMagic(5));
        assert_eq!(BootInfo::parse(&bytes, 0x2bad_b002, 0).unwrap_err(), BootError::Truncated);
    }
}
