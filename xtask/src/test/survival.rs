//! Boots in which our tools die, or are restarted, below guests at work.

use super::boots::{Boot, Expect, PLAIN};

/// So many kills of each daemon, so many restarts of all tools.
macro_rules! survive {
    ($kills:literal, $restarts:literal) => {
        concat!("KILLS=", $kills, " RESTARTS=", $restarts, "\n", include_str!("scripts/survive.sh"))
    };
}

const SURVIVE: Expect = Expect::Output(&[
    "xenstored was killed",
    "devices come and go after it",
    "xenconsoled was killed",
    "those who attend to the guests were killed",
    "all tools were restarted",
    "nothing is left of the guests",
    "all well",
]);

const DAEMONS: Expect = Expect::Output(&[
    "two guests are up",
    "stored was killed",
    "blkback-keeper was killed",
    "who attends to the guests does so",
    "nothing is left of the guests",
    "all well",
]);

/// A boot like the others here.
const TOOLS: Boot = Boot { cpus: 2, tools: Some("ferroxen"), guests: true, full: true, ..PLAIN };

/// The boots of this file.
pub const BOOTS: &[Boot] = &[
    Boot {
        name: "guests_notice_nothing_of_killed_and_restarted_tools",
        nic: Some("e1000"),
        exec: survive!("10", "20"),
        expect: SURVIVE,
        timeout: 2400,
        ..TOOLS
    },
    Boot {
        name: "guests_notice_nothing_of_tools_killed_fifty_times",
        nic: Some("e1000"),
        exec: survive!("50", "2"),
        expect: SURVIVE,
        timeout: 3600,
        ..TOOLS
    },
    Boot {
        name: "guests_notice_nothing_of_every_daemon_killed_fifty_times",
        nic: Some("e1000"),
        exec: concat!("KILLS=50 SEED=7\n", include_str!("scripts/daemons.sh")),
        expect: DAEMONS,
        timeout: 5400,
        ..TOOLS
    },
    Boot {
        name: "guests_notice_nothing_of_every_daemon_killed_five_times",
        nic: Some("e1000"),
        exec: concat!("KILLS=5 SEED=3\n", include_str!("scripts/daemons.sh")),
        expect: DAEMONS,
        timeout: 1200,
        ..TOOLS
    },
    Boot {
        name: "guests_notice_nothing_of_xenstored_that_is_updated",
        nic: Some("e1000"),
        exec: concat!("UPDATES=10\n", include_str!("scripts/update.sh")),
        expect: Expect::Output(&[
            "xenstored was updated",
            "what cannot take over does not",
            "nothing is left of the guests",
            "all well",
        ]),
        timeout: 1200,
        ..TOOLS
    },
    Boot {
        name: "a_debian_guests_qcow2_disk_keeps_what_is_written_whatever_kills_its_backend",
        exec: concat!("KILLS=10\n", include_str!("scripts/qcow2.sh")),
        expect: Expect::Output(&[
            "granularity 65536",
            "what is written is read",
            "what is discarded is given back",
            "the backend was killed",
            "in use by domain",
            "disks come and go",
            "a second guest reads the same",
            "nothing is left of the guests",
            "all well",
        ]),
        timeout: 1800,
        ..TOOLS
    },
    Boot {
        name: "guests_live_with_full_disks_and_a_clock_that_jumps",
        exec: include_str!("scripts/full.sh"),
        expect: Expect::Output(&[
            "logs go on after a full disk",
            "crashes are kept after a full disk",
            "domains come and go after a full /run",
            "the clock jumped",
            "nothing is left of the guest",
            "all well",
        ]),
        timeout: 1800,
        ..TOOLS
    },
    Boot {
        name: "a_guests_disk_waits_for_room_below_its_image",
        exec: include_str!("scripts/room.sh"),
        expect: Expect::Output(&[
            "qcow2: writes wait for room",
            "raw: writes wait for room",
            "a guest that waits can be destroyed",
            "nothing is left of the guests",
            "all well",
        ]),
        timeout: 1800,
        ..TOOLS
    },
    Boot {
        name: "commands_of_xm_that_are_killed_leave_nothing",
        exec: concat!("ROUNDS=12 SEED=5\n", include_str!("scripts/kills.sh")),
        expect: Expect::Output(&["commands were killed", "nothing is left of the guests", "all well"]),
        timeout: 3600,
        ..TOOLS
    },
];
