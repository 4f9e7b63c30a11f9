//! Domains' lives with the real tools' code, the real xenstored and the real hypervisor's decisions, in this process: every
//! step fails once, and the process is killed at every step.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod apply;
mod commands;
mod fate;
#[path = "../../../../loader/tests/common/mod.rs"]
mod kernels;
mod plug;
mod pools;
mod store;

use fate::{Blow, Fate, Killed, Tool};
use ferroxen_sim::control::Control;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use toolstack::{Action, Domain, DomainConfig, Ended, Host, Kind, Options, Recovered};
use xen_abi::sched::{SHUTDOWN_crash, SHUTDOWN_reboot};
use xenctl::Xen;
use xenstore::{Access as _, Xenstore};

/// A kernel at 1 MiB, not at Linux's 16.
fn kernel() -> Vec<u8> {
    const MOVED: u64 = 15 << 20;
    let mut elf = kernels::Elf::linux();
    let load = &mut elf.loads[0];
    let entry = load.vaddr + 0x1c0;
    (load.vaddr, load.paddr, elf.entry) = (load.vaddr - MOVED, load.paddr - MOVED, elf.entry - MOVED);
    let mut notes = kernels::linux_notes();
    let at = notes.windows(8).position(|word| word == entry.to_le_bytes()).unwrap();
    notes[at..at + 8].copy_from_slice(&(entry - MOVED).to_le_bytes());
    elf.notes = Some(notes);
    elf.build()
}

/// A machine with a store and a kernel to start.
struct Machine {
    control: Control,
    bell: UnixStream,
    dir: tempfile::TempDir,
    dom0: plug::Dom0,
    /// Only where there are several.
    pools: Option<Arc<pools::Pools>>,
}

const OPTIONS: Options = Options { paused: false, no_cache: true };

impl Machine {
    fn new() -> Machine {
        let control = Control::new(0x1000);
        let dir = tempfile::tempdir_in(if std::path::Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" });
        let dir = dir.unwrap();
        std::fs::write(dir.path().join("kernel"), kernel()).unwrap();
        let bell = store::start(dir.path(), &control);
        let dom0 = plug::Dom0::start(dir.path());
        let machine = Machine { control, bell, dir, dom0, pools: None };
        well(&machine, |host| host.introduce_control_domain().unwrap());
        // What the first one leaves is for all: the folder of backends.
        let first = well(&machine, |host| create(host, &machine.config()).unwrap().info.domid);
        well(&machine, |host| host.destroy(first).unwrap());
        machine
    }

    /// What a command has.
    fn tool(&self, fate: &Arc<Fate>) -> Host<Tool> {
        let socket = store::door(self.dir.path(), fate);
        let tool = Tool {
            control: self.control.clone(),
            fate: fate.clone(),
            bell: self.bell.try_clone().unwrap(),
            pools: self.pools.clone(),
            buffers: pools::Buffers::default(),
        };
        let mut host = Host::over(Xen::new(tool).unwrap(), Xenstore::open_socket(&socket).unwrap());
        host.run_dir = self.dir.path().join("domains");
        host.work_dir = self.dir.path().join("work");
        host.crash_dir = self.dir.path().join("crash");
        host.hotplug = Box::new(self.dom0.as_seen_by(fate));
        host.console_dir = self.dir.path().join("console");
        host
    }

    fn config(&self) -> DomainConfig {
        let text = format!(
            "name = 'guest'\nkernel = '{}'\nmemory = 5\nvcpus = 2\non_reboot = 'restart'\n",
            self.dir.path().join("kernel").display()
        );
        toolstack::config::parse(&text, &[]).unwrap().0
    }

    /// Everything that a domain can leave, a line each.
    fn picture(&self) -> Vec<String> {
        let mut lines = self.control.in_use();
        lines.extend(self.dom0.plugged());
        lines.extend(self.pools.iter().flat_map(|pools| pools.lines()));
        let mut xs = Xenstore::open_socket(&self.dir.path().join("socket")).unwrap();
        let mut left = vec![String::new()];
        while let Some(node) = left.pop() {
            // A node may go while it is looked at.
            for child in xs.list(if node.is_empty() { "/" } else { &node }).unwrap_or_default() {
                left.push(format!("{node}/{child}"));
            }
            lines.push(node);
        }
        for dir in ["domains", "work"] {
            for file in std::fs::read_dir(self.dir.path().join(dir)).into_iter().flatten().flatten() {
                lines.push(file.path().display().to_string());
            }
        }
        lines.sort();
        lines
    }

    /// The picture when domain 0's kernel has done its part.
    fn settled(&self) -> Vec<String> {
        loop {
            let before = self.picture();
            std::thread::sleep(Duration::from_millis(50));
            if self.picture() == before {
                return before;
            }
        }
    }

    /// The daemon hears of a domain's end a little later.
    fn settles_to(&self, wanted: &[String], after: &str) {
        let start = Instant::now();
        while self.picture() != wanted {
            if start.elapsed() > Duration::from_secs(10) {
                let now = self.picture();
                let more: Vec<_> = now.iter().filter(|line| !wanted.contains(line)).collect();
                let less: Vec<_> = wanted.iter().filter(|line| !now.contains(line)).collect();
                panic!("{after}: left {more:#?}, lost {less:#?}");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Runs what a process does; `None`: it was killed.
fn process<R>(machine: &Machine, fate: &Arc<Fate>, run: impl FnOnce(&mut Host<Tool>) -> R) -> Option<R> {
    let mut host = machine.tool(fate);
    let result = catch_unwind(AssertUnwindSafe(|| run(&mut host)));
    match result {
        Ok(result) => (!fate.is_dead()).then_some(result),
        Err(cause) if cause.is::<Killed>() => None,
        Err(cause) => std::panic::resume_unwind(cause),
    }
}

/// The same without interruptions.
fn well<R>(machine: &Machine, run: impl FnOnce(&mut Host<Tool>) -> R) -> R {
    process(machine, &Fate::kind(), run).unwrap()
}

/// As `xm create` does it.
fn create(host: &mut Host<Tool>, config: &DomainConfig) -> toolstack::Result<Domain> {
    host.recover()?;
    host.create(config, OPTIONS)
}

/// What the next command begins with.
fn recover(machine: &Machine, after: &str) -> Vec<Recovered> {
    let found = well(machine, |host| host.recover().unwrap());
    assert!(!found.iter().any(|found| matches!(found, Recovered::Failed(..))), "{after}: {found:?}");
    found
}

/// How many steps something takes.
fn steps<R>(machine: &Machine, run: impl FnOnce(&mut Host<Tool>) -> R) -> (u64, R) {
    let fate = Fate::kind();
    let result = process(machine, &fate, run).unwrap();
    (fate.taken(), result)
}

#[test]
fn a_domain_comes_and_goes_and_leaves_nothing() {
    let machine = Machine::new();
    let before = machine.picture();
    let (count, domain) = steps(&machine, |host| create(host, &machine.config()).unwrap());
    assert!(count > 50, "{count}");
    assert_eq!((domain.name.as_str(), domain.info.pages), ("guest", 5 << 8));
    assert!(!domain.info.paused());
    assert_ne!(machine.picture(), before);
    let again = well(&machine, |host| create(host, &machine.config()).unwrap_err());
    let taken = format!("the name is taken by domain {}", domain.info.domid);
    assert!(again.to_string().contains(&taken), "{again}");
    well(&machine, |host| host.destroy(domain.info.domid).unwrap());
    machine.settles_to(&before, "a life");
}

#[test]
fn a_creation_that_fails_at_any_step_leaves_nothing() {
    let machine = Machine::new();
    let before = machine.picture();
    let mut at = 0;
    loop {
        let fate = Fate::new(Blow::Error, at);
        let made = process(&machine, &fate, |host| create(host, &machine.config())).unwrap();
        let whole = fate.taken() <= at;
        // Some steps are not needed; then there is a domain.
        if let Ok(domain) = made {
            well(&machine, |host| host.destroy(domain.info.domid).unwrap());
        }
        machine.settles_to(&before, &format!("an error at step {at}"));
        if whole {
            break;
        }
        at += 1;
    }
}

#[test]
fn a_creation_that_is_killed_at_any_step_leaves_nothing_for_the_next() {
    let machine = Machine::new();
    let before = machine.picture();
    let mut at = 0;
    while process(&machine, &Fate::new(Blow::Death, at), |host| create(host, &machine.config()).map(drop)).is_none() {
        let found = recover(&machine, &format!("a kill at step {at}"));
        match found[..] {
            // Killed before it ran, or when it was complete.
            [] | [Recovered::Gone(_)] => {}
            [Recovered::There(domid)] => {
                let info = machine.tool(&Fate::kind()).xen.domain_info(domid).unwrap().unwrap();
                assert!(!info.paused(), "step {at}");
                well(&machine, |host| host.destroy(domid).unwrap());
            }
            _ => panic!("step {at}: {found:?}"),
        }
        // It was complete and running, and only that was not said any more.
        for domain in machine.tool(&Fate::kind()).domains().unwrap().iter().filter(|domain| domain.info.domid != 0) {
            assert!(found.is_empty() && !domain.info.paused(), "step {at}: {domain:?}");
            well(&machine, |host| host.destroy(domain.info.domid).unwrap());
        }
        machine.settles_to(&before, &format!("a kill at step {at}"));
        at += 1;
    }
    assert!(at > 50, "{at}");
    let domain = well(&machine, |host| host.find("guest").unwrap());
    well(&machine, |host| host.destroy(domain.info.domid).unwrap());
    machine.settles_to(&before, "the last one");
}

#[test]
fn an_end_that_is_killed_at_any_step_is_finished_by_the_next() {
    let machine = Machine::new();
    let before = machine.picture();
    let mut at = 0;
    loop {
        let domid = well(&machine, |host| create(host, &machine.config()).unwrap().info.domid);
        let whole = process(&machine, &Fate::new(Blow::Death, at), |host| host.destroy(domid));
        let whole = whole.is_some_and(|result| result.map_err(|error| panic!("step {at}: {error}")).is_ok());
        recover(&machine, &format!("a kill at step {at}"));
        if let Ok(domain) = machine.tool(&Fate::kind()).find("guest") {
            // It was not begun, or was not noted: a second try works.
            well(&machine, |host| host.destroy(domain.info.domid).unwrap());
        }
        machine.settles_to(&before, &format!("a kill at step {at}"));
        if whole {
            break;
        }
        at += 1;
    }
    assert!(at > 5, "{at}");
}

#[test]
fn a_restart_that_is_killed_at_any_step_is_finished_by_the_next() {
    let machine = Machine::new();
    let before = machine.picture();
    let config = machine.config();
    assert_eq!(config.on_reboot, Action::Restart);
    let mut at = 0;
    loop {
        let old = well(&machine, |host| create(host, &config).unwrap().info);
        well(&machine, |host| host.xen.shut_down(old.domid, SHUTDOWN_reboot).unwrap());
        let ended = process(&machine, &Fate::new(Blow::Death, at), |host| host.attend(old.domid).map(drop));
        // Whoever attends to it after the dead one.
        let found = recover(&machine, &format!("a kill at step {at}"));
        let mut now = machine.tool(&Fate::kind()).find("guest").unwrap().info;
        if now.shutdown().is_some() {
            assert!(ended.is_none() && found.is_empty(), "step {at}: {found:?}");
            let ended = well(&machine, |host| host.attend(now.domid).unwrap());
            assert!(matches!(ended, Some(Ended::Restarted(_))), "step {at}: {ended:?}");
            now = machine.tool(&Fate::kind()).find("guest").unwrap().info;
        }
        assert_eq!((now.uuid, now.shutdown(), now.paused()), (old.uuid, None, false), "step {at}");
        assert_ne!(now.domid, old.domid, "step {at}");
        well(&machine, |host| host.destroy(now.domid).unwrap());
        machine.settles_to(&before, &format!("a kill at step {at}"));
        if ended.is_some() {
            break;
        }
        at += 1;
    }
    assert!(at > 50, "{at}");
}

#[test]
fn who_is_replaced_is_another_domain() {
    let machine = Machine::new();
    let before = machine.picture();
    let config = DomainConfig { on_reboot: Action::RenameRestart, ..machine.config() };
    let old = well(&machine, |host| create(host, &config).unwrap().info);
    well(&machine, |host| host.xen.shut_down(old.domid, SHUTDOWN_reboot).unwrap());
    // Whoever attends to the old one is done with that: it is looked at, not replaced again.
    let Some(Ended::Replaced(new)) = well(&machine, |host| host.attend(old.domid).unwrap()) else { panic!("replaced") };
    let found = machine.tool(&Fate::kind()).find("guest").unwrap().info;
    assert_eq!((found.domid, found.shutdown(), found.uuid == old.uuid), (new, None, false));
    let renamed = machine.tool(&Fate::kind()).find(&format!("guest-{}", old.domid)).unwrap().info;
    assert_eq!((renamed.domid, renamed.uuid), (old.domid, old.uuid));
    for domid in [old.domid, new] {
        well(&machine, |host| host.destroy(domid).unwrap());
    }
    machine.settles_to(&before, "a replacement");
}

#[test]
fn a_domain_that_crashes_leaves_a_folder() {
    let machine = Machine::new();
    let before = machine.picture();
    let config = DomainConfig { core_on_crash: true, ..machine.config() };
    let domain = well(&machine, |host| create(host, &config).unwrap().info);
    let consoles = machine.dir.path().join("console");
    std::fs::create_dir_all(&consoles).unwrap();
    std::fs::write(consoles.join("guest-guest.log"), "its last words\n").unwrap();
    well(&machine, |host| host.xen.shut_down(domain.domid, SHUTDOWN_crash).unwrap());
    assert_eq!(well(&machine, |host| host.attend(domain.domid).unwrap()), Some(Ended::Destroyed));
    let folder = std::fs::read_dir(machine.dir.path().join("crash")).unwrap().next().unwrap().unwrap().path();
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    assert_eq!(read("console"), "its last words\n");
    assert!(read("registers").starts_with("vcpu 0\n      rip "), "{}", read("registers"));
    assert!(read("config.json").contains("\"core_on_crash\": true"));
    let reason = read("reason");
    assert!(reason.starts_with("domain guest (") && reason.contains("it crashed"), "{reason}");
    // It never ran: nobody has said where its memory is. Half a file is not left.
    assert!(reason.contains("no core: ") && !folder.join("core").exists(), "{reason}");
    machine.settles_to(&before, "a crash");
}

#[test]
fn a_domain_that_is_gone_gets_no_other_name() {
    let machine = Machine::new();
    let before = machine.picture();
    let domain = well(&machine, |host| create(host, &machine.config()).unwrap().info);
    well(&machine, |host| host.destroy(domain.domid).unwrap());
    let renamed = well(&machine, |host| host.rename(domain.domid, &domain.uuid, "other").map_err(|error| error.kind()));
    assert_eq!(renamed, Err(Kind::NotFound));
    machine.settles_to(&before, "a name for who is gone");
}

#[test]
fn of_two_that_take_a_name_at_once_one_gets_it() {
    let machine = Machine::new();
    let before = machine.picture();
    for round in 0..20 {
        let config = machine.config();
        let one = || create(&mut machine.tool(&Fate::kind()), &config);
        let results = std::thread::scope(|scope| {
            let other = scope.spawn(one);
            [one(), other.join().unwrap()]
        });
        let made: Vec<u16> = results.iter().flatten().map(|domain| domain.info.domid).collect();
        assert_eq!(made.len(), 1, "round {round}: {results:?}");
        let refused = results.iter().find_map(|result| result.as_ref().err()).unwrap();
        assert!(refused.to_string().contains("the name is taken"), "round {round}: {refused}");
        well(&machine, |host| host.destroy(made[0]).unwrap());
        machine.settles_to(&before, &format!("round {round}"));
    }
}
