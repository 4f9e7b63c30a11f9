//! The file around the pages: headers, notes, tables.

use super::PAGE;
use super::memory::Run;
use object::elf::*;
use object::pod::bytes_of;
use object::{LittleEndian as LE, U16, U32, U64};
use xen_abi::arch_x86::VcpuGuestContext;
use xen_abi::elfnote::*;
use xen_abi::version::{
    XEN_CAPABILITIES_INFO_LEN, XEN_CHANGESET_INFO_LEN, XEN_EXTRAVERSION_LEN, XenCompileInfo, XenPlatformParameters,
};
use xenctl::VersionInfo;
use zerocopy::{FromZeros as _, IntoBytes as _};

/// `xch_magic` of a PV domain, and the number of the format (dump-core-format.txt).
const MAGIC: u64 = 0xf00f_ebed;
const FORMAT: u64 = 1;
/// Sections in the order of their headers, after the empty one. The pages are the file's end.
const SECTIONS: [&str; 6] = [".shstrtab", ".note.Xen", ".xen_prstatus", ".xen_shared_info", ".xen_p2m", ".xen_pages"];
/// More segments do not fit into a header's count; what is left out are the last ones.
const MOST_SEGMENTS: usize = 0xff00;

/// What stands before the pages.
pub(super) struct Image {
    pub(super) head: Vec<u8>,
}

fn round_up(value: usize, to: usize) -> usize {
    value.div_ceil(to) * to
}

fn note(out: &mut Vec<u8>, name: &[u8], kind: u32, desc: &[u8]) {
    let word = |value| U32::<LE>::new(LE, value);
    let header =
        NoteHeader64::<LE> { n_namesz: word(name.len() as u32), n_descsz: word(desc.len() as u32), n_type: word(kind) };
    out.extend_from_slice(bytes_of(&header));
    for part in [name, desc] {
        out.extend_from_slice(part);
        out.resize(round_up(out.len(), 4), 0);
    }
}

/// A string in so many bytes, with a zero at its end.
fn text(value: &str, len: usize) -> Vec<u8> {
    let mut bytes = value.as_bytes().to_vec();
    bytes.truncate(len.saturating_sub(1));
    bytes.resize(len, 0);
    bytes
}

fn fill(to: &mut [u8], from: &str) {
    let bytes = text(from, to.len());
    to.copy_from_slice(&bytes);
}

/// The desc of the version's note: `xen_version` as the hypervisor gave it.
fn version_note(version: &VersionInfo) -> Vec<u8> {
    let mut compile = XenCompileInfo::new_zeroed();
    fill(&mut compile.compiler, &version.compiler);
    fill(&mut compile.compile_by, &version.compile_by);
    fill(&mut compile.compile_domain, &version.compile_domain);
    fill(&mut compile.compile_date, &version.compile_date);
    let platform = XenPlatformParameters { virt_start: version.virt_start };
    [
        u64::from(version.version.0).as_bytes(),
        u64::from(version.version.1).as_bytes(),
        &text(&version.extra, XEN_EXTRAVERSION_LEN),
        compile.as_bytes(),
        &text(&version.capabilities, XEN_CAPABILITIES_INFO_LEN),
        &text(&version.changeset, XEN_CHANGESET_INFO_LEN),
        platform.as_bytes(),
        version.page_size.as_bytes(),
    ]
    .concat()
}

/// Linux' `struct elf_prstatus` of x86-64: what gdb takes registers from.
fn prstatus(vcpu: usize, context: &VcpuGuestContext) -> Vec<u8> {
    const PID: usize = 32;
    const REGISTERS: usize = 112;
    const SIZE: usize = 336;
    let regs = &context.user_regs;
    let all = [
        regs.r15,
        regs.r14,
        regs.r13,
        regs.r12,
        regs.rbp,
        regs.rbx,
        regs.r11,
        regs.r10,
        regs.r9,
        regs.r8,
        regs.rax,
        regs.rcx,
        regs.rdx,
        regs.rsi,
        regs.rdi,
        u64::MAX,
        regs.rip,
        regs.cs.into(),
        regs.rflags,
        regs.rsp,
        regs.ss.into(),
        context.fs_base,
        context.gs_base_kernel,
        regs.ds.into(),
        regs.es.into(),
        regs.fs.into(),
        regs.gs.into(),
    ];
    let mut bytes = vec![0; PID];
    // gdb shows a thread for each vcpu.
    bytes.extend_from_slice(&(vcpu as u32 + 1).to_le_bytes());
    bytes.resize(REGISTERS, 0);
    bytes.extend_from_slice(all.as_bytes());
    bytes.resize(SIZE, 0);
    bytes
}

struct Section {
    kind: u32,
    offset: usize,
    size: usize,
    entry: usize,
    align: usize,
}

impl Image {
    /// `frames`: pseudo-physical and machine frames, in the order in which their pages stand in the file.
    pub(super) fn new(
        vcpus: &[VcpuGuestContext],
        shared_info: &[u8],
        frames: &[(u64, u64)],
        runs: &[Run],
        version: &VersionInfo,
    ) -> Image {
        let mut xen_notes = Vec::new();
        note(&mut xen_notes, b"Xen\0", XEN_ELFNOTE_DUMPCORE_NONE, &[]);
        let header = [MAGIC, vcpus.len() as u64, frames.len() as u64, PAGE as u64];
        note(&mut xen_notes, b"Xen\0", XEN_ELFNOTE_DUMPCORE_HEADER, header.as_bytes());
        note(&mut xen_notes, b"Xen\0", XEN_ELFNOTE_DUMPCORE_XEN_VERSION, &version_note(version));
        note(&mut xen_notes, b"Xen\0", XEN_ELFNOTE_DUMPCORE_FORMAT_VERSION, FORMAT.as_bytes());
        let mut core_notes = Vec::new();
        for (vcpu, context) in vcpus.iter().enumerate() {
            note(&mut core_notes, b"CORE\0", NT_PRSTATUS, &prstatus(vcpu, context));
        }
        let contexts = vcpus.as_bytes();
        let p2m: Vec<u8> = frames.iter().flat_map(|(pfn, mfn)| [*pfn, *mfn]).flat_map(u64::to_le_bytes).collect();
        let runs = runs.get(..runs.len().min(MOST_SEGMENTS)).unwrap_or(runs);

        let mut names = vec![0];
        let name_at: Vec<usize> = SECTIONS
            .iter()
            .map(|name| {
                let at = names.len();
                names.extend_from_slice(name.as_bytes());
                names.push(0);
                at
            })
            .collect();

        // In Xen's files the sections' headers follow the first one.
        let section_headers = size_of::<FileHeader64<LE>>();
        let segments = section_headers + (1 + SECTIONS.len()) * size_of::<SectionHeader64<LE>>();
        let mut at = segments + (1 + runs.len()) * size_of::<ProgramHeader64<LE>>();
        let mut place = |size: usize, align: usize| {
            let offset = round_up(at, align);
            at = offset + size;
            offset
        };
        let core_notes_at = place(core_notes.len(), 4);
        let mut sections = Vec::new();
        for (kind, size, entry) in [
            (SHT_STRTAB, names.len(), 0),
            (SHT_NOTE, xen_notes.len(), 0),
            (SHT_PROGBITS, contexts.len(), size_of::<VcpuGuestContext>()),
            (SHT_PROGBITS, shared_info.len(), PAGE),
            (SHT_PROGBITS, p2m.len(), 16),
        ] {
            sections.push(Section { kind, offset: place(size, 8), size, entry, align: 8 });
        }
        let pages = frames.len() * PAGE;
        let pages_at = place(pages, PAGE);
        sections.push(Section { kind: SHT_PROGBITS, offset: pages_at, size: pages, entry: PAGE, align: PAGE });

        let mut head = Vec::with_capacity(pages_at);
        head.extend_from_slice(bytes_of(&file_header(section_headers, segments, 1 + runs.len())));
        head.resize(section_headers + size_of::<SectionHeader64<LE>>(), 0);
        for (section, name) in sections.iter().zip(name_at) {
            head.extend_from_slice(bytes_of(&section_header(section, name)));
        }
        let segment = |kind, flags, offset: usize, address: u64, physical: u64, size: usize, align: usize| {
            let word = |value: u64| U64::new(LE, value);
            ProgramHeader64::<LE> {
                p_type: U32::new(LE, kind),
                p_flags: U32::new(LE, flags),
                p_offset: word(offset as u64),
                p_vaddr: word(address),
                p_paddr: word(physical),
                p_filesz: word(size as u64),
                p_memsz: word(if kind == PT_LOAD { size as u64 } else { 0 }),
                p_align: word(align as u64),
            }
        };
        head.extend_from_slice(bytes_of(&segment(PT_NOTE, 0, core_notes_at, 0, 0, core_notes.len(), 4)));
        for run in runs {
            let index = run.index as usize;
            let pfn = frames.get(index).map_or(0, |(pfn, _)| *pfn);
            let (offset, size) = (pages_at + index * PAGE, run.frames as usize * PAGE);
            let flags = PF_R | PF_W | PF_X;
            head.extend_from_slice(bytes_of(&segment(PT_LOAD, flags, offset, run.address, pfn << 12, size, PAGE)));
        }
        let parts = [names.as_slice(), &xen_notes, contexts, shared_info, &p2m];
        let offsets = sections.iter().map(|section| section.offset);
        for (offset, part) in std::iter::once((core_notes_at, core_notes.as_slice())).chain(offsets.zip(parts)) {
            head.resize(offset, 0);
            head.extend_from_slice(part);
        }
        head.resize(pages_at, 0);
        Image { head }
    }
}

fn file_header(section_headers: usize, segments: usize, count: usize) -> FileHeader64<LE> {
    let half = |value: usize| U16::new(LE, value as u16);
    FileHeader64 {
        e_ident: Ident {
            magic: ELFMAG,
            class: ELFCLASS64,
            data: ELFDATA2LSB,
            version: EV_CURRENT,
            os_abi: ELFOSABI_SYSV,
            abi_version: 0,
            padding: [0; 7],
        },
        e_type: U16::new(LE, ET_CORE),
        e_machine: U16::new(LE, EM_X86_64),
        e_version: U32::new(LE, EV_CURRENT.into()),
        e_entry: U64::new(LE, 0),
        e_phoff: U64::new(LE, segments as u64),
        e_shoff: U64::new(LE, section_headers as u64),
        e_flags: U32::new(LE, 0),
        e_ehsize: half(size_of::<FileHeader64<LE>>()),
        e_phentsize: half(size_of::<ProgramHeader64<LE>>()),
        e_phnum: half(count),
        e_shentsize: half(size_of::<SectionHeader64<LE>>()),
        e_shnum: half(SECTIONS.len() + 1),
        e_shstrndx: half(1),
    }
}

fn section_header(section: &Section, name: usize) -> SectionHeader64<LE> {
    let word = |value: usize| U64::new(LE, value as u64);
    SectionHeader64 {
        sh_name: U32::new(LE, name as u32),
        sh_type: U32::new(LE, section.kind),
        sh_flags: word(0),
        sh_addr: word(0),
        sh_offset: word(section.offset),
        sh_size: word(section.size),
        sh_link: U32::new(LE, 0),
        sh_info: U32::new(LE, 0),
        sh_addralign: word(section.align),
        sh_entsize: word(section.entry),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::read::elf::{ElfFile64, FileHeader as _, NoteIterator};
    use object::{Object as _, ObjectSection as _, ObjectSegment as _};

    #[test]
    fn the_file_is_read_by_both_its_sections_and_its_segments() {
        let mut context = VcpuGuestContext::new_zeroed();
        context.user_regs.rip = 0xffff_ffff_8100_0000;
        let frames: Vec<(u64, u64)> = vec![(0, 700), (1, 701), (3, 900)];
        let runs = [Run { address: 0xffff_8880_0000_0000, index: 0, frames: 2 }];
        let version = VersionInfo { version: (4, 17), extra: ".7".into(), ..Default::default() };
        let image = Image::new(&[context, context], &[7; PAGE], &frames, &runs, &version);
        let mut file = image.head;
        assert_eq!(file.len() % PAGE, 0);
        for page in 0..3u8 {
            file.extend_from_slice(&[page + 1; PAGE]);
        }

        let elf = ElfFile64::<LE>::parse(&*file).unwrap();
        let section = |name: &str| elf.section_by_name(name).unwrap().data().unwrap();
        assert_eq!(section(".xen_prstatus").len(), 2 * size_of::<VcpuGuestContext>());
        assert_eq!(section(".xen_shared_info"), [7; PAGE]);
        let p2m: Vec<u64> =
            section(".xen_p2m").chunks(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect();
        assert_eq!(p2m, [0, 700, 1, 701, 3, 900]);
        assert_eq!(section(".xen_pages").chunks(PAGE).map(|page| page[0]).collect::<Vec<_>>(), [1, 2, 3]);
        let mut notes = NoteIterator::<FileHeader64<LE>>::new(LE, 4, section(".note.Xen")).unwrap();
        let mut found = Vec::new();
        while let Some(note) = notes.next().unwrap() {
            assert_eq!(note.name(), b"Xen");
            found.push((note.n_type(LE), note.desc().len()));
        }
        assert_eq!(
            found,
            [
                (XEN_ELFNOTE_DUMPCORE_NONE, 0),
                (XEN_ELFNOTE_DUMPCORE_HEADER, 32),
                (XEN_ELFNOTE_DUMPCORE_XEN_VERSION, 1280),
                (XEN_ELFNOTE_DUMPCORE_FORMAT_VERSION, 8)
            ]
        );
        let segment = elf.segments().next().unwrap();
        assert_eq!((segment.address(), segment.size()), (0xffff_8880_0000_0000, 2 * PAGE as u64));
        assert_eq!(segment.data().unwrap()[PAGE], 2);
        let header = elf.elf_header();
        let notes = header.program_headers(LE, &*file).unwrap()[0].p_filesz.get(LE);
        assert_eq!(notes, 2 * (12 + 8 + 336));
    }
}
