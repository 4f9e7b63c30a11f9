//! `xm counts`: how much of everything is in use, so that a test (or a report) sees what is not given back.

use super::host;
use crate::failure::Outcome;
use crate::output::{json, line};
use crate::table::Args;
use std::fs;
use std::path::{Path, PathBuf};
use toolstack::Host;
use xenctl::{Errno, GrantCount};
use xenstore::{Access as _, Xenstore};

/// Programs whose open files are counted: those that must not grow.
const DAEMONS: &[&str] = &["xenstored", "oxenstored", "xenconsoled"];

pub fn counts(args: &Args<'_>) -> Outcome {
    let mut host = host()?;
    let free = host.xen.system_info()?.free_pages;
    let domains = host.xen.domains()?;
    let frames: u64 = domains.iter().map(|info| info.pages).sum();
    let processes = processes();
    let mut grants = GrantCount::default();
    for domain in domains.iter().filter(|domain| !domain.dying()) {
        let more = host.xen.grants(domain.domid)?;
        grants = GrantCount { granted: grants.granted + more.granted, mapped: grants.mapped + more.mapped };
    }
    let all = [
        ("domains", domains.len() as u64),
        // The kernel of domain 0 gives frames back and takes them as it likes: together they stay.
        ("frames", free + frames),
        ("event-channels", event_channels(&host)?),
        ("grants", grants.granted),
        ("grants-mapped", grants.mapped),
        ("xenstore-nodes", nodes(&mut host.xs, "/")?),
        ("loop-devices", count("/sys/block", |path| path.join("loop/backing_file").exists())),
        ("interfaces", count("/sys/class/net", |_| true)),
        ("backends", count("/sys/bus/xen-backend/devices", |_| true)),
        ("processes", processes.len() as u64),
        ("daemons-files", processes.iter().filter(|path| is_daemon(path)).map(|path| files(path)).sum()),
        ("configurations", count(&host.run_dir, |_| true)),
    ];
    if args.flag("json") {
        let all = all.iter().map(|(name, value)| ((*name).to_owned(), serde_json::Value::from(*value)));
        json(&all.collect());
        return Ok(());
    }
    all.iter().for_each(|(name, value)| line(&format!("{name} {value}")));
    Ok(())
}

/// Ports of domain 0 that are open.
fn event_channels(host: &Host) -> Result<u64, xenctl::Error> {
    let mut open = 0;
    // Ports come in pages; above the last page every number is wrong, and so are all after it.
    for port in 0..131_072 {
        match host.xen.event_channel(port) {
            Ok(binding) => open += u64::from(binding != xenctl::EvtchnBinding::Closed),
            Err(error) if error.errno == Errno::EINVAL => break,
            Err(error) => return Err(error),
        }
    }
    Ok(open)
}

fn nodes(xs: &mut Xenstore, path: &str) -> xenstore::Result<u64> {
    let children = match xs.list(path) {
        // It went meanwhile.
        Err(error) if error.is_not_found() => return Ok(0),
        other => other?,
    };
    let below = path.trim_end_matches('/');
    children.iter().try_fold(1, |sum, name| Ok(sum + nodes(xs, &format!("{below}/{name}"))?))
}

fn entries(path: impl Into<PathBuf>) -> Vec<PathBuf> {
    let entries = fs::read_dir(path.into());
    entries.map(|all| all.filter_map(Result::ok).map(|entry| entry.path()).collect()).unwrap_or_default()
}

fn count(path: impl Into<PathBuf>, which: impl Fn(&Path) -> bool) -> u64 {
    entries(path).iter().filter(|path| which(path)).count() as u64
}

/// Folders of all processes that are none of the kernel's.
fn processes() -> Vec<PathBuf> {
    let has_program = |path: &PathBuf| fs::read(path.join("cmdline")).is_ok_and(|line| !line.is_empty());
    entries("/proc")
        .into_iter()
        .filter(|path| path.file_name().is_some_and(|name| name.as_encoded_bytes().iter().all(u8::is_ascii_digit)))
        .filter(has_program)
        .collect()
}

fn is_daemon(path: &Path) -> bool {
    fs::read_to_string(path.join("comm")).is_ok_and(|name| DAEMONS.contains(&name.trim()))
}

fn files(path: &Path) -> u64 {
    count(path.join("fd"), |_| true)
}
