//! `vcpu_op`, as a guest sees it.

use super::sched::Guest;
use super::*;
use crate::addr::{Maddr, Mfn};
use crate::cpu::CpuId;
use crate::ctx::Effects;
use crate::platform::Platform;
use crate::sched::{INITIALISED, Scheduler, UP};
use crate::time::{RunState, TimerKind};
use std::sync::atomic::Ordering::SeqCst;
use xen_abi::vcpu::*;
use zerocopy::{Immutable, IntoBytes};

const AREA: u64 = GUEST_BASE + 0x800;
/// The hypervisor's own.
const OURS: u64 = 0xffff_8200_0000_0000;

/// Vcpu 1's call about a vcpu.
fn op<T: IntoBytes + Immutable>(guest: &Guest, cmd: u32, about: u32, arg: T) -> (HypercallResult, Effects) {
    guest.world.platform().poke(ARG, &arg);
    guest.on(0, 1, |ctx| vcpu_op(ctx, cmd, about, Vaddr(ARG)))
}

fn only(kinds: Effect) -> Effects {
    let mut effects = Effects::default();
    effects.add(kinds);
    effects
}

#[test]
fn a_command_needs_a_vcpu_and_its_argument() {
    let guest = Guest::new(2);
    for cmd in 0..20 {
        assert_eq!(op(&guest, cmd, 2, 0u64).0, err(Errno::ENOENT), "{cmd}");
    }
    assert_eq!(op(&guest, 14, 0, 0u64).0, err(Errno::ENOSYS));
    assert_eq!(op(&guest, VCPUOP_get_physid, 1, 0u64).0, err(Errno::EINVAL));
    for cmd in [0, 4, 5, 6, 8, 10, 13] {
        assert_eq!(guest.on(0, 1, |ctx| vcpu_op(ctx, cmd, 1, Vaddr(8))).0, err(Errno::EFAULT), "{cmd}");
    }
}

#[test]
fn a_vcpu_is_initialised_once_and_with_a_record() {
    let guest = Guest::new(2);
    let context = xen_abi::arch_x86::VcpuGuestContext::default();
    assert_eq!(op(&guest, VCPUOP_initialise, 0, context).0, err(Errno::EEXIST));
    guest.dom.vcpu(0).unwrap().set_info(Maddr(0));
    assert_eq!(op(&guest, VCPUOP_initialise, 0, context).0, err(Errno::EINVAL));
}

#[test]
fn a_vcpu_with_a_state_goes_up_and_is_given_a_cpu() {
    let guest = Guest::new(2);
    let vcpu = guest.dom.vcpu(0).unwrap();
    assert!(guest.world.hv.sched.decide(CpuId(3), None, 1).vcpu.is_none(), "an idle CPU");
    vcpu.sched.clear(UP | INITIALISED);
    assert_eq!(op(&guest, VCPUOP_up, 0, 0u64).0, err(Errno::EINVAL));
    assert_eq!(op(&guest, VCPUOP_is_up, 0, 0u64).0, Ok(0));
    vcpu.sched.set(INITIALISED);
    assert_eq!(op(&guest, VCPUOP_up, 0, 0u64), (Ok(0), Effects::default()));
    assert_eq!(op(&guest, VCPUOP_is_up, 0, 0u64).0, Ok(1));
    assert_eq!(*guest.world.platform().kicks.lock().unwrap(), [CpuId(3)]);
    assert!(guest.world.hv.sched.decide(CpuId(3), None, 1).vcpu.is_some());
}

#[test]
fn a_vcpu_goes_down_and_the_last_one_ends_its_domain() {
    // Which vcpus are up, which one goes down, whether that is the end.
    for (up, down, end) in [
        ([true, true], 0, false),
        ([true, true], 1, false),
        ([false, true], 0, false),
        ([false, true], 1, true),
        ([true, false], 0, true),
        ([true, false], 1, false),
    ] {
        let guest = Guest::new(2);
        for (vcpu, _) in guest.dom.vcpus().zip(up).filter(|(_, up)| !up) {
            vcpu.sched.clear(UP);
        }
        let (result, effects) = op(&guest, VCPUOP_down, down, 0u64);
        assert_eq!((result, guest.dom.shutdown.load(SeqCst)), (Ok(0), u8::from(end)), "{up:?} {down}");
        let expected = match (end, down) {
            (true, _) => only(Effect::SHUTDOWN | Effect::RESCHEDULE),
            (false, 1) => only(Effect::RESCHEDULE),
            _ => Effects::default(),
        };
        assert_eq!(effects, expected, "{up:?} {down}");
        if !end {
            assert_eq!(guest.flags(down) & UP, 0);
        }
    }
}

#[test]
fn a_vcpu_that_runs_elsewhere_is_taken_off_its_cpu_when_it_goes_down() {
    let guest = Guest::new(2);
    guest.world.hv.enqueue(guest.dom.vcpu(0).unwrap());
    assert!(guest.world.hv.sched.decide(CpuId(2), None, 1).vcpu.is_some());
    guest.world.platform().kicks.lock().unwrap().clear();
    assert_eq!(op(&guest, VCPUOP_down, 0, 0u64).0, Ok(0));
    assert_eq!(*guest.world.platform().kicks.lock().unwrap(), [CpuId(2)]);
}

#[test]
fn run_states_are_told_when_asked_and_where_wanted() {
    let guest = Guest::new(2);
    let now = guest.world.platform().now();
    for (vcpu, spent) in guest.dom.vcpus().zip([7, 9]) {
        vcpu.runstate.change(RunState::Runnable, now - spent);
    }
    let told = |at| guest.world.platform().peek::<VcpuRunstateInfo>(at);
    for (vcpu, spent) in [(0, 7), (1, 9)] {
        assert_eq!(op(&guest, VCPUOP_get_runstate_info, vcpu, [0u64; 6]).0, Ok(0));
        assert_eq!((told(ARG).state, told(ARG).time[1]), (RUNSTATE_runnable, spent));
    }
    let area = |vcpu: u32| guest.dom.vcpu(vcpu).unwrap().runstate.guest_area();
    assert_eq!(op(&guest, VCPUOP_register_runstate_memory_area, 0, OURS).0, err(Errno::EFAULT));
    assert_eq!(op(&guest, VCPUOP_register_runstate_memory_area, 0, AREA).0, Ok(0));
    assert_eq!((area(0), told(AREA)), (Some(AREA), VcpuRunstateInfo::default()), "it is written when it runs");
    assert_eq!(op(&guest, VCPUOP_register_runstate_memory_area, 1, AREA).0, Ok(0));
    assert_eq!((area(1), told(AREA).time[1]), (Some(AREA), 9));
    // An area that is not mapped now may be later.
    assert_eq!(op(&guest, VCPUOP_register_runstate_memory_area, 1, 0x1000u64).0, Ok(0));
    assert_eq!(op(&guest, VCPUOP_register_runstate_memory_area, 1, 0u64).0, Ok(0));
    assert_eq!(area(1), None);
}

#[test]
fn the_time_is_told_in_a_second_place() {
    let guest = Guest::new(2);
    let area = || guest.dom.vcpu(0).unwrap().time_area.load(SeqCst);
    assert_eq!(op(&guest, VCPUOP_register_vcpu_time_memory_area, 0, OURS), (err(Errno::EFAULT), Effects::default()));
    assert_eq!(op(&guest, VCPUOP_register_vcpu_time_memory_area, 0, AREA), (Ok(0), only(Effect::UPDATE_TIME)));
    assert_eq!(area(), AREA);
}

#[test]
fn a_period_is_neither_too_short_nor_endless() {
    let guest = Guest::new(2);
    let now = guest.world.platform().now();
    let period = || guest.dom.vcpu(0).unwrap().timers.period.load(SeqCst);
    for (period_ns, good) in
        [(0, false), (999_999, false), (1_000_000, true), (u64::MAX >> 2, true), ((u64::MAX >> 2) + 1, false)]
    {
        let before = period();
        let (result, effects) = op(&guest, VCPUOP_set_periodic_timer, 0, VcpuSetPeriodicTimer { period_ns });
        assert_eq!(result, if good { Ok(0) } else { err(Errno::EINVAL) }, "{period_ns}");
        assert_eq!(effects.has(Effect::PROGRAM_TIMER), good);
        assert_eq!(period(), if good { period_ns } else { before });
        let expected = if good { vec![(now + period_ns, 0, TimerKind::Periodic)] } else { vec![] };
        assert_eq!(guest.timers(0), expected);
    }
    op(&guest, VCPUOP_set_periodic_timer, 0, VcpuSetPeriodicTimer { period_ns: 1_000_000 }).0.unwrap();
    assert_eq!(op(&guest, VCPUOP_stop_periodic_timer, 0, 0u64).0, Ok(0));
    assert_eq!((period(), guest.timers(0)), (0, vec![]));
}

#[test]
fn a_vcpu_sets_and_stops_its_own_one_shot_timer() {
    let guest = Guest::new(2);
    let shot = VcpuSetSingleshotTimer { timeout_abs_ns: 77, ..Default::default() };
    for cmd in [VCPUOP_set_singleshot_timer, VCPUOP_stop_singleshot_timer] {
        assert_eq!(op(&guest, cmd, 0, shot).0, err(Errno::EINVAL));
    }
    assert_eq!(op(&guest, VCPUOP_set_singleshot_timer, 1, shot), (Ok(0), only(Effect::PROGRAM_TIMER)));
    assert_eq!(guest.timers(0), [(77, 1, TimerKind::OneShot)]);
    op(&guest, VCPUOP_set_singleshot_timer, 1, shot).0.unwrap();
    assert_eq!(op(&guest, VCPUOP_stop_singleshot_timer, 1, shot).0, Ok(0));
    assert!(guest.timers(0).is_empty());
}

#[test]
fn an_nmi_waits_for_the_vcpu_and_its_cpu_looks() {
    let guest = Guest::new(2);
    guest.world.hv.enqueue(guest.dom.vcpu(0).unwrap());
    assert!(guest.world.hv.sched.decide(CpuId(2), None, 1).vcpu.is_some());
    guest.world.platform().kicks.lock().unwrap().clear();
    assert_eq!(op(&guest, VCPUOP_send_nmi, 0, 0u64).0, Ok(0));
    assert!(
        guest.dom.vcpu(0).unwrap().pending_nmi.load(SeqCst) && !guest.dom.vcpu(1).unwrap().pending_nmi.load(SeqCst)
    );
    assert!(guest.world.platform().kicks.lock().unwrap().contains(&CpuId(2)));
}

fn register(guest: &Guest, vcpu: u32, mfn: Mfn, offset: u32) -> (HypercallResult, Effects) {
    op(guest, VCPUOP_register_vcpu_info, vcpu, VcpuRegisterVcpuInfo { mfn: mfn.0, offset, ..Default::default() })
}

#[test]
fn a_record_moves_with_what_is_in_it_and_events_are_looked_at_again() {
    for vcpu in [0, 1] {
        let guest = Guest::new(2);
        let old = guest.dom.vcpu(vcpu).unwrap().info();
        let page = |mfn| guest.world.platform().page(mfn);
        page(old.mfn()).store_u8(old.offset() + 1, 1);
        page(old.mfn()).store_u32(old.offset() + 60, 0x1234_5678);
        let frame = guest.world.hv.alloc_for(CpuId(0), &guest.dom, 0, 0, false).unwrap();
        if vcpu == 0 {
            assert_eq!(register(&guest, 0, frame, 64).0, err(Errno::EINVAL), "one that is up, and another");
            guest.dom.vcpu(0).unwrap().sched.clear(UP);
        }
        let (result, effects) = register(&guest, vcpu, frame, 64);
        let own = if vcpu == 1 { Effect::REFRESH_INFO } else { Effect::empty() };
        assert_eq!((result, effects), (Ok(0), only(Effect::UPDATE_TIME | own)));
        assert_eq!(guest.dom.vcpu(vcpu).unwrap().info(), Maddr(frame.maddr().0 + 64));
        assert_eq!(page(frame).load_u32(64 + 60), 0x1234_5678);
        assert_eq!((page(frame).load_u8(64), page(frame).load_u8(65)), (1, 1), "an event, masked as before");
        assert_eq!(page(frame).load_u64(64 + 8), u64::MAX, "of every word");
        assert_eq!(register(&guest, vcpu, frame, 128).0, err(Errno::EINVAL), "once only");
        assert_eq!(guest.world.hv.frames.references(frame), 2);
    }
}

#[test]
fn a_record_is_in_one_page_of_the_domains_own_and_aligned() {
    for (offset, good) in [(0, true), (4032, true), (4040, false), (4033, false), (4, false), (u32::MAX - 7, false)] {
        let guest = Guest::new(2);
        let frame = guest.world.hv.alloc_for(CpuId(0), &guest.dom, 0, 0, false).unwrap();
        assert_eq!(register(&guest, 1, frame, offset).0, if good { Ok(0) } else { err(Errno::ENXIO) }, "{offset}");
    }
    let guest = Guest::new(2);
    let theirs = guest.world.hv.alloc_for(CpuId(0), &guest.world.dom(1), 0, 0, false).unwrap();
    let before = guest.dom.vcpu(1).unwrap().info();
    for mfn in [theirs, Mfn(63), Mfn(u64::MAX)] {
        assert!(register(&guest, 1, mfn, 0).0.is_err(), "{mfn:?}");
    }
    assert_eq!((guest.dom.vcpu(1).unwrap().info(), guest.world.hv.frames.references(theirs)), (before, 1));
}
