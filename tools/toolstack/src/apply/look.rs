//! What runs, as the plan needs to know it.

use super::plan::{Known, Live, Running};
use crate::config::disk::{BlockBackend, Format};
use crate::{Disk, DomainConfig, Host, Result, Vif, paths};
use xenctl::{DomainInfo, Hypercalls};
use xenstore::Access as _;

impl<H: Hypercalls> Host<H> {
    /// All domains but the control domain, and but those that are going.
    ///
    /// # Errors
    /// The hypervisor's, the store's.
    pub fn running(&mut self) -> Result<Vec<Running>> {
        let mut all = Vec::new();
        for info in self.xen.domains()? {
            let home = paths::home(info.domid);
            let name = self.xs.read_if_there(&format!("{home}/name"))?;
            let Some(name) = name.filter(|_| info.domid != 0 && !info.dying()) else { continue };
            let known = match self.config_of(info.domid) {
                Some(next) => {
                    let live = self.live(&info, &next)?;
                    Some(Known { started: self.started_with(info.domid).unwrap_or_else(|| next.clone()), next, live })
                }
                None => None,
            };
            all.push(Running {
                domid: info.domid,
                uuid: info.uuid,
                name: String::from_utf8_lossy(&name).into_owned(),
                ended: info.shutdown().is_some(),
                known,
            });
        }
        Ok(all)
    }

    fn live(&mut self, info: &DomainInfo, next: &DomainConfig) -> Result<Live> {
        let (domid, home) = (info.domid, paths::home(info.domid));
        let max_vcpus = info.max_vcpu_id.map_or(0, |last| last.saturating_add(1));
        let mut vcpus = 0;
        for vcpu in 0..max_vcpus {
            vcpus += u32::from(self.node(&format!("{home}/cpu/{vcpu}/availability"))? == "online");
        }
        let pools = self.pools()?;
        let pool = pools.into_iter().find(|pool| pool.pool.id == info.cpupool);
        let mut disks = Vec::new();
        for number in self.devices(domid, "vbd")? {
            disks.push(self.disk_now(domid, number)?);
        }
        let mut cards = Vec::new();
        for index in self.devices(domid, "vif")? {
            let card = self.card_now(domid, index)?;
            // The guest may write to its half: what these tools plugged in is better known.
            let noted = next.vifs.iter().find(|vif| vif.mac.is_some() && vif.mac == card.mac);
            cards.push((index, noted.cloned().unwrap_or(card)));
        }
        Ok(Live {
            memory_kib: self.node(&format!("{home}/memory/target"))?.parse().unwrap_or(next.memory_kib),
            max_memory_kib: self.node(&format!("{home}/memory/static-max"))?.parse().unwrap_or(next.max_memory_kib),
            vcpus,
            max_vcpus,
            pool: (info.cpupool, pool.map(|pool| pool.name).unwrap_or_default()),
            disks,
            cards,
        })
    }

    fn disk_now(&mut self, domid: u16, number: u32) -> Result<Disk> {
        let back = self.device_paths(domid, "vbd", number)?.back;
        let params = self.node(&format!("{back}/params"))?;
        let target = self.node(&format!("{back}/ferroxen-target"))?;
        let vdev = self.node(&format!("{back}/dev"))?;
        Ok(Disk {
            target: if target.is_empty() { params.clone() } else { target },
            vdev: if vdev.is_empty() { number.to_string() } else { vdev },
            read_only: self.node(&format!("{back}/mode"))? == "r",
            cdrom: self.node(&format!("{back}/device-type"))? == "cdrom",
            discard: self.node(&format!("{back}/discard-enable"))? != "0",
            script: None,
            format: if params.starts_with("qcow2:") { Format::Qcow2 } else { Format::Raw },
            backend: if back.contains("/qdisk/") { BlockBackend::Qdisk } else { BlockBackend::Phy },
        })
    }

    fn card_now(&mut self, domid: u16, index: u32) -> Result<Vif> {
        let at = paths::device(domid, "vif", index);
        let mut some = |name: &str| {
            let value = self.node(&format!("{}/{name}", at.back))?;
            Ok::<_, crate::Error>((!value.is_empty()).then_some(value))
        };
        let rate = some("rate")?;
        let rate = rate.as_deref().and_then(|rate| rate.split_once(','));
        Ok(Vif {
            mac: some("mac")?,
            bridge: some("bridge")?,
            ip: some("ip")?,
            script: some("script")?.filter(|script| script != "ferroxen"),
            vifname: some("vifname")?,
            rate: rate.and_then(|(bytes, micros)| bytes.parse().ok().zip(micros.parse().ok())),
            mtu: self.node(&format!("{}/mtu", at.front))?.parse().ok(),
        })
    }
}
