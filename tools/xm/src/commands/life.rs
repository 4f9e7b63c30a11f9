//! Ending, stopping, renaming domains.

use super::{each, host, working_host};
use crate::failure::{Failure, Outcome};
use crate::table::Args;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toolstack::{Control, Dump, Host};
use xen_abi::domctl::{
    XEN_DOMCTL_SENDTRIGGER_INIT, XEN_DOMCTL_SENDTRIGGER_NMI, XEN_DOMCTL_SENDTRIGGER_POWER,
    XEN_DOMCTL_SENDTRIGGER_RESET, XEN_DOMCTL_SENDTRIGGER_SLEEP,
};
use xen_abi::sched::{SHUTDOWN_crash, SHUTDOWN_reboot};

/// Where core files go whose place nobody names.
const DUMP_DIR: &str = "/var/lib/xen/dump";

pub fn destroy(args: &Args<'_>) -> Outcome {
    let mut host = working_host()?;
    each(&mut host, &args.rest("domain"), |host, domain| Ok(host.destroy(domain.info.domid)?))
}

pub fn pause(args: &Args<'_>) -> Outcome {
    let mut host = working_host()?;
    each(&mut host, &args.rest("domain"), |host, domain| Ok(host.xen.pause_domain(domain.info.domid)?))
}

pub fn unpause(args: &Args<'_>) -> Outcome {
    // Not after recovery, which may let it go on: nothing would be left to do.
    let mut host = host()?;
    each(&mut host, &args.rest("domain"), |host, domain| Ok(host.xen.unpause_domain(domain.info.domid)?))
}

pub fn rename(args: &Args<'_>) -> Outcome {
    let mut host = working_host()?;
    let domain = host.find(args.one("domain"))?;
    Ok(host.rename(domain.info.domid, &domain.info.uuid, args.one("name"))?)
}

pub fn sysrq(args: &Args<'_>) -> Outcome {
    let mut letters = args.one("letter").chars();
    let (Some(letter), None) = (letters.next(), letters.next()) else {
        return Err(Failure::usage(format!("{}: one letter is expected", args.one("letter"))));
    };
    let mut host = host()?;
    let domain = host.find(args.one("domain"))?;
    Ok(host.sysrq(domain.info.domid, letter)?)
}

/// The words of `trigger`, as xl has them.
const TRIGGERS: [(&str, u32); 5] = [
    ("nmi", XEN_DOMCTL_SENDTRIGGER_NMI),
    ("reset", XEN_DOMCTL_SENDTRIGGER_RESET),
    ("init", XEN_DOMCTL_SENDTRIGGER_INIT),
    ("power", XEN_DOMCTL_SENDTRIGGER_POWER),
    ("sleep", XEN_DOMCTL_SENDTRIGGER_SLEEP),
];

pub fn trigger(args: &Args<'_>) -> Outcome {
    let word = args.one("trigger");
    let Some((_, number)) = TRIGGERS.iter().find(|(known, _)| *known == word) else {
        let all = TRIGGERS.map(|(known, _)| known);
        return Err(Failure::usage(format!("{word}: one of {} is expected", all.join(", "))));
    };
    let vcpu = args.get("vcpu").unwrap_or("0");
    let vcpu: u32 = vcpu.parse().map_err(|_| Failure::usage(format!("{vcpu}: a vcpu's number is expected")))?;
    let mut host = host()?;
    let domain = host.find(args.one("domain"))?;
    Ok(host.xen.send_trigger(domain.info.domid, *number, vcpu)?)
}

pub fn button_press(args: &Args<'_>) -> Outcome {
    let word = args.one("button");
    let Some((_, number)) = TRIGGERS.iter().find(|(known, _)| *known == word && ["power", "sleep"].contains(&word))
    else {
        return Err(Failure::usage(format!("{word}: power or sleep is expected")));
    };
    let mut host = host()?;
    let domain = host.find(args.one("domain"))?;
    Ok(host.xen.send_trigger(domain.info.domid, *number, 0)?)
}

/// A domain's memory and registers go into a file.
pub fn dump_core(args: &Args<'_>) -> Outcome {
    let mut host = working_host()?;
    let domain = host.find(args.one("domain"))?;
    let domid = domain.info.domid;
    let after = match (args.flag("crash"), args.flag("reset")) {
        (true, true) => return Err(Failure::usage("--crash and --reset cannot be combined")),
        (true, false) => Some(SHUTDOWN_crash),
        (false, true) => Some(SHUTDOWN_reboot),
        (false, false) => None,
    };
    if domid == 0 {
        return Err(Failure::usage("domain 0: it cannot write its own memory; its kernel's kdump can"));
    }
    let file = match args.get("file") {
        Some(file) => PathBuf::from(file),
        None => {
            let dir = Path::new(DUMP_DIR);
            std::fs::create_dir_all(dir).map_err(toolstack::Error::io(format!("cannot make {DUMP_DIR}")))?;
            dir.join(format!("{}.core", domain.name))
        }
    };
    let dumped = host.dump(domid, &file, Dump { live: args.flag("live"), after })?;
    if dumped.lost > 0 {
        say!("warning: {} of {} pages went away meanwhile and are empty", dumped.lost, dumped.frames);
    }
    crate::output::line(&format!("{}: {} MiB", file.display(), dumped.frames / 256));
    Ok(())
}

/// A new configuration for the domain's next start (`reboot`, `on_*=restart`).
pub fn config_update(args: &Args<'_>) -> Outcome {
    let mut host = working_host()?;
    let domain = host.find(args.one("domain"))?;
    let domid = domain.info.domid;
    let Some(old) = host.config_of(domid) else {
        return Err(Failure::failed(format!("domain {}: it was not made by these tools", domain.name)));
    };
    let mut config = super::create::read(args)?;
    if config.name != domain.name {
        let (new, name) = (&config.name, &domain.name);
        return Err(Failure::usage(format!(
            "name \"{new}\": it is domain {name}'s configuration; `xm rename` renames"
        )));
    }
    config.uuid = Some(domain.info.uuid);
    // A card that is still there keeps its address.
    for (vif, before) in config.vifs.iter_mut().zip(&old.vifs) {
        vif.mac = vif.mac.take().or_else(|| before.mac.clone());
    }
    Ok(host.update_config(domid, &config)?)
}

pub fn shutdown(args: &Args<'_>) -> Outcome {
    ask(args, Control::PowerOff)
}

pub fn reboot(args: &Args<'_>) -> Outcome {
    ask(args, Control::Reboot)
}

fn ask(args: &Args<'_>, what: Control) -> Outcome {
    let patience = match args.get("timeout") {
        None => None,
        Some(text) => match text.parse() {
            Ok(seconds) => Some(Duration::from_secs(seconds)),
            Err(_) => return Err(Failure::usage(format!("--timeout {text}: seconds are expected"))),
        },
    };
    let mut host: Host = host()?;
    let mut names = args.rest("domain");
    if args.flag("all") {
        let all = host.domains()?;
        names =
            all.iter().filter(|domain| domain.info.domid != 0).map(|domain| domain.info.domid.to_string()).collect();
    } else if names.is_empty() {
        return Err(Failure::usage("no domain: name some, or --all"));
    }
    let mut asked = Vec::new();
    each(&mut host, &names, |host, domain| {
        host.ask(domain.info.domid, what)?;
        asked.push(domain.info.domid);
        Ok(())
    })?;
    if args.flag("wait") || patience.is_some() {
        for domid in asked {
            host.wait_for_end(domid, patience)?;
        }
    }
    Ok(())
}
