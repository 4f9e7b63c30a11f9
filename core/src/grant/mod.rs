//! Grant tables: how a domain lets another one use its frames (xen/grant_table.h), versions 1 and 2.
//!
//! # What is whose
//! The *shared* frames hold entries that the guest writes and the hypervisor marks; they are the guest's to scribble over, so
//! an entry is read once, judged, and marked by a compare-exchange. The hypervisor keeps beside them only how often each
//! entry is in use ([`active::Pins`]); an entry is judged anew for every use, so that nothing that was read before has to
//! be believed later. What a domain has mapped of others stands in its *maptrack*, by handle.
//!
//! # References
//! A host mapping *is* the references of the page-table entry (whoever clears the entry gives them back): a guest that overwrites such an entry by other means loses the mapping, keeps the handle, and harms nobody.
//! A device mapping and a copy hold references of their own. Every reference is taken with the granter as owner, so that a
//! grant of a frame that is not (or no more) the granter's fails there.
//!
//! # Locks
//! A table's own lock (`rank::GrantTable`) covers entries and pins, another (`rank::GrantEntry`) the maptrack. Neither is
//! held while page tables or references are worked on, nor are those of two domains held together.

mod active;
#[cfg(feature = "std")]
mod audit;
mod cache;
mod copy;
mod dump;
mod entry;
mod failure;
mod frames;
mod hypercall;
mod map;
mod maptrack;
mod pin;
mod setup;
mod status;
mod swap;
mod table;
mod teardown;
mod transfer;
mod unmap;
mod version;

#[cfg(test)]
mod tests;

#[cfg(feature = "std")]
pub use audit::{AuditedMapping, AuditedUses};
pub use cache::cache_flush;
pub use dump::Dump;
pub(crate) use frames::put_stored;
pub use hypercall::grant_table_op;
pub use status::Status;
pub use table::{GrantTable, Limits, status_frames_for};
pub use teardown::Teardown;
