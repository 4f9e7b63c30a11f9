//! Which tests reach which mutants, and which test notices a mutant.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::cargo::Program;
use crate::render::Id;

/// Tests that are run in one process take no longer than this together.
const TOGETHER: Duration = Duration::from_millis(300);
/// A test that takes so many times as long as it should, and this long, hangs.
const PATIENCE: u32 = 20;
const LEAST: Duration = Duration::from_secs(20);

/// A test.
#[derive(Debug)]
pub struct Test {
    program: usize,
    name: String,
    time: Duration,
}

/// The tests and what they reach.
pub struct Trials<'a> {
    programs: &'a [Program],
    work: &'a Path,
    tests: Vec<Test>,
    /// The tests that reach a mutant, quick ones first.
    reached: BTreeMap<Id, Vec<usize>>,
}

/// What became of a mutant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// This test noticed.
    Caught(String),
    /// This test, or one of those run with it, did not end.
    Hung(String),
    /// No test noticed.
    Survived,
    /// No test comes by.
    NotReached,
    /// It does not compile; what the compiler says.
    Unviable(String),
    /// The tests' programs are the same with it: it changes nothing, or only what no test has compiled in.
    Equal,
}

impl Verdict {
    /// The word for it, and what there is to say.
    pub fn told(self) -> (&'static str, String) {
        match self {
            Self::Caught(test) => ("caught", test),
            Self::Hung(test) => ("caught", format!("{test} hangs")),
            Self::Survived => ("survived", String::new()),
            Self::NotReached => ("survived", "no test comes by".to_owned()),
            Self::Unviable(why) => ("unviable", why),
            Self::Equal => ("survived", "the tests' programs are the same".to_owned()),
        }
    }
}

impl<'a> Trials<'a> {
    /// Runs every test on its own, without a mutant.
    pub fn new(programs: &'a [Program], work: &'a Path) -> Result<Self> {
        let mut trials = Trials { programs, work, tests: Vec::new(), reached: BTreeMap::new() };
        let log = work.join("reached");
        for (at, program) in programs.iter().enumerate() {
            let out = Command::new(&program.file).args(["--list", "--format", "terse"]).output()?;
            for line in String::from_utf8_lossy(&out.stdout).lines() {
                let Some(name) = line.strip_suffix(": test") else { continue };
                let _ = fs::remove_file(&log);
                let start = Instant::now();
                let env = [("SCHEMATA_LOG", log.display().to_string())];
                let outcome = trials.run(program, &[name], &env, Duration::from_secs(1800))?;
                if outcome != Outcome::Passed {
                    bail!("{name} fails without a mutant: see {}", trials.output().display());
                }
                let test = trials.tests.len();
                trials.tests.push(Test { program: at, name: name.to_owned(), time: start.elapsed() });
                for id in fs::read(&log).unwrap_or_default().chunks_exact(4) {
                    let id = Id::from_le_bytes([id[0], id[1], id[2], id[3]]);
                    trials.reached.entry(id).or_default().push(test);
                }
            }
        }
        for tests in trials.reached.values_mut() {
            tests.sort_by_key(|test| trials.tests[*test].time);
            tests.dedup();
        }
        Ok(trials)
    }

    /// How many tests there are, and the time they take.
    pub fn size(&self) -> (usize, Duration) {
        (self.tests.len(), self.tests.iter().map(|test| test.time).sum())
    }

    /// Lets a mutant live. Tests that take longer than `limit` on their own are not run.
    pub fn judge(&self, id: Id, limit: Duration) -> Result<Verdict> {
        let Some(tests) = self.reached.get(&id) else { return Ok(Verdict::NotReached) };
        let env = [("SCHEMATA_LIVE", id.to_string())];
        self.first(tests, |program| Some(&self.programs[program]), &env, limit)
    }

    /// Runs all tests of `programs`, which were built with a mutant in them. Tests that take longer than `limit` on their own are
    /// not run.
    pub fn judge_built(&self, programs: &[Program], limit: Duration) -> Result<Verdict> {
        let built = |program: usize| programs.iter().find(|built| built.name() == self.programs[program].name());
        let tests = self.tests.iter().enumerate().filter(|(_, test)| built(test.program).is_some());
        let mut tests: Vec<usize> = tests.map(|(test, _)| test).collect();
        tests.sort_by_key(|test| self.tests[*test].time);
        self.first(&tests, built, &[], limit)
    }

    /// The first of `tests` that notices.
    fn first<'p>(
        &self,
        tests: &[usize],
        program_of: impl Fn(usize) -> Option<&'p Program>,
        env: &[(&str, String)],
        limit: Duration,
    ) -> Result<Verdict> {
        for (program, group) in groups(&self.tests, tests, limit) {
            let names: Vec<&str> = group.iter().map(|test| self.tests[*test].name.as_str()).collect();
            let time: Duration = group.iter().map(|test| self.tests[*test].time).sum();
            let Some(program) = program_of(program) else { continue };
            match self.run(program, &names, env, time * PATIENCE + LEAST)? {
                Outcome::Passed => {}
                Outcome::Failed => {
                    let said = fs::read_to_string(self.output()).unwrap_or_default();
                    let failed = said.lines().find_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
                    // One that ended the whole process has no line.
                    return Ok(Verdict::Caught(failed.or(names.first().copied()).unwrap_or_default().to_owned()));
                }
                Outcome::Hung => return Ok(Verdict::Hung(names.first().copied().unwrap_or_default().to_owned())),
            }
        }
        Ok(Verdict::Survived)
    }

    fn output(&self) -> std::path::PathBuf {
        self.work.join("output")
    }

    fn run(&self, program: &Program, tests: &[&str], env: &[(&str, String)], limit: Duration) -> Result<Outcome> {
        let Program { file, folder } = program;
        let output = File::create(self.output()).context("cannot write the tests' output")?;
        // A mutant may want all the memory there is.
        let mut cmd = Command::new("prlimit");
        cmd.args(["--as=6442450944", "--core=0", "--"]).arg(file).args(["--exact", "--test-threads=1"]).args(tests);
        cmd.current_dir(folder).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        cmd.env("RUST_BACKTRACE", "0")
            .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1")
            .env("PROPTEST_MAX_SHRINK_ITERS", "0")
            // The same stories each time, so that a list of survivors says the same.
            .env("PROPTEST_RNG_SEED", "1");
        let mut child = cmd.envs(env.iter().cloned()).spawn().context("cannot start prlimit")?;
        let end = Instant::now() + limit;
        let mut pause = Duration::from_millis(1);
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(if status.success() { Outcome::Passed } else { Outcome::Failed });
            }
            if Instant::now() >= end {
                child.kill()?;
                child.wait()?;
                return Ok(Outcome::Hung);
            }
            sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    Hung,
}

/// The tests in the order of their times, those of one program together while that is short.
fn groups(all: &[Test], tests: &[usize], limit: Duration) -> Vec<(usize, Vec<usize>)> {
    let programs: BTreeSet<usize> = tests.iter().map(|test| all[*test].program).collect();
    let mut groups = Vec::new();
    for program in programs {
        let mut group = Vec::new();
        let mut time = Duration::ZERO;
        for &test in tests.iter().filter(|test| all[**test].program == program && all[**test].time <= limit) {
            if !group.is_empty() && time + all[test].time > TOGETHER {
                groups.push((time, program, std::mem::take(&mut group)));
                time = Duration::ZERO;
            }
            group.push(test);
            time += all[test].time;
        }
        if !group.is_empty() {
            groups.push((time, program, group));
        }
    }
    groups.sort_by_key(|(time, ..)| *time);
    groups.into_iter().map(|(_, program, group)| (program, group)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_tests_run_together_and_slow_ones_later_alone() {
        let test = |program, millis| Test { program, name: String::new(), time: Duration::from_millis(millis) };
        let all = [test(0, 10), test(0, 20), test(1, 15), test(0, 290), test(0, 5000), test(1, 90_000)];
        let order = [0, 2, 1, 3, 4, 5];
        let of = |seconds| groups(&all, &order, Duration::from_secs(seconds));
        assert_eq!(of(60), [(1, vec![2]), (0, vec![0, 1]), (0, vec![3]), (0, vec![4])]);
        assert_eq!(of(600).last(), Some(&(1, vec![5])));
    }
}
