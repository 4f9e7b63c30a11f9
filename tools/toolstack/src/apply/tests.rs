//! The plan, on a model of a host: whatever runs and whatever is wanted, its steps lead there, and then there are none.

use super::change::Change;
use super::*;
use crate::{Disk, DomainConfig, Vif, config};
use proptest::prelude::*;

fn parsed(name: &str, more: &str) -> DomainConfig {
    config::parse(&format!("name='{name}'\nkernel='/k'\n{more}"), &[]).unwrap().0
}

fn wanted(name: &str, more: &str) -> Wanted {
    Wanted { file: format!("{name}.cfg"), config: parsed(name, more) }
}

/// A host that does what it is told.
#[derive(Clone, Debug, Default)]
struct Model {
    running: Vec<Running>,
    last: u16,
}

impl Model {
    fn create(&mut self, config: &DomainConfig) {
        self.last += 1;
        let mut config = config.clone();
        let uuid = *config.uuid.get_or_insert([self.last as u8; 16]);
        for (at, vif) in config.vifs.iter_mut().enumerate() {
            vif.mac.get_or_insert(format!("00:16:3e:01:{:02x}:{at:02x}", self.last));
        }
        let pool = config.pool.as_deref().unwrap_or("0");
        let id = pool.parse().unwrap_or(7);
        let live = Live {
            memory_kib: config.memory_kib,
            max_memory_kib: config.max_memory_kib,
            vcpus: config.vcpus,
            max_vcpus: config.max_vcpus,
            pool: (id, if id == 7 { "p".into() } else { format!("Pool-{id}") }),
            disks: config.disks.clone(),
            cards: (0..).zip(config.vifs.clone()).collect(),
        };
        let (name, known) = (config.name.clone(), Some(Known { next: config.clone(), started: config, live }));
        self.running.push(Running { domid: self.last, uuid, name, ended: false, known });
    }

    fn with(configs: &[Wanted]) -> Model {
        let mut model = Model::default();
        configs.iter().for_each(|one| model.create(&one.config));
        model
    }

    fn of(&mut self, domid: Option<u16>) -> &mut Running {
        self.running.iter_mut().find(|its| Some(its.domid) == domid).unwrap()
    }

    fn perform(&mut self, step: &Step) {
        match step.task.as_ref().unwrap() {
            Task::Create(config) => self.create(config),
            Task::Shutdown => self.running.retain(|its| Some(its.domid) != step.domid),
            Task::Restart(config) => {
                self.running.retain(|its| Some(its.domid) != step.domid);
                self.create(config);
            }
            Task::Change(change) => self.change(step.domid, change.clone()),
        }
    }

    fn change(&mut self, domid: Option<u16>, mut change: Change) {
        let its = self.of(domid);
        let Known { next, live, .. } = its.known.as_mut().unwrap();
        match &mut change {
            Change::Name(name) => its.name.clone_from(name),
            Change::MaxMemory(kib) => live.max_memory_kib = *kib,
            Change::Memory { kib, .. } => {
                assert!(*kib <= live.max_memory_kib, "the hypervisor refuses that");
                live.memory_kib = *kib;
            }
            Change::Vcpus(count) => {
                assert!(*count <= live.max_vcpus, "the hypervisor refuses that");
                live.vcpus = *count;
            }
            Change::Cpus { .. } => {}
            Change::Pool(pool) => {
                let id = pool.as_deref().unwrap_or("0").parse().unwrap_or(7);
                live.pool = (id, if id == 7 { "p".into() } else { format!("Pool-{id}") });
            }
            Change::Disk { out, into } => {
                let before = live.disks.len();
                live.disks.retain(|disk| Some(disk) != out.as_ref());
                assert_eq!(live.disks.len() + usize::from(out.is_some()), before);
                live.disks.extend(into.clone());
            }
            Change::Card { out, into } => {
                live.cards.retain(|(at, _)| out.as_ref().is_none_or(|(gone, _)| gone != at));
                if let Some(new) = into {
                    let at = live.cards.iter().map(|(at, _)| at + 1).max().unwrap_or(0);
                    new.mac.get_or_insert(format!("00:16:3e:02:{:02x}:{at:02x}", its.domid));
                    live.cards.push((at, new.clone()));
                }
            }
            Change::Keep(config) => change::fill_addresses(config, next),
        }
        change.note(next);
    }

    /// Does the first `most` tasks; gives how many there were.
    fn apply(&mut self, wanted: &[Wanted], wishes: Wishes, most: usize) -> usize {
        let steps = plan(wanted, &self.running, wishes);
        let tasks: Vec<&Step> = steps.iter().filter(|step| step.task.is_some()).collect();
        tasks.iter().take(most).for_each(|step| self.perform(step));
        tasks.len()
    }
}

fn lines(wanted: &[Wanted], model: &Model, wishes: Wishes) -> Vec<String> {
    plan(wanted, &model.running, wishes).into_iter().flat_map(|step| step.lines).collect()
}

const ALL: Wishes = Wishes { restart: true, prune: true };

#[test]
fn a_difference_is_shown_a_line_each() {
    let before = [wanted("web", "memory=128\nmaxmem=256\ndisk=['/a,raw,xvda,w']"), wanted("old", "")];
    let after = [
        wanted("new", ""),
        wanted(
            "web",
            "memory=256\nmaxmem=256\nextra='quiet'\ndisk=['/a,raw,xvda,w','/b,raw,xvdb,r']\nvif=['bridge=br1']\non_crash='restart'",
        ),
    ];
    let model = Model::with(&before);
    assert_eq!(
        lines(&after, &model, Wishes { prune: true, ..Wishes::default() }),
        [
            "- shutdown old",
            "~ web memory 128 -> 256",
            "~ web disk xvdb none -> /b,r",
            "~ web vif (new) none -> bridge=br1",
            "~ web on_crash destroy -> restart",
            "! web cmdline \"\" -> \"quiet\" needs a restart",
            "+ create new (new.cfg)",
        ]
    );
    assert_eq!(lines(&before, &model, ALL), [""; 0]);
    let restarted = lines(&after, &model, Wishes { restart: true, ..Wishes::default() });
    assert_eq!(restarted.last().unwrap(), "+ create new (new.cfg)");
    assert_eq!(restarted[restarted.len() - 2], "~ web restart");
}

#[test]
fn memory_that_is_given_comes_before_memory_that_is_taken() {
    let before = [wanted("a", "memory=64\nmaxmem=128"), wanted("b", "memory=128")];
    let after = [wanted("a", "memory=128\nmaxmem=128"), wanted("b", "memory=64\nmaxmem=128"), wanted("c", "")];
    assert_eq!(
        lines(&after, &Model::with(&before), ALL),
        ["~ b memory 128 -> 64", "~ a memory 64 -> 128", "+ create c (c.cfg)"]
    );
    // More than it could have: first the most.
    let after = [wanted("a", "memory=256"), before[1].clone()];
    assert_eq!(lines(&after, &Model::with(&before), ALL), ["~ a maxmem 128 -> 256", "~ a memory 64 -> 256"]);
}

#[test]
fn domain_0_and_those_of_other_tools_are_left_alone() {
    let mut model = Model::with(&[wanted("a", "")]);
    model.running[0].domid = 0;
    assert_eq!(lines(&[], &model, ALL), [""; 0]);
    model.running[0].domid = 1;
    model.running[0].known = None;
    let steps = plan(&[wanted("a", "memory=64")], &model.running, ALL);
    assert!(steps.len() == 1 && steps[0].task.is_none(), "{steps:?}");
    assert_eq!(lines(&[], &model, Wishes { prune: false, ..ALL }), [""; 0]);
}

#[test]
fn a_domain_with_the_uuid_gets_the_name() {
    let uuid = "uuid='01010101-0101-0101-0101-010101010101'";
    let mut model = Model::with(&[wanted("a", ""), wanted("b", "")]);
    let after = [wanted("c", uuid), wanted("b", "")];
    assert_eq!(lines(&after, &model, ALL), ["~ a name a -> c"]);
    model.apply(&after, ALL, 1);
    assert_eq!(lines(&after, &model, ALL), [""; 0]);
}

#[test]
fn what_a_hand_changed_is_changed_back() {
    let configs = [wanted("a", "memory=64\nmaxmem=128\nvcpus=1\nmaxvcpus=2\ndisk=['/a,raw,xvda,w']")];
    let mut model = Model::with(&configs);
    let live = &mut model.running[0].known.as_mut().unwrap().live;
    (live.memory_kib, live.vcpus) = (128 << 10, 2);
    live.disks.clear();
    live.cards.push((3, Vif { mac: Some("00:16:3e:00:00:01".into()), ..Vif::default() }));
    assert_eq!(
        lines(&configs, &model, Wishes::default()),
        [
            "~ a memory 128 -> 64",
            "~ a vcpus 2 -> 1",
            "~ a disk xvda none -> /a,w",
            "~ a vif 00:16:3e:00:00:01 bridge=xenbr0 -> none",
        ]
    );
}

#[test]
fn what_needs_a_restart_is_kept_for_the_next_start_and_goes_on_being_told() {
    let after = [wanted("a", "ramdisk='/r'\nvcpus=4")];
    let mut model = Model::with(&[wanted("a", "vcpus=2")]);
    let told = ["! a maxvcpus 2 -> 4 needs a restart", "! a ramdisk none -> /r needs a restart"];
    assert_eq!(lines(&after, &model, Wishes::default())[1..], told, "after what is kept: vcpus");
    assert_eq!(model.apply(&after, Wishes::default(), 9), 1);
    assert_eq!(model.running[0].known.as_ref().unwrap().next.vcpus, 4);
    assert_eq!(model.apply(&after, Wishes::default(), 9), 0);
    assert_eq!(lines(&after, &model, Wishes::default()), told);
    // Back again.
    let before = [wanted("a", "vcpus=2")];
    let back = lines(&before, &model, Wishes::default());
    assert!(back.contains(&"~ a maxvcpus 4 -> 2 at its next start".to_owned()), "{back:?}");
    assert_eq!(model.apply(&before, Wishes::default(), 9), 1);
    assert_eq!(lines(&before, &model, ALL), [""; 0]);
    assert_eq!(model.apply(&after, ALL, 9), 1);
    assert_eq!(lines(&after, &model, ALL), [""; 0]);
}

#[test]
fn a_domain_that_stays_for_a_look_comes_back_on_request_only() {
    let configs = [wanted("a", "")];
    let mut model = Model::with(&configs);
    model.running[0].ended = true;
    assert_eq!(lines(&configs, &model, Wishes::default()), ["! a has ended and stays for a look: it needs a restart"]);
    assert_eq!(model.apply(&configs, ALL, 9), 1);
    assert_eq!(lines(&configs, &model, ALL), [""; 0]);
}

fn disks() -> impl Strategy<Value = Vec<Disk>> {
    let disk = (0..3u8, 0..2u8, any::<bool>()).prop_map(|(vdev, target, read)| {
        let vdev = char::from(b'a' + vdev);
        Disk::parse(&format!("/d{target},raw,xvd{vdev},{}", if read { 'r' } else { 'w' })).unwrap()
    });
    prop::collection::vec(disk, 0..4).prop_map(|mut disks| {
        disks.sort_by_key(Disk::number);
        disks.dedup_by_key(|disk| disk.number());
        disks
    })
}

fn cards() -> impl Strategy<Value = Vec<Vif>> {
    let card = (prop::option::of(0..3u8), 0..2u8, any::<bool>()).prop_map(|(mac, bridge, mtu)| Vif {
        mac: mac.map(|mac| format!("00:16:3e:00:00:0{mac}")),
        bridge: (bridge > 0).then(|| format!("br{bridge}")),
        mtu: mtu.then_some(1400),
        ..Vif::default()
    });
    prop::collection::vec(card, 0..4).prop_map(|mut all| {
        let mut seen = std::collections::BTreeSet::new();
        all.retain(|vif| vif.mac.is_none() || seen.insert(vif.mac.clone()));
        all
    })
}

fn one() -> impl Strategy<Value = DomainConfig> {
    let numbers = (1..4u64, 0..3u64, 1..4u32, 0..3u32);
    let words = (0..2u8, 0..2u8, 0..3u8, prop::option::of(0..3u8));
    (0..4u8, numbers, words, disks(), cards()).prop_map(|(name, numbers, words, disks, vifs)| {
        let (memory, more, vcpus, more_vcpus) = numbers;
        let (kernel, end, pool, uuid) = words;
        let mut config = parsed(
            &format!("d{name}"),
            &format!(
                "memory={memory}\nmaxmem={}\nvcpus={vcpus}\nmaxvcpus={}\nextra='{kernel}'\non_crash='{}'\ncpus='{}'\n",
                memory + more,
                vcpus + more_vcpus,
                ["destroy", "coredump-restart"][usize::from(end)],
                ["all", "0"][usize::from(end)],
            ),
        );
        config.pool = [None, Some("0".to_owned()), Some("p".to_owned())][usize::from(pool)].clone();
        config.uuid = uuid.map(|uuid| [0xf0 + uuid; 16]);
        (config.disks, config.vifs) = (disks, vifs);
        config
    })
}

fn folder() -> impl Strategy<Value = Vec<Wanted>> {
    prop::collection::vec(one(), 0..4).prop_map(|configs| {
        let (mut names, mut uuids) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
        let fresh = |config: &DomainConfig| names.insert(config.name.clone());
        let mut configs: Vec<_> = configs.into_iter().filter(fresh).collect();
        configs.retain(|config| config.uuid.is_none_or(|uuid| uuids.insert(uuid)));
        configs.into_iter().map(|config| Wanted { file: format!("{}.cfg", config.name), config }).collect()
    })
}

/// Two domains that exchange names cannot do so at once; nobody else is to be in the way.
fn names_are_free(model: &Model, wanted: &[Wanted]) -> bool {
    let steps = plan(wanted, &model.running, ALL);
    steps.iter().all(|step| !matches!(step.task, Some(Task::Change(Change::Name(_)))))
        && wanted.iter().all(|one| {
            model.running.iter().all(|its| {
                let same_name = its.name == one.config.name;
                let same_uuid = Some(its.uuid) == one.config.uuid;
                same_name == same_uuid || one.config.uuid.is_none()
            })
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// With everything allowed the host is as the folder says, and stays so; stopped anywhere, the next one finishes.
    #[test]
    fn a_plan_leads_to_what_is_wanted_and_then_there_is_nothing_to_do(
        before in folder(),
        after in folder(),
        stop in 0..8usize,
    ) {
        let mut model = Model::with(&before);
        prop_assume!(names_are_free(&model, &after));
        model.apply(&after, ALL, stop);
        model.apply(&after, ALL, usize::MAX);
        let left = lines(&after, &model, ALL);
        prop_assert!(left.is_empty(), "{left:#?}\n{:#?}", model.running);
        let mut names: Vec<_> = model.running.iter().map(|its| its.name.clone()).collect();
        let mut wanted: Vec<_> = after.iter().map(|one| one.config.name.clone()).collect();
        names.sort();
        wanted.sort();
        prop_assert_eq!(names, wanted);
    }

    /// Without leave to restart or prune nobody is started anew or shut down, and a second run has no task.
    #[test]
    fn without_leave_nobody_is_stopped_and_a_second_run_does_nothing(before in folder(), after in folder()) {
        let mut model = Model::with(&before);
        prop_assume!(names_are_free(&model, &after));
        let domids: Vec<u16> = model.running.iter().map(|its| its.domid).collect();
        model.apply(&after, Wishes::default(), usize::MAX);
        for domid in domids {
            prop_assert!(model.running.iter().any(|its| its.domid == domid));
        }
        prop_assert_eq!(model.apply(&after, Wishes::default(), usize::MAX), 0);
        let left = lines(&after, &model, Wishes::default());
        prop_assert!(left.iter().all(|line| line.starts_with('!')), "{left:#?}");
    }
}
