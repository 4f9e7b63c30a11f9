//! The kernel that nobody built for us.

mod common;

use common::PACKERS;
use ferroxen_loader::{Compression, Container, ElfKernel, KernelImage, NoteSource};
use std::path::PathBuf;
use std::time::Instant;

/// Debian's kernels in the cache, if there is one.
fn kernels() -> Vec<PathBuf> {
    let cache = std::env::var_os("FERROXEN_CACHE").map_or_else(|| PathBuf::from("/work/cache"), PathBuf::from);
    let mut found = Vec::new();
    for folder in [cache.join("root/boot"), cache.join("boot"), cache] {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        found.extend(entries.map(|entry| entry.path()).filter(|path| {
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("vmlinuz-"))
        }));
    }
    found.sort();
    found
}

#[test]
fn a_debian_kernel_unpacks_and_says_what_it_wants_from_xen() {
    let kernels = kernels();
    if kernels.is_empty() {
        eprintln!("SKIPPED: no vmlinuz-* in $FERROXEN_CACHE; './x build' fetches one");
    }
    for path in kernels {
        let bytes = std::fs::read(&path).unwrap();
        let image = KernelImage::parse(&bytes).unwrap();
        assert!(matches!(image.container(), Container::BzImage { version } if version >= 0x0208));
        assert_ne!(image.compression(), Compression::None);
        let mut elf = vec![0xa5; image.payload_len() + 16];
        assert_eq!(image.decompress_into(&mut elf), Ok(image.payload_len()), "{}", path.display());
        let (elf, behind) = elf.split_at(image.payload_len());
        assert!(behind.iter().all(|byte| *byte == 0xa5), "wrote behind the stated size");

        let kernel = ElfKernel::parse(elf).unwrap();
        assert!(kernel.segments().len() >= 3);
        if path.to_string_lossy().contains("cloud") {
            continue; // a domU kernel, perhaps without PV
        }
        let notes = kernel.notes().unwrap();
        assert_eq!(notes.source, NoteSource::Segment);
        assert_eq!(notes.guest_os, Some("linux"));
        assert_eq!(notes.xen_version, Some("xen-3.0"));
        assert!(notes.features.supports(xen_abi::features::XENFEAT_dom0), "a dom0 kernel");
        assert!(notes.mod_start_pfn && notes.suspend_cancel);
        assert_eq!(notes.l1_mfn_valid.pairs().collect::<Vec<_>>(), [(1, 1)]);
        let layout = kernel.pv().unwrap();
        assert_eq!(layout.virt_base, 0xffff_ffff_8000_0000);
        assert_eq!(layout.phys_start, 0x100_0000);
        assert_eq!(layout.init_p2m, Some(0x80_0000_0000));
        assert!(layout.entry > layout.virt_start() && layout.entry < layout.virt_end());
        assert!(kernel.pvh_entry().unwrap() >= 0x100_0000);
    }
}

/// Takes two minutes and prints how fast each decoder is:
/// `cargo test -p ferroxen-loader --release --test debian_kernel -- --ignored --nocapture`.
#[test]
#[ignore = "slow: packs a whole kernel with every tool"]
fn a_debian_kernel_packed_anew_by_every_tool_comes_out_the_same() {
    let Some(path) = kernels().into_iter().next() else {
        eprintln!("SKIPPED: no vmlinuz-* in $FERROXEN_CACHE; './x build' fetches one");
        return;
    };
    let bytes = std::fs::read(&path).unwrap();
    let unpack = |bytes: &[u8]| {
        let image = KernelImage::parse(bytes).unwrap();
        let mut elf = vec![0; image.payload_len()];
        let start = Instant::now();
        image.decompress_into(&mut elf).unwrap();
        let took = start.elapsed().as_secs_f64();
        println!("{:>12} {:>9} -> {} bytes in {took:.3} s", image.compression(), image.packed_len(), elf.len());
        elf
    };
    let elf = unpack(&bytes);
    for packer in PACKERS {
        let Some(packed) = packer.bzimage(&elf) else { continue };
        print!("{:<70}", packer.command.join(" "));
        assert!(unpack(&packed) == elf, "{:?}", packer.command);
    }
}
