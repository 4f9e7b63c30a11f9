//! Every command that changes a running domain, killed at every step: the guest lives, the next command takes back or
//! finishes what was left, a second try works, and nothing leaks.

use super::*;
use toolstack::{Control, Disk, Dump, Vif};
use xenctl::DomainInfo;

/// A domain that lives through kills.
struct Guest<'a> {
    machine: &'a Machine,
    info: DomainInfo,
}

impl Guest<'_> {
    /// It is there, runs, and is the same.
    fn lives(&self, after: &str) {
        let now = self.machine.tool(&Fate::kind()).xen.domain_info(self.info.domid).unwrap();
        let now = now.unwrap_or_else(|| panic!("{after}: it is gone"));
        assert!(!now.paused() && now.shutdown().is_none() && !now.dying(), "{after}: {now:?}");
    }
}

/// Kills `command` at every step of it. After each kill and the next command's recovery the guest has to live, `command` has to
/// work (or to say that it is done already), and `undo` to lead back to where it began.
fn killed_everywhere(
    command: impl Fn(&mut Host<Tool>, &DomainInfo) -> toolstack::Result<()>,
    undo: impl Fn(&mut Host<Tool>, &DomainInfo) -> toolstack::Result<()>,
    least: u64,
) {
    let machine = Machine::new();
    let clean = machine.picture();
    let info = well(&machine, |host| create(host, &machine.config()).unwrap().info);
    let guest = Guest { machine: &machine, info };
    // Once there and back: what stays of that belongs to the domain.
    well(&machine, |host| command(host, &info).and_then(|()| undo(host, &info)).unwrap());
    let before = machine.settled();
    let mut at = 0;
    loop {
        let place = format!("a kill at step {at}");
        let killed = process(&machine, &Fate::new(Blow::Death, at), |host| command(host, &info)).is_none();
        recover(&machine, &place);
        guest.lives(&place);
        // What was finished says so; everything else works.
        let second = well(&machine, |host| command(host, &info));
        if let Err(error) = second {
            assert!(error.to_string().contains("already"), "{place}: {error}");
        }
        guest.lives(&place);
        well(&machine, |host| undo(host, &info).unwrap_or_else(|error| panic!("{place}: {error}")));
        machine.settles_to(&before, &place);
        if !killed {
            break;
        }
        at += 1;
    }
    assert!(at >= least, "{at} steps");
    assert_eq!(machine.dom0.torn(), [""; 0], "taken from a guest that lives");
    well(&machine, |host| host.destroy(info.domid).unwrap());
    machine.settles_to(&clean, "its end");
}

fn nothing(_: &mut Host<Tool>, _: &DomainInfo) -> toolstack::Result<()> {
    Ok(())
}

fn image(host: &Host<Tool>) -> Disk {
    let file = host.run_dir.with_file_name("image");
    if !file.exists() {
        std::fs::write(&file, [0; 4096]).unwrap();
    }
    Disk::parse(&format!("{},raw,xvdb,w", file.display())).unwrap()
}

#[test]
fn memory_vcpus_and_pins() {
    killed_everywhere(
        |host, info| {
            host.set_max_memory(info.domid, 6 << 10)?;
            host.set_memory(info.domid, 6 << 10)?;
            host.set_vcpus(info.domid, 1)?;
            host.pin_vcpus(info.domid, None, Some("0"), None)
        },
        nothing,
        5,
    );
}

#[test]
fn names_and_configurations() {
    killed_everywhere(
        |host, info| {
            host.rename(info.domid, &info.uuid, "other")?;
            let mut config = host.config_of(info.domid).unwrap();
            assert_eq!(config.name, "other");
            config.command_line.push('x');
            host.update_config(info.domid, &config)
        },
        |host, info| host.rename(info.domid, &info.uuid, "guest"),
        5,
    );
}

#[test]
fn a_request_to_reboot() {
    killed_everywhere(|host, info| host.ask(info.domid, Control::Reboot), nothing, 1);
}

#[test]
fn a_core_file() {
    killed_everywhere(
        |host, info| {
            let file = host.run_dir.with_file_name("core");
            // The kernel of this test never says where its memory is.
            match host.dump(info.domid, &file, Dump::default()) {
                Err(error) if !error.to_string().contains("max_pfn") => Err(error),
                _ => Ok(()),
            }
        },
        |host, _| {
            let dir = std::fs::read_dir(host.run_dir.parent().unwrap()).unwrap();
            assert!(!dir.flatten().any(|file| file.file_name().to_string_lossy().starts_with(".core")));
            Ok(())
        },
        4,
    );
}

#[test]
fn a_disk_that_is_plugged_in() {
    killed_everywhere(
        |host, info| host.block_attach(info.domid, &image(host)),
        |host, info| host.block_detach(info.domid, "xvdb", false),
        10,
    );
}

#[test]
fn a_disk_that_is_taken_out() {
    killed_everywhere(
        |host, info| {
            if host.disks_of(info.domid)?.is_empty() {
                // The kill came when all was done.
                return Ok(());
            }
            host.block_detach(info.domid, "xvdb", false)
        },
        |host, info| host.block_attach(info.domid, &image(host)),
        0,
    );
}

#[test]
fn a_network_card_that_comes_and_goes() {
    killed_everywhere(
        |host, info| {
            host.network_attach(info.domid, &Vif::default())?;
            host.network_detach(info.domid, "0", false)
        },
        |host, info| {
            // One that was whole when the kill came stays; the second one went by the number of the first.
            while let Some(vif) = host.vifs_of(info.domid)?.first() {
                host.network_detach(info.domid, &vif.index.to_string(), false)?;
            }
            Ok(())
        },
        20,
    );
}

/// A guest with a disk: whoever makes it is killed at every step that the disk adds, and no loop device stays.
#[test]
fn a_creation_with_a_disk_and_a_card() {
    let machine = Machine::new();
    let disk = image(&machine.tool(&Fate::kind()));
    let vifs = vec![Vif::default()];
    let config = DomainConfig { disks: vec![disk], vifs, ..machine.config() };
    let domid = well(&machine, |host| create(host, &config).unwrap().info.domid);
    well(&machine, |host| host.destroy(domid).unwrap());
    let before = machine.picture();
    let mut at = 40;
    loop {
        let place = format!("a kill at step {at}");
        let killed = process(&machine, &Fate::new(Blow::Death, at), |host| create(host, &config).map(drop)).is_none();
        recover(&machine, &place);
        if let Ok(domain) = machine.tool(&Fate::kind()).find("guest") {
            well(&machine, |host| host.destroy(domain.info.domid).unwrap());
        }
        machine.settles_to(&before, &place);
        if !killed {
            break;
        }
        at += 1;
    }
    assert!(at > 100, "{at} steps");
}
