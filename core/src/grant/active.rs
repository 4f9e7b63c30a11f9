//! How often an entry is in use.

use super::status::Status;
use crate::addr::Mfn;
use crate::domain::DomId;

/// What a use of a grant is: by the CPU or by a device, and whether it may write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Use {
    pub device: bool,
    pub writable: bool,
}

/// Uses of one entry.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Pins {
    /// Read only, by CPU and by device.
    pub read: [u16; 2],
    /// Writable, by CPU and by device.
    pub write: [u16; 2],
}

/// What is known of an entry in use.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Active {
    pub pins: Pins,
    /// Who used it last and which frame it was (for the dump).
    pub by: DomId,
    pub frame: Mfn,
}

impl Pins {
    fn count(&mut self, what: Use) -> &mut u16 {
        let [cpu, device] = if what.writable { &mut self.write } else { &mut self.read };
        if what.device { device } else { cpu }
    }
    /// One more; `General` when there are too many.
    pub fn add(&mut self, what: Use) -> Result<(), Status> {
        let count = self.count(what);
        *count = count.checked_add(1).ok_or(Status::General)?;
        Ok(())
    }
    /// One less.
    pub fn remove(&mut self, what: Use) {
        let count = self.count(what);
        debug_assert!(*count != 0, "a grant is given back that was not in use");
        *count = count.saturating_sub(1);
    }
    /// Whether anybody may write.
    pub fn written(&self) -> bool {
        self.write != [0; 2]
    }
    /// Whether it is in use at all.
    pub fn any(&self) -> bool {
        self.written() || self.read != [0; 2]
    }
}
