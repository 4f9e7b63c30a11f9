//! `./x bench --count`: what an operation executes, counted by lab/fxcount inside QEMU in the same way on
//! the bare kernel, on Debian's Xen and on Ferroxen.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Map, Value, json};

use super::figures::Plan;
use super::operations::Suite;
use super::{BenchArgs, hypervisor, thousands, title};
use crate::boot::{self, BootArgs, End};
use crate::build;
use crate::paths::Paths;
use crate::process::run;
use crate::ui;

/// What one operation came to on one system, as fxcount wrote it.
pub struct Counted {
    /// How often the operation was done between the marks.
    rounds: u64,
    record: Map<String, Value>,
}

impl Counted {
    fn parse(line: &str) -> Result<(String, Self)> {
        let record: Map<String, Value> = serde_json::from_str(line).context("fxcount wrote no JSON")?;
        let name = record.get("name").and_then(Value::as_str).context("a count without a name")?.to_owned();
        let rounds = record.get("rounds").and_then(Value::as_u64).unwrap_or(0).max(1);
        Ok((name, Self { rounds, record }))
    }

    /// The figures of one group (`events`, `traps` …).
    pub fn group(&self, name: &str) -> BTreeMap<String, u64> {
        let group = self.record.get(name).and_then(Value::as_object);
        let pairs = group.into_iter().flatten().filter_map(|(key, value)| Some((key.clone(), value.as_u64()?)));
        pairs.collect()
    }

    /// One figure of a group, for one operation.
    fn each(&self, group: &str, name: &str) -> f64 {
        self.group(group).get(name).copied().unwrap_or(0) as f64 / self.rounds as f64
    }

    /// One kind of event, whoever executed it, for one operation.
    fn event(&self, name: &str) -> f64 {
        ["user", "kernel", "hypervisor"].iter().map(|who| self.each("events", &format!("{who} {name}"))).sum()
    }

    fn sum(&self, group: &str) -> f64 {
        self.group(group).values().sum::<u64>() as f64 / self.rounds as f64
    }

    /// Instructions of one operation.
    pub fn instructions(&self) -> f64 {
        self.sum("instructions")
    }

    /// How often the operation was done.
    pub fn rounds(&self) -> u64 {
        self.rounds
    }
}

/// Operations by name; of several batches the one with the fewest instructions.
pub type Operations = BTreeMap<String, Counted>;

/// Boots a system with the plugin and runs what was named, or all that `fxbench` does in dom0.
pub fn count(
    paths: &Paths,
    args: &BenchArgs,
    system: &str,
    ours: Option<&PathBuf>,
    addresses: bool,
) -> Result<Operations> {
    let named = if args.profile.is_empty() { args.only.as_slice() } else { args.profile.as_slice() };
    let in_dom0 = BootArgs {
        hypervisor: hypervisor(system, ours),
        uncompressed: true,
        fxbench: true,
        exec: Some(format!("fxbench --batches 3 {}", named.join(" "))),
        ..BootArgs::default()
    };
    let mut boots = Vec::new();
    let mut unknown = None;
    match Plan::new(paths, ours.cloned(), named, &[Suite::Dom0]) {
        Ok(plan) => {
            for suite in plan.suites.iter().copied().filter(|suite| suite.runs_on(system)) {
                boots
                    .push((suite, if suite == Suite::Dom0 { in_dom0.clone() } else { plan.boot(system, suite, true) }));
            }
        }
        // What is in no table, fxbench may know.
        Err(error) => {
            boots.push((Suite::Dom0, in_dom0));
            unknown = Some(error);
        }
    }
    let mut operations = Operations::new();
    for (suite, boot) in boots {
        one(paths, args, (system, suite, boot), addresses, &mut operations)?;
    }
    if operations.is_empty() {
        return Err(unknown.unwrap_or_else(|| anyhow!("the plugin saw no marks on {}", title(system))));
    }
    Ok(operations)
}

/// One boot with the plugin.
fn one(
    paths: &Paths,
    args: &BenchArgs,
    (system, suite, boot): (&str, Suite, BootArgs),
    addresses: bool,
    operations: &mut Operations,
) -> Result<()> {
    let plugin = plugin(paths)?;
    let out = paths.target.join(format!("fxcount-{system}-{}.jsonl", std::process::id()));
    let comma = |path: &PathBuf| path.to_string_lossy().replace(',', ",,");
    let mut option = format!("file={},out={}", comma(&plugin), comma(&out));
    if addresses {
        option += ",addresses=on";
    }
    let outcome = boot::quiet(
        paths,
        &BootArgs {
            // With several CPUs this QEMU dies of some systems' reads of the clock ("Bad icount read").
            icount: args.cpus == 1,
            cpus: Some(args.cpus),
            qemu: vec!["-plugin".to_owned(), option],
            timeout: 3600,
            ..boot
        },
    )?;
    if outcome.end != (if suite == Suite::Hypercalls { End::Off } else { End::Exec(0) }) {
        let tail = outcome.tail(20).join("\n  | ");
        bail!("no counts from {}: {:?}\n  | {tail}", title(system), outcome.end);
    }
    let text = fs::read_to_string(&out).with_context(|| format!("the plugin left no {}", out.display()))?;
    for line in text.lines() {
        let (name, counted) = Counted::parse(line)?;
        if name.is_empty() {
            continue;
        }
        match operations.get(&name) {
            Some(best) if best.instructions() <= counted.instructions() => {}
            _ => {
                operations.insert(name, counted);
            }
        }
    }
    fs::remove_file(&out)?;
    Ok(())
}

/// Builds the plugin.
fn plugin(paths: &Paths) -> Result<PathBuf> {
    let mut cmd = build::cargo(paths);
    cmd.args(["build", "--quiet", "--release", "-p", "fxcount"]);
    run(&mut cmd).context("the plugin for QEMU does not build")?;
    Ok(paths.target.join("release").join("libfxcount.so"))
}

/// A figure for one operation.
type Figure = fn(&Counted) -> f64;

/// The rows of the table: a title and how to get a figure for one operation.
const ROWS: &[(&str, Figure)] = &[
    ("instructions", Counted::instructions),
    ("... of user mode", |counted| counted.each("instructions", "user")),
    ("... of the kernel", |counted| counted.each("instructions", "kernel")),
    ("... of the hypervisor", |counted| counted.each("instructions", "hypervisor")),
    ("system calls", |counted| counted.each("events", "user syscall")),
    ("hypercalls", |counted| counted.each("events", "kernel syscall")),
    ("... calls in multicalls", |counted| counted.sum("multicalls")),
    ("traps and interrupts", |counted| counted.sum("traps")),
    ("... page faults", |counted| counted.each("traps", "14")),
    ("... general protection", |counted| counted.each("traps", "13")),
    ("CR3 loads", |counted| counted.event("cr3-load")),
    ("CR4 loads", |counted| counted.event("cr4-load")),
    ("INVLPG", |counted| counted.event("invlpg")),
    ("INVPCID", |counted| counted.event("invpcid")),
    ("IPIs", |counted| counted.record.get("ipis").and_then(Value::as_u64).unwrap_or(0) as f64 / counted.rounds as f64),
    ("WRMSR", |counted| counted.event("wrmsr")),
    ("RDMSR", |counted| counted.event("rdmsr")),
    ("IRET", |counted| counted.event("iret")),
    ("SYSRET", |counted| counted.event("sysret")),
    ("locked instructions", |counted| counted.event("lock-prefix") + counted.event("xchg-memory")),
    ("CLI and STI", |counted| counted.event("cli-sti")),
    ("XSAVE and XRSTOR", |counted| counted.event("xsave-xrstor")),
    ("port I/O", |counted| counted.event("port-io")),
];

/// `./x bench --count`.
pub fn main(paths: &Paths, args: &BenchArgs, ours: Option<&PathBuf>) -> Result<i32> {
    let mut systems = BTreeMap::new();
    for system in &args.systems {
        ui::step(format!("counting on {}", title(system)));
        systems.insert(system.as_str(), count(paths, args, system, ours, false)?);
    }
    let names: Vec<&String> = systems.values().next().into_iter().flat_map(BTreeMap::keys).collect();
    println!("Per operation, counted inside QEMU; {} CPU(s). rep-prefixed instructions count by iteration.", args.cpus);
    for name in names {
        println!("\n### {name}\n");
        print!("{}", table(&args.systems, &systems, name));
    }
    let file = args.json.clone().unwrap_or_else(|| paths.target.join("bench-count.json"));
    let record: BTreeMap<&str, BTreeMap<&String, &Map<String, Value>>> = systems
        .iter()
        .map(|(system, operations)| {
            (*system, operations.iter().map(|(name, counted)| (name, &counted.record)).collect())
        })
        .collect();
    fs::write(&file, serde_json::to_string_pretty(&json!(record))? + "\n")?;
    eprintln!();
    ui::step(format!("figures in {}", file.display()));
    Ok(0)
}

fn table(order: &[String], systems: &BTreeMap<&str, Operations>, name: &str) -> String {
    let columns: Vec<(&str, &Counted)> =
        order.iter().filter_map(|system| Some((system.as_str(), systems.get(system.as_str())?.get(name)?))).collect();
    let mut text = String::from("| |");
    for (system, _) in &columns {
        text += &format!(" {} |", title(system));
    }
    text += &format!("\n|---|{}\n", "---:|".repeat(columns.len()));
    for (row, figure) in ROWS {
        let figures: Vec<f64> = columns.iter().map(|(_, counted)| figure(counted)).collect();
        if figures.iter().all(|figure| *figure == 0.0) {
            continue;
        }
        text += &format!("| {row} |");
        for figure in figures {
            text += &format!(" {} |", amount(figure));
        }
        text += "\n";
    }
    let calls = |group: &str| {
        let all = columns.iter().flat_map(|(_, counted)| counted.group(group).into_keys());
        let mut keys: Vec<String> = all.collect();
        keys.sort_by_key(|key| key.parse::<u64>().unwrap_or(u64::MAX));
        keys.dedup();
        keys
    };
    for (group, what) in [("hypercalls", "hypercall"), ("requests", "requests in"), ("multicalls", "in multicalls:")] {
        for key in calls(group) {
            let number = key.parse().unwrap_or(u64::MAX);
            text += &format!("| {what} {} |", hypercall_name(number).map_or(key.clone(), str::to_owned));
            for (_, counted) in &columns {
                text += &format!(" {} |", amount(counted.each(group, &key)));
            }
            text += "\n";
        }
    }
    for vector in calls("traps") {
        text += &format!("| vector {vector} |");
        for (_, counted) in &columns {
            text += &format!(" {} |", amount(counted.each("traps", &vector)));
        }
        text += "\n";
    }
    text
}

/// A figure of one operation: whole above ten, else with two places.
fn amount(figure: f64) -> String {
    if figure == 0.0 {
        String::new()
    } else if figure >= 10.0 {
        thousands(figure.round() as u64)
    } else {
        format!("{figure:.2}")
    }
}

fn hypercall_name(number: u64) -> Option<&'static str> {
    const NAMES: &[&str] = &[
        "set_trap_table",
        "mmu_update",
        "set_gdt",
        "stack_switch",
        "set_callbacks",
        "fpu_taskswitch",
        "sched_op_compat",
        "platform_op",
        "set_debugreg",
        "get_debugreg",
        "update_descriptor",
        "",
        "memory_op",
        "multicall",
        "update_va_mapping",
        "set_timer_op",
        "event_channel_op_compat",
        "xen_version",
        "console_io",
        "physdev_op_compat",
        "grant_table_op",
        "vm_assist",
        "update_va_mapping_otherdomain",
        "iret",
        "vcpu_op",
        "set_segment_base",
        "mmuext_op",
        "xsm_op",
        "nmi_op",
        "sched_op",
        "callback_op",
        "xenoprof_op",
        "event_channel_op",
        "physdev_op",
        "hvm_op",
        "sysctl",
        "domctl",
        "kexec_op",
    ];
    usize::try_from(number).ok().and_then(|number| NAMES.get(number)).copied().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_for_one_operation() {
        let line = "{\"name\":\"fork-exit\",\"rounds\":20,\"instructions\":{\"user\":100,\"hypervisor\":200,\"kernel\":300},\
                    \"events\":{\"kernel syscall\":40},\"ipis\":0,\"traps\":{\"14\":10},\"wrmsr\":{},\
                    \"hypercalls\":{\"1\":40},\"requests\":{},\"multicalls\":{}}";
        let (name, counted) = Counted::parse(line).unwrap();
        let systems = BTreeMap::from([("xen", Operations::from([(name, counted)]))]);
        let text = table(&["xen".to_owned()], &systems, "fork-exit");
        assert!(text.contains("| instructions | 30 |"), "{text}");
        assert!(text.contains("| hypercall mmu_update | 2.00 |"), "{text}");
        assert!(text.contains("| ... page faults | 0.50 |"), "{text}");
    }

    #[test]
    fn hypercalls_have_the_names_of_the_abi() {
        assert_eq!(
            [1, 13, 23, 26, 29, 32].map(|number| hypercall_name(number).unwrap_or("")),
            ["mmu_update", "multicall", "iret", "mmuext_op", "sched_op", "event_channel_op"]
        );
    }
}
