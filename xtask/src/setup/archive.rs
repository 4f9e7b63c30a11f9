//! Debian packages that are *used*, never installed: a private view of the archive that the
//! machine's own apt is configured for, with its lists in our cache. It needs no root.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::paths::Paths;
use crate::process::{output, run, which};
use crate::ui;

/// The releases that packages are taken from. Kept apart, so that one that cannot be reached
/// harms no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// Debian 12 with its updates and security fixes.
    Bookworm,
    /// Debian 12 with backports on top.
    BookwormBackports,
    /// Debian 11.
    Bullseye,
    /// Debian 13.
    Trixie,
}

impl Suite {
    fn name(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::BookwormBackports => "bookworm-backports",
            Self::Bullseye => "bullseye",
            Self::Trixie => "trixie",
        }
    }

    /// `(suite, from the security archive)` for each line of the sources list.
    fn lines(self) -> &'static [(&'static str, bool)] {
        match self {
            Self::Bookworm => &[("bookworm", false), ("bookworm-updates", false), ("bookworm-security", true)],
            Self::BookwormBackports => &[
                ("bookworm", false),
                ("bookworm-updates", false),
                ("bookworm-security", true),
                ("bookworm-backports", false),
            ],
            Self::Bullseye => &[("bullseye", false), ("bullseye-security", true)],
            Self::Trixie => &[("trixie", false), ("trixie-updates", false), ("trixie-security", true)],
        }
    }
}

/// One private view of the archive.
#[derive(Debug)]
pub struct Archive {
    suite: Suite,
    dir: PathBuf,
    conf: PathBuf,
}

/// The addresses of the machine's Debian archive, from its own apt configuration.
struct Sites {
    main: String,
    security: Option<String>,
}

fn sites() -> Result<Sites> {
    let text = output(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(SITE) $(RELEASE)",
        "Created-By: Packages",
    ]))?;
    let mut main = None;
    let mut security = None;
    for line in text.lines() {
        let Some((site, release)) = line.split_once(' ') else { continue };
        let base = release.split(['-', '/']).next().unwrap_or_default();
        let debian = ["bullseye", "bookworm", "trixie", "forky", "sid", "stable", "oldstable", "testing"];
        if !debian.contains(&base) {
            continue;
        }
        let slot =
            if release.contains("-security") || release.contains("/updates") { &mut security } else { &mut main };
        slot.get_or_insert_with(|| site.to_owned());
    }
    match main {
        Some(main) => Ok(Sites { main, security }),
        None => bail!(
            "apt on this machine knows no Debian archive (`apt-get indextargets`); add Debian's main archive to its sources"
        ),
    }
}

/// The sources list of Debian 12 that the cache's view of the archive uses.
pub fn bookworm_sources(paths: &Paths) -> Result<PathBuf> {
    Ok(Archive::open(paths, Suite::Bookworm)?.dir.join("sources.list"))
}

impl Archive {
    /// Opens the view of `suite`, fetching its lists if the cache has none.
    pub fn open(paths: &Paths, suite: Suite) -> Result<Self> {
        if which("apt-get").is_none() || which("dpkg").is_none() {
            bail!("this machine has no apt to fetch it with");
        }
        let dir = paths.cache.join("apt").join(suite.name());
        let conf = dir.join("apt.conf");
        let archive = Self { suite, dir, conf };
        if !archive.dir.join("lists-fetched").exists() {
            archive.update()?;
        }
        Ok(archive)
    }

    /// Fetches the lists anew.
    pub fn update(&self) -> Result<()> {
        ui::step(format!("fetching package lists of {}", self.suite.name()));
        for sub in ["state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(self.dir.join(sub))?;
        }
        let sites = sites()?;
        let mut sources = String::new();
        for (suite, security) in self.suite.lines() {
            let site = if *security { sites.security.as_ref() } else { Some(&sites.main) };
            if let Some(site) = site {
                writeln!(sources, "deb {site} {suite} main")?;
            }
        }
        fs::write(self.dir.join("sources.list"), sources)?;
        fs::write(self.dir.join("status"), "")?;
        let d = self.dir.display();
        fs::write(
            &self.conf,
            format!(
                "Dir::State \"{d}/state\";\nDir::State::status \"{d}/status\";\nDir::Cache \"{d}/cache\";\n\
                 Dir::Etc::SourceList \"{d}/sources.list\";\nDir::Etc::SourceParts \"/dev/null\";\n\
                 Dir::Etc::PreferencesParts \"/dev/null\";\nAPT::Sandbox::User \"root\";\n\
                 APT::Architecture \"amd64\";\nAcquire::Languages \"none\";\nAcquire::Retries \"2\";\n\
                 #clear APT::Update;\n#clear DPkg::Post-Invoke;\n\
                 #clear Acquire::IndexTargets::deb::DEP-11;\n#clear Acquire::IndexTargets::deb::DEP-11-icons;\n"
            ),
        )?;
        output(self.apt("apt-get").arg("update")).with_context(|| {
            format!("the archive of {} cannot be reached; check the network and try again", self.suite.name())
        })?;
        fs::write(self.dir.join("lists-fetched"), "")?;
        Ok(())
    }

    fn apt(&self, program: &str) -> Command {
        let mut cmd = Command::new(program);
        cmd.env("LC_ALL", "C").arg("-c").arg(&self.conf).args(["-q", "-o", "APT::Get::List-Cleanup=false"]);
        cmd
    }

    /// The first dependency of `package` whose name begins with `prefix`: a metapackage's real one.
    pub fn depends(&self, package: &str, prefix: &str) -> Result<String> {
        let text = output(self.apt("apt-cache").args(["depends", "--no-recommends", package]))?;
        text.lines()
            .filter_map(|line| line.trim().trim_start_matches('|').strip_prefix("Depends: "))
            .find(|name| name.starts_with(prefix))
            .map(str::to_owned)
            .with_context(|| format!("{package} of {} names no {prefix}*", self.suite.name()))
    }

    /// What `apt-get install packages` would bring to *this* machine, the packages themselves included.
    pub fn missing_closure(&self, packages: &[&str]) -> Result<Vec<String>> {
        let mut cmd = self.apt("apt-get");
        cmd.args(["-o", "Dir::State::status=/var/lib/dpkg/status", "-s", "-y", "--no-install-recommends"]);
        if self.suite == Suite::BookwormBackports {
            cmd.args(["-t", "bookworm-backports"]);
        }
        let text = output(cmd.args(["--reinstall", "install"]).args(packages))?;
        let names: BTreeSet<String> = text
            .lines()
            .filter_map(|line| line.strip_prefix("Inst "))
            .filter_map(|line| line.split_whitespace().next())
            .map(str::to_owned)
            .collect();
        Ok(names.into_iter().collect())
    }

    /// Downloads `packages` and unpacks them into `to`, which appears only when it is complete.
    pub fn unpack(&self, packages: &[&str], to: &Path) -> Result<()> {
        let debs = self.dir.join(format!("debs-{}", std::process::id()));
        let fresh = to.with_extension(format!("new-{}", std::process::id()));
        for dir in [&debs, &fresh] {
            if dir.exists() {
                fs::remove_dir_all(dir)?;
            }
            fs::create_dir_all(dir)?;
        }
        if let Err(first) = self.download(packages, &debs) {
            // The lists may be older than the archive: look once more.
            self.update()?;
            self.download(packages, &debs).map_err(|_| first)?;
        }
        for deb in fs::read_dir(&debs)? {
            run(Command::new("dpkg").arg("-x").arg(deb?.path()).arg(&fresh))?;
        }
        fs::remove_dir_all(&debs)?;
        if to.exists() {
            fs::remove_dir_all(to)?;
        }
        fs::rename(&fresh, to)?;
        Ok(())
    }

    fn download(&self, packages: &[&str], debs: &Path) -> Result<()> {
        let mut cmd = self.apt("apt-get");
        if self.suite == Suite::BookwormBackports {
            cmd.args(["-t", "bookworm-backports"]);
        }
        output(cmd.arg("download").args(packages).current_dir(debs))
            .with_context(|| format!("cannot download from {}", self.suite.name()))?;
        Ok(())
    }
}
