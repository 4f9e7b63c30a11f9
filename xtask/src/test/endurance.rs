//! The boots of the long runs: machines, load, time, 32-bit programs. All only with `--full` or by name.

use super::boots::{Boot, Expect, LOAD, PLAIN};
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

const STRESSED: Expect =
    Expect::Output(&["successful run completed", "time is good", "32-bit programs run", "no oops"]);

/// The table.
pub const BOOTS: &[Boot] = &[
    Boot {
        name: "dom0_on_q35_with_one_cpu_and_one_gigabyte_bears_load",
        machine: Chipset::Q35,
        memory: 1024,
        exec: LOAD,
        expect: Expect::Output(&["/tmp/f1: OK", "/tmp/f4: OK", "forks done", "no oops"]),
        full: true,
        ..PLAIN
    },
    Boot {
        name: "dom0_on_pc_with_one_cpu_and_six_gigabytes_bears_load",
        memory: 6144,
        exec: LOAD,
        expect: Expect::Output(&["/tmp/f1: OK", "/tmp/f4: OK", "forks done", "no oops"]),
        full: true,
        ..PLAIN
    },
    Boot {
        name: "dom0_on_q35_with_four_cpus_and_four_gigabytes_bears_load",
        machine: Chipset::Q35,
        cpus: 4,
        exec: LOAD,
        expect: Expect::Output(&["/tmp/f1: OK", "/tmp/f4: OK", "forks done", "no oops"]),
        full: true,
        ..PLAIN
    },
    Boot {
        name: "programs_of_32_bits_run_by_int_0x80_and_syscall",
        cpus: 2,
        endure: true,
        exec: "fx32",
        expect: Expect::Output(&["int 0x80: ok", "the kernel's way, 10000 times: ok", "32-bit programs run"]),
        full: true,
        ..PLAIN
    },
    Boot {
        name: "programs_of_32_bits_run_by_sysenter_on_an_intel_cpu",
        cpus: 2,
        cpu: "max,vendor=GenuineIntel",
        endure: true,
        exec: "grep -m1 -o GenuineIntel /proc/cpuinfo; fx32",
        expect: Expect::Output(&["GenuineIntel", "the kernel's way, 10000 times: ok", "32-bit programs run"]),
        full: true,
        ..PLAIN
    },
    Boot {
        name: "time_goes_forward_on_four_cpus",
        cpus: 4,
        endure: true,
        exec: "fxclock --seconds 20",
        expect: Expect::Output(&["together monotonic: 0 steps back", "raw vcpu time: 0 steps back", "time is good"]),
        full: true,
        ..PLAIN
    },
    Boot {
        name: "time_goes_forward_on_two_skewed_cpus_of_q35",
        machine: Chipset::Q35,
        cpus: 2,
        cmdline: "tsc-skew=1000000",
        endure: true,
        exec: "fxclock --seconds 20",
        expect: Expect::Output(&["together monotonic: 0 steps back", "raw vcpu time: 0 steps back", "time is good"]),
        full: true,
        ..PLAIN
    },
    Boot {
        name: "a_kernel_sized_tree_survives_tar_on_a_virtio_disk",
        cpus: 2,
        rootfs: Some(Bus::Virtio),
        exec: tree!("64"),
        expect: Expect::Output(&["76736", "the tree is the same", "no oops"]),
        full: true,
        timeout: 5400,
        ..PLAIN
    },
    Boot {
        name: "a_tenth_of_a_kernel_tree_survives_tar_on_an_ahci_disk",
        machine: Chipset::Q35,
        cpus: 4,
        rootfs: Some(Bus::Ahci),
        exec: tree!("6"),
        expect: Expect::Output(&["7194", "the tree is the same", "no oops"]),
        full: true,
        timeout: 1800,
        ..PLAIN
    },
    Boot {
        name: "stress_for_ten_minutes_on_four_cpus",
        cpus: 4,
        memory: 6144,
        cmdline: "dom0_mem=2048M,max:2048M",
        rootfs: Some(Bus::Virtio),
        nic: Some("virtio-net-pci"),
        endure: true,
        exec: stress!("600"),
        expect: STRESSED,
        full: true,
        timeout: 3600,
        ..PLAIN
    },
    Boot {
        name: "stress_for_a_minute_on_four_cpus",
        cpus: 4,
        memory: 6144,
        cmdline: "dom0_mem=2048M,max:2048M",
        rootfs: Some(Bus::Virtio),
        endure: true,
        exec: stress!("60"),
        expect: STRESSED,
        full: true,
        timeout: 1800,
        ..PLAIN
    },
    Boot {
        name: "stress_for_a_minute_on_two_cpus_of_q35_with_skewed_tscs",
        machine: Chipset::Q35,
        cpus: 2,
        cmdline: "tsc-skew=1000000",
        rootfs: Some(Bus::Ahci),
        endure: true,
        exec: stress!("60"),
        expect: STRESSED,
        full: true,
        timeout: 1800,
        ..PLAIN
    },
    Boot {
        name: "stress_for_a_minute_on_one_cpu_of_q35",
        machine: Chipset::Q35,
        rootfs: Some(Bus::Virtio),
        endure: true,
        exec: stress!("60"),
        expect: STRESSED,
        full: true,
        timeout: 1800,
        ..PLAIN
    },
];
