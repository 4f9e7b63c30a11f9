//! Takes the ELF kernel out of a bzImage, so that nothing unpacks it under emulation.
//!
//! The boot protocol's header says where the payload is (Documentation/arch/x86/boot.rst).

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::paths::Paths;
use crate::setup::Kernel;
use crate::ui;

/// The ELF file of `kernel`, unpacked into the cache once.
pub fn vmlinux(paths: &Paths, kernel: &Kernel) -> Result<PathBuf> {
    let image = fs::read(&kernel.image).with_context(|| format!("cannot read {}", kernel.image.display()))?;
    if image.starts_with(b"\x7fELF") {
        return Ok(kernel.image.clone());
    }
    let file = paths.cache.join(format!("vmlinux-{}", kernel.release));
    if newer(&file, &kernel.image) {
        return Ok(file);
    }
    ui::step(format!("unpacking the kernel {}", kernel.release));
    let elf = extract(&image).with_context(|| format!("cannot unpack {}", kernel.image.display()))?;
    let fresh = file.with_extension(format!("new-{}", std::process::id()));
    fs::write(&fresh, elf)?;
    fs::rename(&fresh, &file)?;
    Ok(file)
}

fn newer(file: &Path, than: &Path) -> bool {
    let time = |path: &Path| path.metadata().and_then(|meta| meta.modified());
    matches!((time(file), time(than)), (Ok(a), Ok(b)) if a >= b)
}

/// Where the payload of a bzImage is: its first byte in the file, and how many.
pub fn payload(image: &[u8]) -> Result<(usize, usize)> {
    let word = |at: usize| -> Result<usize> {
        let bytes = image.get(at..at + 4).context("shorter than a bzImage header")?;
        Ok(u32::from_le_bytes(bytes.try_into()?) as usize)
    };
    if image.get(0x202..0x206) != Some(b"HdrS") {
        bail!("neither ELF nor bzImage");
    }
    let sectors = match image.get(0x1f1) {
        Some(0) | None => 4,
        Some(count) => usize::from(*count),
    };
    Ok(((sectors + 1) * 512 + word(0x248)?, word(0x24c)?))
}

/// The payload of a bzImage, unpacked.
fn extract(image: &[u8]) -> Result<Vec<u8>> {
    let (start, length) = payload(image)?;
    let payload = image.get(start..start + length).context("the payload ends behind the file")?;
    let packed = payload.get(..payload.len().saturating_sub(4)).unwrap_or_default();
    let mut elf = Vec::new();
    match payload {
        [0x1f, 0x8b, ..] => flate2::read::GzDecoder::new(packed).read_to_end(&mut elf).map(drop),
        [0xfd, b'7', b'z', ..] => lzma_rust2::XzReader::new(packed, false).read_to_end(&mut elf).map(drop),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => ruzstd::decoding::StreamingDecoder::new(packed)
            .map_err(io::Error::other)
            .and_then(|mut reader| reader.read_to_end(&mut elf).map(drop)),
        [0x7f, b'E', b'L', b'F', ..] => {
            elf.extend_from_slice(payload);
            Ok(())
        }
        other => bail!("unknown compression (payload begins {:02x?})", &other[..other.len().min(4)]),
    }?;
    if !elf.starts_with(b"\x7fELF") {
        bail!("the payload is no ELF file");
    }
    Ok(elf)
}
