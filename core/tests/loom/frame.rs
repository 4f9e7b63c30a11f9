//! What `core/src/frame` promises when two CPUs work on one frame.

use super::machine::{Machine, NOW, frames};
use super::model;
use ferroxen_core::addr::Mfn;
use ferroxen_core::cpu::{CpuId, CpuMask};
use ferroxen_core::domain::DomId;
use ferroxen_core::frame::{FrameError, FrameRef, FrameTable, FrameType, GetType, PutType, TypeRef};
use ferroxen_core::platform::Platform;
use loom::sync::Arc;
use loom::thread;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

const A: DomId = DomId(1);
const B: DomId = DomId(2);
const F: Mfn = Mfn(5);

/// Who uses the frame now. No part of what is modelled: threads change only where they touch what is.
type Users = Mutex<Vec<FrameType>>;

struct World {
    frames: FrameTable,
    machine: Machine,
    users: Users,
}

fn world() -> Arc<World> {
    Arc::new(World { frames: frames(A), machine: Machine::new(), users: Users::default() })
}

impl World {
    /// One use as `ty`, as `paging` gets it; `None`: it is something else now.
    fn get(&self, frame: &FrameRef, ty: FrameType) -> Option<TypeRef> {
        match self.frames.get_type(frame, ty) {
            Err(error) => {
                assert_eq!(error, FrameError::Busy);
                None
            }
            Ok(GetType::Have(used)) => Some(used),
            Ok(GetType::Locked(locked)) => {
                let ready = locked.leftover().unwrap_or_else(|_| panic!("nothing was interrupted"));
                let all = || CpuMask::one(CpuId(0));
                let (flushed, _) = ready.flush(&self.frames, &self.machine, CpuId(0), all);
                self.alone();
                let (used, spare) = flushed.publish(&self.frames);
                assert!(spare.is_none());
                Some(used)
            }
        }
    }

    /// Nobody uses the frame while its type is changed.
    fn alone(&self) {
        assert_eq!(*self.users.lock().unwrap(), []);
    }

    fn put(&self, used: TypeRef) {
        match self.frames.put_type(used, || self.machine.tlb_stamp()) {
            PutType::Done => {}
            PutType::Devalidate(table) => {
                self.alone();
                assert!(table.complete(&self.frames, || self.machine.tlb_stamp()).is_none());
            }
        }
    }

    /// Uses the frame as `ty` if that can be had.
    fn use_as(&self, ty: FrameType) -> bool {
        let frame = self.frames.get(F, A).unwrap();
        let got = self.get(&frame, ty);
        let had = got.is_some();
        if let Some(used) = got {
            self.users.lock().unwrap().push(ty);
            // Somebody else's turn.
            assert!(self.frames.references(F) >= 2);
            let mut users = self.users.lock().unwrap();
            assert!(users.iter().all(|&other| other == ty), "{users:?} at once");
            let at = users.iter().position(|&other| other == ty).unwrap();
            users.swap_remove(at);
            drop(users);
            self.put(used);
        }
        assert!(self.frames.put(frame).is_none());
        had
    }

    fn unused(&self) {
        assert_eq!((self.frames.references(F), self.frames.type_count(F).1), (1, 0));
        assert!(!self.frames.is_locked(F));
    }
}

fn meet(one: FrameType, other: FrameType) {
    model(3, move || {
        let world = world();
        let theirs = world.clone();
        let thread = thread::spawn(move || theirs.use_as(other));
        let mine = world.use_as(one);
        let theirs = thread.join().unwrap();
        assert!(mine || theirs, "one of two gets it");
        assert!(one != other || (mine && theirs), "both get what both want");
        world.unused();
    });
}

#[test]
fn a_frame_is_never_writable_and_a_table() {
    meet(FrameType::Writable, FrameType::L1);
}

#[test]
fn a_frame_is_never_a_table_of_two_levels() {
    meet(FrameType::L2, FrameType::L1);
}

#[test]
fn a_frame_is_never_writable_and_descriptors() {
    meet(FrameType::SegDesc, FrameType::Writable);
}

#[test]
fn two_cpus_make_one_table_valid_once() {
    meet(FrameType::L1, FrameType::L1);
}

#[test]
fn two_cpus_map_one_frame_writable() {
    meet(FrameType::Writable, FrameType::Writable);
}

/// The one who changes the type must see when the last use ended, or it trusts a flush from before that.
#[test]
fn the_last_writer_s_stamp_is_seen_by_whoever_takes_the_frame() {
    model(3, || {
        let world = world();
        let frame = world.frames.get(F, A).unwrap();
        let used = world.get(&frame, FrameType::Writable).unwrap();
        let theirs = world.clone();
        let thread = thread::spawn(move || {
            theirs.put(used);
            assert!(theirs.frames.put(frame).is_none());
        });
        let before = world.machine.flushes.load(Ordering::SeqCst);
        if world.use_as(FrameType::L1) {
            assert!(world.machine.flushes.load(Ordering::SeqCst) > before, "a writer of {NOW} is remembered");
        }
        thread.join().unwrap();
        world.unused();
    });
}

#[test]
fn one_cpu_at_a_time_changes_a_table() {
    model(3, || {
        let world = world();
        let frame = world.frames.get(F, A).unwrap();
        let used = world.get(&frame, FrameType::L1).unwrap();
        let change = |world: &World| {
            let frame = world.frames.get(F, A).unwrap();
            if let Some(guard) = world.frames.lock_table(&frame) {
                world.alone();
                world.users.lock().unwrap().push(FrameType::L1);
                assert!(world.frames.is_locked(F));
                world.users.lock().unwrap().clear();
                world.frames.unlock_table(guard);
            }
            assert!(world.frames.put(frame).is_none());
        };
        let theirs = world.clone();
        let thread = thread::spawn(move || change(&theirs));
        change(&world);
        // The last use ends meanwhile: not while the table is being changed.
        world.put(used);
        assert!(world.frames.put(frame).is_none());
        thread.join().unwrap();
        world.unused();
    });
}

#[test]
fn of_two_pins_one_holds_and_of_two_unpins_one_frees() {
    model(3, || {
        let world = world();
        let pin = |world: &World| {
            let frame = world.frames.get(F, A).unwrap();
            let used = world.get(&frame, FrameType::L1).unwrap();
            match world.frames.pin(used, frame) {
                Ok(()) => true,
                Err((used, frame)) => {
                    world.put(used);
                    assert!(world.frames.put(frame).is_none());
                    false
                }
            }
        };
        let unpin = |world: &World| {
            let frame = world.frames.get(F, A).unwrap();
            let pinned = world.frames.unpin(&frame);
            let was = pinned.is_some();
            if let Some((used, held)) = pinned {
                world.put(used);
                assert!(world.frames.put(held).is_none());
            }
            assert!(world.frames.put(frame).is_none());
            was
        };
        assert!(pin(&world));
        let theirs = world.clone();
        let thread = thread::spawn(move || (unpin(&theirs), pin(&theirs)));
        let first = unpin(&world);
        let (second, again) = thread.join().unwrap();
        assert!(first || second);
        // Both only if it was pinned again in between, by which it is not any more.
        let pinned = world.frames.is_pinned(F);
        assert_eq!(2, u32::from(first) + u32::from(second) + u32::from(pinned), "{first} {second} {again}");
        if pinned {
            assert!(unpin(&world));
        }
        world.unused();
    });
}

/// Between the end of the last reference and the frame's way to the heap, another CPU found the frame with its old owner and
/// took a reference to it: the frame was freed twice, and a page table could lead to a frame that was another domain's by
/// then. The last reference takes the owner with it.
#[test]
fn the_last_reference_frees_the_frame_once_and_no_sooner() {
    model(3, || {
        let world = world();
        let theirs = world.clone();
        let thread = thread::spawn(move || match theirs.frames.get(F, A) {
            Ok(frame) => {
                assert_eq!(theirs.frames.owner(F), Some(A), "freed while it is referred to");
                theirs.frames.put(frame)
            }
            Err(_) => None,
        });
        let mine = world.frames.release(F, A).unwrap();
        let theirs = thread.join().unwrap();
        assert_ne!(mine.is_some(), theirs.is_some(), "freed once");
        assert_eq!(world.frames.owner(F), None);
    });
}

#[test]
fn a_frame_that_changes_hands_is_nobody_s_reference() {
    model(3, || {
        let world = world();
        let theirs = world.clone();
        let thread = thread::spawn(move || {
            let Ok(frame) = theirs.frames.get(F, A) else { return };
            assert_eq!(theirs.frames.owner(F), Some(A), "it changed hands while it was referred to");
            assert!(theirs.frames.put(frame).is_none());
        });
        match world.frames.take_away(F, A) {
            Ok(taken) => assert_eq!(world.frames.assign(taken.mfn(), B), Ok(())),
            Err(error) => assert_eq!(error, FrameError::Busy),
        }
        thread.join().unwrap();
        assert_eq!(world.frames.references(F), 1);
    });
}

#[test]
fn an_allocation_is_released_once() {
    model(3, || {
        let world = world();
        let held = world.frames.get(F, A).unwrap();
        let theirs = world.clone();
        let thread = thread::spawn(move || theirs.frames.release(F, A).map(|freed| freed.is_some()));
        let mine = world.frames.release(F, A).map(|freed| freed.is_some());
        let theirs = thread.join().unwrap();
        assert_eq!([mine, theirs].iter().filter(|&&result| result == Ok(false)).count(), 1, "{mine:?} {theirs:?}");
        assert_eq!(world.frames.references(F), 1);
        assert!(world.frames.put(held).is_some());
    });
}

/// Work on a table that was interrupted and given up is taken over by one CPU.
#[test]
fn parked_work_is_taken_over_once() {
    model(3, || {
        let world = world();
        let frame = world.frames.get(F, A).unwrap();
        let Ok(GetType::Locked(locked)) = world.frames.get_type(&frame, FrameType::L2) else { panic!("fresh") };
        let ready = locked.leftover().unwrap_or_else(|_| panic!("nothing was interrupted"));
        let (flushed, _) = ready.flush(&world.frames, &world.machine, CpuId(0), || CpuMask::one(CpuId(0)));
        assert!(flushed.park(&world.frames, 7, &frame).is_none());
        assert!(world.frames.put(frame).is_none());
        let take = |world: &World| match world.frames.take_parked(F) {
            Some(work) => {
                assert_eq!(work.held(), 7);
                let spare = work.complete(&world.frames, || NOW).expect("the state's own reference");
                assert!(world.frames.put(spare).is_none());
                1
            }
            None => 0,
        };
        let theirs = world.clone();
        let thread = thread::spawn(move || take(&theirs));
        let mine = take(&world);
        assert_eq!(mine + thread.join().unwrap(), 1);
        world.unused();
    });
}
