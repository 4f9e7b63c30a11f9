//! The end of a domain: its devices, its memory, its traces.

use crate::device::RmIfThere as _;
use crate::{Error, Host, Result, paths};
use std::time::{Duration, Instant};
use xenctl::{Errno, Hypercalls};

/// How long frames that backends still map may keep a dead domain.
const BURIAL: Duration = Duration::from_secs(10);

impl<H: Hypercalls> Host<H> {
    /// Ends a domain at once, and takes away everything that it had. Works on what an interrupted [`create`](Host::create) or
    /// destroy left, too.
    ///
    /// # Errors
    /// The hypervisor's, the store's. What could be done was done.
    pub fn destroy(&mut self, domid: u16) -> Result<()> {
        if domid == 0 {
            return Err(Error::Invalid("domain 0 cannot be destroyed: shut the machine down".to_owned()));
        }
        match self.xen.domain_info(domid)? {
            Some(info) => self.destroy_noted(&info),
            None => self.take_away(domid),
        }
    }

    /// The same without a note of it.
    pub(crate) fn take_away(&mut self, domid: u16) -> Result<()> {
        let info = self.xen.domain_info(domid)?;
        // It must not reconnect what is being taken away. One that is dying already cannot be paused and need not.
        if info.is_some_and(|info| !info.dying()) {
            unless_gone(self.xen.pause_domain(domid))?;
        }
        let mut failed = None;
        for kind in ["vbd", "vif"] {
            for number in self.devices(domid, kind)? {
                // The guest is stopped and cannot let go: the backend is made to.
                if let Err(error) = self.detach(domid, kind, number, Duration::from_millis(200)) {
                    failed.get_or_insert(error);
                }
            }
        }
        // The domain itself goes last: whoever is stopped half way leaves something that `xm list` shows.
        let uuid = info.map(|info| info.uuid);
        self.xs.transaction(|t| {
            t.rm_if_there(&paths::home(domid))?;
            t.rm_if_there(&paths::libxl(domid))?;
            for kind in ["console", "vbd", "qdisk", "vif"] {
                t.rm_and_empty_parents(&format!("/local/domain/0/backend/{kind}/{domid}"), "/local/domain/0/backend")?;
                t.rm_and_empty_parents(&format!("{}/error/backend/{kind}/{domid}", paths::home(0)), &paths::home(0))?;
            }
            uuid.iter().try_for_each(|uuid| t.rm_if_there(&paths::vm(uuid)))
        })?;
        self.forget_config(domid);
        if info.is_some() {
            unless_gone(self.xen.destroy_domain(domid))?;
        }
        let deadline = Instant::now() + BURIAL;
        while self.xen.domain_info(domid)?.is_some() {
            if Instant::now() > deadline {
                let what = format!("domain {domid}: it is dead, and somebody still maps its memory");
                let remedy = "it goes when that is over (`xm list` shows it as dying)";
                return Err(Error::TimedOut { what, after: BURIAL, remedy });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        failed.map_or(Ok(()), Err)
    }
}

/// Somebody else may end the domain at the same moment.
fn unless_gone(result: xenctl::Result<()>) -> xenctl::Result<()> {
    match result {
        Err(error) if error.errno == Errno::ESRCH => Ok(()),
        result => result,
    }
}
