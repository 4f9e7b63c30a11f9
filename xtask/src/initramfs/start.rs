//! Which daemons a machine's dom0 starts, and how.

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::setup::XenRelease;

const START: &str = include_str!("start.sh");

/// Whose daemons run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Whose {
    /// Ours.
    Ferroxen,
    /// Debian's: the xenstored in C.
    Debian,
    /// Debian's: the xenstored in OCaml.
    Oxenstored,
}

/// The daemons of one boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Daemons {
    whose: Whose,
    /// Our tools are there.
    ours: bool,
    /// Debian's are.
    debians: bool,
}

impl Daemons {
    /// Those that are wanted, where the tools are there; without a wish ours before Debian's.
    pub fn choose(wanted: Option<Whose>, ours: bool, debians: bool) -> Result<Daemons> {
        let whose = wanted.unwrap_or(if ours { Whose::Ferroxen } else { Whose::Debian });
        if !(if whose == Whose::Ferroxen { ours } else { debians }) {
            bail!("--daemons names tools that are not there: add --tools both");
        }
        Ok(Daemons { whose, ours, debians })
    }

    /// The script that starts them; Debian's are of this release.
    pub fn script(self, release: Option<XenRelease>) -> String {
        let release = release.map(XenRelease::name).unwrap_or_default();
        let daemons = match self.whose {
            Whose::Ferroxen => "ferroxen",
            Whose::Debian => "debian",
            Whose::Oxenstored => "oxenstored",
        };
        let flag = |is: bool| if is { "1" } else { "" };
        format!("RELEASE={release} OURS={} DEBIANS={} DAEMONS={daemons}\n{START}", flag(self.ours), flag(self.debians))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn daemons_that_are_not_there_are_refused() {
        assert!(Daemons::choose(Some(Whose::Ferroxen), false, true).is_err());
        assert!(Daemons::choose(Some(Whose::Oxenstored), true, false).is_err());
        assert_eq!(Daemons::choose(None, true, true).unwrap().whose, Whose::Ferroxen);
        assert_eq!(Daemons::choose(None, false, true).unwrap().whose, Whose::Debian);
    }

    #[test]
    fn the_script_names_release_and_daemons() {
        let daemons = Daemons::choose(Some(Whose::Oxenstored), true, true).unwrap();
        let script = daemons.script(Some(XenRelease::V4_17));
        assert!(script.starts_with("RELEASE=4.17 OURS=1 DEBIANS=1 DAEMONS=oxenstored\n"), "{script}");
    }
}
