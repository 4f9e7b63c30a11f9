//! The machines: both chipsets, 1, 2 and 4 CPUs, 1, 4 and 6 GiB, each under a little load.

use super::boots::{Boot, Expect, LOAD, PLAIN};
use crate::boot::Chipset::{self, Pc, Q35};

/// dom0 bears load there.
const fn loaded(name: &'static str, machine: Chipset, cpus: u32, gib: u32) -> Boot {
    let expect = Expect::Output(&["/tmp/f1: OK", "/tmp/f4: OK", "forks done", "no oops"]);
    Boot { name, machine, cpus, memory: gib << 10, exec: LOAD, expect, full: true, ..PLAIN }
}

/// The table.
pub const BOOTS: &[Boot] = &[
    loaded("load_on_pc_with_1_cpu_and_1_gib", Pc, 1, 1),
    loaded("load_on_pc_with_1_cpu_and_4_gib", Pc, 1, 4),
    loaded("load_on_pc_with_1_cpu_and_6_gib", Pc, 1, 6),
    loaded("load_on_pc_with_2_cpus_and_1_gib", Pc, 2, 1),
    loaded("load_on_pc_with_2_cpus_and_4_gib", Pc, 2, 4),
    loaded("load_on_pc_with_2_cpus_and_6_gib", Pc, 2, 6),
    Boot { full: false, ..loaded("load_on_pc_with_4_cpus_and_1_gib", Pc, 4, 1) },
    loaded("load_on_pc_with_4_cpus_and_4_gib", Pc, 4, 4),
    loaded("load_on_pc_with_4_cpus_and_6_gib", Pc, 4, 6),
    loaded("load_on_q35_with_1_cpu_and_1_gib", Q35, 1, 1),
    loaded("load_on_q35_with_1_cpu_and_4_gib", Q35, 1, 4),
    loaded("load_on_q35_with_1_cpu_and_6_gib", Q35, 1, 6),
    loaded("load_on_q35_with_2_cpus_and_1_gib", Q35, 2, 1),
    loaded("load_on_q35_with_2_cpus_and_4_gib", Q35, 2, 4),
    loaded("load_on_q35_with_2_cpus_and_6_gib", Q35, 2, 6),
    loaded("load_on_q35_with_4_cpus_and_1_gib", Q35, 4, 1),
    loaded("load_on_q35_with_4_cpus_and_4_gib", Q35, 4, 4),
    loaded("load_on_q35_with_4_cpus_and_6_gib", Q35, 4, 6),
];
