//! `xm apply` on the simulated machine: what its plan says happens, and whoever is killed at any step is finished by the next.

use super::*;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use toolstack::apply::{self, Outcome, Wanted, Ways, Wishes};
use xen_abi::sched::SHUTDOWN_poweroff;

const WAYS: Ways = Ways { create: OPTIONS, patience: Duration::from_secs(10) };
const ALL: Wishes = Wishes { restart: true, prune: true };

/// Guests that do what they are asked for, as long as this is there.
struct Obedient<'a>(&'a AtomicBool);

impl Drop for Obedient<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Runs `run` beside guests that switch themselves off when they are asked.
fn with_guests<R>(machine: &Machine, run: impl FnOnce() -> R) -> R {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _ends = Obedient(&over);
        scope.spawn(|| {
            let mut guests = machine.tool(&Fate::kind());
            while !over.load(SeqCst) {
                for info in guests.xen.domains().unwrap().iter().filter(|info| info.domid != 0) {
                    let path = format!("/local/domain/{}/control/shutdown", info.domid);
                    let asked = guests.xs.read_if_there(&path).unwrap().is_some_and(|word| word == b"poweroff");
                    if asked && info.shutdown().is_none() && !info.dying() {
                        // It may go at this moment.
                        let _ = guests.xen.shut_down(info.domid, SHUTDOWN_poweroff);
                    }
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        run()
    })
}

fn wanted(machine: &Machine, name: &str, more: &str) -> Wanted {
    let kernel = machine.dir.path().join("kernel");
    let text = format!("name='{name}'\nkernel='{}'\nmemory=5\nvcpus=2\n{more}", kernel.display());
    Wanted { file: format!("{name}.cfg"), config: toolstack::config::parse(&text, &[]).unwrap().0 }
}

/// As `xm apply` does it; what failed, and how much was to be done.
fn perform(host: &mut Host<Tool>, wanted: &[Wanted], wishes: Wishes) -> toolstack::Result<(usize, Vec<String>)> {
    host.recover()?;
    let applying = host.applying()?;
    let steps = apply::plan(wanted, &host.running()?, wishes);
    let (mut failed, mut tasks) = (Vec::new(), 0);
    host.perform(&steps, WAYS, |step, outcome| {
        tasks += 1;
        if !matches!(outcome, Outcome::Done) {
            failed.push(format!("{:?}: {outcome:?}", step.lines));
        }
    });
    applying.over();
    Ok((tasks, failed))
}

/// Brings the machine there, and sees that it is there.
fn reach(machine: &Machine, configs: &[Wanted], wishes: Wishes, after: &str) {
    let (_, failed) = well(machine, |host| perform(host, configs, wishes).unwrap());
    assert_eq!(failed, [""; 0], "{after}");
    let mut host = machine.tool(&Fate::kind());
    let left = apply::plan(configs, &host.running().unwrap(), wishes);
    assert!(left.is_empty(), "{after}: {left:#?}");
    for domain in host.domains().unwrap() {
        assert!(!domain.info.paused() && domain.info.shutdown().is_none(), "{after}: {domain:?}");
    }
}

fn names(machine: &Machine) -> Vec<String> {
    let all = machine.tool(&Fate::kind()).domains().unwrap();
    let mut names: Vec<String> = all.into_iter().skip(1).map(|domain| domain.name).collect();
    names.sort();
    names
}

#[test]
fn a_folder_is_applied_and_a_second_time_nothing_is_done() {
    let machine = Machine::new();
    with_guests(&machine, || {
        let two = [wanted(&machine, "a", ""), wanted(&machine, "b", "on_poweroff='restart'\n")];
        reach(&machine, &two, Wishes::default(), "two are new");
        let domids: Vec<u16> = ["a", "b"].map(|name| machine.tool(&Fate::kind()).find(name).unwrap().info.domid).into();
        assert_eq!(well(&machine, |host| perform(host, &two, ALL).unwrap().0), 0);
        let live = [wanted(&machine, "a", "memory=6\nmaxmem=7\nvcpus=1\nmaxvcpus=2\non_crash='preserve'\ncpus='0'\n")];
        reach(&machine, &live, Wishes::default(), "a changes");
        assert_eq!(names(&machine), ["a", "b"]);
        let mut host = machine.tool(&Fate::kind());
        let home = format!("/local/domain/{}", domids[0]);
        let mut node = |name: &str| String::from_utf8(host.xs.read(&format!("{home}/{name}")).unwrap()).unwrap();
        assert_eq!([node("memory/target"), node("memory/static-max")], ["6144", "7168"]);
        assert_eq!([node("cpu/0/availability"), node("cpu/1/availability")], ["online", "offline"]);
        assert_eq!(host.config_of(domids[0]).unwrap().on_crash, Action::Preserve);
        // Another kernel is for its next start, or for a restart; whoever restarts on its own end does not come back.
        let other = [wanted(&machine, "a", "extra='other'\n")];
        let (_, failed) = well(&machine, |host| perform(host, &other, Wishes::default()).unwrap());
        assert_eq!(failed, [""; 0]);
        assert_eq!(machine.tool(&Fate::kind()).find("a").unwrap().info.domid, domids[0]);
        assert_eq!(well(&machine, |host| perform(host, &other, Wishes::default()).unwrap().0), 0);
        reach(&machine, &other, ALL, "a starts anew and b goes");
        assert_eq!(names(&machine), ["a"]);
        assert_ne!(machine.tool(&Fate::kind()).find("a").unwrap().info.domid, domids[0]);
    });
}

#[test]
fn what_fails_keeps_nobody_else_from_being_done() {
    let machine = Machine::new();
    with_guests(&machine, || {
        let mut wrong = wanted(&machine, "a", "");
        wrong.config.kernel = "/none".into();
        let configs = [wrong, wanted(&machine, "b", "")];
        let (tasks, failed) = well(&machine, |host| perform(host, &configs, ALL).unwrap());
        assert_eq!((tasks, failed.len()), (2, 1), "{failed:?}");
        assert!(failed[0].contains("/none"), "{failed:?}");
        // A kernel that is not there ends nobody.
        let configs = [Wanted {
            config: DomainConfig { kernel: "/none".into(), ..configs[1].config.clone() },
            ..configs[1].clone()
        }];
        let (_, failed) = well(&machine, |host| perform(host, &configs, ALL).unwrap());
        assert_eq!(failed.len(), 1);
        assert_eq!(names(&machine), ["b"]);
    });
}

#[test]
fn one_at_a_time_applies() {
    let machine = Machine::new();
    let first = machine.tool(&Fate::kind());
    let applying = first.applying().unwrap();
    let second = well(&machine, |host| perform(host, &[], Wishes::default()).unwrap_err());
    assert!(second.to_string().contains("another `xm apply`"), "{second}");
    applying.over();
    assert_eq!(well(&machine, |host| perform(host, &[], Wishes::default()).unwrap().0), 0);
}

/// From `before` to `after`, killed at every step (or every so many): the next one finishes, and nothing is left of it.
fn killed_everywhere(before: &[&str], after: &[&str], stride: u64, least: u64) {
    let machine = Machine::new();
    let configs = |all: &[&str]| -> Vec<Wanted> {
        all.iter().map(|text| text.split_once(':').unwrap()).map(|(name, more)| wanted(&machine, name, more)).collect()
    };
    let (before, after) = (configs(before), configs(after));
    with_guests(&machine, || {
        // The folder of those who attend stays.
        reach(&machine, &before, ALL, "the first");
        reach(&machine, &[], ALL, "the first end");
        let clean = machine.picture();
        let mut at = 0;
        loop {
            let place = format!("a kill at step {at}");
            reach(&machine, &before, ALL, &place);
            let whole = process(&machine, &Fate::new(Blow::Death, at), |host| perform(host, &after, ALL)).is_some();
            reach(&machine, &after, ALL, &place);
            let mut wanted: Vec<&String> = after.iter().map(|one| &one.config.name).collect();
            wanted.sort();
            assert_eq!(names(&machine).iter().collect::<Vec<_>>(), wanted, "{place}");
            for name in names(&machine) {
                well(&machine, |host| host.find(&name).and_then(|domain| host.destroy(domain.info.domid)).unwrap());
            }
            machine.settles_to(&clean, &place);
            if whole {
                assert!(at > least, "{at} steps");
                return;
            }
            at += stride;
        }
    });
}

#[test]
fn an_apply_that_is_killed_at_any_step_of_its_changes_is_finished_by_the_next() {
    killed_everywhere(
        &["a:", "b:on_crash='restart'\n"],
        &["a:memory=6\nmaxmem=7\nvcpus=1\nmaxvcpus=2\ncpus='0'\n", "b:on_crash='preserve'\nmemory=6\n"],
        1,
        20,
    );
}

/// (Every step of a creation and of an end alone has its own test.)
#[test]
fn an_apply_that_is_killed_in_a_restart_an_end_and_a_creation_is_finished_by_the_next() {
    killed_everywhere(
        &["a:on_poweroff='preserve'\n", "old:on_poweroff='restart'\n"],
        &["a:extra='x'\n", "new:"],
        7,
        100,
    );
}
