//! `xm sched-credit`, `sched-credit2`, `sched-rtds`: what a scheduler can be told. The plain output has xl's columns.

mod credit;
mod rtds;

pub use credit::{credit, credit2};
pub use rtds::rtds;

use crate::failure::Failure;
use crate::table::Args;
use std::str::FromStr;
use toolstack::{Domain, Host, NamedPool};
use xenctl::scheduler_name;

/// The pools with this scheduler, or the one that is named; each with its domains.
fn pools(host: &mut Host, name: Option<&str>, scheduler: u32) -> Result<Vec<(NamedPool, Vec<Domain>)>, Failure> {
    let all = match name {
        Some(name) => vec![host.find_pool(name)?],
        None => host.pools()?,
    };
    let domains = host.domains()?;
    let mut found = Vec::new();
    for pool in all {
        if pool.pool.scheduler == scheduler {
            let own = domains.iter().filter(|domain| domain.info.cpupool == pool.pool.id).cloned().collect();
            found.push((pool, own));
        } else if name.is_some() {
            return Err(other_scheduler(&pool, scheduler));
        }
    }
    if found.is_empty() {
        // No failure for scripts, which ask all schedulers in turn.
        say!("no CPU pool has the scheduler {}; `xm cpupool-list` shows theirs", scheduler_name(scheduler));
    }
    Ok(found)
}

fn other_scheduler(pool: &NamedPool, wanted: u32) -> Failure {
    let (has, wanted) = (scheduler_name(pool.pool.scheduler), scheduler_name(wanted));
    Failure::failed(format!("CPU pool {}: its scheduler is {has}, not {wanted}; try `xm sched-{has}`", pool.name))
}

/// A domain whose pool has this scheduler.
fn domain(host: &mut Host, name: &str, scheduler: u32) -> Result<Domain, Failure> {
    let domain = host.find(name)?;
    let pools = host.pools()?;
    match pools.iter().find(|pool| pool.pool.id == domain.info.cpupool) {
        Some(pool) if pool.pool.scheduler != scheduler => Err(other_scheduler(pool, scheduler)),
        _ => Ok(domain),
    }
}

/// A number in a range.
fn number<T: FromStr + PartialOrd + std::fmt::Display + Copy>(
    option: &str,
    text: &str,
    range: std::ops::RangeInclusive<T>,
) -> Result<T, Failure> {
    text.parse().ok().filter(|value| range.contains(value)).ok_or_else(|| {
        Failure::usage(format!("--{option} {text}: a number from {} to {} is expected", range.start(), range.end()))
    })
}

/// An option that is a number in a range.
fn option<T: FromStr + PartialOrd + std::fmt::Display + Copy>(
    args: &Args<'_>,
    name: &str,
    range: std::ops::RangeInclusive<T>,
) -> Result<Option<T>, Failure> {
    args.get(name).map(|text| number(name, text, range)).transpose()
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_out_of_range_are_named_with_their_option() {
        assert!(matches!(number::<u16>("weight", "512", 1..=65535), Ok(512)));
        for wrong in ["0", "65536", "-1", "x", ""] {
            let failure = number::<u16>("weight", wrong, 1..=65535);
            let Err(crate::failure::Failure::Told(2, line)) = failure else { panic!("{wrong}: {failure:?}") };
            assert_eq!(line, format!("--weight {wrong}: a number from 1 to 65535 is expected"));
        }
    }
}
