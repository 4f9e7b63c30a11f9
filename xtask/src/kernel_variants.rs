//! Debian's kernel, packed otherwise or damaged: what a boot loader may hand over.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::kernel_image;
use crate::paths::Paths;
use crate::setup::{self, Kernel};
use crate::ui;

/// What becomes of dom0's kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Variant {
    // bzImages with another payload
    Gzip,
    Xz,
    Zstd,
    Lz4,
    Lzma,
    Bzip2,
    // A payload of a kind that nobody unpacks
    Lzo,
    // The first half of the file
    Truncated,
    // One byte of the payload is another
    Damaged,
    // ELF without Xen's notes
    NoNotes,
    // No module at all
    Missing,
}

impl Variant {
    /// The file, made once and kept in the cache. `None`: there is none.
    pub fn make(self, paths: &Paths, kernel: &Kernel) -> Result<Option<PathBuf>> {
        let name = self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let file = paths.cache.join(format!("kernel-{}-{name}", kernel.release));
        if self == Self::Missing {
            return Ok(None);
        }
        if file.exists() {
            return Ok(Some(file));
        }
        ui::step(format!("making a kernel: {name}"));
        let image = fs::read(&kernel.image).with_context(|| format!("cannot read {}", kernel.image.display()))?;
        let made = match self {
            Self::Truncated => image[..image.len() / 2].to_vec(),
            Self::Damaged => {
                let mut image = image;
                let middle = image.len() / 2;
                image[middle] ^= 0x55;
                image
            }
            Self::NoNotes => without_notes(fs::read(kernel_image::vmlinux(paths, kernel)?)?),
            Self::Lzo => repacked(&image, b"\x89LZO\0\r\n\x1a\n nothing that anybody unpacks\0\0\0\x10\0")?,
            packed => {
                setup::ensure_compressors()?;
                let vmlinux = kernel_image::vmlinux(paths, kernel)?;
                let mut stream = packed.pack(&vmlinux)?;
                if packed != Self::Gzip {
                    // The kernel's build appends the size, which gzip has itself.
                    stream.extend(u32::try_from(vmlinux.metadata()?.len())?.to_le_bytes());
                }
                repacked(&image, &stream)?
            }
        };
        let fresh = file.with_extension(format!("new-{}", std::process::id()));
        fs::File::create(&fresh)?.write_all(&made)?;
        fs::rename(&fresh, &file)?;
        Ok(Some(file))
    }

    /// As Linux's own build packs (scripts/Makefile.lib), with less effort where that takes minutes.
    fn pack(self, file: &Path) -> Result<Vec<u8>> {
        let command: &[&str] = match self {
            Self::Gzip => &["gzip", "-n", "-6", "-c"],
            Self::Xz => &["xz", "--check=crc32", "--x86", "--lzma2=preset=1,dict=32MiB", "-c"],
            Self::Zstd => &["zstd", "-q", "-6", "-c"],
            Self::Lz4 => &["lz4", "-l", "-1", "-c"],
            Self::Lzma => &["xz", "--format=lzma", "-1", "-c"],
            Self::Bzip2 => &["bzip2", "-9", "-c"],
            _ => bail!("not a compression"),
        };
        let input = fs::File::open(file)?;
        let out = Command::new(command[0]).args(&command[1..]).stdin(Stdio::from(input)).output()?;
        if !out.status.success() {
            bail!("{command:?} failed: {}", String::from_utf8_lossy(&out.stderr).trim());
        }
        Ok(out.stdout)
    }
}

/// The bzImage with this payload; nothing follows it.
fn repacked(image: &[u8], payload: &[u8]) -> Result<Vec<u8>> {
    let (start, _) = kernel_image::payload(image)?;
    let mut made = image.get(..start).context("the payload begins behind the file")?.to_vec();
    made[0x24c..0x250].copy_from_slice(&u32::try_from(payload.len())?.to_le_bytes());
    made.extend_from_slice(payload);
    Ok(made)
}

/// Gives every note of Xen's another owner.
fn without_notes(mut elf: Vec<u8>) -> Vec<u8> {
    let mut at = 0;
    while let Some(found) = elf.get(at..).and_then(|rest| rest.windows(16).position(is_note)) {
        at += found;
        elf[at + 12..at + 15].copy_from_slice(b"Nex");
        at += 16;
    }
    elf
}

/// A name of four bytes, a small description, a small type, `Xen`.
fn is_note(bytes: &[u8]) -> bool {
    bytes.starts_with(&[4, 0, 0, 0]) && bytes[5..8] == [0; 3] && bytes[9..12] == [0; 3] && bytes.ends_with(b"Xen\0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repacked_image_states_its_payload() {
        let mut image = vec![0; 4096];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x248] = 16;
        image[0x24c] = 200;
        let made = repacked(&image, b"payload").unwrap();
        assert_eq!(made.len(), 1024 + 16 + 7);
        assert_eq!(kernel_image::payload(&made).unwrap(), (1040, 7));
    }

    #[test]
    fn only_notes_of_xen_change() {
        let note = b"\x04\0\0\0\x08\0\0\0\x01\0\0\0Xen\0";
        let mut elf = b"Xen\0...".to_vec();
        elf.extend(note);
        elf.extend(note);
        let made = without_notes(elf.clone());
        assert!(made.starts_with(b"Xen\0"));
        assert_eq!(made.windows(4).filter(|word| word == b"Nex\0").count(), 2);
    }
}
