//! The small hypercalls, as a guest sees them.

mod dispatch;
mod sched;
mod vcpu;

use super::*;
use crate::addr::Vaddr;
use crate::console::{Console, Received};
use crate::ctx::Effect;
use crate::pv::*;
use crate::testing::{GUEST_BASE, TestWorld};
use std::sync::atomic::Ordering;
use xen_abi::arch_x86::TrapInfo;
use xen_abi::callback::*;
use xen_abi::features::*;
use xen_abi::nmi::{XENNMI_register_callback, XENNMI_unregister_callback, XennmiCallback};
use xen_abi::v4_20::*;
use xen_abi::version::*;
use xen_abi::xen::*;

const ARG: u64 = GUEST_BASE;
const NOT_CANONICAL: u64 = 1 << 47;
const KERNEL: u64 = 0xffff_ffff_8100_0000;

fn world() -> TestWorld {
    TestWorld::new(16, &[])
}

fn err<T>(errno: Errno) -> Result<T, Stop> {
    Err(Stop::Err(errno))
}

fn version(world: &TestWorld, id: u16, cmd: u32) -> HypercallResult {
    world.call(id, |ctx| xen_version(ctx, cmd.into(), ARG)).0
}

fn string(world: &TestWorld) -> String {
    let bytes: [u8; 1024] = world.platform().peek(ARG);
    String::from_utf8(bytes.split(|&b| b == 0).next().unwrap().to_vec()).unwrap()
}

#[test]
fn the_version_is_the_one_that_toolstacks_of_4_17_know() {
    assert_eq!(version(&world(), 1, XENVER_version), Ok(4 << 16 | 17));
}

#[test]
fn every_guest_reads_what_identifies_the_hypervisor() {
    let mut world = world();
    world.hv.build.extraversion = "-a-very-long-extraversion";
    world.platform().poke(ARG, &[0xffu8; 1024]);
    assert_eq!(version(&world, 1, XENVER_extraversion), Ok(0));
    assert_eq!(string(&world), "-a-very-long-ex", "cut, with its terminator");
    assert_eq!(world.platform().peek::<u8>(ARG + 16), 0xff, "nothing is written behind the field");
    assert_eq!(version(&world, 1, XENVER_capabilities), Ok(0));
    assert_eq!(string(&world), "xen-3.0-x86_64 ");
    assert_eq!(version(&world, 1, XENVER_changeset), Ok(0));
    assert_eq!(string(&world), "ferroxen");
    assert_eq!(version(&world, 1, XENVER_compile_info), Ok(0));
    assert_eq!(string(&world), "rustc");
    assert_eq!(version(&world, 1, XENVER_platform_parameters), Ok(0));
    assert_eq!(world.platform().peek::<u64>(ARG), 0xffff_8000_0000_0000);
    assert_eq!(world.call(1, |ctx| xen_version(ctx, XENVER_pagesize.into(), 0)).0, Ok(4096));
    assert_eq!(version(&world, 1, XENVER_pagesize), err(Errno::EINVAL));
    assert_eq!(version(&world, 1, 15), err(Errno::ENOSYS));
    world.dom(1).handle.set(std::array::from_fn(|n| n as u8));
    assert_eq!(version(&world, 1, XENVER_guest_handle), Ok(0));
    assert_eq!(world.platform().peek::<[u8; 16]>(ARG)[15], 15);
}

#[test]
fn the_command_line_and_the_build_id_are_for_the_privileged() {
    let mut world = world();
    world.hv.build.command_line = "dom0_mem=1G loglvl=all";
    let id = |world: &TestWorld, dom, at: u64| world.call(dom, |ctx| xen_version(ctx, XENVER_build_id.into(), at)).0;
    assert_eq!(version(&world, 1, XENVER_commandline), Ok(0));
    assert_eq!(string(&world), "<denied>");
    assert_eq!(version(&world, 0, XENVER_commandline), Ok(0));
    assert_eq!(string(&world), "dom0_mem=1G loglvl=all");
    assert_eq!(id(&world, 0, 0), err(Errno::ENODATA));
    world.hv.build.build_id = &[7; 20];
    assert_eq!(id(&world, 1, 0), err(Errno::EPERM));
    assert_eq!(id(&world, 0, 0), Ok(20));
    for (room, result) in [(0u32, err(Errno::EINVAL)), (19, err(Errno::ENOBUFS)), (20, Ok(20))] {
        world.platform().poke(ARG, &room);
        assert_eq!(id(&world, 0, ARG), result);
    }
    assert_eq!(world.platform().peek::<[u8; 20]>(ARG + 4), [7; 20]);
}

#[test]
fn texts_of_any_length_are_for_tools_of_4_20() {
    let mut world = world();
    world.hv.build.extraversion = "-a-very-long-extraversion";
    world.hv.build.command_line = "loglvl=all";
    let get = |dom, cmd: u32, at: u64| world.call(dom, |ctx| xen_version(ctx, cmd.into(), at)).0;
    for (cmd, text) in [
        (XENVER_extraversion2, "-a-very-long-extraversion"),
        (XENVER_capabilities2, "xen-3.0-x86_64 "),
        (XENVER_changeset2, "ferroxen"),
        (XENVER_commandline2, "loglvl=all"),
    ] {
        let len = text.len() as u64;
        assert_eq!(get(0, cmd, 0), Ok(len));
        for (room, result) in [(0, err(Errno::EINVAL)), (len as u32 - 1, err(Errno::ENOBUFS)), (1000, Ok(len))] {
            world.platform().poke(ARG, &room);
            assert_eq!(get(0, cmd, ARG), result);
        }
        let written: Vec<u8> = (0..len).map(|n| world.platform().peek(ARG + 4 + n)).collect();
        assert_eq!(written, text.as_bytes());
        assert_eq!(get(0, cmd, NOT_CANONICAL), err(Errno::EFAULT));
        let guests = if cmd == XENVER_commandline2 { err(Errno::EPERM) } else { Ok(len) };
        assert_eq!(get(1, cmd, ARG), guests);
    }
}

#[test]
fn features_say_who_is_dom0_and_what_was_assisted() {
    let world = world();
    let features = |id, map: u32| {
        world.platform().poke(ARG, &XenFeatureInfo { submap_idx: map, submap: 0 });
        version(&world, id, XENVER_get_features).map(|_| world.platform().peek::<XenFeatureInfo>(ARG).submap)
    };
    let has = |map: u32, feature: u32| map >> feature & 1 == 1;
    let (dom0, dom1) = (features(0, 0).unwrap(), features(1, 0).unwrap());
    assert!(has(dom0, XENFEAT_dom0) && !has(dom1, XENFEAT_dom0));
    for map in [dom0, dom1] {
        assert!(has(map, XENFEAT_mmu_pt_update_preserve_ad) && has(map, XENFEAT_gnttab_map_avail_bits));
        assert!(!has(map, XENFEAT_auto_translated_physmap) && !has(map, XENFEAT_writable_page_tables));
        assert!(!has(map, XENFEAT_pae_pgdir_above_4gb));
    }
    let assist = |cmd: u32| world.call(1, |ctx| vm_assist(ctx, cmd.into(), VMASST_TYPE_pae_extended_cr3.into())).0;
    assert_eq!(assist(VMASST_CMD_enable), Ok(0));
    assert!(has(features(1, 0).unwrap(), XENFEAT_pae_pgdir_above_4gb));
    assert_eq!(features(1, 1), err(Errno::EINVAL));
}

#[test]
fn assists_are_switched_on_and_off() {
    let world = world();
    let assist = |cmd: u32, kind: u64| world.call(1, |ctx| vm_assist(ctx, cmd.into(), kind)).0;
    assert_eq!(assist(VMASST_CMD_enable, VMASST_TYPE_writable_pagetables.into()), Ok(0));
    assert_eq!(assist(VMASST_CMD_enable, VMASST_TYPE_m2p_strict.into()), Ok(0));
    assert_eq!(world.dom(1).vm_assist.load(Ordering::SeqCst), 1 << 2 | 1 << 32);
    assert_eq!(assist(VMASST_CMD_disable, VMASST_TYPE_writable_pagetables.into()), Ok(0));
    assert_eq!(world.dom(1).vm_assist.load(Ordering::SeqCst), 1 << 32);
    assert_eq!(VALID_ASSISTS, 0x1_0000_003f);
    for kind in [6, 31, 33, 63, 64, 0xffff_ffff] {
        assert_eq!(assist(VMASST_CMD_enable, kind), err(Errno::EINVAL), "{kind}");
    }
    assert_eq!(assist(2, 0), err(Errno::ENOSYS));
}

#[test]
fn callbacks_are_registered_with_their_masks() {
    let world = world();
    let mut pv = PvState { flags: IN_KERNEL, ..PvState::default() };
    let mut register = |kind, flags, address| {
        world.platform().poke(ARG, &CallbackRegister { r#type: kind, flags, address, ..Default::default() });
        world.call_with(1, &mut pv, |ctx| callback_op(ctx, CALLBACKOP_register.into(), ARG)).0
    };
    assert_eq!(register(CALLBACKTYPE_event, 0, KERNEL), Ok(0));
    assert_eq!(register(CALLBACKTYPE_failsafe, CALLBACKF_mask_events, KERNEL + 1), Ok(0));
    assert_eq!(register(CALLBACKTYPE_syscall, CALLBACKF_mask_events, KERNEL + 2), Ok(0));
    assert_eq!(register(CALLBACKTYPE_syscall32, CALLBACKF_mask_events, KERNEL + 3), Ok(0));
    assert_eq!(register(CALLBACKTYPE_sysenter, CALLBACKF_mask_events, KERNEL + 4), Ok(0));
    assert_eq!(register(CALLBACKTYPE_failsafe, 0, KERNEL + 5), Ok(0));
    assert_eq!(register(CALLBACKTYPE_sysenter, CALLBACKF_mask_events, KERNEL + 4), Ok(0), "again");
    assert_eq!(register(CALLBACKTYPE_syscall, 0, NOT_CANONICAL), err(Errno::EINVAL));
    assert_eq!(register(CALLBACKTYPE_sysenter_deprecated, 0, KERNEL), err(Errno::ENOSYS));
    assert_eq!(register(99, 0, KERNEL), err(Errno::ENOSYS));
    let masks = SYSCALL_MASKS_EVENTS | SYSCALL32_MASKS_EVENTS | SYSENTER_MASKS_EVENTS;
    assert_eq!(pv.flags, IN_KERNEL | masks);
    let addresses =
        [pv.event_callback, pv.failsafe_callback, pv.syscall_callback, pv.syscall32_callback, pv.sysenter_callback];
    assert_eq!(addresses, [0, 5, 2, 3, 4].map(|n| KERNEL + n));
    assert_eq!((pv.syscall32_cs, pv.sysenter_cs), (0xe033, 0xe033));
}

#[test]
fn only_the_nmi_callback_can_be_taken_back() {
    let world = world();
    let mut pv = PvState::default();
    let mut op = |cmd: u32, kind| {
        world.platform().poke(ARG, &CallbackRegister { r#type: kind, address: KERNEL, ..Default::default() });
        let result = world.call_with(1, &mut pv, |ctx| callback_op(ctx, cmd.into(), ARG)).0;
        let gate = world.dom(1).vcpu(0).unwrap().traps[2].address.load(Ordering::SeqCst);
        (result, pv.nmi_callback, gate)
    };
    assert_eq!(op(CALLBACKOP_register, CALLBACKTYPE_nmi), (Ok(0), KERNEL, KERNEL));
    assert_eq!(gate(&world, 2), (KERNEL, 0xe033 | 1 << 18), "in the kernel's segment, events masked");
    for kind in [CALLBACKTYPE_event, CALLBACKTYPE_failsafe, CALLBACKTYPE_syscall, CALLBACKTYPE_sysenter] {
        assert_eq!(op(CALLBACKOP_unregister, kind).0, err(Errno::EINVAL));
    }
    assert_eq!(op(CALLBACKOP_unregister, CALLBACKTYPE_nmi), (Ok(0), 0, 0));
    assert_eq!(op(CALLBACKOP_unregister, 50).0, err(Errno::ENOSYS));
    assert_eq!(op(2, 0).0, err(Errno::ENOSYS));
}

#[test]
fn nmi_op_is_the_old_way_to_the_same() {
    let world = world();
    let mut pv = PvState::default();
    world.platform().poke(ARG, &XennmiCallback { handler_address: KERNEL, pad: 0 });
    let mut op = |cmd: u32| {
        let result = world.call_with(1, &mut pv, |ctx| nmi_op(ctx, cmd.into(), ARG)).0;
        (result, pv.nmi_callback)
    };
    assert_eq!(op(XENNMI_register_callback), (Ok(0), KERNEL));
    assert_eq!(op(7), (err(Errno::ENOSYS), KERNEL));
    assert_eq!(op(XENNMI_unregister_callback), (Ok(0), 0));
}

#[test]
fn set_callbacks_takes_what_is_canonical() {
    let world = world();
    let mut pv = PvState::default();
    let (result, _) = world.call_with(1, &mut pv, |ctx| set_callbacks(ctx, KERNEL, NOT_CANONICAL, KERNEL + 8));
    assert_eq!(result, Ok(0));
    assert_eq!((pv.event_callback, pv.failsafe_callback, pv.syscall_callback), (KERNEL, 0, KERNEL + 8));
}

fn trap(vector: u8, cs: u16, flags: u8, address: u64) -> TrapInfo {
    TrapInfo { vector, flags, cs, address, ..TrapInfo::default() }
}

fn gate(world: &TestWorld, vector: usize) -> (u64, u32) {
    let dom = world.dom(1);
    let gate = &dom.vcpu(0).unwrap().traps[vector];
    (gate.address.load(Ordering::SeqCst), gate.selector_flags.load(Ordering::SeqCst))
}

#[test]
fn a_trap_table_ends_with_address_0_and_its_selectors_get_ring_3() {
    let world = world();
    let table = [trap(3, 0xe030, 3, KERNEL), trap(14, 0xe033, 4, KERNEL + 1), trap(9, 1, 0, 0), trap(8, 1, 0, 5)];
    world.platform().poke(ARG, &table);
    assert_eq!(world.call(1, |ctx| set_trap_table(ctx, ARG)).0, Ok(0));
    assert_eq!(gate(&world, 3), (KERNEL, 0xe033 | 3 << 16));
    assert_eq!(gate(&world, 14), (KERNEL + 1, 0xe033 | 1 << 18));
    assert_eq!((gate(&world, 8), gate(&world, 9)), ((0, 0), (0, 0)));
    assert_eq!(world.call(1, |ctx| set_trap_table(ctx, 0)).0, Ok(0));
    assert_eq!(gate(&world, 3), (0, 0));
}

#[test]
fn a_trap_handler_that_is_not_canonical_is_refused() {
    let world = world();
    world.platform().poke(ARG, &[trap(1, 0, 0, KERNEL), trap(2, 0, 0, NOT_CANONICAL)]);
    assert_eq!(world.call(1, |ctx| set_trap_table(ctx, ARG)).0, err(Errno::EINVAL));
    assert_eq!((gate(&world, 1).0, gate(&world, 2).0), (KERNEL, 0));
    assert_eq!(world.call(1, |ctx| set_trap_table(ctx, 8)).0, err(Errno::EFAULT));
}

#[test]
fn an_endless_trap_table_can_be_preempted_at_every_entry() {
    let world = world();
    let table: Vec<_> = (0..=255).map(|vector| trap(vector, 0, 0, KERNEL)).collect();
    table.iter().zip(0..).for_each(|(entry, n)| world.platform().poke(ARG + 16 * n, entry));
    world.platform().polls_left.store(0, Ordering::SeqCst);
    let mut at = ARG;
    let mut stops = 0;
    while let Err(Stop::Again([next, ..])) = world.call(1, |ctx| set_trap_table(ctx, at)).0 {
        assert_eq!(next, at + 16);
        (at, stops) = (next, stops + 1);
    }
    assert_eq!(stops, 256);
    assert_eq!(gate(&world, 255).0, KERNEL);
}

#[test]
fn the_control_domain_writes_to_the_console_and_can_be_preempted() {
    let mut world = world();
    world.hv.console = Console::try_new(1).unwrap();
    world.hv.console.guest_to_ring = true;
    let text: [u8; 300] = std::array::from_fn(|n| b'a' + (n % 26) as u8);
    world.platform().poke(ARG, &text);
    world.platform().polls_left.store(0, Ordering::SeqCst);
    let (mut args, mut stops) = ([CONSOLEIO_write.into(), 300, ARG, 0, 0, 0], 0);
    loop {
        match world.call(0, |ctx| console_io(ctx, args[0], args[1], args[2])).0 {
            Err(Stop::Again(next)) => (args, stops) = (next, stops + 1),
            other => break assert_eq!(other, Ok(0)),
        }
    }
    assert_eq!(stops, 2);
    assert_eq!(*world.platform().console.lock().unwrap(), text);
    let mut ring = [0; 400];
    assert_eq!(world.hv.console.read(0, &mut ring), (0, 300));
    assert_eq!(world.call(1, |ctx| console_io(ctx, CONSOLEIO_write.into(), 1, ARG)).0, err(Errno::EPERM));
    assert_eq!(world.call(0, |ctx| console_io(ctx, CONSOLEIO_write.into(), 1, 8)).0, err(Errno::EFAULT));
    assert_eq!(world.call(0, |ctx| console_io(ctx, 9, 1, ARG)).0, err(Errno::ENOSYS));
}

#[test]
fn a_text_is_written_to_its_end_and_no_further() {
    for len in [0u64, 1, 128, 129, 300] {
        let world = world();
        let text: [u8; 600] = std::array::from_fn(|n| n as u8);
        world.platform().poke(ARG, &text);
        assert_eq!(world.call(0, |ctx| console_io(ctx, CONSOLEIO_write.into(), 1 << 32 | len, ARG)).0, Ok(0));
        assert_eq!(*world.platform().console.lock().unwrap(), text[..len as usize]);
    }
}

#[test]
fn the_control_domain_reads_what_was_typed() {
    let world = world();
    let read = |id, count| world.call(id, |ctx| console_io(ctx, CONSOLEIO_read.into(), count, ARG)).0;
    for byte in *b"hello" {
        assert_eq!(world.hv.console.receive(byte), Received::ForGuest);
    }
    assert_eq!(read(1, 10), err(Errno::EPERM));
    assert_eq!(read(0, 1 << 31), err(Errno::E2BIG));
    assert_eq!(read(0, 2), Ok(2));
    assert_eq!(read(0, 0x7fff_ffff), Ok(3));
    assert_eq!(world.platform().peek::<[u8; 3]>(ARG), *b"llo");
    assert_eq!(read(0, 10), Ok(0));
}

fn debugreg(pv: &mut PvState, reg: u64, value: u64) -> Result<u64, Stop> {
    let world = world();
    let (result, effects) = world.call_with(1, pv, |ctx| set_debugreg(ctx, reg, value));
    assert_eq!(effects.has(Effect::LOAD_DEBUG), result.is_ok());
    result.and_then(|_| world.call_with(1, pv, |ctx| get_debugreg(ctx, reg)).0)
}

#[test]
fn a_breakpoint_is_in_the_guests_space_or_refused() {
    let pv = &mut PvState::default();
    for address in [0, KERNEL, 0xffff_8800_0000_0000, (1 << 47) - 1] {
        assert_eq!(debugreg(pv, 3, address), Ok(address));
    }
    for address in [NOT_CANONICAL, 0xffff_8000_0000_0000, 0xffff_87ff_ffff_ffff] {
        assert_eq!(debugreg(pv, 3, address), err(Errno::EPERM));
    }
    assert_eq!(pv.debug[3], (1 << 47) - 1);
}

#[test]
fn debug_control_keeps_its_fixed_bits() {
    let pv = &mut PvState::default();
    assert_eq!(debugreg(pv, 6, 0xffff_ffff), Ok(0xffff_efff));
    // Bits that MOV to DR6 or DR7 would fault on.
    for (reg, value) in [(6, 1 << 32), (7, 1 << 32 | 0x400), (6, u64::MAX)] {
        assert_eq!(debugreg(pv, reg, value), err(Errno::EINVAL));
    }
    assert_eq!(debugreg(pv, 6, 0), Ok(0xffff_0ff0));
    assert_eq!(debugreg(pv, 7, 0), Ok(0x400));
    assert_eq!(debugreg(pv, 7, 0xd801), Ok(0x401));
    assert_eq!(debugreg(pv, 7, 1 << 13), err(Errno::EPERM), "general detection");
    assert_eq!(debugreg(pv, 7, 2 << 20 | 1), err(Errno::EPERM), "I/O breakpoint without CR4.DE");
    assert_eq!(debugreg(pv, 5, 0x403), Ok(0x403), "DR5 is DR7");
    assert_eq!(debugreg(pv, 4, 1), Ok(0xffff_0ff1));
    assert_eq!(debugreg(pv, 8, 0), err(Errno::ENODEV));
    assert_eq!(debugreg(pv, u64::MAX, 0), err(Errno::ENODEV));
    pv.cr4 = 1 << 3;
    assert_eq!(debugreg(pv, 5, 0), err(Errno::ENODEV));
    assert_eq!(debugreg(pv, 4, 0), err(Errno::ENODEV));
    assert_eq!(debugreg(pv, 7, 2 << 20 | 0b1101), Ok(2 << 20 | 0x401), "never armed in hardware");
}

#[test]
fn what_the_hardware_gets_has_the_fixed_bits() {
    let pv = &mut PvState::default();
    for (reg, value, kept) in
        [(6, 0xffff_0ff1, 0xffff_0ff1), (6, 0, 0xffff_0ff0), (7, 0x401, 0x401), (7, 1, 0x401), (7, 0x400, 0x400)]
    {
        debugreg(pv, reg, value).unwrap();
        assert_eq!(pv.debug[if reg == 6 { 4 } else { 5 }], kept, "{reg} {value:#x}");
    }
}

#[test]
fn a_breakpoint_on_ports_is_refused_when_it_is_armed() {
    let pv = &mut PvState::default();
    for breakpoint in 0..4 {
        let ports = 2 << (16 + 4 * breakpoint);
        pv.cr4 = 0;
        assert_eq!(debugreg(pv, 7, ports), Ok(ports | 0x400), "nothing is armed");
        assert_eq!(debugreg(pv, 7, ports | 0x80), err(Errno::EPERM));
        assert_eq!(debugreg(pv, 7, ports | 1), err(Errno::EPERM));
        pv.cr4 = 1 << 3;
        assert_eq!(debugreg(pv, 7, ports | 0xff), Ok(ports | 0x400 | 0xff & !(3 << (2 * breakpoint))), "{breakpoint}");
    }
}

#[test]
fn the_kernel_stack_gets_ring_3() {
    let world = world();
    let mut pv = PvState::default();
    assert_eq!(world.call_with(1, &mut pv, |ctx| stack_switch(ctx, 0xe028, KERNEL)).0, Ok(0));
    assert_eq!((pv.kernel_ss, pv.kernel_sp), (0xe02b, KERNEL));
    // The entry paths write below it without another check: nothing of the hypervisor may lie there.
    for bad in [0xffff_8000_0000_0000, 0xffff_8300_0000_1000, 0xffff_8800_0000_0000, 0xffff_8800_0000_0070, 64] {
        assert_eq!(world.call_with(1, &mut pv, |ctx| stack_switch(ctx, 0xe028, bad)).0, Ok(0));
        assert_eq!(pv.kernel_sp, 1 << 63, "{bad:#x}");
    }
    for good in [0xffff_8800_0000_0088_u64, 0, 1 << 47, 0xffff_ffff_ffff_fff8] {
        assert_eq!(world.call_with(1, &mut pv, |ctx| stack_switch(ctx, 0xe028, good)).0, Ok(0));
        assert_eq!(pv.kernel_sp, good & !15);
    }
}

#[test]
fn task_switched_is_a_flag_and_an_effect() {
    let world = world();
    let mut pv = PvState { flags: IN_KERNEL, ..PvState::default() };
    let on = IN_KERNEL | TASK_SWITCHED;
    for (set, flags) in [(1, on), (2, on), (0, IN_KERNEL), (1 << 32, IN_KERNEL)] {
        let (result, effects) = world.call_with(1, &mut pv, |ctx| fpu_taskswitch(ctx, set));
        assert_eq!((result, pv.flags, effects.has(Effect::LOAD_FPU)), (Ok(0), flags, true));
    }
}

#[test]
fn segment_bases_are_effects_in_the_order_of_the_calls() {
    let world = world();
    let ((), effects) = world.call(1, |ctx| {
        for (which, base) in [(0, 0x1000), (1, 0x2000), (3, 0x28), (2, KERNEL)] {
            assert_eq!(set_segment_base(ctx, which, base), Ok(0));
        }
        for which in 0..3 {
            assert_eq!(set_segment_base(ctx, which, NOT_CANONICAL), err(Errno::EINVAL));
        }
        assert_eq!(set_segment_base(ctx, 4, 0), err(Errno::EINVAL));
    });
    let bases = effects.segment_bases().unwrap();
    assert_eq!((bases.fs, bases.gs_kernel), (Some(0x1000), Some(KERNEL)));
    assert_eq!((bases.gs_user_selector, bases.gs_user), (Some(0x2b), None), "the selector came after the base");
    let ((), effects) = world.call(1, |ctx| {
        assert_eq!(set_segment_base(ctx, 3, 0), Ok(0));
        assert_eq!(set_segment_base(ctx, 1, 0x3000), Ok(0));
    });
    let bases = effects.segment_bases().unwrap();
    assert_eq!((bases.gs_user_selector, bases.gs_user), (Some(0), Some(0x3000)));
}
