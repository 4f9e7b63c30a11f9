//! `./x lab replay`: a failure again.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use ferroxen_lab::host::Host;
use ferroxen_lab::replay::{self, Comparison, Debugger};
use ferroxen_lab::run;
use ferroxen_lab::scenario::Mode;
use ferroxen_lab::scenarios::ALL;

use super::host::LabHost;
use crate::process::which;
use crate::ui;

/// What `./x lab replay` is told.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The run: a folder, its name below target/lab, or nothing for the last one
    run: Option<String>,
    /// The scenario [default: the first that failed]
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,
    /// Attach gdb to the replay, with the hypervisor's symbols; reverse-stepi and reverse-continue work
    #[arg(long)]
    gdb: bool,
    /// With --gdb: a command for it; then it does not ask for more
    #[arg(long, value_name = "COMMAND", requires = "gdb")]
    ex: Vec<String>,
    /// Replay the recording that is there, do not record again
    #[arg(long)]
    again: bool,
}

/// The port on the loopback where the replayed machine waits for gdb.
const PORT: u16 = 1234;

/// Record and replay cost several times a plain run.
const PATIENCE: Duration = Duration::from_secs(300);

/// `./x lab replay`. 0 if the replay was exact (or, where none is possible, if the failure came again).
pub fn main(host: &LabHost<'_>, args: &ReplayArgs) -> Result<i32> {
    let folder = replay::folder(&host.runs(), args.run.as_deref());
    let record = replay::choose(&folder, args.scenario.as_deref())?;
    let scenario = ALL
        .iter()
        .find(|scenario| scenario.name == record.scenario)
        .with_context(|| format!("the scenario {} is no more", record.scenario))?;
    let dir = folder.join(&record.folder);
    if !replay::recordable(&dir)? {
        ui::step(format!(
            "{}: several CPUs or machines, which QEMU cannot record; running it again under -icount (all CPUs on one thread)",
            scenario.name
        ));
        let mode = Mode { icount: true, ..Mode::default() };
        return Ok(match run::play(host, scenario, &dir.join("icount"), mode) {
            Err(why) => {
                println!("it fails under -icount too:\n{why}");
                0
            }
            Ok(()) => {
                println!("it passes under -icount: what failed needs CPUs that really run at the same time");
                1
            }
        });
    }
    let recording = dir.join("recording");
    if !args.again {
        ui::step(format!("{}: recording (one CPU, -icount shift=7)", scenario.name));
        let mode = Mode { replay: Some(replay::files(&recording, true)?), ..Mode::default() };
        match run::play(host, scenario, &recording, mode) {
            Err(why) => println!("recorded a failure: {}", why.lines().next().unwrap_or_default()),
            Ok(()) => println!("recorded a run that passed"),
        }
    }
    if args.gdb {
        return debug(host, args, &recording);
    }
    ui::step(format!("replaying {}", recording.join(replay::LOG).display()));
    match replay::replay(host, &recording, None, PATIENCE)? {
        Comparison::Identical(bytes) => {
            println!("replayed exactly: the {bytes} bytes of the console are the same");
            println!("`./x lab replay {} --scenario {} --again --gdb` debugs it", folder.display(), scenario.name);
            Ok(0)
        }
        Comparison::Differs(at, recorded, replayed) => {
            println!("the replay differs from byte {at} on:\n  recorded: {recorded}\n  replayed: {replayed}");
            Ok(1)
        }
    }
}

/// The replay waits for gdb, which is started here if there is one.
fn debug(host: &LabHost<'_>, args: &ReplayArgs, recording: &Path) -> Result<i32> {
    let mut words = replay::gdb_command(&host.symbols(), PORT);
    for command in &args.ex {
        words.extend(["-ex".to_owned(), command.clone()]);
    }
    if !args.ex.is_empty() {
        words.insert(1, "-batch".to_owned());
    }
    let Some((program, rest)) = words.split_first() else { bail!("no gdb") };
    let debugger = Debugger { port: PORT, gone: AtomicBool::new(false) };
    if which(program).is_none() {
        ui::step(format!("no gdb here; the replay waits for one: {}", words.join(" ")));
        replay::replay(host, recording, Some(&debugger), PATIENCE)?;
        return Ok(0);
    }
    std::thread::scope(|scope| {
        let machine = scope.spawn(|| replay::replay(host, recording, Some(&debugger), PATIENCE));
        // gdb tries for a few seconds; QEMU is there sooner, once its parts are.
        std::thread::sleep(Duration::from_secs(5));
        let status = Command::new(program).args(rest).status();
        debugger.gone.store(true, Ordering::Relaxed);
        let status = status.context("cannot start gdb")?;
        machine.join().ok().context("the replay panicked")??;
        Ok(status.code().unwrap_or(1))
    })
}
