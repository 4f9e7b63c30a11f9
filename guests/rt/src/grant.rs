//! Grants from this domain to itself. It must be domain 0: `DOMID_SELF` names nobody in these calls.

use crate::hypercall::{raw, update_va_mapping};
use crate::memory::{KERNEL_RW, Page};
use xen_abi::GuestPtr;
use xen_abi::grant_table::*;
use xen_abi::xen::{__HYPERVISOR_grant_table_op, DOMID_SELF, UVMF_INVLPG};

/// One request.
pub fn op<T>(command: u32, argument: &mut T) -> i64 {
    raw(__HYPERVISOR_grant_table_op, [command.into(), (&raw mut *argument).addr() as u64, 1, 0, 0])
}

/// The frame of the table's page `index` below 8, all pages up to it made.
pub fn frame(index: u32) -> u64 {
    let mut frames = [0u64; 8];
    let mut setup = GnttabSetupTable {
        dom: DOMID_SELF,
        nr_frames: index + 1,
        frame_list: GuestPtr::new(frames.as_mut_ptr().addr() as u64),
        ..Default::default()
    };
    op(GNTTABOP_setup_table, &mut setup);
    frames[index as usize]
}

/// The first page of a version 1 table, mapped.
pub struct TableV1(Page);

impl TableV1 {
    /// Sets the table up and maps it.
    pub fn new() -> Option<TableV1> {
        let page = Page::new();
        let mapped = update_va_mapping(page.va(), frame(0) << 12 | KERNEL_RW, UVMF_INVLPG);
        (mapped == 0).then_some(TableV1(page))
    }
    /// Grants a frame to domain 0.
    pub fn set(&self, reference: u32, flags: u16, frame: u64) {
        self.0.write(reference as usize, u64::from(flags) | frame << 32);
    }
    /// What the entry says.
    pub fn flags(&self, reference: u32) -> u16 {
        self.0.read(reference as usize) as u16
    }
    /// Where it is mapped.
    pub fn page(&self) -> Page {
        self.0
    }
}

/// Maps a grant of domain 0: its status and its handle.
pub fn map(at: u64, reference: u32, flags: u32) -> (i16, u32) {
    let mut argument = GnttabMapGrantRef { host_addr: at, flags, r#ref: reference, dom: 0, ..Default::default() };
    let result = op(GNTTABOP_map_grant_ref, &mut argument);
    (if result == 0 { argument.status } else { i16::MIN }, argument.handle)
}

/// Unmaps one.
pub fn unmap(at: u64, handle: u32) -> i16 {
    let mut argument = GnttabUnmapGrantRef { host_addr: at, handle, ..Default::default() };
    let result = op(GNTTABOP_unmap_grant_ref, &mut argument);
    if result == 0 { argument.status } else { i16::MIN }
}

/// Copies `len` bytes of a grant of domain 0 to a frame of one's own.
pub fn copy(reference: u32, offset: u16, mfn: u64, to: u16, len: u16) -> i16 {
    let mut argument = GnttabCopy {
        source: GnttabCopyPtr { u: reference.into(), domid: DOMID_SELF, offset, ..Default::default() },
        dest: GnttabCopyPtr { u: mfn, domid: DOMID_SELF, offset: to, ..Default::default() },
        len,
        flags: GNTCOPY_source_gref,
        ..Default::default()
    };
    let result = op(GNTTABOP_copy, &mut argument);
    if result == 0 { argument.status } else { i16::MIN }
}
