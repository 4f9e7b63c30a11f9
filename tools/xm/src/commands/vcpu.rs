//! `xm vcpu-list`, `vcpu-pin`, `vcpu-set`.

use super::{chosen, host, working_host};
use crate::failure::{Failure, Outcome};
use crate::output::{json, line};
use crate::table::Args;
use xenctl::Errno;

pub fn list(args: &Args<'_>) -> Outcome {
    let mut host = host()?;
    let cpus = host.cpu_count()?;
    let mut all = Vec::new();
    if !args.flag("json") {
        line(&format!(
            "{:<32} {:>5} {:>5} {:>5} {:>5} {:>9} Affinity (Hard / Soft)",
            "Name", "ID", "VCPU", "CPU", "State", "Time(s)"
        ));
    }
    for domain in chosen(&mut host, &args.rest("domain"))? {
        let domid = domain.info.domid;
        for vcpu in 0..domain.info.max_vcpu_id.map_or(0, |last| last + 1) {
            let info = match host.xen.vcpu_info(domid, vcpu) {
                Err(error) if error.errno == Errno::ESRCH => continue,
                other => other?,
            };
            let (hard, soft) = host.xen.vcpu_affinity(domid, vcpu, cpus)?;
            let (hard, soft) = (hard.display(cpus), soft.display(cpus));
            let state = match (info.online, info.running, info.blocked) {
                (false, ..) => "--p",
                (_, true, _) => "r--",
                (_, _, true) => "-b-",
                _ => "---",
            };
            let cpu = if info.online { info.cpu.to_string() } else { "-".to_owned() };
            let seconds = info.cpu_time as f64 / 1e9;
            if args.flag("json") {
                all.push(serde_json::json!({
                    "domid": domid, "name": domain.name, "vcpu": vcpu, "online": info.online, "running": info.running,
                    "blocked": info.blocked, "cpu": info.cpu, "cpu_time_ns": info.cpu_time, "hard": hard, "soft": soft,
                }));
            } else {
                let name = &domain.name;
                line(&format!("{name:<32} {domid:>5} {vcpu:>5}{cpu:>5}   {state} {seconds:>9.1}  {hard} / {soft}"));
            }
        }
    }
    if args.flag("json") {
        json(&all.into());
    }
    Ok(())
}

pub fn pin(args: &Args<'_>) -> Outcome {
    let vcpu = match args.one("vcpu") {
        "all" => None,
        text => Some(text.parse().map_err(|_| Failure::usage(format!("vcpu {text}: a number or all is expected")))?),
    };
    let mut host = working_host()?;
    let domain = host.find(args.one("domain"))?;
    Ok(host.pin_vcpus(domain.info.domid, vcpu, Some(args.one("hard")), args.get("soft"))?)
}

pub fn set(args: &Args<'_>) -> Outcome {
    let text = args.one("count");
    let count = text.parse().map_err(|_| Failure::usage(format!("{text}: a number of vcpus is expected")))?;
    let mut host = working_host()?;
    let domain = host.find(args.one("domain"))?;
    Ok(host.set_vcpus(domain.info.domid, count)?)
}
