//! The machine behind core's instruction emulator: ports, MSRs, control registers of a PV guest.

use crate::machine::{self, Domain, Vcpu, hv};
use crate::traps::{instruction_bytes, with_ctx};
use crate::{bounce, percpu, platform, switch};
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use ferroxen_core::Platform;
use ferroxen_core::addr::{PAGE_SIZE, Vaddr};
use ferroxen_core::cpupolicy::{self, Msr, MsrMachine, Policy, VcpuView};
use ferroxen_core::emulate::{
    self, Exception, Mode, Outcome, PrivMachine, QuickStore, Segment, SegmentName, Store, View,
};
use ferroxen_core::paging;
use ferroxen_core::platform::Fault;
use ferroxen_core::pv::PvState;
use ferroxen_x86::{StackTop, guest_copy, instructions, layout, pci};

const CR4_OSXSAVE: u64 = 1 << 18;

struct Guest<'a> {
    pv: &'a mut PvState,
    vcpu: &'a Vcpu,
    dom: &'a Domain,
    policy: &'static Policy,
}

/// dom0's PCI address register (port 0xcf8) and CMOS index.
static PCI_ADDRESS: AtomicU32 = AtomicU32::new(0);
static CMOS_INDEX: AtomicU8 = AtomicU8::new(0);

/// Ports that the hypervisor keeps: interrupt controllers, PIT, its serial port, VGA is the guest's.
fn is_ours(port: u16) -> bool {
    matches!(port, 0x20 | 0x21 | 0xa0 | 0xa1 | 0x40..=0x43 | 0x61)
        || (machine::serial_is_ours() && (0x3f8..=0x3ff).contains(&port))
}

impl PrivMachine for Guest<'_> {
    fn segment(&mut self, name: SegmentName) -> Option<Segment> {
        let top = switch::top();
        let long =
            top.regs.cs & 0xffff == u64::from(ferroxen_x86::descriptors::RING3_CS64) || mode(top) == Mode::Bits64;
        if long {
            return match name {
                // SAFETY: the registers exist on every 64-bit CPU.
                SegmentName::Fs => Some(Segment::flat(unsafe { instructions::rdmsr(0xc000_0100) })),
                // SAFETY: as above.
                SegmentName::Gs => Some(Segment::flat(unsafe { instructions::rdmsr(0xc000_0101) })),
                _ => Some(Segment::flat(0)),
            };
        }
        let [ds, es, fs, gs] = guest_copy::selectors();
        let selector = match name {
            SegmentName::Es => es,
            SegmentName::Cs => top.regs.cs as u16,
            SegmentName::Ss => top.regs.ss as u16,
            SegmentName::Ds => ds,
            SegmentName::Fs => fs,
            SegmentName::Gs => gs,
        };
        descriptor(selector).and_then(Segment::parse)
    }
    fn io_bitmap(&mut self, offset: u32) -> Result<u16, Fault> {
        let mut bytes = [0; 2];
        let at = Vaddr(self.pv.iobmp.0.wrapping_add(offset.into()));
        hv().platform.copy_from_guest(percpu::this(), at, &mut bytes)?;
        Ok(u16::from_le_bytes(bytes))
    }
    fn in_port(&mut self, port: u16, width: u8) -> u32 {
        let ones = u32::MAX >> (32 - 8 * u32::from(width));
        if !self.dom.privileged || is_ours(port) {
            return ones;
        }
        match port {
            0xcf8 if width == 4 => PCI_ADDRESS.load(Ordering::Relaxed),
            0xcfc..=0xcff => {
                let address = PCI_ADDRESS.load(Ordering::Relaxed);
                if address >> 31 == 0 { ones } else { pci::read_part(address & !3, port - 0xcfc, width) }
            }
            // SAFETY: the domain that drives the machine's devices may read their ports.
            _ => unsafe {
                match width {
                    1 if port == 0x71 => {
                        instructions::outb(0x70, CMOS_INDEX.load(Ordering::Relaxed) & 0x7f);
                        instructions::inb(0x71).into()
                    }
                    1 => instructions::inb(port).into(),
                    2 => instructions::inw(port).into(),
                    _ => instructions::inl(port),
                }
            },
        }
    }
    fn out_port(&mut self, port: u16, width: u8, value: u32) {
        if !self.dom.privileged || is_ours(port) {
            return;
        }
        match port {
            0xcf8 if width == 4 => PCI_ADDRESS.store(value, Ordering::Relaxed),
            0xcfc..=0xcff => {
                let address = PCI_ADDRESS.load(Ordering::Relaxed);
                if address >> 31 != 0 {
                    pci::write_part(address & !3, port - 0xcfc, width, value);
                }
            }
            // SAFETY: the domain that drives the machine's devices may write their ports.
            _ => unsafe {
                match width {
                    1 if port == 0x70 => CMOS_INDEX.store(value as u8, Ordering::Relaxed),
                    1 if port == 0x71 => {
                        instructions::outb(0x70, CMOS_INDEX.load(Ordering::Relaxed) & 0x7f);
                        instructions::outb(0x71, value as u8);
                    }
                    1 => instructions::outb(port, value as u8),
                    2 => instructions::outw(port, value as u16),
                    _ => instructions::outl(port, value),
                }
            },
        }
    }
    fn read_guest(&mut self, at: Vaddr, to: &mut [u8]) -> Result<(), Fault> {
        hv().platform.copy_from_guest(percpu::this(), at, to)
    }
    fn write_guest(&mut self, at: Vaddr, from: &[u8]) -> Result<(), Fault> {
        hv().platform.copy_to_guest(percpu::this(), at, from)
    }
    fn rdmsr(&mut self, msr: u32) -> Option<u64> {
        cpupolicy::rdmsr(self.policy, self.vcpu.id, Msr(msr), &mut Registers { dom: self.dom, pv: self.pv })
    }
    fn wrmsr(&mut self, msr: u32, value: u64) -> Option<()> {
        cpupolicy::wrmsr(self.policy, Msr(msr), value, &mut Registers { dom: self.dom, pv: self.pv })
    }
    fn cpuid(&mut self, leaf: u32, subleaf: u32) -> [u32; 4] {
        let view = VcpuView {
            vcpu: self.vcpu.id,
            kernel: self.pv.in_kernel(),
            forced: true,
            osxsave: self.pv.cr4 & CR4_OSXSAVE != 0,
            xcr0: self.pv.xcr0(),
        };
        self.policy.cpuid(leaf, subleaf, &view, &machine::xen_info())
    }
    fn read_cr(&mut self, n: u32) -> Option<u64> {
        match n {
            0 => {
                Some(cpupolicy::pv_cr0(instructions::read_cr0(), self.pv.flags & ferroxen_core::pv::TASK_SWITCHED != 0))
            }
            2 => Some(self.pv.cr2),
            3 => Some(self.pv.kernel_root.0),
            4 => Some(cpupolicy::pv_cr4(self.policy, instructions::read_cr4(), self.pv.cr4)),
            _ => None,
        }
    }
    fn write_cr(&mut self, n: u32, value: u64) -> Option<()> {
        match n {
            0 => {
                let on = value & cpupolicy::CR0_TS != 0;
                if value != cpupolicy::pv_cr0(instructions::read_cr0(), on) {
                    return None;
                }
                self.pv.flags = self.pv.flags & !ferroxen_core::pv::TASK_SWITCHED
                    | if on { ferroxen_core::pv::TASK_SWITCHED } else { 0 };
                ferroxen_x86::fpu::set_task_switched(on);
            }
            2 => self.pv.cr2 = value,
            4 => {
                self.pv.cr4 = cpupolicy::pv_cr4(self.policy, instructions::read_cr4(), value);
                crate::switch::load_cr4(self.pv);
            }
            // Loading it again is a flush; another root goes by MMUEXT_NEW_BASEPTR.
            3 if value == self.pv.kernel_root.0 => hv().platform.load_root(percpu::this(), self.pv.kernel_root),
            _ => return None,
        }
        Some(())
    }
    fn read_dr(&mut self, n: u32) -> Option<u64> {
        let at = match n {
            0..=3 => n,
            4 | 6 => 4,
            _ => 5,
        };
        self.pv.debug.get(at as usize).copied()
    }
    fn write_dr(&mut self, n: u32, value: u64) -> Option<()> {
        machine::set_debugreg(self.pv, n, value)
    }
    fn xsetbv(&mut self, index: u32, value: u64) -> Option<()> {
        if index != 0 || !self.policy.xcr0_allowed(value) {
            return None;
        }
        self.pv.xcr0 = value;
        ferroxen_x86::fpu::set_xcr0(value);
        Some(())
    }
    fn rdtsc(&mut self) -> u64 {
        platform::tsc()
    }
    fn tsc_aux(&mut self) -> u32 {
        self.pv.tsc_aux as u32
    }
    fn rdpmc(&mut self, _index: u32) -> Option<u64> {
        None
    }
    fn write_back_caches(&mut self) {
        // The guest maps no device memory write-back; what it wants flushed is for its devices, which snoop.
    }
    fn invlpg(&mut self, at: Vaddr) {
        if layout::is_guest(at.0) {
            instructions::invlpg(at.0);
        }
    }
    fn preempt_pending(&mut self) -> bool {
        hv().platform.preempt_pending(percpu::this())
    }
}

struct Registers<'a> {
    dom: &'a Domain,
    pv: &'a mut PvState,
}

impl MsrMachine for Registers<'_> {
    fn read(&mut self, msr: Msr) -> Option<u64> {
        guest_copy::rdmsr(msr.0)
    }
    fn write(&mut self, msr: Msr, value: u64) -> Option<()> {
        // SAFETY: core's policy lets through only registers that dom0 may change.
        unsafe { guest_copy::wrmsr(msr.0, value) }.then_some(())
    }
    fn tsc(&mut self) -> u64 {
        platform::tsc()
    }
    fn own(&mut self, msr: Msr) -> u64 {
        match msr {
            Msr::FS_BASE | Msr::GS_BASE | Msr::KERNEL_GS_BASE => guest_copy::rdmsr(msr.0).unwrap_or(0),
            Msr::TSC_AUX => self.pv.tsc_aux,
            _ => 0,
        }
    }
    fn set_own(&mut self, msr: Msr, value: u64) {
        match msr {
            // SAFETY: bases, checked to be canonical; the hypervisor uses none of them.
            Msr::FS_BASE | Msr::GS_BASE | Msr::KERNEL_GS_BASE => unsafe { instructions::wrmsr(msr.0, value) },
            Msr::TSC_AUX => {
                self.pv.tsc_aux = value;
                // SAFETY: the policy says that the register exists.
                unsafe { guest_copy::wrmsr(msr.0, value) };
            }
            _ => {}
        }
    }
    fn write_hypercall_page(&mut self, gfn: u64) -> Option<()> {
        machine::write_hypercall_page(self.dom, gfn)
    }
}

/// The descriptor that a selector names, from this CPU's tables.
fn descriptor(selector: u16) -> Option<u64> {
    let area = layout::cpu_area(percpu::number());
    let table = area + if selector & 4 != 0 { layout::AREA_LDT } else { layout::AREA_GDT };
    (selector >> 3 != 0 || selector & 4 != 0).then(|| guest_copy::read_descriptor(table + u64::from(selector & !7)))?
}

/// What kind of code the guest runs.
fn mode(top: &StackTop) -> Mode {
    if top.regs.cs & 0xffff == u64::from(ferroxen_x86::descriptors::RING3_CS64) {
        return Mode::Bits64;
    }
    match descriptor(top.regs.cs as u16).and_then(Segment::parse) {
        Some(segment) if segment.long => Mode::Bits64,
        Some(segment) if segment.big => Mode::Bits32,
        Some(_) => Mode::Bits16,
        None => Mode::Bits64,
    }
}

fn finish(top: &mut StackTop, single_step: bool) {
    if single_step {
        top.pv.debug[4] |= 1 << 14;
        bounce::exception(top, 1, None);
    }
}

fn raise(top: &mut StackTop, exception: Exception) {
    match exception.cr2 {
        Some(Vaddr(at)) => bounce::page_fault(top, at, exception.error_code.unwrap_or(4)),
        None => bounce::exception(top, exception.vector, exception.error_code),
    }
}

/// A #GP: emulates the instruction if it is one that a PV guest may use. Gives whether that settled it.
pub fn emulate(top: &mut StackTop) -> bool {
    if let Some(code) = guest_copy::read_pair(top.regs.rip)
        && run(top, |regs, view, guest| emulate::quick_privileged_op(regs, view, code, guest)).is_some()
    {
        return true;
    }
    let mut code = [0; 15];
    let len = instruction_bytes(top, &mut code);
    run(top, |regs, view, guest| Some(emulate::privileged_op(regs, view, &code[..len], guest))) == Some(true)
}

/// A #UD: the forced-emulation prefix and CPUID.
pub fn forced(top: &mut StackTop) -> bool {
    let mut code = [0; 15];
    let len = instruction_bytes(top, &mut code);
    if !emulate::is_forced_cpuid(&code[..len]) {
        return false;
    }
    let at = emulate::FORCED_CPUID.len();
    let Some((vcpu, dom, _)) = switch::running() else { return false };
    let StackTop { regs, pv, .. } = &mut *top;
    let mut guest = Guest { pv, vcpu, dom, policy: machine::policy(dom) };
    let [eax, ebx, ecx, edx] = guest.cpuid(regs.rax as u32, regs.rcx as u32);
    (regs.rax, regs.rbx, regs.rcx, regs.rdx) = (eax.into(), ebx.into(), ecx.into(), edx.into());
    regs.rip = regs.rip.wrapping_add(at as u64);
    regs.rflags &= !emulate::RFLAGS_RF;
    let single_step = regs.rflags & emulate::RFLAGS_TF != 0;
    finish(top, single_step);
    true
}

/// Gives whether what `f` did settled it; `None`: `f` did nothing.
#[inline(always)]
fn run(
    top: &mut StackTop,
    f: impl FnOnce(&mut ferroxen_core::pv::Regs, &View, &mut Guest<'_>) -> Option<Outcome>,
) -> Option<bool> {
    let mode = mode(top);
    let Some((vcpu, dom, sched)) = switch::running() else { return Some(false) };
    let iopl = dom.vm_assist.load(Ordering::Relaxed) & 1 << xen_abi::xen::VMASST_TYPE_architectural_iopl != 0;
    let StackTop { regs, pv, .. } = &mut *top;
    let view = View::new(pv, mode, iopl);
    let mut guest = Guest { pv, vcpu, dom, policy: machine::policy(dom) };
    match f(regs, &view, &mut guest)? {
        Outcome::Done { single_step } => finish(top, single_step),
        Outcome::Halted => machine::block(top, vcpu, sched),
        Outcome::Again => {}
        // Not an instruction of ours: the guest gets its own fault.
        Outcome::Raise(exception) if exception == Exception::gp(0) => return Some(false),
        Outcome::Raise(exception) => raise(top, exception),
    }
    Some(true)
}

/// The stores that make up nearly all of them, without the full decoder. `false`: nothing was done.
pub fn quick_write_to_page_table(top: &mut StackTop, va: u64) -> bool {
    let Some(code) = guest_copy::read_pair(top.regs.rip) else { return false };
    let Some(store) = QuickStore::decode(&mut top.regs, code, Vaddr(va)) else { return false };
    let done = with_ctx(top, |ctx, regs| {
        if ctx.dom.vm_assist.load(Ordering::Relaxed) & 1 << xen_abi::xen::VMASST_TYPE_writable_pagetables == 0 {
            return false;
        }
        match paging::guest_pt_update(ctx, store.entry_at(), |entry| store.on_entry(entry, regs)) {
            Ok(old) => {
                store.retire(old, regs);
                true
            }
            // Half done and parked: the guest faults again and it goes on.
            Err(paging::PagingError::Interrupted) => true,
            Err(_) => false,
        }
    });
    done == Some(true)
}

/// A write fault of the guest's kernel: performs it if it goes to a page table. Gives whether that settled it.
pub fn write_to_page_table(top: &mut StackTop, va: u64) -> bool {
    let error = top.regs.error_code;
    let hit = with_ctx(top, |ctx, _| paging::is_pt_write_fault(ctx, Vaddr(va), error)).unwrap_or(false);
    if !hit {
        return false;
    }
    let mut code = [0; 15];
    let len = instruction_bytes(top, &mut code);
    let base = |name| match name {
        SegmentName::Fs => guest_copy::rdmsr(0xc000_0100).unwrap_or(0),
        _ => guest_copy::rdmsr(0xc000_0101).unwrap_or(0),
    };
    let Ok(store) = Store::decode(&top.regs, &code[..len], Vaddr(va), base) else { return false };
    let source = match store.source {
        None => 0,
        Some(from) => {
            let mut bytes = [0; 8];
            let width = usize::from(store.width).min(8);
            if hv().platform.copy_from_guest(percpu::this(), from, &mut bytes[..width]).is_err() {
                return false;
            }
            u64::from_le_bytes(bytes)
        }
    };
    debug_assert!(store.entry_at().0 & (PAGE_SIZE - 1) <= PAGE_SIZE - 8);
    let mut step = None;
    let result = with_ctx(top, |ctx, _| {
        paging::guest_pt_update(ctx, store.entry_at(), |entry| {
            let next = store.on_entry(entry, source)?;
            step = Some(next);
            next.new
        })
    });
    match (result, step) {
        (Some(Ok(_)), Some(step)) => {
            top.regs = step.regs;
            finish(top, step.single_step);
            true
        }
        // Half done and parked: the guest faults again and it goes on.
        (Some(Err(paging::PagingError::Interrupted)), _) => true,
        _ => false,
    }
}

/// Maps page `index` of the guest's LDT if it is a page of descriptors. `true`: what faulted for it may be tried again.
pub fn load_ldt_page(top: &mut StackTop, index: u64) -> bool {
    match with_ctx(top, |ctx, _| paging::map_ldt_page(ctx, index as usize)) {
        Some(Ok(mfn)) => {
            switch::map_ldt_page(index, mfn.maddr());
            true
        }
        // Half done and parked: the guest faults again and it goes on.
        Some(Err(paging::PagingError::Interrupted)) => true,
        _ => false,
    }
}
