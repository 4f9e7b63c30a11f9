//! Three domains on a simulated machine.

use crate::platform::{ARGUMENTS, CPUS, SimPlatform};
use ferroxen_core::addr::{Maddr, Mfn, Vaddr};
use ferroxen_core::cpu::CpuId;
use ferroxen_core::ctx::{Ctx, Effect, Effects};
use ferroxen_core::domain::{DomId, Domain, Hypervisor};
use ferroxen_core::evtchn;
use ferroxen_core::frame::{FrameEntry, FrameRef, FrameTable, FrameType, IoRanges, TypeRef};
use ferroxen_core::grant::Teardown;
use ferroxen_core::hypercall::{HypercallResult, Stop};
use ferroxen_core::memory::heap::Request;
use ferroxen_core::paging::entry::{PRESENT, USER, WRITABLE};
use ferroxen_core::paging::{self, Pte};
use ferroxen_core::platform::{Flush, Platform};
use ferroxen_core::pv::{IN_KERNEL, PvState};
use ferroxen_core::sched::{INITIALISED, UP};
use ferroxen_sync::{Shared, fail};
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use xen_abi::xen::{DOMID_SELF, MMUEXT_NEW_BASEPTR, MMUEXT_PIN_L4_TABLE, MmuUpdate, MmuextOp, VcpuInfo};

/// Frames of the machine.
pub const FRAMES: u64 = 112;
/// The first frame of RAM.
pub const RAM: u64 = 16;
/// Domains: 0 is privileged.
pub const DOMAINS: u16 = 3;
/// Frames that each gets at first.
pub const SHARE: usize = 20;

/// Frame tables are `'static`; a simulation that is over leaves its one for the next.
static TABLES: Mutex<Vec<&'static [FrameEntry]>> = Mutex::new(Vec::new());

/// A vcpu: its domain, number, state, and the CPU that runs it.
pub struct SimVcpu {
    /// Its domain.
    pub dom: u16,
    /// Its number there.
    pub id: u32,
    /// Its state.
    pub pv: PvState,
    /// Where it runs.
    pub cpu: Option<CpuId>,
}

/// References that a domain holds beside its tables, as a grant mapping does.
pub struct Held {
    /// Who may map it.
    pub mapper: u16,
    /// The frame.
    pub frame: FrameRef,
    /// Its use as writable.
    pub used: Option<TypeRef>,
}

/// The machine with its domains.
pub struct World {
    /// The hypervisor.
    pub hv: Hypervisor<SimPlatform>,
    /// All vcpus.
    pub vcpus: Vec<SimVcpu>,
    /// References without an entry.
    pub held: Vec<Held>,
    /// Frames that a domain mapped by right of somebody else's claim: mapper, owner and frame, until the frame is freed.
    pub claims: Vec<(DomId, DomId, Mfn)>,
    /// The same of what the control domain wrote into other domains' tables, which nobody granted.
    pub given: Vec<(DomId, DomId, Mfn)>,
    /// Allocations of the next hypercall that succeed; `u64::MAX`: all.
    pub allocations: u64,
    /// Grant mappings that domains made: domain, handle, address, bus address; the youngest first.
    pub made: Vec<(u16, u32, u64, u64)>,
    /// Hypercalls find in memory only what was composed for them. What a hypercall leaves in its arguments beside its
    /// results is not part of the ABI, and tells where it was interrupted: a continued entry of a multicall holds the
    /// arguments of the continuation, as with Xen (whose debug build spoils all of it but `result`), and `mmu_update`
    /// says at each interruption how much is done.
    pub tidy: bool,
    /// The number of the next domain that is made.
    pub next_id: u16,
    entries: &'static [FrameEntry],
}

impl World {
    /// A fresh one; each domain has a running root.
    pub fn new(seed: u64) -> Self {
        let entries = TABLES.lock().unwrap_or_else(|e| e.into_inner()).pop().unwrap_or_else(|| {
            let entries: Vec<FrameEntry> = (0..FRAMES).map(|_| FrameEntry::default()).collect();
            Box::leak(entries.into_boxed_slice())
        });
        let mut io = IoRanges::new(Mfn(0x1_0000));
        assert!(io.restrict(Mfn(0), Mfn(FRAMES), false));
        assert!(io.restrict(Mfn(0x8000), Mfn(0x8010), true));
        let mut table = FrameTable::new(entries, io);
        table.blank_all();
        let hv = Hypervisor::try_new(SimPlatform::new(FRAMES as usize, seed), table, CPUS as u16)
            .unwrap_or_else(|_| panic!("no memory"));
        hv.heap.add(&hv.frames, Mfn(RAM), FRAMES - RAM);
        let mut world = World {
            hv,
            vcpus: Vec::new(),
            held: Vec::new(),
            claims: Vec::new(),
            given: Vec::new(),
            allocations: u64::MAX,
            made: Vec::new(),
            tidy: false,
            next_id: DOMAINS,
            entries,
        };
        for id in 0..DOMAINS {
            world.create(id, if id == 1 { 2 } else { 1 });
        }
        world
    }

    /// Creates a domain with its vcpus, frames and a root that runs on the first of its CPUs.
    pub fn create(&mut self, id: u16, vcpus: u32) {
        // One more than run: VCPUOP_initialise.
        let dom = Domain::try_new(DomId(id), vcpus + 1, id == 0).unwrap_or_else(|_| panic!("no memory"));
        let dom = Shared::try_new(dom).unwrap_or_else(|_| panic!("no memory"));
        dom.pages.max.store(u64::MAX, Ordering::SeqCst);
        dom.vm_assist.store(4, Ordering::SeqCst);
        assert_eq!(dom.events.set_pirqs(4), Ok(()));
        assert!(self.hv.domains.insert(dom.clone()).is_ok());
        for _ in 0..SHARE {
            if self.populate(id).is_none() {
                break;
            }
        }
        let shared = self.hv.alloc_frames(CpuId(0), Request::default());
        if let Some(shared) = shared {
            assert_eq!(self.hv.frames.share(shared, DomId(id), true), Ok(()));
            dom.shared_info.store(shared.0, Ordering::SeqCst);
        }
        for vcpu in 0..=vcpus {
            assert_eq!(self.hv.reserve_vcpu(), Ok(()));
            let slot = dom.create_vcpu(vcpu).unwrap_or_else(|_| panic!("no memory"));
            if let Some(shared) = shared {
                slot.set_info(Maddr(shared.maddr().0 + u64::from(vcpu) * size_of::<VcpuInfo>() as u64));
            }
            if vcpu < vcpus {
                slot.sched.set(INITIALISED | UP);
            }
        }
        for vcpu in 0..vcpus {
            let pv = PvState { flags: IN_KERNEL, ..PvState::default() };
            self.vcpus.push(SimVcpu { dom: id, id: vcpu, pv, cpu: None });
        }
        let frames = self.own_frames_of(id);
        if let [root, l3, l2, l1, data, ..] = frames[..] {
            for (table, child) in [(root, l3), (l3, l2), (l2, l1), (l1, data)] {
                let entry = Pte::new(child, PRESENT | WRITABLE | USER);
                self.hv.platform.page(table).store_u64(0, entry.0);
            }
            // The level-1 table shows itself: stores to it are writable page tables.
            let shown = Pte::new(l1, PRESENT | USER);
            self.hv.platform.page(l1).store_u64(8, shown.0);
            for vcpu in 0..self.vcpus.len() {
                if self.vcpus[vcpu].dom == id
                    && let Some(cpu) = (0..CPUS as u16).map(CpuId).find(|&cpu| self.on(cpu).is_none())
                {
                    let dom = self.dom(id);
                    let base = self.raw_call(vcpu, cpu, |ctx| paging::take_root(ctx, &dom, root));
                    self.vcpus[vcpu].pv.kernel_root = base.0.unwrap_or_default();
                    self.enter(vcpu, cpu);
                }
            }
            let _ = self.ext(self.first_of(id), MMUEXT_PIN_L4_TABLE, root.0, 0, true);
        }
    }

    /// A domain.
    pub fn dom(&self, id: u16) -> Shared<Domain<SimPlatform>> {
        self.hv.domains.get(DomId(id)).unwrap_or_else(|| panic!("d{id} is gone"))
    }
    /// The domain's first vcpu.
    pub fn first_of(&self, id: u16) -> usize {
        self.vcpus.iter().position(|vcpu| vcpu.dom == id).unwrap_or_else(|| panic!("d{id} has no vcpu"))
    }
    /// The vcpu that runs on a CPU.
    pub fn on(&self, cpu: CpuId) -> Option<usize> {
        self.vcpus.iter().position(|vcpu| vcpu.cpu == Some(cpu))
    }
    /// The frames that a domain owns.
    pub fn frames_of(&self, id: u16) -> Vec<Mfn> {
        (RAM..FRAMES).map(Mfn).filter(|&mfn| self.hv.frames.owner(mfn) == Some(DomId(id))).collect()
    }

    /// Those of them that are not the hypervisor's.
    pub fn own_frames_of(&self, id: u16) -> Vec<Mfn> {
        self.frames_of(id).into_iter().filter(|&mfn| !self.hv.frames.is_shared(mfn)).collect()
    }
    /// The domains that there are, dying ones too.
    pub fn ids(&self) -> Vec<u16> {
        let mut ids = Vec::new();
        while let Some(dom) = self.hv.domains.next(DomId(ids.last().map_or(0, |&last| last + 1))) {
            ids.push(dom.id.0);
        }
        ids
    }
    /// A domain beside `id`.
    pub fn another(&self, id: u16) -> u16 {
        let ids = self.ids();
        ids.iter().copied().find(|&other| other > id).or(ids.first().copied()).unwrap_or(id)
    }

    /// One more frame for a domain.
    pub fn populate(&mut self, id: u16) -> Option<Mfn> {
        let mfn = self.hv.alloc_frames(CpuId(0), Request::default())?;
        self.claims.retain(|&(_, _, claimed)| claimed != mfn);
        assert_eq!(self.hv.frames.assign(mfn, DomId(id)), Ok(()));
        self.dom(id).pages.total.fetch_add(1, Ordering::SeqCst);
        Some(mfn)
    }

    /// Puts a vcpu on a CPU, whose vcpu leaves it.
    pub fn enter(&mut self, vcpu: usize, cpu: CpuId) {
        if let Some(other) = self.on(cpu) {
            self.leave(other);
        }
        self.leave(vcpu);
        let id = self.vcpus[vcpu].dom;
        self.dom(id).dirty_cpus.set(cpu);
        self.vcpus[vcpu].cpu = Some(cpu);
        let root = self.vcpus[vcpu].pv.root().mfn();
        self.hv.platform.switch(cpu, Some((DomId(id), root)), Flush::NonGlobal);
    }

    /// Takes a vcpu off its CPU, which keeps nothing of it.
    pub fn leave(&mut self, vcpu: usize) {
        if let Some(cpu) = self.vcpus[vcpu].cpu.take() {
            self.hv.platform.switch(cpu, None, Flush::All);
            self.dom(self.vcpus[vcpu].dom).dirty_cpus.clear(cpu);
        }
    }

    /// The vcpu's user mode runs for a moment.
    pub fn visit_user_mode(&mut self, vcpu: usize) {
        let SimVcpu { dom, pv, cpu: Some(cpu), .. } = &self.vcpus[vcpu] else { return };
        let (dom, user, kernel) = (DomId(*dom), pv.user_root.mfn(), pv.kernel_root.mfn());
        if user != Mfn(0) {
            self.hv.platform.switch(*cpu, Some((dom, user)), Flush::NonGlobal);
            self.hv.platform.switch(*cpu, Some((dom, kernel)), Flush::NonGlobal);
        }
    }

    fn raw_call<R>(
        &mut self,
        vcpu: usize,
        cpu: CpuId,
        call: impl FnOnce(&mut Ctx<'_, SimPlatform>) -> R,
    ) -> (R, Effects) {
        let SimVcpu { dom, id, pv, .. } = &mut self.vcpus[vcpu];
        let dom = self.hv.domains.get(DomId(*dom)).unwrap_or_else(|| panic!("the domain is gone"));
        let this = dom.vcpu(*id).unwrap_or_else(|| panic!("the vcpu is gone"));
        let mut ctx = Ctx { hv: &self.hv, cpu, vcpu: this, dom: &dom, pv, effects: Effects::default() };
        fail::fail_after(self.allocations);
        let result = call(&mut ctx);
        fail::fail_after(u64::MAX);
        let effects = ctx.effects;
        self.hv.platform.call_is_over();
        (result, effects)
    }

    /// The vcpu, which runs, enters the hypervisor; what is to be done before it goes on is done.
    pub fn call<R>(&mut self, vcpu: usize, call: impl FnOnce(&mut Ctx<'_, SimPlatform>) -> R) -> Option<R> {
        let cpu = self.vcpus[vcpu].cpu?;
        let (result, effects) = self.raw_call(vcpu, cpu, call);
        let platform = &self.hv.platform;
        if effects.has(Effect::FLUSH_ALL) {
            platform.drop_translations(cpu, Flush::All);
        }
        if effects.has(Effect::FLUSH_NON_GLOBAL) {
            platform.drop_translations(cpu, Flush::NonGlobal);
        }
        if let Some(at) = effects.page() {
            platform.drop_translations(cpu, Flush::Page(at));
        }
        Some(result)
    }

    /// Makes a hypercall and, if `finish`, makes it again for as long as it is interrupted.
    pub fn hypercall(
        &mut self,
        vcpu: usize,
        mut args: [u64; 6],
        finish: bool,
        polls: u64,
        handler: impl Fn(&mut Ctx<'_, SimPlatform>, [u64; 6]) -> HypercallResult,
    ) -> Option<HypercallResult> {
        for _ in 0..5_000 {
            self.hv.platform.polls_left.store(polls, Ordering::SeqCst);
            let result = self.call(vcpu, |ctx| handler(ctx, args));
            self.allocations = u64::MAX;
            self.hv.platform.polls_left.store(u64::MAX, Ordering::SeqCst);
            match result? {
                Err(Stop::Again(again)) if finish => args = again,
                result => return Some(result),
            }
        }
        panic!("a hypercall makes no progress")
    }

    /// One `mmuext_op`, uninterrupted.
    pub fn ext(&mut self, vcpu: usize, cmd: u32, arg1: u64, arg2: u64, finish: bool) -> Option<HypercallResult> {
        self.ext_for(vcpu, u64::from(DOMID_SELF), MmuextOp { cmd, arg1, arg2, ..Default::default() }, finish, u64::MAX)
    }

    /// One `mmuext_op`.
    pub fn ext_for(
        &mut self,
        vcpu: usize,
        foreign: u64,
        op: MmuextOp,
        finish: bool,
        polls: u64,
    ) -> Option<HypercallResult> {
        // A root goes to the CPU that runs the vcpu.
        debug_assert!(op.cmd != MMUEXT_NEW_BASEPTR || self.vcpus[vcpu].cpu.is_some());
        self.hv.platform.poke(ARGUMENTS, &op);
        self.hypercall(vcpu, [ARGUMENTS, 1, 0, foreign, 0, 0], finish, polls, |ctx, a| {
            paging::mmuext_op(ctx, Vaddr(a[0]), a[1], Vaddr(a[2]), a[3])
        })
    }

    /// One `mmu_update`.
    pub fn update(
        &mut self,
        vcpu: usize,
        foreign: u64,
        requests: &[MmuUpdate],
        finish: bool,
        polls: u64,
    ) -> Option<HypercallResult> {
        for (at, request) in requests.iter().enumerate() {
            self.hv.platform.poke(ARGUMENTS + 64 + at as u64 * 16, request);
        }
        let args = [ARGUMENTS + 64, requests.len() as u64, ARGUMENTS, foreign, 0, 0];
        self.hypercall(vcpu, args, finish, polls, |ctx, a| {
            paging::mmu_update(ctx, Vaddr(a[0]), a[1], Vaddr(a[2]), a[3])
        })
    }

    /// The control domain may map what it may map in the tables of another domain, too: those of `foreign` (the fourth
    /// argument of `mmu_update`).
    pub(crate) fn claim_for(&mut self, foreign: u64, entries: &[u64]) {
        let Some(mapper) = (foreign >> 16).checked_sub(1).and_then(|id| u16::try_from(id).ok()) else { return };
        for mfn in entries.iter().map(|&entry| Pte(entry).mfn()) {
            if let Some(owner) = self.hv.frames.owner(mfn) {
                self.claims.push((DomId(mapper), owner, mfn));
                self.given.push((DomId(mapper), owner, mfn));
            }
        }
    }

    /// Destroys a domain: in steps, each of so many safe points. What others still map of it stays until they let go.
    pub fn destroy(&mut self, id: u16, polls: u64) {
        let dom = self.dom(id);
        dom.dying.store(true, Ordering::SeqCst);
        for vcpu in 0..self.vcpus.len() {
            if self.vcpus[vcpu].dom == id {
                self.leave(vcpu);
                let pv = std::mem::take(&mut self.vcpus[vcpu].pv);
                let slot = dom.vcpu(self.vcpus[vcpu].id).unwrap_or_else(|| panic!("the vcpu is gone"));
                slot.saved.lock().pv = pv;
            }
        }
        loop {
            match evtchn::close_all(&self.hv, &dom, || polls == 0) {
                evtchn::Progress::Done => break,
                evtchn::Progress::Preempted | evtchn::Progress::Pirq(_) => {}
            }
        }
        while dom.grants.release_mappings(&self.hv, || polls == 0) != Teardown::Done {}
        // Somebody else's work, on some CPU.
        let destroyer = self.vcpus.iter().position(|vcpu| vcpu.dom != id).unwrap_or(0);
        for vcpu in dom.vcpus() {
            let held = Mfn(vcpu.info_frame.swap(0, Ordering::SeqCst));
            if held != Mfn(0) {
                let used = TypeRef::restore(held, FrameType::Writable);
                let put =
                    |ctx: &mut Ctx<'_, SimPlatform>| paging::put_writable(ctx, FrameRef::restore(held), Some(used));
                let _effects = self.raw_call(destroyer, CpuId(0), put);
            }
        }
        let mut progress = 0;
        for turn in 0.. {
            assert!(turn < 5_000, "a teardown makes no progress");
            self.hv.platform.polls_left.store(polls, Ordering::SeqCst);
            let (done, _) =
                self.raw_call(destroyer, CpuId(0), |ctx| paging::relinquish_memory(ctx, &dom, &mut progress));
            self.hv.platform.polls_left.store(u64::MAX, Ordering::SeqCst);
            if done.is_ok() {
                break;
            }
        }
        dom.grants.close(&self.hv, &dom);
        let shared = Mfn(dom.shared_info.swap(0, Ordering::SeqCst));
        if shared != Mfn(0)
            && let Ok(Some(freed)) = self.hv.frames.release(shared, DomId(id))
        {
            self.hv.free_frame(freed);
        }
        self.vcpus.retain(|vcpu| vcpu.dom != id);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            TABLES.lock().unwrap_or_else(|e| e.into_inner()).push(self.entries);
        }
    }
}
