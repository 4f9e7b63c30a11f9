//! What is to be done so that the host is as the folder says: a function of both alone.

use super::change::{Change, same_card, same_disk};
use super::fields::{self, Difference, address, differences, fixed, told};
use super::read::Wanted;
use crate::{Disk, DomainConfig, Vif};

/// What a running domain is and has, as far as it can be changed while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// The memory that its balloon is to reach, in KiB.
    pub memory_kib: u64,
    /// The most memory, in KiB.
    pub max_memory_kib: u64,
    /// Vcpus that it is to use.
    pub vcpus: u32,
    /// Vcpus that it has.
    pub max_vcpus: u32,
    /// Its CPU pool: number and name.
    pub pool: (u32, String),
    /// Its disks.
    pub disks: Vec<Disk>,
    /// Its network cards with their numbers.
    pub cards: Vec<(u32, Vif)>,
}

/// What is known of a domain of these tools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The configuration of its next start.
    pub next: DomainConfig,
    /// The configuration that it was started with.
    pub started: DomainConfig,
    /// What it is now.
    pub live: Live,
}

/// A domain that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Its number.
    pub domid: u16,
    /// Its UUID.
    pub uuid: [u8; 16],
    /// Its name.
    pub name: String,
    /// It has ended, and stays for a look.
    pub ended: bool,
    /// `None`: it was not made by these tools.
    pub known: Option<Known>,
}

/// What the user allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Domains may be started anew.
    pub restart: bool,
    /// Domains that are not in the folder are shut down.
    pub prune: bool,
}

/// Something to be done.
#[allow(clippy::large_enum_variant, reason = "a plan has a few of them")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// A domain is shut down.
    Shutdown,
    /// A running domain is changed.
    Change(Change),
    /// A domain is shut down and started with another configuration.
    Restart(Box<DomainConfig>),
    /// A domain is created.
    Create(Box<DomainConfig>),
}

/// A task with the difference that it makes; or a difference that stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The domain that is there, if it is there.
    pub domid: Option<u16>,
    /// The difference, as it is shown: a line each.
    pub lines: Vec<String>,
    /// `None`: only a restart would make it.
    pub task: Option<Task>,
}

impl Step {
    /// Who gives comes before who takes.
    fn rank(&self) -> u8 {
        match &self.task {
            Some(Task::Shutdown) => 0,
            Some(Task::Change(Change::Memory { more: false, .. })) => 1,
            Some(Task::Change(_)) => 2,
            Some(Task::Restart(_)) => 3,
            None => 4,
            Some(Task::Create(_)) => 5,
        }
    }
}

/// Whether one of two that may be the same domain is the other: by UUID, else by name.
fn partners<'a>(wanted: &[Wanted], running: &'a [Running]) -> Vec<Option<&'a Running>> {
    let by_uuid = |one: &Wanted| running.iter().find(|its| Some(its.uuid) == one.config.uuid);
    let first: Vec<_> = wanted.iter().map(by_uuid).collect();
    let taken = |its: &Running| first.iter().flatten().any(|other| other.domid == its.domid);
    let by_name = |one: &Wanted| running.iter().find(|its| its.name == one.config.name && !taken(its));
    wanted.iter().zip(&first).map(|(one, found)| found.or_else(|| by_name(one))).collect()
}

/// The steps from what runs to what is wanted, in the order in which they are to be done.
pub fn plan(wanted: &[Wanted], running: &[Running], wishes: Wishes) -> Vec<Step> {
    let running: Vec<Running> = running.iter().filter(|its| its.domid != 0).cloned().collect();
    let partners = partners(wanted, &running);
    let mut steps = Vec::new();
    for (one, partner) in wanted.iter().zip(&partners) {
        match partner {
            None => steps.push(Step {
                domid: None,
                lines: vec![format!("+ create {} ({})", one.config.name, one.file)],
                task: Some(Task::Create(Box::new(one.config.clone()))),
            }),
            Some(its) => match &its.known {
                Some(known) => Domain { wanted: &one.config, its, known, steps: &mut steps }.plan(wishes),
                None => steps.push(Step {
                    domid: Some(its.domid),
                    lines: vec![format!("! {} was not made by these tools, and is left as it is", its.name)],
                    task: None,
                }),
            },
        }
    }
    if wishes.prune {
        let kept = |its: &Running| partners.iter().flatten().any(|other| other.domid == its.domid);
        steps.extend(running.iter().filter(|its| !kept(its)).map(|its| Step {
            domid: Some(its.domid),
            lines: vec![format!("- shutdown {}", its.name)],
            task: Some(Task::Shutdown),
        }));
    }
    steps.sort_by_key(Step::rank);
    steps
}

/// Whether a card that is there is one that is wanted.
type Rule<'a> = &'a dyn Fn(&Vif, &Vif) -> bool;

/// For each wanted card the one that it is, or takes the place of.
fn places(live: &[(u32, Vif)], wanted: &[Vif]) -> Vec<Option<usize>> {
    let mut free = vec![true; live.len()];
    let mut found = vec![None; wanted.len()];
    let same_address = |a: &Vif, b: &Vif| a.mac.is_some() && a.mac == b.mac;
    // First the very same ones, then those with the same address, then whatever is left, in order.
    let rules: [Rule<'_>; 4] = [
        &|a, b| same_address(a, b) && same_card(a, b),
        &same_address,
        &|a, b| b.mac.is_none() && same_card(a, b),
        &|_, _| true,
    ];
    for rule in rules {
        for (place, vif) in found.iter_mut().zip(wanted).filter(|(place, _)| place.is_none()) {
            let at = live.iter().zip(&free).position(|((_, other), free)| *free && rule(other, vif));
            if let Some(slot) = at.and_then(|at| free.get_mut(at)) {
                *slot = false;
                *place = at;
            }
        }
    }
    found
}

/// One domain that is wanted and there.
struct Domain<'a> {
    wanted: &'a DomainConfig,
    its: &'a Running,
    known: &'a Known,
    steps: &'a mut Vec<Step>,
}

impl Domain<'_> {
    fn step(&mut self, lines: Vec<String>, task: Option<Task>) {
        self.steps.push(Step { domid: Some(self.its.domid), lines, task });
    }

    /// What is wanted, with what the domain has where nothing is said of it.
    fn goal(&self) -> DomainConfig {
        let mut goal = self.wanted.clone();
        goal.uuid.get_or_insert(self.its.uuid);
        let places = places(&self.known.live.cards, &self.wanted.vifs);
        for (vif, place) in goal.vifs.iter_mut().zip(places) {
            let old = place.and_then(|at| self.known.live.cards.get(at));
            vif.mac = vif.mac.take().or_else(|| old.and_then(|(_, old)| old.mac.clone()));
        }
        goal
    }

    /// What it is now.
    fn now(&self) -> DomainConfig {
        let (live, started) = (&self.known.live, self.known.started.clone());
        DomainConfig {
            uuid: Some(self.its.uuid),
            kernel: started.kernel,
            ramdisk: started.ramdisk,
            command_line: started.command_line,
            max_vcpus: started.max_vcpus,
            max_event_channels: started.max_event_channels,
            max_grant_frames: started.max_grant_frames,
            max_maptrack_frames: started.max_maptrack_frames,
            memory_kib: live.memory_kib,
            max_memory_kib: live.max_memory_kib,
            vcpus: live.vcpus,
            pool: Some(live.pool.1.clone()),
            disks: live.disks.clone(),
            vifs: live.cards.iter().map(|(_, vif)| vif.clone()).collect(),
            ..self.known.next.clone()
        }
    }

    fn in_pool(&self, pool: Option<&str>) -> bool {
        let (id, name) = &self.known.live.pool;
        pool.map_or(*id == 0, |pool| pool == name || pool.parse() == Ok(*id))
    }

    fn plan(mut self, wishes: Wishes) {
        let (goal, now, name) = (self.goal(), self.now(), self.wanted.name.clone());
        let differences: Vec<Difference> = differences(&now, &goal)
            .into_iter()
            .filter(|(field, ..)| field != "pool" || !self.in_pool(goal.pool.as_deref()))
            .collect();
        let mut wants_start: Vec<String> = differences
            .iter()
            .filter(|(field, ..)| fixed(field))
            .map(|difference| format!("! {name} {} needs a restart", told(difference)))
            .collect();
        if self.its.ended {
            wants_start.push(format!("! {name} has ended and stays for a look: it needs a restart"));
        }
        if wishes.restart && !wants_start.is_empty() {
            let others = differences.iter().filter(|(field, ..)| !fixed(field));
            let mut lines: Vec<String> = others.map(|other| format!("~ {name} {}", told(other))).collect();
            if self.its.name != name {
                lines.insert(0, format!("~ {} name {} -> {name}", self.its.name, self.its.name));
            }
            lines.extend(wants_start);
            lines.push(format!("~ {name} restart"));
            self.step(lines, Some(Task::Restart(Box::new(goal))));
            return;
        }
        if self.its.ended {
            self.step(wants_start, None);
            return;
        }
        // What another UUID is wanted for is another domain.
        let goal = DomainConfig { uuid: Some(self.its.uuid), ..goal };
        let mut next = DomainConfig { uuid: goal.uuid, ..self.known.next.clone() };
        for change in self.changes(&goal) {
            let line = format!("~ {} {}", if matches!(change, Change::Name(_)) { &self.its.name } else { &name }, {
                change.told(&self.its.name, &next, &self.known.live)
            });
            change.note(&mut next);
            self.step(vec![line], Some(Task::Change(change)));
        }
        let fixed_now: Vec<&String> = differences.iter().map(|(field, ..)| field).filter(|its| fixed(its)).collect();
        let left = fields::differences(&next, &goal);
        if !left.is_empty() {
            let lines = left
                .iter()
                // Those are told below.
                .filter(|(field, ..)| !fixed_now.contains(&field))
                .map(|difference| {
                    let at_once = difference.0.starts_with("on_");
                    format!("~ {name} {}{}", told(difference), if at_once { "" } else { " at its next start" })
                })
                .collect();
            self.step(lines, Some(Task::Change(Change::Keep(Box::new(goal)))));
        }
        if !wants_start.is_empty() {
            self.step(wants_start, None);
        }
    }

    /// What can be changed while it runs.
    fn changes(&self, goal: &DomainConfig) -> Vec<Change> {
        let (live, next, mut all) = (&self.known.live, &self.known.next, Vec::new());
        if self.its.name != goal.name {
            all.push(Change::Name(goal.name.clone()));
        }
        let max = (live.max_memory_kib != goal.max_memory_kib).then_some(Change::MaxMemory(goal.max_memory_kib));
        let more = goal.memory_kib > live.memory_kib;
        let memory = (live.memory_kib != goal.memory_kib).then_some(Change::Memory { kib: goal.memory_kib, more });
        all.extend(if more { [max, memory] } else { [memory, max] }.into_iter().flatten());
        let vcpus = goal.vcpus.min(live.max_vcpus);
        if vcpus != live.vcpus {
            all.push(Change::Vcpus(vcpus));
        }
        if !self.in_pool(goal.pool.as_deref()) {
            all.push(Change::Pool(goal.pool.clone()));
        }
        // In its pool first: its CPUs are there.
        if (&next.cpus, &next.cpus_soft) != (&goal.cpus, &goal.cpus_soft) {
            all.push(Change::Cpus { hard: goal.cpus.clone(), soft: goal.cpus_soft.clone() });
        }
        for old in &live.disks {
            match goal.disks.iter().find(|disk| disk.number() == old.number()) {
                Some(new) if same_disk(old, new) => {}
                new => all.push(Change::Disk { out: Some(old.clone()), into: new.cloned() }),
            }
        }
        let new = goal.disks.iter().filter(|disk| !live.disks.iter().any(|old| old.number() == disk.number()));
        all.extend(new.map(|disk| Change::Disk { out: None, into: Some(disk.clone()) }));
        let places = places(&live.cards, &self.wanted.vifs);
        let gone = (0..live.cards.len()).filter(|at| !places.contains(&Some(*at)));
        all.extend(
            gone.filter_map(|at| live.cards.get(at)).map(|old| Change::Card { out: Some(old.clone()), into: None }),
        );
        for (vif, place) in goal.vifs.iter().zip(&places) {
            match place.and_then(|at| live.cards.get(at)) {
                Some((_, old)) if same_card(old, vif) => {}
                old => all.push(Change::Card { out: old.cloned(), into: Some(vif.clone()) }),
            }
        }
        all
    }
}

/// How a card is named in a line.
pub(super) fn named(vif: &Vif) -> String {
    format!("vif {}", address(vif))
}
