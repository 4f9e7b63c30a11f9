//! What is left of a run: one line of JSON for each guest and hypervisor, and the table that people read.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use super::outcome::{Verdict, checks};

/// One guest on one hypervisor.
#[derive(Debug, Clone)]
pub struct Row {
    /// The guest.
    pub guest: String,
    /// What it ran on: `xen`, `ferroxen`, or a file.
    pub hypervisor: String,
    /// What it came to.
    pub verdict: Verdict,
    /// Its last words.
    pub words: String,
    /// Differences from Debian's Xen that are meant to be.
    pub differences: Vec<String>,
    /// How long the machine ran.
    pub time: Duration,
}

impl Row {
    fn json(&self) -> String {
        json!({
            "guest": self.guest,
            "hypervisor": self.hypervisor,
            "outcome": self.verdict.name(),
            "exit": self.verdict as i32,
            "checks": checks(&self.words),
            "words": self.words,
            "differences": self.differences,
            "seconds": (self.time.as_secs_f64() * 100.0).round() / 100.0,
        })
        .to_string()
    }

    fn cell(&self) -> String {
        let mut cell = self.verdict.name().to_owned();
        match (self.verdict, checks(&self.words)) {
            (Verdict::Skip, _) => _ = write!(cell, ": {}", self.words),
            (_, Some(checks)) => _ = write!(cell, ", {checks} checks"),
            _ => {}
        }
        if !self.differences.is_empty() {
            _ = write!(cell, ", {} differ", self.differences.len());
        }
        cell
    }
}

/// A JSONL file that grows as the guests end.
pub struct Results(File);

impl Results {
    /// Makes the file anew.
    pub fn create(file: &Path) -> Result<Self> {
        if let Some(dir) = file.parent() {
            fs::create_dir_all(dir)?;
        }
        Ok(Self(File::create(file).with_context(|| format!("cannot write {}", file.display()))?))
    }

    /// Adds a line.
    pub fn add(&mut self, row: &Row) -> Result<()> {
        writeln!(self.0, "{}", row.json()).context("cannot write the results")
    }
}

/// The table: a line for each guest, a column for each hypervisor.
pub fn table(rows: &[Row]) -> String {
    let mut hypervisors: Vec<&str> = Vec::new();
    let mut guests: Vec<&str> = Vec::new();
    for row in rows {
        if !hypervisors.contains(&row.hypervisor.as_str()) {
            hypervisors.push(&row.hypervisor);
        }
        if !guests.contains(&row.guest.as_str()) {
            guests.push(&row.guest);
        }
    }
    let cell = |guest: &str, hypervisor: &str| {
        rows.iter().find(|row| row.guest == guest && row.hypervisor == hypervisor).map_or_else(String::new, Row::cell)
    };
    let mut lines: Vec<Vec<String>> =
        vec![std::iter::once("guest").chain(hypervisors.iter().copied()).map(str::to_owned).collect()];
    for guest in guests {
        let cells = hypervisors.iter().map(|hypervisor| cell(guest, hypervisor));
        lines.push(std::iter::once(guest.to_owned()).chain(cells).collect());
    }
    let columns = hypervisors.len() + 1;
    let width =
        |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (n, line) in lines.iter().enumerate() {
        let cells: Vec<String> =
            line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}", width = *width)).collect();
        _ = writeln!(text, "| {} |", cells.join(" | "));
        if n == 0 {
            let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            _ = writeln!(text, "| {} |", rule.join(" | "));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(guest: &str, hypervisor: &str, verdict: Verdict, words: &str) -> Row {
        Row {
            guest: guest.into(),
            hypervisor: hypervisor.into(),
            verdict,
            words: words.into(),
            differences: Vec::new(),
            time: Duration::from_millis(1234),
        }
    }

    #[test]
    fn a_line_of_json_says_all_that_is_known() {
        let mut one = row("hello", "xen", Verdict::Success, "hello: 4 checks");
        one.differences.push("a: b".into());
        let value: serde_json::Value = serde_json::from_str(&one.json()).expect("JSON");
        assert_eq!(value["outcome"], "success");
        assert_eq!(value["checks"], 4);
        assert_eq!(value["exit"], 0);
        assert_eq!(value["differences"][0], "a: b");
        assert_eq!(value["seconds"], 1.23);
    }

    #[test]
    fn the_table_has_a_column_for_each_hypervisor() {
        let rows = [
            row("hello", "xen", Verdict::Success, "hello: 4 checks"),
            row("hello", "ferroxen", Verdict::Failure, "hello: 1 of 4 checks, the first: x"),
            row("umip", "xen", Verdict::Skip, "UMIP"),
        ];
        let text = table(&rows);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[2].contains("| success, 4 checks | failure, 4 checks |"), "{text}");
        assert!(lines[3].contains("skip: UMIP"), "{text}");
        assert!(lines.iter().all(|line| line.len() == lines[0].len()));
    }
}
