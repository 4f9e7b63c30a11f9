//! Disks and network cards.

use super::{chosen, host, working_host};
use crate::failure::{Failure, Outcome};
use crate::output::{json, line};
use crate::table::Args;
use serde::Serialize;
use toolstack::{Disk, Host, Vif};

/// What the domains that are named have of a kind of device. `None`: it was printed as JSON.
fn all_of<T: Serialize>(
    args: &Args<'_>,
    of: impl Fn(&mut Host, u16) -> toolstack::Result<Vec<T>>,
) -> Result<Option<Vec<T>>, Failure> {
    let mut host = host()?;
    let mut all = Vec::new();
    for domain in chosen(&mut host, &args.rest("domain"))? {
        all.extend(of(&mut host, domain.info.domid)?);
    }
    if args.flag("json") {
        json(&serde_json::to_value(all).unwrap_or_default());
        return Ok(None);
    }
    Ok(Some(all))
}

pub fn block_attach(args: &Args<'_>) -> Outcome {
    let disks: Vec<Disk> = args
        .rest("disk")
        .iter()
        .map(|text| Disk::parse(text).map_err(|why| Failure::usage(format!("disk \"{text}\": {why}"))))
        .collect::<Result<_, _>>()?;
    let mut host = working_host()?;
    let domain = host.find(args.one("domain"))?;
    disks.iter().try_for_each(|disk| Ok(host.block_attach(domain.info.domid, disk)?))
}

pub fn block_detach(args: &Args<'_>) -> Outcome {
    let mut host = working_host()?;
    let domain = host.find(args.one("domain"))?;
    Ok(host.block_detach(domain.info.domid, args.one("device"), args.flag("force"))?)
}

pub fn block_list(args: &Args<'_>) -> Outcome {
    let Some(all) = all_of(args, Host::disks_of)? else { return Ok(()) };
    line(&format!(
        "{:<5} {:<3} {:<6} {:<5} {:<6} {:<8} {:<30}",
        "Vdev", "BE", "handle", "state", "evt-ch", "ring-ref", "BE-path"
    ));
    for disk in all {
        let (vdev, be, handle, state) = (disk.vdev, disk.backend_domid, disk.handle, disk.state);
        let (port, ring, path) = (disk.event_channel, disk.ring_ref, disk.backend_path);
        line(&format!("{vdev:<5} {be:<3} {handle:<6} {state:<5} {port:<6} {ring:<8} {path:<30}"));
    }
    Ok(())
}

pub fn network_attach(args: &Args<'_>) -> Outcome {
    let text = args.rest("setting").join(",");
    let vif = Vif::parse(&text).map_err(|why| Failure::usage(format!("network card \"{text}\": {why}")))?;
    let mut host = working_host()?;
    let domain = host.find(args.one("domain"))?;
    host.network_attach(domain.info.domid, &vif)?;
    Ok(())
}

pub fn network_detach(args: &Args<'_>) -> Outcome {
    let mut host = working_host()?;
    let domain = host.find(args.one("domain"))?;
    Ok(host.network_detach(domain.info.domid, args.one("device"), args.flag("force"))?)
}

pub fn network_list(args: &Args<'_>) -> Outcome {
    let Some(all) = all_of(args, Host::vifs_of)? else { return Ok(()) };
    line(&format!("Idx BE Mac Addr.         handle state evt-ch   tx-/rx-ring-ref {:<30}", "BE-path"));
    for vif in all {
        let (index, be, mac, state) = (vif.index, vif.backend_domid, vif.mac, vif.state);
        let (port, tx, rx, path) = (vif.event_channel, vif.tx_ring, vif.rx_ring, vif.backend_path);
        line(&format!("{index:<3} {be:<2} {mac:<17} {index:>6} {state:>5} {port:>6} {tx:>5}/{rx:<11} {path:<30}"));
    }
    Ok(())
}

pub fn channel_list(args: &Args<'_>) -> Outcome {
    let Some(all) = all_of(args, Host::channels_of)? else { return Ok(()) };
    line(&format!(
        "{:<3} {:<2} {:<5} {:<6} {:<8} {:<10} {:<30}",
        "Idx", "BE", "state", "evt-ch", "ring-ref", "connection", ""
    ));
    for one in all {
        let (index, be, state, port) = (one.index, one.backend_domid, one.state, one.event_channel);
        let (ring, connection, name) = (one.ring_ref, one.connection, one.name);
        line(&format!("{index:<3} {be:<2} {state:<5} {port:<6} {ring:<8} {connection:<10} {name:<30}"));
    }
    Ok(())
}
