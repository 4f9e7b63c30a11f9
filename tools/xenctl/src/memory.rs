//! A domain's memory: how much, filling it, its page tables, its grants.

use crate::call::list;
use crate::{Error, Result, Xen};
use xen_abi::domctl::*;
use xen_abi::grant_table::{GTF_permit_access, GrantEntryV1};
use xen_abi::memory::*;
use xen_abi::xen::{__HYPERVISOR_memory_op, __HYPERVISOR_mmuext_op, MMUEXT_PIN_L4_TABLE, MmuextOp};
use xen_abi::{Errno, GuestPtr};
use xen_call::{Buffer as _, Hypercalls, RingMemory as _};
use zerocopy::IntoBytes as _;

impl<H: Hypercalls> Xen<H> {
    /// Sets the most memory that it may have, in KiB.
    ///
    /// # Errors
    /// The hypervisor's.
    pub fn set_max_memory(&self, domid: u16, kib: u64) -> Result<()> {
        let arg = XenDomctlMaxMem { max_memkb: kib };
        self.domctl("set its largest memory", domid, XEN_DOMCTL_max_mem, &arg).map(drop)
    }

    /// Gives it memory: `2^order` frames for each of the pseudo-physical frames `pfns`. Gives the first machine frame of each;
    /// fewer if the memory ran out.
    ///
    /// # Errors
    /// The hypervisor's.
    pub fn populate(&self, domid: u16, pfns: &[u64], order: u32) -> Result<Vec<u64>> {
        let buffer = self.buffer(size_of_val(pfns))?;
        buffer.write(0, pfns.as_bytes());
        let mut arg = XenMemoryReservation {
            extent_start: GuestPtr::new(buffer.addr()),
            nr_extents: pfns.len() as u64,
            extent_order: order,
            mem_flags: 0,
            domid,
            ..Default::default()
        };
        let done = self
            .with(__HYPERVISOR_memory_op, &[XENMEM_populate_physmap.into()], &mut arg)
            .map_err(|errno| Error { what: "give it memory", domid: Some(domid), errno })?;
        Ok(list(&buffer, usize::try_from(done).unwrap_or(0).min(pfns.len())))
    }

    /// Makes sure that so many frames in all can be given to it.
    ///
    /// # Errors
    /// `ENOMEM`: there are not so many; the hypervisor's.
    pub fn claim(&self, domid: u16, frames: u64) -> Result<()> {
        let mut arg = XenMemoryReservation { nr_extents: frames, domid, ..Default::default() };
        self.with(__HYPERVISOR_memory_op, &[XENMEM_claim_pages.into()], &mut arg).map(drop).map_err(|errno| Error {
            what: "claim memory for it",
            domid: Some(domid),
            errno,
        })
    }

    /// Writes the hypercall page into a frame of its.
    ///
    /// # Errors
    /// The hypervisor's.
    pub fn write_hypercall_page(&self, domid: u16, mfn: u64) -> Result<()> {
        let arg = XenDomctlHypercallInit { gmfn: mfn };
        self.domctl("write its hypercall page", domid, XEN_DOMCTL_hypercall_init, &arg).map(drop)
    }

    /// Checks its page tables from this root on, and keeps them checked.
    ///
    /// # Errors
    /// `EINVAL`: they are not valid.
    pub fn pin_root(&self, domid: u16, mfn: u64) -> Result<()> {
        let what = "check its first page tables";
        let buffer = self.buffer(size_of::<MmuextOp>())?;
        let op = MmuextOp { cmd: MMUEXT_PIN_L4_TABLE, arg1: mfn, ..Default::default() };
        buffer.write(0, op.as_bytes());
        self.hypercalls()
            .call(__HYPERVISOR_mmuext_op, [buffer.addr(), 1, 0, domid.into(), 0])
            .map(drop)
            .map_err(|errno| Error { what, domid: Some(domid), errno })
    }

    /// Maps frames of its.
    ///
    /// # Errors
    /// The hypervisor's, or the kernel's.
    pub fn map(&self, domid: u16, frames: &[u64]) -> Result<H::Map> {
        let what = "map its memory";
        self.hypercalls().map_foreign(domid, frames).map_err(|errno| Error { what, domid: Some(domid), errno })
    }

    /// Puts grants into the first frame of its grant table, before it runs: reference, whom, frame.
    ///
    /// # Errors
    /// The hypervisor's, or the kernel's; a frame number above 32 bits.
    pub fn seed_grants(&self, domid: u16, grants: &[(u32, u16, u64)]) -> Result<()> {
        let failed = |errno| Error { what: "seed its grant table", domid: Some(domid), errno };
        let (kind, id) = (XENMEM_resource_grant_table, XENMEM_resource_grant_table_id_shared);
        let table = self.hypercalls().map_resource(domid, kind, id, 0, 1).map_err(failed)?;
        for &(reference, to, frame) in grants {
            let frame = u32::try_from(frame).map_err(|_| failed(Errno::ERANGE))?;
            let entry = GrantEntryV1 { flags: GTF_permit_access, domid: to, frame };
            table.write(reference as usize * size_of::<GrantEntryV1>(), entry.as_bytes());
        }
        Ok(())
    }
}
