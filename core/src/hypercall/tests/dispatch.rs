//! The table of hypercalls, and lists of them.

use super::sched::Guest;
use super::*;
use crate::ctx::{Ctx, Effects};
use crate::domain::{DomId, Domain, Hypervisor};
use crate::evtchn::PirqEffect;
use crate::sched::BLOCKED;
use crate::testing::TestPlatform;
use std::sync::atomic::Ordering::SeqCst;
use xen_abi::event_channel::*;
use xen_abi::sched::SCHEDOP_yield;

/// Answers with a number for each call; interrupts are refused.
#[derive(Default)]
struct Numbers {
    pirqs: Vec<(DomId, PirqEffect)>,
}

type Context<'a> = Ctx<'a, TestPlatform>;

impl Devices<TestPlatform> for Numbers {
    fn physdev_op(&mut self, _: &mut Context<'_>, cmd: u32, arg: Vaddr) -> HypercallResult {
        Ok(100 + u64::from(cmd) + arg.0)
    }
    fn platform_op(&mut self, _: &mut Context<'_>, arg: Vaddr) -> HypercallResult {
        Ok(200 + arg.0)
    }
    fn sysctl(&mut self, _: &mut Context<'_>, arg: Vaddr) -> HypercallResult {
        Ok(300 + arg.0)
    }
    fn domctl(&mut self, _: &mut Context<'_>, arg: Vaddr) -> HypercallResult {
        Err(Stop::Again([arg.0 + 1, 0, 0, 0, 0, 0]))
    }
    fn pirq(
        &mut self,
        _: &Hypervisor<TestPlatform>,
        dom: &Domain<TestPlatform>,
        effect: PirqEffect,
    ) -> Result<(), Errno> {
        self.pirqs.push((dom.id, effect));
        Err(Errno::EPERM)
    }
}

fn make(guest: &Guest, number: u32, args: [u64; 6]) -> (HypercallResult, Effects) {
    guest.on(0, 0, |ctx| dispatch(ctx, &mut Numbers::default(), number.into(), args))
}

#[test]
fn a_number_finds_its_call_and_another_finds_none() {
    let guest = Guest::new(1);
    let made = |number, args| make(&guest, number, args).0;
    let [a, b] = [5, 7 << 32 | 6];
    assert_eq!(made(__HYPERVISOR_physdev_op, [b, a, 0, 0, 0, 0]), Ok(111), "the command has 32 bits");
    assert_eq!(made(__HYPERVISOR_platform_op, [a, 0, 0, 0, 0, 0]), Ok(205));
    assert_eq!(made(__HYPERVISOR_sysctl, [a, 0, 0, 0, 0, 0]), Ok(305));
    assert_eq!(made(__HYPERVISOR_domctl, [1, 2, 3, 4, 5, 6]), Err(Stop::Again([2, 2, 3, 4, 5, 6])));
    for number in [__HYPERVISOR_iret, __HYPERVISOR_kexec_op, __HYPERVISOR_hvm_op, 48, 63, u32::MAX] {
        assert_eq!(made(number, [0; 6]), err(Errno::ENOSYS), "{number}");
    }
    let long = guest.on(0, 0, |ctx| dispatch(ctx, &mut Numbers::default(), 1 << 32 | 17, [0; 6])).0;
    assert_eq!((long, made(__HYPERVISOR_xen_version, [0; 6])), (err(Errno::ENOSYS), Ok(4 << 16 | 17)));
    // One of each of the others, by an answer or an effect that is its own.
    assert_eq!(made(__HYPERVISOR_set_trap_table, [0; 6]), Ok(0));
    assert_eq!(made(__HYPERVISOR_mmu_update, [8, 1, 0, u64::from(DOMID_SELF), 0, 0]), err(Errno::EFAULT));
    assert_eq!(made(__HYPERVISOR_set_gdt, [8, 1 << 32 | 1, 0, 0, 0, 0]), err(Errno::EFAULT));
    assert_eq!(made(__HYPERVISOR_set_gdt, [8, 14 * 512, 0, 0, 0, 0]), err(Errno::EFAULT), "as many as there can be");
    assert_eq!(made(__HYPERVISOR_set_gdt, [8, 14 * 512 + 1, 0, 0, 0, 0]), err(Errno::EINVAL));
    assert!(make(&guest, __HYPERVISOR_fpu_taskswitch, [1, 0, 0, 0, 0, 0]).1.has(Effect::LOAD_FPU));
    assert!(
        make(&guest, __HYPERVISOR_sched_op_compat, [SCHEDOP_yield.into(), 0, 0, 0, 0, 0]).1.has(Effect::RESCHEDULE)
    );
    assert!(make(&guest, __HYPERVISOR_sched_op, [SCHEDOP_yield.into(), 0, 0, 0, 0, 0]).1.has(Effect::RESCHEDULE));
    assert!(make(&guest, __HYPERVISOR_set_debugreg, [0, 0, 0, 0, 0, 0]).1.has(Effect::LOAD_DEBUG));
    assert_eq!(made(__HYPERVISOR_get_debugreg, [7, 0, 0, 0, 0, 0]), Ok(0x400));
    assert_eq!(made(__HYPERVISOR_update_descriptor, [1 << 40, 0, 0, 0, 0, 0]), err(Errno::EINVAL));
    assert_eq!(made(__HYPERVISOR_memory_op, [2, 0, 0, 0, 0, 0]), Ok(64), "the machine's frames");
    assert_eq!(made(__HYPERVISOR_console_io, [0; 6]), err(Errno::EPERM));
    assert_eq!(made(__HYPERVISOR_vm_assist, [VMASST_CMD_enable.into(), 2, 0, 0, 0, 0]), Ok(0));
    assert_eq!(made(__HYPERVISOR_update_va_mapping, [1 << 47, 0, 0, 0, 0, 0]), err(Errno::EINVAL));
    assert_eq!(made(__HYPERVISOR_update_va_mapping_otherdomain, [1 << 47, 0, 0, 1, 0, 0]), err(Errno::EPERM));
    assert_eq!(made(__HYPERVISOR_set_segment_base, [9, 0, 0, 0, 0, 0]), err(Errno::EINVAL));
    assert_eq!(made(__HYPERVISOR_vcpu_op, [3, 0, 0, 0, 0, 0]), Ok(1), "it is up");
    assert_eq!(made(__HYPERVISOR_mmuext_op, [8, 1, 0, u64::from(DOMID_SELF), 0, 0]), err(Errno::EFAULT));
    assert_eq!(made(__HYPERVISOR_callback_op, [0, 8, 0, 0, 0, 0]), err(Errno::EFAULT));
    assert_eq!(made(__HYPERVISOR_nmi_op, [1, 0, 0, 0, 0, 0]), Ok(0));
    assert_eq!(made(__HYPERVISOR_hypfs_op, [0; 6]), err(Errno::EPERM));
    assert_eq!(made(__HYPERVISOR_stack_switch, [0xe02b, KERNEL, 0, 0, 0, 0]), Ok(0));
    assert_eq!(made(__HYPERVISOR_set_callbacks, [KERNEL, KERNEL, KERNEL, 0, 0, 0]), Ok(0));
    assert_eq!(made(__HYPERVISOR_grant_table_op, [6, 8, 1, 0, 0, 0]), err(Errno::EFAULT));
    assert_eq!(made(__HYPERVISOR_set_timer_op, [NOW, 0, 0, 0, 0, 0]), Ok(0));
    assert_eq!(guest.timers(0).len(), 1);
}

const NOW: u64 = 77;

#[test]
fn an_event_is_sent_to_oneself_and_to_others() {
    let guest = Guest::new(2);
    let send = |port| {
        guest.world.platform().poke(ARG, &EvtchnSend { port });
        make(&guest, __HYPERVISOR_event_channel_op, [EVTCHNOP_send.into(), ARG, 0, 0, 0, 0]).0
    };
    let awake = |vcpu: u32| guest.flags(vcpu) & BLOCKED == 0;
    guest.world.platform().poke(ARG, &EvtchnBindIpi { vcpu: 1, port: 0 });
    assert_eq!(make(&guest, __HYPERVISOR_event_channel_op, [EVTCHNOP_bind_ipi.into(), ARG, 0, 0, 0, 0]).0, Ok(0));
    let ipi = guest.world.platform().peek::<EvtchnBindIpi>(ARG).port;
    guest.dom.vcpus().for_each(|vcpu| _ = vcpu.sched.set(BLOCKED));
    assert_eq!((send(ipi), awake(0), awake(1)), (Ok(0), false, true));
    assert_eq!(send(ipi + 1), err(Errno::EINVAL));
    // From domain 1 to vcpu 0 of this one.
    let port = crate::evtchn::alloc_unbound(&guest.world.hv, &guest.dom, DomId(1)).unwrap();
    let other = guest.world.dom(1);
    let (near, _) = crate::evtchn::bind_interdomain(&guest.world.hv, &other, &guest.dom, port).unwrap();
    guest.world.platform().poke(ARG, &EvtchnSend { port: near });
    let sent = guest.world.call(1, |ctx| {
        dispatch(ctx, &mut Numbers::default(), __HYPERVISOR_event_channel_op.into(), [4, ARG, 0, 0, 0, 0])
    });
    assert_eq!((sent.0, awake(0)), (Ok(0), true));
}

/// A domain 6 that may have interrupts.
fn with_interrupts(guest: &Guest) -> ferroxen_sync::Shared<Domain<TestPlatform>> {
    let dom = Domain::<TestPlatform>::try_new(DomId(6), 1, false).unwrap();
    dom.events.set_pirqs(32).unwrap();
    let dom = ferroxen_sync::Shared::try_new(dom).ok().unwrap();
    dom.create_vcpu(0).unwrap();
    assert!(guest.world.hv.domains.insert(dom.clone()).is_ok());
    dom
}

#[test]
fn a_port_of_an_interrupt_that_is_refused_is_closed_again() {
    let guest = Guest::new(1);
    let dom = with_interrupts(&guest);
    let mut devices = Numbers::default();
    guest.world.platform().poke(ARG, &EvtchnBindPirq { pirq: 5, flags: 0, port: 0 });
    let bound = guest.world.call(6, |ctx| {
        let args = [EVTCHNOP_bind_pirq.into(), ARG, 0, 0, 0, 0];
        dispatch(ctx, &mut devices, __HYPERVISOR_event_channel_op.into(), args)
    });
    assert_eq!(bound.0, err(Errno::EPERM));
    let [(DomId(6), PirqEffect::Bind { pirq: 5, port, .. })] = devices.pirqs[..] else { panic!("{:?}", devices.pirqs) };
    assert_eq!(crate::evtchn::status(&dom, port).unwrap().binding, EvtchnBinding::Closed);
}

#[test]
fn interrupts_are_taken_from_the_domain_whose_channels_are_reset() {
    for by in [6, 0] {
        let guest = Guest::new(1);
        let dom = with_interrupts(&guest);
        let _ = crate::evtchn::bind_pirq(&guest.world.hv, &dom, 5, false).unwrap();
        guest.world.hv.pause(&dom);
        guest.world.platform().poke(ARG, &EvtchnReset { dom: 6 });
        let mut devices = Numbers::default();
        let args = [EVTCHNOP_reset.into(), ARG, 3, 4, 5, 6];
        let reset = |ctx: &mut Context<'_>| dispatch(ctx, &mut devices, __HYPERVISOR_event_channel_op.into(), args);
        let (result, _) = guest.world.call(by, reset);
        assert_eq!(result, err(Errno::EPERM), "by {by}");
        assert_eq!(devices.pirqs, [(DomId(6), PirqEffect::Unbind { pirq: 5 })], "by {by}");
    }
}

/// A list of calls at `LIST`; gives how it ended and what each entry says now.
fn list(guest: &Guest, calls: &[(u32, [u64; 6])], count: u64) -> (HypercallResult, Vec<u64>) {
    for ((op, args), at) in calls.iter().zip(0..) {
        guest.world.platform().poke(entry(at), &MulticallEntry { op: u64::from(*op), result: 99, args: *args });
    }
    let (result, _) = make(guest, __HYPERVISOR_multicall, [LIST, count, 3, 4, 5, 6]);
    let results = (0..calls.len() as u64).map(|at| guest.world.platform().peek::<MulticallEntry>(entry(at)).result);
    (result, results.collect())
}

const LIST: u64 = GUEST_BASE + 0x400;

fn entry(at: u64) -> u64 {
    LIST + at * size_of::<MulticallEntry>() as u64
}

const VERSION: (u32, [u64; 6]) = (__HYPERVISOR_xen_version, [0; 6]);
const YIELD: (u32, [u64; 6]) = (__HYPERVISOR_sched_op, [SCHEDOP_yield as u64, 0, 0, 0, 0, 0]);
const IS_4_17: u64 = 4 << 16 | 17;

fn errno(errno: Errno) -> u64 {
    (errno.as_neg()).cast_unsigned()
}

#[test]
fn each_call_of_a_list_gets_its_result() {
    let guest = Guest::new(1);
    let inner = (__HYPERVISOR_multicall, [LIST, 1, 0, 0, 0, 0]);
    let calls = [VERSION, (77, [0; 6]), inner, (__HYPERVISOR_get_debugreg, [6, 0, 0, 0, 0, 0])];
    let expected = vec![IS_4_17, errno(Errno::ENOSYS), errno(Errno::EINVAL), 0xffff_0ff0];
    assert_eq!(list(&guest, &calls, 4), (Ok(0), expected));
    assert_eq!(list(&guest, &calls, 1 << 32 | 1), (Ok(0), vec![IS_4_17, 99, 99, 99]), "the count has 32 bits");
    assert_eq!(list(&guest, &calls, 0), (Ok(0), vec![99; 4]));
    for bad in [0xffff_8000_0000_0000, 1 << 47] {
        assert_eq!(make(&guest, __HYPERVISOR_multicall, [bad, 0, 0, 0, 0, 0]).0, err(Errno::EFAULT));
    }
    assert_eq!(make(&guest, __HYPERVISOR_multicall, [8, 1, 0, 0, 0, 0]).0, err(Errno::EFAULT));
}

#[test]
fn a_list_goes_on_after_the_call_that_ended_the_turn() {
    let guest = Guest::new(1);
    let again = |at, left| Err(Stop::Again([entry(at), left, 3, 4, 5, 6]));
    assert_eq!(list(&guest, &[VERSION, YIELD, VERSION, VERSION], 4), (again(2, 2), vec![IS_4_17, 0, 99, 99]));
    assert_eq!(list(&guest, &[VERSION, YIELD], 2), (Ok(0), vec![IS_4_17, 0]), "nothing is left");
}

#[test]
fn a_list_can_be_interrupted_between_any_two_of_its_calls() {
    let guest = Guest::new(1);
    let again = |at, left| Err(Stop::Again([entry(at), left, 3, 4, 5, 6]));
    for polls in 0..3 {
        guest.world.platform().polls_left.store(polls, SeqCst);
        let (result, results) = list(&guest, &[VERSION; 4], 4);
        let done = polls as usize + 1;
        assert_eq!(result, again(done as u64, 4 - done as u64), "the first call is made in any case");
        assert_eq!(results, [vec![IS_4_17; done], vec![99; 4 - done]].concat());
    }
}

#[test]
fn a_call_that_stops_inside_a_list_keeps_its_arguments_there() {
    let guest = Guest::new(1);
    let stops = (__HYPERVISOR_domctl, [1, 2, 3, 4, 5, 6]);
    let (result, results) = list(&guest, &[VERSION, stops, VERSION], 3);
    assert_eq!(result, Err(Stop::Again([entry(1), 2, 3, 4, 5, 6])));
    assert_eq!(results[2], 99);
    assert_eq!(guest.world.platform().peek::<MulticallEntry>(entry(1)).args, [2, 2, 3, 4, 5, 6]);
}
