//! `xm console`.

use super::host;
use crate::failure::{Failure, Outcome};
use crate::table::Args;
use crate::terminal;
use std::time::{Duration, Instant};
use toolstack::Host;
use xenstore::Access as _;

pub fn console(args: &Args<'_>) -> Outcome {
    let mut host = host()?;
    let domain = host.find(args.one("domain"))?;
    attach(&mut host, domain.info.domid, false)
}

/// Connects to a domain's console as soon as there is one; then, if `unpause`, lets the domain go, so that no line of it is
/// missed.
pub fn attach(host: &mut Host, domid: u16, unpause: bool) -> Outcome {
    const PATIENCE: Duration = Duration::from_secs(10);
    let path = format!("/local/domain/{domid}/console/tty");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let tty = host.xs.read_if_there(&path)?.unwrap_or_default();
        if !tty.is_empty() {
            return terminal::connect(&String::from_utf8_lossy(&tty), || {
                if unpause {
                    host.xen.unpause_domain(domid)?;
                }
                Ok(())
            });
        }
        if Instant::now() > deadline {
            if unpause {
                host.xen.unpause_domain(domid)?;
            }
            let line = format!("domain {domid}: it has no console; is xenconsoled running?");
            return Err(Failure::Told(6, line));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
