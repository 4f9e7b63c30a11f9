//! The hypervisor's own pages: nothing is both writable and executable, text cannot be written, stacks have guards, and
//! it needs little memory. It says so itself, by debug keys whose answers are read from its console ring.
#![cfg_attr(target_os = "none", no_std, no_main)]

use guest_rt::abi::sysctl::*;
use guest_rt::abi::version::XENVER_extraversion;
use guest_rt::abi::xen::{__HYPERVISOR_sysctl, __HYPERVISOR_xen_version};
use guest_rt::abi::{GuestPtr, member};
use guest_rt::{Report, hypercall, println, start};

guest_rt::guest!("protection", run);

fn sysctl(cmd: u32, fill: impl FnOnce(&mut XenSysctl)) -> (i64, XenSysctl) {
    let mut op = XenSysctl { cmd, interface_version: XEN_SYSCTL_INTERFACE_VERSION, ..Default::default() };
    fill(&mut op);
    let result = hypercall::raw(__HYPERVISOR_sysctl, [&raw mut op as u64, 0, 0, 0, 0]);
    (result, op)
}

fn press(report: &mut Report, keys: &[u8]) {
    let keys = XenSysctlDebugKeys {
        keys: GuestPtr::new(keys.as_ptr() as u64),
        nr_keys: keys.len() as u32,
        ..Default::default()
    };
    let (result, _) = sysctl(XEN_SYSCTL_debug_keys, |op| member::put(&mut op.u, &keys));
    report.result("debug_keys", result, 0);
}

/// What the console ring has got since the position `from`; gives the new position.
fn read_console<'a>(report: &mut Report, from: u32, text: &'a mut [u8]) -> (u32, &'a str) {
    let ask = XenSysctlReadconsole {
        incremental: 1,
        index: from,
        buffer: GuestPtr::new(text.as_mut_ptr() as u64),
        count: text.len() as u32,
        ..Default::default()
    };
    let (result, op) = sysctl(XEN_SYSCTL_readconsole, |op| member::put(&mut op.u, &ask));
    report.result("readconsole", result, 0);
    let answer: XenSysctlReadconsole = member::get(&op.u);
    let len = (answer.count as usize).min(text.len());
    (answer.index, core::str::from_utf8(&text[..len]).unwrap_or(""))
}

/// The number behind these words.
fn number(text: &str, words: &str) -> Option<u64> {
    let (_, rest) = text.split_once(words)?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn run(report: &mut Report) {
    let mut extra = [0u8; 16];
    hypercall::op(__HYPERVISOR_xen_version, XENVER_extraversion, &mut extra);
    if !start::is_dom0() || !extra.windows(8).any(|part| part.eq_ignore_ascii_case(b"ferroxen")) {
        report.skip("keys of Ferroxen's own");
        return;
    }
    let mut text = [0u8; 16384];
    let (mut position, before) = read_console(report, 0, &mut text);
    report.check("the ring holds the boot", before.contains("Booted by"));
    press(report, b"W");
    let after;
    (position, after) = read_console(report, position, &mut text);
    println!("{after}");
    report.check("nothing is both writable and executable", after.contains("nothing is both writable and executable"));
    report.check("the boot stack and each CPU's two stacks are guarded", number(after, "stacks: ") >= Some(3));
    report.check("some text is executable, at most a megabyte", {
        number(after, "writable, ").is_some_and(|kib| (1..=1024).contains(&kib))
    });
    press(report, b"m");
    let (_, memory) = read_console(report, position, &mut text);
    println!("{memory}");
    report.check("at most 16 MiB are the hypervisor's own", {
        number(memory, "the hypervisor's own: ").is_some_and(|kib| kib <= 16 << 10)
    });
    press(report, b"h?");
}
