//! Kernel images: whatever the bytes are, no panic, no byte behind the stated size, and segments
//! that are what they promise. Seeds: `cargo run -p ferroxen-loader --example seeds fuzz/corpus/loader`.
#![no_main]

use ferroxen_loader::{ElfKernel, KernelImage};
use libfuzzer_sys::fuzz_target;

/// Larger claims are legal, but only cost time here.
const MAX_OUTPUT: usize = 1 << 20;
const CANARY: u8 = 0xa5;

fuzz_target!(|data: &[u8]| {
    let Some((mode, data)) = data.split_first() else { return };
    match mode {
        b'e' => elf(data),
        b'i' => image(data),
        // A payload in a well-formed bzImage, so that no mutation is spent on its header.
        _ => image(&bzimage(data)),
    }
});

fn image(bytes: &[u8]) {
    let Ok(image) = KernelImage::parse(bytes) else { return };
    let len = image.payload_len();
    if len > MAX_OUTPUT {
        return;
    }
    let mut out = vec![CANARY; len + 64];
    let result = image.decompress_into(&mut out);
    assert!(out[len..].iter().all(|byte| *byte == CANARY), "wrote behind the stated size");
    match result {
        Ok(made) => {
            assert_eq!(made, len);
            elf(&out[..made]);
        }
        Err(error) => assert!(!error.to_string().contains('\n')),
    }
}

fn elf(bytes: &[u8]) {
    let kernel = match ElfKernel::parse(bytes) {
        Ok(kernel) => kernel,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert!(!kernel.segments().is_empty());
    for segment in kernel.segments() {
        assert!(segment.data.len() as u64 <= segment.mem_size);
        assert_eq!(segment.paddr_end(), segment.paddr + segment.mem_size);
    }
    for pair in kernel.segments().windows(2) {
        assert!(pair[0].paddr_end() <= pair[1].paddr);
    }
    if let Ok(notes) = kernel.notes() {
        assert!(notes.l1_mfn_valid.pairs().count() <= bytes.len() / 8);
        assert_eq!(notes.features.required & !notes.features.supported, 0);
    }
    if let Ok(layout) = kernel.pv() {
        assert!(layout.virt_start() <= layout.entry && layout.entry < layout.virt_end());
        for segment in kernel.segments() {
            let phys = layout.phys_of(segment);
            assert!(layout.phys_start <= phys && phys + segment.mem_size <= layout.phys_end);
        }
    }
    let _ = kernel.pvh_entry();
}

fn bzimage(payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0u8; 1024];
    out[0x1f1] = 1;
    out[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    out[0x202..0x206].copy_from_slice(b"HdrS");
    out[0x206..0x208].copy_from_slice(&0x020fu16.to_le_bytes());
    out[0x24c..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend(payload);
    out
}
