//! Grants between three domains with real page tables, on the machine of `testing`.

mod copy;
mod entries;
mod map;
mod model;
mod setup;
mod teardown;
mod threads;
mod transfer;
mod unmap;
mod version;

use super::*;
use crate::addr::{Mfn, Vaddr};
use crate::cpu::CpuId;
use crate::domain::{DomId, Domain};
use crate::frame::FrameType;
use crate::hypercall::{HypercallResult, Stop};
use crate::paging::entry::{ACCESSED, DIRTY, PRESENT, USER, WRITABLE};
use crate::paging::{Pte, mmu_update, mmuext_op};
use crate::platform::Platform;
use crate::pv::{IN_KERNEL, PvState};
use crate::testing::{GUEST_BASE, TestWorld};
use core::sync::atomic::Ordering;
use ferroxen_sync::{Shared, SharedPage};
use xen_abi::grant_table::*;
use xen_abi::xen::*;
use xen_abi::{Errno, GuestPtr};
use zerocopy::{FromBytes, Immutable, IntoBytes};

const ARGS: u64 = GUEST_BASE + 0x4000;
const LIST: u64 = GUEST_BASE + 0x100;
const FRAMES: u64 = 512;

/// Domains 0 (privileged), 1 and 2.
fn world() -> TestWorld {
    let world = TestWorld::new(FRAMES as usize, &[(16, FRAMES - 16)]);
    let dom = Shared::try_new(Domain::try_new(DomId(2), 1, false).unwrap()).ok().unwrap();
    dom.pages.max.store(u64::MAX, Ordering::SeqCst);
    dom.create_vcpu(0).unwrap();
    assert!(world.hv.domains.insert(dom).is_ok());
    world
}

/// A domain whose page tables run: root, level 3, level 2, level 1 (of the first 2 MiB).
struct Guest<'w> {
    world: &'w TestWorld,
    id: u16,
    pv: PvState,
    tables: [Mfn; 4],
}

fn address(index: usize) -> u64 {
    index as u64 * 4096
}

impl<'w> Guest<'w> {
    fn new(world: &'w TestWorld, id: u16) -> Self {
        world.dom(id).dirty_cpus.set(CpuId(0));
        let mut guest =
            Guest { world, id, pv: PvState { flags: IN_KERNEL, ..PvState::default() }, tables: [Mfn(0); 4] };
        guest.tables = core::array::from_fn(|_| guest.frame());
        for pair in guest.tables.windows(2) {
            guest.page(pair[0]).store_u64(0, Pte::new(pair[1], PRESENT | WRITABLE | USER).0);
        }
        for cmd in [MMUEXT_PIN_L4_TABLE, MMUEXT_NEW_BASEPTR] {
            world.platform().poke(ARGS, &MmuextOp { cmd, arg1: guest.tables[0].0, ..Default::default() });
            let all = [ARGS, 1, 0, u64::from(DOMID_SELF)];
            world
                .call_with(id, &mut guest.pv, |ctx| mmuext_op(ctx, Vaddr(all[0]), all[1], Vaddr(0), all[3]))
                .0
                .unwrap();
        }
        guest
    }
    fn dom(&self) -> Shared<Domain<crate::testing::TestPlatform>> {
        self.world.dom(self.id)
    }
    fn page(&self, mfn: Mfn) -> &'w SharedPage {
        self.world.hv.platform.page(mfn)
    }
    /// A new frame of its own.
    fn frame(&self) -> Mfn {
        self.world.hv.alloc_for(CpuId(0), &self.dom(), 0, 0, false).unwrap()
    }
    /// Level-1 entry `index`.
    fn entry(&self, index: usize) -> Pte {
        Pte(self.page(self.tables[3]).load_u64(index * 8))
    }
    /// The machine address of level-1 entry `index`.
    fn entry_address(&self, index: usize) -> u64 {
        self.tables[3].maddr().0 + index as u64 * 8
    }
    /// Writes a level-1 entry through `mmu_update`.
    fn set_entry(&mut self, index: usize, entry: u64) -> HypercallResult {
        self.world.platform().poke(ARGS, &MmuUpdate { ptr: self.entry_address(index), val: entry });
        self.world
            .call_with(self.id, &mut self.pv, |ctx| mmu_update(ctx, Vaddr(ARGS), 1, Vaddr(0), u64::from(DOMID_SELF)))
            .0
    }
    /// One call, with the arguments as they are in the guest.
    fn call(&mut self, args: [u64; 3]) -> HypercallResult {
        self.world.call_with(self.id, &mut self.pv, |ctx| grant_table_op(ctx, args[0], Vaddr(args[1]), args[2])).0
    }
    /// Makes the hypercall, again and again until it is done; gives the requests as they are then.
    fn ops<T: FromBytes + IntoBytes + Immutable + Clone>(&mut self, cmd: u32, ops: &[T]) -> (HypercallResult, Vec<T>) {
        self.world.platform().poke(ARGS, ops);
        let mut args = [cmd.into(), ARGS, ops.len() as u64];
        let result = loop {
            match self.call(args) {
                Err(Stop::Again([a, b, c, 0, 0, 0])) => {
                    args = [a, b, c];
                    self.world.platform().polls_left.fetch_max(1, Ordering::SeqCst);
                }
                result => break result,
            }
        };
        let size = size_of::<T>() as u64;
        (result, (0..ops.len() as u64).map(|n| self.world.platform().peek(ARGS + n * size)).collect())
    }
    /// A single request that the hypercall accepts.
    fn op<T: FromBytes + IntoBytes + Immutable + Clone>(&mut self, cmd: u32, op: T) -> T {
        let (result, ops) = self.ops(cmd, &[op]);
        assert_eq!(result, Ok(0));
        ops[0].clone()
    }
    /// Sets its table up with `frames` frames.
    fn setup(&mut self, nr_frames: u32) -> Vec<Mfn> {
        let op = GnttabSetupTable { dom: DOMID_SELF, nr_frames, frame_list: GuestPtr::new(LIST), ..Default::default() };
        assert_eq!(self.op(GNTTABOP_setup_table, op).status, GNTST_okay);
        (0..u64::from(nr_frames)).map(|n| Mfn(self.world.platform().peek(LIST + n * 8))).collect()
    }
    fn shared(&self, reference: u32) -> (&'w SharedPage, usize) {
        let (version, _) = self.dom().grants.size();
        let size = if version == 2 { 16 } else { 8 };
        let at = reference as usize * size;
        let frame = self.dom().grants.inner.lock().shared[at / 4096];
        (self.page(frame), at % 4096)
    }
    /// Writes a version 1 entry.
    fn grant(&self, reference: u32, to: u16, mfn: Mfn, flags: u16) {
        let (page, at) = self.shared(reference);
        page.store_u32(at + 4, mfn.0 as u32);
        page.store_u32(at, u32::from(flags) | u32::from(to) << 16);
    }
    /// Flags of an entry.
    fn flags(&self, reference: u32) -> u16 {
        let (page, at) = self.shared(reference);
        page.load_u16(at)
    }
    /// Maps a grant; gives status and handle.
    fn map(&mut self, dom: u16, reference: u32, host_addr: u64, flags: u32) -> (i16, u32) {
        let op = GnttabMapGrantRef { host_addr, flags, r#ref: reference, dom, ..Default::default() };
        let op = self.op(GNTTABOP_map_grant_ref, op);
        (op.status, op.handle)
    }
    fn unmap(&mut self, handle: u32, host_addr: u64, dev_bus_addr: u64) -> i16 {
        let op = GnttabUnmapGrantRef { handle, host_addr, dev_bus_addr, ..Default::default() };
        self.op(GNTTABOP_unmap_grant_ref, op).status
    }
    /// References and uses of a frame.
    fn counts(&self, mfn: Mfn) -> (u32, (FrameType, u32)) {
        (self.world.hv.frames.references(mfn), self.world.hv.frames.type_count(mfn))
    }
}

/// Granter (domain 1, one frame of entries) and grantee (domain 2), and a frame of the granter's.
fn pair(world: &TestWorld) -> (Guest<'_>, Guest<'_>, Mfn) {
    let mut granter = Guest::new(world, 1);
    let grantee = Guest::new(world, 2);
    granter.setup(1);
    let frame = granter.frame();
    (granter, grantee, frame)
}

const HOST: u32 = GNTMAP_host_map;
const RO: u32 = GNTMAP_host_map | GNTMAP_readonly;
