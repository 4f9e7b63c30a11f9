//! What did not work, on whom, and why.

use xen_abi::Errno;

/// A call that the hypervisor refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// What was asked for, in words.
    pub what: &'static str,
    /// On which domain.
    pub domid: Option<u16>,
    /// The answer.
    pub errno: Errno,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Error { what, domid, errno } = self;
        match domid {
            Some(domid) => write!(f, "domain {domid}: cannot {what}: {}", reason(*errno)),
            None => write!(f, "cannot {what}: {}", reason(*errno)),
        }
    }
}

/// What the numbers mean to somebody who runs domains.
fn reason(errno: Errno) -> String {
    let words = match errno {
        Errno::EPERM => "not permitted (this domain is not the control domain)",
        Errno::ESRCH => "there is no such domain",
        Errno::ENOMEM => "the hypervisor has no memory for it",
        Errno::EACCES => "the hypervisor speaks another version of the toolstack interface (0x15 is wanted)",
        Errno::ENOSYS | Errno::EOPNOTSUPP => "this hypervisor cannot do that",
        Errno::EEXIST => "it exists already",
        Errno::EBUSY => "it is in use",
        Errno::EINVAL => "the hypervisor finds it invalid",
        other => return format!("{other}"),
    };
    format!("{words} ({})", errno.name())
}

/// What a call gives.
pub type Result<T> = std::result::Result<T, Error>;
