//! A PV domain, step by step.

use crate::Error;
use crate::image::Kernel;
use crate::tables::tables;
use ferroxen_loader::ElfKernel;
use ferroxen_loader::build::DomainLayout;
use std::path::Path;
use xen_abi::arch_x86::{VGCF_in_kernel, VGCF_online, VcpuGuestContext, XEN_LEGACY_MAX_VCPUS};
use xen_abi::grant_table::{GNTTAB_RESERVED_CONSOLE, GNTTAB_RESERVED_XENSTORE};
use xen_abi::xen::{SIF_MOD_START_PFN, SIF_VIRT_P2M_4TOOLS, StartInfo, StartInfoConsoleDomU, VcpuInfo};
use xenctl::{Hypercalls, RingMemory as _, Xen};
use zerocopy::{FromZeros as _, IntoBytes as _};

const PAGE: u64 = 4096;
/// Frames that are asked for together: 2 MiB.
const CHUNK_ORDER: u32 = 9;
/// Frames that are mapped at once: 16 MiB.
const MAP_AT_ONCE: u64 = 4096;
/// Flat segments of a 64-bit PV kernel (arch-x86/xen-x86_64.h).
const KERNEL_CS: u16 = 0xe033;
const KERNEL_SS: u16 = 0xe02b;

/// What is built.
#[derive(Clone, Copy, Debug)]
pub struct Spec<'a> {
    /// The file that the kernel came from, for messages.
    pub kernel_path: &'a Path,
    /// The kernel.
    pub kernel: &'a Kernel,
    /// The ramdisk.
    pub ramdisk: Option<&'a [u8]>,
    /// The kernel's command line.
    pub command_line: &'a str,
    /// Memory in frames.
    pub frames: u64,
    /// Ports of the domain that wait for xenstored and xenconsoled.
    pub store_port: u32,
    /// As above.
    pub console_port: u32,
    /// Where xenstored runs.
    pub store_domid: u16,
    /// Where xenconsoled runs.
    pub console_domid: u16,
}

/// What others need to know of the domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Built {
    /// Machine frame of the xenstore ring.
    pub store_mfn: u64,
    /// Machine frame of the console ring.
    pub console_mfn: u64,
}

/// Fills the domain. It was made with vcpus and a memory limit, has no memory yet, and is paused.
///
/// # Errors
/// [`Error`]; the domain is to be destroyed then.
pub fn build<H: Hypercalls>(xen: &Xen<H>, domid: u16, spec: &Spec<'_>) -> Result<Built, Error> {
    let bad = |source| Error::Image { path: spec.kernel_path.to_owned(), source };
    let elf = ElfKernel::parse(spec.kernel.elf()).map_err(bad)?;
    let target = elf.pv().map_err(bad)?;
    let notes = elf.notes().map_err(bad)?;
    let ramdisk_bytes = spec.ramdisk.map_or(0, <[u8]>::len) as u64;
    let layout = DomainLayout::with_rings(&target, notes.mod_start_pfn, spec.frames, ramdisk_bytes, 2)
        .map_err(|error| Error::layout(error, spec.frames))?;
    let info = start_info(spec, &layout, ramdisk_bytes)?;

    let memory = Memory { xen, domid, p2m: populate(xen, domid, spec.frames)? };
    for segment in elf.segments() {
        memory.write(target.phys_of(segment), segment.data)?;
    }
    if let Some(page) = target.hypercall_page {
        xen.write_hypercall_page(domid, memory.mfn(layout.pfn(page)))?;
    }
    if let Some(ramdisk) = spec.ramdisk {
        memory.write(layout.initrd_pfn.start * PAGE, ramdisk)?;
    }
    memory.write(layout.p2m_pfn.start * PAGE, memory.p2m.as_bytes())?;

    let (store, console) = (layout.pfn(layout.rings), layout.pfn(layout.rings) + 1);
    let built = Built { store_mfn: memory.mfn(store), console_mfn: memory.mfn(console) };
    let shared_info = xen.domain_info(domid)?.map_or(0, |info| info.shared_info);
    mask_events(xen, domid, shared_info)?;
    let mut info = info;
    info.shared_info = shared_info * PAGE;
    info.store_mfn = built.store_mfn;
    info.set_console_dom_u(StartInfoConsoleDomU {
        mfn: built.console_mfn,
        evtchn: spec.console_port,
        ..Default::default()
    });
    memory.write(layout.pfn(layout.start_info) * PAGE, info.as_bytes())?;
    let tables = tables(&layout, &memory.p2m);
    memory.write(layout.pfn(layout.tables) * PAGE, tables.as_bytes())?;

    let root = memory.mfn(layout.pfn(layout.tables));
    xen.pin_root(domid, root)?;
    xen.seed_grants(
        domid,
        &[
            (GNTTAB_RESERVED_CONSOLE, spec.console_domid, built.console_mfn),
            (GNTTAB_RESERVED_XENSTORE, spec.store_domid, built.store_mfn),
        ],
    )?;
    xen.set_vcpu_context(domid, 0, &first_context(&layout, target.entry, root))?;
    Ok(built)
}

/// A vcpu starts with its events masked: one that a daemon sends before the kernel has a handler would crash it. (Our hypervisor
/// does this itself, Xen leaves it to the builder.)
fn mask_events<H: Hypercalls>(xen: &Xen<H>, domid: u16, shared_info: u64) -> Result<(), Error> {
    let page = xen.map(domid, &[shared_info])?;
    for vcpu in 0..XEN_LEGACY_MAX_VCPUS {
        let mask = vcpu * size_of::<VcpuInfo>() + std::mem::offset_of!(VcpuInfo, evtchn_upcall_mask);
        page.write(mask, &[1]);
    }
    Ok(())
}

/// Gives the domain its memory, in large pieces as long as there are; gives its frame list.
fn populate<H: Hypercalls>(xen: &Xen<H>, domid: u16, frames: u64) -> Result<Vec<u64>, Error> {
    let mut p2m: Vec<u64> = Vec::with_capacity(usize::try_from(frames).unwrap_or(0));
    let mut order = CHUNK_ORDER;
    while (p2m.len() as u64) < frames {
        let left = frames - p2m.len() as u64;
        while left < 1 << order {
            order -= 1;
        }
        let first = p2m.len() as u64;
        let count = (left >> order).min(512);
        let pfns: Vec<u64> = (0..count).map(|n| first + (n << order)).collect();
        let given = xen.populate(domid, &pfns, order)?;
        for mfn in &given {
            p2m.extend((0..1u64 << order).map(|n| mfn + n));
        }
        if (given.len() as u64) < count {
            if order == 0 {
                return Err(Error::NoMemory { given: p2m.len() as u64 / 256, wanted: frames / 256 });
            }
            // No more large pieces.
            order = 0;
        }
    }
    Ok(p2m)
}

/// The domain's memory, by pseudo-physical address.
struct Memory<'a, H: Hypercalls> {
    xen: &'a Xen<H>,
    domid: u16,
    p2m: Vec<u64>,
}

impl<H: Hypercalls> Memory<'_, H> {
    fn mfn(&self, pfn: u64) -> u64 {
        usize::try_from(pfn).ok().and_then(|pfn| self.p2m.get(pfn)).copied().unwrap_or(u64::MAX)
    }

    fn write(&self, start: u64, bytes: &[u8]) -> Result<(), Error> {
        let (mut at, mut bytes) = (start, bytes);
        while !bytes.is_empty() {
            let offset = at % PAGE;
            let len = (MAP_AT_ONCE * PAGE - offset).min(bytes.len() as u64);
            let (first, last) = (at / PAGE, (at + len).div_ceil(PAGE));
            let frames: Vec<u64> = (first..last).map(|pfn| self.mfn(pfn)).collect();
            let map = self.xen.map(self.domid, &frames)?;
            let Some((now, rest)) = bytes.split_at_checked(usize::try_from(len).unwrap_or(0)) else { break };
            map.write(usize::try_from(offset).unwrap_or(0), now);
            at += len;
            bytes = rest;
        }
        Ok(())
    }
}

fn start_info(spec: &Spec<'_>, layout: &DomainLayout, ramdisk_bytes: u64) -> Result<StartInfo, Error> {
    let mut info = StartInfo::new_zeroed();
    let magic = b"xen-3.0-x86_64";
    info.magic.iter_mut().zip(magic).for_each(|(to, from)| *to = *from);
    info.nr_pages = spec.frames;
    // A guest may leave its memory's map in one piece: we read both kinds.
    info.flags = SIF_VIRT_P2M_4TOOLS;
    info.store_evtchn = spec.store_port;
    info.pt_base = layout.tables;
    info.nr_pt_frames = layout.table_count;
    info.mfn_list = layout.p2m;
    if layout.p2m_apart {
        info.first_p2m_pfn = layout.p2m_pfn.start;
        info.nr_p2m_frames = layout.p2m_pfn.len();
    }
    if ramdisk_bytes != 0 {
        info.mod_len = ramdisk_bytes;
        if layout.initrd_mapped {
            info.mod_start = layout.virt_base + layout.initrd_pfn.start * PAGE;
        } else {
            info.mod_start = layout.initrd_pfn.start;
            info.flags |= SIF_MOD_START_PFN;
        }
    }
    let line = spec.command_line.as_bytes();
    if line.len() >= info.cmd_line.len() {
        return Err(Error::CommandLine(line.len()));
    }
    info.cmd_line.iter_mut().zip(line).for_each(|(to, from)| *to = *from);
    Ok(info)
}

/// What xen.h says that vcpu 0 starts with.
fn first_context(layout: &DomainLayout, entry: u64, root: u64) -> VcpuGuestContext {
    const INTERRUPTS_ON: u64 = 1 << 9;
    let mut context = VcpuGuestContext { flags: VGCF_in_kernel | VGCF_online, ..Default::default() };
    let regs = &mut context.user_regs;
    regs.rip = entry;
    regs.rsp = layout.stack_end;
    regs.rsi = layout.start_info;
    regs.rflags = INTERRUPTS_ON;
    regs.cs = KERNEL_CS;
    regs.ss = KERNEL_SS;
    regs.ds = KERNEL_SS;
    regs.es = KERNEL_SS;
    regs.fs = KERNEL_SS;
    regs.gs = KERNEL_SS;
    for (vector, gate) in (0..=255).zip(context.trap_ctxt.iter_mut()) {
        gate.vector = vector;
        gate.cs = KERNEL_CS;
    }
    context.kernel_ss = KERNEL_SS.into();
    context.kernel_sp = layout.stack_end;
    context.ctrlreg = [0, 0, 0, root << 12, 0, 0, 0, 0];
    context.debugreg = [0, 0, 0, 0, 0, 0, 0xffff_0ff0, 0x400];
    context
}
