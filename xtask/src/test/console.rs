//! What the hypervisor's console says and hears: options, debug keys, the ring, the end of dom0 and its own.

use super::boots::{Boot, Expect, PLAIN};

/// Waits on each CPU, so that dom0 runs when the hypervisor ends.
const BUSY: &str = "echo type now; for c in $(seq $(nproc)); do while :; do :; done & done; wait";

/// A row about the console.
const fn console(name: &'static str, exec: &'static str, wanted: &'static [&'static str]) -> Boot {
    Boot { name, exec, memory: 1024, expect: Expect::Console(wanted), full: true, ..PLAIN }
}

/// The table.
pub const BOOTS: &[Boot] = &[
    Boot {
        cmdline: "frobnicate=1 sched=rtds iommu=on loglvl=loud",
        ..console(
            "options_that_are_not_understood_or_not_here_are_said",
            "echo dom0 runs",
            &[
                "command line: unknown option \"frobnicate=1\" is ignored",
                "command line: \"sched=rtds\" is not available in this version",
                "command line: \"iommu=on\" is not available in this version",
                "command line: bad value in \"loglvl=loud\"; the default is used",
                "dom0 runs",
            ],
        )
    },
    Boot {
        cpus: 2,
        typed: &[
            ("type now", "\x01\x01\x01"),
            ("Serial input to Xen", "h"),
            ("showing installed handlers", "ceqm0dW?"),
            ("no debug key '?'", "\x01\x01\x01"),
            ("Serial input to DOM0", "hello\r"),
        ],
        ..console(
            "three_times_ctrl_a_gives_keys_to_the_hypervisor_and_back",
            "modprobe xen-evtchn; echo type now; read -r line </dev/console; echo dom0 read: $line",
            &[
                "*** Serial input to Xen (type 'CTRL-a' three times to switch input)",
                "'h' pressed",
                "hypercall 1: ",
                "v1: flags",
                "event channels of d0 (FIFO):",
                "ipi vcpu 1 priority",
                "heap: ",
                "nothing is both writable and executable",
                "no debug key '?' (press 'h')",
                "*** Serial input to DOM0",
                "dom0 read: hello",
            ],
        )
    },
    Boot {
        typed: &[
            ("built-in shell", "sh -c 'echo wait''ing; sleep 600'\r"),
            ("waiting", "\x03"),
            ("^C", "echo alive $((40 + 2)); poweroff\r"),
        ],
        expect: Expect::Off(&["alive 42", "Entering ACPI S5 state"]),
        ..console("a_shell_in_dom0_hears_ctrl_c_and_switches_the_machine_off", "", &[])
    },
    Boot {
        tools: Some("ferroxen"),
        ..console(
            "the_console_ring_keeps_what_was_said_and_can_be_cleared",
            "xm dmesg | grep -q 'Ferroxen.*(Xen 4.17 ABI)' && echo the ring begins with the banner; xm dmesg -c >/dev/null; \
             xm dmesg | wc -c; xm debug-keys h; xm dmesg | grep -c 'showing installed'",
            &["the ring begins with the banner", "0", "'h' pressed", "1"],
        )
    },
    Boot {
        cmdline: "tbuf_size=4",
        typed: &[
            ("type now", "\x01\x01\x01"),
            ("Serial input to Xen", "T?"),
            ("no debug key '?'", "\x01\x01\x01"),
            ("Serial input to DOM0", "on\r"),
        ],
        ..console(
            "what_passed_the_trace_points_is_shown",
            "(while :; do cat /proc/self/stat >/dev/null; done) & echo type now; read -r line </dev/console; echo dom0 goes $line",
            &["CPU 0:", "hypercall ", " to 0x", "dom0 goes on"],
        )
    },
    console(
        "a_panic_of_dom0_is_told",
        "echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger; sleep 60",
        &["Kernel panic - not syncing", "Domain 0 crashed: rebooting machine"],
    ),
    Boot {
        typed: &[("type now", "\x01\x01\x01"), ("Serial input to Xen", "C")],
        expect: Expect::Off(&[
            "Panic on CPU 0: 'C' pressed -> triggering a crash",
            "rsp ",
            "cr3 ",
            "] ferroxen::keys::debug_key+",
            "] ferroxen::work::perform+",
            "Running d0v0; its registers at the entry to the hypervisor:",
            "rip ",
            "Reboot in five seconds...",
        ]),
        ..console("a_panic_of_the_hypervisor_is_told_with_names_and_the_machine_restarts", BUSY, &[])
    },
    Boot {
        cpus: 2,
        cmdline: "noreboot",
        typed: &[("type now", "\x01\x01\x01"), ("Serial input to Xen", "C")],
        ..console(
            "with_noreboot_a_panic_of_the_hypervisor_halts_the_machine",
            "echo type now; sleep 60",
            &["Panic on CPU ", "[<ffff82d0", "Halted (noreboot)."],
        )
    },
];
