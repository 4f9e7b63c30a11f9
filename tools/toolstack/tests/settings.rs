//! The hypervisor's settings, from the tools' side, on the hypervisor in this process.
#![allow(clippy::unwrap_used)]

use ferroxen_sim::control::Control;
use xenctl::{Errno, Setting, Xen};

fn value(xen: &Xen<Control>, path: &str) -> String {
    match xen.setting(path).unwrap() {
        Setting::Value(value) => value,
        other => panic!("{path}: {other:?}"),
    }
}

#[test]
fn settings_are_read_and_changed_in_their_own_type() {
    let xen = Xen::new(Control::new(0x1000)).unwrap();
    let Setting::Directory(names) = xen.setting("/params").unwrap() else { panic!("no directory") };
    assert_eq!(names, ["conswitch", "gnttab_max_frames", "gnttab_max_maptrack_frames", "guest_loglvl", "loglvl"]);
    assert_eq!(value(&xen, "/buildinfo/version/minor"), "17");
    for (path, new, read) in [
        ("/params/loglvl", "error/all", "error/all"),
        ("/params/gnttab_max_frames", "32", "32"),
        ("/params/conswitch", "q", "q"),
    ] {
        xen.set_setting(path, new).unwrap();
        assert_eq!(value(&xen, path), read);
    }
    let refused = |path: &str, new: &str| xen.set_setting(path, new).unwrap_err().errno;
    assert_eq!(refused("/params/loglvl", "loud"), Errno::EINVAL);
    assert_eq!(refused("/params/loglvl", ""), Errno::EINVAL);
    assert_eq!(refused("/params/none", "1"), Errno::ENOENT);
    assert_eq!(refused("/params", "1"), Errno::EINVAL);
    assert_eq!(refused("/buildinfo/version/minor", "18"), Errno::EACCES);
    assert_eq!(refused("/cpupool/0/sched-gran", "core"), Errno::EBUSY);
    assert_eq!(refused(&"/x".repeat(600), "1"), Errno::ENOENT);
    assert_eq!(value(&xen, "/params/loglvl"), "error/all");
}
