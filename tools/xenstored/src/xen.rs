//! Domains of a real hypervisor: their ring pages by grant (or by frame), their event channels, and the news of their end.

use crate::rings::{DomainEvent, DomainTransport};
use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use tracing::{info, warn};
use xen_abi::event_channel::EvtchnBinding;
use xen_abi::grant_table::GNTTAB_RESERVED_XENSTORE;
use xen_abi::xen::VIRQ_DOM_EXC;
use xen_sys::{Bound, ControlDomainStore, EventChannels, GrantDevice, Privcmd, RingPage};
use xen_wire::xenstore::XsError;
use xenctl::Xen;

/// The name under which the supervisor keeps the handle of the event channels.
const EVENT_HANDLE: &str = "evtchn";

#[derive(Debug)]
struct Connected {
    page: RingPage,
    local: Bound,
    remote_port: u32,
}

/// The domains of the hypervisor below this kernel.
#[derive(Debug)]
pub struct XenDomains {
    xen: Xen<Privcmd>,
    events: EventChannels,
    adopted: bool,
    grants: Option<GrantDevice>,
    virq: Option<Bound>,
    domains: BTreeMap<u16, Connected>,
}

impl XenDomains {
    /// Opens the kernel's devices. `None`: there is no Xen below this kernel.
    ///
    /// # Errors
    /// A device that is there cannot be used.
    pub fn open() -> anyhow::Result<Option<Self>> {
        use anyhow::Context as _;
        let privcmd = match Privcmd::open() {
            Ok(privcmd) => privcmd,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context("cannot open /dev/xen/privcmd"),
        };
        let events = EventChannels::open().context("cannot open /dev/xen/evtchn")?;
        let mut this = XenDomains {
            xen: Xen::new(privcmd)?,
            events,
            adopted: false,
            grants: GrantDevice::open().ok(),
            virq: None,
            domains: BTreeMap::new(),
        };
        this.bind_virq();
        Ok(Some(this))
    }

    fn bind_virq(&mut self) {
        self.virq = match self.events.bind_virq(VIRQ_DOM_EXC) {
            Ok(port) => Some(port),
            Err(error) => {
                let kept = self.bound_before(|binding| *binding == EvtchnBinding::Virq(VIRQ_DOM_EXC));
                if kept.is_none() && self.adopted {
                    warn!("the end of domains will not be noticed: VIRQ_DOM_EXC cannot be bound: {error}");
                }
                kept
            }
        };
    }

    /// A port of the adopted handle that is bound so.
    fn bound_before(&self, wanted: impl Fn(&EvtchnBinding) -> bool) -> Option<Bound> {
        if !self.adopted {
            return None;
        }
        (1..4096)
            .map_while(|port| self.xen.event_channel(port).ok())
            .zip(1..)
            .filter(|(binding, _)| wanted(binding))
            .map(|(_, port)| Bound(port))
            // Unmasking proves that it is this handle's, and loses no event that the last daemon had read.
            .find(|port| self.events.unmask(*port).is_ok())
    }

    fn map(&self, domid: u16, gfn: u64) -> Result<RingPage, XsError> {
        if domid == 0 {
            let own = ControlDomainStore::open().ok().flatten().ok_or(XsError::ENOENT)?;
            return Ok(RingPage::Mapped(own.page));
        }
        let page = RingPage::open(self.grants.as_ref(), self.xen.hypercalls(), domid, GNTTAB_RESERVED_XENSTORE, gfn);
        page.map_err(|error| {
            warn!("domain {domid}: its ring page (frame {gfn:#x}) cannot be mapped: {error}");
            XsError::EINVAL
        })
    }

    fn bind(&self, domid: u16, port: u32) -> Result<Bound, XsError> {
        match self.events.bind_interdomain(domid, port) {
            Ok(local) => Ok(local),
            Err(error) => {
                let kept = self.bound_before(|binding| *binding == EvtchnBinding::Interdomain(domid, port));
                kept.ok_or_else(|| {
                    warn!("domain {domid}: its event channel {port} cannot be bound: {error}");
                    XsError::EINVAL
                })
            }
        }
    }

    /// Which domains ended or are ending.
    fn look(&self, into: &mut Vec<DomainEvent>) {
        for domid in self.domains.keys().copied().filter(|domid| *domid != 0) {
            match self.xen.domain_info(domid) {
                Ok(None) => into.push(DomainEvent::Gone(domid)),
                Ok(Some(info)) if info.dying() => into.push(DomainEvent::Gone(domid)),
                Ok(Some(info)) if info.shutdown().is_some() => into.push(DomainEvent::Shutdown(domid)),
                Ok(Some(_)) => {}
                Err(error) => warn!("{error}"),
            }
        }
    }
}

impl DomainTransport for XenDomains {
    type Page = RingPage;

    fn connect(&mut self, domid: u16, gfn: u64, port: u32) -> Result<(), XsError> {
        if self.domains.get(&domid).is_some_and(|known| known.remote_port == port) {
            return Ok(());
        }
        if domid != 0 && !matches!(self.xen.domain_info(domid), Ok(Some(info)) if !info.dying()) {
            return Err(XsError::ENOENT);
        }
        self.disconnect(domid);
        let page = self.map(domid, gfn)?;
        let local = self.bind(domid, port)?;
        self.domains.insert(domid, Connected { page, local, remote_port: port });
        // The control domain's kernel begins to use its store with the first event.
        self.notify(domid);
        info!("domain {domid} is connected (port {port})");
        Ok(())
    }

    fn disconnect(&mut self, domid: u16) {
        if let Some(gone) = self.domains.remove(&domid) {
            // The other end may have closed it.
            let _ = self.events.unbind(gone.local);
        }
    }

    fn page(&self, domid: u16) -> Option<&RingPage> {
        self.domains.get(&domid).map(|domain| &domain.page)
    }

    fn notify(&mut self, domid: u16) {
        if let Some(domain) = self.domains.get(&domid) {
            // A domain that is gone is heard of by its virtual interrupt.
            let _ = self.events.notify(domain.local);
        }
    }

    fn poll(&mut self, into: &mut Vec<DomainEvent>) {
        let fired = match self.events.fired() {
            Ok(fired) => fired,
            Err(error) => {
                warn!("events were lost ({error}): looking at every ring");
                into.extend(self.domains.keys().map(|domid| DomainEvent::Ring(*domid)));
                self.look(into);
                return;
            }
        };
        for port in fired {
            // Before the look: what comes after the look fires again.
            let _ = self.events.unmask(port);
            if Some(port) == self.virq {
                self.look(into);
            } else if let Some((domid, _)) = self.domains.iter().find(|(_, domain)| domain.local == port) {
                into.push(DomainEvent::Ring(*domid));
            }
        }
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.events.as_fd())
    }

    fn control_domain(&self) -> Option<(u64, u32)> {
        match ControlDomainStore::open() {
            Ok(own) => own.map(|own| (0, own.port)),
            Err(error) => {
                warn!("this kernel's own xenstore page cannot be mapped: {error}");
                None
            }
        }
    }

    fn adopt(&mut self, name: &str, fd: OwnedFd) {
        if name == EVENT_HANDLE {
            self.events = EventChannels::adopt(fd);
            self.adopted = true;
            self.bind_virq();
        }
    }

    fn keep(&self) -> Vec<(String, BorrowedFd<'_>)> {
        vec![(EVENT_HANDLE.to_owned(), self.events.as_fd())]
    }
}
