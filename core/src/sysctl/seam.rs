//! The machine, as far as a toolstack asks about it.

use crate::cpu::CpuId;
use crate::cpupolicy::{Kind, Policy, XenInfo};
use crate::platform_op::PlatformMachine;
use crate::time::WallClock;

/// What tools ask for, beyond what dom0's kernel does. `hv/` has the real ones.
pub trait SystemMachine: PlatformMachine {
    /// Does what a debug key of the console stands for.
    fn debug_key(&mut self, key: u8);
    /// Frequency of the CPUs, in kHz.
    fn cpu_khz(&self) -> u32;
    /// How long a CPU was idle, in nanoseconds.
    fn idle_time(&self, cpu: CpuId) -> u64;
    /// Core and socket of a CPU.
    fn topology(&self, cpu: CpuId) -> (u32, u32);
    /// The policy of a kind of PV domains.
    fn policy(&self, kind: Kind) -> &Policy;
    /// What the hypervisor's own CPUID leaves say.
    fn xen_info(&self) -> XenInfo;
    /// The wall clock when the system clock was 0.
    fn wall_clock(&self) -> WallClock;
    /// The page through which a guest makes hypercalls.
    fn hypercall_page(&self) -> [u8; 4096];
}
