//! Bytes as a story.

use super::World;
use super::world::{DOMAINS, FRAMES, Held, RAM};
use crate::platform::{ARGUMENTS, CPUS};
use crate::script::Script;
use ferroxen_core::addr::{Maddr, Mfn, Vaddr};
use ferroxen_core::cpu::CpuId;
use ferroxen_core::domain::DomId;
use ferroxen_core::frame::{FrameKind, FrameType};
use ferroxen_core::hypercall::{HypercallResult, Stop};
use ferroxen_core::paging::entry::{ACCESSED, DIRTY, GLOBAL, PAT_OR_PSE, PCD, PRESENT, USER, WRITABLE};
use ferroxen_core::paging::{self, PagingError, PtWrite, Pte, PteClaim};
use std::sync::atomic::Ordering;
use xen_abi::xen::*;

/// Steps after which a story ends.
const MAX_STEPS: usize = 400;

/// What a story is allowed to contain.
#[derive(Clone, Copy)]
pub struct Story {
    /// Guests write through remembered translations at any moment, and copies fail.
    pub hostile: bool,
    /// Safe points between two interruptions: `None` lets the bytes decide, for each hypercall.
    pub polls: Option<u64>,
}

/// Runs a hostile story and checks everything after every step.
///
/// # Panics
/// When an invariant does not hold.
pub fn run(bytes: &[u8]) {
    let (world, _) = play(bytes, Story { hostile: true, polls: None });
    end(world);
}

/// Runs a story without chance in it; gives all counts, types and contents at its end, and how each call ended.
pub fn run_quietly(bytes: &[u8], polls: u64) -> (Vec<String>, Vec<String>) {
    let (world, results) = play(bytes, Story { hostile: false, polls: Some(polls) });
    let picture = (RAM..FRAMES).map(Mfn).map(|mfn| world.describe(mfn)).collect();
    end(world);
    (picture, results)
}

/// Everything ends, and every frame must be back.
pub(crate) fn end(mut world: World) {
    world.hv.platform.hostile.store(false, Ordering::SeqCst);
    while let Some(held) = world.held.pop() {
        world.let_go(held);
    }
    for id in world.ids().into_iter().rev() {
        world.destroy(id, u64::from(id != 0));
        world.check();
    }
    let left: Vec<_> = (RAM..FRAMES).map(Mfn).filter(|&mfn| world.hv.frames.is_ram(mfn)).collect();
    assert!(left.is_empty(), "{left:?} did not come back");
    assert_eq!(world.hv.heap.stats().free, FRAMES - RAM);
}

fn play(bytes: &[u8], story: Story) -> (World, Vec<String>) {
    let mut script = Script::new(bytes);
    let seed = u64::from(script.byte()) << 8 | u64::from(script.byte());
    let mut world = World::new(seed);
    world.hv.platform.hostile.store(story.hostile, Ordering::SeqCst);
    let mut results = Vec::new();
    world.check();
    for _ in 0..MAX_STEPS {
        if script.is_empty() {
            break;
        }
        results.push(world.step(&mut script, story));
        world.check();
    }
    (world, results)
}

impl World {
    /// One frame in words.
    pub fn describe(&self, mfn: Mfn) -> String {
        let frames = &self.hv.frames;
        let FrameKind::Owned(owner) = frames.kind(mfn) else { return format!("{mfn:?} free") };
        let (ty, uses) = frames.type_count(mfn);
        let ty = if uses == 0 { FrameType::None } else { ty };
        let words = self.hv.platform.words(mfn).enumerate();
        let filled: Vec<_> =
            words.filter(|&(i, word)| word != 0 && !(ty == FrameType::None && (256..272).contains(&i))).collect();
        let pinned = frames.is_pinned(mfn);
        format!("{mfn:?} {owner:?} {} {ty:?} {uses} {pinned} {filled:x?}", frames.references(mfn))
    }

    pub(crate) fn frame_of(&self, script: &mut Script<'_>, dom: u16) -> Mfn {
        let own = self.frames_of(dom);
        // Half of the time one of few, so that things meet.
        let choice = script.byte();
        let few = if choice < 128 { own.len().min(6) } else { own.len() };
        if own.is_empty() { Mfn(RAM) } else { own[usize::from(choice) % few] }
    }

    /// Mostly a frame of the domain's own; sometimes any number.
    pub(crate) fn some_frame(&self, script: &mut Script<'_>, dom: u16) -> Mfn {
        match script.byte() {
            0..=239 => self.frame_of(script, dom),
            240..=247 => Mfn(script.below(FRAMES as usize + 4) as u64),
            248..=251 => Mfn(0x8000 + script.below(0x20) as u64),
            252 => Mfn(0xf_ffff_ffff),
            253 => Mfn(0x1_0000),
            _ => self.frame_of(script, self.another(dom)),
        }
    }

    pub(crate) fn index(&self, script: &mut Script<'_>) -> usize {
        script.pick(&[0, 0, 0, 1, 1, 2, 3, 15, 16, 17, 255, 256, 271, 272, 510, 511])
    }

    pub(crate) fn some_entry(&self, script: &mut Script<'_>, dom: u16) -> Pte {
        let flags = match script.byte() {
            0..=79 => PRESENT | USER | WRITABLE,
            80..=139 => PRESENT | USER,
            140..=159 => PRESENT | WRITABLE,
            160..=179 => PRESENT,
            180..=189 => PRESENT | USER | WRITABLE | ACCESSED | DIRTY | GLOBAL,
            190..=199 => PRESENT | USER | PAT_OR_PSE,
            200..=204 => PRESENT | PCD,
            205..=207 => PRESENT | USER | 0x7ff << 52,
            208 => USER | WRITABLE,
            _ => return Pte(0),
        };
        Pte::new(self.some_frame(script, dom), flags)
    }

    fn step(&mut self, script: &mut Script<'_>, story: Story) -> String {
        let mut vcpu = script.below(self.vcpus.len());
        if self.vcpus[vcpu].cpu.is_none() {
            // Mostly somebody who runs.
            vcpu = self.on(CpuId(script.below(CPUS) as u16)).unwrap_or(vcpu);
        }
        let dom = self.vcpus[vcpu].dom;
        let action = script.byte();
        let mode = script.byte();
        let polls = story.polls.unwrap_or(match mode % 8 {
            0..=3 => u64::MAX,
            n => u64::from(n) - 4,
        });
        let finish = story.polls.is_some() || mode & 0x38 != 0;
        if story.hostile && mode >= 0xf0 {
            self.hv.platform.copies_left.store(u64::from(mode & 3), Ordering::SeqCst);
        }
        let result = self.act(script, vcpu, dom, action, finish, polls);
        self.hv.platform.copies_left.store(u64::MAX, Ordering::SeqCst);
        format!("{action} {result}")
    }

    fn act(&mut self, script: &mut Script<'_>, vcpu: usize, dom: u16, action: u8, finish: bool, polls: u64) -> String {
        let own = u64::from(DOMID_SELF);
        let show = |result: Option<HypercallResult>| format!("{result:?}");
        match action {
            // Entries, in ones and in batches.
            0..=59 => {
                let mut requests = [MmuUpdate::default(); 6];
                let count = 1 + script.below(requests.len());
                for request in requests.iter_mut().take(count) {
                    let table = self.some_frame(script, dom);
                    let command = script.pick(&[0, 0, 0, 0, 2, 3]);
                    request.ptr = (table.maddr().0 + self.index(script) as u64 * 8) | command;
                    request.val = self.some_entry(script, dom).0;
                }
                let foreign = match script.byte() {
                    0..=219 => own,
                    220..=234 => u64::from(script.byte() % 4),
                    235..=244 => own | u64::from(script.byte() % 5) << 16,
                    245..=249 => u64::from(DOMID_IO),
                    _ => u64::from(DOMID_XEN),
                };
                let expected = (count == 1 && foreign == own).then(|| self.predict(dom, &requests[0])).flatten();
                let result = self.update(vcpu, foreign, &requests[..count], finish, polls);
                if dom == 0 {
                    self.claim_for(foreign, &requests.map(|request| request.val));
                }
                if let (Some(expected), Some(Ok(_) | Err(Stop::Err(_)))) = (expected, result)
                    && self.hv.platform.copies_left.load(Ordering::SeqCst) == u64::MAX
                {
                    assert_eq!(result.is_some_and(|r| r.is_ok()), expected, "{:x?} ended in {result:?}", requests[0]);
                }
                show(result)
            }
            // A chain of tables, as a kernel builds one before it pins it.
            60..=89 => {
                let mut requests = [MmuUpdate::default(); 4];
                let first = self.frame_of(script, dom);
                let mut table = first;
                for request in &mut requests {
                    let child = self.frame_of(script, dom);
                    request.ptr = table.maddr().0 + self.index(script) as u64 * 8;
                    request.val = Pte::new(child, PRESENT | USER | WRITABLE).0;
                    table = child;
                }
                let count = 1 + script.below(4);
                show(self.update(vcpu, own, &requests[..count], finish, polls))
            }
            90..=119 => {
                let cmd = script.pick(&[
                    MMUEXT_PIN_L1_TABLE,
                    MMUEXT_PIN_L2_TABLE,
                    MMUEXT_PIN_L3_TABLE,
                    MMUEXT_PIN_L4_TABLE,
                    MMUEXT_PIN_L4_TABLE,
                    MMUEXT_UNPIN_TABLE,
                    MMUEXT_UNPIN_TABLE,
                    MMUEXT_UNPIN_TABLE,
                ]);
                let arg1 = self.some_frame(script, dom).0;
                let foreign = if script.byte() < 230 { own } else { u64::from(script.byte() % 4) };
                show(self.ext_for(vcpu, foreign, MmuextOp { cmd, arg1, ..Default::default() }, finish, polls))
            }
            120..=139 => {
                let cmd = script.pick(&[MMUEXT_NEW_BASEPTR, MMUEXT_NEW_USER_BASEPTR]);
                let arg1 = if script.byte() < 30 { 0 } else { self.some_frame(script, dom).0 };
                let op = MmuextOp { cmd, arg1, ..Default::default() };
                if self.vcpus[vcpu].cpu.is_none() {
                    return "not running".into();
                }
                let result = self.ext_for(vcpu, own, op, finish, polls);
                self.visit_user_mode(vcpu);
                show(result)
            }
            140..=159 => {
                let va = Vaddr((self.index(script) as u64) << 12 | (script.below(2) as u64) << 21);
                let entry = self.some_entry(script, dom);
                let flags =
                    script.pick(&[0, UVMF_TLB_FLUSH, UVMF_INVLPG, UVMF_INVLPG | UVMF_ALL, UVMF_TLB_FLUSH | UVMF_ALL]);
                let other = script.pick(&[own, own, own, 0, 1, 2]);
                show(self.hypercall(vcpu, [va.0, entry.0, flags, other, 0, 0], finish, polls, |ctx, a| {
                    if a[3] == own {
                        paging::update_va_mapping(ctx, Vaddr(a[0]), a[1], a[2])
                    } else {
                        paging::update_va_mapping_otherdomain(ctx, Vaddr(a[0]), a[1], a[2], a[3])
                    }
                }))
            }
            160..=174 => {
                // A store to wherever the tables are shown.
                let page = script.pick(&[1, 1, 1, 0, 2, 255]) << 12;
                let va = Vaddr(page | (self.index(script) as u64 * 8));
                let entry = self.some_entry(script, dom).0;
                let write = match script.byte() % 5 {
                    0 => PtWrite::And(!WRITABLE),
                    1 => PtWrite::Or(WRITABLE),
                    2 => PtWrite::CmpXchg { old: 0, new: entry },
                    _ => PtWrite::Set(entry),
                };
                let width = script.pick(&[8, 8, 4, 1]);
                show(self.hypercall(vcpu, [0; 6], finish, polls, |ctx, _| {
                    match paging::guest_pt_write(ctx, va, width, write) {
                        Ok(old) => Ok(old),
                        Err(PagingError::Interrupted) => Err(Stop::Again([0; 6])),
                        Err(error) => Err(Stop::Err(error.errno())),
                    }
                }))
            }
            175..=189 => self.descriptors(script, vcpu, dom, finish, polls),
            190..=199 => {
                let (to, from) = (self.some_frame(script, dom), self.some_frame(script, dom));
                let cmd = script.pick(&[MMUEXT_CLEAR_PAGE, MMUEXT_COPY_PAGE]);
                let op = MmuextOp { cmd, arg1: to.0, arg2: from.0, ..Default::default() };
                show(self.ext_for(vcpu, own, op, finish, polls))
            }
            200..=209 => {
                let cmd = script.pick(&[
                    MMUEXT_TLB_FLUSH_LOCAL,
                    MMUEXT_INVLPG_LOCAL,
                    MMUEXT_TLB_FLUSH_ALL,
                    MMUEXT_INVLPG_ALL,
                    MMUEXT_TLB_FLUSH_MULTI,
                    MMUEXT_MARK_SUPER,
                    13,
                    77,
                ]);
                let arg1 = (self.index(script) as u64) << 12;
                show(self.ext_for(
                    vcpu,
                    own,
                    MmuextOp { cmd, arg1, arg2: ARGUMENTS, ..Default::default() },
                    finish,
                    polls,
                ))
            }
            // The domain gives a frame away, and gets one.
            210..=219 => {
                let mfn = self.some_frame(script, dom);
                format!("{:?}", self.hv.release(&self.dom(dom), mfn))
            }
            220..=227 => format!("{:?}", self.populate(dom)),
            228..=233 => self.transfer(script, vcpu, dom),
            234..=245 => self.grant(script, vcpu, dom),
            246..=251 => {
                let cpu = CpuId(script.below(CPUS) as u16);
                if script.byte() < 40 {
                    self.leave(vcpu)
                } else {
                    self.enter(vcpu, cpu)
                }
                "switch".into()
            }
            252..=253 => {
                self.visit_user_mode(vcpu);
                "user".into()
            }
            _ => {
                let id = 1 + script.byte() as u16 % (DOMAINS - 1);
                let polls = if polls == u64::MAX { 3 } else { polls };
                self.hv.platform.copies_left.store(u64::MAX, Ordering::SeqCst);
                // Those who hold its frames keep them.
                self.destroy(id, polls);
                self.check();
                while let Some(at) = self
                    .held
                    .iter()
                    .position(|held| self.hv.frames.owner(held.frame.mfn()) == Some(DomId(id)) || held.mapper == id)
                {
                    let held = self.held.swap_remove(at);
                    self.let_go(held);
                }
                // Others' tables may still map frames of it: its number is used again only without any.
                self.unmap_all_of(id);
                self.hv.domains.remove(DomId(id));
                self.claims.retain(|&(mapper, ..)| mapper != DomId(id));
                self.create(id, if id == 1 { 2 } else { 1 });
                "destroyed".into()
            }
        }
    }

    /// What must come of one request for a level-1 entry that maps RAM; `None`: no opinion.
    fn predict(&self, dom: u16, request: &MmuUpdate) -> Option<bool> {
        let frames = &self.hv.frames;
        let (table, entry) = (Maddr(request.ptr).mfn(), Pte(request.val));
        let mine = |mfn| frames.owner(mfn) == Some(DomId(dom));
        if !mine(table) {
            return Some(false);
        }
        if self.vcpus.iter().any(|vcpu| vcpu.dom == dom && vcpu.pv.parked_tables != [Mfn(0); 3]) {
            return None;
        }
        let (ty, uses) = frames.type_count(table);
        if frames.parked(table).is_some() || frames.parked(entry.mfn()).is_some() {
            return None;
        }
        match (ty, uses) {
            (FrameType::SegDesc, 1..) => Some(false),
            (_, 0) | (FrameType::Writable, _) => Some(true),
            (FrameType::L1, _) => {
                let target = entry.mfn();
                let (ty, uses) = frames.type_count(target);
                let old = Pte(self.hv.platform.word(table, Maddr(request.ptr).offset() / 8));
                if !entry.present() {
                    Some(true)
                } else if entry.has(PAT_OR_PSE | PCD) && dom != 0 {
                    Some(false)
                } else if target.0 >= FRAMES || old.present() && old.mfn() == target {
                    None
                } else {
                    Some(mine(target) && (!entry.writable() || uses == 0 || ty == FrameType::Writable))
                }
            }
            _ => None,
        }
    }

    fn descriptors(&mut self, script: &mut Script<'_>, vcpu: usize, dom: u16, finish: bool, polls: u64) -> String {
        let frame = self.some_frame(script, dom);
        let second = self.some_frame(script, dom);
        let index = self.index(script);
        let which = script.byte() % 6;
        let descriptor = script.pick(&[0, 0x00af_9b00_0000_ffff, 0x0000_ec00_0000_0000, 0x00cf_f300_0000_ffff]);
        let result = self.hypercall(vcpu, [0; 6], finish, polls, |ctx, _| {
            let done = match which {
                0 => paging::set_gdt(ctx, &[frame, second], 1024),
                1 => paging::set_gdt(ctx, &[], 0),
                2 => paging::set_ldt(ctx, Vaddr((index as u64) << 12), 700),
                3 => paging::map_ldt_page(ctx, index & 1).map(|_| ()),
                4 => paging::set_ldt(ctx, Vaddr(0), 0),
                _ => paging::update_descriptor(ctx, Maddr(frame.maddr().0 + index as u64 * 8), descriptor),
            };
            match done {
                Ok(()) => Ok(0),
                Err(PagingError::Interrupted) => Err(Stop::Again([0; 6])),
                Err(error) => Err(Stop::Err(error.errno())),
            }
        });
        // What the processor would use is checked, whatever the guest did.
        for vcpu in &self.vcpus {
            for &mfn in vcpu.pv.gdt_frames.iter().chain(&vcpu.pv.ldt_frames).filter(|&&mfn| mfn != Mfn(0)) {
                for descriptor in self.hv.platform.words(mfn) {
                    assert_eq!(paging::fix_up_descriptor(descriptor), Some(descriptor), "{mfn:?}");
                }
            }
        }
        format!("{result:?}")
    }

    /// A frame changes its owner (GNTTABOP_transfer): taken away, forgotten everywhere, given.
    fn transfer(&mut self, script: &mut Script<'_>, vcpu: usize, dom: u16) -> String {
        let (mfn, to) = (self.some_frame(script, dom), script.byte() as u16 % DOMAINS);
        if self.vcpus[vcpu].cpu.is_none() {
            return "not running".into();
        }
        let Ok(taken) = self.hv.frames.take_away(mfn, DomId(dom)) else { return "busy".into() };
        self.dom(dom).pages.total.fetch_sub(1, Ordering::SeqCst);
        self.call(vcpu, |ctx| paging::settle(ctx, true));
        self.claims.retain(|&(_, _, claimed)| claimed != mfn);
        assert_eq!(self.hv.frames.assign(taken.mfn(), DomId(to)), Ok(()));
        self.dom(to).pages.total.fetch_add(1, Ordering::SeqCst);
        "transferred".into()
    }

    /// A mapping with brought references: made, moved, cleared.
    fn grant(&mut self, script: &mut Script<'_>, vcpu: usize, dom: u16) -> String {
        if self.vcpus[vcpu].cpu.is_none() {
            return "not running".into();
        }
        let va = Vaddr((self.index(script) as u64) << 12);
        let owner = script.byte() as u16 % DOMAINS;
        let mfn = self.frame_of(script, owner);
        match script.byte() % 4 {
            0 | 1 => {
                let flags = script.pick(&[PRESENT | USER | WRITABLE, PRESENT | USER]);
                let granter = self.dom(owner);
                let writable = flags & WRITABLE != 0;
                let got = self.call(vcpu, |ctx| paging::get_writable(ctx, &granter, mfn, writable));
                let Some(Ok((frame, used))) = got else { return "not granted".into() };
                let claim = PteClaim { entry: Pte::new(mfn, flags), frame, used };
                self.claims.push((DomId(dom), DomId(owner), mfn));
                match self.call(vcpu, |ctx| paging::install_l1e_at_va(ctx, va, claim)) {
                    Some(Err((error, claim))) => {
                        // Kept without a mapping for a while, as the hypervisor's own accesses do.
                        self.held.push(Held { mapper: dom, frame: claim.frame, used: claim.used });
                        format!("{error:?}")
                    }
                    _ => "mapped".into(),
                }
            }
            2 => {
                let displaced = self.call(vcpu, |ctx| {
                    let displaced = paging::clear_l1e_at_va(ctx, va, mfn, true)
                        .or_else(|_| paging::clear_l1e_at_va(ctx, va, mfn, false));
                    if displaced.is_ok() {
                        paging::settle(ctx, false);
                    }
                    displaced
                });
                self.take_back(dom, displaced)
            }
            _ => {
                let from = Vaddr((self.index(script) as u64) << 12);
                let displaced = self.call(vcpu, |ctx| {
                    let displaced = paging::move_l1e(ctx, from, va, mfn, true)
                        .or_else(|_| paging::move_l1e(ctx, from, va, mfn, false));
                    if displaced.is_ok() {
                        paging::settle(ctx, false);
                    }
                    displaced
                });
                self.take_back(dom, displaced)
            }
        }
    }

    fn take_back(&mut self, dom: u16, displaced: Option<Result<paging::Displaced, PagingError>>) -> String {
        match displaced {
            Some(Ok(displaced)) => {
                self.let_go(Held { mapper: dom, frame: displaced.frame, used: displaced.used });
                "cleared".into()
            }
            Some(Err(error)) => format!("{error:?}"),
            None => "not running".into(),
        }
    }

    /// Gives held references back.
    fn let_go(&mut self, held: Held) {
        let vcpu = self.vcpus.iter().position(|vcpu| vcpu.cpu.is_some());
        let vcpu = vcpu.unwrap_or_else(|| {
            self.enter(0, CpuId(0));
            0
        });
        self.call(vcpu, |ctx| paging::put_writable(ctx, held.frame, held.used));
    }

    /// Every other domain's level-1 entries for frames of `id` are cleared, as if those domains did it.
    fn unmap_all_of(&mut self, id: u16) {
        for table in (RAM..FRAMES).map(Mfn) {
            let Some(owner) = self.hv.frames.owner(table) else { continue };
            if self.hv.frames.type_count(table).0 != FrameType::L1 || !self.hv.frames.is_validated(table) {
                continue;
            }
            for index in 0..512 {
                let entry = Pte(self.hv.platform.word(table, index));
                if entry.present() && self.hv.frames.owner(entry.mfn()) == Some(DomId(id)) {
                    let vcpu = self.first_of(owner.0);
                    if self.vcpus[vcpu].cpu.is_none() {
                        self.enter(vcpu, CpuId(0));
                    }
                    let request = MmuUpdate { ptr: table.maddr().0 + index as u64 * 8, val: 0 };
                    let done = self.update(vcpu, u64::from(DOMID_SELF), &[request], true, u64::MAX);
                    assert_eq!(done, Some(Ok(0)));
                }
            }
        }
        assert!(self.frames_of(id).is_empty(), "{:?} of d{id}", self.frames_of(id));
    }
}
