//! What a scrape says, word by word.
#![allow(clippy::unwrap_used)]

mod common;

use common::strict;
use std::sync::Arc;
use std::time::Duration;
use xen_exporter::encode::{Format, encode};
use xenstat::collect::collect;
use xenstat::fake::{Fake, disk, domain, nic};
use xenstat::snapshot::Snapshot;

/// A name that closes the quotes and begins a line and a label of its own.
const HOSTILE: &str = "a\"} 1\nxen_domains 99\\";

fn scrape(mut from: Fake) -> Snapshot {
    let mut snapshot = collect(&mut from);
    // The one thing that is not the same each time.
    snapshot.asked.iter_mut().for_each(|asked| asked.took = Duration::from_millis(1));
    snapshot
}

fn busy() -> Fake {
    Fake {
        lists: vec![vec![domain(0, 0), domain(3, 0xab)]],
        name: HOSTILE.to_owned(),
        disks: vec![disk(3)],
        nics: vec![nic(3)],
        ..Fake::default()
    }
}

#[test]
fn both_texts_are_as_written_down_and_can_be_read() {
    let snapshot = Arc::new(scrape(busy()));
    for (format, file) in [(Format::Prometheus, "metrics.prom"), (Format::OpenMetrics, "metrics.openmetrics")] {
        let text = encode(&snapshot, format).unwrap();
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
        if std::env::var_os("WRITE_GOLDEN").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let samples = strict::read(&text, format);
        let uuid = "abababab-abab-abab-abab-abababababab";
        let of = |series: String| samples.get(&series).copied();
        let cpu = format!("xen_domain_cpu_seconds_total{{domid=3,name={HOSTILE},uuid={uuid}}}");
        assert_eq!(of(cpu), Some(1.5));
        let disk = format!("backend=vbd,device=xvda,domid=3,name={HOSTILE},operation=write,uuid={uuid}");
        assert_eq!(of(format!("xen_domain_block_bytes_total{{{disk}}}")), Some(81_920.0));
        assert_eq!(samples.get("xen_domains{}"), Some(&2.0), "the name says nothing but itself");
        let golden = std::fs::read_to_string(&path).expect("WRITE_GOLDEN=1 writes it");
        assert_eq!(text, golden, "{file}; if that is wanted, WRITE_GOLDEN=1 writes it anew");
    }
}

#[test]
fn a_part_that_fails_is_named_and_takes_nothing_else_with_it() {
    for (broken, source) in [
        ("host", "hypervisor"),
        ("vcpu", "hypervisor"),
        ("names", "xenstore"),
        ("quotas", "xenstore_quota"),
        ("usage", "xenstore_quota"),
        ("disks", "block"),
        ("nics", "network"),
    ] {
        let broken: &'static [&'static str] = vec![broken].leak();
        let snapshot = scrape(Fake { broken, ..busy() });
        let text = encode(&Arc::new(snapshot), Format::Prometheus).unwrap();
        let samples = strict::read(&text, Format::Prometheus);
        let failed: Vec<_> = samples
            .iter()
            .filter(|(series, value)| series.starts_with("xen_exporter_scrape_error") && **value == 1.0)
            .map(|(series, _)| series.as_str())
            .collect();
        assert_eq!(failed, [format!("xen_exporter_scrape_error{{source={source}}}")]);
        assert!(text.contains("xen_domain_cpu_seconds_total{domid=\"3\""), "{broken:?}");
        assert!(samples.values().count() > 20, "{broken:?}");
    }
}

#[test]
fn without_an_answer_of_the_hypervisor_there_are_no_domains() {
    let snapshot = scrape(Fake { broken: &["host", "domains"], ..busy() });
    let samples = strict::read(&encode(&Arc::new(snapshot), Format::OpenMetrics).unwrap(), Format::OpenMetrics);
    assert_eq!(samples.get("xen_exporter_scrape_error{source=hypervisor}"), Some(&1.0));
    assert!(!samples.keys().any(|series| series.starts_with("xen_domain")));
}

#[test]
fn a_client_that_reads_openmetrics_gets_it() {
    let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
    assert_eq!(Format::accepted(Some(prometheus)), Format::OpenMetrics);
    assert_eq!(Format::accepted(Some("*/*")), Format::Prometheus);
    assert_eq!(Format::accepted(None), Format::Prometheus);
}
