//! The machine, as far as decisions need it. `hv/` implements it on hardware, `sim/` in a process.

use crate::addr::{Maddr, Mfn, Vaddr};
use crate::cpu::{CpuId, CpuMask};
use ferroxen_sync::SharedPage;
use zerocopy::IntoBytes;

/// A guest's address could not be read or written; nothing more was copied from `at` on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The first address that failed.
    pub at: Vaddr,
}

/// What a TLB flush must drop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flush {
    /// Translations of one linear address (INVLPG), global ones too, and the paging-structure caches.
    Page(Vaddr),
    /// Everything but global translations (a load of CR3).
    NonGlobal,
    /// Everything, global translations too.
    All,
}

/// The machine. All methods may be called on any CPU, with interrupts on and any lock below `rank::Console` held.
pub trait Platform: Sync + Sized + 'static {
    /// A frame's contents. `mfn` was checked against the frame table by the caller; for a number that is no RAM the
    /// implementation panics.
    fn page(&self, mfn: Mfn) -> &SharedPage;

    /// Copies from the linear address space of the guest that runs on `cpu`, with its rights (kernel or user mode as
    /// it was when it entered; supervisor-only mappings and hypervisor space fault).
    fn copy_from_guest(&self, cpu: CpuId, from: Vaddr, to: &mut [u8]) -> Result<(), Fault>;

    /// The same for a few words, which become numbers: what the arguments of the most frequent hypercalls are.
    #[inline]
    fn read_words<const N: usize>(&self, cpu: CpuId, from: Vaddr) -> Result<[u64; N], Fault> {
        let mut words = [0; N];
        self.copy_from_guest(cpu, from, words.as_mut_bytes())?;
        Ok(words)
    }

    /// Copies to the linear address space of the guest that runs on `cpu`.
    fn copy_to_guest(&self, cpu: CpuId, to: Vaddr, from: &[u8]) -> Result<(), Fault>;

    /// Writes the hypervisor's own slots (256 to 271) into a root table (level 4) before it can be loaded.
    fn install_root_slots(&self, root: &SharedPage);

    /// An entry of the machine-to-physical table that guests read. `u64::MAX` stands for "no guest frame".
    fn m2p(&self, mfn: Mfn) -> u64;
    /// Changes it.
    fn set_m2p(&self, mfn: Mfn, pfn: u64);

    /// Drops translations on all of `cpus` (this one, `cpu`, may be among them) and returns when it is done.
    /// The caller holds no lock that an interrupt handler takes (there is none) and has interrupts on.
    fn flush(&self, cpu: CpuId, cpus: &CpuMask, what: Flush);

    /// A stamp that grows with every full flush that a CPU makes; see [`Platform::flushed_since`].
    fn tlb_stamp(&self) -> u32;
    /// Whether `cpu` has flushed everything (global translations too) since the stamp was taken. `false` is always
    /// a correct answer.
    fn flushed_since(&self, cpu: CpuId, stamp: u32) -> bool;

    /// The CPUs that run guests: all whose TLB may hold a guest's translation.
    fn online(&self) -> CpuMask;
    /// Makes `cpu` (this one) run on another root table at once, and drops all of its translations: the old root may be
    /// anything as soon as this returns. The root's own slots were installed ([`Platform::install_root_slots`]).
    fn load_root(&self, cpu: CpuId, root: Maddr);
    /// Writes back and empties the caches of `cpus` (WBINVD) and returns when it is done.
    fn flush_caches(&self, cpu: CpuId, cpus: &CpuMask);

    /// Nanoseconds since boot: monotonic, the same on every CPU as far as the machine allows.
    fn now(&self) -> u64;

    /// Whether the CPU has something more urgent to do (an interrupt to deliver, a time slice that ended): a
    /// long operation stops at its next safe point and is continued later.
    fn preempt_pending(&self, cpu: CpuId) -> bool;

    /// Makes `cpu` ask the scheduler soon: sets its flag, then interrupts it if it is another one.
    fn kick(&self, cpu: CpuId);

    /// Makes `cpu` look at the events of the vcpu that it runs soon. Its way back to a guest does that anyway: only
    /// another CPU has to be interrupted.
    fn check_events(&self, cpu: CpuId);

    /// Sends the control domain's bytes to the console's device as they are.
    fn console_write(&self, bytes: &[u8]);

    /// One line for the hypervisor's console and ring.
    fn log(&self, level: Level, text: core::fmt::Arguments<'_>);
}

/// Importance of a console line (Xen's XENLOG_*).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// Something broke.
    Error,
    /// Something is odd.
    Warning,
    /// Worth knowing.
    Info,
    /// For developers.
    Debug,
}
