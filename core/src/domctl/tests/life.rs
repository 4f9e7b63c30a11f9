//! What stops a domain, lets it go on, and is told of it.

use super::*;
use crate::ctx::Effect;
use crate::platform::Flush;
use crate::time::{Timer, TimerKind};
use xen_abi::sched::{SHUTDOWN_crash, SHUTDOWN_suspend};
use xen_abi::xen::{VIRQ_CON_RING, VIRQ_TIMER};

#[test]
fn nothing_is_done_to_the_next_domain() {
    let world = world();
    let (gone, next) = (create(&world), create(&world));
    run(&world, 0, op(XEN_DOMCTL_destroydomain, gone, [0u8; 8])).unwrap();
    for cmd in [XEN_DOMCTL_pausedomain, XEN_DOMCTL_unpausedomain, XEN_DOMCTL_destroydomain, XEN_DOMCTL_getvcpuinfo] {
        assert_eq!(run(&world, 0, op(cmd, gone, [0u8; 8])), Err(Errno::ESRCH), "{cmd}");
    }
    assert_eq!(world.dom(next).pause_count.load(SeqCst), 1);
    assert!(!world.dom(next).is_dying());
}

#[test]
fn who_says_self_means_himself() {
    let world = world();
    let arg = XenDomctlSetdomainhandle { handle: [3; 16] };
    call(&world, XEN_DOMCTL_setdomainhandle, DomId::SELF.0, arg).unwrap();
    assert_eq!((world.dom(0).handle.get(), world.dom(1).handle.get()), ([3; 16], [0; 16]));
}

#[test]
fn only_a_domain_that_was_shut_down_is_resumed() {
    let world = world();
    let (id, _) = built(&world);
    let dom = world.dom(id);
    let runnable = || dom.vcpu(0).unwrap().sched.runnable();
    let resume = || call(&world, XEN_DOMCTL_resumedomain, id, [0u8; 8]).unwrap();
    resume();
    assert!(!runnable(), "its toolstack paused it");
    call(&world, XEN_DOMCTL_unpausedomain, id, [0u8; 8]).unwrap();
    assert!(runnable());
    world.hv.shutdown(&dom, SHUTDOWN_suspend as u8);
    assert!(!runnable());
    resume();
    assert!(runnable());
    call(&world, XEN_DOMCTL_pausedomain, id, [0u8; 8]).unwrap();
    resume();
    assert!(!runnable());
}

#[test]
fn who_subscribed_is_told_of_a_suspend_and_of_nothing_else() {
    for (port_given, reason, told) in [
        (true, SHUTDOWN_suspend, [false, true]),
        (true, SHUTDOWN_crash, [true, false]),
        (false, SHUTDOWN_suspend, [true, false]),
    ] {
        let world = world();
        let (id, _) = built(&world);
        let dom = world.dom(id);
        let shared = world.hv.alloc_for(CpuId(0), &dom, 0, 0, false).unwrap();
        world.dom(0).shared_info.store(shared.0, SeqCst);
        let port = crate::evtchn::alloc_unbound(&world.hv, &dom, DomId(0)).unwrap();
        let bound = |ctx: &mut Ctx<'_, _>| {
            let virq = crate::evtchn::bind_virq(ctx.hv, ctx.dom, xen_abi::xen::VIRQ_DOM_EXC, 0).unwrap();
            (virq, crate::evtchn::bind_interdomain(ctx.hv, ctx.dom, &dom, port).unwrap())
        };
        let (virq, (mine, _)) = world.call(0, bound).0;
        if port_given {
            call(&world, XEN_DOMCTL_subscribe, id, XenDomctlSubscribe { port }).unwrap();
        }
        let pending = |port| crate::evtchn::is_pending(&world.hv, &world.dom(0), port).unwrap();
        // Whoever binds a channel finds an event there.
        Platform::page(world.platform(), shared).write(0, &[0; PAGE_SIZE as usize]);
        assert_eq!([virq, mine].map(pending), [false; 2]);
        world.hv.shutdown(&dom, reason as u8);
        assert_eq!([virq, mine].map(pending), told, "{port_given} {reason}");
    }
}

#[test]
fn the_last_stage_of_a_domain_leaves_no_timer_and_no_page_of_a_vcpu() {
    let world = world();
    let before = world.hv.heap.stats().free;
    let (id, frames) = built(&world);
    let dom = world.dom(id);
    let timer = |domid| Timer { at: 5, domid: DomId(domid), vcpu: 0, kind: TimerKind::OneShot };
    for cpu in 0..CPUS as u16 {
        let timers = world.hv.timers(CpuId(cpu)).unwrap();
        timers.set(timer(id));
        timers.set(timer(1));
    }
    let register = xen_abi::vcpu::VcpuRegisterVcpuInfo { mfn: frames[5].0, offset: 64, ..Default::default() };
    world.platform().poke(BUFFER, &register);
    let (done, _) = world
        .call(id, |ctx| crate::hypercall::vcpu_op(ctx, xen_abi::vcpu::VCPUOP_register_vcpu_info, 1, Vaddr(BUFFER)));
    assert_eq!(done, Ok(0));
    drop(dom);
    run(&world, 0, op(XEN_DOMCTL_destroydomain, id, [0u8; 8])).unwrap();
    assert_eq!(info(&world, id), Err(Errno::ESRCH));
    assert_eq!(world.hv.heap.stats().free, before);
    for cpu in 0..CPUS as u16 {
        let timers = world.hv.timers(CpuId(cpu)).unwrap();
        assert_eq!((timers.expired(5), timers.expired(5)), (Some(timer(1)), None));
    }
}

#[test]
fn flushes_that_another_domains_memory_needs_are_done_here() {
    let world = world();
    let dom = world.dom(1);
    let made = |f: fn(&mut Effects)| world.call(0, |ctx| as_domain(ctx, &dom, |ctx| f(&mut ctx.effects))).1;
    let only = |kind| {
        let mut effects = Effects::default();
        effects.add(kind);
        effects
    };
    assert!(made(|_| {}).is_empty());
    assert_eq!(made(|e| e.flush(Flush::All)), only(Effect::FLUSH_ALL));
    assert_eq!(made(|e| e.flush(Flush::NonGlobal)), only(Effect::FLUSH_NON_GLOBAL));
    // The page is one of the other domain's tables: whatever is mapped there here stays out of it.
    assert_eq!(made(|e| e.flush(Flush::Page(Vaddr(0x1000)))), only(Effect::FLUSH_ALL));
    assert!(made(|e| e.add(Effect::RESCHEDULE | Effect::SHUTDOWN | Effect::LOAD_FPU)).is_empty());
}

#[test]
fn short_operations_do_what_they_say() {
    let world = world();
    let id = create(&world);
    let size = XenDomctlAddressSize { size: 0 };
    assert_eq!(call(&world, XEN_DOMCTL_get_address_size, id, size).unwrap().size, 64);
    let handler = |virq| call(&world, XEN_DOMCTL_set_virq_handler, id, XenDomctlSetVirqHandler { virq }).map(|_| ());
    assert_eq!((handler(VIRQ_CON_RING), handler(VIRQ_TIMER)), (Ok(()), Err(Errno::EINVAL)));
    assert_eq!(world.hv.virq_handlers.get(VIRQ_CON_RING), Ok(DomId(id)));
    let debugging = |enable| call(&world, XEN_DOMCTL_setdebugging, id, XenDomctlSetdebugging { enable }).map(|_| ());
    assert_eq!((debugging(0), debugging(1)), (Ok(()), Err(Errno::EOPNOTSUPP)));
    call(&world, XEN_DOMCTL_subscribe, id, XenDomctlSubscribe { port: 3 }).unwrap();
    assert_eq!(world.dom(id).toolstack.suspend_port.load(SeqCst), 3);
    for (weight, cap, result) in [
        (256, 0, Ok(())),
        (0, 0, Ok(())),
        (256, 1, Err(Errno::EOPNOTSUPP)),
        (0, 100, Err(Errno::EOPNOTSUPP)),
        (255, 0, Err(Errno::EOPNOTSUPP)),
    ] {
        let mut arg =
            XenDomctlSchedulerOp { sched_id: SCHEDULER, cmd: XEN_DOMCTL_SCHEDOP_putinfo, ..Default::default() };
        member::put(&mut arg.u, &XenDomctlSchedCredit2 { weight, cap });
        assert_eq!(call(&world, XEN_DOMCTL_scheduler_op, id, arg).map(|_| ()), result, "{weight} {cap}");
    }
}
