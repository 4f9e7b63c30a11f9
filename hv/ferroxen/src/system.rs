//! What toolstacks ask of the machine: sysctl and domctl.

use crate::devices::Hardware;
use crate::percpu::remote;
use crate::{keys, machine, switch};
use core::sync::atomic::Ordering;
use ferroxen_core::cpu::CpuId;
use ferroxen_core::cpupolicy::{Kind, Policy, XenInfo};
use ferroxen_core::sysctl::SystemMachine;
use ferroxen_core::time::WallClock;
use ferroxen_x86::instructions;

/// How many low bits of an APIC id number the threads of a core, and the threads of a package (CPUID leaf 0xb).
fn apic_id_shifts() -> (u32, u32) {
    if instructions::cpuid(0, 0)[0] < 0xb {
        return (0, 8);
    }
    let [threads, .., kind, _] = instructions::cpuid(0xb, 0);
    if kind >> 8 & 0xff == 0 {
        return (0, 8);
    }
    let package = instructions::cpuid(0xb, 1)[0];
    (threads & 0x1f, package & 0x1f)
}

impl SystemMachine for Hardware {
    fn debug_key(&mut self, key: u8) {
        keys::debug_key(key);
    }
    fn cpu_khz(&self) -> u32 {
        machine::xen_info().host_tsc_khz
    }
    fn idle_time(&self, cpu: CpuId) -> u64 {
        switch::idle_time(cpu)
    }
    fn topology(&self, cpu: CpuId) -> (u32, u32) {
        let apic_id = remote(cpu).apic_id.load(Ordering::Relaxed);
        let (thread, package) = apic_id_shifts();
        let core = (apic_id & ((1u32 << package) - 1)) >> thread;
        (core, apic_id >> package)
    }
    fn policy(&self, kind: Kind) -> &Policy {
        machine::policy_of(kind)
    }
    fn xen_info(&self) -> XenInfo {
        machine::xen_info()
    }
    fn wall_clock(&self) -> WallClock {
        machine::wall_clock()
    }
    fn hypercall_page(&self) -> [u8; 4096] {
        ferroxen_loader::build::hypercall_page()
    }
}
