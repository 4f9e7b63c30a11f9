//! `event_channel.h`: subcommands of `event_channel_op`, and the 2-level and FIFO layouts.

use crate::xen::domid_t;

/// An event channel's number in its domain.
pub type evtchn_port_t = u32;
/// One port's word in a FIFO event array.
pub type event_word_t = u32;

consts! {
    /// Subcommand of `event_channel_op`.
    u32 {
        EVTCHNOP_bind_interdomain = 0,
        EVTCHNOP_bind_virq = 1,
        EVTCHNOP_bind_pirq = 2,
        EVTCHNOP_close = 3,
        EVTCHNOP_send = 4,
        EVTCHNOP_status = 5,
        EVTCHNOP_alloc_unbound = 6,
        EVTCHNOP_bind_ipi = 7,
        EVTCHNOP_bind_vcpu = 8,
        EVTCHNOP_unmask = 9,
        EVTCHNOP_reset = 10,
        EVTCHNOP_init_control = 11,
        EVTCHNOP_expand_array = 12,
        EVTCHNOP_set_priority = 13,
    }
    /// Flag of `evtchn_bind_pirq`.
    u32 {
        BIND_PIRQ__WILL_SHARE = 1,
    }
    /// State of a port.
    u32 {
        /// Channel is not in use.
        EVTCHNSTAT_closed = 0,
        /// Channel is waiting interdom connection.
        EVTCHNSTAT_unbound = 1,
        /// Channel is connected to remote domain.
        EVTCHNSTAT_interdomain = 2,
        /// Channel is bound to a phys IRQ line.
        EVTCHNSTAT_pirq = 3,
        /// Channel is bound to a virtual IRQ line
        EVTCHNSTAT_virq = 4,
        /// Channel is bound to a virtual IPI line
        EVTCHNSTAT_ipi = 5,
    }
    /// Ports that the 2-level layout has on x86-64.
    u32 {
        EVTCHN_2L_NR_CHANNELS = 4096,
    }
    /// Priority of a port; lower is more urgent.
    u32 {
        EVTCHN_FIFO_PRIORITY_MAX = 0,
        EVTCHN_FIFO_PRIORITY_DEFAULT = 7,
        EVTCHN_FIFO_PRIORITY_MIN = 15,
    }
    /// Queues in a control block.
    usize {
        EVTCHN_FIFO_MAX_QUEUES = 16,
    }
    /// Bit number in an event word.
    u32 {
        EVTCHN_FIFO_PENDING = 31,
        EVTCHN_FIFO_MASKED = 30,
        EVTCHN_FIFO_LINKED = 29,
        EVTCHN_FIFO_BUSY = 28,
    }
    /// The link field of an event word.
    u32 {
        EVTCHN_FIFO_LINK_BITS = 17,
        EVTCHN_FIFO_LINK_MASK = 0x1ffff,
        EVTCHN_FIFO_NR_CHANNELS = 1 << EVTCHN_FIFO_LINK_BITS,
    }
}

structs! {
    /// Argument of `EVTCHNOP_alloc_unbound`.
    EvtchnAllocUnbound = "struct evtchn_alloc_unbound" {
        /// In.
        dom: domid_t,
        /// In.
        remote_dom: domid_t,
        /// Out.
        port: evtchn_port_t,
    }
    /// Argument of `EVTCHNOP_bind_interdomain`.
    EvtchnBindInterdomain = "struct evtchn_bind_interdomain" {
        /// In.
        remote_dom: domid_t,
        _pad0: [u8; 2],
        /// In.
        remote_port: evtchn_port_t,
        /// Out.
        local_port: evtchn_port_t,
    }
    /// Argument of `EVTCHNOP_bind_virq`.
    EvtchnBindVirq = "struct evtchn_bind_virq" {
        /// Enum virq
        virq: u32,
        /// In.
        vcpu: u32,
        /// Out.
        port: evtchn_port_t,
    }
    /// Argument of `EVTCHNOP_bind_pirq`.
    EvtchnBindPirq = "struct evtchn_bind_pirq" {
        /// In.
        pirq: u32,
        /// BIND_PIRQ__*
        flags: u32,
        /// Out.
        port: evtchn_port_t,
    }
    /// Argument of `EVTCHNOP_bind_ipi`.
    EvtchnBindIpi = "struct evtchn_bind_ipi" {
        vcpu: u32,
        /// Out.
        port: evtchn_port_t,
    }
    /// Argument of `EVTCHNOP_close`.
    EvtchnClose = "struct evtchn_close" {
        /// In.
        port: evtchn_port_t,
    }
    /// Argument of `EVTCHNOP_send`.
    EvtchnSend = "struct evtchn_send" {
        /// In.
        port: evtchn_port_t,
    }
    /// Member `u.unbound` of `struct evtchn_status`.
    EvtchnStatusUnbound = "__typeof__(((struct evtchn_status *)0)->u.unbound)" {
        dom: domid_t,
    }
    /// Member `u.interdomain` of `struct evtchn_status`.
    EvtchnStatusInterdomain = "__typeof__(((struct evtchn_status *)0)->u.interdomain)" {
        dom: domid_t,
        _pad0: [u8; 2],
        port: evtchn_port_t,
    }
    /// Argument of `EVTCHNOP_status`; see [`EvtchnStatus::decode`].
    EvtchnStatus = "struct evtchn_status" {
        /// In.
        dom: domid_t,
        _pad0: [u8; 2],
        /// In.
        port: evtchn_port_t,
        /// Out.
        status: u32,
        /// VCPU to which this channel is bound.
        vcpu: u32,
        u: [u8; 8],
    }
    /// Argument of `EVTCHNOP_bind_vcpu`.
    EvtchnBindVcpu = "struct evtchn_bind_vcpu" {
        /// In.
        port: evtchn_port_t,
        /// In.
        vcpu: u32,
    }
    /// Argument of `EVTCHNOP_unmask`.
    EvtchnUnmask = "struct evtchn_unmask" {
        /// In.
        port: evtchn_port_t,
    }
    /// Argument of `EVTCHNOP_reset`.
    EvtchnReset = "struct evtchn_reset" {
        /// In.
        dom: domid_t,
    }
    /// Argument of `EVTCHNOP_init_control`.
    EvtchnInitControl = "struct evtchn_init_control" {
        /// In.
        control_gfn: u64,
        /// In.
        offset: u32,
        /// In.
        vcpu: u32,
        /// Out.
        link_bits: u8,
        _pad: [u8; 7],
    }
    /// Argument of `EVTCHNOP_expand_array`.
    EvtchnExpandArray = "struct evtchn_expand_array" {
        /// In.
        array_gfn: u64,
    }
    /// Argument of `EVTCHNOP_set_priority`.
    EvtchnSetPriority = "struct evtchn_set_priority" {
        /// In.
        port: evtchn_port_t,
        /// In.
        priority: u32,
    }
    /// Argument of the old `event_channel_op_compat`.
    EvtchnOp = "struct evtchn_op" {
        /// Enum event_channel_op
        cmd: u32,
        u: [u8; 24],
    }
    /// The per-vcpu control block of FIFO event channels.
    EvtchnFifoControlBlock = "struct evtchn_fifo_control_block" {
        ready: u32,
        _rsvd: u32,
        head: [u32; 16],
    }
}

/// What a port is bound to, as `EVTCHNOP_status` reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvtchnBinding {
    /// `EVTCHNSTAT_closed`: the port is free.
    Closed,
    /// `EVTCHNSTAT_unbound`: waits for this domain to bind to it.
    Unbound(domid_t),
    /// `EVTCHNSTAT_interdomain`: connected to that domain's port.
    Interdomain(domid_t, evtchn_port_t),
    /// `EVTCHNSTAT_pirq`: a physical interrupt.
    Pirq(u32),
    /// `EVTCHNSTAT_virq`: a virtual interrupt.
    Virq(u32),
    /// `EVTCHNSTAT_ipi`: an interrupt between vcpus.
    Ipi,
}

impl EvtchnStatus {
    /// What `status` and `u` say; `None` for a status that the ABI does not have.
    #[must_use]
    pub fn decode(&self) -> Option<EvtchnBinding> {
        let inter: EvtchnStatusInterdomain = zerocopy::transmute!(self.u);
        let [word, _]: [u32; 2] = zerocopy::transmute!(self.u);
        Some(match self.status {
            EVTCHNSTAT_closed => EvtchnBinding::Closed,
            EVTCHNSTAT_unbound => EvtchnBinding::Unbound(inter.dom),
            EVTCHNSTAT_interdomain => EvtchnBinding::Interdomain(inter.dom, inter.port),
            EVTCHNSTAT_pirq => EvtchnBinding::Pirq(word),
            EVTCHNSTAT_virq => EvtchnBinding::Virq(word),
            EVTCHNSTAT_ipi => EvtchnBinding::Ipi,
            _ => return None,
        })
    }

    /// Fills in `status` and `u`; what `u` does not use is zero.
    pub fn encode(&mut self, binding: EvtchnBinding) {
        let (status, dom, word) = match binding {
            EvtchnBinding::Closed => (EVTCHNSTAT_closed, None, 0),
            EvtchnBinding::Unbound(dom) => (EVTCHNSTAT_unbound, Some(dom), 0),
            EvtchnBinding::Interdomain(dom, port) => (EVTCHNSTAT_interdomain, Some(dom), port),
            EvtchnBinding::Pirq(pirq) => (EVTCHNSTAT_pirq, None, pirq),
            EvtchnBinding::Virq(virq) => (EVTCHNSTAT_virq, None, virq),
            EvtchnBinding::Ipi => (EVTCHNSTAT_ipi, None, 0),
        };
        self.status = status;
        self.u = match dom {
            Some(dom) => {
                let inter = EvtchnStatusInterdomain { dom, port: word, ..Default::default() };
                zerocopy::transmute!(inter)
            }
            None => zerocopy::transmute!([word, 0]),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_port_is_bound_to_survives_encoding() {
        let bindings = [
            EvtchnBinding::Closed,
            EvtchnBinding::Unbound(3),
            EvtchnBinding::Interdomain(0x7ff0, 0x1ffff),
            EvtchnBinding::Pirq(17),
            EvtchnBinding::Virq(2),
            EvtchnBinding::Ipi,
        ];
        for binding in bindings {
            let mut status = EvtchnStatus { u: [0xaa; 8], ..Default::default() };
            status.encode(binding);
            assert_eq!(status.decode(), Some(binding));
        }
        assert_eq!(EvtchnStatus { status: 6, ..Default::default() }.decode(), None);
    }

    #[test]
    fn encoding_leaves_no_byte_of_what_was_there() {
        let mut status = EvtchnStatus { u: [0xaa; 8], ..Default::default() };
        status.encode(EvtchnBinding::Unbound(0x0102));
        assert_eq!(status.u, [2, 1, 0, 0, 0, 0, 0, 0]);
    }
}
