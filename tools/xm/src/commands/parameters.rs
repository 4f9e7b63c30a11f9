//! `xm set-parameters`: what of the hypervisor's command line can be changed while it runs.

use crate::failure::{Failure, Outcome};
use crate::output::line;
use crate::table::Args;
use toolstack::Host;
use xenctl::{Errno, Setting, Xen};

const FOLDER: &str = "/params";

pub fn set(args: &Args<'_>) -> Outcome {
    let wanted = args.rest("parameter");
    let wanted: Vec<(&str, &str)> = wanted.iter().flat_map(|arg| arg.split_whitespace()).map(parameter).collect();
    let xen = Host::open_hypervisor()?;
    let there = names(&xen)?;
    if wanted.is_empty() {
        for name in there {
            if let Setting::Value(value) = xen.setting(&format!("{FOLDER}/{name}"))? {
                line(&format!("{name}={value}"));
            }
        }
        return Ok(());
    }
    // All of them are looked for before one is changed.
    if let Some((unknown, _)) = wanted.iter().find(|(name, _)| !there.iter().any(|has| has == name)) {
        let known = there.join(", ");
        return Err(Failure::Told(3, format!("parameter {unknown}: this hypervisor can change only {known}")));
    }
    for (name, value) in wanted {
        xen.set_setting(&format!("{FOLDER}/{name}"), value).map_err(|error| match error.errno {
            Errno::EINVAL => Failure::usage(format!("parameter {name}: \"{value}\" is no value of it")),
            _ => Failure::Told(1, format!("parameter {name}: {error}")),
        })?;
    }
    Ok(())
}

fn names(xen: &Xen<impl xenctl::Hypercalls>) -> Result<Vec<String>, xenctl::Error> {
    match xen.setting(FOLDER)? {
        Setting::Directory(names) => Ok(names),
        _ => Ok(Vec::new()),
    }
}

/// Name and value of one word; a truth value may be `NAME` or `no-NAME`.
fn parameter(word: &str) -> (&str, &str) {
    match (word.split_once('='), word.strip_prefix("no-")) {
        (Some(pair), _) => pair,
        (None, Some(name)) => (name, "no"),
        (None, None) => (word, "yes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_command_line() {
        assert_eq!(parameter("loglvl=error/info"), ("loglvl", "error/info"));
        assert_eq!(parameter("a=b=c"), ("a", "b=c"));
        assert_eq!(parameter("global-pages"), ("global-pages", "yes"));
        assert_eq!(parameter("no-global-pages"), ("global-pages", "no"));
    }
}
