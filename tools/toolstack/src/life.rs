//! A domain's life from outside: asking it to shut down or to change, and what is done when it ended.

use crate::{Action, Error, Host, Options, Result, paths};
use std::time::{Duration, Instant};
use xen_abi::sched::{SHUTDOWN_crash, SHUTDOWN_reboot, SHUTDOWN_suspend, SHUTDOWN_watchdog};
use xenctl::Hypercalls;
use xenstore::Access as _;

/// What a guest is asked for through `control/shutdown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// To switch itself off.
    PowerOff,
    /// To start anew.
    Reboot,
    /// To halt, which is to switch itself off for Linux.
    Halt,
}

impl Control {
    fn word(self) -> &'static str {
        match self {
            Control::PowerOff => "poweroff",
            Control::Reboot => "reboot",
            Control::Halt => "halt",
        }
    }
}

/// What became of a domain that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It went.
    Destroyed,
    /// It is there again, under this number.
    Restarted(u16),
    /// It stays for a look under another name; a new domain, of this number, has its own.
    Replaced(u16),
    /// It stays for a look.
    Preserved,
}

impl<H: Hypercalls> Host<H> {
    /// Asks a domain to shut down or reboot.
    ///
    /// # Errors
    /// The store's.
    pub fn ask(&mut self, domid: u16, what: Control) -> Result<()> {
        if domid == 0 {
            return Err(Error::Invalid("domain 0: shut the machine down with its own `poweroff` or `reboot`".into()));
        }
        let path = format!("{}/control/shutdown", paths::home(domid));
        self.xs.write(&path, what.word().as_bytes())?;
        Ok(())
    }

    /// Sends a magic system request.
    ///
    /// # Errors
    /// The store's.
    pub fn sysrq(&mut self, domid: u16, letter: char) -> Result<()> {
        let path = format!("{}/control/sysrq", paths::home(domid));
        self.xs.write(&path, letter.to_string().as_bytes())?;
        Ok(())
    }

    /// Waits until a domain shut down or is gone.
    ///
    /// # Errors
    /// It did neither in time.
    pub fn wait_for_end(&mut self, domid: u16, patience: Option<Duration>) -> Result<()> {
        let deadline = patience.map(|patience| Instant::now() + patience);
        self.xs.watch("@releaseDomain", b"end", None)?;
        let result = loop {
            match self.xen.domain_info(domid)? {
                Some(info) if info.shutdown().is_none() && !info.dying() => {}
                _ => break Ok(()),
            }
            // Looks now and then, too: another daemon may forget to tell.
            let look = Duration::from_secs(1);
            let left = deadline.map_or(look, |deadline| deadline.saturating_duration_since(Instant::now()).min(look));
            if left.is_zero() {
                break Err(Error::TimedOut {
                    what: format!("domain {domid}: it does not shut down"),
                    after: patience.unwrap_or_default(),
                    remedy: "look at its console, or destroy it",
                });
            }
            self.xs.next_event(Some(left))?;
        };
        self.xs.unwatch("@releaseDomain", b"end")?;
        while self.xs.next_event(Some(Duration::ZERO))?.is_some() {}
        result
    }

    /// Sets how much memory a domain is to have, in KiB; its balloon does the rest.
    ///
    /// # Errors
    /// More than its largest; the store's, the hypervisor's.
    pub fn set_memory(&mut self, domid: u16, kib: u64) -> Result<()> {
        let home = paths::home(domid);
        let most = self.xs.read_if_there(&format!("{home}/memory/static-max"))?;
        let most: u64 = most.and_then(|most| String::from_utf8_lossy(&most).parse().ok()).unwrap_or(u64::MAX);
        if kib > most {
            let (asked, most) = (kib / 1024, most / 1024);
            let what =
                format!("domain {domid}: {asked} MiB are more than its largest memory, {most} MiB (`xm mem-max`)");
            return Err(Error::Invalid(what));
        }
        if domid != 0 {
            self.xen.set_max_memory(domid, kib + 1024)?;
        }
        self.xs.write(&format!("{home}/memory/target"), kib.to_string().as_bytes())?;
        Ok(())
    }

    /// Sets the most memory that a domain may have, in KiB.
    ///
    /// # Errors
    /// The hypervisor's, the store's.
    pub fn set_max_memory(&mut self, domid: u16, kib: u64) -> Result<()> {
        self.xen.set_max_memory(domid, kib + 1024)?;
        self.xs.write(&format!("{}/memory/static-max", paths::home(domid)), kib.to_string().as_bytes())?;
        Ok(())
    }

    /// Sets how many vcpus a domain is to use.
    ///
    /// # Errors
    /// More than it has; none; the store's.
    pub fn set_vcpus(&mut self, domid: u16, count: u32) -> Result<()> {
        let info = self.xen.domain_info(domid)?.ok_or_else(|| Error::NoDomain(domid.to_string()))?;
        let most = info.max_vcpu_id.map_or(0, |last| last + 1);
        if count == 0 || count > most {
            return Err(Error::Invalid(format!("domain {domid}: it can have 1 to {most} vcpus, not {count}")));
        }
        let home = paths::home(domid);
        self.xs.transaction(|t| {
            (0..most).try_for_each(|vcpu| {
                let word: &[u8] = if vcpu < count { b"online" } else { b"offline" };
                t.write(&format!("{home}/cpu/{vcpu}/availability"), word)
            })
        })?;
        Ok(())
    }

    /// Changes where a vcpu (or all: `None`) may run and likes to run; `-` and `None` leave it as it is.
    ///
    /// # Errors
    /// A set that is none; the hypervisor's.
    pub fn pin_vcpus(&mut self, domid: u16, vcpu: Option<u32>, hard: Option<&str>, soft: Option<&str>) -> Result<()> {
        let info = self.xen.domain_info(domid)?.ok_or_else(|| Error::NoDomain(domid.to_string()))?;
        let count = self.cpu_count()?;
        let set = |text: Option<&str>| match text.filter(|text| *text != "-") {
            None => Ok(None),
            Some(text) => crate::create::cpu_set(text, count).map(Some).map_err(Error::Invalid),
        };
        let (hard, soft) = (set(hard)?, set(soft)?);
        let all = 0..info.max_vcpu_id.map_or(0, |last| last + 1);
        let chosen: Vec<u32> = match vcpu {
            Some(vcpu) => vec![vcpu],
            None => all.collect(),
        };
        chosen
            .into_iter()
            .try_for_each(|vcpu| self.xen.set_vcpu_affinity(domid, vcpu, hard.as_ref(), soft.as_ref(), count))?;
        Ok(())
    }

    /// Waits for a domain's end and does what its configuration says. `None`: somebody else destroyed it.
    ///
    /// # Errors
    /// The hypervisor's, the store's; creating it again failed.
    #[allow(non_upper_case_globals, reason = "the ABI's names stand in patterns")]
    pub fn attend(&mut self, domid: u16) -> Result<Option<Ended>> {
        self.wait_for_end(domid, None)?;
        let Some(info) = self.xen.domain_info(domid)? else { return Ok(None) };
        let Some(reason) = info.shutdown() else { return Ok(None) };
        let Some(config) = self.config_of(domid) else { return Ok(None) };
        // What is done, and of a crash whether a core file is written.
        let (action, core) = match u32::from(reason) {
            SHUTDOWN_reboot => (config.on_reboot, None),
            SHUTDOWN_crash => (config.on_crash, Some(config.core_on_crash)),
            SHUTDOWN_watchdog => (config.on_watchdog, Some(config.core_on_watchdog)),
            SHUTDOWN_suspend => (Action::Preserve, None),
            _ => (config.on_poweroff, None),
        };
        if let Some(core) = core {
            let (name, why) = (&config.name, crate::crash::reason(reason));
            match self.keep_crash(&info, &config, core) {
                Ok(dir) => (self.log)(&format!("domain {name} ({domid}): {why}; see {}", dir.display())),
                // Its end is not kept from happening by that.
                Err(error) => (self.log)(&format!("domain {name} ({domid}): {why}; {error}")),
            }
        }
        match action {
            Action::Preserve => Ok(Some(Ended::Preserved)),
            Action::Destroy => {
                self.destroy(domid)?;
                Ok(Some(Ended::Destroyed))
            }
            Action::Restart => {
                let config = crate::DomainConfig { uuid: Some(info.uuid), ..config };
                Ok(Some(Ended::Restarted(self.restart(domid, &config)?.info.domid)))
            }
            Action::RenameRestart => {
                match self.rename(domid, &info.uuid, &format!("{}-{domid}", config.name)) {
                    // Somebody destroyed it meanwhile.
                    Err(Error::NoDomain(_)) => return Ok(None),
                    other => other?,
                }
                let again = crate::DomainConfig { uuid: None, ..config };
                Ok(Some(Ended::Replaced(self.create(&again, Options::default())?.info.domid)))
            }
        }
    }
}
