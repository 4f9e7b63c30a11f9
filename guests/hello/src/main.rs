//! The smallest guest: what it prints shows that loading, the hypercall page, the console, the shared page and
//! shutdown work. The two-second edit loop for a hypervisor.
#![cfg_attr(target_os = "none", no_std, no_main)]

use guest_rt::abi::version::{XENVER_extraversion, XENVER_version};
use guest_rt::abi::xen::__HYPERVISOR_xen_version;
use guest_rt::{Report, hypercall, println, start, time};

guest_rt::guest!("hello", run);

fn run(report: &mut Report) {
    let version = hypercall::raw(__HYPERVISOR_xen_version, [XENVER_version.into(), 0, 0, 0, 0]);
    let mut extra = [0u8; 16];
    let result = hypercall::op(__HYPERVISOR_xen_version, XENVER_extraversion, &mut extra);
    report.result("xen_version(XENVER_extraversion)", result, 0);
    let end = extra.iter().position(|&byte| byte == 0).unwrap_or(extra.len());
    let extra = core::str::from_utf8(&extra[..end]).unwrap_or("?");
    println!("hello from a PV guest on Xen {}.{}{extra}", version >> 16, version & 0xffff);

    let info = start::info();
    let magic = info.magic.iter().position(|&byte| byte == 0).unwrap_or(info.magic.len());
    println!(
        "{}: {} pages, flags {:#x}, {} page-table frames, command line \"{}\"",
        core::str::from_utf8(&info.magic[..magic]).unwrap_or("?"),
        info.nr_pages,
        info.flags,
        info.nr_pt_frames,
        start::command_line()
    );
    report.check("the magic starts with xen-3", info.magic.starts_with(b"xen-3"));
    report.check("the version is at least 4.0", version >= 4 << 16);
    let (first, second) = (time::now(), time::now());
    println!("{first} ns since boot");
    report.check("time goes on", first > 0 && second >= first);
}
