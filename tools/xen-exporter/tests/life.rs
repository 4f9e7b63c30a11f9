//! A domain comes and goes on the real hypervisor's decisions and the real xenstored, in this process.
#![allow(clippy::unwrap_used)]

mod common;

use common::strict::{self, Samples};
use ferroxen_sim::control::Control;
use std::path::Path;
use std::sync::Arc;
use xen_exporter::encode::{Format, encode};
use xenctl::{CreateDomain, Xen};
use xenstat::collect::collect;
use xenstat::machine::Machine;
use xenstat::store::Store;
use xenstore::{Access as _, Xenstore};
use xenstored::daemon::{Config, Daemon};
use xenstored::rings::NoDomains;

fn start_store(dir: &Path) -> Xenstore {
    let config = Config {
        run_dir: dir.to_owned(),
        state_dir: dir.join("state"),
        quotas: Default::default(),
        limits: Default::default(),
        pid_file: None,
    };
    std::thread::spawn(move || Daemon::new(&config, None, NoDomains).unwrap().run().unwrap());
    loop {
        match Xenstore::open_socket(&dir.join("socket")) {
            Ok(store) => return store,
            Err(_) => std::thread::yield_now(),
        }
    }
}

fn scrape(machine: &mut Machine<Control>) -> Samples {
    let snapshot = Arc::new(collect(machine));
    strict::read(&encode(&snapshot, Format::OpenMetrics).unwrap(), Format::OpenMetrics)
}

#[test]
fn a_domain_is_told_of_as_long_as_it_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = start_store(dir.path());
    let control = Control::new(0x1000);
    let xen = Xen::new(control.clone()).unwrap();
    let files = |name: &str| dir.path().join(name);
    let mut machine =
        Machine::new(Xen::new(control).unwrap()).with(Store::at(files("socket")), files("backends"), files("blkback"));
    let first = scrape(&mut machine);
    assert_eq!(first.get("xen_domains{}"), Some(&1.0));
    assert_eq!(first.get("xen_xenstore_quota{resource=nodes}"), Some(&1000.0));
    assert!(first.iter().all(|(series, value)| !series.starts_with("xen_exporter_scrape_error") || *value == 0.0));
    assert!(first.keys().any(|series| series.starts_with("xen_info{")), "{first:?}");

    let new = CreateDomain {
        uuid: [7; 16],
        max_vcpus: 2,
        max_event_channels: 1023,
        max_grant_frames: None,
        max_maptrack_frames: None,
        cpupool: 0,
    };
    let domid = xen.create_domain(&new).unwrap();
    xen.set_max_vcpus(domid, 2).unwrap();
    let home = format!("/local/domain/{domid}");
    store.write(&format!("{home}/name"), b"guest").unwrap();
    store.write("/vm/07070707-0707-0707-0707-070707070707/start_time", b"1764190000.50").unwrap();
    let of = format!("domid={domid},name=guest,");
    let uuid = "uuid=07070707-0707-0707-0707-070707070707";
    let second = scrape(&mut machine);
    let value = |series: String| second.get(&series).copied();
    assert_eq!(value(format!("xen_domain_state{{{of}state=paused,{uuid}}}")), Some(1.0));
    assert_eq!(value(format!("xen_domain_vcpus{{{of}{uuid}}}")), Some(2.0));
    assert_eq!(value(format!("xen_domain_start_time_seconds{{{of}{uuid}}}")), Some(1_764_190_000.5));
    for state in ["running", "runnable", "blocked", "offline"] {
        assert!(value(format!("xen_vcpu_seconds_total{{{of}state={state},{uuid},vcpu=1}}")).is_some(), "{state}");
    }
    assert_eq!(value(format!("xen_vcpu_hypercalls_total{{{of}{uuid},vcpu=0}}")), Some(0.0));
    assert_eq!(value("xen_domains{}".to_owned()), Some(2.0));

    xen.destroy_domain(domid).unwrap();
    let third = scrape(&mut machine);
    assert!(!third.keys().any(|series| series.contains("guest")), "{third:?}");
    assert_eq!(third.get("xen_domains{}"), Some(&1.0));
}

#[test]
fn without_a_store_the_hypervisor_is_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let files = |name: &str| dir.path().join(name);
    let xen = Xen::new(Control::new(0x1000)).unwrap();
    let mut machine = Machine::new(xen).with(Store::at(files("socket")), files("backends"), files("blkback"));
    let samples = scrape(&mut machine);
    assert_eq!(samples.get("xen_exporter_scrape_error{source=xenstore}"), Some(&1.0));
    assert_eq!(samples.get("xen_exporter_scrape_error{source=hypervisor}"), Some(&0.0));
    assert_eq!(samples.get("xen_domains{}"), Some(&1.0));
}
