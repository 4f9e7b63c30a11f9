//! `sched_op` and the timers, as a guest sees them.

use super::*;
use crate::addr::{Maddr, Mfn, PAGE_SIZE};
use crate::cpu::CpuId;
use crate::ctx::{Ctx, Effects};
use crate::domain::{DomId, Domain};
use crate::evtchn::{alloc_unbound, send};
use crate::platform::Platform;
use crate::sched::{BLOCKED, INITIALISED, Scheduler, UP};
use crate::testing::{CPUS, TestPlatform};
use crate::time::{Timer, TimerKind};
use ferroxen_sync::Shared;
use std::sync::atomic::Ordering::SeqCst;
use xen_abi::GuestPtr;
use xen_abi::sched::*;

const NOW: u64 = 1_000_000_000_000;
const SECOND: u64 = 1_000_000_000;

/// A domain whose vcpus are up, each with its record in the shared-info page.
pub struct Guest {
    pub world: TestWorld,
    pub dom: Shared<Domain<TestPlatform>>,
}

impl Guest {
    pub fn new(vcpus: u32) -> Guest {
        let world = TestWorld::new(64, &[(1, 60)]);
        world.platform().time.store(NOW, SeqCst);
        (0..CPUS as u16).for_each(|cpu| world.hv.sched.add_cpu(CpuId(cpu)));
        let dom = Shared::try_new(Domain::try_new(DomId(5), vcpus, false).unwrap()).ok().unwrap();
        assert!(world.hv.domains.insert(dom.clone()).is_ok());
        let shared = world.hv.alloc_frames(CpuId(0), Default::default()).unwrap();
        dom.shared_info.store(shared.0, SeqCst);
        dom.pages.max.store(u64::MAX, SeqCst);
        for id in 0..vcpus {
            world.hv.reserve_vcpu().unwrap();
            let vcpu = dom.create_vcpu(id).unwrap();
            vcpu.sched.set(UP | INITIALISED);
            vcpu.set_info(Maddr(shared.maddr().0 + u64::from(id) * size_of::<VcpuInfo>() as u64));
        }
        Guest { world, dom }
    }

    /// A hypercall of a vcpu on a CPU.
    pub fn on<R>(&self, cpu: u16, vcpu: u32, f: impl FnOnce(&mut Ctx<'_, TestPlatform>) -> R) -> (R, Effects) {
        let mut pv = PvState { flags: IN_KERNEL, ..PvState::default() };
        let (hv, vcpu, effects) = (&self.world.hv, self.dom.vcpu(vcpu).unwrap(), Effects::default());
        let mut ctx = Ctx { hv, cpu: CpuId(cpu), vcpu, dom: &self.dom, pv: &mut pv, effects };
        let result = f(&mut ctx);
        (result, ctx.effects)
    }

    pub fn flags(&self, vcpu: u32) -> u32 {
        self.dom.vcpu(vcpu).unwrap().sched.flags()
    }

    /// Sets a byte of a vcpu's record: 0 is "an event is pending", 1 is "events are masked".
    fn set_info(&self, vcpu: u32, byte: usize, value: u8) {
        let info = self.dom.vcpu(vcpu).unwrap().info();
        self.world.platform().page(info.mfn()).store_u8(info.offset() + byte, value);
    }

    fn info(&self, vcpu: u32, byte: usize) -> u8 {
        let info = self.dom.vcpu(vcpu).unwrap().info();
        self.world.platform().page(info.mfn()).load_u8(info.offset() + byte)
    }

    /// Takes every timer out of a CPU's queue: when, which vcpu, what for.
    pub fn timers(&self, cpu: u16) -> Vec<(u64, u32, TimerKind)> {
        let timers = self.world.hv.timers(CpuId(cpu)).unwrap();
        let mut found: Vec<Timer> = core::iter::from_fn(|| timers.expired(u64::MAX)).collect();
        found.sort_by_key(|timer| timer.at);
        assert!(found.iter().all(|timer| timer.domid == self.dom.id));
        found.into_iter().map(|timer| (timer.at, timer.vcpu, timer.kind)).collect()
    }

    fn poll(&self, ports: &[u32], timeout: u64) -> (HypercallResult, Effects) {
        ports.iter().zip(0..).for_each(|(port, n)| self.world.platform().poke(ARG + 0x100 + n * 4, port));
        let poll = SchedPoll {
            ports: GuestPtr::new(ARG + 0x100),
            nr_ports: ports.len() as u32,
            timeout,
            ..Default::default()
        };
        self.world.platform().poke(ARG, &poll);
        self.on(0, 0, |ctx| sched_op::sched_op(ctx, SCHEDOP_poll, Vaddr(ARG)))
    }
}

fn reschedule(effects: &Effects) -> bool {
    effects.has(Effect::RESCHEDULE)
}

#[test]
fn a_vcpu_blocks_unless_an_event_is_pending_and_events_are_unmasked() {
    let guest = Guest::new(1);
    for (pending, asleep) in [(0, true), (1, false)] {
        guest.dom.vcpu(0).unwrap().sched.clear(BLOCKED);
        guest.set_info(0, 0, pending);
        guest.set_info(0, 1, 1);
        let (result, effects) = guest.on(0, 0, |ctx| sched_op::sched_op(ctx, SCHEDOP_block, Vaddr(0)));
        assert_eq!((result, guest.info(0, 1)), (Ok(0), 0));
        assert_eq!((guest.flags(0) & BLOCKED != 0, reschedule(&effects)), (asleep, asleep));
    }
}

#[test]
fn a_vcpu_that_yields_asks_the_scheduler() {
    let guest = Guest::new(1);
    let (result, effects) = guest.on(0, 0, |ctx| sched_op::sched_op(ctx, SCHEDOP_yield, Vaddr(0)));
    assert_eq!((result, reschedule(&effects), guest.flags(0) & BLOCKED), (Ok(0), true, 0));
}

#[test]
fn a_domain_ends_itself_for_a_reason_of_8_bits() {
    for (reason, kept) in [(SHUTDOWN_poweroff, 1), (SHUTDOWN_crash, 4), (0x1_0002, 3)] {
        for old in [false, true] {
            let guest = Guest::new(1);
            guest.world.platform().poke(ARG, &SchedShutdown { reason });
            let (result, effects) = guest.on(0, 0, |ctx| match old {
                true => sched_op::sched_op_compat(ctx, SCHEDOP_shutdown, reason.into()),
                false => sched_op::sched_op(ctx, SCHEDOP_shutdown, Vaddr(ARG)),
            });
            assert_eq!((result, guest.dom.shutdown.load(SeqCst)), (Ok(0), kept));
            assert!(reschedule(&effects) && effects.has(Effect::SHUTDOWN));
        }
    }
}

#[test]
fn the_old_sched_op_has_three_commands() {
    let guest = Guest::new(1);
    let old = |cmd| guest.on(0, 0, |ctx| sched_op::sched_op_compat(ctx, cmd, 0));
    for cmd in [SCHEDOP_yield, SCHEDOP_block] {
        let (result, effects) = old(cmd);
        assert_eq!((result, reschedule(&effects)), (Ok(0), true), "{cmd}");
    }
    for cmd in [SCHEDOP_poll, SCHEDOP_shutdown_code, SCHEDOP_watchdog, 8] {
        assert_eq!(old(cmd).0, err(Errno::ENOSYS), "{cmd}");
    }
}

#[test]
fn the_control_domain_ends_others_by_number() {
    let guest = Guest::new(1);
    let end = |by, domain_id, at| {
        guest.world.platform().poke(ARG, &SchedRemoteShutdown { domain_id, reason: 0x103, ..Default::default() });
        guest.world.call(by, |ctx| sched_op::sched_op(ctx, SCHEDOP_remote_shutdown, Vaddr(at))).0
    };
    assert_eq!(
        (end(1, 5, ARG), end(0, 7, ARG), end(0, 5, 8)),
        (err(Errno::EPERM), err(Errno::ESRCH), err(Errno::EFAULT))
    );
    assert_eq!(guest.dom.shutdown.load(SeqCst), 0);
    assert_eq!((end(0, 5, ARG), guest.dom.shutdown.load(SeqCst)), (Ok(0), 4));
}

#[test]
fn a_pin_is_refused_and_a_code_is_taken() {
    let guest = Guest::new(1);
    let pin = |by, pcpu| {
        guest.world.platform().poke(ARG, &SchedPinOverride { pcpu });
        guest.world.call(by, |ctx| sched_op::sched_op(ctx, SCHEDOP_pin_override, Vaddr(ARG))).0
    };
    assert_eq!((pin(1, 0), pin(0, 3), pin(0, 4)), (err(Errno::EPERM), err(Errno::EOPNOTSUPP), err(Errno::EINVAL)));
    assert_eq!((pin(0, -1), pin(0, 1 << 16)), (err(Errno::EINVAL), err(Errno::EINVAL)));
    let op = |cmd| guest.on(0, 0, |ctx| sched_op::sched_op(ctx, cmd, Vaddr(8)));
    assert_eq!((op(SCHEDOP_shutdown_code), guest.dom.shutdown.load(SeqCst)), ((Ok(0), Effects::default()), 0));
    assert_eq!(op(8).0, err(Errno::ENOSYS));
    for cmd in [SCHEDOP_shutdown, SCHEDOP_poll, SCHEDOP_watchdog] {
        assert_eq!(op(cmd).0, err(Errno::EFAULT), "{cmd}");
    }
}

#[test]
fn a_vcpu_sleeps_until_a_port_that_it_polls_is_pending() {
    // How many of two ports are polled, which event wakes.
    for (polled, event, wakes) in [(0, 0, false), (1, 0, true), (1, 1, false), (2, 0, true), (2, 1, true)] {
        let guest = Guest::new(1);
        let (hv, dom) = (&guest.world.hv, &guest.dom);
        let ports = [(); 2].map(|()| alloc_unbound(hv, dom, DomId(5)).unwrap());
        let ends = ports.map(|port| crate::evtchn::bind_interdomain(hv, dom, dom, port).unwrap().0);
        // Whoever binds a channel finds an event there. From now on all are masked.
        let page = guest.world.platform().page(Mfn(dom.shared_info.load(SeqCst)));
        page.write(0, &[0; PAGE_SIZE as usize]);
        page.write(core::mem::offset_of!(SharedInfo, evtchn_mask), &[0xff; 512]);
        let (result, effects) = guest.poll(&ports[..polled], 0);
        assert_eq!((result, guest.flags(0) & BLOCKED, reschedule(&effects)), (Ok(0), BLOCKED, true));
        assert!(guest.timers(0).is_empty());
        hv.notify(send(hv, dom, ends[event]).unwrap());
        assert_eq!(guest.flags(0) & BLOCKED == 0, wakes, "{polled} {event}");
        // What is pending already is seen, whichever of them it is.
        dom.vcpu(0).unwrap().sched.clear(BLOCKED);
        let (result, effects) = guest.poll(&ports[..polled], 0);
        assert_eq!((result, guest.flags(0) & BLOCKED == 0, reschedule(&effects)), (Ok(0), wakes, !wakes));
        assert_eq!(crate::evtchn::poll_stop(dom, dom.vcpu(0).unwrap()), polled != 0 && !wakes, "whether it polls");
    }
}

#[test]
fn a_poll_ends_at_its_time_and_for_an_event_that_is_not_masked() {
    let guest = Guest::new(1);
    for (pending, masked, timeout, asleep) in [
        (0, 0, 0, true),
        (0, 0, 1, false),
        (0, 0, NOW, false),
        (0, 0, NOW + 1, true),
        (1, 1, 0, true),
        (1, 0, 0, false),
        (1, 0, NOW + 1, false),
    ] {
        guest.dom.vcpu(0).unwrap().sched.clear(BLOCKED);
        guest.set_info(0, 0, pending);
        guest.set_info(0, 1, masked);
        let (result, effects) = guest.poll(&[], timeout);
        let case = (pending, masked, timeout);
        assert_eq!((result, guest.flags(0) & BLOCKED != 0, reschedule(&effects)), (Ok(0), asleep, asleep), "{case:?}");
        let timed = asleep && timeout != 0;
        assert_eq!(effects.has(Effect::PROGRAM_TIMER), timed, "{case:?}");
        assert_eq!(guest.timers(0), if timed { vec![(timeout, 0, TimerKind::Poll)] } else { vec![] }, "{case:?}");
    }
}

#[test]
fn a_poll_of_what_cannot_be_polled_fails_and_nobody_sleeps() {
    let guest = Guest::new(1);
    let port = alloc_unbound(&guest.world.hv, &guest.dom, DomId(0)).unwrap();
    let most = [port; 128];
    assert_eq!(guest.poll(&most, 0).0, Ok(0));
    guest.dom.vcpu(0).unwrap().sched.clear(BLOCKED);
    for ports in [&[port; 129][..], &[port, port + 1], &[0], &[1 << 20]] {
        let (result, effects) = guest.poll(ports, 0);
        assert_eq!((result, guest.flags(0) & BLOCKED), (err(Errno::EINVAL), 0));
        assert!(effects.is_empty());
    }
    // The second number lies behind the guest's memory.
    let end = GUEST_BASE + 0x1_0000 - 4;
    guest.world.platform().poke(end, &port);
    guest.world.platform().poke(ARG, &SchedPoll { ports: GuestPtr::new(end), nr_ports: 2, ..Default::default() });
    let (result, _) = guest.on(0, 0, |ctx| sched_op::sched_op(ctx, SCHEDOP_poll, Vaddr(ARG)));
    assert_eq!((result, guest.flags(0) & BLOCKED), (err(Errno::EFAULT), 0));
}

fn watchdog(guest: &Guest, cpu: u16, id: u32, timeout: u32) -> HypercallResult {
    guest.world.platform().poke(ARG, &SchedWatchdog { id, timeout });
    let (result, effects) = guest.on(cpu, 0, |ctx| sched_op::sched_op(ctx, SCHEDOP_watchdog, Vaddr(ARG)));
    let timed = result.is_ok() && timeout != 0;
    assert_eq!(effects.has(Effect::PROGRAM_TIMER), timed, "{id} {timeout}");
    result
}

#[test]
fn a_domain_has_two_watchdogs() {
    let guest = Guest::new(1);
    let dog = |id, timeout| watchdog(&guest, 0, id, timeout);
    for unset in [1, 2] {
        assert_eq!(dog(unset, 1), err(Errno::EINVAL));
    }
    assert_eq!(dog(0, 0), err(Errno::EINVAL));
    assert_eq!((dog(0, 9), dog(0, 7)), (Ok(1), Ok(2)));
    assert_eq!(dog(0, 5), err(Errno::ENOSPC));
    assert_eq!((dog(3, 5), dog(3, 0), dog(u32::MAX, 5)), (err(Errno::EINVAL), err(Errno::EINVAL), err(Errno::EINVAL)));
    assert_eq!(guest.timers(0), [7, 9].map(|s| NOW + s * SECOND).into_iter().zip([2, 1]).map(dogs).collect::<Vec<_>>());
    assert_eq!((dog(1, 0), dog(1, 5), dog(1, 0)), (Ok(0), err(Errno::EINVAL), err(Errno::EINVAL)));
    assert_eq!((dog(0, u32::MAX), dog(2, 0)), (Ok(1), Ok(0)));
    assert_eq!(guest.timers(0), [dogs((NOW + u64::from(u32::MAX) * SECOND, 1))]);
}

fn dogs((at, id): (u64, u32)) -> (u64, u32, TimerKind) {
    (at, id, TimerKind::Watchdog)
}

/// A watchdog was kept as if it were a timer of the vcpu of its number. A domain without that vcpu could not take one back that
/// it had set, nor the one that it had set on another CPU before: it was ended though it fed its watchdog.
#[test]
fn a_watchdog_that_is_fed_or_stopped_on_another_cpu_does_not_bite() {
    for vcpus in 1..4 {
        let guest = Guest::new(vcpus);
        assert_eq!(watchdog(&guest, 0, 0, 5), Ok(1));
        assert_eq!(watchdog(&guest, 1, 1, 6), Ok(0));
        assert_eq!((guest.timers(0), guest.timers(1)), (vec![], vec![dogs((NOW + 6 * SECOND, 1))]));
        assert_eq!(watchdog(&guest, 2, 1, 5), Ok(0));
        assert_eq!(watchdog(&guest, 3, 1, 0), Ok(0));
        assert!((0..4).all(|cpu| guest.timers(cpu).is_empty()));
    }
}

#[test]
fn a_vcpu_has_one_timer_of_a_kind_wherever_it_set_it() {
    let guest = Guest::new(2);
    let set = |cpu, vcpu, at| {
        let (result, effects) = guest.on(cpu, vcpu, |ctx| sched_op::set_timer_op(ctx, at));
        assert_eq!(result, Ok(0));
        effects.has(Effect::PROGRAM_TIMER)
    };
    let one = |at, vcpu| vec![(at, vcpu, TimerKind::OneShot)];
    assert!(set(0, 0, NOW + 5) && !set(0, 1, NOW + 7) && set(0, 0, NOW + 6));
    assert_eq!(guest.timers(0), [one(NOW + 6, 0), one(NOW + 7, 1)].concat());
    assert!(set(0, 0, 5) && set(1, 1, 6) && set(2, 0, 7));
    assert_eq!((guest.timers(0), guest.timers(1), guest.timers(2)), (vec![], one(6, 1), one(7, 0)));
    assert!(set(0, 0, 5) && set(0, 1, 4));
    assert!(!set(3, 0, 0), "0 stops it");
    assert_eq!(guest.timers(0), one(4, 1));
    assert!(!set(3, 0, 0));
}
