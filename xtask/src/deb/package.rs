//! A Debian package as data, and the file that `dpkg-deb` makes of it: of the same data the same bytes.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use flate2::{Compression, GzBuilder};

use crate::process::{output, which};

/// What stands at a path.
#[derive(Debug, Clone)]
pub enum Content {
    /// A file with this text.
    Text(String),
    /// A file with this text, packed.
    Packed(Vec<u8>),
    /// A copy of a file of this machine.
    Copy(PathBuf),
    /// A symbolic link.
    Link(&'static str),
    /// A folder that may stay empty.
    Folder,
}

/// One thing that the package installs.
#[derive(Debug, Clone)]
pub struct Item {
    /// Where, from the root, without the first slash.
    pub path: String,
    /// Permissions.
    pub mode: u32,
    /// What.
    pub content: Content,
}

impl Item {
    /// A file with a text.
    pub fn text(path: &str, mode: u32, text: impl Into<String>) -> Self {
        Self { path: path.to_owned(), mode, content: Content::Text(text.into()) }
    }

    /// A packed file; its name ends in `.gz`.
    pub fn packed(path: &str, text: impl AsRef<[u8]>) -> Self {
        Self { path: path.to_owned(), mode: 0o644, content: Content::Packed(text.as_ref().to_vec()) }
    }

    /// A copy.
    pub fn copy(path: &str, mode: u32, from: &Path) -> Self {
        Self { path: path.to_owned(), mode, content: Content::Copy(from.to_owned()) }
    }

    /// A link.
    pub fn link(path: &str, to: &'static str) -> Self {
        Self { path: path.to_owned(), mode: 0o777, content: Content::Link(to) }
    }

    /// A folder.
    pub fn folder(path: &str) -> Self {
        Self { path: path.to_owned(), mode: 0o755, content: Content::Folder }
    }
}

/// A package. What it installs below `etc/` is its configuration: dpkg keeps an administrator's changes there.
#[derive(Debug, Clone)]
pub struct Package {
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: String,
    /// More fields of the control file, without those about name, version, architecture and size.
    pub fields: Vec<(&'static str, String)>,
    /// Maintainer scripts.
    pub scripts: Vec<(&'static str, String)>,
    /// Lines of the file `triggers`.
    pub triggers: &'static str,
    /// What it installs.
    pub items: Vec<Item>,
}

impl Package {
    /// The name of its file.
    pub fn file_name(&self) -> String {
        format!("{}_{}_amd64.deb", self.name, self.version)
    }

    /// Writes the package into `to`, with `work` (made and removed here) for the tree; `time`: the newest that a file may be, in
    /// seconds since 1970.
    pub fn build(&self, work: &Path, to: &Path, time: u64) -> Result<PathBuf> {
        if which("dpkg-deb").is_none() {
            bail!("this machine has no dpkg-deb; install Debian's package dpkg and try again");
        }
        let tree = work.join(self.name);
        let _ = fs::remove_dir_all(&tree);
        for item in &self.items {
            item.put(&tree).with_context(|| format!("cannot write {} of {}", item.path, self.name))?;
        }
        self.control(&tree)?;
        fs::create_dir_all(to)?;
        let file = to.join(self.file_name());
        let fresh = to.join(format!("{}.new-{}", self.file_name(), std::process::id()));
        let mut cmd = Command::new("dpkg-deb");
        // Several threads would pack otherwise on another machine.
        cmd.env("SOURCE_DATE_EPOCH", time.to_string()).env("LC_ALL", "C").env("TZ", "UTC");
        cmd.args(["--root-owner-group", "--threads-max=1", "-Zxz", "--build"]).arg(&tree).arg(&fresh);
        output(&mut cmd).with_context(|| format!("cannot build {}", self.name))?;
        fs::rename(&fresh, &file)?;
        fs::remove_dir_all(&tree)?;
        Ok(file)
    }

    fn control(&self, tree: &Path) -> Result<()> {
        let dir = tree.join("DEBIAN");
        fs::create_dir_all(&dir)?;
        set_mode(&dir, 0o755)?;
        let mut size = 0;
        let mut conffiles = String::new();
        let mut files = Vec::new();
        for item in &self.items {
            if matches!(item.content, Content::Folder | Content::Link(_)) {
                size += 1;
                continue;
            }
            size += tree.join(&item.path).metadata()?.len().div_ceil(1024);
            files.push(item.path.as_str());
            if item.path.starts_with("etc/") {
                writeln!(conffiles, "/{}", item.path)?;
            }
        }
        let mut text = format!("Package: {}\nVersion: {}\nArchitecture: amd64\n", self.name, self.version);
        writeln!(text, "Installed-Size: {size}")?;
        for (name, value) in &self.fields {
            writeln!(text, "{name}: {value}")?;
        }
        files.sort_unstable();
        let sums = output(Command::new("md5sum").args(&files).current_dir(tree)).context("no sums")?;
        let triggers = self.triggers.to_owned();
        for (name, text) in [("control", text), ("md5sums", sums), ("conffiles", conffiles), ("triggers", triggers)] {
            if !text.is_empty() {
                write(&dir.join(name), 0o644, text.as_bytes())?;
            }
        }
        for (name, script) in &self.scripts {
            write(&dir.join(name), 0o755, script.as_bytes())?;
        }
        Ok(())
    }
}

impl Item {
    fn put(&self, tree: &Path) -> Result<()> {
        let path = tree.join(&self.path);
        folders(tree, path.parent().context("no folder")?)?;
        match &self.content {
            Content::Text(text) => write(&path, self.mode, text.as_bytes()),
            Content::Packed(text) => {
                // No time and no name in it.
                let mut packer = GzBuilder::new().write(File::create(&path)?, Compression::best());
                packer.write_all(text)?;
                packer.finish()?;
                set_mode(&path, self.mode)
            }
            Content::Copy(from) => {
                fs::copy(from, &path).with_context(|| format!("cannot copy {}", from.display()))?;
                set_mode(&path, self.mode)
            }
            Content::Link(to) => Ok(symlink(to, &path)?),
            Content::Folder => folders(tree, &path),
        }
    }
}

/// Makes `path` and what is above it in `tree`, with the permissions that a package's folders have whatever our umask says.
fn folders(tree: &Path, path: &Path) -> Result<()> {
    fs::create_dir_all(path)?;
    for dir in path.ancestors().take_while(|dir| dir.starts_with(tree)) {
        set_mode(dir, 0o755)?;
    }
    Ok(())
}

fn write(path: &Path, mode: u32, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes)?;
    set_mode(path, mode)
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(mode))?)
}
