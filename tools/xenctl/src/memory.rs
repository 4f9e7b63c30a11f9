//! A domain's memory: how much, filling it, its page tables, its grants.

use crate::call::list;
use crate::{Error, Result, Xen};
use xen_abi::domctl::*;
use xen_abi::grant_table::{
    GNTTABOP_get_version, GNTTABOP_query_size, GNTTABOP_setup_table, GTF_permit_access, GTF_reading, GTF_type_mask,
    GTF_writing, GnttabGetVersion, GnttabQuerySize, GnttabSetupTable, GrantEntryV1, GrantEntryV2,
};
use xen_abi::memory::*;
use xen_abi::xen::{
    __HYPERVISOR_grant_table_op, __HYPERVISOR_memory_op, __HYPERVISOR_mmuext_op, DOMID_SELF, MMUEXT_PIN_L4_TABLE,
    MmuextOp,
};
use xen_abi::{Errno, GuestPtr};
use xen_call::{Buffer as _, Hypercalls, RingMemory as _};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// How much of a grant table is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct GrantCount {
    /// Entries that let somebody in.
    pub granted: u64,
    /// Those of them that somebody has mapped, as far as the entry itself says so (version 1).
    pub mapped: u64,
}

impl GrantCount {
    /// Counts the entries of `bytes`, each `size` long; both versions begin with their flags.
    fn of(bytes: &[u8], size: usize) -> GrantCount {
        let flags =
            bytes.chunks_exact(size).filter_map(|entry| entry.first_chunk().map(|flags| u16::from_le_bytes(*flags)));
        flags.filter(|flags| flags & GTF_type_mask != 0).fold(GrantCount::default(), |count, flags| GrantCount {
            granted: count.granted + 1,
            mapped: count.mapped + u64::from(flags & (GTF_reading | GTF_writing) != 0),
        })
    }
}

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
        self.hypercalls().map_foreign(domid, frames, true).map_err(|errno| Error { what, domid: Some(domid), errno })
    }

    /// Maps frames of its to look at them: page tables, too, which nobody maps writable.
    ///
    /// # Errors
    /// The hypervisor's, or the kernel's.
    pub fn look_at(&self, domid: u16, frames: &[u64]) -> Result<H::Map> {
        let what = "look at its memory";
        self.hypercalls().map_foreign(domid, frames, false).map_err(|errno| Error { what, domid: Some(domid), errno })
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

    /// How many grants a domain gives. Its table is only read, and does not grow by it.
    ///
    /// # Errors
    /// The hypervisor's, or the kernel's.
    pub fn grants(&self, domid: u16) -> Result<GrantCount> {
        const PAGE: usize = 4096;
        let failed = |errno| Error { what: "read its grant table", domid: Some(domid), errno };
        let mut size = GnttabQuerySize { dom: domid, ..Default::default() };
        self.grant_op(GNTTABOP_query_size, &mut size).map_err(failed)?;
        let mut version = GnttabGetVersion { dom: domid, ..Default::default() };
        self.grant_op(GNTTABOP_get_version, &mut version).map_err(failed)?;
        if size.status != 0 {
            return Err(failed(Errno::EINVAL));
        }
        let frames = size.nr_frames as usize;
        if frames == 0 {
            return Ok(GrantCount::default());
        }
        let table = if domid == 0 {
            // Nobody may acquire what is his own; but it is his memory.
            let own = self.own_grant_frames(size.nr_frames).map_err(failed)?;
            self.hypercalls().map_foreign(DOMID_SELF, &own, false).map_err(failed)?
        } else {
            let (kind, id) = (XENMEM_resource_grant_table, XENMEM_resource_grant_table_id_shared);
            self.hypercalls().map_resource(domid, kind, id, 0, frames).map_err(failed)?
        };
        let mut bytes = vec![0; frames * PAGE];
        table.read(0, &mut bytes);
        let entry = if version.version == 2 { size_of::<GrantEntryV2>() } else { size_of::<GrantEntryV1>() };
        Ok(GrantCount::of(&bytes, entry))
    }

    /// The frames of the caller's own grant table, which has so many.
    fn own_grant_frames(&self, count: u32) -> std::result::Result<Vec<u64>, Errno> {
        let frames = self.hypercalls().buffer(count as usize * size_of::<u64>())?;
        let list = GuestPtr::new(frames.addr());
        let mut setup = GnttabSetupTable { dom: DOMID_SELF, nr_frames: count, frame_list: list, ..Default::default() };
        self.grant_op(GNTTABOP_setup_table, &mut setup)?;
        if setup.status == 0 { Ok(crate::call::list(&frames, count as usize)) } else { Err(Errno::EINVAL) }
    }

    /// `grant_table_op` with one request, which is read back.
    fn grant_op<T: IntoBytes + FromBytes + Immutable>(
        &self,
        op: u32,
        request: &mut T,
    ) -> std::result::Result<(), Errno> {
        let buffer = self.hypercalls().buffer(size_of::<T>())?;
        buffer.write(0, request.as_bytes());
        self.hypercalls().call(__HYPERVISOR_grant_table_op, [op.into(), buffer.addr(), 1, 0, 0])?;
        buffer.read(0, request.as_mut_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_entries_that_let_somebody_in_are_grants() {
        let entry = |flags: u16| GrantEntryV1 { flags, domid: 3, frame: 7 };
        let table = [entry(0), entry(GTF_permit_access), entry(GTF_permit_access | GTF_reading), entry(GTF_reading)];
        let bytes: Vec<u8> = table.iter().flat_map(|entry| entry.as_bytes().to_vec()).collect();
        assert_eq!(GrantCount::of(&bytes, size_of::<GrantEntryV1>()), GrantCount { granted: 2, mapped: 1 });
        // As version 2, every other entry is a second half.
        assert_eq!(GrantCount::of(&bytes, size_of::<GrantEntryV2>()), GrantCount { granted: 1, mapped: 1 });
    }
}
