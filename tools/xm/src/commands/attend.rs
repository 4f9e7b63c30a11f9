//! The process behind every domain: it outlives the command that made it, and does what the configuration says when the
//! domain ends. It is started again when it is killed.

use super::recover;
use crate::failure::{Failure, Outcome};
use crate::table::Args;
use std::process::{Command, Stdio};
use std::time::Duration;
use supervise::Supervised;
use toolstack::{Attendance, Ended, Error, Host, Kind, uuid};

/// Starts it for a domain.
pub fn start(domain: &[u8; 16]) -> toolstack::Result<()> {
    let unseen = || Error::io(format!("domain {}: nobody would see it end", uuid::format(domain)));
    let program = std::env::current_exe().map_err(unseen())?;
    let log = std::fs::create_dir_all("/var/log/xen")
        .and_then(|()| std::fs::File::options().create(true).append(true).open("/var/log/xen/xm.log"));
    let (out, err) = match log.and_then(|log| Ok((log.try_clone()?, log))) {
        Ok((out, err)) => (Stdio::from(out), Stdio::from(err)),
        Err(_) => (Stdio::null(), Stdio::null()),
    };
    Command::new(program)
        .args(["attend", &uuid::format(domain)])
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .spawn()
        .map(drop)
        .map_err(unseen())
}

/// `xm attend`: a supervisor, and below it whoever does the work.
pub fn attend(args: &Args<'_>) -> Outcome {
    let word = args.one("uuid");
    let domain = uuid::parse(word).ok_or_else(|| Failure::usage(format!("{word}: a domain's UUID is expected")))?;
    if args.flag("supervised") {
        let followed = supervise::follow("--supervised", "");
        followed.map_err(|error| Failure::failed(format!("domain {word}: {error:#}")))?;
        return work(&domain);
    }
    // Without a session of its own it would end with the terminal.
    let _ = rustix::process::setsid();
    let again = Supervised::this_program("--supervised").and_then(|mut worker| {
        worker.args.push("--supervised".into());
        worker.run()
    });
    again.map_err(|error| Failure::failed(format!("domain {word}: {error:#}")))
}

fn work(domain: &[u8; 16]) -> Outcome {
    let name = uuid::format(domain);
    loop {
        match look_after(domain) {
            Ok(Some(Ended::Restarted(next))) => say!("domain {name}: it is back as domain {next}"),
            Ok(ended) => {
                say!("domain {name}: {ended:?}");
                return Ok(());
            }
            // The store may be starting again.
            Err(error) if error.kind() == Kind::Down => {
                say!("domain {name}: {error}");
                std::thread::sleep(Duration::from_secs(1));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// One life of the domain. `None`: it is gone, or another process attends to it.
fn look_after(domain: &[u8; 16]) -> toolstack::Result<Option<Ended>> {
    let mut host = Host::open()?;
    let Some(attendance) = wait_for_attendance(&host, domain)? else { return Ok(None) };
    host.log = |line| say!("{line}");
    let own = *domain;
    host.attend = Box::new(move |other| if *other == own { Ok(()) } else { start(other) });
    // A process like this one may have been killed while the domain was between two lives.
    recover(&mut host)?;
    let ended = match host.find(&uuid::format(domain)) {
        Ok(found) => host.attend(found.info.domid)?,
        Err(Error::NoDomain(_)) => None,
        Err(error) => return Err(error),
    };
    if !matches!(ended, Some(Ended::Restarted(_))) {
        attendance.over();
    }
    Ok(ended)
}

/// Another process may be about to end, because it found the domain gone just before it was there again.
fn wait_for_attendance(host: &Host, domain: &[u8; 16]) -> toolstack::Result<Option<Attendance>> {
    for _ in 0..20 {
        if let Some(attendance) = host.attendance(domain)? {
            return Ok(Some(attendance));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(None)
}
