//! `./x clean`: what was built, and with `--cache` what was downloaded.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result};
use clap::Args;

use crate::paths::Paths;

/// What `./x clean` is told.
#[derive(Debug, Args)]
pub struct CleanArgs {
    /// Also the cache of downloaded packages; the next run needs the network
    #[arg(long)]
    cache: bool,
}

/// `./x clean`.
pub fn main(paths: &Paths, args: &CleanArgs) -> Result<i32> {
    remove(&paths.dist)?;
    remove(&paths.target)?;
    if args.cache {
        remove(&paths.cache)?;
    }
    Ok(0)
}

fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Ok(()) => println!("removed {}", dir.display()),
        Err(err) if err.kind() == ErrorKind::NotFound => {}
        Err(err) => return Err(err).with_context(|| format!("cannot remove {}", dir.display())),
    }
    Ok(())
}
