//! How a single grant operation fails.

use xen_abi::grant_table::*;

/// Why an operation failed, for the `status` field of its argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// Any other reason.
    General,
    /// No such domain.
    BadDomain,
    /// No such grant reference, or not one for this.
    BadRef,
    /// No such handle.
    BadHandle,
    /// A list of results is at an address that cannot be written.
    BadVirtAddr,
    /// The right is missing.
    Denied,
    /// The frame cannot be used for this.
    BadPage,
    /// A copy would leave a frame.
    BadCopyArg,
    /// The frame's number does not fit into a version 1 entry.
    AddressTooBig,
    /// In use just now.
    Again,
    /// No handle is left.
    NoSpace,
}

impl Status {
    /// GNTST_*.
    pub fn code(self) -> i16 {
        match self {
            Status::General => GNTST_general_error,
            Status::BadDomain => GNTST_bad_domain,
            Status::BadRef => GNTST_bad_gntref,
            Status::BadHandle => GNTST_bad_handle,
            Status::BadVirtAddr => GNTST_bad_virt_addr,
            Status::Denied => GNTST_permission_denied,
            Status::BadPage => GNTST_bad_page,
            Status::BadCopyArg => GNTST_bad_copy_arg,
            Status::AddressTooBig => GNTST_address_too_big,
            Status::Again => GNTST_eagain,
            Status::NoSpace => GNTST_no_space,
        }
    }
}

/// GNTST_* of a result.
pub(super) fn code<T>(result: &Result<T, Status>) -> i16 {
    match result {
        Ok(_) => GNTST_okay,
        Err(status) => status.code(),
    }
}
