//! The one table: parser, help, man page, completion and tests come from it.

mod entries;

use crate::failure::{CODES, Failure, Outcome};
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::ffi::OsString;

pub use entries::TABLE;

/// What a command may be given.
#[derive(Clone, Copy, Debug)]
pub enum Param {
    /// `-x`, `--long`: there or not.
    Flag(char, &'static str, &'static str),
    /// `--long VALUE`.
    Value(&'static str, &'static str, &'static str),
    /// `-x VALUE`, `--long VALUE`.
    Short(char, &'static str, &'static str, &'static str),
    /// `-x VALUE`, `--long VALUE`, as often as one likes.
    Each(char, &'static str, &'static str, &'static str),
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
    /// What it was called in Xen 3, or in another tool of Xen: taken, with a hint.
    pub old: &'static [&'static str],
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
        for alias in entry.aliases.iter().chain(entry.old) {
            one = one.alias(*alias);
        }
        for param in entry.params {
            one = one.arg(match *param {
                Param::Flag(short, long, help) => {
                    Arg::new(long).short(short).long(long).help(help).action(ArgAction::SetTrue)
                }
                Param::Value(long, value, help) => Arg::new(long).long(long).value_name(value).help(help),
                Param::Short(short, long, value, help) => {
                    Arg::new(long).short(short).long(long).value_name(value).help(help)
                }
                Param::Each(short, long, value, help) => {
                    let arg = Arg::new(long).short(short).long(long).value_name(value).help(help);
                    arg.action(ArgAction::Append)
                }
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
    let args: Vec<OsString> = args.into_iter().collect();
    // Nothing but a command stands there: this program has no options of its own.
    let word = args.get(1).and_then(|word| word.to_str()).map(str::to_owned);
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
                    say!("{}", error.render().to_string().trim_end());
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
        Some(entry) => {
            if let Some(word) = word.filter(|word| entry.old.contains(&word.as_str())) {
                say!("hint: `{name} {word}` is `{name} {called}` now");
            }
            (entry.run)(&Args(given))
        }
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
    fn no_name_means_two_commands() {
        let mut all: Vec<&str> =
            TABLE.iter().flat_map(|entry| entry.aliases.iter().chain(entry.old)).copied().collect();
        all.extend(TABLE.iter().map(|entry| entry.name));
        all.sort_unstable();
        let count = all.len();
        all.dedup();
        assert_eq!(all.len(), count, "{all:?}");
    }

    #[test]
    fn help_is_no_failure() {
        assert_eq!(code(&["xm", "help"]), 0);
        assert_eq!(code(&["xm", "create", "--help"]), 0);
    }
}
