//! Mutants that no switch can make (in constants, in functions that return an `impl Trait`): each in a text of its own, with a
//! build of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::cargo::{Cargo, Program};
use crate::list::Mutant;
use crate::sites;
use crate::trial::{Trials, Verdict};

/// The old text's programs.
pub struct Alone<'a> {
    cargo: Cargo<'a>,
    /// What is built and tried: first the package of the mutants, then the others too.
    stages: [&'a [String]; 2],
    /// The bytes of each test program without a mutant.
    old: BTreeMap<PathBuf, Vec<u8>>,
}

impl<'a> Alone<'a> {
    /// Builds the tests of `packages`, the first of which has the mutants, without a mutant.
    ///
    /// # Errors
    /// They do not compile.
    pub fn new(cargo: Cargo<'a>, packages: &'a [String]) -> Result<Self> {
        let stages = [&packages[..1], packages];
        let mut old = BTreeMap::new();
        for stage in stages {
            match cargo.tests(stage)? {
                Ok(programs) => old.extend(programs.iter().map(bytes).collect::<Result<Vec<_>>>()?),
                Err(why) => bail!("the tests do not compile without a mutant: {why}"),
            }
        }
        Ok(Self { cargo, stages, old })
    }

    /// Changes the text, runs the tests, puts the old text back.
    ///
    /// # Errors
    /// Files cannot be read or written, or programs cannot be started.
    pub fn judge(&self, mutant: &Mutant, trials: &Trials<'_>, limit: Duration) -> Result<Verdict> {
        let path = self.cargo.tree.join(&mutant.file);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", mutant.file))?;
        fs::write(&path, sites::changed(&text, mutant)).with_context(|| format!("cannot write {}", mutant.file))?;
        let verdict = self.try_built(trials, limit);
        fs::write(&path, text).with_context(|| format!("cannot write {}", mutant.file))?;
        verdict
    }

    fn try_built(&self, trials: &Trials<'_>, limit: Duration) -> Result<Verdict> {
        let mut seen: Vec<PathBuf> = Vec::new();
        let mut equal = true;
        for stage in self.stages {
            let programs = match self.cargo.tests(stage)? {
                Ok(programs) => programs,
                Err(why) => return Ok(Verdict::Unviable(why)),
            };
            let mut changed = Vec::new();
            for program in programs {
                let (file, new) = bytes(&program)?;
                if !seen.contains(&file) && self.old.get(&file) != Some(&new) {
                    changed.push(program);
                }
                seen.push(file);
            }
            equal &= changed.is_empty();
            match trials.judge_built(&changed, limit)? {
                Verdict::Survived => {}
                noticed => return Ok(noticed),
            }
        }
        Ok(if equal { Verdict::Equal } else { Verdict::Survived })
    }
}

/// A program's file and what is in it.
fn bytes(program: &Program) -> Result<(PathBuf, Vec<u8>)> {
    let bytes = fs::read(&program.file).with_context(|| format!("cannot read {}", program.file.display()))?;
    Ok((program.file.clone(), bytes))
}
