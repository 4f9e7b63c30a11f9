//! Cargo's tests, counted.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::Tally;

/// Runs a `cargo test` command, passing its output on, and counts.
pub fn run(name: &str, cmd: &mut Command, tally: &mut Tally) -> Result<()> {
    let mut child = cmd
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start cargo for {name}"))?;
    let stdout = child.stdout.take().context("cargo has no standard output")?;
    let mut counted = Tally::default();
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        match counts(&line) {
            Some((passed, failed)) => {
                counted.passed += passed;
                counted.failed += failed;
            }
            None if quiet(&line) => continue,
            None => {}
        }
        println!("{line}");
    }
    let status = child.wait()?;
    if !status.success() && counted.failed == 0 {
        // It did not even build, or a test ended the process.
        counted.failed = 1;
        counted.failures.push(name.to_owned());
    } else if counted.failed > 0 {
        counted.failures.push(format!("{name} ({})", counted.failed));
    }
    tally.add(counted);
    Ok(())
}

/// Passed and failed, from cargo's line of a test program.
fn counts(line: &str) -> Option<(u64, u64)> {
    let rest = line.strip_prefix("test result: ")?;
    let number = |word: &str| -> Option<u64> {
        rest.split([';', '.']).find_map(|part| part.trim().strip_suffix(word)?.trim().parse().ok())
    };
    Some((number("passed")?, number("failed")?))
}

/// Lines that nobody reads when all is well.
fn quiet(line: &str) -> bool {
    line.is_empty() || line.ends_with("... ok") || line == "running 0 tests"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargos_result_line_is_counted() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(counts(line), Some((12, 3)));
        assert_eq!(counts("test a::b ... ok"), None);
    }
}
