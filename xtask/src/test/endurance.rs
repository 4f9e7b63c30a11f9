//! The boots of the long runs: stress, time, files, 32-bit programs. All only with `--full` or by name.

use super::boots::{Boot, Expect, PLAIN};
use crate::boot::{Bus, Chipset};

/// Memory, forks, signals, mappings, timers and computation on all CPUs for some seconds, with time watched beside.
macro_rules! stress {
    ($seconds:literal) => {
        concat!(
            "set -e; cd /tmp; fxclock --seconds ",
            $seconds,
            " >/tmp/clock & stress-ng --cpu 0 --vm 0 --vm-bytes 128M --fork 0 --sigq 0 --sigrt 0 --mmap 0 --mmap-bytes 32M --timer 0 \
             --verify --metrics-brief --timeout ",
            $seconds,
            "s 2>&1; wait $!; cat /tmp/clock; fx32; ! dmesg | grep -E 'Oops|BUG:|WARNING:|Call Trace'; echo no oops"
        )
    };
}

/// A tree like a kernel's (64 folders are 77,000 files, 1 GiB) packed, read back from the disk, unpacked, compared.
macro_rules! tree {
    ($folders:literal) => {
        concat!(
            "set -e; cd /var/tmp; mkdir tree; for d in $(seq ",
            $folders,
            "); do mkdir tree/$d; head -c 16M /dev/urandom | split -b 14000 -a 3 - tree/$d/f; done; \
             find tree -type f | sort >list; wc -l <list; xargs md5sum <list >sums; tar cf tree.tar tree; rm -r tree; \
             sync; echo 3 >/proc/sys/vm/drop_caches; tar xf tree.tar; sync; echo 3 >/proc/sys/vm/drop_caches; \
             md5sum -c --quiet sums; echo the tree is the same; \
             ! dmesg | grep -E 'Oops|BUG:|WARNING:|Call Trace|I/O error'; echo no oops"
        )
    };
}

/// Time never ran backwards on any look, and went with the RTC.
const GOOD_TIME: Expect =
    Expect::Output(&["together monotonic: 0 steps back", "raw vcpu time: 0 steps back", "time is good"]);

/// A test option adds so many ticks to each CPU's TSC, and the guest's RDTSC traps.
const SKEWED: &str = "tsc-skew=1000000";

/// A row of these long runs.
const fn long(name: &'static str, exec: &'static str, expect: Expect) -> Boot {
    Boot { name, exec, expect, endure: true, full: true, ..PLAIN }
}

/// Stress on Debian's root file system, which has stress-ng.
const fn stressed(name: &'static str, exec: &'static str) -> Boot {
    let good = Expect::Output(&["successful run completed", "time is good", "32-bit programs run", "no oops"]);
    Boot { rootfs: Some(Bus::Virtio), timeout: 1800, ..long(name, exec, good) }
}

/// The table.
pub const BOOTS: &[Boot] = &[
    Boot {
        cpus: 2,
        ..long(
            "programs_of_32_bits_run_by_int_0x80_and_syscall",
            "fx32",
            Expect::Output(&["int 0x80: ok", "the kernel's way, 10000 times: ok", "32-bit programs run"]),
        )
    },
    Boot {
        cpus: 2,
        cpu: "max,vendor=GenuineIntel",
        ..long(
            "programs_of_32_bits_run_by_sysenter_on_an_intel_cpu",
            "grep -m1 -o GenuineIntel /proc/cpuinfo; fx32",
            Expect::Output(&["GenuineIntel", "the kernel's way, 10000 times: ok", "32-bit programs run"]),
        )
    },
    Boot { cpus: 4, ..long("time_goes_forward_on_four_cpus", "fxclock --seconds 20", GOOD_TIME) },
    Boot {
        machine: Chipset::Q35,
        cpus: 2,
        cmdline: SKEWED,
        ..long("time_goes_forward_on_two_skewed_cpus_of_q35", "fxclock --seconds 20", GOOD_TIME)
    },
    Boot {
        machine: Chipset::Q35,
        cpus: 4,
        cmdline: SKEWED,
        ..long("time_goes_forward_on_four_skewed_cpus_of_q35", "fxclock --seconds 60", GOOD_TIME)
    },
    Boot {
        cpus: 2,
        rootfs: Some(Bus::Virtio),
        timeout: 5400,
        ..long(
            "a_kernel_sized_tree_survives_tar_on_a_virtio_disk",
            tree!("64"),
            Expect::Output(&["76736", "the tree is the same", "no oops"]),
        )
    },
    Boot {
        machine: Chipset::Q35,
        cpus: 4,
        rootfs: Some(Bus::Ahci),
        timeout: 1800,
        ..long(
            "a_tenth_of_a_kernel_tree_survives_tar_on_an_ahci_disk",
            tree!("6"),
            Expect::Output(&["7194", "the tree is the same", "no oops"]),
        )
    },
    Boot {
        cpus: 4,
        memory: 6144,
        cmdline: "dom0_mem=2048M,max:2048M",
        nic: Some("virtio-net-pci"),
        timeout: 3600,
        ..stressed("stress_for_ten_minutes_on_four_cpus", stress!("600"))
    },
    Boot {
        cpus: 4,
        memory: 6144,
        cmdline: "dom0_mem=2048M,max:2048M",
        ..stressed("stress_for_a_minute_on_four_cpus", stress!("60"))
    },
    Boot {
        machine: Chipset::Q35,
        cpus: 2,
        cmdline: SKEWED,
        rootfs: Some(Bus::Ahci),
        ..stressed("stress_for_a_minute_on_two_cpus_of_q35_with_skewed_tscs", stress!("60"))
    },
    Boot { machine: Chipset::Q35, ..stressed("stress_for_a_minute_on_one_cpu_of_q35", stress!("60")) },
];
