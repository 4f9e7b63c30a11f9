//! Tries every mutant that cargo-mutants makes of a package in minutes instead of days: all of them are compiled at once, each
//! behind a switch ("mutant schemata"), every test is asked once which of them it reaches, and then each lives for the tests
//! that reach it, the quick ones first, until one fails. What no switch can make (constants, functions that return an
//! `impl Trait`) is built on its own afterwards and tried by all tests.

mod alone;
mod build;
mod cargo;
mod list;
mod render;
mod sites;
mod survivors;
mod trial;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use serde_json::json;

use self::alone::Alone;
use self::build::Schema;
use self::cargo::Cargo;
use self::list::Mutant;
use self::sites::Left;
use self::trial::{Trials, Verdict};

/// What it is told; `./x check --survivors` fills it in.
#[derive(Debug, Parser)]
struct Args {
    /// A copy of the checkout, which is changed while this runs
    #[arg(long)]
    tree: PathBuf,
    /// Where results and built files go
    #[arg(long)]
    work: PathBuf,
    /// The program cargo-mutants
    #[arg(long)]
    cargo_mutants: PathBuf,
    /// The package that has mutants
    #[arg(long)]
    package: String,
    /// Its lib.rs, from the tree
    #[arg(long)]
    root: String,
    /// Packages whose tests are run, beside its own
    #[arg(long)]
    tests_of: Vec<String>,
    /// The list of known survivors
    #[arg(long)]
    survivors: PathBuf,
    /// Only mutants whose name contains this
    #[arg(long)]
    only: Option<String>,
    /// The results of an earlier run: mutants that were caught then are not tried again, as long as their lines stand where they did
    #[arg(long)]
    again: Option<PathBuf>,
    /// Seconds that a test may take on its own to be run at all
    #[arg(long, default_value_t = 30)]
    slowest: u64,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(err) => {
            eprintln!("schemata: {err:#}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> Result<bool> {
    let text =
        fs::read_to_string(&args.survivors).with_context(|| format!("cannot read {}", args.survivors.display()))?;
    let known = survivors::read(&text)?;
    let mutants = list::list(&args.cargo_mutants, &args.tree, &args.package)?;
    let before = args.again.as_ref().map(|file| caught(file)).transpose()?.unwrap_or_default();
    let asked = |mutant: &Mutant| args.only.as_ref().is_none_or(|only| mutant.name.contains(only));
    let (mut results, mut todo) = (Results::new(&args.work)?, Vec::new());
    for (id, mutant) in (0..).zip(&mutants).filter(|(_, mutant)| asked(mutant)) {
        match before.get(&mutant.name) {
            Some(test) => results.add(mutant, Verdict::Caught(test.clone()), Duration::ZERO)?,
            None => todo.push((id, mutant)),
        }
    }

    let target = args.work.join("target");
    let cargo = Cargo { tree: &args.tree, target: &target };
    let mut schema = Schema::new(cargo, &todo)?;
    let packages: Vec<String> = [&args.package].into_iter().chain(&args.tests_of).cloned().collect();
    let built = schema.build(&args.root, &packages);
    schema.restore(&args.root)?;
    let programs = built?;
    eprintln!(
        "{} mutants, {} with a switch in {} test programs",
        todo.len(),
        todo.len() - schema.left.len(),
        programs.len()
    );
    let trials = Trials::new(&programs, &args.work)?;
    let (tests, time) = trials.size();
    eprintln!("{tests} tests take {} s", time.as_secs());

    let limit = Duration::from_secs(args.slowest);
    let mut alone = Vec::new();
    for (id, mutant) in todo {
        let start = Instant::now();
        let verdict = match schema.left.get(&id) {
            Some(Left::Alone) => {
                alone.push(mutant);
                continue;
            }
            Some(Left::Unviable(why)) => Verdict::Unviable(why.clone()),
            None => trials.judge(id, limit)?,
        };
        results.add(mutant, verdict, start.elapsed())?;
    }
    if !alone.is_empty() {
        eprintln!("{} mutants without a switch: a build for each", alone.len());
        let old = Alone::new(cargo, &packages)?;
        for mutant in alone {
            let start = Instant::now();
            let verdict = old.judge(mutant, &trials, limit)?;
            results.add(mutant, verdict, start.elapsed())?;
        }
    }

    println!("{}", results.counts.iter().map(|(word, count)| format!("{count} {word}")).collect::<Vec<_>>().join(", "));
    let difference = survivors::compare(&known, &results.survived, args.only.is_none());
    difference.iter().for_each(|line| println!("{line}"));
    Ok(difference.is_empty())
}

/// What became of the mutants: a line for each in `results.jsonl`, survivors on the screen.
struct Results {
    file: File,
    counts: BTreeMap<&'static str, u32>,
    survived: Vec<String>,
}

impl Results {
    fn new(work: &Path) -> Result<Self> {
        fs::create_dir_all(work).with_context(|| format!("cannot make {}", work.display()))?;
        let file = File::create(work.join("results.jsonl")).context("cannot write the results")?;
        Ok(Self { file, counts: BTreeMap::new(), survived: Vec::new() })
    }

    fn add(&mut self, mutant: &Mutant, verdict: Verdict, time: Duration) -> Result<()> {
        let (word, note) = verdict.told();
        *self.counts.entry(word).or_default() += 1;
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let line = json!({"mutant": mutant.name, "verdict": word, "note": note, "milliseconds": millis});
        writeln!(self.file, "{line}").context("cannot write the results")?;
        if word == "survived" {
            println!("{} {note}", mutant.name);
            self.survived.push(mutant.title());
        }
        Ok(())
    }
}

/// The mutants that an earlier run caught, and the test that caught each.
fn caught(results: &Path) -> Result<BTreeMap<String, String>> {
    let text = fs::read_to_string(results).with_context(|| format!("cannot read {}", results.display()))?;
    let lines = text.lines().map(serde_json::from_str::<serde_json::Value>);
    let lines = lines.collect::<Result<Vec<_>, _>>().with_context(|| format!("cannot read {}", results.display()))?;
    let word = |line: &serde_json::Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
    let caught = lines.iter().filter(|line| line["verdict"] == "caught");
    Ok(caught.map(|line| (word(line, "mutant"), word(line, "note"))).collect())
}
