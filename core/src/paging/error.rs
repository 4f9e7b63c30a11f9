//! Why a paging operation did not succeed.

use crate::frame::FrameError;
use xen_abi::Errno;

/// Why a paging operation did not succeed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum PagingError {
    /// An entry, frame or argument is none that the guest may use there.
    Invalid,
    /// The right is missing.
    NotPermitted,
    /// The frame is in use as something else.
    Busy,
    /// No such domain.
    NoDomain,
    /// Guest memory could not be read or written.
    Fault,
    /// Unknown command.
    Unknown,
    /// Known, but not done for 64-bit PV guests.
    Unsupported,
    /// Stopped at a safe point: the same operation again goes on where this one stopped.
    Interrupted,
}

impl PagingError {
    const ALL: [PagingError; 8] = [
        PagingError::Invalid,
        PagingError::NotPermitted,
        PagingError::Busy,
        PagingError::NoDomain,
        PagingError::Fault,
        PagingError::Unknown,
        PagingError::Unsupported,
        PagingError::Interrupted,
    ];

    /// As `PvState::parked_error` keeps it: never 0.
    pub(super) fn to_parked(self) -> u64 {
        (self as u64).wrapping_add(1)
    }
    /// What [`PagingError::to_parked`] made; `None` for 0.
    pub(super) fn from_parked(word: u64) -> Option<PagingError> {
        PagingError::ALL.get(usize::try_from(word.checked_sub(1)?).ok()?).copied()
    }

    /// The same where a frame that is in use otherwise is an invalid argument like any other.
    pub fn unfit(self) -> PagingError {
        if self == PagingError::Busy { PagingError::Invalid } else { self }
    }

    /// The errno that the guest sees. `Interrupted` becomes a continuation before this is asked; where it does not,
    /// the guest may try again.
    pub fn errno(self) -> Errno {
        match self {
            PagingError::Invalid => Errno::EINVAL,
            PagingError::NotPermitted => Errno::EPERM,
            PagingError::Busy => Errno::EBUSY,
            PagingError::NoDomain => Errno::ESRCH,
            PagingError::Fault => Errno::EFAULT,
            PagingError::Unknown => Errno::ENOSYS,
            PagingError::Unsupported => Errno::EOPNOTSUPP,
            PagingError::Interrupted => Errno::EAGAIN,
        }
    }
}

impl From<FrameError> for PagingError {
    fn from(error: FrameError) -> PagingError {
        match error {
            FrameError::Busy => PagingError::Busy,
            FrameError::NotRam | FrameError::NotOwner | FrameError::Overflow => PagingError::Invalid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parked_error_comes_back_as_itself() {
        for error in PagingError::ALL {
            assert_eq!(PagingError::from_parked(error.to_parked()), Some(error));
        }
        assert_eq!(PagingError::from_parked(0), None);
        assert_eq!(PagingError::from_parked(u64::MAX), None);
    }
}
