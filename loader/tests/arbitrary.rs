//! Whatever the bytes are: a value or an error, never a panic, never a byte too many.

mod common;

use common::{Elf, PACKERS, bzimage, sample, sized};
use ferroxen_loader::{ElfKernel, KernelImage};
use proptest::prelude::*;

const CANARY: u8 = 0xa5;

/// Unpacks into a buffer with a canary behind it.
fn unpack(bytes: &[u8]) {
    let Ok(image) = KernelImage::parse(bytes) else { return };
    let len = image.payload_len();
    if len > 1 << 20 {
        return;
    }
    let mut out = vec![CANARY; len + 64];
    let result = image.decompress_into(&mut out);
    assert!(out[len..].iter().all(|byte| *byte == CANARY), "wrote behind the stated size");
    if let Ok(made) = result {
        assert_eq!(made, len);
        read(&out[..made]);
    }
}

fn read(elf: &[u8]) {
    let Ok(kernel) = ElfKernel::parse(elf) else { return };
    for pair in kernel.segments().windows(2) {
        assert!(pair[0].paddr_end() <= pair[1].paddr);
    }
    if let Ok(layout) = kernel.pv() {
        assert!(layout.virt_start() <= layout.entry && layout.entry < layout.virt_end());
    }
}

fn magics() -> impl Strategy<Value = Vec<u8>> {
    prop::sample::select(vec![
        b"\x7fELF\x02\x01\x01".to_vec(),
        b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec(),
        b"\xfd7zXZ\0\0\0\xff\x12\xd9\x41\x02\0\x21\x01\x16\0\0\0\x74\x2f\xe5\xa3\xe0\0\xff\0\x40\x5d\0".to_vec(),
        b"\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff\0".to_vec(),
        b"\x02\x21\x4c\x18\x40\0\0\0".to_vec(),
        b"BZh9\x31\x41\x59\x26\x53\x59".to_vec(),
        b"\x28\xb5\x2f\xfd\0\x58".to_vec(),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn noise_behind_a_magic(magic in magics(), noise in prop::collection::vec(any::<u8>(), 0..600), stated in 0usize..5000) {
        let stream = [magic, noise].concat();
        unpack(&stream);
        unpack(&bzimage(&sized(stream, stated)));
    }

    #[test]
    fn a_damaged_elf_file(at in prop::collection::vec((0usize..700, any::<u8>()), 1..8), wide: bool, cut in 0usize..6000) {
        // Headers and notes; the page of text between them is not worth a mutation.
        let mut elf = Elf { wide, ..Elf::linux() };
        elf.loads[0].data.truncate(16);
        let mut elf = elf.build();
        for (at, value) in at {
            let at = at % elf.len();
            elf[at] = value;
        }
        read(&elf[..cut.min(elf.len())]);
    }

    #[test]
    fn a_guest_string(text in "[A-Z_]{0,12}(=|,|\"|0x)[ -~]{0,40}(,[A-Z_]{1,10}=[0-9a-fx\"|!,]{0,20}){0,4}") {
        let sections = vec![("__xen_guest", 1, text.into_bytes())];
        read(&Elf { notes: None, sections, ..Elf::linux() }.build());
    }
}

#[test]
fn damaged_streams_of_every_compressor() {
    let data = sample(3_000);
    for packer in PACKERS {
        let Some(stream) = packer.pack(&data) else { continue };
        let mut state = 0x1234_5678_9abc_def1u64;
        for _ in 0..1_500 {
            let mut damaged = stream.clone();
            for _ in 0..1 + state % 4 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = (state >> 33) as usize % damaged.len();
                damaged[at] = (state >> 24) as u8;
            }
            unpack(&bzimage(&sized(damaged, data.len() + (state % 3) as usize)));
        }
    }
}
