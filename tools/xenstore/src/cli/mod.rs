//! Command line, exit codes, output.

mod list;
mod update;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use xenstore::{Access as _, Error, Perm, Xenstore, XsError};

/// Looks into XenStore and changes it.
#[derive(Parser, Debug)]
#[command(
    name = "xenstore",
    version,
    after_help = "Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 permission, 5 xenstored is not running, \
                  6 timed out.\nThe name by which the program is called may hold the command: xenstore-ls, xenstore-read, …"
)]
struct Args {
    /// The daemon's socket [default: XENSTORED_PATH, XENSTORED_RUNDIR/socket, /run/xenstored/socket, /dev/xen/xenbus].
    #[arg(long, global = true)]
    socket: Option<PathBuf>,
    /// Connect to the daemon's socket (as Xen's client; ours finds out by itself).
    #[arg(short = 's', global = true, hide = true)]
    via_socket: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Show a subtree with its values.
    Ls {
        /// Show whole paths instead of indenting.
        #[arg(short)]
        full: bool,
        /// Show permissions.
        #[arg(short)]
        perms: bool,
        /// Where to begin.
        #[arg(default_value = "/")]
        path: String,
    },
    /// Show values.
    Read {
        /// Show each path before its value.
        #[arg(short)]
        prefix: bool,
        /// Write values as they are, not with special characters escaped, and add no newline.
        #[arg(short = 'R')]
        raw: bool,
        /// Which nodes.
        #[arg(required = true)]
        paths: Vec<String>,
    },
    /// Write values, all at once.
    Write {
        /// Take the single value from standard input.
        #[arg(short = 'R')]
        raw: bool,
        /// PATH VALUE, several times.
        #[arg(required = true, allow_hyphen_values = true)]
        pairs: Vec<String>,
    },
    /// Show the names of children.
    List {
        /// Show whole paths.
        #[arg(short)]
        prefix: bool,
        /// Of which nodes.
        #[arg(required = true)]
        paths: Vec<String>,
    },
    /// Remove subtrees, all at once.
    Rm {
        /// Then remove ancestors that have become empty.
        #[arg(short)]
        tidy: bool,
        /// Which.
        #[arg(required = true)]
        paths: Vec<String>,
    },
    /// Whether nodes exist: exit code 0 if all do, 3 otherwise.
    Exists {
        /// Which.
        #[arg(required = true)]
        paths: Vec<String>,
    },
    /// Replace permissions.
    Chmod {
        /// Of the whole subtree.
        #[arg(short)]
        recurse: bool,
        /// Of the ancestors too, up to the first that is not owned by the same domain.
        #[arg(short)]
        upto: bool,
        /// Which node.
        path: String,
        /// n, r, w or b with a domid; the first names the owner and what everybody may do.
        #[arg(required = true, value_parser = |p: &str| Perm::parse(p.as_bytes()).map_err(|e| e.to_string()))]
        perms: Vec<Perm>,
    },
    /// Show each change as it happens.
    Watch {
        /// End after so many changes.
        #[arg(short)]
        n: Option<u64>,
        /// End with exit code 6 if nothing happens for so many seconds.
        #[arg(short = 'T')]
        timeout: Option<f64>,
        /// Levels below that count.
        #[arg(long)]
        depth: Option<u32>,
        /// What to watch.
        #[arg(required = true)]
        paths: Vec<String>,
    },
    /// Talk to the daemon: `control help` shows its commands. `control live-update [-t SECONDS] [-F] FILE` goes over to another
    /// xenstored.
    Control {
        /// The command and its parameters.
        #[arg(required = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

/// A failed command.
enum Failure {
    /// From the client library.
    Store(Error),
    /// Output or input of this program.
    Io(std::io::Error),
    /// The user's mistake.
    Usage(String),
    /// The daemon says why not.
    Refused(String),
    /// A node is not there; nothing to say.
    Missing,
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        Failure::Store(e)
    }
}

impl From<std::io::Error> for Failure {
    fn from(e: std::io::Error) -> Self {
        Failure::Io(e)
    }
}

type Done = Result<(), Failure>;

/// `xenstore-read X` is `xenstore read X`.
fn arguments() -> Vec<OsString> {
    let mut args: Vec<OsString> = std::env::args_os().collect();
    let name = args.first().map(|a| Path::new(a).file_name().unwrap_or(a).to_string_lossy().into_owned());
    if let Some(command) = name.as_deref().and_then(|n| n.strip_prefix("xenstore-"))
        && Args::command().find_subcommand(command).is_some()
    {
        args.insert(1, command.into());
    }
    args
}

/// Runs the command of this process.
pub fn main() -> ExitCode {
    let args = match Args::command().try_get_matches_from(arguments()).and_then(|m| Args::from_arg_matches(&m)) {
        Ok(args) => args,
        Err(e) => {
            // Nothing can be done about a closed terminal.
            let _ = e.print();
            return if e.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(failure),
    }
}

fn report(failure: Failure) -> ExitCode {
    let (code, text) = match failure {
        Failure::Missing => return ExitCode::from(3),
        Failure::Usage(text) => (2, text),
        Failure::Refused(text) => (1, text),
        // The reader of a pipe went away: that is how `| head` ends.
        Failure::Io(e) if e.kind() == std::io::ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
        Failure::Io(e) => (1, e.to_string()),
        Failure::Store(e) => {
            let code = match &e {
                Error::Unreachable { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => 4,
                Error::Unreachable { .. } | Error::Broken(_) => 5,
                Error::TimedOut => 6,
                _ => match e.refused() {
                    Some(XsError::ENOENT) => 3,
                    Some(XsError::EACCES | XsError::EPERM | XsError::EROFS) => 4,
                    _ => 1,
                },
            };
            (code, e.to_string())
        }
    };
    eprintln!("xenstore: {text}");
    ExitCode::from(code)
}

fn run(args: Args) -> Done {
    let mut xs = match &args.socket {
        Some(path) => Xenstore::open_socket(path)?,
        None => Xenstore::open()?,
    };
    let mut out = std::io::stdout().lock();
    match args.command {
        Command::Ls { full, perms, path } => list::ls(&mut xs, &mut out, &path, full, perms)?,
        Command::Read { prefix, raw, paths } => {
            for path in paths {
                let value = xs.read(&path)?;
                if prefix {
                    write!(out, "{path}: ")?;
                }
                if raw {
                    out.write_all(&value)?;
                } else {
                    writeln!(out, "{}", escape(&value))?;
                }
            }
        }
        Command::Write { raw, pairs } => write(&mut xs, raw, &pairs)?,
        Command::List { prefix, paths } => {
            for path in paths {
                for name in xs.list(&path)? {
                    if prefix {
                        write!(out, "{}/", path.trim_end_matches('/'))?;
                    }
                    writeln!(out, "{name}")?;
                }
            }
        }
        Command::Rm { tidy, paths } => xs.transaction(|t| paths.iter().try_for_each(|path| rm(t, path, tidy)))?,
        Command::Exists { paths } => {
            for path in paths {
                if !xs.exists(&path)? {
                    return Err(Failure::Missing);
                }
            }
        }
        Command::Chmod { recurse, upto, path, perms } => {
            xs.transaction(|t| list::chmod(t, &path, &perms, recurse, upto))?;
        }
        Command::Watch { n, timeout, depth, paths } => watch(&mut xs, &mut out, n, timeout, depth, &paths)?,
        Command::Control { args } => {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            if let [command, options @ .., program] = args.as_slice()
                && *command == "live-update"
                && !matches!(options.first().unwrap_or(program), &"-f" | &"-s" | &"-a")
            {
                return update::update(&mut xs, options, program);
            }
            let reply = xs.control(&args)?;
            writeln!(out, "{}", reply.trim_end_matches('\n'))?;
        }
    }
    out.flush()?;
    Ok(())
}

fn write(xs: &mut Xenstore, raw: bool, pairs: &[String]) -> Done {
    if raw {
        let [path] = pairs else { return Err(Failure::Usage("write -R takes one path".into())) };
        let mut value = Vec::new();
        std::io::stdin().lock().read_to_end(&mut value)?;
        xs.write(path, &value)?;
        return Ok(());
    }
    let mut values = Vec::new();
    for pair in pairs.chunks(2) {
        let [path, value] = pair else {
            return Err(Failure::Usage(format!("write: {} has no value", pair.concat())));
        };
        let value = unescape(value).ok_or_else(|| Failure::Usage(format!("write: bad escape in {value}")))?;
        values.push((path, value));
    }
    xs.transaction(|t| values.iter().try_for_each(|(path, value)| t.write(path, value)))?;
    Ok(())
}

fn rm(t: &mut xenstore::Transaction<'_>, path: &str, tidy: bool) -> xenstore::Result<()> {
    t.read(path)?;
    t.rm(path)?;
    for at in list::ancestors(path).take_while(|_| tidy) {
        if !t.list(at)?.is_empty() || !t.read(at)?.is_empty() {
            break;
        }
        t.rm(at)?;
    }
    Ok(())
}

fn watch(
    xs: &mut Xenstore,
    out: &mut impl std::io::Write,
    n: Option<u64>,
    timeout: Option<f64>,
    depth: Option<u32>,
    paths: &[String],
) -> Done {
    let timeout = timeout
        .map(Duration::try_from_secs_f64)
        .transpose()
        .map_err(|e| Failure::Usage(format!("watch: the timeout is no time: {e}")))?;
    for path in paths {
        xs.watch(path, path.as_bytes(), depth)?;
    }
    let mut seen = 0;
    while n.is_none_or(|n| seen < n) {
        let event = xs.next_event(timeout)?.ok_or(Error::TimedOut)?;
        writeln!(out, "{}", event.path)?;
        out.flush()?;
        seen += 1;
    }
    Ok(())
}

/// A value in one line: what is not printable ASCII as `\xNN`, a backslash doubled.
fn escape(value: &[u8]) -> String {
    let mut text = String::new();
    for &b in value {
        match b {
            b'\\' => text.push_str("\\\\"),
            b'\n' => text.push_str("\\n"),
            b'\t' => text.push_str("\\t"),
            b'\r' => text.push_str("\\r"),
            b' '..=b'~' => text.push(char::from(b)),
            _ => text.push_str(&format!("\\x{b:02x}")),
        }
    }
    text
}

/// The reverse of [`escape`].
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut value = Vec::new();
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b != b'\\' {
            value.push(b);
            continue;
        }
        value.push(match bytes.next()? {
            b'\\' => b'\\',
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'x' => {
                let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
                digit(bytes.next()?)? * 16 + digit(bytes.next()?)?
            }
            _ => return None,
        });
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_survives_escaping() {
        let all: Vec<u8> = (0..=255).collect();
        let text = escape(&all);
        assert!(text.bytes().all(|b| (b' '..=b'~').contains(&b)));
        assert_eq!(unescape(&text), Some(all));
        for bad in ["\\", "\\x", "\\x1", "\\xzz", "\\q"] {
            assert_eq!(unescape(bad), None, "{bad}");
        }
    }

    #[test]
    fn ancestors_go_up_to_the_root_and_leave_it_out() {
        assert_eq!(list::ancestors("/a/b/c").collect::<Vec<_>>(), ["/a/b", "/a"]);
        assert_eq!(list::ancestors("/a").count(), 0);
    }

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
