//! What holds of PV page tables, on the machine of `testing`.

mod batch;
mod descriptors;
mod foreign;
mod mapping;
mod preemption;
mod safe_points;
mod tables;

use super::entry::*;
use super::*;
use crate::addr::{Mfn, Vaddr};
use crate::ctx::{Ctx, Effects};
use crate::domain::DomId;
use crate::frame::{FrameKind, FrameType, IoRanges};
use crate::hypercall::{HypercallResult, Stop};
use crate::memory::heap::Request;
use crate::platform::Platform;
use crate::pv::{IN_KERNEL, PvState};
use crate::testing::{GUEST_BASE, TestPlatform, TestWorld};
use core::sync::atomic::Ordering;
use xen_abi::Errno;
use xen_abi::xen::*;

/// Flags of an ordinary user mapping.
const RW: u64 = PRESENT | WRITABLE | USER;
const RO: u64 = PRESENT | USER;
/// Not executable: the guest's own affair.
const NO_EXECUTE: u64 = 1 << 63;

/// A guest: domain `id` of the world, with the state of its vcpu.
struct Guest<'w> {
    world: &'w TestWorld,
    id: u16,
    pv: PvState,
    effects: Effects,
}

fn world() -> TestWorld {
    let mut world = TestWorld::new(256, &[(16, 200)]);
    world.hv.frames.io = IoRanges::new(Mfn(0x1000));
    assert!(world.hv.frames.io.restrict(Mfn(1), Mfn(240), false));
    assert!(world.hv.frames.io.restrict(Mfn(0xfee), Mfn(0xfef), false));
    assert!(world.hv.frames.io.restrict(Mfn(0xfed), Mfn(0xfee), true));
    world
}

impl<'w> Guest<'w> {
    fn new(world: &'w TestWorld, id: u16) -> Self {
        world.dom(id).dirty_cpus.set(crate::cpu::CpuId(0));
        Guest { world, id, pv: PvState { flags: IN_KERNEL, ..PvState::default() }, effects: Effects::default() }
    }
    fn call<R>(&mut self, f: impl FnOnce(&mut Ctx<'_, TestPlatform>) -> R) -> R {
        let (result, effects) = self.world.call_with(self.id, &mut self.pv, f);
        self.effects = effects;
        result
    }
    /// A new frame of its own, of zeroes.
    fn frame(&self) -> Mfn {
        let mfn = self.world.hv.alloc_frames(crate::cpu::CpuId(0), Request::default()).unwrap();
        self.world.hv.frames.assign(mfn, DomId(self.id)).unwrap();
        self.world.dom(self.id).pages.total.fetch_add(1, Ordering::SeqCst);
        mfn
    }
    /// Writes an entry as the guest itself writes its memory.
    fn poke(&self, table: Mfn, index: usize, entry: Pte) {
        self.world.hv.platform.page(table).store_u64(index * 8, entry.0);
    }
    fn peek(&self, table: Mfn, index: usize) -> Pte {
        Pte(self.world.hv.platform.page(table).load_u64(index * 8))
    }
    /// A root whose slot 0 leads down to a level-1 table: root, level 3, level 2, level 1.
    fn tree(&self) -> [Mfn; 4] {
        let tables = [self.frame(), self.frame(), self.frame(), self.frame()];
        for pair in tables.windows(2) {
            self.poke(pair[0], 0, Pte::new(pair[1], RW));
        }
        tables
    }
    /// The tree, pinned and running.
    fn running(&mut self) -> [Mfn; 4] {
        let tables = self.tree();
        self.ext(MMUEXT_PIN_L4_TABLE, tables[0].0, 0).unwrap();
        self.ext(MMUEXT_NEW_BASEPTR, tables[0].0, 0).unwrap();
        tables
    }
    fn ext_for(&mut self, foreign: u64, cmd: u32, arg1: u64, arg2: u64) -> HypercallResult {
        let op = MmuextOp { cmd, arg1, arg2, ..Default::default() };
        self.world.platform().poke(GUEST_BASE, &op);
        self.resume([GUEST_BASE, 1, 0, foreign, 0, 0], |ctx, a| mmuext_op(ctx, Vaddr(a[0]), a[1], Vaddr(a[2]), a[3]))
    }
    fn ext(&mut self, cmd: u32, arg1: u64, arg2: u64) -> HypercallResult {
        self.ext_for(u64::from(DOMID_SELF), cmd, arg1, arg2)
    }
    /// Makes a hypercall, and makes it again for as long as it is interrupted.
    fn resume(
        &mut self,
        mut args: [u64; 6],
        f: impl Fn(&mut Ctx<'_, TestPlatform>, [u64; 6]) -> HypercallResult,
    ) -> HypercallResult {
        for _ in 0..100_000 {
            match self.call(|ctx| f(ctx, args)) {
                Err(Stop::Again(again)) => args = again,
                result => return result,
            }
        }
        panic!("no progress");
    }
    fn update_for(&mut self, foreign: u64, requests: &[(u64, u64)]) -> (HypercallResult, u32) {
        for (at, &(ptr, val)) in requests.iter().enumerate() {
            self.world.platform().poke(GUEST_BASE + 64 + at as u64 * 16, &MmuUpdate { ptr, val });
        }
        self.world.platform().poke(GUEST_BASE, &77u32);
        let args = [GUEST_BASE + 64, requests.len() as u64, GUEST_BASE, foreign, 0, 0];
        let result = self.resume(args, |ctx, a| mmu_update(ctx, Vaddr(a[0]), a[1], Vaddr(a[2]), a[3]));
        (result, self.world.platform().peek(GUEST_BASE))
    }
    fn update(&mut self, requests: &[(u64, u64)]) -> (HypercallResult, u32) {
        self.update_for(u64::from(DOMID_SELF), requests)
    }
    /// One entry, through `mmu_update`.
    fn set(&mut self, table: Mfn, index: usize, entry: Pte) -> HypercallResult {
        self.update(&[(at(table, index), entry.0)]).0
    }
    fn type_of(&self, mfn: Mfn) -> (FrameType, u32) {
        self.world.hv.frames.type_count(mfn)
    }
    fn references(&self, mfn: Mfn) -> u32 {
        self.world.hv.frames.references(mfn)
    }
    /// Nothing uses the frame but its allocation.
    #[track_caller]
    fn assert_idle(&self, frames: &[Mfn]) {
        for &mfn in frames {
            assert_eq!((self.type_of(mfn).1, self.references(mfn)), (0, 1), "{mfn:?}");
        }
    }
}

fn at(table: Mfn, index: usize) -> u64 {
    table.maddr().0 + index as u64 * 8
}

const EINVAL: HypercallResult = Err(Stop::Err(Errno::EINVAL));
const EBUSY: HypercallResult = Err(Stop::Err(Errno::EBUSY));
const EPERM: HypercallResult = Err(Stop::Err(Errno::EPERM));
const ESRCH: HypercallResult = Err(Stop::Err(Errno::ESRCH));
const EFAULT: HypercallResult = Err(Stop::Err(Errno::EFAULT));
const ENOSYS: HypercallResult = Err(Stop::Err(Errno::ENOSYS));
