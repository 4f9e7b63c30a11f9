//! What is shown of a domain, from two snapshots of the machine.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;
use xenstat::snapshot::{Disk, Domain, Host, Nic, Snapshot, SourceKind, Vcpu};

use super::clean::{Charset, clean};

/// KiB of a frame.
const FRAME_KIB: u64 = 4;
/// `SHUTDOWN_crash`.
const CRASH: u8 = 3;
/// From here on a limit of frames is none.
const NO_LIMIT: u64 = u32::MAX as u64 - 1;
/// How many loads are kept of each domain.
pub const KEPT: usize = 240;

/// A domain, as long as it lives: numbers are used again.
pub type Key = (u16, [u8; 16]);

/// A domain.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Which.
    pub key: Key,
    /// Its name, fit for a terminal.
    pub name: String,
    /// Dying, shut down, blocked, crashed, paused, running.
    pub state: String,
    /// Nanoseconds that it ran.
    pub cpu_ns: u64,
    /// Percent of one CPU since the snapshot before.
    pub cpu_percent: f64,
    /// Memory.
    pub memory_kib: u64,
    /// Percent of the machine's.
    pub memory_percent: f64,
    /// How much it may have; `None`: there is no limit.
    pub most_kib: Option<u64>,
    /// Percent of the machine's.
    pub most_percent: Option<f64>,
    /// Vcpus that are online.
    pub online: u32,
    /// All vcpus.
    pub vcpus: Vec<Vcpu>,
    /// Network cards.
    pub nics: Vec<Nic>,
    /// Disks.
    pub disks: Vec<Disk>,
    /// Number of its security label.
    pub ssid: u32,
}

impl Row {
    /// Its number.
    pub fn domid(&self) -> u16 {
        self.key.0
    }

    /// Sum over its network cards.
    pub fn of_nics(&self, what: impl Fn(&Nic) -> u64) -> u64 {
        self.nics.iter().fold(0, |sum, nic| sum.saturating_add(what(nic)))
    }

    /// Sum over its disks.
    pub fn of_disks(&self, what: impl Fn(&Disk) -> u64) -> u64 {
        self.disks.iter().fold(0, |sum, disk| sum.saturating_add(what(disk)))
    }
}

/// How many domains are in a state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// All.
    pub all: usize,
    /// Running, blocked, paused, crashed, dying, shut down.
    pub states: [usize; 6],
}

/// What is known: the last snapshot, and what of earlier ones it takes to read it.
#[derive(Debug)]
pub struct Figures {
    charset: Charset,
    /// The machine, as far as it was ever told.
    pub host: Host,
    /// Domains, by number.
    pub rows: Vec<Row>,
    /// Their states.
    pub census: Census,
    /// What could not be asked, in a line.
    pub problem: Option<String>,
    loads: HashMap<Key, VecDeque<f64>>,
    names: HashMap<Key, String>,
    before: HashMap<Key, u64>,
    taken: Option<Duration>,
}

impl Figures {
    /// Before the first snapshot.
    pub fn new(charset: Charset) -> Figures {
        Figures {
            charset,
            host: Host::default(),
            rows: Vec::new(),
            census: Census::default(),
            problem: None,
            loads: HashMap::new(),
            names: HashMap::new(),
            before: HashMap::new(),
            taken: None,
        }
    }

    /// Takes a snapshot that was begun at `now`, on any clock that only goes forward.
    pub fn take(&mut self, snapshot: Snapshot, now: Duration) {
        let failed = |source: SourceKind| {
            let asked = snapshot.asked.iter().find(|asked| asked.source == source);
            asked.and_then(|asked| asked.error.clone())
        };
        let deaf = failed(SourceKind::Hypervisor);
        let away = failed(SourceKind::Xenstore);
        let devices = failed(SourceKind::Block).or_else(|| failed(SourceKind::Network));
        let problem = match (&deaf, &away, devices) {
            (Some(why), _, _) => Some(format!("the hypervisor does not answer, older figures stay: {why}")),
            (_, Some(why), _) => Some(format!("xenstored does not answer, names are the last known ones: {why}")),
            (_, _, Some(why)) => Some(format!("devices are missing: {why}")),
            _ => None,
        };
        self.problem = problem.map(|line| clean(&line, self.charset));
        if let Some(host) = snapshot.host {
            self.host = host;
        }
        // A list that could not be had is not an empty one.
        if deaf.is_some() && snapshot.domains.is_empty() {
            return;
        }
        let passed = self.taken.map(|taken| now.saturating_sub(taken).as_nanos() as f64).filter(|passed| *passed > 0.0);
        self.rows = snapshot.domains.into_iter().map(|domain| self.row(domain, passed, away.is_some())).collect();
        self.taken = Some(now);
        self.before = self.rows.iter().map(|row| (row.key, row.cpu_ns)).collect();
        let there: HashSet<Key> = self.before.keys().copied().collect();
        self.loads.retain(|key, _| there.contains(key));
        self.names.retain(|key, _| there.contains(key));
        for row in &self.rows {
            let full = f64::from(row.online.max(1)) * 100.0;
            let loads = self.loads.entry(row.key).or_default();
            if passed.is_some() {
                loads.push_back((row.cpu_percent / full).clamp(0.0, 1.0));
            }
            while loads.len() > KEPT {
                loads.pop_front();
            }
        }
        self.census = census(&self.rows);
    }

    fn row(&mut self, domain: Domain, passed: Option<f64>, away: bool) -> Row {
        let Domain { info, name, vcpus, disks, nics, .. } = domain;
        let key = (info.domid, info.uuid);
        let name = match name {
            Some(name) => clean(&name, self.charset),
            // As xm list has it.
            None => self.names.get(&key).filter(|_| away).cloned().unwrap_or_else(|| "(null)".to_owned()),
        };
        if !away {
            self.names.insert(key, name.clone());
        }
        // A vcpu's time is never taken back; a clock that is read twice may be.
        let ran = self.before.get(&key).map(|before| info.cpu_time.saturating_sub(*before));
        let cpu_percent = match (ran, passed) {
            (Some(ran), Some(passed)) => ran as f64 * 100.0 / passed,
            _ => 0.0,
        };
        let all = self.host.memory / 1024;
        let percent = |kib: u64| if all == 0 { 0.0 } else { kib as f64 * 100.0 / all as f64 };
        let memory_kib = info.pages.saturating_mul(FRAME_KIB);
        let most_kib = (info.max_pages < NO_LIMIT).then(|| info.max_pages.saturating_mul(FRAME_KIB));
        let crashed = info.shutdown() == Some(CRASH);
        let letters = [
            (info.dying(), 'd'),
            (info.shutdown().is_some() && !crashed, 's'),
            (info.blocked(), 'b'),
            (crashed, 'c'),
            (info.paused(), 'p'),
            (info.running(), 'r'),
        ];
        Row {
            key,
            name,
            state: letters.iter().map(|(is, letter)| if *is { *letter } else { '-' }).collect(),
            cpu_ns: info.cpu_time,
            cpu_percent,
            memory_kib,
            memory_percent: percent(memory_kib),
            most_kib,
            most_percent: most_kib.map(percent),
            online: info.online_vcpus,
            vcpus,
            nics,
            disks,
            ssid: info.ssid,
        }
    }

    /// The last loads of a domain, as parts of all of its vcpus: 0.0 to 1.0, the newest last.
    pub fn loads(&self, key: &Key) -> impl DoubleEndedIterator<Item = f64> {
        self.loads.get(key).into_iter().flatten().copied()
    }
}

fn census(rows: &[Row]) -> Census {
    let with = |letter: char| rows.iter().filter(|row| row.state.contains(letter)).count();
    Census { all: rows.len(), states: ['r', 'b', 'p', 'c', 'd', 's'].map(with) }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use xenctl::DomainInfo;
    use xenstat::collect::collect;
    use xenstat::fake::{Fake, disk, domain, nic};

    /// A machine with these domains.
    pub fn machine(domains: Vec<DomainInfo>, name: &str) -> Fake {
        Fake {
            lists: vec![domains],
            name: name.to_owned(),
            disks: vec![disk(3)],
            nics: vec![nic(3)],
            ..Fake::default()
        }
    }

    /// A domain that ran for so many milliseconds.
    pub fn ran(domid: u16, milliseconds: u64) -> DomainInfo {
        let mut info = domain(domid, 1);
        info.cpu_time = milliseconds * 1_000_000;
        info
    }

    fn after(figures: &mut Figures, seconds: u64, mut machine: Fake) {
        figures.take(collect(&mut machine), Duration::from_secs(seconds));
    }

    #[test]
    fn the_load_is_what_ran_between_two_snapshots() {
        let mut figures = Figures::new(Charset::Ascii);
        after(&mut figures, 10, machine(vec![ran(0, 500), ran(3, 1000)], "guest"));
        assert_eq!(figures.rows.iter().map(|row| row.cpu_percent).collect::<Vec<_>>(), [0.0, 0.0]);
        assert_eq!(figures.loads(&(3, [1; 16])).count(), 0, "one snapshot is no load");
        after(&mut figures, 12, machine(vec![ran(0, 1000), ran(3, 4000)], "guest"));
        assert_eq!(figures.rows.iter().map(|row| row.cpu_percent).collect::<Vec<_>>(), [25.0, 150.0]);
        assert_eq!(
            figures.loads(&(3, [1; 16])).collect::<Vec<_>>(),
            [1.0],
            "of one vcpu, a bar is never above its top"
        );
        // The number goes to another domain, which has run for less.
        let mut other = domain(3, 9);
        other.cpu_time = 5;
        after(&mut figures, 14, machine(vec![ran(0, 1000), other], "guest"));
        assert_eq!(figures.rows.iter().map(|row| row.cpu_percent).collect::<Vec<_>>(), [0.0, 0.0]);
        assert_eq!(figures.loads(&(3, [1; 16])).count(), 0, "nothing is kept of who went");
        // Time stands still.
        after(&mut figures, 14, machine(vec![ran(0, 2000)], "guest"));
        assert_eq!(figures.rows.iter().map(|row| row.cpu_percent).collect::<Vec<_>>(), [0.0]);
    }

    #[test]
    fn shares_of_memory_are_of_the_machine() {
        let mut figures = Figures::new(Charset::Ascii);
        after(&mut figures, 1, machine(vec![domain(0, 0), domain(3, 1)], "guest"));
        let shares: Vec<_> = figures.rows.iter().map(|row| (row.memory_kib, row.most_kib, row.most_percent)).collect();
        let four = 4.0 * 100.0 / 4096.0;
        assert_eq!(shares, [(1024, None, None), (4096, Some(4096), Some(four))]);
        assert_eq!(
            (figures.rows[1].memory_percent, figures.census),
            (four, Census { all: 2, states: [1, 1, 0, 0, 0, 0] })
        );
        assert_eq!([&*figures.rows[0].state, &*figures.rows[1].state], ["-----r", "--b---"]);
    }

    #[test]
    fn names_outlive_a_store_that_is_away_and_no_domain() {
        let mut figures = Figures::new(Charset::Ascii);
        let domains = || vec![domain(0, 0), domain(3, 1)];
        after(&mut figures, 1, machine(domains(), "gu\x1best"));
        assert_eq!((&*figures.rows[1].name, &figures.problem), ("gu?est", &None));
        after(&mut figures, 2, Fake { broken: &["names"], ..machine(domains(), "") });
        assert_eq!(&*figures.rows[1].name, "gu?est");
        assert!(figures.problem.as_ref().is_some_and(|line| line.contains("xenstored")), "{:?}", figures.problem);
        after(&mut figures, 3, Fake { broken: &["names"], ..machine(vec![domain(0, 0), domain(3, 2)], "") });
        assert_eq!(&*figures.rows[1].name, "(null)", "another domain with its number");
        after(&mut figures, 4, machine(domains(), "back"));
        assert_eq!((&*figures.rows[1].name, &figures.problem), ("back", &None));
    }

    #[test]
    fn a_hypervisor_that_does_not_answer_takes_nothing_away() {
        let mut figures = Figures::new(Charset::Ascii);
        after(&mut figures, 1, machine(vec![domain(0, 0), domain(3, 1)], "guest"));
        after(&mut figures, 2, Fake { broken: &["host", "domains"], ..machine(Vec::new(), "") });
        assert_eq!((figures.rows.len(), figures.host.cpus), (2, 2));
        assert!(figures.problem.as_ref().is_some_and(|line| line.contains("hypervisor")));
    }

    #[test]
    fn loads_have_a_bound() {
        let mut figures = Figures::new(Charset::Ascii);
        for second in 0..1000 {
            after(&mut figures, second, machine(vec![ran(0, second * 500)], ""));
        }
        assert_eq!(figures.loads(&(0, [1; 16])).collect::<Vec<_>>(), vec![0.5; KEPT]);
    }
}
