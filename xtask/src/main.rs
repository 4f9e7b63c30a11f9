//! What `./x` does. Each subcommand is a module; each ends with an exit status or with one line
//! that says what failed and what to do.

mod bench;
mod boot;
mod boot_time;
mod build;
mod check;
mod clean;
mod deb;
mod endure;
mod fuzz;
mod fxbench;
mod guests;
mod initramfs;
mod kallsyms;
mod kernel_image;
mod kernel_variants;
mod lab;
mod own_tools;
mod paths;
mod process;
mod rootfs;
mod run;
mod setup;
mod symbol_table;
mod test;
mod ui;
mod workspace;

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
    /// Set up, build, boot dom0, start guests, give a shell in dom0
    Run(Box<run::RunArgs>),
    /// Run the tests: on this machine, then in machines
    Test(test::TestArgs),
    /// Build the hypervisor into dist/
    Build(build::BuildArgs),
    /// Make Debian packages of the hypervisor and of the tools, into dist/
    Deb(deb::DebArgs),
    /// Check format, lints, dependency direction, disassembly, unsafe
    Check(check::CheckArgs),
    /// Boot a machine: hypervisor, dom0, commands or a shell
    Boot(Box<boot::BootArgs>),
    /// Fuzz
    Fuzz(fuzz::FuzzArgs),
    /// Measure dom0 on the bare machine, on Debian's Xen and on Ferroxen
    Bench(bench::BenchArgs),
    /// Count instructions from the hypervisor's first to dom0's first
    BootTime(boot_time::BootTimeArgs),
    /// Remove what was built
    Clean(clean::CleanArgs),
    /// Run the test guests
    Guests(guests::GuestsArgs),
    /// Run the lab
    Lab(lab::LabArgs),
}

fn main() {
    let cli = Cli::parse();
    let result = Paths::find().and_then(|paths| match &cli.command {
        Task::Run(args) => run::main(&paths, args),
        Task::Boot(args) => boot::main(&paths, args),
        Task::Test(args) => test::main(&paths, args),
        Task::Build(args) => build::main(&paths, args),
        Task::Deb(args) => deb::main(&paths, args),
        Task::Check(args) => check::main(&paths, args),
        Task::Fuzz(args) => fuzz::main(&paths, args),
        Task::Bench(args) => bench::main(&paths, args),
        Task::BootTime(args) => boot_time::main(&paths, args),
        Task::Clean(args) => clean::main(&paths, args),
        Task::Guests(args) => guests::main(&paths, args),
        Task::Lab(args) => lab::main(&paths, args),
    });
    std::process::exit(match result {
        Ok(status) => status,
        Err(err) => {
            ui::error(&err);
            1
        }
    });
}
