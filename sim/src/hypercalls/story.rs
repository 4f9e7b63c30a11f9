//! Bytes as a story.

#![allow(non_upper_case_globals, reason = "the ABI's names stand in patterns")]

use super::compose::{Call, Kind, LIST};
use crate::paging::{DOMAINS, FRAMES, RAM, SHARE, World, end};
use crate::platform::{ARGUMENTS, CPUS, SimPlatform};
use crate::script::Script;
use ferroxen_core::addr::{Mfn, Vaddr};
use ferroxen_core::cpu::CpuId;
use ferroxen_core::ctx::Ctx;
use ferroxen_core::domain::{DomId, Domain, Hypervisor};
use ferroxen_core::evtchn::{Binding, PirqEffect, audit_ports};
use ferroxen_core::hypercall::{Devices, HypercallResult, Stop, dispatch};
use ferroxen_core::paging::entry::WRITABLE;
use ferroxen_core::paging::{self, PagingError, PtWrite};
use ferroxen_core::platform::Platform;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use xen_abi::Errno;
use xen_abi::event_channel::*;
use xen_abi::grant_table::*;
use xen_abi::xen::{__HYPERVISOR_grant_table_op, __HYPERVISOR_mmu_update, __HYPERVISOR_multicall, MulticallEntry};

/// Steps after which a story ends.
const MAX_STEPS: usize = 300;
/// Frames that a domain may have at most.
const MOST: u64 = SHARE as u64 + 8;
/// Bytes for a call's arguments.
const SLOT: u64 = 0x400;
/// The calls of a multicall stand behind all arguments, where later calls with wild arguments find them; in a tidy world
/// before them, where no call comes by.
const MULTICALL: u64 = ARGUMENTS + 0x1800;
const TIDY_MULTICALL: u64 = ARGUMENTS;

/// What chance may do in a story.
#[derive(Clone, Copy)]
struct Chance {
    hostile: bool,
    polls: Option<u64>,
    allocations: u64,
}

const HOSTILE: Chance = Chance { hostile: true, polls: None, allocations: u64::MAX };

/// No devices: those hypercalls do not exist.
struct NoDevices;

type Context<'a> = Ctx<'a, SimPlatform>;

impl Devices<SimPlatform> for NoDevices {
    fn physdev_op(&mut self, _: &mut Context<'_>, _: u32, _: Vaddr) -> HypercallResult {
        Err(Errno::ENOSYS.into())
    }
    fn platform_op(&mut self, _: &mut Context<'_>, _: Vaddr) -> HypercallResult {
        Err(Errno::ENOSYS.into())
    }
    fn sysctl(&mut self, _: &mut Context<'_>, _: Vaddr) -> HypercallResult {
        Err(Errno::ENOSYS.into())
    }
    fn domctl(&mut self, _: &mut Context<'_>, _: Vaddr) -> HypercallResult {
        Err(Errno::ENOSYS.into())
    }
    fn pirq(&mut self, _: &Hypervisor<SimPlatform>, _: &Domain<SimPlatform>, effect: PirqEffect) -> Result<(), Errno> {
        match effect {
            PirqEffect::Bind { pirq: 3, .. } => Err(Errno::EPERM),
            _ => Ok(()),
        }
    }
}

/// Runs a hostile story and checks everything after every step.
///
/// # Panics
/// When an invariant does not hold.
pub fn run(bytes: &[u8]) {
    end(play(bytes, HOSTILE, |_| ()).0);
}

/// Runs a story without chance in it, interrupted at every safe point but `polls` of them, and with `allocations` that
/// succeed in each step before all fail; gives all counts, types and contents at its end, and how each call ended.
///
/// Its guests are tidy ([`World::tidy`]): how far a hypercall came before it was interrupted may be seen in its arguments,
/// and a guest that uses these for something else may end differently.
pub fn run_quietly(bytes: &[u8], polls: u64, allocations: u64) -> (Vec<String>, Vec<String>) {
    let (world, results) = play(bytes, Chance { hostile: false, polls: Some(polls), allocations }, |_| ());
    let picture = (RAM..FRAMES).map(Mfn).map(|mfn| world.describe(mfn)).collect();
    end(world);
    (picture, results)
}

fn play(bytes: &[u8], chance: Chance, each: impl Fn(&World)) -> (World, Vec<String>) {
    let mut script = Script::new(bytes);
    let seed = u64::from(script.byte()) << 8 | u64::from(script.byte());
    let mut world = World::new(seed);
    for id in 0..DOMAINS {
        world.settle_in(id);
    }
    world.hv.platform.hostile.store(chance.hostile, Ordering::SeqCst);
    world.tidy = !chance.hostile;
    let mut results = Vec::new();
    for _ in 0..MAX_STEPS {
        if script.is_empty() {
            break;
        }
        if world.tidy {
            world.hv.platform.forget_arguments();
        }
        let result = world.live(&mut script, chance);
        if told() {
            eprintln!("{result}");
        }
        results.push(result);
        world.forget_claims();
        world.check();
        world.check_connections();
        each(&world);
    }
    (world, results)
}

/// Whether the story is told.
fn told() -> bool {
    static TOLD: OnceLock<bool> = OnceLock::new();
    *TOLD.get_or_init(|| std::env::var_os("FERROXEN_STORY").is_some())
}

impl World {
    /// A new domain's limits, and a grant table.
    fn settle_in(&mut self, id: u16) {
        let dom = self.dom(id);
        dom.pages.max.store(MOST, Ordering::SeqCst);
        dom.grants.set_limits(ferroxen_core::grant::Limits { frames: 2, maptrack: 1, version: 2 });
        let _ = dom.grants.shared_frame(&self.hv, CpuId(0), &dom, 0);
    }

    /// What was claimed ends with the owner.
    fn forget_claims(&mut self) {
        let frames = &self.hv.frames;
        self.claims.retain(|&(_, owner, mfn)| frames.owner(mfn) == Some(owner));
        self.given.retain(|&(_, owner, mfn)| frames.owner(mfn) == Some(owner));
        self.made.truncate(64);
    }

    /// Ports that wait for `remote`, with their domains.
    pub(super) fn waiting_ports(&self, remote: u16) -> Vec<(u16, u32)> {
        let waits = |&(_, binding): &(u32, Binding)| binding == Binding::Unbound { remote: DomId(remote) };
        let of = |id: u16| audit_ports(&self.dom(id)).0.into_iter().filter(waits).map(move |(port, _)| (id, port));
        self.ids().into_iter().flat_map(of).collect()
    }

    fn live(&mut self, script: &mut Script<'_>, chance: Chance) -> String {
        let mut vcpu = script.below(self.vcpus.len());
        if self.vcpus[vcpu].cpu.is_none() {
            // Mostly somebody who runs.
            vcpu = self.on(CpuId(script.below(CPUS) as u16)).unwrap_or(vcpu);
        }
        let dom = self.vcpus[vcpu].dom;
        let (action, mode) = (script.byte(), script.byte());
        let polls = chance.polls.unwrap_or(match mode % 8 {
            0..=3 => u64::MAX,
            n => u64::from(n) - 4,
        });
        let finish = chance.polls.is_some() || mode & 0x38 != 0;
        self.allocations = chance.allocations;
        if chance.hostile {
            match mode {
                0xf0.. => self.hv.platform.copies_left.store(u64::from(mode & 7), Ordering::SeqCst),
                0xe0.. => self.allocations = u64::from(mode & 7),
                _ => {}
            }
        }
        let result = self.episode(script, vcpu, dom, action, finish, polls);
        self.allocations = u64::MAX;
        self.hv.platform.copies_left.store(u64::MAX, Ordering::SeqCst);
        format!("{action} {result}")
    }

    fn episode(
        &mut self,
        script: &mut Script<'_>,
        vcpu: usize,
        dom: u16,
        action: u8,
        finish: bool,
        polls: u64,
    ) -> String {
        match action {
            0..=129 => self.alone(script, vcpu, dom, finish, polls),
            130..=179 => self.together(script, vcpu, dom, finish, polls),
            180..=191 => {
                let va = Vaddr((script.pick(&[1, 1, 1, 0, 2, 255]) << 12) | (self.index(script) as u64 * 8));
                let entry = self.some_entry(script, dom).0;
                let write = match script.byte() % 5 {
                    0 => PtWrite::And(!WRITABLE),
                    1 => PtWrite::Or(WRITABLE),
                    2 => PtWrite::CmpXchg { old: 0, new: entry },
                    _ => PtWrite::Set(entry),
                };
                let width = script.pick(&[8, 8, 4, 1]);
                let result = self.hypercall(vcpu, [0; 6], finish, polls, |ctx, _| {
                    match paging::guest_pt_write(ctx, va, width, write) {
                        Ok(old) => Ok(old),
                        Err(PagingError::Interrupted) => Err(Stop::Again([0; 6])),
                        Err(error) => Err(Stop::Err(error.errno())),
                    }
                });
                format!("{result:?}")
            }
            192..=214 => self.write_grants(script, dom),
            215..=222 => self.scribble(script, dom),
            223..=234 => {
                let cpu = CpuId(script.below(CPUS) as u16);
                if script.chance(40) {
                    self.leave(vcpu)
                } else {
                    self.enter(vcpu, cpu)
                }
                "switch".into()
            }
            235..=240 => {
                self.visit_user_mode(vcpu);
                "user".into()
            }
            241..=250 => {
                // The processor looks at the LDT.
                let result = self.hypercall(vcpu, [0; 6], finish, polls, |ctx, _| {
                    match paging::map_ldt_page(ctx, usize::from(action) & 1) {
                        Ok(found) => Ok(found.0),
                        Err(PagingError::Interrupted) => Err(Stop::Again([0; 6])),
                        Err(error) => Err(Stop::Err(error.errno())),
                    }
                });
                format!("{result:?}")
            }
            _ => self.renew(script, polls),
        }
    }

    /// One hypercall by itself, compared with what a naive reader of the state expects.
    fn alone(&mut self, script: &mut Script<'_>, vcpu: usize, dom: u16, finish: bool, polls: u64) -> String {
        let call = self.compose(script, dom, ARGUMENTS);
        let before = self.expect(dom, &call);
        let whole = self.allocations == u64::MAX && self.hv.platform.copies_left.load(Ordering::SeqCst) == u64::MAX;
        let owned = if matches!(call.kind, Kind::Populate(_)) { self.own_frames_of(dom) } else { Vec::new() };
        let result = self
            .hypercall(vcpu, call.args, finish, polls, |ctx, args| dispatch(ctx, &mut NoDevices, call.number, args));
        self.tell(dom, &call);
        let statuses = self.note(dom, &call);
        self.note_updates(dom, &call);
        if let (Kind::Populate(frames), Some(Ok(extents))) = (call.kind, result)
            && whole
        {
            // Nobody has seen what was there before.
            let new: Vec<Mfn> = self.own_frames_of(dom).into_iter().filter(|mfn| !owned.contains(mfn)).collect();
            assert!(new.len() as u64 <= extents * frames as u64, "{extents} extents, {new:?}");
            for mfn in new {
                assert!(self.hv.platform.words(mfn).all(|word| word == 0), "{mfn:?} is not empty");
            }
        }
        if let (Some(expected), Some(Ok(_) | Err(Stop::Err(_))), true) = (before, result, whole) {
            assert_eq!(
                result.is_some_and(|result| result.is_ok()),
                expected,
                "{call:x?} of d{dom} ended in {result:?}"
            );
        }
        format!("{}:{:x} {result:?}", call.number, if matches!(call.number, 12 | 20 | 32) { call.args[0] } else { 0 })
            + &statuses
    }

    fn tell(&self, dom: u16, call: &Call) {
        if told() {
            let words: Vec<u64> = (0..8).map(|n| self.hv.platform.peek(call.at + LIST + n * 8)).collect();
            eprintln!("d{dom} {call:x?} {words:x?}");
        }
    }

    /// Some hypercalls in a list.
    fn together(&mut self, script: &mut Script<'_>, vcpu: usize, dom: u16, finish: bool, polls: u64) -> String {
        let count = 2 + script.below(3);
        let calls: Vec<Call> = (1..=count as u64).map(|n| self.compose(script, dom, ARGUMENTS + n * SLOT)).collect();
        let list = if self.tidy { TIDY_MULTICALL } else { MULTICALL };
        let place = |n: usize| list + (n * size_of::<MulticallEntry>()) as u64;
        for (n, call) in calls.iter().enumerate() {
            let entry = MulticallEntry { op: call.number, args: call.args, ..Default::default() };
            self.hv.platform.poke(place(n), &entry);
        }
        let number = u64::from(__HYPERVISOR_multicall);
        let args = [list, count as u64, 0, 0, 0, 0];
        let result = self.hypercall(vcpu, args, finish, polls, |ctx, args| dispatch(ctx, &mut NoDevices, number, args));
        for call in &calls {
            self.tell(dom, call);
            self.note(dom, call);
            self.note_updates(dom, call);
        }
        let results: Vec<u64> = (0..count).map(|n| self.hv.platform.peek::<MulticallEntry>(place(n)).result).collect();
        format!("multicall {result:?} {results:x?}")
    }

    /// What is to come of an event-channel operation; `None`: no opinion.
    fn expect(&self, dom: u16, call: &Call) -> Option<bool> {
        let Kind::Event(cmd) = call.kind else { return None };
        let binding = |dom: u16, port: u32| {
            let dom = self.hv.domains.get(DomId(dom))?;
            audit_ports(&dom).0.into_iter().find(|&(number, _)| number == port).map(|(_, binding)| binding)
        };
        let op: EvtchnSend = self.hv.platform.peek(call.at);
        match cmd {
            EVTCHNOP_close => Some(binding(dom, op.port).is_some()),
            EVTCHNOP_send => match binding(dom, op.port) {
                Some(Binding::Interdomain { .. } | Binding::Ipi) => Some(true),
                Some(Binding::Unbound { .. }) => None,
                _ => Some(false),
            },
            EVTCHNOP_bind_interdomain => {
                let op: EvtchnBindInterdomain = self.hv.platform.peek(call.at);
                let waits = binding(op.remote_dom, op.remote_port) == Some(Binding::Unbound { remote: DomId(dom) });
                // Whether there is a free port is another question.
                (!waits || self.dom(op.remote_dom).is_dying()).then_some(false).or(waits.then_some(true))
            }
            _ => None,
        }
    }

    /// Remembers the mappings that a call made, and says that each was granted.
    fn note(&mut self, dom: u16, call: &Call) -> String {
        let mut statuses = String::new();
        let status = |offset: usize| self.hv.platform.peek::<u16>(call.at + offset as u64);
        match call.args[0] as u32 {
            _ if call.number != 20 => {}
            GNTTABOP_unmap_grant_ref => {
                statuses = format!(" {}", status(std::mem::offset_of!(GnttabUnmapGrantRef, status)) as i16)
            }
            GNTTABOP_unmap_and_replace => {
                statuses = format!(" {}", status(std::mem::offset_of!(GnttabUnmapAndReplace, status)) as i16)
            }
            GNTTABOP_copy => statuses = format!(" {}", status(std::mem::offset_of!(GnttabCopy, status)) as i16),
            GNTTABOP_transfer => statuses = format!(" {}", status(std::mem::offset_of!(GnttabTransfer, status)) as i16),
            GNTTABOP_map_grant_ref => {
                statuses = format!(" {}", status(std::mem::offset_of!(GnttabMapGrantRef, status)) as i16)
            }
            _ => {}
        }
        let wild = [__HYPERVISOR_multicall, __HYPERVISOR_grant_table_op].map(u64::from).contains(&call.number);
        if wild && matches!(call.kind, Kind::Other) {
            self.believe_handles(dom);
        }
        let Kind::Map(count) = call.kind else { return statuses };
        for n in 0..count {
            let op: GnttabMapGrantRef = self.hv.platform.peek(call.at + (n * size_of::<GnttabMapGrantRef>()) as u64);
            if op.status != GNTST_okay || op.dev_bus_addr == 0 {
                continue;
            }
            let mfn = Mfn(op.dev_bus_addr >> 12);
            self.claims.push((DomId(dom), DomId(op.dom), mfn));
            self.made.insert(0, (dom, op.handle, op.host_addr, op.dev_bus_addr));
        }
        statuses
    }

    /// A list that nobody composed may hold what an earlier one left: mappings that only the handles know of. Whether
    /// these were granted, [`World::check_connections`] sees by the granters' entries.
    fn believe_handles(&mut self, dom: u16) {
        let (mappings, _) = self.dom(dom).grants.audit_mappings();
        let hosted = mappings.iter().filter(|mapping| mapping.host);
        self.claims.extend(hosted.map(|mapping| (DomId(dom), mapping.granter, mapping.frame)));
    }

    /// What the control domain wrote into another domain's tables is there by its right.
    fn note_updates(&mut self, dom: u16, call: &Call) {
        if dom == 0
            && call.number == u64::from(__HYPERVISOR_mmu_update)
            && call.args[0] == call.at + LIST
            && call.args[3] >> 16 != 0
        {
            let entries = (0..call.args[1].min(8)).map(|n| call.args[0] + n * 16 + 8);
            let entries: Vec<u64> = entries.map(|at| self.hv.platform.peek(at)).collect();
            self.claim_for(call.args[3], &entries);
        }
    }

    /// The guest grants frames of its own, and what it does not have.
    fn write_grants(&mut self, script: &mut Script<'_>, dom: u16) -> String {
        let Some(&table) = self.grant_frames(dom).first() else { return "no table".into() };
        let page = self.hv.platform.page(table);
        let version = self.dom(dom).grants.size().0;
        for _ in 0..=script.below(4) {
            let at = script.below(12);
            let (to, frame) = (script.pick(&self.ids()), self.granted_frame(script, dom));
            let flags = script.pick(&[
                GTF_permit_access,
                GTF_permit_access,
                GTF_permit_access,
                GTF_permit_access | GTF_readonly,
                GTF_accept_transfer,
                GTF_accept_transfer,
                GTF_permit_access | GTF_sub_page,
                GTF_transitive,
                GTF_invalid,
            ]);
            let header = u64::from(flags) | u64::from(to) << 16;
            if version == 2 {
                let part =
                    if flags & GTF_sub_page != 0 { 8 << 32 | 64 << 48 } else { u64::from(script.byte() % 3) << 32 };
                let second = if flags == GTF_transitive { u64::from(script.byte() % 12) } else { frame.0 };
                page.store_u64(at * 16 + 8, second);
                page.store_u64(at * 16, header | part);
            } else {
                page.store_u64(at * 8, header | frame.0 << 32);
            }
        }
        "granted".into()
    }

    /// The guest writes nonsense over its event words, its grants and its shared info.
    fn scribble(&mut self, script: &mut Script<'_>, dom: u16) -> String {
        let own = self.dom(dom);
        let mut pages = ferroxen_core::evtchn::audit_frames(&own);
        pages.push(Mfn(own.shared_info.load(Ordering::SeqCst)));
        let (shared, status) = own.grants.audit_frames();
        pages.extend(shared.into_iter().chain(status));
        for _ in 0..=script.below(8) {
            let mfn = script.pick(&pages);
            if mfn == Mfn(0) {
                continue;
            }
            let value = u64::from(script.byte()) << (script.byte() % 57);
            let offset = match script.byte() {
                0..=99 => usize::from(script.byte() % 32) * 4,
                _ => usize::from(script.byte()) * 16,
            };
            self.hv.platform.page(mfn).store_u32(offset, value as u32);
        }
        "scribbled".into()
    }

    /// A domain ends; another one begins once nobody has anything of it.
    fn renew(&mut self, script: &mut Script<'_>, polls: u64) -> String {
        self.hv.platform.copies_left.store(u64::MAX, Ordering::SeqCst);
        self.allocations = u64::MAX;
        let gone: Vec<u16> =
            self.ids().into_iter().filter(|&id| self.dom(id).is_dying() && self.frames_of(id).is_empty()).collect();
        for id in gone {
            self.hv.domains.remove(DomId(id));
        }
        let living: Vec<u16> = self.ids().into_iter().filter(|&id| id != 0 && !self.dom(id).is_dying()).collect();
        if living.len() < usize::from(DOMAINS) - 1 {
            let id = self.next_id;
            self.next_id += 1;
            self.create(id, 1);
            self.settle_in(id);
            return "created".into();
        }
        // Not often: it is a long way to interesting tables.
        if script.chance(180) {
            return "nothing".into();
        }
        let id = script.pick(&living);
        self.destroy(id, if polls == u64::MAX { 3 } else { polls });
        "destroyed".into()
    }
}

const _: () = assert!(LIST + 0x180 <= SLOT);
const _: () = assert!(ARGUMENTS + 5 * SLOT <= MULTICALL);

#[cfg(test)]
mod tests {
    use super::*;

    /// The machine looks only at frames that may have changed: nothing is overlooked.
    #[test]
    fn what_the_cpus_remember_is_what_they_would_find_by_looking_at_everything() {
        let mut x = 0x2545_f491_4f6c_dd1d_u64;
        for _ in 0..12 {
            let byte = |_| {
                x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (x >> 56) as u8
            };
            let bytes: Vec<u8> = (0..1500).map(byte).collect();
            end(play(&bytes, HOSTILE, |world| world.hv.platform.verify()).0);
        }
    }
}
