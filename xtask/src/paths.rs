//! Where things are: the checkout, the cache, what is built.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result};

/// The places that every subcommand uses. All paths are absolute.
#[derive(Debug, Clone)]
pub struct Paths {
    /// The checkout: the folder that holds `x`.
    pub root: PathBuf,
    /// What was downloaded or unpacked: `$FERROXEN_CACHE`, else `.cache` in the checkout.
    pub cache: PathBuf,
    /// Cargo's target folder.
    pub target: PathBuf,
    /// What a user installs.
    pub dist: PathBuf,
}

impl Paths {
    /// Finds the checkout from `$FERROXEN_ROOT` (set by `x`) or from where xtask was built.
    pub fn find() -> Result<Self> {
        let root = match env::var_os("FERROXEN_ROOT") {
            Some(root) => PathBuf::from(root),
            None => Path::new(env!("CARGO_MANIFEST_DIR")).join(".."),
        };
        let root = fs::canonicalize(&root).with_context(|| format!("the checkout {} is not there", root.display()))?;
        let from_env = |name: &str, default: &str| match env::var_os(name) {
            Some(path) if !path.is_empty() => root.join(path),
            _ => root.join(default),
        };
        let cache = from_env("FERROXEN_CACHE", ".cache");
        let target = from_env("CARGO_TARGET_DIR", "target");
        let dist = root.join("dist");
        fs::create_dir_all(&cache).with_context(|| format!("the cache folder {} cannot be made", cache.display()))?;
        Ok(Self { root, cache, target, dist })
    }

    /// The hypervisor that `./x build` leaves.
    pub fn hypervisor(&self) -> PathBuf {
        self.dist.join("ferroxen")
    }

    /// Its symbols.
    pub fn debug_symbols(&self) -> PathBuf {
        self.dist.join("ferroxen.debug")
    }
}
