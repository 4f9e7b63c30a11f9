//! What `./x` does. Each subcommand is a module; each ends with an exit status or with one line
//! that says what failed and what to do.

#![allow(dead_code, unused_imports)] // until the other subcommands land

mod boot;
mod build;
mod fxbench;
mod initramfs;
mod kernel_image;
mod paths;
mod process;
mod setup;
mod ui;

use clap::{Parser, Subcommand};

use crate::paths::Paths;

/// Ferroxen: build it, boot it, test it.
#[derive(Debug, Parser)]
#[command(name = "x", bin_name = "./x", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Build the hypervisor into dist/
    Build(build::BuildArgs),
    /// Boot a machine: hypervisor, dom0, commands or a shell
    Boot(Box<boot::BootArgs>),
}

fn main() {
    let cli = Cli::parse();
    let result = Paths::find().and_then(|paths| match &cli.command {
        Task::Build(args) => build::main(&paths, args),
        Task::Boot(args) => boot::main(&paths, args),
    });
    std::process::exit(match result {
        Ok(status) => status,
        Err(err) => {
            ui::error(&err);
            1
        }
    });
}
