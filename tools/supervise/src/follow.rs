//! A supervised program whose supervisor dies becomes the supervisor.

use crate::this_file;
use anyhow::Context as _;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use signal_hook::consts::SIGUSR1;
use signal_hook::iterator::Signals;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use tracing::warn;

/// In the environment of a supervised program: its supervisor's process id.
pub(crate) const SUPERVISOR: &str = "FERROXEN_SUPERVISOR";

/// To be called early in a supervised program. If its supervisor dies, this process becomes the supervisor: the same program, with
/// this process' arguments but `without`, and `with` (none if empty). That starts another one in its place. For this process it is
/// as if it were killed as well, through which a supervised program lives anyhow.
///
/// # Errors
/// It cannot be found out that the supervisor died.
pub fn follow(without: &str, with: &str) -> anyhow::Result<()> {
    let named = std::env::var(SUPERVISOR).ok().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
    // Without one it was started by hand.
    let Some(supervisor) = named else { return Ok(()) };
    let with = Some(OsString::from(with)).filter(|with| !with.is_empty());
    let args: Vec<OsString> = std::env::args_os().skip(1).filter(|arg| arg != without).chain(with).collect();
    let mut signals = Signals::new([SIGUSR1]).context("cannot catch signals")?;
    set_parent_process_death_signal(Some(Signal::USR1)).context("cannot follow the supervisor")?;
    let become_it = move || {
        // It may have died before the kernel knew whom to tell.
        while getppid() == Some(supervisor) {
            signals.wait().for_each(drop);
        }
        warn!("the supervisor is gone: taking its place");
        let own = std::env::args_os().next().unwrap_or_default();
        let failed = match this_file() {
            Ok(file) => Command::new(file).arg0(own).args(args).exec(),
            Err(error) => error,
        };
        warn!("there is no supervisor any more: {failed}");
    };
    std::thread::Builder::new().name("follow".into()).spawn(become_it).context("cannot start a thread")?;
    Ok(())
}
