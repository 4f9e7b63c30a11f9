//! What tools ask of a machine beside its memory: two CPUs, no devices.

use super::platform::{CPUS, CalmPlatform};
use ferroxen_core::addr::{Maddr, Vaddr};
use ferroxen_core::cpu::CpuId;
use ferroxen_core::cpupolicy::{Kind, Policy, XenInfo};
use ferroxen_core::ctx::Ctx;
use ferroxen_core::domain::{Domain, Hypervisor};
use ferroxen_core::domctl::domctl;
use ferroxen_core::evtchn::{Notify, PirqEffect};
use ferroxen_core::hypercall::{Devices, HypercallResult};
use ferroxen_core::physdev::{Function, InterruptMachine, Message};
use ferroxen_core::platform_op::{CpuFacts, MemoryType, PlatformMachine, Symbol};
use ferroxen_core::sysctl::{SystemMachine, sysctl};
use ferroxen_core::time::WallClock;
use xen_abi::Errno;

/// The machine's other half.
pub struct NoDevices {
    policy: Policy,
}

impl Default for NoDevices {
    fn default() -> Self {
        let leaf = |leaf: u32, _| match leaf {
            0 => [0xd, 0x6874_7541, 0x444d_4163, 0x6974_6e65],
            1 => [0x00a2_0f12, 0, 0x7ed8_320b, 0x178b_fbff],
            7 => [0, 0x0018_05a9, 0, 0],
            0xd => [7, 0x340, 0x340, 0],
            0x8000_0000 => [0x8000_0008, 0, 0, 0],
            0x8000_0001 => [0, 0, 0x0000_0121, 0x2c10_0800],
            0x8000_0008 => [0x3030, 0, 0, 0],
            _ => [0; 4],
        };
        NoDevices { policy: Policy::pv(Kind::DomU, 0, leaf) }
    }
}

type Context<'a> = Ctx<'a, CalmPlatform>;

impl Devices<CalmPlatform> for NoDevices {
    fn physdev_op(&mut self, _: &mut Context<'_>, _: u32, _: Vaddr) -> HypercallResult {
        Err(Errno::ENOSYS.into())
    }
    fn platform_op(&mut self, _: &mut Context<'_>, _: Vaddr) -> HypercallResult {
        Err(Errno::ENOSYS.into())
    }
    fn sysctl(&mut self, ctx: &mut Context<'_>, arg: Vaddr) -> HypercallResult {
        sysctl(ctx, self, arg)
    }
    fn domctl(&mut self, ctx: &mut Context<'_>, arg: Vaddr) -> HypercallResult {
        domctl(ctx, self, arg)
    }
    fn pirq(&mut self, _: &Hypervisor<CalmPlatform>, _: &Domain<CalmPlatform>, _: PirqEffect) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }
}

impl InterruptMachine for NoDevices {
    fn gsi_count(&self) -> u32 {
        0
    }
    fn ioapic_read(&mut self, _: Maddr, _: u32) -> Option<u32> {
        None
    }
    fn ioapic_lines(&self, _: Maddr) -> Option<(u32, u32)> {
        None
    }
    fn allocate_vectors(&mut self, _: u32, _: u32, _: bool) -> Option<u8> {
        None
    }
    fn free_vectors(&mut self, _: u8, _: u32) {}
    fn route(&mut self, _: u32, _: u8, _: bool, _: bool) -> bool {
        false
    }
    fn mask(&mut self, _: u32, _: bool) {}
    fn message(&self, _: u8) -> Message {
        Message { address: 0, data: 0 }
    }
    fn config_read(&mut self, _: Function, _: u16) -> u32 {
        u32::MAX
    }
    fn config_write(&mut self, _: Function, _: u16, _: u32) {}
    fn config_write16(&mut self, _: Function, _: u16, _: u16) {}
    fn msix_write(&mut self, _: Maddr, _: Message) -> bool {
        false
    }
    fn msix_mask(&mut self, _: Maddr, _: bool) {}
    fn notify(&mut self, _: Notify) {}
}

impl PlatformMachine for NoDevices {
    fn set_wall_clock(&mut self, _: WallClock) {}
    fn memory_type(&self, _: u32) -> Option<MemoryType> {
        None
    }
    fn keyboard_flags(&self) -> u8 {
        0
    }
    fn power_off(&mut self, _: u16, _: u16) {}
    fn cpus(&self) -> u16 {
        CPUS
    }
    fn cpu(&self, cpu: CpuId) -> Option<CpuFacts> {
        (cpu.0 < CPUS).then_some(CpuFacts { online: true, apic_id: cpu.0.into(), ..Default::default() })
    }
    fn symbol(&self, _: u32) -> Option<Symbol<'_>> {
        None
    }
}

impl SystemMachine for NoDevices {
    fn debug_key(&mut self, _: u8) {}
    fn cpu_khz(&self) -> u32 {
        1_000_000
    }
    fn idle_time(&self, _: CpuId) -> u64 {
        0
    }
    fn topology(&self, cpu: CpuId) -> (u32, u32) {
        (cpu.0.into(), 0)
    }
    fn policy(&self, _: Kind) -> &Policy {
        &self.policy
    }
    fn xen_info(&self) -> XenInfo {
        XenInfo::default()
    }
    fn wall_clock(&self) -> WallClock {
        WallClock { sec: 1_700_000_000, nsec: 0 }
    }
    fn hypercall_page(&self) -> [u8; 4096] {
        [0xc3; 4096]
    }
}
