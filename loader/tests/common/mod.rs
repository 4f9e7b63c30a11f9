//! Synthetic kernels, and the compressors of the machine.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::io::Write;
use std::process::{Command, Stdio};

/// A segment for [`elf`].
#[derive(Clone)]
pub struct Load {
    pub vaddr: u64,
    pub paddr: u64,
    pub data: Vec<u8>,
    pub mem_size: u64,
}

/// A well-formed ELF file of either class that tests can then damage.
pub struct Elf {
    pub wide: bool,
    pub entry: u64,
    pub loads: Vec<Load>,
    /// Contents of a PT_NOTE segment.
    pub notes: Option<Vec<u8>>,
    /// Sections: name, type, contents.
    pub sections: Vec<(&'static str, u32, Vec<u8>)>,
}

pub const EHSIZE: usize = 64;
pub const PHSIZE: usize = 56;

impl Elf {
    /// One segment of text at 16 MiB, as Linux has it, and Linux's notes.
    pub fn linux() -> Self {
        Elf {
            wide: true,
            entry: 0x100_0000,
            loads: vec![Load {
                vaddr: 0xffff_ffff_8100_0000,
                paddr: 0x100_0000,
                data: vec![0x90; 0x1000],
                mem_size: 0x3000,
            }],
            notes: Some(linux_notes()),
            sections: Vec::new(),
        }
    }

    pub fn build(&self) -> Vec<u8> {
        let word = |out: &mut Vec<u8>, value: u64| {
            if self.wide {
                out.extend(value.to_le_bytes());
            } else {
                out.extend((value as u32).to_le_bytes());
            }
        };
        let (ehsize, phsize, shsize) = if self.wide { (EHSIZE, PHSIZE, 64) } else { (52, 32, 40) };
        let phnum = self.loads.len() + usize::from(self.notes.is_some());
        let mut data = Vec::new();
        let base = ehsize + phnum * phsize;
        let mut headers = Vec::new();
        let mut header = |kind: u32, flags: u32, offset: usize, vaddr, paddr, filesz: usize, memsz| {
            headers.extend(kind.to_le_bytes());
            if self.wide {
                headers.extend(flags.to_le_bytes());
            }
            for value in [offset as u64, vaddr, paddr, filesz as u64, memsz] {
                word(&mut headers, value);
            }
            if !self.wide {
                headers.extend(flags.to_le_bytes());
            }
            word(&mut headers, 4);
        };
        for load in &self.loads {
            header(1, 5, base + data.len(), load.vaddr, load.paddr, load.data.len(), load.mem_size);
            data.extend(&load.data);
        }
        if let Some(notes) = &self.notes {
            header(4, 4, base + data.len(), 0, 0, notes.len(), notes.len() as u64);
            data.extend(notes);
        }
        let mut names = vec![0u8];
        let mut sections = vec![0u8; shsize];
        let mut section = |name: &str, kind: u32, contents: &[u8], data: &mut Vec<u8>, names: &mut Vec<u8>| {
            sections.extend((names.len() as u32).to_le_bytes());
            sections.extend(kind.to_le_bytes());
            word(&mut sections, 0);
            word(&mut sections, 0);
            word(&mut sections, (base + data.len()) as u64);
            word(&mut sections, contents.len() as u64);
            sections.extend([0; 8]);
            word(&mut sections, 4);
            word(&mut sections, 0);
            names.extend(name.bytes());
            names.push(0);
            data.extend(contents);
        };
        for (name, kind, contents) in &self.sections {
            section(name, *kind, contents, &mut data, &mut names);
        }
        let strings = [names.clone(), b".shstrtab\0".to_vec()].concat();
        section(".shstrtab", 3, &strings, &mut data, &mut names);
        let shoff = base + data.len();

        let mut out = b"\x7fELF".to_vec();
        out.extend([if self.wide { 2 } else { 1 }, 1, 1]);
        out.extend([0; 9]);
        out.extend(2u16.to_le_bytes());
        out.extend(if self.wide { 62u16 } else { 3 }.to_le_bytes());
        out.extend(1u32.to_le_bytes());
        word(&mut out, self.entry);
        word(&mut out, ehsize as u64);
        word(&mut out, shoff as u64);
        out.extend(0u32.to_le_bytes());
        for value in [ehsize, phsize, phnum, shsize, self.sections.len() + 2, self.sections.len() + 1] {
            out.extend((value as u16).to_le_bytes());
        }
        assert_eq!(out.len(), ehsize);
        out.extend(headers);
        out.extend(data);
        out.extend(sections);
        out
    }
}

/// One ELF note.
pub fn note(name: &str, kind: u32, desc: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend((name.len() as u32 + 1).to_le_bytes());
    out.extend((desc.len() as u32).to_le_bytes());
    out.extend(kind.to_le_bytes());
    out.extend(name.bytes());
    out.push(0);
    out.resize(out.len().next_multiple_of(4), 0);
    out.extend(desc);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

/// A Xen note.
pub fn xen(kind: u32, desc: &[u8]) -> Vec<u8> {
    note("Xen", kind, desc)
}

/// What Debian's 6.1 says about itself, moved to [`Elf::linux`]'s addresses.
pub fn linux_notes() -> Vec<u8> {
    [
        xen(6, b"linux\0"),
        xen(7, b"2.6\0"),
        xen(5, b"xen-3.0\0"),
        xen(3, &0xffff_ffff_8000_0000u64.to_le_bytes()),
        xen(15, &0x80_0000_0000u64.to_le_bytes()),
        xen(1, &0xffff_ffff_8100_01c0u64.to_le_bytes()),
        xen(10, b"!writable_page_tables|pae_pgdir_above_4gb\0"),
        xen(17, &0x8801u32.to_le_bytes()),
        xen(9, b"yes\0"),
        xen(8, b"generic\0"),
        xen(13, &[1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]),
        xen(14, &1u32.to_le_bytes()),
        xen(16, &1u32.to_le_bytes()),
        xen(12, &0xffff_8000_0000_0000u64.to_le_bytes()),
        xen(4, &0u64.to_le_bytes()),
        note("GNU", 3, &[0x11; 20]),
        note("Linux", 0x101, b"6.1.0\0"),
        xen(18, &0x100_0850u64.to_le_bytes()),
    ]
    .concat()
}

/// A bzImage of protocol 2.15 around `payload`, which ends with its size word.
pub fn bzimage(payload: &[u8]) -> Vec<u8> {
    let sectors = 3u8;
    let offset = 0x40u32;
    let mut out = vec![0u8; (usize::from(sectors) + 1) * 512 + offset as usize];
    out[0x1f1] = sectors;
    out[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    out[0x202..0x206].copy_from_slice(b"HdrS");
    out[0x206..0x208].copy_from_slice(&0x020fu16.to_le_bytes());
    out[0x248..0x24c].copy_from_slice(&offset.to_le_bytes());
    out[0x24c..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend(payload);
    out.extend([0xcc; 100]); // the decompressor's own code follows in a real one
    out
}

/// `stream` with the size word that the kernel's build appends.
pub fn sized(mut stream: Vec<u8>, size: usize) -> Vec<u8> {
    stream.extend((size as u32).to_le_bytes());
    stream
}

/// A compressor of the kernel's build: its name here, the command line, and whether its stream
/// ends with the size anyway.
pub struct Packer {
    pub name: &'static str,
    pub command: &'static [&'static str],
    pub own_size: bool,
}

/// As `scripts/Makefile.lib` of Linux calls them, and variants.
pub const PACKERS: &[Packer] = &[
    Packer { name: "gzip", command: &["gzip", "-n", "-9"], own_size: true },
    Packer { name: "gzip", command: &["gzip", "-n", "-1"], own_size: true },
    Packer { name: "xz", command: &["xz", "--check=crc32", "--x86", "--lzma2=preset=6,dict=32MiB"], own_size: false },
    Packer { name: "xz", command: &["xz", "-T1", "-1", "--check=crc64", "--block-size=65536"], own_size: false },
    Packer { name: "xz", command: &["xz", "-0", "--check=none", "--lzma2=lc=0,lp=4,pb=0"], own_size: false },
    Packer { name: "lzma", command: &["xz", "--format=lzma", "-6"], own_size: false },
    Packer { name: "lzma", command: &["xz", "--format=lzma", "-0"], own_size: false },
    Packer { name: "lz4", command: &["lz4", "-l", "-9"], own_size: false },
    Packer { name: "lz4", command: &["lz4", "-l", "-1"], own_size: false },
    Packer { name: "bzip2", command: &["bzip2", "-9"], own_size: false },
    Packer { name: "bzip2", command: &["bzip2", "-1"], own_size: false },
    Packer { name: "zstd", command: &["zstd", "-q", "-19"], own_size: false },
    Packer { name: "zstd", command: &["zstd", "-q", "--ultra", "-22", "--long=27"], own_size: false },
    Packer { name: "zstd", command: &["zstd", "-q", "-1", "--no-check"], own_size: false },
];

impl Packer {
    /// Compresses, or says that the tool is not there.
    pub fn pack(&self, data: &[u8]) -> Option<Vec<u8>> {
        let [tool, args @ ..] = self.command else {
            panic!("empty command");
        };
        let mut child =
            match Command::new(tool).args(args).arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() {
                Ok(child) => child,
                Err(error) => {
                    eprintln!("SKIPPED {}: cannot run {tool}: {error}; install Debian's package of it", self.name);
                    return None;
                }
            };
        let mut stdin = child.stdin.take().unwrap();
        let output = std::thread::scope(|scope| {
            scope.spawn(move || stdin.write_all(data).unwrap());
            child.wait_with_output().unwrap()
        });
        assert!(output.status.success(), "{:?} failed", self.command);
        Some(output.stdout)
    }

    /// A bzImage whose payload is `data`, compressed.
    pub fn bzimage(&self, data: &[u8]) -> Option<Vec<u8>> {
        let stream = self.pack(data)?;
        Some(bzimage(&if self.own_size { stream } else { sized(stream, data.len()) }))
    }
}

/// Deterministic bytes that are neither random nor trivial: words, jumps and calls, zeros, noise.
pub fn sample(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut out = Vec::with_capacity(len + 64);
    while out.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        match state % 7 {
            0 => out.extend(b"the quick brown domain jumps over the lazy hypervisor\0"),
            1 => {
                out.push(0xe8);
                out.extend(((state >> 40) as u32 & 0xffff).to_le_bytes());
            }
            2 => out.extend([0xe9, 0xe8, 0xff, 0xff, 0xe8, 0, 0xff]),
            3 => out.extend(state.to_le_bytes()),
            4 => out.resize(out.len() + (state >> 50) as usize % 300, 0),
            5 => {
                let from = (state as usize >> 8) % (out.len() + 1);
                let to = (from + (state >> 33) as usize % 200).min(out.len());
                out.extend_from_within(from..to);
            }
            _ => out.extend([0x48, 0x89, (state >> 20) as u8, 0x24]),
        }
    }
    out.truncate(len);
    out
}
