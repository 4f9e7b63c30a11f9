//! The list of mutants that are known to survive, each with a reason.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(default)]
    survivor: Vec<Survivor>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Survivor {
    /// Why no test can notice, or which notices that is not run here.
    reason: String,
    /// Titles of mutants; one that is there more than once stands here as often.
    mutants: Vec<String>,
}

/// How often each title is expected.
pub type Known = BTreeMap<String, usize>;

/// Reads the list.
///
/// # Errors
/// It is not of this form, or an entry has no reason.
pub fn read(text: &str) -> Result<Known> {
    let list: List = toml::from_str(text).context("the list of survivors")?;
    let mut known = Known::new();
    for survivor in list.survivor {
        if survivor.reason.trim().is_empty() {
            bail!("survivors without a reason: {}", survivor.mutants.join(", "));
        }
        for title in survivor.mutants {
            *known.entry(title).or_default() += 1;
        }
    }
    Ok(known)
}

/// What is not as the list says, a line each; `all`: every mutant was tried, so that one of the list can be missed.
pub fn compare(known: &Known, survived: &[String], all: bool) -> Vec<String> {
    let mut seen = Known::new();
    for title in survived {
        *seen.entry(title.clone()).or_default() += 1;
    }
    let count = |of: &Known, title: &str| of.get(title).copied().unwrap_or(0);
    let mut lines = Vec::new();
    for (title, &times) in &seen {
        if times > count(known, title) {
            lines.push(format!("not in the list of survivors ({times} times): {title}"));
        }
    }
    for (title, &times) in known.iter().filter(|_| all) {
        if times > count(&seen, title) {
            lines.push(format!("survives no longer, or fewer times than {times}: {title}"));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survivors_are_compared_by_title_and_count() {
        let known = read("[[survivor]]\nreason = \"equal\"\nmutants = [\"a\", \"a\", \"b\"]\n").unwrap();
        let survived = |titles: &[&str]| titles.iter().map(|title| (*title).to_owned()).collect::<Vec<_>>();
        assert!(compare(&known, &survived(&["a", "b", "a"]), true).is_empty());
        assert_eq!(compare(&known, &survived(&["a", "a", "a", "b"]), true).len(), 1);
        assert_eq!(compare(&known, &survived(&["a", "b", "c"]), true).len(), 2);
        assert_eq!(compare(&known, &survived(&["a", "c"]), false).len(), 1);
    }

    #[test]
    fn a_survivor_without_a_reason_is_refused() {
        assert!(read("[[survivor]]\nreason = \" \"\nmutants = [\"a\"]\n").is_err());
        assert!(read("[[survivor]]\nmutants = [\"a\"]\n").is_err());
        assert!(read("").unwrap().is_empty());
    }
}
