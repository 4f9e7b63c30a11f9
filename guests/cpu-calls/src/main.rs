//! The hypercalls about the running vcpu, each subcommand with good, bad and extreme arguments: callback_op,
//! set_callbacks, nmi_op, set_trap_table, stack_switch, fpu_taskswitch, set_segment_base, set_debugreg, get_debugreg,
//! vm_assist. An address that is not canonical is refused wherever one is kept: XSA-193 was one that was not.
#![cfg_attr(target_os = "none", no_std, no_main)]

use guest_rt::abi::arch_x86::TrapInfo;
use guest_rt::abi::arch_x86_64::*;
use guest_rt::abi::callback::*;
use guest_rt::abi::nmi::*;
use guest_rt::abi::xen::*;
use guest_rt::hypercall::error::*;
use guest_rt::hypercall::{NOWHERE, nowhere, op, raw};
use guest_rt::trap::Trap;
use guest_rt::{Report, probe, trap};

guest_rt::guest!("cpu-calls", run);

/// Addresses around the edges: whether they are canonical.
const EDGES: [(u64, bool); 8] = [
    (0, true),
    ((1 << 47) - 1, true),
    (1 << 47, false),
    (0xffff_7fff_ffff_ffff, false),
    (0xffff_8000_0000_0000, true),
    (0xffff_8300_0000_0000, true),
    (u64::MAX, true),
    (1 << 63, false),
];

fn run(report: &mut Report) {
    callbacks(report);
    nmi(report);
    trap_table(report);
    registers(report);
    segment_bases(report);
    debug_registers(report);
    assists(report);
    for number in [__HYPERVISOR_callback_op, __HYPERVISOR_nmi_op] {
        report.expect("an argument nowhere", nowhere(number, 0), Some(EFAULT));
    }
}

fn register(kind: u16, flags: u16, address: u64) -> i64 {
    guest_rt::hypercall::register_callback(kind, flags, address)
}

fn unregister(kind: u16) -> i64 {
    op(__HYPERVISOR_callback_op, CALLBACKOP_unregister, &mut CallbackUnregister { r#type: kind, ..Default::default() })
}

fn callbacks(report: &mut Report) {
    let kinds = [
        CALLBACKTYPE_syscall,
        CALLBACKTYPE_syscall32,
        CALLBACKTYPE_sysenter,
        CALLBACKTYPE_failsafe,
        CALLBACKTYPE_event,
        CALLBACKTYPE_nmi,
    ];
    for kind in kinds {
        for (address, canonical) in EDGES {
            // Events stay masked by what the runtime has; nothing is delivered to these addresses.
            let want = if canonical { 0 } else { EINVAL };
            report.result("registering a callback at an edge", register(kind, 0, address), want);
        }
        report.result("with every flag", register(kind, u16::MAX, trap::failsafe_callback_address()), 0);
        let want = if kind == CALLBACKTYPE_nmi { 0 } else { EINVAL };
        report.result("unregistering it", unregister(kind), want);
    }
    for kind in [3, 6, 8, 9, 255, u16::MAX] {
        report.result("a kind that is not there", register(kind, 0, 0x1000), ENOSYS);
        report.result("unregistering it", unregister(kind), ENOSYS);
    }
    report.result("a subcommand that is not there", raw(__HYPERVISOR_callback_op, [2, 0, 0, 0, 0]), ENOSYS);
    report.result("one of 2^32", raw(__HYPERVISOR_callback_op, [1 << 32 | 2, 0, 0, 0, 0]), ENOSYS);
    restore(report);
    let bad = [1 << 47, 1 << 47, 1 << 47, 0, 0];
    report.result("set_callbacks does not complain", raw(__HYPERVISOR_set_callbacks, bad), 0);
    let [event, failsafe, syscall] = addresses();
    report.result("set_callbacks", raw(__HYPERVISOR_set_callbacks, [event, failsafe, syscall, 0, 0]), 0);
}

fn addresses() -> [u64; 3] {
    [trap::event_callback_address(), trap::failsafe_callback_address(), trap::syscall_callback_address()]
}

fn restore(report: &mut Report) {
    let [event, failsafe, syscall] = addresses();
    report.result("the event callback again", register(CALLBACKTYPE_event, 0, event), 0);
    report.result("the failsafe callback again", register(CALLBACKTYPE_failsafe, 0, failsafe), 0);
    report.result("the syscall callback again", register(CALLBACKTYPE_syscall, 0, syscall), 0);
}

fn nmi(report: &mut Report) {
    let call = |command: u32, address: u64| {
        op(__HYPERVISOR_nmi_op, command, &mut XennmiCallback { handler_address: address, ..Default::default() })
    };
    for (address, canonical) in EDGES {
        let want = if canonical { 0 } else { EINVAL };
        report.result("an NMI handler at an edge", call(XENNMI_register_callback, address), want);
    }
    report.result("no NMI handler", call(XENNMI_unregister_callback, 0), 0);
    report.result("nor again", call(XENNMI_unregister_callback, 0), 0);
    report.result("a subcommand that is not there", call(2, 0), ENOSYS);
}

fn trap_table(report: &mut Report) {
    let set = |at: u64| raw(__HYPERVISOR_set_trap_table, [at, 0, 0, 0, 0]);
    let with = |table: &[TrapInfo]| set(table.as_ptr().addr() as u64);
    let entry = |vector: u8, address: u64| TrapInfo { vector, cs: FLAT_KERNEL_CS, address, ..Default::default() };
    for at in NOWHERE {
        report.result("a table nowhere", set(at), EFAULT);
    }
    for (address, canonical) in EDGES {
        // An entry with address 0 is the end.
        let want = if canonical { 0 } else { EINVAL };
        report.result("a handler at an edge", with(&[entry(0x90, address), TrapInfo::default()]), want);
    }
    report.result("selectors of all kinds", with(&[TrapInfo { cs: 0xe008, ..entry(0x91, 8) }, TrapInfo::default()]), 0);
    report.result("all flags", with(&[TrapInfo { flags: 255, ..entry(0x92, 8) }, TrapInfo::default()]), 0);
    // Only what stands before the bad entry holds.
    let stubs = trap::table();
    let bad = [entry(6, stubs[6].address), entry(0x93, 1 << 47), entry(6, 0x1000), TrapInfo::default()];
    report.result("a bad entry after a good one", with(&bad), EINVAL);
    report.expect("the good one holds", probe::ud2(), Err(Trap::UD));
    report.result("no table takes all handlers away", set(0), 0);
    report.result("the runtime's table", trap::install_table(), 0);
    report.expect("works again", probe::ud2(), Err(Trap::UD));
    // A table that runs into a page that is not there: without an end, 4 KiB of entries.
    let long = [entry(0x94, 8); 300];
    let mut ended = [entry(0x94, 8); 301];
    ended[300] = TrapInfo::default();
    report.result("more entries than vectors", with(&ended), 0);
    let _ = long;
    report.result("the runtime's table again", trap::install_table(), 0);
}

fn registers(report: &mut Report) {
    let switch = |ss: u64, sp: u64| raw(__HYPERVISOR_stack_switch, [ss, sp, 0, 0, 0]);
    for (sp, _) in EDGES {
        report.result("a kernel stack anywhere: it is used when user mode comes back", switch(0xe02b, sp), 0);
    }
    for ss in [0, 0xe010, 0xe008, 0xffff, u64::MAX] {
        report.result("any selector", switch(ss, 0x1000), 0);
    }
    let stack = guest_rt::memory::Page::new();
    report.result("a stack of our own", switch(0xe02b, stack.va() + 4096), 0);
    let task = |on: u64| raw(__HYPERVISOR_fpu_taskswitch, [on, 0, 0, 0, 0]);
    for on in [1, 2, u64::MAX, 1 << 31, 0] {
        report.result("fpu_taskswitch", task(on), 0);
        let ts = probe::read_cr0().map(|cr0| cr0 >> 3 & 1);
        report.expect("shows in CR0.TS", ts, Ok(u64::from(on != 0)));
    }
    report.result("fpu_taskswitch(0)", task(0), 0);
}

fn segment_bases(report: &mut Report) {
    let set = |which: u64, base: u64| raw(__HYPERVISOR_set_segment_base, [which, base, 0, 0, 0]);
    let bases = [(SEGBASE_FS, Some(0xc000_0100)), (SEGBASE_GS_USER, None), (SEGBASE_GS_KERNEL, Some(0xc000_0101))];
    for (which, msr) in bases {
        for (base, canonical) in EDGES {
            let want = if canonical { 0 } else { EINVAL };
            report.result("a base at an edge", set(which.into(), base), want);
            if let (true, Some(msr)) = (canonical, msr) {
                report.expect("is what RDMSR gives", probe::rdmsr(msr), Ok(base));
            }
        }
        report.result("no base", set(which.into(), 0), 0);
    }
    report.result("the null selector for user mode's GS", set(SEGBASE_GS_USER_SEL.into(), 0), 0);
    report.result("a null selector with an RPL", set(SEGBASE_GS_USER_SEL.into(), 3), 0);
    report.result("a data selector", set(SEGBASE_GS_USER_SEL.into(), 0xe02b), 0);
    report.result("a selector that cannot be loaded", set(SEGBASE_GS_USER_SEL.into(), 0xfff8), 0);
    report.result("the null selector again", set(SEGBASE_GS_USER_SEL.into(), 0), 0);
    for which in [4, 5, 1 << 31, u64::MAX] {
        report.result("a base that is not there", set(which, 0), EINVAL);
    }
}

fn debug_registers(report: &mut Report) {
    let set = |register: u64, value: u64| raw(__HYPERVISOR_set_debugreg, [register, value, 0, 0, 0]);
    let get = |register: u64| raw(__HYPERVISOR_get_debugreg, [register, 0, 0, 0, 0]);
    for register in 0..4 {
        for (value, want) in [
            (0x1000, 0),
            (0x7fff_ffff_ffff, 0),
            (1 << 47, EPERM),
            (0xffff_8000_0000_0000, EPERM),
            (0xffff_87ff_ffff_ffff, EPERM),
            (0xffff_8800_0000_0000, 0),
            (0, 0),
        ] {
            report.result("a breakpoint's address", set(register, value), want);
            if want == 0 {
                report.expect("reads back", get(register), value as i64);
            }
        }
    }
    report.result("DR6 has 32 bits", set(6, u64::MAX), EINVAL);
    report.result("DR7 too", set(7, 1 << 32 | 0x400), EINVAL);
    for (value, want) in [(0u64, 0xffff_0ff0u64), (0xffff_ffff, 0xffff_efff), (0xffff_0ff0, 0xffff_0ff0)] {
        report.result("DR6", set(6, value), 0);
        report.expect("reads with its fixed bits", get(6), want as i64);
    }
    // XSA-12: reserved bits of DR7 that were written as they came made the hypervisor fault.
    for (value, want, reads) in [
        (0u64, 0i64, 0x400u64),
        (0x400, 0, 0x400),
        (0xd800, 0, 0x400),
        (1 << 13, EPERM, 0x400),
        (0x2_0001, EPERM, 0x400),
        (0x2_0000, 0, 0x2_0400),
        (0xf0_0000, 0, 0xf0_0400),
        (0x300, 0, 0x700),
        (0, 0, 0x400),
    ] {
        report.result("DR7", set(7, value), want);
        report.expect("reads back", get(7), reads as i64);
    }
    for register in [8u64, 9, 15, 16, 1 << 31, u64::MAX] {
        report.result("a register that is not there", set(register, 0), ENODEV);
        report.result("nor to read", get(register), ENODEV);
    }
    report.result("DR4 is DR6 without CR4.DE", get(4), 0xffff_0ff0);
    report.result("DR5 is DR7", get(5), 0x400);
}

fn assists(report: &mut Report) {
    let call = |command: u64, kind: u64| raw(__HYPERVISOR_vm_assist, [command, kind, 0, 0, 0]);
    for kind in [0u32, 1, 3, VMASST_TYPE_architectural_iopl, VMASST_TYPE_runstate_update_flag, VMASST_TYPE_m2p_strict] {
        report.result("enabling", call(VMASST_CMD_enable.into(), kind.into()), 0);
        report.result("again", call(VMASST_CMD_enable.into(), kind.into()), 0);
        report.result("disabling", call(VMASST_CMD_disable.into(), kind.into()), 0);
    }
    for kind in [6, 7, 31, 33, 63, 64, 65, 1 << 31, u64::from(u32::MAX)] {
        report.result("a kind that is not there", call(VMASST_CMD_enable.into(), kind), EINVAL);
        report.result("is not disabled either", call(VMASST_CMD_disable.into(), kind), EINVAL);
    }
    report.result("kinds have 32 bits", call(VMASST_CMD_enable.into(), 1 << 32), 0);
    report.result("a command that is not there", call(2, 0), ENOSYS);
    report.result("neither command nor kind", call(2, 63), EINVAL);
}
