//! Bytes as what a control domain's tools ask for: domains made, filled, changed, used and destroyed, in any order and with
//! any arguments, through the real dispatch.

use super::{Control, PAGE, SEQ, SimBuffer, SimMap};
use crate::script::Script;
use ferroxen_core::domain::DomId;
use ferroxen_sync::fail;
use std::cell::Cell;
use xen_abi::Errno;
use xen_abi::arch_x86::VcpuGuestContext;
use xen_abi::domctl::*;
use xen_abi::event_channel::{EVTCHNOP_alloc_unbound, EVTCHNOP_close};
use xen_abi::grant_table::GNTTABOP_setup_table;
use xen_abi::memory::{
    XENMEM_add_to_physmap, XENMEM_decrease_reservation, XENMEM_machphys_mfn_list, XENMEM_populate_physmap,
};
use xen_abi::sysctl::{XEN_SYSCTL_INTERFACE_VERSION, XEN_SYSCTL_pcitopoinfo};
use xen_abi::xen::*;
use xen_call::{Buffer, Hypercalls};
use zerocopy::{FromZeros, IntoBytes};

/// Steps after which a story ends.
const MAX_STEPS: usize = 200;
/// Bytes of a step: one that is left out changes no other.
pub const STEP: usize = 32;
/// Frames of the machine: room for some domains, and not for all that stories want.
const FRAMES: usize = 640;
/// Where the lists that calls read and write stand in the arguments' memory.
const LIST: usize = PAGE;
const CONTEXT: usize = 2 * PAGE;
const ARGUMENTS: usize = 4 * PAGE;

/// What chance may do in a story.
#[derive(Clone, Copy, Debug)]
pub struct Chance {
    /// Every so many'th safe point of a call interrupts it; 0: none does.
    pub polls: u64,
    /// Allocations that succeed in each call before all fail.
    pub allocations: u64,
}

impl Chance {
    /// Nothing happens by chance.
    pub const NONE: Chance = Chance { polls: 0, allocations: u64::MAX };
}

/// Runs a story, destroys every domain that it left, and checks that nothing of it is in use any more. Gives what each call
/// answered.
///
/// # Panics
/// If something is left, if the control domain is gone, or if a call never ends.
pub fn run(bytes: &[u8], chance: Chance) -> Vec<String> {
    let mut story = Story::new(chance);
    let before = story.free_or_own();
    let mut said = Vec::new();
    for step in bytes.chunks(STEP).take(MAX_STEPS) {
        said.push(story.step(&mut Script::new(step)));
        assert!(story.control.0.hv.domains.get(DomId(0)).is_some_and(|dom| !dom.is_dying()), "{said:?}");
    }
    story.end();
    assert_eq!(story.domains(), [0u16; 0], "domains are left: {:#?}, {said:#?}", story.control);
    assert_eq!(story.free_or_own(), before, "frames are lost: {:#?}, {said:#?}", story.control);
    said
}

struct Story {
    control: Control,
    chance: Chance,
    arguments: SimBuffer,
    /// Frames that domains were given, and whose.
    frames: Vec<(u16, u64)>,
    held: Vec<SimMap>,
    /// The last hypercall: its number, its arguments, and the first words of the arguments' memory.
    last: Cell<(u32, [u64; 5], [u64; 4])>,
}

impl Story {
    fn new(chance: Chance) -> Self {
        let control = Control::new(FRAMES);
        let Ok(arguments) = control.buffer(ARGUMENTS) else { panic!("buffers are always there") };
        let story = Story {
            control,
            chance: Chance::NONE,
            arguments,
            frames: Vec::new(),
            held: Vec::new(),
            last: Cell::default(),
        };
        // The control domain's own grant table only grows: as large as it gets before the story begins.
        story.arguments.write(0, [u64::from(DOMID_SELF) | 64 << 32, 0, story.at(LIST)].as_bytes());
        assert_eq!(story.call(__HYPERVISOR_grant_table_op, [GNTTABOP_setup_table.into(), story.at(0), 1, 0, 0]), Ok(0));
        Story { chance, ..story }
    }

    /// Frames that are free or the control domain's, which a story may have given some.
    fn free_or_own(&self) -> u64 {
        let hv = &self.control.0.hv;
        let own = hv.domains.get(DomId(0)).map_or(0, |dom| dom.pages.total.load(SEQ));
        hv.heap.stats().free + own
    }

    /// Makes a hypercall, with what chance does to it.
    fn call(&self, number: u32, args: [u64; 5]) -> Result<u64, Errno> {
        let mut given = [0u64; 4];
        self.arguments.read(0, given.as_mut_bytes());
        self.last.set((number, args, given));
        let platform = &self.control.0.hv.platform;
        platform.interrupt_every(self.chance.polls);
        fail::fail_after(self.chance.allocations);
        let result = self.control.call(number, args);
        fail::fail_after(u64::MAX);
        platform.interrupt_every(0);
        result
    }

    fn at(&self, offset: usize) -> u64 {
        self.arguments.addr() + offset as u64
    }

    fn domctl(&self, cmd: u32, domain: u16, words: &[u64]) -> (Result<u64, Errno>, XenDomctl) {
        let version = XEN_DOMCTL_INTERFACE_VERSION;
        let mut op = XenDomctl { cmd, interface_version: version, domain, ..XenDomctl::new_zeroed() };
        for (to, from) in op.u.iter_mut().zip(words.as_bytes()) {
            *to = *from;
        }
        self.arguments.write(0, op.as_bytes());
        let result = self.call(__HYPERVISOR_domctl, [self.at(0), 0, 0, 0, 0]);
        self.arguments.read(0, op.as_mut_bytes());
        (result, op)
    }

    /// All but the control domain.
    fn domains(&self) -> Vec<u16> {
        self.control.domains().map(|dom| dom.id.0).filter(|id| *id != 0).collect()
    }

    /// Mostly a domain that is there; or one's own number, or any.
    fn domain(&self, script: &mut Script<'_>) -> u16 {
        let own = [0, DOMID_SELF, u16::from(script.byte())];
        let all = self.domains();
        if all.is_empty() || script.chance(24) { script.pick(&own) } else { script.pick(&all) }
    }

    /// Mostly a frame of the domain; or anybody's.
    fn frame(&self, domid: u16, script: &mut Script<'_>) -> u64 {
        let own: Vec<u64> = self.frames.iter().filter(|(owner, _)| *owner == domid).map(|(_, mfn)| *mfn).collect();
        if own.is_empty() || script.chance(16) {
            script.pick(&[0, 20, FRAMES as u64 - 1, FRAMES as u64, 1 << 40, u64::MAX])
        } else {
            script.pick(&own)
        }
    }

    /// An argument without a thought.
    fn word(&self, script: &mut Script<'_>) -> u64 {
        match script.below(8) {
            0 | 1 => u64::from(script.byte()) % 4,
            2 => u64::from(script.byte()),
            3 => u64::from(script.byte()) << (script.byte() % 64),
            4 => self.at(LIST + 8 * script.below(64)),
            5 => self.at(CONTEXT + script.below(PAGE)),
            6 => script.pick(&[u64::MAX, u64::MAX >> 1, 1 << 63, 0xffff_ffff, 0x1_0000_0000, 0x8000_0000_0000]),
            _ => self.frames.get(script.below(self.frames.len())).map_or(7, |(_, mfn)| *mfn),
        }
    }

    fn step(&mut self, script: &mut Script<'_>) -> String {
        let kind = script.below(18);
        let domid = self.domain(script);
        let result = match kind {
            0 | 1 => self.create(script),
            2 => self.domctl(XEN_DOMCTL_max_vcpus, domid, &[script.below(6) as u64]).0,
            3 => self.domctl(XEN_DOMCTL_max_mem, domid, &[u64::from(script.byte()) << 4]).0,
            4 | 5 => self.populate(domid, script),
            6 => self.give_back(domid, script),
            7 => self.page_table(domid, script),
            8 | 9 => self.context(domid, script),
            10 => self.domctl(XEN_DOMCTL_destroydomain, domid, &[]).0,
            11 => {
                let cmd = [XEN_DOMCTL_pausedomain, XEN_DOMCTL_unpausedomain, XEN_DOMCTL_resumedomain];
                self.domctl(script.pick(&cmd), domid, &[]).0
            }
            12 => self.port(domid, script),
            13 => self.hold(domid, script),
            14 => self.resources(domid, script),
            15 => self.any(script),
            _ => {
                let words: Vec<u64> = (0..script.below(8)).map(|_| self.word(script)).collect();
                let cmd = u32::from(script.byte()) % 96;
                self.domctl(cmd, domid, &words).0
            }
        };
        let (number, args, given) = self.last.get();
        format!("{kind} on {domid:#x}: {result:?} of hypercall {number}, {args:x?}, {given:x?}")
    }

    fn create(&self, script: &mut Script<'_>) -> Result<u64, Errno> {
        let mut wanted = XenDomctlCreatedomain {
            max_vcpus: 1 + script.below(4) as u32,
            max_evtchn_port: u32::MAX,
            max_grant_frames: script.below(12) as i32 - 1,
            max_maptrack_frames: script.below(12) as i32 - 1,
            grant_opts: script.pick(&[0, 1, 2]),
            ..XenDomctlCreatedomain::new_zeroed()
        };
        wanted.flags = script.pick(&[0, 0, 0, XEN_DOMCTL_CDF_xs_domain, u32::MAX]);
        let mut words = [0; 16];
        let len = size_of_val(&wanted);
        if let Some(to) = words.as_mut_bytes().get_mut(..len) {
            to.copy_from_slice(wanted.as_bytes());
        }
        let (made, op) = self.domctl(XEN_DOMCTL_createdomain, script.pick(&[0, 0, 0, 5, DOMID_SELF]), &words);
        if made.is_err() || script.chance(48) {
            return made;
        }
        self.domctl(XEN_DOMCTL_max_mem, op.domain, &[4096]).0?;
        self.domctl(XEN_DOMCTL_max_vcpus, op.domain, &[wanted.max_vcpus.into()]).0
    }

    /// `xen_memory_reservation` of as many extents as stand in the list.
    fn reservation(&self, op: u32, domid: u16, extents: &[u64], order: u32) -> Result<u64, Errno> {
        self.arguments.write(LIST, extents.as_bytes());
        let words = [self.at(LIST), extents.len() as u64, u64::from(order), u64::from(domid)];
        self.arguments.write(0, words.as_bytes());
        self.call(__HYPERVISOR_memory_op, [op.into(), self.at(0), 0, 0, 0])
    }

    fn populate(&mut self, domid: u16, script: &mut Script<'_>) -> Result<u64, Errno> {
        let from = u64::from(script.byte());
        let order = script.pick(&[0, 0, 0, 1, 9, 40]);
        let count = 1 + script.below(48);
        let extents: Vec<u64> = (0..count as u64).map(|i| from + i).collect();
        let done = self.reservation(XENMEM_populate_physmap, domid, &extents, order);
        let mut given = vec![0u64; done.unwrap_or(0) as usize];
        self.arguments.read(LIST, given.as_mut_bytes());
        self.frames.extend(given.into_iter().map(|mfn| (domid, mfn)));
        done
    }

    fn give_back(&mut self, domid: u16, script: &mut Script<'_>) -> Result<u64, Errno> {
        let extents: Vec<u64> = (0..1 + script.below(4)).map(|_| self.frame(domid, script)).collect();
        self.reservation(XENMEM_decrease_reservation, domid, &extents, script.pick(&[0, 0, 0, 1]))
    }

    /// A frame becomes a page table, or none any more; or an entry of one is written.
    fn page_table(&self, domid: u16, script: &mut Script<'_>) -> Result<u64, Errno> {
        // In another's place only: the control domain has no tables here.
        if domid == 0 || domid == DOMID_SELF {
            return Err(Errno::EPERM);
        }
        let frame = self.frame(domid, script);
        if script.chance(128) {
            let kinds = [MMUEXT_PIN_L1_TABLE, MMUEXT_PIN_L2_TABLE, MMUEXT_PIN_L3_TABLE, MMUEXT_PIN_L4_TABLE];
            let cmd = if script.chance(64) { MMUEXT_UNPIN_TABLE } else { script.pick(&kinds) };
            self.arguments.write(0, [u64::from(cmd), frame, 0].as_bytes());
            self.arguments.write(LIST, &0u32.to_ne_bytes());
            return self.call(__HYPERVISOR_mmuext_op, [self.at(0), 1, self.at(LIST), domid.into(), 0]);
        }
        let entry = self.frame(domid, script) << 12 | script.pick(&[0, 1, 5, 7, 0x27, 0x87]);
        let at = frame.wrapping_shl(12) | u64::from(script.byte()) << 3;
        let kind = script.pick(&[MMU_NORMAL_PT_UPDATE, MMU_MACHPHYS_UPDATE]);
        self.arguments.write(0, [at | kind, entry].as_bytes());
        self.call(__HYPERVISOR_mmu_update, [self.at(0), 1, 0, domid.into(), 0])
    }

    fn context(&self, domid: u16, script: &mut Script<'_>) -> Result<u64, Errno> {
        let vcpu = script.below(4) as u64;
        if script.chance(64) {
            return self.domctl(XEN_DOMCTL_getvcpucontext, domid, &[vcpu, self.at(CONTEXT)]).0;
        }
        if script.chance(32) {
            return self.domctl(XEN_DOMCTL_setvcpucontext, domid, &[vcpu, 0]).0;
        }
        let mut context = VcpuGuestContext::new_zeroed();
        context.flags = u64::from(script.pick(&[4u8, 4, 5, 0xff]));
        context.ctrlreg = [0x8000_0039, 0, 0, self.frame(domid, script) << 12, 0, 0, 0, 0];
        if script.chance(96) {
            context.ctrlreg[1] = self.frame(domid, script) << 12 | u64::from(script.byte() & 1);
        }
        context.gdt_ents = script.pick(&[0, 0, 512, 1024, 8192, 9000]);
        context.gdt_frames = [(); 16].map(|()| self.frame(domid, script));
        context.ldt_base = self.word(script);
        context.ldt_ents = script.pick(&[0, 0, 16, 8192, 8193]);
        context.user_regs.rip = self.word(script);
        context.user_regs.rflags = self.word(script);
        context.user_regs.cs = script.pick(&[0, 0xe030, 0xe033, 8]);
        self.arguments.write(CONTEXT, context.as_bytes());
        self.domctl(XEN_DOMCTL_setvcpucontext, domid, &[vcpu, self.at(CONTEXT)]).0
    }

    /// An event channel for a domain to bind, or the control domain's ends closed.
    fn port(&self, domid: u16, script: &mut Script<'_>) -> Result<u64, Errno> {
        if script.chance(96) {
            self.arguments.write(0, &u32::from(script.byte() % 8).to_ne_bytes());
            return self.call(__HYPERVISOR_event_channel_op, [EVTCHNOP_close.into(), self.at(0), 0, 0, 0]);
        }
        let (of, remote) = if script.chance(128) { (domid, 0) } else { (DOMID_SELF, domid) };
        self.arguments.write(0, (u32::from(of) | u32::from(remote) << 16).as_bytes());
        self.call(__HYPERVISOR_event_channel_op, [EVTCHNOP_alloc_unbound.into(), self.at(0), 0, 0, 0])
    }

    /// The control domain maps frames of another, or lets go of what it mapped first.
    fn hold(&mut self, domid: u16, script: &mut Script<'_>) -> Result<u64, Errno> {
        if !self.held.is_empty() && script.chance(96) {
            self.held.remove(script.below(self.held.len()));
            return Ok(0);
        }
        let frames: Vec<u64> = (0..1 + script.below(3)).map(|_| self.frame(domid, script)).collect();
        let map = if script.chance(48) {
            self.control.map_resource(domid, script.below(3) as u16, script.below(4) as u32, 0, 1)
        } else {
            self.control.map_foreign(domid, &frames, script.chance(128))
        };
        self.held.push(map?);
        Ok(1)
    }

    /// Grant table and shared-info page.
    fn resources(&self, domid: u16, script: &mut Script<'_>) -> Result<u64, Errno> {
        if script.chance(128) {
            let words = [u64::from(domid) | u64::from(script.byte() % 12) << 32, 0, self.at(LIST)];
            self.arguments.write(0, words.as_bytes());
            return self.call(__HYPERVISOR_grant_table_op, [GNTTABOP_setup_table.into(), self.at(0), 1, 0, 0]);
        }
        let words = [u64::from(domid) | u64::from(script.byte() % 4) << 32, self.word(script), self.word(script)];
        self.arguments.write(0, words.as_bytes());
        self.call(__HYPERVISOR_memory_op, [XENMEM_add_to_physmap.into(), self.at(0), 0, 0, 0])
    }

    /// Any call that tools make, with any argument.
    fn any(&self, script: &mut Script<'_>) -> Result<u64, Errno> {
        let words: Vec<u64> = (0..1 + script.below(10)).map(|_| self.word(script)).collect();
        self.arguments.write(8, words.as_bytes());
        let cmd = u64::from(script.byte() % 64);
        match script.below(6) {
            // An interrupted one tells of fewer devices than were asked for.
            0..=2 if cmd % 32 == u64::from(XEN_SYSCTL_pcitopoinfo) => Err(Errno::ENOSYS),
            0..=2 => {
                let head = (cmd % 32) | u64::from(XEN_SYSCTL_INTERFACE_VERSION) << 32;
                self.arguments.write(0, head.as_bytes());
                self.call(__HYPERVISOR_sysctl, [self.at(0), 0, 0, 0, 0])
            }
            3 => {
                let path = script.pick(&[
                    "/\0",
                    "/params\0",
                    "/params/loglvl\0",
                    "/params/gnttab_max_frames\0",
                    "/cpupool/0\0",
                ]);
                self.arguments.write(LIST, path.as_bytes());
                let len = if script.chance(200) { path.len() as u64 } else { self.word(script) };
                let (buffer, room) = (self.word(script), u64::from(script.byte()));
                self.call(__HYPERVISOR_hypfs_op, [cmd % 5, self.at(LIST), len, buffer, room])
            }
            4 => self.call(__HYPERVISOR_xen_version, [cmd, self.at(8), 0, 0, 0]),
            // The list of the M2P's own frames belongs to a machine.
            _ if cmd == u64::from(XENMEM_machphys_mfn_list) => Err(Errno::ENOSYS),
            _ => self.call(__HYPERVISOR_memory_op, [cmd, self.at(8), 0, 0, 0]),
        }
    }

    /// Lets go of everything.
    fn end(&mut self) {
        self.chance = Chance::NONE;
        self.held.clear();
        for port in 1..4096u32 {
            self.arguments.write(0, &port.to_ne_bytes());
            let _ = self.call(__HYPERVISOR_event_channel_op, [EVTCHNOP_close.into(), self.at(0), 0, 0, 0]);
        }
        for domid in self.domains() {
            let result = self.domctl(XEN_DOMCTL_destroydomain, domid, &[]).0;
            // One that was destroyed before waited for what was held.
            assert!(matches!(result, Ok(_) | Err(Errno::ESRCH | Errno::EINVAL)), "domain {domid}: {result:?}");
        }
    }
}
