//! Input on the hypervisor's console: goes to dom0, or, after three times Ctrl-A (or as `conswitch=` says), to the debug keys.

use crate::machine::hv;
use crate::percpu::{self, COUNTER_NAMES};
use crate::{bounce, info, switch};
use core::sync::atomic::Ordering;
use ferroxen_core::Platform;
use ferroxen_core::addr::{Mfn, Vaddr};
use ferroxen_core::console::Received;
use ferroxen_core::domain::DomId;
use ferroxen_core::evtchn;
use ferroxen_core::paging;
use ferroxen_x86::trace::Ring;

/// One byte from the serial line.
pub fn input(byte: u8) {
    match hv().console.receive(byte) {
        Received::ForGuest => {
            crate::machine::notify(evtchn::send_global_virq(hv(), xen_abi::xen::VIRQ_CONSOLE));
        }
        Received::Key(key) => debug_key(key),
        Received::Switched(ours) => {
            let name = if ours { "Xen" } else { "DOM0" };
            let letter = char::from(hv().console.conswitch().letter);
            info!("*** Serial input to {name} (type 'CTRL-{letter}' three times to switch input)");
        }
        Received::Lost | Received::Nothing => {}
    }
}

/// Does what a debug key stands for.
pub fn debug_key(key: u8) {
    match key {
        b'h' => {
            info!("'h' pressed -> showing installed handlers");
            info!(
                " key 'R' => reboot machine; '0' => dom0's registers; 'c' => counters; 'd' => registers; 'e' => event channels; 'q' => domains"
            );
            info!(" key 'T' => trace buffers (tbuf_size=PAGES)");
            info!(" key 'm' => memory; 'W' => rights of the hypervisor's own pages; 'C' => trigger a crash");
        }
        b'R' => {
            info!("'R' pressed -> rebooting machine");
            crate::machine::reboot()
        }
        b'C' => panic!("'C' pressed -> triggering a crash"),
        b'W' => crate::protection::report(),
        b'c' => counters(),
        b'd' => {
            if switch::running().is_some() {
                bounce::show_guest(switch::top());
            }
        }
        b'0' => dom0_registers(),
        b'm' => {
            let stats = hv().heap.stats();
            info!("heap: {} of {} KiB free", stats.free << 2, stats.total << 2);
            crate::machine::memory_report();
        }
        b'T' => trace_buffers(),
        b'e' | b'q' => domains(key == b'e'),
        _ => info!("no debug key '{}' (press 'h')", char::from(key)),
    }
}

/// What passed each CPU's trace points last.
fn trace_buffers() {
    // A serial line takes a second for more.
    const SHOWN: u64 = 64;
    for cpu in hv().platform.online().iter() {
        let top = percpu::remote(cpu).top.load(Ordering::Acquire);
        if top.is_null() {
            continue;
        }
        // SAFETY: stack tops are never taken away, and this field does not change once the CPU is up.
        let ring = unsafe { (*top).cpu.trace };
        if ring.is_null() {
            info!("CPU {}: no trace buffer (option tbuf_size=PAGES)", cpu.0);
            continue;
        }
        info!("CPU {}:", cpu.0);
        // SAFETY: it was made by `Ring::leak`.
        for record in unsafe { Ring::last(ring, SHOWN) } {
            info!("  {record}");
        }
    }
}

fn counters() {
    for cpu in hv().platform.online().iter() {
        let counters = percpu::counters(cpu);
        info!("CPU {}:", cpu.0);
        for (name, value) in COUNTER_NAMES.iter().zip(&counters.kinds) {
            info!("  {name}: {}", value.load(Ordering::Relaxed));
        }
        for (number, value) in counters.hypercalls.iter().enumerate() {
            let value = value.load(Ordering::Relaxed);
            if value != 0 {
                info!("  hypercall {number}: {value}");
            }
        }
        let top = percpu::remote(cpu).top.load(Ordering::Acquire);
        // SAFETY: stack tops are never taken away.
        let cpu = unsafe { &raw const (*top).cpu };
        // SAFETY: as above; a torn counter is only printed.
        let read = |counter: *const u64| unsafe { counter.read_volatile() };
        // SAFETY: fields of the same block.
        let fast = unsafe {
            [
                &raw const (*cpu).syscall_bounces,
                &raw const (*cpu).syscall_returns,
                &raw const (*cpu).iret_returns,
                &raw const (*cpu).fault_bounces,
            ]
        };
        let [bounces, returns, irets, faults] = fast.map(read);
        info!(
            "  in assembly: system calls {bounces}, their returns {returns}, other irets {irets}, user page faults {faults}"
        );
    }
}

fn domains(events: bool) {
    let mut next = DomId(0);
    while let Some(domain) = hv().domains.next(next) {
        info!(
            "d{}: {} of {} frames, shutdown {}",
            domain.id.0,
            domain.pages.total.load(Ordering::Relaxed),
            domain.pages.max.load(Ordering::Relaxed),
            domain.shutdown.load(Ordering::Relaxed)
        );
        for vcpu in domain.vcpus() {
            let info = vcpu.info();
            let page = hv().platform.page(info.mfn());
            info!(
                "  v{}: flags {:#x} on {:?} upcall pending {} mask {} rip {:#x}",
                vcpu.id,
                vcpu.sched.flags(),
                vcpu.sched.running_on().map(|cpu| cpu.0),
                page.load_u8(info.offset()),
                page.load_u8(info.offset() + 1),
                vcpu.saved.try_lock().map_or(0, |saved| saved.regs.rip)
            );
        }
        if events {
            info!("{}", evtchn::Dump { platform: &hv().platform, dom: &domain });
        }
        if domain.id.0 == u16::MAX {
            break;
        }
        next = DomId(domain.id.0 + 1);
    }
}

/// Registers and the top of the stack of dom0's vcpus that do not run at the moment.
fn dom0_registers() {
    let Some(domain) = hv().domains.get(DomId(0)) else { return };
    for vcpu in domain.vcpus() {
        let Some(saved) = vcpu.saved.try_lock() else { continue };
        if vcpu.sched.running_on().is_some() {
            info!("v{} runs on CPU {:?}", vcpu.id, vcpu.sched.running_on());
            continue;
        }
        let r = &saved.regs;
        info!(
            "v{}: rip {:016x} rsp {:016x} rflags {:08x} rax {:x} rdi {:x} rsi {:x}",
            vcpu.id, r.rip, r.rsp, r.rflags, r.rax, r.rdi, r.rsi
        );
        for word in 0..160u64 {
            let at = Vaddr(r.rsp.wrapping_add(word * 8));
            let Some((table, index)) = paging::find_l1e(hv(), saved.pv.kernel_root, at) else { break };
            let entry = hv().platform.page(table).load_u64(index * 8);
            let mfn = Mfn(entry >> 12 & 0xff_ffff_ffff);
            if entry & 1 == 0 || !hv().frames.is_ram(mfn) {
                break;
            }
            let value = hv().platform.page(mfn).load_u64(at.0 as usize & 0xfff);
            // What may be a return address of Linux's text.
            if value >> 32 == 0xffff_ffff && value & 0xffff_ffff >= 0x8100_0000 {
                info!("  [{:016x}] {value:016x}", at.0);
            }
        }
    }
}
