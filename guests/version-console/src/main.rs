//! xen_version and console_io, all subcommands; multicall; hypercalls that are not there. What is copied out to a guest
//! is the answer and nothing else: XSA-122 was bytes of the hypervisor's stack behind short strings.
#![cfg_attr(target_os = "none", no_std, no_main)]

use guest_rt::abi::v4_20::XENVER_capabilities2;
use guest_rt::abi::version::*;
use guest_rt::abi::xen::*;
use guest_rt::hypercall::error::*;
use guest_rt::hypercall::{NOWHERE, op, raw};
use guest_rt::memory::Page;
use guest_rt::{Report, console, probe, start};

guest_rt::guest!("version-console", run);

fn run(report: &mut Report) {
    versions(report);
    strings(report);
    features(report);
    build_id(report);
    consoles(report);
    multicalls(report);
    unknown(report);
}

fn version(command: u64, at: u64) -> i64 {
    raw(__HYPERVISOR_xen_version, [command, at, 0, 0, 0])
}

fn versions(report: &mut Report) {
    report.result("XENVER_version", version(0, 0), 4 << 16 | 17);
    report.result("whatever the pointer", version(0, 1 << 47), 4 << 16 | 17);
    report.result("XENVER_pagesize", version(XENVER_pagesize.into(), 0), 4096);
    report.result("with a pointer", version(XENVER_pagesize.into(), 8), EINVAL);
    report.differs(
        "XENVER_capabilities2, asked how long it is",
        version(XENVER_capabilities2.into(), 0),
        ENOSYS,
        15,
        "tools of Xen 4.20 ask for it; 4.17 does not have it",
    );
    for command in [15, 16, 99, u64::from(u32::MAX), 1 << 31] {
        report.result("a subcommand that is not there", version(command, 0), ENOSYS);
    }
    report.result("subcommands have 32 bits", version(1 << 32, 0), 4 << 16 | 17);
}

/// Bytes that an answer may have, and what is behind the text: zeroes, not the hypervisor's stack.
fn strings(report: &mut Report) {
    const MARK: u64 = 0x5a5a_5a5a_5a5a_5a5a;
    let commands = [
        (XENVER_extraversion, 16, true),
        (XENVER_compile_info, 144, false),
        (XENVER_capabilities, 1024, true),
        (XENVER_changeset, 64, true),
        (XENVER_platform_parameters, 8, false),
        (XENVER_guest_handle, 16, false),
        (XENVER_commandline, 1024, true),
    ];
    for (command, bytes, one_text) in commands {
        let page = Page::new();
        (0..512).for_each(|n| page.write(n, MARK));
        report.result("an answer", version(command.into(), page.va()), 0);
        let words = bytes / 8;
        report.check("nothing is written behind it", (words..512).all(|n| page.read(n) == MARK));
        if one_text {
            let byte = |n: usize| (page.read(n / 8) >> (n % 8 * 8)) as u8;
            let end = (0..bytes).find(|&n| byte(n) == 0).unwrap_or(bytes);
            report.check("it ends", end < bytes);
            // Xen leaves what was there behind the end, or writes zeroes; nothing else.
            report.check("behind the text is nothing", (end..bytes).all(|n| byte(n) == 0 || byte(n) == 0x5a));
        }
        for at in NOWHERE {
            report.result("to nowhere", version(command.into(), at), EFAULT);
        }
        // The last bytes of a page whose neighbour is not mapped.
        let (first, second) = (Page::new(), Page::new());
        report.check("neighbours", second.va() == first.va() + 4096);
        report.result("the second one goes", guest_rt::hypercall::update_va_mapping(second.va(), 0, UVMF_INVLPG), 0);
        report.result("an answer up to the end", version(command.into(), first.va() + 4096 - bytes as u64), 0);
        let cut = version(command.into(), first.va() + 4096 - 4);
        report.result("an answer across it", cut, EFAULT);
        report.result("the second one is back", second.make_writable(), 0);
    }
}

fn features(report: &mut Report) {
    let get = |index: u32| {
        let mut info = XenFeatureInfo { submap_idx: index, submap: 0 };
        (op(__HYPERVISOR_xen_version, XENVER_get_features, &mut info), info.submap)
    };
    let (result, map) = get(0);
    report.result("features", result, 0);
    let dom0 = if start::is_dom0() { 1 << 11 } else { 0 };
    // PRESERVE_AD, highmem_assist, gnttab_map_avail_bits, memory_op_vnode_supported, direct_mapped; and
    // pae_pgdir_above_4gb where the guest has that assist, which the other tests switch.
    report.expect("are those of a PV guest", map & !(1 << 4), 0x2_20e0 | dom0);
    for index in [1, 2, u32::MAX] {
        report.expect("beyond", get(index).0, EINVAL);
    }
    for at in NOWHERE {
        report.result("features nowhere", version(XENVER_get_features.into(), at), EFAULT);
    }
    // A page that can be read and not written.
    let page = Page::new();
    report.result("a read-only page", page.make_read_only(), 0);
    report.result("features into it", version(XENVER_get_features.into(), page.va()), EFAULT);
    report.result("a version into it", version(XENVER_extraversion.into(), page.va()), EFAULT);
    report.result("writable again", page.make_writable(), 0);
}

fn build_id(report: &mut Report) {
    let ask = |page: Page, len: u32| {
        page.write(0, len.into());
        version(XENVER_build_id.into(), page.va())
    };
    let page = Page::new();
    report.result("no room at all", ask(page, 0), EINVAL);
    report.result("the build id's length", version(XENVER_build_id.into(), 0), 20);
    report.result("too little room", ask(page, 8), ENOBUFS);
    report.result("room", ask(page, 64), 20);
    report.expect("the id is there", page.read(1) != 0, true);
    report.expect("and nothing behind it", page.read(16), 0);
    for at in NOWHERE {
        report.result("nowhere", version(XENVER_build_id.into(), at), EFAULT);
    }
}

fn consoles(report: &mut Report) {
    let text = b"console_io\n";
    let at = text.as_ptr().addr() as u64;
    report.result("write", console::console_io(CONSOLEIO_write, at, text.len() as u64), 0);
    report.result("write of nothing", console::console_io(CONSOLEIO_write, 0, 0), 0);
    for at in NOWHERE {
        report.result("write from nowhere", console::console_io(CONSOLEIO_write, at, 8), EFAULT);
        report.result("read to nowhere, when nothing was typed", console::console_io(CONSOLEIO_read, at, 8), 0);
    }
    report.result("very much, from nowhere", console::console_io(CONSOLEIO_write, 0x1000, 0xffff_ffff), EFAULT);
    report.result("counts have 32 bits", console::console_io(CONSOLEIO_write, at, 1 << 32), 0);
    report.result("read of more than an int", console::console_io(CONSOLEIO_read, at, 0x8000_0000), E2BIG);
    report.result("read of nothing", console::console_io(CONSOLEIO_read, 0, 0), 0);
    for command in [2, 3, u32::MAX] {
        report.result("a subcommand that is not there", console::console_io(command, 0, 0), ENOSYS);
    }
}

fn multicalls(report: &mut Report) {
    let call = |op: u64, args: [u64; 6]| MulticallEntry { op, args, result: 0x7777 };
    let multicall = |at: u64, count: u64| raw(__HYPERVISOR_multicall, [at, count, 0, 0, 0]);
    let pagesize = || call(__HYPERVISOR_xen_version.into(), [XENVER_pagesize.into(), 0, 0, 0, 0, 0]);
    let run = |calls: &mut [MulticallEntry]| multicall(calls.as_mut_ptr().addr() as u64, calls.len() as u64);

    let mut many = [(); 60].map(|()| pagesize());
    report.result("sixty calls", run(&mut many), 0);
    report.check("all were made", many.iter().all(|call| call.result == 4096));
    let mut bad = [call(u64::MAX, [0; 6]), call(1 << 32 | 17, [7, 0, 0, 0, 0, 0]), call(63, [0; 6]), call(11, [0; 6])];
    report.result("calls that are not there", run(&mut bad), 0);
    report.check("each says so", bad.iter().all(|call| call.result as i64 == ENOSYS));
    // XSA-213: an iret in the middle of a list switched to user mode, and the rest of the list was made with its tables.
    let mut nested = [
        call(__HYPERVISOR_multicall.into(), [0; 6]),
        pagesize(),
        call(__HYPERVISOR_multicall.into(), [nested_at(), 1, 0, 0, 0, 0]),
    ];
    report.result("a list in a list", run(&mut nested), 0);
    report.check("is not taken", (nested[0].result as i64) <= 0 && (nested[2].result as i64) < 0);
    report.expect("what is between them is", nested[1].result, 4096);
    // The list itself in memory that cannot be written.
    let page = Page::new();
    page.write(0, __HYPERVISOR_xen_version.into());
    page.write(2, XENVER_pagesize.into());
    report.result("a list that is read-only", page.make_read_only(), 0);
    report.result("cannot get its results", multicall(page.va(), 1), EFAULT);
    report.result("writable", page.make_writable(), 0);
    // A list that ends in a page that is not there: those before it are made.
    let (first, second) = (Page::new(), Page::new());
    let entry = first.va() + 4096 - 64;
    let word = |n: usize, value: u64| first.write(504 + n, value);
    word(0, __HYPERVISOR_xen_version.into());
    word(2, XENVER_pagesize.into());
    report.result("the next page goes", guest_rt::hypercall::update_va_mapping(second.va(), 0, UVMF_INVLPG), 0);
    report.result("a list that runs out of memory", multicall(entry, 2), EFAULT);
    report.expect("its first call was made", probe::read(entry + 8), Ok(4096));
    report.result("the next page is back", second.make_writable(), 0);
    for at in NOWHERE {
        report.result("no calls nowhere", multicall(at, 0), if guest_rt::memory::is_guest(at) { 0 } else { EFAULT });
    }
}

fn nested_at() -> u64 {
    0x1000
}

fn unknown(report: &mut Report) {
    let dead = [11u32, 16, 19, 27, 31, 38, 39, 42, 43, 44, 45, 46, 47, 49, 50, 54, 55, 56, 63];
    for number in dead {
        let result = raw(number, [99, 0x1000, 0, 0, 0]);
        report.refused("a hypercall that is not there, or its subcommand 99", result);
    }
}
