//! Our xenstored beside Debian's two on this machine, without a hypervisor: `tools/xenstored/peer/compare.sh`.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result};

use crate::paths::Paths;
use crate::process;
use crate::setup::{Parts, XenRelease};
use crate::ui;

/// Seconds of each load.
const SECONDS: &str = "3";

/// For each daemon, its figures by name: operations per CPU-second of a load, KiB of some nodes.
pub type Daemons = BTreeMap<String, BTreeMap<String, u64>>;

/// Runs all three, one after the other.
pub fn measure(paths: &Paths) -> Result<Daemons> {
    ui::step("xenstored on this machine");
    let tools = Parts::new(paths).xen_tools(XenRelease::V4_17)?;
    let mut cmd = Command::new("bash");
    cmd.arg(paths.root.join("tools/xenstored/peer/compare.sh")).arg(&tools.root).arg(SECONDS);
    let text = process::output(&mut cmd).context("xenstored cannot be compared")?;
    Ok(daemons(&text))
}

/// What the script printed: `== DAEMON`, then lines of xenstore-bench.
fn daemons(text: &str) -> Daemons {
    let mut all = Daemons::new();
    let mut now = None;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("== ") {
            now = Some(name.split(':').next().unwrap_or(name).to_owned());
            continue;
        }
        let (Some(name), Some((figure, value))) = (&now, figure(line)) else { continue };
        all.entry(name.clone()).or_default().insert(figure, value);
    }
    all
}

fn figure(line: &str) -> Option<(String, u64)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        [load @ ("read" | "write" | "mixed"), _, per_cpu_second, _] => {
            Some((format!("{load}, operations per CPU-second"), per_cpu_second.parse().ok()?))
        }
        [nodes, "nodes", "more:", kib, "KiB", ..] => Some((format!("memory of {nodes} nodes, KiB"), kib.parse().ok()?)),
        _ => None,
    }
}

/// The table, with our ratio to each of the others.
pub fn table(daemons: &Daemons) -> String {
    let ours = daemons.iter().find(|(name, _)| name.contains("supervised"));
    let others: Vec<_> = daemons.iter().filter(|(name, _)| name.contains("Debian")).collect();
    let mut text = String::from("| | ours |");
    for (name, _) in &others {
        text += &format!(" {} | ours ÷ it |", name.trim_start_matches("Debian's "));
    }
    text += &format!("\n|---|---:|{}\n", "---:|---:|".repeat(others.len()));
    for (figure, value) in ours.into_iter().flat_map(|(_, figures)| figures) {
        text += &format!("| {figure} | {} |", super::thousands(*value));
        for (_, figures) in &others {
            text += &match figures.get(figure) {
                Some(other) => {
                    format!(" {} | {:.2} |", super::thousands(*other), *value as f64 / (*other).max(1) as f64)
                }
                None => " | |".to_owned(),
            };
        }
        text += "\n";
    }
    text + "\nAsked for: 3 times C xenstored's operations, 2 times oxenstored's; memory no worse.\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "== ours, supervised\n2160 nodes more: 900 KiB more (anonymous memory of the daemon)\n\
        read      200000   300000   66%\nsingle client, one write at a time: median 10µs, 99 % within 20µs\n\
        == Debian's C xenstored\n2160 nodes more: 1000 KiB more (anonymous memory of the daemon)\n\
        read       50000    60000   90%\n== Debian's oxenstored: left out, it exists\n";

    #[test]
    fn the_scripts_output_becomes_figures_and_ratios() {
        let all = daemons(TEXT);
        assert_eq!(all.len(), 2);
        let text = table(&all);
        assert!(text.contains("| read, operations per CPU-second | 300,000 | 60,000 | 5.00 |"), "{text}");
        assert!(text.contains("| memory of 2160 nodes, KiB | 900 | 1,000 | 0.90 |"), "{text}");
    }
}
