//! `./x check --mutants`: makes the hypervisor wrong in one place after the other, in a copy of the checkout, and sees
//! whether the test that ought to notice does.

mod list;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use self::list::Mutant;
use super::tree::Tree;
use crate::build::cargo;
use crate::paths::Paths;
use crate::test::loom;
use crate::ui;

/// A test that runs this much longer than without the mutant hangs; the constant part is for a busy machine.
const PATIENCE: u32 = 10;
const LEAST: Duration = Duration::from_secs(60);

/// What a test said.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Passed,
    Failed,
    Hung,
}

/// Runs the mutants whose name or file contains `only`. The exit status is 0 if each is caught.
pub fn main(paths: &Paths, only: Option<&str>) -> Result<i32> {
    let all = all(&paths.root)?;
    let wanted = |mutant: &&Mutant| only.is_none_or(|only| mutant.name.contains(only) || mutant.file.contains(only));
    let mutants: Vec<&Mutant> = all.iter().filter(wanted).collect();
    if mutants.is_empty() {
        bail!("no mutant's name or file contains '{}'", only.unwrap_or_default());
    }
    let dir = paths.target.join("mutants");
    let tree = Tree::sync(paths, dir.join("tree"))?;
    let bench = Bench { paths, tree, dir };

    let mut failed = 0;
    let mut report = |mutant: &Mutant, good: bool, word: &str| {
        failed += i32::from(!good);
        println!("{} {} ({})", ui::styled(if good { "32" } else { "1;31" }, word), mutant.name, mutant.test);
    };
    let mut ready = Vec::new();
    for mutant in mutants {
        match bench.tree.read(&mutant.file).and_then(|source| mutant.apply(&source)) {
            Ok(text) => ready.push((mutant, text)),
            Err(err) => report(mutant, false, &format!("refused: {err:#}:")),
        }
    }
    let times = bench.unchanged(&ready)?;
    for (mutant, text) in &ready {
        let start = Instant::now();
        let limit = times.get(mutant.test.as_str()).copied().unwrap_or_default() * PATIENCE + LEAST;
        match bench.tree.with(&mutant.file, text, || bench.judge(mutant, limit))? {
            Ok(Verdict::Passed) => report(mutant, false, "SURVIVED"),
            Ok(Verdict::Failed) => report(mutant, true, &format!("caught {:3} s", start.elapsed().as_secs())),
            Ok(Verdict::Hung) => report(mutant, true, "caught (it hangs)"),
            Err(err) => report(mutant, false, &format!("refused: {err:#}:")),
        }
    }
    println!("{} mutants, {failed} not caught", all.iter().filter(wanted).count());
    Ok(i32::from(failed != 0))
}

/// The lists.
const LISTS: [&str; 2] = ["core/mutants.toml", "tools/mutants.toml"];

/// Every mutant of the checkout.
fn all(root: &Path) -> Result<Vec<Mutant>> {
    let mut all = Vec::new();
    for list in LISTS {
        let text = fs::read_to_string(root.join(list)).with_context(|| format!("cannot read {list}"))?;
        all.extend(list::read(&text).context(list)?);
    }
    Ok(all)
}

/// Where mutants are built and tried.
struct Bench<'a> {
    paths: &'a Paths,
    tree: Tree,
    dir: PathBuf,
}

impl Bench<'_> {
    /// Runs every test without a mutant: one that fails anyway, or that is not there, proves nothing. Gives how long each took.
    fn unchanged<'m>(&self, mutants: &[(&'m Mutant, String)]) -> Result<BTreeMap<&'m str, Duration>> {
        let mut programs = BTreeMap::new();
        let mut times = BTreeMap::new();
        for (mutant, _) in mutants {
            let key = (mutant.package.as_str(), mutant.target());
            if !programs.contains_key(&key) {
                ui::step(format!("building the tests of {}", mutant.package));
                let program = self.build(mutant).context("without a mutant")?;
                programs.insert(key.clone(), program);
            }
            let Some(program) = programs.get(&key) else { continue };
            if times.contains_key(mutant.test.as_str()) {
                continue;
            }
            let start = Instant::now();
            let verdict = self.run(program, mutant, Duration::from_secs(1800))?;
            if verdict != Verdict::Passed || !ran(&fs::read_to_string(self.log())?) {
                bail!("{} fails without a mutant, or is no test; see {}", mutant.test, self.log().display());
            }
            times.insert(mutant.test.as_str(), start.elapsed());
        }
        Ok(times)
    }

    fn judge(&self, mutant: &Mutant, limit: Duration) -> Result<Verdict> {
        let program = self.build(mutant)?;
        self.run(&program, mutant, limit)
    }

    /// Builds the test program. A mutant that does not compile is no mutant.
    fn build(&self, mutant: &Mutant) -> Result<PathBuf> {
        let mut cmd = cargo(self.paths);
        cmd.current_dir(self.tree.root()).env("CARGO_TARGET_DIR", self.dir.join("target"));
        if mutant.is_model() {
            loom::environment(&mut cmd, &self.dir);
        }
        let out = cmd
            // Built often and looked at never.
            .envs([("CARGO_INCREMENTAL", "1"), ("CARGO_PROFILE_DEV_DEBUG", "0"), ("CARGO_PROFILE_TEST_DEBUG", "0")])
            .args(["test", "--quiet", "--no-run", "--message-format", "json", "--package", &mutant.package])
            .args(mutant.target())
            .stdin(Stdio::null())
            .output()
            .context("cannot start cargo")?;
        let messages = String::from_utf8_lossy(&out.stdout);
        let messages = || messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        if !out.status.success() {
            let error = messages().find(|message| message["message"]["level"] == "error");
            let error = error.and_then(|message| Some(message["message"]["message"].as_str()?.to_owned()));
            let stderr = String::from_utf8_lossy(&out.stderr).trim().to_owned();
            bail!("it does not build: {}", error.unwrap_or(stderr));
        }
        // An integration test's package has programs, too, which are built with it.
        let tests = messages().filter(|message| message["profile"]["test"] == true);
        let program = tests.filter_map(|message| message["executable"].as_str().map(PathBuf::from)).next_back();
        program.context("cargo built no test program")
    }

    fn log(&self) -> PathBuf {
        self.dir.join("test.log")
    }

    fn run(&self, program: &Path, mutant: &Mutant, limit: Duration) -> Result<Verdict> {
        let log = File::create(self.log()).context("cannot write the test's log")?;
        let mut cmd = Command::new(program);
        if let Some(test) = mutant.filter() {
            cmd.args(["--exact", test]);
        }
        // Integration tests expect their package's folder.
        let folder = self.tree.root().join(mutant.folder());
        cmd.current_dir(folder).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut child = cmd.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        Ok(match wait(&mut child, limit)? {
            Some(status) if status.success() => Verdict::Passed,
            Some(_) => Verdict::Failed,
            None => Verdict::Hung,
        })
    }
}

/// Waits for a process; after `limit` it is killed, and there is no status.
fn wait(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        sleep(Duration::from_millis(20));
    }
}

/// Whether the test program ran any test: a name that is no test's passes as well.
fn ran(log: &str) -> bool {
    log.lines().any(|line| line.starts_with("test result: ok.") && !line.contains(" 0 passed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_no_test_is_told_from_one_that_passed() {
        let line = |passed| format!("test result: ok. {passed} passed; 0 failed; 0 ignored; 9 filtered out");
        assert!(ran(&line(1)) && ran(&line(10)) && !ran(&line(0)) && !ran(""));
    }

    #[test]
    fn a_process_that_hangs_is_ended() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        assert!(wait(&mut child, Duration::from_millis(50)).unwrap().is_none());
        let mut child = Command::new("true").spawn().unwrap();
        assert!(wait(&mut child, Duration::from_secs(30)).unwrap().unwrap().success());
    }

    #[test]
    fn every_entry_of_the_checkout_fits_its_file() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mutants = all(&root).unwrap();
        let of_tools = mutants.iter().filter(|mutant| mutant.file.starts_with("tools/")).count();
        assert!(mutants.len() - of_tools >= 40 && of_tools >= 40);
        for mutant in &mutants {
            let source = fs::read_to_string(root.join(&mutant.file)).unwrap();
            mutant.apply(&source).unwrap_or_else(|err| panic!("{}: {err:#}", mutant.name));
        }
    }
}
