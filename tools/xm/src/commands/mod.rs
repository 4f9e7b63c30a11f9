//! What the commands do.

pub mod console;
pub mod counts;
pub mod create;
pub mod device;
pub mod info;
pub mod life;
pub mod list;
pub mod memory;
pub mod system;
pub mod vcpu;

use crate::failure::Failure;
use toolstack::{Domain, Host};

/// The machine.
pub(crate) fn host() -> Result<Host, Failure> {
    Ok(Host::open()?)
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
            eprintln!("{line}");
        }
    }
    last
}
