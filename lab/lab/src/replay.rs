//! Failures again: recorded and replayed exactly where QEMU can (one CPU), else run again under `-icount`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::console::Console;
use crate::host::{Host, Order, Replay};
use crate::machine::Machine;
use crate::qcow2;
use crate::results::{self, Record};

/// The log of a recording.
pub const LOG: &str = "replay.log";
/// The image for the snapshot at its begin.
pub const SNAPSHOT: &str = "snapshot.qcow2";

/// Which scenario of a run is meant: the one that is named, else the first that failed.
///
/// # Errors
///
/// If there is none.
pub fn choose(run: &Path, scenario: Option<&str>) -> Result<Record> {
    let records = results::read(run)?;
    let found = records.into_iter().find(|record| match scenario {
        Some(name) => record.scenario == name,
        None => !record.passed,
    });
    match (found, scenario) {
        (Some(record), _) => Ok(record),
        (None, Some(name)) => bail!("no scenario {name} in {}", run.display()),
        (None, None) => bail!("nothing failed in {}; name a scenario to replay it all the same", run.display()),
    }
}

/// True if QEMU can record it: one machine with one CPU. `folder` is the scenario's in its run.
///
/// # Errors
///
/// If the folder holds no machine.
pub fn recordable(folder: &Path) -> Result<bool> {
    let machines = machines(folder)?;
    Ok(machines.len() == 1 && machines.iter().all(|(_, machine)| machine.cpus == 1))
}

/// The machines whose descriptions a scenario left, with their names.
///
/// # Errors
///
/// If there is none.
pub fn machines(folder: &Path) -> Result<Vec<(String, Machine)>> {
    let mut machines = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("no folder {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            machines.push((name.clone(), Machine::load(folder, &name)?));
        }
    }
    if machines.is_empty() {
        bail!("{} holds no machine: it was never started", folder.display());
    }
    Ok(machines)
}

/// The files of a recording in `dir`; the snapshot image is made for recording.
///
/// # Errors
///
/// If the image cannot be written.
pub fn files(dir: &Path, record: bool) -> Result<Replay> {
    fs::create_dir_all(dir)?;
    let snapshot = dir.join(SNAPSHOT);
    if record {
        qcow2::create(&snapshot, 64 << 20, None)?;
    }
    Ok(Replay { record, file: dir.join(LOG), snapshot: Some(snapshot) })
}

/// How a replay compares with its recording.
#[derive(Debug, PartialEq, Eq)]
pub enum Comparison {
    /// The consoles have the same bytes, so many.
    Identical(usize),
    /// They are the same until here: byte, and the lines of recording and replay there.
    Differs(usize, String, String),
}

/// A debugger at a replay: where QEMU waits for it, and whether it has gone.
#[derive(Debug)]
pub struct Debugger {
    /// The port on the loopback.
    pub port: u16,
    /// Set when it has ended: the replay is ended then.
    pub gone: AtomicBool,
}

/// Replays what was recorded in `dir`, with one machine; compares the consoles.
///
/// # Errors
///
/// If the machine does not start, or makes no progress for `patience`.
pub fn replay(host: &dyn Host, dir: &Path, debugger: Option<&Debugger>, patience: Duration) -> Result<Comparison> {
    let machines = machines(dir)?;
    let [(name, machine)] = machines.as_slice() else { bail!("a recording has one machine") };
    let exec = fs::read_to_string(dir.join(format!("{name}.exec"))).ok();
    let mut order = Order { exec, replay: Some(files(dir, false)?), ..Order::default() };
    if let Some(Debugger { port, .. }) = debugger {
        order.qemu.extend(["-gdb".to_owned(), format!("tcp:127.0.0.1:{port}"), "-S".to_owned()]);
    }
    let prepared = host.prepare(machine, &order)?;
    let recorded = fs::read(dir.join(format!("{name}.console")))?;
    let file = dir.join(format!("{name}.replayed.console"));
    let console = Console::start(prepared.command, &file)?;
    let mut heard = 0;
    let mut since = Instant::now();
    while !console.ended() {
        let now = fs::metadata(&file).map_or(0, |meta| meta.len());
        if now != heard {
            (heard, since) = (now, Instant::now());
        }
        // At the log's end QEMU stops; a debugger may take as long as it likes.
        let all = heard >= recorded.len() as u64 && since.elapsed() > Duration::from_secs(5);
        let over = match debugger {
            Some(debugger) => debugger.gone.load(Ordering::Relaxed),
            None => all || since.elapsed() > patience,
        };
        if over {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    drop(console);
    Ok(compare(&recorded, &fs::read(&file)?))
}

fn compare(recorded: &[u8], replayed: &[u8]) -> Comparison {
    let same = recorded.iter().zip(replayed).take_while(|(a, b)| a == b).count();
    if same == recorded.len() && same == replayed.len() {
        return Comparison::Identical(same);
    }
    let line = |bytes: &[u8]| {
        let from = bytes.get(..same).unwrap_or(bytes).iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let rest = bytes.get(from..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        String::from_utf8_lossy(rest.get(..end).unwrap_or_default()).trim().to_owned()
    };
    Comparison::Differs(same, line(recorded), line(replayed))
}

/// gdb's command line for a machine that waits on `port`.
pub fn gdb_command(symbols: &Path, port: u16) -> Vec<String> {
    let target = format!("target remote 127.0.0.1:{port}");
    vec!["gdb".to_owned(), symbols.display().to_string(), "-ex".to_owned(), target]
}

/// The folder of a run: a path, a name below `runs`, or the latest.
pub fn folder(runs: &Path, run: Option<&str>) -> PathBuf {
    match run {
        None => runs.join(crate::run::LATEST),
        Some(path) if path.contains('/') => PathBuf::from(path),
        Some(name) => runs.join(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consoles_are_compared_byte_by_byte() {
        assert_eq!(compare(b"one\ntwo\n", b"one\ntwo\n"), Comparison::Identical(8));
        assert_eq!(
            compare(b"one\ntwo\nthree\n", b"one\ntwi\n"),
            Comparison::Differs(6, "two".to_owned(), "twi".to_owned())
        );
        assert_eq!(compare(b"one\ntwo\n", b"one\n"), Comparison::Differs(4, "two".to_owned(), String::new()));
    }

    #[test]
    fn only_one_machine_with_one_cpu_can_be_recorded() {
        let dir = std::env::temp_dir().join(format!("ferroxen-lab-replay-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        assert!(recordable(&dir).is_err());
        fs::write(dir.join("a.toml"), "cpus = 1\n").unwrap();
        assert!(recordable(&dir).unwrap());
        fs::write(dir.join("a.toml"), "cpus = 2\n").unwrap();
        assert!(!recordable(&dir).unwrap());
        fs::write(dir.join("a.toml"), "cpus = 1\n").unwrap();
        fs::write(dir.join("b.toml"), "cpus = 1\n").unwrap();
        assert!(!recordable(&dir).unwrap());
        fs::remove_dir_all(dir).unwrap();
    }
}
