//! What holds of vcpus that are woken and stopped.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::cpu::CpuId;
use crate::evtchn::{Notify, VcpuSet};
use crate::sched::{BLOCKED, PAUSED, Scheduler, UP};
use crate::testing::{CPUS, TestPlatform, TestWorld};
use std::sync::atomic::Ordering::SeqCst;

/// Domain 5 with vcpus that are up, on idle CPUs.
fn world(vcpus: u32) -> (TestWorld, Shared<Domain<TestPlatform>>) {
    let world = TestWorld::new(16, &[]);
    (0..CPUS as u16).for_each(|cpu| world.hv.sched.add_cpu(CpuId(cpu)));
    let dom = Shared::try_new(Domain::try_new(DomId(5), vcpus, false).unwrap()).ok().unwrap();
    assert!(world.hv.domains.insert(dom.clone()).is_ok());
    for id in 0..vcpus {
        world.hv.reserve_vcpu().unwrap();
        dom.create_vcpu(id).unwrap().sched.set(UP);
    }
    (world, dom)
}

/// Runs a vcpu on a CPU.
fn run(world: &TestWorld, vcpu: &Shared<Vcpu<TestPlatform>>, cpu: u16) {
    world.hv.enqueue(vcpu);
    let chosen = world.hv.sched.decide(CpuId(cpu), None, 1).vcpu;
    assert!(chosen.is_some_and(|chosen| Shared::same(&chosen, vcpu)));
    world.platform().kicks.lock().unwrap().clear();
}

fn kicks(world: &TestWorld) -> Vec<u16> {
    core::mem::take(&mut *world.platform().kicks.lock().unwrap()).into_iter().map(|cpu| cpu.0).collect()
}

#[test]
fn every_cpu_looks_after_timers() {
    let (world, _) = world(1);
    assert_eq!(world.hv.all_timers().len(), CPUS);
    for (cpu, timers) in (0..).zip(world.hv.all_timers()) {
        assert!(core::ptr::eq(timers, world.hv.timers(CpuId(cpu)).unwrap()));
    }
    assert!(world.hv.timers(CpuId(CPUS as u16)).is_none());
}

#[test]
fn a_vcpu_that_sleeps_is_queued_when_it_is_woken() {
    let (world, dom) = world(1);
    let vcpu = dom.vcpu(0).unwrap();
    assert!(world.hv.sched.decide(CpuId(3), None, 0).vcpu.is_none(), "an idle CPU");
    vcpu.sched.set(BLOCKED);
    world.hv.wake(vcpu);
    assert!(vcpu.sched.runnable());
    assert_eq!(kicks(&world), [3]);
    assert!(world.hv.sched.decide(CpuId(3), None, 1).vcpu.is_some());
}

#[test]
fn a_vcpu_that_runs_looks_for_events_when_it_is_woken() {
    let (world, dom) = world(1);
    let vcpu = dom.vcpu(0).unwrap();
    world.hv.wake(vcpu);
    assert_eq!(kicks(&world), [], "it waits for a CPU: it will look by itself");
    run(&world, vcpu, 2);
    world.hv.wake(vcpu);
    assert_eq!(kicks(&world), [2]);
}

#[test]
fn of_a_domains_vcpus_those_are_woken_that_an_event_is_for() {
    let (world, dom) = world(4);
    let awake = || dom.vcpus().map(|vcpu| vcpu.sched.flags() & BLOCKED == 0).collect::<Vec<_>>();
    let sleep = || dom.vcpus().all(|vcpu| vcpu.sched.set(BLOCKED) & UP != 0);
    let some = VcpuSet::one(1).union(VcpuSet::one(3)).union(VcpuSet::one(9));
    assert!(sleep());
    world.hv.notify(Notify { domid: DomId(5), ..Notify::NONE });
    world.hv.notify(Notify { domid: DomId(1), vcpus: some, ..Notify::NONE });
    world.hv.notify(Notify { domid: DomId(77), vcpus: some, ..Notify::NONE });
    assert_eq!(awake(), [false; 4]);
    world.hv.notify(Notify { domid: DomId(5), vcpus: some, ..Notify::NONE });
    assert_eq!(awake(), [false, true, false, true]);
    assert!(sleep());
    world.hv.wake_all(&dom, VcpuSet::one(0));
    assert_eq!(awake(), [true, false, false, false]);
}

#[test]
fn a_pause_takes_vcpus_off_their_cpus_until_the_last_one_ends() {
    let (world, dom) = world(3);
    run(&world, dom.vcpu(0).unwrap(), 1);
    run(&world, dom.vcpu(2).unwrap(), 3);
    let paused = || dom.vcpus().all(|vcpu| vcpu.sched.flags() & PAUSED != 0);
    let runnable = || dom.vcpus().all(|vcpu| vcpu.sched.runnable());
    world.hv.pause(&dom);
    assert_eq!((kicks(&world), paused()), (vec![1, 3], true));
    world.hv.pause(&dom);
    world.hv.unpause(&dom);
    assert!(paused());
    world.hv.unpause(&dom);
    assert!(runnable());
    world.hv.unpause(&dom);
    assert_eq!((runnable(), dom.pause_count.load(SeqCst)), (true, 0));
}

#[test]
fn a_domain_ends_once_for_the_first_reason() {
    let (world, dom) = world(1);
    for reason in [3, 1] {
        world.hv.shutdown(&dom, reason);
        assert_eq!((dom.shutdown.load(SeqCst), dom.pause_count.load(SeqCst)), (4, 1));
    }
}
