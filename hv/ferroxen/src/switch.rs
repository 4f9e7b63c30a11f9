//! Putting vcpus on this CPU and taking them off.

use crate::machine::{Domain, Vcpu, hv};
use crate::percpu::{self, Counter, remote};
use crate::platform::{flush_all_here, scale, tsc, tsc_is_stable};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU64, Ordering};
use ferroxen_core::Platform;
use ferroxen_core::addr::{Maddr, Mfn, Vaddr};
use ferroxen_core::cpu::{CpuId, MAX_CPUS};
use ferroxen_core::pv::{self, PvState};
use ferroxen_core::sched::Scheduler;
use ferroxen_core::time::{RunState, TscScale, record, write_record};
use ferroxen_sync::Shared;
use ferroxen_x86::paging::{self, direct};
use ferroxen_x86::{StackTop, descriptors, entry, fpu, guest_copy, instructions, layout};
use zerocopy::IntoBytes;

const FS_BASE: u32 = 0xc000_0100;
const GS_BASE: u32 = 0xc000_0101;
const SHADOW_GS_BASE: u32 = 0xc000_0102;

/// A page of zeroes, where a guest's GDT has no frame: the descriptor table reaches to the hypervisor's own descriptors
/// behind it, so a selector between finds a descriptor that is not there, as the guest expects, and not a page fault.
pub static ZERO_PAGE: AtomicU64 = AtomicU64::new(0);

/// Bits of CR4 that are loaded as the guest has them: TSD, FSGSBASE.
const CR4_LOADED: u64 = 1 << 2 | 1 << 16;

/// What a CPU runs; touched by that CPU only.
#[derive(Default)]
struct Current {
    vcpu: Option<Shared<Vcpu>>,
    domain: Option<Shared<Domain>>,
}

struct Slots([UnsafeCell<Current>; MAX_CPUS]);
// SAFETY: each CPU uses its own slot only, and never from an interrupt handler.
unsafe impl Sync for Slots {}
static CURRENT: Slots = Slots([const { UnsafeCell::new(Current { vcpu: None, domain: None }) }; MAX_CPUS]);

fn current() -> *mut Current {
    CURRENT.0[usize::from(percpu::number()) % MAX_CPUS].get()
}

/// The vcpu that this CPU runs and its domain, if it is not idle.
pub fn running() -> Option<(&'static Vcpu, &'static Domain, &'static Shared<Vcpu>)> {
    // SAFETY: this CPU's own slot. The references are good until this CPU switches, which callers on its stack do
    // only at the end of `exit_work_for_guest`, when they hold none.
    let current = unsafe { &*current() };
    match (&current.vcpu, &current.domain) {
        (Some(vcpu), Some(domain)) => Some((vcpu, domain, vcpu)),
        _ => None,
    }
}

/// The same by a CPU's stack top, for the paths that have it at hand.
#[inline(always)]
pub fn running_at(top: &StackTop) -> Option<(&'static Vcpu, &'static Domain)> {
    let (vcpu, domain) = (top.cpu.vcpu.cast::<Vcpu>(), top.cpu.domain.cast::<Domain>());
    // SAFETY: `enter` sets both to what this CPU's slot holds and `leave` clears them before it lets go; as `running`.
    unsafe { Some((vcpu.as_ref()?, domain.as_ref()?)) }
}

/// Domain and vcpu number, for a message.
pub fn current_for_panic() -> Option<(u16, u32)> {
    running().map(|(vcpu, _, _)| (vcpu.domid.0, vcpu.id))
}

/// Adds what this CPU counted for the running vcpu to the vcpu's own count, before another one can run.
pub fn count_hypercalls(top: &mut StackTop) {
    let more = core::mem::take(&mut top.cpu.hypercalls);
    if let Some((vcpu, _)) = running_at(top) {
        // Only this CPU writes it.
        vcpu.hypercalls.store(vcpu.hypercalls.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }
}

/// Asks the scheduler and does what it says. Returns with a vcpu on this CPU; waits as long as there is none. One that only
/// waits for an event stays loaded meanwhile: mostly it is also the next, and neither is saved nor flushes anything then.
pub fn schedule(top: &mut StackTop) {
    let cpu = percpu::this();
    loop {
        let now = now();
        // SAFETY: this CPU's own slot.
        let slot = unsafe { &mut *current() };
        let decision = hv().sched.decide(cpu, slot.vcpu.as_ref(), now);
        crate::timer::set_slice_end(decision.until);
        match (&slot.vcpu, decision.vcpu) {
            (Some(old), Some(new)) if Shared::same(old, &new) => {
                if old.runstate.change(RunState::Running, now) {
                    crate::work::update_runstate_area(old);
                }
                return;
            }
            // Its kernel's tables are loaded, which its run states are written by.
            (Some(old), None) if old.sched.may_wait_on(cpu) && top.pv.in_kernel() => {
                old.runstate.change(RunState::Blocked, now);
                idle(top);
            }
            (_, next) => {
                let old = slot.vcpu.take();
                if let Some(old) = &old {
                    leave(top, slot, old, now);
                }
                match next {
                    Some(vcpu) => {
                        enter(top, slot, vcpu, now);
                        load_segments(top);
                        return;
                    }
                    // It may have been woken while it was put away: ask again before sleeping.
                    None if old.is_some() => {}
                    None => idle(top),
                }
            }
        }
    }
}

fn now() -> u64 {
    use ferroxen_core::Platform;
    hv().platform.now()
}

/// Nanoseconds that each CPU slept.
static IDLE: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];

/// How long a CPU slept since boot, in nanoseconds.
pub fn idle_time(cpu: CpuId) -> u64 {
    IDLE.get(usize::from(cpu.0)).map_or(0, |time| time.load(Ordering::Relaxed))
}

/// Nothing to run: sleeps until there is work, and does it.
fn idle(top: &mut StackTop) {
    loop {
        instructions::cli();
        let pending = percpu::pending(percpu::this());
        if pending == 0 {
            crate::timer::program();
            let since = now();
            // SAFETY: this CPU is set up.
            unsafe { instructions::sti_hlt() };
            IDLE[usize::from(percpu::number())].fetch_add(now().saturating_sub(since), Ordering::Relaxed);
            continue;
        }
        // SAFETY: as above.
        unsafe { instructions::sti() };
        if crate::work::perform(top, percpu::take_pending()) {
            return;
        }
    }
}

fn leave(top: &mut StackTop, slot: &mut Current, vcpu: &Shared<Vcpu>, now: u64) {
    percpu::count(Counter::Switch);
    let pv = &mut top.pv;
    pv.selectors = guest_copy::selectors();
    // SAFETY: these registers exist on every 64-bit CPU.
    unsafe {
        pv.fs_base = instructions::rdmsr(FS_BASE);
        let (active, shadow) = (instructions::rdmsr(GS_BASE), instructions::rdmsr(SHADOW_GS_BASE));
        (pv.gs_base_kernel, pv.gs_base_user) = if pv.in_kernel() { (active, shadow) } else { (shadow, active) };
    }
    if pv.debug[5] & 0xff != 0 {
        pv.debug[4] = instructions::read_dr6();
    }
    // SAFETY: no breakpoint of this guest may fire in another.
    unsafe { instructions::write_dr7(0x400) };
    let mut saved = vcpu.saved.lock();
    fpu::set_task_switched(false);
    // First, so that everything is saved: components that the guest has not turned on in XCR0 are in use all the same.
    fpu::set_xcr0(fpu::xcr0());
    if saved.fpu.len() >= fpu::blocks() {
        fpu::save(&mut saved.fpu);
    }
    saved.regs = top.regs;
    saved.pv = pv.clone();
    drop(saved);
    // The idle tables, so that nothing of the guest is used any more.
    // SAFETY: our own tables.
    unsafe { instructions::write_cr3(paging::root()) };
    flush_all_here();
    top.cpu.info = (&raw const crate::machine::NO_INFO) as u64;
    top.cpu.vcpu = core::ptr::null();
    top.cpu.domain = core::ptr::null();
    let cpu = percpu::this();
    if let Some(domain) = slot.domain.take() {
        domain.dirty_cpus.clear(cpu);
    }
    top.pv = PvState::default();
    let state = if vcpu.sched.runnable() {
        RunState::Runnable
    } else if vcpu.sched.flags() & ferroxen_core::sched::BLOCKED != 0 {
        RunState::Blocked
    } else {
        RunState::Offline
    };
    vcpu.runstate.change(state, now);
    if let Some(other) = hv().sched.saved(cpu, vcpu, now) {
        use ferroxen_core::Platform;
        hv().platform.kick(other);
    }
}

fn enter(top: &mut StackTop, slot: &mut Current, vcpu: Shared<Vcpu>, now: u64) {
    let cpu = percpu::this();
    let Some(domain) = hv().domains.get(vcpu.domid) else {
        panic!("a vcpu of d{} runs, but the domain is gone", vcpu.domid.0)
    };
    domain.dirty_cpus.set(cpu);
    {
        let mut saved = vcpu.saved.lock();
        top.regs = saved.regs;
        top.pv = saved.pv.clone();
        if saved.fpu.len() < fpu::blocks() {
            let missing = fpu::blocks() - saved.fpu.len();
            saved.fpu.resize(missing, ferroxen_core::pv::FpuBlock([0; 64]));
            fpu::reset(&mut saved.fpu);
        }
        fpu::restore(&saved.fpu);
    }
    fpu::set_xcr0(top.pv.xcr0());
    // An interrupt return: all registers come from the saved state.
    top.regs.entry_vector = 0;
    slot.domain = Some(domain);
    slot.vcpu = Some(vcpu);
    let vcpu = slot.vcpu.as_ref().expect("just set");
    top.cpu.vcpu = core::ptr::from_ref::<Vcpu>(vcpu).cast();
    top.cpu.domain =
        slot.domain.as_ref().map_or(core::ptr::null(), |domain| core::ptr::from_ref::<Domain>(domain).cast());
    top.cpu.page_fault_gate = &raw const vcpu.traps[14];
    top.cpu.vm_assist = slot.domain.as_ref().map_or(core::ptr::null(), |domain| &raw const domain.vm_assist);
    refresh_info(top, vcpu);
    vcpu.runstate.change(RunState::Running, now);
    // The TLB holds nothing of a guest (`leave` flushed all) but, not global, this CPU's area with the tables of the one
    // before: loading CR3 drops that.
    load_descriptor_tables(&top.pv, |_| ());
    // The areas that the guest gave are its kernel's.
    // SAFETY: core validated the roots and installed our slots.
    unsafe { instructions::write_cr3(top.pv.kernel_root.0) };
    write_time(vcpu);
    crate::work::update_runstate_area(vcpu);
    if !top.pv.in_kernel() {
        // SAFETY: as above.
        unsafe { instructions::write_cr3(top.pv.root().0) };
    }
    load_debug(&top.pv);
    load_cr4(&top.pv);
    fpu::set_task_switched(top.pv.flags & pv::TASK_SWITCHED != 0);
}

/// Loads the bits of CR4 that the guest has a say in. XSA-293: another vcpu's must not be left.
pub fn load_cr4(pv: &PvState) {
    const TSD: u64 = 1 << 2;
    let now = instructions::read_cr4();
    // With the option tsc-skew every guest's RDTSC is trapped.
    let always = if crate::platform::SKEW.load(Ordering::Relaxed) == 0 { 0 } else { TSD };
    let wanted = now & !CR4_LOADED | pv.cr4 & CR4_LOADED | always;
    if wanted != now {
        // SAFETY: the guest's policy allowed these bits, and the hypervisor reads neither the TSC by ring 3 nor bases by
        // those instructions.
        unsafe { instructions::write_cr4(wanted) };
    }
}

/// Tells the exit path where the vcpu's `struct vcpu_info` is.
pub fn refresh_info(top: &mut StackTop, vcpu: &Vcpu) {
    let info = vcpu.info();
    top.pv.vcpu_info = info;
    top.cpu.info = direct::<u8>(info.0) as u64;
}

/// Writes the vcpu's time record for this CPU, and the guest's own copy of it. The guest's kernel tables are loaded.
pub fn write_time(vcpu: &Vcpu) {
    let scale = scale().rebase(tsc());
    write_record(&hv().platform, vcpu.info(), &scale, tsc_is_stable());
    let area = vcpu.time_area.load(Ordering::Acquire);
    if area != 0 {
        write_time_area(area, &scale);
    }
}

/// Writes the running vcpu's second time record, where its guest wants it; a guest that unmapped that sees no more of it.
fn write_time_area(area: u64, scale: &TscScale) {
    const WORD: usize = size_of::<u32>();
    let (platform, cpu) = (&hv().platform, percpu::this());
    let mut version = 0u32;
    if platform.copy_from_guest(cpu, Vaddr(area), version.as_mut_bytes()).is_err() {
        return;
    }
    let version = version | 1;
    let done = record(scale, tsc_is_stable(), version.wrapping_add(1));
    // The version is odd while the rest changes.
    let parts: [(u64, &[u8]); 3] =
        [(0, version.as_bytes()), (WORD as u64, &done.as_bytes()[WORD..]), (0, &done.as_bytes()[..WORD])];
    for (at, bytes) in parts {
        if platform.copy_to_guest(cpu, Vaddr(area.wrapping_add(at)), bytes).is_err() {
            return;
        }
    }
}

/// Data selectors and segment bases.
fn load_segments(top: &mut StackTop) {
    let wanted = top.pv.selectors;
    need_ldt_pages(top, &wanted);
    let good = guest_copy::load_selectors(wanted);
    let pv = &top.pv;
    let (active, shadow) =
        if pv.in_kernel() { (pv.gs_base_kernel, pv.gs_base_user) } else { (pv.gs_base_user, pv.gs_base_kernel) };
    // SAFETY: bases are checked to be canonical when they are set.
    unsafe {
        instructions::wrmsr(FS_BASE, pv.fs_base);
        instructions::wrmsr(GS_BASE, active);
        instructions::wrmsr(SHADOW_GS_BASE, shadow);
    }
    if !good {
        // With what it wanted: a guest that finds the same in the registers takes it for a bad IRET of its own.
        crate::bounce::failsafe(top, wanted);
    }
}

/// Maps the pages of the guest's LDT that these selectors need. On demand they come only for the guest's own loads: a
/// fault of the hypervisor's makes the selector null.
fn need_ldt_pages(top: &mut StackTop, selectors: &[u16]) {
    const IN_LDT: u16 = 1 << 2;
    for &selector in selectors.iter().filter(|&selector| selector & IN_LDT != 0) {
        crate::privileged::load_ldt_page(top, u64::from(selector >> 12));
    }
}

/// Loads a selector as the user mode's GS (its base becomes the inactive one); the kernel's stays. A bad one is null.
pub fn load_user_gs(top: &mut StackTop, selector: u16) {
    need_ldt_pages(top, &[selector]);
    // SAFETY: the hypervisor uses neither base; the kernel's is put back.
    unsafe {
        let kernel = instructions::rdmsr(GS_BASE);
        guest_copy::load_gs_selector(selector);
        let user = instructions::rdmsr(GS_BASE);
        instructions::wrmsr(SHADOW_GS_BASE, user);
        instructions::wrmsr(GS_BASE, kernel);
    }
}

/// The guest's debug registers.
pub fn load_debug(pv: &PvState) {
    // SAFETY: core lets no breakpoint point into the hypervisor.
    unsafe {
        if pv.debug[5] & 0xff != 0 {
            instructions::write_dr0(pv.debug[0]);
            instructions::write_dr1(pv.debug[1]);
            instructions::write_dr2(pv.debug[2]);
            instructions::write_dr3(pv.debug[3]);
            instructions::write_dr6(pv.debug[4]);
        }
        instructions::write_dr7(pv.debug[5] | 0x400);
    }
}

/// Puts the guest's GDT frames into this CPU's area, and those of its LDT that it has used (the others come on demand).
/// `changed` is called with each address that maps something else now.
pub fn load_descriptor_tables(pv: &PvState, mut changed: impl FnMut(u64)) {
    let cpu = percpu::number();
    let area = layout::cpu_area(cpu);
    let frames = (pv.gdt_entries as usize).div_ceil(512);
    let none = ZERO_PAGE.load(Ordering::Relaxed) | paging::P | paging::NX;
    const RIGHTS: u64 = paging::P | paging::W | paging::NX;
    let gdt = pv.gdt_frames.iter().enumerate();
    let gdt = gdt.map(|(i, frame)| if i < frames { frame.maddr().0 | RIGHTS } else { none });
    paging::replace_run(area + layout::AREA_GDT, gdt, &mut changed);
    let ldt = pv.ldt_frames.iter().map(|&frame| if frame == Mfn(0) { 0 } else { frame.maddr().0 | RIGHTS });
    paging::replace_run(area + layout::AREA_LDT, ldt, &mut changed);
    let gdt_page = crate::machine::gdt_page(percpu::this());
    // SAFETY: this CPU's page.
    unsafe { descriptors::load_ldt(gdt_page, cpu, pv.ldt_entries) };
}

/// Maps one page of the guest's LDT.
pub fn map_ldt_page(index: u64, frame: Maddr) {
    let at = layout::cpu_area(percpu::number()) + layout::AREA_LDT + index * 4096;
    paging::set(at, frame.0 | paging::P | paging::W | paging::NX);
}

/// Switches between the guest's kernel and its user mode on this CPU.
pub fn toggle_mode(pv: &mut PvState) {
    pv.flags ^= pv::IN_KERNEL;
    // SAFETY: the two bases change places with the mode; the root was validated.
    unsafe {
        instructions::swapgs();
        instructions::write_cr3(pv.root().0);
    }
}

/// Gives this CPU's stack top.
pub fn top() -> &'static mut StackTop {
    // SAFETY: called where nobody else borrows it: at the bottom of trap handlers.
    unsafe { &mut *entry::top() }
}

/// Marks a CPU as one that runs guests.
pub fn go_online() {
    let cpu = percpu::this();
    remote(cpu).online.store(true, Ordering::SeqCst);
    hv().platform.online.lock().set(cpu);
    hv().sched.add_cpu(cpu);
}
