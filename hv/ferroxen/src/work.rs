//! What is done between a trap and the return to a guest: timers, interrupts, scheduling, events.

use crate::machine::{Vcpu, hv};
use crate::percpu::{self, work};
use crate::platform::{flush_all_here, flush_here};
use crate::{bounce, irq, switch, timer};
use core::sync::atomic::Ordering;
use ferroxen_core::Platform;
use ferroxen_core::addr::Vaddr;
use ferroxen_core::ctx::{Effect, Effects, SegmentBases};
use ferroxen_core::platform::Flush;
use ferroxen_core::pv;
use ferroxen_x86::{StackTop, fpu, instructions};

/// Called by the exit path as long as something waits. Comes and goes with interrupts off.
#[unsafe(no_mangle)]
extern "C" fn exit_work_for_guest(top: &mut StackTop) {
    let mut worked = false;
    while top.cpu.pending.load(Ordering::Relaxed) != 0 {
        let pending = percpu::take_pending();
        worked = true;
        switch::count_hypercalls(top);
        // SAFETY: this CPU is set up.
        unsafe { instructions::sti() };
        if perform(top, pending) {
            switch::schedule(top);
        }
        instructions::cli();
    }
    if worked {
        timer::program();
    }
    let Some((vcpu, _)) = switch::running_at(top) else { return };
    if top.pv.vcpu_info != vcpu.info() {
        switch::refresh_info(top, vcpu);
    }
    // A guest's stack is written with interrupts on.
    if vcpu.pending_nmi.load(Ordering::Acquire) && top.pv.flags & pv::NMI_MASKED == 0 {
        // SAFETY: this CPU is set up.
        unsafe { instructions::sti() };
        bounce::deliver_nmi(top, vcpu);
        instructions::cli();
    }
    let [pending, mask] = bounce::upcall(top);
    if pending.load(Ordering::Acquire) != 0 && mask.load(Ordering::Relaxed) == 0 {
        // SAFETY: as above.
        unsafe { instructions::sti() };
        bounce::deliver_event(top);
        instructions::cli();
    }
}

/// Does the work of these bits; gives whether the scheduler is to be asked.
pub fn perform(_top: &mut StackTop, pending: u64) -> bool {
    let mut slice_ended = false;
    if pending & work::TIMER != 0 {
        slice_ended = timer::expire();
    }
    if pending & work::IRQ != 0 {
        irq::deliver();
    }
    slice_ended || pending & work::SCHEDULE != 0
}

/// Performs what core wants done on this CPU before the guest goes on.
pub fn apply(top: &mut StackTop, effects: Effects) {
    if effects.has(Effect::FLUSH_ALL) {
        flush_all_here();
    } else if effects.has(Effect::FLUSH_NON_GLOBAL) {
        flush_here(Flush::NonGlobal);
    }
    if let Some(Vaddr(at)) = effects.page() {
        instructions::invlpg(at);
    }
    if effects.has(Effect::LOAD_DESCRIPTOR_TABLES) {
        switch::load_descriptor_tables(&top.pv, instructions::invlpg);
    }
    if effects.has(Effect::LOAD_DEBUG) {
        switch::load_debug(&top.pv);
    }
    if effects.has(Effect::LOAD_FPU) {
        fpu::set_task_switched(top.pv.flags & ferroxen_core::pv::TASK_SWITCHED != 0);
    }
    if let Some(bases) = effects.segment_bases() {
        load_segment_bases(top, bases);
    }
    if (effects.has(Effect::REFRESH_INFO) || effects.has(Effect::UPDATE_TIME))
        && let Some((vcpu, _, _)) = switch::running()
    {
        switch::refresh_info(top, vcpu);
        switch::write_time(vcpu);
    }
    if effects.has(Effect::SHUTDOWN)
        && let Some((_, domain, _)) = switch::running()
    {
        crate::machine::after_shutdown(domain);
    }
    if effects.has(Effect::RESCHEDULE) {
        percpu::mark(percpu::this(), work::SCHEDULE);
    }
    if effects.has(Effect::PROGRAM_TIMER) {
        timer::program();
    }
}

fn load_segment_bases(top: &mut StackTop, bases: SegmentBases) {
    for (msr, base) in [(0xc000_0100, bases.fs), (0xc000_0101, bases.gs_kernel)] {
        if let Some(base) = base {
            // SAFETY: core checked that it is canonical; the hypervisor uses neither.
            unsafe { instructions::wrmsr(msr, base) };
        }
    }
    if let Some(selector) = bases.gs_user_selector {
        switch::load_user_gs(top, selector);
    }
    if let Some(base) = bases.gs_user {
        // SAFETY: as above.
        unsafe { instructions::wrmsr(0xc000_0102, base) };
    }
}

/// Copies a vcpu's run states to where its guest wants to see them. It runs on this CPU, with its tables loaded.
pub fn update_runstate_area(vcpu: &Vcpu) {
    use zerocopy::IntoBytes;
    if let Some(at) = vcpu.runstate.guest_area() {
        let snapshot = vcpu.runstate.snapshot(hv().platform.now());
        // A guest that unmapped its area sees no more of it.
        let _ = hv().platform.copy_to_guest(percpu::this(), Vaddr(at), snapshot.as_bytes());
    }
}
