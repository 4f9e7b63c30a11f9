//! ELF segments and Xen notes on synthetic kernels, and every way to be refused.

mod common;

use common::{EHSIZE, Elf, Load, PHSIZE, linux_notes, note, xen};
use ferroxen_loader::{Class, ElfKernel, ImageError, NoteSource, PaeMode};

fn load(paddr: u64, mem_size: u64) -> Load {
    Load { vaddr: 0xffff_ffff_8000_0000 + paddr, paddr, data: vec![1; 16.min(mem_size as usize)], mem_size }
}

fn with_notes(notes: Vec<u8>) -> Vec<u8> {
    Elf { notes: Some(notes), ..Elf::linux() }.build()
}

/// Linux's notes with one more behind them, which wins.
fn linux_and(kind: u32, desc: &[u8]) -> Vec<u8> {
    with_notes([linux_notes(), xen(kind, desc)].concat())
}

#[test]
fn linux_notes_are_read() {
    let elf = Elf::linux().build();
    let kernel = ElfKernel::parse(&elf).unwrap();
    let notes = kernel.notes().unwrap();
    assert_eq!(notes.source, NoteSource::Segment);
    assert_eq!(notes.guest_os, Some("linux"));
    assert_eq!(notes.guest_version, Some("2.6"));
    assert_eq!(notes.xen_version, Some("xen-3.0"));
    assert_eq!(notes.loader, Some("generic"));
    assert_eq!(notes.virt_base, Some(0xffff_ffff_8000_0000));
    assert_eq!(notes.entry, Some(0xffff_ffff_8100_01c0));
    assert_eq!(notes.hypercall_page, None);
    assert_eq!(notes.init_p2m, Some(0x80_0000_0000));
    assert_eq!(notes.paddr_offset, Some(0));
    assert_eq!(notes.hv_start_low, Some(0xffff_8000_0000_0000));
    assert_eq!(notes.pae_mode, PaeMode::ExtendedCr3);
    assert_eq!(notes.phys32_entry, Some(0x100_0850));
    assert!(notes.suspend_cancel && notes.mod_start_pfn && !notes.bsd_symtab);
    assert_eq!(notes.l1_mfn_valid.pairs().collect::<Vec<_>>(), [(1, 1)]);
    assert_eq!(notes.features.required, 1);
    assert_eq!(notes.features.supported, 0x8811);
    assert_eq!(kernel.pvh_entry(), Ok(0x100_0850));

    let layout = kernel.pv().unwrap();
    assert_eq!((layout.phys_start, layout.phys_end), (0x100_0000, 0x100_3000));
    assert_eq!(layout.virt_start(), 0xffff_ffff_8100_0000);
    assert_eq!(layout.virt_end(), 0xffff_ffff_8100_3000);
    assert_eq!(layout.phys_of(&kernel.segments()[0]), 0x100_0000);
}

#[test]
fn notes_in_sections_count_only_without_notes_in_segments() {
    let section = |name: &'static str, os: &[u8]| (name, 7u32, xen(6, os));
    let mut elf = Elf { sections: vec![section(".note.a", b"section\0")], ..Elf::linux() };
    assert_eq!(ElfKernel::parse(&elf.build()).unwrap().notes().unwrap().guest_os, Some("linux"));
    elf.notes = Some(note("GNU", 3, &[0; 20]));
    elf.sections.push((".note.b", 7, xen(5, b"xen-3.0\0")));
    let bytes = elf.build();
    let kernel = ElfKernel::parse(&bytes).unwrap();
    let notes = kernel.notes().unwrap();
    assert_eq!((notes.source, notes.guest_os), (NoteSource::Section, Some("section")));
    assert_eq!(notes.xen_version, Some("xen-3.0"));
}

#[test]
fn the_old_guest_string_is_the_last_resort() {
    let text = b"GUEST_OS=linux,XEN_VER=xen-3.0,VIRT_BASE=0xffffffff80000000,ELF_PADDR_OFFSET=0x0,\
        VIRT_ENTRY=0xffffffff81000000,HYPERCALL_PAGE=0x1001,LOADER=generic\0";
    let mut elf = Elf { notes: None, sections: vec![("__xen_guest", 1, text.to_vec())], ..Elf::linux() };
    let bytes = elf.build();
    let kernel = ElfKernel::parse(&bytes).unwrap();
    assert_eq!(kernel.notes().unwrap().source, NoteSource::GuestString);
    let layout = kernel.pv().unwrap();
    assert_eq!(layout.hypercall_page, Some(0xffff_ffff_8100_1000));
    assert_eq!((layout.phys_start, layout.entry), (0x100_0000, 0xffff_ffff_8100_0000));
    elf.sections[0].0 = "__xen_guess";
    assert_eq!(ElfKernel::parse(&elf.build()).unwrap().notes().unwrap_err(), ImageError::NoXenNotes);
}

#[test]
fn defaults_are_those_of_the_header_comments() {
    // Like mini-os: physical and virtual addresses are the same, nothing is said about them.
    let text = Load { vaddr: 0, paddr: 0, data: vec![0x90; 64], mem_size: 0x4000 };
    let elf = Elf { entry: 0x10, loads: vec![text], notes: Some(xen(6, b"Mini-OS\0")), ..Elf::linux() }.build();
    let layout = ElfKernel::parse(&elf).unwrap().pv().unwrap();
    assert_eq!((layout.virt_base, layout.paddr_offset, layout.entry), (0, 0, 0x10));
    assert_eq!(layout.init_p2m, None);
}

#[test]
fn paddr_offset_is_subtracted() {
    let base = 0xffff_ffff_8000_0000u64;
    let mut elf = Elf::linux();
    elf.loads[0].paddr = elf.loads[0].vaddr;
    elf.notes = Some([linux_notes(), xen(4, &base.to_le_bytes())].concat());
    let bytes = elf.build();
    let kernel = ElfKernel::parse(&bytes).unwrap();
    let layout = kernel.pv().unwrap();
    assert_eq!((layout.phys_start, layout.virt_start()), (0x100_0000, base + 0x100_0000));
    assert_eq!(layout.phys_of(&kernel.segments()[0]), 0x100_0000);
}

#[test]
fn segments_come_by_address_with_their_bytes() {
    let mut elf = Elf::linux();
    elf.loads = vec![load(0x100_8000, 8), load(0x100_0000, 0x2000), load(0x100_2000, 0), load(0x100_2000, 0x6000)];
    let bytes = elf.build();
    let kernel = ElfKernel::parse(&bytes).unwrap();
    let seen: Vec<_> = kernel.segments().iter().map(|s| (s.index, s.paddr, s.mem_size, s.data.len())).collect();
    assert_eq!(seen, [(1, 0x100_0000, 0x2000, 16), (3, 0x100_2000, 0x6000, 16), (0, 0x100_8000, 8, 8)]);
    assert!(kernel.segments().iter().all(|s| s.executable && !s.writable));
}

#[test]
fn segments_that_overlap_by_a_byte_are_refused() {
    let mut elf = Elf::linux();
    elf.loads = vec![load(0x100_2000, 0x1000), load(0x100_0000, 0x2001)];
    assert_eq!(ElfKernel::parse(&elf.build()).unwrap_err(), ImageError::Overlap { first: 0, second: 1 });
    elf.loads[1].mem_size = 0x2000;
    assert!(ElfKernel::parse(&elf.build()).is_ok());
    // One inside the other, with a third between them by address.
    elf.loads = vec![load(0x100_0000, 0x9000), load(0x100_1000, 0x100), load(0x100_2000, 0x100)];
    assert!(matches!(ElfKernel::parse(&elf.build()), Err(ImageError::Overlap { first: 0, .. })));
}

#[test]
fn impossible_segments_are_refused() {
    let bad = |change: &dyn Fn(&mut Load)| {
        let mut elf = Elf::linux();
        change(&mut elf.loads[0]);
        ElfKernel::parse(&elf.build()).unwrap_err()
    };
    assert!(matches!(bad(&|l| l.mem_size = 0xfff), ImageError::BadSegment { index: 0, .. }), "filesz > memsz");
    assert!(matches!(bad(&|l| l.paddr = u64::MAX - 0xfff), ImageError::BadSegment { .. }), "paddr wraps");
    assert!(matches!(bad(&|l| l.vaddr = u64::MAX - 0xfff), ImageError::BadSegment { .. }), "vaddr wraps");
    assert!(matches!(bad(&|l| l.mem_size = u64::MAX), ImageError::BadSegment { .. }), "memsz wraps");
    assert_eq!(bad(&|l| (l.mem_size, l.data) = (0, Vec::new())), ImageError::NoSegments);

    let elf = Elf::linux().build();
    for (field, value) in [(8, u64::MAX), (8, elf.len() as u64), (32, u64::MAX)] {
        let mut elf = elf.clone();
        elf[EHSIZE + field..EHSIZE + field + 8].copy_from_slice(&value.to_le_bytes());
        assert!(ElfKernel::parse(&elf).is_err(), "field {field} = {value:#x}");
    }
}

#[test]
fn a_foreign_elf_header_is_refused_with_its_reason() {
    let change = |at: usize, value: u8| {
        let mut elf = Elf::linux().build();
        elf[at] = value;
        ElfKernel::parse(&elf).unwrap_err()
    };
    assert_eq!(change(0, 0), ImageError::NotElf);
    assert_eq!(change(4, 3), ImageError::ElfHeader("unknown word size"));
    assert_eq!(change(5, 2), ImageError::ElfHeader("not little-endian"));
    assert_eq!(change(6, 9), ImageError::ElfHeader("unknown version"));
    assert_eq!(change(16, 1), ImageError::ElfHeader("not an executable"));
    assert_eq!(change(18, 183), ImageError::ElfMachine(183));
    assert_eq!(change(4, 1), ImageError::ElfMachine(62), "x86_64 in a 32-bit file");
    assert_eq!(change(57, 0xff), ImageError::TooManyHeaders("program headers"));
    assert_eq!(change(61, 0xff), ImageError::TooManyHeaders("sections"));
    assert_eq!(change(54, 8), ImageError::ElfHeader("program header size"));
}

#[test]
fn an_elf_file_cut_anywhere_is_refused_or_complete() {
    let elf = Elf { sections: vec![(".note", 7, xen(6, b"x\0"))], ..Elf::linux() };
    let bytes = elf.build();
    // Headers, a page of text, the notes: behind them nothing is needed to run.
    let needed = EHSIZE + 2 * PHSIZE + 0x1000 + linux_notes().len();
    for cut in 0..bytes.len() {
        match ElfKernel::parse(&bytes[..cut]) {
            Ok(kernel) => assert!(cut >= needed && kernel.pv().is_ok(), "cut at {cut}"),
            Err(error) => assert!(cut < needed, "cut at {cut}: {error}"),
        }
    }
}

#[test]
fn malformed_notes_are_refused() {
    let notes = linux_notes();
    for cut in 1..notes.len() {
        // A cut between two notes is a shorter list; inside one, everything is an error.
        if let Ok(kernel) = ElfKernel::parse(&with_notes(notes[..cut].to_vec())) {
            assert!(kernel.notes().is_ok(), "cut at {cut}");
        }
    }
    let cut_off = ImageError::BadNotes("note cut off");
    assert_eq!(ElfKernel::parse(&with_notes(notes[..7].to_vec())).unwrap_err(), cut_off);
    for at in [0, 4] {
        let mut notes = notes.clone();
        notes[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(ElfKernel::parse(&with_notes(notes)).unwrap_err(), cut_off);
    }
}

#[test]
fn a_note_with_a_wrong_value_is_named() {
    for (kind, desc, name) in [
        (1u32, &[0u8; 3][..], "ENTRY"),
        (3, &[0; 5], "VIRT_BASE"),
        (4, &[], "PADDR_OFFSET"),
        (12, &[0; 9], "HV_START_LOW"),
        (17, &[0; 2], "SUPPORTED_FEATURES"),
        (18, &[0, 0, 0, 0, 1, 0, 0, 0], "PHYS32_ENTRY"),
        (13, &[0; 12], "L1_MFN_VALID"),
        (9, b"maybe\0", "PAE_MODE"),
        (6, b"\xff\xfe\0", "GUEST_OS"),
    ] {
        let error = ElfKernel::parse(&linux_and(kind, desc)).unwrap_err();
        assert!(matches!(error, ImageError::BadNote { note, .. } if note == name), "{name}: {error:?}");
        assert!(error.to_string().contains(name));
    }
}

#[test]
fn values_of_four_bytes_and_every_pae_mode_are_read() {
    let notes = |kind, desc: &[u8]| {
        let bytes = linux_and(kind, desc);
        let kernel = ElfKernel::parse(&bytes).unwrap();
        let notes = *kernel.notes().unwrap();
        (notes.entry, notes.pae_mode, notes.l1_mfn_valid.pairs().collect::<Vec<_>>(), notes.bsd_symtab)
    };
    assert_eq!(notes(1, &0x1234u32.to_le_bytes()).0, Some(0x1234));
    for (text, mode) in [
        (&b"no\0"[..], PaeMode::No),
        (b"yes\0", PaeMode::ExtendedCr3),
        (b"bimodal\0", PaeMode::Bimodal),
        (b"yes,bimodal\0", PaeMode::Bimodal),
    ] {
        assert_eq!(notes(9, text).1, mode);
    }
    assert_eq!(notes(13, &[3, 0, 0, 0, 1, 0, 0, 0]).2, [(3, 1)]);
    assert_eq!(notes(13, &[[7; 16], [9; 16]].concat()).2.len(), 2);
    assert!(notes(11, b"yes\0").3 && !notes(11, b"no\0").3);
    // Unknown notes, and other people's of the same number, are nothing to us.
    assert_eq!(notes(99, b"?").0, Some(0xffff_ffff_8100_01c0));
}

#[test]
fn features_are_required_supported_or_unknown() {
    let features = |text: &[u8]| ElfKernel::parse(&with_notes(xen(10, text))).map(|k| k.notes().unwrap().features);
    let known = features(b"!dom0|writable_page_tables|brand_new\0").unwrap();
    assert_eq!((known.required, known.supported), (1 << 11, 1 << 11 | 1));
    assert!(known.supports(11) && known.supports(0) && !known.supports(1) && !known.supports(99));
    assert_eq!(known.require_only(1 << 11), Ok(()));
    assert_eq!(known.require_only(1), Err(ImageError::MissingFeatures { bits: 1 << 11 }));
    let Err(ImageError::UnknownRequiredFeature(name)) = features(b"!brand\nnew\0") else {
        panic!("an unknown feature was taken as known");
    };
    assert_eq!(name.as_str(), "brand?new");
    assert!(features(b"").is_ok() && features(b"|||").is_ok());
    assert!(features(b"!").is_err());
}

#[test]
fn a_32_bit_kernel_is_parsed_and_refused_as_pv() {
    let text = Load { vaddr: 0xc010_0000, paddr: 0x10_0000, data: vec![0x90; 64], mem_size: 0x1000 };
    let notes = [xen(6, b"linux\0"), xen(18, &0x10_0000u32.to_le_bytes())].concat();
    let elf = Elf { wide: false, entry: 0x10_0000, loads: vec![text], notes: Some(notes), sections: Vec::new() };
    let bytes = elf.build();
    let kernel = ElfKernel::parse(&bytes).unwrap();
    assert_eq!((kernel.class(), kernel.entry()), (Class::Elf32, 0x10_0000));
    assert_eq!(kernel.segments()[0].paddr, 0x10_0000);
    assert_eq!(kernel.pv(), Err(ImageError::Pv32Unsupported));
    assert_eq!(kernel.pvh_entry(), Ok(0x10_0000));
    let wraps = Load { paddr: 0xffff_f000, mem_size: 0x2000, ..elf.loads[0].clone() };
    let error = ElfKernel::parse(&Elf { loads: vec![wraps], ..elf }.build()).unwrap_err();
    assert!(matches!(error, ImageError::BadSegment { .. }));
}

#[test]
fn kernels_for_others_are_refused_as_pv() {
    let pv = |bytes: Vec<u8>| ElfKernel::parse(&bytes).unwrap().pv().unwrap_err();
    assert_eq!(pv(Elf { notes: None, ..Elf::linux() }.build()), ImageError::NoXenNotes);
    assert!(matches!(pv(linux_and(5, b"xen-2.0\0")), ImageError::XenVersion(v) if v.as_str() == "xen-2.0"));
    let other = [linux_notes(), xen(6, b"plan9\0"), xen(8, b"special\0")].concat();
    assert!(matches!(pv(with_notes(other)), ImageError::Loader(l) if l.as_str() == "special"));
    let no_pvh = with_notes(xen(6, b"linux\0"));
    assert_eq!(ElfKernel::parse(&no_pvh).unwrap().pvh_entry(), Err(ImageError::NoPvhEntry));
}

#[test]
fn notes_that_contradict_the_segments_are_refused() {
    let pv = |kind: u32, value: u64| ElfKernel::parse(&linux_and(kind, &value.to_le_bytes())).unwrap().pv();
    let (virt, base) = (0xffff_ffff_8100_0000u64, 0xffff_ffff_8000_0000u64);
    for (kind, value, why) in [
        (1, virt - 1, "entry below the kernel"),
        (1, virt + 0x3000, "entry behind the kernel"),
        (2, virt + 0x3000, "hypercall page behind the kernel"),
        (2, virt + 0x10, "hypercall page not aligned"),
        (3, u64::MAX - 0xff_ffff, "virtual addresses wrap"),
        (3, 0xffff_8000_0000_0000, "in the hypervisor's hole"),
        (3, 0x0001_0000_0000_0000, "not canonical"),
        (3, 0x0000_7fff_ff00_0000, "across the canonical hole"),
        (4, 0x100_0001, "paddr offset above the kernel"),
        (15, 0x80_0000_0001, "p2m not aligned"),
        (15, base, "p2m below the kernel but in its mapping"),
        (15, 0xffff_8100_0000_0000, "p2m in the hypervisor's hole"),
        (15, 0x0001_0000_0000_0000, "p2m not canonical"),
    ] {
        assert!(matches!(pv(kind, value), Err(ImageError::Layout(_))), "{why}: {:?}", pv(kind, value));
    }
    assert_eq!(pv(2, virt + 0x1000).unwrap().hypercall_page, Some(virt + 0x1000));
    assert!(pv(1, virt).is_ok() && pv(1, virt + 0x2fff).is_ok());
}
