//! Builds the tests of packages and reads what the compiler says.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// A mutant may well overflow.
const LINTS: &str = "-Awarnings -Aarithmetic_overflow -Aunconditional_panic";

/// A test program, and the folder in which it runs.
#[derive(Debug, Clone)]
pub struct Program {
    /// The executable file.
    pub file: PathBuf,
    /// Its package's folder.
    pub folder: PathBuf,
}

impl Program {
    /// Its folder and its name, without the number that cargo gives it.
    pub fn name(&self) -> (&Path, &str) {
        let stem = self.file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        (&self.folder, stem.rsplit_once('-').map_or(stem, |(name, _)| name))
    }
}

/// `cargo` in a copy of the sources.
#[derive(Debug, Clone, Copy)]
pub struct Cargo<'a> {
    /// The sources.
    pub tree: &'a Path,
    /// Where built files go.
    pub target: &'a Path,
}

impl Cargo<'_> {
    /// The test programs of `packages`, or what the compiler says against it.
    ///
    /// # Errors
    /// cargo fails without an error of the compiler.
    pub fn tests(&self, packages: &[String]) -> Result<std::result::Result<Vec<Program>, String>> {
        let (ok, messages) = self.run(&["test", "--no-run"], packages)?;
        if !ok {
            return Ok(Err(errors(&messages).map(|(text, _)| text).collect::<Vec<_>>().join("; ")));
        }
        let tests = messages.iter().filter(|message| message["profile"]["test"] == true);
        let program = |message: &Value| {
            let file = PathBuf::from(message["executable"].as_str()?);
            let folder = Path::new(message["manifest_path"].as_str()?).parent()?.to_owned();
            Some(Program { file, folder })
        };
        Ok(Ok(tests.filter_map(program).collect()))
    }

    /// Runs `cargo WHAT` for `packages`: whether it ends well, and its messages.
    ///
    /// # Errors
    /// It fails without an error of the compiler.
    pub fn run(&self, what: &[&str], packages: &[String]) -> Result<(bool, Vec<Value>)> {
        let mut cmd = Command::new("cargo");
        cmd.current_dir(self.tree).env("CARGO_TARGET_DIR", self.target);
        // Run thousands of times and never debugged; proofs and lints are for the old text.
        cmd.envs([("CARGO_PROFILE_DEV_DEBUG", "0"), ("CARGO_PROFILE_DEV_OPT_LEVEL", "1"), ("CARGO_INCREMENTAL", "1")]);
        cmd.envs([("CARGO_PROFILE_TEST_DEBUG", "0"), ("CARGO_PROFILE_TEST_OPT_LEVEL", "1"), ("RUSTFLAGS", LINTS)]);
        cmd.args(what).args(["--quiet", "--message-format", "json"]);
        cmd.args(packages.iter().flat_map(|package| ["--package", package]));
        let out = cmd.output().context("cannot start cargo")?;
        let text = String::from_utf8_lossy(&out.stdout);
        let messages: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        if !out.status.success() && errors(&messages).next().is_none() {
            bail!("cargo {}: {}", what.join(" "), String::from_utf8_lossy(&out.stderr).trim());
        }
        Ok((out.status.success(), messages))
    }
}

/// Errors with their texts.
pub fn errors(messages: &[Value]) -> impl Iterator<Item = (String, &Value)> {
    let of_compiler = messages.iter().map(|message| &message["message"]).filter(|message| message["level"] == "error");
    let with_place = of_compiler.filter(|message| message["spans"].as_array().is_some_and(|spans| !spans.is_empty()));
    with_place.map(|message| (message["message"].as_str().unwrap_or_default().to_owned(), message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_has_the_same_name_after_each_build() {
        let program = |file: &str| Program { file: file.into(), folder: "core".into() };
        assert_eq!(program("target/debug/deps/ferroxen_core-0123abcd").name(), (Path::new("core"), "ferroxen_core"));
        assert_eq!(program("a/api-1").name(), program("b/api-2").name());
        assert_ne!(program("a/api-1").name(), program("a/other-1").name());
    }
}
