//! The boots that a test run makes: chosen pairwise over hypervisor, kernel, machine, CPUs, memory.

use crate::boot::{Bus, Chipset, Typed, Via};
use crate::initramfs::Whose;
use crate::kernel_variants::Variant;

/// How a boot has to end.
#[derive(Debug, Clone, Copy)]
pub enum Expect {
    /// The commands end with 0 and print lines that contain these, in this order.
    Output(&'static [&'static str]),
    /// The machine goes off or resets by itself, after lines that contain these, in this order: no triple fault.
    Off(&'static [&'static str]),
    /// The console shows lines that contain these, in this order.
    Console(&'static [&'static str]),
    /// The hypervisor says this, and stands still: no triple fault.
    Refused(&'static str),
    /// The commands end with 0; the number that the console shows behind this is at most that.
    AtMost(&'static str, u64),
}

/// One boot of the table.
#[derive(Debug, Clone, Copy)]
pub struct Boot {
    /// What holds if it passes.
    pub name: &'static str,
    /// As `--hypervisor`.
    pub hypervisor: &'static str,
    /// As `--via`.
    pub via: Via,
    /// As `--kernel`.
    pub kernel: &'static str,
    /// The kernel is unpacked on the host.
    pub uncompressed: bool,
    /// As `--variant`.
    pub variant: Option<Variant>,
    /// As `--machine`.
    pub machine: Chipset,
    /// As `--cpus`.
    pub cpus: u32,
    /// As `--memory`.
    pub memory: u32,
    /// As `--cpu`.
    pub cpu: &'static str,
    /// As `--cmdline`.
    pub cmdline: &'static str,
    /// As `--exec`; empty: a shell.
    pub exec: &'static str,
    /// How it has to end.
    pub expect: Expect,
    /// Part of what the hypervisor says while the commands run, because they are to make it say so.
    pub warning: Option<&'static str>,
    /// Only with `--full`.
    pub full: bool,
    /// As `--rootfs`.
    pub rootfs: Option<Bus>,
    /// As `--nic`.
    pub nic: Option<&'static str>,
    /// As `--dom0-cmdline`.
    pub dom0_cmdline: &'static str,
    /// As `--tools`.
    pub tools: Option<&'static str>,
    /// As `--daemons`.
    pub daemons: Option<Whose>,
    /// As `--guests`.
    pub guests: bool,
    /// As `--fxbench`.
    pub fxbench: bool,
    /// As `--fio`.
    pub fio: bool,
    /// As `--endure`.
    pub endure: bool,
    /// As `--packages`.
    pub packages: bool,
    /// What is typed on the console.
    pub typed: &'static [Typed],
    /// Seconds until it is given up; 0: what a boot like this needs.
    pub timeout: u64,
}

/// A kernel packed in this way becomes dom0.
const fn packed(name: &'static str, variant: Variant) -> Boot {
    let exec = "cat /sys/hypervisor/type";
    Boot { name, variant: Some(variant), memory: 1024, exec, expect: Expect::Output(&["xen"]), full: true, ..PLAIN }
}

/// A boot like most others.
pub const PLAIN: Boot = Boot {
    name: "",
    hypervisor: "ferroxen",
    via: Via::Qemu,
    kernel: "6.1",
    uncompressed: true,
    variant: None,
    machine: Chipset::Pc,
    cpus: 1,
    memory: 4096,
    cpu: "max",
    cmdline: "",
    exec: "true",
    expect: Expect::Output(&[]),
    warning: None,
    full: false,
    rootfs: None,
    nic: None,
    dom0_cmdline: "",
    tools: None,
    daemons: None,
    guests: false,
    fxbench: false,
    fio: false,
    endure: false,
    packages: false,
    typed: &[],
    timeout: 0,
};

/// Every CPU does something and is seen to.
const ALL_CPUS: &str = "for c in $(seq 0 $(($(nproc) - 1))); do taskset -p $((1 << c)) $$ >/dev/null; echo cpu $c; done; \
     grep -c ^processor /proc/cpuinfo; cat /sys/hypervisor/type; \
     cd /sys/hypervisor/version; echo $(cat major).$(cat minor)$(cat extra)";

/// Files, processes and memory under a little load, with checksums.
pub const LOAD: &str = "set -e; for i in 1 2 3 4; do (dd if=/dev/urandom of=/tmp/f$i bs=64k count=32 2>/dev/null; \
     md5sum /tmp/f$i >/tmp/s$i) & done; wait; cat /tmp/s1 /tmp/s2 /tmp/s3 /tmp/s4 >/tmp/sums; md5sum -c /tmp/sums; \
     for i in $(seq 100); do /bin/busybox true; done; echo forks done; \
     ! dmesg | grep -E 'Oops|BUG:|WARNING:'; echo no oops";

/// systemd has nothing to complain of, the network answers, the disk bears writes; then who interrupts.
const MULTI_USER: &str = "set -e; cat /sys/hypervisor/type; timeout 120 systemctl is-system-running --wait; \
     /lib/systemd/systemd-networkd-wait-online --timeout=120; ip -4 -br addr; ping -q -c 3 -W 20 10.0.2.2; \
     dd if=/dev/urandom of=/var/tmp/f bs=64k count=64 2>/dev/null; sum=$(md5sum </var/tmp/f); \
     sync; echo 3 >/proc/sys/vm/drop_caches; [ \"$sum\" = \"$(md5sum </var/tmp/f)\" ]; echo the disk keeps; \
     ! dmesg | grep -E 'Oops|BUG:|WARNING:'; echo no oops; grep xen-pirq /proc/interrupts | sort";

/// What was on the screen when dom0 took it, and that it did.
const SCREEN: &str = "fold -w 80 /dev/vcs1 | sed 's/^(XEN)/seen:/'; dmesg | grep Console:";

/// Tables, a variable that the firmware keeps, no fault.
const UEFI: &str = "set -e; cat /proc/fb; cat /sys/firmware/efi/systab; modprobe efivarfs; \
     d=/sys/firmware/efi/efivars; mount -t efivarfs efivarfs $d; \
     v=$d/Ferroxen-f3e8a1c4-5b0d-4f6e-9d2a-66e1b0c0ffee; printf '\\7\\0\\0\\0hello' >/tmp/v; cat /tmp/v >$v; \
     umount $d; mount -t efivarfs efivarfs $d; echo told: $(tail -c 5 $v); \
     ! dmesg | grep -E 'Oops|BUG:|WARNING:'; echo no oops";

/// A test guest from its creation to its end, seen by its console; nothing of it is left.
const HELLO: &str = "set -e; xm info | grep -o 'com1=[0-9]*'; free() { xm info | awk '/free_memory/ {print $3}'; }; before=$(free); \
     xm create -c /guests/hello.cfg; \
     for i in $(seq 100); do xm domid hello 2>/dev/null || break; usleep 100000; done; \
     [ $before = $(free) ] && echo memory is back; xm list | wc -l; xenstore ls /local/domain | grep -c '^[1-9]' || true; \
     grep -c 'hello from a PV guest' /var/log/xen/console/guest-hello.log; \
     xm domid nobody || echo exit $?; xm create /guests/none.cfg || echo exit $?";

/// What is wrong is one line with its own exit code.
const BAD_INPUT: &str = "t() { want=$1; shift; \"$@\" >/tmp/out 2>&1; got=$?; cat /tmp/out; \
     [ $got = $want ] && [ $(wc -l </tmp/out) = 1 ] || echo WRONG: $got instead of $want: \"$@\"; }; \
     c() { printf 'name=\"x\"\\nkernel=\"/guests/hello\"\\n%s\\n' \"$1\" >/tmp/x.cfg; }; \
     t 3 xm create /tmp/none.cfg; c 'memory = '; t 2 xm create /tmp/x.cfg; c 'vcpus=0'; t 2 xm create /tmp/x.cfg; \
     c ''; t 3 xm create /tmp/x.cfg kernel=/none; t 1 xm create /tmp/x.cfg kernel=/etc/passwd; \
     t 1 xm create /tmp/x.cfg memory=100000; t 1 xm create /tmp/x.cfg \"disk=['/none,raw,xvda,w']\"; \
     t 1 xm create /tmp/x.cfg \"vif=['bridge=none0']\"; t 1 xm create /tmp/x.cfg name=Domain-0; \
     t 1 xm create /tmp/x.cfg ramdisk=/guests/vmlinuz memory=8; t 3 xm destroy 77; t 2 xm destroy 0; t 2 xm mem-set 0; \
     t 3 xm block-detach 0 xvda; XENSTORED_PATH=/none t 5 xm list; xm list | wc -l; echo checked";

/// A Debian guest with a disk and a network card: reached from dom0, its disk read, unplugged, shut down, nothing left.
const DEVICES: &str = "set -e; sh /guests/prepare; xm create /guests/disk.cfg; \
     timeout 200 sh -c 'until grep -q \"disk: up\" /var/log/xen/console/guest-disk.log; do sleep 1; done'; \
     cat /var/log/xen/console/guest-disk.log | tr -d '\r' | grep '^disk:'; ping -q -c 3 -W 20 192.168.77.2; \
     xm block-list disk; xm network-list disk; xm network-detach disk 0; ls /sys/class/net | grep -c vif || true; \
     xm shutdown --timeout 100 disk; for i in $(seq 100); do xm domid disk 2>/dev/null || break; usleep 100000; done; \
     xm list | wc -l; losetup | wc -l; ls /sys/class/net | grep -c vif || true; xenstore ls /local/domain/0/backend";

/// The boots of this file: loaders, kernels, systemd, our tools.
pub const BOOTS: &[Boot] = &[
    Boot {
        name: "bare_kernel_runs_commands",
        hypervisor: "none",
        cpus: 2,
        exec: "uname -r; cat /proc/cmdline; ls /sys/hypervisor | wc -l",
        expect: Expect::Output(&["amd64", "console=ttyS0", "0"]),
        ..PLAIN
    },
    Boot {
        name: "debians_xen_runs_commands_in_dom0",
        hypervisor: "xen",
        cpus: 2,
        exec: "cat /sys/hypervisor/type /sys/hypervisor/version/minor; cat /proc/xen/capabilities; nproc",
        expect: Expect::Output(&["xen", "17", "control_d", "2"]),
        ..PLAIN
    },
    Boot {
        name: "dom0_reaches_a_shell_on_pc_with_one_cpu",
        exec: "cat /sys/hypervisor/type /sys/hypervisor/version/minor; cat /proc/xen/capabilities; nproc",
        expect: Expect::Output(&["xen", "17", "control_d", "1"]),
        ..PLAIN
    },
    Boot {
        name: "at_four_gigabytes_the_hypervisor_needs_at_most_sixteen_megabytes",
        cpus: 2,
        expect: Expect::AtMost("the hypervisor's own: ", 16 << 10),
        full: true,
        ..PLAIN
    },
    Boot {
        name: "dom0_with_sixteen_gigabytes_uses_them",
        machine: Chipset::Q35,
        cpus: 2,
        memory: 16384,
        cmdline: "dom0_mem=max:64G",
        exec: "test $(awk '/MemTotal/ {print $2}' /proc/meminfo) -gt 15700000 && echo memory is there; \
               ! dmesg | grep -E 'Oops|BUG:|WARNING:'; echo no oops",
        expect: Expect::Output(&["memory is there", "no oops"]),
        full: true,
        ..PLAIN
    },
    Boot {
        name: "dom0_from_the_packed_kernel_on_q35_with_two_cpus",
        uncompressed: false,
        machine: Chipset::Q35,
        cpus: 2,
        memory: 6144,
        cmdline: "xen-version=4.20",
        exec: ALL_CPUS,
        expect: Expect::Output(&["cpu 0", "cpu 1", "2", "xen", "4.20-ferroxen"]),
        ..PLAIN
    },
    Boot {
        name: "two_vcpus_on_one_cpu_with_xapic_reboot_the_machine",
        cpus: 2,
        memory: 1024,
        cmdline: "maxcpus=1 dom0_max_vcpus=2 x2apic=off",
        exec: "test $(nproc) = 2 && reboot; sleep 60",
        expect: Expect::Off(&["Domain 0 shutdown: rebooting machine"]),
        ..PLAIN
    },
    Boot {
        name: "dom0_poweroff_ends_the_machine",
        exec: "poweroff; sleep 60",
        expect: Expect::Off(&["Entering ACPI S5 state"]),
        full: true,
        ..PLAIN
    },
    packed("dom0_from_a_gzip_payload", Variant::Gzip),
    packed("dom0_from_a_zstd_payload", Variant::Zstd),
    packed("dom0_from_an_lz4_payload", Variant::Lz4),
    packed("dom0_from_an_lzma_payload", Variant::Lzma),
    packed("dom0_from_a_bzip2_payload", Variant::Bzip2),
    Boot {
        name: "grub_on_a_bios_boots_dom0_with_a_framebuffer",
        via: Via::GrubBios,
        cpus: 2,
        cmdline: "console=com1,vga",
        dom0_cmdline: "quiet some,commas",
        exec: "cat /proc/cmdline /proc/fb /sys/hypervisor/type",
        expect: Expect::Output(&["console=hvc0 loglevel=7 quiet some,commas", "0 VESA VGA", "xen"]),
        full: true,
        ..PLAIN
    },
    Boot {
        name: "grub_multiboot_1_boots_dom0_which_takes_over_the_text_screen",
        via: Via::GrubMultiboot,
        machine: Chipset::Q35,
        cmdline: "console=com1,vga",
        dom0_cmdline: "loglevel=1",
        exec: SCREEN,
        expect: Expect::Output(&["seen: Booted by multiboot", "colour VGA+ 80x25"]),
        full: true,
        ..PLAIN
    },
    Boot {
        name: "grub_on_uefi_boots_dom0_with_runtime_services",
        via: Via::GrubUefi,
        machine: Chipset::Q35,
        cpus: 2,
        cmdline: "console=com1,vga vga=keep",
        exec: UEFI,
        expect: Expect::Output(&["0 EFI VGA", "ACPI20=0x", "told: hello", "no oops"]),
        full: true,
        ..PLAIN
    },
    Boot {
        name: "pvh_entry_boots_dom0_as_far_as_a_kernel_without_initrd_goes",
        via: Via::Pvh,
        expect: Expect::Console(&["VFS: Unable to mount root fs on"]),
        full: true,
        ..PLAIN
    },
    Boot {
        name: "the_screen_shows_the_hypervisors_lines_until_dom0_takes_it",
        cmdline: "console=com1,vga",
        dom0_cmdline: "loglevel=1",
        exec: SCREEN,
        expect: Expect::Output(&["seen: Booted by multiboot", "colour VGA+ 80x25"]),
        full: true,
        ..PLAIN
    },
    Boot {
        name: "dom0_6_12_on_q35_gets_nearly_all_memory",
        kernel: "6.12",
        machine: Chipset::Q35,
        cpus: 2,
        memory: 6144,
        cmdline: "dom0_mem=max:64G",
        exec: "test $(awk '/MemTotal/ {print $2}' /proc/meminfo) -gt 5500000 && echo memory is there; cat /sys/hypervisor/type",
        expect: Expect::Output(&["memory is there", "xen"]),
        full: true,
        ..PLAIN
    },
    Boot {
        name: "dom0_5_10_with_two_skewed_cpus_bears_load",
        kernel: "5.10",
        cpus: 2,
        cmdline: "tsc-skew=1000000",
        exec: LOAD,
        expect: Expect::Output(&["/tmp/f1: OK", "/tmp/f4: OK", "forks done", "no oops"]),
        full: true,
        ..PLAIN
    },
    Boot {
        name: "debian_on_virtio_disk_reaches_multi_user_with_e1000_on_pc",
        cpus: 2,
        rootfs: Some(Bus::Virtio),
        nic: Some("e1000"),
        exec: MULTI_USER,
        expect: Expect::Output(&[
            "xen",
            "running",
            "10.0.2.15/24",
            "3 received",
            "the disk keeps",
            "no oops",
            "-ioapic-level  ens",
            "-msi-x     virtio0-req.0",
        ]),
        full: true,
        ..PLAIN
    },
    Boot {
        name: "debian_on_ahci_disk_reaches_multi_user_with_virtio_net_on_q35",
        machine: Chipset::Q35,
        cpus: 2,
        rootfs: Some(Bus::Ahci),
        nic: Some("virtio-net-pci"),
        exec: MULTI_USER,
        expect: Expect::Output(&[
            "xen",
            "running",
            "10.0.2.15/24",
            "3 received",
            "the disk keeps",
            "no oops",
            "-msi       ahci",
            "-msi-x     virtio0-input.0",
        ]),
        full: true,
        ..PLAIN
    },
    Boot {
        name: "debian_without_msi_uses_interrupt_lines_on_q35",
        machine: Chipset::Q35,
        cpus: 2,
        rootfs: Some(Bus::Virtio),
        nic: Some("e1000"),
        dom0_cmdline: "pci=nomsi",
        exec: MULTI_USER,
        expect: Expect::Output(&["running", "10.0.2.15/24", "3 received", "the disk keeps", "-ioapic-level  virtio0"]),
        full: true,
        ..PLAIN
    },
    Boot {
        name: "debian_reboots_from_systemd",
        cpus: 2,
        rootfs: Some(Bus::Virtio),
        exec: "systemctl --no-block reboot; sleep 600",
        expect: Expect::Off(&["reboot: Restarting system"]),
        full: true,
        ..PLAIN
    },
    Boot {
        name: "our_tools_create_a_guest_and_nothing_of_it_is_left",
        tools: Some("ferroxen"),
        guests: true,
        exec: HELLO,
        expect: Expect::Output(&[
            "com1=115200",
            "hello from a PV guest",
            "@@ferroxen guest success@@",
            "memory is back",
            "2",
            "0",
            "1",
            "exit 3",
            "exit 3",
        ]),
        ..PLAIN
    },
    Boot {
        name: "our_tools_create_a_guest_on_debians_xen",
        hypervisor: "xen",
        tools: Some("ferroxen"),
        guests: true,
        exec: HELLO,
        expect: Expect::Output(&[
            "com1=115200",
            "hello from a PV guest",
            "@@ferroxen guest success@@",
            "memory is back",
            "exit 3",
        ]),
        full: true,
        ..PLAIN
    },
    Boot {
        name: "a_debian_guest_with_disk_and_network_comes_and_goes",
        cpus: 2,
        tools: Some("ferroxen"),
        guests: true,
        exec: DEVICES,
        expect: Expect::Output(&["/dev/xvda is mounted: hello", "eth0 has", "disk: up", "3 packets received", "51712"]),
        full: true,
        ..PLAIN
    },
    Boot {
        name: "a_debian_guest_with_disk_and_network_comes_and_goes_on_debians_xen",
        hypervisor: "xen",
        cpus: 2,
        tools: Some("ferroxen"),
        guests: true,
        exec: DEVICES,
        expect: Expect::Output(&["/dev/xvda is mounted: hello", "eth0 has", "disk: up", "3 packets received", "51712"]),
        full: true,
        ..PLAIN
    },
    Boot {
        name: "bad_input_to_our_tools_is_one_line_with_its_exit_code",
        tools: Some("ferroxen"),
        guests: true,
        exec: BAD_INPUT,
        expect: Expect::Output(&[
            "none.cfg: No such file",
            "x.cfg:3:",
            "vcpus must be",
            "not a kernel",
            "2",
            "checked",
        ]),
        full: true,
        ..PLAIN
    },
];
