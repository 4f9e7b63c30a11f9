//! hypfs_op: the tree of what the hypervisor is and of its settings, read and written by the control domain: what a path may
//! be, what fits into a buffer, what a value may be.
#![cfg_attr(target_os = "none", no_std, no_main)]

use guest_rt::Report;
use guest_rt::abi::hypfs::*;
use guest_rt::abi::xen::__HYPERVISOR_hypfs_op;
use guest_rt::hypercall::error::*;
use guest_rt::hypercall::{NOWHERE, raw};
use guest_rt::memory::Page;

guest_rt::guest!("hypfs", run);

/// Bytes of a description.
const HEAD: u64 = 12;

fn run(report: &mut Report) {
    version(report);
    paths(report);
    reading(report);
    writing(report);
}

fn version(report: &mut Report) {
    let get = |args: [u64; 4]| raw(__HYPERVISOR_hypfs_op, [0, args[0], args[1], args[2], args[3]]);
    report.result("the version", get([0; 4]), 1);
    for n in 0..4 {
        let mut args = [0; 4];
        args[n] = 1;
        report.result("the version with arguments", get(args), EINVAL);
    }
    let page = Page::new();
    put(&page, "/\0");
    for command in [3, 4, 99, u64::from(u32::MAX)] {
        let result = raw(__HYPERVISOR_hypfs_op, [command, page.va(), 2, page.va() + 64, 64]);
        report.expect("a subcommand that is not there", (command, result), (command, EOPNOTSUPP));
    }
}

fn put(page: &Page, text: &str) {
    for n in 0..text.len().div_ceil(8) {
        let word =
            (0..8).fold(0, |word, k| word | u64::from(text.as_bytes().get(n * 8 + k).copied().unwrap_or(0)) << (8 * k));
        page.write(n, word);
    }
}

fn read(path: &str, room: u64) -> (i64, Page) {
    let (name, buffer) = (Page::new(), Page::new());
    put(&name, path);
    let result = raw(__HYPERVISOR_hypfs_op, [1, name.va(), path.len() as u64, buffer.va(), room]);
    (result, buffer)
}

/// `path` and `value` with their terminators, if they are to have any.
fn write(path: &str, value: &str) -> i64 {
    let (name, buffer) = (Page::new(), Page::new());
    put(&name, path);
    put(&buffer, value);
    raw(__HYPERVISOR_hypfs_op, [2, name.va(), path.len() as u64, buffer.va(), value.len() as u64])
}

/// Type, length, most that can be written.
fn head(page: &Page) -> (u8, u32, u32) {
    (page.read(0) as u8, (page.read(0) >> 32) as u32, page.read(1) as u32)
}

fn paths(report: &mut Report) {
    for (path, want) in [
        ("/\0", 0),
        ("/params\0", 0),
        ("/params/\0", 0),
        ("//\0", ENOENT),
        ("/nope\0", ENOENT),
        ("/param\0", ENOENT),
        ("/PARAMS\0", ENOENT),
        ("/params/loglvl/x\0", ENOENT),
        ("", EINVAL),
        ("\0", EINVAL),
        ("/", EINVAL),
        ("params\0", EINVAL),
        ("/par\0ams\0", EINVAL),
        ("/params", EINVAL),
    ] {
        report.expect("a path", (path, read(path, 4096).0), (path, want));
    }
    let (name, buffer) = (Page::new(), Page::new());
    put(&name, "/params\0");
    let call = |at, len, to, room| raw(__HYPERVISOR_hypfs_op, [1, at, len, to, room]);
    for at in NOWHERE {
        report.result("a path nowhere", call(at, 8, buffer.va(), 4096), EFAULT);
        report.result("a buffer nowhere", call(name.va(), 8, at, 4096), EFAULT);
    }
    for len in [0, 1025, 1 << 32, u64::MAX] {
        report.expect("a path of bytes", (len, call(name.va(), len, buffer.va(), 4096)), (len, EINVAL));
    }
}

fn reading(report: &mut Report) {
    let (result, page) = read("/buildinfo/version/major\0", 4096);
    report.result("the version's major", result, 0);
    report.expect("is a number", head(&page), (XEN_HYPFS_TYPE_UINT, 4, 0));
    report.expect("is 4", (page.read(1) >> 32) as u32, 4);
    let (result, page) = read("/params/loglvl\0", 4096);
    report.result("a setting", result, 0);
    report.expect("is a text that can be written", head(&page), (XEN_HYPFS_TYPE_STRING, 8, 16));
    let (result, page) = read("/params\0", 4096);
    report.result("a directory", result, 0);
    report.expect("is one", (head(&page).0, head(&page).2), (XEN_HYPFS_TYPE_DIR, 0));
    for (room, want) in [(0, EINVAL), (HEAD - 1, EINVAL), (HEAD, ENOBUFS), (HEAD + 7, ENOBUFS), (HEAD + 8, 0)] {
        let (result, page) = read("/params/loglvl\0", room);
        report.expect("with room", (room, result), (room, want));
        let described = if room < HEAD { 0 } else { 8 };
        report.expect("what is needed is said", (room, head(&page).1), (room, described));
    }
}

fn writing(report: &mut Report) {
    for (path, want) in [
        ("/\0", EACCES),
        ("/params\0", EACCES),
        ("/buildinfo/changeset\0", EACCES),
        ("/buildinfo/version/major\0", EACCES),
    ] {
        report.expect("what is for reading", (path, write(path, "1\0")), (path, want));
    }
    for (value, want) in [
        ("error/info\0", 0),
        ("none\0", 0),
        ("debug\0", 0),
        ("", EDOM),
        ("loud\0", EINVAL),
        ("error", EDOM),
        ("err\0or\0", EDOM),
        ("all/all\0", 0),
        ("all/all---------\0", EINVAL),
    ] {
        report.expect("loglvl", (value, write("/params/loglvl\0", value)), (value, want));
    }
    for (value, reason) in [("\0", "it is no level"), ("info/error\0", "the upper level is below the lower one")] {
        report.differs("loglvl", write("/params/loglvl\0", value), 0, EINVAL, reason);
    }
    report.result("loglvl", write("/params/loglvl\0", "all\0"), 0);
    for (path, room) in [
        ("/params/guest_loglvl\0", 16),
        ("/params/gnttab_max_frames\0", 12),
        ("/params/gnttab_max_maptrack_frames\0", 12),
        ("/params/conswitch\0", 3),
        ("/cpupool/0/sched-gran\0", 8),
    ] {
        report.expect("room to write", (path, head(&read(path, 4096).1).2), (path, room));
    }
    for (path, value, want) in [
        ("/params/gnttab_max_frames\0", "32\0", 0),
        ("/params/gnttab_max_frames\0", "many\0", EINVAL),
        ("/params/gnttab_max_frames\0", "-1\0", EINVAL),
        ("/params/gnttab_max_frames\0", "64\0", 0),
        ("/params/gnttab_max_frames\0", "64", EDOM),
        ("/params/conswitch\0", "", EINVAL),
        ("/params/conswitch\0", "a", EINVAL),
        ("/params/conswitch\0", "abc\0", ENOSPC),
        ("/cpupool/0/sched-gran\0", "", EINVAL),
        ("/cpupool/0/sched-gran\0", "cpu", EINVAL),
        ("/cpupool/0/sched-gran\0", "ninebytes", ENOSPC),
        ("/params/conswitch\0", "b\0", 0),
        ("/params/conswitch\0", "ax\0", 0),
        ("/params/conswitch\0", "a\0", 0),
        ("/cpupool/0/sched-gran\0", "cpu\0", EBUSY),
        ("/cpupool/0/sched-gran\0", "core\0", EBUSY),
        ("/cpupool/0/sched-gran\0", "atom\0", EINVAL),
    ] {
        report.expect("a setting", (path, value, write(path, value)), (path, value, want));
    }
}
