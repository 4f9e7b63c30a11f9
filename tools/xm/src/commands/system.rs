//! What is not for people: starting the control domain, attending a domain, what packagers need.

use super::host;
use crate::failure::{Failure, Outcome};
use crate::output::text;
use crate::table::{self, Args};
use clap_complete::Shell;
use toolstack::{Ended, Host};

pub fn init_dom0(_: &Args<'_>) -> Outcome {
    Ok(host()?.introduce_control_domain()?)
}

/// The process behind every domain: it outlives the command that made it.
pub fn attend(args: &Args<'_>) -> Outcome {
    let word = args.one("domid");
    let mut domid: u16 = word.parse().map_err(|_| Failure::usage(format!("{word}: a domain's number is expected")))?;
    // Without a session of its own it would end with the terminal.
    let _ = rustix::process::setsid();
    loop {
        match Host::open().and_then(|mut host| host.attend(domid)) {
            Ok(Some(Ended::Restarted(next))) => {
                eprintln!("domain {domid}: it is back as domain {next}");
                domid = next;
            }
            Ok(ended) => {
                eprintln!("domain {domid}: {ended:?}");
                return Ok(());
            }
            // The store may be starting again.
            Err(error) if error.kind() == toolstack::Kind::Down => {
                eprintln!("domain {domid}: {error}");
                std::thread::sleep(std::time::Duration::from_secs(1));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

pub fn completion(args: &Args<'_>) -> Outcome {
    let shell = match args.one("shell") {
        "bash" => Shell::Bash,
        "zsh" => Shell::Zsh,
        "fish" => Shell::Fish,
        other => return Err(Failure::usage(format!("{other}: bash, zsh or fish is expected"))),
    };
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut table::command("xm"), "xm", &mut out);
    text(&String::from_utf8_lossy(&out));
    Ok(())
}

pub fn man(_: &Args<'_>) -> Outcome {
    let mut out = Vec::new();
    let page = clap_mangen::Man::new(table::command("xm"));
    page.render(&mut out).map_err(|error| Failure::failed(format!("the manual page: {error}")))?;
    text(&String::from_utf8_lossy(&out));
    Ok(())
}
