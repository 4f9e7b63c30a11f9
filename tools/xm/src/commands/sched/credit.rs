//! `sched-credit` and `sched-credit2`: a domain's weight and cap, a pool's slices of time.

use super::{domain, option, pools};
use crate::commands::host;
use crate::failure::{Failure, Outcome};
use crate::output::{json, line};
use crate::table::Args;
use toolstack::{Domain, Host, NamedPool};
use xen_abi::domctl::{XEN_SCHEDULER_CREDIT, XEN_SCHEDULER_CREDIT2, XenDomctlSchedCredit, XenDomctlSchedCredit2};
use xen_abi::sysctl::{
    XEN_SYSCTL_CSCHED_MGR_DLY_MAX_US, XEN_SYSCTL_CSCHED_TSLICE_MAX, XEN_SYSCTL_CSCHED_TSLICE_MIN,
    XEN_SYSCTL_SCHED_RATELIMIT_MAX, XEN_SYSCTL_SCHED_RATELIMIT_MIN, XenSysctlCredit2Schedule, XenSysctlCreditSchedule,
};

/// What both have of a domain.
#[derive(Clone, Copy, Debug)]
struct Share {
    weight: u16,
    cap: u16,
}

/// One of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Credit,
    Credit2,
}

impl Kind {
    fn id(self) -> u32 {
        match self {
            Kind::Credit => XEN_SCHEDULER_CREDIT,
            Kind::Credit2 => XEN_SCHEDULER_CREDIT2,
        }
    }

    fn share(self, host: &Host, domid: u16) -> Result<Share, Failure> {
        Ok(match self {
            Kind::Credit => {
                let found: XenDomctlSchedCredit = host.xen.sched_domain(domid, self.id())?;
                Share { weight: found.weight, cap: found.cap }
            }
            Kind::Credit2 => {
                let found: XenDomctlSchedCredit2 = host.xen.sched_domain(domid, self.id())?;
                Share { weight: found.weight, cap: found.cap }
            }
        })
    }

    fn set_share(self, host: &Host, domid: u16, share: Share) -> Outcome {
        let Share { weight, cap } = share;
        match self {
            Kind::Credit => host.xen.set_sched_domain(domid, self.id(), &XenDomctlSchedCredit { weight, cap })?,
            Kind::Credit2 => host.xen.set_sched_domain(domid, self.id(), &XenDomctlSchedCredit2 { weight, cap })?,
        }
        Ok(())
    }

    /// A pool's parameters, by name and unit.
    fn parameters(self, host: &Host, pool: u32) -> Result<Vec<(&'static str, u32, &'static str)>, Failure> {
        Ok(match self {
            Kind::Credit => {
                let found: XenSysctlCreditSchedule = host.xen.sched_pool(pool, self.id())?;
                vec![
                    ("tslice", found.tslice_ms, "ms"),
                    ("ratelimit", found.ratelimit_us, "us"),
                    ("migration-delay", found.vcpu_migr_delay_us, "us"),
                ]
            }
            Kind::Credit2 => {
                let found: XenSysctlCredit2Schedule = host.xen.sched_pool(pool, self.id())?;
                vec![("ratelimit", found.ratelimit_us, "us")]
            }
        })
    }
}

pub fn credit(args: &Args<'_>) -> Outcome {
    let slice = option(args, "tslice_ms", XEN_SYSCTL_CSCHED_TSLICE_MIN..=XEN_SYSCTL_CSCHED_TSLICE_MAX)?;
    let delay = option(args, "migration_delay_us", 0..=XEN_SYSCTL_CSCHED_MGR_DLY_MAX_US)?;
    let set = |host: &mut Host, pool: u32, limit: Option<u32>| {
        let mut now: XenSysctlCreditSchedule = host.xen.sched_pool(pool, XEN_SCHEDULER_CREDIT)?;
        now.tslice_ms = slice.unwrap_or(now.tslice_ms);
        now.ratelimit_us = limit.unwrap_or(now.ratelimit_us);
        now.vcpu_migr_delay_us = delay.unwrap_or(now.vcpu_migr_delay_us);
        Ok(host.xen.set_sched_pool(pool, XEN_SCHEDULER_CREDIT, &now)?)
    };
    run(args, Kind::Credit, slice.is_some() || delay.is_some(), set)
}

pub fn credit2(args: &Args<'_>) -> Outcome {
    let set = |host: &mut Host, pool: u32, limit: Option<u32>| {
        let mut now: XenSysctlCredit2Schedule = host.xen.sched_pool(pool, XEN_SCHEDULER_CREDIT2)?;
        now.ratelimit_us = limit.unwrap_or(now.ratelimit_us);
        Ok(host.xen.set_sched_pool(pool, XEN_SCHEDULER_CREDIT2, &now)?)
    };
    run(args, Kind::Credit2, false, set)
}

/// `more`: a parameter of the pool, other than the rate limit, is to be set.
fn run(args: &Args<'_>, kind: Kind, more: bool, set_pool: impl Fn(&mut Host, u32, Option<u32>) -> Outcome) -> Outcome {
    let weight = option(args, "weight", 1..=u16::MAX)?;
    let cap = option(args, "cap", 0..=u16::MAX)?;
    // 0 switches it off.
    let limit = match args.get("ratelimit_us") {
        Some("0") => Some(0),
        _ => option(args, "ratelimit_us", XEN_SYSCTL_SCHED_RATELIMIT_MIN..=XEN_SYSCTL_SCHED_RATELIMIT_MAX)?,
    };
    let (one, of_pool) = (args.get("domain"), args.flag("schedparam"));
    let (for_domain, for_pool) = (weight.is_some() || cap.is_some(), limit.is_some() || more);
    let wrong = [
        (for_domain && one.is_none(), "--weight and --cap are a domain's: --domain says whose"),
        (for_pool && !of_pool, "that is a CPU pool's parameter: --schedparam is missing"),
        (of_pool && (one.is_some() || for_domain), "--schedparam is for CPU pools, the others for domains"),
        (one.is_some() && args.get("cpupool").is_some(), "--domain and --cpupool cannot be combined"),
    ];
    if let Some((_, why)) = wrong.into_iter().find(|(is, _)| *is) {
        return Err(Failure::usage(why));
    }
    let mut host = host()?;
    if let Some(name) = one {
        let domain = domain(&mut host, name, kind.id())?;
        let now = kind.share(&host, domain.info.domid)?;
        if for_domain {
            let share = Share { weight: weight.unwrap_or(now.weight), cap: cap.unwrap_or(now.cap) };
            return kind.set_share(&host, domain.info.domid, share);
        }
        return show(args, &[(None, vec![(domain, now)])]);
    }
    if for_pool {
        let pool = host.find_pool(args.get("cpupool").unwrap_or("0"))?;
        return set_pool(&mut host, pool.pool.id, limit);
    }
    // Without the name of a pool, --schedparam is about the first.
    let wanted = args.get("cpupool").or(of_pool.then_some("0"));
    let mut all = Vec::new();
    for (pool, domains) in pools(&mut host, wanted, kind.id())? {
        let parameters = kind.parameters(&host, pool.pool.id)?;
        let mut shares = Vec::new();
        for domain in domains.into_iter().filter(|_| !of_pool) {
            let share = kind.share(&host, domain.info.domid)?;
            shares.push((domain, share));
        }
        all.push((Some((pool, parameters)), shares));
    }
    show(args, &all)
}

type Shown = (Option<(NamedPool, Vec<(&'static str, u32, &'static str)>)>, Vec<(Domain, Share)>);

fn show(args: &Args<'_>, all: &[Shown]) -> Outcome {
    if args.flag("json") {
        let all = all.iter().map(|(pool, domains)| {
            let shares = domains.iter().map(|(domain, Share { weight, cap })| {
                serde_json::json!({ "domid": domain.info.domid, "name": domain.name, "weight": weight, "cap": cap })
            });
            let mut value = serde_json::json!({ "domains": shares.collect::<Vec<_>>() });
            if let (Some((pool, parameters)), Some(object)) = (pool, value.as_object_mut()) {
                object.insert("pool".into(), pool.name.clone().into());
                for (name, value, unit) in parameters {
                    object.insert(format!("{}_{unit}", name.replace('-', "_")), (*value).into());
                }
            }
            value
        });
        json(&all.collect());
        return Ok(());
    }
    for (pool, domains) in all {
        if let Some((pool, parameters)) = pool {
            let words: Vec<String> =
                parameters.iter().map(|(name, value, unit)| format!("{name}={value}{unit}")).collect();
            line(&format!("Cpupool {}: {}", pool.name, words.join(" ")));
        }
        if args.flag("schedparam") {
            continue;
        }
        line(&format!("{:<33} {:>4} {:>6} {:>4}", "Name", "ID", "Weight", "Cap"));
        for (domain, Share { weight, cap }) in domains {
            line(&format!("{:<33} {:>4} {weight:>6} {cap:>4}", domain.name, domain.info.domid));
        }
    }
    Ok(())
}
