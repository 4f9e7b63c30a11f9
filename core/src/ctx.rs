//! Who runs where: the argument that takes the place of an ambient "current".

use crate::addr::Vaddr;
use crate::cpu::CpuId;
use crate::domain::{Domain, Hypervisor, Vcpu};
use crate::hypercall::Stop;
use crate::platform::{Fault, Flush, Platform};
use crate::pv::PvState;

/// The running vcpu on its CPU, for the length of one trap or hypercall.
pub struct Ctx<'a, P: Platform> {
    /// Everything.
    pub hv: &'a Hypervisor<P>,
    /// This CPU.
    pub cpu: CpuId,
    /// The vcpu that trapped.
    pub vcpu: &'a Vcpu<P>,
    /// Its domain.
    pub dom: &'a Domain<P>,
    /// Its PV state while it runs (registers, callbacks, roots): lives at the fixed top of this CPU's stack.
    pub pv: &'a mut PvState,
    /// What has to be done before the vcpu runs again.
    pub effects: Effects,
}

/// What the caller performs on this CPU before the vcpu runs again. Joined, never lost.
#[must_use]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Load the root table that `PvState` names now.
    pub load_root: bool,
    /// Flush this CPU's TLB: non-global entries.
    pub flush_non_global: bool,
    /// Flush this CPU's TLB: everything.
    pub flush_all: bool,
    /// One address to invalidate on this CPU.
    pub invlpg: Option<Vaddr>,
    /// Reload the guest's GDT and LDT into this CPU (`PvState` changed).
    pub load_descriptor_tables: bool,
    /// Reload the debug registers from `PvState`.
    pub load_debug: bool,
    /// Make CR0.TS what `pv::TASK_SWITCHED` says.
    pub load_fpu: bool,
    /// Load these segment bases.
    pub segment_bases: SegmentBases,
    /// This CPU's timers changed: program its timer anew.
    pub program_timer: bool,
    /// The domain ended itself: see what is to become of the machine.
    pub shutdown: bool,
    /// The vcpu's `struct vcpu_info` moved.
    pub refresh_info: bool,
    /// Write the vcpu's time record.
    pub update_time: bool,
    /// The vcpu may not go on: ask the scheduler.
    pub reschedule: bool,
}

/// Segment bases to load into this CPU while the guest's kernel runs (its GS is the active one), in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentBases {
    /// FS.
    pub fs: Option<u64>,
    /// GS of the kernel, the active one.
    pub gs_kernel: Option<u64>,
    /// A selector for the user mode's GS, with its base; one that cannot be loaded becomes 0.
    pub gs_user_selector: Option<u16>,
    /// GS of the user mode, the inactive one (MSR_SHADOW_GS_BASE).
    pub gs_user: Option<u64>,
}

impl Effects {
    /// Whether nothing has to be done.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        let bases = &self.segment_bases;
        !(self.load_root
            | self.flush_non_global
            | self.flush_all
            | self.load_descriptor_tables
            | self.load_debug
            | self.load_fpu
            | self.program_timer
            | self.shutdown
            | self.refresh_info
            | self.update_time
            | self.reschedule
            | self.invlpg.is_some()
            | bases.fs.is_some()
            | bases.gs_kernel.is_some()
            | bases.gs_user_selector.is_some()
            | bases.gs_user.is_some())
    }

    /// Adds a local flush to what is to be done.
    pub fn flush(&mut self, what: Flush) {
        match what {
            Flush::All => self.flush_all = true,
            Flush::NonGlobal => self.flush_non_global = true,
            Flush::Page(at) => match self.invlpg {
                None => self.invlpg = Some(at),
                Some(other) if other == at => {}
                Some(_) => self.flush_all = true,
            },
        }
    }
}

impl<P: Platform> Ctx<'_, P> {
    /// The machine.
    pub fn platform(&self) -> &P {
        &self.hv.platform
    }

    /// Whether a long operation should stop at this safe point.
    pub fn preempt_pending(&self) -> bool {
        self.hv.platform.preempt_pending(self.cpu)
    }

    /// Copies a value in from the guest, once.
    pub fn read<T: zerocopy::FromBytes + zerocopy::IntoBytes>(&self, at: Vaddr) -> Result<T, Stop> {
        let mut value = T::new_zeroed();
        self.read_bytes(at, value.as_mut_bytes())?;
        Ok(value)
    }

    /// Copies a value out to the guest.
    pub fn write<T: zerocopy::IntoBytes + zerocopy::Immutable>(&self, at: Vaddr, value: &T) -> Result<(), Stop> {
        self.write_bytes(at, value.as_bytes())
    }

    /// Copies bytes in from the guest.
    pub fn read_bytes(&self, at: Vaddr, to: &mut [u8]) -> Result<(), Stop> {
        self.hv.platform.copy_from_guest(self.cpu, at, to).map_err(Stop::from)
    }

    /// Copies bytes out to the guest.
    pub fn write_bytes(&self, at: Vaddr, from: &[u8]) -> Result<(), Stop> {
        self.hv.platform.copy_to_guest(self.cpu, at, from).map_err(Stop::from)
    }

    /// Reads element `index` of a guest array of `T`.
    pub fn read_at<T: zerocopy::FromBytes + zerocopy::IntoBytes>(&self, base: Vaddr, index: u64) -> Result<T, Stop> {
        self.read(element::<T>(base, index)?)
    }

    /// Writes element `index` of a guest array of `T`.
    pub fn write_at<T: zerocopy::IntoBytes + zerocopy::Immutable>(
        &self,
        base: Vaddr,
        index: u64,
        value: &T,
    ) -> Result<(), Stop> {
        self.write(element::<T>(base, index)?, value)
    }
}

fn element<T>(base: Vaddr, index: u64) -> Result<Vaddr, Stop> {
    index
        .checked_mul(size_of::<T>() as u64)
        .and_then(|offset| base.0.checked_add(offset))
        .map(Vaddr)
        .ok_or(Stop::from(Fault { at: base }))
}
