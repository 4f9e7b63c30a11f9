//! What GNTTABOP_dump_table and the debug key `g` print.

use crate::domain::Domain;
use crate::platform::Platform;
use core::fmt;

/// Shows a domain's grants that are in use, a line each.
pub struct Dump<'a, P: Platform> {
    /// The machine.
    pub platform: &'a P,
    /// Whose table.
    pub dom: &'a Domain<P>,
}

impl<P: Platform> fmt::Display for Dump<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (version, frames) = self.dom.grants.size();
        let mappings = self.dom.grants.mappings();
        writeln!(f, "grant table of d{}: v{version}, {frames} frames, {mappings} mapped of others", self.dom.id.0)?;
        let entries = self.dom.grants.inner.lock().entries();
        for reference in 0..entries {
            let mut table = self.dom.grants.inner.lock();
            let entry = table.entry(self.platform, reference);
            let Some(active) = table.active(reference).filter(|active| active.pins.any()) else { continue };
            let ([host_read, device_read], [host_write, device_write]) = (active.pins.read, active.pins.write);
            let (by, frame) = (active.by, active.frame);
            write!(f, "  {reference:#x}: d{} frame {frame:#x}", by.0)?;
            write!(f, " host {host_read}r {host_write}w device {device_read}r {device_write}w")?;
            match entry {
                Ok(entry) => {
                    let (flags, domid, now, marks) = entry.peek();
                    writeln!(f, " entry d{} flags {flags:#06x} frame {now:#x} marks {marks:#x}", domid.0)?;
                }
                Err(_) => writeln!(f, " entry gone")?,
            }
        }
        Ok(())
    }
}
