//! What the lab asks of the program that it is part of.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::machine::Machine;

/// What a machine is started for.
#[derive(Debug, Clone, Default)]
pub struct Order {
    /// Commands for dom0, from the initramfs; a shell on the console if there are none.
    pub exec: Option<String>,
    /// More arguments for QEMU.
    pub qemu: Vec<String>,
    /// Record or replay.
    pub replay: Option<Replay>,
}

/// QEMU's record and replay: which of the two, and its files.
#[derive(Debug, Clone)]
pub struct Replay {
    /// True to record.
    pub record: bool,
    /// The log.
    pub file: PathBuf,
    /// A qcow2 image for the snapshot that reverse stepping starts from.
    pub snapshot: Option<PathBuf>,
}

/// A command that starts a machine, its console on standard input and output.
pub struct Prepared {
    /// The command.
    pub command: Command,
    /// Files that live as long as the machine.
    pub keep: Box<dyn Any + Send + Sync>,
}

/// Where machines come from.
pub trait Host: Sync {
    /// The command that makes `machine` do what `order` says.
    ///
    /// # Errors
    ///
    /// If a part cannot be got or built.
    fn prepare(&self, machine: &Machine, order: &Order) -> Result<Prepared>;

    /// Where machines are described: a folder of TOML files.
    fn machines(&self) -> PathBuf;

    /// The line with the names of functions behind it, if it holds addresses of our hypervisor.
    fn explain(&self, line: &str) -> String;

    /// Where runs are kept.
    fn runs(&self) -> PathBuf;

    /// The hypervisor's symbols, for gdb.
    fn symbols(&self) -> PathBuf;
}

/// Commas are QEMU's separators.
pub fn qemu_path(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}
