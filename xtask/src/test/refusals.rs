//! Bad input: one clear message on the console and a stop, not a triple fault.

use super::boots::{Boot, Expect, PLAIN};
use crate::kernel_variants::Variant;

/// This kernel gets one clear message.
const fn kernel(name: &'static str, variant: Variant, message: &'static str) -> Boot {
    Boot { variant: Some(variant), ..refused(name, "", message) }
}

/// This command line gets one clear message.
const fn refused(name: &'static str, cmdline: &'static str, message: &'static str) -> Boot {
    Boot { name, cmdline, memory: 1024, expect: Expect::Refused(message), full: true, ..PLAIN }
}

/// A machine with this CPU gets one clear message.
const fn cpu(name: &'static str, cpu: &'static str, message: &'static str) -> Boot {
    Boot { cpu, ..refused(name, "", message) }
}

/// In the quick set, too.
const fn quick(boot: Boot) -> Boot {
    Boot { full: false, ..boot }
}

/// The table.
pub const BOOTS: &[Boot] = &[
    quick(refused(
        "dom0_mem_larger_than_the_machine_is_one_clear_message",
        "dom0_mem=64G",
        "dom0_mem: 65536 MiB wanted, ",
    )),
    quick(refused(
        "dom0_mem_that_is_no_amount_is_one_clear_message",
        "dom0_mem=lots",
        "\"dom0_mem=lots\" is no amount of memory",
    )),
    quick(refused(
        "dom0_mem_without_room_for_the_kernel_is_one_clear_message",
        "dom0_mem=10M",
        "kernel and initrd need at least",
    )),
    quick(cpu("a_cpu_without_syscall_is_one_clear_message", "max,-syscall", "this CPU has no SYSCALL")),
    cpu("a_cpu_without_fxsr_is_one_clear_message", "max,-fxsr", "this CPU has no FXSR"),
    cpu("a_cpu_without_64_bits_is_one_clear_message", "qemu32", "this CPU has no 64-bit mode"),
    kernel("no_dom0_module_is_one_clear_message", Variant::Missing, "no dom0 kernel: the boot loader must pass it"),
    kernel("a_kernel_without_xen_notes_is_one_clear_message", Variant::NoNotes, "kernel has no Xen notes"),
    kernel("an_unsupported_compression_is_one_clear_message", Variant::Lzo, "compression lzo is not supported"),
    kernel("a_truncated_kernel_is_one_clear_message", Variant::Truncated, "image truncated in its payload"),
    kernel("a_damaged_kernel_is_one_clear_message", Variant::Damaged, "dom0 kernel: "),
    refused("an_initrd_that_does_not_fit_is_one_clear_message", "dom0_mem=64M", "kernel and initrd need at least"),
    refused("an_iommu_that_must_be_there_is_one_clear_message", "iommu=required", "an IOMMU is required"),
];
