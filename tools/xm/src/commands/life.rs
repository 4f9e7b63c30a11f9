//! Ending, stopping, renaming domains.

use super::{each, host, working_host};
use crate::failure::{Failure, Outcome};
use crate::table::Args;
use std::time::Duration;
use toolstack::{Control, Host};

pub fn destroy(args: &Args<'_>) -> Outcome {
    let mut host = working_host()?;
    each(&mut host, &args.rest("domain"), |host, domain| Ok(host.destroy(domain.info.domid)?))
}

pub fn pause(args: &Args<'_>) -> Outcome {
    let mut host = host()?;
    each(&mut host, &args.rest("domain"), |host, domain| Ok(host.xen.pause_domain(domain.info.domid)?))
}

pub fn unpause(args: &Args<'_>) -> Outcome {
    let mut host = host()?;
    each(&mut host, &args.rest("domain"), |host, domain| Ok(host.xen.unpause_domain(domain.info.domid)?))
}

pub fn rename(args: &Args<'_>) -> Outcome {
    let mut host = host()?;
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
