//! Runs of many scenarios: several at once where the machine has the cores, with progress and results.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::host::Host;
use crate::results::{self, Record};
use crate::scenario::{Lab, Mode, Scenario};

/// Which scenarios, and how.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Only those whose name contains this.
    pub filter: Option<String>,
    /// Those too that take long.
    pub full: bool,
    /// Only those that failed in the last run.
    pub rerun_failed: bool,
    /// Cores for machines; the machine's if `None`.
    pub cores: Option<u32>,
    /// Keep the memory of machines that failed.
    pub core: bool,
}

/// The last run, a link.
pub const LATEST: &str = "latest";

/// The scenarios that are chosen.
///
/// # Errors
///
/// If none is, or there is no last run.
pub fn choose(all: &[Scenario], options: &Options, runs: &Path) -> Result<Vec<Scenario>> {
    let failed = if options.rerun_failed {
        let records = results::read(&runs.join(LATEST)).context("--rerun-failed wants a run before")?;
        Some(records.into_iter().filter(|record| !record.passed).map(|record| record.scenario).collect::<Vec<_>>())
    } else {
        None
    };
    let chosen: Vec<Scenario> = all
        .iter()
        .filter(|scenario| options.filter.as_ref().is_none_or(|text| scenario.name.contains(text.as_str())))
        .filter(|scenario| options.full || options.filter.is_some() || failed.is_some() || !scenario.full)
        .filter(|scenario| failed.as_ref().is_none_or(|failed| failed.iter().any(|name| name == scenario.name)))
        .copied()
        .collect();
    if chosen.is_empty() {
        bail!("no scenario is chosen; `./x lab list` names them");
    }
    Ok(chosen)
}

/// Cores that machines may use; who wants more than there are waits until it is alone.
struct Cores {
    all: u32,
    free: Mutex<u32>,
    changed: Condvar,
}

impl Cores {
    fn take(&self, wanted: u32) -> u32 {
        let wanted = wanted.clamp(1, self.all);
        let mut free = lock(&self.free);
        while *free < wanted {
            free = self.changed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= wanted;
        wanted
    }

    fn give(&self, taken: u32) {
        *lock(&self.free) += taken;
        self.changed.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs scenarios; gives the run's folder and its records.
///
/// # Errors
///
/// If results cannot be written. A scenario that fails is a record.
pub fn run(host: &dyn Host, scenarios: &[Scenario], options: &Options) -> Result<(PathBuf, Vec<Record>)> {
    let folder = folder(&host.runs())?;
    let file = Mutex::new(File::create(folder.join(results::FILE))?);
    let available = thread::available_parallelism().map_or(1, usize::from);
    let all = options.cores.unwrap_or(u32::try_from(available).unwrap_or(1)).max(1);
    let cores = Cores { all, free: Mutex::new(all), changed: Condvar::new() };
    let progress = MultiProgress::new();
    let total = progress.add(ProgressBar::new(scenarios.len() as u64));
    total.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} scenarios, {elapsed}")?);
    let records = Mutex::new(Vec::new());
    let next = Mutex::new(scenarios.iter());
    thread::scope(|scope| {
        for _ in 0..all.min(u32::try_from(scenarios.len()).unwrap_or(1)) {
            scope.spawn(|| {
                loop {
                    let Some(scenario) = lock(&next).next() else { return };
                    let taken = cores.take(scenario.cpus);
                    let record = one(host, scenario, options, &folder, &progress);
                    cores.give(taken);
                    total.inc(1);
                    let verdict = if record.passed { "ok" } else { "FAILED" };
                    let line = format!("scenario {} ... {verdict} ({:.1} s)", record.scenario, record.seconds);
                    let text = match &record.why {
                        Some(why) => format!("{line}\n  {}", why.replace('\n', "\n  ")),
                        None => line,
                    };
                    progress.suspend(|| println!("{text}"));
                    if let Ok(line) = serde_json::to_string(&record) {
                        let _ = writeln!(lock(&file), "{line}");
                    }
                    lock(&records).push(record);
                }
            });
        }
    });
    total.finish_and_clear();
    let records = records.into_inner().unwrap_or_else(PoisonError::into_inner);
    fs::write(folder.join("junit.xml"), results::junit(&records))?;
    Ok((folder, records))
}

fn one(host: &dyn Host, scenario: &Scenario, options: &Options, run: &Path, progress: &MultiProgress) -> Record {
    let bar = progress.add(ProgressBar::new_spinner());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
        bar.set_style(style);
    }
    bar.set_message(scenario.name);
    bar.enable_steady_tick(Duration::from_millis(200));
    let start = Instant::now();
    let mode = Mode { core: options.core, ..Mode::default() };
    let why = play(host, scenario, &run.join(scenario.name), mode).err();
    bar.finish_and_clear();
    Record {
        scenario: scenario.name.to_owned(),
        passed: why.is_none(),
        why,
        seconds: start.elapsed().as_secs_f64(),
        folder: scenario.name.to_owned(),
        single: scenario.single,
    }
}

/// Plays a scenario once. The error says why it failed, and the last words of its machines.
///
/// # Errors
///
/// If the scenario fails.
pub fn play(host: &dyn Host, scenario: &Scenario, dir: &Path, mode: Mode) -> Result<(), String> {
    let lab = Lab::new(host, dir, mode).map_err(|err| format!("{err:#}"))?;
    (scenario.run)(&lab).map_err(|err| {
        lab.autopsy();
        let words = lab.last_words(20).join("\n");
        format!("{err:#}\n{words}\nconsoles, registers and command lines are in {}", dir.display())
    })
}

/// A folder for a run, named by the time.
fn folder(runs: &Path) -> Result<PathBuf> {
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let name = format!("{seconds}-{}", std::process::id());
    let folder = runs.join(&name);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let link = runs.join(LATEST);
    let fresh = runs.join(format!("{LATEST}.{name}"));
    std::os::unix::fs::symlink(&name, &fresh)?;
    fs::rename(&fresh, &link)?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(_lab: &Lab<'_>) -> Result<()> {
        Ok(())
    }

    fn bad(_lab: &Lab<'_>) -> Result<()> {
        bail!("no such luck")
    }

    const ALL: &[Scenario] = &[
        Scenario { name: "it_works", full: false, cpus: 1, single: true, run: good },
        Scenario { name: "it_takes_long", full: true, cpus: 9, single: true, run: good },
        Scenario { name: "it_fails", full: false, cpus: 1, single: false, run: bad },
    ];

    struct Nothing(PathBuf);

    impl Host for Nothing {
        fn prepare(&self, _: &crate::machine::Machine, _: &crate::host::Order) -> Result<crate::host::Prepared> {
            bail!("no machines here")
        }
        fn machines(&self) -> PathBuf {
            self.0.clone()
        }
        fn explain(&self, line: &str) -> String {
            line.to_owned()
        }
        fn runs(&self) -> PathBuf {
            self.0.clone()
        }
        fn symbols(&self) -> PathBuf {
            self.0.clone()
        }
    }

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("ferroxen-lab-run-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    fn names(chosen: &[Scenario]) -> Vec<&'static str> {
        chosen.iter().map(|scenario| scenario.name).collect()
    }

    #[test]
    fn a_run_leaves_results_and_what_failed_can_be_run_again() {
        let host = Nothing(scratch("leaves"));
        let full = Options { full: true, cores: Some(2), ..Options::default() };
        let chosen = choose(ALL, &full, &host.0).unwrap();
        assert_eq!(chosen.len(), 3);
        let (folder, records) = run(&host, &chosen, &full).unwrap();
        assert_eq!(records.iter().filter(|record| record.passed).count(), 2);
        assert_eq!(results::read(&host.0.join(LATEST)).unwrap().len(), 3);
        assert!(fs::read_to_string(folder.join("junit.xml")).unwrap().contains("no such luck"));
        let again = Options { rerun_failed: true, ..Options::default() };
        assert_eq!(names(&choose(ALL, &again, &host.0).unwrap()), ["it_fails"]);
        fs::remove_dir_all(&host.0).unwrap();
    }

    #[test]
    fn a_filter_reaches_those_of_the_full_set_too() {
        let dir = scratch("filter");
        let quick = choose(ALL, &Options::default(), &dir).unwrap();
        assert_eq!(names(&quick), ["it_works", "it_fails"]);
        let long = Options { filter: Some("long".to_owned()), ..Options::default() };
        assert_eq!(names(&choose(ALL, &long, &dir).unwrap()), ["it_takes_long"]);
        let none = Options { filter: Some("nothing".to_owned()), ..Options::default() };
        assert!(choose(ALL, &none, &dir).is_err());
        fs::remove_dir_all(dir).unwrap();
    }
}
