//! Domains that our tools look after: their lives, devices, memory, ends, and that nothing of them is left.
//!
//! Each row is a script of `scripts/`, run in dom0; `words.sh` there holds what they share.

use super::boots::{Boot, Expect, PLAIN};
use crate::initramfs::Whose;

/// Scripts with what they are to do: `NAME=VALUE` each, then the file.
macro_rules! script {
    ($file:literal $(, $name:literal = $value:literal)*) => {
        concat!($($name, "=", $value, "\n",)* include_str!(concat!("scripts/", $file)))
    };
}

/// A row whose guests are made by our tools on two CPUs; its script is a file of `scripts/`.
const fn guests(name: &'static str, exec: &'static str, expect: Expect, timeout: u64) -> Boot {
    Boot { name, cpus: 2, tools: Some("ferroxen"), guests: true, exec, expect, full: true, timeout, ..PLAIN }
}

/// Such a row with `fxbench` in dom0 and in a ramdisk for guests.
const fn sending(name: &'static str, exec: &'static str, expect: Expect, timeout: u64) -> Boot {
    Boot { fxbench: true, ..guests(name, exec, expect, timeout) }
}

const MANY: Expect = Expect::Output(&["cycles", "at once", "attaches", "all well"]);

const CHANGES: Expect = Expect::Output(&[
    "memory changes",
    "vcpus change",
    "devices come and go",
    "nothing is left of the guest",
    "all well",
]);

const DISKS: Expect = Expect::Output(&[
    "phy keeps",
    "discard gives",
    "file keeps",
    "politely and by force",
    "nothing is left",
    "all well",
]);

const COMMANDS: Expect = Expect::Output(&["0  xm create", "0  xm shutdown", "nothing is left", "all well"]);

/// The table of Debian's `xl`: with Debian's own daemons.
const fn xl(name: &'static str, hypervisor: &'static str, tools: &'static str) -> Boot {
    let row = guests(name, script!("xl.sh"), XL, 3600);
    // Debug keys make it speak on purpose.
    Boot { hypervisor, tools: Some(tools), warning: Some("(XEN) "), ..row }
}

/// Tools of one half with daemons of the other.
const fn mixed(daemons: Whose, row: Boot) -> Boot {
    Boot { tools: Some("both"), daemons: Some(daemons), ..row }
}

const MIXED: Expect = Expect::Output(&[
    "two guests are up",
    "their consoles answer",
    "devices come and go",
    "their ends are seen",
    "nothing is left of the guests",
    "all well",
]);

const SWAP: Expect = Expect::Output(&["killed xenstored", "killed xenconsoled", "nothing is left", "all well"]);

const XL: Expect =
    Expect::Output(&["0  xl info", "1  xl restore", "0  xl shutdown -w ramdisk", "nothing is left", "all well"]);

const FIO: Expect = Expect::Output(&[
    "fio verified phy",
    "fio verified file",
    "fio verified raw",
    "fio verified qcow2",
    "nothing is left",
    "all well",
]);

const STREAM: Expect = Expect::Output(&["t1 to t2", "t2 to dom0", "dom0 to t1", "nothing is left", "all well"]);

const METRICS: Expect = Expect::Output(&[
    "the machine is told of",
    "the guest's have grown",
    "slow clients keep nobody out",
    "a xenstored that hangs costs its own part",
    "who is gone is not told of",
    "nothing is left of the guest",
    "all well",
]);

/// The boots of this file.
pub const BOOTS: &[Boot] = &[
    guests(
        "a_tenth_of_many_guests_come_and_go_and_nothing_is_left",
        script!("many.sh", "CYCLES" = 20, "ATONCE" = 4, "ATTACHES" = 10),
        MANY,
        900,
    ),
    guests(
        "many_guests_come_and_go_and_nothing_is_left",
        script!("many.sh", "CYCLES" = 200, "ATONCE" = 32, "ATTACHES" = 100),
        MANY,
        3600,
    ),
    guests("a_debian_guest_changes_its_memory_vcpus_and_devices", script!("changes.sh", "ROUNDS" = 5), CHANGES, 1800),
    guests("a_debian_guest_changes_its_devices_fifty_times", script!("changes.sh", "ROUNDS" = 50), CHANGES, 5400),
    guests(
        "everything_that_a_guest_could_leave_behind_is_counted",
        script!("leaks.sh"),
        Expect::Output(&["nothing is left of what was left behind", "all well"]),
        900,
    ),
    Boot {
        warning: Some(": watchdog expired"),
        ..guests(
            "a_domains_end_is_as_its_configuration_says",
            script!("ends.sh"),
            Expect::Output(&[
                "poweroff ends",
                "reboot ends",
                "crash ends",
                "watchdog ends",
                "exit codes are right",
                "all well",
            ]),
            900,
        )
    },
    guests("metrics_of_a_guest_grow_and_go_with_it", script!("metrics.sh", "BELOW" = "ferroxen"), METRICS, 1200),
    sending(
        "network_cards_have_address_rate_and_script",
        script!("network.sh"),
        Expect::Output(&["8 MiB take", "scripts are honoured", "nothing is left of the cards", "all well"]),
        900,
    ),
    sending(
        "a_tenth_of_the_data_keeps_its_sums_through_block_devices_and_files",
        script!("disks.sh", "BLOCKS" = 32, "MEGABYTES" = 16),
        DISKS,
        900,
    ),
    sending(
        "data_keeps_its_sums_through_block_devices_and_files",
        script!("disks.sh", "BLOCKS" = 128, "MEGABYTES" = 160),
        DISKS,
        3600,
    ),
    Boot {
        fio: true,
        ..guests("fio_verifies_a_tenth_through_every_block_path", script!("fio.sh", "MEGABYTES" = 4), FIO, 1200)
    },
    Boot { fio: true, ..guests("fio_verifies_every_block_path", script!("fio.sh", "MEGABYTES" = 40), FIO, 3600) },
    sending(
        "a_tenth_of_a_gigabyte_over_tcp_between_guests_and_dom0_keeps_its_sums",
        script!("stream.sh", "MEGABYTES" = 102),
        STREAM,
        900,
    ),
    sending(
        "a_gigabyte_over_tcp_between_guests_and_dom0_keeps_its_sums",
        script!("stream.sh", "MEGABYTES" = 1024),
        STREAM,
        3600,
    ),
    guests(
        "sums_of_guests_and_dom0_stay_right_while_vcpus_take_turns",
        script!("floats.sh", "ROUNDS" = 20),
        Expect::Output(&["all the same", "all well"]),
        600,
    ),
    xl("every_command_of_xl_on_debians_xen", "xen", "debian"),
    xl("every_command_of_xl_on_ferroxen", "ferroxen", "debian"),
    Boot { cmdline: "xen-version=4.20", ..xl("every_command_of_debian_13s_xl_on_ferroxen", "ferroxen", "debian13") },
    mixed(Whose::Ferroxen, xl("every_command_of_xl_with_our_daemons_on_ferroxen", "ferroxen", "both")),
    mixed(Whose::Ferroxen, xl("every_command_of_xl_with_our_daemons_on_debians_xen", "xen", "both")),
    mixed(Whose::Oxenstored, xl("every_command_of_xl_with_oxenstored_on_ferroxen", "ferroxen", "both")),
    Boot {
        full: false,
        ..mixed(Whose::Ferroxen, guests("debians_xl_with_our_daemons_which_are_killed", script!("swap.sh"), SWAP, 600))
    },
    mixed(Whose::Debian, guests("our_tools_with_debians_daemons_on_ferroxen", script!("mixed.sh"), MIXED, 900)),
    mixed(Whose::Oxenstored, guests("our_tools_with_oxenstored_on_ferroxen", script!("mixed.sh"), MIXED, 900)),
    Boot {
        hypervisor: "xen",
        ..mixed(
            Whose::Debian,
            guests("our_tools_with_debians_daemons_on_debians_xen", script!("mixed.sh"), MIXED, 1800),
        )
    },
    mixed(Whose::Debian, guests("every_command_of_xm_with_debians_daemons", script!("commands.sh"), COMMANDS, 900)),
    mixed(Whose::Oxenstored, guests("every_command_of_xm_with_oxenstored", script!("commands.sh"), COMMANDS, 900)),
    guests("every_command_of_xm_on_ferroxen", script!("commands.sh"), COMMANDS, 900),
    Boot { hypervisor: "xen", ..guests("every_command_of_xm_on_debians_xen", script!("commands.sh"), COMMANDS, 3600) },
    guests(
        "a_crash_leaves_what_is_needed_to_see_why",
        script!("crash.sh"),
        Expect::Output(&["a core of a running domain", "a crash is kept", "nothing is left", "all well"]),
        900,
    ),
    guests(
        "a_guest_gives_memory_back_and_everybody_agrees_how_much",
        script!("memory.sh"),
        Expect::Output(&[
            "192 MiB everywhere",
            "128 MiB everywhere",
            "192 MiB everywhere",
            "the small guest: 64",
            "the small guest: 128",
            "all well",
        ]),
        600,
    ),
];
