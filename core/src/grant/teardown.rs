//! The end of a domain, on both sides of its grants.

use super::frames::{drop_shared, put_stored};
use super::pin::unpin_of;
use crate::domain::{Domain, Hypervisor};
use crate::platform::Platform;

/// Handles between two looks at `preempt`.
const BATCH: u32 = 64;

/// How far it came.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Teardown {
    /// All is released.
    Done,
    /// Stopped for something more urgent: call again.
    Preempted,
}

impl super::GrantTable {
    /// The dying domain, whose table this is and whose vcpus never run again, lets go of what it has mapped of others. The
    /// references of host mappings go with its page tables.
    pub fn release_mappings<P: Platform>(&self, hv: &Hypervisor<P>, preempt: impl Fn() -> bool) -> Teardown {
        let mut handle = self.inner.lock().teardown_at;
        let end = self.maptrack.lock().end();
        while handle < end {
            let mapping = self.maptrack.lock().take(handle);
            if let Ok(mapping) = mapping {
                if mapping.host {
                    unpin_of(hv, mapping.granter, mapping.reference, &[mapping.host_use()]);
                }
                if mapping.device {
                    put_stored(hv, mapping.frame, mapping.writable);
                    unpin_of(hv, mapping.granter, mapping.reference, &[mapping.device_use()]);
                }
                self.maptrack.lock().free(handle);
            }
            handle += 1;
            if handle.is_multiple_of(BATCH) && preempt() {
                self.inner.lock().teardown_at = handle;
                return Teardown::Preempted;
            }
        }
        self.inner.lock().teardown_at = 0;
        Teardown::Done
    }

    /// The dying domain's table ends: its frames are freed when the last mapping of them goes. Who still has its grants
    /// mapped keeps the frames alive until it unmaps them.
    pub fn close<P: Platform>(&self, hv: &Hypervisor<P>, dom: &Domain<P>) {
        let lists = {
            let mut table = self.inner.lock();
            table.closed = true;
            [core::mem::take(&mut table.shared), core::mem::take(&mut table.status)]
        };
        for frame in lists.into_iter().flatten() {
            drop_shared(hv, dom, frame);
        }
    }
}
