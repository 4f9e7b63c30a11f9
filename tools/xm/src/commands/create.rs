//! `xm create`.

use super::{console, working_host};
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::table::Args;
use toolstack::{DomainConfig, Options, config};

/// The configuration's file, if the arguments name one, and the settings after it.
pub(super) fn file_and_settings(args: &Args<'_>) -> (Option<String>, Vec<String>) {
    let mut rest = args.rest("config").into_iter().peekable();
    let file = match args.get("defconfig") {
        Some(file) => Some(file.to_owned()),
        None => rest.next_if(|first| first.starts_with('/') || !first.contains('=')),
    };
    (file, rest.collect())
}

/// Reads the configuration that the arguments name; warnings are told.
pub(super) fn read(args: &Args<'_>) -> Result<DomainConfig, Failure> {
    let (file, rest) = file_and_settings(args);
    let more: Vec<String> =
        rest.into_iter().flat_map(|setting| setting.split(';').map(str::to_owned).collect::<Vec<_>>()).collect();
    if let Some(wrong) = more.iter().find(|setting| !setting.contains('=')) {
        return Err(Failure::usage(format!("{wrong}: key=value is expected after the configuration file")));
    }
    let text = match &file {
        // /dev/null and settings alone are a configuration too.
        Some(file) => std::fs::read(file).map_err(|error| {
            let code = match error.kind() {
                std::io::ErrorKind::NotFound => 3,
                std::io::ErrorKind::PermissionDenied => 4,
                _ => 1,
            };
            Failure::Told(code, format!("configuration {file}: {error}"))
        })?,
        None if more.is_empty() => {
            return Err(Failure::usage("no configuration: `xm create FILE` or `xm create key=value …`"));
        }
        None => Vec::new(),
    };
    let name = file.as_deref().unwrap_or("command line");
    let text = String::from_utf8(text)
        .map_err(|_| Failure::failed(format!("configuration {name}: it is not text (UTF-8)")))?;
    let (config, warnings) = config::parse(&text, &more).map_err(|wrong| Failure::Told(2, wrong.with_file(name)))?;
    for warning in warnings {
        say!("warning: {}", warning.with_file(name));
    }
    Ok(config)
}

pub fn create(args: &Args<'_>) -> Outcome {
    let config = read(args)?;
    if args.flag("dry-run") {
        return show(&config);
    }
    let mut host = working_host()?;
    if !args.flag("quiet") && rustix::termios::isatty(rustix::stdio::stderr()) {
        host.progress = |step| say!("{step} …");
    }
    if args.flag("no-wait") {
        host.attend = Box::new(|_| Ok(()));
    }
    let connect = args.flag("console");
    let options = Options { paused: args.flag("paused") || connect, no_cache: args.flag("no-cache") };
    let domain = host.create(&config, options)?;
    let domid = domain.info.domid;
    if args.flag("json") {
        output::json(&serde_json::json!({ "domid": domid, "name": domain.name }));
    }
    if connect {
        return console::attach(&mut host, domid, !args.flag("paused"));
    }
    Ok(())
}

fn show(config: &DomainConfig) -> Outcome {
    output::json(&serde_json::to_value(config).unwrap_or_default());
    Ok(())
}
