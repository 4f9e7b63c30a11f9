//! ELF file, program and section headers of both classes, read field by field.

use crate::bytes::{Eof, Input};
use crate::error::ImageError;

/// Word size of an ELF file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// 32 bits (i386).
    Elf32,
    /// 64 bits (x86_64).
    Elf64,
}

const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const EM_386: u16 = 3;
const EM_X86_64: u16 = 62;
pub(super) const PT_LOAD: u32 = 1;
pub(super) const PT_NOTE: u32 = 4;
pub(super) const SHT_NOTE: u32 = 7;

/// More than any kernel has; a bound for the loops over untrusted counts.
const MAX_PROGRAM_HEADERS: u16 = 256;
const MAX_SECTIONS: u16 = 8192;

/// The file header's fields that a loader needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileHeader {
    pub class: Class,
    pub entry: u64,
    phoff: u64,
    phentsize: u16,
    phnum: u16,
    shoff: u64,
    shentsize: u16,
    shnum: u16,
    shstrndx: u16,
}

/// A program header, widened.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProgramHeader {
    pub kind: u32,
    pub flags: u32,
    pub offset: u64,
    pub vaddr: u64,
    pub paddr: u64,
    pub filesz: u64,
    pub memsz: u64,
    pub align: u64,
}

/// A section header, widened.
#[derive(Clone, Copy, Debug)]
pub(super) struct SectionHeader {
    pub name: u32,
    pub kind: u32,
    pub offset: u64,
    pub size: u64,
    pub align: u64,
}

fn word(input: &mut Input<'_>, class: Class) -> Result<u64, Eof> {
    match class {
        Class::Elf32 => input.u32().map(u64::from),
        Class::Elf64 => input.u64(),
    }
}

impl FileHeader {
    pub fn parse(bytes: &[u8]) -> Result<Self, ImageError> {
        if bytes.first_chunk::<4>() != Some(b"\x7fELF") {
            return Err(ImageError::NotElf);
        }
        let have = bytes.len() as u64;
        Self::fields(bytes).map_err(|Eof| ImageError::Truncated { what: "ELF header", need: 64, have })?
    }

    fn fields(bytes: &[u8]) -> Result<Result<Self, ImageError>, Eof> {
        let mut input = Input::at(bytes, 4)?;
        let [class, data, version] = input.array::<3>()?;
        let class = match class {
            1 => Class::Elf32,
            2 => Class::Elf64,
            _ => return Ok(Err(ImageError::ElfHeader("unknown word size"))),
        };
        if data != 1 {
            return Ok(Err(ImageError::ElfHeader("not little-endian")));
        }
        if version != 1 {
            return Ok(Err(ImageError::ElfHeader("unknown version")));
        }
        input.skip(9)?;
        let (kind, machine) = (input.u16()?, input.u16()?);
        match (class, machine) {
            (Class::Elf32, EM_386) | (Class::Elf64, EM_X86_64) => {}
            _ => return Ok(Err(ImageError::ElfMachine(machine))),
        }
        if kind != ET_EXEC && kind != ET_DYN {
            return Ok(Err(ImageError::ElfHeader("not an executable")));
        }
        input.skip(4)?; // version again
        let entry = word(&mut input, class)?;
        let phoff = word(&mut input, class)?;
        let shoff = word(&mut input, class)?;
        input.skip(6)?; // flags, size of this header
        let header = FileHeader {
            class,
            entry,
            phoff,
            phentsize: input.u16()?,
            phnum: input.u16()?,
            shoff,
            shentsize: input.u16()?,
            shnum: input.u16()?,
            shstrndx: input.u16()?,
        };
        if header.phnum > MAX_PROGRAM_HEADERS {
            return Ok(Err(ImageError::TooManyHeaders("program headers")));
        }
        if header.shnum > MAX_SECTIONS {
            return Ok(Err(ImageError::TooManyHeaders("sections")));
        }
        Ok(Ok(header))
    }

    /// How many program headers there are.
    pub fn program_headers(&self) -> u16 {
        self.phnum
    }

    pub fn program_header(&self, bytes: &[u8], index: u16) -> Result<ProgramHeader, ImageError> {
        let what = "ELF program headers";
        let mut input = entry(bytes, self.phoff, self.phentsize, self.phnum, index, what)?;
        self.program_fields(&mut input).map_err(|Eof| ImageError::ElfHeader("program header size"))
    }

    fn program_fields(&self, input: &mut Input<'_>) -> Result<ProgramHeader, Eof> {
        let kind = input.u32()?;
        let mut flags = if self.class == Class::Elf64 { input.u32()? } else { 0 };
        let offset = word(input, self.class)?;
        let vaddr = word(input, self.class)?;
        let paddr = word(input, self.class)?;
        let filesz = word(input, self.class)?;
        let memsz = word(input, self.class)?;
        if self.class == Class::Elf32 {
            flags = input.u32()?;
        }
        let align = word(input, self.class)?;
        Ok(ProgramHeader { kind, flags, offset, vaddr, paddr, filesz, memsz, align })
    }

    /// How many sections there are.
    pub fn sections(&self) -> u16 {
        self.shnum
    }

    pub fn section(&self, bytes: &[u8], index: u16) -> Result<SectionHeader, ImageError> {
        let what = "ELF section headers";
        let mut input = entry(bytes, self.shoff, self.shentsize, self.shnum, index, what)?;
        self.section_fields(&mut input).map_err(|Eof| ImageError::ElfHeader("section header size"))
    }

    fn section_fields(&self, input: &mut Input<'_>) -> Result<SectionHeader, Eof> {
        let (name, kind) = (input.u32()?, input.u32()?);
        let _flags = word(input, self.class)?;
        let _address = word(input, self.class)?;
        let offset = word(input, self.class)?;
        let size = word(input, self.class)?;
        let (_link, _info) = (input.u32()?, input.u32()?);
        let align = word(input, self.class)?;
        Ok(SectionHeader { name, kind, offset, size, align })
    }

    /// The first section of this name, if the names are there at all.
    pub fn section_named(&self, bytes: &[u8], name: &[u8]) -> Result<Option<SectionHeader>, ImageError> {
        if self.shstrndx >= self.shnum {
            return Ok(None);
        }
        let names = self.section(bytes, self.shstrndx)?;
        let Some(names) = range(bytes, names.offset, names.size) else {
            return Ok(None);
        };
        for index in 0..self.shnum {
            let section = self.section(bytes, index)?;
            let text = names.get(section.name as usize..).unwrap_or(&[]);
            if text.split(|byte| *byte == 0).next() == Some(name) {
                return Ok(Some(section));
            }
        }
        Ok(None)
    }
}

/// `bytes[offset..offset + len]`, if it is all there.
pub(super) fn range(bytes: &[u8], offset: u64, len: u64) -> Option<&[u8]> {
    let end = usize::try_from(offset.checked_add(len)?).ok()?;
    bytes.get(usize::try_from(offset).ok()?..end)
}

/// Entry `index` of a header table.
fn entry<'a>(
    bytes: &'a [u8],
    table: u64,
    size: u16,
    count: u16,
    index: u16,
    what: &'static str,
) -> Result<Input<'a>, ImageError> {
    // A product of two 16-bit numbers cannot wrap; the sum may and saturates past any file.
    let start = table.saturating_add(u64::from(size).saturating_mul(u64::from(index)));
    let slot = range(bytes, start, u64::from(size)).ok_or(ImageError::Truncated {
        what,
        need: table.saturating_add(u64::from(size).saturating_mul(u64::from(count))),
        have: bytes.len() as u64,
    })?;
    Ok(Input::new(slot))
}
