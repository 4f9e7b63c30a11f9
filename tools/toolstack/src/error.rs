//! One line each: what failed, on what, and what to do.

use std::time::Duration;
use xenctl::Errno;

/// What kind of failure it is; the command's exit code follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Anything else.
    Failed,
    /// The command makes no sense.
    Usage,
    /// A domain or device that is not there.
    NotFound,
    /// Not allowed.
    Permission,
    /// xenstored does not answer, or there is no hypervisor.
    Down,
    /// It did not happen in time.
    TimedOut,
}

impl Kind {
    /// The exit code of a program that ends with it.
    pub const fn exit_code(self) -> u8 {
        match self {
            Kind::Failed => 1,
            Kind::Usage => 2,
            Kind::NotFound => 3,
            Kind::Permission => 4,
            Kind::Down => 5,
            Kind::TimedOut => 6,
        }
    }
}

/// A failure.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no hypervisor.
    #[error("no Xen below this kernel ({0}): boot the hypervisor first, and load the module xen-privcmd")]
    NoHypervisor(std::io::Error),
    /// The hypervisor's device may not be opened.
    #[error("/dev/xen/privcmd may not be opened ({0}): run this as root in domain 0")]
    NoPrivilege(std::io::Error),
    /// No such domain.
    #[error("domain {0}: there is no such domain; `xm list` shows all")]
    NoDomain(String),
    /// No such device.
    #[error("domain {domain}: there is no {kind} {device}; `xm {kind}-list {domain}` shows all")]
    NoDevice {
        /// Whose.
        domain: String,
        /// block or network.
        kind: &'static str,
        /// As it was named.
        device: String,
    },
    /// No such CPU pool.
    #[error("CPU pool {0}: there is no such pool; `xm cpupool-list` shows all")]
    NoPool(String),
    /// The name is taken.
    #[error("domain {name}: the name is taken by domain {domid}; choose another or destroy that one")]
    NameTaken {
        /// The name.
        name: String,
        /// Whose it is.
        domid: u16,
    },
    /// What is asked for cannot be.
    #[error("{0}")]
    Invalid(String),
    /// A part outside of these tools failed.
    #[error("{0}")]
    Failed(String),
    /// A disk cannot be used.
    #[error("disk {vdev} ({target}): {why}")]
    Disk {
        /// Name in the guest.
        vdev: String,
        /// What is behind it.
        target: String,
        /// Why not.
        why: String,
    },
    /// A network card cannot be used.
    #[error("network card {index}: {why}")]
    Vif {
        /// Which.
        index: u32,
        /// Why not.
        why: String,
    },
    /// A backend or a guest does not react.
    #[error("{what}: nothing happened in {} s; {remedy}", after.as_secs())]
    TimedOut {
        /// What was waited for.
        what: String,
        /// How long.
        after: Duration,
        /// What to do.
        remedy: &'static str,
    },
    /// Memory for the domain.
    #[error("{wanted} MiB are wanted and {free} MiB free: destroy or shrink another domain (`xm mem-set`)")]
    NoMemory {
        /// MiB.
        wanted: u64,
        /// MiB.
        free: u64,
    },
    /// Building failed.
    #[error(transparent)]
    Build(#[from] dombuild::Error),
    /// The hypervisor refused.
    #[error(transparent)]
    Xen(#[from] xenctl::Error),
    /// xenstore refused or is not there.
    #[error(transparent)]
    Store(#[from] xenstore::Error),
    /// A file or device of domain 0.
    #[error("{what}: {source}")]
    Io {
        /// What was tried, on what.
        what: String,
        /// Why not.
        source: std::io::Error,
    },
}

impl Error {
    /// With what was tried.
    pub fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
        let what = what.into();
        move |source| Error::Io { what, source }
    }

    /// What kind it is.
    pub fn kind(&self) -> Kind {
        match self {
            Error::NoDomain(_) | Error::NoPool(_) | Error::NoDevice { .. } => Kind::NotFound,
            Error::Build(dombuild::Error::File { source, .. }) | Error::Io { source, .. } => match source.kind() {
                std::io::ErrorKind::NotFound => Kind::NotFound,
                std::io::ErrorKind::PermissionDenied => Kind::Permission,
                _ => Kind::Failed,
            },
            Error::Xen(error) | Error::Build(dombuild::Error::Xen(error)) => match error.errno {
                Errno::EPERM | Errno::EACCES => Kind::Permission,
                Errno::ESRCH => Kind::NotFound,
                _ => Kind::Failed,
            },
            Error::NoPrivilege(_) => Kind::Permission,
            Error::NoHypervisor(_) => Kind::Down,
            Error::Store(xenstore::Error::Unreachable { .. } | xenstore::Error::Broken(_)) => Kind::Down,
            Error::Store(error) => match error.refused() {
                Some(xenstore::XsError::EACCES | xenstore::XsError::EPERM) => Kind::Permission,
                _ => Kind::Failed,
            },
            Error::TimedOut { .. } => Kind::TimedOut,
            Error::Invalid(_) => Kind::Usage,
            _ => Kind::Failed,
        }
    }
}

/// What an operation gives.
pub type Result<T> = std::result::Result<T, Error>;
