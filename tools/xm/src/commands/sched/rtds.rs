//! `sched-rtds`: each vcpu has a budget that is filled up each period.

use super::{domain, number, pools};
use crate::commands::host;
use crate::failure::{Failure, Outcome};
use crate::output::{json, line};
use crate::table::Args;
use std::ops::RangeInclusive;
use toolstack::{Domain, Host, NamedPool};
use xen_abi::domctl::{XEN_DOMCTL_SCHEDRT_extra, XEN_SCHEDULER_RTDS, XenDomctlSchedRtds};
use xen_abi::member;
use xenctl::VcpuParameters;

/// Microseconds: what xl.1 allows.
const TIMES: RangeInclusive<u32> = 10..=u32::MAX;

/// What a domain's new vcpus get, or what one vcpu has (its number stands before it).
type Row = (Option<u32>, XenDomctlSchedRtds);

/// What is to be changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Change {
    period: Option<u32>,
    budget: Option<u32>,
    extra: Option<bool>,
}

impl Change {
    fn apply(self, now: XenDomctlSchedRtds) -> XenDomctlSchedRtds {
        let flags = match self.extra {
            None => now.flags,
            Some(true) => now.flags | XEN_DOMCTL_SCHEDRT_extra,
            Some(false) => now.flags & !XEN_DOMCTL_SCHEDRT_extra,
        };
        let (period, budget) = (self.period.unwrap_or(now.period), self.budget.unwrap_or(now.budget));
        XenDomctlSchedRtds { period, budget, flags }
    }
}

/// The n-th of these options, as they are written: each as often as there are vcpus, or not at all.
fn changes(args: &Args<'_>, count: usize) -> Result<Vec<Change>, Failure> {
    let mut all = vec![Change::default(); count];
    for (name, value) in [("period", 0), ("budget", 1), ("extratime", 2)] {
        let given = args.rest(name);
        if !given.is_empty() && given.len() != count {
            return Err(Failure::usage(format!("--{name}: it stands there {} times, not {count}", given.len())));
        }
        for (change, text) in all.iter_mut().zip(&given) {
            match value {
                0 => change.period = Some(number(name, text, TIMES)?),
                1 => change.budget = Some(number(name, text, TIMES)?),
                _ => change.extra = Some(number::<u8>(name, text, 0..=1)? == 1),
            }
        }
    }
    if let Some(Change { period: Some(period), budget: Some(budget), .. }) =
        all.iter().find(|change| change.period.zip(change.budget).is_some_and(|(period, budget)| budget > period))
    {
        return Err(Failure::usage(format!("--budget {budget}: it is more than its period, {period}")));
    }
    Ok(all)
}

fn vcpus(domain: &Domain) -> Vec<u32> {
    (0..domain.info.max_vcpu_id.map_or(0, |last| last.saturating_add(1))).collect()
}

fn rows(host: &Host, domain: &Domain, vcpus: Option<&[u32]>) -> Result<Vec<Row>, Failure> {
    let domid = domain.info.domid;
    Ok(match vcpus {
        None => vec![(None, host.xen.sched_domain(domid, XEN_SCHEDULER_RTDS)?)],
        Some([]) => Vec::new(),
        Some(vcpus) => {
            let found = host.xen.sched_vcpus(domid, XEN_SCHEDULER_RTDS, vcpus)?;
            found.iter().map(|one| (Some(one.vcpuid), member::get(&one.u))).collect()
        }
    })
}

pub fn rtds(args: &Args<'_>) -> Outcome {
    let named = args.rest("vcpuid");
    let all_vcpus = named.iter().any(|name| name == "all");
    if all_vcpus && named.len() > 1 {
        return Err(Failure::usage("--vcpuid all: it stands alone"));
    }
    let single: Vec<u32> = match all_vcpus {
        true => Vec::new(),
        false => named.iter().map(|text| number("vcpuid", text, 0..=u32::MAX)).collect::<Result<_, _>>()?,
    };
    let changes = changes(args, single.len().max(1))?;
    let changing = changes.iter().any(|change| *change != Change::default());
    let pool = args.get("cpupool");
    let wrong = [
        (args.get("domain").is_none() && (changing || !single.is_empty()), "--domain is missing"),
        (args.get("domain").is_some() && pool.is_some(), "--domain and --cpupool cannot be combined"),
    ];
    if let Some((_, why)) = wrong.into_iter().find(|(is, _)| *is) {
        return Err(Failure::usage(why));
    }
    let mut host = host()?;
    let Some(name) = args.get("domain") else {
        let mut shown = Vec::new();
        for (pool, domains) in pools(&mut host, pool, XEN_SCHEDULER_RTDS)? {
            let mut all = Vec::new();
            for domain in domains {
                let wanted = vcpus(&domain);
                let rows = rows(&host, &domain, all_vcpus.then_some(&wanted))?;
                all.push((domain, rows));
            }
            shown.push((Some(pool), all));
        }
        return show(args, &shown);
    };
    let domain = domain(&mut host, name, XEN_SCHEDULER_RTDS)?;
    let domid = domain.info.domid;
    let wanted = if all_vcpus { vcpus(&domain) } else { single };
    let wanted = (!named.is_empty()).then_some(wanted);
    let now = rows(&host, &domain, wanted.as_deref())?;
    if !changing {
        return show(args, &[(None, vec![(domain, now)])]);
    }
    // One change for all of them, or one for each.
    let each = now.iter().zip(changes.iter().cycle());
    let next: Vec<Row> = each.map(|((vcpu, now), change)| (*vcpu, change.apply(*now))).collect();
    if wanted.is_none() {
        return next.iter().try_for_each(|(_, one)| Ok(host.xen.set_sched_domain(domid, XEN_SCHEDULER_RTDS, one)?));
    }
    let list: Vec<VcpuParameters> = next
        .iter()
        .map(|(vcpu, one)| {
            let mut parameters = VcpuParameters { vcpuid: vcpu.unwrap_or(0), ..Default::default() };
            member::put(&mut parameters.u, one);
            parameters
        })
        .collect();
    Ok(host.xen.set_sched_vcpus(domid, XEN_SCHEDULER_RTDS, &list)?)
}

type Shown = (Option<NamedPool>, Vec<(Domain, Vec<Row>)>);

fn show(args: &Args<'_>, all: &[Shown]) -> Outcome {
    let extra = |one: &XenDomctlSchedRtds| one.flags & XEN_DOMCTL_SCHEDRT_extra != 0;
    if args.flag("json") {
        let rows = all.iter().flat_map(|(_, domains)| domains).flat_map(|(domain, rows)| {
            rows.iter().map(|(vcpu, one)| {
                serde_json::json!({
                    "domid": domain.info.domid, "name": domain.name, "vcpu": vcpu,
                    "period_us": one.period, "budget_us": one.budget, "extratime": extra(one),
                })
            })
        });
        json(&rows.collect());
        return Ok(());
    }
    let of_vcpus = !args.rest("vcpuid").is_empty();
    let column = |text: String| if of_vcpus { format!(" {text:>4}") } else { String::new() };
    for (pool, domains) in all {
        if let Some(pool) = pool {
            line(&format!("Cpupool {}: sched=RTDS", pool.name));
        }
        let vcpu = column("VCPU".to_owned());
        line(&format!("{:<33} {:>4}{vcpu} {:>9} {:>9} {:>10}", "Name", "ID", "Period", "Budget", "Extratime"));
        for (domain, rows) in domains {
            for (vcpu, one) in rows {
                let vcpu = column(vcpu.map_or(String::new(), |vcpu| vcpu.to_string()));
                let (name, domid, extra) = (&domain.name, domain.info.domid, if extra(one) { "yes" } else { "no" });
                line(&format!("{name:<33} {domid:>4}{vcpu} {:>9} {:>9} {extra:>10}", one.period, one.budget));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_stays_as_it_is() {
        let now = XenDomctlSchedRtds { period: 10000, budget: 4000, flags: XEN_DOMCTL_SCHEDRT_extra };
        let change = Change { budget: Some(2000), ..Change::default() };
        assert_eq!(change.apply(now), XenDomctlSchedRtds { budget: 2000, ..now });
        let change = Change { extra: Some(false), ..Change::default() };
        assert_eq!(change.apply(now), XenDomctlSchedRtds { flags: 0, ..now });
    }
}
