//! One machine, one dom0.

use anyhow::Result;

use crate::machine::Machine;
use crate::scenario::{BOOT, Lab, STEP, Scenario};

const ONE: Scenario = Scenario { name: "", full: false, cpus: 1, single: true, run: |_| Ok(()) };

const WHO: &str = "cat /sys/hypervisor/type /sys/hypervisor/version/minor; cat /proc/xen/capabilities; nproc";

/// What dom0 says of its hypervisor.
pub const SHELL: Scenario = Scenario { name: "dom0_reaches_a_shell", run: |lab| who(lab, "dom0"), ..ONE };

/// The same on Debian's Xen: what is right is what it does.
pub const SHELL_ON_XEN: Scenario =
    Scenario { name: "debians_xen_reaches_a_shell", full: true, run: |lab| who(lab, "xen"), ..ONE };

fn who(lab: &Lab<'_>, machine: &str) -> Result<()> {
    let machine = lab.machine(machine)?;
    lab.exec("dom0", &machine, WHO, BOOT)?.good()?.says(&["xen", "17", "control_d", "1"]).map(drop)
}

/// Every CPU runs something.
pub const EVERY_CPU: Scenario = Scenario {
    name: "every_cpu_of_a_q35_runs_something",
    cpus: 2,
    run: |lab| {
        let machine = lab.machine("dom0-q35-smp")?;
        let commands =
            "for c in 0 1; do taskset $((1 << c)) sh -c 'echo cpu $(cut -d\" \" -f39 /proc/self/stat)'; done; nproc";
        lab.exec("dom0", &machine, commands, BOOT)?.good()?.says(&["cpu 0", "cpu 1", "2"]).map(drop)
    },
    ..ONE
};

/// The console works in both directions.
pub const TYPED: Scenario = Scenario {
    name: "a_shell_on_the_console_does_what_is_typed",
    full: true,
    run: |lab| {
        let dom0 = lab.start("dom0", &lab.machine("dom0")?)?;
        dom0.must("echo one and one is $((1 + 1))", STEP)?.says(&["one and one is 2"])?;
        let long = "x".repeat(300);
        dom0.must(&format!("echo {long} | wc -c"), STEP)?.says(&["301"])?;
        dom0.power_off()
    },
    ..ONE
};

/// Files, processes and memory under a little load, with checksums, while nothing is left over.
pub const LOAD: Scenario = Scenario {
    name: "dom0_with_four_cpus_and_one_gigabyte_bears_load",
    cpus: 4,
    full: true,
    run: |lab| {
        let dom0 = lab.start("dom0", &lab.machine("dom0-crowded")?)?;
        dom0.must(
            "cd /tmp; for i in 1 2 3 4; do dd if=/dev/urandom of=f$i bs=64k count=32 & done 2>/dev/null; wait",
            STEP,
        )?;
        dom0.must("cd /tmp; md5sum f1 f2 f3 f4 >sums; for i in $(seq 50); do busybox true; done", STEP)?;
        dom0.must("cd /tmp; md5sum -c sums", STEP)?.says(&["f1: OK", "f2: OK", "f3: OK", "f4: OK"])?;
        dom0.must("! dmesg | grep -E 'Oops|BUG:|WARNING:'", STEP)?;
        dom0.power_off()
    },
    ..ONE
};

/// A machine that cannot start says why in one line.
pub const IMPOSSIBLE_MEMORY: Scenario = Scenario {
    name: "dom0_mem_larger_than_the_machine_is_one_clear_message",
    run: |lab| {
        let machine = Machine { hypervisor_options: "dom0_mem=64G".to_owned(), ..lab.machine("dom0")? };
        lab.expect_line("dom0", &machine, "true", "Ferroxen cannot start", false)
    },
    ..ONE
};

/// A reboot from dom0 resets the machine.
pub const REBOOT: Scenario = Scenario {
    name: "a_reboot_resets_the_machine",
    run: |lab| {
        lab.expect_line("dom0", &lab.machine("dom0")?, "reboot; sleep 60", "Domain 0 shutdown: rebooting machine", true)
    },
    ..ONE
};

/// What is written to a disk is there when the cache is not.
pub const DISK: Scenario = Scenario {
    name: "a_disk_keeps_what_was_written",
    full: true,
    run: |lab| {
        let commands = "set -e; dd if=/dev/urandom of=/tmp/f bs=64k count=32 2>/dev/null; dd if=/tmp/f of=/dev/vda bs=64k; \
             sync; echo 3 >/proc/sys/vm/drop_caches; dd if=/dev/vda of=/tmp/g bs=64k count=32; cmp /tmp/f /tmp/g; \
             grep -c . /proc/partitions; md5sum /tmp/g";
        lab.exec("dom0", &lab.machine("dom0-disk")?, commands, BOOT)?.good()?.says(&["/tmp/g"]).map(drop)
    },
    ..ONE
};
