//! A change of a running domain: how it is told, and what it makes of the configuration that is kept.

use super::fields::{card, disk, list, memory};
use super::plan::{Live, named};
use crate::config::DEFAULT_BRIDGE;
use crate::{Disk, DomainConfig, Vif};

/// A change that needs no restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Another name.
    Name(String),
    /// The most memory, in KiB.
    MaxMemory(u64),
    /// Its memory.
    Memory {
        /// KiB.
        kib: u64,
        /// More than it has.
        more: bool,
    },
    /// So many vcpus are used.
    Vcpus(u32),
    /// Where its vcpus may run and like to run.
    Cpus {
        /// As in a configuration.
        hard: Vec<String>,
        /// As in a configuration.
        soft: Vec<String>,
    },
    /// It goes into another CPU pool.
    Pool(Option<String>),
    /// A disk goes, another comes under its name.
    Disk {
        /// The one that goes.
        out: Option<Disk>,
        /// The one that comes.
        into: Option<Disk>,
    },
    /// A network card goes, another comes.
    Card {
        /// The one that goes, with its number.
        out: Option<(u32, Vif)>,
        /// The one that comes.
        into: Option<Vif>,
    },
    /// The configuration for its end and its next start.
    Keep(Box<DomainConfig>),
}

/// Whether two disks of one name are the same.
pub(super) fn same_disk(a: &Disk, b: &Disk) -> bool {
    let of = |disk: &Disk| (disk.number(), disk.read_only, disk.cdrom, disk.discard, disk.format, disk.backend);
    of(a) == of(b) && a.target == b.target
}

/// Whether a card is as another one says; the address counts if both have one.
pub(super) fn same_card(a: &Vif, b: &Vif) -> bool {
    fn of(vif: &Vif) -> impl PartialEq + '_ {
        let bridge = vif.bridge.as_deref().unwrap_or(DEFAULT_BRIDGE);
        (bridge, vif.ip.as_deref(), vif.script.as_deref(), vif.vifname.as_deref(), vif.rate, vif.mtu.unwrap_or(1500))
    }
    of(a) == of(b) && (a.mac == b.mac || a.mac.is_none() || b.mac.is_none())
}

/// Cards that were plugged in just now got their addresses then: they are the last ones of `noted`.
pub(super) fn fill_addresses(config: &mut DomainConfig, noted: &DomainConfig) {
    let free = |vif: &&Vif| !config.vifs.iter().any(|its| its.mac == vif.mac);
    let mut new: Vec<_> = noted.vifs.iter().filter(free).filter_map(|vif| vif.mac.clone()).collect();
    for vif in config.vifs.iter_mut().rev().filter(|vif| vif.mac.is_none()) {
        vif.mac = new.pop();
    }
}

impl Change {
    /// The difference, without the domain's name.
    pub(super) fn told(&self, name: &str, next: &DomainConfig, live: &Live) -> String {
        match self {
            Change::Name(new) => format!("name {name} -> {new}"),
            Change::MaxMemory(kib) => format!("maxmem {} -> {}", memory(live.max_memory_kib), memory(*kib)),
            Change::Memory { kib, .. } => format!("memory {} -> {}", memory(live.memory_kib), memory(*kib)),
            Change::Vcpus(count) => format!("vcpus {} -> {count}", live.vcpus),
            Change::Cpus { hard, soft } if next.cpus_soft == *soft => {
                format!("cpus {} -> {}", list(&next.cpus), list(hard))
            }
            Change::Cpus { hard, soft } => {
                format!("cpus {} / {} -> {} / {}", list(&next.cpus), list(&next.cpus_soft), list(hard), list(soft))
            }
            Change::Pool(pool) => format!("pool {} -> {}", live.pool.1, pool.as_deref().unwrap_or("0")),
            Change::Disk { out, into } => {
                let vdev = into.as_ref().or(out.as_ref()).map_or("", |disk| &disk.vdev);
                let side = |side: &Option<Disk>| side.as_ref().map_or_else(|| "none".to_owned(), disk);
                format!("disk {vdev} {} -> {}", side(out), side(into))
            }
            Change::Card { out, into } => {
                let vif = into.as_ref().or(out.as_ref().map(|(_, vif)| vif)).map(named).unwrap_or_default();
                let side = |side: Option<&Vif>| side.map_or_else(|| "none".to_owned(), card);
                format!("{vif} {} -> {}", side(out.as_ref().map(|(_, vif)| vif)), side(into.as_ref()))
            }
            Change::Keep(_) => "configuration".to_owned(),
        }
    }

    /// What the change makes of the configuration for the next start.
    pub(super) fn note(&self, next: &mut DomainConfig) {
        match self {
            Change::Name(name) => name.clone_into(&mut next.name),
            Change::MaxMemory(kib) => next.max_memory_kib = *kib,
            Change::Memory { kib, .. } => next.memory_kib = *kib,
            Change::Vcpus(count) => next.vcpus = *count,
            Change::Cpus { hard, soft } => (next.cpus, next.cpus_soft) = (hard.clone(), soft.clone()),
            Change::Pool(pool) => next.pool.clone_from(pool),
            Change::Disk { out, into } => {
                let numbers: Vec<u32> = out.iter().chain(into).map(Disk::number).collect();
                next.disks.retain(|disk| !numbers.contains(&disk.number()));
                next.disks.extend(into.clone());
            }
            Change::Card { out, into } => {
                if let Some((_, old)) = out {
                    next.vifs.retain(|vif| vif.mac != old.mac);
                }
                next.vifs.extend(into.clone());
            }
            Change::Keep(config) => next.clone_from(config),
        }
    }
}
