//! Tries every mutant that cargo-mutants makes of a package in minutes instead of days: all of them are compiled at once, each
//! behind a switch ("mutant schemata"), every test is asked once which of them it reaches, and then each lives for the tests
//! that reach it, the quick ones first, until one fails.
//!
//! What no switch can make (constants, functions that return an `impl Trait`) and what does not compile is told, not tried.

mod build;
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

use self::build::Schema;
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
    fs::create_dir_all(&args.work)?;
    let target = args.work.join("target");
    let mut schema = Schema::new(&args.tree, &target, &mutants)?;
    let packages: Vec<String> = [&args.package].into_iter().chain(&args.tests_of).cloned().collect();
    let built = schema.build(&args.root, &packages);
    schema.restore(&args.root)?;
    let programs = built?;
    eprintln!("{} mutants, {} in {} test programs", mutants.len(), mutants.len() - schema.left.len(), programs.len());

    let trials = Trials::new(&programs, &args.work)?;
    let (tests, time) = trials.size();
    eprintln!("{tests} tests take {} s", time.as_secs());
    let before = args.again.as_ref().map(|file| caught(file)).transpose()?.unwrap_or_default();
    let mut results = File::create(args.work.join("results.jsonl"))?;
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    let mut survived: Vec<String> = Vec::new();
    for (id, mutant) in (0..).zip(&mutants) {
        if args.only.as_ref().is_some_and(|only| !mutant.name.contains(only)) {
            continue;
        }
        let start = Instant::now();
        let (word, note) = match (schema.left.get(&id), before.get(&mutant.name)) {
            (Some(why), _) if why.starts_with("does not compile") => ("unviable", why.clone()),
            (Some(why), _) => ("not tried", why.clone()),
            (None, Some(test)) => ("caught", test.clone()),
            (None, None) => match trials.judge(id, Duration::from_secs(args.slowest))? {
                Verdict::Caught(test) => ("caught", test),
                Verdict::Hung(test) => ("caught", format!("{test} hangs")),
                Verdict::Survived => ("survived", String::new()),
                Verdict::NotReached => ("survived", "no test comes by".to_owned()),
            },
        };
        *counts.entry(word).or_default() += 1;
        let millis = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let line = json!({"mutant": mutant.name, "verdict": word, "note": note, "milliseconds": millis});
        writeln!(results, "{line}").context("cannot write the results")?;
        if word == "survived" {
            println!("{} {}", mutant.name, note);
            survived.push(mutant.title());
        }
    }
    println!("{}", counts.iter().map(|(word, count)| format!("{count} {word}")).collect::<Vec<_>>().join(", "));
    let difference = survivors::compare(&known, &survived, args.only.is_none());
    difference.iter().for_each(|line| println!("{line}"));
    Ok(difference.is_empty())
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
