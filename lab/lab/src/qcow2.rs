//! Empty qcow2 images, version 2 (QEMU's docs/interop/qcow2): for snapshots, and over a raw image that stays as it is.

use std::io::{Result, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const CLUSTER: u64 = 0x1_0000;
/// What one entry of the level 1 table maps: a cluster of level 2 entries.
const L1_COVERS: u64 = CLUSTER / 8 * CLUSTER;
/// Where the name of the backing file is, in the first cluster.
const NAME_AT: u64 = 512;

/// Writes an image of `size` bytes; what was not written to it comes from the raw image `backing`.
///
/// # Errors
///
/// If it cannot be written, or the name of `backing` is longer than the format allows.
pub fn create(file: &Path, size: u64, backing: Option<&Path>) -> Result<()> {
    let name = backing.map(|path| path.as_os_str().as_bytes()).unwrap_or_default();
    if name.len() > 1023 {
        return Err(std::io::Error::other("the name of the backing file is longer than 1023 bytes"));
    }
    std::fs::File::create(file)?.write_all(&image(size, name))
}

/// Header, reference count table and block, level 1 table, a cluster each.
fn image(size: u64, backing: &[u8]) -> Vec<u8> {
    let mut image = vec![0; 4 * CLUSTER as usize];
    let mut put = |at: u64, bytes: &[u8]| {
        let at = at as usize;
        if let Some(place) = image.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    };
    put(0, b"QFI\xfb");
    put(4, &2u32.to_be_bytes());
    if !backing.is_empty() {
        put(8, &NAME_AT.to_be_bytes());
        put(16, &(backing.len() as u32).to_be_bytes());
        put(NAME_AT, backing);
        // Header extension: the backing file's format, so that nobody guesses it.
        put(72, &0xe279_2aca_u32.to_be_bytes());
        put(76, &3u32.to_be_bytes());
        put(80, b"raw");
    }
    put(20, &CLUSTER.trailing_zeros().to_be_bytes());
    put(24, &size.to_be_bytes());
    put(36, &(size.div_ceil(L1_COVERS) as u32).to_be_bytes());
    put(40, &(3 * CLUSTER).to_be_bytes());
    put(48, &CLUSTER.to_be_bytes());
    put(56, &1u32.to_be_bytes());
    put(CLUSTER, &(2 * CLUSTER).to_be_bytes());
    for cluster in 0..4 {
        put(2 * CLUSTER + 2 * cluster, &1u16.to_be_bytes());
    }
    image
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_says_where_its_tables_are() {
        let image = image(64 << 20, b"");
        assert_eq!(image.len(), 0x4_0000);
        assert_eq!(&image[..8], b"QFI\xfb\0\0\0\x02");
        assert_eq!(&image[8..20], &[0; 12]);
        assert_eq!(&image[0x1_0000..0x1_0008], &[0, 0, 0, 0, 0, 2, 0, 0]);
    }

    #[test]
    fn a_backing_file_is_named_with_its_format() {
        let image = image(1 << 40, b"/tmp/a.img");
        assert_eq!(&image[8..20], &[0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 10]);
        assert_eq!(&image[512..522], b"/tmp/a.img");
        assert_eq!(&image[72..84], b"\xe2\x79\x2a\xca\0\0\0\x03raw\0");
        // 2048 entries of 512 MiB: less than a cluster.
        assert_eq!(&image[36..40], &2048u32.to_be_bytes());
    }
}
