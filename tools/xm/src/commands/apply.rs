//! `xm apply`: the host is brought to what a folder of configurations says.

use super::{host, working_host};
use crate::failure::{CHANGES, Failure, Outcome};
use crate::output::line;
use crate::table::Args;
use std::path::Path;
use std::time::Duration;
use toolstack::apply::{self, Outcome as Became, Step, Ways, Wishes};
use toolstack::{Host, Options};

/// How long a domain has to shut down.
const PATIENCE: Duration = Duration::from_secs(120);

pub fn apply(args: &Args<'_>) -> Outcome {
    let dir = Path::new(args.one("dir"));
    let wishes = Wishes { restart: args.flag("restart"), prune: args.flag("prune") };
    let patience = match args.get("timeout") {
        None => PATIENCE,
        Some(text) => Duration::from_secs(
            text.parse().map_err(|_| Failure::usage(format!("--timeout {text}: a number of seconds is expected")))?,
        ),
    };
    if args.flag("exit-code") && !args.flag("dry-run") {
        return Err(Failure::usage("--exit-code goes with --dry-run"));
    }
    let folder = apply::read(dir).map_err(|errors| wrong(dir, errors))?;
    folder.warnings.iter().for_each(|warning| say!("warning: {warning}"));
    if folder.wanted.is_empty() && wishes.prune {
        let dir = dir.display();
        return Err(Failure::usage(format!("folder {dir}: it has no *.cfg, and --prune would shut everything down")));
    }
    if args.flag("dry-run") {
        let steps = apply::plan(&folder.wanted, &host()?.running()?, wishes);
        show(&steps);
        return if args.flag("exit-code") && !steps.is_empty() { Err(Failure::Quiet(CHANGES)) } else { Ok(()) };
    }
    let mut host = working_host()?;
    let applying = host.applying()?;
    let done = apply::plan(&folder.wanted, &host.running()?, wishes);
    show(&done);
    let done = perform(&mut host, &done, patience);
    applying.over();
    done
}

/// All but the last are told at once; that one is the failure.
fn wrong(dir: &Path, mut errors: Vec<String>) -> Failure {
    let last = errors.pop().unwrap_or_default();
    errors.iter().for_each(|error| say!("{error}"));
    Failure::Told(if dir.is_dir() { 2 } else { 3 }, last)
}

fn show(steps: &[Step]) {
    steps.iter().flat_map(|step| &step.lines).for_each(|text| line(text));
}

fn perform(host: &mut Host, steps: &[Step], patience: Duration) -> Outcome {
    let ways = Ways { create: Options::default(), patience };
    let (mut done, mut failed, mut missed) = (0, 0, 0);
    host.perform(steps, ways, |step, became| {
        let what = step.lines.last().map_or("the configuration for the next start", |line| line);
        match became {
            Became::Done => done += 1,
            Became::Failed(error) => {
                failed += 1;
                say!("failed: {what}: {}", error.to_string().replace('\n', " "));
            }
            Became::NotReached => {
                missed += 1;
                say!("not reached: {what}");
            }
        }
    });
    if failed + missed > 0 {
        let what = format!("{done} changes made, {failed} failed, {missed} not reached");
        return Err(Failure::failed(format!("{what}: `xm apply` again when the cause is gone")));
    }
    Ok(())
}
