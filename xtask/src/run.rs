//! `./x run`: dom0 with guests already running, and a shell in it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

use crate::boot::{self, BootArgs, Hypervisor};
use crate::paths::Paths;

/// What `./x run` is told.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Start this guest (a configuration as xl.cfg) instead of the two examples; files that it names are taken along
    #[arg(value_name = "CONFIG")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub boot: BootArgs,
}

/// What dom0 does before its shell.
const EXAMPLES: &str = "sh /guests/prepare
echo 'starting two guests: Debian kernels, one from a ramdisk, one with a disk and a network card'
xm create -q /guests/ramdisk.cfg
xm create -q /guests/disk.cfg
xm list
echo 'Try:  xm console disk          (its console; Ctrl-] leaves it)'
echo '      ping 192.168.77.2        (the same guest by its network)'
echo '      xm shutdown ramdisk; xm create -c /guests/hello.cfg; xm help'
";

const OWN: &str = "sh /guests/prepare
xm create -q /guests/own.cfg
xm list
echo 'Its configuration is /guests/own.cfg; `xm list`, `xm console NAME` (Ctrl-] leaves it), `xm help` go on.'
";

/// `./x run`. Returns the exit status.
pub fn main(paths: &Paths, args: &RunArgs) -> Result<i32> {
    let mut boot = args.boot.clone();
    if boot.hypervisor != Hypervisor::None && boot.guest.is_none() {
        boot.tools.get_or_insert_with(|| "ferroxen".to_owned());
        boot.guests = true;
        if boot.exec.is_none() {
            boot.welcome = Some(if args.config.is_some() { OWN } else { EXAMPLES });
        }
    }
    if let Some(config) = &args.config {
        let text = fs::read_to_string(config).with_context(|| format!("configuration {}", config.display()))?;
        boot.file.push(format!("guests/own.cfg={}", fs::canonicalize(config)?.display()));
        boot.file.extend(named_files(&text).map(|path| format!("{path}={path}")));
    }
    boot.cmdline = boot::for_guests(&boot.hypervisor, &boot.cmdline);
    boot::main(paths, &boot)
}

/// Files of this machine that a configuration names by their whole path.
fn named_files(text: &str) -> impl Iterator<Item = &str> {
    text.split(['"', '\'', ',', '=', ' ', '\n', ':'])
        .filter(|word| word.starts_with('/') && !word.starts_with("/dev/") && Path::new(word).is_file())
}

#[cfg(test)]
mod tests {
    #[test]
    fn files_that_a_configuration_names_are_found() {
        let this = concat!(env!("CARGO_MANIFEST_DIR"), "/src/run.rs");
        let text =
            format!("kernel = '{this}'\ndisk = [ 'phy:/dev/null,xvda,w', 'format=raw,vdev=xvdb,target={this}' ]\n");
        let found: Vec<&str> = super::named_files(&text).collect();
        assert_eq!(found, [this, this]);
    }
}
