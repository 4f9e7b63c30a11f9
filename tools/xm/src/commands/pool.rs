//! `xm cpupool-…`: sets of CPUs, each with a scheduler of its own. The plain output has xl's columns.

use super::create::file_and_settings;
use super::host;
use crate::failure::{Failure, Outcome};
use crate::output::{json, line};
use crate::table::Args;
use toolstack::config::{self, syntax};
use toolstack::{Host, NamedPool, NewPool, cpu_set};
use xenctl::{CpuSet, CpuTopology, scheduler_id, scheduler_name};

/// `0,1,5`, as xl writes it here.
fn each_cpu(cpus: &CpuSet) -> String {
    cpus.iter().map(|cpu| cpu.to_string()).collect::<Vec<_>>().join(",")
}

pub fn list(args: &Args<'_>) -> Outcome {
    let mut host = host()?;
    let pools = match args.get("pool") {
        Some(which) => vec![host.find_pool(which)?],
        None => host.pools()?,
    };
    if args.flag("json") {
        let all = pools.iter().map(|NamedPool { pool, name }| {
            serde_json::json!({
                "id": pool.id, "name": name, "scheduler": scheduler_name(pool.scheduler),
                "domains": pool.domains, "cpus": pool.cpus.iter().collect::<Vec<_>>(),
            })
        });
        json(&all.collect());
        return Ok(());
    }
    let cpus = args.flag("cpus");
    line(&format!("{:<19}{}", "Name", if cpus { "CPU list" } else { "CPUs   Sched     Active   Domain count" }));
    for NamedPool { pool, name } in pools {
        if cpus {
            line(&format!("{name:<19}{}", each_cpu(&pool.cpus)));
        } else {
            let (count, scheduler) = (pool.cpus.iter().count(), scheduler_name(pool.scheduler));
            line(&format!("{name:<19}{count:>3} {scheduler:>9}       y       {:>4}", pool.domains));
        }
    }
    Ok(())
}

/// The settings of a new pool: a file's, and those of the command line.
fn settings(args: &Args<'_>) -> Result<Vec<(String, String)>, Failure> {
    let (file, rest) = file_and_settings(args);
    let mut all = Vec::new();
    if let Some(file) = file {
        let text = std::fs::read_to_string(&file).map_err(toolstack::Error::io(format!("configuration {file}")))?;
        let (settings, _) =
            syntax::parse(&text).map_err(|wrong| Failure::usage(format!("{file}:{}: {}", wrong.at, wrong.what)))?;
        for (key, setting) in settings {
            all.push((key, words(&setting.value).join(",")));
        }
    } else if rest.is_empty() {
        return Err(Failure::usage("no configuration: `xm cpupool-create FILE` or `xm cpupool-create name=…`"));
    }
    for setting in &rest {
        let (settings, _) = syntax::parse(&config::quote(setting))
            .map_err(|wrong| Failure::usage(format!("{setting}: {}", wrong.what)))?;
        all.extend(settings.into_iter().map(|(key, setting)| (key, words(&setting.value).join(","))));
    }
    Ok(all)
}

fn words(value: &syntax::Value) -> Vec<String> {
    match value {
        syntax::Value::Text(text) => vec![text.clone()],
        syntax::Value::Number(number) => vec![number.to_string()],
        syntax::Value::List(list) => list.iter().flat_map(words).collect(),
    }
}

/// The CPUs of some nodes.
fn of(places: &[CpuTopology], is: impl Fn(u32) -> bool) -> CpuSet {
    (0..).zip(places).filter(|(_, place)| is(place.node)).map(|(cpu, _)| cpu).collect()
}

/// The CPUs that are in no pool, of these nodes.
fn of_nodes(host: &Host, text: &str) -> Result<CpuSet, Failure> {
    let cpus = host.xen.cpus()?;
    let last = cpus.iter().map(|cpu| cpu.node).max().unwrap_or(0);
    let nodes = cpu_set(text, last.saturating_add(1))
        .map_err(|_| Failure::usage(format!("nodes=\"{text}\": numbers of NUMA nodes are expected, 0 to {last}")))?;
    let free = host.xen.free_cpus(host.cpu_count()?)?;
    Ok(of(&cpus, |node| nodes.has(node)).iter().filter(|cpu| free.has(*cpu)).collect())
}

pub fn create(args: &Args<'_>) -> Outcome {
    let settings = settings(args)?;
    let mut host = host()?;
    let mut new = NewPool::default();
    for (key, value) in settings {
        match key.as_str() {
            "name" => new.name = value,
            "sched" => {
                let id = scheduler_id(&value);
                new.scheduler = Some(id.ok_or_else(|| {
                    Failure::usage(format!("sched=\"{value}\": credit, credit2, rtds, arinc653 or null is expected"))
                })?);
            }
            "cpus" => {
                let cpus = cpu_set(&value, host.cpu_count()?);
                new.cpus = Some(cpus.map_err(|wrong| Failure::usage(format!("cpus=\"{value}\": {wrong}")))?);
            }
            "nodes" => new.cpus = Some(of_nodes(&host, &value)?),
            other => say!("warning: unknown key \"{other}\" is left out"),
        }
    }
    if new.name.is_empty() {
        return Err(Failure::usage("no name: `name=…` is missing"));
    }
    if args.flag("dry-run") {
        let cpus = new.cpus.as_ref().map(each_cpu);
        json(&serde_json::json!({
            "name": new.name, "scheduler": new.scheduler.map(scheduler_name), "cpus": cpus,
        }));
        return Ok(());
    }
    host.create_pool(&new)?;
    Ok(())
}

pub fn destroy(args: &Args<'_>) -> Outcome {
    let mut host = host()?;
    let pool = host.find_pool(args.one("pool"))?;
    Ok(host.destroy_pool(&pool)?)
}

pub fn rename(args: &Args<'_>) -> Outcome {
    let mut host = host()?;
    let pool = host.find_pool(args.one("pool"))?;
    Ok(host.rename_pool(&pool, args.one("name"))?)
}

/// The CPUs that an argument names: numbers, or `node:1`.
fn chosen(host: &Host, text: &str) -> Result<CpuSet, Failure> {
    match text.strip_prefix("node:") {
        Some(nodes) => {
            let nodes = cpu_set(nodes, u32::from(u8::MAX)).map_err(Failure::usage)?;
            Ok(of(&host.xen.cpus()?, |node| nodes.has(node)))
        }
        None => cpu_set(text, host.cpu_count()?).map_err(Failure::usage),
    }
}

pub fn add_cpus(args: &Args<'_>) -> Outcome {
    let mut host = host()?;
    let pool = host.find_pool(args.one("pool"))?.pool;
    let cpus = chosen(&host, args.one("cpus"))?;
    cpus.iter().try_for_each(|cpu| Ok(host.xen.add_cpu_to_pool(pool.id, cpu)?))
}

pub fn remove_cpus(args: &Args<'_>) -> Outcome {
    let mut host = host()?;
    let pool = host.find_pool(args.one("pool"))?.pool;
    let cpus = chosen(&host, args.one("cpus"))?;
    cpus.iter().try_for_each(|cpu| Ok(host.xen.remove_cpu_from_pool(pool.id, cpu)?))
}

pub fn migrate(args: &Args<'_>) -> Outcome {
    let mut host = host()?;
    let domain = host.find(args.one("domain"))?;
    let pool = host.find_pool(args.one("pool"))?;
    Ok(host.xen.move_to_pool(domain.info.domid, pool.pool.id)?)
}

/// One pool for each NUMA node; the first keeps the domains that are there.
pub fn numa_split(_: &Args<'_>) -> Outcome {
    let mut host = host()?;
    let pools = host.pools()?;
    let [first] = pools.as_slice() else {
        return Err(Failure::failed("there are several CPU pools already; remove all but the first"));
    };
    let places = host.xen.cpus()?;
    let last = places.iter().map(|place| place.node).max().unwrap_or(0);
    for node in 1..=last {
        let cpus = of(&places, |its| its == node);
        if cpus.is_empty() {
            continue;
        }
        for cpu in cpus.iter() {
            host.xen.remove_cpu_from_pool(first.pool.id, cpu)?;
        }
        let scheduler = Some(first.pool.scheduler);
        host.create_pool(&NewPool { name: format!("Pool-node{node}"), scheduler, cpus: Some(cpus) })?;
    }
    Ok(host.rename_pool(first, "Pool-node0")?)
}
