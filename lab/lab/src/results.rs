//! What scenarios came to: a line of JSON each, and JUnit's XML for those who read that.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// One scenario of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The scenario.
    pub scenario: String,
    /// True if it passed.
    pub passed: bool,
    /// Why not.
    pub why: Option<String>,
    /// Seconds that it took.
    pub seconds: f64,
    /// The folder with its consoles, from the run's.
    pub folder: String,
    /// True if it has one machine, so that its failure can be replayed.
    pub single: bool,
}

/// The file with a line for each scenario.
pub const FILE: &str = "results.jsonl";

/// The records of a run.
///
/// # Errors
///
/// If the folder holds no run.
pub fn read(run: &Path) -> Result<Vec<Record>> {
    let file = run.join(FILE);
    let text = fs::read_to_string(&file).with_context(|| format!("no run: {} is not there", file.display()))?;
    text.lines().map(|line| serde_json::from_str(line).context("no line of results")).collect()
}

/// JUnit's XML.
pub fn junit(records: &[Record]) -> String {
    let failures = records.iter().filter(|record| !record.passed).count();
    let seconds: f64 = records.iter().map(|record| record.seconds).sum();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        text,
        "<testsuite name=\"lab\" tests=\"{}\" failures=\"{failures}\" time=\"{seconds:.3}\">",
        records.len()
    );
    for record in records {
        let name = escaped(&record.scenario);
        let _ = write!(text, "  <testcase classname=\"lab\" name=\"{name}\" time=\"{:.3}\"", record.seconds);
        match &record.why {
            Some(why) => {
                let first = escaped(why.lines().next().unwrap_or_default());
                let _ = writeln!(text, ">\n    <failure message=\"{first}\">{}</failure>\n  </testcase>", escaped(why));
            }
            None => text += "/>\n",
        }
    }
    text + "</testsuite>\n"
}

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for char in text.chars() {
        match char {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\n' | '\t' => escaped.push(char),
            // XML has no place for these.
            char if char.is_control() => escaped.push('?'),
            char => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(passed: bool) -> Record {
        Record {
            scenario: "a_dom0_boots".to_owned(),
            passed,
            why: (!passed).then(|| "no line with \"x\" <here>\u{1b}[0m\nconsole: …".to_owned()),
            seconds: 12.5,
            folder: "a_dom0_boots".to_owned(),
            single: true,
        }
    }

    #[test]
    fn junit_counts_failures_and_escapes_what_a_console_says() {
        let text = junit(&[record(true), record(false)]);
        assert!(text.contains("tests=\"2\" failures=\"1\" time=\"25.000\""), "{text}");
        assert!(text.contains("message=\"no line with &quot;x&quot; &lt;here&gt;?[0m\""), "{text}");
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let line = serde_json::to_string(&record(false)).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), record(false));
    }
}
