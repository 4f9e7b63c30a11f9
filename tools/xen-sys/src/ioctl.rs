//! One `ioctl` with a typed argument.

use std::io;
use std::os::fd::AsRawFd;

/// `_IOC(_IOC_NONE, kind, number, size)`.
pub(crate) const fn none(kind: u8, number: u8, size: usize) -> u64 {
    ((size as u64) << 16) | ((kind as u64) << 8) | number as u64
}

/// `ioctl(fd, request, &mut arg)`. `T` must be the structure that the request takes.
pub(crate) fn with<T>(fd: &impl AsRawFd, request: u64, arg: &mut T) -> io::Result<i32> {
    // SAFETY: the argument is a live, exclusive value of the structure that the request is defined with; what it points to is
    // the caller's and lives as long.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), request, std::ptr::from_mut(arg)) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// `ioctl(fd, request, value)`.
pub(crate) fn value(fd: &impl AsRawFd, request: u64, value: u64) -> io::Result<i32> {
    // SAFETY: these requests take a number, not a pointer.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), request, value) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
