//! Domains: making, ending, stopping and looking at them.

use crate::call::list;
use crate::{Error, Result, Xen};
use xen_abi::domctl::*;
use xen_abi::event_channel::{
    EVTCHNOP_alloc_unbound, EVTCHNOP_status, EvtchnAllocUnbound, EvtchnBinding, EvtchnStatus,
};
use xen_abi::sched::{SCHEDOP_remote_shutdown, SchedRemoteShutdown};
use xen_abi::sysctl::{XEN_SYSCTL_getdomaininfolist, XenSysctlGetdomaininfolist};
use xen_abi::xen::{__HYPERVISOR_event_channel_op, __HYPERVISOR_sched_op, DOMID_FIRST_RESERVED, DOMID_SELF};
use xen_abi::{Errno, GuestPtr, member};
use xen_call::{Buffer as _, Hypercalls};

/// What a new PV domain is given before it exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateDomain {
    /// Its UUID.
    pub uuid: [u8; 16],
    /// The most vcpus that it can have.
    pub max_vcpus: u32,
    /// The most event channels.
    pub max_event_channels: u32,
    /// The most frames of its grant table; `None`: the hypervisor's default.
    pub max_grant_frames: Option<u32>,
    /// The most frames for its mappings of others' grants; `None`: the hypervisor's default.
    pub max_maptrack_frames: Option<u32>,
    /// The number of its CPU pool.
    pub cpupool: u32,
}

/// What the hypervisor knows of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DomainInfo {
    /// Its number.
    pub domid: u16,
    /// Its UUID.
    pub uuid: [u8; 16],
    /// Frames that it has.
    pub pages: u64,
    /// Frames that it may have.
    pub max_pages: u64,
    /// Frames that are claimed for it.
    pub outstanding_pages: u64,
    /// Frames that it shares with others.
    pub shared_pages: u64,
    /// Machine frame of its shared-info page.
    pub shared_info: u64,
    /// Nanoseconds that its vcpus ran.
    pub cpu_time: u64,
    /// Vcpus that are online.
    pub online_vcpus: u32,
    /// Number of its last vcpu; `None`: it has none.
    pub max_vcpu_id: Option<u32>,
    /// Its cpupool.
    pub cpupool: u32,
    /// Its security label's number.
    pub ssid: u32,
    flags: u32,
}

impl From<&XenDomctlGetdomaininfo> for DomainInfo {
    fn from(info: &XenDomctlGetdomaininfo) -> Self {
        DomainInfo {
            domid: info.domain,
            uuid: info.handle,
            pages: info.tot_pages,
            max_pages: info.max_pages,
            outstanding_pages: info.outstanding_pages,
            shared_pages: info.shr_pages,
            shared_info: info.shared_info_frame,
            cpu_time: info.cpu_time,
            online_vcpus: info.nr_online_vcpus,
            max_vcpu_id: (info.max_vcpu_id != XEN_INVALID_MAX_VCPU_ID).then_some(info.max_vcpu_id),
            cpupool: info.cpupool,
            ssid: info.ssidref,
            flags: info.flags,
        }
    }
}

impl DomainInfo {
    fn flag(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }
    /// It is being torn down.
    pub fn dying(&self) -> bool {
        self.flag(XEN_DOMINF_dying)
    }
    /// The toolstack paused it.
    pub fn paused(&self) -> bool {
        self.flag(XEN_DOMINF_paused)
    }
    /// All of its vcpus wait.
    pub fn blocked(&self) -> bool {
        self.flag(XEN_DOMINF_blocked)
    }
    /// A vcpu runs now.
    pub fn running(&self) -> bool {
        self.flag(XEN_DOMINF_running)
    }
    /// It is no PV domain.
    pub fn is_hvm(&self) -> bool {
        self.flag(XEN_DOMINF_hvm_guest)
    }
    /// Why it shut down (`SHUTDOWN_*`), if it did.
    pub fn shutdown(&self) -> Option<u8> {
        let code = self.flags >> XEN_DOMINF_shutdownshift & XEN_DOMINF_shutdownmask;
        self.flag(XEN_DOMINF_shutdown).then_some(u8::try_from(code).unwrap_or(u8::MAX))
    }
    /// As Xen's tools show it: running, blocked, paused, shut down, crashed, dying.
    pub fn state_letters(&self) -> String {
        const CRASH: u8 = 3;
        let shutdown = self.shutdown();
        // Xen's own tools show a vcpu that waits as running or blocked, never both.
        [
            (self.running(), 'r'),
            (self.blocked(), 'b'),
            (self.paused(), 'p'),
            (shutdown.is_some(), 's'),
            (shutdown == Some(CRASH), 'c'),
            (self.dying(), 'd'),
        ]
        .map(|(is, letter)| if is { letter } else { '-' })
        .iter()
        .collect()
    }
}

impl<H: Hypercalls> Xen<H> {
    /// Makes a PV domain: paused, without vcpus and memory. Gives its number.
    ///
    /// # Errors
    /// The hypervisor's.
    pub fn create_domain(&self, new: &CreateDomain) -> Result<u16> {
        let frames = |most: Option<u32>| most.and_then(|n| i32::try_from(n).ok()).unwrap_or(-1);
        let arg = XenDomctlCreatedomain {
            handle: new.uuid,
            max_vcpus: new.max_vcpus,
            max_evtchn_port: new.max_event_channels,
            max_grant_frames: frames(new.max_grant_frames),
            max_maptrack_frames: frames(new.max_maptrack_frames),
            grant_opts: 1,
            cpupool_id: new.cpupool,
            ..Default::default()
        };
        let what = "create a domain";
        let op = self.domctl(what, 0, XEN_DOMCTL_createdomain, &arg).map_err(|error| Error { domid: None, ..error })?;
        Ok(op.domain)
    }

    /// Gives it room for vcpus 0 to `count - 1`.
    ///
    /// # Errors
    /// The hypervisor's.
    pub fn set_max_vcpus(&self, domid: u16, count: u32) -> Result<()> {
        let arg = XenDomctlMaxVcpus { max: count };
        self.domctl("make its vcpus", domid, XEN_DOMCTL_max_vcpus, &arg).map(drop)
    }

    /// Ends it and takes back what it has. It is gone when this returns, unless others map its frames.
    ///
    /// # Errors
    /// The hypervisor's.
    pub fn destroy_domain(&self, domid: u16) -> Result<()> {
        self.domctl("destroy it", domid, XEN_DOMCTL_destroydomain, &[0u8; 0]).map(drop)
    }

    /// Stops its vcpus (counted).
    ///
    /// # Errors
    /// The hypervisor's.
    pub fn pause_domain(&self, domid: u16) -> Result<()> {
        self.domctl("pause it", domid, XEN_DOMCTL_pausedomain, &[0u8; 0]).map(drop)
    }

    /// Undoes one pause.
    ///
    /// # Errors
    /// The hypervisor's.
    pub fn unpause_domain(&self, domid: u16) -> Result<()> {
        self.domctl("unpause it", domid, XEN_DOMCTL_unpausedomain, &[0u8; 0]).map(drop)
    }

    /// Ends it as if it had ended itself for the reason `SHUTDOWN_*`; what it has stays.
    ///
    /// # Errors
    /// The hypervisor's.
    pub fn shut_down(&self, domid: u16, reason: u32) -> Result<()> {
        let mut arg = SchedRemoteShutdown { domain_id: domid, reason, ..Default::default() };
        self.with(__HYPERVISOR_sched_op, &[SCHEDOP_remote_shutdown.into()], &mut arg).map(drop).map_err(|errno| Error {
            what: "shut it down",
            domid: Some(domid),
            errno,
        })
    }

    /// What is known of a domain; `None`: there is none with this number.
    ///
    /// # Errors
    /// The hypervisor's.
    pub fn domain_info(&self, domid: u16) -> Result<Option<DomainInfo>> {
        match self.domctl("look at it", domid, XEN_DOMCTL_getdomaininfo, &[0u8; 0]) {
            // The hypervisor gives the first one from this number on.
            Ok(op) => {
                let info = DomainInfo::from(&member::get::<XenDomctlGetdomaininfo, 128>(&op.u));
                Ok((info.domid == domid).then_some(info))
            }
            Err(Error { errno: Errno::ESRCH, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All domains, by number.
    ///
    /// # Errors
    /// The hypervisor's.
    pub fn domains(&self) -> Result<Vec<DomainInfo>> {
        const AT_ONCE: usize = 64;
        let buffer = self.buffer(AT_ONCE * size_of::<XenDomctlGetdomaininfo>())?;
        let (mut all, mut first) = (Vec::new(), 0);
        loop {
            let arg = XenSysctlGetdomaininfolist {
                first_domain: first,
                max_domains: AT_ONCE as u32,
                buffer: GuestPtr::new(buffer.addr()),
                ..Default::default()
            };
            let done = self.sysctl("list the domains", XEN_SYSCTL_getdomaininfolist, &arg)?.num_domains as usize;
            let some: Vec<XenDomctlGetdomaininfo> = list(&buffer, done);
            all.extend(some.iter().map(DomainInfo::from).filter(|info| info.domid < DOMID_FIRST_RESERVED));
            match some.last().and_then(|last| last.domain.checked_add(1)) {
                Some(next) if done == AT_ONCE => first = next,
                _ => return Ok(all),
            }
        }
    }

    /// Sets its UUID.
    ///
    /// # Errors
    /// The hypervisor's.
    pub fn set_uuid(&self, domid: u16, uuid: [u8; 16]) -> Result<()> {
        let arg = XenDomctlSetdomainhandle { handle: uuid };
        self.domctl("set its UUID", domid, XEN_DOMCTL_setdomainhandle, &arg).map(drop)
    }

    /// A port of `domid` that waits for `remote` to bind to it.
    ///
    /// # Errors
    /// The hypervisor's.
    pub fn open_event_channel(&self, domid: u16, remote: u16) -> Result<u32> {
        let mut arg = EvtchnAllocUnbound { dom: domid, remote_dom: remote, port: 0 };
        self.with(__HYPERVISOR_event_channel_op, &[EVTCHNOP_alloc_unbound.into()], &mut arg)
            .map_err(|errno| Error { what: "open an event channel", domid: Some(domid), errno })?;
        Ok(arg.port)
    }

    /// What a port of this domain is bound to.
    ///
    /// # Errors
    /// `EINVAL`: there is no such port; the hypervisor's.
    pub fn event_channel(&self, port: u32) -> Result<EvtchnBinding> {
        let failed = |errno| Error { what: "look at an event channel", domid: None, errno };
        let mut arg = EvtchnStatus { dom: DOMID_SELF, port, ..Default::default() };
        self.with(__HYPERVISOR_event_channel_op, &[EVTCHNOP_status.into()], &mut arg).map_err(failed)?;
        arg.decode().ok_or(failed(Errno::EINVAL))
    }

    /// Pulls a trigger of a vcpu (`XEN_DOMCTL_SENDTRIGGER_*`). For PV domains there is the NMI alone.
    ///
    /// # Errors
    /// `ENOSYS`: no such trigger; the hypervisor's.
    pub fn send_trigger(&self, domid: u16, trigger: u32, vcpu: u32) -> Result<()> {
        let arg = XenDomctlSendtrigger { trigger, vcpu };
        self.domctl("pull its trigger", domid, XEN_DOMCTL_sendtrigger, &arg).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crashed_domain_shows_both_letters_as_xl_does() {
        let letters = |flags| DomainInfo::from(&XenDomctlGetdomaininfo { flags, ..Default::default() }).state_letters();
        assert_eq!(letters(XEN_DOMINF_shutdown | 3 << XEN_DOMINF_shutdownshift), "---sc-");
        assert_eq!(letters(XEN_DOMINF_shutdown), "---s--");
        assert_eq!(letters(XEN_DOMINF_dying), "-----d");
    }
}
