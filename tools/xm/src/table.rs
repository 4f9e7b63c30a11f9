//! The one table: parser, help, man page, completion and tests come from it.

use crate::commands;
use crate::failure::{CODES, Failure, Outcome};
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::ffi::OsString;

/// What a command may be given.
#[derive(Clone, Copy, Debug)]
pub enum Param {
    /// `-x`, `--long`: there or not.
    Flag(char, &'static str, &'static str),
    /// `--long VALUE`.
    Value(&'static str, &'static str, &'static str),
    /// A positional that must be there.
    One(&'static str, &'static str),
    /// A positional that may be there.
    Maybe(&'static str, &'static str),
    /// All other positionals.
    Rest(&'static str, &'static str),
    /// All other positionals; one at least.
    Some(&'static str, &'static str),
}

/// One command.
#[derive(Debug)]
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// Other names.
    pub aliases: &'static [&'static str],
    /// What it does, in a line.
    pub about: &'static str,
    /// What it may be given.
    pub params: &'static [Param],
    /// Does it.
    pub run: fn(&Args<'_>) -> Outcome,
    /// Not for people.
    pub hidden: bool,
}

/// What a command was given.
#[derive(Debug)]
pub struct Args<'a>(&'a ArgMatches);

impl Args<'_> {
    /// Whether a flag is there.
    pub fn flag(&self, name: &str) -> bool {
        self.0.get_flag(name)
    }
    /// A value that may be there.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get_one::<String>(name).map(String::as_str)
    }
    /// A value that must be there.
    pub fn one(&self, name: &str) -> &str {
        self.get(name).unwrap_or("")
    }
    /// The rest.
    pub fn rest(&self, name: &str) -> Vec<String> {
        self.0.get_many::<String>(name).map(|all| all.cloned().collect()).unwrap_or_default()
    }
}

const DOMAIN: Param = Param::One("domain", "Name, number or UUID");
const JSON: Param = Param::Flag('j', "json", "Print JSON");

const fn entry(
    name: &'static str,
    about: &'static str,
    params: &'static [Param],
    run: fn(&Args<'_>) -> Outcome,
) -> Entry {
    Entry { name, aliases: &[], about, params, run, hidden: false }
}

/// All commands.
pub const TABLE: &[Entry] = &[
    Entry {
        aliases: &["new", "start"],
        ..entry(
            "create",
            "Create a domain from a configuration",
            &[
                Param::Flag('c', "console", "Connect to its console"),
                Param::Flag('p', "paused", "Leave it paused"),
                Param::Flag('q', "quiet", "Say nothing of progress"),
                Param::Flag('n', "dry-run", "Only check the configuration"),
                Param::Flag('e', "no-wait", "Do nothing when it ends"),
                Param::Flag('C', "no-cache", "Unpack its kernel anew"),
                Param::Value("defconfig", "FILE", "The configuration (as the first argument)"),
                JSON,
                Param::Rest("config", "Configuration file, then key=value settings that override it"),
            ],
            commands::create::create,
        )
    },
    Entry {
        aliases: &["ls"],
        ..entry(
            "list",
            "List domains",
            &[
                Param::Flag('l', "long", "Everything, as JSON"),
                Param::Flag('v', "verbose", "UUID and why it shut down, too"),
                JSON,
                Param::Rest("domain", "Only these"),
            ],
            commands::list::list,
        )
    },
    entry("console", "Connect to a domain's console (Ctrl-] leaves it)", &[DOMAIN], commands::console::console),
    entry(
        "destroy",
        "End a domain at once",
        &[
            Param::Flag('f', "force", "As without (for scripts of xl)"),
            Param::Some("domain", "Names, numbers or UUIDs"),
        ],
        commands::life::destroy,
    ),
    entry(
        "shutdown",
        "Ask a domain to switch itself off",
        &[
            Param::Flag('w', "wait", "Wait until it did"),
            Param::Flag('a', "all", "All domains but the control domain"),
            Param::Flag('F', "fallback", "As without (for scripts of xl)"),
            Param::Value("timeout", "SECONDS", "How long to wait at most"),
            Param::Rest("domain", "Names, numbers or UUIDs"),
        ],
        commands::life::shutdown,
    ),
    entry(
        "reboot",
        "Ask a domain to start anew",
        &[
            Param::Flag('w', "wait", "Wait until it ended"),
            Param::Flag('a', "all", "All domains but the control domain"),
            Param::Flag('F', "fallback", "As without (for scripts of xl)"),
            Param::Value("timeout", "SECONDS", "How long to wait at most"),
            Param::Rest("domain", "Names, numbers or UUIDs"),
        ],
        commands::life::reboot,
    ),
    entry("pause", "Stop a domain's vcpus", &[Param::Some("domain", "Names, numbers or UUIDs")], commands::life::pause),
    entry(
        "unpause",
        "Let a paused domain go on",
        &[Param::Some("domain", "Names, numbers or UUIDs")],
        commands::life::unpause,
    ),
    entry(
        "rename",
        "Give a domain another name",
        &[DOMAIN, Param::One("name", "The new name")],
        commands::life::rename,
    ),
    entry("vm-list", "List domains with their UUIDs", &[JSON], commands::list::vm_list),
    entry("claims", "List domains with the memory that is claimed for them", &[JSON], commands::list::claims),
    entry("domid", "A domain's number", &[DOMAIN], commands::list::domid),
    entry("domname", "A domain's name", &[DOMAIN], commands::list::domname),
    entry(
        "uptime",
        "How long domains have been running",
        &[Param::Flag('s', "short", "Shorter"), JSON, Param::Rest("domain", "Only these")],
        commands::list::uptime,
    ),
    entry(
        "config-update",
        "Give a domain another configuration, for its next start",
        &[
            DOMAIN,
            Param::Value("defconfig", "FILE", "The configuration (as the second argument)"),
            Param::Rest("config", "Configuration file, then key=value settings that override it"),
        ],
        commands::life::config_update,
    ),
    entry(
        "trigger",
        "Pull a trigger of a vcpu",
        &[
            DOMAIN,
            Param::One("trigger", "nmi, reset, init, power or sleep (a PV domain has nmi alone)"),
            Param::Maybe("vcpu", "Which (0)"),
        ],
        commands::life::trigger,
    ),
    entry(
        "sysrq",
        "Send a domain a magic system request",
        &[DOMAIN, Param::One("letter", "Which")],
        commands::life::sysrq,
    ),
    entry(
        "info",
        "The machine and the hypervisor",
        &[Param::Flag('n', "numa", "Nodes and CPUs, too"), JSON],
        commands::info::info,
    ),
    entry(
        "dmesg",
        "The hypervisor's console",
        &[Param::Flag('c', "clear", "Clear it after reading")],
        commands::info::dmesg,
    ),
    entry("log", "What these tools noted", &[], commands::system::log),
    entry(
        "debug-keys",
        "Send keys to the hypervisor's console",
        &[Param::One("keys", "Which")],
        commands::info::debug_keys,
    ),
    entry("vcpu-list", "List vcpus", &[JSON, Param::Rest("domain", "Only these")], commands::vcpu::list),
    entry(
        "vcpu-pin",
        "Say where vcpus may run",
        &[
            DOMAIN,
            Param::One("vcpu", "Its number, or all"),
            Param::One("hard", "CPUs where it may run (0-3,^1; all; - for no change)"),
            Param::Maybe("soft", "CPUs where it likes to run"),
        ],
        commands::vcpu::pin,
    ),
    entry(
        "vcpu-set",
        "Say how many vcpus a domain uses",
        &[DOMAIN, Param::One("count", "How many")],
        commands::vcpu::set,
    ),
    entry(
        "mem-set",
        "Say how much memory a domain uses",
        &[DOMAIN, Param::One("memory", "MiB, or with a unit: 512m, 1g, 65536k")],
        commands::memory::set,
    ),
    entry(
        "mem-max",
        "Say how much memory a domain may use at most",
        &[DOMAIN, Param::One("memory", "MiB, or with a unit")],
        commands::memory::max,
    ),
    Entry {
        aliases: &["block_attach"],
        ..entry(
            "block-attach",
            "Plug a disk into a domain",
            &[DOMAIN, Param::Some("disk", "As in a configuration: target,format,vdev,access")],
            commands::device::block_attach,
        )
    },
    entry(
        "block-detach",
        "Take a disk out of a domain",
        &[Param::Flag('f', "force", "Without asking the guest"), DOMAIN, Param::One("device", "Its name or number")],
        commands::device::block_detach,
    ),
    entry(
        "block-list",
        "List a domain's disks",
        &[JSON, Param::Some("domain", "Names, numbers or UUIDs")],
        commands::device::block_list,
    ),
    entry(
        "network-attach",
        "Plug a network card into a domain",
        &[DOMAIN, Param::Rest("setting", "As in a configuration: mac=…, bridge=…")],
        commands::device::network_attach,
    ),
    entry(
        "network-detach",
        "Take a network card out of a domain",
        &[Param::Flag('f', "force", "Without asking the guest"), DOMAIN, Param::One("device", "Its number or address")],
        commands::device::network_detach,
    ),
    entry(
        "network-list",
        "List a domain's network cards",
        &[JSON, Param::Some("domain", "Names, numbers or UUIDs")],
        commands::device::network_list,
    ),
    Entry {
        hidden: true,
        ..entry("init-dom0", "Note the control domain in xenstore", &[], commands::system::init_dom0)
    },
    Entry {
        hidden: true,
        ..entry(
            "attend",
            "Wait for a domain's end and do what its configuration says",
            &[
                Param::Flag('S', "supervised", "This process is started again by the one above it"),
                Param::One("uuid", "Its UUID"),
            ],
            commands::attend::attend,
        )
    },
    Entry {
        hidden: true,
        ..entry(
            "completion",
            "Completion for a shell",
            &[Param::One("shell", "bash, zsh or fish")],
            commands::system::completion,
        )
    },
    Entry { hidden: true, ..entry("counts", "What is in use, for finding leaks", &[JSON], commands::counts::counts) },
    Entry { hidden: true, ..entry("man", "The manual page", &[], commands::system::man) },
];

/// clap's view of the table.
pub fn command(name: &'static str) -> Command {
    let codes: Vec<String> = CODES.iter().map(|(code, what)| format!("{code} {what}")).collect();
    let about = "Domains, their devices, the machine";
    let mut all = Command::new(name)
        .about(about)
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .max_term_width(100)
        .after_help(format!("Exit codes: {}.", codes.join(", ")));
    for entry in TABLE {
        let mut one = Command::new(entry.name).about(entry.about).hide(entry.hidden);
        for alias in entry.aliases {
            one = one.alias(*alias);
        }
        for param in entry.params {
            one = one.arg(match *param {
                Param::Flag(short, long, help) => {
                    Arg::new(long).short(short).long(long).help(help).action(ArgAction::SetTrue)
                }
                Param::Value(long, value, help) => Arg::new(long).long(long).value_name(value).help(help),
                Param::One(name, help) => Arg::new(name).help(help).required(true),
                Param::Maybe(name, help) => Arg::new(name).help(help),
                Param::Rest(name, help) => Arg::new(name).help(help).num_args(0..),
                Param::Some(name, help) => Arg::new(name).help(help).num_args(1..).required(true),
            });
        }
        all = all.subcommand(one);
    }
    all
}

/// Runs what the command line says.
pub fn run(name: &'static str, args: impl IntoIterator<Item = OsString>) -> Outcome {
    let matches = match command(name).try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) => {
            use clap::error::ErrorKind as K;
            return match error.kind() {
                K::DisplayHelp | K::DisplayVersion => {
                    crate::output::text(&error.render().to_string());
                    Ok(())
                }
                K::DisplayHelpOnMissingArgumentOrSubcommand => {
                    eprint!("{}", error.render());
                    Err(Failure::Quiet(2))
                }
                // clap's first paragraph, on one line, and where to read on.
                _ => {
                    let text = error.render().to_string();
                    let first = text.split("\n\n").next().unwrap_or("");
                    let first = first.trim_start_matches("error: ").split_whitespace().collect::<Vec<_>>().join(" ");
                    Err(Failure::usage(format!("{first}; `{name} help` shows how")))
                }
            };
        }
    };
    let Some((called, given)) = matches.subcommand() else { return Err(Failure::Quiet(2)) };
    match TABLE.iter().find(|entry| entry.name == called) {
        Some(entry) => (entry.run)(&Args(given)),
        None => Err(Failure::usage(format!("{called}: there is no such command; `{name} help` shows all"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(args: &[&str]) -> u8 {
        match run("xm", args.iter().map(OsString::from)) {
            Ok(()) => 0,
            Err(Failure::Told(code, line)) => {
                assert!(!line.is_empty() && !line.contains('\n'), "{line}");
                code
            }
            Err(Failure::Quiet(code)) => code,
        }
    }

    #[test]
    fn the_table_is_a_command_line_that_clap_accepts() {
        command("xm").debug_assert();
        for entry in TABLE {
            assert!(entry.about.starts_with(char::is_uppercase) && !entry.about.ends_with('.'), "{}", entry.name);
        }
    }

    #[test]
    fn junk_arguments_to_every_command_are_usage_errors() {
        for entry in TABLE {
            assert_eq!(code(&["xm", entry.name, "--junk"]), 2, "{} --junk", entry.name);
            let required = entry.params.iter().filter(|p| matches!(p, Param::One(..) | Param::Some(..))).count();
            if required > 0 {
                assert_eq!(code(&["xm", entry.name]), 2, "{} without arguments", entry.name);
            }
            let takes_all = entry.params.iter().any(|p| matches!(p, Param::Rest(..) | Param::Some(..)));
            if !takes_all {
                let many: Vec<&str> = ["xm", entry.name].into_iter().chain(["junk"; 10]).collect();
                assert_eq!(code(&many), 2, "{} with ten arguments", entry.name);
            }
        }
        assert_eq!(code(&["xm"]), 2);
        assert_eq!(code(&["xm", "crate"]), 2);
    }

    #[test]
    fn help_is_no_failure() {
        assert_eq!(code(&["xm", "help"]), 0);
        assert_eq!(code(&["xm", "create", "--help"]), 0);
    }
}
