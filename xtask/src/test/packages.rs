//! Boots of an installed Debian host with Debian's Xen on which both packages come and go, through its own GRUB.

use super::boots::{Boot, Expect, PLAIN};
use crate::boot::{Chipset, Via};

/// A row: three boots of one machine, four to ten minutes of computing.
const HOST: Boot = Boot {
    hypervisor: "none",
    packages: true,
    exec: include_str!("scripts/packages.sh"),
    expect: Expect::Off(&[
        "plain Debian: packages are installed",
        "Ferroxen: dom0 is up by GRUB's entry",
        "Ferroxen: the tools' daemons are up",
        "Ferroxen: xenstored was killed and restarted",
        "hello from a PV guest",
        "Ferroxen: a guest came and went",
        "Ferroxen: Debian's tools and ours take turns",
        "Ferroxen: packages are purged",
        "plain Debian: nothing is left, all well",
    ]),
    timeout: 3600,
    full: true,
    ..PLAIN
};

/// The table.
pub const BOOTS: &[Boot] = &[
    Boot { name: "packages_come_and_go_on_a_debian_host_with_a_bios", via: Via::Disk, ..HOST },
    Boot { name: "packages_come_and_go_on_a_debian_host_with_uefi", via: Via::DiskUefi, machine: Chipset::Q35, ..HOST },
];
