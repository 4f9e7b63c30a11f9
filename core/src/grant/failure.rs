//! How an operation ends that works on page tables.

use super::status::Status;
use crate::paging::PagingError;

/// Why an operation did not come to an end: a result for the guest, or the same request is to be made again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Failure {
    Status(Status),
    Interrupted,
}

impl From<Status> for Failure {
    fn from(status: Status) -> Failure {
        Failure::Status(status)
    }
}

impl From<PagingError> for Failure {
    fn from(error: PagingError) -> Failure {
        match error {
            PagingError::Interrupted => Failure::Interrupted,
            _ => Failure::Status(Status::General),
        }
    }
}
