//! `errno.h`: the error numbers that hypercalls return, negated.

consts! {
    /// Error number.
    i32 {
        /// Operation not permitted.
        XEN_EPERM = 1,
        /// No such file or directory.
        XEN_ENOENT = 2,
        /// No such process.
        XEN_ESRCH = 3,
        /// I/O error.
        XEN_EIO = 5,
        /// No such device or address.
        XEN_ENXIO = 6,
        /// Arg list too long.
        XEN_E2BIG = 7,
        /// Exec format error.
        XEN_ENOEXEC = 8,
        /// Bad file number.
        XEN_EBADF = 9,
        /// No child processes.
        XEN_ECHILD = 10,
        /// Try again.
        XEN_EAGAIN = 11,
        /// Operation would block.  Aliases EAGAIN.
        XEN_EWOULDBLOCK = 11,
        /// Out of memory.
        XEN_ENOMEM = 12,
        /// Permission denied.
        XEN_EACCES = 13,
        /// Bad address.
        XEN_EFAULT = 14,
        /// Device or resource busy.
        XEN_EBUSY = 16,
        /// File exists.
        XEN_EEXIST = 17,
        /// Cross-device link.
        XEN_EXDEV = 18,
        /// No such device.
        XEN_ENODEV = 19,
        /// Not a directory.
        XEN_ENOTDIR = 20,
        /// Is a directory.
        XEN_EISDIR = 21,
        /// Invalid argument.
        XEN_EINVAL = 22,
        /// File table overflow.
        XEN_ENFILE = 23,
        /// Too many open files.
        XEN_EMFILE = 24,
        /// No space left on device.
        XEN_ENOSPC = 28,
        /// Read-only file system.
        XEN_EROFS = 30,
        /// Too many links.
        XEN_EMLINK = 31,
        /// Math argument out of domain of func.
        XEN_EDOM = 33,
        /// Math result not representable.
        XEN_ERANGE = 34,
        /// Resource deadlock would occur.
        XEN_EDEADLK = 35,
        /// Resource deadlock would occur. Aliases EDEADLK.
        XEN_EDEADLOCK = 35,
        /// File name too long.
        XEN_ENAMETOOLONG = 36,
        /// No record locks available.
        XEN_ENOLCK = 37,
        /// Function not implemented.
        XEN_ENOSYS = 38,
        /// Directory not empty.
        XEN_ENOTEMPTY = 39,
        /// No data available.
        XEN_ENODATA = 61,
        /// Timer expired.
        XEN_ETIME = 62,
        /// Not a data message.
        XEN_EBADMSG = 74,
        /// Value too large for defined data type.
        XEN_EOVERFLOW = 75,
        /// Illegal byte sequence.
        XEN_EILSEQ = 84,
        /// Socket operation on non-socket.
        XEN_ENOTSOCK = 88,
        /// Message too large.
        XEN_EMSGSIZE = 90,
        /// Operation not supported on transport endpoint.
        XEN_EOPNOTSUPP = 95,
        /// Address already in use.
        XEN_EADDRINUSE = 98,
        /// Cannot assign requested address.
        XEN_EADDRNOTAVAIL = 99,
        /// No buffer space available.
        XEN_ENOBUFS = 105,
        /// Transport endpoint is already connected.
        XEN_EISCONN = 106,
        /// Transport endpoint is not connected.
        XEN_ENOTCONN = 107,
        /// Connection timed out.
        XEN_ETIMEDOUT = 110,
        /// Connection refused.
        XEN_ECONNREFUSED = 111,
    }
}

structs! {}

/// Declares [`Errno`] so that its variants and the constants cannot part.
macro_rules! errno {
    ($( $(#[$meta:meta])* $variant:ident = $c:ident, )*) => {
        /// An error that a hypercall returns. Linux' numbers, whatever the guest is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(i32)]
        pub enum Errno {
            $( $(#[$meta])* $variant = $c, )*
        }

        impl Errno {
            /// Every error number, in ascending order.
            pub const ALL: &[Self] = &[$( Self::$variant, )*];

            /// The positive number.
            #[must_use]
            pub const fn number(self) -> i32 {
                self as i32
            }

            /// The error with this positive number; `None` if the ABI does not have it.
            #[must_use]
            pub const fn from_number(number: i32) -> Option<Self> {
                match number {
                    $( $c => Some(Self::$variant), )*
                    _ => None,
                }
            }

            /// The number's name in C, without `XEN_`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $( Self::$variant => stringify!($variant), )*
                }
            }
        }
    };
}

errno! {
    /// Operation not permitted.
    EPERM = XEN_EPERM,
    /// No such file or directory.
    ENOENT = XEN_ENOENT,
    /// No such process.
    ESRCH = XEN_ESRCH,
    /// I/O error.
    EIO = XEN_EIO,
    /// No such device or address.
    ENXIO = XEN_ENXIO,
    /// Arg list too long.
    E2BIG = XEN_E2BIG,
    /// Exec format error.
    ENOEXEC = XEN_ENOEXEC,
    /// Bad file number.
    EBADF = XEN_EBADF,
    /// No child processes.
    ECHILD = XEN_ECHILD,
    /// Try again.
    EAGAIN = XEN_EAGAIN,
    /// Out of memory.
    ENOMEM = XEN_ENOMEM,
    /// Permission denied.
    EACCES = XEN_EACCES,
    /// Bad address.
    EFAULT = XEN_EFAULT,
    /// Device or resource busy.
    EBUSY = XEN_EBUSY,
    /// File exists.
    EEXIST = XEN_EEXIST,
    /// Cross-device link.
    EXDEV = XEN_EXDEV,
    /// No such device.
    ENODEV = XEN_ENODEV,
    /// Not a directory.
    ENOTDIR = XEN_ENOTDIR,
    /// Is a directory.
    EISDIR = XEN_EISDIR,
    /// Invalid argument.
    EINVAL = XEN_EINVAL,
    /// File table overflow.
    ENFILE = XEN_ENFILE,
    /// Too many open files.
    EMFILE = XEN_EMFILE,
    /// No space left on device.
    ENOSPC = XEN_ENOSPC,
    /// Read-only file system.
    EROFS = XEN_EROFS,
    /// Too many links.
    EMLINK = XEN_EMLINK,
    /// Math argument out of domain of func.
    EDOM = XEN_EDOM,
    /// Math result not representable.
    ERANGE = XEN_ERANGE,
    /// Resource deadlock would occur.
    EDEADLK = XEN_EDEADLK,
    /// File name too long.
    ENAMETOOLONG = XEN_ENAMETOOLONG,
    /// No record locks available.
    ENOLCK = XEN_ENOLCK,
    /// Function not implemented.
    ENOSYS = XEN_ENOSYS,
    /// Directory not empty.
    ENOTEMPTY = XEN_ENOTEMPTY,
    /// No data available.
    ENODATA = XEN_ENODATA,
    /// Timer expired.
    ETIME = XEN_ETIME,
    /// Not a data message.
    EBADMSG = XEN_EBADMSG,
    /// Value too large for defined data type.
    EOVERFLOW = XEN_EOVERFLOW,
    /// Illegal byte sequence.
    EILSEQ = XEN_EILSEQ,
    /// Socket operation on non-socket.
    ENOTSOCK = XEN_ENOTSOCK,
    /// Message too large.
    EMSGSIZE = XEN_EMSGSIZE,
    /// Operation not supported on transport endpoint.
    EOPNOTSUPP = XEN_EOPNOTSUPP,
    /// Address already in use.
    EADDRINUSE = XEN_EADDRINUSE,
    /// Cannot assign requested address.
    EADDRNOTAVAIL = XEN_EADDRNOTAVAIL,
    /// No buffer space available.
    ENOBUFS = XEN_ENOBUFS,
    /// Transport endpoint is already connected.
    EISCONN = XEN_EISCONN,
    /// Transport endpoint is not connected.
    ENOTCONN = XEN_ENOTCONN,
    /// Connection timed out.
    ETIMEDOUT = XEN_ETIMEDOUT,
    /// Connection refused.
    ECONNREFUSED = XEN_ECONNREFUSED,
}

impl Errno {
    /// The value for the hypercall's result register.
    #[must_use]
    pub const fn as_neg(self) -> i64 {
        -(self as i64)
    }
}

impl core::fmt::Display for Errno {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

impl core::error::Error for Errno {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_round_trips_and_is_negated() {
        for &e in Errno::ALL {
            assert_eq!(Errno::from_number(e.number()), Some(e));
            assert_eq!(e.as_neg(), -i64::from(e.number()));
        }
        assert_eq!(Errno::EFAULT.as_neg(), -14);
        assert_eq!(Errno::from_number(0), None);
        assert_eq!(Errno::from_number(4), None, "EINTR never reaches a guest");
    }
}
