//! `./x guests new NAME`: the folder of a new test guest.

use std::fs;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::paths::Paths;
use crate::ui;

/// What `./x guests new` is told.
#[derive(Debug, Args)]
pub struct NewArgs {
    /// Name of the guest: small letters, digits and hyphens
    name: String,
    /// vcpus that it needs
    #[arg(long, default_value_t = 1)]
    vcpus: u32,
}

/// Makes the folder with a package and a program that passes.
pub fn main(paths: &Paths, args: &NewArgs) -> Result<i32> {
    let name = &args.name;
    if !is_name(name) {
        bail!("{name:?} is no name for a guest: small letters, digits and hyphens, a letter first");
    }
    let dir = paths.root.join("guests").join(name);
    if dir.exists() {
        bail!("guests/{name} is there already");
    }
    fs::create_dir_all(dir.join("src")).with_context(|| format!("cannot make {}", dir.display()))?;
    fs::write(dir.join("Cargo.toml"), manifest(name, args.vcpus))?;
    fs::write(dir.join("src/main.rs"), program(name))?;
    ui::note(format!("guests/{name}/src/main.rs is there: tell its story, then ./x guests {name} --hypervisor both"));
    Ok(0)
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && name != "rt"
        && name != "new"
}

fn manifest(name: &str, vcpus: u32) -> String {
    let metadata = if vcpus == 1 { String::new() } else { format!("\n[package.metadata.guest]\nvcpus = {vcpus}\n") };
    format!(
        r#"[package]
name = "guest-{name}"
description = "Test guest: one line about {name}"
version.workspace = true
edition.workspace = true
rust-version.workspace = true
license.workspace = true
build = "../rt/link.rs"
{metadata}
[[bin]]
name = "guest-{name}"
test = false
bench = false

[dependencies]
guest-rt = {{ path = "../rt" }}

[lints]
workspace = true
"#
    )
}

fn program(name: &str) -> String {
    format!(
        r#"//! What {name} is about: its story, in a few lines.
#![cfg_attr(target_os = "none", no_std, no_main)]

use guest_rt::Report;

guest_rt::guest!("{name}", run);

fn run(report: &mut Report) {{
    report.check("one and one is two", 1 + 1 == 2);
}}
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_packages() {
        for good in ["hello", "xsa-212", "pt2"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "2pt", "Hello", "a/b", "../x", "rt", "new", "a_b"] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn a_manifest_says_how_many_vcpus_only_if_there_are_several() {
        assert!(!manifest("a", 1).contains("metadata"));
        assert!(manifest("a", 2).contains("[package.metadata.guest]\nvcpus = 2\n"));
    }
}
