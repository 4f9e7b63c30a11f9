//! The tables of a benchmark, in Markdown, and the rows of its charts.

use std::collections::BTreeMap;

use super::chart::Row;
use super::figures::Figures;
use super::operations::{OPERATIONS, Operation, Suite, Unit};
use super::{thousands, title};

/// Instructions, and the ratio to Xen's with its limit; a table for each suite.
pub fn instructions(systems: &[String], figures: &BTreeMap<String, Figures>) -> String {
    let compared = figures.contains_key("xen") && figures.contains_key("ferroxen");
    let mut text = String::new();
    for suite in Suite::ALL {
        let get = |system: &str, operation: &Operation| figures.get(system)?.get(operation.name).copied();
        let mut rows = String::new();
        for operation in OPERATIONS.iter().filter(|operation| operation.suite == suite) {
            let columns: Vec<Option<u64>> = systems.iter().map(|system| get(system, operation)).collect();
            if columns.iter().all(Option::is_none) {
                continue;
            }
            rows += &format!("| {}{} |", operation.name, operation.unit.suffix());
            for figure in columns {
                rows += &format!(" {} |", figure.map(thousands).unwrap_or_default());
            }
            if compared {
                rows += &ratio(operation, get("xen", operation), get("ferroxen", operation));
            }
            rows += "\n";
        }
        if !rows.is_empty() {
            let columns: &[&str] = if compared { &["÷ Xen", "limit"] } else { &[] };
            text += &format!("{}:\n\n{}{rows}\n", suite.heading(), heading("instructions", systems, columns));
        }
    }
    text
}

fn ratio(operation: &Operation, xen: Option<u64>, ours: Option<u64>) -> String {
    let (Some(xen), Some(ours)) = (xen, ours) else { return " | |".to_owned() };
    let ratio = ours as f64 / xen.max(1) as f64;
    match operation.limit {
        Some(limit) => format!(" {ratio:.2}{} | {limit:.2} |", if ratio <= limit { "" } else { " !" }),
        None => format!(" {ratio:.2} | |"),
    }
}

/// Medians with their spread, and the ratio of medians to Xen's.
pub fn wall_clock(systems: &[String], runs: &BTreeMap<String, Vec<Figures>>) -> String {
    let compared = runs.contains_key("xen") && runs.contains_key("ferroxen");
    let mut text = heading("nanoseconds", systems, if compared { &["÷ Xen"] } else { &[] });
    for operation in OPERATIONS.iter().filter(|operation| operation.unit.is_time()) {
        let columns: Vec<Vec<u64>> = systems.iter().map(|system| values(runs, system, operation.name)).collect();
        if columns.iter().all(Vec::is_empty) {
            continue;
        }
        let per = if operation.unit == Unit::PerMib { Unit::PerMib.suffix() } else { "" };
        text += &format!("| {}{per} |", operation.name);
        for values in &columns {
            match (values.first(), median(values), values.last()) {
                (Some(low), Some(median), Some(high)) => {
                    text += &format!(" {} ({} to {}) |", thousands(median), thousands(*low), thousands(*high));
                }
                _ => text += " |",
            }
        }
        if compared {
            let of = |system: &str| median(&values(runs, system, operation.name));
            text += &match (of("xen"), of("ferroxen")) {
                (Some(xen), Some(ours)) => format!(" {:.2} |", ours as f64 / xen.max(1) as f64),
                _ => " |".to_owned(),
            };
        }
        text += "\n";
    }
    text
}

fn heading(unit: &str, systems: &[String], more: &[&str]) -> String {
    let mut text = format!("| {unit} |");
    for column in systems.iter().map(|system| title(system)).chain(more.iter().copied()) {
        text += &format!(" {column} |");
    }
    text + &format!("\n|---|{}\n", "---:|".repeat(systems.len() + more.len()))
}

/// The figures of all runs, from low to high.
fn values(runs: &BTreeMap<String, Vec<Figures>>, system: &str, name: &str) -> Vec<u64> {
    let mut values: Vec<u64> =
        runs.get(system).into_iter().flatten().filter_map(|row| row.get(name)).copied().collect();
    values.sort_unstable();
    values
}

fn median(sorted: &[u64]) -> Option<u64> {
    sorted.get(sorted.len() / 2).copied()
}

/// The rows of the chart of instructions.
pub fn instruction_rows(systems: &[String], figures: &BTreeMap<String, Figures>) -> Vec<Row<'static>> {
    rows(|name| systems.iter().map(|system| figures.get(system)?.get(name).copied()).collect())
}

/// The rows of the chart of wall-clock medians.
pub fn median_rows(systems: &[String], runs: &BTreeMap<String, Vec<Figures>>) -> Vec<Row<'static>> {
    rows(|name| systems.iter().map(|system| median(&values(runs, system, name))).collect())
}

fn rows(figures: impl Fn(&str) -> Vec<Option<u64>>) -> Vec<Row<'static>> {
    let times = OPERATIONS.iter().filter(|operation| operation.unit.is_time());
    times.map(|operation| Row { name: operation.name, figures: figures(operation.name) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(value: u64) -> Figures {
        OPERATIONS.iter().map(|operation| (operation.name.to_owned(), value)).collect()
    }

    #[test]
    fn a_ratio_above_its_limit_is_marked() {
        let figures = BTreeMap::from([("xen".to_owned(), row(1000)), ("ferroxen".to_owned(), row(800))]);
        let text = instructions(&["xen".to_owned(), "ferroxen".to_owned()], &figures);
        assert!(text.contains("| getppid | 1,000 | 800 | 0.80 ! | 0.70 |"), "{text}");
        assert!(text.contains("| page-fault | 1,000 | 800 | 0.80 | 0.92 |"), "{text}");
        assert!(text.contains("| signal | 1,000 | 800 | 0.80 | |"), "{text}");
        assert!(text.contains("| create-warm | 1,000 | 800 | 0.80 ! | 0.50 |"), "{text}");
        assert_eq!(text.matches("| instructions | Xen 4.17 |").count(), 4, "{text}");
    }

    #[test]
    fn the_wall_clock_shows_median_spread_and_ratio() {
        let runs = BTreeMap::from([
            ("xen".to_owned(), vec![row(300), row(100), row(200)]),
            ("ferroxen".to_owned(), vec![row(50), row(150), row(100)]),
        ]);
        let text = wall_clock(&["xen".to_owned(), "ferroxen".to_owned()], &runs);
        assert!(text.contains("| getppid | 200 (100 to 300) | 100 (50 to 150) | 0.50 |"), "{text}");
    }
}
