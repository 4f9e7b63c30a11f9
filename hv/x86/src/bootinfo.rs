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

/// The screen as the boot loader left it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Screen {
    /// VGA text, mode 3, at 0xb8000.
    Text {
        /// Characters in a row.
        columns: u16,
        /// Rows.
        rows: u16,
    },
    /// A linear framebuffer with direct colours.
    Pixels(Framebuffer),
}

/// A linear framebuffer with direct colours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Framebuffer {
    /// Physical address.
    pub base: u64,
    /// Bytes from one row to the next.
    pub pitch: u32,
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Bits for each pixel.
    pub depth: u8,
    /// Position and number of bits of red, green, blue.
    pub colours: [(u8, u8); 3],
}

impl Framebuffer {
    /// Bytes of its memory.
    pub fn bytes(&self) -> u64 {
        u64::from(self.pitch) * u64::from(self.height)
    }
}

/// What a UEFI firmware left behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Efi {
    /// Physical address of the 64-bit system table.
    pub system_table: u64,
    /// Physical address of the memory map as the firmware gave it; 0: not told.
    pub map: u64,
    /// Bytes of it.
    pub map_len: u64,
    /// Bytes of one of its entries.
    pub entry_len: u64,
    /// The loader left the boot services running.
    pub boot_services: bool,
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
    /// Physical address of ACPI's root pointer, or of the loader's copy of it, if the loader gave it.
    pub rsdp: Option<u64>,
    /// The loader's structure, which holds the copy: not to be overwritten before it is read.
    pub structure: Range,
    /// Physical address of the loader's name (zero-terminated); 0: it has none.
    pub loader: u64,
    /// The screen, if the loader said how it is.
    pub screen: Option<Screen>,
    /// UEFI, if it started the machine.
    pub efi: Option<Efi>,
    /// The protocol's name.
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
        structure: Range { start: 0, end: 0 },
        loader: 0,
        screen: None,
        efi: None,
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
        if flags & 1 << 9 != 0 {
            boot.loader = memory.u32(info + 64)?.into();
        }
        if flags & 1 << 12 != 0 {
            boot.screen = screen(memory, info + 88, info + 110)?;
        }
        boot.structure = Range { start: info, end: info + 116 };
        Some(boot)
    }

    /// Multiboot2 Specification 2.0, section 3.6.
    fn multiboot2(memory: &impl Physical, info: u64) -> Option<BootInfo> {
        let mut boot = BootInfo { protocol: "multiboot2", ..Self::EMPTY };
        let total = u64::from(memory.u32(info)?);
        let mut efi = Efi::default();
        boot.structure = Range { start: info, end: info + total };
        let mut at = info + 8;
        while at < info + total {
            let (kind, size) = (memory.u32(at)?, u64::from(memory.u32(at + 4)?));
            match kind {
                0 => break,
                1 => boot.cmdline = at + 8,
                2 => boot.loader = at + 8,
                3 => boot.add_module(memory.u32(at + 8)?.into(), memory.u32(at + 12)?.into(), at + 16),
                6 => {
                    let entry = u64::from(memory.u32(at + 8)?).max(24);
                    let mut e = at + 16;
                    while e + 24 <= at + size {
                        boot.add_map(memory.u64(e)?, memory.u64(e + 8)?, memory.u32(e + 16)?);
                        e += entry;
                    }
                }
                8 => boot.screen = screen(memory, at + 8, at + 32)?,
                12 => efi.system_table = memory.u64(at + 8)?,
                // A root pointer of version 2 knows more.
                14 if boot.rsdp.is_none() => boot.rsdp = Some(at + 8),
                15 => boot.rsdp = Some(at + 8),
                17 => {
                    efi.entry_len = memory.u32(at + 8)?.into();
                    (efi.map, efi.map_len) = (at + 16, size.saturating_sub(16));
                }
                18 => efi.boot_services = true,
                _ => {}
            }
            if size < 8 {
                return None;
            }
            at += size.next_multiple_of(8);
        }
        boot.efi = (efi.system_table != 0).then_some(efi);
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

/// A framebuffer's description, which both versions of Multiboot share; the colours are apart. `None`: cut short.
fn screen(memory: &impl Physical, at: u64, colours: u64) -> Option<Option<Screen>> {
    let (pitch, width, height) = (memory.u32(at + 8)?, memory.u32(at + 12)?, memory.u32(at + 16)?);
    let [depth, kind] = *memory.bytes(at + 20, 2)? else { return None };
    Some(match kind {
        1 => {
            let [red, red_bits, green, green_bits, blue, blue_bits] = *memory.bytes(colours, 6)? else { return None };
            Some(Screen::Pixels(Framebuffer {
                base: memory.u64(at)?,
                pitch,
                width,
                height,
                depth,
                colours: [(red, red_bits), (green, green_bits), (blue, blue_bits)],
            }))
        }
        2 => Some(Screen::Text { columns: width as u16, rows: height as u16 }),
        // A palette: only the loader knows it.
        _ => None,
    })
}

/// Whether a loader of this name leaves the file's name out of command lines: GRUB since version 1.9.
pub fn leaves_out_names(loader: &str) -> bool {
    loader.strip_prefix("GRUB").is_some_and(|rest| !rest.trim_start().starts_with('0'))
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
    fn multiboot2_of_uefi_gives_screen_root_pointer_and_system_table() {
        let mut m = vec![0; 512];
        put(&mut m, 0, &[232, 0]);
        put(&mut m, 8, &[1, 11, 0x0078_786c, 0]);
        put(&mut m, 24, &[2, 13, 0x4255_5247, 0x0032_2020]);
        put(&mut m, 40, &[6, 40, 24, 0, 0x10_0000, 0, 0x20_0000, 0, 1, 0]);
        put(&mut m, 80, &[8, 38, 0x8000_0000, 0, 4096, 1024, 768, 0x0120, 0x0808_0810, 0x0800]);
        put(&mut m, 120, &[12, 16, 0x7e00_0000, 0]);
        put(&mut m, 136, &[14, 28]);
        put(&mut m, 168, &[17, 56, 40, 1]);
        put(&mut m, 224, &[0, 8]);
        let boot = BootInfo::parse(&Bytes(m.clone()), 0x36d7_6289, 0).unwrap();
        assert_eq!((boot.cmdline, boot.loader, boot.rsdp), (16, 32, Some(144)));
        assert_eq!(boot.structure, Range { start: 0, end: 232 });
        let efi = Efi { system_table: 0x7e00_0000, map: 184, map_len: 40, entry_len: 40, boot_services: false };
        assert_eq!(boot.efi, Some(efi));
        let pixels = Framebuffer {
            base: 0x8000_0000,
            pitch: 4096,
            width: 1024,
            height: 768,
            depth: 32,
            colours: [(16, 8), (8, 8), (0, 8)],
        };
        assert_eq!(boot.screen, Some(Screen::Pixels(pixels)));
        put(&mut m, 140, &[0]);
        assert_eq!(BootInfo::parse(&Bytes(m), 0x36d7_6289, 0).unwrap_err(), BootError::Truncated);
    }

    #[test]
    fn multiboot1_gives_a_text_screen() {
        let mut m = vec![0; 512];
        put(&mut m, 0, &[1 << 6 | 1 << 12]);
        put(&mut m, 44, &[24, 200]);
        put(&mut m, 88, &[0xb8000, 0, 160, 80, 25, 0x0210]);
        put(&mut m, 200, &[20, 0x10_0000, 0, 0x20_0000, 0, 1]);
        let boot = BootInfo::parse(&Bytes(m), 0x2bad_b002, 0).unwrap();
        assert_eq!(boot.screen, Some(Screen::Text { columns: 80, rows: 25 }));
        assert_eq!(boot.efi, None);
    }

    #[test]
    fn only_old_loaders_put_names_into_command_lines() {
        assert!(leaves_out_names("GRUB 2.06-13+deb12u2"));
        assert!(!leaves_out_names("GRUB 0.97"));
        assert!(!leaves_out_names("qemu") && !leaves_out_names(""));
    }

    #[test]
    fn an_unknown_magic_and_a_cut_structure_are_errors() {
        let bytes = Bytes(vec![0xff; 8]);
        assert_eq!(BootInfo::parse(&bytes, 5, 0).unwrap_err(), BootError::UnknownMagic(5));
        assert_eq!(BootInfo::parse(&bytes, 0x2bad_b002, 0).unwrap_err(), BootError::Truncated);
    }
}
