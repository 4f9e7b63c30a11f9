//! `blkimg`: making images and looking into them, where there is no qemu-img.

use anyhow::Context as _;
use blkback::disk::Disk as _;
use blkback::image::{Format, Image};
use clap::{Parser, Subcommand};
use std::io::Write as _;
use std::path::PathBuf;

/// Makes images for guests' disks and looks into them. Exit codes: 0 done, 1 failed, 2 usage.
#[derive(Debug, Parser)]
#[command(name = "blkimg", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make an empty qcow2 image
    Create {
        /// Where
        file: PathBuf,
        /// Its guest's size in MiB
        mib: u64,
    },
    /// Write what a guest sees of an image to standard output
    Cat {
        /// raw or qcow2
        #[arg(long, default_value = "qcow2")]
        format: Format,
        /// Which
        file: PathBuf,
    },
}

/// Runs the command.
pub fn main() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Create { file, mib } => {
            let size = mib.checked_mul(1 << 20).context("that is too large")?;
            Image::create(&file, size).with_context(|| format!("{}", file.display()))
        }
        Command::Cat { format, file } => {
            let what = || format!("{}", file.display());
            let mut image = Image::open(&file, format, true).with_context(what)?;
            let mut out = std::io::stdout().lock();
            let mut buffer = vec![0; 1 << 20];
            let (mut at, end) = (0, image.sectors() * 512);
            while at < end {
                let len = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
                let part = buffer.get_mut(..len).unwrap_or_default();
                image.read(at, part).with_context(what)?;
                match out.write_all(part) {
                    // That is how `| head` ends.
                    Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
                    other => other?,
                }
                at += len as u64;
            }
            Ok(())
        }
    }
}
