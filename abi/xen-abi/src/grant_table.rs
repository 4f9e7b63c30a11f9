//! `grant_table.h`: grant entries of both versions, and subcommands of `grant_table_op`.

use crate::arch_x86::xen_pfn_t;
use crate::guest_ptr::GuestPtr;
use crate::xen::domid_t;

/// An index into a domain's grant table.
pub type grant_ref_t = u32;
/// A handle that the hypervisor gave for a grant mapping.
pub type grant_handle_t = u32;
/// One entry of the status frames: `GTF_reading` and `GTF_writing` of a version 2 grant.
pub type grant_status_t = u16;

consts! {
    /// Entries that the toolstack fills in.
    u32 {
        GNTTAB_NR_RESERVED_ENTRIES = 8,
        GNTTAB_RESERVED_CONSOLE = 0,
        GNTTAB_RESERVED_XENSTORE = 1,
    }
    /// Bit number of a `GTF_*` flag.
    u32 {
        _GTF_readonly = 2,
        _GTF_reading = 3,
        _GTF_writing = 4,
        _GTF_PWT = 5,
        _GTF_PCD = 6,
        _GTF_PAT = 7,
        _GTF_sub_page = 8,
        _GTF_transfer_committed = 2,
        _GTF_transfer_completed = 3,
    }
    /// Type or flag of a grant entry.
    u16 {
        GTF_invalid = 0,
        GTF_permit_access = 1 << 0,
        GTF_accept_transfer = 2,
        GTF_transitive = 3,
        GTF_type_mask = 3,
        GTF_readonly = 1 << _GTF_readonly,
        GTF_reading = 1 << _GTF_reading,
        GTF_writing = 1 << _GTF_writing,
        GTF_PWT = 1 << _GTF_PWT,
        GTF_PCD = 1 << _GTF_PCD,
        GTF_PAT = 1 << _GTF_PAT,
        GTF_sub_page = 1 << _GTF_sub_page,
        GTF_transfer_committed = 1 << _GTF_transfer_committed,
        GTF_transfer_completed = 1 << _GTF_transfer_completed,
    }
    /// Subcommand of `grant_table_op`.
    u32 {
        GNTTABOP_map_grant_ref = 0,
        GNTTABOP_unmap_grant_ref = 1,
        GNTTABOP_setup_table = 2,
        GNTTABOP_dump_table = 3,
        GNTTABOP_transfer = 4,
        GNTTABOP_copy = 5,
        GNTTABOP_query_size = 6,
        GNTTABOP_unmap_and_replace = 7,
        GNTTABOP_set_version = 8,
        GNTTABOP_get_status_frames = 9,
        GNTTABOP_get_version = 10,
        GNTTABOP_swap_grant_ref = 11,
        GNTTABOP_cache_flush = 12,
    }
    /// Bit number of a `GNTCOPY_*` flag.
    u32 {
        _GNTCOPY_source_gref = 0,
        _GNTCOPY_dest_gref = 1,
    }
    /// Flag of a grant copy.
    u16 {
        GNTCOPY_source_gref = 1 << _GNTCOPY_source_gref,
        GNTCOPY_dest_gref = 1 << _GNTCOPY_dest_gref,
    }
    /// Operation of `GNTTABOP_cache_flush`.
    u32 {
        GNTTAB_CACHE_CLEAN = 1 << 0,
        GNTTAB_CACHE_INVAL = 1 << 1,
        GNTTAB_CACHE_SOURCE_GREF = 1 << 31,
    }
    /// Bit number of a `GNTMAP_*` flag.
    u32 {
        _GNTMAP_device_map = 0,
        _GNTMAP_host_map = 1,
        _GNTMAP_readonly = 2,
        _GNTMAP_application_map = 3,
        _GNTMAP_contains_pte = 4,
        _GNTMAP_guest_avail0 = 16,
    }
    /// Flag of a grant mapping.
    u32 {
        GNTMAP_device_map = 1 << _GNTMAP_device_map,
        GNTMAP_host_map = 1 << _GNTMAP_host_map,
        GNTMAP_readonly = 1 << _GNTMAP_readonly,
        GNTMAP_application_map = 1 << _GNTMAP_application_map,
        GNTMAP_contains_pte = 1 << _GNTMAP_contains_pte,
        GNTMAP_guest_avail_mask = 0xffff0000,
    }
    /// Status of a grant operation.
    i16 {
        /// Normal return.
        GNTST_okay = 0,
        /// General undefined error.
        GNTST_general_error = -1,
        /// Unrecognsed domain id.
        GNTST_bad_domain = -2,
        /// Unrecognised or inappropriate gntref.
        GNTST_bad_gntref = -3,
        /// Unrecognised or inappropriate handle.
        GNTST_bad_handle = -4,
        /// Inappropriate virtual address to map.
        GNTST_bad_virt_addr = -5,
        /// Inappropriate device address to unmap.
        GNTST_bad_dev_addr = -6,
        /// Out of space in I/O MMU.
        GNTST_no_device_space = -7,
        /// Not enough privilege for operation.
        GNTST_permission_denied = -8,
        /// Specified page was invalid for op.
        GNTST_bad_page = -9,
        /// Copy arguments cross page boundary.
        GNTST_bad_copy_arg = -10,
        /// Transfer page address too large.
        GNTST_address_too_big = -11,
        /// Operation not done; try again.
        GNTST_eagain = -12,
        /// Out of space (handles etc).
        GNTST_no_space = -13,
    }
}

structs! {
    /// An entry of a version 1 grant table.
    GrantEntryV1 = "struct grant_entry_v1" {
        /// GTF_xxx: various type and flag information.
        flags: u16,
        /// The domain being granted foreign privileges.
        domid: domid_t,
        frame: u32,
    }
    /// What every version 2 grant entry begins with.
    GrantEntryHeader = "struct grant_entry_header" {
        flags: u16,
        domid: domid_t,
    }
    /// One request of `GNTTABOP_map_grant_ref`.
    GnttabMapGrantRef = "struct gnttab_map_grant_ref" {
        /// In.
        host_addr: u64,
        /// GNTMAP_*
        flags: u32,
        /// In.
        r#ref: grant_ref_t,
        /// In.
        dom: domid_t,
        /// A GNTST_* status.
        status: i16,
        /// Out.
        handle: grant_handle_t,
        /// Out.
        dev_bus_addr: u64,
    }
    /// One request of `GNTTABOP_unmap_grant_ref`.
    GnttabUnmapGrantRef = "struct gnttab_unmap_grant_ref" {
        /// In.
        host_addr: u64,
        /// In.
        dev_bus_addr: u64,
        /// In.
        handle: grant_handle_t,
        /// A GNTST_* status.
        status: i16,
        _pad0: [u8; 2],
    }
    /// One request of `GNTTABOP_setup_table`.
    GnttabSetupTable = "struct gnttab_setup_table" {
        /// In.
        dom: domid_t,
        _pad0: [u8; 2],
        /// In.
        nr_frames: u32,
        /// A GNTST_* status.
        status: i16,
        _pad1: [u8; 6],
        /// Out.
        frame_list: GuestPtr<xen_pfn_t>,
    }
    /// One request of `GNTTABOP_dump_table`.
    GnttabDumpTable = "struct gnttab_dump_table" {
        /// In.
        dom: domid_t,
        /// A GNTST_* status.
        status: i16,
    }
    /// One request of `GNTTABOP_transfer`.
    GnttabTransfer = "struct gnttab_transfer" {
        /// In.
        mfn: xen_pfn_t,
        /// In.
        domid: domid_t,
        _pad0: [u8; 2],
        /// In.
        r#ref: grant_ref_t,
        /// Out.
        status: i16,
        _pad1: [u8; 6],
    }
    /// One side of a grant copy. `u` is a grant reference (low 32 bits) if the `GNTCOPY_*_gref` flag says so, else a gmfn.
    GnttabCopyPtr = "struct gnttab_copy_ptr" {
        u: u64,
        domid: domid_t,
        offset: u16,
        _pad0: [u8; 4],
    }
    /// One request of `GNTTABOP_copy`.
    GnttabCopy = "struct gnttab_copy" {
        source: GnttabCopyPtr,
        dest: GnttabCopyPtr,
        /// In.
        len: u16,
        /// GNTCOPY_*
        flags: u16,
        /// Out.
        status: i16,
        _pad0: [u8; 2],
    }
    /// One request of `GNTTABOP_query_size`.
    GnttabQuerySize = "struct gnttab_query_size" {
        /// In.
        dom: domid_t,
        _pad0: [u8; 2],
        /// Out.
        nr_frames: u32,
        /// Out.
        max_nr_frames: u32,
        /// A GNTST_* status.
        status: i16,
        _pad1: [u8; 2],
    }
    /// One request of `GNTTABOP_unmap_and_replace`.
    GnttabUnmapAndReplace = "struct gnttab_unmap_and_replace" {
        /// In.
        host_addr: u64,
        /// In.
        new_addr: u64,
        /// In.
        handle: grant_handle_t,
        /// A GNTST_* status.
        status: i16,
        _pad0: [u8; 2],
    }
    /// One request of `GNTTABOP_set_version`.
    GnttabSetVersion = "struct gnttab_set_version" {
        /// In and out.
        version: u32,
    }
    /// One request of `GNTTABOP_get_status_frames`.
    GnttabGetStatusFrames = "struct gnttab_get_status_frames" {
        /// In.
        nr_frames: u32,
        /// In.
        dom: domid_t,
        /// A GNTST_* status.
        status: i16,
        /// Out.
        frame_list: GuestPtr<u64>,
    }
    /// One request of `GNTTABOP_get_version`.
    GnttabGetVersion = "struct gnttab_get_version" {
        /// In.
        dom: domid_t,
        pad: u16,
        /// Out.
        version: u32,
    }
    /// One request of `GNTTABOP_swap_grant_ref`.
    GnttabSwapGrantRef = "struct gnttab_swap_grant_ref" {
        /// In.
        ref_a: grant_ref_t,
        /// In.
        ref_b: grant_ref_t,
        /// A GNTST_* status.
        status: i16,
        _pad0: [u8; 2],
    }
    /// One request of `GNTTABOP_cache_flush`.
    GnttabCacheFlush = "struct gnttab_cache_flush" {
        a: u64,
        /// Offset from start of grant
        offset: u16,
        /// Size within the grant
        length: u16,
        op: u32,
    }
    /// An entry of a version 2 grant table; see [`GrantEntryV2::decode`].
    GrantEntryV2 = "union grant_entry_v2" {
        /// The raw words; the first is the header.
        __spacer: [u32; 4],
        _pad0: [u64; 0],
    }
    /// A grant of a whole page.
    GrantEntryV2FullPage = "__typeof__(((union grant_entry_v2 *)0)->full_page)" {
        hdr: GrantEntryHeader,
        pad0: u32,
        frame: u64,
    }
    /// A grant of a part of a page.
    GrantEntryV2SubPage = "__typeof__(((union grant_entry_v2 *)0)->sub_page)" {
        hdr: GrantEntryHeader,
        page_off: u16,
        length: u16,
        frame: u64,
    }
    /// A grant that stands for another domain's grant to the granter.
    GrantEntryV2Transitive = "__typeof__(((union grant_entry_v2 *)0)->transitive)" {
        hdr: GrantEntryHeader,
        trans_domid: domid_t,
        pad0: u16,
        gref: grant_ref_t,
    }
}

/// What the type and flags of a version 2 entry make of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantV2 {
    /// `GTF_invalid`: nothing is granted.
    Invalid,
    /// `GTF_accept_transfer`: waits for a page, whose frame number appears in `frame`.
    AcceptTransfer(GrantEntryV2FullPage),
    /// `GTF_permit_access` without `GTF_sub_page`.
    FullPage(GrantEntryV2FullPage),
    /// `GTF_permit_access` with `GTF_sub_page`.
    SubPage(GrantEntryV2SubPage),
    /// `GTF_transitive`.
    Transitive(GrantEntryV2Transitive),
}

impl GrantEntryV2 {
    /// The header: flags and domain.
    #[must_use]
    pub fn hdr(&self) -> GrantEntryHeader {
        zerocopy::transmute!(self.__spacer[0])
    }

    /// Decodes a private copy of an entry by its flags.
    #[must_use]
    pub fn decode(&self) -> GrantV2 {
        let flags = self.hdr().flags;
        match flags & GTF_type_mask {
            GTF_permit_access if flags & GTF_sub_page != 0 => GrantV2::SubPage(zerocopy::transmute!(*self)),
            GTF_permit_access => GrantV2::FullPage(zerocopy::transmute!(*self)),
            GTF_accept_transfer => GrantV2::AcceptTransfer(zerocopy::transmute!(*self)),
            GTF_transitive => {
                let [hdr, middle, gref, _unused] = self.__spacer;
                GrantV2::Transitive(zerocopy::transmute!([hdr, middle, gref]))
            }
            _ => GrantV2::Invalid,
        }
    }
}

impl GnttabCopyPtr {
    /// `u` as a grant reference: its low 32 bits, as a little-endian C union reads it.
    #[must_use]
    pub fn gref(&self) -> grant_ref_t {
        let [low, _high]: [u32; 2] = zerocopy::transmute!(self.u);
        low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_of_a_version_2_entry_choose_its_shape() {
        let entry = |flags: u16, rest: [u32; 3]| GrantEntryV2 {
            __spacer: [u32::from(flags) | 5 << 16, rest[0], rest[1], rest[2]],
            ..Default::default()
        };
        let hdr = |flags| GrantEntryHeader { flags, domid: 5 };
        assert_eq!(entry(GTF_invalid, [1, 2, 3]).decode(), GrantV2::Invalid);
        let frame = 3 << 32 | 2;
        let full = |flags| GrantEntryV2FullPage { hdr: hdr(flags), pad0: 1, frame };
        assert_eq!(
            entry(GTF_permit_access | GTF_readonly, [1, 2, 3]).decode(),
            GrantV2::FullPage(full(GTF_permit_access | GTF_readonly))
        );
        assert_eq!(entry(GTF_accept_transfer, [1, 2, 3]).decode(), GrantV2::AcceptTransfer(full(GTF_accept_transfer)));
        let flags = GTF_permit_access | GTF_sub_page;
        assert_eq!(
            entry(flags, [0x0100_0080, 2, 3]).decode(),
            GrantV2::SubPage(GrantEntryV2SubPage { hdr: hdr(flags), page_off: 0x80, length: 0x100, frame })
        );
        assert_eq!(
            entry(GTF_transitive, [7, 9, 0]).decode(),
            GrantV2::Transitive(GrantEntryV2Transitive { hdr: hdr(GTF_transitive), trans_domid: 7, pad0: 0, gref: 9 })
        );
    }

    #[test]
    fn a_grant_reference_is_the_low_half_of_the_union() {
        let side = GnttabCopyPtr { u: 0xdead_beef_0000_0007, ..Default::default() };
        assert_eq!(side.gref(), 7);
    }
}
