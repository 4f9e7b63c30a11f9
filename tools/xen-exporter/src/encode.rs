//! A scrape in the text formats of Prometheus and OpenMetrics. docs/metrics.md explains every metric.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::sync::Arc;
use toolstack::uuid;
use xenstat::snapshot::{Disk, Domain, Nic, Snapshot, Traffic, Vcpu};

/// Bytes of a frame.
const FRAME: u64 = 4096;

/// How a scrape is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Prometheus' own format, 0.0.4: all scrapers and node_exporter's textfile collector read it.
    Prometheus,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The one that a client's `Accept` asks for.
    pub fn accepted(accept: Option<&str>) -> Format {
        match accept {
            Some(accept) if accept.contains("application/openmetrics-text") => Format::OpenMetrics,
            _ => Format::Prometheus,
        }
    }

    /// Its name for HTTP.
    pub const fn content_type(self) -> &'static str {
        match self {
            Format::Prometheus => prometheus_text::CONTENT_TYPE,
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Tells a scrape.
///
/// # Errors
/// None that this crate's own metrics can cause.
pub fn encode(snapshot: &Arc<Snapshot>, format: Format) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Told(snapshot.clone())));
    let mut out = String::new();
    match format {
        Format::Prometheus => prometheus_text::encode(&mut out, &registry)?,
        Format::OpenMetrics => text::encode(&mut out, &registry)?,
    }
    Ok(out)
}

#[derive(Debug)]
struct Told(Arc<Snapshot>);

/// A number as it is written.
#[derive(Clone, Copy)]
enum Number {
    Whole(u64),
    Real(f64),
}
use Number::{Real, Whole};

fn seconds(nanoseconds: u64) -> Number {
    Real(nanoseconds as f64 / 1e9)
}

fn flag(is: bool) -> Number {
    Whole(is.into())
}

type Label = (&'static str, String);
type Row = (Vec<Label>, Number);

/// Writes family after family; one without a row is left out.
struct Families<'a>(DescriptorEncoder<'a>);

impl Families<'_> {
    fn family(
        &mut self,
        kind: MetricType,
        (name, unit): (&str, Option<Unit>),
        help: &str,
        rows: impl IntoIterator<Item = Row>,
    ) -> fmt::Result {
        let mut rows = rows.into_iter().peekable();
        if rows.peek().is_none() {
            return Ok(());
        }
        let mut family = self.0.encode_descriptor(name, help, unit.as_ref(), kind)?;
        for (labels, number) in rows {
            if kind == MetricType::Info {
                family.encode_info(&labels)?;
                continue;
            }
            let mut metric = family.encode_family(&labels)?;
            match (kind, number) {
                (MetricType::Counter, Whole(n)) => metric.encode_counter::<NoLabelSet, _, f64>(&n, None)?,
                (MetricType::Counter, Real(n)) => metric.encode_counter::<NoLabelSet, _, f64>(&n, None)?,
                (_, Whole(n)) => metric.encode_gauge(&n)?,
                (_, Real(n)) => metric.encode_gauge(&n)?,
            }
        }
        Ok(())
    }

    fn gauge(&mut self, name: (&str, Option<Unit>), help: &str, rows: impl IntoIterator<Item = Row>) -> fmt::Result {
        self.family(MetricType::Gauge, name, help, rows)
    }

    fn counter(&mut self, name: (&str, Option<Unit>), help: &str, rows: impl IntoIterator<Item = Row>) -> fmt::Result {
        self.family(MetricType::Counter, name, help, rows)
    }
}

const fn plain(name: &str) -> (&str, Option<Unit>) {
    (name, None)
}

const fn in_bytes(name: &str) -> (&str, Option<Unit>) {
    (name, Some(Unit::Bytes))
}

const fn in_seconds(name: &str) -> (&str, Option<Unit>) {
    (name, Some(Unit::Seconds))
}

impl Collector for Told {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut out = Families(encoder);
        let Snapshot { domains, .. } = &*self.0;
        host(&mut out, &self.0)?;
        of_domains(&mut out, domains)?;
        vcpus(&mut out, domains)?;
        disks(&mut out, domains)?;
        nics(&mut out, domains)?;
        xenstore(&mut out, &self.0)?;
        own(&mut out, &self.0)
    }
}

fn host(out: &mut Families<'_>, snapshot: &Snapshot) -> fmt::Result {
    let Some(host) = &snapshot.host else { return Ok(()) };
    let one = |number| [(Vec::new(), number)];
    let told = vec![
        ("version", host.version.clone()),
        ("changeset", host.changeset.clone()),
        ("scheduler", host.scheduler.to_owned()),
    ];
    out.family(MetricType::Info, plain("xen"), "The hypervisor", [(told, Whole(1))])?;
    let uptime = host.uptime.map(|uptime| (Vec::new(), seconds(uptime)));
    out.gauge(in_seconds("xen_host_uptime"), "Time since the hypervisor was started", uptime)?;
    out.gauge(plain("xen_host_cpus"), "Physical CPUs that run guests", one(Whole(host.cpus.into())))?;
    let hertz = ("xen_host_cpu_frequency", Some(Unit::Other("hertz".to_owned())));
    out.gauge(hertz, "Frequency of the physical CPUs", one(Whole(host.cpu_hertz)))?;
    let idle = host.idle.iter().enumerate().map(|(cpu, idle)| (vec![("cpu", cpu.to_string())], seconds(*idle)));
    out.counter(in_seconds("xen_host_cpu_idle"), "Time that a physical CPU had nothing to do", idle)?;
    out.gauge(in_bytes("xen_host_memory"), "Memory of the machine", one(Whole(host.memory)))?;
    out.gauge(in_bytes("xen_host_memory_free"), "Memory that nobody has", one(Whole(host.free_memory)))?;
    let help = "Memory that is free and promised to domains";
    out.gauge(in_bytes("xen_host_memory_claimed"), help, one(Whole(host.claimed_memory)))?;
    out.gauge(plain("xen_domains"), "Domains", one(Whole(snapshot.domains.len() as u64)))
}

/// What says whose a number is.
fn labels(domain: &Domain) -> Vec<Label> {
    let name = domain.name.as_deref().unwrap_or(if domain.info.domid == 0 { "Domain-0" } else { "" });
    vec![("domid", domain.info.domid.to_string()), ("name", name.to_owned()), ("uuid", uuid::format(&domain.info.uuid))]
}

fn more(mut labels: Vec<Label>, label: &'static str, value: impl ToString) -> Vec<Label> {
    labels.push((label, value.to_string()));
    labels
}

fn of_domains(out: &mut Families<'_>, domains: &[Domain]) -> fmt::Result {
    fn each(domains: &[Domain], f: impl Fn(&Domain) -> Option<Number>) -> impl Iterator<Item = Row> {
        domains.iter().filter_map(move |domain| Some((labels(domain), f(domain)?)))
    }
    /// More than any domain has: it has no limit.
    const NO_LIMIT: u64 = u32::MAX as u64;
    const CRASHED: u8 = 3;
    let state = |domain: &Domain| {
        let info = &domain.info;
        let shutdown = info.shutdown();
        [
            ("running", info.running()),
            ("blocked", info.blocked()),
            ("paused", info.paused()),
            ("shutdown", shutdown.is_some()),
            ("crashed", shutdown == Some(CRASHED)),
            ("dying", info.dying()),
        ]
    };
    let states = domains
        .iter()
        .flat_map(|domain| state(domain).map(|(name, is)| (more(labels(domain), "state", name), flag(is))));
    out.gauge(plain("xen_domain_state"), "What a domain does: 1 for each state that it is in", states)?;
    let help = "When a domain was started, since 1970";
    out.gauge(in_seconds("xen_domain_start_time"), help, each(domains, |domain| domain.started.map(Real)))?;
    let help = "Time that the vcpus of a domain ran";
    out.counter(in_seconds("xen_domain_cpu"), help, each(domains, |domain| Some(seconds(domain.info.cpu_time))))?;
    let vcpus = |domain: &Domain| Whole(domain.info.max_vcpu_id.map_or(0, |last| u64::from(last) + 1));
    out.gauge(plain("xen_domain_vcpus"), "Vcpus that a domain can have", each(domains, |domain| Some(vcpus(domain))))?;
    let online = |domain: &Domain| Some(Whole(domain.info.online_vcpus.into()));
    out.gauge(plain("xen_domain_vcpus_online"), "Vcpus that are online", each(domains, online))?;
    let memory = |pages: u64| Some(Whole(pages.saturating_mul(FRAME)));
    out.gauge(in_bytes("xen_domain_memory"), "Memory of a domain", each(domains, |domain| memory(domain.info.pages)))?;
    let most = |domain: &Domain| memory(domain.info.max_pages).filter(|_| domain.info.max_pages < NO_LIMIT);
    let help = "Memory that a domain may have; missing without a limit";
    out.gauge(in_bytes("xen_domain_memory_max"), help, each(domains, most))?;
    let claimed = |domain: &Domain| memory(domain.info.outstanding_pages);
    let help = "Free memory that is promised to a domain";
    out.gauge(in_bytes("xen_domain_memory_claimed"), help, each(domains, claimed))
}

fn vcpus(out: &mut Families<'_>, domains: &[Domain]) -> fmt::Result {
    let each = || {
        domains
            .iter()
            .flat_map(|domain| domain.vcpus.iter().map(|vcpu: &Vcpu| (more(labels(domain), "vcpu", vcpu.id), vcpu)))
    };
    let online = each().map(|(labels, vcpu)| (labels, flag(vcpu.online)));
    out.gauge(plain("xen_vcpu_online"), "Whether a vcpu is online", online)?;
    let states = each().flat_map(|(labels, vcpu)| {
        let all = vcpu.states.map(|times| {
            vec![
                ("running", times.running),
                ("runnable", times.runnable),
                ("blocked", times.blocked),
                ("offline", times.offline),
            ]
        });
        let times = all.unwrap_or_else(|| vec![("running", vcpu.running)]);
        times.into_iter().map(move |(state, time)| (more(labels.clone(), "state", state), seconds(time)))
    });
    let help = "Time that a vcpu ran, waited for a CPU (runnable), waited for an event (blocked), was down or paused (offline); \
                runnable is what its guest sees as stolen";
    out.counter(in_seconds("xen_vcpu"), help, states)?;
    let hypercalls = each().filter_map(|(labels, vcpu)| Some((labels, Whole(vcpu.hypercalls?))));
    out.counter(plain("xen_vcpu_hypercalls"), "Hypercalls of a vcpu", hypercalls)
}

fn disks(out: &mut Families<'_>, domains: &[Domain]) -> fmt::Result {
    let each = || {
        domains.iter().flat_map(|domain| {
            domain.disks.iter().filter(|disk| disk.counts).map(|disk: &Disk| {
                let labels = more(labels(domain), "device", &disk.device);
                (more(labels, "backend", disk.backend), disk)
            })
        })
    };
    let requests = each().flat_map(|(labels, disk)| {
        let all = disk.requests;
        let all = [("read", all.read), ("write", all.write), ("flush", all.flush), ("discard", all.discard)];
        all.map(|(operation, count)| (more(labels.clone(), "operation", operation), Whole(count)))
    });
    out.counter(plain("xen_domain_block_requests"), "Requests of a disk that its backend took", requests)?;
    let bytes = each().flat_map(|(labels, disk)| {
        [("read", disk.read_bytes), ("write", disk.written_bytes)]
            .map(|(operation, count)| (more(labels.clone(), "operation", operation), Whole(count)))
    });
    out.counter(in_bytes("xen_domain_block"), "Bytes that a guest read from a disk and wrote to it", bytes)?;
    let missed = each().filter_map(|(labels, disk)| Some((labels, Whole(disk.out_of_requests?))));
    out.counter(plain("xen_domain_block_out_of_requests"), "How often a backend had no room for a request", missed)
}

fn nics(out: &mut Families<'_>, domains: &[Domain]) -> fmt::Result {
    type Part = fn(&Traffic) -> u64;
    type Way = fn(&Nic) -> &Traffic;
    let each = |way: Way, part: Part| {
        domains.iter().flat_map(move |domain| {
            let row = move |nic: &Nic| (more(labels(domain), "device", nic.device), Whole(part(way(nic))));
            domain.nics.iter().map(row)
        })
    };
    let received: Way = |nic| &nic.received;
    let transmitted: Way = |nic| &nic.transmitted;
    let bytes: Part = |traffic| traffic.bytes;
    out.counter(in_bytes("xen_domain_network_receive"), "Bytes that a guest received", each(received, bytes))?;
    out.counter(in_bytes("xen_domain_network_transmit"), "Bytes that a guest sent", each(transmitted, bytes))?;
    let packets: Part = |traffic| traffic.packets;
    let name = plain("xen_domain_network_receive_packets");
    out.counter(name, "Packets that a guest received", each(received, packets))?;
    let name = plain("xen_domain_network_transmit_packets");
    out.counter(name, "Packets that a guest sent", each(transmitted, packets))?;
    let dropped: Part = |traffic| traffic.dropped;
    let name = plain("xen_domain_network_receive_drop");
    out.counter(name, "Packets to a guest that were dropped", each(received, dropped))?;
    let name = plain("xen_domain_network_transmit_drop");
    out.counter(name, "Packets of a guest that were dropped", each(transmitted, dropped))
}

fn xenstore(out: &mut Families<'_>, snapshot: &Snapshot) -> fmt::Result {
    let limits = snapshot.quotas.iter().map(|(name, limit)| (vec![("resource", name.clone())], Whole(*limit)));
    out.gauge(plain("xen_xenstore_quota"), "What xenstored allows each domain but domain 0", limits)?;
    let used = snapshot.domains.iter().flat_map(|domain| {
        domain.usage.iter().map(|(name, used)| (more(labels(domain), "resource", name), Whole(*used)))
    });
    out.gauge(plain("xen_domain_xenstore_usage"), "What a domain uses of it", used)
}

fn own(out: &mut Families<'_>, snapshot: &Snapshot) -> fmt::Result {
    let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
    out.family(MetricType::Info, plain("xen_exporter"), "This exporter", [(version, Whole(1))])?;
    let source = |asked: &xenstat::snapshot::Asked| vec![("source", asked.source.name().to_owned())];
    let errors = snapshot.asked.iter().map(|asked| (source(asked), flag(asked.error.is_some())));
    let help = "1 if something could not be asked for: what it would have said is missing";
    out.gauge(plain("xen_exporter_scrape_error"), help, errors)?;
    let took = snapshot.asked.iter().map(|asked| (source(asked), Real(asked.took.as_secs_f64())));
    out.gauge(in_seconds("xen_exporter_scrape_duration"), "How long a source was asked", took)
}
