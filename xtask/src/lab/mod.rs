//! `./x lab`: scenarios on machines, and replays of what failed.

mod host;
mod replay;

use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use ferroxen_lab::run::{self, Options};
use ferroxen_lab::scenarios::ALL;

use self::host::LabHost;
use crate::paths::Paths;
use crate::test::Tally;
use crate::ui;

/// What `./x lab` is told.
#[derive(Debug, Args)]
pub struct LabArgs {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run scenarios
    Run(RunArgs),
    /// Name the scenarios and the machines
    List,
    /// Record a failed scenario of one machine, replay it exactly, debug the replay
    Replay(replay::ReplayArgs),
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Only scenarios whose name contains this, those of --full too
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Those too that take long
    #[arg(long)]
    full: bool,
    /// Only what failed in the last run
    #[arg(long)]
    rerun_failed: bool,
    /// Cores for machines [default: all]
    #[arg(long, value_name = "N")]
    cores: Option<u32>,
    /// Keep the memory of machines that failed
    #[arg(long)]
    core: bool,
}

/// `./x lab`.
pub fn main(paths: &Paths, args: &LabArgs) -> Result<i32> {
    let host = LabHost::new(paths);
    match &args.task {
        Task::Run(args) => scenarios(&host, args),
        Task::List => list(&host),
        Task::Replay(args) => replay::main(&host, args),
    }
}

/// The one scenario of a quick `./x test`.
const QUICK: &str = "a_reboot_resets_the_machine";

/// Scenarios as tests: all of them if `full`.
pub fn test(paths: &Paths, full: bool, tally: &mut Tally) -> Result<()> {
    use ferroxen_lab::host::Host;
    let host = LabHost::new(paths);
    let options = Options { filter: (!full).then(|| QUICK.to_owned()), full, ..Options::default() };
    let chosen = run::choose(ALL, &options, &host.runs())?;
    ui::step(format!("{} scenarios", chosen.len()));
    let (folder, records) = run::run(&host, &chosen, &options)?;
    for record in records {
        let kept = folder.join(&record.folder);
        let result = match record.why {
            Some(why) if !record.passed => Err(format!("  {why}\n  see {}", kept.display())),
            _ => Ok(()),
        };
        tally.one(&format!("lab::{}", record.scenario), result, Duration::from_secs_f64(record.seconds));
    }
    Ok(())
}

fn scenarios(host: &LabHost<'_>, args: &RunArgs) -> Result<i32> {
    use ferroxen_lab::host::Host;
    let options = Options {
        filter: args.filter.clone(),
        full: args.full,
        rerun_failed: args.rerun_failed,
        cores: args.cores,
        core: args.core,
    };
    let chosen = run::choose(ALL, &options, &host.runs())?;
    ui::step(format!("{} scenarios", chosen.len()));
    let (folder, records) = run::run(host, &chosen, &options)?;
    let failed: Vec<&str> =
        records.iter().filter(|record| !record.passed).map(|record| record.scenario.as_str()).collect();
    println!();
    for name in &failed {
        println!("failed: {name}");
    }
    println!("{} passed, {} failed; {}", records.len() - failed.len(), failed.len(), folder.display());
    Ok(i32::from(!failed.is_empty()))
}

fn list(host: &LabHost<'_>) -> Result<i32> {
    use ferroxen_lab::host::Host;
    for scenario in ALL {
        let full = if scenario.full { " (--full)" } else { "" };
        println!("{}{full}", scenario.name);
    }
    println!();
    let folder = host.machines();
    let Ok(entries) = std::fs::read_dir(&folder) else { bail!("no machines in {}", folder.display()) };
    let mut names: Vec<String> =
        entries.flatten().filter_map(|entry| Some(entry.path().file_stem()?.to_string_lossy().into_owned())).collect();
    names.sort();
    println!("machines in {}: {}", folder.display(), names.join(" "));
    Ok(0)
}
