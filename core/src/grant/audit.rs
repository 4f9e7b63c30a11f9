//! What a simulation compares with what it counted itself.

use super::GrantTable;
use super::maptrack::Mapping;
use crate::addr::Mfn;
use crate::domain::DomId;
use alloc::vec::Vec;

/// A mapping that a domain has of another one's grant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AuditedMapping {
    /// Who granted it.
    pub granter: DomId,
    /// By which entry.
    pub reference: u32,
    /// The frame.
    pub frame: Mfn,
    /// There is a page-table entry.
    pub host: bool,
    /// A device may use it.
    pub device: bool,
    /// It may be written.
    pub writable: bool,
}

impl From<Mapping> for AuditedMapping {
    fn from(mapping: Mapping) -> Self {
        let Mapping { granter, reference, frame, host, device, writable, .. } = mapping;
        AuditedMapping { granter, reference, frame, host, device, writable }
    }
}

/// Uses of an entry by CPU and by device: read-only, then writable ones.
pub type AuditedUses = [[u16; 2]; 2];

impl GrantTable {
    /// All mappings of others' grants, and the number of handles that are neither free nor one of these.
    pub fn audit_mappings(&self) -> (Vec<AuditedMapping>, u32) {
        let track = self.maptrack.lock();
        let found: Vec<AuditedMapping> = track.mappings().map(AuditedMapping::from).collect();
        let busy = track.used().saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
        (found, busy)
    }

    /// The entries that are in use.
    pub fn audit_uses(&self) -> Vec<(u32, AuditedUses)> {
        let table = self.inner.lock();
        let all = (0..).zip(table.active.iter().flatten());
        all.filter(|(_, active)| active.pins.any())
            .map(|(reference, active)| (reference, [active.pins.read, active.pins.write]))
            .collect()
    }

    /// Shared frames, then status frames.
    pub fn audit_frames(&self) -> (Vec<Mfn>, Vec<Mfn>) {
        let table = self.inner.lock();
        (table.shared.clone(), table.status.clone())
    }
}
