//! `/dev/xen/evtchn`: event channels of this process.

use crate::ioctl;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;

const BIND_VIRQ: u64 = ioctl::none(b'E', 0, 4);
const BIND_INTERDOMAIN: u64 = ioctl::none(b'E', 1, 8);
const UNBIND: u64 = ioctl::none(b'E', 3, 4);
const NOTIFY: u64 = ioctl::none(b'E', 4, 4);

/// A port of this domain that this handle receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bound(pub u32);

/// A handle on event channels: what is bound to it is readable from it. Closing it unbinds them.
#[derive(Debug)]
pub struct EventChannels(File);

impl EventChannels {
    /// Opens the device; reads do not block.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open() -> io::Result<Self> {
        let options = File::options().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/xen/evtchn")?;
        Ok(EventChannels(options))
    }

    /// Goes on with a handle that another process opened, with its bindings.
    pub fn adopt(fd: OwnedFd) -> Self {
        EventChannels(File::from(fd))
    }

    /// Binds a virtual interrupt.
    ///
    /// # Errors
    /// The kernel's; already bound by another process: exists.
    pub fn bind_virq(&self, virq: u32) -> io::Result<Bound> {
        ioctl::with(&self.0, BIND_VIRQ, &mut { virq }).map(|port| Bound(port.unsigned_abs()))
    }

    /// Binds to a port that another domain (or this one) left open for us.
    ///
    /// # Errors
    /// The kernel's.
    pub fn bind_interdomain(&self, domid: u16, port: u32) -> io::Result<Bound> {
        let result = ioctl::with(&self.0, BIND_INTERDOMAIN, &mut [u32::from(domid), port])?;
        Ok(Bound(result.unsigned_abs()))
    }

    /// Closes a port.
    ///
    /// # Errors
    /// The kernel's: it is not bound here.
    pub fn unbind(&self, port: Bound) -> io::Result<()> {
        ioctl::with(&self.0, UNBIND, &mut { port.0 }).map(drop)
    }

    /// Sends an event.
    ///
    /// # Errors
    /// The kernel's: it is not bound here.
    pub fn notify(&self, port: Bound) -> io::Result<()> {
        ioctl::with(&self.0, NOTIFY, &mut { port.0 }).map(drop)
    }

    /// The ports that fired since they were unmasked last. They are masked until [`EventChannels::unmask`].
    ///
    /// # Errors
    /// The kernel's.
    pub fn fired(&self) -> io::Result<Vec<Bound>> {
        let mut fired = Vec::new();
        let mut bytes = [0; 1024];
        // Until there is nothing: Linux (drivers/xen/evtchn.c) wakes a reader only when the first event comes, so whoever
        // waits for edges would never hear again of what a single read left.
        loop {
            match (&self.0).read(&mut bytes) {
                Ok(0) => return Ok(fired),
                Ok(len) => {
                    let (words, _) = bytes.get(..len).unwrap_or_default().as_chunks::<4>();
                    fired.extend(words.iter().map(|word| Bound(u32::from_ne_bytes(*word))));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(fired),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if fired.is_empty() => return Err(error),
                // The ports that were read are masked: whoever is not told of them cannot unmask them.
                Err(_) => return Ok(fired),
            }
        }
    }

    /// Lets a port fire again. An event that came meanwhile fires at once.
    ///
    /// # Errors
    /// The kernel's.
    pub fn unmask(&self, port: Bound) -> io::Result<()> {
        (&self.0).write_all(&port.0.to_ne_bytes())
    }
}

impl AsFd for EventChannels {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
