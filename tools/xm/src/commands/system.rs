//! What is not for people: starting the control domain, what packagers need.

use super::host;
use crate::failure::{Failure, Outcome};
use crate::output::text;
use crate::table::{self, Args};
use clap_complete::Shell;

pub fn init_dom0(_: &Args<'_>) -> Outcome {
    Ok(host()?.introduce_control_domain()?)
}

/// What these tools said of domains that ended, and of daemons that did.
pub fn log(_: &Args<'_>) -> Outcome {
    const LOG: &str = "/var/log/xen/xm.log";
    match std::fs::read(LOG) {
        Ok(bytes) => text(&String::from_utf8_lossy(&bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(toolstack::Error::io(format!("cannot read {LOG}"))(error).into()),
    }
    Ok(())
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
