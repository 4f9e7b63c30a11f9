//! Each operation and each of its errors.

use super::*;
use xen_abi::xen::*;

fn binding(hv: &World, domid: u16, port: u32) -> EvtchnBinding {
    status(&dom(hv, domid), port).unwrap().binding
}

#[test]
fn port_zero_is_never_given_out_and_cannot_be_used() {
    let hv = world();
    let d1 = dom(&hv, 1);
    assert_eq!(status(&d1, 0), Err(Errno::EINVAL), "nothing was ever made");
    assert_eq!(alloc_unbound(&hv, &d1, DomId(0)), Ok(1));
    assert_eq!(d1.events.ports.get(0).unwrap().lock().binding, Binding::Reserved);
    assert_eq!(binding(&hv, 1, 0), EvtchnBinding::Closed);
    assert_eq!(close(&hv, &d1, 0), Err(Errno::EINVAL));
    assert_eq!(send(&hv, &d1, 0), Err(Errno::EINVAL));
    assert_eq!(unmask(&hv, &d1, 0), Err(Errno::EINVAL));
    assert_eq!(bind_vcpu(&d1, 0, 0), Err(Errno::EINVAL));
}

#[test]
fn no_operation_accepts_a_port_that_was_never_made() {
    let hv = world();
    let d1 = dom(&hv, 1);
    alloc_unbound(&hv, &d1, DomId(0)).unwrap();
    for port in [64, 4095, 4096, 131_071, 131_072, 1 << 31, u32::MAX] {
        assert_eq!(close(&hv, &d1, port), Err(Errno::EINVAL));
        assert_eq!(send(&hv, &d1, port), Err(Errno::EINVAL));
        assert_eq!(unmask(&hv, &d1, port), Err(Errno::EINVAL));
        assert_eq!(status(&d1, port), Err(Errno::EINVAL));
        assert_eq!(bind_vcpu(&d1, port, 0), Err(Errno::EINVAL));
        assert_eq!(set_priority(&d1, port, 0), Err(Errno::EINVAL));
        assert_eq!(is_pending(&hv, &d1, port), Err(Errno::EINVAL));
        assert_eq!(bind_interdomain(&hv, &dom(&hv, 0), &d1, port).map(|_| ()), Err(Errno::EINVAL));
    }
}

#[test]
fn the_lowest_free_port_is_given_out() {
    let hv = world();
    let d1 = dom(&hv, 1);
    let ports: Vec<_> = (0..100).map(|_| alloc_unbound(&hv, &d1, DomId(0)).unwrap()).collect();
    assert_eq!(ports, (1..=100).collect::<Vec<_>>());
    assert_eq!(close(&hv, &d1, 70), Ok(None));
    assert_eq!(close(&hv, &d1, 7), Ok(None));
    assert_eq!(alloc_unbound(&hv, &d1, DomId(0)), Ok(7));
    assert_eq!(alloc_unbound(&hv, &d1, DomId(0)), Ok(70));
    assert_eq!(alloc_unbound(&hv, &d1, DomId(0)), Ok(101));
}

#[test]
fn ports_run_out_at_the_limit_and_at_the_layouts_end() {
    let hv = world();
    let d1 = dom(&hv, 1);
    d1.events.set_limit(9);
    assert_eq!((0..9).map(|_| alloc_unbound(&hv, &d1, DomId(0)).unwrap()).last(), Some(9));
    assert_eq!(alloc_unbound(&hv, &d1, DomId(0)), Err(Errno::ENOSPC));
    d1.events.set_limit(u32::MAX);
    assert_eq!((0..4086).map(|_| alloc_unbound(&hv, &d1, DomId(0)).unwrap()).last(), Some(4095));
    assert_eq!(alloc_unbound(&hv, &d1, DomId(0)), Err(Errno::ENOSPC));
    assert_eq!(close(&hv, &d1, 4000), Ok(None));
    assert_eq!(alloc_unbound(&hv, &d1, DomId(0)), Ok(4000));
}

#[test]
fn only_the_named_domain_binds_to_a_waiting_port() {
    let hv = world();
    let (d0, d1, d2) = (dom(&hv, 0), dom(&hv, 1), dom(&hv, 2));
    let port = alloc_unbound(&hv, &d1, DomId(0)).unwrap();
    assert_eq!(binding(&hv, 1, port), EvtchnBinding::Unbound(0));
    assert_eq!(bind_interdomain(&hv, &d2, &d1, port).map(|_| ()), Err(Errno::EINVAL));
    let (near, notify) = bind_interdomain(&hv, &d0, &d1, port).unwrap();
    assert_eq!(told(notify), [(0, 0)], "binding sets the new port pending");
    assert_eq!(binding(&hv, 1, port), EvtchnBinding::Interdomain(0, near));
    assert_eq!(binding(&hv, 0, near), EvtchnBinding::Interdomain(1, port));
    assert_eq!(bind_interdomain(&hv, &d0, &d1, port).map(|_| ()), Err(Errno::EINVAL), "taken");
    assert_eq!(alloc_unbound(&hv, &d0, DomId(1)), Ok(near + 1), "a failed bind keeps no port");
}

#[test]
fn closing_one_end_makes_the_other_wait_again() {
    let hv = world();
    let (near, far) = connect(&hv, 0, 1);
    assert_eq!(close(&hv, &dom(&hv, 0), near), Ok(None));
    assert_eq!(binding(&hv, 1, far), EvtchnBinding::Unbound(0));
    assert_eq!(binding(&hv, 0, near), EvtchnBinding::Closed);
    assert_eq!(send(&hv, &dom(&hv, 1), far), Ok(Notify::NONE), "sending to nobody is no error");
    assert_eq!(close(&hv, &dom(&hv, 0), near), Err(Errno::EINVAL));
    assert!(bind_interdomain(&hv, &dom(&hv, 0), &dom(&hv, 1), far).is_ok());
}

#[test]
fn a_loopback_connection_sends_closes_and_binds_within_one_domain() {
    let hv = world();
    let d1 = dom(&hv, 1);
    let (near, far) = connect(&hv, 1, 1);
    assert_ne!(near, far);
    take_upcall(&hv, 1, 0);
    assert_eq!(is_pending(&hv, &d1, far), Ok(false));
    send(&hv, &d1, near).map(|_| ()).unwrap();
    assert_eq!(is_pending(&hv, &d1, far), Ok(true));
    assert_eq!(close(&hv, &d1, far), Ok(None));
    assert_eq!(binding(&hv, 1, near), EvtchnBinding::Unbound(1));
    assert_eq!(is_pending(&hv, &d1, far), Err(Errno::EINVAL), "a closed port is none to poll");
}

#[test]
fn virqs_bind_once_per_vcpu_and_global_ones_on_vcpu_zero() {
    let hv = world();
    let d1 = dom(&hv, 1);
    assert_eq!(bind_virq(&hv, &d1, NR_VIRQS, 0), Err(Errno::EINVAL));
    assert_eq!(bind_virq(&hv, &d1, u32::MAX, 0), Err(Errno::EINVAL));
    assert_eq!(bind_virq(&hv, &d1, VIRQ_TIMER, VCPUS), Err(Errno::ENOENT));
    assert_eq!(bind_virq(&hv, &d1, VIRQ_DOM_EXC, 1), Err(Errno::EINVAL));
    for vcpu in 0..VCPUS {
        let port = bind_virq(&hv, &d1, VIRQ_TIMER, vcpu).unwrap();
        assert_eq!(bind_virq(&hv, &d1, VIRQ_TIMER, vcpu), Err(Errno::EEXIST));
        assert_eq!(status(&d1, port).unwrap(), Status { binding: EvtchnBinding::Virq(VIRQ_TIMER), vcpu });
        assert_eq!(bind_vcpu(&d1, port, 0), Err(Errno::EINVAL), "fixed to its vcpu");
        assert_eq!(send(&hv, &d1, port), Err(Errno::EINVAL));
        assert_eq!(told(send_virq(&hv, &d1, vcpu, VIRQ_TIMER)), [(1, vcpu)]);
        assert_eq!(close(&hv, &d1, port), Ok(None));
        assert_eq!(send_virq(&hv, &d1, vcpu, VIRQ_TIMER), Notify::NONE);
        assert!(bind_virq(&hv, &d1, VIRQ_TIMER, vcpu).is_ok(), "free again after close");
    }
}

#[test]
fn global_virqs_reach_the_domain_that_handles_them() {
    let hv = world();
    let (d0, d1) = (dom(&hv, 0), dom(&hv, 1));
    let own = bind_virq(&hv, &d0, VIRQ_CON_RING, 0).unwrap();
    let other = bind_virq(&hv, &d1, VIRQ_CON_RING, 0).unwrap();
    assert_eq!(bind_vcpu(&d0, own, 2), Ok(None), "global: may move");
    assert_eq!(told(send_global_virq(&hv, VIRQ_CON_RING)), [(0, 2)]);
    assert_eq!(is_pending(&hv, &d1, other), Ok(false));
    assert_eq!(hv.virq_handlers.set(VIRQ_TIMER, DomId(1)), Err(Errno::EINVAL));
    assert_eq!(hv.virq_handlers.set(VIRQ_CON_RING, DomId(1)), Ok(()));
    assert_eq!(told(send_global_virq(&hv, VIRQ_CON_RING)), [(1, 0)]);
    hv.virq_handlers.forget(DomId(1));
    assert_eq!(hv.virq_handlers.get(VIRQ_CON_RING), Ok(DomId(0)));
    assert_eq!(close(&hv, &d0, own), Ok(None));
    assert!(bind_virq(&hv, &d0, VIRQ_CON_RING, 0).is_ok(), "moving it did not lose its slot");
    assert_eq!(send_global_virq(&hv, VIRQ_TIMER), Notify::NONE);
}

#[test]
fn ipis_stay_on_their_vcpu() {
    let hv = world();
    let d1 = dom(&hv, 1);
    assert_eq!(bind_ipi(&hv, &d1, VCPUS), Err(Errno::ENOENT));
    let port = bind_ipi(&hv, &d1, 2).unwrap();
    assert_eq!(bind_vcpu(&d1, port, 0), Err(Errno::EINVAL));
    assert_eq!(told(send(&hv, &d1, port).unwrap()), [(1, 2)]);
    assert_eq!(send(&hv, &d1, port), Ok(Notify::NONE), "pending already");
}

#[test]
fn physical_interrupts_are_effects() {
    let hv = world();
    let d0 = dom(&hv, 0);
    assert_eq!(bind_pirq(&hv, &d0, 32, false).map(|_| ()), Err(Errno::EINVAL));
    let (port, effect) = bind_pirq(&hv, &d0, 9, true).unwrap();
    assert_eq!(effect, PirqEffect::Bind { pirq: 9, will_share: true, port });
    assert_eq!(bind_pirq(&hv, &d0, 9, true).map(|_| ()), Err(Errno::EEXIST));
    assert_eq!(send(&hv, &d0, port), Err(Errno::EINVAL));
    assert_eq!(bind_vcpu(&d0, port, 1), Ok(Some(PirqEffect::Affinity { pirq: 9, vcpu: 1 })));
    assert_eq!(told(send_pirq(&hv, &d0, 9)), [(0, 1)]);
    assert_eq!(send_pirq(&hv, &d0, 8), Notify::NONE);
    assert_eq!(send_pirq(&hv, &d0, u32::MAX), Notify::NONE);
    assert_eq!(close(&hv, &d0, port), Ok(Some(PirqEffect::Unbind { pirq: 9 })));
    assert_eq!(send_pirq(&hv, &d0, 9), Notify::NONE);
    assert_eq!(d0.events.pirq_port(9), None);
}

#[test]
fn a_moved_channel_tells_its_new_vcpu() {
    let hv = world();
    let (near, far) = connect(&hv, 0, 1);
    assert_eq!(bind_vcpu(&dom(&hv, 1), far, VCPUS), Err(Errno::ENOENT));
    assert_eq!(bind_vcpu(&dom(&hv, 1), far, 2), Ok(None));
    assert_eq!(told(send(&hv, &dom(&hv, 0), near).unwrap()), [(1, 2)]);
    assert_eq!(close(&hv, &dom(&hv, 1), far), Ok(None));
    let again = alloc_unbound(&hv, &dom(&hv, 1), DomId(0)).unwrap();
    assert_eq!((again, status(&dom(&hv, 1), again).unwrap().vcpu), (far, 0), "a reused port is back on vcpu 0");
}

#[test]
fn a_guest_cannot_touch_the_hypervisors_own_ports() {
    let hv = world();
    let (d0, d1) = (dom(&hv, 0), dom(&hv, 1));
    assert_eq!(alloc_xen(&hv, &d1, VCPUS, DomId(0), Consumer(1)), Err(Errno::ENOENT));
    let own = alloc_xen(&hv, &d1, 1, DomId(0), Consumer(7)).unwrap();
    let (near, _) = bind_interdomain(&hv, &d0, &d1, own).unwrap();
    assert_eq!(close(&hv, &d1, own), Err(Errno::EINVAL));
    assert_eq!(send(&hv, &d1, own), Err(Errno::EINVAL));
    assert_eq!(bind_vcpu(&d1, own, 0), Err(Errno::EINVAL));
    assert_eq!(unmask(&hv, &d1, own), Err(Errno::EINVAL));
    assert_eq!(status(&d1, own), Err(Errno::EACCES));
    let consumed = send(&hv, &d0, near).unwrap();
    assert_eq!(consumed.consumed, Some(Consumed { consumer: Consumer(7), vcpu: 1, port: own }));
    assert_eq!((consumed.domid, consumed.is_empty()), (DomId(1), false));
    assert_eq!(is_pending(&hv, &d1, own), Ok(false), "the guest's pages do not show it");
    take_upcall(&hv, 0, 0);
    hv.platform.page(mfn(0, 0)).zero();
    assert_eq!(told(notify_via_xen(&hv, &d1, own).unwrap()), [(0, 0)]);
    assert_eq!(notify_via_xen(&hv, &d0, near), Err(Errno::EINVAL));
    assert_eq!(close_xen(&hv, &d0, near), Err(Errno::EINVAL));
    assert_eq!(reset(&hv, &d1, || false), Ok(Progress::Done));
    assert_eq!(status(&d1, own), Err(Errno::EACCES), "a reset leaves it alone");
    assert_eq!(close_xen(&hv, &d1, own), Ok(()));
    assert_eq!(binding(&hv, 0, near), EvtchnBinding::Unbound(1));
}

#[test]
fn teardown_closes_everything_step_by_step_and_binds_nothing_more() {
    let hv = world();
    let (d0, d1) = (dom(&hv, 0), dom(&hv, 1));
    let far: Vec<_> = (0..200).map(|_| connect(&hv, 1, 0).1).collect();
    let (pirq, _) = bind_pirq(&hv, &d1, 3, false).unwrap();
    let own = alloc_xen(&hv, &d1, 0, DomId(0), Consumer(0)).unwrap();
    assert!(bind_virq(&hv, &d1, VIRQ_TIMER, 1).is_ok() && pirq < own);
    init_control(&hv, &d1, 0, 0, || hold(&hv, 1, 1)).unwrap();
    d1.dying.store(true, Ordering::Release);
    assert_eq!(alloc_unbound(&hv, &d1, DomId(0)), Err(Errno::EINVAL));
    assert_eq!(expand_array(&hv, &d1, || hold(&hv, 1, 2)), Err(Errno::EINVAL));
    let mut steps = Vec::new();
    loop {
        match close_all(&hv, &d1, || true) {
            Progress::Done => break,
            step => steps.push(step),
        }
        assert!(steps.len() < 10);
    }
    assert_eq!(steps.iter().filter(|step| **step == Progress::Pirq(PirqEffect::Unbind { pirq: 3 })).count(), 1);
    assert_eq!(steps.iter().filter(|step| **step == Progress::Preempted).count(), 4);
    for port in far {
        assert_eq!(status(&d0, port).unwrap().binding, EvtchnBinding::Unbound(1));
    }
    for port in 1..d1.events.ports.valid() {
        assert_eq!(d1.events.ports.get(port).unwrap().lock().binding, Binding::Free);
    }
    assert_eq!(held(&hv), 0);
    assert_eq!(d1.events.control.lock().active, 0);
}

#[test]
fn polling_vcpus_wake_once_even_for_masked_ports() {
    let hv = world();
    let (d0, d1) = (dom(&hv, 0), dom(&hv, 1));
    let ((a, far_a), (b, far_b)) = (connect(&hv, 0, 1), connect(&hv, 0, 1));
    hv.platform.page(mfn(1, 0)).store_u64(offset_of!(SharedInfo, evtchn_mask), u64::MAX);
    let vcpu = |id: u32| d1.vcpu(id).unwrap();
    poll_start(&d1, vcpu(1), far_a);
    poll_start(&d1, vcpu(2), POLL_ANY);
    assert_eq!(told(send(&hv, &d0, a).unwrap()), [(1, 1), (1, 2)]);
    assert_eq!(send(&hv, &d0, b), Ok(Notify::NONE), "they poll no more");
    assert!(!poll_stop(&d1, vcpu(1)));
    poll_start(&d1, vcpu(1), far_b);
    assert_eq!(is_pending(&hv, &d1, far_b), Ok(true), "the caller looks after it registered");
    assert!(poll_stop(&d1, vcpu(1)));
}

#[test]
fn a_reset_during_which_the_guest_binds_a_port_says_so_and_may_be_made_again() {
    let hv = world();
    let d1 = dom(&hv, 1);
    for _ in 0..100 {
        bind_ipi(&hv, &d1, 0).unwrap();
    }
    let own = alloc_xen(&hv, &d1, 0, DomId(0), Consumer(0)).unwrap();
    assert_eq!(reset(&hv, &d1, || true), Ok(Progress::Preempted));
    assert_eq!(bind_ipi(&hv, &d1, 0), Ok(1));
    assert_eq!(bind_ipi(&hv, &d1, 0), Ok(2));
    assert_eq!(reset(&hv, &d1, || false), Err(Errno::EAGAIN));
    assert_eq!(reset(&hv, &d1, || false), Ok(Progress::Done));
    assert_eq!(bind_ipi(&hv, &d1, 0), Ok(1));
    assert_eq!(close_xen(&hv, &d1, own), Ok(()));
}

#[test]
fn both_domains_of_a_connection_are_locked_whichever_is_the_near_one() {
    let hv = world();
    let (d1, d2) = (dom(&hv, 1), dom(&hv, 2));
    let is_locked =
        |id| std::thread::scope(|s| s.spawn(|| dom(&hv, id).events.control.try_lock().is_none()).join().unwrap());
    for (near, far, locked) in [
        (&d1, Some(&d2), [true, true]),
        (&d2, Some(&d1), [true, true]),
        (&d1, Some(&d1), [true, false]),
        (&d2, None, [false, true]),
    ] {
        let both = state::lock_both(near, far.map(|far| &**far));
        assert_eq!([1, 2].map(is_locked), locked);
        drop(both);
        assert_eq!([1, 2].map(is_locked), [false, false]);
    }
}

#[test]
fn a_port_is_reserved_until_it_is_bound() {
    let hv = world();
    let d1 = dom(&hv, 1);
    let number = Target { platform: &hv.platform, dom: &d1 }.take_port(&mut d1.events.control.lock()).unwrap();
    assert_eq!(d1.events.port(number).unwrap().lock().binding, Binding::Reserved);
}

#[test]
fn a_set_of_vcpus_is_one() {
    let numbers = [0, 1, 2, 63, 64, 65, 126, 127];
    let set = |of: &[u32]| of.iter().fold(VcpuSet::EMPTY, |set, &vcpu| set.union(VcpuSet::one(vcpu)));
    for vcpu in numbers {
        let one = VcpuSet::one(vcpu);
        assert!(one.iter().eq([vcpu]) && !one.is_empty());
        assert_eq!(numbers.map(|other| one.has(other)), numbers.map(|other| other == vcpu));
        assert_eq!(one.union(one), one);
    }
    let (low, high) = (set(&[0, 2, 64]), set(&[2, 64, 127]));
    assert!(low.union(high).iter().eq([0, 2, 64, 127]));
    assert_eq!(format!("{high:?}"), "{2, 64, 127}");
    for out_of_range in [128, 129, u32::MAX] {
        assert_eq!(VcpuSet::one(out_of_range), VcpuSet::EMPTY);
        assert!(!set(&numbers).has(out_of_range));
    }
    assert!(VcpuSet::EMPTY.is_empty() && VcpuSet::EMPTY.iter().next().is_none());
}

#[test]
fn a_notification_is_empty_without_vcpus_and_without_an_event_for_the_hypervisor() {
    let consumed = Some(Consumed { consumer: Consumer(1), vcpu: 0, port: 3 });
    let vcpus = VcpuSet::one(5);
    for (notify, empty) in [
        (Notify::NONE, true),
        (Notify { domid: DomId(3), ..Notify::NONE }, true),
        (Notify { vcpus, ..Notify::NONE }, false),
        (Notify { consumed, ..Notify::NONE }, false),
        (Notify { domid: DomId(3), vcpus, consumed }, false),
    ] {
        assert_eq!(notify.is_empty(), empty, "{notify:?}");
    }
}

#[test]
fn every_vcpu_that_polls_is_known() {
    let events = state::DomainEvents::default();
    assert_eq!(events.polling(), VcpuSet::EMPTY);
    for vcpu in 0..128 {
        assert!(!events.set_polling(vcpu, true));
        assert!(events.polling().iter().eq(0..=vcpu));
    }
    assert!(!events.set_polling(128, true));
    for vcpu in 0..128 {
        assert!(events.set_polling(vcpu, false));
        assert!(events.polling().iter().eq(vcpu + 1..128));
    }
    events.set_polling(0, true);
    events.set_polling(64, true);
    assert!(events.polling().iter().eq([0, 64]));
}

#[test]
fn the_dump_says_in_both_layouts_which_ports_are_pending_and_which_are_masked() {
    let hv = world();
    let d1 = dom(&hv, 1);
    let ports = [(); 4].map(|()| bind_ipi(&hv, &d1, 0).unwrap());
    let marks = || {
        let text = Dump { platform: &hv.platform, dom: &d1 }.to_string();
        ports.map(|port| {
            let line = text.lines().find(|line| line.starts_with(&format!("  {port:5} "))).unwrap();
            line[8..13].to_string()
        })
    };
    let page = hv.platform.page(mfn(1, 0));
    page.store_u64(offset_of!(SharedInfo, evtchn_pending), 1 << ports[1] | 1 << ports[3]);
    page.store_u64(offset_of!(SharedInfo, evtchn_mask), 1 << ports[2] | 1 << ports[3]);
    assert_eq!(marks(), ["[0/0]", "[1/0]", "[0/1]", "[1/1]"]);
    fifo::enable(&hv, 1);
    for (port, word) in ports.into_iter().zip([0, EVTCHN_FIFO_PENDING, EVTCHN_FIFO_MASKED, EVTCHN_FIFO_LINKED]) {
        let (page, at) = fifo::word(&hv, 1, port);
        page.store_u32(at, if word == 0 { 0 } else { 1 << word });
    }
    assert_eq!(marks(), ["[0/0]", "[1/0]", "[0/1]", "[0/0]"]);
}

#[test]
fn the_dump_names_every_port_in_use() {
    let hv = world();
    connect(&hv, 0, 1);
    bind_ipi(&hv, &dom(&hv, 0), 2).unwrap();
    let text = Dump { platform: &hv.platform, dom: &dom(&hv, 0) }.to_string();
    assert!(text.contains("    1 [1/0] interdomain d1 port 1 vcpu 0\n"), "{text}");
    assert!(text.contains("    2 [0/0] ipi vcpu 2\n"), "{text}");
    assert_eq!(text.lines().count(), 3, "{text}");
}

#[test]
fn a_table_has_as_many_ports_as_the_fifo_layout_can_name() {
    let table = crate::evtchn::table::PortTable::default();
    assert!(table.make(EVTCHN_FIFO_NR_CHANNELS - 1).is_ok());
    assert_eq!(table.make(EVTCHN_FIFO_NR_CHANNELS).err(), Some(Errno::ENOSPC));
    assert_eq!(table.valid(), 1 << 17);
}
