//! Hypercalls with their arguments, as a guest would write them into its memory.

#![allow(non_upper_case_globals, reason = "the ABI's names stand in patterns")]

use crate::paging::World;
use crate::platform::ARGUMENTS;
use crate::script::Script;
use ferroxen_core::addr::Mfn;
use ferroxen_core::paging::Pte;
use ferroxen_core::paging::entry::{PRESENT, USER, WRITABLE};
use xen_abi::GuestPtr;
use xen_abi::event_channel::*;
use xen_abi::grant_table::*;
use xen_abi::memory::*;
use xen_abi::vcpu::*;
use xen_abi::xen::*;

/// A hypercall whose arguments stand in memory.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Its number.
    pub number: u64,
    /// Its registers.
    pub args: [u64; 6],
    /// Where its argument structure is.
    pub at: u64,
    /// What it is, where that is looked at afterwards.
    pub kind: Kind,
}

/// See [`Call::kind`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// No matter.
    Other,
    /// So many `GnttabMapGrantRef`.
    Map(usize),
    /// More frames for a domain, listed in memory.
    Populate(usize),
    /// An event-channel operation.
    Event(u32),
}

/// Where the list of a call's argument is, behind the structure.
pub const LIST: u64 = 0x100;
const OWN: u16 = DOMID_SELF;

impl World {
    /// Composes a hypercall of a vcpu of `dom`, with its arguments from `at` on.
    pub(super) fn compose(&mut self, script: &mut Script<'_>, dom: u16, at: u64) -> Call {
        let (number, args, kind) = match script.byte() {
            0..=54 => self.compose_update(script, dom, at),
            55..=69 => self.compose_chain(script, dom, at),
            70..=114 => self.compose_ext(script, dom, at),
            115..=134 => self.compose_va(script, dom),
            135..=164 => self.compose_memory(script, dom, at),
            165..=214 => self.compose_grant(script, dom, at),
            215..=242 => self.compose_event(script, dom, at),
            _ => self.compose_other(script, dom, at),
        };
        Call { number: number.into(), args, at, kind }
    }

    fn domid(&self, script: &mut Script<'_>, dom: u16) -> u16 {
        match script.byte() {
            0..=149 => OWN,
            150..=169 => dom,
            170..=249 => {
                let ids = self.ids();
                script.pick(&ids)
            }
            250..=252 => DOMID_IO,
            253 => DOMID_XEN,
            _ => 77,
        }
    }

    fn some_id(&self, script: &mut Script<'_>) -> u16 {
        let ids = self.ids();
        script.pick(&ids)
    }

    /// An address whose level-1 entry may exist.
    fn va(&self, script: &mut Script<'_>) -> u64 {
        (self.index(script) as u64) << 12 | u64::from(script.chance(8)) << 21
    }

    fn compose_update(&mut self, script: &mut Script<'_>, dom: u16, at: u64) -> (u32, [u64; 6], Kind) {
        let count = 1 + script.below(4);
        for n in 0..count as u64 {
            let table = self.some_frame(script, dom);
            let command = script.pick(&[0, 0, 0, 0, 1, 2, 2, 3]);
            let ptr = (table.maddr().0 + self.index(script) as u64 * 8) | command;
            let val =
                if command == MMU_MACHPHYS_UPDATE { script.byte().into() } else { self.some_entry(script, dom).0 };
            self.hv.platform.poke(at + LIST + n * 16, &MmuUpdate { ptr, val });
        }
        let foreign = match script.byte() {
            0..=199 => u64::from(OWN),
            200..=229 => self.domid(script, dom).into(),
            _ => u64::from(OWN) | u64::from(self.some_id(script) + 1) << 16,
        };
        let done = if script.chance(128) { at } else { 0 };
        (__HYPERVISOR_mmu_update, [at + LIST, count as u64, done, foreign, 0, 0], Kind::Other)
    }

    /// A chain of tables, as a kernel builds one before it pins it.
    fn compose_chain(&mut self, script: &mut Script<'_>, dom: u16, at: u64) -> (u32, [u64; 6], Kind) {
        let mut table = self.frame_of(script, dom);
        let count = 1 + script.below(4) as u64;
        for n in 0..count {
            let child = self.frame_of(script, dom);
            let ptr = table.maddr().0 + self.index(script) as u64 * 8;
            let val = Pte::new(child, PRESENT | USER | WRITABLE).0;
            self.hv.platform.poke(at + LIST + n * 16, &MmuUpdate { ptr, val });
            table = child;
        }
        (__HYPERVISOR_mmu_update, [at + LIST, count, 0, OWN.into(), 0, 0], Kind::Other)
    }

    fn compose_ext(&mut self, script: &mut Script<'_>, dom: u16, at: u64) -> (u32, [u64; 6], Kind) {
        let count = 1 + script.below(3) as u64;
        for n in 0..count {
            let cmd = match script.byte() {
                0..=99 => script.pick(&[
                    MMUEXT_PIN_L4_TABLE,
                    MMUEXT_PIN_L4_TABLE,
                    MMUEXT_PIN_L3_TABLE,
                    MMUEXT_PIN_L2_TABLE,
                    MMUEXT_PIN_L1_TABLE,
                ]),
                100..=169 => MMUEXT_UNPIN_TABLE,
                170..=209 => script.pick(&[MMUEXT_NEW_BASEPTR, MMUEXT_NEW_USER_BASEPTR]),
                210..=224 => script.pick(&[MMUEXT_CLEAR_PAGE, MMUEXT_COPY_PAGE]),
                225..=234 => MMUEXT_SET_LDT,
                _ => u32::from(script.byte() % 24),
            };
            let mut op = MmuextOp { cmd, arg1: self.some_frame(script, dom).0, ..Default::default() };
            match cmd {
                MMUEXT_COPY_PAGE => op.arg2 = self.some_frame(script, dom).0,
                MMUEXT_SET_LDT => (op.arg1, op.arg2) = (self.va(script), script.pick(&[0, 600, 8192, 9000])),
                MMUEXT_NEW_USER_BASEPTR if script.chance(60) => op.arg1 = 0,
                MMUEXT_INVLPG_LOCAL | MMUEXT_INVLPG_ALL | MMUEXT_INVLPG_MULTI => {
                    (op.arg1, op.arg2) = (self.va(script), at);
                }
                MMUEXT_TLB_FLUSH_MULTI => op.arg2 = at,
                _ => {}
            }
            self.hv.platform.poke(at + LIST + n * size_of::<MmuextOp>() as u64, &op);
        }
        let foreign = if script.chance(30) { self.domid(script, dom) } else { OWN };
        let done = if script.chance(128) { at } else { 0 };
        (__HYPERVISOR_mmuext_op, [at + LIST, count, done, foreign.into(), 0, 0], Kind::Other)
    }

    fn compose_va(&mut self, script: &mut Script<'_>, dom: u16) -> (u32, [u64; 6], Kind) {
        let (va, entry) = (self.va(script), self.some_entry(script, dom).0);
        let flags =
            script.pick(&[0, UVMF_TLB_FLUSH, UVMF_INVLPG, UVMF_INVLPG | UVMF_ALL, UVMF_TLB_FLUSH | UVMF_ALL, 3]);
        match script.byte() {
            0..=179 => (__HYPERVISOR_update_va_mapping, [va, entry, flags, 0, 0, 0], Kind::Other),
            _ => {
                let owner = self.domid(script, dom);
                let entry = if script.chance(200) && self.ids().contains(&owner) {
                    Pte::new(self.frame_of(script, owner), PRESENT | USER | WRITABLE).0
                } else {
                    entry
                };
                let args = [va, entry, flags, owner.into(), 0, 0];
                (__HYPERVISOR_update_va_mapping_otherdomain, args, Kind::Other)
            }
        }
    }

    fn compose_memory(&mut self, script: &mut Script<'_>, dom: u16, at: u64) -> (u32, [u64; 6], Kind) {
        let (list, second) = (at + LIST, at + LIST + 0x80);
        let own = |world: &Self, script: &mut Script<'_>| {
            (0..8).for_each(|n| world.hv.platform.poke(list + n * 8, &world.some_frame(script, dom).0));
        };
        let domid = self.domid(script, dom);
        let extent_order = script.pick(&[0, 0, 0, 0, 1, 2]);
        let nr_extents = u64::from(1 + script.byte() % 4);
        let mem_flags = script.pick(&[0, 0, 0, 32, 12, XENMEMF_populate_on_demand]);
        let extent_start = GuestPtr::new(list);
        let request =
            XenMemoryReservation { extent_start, nr_extents, extent_order, mem_flags, domid, ..Default::default() };
        let command = script.pick(&[
            XENMEM_populate_physmap,
            XENMEM_populate_physmap,
            XENMEM_increase_reservation,
            XENMEM_decrease_reservation,
            XENMEM_decrease_reservation,
            XENMEM_exchange,
            XENMEM_exchange,
            XENMEM_exchange,
            XENMEM_current_reservation,
            XENMEM_acquire_resource,
            XENMEM_claim_pages,
        ]);
        let mut kind = Kind::Other;
        match command {
            XENMEM_populate_physmap | XENMEM_increase_reservation => {
                (0..8).for_each(|n| self.hv.platform.poke(list + n * 8, &u64::from(script.byte())));
                self.hv.platform.poke(at, &request);
                kind = Kind::Populate(1 << extent_order);
            }
            XENMEM_decrease_reservation => {
                own(self, script);
                self.hv.platform.poke(at, &request);
            }
            XENMEM_exchange => {
                own(self, script);
                (0..8).for_each(|n| self.hv.platform.poke(second + n * 8, &u64::from(script.byte())));
                let order = script.pick(&[0, 0, 1, 2]);
                let mut out =
                    XenMemoryReservation { extent_start: GuestPtr::new(second), extent_order: order, ..request };
                // Mostly as many frames.
                let frames = nr_extents << extent_order;
                out.nr_extents = if script.chance(230) { frames >> order } else { nr_extents };
                self.hv.platform.poke(at, &XenMemoryExchange { r#in: request, out, nr_exchanged: 0 });
            }
            XENMEM_acquire_resource => {
                let kind = XENMEM_resource_grant_table;
                let id = u32::from(script.byte() % 2);
                let (frame, nr_frames) = (u64::from(script.byte() % 4), 1 + u32::from(script.byte() % 3));
                let frame_list = GuestPtr::new(list);
                let op = XenMemAcquireResource {
                    domid,
                    r#type: kind,
                    id,
                    nr_frames,
                    frame,
                    frame_list,
                    ..Default::default()
                };
                self.hv.platform.poke(at, &op);
            }
            _ => self.hv.platform.poke(at, &request),
        }
        (__HYPERVISOR_memory_op, [command.into(), at, 0, 0, 0, 0], kind)
    }

    fn compose_grant(&mut self, script: &mut Script<'_>, dom: u16, at: u64) -> (u32, [u64; 6], Kind) {
        let reference = |script: &mut Script<'_>| match script.byte() {
            0..=239 => u32::from(script.byte() % 12),
            240..=247 => 256 + u32::from(script.byte()),
            _ => u32::MAX - u32::from(script.byte()),
        };
        let count = 1 + script.below(3);
        let each = |size: usize, n: usize| at + (n * size) as u64;
        let (cmd, count, kind) = match script.byte() {
            0..=79 => {
                let granted = self.granted_to(dom);
                for n in 0..count {
                    let (granter, r#ref) = if script.chance(220) && !granted.is_empty() {
                        script.pick(&granted)
                    } else {
                        (self.some_id(script), reference(script))
                    };
                    let mut op = GnttabMapGrantRef {
                        host_addr: self.va(script),
                        flags: script.pick(&[
                            GNTMAP_host_map,
                            GNTMAP_host_map,
                            GNTMAP_host_map | GNTMAP_readonly,
                            GNTMAP_host_map | GNTMAP_application_map,
                            GNTMAP_device_map,
                            GNTMAP_device_map | GNTMAP_readonly,
                            GNTMAP_host_map | GNTMAP_device_map,
                            GNTMAP_host_map | GNTMAP_contains_pte,
                            0,
                        ]),
                        r#ref,
                        dom: granter,
                        ..Default::default()
                    };
                    if op.flags & GNTMAP_contains_pte != 0 {
                        op.host_addr = self.frame_of(script, dom).maddr().0 + self.index(script) as u64 * 8;
                    }
                    self.hv.platform.poke(each(size_of::<GnttabMapGrantRef>(), n), &op);
                }
                (GNTTABOP_map_grant_ref, count, Kind::Map(count))
            }
            80..=149 => {
                let replace = script.chance(60);
                for n in 0..count {
                    let (handle, host_addr, bus) = match self.some_mapping(script, dom) {
                        Some((handle, host, bus)) if script.chance(230) => (handle, host, bus),
                        _ => (u32::from(script.byte() % 6), self.va(script), self.frame_of(script, dom).maddr().0),
                    };
                    let host_addr = if script.chance(30) { 0 } else { host_addr };
                    let dev_bus_addr = if script.chance(128) { bus } else { 0 };
                    if replace {
                        let new_addr = self.va(script);
                        let op = GnttabUnmapAndReplace { host_addr, new_addr, handle, ..Default::default() };
                        self.hv.platform.poke(each(size_of::<GnttabUnmapAndReplace>(), n), &op);
                    } else {
                        let op = GnttabUnmapGrantRef { host_addr, dev_bus_addr, handle, ..Default::default() };
                        self.hv.platform.poke(each(size_of::<GnttabUnmapGrantRef>(), n), &op);
                    }
                }
                (if replace { GNTTABOP_unmap_and_replace } else { GNTTABOP_unmap_grant_ref }, count, Kind::Other)
            }
            150..=184 => {
                let granted = self.granted_to(dom);
                for n in 0..count {
                    let flags = script.pick(&[0, GNTCOPY_source_gref, GNTCOPY_dest_gref, GNTCOPY_source_gref, 3]);
                    let end = |world: &Self, script: &mut Script<'_>, gref: bool| {
                        let offset = script.pick(&[0, 0, 8, 2048, 4090]);
                        if gref {
                            let (domid, at) = if script.chance(200) && !granted.is_empty() {
                                script.pick(&granted)
                            } else {
                                (world.some_id(script), reference(script))
                            };
                            GnttabCopyPtr { u: at.into(), domid, offset, ..Default::default() }
                        } else {
                            GnttabCopyPtr {
                                u: world.granted_frame(script, dom).0,
                                domid: OWN,
                                offset,
                                ..Default::default()
                            }
                        }
                    };
                    let source = end(self, script, flags & GNTCOPY_source_gref != 0);
                    let dest = end(self, script, flags & GNTCOPY_dest_gref != 0);
                    let len = script.pick(&[8, 16, 1, 4096, 100, 0]);
                    let op = GnttabCopy { source, dest, len, flags, ..Default::default() };
                    self.hv.platform.poke(each(size_of::<GnttabCopy>(), n), &op);
                }
                (GNTTABOP_copy, count, Kind::Other)
            }
            185..=204 => {
                for n in 0..count {
                    let (mfn, domid) = (self.some_frame(script, dom).0, self.some_id(script));
                    let op = GnttabTransfer { mfn, domid, r#ref: reference(script), ..Default::default() };
                    self.hv.platform.poke(each(size_of::<GnttabTransfer>(), n), &op);
                }
                (GNTTABOP_transfer, count, Kind::Other)
            }
            205..=224 => {
                let nr_frames = script.pick(&[1, 1, 2, 3, 9]);
                let frame_list = GuestPtr::new(at + LIST);
                let op = GnttabSetupTable { dom: self.domid(script, dom), nr_frames, frame_list, ..Default::default() };
                self.hv.platform.poke(at, &op);
                (GNTTABOP_setup_table, 1, Kind::Other)
            }
            225..=234 => {
                self.hv.platform.poke(at, &GnttabSetVersion { version: script.pick(&[1, 2, 2, 3]) });
                (GNTTABOP_set_version, 1, Kind::Other)
            }
            235..=244 => {
                let op =
                    GnttabSwapGrantRef { ref_a: reference(script), ref_b: reference(script), ..Default::default() };
                self.hv.platform.poke(at, &op);
                (GNTTABOP_swap_grant_ref, 1, Kind::Other)
            }
            other => {
                (0..8).for_each(|n| self.hv.platform.poke(at + n * 8, &u64::from(script.byte())));
                (u32::from(other) - 240, 1, Kind::Other)
            }
        };
        (__HYPERVISOR_grant_table_op, [cmd.into(), at, count as u64, 0, 0, 0], kind)
    }

    fn compose_event(&mut self, script: &mut Script<'_>, dom: u16, at: u64) -> (u32, [u64; 6], Kind) {
        let port = |script: &mut Script<'_>| match script.byte() {
            0..=239 => u32::from(script.byte() % 10),
            240..=247 => u32::from(script.byte()) << 4,
            _ => u32::MAX,
        };
        let vcpu = script.pick(&[0, 0, 0, 1, 2, 3, u32::MAX]);
        let platform = &self.hv.platform;
        let cmd = script.pick(&[
            EVTCHNOP_alloc_unbound,
            EVTCHNOP_alloc_unbound,
            EVTCHNOP_bind_interdomain,
            EVTCHNOP_bind_interdomain,
            EVTCHNOP_bind_interdomain,
            EVTCHNOP_bind_virq,
            EVTCHNOP_bind_ipi,
            EVTCHNOP_bind_pirq,
            EVTCHNOP_close,
            EVTCHNOP_close,
            EVTCHNOP_send,
            EVTCHNOP_send,
            EVTCHNOP_send,
            EVTCHNOP_status,
            EVTCHNOP_bind_vcpu,
            EVTCHNOP_unmask,
            EVTCHNOP_unmask,
            EVTCHNOP_reset,
            EVTCHNOP_init_control,
            EVTCHNOP_expand_array,
            EVTCHNOP_set_priority,
            14,
        ]);
        match cmd {
            EVTCHNOP_alloc_unbound => {
                let (on, remote_dom) =
                    (if script.chance(200) { OWN } else { self.domid(script, dom) }, self.domid(script, dom));
                let remote_dom = if remote_dom == OWN { self.some_id(script) } else { remote_dom };
                platform.poke(at, &EvtchnAllocUnbound { dom: on, remote_dom, port: 0 });
            }
            EVTCHNOP_bind_interdomain => {
                let waiting = self.waiting_ports(dom);
                let (remote_dom, remote_port) = if script.chance(200) && !waiting.is_empty() {
                    script.pick(&waiting)
                } else {
                    (self.some_id(script), port(script))
                };
                platform.poke(at, &EvtchnBindInterdomain { remote_dom, remote_port, ..Default::default() });
            }
            EVTCHNOP_bind_virq => {
                platform.poke(at, &EvtchnBindVirq { virq: u32::from(script.byte() % 26), vcpu, port: 0 });
            }
            EVTCHNOP_bind_ipi => platform.poke(at, &EvtchnBindIpi { vcpu, port: 0 }),
            EVTCHNOP_bind_pirq => {
                platform.poke(at, &EvtchnBindPirq { pirq: u32::from(script.byte() % 6), flags: 0, port: 0 });
            }
            EVTCHNOP_status => {
                let on = self.domid(script, dom);
                platform.poke(at, &EvtchnStatus { dom: on, port: port(script), ..Default::default() });
            }
            EVTCHNOP_bind_vcpu => platform.poke(at, &EvtchnBindVcpu { port: port(script), vcpu }),
            EVTCHNOP_reset => platform.poke(at, &EvtchnReset { dom: self.domid(script, dom) }),
            EVTCHNOP_init_control => {
                let control_gfn = self.some_frame(script, dom).0;
                let offset = script.pick(&[0, 0, 8, 80, 4024, 4032, 4]);
                platform.poke(at, &EvtchnInitControl { control_gfn, offset, vcpu, ..Default::default() });
            }
            EVTCHNOP_expand_array => {
                platform.poke(at, &EvtchnExpandArray { array_gfn: self.some_frame(script, dom).0 });
            }
            EVTCHNOP_set_priority => {
                platform.poke(at, &EvtchnSetPriority { port: port(script), priority: u32::from(script.byte() % 18) });
            }
            // Close, send, unmask, and what does not exist.
            _ => platform.poke(at, &EvtchnSend { port: port(script) }),
        }
        (__HYPERVISOR_event_channel_op, [cmd.into(), at, 0, 0, 0, 0], Kind::Event(cmd))
    }

    fn compose_other(&mut self, script: &mut Script<'_>, dom: u16, at: u64) -> (u32, [u64; 6], Kind) {
        let platform = &self.hv.platform;
        match script.byte() % 8 {
            0 => {
                (0..3).for_each(|n| platform.poke(at + n * 8, &self.some_frame(script, dom).0));
                (
                    __HYPERVISOR_set_gdt,
                    [at, script.pick(&[0, 100, 512, 513, 1024, 7168, 7169]), 0, 0, 0, 0],
                    Kind::Other,
                )
            }
            1 | 2 => {
                let place = self.some_frame(script, dom).maddr().0 + self.index(script) as u64 * 8;
                let descriptor =
                    script.pick(&[0, 0x00af_9b00_0000_ffff, 0x0000_ec00_0000_0000, 0x00cf_f300_0000_ffff, u64::MAX]);
                (__HYPERVISOR_update_descriptor, [place, descriptor, 0, 0, 0, 0], Kind::Other)
            }
            3 => {
                let assist = script.pick(&[VMASST_TYPE_writable_pagetables, VMASST_TYPE_m2p_strict, 63]);
                (__HYPERVISOR_vm_assist, [script.below(2) as u64, assist.into(), 0, 0, 0, 0], Kind::Other)
            }
            4 => {
                let offset = script.pick(&[0, 64, 1024, 4032, 4033, 4095]);
                let op = VcpuRegisterVcpuInfo { mfn: self.some_frame(script, dom).0, offset, ..Default::default() };
                platform.poke(at, &op);
                let args = [VCPUOP_register_vcpu_info.into(), script.below(4) as u64, at, 0, 0, 0];
                (__HYPERVISOR_vcpu_op, args, Kind::Other)
            }
            // Any number, any arguments.
            _ => {
                let mut args = [0; 6];
                for arg in &mut args {
                    *arg = match script.byte() % 8 {
                        0 => self.some_frame(script, dom).maddr().0,
                        1 => self.some_frame(script, dom).0,
                        2 if self.tidy => at + u64::from(script.byte()) / 2 * 8,
                        2 => ARGUMENTS + u64::from(script.byte()) * 32,
                        3 => u64::from(script.byte() % 8),
                        4 => self.va(script),
                        5 => script.pick(&[
                            u64::MAX,
                            1 << 63,
                            OWN.into(),
                            0x7fff_ffff,
                            0xffff_ffff,
                            1 << 47,
                            ARGUMENTS - 4,
                        ]),
                        _ => at,
                    };
                }
                (u32::from(script.byte() % 64), args, Kind::Other)
            }
        }
    }

    /// A mapping that a domain once made: handle, address, bus address.
    fn some_mapping(&self, script: &mut Script<'_>, dom: u16) -> Option<(u32, u64, u64)> {
        let own: Vec<_> = self.made.iter().filter(|made| made.0 == dom).collect();
        let at = script.below(own.len());
        own.get(at).map(|&&(_, handle, host, bus)| (handle, host, bus))
    }

    /// Entries that grant something to a domain: granter and reference.
    fn granted_to(&self, dom: u16) -> Vec<(u16, u32)> {
        let mut found = Vec::new();
        for id in self.ids() {
            let Some(&table) = self.grant_frames(id).first() else { continue };
            let size = if self.dom(id).grants.size().0 == 2 { 16 } else { 8 };
            for at in 0..12u32 {
                let header = self.hv.platform.word(table, at as usize * size / 8) as u32;
                if header & 3 != 0 && header >> 16 == u32::from(dom) {
                    found.push((id, at));
                }
            }
        }
        found
    }

    /// A frame to grant or to copy; in a tidy world no grant table itself. Who copies into one changes the grants by which
    /// the next copies of the same list are let in, unless these share an end with the last (as with Xen): that depends on
    /// where the list was interrupted.
    pub(super) fn granted_frame(&self, script: &mut Script<'_>, dom: u16) -> Mfn {
        let mfn = self.some_frame(script, dom);
        let is_table = |id: &u16| {
            let (entries, states) = self.dom(*id).grants.audit_frames();
            entries.contains(&mfn) || states.contains(&mfn)
        };
        if self.tidy && self.ids().iter().any(is_table) { Mfn(0) } else { mfn }
    }

    /// The frames that a domain can write grant entries to: its shared frames.
    pub fn grant_frames(&self, dom: u16) -> Vec<Mfn> {
        self.dom(dom).grants.audit_frames().0
    }
}
