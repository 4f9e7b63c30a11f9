//! `event_channel_op` as a guest makes it.

use super::*;
use crate::addr::Vaddr;
use crate::ctx::{Ctx, Effects};
use crate::hypercall::Stop;
use crate::pv::PvState;
use crate::testing::GUEST_BASE;
use xen_abi::xen::{DOMID_SELF, VIRQ_DOM_EXC, VIRQ_TIMER};
use zerocopy::{FromBytes, Immutable, IntoBytes};

const ARG: u64 = GUEST_BASE + 0x20;

fn with<R>(hv: &World, id: u16, f: impl FnOnce(&mut Ctx<'_, TestPlatform>) -> R) -> R {
    let dom = dom(hv, id);
    let mut pv = PvState::default();
    let vcpu = dom.vcpu(0).unwrap();
    f(&mut Ctx { hv, cpu: CpuId(0), vcpu, dom: &dom, pv: &mut pv, effects: Effects::default() })
}

fn call(hv: &World, id: u16, cmd: u32) -> Result<Outcome, Stop> {
    with(hv, id, |ctx| event_channel_op(ctx, cmd, Vaddr(ARG)))
}

/// Makes the hypercall; gives the argument as it is then.
fn op<T: FromBytes + IntoBytes + Immutable>(hv: &World, id: u16, cmd: u32, arg: T) -> Result<(Outcome, T), Stop> {
    hv.platform.poke(ARG, &arg);
    call(hv, id, cmd).map(|outcome| (outcome, hv.platform.peek(ARG)))
}

fn errno<T>(result: Result<T, Stop>) -> Errno {
    match result {
        Err(Stop::Err(errno)) => errno,
        Err(again) => panic!("{again:?}"),
        Ok(_) => panic!("it succeeded"),
    }
}

fn unbound(dom: u16, remote_dom: u16) -> EvtchnAllocUnbound {
    EvtchnAllocUnbound { dom, remote_dom, port: 99 }
}

#[test]
fn two_domains_connect_send_ask_and_close() {
    let hv = world();
    let (_, made) = op(&hv, 1, EVTCHNOP_alloc_unbound, unbound(DOMID_SELF, 0)).unwrap();
    let bind = EvtchnBindInterdomain { remote_dom: 1, remote_port: made.port, ..Default::default() };
    let (outcome, bound) = op(&hv, 0, EVTCHNOP_bind_interdomain, bind).unwrap();
    assert_eq!(told(outcome.notify), [(0, 0)]);
    assert_eq!(told(send(&hv, &dom(&hv, 0), bound.local_port).unwrap()), [(1, 0)]);
    let ask = EvtchnStatus { dom: 1, port: made.port, ..Default::default() };
    let (_, status) = op(&hv, 0, EVTCHNOP_status, ask).unwrap();
    assert_eq!(status.decode(), Some(EvtchnBinding::Interdomain(0, bound.local_port)));
    assert_eq!(errno(op(&hv, 2, EVTCHNOP_status, ask)), Errno::EPERM);
    assert_eq!(errno(op(&hv, 0, EVTCHNOP_status, EvtchnStatus { dom: 9, ..ask })), Errno::ESRCH);
    assert!(op(&hv, 1, EVTCHNOP_bind_vcpu, EvtchnBindVcpu { port: made.port, vcpu: 2 }).is_ok());
    assert!(op(&hv, 1, EVTCHNOP_unmask, EvtchnUnmask { port: made.port }).is_ok());
    assert!(op(&hv, 1, EVTCHNOP_close, EvtchnClose { port: made.port }).is_ok());
    assert_eq!(errno(op(&hv, 1, EVTCHNOP_close, EvtchnClose { port: made.port })), Errno::EINVAL);
}

#[test]
fn ports_for_others_are_made_by_the_privileged_only() {
    let hv = world();
    assert_eq!(errno(op(&hv, 1, EVTCHNOP_alloc_unbound, unbound(2, 1))), Errno::EPERM);
    assert_eq!(errno(op(&hv, 0, EVTCHNOP_alloc_unbound, unbound(9, 0))), Errno::ESRCH);
    let (_, made) = op(&hv, 0, EVTCHNOP_alloc_unbound, unbound(2, DOMID_SELF)).unwrap();
    assert_eq!(status(&dom(&hv, 2), made.port).unwrap().binding, EvtchnBinding::Unbound(0), "SELF is the caller");
    let bind = EvtchnBindInterdomain { remote_dom: 9, ..Default::default() };
    assert_eq!(errno(op(&hv, 1, EVTCHNOP_bind_interdomain, bind)), Errno::ESRCH);
}

#[test]
fn virqs_ipis_and_pirqs_give_their_port_and_effect() {
    let hv = world();
    let (_, virq) = op(&hv, 1, EVTCHNOP_bind_virq, EvtchnBindVirq { virq: VIRQ_TIMER, vcpu: 1, port: 0 }).unwrap();
    let (_, ipi) = op(&hv, 1, EVTCHNOP_bind_ipi, EvtchnBindIpi { vcpu: 2, port: 0 }).unwrap();
    let arg = EvtchnBindPirq { pirq: 4, flags: BIND_PIRQ__WILL_SHARE, port: 0 };
    let (outcome, pirq) = op(&hv, 1, EVTCHNOP_bind_pirq, arg).unwrap();
    assert_eq!((virq.port, ipi.port, pirq.port), (1, 2, 3));
    assert_eq!(outcome.pirq, Some(PirqEffect::Bind { pirq: 4, will_share: true, port: 3 }));
    let (outcome, _) = op(&hv, 1, EVTCHNOP_bind_vcpu, EvtchnBindVcpu { port: 3, vcpu: 1 }).unwrap();
    assert_eq!(outcome.pirq, Some(PirqEffect::Affinity { pirq: 4, vcpu: 1 }));
    let (outcome, _) = op(&hv, 1, EVTCHNOP_close, EvtchnClose { port: 3 }).unwrap();
    assert_eq!(outcome.pirq, Some(PirqEffect::Unbind { pirq: 4 }));
    let arg = EvtchnBindPirq { pirq: 4, flags: !BIND_PIRQ__WILL_SHARE, port: 0 };
    let (outcome, _) = op(&hv, 1, EVTCHNOP_bind_pirq, arg).unwrap();
    assert_eq!(outcome.pirq, Some(PirqEffect::Bind { pirq: 4, will_share: false, port: 3 }));
}

#[test]
fn the_fifo_layout_is_set_up_with_frames_of_the_caller() {
    let hv = world();
    let control =
        |control_gfn: Mfn, offset| EvtchnInitControl { control_gfn: control_gfn.0, offset, ..Default::default() };
    assert_eq!(errno(op(&hv, 1, EVTCHNOP_init_control, control(mfn(2, 1), 0))), Errno::EINVAL, "not its own");
    assert_eq!(errno(op(&hv, 1, EVTCHNOP_init_control, control(Mfn(u64::MAX), 0))), Errno::EINVAL);
    assert_eq!(errno(op(&hv, 1, EVTCHNOP_init_control, control(mfn(1, 1), 4))), Errno::EINVAL);
    assert_eq!(held(&hv), 0);
    let (_, done) = op(&hv, 1, EVTCHNOP_init_control, control(mfn(1, 1), 64)).unwrap();
    assert_eq!((done.link_bits, held(&hv)), (17, 1));
    assert!(op(&hv, 1, EVTCHNOP_expand_array, EvtchnExpandArray { array_gfn: mfn(1, 10).0 }).is_ok());
    assert_eq!(errno(op(&hv, 1, EVTCHNOP_expand_array, EvtchnExpandArray { array_gfn: 1 })), Errno::EINVAL);
    let (_, ipi) = op(&hv, 1, EVTCHNOP_bind_ipi, EvtchnBindIpi { vcpu: 0, port: 0 }).unwrap();
    assert!(op(&hv, 1, EVTCHNOP_set_priority, EvtchnSetPriority { port: ipi.port, priority: 15 }).is_ok());
    let wrong = EvtchnSetPriority { port: ipi.port, priority: 16 };
    assert_eq!(errno(op(&hv, 1, EVTCHNOP_set_priority, wrong)), Errno::EINVAL);
    assert!(op(&hv, 1, EVTCHNOP_reset, EvtchnReset { dom: DOMID_SELF }).is_ok());
    assert_eq!(held(&hv), 0);
}

#[test]
fn a_result_that_cannot_be_written_leaves_no_port() {
    let hv = world();
    let (_, far) = op(&hv, 1, EVTCHNOP_alloc_unbound, unbound(DOMID_SELF, 2)).unwrap();
    let fails = |arg: &dyn Fn(), cmd| {
        arg();
        hv.platform.copies_left.store(1, Ordering::SeqCst);
        assert_eq!(errno(call(&hv, 2, cmd)), Errno::EFAULT);
        hv.platform.copies_left.store(u64::MAX, Ordering::SeqCst);
    };
    let poke = &hv.platform;
    fails(&|| poke.poke(ARG, &unbound(DOMID_SELF, 1)), EVTCHNOP_alloc_unbound);
    fails(&|| poke.poke(ARG, &EvtchnBindVirq { virq: VIRQ_DOM_EXC, vcpu: 0, port: 0 }), EVTCHNOP_bind_virq);
    fails(&|| poke.poke(ARG, &EvtchnBindIpi { vcpu: 0, port: 0 }), EVTCHNOP_bind_ipi);
    fails(&|| poke.poke(ARG, &EvtchnBindPirq { pirq: 1, flags: 0, port: 0 }), EVTCHNOP_bind_pirq);
    let bind = EvtchnBindInterdomain { remote_dom: 1, remote_port: far.port, ..Default::default() };
    fails(&|| poke.poke(ARG, &bind), EVTCHNOP_bind_interdomain);
    assert_eq!(dom(&hv, 2).events.control.lock().active, 0);
    assert_eq!(dom(&hv, 2).events.pirq_port(1), None);
    assert_eq!(status(&dom(&hv, 1), far.port).unwrap().binding, EvtchnBinding::Unbound(2));
}

#[test]
fn an_argument_that_cannot_be_read_is_a_fault_and_an_unknown_command_is_told() {
    let hv = world();
    hv.platform.copies_left.store(0, Ordering::SeqCst);
    for cmd in (0..14).filter(|&cmd| cmd != EVTCHNOP_send) {
        assert_eq!(errno(call(&hv, 1, cmd)), Errno::EFAULT, "{cmd}");
    }
    for cmd in [14, 15, u32::MAX] {
        assert_eq!(errno(call(&hv, 1, cmd)), Errno::ENOSYS);
    }
}

#[test]
fn a_reset_of_another_domain_wants_it_paused_and_is_continued_with_each_effect() {
    let hv = world();
    let d1 = dom(&hv, 1);
    for pirq in 0..3 {
        assert!(bind_pirq(&hv, &d1, pirq, false).is_ok());
    }
    let arg = EvtchnReset { dom: 1 };
    assert_eq!(errno(op(&hv, 2, EVTCHNOP_reset, arg)), Errno::EPERM);
    assert_eq!(errno(op(&hv, 0, EVTCHNOP_reset, arg)), Errno::EINVAL);
    d1.pause_count.store(1, Ordering::SeqCst);
    let mut pirqs = Vec::new();
    loop {
        let (outcome, _) = op(&hv, 0, EVTCHNOP_reset, arg).unwrap();
        if let Some(PirqEffect::Unbind { pirq }) = outcome.pirq {
            assert_eq!(outcome.pirq_of, Some(DomId(1)));
            pirqs.push(pirq);
        }
        if !outcome.again {
            break;
        }
    }
    assert_eq!(pirqs, [0, 1, 2]);
}

#[test]
fn a_reset_that_is_preempted_is_continued() {
    let hv = world();
    let d1 = dom(&hv, 1);
    let ports: Vec<_> = (0..100).map(|_| bind_ipi(&hv, &d1, 0).unwrap()).collect();
    hv.platform.polls_left.store(0, Ordering::SeqCst);
    let arg = EvtchnReset { dom: DOMID_SELF };
    let (outcome, _) = op(&hv, 1, EVTCHNOP_reset, arg).unwrap();
    assert!(outcome.again);
    assert_eq!(status(&d1, ports[99]).unwrap().binding, EvtchnBinding::Ipi);
    hv.platform.polls_left.store(u64::MAX, Ordering::SeqCst);
    let (outcome, _) = op(&hv, 1, EVTCHNOP_reset, arg).unwrap();
    assert!(!outcome.again);
    assert_eq!(status(&d1, ports[99]).unwrap().binding, EvtchnBinding::Closed);
}

#[test]
fn the_old_hypercall_has_its_command_before_the_argument() {
    let hv = world();
    hv.platform.poke(ARG, &[EVTCHNOP_bind_ipi, 1, 0]);
    assert!(with(&hv, 1, |ctx| event_channel_op_compat(ctx, Vaddr(ARG))).is_ok());
    assert_eq!(hv.platform.peek::<[u32; 3]>(ARG), [EVTCHNOP_bind_ipi, 1, 1]);
    hv.platform.poke(ARG, &[EVTCHNOP_unmask, 1]);
    assert!(with(&hv, 1, |ctx| event_channel_op_compat(ctx, Vaddr(ARG))).is_ok(), "the last that it knows");
    hv.platform.poke(ARG, &EVTCHNOP_reset);
    assert_eq!(errno(with(&hv, 1, |ctx| event_channel_op_compat(ctx, Vaddr(ARG)))), Errno::ENOSYS);
}
