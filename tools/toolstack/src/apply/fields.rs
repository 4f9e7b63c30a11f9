//! A configuration as words: what differs between two of them is found, and shown, by these.

use crate::config::DEFAULT_BRIDGE;
use crate::config::disk::{BlockBackend, Format};
use crate::{Action, Disk, DomainConfig, Vif, uuid};
use std::collections::BTreeMap;

/// What only a new start can change.
const START: &[&str] = &[
    "uuid",
    "kernel",
    "ramdisk",
    "cmdline",
    "maxvcpus",
    "max_event_channels",
    "max_grant_frames",
    "max_maptrack_frames",
];

/// Whether a field (see [`words`]) is fixed from a domain's start on.
pub(crate) fn fixed(field: &str) -> bool {
    START.contains(&field)
}

/// KiB as an administrator writes them: MiB, or with a unit.
pub(crate) fn memory(kib: u64) -> String {
    if kib.is_multiple_of(1024) { (kib / 1024).to_string() } else { format!("{kib}k") }
}

fn action(action: Action, core: bool) -> String {
    let word = match action {
        Action::Destroy => "destroy",
        Action::Restart => "restart",
        Action::RenameRestart => "rename-restart",
        Action::Preserve => "preserve",
    };
    format!("{}{word}", if core { "coredump-" } else { "" })
}

/// CPUs as an administrator writes them.
pub(crate) fn list(all: &[String]) -> String {
    if all.is_empty() { "all".to_owned() } else { all.join(" ") }
}

fn number(number: Option<u32>) -> String {
    number.map_or_else(|| "default".to_owned(), |number| number.to_string())
}

/// A disk in words, without its name in the guest.
pub(crate) fn disk(disk: &Disk) -> String {
    let mut text = disk.target.clone();
    if disk.format == Format::Qcow2 {
        text += ",qcow2";
    } else if disk.backend == BlockBackend::Qdisk {
        text += ",qdisk";
    }
    text += if disk.read_only { ",r" } else { ",w" };
    if disk.cdrom {
        text += ",cdrom";
    }
    if !disk.discard {
        text += ",no-discard";
    }
    text
}

/// A network card in words, without its address.
pub(crate) fn card(vif: &Vif) -> String {
    let mut text = format!("bridge={}", vif.bridge.as_deref().unwrap_or(DEFAULT_BRIDGE));
    let more = [("ip", &vif.ip), ("script", &vif.script), ("vifname", &vif.vifname)];
    for (name, value) in more {
        if let Some(value) = value {
            text += &format!(",{name}={value}");
        }
    }
    if let Some((bytes, micros)) = vif.rate {
        text += &format!(",rate={bytes}B@{micros}us");
    }
    match vif.mtu {
        Some(1500) | None => text,
        Some(mtu) => format!("{text},mtu={mtu}"),
    }
}

/// A card's address, or that it is still to be chosen.
pub(crate) fn address(vif: &Vif) -> &str {
    vif.mac.as_deref().unwrap_or("(new)")
}

/// All fields but the name, in words.
pub(crate) fn words(config: &DomainConfig) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = [
        ("kernel", config.kernel.display().to_string()),
        ("ramdisk", config.ramdisk.as_ref().map_or_else(|| "none".to_owned(), |path| path.display().to_string())),
        ("cmdline", format!("\"{}\"", config.command_line)),
        ("memory", memory(config.memory_kib)),
        ("maxmem", memory(config.max_memory_kib)),
        ("vcpus", config.vcpus.to_string()),
        ("maxvcpus", config.max_vcpus.to_string()),
        ("cpus", list(&config.cpus)),
        ("cpus_soft", list(&config.cpus_soft)),
        ("pool", config.pool.clone().unwrap_or_else(|| "0".to_owned())),
        ("on_poweroff", action(config.on_poweroff, false)),
        ("on_reboot", action(config.on_reboot, false)),
        ("on_crash", action(config.on_crash, config.core_on_crash)),
        ("on_watchdog", action(config.on_watchdog, config.core_on_watchdog)),
        ("max_event_channels", config.max_event_channels.to_string()),
        ("max_grant_frames", number(config.max_grant_frames)),
        ("max_maptrack_frames", number(config.max_maptrack_frames)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    all.extend(config.uuid.map(|id| ("uuid".to_owned(), uuid::format(&id))));
    all.extend(config.disks.iter().map(|its| (format!("disk {}", its.number()), disk(its))));
    let mut nameless = 0;
    for vif in &config.vifs {
        let name = match &vif.mac {
            Some(mac) => mac.clone(),
            None => {
                nameless += 1;
                format!("(new {nameless})")
            }
        };
        all.insert(format!("vif {name}"), card(vif));
    }
    all
}

/// A difference of two configurations: the field, before and after in words; `None`: it is not there.
pub(crate) type Difference = (String, Option<String>, Option<String>);

/// What differs, in the order of the fields' names.
pub(crate) fn differences(before: &DomainConfig, after: &DomainConfig) -> Vec<Difference> {
    let (before, mut after) = (words(before), words(after));
    let mut all = Vec::new();
    for (name, old) in before {
        let new = after.remove(&name);
        if new.as_ref() != Some(&old) {
            all.push((name, Some(old), new));
        }
    }
    all.extend(after.into_iter().map(|(name, new)| (name, None, Some(new))));
    all.sort();
    all
}

/// Whether what is fixed from the start on differs.
pub(crate) fn other_start(a: &DomainConfig, b: &DomainConfig) -> bool {
    differences(a, b).iter().any(|(name, ..)| fixed(name))
}

/// A difference as it is shown.
pub(crate) fn told((name, before, after): &Difference) -> String {
    match (before, after) {
        (Some(before), Some(after)) => format!("{name} {before} -> {after}"),
        (Some(before), None) => format!("{name} {before} -> none"),
        (None, after) => format!("{name} none -> {}", after.as_deref().unwrap_or_default()),
    }
}
