//! `control live-update FILE`: the steps of Xen's own client, which each daemon that can be updated understands.

use super::{Done, Failure};
use std::path::{Component, Path, absolute};
use std::time::{Duration, Instant};
use xenstore::Xenstore;

/// How long a daemon that says `BUSY` (Xen's, while transactions are open) is asked again, unless -t says otherwise.
const PATIENCE: u64 = 60;

/// Makes the daemon go over to another program.
pub(super) fn update(xs: &mut Xenstore, options: &[&str], program: &str) -> Done {
    let (mut force, mut patience, mut rest) = (false, PATIENCE, options.iter());
    while let Some(option) = rest.next() {
        match (*option, rest.as_slice().first()) {
            ("-F", _) => force = true,
            ("-t", Some(seconds)) => {
                patience =
                    seconds.parse().map_err(|_| Failure::Usage(format!("-t {seconds}: seconds are expected")))?;
                rest.next();
            }
            (other, _) => {
                return Err(Failure::Usage(format!("live-update {other}: [-F] [-t SECONDS] FILE is expected")));
            }
        }
    }
    let seconds = patience.to_string();
    let path = absolute(program)?;
    let path = plain(&path).ok_or_else(|| Failure::Usage(format!("{program}: a name without .. is expected")))?;
    said_ok(&xs.control(&["live-update", "-f", path])?)?;
    let mut begin = vec!["live-update", "-s", "-t", &seconds];
    begin.extend(force.then_some("-F"));
    let since = Instant::now();
    loop {
        let said = xs.control(&begin)?;
        if said != "BUSY" || since.elapsed() > Duration::from_secs(patience) {
            return said_ok(&said);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A path that the daemon takes as it is.
fn plain(path: &Path) -> Option<&str> {
    if path.components().any(|part| part == Component::ParentDir) { None } else { path.to_str() }
}

fn said_ok(said: &str) -> Done {
    if said == "OK" { Ok(()) } else { Err(Failure::Refused(said.trim_end().replace('\n', " "))) }
}
