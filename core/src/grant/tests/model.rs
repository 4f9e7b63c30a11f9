//! Random sequences of maps, unmaps, overwrites and copies against what must always hold: a frame's references are its
//! allocation, the entries that map it and the devices that use it; a grant's marks are its handles.

use super::*;
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Op {
    Grant { reference: u32, frame: usize, flags: u16 },
    Map { reference: u32, slot: usize, flags: u32, by_entry: bool },
    Unmap { handle: u32, slot: usize, device: usize },
    Replace { handle: u32, slot: usize, from: usize },
    Overwrite { slot: usize },
    Copy { reference: u32, back: bool },
}

fn op() -> impl Strategy<Value = Op> {
    let (reference, slot, handle) = (0..4u32, 1..5usize, 0..6u32);
    let flags = prop_oneof![
        4 => Just(GTF_permit_access), 2 => Just(GTF_permit_access | GTF_readonly), 1 => Just(GTF_invalid), 1 => any::<u16>(),
    ];
    prop_oneof![
        2 => (reference.clone(), 0..3usize, flags).prop_map(|(reference, frame, flags)| Op::Grant { reference, frame, flags }),
        5 => (reference.clone(), slot.clone(), 0..8u32, any::<bool>())
            .prop_map(|(reference, slot, flags, by_entry)| Op::Map { reference, slot, flags, by_entry }),
        5 => (handle.clone(), slot.clone(), 0..4usize)
            .prop_map(|(handle, slot, device)| Op::Unmap { handle, slot, device }),
        1 => (handle, slot.clone(), slot.clone()).prop_map(|(handle, slot, from)| Op::Replace { handle, slot, from }),
        1 => slot.prop_map(|slot| Op::Overwrite { slot }),
        2 => (reference, any::<bool>()).prop_map(|(reference, back)| Op::Copy { reference, back }),
    ]
}

struct State<'w> {
    granter: Guest<'w>,
    grantee: Guest<'w>,
    frames: [Mfn; 3],
    own: Mfn,
}

impl State<'_> {
    fn run(&mut self, op: Op) {
        match op {
            Op::Grant { reference, frame, flags } => {
                // An honest granter: an entry in use is left alone.
                if self.granter.flags(reference) & (GTF_reading | GTF_writing) == 0 {
                    let flags = flags & !(GTF_reading | GTF_writing);
                    self.granter.grant(reference, 2, self.frames[frame], flags);
                }
            }
            Op::Map { reference, slot, flags, by_entry } => {
                if by_entry {
                    let at = self.grantee.entry_address(slot);
                    self.grantee.map(1, reference, at, flags | GNTMAP_contains_pte);
                } else {
                    self.grantee.map(1, reference, address(slot), flags);
                }
            }
            Op::Unmap { handle, slot, device } => {
                let bus = self.frames.get(device).map_or(0, |frame| frame.maddr().0);
                self.grantee.unmap(handle, address(slot), bus);
                let at = self.grantee.entry_address(slot);
                self.grantee.unmap(handle, at, 0);
            }
            Op::Replace { handle, slot, from } => {
                let (host_addr, new_addr) = (address(slot), address(from));
                let op = GnttabUnmapAndReplace { host_addr, new_addr, handle, ..Default::default() };
                self.grantee.op(GNTTABOP_unmap_and_replace, op);
            }
            Op::Overwrite { slot } => self.grantee.set_entry(slot, 0).map(drop).unwrap(),
            Op::Copy { reference, back } => {
                let grant = GnttabCopyPtr { u: reference.into(), domid: 1, ..Default::default() };
                let own = GnttabCopyPtr { u: self.own.0, domid: DOMID_SELF, ..Default::default() };
                let (source, dest, flags) =
                    if back { (own, grant, GNTCOPY_dest_gref) } else { (grant, own, GNTCOPY_source_gref) };
                self.grantee.op(GNTTABOP_copy, GnttabCopy { source, dest, len: 64, flags, ..Default::default() });
            }
        }
    }

    fn check(&self) {
        let dom = self.grantee.dom();
        let mut mappings = Vec::new();
        {
            let mut track = dom.grants.maptrack.lock();
            for handle in 0..track.end() {
                if let Ok(mapping) = track.take(handle) {
                    track.set(handle, mapping);
                    mappings.push(mapping);
                }
            }
            assert_eq!(track.used() as usize, mappings.len());
        }
        for &frame in &self.frames {
            let entries: Vec<_> =
                (0..8).map(|slot| self.grantee.entry(slot)).filter(|e| e.present() && e.mfn() == frame).collect();
            let devices = mappings.iter().filter(|mapping| mapping.device && mapping.frame == frame);
            let (references, (_, uses)) = self.granter.counts(frame);
            assert_eq!(references as usize, 1 + entries.len() + devices.clone().count());
            let writable = entries.iter().filter(|entry| entry.writable()).count();
            assert_eq!(uses as usize, writable + devices.filter(|mapping| mapping.writable).count());
        }
        for reference in 0..4 {
            let of = mappings.iter().filter(|mapping| mapping.reference == reference);
            let (any, written) = of.fold((false, false), |(_, w), mapping| (true, w || mapping.writable));
            let flags = self.granter.flags(reference);
            if matches!(flags & GTF_type_mask, GTF_permit_access) {
                assert_eq!((flags & GTF_reading != 0, flags & GTF_writing != 0), (any, written), "{reference}");
            } else {
                assert!(!any);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn counts_and_marks_always_agree_with_entries_and_handles(ops in proptest::collection::vec(op(), 1..50)) {
        let world = world();
        let (granter, grantee, frame) = pair(&world);
        let frames = [frame, granter.frame(), granter.frame()];
        let own = grantee.frame();
        let mut state = State { granter, grantee, frames, own };
        for op in ops {
            state.run(op);
            state.check();
        }
    }
}
