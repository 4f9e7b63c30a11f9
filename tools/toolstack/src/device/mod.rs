//! Devices: two halves in xenstore, a backend in domain 0's kernel, and what is plugged behind it.

mod block;
mod channel;
mod hotplug;
mod network;

pub use block::BlockInfo;
pub use channel::ChannelInfo;
pub use hotplug::{Hotplug, KernelHotplug};
pub use network::VifInfo;

use crate::paths::DevicePaths;
use crate::{DomainConfig, Error, Host, Result, paths};
use std::time::{Duration, Instant};
use xenctl::Hypercalls;
use xenstore::{Access as _, Perm, Permission};

/// States of a device (xen/io/xenbus.h).
pub(crate) mod state {
    pub(crate) use xen_abi::io::xenbus::{
        XenbusStateClosed as CLOSED, XenbusStateClosing as CLOSING, XenbusStateConnected as CONNECTED,
        XenbusStateInitWait as INIT_WAIT,
    };
}

/// How long a guest has to let go of a device.
pub(crate) const POLITE: Duration = Duration::from_secs(10);

impl<H: Hypercalls> Host<H> {
    /// What can be known to be wrong before there is a domain.
    pub(crate) fn check_devices(&mut self, config: &DomainConfig) -> Result<()> {
        config.disks.iter().try_for_each(|disk| self.check_disk(disk))?;
        (0..).zip(&config.vifs).try_for_each(|(index, vif)| self.check_vif(index, vif))
    }

    /// Writes both halves of a device at once.
    fn write_device(
        &mut self,
        domid: u16,
        kind: &str,
        number: u32,
        front: &[(&str, String)],
        back: &[(&str, String)],
    ) -> Result<()> {
        let at = paths::device(domid, kind, number);
        // The guest owns its half and everybody concerned reads the other.
        let front_perms = [Perm::new(Permission::None, domid), Perm::new(Permission::Read, 0)];
        let back_perms = [Perm::new(Permission::None, 0), Perm::new(Permission::Read, domid)];
        self.xs.transaction(|t| {
            t.rm_if_there(&at.front)?;
            t.rm_if_there(&at.back)?;
            for (path, perms) in [(&at.front, &front_perms), (&at.back, &back_perms)] {
                t.mkdir(path)?;
                t.set_perms(path, perms)?;
            }
            let common = [
                (format!("{}/backend", at.front), at.back.clone()),
                (format!("{}/backend-id", at.front), "0".to_owned()),
                (format!("{}/frontend", at.back), at.front.clone()),
                (format!("{}/frontend-id", at.back), domid.to_string()),
                (format!("{}/online", at.back), "1".to_owned()),
                (format!("{}/frontend", at.libxl), at.front.clone()),
                (format!("{}/backend", at.libxl), at.back.clone()),
            ];
            for (path, value) in &common {
                t.write(path, value.as_bytes())?;
            }
            // libxl looks into its own copy of the backend's half.
            for (half, entries) in [(&at.front, front), (&at.back, back), (&at.libxl, back)] {
                for (name, value) in entries {
                    t.write(&format!("{half}/{name}"), value.as_bytes())?;
                }
            }
            // Last: what the drivers wait for.
            t.write(&format!("{}/state", at.front), b"1")?;
            t.write(&format!("{}/state", at.back), b"1")
        })?;
        Ok(())
    }

    /// A half's state; 0: it has none.
    pub(crate) fn device_state(&mut self, half: &str) -> Result<u32> {
        let value = self.xs.read_if_there(&format!("{half}/state"))?;
        Ok(value.and_then(|value| String::from_utf8_lossy(&value).parse().ok()).unwrap_or(0))
    }

    /// The device's paths, whichever of the possible backends it has.
    pub(crate) fn device_paths(&mut self, domid: u16, kind: &str, number: u32) -> Result<DevicePaths> {
        let other = paths::device(domid, "qdisk", number);
        let qdisk = kind == "vbd" && self.xs.exists(&other.back)?;
        Ok(if qdisk { other } else { paths::device(domid, kind, number) })
    }

    /// Waits until the backend is ready for its guest.
    pub(crate) fn wait_for_backend(&mut self, domid: u16, kind: &str, number: u32, patience: Duration) -> Result<()> {
        let at = self.device_paths(domid, kind, number)?;
        let what = format!("domain {domid}: the backend of {kind} {number}");
        let reached = self.wait_for_state(&at.back, patience, |now| now >= state::INIT_WAIT)?;
        if !reached || self.device_state(&at.back)? > state::CONNECTED {
            let error = self.xs.read_if_there(&format!("{}/error", paths::backend_error(domid, kind, number)))?;
            let error = match error {
                None => self.xs.read_if_there(&format!("{}/ferroxen-error", at.back))?,
                known => known,
            };
            if let Some(error) = error {
                return Err(Error::Failed(format!("{what} fails: {}", String::from_utf8_lossy(&error))));
            }
            let remedy = "is its module loaded (xen-blkback, xen-netback), or what says /var/log/xen/blkback.log?";
            return Err(Error::TimedOut { what, after: patience, remedy });
        }
        Ok(())
    }

    /// Whether a device has everything that the guest needs to connect.
    pub(crate) fn is_whole(&mut self, domid: u16, kind: &str, number: u32) -> Result<bool> {
        const PATIENCE: Duration = Duration::from_secs(10);
        let back = self.device_paths(domid, kind, number)?.back;
        if self.node(&format!("{back}/hotplug-status"))? != "connected" {
            return Ok(false);
        }
        match self.wait_for_backend(domid, kind, number, PATIENCE) {
            Ok(()) => Ok(true),
            Err(Error::TimedOut { .. } | Error::Failed(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Watches a half until its state is right; `false` if that did not happen in time.
    fn wait_for_state(&mut self, half: &str, patience: Duration, right: impl Fn(u32) -> bool) -> Result<bool> {
        let (path, deadline) = (format!("{half}/state"), Instant::now() + patience);
        self.xs.watch(&path, b"state", None)?;
        let result = loop {
            match self.device_state(half) {
                Ok(now) if right(now) => break Ok(true),
                Ok(_) => {}
                Err(error) => break Err(error),
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break Ok(false);
            }
            if let Err(error) = self.xs.next_event(Some(left)) {
                break Err(error.into());
            }
        };
        self.xs.unwatch(&path, b"state")?;
        // Events that came meanwhile are nobody's.
        while self.xs.next_event(Some(Duration::ZERO))?.is_some() {}
        result
    }

    /// Waits until a guest that connects to a device has done so: a backend that connects writes its state over the wish to close it,
    /// and Linux's blkfront, which closed, stops at a BUG when it sees that. A guest without a driver costs these seconds.
    pub(crate) fn let_connect(&mut self, at: &DevicePaths) -> Result<()> {
        const PATIENCE: Duration = Duration::from_secs(5);
        let over = |now| now >= state::CONNECTED || now == 0;
        let _in_time =
            self.wait_for_state(&at.front, PATIENCE, over)? && self.wait_for_state(&at.back, PATIENCE, over)?;
        Ok(())
    }

    /// Takes away a device of a running domain that did not become whole: politely, if the guest was let connect.
    pub(crate) fn undo_attach(&mut self, domid: u16, kind: &str, number: u32) -> Result<()> {
        let at = self.device_paths(domid, kind, number)?;
        self.let_connect(&at)?;
        let ready = self.device_state(&at.back)? >= state::INIT_WAIT;
        self.detach(domid, kind, number, if ready { POLITE } else { Duration::ZERO })
    }

    /// Takes a device away: politely as long as `patience` lasts, then by force. What was plugged behind it is unplugged.
    pub(crate) fn detach(&mut self, domid: u16, kind: &str, number: u32, patience: Duration) -> Result<()> {
        let at = self.device_paths(domid, kind, number)?;
        let closed = |now| now == state::CLOSED || now == 0;
        // One that was asked and is closed has no driver any more: nobody would answer. (A guest that closed by itself, when it
        // shut down, leaves its backend online.)
        let has_left = closed(self.device_state(&at.back)?) && self.node(&format!("{}/online", at.back))? == "0";
        if self.xs.exists(&at.back)? && !has_left {
            self.xs.transaction(|t| {
                t.write(&format!("{}/online", at.back), b"0")?;
                t.write(&format!("{}/state", at.back), state::CLOSING.to_string().as_bytes())
            })?;
            if !self.wait_for_state(&at.back, patience, closed)? {
                // Without its frontend the backend closes for sure.
                self.xs.rm_if_there(&at.front)?;
                self.wait_for_state(&at.back, Duration::from_secs(5), closed)?;
            }
        }
        match kind {
            "vbd" => self.unplug_disk(&at)?,
            _ => self.unplug_vif(&at)?,
        }
        self.xs.transaction(|t| {
            t.rm_and_empty_parents(&at.front, &format!("/local/domain/{domid}/device"))?;
            t.rm_and_empty_parents(&at.libxl, &paths::libxl(domid))?;
            t.rm_and_empty_parents(&at.back, "/local/domain/0/backend")?;
            // What the backend wrote when its guest went away without a word.
            t.rm_and_empty_parents(&paths::backend_error(domid, kind, number), paths::home(0).as_str())
        })?;
        Ok(())
    }

    /// Numbers of a domain's devices of a kind.
    pub(crate) fn devices(&mut self, domid: u16, kind: &str) -> Result<Vec<u32>> {
        let mut numbers = Vec::new();
        let backend = |kind| format!("/local/domain/0/backend/{kind}/{domid}");
        let mut folders = vec![format!("/local/domain/{domid}/device/{kind}"), backend(kind)];
        if kind == "vbd" {
            folders.push(backend("qdisk"));
        }
        for folder in folders {
            match self.xs.list(&folder) {
                Ok(names) => numbers.extend(names.iter().filter_map(|name| name.parse::<u32>().ok())),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }

    pub(crate) fn node(&mut self, path: &str) -> Result<String> {
        let value = self.xs.read_if_there(path)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&value).into_owned())
    }
}

/// Removing what may not be there.
pub(crate) trait RmIfThere: xenstore::Access {
    fn rm_if_there(&mut self, path: &str) -> xenstore::Result<()> {
        match self.rm(path) {
            Err(error) if error.is_not_found() => Ok(()),
            other => other,
        }
    }

    /// The folders above it, too, as far as nothing else is in them; `top` stays.
    fn rm_and_empty_parents(&mut self, path: &str, top: &str) -> xenstore::Result<()> {
        self.rm_if_there(path)?;
        let mut path = path;
        while let Some((parent, _)) = path.rsplit_once('/').filter(|(parent, _)| parent.len() > top.len()) {
            match self.list(parent) {
                Ok(rest) if rest.is_empty() => self.rm_if_there(parent)?,
                Err(error) if error.is_not_found() => {}
                Ok(_) => break,
                Err(error) => return Err(error),
            }
            path = parent;
        }
        Ok(())
    }
}

impl<A: xenstore::Access> RmIfThere for A {}
