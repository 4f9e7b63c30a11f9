//! What must hold between domains after every step.

use crate::paging::{FRAMES, RAM, World};
use ferroxen_core::addr::Mfn;
use ferroxen_core::domain::DomId;
use ferroxen_core::evtchn::{Binding, audit_ports};
use ferroxen_core::frame::{FrameKind, FrameType};
use ferroxen_core::paging::Pte;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

impl World {
    /// Checks what domains have of each other.
    ///
    /// # Panics
    /// When something does not hold.
    pub fn check_connections(&self) {
        self.check_grants();
        self.check_ports();
        for id in self.ids() {
            let pages = &self.dom(id).pages;
            let (total, max) = (pages.total.load(Ordering::SeqCst), pages.max.load(Ordering::SeqCst));
            assert!(total <= max, "d{id} has {total} frames of {max}");
        }
    }

    /// What every domain has mapped is counted at the grants, and nothing else is; page tables map no more than that.
    fn check_grants(&self) {
        let mut uses: BTreeMap<(DomId, u32), [[u16; 2]; 2]> = BTreeMap::new();
        for id in self.ids() {
            let dom = self.dom(id);
            let (mappings, busy) = dom.grants.audit_mappings();
            assert_eq!(busy, 0, "d{id} has handles that are neither free nor in use");
            let mut allowed: BTreeMap<Mfn, [u32; 2]> = BTreeMap::new();
            for mapping in &mappings {
                let counts =
                    &mut uses.entry((mapping.granter, mapping.reference)).or_default()[usize::from(mapping.writable)];
                counts[0] += u16::from(mapping.host);
                counts[1] += u16::from(mapping.device);
                assert!(mapping.host || mapping.device, "d{id} has a handle for nothing: {mapping:?}");
                let [all, writable] = allowed.entry(mapping.frame).or_default();
                *all += u32::from(mapping.host);
                *writable += u32::from(mapping.host && mapping.writable);
            }
            if !dom.privileged && !dom.is_dying() {
                let foreign = self.hv.platform.with_entries(|entries| self.foreign_entries(dom.id, entries));
                for (mfn, [all, writable]) in foreign {
                    if self.given.iter().any(|&(mapper, _, given)| (mapper, given) == (dom.id, mfn)) {
                        continue;
                    }
                    let [may, may_write] = allowed.get(&mfn).copied().unwrap_or_default();
                    assert!(
                        all <= may && writable <= may_write,
                        "d{id} maps {mfn:?} {all} times ({writable} writable), granted were {may} ({may_write})"
                    );
                }
            }
        }
        for id in self.ids() {
            for (reference, counted) in self.dom(id).grants.audit_uses() {
                let found = uses.remove(&(DomId(id), reference)).unwrap_or_default();
                assert_eq!(counted, found, "uses of d{id}'s grant {reference}: read and write, by CPU and device");
            }
        }
        let lost: Vec<_> = uses.keys().filter(|(granter, _)| self.hv.domains.get(*granter).is_some()).collect();
        assert!(lost.is_empty(), "mapped but not counted: {lost:?}");
    }

    /// How often a domain's valid tables map each frame of another one, and how often writable.
    fn foreign_entries(&self, mapper: DomId, entries: &[Vec<(usize, Pte)>]) -> BTreeMap<Mfn, [u32; 2]> {
        let frames = &self.hv.frames;
        let mut found: BTreeMap<Mfn, [u32; 2]> = BTreeMap::new();
        for table in (RAM..FRAMES).map(Mfn) {
            if frames.owner(table) != Some(mapper)
                || frames.type_count(table).0 != FrameType::L1
                || !frames.is_validated(table)
            {
                continue;
            }
            for &(_, entry) in &entries[table.0 as usize] {
                if let FrameKind::Owned(owner) = frames.kind(entry.mfn())
                    && owner != mapper
                {
                    let [all, writable] = found.entry(entry.mfn()).or_default();
                    *all += 1;
                    *writable += u32::from(entry.writable());
                }
            }
        }
        found
    }

    /// Both ends of a connection name each other, and ports in use are counted.
    fn check_ports(&self) {
        let ports: BTreeMap<u16, BTreeMap<u32, Binding>> = self
            .ids()
            .into_iter()
            .map(|id| {
                let (ports, active) = audit_ports(&self.dom(id));
                assert_eq!(ports.len() as u32, active, "ports of d{id}: {ports:?}");
                (id, ports.into_iter().collect())
            })
            .collect();
        for (&id, own) in &ports {
            for (&number, &binding) in own {
                let Binding::Interdomain { remote, port } = binding else { continue };
                let back = ports.get(&remote.0).and_then(|ports| ports.get(&port)).copied();
                let expected = Binding::Interdomain { remote: DomId(id), port: number };
                assert_eq!(back, Some(expected), "the other end of d{id}'s port {number}, d{}'s {port}", remote.0);
            }
        }
    }
}
