//! Network cards: xen-netback, its interface in a bridge.

use super::POLITE;
use crate::config::DEFAULT_BRIDGE;
use crate::paths::{self, DevicePaths};
use crate::work::Work;
use crate::{Error, Host, Result, Vif};
use serde::Serialize;
use std::process::Command;
use std::time::Duration;
use xenctl::Hypercalls;
use xenstore::Access as _;

/// A network card of a domain, as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VifInfo {
    /// Its number.
    pub index: u32,
    /// The backend's domain.
    pub backend_domid: u16,
    /// Its address.
    pub mac: String,
    /// The frontend's state.
    pub state: u32,
    /// The guest's event channel.
    pub event_channel: i64,
    /// The guest's grants of its rings.
    pub tx_ring: i64,
    /// As above.
    pub rx_ring: i64,
    /// The backend in xenstore.
    pub backend_path: String,
    /// Its interface in domain 0.
    pub interface: String,
    /// The bridge that it is in.
    pub bridge: String,
}

fn wrong(index: u32, why: impl Into<String>) -> Error {
    Error::Vif { index, why: why.into() }
}

fn bridge_of(vif: &Vif) -> &str {
    vif.bridge.as_deref().unwrap_or(DEFAULT_BRIDGE)
}

impl<H: Hypercalls> Host<H> {
    pub(crate) fn check_vif(&mut self, index: u32, vif: &Vif) -> Result<()> {
        if vif.script.is_none() {
            let name = bridge_of(vif);
            if !self.hotplug.is_bridge(name) {
                let why =
                    format!("there is no bridge {name}: make it (`ip link add {name} type bridge`) or name another");
                return Err(wrong(index, why));
            }
        }
        Ok(())
    }

    pub(crate) fn attach_vif(&mut self, domid: u16, index: u32, vif: &Vif) -> Result<()> {
        let mac = vif.mac.clone().unwrap_or_else(crate::uuid::random_mac);
        let front = [("handle", index.to_string()), ("mac", mac.clone()), ("mtu", vif.mtu.unwrap_or(1500).to_string())];
        let mut back = vec![
            // netback refuses a card without; it is run only if the user named one.
            ("script", vif.script.clone().unwrap_or_else(|| "ferroxen".to_owned())),
            ("mac", mac),
            ("bridge", bridge_of(vif).to_owned()),
            ("handle", index.to_string()),
            ("type", "vif".to_owned()),
        ];
        back.extend(vif.ip.clone().map(|ip| ("ip", ip)));
        back.extend(vif.vifname.clone().map(|name| ("vifname", name)));
        back.extend(vif.rate.map(|(bytes, micros)| ("rate", format!("{bytes},{micros}"))));
        self.write_device(domid, "vif", index, &front, &back)
    }

    /// netback is ready and made its interface: into the bridge with it. Then the guest may connect.
    pub(crate) fn plug_vif(&mut self, domid: u16, index: u32, vif: &Vif) -> Result<()> {
        let at = paths::device(domid, "vif", index);
        let interface = format!("vif{domid}.{index}");
        // netback says that it is ready just before it makes the interface.
        self.hotplug.await_interface(&interface);
        if let Some(script) = &vif.script {
            return self.run_script(script, "online", &at, &interface);
        }
        self.hotplug
            .plug_interface(&interface, vif.vifname.as_deref(), vif.mtu, bridge_of(vif))
            .map_err(|why| wrong(index, format!("{interface}: {why}")))?;
        self.xs.write(&format!("{}/hotplug-status", at.back), b"connected")?;
        Ok(())
    }

    /// Runs a hot-plug script that the user named, as Xen's tools do.
    fn run_script(&mut self, script: &str, action: &str, at: &DevicePaths, interface: &str) -> Result<()> {
        let path = if script.starts_with('/') { script.to_owned() } else { format!("/etc/xen/scripts/{script}") };
        let status = Command::new(&path)
            .arg(action)
            .arg("type_if=vif")
            .env("script", &path)
            .env("XENBUS_TYPE", "vif")
            .env("XENBUS_PATH", at.back.trim_start_matches("/local/domain/0/"))
            .env("XENBUS_BASE_PATH", "backend")
            .env("vif", interface)
            .env("netdev", "")
            .status()
            .map_err(Error::io(format!("cannot run {path}")))?;
        if status.success() { Ok(()) } else { Err(Error::Failed(format!("{path} {action} ended with {status}"))) }
    }

    pub(crate) fn unplug_vif(&mut self, at: &DevicePaths) -> Result<()> {
        let script = self.node(&format!("{}/script", at.back))?;
        if !script.is_empty() && script != "ferroxen" {
            let mut parts = at.back.rsplit('/');
            let (index, domid) = (parts.next().unwrap_or("0"), parts.next().unwrap_or("0"));
            // The interface is going or gone: what the script could not undo is gone with it.
            let _ = self.run_script(&script, "offline", at, &format!("vif{domid}.{index}"));
        }
        // netback takes its interface away, and so out of its bridge, itself.
        Ok(())
    }

    /// Plugs a network card into a running domain. Gives its number.
    ///
    /// # Errors
    /// The bridge's; the backend's.
    pub fn network_attach(&mut self, domid: u16, vif: &Vif) -> Result<u32> {
        self.noted_attach(domid, "vif", |host, note| {
            let index = host.devices(domid, "vif")?.last().map_or(0, |last| last + 1);
            host.check_vif(index, vif)?;
            host.renote(note, &Work::Attach { kind: "vif".to_owned(), number: index, looped: None })?;
            host.attach_vif(domid, index, vif)?;
            let ready = host
                .wait_for_backend(domid, "vif", index, Duration::from_secs(20))
                .and_then(|()| host.plug_vif(domid, index, vif));
            if ready.is_err() {
                host.undo_attach(domid, "vif", index)?;
            }
            ready.map(|()| index)
        })
    }

    /// Takes a card (by number or address) out of a domain.
    ///
    /// # Errors
    /// There is no such card; the guest does not let go of it.
    pub fn network_detach(&mut self, domid: u16, device: &str, force: bool) -> Result<()> {
        let all = self.vifs_of(domid)?;
        let found = all
            .iter()
            .find(|vif| device.parse() == Ok(vif.index) || vif.mac.eq_ignore_ascii_case(device))
            .ok_or_else(|| Error::NoDevice { domain: domid.to_string(), kind: "network", device: device.to_owned() })?;
        self.take_out(domid, "vif", found.index, device, force)
    }

    /// Politely: the guest has to let go of it, and nothing is changed if it does not.
    pub(crate) fn take_out(&mut self, domid: u16, kind: &str, number: u32, name: &str, force: bool) -> Result<()> {
        if force {
            return self.detach(domid, kind, number, Duration::ZERO);
        }
        let at = self.device_paths(domid, kind, number)?;
        self.let_connect(&at)?;
        let connected = self.device_state(&at.front)? == super::state::CONNECTED;
        if connected {
            self.xs.write(&format!("{}/online", at.back), b"0")?;
            self.xs.write(&format!("{}/state", at.back), super::state::CLOSING.to_string().as_bytes())?;
            if !self.wait_for_state(&at.back, POLITE, |now| now == super::state::CLOSED || now == 0)? {
                return Err(Error::TimedOut {
                    what: format!("domain {domid}: {name} is still in use by the guest"),
                    after: POLITE,
                    remedy: "unmount it there, or use --force",
                });
            }
        }
        self.detach(domid, kind, number, POLITE)
    }

    /// All network cards of a domain.
    ///
    /// # Errors
    /// The store's.
    pub fn vifs_of(&mut self, domid: u16) -> Result<Vec<VifInfo>> {
        let mut all = Vec::new();
        for index in self.devices(domid, "vif")? {
            let at = paths::device(domid, "vif", index);
            let number = |text: String| text.parse().unwrap_or(-1);
            let named = self.node(&format!("{}/vifname", at.back))?;
            all.push(VifInfo {
                index,
                backend_domid: 0,
                mac: self.node(&format!("{}/mac", at.back))?,
                state: self.device_state(&at.front)?,
                event_channel: number(self.node(&format!("{}/event-channel", at.front))?),
                tx_ring: number(self.node(&format!("{}/tx-ring-ref", at.front))?),
                rx_ring: number(self.node(&format!("{}/rx-ring-ref", at.front))?),
                interface: if named.is_empty() { format!("vif{domid}.{index}") } else { named },
                bridge: self.node(&format!("{}/bridge", at.back))?,
                backend_path: at.back,
            });
        }
        Ok(all)
    }
}
