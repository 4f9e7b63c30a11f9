//! What must hold after every step.

use super::World;
use super::world::{FRAMES, RAM};
use crate::platform::hypervisor_slot;
use ferroxen_core::addr::Mfn;
use ferroxen_core::domain::DomId;
use ferroxen_core::evtchn;
use ferroxen_core::frame::{FrameKind, FrameType};
use ferroxen_core::paging::entry::{GLOBAL, GUEST_KERNEL, HYPERVISOR_SLOTS, PAT_OR_PSE, USER};
use ferroxen_core::paging::{Pte, fix_up_descriptor};
use std::sync::atomic::Ordering;

/// What was found by walking: references, and uses by type.
#[derive(Clone, Copy, Default, Debug)]
struct Found {
    references: u32,
    uses: [u32; FrameType::Writable as usize + 1],
}

impl World {
    /// Checks everything.
    ///
    /// # Panics
    /// When something does not hold.
    pub fn check(&self) {
        self.hv.platform.with_entries(|entries| self.check_counts(entries));
        self.check_owners();
        self.check_tlbs();
    }

    fn entry(&self, table: Mfn, index: usize) -> Pte {
        Pte(self.hv.platform.word(table, index))
    }

    /// Every reference and every use that exists is counted, and none else.
    fn check_counts(&self, entries: &[Vec<(usize, Pte)>]) {
        let frames = &self.hv.frames;
        let mut found = [Found::default(); FRAMES as usize];
        let mut add = |mfn: Mfn, ty: FrameType| {
            let Some(found) = found.get_mut(mfn.0 as usize) else { return };
            found.references += 1;
            if ty != FrameType::None {
                found.uses[ty as usize] += 1;
            }
        };
        for vcpu in &self.vcpus {
            for root in [vcpu.pv.kernel_root, vcpu.pv.user_root] {
                add(root.mfn(), FrameType::L4);
            }
            vcpu.pv.gdt_frames.iter().chain(&vcpu.pv.ldt_frames).for_each(|&mfn| add(mfn, FrameType::SegDesc));
        }
        for dom in self.ids().into_iter().map(|id| self.dom(id)) {
            for mapping in dom.grants.audit_mappings().0.iter().filter(|mapping| mapping.device) {
                add(mapping.frame, if mapping.writable { FrameType::Writable } else { FrameType::None });
            }
            evtchn::audit_frames(&dom).into_iter().for_each(|mfn| add(mfn, FrameType::Writable));
            for vcpu in dom.vcpus() {
                add(Mfn(vcpu.info_frame.load(Ordering::SeqCst)), FrameType::Writable);
                let saved = vcpu.saved.lock();
                for root in [saved.pv.kernel_root, saved.pv.user_root] {
                    add(root.mfn(), FrameType::L4);
                }
                saved.pv.gdt_frames.iter().for_each(|&mfn| add(mfn, FrameType::SegDesc));
            }
        }
        for held in &self.held {
            add(held.frame.mfn(), held.used.as_ref().map_or(FrameType::None, |used| used.ty()));
        }
        for mfn in (RAM..FRAMES).map(Mfn) {
            let FrameKind::Owned(owner) = frames.kind(mfn) else { continue };
            let (ty, uses) = frames.type_count(mfn);
            assert!(!frames.is_locked(mfn), "{mfn:?} stays locked");
            if frames.is_pinned(mfn) {
                add(mfn, ty);
            }
            let held = match frames.parked(mfn) {
                Some(held) => usize::from(held),
                None if frames.is_validated(mfn) && uses != 0 => 512,
                None => continue,
            };
            if frames.parked(mfn).is_some() && uses == 0 {
                add(mfn, FrameType::None);
            }
            let level = ty.level();
            if level == 4 && held == 512 {
                for index in HYPERVISOR_SLOTS {
                    let entry = self.entry(mfn, index);
                    assert!(entry.0 == hypervisor_slot(index), "slot {index} of {mfn:?} is {entry:?}");
                }
            }
            for &(index, entry) in if level == 0 { &[][..] } else { &entries[mfn.0 as usize] } {
                if index >= held || level == 4 && HYPERVISOR_SLOTS.contains(&index) {
                    continue;
                }
                let child = entry.mfn();
                assert!(entry.has(USER), "{mfn:?}[{index}] {entry:?}");
                if level == 1 {
                    assert_ne!(entry.has(GLOBAL), entry.has(GUEST_KERNEL), "{mfn:?}[{index}] {entry:?}");
                    if let FrameKind::Owned(whose) = frames.kind(child) {
                        assert!(
                            whose == owner || self.may_map(owner, whose, child),
                            "{owner:?} maps {child:?} of {whose:?} at {mfn:?}[{index}]"
                        );
                        add(child, if entry.writable() { FrameType::Writable } else { FrameType::None });
                    } else {
                        assert!(child.0 >= FRAMES && owner == DomId(0), "{mfn:?}[{index}] leads to {child:?}");
                        assert!(!entry.writable() || !(0x8000..0x8010).contains(&child.0), "read-only I/O memory");
                    }
                } else {
                    assert!(!entry.has(PAT_OR_PSE), "{mfn:?}[{index}] {entry:?}");
                    assert_eq!(frames.owner(child), Some(owner), "{mfn:?}[{index}] {entry:?}");
                    if child == mfn {
                        continue;
                    }
                    let linear = frames.type_count(child).0.level() == level;
                    add(child, FrameType::of_level(if linear { level } else { level - 1 }));
                }
            }
        }
        for mfn in (RAM..FRAMES).map(Mfn) {
            let FrameKind::Owned(owner) = frames.kind(mfn) else { continue };
            let found = &found[mfn.0 as usize];
            let (ty, uses) = frames.type_count(mfn);
            let allocated = frames.references(mfn).wrapping_sub(found.references);
            assert!(
                allocated <= 1,
                "{mfn:?} of {owner:?}: {} references, found {}, as {ty:?} {uses}, {:?}",
                frames.references(mfn),
                found.references,
                found.uses
            );
            assert!(allocated == 1 || found.references != 0, "{mfn:?} is nobody's");
            let mut as_counted = [0; FrameType::Writable as usize + 1];
            as_counted[ty as usize] = uses;
            assert_eq!(as_counted, found.uses, "{mfn:?} is used as {ty:?} {uses}, found by type were {:?}", found.uses);
            assert!(uses == 0 || frames.is_validated(mfn) || frames.parked(mfn).is_some(), "{mfn:?}: {ty:?} not valid");
            if ty == FrameType::SegDesc && uses != 0 {
                // What the processor would use is checked, whatever the guest did.
                for descriptor in self.hv.platform.words(mfn).filter(|&word| word != 0) {
                    assert_eq!(fix_up_descriptor(descriptor), Some(descriptor), "{mfn:?}");
                }
            }
            assert!(
                !frames.is_shared(mfn) || !(ty.is_table() || ty == FrameType::SegDesc),
                "{mfn:?} is the hypervisor's"
            );
        }
    }

    /// Whether `mapper` may map `owner`'s frame.
    fn may_map(&self, mapper: DomId, owner: DomId, mfn: Mfn) -> bool {
        mapper == owner || mapper == DomId(0) || self.claims.contains(&(mapper, owner, mfn))
    }

    /// Free and owned frames are all frames, and each domain's are counted.
    fn check_owners(&self) {
        let mut free = 0;
        self.hv.heap.check(&self.hv.frames, |_, order| free += 1u64 << order);
        let (mut owned, mut ours) = (0, 0);
        let mut own = [(DomId(0), 0); FRAMES as usize];
        for mfn in (RAM..FRAMES).map(Mfn) {
            match self.hv.frames.kind(mfn) {
                FrameKind::Owned(owner) => {
                    owned += 1;
                    own[mfn.0 as usize] = (owner, u64::from(!self.hv.frames.is_shared(mfn)));
                }
                FrameKind::Hypervisor => ours += 1,
                FrameKind::Blank | FrameKind::FreeBlock => {}
            }
        }
        assert_eq!(free + owned + ours, FRAMES - RAM);
        for id in self.ids() {
            let total = self.dom(id).pages.total.load(Ordering::SeqCst);
            let counted: u64 = own.iter().filter(|(owner, _)| *owner == DomId(id)).map(|(_, own)| own).sum();
            assert_eq!(total, counted, "d{id}'s frames");
        }
    }

    /// No CPU can reach what it must not, whatever it remembers.
    fn check_tlbs(&self) {
        let frames = &self.hv.frames;
        self.hv.platform.with_tlbs(|tlbs| {
            for (cpu, tlb) in tlbs.iter().enumerate() {
                if let Some((dom, root)) = tlb.root() {
                    assert_eq!(frames.owner(root), Some(dom), "CPU {cpu} runs on {root:?}");
                    assert_eq!(frames.type_count(root).0, FrameType::L4, "CPU {cpu} runs on {root:?}");
                    assert!(frames.type_count(root).1 != 0, "CPU {cpu} runs on {root:?}, which nobody uses");
                }
                for step in tlb.steps.iter() {
                    let (ty, uses) = frames.type_count(step.mfn);
                    match frames.kind(step.mfn) {
                        FrameKind::Owned(owner) => {
                            assert_eq!(owner, step.dom, "CPU {cpu} walks through {step:?}");
                            let level = ty.level() == step.level;
                            assert!(level || uses == 0 || linear(ty, step.level), "CPU {cpu}: {step:?} is {ty:?}");
                        }
                        FrameKind::Blank | FrameKind::FreeBlock => {}
                        FrameKind::Hypervisor => panic!("CPU {cpu} walks through {step:?}"),
                    }
                }
                for leaf in tlb.leaves.iter() {
                    if leaf.mfn.0 >= FRAMES {
                        assert!(leaf.dom == DomId(0), "CPU {cpu}: {leaf:?}");
                        continue;
                    }
                    match frames.kind(leaf.mfn) {
                        FrameKind::Owned(owner) => {
                            assert!(self.may_map(leaf.dom, owner, leaf.mfn), "CPU {cpu}: {leaf:?} is {owner:?}'s");
                            let (ty, uses) = frames.type_count(leaf.mfn);
                            let writable_now = ty == FrameType::Writable || ty == FrameType::None;
                            assert!(
                                !leaf.writable || uses == 0 && frames.parked(leaf.mfn).is_none() || writable_now,
                                "CPU {cpu} can write to {ty:?} {leaf:?}"
                            );
                        }
                        FrameKind::Blank | FrameKind::FreeBlock => {}
                        FrameKind::Hypervisor => panic!("CPU {cpu}: {leaf:?} is the hypervisor's"),
                    }
                }
            }
        });
    }
}

/// A walk that comes through a linear table sees tables one level higher than they are used there: harmless, because
/// its last step then shows a table, read-only.
fn linear(ty: FrameType, level: u32) -> bool {
    ty.level() > level
}
