//! The root from which all of the hypervisor's state is reached.

use super::{DomId, Domain, DomainTable, Vcpu};
use crate::console::Console;
use crate::cpu::CpuId;
use crate::evtchn::{self, Notify, VcpuSet};
use crate::frame::{FrameTable, Freed};
use crate::hypercall::BuildInfo;
use crate::memory::{Heap, Machine};
use crate::options::Options;
use crate::physdev::Lines;
use crate::platform::Platform;
use crate::sched::{self, Fair, Scheduler};
use crate::settings::Settings;
use crate::time::{RunState, Timers};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU16, Ordering};
use ferroxen_sync::Shared;
use xen_abi::Errno;
use xen_abi::sched::SHUTDOWN_suspend;
use xen_abi::xen::VIRQ_DOM_EXC;

/// All state of the hypervisor.
pub struct Hypervisor<P: Platform> {
    /// The machine.
    pub platform: P,
    /// All frames of the machine.
    pub frames: FrameTable,
    /// The free ones.
    pub heap: Heap,
    /// All domains.
    pub domains: DomainTable<P>,
    /// Who runs where.
    pub sched: Fair<P>,
    /// Who handles global VIRQs.
    pub virq_handlers: crate::evtchn::VirqHandlers,
    /// Console ring and input; set at boot.
    pub console: Console,
    /// What guests are told of this build; set at boot.
    pub build: BuildInfo,
    /// What guests are told of the machine's memory; set at boot.
    pub machine: Machine,
    /// What may be changed while it runs; set at boot.
    pub settings: Settings,
    /// Interrupt lines and PCI functions.
    pub lines: Lines,
    /// The number that a new domain was given last.
    pub last_domid: AtomicU16,
    timers: Vec<Timers>,
}

impl<P: Platform> Hypervisor<P> {
    /// Without domains, for CPUs 0 to `cpus - 1`.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn try_new(platform: P, frames: FrameTable, cpus: u16) -> Result<Self, Errno> {
        let mut timers = Vec::new();
        timers.try_reserve_exact(usize::from(cpus)).map_err(|_| Errno::ENOMEM)?;
        timers.resize_with(usize::from(cpus), Timers::default);
        let heap = Heap::default();
        Ok(Hypervisor {
            platform,
            frames,
            heap,
            domains: DomainTable::default(),
            sched: Fair::default(),
            virq_handlers: Default::default(),
            console: Console::default(),
            build: BuildInfo::default(),
            machine: Machine::default(),
            settings: Settings::of(&Options::default()),
            lines: Lines::default(),
            last_domid: AtomicU16::new(0),
            timers,
        })
    }

    /// The timers that a CPU looks after.
    pub fn timers(&self, cpu: CpuId) -> Option<&Timers> {
        self.timers.get(usize::from(cpu.0))
    }
    /// All CPUs' timers.
    pub fn all_timers(&self) -> &[Timers] {
        &self.timers
    }

    /// Makes room for one more vcpu in the scheduler and in every CPU's timers.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn reserve_vcpu(&self) -> Result<(), Errno> {
        self.sched.reserve().map_err(|()| Errno::ENOMEM)?;
        self.timers.iter().try_for_each(|timers| timers.reserve(1).map_err(|()| Errno::ENOMEM))
    }

    /// Performs what an event-channel operation wants done to vcpus.
    pub fn notify(&self, notify: Notify) {
        if notify.vcpus.is_empty() {
            return;
        }
        if let Some(dom) = self.domains.get(notify.domid) {
            self.wake_all(&dom, notify.vcpus);
        }
    }

    /// [`Hypervisor::wake`] for some vcpus of a domain.
    pub fn wake_all(&self, dom: &Domain<P>, vcpus: VcpuSet) {
        vcpus.iter().filter_map(|id| dom.vcpu(id)).for_each(|vcpu| self.wake(vcpu));
    }

    /// Something happened for a vcpu (an event became pending): if it sleeps it wakes, if it runs elsewhere its CPU
    /// looks.
    pub fn wake(&self, vcpu: &Shared<Vcpu<P>>) {
        let before = vcpu.sched.clear(sched::BLOCKED);
        if before & sched::BLOCKED != 0 {
            self.enqueue(vcpu);
        } else if let Some(cpu) = vcpu.sched.running_on() {
            self.platform.check_events(cpu);
        }
    }

    /// Lets an NMI wait for the vcpu and wakes it. Where it runs, the way back to the guest takes no notice of NMIs alone.
    pub fn send_nmi(&self, vcpu: &Shared<Vcpu<P>>) {
        vcpu.pending_nmi.store(true, Ordering::Release);
        self.wake(vcpu);
        if let Some(cpu) = vcpu.sched.running_on() {
            self.platform.kick(cpu);
        }
    }

    /// The vcpu may have become runnable: tells the scheduler.
    pub fn enqueue(&self, vcpu: &Shared<Vcpu<P>>) {
        if !vcpu.sched.runnable() {
            return;
        }
        let now = self.platform.now();
        if vcpu.sched.running_on().is_none() {
            vcpu.runstate.change(RunState::Runnable, now);
        }
        if let Some(cpu) = self.sched.wake(vcpu, now) {
            self.platform.kick(cpu);
        }
    }

    /// Takes a vcpu off its CPU soon, after one of its flags was set that makes it not runnable.
    pub fn stop_running(&self, vcpu: &Vcpu<P>) {
        if let Some(cpu) = vcpu.sched.running_on() {
            self.platform.kick(cpu);
        }
    }

    /// Stops all vcpus of a domain until [`Hypervisor::unpause`] (nested).
    pub fn pause(&self, dom: &Domain<P>) {
        dom.pause_count.fetch_add(1, Ordering::SeqCst);
        for vcpu in dom.vcpus() {
            vcpu.sched.set(sched::PAUSED);
            self.stop_running(vcpu);
        }
    }

    /// Undoes one [`Hypervisor::pause`].
    pub fn unpause(&self, dom: &Domain<P>) {
        let before = dom.pause_count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if before == Ok(1) {
            for vcpu in dom.vcpus() {
                vcpu.sched.clear(sched::PAUSED);
                self.enqueue(vcpu);
            }
        }
    }

    /// The domain ended itself or was ended, for the reason SHUTDOWN_*. Its vcpus stop.
    pub fn shutdown(&self, dom: &Domain<P>, reason: u8) {
        let code = reason.saturating_add(1);
        if dom.shutdown.compare_exchange(0, code, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            self.pause(dom);
            let port = dom.toolstack.suspend_port.load(Ordering::Relaxed);
            // Whoever looks after domains wants to know, whoever ended it; who waits for a suspend is told alone.
            let told = if u32::from(reason) == SHUTDOWN_suspend && port != 0 {
                evtchn::send(self, dom, port).unwrap_or(Notify::NONE)
            } else {
                evtchn::send_global_virq(self, VIRQ_DOM_EXC)
            };
            self.notify(told);
        }
    }

    /// A domain by number, SELF meaning `me`.
    pub fn find(&self, me: &Domain<P>, id: u16) -> Option<Shared<Domain<P>>> {
        self.domains.get(if DomId(id) == DomId::SELF { me.id } else { DomId(id) })
    }
}

impl<P: Platform> Hypervisor<P> {
    /// Gives a frame whose last reference went to the heap, and takes it off its owner's count. The caller holds no
    /// lock above `rank::DomainLife`.
    pub fn free_frame(&self, freed: Freed) {
        if freed.is_counted()
            && let Some(owner) = self.domains.get(freed.owner())
            && owner.pages.total.fetch_sub(1, Ordering::SeqCst) == 1
        {
            self.bury(&owner);
        }
        self.heap.free(&self.frames, &self.platform, freed.mfn(), 0, true);
    }

    /// Takes a domain whose end is complete out of the table, once nobody maps a frame of it any more.
    pub fn bury(&self, dom: &Domain<P>) {
        if dom.toolstack.is_dead() && dom.pages.total.load(Ordering::SeqCst) == 0 {
            // Whoever takes it out of the table gives its vcpus' room back, once.
            if self.domains.remove(dom.id).is_some() {
                self.sched.release(dom.vcpus().count());
            }
        }
    }
}
