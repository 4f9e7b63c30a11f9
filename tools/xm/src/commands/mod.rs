//! What the commands do.

pub mod apply;
pub mod attend;
pub mod console;
pub mod counts;
pub mod create;
pub mod device;
pub mod info;
pub mod life;
pub mod list;
pub mod memory;
pub mod parameters;
pub mod pool;
pub mod sched;
pub mod system;
pub mod vcpu;

use crate::failure::Failure;
use toolstack::{Domain, Host, Recovered, uuid};

/// The machine.
pub(crate) fn host() -> Result<Host, Failure> {
    Ok(Host::open()?)
}

/// The machine, for who changes something: what killed commands left undone is finished first.
pub(crate) fn working_host() -> Result<Host, Failure> {
    let mut host = host()?;
    host.attend = Box::new(attend::start);
    recover(&mut host)?;
    Ok(host)
}

/// Finishes what killed commands left undone, and tells of it.
pub(crate) fn recover(host: &mut Host) -> toolstack::Result<()> {
    for found in host.recover()? {
        match found {
            Recovered::Gone(uuid) => {
                say!("domain {}: what a killed command left of it was taken away", uuid::format(&uuid));
            }
            Recovered::There(domid) => {
                say!("domain {domid}: a killed command had not finished it; it is complete")
            }
            Recovered::Unplugged(domid, device) => {
                say!("domain {domid}: {device}, which a killed command had not plugged in whole, was taken out");
            }
            Recovered::GoesOn(domid) => {
                say!("domain {domid}: a killed command had paused it for a core file; it goes on");
            }
            Recovered::NoPool(id) => say!("CPU pool {id}: what a killed command left of it was taken away"),
            Recovered::Failed(uuid, why) if uuid == [0; 16] => {
                say!("warning: CPU pools: a killed command left its work unfinished: {why}");
            }
            Recovered::Failed(uuid, why) => {
                say!("warning: domain {}: a killed command left it unfinished: {why}", uuid::format(&uuid));
            }
        }
    }
    Ok(())
}

/// The domains that are named, or all.
pub(crate) fn chosen(host: &mut Host, names: &[String]) -> Result<Vec<Domain>, Failure> {
    if names.is_empty() {
        return Ok(host.domains()?);
    }
    names.iter().map(|name| Ok(host.find(name)?)).collect()
}

/// Does something to each; what fails is told, and the rest is done.
pub(crate) fn each(
    host: &mut Host,
    names: &[String],
    mut f: impl FnMut(&mut Host, &Domain) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut last = Ok(());
    for name in names {
        let done = match host.find(name) {
            Ok(domain) => f(host, &domain),
            Err(error) => Err(error.into()),
        };
        if let Err(failure) = done
            && let Err(Failure::Told(_, line)) = std::mem::replace(&mut last, Err(failure))
        {
            say!("{line}");
        }
    }
    last
}
