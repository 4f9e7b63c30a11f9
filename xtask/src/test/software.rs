//! Debian's own software above a hypervisor, unmodified, as its packages install it: libvirt, xentop and xen-tools.
//!
//! The host's root file system is that of `rootfs::Purpose::Host`; systemd starts Debian's daemons there.

use super::boots::{Boot, Expect, PLAIN};
use crate::boot::Bus;

/// A script of `scripts/` for what is below.
macro_rules! above {
    ($hypervisor:literal, $file:literal) => {
        concat!("ABOVE=", $hypervisor, "\n", include_str!("scripts/host.sh"), include_str!(concat!("scripts/", $file)))
    };
}

/// A row on such a host.
const fn host(name: &'static str, hypervisor: &'static str, exec: &'static str, expect: Expect) -> Boot {
    Boot {
        name,
        hypervisor,
        exec,
        expect,
        cpus: 2,
        memory: 3072,
        rootfs: Some(Bus::Virtio),
        tools: Some("debian"),
        guests: true,
        full: true,
        timeout: 5400,
        ..PLAIN
    }
}

const VIRSH: Expect = Expect::Output(&[
    "0  virsh define",
    "the guest says 42",
    "xentop on a terminal",
    "0  virsh undefine lv",
    "nothing is left",
    "all well",
]);

const IMAGES: Expect = Expect::Output(&["this is made, swap 1", "192.168.77.9/24", "all well"]);

/// The table.
pub const BOOTS: &[Boot] = &[
    host("every_command_of_virsh_on_ferroxen", "ferroxen", above!("ferroxen", "virsh.sh"), VIRSH),
    // libvirt starts only on a CPU whose model it knows. Its least models have VME, which TCG lacks, or SEP, which Xen hides on AMD; on
    // this one Xen hides AVX, but cannot hide CPUID, and wc of Debian believes that.
    Boot {
        cpu: "max,vendor=GenuineIntel,-avx,-avx2",
        ..host("every_command_of_virsh_on_debians_xen", "xen", above!("xen", "virsh.sh"), VIRSH)
    },
    host("a_guest_of_xen_tools_on_ferroxen", "ferroxen", above!("ferroxen", "images.sh"), IMAGES),
    host("a_guest_of_xen_tools_on_debians_xen", "xen", above!("xen", "images.sh"), IMAGES),
];
