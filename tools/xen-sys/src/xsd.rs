//! The xenstore page of the control domain's own kernel, and its event channel (xenfs' `xsd_kva` and `xsd_port`).

use crate::Mapping;
use std::fs::{self, File};
use std::io;

/// Where the kernel waits for a xenstore daemon in this domain.
#[derive(Debug)]
pub struct ControlDomainStore {
    /// The page with the rings.
    pub page: Mapping,
    /// The port that the kernel left open for domain 0.
    pub port: u32,
}

impl ControlDomainStore {
    /// Maps it. `None`: this kernel has a xenstore elsewhere, or no Xen below it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open() -> io::Result<Option<Self>> {
        let port = match fs::read_to_string("/proc/xen/xsd_port") {
            Ok(text) => text.trim().parse().map_err(io::Error::other)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let file = File::options().read(true).write(true).open("/proc/xen/xsd_kva")?;
        Ok(Some(ControlDomainStore { page: Mapping::new(&file, 4096, 0)?, port }))
    }
}
