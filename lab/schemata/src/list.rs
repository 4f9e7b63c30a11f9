//! What cargo-mutants would change, from `cargo mutants --list --json`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// One change.
#[derive(Debug, Clone, Deserialize)]
pub struct Mutant {
    /// `FILE:LINE:COLUMN: what is changed in FUNCTION`.
    pub name: String,
    /// From the workspace's folder.
    pub file: String,
    /// What kind of change.
    pub genre: Genre,
    /// What is replaced.
    pub span: Span,
    /// What takes its place.
    pub replacement: String,
}

/// cargo-mutants' kinds of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Genre {
    /// A function's body becomes a value.
    FnValue,
    /// Another operator.
    BinaryOperator,
    /// An operator is left out.
    UnaryOperator,
    /// An arm is left out.
    MatchArm,
    /// A guard becomes true or false.
    MatchArmGuard,
    /// A field takes its value from the base.
    StructField,
    /// One that this program does not know.
    #[serde(other)]
    Other,
}

/// From here to there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Span {
    /// First character.
    pub start: Place,
    /// Behind the last.
    pub end: Place,
}

/// Both count from one, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

impl Mutant {
    /// The name without line and column, which stays the same when the file changes elsewhere.
    pub fn title(&self) -> String {
        let mut parts = self.name.splitn(4, ':');
        let file = parts.next().unwrap_or_default();
        format!("{file}:{}", parts.nth(2).unwrap_or_default())
    }
}

/// All mutants of `package`, listed by the program `cargo_mutants`.
pub fn list(cargo_mutants: &Path, tree: &Path, package: &str) -> Result<Vec<Mutant>> {
    let mut cmd = Command::new(cargo_mutants);
    cmd.current_dir(tree).args(["mutants", "--list", "--json", "--no-config", "--package", package]);
    let out = cmd.output().with_context(|| format!("cannot start {}", cargo_mutants.display()))?;
    if !out.status.success() {
        bail!("{} lists no mutants: {}", cargo_mutants.display(), String::from_utf8_lossy(&out.stderr).trim());
    }
    serde_json::from_slice(&out.stdout).context("cannot read cargo-mutants' list")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_has_neither_line_nor_column() {
        let text = r#"{"name": "core/src/a.rs:54:26: replace || with && in A::b", "file": "core/src/a.rs",
            "genre": "BinaryOperator", "replacement": "&&",
            "span": {"start": {"line": 54, "column": 26}, "end": {"line": 54, "column": 28}}}"#;
        let mutant: Mutant = serde_json::from_str(text).unwrap();
        assert_eq!(mutant.title(), "core/src/a.rs: replace || with && in A::b");
        assert_eq!(mutant.genre, Genre::BinaryOperator);
        let text = text.replace("BinaryOperator", "NewOne");
        assert_eq!(serde_json::from_str::<Mutant>(&text).unwrap().genre, Genre::Other);
    }
}
