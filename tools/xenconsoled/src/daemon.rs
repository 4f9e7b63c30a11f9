//! The daemon's loop.

use crate::console::{Console, Farewell};
use crate::log::Log;
use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::time::Duration;
use tracing::{info, warn};
use xen_abi::grant_table::GNTTAB_RESERVED_CONSOLE;
use xen_abi::xen::VIRQ_CON_RING;
use xen_sys::{Bound, EventChannels, GrantDevice, Privcmd, RingPage};
use xenctl::Xen;
use xenstore::{Access as _, Xenstore};

/// What the daemon is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where logs go.
    pub log_dir: PathBuf,
    /// A log for each guest.
    pub log_guests: bool,
    /// The hypervisor's log.
    pub log_hypervisor: bool,
    /// Bytes of a log before it is put away.
    pub log_size: u64,
    /// Old ones that stay.
    pub log_kept: u32,
}

struct Guest {
    console: Console<RingPage>,
    local: Bound,
    remote: u32,
    /// It printed too much: its event is unmasked later.
    masked: bool,
}

/// The daemon.
pub struct Daemon {
    config: Config,
    xen: Xen<Privcmd>,
    xs: Xenstore,
    events: EventChannels,
    grants: Option<GrantDevice>,
    guests: BTreeMap<u16, Guest>,
    /// Domains that were introduced before the nodes of their consoles were written, as libxl does it.
    incomplete: BTreeSet<u16>,
    /// Terminals of guests that are gone.
    gone: Vec<Farewell>,
    hypervisor: Option<Hypervisor>,
}

struct Hypervisor {
    virq: Bound,
    log: Log,
    next: Option<u32>,
}

impl Daemon {
    /// Opens everything.
    ///
    /// # Errors
    /// No hypervisor, no store.
    pub fn new(config: Config) -> anyhow::Result<Daemon> {
        let privcmd = Privcmd::open().context("cannot open /dev/xen/privcmd: is there a hypervisor?")?;
        let events = EventChannels::open().context("cannot open /dev/xen/evtchn")?;
        let mut xs = Xenstore::open()?;
        for special in ["@introduceDomain", "@releaseDomain"] {
            xs.watch(special, b"domains", None)?;
        }
        let mut daemon = Daemon {
            xen: Xen::new(privcmd)?,
            xs,
            events,
            grants: GrantDevice::open().ok(),
            guests: BTreeMap::new(),
            incomplete: BTreeSet::new(),
            gone: Vec::new(),
            hypervisor: None,
            config,
        };
        if daemon.config.log_hypervisor {
            match daemon.open_hypervisor() {
                Ok(hypervisor) => daemon.hypervisor = Some(hypervisor),
                Err(error) => warn!("the hypervisor's console is not logged: {error:#}"),
            }
            daemon.log_hypervisor();
        }
        Ok(daemon)
    }

    fn open_hypervisor(&self) -> anyhow::Result<Hypervisor> {
        let virq = self.events.bind_virq(VIRQ_CON_RING).context("VIRQ_CON_RING cannot be bound")?;
        let path = self.config.log_dir.join("hypervisor.log");
        let log = Log::new(&path, self.config.log_size, self.config.log_kept);
        Ok(Hypervisor { virq, log, next: None })
    }

    fn log_hypervisor(&mut self) {
        let Some(hypervisor) = &mut self.hypervisor else { return };
        loop {
            match self.xen.read_console(hypervisor.next.or(Some(0)), false) {
                Ok((bytes, next)) => {
                    hypervisor.next = Some(next);
                    if bytes.is_empty() {
                        return;
                    }
                    if let Err(error) = hypervisor.log.write(&bytes) {
                        warn!("the hypervisor's log: {error}; it goes on when that is over");
                    }
                }
                Err(error) => {
                    warn!("{error}");
                    return;
                }
            }
        }
    }

    /// Runs until something is broken for good.
    ///
    /// # Errors
    /// The store is gone.
    pub fn run(&mut self) -> anyhow::Result<()> {
        self.find_guests()?;
        loop {
            self.gone.retain_mut(Farewell::go_on);
            let soon = (!self.gone.is_empty()).then(|| Duration::from_millis(50));
            let patient = self.guests.values_mut().filter(|guest| guest.masked);
            let wait = patient.filter_map(|guest| guest.console.must_wait()).chain(soon).min();
            let ready = self.wait(wait)?;
            self.hear_events();
            self.unmask_patient();
            for domid in ready {
                if let Some(guest) = self.guests.get_mut(&domid)
                    && guest.console.type_in()
                {
                    // One that is gone is found out by the store.
                    let _ = self.events.notify(guest.local);
                }
            }
            for guest in self.guests.values_mut() {
                guest.console.show();
            }
            // Looking asks the store, and with its answers more events may come that no poll would tell of.
            while self.heard_news()? {
                self.find_guests()?;
            }
        }
    }

    /// Takes all events of the store; whether there were any.
    fn heard_news(&mut self) -> anyhow::Result<bool> {
        let mut news = false;
        while self.xs.next_event(Some(Duration::ZERO))?.is_some() {
            news = true;
        }
        Ok(news)
    }

    /// Waits; gives the guests whose terminals have input.
    fn wait(&self, timeout: Option<Duration>) -> anyhow::Result<Vec<u16>> {
        let mut fds = vec![
            PollFd::from_borrowed_fd(self.xs.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.events.as_fd(), PollFlags::IN),
        ];
        let first = fds.len();
        for guest in self.guests.values() {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, guest.console.has_room());
            flags.set(PollFlags::OUT, guest.console.has_output());
            fds.push(PollFd::from_borrowed_fd(guest.console.terminal.as_fd(), flags));
        }
        let timeout = timeout.map(Timespec::try_from).transpose().context("a strange time")?;
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("poll failed"),
        }
        let terminals = fds.get(first..).unwrap_or_default();
        let typed = |fd: &PollFd<'_>| fd.revents().contains(PollFlags::IN);
        Ok(self.guests.keys().zip(terminals).filter(|(_, fd)| typed(fd)).map(|(domid, _)| *domid).collect())
    }

    fn hear_events(&mut self) {
        let fired = match self.events.fired() {
            Ok(fired) => fired,
            Err(error) => {
                warn!("events were lost: {error}");
                self.guests.values().map(|guest| guest.local).collect()
            }
        };
        for port in fired {
            if self.hypervisor.as_ref().is_some_and(|hypervisor| hypervisor.virq == port) {
                let _ = self.events.unmask(port);
                self.log_hypervisor();
                continue;
            }
            let Some(guest) = self.guests.values_mut().find(|guest| guest.local == port) else { continue };
            guest.masked = true;
            Self::serve(&self.events, guest);
        }
    }

    /// Takes what a guest printed, as far as its share goes, and lets its event fire again.
    fn serve(events: &EventChannels, guest: &mut Guest) {
        if guest.console.must_wait().is_some() {
            return;
        }
        // What comes after the last look fires again.
        let _ = events.unmask(guest.local);
        guest.masked = false;
        while guest.console.take() {
            let _ = events.notify(guest.local);
            if guest.console.must_wait().is_some() {
                guest.masked = true;
                return;
            }
        }
    }

    fn unmask_patient(&mut self) {
        for guest in self.guests.values_mut().filter(|guest| guest.masked) {
            Self::serve(&self.events, guest);
        }
    }

    /// Compares the domains in the store with ours.
    fn find_guests(&mut self) -> anyhow::Result<()> {
        let names = self.xs.list("/local/domain").unwrap_or_default();
        let now: Vec<u16> = names.iter().filter_map(|name| name.parse().ok()).filter(|domid| *domid != 0).collect();
        for domid in self.guests.keys().copied().collect::<Vec<_>>() {
            let lives = self.xen.domain_info(domid)?.is_some_and(|info| !info.dying());
            if !lives || !now.contains(&domid) {
                self.forget(domid);
            }
        }
        for domid in self.incomplete.iter().copied().filter(|domid| !now.contains(domid)).collect::<Vec<_>>() {
            self.wait_no_longer(domid);
        }
        for domid in now {
            match self.add(domid) {
                Ok(true) => self.wait_no_longer(domid),
                Ok(false) if self.incomplete.insert(domid) => self.xs.watch(&nodes(domid), b"console", None)?,
                Ok(false) => {}
                Err(error) => warn!("domain {domid} has no console: {error:#}"),
            }
        }
        Ok(())
    }

    fn wait_no_longer(&mut self, domid: u16) {
        if self.incomplete.remove(&domid) {
            let _ = self.xs.unwatch(&nodes(domid), b"console");
        }
    }

    fn forget(&mut self, domid: u16) {
        if let Some(guest) = self.guests.remove(&domid) {
            self.gone.push(guest.console.close());
            let _ = self.events.unbind(guest.local);
            info!("the console of domain {domid} is closed");
        }
    }

    /// Gives a domain its console, unless it has it, or wants none of ours. `false`: its nodes are not all there.
    fn add(&mut self, domid: u16) -> anyhow::Result<bool> {
        let nodes = nodes(domid);
        let mut number = |name: &str| -> anyhow::Result<Option<u64>> {
            let value = self.xs.read_if_there(&format!("{nodes}/{name}"))?;
            Ok(value.and_then(|value| String::from_utf8_lossy(&value).parse().ok()))
        };
        let (Some(port), Some(gfn)) = (number("port")?, number("ring-ref")?) else { return Ok(false) };
        let kind = self.xs.read_if_there(&format!("{nodes}/type"))?;
        if kind.is_some_and(|kind| kind != b"xenconsoled") {
            return Ok(true);
        }
        let remote = u32::try_from(port)?;
        if self.guests.get(&domid).is_some_and(|guest| guest.remote == remote) {
            return Ok(true);
        }
        if self.xen.domain_info(domid)?.is_none_or(|info| info.dying()) {
            return Ok(true);
        }
        self.forget(domid);
        let ring = RingPage::open(self.grants.as_ref(), self.xen.hypercalls(), domid, GNTTAB_RESERVED_CONSOLE, gfn)?;
        let local = self.events.bind_interdomain(domid, remote).context("its event channel cannot be bound")?;
        let log = if self.config.log_guests { Some(self.guest_log(domid)?) } else { None };
        let mut guest = Guest { console: Console::new(ring, log)?, local, remote, masked: false };
        Self::serve(&self.events, &mut guest);
        guest.console.show();
        self.xs.write(&format!("{nodes}/tty"), guest.console.terminal.path.as_bytes())?;
        info!("domain {domid} has its console at {}", guest.console.terminal.path);
        self.guests.insert(domid, guest);
        Ok(true)
    }

    fn guest_log(&mut self, domid: u16) -> anyhow::Result<Log> {
        let name = self.xs.read_if_there(&format!("/local/domain/{domid}/name"))?.unwrap_or_default();
        let name: String = String::from_utf8_lossy(&name)
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || "-_.:+@".contains(c) { c } else { '_' })
            .collect();
        let name = if name.is_empty() { domid.to_string() } else { name };
        let path = self.config.log_dir.join(format!("guest-{name}.log"));
        Ok(Log::new(&path, self.config.log_size, self.config.log_kept))
    }
}

/// Where a domain's console is described.
fn nodes(domid: u16) -> String {
    format!("/local/domain/{domid}/console")
}
