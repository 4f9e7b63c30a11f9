//! The machine as a whole: its state's root, bringing it up, and what the rest of the wiring shares.

use crate::boot::{self, Early, Text};
use crate::percpu::{self, CPUS};
use crate::platform::{self, Machine, SCALE};
use crate::{console, dom0, info, irq, switch, timer, warning};
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use ferroxen_core::Platform;
use ferroxen_core::addr::Mfn;
use ferroxen_core::console::Console;
use ferroxen_core::cpu::{CpuId, CpuMask, MAX_CPUS};
use ferroxen_core::cpupolicy::{Kind, Policy, XenInfo};
use ferroxen_core::domain::{DomId, Hypervisor};
use ferroxen_core::evtchn::Notify;
use ferroxen_core::frame::{FrameEntry, FrameTable, IoRanges};
use ferroxen_core::hypercall::BuildInfo;
use ferroxen_core::memory::Request;
use ferroxen_core::options::Options;
use ferroxen_core::pv::PvState;
use ferroxen_core::settings::Settings;
use ferroxen_core::time::{TscScale, WallClock};
use ferroxen_core::trace::Record;
use ferroxen_sync::Shared;
use ferroxen_x86::acpi::Tables;
use ferroxen_x86::bootinfo::{BootInfo, E820_RAM, Range, Screen};
use ferroxen_x86::clock::{self, Calibration};
use ferroxen_x86::paging::{self, direct};
use ferroxen_x86::serial::Serial;
use ferroxen_x86::trace::Ring;
use ferroxen_x86::{StackTop, apic, entry, instructions, ioapic, layout, smp};
use spin::Once;

/// A vcpu of this machine.
pub type Vcpu = ferroxen_core::Vcpu<Machine>;
/// A domain of this machine.
pub type Domain = ferroxen_core::Domain<Machine>;

static HV: Once<Hypervisor<Machine>> = Once::new();
static OPTIONS: Once<Options> = Once::new();
static TABLES: Once<Tables> = Once::new();
static CALIBRATION: Once<Calibration> = Once::new();
static DOM0_POLICY: Once<Policy> = Once::new();
static DOMU_POLICY: Once<Policy> = Once::new();
static WALL: spin::Mutex<WallClock> = spin::Mutex::new(WallClock { sec: 0, nsec: 0 });
static SERIAL_IS_OURS: AtomicBool = AtomicBool::new(false);
/// Bytes of RAM above the first MiB, of the frame table, of the machine-to-physical table.
static MEMORY: Once<[u64; 3]> = Once::new();
static GDT_PAGES: [AtomicPtr<u64>; MAX_CPUS] = [const { AtomicPtr::new(core::ptr::null_mut()) }; MAX_CPUS];
/// What a CPU that runs no vcpu sees in place of `struct vcpu_info`: no event.
pub static NO_INFO: AtomicU64 = AtomicU64::new(0);

/// All state of the hypervisor.
#[inline(always)]
pub fn hv() -> &'static Hypervisor<Machine> {
    debug_assert!(HV.is_completed(), "set before the first vcpu runs");
    // SAFETY: `start` sets it before it calls anything that asks, and before any other CPU or guest runs.
    unsafe { HV.get_unchecked() }
}
/// The command line's options.
pub fn options() -> &'static Options {
    OPTIONS.get().expect("set at boot")
}
/// ACPI's tables.
pub fn tables() -> &'static Tables {
    TABLES.get().expect("set at boot")
}

/// A CPU's own memory, made at boot.
pub struct CpuArea {
    /// Its stack top.
    pub top: *mut StackTop,
    /// Its page of reserved descriptors, writable.
    pub gdt_page: *mut u64,
}

/// What boot found and prepared.
pub struct Plan {
    /// What the loader said.
    pub boot: BootInfo,
    /// The command line.
    pub options: Options,
    /// ACPI.
    pub tables: Tables,
    /// IO-APICs, mapped.
    pub ioapics: Vec<ioapic::IoApic>,
    /// Clock frequencies.
    pub calibration: Calibration,
    /// End of RAM.
    pub ram_end: u64,
    /// Early memory.
    pub early: Early,
    /// The hypervisor's own command line.
    pub line: Text,
    /// The command line of dom0's kernel.
    pub dom0_line: Text,
    /// The screen, if there is one.
    pub screen: Option<Screen>,
    /// CPUs' areas, the boot CPU's first.
    pub areas: Vec<CpuArea>,
    /// The console's port.
    pub serial: Option<Serial>,
}

/// A CPU's trace buffer of so many pages; null: none is wanted, or there is no memory.
fn trace_ring(pages: u32) -> *mut Ring {
    const PER_PAGE: usize = 4096 / size_of::<Record>();
    match pages {
        0 => core::ptr::null_mut(),
        pages => Ring::leak(pages as usize * PER_PAGE).unwrap_or(core::ptr::null_mut()),
    }
}

/// Brings the machine up and starts dom0. On the boot stack.
pub fn start(mut plan: Plan) -> ! {
    OPTIONS.call_once(|| plan.options.clone());
    TABLES.call_once(|| plan.tables.clone());
    CALIBRATION.call_once(|| plan.calibration);
    SERIAL_IS_OURS.store(plan.serial.is_some(), Ordering::Relaxed);
    platform::SKEW.store(plan.options.tsc_skew, Ordering::Relaxed);
    platform::judge_tsc();
    SCALE.call_once(|| TscScale { stamp: instructions::rdtsc(), ..TscScale::from_hz(plan.calibration.tsc_hz) });
    timer::init(plan.calibration.apic_hz);
    for (n, area) in plan.areas.iter().enumerate() {
        GDT_PAGES[n].store(area.gdt_page, Ordering::Relaxed);
        let top = area.top;
        NO_INFO.store(0, Ordering::Relaxed);
        // SAFETY: the area is this CPU's for ever, and nobody uses it yet.
        unsafe {
            (*top).cpu.number = n as u64;
            (*top).cpu.info = (&raw const NO_INFO) as u64;
            (*top).cpu.pending.store(0, Ordering::Relaxed);
            (*top).cpu.trace = trace_ring(plan.options.tbuf_size);
        }
        CPUS[n].apic_id.store(plan.tables.cpus.get(n).copied().unwrap_or(0), Ordering::Relaxed);
        CPUS[n].top.store(top, Ordering::Release);
    }
    let boot_apic = apic::id();
    CPUS[0].apic_id.store(boot_apic, Ordering::Relaxed);
    let others: Vec<u32> =
        plan.tables.cpus[..plan.tables.cpu_count].iter().copied().filter(|&id| id != boot_apic).collect();
    for (n, id) in others.iter().enumerate().take(plan.areas.len().saturating_sub(1)) {
        CPUS[n + 1].apic_id.store(*id, Ordering::Relaxed);
    }
    irq::init(core::mem::take(&mut plan.ioapics));

    make_hypervisor(&mut plan);
    crate::devices::init();
    if plan.serial.is_some() {
        let tables = &plan.tables;
        let overrides = &tables.overrides[..tables.override_count];
        let gsi = overrides.iter().find(|o| o.source == 4).map_or(4, |o| o.gsi);
        irq::claim_console(gsi);
    }
    let unix = clock::read_cmos() * 1_000_000_000;
    *WALL.lock() = WallClock::from_now(unix, hv().platform.now());
    ferroxen_core::emulate::warm_up();
    let arch_caps = 0;
    DOM0_POLICY.call_once(|| Policy::pv(Kind::Dom0, arch_caps, instructions::cpuid));
    DOMU_POLICY.call_once(|| Policy::pv(Kind::DomU, arch_caps, instructions::cpuid));

    switch::go_online();
    start_others(&plan);
    let stats = hv().heap.stats();
    info!("{} CPUs, {} MiB free for domains", hv().platform.online().iter().count(), stats.free >> 8);
    dom0::build(&plan);
    memory_report();
    if !plan.options.vga_keep {
        console::leave_screen();
    }
    // SAFETY: nothing on this stack has a destructor that matters: the plan lives as long as the machine.
    core::mem::forget(plan);
    CPU0_READY.store(true, Ordering::Release);
    leave_boot_stack()
}

static CPU0_READY: AtomicBool = AtomicBool::new(false);

fn leave_boot_stack() -> ! {
    let top = CPUS[0].top.load(Ordering::Acquire);
    extern "C" fn go() -> ! {
        enter_first()
    }
    // SAFETY: the CPU's own stack; the boot stack is left for ever.
    unsafe { core::arch::asm!("mov rsp, {}", "xor ebp, ebp", "call {}", "ud2", in(reg) top, sym go, options(noreturn)) }
}

/// On a CPU's own stack: from here on only the exit path and traps run.
fn enter_first() -> ! {
    percpu::mark(percpu::this(), percpu::work::SCHEDULE);
    // SAFETY: the exit path finds work and asks the scheduler before it looks at any register.
    unsafe { entry::enter_guest() }
}

/// Another CPU arrives here, on its own stack.
#[unsafe(no_mangle)]
extern "C" fn ap_main() -> ! {
    let cpu = percpu::this();
    boot::setup_cpu(cpu, options());
    apic::init();
    // SAFETY: the final tables hold everything that this CPU uses.
    unsafe { instructions::write_cr3(paging::root()) };
    switch::go_online();
    while !CPU0_READY.load(Ordering::Acquire) {
        // Flush requests may come already.
        // SAFETY: the descriptor tables are loaded.
        unsafe { instructions::sti() };
        core::hint::spin_loop();
    }
    instructions::cli();
    enter_first()
}

fn start_others(plan: &Plan) {
    const TRAMPOLINE: u64 = 0x8000;
    for (n, area) in plan.areas.iter().enumerate().skip(1) {
        let id = CPUS[n].apic_id.load(Ordering::Relaxed);
        // SAFETY: one at a time; the page below 1 MiB is nobody's.
        unsafe { smp::start(id, TRAMPOLINE, paging::root(), area.top as u64, delay_us) };
        let mut patience = 1000;
        while !CPUS[n].online.load(Ordering::SeqCst) && patience > 0 {
            delay_us(1000);
            patience -= 1;
        }
        if patience == 0 {
            warning!("CPU {n} (APIC id {id}) does not start; going on without it");
        }
    }
}

/// Frame table, machine-to-physical table, heap; then the root of everything.
fn make_hypervisor(plan: &mut Plan) {
    let frames = plan.ram_end >> 12;
    let table = plan.early.take(frames * size_of::<FrameEntry>() as u64, 4096);
    // SAFETY: zeroes are valid entries ("no RAM"), and the memory is the table's for ever.
    let entries = unsafe { core::slice::from_raw_parts(direct::<FrameEntry>(table), frames as usize) };
    let m2p_bytes = (frames * 8).next_multiple_of(2 << 20);
    let m2p_start = plan.early.take(m2p_bytes, 2 << 20);
    let early = &mut plan.early;
    let flags = paging::P | paging::USER | paging::GLOBAL | paging::NX;
    paging::map(layout::M2P_START, m2p_start, m2p_bytes, flags, 2 << 20, &mut || early.page());
    // SAFETY: fresh memory; all ones is "no guest frame".
    unsafe { core::ptr::write_bytes(direct::<u8>(m2p_start), 0xff, m2p_bytes as usize) };
    // SAFETY: as above; only atomics touch it from now on.
    let m2p = unsafe { core::slice::from_raw_parts(direct::<AtomicU64>(m2p_start), frames as usize) };

    let ram = plan.boot.memory_map().iter().filter(|entry| entry.kind == E820_RAM);
    let ram =
        ram.map(|entry| (entry.start + entry.len).min(plan.ram_end).saturating_sub(entry.start.max(1 << 20))).sum();
    MEMORY.call_once(|| [ram, frames * size_of::<FrameEntry>() as u64, m2p_bytes]);

    let address_bits = instructions::cpuid(0x8000_0008, 0)[0] & 0xff;
    let mut io = IoRanges::new(Mfn(1 << (address_bits.clamp(36, 52) - 12)));
    io.restrict(Mfn(plan.tables.lapic >> 12), Mfn((plan.tables.lapic >> 12) + 1), false);
    for ioapic in irq::ioapics() {
        io.restrict(Mfn(ioapic.physical >> 12), Mfn((ioapic.physical >> 12) + 1), false);
    }
    // RAM is mapped by ownership, never as I/O memory; but for the first MiB, which holds the BIOS's tables.
    for entry in plan.boot.memory_map().iter().filter(|entry| entry.kind == E820_RAM) {
        let (start, end) = (entry.start.max(1 << 20) >> 12, (entry.start + entry.len) >> 12);
        if start < end && !io.restrict(Mfn(start), Mfn(end), false) {
            boot::stop(format_args!("the memory map has too many RAM ranges"));
        }
    }
    let table = FrameTable::new(entries, io);

    // Nothing is taken early any more; what is left of it is free.
    let mut taken: Vec<Range> = plan.boot.modules().iter().map(|module| module.range).collect();
    taken.push(Range { start: layout::IMAGE_PHYSICAL, end: boot::image_end() });
    taken.push(Range { start: plan.early.range.end, end: plan.early.limit });
    taken.sort_unstable_by_key(|range| range.start);
    let platform = Machine { m2p, online: spin::Mutex::new(CpuMask::EMPTY) };
    let hypervisor = match Hypervisor::try_new(platform, table, plan.areas.len() as u16) {
        Ok(hypervisor) => hypervisor,
        Err(error) => boot::stop(format_args!("no memory for the hypervisor's own state ({error:?})")),
    };
    let mut hypervisor = hypervisor;
    hypervisor.build = build_info(plan);
    let e820: Vec<_> = plan
        .boot
        .memory_map()
        .iter()
        .map(|entry| ferroxen_core::memory::E820Entry::new(entry.start, entry.len, entry.kind))
        .collect();
    hypervisor.machine.e820 = Vec::leak(e820);
    let extents: Vec<Mfn> = (m2p_start..m2p_start + m2p_bytes).step_by(2 << 20).map(|at| Mfn(at >> 12)).collect();
    hypervisor.machine.m2p_extents = Vec::leak(extents);
    // What `xl dmesg` shows; Xen's default size.
    match Console::try_new(16 << 10) {
        Ok(console) => hypervisor.console = console,
        Err(_) => warning!("no memory for the console ring"),
    }
    hypervisor.console.start_input(plan.options.conswitch);
    hypervisor.settings = Settings::of(&plan.options);

    for entry in plan.boot.memory_map().iter().filter(|entry| entry.kind == E820_RAM) {
        // The first MiB stays with the BIOS's tables, which dom0 maps as they are.
        let start = entry.start.max(1 << 20).next_multiple_of(4096) >> 12;
        let end = (entry.start + entry.len).min(plan.ram_end) >> 12;
        let mut at = start;
        for used in &taken {
            let (first, last) = (used.start >> 12, used.end.div_ceil(4096));
            if last <= at || first >= end {
                continue;
            }
            if first > at {
                give_to_heap(&hypervisor, at, first);
            }
            at = at.max(last);
        }
        if at < end {
            give_to_heap(&hypervisor, at, end);
        }
    }
    HV.call_once(|| hypervisor);
    let early = EARLY_LINES.lock();
    hv().console.put(&early.bytes[..early.len]);
}

/// What XENVER_* answers. `./x build` says who compiled what.
fn build_info(plan: &Plan) -> BuildInfo {
    let mut line = String::new();
    if line.try_reserve_exact(plan.line.as_str().len()).is_ok() {
        line.push_str(plan.line.as_str());
    }
    BuildInfo {
        version: plan.options.xen_version,
        compiler: option_env!("FERROXEN_COMPILER").unwrap_or("rustc"),
        compile_date: option_env!("FERROXEN_DATE").unwrap_or(""),
        changeset: option_env!("FERROXEN_CHANGESET").unwrap_or("ferroxen"),
        command_line: line.leak(),
        build_id: build_id(),
        ..BuildInfo::default()
    }
}

/// What the linker's note says of this image; empty without one.
fn build_id() -> &'static [u8] {
    unsafe extern "C" {
        static build_id_start: u8;
        static build_id_end: u8;
    }
    let (start, end) = (&raw const build_id_start, &raw const build_id_end);
    // SAFETY: the linker script sets both, around constants of this image.
    let note = unsafe { core::slice::from_raw_parts(start, end.addr() - start.addr()) };
    // Three numbers (name's length, contents' length, type), "GNU\0", the contents.
    note.get(16..).unwrap_or_default()
}

fn give_to_heap(hypervisor: &Hypervisor<Machine>, start: u64, end: u64) {
    hypervisor.heap.add(&hypervisor.frames, Mfn(start), end - start);
}

/// Says what the machine's memory is used for. What is neither free nor a domain's nor of the two tables is the
/// hypervisor's own: image, stacks, page tables, heap, shared pages.
pub fn memory_report() {
    let Some(&[ram, frame_table, m2p]) = MEMORY.get() else { return };
    let free = hv().heap.stats().free << 12;
    let mut domains = 0;
    let mut next = DomId(0);
    while let Some(domain) = hv().domains.next(next) {
        domains += domain.pages.total.load(Ordering::Relaxed) << 12;
        next = DomId(domain.id.0.saturating_add(1));
        if next >= DomId::FIRST_RESERVED {
            break;
        }
    }
    info!(
        "Memory: {} KiB RAM, {} domains', {} free, {} frame table, {} machine-to-physical",
        ram >> 10,
        domains >> 10,
        free >> 10,
        frame_table >> 10,
        m2p >> 10
    );
    info!("Memory: the hypervisor's own: {} KiB", ram.saturating_sub(free + domains + frame_table + m2p) >> 10);
}

/// A module's frames, once they are not needed any more.
pub fn release_module(range: Range) {
    let (start, end) = (range.start.next_multiple_of(4096) >> 12, range.end >> 12);
    if start < end {
        give_to_heap(hv(), start, end);
    }
}

/// Memory for the hypervisor's heap, by physical address.
pub fn take_frames(order: u8) -> Option<u64> {
    let request = Request { order: order.into(), ..Request::default() };
    Some(HV.get()?.alloc_frames(percpu::this(), request)?.maddr().0)
}

/// The hypervisor's state, once there is any.
pub fn started() -> Option<&'static Hypervisor<Machine>> {
    HV.get()
}

/// Console output for the ring that `xl dmesg` reads.
pub fn to_ring(bytes: &[u8]) {
    match HV.get() {
        Some(hv) => hv.console.put(bytes),
        None => EARLY_LINES.lock().keep(bytes),
    }
}

/// What was said before there was a ring.
struct EarlyLines {
    bytes: [u8; 8192],
    len: usize,
}

impl EarlyLines {
    fn keep(&mut self, bytes: &[u8]) {
        let len = bytes.len().min(self.bytes.len() - self.len);
        self.bytes[self.len..self.len + len].copy_from_slice(&bytes[..len]);
        self.len += len;
    }
}

static EARLY_LINES: spin::Mutex<EarlyLines> = spin::Mutex::new(EarlyLines { bytes: [0; 8192], len: 0 });

/// Looks for input on the serial line.
pub fn poll_console() {
    while let Some(byte) = console::receive() {
        crate::keys::input(byte);
    }
}

/// Whether COM1 is the hypervisor's console.
pub fn serial_is_ours() -> bool {
    SERIAL_IS_OURS.load(Ordering::Relaxed)
}

/// Wakes vcpus.
pub fn notify(notify: Notify) {
    hv().notify(notify);
}

/// A CPU's page of reserved descriptors.
pub fn gdt_page(cpu: CpuId) -> *mut u64 {
    GDT_PAGES[usize::from(cpu.0)].load(Ordering::Relaxed)
}

/// A domain's CPUID policy.
pub fn policy(domain: &Domain) -> &Policy {
    let kind = if domain.privileged { Kind::Dom0 } else { Kind::DomU };
    domain.toolstack.policy.get().unwrap_or_else(|| policy_of(kind))
}

/// The policy of domains for which the toolstack chose none.
pub fn policy_of(kind: Kind) -> &'static Policy {
    let policy = if kind == Kind::Dom0 { &DOM0_POLICY } else { &DOMU_POLICY };
    policy.get().expect("set at boot")
}

/// What CPUID says of the hypervisor.
pub fn xen_info() -> XenInfo {
    let scale = platform::scale();
    let khz = CALIBRATION.get().map_or(0, |c| c.tsc_hz / 1000) as u32;
    XenInfo {
        version: options().xen_version,
        tsc_reliable: false,
        tsc_khz: khz,
        host_tsc_khz: khz,
        tsc_scale: (scale.mul, scale.shift),
        machine_address_bits: 64 - (hv().frames.end().0 << 12).leading_zeros(),
        ..XenInfo::default()
    }
}

/// The wall clock.
pub fn wall_clock() -> WallClock {
    *WALL.lock()
}

/// Sets the wall clock, for every domain.
pub fn set_wall_clock(wall: WallClock) {
    *WALL.lock() = wall;
    let mut next = DomId(0);
    while let Some(domain) = hv().domains.next(next) {
        write_wall_clock(&domain);
        next = DomId(domain.id.0.saturating_add(1));
        if next >= DomId::FIRST_RESERVED {
            break;
        }
    }
}

/// Writes the wall clock into a domain's shared info.
pub fn write_wall_clock(domain: &Domain) {
    ferroxen_core::domctl::write_wall_clock(hv(), domain, wall_clock());
}

/// A vcpu halts (HLT): as SCHEDOP_block.
pub fn block(top: &mut StackTop, _vcpu: &Vcpu, _shared: &Shared<Vcpu>) {
    crate::traps::with_ctx(top, |ctx, _| ferroxen_core::hypercall::sched_op::block(ctx));
}

/// Writes a debug register of the running guest.
pub fn set_debugreg(pv: &mut PvState, n: u32, value: u64) -> Option<()> {
    let result = ferroxen_core::hypercall::debugreg::set(pv, n.into(), value).ok();
    switch::load_debug(pv);
    result
}

/// Fills a guest frame with hypercall stubs.
pub fn write_hypercall_page(domain: &Domain, gfn: u64) -> Option<()> {
    let held = hv().frames.get(Mfn(gfn), domain.id).ok()?;
    let (kind, count) = hv().frames.type_count(Mfn(gfn));
    let good = count == 0 || kind == ferroxen_core::frame::FrameType::Writable;
    if good {
        hv().platform.page(Mfn(gfn)).write(0, &ferroxen_loader::build::hypercall_page());
    }
    if let Some(freed) = hv().frames.put(held) {
        hv().free_frame(freed);
    }
    good.then_some(())
}

/// Ends a domain, and the machine with it if it is dom0.
pub fn domain_shutdown(domain: &Domain, reason: u8) {
    hv().shutdown(domain, reason);
    percpu::mark(percpu::this(), percpu::work::SCHEDULE);
    after_shutdown(domain);
}

/// What becomes of the machine when a domain ended: nothing, unless it was dom0.
pub fn after_shutdown(domain: &Domain) {
    use xen_abi::sched::*;
    let code = domain.shutdown.load(Ordering::SeqCst);
    if domain.id != DomId(0) || code == 0 {
        return;
    }
    let reason = u32::from(code - 1);
    match reason {
        SHUTDOWN_poweroff => {
            info!("Domain 0 halted: halting machine");
            power_off()
        }
        SHUTDOWN_reboot => {
            info!("Domain 0 shutdown: rebooting machine");
            reboot()
        }
        SHUTDOWN_crash => {
            crate::error!(
                "Domain 0 crashed: {} machine",
                if options().noreboot { "'noreboot' set - halting" } else { "rebooting" }
            );
            finish()
        }
        SHUTDOWN_watchdog => {
            crate::error!("Domain 0 watchdog expired: rebooting machine");
            finish()
        }
        other => {
            info!("Domain 0 shutdown (reason {other}): rebooting machine");
            reboot()
        }
    }
}

fn finish() -> ! {
    if options().noreboot {
        stop_others();
        instructions::halt();
    }
    reboot()
}

/// Stops the other CPUs by NMI.
pub fn stop_others() {
    let me = percpu::this();
    for (n, cpu) in CPUS.iter().enumerate() {
        if n != usize::from(me.0) && cpu.online.load(Ordering::Relaxed) {
            cpu.stop.store(true, Ordering::SeqCst);
            apic::send(cpu.apic_id.load(Ordering::Relaxed), 0x400);
        }
    }
}

/// Waits, by the TSC.
pub fn delay_us(us: u64) {
    let mhz = CALIBRATION.get().map_or(1000, |c| c.tsc_hz / 1_000_000).max(1);
    let start = instructions::rdtsc();
    while instructions::rdtsc().wrapping_sub(start) < us * mhz {
        core::hint::spin_loop();
    }
}

/// Switches the machine off (ACPI S5 was set up by dom0, which wrote the sleep registers itself) or halts it.
pub fn power_off() -> ! {
    stop_others();
    if let Some(tables) = TABLES.get() {
        // SLP_EN with SLP_TYP 0, which is S5 on QEMU's machines; elsewhere dom0's ACPI has done it by platform_op.
        for port in tables.pm1_control.into_iter().filter(|&port| port != 0) {
            // SAFETY: the FADT names the port.
            unsafe { instructions::outw(port, 0x2000) };
        }
    }
    instructions::halt()
}

/// Resets the machine: ACPI's register, the keyboard controller, a triple fault.
pub fn reboot() -> ! {
    instructions::cli();
    stop_others();
    if let Some((space, address, value)) = TABLES.get().map(|tables| tables.reset)
        && space == 1
    {
        // SAFETY: the FADT names the port.
        unsafe { instructions::outb(address as u16, value) };
        delay_us(50_000);
    }
    // SAFETY: the keyboard controller's reset line, then the PCI reset register.
    unsafe {
        instructions::outb(0x64, 0xfe);
        delay_us(50_000);
        instructions::outb(0xcf9, 0x02);
        instructions::outb(0xcf9, 0x06);
    }
    delay_us(50_000);
    instructions::halt()
}
