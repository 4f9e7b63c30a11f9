//! Builds dom0 from the first module and starts its vcpu 0.

use crate::boot::stop;
use crate::machine::{self, Domain, Plan, hv};
use crate::{console, info, irq, percpu, warning};
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use ferroxen_core::Platform;
use ferroxen_core::addr::{Maddr, Mfn};
use ferroxen_core::domain::DomId;
use ferroxen_core::grant::Limits;
use ferroxen_core::memory::Request;
use ferroxen_core::paging;
use ferroxen_core::pv::{self, Regs};
use ferroxen_core::sched::{INITIALISED, UP};
use ferroxen_loader::build::{DomainLayout, LayoutError, hypercall_page};
use ferroxen_loader::{ElfKernel, KernelImage};
use ferroxen_sync::Shared;
use ferroxen_x86::bootinfo::{Range, Screen};
use ferroxen_x86::paging::direct;
use xen_abi::member;
use xen_abi::xen::*;
use zerocopy::{FromZeros, IntoBytes};

const PAGE: u64 = 4096;
/// Entry bits of the initial tables: present, writable, user, accessed, dirty.
const L1: u64 = 0x67;
/// The same for a page that must not be writable.
const L1_RO: u64 = 0x65;
/// An upper table's entry.
const TABLE: u64 = 0x67;
/// Flags of the first frames that a guest gets: memory of this order is asked for.
const CHUNK_ORDER: u32 = 9;

fn module_bytes(range: Range) -> &'static [u8] {
    // SAFETY: the boot loader's module, in RAM that nobody was given.
    unsafe { core::slice::from_raw_parts(direct::<u8>(range.start), (range.end - range.start) as usize) }
}

/// Builds dom0; stops with one clear line if that cannot be.
pub fn build(plan: &Plan) {
    let modules = plan.boot.modules();
    let image = module_bytes(modules[0].range);
    let initrd = modules.get(1).map(|module| module.range);
    let image = KernelImage::parse(image).unwrap_or_else(|why| stop(format_args!("dom0 kernel: {why}")));
    let unpacked;
    let elf = match image.borrowed() {
        Some(elf) => elf,
        None => {
            let len = image.payload_len();
            let order = (len as u64).div_ceil(PAGE).next_power_of_two().trailing_zeros();
            let request = Request { order, overwritten: true, ..Request::default() };
            let Some(at) = hv().alloc_frames(percpu::this(), request) else {
                stop(format_args!("dom0 kernel: no memory to unpack {} MiB", len >> 20))
            };
            // SAFETY: frames of ours, in the direct map.
            let out = unsafe { core::slice::from_raw_parts_mut(direct::<u8>(at.maddr().0), len) };
            let len = image.decompress_into(out).unwrap_or_else(|why| stop(format_args!("dom0 kernel: {why}")));
            unpacked = Some((at, order));
            let result = &out[..len];
            build_from(plan, result, initrd);
            if let Some((at, order)) = unpacked {
                hv().free_frames(at, order, false);
            }
            machine::release_module(modules[0].range);
            return;
        }
    };
    build_from(plan, elf, initrd);
    machine::release_module(modules[0].range);
}

fn wanted_frames(plan: &Plan) -> u64 {
    let stats = hv().heap.stats();
    let (free, total) = (stats.free * PAGE, stats.total * PAGE);
    let mem = plan.options.dom0_mem;
    // Without a word of the administrator: all but a sixteenth, at most 128 MiB, as Xen.
    let reserve = (total / 16).min(128 << 20);
    let wanted = mem.amount.map_or(free.saturating_sub(reserve), |amount| amount.of(total));
    let min = mem.min.map_or(0, |amount| amount.of(total));
    let max = mem.max.map_or(u64::MAX, |amount| amount.of(total));
    let bytes = wanted.max(min).min(max);
    if bytes > free {
        stop(format_args!(
            "dom0_mem: {} MiB wanted, {} MiB free; give dom0 less or the machine more",
            bytes >> 20,
            free >> 20
        ));
    }
    bytes / PAGE
}

fn build_from(plan: &Plan, elf: &[u8], initrd: Option<Range>) {
    let kernel = ElfKernel::parse(elf).unwrap_or_else(|why| stop(format_args!("dom0 kernel: {why}")));
    let target = kernel.pv().unwrap_or_else(|why| stop(format_args!("dom0 kernel: {why}")));
    let notes = kernel.notes().unwrap_or_else(|why| stop(format_args!("dom0 kernel: {why}")));
    let frames = wanted_frames(plan);
    let initrd_bytes = initrd.map_or(0, |range| range.end - range.start);
    let layout = match DomainLayout::new(&target, notes.mod_start_pfn, frames, initrd_bytes) {
        Ok(layout) => layout,
        Err(LayoutError::NoRoom) => stop(format_args!("dom0 kernel: its addresses leave no room behind it")),
        Err(LayoutError::TooSmall(least)) => stop(format_args!(
            "dom0_mem: kernel and initrd need at least {} MiB, dom0 has {} MiB",
            least.div_ceil(256),
            frames / 256
        )),
    };

    let online = hv().platform.online().iter().count() as u32;
    let (min, max) = plan.options.dom0_max_vcpus;
    let vcpus = online.clamp(min, max.max(min)).min(128);
    let Ok(domain) = Domain::try_new(DomId(0), vcpus, true) else {
        stop(format_args!("no memory for dom0's own state"))
    };
    let limit = plan.options.dom0_mem.max.map_or(u64::MAX, |amount| (amount.of(u64::MAX) / PAGE).max(frames));
    domain.pages.max.store(limit.min(i64::MAX as u64), Ordering::Relaxed);
    domain.grants.set_limits(Limits {
        frames: plan.options.gnttab_max_frames,
        maptrack: plan.options.gnttab_max_maptrack_frames,
        ..Limits::default()
    });
    let pirqs = (irq::gsi_count() + 256).max(256);
    if domain.events.set_pirqs(pirqs).is_err() || domain.devices.init(pirqs, true).is_err() {
        stop(format_args!("no memory for dom0's interrupts"));
    }
    let Ok(domain) = Shared::try_new(domain) else { stop(format_args!("no memory for dom0's own state")) };

    let p2m = populate(&domain, frames);
    // The initial mapping is zero where nothing is put, and so are the tails of what lies outside it.
    let tails = [layout.p2m_pfn.end, layout.initrd_pfn.end].map(|end| end.saturating_sub(1));
    for pfn in (0..layout.pfn(layout.mapped.end)).chain(tails) {
        if let Some(mfn) = p2m.get(pfn as usize) {
            // SAFETY: a frame of the domain, before it runs.
            unsafe { core::ptr::write_bytes(direct::<u8>(mfn << 12), 0, PAGE as usize) };
        }
    }
    let put = |pfn: u64, offset: u64, bytes: &[u8]| copy_to_frames(&p2m, pfn * PAGE + offset, bytes);

    // Kernel.
    for segment in kernel.segments() {
        let start = target.phys_of(segment);
        put(start / PAGE, start % PAGE, segment.data);
    }
    if let Some(page) = target.hypercall_page {
        put(layout.pfn(page), 0, &hypercall_page());
    }
    // Initrd, then the list of frames.
    if let Some(range) = initrd {
        put(layout.initrd_pfn.start, 0, module_bytes(range));
    }
    put(layout.p2m_pfn.start, 0, p2m.as_bytes());

    let shared_info = new_shared_info(&domain);
    build_tables(&layout, &p2m);
    let info = start_info(plan, &layout, frames, shared_info, initrd_bytes);
    put(layout.pfn(layout.start_info), 0, info.as_bytes());
    if let Some(screen) = plan.screen {
        put(
            layout.pfn(layout.start_info),
            size_of::<StartInfo>() as u64,
            vga_info(screen, plan.boot.efi.is_some()).as_bytes(),
        );
    }
    for (pfn, &mfn) in p2m.iter().enumerate() {
        hv().platform.set_m2p(Mfn(mfn), pfn as u64);
    }

    if hv().domains.insert(domain.clone()).is_err() {
        stop(format_args!("no memory for the table of domains"));
    }
    for id in 0..vcpus {
        create_vcpu(&domain, id, shared_info);
    }
    machine::write_wall_clock(&domain);
    let root = Mfn(p2m[layout.pfn(layout.tables) as usize]);
    let root = paging::pin_root_at_boot(hv(), percpu::this(), &domain, root)
        .unwrap_or_else(|why| stop(format_args!("dom0's first page tables are refused: {why:?}")));
    start_vcpu(&domain, &layout, target.entry, root);
    info!(
        "dom0: {} MiB, {vcpus} vcpus, entry {:#x}, start info {:#x}, {} page tables",
        frames >> 8,
        target.entry,
        layout.start_info,
        layout.table_count
    );
    if let Some(range) = initrd {
        machine::release_module(range);
    }
}

/// Gives the domain its memory; gives machine frame by pseudo-physical frame. What is in it is what the machine's
/// firmware and loader left: nobody else ran before, and the domain that controls the machine may see that. So a start
/// does not touch all memory.
fn populate(domain: &Domain, frames: u64) -> Vec<u64> {
    let mut p2m = Vec::new();
    if p2m.try_reserve_exact(frames as usize).is_err() {
        stop(format_args!("no memory for dom0's frame list"));
    }
    while (p2m.len() as u64) < frames {
        let left = frames - p2m.len() as u64;
        let mut order = CHUNK_ORDER.min(left.ilog2());
        let mfn = loop {
            match hv().alloc_for(percpu::this(), domain, order, 0, true) {
                Ok(mfn) => break mfn,
                Err(_) if order > 0 => order -= 1,
                Err(why) => stop(format_args!("dom0: memory ran out after {} MiB ({why:?})", p2m.len() >> 8)),
            }
        };
        p2m.extend((0..1u64 << order).map(|n| mfn.0 + n));
    }
    p2m
}

/// Copies to a pseudo-physical address.
fn copy_to_frames(p2m: &[u64], start: u64, bytes: &[u8]) {
    let (mut at, mut bytes) = (start, bytes);
    while !bytes.is_empty() {
        let offset = at % PAGE;
        let len = bytes.len().min((PAGE - offset) as usize);
        let to = direct::<u8>((p2m[(at / PAGE) as usize] << 12) + offset);
        // SAFETY: the domain's own frame, before it runs; `len` stays inside it.
        unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), to, len) };
        at += len as u64;
        bytes = &bytes[len..];
    }
}

fn new_shared_info(domain: &Domain) -> Mfn {
    let Some(mfn) = hv().alloc_frames(percpu::this(), Request { max_address_bits: 32, ..Request::default() }) else {
        stop(format_args!("no memory for dom0's shared info"))
    };
    if hv().frames.share(mfn, domain.id, true).is_err() {
        stop(format_args!("dom0's shared info cannot be shared"));
    }
    domain.shared_info.store(mfn.0, Ordering::Release);
    mfn
}

/// Writes the first page tables into their frames.
fn build_tables(layout: &DomainLayout, p2m: &[u64]) {
    let first = layout.pfn(layout.tables);
    let mut used = 1;
    let root = p2m[first as usize];
    let mut map = |va: u64, pfn: u64| {
        let mut table = root;
        for level in [4u32, 3, 2] {
            let index = (va >> (12 + 9 * (level - 1))) & 511;
            // SAFETY: a table's frame, before the domain runs.
            let entry = unsafe { &mut *direct::<u64>((table << 12) + index * 8) };
            if *entry == 0 {
                assert!(used < layout.table_count, "the layout counted too few tables");
                *entry = p2m[(first + used) as usize] << 12 | TABLE;
                used += 1;
            }
            table = *entry >> 12 & 0xff_ffff_ffff;
        }
        let flags = if layout.is_table(pfn) { L1_RO } else { L1 };
        let index = va >> 12 & 511;
        // SAFETY: as above.
        unsafe { *direct::<u64>((table << 12) + index * 8) = p2m[pfn as usize] << 12 | flags };
    };
    for va in (layout.mapped.start..layout.mapped.end).step_by(PAGE as usize) {
        map(va, layout.pfn(va));
    }
    if layout.p2m_apart {
        for (n, pfn) in (layout.p2m_pfn.start..layout.p2m_pfn.end).enumerate() {
            map(layout.p2m + n as u64 * PAGE, pfn);
        }
    }
}

fn start_info(plan: &Plan, layout: &DomainLayout, frames: u64, shared_info: Mfn, initrd_bytes: u64) -> StartInfo {
    let mut info = StartInfo::new_zeroed();
    let magic = b"xen-3.0-x86_64";
    info.magic[..magic.len()].copy_from_slice(magic);
    info.nr_pages = frames;
    info.shared_info = shared_info.maddr().0;
    info.flags = SIF_PRIVILEGED | SIF_INITDOMAIN;
    info.pt_base = layout.tables;
    info.nr_pt_frames = layout.table_count;
    info.mfn_list = layout.p2m;
    if layout.p2m_apart {
        info.first_p2m_pfn = layout.p2m_pfn.start;
        info.nr_p2m_frames = layout.p2m_pfn.len();
    }
    if initrd_bytes != 0 {
        info.mod_len = initrd_bytes;
        if layout.initrd_mapped {
            info.mod_start = layout.virt_base + layout.initrd_pfn.start * PAGE;
        } else {
            info.mod_start = layout.initrd_pfn.start;
            info.flags |= SIF_MOD_START_PFN;
        }
    }
    if plan.screen.is_some() {
        let at = StartInfoConsoleDom0 {
            info_off: size_of::<StartInfo>() as u32,
            info_size: size_of::<Dom0VgaConsoleInfo>() as u32,
        };
        member::put(&mut info.console, &at);
    }
    let line = plan.dom0_line.as_str();
    let len = line.len().min(info.cmd_line.len() - 1);
    if len < line.len() {
        warning!("dom0's command line is cut to {len} bytes");
    }
    info.cmd_line[..len].copy_from_slice(&line.as_bytes()[..len]);
    info
}

/// How the screen is, for dom0 to take it over.
fn vga_info(screen: Screen, efi: bool) -> Dom0VgaConsoleInfo {
    let mut info = Dom0VgaConsoleInfo::new_zeroed();
    match screen {
        Screen::Text { columns, rows } => {
            let (cursor_x, cursor_y) = console::cursor();
            info.video_type = XEN_VGATYPE_TEXT_MODE_3;
            let text = Dom0VgaConsoleInfoTextMode3 { font_height: 16, cursor_x, cursor_y, rows, columns };
            member::put(&mut info.u, &text);
        }
        Screen::Pixels(fb) => {
            info.video_type = if efi { XEN_VGATYPE_EFI_LFB } else { XEN_VGATYPE_VESA_LFB };
            let [red, green, blue] = fb.colours;
            let used = red.1 + green.1 + blue.1;
            let lfb = Dom0VgaConsoleInfoVesaLfb {
                width: fb.width as u16,
                height: fb.height as u16,
                bytes_per_line: fb.pitch as u16,
                bits_per_pixel: fb.depth.into(),
                lfb_base: fb.base as u32,
                lfb_size: fb.bytes().div_ceil(0x1_0000) as u32,
                red_pos: red.0,
                red_size: red.1,
                green_pos: green.0,
                green_size: green.1,
                blue_pos: blue.0,
                blue_size: blue.1,
                rsvd_pos: used.min(31),
                rsvd_size: fb.depth.saturating_sub(used),
                ext_lfb_base: (fb.base >> 32) as u32,
                ..Dom0VgaConsoleInfoVesaLfb::default()
            };
            member::put(&mut info.u, &lfb);
        }
    }
    info
}

fn create_vcpu(domain: &Shared<Domain>, id: u32, shared_info: Mfn) {
    let Ok(vcpu) = domain.create_vcpu(id) else { stop(format_args!("no memory for dom0's vcpu {id}")) };
    let reserved = hv().reserve_vcpu();
    if reserved.is_err() {
        stop(format_args!("no memory for dom0's vcpu {id}"));
    }
    // struct shared_info has room for 32; the others must register their own before they start.
    if id < 32 {
        let info = Maddr(shared_info.maddr().0 + u64::from(id) * size_of::<VcpuInfo>() as u64);
        vcpu.set_info(info);
        hv().platform.page(shared_info).store_u8(info.offset() + 1, 1);
    }
}

fn start_vcpu(domain: &Domain, layout: &DomainLayout, entry: u64, root: Maddr) {
    let Some(vcpu) = domain.vcpu(0) else { return };
    {
        let mut saved = vcpu.saved.lock();
        saved.pv.flags = pv::IN_KERNEL;
        saved.pv.kernel_root = root;
        saved.pv.kernel_sp = layout.stack_end;
        saved.pv.kernel_ss = 0xe02b;
        saved.pv.debug = [0, 0, 0, 0, 0xffff_0ff0, 0x400];
        saved.regs = Regs {
            rip: entry,
            cs: 0xe033,
            ss: 0xe02b,
            rsp: layout.stack_end,
            rsi: layout.start_info,
            rflags: 0x202,
            ..Regs::default()
        };
    }
    vcpu.sched.set(INITIALISED | UP);
    hv().enqueue(vcpu);
}
