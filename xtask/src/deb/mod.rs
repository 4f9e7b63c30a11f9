//! `./x deb`: Debian packages of the hypervisor and of the tools.

mod contents;
mod package;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use self::contents::Inputs;
use crate::paths::Paths;
use crate::process::output;
use crate::test::Tally;
use crate::{build, own_tools, ui};

/// What `./x deb` is told.
#[derive(Debug, Args)]
pub struct DebArgs {}

/// `./x deb`.
pub fn main(paths: &Paths, _args: &DebArgs) -> Result<i32> {
    for file in packages(paths)? {
        println!("{} ({} KiB)", file.display(), file.metadata()?.len() / 1024);
    }
    Ok(0)
}

/// Builds both packages into `dist/`: the hypervisor's, the tools'.
pub fn packages(paths: &Paths) -> Result<[PathBuf; 2]> {
    let inputs = inputs(paths)?;
    ui::step("making Debian packages");
    let time = source_time(paths);
    for old in fs::read_dir(&paths.dist)?.flatten() {
        let name = old.file_name().to_string_lossy().into_owned();
        if name.starts_with("ferroxen-") && name.ends_with(".deb") {
            let _ = fs::remove_file(old.path());
        }
    }
    let work = paths.target.join("deb");
    let hypervisor = contents::hypervisor(&inputs).build(&work, &paths.dist, time)?;
    let tools = contents::tools(&inputs).build(&work, &paths.dist, time)?;
    Ok([hypervisor, tools])
}

/// For `./x test`: the real packages can be made, twice the same, and hold what they should.
pub fn test(paths: &Paths, tally: &mut Tally) {
    let start = std::time::Instant::now();
    let made = (|| {
        let files = packages(paths)?;
        let first: Vec<Vec<u8>> = files.iter().map(fs::read).collect::<Result<_, _>>()?;
        let again = paths.target.join("deb-again");
        let inputs = inputs(paths)?;
        for (package, bytes) in [contents::hypervisor(&inputs), contents::tools(&inputs)].iter().zip(first) {
            let file = package.build(&again, &again, source_time(paths))?;
            if fs::read(&file)? != bytes {
                bail!("{} is another when it is built again", package.file_name());
            }
        }
        fs::remove_dir_all(&again)?;
        let list = output(Command::new("dpkg-deb").arg("--contents").arg(&files[1]))?;
        for program in own_tools::programs() {
            if !list.lines().any(|line| line.ends_with(&format!("./usr/lib/ferroxen/bin/{program}"))) {
                bail!("the package of the tools lacks {program}");
            }
        }
        Ok(())
    })();
    tally.one("deb::packages", made.map_err(|err: anyhow::Error| format!("  {err:#}")), start.elapsed());
}

/// Builds and reads what the packages hold.
fn inputs(paths: &Paths) -> Result<Inputs> {
    let hypervisor = build::hypervisor(paths)?;
    let files = own_tools::build(paths)?;
    let mut programs = Vec::new();
    for name in own_tools::programs() {
        let (_, file) = files.iter().find(|(at, _)| at.ends_with(&format!("/{name}"))).context("a tool is missing")?;
        programs.push((name.to_owned(), file.clone()));
    }
    let xm = paths.dist.join("sbin/xm");
    let said = |args: &[&str]| output(Command::new(&xm).args(args));
    let text = |name: &str| {
        let file = paths.root.join(name);
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
    };
    Ok(Inputs {
        version: version(paths),
        release: env!("CARGO_PKG_VERSION").to_owned(),
        hypervisor: fs::read(&hypervisor).with_context(|| format!("cannot read {}", hypervisor.display()))?,
        programs,
        links: own_tools::links(),
        manual: said(&["man"])?,
        exporter_manual: output(Command::new(paths.dist.join("sbin/xen-exporter")).arg("--man"))?,
        completions: [said(&["completion", "bash"])?, said(&["completion", "zsh"])?, said(&["completion", "fish"])?],
        documents: documents(paths)?,
        changelog: text("CHANGELOG.md")?,
        licences: [text("LICENSE-MIT")?, text("LICENSE-APACHE")?],
    })
}

/// README and docs/ with its folders, by their names there.
fn documents(paths: &Paths) -> Result<Vec<(String, String)>> {
    let mut found = vec![("README.md".to_owned(), fs::read_to_string(paths.root.join("README.md"))?)];
    collect(&paths.root.join("docs"), Path::new(""), &mut found)?;
    found.sort();
    Ok(found)
}

fn collect(dir: &Path, name: &Path, found: &mut Vec<(String, String)>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = entry?.path();
        let name = name.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            collect(&path, &name, found)?;
        } else if path.extension().is_some_and(|end| end == "md") {
            found.push((name.to_string_lossy().into_owned(), fs::read_to_string(&path)?));
        }
    }
    Ok(())
}

fn git(paths: &Paths, args: &[&str]) -> Option<String> {
    let text = output(Command::new("git").args(args).env("TZ", "UTC").current_dir(&paths.root)).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The release, and from which commit: `0.1.0+git20261126.5b4cbd4`.
fn version(paths: &Paths) -> String {
    let release = env!("CARGO_PKG_VERSION");
    let date = git(paths, &["log", "-1", "--format=%cd", "--date=format-local:%Y%m%d%H%M"]);
    let commit = git(paths, &["rev-parse", "--short=7", "HEAD"]);
    match (date, commit) {
        (Some(date), Some(commit)) => format!("{release}+git{date}.{commit}"),
        _ => release.to_owned(),
    }
}

/// The time of what is built: $SOURCE_DATE_EPOCH, else that of the commit.
fn source_time(paths: &Paths) -> u64 {
    let told = std::env::var("SOURCE_DATE_EPOCH").ok();
    told.or_else(|| git(paths, &["log", "-1", "--format=%ct"])).and_then(|text| text.parse().ok()).unwrap_or(0)
}
