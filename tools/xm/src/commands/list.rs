//! `xm list` and its small relatives. The plain output has Xen's columns: programs read it.

use super::{chosen, host};
use crate::failure::{Failure, Outcome};
use crate::output::{json, line};
use crate::table::Args;
use std::time::{SystemTime, UNIX_EPOCH};
use toolstack::{Domain, Host, uuid};
use xenstore::Access as _;

/// One line of `list`, as Xen's own tool prints it.
fn row(domain: &Domain) -> String {
    let info = &domain.info;
    let mib = (info.pages + info.outstanding_pages) * 4 / 1024;
    let seconds = info.cpu_time as f64 / 1e9;
    format!(
        "{:<40} {:>5} {:>5} {:>5}     {}  {:>8.1}",
        domain.name,
        info.domid,
        mib,
        info.online_vcpus,
        info.state_letters(),
        seconds
    )
}

const HEADER: &str = "Name                                        ID   Mem VCPUs\tState\tTime(s)";

fn value(host: &Host, domain: &Domain, long: bool) -> serde_json::Value {
    let info = &domain.info;
    let mut value = serde_json::json!({
        "domid": info.domid,
        "name": domain.name,
        "uuid": uuid::format(&info.uuid),
        "memory_kib": (info.pages + info.outstanding_pages) * 4,
        "max_memory_kib": info.max_pages.saturating_mul(4),
        "vcpus_online": info.online_vcpus,
        "vcpus": info.max_vcpu_id.map_or(0, |last| last + 1),
        "state": info.state_letters(),
        "shutdown_reason": info.shutdown(),
        "cpu_time_ns": info.cpu_time,
    });
    if long && let Some(object) = value.as_object_mut() {
        let config = host.config_of(info.domid).and_then(|config| serde_json::to_value(config).ok());
        object.insert("config".to_owned(), config.unwrap_or_default());
    }
    value
}

pub fn list(args: &Args<'_>) -> Outcome {
    let mut host = host()?;
    let domains = chosen(&mut host, &args.rest("domain"))?;
    if args.flag("json") || args.flag("long") {
        let long = args.flag("long");
        let all: Vec<serde_json::Value> = domains.iter().map(|domain| value(&host, domain, long)).collect();
        json(&all.into());
        return Ok(());
    }
    let verbose = args.flag("verbose");
    let more = if verbose { "   UUID                            Reason-Code" } else { "" };
    let pools = if args.flag("cpupool") { host.pools()? } else { Vec::new() };
    let more_pools = if args.flag("cpupool") { "         Cpupool" } else { "" };
    line(&format!("{HEADER}{more}{more_pools}"));
    for domain in &domains {
        let mut text = row(domain);
        if verbose {
            let reason = domain.info.shutdown().map_or("-".to_owned(), |code| code.to_string());
            text.push_str(&format!(" {} {reason:>16}", uuid::format(&domain.info.uuid)));
        }
        if args.flag("cpupool") {
            let pool = pools.iter().find(|pool| pool.pool.id == domain.info.cpupool);
            text.push_str(&format!("{:>16}", pool.map_or("-", |pool| &pool.name)));
        }
        line(&text);
    }
    Ok(())
}

/// `xm list` with what is claimed for each, as xl shows it.
pub fn claims(args: &Args<'_>) -> Outcome {
    let domains = host()?.domains()?;
    if args.flag("json") {
        let all = domains.iter().map(|domain| {
            let claimed = domain.info.outstanding_pages * 4;
            serde_json::json!({ "domid": domain.info.domid, "name": domain.name, "claimed_kib": claimed })
        });
        json(&all.collect());
        return Ok(());
    }
    line(&format!("{HEADER}  Claimed"));
    for domain in &domains {
        line(&format!("{} {:>5}", row(domain), domain.info.outstanding_pages * 4 / 1024));
    }
    Ok(())
}

/// `xm list` with the pages that each shares with others (none, of PV domains), as xl shows it.
pub fn sharing(args: &Args<'_>) -> Outcome {
    let mut host = host()?;
    let domains = chosen(&mut host, &args.rest("domain"))?;
    if args.flag("json") {
        let all = domains.iter().map(|domain| {
            let info = &domain.info;
            let (memory, shared) = (info.pages * 4, info.shared_pages * 4);
            serde_json::json!({ "domid": info.domid, "name": domain.name, "memory_kib": memory, "shared_kib": shared })
        });
        json(&all.collect());
        return Ok(());
    }
    line(&format!("{:<40} {:>5} {:>5} {:>6}", "Name", "ID", "Mem", "Shared"));
    for Domain { info, name } in &domains {
        let (memory, shared) = ((info.pages + info.outstanding_pages) * 4 / 1024, info.shared_pages * 4 / 1024);
        line(&format!("{name:<40} {:>5} {memory:>5}  {shared:>5}", info.domid));
    }
    Ok(())
}

/// UUIDs, numbers, names, as xl shows them.
pub fn vm_list(args: &Args<'_>) -> Outcome {
    let domains = host()?.domains()?;
    if args.flag("json") {
        let all = domains.iter().map(|domain| {
            let uuid = uuid::format(&domain.info.uuid);
            serde_json::json!({ "uuid": uuid, "domid": domain.info.domid, "name": domain.name })
        });
        json(&all.collect());
        return Ok(());
    }
    line("UUID                                  ID    name");
    for domain in &domains {
        line(&format!("{}  {}    {:<30}", uuid::format(&domain.info.uuid), domain.info.domid, domain.name));
    }
    Ok(())
}

pub fn domid(args: &Args<'_>) -> Outcome {
    let domain = host()?.find(args.one("domain"))?;
    line(&domain.info.domid.to_string());
    Ok(())
}

pub fn domname(args: &Args<'_>) -> Outcome {
    let domain = host()?.find(args.one("domain"))?;
    line(&domain.name);
    Ok(())
}

pub fn uptime(args: &Args<'_>) -> Outcome {
    let mut host = host()?;
    let domains = chosen(&mut host, &args.rest("domain"))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let mut all = Vec::new();
    for domain in domains {
        let seconds = seconds_up(&mut host, &domain, now)?;
        all.push((domain, seconds));
    }
    if args.flag("json") {
        let all: Vec<serde_json::Value> = all
            .iter()
            .map(|(domain, up)| serde_json::json!({ "domid": domain.info.domid, "name": domain.name, "seconds": up }))
            .collect();
        json(&all.into());
        return Ok(());
    }
    if !args.flag("short") {
        line(&format!("{:<33} {:>4} Uptime", "Name", "ID"));
    }
    for (domain, up) in all {
        line(&format!("{:<33} {:>4} {}", domain.name, domain.info.domid, span(up)));
    }
    Ok(())
}

fn seconds_up(host: &mut Host, domain: &Domain, now: f64) -> Result<u64, Failure> {
    if domain.info.domid == 0 {
        let text = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
        let seconds: f64 = text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0.0);
        return Ok(seconds as u64);
    }
    let start = host.xs.read_if_there(&format!("/vm/{}/start_time", uuid::format(&domain.info.uuid)))?;
    let start: f64 = start.and_then(|start| String::from_utf8_lossy(&start).parse().ok()).unwrap_or(now);
    Ok((now - start).max(0.0) as u64)
}

/// `1 day,  2:03:04`.
fn span(seconds: u64) -> String {
    let (days, rest) = (seconds / 86400, seconds % 86400);
    let clock = format!("{:>2}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
    match days {
        0 => clock,
        1 => format!("1 day, {clock}"),
        _ => format!("{days} days, {clock}"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn spans_of_time_are_written_as_xens_tool_does() {
        assert_eq!(super::span(3 * 3600 + 4), " 3:00:04");
        assert_eq!(super::span(86400 + 60), "1 day,  0:01:00");
    }
}
