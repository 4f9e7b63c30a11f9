//! `seeds FOLDER`: writes the loader fuzzer's seeds, one for each compressor that is installed.
//! They are made, not committed: compressed streams are blobs.

#[path = "../tests/common/mod.rs"]
mod common;

use common::{Elf, PACKERS, bzimage, sample, sized};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args_os().nth(1).ok_or("usage: seeds FOLDER")?;
    let folder = std::path::Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    let write = |name: String, mode: u8, bytes: &[u8]| std::fs::write(folder.join(name), [&[mode][..], bytes].concat());
    let elf = Elf::linux().build();
    write("elf64".into(), b'e', &elf)?;
    write("elf32".into(), b'e', &Elf { wide: false, ..Elf::linux() }.build())?;
    let old = ("__xen_guest", 1, b"GUEST_OS=linux,VIRT_BASE=0xffffffff80000000,PAE=yes,FEATURES=\"!dom0\"\0".to_vec());
    write("elf64-guest-string".into(), b'e', &Elf { notes: None, sections: vec![old], ..Elf::linux() }.build())?;
    write("bzimage".into(), b'i', &bzimage(&elf))?;
    for (index, packer) in PACKERS.iter().enumerate() {
        for data in [&elf[..], &sample(20_000), &[]] {
            if let Some(stream) = packer.pack(data) {
                let payload = if packer.own_size { stream } else { sized(stream, data.len()) };
                write(format!("{}-{index}-{}", packer.name, data.len()), b'p', &payload)?;
            }
        }
    }
    Ok(())
}
