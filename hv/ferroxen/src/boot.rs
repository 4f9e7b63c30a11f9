//! From the boot loader to the first vcpu.

use crate::{console, efi, error, heap, info, machine, panic, percpu, switch, warning};
use core::sync::atomic::Ordering;
use ferroxen_core::cpu::CpuId;
use ferroxen_core::options::{Complaint, LogLevel, Options};
use ferroxen_x86::acpi::{self, Tables};
use ferroxen_x86::bootinfo::{BootInfo, E820_RAM, MAX_MODULES, Physical, Range, Screen, leaves_out_names};
use ferroxen_x86::efi::EfiTables;
use ferroxen_x86::paging::{self, direct};
use ferroxen_x86::screen::TEXT_MEMORY;
use ferroxen_x86::serial::Serial;
use ferroxen_x86::{apic, clock, descriptors, entry, fpu, instructions, ioapic, layout};

unsafe extern "C" {
    static image_start: u8;
    static text_end: u8;
    static rodata_end: u8;
    #[link_name = "image_end"]
    static image_end_symbol: u8;
    static boot_stack_guard: u8;
    static syscall_stubs: u8;
}

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

fn image_physical(symbol: *const u8) -> u64 {
    symbol as u64 - layout::IMAGE_BASE
}

/// Physical memory as the boot tables show it: the first 4 GiB, later all RAM.
struct Direct {
    limit: u64,
}
impl Physical for Direct {
    fn bytes(&self, at: u64, len: usize) -> Option<&[u8]> {
        if at.checked_add(len as u64)? > self.limit {
            return None;
        }
        // SAFETY: mapped by the boot tables; nobody writes there while booting.
        Some(unsafe { core::slice::from_raw_parts(direct::<u8>(at), len) })
    }
}

fn c_string(memory: &Direct, at: u64) -> &str {
    if at == 0 {
        return "";
    }
    let len = (0..4096).find(|&i| memory.bytes(at + i, 1).is_none_or(|b| b[0] == 0)).unwrap_or(4096);
    core::str::from_utf8(memory.bytes(at, len as usize).unwrap_or(&[])).unwrap_or("")
}

/// Keeps a string over the moment when the boot loader's memory is given away.
pub struct Text {
    bytes: [u8; 2048],
    len: usize,
}
impl Text {
    fn new(text: &str) -> Text {
        let mut this = Text { bytes: [0; 2048], len: text.len().min(2047) };
        this.bytes[..this.len].copy_from_slice(&text.as_bytes()[..this.len]);
        this
    }
    /// Adds words behind it.
    fn append(&mut self, words: &str) {
        for part in ([" ", words]).into_iter().filter(|_| !words.is_empty()) {
            let len = part.len().min(self.bytes.len() - 1 - self.len);
            self.bytes[self.len..self.len + len].copy_from_slice(&part.as_bytes()[..len]);
            self.len += len;
        }
    }
    /// The string.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or("")
    }
}

/// Hands out physical memory from one free range, from its end downwards, zeroed.
pub struct Early {
    /// What is left.
    pub range: Range,
    /// Where it ended at first.
    pub limit: u64,
}
impl Early {
    /// So many bytes, aligned, zeroed, by physical address.
    pub fn take(&mut self, bytes: u64, align: u64) -> u64 {
        let start = (self.range.end - bytes) & !(align - 1);
        assert!(
            start >= self.range.start,
            "not enough memory below 4 GiB to start ({bytes} bytes wanted); give the machine more memory"
        );
        self.range.end = start;
        // SAFETY: free RAM of the direct map.
        unsafe { core::ptr::write_bytes(direct::<u8>(start), 0, bytes as usize) };
        start
    }
    /// One page.
    pub fn page(&mut self) -> u64 {
        self.take(4096, 4096)
    }
}

/// A command line without the name of its file, where the loader puts one in front.
fn without_name(line: &str, has_name: bool) -> &str {
    let line = line.trim_start();
    if has_name { line.split_once(' ').map_or("", |(_, rest)| rest) } else { line }
}

/// Our options, and what stands behind ` -- `: for dom0's kernel.
fn split_line(line: &str) -> (&str, &str) {
    match line.split_once(" -- ") {
        Some(both) => both,
        None => (line.strip_suffix(" --").unwrap_or(line), ""),
    }
}

/// What a BIOS leaves when the loader says nothing: VGA text. With UEFI there is none.
fn text_screen(boot: &BootInfo) -> Option<Screen> {
    boot.efi.is_none().then_some(Screen::Text { columns: 80, rows: 25 })
}

/// Writes to the screen as the boot tables map it, if they do.
fn early_screen(screen: Screen) -> bool {
    let at = match screen {
        Screen::Text { .. } => TEXT_MEMORY,
        Screen::Pixels(fb) if fb.base + fb.bytes() <= 4 * GIB => fb.base,
        Screen::Pixels(_) => return false,
    };
    // SAFETY: below 4 GiB; the loader says that a screen is there.
    unsafe { console::start_screen(screen, direct::<u8>(at) as u64) }
}

/// Maps the screen in the final tables; gives the linear address.
fn map_screen(screen: Option<Screen>, early: &mut Early) -> u64 {
    match screen {
        Some(Screen::Pixels(fb)) => {
            let flags = paging::P | paging::W | paging::WRITE_COMBINING | paging::GLOBAL | paging::NX;
            let offset = fb.base & 0xfff;
            paging::map(layout::SCREEN_START, fb.base - offset, fb.bytes() + offset, flags, 4096, &mut || early.page());
            layout::SCREEN_START + offset
        }
        // In the first MiB, which the direct map has.
        _ => direct::<u8>(TEXT_MEMORY) as u64,
    }
}

/// The first Rust code, on the boot stack.
#[unsafe(no_mangle)]
extern "C" fn boot_main(magic: u32, info: u32) -> ! {
    let memory = Direct { limit: 4 * GIB };
    // Something to complain on, before the command line says where.
    console::configure(Serial::init(0x3f8, 115_200), (LogLevel::Info, LogLevel::Info));
    let boot = match BootInfo::parse(&memory, magic, info.into()) {
        Ok(boot) => boot,
        Err(why) => stop(format_args!("{why}")),
    };
    let line = Text::new(c_string(&memory, boot.cmdline));
    let names = boot.protocol != "PVH" && !leaves_out_names(c_string(&memory, boot.loader));
    let (words, for_dom0) = split_line(without_name(line.as_str(), names));
    let options = Options::parse(words, |_| {});
    let serial = (options.com1_baud != 0).then(|| Serial::init(0x3f8, options.com1_baud)).flatten();
    let screen = boot.screen.or_else(|| text_screen(&boot));
    let drawn = options.console_vga && screen.is_some_and(early_screen);
    // Words that nobody can read help nobody: without a screen, a port that was set up is the console.
    console::configure(serial.filter(|_| options.console_com1 || !drawn), options.loglvl);
    panic::NOREBOOT.store(options.noreboot, Ordering::Relaxed);
    banner(&boot, words);
    Options::parse(words, |complaint| {
        // How much memory dom0 gets is nothing to guess.
        if let Complaint::BadValue(word) = complaint
            && word.starts_with("dom0_mem=")
        {
            stop(format_args!("command line: \"{word}\" is no amount of memory, as in dom0_mem=1G,max:2G"));
        }
        warning!("{complaint}");
    });

    if options.iommu_required {
        stop(format_args!("command line: an IOMMU is required, and this version drives none"));
    }
    let own_line = Text::new(words);
    check_cpu();
    let module_count = boot.modules().len();
    if module_count == 0 {
        stop(format_args!("no dom0 kernel: the boot loader must pass it as the first module"));
    }
    let module_line = c_string(&memory, boot.modules()[0].cmdline);
    let mut dom0_line = Text::new(without_name(module_line, names));
    dom0_line.append(for_dom0);

    let range = largest_gap(&boot);
    let mut early = Early { range, limit: range.end };
    let ram_end = boot.memory_map().iter().filter(|e| e.kind == E820_RAM).map(|e| e.start + e.len).max().unwrap_or(0);
    let ram_end = ram_end.min(layout::DIRECT_MAP_BYTES);
    build_tables(&boot, &mut early, ram_end);
    let uefi = boot.efi.as_ref().and_then(|efi| EfiTables::parse(&memory, efi));
    let screen_at = map_screen(screen, &mut early);
    // SAFETY: the final tables map the image, with the stack that we are on, and all memory that is looked at.
    unsafe { instructions::write_cr3(paging::root()) };
    // SAFETY: just mapped.
    unsafe { console::move_screen(screen_at) };
    if let Some(tables) = uefi {
        efi::init(tables, &mut early);
    }
    // SAFETY: 8 MiB of free RAM.
    unsafe { heap::init(direct::<u8>(early.take(8 * MIB, 4096)), (8 * MIB) as usize) };

    let memory = Direct { limit: ram_end.max(4 * GIB) };
    let rsdp = boot.rsdp.or_else(|| acpi::find_rsdp(&memory));
    let tables = rsdp.and_then(|at| Tables::parse(&memory, at)).unwrap_or_default();
    if tables.cpu_count == 0 {
        warning!("ACPI: no MADT; one CPU, no IO-APIC");
    }

    // Device registers.
    let mut mmio = layout::MMIO_START;
    let mut map_device = |physical: u64, len: u64| {
        let at = mmio;
        let flags = paging::P | paging::W | paging::UNCACHED | paging::GLOBAL | paging::NX;
        paging::map(at, physical & !0xfff, len, flags, 4096, &mut || early.page());
        mmio += len.next_multiple_of(4096) + 4096;
        at + (physical & 0xfff)
    };
    let lapic = map_device(tables.lapic, 4096);
    let ioapics = alloc::vec::Vec::from_iter(tables.ioapics[..tables.ioapic_count].iter().map(|io| {
        let mapped = map_device(io.address.into(), 4096);
        // SAFETY: the MADT says that an IO-APIC is there.
        unsafe { ioapic::IoApic::new(mapped, io.address.into(), io.gsi_base) }
    }));
    // A page that is mapped to other devices' registers for the length of an access.
    paging::reserve(mmio, 4096, &mut || early.page());
    crate::devices::set_window(mmio);
    let x2apic = apic::choose(lapic, options.x2apic);

    // This CPU's own area, then its descriptors.
    let cpus = tables.cpu_count.clamp(1, 256).min(options.maxcpus as usize);
    let areas: alloc::vec::Vec<_> = (0..cpus).map(|n| make_cpu_area(CpuId(n as u16), &mut early)).collect();
    // SAFETY: alone, before CR4.SMAP, while the text can be written.
    unsafe {
        if options.smap && instructions::cpuid(7, 0)[1] & 1 << 20 != 0 {
            entry::patch_smap(|at| direct::<u8>(at - layout::IMAGE_BASE));
        }
        if options.tbuf_size != 0 {
            entry::patch_trace_points(|at| direct::<u8>(at - layout::IMAGE_BASE));
        }
        descriptors::build_idt();
    }
    protect_image();
    guard_boot_stack();
    instructions::flush_tlb_all();
    setup_cpu(CpuId(0), &options);
    disable_legacy_pic();
    apic::init();
    let calibration = clock::calibrate(tables.pm_timer);
    info!(
        "CPU {}.{:03} MHz, local APIC ({}) timer {}.{:03} MHz",
        calibration.tsc_hz / 1_000_000,
        calibration.tsc_hz / 1000 % 1000,
        if x2apic { "x2APIC" } else { "xAPIC" },
        calibration.apic_hz / 1_000_000,
        calibration.apic_hz / 1000 % 1000
    );
    percpu::set_up();

    let plan = machine::Plan {
        boot,
        options,
        tables,
        ioapics,
        calibration,
        ram_end,
        early,
        line: own_line,
        dom0_line,
        screen,
        areas,
        serial,
    };
    machine::start(plan)
}

/// Prints one line and stops.
pub fn stop(why: core::fmt::Arguments<'_>) -> ! {
    error!("{why}");
    error!("Ferroxen cannot start; the machine is halted.");
    instructions::halt()
}

fn banner(boot: &BootInfo, line: &str) {
    info!("Ferroxen {} (Xen 4.17 ABI)", env!("CARGO_PKG_VERSION"));
    info!("Command line: {line}");
    info!("Booted by {}, {} module(s)", boot.protocol, boot.modules().len());
    for entry in boot.memory_map() {
        let kind = match entry.kind {
            1 => "usable",
            3 => "ACPI data",
            4 => "ACPI NVS",
            5 => "unusable",
            _ => "reserved",
        };
        info!(" [{:016x}, {:016x}] {kind}", entry.start, entry.start + entry.len - 1);
    }
}

fn check_cpu() {
    let ext = instructions::cpuid(0x8000_0001, 0);
    let missing = if ext[3] & 1 << 11 == 0 {
        Some("SYSCALL")
    } else if instructions::cpuid(1, 0)[3] & 1 << 24 == 0 {
        Some("FXSR")
    } else if instructions::cpuid(1, 0)[3] & 1 << 9 == 0 {
        Some("local APIC")
    } else {
        None
    };
    if let Some(feature) = missing {
        stop(format_args!("this CPU has no {feature}, which the hypervisor needs"));
    }
    if ext[3] & 1 << 20 == 0 {
        warning!("this CPU has no NX; guests' data stays executable");
        paging::without_nx();
    }
}

/// The largest RAM range below 4 GiB that holds neither image, modules nor the first MiB.
fn largest_gap(boot: &BootInfo) -> Range {
    let mut taken = alloc_free_list(boot);
    taken.sort_unstable_by_key(|r| r.start);
    let mut best = Range::default();
    for entry in boot.memory_map().iter().filter(|e| e.kind == E820_RAM && e.start < 4 * GIB) {
        let end = (entry.start + entry.len).min(4 * GIB) & !0xfff;
        let mut at = entry.start.max(MIB).next_multiple_of(4096);
        for used in &taken {
            if used.end <= at || used.start >= end {
                continue;
            }
            if used.start > at && used.start - at > best.end - best.start {
                best = Range { start: at, end: used.start & !0xfff };
            }
            at = at.max(used.end.next_multiple_of(4096));
        }
        if end > at && end - at > best.end - best.start {
            best = Range { start: at, end };
        }
    }
    best
}

fn alloc_free_list(boot: &BootInfo) -> [Range; MAX_MODULES + 2] {
    let mut taken = [Range::default(); MAX_MODULES + 2];
    taken[0] =
        Range { start: image_physical(&raw const image_start), end: image_physical(&raw const image_end_symbol) };
    taken[1] = boot.structure;
    for (slot, module) in taken[2..].iter_mut().zip(boot.modules()) {
        *slot = module.range;
    }
    taken
}

/// Direct map, image and machine-to-physical table in the final root.
fn build_tables(boot: &BootInfo, early: &mut Early, ram_end: u64) {
    let mut take = || early.page();
    paging::create_root(&mut take);
    let data = paging::P | paging::W | paging::GLOBAL | paging::NX;
    let largest = if instructions::cpuid(0x8000_0001, 0)[3] & 1 << 26 != 0 { GIB } else { 2 * MIB };
    // All that E820 names below `ram_end`, by whole 2 MiB, merged so that no page is mapped twice; device memory inside
    // the rounding stays uncached by its MTRRs.
    let mut done = 0;
    for entry in boot.memory_map() {
        if entry.start >= ram_end.max(4 * GIB) || (entry.kind == 2 && entry.len > 64 * MIB) {
            continue;
        }
        let start = (entry.start & !(2 * MIB - 1)).max(done);
        let end = (entry.start + entry.len).min(ram_end.max(4 * GIB)).next_multiple_of(2 * MIB);
        if end > start {
            // The image's pages get their own rights, so they are small.
            let image = layout::IMAGE_PHYSICAL..image_end().next_multiple_of(2 * MIB);
            for (from, to, largest) in
                [(start, image.start, largest), (image.start, image.end, 4096), (image.end, end, largest)]
            {
                let (from, to) = (from.max(start), to.min(end));
                if from < to {
                    paging::map(layout::DIRECT_MAP + from, from, to - from, data, largest, &mut take);
                }
            }
            done = end;
        }
    }
    let start = image_physical(&raw const image_start);
    let len = image_physical(&raw const image_end_symbol) - start;
    paging::map(layout::IMAGE_BASE + start, start, len, paging::P | paging::W | paging::GLOBAL, 4096, &mut take);
}

/// Text read-only, constants read-only and not executable, data not executable.
fn protect_image() {
    let start = image_physical(&raw const image_start);
    let text = image_physical(&raw const text_end);
    let rodata = image_physical(&raw const rodata_end);
    let end = image_physical(&raw const image_end_symbol);
    for at in (start..end).step_by(4096) {
        let flags = match at {
            at if at < text => paging::P | paging::GLOBAL,
            at if at < rodata => paging::P | paging::GLOBAL | paging::NX,
            _ => paging::P | paging::W | paging::GLOBAL | paging::NX,
        };
        paging::set(layout::IMAGE_BASE + at, at | flags);
        if at < rodata {
            paging::set(layout::DIRECT_MAP + at, at | paging::P | paging::GLOBAL | paging::NX);
        }
    }
}

/// Below the boot stack is nothing.
fn guard_boot_stack() {
    paging::set((&raw const boot_stack_guard) as u64, 0);
}

/// A CPU's descriptor pages and stacks; gives its stack top.
fn make_cpu_area(cpu: CpuId, early: &mut Early) -> machine::CpuArea {
    let area = layout::cpu_area(cpu.0);
    let data = paging::P | paging::W | paging::GLOBAL | paging::NX;
    paging::reserve(area, layout::AREA_STACK + layout::STACK_BYTES, &mut || early.page());
    if switch::ZERO_PAGE.load(Ordering::Relaxed) == 0 {
        switch::ZERO_PAGE.store(early.page(), Ordering::Relaxed);
    }
    let gdt_page = early.page();
    let tss_page = early.page();
    paging::set(area + layout::AREA_GDT + 14 * 4096, gdt_page | data);
    paging::set(area + layout::AREA_GDT + 15 * 4096, tss_page | data);
    let stack = area + layout::AREA_STACK;
    for offset in (0..layout::STACK_BYTES).step_by(4096) {
        let page = early.page();
        if !descriptors::ist::GUARDS.contains(&offset) {
            paging::set(stack + offset, page | data);
        }
    }
    let top = entry::top_of(stack);
    // SAFETY: fresh pages of this CPU; the TSS lies in the last reserved page of its GDT area.
    unsafe {
        let rsp0 = &raw const (*top).pv as u64;
        descriptors::fill(direct(gdt_page), direct(tss_page), area + layout::AREA_GDT + 15 * 4096, stack, rsp0);
    }
    let stub_linear = (&raw const syscall_stubs) as u64 + u64::from(cpu.0) * 64;
    // SAFETY: inside the image's stub pages, written through the direct map.
    unsafe { entry::write_syscall_stubs(direct(stub_linear - layout::IMAGE_BASE), stub_linear, top) };
    machine::CpuArea { top, gdt_page: direct(gdt_page) }
}

/// Control registers, system-call MSRs and descriptors of the running CPU.
pub fn setup_cpu(cpu: CpuId, options: &Options) {
    // SAFETY: the area was made; the registers exist on every CPU that passed `check_cpu`.
    unsafe {
        descriptors::load(cpu.0);
        let features = instructions::cpuid(7, 0);
        let mut cr4 = instructions::read_cr4() | 1 << 7; // PGE
        if options.smap {
            if features[1] & 1 << 7 != 0 {
                cr4 |= 1 << 20; // SMEP
            }
            if features[1] & 1 << 20 != 0 {
                cr4 |= 1 << 21; // SMAP
            }
        }
        if features[2] & 1 << 2 != 0 {
            cr4 |= 1 << 11; // UMIP
        }
        if options.tsc_skew != 0 {
            cr4 |= 1 << 2; // TSD: guests' RDTSC is emulated, with the CPU's skew
        }
        instructions::write_cr4(cr4);
        if instructions::cpuid(1, 0)[3] & 1 << 16 != 0 {
            // What guests are told: their entries mean what they think.
            instructions::wrmsr(0x277, ferroxen_core::cpupolicy::XEN_PAT);
        }
        fpu::init();
        let stub = (&raw const syscall_stubs) as u64 + u64::from(cpu.0) * 64;
        instructions::wrmsr(
            0xc000_0081,
            u64::from(descriptors::RING3_CS32) << 48 | u64::from(descriptors::HV_CS) << 32,
        );
        instructions::wrmsr(0xc000_0082, stub); // LSTAR
        instructions::wrmsr(0xc000_0083, stub + entry::SYSCALL32_STUB); // CSTAR
        let base = entry::top_of(layout::cpu_area(cpu.0) + layout::AREA_STACK) as u64;
        instructions::wrmsr(0x174, u64::from(descriptors::HV_CS)); // SYSENTER_CS
        instructions::wrmsr(0x175, base); // SYSENTER_ESP
        instructions::wrmsr(0x176, entry::sysenter_address()); // SYSENTER_EIP
        instructions::wrmsr(0xc000_0084, 0x4_7700); // FMASK: AC NT DF IF TF IOPL
    }
}

fn disable_legacy_pic() {
    // SAFETY: the two 8259s: all lines masked, vectors moved out of the way of exceptions.
    unsafe {
        for (port, value) in [
            (0x20u16, 0x11u8),
            (0xa0, 0x11),
            (0x21, 0x20),
            (0xa1, 0x28),
            (0x21, 4),
            (0xa1, 2),
            (0x21, 1),
            (0xa1, 1),
            (0x21, 0xff),
            (0xa1, 0xff),
        ] {
            instructions::outb(port, value);
        }
    }
}

/// Physical address behind the image.
pub fn image_end() -> u64 {
    image_physical(&raw const image_end_symbol)
}
